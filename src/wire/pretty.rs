//! A packet as text for people, by smoltcp's pretty printer: an implementation that is not ours says what it sees.

use super::{icmp, ip, protocol};
use core::fmt;
use smoltcp::wire::{Ipv4Packet, Ipv6Packet, PrettyPrinter};

/// How often a packet may quote a packet before it is no longer taken apart. The pretty printer calls itself for each
/// quote, and 64 KiB hold two thousand of them, so that one hostile packet could exhaust the stack.
const MAX_QUOTES: usize = 2;

/// Shows `bytes`, one IP packet from the first byte of its header, in one or more lines. Any bytes will do: what makes
/// no sense is shown as such.
pub fn pretty(bytes: &[u8]) -> impl fmt::Display {
    Pretty(bytes)
}

struct Pretty<'a>(&'a [u8]);

impl fmt::Display for Pretty<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        match bytes.first().map(|first| first >> 4) {
            None => f.write_str("(empty)"),
            Some(version @ (4 | 6)) if quotes(bytes) > MAX_QUOTES => {
                write!(f, "IPv{version} ({} bytes of ICMP errors about ICMP errors)", bytes.len())
            }
            Some(4) => write!(f, "{}", PrettyPrinter::<Ipv4Packet<&[u8]>>::new("", &bytes)),
            Some(6) => write!(f, "{}", PrettyPrinter::<Ipv6Packet<&[u8]>>::new("", &bytes)),
            Some(version) => write!(f, "(IP version {version}, {} bytes)", bytes.len()),
        }
    }
}

/// How many packets `bytes` quotes, one within the other, counted to just above the bound.
fn quotes(mut bytes: &[u8]) -> usize {
    for depth in 0..=MAX_QUOTES {
        bytes = match ip::parse_quoted(bytes) {
            // That of the other family, too: the pretty printer does not mind.
            Ok((header, len)) if header.protocol == protocol::ICMP => &bytes[len..],
            _ => return depth,
        };
        bytes = match bytes {
            [kind, ..] if bytes.len() > icmp::HEADER_LEN && !icmp::is_query(*kind) => &bytes[icmp::HEADER_LEN..],
            _ => return depth,
        };
    }
    MAX_QUOTES + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::icmp::IcmpHeader;
    use crate::wire::ipv4::{self, Ipv4Header};
    use crate::wire::tcp::{self, Flags, TcpHeader};
    use crate::wire::tcp_options::TcpOptions;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let header = Ipv4Header {
            src: Ipv4Addr::new(192, 0, 2, 1),
            dst: Ipv4Addr::new(192, 0, 2, 2),
            protocol,
            ttl: 64,
            tos: 0,
            id: 7,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
        };
        let mut bytes = vec![0; 20];
        ipv4::emit(&header, payload.len(), &mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn error_about(quoted: &[u8]) -> Vec<u8> {
        let mut message = vec![0; 8];
        icmp::emit(&IcmpHeader::DestinationUnreachable { code: 3, mtu: 0 }, quoted, &mut message);
        message.extend_from_slice(quoted);
        packet(1, &message)
    }

    fn syn() -> Vec<u8> {
        let header = TcpHeader {
            src_port: 49_152,
            dst_port: 80,
            seq: 1000,
            flags: Flags::SYN,
            wnd: 64_240,
            options: TcpOptions { mss: Some(1460), ..TcpOptions::default() },
            ..TcpHeader::default()
        };
        let mut bytes = [0; 60];
        let len = tcp::emit(&header, &mut bytes);
        packet(6, &bytes[..len])
    }

    #[test]
    fn a_segment_is_shown_with_its_ends() {
        let text = pretty(&syn()).to_string();
        for part in ["192.0.2.1", "192.0.2.2", "49152", "80", "syn", "1000"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn an_error_is_shown_with_what_it_quotes() {
        let text = pretty(&error_about(&syn())).to_string();
        assert!(text.contains("49152") && text.lines().count() >= 4, "{text}");
    }

    /// One packet of 64 KiB, quotes all the way down.
    #[test]
    fn nested_quotes_are_not_followed() {
        let mut bytes = syn();
        let mut depth = 0;
        while bytes.len() + 28 <= 65_535 {
            bytes = error_about(&bytes);
            depth += 1;
            if depth == 5 {
                assert_eq!(quotes(&bytes), MAX_QUOTES + 1);
            }
        }
        assert!(depth > 2000);
        let text = pretty(&bytes).to_string();
        assert!(text.len() < 100, "{text}");
    }

    /// The same where the outermost packet is one of IPv6.
    #[test]
    fn nor_are_those_within_ipv6() {
        use crate::wire::ipv6::{self, Ipv6Header};
        let mut quoted = syn();
        for _ in 0..100 {
            quoted = error_about(&quoted);
        }
        let (src, dst) = (std::net::Ipv6Addr::LOCALHOST, std::net::Ipv6Addr::LOCALHOST);
        let header = Ipv6Header { src, dst, next_header: 1, hop_limit: 1, traffic_class: 0, flow_label: 0 };
        let inner = &quoted[20..]; // an ICMP message
        let mut bytes = vec![0; 40];
        ipv6::emit(&header, inner.len(), &mut bytes);
        bytes.extend_from_slice(inner);
        let text = pretty(&bytes).to_string();
        assert!(text.len() < 100, "{text}");
    }

    #[test]
    fn what_is_no_packet_is_shown_as_such() {
        assert_eq!(pretty(&[]).to_string(), "(empty)");
        assert_eq!(pretty(&[0x50, 1]).to_string(), "(IP version 5, 2 bytes)");
        assert!(!pretty(&[0x45]).to_string().is_empty());
    }

    fn shown(bytes: &[u8]) {
        let text = pretty(bytes).to_string();
        assert!(text.len() < 4096, "{} bytes of text", text.len());
    }

    proptest! {
        #[test]
        fn hostile_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), version in prop_oneof![Just(4u8), Just(6)]) {
            if let Some(first) = bytes.first_mut() {
                *first = version << 4 | *first & 15;
            }
            shown(&bytes);
        }

        /// Good headers around bad payloads.
        #[test]
        fn hostile_payloads(
            protocol in prop_oneof![Just(1u8), Just(2), Just(6), Just(17)],
            kind in prop_oneof![Just(3u8), Just(11), Just(12), any::<u8>()],
            mut payload in proptest::collection::vec(any::<u8>(), 0..150),
            quoted in any::<bool>(),
            cut in 0usize..40,
        ) {
            if let Some(first) = payload.first_mut() {
                *first = kind;
            }
            let mut bytes = packet(protocol, &payload);
            if quoted {
                bytes = error_about(&bytes);
            }
            shown(&bytes);
            shown(&bytes[..bytes.len().saturating_sub(cut)]);
        }

        #[test]
        fn a_damaged_segment(flips in proptest::collection::vec(0usize..44 * 8, 1..6)) {
            let mut bytes = syn();
            for bit in flips {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            shown(&bytes);
        }
    }
}
