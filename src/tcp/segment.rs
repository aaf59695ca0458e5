//! What a segment is to the state machine: the header's fields under the RFC's names, and the text.

use super::seq::Seq;
use crate::buf::{Slice, Slices};
use crate::wire::tcp::{Flags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;

/// A received segment (SEG.SEQ, SEG.ACK, SEG.LEN, SEG.WND, SEG.UP).
#[derive(Clone, Debug)]
pub struct Segment {
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK; meaningful only with the ACK flag.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field, not scaled.
    pub wnd: u16,
    /// SEG.UP; meaningful only with the URG flag.
    pub up: u16,
    /// The options.
    pub options: TcpOptions,
    /// The segment's text.
    pub text: Slice,
    /// Bytes of text of each segment that this one was joined of, but for the last, if a device has joined several.
    pub joined: Option<u16>,
    /// Whether a router has marked its packet: Congestion Experienced (RFC 3168).
    pub ce: bool,
}

impl Segment {
    /// A segment from a parsed header and its text, not joined.
    pub fn new(header: &TcpHeader, text: Slice) -> Self {
        Segment {
            seq: Seq(header.seq),
            ack: Seq(header.ack),
            flags: header.flags,
            wnd: header.wnd,
            up: header.up,
            options: header.options,
            text,
            joined: None,
            ce: false,
        }
    }

    /// Bytes of text of the largest segment that the peer sent to make this one.
    pub fn segment_size(&self) -> u32 {
        let len = self.text.len() as u32;
        self.joined.map_or(len, |size| len.min(size.into()))
    }

    /// SEG.LEN: the text, counting SYN and FIN as one each (RFC 9293 3.4).
    pub fn len(&self) -> u32 {
        self.text.len() as u32 + u32::from(self.flags.syn()) + u32::from(self.flags.fin())
    }

    /// Whether the segment occupies no sequence space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first sequence number after the segment.
    pub fn end(&self) -> Seq {
        self.seq + self.len()
    }
}

/// A segment to be sent. Ports and addresses are added by the stack.
#[derive(Clone, Debug)]
pub struct SegmentOut {
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK; sent only with the ACK flag.
    pub ack: Seq,
    /// The control bits.
    pub flags: Flags,
    /// The window field as it goes into the header, scaled down already.
    pub wnd: u16,
    /// The urgent pointer.
    pub up: u16,
    /// The options.
    pub options: TcpOptions,
    /// The text.
    pub text: Slices,
    /// If set, the device is to cut the text into segments of so many bytes.
    pub cut: Option<u16>,
    /// Whether its packet may be marked instead of dropped: ECN-Capable Transport (RFC 3168).
    pub ect: bool,
}

impl SegmentOut {
    /// A segment without text.
    pub fn bare(seq: Seq, ack: Seq, flags: Flags) -> Self {
        let (options, text) = (TcpOptions::default(), Slices::new());
        SegmentOut { seq, ack, flags, wnd: 0, up: 0, options, text, cut: None, ect: false }
    }

    /// The RST for a `segment` that belongs to nothing (RFC 9293 3.10.7.1). It returns the segment's time stamp (RFC 7323
    /// 5.2).
    pub fn reset_for(segment: &Segment) -> Self {
        let mut reset = if segment.flags.ack() {
            SegmentOut::bare(segment.ack, Seq(0), Flags::RST)
        } else {
            SegmentOut::bare(Seq(0), segment.end(), Flags::RST | Flags::ACK)
        };
        reset.options.timestamps = segment.options.timestamps.map(|(value, _)| (0, value));
        reset
    }

    /// SEG.LEN: the text, counting SYN and FIN as one each.
    pub fn len(&self) -> u32 {
        self.text.iter().map(|s| s.len() as u32).sum::<u32>()
            + u32::from(self.flags.syn())
            + u32::from(self.flags.fin())
    }

    /// Whether the segment occupies no sequence space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
