//! What the headers of both IP versions say, in one form: whoever reads it need not know the version.

use super::{extension, ipv4, ipv6};
use crate::stats::DropReason;
use core::ops::Range;
use std::net::IpAddr;

/// The bits of ECN in the byte that they share with the DSCP, and two of their values (RFC 3168 5): ECN-Capable Transport
/// and Congestion Experienced.
pub const ECN: u8 = 3;
/// ECT(0).
pub const ECT0: u8 = 2;
/// CE.
pub const CE: u8 = 3;

/// The fields that the headers of both versions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpHeader {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same family.
    pub dst: IpAddr,
    /// What the payload is: a transport, or over IPv6 possibly an [`extension`] header.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// DSCP and ECN byte.
    pub tos: u8,
    /// Set if the packet is a part of a larger one.
    pub fragment: Option<Fragment>,
}

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What the fragments of one packet have in common, beside addresses and protocol.
    pub id: u32,
    /// Where the payload belongs, in bytes; a multiple of eight.
    pub offset: u16,
    /// Another fragment follows.
    pub more: bool,
}

/// Parses and validates the header at the start of `bytes`, which is of IPv6 or, if not, must be of IPv4; gives it with
/// the place of its payload. IPv6's extension headers are part of that.
///
/// # Errors
/// `Truncated`, `IpVersion`, `IpLength`, `IpChecksum`.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<(IpHeader, Range<usize>), DropReason> {
    if is_v6(bytes) {
        return ipv6::parse(bytes).map(|(header, payload)| (header.into(), payload));
    }
    ipv4::parse(bytes).map(|(header, payload)| (header.into(), payload))
}

/// Parses a header that an ICMP error quotes, as far as the transport; gives it with its length. What follows may be cut
/// off.
///
/// # Errors
/// `Truncated`, `IpVersion`, `IpLength`.
pub fn parse_quoted(bytes: &[u8]) -> Result<(IpHeader, usize), DropReason> {
    if is_v6(bytes) {
        let mut header: IpHeader = ipv6::parse_quoted(bytes)?.into();
        let upper = extension::skip(bytes, header.protocol);
        (header.protocol, header.fragment) = (upper.protocol, upper.fragment);
        return Ok((header, upper.start.min(bytes.len())));
    }
    ipv4::parse_quoted(bytes).map(|(header, len)| (header.into(), len))
}

/// How long a quoted packet was, by its own length field, in bytes; zero if not even that is there.
pub fn claimed_len(quoted: &[u8]) -> usize {
    let field = |at: usize| quoted.get(at..at + 2).map_or(0, |f| usize::from(u16::from_be_bytes([f[0], f[1]])));
    if is_v6(quoted) { ipv6::HEADER_LEN + field(ipv6::PAYLOAD_LEN.start) } else { field(2) }
}

/// The destination of a packet that we have made ourselves.
///
/// # Panics
/// If `packet` is shorter than a header.
#[inline]
pub fn destination(packet: &[u8]) -> IpAddr {
    if is_v6(packet) { ipv6::destination(packet).into() } else { ipv4::destination(packet).into() }
}

/// The source of a packet that we have made ourselves.
///
/// # Panics
/// If `packet` is shorter than a header.
pub fn source(packet: &[u8]) -> IpAddr {
    if is_v6(packet) { ipv6::source(packet).into() } else { ipv4::source(packet).into() }
}

/// The length of the header without options or extensions that packets to `addr` have, in bytes.
pub const fn header_len(addr: IpAddr) -> usize {
    if addr.is_ipv4() { ipv4::MIN_HEADER_LEN } else { ipv6::HEADER_LEN }
}

fn is_v6(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first >> 4 == 6)
}

impl From<ipv4::Ipv4Header> for IpHeader {
    #[inline]
    fn from(header: ipv4::Ipv4Header) -> IpHeader {
        let fragment = header.is_fragment().then_some(Fragment {
            id: header.id.into(),
            offset: header.fragment_offset,
            more: header.more_fragments,
        });
        let (src, dst) = (header.src.into(), header.dst.into());
        IpHeader { src, dst, protocol: header.protocol, ttl: header.ttl, tos: header.tos, fragment }
    }
}

impl From<ipv6::Ipv6Header> for IpHeader {
    #[inline]
    fn from(header: ipv6::Ipv6Header) -> IpHeader {
        IpHeader {
            src: header.src.into(),
            dst: header.dst.into(),
            protocol: header.next_header,
            ttl: header.hop_limit,
            tos: header.traffic_class,
            fragment: None,
        }
    }
}
