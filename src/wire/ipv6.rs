//! The IPv6 header (RFC 8200 3): parse and validate, emit. What stands between it and the transport is
//! [`extension`](super::extension)'s.

use crate::stats::DropReason;
use core::ops::Range;
use std::net::Ipv6Addr;

/// The length of the header, in bytes.
pub const HEADER_LEN: usize = 40;

/// The smallest MTU of a link that carries IPv6, in bytes (RFC 8200 5).
pub const MIN_MTU: usize = 1280;

/// Where the payload's length stands in the header: what a Parameter Problem about it points at.
pub const PAYLOAD_LEN: Range<usize> = 4..6;

/// Where the first next-header field stands in the header.
pub const NEXT_HEADER: usize = 6;

/// The fields of an IPv6 header, its length apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// What stands behind this header: an extension header or a transport.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// DSCP and ECN byte.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
}

/// Parses and validates the header at the start of `bytes`: version and payload length. Gives it with the place of what
/// follows it; behind that is padding of the link.
///
/// # Errors
/// `Truncated`, `IpVersion`.
pub fn parse(bytes: &[u8]) -> Result<(Ipv6Header, Range<usize>), DropReason> {
    let header = header(bytes)?;
    let end = HEADER_LEN + usize::from(header.payload_length());
    if end > bytes.len() {
        return Err(DropReason::Truncated);
    }
    Ok((fields(&header), HEADER_LEN..end))
}

/// Parses a header quoted in an ICMP error, where what follows it may be cut off.
///
/// # Errors
/// `Truncated`, `IpVersion`.
pub fn parse_quoted(bytes: &[u8]) -> Result<Ipv6Header, DropReason> {
    header(bytes).map(|header| fields(&header))
}

/// The destination of a packet that we have made ourselves.
///
/// # Panics
/// If `packet` is shorter than a header.
pub fn destination(packet: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(*packet[24..].first_chunk::<16>().expect("a whole header"))
}

/// The source of a packet that we have made ourselves.
///
/// # Panics
/// If `packet` is shorter than a header.
pub fn source(packet: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(*packet[8..].first_chunk::<16>().expect("a whole header"))
}

fn header(bytes: &[u8]) -> Result<etherparse::Ipv6HeaderSlice<'_>, DropReason> {
    use etherparse::err::ipv6::HeaderSliceError;
    etherparse::Ipv6HeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Len(_) => DropReason::Truncated,
        HeaderSliceError::Content(_) => DropReason::IpVersion,
    })
}

fn fields(header: &etherparse::Ipv6HeaderSlice<'_>) -> Ipv6Header {
    Ipv6Header {
        src: header.source_addr(),
        dst: header.destination_addr(),
        next_header: header.next_header().0,
        hop_limit: header.hop_limit(),
        traffic_class: header.traffic_class(),
        flow_label: header.flow_label().value(),
    }
}

/// Writes `header` to the start of `buf`, for `payload` bytes behind it, and gives its length, 40. The payload's length
/// saturates, but no caller makes such a packet.
///
/// # Panics
/// If `buf` is shorter than 40 bytes.
pub fn emit(header: &Ipv6Header, payload: usize, buf: &mut [u8]) -> usize {
    let len = u16::try_from(payload).unwrap_or(u16::MAX);
    let first = 6 << 28 | u32::from(header.traffic_class) << 20 | header.flow_label & 0xf_ffff;
    let buf = &mut buf[..HEADER_LEN];
    buf[..4].copy_from_slice(&first.to_be_bytes());
    buf[PAYLOAD_LEN].copy_from_slice(&len.to_be_bytes());
    buf[NEXT_HEADER] = header.next_header;
    buf[7] = header.hop_limit;
    buf[8..24].copy_from_slice(&header.src.octets());
    buf[24..40].copy_from_slice(&header.dst.octets());
    HEADER_LEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_header()(
            addresses in any::<(u128, u128)>(),
            bytes in any::<[u8; 3]>(),
            flow_label in 0u32..1 << 20,
        ) -> Ipv6Header {
            Ipv6Header {
                src: addresses.0.into(),
                dst: addresses.1.into(),
                next_header: bytes[0],
                hop_limit: bytes[1],
                traffic_class: bytes[2],
                flow_label,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(header in any_header(), payload in 0usize..100, padding in 0usize..20) {
            let mut bytes = vec![0x5a; HEADER_LEN + payload + padding];
            emit(&header, payload, &mut bytes);
            prop_assert_eq!(parse(&bytes), Ok((header, HEADER_LEN..HEADER_LEN + payload)));
            prop_assert_eq!(parse_quoted(&bytes[..HEADER_LEN]), Ok(header));
            prop_assert_eq!(destination(&bytes), header.dst);
            prop_assert_eq!(bytes[HEADER_LEN..].iter().filter(|&&b| b != 0x5a).count(), 0);
            // Another's eyes.
            let other = smoltcp::wire::Ipv6Packet::new_checked(&bytes[..]).unwrap();
            prop_assert_eq!((other.src_addr(), other.dst_addr()), (header.src, header.dst));
            prop_assert_eq!((other.traffic_class(), other.flow_label()), (header.traffic_class, header.flow_label));
            prop_assert_eq!((other.hop_limit(), other.payload_len()), (header.hop_limit, payload as u16));
        }

        #[test]
        fn no_bytes_break_the_parser(mut bytes in proptest::collection::vec(any::<u8>(), 0..100), v6 in any::<bool>()) {
            if v6 && let Some(first) = bytes.first_mut() {
                *first = 0x60 | *first & 0x0f;
            }
            if let Ok((_, payload)) = parse(&bytes) {
                prop_assert!(payload.start <= payload.end && payload.end <= bytes.len());
            }
            prop_assert_eq!(parse_quoted(&bytes).is_ok(), bytes.len() >= HEADER_LEN && bytes[0] >> 4 == 6);
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let header = Ipv6Header {
            src: Ipv6Addr::LOCALHOST,
            dst: Ipv6Addr::LOCALHOST,
            next_header: 17,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 1,
        };
        let mut bytes = [0; HEADER_LEN + 8];
        emit(&header, 8, &mut bytes);
        for len in 0..bytes.len() {
            assert_eq!(parse(&bytes[..len]), Err(DropReason::Truncated), "{len} bytes");
        }
        for said in 0..=u16::MAX {
            bytes[PAYLOAD_LEN].copy_from_slice(&said.to_be_bytes());
            assert_eq!(parse(&bytes).is_ok(), said <= 8, "payload length {said}");
        }
    }
}
