//! How long a socket's calls wait: its time-outs and whether it blocks at all.

use super::error::invalid;
use crate::runtime::{Patience, clock};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What all clones of one socket share, as they share a file description with the kernel.
#[derive(Debug, Default)]
pub(super) struct Blocking {
    nonblocking: AtomicBool,
    /// A copy of the stream's SO_RCVLOWAT, for those who wait; zero is as good as 1.
    low_water: AtomicU32,
    pub(super) read: Timeout,
    pub(super) write: Timeout,
}

impl Blocking {
    pub(super) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    pub(super) fn set_low_water(&self, bytes: u32) {
        self.low_water.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn low_water(&self) -> usize {
        self.low_water.load(Ordering::Relaxed) as usize
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    /// Has the time-outs of `other` from now on.
    pub(super) fn inherit(&self, other: &Blocking) {
        self.read.copy(&other.read);
        self.write.copy(&other.write);
    }

    /// How long a call that begins now may wait.
    pub(super) fn patience(&self, timeout: &Timeout) -> Patience {
        if self.is_nonblocking() {
            return Patience::None;
        }
        timeout.get().map_or(Patience::Forever, |timeout| Patience::Until(clock::now() + timeout))
    }
}

/// A time-out in nanoseconds, zero being none.
#[derive(Debug, Default)]
pub(super) struct Timeout(AtomicU64);

impl Timeout {
    pub(super) fn set(&self, timeout: Option<Duration>) -> io::Result<()> {
        if let Some(timeout) = timeout {
            check_nonzero(timeout)?;
        }
        let nanos = timeout.map_or(0, |t| u64::try_from(t.as_nanos()).unwrap_or(u64::MAX));
        self.0.store(nanos, Ordering::Relaxed);
        Ok(())
    }

    fn copy(&self, other: &Timeout) {
        self.0.store(other.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

/// As std: a time-out of zero is a mistake.
pub(super) fn check_nonzero(timeout: Duration) -> io::Result<()> {
    if timeout.is_zero() { Err(invalid("cannot set a 0 duration timeout")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_as_in_std() {
        let blocking = Blocking::default();
        assert_eq!(blocking.patience(&blocking.read), Patience::Forever);
        blocking.read.set(Some(Duration::from_millis(7))).unwrap();
        assert_eq!(blocking.read.get(), Some(Duration::from_millis(7)));
        let now = clock::now();
        match blocking.patience(&blocking.read) {
            Patience::Until(at) => assert!(at.since(now) >= Duration::from_millis(7)),
            other => panic!("{other:?}"),
        }
        assert_eq!(blocking.patience(&blocking.write), Patience::Forever);

        let kernel = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let (ours, theirs) = (
            blocking.read.set(Some(Duration::ZERO)).unwrap_err(),
            kernel.set_read_timeout(Some(Duration::ZERO)).unwrap_err(),
        );
        assert_eq!((ours.kind(), ours.to_string()), (theirs.kind(), theirs.to_string()));
        assert_eq!(blocking.read.get(), Some(Duration::from_millis(7)), "and nothing is changed");

        blocking.set_nonblocking(true);
        assert_eq!(blocking.patience(&blocking.read), Patience::None);
        blocking.read.set(None).unwrap();
        assert_eq!(blocking.read.get(), None);
    }
}
