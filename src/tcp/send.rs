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
}

impl Send {
    /// The side's state when our SYN `iss` has been acknowledged.
    pub fn new(iss: Seq, mss: u32) -> Self {
        let first = iss + 1;
        Send {
            iss,
            una: first,
            nxt: first,
            wnd: 0,
            max_wnd: 0,
            wl1: Seq(0),
            wl2: Seq(0),
            up: None,
            mss,
            buffer: SendBuffer::new(first),
            fin: false,
        }
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
    /// it was taken.
    pub fn update_window(&mut self, seq: Seq, ack: Seq, wnd: u32) -> bool {
        let newer = self.wl1.before(seq) || (self.wl1 == seq && self.wl2.at_or_before(ack));
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
