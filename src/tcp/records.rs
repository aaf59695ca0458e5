//! A queue of records in one piece of memory, of which the first is part of itself: most connections have one segment in
//! flight, and that shall cost one allocation.

use super::scoreboard::Sent;
use core::ops::{Deref, DerefMut, Range};
use smallvec::SmallVec;

/// Records in the order of their numbers: a slice that is taken from at its front and added to at its end at little cost.
#[derive(Clone, Debug, Default)]
pub struct Records {
    slots: SmallVec<[Sent; 1]>,
    /// How many of the slots have been taken from the front. They are given up when they are half of all, so that each
    /// record is moved once, on average.
    taken: usize,
}

impl Records {
    /// None.
    pub const fn new() -> Self {
        Records { slots: SmallVec::new_const(), taken: 0 }
    }

    /// Adds one at the end.
    pub fn push_back(&mut self, record: Sent) {
        self.slots.push(record);
    }

    /// Adds one before that which stands at `index`. Those on the shorter side make room: what a peer has behind a hole is
    /// near the front, and all that flies is behind that.
    pub fn insert(&mut self, index: usize, record: Sent) {
        if self.taken > 0 && index <= self.len() / 2 {
            let front = self.taken..self.taken + index;
            self.taken -= 1;
            self.slots.copy_within(front, self.taken);
            self.slots[self.taken + index] = record;
        } else {
            self.slots.insert(self.taken + index, record);
        }
    }

    /// Takes out those at `range`. Those on the shorter side close up.
    pub fn remove(&mut self, range: Range<usize>) {
        let (before, behind) = (range.start, self.len() - range.end);
        if before == 0 && behind == 0 {
            self.slots.clear();
            self.taken = 0;
        } else if before <= behind {
            let front = self.taken..self.taken + before;
            self.taken += range.len();
            self.slots.copy_within(front, self.taken);
        } else {
            self.slots.drain(self.taken + range.start..self.taken + range.end);
        }
        if self.taken * 2 > self.slots.len() {
            self.slots.drain(..self.taken);
            self.taken = 0;
            if self.slots.capacity() > 8 * self.slots.len().max(8) {
                self.slots.shrink_to_fit();
            }
        }
    }

    /// Memory that they take beside the queue itself, in bytes.
    pub fn pinned(&self) -> usize {
        if self.slots.spilled() { self.slots.capacity() * size_of::<Sent>() } else { 0 }
    }
}

impl Deref for Records {
    type Target = [Sent];

    fn deref(&self) -> &[Sent] {
        &self.slots[self.taken..]
    }
}

impl DerefMut for Records {
    fn deref_mut(&mut self) -> &mut [Sent] {
        &mut self.slots[self.taken..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::sample::SentState;
    use crate::tcp::seq::{Seq, SeqRange};
    use crate::time::Instant;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn record(n: u32) -> Sent {
        Sent::new(SeqRange { start: Seq(n), end: Seq(n + 1) }, 1, Instant::ZERO, SentState::default())
    }

    fn names(records: &[Sent]) -> Vec<u32> {
        records.iter().map(|r| r.numbers.start.0).collect()
    }

    proptest! {
        /// Against a queue of the standard library.
        #[test]
        fn like_a_queue(steps in prop::collection::vec((0u8..4, 0usize..40, 1usize..3), 1..200)) {
            let (mut ours, mut model) = (Records::new(), VecDeque::new());
            for (n, (step, at, count)) in (0u32..).zip(steps) {
                let at = at.min(model.len());
                let end = (at + count).min(model.len());
                match step {
                    0 => {
                        ours.insert(at, record(n));
                        model.insert(at, n);
                    }
                    1 => {
                        ours.remove(at..end);
                        model.drain(at..end);
                    }
                    2 if !model.is_empty() => {
                        ours.remove(0..1);
                        model.pop_front();
                    }
                    _ => {
                        ours.push_back(record(n));
                        model.push_back(n);
                    }
                }
                prop_assert_eq!(names(&ours), Vec::from(model.clone()));
                prop_assert!(ours.slots.len() <= 2 * model.len() + 1, "no more than half is empty");
            }
        }
    }

    #[test]
    fn one_record_takes_no_memory_of_its_own() {
        let mut records = Records::new();
        for n in 0..100 {
            records.push_back(record(n));
            assert_eq!(records.pinned(), 0);
            records.remove(0..1);
        }
        (0..9).for_each(|n| records.push_back(record(n)));
        assert!(records.pinned() >= 9 * size_of::<Sent>());
    }
}
