//! A hierarchical timer wheel: one entry for each connection, set, moved and cleared in constant time.
//!
//! Entries are *lazy*: an entry may fire before its connection's deadline, never after it. The truth is the connection's
//! own `deadline()`, which is computed; when an entry fires, the stack asks it and sets the entry anew. So a deadline that
//! moves later, as the retransmission timer does with every ACK, costs nothing here.

use super::segmented::Segmented;
use crate::time::Instant;

/// Nanoseconds in a tick, as a power of two: 65.5 us.
const TICK_BITS: u32 = 16;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Seven levels of 64 slots reach nine years ahead.
const LEVELS: usize = 7;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    at: Instant,
    prev: u32,
    next: u32,
    /// Level and slot in which it is linked, if it is set.
    place: Option<(u8, u8)>,
}

/// The wheel. Entries are numbered like the connections they belong to.
#[derive(Debug)]
pub(super) struct Wheel {
    tick: u64,
    heads: [[u32; SLOTS]; LEVELS],
    occupied: [u64; LEVELS],
    nodes: Segmented<Node>,
}

fn tick_of(at: Instant) -> u64 {
    at.as_nanos() >> TICK_BITS
}

impl Wheel {
    /// An empty wheel that begins at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Wheel { tick: tick_of(now), heads: [[NONE; SLOTS]; LEVELS], occupied: [0; LEVELS], nodes: Segmented::new() }
    }

    /// Sees to it that entry `index` fires at `at` or earlier.
    pub(super) fn arm(&mut self, index: u32, at: Instant) {
        while index as usize >= self.nodes.len() {
            self.nodes.push(Node { at: Instant::ZERO, prev: NONE, next: NONE, place: None });
        }
        let node = &mut self.nodes[index];
        if node.place.is_some() {
            if node.at <= at {
                return;
            }
            self.unlink(index);
        }
        self.nodes[index].at = at;
        self.link(index);
    }

    /// Clears entry `index`.
    pub(super) fn cancel(&mut self, index: u32) {
        if self.nodes.get(index).is_some_and(|n| n.place.is_some()) {
            self.unlink(index);
        }
    }

    /// A time at which [`expire`](Wheel::expire) has something to do, not later than the first entry.
    pub(super) fn next(&self) -> Option<Instant> {
        let (level, slot) = self.first()?;
        if level > 0 {
            return Some(Instant::from_nanos(self.start(level, slot) << TICK_BITS));
        }
        self.entries(level, slot).map(|i| self.nodes[i].at).min()
    }

    /// Takes one entry that is due at `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<u32> {
        let target = tick_of(now);
        loop {
            let first = self.first().filter(|&(level, slot)| self.start(level, slot) <= target);
            let Some((level, slot)) = first else {
                self.tick = self.tick.max(target);
                return None;
            };
            self.tick = self.tick.max(self.start(level, slot));
            if level == 0 {
                let due = self.entries(level, slot).find(|&i| self.nodes[i].at <= now)?;
                self.unlink(due);
                return Some(due);
            }
            // The slot's time has come: its entries move to finer levels.
            while self.heads[level][slot] != NONE {
                let index = self.heads[level][slot];
                self.unlink(index);
                self.link(index);
            }
        }
    }

    /// The first slot in time. All entries of a finer level come before those of a coarser one, because a slot's level
    /// is that of the highest digit in which its time differs from the wheel's.
    fn first(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    /// The first tick of a slot.
    fn start(&self, level: usize, slot: usize) -> u64 {
        let shift = level as u32 * SLOT_BITS;
        let above = self.tick >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        above | (slot as u64) << shift
    }

    fn entries(&self, level: usize, slot: usize) -> impl Iterator<Item = u32> + '_ {
        let first = self.heads[level][slot];
        core::iter::successors((first != NONE).then_some(first), |&i| {
            Some(self.nodes[i].next).filter(|&next| next != NONE)
        })
    }

    fn link(&mut self, index: u32) {
        let horizon = self.tick + (1 << (LEVELS as u32 * SLOT_BITS - 1));
        let tick = tick_of(self.nodes[index].at).clamp(self.tick, horizon);
        let differs = 63 - ((tick ^ self.tick) | 1).leading_zeros();
        let level = ((differs / SLOT_BITS) as usize).min(LEVELS - 1);
        let slot = (tick >> (level as u32 * SLOT_BITS)) as usize & (SLOTS - 1);
        let head = core::mem::replace(&mut self.heads[level][slot], index);
        if head != NONE {
            self.nodes[head].prev = index;
        }
        self.occupied[level] |= 1 << slot;
        let node = &mut self.nodes[index];
        (node.prev, node.next, node.place) = (NONE, head, Some((level as u8, slot as u8)));
    }

    fn unlink(&mut self, index: u32) {
        let Node { prev, next, place, .. } = self.nodes[index];
        let Some((level, slot)) = place.map(|(l, s)| (usize::from(l), usize::from(s))) else { return };
        if prev == NONE {
            self.heads[level][slot] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << slot);
            }
        } else {
            self.nodes[prev].next = next;
        }
        if next != NONE {
            self.nodes[next].prev = prev;
        }
        self.nodes[index].place = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use core::time::Duration;

    #[test]
    fn an_earlier_time_moves_an_entry_and_a_later_one_does_not() {
        let at = Instant::from_millis;
        let mut wheel = Wheel::new(at(0));
        wheel.arm(3, at(500));
        wheel.arm(3, at(40));
        wheel.arm(3, at(900));
        assert!(wheel.next().unwrap() <= at(40));
        assert_eq!((wheel.expire(at(39)), wheel.expire(at(40)), wheel.expire(at(1000))), (None, Some(3), None));
        wheel.arm(3, at(2000));
        wheel.cancel(3);
        assert_eq!(wheel.next(), None);
    }

    /// Against a plain list, with times from nanoseconds to months ahead: what fires is due, nothing due is left, and
    /// sleeping until `next` always leads to the entry in a bounded number of steps.
    #[test]
    fn like_a_list() {
        let mut rng = Rng::new([5; 32]);
        let mut now = Instant::from_nanos(123_456_789);
        let mut wheel = Wheel::new(now);
        let mut list = std::collections::BTreeMap::new();
        for step in 0..20_000u32 {
            let index = rng.between(0, 200) as u32;
            let ahead = Duration::from_nanos(1 << rng.between(0, 52)) + Duration::from_nanos(rng.between(0, 100_000));
            if rng.chance(0.2) {
                wheel.cancel(index);
                list.remove(&index);
            } else {
                wheel.cancel(index);
                wheel.arm(index, now + ahead);
                list.insert(index, now + ahead);
            }
            if step % 7 == 0 {
                let mut wakes = 0;
                let first = list.values().min().copied();
                while let Some(next) = wheel.next() {
                    assert!(next <= first.unwrap(), "never later than the first entry");
                    now = now.max(next);
                    wakes += 1;
                    assert!(wakes < 20, "sleeping until next leads on");
                    if let Some(fired) = wheel.expire(now) {
                        assert!(list.remove(&fired).unwrap() <= now);
                        break;
                    }
                }
                while let Some(fired) = wheel.expire(now) {
                    assert!(list.remove(&fired).unwrap() <= now);
                }
                assert!(list.values().all(|&at| at > now), "nothing due is left");
            }
        }
    }
}
