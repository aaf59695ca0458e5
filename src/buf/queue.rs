//! A byte stream made of slices: what the send buffer, the receive buffer and the rest of a closed connection are.

use super::chunk::{CHUNK_CAPACITY, Chunk, Slice};
use smallvec::SmallVec;
use std::collections::VecDeque;

/// A few slices, in order: the payload of one outgoing segment, or what one read takes.
pub type Slices = SmallVec<[Slice; 4]>;

/// The smallest packed chunk, in bytes.
const MIN_PACKED: usize = 256;

/// A FIFO of bytes that knows its length and the memory it pins.
#[derive(Debug, Default)]
pub struct SliceQueue {
    slices: VecDeque<Slice>,
    len: usize,
    pinned: usize,
}

impl SliceQueue {
    /// An empty queue. It allocates nothing.
    pub const fn new() -> Self {
        SliceQueue { slices: VecDeque::new(), len: 0, pinned: 0 }
    }

    /// Bytes queued.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing queued.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that the queue keeps from being freed.
    pub fn pinned(&self) -> usize {
        self.pinned
    }

    /// Appends `slice`: as it is if it fills at least half of its memory, else by a copy into the packed tail.
    pub fn push(&mut self, slice: Slice) {
        if is_worth_its_memory(&slice) {
            self.len += slice.len();
            self.pinned += slice.pinned();
            self.slices.push_back(slice);
        } else {
            self.append(&slice);
        }
    }

    /// Appends a copy of `bytes` to the packed tail.
    pub fn append(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(tail) = self.slices.back_mut() {
            let n = tail.extend_in_place(bytes);
            bytes = &bytes[n..];
        }
        while !bytes.is_empty() {
            let mut chunk = Chunk::with_capacity(self.capacity_for(bytes.len()));
            let n = chunk.append(bytes);
            bytes = &bytes[n..];
            self.pinned += chunk.capacity();
            self.slices.push_back(chunk.freeze());
        }
    }

    /// As [`push`](SliceQueue::push), at the front.
    pub fn push_front(&mut self, slice: Slice) {
        self.len += slice.len();
        if is_worth_its_memory(&slice) {
            self.pinned += slice.pinned();
            return self.slices.push_front(slice);
        }
        let mut bytes = &slice[..];
        if let Some(front) = self.slices.front_mut() {
            let n = front.extend_front_in_place(bytes);
            bytes = &bytes[..bytes.len() - n];
        }
        while !bytes.is_empty() {
            let capacity = self.capacity_for(bytes.len());
            let (rest, last) = bytes.split_at(bytes.len().saturating_sub(capacity));
            self.pinned += capacity;
            self.slices.push_front(Slice::copy_at_end(last, capacity));
            bytes = rest;
        }
    }

    /// Appends all of `other`. Whichever has fewer slices is moved, so that a slice is moved seldom however often queues
    /// are joined.
    pub fn join(&mut self, mut other: SliceQueue) {
        if other.slices.len() > self.slices.len() {
            core::mem::swap(self, &mut other);
            while let Some(slice) = other.slices.pop_back() {
                self.push_front(slice);
            }
        } else {
            for slice in other.slices {
                self.push(slice);
            }
        }
    }

    /// The size of the next packed chunk, when `n` bytes that are counted already are to be copied: as large as leaves at
    /// least half of all that is pinned in use. (As large as what is queued would not do: where slices taken as they are
    /// alternate with small ones, each small one would get such a chunk.)
    fn capacity_for(&self, n: usize) -> usize {
        n.max((2 * self.len).saturating_sub(self.pinned)).clamp(MIN_PACKED, CHUNK_CAPACITY)
    }

    /// Drops the first `n` bytes (all, if there are fewer).
    pub fn advance(&mut self, n: usize) {
        let mut left = n.min(self.len);
        self.len -= left;
        while left > 0 {
            let Some(front) = self.slices.front_mut() else {
                break;
            };
            if front.len() > left {
                front.advance(left);
                break;
            }
            left -= front.len();
            self.pinned -= front.pinned();
            self.slices.pop_front();
        }
        if self.slices.is_empty() {
            self.slices = VecDeque::new(); // an idle queue holds no memory
        }
    }

    /// The bytes `offset .. offset + len` as shared slices; fewer if the queue ends before, or after `max_slices`.
    pub fn slices(&self, offset: usize, len: usize, max_slices: usize) -> Slices {
        let mut out = Slices::new();
        let (mut skip, mut left) = (offset, len);
        for slice in &self.slices {
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
        let out = self.slices(0, max, usize::MAX);
        self.advance(max);
        out
    }

    /// Copies from `offset` on into `buf` and says how many bytes that was. The queue keeps them.
    pub fn copy_to(&self, offset: usize, buf: &mut [u8]) -> usize {
        let mut skip = offset;
        let mut done = 0;
        for slice in &self.slices {
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
            self.slices.iter().for_each(|s| copy.push(s.clone()));
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
