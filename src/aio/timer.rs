//! A timer of the kernel's: tokio's own has a resolution of a millisecond, and needs a runtime that was made with timers.

use crate::sys::tasks::watch;
use crate::sys::wait::TimerFd;
use crate::time::Instant;
use core::task::{Context, Poll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// Wakes a task at some time.
pub(super) struct Timer {
    timer: TimerFd,
    /// The same, watched.
    fd: AsyncFd<OwnedFd>,
    /// When it goes off.
    at: Option<Instant>,
}

impl Timer {
    /// One that is not set.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(super) fn new() -> io::Result<Timer> {
        let timer = TimerFd::new()?;
        let fd = watch(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Timer { timer, fd, at: None })
    }

    /// Ready once it is `at`, as far as `now` and the descriptor say; the task may be woken earlier.
    pub(super) fn poll_at(&mut self, cx: &mut Context<'_>, now: Instant, at: Instant) -> io::Result<Poll<()>> {
        if at <= now {
            return Ok(Poll::Ready(()));
        }
        // A deadline that moves away, as most do, costs no system call: the timer is early then.
        if self.at.is_none_or(|set| set > at || set <= now) {
            self.timer.set(at.since(now))?;
            self.at = Some(at);
        }
        while let Poll::Ready(guard) = self.fd.poll_read_ready(cx) {
            let mut guard = guard?;
            guard.clear_ready();
            if self.timer.take() {
                self.at = None;
                return Ok(Poll::Ready(()));
            }
        }
        Ok(Poll::Pending)
    }
}
