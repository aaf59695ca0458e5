//! Two devices joined in memory: what one sends the other receives.
//!
//! The link is a real one in that it never makes the sender wait: a frame that finds the other end's queue full is lost
//! and counted, as it is at a network card. A sender therefore needs no descriptor that polls writable, and memory is
//! bounded by the queues. When one end is dropped, the other finds the link silent, like a cable that was pulled.

use super::Device;
use crate::buf::{Chunk, Slice};
use crate::sys::wait::Kick;
use crate::time::Instant;
use crate::wire::{RxMeta, TxFrame};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One direction: frames on their way to the end that reads it.
struct Queue {
    state: Mutex<State>,
    capacity: usize,
    /// Readable exactly while frames wait; set and drained under the lock.
    ready: Kick,
}

#[derive(Default)]
struct State {
    frames: VecDeque<Slice>,
    lost: u64,
}

impl Queue {
    fn new(capacity: usize) -> io::Result<Arc<Queue>> {
        Ok(Arc::new(Queue { state: Mutex::default(), capacity, ready: Kick::new()? }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, frame: Slice) {
        let mut state = self.lock();
        if state.frames.len() >= self.capacity {
            state.lost += 1;
            return;
        }
        state.frames.push_back(frame);
        if state.frames.len() == 1 {
            self.ready.kick();
        }
    }

    fn pop(&self) -> Option<Slice> {
        let mut state = self.lock();
        let frame = state.frames.pop_front()?;
        if state.frames.is_empty() {
            self.ready.drain();
        }
        Some(frame)
    }
}

/// One end of a link made by [`pair`].
pub struct MemDevice {
    inbox: Arc<Queue>,
    outbox: Arc<Queue>,
    mtu: usize,
}

/// A link of two ends. Each direction holds at most `capacity` frames; `mtu` is in bytes.
///
/// # Errors
/// When no descriptor can be had for the two ends to poll on.
pub fn pair(mtu: usize, capacity: usize) -> io::Result<(MemDevice, MemDevice)> {
    let (a, b) = (Queue::new(capacity)?, Queue::new(capacity)?);
    Ok((MemDevice { inbox: a.clone(), outbox: b.clone(), mtu }, MemDevice { inbox: b, outbox: a, mtu }))
}

impl MemDevice {
    /// Frames sent by this end that found the other end's queue full.
    pub fn lost(&self) -> u64 {
        self.outbox.lock().lost
    }
}

impl Device for MemDevice {
    fn recv(&self, _now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        let frame = self.inbox.pop().ok_or(io::ErrorKind::WouldBlock)?;
        chunk.set_len(0);
        let taken = chunk.append(&frame);
        debug_assert_eq!(taken, frame.len(), "a device reads into full-size chunks");
        Ok(RxMeta::default())
    }

    fn send(&self, _now: Instant, frame: &TxFrame) -> io::Result<()> {
        debug_assert!(frame.meta.is_plain(), "this device offers no offload");
        self.outbox.push(super::one_slice(frame));
        Ok(())
    }

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inbox.ready.as_fd()
    }
}

impl core::fmt::Debug for MemDevice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MemDevice").field("mtu", &self.mtu).field("waiting", &self.inbox.lock().frames.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::wait::{PollFd, PollFlags, poll};
    use std::time::Duration;

    fn frame(bytes: &[u8]) -> TxFrame {
        TxFrame { payload: [Slice::copy_of(bytes)].into_iter().collect(), ..TxFrame::default() }
    }

    fn readable(device: &MemDevice) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(Duration::ZERO)).unwrap() == 1
    }

    fn receive(device: &MemDevice) -> io::Result<Vec<u8>> {
        let mut chunk = Chunk::with_capacity(1500);
        device.recv(Instant::ZERO, &mut chunk).map(|_| chunk.to_vec())
    }

    #[test]
    fn frames_cross_in_order_both_ways() {
        let (a, b) = pair(1500, 8).unwrap();
        let mut long = frame(b"-payload");
        long.header.space()[..6].copy_from_slice(b"header");
        long.header.set_len(6);
        a.send(Instant::ZERO, &long).unwrap();
        a.send(Instant::ZERO, &frame(b"two")).unwrap();
        b.send(Instant::ZERO, &frame(b"back")).unwrap();
        assert_eq!(receive(&b).unwrap(), b"header-payload");
        assert_eq!(receive(&b).unwrap(), b"two");
        assert_eq!(receive(&a).unwrap(), b"back");
        assert_eq!(receive(&a).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_descriptor_is_readable_exactly_while_frames_wait() {
        let (a, b) = pair(1500, 8).unwrap();
        for _ in 0..2 {
            assert!(!readable(&b));
            a.send(Instant::ZERO, &frame(b"1")).unwrap();
            a.send(Instant::ZERO, &frame(b"2")).unwrap();
            assert!(readable(&b) && !readable(&a));
            receive(&b).unwrap();
            assert!(readable(&b));
            receive(&b).unwrap();
        }
        assert!(!readable(&b));
    }

    #[test]
    fn a_full_queue_loses_and_counts() {
        let (a, b) = pair(1500, 2).unwrap();
        for byte in 0..5u8 {
            a.send(Instant::ZERO, &frame(&[byte])).unwrap();
        }
        assert_eq!((a.lost(), b.lost()), (3, 0));
        assert_eq!(receive(&b).unwrap(), [0]);
        assert_eq!(receive(&b).unwrap(), [1]);
        assert!(receive(&b).is_err());
    }

    #[test]
    fn a_pulled_cable_is_silent() {
        let (a, b) = pair(1500, 2).unwrap();
        b.send(Instant::ZERO, &frame(b"last words")).unwrap();
        drop(b);
        assert_eq!(receive(&a).unwrap(), b"last words");
        a.send(Instant::ZERO, &frame(b"anyone?")).unwrap();
        assert_eq!(receive(&a).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
