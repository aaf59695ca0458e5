//! A shard: one stack behind one lock, one device, and those who wait.

use super::alarm::Alarm;
use super::batch;
use super::caretaker;
use super::driver::{Farewell, Reader};
use super::mailbox::Mailbox;
use super::parker::Parker;
use super::role::Role;
use super::siblings::Siblings;
use super::spin::Spin;
use super::sync::{AtomicBool, Mutex, MutexGuard, Ordering, clock};
use super::tap::{Tap, Taps};
use super::transmit::TxQueue;
#[cfg(feature = "tokio")]
use super::wait::Seat;
use super::wait::{Waiter, Waits, Wakeups};
use crate::buf::Pool;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::stack::{SocketId, Stack};
use crate::stats::Disposition;
use crate::time::Instant;
use crate::trace::TraceEvent;
use crate::wire::RxFrame;
use core::ops::{Deref, DerefMut};
#[cfg(feature = "tokio")]
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

/// How long the last frames of a host that shuts down may take to be written.
const LAST_FRAMES: Duration = Duration::from_millis(100);

/// How long the caretaker waits at the end for the one who drives to give the device back. It takes no longer than a
/// system call, unless the application ends its host from within a waker.
const LAST_BATCH: Duration = Duration::from_secs(1);

/// Connections that are reset in one hold of the lock.
const RESETS: usize = 256;

/// Who reads the device and has the stack process what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drive {
    /// One of the threads that are blocked in a call, so that what it waits for comes without a hand-over between
    /// threads; while none is, the host's own thread.
    #[default]
    Caller,
    /// Always the host's own thread. For applications whose threads must do nothing but their own work.
    Caretaker,
}

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

impl Patience {
    /// Until when a call waits that must wait at `now`: `Some(None)` is for ever. `None` if it does not.
    pub(super) fn until(self, now: Instant) -> Option<Option<Instant>> {
        match self {
            Patience::None => None,
            Patience::Until(at) => (now < at).then_some(Some(at)),
            Patience::Forever => Some(None),
        }
    }
}

/// What the lock protects.
pub(crate) struct Core {
    pub(crate) stack: Stack,
    pub(super) waits: Waits,
    pub(super) role: Role,
    pub(super) taps: Taps,
    closing: bool,
    ending: Option<Ending>,
    pub(super) wakeups: Wakeups,
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

    /// Why it has ended, if it has.
    pub(super) fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Whether the host takes leave of its peers.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
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
        // What is for another shard is shown there.
        if disposition != Disposition::Misdirected {
            self.show(now, &shown, disposition);
        }
    }

    /// Shows a frame and what it caused.
    pub(super) fn show(&mut self, now: Instant, frame: &RxFrame, disposition: Disposition) {
        if !self.taps.is_empty() {
            let events: Vec<TraceEvent> = self.stack.trace().take().collect();
            self.taps.rx(now, frame, disposition, &events);
        }
    }

    /// Pulls frames; true if there is something to write.
    fn fill(&mut self, tx: &TxQueue, now: Instant) -> bool {
        tx.fill(|| {
            let next = self.stack.poll_transmit(now);
            if !self.taps.is_empty()
                && let Some(frame) = &next
            {
                let events: Vec<TraceEvent> = self.stack.trace().take().collect();
                self.taps.tx(now, frame, &events);
            }
            next
        })
    }
}

/// The lock, held. If its holder panics, the caretaker is woken to tell everybody.
pub(super) struct Locked<'a> {
    core: MutexGuard<'a, Core>,
    shard: &'a Shard,
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
            self.shard.alarm.ring_loudly();
            self.shard.caretaker.unpark();
        }
    }
}

/// What is to be done after the lock is released.
pub(super) struct Output {
    /// There is something to write.
    write: bool,
    /// When the stack wants to be called.
    pub(super) deadline: Option<Instant>,
    pub(super) wakeups: Wakeups,
}

impl Output {
    /// What is to be done but for what is to be sent: that is left for the next hold of the lock.
    pub(super) fn deferred(core: &mut Core) -> Output {
        let wakeups = core.collect();
        Output { write: false, deadline: core.stack.deadline(), wakeups }
    }
}

/// One stack, one device, one caretaker.
pub(crate) struct Shard {
    core: Mutex<Core>,
    pub(super) tx: TxQueue,
    pub(super) alarm: Alarm,
    pub(super) pool: Pool,
    pub(super) drive: Drive,
    pub(super) mailbox: Mailbox,
    pub(super) siblings: Siblings,
    /// Where the caretaker sleeps while it does not drive.
    caretaker: Arc<Parker>,
    reader_gone: Arc<AtomicBool>,
}

impl Shard {
    /// Starts the caretaker's thread.
    ///
    /// # Errors
    /// When no thread can be had.
    pub(crate) fn start(self: &Arc<Shard>) -> io::Result<JoinHandle<()>> {
        let shard = self.clone();
        std::thread::Builder::new().name("tunstack".into()).spawn(move || shard.take_care())
    }

    /// A shard whose caretaker is not [started](Shard::start) yet.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(crate) fn new(
        stack: Stack,
        device: Arc<dyn Device>,
        taps: Vec<Box<dyn Tap>>,
        drive: Drive,
        spin: Spin,
    ) -> io::Result<Shard> {
        let (caretaker, reader_gone) = <(Arc<Parker>, Arc<AtomicBool>)>::default();
        let farewell = Farewell { gone: reader_gone.clone(), caretaker: caretaker.clone() };
        let pool = stack.pool().clone();
        let core = Core {
            stack,
            waits: Waits::default(),
            role: Role::new(Reader::new(device.clone(), spin, farewell)),
            taps: Taps::new(taps),
            closing: false,
            ending: None,
            wakeups: Wakeups::default(),
        };
        Ok(Shard {
            core: Mutex::new(core),
            tx: TxQueue::new(device),
            alarm: Alarm::new()?,
            pool,
            drive,
            mailbox: Mailbox::default(),
            siblings: Siblings::default(),
            caretaker,
            reader_gone,
        })
    }

    /// The caretaker's thread.
    pub(super) fn take_care(&self) {
        caretaker::main(self, &self.caretaker);
    }

    /// Has the caretaker look what it is to do.
    pub(super) fn call_caretaker(&self) {
        self.caretaker.unpark();
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
            Ok(core) => Ok(Locked { core, shard: self }),
            Err(_) => Err(Error::NetworkDown),
        }
    }

    /// Towards the end of a hold of the lock: pulls what there is to send and collects whom to wake.
    pub(super) fn prepare(&self, core: &mut Core, now: Instant) -> Output {
        let write = core.fill(&self.tx, now);
        Output { write, ..Output::deferred(core) }
    }

    /// Ends a hold of the lock: unlocks, writes and wakes.
    pub(super) fn finish(&self, core: Locked<'_>, out: Output) {
        drop(core);
        if let Some(deadline) = out.deadline {
            self.alarm.ring_by(deadline);
        }
        if out.write {
            self.transmit();
        }
        out.wakeups.wake(&self.alarm);
    }

    /// The driver's, under the lock: it means to sleep until `deadline` or until the device wants it, and no longer than
    /// what this gives, for others rely on it.
    pub(super) fn plan(&self, reader: &Reader, deadline: Option<Instant>) -> Option<Instant> {
        let planned = Instant::earlier(deadline, reader.device_deadline(self));
        self.alarm.set(planned);
        planned
    }

    /// Writes what is queued, unless another thread is at it.
    pub(super) fn transmit(&self) {
        let left = self.tx.drain(|| {
            // A poisoned lock is for the caretaker to report: it was woken.
            if let Ok(mut core) = self.lock() {
                let Output { deadline, wakeups, .. } = self.prepare(&mut core, clock::now());
                self.finish(core, Output { write: false, deadline, wakeups });
            }
        });
        if let Some(deadline) = left.device_deadline {
            self.alarm.ring_by(deadline);
        }
        if left.work {
            self.alarm.ring();
        }
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
        if !batch::defers() {
            let out = self.prepare(&mut core, now);
            self.finish(core, out);
        }
        result
    }

    /// As [`act`](Shard::act), but also after the host's end: for closing.
    pub(crate) fn close(&self, act: impl FnOnce(&mut Core, Instant)) {
        if let Ok(mut core) = self.lock() {
            let now = clock::now();
            act(&mut core, now);
            if !batch::defers() {
                let out = self.prepare(&mut core, now);
                self.finish(core, out);
            }
        }
    }

    /// As [`close`](Shard::close), at once also in a batch.
    pub(crate) fn act_finally(&self, act: impl FnOnce(&mut Core, Instant)) {
        batch::press();
        self.close(act);
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

    /// Begins to take leave of the peers: no new sockets, listeners closed, FIN on all connections.
    pub(crate) fn take_leave(&self) {
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
                    SocketId::SynGate(gate) => {
                        core.disown(id);
                        let _ = core.stack.syn_gate_close(gate);
                    }
                    SocketId::UdpGate(gate) => {
                        core.disown(id);
                        let _ = core.stack.udp_gate_close(gate);
                    }
                    SocketId::Udp(_) | SocketId::Raw(_) => {}
                }
            }
        });
    }

    /// Waits until all connections are over, or until `until`; then RST on those that are left.
    pub(crate) fn finish_leave(&self, until: Instant) {
        self.wait_for(until, has_taken_leave);
        self.reset_all();
        // The last frames may be in another thread's hands, or the device full for a moment.
        for _ in 0..LAST_FRAMES.as_millis() {
            if self.has_sent_all() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// As the first half of [`finish_leave`](Shard::finish_leave), for a task: whether all connections are over.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_leave(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(mut core) = self.lock() else { return Poll::Ready(()) };
        if core.has_ended() || has_taken_leave(&mut core.stack) {
            return Poll::Ready(());
        }
        core.waits.register_progress(Waiter::Task(cx.waker().clone(), Seat::Shared));
        Poll::Pending
    }

    /// Writes what can be written. Whether that is all.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.transmit();
        self.tx.is_idle()
    }

    /// Resets what is still open, in portions for which the stack's queue of replies has room.
    pub(crate) fn reset_all(&self) {
        let mut held = self.lock().map(|core| core.waits.ids()).unwrap_or_default().into_iter();
        let (mut more, mut waits) = (true, LAST_FRAMES.as_millis());
        while more && waits > 0 {
            more = false;
            let mut room = 1;
            self.act_finally(|core, now| {
                room = core.stack.room_for_replies();
                let mut left = room.min(RESETS);
                while left > 0
                    && let Some(id) = held.next()
                {
                    if let SocketId::Tcp(tcp) = id {
                        // An error means that its holder has just closed it.
                        let _ = core.stack.tcp_abort(now, tcp);
                        left -= 1;
                    }
                }
                more = left == 0 || core.stack.tcp_abort_orphans(now, left) == left;
            });
            if room == 0 {
                // The frames are in the hands of a thread that does not run at the moment, or the device is full.
                self.transmit();
                std::thread::sleep(Duration::from_millis(1));
                waits -= 1;
            }
        }
    }

    /// The end, at once.
    pub(crate) fn stop(&self) {
        self.end(Ending::Shutdown);
    }

    /// The end, by whatever comes first: everybody is woken, the taps flushed, the device let go. It is also the end of
    /// the host's other shards.
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
        core.ending = Some(ending.clone());
        let mut wakeups = std::mem::take(&mut core.wakeups);
        core.waits.collect_all(&mut wakeups);
        wakeups.push(Waiter::Thread(self.caretaker.clone()));
        drop(core);
        self.tx.end();
        wakeups.wake(&self.alarm);
        self.alarm.ring_loudly();
        self.flush_taps();
        self.siblings.end(&ending);
    }

    /// Whether the device is let go: it is some time after the end.
    #[cfg(feature = "tokio")]
    pub(crate) fn has_let_go(&self) -> bool {
        self.reader_gone.load(Ordering::SeqCst)
    }

    /// The caretaker's, after the end: waits until nobody reads the device any longer.
    pub(super) fn close_device(&self) {
        let until = clock::now() + LAST_BATCH;
        let reader = self.core.lock().unwrap_or_else(PoisonError::into_inner).role.take();
        drop(reader);
        while !self.reader_gone.load(Ordering::SeqCst) && clock::now() < until {
            self.caretaker.park(Some(until));
        }
    }

    /// Has the taps store what they were shown so far.
    pub(crate) fn flush_taps(&self) {
        self.core.lock().unwrap_or_else(PoisonError::into_inner).taps.flush();
    }
}

/// Whether nothing is to be exchanged with any peer any more.
fn has_taken_leave(stack: &mut Stack) -> bool {
    !stack.tcp_snapshot().iter().any(|connection| is_open(connection.state))
}

/// Whether there is still something to be exchanged with the peer.
fn is_open(state: crate::tcp::state::State) -> bool {
    use crate::tcp::state::State;
    !matches!(state, State::Closed | State::Listen | State::TimeWait)
}
