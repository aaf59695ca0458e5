//! A shard: one stack behind one lock, one device, and those who wait.

use super::alarm::Alarm;
use super::caretaker;
use super::clock;
use super::tap::{Tap, Taps};
use super::transmit::TxQueue;
use super::wait::{Parker, Waiter, Waits, Wakeups};
use crate::buf::Pool;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::stack::{Readiness, SocketId, Stack};
use crate::time::Instant;
use crate::trace::TraceEvent;
use crate::wire::RxFrame;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Free chunks that a shard keeps for reuse: 8 MiB.
const POOLED_CHUNKS: usize = 128;

/// How long the last frames of a host that shuts down may take to be written.
const LAST_FRAMES: Duration = Duration::from_millis(100);

/// Connections that are reset in one hold of the lock.
const RESETS: usize = 256;

/// Why a host has ended.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// It was shut down.
    Shutdown,
    /// Its device is gone or broken.
    Device(Arc<io::Error>),
    /// The stack has panicked.
    Panic,
}

impl Ending {
    /// What sockets fail with from then on.
    pub(crate) fn error(&self) -> Error {
        match self {
            Ending::Shutdown => Error::ConnectionAborted,
            Ending::Device(_) | Ending::Panic => Error::NetworkDown,
        }
    }
}

/// How long a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// Until then.
    Until(Instant),
    /// As long as it takes.
    Forever,
}

/// What the lock protects.
pub(crate) struct Core {
    pub(crate) stack: Stack,
    waits: Waits,
    taps: Taps,
    closing: bool,
    ending: Option<Ending>,
    wakeups: Wakeups,
}

impl Core {
    /// `id` now belongs to an application.
    pub(crate) fn adopt(&mut self, id: SocketId) {
        self.waits.open(id);
    }

    /// `id` is about to be closed, and whoever waits on it woken.
    pub(crate) fn disown(&mut self, id: SocketId) {
        self.waits.close(id, &mut self.wakeups);
    }

    /// Wakes all who wait on `id`, whatever for.
    pub(crate) fn wake_all_on(&mut self, id: SocketId) {
        self.waits.collect_socket(id, &mut self.wakeups);
    }

    /// Whether new sockets may be made.
    ///
    /// # Errors
    /// `ConnectionAborted` while the host is shutting down.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closing { Err(Ending::Shutdown.error()) } else { Ok(()) }
    }

    /// Whether the host has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ending.is_some()
    }

    fn collect(&mut self) -> Wakeups {
        let mut wakeups = std::mem::take(&mut self.wakeups);
        self.waits.collect(&mut self.stack, &mut wakeups);
        wakeups
    }

    pub(super) fn on_frame(&mut self, now: Instant, frame: RxFrame) {
        if self.taps.is_empty() {
            self.stack.on_frame(now, frame);
            return;
        }
        let shown = frame.clone();
        let disposition = self.stack.on_frame(now, frame);
        let events: Vec<TraceEvent> = self.stack.trace().take().collect();
        self.taps.rx(now, &shown, disposition, &events);
    }

    /// Pulls frames; true if there is something to write.
    fn fill(&mut self, tx: &TxQueue, now: Instant) -> bool {
        tx.fill(|| {
            let frame = self.stack.poll_transmit(now)?;
            if !self.taps.is_empty() {
                let events: Vec<TraceEvent> = self.stack.trace().take().collect();
                self.taps.tx(now, &frame, &events);
            }
            Some(frame)
        })
    }
}

/// The lock, held. If its holder panics, the caretaker is woken to tell everybody.
pub(super) struct Locked<'a> {
    core: MutexGuard<'a, Core>,
    alarm: &'a Alarm,
}

impl Deref for Locked<'_> {
    type Target = Core;
    fn deref(&self) -> &Core {
        &self.core
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Core {
        &mut self.core
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.alarm.ring_loudly();
        }
    }
}

/// One stack, one device, one caretaker.
pub(crate) struct Shard {
    core: Mutex<Core>,
    pub(super) tx: TxQueue,
    pub(super) alarm: Alarm,
    pub(super) pool: Pool,
}

impl Shard {
    /// Starts the caretaker's thread.
    ///
    /// # Errors
    /// When no descriptor or no thread can be had.
    pub(crate) fn start(
        stack: Stack,
        device: Arc<dyn Device>,
        taps: Vec<Box<dyn Tap>>,
    ) -> io::Result<(Arc<Shard>, JoinHandle<()>)> {
        let core = Core {
            stack,
            waits: Waits::default(),
            taps: Taps::new(taps),
            closing: false,
            ending: None,
            wakeups: Wakeups::default(),
        };
        let shard = Arc::new(Shard {
            core: Mutex::new(core),
            tx: TxQueue::new(device.clone()),
            alarm: Alarm::new()?,
            pool: Pool::new(POOLED_CHUNKS),
        });
        let caretaker = {
            let shard = shard.clone();
            std::thread::Builder::new().name("tunstack".into()).spawn(move || caretaker::main(&shard, device))?
        };
        Ok((shard, caretaker))
    }

    /// Chunks for data to be sent.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Frames that the device refused.
    pub(crate) fn send_errors(&self) -> u64 {
        self.tx.errors()
    }

    /// The lock.
    ///
    /// # Errors
    /// `NetworkDown` if a thread has panicked while it held the lock: the stack is then in no state to go on.
    pub(super) fn lock(&self) -> Result<Locked<'_>> {
        match self.core.lock() {
            Ok(core) => Ok(Locked { core, alarm: &self.alarm }),
            Err(_) => Err(Error::NetworkDown),
        }
    }

    /// Ends a hold of the lock: pulls what there is to send and collects whom to wake, unlocks, and does both.
    pub(super) fn finish(&self, core: Locked<'_>, now: Instant) {
        let (write, wakeups) = self.leave(core, now);
        if write {
            self.transmit();
        }
        wakeups.wake();
    }

    /// Writes what is queued, unless another thread is at it.
    pub(super) fn transmit(&self) {
        let left = self.tx.drain(|| {
            // A poisoned lock is for the caretaker to report: it was woken.
            if let Ok(core) = self.lock() {
                self.leave(core, clock::now()).1.wake();
            }
        });
        if let Some(deadline) = left.device_deadline {
            self.alarm.ring_by(deadline);
        }
        if left.work {
            self.alarm.ring();
        }
    }

    /// Pulls frames, collects whom to wake, and unlocks. True if there is something to write.
    fn leave(&self, mut core: Locked<'_>, now: Instant) -> (bool, Wakeups) {
        let write = core.fill(&self.tx, now);
        let deadline = core.stack.deadline();
        let wakeups = core.collect();
        drop(core);
        if let Some(deadline) = deadline {
            self.alarm.ring_by(deadline);
        }
        (write, wakeups)
    }

    /// Looks at the stack without changing anything.
    ///
    /// # Errors
    /// `look`'s, and `NetworkDown` if the stack has panicked.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut Stack) -> Result<T>) -> Result<T> {
        look(&mut self.lock()?.stack)
    }

    /// Does something on the stack, and sends what follows from it.
    ///
    /// # Errors
    /// `act`'s, or what ended the host.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut Core, Instant) -> Result<T>) -> Result<T> {
        let mut core = self.lock()?;
        if let Some(ending) = &core.ending {
            return Err(ending.error());
        }
        let now = clock::now();
        let result = act(&mut core, now);
        self.finish(core, now);
        result
    }

    /// As [`act`](Shard::act), but also after the host's end: for closing.
    pub(crate) fn act_finally(&self, act: impl FnOnce(&mut Core, Instant)) {
        if let Ok(mut core) = self.lock() {
            let now = clock::now();
            act(&mut core, now);
            self.finish(core, now);
        }
    }

    /// Tries `act` until it gives something else than `WouldBlock`, and waits for `interest` in `id` between tries.
    ///
    /// What was received before the host's end can still be read after it.
    ///
    /// # Errors
    /// `act`'s; `WouldBlock` when `patience` is at its end; or what ended the host.
    pub(crate) fn wait<T>(
        &self,
        id: SocketId,
        interest: Readiness,
        patience: Patience,
        mut act: impl FnMut(&mut Core, Instant) -> Result<T>,
    ) -> Result<T> {
        let mut registered: Option<(Arc<Parker>, Waiter)> = None;
        loop {
            let mut core = self.lock()?;
            if let Some((_, waiter)) = &registered {
                core.waits.deregister(id, waiter);
            }
            if interest != Readiness::READABLE
                && let Some(ending) = &core.ending
            {
                return Err(ending.error());
            }
            let now = clock::now();
            let result = match (act(&mut core, now), &core.ending) {
                (Err(_), Some(ending)) => Err(ending.error()),
                (Err(Error::BadHandle), None) if core.closing => Err(Ending::Shutdown.error()),
                (result, _) => result,
            };
            let until = match patience {
                _ if !matches!(result, Err(Error::WouldBlock)) => None,
                Patience::None => None,
                Patience::Until(at) => (now < at).then_some(Some(at)),
                Patience::Forever => Some(None),
            };
            let Some(until) = until else {
                self.finish(core, now);
                return result;
            };
            let (parker, waiter) = registered.get_or_insert_with(|| {
                let parker = Parker::current();
                (parker.clone(), Waiter::Thread(parker))
            });
            // Before `finish`, because pulling frames can make the socket ready (a full datagram queue has room then).
            if !core.waits.register(id, interest, waiter.clone()) {
                return Err(Error::BadHandle);
            }
            self.finish(core, now);
            parker.park(until);
        }
    }

    /// Waits until `done`, which is asked again whenever anything has happened, or until `at`. True if `done`.
    pub(crate) fn wait_for(&self, at: Instant, mut done: impl FnMut(&mut Stack) -> bool) -> bool {
        let parker = Parker::current();
        loop {
            let Ok(mut core) = self.lock() else {
                return false;
            };
            if done(&mut core.stack) {
                return true;
            }
            if core.ending.is_some() || clock::now() >= at {
                return false;
            }
            core.waits.register_progress(Waiter::Thread(parker.clone()));
            drop(core);
            parker.park(Some(at));
        }
    }

    // ---- the end ----

    /// Whether packets are still being served.
    pub(crate) fn is_alive(&self) -> bool {
        self.lock().is_ok_and(|core| core.ending.is_none())
    }

    /// Waits for the end and says how it came.
    pub(crate) fn wait_for_end(&self) -> Ending {
        let parker = Parker::current();
        loop {
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(ending) = &core.ending {
                return ending.clone();
            }
            core.waits.register_end(Waiter::Thread(parker.clone()));
            drop(core);
            parker.park(None);
        }
    }

    /// Takes leave of the peers: no new sockets, listeners closed, FIN on all connections; after `grace` RST on those
    /// that are left, and the end.
    pub(crate) fn shut_down(&self, grace: Duration) {
        let until = clock::now() + grace;
        self.act_finally(|core, now| {
            core.closing = true;
            for id in core.waits.ids() {
                match id {
                    SocketId::Listener(listener) => {
                        core.disown(id);
                        // Errors mean that it is gone already, which is what is wanted.
                        let _ = core.stack.listener_close(now, listener);
                    }
                    SocketId::Tcp(tcp) => {
                        let _ = core.stack.tcp_shutdown(now, tcp, crate::stack::Shutdown::Write);
                    }
                    SocketId::Udp(_) => {}
                }
            }
        });
        self.wait_for(until, |stack| !stack.tcp_snapshot().iter().any(|c| is_open(c.state)));
        self.reset_all();
        // The last frames may be in another thread's hands, or the device full for a moment.
        for _ in 0..LAST_FRAMES.as_millis() {
            if self.tx.is_idle() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            self.transmit();
        }
        self.end(Ending::Shutdown);
    }

    /// Resets what is still open, in portions for which the stack's queue of replies has room.
    fn reset_all(&self) {
        let mut held = self.lock().map(|core| core.waits.ids()).unwrap_or_default().into_iter();
        let mut more = true;
        while more {
            more = false;
            self.act_finally(|core, now| {
                let mut left = RESETS;
                for id in held.by_ref() {
                    if let SocketId::Tcp(tcp) = id {
                        // An error means that its holder has just closed it.
                        let _ = core.stack.tcp_abort(now, tcp);
                        left -= 1;
                    }
                    if left == 0 {
                        break;
                    }
                }
                more = left == 0 || core.stack.tcp_abort_orphans(now, left) == left;
            });
        }
    }

    /// The end, at once.
    pub(crate) fn stop(&self) {
        self.end(Ending::Shutdown);
    }

    /// The end, by whatever comes first: everybody is woken, the taps flushed, the device let go.
    pub(super) fn end(&self, ending: Ending) {
        // What the lists and taps hold is whole even if the stack has panicked.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        if core.ending.is_some() {
            return;
        }
        match &ending {
            Ending::Shutdown => log::debug!("the host is shut down"),
            Ending::Device(error) => log::error!("the device is gone: {error}"),
            Ending::Panic => log::error!("the stack has panicked"),
        }
        core.ending = Some(ending);
        let mut wakeups = std::mem::take(&mut core.wakeups);
        core.waits.collect_all(&mut wakeups);
        drop(core);
        self.tx.end();
        wakeups.wake();
        self.alarm.ring_loudly();
        self.flush_taps();
    }

    /// Has the taps store what they were shown so far.
    pub(crate) fn flush_taps(&self) {
        self.core.lock().unwrap_or_else(PoisonError::into_inner).taps.flush();
    }
}

/// Whether there is still something to be exchanged with the peer.
fn is_open(state: crate::tcp::state::State) -> bool {
    use crate::tcp::state::State;
    !matches!(state, State::Closed | State::Listen | State::TimeWait)
}
