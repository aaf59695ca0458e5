//! When the driver means to wake, and how others make it wake earlier.

use super::sync::{AtomicU64, Kick, Ordering, clock, fence};
use crate::time::Instant;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// The value of `wakes_at` while the driver is awake, or is about to be, or there is none: no kick is needed then, because
/// a driver looks at everything before it sleeps.
const AWAKE: u64 = 0;

/// The alarm clock of the one who drives.
///
/// The sleeper *first* [`set`](Alarm::set)s it and *then* looks a last time at what it must not miss; others *first*
/// change that and *then* [`ring_by`](Alarm::ring_by). All of it is sequentially consistent, so one of the two sees the
/// other, and no wake-up is lost. Only the first to find the sleeper sleeping too long pays for a system call.
pub(super) struct Alarm {
    wakes_at: AtomicU64,
    pub(super) kick: Kick,
}

impl Alarm {
    /// An alarm of a sleeper that is awake.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(super) fn new() -> io::Result<Alarm> {
        Ok(Alarm { wakes_at: AtomicU64::new(AWAKE), kick: Kick::new()? })
    }

    /// The sleeper's: it means to sleep until `at`, or for ever.
    pub(super) fn set(&self, at: Option<Instant>) {
        self.wakes_at.store(at.map_or(u64::MAX, |at| at.as_nanos().max(1)), Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Whether it was rung since it was set.
    pub(super) fn has_rung(&self) -> bool {
        self.wakes_at.load(Ordering::SeqCst) == AWAKE
    }

    /// The sleeper's: it is awake. `kicked` says whether the descriptor was seen readable; then kicks given so far are
    /// used up. One that comes later, from somebody who rang in time, wakes the next sleeper once for nothing.
    pub(super) fn awake(&self, kicked: bool) {
        self.wakes_at.store(AWAKE, Ordering::SeqCst);
        if kicked {
            self.kick.drain();
        }
    }

    /// Makes the sleeper wake at `at` at the latest.
    pub(super) fn ring_by(&self, at: Instant) {
        fence(Ordering::SeqCst);
        let planned = self.wakes_at.load(Ordering::SeqCst);
        // `AWAKE` is never later than `at`; and whoever fails to exchange was preceded by one who kicks or by the
        // sleeper itself waking.
        if planned > at.as_nanos()
            && self.wakes_at.compare_exchange(planned, AWAKE, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            self.kick.kick();
        }
    }

    /// Wakes the sleeper now.
    pub(super) fn ring(&self) {
        self.ring_by(Instant::ZERO);
    }

    /// Wakes the sleeper now, whatever it is thought to be doing: for the rare cases that must not fail.
    pub(super) fn ring_loudly(&self) {
        self.kick.kick();
    }
}

impl AsFd for Alarm {
    /// Polls readable when kicked.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.kick.as_fd()
    }
}

/// How long it is from now to `at`; `None` is for ever.
pub(super) fn time_left(at: Option<Instant>) -> Option<Duration> {
    at.map(|at| at.since(clock::now()))
}
