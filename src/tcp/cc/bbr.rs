//! BBR, version 1: the window and the rate follow from a model of the path, the largest delivery rate of the last ten
//! rounds and the shortest round trip of the last ten seconds, and not from loss (Cardwell and others, "BBR:
//! congestion-based congestion control", 2016; draft-cardwell-iccrg-bbr-congestion-control-00, whose names are kept).
//!
//! Startup doubles the rate each round until three rounds bring no more; Drain takes the queue away that this has made;
//! ProbeBW sends at the path's rate, with a little more in one of eight round trips and a little less in the next; ProbeRTT
//! lets the path run empty for 200 ms every ten seconds, to see its round trip without a queue.

use super::model::{Aggregation, Dice, MaxFilter, Rounds, UNIT, a_little_less, bytes_in, gained, window};
use super::{CongestionControl, MAX_CWND, Start, rescaled};
use crate::tcp::pacing;
use crate::tcp::rate::{PathSample, RateSample};
use crate::tcp::recovery::Phase;
use crate::tcp::sample::AckSample;
use crate::time::Instant;
use core::time::Duration;

/// 2/ln 2: what doubles the rate each round.
const HIGH_GAIN: u32 = UNIT * 2885 / 1000 + 1;
const DRAIN_GAIN: u32 = UNIT * 1000 / 2885;
/// Windows that allow for ACKs which are late or come in pairs.
const CWND_GAIN: u32 = 2 * UNIT;
/// The cycle of ProbeBW.
const PACING_GAIN: [u32; 8] = [UNIT * 5 / 4, UNIT * 3 / 4, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT];
/// Rounds over which the largest rate is remembered.
const BW_ROUNDS: u32 = 10;
/// How long the shortest round trip is believed.
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Rounds without a quarter more before the pipe counts as full.
const FULL_BW_ROUNDS: u8 = 3;
/// Segments that are in flight at least, so that each ACK lets something go.
const MIN_PIPE: u32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Startup,
    Drain,
    ProbeBw,
    ProbeRtt,
}

/// The controller's state.
#[derive(Clone, Debug)]
pub struct Bbr {
    mode: Mode,
    mss: u32,
    initial: u32,
    cwnd: u32,
    /// The window before recovery or ProbeRTT.
    prior_cwnd: u32,
    /// Bytes a second.
    pacing_rate: u64,
    pacing_gain: u32,
    cwnd_gain: u32,
    bw: MaxFilter,
    rounds: Rounds,
    aggregation: Aggregation,
    min_rtt: Option<Duration>,
    min_rtt_at: Instant,
    probe_rtt_done: Option<Instant>,
    probe_rtt_round_done: bool,
    full_bw: u64,
    full_bw_rounds: u8,
    full_bw_reached: bool,
    cycle: usize,
    cycle_at: Instant,
    /// Output begins again after a pause.
    idle_restart: bool,
    phase: Phase,
    /// In the first round of a recovery only what is delivered is replaced.
    packet_conservation: bool,
    seen_rtt: bool,
    dice: Dice,
}

impl Bbr {
    /// The state at the start.
    pub fn new(start: &Start) -> Self {
        let mut bbr = Bbr {
            mode: Mode::Startup,
            mss: start.mss,
            initial: start.window,
            cwnd: start.window,
            prior_cwnd: 0,
            pacing_rate: 0,
            pacing_gain: HIGH_GAIN,
            cwnd_gain: HIGH_GAIN,
            bw: MaxFilter::default(),
            rounds: Rounds::default(),
            aggregation: Aggregation::default(),
            min_rtt: start.srtt,
            min_rtt_at: start.now,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
            full_bw: 0,
            full_bw_rounds: 0,
            full_bw_reached: false,
            cycle: 0,
            cycle_at: start.now,
            idle_restart: false,
            phase: Phase::Open,
            packet_conservation: false,
            seen_rtt: start.srtt.is_some(),
            dice: Dice::new(start.seed),
        };
        bbr.aggregation.restart(start.now);
        bbr.init_pacing_rate(start.srtt);
        bbr
    }

    /// The initial window in a round trip, or in a millisecond before one was measured.
    fn init_pacing_rate(&mut self, srtt: Option<Duration>) {
        let micros = srtt.map_or(1000, |rtt| rtt.as_micros() as u64).max(1);
        self.pacing_rate = gained(u64::from(self.initial) * 1_000_000 / micros, HIGH_GAIN);
    }

    fn bw(&self) -> u64 {
        self.bw.get()
    }

    /// `BBRInflight`: what the path holds, times `gain`, with room for super-segments on their way out and in.
    fn inflight(&self, bw: u64, gain: u32) -> u32 {
        let Some(min_rtt) = self.min_rtt else { return self.initial };
        let bdp = gained(bytes_in(bw, min_rtt), gain);
        let quantum = u64::from(pacing::quantum(self.pacing_rate, self.mss).min(65_535));
        let probing = if self.mode == Mode::ProbeBw && self.cycle == 0 { 2 * u64::from(self.mss) } else { 0 };
        window(bdp.div_ceil(u64::from(self.mss)) * u64::from(self.mss) + 3 * quantum + probing)
    }

    fn update_bw(&mut self, rate: &RateSample, path: &PathSample) {
        self.rounds.on_ack(rate, path.delivered);
        if self.rounds.start {
            self.packet_conservation = false;
        }
        // What was held back counts only if it was faster than all else.
        if !rate.app_limited || rate.rate >= self.bw() {
            self.bw.update(BW_ROUNDS, self.rounds.count, rate.rate);
        }
    }

    fn update_cycle(&mut self, ack: &AckSample) {
        if self.mode == Mode::ProbeBw && self.is_next_phase(ack) {
            self.advance_cycle(ack.now);
        }
    }

    fn advance_cycle(&mut self, now: Instant) {
        self.cycle = (self.cycle + 1) % PACING_GAIN.len();
        self.cycle_at = now;
    }

    /// A phase lasts a round trip; one that sends more lasts until that is in flight, or something is lost; one that sends
    /// less is over as soon as the queue is.
    fn is_next_phase(&self, ack: &AckSample) -> bool {
        let full_length = ack.now.since(self.cycle_at) > self.min_rtt.unwrap_or_default();
        match self.pacing_gain {
            UNIT => full_length,
            gain if gain > UNIT => {
                full_length && (ack.lost > 0 || ack.prior_in_flight >= self.inflight(self.bw(), gain))
            }
            _ => full_length || ack.prior_in_flight <= self.inflight(self.bw(), UNIT),
        }
    }

    fn check_full_bw(&mut self, rate: &RateSample) {
        if self.full_bw_reached || !self.rounds.start || rate.app_limited {
            return;
        }
        if self.bw() >= self.full_bw / 4 * 5 {
            self.full_bw = self.bw();
            self.full_bw_rounds = 0;
            return;
        }
        self.full_bw_rounds += 1;
        self.full_bw_reached = self.full_bw_rounds >= FULL_BW_ROUNDS;
    }

    fn check_drain(&mut self, ack: &AckSample) {
        if self.mode == Mode::Startup && self.full_bw_reached {
            self.mode = Mode::Drain;
        }
        if self.mode == Mode::Drain && ack.in_flight <= self.inflight(self.bw(), UNIT) {
            self.enter_probe_bw(ack.now);
        }
    }

    fn enter_probe_bw(&mut self, now: Instant) {
        self.mode = Mode::ProbeBw;
        // Anywhere but in the phase that sends less: nothing is to be drained.
        self.cycle = PACING_GAIN.len() - 1 - self.dice.below(PACING_GAIN.len() as u32 - 1) as usize;
        self.advance_cycle(now);
    }

    fn update_min_rtt(&mut self, ack: &AckSample, path: &PathSample) {
        let now = ack.now;
        let expired = now.since(self.min_rtt_at) > MIN_RTT_WINDOW;
        if let Some(rtt) = ack.rtt
            && (expired || self.min_rtt.is_none_or(|min| rtt <= min))
        {
            self.min_rtt = Some(rtt);
            self.min_rtt_at = now;
        }
        if expired && !self.idle_restart && self.mode != Mode::ProbeRtt {
            self.save_cwnd();
            self.mode = Mode::ProbeRtt;
            self.probe_rtt_done = None;
        }
        if self.mode == Mode::ProbeRtt {
            match self.probe_rtt_done {
                None if ack.in_flight <= MIN_PIPE * self.mss => {
                    self.probe_rtt_done = Some(now + PROBE_RTT_TIME);
                    self.probe_rtt_round_done = false;
                    self.rounds.restart(path.delivered);
                }
                None => {}
                Some(_) => {
                    self.probe_rtt_round_done |= self.rounds.start;
                    if self.probe_rtt_round_done {
                        self.check_probe_rtt_done(now);
                    }
                }
            }
        }
        if ack.delivered > 0 {
            self.idle_restart = false;
        }
    }

    fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt_done.is_some_and(|done| now > done) {
            self.min_rtt_at = now;
            self.cwnd = self.cwnd.max(self.prior_cwnd);
            self.probe_rtt_done = None;
            if self.full_bw_reached {
                self.enter_probe_bw(now);
            } else {
                self.mode = Mode::Startup;
            }
        }
    }

    fn update_gains(&mut self) {
        (self.pacing_gain, self.cwnd_gain) = match self.mode {
            Mode::Startup => (HIGH_GAIN, HIGH_GAIN),
            Mode::Drain => (DRAIN_GAIN, HIGH_GAIN),
            Mode::ProbeBw => (PACING_GAIN[self.cycle], CWND_GAIN),
            Mode::ProbeRtt => (UNIT, UNIT),
        };
    }

    fn set_pacing_rate(&mut self, gain: u32, path: &PathSample) {
        if !self.seen_rtt && !path.srtt.is_zero() {
            self.seen_rtt = true;
            self.init_pacing_rate(Some(path.srtt));
        }
        // One percent less than the path carries, so that no queue stands for ever.
        let rate = a_little_less(gained(self.bw(), gain));
        if self.full_bw_reached || rate > self.pacing_rate {
            self.pacing_rate = rate;
        }
    }

    fn save_cwnd(&mut self) {
        let steady = self.phase == Phase::Open && self.mode != Mode::ProbeRtt;
        self.prior_cwnd = if steady { self.cwnd } else { self.prior_cwnd.max(self.cwnd) };
    }

    /// The window in recovery: less by what is lost, in its first round no more than is delivered, and what it was when it is
    /// over. Says whether that is all there is to it.
    fn set_cwnd_in_recovery(&mut self, ack: &AckSample, path: &PathSample) -> bool {
        self.cwnd = self.cwnd.saturating_sub(ack.lost).max(self.mss);
        let phase = ack.lasting_phase(self.phase);
        if phase == Phase::FastRecovery && self.phase != Phase::FastRecovery {
            self.packet_conservation = true;
            self.rounds.restart(path.delivered);
            self.cwnd = ack.in_flight + ack.delivered;
        } else if phase == Phase::Open && self.phase != Phase::Open {
            self.cwnd = self.cwnd.max(self.prior_cwnd);
            self.packet_conservation = false;
        }
        self.phase = phase;
        if self.packet_conservation {
            self.cwnd = self.cwnd.max(ack.in_flight + ack.delivered);
        }
        self.packet_conservation
    }

    fn set_cwnd(&mut self, ack: &AckSample, path: &PathSample) {
        if ack.delivered > 0 && !self.set_cwnd_in_recovery(ack, path) {
            let extra = if self.full_bw_reached { window(self.aggregation.extra()) } else { 0 };
            // No more than what 100 ms bring.
            let extra = extra.min(window(bytes_in(self.bw(), Duration::from_millis(100))));
            let target = self.inflight(self.bw(), self.cwnd_gain).saturating_add(extra);
            let grown = self.cwnd.saturating_add(ack.delivered);
            if self.full_bw_reached {
                self.cwnd = grown.min(target);
            } else if self.cwnd < target || path.delivered < u64::from(self.initial) {
                self.cwnd = grown;
            }
            self.cwnd = self.cwnd.max(MIN_PIPE * self.mss);
        }
        self.cwnd = self.cwnd.clamp(self.mss, MAX_CWND);
        if self.mode == Mode::ProbeRtt {
            self.cwnd = self.cwnd.min(MIN_PIPE * self.mss);
        }
    }
}

impl CongestionControl for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn on_sent(&mut self, now: Instant, in_flight: u32, app_limited: bool) {
        if in_flight == 0 && app_limited {
            self.idle_restart = true;
            self.aggregation.restart(now);
            match self.mode {
                // No burst above the path's rate, whatever the phase.
                Mode::ProbeBw => self.set_pacing_rate(UNIT, &PathSample::default()),
                Mode::ProbeRtt => self.check_probe_rtt_done(now),
                Mode::Startup | Mode::Drain => {}
            }
        }
    }

    fn on_ack(&mut self, ack: &AckSample, path: &PathSample) {
        self.rounds.start = false;
        if let Some(rate) = &path.rate {
            self.update_bw(rate, path);
            self.aggregation.on_ack(ack.now, ack.delivered, self.bw(), self.cwnd, self.rounds.count);
            self.update_cycle(ack);
            self.check_full_bw(rate);
        }
        self.check_drain(ack);
        self.update_min_rtt(ack, path);
        self.update_gains();
        self.set_pacing_rate(self.pacing_gain, path);
        self.set_cwnd(ack, path);
    }

    fn on_congestion(&mut self, _flight: u32) {
        self.save_cwnd();
    }

    fn on_ecn(&mut self, _flight: u32) {}

    fn on_recovered(&mut self, _flight: u32, _paced: bool) {}

    fn on_rto(&mut self, _flight: u32, in_flight: u32, first: bool) {
        if first {
            self.save_cwnd();
        }
        self.phase = Phase::Loss;
        self.full_bw = 0;
        self.packet_conservation = false;
        // What still flies may be answered (`BBROnEnterRTO`).
        self.cwnd = in_flight.saturating_add(self.mss).min(MAX_CWND);
    }

    fn on_spurious(&mut self) {
        // What looked like the end of growth was the loss of ACKs.
        self.full_bw = 0;
        self.full_bw_rounds = 0;
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }

    fn on_idle(&mut self) {}

    fn on_mss(&mut self, mss: u32) {
        self.cwnd = rescaled(self.cwnd, self.mss, mss);
        self.mss = mss;
    }

    fn window(&self) -> u32 {
        self.cwnd
    }

    fn uses_prr(&self) -> bool {
        false
    }

    fn ssthresh(&self) -> u32 {
        u32::MAX
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate)
    }

    fn holds_back(&self) -> bool {
        self.mode == Mode::ProbeRtt
    }

    fn phase(&self) -> &'static str {
        match self.mode {
            Mode::Startup => "startup",
            Mode::Drain => "drain",
            Mode::ProbeBw => "probe-bw",
            Mode::ProbeRtt => "probe-rtt",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains() {
        assert_eq!((HIGH_GAIN, DRAIN_GAIN), (739, 88), "2/ln 2 and its inverse, in 256ths");
        let around: u32 = PACING_GAIN.iter().sum();
        assert_eq!(around, 8 * UNIT, "what one phase sends too much, another sends too little");
    }

    /// Where something is always being sent again, the next loss after a recovery is not the first: else the window would
    /// follow what is delivered in every other round, and Startup take that for the end of growth.
    #[test]
    fn a_recovery_that_follows_at_once_is_the_same() {
        const MSS: u32 = 1000;
        let mut bbr = Bbr::new(&crate::tcp::cc::tests::start());
        let now = Instant::from_millis(50);
        let mut hear = |phase, mending, in_flight| {
            let path = PathSample { delivered: 100_000, ..PathSample::default() };
            let ack = AckSample { phase, mending, in_flight, ..crate::tcp::cc::tests::ack(now, MSS, true) };
            bbr.on_ack(&ack, &path);
            (bbr.cwnd, bbr.packet_conservation)
        };
        assert_eq!(hear(Phase::FastRecovery, true, 5 * MSS), (6 * MSS, true));
        assert!(hear(Phase::Open, true, 9 * MSS).1, "it goes on");
        assert_eq!(hear(Phase::FastRecovery, true, 2 * MSS).0, 10 * MSS, "and does not begin anew");
        assert!(!hear(Phase::Open, false, 2 * MSS).1);
        assert_eq!(hear(Phase::FastRecovery, true, 3 * MSS), (4 * MSS, true), "this one does");
    }

    /// What was the largest rate is forgotten after ten rounds, whatever held output back since then: else a rate that the
    /// path gave for one round trip would be sent at for ever by whoever often waits for a window.
    #[test]
    fn every_round_ages_what_is_known_of_the_path() {
        let mut bbr = Bbr::new(&crate::tcp::cc::tests::start());
        let mut round = |n: u32, rate, app_limited| {
            let prior_delivered = 1000 * u64::from(n);
            let sample = RateSample { rate, delivered: 1000, prior_delivered, lost: 0, in_flight: 1000, app_limited };
            let path = PathSample { delivered: prior_delivered + 1000, rate: Some(sample), ..PathSample::default() };
            bbr.on_ack(&crate::tcp::cc::tests::ack(Instant::from_millis(50 * u64::from(n)), 1000, true), &path);
            bbr.bw()
        };
        assert_eq!(round(1, 8_000_000, false), 8_000_000);
        for n in 2..=BW_ROUNDS + 1 {
            assert_eq!(round(n, 1_000_000, true), 8_000_000, "less than that proves nothing");
        }
        assert_eq!(round(BW_ROUNDS + 2, 2_000_000, false), 2_000_000);
    }
}
