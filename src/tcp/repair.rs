//! What an ACK means for loss recovery while something is lost, SACKed or being waited for, and what its timers lead to.
//! Without any of that, ACKs never get here.

use super::connection::{Cx, Tcb};
use super::frto;
use super::options::LossDetection;
use super::rack::Path;
use super::recovery::{OnAdvance, OnDuplicate, Phase};
use super::sack::{Blocks, detect_rfc6675};
use super::scoreboard::News;
use super::segment::Segment;
use super::seq::SeqRange;
use super::tlp::Outcome;
use crate::trace::What;
use core::time::Duration;

/// What is known of an ACK that moved SND.UNA or not, before loss recovery looks at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// Bytes that it moved SND.UNA by.
    pub(super) acked: u32,
    /// Whether it measured the path.
    pub(super) clear: bool,
    /// Whether it is a duplicate (RFC 5681 2), with or without SACK.
    pub(super) duplicate: bool,
    /// How long ago the time stamp that it echoes was sent.
    pub(super) echo: Option<Duration>,
}

impl Tcb {
    /// Bytes in the network.
    pub(super) fn in_flight(&self) -> u32 {
        self.recovery.pipe(self.snd.una, self.snd.nxt, self.snd.mss)
    }

    fn path_now(&self, cx: &Cx<'_>) -> Path {
        Path {
            now: cx.now,
            srtt: self.rtt.srtt().unwrap_or(cx.config.initial_rto),
            min_rtt: self.rtt.min(),
            recovering: self.recovery.phase() != Phase::Open,
        }
    }

    /// An ACK arrives that something may follow from. SND.UNA has been moved, and `news` has what that says.
    pub(super) fn on_ack_in_trouble(&mut self, segment: &Segment, mut heard: Heard, news: &mut News, cx: &mut Cx<'_>) {
        let (una, nxt, mss, sack) = (self.snd.una, self.snd.nxt, self.snd.mss, self.negotiated.sack);
        let mut blocks = Blocks::default();
        if sack {
            blocks = Blocks::read(&segment.options.sack, segment.ack, una, nxt, self.snd.max_wnd);
            blocks.held.iter().for_each(|&block| self.recovery.board.sack(block, news));
            if self.recovery.board.reneged() {
                self.recovery.board.forget_sacks();
            }
        }
        if !heard.clear
            && !news.resent
            && news.sacked > 0
            && let Some((newest, _)) = news.newest
        {
            self.rtt.on_sack(cx.now.since(newest.sent_at), news.sacked, cx.now);
            self.rto.on_measured();
            heard.clear = true;
        }
        if self.turns_out_spurious(segment, &blocks, heard, news, cx) {
            self.undo(cx);
        }
        let before = self.recovery.phase();
        if heard.acked > 0 {
            self.on_advance(heard, cx);
        }
        if sack {
            news.lost += self.detect_losses(cx);
            // What a recovery that is over has left to another.
            let left = before != Phase::Open && self.recovery.board.lost() > 0;
            if (news.lost > 0 || left) && self.recovery.phase() == Phase::Open {
                self.begin_recovery(nxt.since(una) + heard.acked, news.delivered, cx);
            } else if news.lost > 0 && !cx.options.loss_recovery.prr {
                self.reduce_again(nxt.since(una), cx);
            }
        } else if heard.duplicate
            && let OnDuplicate::FastRetransmit { flight } = self.recovery.on_duplicate(una, nxt, mss)
        {
            news.lost += mss;
            self.begin_recovery(flight, 0, cx);
        }
        self.reduce(news, heard.acked > 0);
    }

    /// Whether the ACK says that the recovery at hand, or the last one, was for nothing; it also says what it does of a
    /// probe.
    fn turns_out_spurious(
        &mut self,
        segment: &Segment,
        blocks: &Blocks,
        heard: Heard,
        news: &News,
        cx: &mut Cx<'_>,
    ) -> bool {
        let (una, nxt, phase, now) = (self.snd.una, self.snd.nxt, self.recovery.phase(), cx.now);
        let path = self.path_now(cx);
        let recover = self.recovery.recover();
        let fack = if nxt == una { una } else { self.recovery.board.fack() };
        let settings = cx.options.loss_recovery;
        let can_send_new = self.snd.has_unsent() && self.snd.right_edge().after(nxt);
        let sack = self.negotiated.sack;
        if !sack && self.recovery.repair.is_none() {
            return false;
        }
        let repair = self.recovery.repair();
        repair.unmeasured &= !heard.clear;
        let echo = heard.echo.map(|ago| now.as_millis().saturating_sub(ago.as_millis() as u64));
        // What is echoed is of what came in order (RFC 7323 4.3): it says nothing of what a SACK block tells.
        let in_order = news.newest.is_some_and(|(_, end)| end.at_or_before(una));
        repair.rack.update(news, &path, echo.filter(|_| in_order));
        let mut outcome = Outcome::Pending;
        if let Some(probe) = repair.probe {
            let plain = heard.duplicate && segment.options.sack.is_empty();
            outcome = probe.on_ack(segment.ack, blocks.duplicate, plain);
            repair.probe = repair.probe.filter(|_| outcome == Outcome::Pending);
        }
        let mut spurious = false;
        let (mut measured, mut late) = (None, false);
        if let Some(block) = blocks.duplicate
            && outcome != Outcome::Over
        {
            // What a time-out sent again for nothing says that the round trip is longer, not that anything was overtaken.
            if !repair.by_timeout {
                repair.rack.on_dsack(una, nxt);
            }
            if let Some(undo) = &mut repair.undo {
                measured = undo.rtt_by_dsack(block, now);
                spurious |= undo.on_dsack(block);
            }
        }
        if let Some(undo) = &mut repair.undo
            && heard.acked > 0
            && undo.on_advance(una, echo)
        {
            spurious = true;
            // An answer to the retransmission brings a DSACK, if the peer sends them.
            late = sack && blocks.duplicate.is_none();
        }
        spurious &= settings.undo;
        if phase == Phase::Loss {
            let original = news.original.is_some_and(|end| end.at_or_before(recover)) && (sack || !news.resent);
            let verdict = repair.frto.on_ack(&frto::Ack {
                ack: una,
                advances: heard.acked > 0,
                duplicate: heard.duplicate,
                fack,
                original,
                recover,
                sack,
                can_send_new,
            });
            if verdict == frto::Verdict::Spurious {
                spurious = true;
                measured = measured.or(news.earliest.map(|at| now.since(at)));
            }
        }
        if (measured.is_some() || late) && phase != Phase::FastRecovery {
            // No doubling stays of a time-out that was for nothing (RFC 4015 3.2).
            self.rto.on_measured();
            // What is late has taken longer than the time-out. How much longer, nobody knows: all ACKs of what arrived may
            // have been lost while the link was down, and that was no round trip.
            let rtt = measured.unwrap_or_else(|| self.rto.interval(&self.rtt, cx.config));
            self.rtt.on_late(rtt);
        }
        if outcome == Outcome::Repaired && phase == Phase::Open {
            // RFC 8985 7.4.2: as if by fast recovery.
            self.govern(cx).on_congestion(nxt.since(una));
            self.cc.on_recovered(nxt.since(una));
            self.note_congestion(cx);
        }
        spurious
    }

    /// What a recovery did for nothing is undone (RFC 4015).
    fn undo(&mut self, cx: &mut Cx<'_>) {
        self.recovery.on_spurious(self.snd.una);
        self.cc.on_spurious();
        cx.stats.undone += 1;
        cx.note(What::Undone);
        self.note_congestion(cx);
    }

    /// SND.UNA has moved.
    fn on_advance(&mut self, heard: Heard, cx: &mut Cx<'_>) {
        let (una, nxt, mss, sack) = (self.snd.una, self.snd.nxt, self.snd.mss, self.negotiated.sack);
        match self.recovery.on_advance(heard.acked, una, nxt, mss, sack) {
            OnAdvance::Partial if !sack && !self.recovery.restarts_timer() => self.rto.on_answer(cx.now),
            OnAdvance::Normal | OnAdvance::Partial | OnAdvance::Resumed => self.rto.on_progress(cx.now, heard.clear),
            OnAdvance::Recovered => {
                self.cc.on_recovered(self.in_flight());
                self.rto.on_progress(cx.now, heard.clear);
                self.note_congestion(cx);
            }
        }
    }

    /// Looks for what is lost, by the rules that the connection has; gives the bytes.
    fn detect_losses(&mut self, cx: &Cx<'_>) -> u32 {
        let path = self.path_now(cx);
        match cx.options.loss_recovery.detection {
            LossDetection::Rack => {
                let (repair, board) = (self.recovery.repair.get_or_insert_default(), &mut self.recovery.board);
                repair.rack.detect(board, &path)
            }
            LossDetection::Rfc6675 => detect_rfc6675(&mut self.recovery.board, self.snd.mss),
        }
    }

    /// Fast recovery begins, after `flight` bytes were in flight, by an ACK that delivered `delivered`.
    fn begin_recovery(&mut self, flight: u32, delivered: u32, cx: &mut Cx<'_>) {
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        if self.recovery.phase() == Phase::Open {
            self.recovery.begin(una, nxt);
        }
        let first = self.recovery.board.first_lost().is_some_and(|lost| lost.start == una);
        match if first { self.on_loss_of_probe(cx) } else { None } {
            Some(end) => self.recovery.on_probe_lost(end),
            None => {
                self.govern(cx).on_congestion(flight);
                if self.negotiated.sack && cx.options.loss_recovery.prr && self.cc.uses_prr() {
                    // What was SACKed before is not delivered in this recovery (RFC 9937's RecoverFS).
                    self.recovery.begin_prr(nxt.since(una).saturating_sub(self.recovery.board.sacked()) + delivered);
                }
            }
        }
        self.recovery.repair().reduced_at = cx.now;
        self.rto.restart(cx.now);
        cx.stats.fast_retransmits += 1;
        cx.note(What::FastRetransmit);
        self.note_congestion(cx);
    }

    /// What was sent again in fast recovery was lost too: that is congestion again (RFC 5681 4.3). (Proportional rate
    /// reduction answers to it by what it sends, RFC 8985 9.3.)
    fn reduce_again(&mut self, flight: u32, cx: &mut Cx<'_>) {
        let (now, phase, repair) = (cx.now, self.recovery.phase(), self.recovery.repair());
        if phase == Phase::FastRecovery && repair.rack.lost_again(repair.reduced_at) {
            repair.reduced_at = now;
            self.govern(cx).on_congestion(flight);
            self.note_congestion(cx);
        }
    }

    /// Proportional rate reduction: what fast recovery may have in the network after this ACK, which `advances` SND.UNA or
    /// does not.
    fn reduce(&mut self, news: &News, advances: bool) {
        if self.recovery.phase() == Phase::FastRecovery && news.delivered + news.lost > 0 {
            let (pipe, ssthresh, mss) = (self.in_flight(), self.cc.ssthresh(), self.snd.mss);
            self.recovery.on_delivered(news.delivered, advances && news.lost == 0, pipe, ssthresh, mss);
        }
    }

    /// The reordering window of something in flight is over (RFC 8985 6.2, step 5).
    pub(super) fn on_reordering_timeout(&mut self, cx: &mut Cx<'_>) {
        let news = News { lost: self.detect_losses(cx), ..News::default() };
        if news.lost > 0 {
            self.cc.on_lost(news.lost);
            if self.recovery.phase() == Phase::Open {
                self.begin_recovery(self.snd.flight(), 0, cx);
                self.reduce(&news, false);
            }
        }
    }

    /// The retransmission timer ran out, and something is outstanding (RFC 6298 5.4 to 5.6).
    pub(super) fn on_loss_timeout(&mut self, first: bool, cx: &mut Cx<'_>) {
        self.rtt.on_retransmit(cx.now);
        self.look_for_black_hole(cx);
        let flight = self.snd.flight();
        let by_rack = self.negotiated.sack && cx.options.loss_recovery.detection == LossDetection::Rack;
        let path = self.path_now(cx);
        let frto = cx.options.loss_recovery.frto;
        let lost = self.recovery.on_rto(self.snd.una, self.snd.nxt, by_rack.then_some(&path), frto);
        self.cc.on_lost(lost);
        let in_flight = self.in_flight();
        self.govern(cx).on_rto(flight, in_flight, first);
        cx.stats.rto += 1;
        cx.note(What::Rto { count: self.rto.tries(), rto: self.rto.interval(&self.rtt, cx.config) });
        self.note_congestion(cx);
    }

    /// What a tail loss probe consists of (RFC 8985 7.3): new data, or the last segment again.
    pub(super) fn probe_numbers(&self) -> Option<SeqRange> {
        let edge = self.snd.right_edge().min(self.snd.end());
        if edge.after(self.snd.nxt) {
            return Some(SeqRange { start: self.snd.nxt, end: edge });
        }
        self.recovery.board.tail()
    }
}
