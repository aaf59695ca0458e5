//! Printing that does not mind when nobody listens any more.

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

fn emit(to: &mut dyn Write, text: &str) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.write_all(b"\n")).and_then(|()| to.flush());
}
