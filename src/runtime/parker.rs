//! Where one thread sleeps.

use super::alarm::time_left;
use super::sync::{AtomicBool, AtomicU64, Condvar, Mutex, Ordering, thread_local, wait_at_most};
use crate::time::Instant;
use core::time::Duration;
use std::sync::{Arc, PoisonError};

/// A thread that comes back to wait within this time is *quick*: the driver's role is left free for it, because waking
/// another thread to fill the gap would cost more than the gap.
pub(super) const QUICK: Duration = Duration::from_micros(200);

/// `returned` of a thread that has not waited yet.
const NEVER: u64 = u64::MAX;

/// Where one thread sleeps that waits for sockets, unless it drives: then it sleeps on the device.
pub(super) struct Parker {
    state: Mutex<State>,
    condition: Condvar,
    /// When its last wait ended, in nanoseconds.
    returned: AtomicU64,
    quick: AtomicBool,
}

#[derive(Default)]
struct State {
    woken: bool,
    parked: bool,
}

thread_local! {
    static PARKER: Arc<Parker> = Arc::default();
}

impl Default for Parker {
    fn default() -> Parker {
        Parker {
            state: Mutex::default(),
            condition: Condvar::default(),
            returned: AtomicU64::new(NEVER),
            quick: AtomicBool::new(false),
        }
    }
}

impl Parker {
    /// The calling thread's own. It may hold a wake-up left from an earlier wait, so a sleeper looks at its condition
    /// again whatever woke it. (`std::thread::park` is not used because its token belongs to the application.)
    pub(super) fn current() -> Arc<Parker> {
        PARKER.try_with(Arc::clone).unwrap_or_default() // a thread that is ending has lost its own
    }

    /// Sleeps until woken or until `until` (`None` is for ever), and uses the wake-up up. True if it was woken.
    pub(super) fn park(&self, until: Option<Instant>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.parked = true;
        while !state.woken {
            match time_left(until) {
                None => state = self.condition.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => state = wait_at_most(&self.condition, &self.state, state, left),
            }
        }
        state.parked = false;
        std::mem::take(&mut state.woken)
    }

    /// Wakes it. False if it was not asleep here: it may drive, and the driver's alarm must be rung.
    pub(super) fn unpark(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.woken = true;
        let parked = state.parked;
        drop(state);
        if parked {
            self.condition.notify_one();
        }
        parked
    }

    /// Whether it was woken since it last slept here or asked [`take_woken`](Parker::take_woken).
    pub(super) fn is_woken(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).woken
    }

    /// As [`is_woken`](Parker::is_woken), and uses the wake-up up.
    pub(super) fn take_woken(&self) -> bool {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).woken)
    }

    /// The thread's: it goes back to its own work.
    pub(super) fn returns(&self, now: Instant) {
        self.returned.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// The thread's: it has come to wait again.
    pub(super) fn comes(&self, now: Instant) {
        let returned = self.returned.load(Ordering::Relaxed);
        let quick = returned != NEVER && now.as_nanos().saturating_sub(returned) <= QUICK.as_nanos() as u64;
        self.quick.store(quick, Ordering::Relaxed);
    }

    /// Whether it is expected to wait again soon once it is woken: it did so the last time.
    pub(super) fn is_quick(&self) -> bool {
        self.quick.load(Ordering::Relaxed)
    }
}
