//! What an application can do, and the book that is kept about it. An application acts only when its socket may have
//! become ready, or at a time that it named; a wake-up that a host forgets is a hang.

use super::coverage::{Cover, Coverage};
use super::host::{Flow, Host};
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::stack::{Shutdown, TcpInfo};
use crate::tcp::state::State;
use crate::time::Instant;
use core::time::Duration;

/// An application on one end of one flow, such as one of your own.
pub trait Application {
    /// Acts: writes, reads and closes as far as it can now, until it is told [`Error::WouldBlock`]. It is called when it
    /// has got its socket, when that may have become ready, and when the time of [`wake`](Application::wake) has come.
    ///
    /// # Errors
    /// What is wrong, in words; this ends the run.
    fn run(&mut self, socket: &mut Socket<'_>) -> core::result::Result<(), String>;

    /// When it wants to act though nothing happens, since the run's start.
    fn wake(&self) -> Option<Duration> {
        None
    }
}

/// What an application has written.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// The beginning of this stream.
    Stream(Stream),
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Said {
    /// The position of the first byte of `bytes` that is not what was said from `offset` on.
    pub(super) fn first_difference(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        match self {
            Said::Stream(stream) => stream.first_difference(offset, bytes),
            Said::Bytes(said) => {
                let said = said.get(offset as usize..).unwrap_or(&[]);
                let same = said.iter().zip(bytes).take_while(|(a, b)| a == b).count();
                (same < bytes.len()).then_some(offset + same as u64)
            }
        }
    }
}

/// What an application has done, as anybody could see who looks at its calls.
#[derive(Debug)]
pub(super) struct Ledger {
    /// When it got its socket; nothing happens before.
    pub(super) since: Option<Instant>,
    pub(super) said: Said,
    pub(super) written: u64,
    pub(super) read: u64,
    /// When it last read a byte.
    pub(super) last_read: Option<Instant>,
    pub(super) eof: bool,
    /// The end of the stream was read, and it was the peer's.
    pub(super) clean_eof: bool,
    /// It shut down its sending side.
    pub(super) shut: bool,
    /// It shut down its receiving side.
    pub(super) deaf: bool,
    pub(super) closed: bool,
    pub(super) aborted: bool,
    /// The first error that is not just its echo.
    pub(super) error: Option<Error>,
}

impl Ledger {
    pub(super) fn new(said: Said) -> Self {
        Ledger {
            since: None,
            said,
            written: 0,
            read: 0,
            last_read: None,
            eof: false,
            clean_eof: false,
            shut: false,
            deaf: false,
            closed: false,
            aborted: false,
            error: None,
        }
    }

    /// What shows that it got further.
    pub(super) fn progress(&self) -> (u64, u64, bool, bool) {
        (self.read, self.written, self.closed, self.shut)
    }
}

/// An application's socket: non-blocking, as a [`Stack`](crate::stack::Stack)'s.
pub struct Socket<'a> {
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) host: &'a mut dyn Host,
    pub(super) flow: Flow,
    pub(super) ledger: &'a mut Ledger,
    pub(super) peer: &'a Said,
    pub(super) coverage: &'a mut Coverage,
    /// What a call did that no call may do.
    pub(super) broken: Option<String>,
}

impl Socket<'_> {
    /// The time since the run's start.
    pub fn now(&self) -> Duration {
        self.now.since(self.start)
    }

    /// Writes; gives how many bytes were taken.
    ///
    /// # Errors
    /// Those of [`Stack::tcp_send`](crate::stack::Stack::tcp_send).
    pub fn send(&mut self, data: &[u8]) -> Result<usize> {
        let result = self.host.send(self.now, self.flow, data);
        match result {
            Ok(0) if data.is_empty() => {}
            Ok(taken) if taken == 0 || taken > data.len() => {
                self.broken = Some(format!("send took {taken} of {} bytes", data.len()));
            }
            Ok(taken) => {
                self.ledger.written += taken as u64;
                if let Said::Bytes(said) = &mut self.ledger.said {
                    said.extend_from_slice(&data[..taken]);
                }
            }
            Err(Error::WouldBlock | Error::NotConnected) => {}
            Err(error) => self.fail(error),
        }
        result
    }

    /// Reads; 0 is the end of the stream. What is read is compared with what the peer wrote.
    ///
    /// # Errors
    /// Those of [`Stack::tcp_recv`](crate::stack::Stack::tcp_recv).
    pub fn recv(&mut self, buf: &mut [u8]) -> Result<usize> {
        let gone = self.state() == State::Closed;
        let result = self.host.recv(self.now, self.flow, buf);
        let ledger = &mut *self.ledger;
        match result {
            Ok(0) => {
                ledger.eof = true;
                // After an error or our own shutdown the stream ends too, but that says nothing about the peer's last
                // byte.
                ledger.clean_eof = ledger.error.is_none() && !ledger.deaf;
            }
            Ok(got) if got > buf.len() => {
                self.broken = Some(format!("recv gave {got} bytes into a buffer of {}", buf.len()));
            }
            Ok(got) => {
                if let Some(at) = self.peer.first_difference(ledger.read, &buf[..got]) {
                    self.broken = Some(format!("INV-3: a wrong byte was read at {at}"));
                }
                ledger.read += got as u64;
                ledger.last_read = Some(self.now);
                self.coverage.hit_if(gone, Cover::ReadAfterGone);
            }
            Err(Error::WouldBlock) => {}
            // It is not there yet.
            Err(Error::NotConnected) if ledger.error.is_none() && ledger.read == 0 => {}
            Err(error) => self.fail(error),
        }
        result
    }

    /// Shuts down one direction or both.
    ///
    /// # Errors
    /// Those of [`Stack::tcp_shutdown`](crate::stack::Stack::tcp_shutdown).
    pub fn shutdown(&mut self, how: Shutdown) -> Result<()> {
        let result = self.host.shutdown(self.now, self.flow, how);
        match result {
            Ok(()) => {
                self.ledger.shut |= how != Shutdown::Read;
                self.ledger.deaf |= how != Shutdown::Write;
            }
            // The connection may be gone, or not be there yet.
            Err(Error::NotConnected) if self.state() == State::Closed => self.fail(Error::NotConnected),
            Err(Error::NotConnected) => {}
            Err(error) => self.broken = Some(format!("shutdown failed: {error}")),
        }
        result
    }

    /// Gives the socket up; the application is not called again.
    pub fn close(&mut self) {
        if !core::mem::replace(&mut self.ledger.closed, true) {
            self.host.close(self.now, self.flow);
        }
    }

    /// Gives the socket up and resets the connection; the application is not called again.
    pub fn abort(&mut self) {
        if !core::mem::replace(&mut self.ledger.closed, true) {
            self.ledger.aborted = true;
            self.host.abort(self.now, self.flow);
        }
    }

    /// The connection's state.
    pub fn state(&self) -> State {
        self.host.state(self.flow)
    }

    /// The connection's numbers, where the host has any to show.
    pub fn info(&self) -> Option<TcpInfo> {
        self.host.info(self.flow)
    }

    /// Whether something can be read.
    pub fn unread(&mut self) -> bool {
        self.host.unread(self.flow)
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.ledger.written
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.ledger.read
    }

    /// Whether the end of the stream was read.
    pub fn at_end(&self) -> bool {
        self.ledger.eof
    }

    /// The error that ended the connection, once a call has met it.
    pub fn error(&self) -> Option<Error> {
        self.ledger.error
    }

    fn fail(&mut self, error: Error) {
        self.ledger.error.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_compared_to_the_byte() {
        let said = Said::Bytes(b"abcdef".to_vec());
        assert_eq!(said.first_difference(2, b"cdef"), None);
        assert_eq!(said.first_difference(2, b"cdXf"), Some(4));
        assert_eq!(said.first_difference(4, b"efg"), Some(6), "more than was said");
        assert_eq!(said.first_difference(9, b"a"), Some(9));
        assert_eq!(said.first_difference(9, b""), None);
    }
}
