//! Slow start, congestion avoidance and the halving (RFC 5681), counted in bytes, and an initial window of
//! ten segments (RFC 6928).

use super::CongestionControl;
use crate::tcp::recovery::Phase;
use crate::tcp::sample::AckSample;

/// The controller's state, in bytes.
#[derive(Clone, Debug)]
pub struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    mss: u32,
    initial: u32,
    /// Bytes acknowledged in congestion avoidance that have not yet opened the window.
    counted: u32,
    /// `cwnd` and `ssthresh` before the last reduction.
    before: (u32, u32),
}

/// No window needs to be larger: it is what the largest scaled receive window allows.
const MAX_CWND: u32 = 1 << 30;

impl NewReno {
    /// The state at the connection's start. After a lost SYN the window starts with one segment (RFC 5681 3.1).
    pub fn new(mss: u32, lost_syn: bool) -> Self {
        let initial = if lost_syn { mss } else { initial_window(mss) };
        NewReno { cwnd: initial, ssthresh: u32::MAX, mss, initial, counted: 0, before: (initial, u32::MAX) }
    }

    fn halved(&self, flight: u32) -> u32 {
        (flight / 2).max(2 * self.mss)
    }
}

/// IW = min(10 * MSS, max(2 * MSS, 14600)) (RFC 6928 2).
fn initial_window(mss: u32) -> u32 {
    (10 * mss).min(14_600.max(2 * mss))
}

impl CongestionControl for NewReno {
    fn on_ack(&mut self, ack: &AckSample) {
        // After a time-out what was sent before it counts as much as what was sent since (slow start by SND.UNA).
        let acked = ack.acked;
        if !ack.limited || ack.phase == Phase::FastRecovery {
            return;
        }
        if self.cwnd < self.ssthresh {
            // By bytes and at most one MSS an ACK (RFC 5681 3.1, eq. 2): dividing ACKs gains nothing.
            self.cwnd = (self.cwnd + acked.min(self.mss)).min(MAX_CWND);
        } else {
            self.counted += acked;
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

    fn on_recovered(&mut self, flight: u32) {
        // RFC 6582 3.2, step 3, option (1): no burst when little is left in flight.
        self.cwnd = self.ssthresh.min(flight.max(self.mss) + self.mss);
    }

    fn on_rto(&mut self, flight: u32, first: bool) {
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
        self.cwnd = self.cwnd.min(self.initial.max(self.mss));
    }

    fn on_mss(&mut self, mss: u32) {
        self.cwnd = self.cwnd.max(mss);
        self.mss = mss;
        self.initial = initial_window(mss);
    }

    fn window(&self) -> u32 {
        self.cwnd
    }

    fn uses_prr(&self) -> bool {
        true
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    const MSS: u32 = 1000;

    fn ack(acked: u32, limited: bool) -> AckSample {
        AckSample {
            now: Instant::ZERO,
            acked,
            delivered: acked,
            sacked: 0,
            lost: 0,
            rtt: None,
            prior_in_flight: acked,
            in_flight: 0,
            limited,
            phase: Phase::Open,
            newest: None,
        }
    }

    #[test]
    fn initial_windows() {
        let cwnd = |mss, lost| NewReno::new(mss, lost).window();
        assert_eq!((cwnd(1460, false), cwnd(536, false), cwnd(9000, false)), (14_600, 5360, 18_000));
        assert_eq!(cwnd(1460, true), 1460);
    }

    #[test]
    fn slow_start_counts_bytes_and_at_most_one_segment_an_ack() {
        let mut cc = NewReno::new(MSS, false);
        let start = cc.window();
        for _ in 0..MSS {
            cc.on_ack(&ack(1, true));
        }
        assert_eq!(cc.window(), start + MSS, "one segment acknowledged in a thousand pieces");
        cc.on_ack(&ack(64_000, true));
        assert_eq!(cc.window(), start + 2 * MSS);
        cc.on_ack(&ack(MSS, false));
        assert_eq!(cc.window(), start + 2 * MSS, "a window that was not used does not grow");
    }

    #[test]
    fn congestion_avoidance_adds_one_segment_a_window() {
        let mut cc = NewReno::new(MSS, false);
        cc.on_congestion(20 * MSS);
        assert_eq!((cc.window(), cc.ssthresh()), (10 * MSS, 10 * MSS));
        for _ in 0..10 {
            cc.on_ack(&ack(MSS, true));
        }
        assert_eq!(cc.window(), 11 * MSS);
    }

    #[test]
    fn a_time_out_restarts_from_one_segment_and_halves_once() {
        let mut cc = NewReno::new(MSS, false);
        cc.on_rto(8 * MSS, true);
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, 4 * MSS));
        cc.on_rto(MSS, false);
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, 4 * MSS));
        cc.on_rto(MSS, true);
        assert_eq!(cc.ssthresh(), 2 * MSS);
    }

    #[test]
    fn idle_and_recovered_windows_make_no_burst() {
        let mut cc = NewReno::new(MSS, false);
        for _ in 0..100 {
            cc.on_ack(&ack(2 * MSS, true));
        }
        cc.on_idle();
        assert_eq!(cc.window(), 10 * MSS);
        cc.on_congestion(100 * MSS);
        cc.on_recovered(3 * MSS);
        assert_eq!(cc.window(), 4 * MSS);
    }
}
