//! What the waiting code is built on, gathered in one place so that the model of it (`model`, in tests) can put its
//! own in their stead: locks, atomics, threads' own variables, the clock, and sleeping on descriptors.

pub(super) use super::clock;
pub(super) use crate::sys::wait::{Gate, Kick, PollFd, PollFlags, poll};
pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
pub(super) use std::thread::yield_now;
pub(super) use std::thread_local;

use core::time::Duration;
use std::sync::PoisonError;

/// Waits until notified, at most for `time`. `guard` is one of `mutex`.
pub(super) fn wait_at_most<'a, T>(
    condvar: &Condvar,
    _mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> MutexGuard<'a, T> {
    condvar.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner).0
}
