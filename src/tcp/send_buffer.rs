//! What the user wrote and the peer has not acknowledged: the stream from SND.UNA on.

use super::seq::Seq;
use crate::buf::{Slice, SliceQueue, Slices};

/// A segment's text comes in at most this many slices, so that one `writev` can take it.
const MAX_SLICES: usize = 16;

/// The send buffer. Its first byte has the sequence number [`start`](SendBuffer::start).
#[derive(Debug)]
pub struct SendBuffer {
    start: Seq,
    queue: SliceQueue,
}

impl SendBuffer {
    /// An empty buffer whose first byte will have the number `start`.
    pub fn new(start: Seq) -> Self {
        SendBuffer { start, queue: SliceQueue::new() }
    }

    /// The number of the first byte held.
    pub fn start(&self) -> Seq {
        self.start
    }

    /// The number behind the last byte held: where a FIN stands.
    pub fn end(&self) -> Seq {
        self.start + self.queue.len() as u32
    }

    /// Bytes held.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no byte is held.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Memory pinned, in bytes.
    pub fn pinned(&self) -> usize {
        self.queue.pinned()
    }

    /// Appends `data`.
    pub fn push(&mut self, data: Slice) {
        self.queue.push(data);
    }

    /// Appends a copy of `data`.
    pub fn append(&mut self, data: &[u8]) {
        self.queue.append(data);
    }

    /// Frees what comes before `una`. This is the only way out: a SACK frees nothing (RFC 2018 8).
    pub fn release(&mut self, una: Seq) {
        let n = una.since(self.start).min(self.queue.len() as u32);
        self.queue.advance(n as usize);
        self.start += n;
    }

    /// Up to `len` bytes from `seq` on.
    pub fn slices(&self, seq: Seq, len: u32) -> Slices {
        self.queue.slices(seq.since(self.start) as usize, len as usize, MAX_SLICES)
    }
}
