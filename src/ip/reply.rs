//! What the internet layer answers by itself: echo replies, and ICMP errors with RFC 1122's silences and the rate limit.

use super::{ICMP, ICMPV6, Ip, Outgoing, Packet, Way, answers_by};
use crate::buf::Slice;
use crate::icmp::{self, ErrorKind, Message, Problem};
use crate::stats::Stats;
use crate::time::Instant;
use crate::wire::ip::{self, IpHeader};
use crate::wire::{RxFrame, TxFrame, extension, gso};
use std::net::IpAddr;

/// The largest ICMP error over IPv4, in bytes (RFC 1812 4.3.2.3).
const MAX_ERROR_V4: usize = 576;

/// The largest ICMP error over IPv6, in bytes (RFC 4443 2.4 c).
const MAX_ERROR_V6: usize = 1280;

impl Ip {
    /// The reply to an echo request with `rest` in its second word: the same data back from the address that was asked.
    pub(super) fn echo_reply(&mut self, frame: &RxFrame, packet: &Packet, rest: [u8; 4]) -> TxFrame {
        let data = frame.data.slice(packet.bytes.start + icmp::HEADER_LEN..packet.bytes.end).compact();
        // A reply has its request's type of service (RFC 1122 3.2.2), but the ECN bits are not its own to echo.
        let way = Way::new(packet.dst, packet.src, answers_by(packet.src, frame.meta.interface));
        self.message(way, packet.dst, packet.tos & !3, Message::EchoReply(rest), data)
    }

    /// An ICMP error about `frame`, which [`input`](Ip::input) took: nothing if RFC 1122 3.2.2 or RFC 4443 2.4 e forbids
    /// it, or the rate limit. It quotes as much as 576 bytes (1280 over IPv6) hold of what a wire would have carried.
    pub fn error_about(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        kind: ErrorKind,
        stats: &mut Stats,
    ) -> Option<TxFrame> {
        let (header, payload) = ip::parse(&frame.data).ok()?;
        let packet = &frame.data[..payload.end];
        let silent = match header.dst {
            IpAddr::V4(_) => self.is_silent_v4(&header, &packet[payload.start..]),
            IpAddr::V6(_) => self.is_silent_v6(&header, packet, kind),
        };
        if silent {
            return None;
        }
        // What went to many is answered from the address that we have towards whoever sent it.
        let by = answers_by(header.src, frame.meta.interface);
        let from = if self.takes(header.dst) {
            header.dst
        } else {
            self.source_for(Way { src: None, dst: header.src, interface: by })?
        };
        let packet = gso::first_packet(frame);
        self.error(now, Way::new(from, header.src, by), kind, &packet[..payload.end.min(packet.len())], stats)
    }

    /// An ICMP error about the packet of which `quoted` is the beginning, and to which nothing forbids it: from the address
    /// that it went to. Nothing if its source is no host, or beyond the rate limit.
    pub fn error(
        &mut self,
        now: Instant,
        back: Way,
        kind: ErrorKind,
        quoted: &[u8],
        stats: &mut Stats,
    ) -> Option<TxFrame> {
        let Way { src: Some(from), dst: to, .. } = back else { return None };
        if !self.addresses.is_host(to) {
            return None;
        }
        if !self.errors.take(now, to, &mut self.rng) {
            stats.icmp_errors_limited += 1;
            return None;
        }
        stats.icmp_errors_sent += 1;
        // Nobody shall have to put an error together from fragments.
        let link = self.payload_mtu(back) + ip::header_len(from);
        let way = self.path(to, now).map_or(link, |path| link.min(path.mtu.into()));
        let most = if to.is_ipv4() { MAX_ERROR_V4.min(way) } else { MAX_ERROR_V6 };
        let room = most - ip::header_len(from) - icmp::HEADER_LEN;
        let quoted = Slice::copy_of(&quoted[..quoted.len().min(room)]);
        Some(self.message(back, from, 0, Message::Error(kind), quoted))
    }

    /// RFC 1122 3.2.2: no error about an error, about what went to many, and about a fragment but the first.
    fn is_silent_v4(&self, header: &IpHeader, payload: &[u8]) -> bool {
        let about_error = header.protocol == ICMP && is_error(header.dst, payload);
        let later = header.fragment.is_some_and(|fragment| fragment.offset > 0);
        about_error || later || !self.takes(header.dst)
    }

    /// RFC 4443 2.4 e: no error about an error or a redirect, nor about what went to many, unless it is too big or has an
    /// option that asks for it.
    fn is_silent_v6(&self, header: &IpHeader, packet: &[u8], kind: ErrorKind) -> bool {
        let upper = extension::skip(packet, header.protocol);
        let headed = upper.fragment.is_none_or(|fragment| fragment.offset == 0);
        let about_error = upper.protocol == ICMPV6 && headed && is_error(header.dst, &packet[upper.start..]);
        let even_to_many = match kind {
            ErrorKind::PacketTooBig { .. } => true,
            ErrorKind::ParameterProblem { problem, .. } => problem == Problem::Option,
            _ => false,
        };
        about_error || !even_to_many && !self.takes(header.dst)
    }

    /// A message from `src` that goes `way`.
    fn message(&mut self, way: Way, src: IpAddr, tos: u8, message: Message, body: Slice) -> TxFrame {
        let dst = way.dst;
        let mut frame = TxFrame::default();
        let protocol = if dst.is_ipv4() { ICMP } else { ICMPV6 };
        let out = Outgoing { src, dst, protocol, ttl: self.ttl, tos, dont_fragment: false, ports: (0, 0) };
        let start = self.output(&out, icmp::HEADER_LEN + body.len(), &mut frame.header);
        let len = message.write(src, dst, &body, &mut frame.header.space()[start..]);
        frame.header.set_len(start + len);
        frame.payload.push(body);
        frame.meta.interface = way.interface;
        frame
    }
}

/// Whether the ICMP message, of the family of `addr`, is an error, or too short to tell.
fn is_error(addr: IpAddr, message: &[u8]) -> bool {
    message.first().is_none_or(|&kind| !Message::may_be_complained_about(addr, kind))
}
