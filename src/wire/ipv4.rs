//! The IPv4 header (RFC 791): parse and validate, emit.

use super::checksum;
use crate::stats::DropReason;
use core::ops::Range;
use std::net::Ipv4Addr;

/// The length of a header without options, in bytes.
pub const MIN_HEADER_LEN: usize = 20;

/// Length of the longest header, options included, in bytes.
pub const MAX_HEADER_LEN: usize = 60;

/// Length of the longest packet, in bytes.
pub const MAX_PACKET_LEN: usize = 65_535;

/// Length of the Router Alert option, in bytes.
pub const ROUTER_ALERT_LEN: usize = 4;

/// Where the checksum field stands in the header.
const CHECKSUM: Range<usize> = 10..12;

/// The fields of an IPv4 header, its lengths and options apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// Protocol number of the payload.
    pub protocol: u8,
    /// Time to live.
    pub ttl: u8,
    /// DSCP and ECN byte.
    pub tos: u8,
    /// Identification; meaningful only for fragments (RFC 6864).
    pub id: u16,
    /// Routers must not fragment it.
    pub dont_fragment: bool,
    /// Another fragment follows this one.
    pub more_fragments: bool,
    /// Where this fragment's payload belongs, in bytes; a multiple of eight.
    pub fragment_offset: u16,
}

impl Ipv4Header {
    /// Whether the packet is a part of a larger one.
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset > 0
    }
}

/// Parses and validates the header at the start of `bytes`: version, header length, total length, checksum. Gives it
/// with the place of the payload; the options stand between [`MIN_HEADER_LEN`] and its start, and what follows its end
/// is padding of the link.
///
/// # Errors
/// `Truncated`, `IpVersion`, `IpLength`, `IpChecksum`.
pub fn parse(bytes: &[u8]) -> Result<(Ipv4Header, Range<usize>), DropReason> {
    let header = header(bytes)?;
    let total = usize::from(header.total_len());
    let start = header.slice().len();
    if total < start {
        return Err(DropReason::IpLength);
    }
    if total > bytes.len() {
        return Err(DropReason::Truncated);
    }
    if checksum::checksum(header.slice()) != 0 {
        return Err(DropReason::IpChecksum);
    }
    Ok((fields(&header), start..total))
}

/// Parses a header quoted in an ICMP error. What follows it is cut off, and routers change its checksum, so only
/// version and header length are validated. Gives it with its length.
///
/// # Errors
/// `Truncated`, `IpVersion`, `IpLength`.
pub fn parse_quoted(bytes: &[u8]) -> Result<(Ipv4Header, usize), DropReason> {
    let header = header(bytes)?;
    Ok((fields(&header), header.slice().len()))
}

/// The destination of a packet that we have made ourselves.
///
/// # Panics
/// If `packet` is shorter than a header.
pub fn destination(packet: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19])
}

/// The source of a packet that we have made ourselves.
///
/// # Panics
/// If `packet` is shorter than a header.
pub fn source(packet: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15])
}

fn header(bytes: &[u8]) -> Result<etherparse::Ipv4HeaderSlice<'_>, DropReason> {
    use etherparse::err::ipv4::{HeaderError, HeaderSliceError};
    // The version is looked at first, so that a short packet of another protocol is called by its name.
    if bytes.first().is_some_and(|first| first >> 4 != 4) {
        return Err(DropReason::IpVersion);
    }
    etherparse::Ipv4HeaderSlice::from_slice(bytes).map_err(|error| match error {
        HeaderSliceError::Len(_) => DropReason::Truncated,
        HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => DropReason::IpVersion,
        HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. }) => DropReason::IpLength,
    })
}

fn fields(header: &etherparse::Ipv4HeaderSlice<'_>) -> Ipv4Header {
    Ipv4Header {
        src: header.source_addr(),
        dst: header.destination_addr(),
        protocol: header.protocol().0,
        ttl: header.ttl(),
        tos: header.slice()[1],
        id: header.identification(),
        dont_fragment: header.dont_fragment(),
        more_fragments: header.more_fragments(),
        fragment_offset: header.fragments_offset().value() * 8,
    }
}

/// What is wrong with a header's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionError {
    /// Loose or strict source routing, which hosts should not honour (RFC 7126 4.3, 4.4).
    SourceRoute,
    /// A length that cannot be. `pointer` is the option's offset in the header, as a Parameter Problem wants it.
    Malformed {
        /// Bytes from the header's start.
        pointer: u8,
    },
}

/// Walks the options of `header` (the whole header) by their lengths. Unknown ones, Stream-ID, record route and time
/// stamp among them, are ignored (RFC 1122 3.2.1.8).
///
/// # Errors
/// On source routes and impossible lengths.
pub fn check_options(header: &[u8]) -> Result<(), OptionError> {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    let mut at = MIN_HEADER_LEN;
    while let Some(&kind) = header.get(at) {
        match kind {
            END => break,
            NOP => at += 1,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(OptionError::SourceRoute),
            _ => match header.get(at + 1).map(|&len| usize::from(len)) {
                Some(len) if len >= 2 && at + len <= header.len() => at += len,
                _ => return Err(OptionError::Malformed { pointer: at as u8 }),
            },
        }
    }
    Ok(())
}

/// Writes `header` without options to the start of `buf`, for `payload` bytes behind it, and gives its length, 20. The
/// total length saturates, but no caller makes such a packet.
///
/// # Panics
/// If `buf` is shorter than 20 bytes.
pub fn emit(header: &Ipv4Header, payload: usize, buf: &mut [u8]) -> usize {
    let total = u16::try_from(MIN_HEADER_LEN + payload).unwrap_or(u16::MAX);
    let fragment =
        u16::from(header.dont_fragment) << 14 | u16::from(header.more_fragments) << 13 | (header.fragment_offset / 8);
    let buf = &mut buf[..MIN_HEADER_LEN];
    buf[0] = 0x45;
    buf[1] = header.tos;
    buf[2..4].copy_from_slice(&total.to_be_bytes());
    buf[4..6].copy_from_slice(&header.id.to_be_bytes());
    buf[6..8].copy_from_slice(&fragment.to_be_bytes());
    buf[8] = header.ttl;
    buf[9] = header.protocol;
    buf[CHECKSUM].fill(0);
    buf[12..16].copy_from_slice(&header.src.octets());
    buf[16..20].copy_from_slice(&header.dst.octets());
    let checksum = checksum::checksum(buf);
    buf[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    MIN_HEADER_LEN
}

/// Gives the header without options at the start of `buf` the Router Alert option (RFC 2113), and gives its length, 24.
///
/// # Panics
/// If `buf` is shorter than that.
pub fn add_router_alert(buf: &mut [u8]) -> usize {
    const ROUTER_ALERT: [u8; ROUTER_ALERT_LEN] = [148, 4, 0, 0];
    let len = MIN_HEADER_LEN + ROUTER_ALERT_LEN;
    let buf = &mut buf[..len];
    let total = u16::from_be_bytes([buf[2], buf[3]]).saturating_add(ROUTER_ALERT_LEN as u16);
    buf[0] = 0x46;
    buf[2..4].copy_from_slice(&total.to_be_bytes());
    buf[MIN_HEADER_LEN..].copy_from_slice(&ROUTER_ALERT);
    buf[CHECKSUM].fill(0);
    let checksum = checksum::checksum(buf);
    buf[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: Ipv4Header = Ipv4Header {
        src: Ipv4Addr::new(192, 0, 2, 1),
        dst: Ipv4Addr::new(192, 0, 2, 2),
        protocol: 17,
        ttl: 64,
        tos: 0,
        id: 7,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
    };

    fn packet(payload: usize) -> Vec<u8> {
        let mut bytes = vec![0x5a; MIN_HEADER_LEN + payload];
        emit(&HEADER, payload, &mut bytes);
        bytes
    }

    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut bytes = packet(0);
        bytes.extend_from_slice(options);
        bytes
    }

    prop_compose! {
        fn any_header()(
            addresses in any::<(u32, u32)>(),
            bytes in any::<[u8; 3]>(),
            id in any::<u16>(),
            flags in any::<(bool, bool)>(),
            offset in 0u16..0x2000,
        ) -> Ipv4Header {
            Ipv4Header {
                src: addresses.0.into(),
                dst: addresses.1.into(),
                protocol: bytes[0],
                ttl: bytes[1],
                tos: bytes[2],
                id,
                dont_fragment: flags.0,
                more_fragments: flags.1,
                fragment_offset: offset * 8,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(header in any_header(), payload in 0usize..100, padding in 0usize..20) {
            let mut bytes = vec![0; MIN_HEADER_LEN + payload + padding];
            emit(&header, payload, &mut bytes);
            prop_assert_eq!(parse(&bytes), Ok((header, MIN_HEADER_LEN..MIN_HEADER_LEN + payload)));
            prop_assert_eq!(parse_quoted(&bytes), Ok((header, MIN_HEADER_LEN)));
        }

        #[test]
        fn no_bytes_break_the_parser(mut bytes in proptest::collection::vec(any::<u8>(), 0..100), v4 in any::<bool>()) {
            if v4 && let Some(first) = bytes.first_mut() {
                *first = 0x40 | *first & 0x0f;
            }
            if let Ok((_, payload)) = parse(&bytes) {
                prop_assert!(payload.start <= payload.end && payload.end <= bytes.len());
            }
            if let Ok((_, len)) = parse_quoted(&bytes) {
                prop_assert!(len <= bytes.len());
                let _ = check_options(&bytes[..len]);
            }
        }
    }

    /// 1122-3.
    #[test]
    fn every_flipped_header_bit_is_seen() {
        let good = packet(8);
        for bit in 0..MIN_HEADER_LEN * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = parse(&bytes).expect_err("a flipped bit");
            if bit >= 32 {
                assert_eq!(error, DropReason::IpChecksum, "bit {bit}");
            }
        }
    }

    /// 1122-2.
    #[test]
    fn only_version_four_is_taken() {
        for version in 0..16u8 {
            let mut bytes = packet(0);
            bytes[0] = version << 4 | 5;
            assert_eq!(parse(&bytes).err(), (version != 4).then_some(DropReason::IpVersion), "version {version}");
        }
    }

    /// Attack 42: every prefix, and lengths that lie, with a checksum that is right.
    #[test]
    fn lengths_that_lie_are_refused() {
        let good = packet(8);
        for len in 0..good.len() {
            assert_eq!(parse(&good[..len]), Err(DropReason::Truncated), "{len} bytes");
        }
        for (total, want) in [(0, DropReason::IpLength), (19, DropReason::IpLength), (29, DropReason::Truncated)] {
            let mut bytes = good.clone();
            bytes[2..4].copy_from_slice(&u16::to_be_bytes(total));
            bytes[CHECKSUM].fill(0);
            let sum = checksum::checksum(&bytes[..20]);
            bytes[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
            assert_eq!(parse(&bytes), Err(want), "total length {total}");
        }
        for ihl in 0..5 {
            let mut bytes = good.clone();
            bytes[0] = 0x40 | ihl;
            assert_eq!(parse(&bytes), Err(DropReason::IpLength), "header length {ihl}");
        }
        let mut bytes = good;
        bytes[0] = 0x4f;
        assert_eq!(parse(&bytes), Err(DropReason::Truncated));
    }

    #[test]
    fn options_are_walked_by_their_lengths() {
        // Record route, time stamp, Stream-ID, an unknown one (1122-14, 1122-18), and bytes after the end of the list.
        let fine: [&[u8]; 5] =
            [&[7, 7, 4, 0, 0, 0, 0, 0], &[1, 68, 5, 5, 0, 0, 0, 0], &[136, 4, 1, 2], &[200, 3, 9, 0], &[0, 131, 3, 9]];
        for options in fine {
            assert_eq!(check_options(&with_options(options)), Ok(()), "{options:?}");
        }
        for route in [131, 137] {
            let options = [1, route, 7, 4, 192, 0, 2, 9];
            assert_eq!(check_options(&with_options(&options)), Err(OptionError::SourceRoute));
        }
        let bad: [(&[u8], u8); 4] =
            [(&[7, 0, 0, 0], 20), (&[1, 7, 1, 0], 21), (&[7, 5, 4, 0], 20), (&[1, 1, 1, 7], 23)];
        for (options, pointer) in bad {
            assert_eq!(check_options(&with_options(options)), Err(OptionError::Malformed { pointer }), "{options:?}");
        }
    }
}
