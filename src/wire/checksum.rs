//! The Internet checksum (RFC 1071, 1624): whole, partial, over slices of any length.

use super::protocol::{TCP, UDP};
use super::{RxChecksum, TxFrame, udp};
use std::net::IpAddr;

/// A running ones'-complement sum. Slices of odd length may follow each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    sum: u64,
    odd: bool,
}

impl Sum {
    /// Adds `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        let part = sum_native(bytes);
        // A slice that begins at an odd place has its bytes the other way round (RFC 1071 2 B).
        self.sum += u64::from(if self.odd { part.swap_bytes() } else { part });
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// The 16-bit ones'-complement sum, not inverted.
    pub fn fold(self) -> u16 {
        fold(self.sum)
    }

    /// The checksum field: the inverse of the sum.
    pub fn checksum(self) -> u16 {
        !self.fold()
    }
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum of `bytes` as big-endian 16-bit words, a last odd byte padded with zero. The sum does not depend on the byte
/// order but for a final swap (RFC 1071 2 B), so it is made of native 32-bit halves in eight lanes that the compiler
/// turns into vector additions. A lane would overflow after 32 GiB.
fn sum_native(bytes: &[u8]) -> u16 {
    let (blocks, rest) = bytes.as_chunks::<64>();
    let mut sum = if blocks.is_empty() { 0 } else { sum_blocks(blocks) };
    let (words, rest) = rest.as_chunks::<4>();
    sum += words.iter().map(|&word| u64::from(u32::from_ne_bytes(word))).sum::<u64>();
    let (pairs, last) = rest.as_chunks::<2>();
    sum += pairs.iter().map(|&pair| u64::from(u16::from_ne_bytes(pair))).sum::<u64>();
    if let [byte] = *last {
        sum += u64::from(u16::from_ne_bytes([byte, 0]));
    }
    u16::from_be(fold(sum))
}

fn sum_blocks(blocks: &[[u8; 64]]) -> u64 {
    let mut lanes = [0u64; 8];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            let word = u64::from_ne_bytes(*word);
            *lane += (word & 0xffff_ffff) + (word >> 32);
        }
    }
    lanes.iter().sum()
}

/// The checksum field over `bytes` alone: IPv4's header, ICMP.
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = Sum::default();
    sum.add(bytes);
    sum.checksum()
}

/// The sum over the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) for `len` bytes of transport header and data.
/// Both addresses must be of one family.
///
/// # Panics
/// If the addresses are of two families.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Sum {
    let mut sum = Sum::default();
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            sum.add(&src.octets());
            sum.add(&dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            sum.add(&src.octets());
            sum.add(&dst.octets());
        }
        _ => panic!("a packet between two address families"),
    }
    sum.sum += (len as u64 & 0xffff_ffff) + u64::from(protocol);
    sum
}

/// Whether `bytes`, the whole TCP segment, has a good checksum, or the device vouches for it.
pub fn verify_tcp(src: IpAddr, dst: IpAddr, bytes: &[u8], known: RxChecksum) -> bool {
    vouched_for(known) || verifies(src, dst, TCP, bytes)
}

/// Whether `bytes`, the UDP datagram cut to its own length field, has a good checksum, or the device vouches for it.
/// Over IPv4 a zero field means that the sender made none (RFC 768); over IPv6 it is an error (RFC 8200 8.1).
pub fn verify_udp(src: IpAddr, dst: IpAddr, bytes: &[u8], known: RxChecksum) -> bool {
    match bytes.get(6..8) {
        None => false,
        Some([0, 0]) => src.is_ipv4(),
        Some(_) => vouched_for(known) || verifies(src, dst, UDP, bytes),
    }
}

fn vouched_for(known: RxChecksum) -> bool {
    matches!(known, RxChecksum::Valid | RxChecksum::Partial)
}

fn verifies(src: IpAddr, dst: IpAddr, protocol: u8, bytes: &[u8]) -> bool {
    let mut sum = pseudo_header(src, dst, protocol, bytes.len());
    sum.add(bytes);
    sum.fold() == 0xffff
}

/// Computes the transport checksum over `frame` from byte `transport` of its header to its end, and writes it to the
/// field `field` bytes behind `transport`. The field must be zero before. UDP's computed zero goes out as 0xffff (RFC
/// 768).
///
/// # Panics
/// If the field lies outside the header, or the addresses are of two families.
pub fn fill(frame: &mut TxFrame, src: IpAddr, dst: IpAddr, protocol: u8, transport: usize, field: usize) {
    let mut sum = pseudo_header(src, dst, protocol, frame.len() - transport);
    sum.add(&frame.header[transport..]);
    for slice in &frame.payload {
        sum.add(slice);
    }
    let checksum = match sum.checksum() {
        0 if protocol == UDP => 0xffff,
        checksum => checksum,
    };
    put(frame, transport + field, checksum);
}

/// Writes the pseudo-header's sum alone to the field, and leaves the rest to the device.
///
/// # Panics
/// As [`fill`].
pub fn fill_partial(frame: &mut TxFrame, src: IpAddr, dst: IpAddr, protocol: u8, transport: usize, field: usize) {
    let sum = pseudo_header(src, dst, protocol, frame.len() - transport);
    put(frame, transport + field, sum.fold());
    frame.meta.partial_checksum = Some((transport as u16, field as u16));
}

/// Completes the checksum of `frame` if it was left [partial](fill_partial).
pub fn complete(frame: &mut TxFrame) {
    let Some((start, field)) = frame.meta.partial_checksum.take() else { return };
    let (start, field) = (usize::from(start), usize::from(field));
    // The field holds the pseudo-header's sum.
    let mut sum = Sum::default();
    sum.add(&frame.header[start..]);
    for slice in &frame.payload {
        sum.add(slice);
    }
    let checksum = match sum.checksum() {
        0 if field == udp::CHECKSUM_OFFSET => 0xffff,
        checksum => checksum,
    };
    put(frame, start + field, checksum);
}

fn put(frame: &mut TxFrame, at: usize, value: u16) {
    assert!(at + 2 <= frame.header.len(), "a checksum field outside the header");
    frame.header.space()[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Slice;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// RFC 1071 4.1, word by word.
    fn reference(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_reference_sum(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cuts in proptest::collection::vec(0usize..300, 0..5),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut sum = Sum::default();
            for pair in cuts.windows(2) {
                sum.add(&bytes[pair[0]..pair[1]]);
            }
            prop_assert_eq!(sum.fold(), reference(&bytes));
        }

        #[test]
        fn filled_checksums_verify_and_any_flipped_bit_is_seen(
            header in proptest::collection::vec(any::<u8>(), 20..60),
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            split in 0usize..100,
            flip in any::<proptest::sample::Index>(),
        ) {
            let mut frame = TxFrame::default();
            frame.header.space()[..header.len()].copy_from_slice(&header);
            frame.header.space()[16..18].fill(0);
            frame.header.set_len(header.len());
            let split = split.min(payload.len());
            frame.payload.push(Slice::copy_of(&payload[..split]));
            frame.payload.push(Slice::copy_of(&payload[split..]));
            let mut partial = frame.clone();
            fill(&mut frame, A, B, TCP, 0, 16);
            let mut bytes = frame.to_vec();
            prop_assert!(verify_tcp(A, B, &bytes, RxChecksum::Unverified));

            // What the device does with a partial checksum gives the same field.
            fill_partial(&mut partial, A, B, TCP, 0, 16);
            prop_assert_eq!(partial.meta.partial_checksum, Some((0, 16)));
            prop_assert_eq!(checksum(&partial.to_vec()).to_be_bytes(), [bytes[16], bytes[17]]);
            prop_assert!(verify_tcp(A, B, &partial.to_vec(), RxChecksum::Partial));
            complete(&mut partial);
            prop_assert_eq!((&partial.to_vec(), partial.meta.partial_checksum), (&bytes, None));

            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!verify_tcp(A, B, &bytes, RxChecksum::Unverified));
        }
    }

    #[test]
    fn large_frames_do_not_overflow() {
        assert_eq!(checksum(&[0xff; 65_535]), !reference(&[0xff; 65_535]));
    }

    #[test]
    fn udp_zero_is_no_checksum_over_v4_and_an_error_over_v6() {
        let datagram = [0, 1, 0, 2, 0, 9, 0, 0, b'x'];
        assert!(verify_udp(A, B, &datagram, RxChecksum::Unverified));
        let v6 = IpAddr::V6(Ipv6Addr::LOCALHOST);
        assert!(!verify_udp(v6, v6, &datagram, RxChecksum::Unverified));
        assert!(!verify_udp(A, B, &datagram[..7], RxChecksum::Unverified));
    }

    #[test]
    fn a_computed_zero_goes_out_as_all_ones() {
        // The payload is the inverse of everything else, so that the sum is 0xffff and its inverse zero.
        let mut frame = TxFrame::default();
        frame.header.space()[..8].copy_from_slice(&[0, 1, 0, 2, 0, 10, 0, 0]);
        frame.header.set_len(8);
        frame.payload.push(Slice::copy_of(&[0, 0]));
        let mut rest = pseudo_header(A, B, UDP, 10);
        rest.add(&frame.to_vec());
        frame.payload[0] = Slice::copy_of(&rest.checksum().to_be_bytes());
        fill(&mut frame, A, B, UDP, 0, 6);
        assert_eq!(frame.header[6..8], [0xff, 0xff]);
        assert!(verify_udp(A, B, &frame.to_vec(), RxChecksum::Unverified));
    }
}
