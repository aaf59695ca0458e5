//! Packets as bytes: [`Packet`] is what the stack emitted, taken apart and verified without the crate's own parser.

use super::family::{on_wire, over_ipv6, within};
use super::segment::flags_name;
use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4};
use tunstack::time::Instant;

/// A TCP packet that the stack emitted.
#[derive(Clone, Debug)]
pub struct Packet {
    /// When.
    pub at: Instant,
    /// The whole IP packet.
    pub bytes: Vec<u8>,
    pub src: SocketAddrV4,
    pub dst: SocketAddrV4,
    pub ttl: u8,
    pub tos: u8,
    pub ip_id: u16,
    /// Whether routers must not fragment it.
    pub df: bool,
    /// As it stands in the header.
    pub seq: u32,
    /// As it stands in the header.
    pub ack: u32,
    pub flags: u8,
    /// As it stands in the header.
    pub wnd: u16,
    pub up: u16,
    pub mss: Option<u16>,
    pub ws: Option<u8>,
    pub sack_ok: Option<()>,
    pub ts: Option<(u32, u32)>,
    /// As they stand in the header.
    pub sack: Option<Vec<(u32, u32)>>,
    pub text: Vec<u8>,
}

impl Packet {
    /// Takes a packet apart and verifies it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(at: Instant, bytes: &[u8], mtu: usize) -> Result<Packet, String> {
        check(bytes.len() <= mtu, || format!("{} bytes over an MTU of {mtu}", bytes.len()))?;
        let ip = if over_ipv6() { Header::v6(bytes)? } else { Header::v4(bytes)? };
        check(ip.ttl > 0, || "TTL 0".into())?;
        let segment = &bytes[ip.len..];
        let tcp = etherparse::TcpHeaderSlice::from_slice(segment).map_err(|e| format!("TCP header: {e}"))?;
        let text = &segment[usize::from(tcp.data_offset()) * 4..];
        let sum = match (on_wire(ip.src), on_wire(ip.dst)) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => tcp.calc_checksum_ipv4_raw(src.octets(), dst.octets(), text),
            (IpAddr::V6(src), IpAddr::V6(dst)) => tcp.calc_checksum_ipv6_raw(src.octets(), dst.octets(), text),
            _ => unreachable!("all of one family"),
        };
        let sum = sum.map_err(|e| format!("TCP length: {e}"))?;
        check(sum == tcp.checksum(), || format!("TCP checksum {:#06x}, should be {sum:#06x}", tcp.checksum()))?;
        let (again, _) = tunstack::wire::tcp::parse(segment).map_err(|e| format!("our own parser says {e:?}"))?;
        check(again.seq == tcp.sequence_number() && again.ack == tcp.acknowledgment_number(), || {
            "our own parser reads other numbers".into()
        })?;
        let mut packet = Packet {
            at,
            bytes: bytes.to_vec(),
            src: SocketAddrV4::new(ip.src, tcp.source_port()),
            dst: SocketAddrV4::new(ip.dst, tcp.destination_port()),
            ttl: ip.ttl,
            tos: ip.tos,
            ip_id: ip.id,
            df: ip.df,
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            flags: segment[13],
            wnd: tcp.window_size(),
            up: tcp.urgent_pointer(),
            mss: None,
            ws: None,
            sack_ok: None,
            ts: None,
            sack: None,
            text: text.to_vec(),
        };
        packet.read_options(tcp.options())?;
        Ok(packet)
    }

    /// Strict: what we emit must be well-formed to the last byte.
    fn read_options(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some((&kind, rest)) = bytes.split_first() {
            match kind {
                0 => return check(rest.iter().all(|&b| b == 0), || format!("padding after EOL: {rest:?}")),
                1 => bytes = rest,
                _ => {
                    let len = usize::from(*rest.first().ok_or("an option without a length")?);
                    check(len >= 2 && len <= bytes.len(), || format!("option {kind} of length {len}"))?;
                    self.read_option(kind, &bytes[2..len])?;
                    bytes = &bytes[len..];
                }
            }
        }
        Ok(())
    }

    fn read_option(&mut self, kind: u8, value: &[u8]) -> Result<(), String> {
        let word = |i: usize| u32::from_be_bytes([value[i], value[i + 1], value[i + 2], value[i + 3]]);
        match (kind, value.len()) {
            (2, 2) => self.mss = Some(u16::from_be_bytes([value[0], value[1]])),
            (3, 1) => self.ws = Some(value[0]),
            (4, 0) => self.sack_ok = Some(()),
            (5, n) if n > 0 && n % 8 == 0 => {
                self.sack = Some((0..n / 8).map(|i| (word(i * 8), word(i * 8 + 4))).collect());
            }
            (8, 8) => self.ts = Some((word(0), word(4))),
            _ => return Err(format!("an option that we should not send: kind {kind}, {} bytes", value.len())),
        }
        Ok(())
    }

    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// What the packet takes of sequence space.
    pub fn seq_len(&self) -> u32 {
        self.text.len() as u32 + u32::from(self.has(super::SYN)) + u32::from(self.has(super::FIN))
    }

    /// The IP header's and the first `n` further bytes, as an ICMP error quotes them.
    pub fn quote(&self, n: usize) -> Vec<u8> {
        let header_len = if over_ipv6() { 40 } else { usize::from(self.bytes[0] & 15) * 4 };
        self.bytes[..(header_len + n).min(self.bytes.len())].to_vec()
    }
}

/// What an IP header says, verified.
struct Header {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    ttl: u8,
    tos: u8,
    /// Zero over IPv6.
    id: u16,
    /// True over IPv6.
    df: bool,
    len: usize,
}

impl Header {
    fn v4(bytes: &[u8]) -> Result<Header, String> {
        let ip = etherparse::Ipv4HeaderSlice::from_slice(bytes).map_err(|e| format!("IPv4 header: {e}"))?;
        check(usize::from(ip.total_len()) == bytes.len(), || {
            format!("total length {} of a packet of {} bytes", ip.total_len(), bytes.len())
        })?;
        check(ip.to_header().calc_header_checksum() == ip.header_checksum(), || "IP header checksum".into())?;
        check(!ip.is_fragmenting_payload(), || "a fragment".into())?;
        let (src, dst) = (ip.source_addr(), ip.destination_addr());
        let len = usize::from(ip.ihl()) * 4;
        Ok(Header { src, dst, ttl: ip.ttl(), tos: bytes[1], id: ip.identification(), df: ip.dont_fragment(), len })
    }

    fn v6(bytes: &[u8]) -> Result<Header, String> {
        let ip = etherparse::Ipv6HeaderSlice::from_slice(bytes).map_err(|e| format!("IPv6 header: {e}"))?;
        check(usize::from(ip.payload_length()) + 40 == bytes.len(), || {
            format!("payload length {} of a packet of {} bytes", ip.payload_length(), bytes.len())
        })?;
        check(ip.next_header().0 == 6, || format!("next header {}", ip.next_header().0))?;
        check(ip.flow_label().value() != 0, || "a flow without a label".into())?;
        let within = |addr| within(addr).ok_or_else(|| format!("{addr} is no address of these tests"));
        let (src, dst) = (within(ip.source_addr())?, within(ip.destination_addr())?);
        Ok(Header { src, dst, ttl: ip.hop_limit(), tos: ip.traffic_class(), id: 0, df: true, len: 40 })
    }
}

fn check(ok: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if ok { Ok(()) } else { Err(what()) }
}

/// The Internet checksum of `bytes` after `sum` (RFC 1071), the plain way.
pub fn checksum(mut sum: u32, bytes: &[u8]) -> u16 {
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A TCP packet to be built.
#[derive(Clone, Debug)]
pub struct Raw {
    pub src: SocketAddrV4,
    pub dst: SocketAddrV4,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub wnd: u16,
    pub up: u16,
    pub options: Vec<u8>,
    pub text: Vec<u8>,
    pub ttl: u8,
    pub tos: u8,
    pub ip_options: Vec<u8>,
    pub bad_checksum: bool,
}

impl Raw {
    /// A bare segment.
    pub fn new(src: SocketAddrV4, dst: SocketAddrV4, flags: u8, seq: u32, ack: u32) -> Raw {
        Raw {
            src,
            dst,
            seq,
            ack,
            flags,
            wnd: u16::MAX,
            up: 0,
            options: Vec::new(),
            text: Vec::new(),
            ttl: 64,
            tos: 0,
            ip_options: Vec::new(),
            bad_checksum: false,
        }
    }

    /// The packet, with right checksums unless told otherwise. Options of both headers are padded with zeros.
    pub fn build(&self) -> Vec<u8> {
        let mut tcp = vec![0; 20 + self.options.len().next_multiple_of(4)];
        tcp[0..2].copy_from_slice(&self.src.port().to_be_bytes());
        tcp[2..4].copy_from_slice(&self.dst.port().to_be_bytes());
        tcp[4..8].copy_from_slice(&self.seq.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.ack.to_be_bytes());
        tcp[12] = (tcp.len() * 4) as u8; // the offset in words, in the upper half
        tcp[13] = self.flags;
        tcp[14..16].copy_from_slice(&self.wnd.to_be_bytes());
        tcp[18..20].copy_from_slice(&self.up.to_be_bytes());
        tcp[20..20 + self.options.len()].copy_from_slice(&self.options);
        tcp.extend_from_slice(&self.text);
        let (src, dst) = (on_wire(*self.src.ip()), on_wire(*self.dst.ip()));
        let sum = checksum(pseudo_sum(src, dst, 6, tcp.len()), &tcp) ^ u16::from(self.bad_checksum);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => ipv4(src, dst, self.ttl, self.tos, 6, &self.ip_options, &tcp),
            (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6(src, dst, self.ttl, self.tos, 6, &tcp),
            _ => unreachable!("all of one family"),
        }
    }
}

/// The sum over the pseudo-header, to start [`checksum`] with.
pub fn pseudo_sum(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> u32 {
    let octets = |addr| match addr {
        IpAddr::V4(v4) => Ipv4Addr::octets(&v4).to_vec(),
        IpAddr::V6(v6) => Ipv6Addr::octets(&v6).to_vec(),
    };
    let sum = |addr| u32::from(!checksum(0, &octets(addr)));
    sum(src) + sum(dst) + u32::from(protocol) + len as u32
}

/// An IPv6 packet.
pub fn ipv6(src: Ipv6Addr, dst: Ipv6Addr, ttl: u8, tos: u8, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 40];
    out[..4].copy_from_slice(&(6 << 28 | u32::from(tos) << 20 | 1).to_be_bytes());
    out[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    out[6] = protocol;
    out[7] = ttl;
    out[8..24].copy_from_slice(&src.octets());
    out[24..40].copy_from_slice(&dst.octets());
    out.extend_from_slice(payload);
    out
}

/// An IPv4 packet with a right header checksum. Options are padded with zeros.
pub fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, ttl: u8, tos: u8, protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len().next_multiple_of(4);
    let mut out = vec![0; header_len];
    out[0] = 0x40 | (header_len / 4) as u8;
    out[1] = tos;
    out[2..4].copy_from_slice(&((header_len + payload.len()) as u16).to_be_bytes());
    out[6] = 0x40;
    out[8] = ttl;
    out[9] = protocol;
    out[12..16].copy_from_slice(&src.octets());
    out[16..20].copy_from_slice(&dst.octets());
    out[20..20 + options.len()].copy_from_slice(options);
    let sum = checksum(0, &out);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seq={} ack={} wnd={} len={}",
            flags_name(self.flags),
            self.seq,
            self.ack,
            self.wnd,
            self.text.len()
        )
    }
}
