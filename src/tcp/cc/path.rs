//! A path for the tests of both versions of BBR: it delivers at its rate whatever is sent.

use super::tests::{MSS, ack, start};
use super::{Bbr, Bbr3, CongestionControl, Start};
use crate::tcp::rate::{PathSample, RateSample};
use crate::tcp::sample::AckSample;
use crate::time::Instant;
use core::time::Duration;

pub(super) const RTT: Duration = Duration::from_millis(20);
/// A megabyte a second: 20 segments in a round trip.
pub(super) const RATE: u64 = 1_000_000;

/// A path that delivers at its rate whatever is sent, a segment at a time.
pub(super) struct Path<C> {
    pub(super) cc: C,
    now: Instant,
    delivered: u64,
    /// The phases that it went through.
    seen: Vec<&'static str>,
}

impl<C: CongestionControl> Path<C> {
    pub(super) fn new(make: impl FnOnce(&Start) -> C) -> Self {
        Path { cc: make(&start()), now: Instant::from_millis(1), delivered: 0, seen: Vec::new() }
    }

    /// So many rounds, each of which loses `lost` bytes; at the end it is doing what begins with `phase`.
    pub(super) fn run(&mut self, rounds: u32, lost: u32, phase: &str) {
        for _ in 0..rounds {
            let prior = self.delivered;
            for i in 0..20 {
                self.now += RTT / 20;
                self.delivered += u64::from(MSS);
                // Sent faster than that, it fills the window; else there is no queue.
                let queues = self.cc.pacing_rate().is_some_and(|rate| rate > RATE);
                let in_flight = if queues { self.cc.window() } else { self.cc.window().min(20 * MSS) };
                let rate = RateSample {
                    rate: RATE,
                    delivered: 20 * u64::from(MSS),
                    prior_delivered: prior,
                    lost,
                    in_flight,
                    app_limited: false,
                };
                let path =
                    PathSample { delivered: self.delivered, srtt: RTT, paced: true, ecn: false, rate: Some(rate) };
                let lost = if i == 0 { lost } else { 0 };
                let ack = AckSample {
                    rtt: Some(RTT),
                    lost,
                    prior_in_flight: in_flight,
                    in_flight,
                    ..ack(self.now, MSS, true)
                };
                self.cc.on_ack(&ack, &path);
                let now = self.cc.phase();
                if self.seen.last() != Some(&now) {
                    self.seen.push(now);
                }
            }
        }
        assert!(self.cc.phase().starts_with(phase), "{:?}", self.seen);
    }
}

/// Startup until three rounds bring no more, Drain, ProbeBW.
fn finds_the_path(mut path: Path<impl CongestionControl>) {
    path.run(2, 0, "startup");
    assert!(path.cc.pacing_rate().is_some_and(|rate| rate > 2 * RATE), "it sends more than the path carries");
    path.run(40, 0, "probe-bw");
    assert_eq!(path.seen[..2], ["startup", "drain"]);
    let bdp = 20 * MSS;
    assert!((bdp..=3 * bdp).contains(&path.cc.window()), "{} of {bdp}", path.cc.window());
    let rate = path.cc.pacing_rate().unwrap_or_default();
    assert!((RATE * 7 / 10..=RATE * 13 / 10).contains(&rate), "{rate} of {RATE}");
    // The same round trip all along renews what is known of it: only a longer one lets it grow old.
    assert!(!path.seen.contains(&"probe-rtt"));
}

/// After a time-out the window is a segment beside what still flies, and soon what it was.
fn comes_back(mut path: Path<impl CongestionControl>) {
    path.run(40, 0, "probe-bw");
    let before = path.cc.window();
    path.cc.on_rto(before, 3 * MSS, true);
    assert_eq!(path.cc.window(), 4 * MSS);
    path.cc.on_rto(before, 0, false);
    assert_eq!(path.cc.window(), MSS);
    path.run(4, 0, "probe-bw");
    assert!(path.cc.window() >= before / 2, "{} of {before}", path.cc.window());
}

#[test]
fn it_finds_the_path() {
    finds_the_path(Path::new(Bbr::new));
    finds_the_path(Path::new(Bbr3::new));
}

#[test]
fn a_time_out_and_back() {
    comes_back(Path::new(Bbr::new));
    comes_back(Path::new(Bbr3::new));
}
