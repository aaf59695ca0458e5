//! The character generator (RFC 864): lines of 72 characters for ever, each turned by one against the last.
//!
//! Only on TCP. On UDP the service answers a forged datagram with hundreds of bytes to its victim, which is what it
//! became known for.

use super::discard::drain;
use super::event_loop::{EventService, Next};
use crate::net::{Chunk, Interest, Slice, TcpListener, TcpStream};
use std::io::{self, ErrorKind};

/// Its well-known port.
pub const PORT: u16 = 19;

/// The 95 printing characters of ASCII, in order.
const PRINTABLE: std::ops::RangeInclusive<u8> = b' '..=b'~';

const LINE: usize = 72;

/// Bytes of the text in memory: what a chunk holds.
const TEXT: usize = 64 * 1024;

/// Chunks that are sent on one connection before others have their turn.
const SENDS: usize = 16;

/// The service on TCP. What the peer sends is thrown away; when it has closed, it has seen enough.
pub struct Chargen {
    /// As many whole turns of the pattern as a chunk holds. All connections send the same memory, over and over.
    text: Slice,
}

impl Chargen {
    /// The service.
    pub fn new() -> Chargen {
        let page = page();
        Chargen { text: Chunk::copy_of(&page.repeat(TEXT / page.len())).freeze() }
    }
}

impl Default for Chargen {
    fn default() -> Chargen {
        Chargen::new()
    }
}

impl EventService for Chargen {
    /// Where in the text the connection is.
    type State = usize;

    fn listen(&self, listener: &TcpListener) -> io::Result<()> {
        // There is always more: no segment need leave that is not full.
        listener.set_cork(true)
    }

    fn open(&self, _: &TcpStream) -> io::Result<Next> {
        Ok(Next::Wait(Interest::READABLE | Interest::WRITABLE))
    }

    fn ready(&self, stream: &TcpStream, at: &mut usize, _: &mut [u8]) -> io::Result<Next> {
        match drain(stream) {
            Ok(true) => return Ok(Next::Close),
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        for _ in 0..SENDS {
            *at = (*at + stream.send_chunk(&self.text.slice(*at..self.text.len()))?) % self.text.len();
        }
        Ok(Next::Wait(Interest::READABLE | Interest::WRITABLE))
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
