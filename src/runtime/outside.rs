//! Descriptors for those who wait outside: in poll(2), epoll(7) or somebody else's event loop.
//!
//! Such a one is no thread that could drive. While there is any, the caretaker drives and no other thread takes the role,
//! so that nothing waits until the role has changed hands.

use super::pollers::PollerId;
use super::shard::Shard;
use super::sync::{AtomicU64, Gate, Kick, Mutex, Ordering};
use super::wait::{Waiter, Wakeups};
use crate::error::Error;
use crate::stack::{Readiness, SocketId};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, PoisonError, Weak};

/// A descriptor that shows whether something is ready.
///
/// What it is to show is decided under the stack's lock, and shown after that is released, because it takes a system call.
/// Whoever shows it shows what is wanted by then, and every change is followed by a showing: so the last one is right. Who
/// waits for edges must see one even where two changes were shown as one, lowered and raised again, so changes are counted.
pub(crate) struct Signal {
    /// Changes so far: it is raised where that is odd.
    wanted: AtomicU64,
    /// How many of them were shown.
    shown: Mutex<u64>,
    fd: Fd,
}

const fn is_raised(changes: u64) -> bool {
    changes % 2 == 1
}

enum Fd {
    /// Polls readable (POLLIN).
    Readable(Kick),
    /// Polls writable (POLLOUT).
    Writable(Gate),
}

impl Signal {
    /// One that polls readable when it is raised. It is not.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(crate) fn readable() -> io::Result<Signal> {
        Ok(Signal::new(Fd::Readable(Kick::new()?)))
    }

    /// One that polls writable when it is raised. It is not.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(crate) fn writable() -> io::Result<Signal> {
        Ok(Signal::new(Fd::Writable(Gate::new()?)))
    }

    fn new(fd: Fd) -> Signal {
        Signal { wanted: AtomicU64::new(0), shown: Mutex::new(0), fd }
    }

    /// Raises or lowers it, under the stack's lock.
    pub(super) fn want(self: &Arc<Signal>, raised: bool, wakeups: &mut Wakeups) {
        if is_raised(self.wanted.load(Ordering::SeqCst)) != raised {
            self.wanted.fetch_add(1, Ordering::SeqCst);
            wakeups.push(Waiter::Outside(self.clone()));
        }
    }

    /// Shows what is wanted, without the stack's lock.
    pub(super) fn show(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.wanted.load(Ordering::SeqCst);
        let before = std::mem::replace(&mut *shown, wanted);
        if before == wanted {
            return;
        }
        if is_raised(before) {
            match &self.fd {
                Fd::Readable(kick) => _ = kick.drain(),
                Fd::Writable(gate) => gate.shut(),
            }
        }
        if is_raised(wanted) {
            match &self.fd {
                Fd::Readable(kick) => kick.kick(),
                Fd::Writable(gate) => gate.open(),
            }
        }
    }

    /// Raises it for good: what it stands for is no more.
    pub(crate) fn raise(&self) {
        self.wanted.fetch_or(1, Ordering::SeqCst);
        self.show();
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Fd::Readable(kick) => kick.as_fd(),
            Fd::Writable(gate) => gate.as_fd(),
        }
    }
}

/// A direction of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// What is received, or accepted.
    Read,
    /// Room for what is sent.
    Write,
}

/// The signals of one socket, while somebody has them.
#[derive(Default)]
pub(super) struct Signals {
    read: Weak<Signal>,
    write: Weak<Signal>,
}

impl Signals {
    fn of(&mut self, direction: Direction) -> &mut Weak<Signal> {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    /// The socket is `ready`. Room is believed to be gone only by those who were `refused`, as by those who wait for it:
    /// they alone are told that it is back.
    pub(super) fn show(&self, ready: Readiness, refused: bool, wakeups: &mut Wakeups) {
        let failed = ready.intersects(Readiness::ERROR | Readiness::HANGUP);
        if let Some(signal) = self.read.upgrade() {
            signal.want(failed || ready.contains(Readiness::READABLE), wakeups);
        }
        if let Some(signal) = self.write.upgrade() {
            let room = failed || ready.contains(Readiness::WRITABLE);
            if room || refused {
                signal.want(room, wakeups);
            }
        }
    }

    /// The socket or the host is no more.
    pub(super) fn raise(&self, wakeups: &mut Wakeups) {
        for signal in [&self.read, &self.write].into_iter().filter_map(Weak::upgrade) {
            signal.want(true, wakeups);
        }
    }
}

/// While it lives, somebody may wait outside, and the caretaker drives.
pub(crate) struct Outsider(Arc<Shard>);

impl Outsider {
    /// Somebody has come.
    pub(crate) fn new(shard: &Arc<Shard>) -> Outsider {
        shard.act_finally(|core, _| core.waits.outsiders += 1);
        shard.call_caretaker();
        Outsider(shard.clone())
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        self.0.act_finally(|core, _| core.waits.outsiders -= 1);
    }
}

impl Shard {
    /// The signal of a socket: whoever asks while another has it has the same.
    ///
    /// # Errors
    /// When no descriptor can be had; `BadHandle` if there is no such socket; what ended the host.
    pub(crate) fn signal(&self, id: SocketId, direction: Direction) -> io::Result<Arc<Signal>> {
        let new = Arc::new(match direction {
            Direction::Read => Signal::readable()?,
            Direction::Write => Signal::writable()?,
        });
        let signal = self.act(|core, _| {
            let ready = core.stack.readiness(id);
            let signals = core.waits.signals(id).ok_or(Error::BadHandle)?;
            let signal = signals.of(direction).upgrade().unwrap_or(new);
            *signals.of(direction) = Arc::downgrade(&signal);
            signals.show(ready, true, &mut core.wakeups);
            Ok(signal)
        });
        Ok(signal?)
    }

    /// `signal` shows from now on whether a poller has something to tell.
    pub(crate) fn show_poller(&self, poller: PollerId, signal: &Arc<Signal>) {
        let shown = self.act(|core, _| {
            core.waits.pollers.set_signal(poller, signal.clone(), &mut core.wakeups);
            Ok(())
        });
        if shown.is_err() {
            signal.raise(); // for waits fail
        }
    }
}
