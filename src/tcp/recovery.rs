//! Loss recovery: where it stands, what is to be sent again, and how much is in the network.
//!
//! SND.NXT is never set back. What was sent stands on the [scoreboard](super::scoreboard), and what of it is believed lost
//! is sent again from its front, before anything new; [`pipe`](Recovery::pipe) is what is still in the network, and output
//! fills it up to the window. Who finds losses: with SACK, RACK ([`rack`](super::rack)) or, for comparison, RFC 6675's
//! IsLost ([`sack`](super::sack)); without, duplicate ACKs as in NewReno (RFC 5681 3.2, 6582), with Limited Transmit
//! (RFC 3042). RFC 5681's inflation of the window by duplicate ACKs is the same thing seen from the other side: here a
//! duplicate ACK takes one segment out of the pipe.

use super::frto::Frto;
use super::prr::Prr;
use super::rack::{Path, Rack};
use super::sample::SentState;
use super::scoreboard::{Board, Verdict, most_records};
use super::seq::{Seq, SeqRange};
use super::tlp::Probe;
use super::undo::Undo;
use crate::time::Instant;

/// RFC 5681 3.2: duplicate ACKs before the first missing segment counts as lost.
const DUP_ACK_THRESHOLD: u32 = 3;
/// RFC 3042 2: new segments that duplicate ACKs may send before that.
const LIMITED_TRANSMIT: u32 = 2;

/// Where recovery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is believed lost.
    Open,
    /// After a loss was found, until all that was sent then is acknowledged.
    FastRecovery,
    /// After a time-out, until all that was sent then is acknowledged.
    Loss,
}

/// What a duplicate ACK leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Nothing more than a thinner pipe.
    Noted,
    /// Fast recovery begins.
    FastRetransmit {
        /// Bytes in flight, without what Limited Transmit has added (RFC 5681 3.2, step 2).
        flight: u32,
    },
}

/// What a new ACK leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAdvance {
    /// No recovery was going on, or it goes on after a time-out: the window may grow.
    Normal,
    /// Fast recovery goes on; without SACK, this is a partial ACK: the next segment is missing too.
    Partial,
    /// The end of fast recovery.
    Recovered,
    /// The end of the recovery from a time-out, or of one that began without congestion.
    Resumed,
}

/// What only a connection has on which something was lost or came out of order.
#[derive(Debug, Default)]
pub(super) struct Repair {
    pub(super) rack: Rack,
    /// The tail loss probe in flight.
    pub(super) probe: Option<Probe>,
    /// Whether nothing has measured the path since the last probe: until then there is no other (RFC 8985 7.3).
    pub(super) unmeasured: bool,
    pub(super) frto: Frto,
    /// The recovery at hand, or the last one, as long as it may turn out to have been for nothing.
    pub(super) undo: Option<Undo>,
    /// Whether it was a time-out that began the last one.
    pub(super) by_timeout: bool,
    /// When fast recovery last lowered the window.
    pub(super) reduced_at: Instant,
    /// The end of what was sent again, as far ahead as any.
    resent_to: Option<Seq>,
    /// SND.NXT at the end of the last recovery: once more is acknowledged, nobody will say that it was for nothing.
    undo_until: Option<Seq>,
    /// How fast recovery sends, and what it allows in the network now.
    prr: Option<(Prr, u32)>,
}

impl Repair {
    fn is_quiet(&self) -> bool {
        self.probe.is_none()
            && !self.unmeasured
            && self.undo.is_none()
            && self.rack.due().is_none()
            && self.resent_to.is_none()
    }
}

/// The state of loss recovery.
#[derive(Debug)]
pub struct Recovery {
    phase: Phase,
    /// Whether the recovery at hand began by the loss of a probe, which was no congestion.
    innocent: bool,
    /// Whether a partial ACK has already restarted the timer in this recovery (RFC 6582 3.2, "impatient").
    timer_restarted: bool,
    /// Whether the next segment that is lost goes out whatever the window: the one that begins a recovery.
    must_send: bool,
    dup_acks: u32,
    /// SND.NXT at the first duplicate ACK in a row, before Limited Transmit.
    undisturbed: Seq,
    /// RFC 6582's `recover`, RFC 6675's and 5682's RecoveryPoint: SND.NXT when the last recovery began.
    recover: Seq,
    pub(super) board: Board,
    pub(super) repair: Option<Box<Repair>>,
}

impl Recovery {
    /// The state at the connection's start.
    pub fn new(iss: Seq) -> Self {
        Recovery {
            phase: Phase::Open,
            innocent: false,
            timer_restarted: false,
            must_send: false,
            dup_acks: 0,
            undisturbed: iss,
            recover: iss,
            board: Board::default(),
            repair: None,
        }
    }

    /// Where recovery stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// SND.NXT when the last recovery began.
    pub fn recover(&self) -> Seq {
        self.recover
    }

    /// What is to be sent again next. F-RTO sends new data before that.
    pub fn to_resend(&self) -> Option<SeqRange> {
        if self.sends_new_data() { None } else { self.board.first_lost() }
    }

    fn sends_new_data(&self) -> bool {
        self.repair.as_ref().is_some_and(|repair| repair.frto.sends_new_data())
    }

    /// F-RTO wants to see what new data brings, but none has left: the window, or Nagle's algorithm, held it back. Gives
    /// F-RTO up then (RFC 5682 2.1, step 2b), for else nothing at all would be sent until the timer runs out again.
    pub(super) fn gives_frto_up(&mut self, nxt: Seq) -> bool {
        let starved = self.sends_new_data() && nxt == self.recover && self.board.lost() > 0;
        if let Some(repair) = self.repair.as_mut().filter(|_| starved) {
            repair.frto = Frto::Off;
        }
        starved
    }

    /// Whether something is to be sent again before anything new.
    pub fn has_lost(&self) -> bool {
        self.board.lost() > 0 && !self.sends_new_data()
    }

    /// Whether what is lost goes out whatever the window: the segment that begins a recovery.
    pub fn must_send(&self) -> bool {
        self.must_send
    }

    /// Bytes believed to be in the network, where a full segment brings in `segment` bytes.
    pub fn pipe(&self, una: Seq, nxt: Seq, segment: u32) -> u32 {
        let left = match self.phase {
            Phase::Open => self.dup_acks.min(LIMITED_TRANSMIT),
            Phase::FastRecovery => self.dup_acks,
            Phase::Loss => 0,
        };
        let out = self.board.lost() + self.board.sacked();
        nxt.since(una).saturating_sub(out).saturating_sub(left.saturating_mul(segment))
    }

    /// Whether something that was sent again is still to be acknowledged.
    pub fn is_mending(&self) -> bool {
        self.repair.as_ref().is_some_and(|repair| repair.resent_to.is_some())
    }

    /// What may be in the network, where congestion control says `cwnd`.
    pub fn window(&self, cwnd: u32) -> u32 {
        let prr = self.repair.as_ref().and_then(|repair| repair.prr);
        prr.map_or(cwnd, |(_, window)| window)
    }

    /// Whether nothing is missing, as far as is known.
    pub fn is_settled(&self) -> bool {
        self.phase == Phase::Open && self.dup_acks == 0 && self.board.lost() == 0 && self.board.sacked() == 0
    }

    /// Whether header prediction may take an ACK: nothing is missing, and no news of an earlier loss is waited for.
    pub fn is_quiet(&self) -> bool {
        self.is_settled() && self.repair.as_ref().is_none_or(|repair| repair.is_quiet())
    }

    /// Whether duplicate ACKs of the segment `seq` would begin a recovery: not at the end of the last one (RFC 6582 3.2).
    pub fn notices_loss_of(&self, seq: Seq) -> bool {
        seq.after(self.recover)
    }

    /// What a connection has on which something was lost.
    pub(super) fn repair(&mut self) -> &mut Repair {
        self.repair.get_or_insert_default()
    }

    /// `numbers` went out, in segments of `mss` bytes, while `nxt` was SND.NXT and what was not acknowledged pinned `text`
    /// bytes.
    pub fn on_sent(&mut self, numbers: SeqRange, nxt: Seq, mss: u32, at: Instant, state: SentState, text: usize) {
        if numbers.start == nxt {
            self.board.on_sent(numbers, mss, at, state, most_records(text));
        } else {
            self.must_send = false;
            self.board.on_resent(numbers, mss, at, state);
            let repair = self.repair();
            repair.resent_to = Some(repair.resent_to.map_or(numbers.end, |end| end.max(numbers.end)));
            if let Some(undo) = &mut repair.undo {
                undo.on_resent(numbers, at);
            }
        }
        if let Some((prr, _)) = self.repair.as_mut().and_then(|repair| repair.prr.as_mut()) {
            prr.on_sent(numbers.len());
        }
    }

    /// A duplicate ACK of `una` (RFC 5681 2's definition) while `una..nxt` is outstanding, without SACK.
    pub fn on_duplicate(&mut self, una: Seq, nxt: Seq, mss: u32) -> OnDuplicate {
        if self.dup_acks == 0 {
            self.undisturbed = nxt;
        }
        // One duplicate for each segment in flight is all that a receiver can cause; more are forged. What recovery itself
        // sends does not count, or duplicates would pay for more data, and that for more duplicates (RFC 5681 6).
        let sent = if self.phase == Phase::FastRecovery { self.recover } else { nxt };
        self.dup_acks = (self.dup_acks + 1).min(sent.since(una).div_ceil(mss.max(1)));
        // RFC 6582 3.2 step 1: not again for a window that was just repaired.
        if self.phase == Phase::Open && self.dup_acks == DUP_ACK_THRESHOLD && self.notices_loss_of(una) {
            self.begin(una, nxt);
            self.board.mark_front_lost(mss);
            return OnDuplicate::FastRetransmit { flight: self.undisturbed.since(una) };
        }
        OnDuplicate::Noted
    }

    /// Fast recovery begins while `una..nxt` is outstanding.
    pub fn begin(&mut self, una: Seq, nxt: Seq) {
        self.phase = Phase::FastRecovery;
        self.recover = nxt;
        self.timer_restarted = false;
        self.innocent = false;
        self.must_send = true;
        let repair = self.repair();
        (repair.undo, repair.undo_until) = (Some(Undo::new(SeqRange { start: una, end: nxt })), None);
        (repair.probe, repair.prr, repair.by_timeout) = (None, None, false);
    }

    /// Fast recovery sends by proportional rate reduction, from a flight of `flight` bytes.
    pub fn begin_prr(&mut self, flight: u32) {
        self.repair().prr = Some((Prr::new(flight), 0));
    }

    /// An ACK delivered `delivered` bytes in fast recovery and left `pipe` in the network; it is `safe` if it moved SND.UNA
    /// and showed no loss.
    pub fn on_delivered(&mut self, delivered: u32, safe: bool, pipe: u32, ssthresh: u32, mss: u32) {
        if let Some((prr, window)) = self.repair.as_mut().and_then(|repair| repair.prr.as_mut()) {
            *window = pipe.saturating_add(prr.on_ack(delivered, safe, pipe, ssthresh, mss));
        }
    }

    /// `acked` bytes up to `una` are newly acknowledged; `nxt` is SND.NXT.
    pub fn on_advance(&mut self, acked: u32, una: Seq, nxt: Seq, mss: u32, sack: bool) -> OnAdvance {
        if let Some(repair) = &mut self.repair {
            repair.resent_to = repair.resent_to.filter(|end| end.after(una));
            if repair.undo_until.is_some_and(|until| una.after(until)) {
                (repair.undo, repair.undo_until) = (None, None);
            }
        }
        match self.phase {
            Phase::Open => {
                self.dup_acks = 0;
                OnAdvance::Normal
            }
            was if una.at_or_after(self.recover) => {
                self.end(nxt);
                if was == Phase::FastRecovery && !self.innocent { OnAdvance::Recovered } else { OnAdvance::Resumed }
            }
            Phase::FastRecovery => {
                if !sack {
                    // RFC 6582 3.2 step 5: deflate by what was acknowledged, add back one segment, send the next hole.
                    self.dup_acks = self.dup_acks.saturating_sub((acked / mss.max(1)).saturating_sub(1));
                    self.board.mark_front_lost(mss);
                }
                OnAdvance::Partial
            }
            Phase::Loss => OnAdvance::Normal,
        }
    }

    fn end(&mut self, nxt: Seq) {
        self.phase = Phase::Open;
        self.dup_acks = 0;
        self.must_send = false;
        if let Some(repair) = &mut self.repair {
            repair.undo_until = Some(nxt);
            repair.prr = None;
            repair.frto = Frto::Off;
            repair.rack.on_recovered();
        }
    }

    /// The recovery at hand, or the last one, was for nothing: what was taken for lost is in the network.
    pub fn on_spurious(&mut self, una: Seq) {
        self.phase = Phase::Open;
        self.dup_acks = 0;
        self.must_send = false;
        // RFC 5682 3.1, step 3: what is outstanding may be found lost.
        self.recover = una - 1;
        self.board.unmark_lost();
        if let Some(repair) = &mut self.repair {
            (repair.undo, repair.undo_until, repair.prr, repair.resent_to) = (None, None, None, None);
            repair.frto = Frto::Off;
            repair.rack.on_undone();
        }
    }

    /// Whether this partial ACK restarts the retransmission timer: only the first does.
    pub fn restarts_timer(&mut self) -> bool {
        !core::mem::replace(&mut self.timer_restarted, true)
    }

    /// The retransmission timer ran out, while `una..nxt` is outstanding. By RACK, where `rack` is given, what was sent just
    /// now is spared (RFC 8985 6.3); else all is lost. Where `frto`, new data will show whether it is true. Gives the bytes
    /// found lost.
    pub fn on_rto(&mut self, una: Seq, nxt: Seq, rack: Option<&Path>, frto: bool) -> u32 {
        // RFC 5682 3.1, step 1: not within another recovery, but again for the same segment.
        let again = |repair: &Repair| {
            repair.frto == Frto::Retransmitted && repair.undo.as_ref().is_some_and(|undo| undo.numbers.start == una)
        };
        let restarted = self.phase == Phase::Loss && self.repair.as_deref().is_some_and(again);
        let may_show = frto && (self.phase == Phase::Open || restarted);
        (self.phase, self.dup_acks, self.recover, self.must_send) = (Phase::Loss, 0, nxt, true);
        let (repair, board) = (self.repair.get_or_insert_default(), &mut self.board);
        repair.frto = if may_show { Frto::Retransmitted } else { Frto::Off };
        (repair.probe, repair.prr, repair.undo_until, repair.by_timeout) = (None, None, None, true);
        if !restarted {
            repair.undo = Some(Undo::new(SeqRange { start: una, end: nxt }));
        }
        match rack {
            Some(path) => repair.rack.on_rto(board, una, path),
            None => board.mark_lost(|_| Verdict::Lost),
        }
    }

    /// A link on the way could not carry what is outstanding: all of `una..nxt` is to be sent again, in segments that fit.
    /// As after a time-out, duplicate ACKs of that window mean nothing any more; but nothing says that it was congestion.
    pub fn on_too_big(&mut self, una: Seq, nxt: Seq) {
        self.on_rto(una, nxt, None, false);
        self.repair().undo = None;
    }

    /// The segment at SND.UNA, whose loss has just been found, was a probe up to `end`: all of it is to be sent again, and
    /// its loss says nothing of congestion (RFC 4821 7.6.2).
    pub fn on_probe_lost(&mut self, end: Seq) {
        self.board.mark_lost(|sent| if sent.numbers.start.before(end) { Verdict::Lost } else { Verdict::Stop });
        self.innocent = true;
    }

    /// The peer's window opened again: whatever was sent past it was dropped, so all of it goes out again, without
    /// this being a sign of congestion.
    pub fn on_window_opened(&mut self) {
        self.board.mark_lost(|_| Verdict::Lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 100;

    fn range(start: u32, end: u32) -> SeqRange {
        SeqRange { start: Seq(start), end: Seq(end) }
    }

    /// Numbers 1 up to 1001 are in flight, in ten segments.
    fn flying() -> Recovery {
        let mut r = Recovery::new(Seq(0));
        r.on_sent(range(1, 1001), Seq(1), MSS, Instant::ZERO, SentState::default(), 0);
        r
    }

    fn resend(r: &mut Recovery, start: u32, end: u32) {
        r.on_sent(range(start, end), Seq(1001), MSS, Instant::from_millis(1), SentState::default(), 0);
    }

    fn advance(r: &mut Recovery, acked: u32, una: u32) -> OnAdvance {
        r.board.acknowledge(Seq(una), &mut Default::default());
        r.on_advance(acked, Seq(una), Seq(1001), MSS, false)
    }

    #[test]
    fn three_duplicates_then_partial_then_full() {
        let mut r = flying();
        let (una, nxt) = (Seq(1), Seq(1001));
        assert_eq!(r.on_duplicate(una, nxt, MSS), OnDuplicate::Noted);
        assert_eq!(r.pipe(una, nxt, MSS), 900, "Limited Transmit: one segment has left");
        assert_eq!(r.on_duplicate(una, nxt, MSS), OnDuplicate::Noted);
        assert_eq!(r.on_duplicate(una, nxt, MSS), OnDuplicate::FastRetransmit { flight: nxt.since(una) });
        assert_eq!(r.to_resend(), Some(range(1, 101)));
        assert_eq!(r.pipe(una, nxt, MSS), 600);
        resend(&mut r, 1, 101);
        assert_eq!(r.to_resend(), None);
        assert_eq!(advance(&mut r, 300, 301), OnAdvance::Partial);
        assert_eq!(r.to_resend(), Some(range(301, 401)));
        assert!(r.restarts_timer() && !r.restarts_timer());
        assert_eq!(advance(&mut r, 700, 1001), OnAdvance::Recovered);
        assert_eq!((r.phase(), r.pipe(Seq(1001), Seq(1001), MSS)), (Phase::Open, 0));
        // RFC 6582: no second fast retransmit for the window that was just repaired.
        for _ in 0..5 {
            assert_eq!(r.on_duplicate(Seq(1001), Seq(2001), MSS), OnDuplicate::Noted);
        }
    }

    #[test]
    fn after_a_time_out_everything_goes_again_and_duplicates_start_nothing() {
        let mut r = flying();
        assert_eq!(r.on_rto(Seq(1), Seq(1001), None, false), 1000);
        assert_eq!((r.to_resend(), r.pipe(Seq(1), Seq(1001), MSS)), (Some(range(1, 1001)), 0));
        assert!(r.must_send());
        resend(&mut r, 1, 101);
        assert_eq!((r.pipe(Seq(1), Seq(1001), MSS), r.must_send()), (100, false));
        for _ in 0..4 {
            assert_eq!(r.on_duplicate(Seq(1), Seq(1001), MSS), OnDuplicate::Noted);
        }
        assert_eq!(advance(&mut r, 500, 501), OnAdvance::Normal);
        assert_eq!(r.to_resend(), Some(range(501, 1001)));
        assert_eq!(advance(&mut r, 500, 1001), OnAdvance::Resumed);
        assert_eq!(r.phase(), Phase::Open);
    }

    #[test]
    fn forged_duplicates_empty_the_pipe_only_once() {
        let mut r = flying();
        for _ in 0..100_000 {
            r.on_duplicate(Seq(1), Seq(1001), MSS);
        }
        assert_eq!(r.pipe(Seq(1), Seq(1001), MSS), 0);
        for _ in 0..100_000 {
            r.on_duplicate(Seq(1), Seq(2001), MSS);
        }
        assert_eq!(r.pipe(Seq(1), Seq(2001), MSS), 900, "what is sent now counts in full; the first segment is lost");
    }

    #[test]
    fn a_recovery_for_nothing_leaves_nothing_behind() {
        let mut r = flying();
        r.on_rto(Seq(1), Seq(1001), None, true);
        resend(&mut r, 1, 101);
        r.on_spurious(Seq(1));
        assert_eq!((r.phase(), r.to_resend(), r.pipe(Seq(1), Seq(1001), MSS)), (Phase::Open, None, 1000));
        assert!(r.is_quiet() && r.notices_loss_of(Seq(1)));
    }

    /// 5682-1: F-RTO does not begin within another recovery, but again when the timer runs out for the same segment.
    #[test]
    fn when_frto_begins() {
        let mut r = flying();
        r.on_rto(Seq(1), Seq(1001), None, true);
        assert_eq!(r.repair().frto, Frto::Retransmitted);
        r.on_rto(Seq(1), Seq(1001), None, true);
        assert_eq!(r.repair().frto, Frto::Retransmitted);
        advance(&mut r, 100, 101);
        r.on_rto(Seq(101), Seq(1001), None, true);
        assert_eq!(r.repair().frto, Frto::Off);
        let mut r = flying();
        r.begin(Seq(1), Seq(1001));
        r.on_rto(Seq(1), Seq(1001), None, true);
        assert_eq!(r.repair().frto, Frto::Off);
    }
}
