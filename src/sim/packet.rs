//! The oracle's own reading of a packet. It shares no code with the stack's, so that the two can disagree.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP packet with a TCP segment, or with something else in it.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// TTL or hop limit. A packet that has reached its end is good whatever it is, and over IPv6 no checksum guards it.
    pub ttl: u8,
    /// The protocol number.
    pub protocol: u8,
    /// The segment, if the protocol is TCP.
    pub tcp: Option<Tcp<'a>>,
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// SEG.SEQ.
    pub seq: u32,
    /// SEG.ACK.
    pub ack: u32,
    /// The eight control bits.
    pub flags: u8,
    /// The window field, not scaled.
    pub wnd: u16,
    /// MSS option.
    pub mss: Option<u16>,
    /// Window scale option.
    pub scale: Option<u8>,
    /// Time stamp option (TSval, TSecr).
    pub timestamps: Option<(u32, u32)>,
    /// SACK blocks, those present.
    pub sack: [Option<(u32, u32)>; 4],
    /// The length of all options in bytes.
    pub options_len: usize,
    /// The text.
    pub text: &'a [u8],
}

impl Tcp<'_> {
    /// FIN is set.
    pub const fn fin(&self) -> bool {
        self.flags & 1 != 0
    }
    /// SYN is set.
    pub const fn syn(&self) -> bool {
        self.flags & 2 != 0
    }
    /// RST is set.
    pub const fn rst(&self) -> bool {
        self.flags & 4 != 0
    }
    /// ACK is set.
    pub const fn has_ack(&self) -> bool {
        self.flags & 16 != 0
    }
    /// SEG.LEN.
    pub fn len(&self) -> u32 {
        self.text.len() as u32 + u32::from(self.syn()) + u32::from(self.fin())
    }
    /// Whether it takes no sequence number.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads a packet and verifies all that can be verified in it alone.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(bytes: &[u8]) -> Result<Packet<'_>, &'static str> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => parse_v4(bytes),
        Some(6) => parse_v6(bytes),
        _ => Err("neither IPv4 nor IPv6"),
    }
}

fn parse_v6(bytes: &[u8]) -> Result<Packet<'_>, &'static str> {
    let header = bytes.get(..40).ok_or("shorter than an IPv6 header")?;
    if 40 + usize::from(be16(header, 4)) != bytes.len() {
        return Err("IPv6 lengths contradict each other");
    }
    let addr = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        IpAddr::V6(Ipv6Addr::from(octets))
    };
    let packet = transport([addr(8), addr(24)], &header[8..40], header[6], &bytes[40..])?;
    Ok(Packet { ttl: header[7], ..packet })
}

fn parse_v4(bytes: &[u8]) -> Result<Packet<'_>, &'static str> {
    let header = bytes.get(..20).ok_or("shorter than an IPv4 header")?;
    let header_len = usize::from(header[0] & 15) * 4;
    let total = usize::from(be16(header, 2));
    if header_len < 20 || total < header_len || total != bytes.len() {
        return Err("IPv4 lengths contradict each other");
    }
    if sum(&bytes[..header_len], 0) != 0xffff {
        return Err("wrong IPv4 header checksum");
    }
    if be16(header, 6) & 0x3fff != 0 {
        return Err("a fragment");
    }
    let addr = |at: usize| IpAddr::V4(Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]));
    let packet = transport([addr(12), addr(16)], &header[12..20], header[9], &bytes[header_len..])?;
    Ok(Packet { ttl: header[8], ..packet })
}

/// What IP carries, between `ends`, which stand as `addresses` in the header.
fn transport<'a>(
    [src, dst]: [IpAddr; 2],
    addresses: &[u8],
    protocol: u8,
    payload: &'a [u8],
) -> Result<Packet<'a>, &'static str> {
    let pseudo = || {
        let addresses: u32 = addresses.chunks_exact(2).map(|c| u32::from(be16(c, 0))).sum();
        addresses + u32::from(protocol) + payload.len() as u32
    };
    let tcp = match protocol {
        6 => {
            if sum(payload, pseudo()) != 0xffff {
                return Err("wrong TCP checksum");
            }
            Some(parse_tcp(payload)?)
        }
        17 if src.is_ipv6() && payload.get(6..8) == Some(&[0, 0]) => return Err("UDP over IPv6 without a checksum"),
        17 if payload.get(6..8).is_some_and(|c| c != [0, 0]) && sum(payload, pseudo()) != 0xffff => {
            return Err("wrong UDP checksum");
        }
        1 if sum(payload, 0) != 0xffff => return Err("wrong ICMP checksum"),
        58 if sum(payload, pseudo()) != 0xffff => return Err("wrong ICMPv6 checksum"),
        _ => None,
    };
    Ok(Packet { src, dst, ttl: 0, protocol, tcp })
}

fn parse_tcp(bytes: &[u8]) -> Result<Tcp<'_>, &'static str> {
    let header = bytes.get(..20).ok_or("shorter than a TCP header")?;
    let offset = usize::from(header[12] >> 4) * 4;
    let mut options = bytes.get(20..offset).ok_or("TCP data offset past the end")?;
    let mut tcp = Tcp {
        src_port: be16(header, 0),
        dst_port: be16(header, 2),
        seq: be32(header, 4),
        ack: be32(header, 8),
        flags: header[13],
        wnd: be16(header, 14),
        mss: None,
        scale: None,
        timestamps: None,
        sack: [None; 4],
        options_len: options.len(),
        text: &bytes[offset..],
    };
    if header[12] & 15 != 0 {
        return Err("reserved TCP bits are set");
    }
    while let [kind, rest @ ..] = options {
        match kind {
            0 if rest.iter().all(|&b| b == 0) => break,
            0 => return Err("padding after the end of options is not zero"),
            1 => {
                options = rest;
                continue;
            }
            _ => {}
        }
        let len = usize::from(*rest.first().ok_or("a TCP option without a length")?);
        let body = options.get(2..len).ok_or("a TCP option runs past the header")?;
        match (kind, body.len()) {
            (2, 2) => tcp.mss = Some(be16(body, 0)),
            (3, 1) => tcp.scale = Some(body[0]),
            (4, 0) => {}
            (5, 8 | 16 | 24 | 32) => {
                for (slot, block) in tcp.sack.iter_mut().zip(body.chunks_exact(8)) {
                    *slot = Some((be32(block, 0), be32(block, 4)));
                }
            }
            (8, 8) => tcp.timestamps = Some((be32(body, 0), be32(body, 4))),
            _ => return Err("an unknown TCP option, or one of a wrong length"),
        }
        options = &options[len..];
    }
    Ok(tcp)
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The ones'-complement sum of `bytes` and `start`, folded (RFC 1071). Summed in the machine's byte order, eight times four
/// bytes at once, and turned round at the end, which RFC 1071 2 (B) shows to be the same.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let word = |w: &[u8; 4]| u64::from(u32::from_ne_bytes(*w));
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0u64; 8];
    for block in blocks {
        lanes.iter_mut().zip(block.as_chunks().0).for_each(|(lane, w)| *lane += word(w));
    }
    let (words, rest) = rest.as_chunks();
    let mut total = lanes.iter().sum::<u64>() + words.iter().map(word).sum::<u64>();
    for pair in rest.chunks(2) {
        total += u64::from(u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    fold(u64::from(u16::from_be(fold(total))) + u64::from(start))
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN from 10.0.0.1:49320 to 10.0.0.2:80 with MSS 1460, SACK permitted, time stamps and window scale 7, its
    /// checksums worked out by hand below.
    fn syn() -> Vec<u8> {
        let mut bytes = vec![
            0x45, 0, 0, 60, 0x1c, 0x46, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IPv4
            0xc0, 0xa8, 0, 80, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0, 0xa0, 2, 0xfa, 0xf0, 0, 0, 0, 0, // TCP
            2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7, // its options
        ];
        let slow_sum = |bytes: &[u8]| {
            let mut total: u32 = bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c[1])).sum();
            while total > 0xffff {
                total = (total & 0xffff) + (total >> 16);
            }
            !(total as u16)
        };
        let ip = slow_sum(&bytes[..20]);
        bytes[10..12].copy_from_slice(&ip.to_be_bytes());
        let mut pseudo = vec![10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 40];
        pseudo.extend_from_slice(&bytes[20..]);
        let tcp = slow_sum(&pseudo);
        bytes[36..38].copy_from_slice(&tcp.to_be_bytes());
        bytes
    }

    #[test]
    fn a_good_packet_is_read() {
        let bytes = syn();
        let tcp = parse(&bytes).expect("good").tcp.expect("TCP");
        assert_eq!((tcp.src_port, tcp.dst_port, tcp.seq, tcp.wnd), (49320, 80, 0xffff_fffe, 0xfaf0));
        assert!(tcp.syn() && !tcp.has_ack() && !tcp.fin() && !tcp.rst());
        assert_eq!((tcp.mss, tcp.scale, tcp.timestamps), (Some(1460), Some(7), Some((9, 0))));
        assert_eq!((tcp.len(), tcp.options_len), (1, 20));
    }

    /// The same segment over IPv6; its pseudo-header's sum differs by that of the addresses.
    #[test]
    fn a_packet_of_ipv6_is_read() {
        let v4 = syn();
        let mut bytes = vec![0x60, 0, 0, 0, 0, 40, 6, 64];
        let ends = [1, 2].map(|host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host));
        ends.iter().for_each(|end| bytes.extend_from_slice(&end.octets()));
        bytes.extend_from_slice(&v4[20..]);
        bytes[56..58].fill(0);
        let pseudo = sum(&bytes[8..40], 6 + 40);
        let checksum = !sum(&bytes[40..], u32::from(pseudo));
        bytes[56..58].copy_from_slice(&checksum.to_be_bytes());
        let packet = parse(&bytes).expect("good");
        assert_eq!([packet.src, packet.dst], ends.map(IpAddr::V6));
        assert_eq!(packet.tcp.expect("TCP").seq, 0xffff_fffe);
        bytes[57] ^= 1;
        assert_eq!(parse(&bytes).err(), Some("wrong TCP checksum"));
        for len in 0..bytes.len() {
            assert!(parse(&bytes[..len]).is_err());
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let bytes = syn();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bad).is_err(), "bit {bit} can flip unseen");
        }
    }

    #[test]
    fn every_prefix_is_refused_without_a_panic() {
        let bytes = syn();
        for len in 0..bytes.len() {
            assert!(parse(&bytes[..len]).is_err());
        }
    }
}
