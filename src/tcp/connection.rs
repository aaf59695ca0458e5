//! A connection: which of four shapes it has, its one place for transitions, and what it does with what it is given.
//!
//! There is no LISTEN and no CLOSED in here: a [listener](super::listener) is another type, and a connection that is
//! closed is gone. Its inputs are [`on_segment`](Connection::on_segment), [`on_deadline`](Connection::on_deadline) and
//! [`on_icmp`](Connection::on_icmp); its outputs [`next_segment`](Connection::next_segment), which is pulled, and
//! [`deadline`](Connection::deadline), which is computed; its user's commands [`close`](Connection::close) and
//! [`abort`](Connection::abort), and on the [`Tcb`] `send` and `recv`.

use super::config::{Memory, TcpConfig};
use super::handshake::{Handshake, Heard};
use super::keepalive::KeepaliveTimer;
use super::mtu::{PathLimit, PathMss};
use super::options::{Negotiated, TcpOptions};
use super::outflow::{Governor, Outflow};
use super::recovery::Recovery;
use super::recv::Recv;
use super::rto::RtoTimer;
use super::rtt::Rtt;
use super::segment::{Segment, SegmentOut};
use super::send::Send;
use super::seq::Seq;
use super::state::{Event, State};
use super::timewait::TimeWait;
use super::tuple::FourTuple;
use crate::error::Error;
use crate::stats::{Disposition, DropReason, TcpStats};
use crate::time::Instant;
use crate::trace::{Trace, TraceEvent, What};
use core::time::Duration;

/// What a connection is given with every call: the time, its settings, and where to count.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The time.
    pub now: Instant,
    /// The stack's settings.
    pub config: &'a TcpConfig,
    /// The connection's settings.
    pub options: &'a TcpOptions,
    /// The connection's name.
    pub tuple: FourTuple,
    /// The MSS of the link: its MTU less the fixed headers.
    pub link_mss: u16,
    /// Whether no application holds the connection any more.
    pub orphan: bool,
    /// What memory the stack has left.
    pub memory: Memory,
    /// The counters.
    pub stats: &'a mut TcpStats,
    /// The trace.
    pub trace: &'a mut Trace,
}

impl Cx<'_> {
    /// Whether no new promises may be made.
    pub fn is_short_of_memory(&self) -> bool {
        self.memory > Memory::Ample
    }

    /// Records `what` happened to this connection.
    pub fn note(&mut self, what: What) {
        if self.trace.enabled() {
            let (local, remote) = (self.tuple.local(), self.tuple.remote());
            self.trace.record(TraceEvent { at: self.now, local, remote, what });
        }
    }

    /// The state after `event`: every transition of every connection is made here, logged and traced.
    pub fn transition(&mut self, from: State, event: Event) -> State {
        let Some(to) = from.next(event) else {
            debug_assert!(false, "no transition from {from} by {event}");
            return from;
        };
        log::debug!("{}: {from} -> {to} ({event})", self.tuple);
        self.note(What::Transition { from, event, to });
        to
    }
}

/// Why a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Both sides closed.
    Normal,
    /// The peer reset it.
    Reset,
    /// The peer refused it.
    Refused,
    /// The peer answered no more, or never.
    TimedOut,
    /// We reset it.
    Aborted,
    /// An ICMP error ended the attempt to connect.
    Unreachable(Error),
}

impl CloseReason {
    /// What the user is told, once.
    pub fn error(self) -> Option<Error> {
        match self {
            CloseReason::Normal => None,
            CloseReason::Reset => Some(Error::ConnectionReset),
            CloseReason::Refused => Some(Error::ConnectionRefused),
            CloseReason::TimedOut => Some(Error::TimedOut),
            CloseReason::Aborted => Some(Error::ConnectionAborted),
            CloseReason::Unreachable(error) => Some(error),
        }
    }
}

/// What came of a segment.
#[derive(Debug)]
pub struct Reaction {
    /// What to count.
    pub disposition: Disposition,
    /// What to answer beside what [`Connection::next_segment`] will give: a RST.
    pub reply: Option<Box<SegmentOut>>,
    /// Set if the connection is gone.
    pub closed: Option<CloseReason>,
}

impl Reaction {
    /// The segment was used.
    pub fn delivered() -> Self {
        Reaction { disposition: Disposition::Delivered, reply: None, closed: None }
    }

    /// The segment was discarded.
    pub fn dropped(reason: DropReason) -> Self {
        Reaction { disposition: Disposition::Dropped(reason), reply: None, closed: None }
    }

    /// The segment ended the connection.
    pub fn closed(reason: CloseReason) -> Self {
        Reaction { closed: Some(reason), ..Reaction::delivered() }
    }

    /// With this answer.
    pub fn reply(self, reply: SegmentOut) -> Self {
        Reaction { reply: Some(Box::new(reply)), ..self }
    }
}

/// An ICMP error about a segment of ours, as far as TCP cares (RFC 9293 3.9.2.2, RFC 5927).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpNotice {
    /// What the user would be told.
    pub error: Error,
    /// Whether RFC 1122 4.2.3.9 calls it hard.
    pub hard: bool,
    /// The quoted segment's sequence number.
    pub seq: Seq,
}

/// What an ICMP error led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnIcmp {
    /// It quotes nothing that is outstanding (RFC 5927 4.1).
    Ignored,
    /// It is a hint for the user.
    Noted,
    /// It ended the attempt to connect.
    Closed(CloseReason),
}

/// A connection in one of its shapes.
#[derive(Debug)]
pub enum Connection {
    /// Our SYN is out.
    SynSent(Box<Handshake>),
    /// Both SYNs are out.
    SynReceived(Box<Handshake>),
    /// ESTABLISHED and all that follows but TIME-WAIT.
    Synchronized(Box<Tcb>),
    /// Waiting for old segments to die.
    TimeWait(Box<TimeWait>),
}

/// The transmission control block of a synchronized connection.
#[derive(Debug)]
pub struct Tcb {
    /// One of the synchronized states.
    pub(super) state: State,
    /// The send side.
    pub snd: Send,
    /// The receive side.
    pub rcv: Recv,
    pub(super) rtt: Rtt,
    pub(super) rto: RtoTimer,
    pub(super) recovery: Recovery,
    pub(super) cc: Outflow,
    pub(super) keepalive: KeepaliveTimer,
    pub(super) negotiated: Negotiated,
    /// What is known of the path, if it may carry less than the link.
    pub(super) path: Option<Box<PathMss>>,
    /// What output owes beside data and ACKs.
    pub(super) owed: Owed,
    /// When a segment with data was sent last (RFC 5681 4.1).
    pub(super) last_data_sent: Instant,
    /// When the last challenge ACK, or answer to an invalid segment, was sent.
    pub(super) last_challenge: Option<Instant>,
    /// Since when FIN-WAIT-2 waits for the peer.
    pub(super) fin_wait2_since: Option<Instant>,
    pub(super) totals: Totals,
}

/// What output owes, set by timers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Owed {
    /// A zero-window probe.
    pub(super) window_probe: bool,
    /// A tail loss probe.
    pub(super) loss_probe: bool,
    /// A keepalive probe.
    pub(super) keepalive_probe: bool,
    /// The next segment goes out however small (sender SWS avoidance's override, RFC 9293 3.8.6.2.1).
    pub(super) override_sws: bool,
    /// ECE on every segment: the peer does not know yet that one of its packets was marked (RFC 3168 6.1.3).
    pub(super) echo: bool,
    /// CWR on the next new data: the peer may stop telling us (RFC 3168 6.1.2).
    pub(super) cwr: bool,
}

/// Counts over the connection's life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) bytes_acked: u64,
    pub(super) bytes_received: u64,
    pub(super) retransmits: u64,
}

impl Connection {
    /// Actively opens a connection with the initial sequence number `iss`.
    pub fn open(iss: Seq, timestamp_offset: u32, cx: &mut Cx<'_>) -> Self {
        cx.transition(State::Closed, Event::ActiveOpen);
        cx.stats.active_opens += 1;
        Connection::SynSent(Box::new(Handshake::active(iss, timestamp_offset, cx)))
    }

    /// Answers the SYN `segment` that a listener received.
    pub fn accept(segment: &Segment, iss: Seq, timestamp_offset: u32, cx: &mut Cx<'_>) -> Self {
        cx.transition(State::Listen, Event::RcvSyn);
        Connection::SynReceived(Box::new(Handshake::passive(segment, iss, timestamp_offset, cx)))
    }

    /// The state.
    pub fn state(&self) -> State {
        match self {
            Connection::SynSent(_) => State::SynSent,
            Connection::SynReceived(_) => State::SynReceived,
            Connection::Synchronized(tcb) => tcb.state,
            Connection::TimeWait(_) => State::TimeWait,
        }
    }

    /// The block of a synchronized connection.
    pub fn tcb(&self) -> Option<&Tcb> {
        if let Connection::Synchronized(tcb) = self { Some(tcb) } else { None }
    }

    /// The block of a synchronized connection.
    pub fn tcb_mut(&mut self) -> Option<&mut Tcb> {
        if let Connection::Synchronized(tcb) = self { Some(tcb) } else { None }
    }

    /// Whether it came from a listener and is not established yet.
    pub fn is_embryonic(&self) -> bool {
        matches!(self, Connection::SynReceived(h) if h.is_passive())
    }

    /// A segment arrives (RFC 9293 3.10.7.3, 3.10.7.4). In TIME-WAIT a valid new SYN gives `None`: the connection is to
    /// be forgotten, and the segment is the listener's.
    pub fn on_segment(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Option<Reaction> {
        let reaction = match self {
            Connection::SynSent(handshake) => match handshake.on_segment_in_syn_sent(segment, cx) {
                Heard::Nothing(reaction) => reaction,
                Heard::Syn => {
                    cx.transition(State::SynSent, Event::RcvSyn);
                    *self = Connection::SynReceived(handshake.clone());
                    Reaction::delivered()
                }
                Heard::Established => {
                    cx.transition(State::SynSent, Event::RcvSynAck);
                    let mut tcb = handshake.establish(cx);
                    tcb.acknowledge_syn(segment);
                    *self = Connection::Synchronized(Box::new(tcb));
                    Reaction::delivered()
                }
            },
            Connection::SynReceived(handshake) => match handshake.on_segment_in_syn_received(segment, cx) {
                Heard::Nothing(reaction) => reaction,
                Heard::Syn => Reaction::delivered(),
                Heard::Established => {
                    cx.transition(State::SynReceived, Event::RcvAckOfSyn);
                    if handshake.is_passive() {
                        cx.stats.passive_opens += 1;
                    }
                    let mut tcb = handshake.establish(cx);
                    let rest = handshake.without_syn(segment, &tcb);
                    let reaction = tcb.on_segment(&rest, cx);
                    *self = Connection::Synchronized(Box::new(tcb));
                    reaction
                }
            },
            Connection::Synchronized(tcb) => tcb.on_segment(segment, cx),
            Connection::TimeWait(time_wait) => return time_wait.on_segment(segment, cx),
        };
        self.debug_assert_invariants();
        Some(reaction)
    }

    /// A timer may have run out. Gives the reason if the connection is gone, and a RST to send with it.
    pub fn on_deadline(&mut self, cx: &mut Cx<'_>) -> Option<CloseReason> {
        let closed = match self {
            Connection::SynSent(handshake) | Connection::SynReceived(handshake) => handshake.on_deadline(cx),
            Connection::Synchronized(tcb) => tcb.on_deadline(cx),
            Connection::TimeWait(time_wait) => (time_wait.deadline() <= cx.now).then(|| {
                cx.transition(State::TimeWait, Event::TimeWaitOver);
                CloseReason::Normal
            }),
        };
        self.debug_assert_invariants();
        closed
    }

    /// When a timer runs out next. It is computed from what is outstanding, so nothing can be outstanding without one.
    pub fn deadline(&self, config: &TcpConfig, options: &TcpOptions, orphan: bool) -> Option<Instant> {
        match self {
            Connection::SynSent(handshake) | Connection::SynReceived(handshake) => {
                Some(handshake.deadline(config, options))
            }
            Connection::Synchronized(tcb) => tcb.deadline(config, options, orphan),
            Connection::TimeWait(time_wait) => Some(time_wait.deadline()),
        }
    }

    /// Whether [`next_segment`](Connection::next_segment) is worth asking.
    pub fn may_have_output(&self, cx: &Cx<'_>) -> bool {
        self.tcb().is_none_or(|tcb| tcb.may_have_output(cx))
    }

    /// The next segment to send, if any: what was lost first, then new data, then what else is owed. `limit` is how many
    /// bytes of text the device takes at once, to cut them into segments; zero if it does not.
    pub fn next_segment(&mut self, limit: usize, cx: &mut Cx<'_>) -> Option<SegmentOut> {
        let segment = match self {
            Connection::SynSent(handshake) => handshake.next_segment(State::SynSent, cx),
            Connection::SynReceived(handshake) => handshake.next_segment(State::SynReceived, cx),
            Connection::Synchronized(tcb) => tcb.next_segment(limit, cx),
            Connection::TimeWait(time_wait) => time_wait.next_segment(cx),
        };
        self.debug_assert_invariants();
        segment
    }

    /// Whether the segment that begins with `seq` is sent and not acknowledged.
    pub fn is_in_flight(&self, seq: Seq) -> bool {
        match self {
            Connection::SynSent(handshake) | Connection::SynReceived(handshake) => seq == handshake.iss(),
            Connection::Synchronized(tcb) => tcb.is_in_flight(seq),
            Connection::TimeWait(_) => false,
        }
    }

    /// An ICMP error quotes a segment of this connection.
    pub fn on_icmp(&mut self, notice: IcmpNotice, cx: &mut Cx<'_>) -> OnIcmp {
        if !self.is_in_flight(notice.seq) {
            return OnIcmp::Ignored;
        }
        // Before the handshake a hard error ends the attempt (SHLD-26), if it quotes our SYN. Hard errors are soft in
        // synchronized states (RFC 5927 5.2).
        let state = self.state();
        if !notice.hard || state.is_synchronized() {
            return OnIcmp::Noted;
        }
        cx.transition(state, Event::Abort);
        OnIcmp::Closed(match notice.error {
            Error::ConnectionRefused => CloseReason::Refused,
            error => CloseReason::Unreachable(error),
        })
    }

    /// Whether a message that calls the segment `seq` too big is to be believed: only if that is in flight (RFC 5927 4.1,
    /// 7.2), and not if the user believes no such message. A SYN is never too big.
    pub fn may_be_too_big(&self, seq: Seq, options: &TcpOptions) -> bool {
        self.tcb().is_some_and(|tcb| tcb.is_in_flight(seq)) && options.mtu_discovery.believes_routers()
    }

    /// A router says what the path carries, and [may be believed](Connection::may_be_too_big).
    pub fn on_packet_too_big(&mut self, told: PathLimit, seq: Seq, cx: &mut Cx<'_>) {
        if let Connection::Synchronized(tcb) = self {
            tcb.on_packet_too_big(told, seq, cx);
        }
        self.debug_assert_invariants();
    }

    /// The user closes (RFC 9293 3.10.4): a FIN follows all data. In a state that is closing already it does nothing;
    /// before ESTABLISHED the caller keeps the wish until then.
    pub fn close(&mut self, cx: &mut Cx<'_>) {
        if let Connection::Synchronized(tcb) = self
            && tcb.state.may_send()
        {
            tcb.start_if_idle(cx.now);
            tcb.snd.fin = true;
            tcb.state = cx.transition(tcb.state, Event::Close);
        }
        self.debug_assert_invariants();
    }

    /// The application has let go of it: from now on nobody will read.
    pub fn orphaned(&mut self, now: Instant) {
        if let Connection::Synchronized(tcb) = self
            && tcb.fin_wait2_since.is_some()
        {
            tcb.fin_wait2_since = Some(now);
        }
    }

    /// The user aborts (RFC 9293 3.10.5). Gives the RST to send, if the peer may know of the connection.
    pub fn abort(&mut self, cx: &mut Cx<'_>) -> Option<SegmentOut> {
        let state = self.state();
        if state != State::TimeWait {
            cx.transition(state, Event::Abort);
        }
        match self {
            Connection::SynSent(_) | Connection::TimeWait(_) => None,
            Connection::SynReceived(handshake) => Some(handshake.reset()),
            // Also in CLOSING and LAST-ACK, where RFC 9293 3.10.5 has none: our FIN, and perhaps text before it, is not
            // acknowledged, and the peer would wait for it without end.
            Connection::Synchronized(tcb) => Some(tcb.reset(cx)),
        }
    }

    /// Turns a connection whose state has become TIME-WAIT into its compact record, and gives what is left of the old
    /// one, with the text that was not read.
    pub fn settle(&mut self, cx: &Cx<'_>) -> Option<Box<Tcb>> {
        if self.state() != State::TimeWait || matches!(self, Connection::TimeWait(_)) {
            return None;
        }
        let time_wait = Connection::TimeWait(Box::new(TimeWait::new(self.tcb()?, cx)));
        match core::mem::replace(self, time_wait) {
            Connection::Synchronized(tcb) => Some(tcb),
            _ => None,
        }
    }

    /// The link has another MTU: segments fit into it from the next one on, those that are sent again too. How large the
    /// peer's are is the peer's to find out; our SYN told it once and for all.
    pub fn on_link_mss(&mut self, link_mss: u16) {
        if let Connection::Synchronized(tcb) = self {
            tcb.on_link_mss(link_mss);
        }
    }

    /// Memory that its buffers pin, in bytes.
    pub fn memory(&self) -> usize {
        self.tcb().map_or(0, |tcb| tcb.snd.buffer.pinned() + tcb.rcv.pinned() + tcb.recovery.board.pinned())
    }

    fn debug_assert_invariants(&self) {
        if let Connection::Synchronized(tcb) = self {
            tcb.debug_assert_invariants();
        }
    }
}

impl Tcb {
    /// The block at the moment of establishment.
    pub(super) fn new(
        snd: Send,
        rcv: Recv,
        negotiated: Negotiated,
        handshake_rtt: Option<Duration>,
        lost_syn: bool,
        cx: &Cx<'_>,
    ) -> Self {
        let mut rto = RtoTimer::new(cx.now);
        if lost_syn {
            rto.on_lost_syn();
        }
        let mut rcv = rcv;
        rcv.set_quick_acks(cx.options.quick_ack, cx.config.quick_acks);
        let mut rtt = Rtt::default();
        if let Some(sample) = handshake_rtt {
            rtt.sample(sample, cx.now);
        }
        Tcb {
            state: State::Established,
            rtt,
            rto,
            recovery: Recovery::new(snd.iss),
            cc: Outflow::new(snd.mss, lost_syn),
            keepalive: KeepaliveTimer::new(cx.now),
            negotiated,
            path: None,
            owed: Owed::default(),
            last_data_sent: cx.now,
            last_challenge: None,
            fin_wait2_since: None,
            totals: Totals::default(),
            snd,
            rcv,
        }
    }

    /// The peer's SYN,ACK `segment` has been taken: its window is not scaled, and it is acknowledged at once.
    fn acknowledge_syn(&mut self, segment: &Segment) {
        self.snd.set_window(segment.seq, segment.ack, u32::from(segment.wnd));
        self.rcv.ack = super::recv::AckDue::Now;
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether `seq` went out and is not acknowledged.
    fn is_in_flight(&self, seq: Seq) -> bool {
        seq.at_or_after(self.snd.una) && seq.before(self.snd.max)
    }

    /// The user is about to add data: the timer runs from now, if nothing is outstanding.
    pub fn on_write(&mut self, now: Instant) {
        self.start_if_idle(now);
        // What the peer has behind a hole flies no more, and what is lost goes before anything new.
        let to_send = self.snd.end().since(self.snd.nxt).saturating_add(self.recovery.board.lost());
        self.cc.on_write(to_send, self.in_flight());
    }

    /// The user found no room for more.
    pub fn on_write_refused(&mut self) {
        self.cc.on_write_refused();
    }

    /// The options have changed.
    pub fn on_options(&mut self, options: &TcpOptions, config: &TcpConfig, now: Instant) {
        self.cc.choose(options.congestion, now);
        if let Some(governor) = self.cc.governor_mut() {
            governor.set_max_pacing_rate(options.max_pacing_rate);
        }
        self.rcv.set_quick_acks(options.quick_ack, config.quick_acks);
    }

    /// What governs output, from now on if it did not before.
    pub(super) fn govern(&mut self, cx: &Cx<'_>) -> &mut Governor {
        self.cc.govern(cx.now, self.rtt.srtt(), cx.options, self.snd.iss.0)
    }

    /// Whether output waits for pacing.
    pub fn waits_for_pacing(&self) -> bool {
        self.cc.pacing_deadline().is_some()
    }

    /// The timer starts when something becomes outstanding where nothing was.
    fn start_if_idle(&mut self, now: Instant) {
        if self.snd.flight() == 0 && !self.snd.has_unsent() {
            self.rto.start(now);
        }
    }

    /// The throttle of RFC 5961 7, per connection: says whether an invalid segment may be answered now.
    pub(super) fn may_challenge(&mut self, cx: &mut Cx<'_>) -> bool {
        let due = self.last_challenge.is_none_or(|last| cx.now.since(last) >= cx.config.challenge_interval);
        if due {
            self.last_challenge = Some(cx.now);
        } else {
            cx.stats.challenge_acks_limited += 1;
        }
        due
    }

    /// Congestion window and threshold, for the trace and `ss`.
    pub(super) fn note_congestion(&self, cx: &mut Cx<'_>) {
        cx.note(What::Congestion { cwnd: self.cc.window(), ssthresh: self.cc.ssthresh() });
    }

    fn debug_assert_invariants(&self) {
        let (snd, rcv) = (&self.snd, &self.rcv);
        debug_assert!(snd.una.at_or_before(snd.nxt), "SND.UNA <= SND.NXT");
        debug_assert!(snd.nxt.at_or_before(snd.max) && snd.max.since(snd.nxt) <= 1, "but a probe's octet is sent");
        debug_assert!(snd.max.at_or_before(snd.end()), "nothing is sent that was not written");
        debug_assert!(rcv.nxt.at_or_before(rcv.edge), "RCV.NXT is inside what was offered");
        debug_assert!(rcv.buffer.len() as u64 <= self.totals.bytes_received, "nothing is held that was not received");
        debug_assert!(
            rcv.assembler.ranges().all(|r| r.start.after(rcv.nxt) && r.end.at_or_before(rcv.edge)),
            "held text lies beyond RCV.NXT and inside the window"
        );
        self.recovery.board.debug_assert_covers(snd.una, snd.nxt);
    }
}
