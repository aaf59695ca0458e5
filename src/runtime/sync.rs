//! What the waiting code is built on, gathered in one place so that the model of it (`model`, in tests) can put its
//! own in their stead: locks, atomics, threads' own variables, the clock, and sleeping on descriptors.

pub(super) use super::clock;
pub(super) use crate::sys::wait::{Kick, PollFd, PollFlags, poll};
pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
pub(super) use std::thread_local;
