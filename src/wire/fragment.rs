//! The headers of fragments, made from that of the packet that is cut, and the other way round (RFC 791 3.2, RFC 8200
//! 4.5). IPv4 says in its own header where a fragment belongs, IPv6 in one that stands before the payload.

use super::ip::Fragment;
use super::{checksum, extension, ipv4, ipv6, protocol};
use core::ops::Range;

/// The longest header of a fragment that we make, in bytes: IPv4's with options, or IPv6's two.
pub const MAX_HEADER_LEN: usize = ipv4::MAX_HEADER_LEN;

/// Where in an IPv4 header its total length, flags with offset, and checksum stand.
const V4_LEN: Range<usize> = 2..4;
const V4_FRAGMENT: Range<usize> = 6..8;
const V4_CHECKSUM: Range<usize> = 10..12;

/// Don't Fragment, in IPv4's field of flags and offset.
const DONT_FRAGMENT: u16 = 1 << 14;
const MORE_FRAGMENTS: u16 = 1 << 13;

/// The part of an IPv4 option's type that says that every fragment has it.
const COPIED: u8 = 0x80;

/// The header of the packet that `first` is the first fragment of. The payload, which begins at `payload` in `first`, has
/// `len` bytes in all. `None` if no header can say such a length.
pub fn whole_header(first: &[u8], payload: usize, len: usize, tos: u8) -> Option<Vec<u8>> {
    let is_v4 = first.first()? >> 4 == 4;
    if is_v4 {
        let mut header = first.get(..payload)?.to_vec();
        let total = u16::try_from(payload + len).ok()?;
        let flags = u16::from_be_bytes([header[6], header[7]]) & DONT_FRAGMENT;
        header[1] = tos;
        header[V4_LEN].copy_from_slice(&total.to_be_bytes());
        header[V4_FRAGMENT].copy_from_slice(&flags.to_be_bytes());
        finish_v4(&mut header);
        return Some(header);
    }
    let fragment = payload.checked_sub(extension::FRAGMENT_LEN)?;
    let mut header = first.get(..fragment)?.to_vec();
    let named_at = named_at(&header)?;
    let total = u16::try_from(fragment - ipv6::HEADER_LEN + len).ok()?;
    header[named_at] = *first.get(fragment)?;
    header[0] = (6 << 4) | (tos >> 4);
    header[1] = (tos << 4) | (header[1] & 0x0f);
    header[ipv6::PAYLOAD_LEN].copy_from_slice(&total.to_be_bytes());
    Some(header)
}

/// The byte of `headers`, the IPv6 header and what extension headers follow it, that names what stands behind them.
fn named_at(headers: &[u8]) -> Option<usize> {
    let (mut named_at, mut at) = (ipv6::NEXT_HEADER, ipv6::HEADER_LEN);
    while at < headers.len() {
        let kind = headers[named_at];
        named_at = at;
        at += match kind {
            // One that is the whole packet (RFC 6946): its second byte is no length.
            extension::FRAGMENT => extension::FRAGMENT_LEN,
            _ => 8 + 8 * usize::from(*headers.get(at + 1)?),
        };
    }
    (at == headers.len()).then_some(named_at)
}

/// Whether we may cut the packet, of ours, that `header` begins: over IPv4 if it does not forbid it, over IPv6 if it is
/// not TCP's, which makes its segments fit.
pub fn may_cut(header: &[u8]) -> bool {
    match header.first() {
        Some(first) if first >> 4 == 4 => u16::from_be_bytes([header[6], header[7]]) & DONT_FRAGMENT == 0,
        _ => header.get(ipv6::NEXT_HEADER).is_some_and(|&next| next != protocol::TCP),
    }
}

/// The header of a fragment of a packet with `header`, which is its IP header alone, is written to the start of `buf`
/// for `len` bytes of payload, and its length is given. Options of IPv4 are in the first fragment, and in all of them
/// only if they say so. The identification of IPv4 is that of the packet.
///
/// # Panics
/// If `buf` is shorter than [`MAX_HEADER_LEN`], or `header` is no IP header.
pub fn emit(header: &[u8], place: Fragment, len: usize, buf: &mut [u8]) -> usize {
    if header[0] >> 4 == 4 { emit_v4(header, place, len, buf) } else { emit_v6(header, place, len, buf) }
}

fn emit_v4(header: &[u8], place: Fragment, len: usize, buf: &mut [u8]) -> usize {
    let fixed = ipv4::MIN_HEADER_LEN;
    buf[..fixed].copy_from_slice(&header[..fixed]);
    let options = &header[fixed..];
    let end = if place.offset == 0 {
        buf[fixed..header.len()].copy_from_slice(options);
        header.len()
    } else {
        copied_options(options, &mut buf[fixed..]) + fixed
    };
    let more = if place.more { MORE_FRAGMENTS } else { 0 };
    let flags = (place.offset / 8) | more;
    buf[0] = 4 << 4 | (end / 4) as u8;
    buf[V4_LEN].copy_from_slice(&((end + len) as u16).to_be_bytes());
    buf[V4_FRAGMENT].copy_from_slice(&flags.to_be_bytes());
    finish_v4(&mut buf[..end]);
    end
}

/// Copies the options that every fragment has, padded to a multiple of four bytes, and says how many bytes that is.
fn copied_options(options: &[u8], buf: &mut [u8]) -> usize {
    let (mut at, mut end) = (0, 0);
    while let Some(&kind) = options.get(at).filter(|&&kind| kind > 0) {
        // Kind 1 is one byte of padding; a length that cannot be ends the options.
        let len = if kind == 1 { 1 } else { options.get(at + 1).map_or(0, |&len| usize::from(len)) };
        let Some(option) = options.get(at..at + len).filter(|option| !option.is_empty()) else { break };
        if kind & COPIED != 0 {
            buf[end..end + len].copy_from_slice(option);
            end += len;
        }
        at += len;
    }
    let padded = end.next_multiple_of(4);
    buf[end..padded].fill(0);
    padded
}

fn finish_v4(header: &mut [u8]) {
    header[V4_CHECKSUM].fill(0);
    let sum = checksum::checksum(header);
    header[V4_CHECKSUM].copy_from_slice(&sum.to_be_bytes());
}

fn emit_v6(header: &[u8], place: Fragment, len: usize, buf: &mut [u8]) -> usize {
    let (start, end) = (ipv6::HEADER_LEN, ipv6::HEADER_LEN + extension::FRAGMENT_LEN);
    buf[..start].copy_from_slice(&header[..start]);
    let payload = (extension::FRAGMENT_LEN + len) as u16;
    buf[ipv6::PAYLOAD_LEN].copy_from_slice(&payload.to_be_bytes());
    buf[ipv6::NEXT_HEADER] = extension::FRAGMENT;
    let field = place.offset | u16::from(place.more);
    buf[start..start + 2].copy_from_slice(&[header[ipv6::NEXT_HEADER], 0]);
    buf[start + 2..start + 4].copy_from_slice(&field.to_be_bytes());
    buf[start + 4..end].copy_from_slice(&place.id.to_be_bytes());
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A good IPv4 header with `options`, for `len` bytes.
    fn v4(options: &[u8], len: usize) -> Vec<u8> {
        let mut header = vec![0; 20];
        header[..10].copy_from_slice(&[0x40 | (5 + options.len() / 4) as u8, 0xb9, 0, 0, 0x12, 0x34, 0, 0, 64, 17]);
        header[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        header.extend_from_slice(options);
        let total = (header.len() + len) as u16;
        header[V4_LEN].copy_from_slice(&total.to_be_bytes());
        finish_v4(&mut header);
        header
    }

    fn v6(len: usize) -> Vec<u8> {
        let mut header = vec![0x55; 40];
        header[..8].copy_from_slice(&[0x6b, 0x91, 0x23, 0x45, (len >> 8) as u8, len as u8, 17, 64]);
        header
    }

    proptest! {
        /// The header of the whole, cut and put together again, is the same.
        #[test]
        fn there_and_back(is_v4 in any::<bool>(), options in 0usize..10, len in 8usize..60_000, id in any::<u32>()) {
            let header = if is_v4 { v4(&vec![1; options * 4], len) } else { v6(len) };
            let mut first = vec![0xaa; MAX_HEADER_LEN + 8];
            let start = emit(&header, Fragment { id, offset: 0, more: true }, 8, &mut first);
            first.truncate(start + 8);
            prop_assert_eq!(whole_header(&first, start, len, 0xb9), Some(header));
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..120), at in 0usize..130, len in 0usize..70_000) {
            if let Some(header) = whole_header(&bytes, at.max(20), len, 3) {
                prop_assert!(header.len() <= bytes.len());
            }
            prop_assert!(copied_options(&bytes[..bytes.len().min(40)], &mut [0; 44]) <= 40);
        }
    }

    #[test]
    fn no_header_says_more_than_65535() {
        let first = |header: &[u8], start| {
            let mut first = vec![0; 80];
            assert_eq!(emit(header, Fragment { id: 1, offset: 0, more: true }, 8, &mut first), start);
            first
        };
        let (v4, v6) = (first(&v4(&[1; 8], 8), 28), first(&v6(8), 48));
        assert!(whole_header(&v4, 28, 65_507, 0).is_some() && whole_header(&v4, 28, 65_508, 0).is_none());
        assert!(whole_header(&v6, 48, 65_535, 0).is_some() && whole_header(&v6, 48, 65_536, 0).is_none());
    }

    /// Found by fuzzing: the second byte of an atomic fragment's header, which is reserved, was taken for a length.
    #[test]
    fn an_atomic_fragment_header_may_stand_before() {
        let mut first = v6(32);
        first[6] = extension::FRAGMENT;
        first.extend([extension::FRAGMENT, 0x26, 0, 0, 0, 0, 0, 1]);
        first.extend([17, 0, 0, 1, 0, 0, 0, 7]);
        let header = whole_header(&first, 56, 1000, 0xb9).expect("a chain that leads there");
        assert_eq!((header.len(), header[6], header[40], header[41]), (48, extension::FRAGMENT, 17, 0x26));
    }

    /// Extension headers before the fragment header stay, and the last of them names what the fragment header did.
    #[test]
    fn headers_before_the_fragment_header_stay() {
        let mut first = v6(8 + 16 + 8 + 8);
        first[6] = 0;
        first.extend([extension::DESTINATION, 0, 1, 4, 0, 0, 0, 0]);
        first.extend([extension::FRAGMENT, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        first.extend([17, 0, 0, 1, 0, 0, 0, 7]);
        let start = first.len();
        let header = whole_header(&first, start, 1000, 0xb9).unwrap();
        assert_eq!((header.len(), header[6], header[40], header[48]), (64, 0, extension::DESTINATION, 17));
        assert_eq!(header[4..6], 1024u16.to_be_bytes());
        // A chain that does not lead to the fragment header is none.
        first[49] = 9;
        assert_eq!(whole_header(&first, start, 1000, 0), None);
    }
}
