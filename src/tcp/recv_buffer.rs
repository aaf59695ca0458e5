//! What the peer sent in order and the user has not read, and how much more may come.

use crate::buf::{Slice, SliceQueue, Slices};

/// The receive buffer.
#[derive(Debug)]
pub struct RecvBuffer {
    queue: SliceQueue,
    capacity: u32,
}

impl RecvBuffer {
    /// An empty buffer for `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        RecvBuffer { queue: SliceQueue::new(), capacity: as_u32(capacity) }
    }

    /// Bytes to be read.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that still fit.
    pub fn free(&self) -> usize {
        self.capacity().saturating_sub(self.queue.len())
    }

    /// Bytes that fit when it is empty.
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Changes how much fits. What is held stays, and so does what the window has promised.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = as_u32(capacity);
    }

    /// Whether no byte is held.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Memory pinned, in bytes.
    pub fn pinned(&self) -> usize {
        self.queue.pinned()
    }

    /// Appends text that came in order.
    pub fn push(&mut self, text: Slice) {
        self.queue.push(text);
    }

    /// Bytes of the first piece.
    pub fn front_len(&self) -> usize {
        self.queue.front_len()
    }

    /// Takes up to `max` bytes.
    pub fn pop(&mut self, max: usize) -> Slices {
        self.queue.pop(max)
    }

    /// Copies into `buf`, from `offset` on, and keeps the bytes.
    pub fn peek_at(&self, offset: usize, buf: &mut [u8]) -> usize {
        self.queue.copy_to(offset, buf)
    }

    /// What is left, when the connection ends.
    pub fn into_queue(self) -> SliceQueue {
        self.queue
    }
}

/// A window has no use for more than this can say.
fn as_u32(capacity: usize) -> u32 {
    u32::try_from(capacity).unwrap_or(u32::MAX)
}
