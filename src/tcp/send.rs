//! The send side: SND.UNA, SND.NXT, SND.WND and the rest of RFC 9293 3.3.1's send sequence variables.

use super::send_buffer::SendBuffer;
use super::seq::Seq;

/// The send sequence space.
///
/// ```text
///        1          2          3          4
///   ----------|----------|----------|----------
///          SND.UNA    SND.NXT    SND.UNA
///                               +SND.WND
/// ```
#[derive(Debug)]
pub struct Send {
    /// ISS: initial send sequence number.
    pub iss: Seq,
    /// SND.UNA: the oldest unacknowledged number.
    pub una: Seq,
    /// SND.NXT: the next number to be used. It never moves back.
    pub nxt: Seq,
    /// Behind all that ever went out (BSD's SND.MAX): SND.NXT, or one more while the octet there has but probed a shut
    /// window. The peer may have taken it and acknowledge it, but hardly has: it does not count as sent.
    pub max: Seq,
    /// SND.WND: the peer's window in bytes, scaled.
    pub wnd: u32,
    /// The largest window that the peer ever offered.
    pub max_wnd: u32,
    /// SND.WL1: the segment's sequence number at the last window update.
    pub wl1: Seq,
    /// SND.WL2: its acknowledgment number.
    pub wl2: Seq,
    /// SND.UP: behind the last urgent byte, while there is one to be sent or acknowledged.
    pub up: Option<Seq>,
    /// Bytes of text in a full segment: the negotiated MSS less the options that every segment carries.
    pub mss: u32,
    /// The data.
    pub buffer: SendBuffer,
    /// Whether the user has closed: a FIN follows the data.
    pub fin: bool,
    /// Whether the user has said, with what was written last, that more data follows soon (MSG_MORE).
    pub more: bool,
}

impl Send {
    /// The side's state when our SYN `iss` has been acknowledged.
    pub fn new(iss: Seq, mss: u32) -> Self {
        let first = iss + 1;
        Send {
            iss,
            una: first,
            nxt: first,
            max: first,
            wnd: 0,
            max_wnd: 0,
            wl1: Seq(0),
            wl2: Seq(0),
            up: None,
            mss,
            buffer: SendBuffer::new(first),
            fin: false,
            more: false,
        }
    }

    /// Bytes written and never sent.
    pub fn unsent(&self) -> u32 {
        let end = self.buffer.end();
        if end.after(self.nxt) { end.since(self.nxt) } else { 0 }
    }

    /// Sequence numbers sent and not acknowledged, a FIN included.
    pub fn flight(&self) -> u32 {
        self.nxt.since(self.una)
    }

    /// The first number beyond the peer's window.
    pub fn right_edge(&self) -> Seq {
        self.una + self.wnd
    }

    /// The first number behind all that there is to send, the FIN included.
    pub fn end(&self) -> Seq {
        self.buffer.end() + u32::from(self.fin)
    }

    /// Whether there is anything that was never sent.
    pub fn has_unsent(&self) -> bool {
        self.end().after(self.nxt)
    }

    /// Whether our FIN is acknowledged.
    pub fn fin_acked(&self) -> bool {
        self.fin && self.una.after(self.buffer.end())
    }

    /// Takes the window field of a valid segment, unless an older segment brings it (RFC 9293 3.10.7.4). Says whether
    /// it was taken. SND.UNA has been advanced by the segment already.
    ///
    /// A peer's acknowledgments never go back, so the segment with the later one was sent later, whatever its number:
    /// it may be a retransmission. Its window must be taken, because SND.WND counts from SND.UNA, which it moved; and an
    /// older acknowledgment's must not be, though its number is new, because it counts from an older SND.UNA. Both would
    /// put the right edge beyond what the peer offered.
    pub fn update_window(&mut self, seq: Seq, ack: Seq, wnd: u32) -> bool {
        let newer = ack.at_or_after(self.una) && (self.wl2.before(ack) || self.wl1.at_or_before(seq));
        if newer {
            self.set_window(seq, ack, wnd);
        }
        newer
    }

    /// Takes the window field unconditionally, as the handshake does.
    pub fn set_window(&mut self, seq: Seq, ack: Seq, wnd: u32) {
        self.wnd = wnd;
        self.max_wnd = self.max_wnd.max(wnd);
        self.wl1 = seq;
        self.wl2 = ack;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reordered_segments_do_not_move_the_right_edge_beyond_the_offer() {
        let mut snd = Send::new(Seq(0), 1000);
        snd.set_window(Seq(500), Seq(1), 4096);
        // The peer's text came first; then a retransmission of older text, sent later, acknowledges more.
        assert!(snd.update_window(Seq(600), Seq(1), 4096));
        snd.una = Seq(1001);
        assert!(snd.update_window(Seq(500), Seq(1001), 3096));
        assert_eq!(snd.right_edge(), Seq(4097));
        // New text that was sent before that acknowledgment and arrives after it.
        assert!(!snd.update_window(Seq(700), Seq(1), 4096));
        assert_eq!(snd.right_edge(), Seq(4097));
        // The same acknowledgment again: only the later number counts.
        assert!(!snd.update_window(Seq(400), Seq(1001), 9999));
        assert!(snd.update_window(Seq(700), Seq(1001), 5000));
        assert_eq!(snd.right_edge(), Seq(6001));
    }
}
