//! Round-trip time: which segment is timed, and what the samples say (RFC 6298 2, Karn's rule in 3).

use super::seq::Seq;
use crate::time::{self, Instant};
use core::time::Duration;

/// Clock granularity G of RFC 6298: the unit of time stamps. In nanoseconds.
const GRANULARITY: u64 = 1_000_000;

/// How long the smallest round-trip time counts (RFC 8985 6.2, step 1, as Linux has it): five minutes.
const MIN_RTT_LIFE: Duration = Duration::from_secs(300);

/// SRTT and RTTVAR, and what they are made of.
#[derive(Clone, Debug, Default)]
pub struct Rtt {
    /// SRTT and RTTVAR in nanoseconds: they are reckoned with at every ACK, which is dear in `Duration`s. Before the first
    /// sample, zero.
    srtt: u64,
    rttvar: u64,
    /// The smallest sample, in nanoseconds, and when it was taken.
    min: u64,
    min_at: Instant,
    /// When something was sent again last.
    resent: Option<Instant>,
    /// SND.NXT when the round trip at hand began, and what was in flight: each ACK's sample has the weight of its share of
    /// that, since RFC 6298's filter is made for one sample a round trip (RFC 7323 4.2, appendix G).
    round: (Seq, u32),
}

impl Rtt {
    /// The smoothed round-trip time, once there was a sample.
    pub fn srtt(&self) -> Option<Duration> {
        (self.srtt > 0).then(|| Duration::from_nanos(self.srtt))
    }

    /// The round-trip time's variation.
    pub fn rttvar(&self) -> Duration {
        Duration::from_nanos(self.rttvar)
    }

    /// The smallest round-trip time of the last minutes; zero before any sample.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.min)
    }

    /// Something is sent again at `now`.
    pub fn on_retransmit(&mut self, now: Instant) {
        self.resent = Some(now);
    }

    /// `acked` bytes up to `una` are acknowledged at `now`, of `flight` bytes up to `nxt`. `timed` is how long ago the first of
    /// them was sent, unless some were sent again (Karn); `by_timestamp` how long ago the echoed time stamp was sent, which
    /// tells transmissions apart. Says whether the ACK is clear, that is, whether it is known which transmission it answers.
    ///
    /// An echo from before the last retransmission is not: either the first transmission was late, or it was in time and
    /// its ACK was lost. Taken for a measurement, the second case would count all our waiting as round trip, and on a bad
    /// link the time-out would grow to its ceiling.
    pub fn on_ack(
        &mut self,
        (una, acked): (Seq, u32),
        (nxt, flight): (Seq, u32),
        now: Instant,
        timed: Option<Duration>,
        by_timestamp: Option<Duration>,
    ) -> bool {
        // Time stamps count milliseconds.
        let echoes_latest = |ago: &Duration| {
            self.resent.is_none_or(|at| u128::from(now.as_millis()) >= u128::from(at.as_millis()) + ago.as_millis())
        };
        let Some(sample) = timed.or_else(|| by_timestamp.filter(echoes_latest)) else { return false };
        if self.round.1 == 0 || una.after(self.round.0) {
            self.round = (nxt, flight);
        }
        let share = acked.leading_zeros().saturating_sub(self.round.1.leading_zeros());
        self.weighted(nanos(sample), share, now);
        true
    }

    /// A SACK block tells of `sacked` bytes, sent once only, of which the last were sent `r` ago: in a recovery that lasts,
    /// this is all that measures the path.
    pub fn on_sack(&mut self, r: Duration, sacked: u32, now: Instant) {
        let share = sacked.leading_zeros().saturating_sub(self.round.1.leading_zeros());
        self.weighted(nanos(r), share, now);
    }

    /// A time-out was spurious, because the round trip took `r`: RFC 4015 3.2, steps 4 and 5, so that the next one waits.
    pub fn on_late(&mut self, r: Duration) {
        let r = nanos(r);
        self.srtt = self.srtt.max(r);
        self.rttvar = self.rttvar.max(r / 2);
    }

    /// One measurement R' (RFC 6298 2.2, 2.3: RTTVAR before SRTT).
    pub fn sample(&mut self, r: Duration, now: Instant) {
        self.weighted(nanos(r), 0, now);
    }

    /// One measurement of 2^`share` in a round trip.
    fn weighted(&mut self, r: u64, share: u32, now: Instant) {
        if self.min == 0 || r <= self.min || now.since(self.min_at) > MIN_RTT_LIFE {
            (self.min, self.min_at) = (r, now);
        }
        match self.srtt {
            0 => {
                self.srtt = r;
                self.rttvar = r / 2;
            }
            srtt => {
                let step = |from: u64, to: u64, gain: u32| {
                    if to >= from { from + ((to - from) >> gain) } else { from - ((from - to) >> gain) }
                };
                self.rttvar = step(self.rttvar, srtt.abs_diff(r), 2 + share);
                self.srtt = step(srtt, r, 3 + share);
            }
        }
    }

    /// RTO = SRTT + max(G, 4 * RTTVAR) in nanoseconds, once there was a sample.
    pub fn rto(&self) -> Option<u64> {
        (self.srtt > 0).then(|| self.srtt.saturating_add(GRANULARITY.max(self.rttvar.saturating_mul(4))))
    }
}

/// A round-trip time, at most a hundred years so that it can be reckoned with, and at least a nanosecond.
fn nanos(r: Duration) -> u64 {
    time::nanos(r).clamp(1, u64::MAX >> 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rto(rtt: &Rtt) -> Duration {
        rtt.rto().map_or(1000 * MS, Duration::from_nanos)
    }

    #[test]
    fn rfc6298_formulas() {
        let mut rtt = Rtt::default();
        assert_eq!(rto(&rtt), 1000 * MS);
        rtt.sample(100 * MS, Instant::ZERO);
        assert_eq!((rtt.srtt(), rtt.rttvar(), rto(&rtt)), (Some(100 * MS), 50 * MS, 300 * MS));
        rtt.sample(200 * MS, Instant::ZERO);
        // RTTVAR = 3/4 * 50 + 1/4 * |100 - 200|; SRTT = 7/8 * 100 + 1/8 * 200
        assert_eq!((rtt.srtt(), rtt.rttvar()), (Some(Duration::from_micros(112_500)), Duration::from_micros(62_500)));
        assert_eq!(rto(&rtt), Duration::from_micros(112_500 + 250_000));
    }

    #[test]
    fn the_granularity_is_a_floor_of_the_variation() {
        let mut rtt = Rtt::default();
        for _ in 0..200 {
            rtt.sample(50 * MS, Instant::ZERO);
        }
        assert_eq!(rto(&rtt), 51 * MS);
    }

    /// An ACK of all of `len` bytes in flight up to `una`.
    fn all(una: u32, len: u32) -> ((Seq, u32), (Seq, u32)) {
        ((Seq(una), len), (Seq(una), len))
    }

    #[test]
    fn karns_rule() {
        let mut rtt = Rtt::default();
        let at = Instant::from_millis;
        let (acked, flight) = all(200, 100);
        rtt.on_retransmit(at(12));
        assert!(!rtt.on_ack(acked, flight, at(20), None, None), "the ACK of a retransmission is no sample");
        assert!(
            !rtt.on_ack(acked, flight, at(20), None, Some(15 * MS)),
            "nor is one that echoes the first transmission"
        );
        assert_eq!(rtt.srtt(), None);
        assert!(rtt.on_ack(acked, flight, at(20), None, Some(8 * MS)), "but one that echoes the retransmission is");
        assert_eq!(rtt.srtt(), Some(8 * MS));
        let (acked, flight) = all(300, 100);
        assert!(rtt.on_ack(acked, flight, at(53), Some(24 * MS), Some(30 * MS)));
        assert_eq!(rtt.srtt(), Some((8 * MS * 7 + 24 * MS) / 8), "our own clock is finer than the time stamps");
        assert_eq!(rtt.min(), 8 * MS);
    }

    /// 7323-16 8985-4: ten samples in a round trip weigh as much as one or two.
    #[test]
    fn a_sample_weighs_as_much_as_its_share_of_the_flight() {
        let mut rtt = Rtt::default();
        rtt.sample(100 * MS, Instant::ZERO);
        for i in 1..=10 {
            let left = 1000 - 100 * (i - 1);
            rtt.on_ack((Seq(100 * i), 100), (Seq(1000), left), Instant::from_millis(1), Some(200 * MS), None);
        }
        let moved = rtt.srtt().unwrap() - 100 * MS;
        assert!(moved >= 12 * MS && moved <= 25 * MS, "{moved:?}");
    }

    /// 4015-1: after a spurious time-out the next waits as long as that round trip takes.
    #[test]
    fn a_late_round_trip_is_learned_at_once() {
        let mut rtt = Rtt::default();
        rtt.sample(MS, Instant::ZERO);
        rtt.on_late(500 * MS);
        assert_eq!(rto(&rtt), 1500 * MS);
        rtt.on_late(MS);
        assert_eq!(rto(&rtt), 1500 * MS);
    }
}
