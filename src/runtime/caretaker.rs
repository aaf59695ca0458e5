//! The thread that drives a shard: reads the device, runs the timers, and sleeps until there is more.

use super::alarm::time_left;
use super::clock;
use super::shard::{Ending, Shard};
use crate::buf::Chunk;
use crate::device::Device;
use crate::sys::wait::{PollFd, PollFlags, poll};
use crate::time::Instant;
use crate::wire::RxFrame;
use core::time::Duration;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Frames that are read before the stack gets them.
const BATCH: usize = 16;

/// Times in a row that a device may poll ready and then have nothing (a TUN that was set down does so for ever), before
/// it is left alone for a while.
const PATIENCE: u32 = 4;

/// The longest that such a device is left alone, in doublings of a millisecond.
const MAX_BACKOFF: u32 = 6;

/// The thread's whole life.
pub(super) fn main(shard: &Shard, device: Arc<dyn Device>) {
    let ending = catch_unwind(AssertUnwindSafe(|| drive(shard, &*device))).unwrap_or(Some(Ending::Panic));
    drop(device);
    // A panic while the end is told cannot be told to anybody; the waiters are woken before the taps are flushed.
    shard.end(ending.unwrap_or(Ending::Shutdown));
}

/// Drives until the end; `None` if it came from elsewhere.
fn drive(shard: &Shard, device: &dyn Device) -> Option<Ending> {
    let mut reader = Reader { device, spare: None, frames: Vec::with_capacity(BATCH) };
    let (mut fruitless, mut sent) = (0, 0);
    loop {
        let more = match reader.read(shard) {
            Ok(more) => more,
            Err(error) => return Some(Ending::Device(Arc::new(error))),
        };
        let progress = !reader.frames.is_empty();
        let Ok(mut core) = shard.lock() else {
            return Some(Ending::Panic);
        };
        if core.has_ended() {
            return None;
        }
        let now = clock::now();
        for frame in reader.frames.drain(..) {
            core.on_frame(now, frame);
        }
        if core.stack.deadline().is_some_and(|at| at <= now) {
            core.stack.on_deadline(now);
        }
        shard.finish(core, now);
        if !shard.tx.is_blocked() && device.deadline().is_some_and(|at| at <= now) {
            match device.flush(now) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => shard.tx.block(),
                // What could not be sent is lost, as on a wire.
                Err(error) => log::debug!("delayed frames could not be sent: {error}"),
                Ok(()) => {}
            }
        }
        if shard.tx.has_work() {
            shard.transmit();
        }
        if progress || sent != shard.tx.sent() {
            (fruitless, sent) = (0, shard.tx.sent());
        }
        if !more && !shard.tx.has_work() {
            match sleep(shard, device, fruitless) {
                Some(Woken::Device) => fruitless += 1,
                Some(Woken::Other) => {}
                None => return Some(Ending::Panic),
            }
        }
    }
}

enum Woken {
    /// The device polls ready, or its time of being left alone is over.
    Device,
    /// A kick or a deadline.
    Other,
}

/// Sleeps until the device is ready, a kick comes, or a deadline passes. `None` if the stack has panicked.
fn sleep(shard: &Shard, device: &dyn Device, fruitless: u32) -> Option<Woken> {
    let blocked = shard.tx.is_blocked();
    let device_deadline = || if blocked { None } else { device.deadline() };
    let at = {
        let core = shard.lock().ok()?;
        let at = earliest(core.stack.deadline(), device_deadline());
        shard.alarm.set(at);
        at
    };
    // The alarm is set; now a last look at what changes without the stack's lock.
    let mut until = earliest(at, device_deadline());
    if shard.tx.has_work() || shard.tx.is_blocked() != blocked {
        until = Some(Instant::ZERO);
    }
    let left_alone = fruitless >= PATIENCE;
    if left_alone {
        let pause = Duration::from_millis(1 << (fruitless - PATIENCE).min(MAX_BACKOFF));
        until = earliest(until, Some(clock::now() + pause));
    }
    let interest = if blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let mut fds = [PollFd::new(&shard.alarm, PollFlags::IN), PollFd::from_borrowed_fd(device.as_fd(), interest)];
    let watched = if left_alone { 1 } else { 2 };
    if let Err(error) = poll(&mut fds[..watched], time_left(until)) {
        // Never seen; a pause keeps it from becoming a busy loop.
        log::error!("the caretaker cannot sleep: {error}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let device_ready = left_alone || !fds[1].revents().is_empty();
    shard.alarm.awake();
    if device_ready {
        shard.tx.unblock();
        return Some(Woken::Device);
    }
    Some(Woken::Other)
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Reads frames into chunks, without the stack's lock.
struct Reader<'a> {
    device: &'a dyn Device,
    /// The chunk of the read that found nothing.
    spare: Option<Chunk>,
    frames: Vec<RxFrame>,
}

impl Reader<'_> {
    /// Reads one batch; true if the device may have more.
    fn read(&mut self, shard: &Shard) -> io::Result<bool> {
        let now = clock::now();
        while self.frames.len() < BATCH {
            let mut chunk = self.spare.take().unwrap_or_else(|| shard.pool.take());
            match self.device.recv(now, &mut chunk) {
                Ok(meta) => self.frames.push(RxFrame { data: chunk.freeze(), meta }),
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
}
