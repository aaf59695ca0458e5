//! The echo service (RFC 862): what comes in goes out.

use super::service::Service;
use crate::net::TcpStream;
use std::io::{self, Read, Write};

/// Its well-known port, TCP and UDP.
pub const PORT: u16 = 7;

/// The service on TCP.
pub struct Echo;

impl Service for Echo {
    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buf = vec![0; 64 * 1024];
        loop {
            match stream.read(&mut buf)? {
                0 => return Ok(()),
                n => stream.write_all(&buf[..n])?,
            }
        }
    }
}

/// The service on UDP.
pub fn answer(datagram: &[u8]) -> Option<Vec<u8>> {
    Some(datagram.to_vec())
}
