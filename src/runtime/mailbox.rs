//! Frames that came to one shard and are for another.

use super::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use crate::wire::RxFrame;
use std::collections::VecDeque;
use std::sync::PoisonError;

/// Frames that a mailbox holds. Each pins a chunk of 64 KiB at most.
pub(super) const CAPACITY: usize = 128;

/// What other shards have passed on to this one. It is bounded: a frame that finds it full is lost, as on a wire.
///
/// Whoever posts a frame rings the shard's alarm *afterwards*; whoever drives looks here *after* it has set the alarm.
#[derive(Default)]
pub(super) struct Mailbox {
    frames: Mutex<VecDeque<RxFrame>>,
    /// Whether there are any, so that a shard that never gets one need not lock to know.
    filled: AtomicBool,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, VecDeque<RxFrame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame in, unless it is full.
    ///
    /// # Errors
    /// The frame.
    pub(super) fn post(&self, frame: RxFrame) -> Result<(), RxFrame> {
        let mut frames = self.lock();
        if frames.len() >= CAPACITY {
            return Err(frame);
        }
        frames.push_back(frame);
        self.filled.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Whether there are frames.
    pub(super) fn has_mail(&self) -> bool {
        self.filled.load(Ordering::SeqCst)
    }

    /// Takes all frames out.
    pub(super) fn take(&self) -> VecDeque<RxFrame> {
        if !self.has_mail() {
            return VecDeque::new();
        }
        let mut frames = self.lock();
        self.filled.store(false, Ordering::SeqCst);
        std::mem::take(&mut frames)
    }
}
