//! What the one who drives does: read the device, have the stack process it, and sleep until there is more.
//!
//! It is the same whoever drives: a thread that is blocked in a call of its own ([`Shard::wait`]), or the caretaker.

use super::alarm::time_left;
use super::parker::Parker;
use super::shard::{Core, Shard};
use super::spin::{Spin, Spinner};
use super::sync::{AtomicBool, Ordering, PollFd, PollFlags, clock, poll, yield_now};
use crate::buf::{Chunk, Pool};
use crate::device::Device;
use crate::time::Instant;
use crate::wire::RxFrame;
use core::time::Duration;
use std::io;
#[cfg(feature = "tokio")]
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// Frames that are read before the stack gets them.
const BATCH: usize = 16;

/// Bytes after which a batch is full.
const BATCH_BYTES: usize = 512 * 1024;

/// Connections whose timers are served in one hold of the lock; the others follow at once, in the next.
const TIMERS: usize = 256;

/// Times in a row that a device may poll ready and then have nothing (a TUN that was set down does so for ever), before
/// it is left alone for a while.
const PATIENCE: u32 = 4;

/// The longest that such a device is left alone, in doublings of a millisecond.
const MAX_BACKOFF: u32 = 6;

/// The right and the means to read the device: who has it drives.
pub(super) struct Reader {
    device: Arc<dyn Device>,
    /// The chunk of the read that found nothing.
    spare: Option<Chunk>,
    frames: Vec<RxFrame>,
    /// How often in a row the device polled ready and had nothing.
    fruitless: u32,
    /// Frames that had been sent when it was last looked.
    sent: u64,
    spinner: Spinner,
    /// Dropped after the device.
    _farewell: Farewell,
}

/// How long a device is left alone that has polled ready in vain so many times in a row; not at all, if it was not often.
pub(crate) fn pause_after(fruitless: u32) -> Option<Duration> {
    let doublings = fruitless.checked_sub(PATIENCE)?.min(MAX_BACKOFF);
    Some(Duration::from_millis(1 << doublings))
}

/// How long one who drives may sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// Until then, or until the device has something or the alarm is rung.
    pub(super) until: Option<Instant>,
    /// The device was full: until it has room, too.
    pub(super) blocked: bool,
}

/// Tells the caretaker that the device is let go.
pub(super) struct Farewell {
    pub(super) gone: Arc<AtomicBool>,
    pub(super) caretaker: Arc<Parker>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
        self.caretaker.unpark();
    }
}

impl Reader {
    /// What polls readable when the device has something.
    #[cfg(feature = "tokio")]
    pub(super) fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    pub(super) fn new(device: Arc<dyn Device>, spin: Spin, farewell: Farewell) -> Reader {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let spinner = Spinner::new(spin, processors);
        Reader {
            device,
            spare: None,
            frames: Vec::with_capacity(BATCH),
            fruitless: 0,
            sent: 0,
            spinner,
            _farewell: farewell,
        }
    }

    /// Reads one batch into chunks, without the stack's lock; true if the device may have more.
    ///
    /// # Errors
    /// The device's, but `WouldBlock`: it is gone.
    pub(super) fn read(&mut self, pool: &Pool) -> io::Result<bool> {
        let now = clock::now();
        let mut bytes = 0;
        while self.frames.len() < BATCH && bytes < BATCH_BYTES {
            let mut chunk = self.spare.take().unwrap_or_else(|| pool.take());
            match self.device.recv(now, &mut chunk) {
                Ok(meta) => {
                    bytes += chunk.len();
                    self.frames.push(RxFrame { data: chunk.freeze(), meta });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.spare = Some(chunk);
                    return Ok(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.spare = Some(chunk);
                    return Ok(true);
                }
                // What was read before is still served; the next read fails again.
                Err(_) if !self.frames.is_empty() => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether the last read found nothing.
    #[cfg(feature = "tokio")]
    pub(super) fn is_idle(&self) -> bool {
        self.frames.is_empty()
    }

    /// Gives the stack what was read, and does what is due.
    pub(super) fn process(&mut self, shard: &Shard, core: &mut Core, now: Instant) {
        if !self.frames.is_empty() {
            self.fruitless = 0;
        }
        self.spinner.received(self.frames.iter().map(|frame| frame.data.len()).sum());
        shard.take_mail(core, now);
        for frame in self.frames.drain(..) {
            core.on_frame(now, frame);
            shard.pass_on(core, now);
        }
        if core.stack.deadline().is_some_and(|at| at <= now) {
            core.stack.on_deadline_for(now, TIMERS);
        }
    }

    /// When the device wants to be called although it is silent. One that is full will be called when it has room.
    pub(super) fn device_deadline(&self, shard: &Shard) -> Option<Instant> {
        self.device.deadline().filter(|_| !shard.tx.is_blocked())
    }

    /// Sends on what the device has delayed, and what could not be written when it was made. Call it without the lock.
    pub(super) fn write(&self, shard: &Shard, now: Instant) {
        if self.device_deadline(shard).is_some_and(|at| at <= now) {
            match self.device.flush(now) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => shard.tx.block(),
                // What could not be sent is lost, as on a wire.
                Err(error) => log::debug!("delayed frames could not be sent: {error}"),
                Ok(()) => {}
            }
        }
        if shard.tx.has_work() {
            shard.transmit();
        }
    }

    /// The alarm was set to `planned`, under the lock; now a last look at what changes without the stack's lock.
    pub(super) fn last_look(&self, shard: &Shard, planned: Option<Instant>) -> Rest {
        let blocked = shard.tx.is_blocked();
        let at_once = shard.tx.has_work() || shard.mailbox.has_mail();
        let at_once = at_once.then_some(Instant::ZERO);
        let until = Instant::earlier(at_once, Instant::earlier(planned, self.device_deadline(shard)));
        Rest { until, blocked }
    }

    /// Sleeps until the device is ready, the alarm is rung, the thread of `parker` is woken, or until `until`. The alarm
    /// was set to `planned` under the lock.
    pub(super) fn sleep(
        &mut self,
        shard: &Shard,
        planned: Option<Instant>,
        until: Option<Instant>,
        parker: Option<&Parker>,
    ) {
        let Rest { until: planned, blocked } = self.last_look(shard, planned);
        let mut until = Instant::earlier(planned, until);
        if parker.is_some_and(Parker::is_woken) {
            until = Some(Instant::ZERO);
        }
        let sent = shard.tx.sent();
        if std::mem::replace(&mut self.sent, sent) != sent {
            self.fruitless = 0;
        }
        let began = clock::now();
        if let Some(end) = self.spinner.until(began)
            && until.is_none_or(|at| at > began)
            && self.spin(shard, Instant::earlier(until, Some(end)).unwrap_or(end), parker)
        {
            self.spinner.waited(began, clock::now(), !self.frames.is_empty());
            shard.alarm.awake(true);
            return;
        }
        let pause = pause_after(self.fruitless);
        let left_alone = pause.is_some();
        until = Instant::earlier(until, pause.map(|pause| clock::now() + pause));
        let interest = if blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds =
            [PollFd::new(&shard.alarm, PollFlags::IN), PollFd::from_borrowed_fd(self.device.as_fd(), interest)];
        let watched = if left_alone { 1 } else { 2 };
        if let Err(error) = poll(&mut fds[..watched], time_left(until)) {
            // Never seen; a pause keeps it from becoming a busy loop.
            log::error!("the driver cannot sleep: {error}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let device_ready = left_alone || !fds[1].revents().is_empty();
        self.spinner.waited(began, clock::now(), device_ready && !left_alone);
        shard.alarm.awake(!fds[0].revents().is_empty());
        if device_ready {
            shard.tx.unblock();
            self.fruitless += 1;
        }
    }

    /// Looks at the device until `end`. True if there is something to do: a frame was read, or the thread is wanted.
    fn spin(&mut self, shard: &Shard, end: Instant, parker: Option<&Parker>) -> bool {
        let mut now = clock::now();
        let mut free = true;
        while now < end {
            let mut chunk = self.spare.take().unwrap_or_else(|| shard.pool.take());
            match self.device.recv(now, &mut chunk) {
                Ok(meta) => {
                    self.frames.push(RxFrame { data: chunk.freeze(), meta });
                    return true;
                }
                Err(_) => self.spare = Some(chunk), // another error than WouldBlock comes again when it is read
            }
            if shard.alarm.has_rung() || parker.is_some_and(Parker::is_woken) {
                return true;
            }
            // Who had the processor did not make what is waited for, as a peer on this machine does.
            if !free {
                self.spinner.disturbed(now);
                return false;
            }
            let yielded = clock::now();
            yield_now();
            now = clock::now();
            free = self.spinner.was_free(yielded, now);
        }
        false
    }
}
