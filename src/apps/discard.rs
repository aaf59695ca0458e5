//! The discard service (RFC 863): what comes in is thrown away.

use super::service::Service;
use crate::net::TcpStream;
use std::io::{self, Read};

/// Its well-known port, TCP and UDP.
pub const PORT: u16 = 9;

/// The service on TCP.
pub struct Discard;

impl Service for Discard {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        drain(stream)
    }
}

/// Reads and forgets until the peer has closed.
pub(super) fn drain(mut stream: &TcpStream) -> io::Result<()> {
    let mut buf = vec![0; 64 * 1024];
    while stream.read(&mut buf)? > 0 {}
    Ok(())
}

/// The service on UDP.
pub fn answer(_datagram: &[u8]) -> Option<Vec<u8>> {
    None
}
