//! What listeners and gates have in common: somebody comes to one of their parts, and is accepted.

use super::Host;
use super::parts::{self, Part, Parts, Place, Places};
use super::patience::Blocking;
use crate::error::Result;
#[cfg(feature = "tokio")]
use crate::runtime::Seat;
use crate::runtime::{Core, Shard};
use crate::stack::{Readiness, Stack};
use crate::time::Instant;
#[cfg(feature = "tokio")]
use core::task::{Context, Poll};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the clones of a socket share that is accepted from.
pub(super) struct Acceptor<P: Part> {
    pub(super) parts: Parts<P>,
    /// Where the next call looks first.
    turn: AtomicUsize,
    pub(super) blocking: Blocking,
    /// Dropped after its parts.
    pub(super) host: Host,
}

impl<P: Part> Acceptor<P> {
    pub(super) fn new(host: &Host, parts: Parts<P>) -> Arc<Acceptor<P>> {
        let (turn, blocking) = (AtomicUsize::new(0), Blocking::default());
        Arc::new(Acceptor { parts, turn, blocking, host: host.clone() })
    }

    /// Waits until `take` gets something from one of the parts, and gives it with the number of that part.
    ///
    /// # Errors
    /// `WouldBlock` when the patience is over; `take`'s; what ended the host.
    pub(super) fn accept<T>(&self, mut take: impl FnMut(P, &mut Core, Instant) -> Result<T>) -> Result<(usize, T)> {
        let patience = self.blocking.patience(&self.blocking.read);
        self.parts.wait(self.turn(), Readiness::READABLE, patience, |number, part, core, now| {
            Ok((number, take(part, core, now)?))
        })
    }

    /// As [`accept`](Acceptor::accept), for a task.
    #[cfg(feature = "tokio")]
    pub(super) fn poll_accept<T>(
        &self,
        cx: &mut Context<'_>,
        seat: Seat,
        mut take: impl FnMut(P, &mut Core, Instant) -> Result<T>,
    ) -> Poll<Result<(usize, T)>> {
        let first = self.turn();
        for k in 0..self.parts.len() {
            let number = first.wrapping_add(k) % self.parts.len();
            let (shard, part) = self.parts.get(number);
            let polled = shard.poll_wait(cx, seat, part.name(), Readiness::READABLE, |core, now| take(part, core, now));
            if let Poll::Ready(taken) = polled {
                return Poll::Ready(taken.map(|taken| (number, taken)));
            }
        }
        Poll::Pending
    }

    /// So that no part is forgotten while another is busy.
    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// The shard of the part with this number.
    pub(super) fn shard(&self, number: usize) -> &Arc<Shard> {
        self.parts.get(number).0
    }

    /// How many wait at all parts together, and the bytes that they are charged, as `of` says it of one.
    pub(super) fn load(&self, of: impl Fn(&Stack, P) -> Result<(usize, usize)>) -> io::Result<(usize, usize)> {
        let mut sum = (0, 0);
        for (shard, part) in self.parts.iter() {
            let (waiting, bytes) = shard.look(|stack| of(stack, part))?;
            sum = (sum.0 + waiting, sum.1 + bytes);
        }
        Ok(sum)
    }

    pub(super) fn readiness(&self) -> Readiness {
        parts::readiness(&self.places())
    }

    pub(super) fn places(&self) -> Places<'_> {
        self.parts.iter().map(|(shard, part)| Place { shard, id: part.name(), home: true }).collect()
    }
}

/// The methods that all sockets have which are made of an [`Acceptor`].
macro_rules! accepts {
    ($socket:ident) => {
        impl $socket {
            #[doc = concat!("Whether [`accept`](", stringify!($socket), "::accept) fails with `WouldBlock` instead of")]
            /// waiting. Clones share it; what is accepted does not inherit it.
            ///
            /// # Errors
            /// None; the signature is std's.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.0.blocking.set_nonblocking(nonblocking);
                Ok(())
            }

            /// What it is ready for: readable means that there is somebody to accept.
            pub fn readiness(&self) -> Readiness {
                self.0.readiness()
            }

            pub(super) fn places(&self) -> super::parts::Places<'_> {
                self.0.places()
            }

            /// The host it belongs to.
            pub fn host(&self) -> &Host {
                &self.0.host
            }
        }
    };
}

pub(super) use accepts;

/// An iterator that accepts, for ever or until the host ends.
#[derive(Debug, Default)]
pub(super) struct Accepting {
    ended: bool,
}

impl Accepting {
    /// What `accept` gives. After the host's shutdown that is nothing; another end of it is told, once.
    pub(super) fn next<T>(&mut self, accept: impl FnOnce() -> io::Result<T>) -> Option<io::Result<T>> {
        if self.ended {
            return None;
        }
        let accepted = accept();
        if let Err(error) = &accepted {
            // Whoever comes never fails the socket that he comes to: these two are the host's.
            let shut_down = error.kind() == ErrorKind::ConnectionAborted;
            self.ended = shut_down || error.kind() == ErrorKind::NetworkDown;
            if shut_down {
                return None;
            }
        }
        Some(accepted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_ends_with_the_host_and_with_nothing_else() {
        let mut accepting = Accepting::default();
        assert_eq!(accepting.next(|| Ok(1)).unwrap().unwrap(), 1);
        let passing = accepting.next(|| Err::<(), _>(ErrorKind::WouldBlock.into()));
        assert_eq!(passing.unwrap().unwrap_err().kind(), ErrorKind::WouldBlock);
        let gone = accepting.next(|| Err::<(), _>(ErrorKind::NetworkDown.into()));
        assert_eq!(gone.unwrap().unwrap_err().kind(), ErrorKind::NetworkDown);
        assert!(accepting.next(|| Ok(2)).is_none(), "and never again");
        assert!(Accepting::default().next(|| Err::<(), _>(ErrorKind::ConnectionAborted.into())).is_none());
    }
}
