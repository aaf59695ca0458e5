//! When the caretaker means to wake, and how others make it wake earlier.

use super::clock;
use crate::sys::wait::Kick;
use crate::time::Instant;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The value of `wakes_at` while the caretaker is awake, or is about to be: no kick is needed then, because it looks at
/// everything again before it sleeps.
const AWAKE: u64 = 0;

/// The alarm clock of one sleeper.
///
/// The sleeper *first* [`set`](Alarm::set)s it and *then* looks a last time at what it must not miss; others *first*
/// change that and *then* [`ring_by`](Alarm::ring_by). All of it is sequentially consistent, so one of the two sees the
/// other, and no wake-up is lost. Only the first to find the sleeper sleeping too long pays for a system call.
pub(super) struct Alarm {
    wakes_at: AtomicU64,
    kick: Kick,
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
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    /// The sleeper's: it is awake. Kicks given so far are used up.
    pub(super) fn awake(&self) {
        self.wakes_at.store(AWAKE, Ordering::SeqCst);
        self.kick.drain();
    }

    /// Makes the sleeper wake at `at` at the latest.
    pub(super) fn ring_by(&self, at: Instant) {
        std::sync::atomic::fence(Ordering::SeqCst);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::wait::{PollFd, PollFlags, poll};

    fn kicked(alarm: &Alarm, timeout: Duration) -> bool {
        let mut fds = [PollFd::new(alarm, PollFlags::IN)];
        poll(&mut fds, Some(timeout)).unwrap() == 1
    }

    #[test]
    fn only_who_needs_it_earlier_kicks_and_only_the_first() {
        let alarm = Alarm::new().unwrap();
        let at = Instant::from_millis;
        alarm.ring();
        assert!(!kicked(&alarm, Duration::ZERO), "it is awake");
        alarm.set(Some(at(10)));
        alarm.ring_by(at(10));
        alarm.ring_by(at(11));
        assert!(!kicked(&alarm, Duration::ZERO), "it wakes early enough");
        alarm.ring_by(at(9));
        assert!(kicked(&alarm, Duration::ZERO));
        alarm.kick.drain();
        alarm.ring();
        assert!(!kicked(&alarm, Duration::ZERO), "it was kicked already");
        alarm.awake();
        alarm.set(None);
        alarm.ring_by(at(1 << 40));
        assert!(kicked(&alarm, Duration::ZERO), "it would sleep for ever");
        alarm.awake();
        alarm.ring_loudly();
        assert!(kicked(&alarm, Duration::ZERO));
    }

    /// The protocol of the caretaker: set, look, sleep; and of the others: change, ring.
    #[test]
    fn no_wake_up_is_lost() {
        const WORK: u64 = 100_000;
        let (alarm, given) = (Alarm::new().unwrap(), AtomicU64::new(0));
        let began = clock::now();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for n in 0..WORK / 2 {
                        given.fetch_add(1, Ordering::SeqCst);
                        alarm.ring();
                        if n % 64 == 0 {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let mut done = 0;
            while done < WORK {
                alarm.set(None);
                if given.load(Ordering::SeqCst) == done {
                    assert!(kicked(&alarm, Duration::from_secs(20)), "slept over {done} of {WORK}");
                }
                alarm.awake();
                done = given.load(Ordering::SeqCst);
            }
        });
        assert!(clock::now().since(began) < Duration::from_secs(60));
    }
}
