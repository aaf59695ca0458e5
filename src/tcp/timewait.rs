//! TIME-WAIT (RFC 9293 3.6.1), as a record of about a hundred bytes: no buffer, no control block.
//!
//! RST is ignored (RFC 1337): an old duplicate must not end the wait. A valid new SYN ends it (MAY-2), as RFC 6191 says.

use super::connection::{Cx, Reaction, Tcb};
use super::options::{Negotiated, Timestamps};
use super::segment::{Segment, SegmentOut};
use super::seq::Seq;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// What is remembered of a connection in TIME-WAIT.
#[derive(Clone, Debug)]
pub struct TimeWait {
    snd_nxt: Seq,
    rcv_nxt: Seq,
    /// Our last window field, as the last ACK said it.
    wnd: u16,
    timestamps: Option<Timestamps>,
    deadline: Instant,
    send_ack: bool,
    last_answer: Option<Instant>,
}

impl TimeWait {
    /// The record of `tcb`, which has just entered the state. If an ACK is owed, the record sends it.
    pub(super) fn new(tcb: &Tcb, cx: &Cx<'_>) -> Self {
        let Negotiated { timestamps, rcv_shift, .. } = tcb.negotiated;
        TimeWait {
            snd_nxt: tcb.snd.nxt,
            rcv_nxt: tcb.rcv.nxt,
            wnd: u16::try_from(tcb.rcv.wnd() >> rcv_shift).unwrap_or(u16::MAX),
            timestamps,
            deadline: cx.now + cx.config.msl.saturating_mul(2),
            send_ack: tcb.rcv.ack != super::recv::AckDue::No,
            last_answer: None,
        }
    }

    /// When the wait is over (MUST-13: 2 MSL).
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// SND.NXT: a new connection of the same name starts beyond it.
    pub fn snd_nxt(&self) -> Seq {
        self.snd_nxt
    }

    /// A segment arrives; `None` if it opens a new connection.
    pub(super) fn on_segment(&mut self, segment: &Segment, cx: &mut Cx<'_>) -> Option<Reaction> {
        let flags = segment.flags;
        if flags.rst() {
            return Some(Reaction::dropped(DropReason::TcpTimeWait));
        }
        if flags.syn() && !flags.ack() && self.is_new(segment, cx) {
            return None;
        }
        if flags.fin() && segment.end() == self.rcv_nxt {
            // The peer did not hear our last ACK: it needs it again, and the wait starts anew.
            self.deadline = cx.now + cx.config.msl.saturating_mul(2);
            self.send_ack = true;
            return Some(Reaction::dropped(DropReason::TcpDuplicate));
        }
        let nothing_new = segment.is_empty() && segment.seq == self.rcv_nxt;
        if !nothing_new && self.may_answer(cx) {
            self.send_ack = true;
        }
        Some(Reaction::dropped(DropReason::TcpTimeWait))
    }

    /// Whether a SYN is of a later connection (RFC 6191 2; RFC 1122 4.2.2.13): by its time stamp where both connections
    /// have them; else by its number, beyond that of the old one's FIN; and where only the new one has time stamps it is,
    /// for what is left of the old one has none and will be dropped.
    fn is_new(&self, segment: &Segment, cx: &Cx<'_>) -> bool {
        let beyond = segment.seq.at_or_after(self.rcv_nxt);
        let offered = segment.options.timestamps.filter(|_| cx.config.timestamps);
        match (&self.timestamps, offered) {
            (Some(ours), Some((value, _))) if value != ours.recent => !ours.is_old(cx.now, value),
            (None, Some(_)) => true,
            _ => beyond,
        }
    }

    fn may_answer(&mut self, cx: &mut Cx<'_>) -> bool {
        let due = self.last_answer.is_none_or(|last| cx.now.since(last) >= cx.config.challenge_interval);
        if due {
            self.last_answer = Some(cx.now);
        } else {
            cx.stats.challenge_acks_limited += 1;
        }
        due
    }

    /// The ACK that is owed.
    pub(super) fn next_segment(&mut self, cx: &Cx<'_>) -> Option<SegmentOut> {
        core::mem::take(&mut self.send_ack).then(|| {
            let mut ack = SegmentOut::bare(self.snd_nxt, self.rcv_nxt, Flags::ACK);
            ack.wnd = self.wnd;
            ack.options.timestamps = self.timestamps.map(|ts| ts.option(cx.now));
            ack
        })
    }
}
