//! A byte stream made of slices: what the send buffer, the receive buffer and the rest of a closed connection are.

use super::chunk::{CHUNK_CAPACITY, Chunk, Slice};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// A few slices, in order: the payload of one outgoing segment, or what one read takes.
pub type Slices = SmallVec<[Slice; 4]>;

/// The smallest packed chunk, in bytes.
const MIN_PACKED: usize = 256;

/// A FIFO of bytes that knows its length and the memory it pins. One slice, which is all that a question or an answer
/// takes, needs no memory but its own; an empty queue needs none.
#[derive(Debug, Default)]
pub struct SliceQueue {
    /// The front; empty only if the queue is.
    first: Slice,
    /// The slices behind it.
    #[expect(clippy::box_collection, reason = "most queues are short or empty, and there are a million of them")]
    rest: Option<Box<VecDeque<Slice>>>,
    // A sequence space has no room for more than these can count.
    len: u32,
    pinned: u32,
}

impl SliceQueue {
    /// An empty queue. It allocates nothing.
    pub fn new() -> Self {
        SliceQueue::default()
    }

    /// Bytes queued.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is nothing queued.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that the queue keeps from being freed.
    pub fn pinned(&self) -> usize {
        self.pinned as usize
    }

    /// Bytes of the first slice.
    pub fn front_len(&self) -> usize {
        self.first.len()
    }

    /// The slices, in order.
    fn iter(&self) -> impl Iterator<Item = &Slice> {
        let first = Some(&self.first).filter(|first| !first.is_empty());
        first.into_iter().chain(self.rest.iter().flat_map(|rest| rest.iter()))
    }

    /// How many slices there are.
    fn count(&self) -> usize {
        usize::from(!self.is_empty()) + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    fn link_back(&mut self, slice: Slice) {
        self.len += slice.len() as u32;
        self.pinned += slice.pinned() as u32;
        if self.first.is_empty() {
            self.first = slice;
        } else {
            self.rest.get_or_insert_default().push_back(slice);
        }
    }

    fn link_front(&mut self, slice: Slice) {
        self.len += slice.len() as u32;
        self.pinned += slice.pinned() as u32;
        let second = core::mem::replace(&mut self.first, slice);
        if !second.is_empty() {
            self.rest.get_or_insert_default().push_front(second);
        }
    }

    /// Takes the front slice out, if there is one.
    fn unlink_front(&mut self) -> Option<Slice> {
        let next = self.rest.as_mut().and_then(|rest| rest.pop_front()).unwrap_or_default();
        let front = core::mem::replace(&mut self.first, next);
        self.len -= front.len() as u32;
        self.pinned -= front.pinned() as u32;
        if self.is_empty() {
            self.rest = None; // an idle queue holds no memory
        }
        Some(front).filter(|front| !front.is_empty())
    }

    /// Takes the last slice out, if there is one.
    fn unlink_back(&mut self) -> Option<Slice> {
        let Some(back) = self.rest.as_mut().and_then(|rest| rest.pop_back()) else {
            return self.unlink_front();
        };
        self.len -= back.len() as u32;
        self.pinned -= back.pinned() as u32;
        Some(back)
    }

    /// Appends `slice`: as it is if it fills at least half of its memory, else by a copy into the packed tail.
    pub fn push(&mut self, slice: Slice) {
        if is_worth_its_memory(&slice) {
            self.link_back(slice);
        } else {
            self.append(&slice);
        }
    }

    /// Appends a copy of `bytes` to the packed tail.
    pub fn append(&mut self, mut bytes: &[u8]) {
        let tail = self.rest.as_mut().and_then(|rest| rest.back_mut()).unwrap_or(&mut self.first);
        let n = tail.extend_in_place(bytes);
        self.len += n as u32;
        bytes = &bytes[n..];
        while !bytes.is_empty() {
            let mut chunk = Chunk::with_capacity(self.capacity_for(bytes.len()));
            let n = chunk.append(bytes);
            bytes = &bytes[n..];
            self.link_back(chunk.freeze());
        }
    }

    /// As [`push`](SliceQueue::push), at the front.
    pub fn push_front(&mut self, slice: Slice) {
        if is_worth_its_memory(&slice) {
            return self.link_front(slice);
        }
        let n = self.first.extend_front_in_place(&slice);
        self.len += n as u32;
        let mut bytes = &slice[..slice.len() - n];
        while !bytes.is_empty() {
            let capacity = self.capacity_for(bytes.len());
            let (rest, last) = bytes.split_at(bytes.len().saturating_sub(capacity));
            self.link_front(Slice::copy_at_end(last, capacity));
            bytes = rest;
        }
    }

    /// Appends all of `other`. Whichever has fewer slices is moved, so that a slice is moved seldom however often queues
    /// are joined.
    pub fn join(&mut self, mut other: SliceQueue) {
        if other.count() > self.count() {
            core::mem::swap(self, &mut other);
            while let Some(slice) = other.unlink_back() {
                self.push_front(slice);
            }
        } else {
            while let Some(slice) = other.unlink_front() {
                self.push(slice);
            }
        }
    }

    /// The size of the next packed chunk, when `n` bytes are to be copied: as large as leaves at least half of all that is
    /// pinned in use. (As large as what is queued would not do: where slices taken as they are alternate with small ones,
    /// each small one would get such a chunk.)
    fn capacity_for(&self, n: usize) -> usize {
        n.max((2 * (self.len() + n)).saturating_sub(self.pinned())).clamp(MIN_PACKED, CHUNK_CAPACITY)
    }

    /// Drops the first `n` bytes (all, if there are fewer).
    pub fn advance(&mut self, n: usize) {
        let mut left = n.min(self.len());
        while left >= self.first.len() && left > 0 {
            left -= self.unlink_front().map_or(left, |front| front.len());
        }
        self.first.advance(left);
        self.len -= left as u32;
    }

    /// The bytes `offset .. offset + len` as shared slices; fewer if the queue ends before, or after `max_slices`.
    pub fn slices(&self, offset: usize, len: usize, max_slices: usize) -> Slices {
        let mut out = Slices::new();
        let (mut skip, mut left) = (offset, len);
        for slice in self.iter() {
            if left == 0 || out.len() == max_slices {
                break;
            }
            if skip >= slice.len() {
                skip -= slice.len();
                continue;
            }
            let n = left.min(slice.len() - skip);
            out.push(slice.slice(skip..skip + n));
            skip = 0;
            left -= n;
        }
        out
    }

    /// Takes up to `max` bytes from the front, as slices.
    pub fn pop(&mut self, max: usize) -> Slices {
        let mut out = Slices::new();
        let mut left = max.min(self.len());
        while left >= self.first.len()
            && let Some(front) = self.unlink_front()
        {
            left -= front.len();
            out.push(front);
        }
        if left > 0 {
            out.push(self.first.slice(0..left));
            self.advance(left);
        }
        out
    }

    /// Copies from `offset` on into `buf` and says how many bytes that was. The queue keeps them.
    pub fn copy_to(&self, offset: usize, buf: &mut [u8]) -> usize {
        let mut skip = offset;
        let mut done = 0;
        for slice in self.iter() {
            if skip >= slice.len() {
                skip -= slice.len();
                continue;
            }
            let n = (slice.len() - skip).min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&slice[skip..skip + n]);
            skip = 0;
            done += n;
            if done == buf.len() {
                break;
            }
        }
        done
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = SliceQueue::new();
    }
}

/// Whether a slice is taken as it is, and not copied.
fn is_worth_its_memory(slice: &Slice) -> bool {
    slice.len() * 2 >= slice.pinned() && slice.len() >= MIN_PACKED
}

#[cfg(test)]
mod tests {
    use super::*;

    impl SliceQueue {
        fn clone_of(&self) -> SliceQueue {
            let mut copy = SliceQueue::new();
            self.iter().for_each(|s| copy.push(s.clone()));
            copy
        }
    }

    fn content(queue: &SliceQueue) -> Vec<u8> {
        let mut out = vec![0; queue.len()];
        assert_eq!(queue.copy_to(0, &mut out), out.len());
        out
    }

    #[test]
    fn a_stream_in_and_out() {
        let mut queue = SliceQueue::new();
        let data: Vec<u8> = (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let mut at = 0;
        for step in [1usize, 3, 1000, 60_000, 7, 70_000].into_iter().cycle() {
            if at == data.len() {
                break;
            }
            let n = step.min(data.len() - at);
            if step % 2 == 0 {
                for part in data[at..at + n].chunks(CHUNK_CAPACITY) {
                    queue.push(Slice::copy_of(part));
                }
            } else {
                queue.append(&data[at..at + n]);
            }
            at += n;
        }
        assert_eq!(content(&queue), data);
        let cut: Vec<u8> = queue.slices(500, 100_000, usize::MAX).iter().flat_map(|s| s.to_vec()).collect();
        assert_eq!(cut, data[500..100_500]);
        queue.advance(150_000);
        assert_eq!(content(&queue), data[150_000..]);
        let rest: Vec<u8> = queue.pop(usize::MAX).iter().flat_map(|s| s.to_vec()).collect();
        assert_eq!(rest, data[150_000..]);
        assert_eq!((queue.len(), queue.pinned()), (0, 0));
    }

    #[test]
    fn a_stream_from_behind_and_queues_joined() {
        let data: Vec<u8> = (0..100_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let (mut left, mut right) = (SliceQueue::new(), SliceQueue::new());
        for (queue, range) in [(&mut left, 0..30_000), (&mut right, 30_000..100_000)] {
            let mut end: usize = range.end;
            for step in [1usize, 3, 1000, 300, 7].into_iter().cycle() {
                if end == range.start {
                    break;
                }
                let start = end.saturating_sub(step).max(range.start);
                queue.push_front(Slice::copy_of(&data[start..end]));
                end = start;
                assert!(queue.pinned() <= 2 * queue.len() + MIN_PACKED);
            }
            assert_eq!(content(queue), data[range]);
        }
        // A large queue behind a small one, and a small one behind a large one.
        let mut all = left.clone_of();
        all.join(right.clone_of());
        assert_eq!(content(&all), data);
        all.join(left);
        assert_eq!(content(&all), [&data[..], &data[..30_000]].concat());
        assert!(all.pinned() <= 2 * all.len() + MIN_PACKED);
    }

    #[test]
    fn small_pieces_between_large_ones_pin_no_more() {
        let mut queue = SliceQueue::new();
        for _ in 0..100 {
            queue.push(Slice::copy_of(&[1; 1000]));
            queue.push(Slice::copy_of(b"tiny"));
        }
        assert!(queue.pinned() <= 2 * queue.len() + MIN_PACKED, "{} pinned for {}", queue.pinned(), queue.len());
    }

    #[test]
    fn small_writes_pin_at_most_twice_their_bytes() {
        let mut queue = SliceQueue::new();
        for _ in 0..10_000 {
            queue.push(Slice::copy_of(b"ten bytes!"));
        }
        assert_eq!(queue.len(), 100_000);
        assert!(queue.pinned() <= 2 * queue.len() + MIN_PACKED, "{} pinned", queue.pinned());
    }
}
