//! What the runtime is built on, as the model has it: locks and threads are shuttle's, which tries many orders of what
//! they do; the clock stands still but for short sleeps, which may end at any moment; and a sleep on descriptors, which
//! are real ones, ends when one of them was made ready.
//!
//! Longer times never pass. So a wake-up that is lost cannot be made good by a timer: it is a deadlock, and found.

use crate::sys::wait as real;
use core::time::Duration;
pub(super) use real::{PollFd, PollFlags};
pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
pub(super) use shuttle::sync::{Mutex, MutexGuard};
pub(super) use shuttle::thread::yield_now;
pub(super) use shuttle::thread_local;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::LockResult;

/// Sleeps of at most this may end at any moment: the caretaker's between two looks are such.
const SHORT: Duration = Duration::from_millis(10);

/// What can be wrong with the world: the model must find each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A kick makes no descriptor ready.
    LostKick,
    /// A condition variable wakes nobody.
    LostNotice,
    /// A short sleep never ends: the caretaker does not look after the role.
    NoLook,
}

shuttle::lazy_static! {
    /// The one thing that is wrong, if any.
    static ref FAULT: std::sync::Mutex<Option<Fault>> = std::sync::Mutex::new(None);
    /// Nanoseconds that have passed.
    static ref TIME: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    /// Who sleeps on descriptors.
    static ref SLEEPERS: (Mutex<()>, shuttle::sync::Condvar) = Default::default();
}

pub(super) fn break_by(fault: Option<Fault>) {
    *FAULT.lock().unwrap() = fault;
}

fn is_broken_by(fault: Fault) -> bool {
    *FAULT.lock().unwrap() == Some(fault)
}

pub(super) mod clock {
    use crate::time::Instant;
    use std::sync::atomic::Ordering;

    pub(in super::super) fn now() -> Instant {
        Instant::from_nanos(super::TIME.load(Ordering::SeqCst))
    }
}

/// Lets a short sleep end. False for a longer one.
fn pass(time: Duration) -> bool {
    if time > SHORT || is_broken_by(Fault::NoLook) && !time.is_zero() {
        return false;
    }
    TIME.fetch_add(time.as_nanos() as u64, std::sync::atomic::Ordering::SeqCst);
    shuttle::thread::yield_now();
    true
}

#[derive(Default)]
pub(super) struct Condvar(shuttle::sync::Condvar);

impl Condvar {
    pub(super) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    pub(super) fn notify_one(&self) {
        if !is_broken_by(Fault::LostNotice) {
            self.0.notify_one();
        }
    }
}

/// Waits until notified. A short wait releases the lock for a moment only, so that it may or may not be notified.
pub(super) fn wait_at_most<'a, T>(
    condvar: &Condvar,
    mutex: &'a Mutex<T>,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> MutexGuard<'a, T> {
    if time > SHORT || is_broken_by(Fault::NoLook) {
        return condvar.wait(guard).unwrap();
    }
    drop(guard);
    pass(time);
    mutex.lock().unwrap()
}

pub(super) struct Kick(real::Kick);

impl Kick {
    pub(super) fn new() -> io::Result<Kick> {
        real::Kick::new().map(Kick)
    }

    pub(super) fn kick(&self) {
        shuttle::thread::yield_now();
        if !is_broken_by(Fault::LostKick) {
            self.0.kick();
            stir();
        }
    }

    pub(super) fn drain(&self) -> bool {
        shuttle::thread::yield_now();
        self.0.drain()
    }
}

impl AsFd for Kick {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

pub(super) struct Gate(real::Gate);

impl Gate {
    pub(super) fn new() -> io::Result<Gate> {
        real::Gate::new().map(Gate)
    }

    pub(super) fn shut(&self) {
        shuttle::thread::yield_now();
        self.0.shut();
    }

    pub(super) fn open(&self) {
        shuttle::thread::yield_now();
        if !is_broken_by(Fault::LostKick) {
            self.0.open();
            stir();
        }
    }
}

impl AsFd for Gate {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A descriptor may have become ready.
pub(super) fn stir() {
    let sleepers = SLEEPERS.0.lock().unwrap();
    SLEEPERS.1.notify_all();
    drop(sleepers);
}

pub(super) fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    if timeout.is_some_and(pass) {
        return real::poll(fds, Some(Duration::ZERO));
    }
    let mut sleepers = SLEEPERS.0.lock().unwrap();
    loop {
        match real::poll(fds, Some(Duration::ZERO))? {
            0 => sleepers = SLEEPERS.1.wait(sleepers).unwrap(),
            ready => return Ok(ready),
        }
    }
}
