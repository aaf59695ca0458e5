//! SEGMENT ARRIVES in a synchronized state: the steps of RFC 9293 3.10.7.4, one function each, in its order.

use super::config::{Memory, SHARE_UNDER_PRESSURE};
use super::connection::{CloseReason, Cx, Reaction, Tcb};
use super::recovery::Phase;
use super::recv::{AckDue, Taken};
use super::repair::Heard;
use super::sample::AckSample;
use super::scoreboard::News;
use super::segment::Segment;
use super::seq::Seq;
use super::state::{Event, State};
use crate::buf::Slice;
use crate::stats::DropReason;
use crate::trace::What;
use crate::wire::tcp::Flags;
use core::ops::ControlFlow;
use core::time::Duration;

/// A step either lets the next one look at the segment or ends the walk.
type Step = ControlFlow<Reaction>;

impl Tcb {
    /// A segment arrives.
    pub(super) fn on_segment(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Reaction {
        if self.predicted(segment, cx) {
            cx.stats.predicted += 1;
            return Reaction::delivered();
        }
        match self.steps(segment, cx) {
            ControlFlow::Continue(()) => Reaction::delivered(),
            ControlFlow::Break(reaction) => reaction,
        }
    }

    /// The order of the checks. (The security and compartment check of RFC 9293 has no use here.)
    fn steps(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Step {
        self.check_timestamps(segment, cx)?;
        self.check_sequence(segment, cx)?;
        self.check_rst(segment, cx)?;
        self.check_syn(segment, cx)?;
        self.check_ack(segment, cx)?;
        self.check_ecn(segment, cx);
        self.check_urg(segment);
        self.process_text(segment, cx)?;
        self.check_fin(segment, cx);
        ControlFlow::Continue(())
    }

    /// RFC 7323 5.3, R1: PAWS, before the acceptability test and never for RST (5.2). A SYN without a time stamp is of a
    /// host that was restarted, and gets its challenge (RFC 5961 4.2).
    fn check_timestamps(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Step {
        let Some(timestamps) = &self.negotiated.timestamps else { return ControlFlow::Continue(()) };
        if segment.flags.rst() {
            return ControlFlow::Continue(());
        }
        match segment.options.timestamps {
            None if segment.flags.syn() => ControlFlow::Continue(()),
            None => discard(DropReason::TcpNoTimestamp),
            Some((value, _)) if timestamps.is_old(cx.now, value) => {
                self.answer_invalid(cx);
                discard(DropReason::TcpPaws)
            }
            Some(_) => ControlFlow::Continue(()),
        }
    }

    /// First, check sequence number: the four cases of the acceptability test.
    ///
    /// A segment at RCV.NXT passes even when the window is zero, so that its ACK, RST and URG count (MUST-66); its text
    /// is cut off later. One without text may stand right at the window's edge: that is where a peer is that has filled it.
    fn check_sequence(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Step {
        let (nxt, edge) = (self.rcv.nxt, self.rcv.edge);
        let acceptable = segment.seq == nxt
            || if segment.is_empty() {
                segment.seq.after(nxt) && segment.seq.at_or_before(edge)
            } else {
                segment.seq.before(edge) && segment.end().after(nxt)
            };
        if acceptable {
            return ControlFlow::Continue(());
        }
        if segment.flags.rst() {
            return discard(DropReason::TcpBadReset);
        }
        if self.is_news_of_prober(segment) {
            self.rcv.ack = AckDue::Now;
            return ControlFlow::Continue(());
        }
        if !segment.is_empty() && segment.end().at_or_before(nxt) {
            // The peer did not hear our ACK, so this one is not throttled. It lives, though (MUST-26).
            self.keepalive.on_heard(cx.now);
            self.rcv.ack = AckDue::Now;
            self.rcv.assembler.note_duplicate(segment.seq, segment.seq + segment.text.len() as u32);
            return discard(DropReason::TcpDuplicate);
        }
        self.answer_invalid(cx);
        discard(DropReason::TcpOutOfWindow)
    }

    /// Whether the peer acknowledges something new, and does not know yet that the octet with which it probed our window has
    /// been taken: that does not count in its numbers. RFC 9293 3.10.7.4 makes allowance for such ACKs at a shut window. Two
    /// ends that have both taken a probe would else drop each other's ACKs for ever.
    fn is_news_of_prober(&self, segment: &Segment) -> bool {
        segment.seq == self.rcv.nxt - 1
            && segment.end().at_or_before(self.rcv.nxt)
            && !segment.flags.syn()
            && segment.flags.ack()
            && segment.ack.after(self.snd.una)
            && segment.ack.at_or_before(self.snd.max)
    }

    /// Second, check the RST bit (RFC 5961 3.2): only the exact number resets.
    fn check_rst(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Step {
        if !segment.flags.rst() {
            return ControlFlow::Continue(());
        }
        if segment.seq == self.rcv.nxt {
            cx.stats.established_resets += 1;
            self.state = cx.transition(self.state, Event::RcvRst);
            return ControlFlow::Break(Reaction::closed(CloseReason::Reset));
        }
        if segment.seq.before(self.rcv.edge) {
            self.challenge(cx);
            return discard(DropReason::TcpResetChallenged);
        }
        discard(DropReason::TcpBadReset)
    }

    /// Fourth, check the SYN bit (RFC 5961 4.2): a challenge ACK, whatever its number.
    fn check_syn(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Step {
        if !segment.flags.syn() {
            return ControlFlow::Continue(());
        }
        self.challenge(cx);
        discard(DropReason::TcpSynChallenged)
    }

    /// Fifth, check the ACK field.
    fn check_ack(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Step {
        if !segment.flags.ack() {
            return discard(DropReason::TcpNoAck);
        }
        // RFC 5961 5.2 (MAY-12): SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT, or the octet of a probe behind that.
        let oldest = self.snd.una - self.snd.max_wnd;
        if segment.ack.after(self.snd.max) || segment.ack.before(oldest) {
            self.challenge(cx);
            return discard(DropReason::TcpBadAck);
        }
        // The segment is valid from here on.
        if let (Some(timestamps), Some((value, _))) = (&mut self.negotiated.timestamps, segment.options.timestamps) {
            timestamps.update(cx.now, segment.seq, value);
        }
        self.keepalive.on_heard(cx.now);
        if segment.ack.at_or_after(self.snd.una) {
            let duplicate = self.is_duplicate_ack(segment);
            self.on_ack(segment, duplicate, cx);
        }
        self.take_window(segment, cx);
        self.check_ack_of_fin(cx)
    }

    /// SND.UNA <= SEG.ACK <= SND.MAX.
    pub(super) fn on_ack(&mut self, segment: &Segment, duplicate: bool, cx: &mut Cx<'_>) {
        let prior_in_flight = self.in_flight();
        // RFC 3168 6.1.2: what tells of congestion grows no window.
        let marked = segment.flags.contains(Flags::ECE) && self.negotiated.ecn;
        let limited = self.cc.was_limited(self.snd.una, self.snd.nxt) && !marked;
        let echo = match (&self.negotiated.timestamps, segment.options.timestamps) {
            (Some(ours), Some((_, echo))) => ours.elapsed(cx.now, echo),
            _ => None,
        };
        let (was_quiet, was) = (self.recovery.is_quiet(), self.recovery.phase());
        let mut news = News::default();
        let mut heard = Heard { acked: segment.ack.since(self.snd.una), clear: false, duplicate, echo };
        if heard.acked > 0 {
            heard.clear = self.advance(segment.ack, echo, &mut news, cx);
        }
        // Where SACK is in use, a duplicate without a block says nothing.
        let told = !segment.options.sack.is_empty() || (duplicate && !self.negotiated.sack);
        if was_quiet && !told {
            if heard.acked > 0 {
                self.rto.on_progress(cx.now, heard.clear);
            }
        } else {
            self.on_ack_in_trouble(segment, heard, &mut news, cx);
        }
        if news.delivered + news.lost > 0 && !self.cc.is_fresh() {
            let phase = self.recovery.phase();
            // The ACK that ends fast recovery has set the window. Most of what it acknowledges was SACKed long ago, and only
            // what it delivers counts; without SACK nobody knows what that is, and it does no more (RFC 6582 6).
            let ends = was == Phase::FastRecovery && phase == Phase::Open;
            let acked = if ends { news.delivered } else { heard.acked };
            self.cc.on_ack(&AckSample {
                now: cx.now,
                acked,
                delivered: news.delivered,
                sacked: news.sacked,
                lost: news.lost,
                rtt: if news.resent { None } else { news.newest.map(|(newest, _)| cx.now.since(newest.sent_at)) },
                prior_in_flight,
                in_flight: self.in_flight(),
                limited: limited && (!ends || self.negotiated.sack),
                phase,
                mending: self.recovery.is_mending(),
                newest: news.newest.map(|(newest, _)| newest),
            });
        }
    }

    /// SND.UNA moves to `una`. Says whether the ACK has measured the path.
    fn advance(&mut self, una: Seq, echo: Option<Duration>, news: &mut News, cx: &mut Cx<'_>) -> bool {
        self.snd.nxt = self.snd.nxt.max(una);
        let (acked, flight) = (una.since(self.snd.una), self.snd.flight());
        self.recovery.board.acknowledge(una, news);
        let timed = news.earliest.filter(|_| !news.resent).map(|at| cx.now.since(at));
        let clear = self.rtt.on_ack((una, acked), (self.snd.nxt, flight), cx.now, timed, echo);
        self.snd.una = una;
        self.snd.buffer.release(una);
        self.snd.up = self.snd.up.filter(|up| up.after(una));
        self.totals.bytes_acked += u64::from(acked);
        if self.path.is_some() {
            self.on_ack_of_probe(cx);
        }
        clear
    }

    /// RFC 5681 2's definition. (Where SACK is in use, what counts is the blocks, so that a forged ACK counts for nothing.)
    /// While the window is zero, ACKs answer our probes.
    fn is_duplicate_ack(&self, segment: &Segment) -> bool {
        segment.ack == self.snd.una
            && segment.is_empty()
            && self.snd.flight() > 0
            && self.snd.wnd > 0
            && (self.negotiated.sack || self.scaled_window(segment) == self.snd.wnd)
    }

    /// SEG.WND as bytes.
    pub(super) fn scaled_window(&self, segment: &Segment) -> u32 {
        u32::from(segment.wnd) << self.negotiated.snd_shift
    }

    /// Takes the window, and notices when it opens after having been shut (RFC 9293 3.8.6.1).
    fn take_window(&mut self, segment: &Segment, cx: &Cx<'_>) {
        let was = self.snd.wnd;
        let taken = self.snd.update_window(segment.seq, segment.ack, self.scaled_window(segment));
        if was > 0 {
            return;
        }
        // Whatever it says, the peer lives: zero-window probing goes on for as long as it answers (MUST-37).
        self.rto.on_answer(cx.now);
        if taken && self.snd.wnd > 0 {
            self.owed.window_probe = false;
            self.rto.on_progress(cx.now, true);
            if self.snd.flight() > 0 && self.recovery.board.lost() == 0 {
                self.recovery.on_window_opened();
            }
        }
    }

    /// What the ACK of our FIN leads to.
    fn check_ack_of_fin(&mut self, cx: &mut Cx<'_>) -> Step {
        if !self.snd.fin_acked() || !matches!(self.state, State::FinWait1 | State::Closing | State::LastAck) {
            return ControlFlow::Continue(());
        }
        self.state = cx.transition(self.state, Event::RcvAckOfFin);
        match self.state {
            State::FinWait2 => self.fin_wait2_since = Some(cx.now),
            State::Closed => return ControlFlow::Break(Reaction::closed(CloseReason::Normal)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// Sixth, check the URG bit: the pointer is the octet after the urgent data (MUST-62).
    fn check_urg(&mut self, segment: &Segment) {
        if !segment.flags.urg() || !self.state.may_receive() {
            return;
        }
        let up = segment.seq + u32::from(segment.up);
        if up.after(self.rcv.read_point()) && self.rcv.up.is_none_or(|known| up.after(known)) {
            self.rcv.up = Some(up);
            self.rcv.urgent_taken = false;
            self.rcv.urgent_news = true;
        }
    }

    /// Seventh, process the segment text.
    fn process_text(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Step {
        if segment.text.is_empty() || !self.state.may_receive() {
            return ControlFlow::Continue(());
        }
        let end = segment.seq + segment.text.len() as u32;
        if cx.orphan && end.after(self.rcv.nxt) {
            // SHLD-3: nobody will ever read it, and the peer should know.
            self.state = cx.transition(self.state, Event::Abort);
            let reaction = Reaction::dropped(DropReason::TcpDataAfterClose).reply(self.reset(cx));
            return ControlFlow::Break(Reaction { closed: Some(CloseReason::Aborted), ..reaction });
        }
        if self.is_full(cx) {
            // What is not taken is answered, or the peer would take us for dead (MUST-37).
            self.rcv.ack = AckDue::Now;
            return discard(DropReason::TcpReassemblyFull);
        }
        self.note_echo(segment, cx.now);
        let before = self.rcv.nxt;
        // What is behind the share will be sent again.
        let share = (cx.memory >= Memory::Full && segment.text.len() > SHARE_UNDER_PRESSURE).then(|| {
            let text = Slice::copy_of(&segment.text[..SHARE_UNDER_PRESSURE]);
            Segment { text, ..segment.clone() }
        });
        let segment = share.as_ref().unwrap_or(segment);
        let taken = self.rcv.insert(segment, cx.config, cx.now, !cx.is_short_of_memory());
        self.totals.bytes_received += u64::from(self.rcv.nxt.since(before));
        match taken {
            Taken::InOrder => {}
            Taken::OutOfOrder => cx.stats.out_of_order += 1,
            Taken::Nothing => self.rcv.ack = AckDue::Now,
            Taken::Refused => return discard(DropReason::TcpReassemblyFull),
        }
        ControlFlow::Continue(())
    }

    /// Whether text is to be dropped as if it had been lost: the stack's memory is used up, and the user has something
    /// to read, or there is not even a share left for those who have not.
    fn is_full(&self, cx: &Cx<'_>) -> bool {
        match cx.memory {
            Memory::Ample | Memory::Short => false,
            Memory::Full | Memory::Scant => !self.rcv.buffer.is_empty(),
            Memory::Exhausted => true,
        }
    }

    /// Eighth, check the FIN bit. A FIN that came before its time is remembered and taken when the text before it is
    /// complete.
    fn check_fin(&mut self, segment: &Segment, cx: &mut Cx<'_>) {
        if segment.flags.fin() && self.rcv.fin.is_none() {
            let fin = segment.seq + segment.text.len() as u32;
            let contradicted = self.rcv.assembler.ranges().any(|held| held.end.after(fin));
            if fin.at_or_after(self.rcv.nxt) && fin.at_or_before(self.rcv.edge) && !contradicted {
                self.rcv.fin = Some(fin);
                self.rcv.ack = AckDue::Now;
            }
        }
        if self.rcv.fin == Some(self.rcv.nxt) {
            self.rcv.nxt += 1;
            self.rcv.edge = self.rcv.edge.max(self.rcv.nxt);
            self.rcv.ack = AckDue::Now;
            self.state = cx.transition(self.state, Event::RcvFin);
        }
    }

    /// An ACK for a segment that is discarded as invalid, throttled (RFC 5961 7).
    fn answer_invalid(&mut self, cx: &mut Cx<'_>) {
        if self.may_challenge(cx) {
            self.rcv.ack = AckDue::Now;
        }
    }

    /// A challenge ACK (RFC 5961), throttled.
    fn challenge(&mut self, cx: &mut Cx<'_>) {
        if self.may_challenge(cx) {
            self.rcv.ack = AckDue::Now;
            cx.stats.challenge_acks += 1;
            cx.note(What::ChallengeAck);
        }
    }
}

fn discard(reason: DropReason) -> Step {
    ControlFlow::Break(Reaction::dropped(reason))
}
