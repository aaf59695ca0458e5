//! How fast data is delivered: the estimator of draft-cheng-iccrg-delivery-rate-estimation, whose names are in brackets.
//!
//! Each segment remembers, when it is sent, how much had been delivered by then ([`SentState`]). When it is delivered, the
//! difference, over the time that it took to send it or to acknowledge it, whichever is longer, is how fast the path was.
//! Neither ACKs that come in bunches nor what waits in our own queues can make that too large.

use super::sample::{AckSample, SentState};
use crate::time::Instant;
use core::time::Duration;

/// How fast the path delivered what an ACK brought (`rs`).
#[derive(Clone, Copy, Debug)]
pub struct RateSample {
    /// Bytes a second (`rs.delivery_rate`).
    pub rate: u64,
    /// Bytes delivered over the sampling interval (`rs.delivered`).
    pub delivered: u64,
    /// Bytes delivered on the connection when the segment was sent (`rs.prior_delivered`).
    pub prior_delivered: u64,
    /// Bytes found lost since the segment was sent.
    pub lost: u32,
    /// Bytes in flight when the segment was sent (`P.tx_in_flight`).
    pub in_flight: u32,
    /// Whether there was less to send than the window allowed, so that the path may be faster (`rs.is_app_limited`).
    pub app_limited: bool,
}

/// What is known of the path after an ACK, beside what the ACK said.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathSample {
    /// Bytes delivered over the connection's life.
    pub delivered: u64,
    /// Smoothed round-trip time; zero before the first measurement.
    pub srtt: Duration,
    /// Whether output is paced.
    pub paced: bool,
    /// Whether the peer echoes that a packet was marked (RFC 3168).
    pub ecn: bool,
    /// The delivery rate, if the ACK gives one.
    pub rate: Option<RateSample>,
}

/// The connection's state for it (`C`).
#[derive(Clone, Debug)]
pub struct Rate {
    /// `C.delivered`, in bytes.
    delivered: u64,
    /// `C.delivered_time`.
    delivered_at: Instant,
    /// `C.first_sent_time`.
    first_sent_at: Instant,
    /// Bytes found lost over the connection's life, modulo 2^32.
    lost: u32,
    /// `C.app_limited`: what was sent until so much is delivered was held back by the application; zero if it is not.
    app_limited: u64,
    /// The shortest round trip: what seems to have taken less time was compressed (4.1.1).
    min_rtt: Duration,
    /// The last rate in bytes a second, and whether it was the application's.
    last: (u64, bool),
}

impl Rate {
    /// Nothing has been delivered yet.
    pub fn new(now: Instant) -> Self {
        Rate {
            delivered: 0,
            delivered_at: now,
            first_sent_at: now,
            lost: 0,
            app_limited: 0,
            min_rtt: Duration::MAX,
            last: (0, false),
        }
    }

    /// Bytes delivered over the connection's life.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Bytes found lost over the connection's life, modulo 2^32.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// The shortest round trip that an ACK has measured.
    pub fn min_rtt(&self) -> Option<Duration> {
        Some(self.min_rtt).filter(|rtt| *rtt < Duration::MAX)
    }

    /// The last rate in bytes a second, and whether less was sent than might have been.
    pub fn last(&self) -> (u64, bool) {
        self.last
    }

    /// A segment of `bytes` is sent, where `in_flight` flew before: how things stand (3.2, `SendPacket`).
    pub fn on_sent(&mut self, now: Instant, in_flight: u32, bytes: u32) -> SentState {
        if in_flight == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        SentState {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            in_flight: in_flight.saturating_add(bytes),
            lost: self.lost,
            app_limited: self.is_app_limited(),
        }
    }

    /// `bytes` were found lost without an ACK.
    pub fn on_lost(&mut self, bytes: u32) {
        self.lost = self.lost.wrapping_add(bytes);
    }

    /// There is nothing to be sent, though more than these `in_flight` bytes might fly (3.4).
    pub fn on_app_limited(&mut self, in_flight: u32) {
        self.app_limited = (self.delivered + u64::from(in_flight)).max(1);
    }

    /// Whether what is sent now was held back by the application.
    pub fn is_app_limited(&self) -> bool {
        self.app_limited != 0
    }

    /// An ACK delivered something (3.3, `GenerateRateSample`).
    pub fn on_ack(&mut self, ack: &AckSample) -> Option<RateSample> {
        self.delivered += u64::from(ack.delivered);
        self.lost = self.lost.wrapping_add(ack.lost);
        if ack.delivered > 0 {
            self.delivered_at = ack.now;
        }
        if self.app_limited != 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        if let Some(rtt) = ack.rtt {
            self.min_rtt = self.min_rtt.min(rtt);
        }
        let newest = ack.newest.as_ref()?;
        let sent = &newest.state;
        self.first_sent_at = newest.sent_at;
        let send_elapsed = newest.sent_at.since(sent.first_sent_at);
        let ack_elapsed = ack.now.since(sent.delivered_at);
        let interval = send_elapsed.max(ack_elapsed);
        if interval.is_zero() || self.min_rtt < Duration::MAX && interval < self.min_rtt {
            return None;
        }
        let delivered = self.delivered.saturating_sub(sent.delivered);
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let rate = RateSample {
            rate: delivered.saturating_mul(1_000_000_000) / nanos,
            delivered,
            prior_delivered: sent.delivered,
            lost: self.lost.wrapping_sub(sent.lost),
            in_flight: sent.in_flight,
            app_limited: sent.app_limited,
        };
        if !rate.app_limited || rate.rate >= self.last.0 {
            self.last = (rate.rate, rate.app_limited);
        }
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cc::tests::{MSS, ack};
    use super::*;
    use crate::tcp::sample::Newest;

    fn deliver(rate: &mut Rate, now: Instant, sent_at: Instant, state: SentState, bytes: u32) -> Option<RateSample> {
        let newest = Some(Newest { sent_at, retransmitted: false, state });
        rate.on_ack(&AckSample { newest, rtt: Some(now.since(sent_at)), ..ack(now, bytes, true) })
    }

    /// Ten segments, one each millisecond, delivered at that rate 20 ms later: a megabyte a second. That they are
    /// acknowledged in one bunch makes it no faster.
    #[test]
    fn neither_sending_nor_acknowledging_in_bunches_makes_the_path_faster() {
        let at = Instant::from_millis;
        let mut rate = Rate::new(at(0));
        let sent: Vec<_> = (0..10).map(|i| rate.on_sent(at(i), i as u32 * MSS, MSS)).collect();
        for i in 0..10u64 {
            let sample = deliver(&mut rate, at(20 + i), at(i), sent[i as usize], MSS).unwrap();
            // Until the first round trip is over the time before the first ACK counts.
            assert_eq!(sample.rate, (i + 1) * u64::from(MSS) * 1000 / (20 + i));
        }
        // The next ten follow each ACK, and all of them are acknowledged at once.
        let mut rate = Rate::new(at(0));
        let first: Vec<_> = (0..10).map(|i| rate.on_sent(at(i), i as u32 * MSS, MSS)).collect();
        let mut next = Vec::new();
        for i in 0..10u64 {
            deliver(&mut rate, at(20 + i), at(i), first[i as usize], MSS);
            next.push(rate.on_sent(at(20 + i), 9 * MSS, MSS));
        }
        let sample = deliver(&mut rate, at(49), at(29), next[9], 10 * MSS).unwrap();
        assert_eq!((sample.rate, sample.delivered, sample.prior_delivered), (500_000, 10_000, 10_000));
    }

    #[test]
    fn what_was_sent_after_a_pause_is_the_applications() {
        let at = Instant::from_millis;
        let mut rate = Rate::new(at(0));
        rate.on_app_limited(0);
        let state = rate.on_sent(at(0), 0, MSS);
        assert!(state.app_limited);
        assert!(deliver(&mut rate, at(20), at(0), state, MSS).unwrap().app_limited);
        assert!(!rate.is_app_limited(), "all of that has been delivered");
        assert!(!rate.on_sent(at(20), 0, MSS).app_limited);
    }

    #[test]
    fn an_interval_shorter_than_any_round_trip_proves_nothing() {
        let at = Instant::from_millis;
        let mut rate = Rate::new(at(0));
        let state = rate.on_sent(at(0), 0, MSS);
        deliver(&mut rate, at(20), at(0), state, MSS);
        let state = rate.on_sent(at(20), 0, MSS);
        assert!(deliver(&mut rate, at(25), at(20), state, MSS).is_some(), "that is the shortest round trip now");
        let state = rate.on_sent(at(30), 0, MSS);
        let newest = Some(Newest { sent_at: at(30), retransmitted: true, state });
        assert!(rate.on_ack(&AckSample { newest, ..ack(at(31), MSS, true) }).is_none());
    }
}
