//! `Chunk`, a writable buffer with one owner, and `Slice`, a shared view of a frozen one.

use super::pool::PoolInner;
use core::fmt;
use core::ops::{Deref, Range};
use std::sync::{Arc, Weak};

/// The size of a full chunk in bytes: the largest IP packet, a virtio-net header and some room to spare.
pub const CHUNK_CAPACITY: usize = 64 * 1024 + 256;

/// The memory itself: its size is the vector's capacity, and its length says how much was ever written, so that what is
/// only copied into is never zeroed. On drop a full-size buffer goes back to its pool.
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    pub(super) home: Weak<PoolInner>,
}

impl Buffer {
    /// Memory of `capacity` bytes that belongs to no pool.
    fn new(capacity: usize) -> Self {
        Buffer { bytes: Vec::with_capacity(capacity), home: Weak::new() }
    }

    /// Copies what fits of `bytes` to `at`, which is not beyond what was ever written, and says how much that was.
    fn write(&mut self, at: usize, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.bytes.capacity() - at);
        let (over, behind) = bytes[..n].split_at(n.min(self.bytes.len() - at));
        self.bytes[at..at + over.len()].copy_from_slice(over);
        self.bytes.extend_from_slice(behind);
        n
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = self.home.upgrade() {
            pool.give_back(std::mem::take(&mut self.bytes));
        }
    }
}

/// A writable buffer with one owner. The first [`len`](Chunk::len) bytes are in use, less those that were
/// [taken off](Chunk::advance).
pub struct Chunk {
    buffer: Buffer,
    // As in a slice.
    start: u32,
    end: u32,
}

impl Chunk {
    pub(super) fn from_buffer(buffer: Buffer) -> Self {
        Chunk { buffer, start: 0, end: 0 }
    }

    /// A chunk outside any pool with room for `capacity` bytes, at most [`CHUNK_CAPACITY`].
    pub fn with_capacity(capacity: usize) -> Self {
        Chunk::from_buffer(Buffer::new(capacity.min(CHUNK_CAPACITY)))
    }

    /// A chunk that holds a copy of `bytes`.
    ///
    /// # Panics
    /// If `bytes` is longer than [`CHUNK_CAPACITY`].
    pub fn copy_of(bytes: &[u8]) -> Self {
        assert!(bytes.len() <= CHUNK_CAPACITY, "a chunk cannot hold so much");
        Chunk { buffer: Buffer { bytes: bytes.to_vec(), home: Weak::new() }, start: 0, end: bytes.len() as u32 }
    }

    /// Bytes in use.
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether no byte is in use.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that fit.
    pub fn capacity(&self) -> usize {
        self.buffer.bytes.capacity()
    }

    /// The whole buffer, used and unused, to be written by a device. Call [`set_len`](Chunk::set_len) afterwards. What was
    /// never written is zeroed, once.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.bytes.resize(self.capacity(), 0);
        &mut self.buffer.bytes
    }

    /// Says how many bytes of [`space`](Chunk::space) are in use.
    ///
    /// # Panics
    /// If `len` is more than the capacity.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "a chunk cannot use more than it has");
        if len > self.buffer.bytes.len() {
            self.buffer.bytes.resize(len, 0);
        }
        (self.start, self.end) = (0, len as u32);
    }

    /// Takes the first `n` bytes out of use: a header that was read with what follows it, and is no part of it.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "advance past the end of a chunk");
        self.start += n as u32;
    }

    /// Appends what fits of `bytes` and says how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let n = self.buffer.write(self.end as usize, bytes);
        self.end += n as u32;
        n
    }

    /// Makes the chunk shareable; it can no longer be written.
    pub fn freeze(self) -> Slice {
        Slice { start: self.start, end: self.end, buffer: Some(Arc::new(self.buffer)) }
    }
}

impl Deref for Chunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.buffer.bytes[self.start as usize..self.end as usize]
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} of {} bytes)", self.len(), self.capacity())
    }
}

/// A shared, read-only view of a part of a chunk. Cloning and cutting cost a reference count.
#[derive(Clone, Default)]
pub struct Slice {
    // None for the empty slice, which pins nothing.
    buffer: Option<Arc<Buffer>>,
    // A chunk is not so large that these need more.
    start: u32,
    end: u32,
}

impl Slice {
    /// A slice of its own memory that holds a copy of `bytes`; the empty slice if there are none.
    pub fn copy_of(bytes: &[u8]) -> Self {
        if bytes.is_empty() { Slice::default() } else { Chunk::copy_of(bytes).freeze() }
    }

    /// The part `range` of this slice, counted from its start.
    ///
    /// # Panics
    /// If `range` reaches past the end.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.len(), "cut outside a slice");
        if range.is_empty() {
            return Slice::default();
        }
        let (start, end) = (self.start + range.start as u32, self.start + range.end as u32);
        Slice { buffer: self.buffer.clone(), start, end }
    }

    /// Drops the first `n` bytes from view.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn advance(&mut self, n: usize) {
        assert!(n <= self.len(), "advance past the end of a slice");
        self.start += n as u32;
    }

    /// Drops all but the first `n` bytes from view.
    pub fn truncate(&mut self, n: usize) {
        self.end = self.start + n.min(self.len()) as u32;
    }

    /// This slice, or a copy of its own memory if it uses less than half of what it pins: for slices that wait.
    pub fn compact(self) -> Slice {
        if self.len() * 2 >= self.pinned() { self } else { Slice::copy_of(&self) }
    }

    /// The size of the memory that this slice keeps from being freed, in bytes.
    pub fn pinned(&self) -> usize {
        self.buffer.as_ref().map_or(0, |b| b.bytes.capacity())
    }

    /// Writes what fits of `bytes` behind the slice's end, into unused room of its own buffer, and says how much that
    /// was: nothing when the buffer is shared or full. Only the queue that owns the tail may call this.
    pub(super) fn extend_in_place(&mut self, bytes: &[u8]) -> usize {
        let Some(buffer) = self.buffer.as_mut().and_then(Arc::get_mut) else {
            return 0;
        };
        let n = buffer.write(self.end as usize, bytes);
        self.end += n as u32;
        n
    }

    /// A copy of `bytes` at the end of memory of `capacity` bytes, with room before it for
    /// [`extend_front_in_place`](Slice::extend_front_in_place).
    pub(super) fn copy_at_end(bytes: &[u8], capacity: usize) -> Slice {
        let mut chunk = Chunk::with_capacity(capacity);
        let start = capacity - bytes.len();
        chunk.set_len(start);
        chunk.append(bytes);
        let mut slice = chunk.freeze();
        slice.advance(start);
        slice
    }

    /// As [`extend_in_place`](Slice::extend_in_place) at the other end: the last of `bytes` that fit before the slice's
    /// start.
    pub(super) fn extend_front_in_place(&mut self, bytes: &[u8]) -> usize {
        let Some(buffer) = self.buffer.as_mut().and_then(Arc::get_mut) else {
            return 0;
        };
        let start = self.start as usize;
        let n = bytes.len().min(start);
        buffer.bytes[start - n..start].copy_from_slice(&bytes[bytes.len() - n..]);
        self.start -= n as u32;
        n
    }
}

impl Deref for Slice {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.buffer {
            Some(buffer) => &buffer.bytes[self.start as usize..self.end as usize],
            None => &[],
        }
    }
}

impl PartialEq for Slice {
    fn eq(&self, other: &Slice) -> bool {
        **self == **other
    }
}

impl Eq for Slice {}

impl From<&[u8]> for Slice {
    fn from(bytes: &[u8]) -> Self {
        Slice::copy_of(bytes)
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_taken_off() {
        let mut chunk = Chunk::with_capacity(8);
        chunk.append(b"headtext");
        chunk.advance(4);
        assert_eq!((&*chunk, chunk.len()), (&b"text"[..], 4));
        assert_eq!(chunk.append(b"more"), 0, "there is no more room");
        chunk.advance(1);
        let slice = chunk.freeze();
        assert_eq!((&*slice, slice.pinned()), (&b"ext"[..], 8));
        let mut again = Chunk::copy_of(b"headtext");
        again.advance(8);
        assert!(again.is_empty() && again.freeze().is_empty());
        let mut reused = Chunk::copy_of(b"headtext");
        reused.advance(4);
        reused.set_len(6);
        assert_eq!(&*reused, b"headte", "counted from the beginning of the space");
    }

    #[test]
    fn slices_share_and_cut() {
        let whole = Slice::copy_of(b"hello world");
        let mut tail = whole.slice(6..11);
        assert_eq!(&*tail, b"world");
        tail.advance(1);
        tail.truncate(3);
        assert_eq!(&*tail, b"orl");
        assert_eq!(tail.pinned(), 11);
        assert_eq!(whole.slice(3..3).pinned(), 0);
    }

    #[test]
    fn a_compact_slice_pins_at_most_twice_its_bytes() {
        let whole = Slice::copy_of(&[7; 100]);
        assert_eq!(whole.slice(0..50).compact().pinned(), 100);
        let copy = whole.slice(10..59).compact();
        assert_eq!((copy.pinned(), &*copy), (49, &[7; 49][..]));
        assert_eq!(whole.slice(3..3).compact().pinned(), 0);
    }

    /// A second copy of every byte would hide in zeroing what is overwritten at once.
    #[test]
    fn only_what_a_device_writes_is_zeroed() {
        let written = |chunk: &Chunk| chunk.buffer.bytes.len();
        let mut chunk = Chunk::with_capacity(5000);
        assert_eq!((chunk.append(&[1; 3000]), written(&chunk), chunk.capacity()), (3000, 3000, 5000));
        chunk.set_len(2999);
        assert_eq!((chunk.append(&[2; 3000]), written(&chunk), chunk.len()), (2001, 5000, 5000));
        assert_eq!((chunk[2998], chunk[2999], chunk[4999]), (1, 2, 2));
        let mut chunk = Chunk::with_capacity(100);
        chunk.set_len(10);
        assert_eq!(*chunk, [0; 10], "what nobody wrote is no secret of anybody's");
        assert_eq!((chunk.space().len(), written(&chunk)), (100, 100));
        assert_eq!(
            (Chunk::copy_of(&[1; 40_000]).capacity(), Chunk::with_capacity(1 << 20).capacity()),
            (40_000, CHUNK_CAPACITY)
        );
    }

    #[test]
    fn a_shared_tail_is_never_written() {
        let mut chunk = Chunk::with_capacity(8);
        chunk.append(b"abc");
        let mut tail = chunk.freeze();
        assert_eq!(tail.extend_in_place(b"de"), 2);
        let shared = tail.clone();
        assert_eq!(tail.extend_in_place(b"f"), 0);
        drop(shared);
        assert_eq!(tail.extend_in_place(b"fghij"), 3);
        assert_eq!(&*tail, b"abcdefgh");
    }
}
