//! Printing that does not mind when nobody listens any more.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Prints `text` and a line feed. A closed pipe is no error: whoever closed it has seen enough.
pub(crate) fn line(text: &str) {
    emit(&mut io::stdout(), text);
}

/// Prints lines that have their line feeds already, or nothing.
pub(crate) fn text(lines: &str) {
    let _ = io::stdout().write_all(lines.as_bytes()).and_then(|()| io::stdout().flush());
}

/// As [`line`], to the standard error.
pub(crate) fn note(text: &str) {
    emit(&mut io::stderr(), text);
}

/// `text` without what a terminal obeys: control characters are told by their numbers.
pub(crate) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            _ = write!(out, "\\x{:02x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

fn emit(to: &mut dyn Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.write_all(b"\n")).and_then(|()| to.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_no_orders() {
        assert_eq!(printable("a\x1b[2J\r\x7f\u{9b}1m"), r"a\x1b[2J\x0d\x7f\x9b1m");
        assert_eq!(printable("b\u{fc}cher"), "b\u{fc}cher");
    }
}
