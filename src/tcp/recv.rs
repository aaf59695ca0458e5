//! The receive side: RCV.NXT, RCV.WND and the rest of RFC 9293 3.3.1's receive sequence variables; reassembly; and when
//! to acknowledge.

use super::assembler::Assembler;
use super::autotune::RecvTuning;
use super::config::{SHARE_UNDER_PRESSURE, TcpConfig};
use super::recv_buffer::RecvBuffer;
use super::segment::Segment;
use super::seq::Seq;
use crate::buf::{Slice, Slices};
use crate::time::Instant;

/// Why and when an ACK goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckDue {
    /// Nothing to acknowledge.
    No,
    /// At this time at the latest (RFC 9293 3.8.6.3).
    At(Instant),
    /// With the next batch of output.
    Now,
}

/// What became of a segment's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There was none, or none that was new.
    Nothing,
    /// It can be read now.
    InOrder,
    /// It waits for what comes before it.
    OutOfOrder,
    /// It was out of order and there was no room for it.
    Refused,
}

/// The last urgent byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrgentByte {
    /// It has not come yet.
    Announced,
    /// It is this one.
    Here(u8),
}

/// The receive sequence space.
///
/// ```text
///        1          2          3
///   ----------|----------|----------
///          RCV.NXT    RCV.NXT
///                    +RCV.WND = the edge
/// ```
#[derive(Debug)]
pub struct Recv {
    /// IRS: initial receive sequence number.
    pub irs: Seq,
    /// RCV.NXT: the next number expected.
    pub nxt: Seq,
    /// The right edge of the window as it was ever offered: RCV.NXT + RCV.WND. It never moves left (SHLD-14).
    pub edge: Seq,
    /// RCV.UP: behind the last urgent byte that the peer announced, until it has been read.
    pub up: Option<Seq>,
    /// Whether the user has taken the last urgent byte by itself, before it was its turn.
    pub urgent_taken: bool,
    /// Whether RCV.UP has moved since the user was last told (MUST-32).
    pub urgent_news: bool,
    /// Text in order.
    pub buffer: RecvBuffer,
    /// What the buffer's size follows from.
    pub tuning: RecvTuning,
    /// Text out of order.
    pub assembler: Assembler,
    /// Where the peer's FIN stands, once seen.
    pub fin: Option<Seq>,
    /// Whether an ACK is due.
    pub ack: AckDue,
    /// Bytes received in order since the last ACK.
    unacked: u32,
    /// The largest window that the peer was offered.
    offered: u32,
    /// Whether the user has read since the last ACK.
    read_since_ack: bool,
    /// Size of the peer's full segments, as seen.
    pub segment_size: u32,
    shift: u8,
    /// ACKs that are not to be held back; [`ALWAYS`] is without end.
    quick: u8,
}

/// The receive buffer has room for so many bytes for each out-of-order range beyond the first 256: what is kept of a range
/// is a sixty-fourth of that.
const BYTES_A_RANGE: usize = 4096;

/// A connection may have so many in any case.
const MIN_RANGES: usize = 256;

/// No ACK is ever held back.
const ALWAYS: u8 = u8::MAX;

impl Recv {
    /// The side's state when, at `now`, the peer's SYN `irs` has been received and a window of `window` bytes offered.
    pub fn new(irs: Seq, window: u32, shift: u8, capacity: usize, now: Instant) -> Self {
        let first = irs + 1;
        Recv {
            irs,
            nxt: first,
            edge: first + window,
            up: None,
            urgent_taken: false,
            urgent_news: false,
            buffer: RecvBuffer::new(capacity),
            tuning: RecvTuning::new(now),
            assembler: Assembler::default(),
            fin: None,
            ack: AckDue::No,
            unacked: 0,
            offered: window,
            read_since_ack: false,
            segment_size: 0,
            shift,
            quick: 0,
        }
    }

    /// RCV.WND: how much the peer may send, as far as it has been told.
    pub fn wnd(&self) -> u32 {
        self.edge.since(self.nxt)
    }

    /// The number of the first byte that the user has not read.
    pub fn read_point(&self) -> Seq {
        let fin = u32::from(self.fin_received());
        self.nxt - fin - self.buffer.len() as u32
    }

    /// Whether the peer's FIN has been received in order.
    pub fn fin_received(&self) -> bool {
        self.fin.is_some_and(|fin| self.nxt.after(fin))
    }

    /// Takes up to `max` bytes for the user; not beyond the urgent mark, if one lies ahead. If the last urgent byte is not
    /// to be in line, the mark is where it was.
    pub fn read(&mut self, max: usize, urgent_inline: bool) -> Slices {
        let (left_out, most) = self.reach(urgent_inline);
        if left_out > 0 {
            self.buffer.pop(left_out);
            self.up = None;
        }
        let slices = self.buffer.pop(max.min(most));
        self.up = self.up.filter(|up| up.at_or_after(self.read_point()));
        self.read_since_ack = true;
        slices
    }

    /// Copies what [`read`](Recv::read) would give into `buf`, and says how many bytes that was.
    pub fn peek(&self, buf: &mut [u8], urgent_inline: bool) -> usize {
        let (left_out, most) = self.reach(urgent_inline);
        let most = buf.len().min(most);
        self.buffer.peek_at(left_out, &mut buf[..most])
    }

    /// How many bytes the next read leaves out, and how many it may then give at most. It ends at the urgent mark; if the
    /// last urgent byte is not to be in line, the one behind the mark begins after that byte, once there is more.
    fn reach(&self, urgent_inline: bool) -> (usize, usize) {
        let Some(up) = self.up else { return (0, usize::MAX) };
        let (at, mark) = (self.read_point(), if urgent_inline { up } else { up - 1 });
        if mark == at && !urgent_inline {
            return if self.buffer.len() > 1 { (1, usize::MAX) } else { (0, 0) };
        }
        (0, if mark.after(at) { mark.since(at) as usize } else { usize::MAX })
    }

    /// Whether the last urgent byte is the next in the stream.
    fn is_before_urgent_byte(&self) -> bool {
        self.up.is_some_and(|up| up == self.read_point() + 1)
    }

    /// The last urgent byte, if it has come and its turn has not: `None` if there is none, or it was taken already.
    pub fn urgent_byte(&self) -> Option<UrgentByte> {
        let up = self.up.filter(|up| up.after(self.read_point()) && !self.urgent_taken)?;
        let before = up.since(self.read_point()) as usize - 1;
        let mut byte = [0];
        let has_come = self.buffer.len() > before && self.buffer.peek_at(before, &mut byte) == 1;
        Some(if has_come { UrgentByte::Here(byte[0]) } else { UrgentByte::Announced })
    }

    /// Whether the user has read all urgent data, or all before the last byte of it if that is not in line, and nothing
    /// behind it.
    pub fn at_mark(&self, urgent_inline: bool) -> bool {
        if urgent_inline { self.up == Some(self.read_point()) } else { self.is_before_urgent_byte() }
    }

    /// Whether urgent data is still to be read (MUST-33).
    pub fn has_urgent_ahead(&self) -> bool {
        self.up.is_some_and(|up| up.after(self.read_point())) && !self.urgent_taken
    }

    /// Bytes that reading would give now, if it may take all: those before the mark, if one lies ahead.
    pub fn readable(&self, urgent_inline: bool) -> usize {
        if urgent_inline || !self.is_before_urgent_byte() {
            self.buffer.len()
        } else {
            self.buffer.len().saturating_sub(1)
        }
    }

    /// How much the buffer may hold now: all that it was given or, where memory is short, a share that keeps the
    /// connection going.
    fn capacity(&self, pressure: bool) -> usize {
        let share = if pressure { SHARE_UNDER_PRESSURE.max(2 << self.shift) } else { usize::MAX };
        self.buffer.capacity().min(share)
    }

    /// How many more bytes the buffer may take.
    fn free(&self, pressure: bool) -> u32 {
        let free = self.capacity(pressure).saturating_sub(self.buffer.len());
        u32::try_from(free).unwrap_or(u32::MAX)
    }

    /// Where the edge would be if it were offered now: all free room, but moved only by a worthwhile step (receiver SWS
    /// avoidance, RFC 9293 3.8.6.2.2; Fr = 1/2).
    fn candidate_edge(&self, mss: u32, pressure: bool) -> Seq {
        let room = self.free(pressure).min(65_535 << self.shift) >> self.shift << self.shift;
        let candidate = self.nxt + room;
        let step = mss.min(self.capacity(pressure) as u32 / 2).max(1);
        if candidate.after(self.edge) && candidate.since(self.edge) >= step { candidate } else { self.edge }
    }

    /// The window field of a segment that goes out now; the edge moves to what it offers.
    pub fn select_window(&mut self, mss: u32, pressure: bool) -> u16 {
        self.edge = self.candidate_edge(mss, pressure);
        self.offered = self.offered.max(self.wnd());
        // Scaling may round the field down, by less than one unit; the edge stays and what was offered is accepted.
        u16::try_from(self.wnd() >> self.shift).unwrap_or(u16::MAX)
    }

    /// Whether the window has opened by enough to tell the peer without being asked: from nothing, or because the user
    /// has read and the peer may soon be held back, with no more than half left of the largest window it was offered.
    pub fn owes_window_update(&self, mss: u32, pressure: bool) -> bool {
        let shut = self.wnd() >> self.shift == 0;
        let held_back = self.read_since_ack && self.wnd() <= self.offered / 2;
        if !shut && !held_back {
            return false;
        }
        let gain = self.candidate_edge(mss, pressure).since(self.edge);
        let worthwhile = gain >= 2 * mss || gain as usize >= self.capacity(pressure) / 2;
        gain > 0 && (shut || worthwhile)
    }

    /// Takes the text of an acceptable segment, cut to the window. `room` says whether out-of-order text may use memory.
    pub fn insert(&mut self, segment: &Segment, config: &TcpConfig, now: Instant, room: bool) -> Taken {
        let end = segment.seq + segment.text.len() as u32;
        if segment.seq.before(self.nxt) {
            self.assembler.note_duplicate(segment.seq, end.min(self.nxt));
        } else if let Some(held) = self.assembler.overlap(segment.seq, end) {
            self.assembler.note_duplicate(held.start, held.end);
        }
        let (seq, text) = self.cut(segment.seq, &segment.text);
        if text.is_empty() {
            return Taken::Nothing;
        }
        if seq.after(self.nxt) {
            // RFC 5681 4.2: out-of-order text is acknowledged at once.
            self.ack = AckDue::Now;
            let most = (self.buffer.capacity() / BYTES_A_RANGE).max(MIN_RANGES).min(config.max_ooo_ranges);
            if room && self.assembler.insert(seq, &text, most) {
                return Taken::OutOfOrder;
            }
            return Taken::Refused;
        }
        self.note_segment(text.len() as u32, segment.segment_size(), config, now);
        if self.assembler.is_empty() {
            self.nxt += text.len() as u32;
            self.buffer.push(text);
        } else {
            // By way of the assembler, so that of two copies of a byte the first one stays.
            self.assembler.insert(self.nxt, &text, usize::MAX);
            let mut ready = self.assembler.take(self.nxt);
            self.nxt += ready.len() as u32;
            for slice in ready.pop(usize::MAX) {
                self.buffer.push(slice);
            }
            self.ack = AckDue::Now;
        }
        Taken::InOrder
    }

    /// The part of a text that is new and inside the window.
    fn cut(&self, seq: Seq, text: &Slice) -> (Seq, Slice) {
        let end = seq + text.len() as u32;
        let limit = self.fin.map_or(self.edge, |fin| self.edge.min(fin));
        let (from, to) = (seq.max(self.nxt), end.min(limit));
        if !from.before(to) {
            return (from, Slice::default());
        }
        (from, text.slice(from.since(seq) as usize..to.since(seq) as usize))
    }

    /// Delayed ACK: at once for every second full segment, else within the configured delay (RFC 9293 SHLD-18, 19).
    fn note_segment(&mut self, len: u32, segment_size: u32, config: &TcpConfig, now: Instant) {
        self.segment_size = self.segment_size.max(segment_size);
        self.unacked += len;
        self.ack = match self.ack {
            _ if self.unacked >= 2 * self.segment_size => AckDue::Now,
            _ if self.quick > 0 => AckDue::Now,
            AckDue::No => AckDue::At(now + config.delayed_ack),
            due => due,
        };
    }

    /// No ACK is held back from now on if `always`; else the next `first` are not, while the peer begins to send.
    pub fn set_quick_acks(&mut self, always: bool, first: u8) {
        if always {
            self.quick = ALWAYS;
        } else if self.quick == ALWAYS || self.unacked == 0 && self.segment_size == 0 {
            self.quick = first.min(ALWAYS - 1);
        }
    }

    /// Our own data answers the peer's: its ACKs ride on that, and need not be quick any more.
    pub fn on_data_sent(&mut self) {
        if self.quick != ALWAYS {
            self.quick = 0;
        }
    }

    /// An ACK has gone out.
    pub fn on_ack_sent(&mut self) {
        if self.quick != 0 && self.quick != ALWAYS && self.unacked > 0 {
            self.quick -= 1;
        }
        self.ack = AckDue::No;
        self.assembler.on_ack_sent();
        self.unacked = 0;
        self.read_since_ack = false;
    }

    /// Memory pinned, in bytes.
    pub fn pinned(&self) -> usize {
        self.buffer.pinned() + self.assembler.pinned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::TcpHeader;

    const MSS: u32 = 1000;

    fn recv(capacity: usize) -> Recv {
        Recv::new(Seq(0), capacity as u32, 0, capacity, Instant::ZERO)
    }

    fn insert(r: &mut Recv, seq: u32, len: usize) -> Taken {
        insert_joined(r, seq, len, None)
    }

    fn insert_joined(r: &mut Recv, seq: u32, len: usize, joined: Option<u16>) -> Taken {
        let header = TcpHeader { seq, ..TcpHeader::default() };
        let segment = Segment { joined, ..Segment::new(&header, Slice::copy_of(&vec![7; len])) };
        r.insert(&segment, &TcpConfig::default(), Instant::ZERO, true)
    }

    #[test]
    fn a_joined_segment_counts_as_those_it_was_made_of() {
        let mut r = recv(60_000);
        insert_joined(&mut r, 1, 1500, Some(1000));
        assert_eq!(r.segment_size, 1000);
        assert_eq!(r.ack, AckDue::At(Instant::from_millis(40)), "one full segment and a half");
        insert_joined(&mut r, 1501, 2000, Some(1000));
        assert_eq!(r.ack, AckDue::Now);
        r.on_ack_sent();
        insert_joined(&mut r, 3501, 30_000, Some(1000));
        assert_eq!((r.ack, r.segment_size), (AckDue::Now, 1000));
    }

    #[test]
    fn every_second_full_segment_is_acknowledged_at_once() {
        let mut r = recv(60_000);
        insert(&mut r, 1, 1000);
        assert_eq!(r.ack, AckDue::At(Instant::from_millis(40)));
        insert(&mut r, 1001, 1000);
        assert_eq!(r.ack, AckDue::Now);
        r.on_ack_sent();
        insert(&mut r, 3001, 1000);
        assert_eq!(r.ack, AckDue::Now, "a hole is told at once");
        r.on_ack_sent();
        insert(&mut r, 2001, 1000);
        assert_eq!((r.ack, r.nxt), (AckDue::Now, Seq(4001)));
    }

    #[test]
    fn the_edge_never_moves_left_and_opens_in_steps() {
        let mut r = recv(4000);
        assert_eq!(r.select_window(MSS, false), 4000);
        for i in 0..4 {
            assert_eq!(insert(&mut r, 1 + i * 1000, 1000), Taken::InOrder);
            assert_eq!(r.edge, Seq(4001));
        }
        assert_eq!(r.select_window(MSS, false), 0);
        assert_eq!(insert(&mut r, 4001, 1), Taken::Nothing, "a zero-window probe is not taken");
        r.buffer.pop(999);
        assert!(!r.owes_window_update(MSS, false));
        assert_eq!(r.select_window(MSS, false), 0);
        r.buffer.pop(1);
        assert!(r.owes_window_update(MSS, false));
        assert_eq!(r.select_window(MSS, false), 1000);
        r.buffer.set_capacity(10);
        assert_eq!(r.select_window(MSS, false), 1000, "what was offered stays offered");
    }

    #[test]
    fn under_memory_pressure_only_a_share_is_offered() {
        let mut r = recv(60_000);
        insert(&mut r, 1, 5000);
        assert_eq!(r.select_window(MSS, true), 55_000, "what was offered stays offered");
        for i in 5..60 {
            insert(&mut r, 1 + i * 1000, 1000);
        }
        r.read(57_000, true);
        assert!(r.owes_window_update(MSS, true), "who reads goes on receiving");
        assert_eq!(r.select_window(MSS, true), 1096);
        assert_eq!(r.select_window(MSS, false), 57_000);
    }

    /// What is peeked at is what the next read gives, with the last urgent byte in line and without it.
    #[test]
    fn a_peek_ends_where_a_read_does() {
        for inline in [true, false] {
            for up in 1..8 {
                let mut r = recv(1000);
                r.insert(
                    &Segment::new(&TcpHeader { seq: 1, ..TcpHeader::default() }, Slice::copy_of(b"abcdef")),
                    &TcpConfig::default(),
                    Instant::ZERO,
                    true,
                );
                r.up = Some(Seq(1 + up));
                let mut all = Vec::new();
                for _ in 0..8 {
                    let mut buf = [0; 8];
                    let n = r.peek(&mut buf, inline);
                    let read: Vec<u8> = r.read(8, inline).iter().flat_map(|slice| slice.to_vec()).collect();
                    assert_eq!(read, buf[..n], "{inline} {up}");
                    all.extend(read);
                }
                let mut text = b"abcdef".to_vec();
                if !inline && up <= 6 {
                    text.remove(up as usize - 1);
                }
                assert_eq!(all, text, "{inline} {up}");
            }
        }
    }

    #[test]
    fn text_is_cut_to_the_window_and_to_the_fin() {
        let mut r = recv(1000);
        insert(&mut r, 501, 1000);
        insert(&mut r, 1, 700);
        assert_eq!((r.nxt, r.buffer.len()), (Seq(1001), 1000));
        let mut r = recv(1000);
        r.fin = Some(Seq(11));
        insert(&mut r, 1, 100);
        assert_eq!(r.nxt, Seq(11), "text behind the FIN is not text");
    }
}
