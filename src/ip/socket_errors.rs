//! What went wrong with what a socket of datagrams or packets has sent: the error that its next call fails with, and, for
//! those who ask for it, a queue of all that routers and hosts have said (IP_RECVERR of ip(7)).

use crate::error::{Error, Result};
use crate::icmp::ErrorKind;
use crate::stack::{Readiness, SocketError};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Errors that a socket's queue holds. More are not kept: who does not read them does not miss them.
const MAX_ERRORS: usize = 32;

/// Destinations that a socket without a peer remembers. An error about a datagram to another one is not believed: anybody
/// can make one up.
const SENT_TO: usize = 16;

/// The most bytes of a quote that are kept: what an ICMP error may hold (RFC 4443 2.4 c), though longer ones are sent.
const MAX_QUOTE: usize = 1280;

/// What an error in the queue is charged beside its quote, in bytes.
const OVERHEAD: usize = 128;

/// Whether an error is kept to be read.
#[derive(Clone, Copy, Debug)]
pub struct Keeps {
    /// Whether the application wants it so.
    pub wanted: bool,
    /// Bytes of memory that there are.
    pub room: usize,
}

/// The errors of one socket.
#[derive(Debug, Default)]
pub struct Errors {
    /// What the next call fails with.
    hard: Option<Error>,
    /// What may pass, and is told to those who ask.
    soft: Option<Error>,
    queue: VecDeque<SocketError>,
    /// What the queue costs.
    charged: usize,
    sent_to: VecDeque<SocketAddr>,
}

impl Errors {
    /// A datagram went to `dst`.
    pub fn note_sent(&mut self, dst: SocketAddr) {
        if self.sent_to.back() != Some(&dst) && !self.sent_to.contains(&dst) {
            if self.sent_to.len() == SENT_TO {
                self.sent_to.pop_front();
            }
            self.sent_to.push_back(dst);
        }
    }

    /// Whether one of the last destinations was `dst`.
    pub fn has_sent_to(&self, dst: SocketAddr) -> bool {
        self.sent_to.contains(&dst)
    }

    /// Notes what an ICMP error of this kind said, and says whether calls fail by it (RFC 1122 4.1.3.3): on a `connected` socket, where
    /// the destination itself refused or the datagrams are too big, since anybody else may be wrong for a while; where
    /// all errors are wanted, by each. Such a one is kept with what it `quote`s, where there is room.
    pub fn note(&mut self, kind: ErrorKind, said: SocketError, quote: &[u8], connected: bool, keeps: Keeps) -> bool {
        let (error, wanted) = (said.error, keeps.wanted);
        if wanted && self.queue.len() < MAX_ERRORS {
            let data = &quote[..quote.len().min(MAX_QUOTE)];
            if cost(data) <= keeps.room {
                self.charged += cost(data);
                self.queue.push_back(SocketError { data: data.to_vec(), ..said });
            }
        }
        let fails = wanted || connected && (kind.is_hard() || matches!(kind, ErrorKind::PacketTooBig { .. }));
        if fails {
            self.hard = Some(error);
        } else if connected {
            self.soft = Some(error);
        }
        fails
    }

    /// Fails once with a pending error.
    ///
    /// # Errors
    /// That.
    pub fn check(&mut self) -> Result<()> {
        self.hard.take().map_or(Ok(()), Err)
    }

    /// Bytes that the queue costs.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// Whether the next call fails.
    pub fn is_pending(&self) -> bool {
        self.hard.is_some()
    }

    /// What of it a socket is ready for.
    pub fn readiness(&self) -> Readiness {
        let mut ready = Readiness::NONE;
        if self.is_pending() {
            ready |= Readiness::ERROR | Readiness::READABLE | Readiness::WRITABLE;
        }
        if !self.queue.is_empty() {
            ready |= Readiness::ERROR;
        }
        ready
    }

    /// Takes the pending error; a soft one has no other way out (SO_ERROR).
    pub fn take(&mut self) -> Option<Error> {
        self.hard.take().or(self.soft.take())
    }

    /// Takes the oldest error of the queue (MSG_ERRQUEUE). With the last one, what it is told by is over, too.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn pop(&mut self) -> Result<SocketError> {
        let error = self.queue.pop_front().ok_or(Error::WouldBlock)?;
        self.charged -= cost(&error.data);
        self.hard = self.queue.front().map(|next| next.error);
        Ok(error)
    }
}

/// What an error costs that is kept with `quote`.
fn cost(quote: &[u8]) -> usize {
    OVERHEAD + quote.len()
}
