//! A received packet, from its first byte to the transport that gets it.

use super::addresses::is_unicast;
use super::{ICMP, IGMP, Ip, TCP, UDP};
use crate::icmp::{ErrorKind, Report};
use crate::stats::{Disposition, DropReason, Stats};
use crate::time::Instant;
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::ipv4::{self, Ipv4Header, OptionError};
use crate::wire::{RxFrame, TxFrame};
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
    IcmpError(Report),
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
    /// Whether the destination is one of our addresses.
    pub unicast: bool,
    /// Its DSCP and ECN byte.
    pub tos: u8,
    /// Its TTL.
    pub ttl: u8,
    /// Where the transport's header and data stand in the frame.
    pub bytes: Range<usize>,
}

impl Ip {
    /// Takes one received frame. `looped` says that it is one of our own that never left us: only such a one may come
    /// from an address of ours, and only such a one may come from or go to 127/8.
    pub fn input(&mut self, now: Instant, frame: &RxFrame, looped: bool, stats: &mut Stats) -> Input {
        let (header, payload) = match ipv4::parse(&frame.data) {
            Ok(parsed) => parsed,
            Err(reason) => return dropped(reason),
        };
        if let Err(reason) = self.check_addresses(&header, looped) {
            return dropped(reason);
        }
        match ipv4::check_options(&frame.data[..payload.start]) {
            Ok(()) => {}
            Err(OptionError::SourceRoute) => return dropped(DropReason::IpSourceRoute),
            Err(OptionError::Malformed { pointer }) => {
                let kind = ErrorKind::ParameterProblem { pointer: u32::from(pointer) };
                return self.refused(now, frame, DropReason::IpOptions, kind, stats);
            }
        }
        if header.is_fragment() {
            return dropped(DropReason::Fragment);
        }
        let dst = IpAddr::V4(header.dst);
        let packet = Packet {
            src: header.src.into(),
            dst,
            unicast: self.is_local(dst),
            tos: header.tos,
            ttl: header.ttl,
            bytes: payload,
        };
        match header.protocol {
            TCP => Input::Tcp(packet),
            UDP => Input::Udp(packet),
            ICMP => self.icmp(frame, packet),
            IGMP => self.igmp(now, frame, &packet),
            _ => self.refused(now, frame, DropReason::ProtocolUnknown, ErrorKind::ProtocolUnreachable, stats),
        }
    }

    /// RFC 1122 3.2.1.3, the destination first: what is not for us tells nothing about its sender.
    fn check_addresses(&self, header: &Ipv4Header, looped: bool) -> Result<(), DropReason> {
        let (src, dst) = (IpAddr::V4(header.src), IpAddr::V4(header.dst));
        let ours = self.is_local(dst) || self.is_broadcast(dst) || dst.is_multicast() && self.is_member(dst);
        if !ours {
            return Err(if is_unicast(header.dst) || dst.is_multicast() {
                DropReason::NotForUs
            } else {
                DropReason::MartianDestination
            });
        }
        if header.dst.is_loopback() && !looped {
            return Err(DropReason::MartianDestination);
        }
        if !self.is_valid_peer(src) || self.is_local(src) && !looped {
            return Err(DropReason::MartianSource);
        }
        Ok(())
    }

    fn icmp(&mut self, frame: &RxFrame, packet: Packet) -> Input {
        let message = &frame.data[packet.bytes.clone()];
        let header = match icmp::parse(message) {
            Ok(header) => header,
            Err(reason) => return dropped(reason),
        };
        if let IcmpHeader::EchoRequest { rest } = header {
            return self.echo(frame, &packet, rest);
        }
        let Some(kind) = ErrorKind::from_v4(&header).filter(|_| packet.unicast) else {
            return dropped(DropReason::IcmpIgnored);
        };
        match Report::read_v4(kind, &message[icmp::HEADER_LEN..]) {
            Ok(report) if self.is_local(report.local.ip()) => Input::IcmpError(report),
            Ok(_) => dropped(DropReason::IcmpUnmatched),
            Err(reason) => dropped(reason),
        }
    }

    fn echo(&mut self, frame: &RxFrame, packet: &Packet, rest: [u8; 4]) -> Input {
        // An answer to many would multiply one packet (smurf; RFC 1122 3.2.2.6).
        if !packet.unicast || !self.echo_reply || packet.bytes.len() > self.payload_mtu(packet.src) {
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
        kind: ErrorKind,
        stats: &mut Stats,
    ) -> Input {
        let reply = self.error_about(now, frame, kind, stats).map(Box::new);
        Input::Done { disposition: Disposition::Dropped(reason), reply }
    }
}

pub(super) fn dropped(reason: DropReason) -> Input {
    Input::Done { disposition: Disposition::Dropped(reason), reply: None }
}
