//! BBR, version 3: as version 1, the window and the rate follow from a model of the path, but loss and ECN bound it
//! (draft-ietf-ccwg-bbr, whose names are kept).
//!
//! Beside the largest delivery rate and the shortest round trip there are two bounds. The *long-term* one, `inflight_hi`,
//! is what was in flight when a probe lost more than 2 %; it is searched upward again only in ProbeBW's UP phase. The
//! *short-term* ones, `bw_lo` and `inflight_lo`, give way by 0.7 in each round that loses something or hears ECN's echo
//! without having probed, and are forgotten before the next probe.

use super::model::{Aggregation, Dice, Rounds, UNIT, a_little_less, bytes_in, gained, window};
use super::{CongestionControl, MAX_CWND, Start, rescaled};
use crate::tcp::pacing;
use crate::tcp::rate::{PathSample, RateSample};
use crate::tcp::recovery::Phase;
use crate::tcp::sample::AckSample;
use crate::time::Instant;
use core::time::Duration;

/// StartupPacingGain, 4 ln 2.
const STARTUP_PACING_GAIN: u32 = UNIT * 277 / 100;
const DRAIN_PACING_GAIN: u32 = UNIT / 2;
const CWND_GAIN: u32 = 2 * UNIT;
const UP_PACING_GAIN: u32 = UNIT * 5 / 4;
const UP_CWND_GAIN: u32 = UNIT * 9 / 4;
const DOWN_PACING_GAIN: u32 = UNIT * 9 / 10;
const PROBE_RTT_CWND_GAIN: u32 = UNIT / 2;
/// LossThresh: what a probe may lose, one in so many.
const LOSS_THRESH: u32 = 50;
/// Beta: what is left of a bound, in tenths.
const BETA: u64 = 7;
/// Headroom: what of `inflight_hi` is left to others, in percent.
const HEADROOM: u64 = 15;
/// StartupFullLossCnt: losses in a round that end Startup.
const STARTUP_LOSSES: u32 = 6;
const MIN_RTT_WINDOW: Duration = Duration::from_secs(10);
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
/// Rounds without a quarter more before the pipe counts as full.
const FULL_BW_ROUNDS: u8 = 3;
/// MinPipeCwnd, in segments.
const MIN_PIPE: u32 = 4;
/// A flow of Reno would have lost something after so many rounds: then it is time to probe.
const RENO_ROUNDS: u32 = 63;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain,
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

/// What ACKs now tell of: `BBR.ack_phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckPhase {
    Init,
    Refilling,
    Starting,
    Feedback,
    Stopping,
}

/// The controller's state. A bound that is not known is `None`.
#[derive(Clone, Debug)]
pub struct Bbr3 {
    state: State,
    ack_phase: AckPhase,
    mss: u32,
    initial: u32,
    cwnd: u32,
    prior_cwnd: u32,
    pacing_rate: u64,
    rounds: Rounds,
    aggregation: Aggregation,
    dice: Dice,
    phase: Phase,
    packet_conservation: bool,
    idle_restart: bool,
    seen_rtt: bool,
    /// `MaxBwFilter`: the largest rate of this cycle of ProbeBW and of the one before.
    max_bw: [u64; 2],
    /// `bw_lo`, `inflight_lo`, `inflight_hi`.
    bw_lo: Option<u64>,
    inflight_lo: Option<u32>,
    inflight_hi: Option<u32>,
    /// `bw_latest`, `inflight_latest`, and the round that they are of.
    bw_latest: u64,
    inflight_latest: u64,
    loss_rounds: Rounds,
    loss_in_round: bool,
    losses_in_round: u32,
    /// `full_bw`, `full_bw_count`, `full_bw_now`, `full_bw_reached`.
    full_bw: u64,
    full_bw_rounds: u8,
    full_bw_now: bool,
    full_bw_reached: bool,
    /// When the phase began, and how long it waits for the next probe.
    cycle_at: Instant,
    probe_wait: Duration,
    rounds_since_probe: u32,
    probe_samples: bool,
    /// `bw_probe_up_rounds`, and bytes acknowledged that have not yet raised `inflight_hi`.
    up_rounds: u32,
    up_acked: u64,
    min_rtt: Option<Duration>,
    min_rtt_at: Instant,
    /// `probe_rtt_min_delay` and its time.
    probe_min: Option<Duration>,
    probe_min_at: Instant,
    probe_expired: bool,
    probe_rtt_done: Option<Instant>,
    probe_rtt_round_done: bool,
}

impl Bbr3 {
    /// The state at the start.
    pub fn new(start: &Start) -> Self {
        let mut bbr = Bbr3 {
            state: State::Startup,
            ack_phase: AckPhase::Init,
            mss: start.mss,
            initial: start.window,
            cwnd: start.window,
            prior_cwnd: 0,
            pacing_rate: 0,
            rounds: Rounds::default(),
            aggregation: Aggregation::default(),
            dice: Dice::new(start.seed),
            phase: Phase::Open,
            packet_conservation: false,
            idle_restart: false,
            seen_rtt: start.srtt.is_some(),
            max_bw: [0; 2],
            bw_lo: None,
            inflight_lo: None,
            inflight_hi: None,
            bw_latest: 0,
            inflight_latest: 0,
            loss_rounds: Rounds::default(),
            loss_in_round: false,
            losses_in_round: 0,
            full_bw: 0,
            full_bw_rounds: 0,
            full_bw_now: false,
            full_bw_reached: false,
            cycle_at: start.now,
            probe_wait: Duration::ZERO,
            rounds_since_probe: 0,
            probe_samples: false,
            up_rounds: 0,
            up_acked: 0,
            min_rtt: start.srtt,
            min_rtt_at: start.now,
            probe_min: start.srtt,
            probe_min_at: start.now,
            probe_expired: false,
            probe_rtt_done: None,
            probe_rtt_round_done: false,
        };
        bbr.aggregation.restart(start.now);
        bbr.init_pacing_rate(start.srtt);
        bbr
    }

    fn init_pacing_rate(&mut self, srtt: Option<Duration>) {
        let micros = srtt.map_or(1000, |rtt| rtt.as_micros() as u64).max(1);
        self.pacing_rate = gained(u64::from(self.initial) * 1_000_000 / micros, STARTUP_PACING_GAIN);
    }

    // ---- the model ----

    fn max_bw(&self) -> u64 {
        self.max_bw[0].max(self.max_bw[1])
    }

    /// `BBRBoundBWForModel`.
    fn bw(&self) -> u64 {
        self.max_bw().min(self.bw_lo.unwrap_or(u64::MAX))
    }

    fn min_pipe(&self) -> u32 {
        MIN_PIPE * self.mss
    }

    fn bdp(&self, bw: u64, gain: u32) -> u32 {
        match self.min_rtt {
            Some(min_rtt) => window(gained(bytes_in(bw, min_rtt), gain)),
            None => self.initial,
        }
    }

    /// `BBRInflight`, with `BBRQuantizationBudget`.
    fn inflight(&self, bw: u64, gain: u32) -> u32 {
        let quantum = pacing::quantum(self.pacing_rate, self.mss).min(65_535);
        let probing = if self.state == State::Up { 2 * self.mss } else { 0 };
        self.bdp(bw, gain).max(3 * quantum).max(self.min_pipe()).saturating_add(probing)
    }

    /// `BBRTargetInflight`.
    fn target_inflight(&self) -> u32 {
        self.bdp(self.bw(), UNIT).min(self.cwnd)
    }

    /// `BBRInflightWithHeadroom`.
    fn inflight_with_headroom(&self) -> u32 {
        self.inflight_hi.map_or(u32::MAX, |hi| {
            let headroom = (u64::from(hi) * HEADROOM / 100).max(u64::from(self.mss));
            hi.saturating_sub(headroom as u32).max(self.min_pipe())
        })
    }

    fn in_probe_bw(&self) -> bool {
        matches!(self.state, State::Down | State::Cruise | State::Refill | State::Up)
    }

    fn is_probing(&self) -> bool {
        matches!(self.state, State::Startup | State::Refill | State::Up)
    }

    fn update_max_bw(&mut self, rate: &RateSample, path: &PathSample) {
        self.rounds.on_ack(rate, path.delivered);
        if self.rounds.start {
            self.rounds_since_probe += 1;
            self.packet_conservation = false;
        }
        if !rate.app_limited || rate.rate >= self.max_bw() {
            self.max_bw[1] = self.max_bw[1].max(rate.rate);
        }
    }

    /// `BBRAdvanceMaxBwFilter`.
    fn advance_max_bw(&mut self) {
        if self.max_bw[1] > 0 {
            self.max_bw = [self.max_bw[1], 0];
        }
    }

    /// `BBRUpdateLatestDeliverySignals` and `BBRUpdateCongestionSignals`.
    fn update_congestion(&mut self, ack: &AckSample, path: &PathSample, rate: &RateSample) {
        self.loss_rounds.on_ack(rate, path.delivered);
        self.bw_latest = self.bw_latest.max(rate.rate);
        self.inflight_latest = self.inflight_latest.max(rate.delivered);
        self.update_max_bw(rate, path);
        if ack.lost > 0 || path.ecn {
            self.loss_in_round = true;
            self.losses_in_round += 1;
        }
        if self.loss_rounds.start {
            if self.loss_in_round && !self.is_probing() {
                self.lower_bounds();
            }
            self.check_startup_loss(ack, rate);
            (self.loss_in_round, self.losses_in_round) = (false, 0);
        }
    }

    /// `BBRAdaptLowerBoundsFromCongestion`.
    fn lower_bounds(&mut self) {
        let bw = self.bw_lo.unwrap_or(self.max_bw());
        let inflight = self.inflight_lo.unwrap_or(self.cwnd);
        self.bw_lo = Some(self.bw_latest.max(bw * BETA / 10));
        self.inflight_lo = Some(window(self.inflight_latest.max(u64::from(inflight) * BETA / 10)));
    }

    fn reset_lower_bounds(&mut self) {
        (self.bw_lo, self.inflight_lo) = (None, None);
    }

    fn reset_congestion_signals(&mut self) {
        (self.loss_in_round, self.losses_in_round) = (false, 0);
        (self.bw_latest, self.inflight_latest) = (0, 0);
    }

    /// `BBRCheckStartupHighLoss`: a round that lost much, in many places, is the end of the pipe, too.
    fn check_startup_loss(&mut self, ack: &AckSample, rate: &RateSample) {
        if self.state == State::Startup
            && ack.phase != Phase::Open
            && self.losses_in_round >= STARTUP_LOSSES
            && too_much(rate)
        {
            self.full_bw_reached = true;
            let latest = window(self.inflight_latest);
            self.inflight_hi = Some(self.bdp(self.max_bw(), UNIT).max(latest));
        }
    }

    /// `BBRCheckFullBWReached`.
    fn check_full_bw(&mut self, rate: &RateSample) {
        if self.full_bw_now || rate.app_limited {
            return;
        }
        if rate.rate >= self.full_bw / 4 * 5 {
            self.reset_full_bw();
            self.full_bw = rate.rate;
        } else if self.rounds.start {
            self.full_bw_rounds += 1;
            self.full_bw_now = self.full_bw_rounds >= FULL_BW_ROUNDS;
            self.full_bw_reached |= self.full_bw_now;
        }
    }

    fn reset_full_bw(&mut self) {
        (self.full_bw, self.full_bw_rounds, self.full_bw_now) = (0, 0, false);
    }

    // ---- the states ----

    fn start_round(&mut self, path: &PathSample) {
        self.rounds.restart(path.delivered);
    }

    fn start_down(&mut self, now: Instant, path: &PathSample) {
        self.reset_congestion_signals();
        self.rounds_since_probe = self.dice.below(2);
        self.probe_wait = Duration::from_millis(2000 + u64::from(self.dice.below(1000)));
        self.cycle_at = now;
        self.ack_phase = AckPhase::Stopping;
        self.start_round(path);
        self.state = State::Down;
    }

    fn start_refill(&mut self, path: &PathSample) {
        self.reset_lower_bounds();
        (self.up_rounds, self.up_acked) = (0, 0);
        self.ack_phase = AckPhase::Refilling;
        self.start_round(path);
        self.state = State::Refill;
    }

    fn start_up(&mut self, now: Instant, path: &PathSample, rate: &RateSample) {
        self.ack_phase = AckPhase::Starting;
        self.probe_samples = true;
        self.start_round(path);
        self.reset_full_bw();
        self.full_bw = rate.rate;
        self.cycle_at = now;
        self.state = State::Up;
    }

    fn check_startup_and_drain(&mut self, ack: &AckSample, path: &PathSample) {
        if self.state == State::Startup && self.full_bw_reached {
            self.state = State::Drain;
        }
        if self.state == State::Drain && ack.in_flight <= self.inflight(self.max_bw(), UNIT) {
            self.start_down(ack.now, path);
        }
    }

    /// `BBRUpdateProbeBWCyclePhase`.
    fn update_cycle(&mut self, ack: &AckSample, path: &PathSample, rate: &RateSample) {
        if !self.full_bw_reached {
            return;
        }
        self.adapt_upper_bounds(ack, path, rate);
        // (A copy: the guards change what they count.)
        let state = self.state;
        match state {
            State::Down | State::Cruise if self.is_time_to_probe(ack.now) => self.start_refill(path),
            State::Down if self.is_time_to_cruise(ack.in_flight) => self.state = State::Cruise,
            State::Refill if self.rounds.start => self.start_up(ack.now, path, rate),
            State::Up if self.is_time_to_go_down(ack, rate) => self.start_down(ack.now, path),
            _ => {}
        }
    }

    /// After two to three seconds, or when a flow of Reno would have probed by itself.
    fn is_time_to_probe(&self, now: Instant) -> bool {
        let reno = (self.target_inflight() / self.mss.max(1)).min(RENO_ROUNDS);
        now.since(self.cycle_at) > self.probe_wait || self.rounds_since_probe >= reno.max(1)
    }

    fn is_time_to_cruise(&self, in_flight: u32) -> bool {
        in_flight <= self.inflight_with_headroom() && in_flight <= self.inflight(self.max_bw(), UNIT)
    }

    fn is_time_to_go_down(&mut self, ack: &AckSample, rate: &RateSample) -> bool {
        if ack.limited && self.inflight_hi.is_some_and(|hi| self.cwnd >= hi) {
            // It is the bound that keeps the rate from growing, not the path.
            self.reset_full_bw();
            self.full_bw = rate.rate;
            return false;
        }
        self.full_bw_now
    }

    /// `BBRAdaptLongTermModel`.
    fn adapt_upper_bounds(&mut self, ack: &AckSample, path: &PathSample, rate: &RateSample) {
        if self.ack_phase == AckPhase::Starting && self.rounds.start {
            self.ack_phase = AckPhase::Feedback;
        }
        if self.ack_phase == AckPhase::Stopping && self.rounds.start {
            self.ack_phase = AckPhase::Init;
            if self.in_probe_bw() && !rate.app_limited {
                self.advance_max_bw();
            }
        }
        if too_much(rate) || path.ecn {
            if self.probe_samples {
                self.on_inflight_too_high(ack.now, path, rate);
            }
            return;
        }
        let Some(hi) = self.inflight_hi else { return };
        self.inflight_hi = Some(hi.max(rate.in_flight));
        if self.state == State::Up && ack.limited && self.cwnd >= hi {
            self.probe_upward(ack);
        }
    }

    /// `BBRHandleInflightTooHigh`: once a probe.
    fn on_inflight_too_high(&mut self, now: Instant, path: &PathSample, rate: &RateSample) {
        self.probe_samples = false;
        if !rate.app_limited {
            let target = u64::from(self.target_inflight()) * BETA / 10;
            self.inflight_hi = Some(rate.in_flight.max(window(target)));
        }
        if self.state == State::Up {
            self.start_down(now, path);
        }
    }

    /// `BBRProbeInflightLongtermUpward`: by one segment a round, then by two, four, ...
    fn probe_upward(&mut self, ack: &AckSample) {
        self.up_acked += u64::from(ack.delivered);
        let growth = u64::from(self.mss) << self.up_rounds.min(14);
        let cnt = (u64::from(self.cwnd) / growth).max(1);
        let step = self.up_acked / cnt;
        self.up_acked -= step * cnt;
        self.inflight_hi = self.inflight_hi.map(|hi| hi.saturating_add(window(step)).min(MAX_CWND));
        if self.rounds.start {
            self.up_rounds = (self.up_rounds + 1).min(30);
        }
    }

    fn update_min_rtt(&mut self, ack: &AckSample) {
        let now = ack.now;
        self.probe_expired = now.since(self.probe_min_at) > PROBE_RTT_INTERVAL;
        if let Some(rtt) = ack.rtt
            && (self.probe_expired || self.probe_min.is_none_or(|min| rtt <= min))
        {
            self.probe_min = Some(rtt);
            self.probe_min_at = now;
        }
        let expired = now.since(self.min_rtt_at) > MIN_RTT_WINDOW;
        if expired || self.min_rtt.is_none() || self.probe_min < self.min_rtt {
            self.min_rtt = self.probe_min;
            self.min_rtt_at = self.probe_min_at;
        }
    }

    fn check_probe_rtt(&mut self, ack: &AckSample, path: &PathSample) {
        if self.state != State::ProbeRtt && self.probe_expired && !self.idle_restart {
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.probe_rtt_done = None;
            self.ack_phase = AckPhase::Stopping;
            self.start_round(path);
        }
        if self.state == State::ProbeRtt {
            match self.probe_rtt_done {
                None if ack.in_flight <= self.probe_rtt_cwnd() => {
                    self.probe_rtt_done = Some(ack.now + PROBE_RTT_TIME);
                    self.probe_rtt_round_done = false;
                    self.start_round(path);
                }
                None => {}
                Some(_) => {
                    self.probe_rtt_round_done |= self.rounds.start;
                    if self.probe_rtt_round_done {
                        self.check_probe_rtt_done(ack.now, path);
                    }
                }
            }
        }
        if ack.delivered > 0 {
            self.idle_restart = false;
        }
    }

    fn check_probe_rtt_done(&mut self, now: Instant, path: &PathSample) {
        if self.probe_rtt_done.is_none_or(|done| now <= done) {
            return;
        }
        self.probe_min_at = now;
        self.probe_rtt_done = None;
        self.cwnd = self.cwnd.max(self.prior_cwnd);
        self.reset_lower_bounds();
        if self.full_bw_reached {
            self.start_down(now, path);
            self.state = State::Cruise;
        } else {
            self.state = State::Startup;
        }
    }

    fn probe_rtt_cwnd(&self) -> u32 {
        self.bdp(self.bw(), PROBE_RTT_CWND_GAIN).max(self.min_pipe())
    }

    // ---- what follows from it ----

    /// Pacing gain and window gain.
    fn gains(&self) -> (u32, u32) {
        match self.state {
            State::Startup => (STARTUP_PACING_GAIN, CWND_GAIN),
            State::Drain => (DRAIN_PACING_GAIN, CWND_GAIN),
            State::Down => (DOWN_PACING_GAIN, CWND_GAIN),
            State::Cruise | State::Refill => (UNIT, CWND_GAIN),
            State::Up => (UP_PACING_GAIN, UP_CWND_GAIN),
            State::ProbeRtt => (UNIT, PROBE_RTT_CWND_GAIN),
        }
    }

    fn set_pacing_rate(&mut self, gain: u32, srtt: Duration) {
        if !self.seen_rtt && !srtt.is_zero() {
            self.seen_rtt = true;
            self.init_pacing_rate(Some(srtt));
        }
        let rate = a_little_less(gained(self.bw(), gain));
        if self.full_bw_reached || rate > self.pacing_rate {
            self.pacing_rate = rate;
        }
    }

    fn save_cwnd(&mut self) {
        let steady = self.phase == Phase::Open && self.state != State::ProbeRtt;
        self.prior_cwnd = if steady { self.cwnd } else { self.prior_cwnd.max(self.cwnd) };
    }

    /// As version 1 has it: in the first round of a recovery only what is delivered is replaced.
    fn follow_recovery(&mut self, ack: &AckSample, path: &PathSample) {
        let phase = ack.lasting_phase(self.phase);
        if phase == Phase::FastRecovery && self.phase != Phase::FastRecovery {
            self.packet_conservation = true;
            self.start_round(path);
            self.cwnd = ack.in_flight + ack.delivered.max(self.mss);
        } else if phase == Phase::Open && self.phase != Phase::Open {
            self.cwnd = self.cwnd.max(self.prior_cwnd);
            self.packet_conservation = false;
        }
        self.phase = phase;
    }

    fn set_cwnd(&mut self, ack: &AckSample, path: &PathSample, gain: u32) {
        if ack.delivered > 0 {
            self.follow_recovery(ack, path);
            if self.packet_conservation {
                self.cwnd = self.cwnd.max(ack.in_flight + ack.delivered);
            } else {
                let extra = window(self.aggregation.extra());
                let most = self.inflight(self.bw(), gain).saturating_add(extra);
                let grown = self.cwnd.saturating_add(ack.delivered);
                if self.full_bw_reached {
                    self.cwnd = grown.min(most);
                } else if self.cwnd < most || path.delivered < u64::from(self.initial) {
                    self.cwnd = grown;
                }
            }
            self.cwnd = self.cwnd.max(self.min_pipe());
        }
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd());
        }
        self.bound_cwnd();
    }

    /// `BBRBoundCwndForModel`.
    fn bound_cwnd(&mut self) {
        let hi = match self.state {
            State::Startup | State::Drain => u32::MAX,
            State::Cruise | State::ProbeRtt => self.inflight_with_headroom(),
            State::Down | State::Refill | State::Up => self.inflight_hi.unwrap_or(u32::MAX),
        };
        let cap = hi.min(self.inflight_lo.unwrap_or(u32::MAX)).max(self.min_pipe());
        self.cwnd = self.cwnd.clamp(self.mss, cap.min(MAX_CWND));
    }
}

/// `IsInflightTooHigh`: more than 2 % of what flew was lost.
fn too_much(rate: &RateSample) -> bool {
    rate.lost > rate.in_flight / LOSS_THRESH
}

impl CongestionControl for Bbr3 {
    fn name(&self) -> &'static str {
        "bbr3"
    }

    fn on_sent(&mut self, now: Instant, in_flight: u32, app_limited: bool) {
        if in_flight == 0 && app_limited {
            self.idle_restart = true;
            self.aggregation.restart(now);
            if self.in_probe_bw() {
                self.set_pacing_rate(UNIT, Duration::ZERO);
            }
        }
    }

    fn on_ack(&mut self, ack: &AckSample, path: &PathSample) {
        self.rounds.start = false;
        self.loss_rounds.start = false;
        if let Some(rate) = &path.rate {
            self.update_congestion(ack, path, rate);
            self.aggregation.on_ack(ack.now, ack.delivered, self.bw(), self.cwnd, self.rounds.count);
            self.check_full_bw(rate);
            self.check_startup_and_drain(ack, path);
            self.update_cycle(ack, path, rate);
        }
        self.update_min_rtt(ack);
        self.check_probe_rtt(ack, path);
        if self.loss_rounds.start
            && let Some(rate) = &path.rate
        {
            (self.bw_latest, self.inflight_latest) = (rate.rate, rate.delivered);
        }
        let (pacing_gain, cwnd_gain) = self.gains();
        self.set_pacing_rate(pacing_gain, path.srtt);
        self.set_cwnd(ack, path, cwnd_gain);
    }

    fn on_congestion(&mut self, _flight: u32) {
        self.save_cwnd();
    }

    fn on_ecn(&mut self, _flight: u32) {
        // The ACK sample tells of it.
    }

    fn on_recovered(&mut self, _flight: u32, _paced: bool) {}

    fn on_rto(&mut self, _flight: u32, in_flight: u32, first: bool) {
        if first {
            self.save_cwnd();
        }
        self.phase = Phase::Loss;
        self.packet_conservation = false;
        // What still flies may be answered (`BBROnEnterRTO`).
        self.cwnd = in_flight.saturating_add(self.mss).min(MAX_CWND);
    }

    fn on_spurious(&mut self) {
        self.reset_full_bw();
        self.reset_lower_bounds();
        self.loss_in_round = false;
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
        self.state == State::ProbeRtt
    }

    fn phase(&self) -> &'static str {
        match self.state {
            State::Startup => "startup",
            State::Drain => "drain",
            State::Down => "probe-bw-down",
            State::Cruise => "probe-bw-cruise",
            State::Refill => "probe-bw-refill",
            State::Up => "probe-bw-up",
            State::ProbeRtt => "probe-rtt",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::Path;
    use super::*;

    /// What a round loses or hears marked bounds the window by 0.7 of it, until the next probe.
    #[test]
    fn losses_bound_the_short_term() {
        let mut path = Path::new(Bbr3::new);
        path.run(40, 0, "probe-bw");
        // Right behind a probe, so that the next one is far.
        for probing in [false, true] {
            while path.cc.is_probing() == probing {
                path.run(1, 0, "probe-bw");
            }
        }
        let before = path.cc.window();
        path.run(3, 5000, "probe-bw");
        assert!(path.cc.inflight_lo.is_some_and(|lo| lo < before), "{:?} of {before}", path.cc.inflight_lo);
        assert!(path.cc.window() < before);
    }
}
