//! The discard service (RFC 863): what comes in is thrown away.

use super::event_loop::{EventService, Next};
use crate::net::{Interest, TcpStream};
use std::io::{self, Read};

/// Its well-known port, TCP and UDP.
pub const PORT: u16 = 9;

/// Reads from one connection before others have their turn.
const READS: usize = 4;

/// The service on TCP.
pub struct Discard;

impl EventService for Discard {
    type State = ();

    fn ready(&self, stream: &TcpStream, (): &mut (), buf: &mut [u8]) -> io::Result<Next> {
        Ok(if drain(stream, buf)? { Next::Close } else { Next::Wait(Interest::READABLE) })
    }
}

/// Reads a bounded part of what is there, and forgets it. True at the end of the stream.
pub(super) fn drain(mut stream: &TcpStream, buf: &mut [u8]) -> io::Result<bool> {
    for _ in 0..READS {
        match stream.read(buf)? {
            0 => return Ok(true),
            n if n < buf.len() => break,
            _ => {}
        }
    }
    Ok(false)
}

/// The service on UDP.
pub fn answer(_datagram: &[u8]) -> Option<&[u8]> {
    None
}
