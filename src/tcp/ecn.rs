//! Explicit congestion notification (RFC 3168): a router that would drop a packet marks it instead; the receiver echoes
//! the mark until the sender says that it has heard, and the sender sends less, as if the packet had been lost.

use super::connection::{Cx, Tcb};
use super::recovery::Phase;
use super::recv::AckDue;
use super::segment::{Segment, SegmentOut};
use crate::wire::tcp::Flags;

/// What a host does about ECN (Linux's `tcp_ecn`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Nothing.
    Off,
    /// It does as peers wish who ask for it.
    #[default]
    Accept,
    /// It asks for it, too.
    Request,
}

impl Tcb {
    /// A valid segment has come: what it says of marks, on either way.
    pub(super) fn check_ecn(&mut self, segment: &Segment, cx: &mut Cx<'_>) {
        if !self.negotiated.ecn {
            return;
        }
        // RFC 3168 6.1.3: CWR ends the echo, and the mark of a packet begins it, be it the same one. Only packets with text
        // carry marks that count.
        if segment.flags.contains(Flags::CWR) {
            self.owed.echo = false;
        }
        if segment.ce && !segment.text.is_empty() {
            self.owed.echo = true;
            self.rcv.ack = AckDue::Now;
        }
        if segment.flags.contains(Flags::ECE) && segment.ack == self.snd.una {
            self.on_echo(cx);
        }
    }

    /// The peer says that a packet of ours was marked. It says so with every segment until it hears CWR.
    fn on_echo(&mut self, cx: &mut Cx<'_>) {
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        let in_recovery = self.recovery.phase() != Phase::Open;
        let rto = self.rto.interval(&self.rtt, cx.config);
        if self.govern(cx).on_ecn(cx.now, una, nxt, in_recovery, rto) {
            self.owed.cwr = true;
            cx.stats.ecn_reductions += 1;
            self.note_congestion(cx);
        }
    }

    /// New data may be marked; what is sent again, probes and bare ACKs may not (RFC 3168 6.1.4 to 6.1.6). The first that
    /// is sent after a reduction says so.
    pub(super) fn mark_capable(&mut self, segment: &mut SegmentOut) {
        if segment.text.is_empty() {
            return;
        }
        segment.ect = true;
        if core::mem::take(&mut self.owed.cwr) {
            segment.flags |= Flags::CWR;
        }
    }
}
