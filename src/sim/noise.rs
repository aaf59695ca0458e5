//! What a network does to packets that arrive all the same: something on the way cuts them into fragments, DF or not, and
//! somebody complains about them who has no reason to.
//!
//! A packet in fragments arrives all at once, so that for the oracle it arrives as a packet. What becomes of fragments
//! that are lost is shown by strays: pieces of a copy whose other pieces never come.

use super::coverage::{Cover, Coverage};
use crate::buf::Slice;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::icmp::IcmpHeader;
use crate::wire::icmpv6::Icmpv6Header;
use crate::wire::ip::{self, Fragment, IpHeader};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::{fragment, icmp, icmpv6, ipv4, ipv6, protocol, tcp};
use std::net::IpAddr;

/// Shares of the packets, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NoisePlan {
    /// Are cut into fragments.
    pub fragments: f64,
    /// Are complained about by an ICMP error.
    pub errors: f64,
}

/// A network's noise, until the faults end.
pub(super) struct Noise {
    plan: NoisePlan,
    rng: Rng,
    until: Instant,
    cut: u64,
    complaints: u64,
}

impl Noise {
    pub(super) fn new(plan: NoisePlan, seed: u64, until: Instant) -> Self {
        Noise { plan, rng: Rng::new(Rng::seed_from(seed)), until, cut: 0, complaints: 0 }
    }

    /// What arrives of `packet`: itself, or its fragments in some order.
    pub(super) fn arrive(&mut self, now: Instant, packet: Slice) -> Vec<Slice> {
        // Without noise no number is drawn, so that old seeds go on standing for what they did.
        if self.plan.fragments == 0.0 || now >= self.until || !self.rng.chance(self.plan.fragments) {
            return vec![packet];
        }
        let Some(mut pieces) = self.fragments(&packet) else { return vec![packet] };
        if self.rng.chance(0.2) {
            // Of another identification, and not all of them.
            let strays = self.fragments(&packet).unwrap_or_default();
            let some = self.rng.between(1, strays.len() as u64 - 1) as usize;
            pieces.extend(strays.into_iter().take(some));
        }
        if self.rng.chance(0.2) {
            pieces.push(pieces[0].clone());
        }
        for i in (1..pieces.len()).rev() {
            pieces.swap(i, self.rng.between(0, i as u64) as usize);
        }
        self.cut += 1;
        pieces
    }

    /// The fragments of a TCP packet that is long enough to have some.
    fn fragments(&mut self, packet: &[u8]) -> Option<Vec<Slice>> {
        let (header, payload) = ip::parse(packet).ok()?;
        // A first fragment that does not hold the header is refused.
        let least = tcp::MAX_HEADER_LEN.next_multiple_of(8);
        if header.protocol != protocol::TCP || payload.len() <= least {
            return None;
        }
        let mut own = packet[..payload.start].to_vec();
        if header.src.is_ipv4() {
            let id = self.rng.u32() as u16;
            own[4..6].copy_from_slice(&id.to_be_bytes());
        }
        let (id, payload) = (self.rng.u32(), &packet[payload]);
        let each = self.rng.between(least as u64 / 8, (payload.len() as u64 - 1) / 8) as usize * 8;
        let piece = |(i, data): (usize, &[u8])| {
            let offset = i * each;
            let place = Fragment { id, offset: offset as u16, more: offset + data.len() < payload.len() };
            let mut bytes = vec![0; fragment::MAX_HEADER_LEN];
            let len = fragment::emit(&own, place, data.len(), &mut bytes);
            bytes.truncate(len);
            bytes.extend_from_slice(data);
            Slice::copy_of(&bytes)
        };
        Some(payload.chunks(each).enumerate().map(piece).collect())
    }

    /// An ICMP error to the sender of `packet`, which says what is not so. Nobody complains about a SYN: that would be
    /// believed, and rightly.
    pub(super) fn complain(&mut self, now: Instant, packet: &[u8]) -> Option<Slice> {
        if self.plan.errors == 0.0 || now >= self.until || !self.rng.chance(self.plan.errors) {
            return None;
        }
        let (header, payload) = ip::parse(packet).ok()?;
        let (segment, _) = tcp::parse(&packet[payload.clone()]).ok().filter(|_| header.protocol == protocol::TCP)?;
        if segment.flags.syn() {
            return None;
        }
        let mut quoted = packet[..packet.len().min(payload.start + self.rng.between(8, 500) as usize)].to_vec();
        if self.rng.chance(0.3) {
            // Another number: whoever guesses.
            let guess = self.rng.u32();
            quoted[payload.start + 4..payload.start + 8].copy_from_slice(&guess.to_be_bytes());
        }
        self.complaints += 1;
        if header.src.is_ipv6() {
            let message = self.message_v6();
            error_v6(&header, message, &quoted)
        } else {
            let message = self.message_v4();
            error_v4(&header, message, &quoted)
        }
    }

    fn message_v4(&mut self) -> IcmpHeader {
        let code = self.rng.between(0, 16) as u8;
        match self.rng.between(0, 5) {
            0 => IcmpHeader::DestinationUnreachable { code: 4, mtu: self.rng.between(0, 2000) as u16 },
            1 => IcmpHeader::TimeExceeded { code: code & 1 },
            2 => IcmpHeader::ParameterProblem { code: 0, pointer: code },
            // Source quench, redirect.
            3 => IcmpHeader::Other { kind: 4 + (code & 1), code: 0, rest: [10, 0, 0, 1] },
            _ => IcmpHeader::DestinationUnreachable { code, mtu: 0 },
        }
    }

    fn message_v6(&mut self) -> Icmpv6Header {
        let code = self.rng.between(0, 7) as u8;
        match self.rng.between(0, 4) {
            0 => Icmpv6Header::PacketTooBig { mtu: self.rng.between(0, 2000) as u32 },
            1 => Icmpv6Header::TimeExceeded { code: code & 1 },
            2 => Icmpv6Header::ParameterProblem { code: code & 1, pointer: 40 },
            _ => Icmpv6Header::DestinationUnreachable { code },
        }
    }

    /// Counts what was done.
    pub(super) fn cover(&self, coverage: &mut Coverage) {
        coverage.add(Cover::Fragments, self.cut);
        coverage.add(Cover::IcmpNoise, self.complaints);
    }
}

/// What a router says whose next link carries only `mtu` bytes (RFC 1191, 8201), to whom it may say so.
pub(super) fn too_big(packet: &[u8], mtu: usize) -> Option<Slice> {
    let (header, payload) = ip::parse(packet).ok()?;
    let quoted = &packet[..packet.len().min(payload.start + 500)];
    let mtu = u16::try_from(mtu).ok()?;
    match header.src {
        IpAddr::V6(_) => error_v6(&header, Icmpv6Header::PacketTooBig { mtu: mtu.into() }, quoted),
        IpAddr::V4(_) => error_v4(&header, IcmpHeader::DestinationUnreachable { code: 4, mtu }, quoted),
    }
}

fn error_v6(about: &IpHeader, message: Icmpv6Header, quoted: &[u8]) -> Option<Slice> {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (about.dst, about.src) else { return None };
    let mut body = vec![0; icmpv6::HEADER_LEN];
    icmpv6::emit(&message, src, dst, quoted, &mut body);
    body.extend_from_slice(quoted);
    let (next_header, hop_limit) = (protocol::ICMPV6, 64);
    let header = Ipv6Header { src, dst, next_header, hop_limit, traffic_class: 0, flow_label: 0 };
    let mut bytes = vec![0; ipv6::HEADER_LEN];
    ipv6::emit(&header, body.len(), &mut bytes);
    Some(Slice::copy_of(&[bytes, body].concat()))
}

fn error_v4(about: &IpHeader, message: IcmpHeader, quoted: &[u8]) -> Option<Slice> {
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (about.dst, about.src) else { return None };
    let mut body = vec![0; icmp::HEADER_LEN];
    icmp::emit(&message, quoted, &mut body);
    body.extend_from_slice(quoted);
    let header = Ipv4Header {
        src,
        dst,
        protocol: protocol::ICMP,
        ttl: 64,
        tos: 0,
        id: 0,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
    };
    let mut bytes = vec![0; ipv4::MIN_HEADER_LEN];
    ipv4::emit(&header, body.len(), &mut bytes);
    Some(Slice::copy_of(&[bytes, body].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn packet(text: usize) -> Slice {
        let mut bytes = vec![0; 40 + text];
        let header = Ipv4Header {
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(192, 0, 2, 2),
            protocol: protocol::TCP,
            ttl: 64,
            tos: 0,
            id: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
        };
        ipv4::emit(&header, 20 + text, &mut bytes);
        bytes[32] = 5 << 4;
        bytes[33] = tcp::Flags::ACK.0;
        Slice::copy_of(&bytes)
    }

    fn noise(fragments: f64, errors: f64) -> Noise {
        Noise::new(NoisePlan { fragments, errors }, 1, Instant::from_millis(10))
    }

    #[test]
    fn there_is_none_without_a_plan_nor_when_the_faults_are_over() {
        let late = Instant::from_millis(10);
        for (mut noise, now) in [(noise(0.0, 0.0), Instant::ZERO), (noise(1.0, 1.0), late)] {
            assert_eq!(noise.arrive(now, packet(500)), [packet(500)]);
            assert!(noise.complain(now, &packet(500)).is_none());
        }
        // What is too short is not cut, and a SYN not complained about.
        let mut syn = packet(0).to_vec();
        syn[33] = tcp::Flags::SYN.0;
        assert_eq!(noise(1.0, 0.0).arrive(Instant::ZERO, packet(20)), [packet(20)]);
        assert!(noise(0.0, 1.0).complain(Instant::ZERO, &syn).is_none());
    }

    #[test]
    fn fragments_are_good_and_errors_quote_the_packet() {
        let mut noise = noise(1.0, 1.0);
        let pieces = noise.arrive(Instant::ZERO, packet(1000));
        assert!(pieces.len() > 1);
        for piece in &pieces {
            let (header, payload) = ip::parse(piece).expect("a good packet");
            assert!(header.fragment.is_some() && payload.end == piece.len());
        }
        let error = noise.complain(Instant::ZERO, &packet(1000)).expect("a complaint");
        let (header, payload) = ip::parse(&error).expect("a good packet");
        assert_eq!((header.protocol, header.src), (protocol::ICMP, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))));
        assert!(icmp::parse(&error[payload.clone()]).is_ok());
        assert_eq!(error[payload.start + 8..payload.start + 24], packet(1000)[..16]);
    }
}
