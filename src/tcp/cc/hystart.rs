//! HyStart++ (RFC 9406): slow start that ends when the round trip grows, before the queue runs over.
//!
//! A round trip that takes notably longer than the one before it may mean that a queue builds up: then slow start goes on
//! four times as slowly for a while ("conservative slow start"), and either the delay was a passing one and it resumes, or
//! it ends.

use crate::tcp::rate::PathSample;
use crate::tcp::sample::AckSample;

/// RFC 9406 4.3: what a round trip may grow by, in microseconds, is an eighth of it within these bounds.
const MIN_RTT_THRESH: u32 = 4_000;
const MAX_RTT_THRESH: u32 = 16_000;
const MIN_RTT_DIVISOR: u32 = 8;
/// Measurements that a round needs to be judged.
const N_RTT_SAMPLE: u8 = 8;
/// How much more slowly the window grows in conservative slow start.
const CSS_GROWTH_DIVISOR: u32 = 4;
/// Rounds of it before slow start is over.
const CSS_ROUNDS: u8 = 5;
/// Segments by which one ACK opens the window at most, where output is not paced.
const L: u32 = 8;

/// No measurement yet.
const NONE: u32 = u32::MAX;

/// The state of HyStart++, during the first slow start.
#[derive(Clone, Debug)]
pub struct HyStart {
    /// RTT minima in microseconds: `lastRoundMinRTT`, `currentRoundMinRTT`.
    last_round: u32,
    current_round: u32,
    /// `cssBaselineMinRtt`, while in conservative slow start.
    baseline: Option<u32>,
    /// `rttSampleCount`.
    samples: u8,
    css_rounds: u8,
    /// Bytes delivered on the connection when the round's first segment was sent: it ends with the ACK of one sent later.
    round_end: u64,
}

/// What an ACK in slow start leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// The window grows by so many bytes.
    By(u32),
    /// Slow start is over.
    Over,
}

impl Default for HyStart {
    fn default() -> Self {
        HyStart { last_round: NONE, current_round: NONE, baseline: None, samples: 0, css_rounds: 0, round_end: 0 }
    }
}

impl HyStart {
    /// Whether it is in conservative slow start.
    pub fn is_conservative(&self) -> bool {
        self.baseline.is_some()
    }

    /// An ACK came in slow start (RFC 9406 4.2).
    pub fn on_ack(&mut self, ack: &AckSample, path: &PathSample, mss: u32) -> Growth {
        let mut over = false;
        if let Some(newest) = &ack.newest
            && newest.state.delivered >= self.round_end
        {
            over = self.next_round(path.delivered);
        }
        if let Some(rtt) = ack.rtt {
            self.current_round = self.current_round.min(u32::try_from(rtt.as_micros()).unwrap_or(NONE - 1));
            self.samples = self.samples.saturating_add(1);
        }
        self.judge();
        if over && self.baseline.is_some() {
            return Growth::Over;
        }
        let most = if path.paced { u32::MAX } else { L * mss };
        let by = ack.acked.min(most);
        Growth::By(if self.baseline.is_some() { by / CSS_GROWTH_DIVISOR } else { by })
    }

    /// A round is over. Says whether it was the last of conservative slow start.
    fn next_round(&mut self, delivered: u64) -> bool {
        self.round_end = delivered;
        self.last_round = self.current_round;
        self.current_round = NONE;
        self.samples = 0;
        self.css_rounds += u8::from(self.baseline.is_some());
        self.css_rounds >= CSS_ROUNDS
    }

    fn judge(&mut self) {
        if self.samples < N_RTT_SAMPLE || self.current_round == NONE {
            return;
        }
        match self.baseline {
            None if self.last_round != NONE => {
                let thresh = (self.last_round / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                if self.current_round >= self.last_round.saturating_add(thresh) {
                    self.baseline = Some(self.current_round);
                    self.css_rounds = 0;
                }
            }
            // It was a passing delay: slow start resumes.
            Some(baseline) if self.current_round < baseline => self.baseline = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, ack};
    use super::*;
    use crate::tcp::sample::{Newest, SentState};
    use crate::time::Instant;
    use core::time::Duration;

    /// A round of ten ACKs with a round trip of `ms` milliseconds. Gives what the last of them led to.
    fn round(hystart: &mut HyStart, delivered: &mut u64, ms: u64) -> Growth {
        let sent = SentState { delivered: *delivered, ..SentState::default() };
        (0..10)
            .map(|_| {
                *delivered += u64::from(MSS);
                let newest = Some(Newest { sent_at: Instant::ZERO, retransmitted: false, state: sent });
                let ack = crate::tcp::sample::AckSample {
                    rtt: Some(Duration::from_millis(ms)),
                    newest,
                    ..ack(Instant::ZERO, MSS, true)
                };
                let path = PathSample { delivered: *delivered, ..PathSample::default() };
                hystart.on_ack(&ack, &path, MSS)
            })
            .find(|g| *g == Growth::Over)
            .unwrap_or(Growth::By(if hystart.is_conservative() { MSS / 4 } else { MSS }))
    }

    /// 9406-1 9406-2 9406-3: conservative slow start begins when the round trip has grown by an eighth, grows a fourth as
    /// fast, and ends slow start after five rounds.
    #[test]
    fn a_growing_round_trip_ends_slow_start() {
        let (mut h, mut delivered) = (HyStart::default(), 0);
        for _ in 0..5 {
            assert_eq!(round(&mut h, &mut delivered, 80), Growth::By(MSS));
        }
        assert_eq!(round(&mut h, &mut delivered, 89), Growth::By(MSS), "less than an eighth more");
        assert_eq!(round(&mut h, &mut delivered, 101), Growth::By(MSS / 4));
        for _ in 0..4 {
            assert_eq!(round(&mut h, &mut delivered, 101), Growth::By(MSS / 4));
        }
        assert_eq!(round(&mut h, &mut delivered, 101), Growth::Over);
    }

    /// 9406-4: a delay that passes lets slow start go on.
    #[test]
    fn a_passing_delay_ends_nothing() {
        let (mut h, mut delivered) = (HyStart::default(), 0);
        for ms in [80, 80, 100] {
            round(&mut h, &mut delivered, ms);
        }
        assert!(h.is_conservative());
        for _ in 0..20 {
            assert_eq!(round(&mut h, &mut delivered, 80), Growth::By(MSS));
        }
    }

    /// 9406-1: on short paths 4 ms are needed, on long ones 16.
    #[test]
    fn the_threshold_is_bounded() {
        for (before, after, ends) in [(1, 4, false), (1, 5, true), (400, 415, false), (400, 416, true)] {
            let (mut h, mut delivered) = (HyStart::default(), 0);
            round(&mut h, &mut delivered, before);
            round(&mut h, &mut delivered, after);
            assert_eq!(h.is_conservative(), ends, "{before} to {after} ms");
        }
    }

    /// 9406-5: without pacing one ACK opens the window by eight segments at most.
    #[test]
    fn one_ack_makes_no_burst() {
        let mut h = HyStart::default();
        let grown = |h: &mut HyStart, paced| {
            let path = PathSample { paced, ..PathSample::default() };
            h.on_ack(&ack(Instant::ZERO, 40 * MSS, true), &path, MSS)
        };
        assert_eq!(grown(&mut h, false), Growth::By(8 * MSS));
        assert_eq!(grown(&mut h, true), Growth::By(40 * MSS));
    }
}
