//! The UDP header (RFC 768): parse and emit.

use crate::stats::DropReason;

/// The length of the header, in bytes.
pub const HEADER_LEN: usize = 8;

/// Where the checksum field stands in the header.
pub const CHECKSUM_OFFSET: usize = 6;

/// The fields of a UDP header, its length and checksum apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// Source port; zero if no reply is wanted.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
}

/// Parses the header at the start of `bytes` (an IP payload) and gives it with the length of the datagram, header
/// included. The checksum is not looked at; see [`checksum::verify_udp`](super::checksum::verify_udp).
///
/// # Errors
/// `UdpLength` if the length field is below eight or reaches past the payload.
pub fn parse(bytes: &[u8]) -> Result<(UdpHeader, usize), DropReason> {
    let header = etherparse::UdpHeaderSlice::from_slice(bytes).map_err(|_| DropReason::UdpLength)?;
    let len = usize::from(header.length());
    if len < HEADER_LEN || len > bytes.len() {
        return Err(DropReason::UdpLength);
    }
    Ok((UdpHeader { src_port: header.source_port(), dst_port: header.destination_port() }, len))
}

/// Writes `header` for `payload` bytes of data, with a zero checksum field, to the start of `buf`, and gives its length,
/// 8.
///
/// # Panics
/// If `buf` is shorter, or the datagram longer than 65,535 bytes.
pub fn emit(header: &UdpHeader, payload: usize, buf: &mut [u8]) -> usize {
    let len = u16::try_from(HEADER_LEN + payload).expect("the caller keeps datagrams within the MTU");
    buf[0..2].copy_from_slice(&header.src_port.to_be_bytes());
    buf[2..4].copy_from_slice(&header.dst_port.to_be_bytes());
    buf[4..6].copy_from_slice(&len.to_be_bytes());
    buf[6..8].fill(0);
    HEADER_LEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(ports in any::<(u16, u16)>(), payload in 0usize..50, padding in 0usize..9) {
            let header = UdpHeader { src_port: ports.0, dst_port: ports.1 };
            let mut bytes = vec![0; HEADER_LEN + payload + padding];
            emit(&header, payload, &mut bytes);
            prop_assert_eq!(parse(&bytes), Ok((header, HEADER_LEN + payload)));
        }

        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok((_, len)) = parse(&bytes) {
                prop_assert!((HEADER_LEN..=bytes.len()).contains(&len));
            }
        }
    }

    /// 768-1.
    #[test]
    fn a_length_that_lies_is_refused() {
        let mut bytes = [0; 20];
        emit(&UdpHeader { src_port: 1, dst_port: 2 }, 12, &mut bytes);
        for len in 0..=u16::MAX {
            bytes[4..6].copy_from_slice(&len.to_be_bytes());
            assert_eq!(parse(&bytes).is_ok(), (8..=20).contains(&len), "length {len}");
        }
        for short in 0..8 {
            assert_eq!(parse(&bytes[..short]), Err(DropReason::UdpLength));
        }
    }
}
