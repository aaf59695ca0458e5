//! What bounds the answers that strangers can make us send.
//!
//! A bound that all share tells by its exhaustion how many answers others got: whoever sends from a forged address, and
//! then asks from an own one, learns which ports are open (SAD DNS, CVE-2020-25705). So each source has a bucket of its own
//! first, and how much an answer costs is drawn, as in Linux's `icmp_global_allow`: what is left says little about how
//! many there were.

use crate::rng::{Key, Rng};
use crate::time::Instant;
use std::net::IpAddr;

/// A token, in the bucket's unit.
const TOKEN: i64 = 1_000_000_000;

/// Buckets that sources are spread over, by a secret hash.
const SOURCES: usize = 256;

/// The part of the rate that one source may have.
const SOURCE_SHARE: u32 = 16;

/// The most tokens that an answer costs; the least is none, so that the mean is one.
const MAX_COST: u64 = 2;

/// A bound on answers in a second, for each source and for all.
#[derive(Debug)]
pub struct Limiter {
    all: TokenBucket,
    sources: Box<[TokenBucket]>,
    key: Key,
}

impl Limiter {
    /// About `rate` answers each second and as many at once, and to one source a sixteenth of that. Strangers who do not
    /// know `key` cannot tell which sources share a bucket.
    pub fn new(rate: u32, key: Key, now: Instant) -> Limiter {
        let sources = vec![TokenBucket::new(rate.div_ceil(SOURCE_SHARE), now); SOURCES];
        Limiter { all: TokenBucket::new(rate, now), sources: sources.into(), key }
    }

    /// Whether `source` may be answered now; if so, the answer is counted.
    pub fn take(&mut self, now: Instant, source: IpAddr, rng: &mut Rng) -> bool {
        let own = &mut self.sources[usize::from(self.key.source(source))];
        let may = own.has_one(now) && self.all.has_one(now);
        if may {
            let cost = rng.between(0, MAX_COST) as i64;
            own.spend(cost);
            self.all.spend(cost);
        }
        may
    }
}

/// A token bucket: `rate` tokens each second, and as many at most. It starts full.
#[derive(Clone, Debug)]
struct TokenBucket {
    rate: u32,
    // In billionths of a token, so that a nanosecond brings `rate` of them and nothing is lost by rounding. It may be
    // in debt by a token, since whoever may take one may take two.
    level: i64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket of `rate` tokens. With a rate of zero it never has one.
    fn new(rate: u32, now: Instant) -> Self {
        TokenBucket { rate, level: i64::from(rate) * TOKEN, filled: now }
    }

    /// Fills in what has come until now, and says whether there is a token.
    fn has_one(&mut self, now: Instant) -> bool {
        let full = i64::from(self.rate) * TOKEN;
        // A second fills it, so more than that need not be multiplied.
        let nanos = now.since(self.filled).as_nanos().min(TOKEN as u128) as i64;
        self.level = self.level.saturating_add(nanos * i64::from(self.rate)).min(full);
        self.filled = now;
        self.level >= TOKEN
    }

    /// Takes so many tokens.
    fn spend(&mut self, tokens: i64) {
        self.level -= tokens * TOKEN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    impl TokenBucket {
        fn take(&mut self, now: Instant) -> bool {
            let has = self.has_one(now);
            self.spend(i64::from(has));
            has
        }
    }

    fn limiter(rate: u32, seed: u64) -> (Limiter, Rng) {
        let mut rng = Rng::new(Rng::seed_from(seed));
        (Limiter::new(rate, rng.key(), Instant::ZERO), rng)
    }

    fn host(n: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    #[test]
    fn one_source_leaves_the_others_their_answers() {
        let (mut limiter, mut rng) = limiter(1600, 1);
        let flood = (0..10_000).filter(|_| limiter.take(Instant::ZERO, host(1), &mut rng)).count();
        assert!((60..=160).contains(&flood), "{flood} at once: a sixteenth, at a cost of one on average");
        let answered = (2..102).filter(|&n| limiter.take(Instant::ZERO, host(n), &mut rng)).count();
        assert!(answered >= 95, "only {answered} of 100 others, but those that share its bucket");
        // A network of IPv6 is one source.
        let of_network = |n: u64| IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(n)).to_be_bytes());
        let flood = (0..10_000).filter(|&n| limiter.take(Instant::ZERO, of_network(n), &mut rng)).count();
        assert!(flood <= 160, "{flood} at once");
    }

    #[test]
    fn all_sources_together_have_the_rate() {
        let (mut limiter, mut rng) = limiter(1000, 2);
        let sent =
            (0..100_000u32).filter(|&n| limiter.take(Instant::from_micros(10 * u64::from(n)), host(n), &mut rng));
        let sent = sent.count();
        assert!((1850..=2150).contains(&sent), "{sent}: a full bucket and a second's worth, with draws of 0 to 2");
    }

    /// CVE-2020-25705: what is left does not tell how many answers there were.
    #[test]
    fn what_is_left_is_blurred() {
        let left = |seed| {
            let (mut limiter, mut rng) = limiter(1000, seed);
            (0..50).for_each(|n| assert!(limiter.take(Instant::ZERO, host(n), &mut rng)));
            (50..5000).filter(|&n| limiter.take(Instant::ZERO, host(n), &mut rng)).count()
        };
        let counts: std::collections::BTreeSet<usize> = (0..8).map(left).collect();
        assert!(counts.len() > 5, "{counts:?}");
        assert!(counts.last().zip(counts.first()).is_some_and(|(most, least)| most - least > 10), "{counts:?}");
    }

    #[test]
    fn a_rate_of_zero_answers_nobody_and_one_of_one_somebody() {
        for rate in [0, 1] {
            let (mut limiter, mut rng) = limiter(rate, 3);
            assert_eq!(limiter.take(Instant::from_millis(1), host(1), &mut rng), rate > 0);
        }
    }

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
