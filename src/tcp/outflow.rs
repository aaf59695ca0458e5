//! What governs a connection's output beside the peer's window: its congestion control, its pacing, its delivery rate, and
//! how its time is spent.
//!
//! A connection that never has more than a segment to send needs none of that: its window is the initial one. What the
//! others need lies behind a pointer, so that idle connections stay small.

use super::cc::{Cc, Congestion, CongestionControl, MAX_CWND, Start, initial_window};
use super::options::TcpOptions;
use super::pacing::{self, Pacer};
use super::rate::{PathSample, Rate};
use super::sample::{AckSample, SentState};
use super::seq::Seq;
use crate::time::Instant;
use core::time::Duration;

/// How a connection's time is spent (`tcpi_busy_time`, `tcpi_rwnd_limited`, `tcpi_sndbuf_limited`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// Nothing is in flight, and nothing waits.
    Idle,
    /// Data is in flight.
    Busy,
    /// The peer's window is all that holds data back.
    PeerWindow,
    /// The application would write more if there were room in the send buffer.
    SendBuffer,
}

/// How long each took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSpent {
    /// Busy, whatever limited it.
    pub busy: Duration,
    /// Held back by the peer's window.
    pub peer_window: Duration,
    /// Held back by the send buffer.
    pub send_buffer: Duration,
}

/// What governs a connection's output.
#[derive(Debug)]
pub enum Outflow {
    /// No more than a segment was ever to be sent.
    Fresh {
        /// Bytes of text in a full segment.
        mss: u32,
        /// The initial window.
        window: u32,
        /// Whether our SYN had to be sent again.
        lost_syn: bool,
    },
    /// The rest.
    Governed(Box<Governor>),
}

/// What a connection needs that has much to send.
#[derive(Debug)]
pub struct Governor {
    cc: Cc,
    rate: Rate,
    pacer: Pacer,
    /// Bytes a second, if output is paced.
    pacing_rate: Option<u64>,
    /// The user's limit, in bytes a second.
    max_pacing_rate: u64,
    mss: u32,
    /// In nanoseconds, smoothed over one measurement with each ACK; zero before the first.
    srtt: u64,
    /// The peer has echoed ECN since the last ACK was judged.
    ecn: bool,
    /// The largest window since output was idle, in bytes.
    widest: u32,
    usage: Usage,
    /// Since when no more than `used` bytes have been in flight (RFC 2861 3.2).
    used: u32,
    used_since: Instant,
    /// Whether a writer was told to wait.
    writer_waits: bool,
    /// What was sent when ECN's echo last counted: not again until that is acknowledged.
    ecn_until: Option<Seq>,
    /// Bytes in flight before the last ACK.
    flight: u32,
    /// The last event.
    seen: Instant,
    spent: Spent,
    spent_since: Instant,
    times: TimeSpent,
}

/// How much of the window was used since what is in flight was sent.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    /// SND.NXT when that was last reckoned: it counts until all before is acknowledged.
    until: Option<Seq>,
    /// Bytes in flight then.
    most: u32,
    /// Whether they filled the window.
    was_full: bool,
}

/// [`pacing::SHORTEST_RTT`] in nanoseconds.
const SHORTEST_RTT: u64 = pacing::SHORTEST_RTT.as_nanos() as u64;

/// Unused for so long, a window is no measure of the path any more: for an RTO, which is no less.
const UNUSED: Duration = Duration::from_millis(200);

impl Outflow {
    /// At the connection's start. After a lost SYN the window starts with one segment (RFC 5681 3.1).
    pub fn new(mss: u32, lost_syn: bool) -> Self {
        Outflow::Fresh { mss, window: initial_window(mss, lost_syn), lost_syn }
    }

    /// The user chooses a control: it goes on from the same window. What has not begun yet [begins](Self::govern) with it.
    pub fn choose(&mut self, wanted: Congestion, now: Instant) {
        if let Outflow::Governed(g) = self
            && g.cc.control().name() != wanted.name()
        {
            let old = g.cc.control();
            let start = Start {
                now,
                mss: g.mss,
                window: old.window(),
                ssthresh: old.ssthresh(),
                srtt: g.rate.min_rtt(),
                seed: now.as_nanos() as u32,
            };
            g.cc = Cc::new(wanted, &start);
            g.update_pacing_rate();
        }
    }

    /// There is more than a segment to send, or something was lost: the control that the user has chosen begins. `seed`
    /// differs between connections.
    pub fn govern(&mut self, now: Instant, srtt: Option<Duration>, options: &TcpOptions, seed: u32) -> &mut Governor {
        if let Outflow::Fresh { mss, window, .. } = *self {
            let start = Start { now, mss, window, ssthresh: u32::MAX, srtt, seed };
            let mut governor = Governor {
                cc: Cc::new(options.congestion, &start),
                rate: Rate::new(now),
                pacer: Pacer::new(now),
                pacing_rate: None,
                max_pacing_rate: options.max_pacing_rate.unwrap_or(u64::MAX),
                mss,
                srtt: 0,
                ecn: false,
                widest: window,
                usage: Usage::default(),
                used: 0,
                used_since: now,
                writer_waits: false,
                ecn_until: None,
                flight: 0,
                seen: now,
                spent: Spent::Idle,
                spent_since: now,
                times: TimeSpent::default(),
            };
            governor.update_pacing_rate();
            *self = Outflow::Governed(Box::new(governor));
        }
        match self {
            Outflow::Governed(g) => g,
            Outflow::Fresh { .. } => unreachable!("it was made just now"),
        }
    }

    /// What governs, if anything needs to.
    pub fn governor(&self) -> Option<&Governor> {
        if let Outflow::Governed(g) = self { Some(g) } else { None }
    }

    /// What governs, if anything needs to.
    pub fn governor_mut(&mut self) -> Option<&mut Governor> {
        if let Outflow::Governed(g) = self { Some(g) } else { None }
    }

    /// What the control is doing, in a word.
    pub fn phase(&self) -> &'static str {
        self.governor().map_or("initial", |g| g.cc.control().phase())
    }

    /// The congestion window in bytes.
    pub fn window(&self) -> u32 {
        match self {
            Outflow::Fresh { window, .. } => *window,
            Outflow::Governed(g) => g.cc.control().window(),
        }
    }

    /// The largest congestion window since output was idle, in bytes: a send buffer that shrank with the window would hold it
    /// down.
    pub fn widest(&self) -> u32 {
        match self {
            Outflow::Fresh { window, .. } => *window,
            Outflow::Governed(g) => g.widest,
        }
    }

    /// The slow-start threshold in bytes.
    pub fn ssthresh(&self) -> u32 {
        self.governor().map_or(u32::MAX, |g| g.cc.control().ssthresh())
    }

    /// Whether fast recovery sends by RFC 6937.
    pub fn uses_prr(&self) -> bool {
        self.governor().is_none_or(|g| g.cc.control().uses_prr())
    }

    /// Whether the controller has not begun yet.
    pub fn is_fresh(&self) -> bool {
        matches!(self, Outflow::Fresh { .. })
    }

    /// A segment of `bytes` is sent at `now`, for the first time or again, where `in_flight` flew before: how things stand,
    /// to be kept with it.
    pub fn on_sent(&mut self, now: Instant, in_flight: u32, bytes: u32) -> SentState {
        match self {
            Outflow::Fresh { .. } => SentState {
                delivered_at: now,
                first_sent_at: now,
                in_flight: in_flight.saturating_add(bytes),
                app_limited: true,
                ..SentState::default()
            },
            Outflow::Governed(g) => g.on_sent(now, in_flight, bytes),
        }
    }

    /// Whether it is the window that holds output back, or has since what is in flight was sent; asked before an ACK takes
    /// some of `una..nxt` away.
    pub fn was_limited(&mut self, una: Seq, nxt: Seq) -> bool {
        self.governor_mut().is_some_and(|g| g.was_limited(una, nxt))
    }

    /// An ACK delivered something, or showed that something was lost.
    pub fn on_ack(&mut self, ack: &AckSample) {
        if let Outflow::Governed(g) = self {
            g.on_ack(ack);
        }
    }

    /// `bytes` were found lost by a timer, not by an ACK.
    pub fn on_lost(&mut self, bytes: u32) {
        if let Outflow::Governed(g) = self {
            g.rate.on_lost(bytes);
        }
    }

    /// The segment size changed.
    pub fn on_mss(&mut self, new: u32) {
        match self {
            Outflow::Fresh { lost_syn, .. } => *self = Outflow::new(new, *lost_syn),
            Outflow::Governed(g) => {
                g.mss = new;
                g.cc.control_mut().on_mss(new);
            }
        }
    }

    /// Loss recovery is over with `flight` bytes outstanding.
    pub fn on_recovered(&mut self, flight: u32) {
        if let Outflow::Governed(g) = self {
            let paced = g.pacing_rate.is_some();
            g.cc.control_mut().on_recovered(flight, paced);
            g.update_pacing_rate();
        }
    }

    /// The last reduction was for nothing.
    pub fn on_spurious(&mut self) {
        if let Outflow::Governed(g) = self {
            g.cc.control_mut().on_spurious();
            g.update_pacing_rate();
        }
    }

    /// Nothing was sent for longer than an RTO.
    pub fn on_idle(&mut self) {
        if let Outflow::Governed(g) = self {
            g.cc.control_mut().on_idle();
            g.widest = g.cc.control().window();
            g.update_pacing_rate();
        }
    }

    /// Whether pacing lets something leave at `now`.
    pub fn may_send(&mut self, now: Instant) -> bool {
        match self {
            Outflow::Governed(g) => g.pacer.may_send(now),
            Outflow::Fresh { .. } => true,
        }
    }

    /// When something that waits for pacing may leave.
    pub fn pacing_deadline(&self) -> Option<Instant> {
        self.governor().and_then(|g| g.pacer.deadline())
    }

    /// Bytes that leave together.
    pub fn quantum(&self, mss: u32) -> u32 {
        self.governor().and_then(|g| g.pacing_rate).map_or(u32::MAX, |rate| pacing::quantum(rate, mss))
    }

    /// A writer found no room.
    pub fn on_write_refused(&mut self) {
        if let Outflow::Governed(g) = self {
            g.writer_waits = true;
        }
    }

    /// The user is about to write, where `to_send` bytes wait, new ones or lost ones, and `in_flight` are in the network:
    /// whether the path had to wait for it.
    ///
    /// Who was told to wait for room in the send buffer was not late. Where holes keep the buffer full, that would make all
    /// samples of the path's rate the application's, and the one that is left now and then all that is known of it. (On
    /// Linux a blocking write goes on where it was, and only its beginning is looked at.)
    pub fn on_write(&mut self, to_send: u32, in_flight: u32) {
        if let Outflow::Governed(g) = self {
            let waited = core::mem::take(&mut g.writer_waits) && in_flight > 0;
            if !waited && to_send < g.mss && in_flight < g.cc.control().window() {
                g.rate.on_app_limited(in_flight);
            }
        }
    }

    /// From `now` on the connection's time is spent so.
    pub fn spend(&mut self, now: Instant, spent: Spent) {
        if let Outflow::Governed(g) = self {
            g.spend(now, spent);
        }
    }
}

impl Governor {
    /// The control.
    pub fn control(&self) -> &dyn CongestionControl {
        self.cc.control()
    }

    /// The delivery rate's estimator.
    pub fn rate(&self) -> &Rate {
        &self.rate
    }

    /// Bytes a second, if output is paced.
    pub fn pacing_rate(&self) -> Option<u64> {
        self.pacing_rate
    }

    /// A loss was found and fast recovery begins.
    pub fn on_congestion(&mut self, flight: u32) {
        self.cc.control_mut().on_congestion(flight);
        self.update_pacing_rate();
    }

    /// The peer's ACK of `una` echoes that a packet was marked; `nxt` is SND.NXT. Says whether that counted, which it does
    /// once a window (RFC 3168 6.1.2). `in_recovery`, the window has been reduced already. A window that cannot be any
    /// smaller is sent more slowly: by one segment each `rto`.
    pub fn on_ecn(&mut self, now: Instant, una: Seq, nxt: Seq, in_recovery: bool, rto: Duration) -> bool {
        self.ecn = true;
        // What was in flight then was sent before the peer could hear of CWR.
        if self.ecn_until.is_some_and(|until| una.at_or_before(until)) {
            return false;
        }
        self.ecn_until = Some(nxt);
        if !in_recovery {
            if self.cc.control().window() <= self.mss {
                self.pacer.hold(now + rto);
            }
            self.cc.control_mut().on_ecn(self.flight.max(nxt.since(una)));
            self.update_pacing_rate();
        }
        true
    }

    /// The retransmission timer ran out.
    pub fn on_rto(&mut self, flight: u32, in_flight: u32, first: bool) {
        self.cc.control_mut().on_rto(flight, in_flight, first);
        self.update_pacing_rate();
    }

    /// The user's limit, in bytes a second.
    pub fn set_max_pacing_rate(&mut self, limit: Option<u64>) {
        self.max_pacing_rate = limit.unwrap_or(u64::MAX);
        self.update_pacing_rate();
    }

    /// A deadline has come.
    pub fn on_deadline(&mut self, now: Instant) {
        self.pacer.on_deadline(now);
    }

    /// Whether a writer was told to wait.
    pub fn writer_waits(&self) -> bool {
        self.writer_waits
    }

    fn on_sent(&mut self, now: Instant, in_flight: u32, bytes: u32) -> SentState {
        self.seen = now;
        if in_flight == 0 {
            self.cc.control_mut().on_sent(now, in_flight, self.rate.is_app_limited());
            (self.used, self.used_since) = (0, now);
        }
        if let Some(rate) = self.pacing_rate {
            self.pacer.on_sent(now, bytes, rate);
        }
        self.rate.on_sent(now, in_flight, bytes)
    }

    fn on_ack(&mut self, ack: &AckSample) {
        (self.seen, self.flight) = (ack.now, ack.prior_in_flight);
        if let Some(rtt) = ack.rtt {
            let rtt = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX >> 3);
            self.srtt = if self.srtt == 0 { rtt } else { (self.srtt * 7 + rtt) / 8 };
        }
        let rate = self.rate.on_ack(ack);
        let path = PathSample {
            delivered: self.rate.delivered(),
            srtt: Duration::from_nanos(self.srtt),
            paced: self.pacing_rate.is_some(),
            ecn: core::mem::take(&mut self.ecn),
            rate,
        };
        self.cc.control_mut().on_ack(ack, &path);
        if self.cc.control().holds_back() {
            self.rate.on_app_limited(ack.in_flight);
        }
        self.validate_window(ack);
        self.widest = self.widest.max(self.cc.control().window());
        self.update_pacing_rate();
    }

    /// What fills the window once fills it for a round trip: ACKs come in bunches, and pacing takes its time to follow.
    fn was_limited(&mut self, una: Seq, nxt: Seq) -> bool {
        let (flight, cwnd) = (nxt.since(una), self.cc.control().window());
        let full = flight + self.mss > cwnd;
        let Usage { until, most, was_full } = &mut self.usage;
        if full || until.is_none_or(|until| una.at_or_after(until)) || !*was_full && flight > *most {
            (*until, *most, *was_full) = (Some(nxt), flight, full);
        }
        // Slow start doubles what was used.
        *was_full || cwnd < self.cc.control().ssthresh() && cwnd / 2 < *most
    }

    /// RFC 2861 3.2, RFC 7661: what is not used proves nothing for long.
    fn validate_window(&mut self, ack: &AckSample) {
        if ack.limited {
            (self.used, self.used_since) = (0, ack.now);
            return;
        }
        self.used = self.used.max(ack.prior_in_flight);
        if ack.now.since(self.used_since) > UNUSED.max(Duration::from_nanos(self.srtt.saturating_mul(2))) {
            self.cc.control_mut().on_unused(self.used);
            (self.used, self.used_since) = (0, ack.now);
        }
    }

    fn update_pacing_rate(&mut self) {
        let control = self.cc.control();
        let own = control.pacing_rate();
        let limited = self.max_pacing_rate != u64::MAX;
        self.pacing_rate = match own {
            Some(rate) => Some(rate.max(self.least_rate()).min(self.max_pacing_rate)),
            None if self.srtt >= SHORTEST_RTT || limited && self.srtt != 0 => {
                let (cwnd, srtt) = (control.window().min(MAX_CWND), Duration::from_nanos(self.srtt));
                Some(pacing::rate_of_window(cwnd, control.ssthresh(), srtt).min(self.max_pacing_rate))
            }
            None => limited.then_some(self.max_pacing_rate),
        };
    }

    /// Two segments in a round trip, as no window is smaller. What a peer delivers whose window is shut, a byte a probe, is
    /// no rate of the path: at that, a segment would take hours.
    fn least_rate(&self) -> u64 {
        (2 * u64::from(self.mss) * 1_000_000_000).checked_div(self.srtt).unwrap_or(0)
    }

    fn spend(&mut self, now: Instant, spent: Spent) {
        self.seen = now;
        if spent != self.spent {
            self.times = self.times();
            (self.spent, self.spent_since) = (spent, now);
        }
    }

    /// How long each took until something was sent or acknowledged last.
    pub fn times(&self) -> TimeSpent {
        let lately = self.seen.since(self.spent_since);
        let mut times = self.times;
        match self.spent {
            Spent::Idle => return times,
            Spent::Busy => {}
            Spent::PeerWindow => times.peer_window += lately,
            Spent::SendBuffer => times.send_buffer += lately,
        }
        times.busy += lately;
        times
    }
}

#[cfg(test)]
mod tests {
    use super::super::cc::tests::{MSS, ack};
    use super::*;

    fn governed(choice: Congestion, limit: Option<u64>) -> Outflow {
        let mut outflow = Outflow::new(MSS, false);
        let options = TcpOptions { congestion: choice, max_pacing_rate: limit, ..TcpOptions::default() };
        outflow.govern(Instant::ZERO, None, &options, 1);
        outflow
    }

    fn on_ack(outflow: &mut Outflow, ms: u64, rtt: Duration) {
        outflow.on_ack(&AckSample { rtt: Some(rtt), ..ack(Instant::from_millis(ms), MSS, true) });
    }

    #[test]
    fn an_idle_connection_holds_little() {
        assert!(size_of::<Outflow>() <= 16, "{}", size_of::<Outflow>());
        let fresh = Outflow::new(MSS, false);
        assert_eq!((fresh.window(), fresh.ssthresh()), (10 * MSS, u32::MAX));
        assert_eq!(Outflow::new(MSS, true).window(), MSS);
    }

    #[test]
    fn paths_of_microseconds_are_not_paced() {
        for (choice, limit, rtt, paced) in [
            (Congestion::Cubic, None, Duration::from_micros(50), false),
            (Congestion::Cubic, None, Duration::from_millis(20), true),
            (Congestion::Cubic, Some(1000), Duration::from_micros(50), true),
            (Congestion::Bbr, None, Duration::from_micros(50), true),
        ] {
            let mut outflow = governed(choice, limit);
            on_ack(&mut outflow, 1, rtt);
            assert_eq!(outflow.governor().unwrap().pacing_rate().is_some(), paced, "{choice} {limit:?} {rtt:?}");
        }
    }

    #[test]
    fn the_users_limit_bounds_the_rate() {
        let mut outflow = governed(Congestion::Cubic, Some(100_000));
        on_ack(&mut outflow, 1, Duration::from_millis(20));
        assert_eq!(outflow.governor().unwrap().pacing_rate(), Some(100_000));
        outflow.governor_mut().unwrap().set_max_pacing_rate(None);
        assert!(outflow.governor().unwrap().pacing_rate().unwrap() > 1_000_000);
    }

    #[test]
    fn another_control_goes_on_from_the_same_window() {
        let mut outflow = governed(Congestion::Cubic, None);
        for i in 0..50 {
            on_ack(&mut outflow, i, Duration::from_millis(20));
        }
        let window = outflow.window();
        assert!(window > 20 * MSS);
        outflow.choose(Congestion::NewReno, Instant::from_millis(51));
        assert_eq!(outflow.window(), window);
        assert_eq!(outflow.governor().unwrap().control().name(), "newreno");
    }

    /// A window that was filled counts as filled until all of it is acknowledged, though ACKs come in bunches and pacing
    /// follows late; then what flies now counts, and in slow start half of the window is enough.
    #[test]
    fn a_window_that_was_full_stays_so_for_a_round_trip() {
        let mut outflow = governed(Congestion::NewReno, None);
        let mut limited = |una: u32, nxt: u32| outflow.was_limited(Seq(una * MSS), Seq(nxt * MSS));
        assert!(!limited(0, 4), "slow start needs half");
        assert!(limited(0, 10), "full");
        assert!(limited(8, 10), "a bunch of ACKs later");
        assert!(!limited(10, 13), "another window, hardly used");
        assert!(limited(11, 17), "half of it");
        outflow.governor_mut().unwrap().on_congestion(20 * MSS);
        let mut limited = |una: u32, nxt: u32| outflow.was_limited(Seq(una * MSS), Seq(nxt * MSS));
        assert!(!limited(17, 20), "half is not enough in congestion avoidance");
        assert!(limited(18, 23));
    }

    #[test]
    fn time_is_counted_for_what_it_was_spent_on() {
        let at = Instant::from_millis;
        let mut outflow = governed(Congestion::Cubic, None);
        for (ms, spent) in [(10, Spent::Busy), (30, Spent::PeerWindow), (70, Spent::SendBuffer), (150, Spent::Idle)] {
            outflow.spend(at(ms), spent);
        }
        let ms = Duration::from_millis;
        let times = TimeSpent { busy: ms(140), peer_window: ms(40), send_buffer: ms(80) };
        assert_eq!(outflow.governor().unwrap().times(), times);
    }

    /// What waits for the application, and not for room in the send buffer or for what is lost to go first, is
    /// application-limited.
    #[test]
    fn who_was_told_to_wait_is_not_late() {
        let limits = |refused: bool, to_send: u32, in_flight: u32| {
            let mut outflow = governed(Congestion::Bbr, None);
            if refused {
                outflow.on_write_refused();
            }
            outflow.on_write(to_send, in_flight);
            let first = outflow.governor().unwrap().rate().is_app_limited();
            outflow.on_write(to_send, in_flight);
            (first, outflow.governor().unwrap().rate().is_app_limited())
        };
        assert_eq!(limits(false, 0, 3 * MSS), (true, true));
        assert_eq!(limits(true, 0, 3 * MSS), (false, true), "the next write has not been waited for");
        assert_eq!(limits(true, 0, 0), (true, true), "there was room long ago");
        assert_eq!(limits(false, MSS, 3 * MSS), (false, false), "a segment waits already");
        assert_eq!(limits(false, 0, 10 * MSS), (false, false), "the window is full");
    }

    /// RFC 2861 3.2: a window that the application does not fill decays.
    #[test]
    fn an_unused_window_decays() {
        let mut outflow = governed(Congestion::NewReno, None);
        for i in 0..90 {
            on_ack(&mut outflow, i, Duration::from_millis(20));
        }
        let window = outflow.window();
        assert_eq!(window, 100 * MSS);
        for i in 0..300 {
            outflow.on_ack(&AckSample { prior_in_flight: 20 * MSS, ..ack(Instant::from_millis(100 + i), MSS, false) });
        }
        assert_eq!((outflow.window(), outflow.ssthresh()), (60 * MSS, u32::MAX));
    }
}
