//! CoDel (RFC 8289): a queue that drops by how long packets waited, not by how many there are.

use crate::buf::Slice;
use crate::time::Instant;
use core::time::Duration;
use std::collections::VecDeque;

/// With no more than this waiting, the queue cannot be shorter and nothing is dropped (RFC 8289 5.1).
const MAX_PACKET: usize = 1500;

/// A queue before a bottleneck, and the controller of its delay. The names are those of RFC 8289 section 5.
#[derive(Debug)]
pub(super) struct CoDel {
    target: Duration,
    interval: Duration,
    waiting: VecDeque<(Instant, Slice)>,
    bytes: usize,
    /// When packets will have waited too long for a whole interval, if they do now.
    first_above: Option<Instant>,
    drop_next: Instant,
    count: u32,
    last_count: u32,
    dropping: bool,
    dropped: u64,
}

impl CoDel {
    /// An empty queue in which packets shall wait no longer than `target`, but for an `interval` now and then.
    pub(super) fn new(target: Duration, interval: Duration, start: Instant) -> Self {
        CoDel {
            target,
            interval,
            waiting: VecDeque::new(),
            bytes: 0,
            first_above: None,
            drop_next: start,
            count: 0,
            last_count: 0,
            dropping: false,
            dropped: 0,
        }
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Packets that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// When the packet at the head came.
    pub(super) fn head(&self) -> Option<Instant> {
        self.waiting.front().map(|(since, _)| *since)
    }

    pub(super) fn enqueue(&mut self, now: Instant, packet: Slice) {
        self.bytes += packet.len();
        self.waiting.push_back((now, packet));
    }

    /// The packet to be sent at `now`; there may be none, because all that waited were dropped.
    pub(super) fn dequeue(&mut self, now: Instant) -> Option<Slice> {
        let (mut packet, mut late) = self.pop(now);
        if self.dropping {
            self.dropping = late;
            while self.dropping && now >= self.drop_next {
                self.dropped += 1;
                self.count += 1;
                (packet, late) = self.pop(now);
                self.dropping = late;
                if late {
                    self.drop_next = self.control_law(self.drop_next);
                }
            }
        } else if late {
            self.dropped += 1;
            (packet, _) = self.pop(now);
            self.dropping = true;
            // Soon after the last time, it goes on where that ended.
            let more = self.count.wrapping_sub(self.last_count);
            let soon = now.since(self.drop_next) < 16 * self.interval;
            self.count = if more > 1 && soon { more } else { 1 };
            self.drop_next = self.control_law(now);
            self.last_count = self.count;
        }
        packet
    }

    /// The packet at the head, and whether it may be dropped: packets have waited too long for an interval.
    fn pop(&mut self, now: Instant) -> (Option<Slice>, bool) {
        let Some((since, packet)) = self.waiting.pop_front() else {
            self.first_above = None;
            return (None, false);
        };
        self.bytes -= packet.len();
        if now.since(since) < self.target || self.bytes <= MAX_PACKET {
            self.first_above = None;
            return (Some(packet), false);
        }
        let over = *self.first_above.get_or_insert(now + self.interval);
        (Some(packet), now >= over)
    }

    /// The next drop comes sooner with every one: the interval over the root of their number.
    fn control_law(&self, from: Instant) -> Instant {
        let nanos = self.interval.as_nanos() as f64 / f64::from(self.count.max(1)).sqrt();
        from + Duration::from_nanos(nanos as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Packets come every `every` and are taken every millisecond, for a second; gives those taken and those dropped.
    fn run(every: Duration) -> (u64, u64, CoDel) {
        let mut queue = CoDel::new(5 * MS, 100 * MS, Instant::ZERO);
        let (mut taken, mut arrives) = (0, Instant::ZERO);
        for ms in 0..1000 {
            let now = Instant::from_millis(ms);
            while arrives <= now {
                queue.enqueue(arrives, Slice::copy_of(&[0; 1000]));
                arrives += every;
            }
            taken += u64::from(queue.dequeue(now).is_some());
        }
        (taken, queue.dropped(), queue)
    }

    #[test]
    fn a_queue_that_drains_loses_nothing() {
        assert_eq!(run(MS).1, 0);
        assert_eq!(run(3 * MS).1, 0);
    }

    #[test]
    fn a_standing_queue_is_dropped_from_ever_faster() {
        let (taken, dropped, queue) = run(MS * 9 / 10);
        assert!(taken > 900, "the link is never idle: {taken}");
        // The n-th drop comes 100 ms / sqrt(n) after the one before: 20 or so in 0.9 s, where nothing else helps.
        assert!((15..=30).contains(&dropped), "{dropped} dropped");
        assert!(queue.dropping && queue.count > 10);
    }

    #[test]
    fn a_burst_is_let_through() {
        let mut queue = CoDel::new(5 * MS, 100 * MS, Instant::ZERO);
        for _ in 0..90 {
            queue.enqueue(Instant::ZERO, Slice::copy_of(&[0; 1000]));
        }
        for ms in 0..90 {
            assert!(queue.dequeue(Instant::from_millis(ms)).is_some());
        }
        assert_eq!((queue.dropped(), queue.bytes(), queue.head()), (0, 0, None));
        assert!(queue.dequeue(Instant::from_millis(91)).is_none());
    }
}
