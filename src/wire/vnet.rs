//! `struct virtio_net_hdr`, which stands before each packet on a TUN queue opened with IFF_VNET_HDR (`linux/if_tun.h`,
//! `linux/virtio_net.h`; virtio 1.2, 5.1.6): what is left to be done on the frame's checksum and segmentation.
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0 | flags | the checksum is partial (1), or was verified (2) |
//! | 1 | gso_type | what kind of super-segment, if any; bit 7: the first piece alone carries CWR |
//! | 2-3 | hdr_len | bytes of headers, a hint for those who allocate |
//! | 4-5 | gso_size | payload bytes of each piece |
//! | 6-7 | csum_start | where the sum begins, from the packet's first byte |
//! | 8-9 | csum_offset | where from there the sum is stored |
//!
//! The numbers are in the machine's byte order (a TUN's unless it was told otherwise).

use super::gso::Transport;
use super::tcp::Flags;
use super::{Gso, GsoKind, RxChecksum, RxMeta, TxFrame};

/// The header's length, in bytes.
pub const HEADER_LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

/// Where the flags stand in a TCP header.
const TCP_FLAGS: usize = 13;

/// What `gso_type` is called, if a TUN may say it.
fn kind(gso_type: u8) -> Option<GsoKind> {
    match gso_type {
        GSO_TCPV4 => Some(GsoKind::TcpV4),
        GSO_TCPV6 => Some(GsoKind::TcpV6),
        GSO_UDP_L4 => Some(GsoKind::Udp),
        _ => None,
    }
}

/// What `header` says about `packet`. A partial checksum is believed only if it is the packet's own transport checksum,
/// else it counts as unverified. A super-segment must be one of TCP or UDP in the way that the header says, with a
/// checksum that is spoken for (its field cannot be verified by anybody); else, and where the header says what no TUN
/// says, the frame is [`RxChecksum::Contradicted`].
pub fn decode(header: &[u8; HEADER_LEN], packet: &[u8]) -> RxMeta {
    const CONTRADICTED: RxMeta = RxMeta { checksum: RxChecksum::Contradicted, gso: None, interface: 0 };
    let number = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let (flags, gso_type, gso_size) = (header[0], header[1], number(4));
    if flags & !(NEEDS_CSUM | DATA_VALID) != 0 {
        return CONTRADICTED;
    }
    let transport = if flags & NEEDS_CSUM != 0 || gso_type != GSO_NONE { Transport::of(packet) } else { None };
    let own = |t: &Transport| (usize::from(number(6)), usize::from(number(8))) == (t.start, t.field);
    let checksum = match flags {
        _ if flags & NEEDS_CSUM != 0 && transport.as_ref().is_some_and(own) => RxChecksum::Partial,
        DATA_VALID => RxChecksum::Valid,
        _ => RxChecksum::Unverified,
    };
    if gso_type == GSO_NONE {
        return RxMeta { checksum, gso: None, interface: 0 };
    }
    match kind(gso_type & !GSO_ECN) {
        Some(kind)
            if transport.is_some_and(|t| t.kind() == kind)
                && gso_size > 0
                && checksum != RxChecksum::Unverified
                && (kind != GsoKind::Udp || gso_type & GSO_ECN == 0) =>
        {
            RxMeta { checksum, gso: Some(Gso { kind, size: gso_size }), interface: 0 }
        }
        _ => CONTRADICTED,
    }
}

/// The header for `frame`. The length of the headers is told in any case: by it the kernel puts the rest into pages
/// instead of looking for 64 KiB in one piece.
pub fn encode(frame: &TxFrame) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let mut put = |at: usize, value: u16| header[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    put(2, frame.header.len() as u16);
    let Some((start, field)) = frame.meta.partial_checksum else {
        debug_assert!(frame.meta.gso.is_none(), "each piece of a super-segment needs a checksum of its own");
        return header;
    };
    put(6, start);
    put(8, field);
    if let Some(gso) = frame.meta.gso {
        put(4, gso.size);
        let reduced =
            |start: u16| frame.header.get(usize::from(start) + TCP_FLAGS).is_some_and(|f| f & Flags::CWR.0 != 0);
        let ecn = if reduced(start) { GSO_ECN } else { 0 };
        header[1] = match gso.kind {
            GsoKind::TcpV4 => GSO_TCPV4 | ecn,
            GsoKind::TcpV6 => GSO_TCPV6 | ecn,
            GsoKind::Udp => GSO_UDP_L4,
        };
    }
    header[0] = NEEDS_CSUM;
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{TxHeader, TxMeta, protocol};
    use proptest::prelude::*;

    const V4: bool = true;
    const V6: bool = false;

    /// The headers of a packet, as far as they matter here, and a little payload.
    fn packet(v4: bool, protocol: u8) -> Vec<u8> {
        let mut packet = vec![0; if v4 { 20 } else { 40 }];
        if v4 {
            (packet[0], packet[6], packet[9]) = (0x45, 0x40, protocol);
        } else {
            (packet[0], packet[6]) = (0x60, protocol);
        }
        packet.extend([0; 40]);
        packet
    }

    fn header(flags: u8, gso_type: u8, numbers: [u16; 4]) -> [u8; HEADER_LEN] {
        let mut header = [flags, gso_type, 0, 0, 0, 0, 0, 0, 0, 0];
        for (field, number) in header[2..].chunks_exact_mut(2).zip(numbers) {
            field.copy_from_slice(&number.to_ne_bytes());
        }
        header
    }

    fn gso(kind: GsoKind, size: u16) -> RxMeta {
        RxMeta { checksum: RxChecksum::Partial, gso: Some(Gso { kind, size }), interface: 0 }
    }

    fn only(checksum: RxChecksum) -> RxMeta {
        RxMeta { checksum, gso: None, interface: 0 }
    }

    #[test]
    fn what_the_kernel_says_is_understood() {
        use protocol::{TCP, UDP};
        let none = [0; 4];
        for (said, of, meant) in [
            (header(0, 0, none), packet(V4, TCP), only(RxChecksum::Unverified)),
            (header(2, 0, none), packet(V4, TCP), only(RxChecksum::Valid)),
            (header(1, 0, [0, 0, 20, 16]), packet(V4, TCP), only(RxChecksum::Partial)),
            (header(3, 0, [0, 0, 20, 16]), packet(V4, TCP), only(RxChecksum::Partial)),
            (header(1, 0, [0, 0, 40, 6]), packet(V6, UDP), only(RxChecksum::Partial)),
            (header(1, 1, [52, 1448, 20, 16]), packet(V4, TCP), gso(GsoKind::TcpV4, 1448)),
            (header(1, 0x81, [52, 1448, 20, 16]), packet(V4, TCP), gso(GsoKind::TcpV4, 1448)),
            (header(1, 4, [72, 1428, 40, 16]), packet(V6, TCP), gso(GsoKind::TcpV6, 1428)),
            (header(1, 5, [28, 100, 20, 6]), packet(V4, UDP), gso(GsoKind::Udp, 100)),
            (header(1, 5, [48, 100, 40, 6]), packet(V6, UDP), gso(GsoKind::Udp, 100)),
        ] {
            assert_eq!(decode(&said, &of), meant, "{said:?}");
        }
    }

    #[test]
    fn a_claim_about_another_field_leaves_the_checksum_to_be_verified() {
        use protocol::{ICMP, TCP, UDP};
        let mut fragment = packet(V4, UDP);
        fragment[6] = 0x20;
        let mut last_fragment = packet(V4, UDP);
        last_fragment[7] = 1;
        let mut options = packet(V4, TCP);
        options[0] = 0x46;
        for (said, of) in [
            (header(1, 0, [0, 0, 20, 6]), packet(V4, TCP)),
            (header(1, 0, [0, 0, 0, 10]), packet(V4, TCP)),
            (header(1, 0, [0, 0, 20, 16]), packet(V6, TCP)),
            (header(1, 0, [0, 0, 20, 16]), options),
            (header(1, 0, [0, 0, 20, 2]), packet(V4, ICMP)),
            (header(1, 0, [0, 0, 20, 6]), fragment),
            (header(1, 0, [0, 0, 20, 6]), last_fragment),
            (header(1, 0, [0, 0, 20, 16]), packet(V4, TCP)[..39].to_vec()),
            (header(1, 0, [0, 0, 20, 16]), vec![]),
        ] {
            assert_eq!(decode(&said, &of), only(RxChecksum::Unverified), "{said:?} {of:?}");
        }
    }

    #[test]
    fn nonsense_about_segmentation_is_refused() {
        use protocol::{ICMP, TCP, UDP};
        for (why, said, of) in [
            ("a flag that no TUN sets", header(4, 0, [0; 4]), packet(V4, TCP)),
            ("UDP fragmentation", header(1, 3, [28, 1472, 20, 6]), packet(V4, UDP)),
            ("an unknown type", header(1, 2, [52, 1448, 20, 16]), packet(V4, TCP)),
            ("ECN of nothing", header(1, 0x80, [52, 1448, 20, 16]), packet(V4, TCP)),
            ("ECN of UDP", header(1, 0x85, [28, 100, 20, 6]), packet(V4, UDP)),
            ("pieces of nothing", header(1, 1, [52, 0, 20, 16]), packet(V4, TCP)),
            ("no word on the checksum", header(0, 1, [52, 1448, 20, 16]), packet(V4, TCP)),
            ("another field's checksum", header(1, 1, [52, 1448, 20, 6]), packet(V4, TCP)),
            ("TCP that is UDP", header(1, 1, [52, 1448, 20, 16]), packet(V4, UDP)),
            ("UDP that is TCP", header(1, 5, [28, 100, 20, 16]), packet(V4, TCP)),
            ("version 4 that is 6", header(1, 1, [52, 1448, 40, 16]), packet(V6, TCP)),
            ("version 6 that is 4", header(1, 4, [52, 1448, 20, 16]), packet(V4, TCP)),
            ("pieces of an echo", header(1, 5, [28, 100, 20, 2]), packet(V4, ICMP)),
            ("pieces of half a header", header(1, 1, [52, 1448, 20, 16]), packet(V4, TCP)[..30].to_vec()),
        ] {
            assert_eq!(decode(&said, &of), only(RxChecksum::Contradicted), "{why}");
        }
    }

    fn outgoing(of: &[u8], meta: TxMeta) -> TxFrame {
        let mut header = TxHeader::new();
        header.space()[..of.len()].copy_from_slice(of);
        header.set_len(of.len());
        TxFrame { header, meta, ..TxFrame::default() }
    }

    #[test]
    fn what_we_say_is_understood_the_same_way() {
        use protocol::{TCP, UDP};
        let plain = outgoing(&packet(V4, TCP)[..40], TxMeta::default());
        assert_eq!(encode(&plain), header(0, 0, [40, 0, 0, 0]));
        for (v4, of, kind, start, field) in [
            (V4, TCP, GsoKind::TcpV4, 20, 16),
            (V6, TCP, GsoKind::TcpV6, 40, 16),
            (V4, UDP, GsoKind::Udp, 20, 6),
            (V6, UDP, GsoKind::Udp, 40, 6),
        ] {
            let packet = packet(v4, of);
            let mut meta = TxMeta { partial_checksum: Some((start, field)), gso: None, interface: 0 };
            assert_eq!(decode(&encode(&outgoing(&packet, meta)), &packet), only(RxChecksum::Partial));
            meta.gso = Some(Gso { kind, size: 999 });
            assert_eq!(decode(&encode(&outgoing(&packet, meta)), &packet), gso(kind, 999));
        }
    }

    /// The kernel wants to know beforehand that only the first piece carries CWR.
    #[test]
    fn a_reduced_window_is_told() {
        let mut packet = packet(V4, protocol::TCP);
        packet[20 + 13] = Flags::CWR.0;
        let meta = TxMeta {
            partial_checksum: Some((20, 16)),
            gso: Some(Gso { kind: GsoKind::TcpV4, size: 1448 }),
            interface: 0,
        };
        assert_eq!(encode(&outgoing(&packet, meta))[1], GSO_TCPV4 | GSO_ECN);
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_decoder(
            header in any::<[u8; HEADER_LEN]>(),
            likely in any::<bool>(),
            mut packet in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            if likely && let [first, _, _, _, _, _, fragment, offset, _, protocol, ..] = &mut packet[..] {
                (*first, *fragment, *offset, *protocol) = (0x45, 0, 0, 6 + 11 * (*protocol & 1));
            }
            let meta = decode(&header, &packet);
            if let Some(gso) = meta.gso {
                prop_assert!(gso.size > 0);
                prop_assert!(matches!(meta.checksum, RxChecksum::Partial | RxChecksum::Valid));
                prop_assert_eq!(header[1] & 0x7f == GSO_UDP_L4, gso.kind == GsoKind::Udp);
            }
            if meta.checksum == RxChecksum::Partial {
                prop_assert!(packet.len() >= 28 && header[0] & NEEDS_CSUM != 0);
            }
        }
    }
}
