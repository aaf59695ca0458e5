//! What the request goes over: a connection with a time to be over, and TLS on it.

use super::error::Error;
use super::{Request, Url, tls};
use crate::net::TcpStream;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// How long the server may be silent.
const IDLE: Duration = Duration::from_secs(300);

/// A connection to a server.
pub(super) enum Wire {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Wire {
    /// Agrees on TLS with `name` at the other end of `stream`, if `url` wants that, until `connected`.
    pub(super) fn open(
        stream: TcpStream,
        url: &Url,
        name: &str,
        request: &Request,
        connected: Instant,
    ) -> Result<Wire, Error> {
        if url.scheme() == "http" {
            return Ok(Wire::Plain(Timed { stream, until: request.until }));
        }
        let timed = Timed { stream, until: Some(connected) };
        let mut agreed = tls::shake_hands(tls::config(&request.trust)?, name, timed)?;
        agreed.sock.until = request.until;
        Ok(Wire::Tls(Box::new(agreed)))
    }
}

impl Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.read(buf),
            Wire::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => stream.write(buf),
            Wire::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => stream.flush(),
            Wire::Tls(stream) => stream.flush(),
        }
    }
}

/// A stream whose calls fail with `TimedOut` when it is time, or when the other end has been silent for too long.
pub(super) struct Timed {
    stream: TcpStream,
    until: Option<Instant>,
}

impl Timed {
    fn patience(&self) -> io::Result<Option<Duration>> {
        let left = self.until.map_or(IDLE, |until| until.saturating_duration_since(Instant::now()).min(IDLE));
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

/// The time-out of a socket is told as `WouldBlock`.
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.patience()?)?;
        self.stream.read(buf).map_err(timed_out)
    }
}

impl Write for Timed {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.patience()?)?;
        self.stream.write(buf).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
