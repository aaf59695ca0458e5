//! What was lost: duplicate ACKs, fast retransmit and fast recovery (RFC 5681 3.2, RFC 6582), Limited Transmit
//! (RFC 3042), and what to send again after a time-out.
//!
//! SND.NXT is never set back. What is believed lost is a range, [`lost`](Recovery::lost), that output sends again from
//! its front; [`pipe`](Recovery::pipe) estimates what is still in the network, and output fills it up to the congestion
//! window. RFC 5681's inflation of the window by duplicate ACKs is the same thing seen from the other side: here a
//! duplicate ACK takes one segment out of the pipe.

use super::seq::{Seq, SeqRange};

/// RFC 5681 3.2: duplicate ACKs before the first missing segment counts as lost.
const DUP_ACK_THRESHOLD: u32 = 3;
/// RFC 3042 2: new segments that duplicate ACKs may send before that.
const LIMITED_TRANSMIT: u32 = 2;

/// Where recovery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing is believed lost.
    Open,
    /// After three duplicate ACKs, until all that was sent then is acknowledged.
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
    /// A partial ACK in fast recovery: the next segment is missing too.
    Partial,
    /// The end of fast recovery.
    Recovered,
}

/// The state of loss recovery.
#[derive(Clone, Debug)]
pub struct Recovery {
    phase: Phase,
    dup_acks: u32,
    /// SND.NXT at the first duplicate ACK in a row, before Limited Transmit.
    undisturbed: Seq,
    /// RFC 6582's `recover`: SND.NXT when the last recovery began.
    recover: Seq,
    lost: SeqRange,
    /// Whether the recovery at hand began by the loss of a probe, which was no congestion.
    innocent: bool,
    /// Whether a partial ACK has already restarted the timer in this recovery (RFC 6582 3.2, "impatient").
    timer_restarted: bool,
}

impl Recovery {
    /// The state at the connection's start.
    pub fn new(iss: Seq) -> Self {
        Recovery {
            phase: Phase::Open,
            dup_acks: 0,
            undisturbed: iss,
            recover: iss,
            lost: SeqRange::default(),
            innocent: false,
            timer_restarted: false,
        }
    }

    /// Where recovery stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What is to be sent again.
    pub fn lost(&self) -> SeqRange {
        self.lost
    }

    /// Bytes believed to be in the network, where a full segment brings in `segment` bytes.
    pub fn pipe(&self, una: Seq, nxt: Seq, segment: u32) -> u32 {
        let left = match self.phase {
            Phase::Open => self.dup_acks.min(LIMITED_TRANSMIT),
            Phase::FastRecovery => self.dup_acks,
            Phase::Loss => 0,
        };
        nxt.since(una).saturating_sub(self.lost.len()).saturating_sub(left.saturating_mul(segment))
    }

    /// Whether header prediction may take an ACK.
    pub fn is_quiet(&self) -> bool {
        self.phase == Phase::Open && self.dup_acks == 0 && self.lost.is_empty()
    }

    /// Whether duplicate ACKs of the segment `seq` would begin a recovery: not at the end of the last one (RFC 6582 3.2).
    pub fn notices_loss_of(&self, seq: Seq) -> bool {
        seq.after(self.recover)
    }

    /// A duplicate ACK of `una` (RFC 5681 2's definition) while `una..nxt` is outstanding.
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
            self.phase = Phase::FastRecovery;
            self.recover = nxt;
            self.timer_restarted = false;
            self.innocent = false;
            self.lost = SeqRange { start: una, end: (una + mss).min(nxt) };
            return OnDuplicate::FastRetransmit { flight: self.undisturbed.since(una) };
        }
        OnDuplicate::Noted
    }

    /// `acked` bytes up to `una` are newly acknowledged; `nxt` is SND.NXT.
    pub fn on_advance(&mut self, acked: u32, una: Seq, nxt: Seq, mss: u32) -> OnAdvance {
        self.lost.start = self.lost.start.max(una).min(self.lost.end.max(una));
        self.lost.end = self.lost.end.max(una);
        match self.phase {
            Phase::Open => {
                self.dup_acks = 0;
                OnAdvance::Normal
            }
            _ if una.at_or_after(self.recover) => {
                let was = core::mem::replace(&mut self.phase, Phase::Open);
                self.dup_acks = 0;
                self.lost = SeqRange { start: una, end: una };
                if was == Phase::FastRecovery && !self.innocent { OnAdvance::Recovered } else { OnAdvance::Normal }
            }
            Phase::FastRecovery => {
                // RFC 6582 3.2 step 5: deflate by what was acknowledged, add back one segment, send the next hole.
                self.dup_acks = self.dup_acks.saturating_sub((acked / mss.max(1)).saturating_sub(1));
                self.lost = SeqRange { start: una, end: (una + mss).min(nxt) };
                OnAdvance::Partial
            }
            Phase::Loss => OnAdvance::Normal,
        }
    }

    /// Whether this partial ACK restarts the retransmission timer: only the first does.
    pub fn restarts_timer(&mut self) -> bool {
        !core::mem::replace(&mut self.timer_restarted, true)
    }

    /// The retransmission timer ran out: all of `una..nxt` is to be sent again, slowly.
    pub fn on_rto(&mut self, una: Seq, nxt: Seq) {
        self.phase = Phase::Loss;
        self.dup_acks = 0;
        self.recover = nxt;
        self.lost = SeqRange { start: una, end: nxt };
    }

    /// A link on the way could not carry what is outstanding: all of `una..nxt` is to be sent again, in segments that fit.
    /// As after a time-out, duplicate ACKs of that window mean nothing any more; but nothing says that it was congestion.
    pub fn on_too_big(&mut self, una: Seq, nxt: Seq) {
        self.on_rto(una, nxt);
    }

    /// The segment at SND.UNA, whose loss has just been found, was a probe up to `end`: all of it is to be sent again, and
    /// its loss says nothing of congestion (RFC 4821 7.6.2).
    pub fn on_probe_lost(&mut self, end: Seq) {
        self.lost.end = self.lost.end.max(end);
        self.innocent = true;
    }

    /// The peer's window opened again: whatever was sent past it was dropped, so all of it goes out again, without
    /// this being a sign of congestion.
    pub fn on_window_opened(&mut self, una: Seq, nxt: Seq) {
        self.lost = SeqRange { start: una, end: nxt };
    }

    /// The lost range was sent again up to `end`.
    pub fn on_resent(&mut self, end: Seq) {
        self.lost.start = end.min(self.lost.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 100;

    #[test]
    fn three_duplicates_then_partial_then_full() {
        let mut r = Recovery::new(Seq(0));
        let (una, nxt) = (Seq(1), Seq(1001));
        assert_eq!(r.on_duplicate(una, nxt, MSS), OnDuplicate::Noted);
        assert_eq!(r.pipe(una, nxt, MSS), 900, "Limited Transmit: one segment has left");
        assert_eq!(r.on_duplicate(una, nxt, MSS), OnDuplicate::Noted);
        assert_eq!(r.on_duplicate(una, nxt, MSS), OnDuplicate::FastRetransmit { flight: nxt.since(una) });
        assert_eq!(r.lost(), SeqRange { start: Seq(1), end: Seq(101) });
        assert_eq!(r.pipe(una, nxt, MSS), 600);
        r.on_resent(Seq(101));
        assert!(r.lost().is_empty());
        assert_eq!(r.on_advance(300, Seq(301), nxt, MSS), OnAdvance::Partial);
        assert_eq!(r.lost(), SeqRange { start: Seq(301), end: Seq(401) });
        assert!(r.restarts_timer() && !r.restarts_timer());
        assert_eq!(r.on_advance(700, Seq(1001), nxt, MSS), OnAdvance::Recovered);
        assert!(r.is_quiet());
        // RFC 6582: no second fast retransmit for the window that was just repaired.
        for _ in 0..5 {
            assert_eq!(r.on_duplicate(Seq(1001), Seq(2001), MSS), OnDuplicate::Noted);
        }
    }

    #[test]
    fn after_a_time_out_everything_goes_again_and_duplicates_start_nothing() {
        let mut r = Recovery::new(Seq(0));
        r.on_rto(Seq(1), Seq(1001));
        assert_eq!((r.lost().len(), r.pipe(Seq(1), Seq(1001), MSS)), (1000, 0));
        r.on_resent(Seq(101));
        assert_eq!(r.pipe(Seq(1), Seq(1001), MSS), 100);
        for _ in 0..4 {
            assert_eq!(r.on_duplicate(Seq(1), Seq(1001), MSS), OnDuplicate::Noted);
        }
        assert_eq!(r.on_advance(500, Seq(501), Seq(1001), MSS), OnAdvance::Normal);
        assert_eq!(r.lost(), SeqRange { start: Seq(501), end: Seq(1001) });
        assert_eq!(r.on_advance(500, Seq(1001), Seq(1001), MSS), OnAdvance::Normal);
        assert!(r.is_quiet());
    }

    #[test]
    fn forged_duplicates_empty_the_pipe_only_once() {
        let mut r = Recovery::new(Seq(0));
        for _ in 0..100_000 {
            r.on_duplicate(Seq(1), Seq(1001), MSS);
        }
        assert_eq!(r.pipe(Seq(1), Seq(1001), MSS), 0);
        for _ in 0..100_000 {
            r.on_duplicate(Seq(1), Seq(2001), MSS);
        }
        assert_eq!(r.pipe(Seq(1), Seq(2001), MSS), 900, "what is sent now counts in full; the first segment is lost");
    }
}
