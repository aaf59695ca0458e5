//! Round-trip time: which segment is timed, and what the samples say (RFC 6298 2, Karn's rule in 3).

use super::seq::Seq;
use crate::time::Instant;
use core::time::Duration;

/// Clock granularity G of RFC 6298: the unit of time stamps. In nanoseconds.
const GRANULARITY: u64 = 1_000_000;

/// SRTT and RTTVAR, and the one segment being timed.
#[derive(Clone, Debug, Default)]
pub struct Rtt {
    /// SRTT and RTTVAR in nanoseconds: they are reckoned with at every ACK, which is dear in `Duration`s.
    srtt: Option<u64>,
    rttvar: u64,
    timed: Option<(Seq, Instant)>,
    /// When something was sent again last.
    resent: Option<Instant>,
    /// SND.NXT at the last sample. Until it is acknowledged, time stamps give no further one: RFC 6298's filter is made
    /// for one sample a round trip (RFC 7323 4.2).
    sampled_at: Option<Seq>,
}

impl Rtt {
    /// The smoothed round-trip time, once there was a sample.
    pub fn srtt(&self) -> Option<Duration> {
        self.srtt.map(Duration::from_nanos)
    }

    /// The round-trip time's variation.
    pub fn rttvar(&self) -> Duration {
        Duration::from_nanos(self.rttvar)
    }

    /// New data up to `end` was sent at `now`: times it, if nothing is being timed.
    pub fn on_sent(&mut self, end: Seq, now: Instant) {
        self.timed.get_or_insert((end, now));
    }

    /// Something is sent again at `now`: its ACK would be ambiguous, so the timing is given up (Karn).
    pub fn on_retransmit(&mut self, now: Instant) {
        self.timed = None;
        self.resent = Some(now);
    }

    /// `una` is acknowledged at `now`, while `nxt` is SND.NXT. `by_timestamp` is how long ago the echoed time stamp was
    /// sent; it is used where nothing was timed, that is, after retransmissions. Says whether the ACK is clear, that is,
    /// whether it is known which transmission it answers.
    ///
    /// An echo from before the last retransmission is not: either the first transmission was late, or it was in time and
    /// its ACK was lost. Taken for a measurement, the second case would count all our waiting as round trip, and on a bad
    /// link the time-out would grow to its ceiling.
    pub fn on_ack(&mut self, una: Seq, nxt: Seq, now: Instant, by_timestamp: Option<Duration>) -> bool {
        let timed = self.timed.take_if(|(end, _)| una.at_or_after(*end)).map(|(_, sent)| now.since(sent));
        // Time stamps count milliseconds.
        let echoes_latest = |ago: &Duration| {
            self.resent.is_none_or(|at| u128::from(now.as_millis()) >= u128::from(at.as_millis()) + ago.as_millis())
        };
        let by_timestamp = by_timestamp.filter(echoes_latest);
        let due = self.timed.is_none() && self.sampled_at.is_none_or(|nxt| una.after(nxt));
        if let Some(sample) = timed.or(by_timestamp.filter(|_| due)) {
            self.sample(sample);
            self.sampled_at = Some(nxt);
        }
        timed.or(by_timestamp).is_some()
    }

    /// One measurement R' (RFC 6298 2.2, 2.3: RTTVAR before SRTT).
    pub fn sample(&mut self, r: Duration) {
        let r = nanos(r);
        match self.srtt {
            None => {
                self.srtt = Some(r);
                self.rttvar = r / 2;
            }
            Some(srtt) => {
                self.rttvar = (self.rttvar * 3 + srtt.abs_diff(r)) / 4;
                self.srtt = Some((srtt * 7 + r) / 8);
            }
        }
    }

    /// RTO = SRTT + max(G, 4 * RTTVAR), within `min` and `max`; `initial` before the first sample.
    pub fn rto(&self, initial: Duration, min: Duration, max: Duration) -> Duration {
        match self.srtt {
            None => initial.min(max),
            Some(srtt) => {
                let rto = srtt.saturating_add(GRANULARITY.max(self.rttvar.saturating_mul(4)));
                Duration::from_nanos(rto.clamp(nanos(min), nanos(max)))
            }
        }
    }
}

/// A round-trip time, at most a hundred years so that it can be reckoned with.
fn nanos(r: Duration) -> u64 {
    u64::try_from(r.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX >> 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rto(rtt: &Rtt) -> Duration {
        rtt.rto(1000 * MS, MS, 120_000 * MS)
    }

    #[test]
    fn rfc6298_formulas() {
        let mut rtt = Rtt::default();
        assert_eq!(rto(&rtt), 1000 * MS);
        rtt.sample(100 * MS);
        assert_eq!((rtt.srtt(), rtt.rttvar(), rto(&rtt)), (Some(100 * MS), 50 * MS, 300 * MS));
        rtt.sample(200 * MS);
        // RTTVAR = 3/4 * 50 + 1/4 * |100 - 200|; SRTT = 7/8 * 100 + 1/8 * 200
        assert_eq!((rtt.srtt(), rtt.rttvar()), (Some(Duration::from_micros(112_500)), Duration::from_micros(62_500)));
        assert_eq!(rto(&rtt), Duration::from_micros(112_500 + 250_000));
        assert_eq!(rtt.rto(1000 * MS, 500 * MS, 1000 * MS), 500 * MS);
    }

    #[test]
    fn the_granularity_is_a_floor_of_the_variation() {
        let mut rtt = Rtt::default();
        for _ in 0..200 {
            rtt.sample(50 * MS);
        }
        assert_eq!(rto(&rtt), 51 * MS);
    }

    #[test]
    fn karns_rule() {
        let mut rtt = Rtt::default();
        let at = Instant::from_millis;
        rtt.on_sent(Seq(100), at(0));
        rtt.on_sent(Seq(200), at(5));
        assert!(!rtt.on_ack(Seq(50), Seq(200), at(10), None));
        rtt.on_retransmit(at(12));
        assert!(!rtt.on_ack(Seq(200), Seq(200), at(20), None), "the ACK of a retransmission is no sample");
        assert!(
            !rtt.on_ack(Seq(200), Seq(250), at(20), Some(15 * MS)),
            "nor is one that echoes the first transmission"
        );
        assert_eq!(rtt.srtt(), None);
        assert!(rtt.on_ack(Seq(200), Seq(250), at(20), Some(8 * MS)), "but one that echoes the retransmission is");
        assert_eq!(rtt.srtt(), Some(8 * MS));
        assert!(rtt.on_ack(Seq(240), Seq(250), at(21), Some(7 * MS)));
        assert_eq!(rtt.srtt(), Some(8 * MS), "one sample a round trip");
        rtt.on_sent(Seq(300), at(30));
        assert!(rtt.on_ack(Seq(300), Seq(300), at(53), Some(24 * MS)));
        assert_eq!(rtt.srtt(), Some((8 * MS * 7 + 23 * MS) / 8), "our own clock is finer than the time stamps");
    }
}
