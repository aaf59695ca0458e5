//! SYN-SENT and SYN-RECEIVED (RFC 9293 3.5, 3.10.7.3 and the parts of 3.10.7.4 that concern SYN-RECEIVED).

use super::TcpConfig;
use super::autotune::Range;
use super::connection::{CloseReason, Cx, Reaction, Tcb};
use super::ecn::Ecn;
use super::options::{Negotiated, PeerSyn, TcpOptions, Timestamps, window_shift};
use super::recv::Recv;
use super::segment::{Segment, SegmentOut};
use super::send::Send;
use super::seq::Seq;
use super::state::{Event, State};
use crate::stats::DropReason;
use crate::time::Instant;
use crate::trace::What;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::TcpOptions as WireOptions;
use core::time::Duration;

/// Bytes that the time-stamps option takes from every segment, its padding included.
pub(super) const TIMESTAMPS_LEN: u32 = 12;

/// A connection whose two SYNs are not both acknowledged yet.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Whether a listener opened it (MUST-11).
    passive: bool,
    iss: Seq,
    irs: Seq,
    /// The peer's SYN, once it has come, and the window beside it.
    peer: Option<(PeerSyn, u16)>,
    timestamp_offset: u32,
    /// Our window as the SYN offers it.
    window: u16,
    shift: u8,
    opened: Instant,
    sent: Instant,
    /// How often our SYN or SYN,ACK was sent again because no answer came.
    retries: u32,
    /// Whether our SYN went out more than once, for whatever reason: its ACK is no measurement then (Karn).
    repeated: bool,
    send_syn: bool,
    send_ack: bool,
    /// Whether the peer's SYN said that it understands ECN, and we want to.
    ecn: bool,
    last_challenge: Option<Instant>,
}

/// What a segment said to a connection that is being opened.
#[derive(Debug)]
pub enum Heard {
    /// Nothing that moves it on.
    Nothing(Reaction),
    /// The peer's SYN.
    Syn,
    /// That our SYN has arrived, and the peer's is here.
    Established,
}

impl Handshake {
    /// Our SYN goes first.
    pub(super) fn active(iss: Seq, timestamp_offset: u32, cx: &Cx<'_>) -> Self {
        let buffer = Range::recv(cx.config, cx.options);
        Handshake {
            passive: false,
            iss,
            irs: Seq(0),
            peer: None,
            timestamp_offset,
            window: u16::try_from(buffer.initial).unwrap_or(u16::MAX),
            shift: window_shift(buffer.most),
            opened: cx.now,
            sent: cx.now,
            retries: 0,
            repeated: false,
            send_syn: true,
            send_ack: false,
            ecn: false,
            last_challenge: None,
        }
    }

    /// A listener received the SYN `segment`.
    pub(super) fn passive(segment: &Segment, iss: Seq, timestamp_offset: u32, cx: &Cx<'_>) -> Self {
        let mut handshake = Handshake { passive: true, ..Handshake::active(iss, timestamp_offset, cx) };
        handshake.take_syn(segment, cx);
        handshake
    }

    /// A SYN cookie came back (RFC 4987 3.6): the state that would have been stored, from what the cookie kept.
    pub(super) fn from_cookie(iss: Seq, irs: Seq, peer: PeerSyn, wnd: u16, timestamp_offset: u32, cx: &Cx<'_>) -> Self {
        let handshake = Handshake::active(iss, timestamp_offset, cx);
        // When the SYN,ACK was sent is not known any more.
        Handshake { passive: true, irs, peer: Some((peer, wnd)), send_syn: false, repeated: true, ..handshake }
    }

    /// Whether a listener opened it.
    pub fn is_passive(&self) -> bool {
        self.passive
    }

    /// Our initial sequence number.
    pub fn iss(&self) -> Seq {
        self.iss
    }

    /// RFC 3168 6.1.1: an ECN-setup SYN has ECE and CWR, the answer to ours ECE alone. A SYN that was sent again asks for
    /// nothing: what swallowed the first may dislike those bits.
    fn agrees_on_ecn(&self, flags: Flags, cx: &Cx<'_>) -> bool {
        let setup = if flags.ack() { Flags::ECE } else { Flags::ECE | Flags::CWR };
        let wanted = if self.passive { cx.config.ecn != Ecn::Off } else { cx.config.ecn == Ecn::Request };
        wanted && (self.passive || !self.repeated) && flags.0 & (Flags::ECE | Flags::CWR).0 == setup.0
    }

    fn take_syn(&mut self, segment: &Segment, cx: &Cx<'_>) {
        self.irs = segment.seq;
        self.ecn = self.agrees_on_ecn(segment.flags, cx);
        self.peer = Some((PeerSyn::read(&segment.options, cx.tuple.remote_addr, cx.config.min_mss), segment.wnd));
    }

    /// RFC 9293 3.10.7.3.
    pub(super) fn on_segment_in_syn_sent(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Heard {
        let flags = segment.flags;
        let acks_our_syn = flags.ack() && segment.ack == self.iss + 1;
        if flags.ack() && !acks_our_syn {
            let reaction = Reaction::dropped(DropReason::TcpBadAck);
            let reset = SegmentOut::reset_for(segment);
            return Heard::Nothing(if flags.rst() { reaction } else { reaction.reply(reset) });
        }
        if flags.rst() {
            // RFC 5961 3.2: only one that acknowledges our SYN.
            return Heard::Nothing(if acks_our_syn {
                cx.transition(State::SynSent, Event::RcvRst);
                Reaction::closed(CloseReason::Refused)
            } else {
                Reaction::dropped(DropReason::TcpBadReset)
            });
        }
        if !flags.syn() {
            return Heard::Nothing(Reaction::dropped(DropReason::TcpOutOfWindow));
        }
        self.take_syn(segment, cx);
        if acks_our_syn {
            return Heard::Established;
        }
        // Both opened at once (MUST-10): our SYN goes out again, with an ACK.
        self.repeat_syn();
        Heard::Syn
    }

    fn repeat_syn(&mut self) {
        self.send_syn = true;
        self.repeated = true;
    }

    /// RFC 9293 3.10.7.4, as far as it concerns SYN-RECEIVED.
    pub(super) fn on_segment_in_syn_received(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Heard {
        let flags = segment.flags;
        let next = self.irs + 1;
        // Both opened at once, or the peer sends its SYN again: the SYN was taken already (RFC 9293 3.5, figure 8).
        let repeats_syn = flags.syn() && !flags.rst() && segment.seq == self.irs;
        if repeats_syn && !flags.ack() {
            self.repeat_syn();
            return Heard::Syn;
        }
        if !repeats_syn {
            let edge = next + u32::from(self.window);
            let in_window = segment.seq.at_or_after(next) && segment.seq.at_or_before(edge);
            if flags.rst() {
                return Heard::Nothing(self.on_reset(segment, in_window, cx));
            }
            let overlaps = segment.seq.before(edge) && segment.end().after(next);
            if !in_window && !overlaps {
                return Heard::Nothing(self.challenge(DropReason::TcpOutOfWindow, cx));
            }
            if flags.syn() {
                return Heard::Nothing(self.challenge(DropReason::TcpSynChallenged, cx));
            }
        }
        if !flags.ack() {
            return Heard::Nothing(Reaction::dropped(DropReason::TcpNoAck));
        }
        if segment.ack != self.iss + 1 {
            let reset = SegmentOut::reset_for(segment);
            return Heard::Nothing(Reaction::dropped(DropReason::TcpBadAck).reply(reset));
        }
        Heard::Established
    }

    /// RFC 5961 3.2, and MUST-11: a passive open goes back to LISTEN in silence, an active one was refused.
    fn on_reset(&mut self, segment: &Segment, in_window: bool, cx: &mut Cx<'_>) -> Reaction {
        if segment.seq == self.irs + 1 {
            cx.transition(State::SynReceived, Event::RcvRst);
            return Reaction::closed(CloseReason::Refused);
        }
        if in_window {
            self.challenge(DropReason::TcpResetChallenged, cx)
        } else {
            Reaction::dropped(DropReason::TcpBadReset)
        }
    }

    fn challenge(&mut self, reason: DropReason, cx: &mut Cx<'_>) -> Reaction {
        if self.last_challenge.is_none_or(|last| cx.now.since(last) >= cx.config.challenge_interval) {
            self.last_challenge = Some(cx.now);
            self.send_ack = true;
            cx.stats.challenge_acks += 1;
            cx.note(What::ChallengeAck);
        } else {
            cx.stats.challenge_acks_limited += 1;
        }
        Reaction::dropped(reason)
    }

    /// `segment` as the synchronized state is to see it: a SYN that was taken already is cut off, and the window, which
    /// beside a SYN is not scaled (RFC 7323 2.2), is.
    pub(super) fn without_syn(&self, segment: &Segment, tcb: &Tcb) -> Segment {
        let mut rest = segment.clone();
        if rest.flags.syn() {
            rest.flags = Flags(rest.flags.0 & !Flags::SYN.0);
            rest.seq += 1;
            rest.wnd >>= tcb.negotiated.snd_shift;
        }
        rest
    }

    fn negotiated(&self, cx: &Cx<'_>) -> Negotiated {
        let Some((peer, _)) = self.peer else { return Negotiated::default() };
        let scale = peer.window_scale.filter(|_| cx.config.window_scaling);
        Negotiated {
            mss: peer.mss.min(cx.link_mss),
            peer_mss: peer.mss,
            snd_shift: scale.unwrap_or(0),
            rcv_shift: if scale.is_some() { self.shift } else { 0 },
            window_scaling: scale.is_some(),
            sack: peer.sack && cx.config.sack,
            ecn: self.ecn,
            timestamps: peer.timestamp.filter(|_| cx.config.timestamps).map(|recent| Timestamps {
                offset: self.timestamp_offset,
                recent,
                recent_at: cx.now,
                last_ack_sent: self.irs + 1,
            }),
        }
    }

    /// The block of the connection that is established now.
    pub(super) fn establish(&self, cx: &Cx<'_>) -> Tcb {
        let negotiated = self.negotiated(cx);
        let timestamps = if negotiated.timestamps.is_some() { TIMESTAMPS_LEN } else { 0 };
        let mut snd = Send::new(self.iss, u32::from(negotiated.mss) - timestamps);
        let peer_window = self.peer.map_or(0, |(_, wnd)| wnd);
        snd.set_window(self.irs, self.iss, u32::from(peer_window));
        let capacity = Range::recv(cx.config, cx.options).initial;
        let rcv = Recv::new(self.irs, u32::from(self.window), negotiated.rcv_shift, capacity, cx.now);
        let rtt = (!self.repeated).then(|| cx.now.since(self.sent));
        Tcb::new(snd, rcv, negotiated, rtt, self.retries > 0, cx)
    }

    /// The SYN, SYN,ACK or challenge ACK that is owed.
    pub(super) fn next_segment(&mut self, state: State, cx: &mut Cx<'_>) -> Option<SegmentOut> {
        if core::mem::take(&mut self.send_syn) {
            if self.retries > 0 {
                cx.stats.retransmits += 1;
                cx.note(What::Retransmit);
            }
            self.sent = cx.now;
            return Some(self.syn(state, cx));
        }
        core::mem::take(&mut self.send_ack).then(|| {
            let mut ack = SegmentOut::bare(self.iss + 1, self.irs + 1, Flags::ACK);
            ack.wnd = self.window >> self.negotiated(cx).rcv_shift;
            ack.options.timestamps = self.negotiated(cx).timestamps.map(|ts| ts.option(cx.now));
            ack
        })
    }

    fn syn(&self, state: State, cx: &Cx<'_>) -> SegmentOut {
        let clock = Timestamps { offset: self.timestamp_offset, ..Timestamps::default() }.value(cx.now);
        let config = cx.config;
        let (flags, ack, options) = match self.peer {
            Some((peer, _)) if state == State::SynReceived => {
                // Only what the peer offered (RFC 7323 2.2, 3.2; RFC 2018 2).
                let options = WireOptions {
                    mss: Some(cx.link_mss),
                    window_scale: peer.window_scale.filter(|_| config.window_scaling).map(|_| self.shift),
                    sack_permitted: peer.sack && config.sack,
                    timestamps: peer.timestamp.filter(|_| config.timestamps).map(|recent| (clock, recent)),
                    ..WireOptions::default()
                };
                let ecn = if self.ecn { Flags::ECE } else { Flags::NONE };
                (Flags::SYN | Flags::ACK | ecn, self.irs + 1, options)
            }
            _ => {
                let options = WireOptions {
                    mss: Some(cx.link_mss),
                    window_scale: config.window_scaling.then_some(self.shift),
                    sack_permitted: config.sack,
                    timestamps: config.timestamps.then_some((clock, 0)),
                    ..WireOptions::default()
                };
                let asks = config.ecn == Ecn::Request && !self.repeated;
                let ecn = if asks { Flags::ECE | Flags::CWR } else { Flags::NONE };
                (Flags::SYN | ecn, Seq(0), options)
            }
        };
        SegmentOut { wnd: self.window, options, ..SegmentOut::bare(self.iss, ack, flags) }
    }

    /// The RST that ends it.
    pub(super) fn reset(&self) -> SegmentOut {
        SegmentOut::bare(self.iss + 1, self.irs + 1, Flags::RST | Flags::ACK)
    }

    fn interval(&self, config: &TcpConfig) -> Duration {
        config
            .initial_rto
            .saturating_mul(1u32.checked_shl(self.retries.min(31)).unwrap_or(u32::MAX))
            .min(config.max_rto)
    }

    /// When to send again, or to give up.
    pub(super) fn deadline(&self, config: &TcpConfig, options: &TcpOptions) -> Instant {
        let again = self.sent + self.interval(config);
        options.user_timeout.map_or(again, |limit| again.min(self.opened + limit))
    }

    /// RFC 9293 3.8.3: the SYN has its R2, too (MUST-22, MUST-23).
    pub(super) fn on_deadline(&mut self, cx: &mut Cx<'_>) -> Option<CloseReason> {
        if self.deadline(cx.config, cx.options) > cx.now {
            return None;
        }
        let configured = if self.passive { cx.config.synack_retries } else { cx.config.syn_retries };
        let limit = cx.options.syn_retries.map_or(configured, u32::from);
        let out_of_time = cx.options.user_timeout.is_some_and(|limit| cx.now.since(self.opened) >= limit);
        if self.retries >= limit || out_of_time {
            let state = if self.peer.is_some() { State::SynReceived } else { State::SynSent };
            cx.transition(state, Event::Abort);
            return Some(CloseReason::TimedOut);
        }
        self.retries += 1;
        self.sent = cx.now;
        self.repeat_syn();
        cx.stats.rto += 1;
        cx.note(What::Rto { count: self.retries, rto: self.interval(cx.config) });
        None
    }
}
