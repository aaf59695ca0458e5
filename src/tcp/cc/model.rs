//! What both versions of BBR know of a path: the largest delivery rate lately, how bunched ACKs are, and rounds.

use crate::tcp::rate::RateSample;
use crate::time::Instant;
use core::time::Duration;

/// 1, as the gains count it.
pub(super) const UNIT: u32 = 256;

/// The largest value of a window of rounds, kept as its three best (Kathleen Nichols' windowed filter).
#[derive(Clone, Debug, Default)]
pub(super) struct MaxFilter {
    /// Round and value, the largest first, each later than the one before it.
    best: [(u32, u64); 3],
}

impl MaxFilter {
    /// The largest value of the window.
    pub(super) fn get(&self) -> u64 {
        self.best[0].1
    }

    /// A `value` of this `round`, where the window is `window` rounds long.
    pub(super) fn update(&mut self, window: u32, round: u32, value: u64) {
        let new = (round, value);
        if value >= self.best[0].1 || round.wrapping_sub(self.best[2].0) > window {
            self.best = [new; 3];
            return;
        }
        if value >= self.best[1].1 {
            self.best[1] = new;
            self.best[2] = new;
        } else if value >= self.best[2].1 {
            self.best[2] = new;
        }
        if round.wrapping_sub(self.best[0].0) > window {
            // The best has left the window: the others move up.
            self.best = [self.best[1], self.best[2], new];
            if round.wrapping_sub(self.best[0].0) > window {
                self.best = [self.best[1], self.best[2], new];
            }
        } else if self.best[1].0 == self.best[0].0 && round.wrapping_sub(self.best[1].0) > window / 4 {
            self.best[1] = new;
            self.best[2] = new;
        } else if self.best[2].0 == self.best[1].0 && round.wrapping_sub(self.best[2].0) > window / 2 {
            self.best[2] = new;
        }
    }
}

/// Round trips, counted by delivery: one is over when something is delivered that was sent after it began.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    /// How many.
    pub(super) count: u32,
    /// Whether the last ACK ended one.
    pub(super) start: bool,
    end: u64,
}

impl Rounds {
    /// An ACK brought `rate`; `delivered` is the connection's count.
    pub(super) fn on_ack(&mut self, rate: &RateSample, delivered: u64) {
        self.start = rate.prior_delivered >= self.end;
        if self.start {
            self.end = delivered;
            self.count = self.count.wrapping_add(1);
        }
    }

    /// A round begins now.
    pub(super) fn restart(&mut self, delivered: u64) {
        self.end = delivered;
    }
}

/// How much more than the rate would explain is acknowledged at once: so much must be in flight beside the path's own
/// product of rate and round trip, or the sender falls silent between two bunches of ACKs.
#[derive(Clone, Debug, Default)]
pub(super) struct Aggregation {
    extra: MaxFilter,
    since: Instant,
    acked: u64,
}

impl Aggregation {
    /// A new epoch of reckoning begins.
    pub(super) fn restart(&mut self, now: Instant) {
        self.since = now;
        self.acked = 0;
    }

    /// `acked` bytes were delivered, at a rate that is `bw` bytes a second over time.
    pub(super) fn on_ack(&mut self, now: Instant, acked: u32, bw: u64, cwnd: u32, round: u32) {
        let mut expected = bytes_in(bw, now.since(self.since));
        if self.acked <= expected {
            self.restart(now);
            expected = 0;
        }
        self.acked += u64::from(acked);
        let extra = self.acked.saturating_sub(expected).min(u64::from(cwnd));
        self.extra.update(EXTRA_ACKED_ROUNDS, round, extra);
    }

    /// The largest surplus lately, in bytes.
    pub(super) fn extra(&self) -> u64 {
        self.extra.get()
    }
}

/// Rounds over which the surplus is remembered.
const EXTRA_ACKED_ROUNDS: u32 = 10;

/// One percent less, rounded up: else a slow rate would never grow by a quarter of itself.
pub(super) fn a_little_less(rate: u64) -> u64 {
    rate - rate / 100
}

/// What `rate` bytes a second are in `time`.
pub(super) fn bytes_in(rate: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let bytes = u128::from(rate) * u128::from(micros) / 1_000_000;
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// `x * gain`.
pub(super) fn gained(x: u64, gain: u32) -> u64 {
    x.saturating_mul(u64::from(gain)) / u64::from(UNIT)
}

/// `bytes` as a window.
pub(super) fn window(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).min(super::MAX_CWND)
}

/// Numbers that only need to differ from one connection to the other (Marsaglia's xorshift).
#[derive(Clone, Debug)]
pub(super) struct Dice(u32);

impl Dice {
    pub(super) fn new(seed: u32) -> Self {
        Dice(seed | 1)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % n.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the plain definition, with rounds that come one after the other: the filter forgets nothing too early, and
    /// what it remembers too long is at most one window old.
    #[test]
    fn the_largest_of_a_window() {
        let mut dice = Dice::new(5);
        let (mut filter, mut all) = (MaxFilter::default(), Vec::new());
        for round in 0..5000u32 {
            let value = u64::from(dice.below(1000));
            filter.update(10, round, value);
            all.push(value);
            let from = (round as usize).saturating_sub(10);
            assert!(filter.get() <= *all[from..].iter().max().unwrap(), "round {round}: it left the window");
            assert!(filter.get() >= value);
        }
        for round in 5000..5012 {
            filter.update(10, round, 1);
        }
        assert_eq!(filter.get(), 1, "all else is too old");
    }

    #[test]
    fn a_bunch_of_acks_is_a_surplus() {
        let mut a = Aggregation::default();
        let at = Instant::from_millis;
        a.restart(at(0));
        // A megabyte a second, acknowledged 10 ms at a time.
        for i in 1..50 {
            a.on_ack(at(10 * i), 10_000, 1_000_000, 100_000, i as u32);
        }
        assert!((10_000..=20_000).contains(&a.extra()), "{}", a.extra());
    }
}
