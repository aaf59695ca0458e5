//! When the next segment may leave: output spread over the round trip instead of in bursts.
//!
//! What was sent takes its time at the pacing rate, and what comes next waits until that is over. The connection's deadline
//! wakes it then; a deadline that comes late costs nothing, because up to a millisecond is made good for. A segment is as
//! large as what the rate sends in a millisecond, so that fast paths are not paced by the packet.

use crate::time::Instant;
use core::time::Duration;

/// Round trips shorter than this are not paced, unless the controller has a rate of its own or the user a limit: it would
/// cost more deadlines than it saves queues.
pub const SHORTEST_RTT: Duration = Duration::from_millis(1);

/// A super-segment is what the rate sends in this time, as Linux has it, and at least two segments.
const QUANTUM: Duration = Duration::from_millis(1);

/// How much lateness is made good for.
const CREDIT: Duration = Duration::from_millis(1);

/// The state of pacing.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// When what was sent last is through.
    next: Instant,
    /// Whether something waits for that.
    waiting: bool,
}

impl Pacer {
    /// Nothing was sent yet.
    pub fn new(now: Instant) -> Self {
        Pacer { next: now, waiting: false }
    }

    /// Whether something may leave at `now`. If not, [`deadline`](Self::deadline) says when.
    pub fn may_send(&mut self, now: Instant) -> bool {
        self.waiting = now < self.next;
        !self.waiting
    }

    /// `bytes` leave at `now`, at `rate` bytes a second.
    pub fn on_sent(&mut self, now: Instant, bytes: u32, rate: u64) {
        let nanos = u64::from(bytes).saturating_mul(1_000_000_000) / rate.max(1);
        self.next = self.next.max(now - CREDIT) + Duration::from_nanos(nanos);
    }

    /// Nothing leaves before `until`.
    pub fn hold(&mut self, until: Instant) {
        self.next = self.next.max(until);
    }

    /// When something that waits may leave.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.then_some(self.next)
    }

    /// A deadline has come.
    pub fn on_deadline(&mut self, now: Instant) {
        self.waiting &= now < self.next;
    }
}

/// Bytes that leave together at `rate` bytes a second.
pub fn quantum(rate: u64, mss: u32) -> u32 {
    let bytes = rate / (1_000_000_000 / QUANTUM.subsec_nanos() as u64);
    // Two segments at least, for the sake of delayed ACKs; but where one is more than the share of a link that is slow, a
    // second right behind it would often find the queue full.
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    if bytes < mss { mss } else { bytes.max(2 * mss) }
}

/// The rate in bytes a second that follows from a window: twice what it sends in a round trip in slow start, and 1.2 times
/// in congestion avoidance, so that pacing never holds back what the window allows (as Linux has it).
pub fn rate_of_window(cwnd: u32, ssthresh: u32, srtt: Duration) -> u64 {
    let percent = if cwnd < ssthresh / 2 { 200 } else { 120 };
    let micros = u64::try_from(srtt.as_micros()).unwrap_or(u64::MAX).max(1);
    u64::from(cwnd) * 1_000_000 / micros * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn segments_leave_at_the_rate() {
        let mut pacer = Pacer::new(Instant::ZERO);
        let mut now = Instant::from_millis(100);
        let start = now;
        let mut sent = 0u64;
        for _ in 0..1000 {
            while pacer.may_send(now) {
                pacer.on_sent(now, 3000, 1_000_000);
                sent += 3000;
            }
            now = pacer.deadline().expect("something waits");
        }
        let rate = sent as f64 / now.since(start).as_secs_f64();
        assert!((rate / 1e6 - 1.0).abs() < 0.01, "{rate} bytes a second");
    }

    #[test]
    fn a_late_deadline_costs_nothing_and_a_pause_saves_nothing_up() {
        let mut pacer = Pacer::new(Instant::ZERO);
        let mut now = Instant::from_millis(100);
        let burst = |pacer: &mut Pacer, now: Instant| {
            let mut n = 0;
            while pacer.may_send(now) {
                pacer.on_sent(now, 1000, 10_000_000); // 0.1 ms each
                n += 1;
            }
            n
        };
        burst(&mut pacer, now);
        now = pacer.deadline().unwrap() + MS / 2;
        assert_eq!(burst(&mut pacer, now), 6, "half a millisecond late: five more");
        now += Duration::from_secs(3600);
        assert_eq!(burst(&mut pacer, now), 11, "an hour later: a millisecond's worth");
    }

    #[test]
    fn a_deadline_that_has_come_is_none() {
        let mut pacer = Pacer::new(Instant::ZERO);
        pacer.on_sent(Instant::from_millis(5), 1000, 1000);
        assert!(!pacer.may_send(Instant::from_millis(6)));
        let due = pacer.deadline().unwrap();
        pacer.on_deadline(due - MS);
        assert_eq!(pacer.deadline(), Some(due));
        pacer.on_deadline(due);
        assert_eq!(pacer.deadline(), None);
    }

    #[test]
    fn super_segments_are_a_milliseconds_worth() {
        assert_eq!(quantum(10_000_000, 1460), 10_000);
        assert_eq!(quantum(2_000_000, 1460), 2920);
        assert_eq!(quantum(10_000, 1460), 1460);
    }

    #[test]
    fn the_rate_is_above_the_windows() {
        assert_eq!(rate_of_window(100_000, u32::MAX, 100 * MS), 2_000_000);
        assert_eq!(rate_of_window(100_000, 100_000, 100 * MS), 1_200_000);
    }
}
