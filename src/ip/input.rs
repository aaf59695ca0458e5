//! A received packet, from its first byte to the transport that gets it.

use super::addresses::is_unicast;
use super::multicast::stays_here;
use super::reassembly::{Name, Outcome, Part};
use super::{ICMP, ICMPV6, IGMP, Ip, TCP, UDP, Way};
use crate::error::Error;
use crate::icmp::{self, Complaint, ErrorKind, Message, Problem, Report};
use crate::stack::HostModel;
use crate::stats::{Disposition, DropReason, Stats};
use crate::time::Instant;
use crate::wire::extension::{self, Fault};
use crate::wire::ip::{self, Fragment, IpHeader};
use crate::wire::ipv4::{self, OptionError};
use crate::wire::{RxFrame, TxFrame, fragment, ipv6, mld, tcp};
use core::ops::Range;
use std::net::IpAddr;

/// What a received packet turned out to be.
#[derive(Debug)]
pub enum Input {
    /// A TCP segment.
    Tcp(Packet),
    /// A UDP datagram.
    Udp(Packet),
    /// An ICMP error about a packet of one of our addresses.
    IcmpError(Box<Report>),
    /// The last fragment of a packet that was missing: the whole of it, for [`input_whole`](Ip::input_whole).
    Reassembled(RxFrame),
    /// Nothing for anybody else.
    Done {
        /// What became of it.
        disposition: Disposition,
        /// What to answer.
        reply: Option<Box<TxFrame>>,
    },
}

/// A packet for one of our transports. Its header is validated, its transport checksum is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its source, which is that of one host.
    pub src: IpAddr,
    /// Its destination: one of our addresses, broadcast, or a group that we are a member of.
    pub dst: IpAddr,
    /// Whether the destination is the address of one host, which is us.
    pub unicast: bool,
    /// Its DSCP and ECN byte.
    pub tos: u8,
    /// Its TTL.
    pub ttl: u8,
    /// The number of the interface that it came in by.
    pub interface: u8,
    /// Where the transport's header and data stand in the frame.
    pub bytes: Range<usize>,
}

/// Why a packet goes no further, and what its sender is told, if anything.
type Refusal = (DropReason, Option<ErrorKind>);

impl Ip {
    /// Takes one received frame. `looped` says that it is one of our own that never left us: only such a one may come
    /// from an address of ours, and only such a one may come from or go to a loopback address.
    pub fn input(&mut self, now: Instant, frame: &RxFrame, looped: bool, stats: &mut Stats) -> Input {
        self.take(now, frame, looped, false, stats)
    }

    /// As [`input`](Ip::input), for what was [reassembled](Input::Reassembled): it cannot be a fragment again, so that no
    /// packet leads to another without end.
    pub fn input_whole(&mut self, now: Instant, frame: &RxFrame, looped: bool, stats: &mut Stats) -> Input {
        self.take(now, frame, looped, true, stats)
    }

    fn take(&mut self, now: Instant, frame: &RxFrame, looped: bool, whole: bool, stats: &mut Stats) -> Input {
        let (mut header, mut payload) = match ip::parse(&frame.data) {
            Ok(parsed) => parsed,
            Err(reason) => return dropped(reason),
        };
        let interface = frame.meta.interface.max(1);
        let unicast = match self.check_addresses(&header, looped, interface) {
            Ok(unicast) => unicast,
            Err(reason) => return dropped(reason),
        };
        let opened = match header.dst {
            IpAddr::V4(_) => check_v4(&frame.data[..payload.start]),
            IpAddr::V6(_) => follow_v6(&frame.data[..payload.end], &mut header, &mut payload.start, unicast),
        };
        if let Err((reason, complaint)) = opened {
            return self.refused(now, frame, reason, complaint, stats);
        }
        if let Some(place) = header.fragment {
            if whole {
                return dropped(DropReason::IpExtension);
            }
            return self.fragment(now, frame, &header, place, payload, stats);
        }
        let IpHeader { src, dst, tos, ttl, .. } = header;
        let packet = Packet { src, dst, unicast, tos, ttl, interface, bytes: payload };
        match (header.protocol, header.dst) {
            (TCP, _) => Input::Tcp(packet),
            (UDP, _) => Input::Udp(packet),
            (ICMP, IpAddr::V4(_)) | (ICMPV6, IpAddr::V6(_)) => self.icmp(now, frame, packet, looped),
            (IGMP, IpAddr::V4(_)) => self.igmp(now, frame, &packet),
            (_, IpAddr::V4(_)) => {
                let kind = Some(ErrorKind::ProtocolUnreachable);
                self.refused(now, frame, DropReason::ProtocolUnknown, kind, stats)
            }
            (extension::NO_NEXT, IpAddr::V6(_)) => dropped(DropReason::IpNothing),
            (_, IpAddr::V6(_)) => {
                let at = extension::skip(&frame.data[..packet.bytes.end], frame.data[ipv6::NEXT_HEADER]).named_at;
                let kind = Some(problem(Problem::NextHeader, at));
                self.refused(now, frame, DropReason::ProtocolUnknown, kind, stats)
            }
        }
    }

    /// What is in `frame`, and its protocol, for those who look at every packet whatever becomes of it; `None` if it is not
    /// valid, not for us, or a fragment.
    pub fn look(&self, frame: &RxFrame, looped: bool) -> Option<(u8, Packet)> {
        let (mut header, mut payload) = ip::parse(&frame.data).ok()?;
        let interface = frame.meta.interface.max(1);
        let unicast = self.check_addresses(&header, looped, interface).ok()?;
        match header.dst {
            IpAddr::V4(_) => check_v4(&frame.data[..payload.start]).ok()?,
            IpAddr::V6(_) => {
                follow_v6(&frame.data[..payload.end], &mut header, &mut payload.start, unicast).ok()?;
            }
        }
        let IpHeader { src, dst, tos, ttl, protocol, .. } = header;
        header
            .fragment
            .is_none()
            .then_some((protocol, Packet { src, dst, unicast, tos, ttl, interface, bytes: payload }))
    }

    /// Whether somebody here but raw sockets knows `protocol` in packets to `dst`.
    pub fn serves(&self, protocol: u8, dst: IpAddr) -> bool {
        match dst {
            IpAddr::V4(_) => matches!(protocol, TCP | UDP | ICMP | IGMP),
            IpAddr::V6(_) => matches!(protocol, TCP | UDP | ICMPV6),
        }
    }

    /// RFC 1122 3.2.1.3 and RFC 4291 2, the destination first: what is not for us tells nothing about its sender. Says
    /// whether the destination is an address of ours, and not that of many.
    fn check_addresses(&self, header: &IpHeader, looped: bool, interface: u8) -> Result<bool, DropReason> {
        let (src, dst) = (header.src, header.dst);
        // Nobody sends to himself by way of us (land).
        let unicast = self.is_local(dst) || src != dst && self.takes(dst);
        let ours = unicast || self.is_broadcast(dst) || dst.is_multicast() && self.is_member_on(dst, interface);
        if !ours {
            let somebodys = is_unicast(dst) || dst.is_multicast();
            return Err(if somebodys { DropReason::NotForUs } else { DropReason::MartianDestination });
        }
        if (dst.is_loopback() || !unicast && stays_here(dst)) && !looped {
            return Err(DropReason::MartianDestination);
        }
        if !self.is_valid_peer(src) || self.is_local(src) && !looped {
            return Err(DropReason::MartianSource);
        }
        if self.routes.is_open() || looped {
            return Ok(unicast);
        }
        if self.host_model == HostModel::Strong && !self.addresses.belongs_to(dst, interface) {
            return Err(DropReason::WrongInterface);
        }
        // Whom we must not answer we do not hear. A socket that is bound to one of several interfaces needs no route.
        let back = if unicast { Way::new(dst, src, 0) } else { src.into() };
        match self.check_route(back) {
            Ok(()) => Ok(unicast),
            Err(Error::NetworkUnreachable) if self.links.len() > 1 => Ok(unicast),
            Err(_) => Err(DropReason::NoRoute),
        }
    }

    /// A part of a packet: it waits until all of them have come.
    fn fragment(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        header: &IpHeader,
        place: Fragment,
        payload: Range<usize>,
        stats: &mut Stats,
    ) -> Input {
        if frame.meta.gso.is_some() {
            return dropped(DropReason::DeviceMetadata);
        }
        if let Err((reason, complaint)) = check_fragment(header, place, &payload) {
            return self.refused(now, frame, reason, complaint, stats);
        }
        let protocol = if header.dst.is_ipv4() { header.protocol } else { 0 };
        let interface = frame.meta.interface.max(1);
        let name = Name { src: header.src, dst: header.dst, id: place.id, protocol, interface };
        let packet = frame.data.slice(0..payload.end);
        let part = Part { name, place, tos: header.tos, packet: &packet, payload };
        match self.reassembly.insert(now, &part, &mut stats.ip.reassembly_evicted) {
            Outcome::Held => Input::Done { disposition: Disposition::Held, reply: None },
            Outcome::Dropped(reason) => dropped(reason),
            Outcome::Whole(whole) => {
                match fragment::whole_header(&whole.first, whole.payload, whole.len(), whole.tos) {
                    Some(header) => {
                        stats.ip.reassembled += 1;
                        let mut whole = RxFrame::plain(whole.join(&header));
                        whole.meta.interface = frame.meta.interface;
                        Input::Reassembled(whole)
                    }
                    None => dropped(DropReason::FragmentLength),
                }
            }
        }
    }

    fn icmp(&mut self, now: Instant, frame: &RxFrame, packet: Packet, looped: bool) -> Input {
        let message = &frame.data[packet.bytes.clone()];
        if packet.dst.is_ipv6() && message.first().is_some_and(|&kind| mld::is_mld(kind)) {
            return self.mld(now, frame, &packet);
        }
        let error = match Message::read(packet.src, packet.dst, message) {
            Ok(Message::EchoRequest(rest)) => return self.echo(frame, &packet, rest),
            Ok(Message::Error(kind)) if packet.unicast => kind,
            Ok(_) => return dropped(DropReason::IcmpIgnored),
            Err(reason) => return dropped(reason),
        };
        let (kind, code) = (message[0], message[1]);
        let complaint =
            Complaint { kind: error, message: (kind, code), offender: packet.src, interface: packet.interface };
        let quoted = frame.data.slice(packet.bytes.start + icmp::HEADER_LEN..packet.bytes.end);
        match Report::read(complaint, &quoted) {
            Ok(report) if self.may_be_ours(&packet, (report.local.ip(), report.remote.ip()), looped) => {
                Input::IcmpError(Box::new(report))
            }
            Ok(_) => dropped(DropReason::IcmpUnmatched),
            Err(reason) => dropped(reason),
        }
    }

    /// Whether the ICMP error in `packet` can be about a packet of ours that went by the same way: one of the same family
    /// from an address of ours, to another host if the error has come from a wire. `ends` are its source and destination.
    pub fn may_be_ours(&self, packet: &Packet, ends: (IpAddr, IpAddr), looped: bool) -> bool {
        let (from, to) = ends;
        from.is_ipv4() == packet.dst.is_ipv4() && self.takes(from) && (looped || !self.is_local(to))
    }

    fn echo(&mut self, frame: &RxFrame, packet: &Packet, rest: [u8; 4]) -> Input {
        // An answer to many would multiply one packet (smurf; RFC 1122 3.2.2.6), and for a host that is not us we cannot say
        // whether it lives: that is for a raw socket's application.
        if !self.is_local(packet.dst) || !self.echo_reply {
            return dropped(DropReason::IcmpEchoRefused);
        }
        let reply = self.echo_reply(frame, packet, rest);
        Input::Done { disposition: Disposition::Answered, reply: Some(Box::new(reply)) }
    }

    /// A packet that is dropped and, where that is allowed, complained about.
    fn refused(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        reason: DropReason,
        complaint: Option<ErrorKind>,
        stats: &mut Stats,
    ) -> Input {
        let reply = complaint.and_then(|kind| self.error_about(now, frame, kind, stats)).map(Box::new);
        Input::Done { disposition: Disposition::Dropped(reason), reply }
    }
}

pub(super) fn dropped(reason: DropReason) -> Input {
    Input::Done { disposition: Disposition::Dropped(reason), reply: None }
}

/// Looks at the options of an IPv4 header.
fn check_v4(header: &[u8]) -> Result<(), Refusal> {
    ipv4::check_options(header).map_err(|error| match error {
        OptionError::SourceRoute => (DropReason::IpSourceRoute, None),
        OptionError::Malformed { pointer } => {
            (DropReason::IpOptions, Some(problem(Problem::Field, usize::from(pointer))))
        }
    })
}

/// Follows the extension headers of an IPv6 `packet`: `header` says afterwards what is behind them, and `start` where.
fn follow_v6(packet: &[u8], header: &mut IpHeader, start: &mut usize, unicast: bool) -> Result<(), Refusal> {
    let upper = extension::walk(packet, header.protocol, !unicast).map_err(|fault| match fault {
        Fault::Discard => (DropReason::IpExtension, None),
        Fault::Field(at) => (DropReason::IpOptions, Some(problem(Problem::Field, at))),
        Fault::NextHeader(at) => (DropReason::IpExtension, Some(problem(Problem::NextHeader, at))),
        Fault::Option { at, told } => (DropReason::IpOptions, told.then(|| problem(Problem::Option, at))),
        Fault::Incomplete => (DropReason::FragmentTiny, Some(problem(Problem::Chain, 0))),
    })?;
    (header.protocol, header.fragment, *start) = (upper.protocol, upper.fragment, upper.start);
    Ok(())
}

/// Whether a fragment, whose payload stands at `payload` in its packet, can be a part of one. RFC 8200 4.5 has the sender
/// of an impossible one told; over IPv4 nobody does.
fn check_fragment(header: &IpHeader, place: Fragment, payload: &Range<usize>) -> Result<(), Refusal> {
    let (start, len) = (usize::from(place.offset), payload.len());
    let is_v4 = header.dst.is_ipv4();
    let about = |at: usize| (DropReason::FragmentLength, (!is_v4).then(|| problem(Problem::Field, at)));
    if place.more && !len.is_multiple_of(8) {
        return Err(about(ipv6::PAYLOAD_LEN.start));
    }
    if len == 0 {
        return Err((DropReason::FragmentLength, None));
    }
    // What stands before the payload of the whole packet, and is counted by its length field.
    let before = if is_v4 { payload.start } else { payload.start - extension::FRAGMENT_LEN - ipv6::HEADER_LEN };
    if before + start + len > ipv4::MAX_PACKET_LEN {
        return Err(about(payload.start - extension::FRAGMENT_LEN + FRAGMENT_OFFSET));
    }
    // RFC 1858 and 3128: nobody needs to cut a TCP header, but to hide it. (Over IPv6 the first fragment has all headers,
    // or is no good.)
    let cut = start < tcp::MIN_HEADER_LEN && (start > 0 || len < tcp::MIN_HEADER_LEN);
    if is_v4 && header.protocol == TCP && cut {
        return Err((DropReason::FragmentTiny, None));
    }
    Ok(())
}

/// Where the offset stands in a fragment header.
const FRAGMENT_OFFSET: usize = 2;

fn problem(problem: Problem, at: usize) -> ErrorKind {
    ErrorKind::ParameterProblem { problem, pointer: at as u32 }
}
