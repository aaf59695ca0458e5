//! The echo service (RFC 862): what comes in goes out.

use super::event_loop::{EventService, Next};
use crate::net::{Interest, TcpListener, TcpStream};
use std::io::{self, ErrorKind, Read, Write};

/// Its well-known port, TCP and UDP.
pub const PORT: u16 = 7;

/// The service on TCP. It reads no more while the peer does not take what was read.
pub struct Echo;

/// What was read and could not be written yet: nothing and no memory, for most.
#[derive(Default)]
pub struct Unwritten(Option<Box<Rest>>);

struct Rest {
    bytes: Vec<u8>,
    written: usize,
}

impl EventService for Echo {
    type State = Unwritten;

    fn listen(&self, listener: &TcpListener) -> io::Result<()> {
        listener.set_nodelay(true)
    }

    fn ready(&self, mut stream: &TcpStream, unwritten: &mut Unwritten, buf: &mut [u8]) -> io::Result<Next> {
        if let Some(rest) = &mut unwritten.0 {
            rest.written += stream.write(&rest.bytes[rest.written..])?;
            if rest.written < rest.bytes.len() {
                return Ok(Next::Wait(Interest::WRITABLE));
            }
            unwritten.0 = None;
            return Ok(Next::Wait(Interest::READABLE));
        }
        let read = stream.read(buf)?;
        if read == 0 {
            return Ok(Next::Close);
        }
        let written = match stream.write(&buf[..read]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            result => result?,
        };
        if written == read {
            return Ok(Next::Wait(Interest::READABLE));
        }
        unwritten.0 = Some(Box::new(Rest { bytes: buf[written..read].to_vec(), written: 0 }));
        Ok(Next::Wait(Interest::WRITABLE))
    }
}

/// The service on UDP.
pub fn answer(datagram: &[u8]) -> Option<&[u8]> {
    Some(datagram)
}
