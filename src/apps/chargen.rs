//! The character generator (RFC 864): lines of 72 characters for ever, each turned by one against the last.
//!
//! Only on TCP. On UDP the service answers a forged datagram with hundreds of bytes to its victim, which is what it
//! became known for.

use super::discard::drain;
use super::service::Service;
use crate::net::TcpStream;
use std::io::{self, Write};
use std::net::Shutdown;
use std::thread;

/// Its well-known port.
pub const PORT: u16 = 19;

/// The 95 printing characters of ASCII, in order.
const PRINTABLE: std::ops::RangeInclusive<u8> = b' '..=b'~';

const LINE: usize = 72;

/// Turns of the pattern in one write: about 110 KiB.
const TURNS: usize = 16;

/// The service on TCP.
pub struct Chargen;

impl Service for Chargen {
    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        // Many turns at once: a write has its cost, however little it writes.
        let pages = page().repeat(TURNS);
        thread::scope(|scope| {
            // What the peer sends is thrown away; when it has closed, it has seen enough.
            thread::Builder::new().name("chargen input".into()).spawn_scoped(scope, || {
                let _ = drain(stream);
                let _ = stream.shutdown(Shutdown::Both);
            })?;
            let end = loop {
                if let Err(e) = stream.write_all(&pages) {
                    break e;
                }
            };
            let _ = stream.shutdown(Shutdown::Both);
            match end.kind() {
                io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(end),
            }
        })
    }
}

/// One full turn of the pattern: 95 lines, after which it begins again.
fn page() -> Vec<u8> {
    let ring: Vec<u8> = PRINTABLE.collect();
    let mut page = Vec::with_capacity(ring.len() * (LINE + 2));
    for first in 0..ring.len() {
        page.extend(ring.iter().cycle().skip(first).take(LINE));
        page.extend(b"\r\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_the_rfcs() {
        let page = page();
        let lines: Vec<&[u8]> = page.split_inclusive(|&b| b == b'\n').collect();
        assert_eq!(lines.len(), 95);
        assert!(lines.iter().all(|l| l.len() == 74 && l.ends_with(b"\r\n")));
        // The first three lines of RFC 864's example, from its "!" on.
        assert_eq!(&lines[1][..72], br##"!"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefgh"##);
        assert_eq!(&lines[2][..72], br##""#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefghi"##);
        assert_eq!(&lines[94][..4], b"~ !\"");
    }
}
