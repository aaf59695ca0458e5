//! The way out: frames that the stack has made, and the token of the one thread that writes them.
//!
//! Frames are queued under the stack's lock, in the order in which they are pulled. They are written without that lock
//! by whoever holds the token; a thread that finds the token taken leaves its frames to the holder. So frames leave in
//! order, nobody waits for another's system call, and the queue is short and bounded: it is a batch on its way, not a
//! buffer. While the device is full the frames stay, and the caretaker goes on when it polls writable.

use super::sync::{Mutex, MutexGuard, clock};
use crate::device::Device;
use crate::time::Instant;
use crate::wire::TxFrame;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};

/// Frames that are pulled in one hold of the stack's lock.
const BATCH: usize = 32;

/// Frames that are pulled and not written, at most.
pub(super) const LIMIT: usize = 64;

/// Batches that one thread writes before it leaves the rest to the caretaker.
pub(super) const ROUNDS: usize = 16;

/// The frames on their way out.
pub(super) struct TxQueue(Mutex<State>);

struct State {
    frames: VecDeque<TxFrame>,
    /// An empty queue, kept for its memory.
    spare: VecDeque<TxFrame>,
    /// `None` once the host has ended.
    device: Option<Arc<dyn Device>>,
    /// Whether a thread holds the token, and how many frames it has in hand.
    held: bool,
    in_hand: usize,
    /// The device was full at the last write.
    blocked: bool,
    /// The stack may have more frames than could be pulled.
    starved: bool,
    sent: u64,
    errors: u64,
}

/// What a thread leaves to the caretaker that has written, or found that it cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// There is more to write, or the device is full.
    pub(super) work: bool,
    /// The device wants to be called then.
    pub(super) device_deadline: Option<Instant>,
}

impl TxQueue {
    pub(super) fn new(device: Arc<dyn Device>) -> TxQueue {
        TxQueue(Mutex::new(State {
            frames: VecDeque::new(),
            spare: VecDeque::new(),
            device: Some(device),
            held: false,
            in_hand: 0,
            blocked: false,
            starved: false,
            sent: 0,
            errors: 0,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues what `next` gives, as much as there is room for. Call it under the stack's lock. True if there is
    /// something to write.
    pub(super) fn fill(&self, mut next: impl FnMut() -> Option<TxFrame>) -> bool {
        let mut state = self.lock();
        if state.device.is_none() {
            return false;
        }
        let room = BATCH.min(LIMIT.saturating_sub(state.frames.len() + state.in_hand));
        for _ in 0..room {
            match next() {
                Some(frame) => state.frames.push_back(frame),
                None => return !state.frames.is_empty(),
            }
        }
        state.starved = true;
        true
    }

    /// Writes what is queued, unless another thread is at it or the device is full. `refill` calls
    /// [`fill`](TxQueue::fill) again; it is called when frames had to stay in the stack.
    pub(super) fn drain(&self, mut refill: impl FnMut()) -> Left {
        let Some(mut token) = self.take_token() else {
            return Left::default();
        };
        for _ in 0..ROUNDS {
            let blocked = token.write();
            match token.go_on(blocked) {
                Next::Write => {}
                Next::Refill => refill(),
                Next::Stop => return Left { work: blocked, device_deadline: token.device.deadline() },
            }
        }
        token.release(&mut self.lock());
        Left { work: true, device_deadline: token.device.deadline() }
    }

    fn take_token(&self) -> Option<Token<'_>> {
        let mut state = self.lock();
        if state.held || state.blocked || (state.frames.is_empty() && !state.starved) {
            return None;
        }
        let device = state.device.clone()?;
        state.held = true;
        Some(Token { queue: self, device, batch: VecDeque::new(), sent: 0, errors: 0, released: false })
    }

    /// Whether the device is full, so that the caretaker must wait until it polls writable.
    pub(super) fn is_blocked(&self) -> bool {
        self.lock().blocked
    }

    /// The device is full.
    pub(super) fn block(&self) {
        self.lock().blocked = true;
    }

    /// The device may have room again.
    pub(super) fn unblock(&self) {
        self.lock().blocked = false;
    }

    /// Whether there is something to write that nobody is at.
    pub(super) fn has_work(&self) -> bool {
        let state = self.lock();
        !state.held && !state.blocked && (state.starved || !state.frames.is_empty())
    }

    /// Whether everything that was pulled is written, and nothing had to stay in the stack.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.lock();
        !state.held && !state.starved && state.frames.is_empty()
    }

    /// Frames that the device took.
    pub(super) fn sent(&self) -> u64 {
        self.lock().sent
    }

    /// Frames that the device refused, but for being full.
    pub(super) fn errors(&self) -> u64 {
        self.lock().errors
    }

    /// The end: what is queued is dropped, and the device let go.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        let (frames, device) = (std::mem::take(&mut state.frames), state.device.take());
        state.starved = false;
        drop(state);
        drop((frames, device));
    }
}

enum Next {
    Write,
    Refill,
    Stop,
}

/// The right to write. If its holder panics it is given back, and the frames in hand are lost as on any wire.
struct Token<'a> {
    queue: &'a TxQueue,
    device: Arc<dyn Device>,
    batch: VecDeque<TxFrame>,
    sent: u64,
    errors: u64,
    released: bool,
}

impl Token<'_> {
    /// Writes the batch; true if the device is full.
    fn write(&mut self) -> bool {
        if self.batch.is_empty() {
            return false;
        }
        let now = clock::now();
        while let Some(frame) = self.batch.front() {
            match self.device.send(now, frame) {
                Ok(()) => self.sent += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) => {
                    // Lost, as on a wire. If the device is gone, the caretaker learns it when it reads.
                    log::debug!("a frame of {} bytes could not be sent: {error}", frame.len());
                    self.errors += 1;
                }
            }
            self.batch.pop_front();
        }
        false
    }

    /// What to do after a write.
    fn go_on(&mut self, blocked: bool) -> Next {
        let mut state = self.queue.lock();
        state.sent += std::mem::take(&mut self.sent);
        state.errors += std::mem::take(&mut self.errors);
        if state.device.is_none() {
            self.release(&mut state);
            return Next::Stop;
        }
        if blocked {
            // Back to the front, before what was queued since.
            self.batch.append(&mut state.frames);
            std::mem::swap(&mut self.batch, &mut state.frames);
            state.blocked = true;
            self.release(&mut state);
            return Next::Stop;
        }
        if !state.frames.is_empty() {
            let spare = std::mem::take(&mut state.spare);
            let used = std::mem::replace(&mut self.batch, std::mem::replace(&mut state.frames, spare));
            state.spare = used;
            state.in_hand = self.batch.len();
            return Next::Write;
        }
        state.in_hand = 0;
        if std::mem::take(&mut state.starved) {
            return Next::Refill;
        }
        self.release(&mut state);
        Next::Stop
    }

    /// Gives the token back, and the unwritten frames too.
    fn release(&mut self, state: &mut State) {
        self.released = true;
        state.held = false;
        state.in_hand = 0;
        if !self.batch.is_empty() {
            self.batch.append(&mut state.frames);
            std::mem::swap(&mut self.batch, &mut state.frames);
        }
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        if !self.released {
            let mut state = self.queue.lock();
            state.held = false;
            state.in_hand = 0;
        }
    }
}
