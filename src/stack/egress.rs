//! What goes out: frames are pulled one by one; there is no queue of packets of our own but the bounded one of replies.

use super::{Queue, Stack, mss_of_link};
use crate::buf::Slice;
use crate::ip::{self, Outgoing};
use crate::stats::{Disposition, DropReason};
use crate::tcp::connection::Tcb;
use crate::tcp::segment::SegmentOut;
use crate::tcp::tuple::FourTuple;
use crate::time::Instant;
use crate::udp::Departure;
use crate::wire::tcp::{self, TcpHeader};
use crate::wire::{
    Gso, GsoKind, Offloads, RxChecksum, RxFrame, RxMeta, TxFrame, checksum, fragment, ip as wire_ip, ipv4,
};

/// Replies that may be waiting to be pulled when one more is to be cut into fragments: each may hold 64 KiB.
const LONG_REPLIES: usize = 64;

/// Segments that one connection may send before others have their turn. What comes in a row wakes the receiver once.
const BURST: u32 = 4;

/// Where the checksum field stands in a TCP header.
const TCP_CHECKSUM: usize = 16;

impl Stack {
    /// The next frame to send, if any: replies first, then connections and datagrams in turn. What goes to an address
    /// of ours never leaves: it is received at once.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<TxFrame> {
        loop {
            // It is large, and stays where it is.
            let mut next = self.next_frame(now);
            let frame = next.as_mut()?;
            if self.ip.is_local(wire_ip::destination(&frame.header)) {
                self.loop_back(now, frame);
            } else if self.ip.leads(frame) {
                self.stats.frames_out += 1;
                self.stats.bytes_out += frame.len() as u64;
                return next;
            } else {
                self.stats.unsent += 1;
            }
        }
    }

    /// The next frame, be it for ourselves.
    fn next_frame(&mut self, now: Instant) -> Option<TxFrame> {
        if self.fragments.is_some()
            && let Some(fragment) = self.next_fragment()
        {
            return Some(fragment);
        }
        if let Some(reply) = self.replies.pop_front() {
            self.turn_away();
            return self.fit(now, reply, false);
        }
        self.udp_turn = !self.udp_turn;
        if self.udp_turn {
            let datagram = self.next_datagram(now);
            if datagram.is_some() { datagram } else { self.next_segment(now) }
        } else {
            let segment = self.next_segment(now);
            if segment.is_some() { segment } else { self.next_datagram(now) }
        }
    }

    /// The next datagram, or its first fragment. What is for many may be for ourselves too, or for nobody else.
    fn next_datagram(&mut self, now: Instant) -> Option<TxFrame> {
        while let Some((id, mut frame)) = self.raw.poll_transmit(&mut self.ip) {
            self.mark_ready(super::SocketId::Raw(id));
            if !ip::stays_here(wire_ip::destination(&frame.header)) {
                return self.fit(now, frame, false);
            }
            if self.ip.leads(&mut frame) {
                self.loop_back(now, &frame);
            }
        }
        while let Some(Departure { id, mut frame, leaves, heard, probes }) = self.udp.poll_transmit(&mut self.ip, now) {
            self.mark_ready(super::SocketId::Udp(id));
            // Who is a member where it leaves hears it.
            if heard && self.ip.leads(&mut frame) {
                self.loop_back(now, &frame);
            }
            if leaves {
                return self.fit(now, frame, probes);
            }
        }
        None
    }

    /// The next fragment of what is being cut. They go one after the other, for the time that a super-segment of the same
    /// length takes, because the receiver holds the first ones until the last has come.
    fn next_fragment(&mut self) -> Option<TxFrame> {
        let fragment = self.fragments.as_mut()?.next();
        match fragment {
            Some(_) => self.stats.ip.fragments_out += 1,
            None => self.fragments = None,
        }
        fragment
    }

    /// `frame`, or its first fragment if it is too long for its way and may be cut. One that `probes` the path only has to
    /// fit the link.
    fn fit(&mut self, now: Instant, frame: TxFrame, probes: bool) -> Option<TxFrame> {
        let way = self.ip.way_of(&frame);
        let dst = way.dst;
        let link = self.ip.payload_mtu(way) + wire_ip::header_len(dst);
        let path = self.ip.path(dst, now).filter(|_| !probes);
        let mtu = path.map_or(link, |path| link.min(path.mtu.into()));
        if frame.len() <= mtu || frame.meta.gso.is_some() || !fragment::may_cut(&frame.header) || self.ip.is_local(dst)
        {
            return Some(frame);
        }
        self.stats.ip.fragmented += 1;
        self.fragments = Some(self.ip.fragments(frame, mtu));
        self.next_fragment()
    }

    /// The next segment of the connections that may have one, a few of each in turn.
    fn next_segment(&mut self, now: Instant) -> Option<TxFrame> {
        while let Some(index) = self.egress.pop_front() {
            self.table.leave(index, Queue::Egress);
            let segment = self.pull(index, now);
            if segment.is_some() {
                return segment;
            }
            self.burst = 0;
        }
        None
    }

    /// Connection `index` has just given a segment, and may have more.
    fn keep_turn(&mut self, index: u32) {
        self.mark_egress(index);
        self.burst += 1;
        if self.burst < BURST {
            self.egress.rotate_right(1);
        } else {
            self.burst = 0;
        }
    }

    fn pull(&mut self, index: u32, now: Instant) -> Option<TxFrame> {
        let slot = self.table.get_mut(index)?;
        let options =
            slot.socket.as_ref().map_or(&self.default_options, |socket| socket.options(&self.default_options));
        let (tuple, ttl, tos, interface) = (slot.tuple, options.ttl, options.tos, options.leaves_by());
        let mut cx = crate::tcp::connection::Cx {
            now,
            config: &self.config.tcp,
            options,
            tuple,
            link_mss: mss_of_link(&self.ip, &tuple, options),
            orphan: slot.holder == super::Holder::Nobody,
            memory: self.budget.level(),
            stats: &mut self.stats.tcp,
            trace: &mut self.trace,
        };
        let connection = slot.connection.as_mut()?;
        let may_be_fragmented =
            !cx.options.mtu_discovery.dont_fragment() || connection.tcb().is_some_and(Tcb::may_be_fragmented);
        // Whoever cuts a super-segment counts its identifications up, which fragments must not share with others'.
        let limit = if may_be_fragmented { 0 } else { text_limit(&self.config.offloads, &tuple) };
        let Some(segment) = connection.next_segment(limit, &mut cx) else {
            // Its deadline is that of pacing now.
            if connection.tcb().is_some_and(Tcb::waits_for_pacing) {
                self.arm(index);
            }
            return None;
        };
        let may_have_more = connection.may_have_output(&cx);
        let counts_unsent = cx.options.unsent_low_water.is_some();
        self.arm(index);
        if may_have_more {
            self.keep_turn(index);
        } else {
            self.burst = 0;
        }
        if counts_unsent {
            self.recount(index, now);
        }
        Some(self.segment_frame(&tuple, segment, ttl, tos, interface, !may_be_fragmented))
    }

    /// An outgoing packet for `segment`. We never fragment TCP's packets (RFC 9293 3.7.2, RFC 8900), nor may others but
    /// where the user wants it so, or the path is too narrow.
    fn segment_frame(
        &mut self,
        tuple: &FourTuple,
        segment: SegmentOut,
        ttl: u8,
        tos: u8,
        interface: u8,
        dont_fragment: bool,
    ) -> TxFrame {
        let header = TcpHeader {
            src_port: tuple.local_port,
            dst_port: tuple.remote_port,
            seq: segment.seq.0,
            ack: if segment.flags.ack() { segment.ack.0 } else { 0 },
            flags: segment.flags,
            wnd: segment.wnd,
            up: segment.up,
            options: segment.options,
        };
        let header_len = tcp::emitted_len(&header);
        let text: usize = segment.text.iter().map(|s| s.len()).sum();
        let mut frame = TxFrame { payload: segment.text, ..TxFrame::default() };
        let out = Outgoing {
            src: tuple.local_addr,
            dst: tuple.remote_addr,
            protocol: ip::TCP,
            ttl,
            tos: if segment.ect { tos & !wire_ip::ECN | wire_ip::ECT0 } else { tos },
            dont_fragment,
            ports: (tuple.local_port, tuple.remote_port),
        };
        let at = self.ip.output(&out, header_len + text, &mut frame.header);
        tcp::emit(&header, &mut frame.header.space()[at..]);
        frame.header.set_len(at + header_len);
        let fill = if self.config.offloads.checksum { checksum::fill_partial } else { checksum::fill };
        fill(&mut frame, tuple.local_addr, tuple.remote_addr, ip::TCP, at, TCP_CHECKSUM);
        frame.meta.gso = segment.cut.map(|size| Gso { kind: gso_kind(tuple), size });
        frame.meta.interface = interface;
        self.stats.tcp.segments_out += 1;
        if segment.flags.rst() {
            self.stats.tcp.resets_out += 1;
        }
        frame
    }

    /// Answers that belong to no connection for which there is room.
    pub(crate) fn room_for_replies(&self) -> usize {
        self.config.max_replies.saturating_sub(self.replies.len())
    }

    /// Queues an answer that belongs to no connection. Beyond the bound it is counted and forgotten: whoever asked
    /// will ask again.
    pub(super) fn reply(&mut self, frame: TxFrame) {
        let most = if frame.len() <= self.ip.mtu() { self.config.max_replies } else { LONG_REPLIES };
        if self.replies.len() < most.min(self.config.max_replies) {
            self.replies.push_back(frame);
        } else {
            self.stats.unsent += 1;
        }
    }

    /// Queues a segment that belongs to no connection, or to one that is gone. It leaves by the interface with the number
    /// `interface`, if that is not zero.
    pub(super) fn reply_segment(&mut self, tuple: &FourTuple, segment: SegmentOut, ttl: u8, tos: u8, interface: u8) {
        let frame = self.segment_frame(tuple, segment, ttl, tos, interface, true);
        self.reply(frame);
    }

    /// RFC 9293 3.10.7.1: the RST for a segment that belongs to nothing and came in `by` an interface, within the rate limit.
    pub(super) fn reset_unknown(
        &mut self,
        now: Instant,
        tuple: &FourTuple,
        segment: &crate::tcp::segment::Segment,
        by: u8,
    ) {
        if segment.flags.rst() {
            return;
        }
        if !self.resets.take(now, tuple.remote_addr, &mut self.rng) {
            self.stats.unsent += 1;
            return;
        }
        self.reset_stranger(tuple, segment, by);
    }

    /// The RST for a segment, which is none, that belongs to no connection.
    pub(super) fn reset_stranger(&mut self, tuple: &FourTuple, segment: &crate::tcp::segment::Segment, by: u8) {
        let ttl = self.config.ttl;
        self.reply_segment(tuple, SegmentOut::reset_for(segment), ttl, 0, ip::answers_by(tuple.remote_addr, by));
    }

    /// Receives what we sent to ourselves.
    fn loop_back(&mut self, now: Instant, frame: &TxFrame) {
        let data = Slice::copy_of(&frame.to_vec());
        let len = data.len();
        let meta = RxMeta { checksum: RxChecksum::Valid, gso: frame.meta.gso, interface: frame.meta.interface };
        let frame = RxFrame { data, meta };
        // The two ends of a connection with ourselves are in one shard.
        let disposition = match self.receive(now, &frame, true) {
            Disposition::Misdirected => Disposition::Dropped(DropReason::Misdirected),
            disposition => disposition,
        };
        self.stats.count(len, disposition);
    }
}

/// How many bytes of TCP's text the device takes in one packet, to cut them into segments: as many as fit into an IP
/// packet beside headers of any length. Zero if it does not cut.
fn text_limit(offloads: &Offloads, tuple: &FourTuple) -> usize {
    let cuts = match gso_kind(tuple) {
        GsoKind::TcpV6 => offloads.tso6,
        _ => offloads.tso4,
    };
    if cuts { ipv4::MAX_PACKET_LEN - ipv4::MAX_HEADER_LEN - tcp::MAX_HEADER_LEN } else { 0 }
}

fn gso_kind(tuple: &FourTuple) -> GsoKind {
    if tuple.remote_addr.is_ipv6() { GsoKind::TcpV6 } else { GsoKind::TcpV4 }
}
