//! Slow start, congestion avoidance and the halving (RFC 5681, RFC 6582), counted in bytes.

use super::{CongestionControl, MAX_CWND, Start, initial_window, rescaled};
use crate::tcp::rate::PathSample;
use crate::tcp::recovery::Phase;
use crate::tcp::sample::AckSample;

/// The controller's state, in bytes.
#[derive(Clone, Debug)]
pub struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    mss: u32,
    /// Bytes acknowledged in congestion avoidance that have not yet opened the window.
    counted: u32,
    /// `cwnd` and `ssthresh` before the last reduction.
    before: (u32, u32),
}

impl NewReno {
    /// The state at the start.
    pub fn new(start: &Start) -> Self {
        let Start { mss, window, ssthresh, .. } = *start;
        NewReno { cwnd: window, ssthresh, mss, counted: 0, before: (window, ssthresh) }
    }

    fn halved(&self, flight: u32) -> u32 {
        // What is outstanding behind a hole is more than the window ever was.
        (flight.min(self.cwnd) / 2).max(2 * self.mss)
    }
}

impl CongestionControl for NewReno {
    fn name(&self) -> &'static str {
        "newreno"
    }

    fn on_ack(&mut self, ack: &AckSample, _path: &PathSample) {
        // After a time-out what was sent before it counts as much as what was sent since (slow start by SND.UNA).
        if !ack.limited || ack.phase == Phase::FastRecovery {
            return;
        }
        if self.cwnd < self.ssthresh {
            // By bytes and at most one MSS an ACK (RFC 5681 3.1, eq. 2): dividing ACKs gains nothing.
            self.cwnd = (self.cwnd + ack.acked.min(self.mss)).min(MAX_CWND);
        } else {
            self.counted += ack.acked;
            if self.counted >= self.cwnd {
                self.counted -= self.cwnd;
                self.cwnd = (self.cwnd + self.mss).min(MAX_CWND);
            }
            self.counted = self.counted.min(self.cwnd);
        }
    }

    fn on_congestion(&mut self, flight: u32) {
        self.before = (self.cwnd, self.ssthresh);
        self.ssthresh = self.halved(flight);
        self.cwnd = self.ssthresh;
        self.counted = 0;
    }

    fn on_ecn(&mut self, flight: u32) {
        self.before = (self.cwnd, self.ssthresh);
        self.ssthresh = self.halved(flight);
        // Down to one segment (RFC 3168 6.1.2).
        self.cwnd = (flight / 2).clamp(self.mss, self.cwnd.max(self.mss));
        self.counted = 0;
    }

    fn on_recovered(&mut self, flight: u32, paced: bool) {
        // RFC 6582 3.2, step 3, option (1): no burst when little is left in flight; or (2).
        self.cwnd = if paced { self.ssthresh } else { self.ssthresh.min(flight.max(self.mss) + self.mss) };
    }

    fn on_rto(&mut self, flight: u32, _in_flight: u32, first: bool) {
        if first {
            self.before = (self.cwnd, self.ssthresh);
            self.ssthresh = self.halved(flight);
        }
        self.cwnd = self.mss;
        self.counted = 0;
    }

    fn on_spurious(&mut self) {
        self.cwnd = self.cwnd.max(self.before.0);
        self.ssthresh = self.ssthresh.max(self.before.1);
    }

    fn on_idle(&mut self) {
        // RFC 2861 3.2: the threshold remembers the window, so that slow start finds it again.
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        self.cwnd = self.cwnd.min(initial_window(self.mss, false));
    }

    fn on_unused(&mut self, used: u32) {
        let used = used.max(initial_window(self.mss, false));
        if used < self.cwnd {
            self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
            self.cwnd = self.cwnd.midpoint(used);
        }
    }

    fn on_mss(&mut self, mss: u32) {
        self.cwnd = rescaled(self.cwnd, self.mss, mss);
        self.mss = mss;
    }

    fn window(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    fn phase(&self) -> &'static str {
        if self.cwnd < self.ssthresh { "slow-start" } else { "avoidance" }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, ack, start};
    use super::*;
    use crate::time::Instant;

    fn on_ack(cc: &mut NewReno, acked: u32, limited: bool) {
        cc.on_ack(&ack(Instant::ZERO, acked, limited), &PathSample::default());
    }

    /// 5681-5: also against ACK division (RFC 3465).
    #[test]
    fn slow_start_counts_bytes_and_at_most_one_segment_an_ack() {
        let mut cc = NewReno::new(&start());
        let start = cc.window();
        for _ in 0..MSS {
            on_ack(&mut cc, 1, true);
        }
        assert_eq!(cc.window(), start + MSS, "one segment acknowledged in a thousand pieces");
        on_ack(&mut cc, 64_000, true);
        assert_eq!(cc.window(), start + 2 * MSS);
        on_ack(&mut cc, MSS, false);
        assert_eq!(cc.window(), start + 2 * MSS, "a window that was not used does not grow");
    }

    #[test]
    fn congestion_avoidance_adds_one_segment_a_window() {
        let mut cc = NewReno::new(&start());
        cc.cwnd = 20 * MSS;
        cc.on_congestion(20 * MSS);
        assert_eq!((cc.window(), cc.ssthresh()), (10 * MSS, 10 * MSS));
        for _ in 0..10 {
            on_ack(&mut cc, MSS, true);
        }
        assert_eq!(cc.window(), 11 * MSS);
    }

    #[test]
    fn a_time_out_restarts_from_one_segment_and_halves_once() {
        let mut cc = NewReno::new(&start());
        cc.on_rto(8 * MSS, 0, true);
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, 4 * MSS));
        cc.on_rto(MSS, 0, false);
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, 4 * MSS));
        cc.on_rto(MSS, 0, true);
        assert_eq!(cc.ssthresh(), 2 * MSS);
    }

    #[test]
    fn idle_and_recovered_windows_make_no_burst() {
        let mut cc = NewReno::new(&start());
        for _ in 0..100 {
            on_ack(&mut cc, 2 * MSS, true);
        }
        cc.on_idle();
        assert_eq!(cc.window(), 10 * MSS);
        cc.cwnd = 100 * MSS;
        cc.on_congestion(100 * MSS);
        cc.on_recovered(3 * MSS, false);
        assert_eq!(cc.window(), 4 * MSS);
        cc.on_recovered(3 * MSS, true);
        assert_eq!(cc.window(), cc.ssthresh(), "pacing spreads it");
    }

    /// RFC 2861 3.2: half of what was not used goes, and the threshold remembers it.
    #[test]
    fn what_is_not_used_decays() {
        let mut cc = NewReno::new(&start());
        cc.cwnd = 80 * MSS;
        cc.on_congestion(80 * MSS);
        cc.on_unused(20 * MSS);
        assert_eq!((cc.window(), cc.ssthresh()), (30 * MSS, 40 * MSS));
        cc.on_unused(0);
        assert_eq!(cc.window(), 20 * MSS, "never below the initial window");
    }

    #[test]
    fn a_spurious_reduction_is_taken_back() {
        let mut cc = NewReno::new(&start());
        cc.cwnd = 80 * MSS;
        cc.on_congestion(80 * MSS);
        let was = (cc.window(), cc.ssthresh());
        cc.on_rto(40 * MSS, 0, true);
        cc.on_spurious();
        assert_eq!((cc.window(), cc.ssthresh()), was);
    }

    /// 3168-2: an echo of congestion halves the window, down to a single segment.
    #[test]
    fn ecn_halves_down_to_one_segment() {
        let mut cc = NewReno::new(&start());
        for (flight, cwnd) in [(10, 5), (5, 2), (1, 1)] {
            cc.on_ecn(flight * MSS);
            assert_eq!(cc.window() / MSS, cwnd);
        }
        assert_eq!(cc.ssthresh(), 2 * MSS);
    }
}
