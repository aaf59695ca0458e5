//! What comes in: from a frame to the connection, listener or socket that it is for.

use super::flows::name_of_flow;
use super::table::{Holder, SocketSide};
use super::{SocketId, Stack, headers_len, mss_of_link, way};
use crate::icmp::{ErrorKind, Report, Transport};
use crate::ip::pmtu::PathMtu;
use crate::ip::{Input, Packet};
use crate::stats::{Disposition, DropReason};
use crate::tcp::connection::{Connection, Cx, IcmpNotice, OnIcmp};
use crate::tcp::listener::{OnListen, cookie};
use crate::tcp::mtu::PathLimit;
use crate::tcp::options::SharedOptions;
use crate::tcp::segment::Segment;
use crate::tcp::seq::Seq;
use crate::tcp::syncookie::{Cookie, CookieJar};
use crate::tcp::tuple::FourTuple;
use crate::time::Instant;
use crate::wire::{RxChecksum, RxFrame, checksum, ip as wire_ip, tcp};
use std::net::{IpAddr, SocketAddr};

impl Stack {
    /// Takes one received frame and says what became of it.
    pub fn on_frame(&mut self, now: Instant, frame: RxFrame) -> Disposition {
        let disposition = self.receive(now, &frame, false);
        self.stats.count(frame.data.len(), disposition);
        // What was made of fragments is passed on as such, and noted already.
        if disposition == Disposition::Misdirected
            && let Some(owner) = self.owner.take()
        {
            self.misdirected = Some((owner, frame));
        }
        disposition
    }

    /// The frame that the last call of [`on_frame`](Stack::on_frame) found to be for another shard, and that shard's
    /// number. A stack that is alone never has one.
    pub fn take_misdirected(&mut self) -> Option<(u16, RxFrame)> {
        self.misdirected.take()
    }

    /// As [`on_frame`](Stack::on_frame), for a frame that another shard has passed on: it is passed on no further. If it
    /// is for yet another shard by now, it is late, and dropped.
    pub fn on_misdirected(&mut self, now: Instant, frame: RxFrame) -> Disposition {
        self.stats.misdirected += 1;
        // Copies were made where it came.
        let disposition = match self.process(now, &frame, false, false) {
            Disposition::Misdirected => Disposition::Dropped(DropReason::Misdirected),
            disposition => disposition,
        };
        self.stats.count(frame.data.len(), disposition);
        disposition
    }

    /// A frame that was fetched for another shard found no room there.
    pub fn drop_misdirected(&mut self, frame: &RxFrame) -> Disposition {
        let disposition = Disposition::Dropped(DropReason::Misdirected);
        self.stats.count(frame.data.len(), disposition);
        disposition
    }

    /// The frame at hand is for the shard `owner`.
    pub(super) fn pass_on(&mut self, owner: u16) -> Disposition {
        self.owner = Some(owner);
        Disposition::Misdirected
    }

    /// The other shard that has the connection `tuple`, if one has.
    pub(super) fn elsewhere(&self, tuple: &FourTuple) -> Option<u16> {
        self.share.as_ref()?.elsewhere(tuple)
    }

    /// `tuple` is a connection of this stack no longer.
    pub(super) fn unclaim(&self, tuple: &FourTuple) {
        if let Some(share) = &self.share {
            share.names.release(tuple, share.shard);
        }
    }

    /// `tuple` shall be a connection of this stack.
    ///
    /// # Errors
    /// The shard that has it already.
    pub(super) fn claim(&self, tuple: &FourTuple) -> Result<(), u16> {
        self.share.as_ref().map_or(Ok(()), |share| share.names.claim(tuple, share.shard))
    }

    /// As [`on_frame`](Stack::on_frame), not counted yet. `looped` frames are our own.
    pub(super) fn receive(&mut self, now: Instant, frame: &RxFrame, looped: bool) -> Disposition {
        if frame.meta.checksum == RxChecksum::Contradicted {
            return Disposition::Dropped(DropReason::DeviceMetadata);
        }
        self.process_or_show(now, frame, looped, false)
    }

    /// As `process`, with copies for those who look at every packet.
    fn process_or_show(&mut self, now: Instant, frame: &RxFrame, looped: bool, whole: bool) -> Disposition {
        if self.raw.is_open() {
            return self.process_with_copies(now, frame, looped, whole);
        }
        self.process(now, frame, looped, whole)
    }

    /// Does with a packet what is to be done. `whole` ones were made of fragments.
    pub(super) fn process(&mut self, now: Instant, frame: &RxFrame, looped: bool, whole: bool) -> Disposition {
        let input = if whole {
            self.ip.input_whole(now, frame, looped, &mut self.stats)
        } else {
            self.ip.input(now, frame, looped, &mut self.stats)
        };
        self.dispatch(now, frame, looped, input)
    }

    /// Gives what was received in `frame` to whom it is for.
    fn dispatch(&mut self, now: Instant, frame: &RxFrame, looped: bool, input: Input) -> Disposition {
        match input {
            Input::Tcp(packet) => self.on_tcp(now, frame, &packet),
            Input::Udp(packet) => {
                let outcome = self.udp.input(&mut self.ip, now, frame, &packet, &mut self.stats);
                if outcome.disposition == Disposition::Held {
                    return self.begin_flow(now, frame, &packet);
                }
                if let Some(reply) = outcome.reply {
                    self.reply(*reply);
                }
                for id in outcome.changed.into_iter().chain(outcome.others) {
                    self.mark_ready(SocketId::Udp(id));
                }
                outcome.disposition
            }
            Input::IcmpError(report) => self.on_icmp(now, &report),
            Input::Reassembled(whole) => {
                let disposition = self.process_or_show(now, &whole, looped, true);
                if disposition == Disposition::Misdirected
                    && let Some(owner) = self.owner.take()
                {
                    self.misdirected = Some((owner, whole));
                }
                disposition
            }
            Input::Done { disposition, reply } => {
                if let Some(reply) = reply {
                    self.reply(*reply);
                }
                disposition
            }
        }
    }

    fn on_tcp(&mut self, now: Instant, frame: &RxFrame, packet: &Packet) -> Disposition {
        if !packet.unicast {
            return Disposition::Dropped(DropReason::TcpAddress);
        }
        let bytes = &frame.data[packet.bytes.clone()];
        let (header, header_len) = match tcp::parse(bytes) {
            Ok(parsed) => parsed,
            Err(reason) => return Disposition::Dropped(reason),
        };
        if !checksum::verify_tcp(packet.src, packet.dst, bytes, frame.meta.checksum) {
            return Disposition::Dropped(DropReason::TcpChecksum);
        }
        if header.src_port == 0 || header.dst_port == 0 {
            return Disposition::Dropped(DropReason::TcpAddress);
        }
        let local = SocketAddr::new(packet.dst, header.dst_port);
        let tuple = FourTuple::new(local, SocketAddr::new(packet.src, header.src_port));
        let found = self.table.find(&tuple);
        if found.is_some_and(|index| !self.comes_by(index, packet.interface)) {
            // Nor is it for a listener: there is one connection of a name.
            return Disposition::Dropped(DropReason::WrongInterface);
        }
        if found.is_none()
            && let Some(owner) = self.elsewhere(&tuple)
        {
            return self.pass_on(owner);
        }
        self.stats.tcp.segments_in += 1;
        let text = frame.data.slice(packet.bytes.start + header_len..packet.bytes.end);
        let segment = Segment {
            joined: frame.meta.gso.map(|gso| gso.size),
            ce: packet.tos & wire_ip::ECN == wire_ip::CE,
            ..Segment::new(&header, text)
        };
        let disposition = match found {
            Some(index) => self.on_segment(index, now, &tuple, &segment, packet.interface),
            None => self.on_unknown(now, &tuple, &segment, None, packet.interface),
        };
        if disposition == Disposition::Held {
            self.quote_at_gate(&tuple, &frame.data[..packet.bytes.end]);
        }
        disposition
    }

    /// Whether what comes in by `interface` may be for connection `index`.
    fn comes_by(&self, index: u32, interface: u8) -> bool {
        self.config.interfaces.is_empty()
            || self.table.get(index).is_none_or(|slot| {
                let wanted = slot.options(&self.default_options).interface;
                wanted == 0 || wanted == interface
            })
    }

    /// A segment of a connection that is in the table, which came in `by` an interface.
    fn on_segment(&mut self, index: u32, now: Instant, tuple: &FourTuple, segment: &Segment, by: u8) -> Disposition {
        if self.has_no_place(index, segment) {
            return Disposition::Dropped(DropReason::TcpAcceptQueueFull);
        }
        let reaction = self.with_connection(index, now, |connection, cx| {
            let (ttl, tos, interface) = (cx.options.ttl, cx.options.tos, cx.options.leaves_by());
            let reaction = connection.on_segment(segment, cx);
            let closed = reaction.as_ref().and_then(|r| r.closed);
            (reaction.map(|r| (r, ttl, tos, interface)), closed)
        });
        match reaction.flatten() {
            Some((reaction, ttl, tos, interface)) => {
                if let Some(reply) = reaction.reply {
                    // A RST that ends nothing answers a stranger's nonsense: within the rate limit.
                    if reaction.closed.is_some() || self.resets.take(now, tuple.remote_addr, &mut self.rng) {
                        self.reply_segment(tuple, *reply, ttl, tos, interface);
                    } else {
                        self.stats.unsent += 1;
                    }
                }
                reaction.disposition
            }
            None => self.reopen(index, now, tuple, segment, by),
        }
    }

    /// Whether this is the last ACK of a handshake whose listener has no room: it is dropped, and the SYN,ACK will be
    /// sent again when there may be.
    fn has_no_place(&self, index: u32, segment: &Segment) -> bool {
        let Some(slot) = self.table.get(index) else { return false };
        let Holder::Listener(listener) = slot.holder else { return false };
        segment.flags.ack()
            && !segment.flags.rst()
            && slot.connection.as_ref().is_some_and(Connection::is_embryonic)
            && self.listener_at(listener).is_some_and(|l| l.is_full())
    }

    /// A SYN ends a TIME-WAIT to open a new connection of the same name, whose numbers lie beyond the old one's
    /// (RFC 9293 3.6.1, MAY-2) — if anybody listens.
    fn reopen(&mut self, index: u32, now: Instant, tuple: &FourTuple, segment: &Segment, by: u8) -> Disposition {
        let beyond = match self.table.get(index).and_then(|slot| slot.connection.as_ref()) {
            Some(Connection::TimeWait(time_wait)) => time_wait.snd_nxt(),
            _ => return Disposition::Dropped(DropReason::TcpTimeWait),
        };
        if self.listener_for(tuple, by).is_none() && self.gate.is_none() {
            return Disposition::Dropped(DropReason::TcpTimeWait);
        }
        self.end_time_wait(index, now);
        self.on_unknown(now, tuple, segment, Some(beyond), by)
    }

    /// A segment of no connection: for a listener (RFC 9293 3.10.7.2), or for nobody (3.10.7.1).
    fn on_unknown(
        &mut self,
        now: Instant,
        tuple: &FourTuple,
        segment: &Segment,
        iss_beyond: Option<Seq>,
        by: u8,
    ) -> Disposition {
        let Some(number) = self.listener_for(tuple, by) else {
            if let Some(disposition) = self.on_gate(now, tuple, segment, iss_beyond, by) {
                return disposition;
            }
            self.reset_unknown(now, tuple, segment, by);
            return Disposition::Dropped(DropReason::TcpNoSocket);
        };
        let max_syn_queue = self.config.max_syn_queue;
        let cookies_until = self.share.as_ref().map(|share| share.names.cookies_until());
        let Some(listener) = self.listener_at_mut(number) else {
            return Disposition::Dropped(DropReason::TcpNoSocket);
        };
        if let Some(until) = cookies_until {
            listener.look_for_cookies(until);
        }
        match listener.on_segment(segment, max_syn_queue, now) {
            OnListen::Drop(reason) => Disposition::Dropped(reason),
            OnListen::Reset => {
                self.reset_unknown(now, tuple, segment, by);
                Disposition::Dropped(DropReason::TcpNoSocket)
            }
            OnListen::Open => self.open_passively(number, now, tuple, segment, iss_beyond),
            OnListen::SendCookie => self.send_cookie(number, now, tuple, segment),
            OnListen::CheckCookie => self.check_cookie(number, now, tuple, segment, by),
        }
    }

    fn open_passively(
        &mut self,
        number: u32,
        now: Instant,
        tuple: &FourTuple,
        segment: &Segment,
        iss_beyond: Option<Seq>,
    ) -> Disposition {
        // Under memory pressure, or with the table full, a SYN costs nothing: the cookie brings the peer back.
        if self.table.len() >= self.config.max_connections || self.is_short_of_memory() {
            return self.send_cookie(number, now, tuple, segment);
        }
        if let Err(owner) = self.claim(tuple) {
            return self.pass_on(owner); // another SYN has come there first
        }
        let iss = self.new_iss_beyond(tuple, now, iss_beyond);
        let offset = self.isn.timestamp_offset(tuple);
        let connection = self.with_listener(number, now, tuple, |cx, _| Connection::accept(segment, iss, offset, cx));
        let Some((connection, options)) = connection else {
            return Disposition::Dropped(DropReason::TcpNoSocket);
        };
        let index =
            self.insert(*tuple, connection, Holder::Listener(number), SocketSide::new(options, &self.default_options));
        if let Some(listener) = self.listener_at_mut(number) {
            listener.syn_queue += 1;
        }
        self.arm(index);
        self.mark_egress(index);
        Disposition::Delivered
    }

    fn send_cookie(&mut self, number: u32, now: Instant, tuple: &FourTuple, segment: &Segment) -> Disposition {
        let offset = self.isn.timestamp_offset(tuple);
        let answer = self.with_listener(number, now, tuple, |cx, cookies| cookie::send(cookies, segment, offset, cx));
        let Some((answer, options)) = answer else { return Disposition::Dropped(DropReason::TcpNoSocket) };
        if let Some(listener) = self.listener_at_mut(number) {
            let until = listener.sent_cookie(now);
            if let Some(share) = &self.share {
                share.names.sent_cookie(until);
            }
        }
        self.reply_segment(tuple, answer, options.ttl, options.tos, options.leaves_by());
        Disposition::Answered
    }

    fn check_cookie(&mut self, number: u32, now: Instant, tuple: &FourTuple, segment: &Segment, by: u8) -> Disposition {
        if self.table.len() >= self.config.max_connections {
            return Disposition::Dropped(DropReason::TcpTableFull);
        }
        if self.listener_at(number).is_none_or(|l| l.is_full()) {
            return Disposition::Dropped(DropReason::TcpAcceptQueueFull);
        }
        if let Err(owner) = self.claim(tuple) {
            return self.pass_on(owner); // the same cookie has come there first
        }
        let offset = self.isn.timestamp_offset(tuple);
        let accepted = self.with_listener(number, now, tuple, |cx, jar| cookie::accept(jar, segment, offset, cx));
        let (connection, options) = match accepted {
            Some((Ok(connection), options)) => (connection, options),
            rejected => {
                self.unclaim(tuple);
                // The peer will send the first segment again, if it is not reset for the second.
                if !matches!(rejected, Some((Err(Cookie::NotFirst), _))) {
                    self.reset_unknown(now, tuple, segment, by);
                }
                return Disposition::Dropped(DropReason::TcpBadCookie);
            }
        };
        let mut socket = SocketSide::new(options, &self.default_options);
        socket.established = true;
        let index = self.insert(*tuple, connection, Holder::Listener(number), socket);
        self.begin_on_path(index, now);
        self.queue_for_accept(index);
        self.on_segment(index, now, tuple, segment, by)
    }

    /// Runs `act` with a connection's context for a connection that `number` is about to open.
    fn with_listener<R>(
        &mut self,
        number: u32,
        now: Instant,
        tuple: &FourTuple,
        act: impl FnOnce(&mut Cx<'_>, &CookieJar) -> R,
    ) -> Option<(R, SharedOptions)> {
        let mut options = self.listener_at(number)?.options.clone();
        let marked = self.interface_of_mark(options.mark);
        if options.marked_interface != marked {
            SharedOptions::make_mut(&mut options).marked_interface = marked;
        }
        Some((self.with_options(&options, now, tuple, act), options))
    }

    /// Runs `act` with the context of a connection that is about to be opened with `options`.
    pub(super) fn with_options<R>(
        &mut self,
        options: &super::TcpOptions,
        now: Instant,
        tuple: &FourTuple,
        act: impl FnOnce(&mut Cx<'_>, &CookieJar) -> R,
    ) -> R {
        let mut cx = Cx {
            now,
            config: &self.config.tcp,
            options,
            tuple: *tuple,
            link_mss: mss_of_link(&self.ip, tuple, options),
            orphan: false,
            memory: self.budget.level(),
            stats: &mut self.stats.tcp,
            trace: &mut self.trace,
        };
        act(&mut cx, &self.cookies)
    }

    /// Our initial sequence number for a new connection, beyond those of an earlier one of the same name.
    pub(super) fn new_iss_beyond(&self, tuple: &FourTuple, now: Instant, beyond: Option<Seq>) -> Seq {
        let iss = self.new_iss(tuple, now);
        beyond.filter(|beyond| !iss.after(*beyond)).map_or(iss, |beyond| beyond + ISS_GAP)
    }

    /// Our initial sequence number for a new connection.
    pub(super) fn new_iss(&self, tuple: &FourTuple, now: Instant) -> Seq {
        self.config.tcp.fixed_iss.map_or_else(|| self.isn.isn(tuple, now), Seq)
    }

    fn on_icmp(&mut self, now: Instant, report: &Report) -> Disposition {
        match report.transport {
            Transport::Udp => {
                // A socket's errors are where it sends from, though it receives everywhere; a flow's where it is.
                let home = self.udp.home(report);
                let home = home.or_else(|| self.elsewhere(&name_of_flow(report.remote)));
                if let (Some(share), Some(home)) = (&self.share, home)
                    && home != share.shard
                {
                    return self.pass_on(home);
                }
                let (disposition, ready) = self.udp.on_icmp(&mut self.ip, now, report);
                if let Some(id) = ready {
                    self.mark_ready(SocketId::Udp(id));
                }
                disposition
            }
            Transport::Tcp => self.on_tcp_icmp(now, report),
        }
    }

    /// RFC 9293 3.9.2.2: the error goes to exactly the connection whose segment it quotes.
    fn on_tcp_icmp(&mut self, now: Instant, report: &Report) -> Disposition {
        let unmatched = Disposition::Dropped(DropReason::IcmpUnmatched);
        let tuple = FourTuple::new(report.local, report.remote);
        let Some(index) = self.table.find(&tuple) else {
            return self.elsewhere(&tuple).map_or(unmatched, |owner| self.pass_on(owner));
        };
        if let ErrorKind::PacketTooBig { mtu } = report.kind {
            let told = self.on_too_big_segment(index, now, report, mtu);
            return if told { Disposition::Delivered } else { unmatched };
        }
        let error = report.kind.error();
        let notice = IcmpNotice { error, hard: report.kind.is_hard(), seq: Seq(report.seq) };
        let matched = self.with_connection(index, now, |connection, cx| match connection.on_icmp(notice, cx) {
            OnIcmp::Ignored => (false, None),
            OnIcmp::Noted => (true, None),
            OnIcmp::Closed(reason) => (true, Some(reason)),
        });
        if matched != Some(true) {
            return unmatched;
        }
        if let Some(socket) = self.table.get_mut(index).and_then(|slot| slot.socket.as_mut())
            && socket.aside().is_none_or(|aside| aside.error.is_none())
        {
            socket.set_aside().soft_error = Some((error, Seq(report.seq)));
        }
        Disposition::Delivered
    }

    /// A router says that a segment of connection `index` was too big for a link of `mtu` bytes. Says whether it was
    /// believed.
    fn on_too_big_segment(&mut self, index: u32, now: Instant, report: &Report, mtu: u32) -> bool {
        let Some(slot) = self.table.get(index) else { return false };
        let (seq, options) = (Seq(report.seq), slot.options(&self.default_options));
        let way = way(&slot.tuple, options);
        if !slot.connection.as_ref().is_some_and(|connection| connection.may_be_too_big(seq, options)) {
            return false;
        }
        let dst = report.remote.ip();
        let Some(path) = self.ip.on_packet_too_big(now, way, mtu, report.packet_len) else { return false };
        let told = path_limit(dst, path);
        self.with_connection(index, now, |connection, cx| (connection.on_packet_too_big(told, seq, cx), None)).is_some()
    }
}

/// What `path` to `dst` means for the size of segments.
pub(super) fn path_limit(dst: IpAddr, path: PathMtu) -> PathLimit {
    let mss = usize::from(path.mtu).saturating_sub(headers_len(dst));
    PathLimit { mss: mss as u16, fragments: path.fragments, until: path.until }
}

/// How far behind the old connection's numbers those of its successor start, if the clock has not passed them.
const ISS_GAP: u32 = 65_535 + 2;
