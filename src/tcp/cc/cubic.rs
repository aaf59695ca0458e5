//! CUBIC (RFC 9438): after a loss the window goes back to where it was along a cubic curve, quickly at first, slowly near
//! that point, and quickly again beyond it. The curve is one of time, not of round trips, so that flows with different
//! round trips share fairly.
//!
//! Everything is reckoned in integers: windows in bytes, times in 1/1024 s.

use super::hystart::{Growth, HyStart};
use super::{CongestionControl, MAX_CWND, Start, initial_window, rescaled};
use crate::tcp::rate::PathSample;
use crate::tcp::recovery::Phase;
use crate::tcp::sample::AckSample;
use crate::time::Instant;
use core::time::Duration;

/// C = 0.4 segments/s^3 (RFC 9438 5.1), as a fraction.
const C: (u64, u64) = (2, 5);
/// beta_cubic = 0.7 (4.6), in tenths.
const BETA: u64 = 7;
/// alpha_cubic = 3 * (1 - beta) / (1 + beta) (4.3), which is 9/17.
const ALPHA: (u64, u64) = (9, 17);

/// Where on the curve the window is: one congestion avoidance stage.
#[derive(Clone, Debug)]
struct Epoch {
    /// `t_epoch`, moved on by the time that the window was not needed.
    since: Instant,
    /// `K` in 1/1024 s.
    k: u64,
    /// The plateau: `W_max`, or the window at the stage's start if that is larger.
    origin: u32,
    /// `W_est`: what Reno's window would be.
    w_est: u32,
    /// Bytes acknowledged, times alpha, that have not yet opened `w_est`.
    counted: u64,
    /// Since when the window has not been what held the sender back.
    unneeded: Option<Instant>,
}

/// The controller's state, in bytes.
#[derive(Clone, Debug)]
pub struct Cubic {
    cwnd: u32,
    ssthresh: u32,
    mss: u32,
    /// `W_max`; zero if the next stage begins at its own plateau.
    w_max: u32,
    /// `cwnd_prior`.
    cwnd_prior: u32,
    epoch: Option<Epoch>,
    /// During the first slow start.
    hystart: Option<HyStart>,
    /// What [`on_spurious`](CongestionControl::on_spurious) goes back to (4.9.2).
    undo: Option<Box<Cubic>>,
}

impl Cubic {
    /// The state at the start.
    pub fn new(start: &Start) -> Self {
        let Start { mss, window, ssthresh, .. } = *start;
        let hystart = (ssthresh == u32::MAX).then(HyStart::default);
        Cubic { cwnd: window, ssthresh, mss, w_max: 0, cwnd_prior: window, epoch: None, hystart, undo: None }
    }

    /// Remembers how things stand before a reduction.
    fn remember(&mut self) {
        self.undo = None;
        self.undo = Some(Box::new(self.clone()));
    }

    /// 4.6 and 4.7: the threshold, the plateau of the next stage, and fast convergence.
    fn reduce(&mut self, flight: u32) {
        self.remember();
        self.w_max = if self.cwnd < self.w_max { scaled(self.cwnd, 10 + BETA, 20) } else { self.cwnd };
        self.cwnd_prior = self.cwnd;
        // (4.6: what is outstanding behind a hole is more than the window ever was.)
        self.ssthresh = scaled(flight.min(self.cwnd), BETA, 10);
        self.epoch = None;
        self.hystart = None;
    }

    fn slow_start(&mut self, ack: &AckSample, path: &PathSample) {
        let growth = match &mut self.hystart {
            Some(hystart) => hystart.on_ack(ack, path, self.mss),
            // What was SACKed before is acknowledged by one ACK, and must not make a burst.
            None => Growth::By(ack.acked.min(ack.delivered).min(if path.paced { u32::MAX } else { 8 * self.mss })),
        };
        match growth {
            // No further than the threshold: what is beyond is congestion avoidance's.
            Growth::By(n) => self.cwnd = self.cwnd.saturating_add(n).min(self.ssthresh.max(self.cwnd)).min(MAX_CWND),
            Growth::Over => {
                self.ssthresh = self.cwnd;
                self.cwnd_prior = self.cwnd;
                self.hystart = None;
            }
        }
    }

    /// 4.2 to 4.5.
    fn avoid_congestion(&mut self, ack: &AckSample, srtt: Duration) {
        let (cwnd, mss) = (self.cwnd, self.mss);
        let w_max = self.w_max;
        let epoch = self.epoch.get_or_insert_with(|| Epoch::new(ack.now, cwnd, w_max, mss));
        epoch.resume(ack.now);
        let t = ticks(ack.now.since(epoch.since));
        let alpha = if epoch.w_est >= self.cwnd_prior { (1, 1) } else { ALPHA };
        epoch.grow_like_reno(ack.acked, cwnd, mss, alpha);
        if epoch.w_cubic(t, mss) < epoch.w_est {
            self.cwnd = cwnd.max(epoch.w_est);
        } else {
            let target = epoch.w_cubic(t + ticks(srtt), mss).clamp(cwnd, cwnd.saturating_add(cwnd / 2));
            let step = u64::from(target - cwnd) * u64::from(ack.acked.min(cwnd)) / u64::from(cwnd.max(1));
            self.cwnd = cwnd.saturating_add(step as u32);
        }
        self.cwnd = self.cwnd.min(MAX_CWND);
    }
}

impl Epoch {
    fn new(now: Instant, cwnd: u32, w_max: u32, mss: u32) -> Self {
        // K = cbrt((W_max - cwnd_epoch) / C): with both in bytes and K in 1/1024 s.
        let distance = u64::from(w_max.saturating_sub(cwnd));
        let cubed = u128::from(distance * C.1) * (1 << 30) / u128::from(u64::from(mss.max(1)) * C.0);
        let k = cube_root(u64::try_from(cubed).unwrap_or(u64::MAX));
        Epoch { since: now, k, origin: w_max.max(cwnd), w_est: cwnd, counted: 0, unneeded: None }
    }

    /// `W_cubic(t) = C * (t - K)^3 + W_max`, with `t` in 1/1024 s.
    fn w_cubic(&self, t: u64, mss: u32) -> u32 {
        let d = t.abs_diff(self.k);
        let cubed = d.saturating_mul(d).saturating_mul(d);
        // Whichever order loses no digits.
        let scale = u64::from(mss) * C.0 / C.1;
        let offset = cubed.checked_mul(scale).map_or_else(|| (cubed >> 30).saturating_mul(scale), |x| x >> 30);
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        if t < self.k { self.origin.saturating_sub(offset) } else { self.origin.saturating_add(offset) }.min(MAX_CWND)
    }

    /// 4.3, equation 4, a segment at a time.
    fn grow_like_reno(&mut self, acked: u32, cwnd: u32, mss: u32, alpha: (u64, u64)) {
        let window = u64::from(cwnd.max(mss)) * alpha.1;
        self.counted += u64::from(acked) * alpha.0;
        if self.counted >= window {
            self.w_est = self.w_est.saturating_add(mss).min(MAX_CWND);
            self.counted = (self.counted - window).min(window);
        }
    }

    /// The window is needed again: the curve goes on from where it stopped (5.8).
    fn resume(&mut self, now: Instant) {
        if let Some(since) = self.unneeded.take() {
            self.since += now.since(since);
        }
    }
}

impl CongestionControl for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
    }

    fn on_ack(&mut self, ack: &AckSample, path: &PathSample) {
        if ack.phase == Phase::FastRecovery || ack.acked == 0 {
            return;
        }
        if !ack.limited {
            if let Some(epoch) = &mut self.epoch {
                epoch.unneeded.get_or_insert(ack.now);
            }
            return;
        }
        if self.cwnd < self.ssthresh {
            self.slow_start(ack, path);
        } else {
            self.avoid_congestion(ack, path.srtt);
        }
    }

    fn on_congestion(&mut self, flight: u32) {
        self.reduce(flight);
        self.ssthresh = self.ssthresh.max(2 * self.mss);
        self.cwnd = self.ssthresh;
    }

    fn on_ecn(&mut self, flight: u32) {
        self.reduce(flight);
        self.cwnd = self.ssthresh.clamp(self.mss, self.cwnd.max(self.mss));
        self.ssthresh = self.ssthresh.max(2 * self.mss);
    }

    fn on_recovered(&mut self, flight: u32, paced: bool) {
        // No burst when little is left in flight.
        self.cwnd = if paced { self.ssthresh } else { self.ssthresh.min(flight.max(self.mss) + self.mss) };
    }

    fn on_rto(&mut self, flight: u32, _in_flight: u32, first: bool) {
        if first {
            self.reduce(flight);
            self.ssthresh = self.ssthresh.max(2 * self.mss);
        }
        // 4.8: the stage that follows begins at its own plateau.
        self.w_max = 0;
        self.epoch = None;
        self.cwnd = self.mss;
    }

    fn on_spurious(&mut self) {
        if let Some(before) = self.undo.take()
            && before.cwnd > self.cwnd
        {
            let mss = self.mss;
            *self = *before;
            self.on_mss(mss);
        }
    }

    fn on_idle(&mut self) {
        // RFC 2861 3.2: the threshold remembers the window, so that slow start finds it again.
        self.ssthresh = self.ssthresh.max(self.cwnd / 4 * 3);
        self.cwnd = self.cwnd.min(initial_window(self.mss, false));
        self.epoch = None;
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
        match &self.hystart {
            _ if self.cwnd >= self.ssthresh => "avoidance",
            Some(hystart) if hystart.is_conservative() => "conservative-slow-start",
            _ => "slow-start",
        }
    }
}

/// `bytes * num / den`.
fn scaled(bytes: u32, num: u64, den: u64) -> u32 {
    (u64::from(bytes) * num / den) as u32
}

/// A time in 1/1024 s.
fn ticks(time: Duration) -> u64 {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX >> 10);
    (nanos << 10) / 1_000_000_000
}

/// The largest integer whose cube is at most `x`.
fn cube_root(x: u64) -> u64 {
    (0..22).rev().fold(0, |root, bit| {
        let candidate = root | 1 << bit;
        if u128::from(candidate).pow(3) <= u128::from(x) { candidate } else { root }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MSS, ack, start};
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    fn path() -> PathSample {
        PathSample { srtt: RTT, ..PathSample::default() }
    }

    /// A controller in congestion avoidance with a window of `segments` after a loss at 10/7 of it.
    fn after_loss(segments: u32) -> Cubic {
        let before = Start { window: segments * MSS * 10 / 7, ssthresh: MSS, ..start() };
        let mut cc = Cubic::new(&before);
        cc.on_congestion(cc.cwnd);
        cc
    }

    /// Acknowledges a window each RTT until `end`, from `from` on.
    fn run(cc: &mut Cubic, from: Instant, end: Instant) -> Instant {
        let mut now = from;
        while now < end {
            let (mut left, step) = (cc.window(), cc.window() / 20);
            for i in 0..20 {
                let acked = if i == 19 { left } else { step };
                cc.on_ack(&ack(now, acked, true), &path());
                left -= acked;
                now += RTT / 20;
            }
        }
        now
    }

    #[test]
    fn cube_roots() {
        for x in [0u64, 1, 7, 8, 26, 27, 1 << 30, (1 << 60) - 1, u64::MAX] {
            let root = u128::from(cube_root(x));
            assert!(root.pow(3) <= u128::from(x) && (root + 1).pow(3) > u128::from(x), "{x}");
        }
    }

    /// 9438-10: K = cbrt((W_max - cwnd_epoch) / C) with C = 0.4, beta = 0.7: from 70 segments back to 100 it takes
    /// cbrt(30 / 0.4) = 4.217 s.
    #[test]
    fn k_of_the_rfc() {
        let epoch = Epoch::new(Instant::ZERO, 70 * MSS, 100 * MSS, MSS);
        assert!((epoch.k as f64 / 1024.0 - 75f64.cbrt()).abs() < 0.002, "{}", epoch.k);
        assert_eq!(epoch.w_cubic(epoch.k, MSS), 100 * MSS);
        assert!(epoch.w_cubic(0, MSS).abs_diff(70 * MSS) < MSS / 10);
        assert_eq!(epoch.w_cubic(epoch.k + 1024, MSS), 100 * MSS + 400, "C segments a second beyond the plateau");
    }

    /// 9438-3: the window follows C * (t - K)^3 + W_max within a segment or a percent for 100 s, both sides of the plateau.
    #[test]
    fn the_curve_of_the_rfc() {
        let mut cc = after_loss(7000);
        let (w_max, mss) = (f64::from(cc.w_max), f64::from(MSS));
        let k = ((w_max - f64::from(cc.cwnd)) / mss / 0.4).cbrt();
        let mut now = Instant::ZERO;
        while now < Instant::from_millis(100_000) {
            now = run(&mut cc, now, now + Duration::from_secs(1));
            let t = now.since(Instant::ZERO).as_secs_f64();
            let want = 0.4 * mss * (t - k).powi(3) + w_max;
            // The steps aim a round trip ahead, a round trip behind.
            let slack = mss + want / 100.0;
            let got = f64::from(cc.window());
            assert!((got - want).abs() < slack || got >= f64::from(MAX_CWND), "{t} s: {got}, not {want}");
        }
    }

    /// 9438-4 9438-12 9438-14: cwnd and ssthresh become 0.7 of what was in flight, not less than two segments.
    #[test]
    fn a_loss_takes_three_tenths() {
        let mut cc = Cubic { cwnd: 100 * MSS, ..Cubic::new(&start()) };
        cc.on_congestion(100 * MSS);
        assert_eq!((cc.window(), cc.ssthresh()), (70 * MSS, 70 * MSS));
        cc.on_congestion(500 * MSS);
        assert_eq!(cc.window(), 49 * MSS, "what is outstanding behind a hole counts for nothing");
        cc.on_congestion(MSS);
        assert_eq!((cc.window(), cc.ssthresh()), (2 * MSS, 2 * MSS));
    }

    /// 9438-6 9438-14: an echo of congestion takes the window down to one segment.
    #[test]
    fn ecn_goes_down_to_one_segment() {
        let mut cc = Cubic::new(&start());
        cc.on_ecn(10 * MSS);
        assert_eq!((cc.window(), cc.ssthresh()), (7 * MSS, 7 * MSS));
        cc.on_ecn(MSS);
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, 2 * MSS));
    }

    /// 9438-7: fast convergence: a loss below the last plateau lowers the next one by a further 15 %.
    #[test]
    fn fast_convergence() {
        let mut cc = after_loss(70);
        assert_eq!(cc.w_max, 100 * MSS);
        cc.on_congestion(70 * MSS);
        assert_eq!(cc.w_max, 70 * MSS * 17 / 20);
    }

    /// 9438-2 9438-11: with a small window the curve is flatter than Reno, and the window grows as Reno's would: by 9/17 segments a
    /// round trip until it is where it was, by one then.
    #[test]
    fn the_reno_friendly_region() {
        let mut cc = after_loss(7);
        let mut now = Instant::ZERO;
        let short = PathSample { srtt: Duration::from_millis(1), ..PathSample::default() };
        let mut rounds_to = |cc: &mut Cubic, segments: u32| {
            for round in 0..1000 {
                if cc.window() >= segments * MSS {
                    return round;
                }
                let mut left = cc.window();
                while left > 0 {
                    let acked = left.min(MSS);
                    cc.on_ack(&ack(now, acked, true), &short);
                    left -= acked;
                }
                now += Duration::from_millis(1);
            }
            panic!("the window does not grow");
        };
        let slow = rounds_to(&mut cc, 10);
        assert!((5..=7).contains(&slow), "{slow} rounds from 7 to 10 segments");
        let fast = rounds_to(&mut cc, 20);
        assert!((9..=12).contains(&fast), "{fast} rounds from 10 to 20 segments");
    }

    /// 9438-1: time in which the window was not needed does not count: the curve goes on where it stopped.
    #[test]
    fn the_clock_stops_while_the_application_has_nothing_to_send() {
        let (mut a, mut b) = (after_loss(700), after_loss(700));
        let second = Instant::from_millis(1000);
        let now = run(&mut a, Instant::ZERO, second);
        run(&mut b, Instant::ZERO, second);
        b.on_ack(&ack(now, MSS, false), &path());
        let pause = Duration::from_secs(60);
        run(&mut a, now, now + Duration::from_secs(3));
        run(&mut b, now + pause, now + pause + Duration::from_secs(3));
        assert!(a.window().abs_diff(b.window()) < MSS, "{} and {}", a.window(), b.window());
    }

    /// 9438-5 9438-13: a window that was not used does not grow.
    #[test]
    fn an_unused_window_does_not_grow() {
        for mut cc in [Cubic::new(&start()), after_loss(70)] {
            let before = cc.window();
            for i in 0..1000 {
                cc.on_ack(&ack(Instant::from_millis(i), MSS, false), &path());
            }
            assert_eq!(cc.window(), before);
        }
    }

    /// 9438-8: what a spurious loss took is given back, the curve included.
    #[test]
    fn a_spurious_loss_is_taken_back() {
        let mut cc = after_loss(700);
        run(&mut cc, Instant::ZERO, Instant::from_millis(2000));
        let before = (cc.cwnd, cc.ssthresh, cc.w_max, cc.epoch.as_ref().map(|e| (e.since, e.k, e.w_est)));
        cc.on_rto(cc.cwnd, 0, true);
        assert_eq!(cc.cwnd, MSS);
        cc.on_spurious();
        assert_eq!((cc.cwnd, cc.ssthresh, cc.w_max, cc.epoch.as_ref().map(|e| (e.since, e.k, e.w_est))), before);
    }

    /// 9438-18: a loss that turns out spurious when the window is larger again than it was takes nothing back.
    #[test]
    fn a_window_that_has_grown_beyond_stays() {
        let mut cc = after_loss(70);
        let grown = Cubic { cwnd: 200 * MSS, w_max: 190 * MSS, ..cc.clone() };
        cc = grown;
        cc.on_spurious();
        assert_eq!((cc.cwnd, cc.w_max), (200 * MSS, 190 * MSS));
    }

    /// 9438-20: in a round trip the window grows by half of itself at most, however far the curve has gone.
    #[test]
    fn no_round_trip_grows_by_more_than_half() {
        let mut cc = after_loss(70);
        let mut now = run(&mut cc, Instant::ZERO, Instant::from_millis(1));
        // The application sends again after a pause in which nobody stopped the clock.
        now += Duration::from_secs(600);
        let before = cc.window();
        let mut left = before;
        while left > 0 {
            let acked = left.min(MSS);
            cc.on_ack(&ack(now, acked, true), &path());
            left -= acked;
        }
        assert!(cc.window() > before + before / 4 && cc.window() <= before + before * 2 / 3, "{}", cc.window());
    }

    /// 9438-16: after a time-out the stage begins at its own plateau, K is zero and W_est the window (RFC 9438 4.8).
    #[test]
    fn after_a_time_out_the_curve_begins_at_its_plateau() {
        let mut cc = after_loss(70);
        cc.on_rto(70 * MSS, 0, true);
        assert_eq!((cc.window(), cc.ssthresh()), (MSS, 49 * MSS));
        let mut now = Instant::ZERO;
        while cc.window() < cc.ssthresh() {
            cc.on_ack(&ack(now, MSS, true), &path());
            now += RTT / 10;
        }
        cc.on_ack(&ack(now, MSS, true), &path());
        assert_eq!(cc.epoch.as_ref().map(|e| (e.k, e.origin, e.w_est)), Some((0, 49 * MSS, 49 * MSS)));
    }

    /// 9438-9: slow start while cwnd is below ssthresh, and not past it.
    #[test]
    fn slow_start_stops_at_the_threshold() {
        let mut cc = Cubic::new(&Start { ssthresh: 12 * MSS, ..start() });
        for _ in 0..3 {
            cc.on_ack(&ack(Instant::ZERO, MSS, true), &path());
        }
        assert!((12 * MSS..=12 * MSS + MSS / 4).contains(&cc.window()), "{}", cc.window());
    }
}
