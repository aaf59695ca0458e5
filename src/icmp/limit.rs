//! The token bucket that bounds what strangers can make us send.

use crate::time::Instant;

/// A token, in the bucket's unit.
const TOKEN: u64 = 1_000_000_000;

/// A token bucket: `rate` tokens each second, and as many at most. It starts full.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    rate: u32,
    // In billionths of a token, so that a nanosecond brings `rate` of them and nothing is lost by rounding.
    level: u64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket of `rate` tokens. With a rate of zero it never gives one.
    pub fn new(rate: u32, now: Instant) -> Self {
        TokenBucket { rate, level: u64::from(rate) * TOKEN, filled: now }
    }

    /// Takes one token, if there is one, and says whether.
    pub fn take(&mut self, now: Instant) -> bool {
        let full = u64::from(self.rate) * TOKEN;
        // A second fills it, so more than that need not be multiplied.
        let nanos = now.since(self.filled).as_nanos().min(u128::from(TOKEN)) as u64;
        self.level = self.level.saturating_add(nanos * u64::from(self.rate)).min(full);
        self.filled = now;
        let has = self.level >= TOKEN;
        if has {
            self.level -= TOKEN;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut TokenBucket, from_ms: u64, to_ms: u64, each_ms: u32) -> u32 {
        (from_ms..to_ms)
            .flat_map(|ms| (0..each_ms).map(move |_| Instant::from_millis(ms)))
            .filter(|&now| bucket.take(now))
            .count() as u32
    }

    #[test]
    fn a_burst_of_one_second_then_the_rate() {
        let mut bucket = TokenBucket::new(1000, Instant::ZERO);
        assert_eq!(taken(&mut bucket, 0, 1, 5000), 1000);
        assert_eq!(taken(&mut bucket, 1, 1001, 100), 1000);
        // However long it stays idle, it holds no more than one second's worth.
        assert_eq!(taken(&mut bucket, 3_600_000, 3_600_001, 5000), 1000);
    }

    #[test]
    fn slow_rates_lose_nothing_to_rounding() {
        let mut bucket = TokenBucket::new(3, Instant::ZERO);
        assert_eq!(taken(&mut bucket, 0, 1, 10), 3);
        assert_eq!(taken(&mut bucket, 1, 10_001, 1), 30);
    }

    #[test]
    fn the_largest_rate_and_the_longest_wait_do_not_overflow() {
        let mut bucket = TokenBucket::new(u32::MAX, Instant::ZERO);
        assert!(bucket.take(Instant::from_nanos(u64::MAX)));
        assert!(!TokenBucket::new(0, Instant::ZERO).take(Instant::from_nanos(u64::MAX)));
    }
}
