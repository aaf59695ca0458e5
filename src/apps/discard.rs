//! The discard service (RFC 863): what comes in is thrown away.

use super::event_loop::{EventService, Next};
use crate::net::{Interest, TcpStream};
use std::io;

/// Its well-known port, TCP and UDP.
pub const PORT: u16 = 9;

/// Pieces that are taken of one connection before others have their turn.
const READS: usize = 16;

/// The service on TCP.
pub struct Discard;

impl EventService for Discard {
    type State = ();

    fn ready(&self, stream: &TcpStream, (): &mut (), _: &mut [u8]) -> io::Result<Next> {
        Ok(if drain(stream)? { Next::Close } else { Next::Wait(Interest::READABLE) })
    }
}

/// Takes a bounded part of what is there, and forgets it: what nobody looks at is not copied. True at the end of the
/// stream.
///
/// # Errors
/// Those of the stream; `WouldBlock` where it has nothing more.
pub(super) fn drain(stream: &TcpStream) -> io::Result<bool> {
    for _ in 0..READS {
        if stream.recv_chunk()?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The service on UDP.
pub fn answer(_datagram: &[u8]) -> Option<&[u8]> {
    None
}
