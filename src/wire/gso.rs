//! Generic segmentation: what a network card does to a frame that was left unfinished. It cuts a super-segment into
//! packets and completes partial checksums, so that a capture shows what a wire would have carried.

use super::checksum::{self, Sum};
use super::tcp::Flags;
use super::{Gso, GsoKind, RxChecksum, RxFrame, TxFrame, extension, ipv4, ipv6, protocol, tcp, udp};
use core::ops::Range;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where in a TCP header its sequence number and its flags stand.
const TCP_SEQ: Range<usize> = 4..8;
const TCP_FLAGS: usize = 13;

/// Where in an IPv4 header its total length, its identification and its checksum stand.
const V4_LEN: Range<usize> = 2..4;
const V4_ID: Range<usize> = 4..6;
const V4_CHECKSUM: Range<usize> = 10..12;

/// Where in a UDP header its length stands.
const UDP_LEN: Range<usize> = 4..6;

/// Where a packet's transport header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transport {
    /// TCP or UDP.
    pub(super) protocol: u8,
    /// Over IPv4, not IPv6.
    pub(super) v4: bool,
    /// The header's offset in the packet.
    pub(super) start: usize,
    /// The checksum field's offset in the header.
    pub(super) field: usize,
}

impl Transport {
    /// That of an unfragmented TCP or UDP packet whose headers are all there.
    pub(super) fn of(packet: &[u8]) -> Option<Transport> {
        let (v4, start, protocol) = match packet {
            [first, _, _, _, _, _, fragment, offset, _, protocol, ..] if first >> 4 == 4 => {
                // More fragments, or not the first.
                if fragment & 0x3f != 0 || *offset != 0 {
                    return None;
                }
                (true, usize::from(first & 0x0f) * 4, *protocol)
            }
            [first, _, _, _, _, _, next, ..] if first >> 4 == 6 => {
                let upper = extension::skip(packet, *next);
                if upper.fragment.is_some() {
                    return None;
                }
                (false, upper.start, upper.protocol)
            }
            _ => return None,
        };
        let (field, len) = match protocol {
            protocol::TCP => (tcp::CHECKSUM_OFFSET, tcp::MIN_HEADER_LEN),
            protocol::UDP => (udp::CHECKSUM_OFFSET, udp::HEADER_LEN),
            _ => return None,
        };
        let fits = start >= ipv4::MIN_HEADER_LEN && packet.len() >= start + len;
        fits.then_some(Transport { protocol, v4, start, field })
    }

    /// What a super-segment of such packets is called.
    pub(super) fn kind(&self) -> GsoKind {
        match (self.protocol, self.v4) {
            (protocol::UDP, _) => GsoKind::Udp,
            (_, true) => GsoKind::TcpV4,
            (_, false) => GsoKind::TcpV6,
        }
    }

    /// Where the transport's data begins, if its header is whole.
    fn data(&self, packet: &[u8]) -> Option<usize> {
        let len = match self.protocol {
            protocol::TCP => usize::from(packet[self.start + 12] >> 4) * 4,
            _ => udp::HEADER_LEN,
        };
        let least = if self.protocol == protocol::TCP { tcp::MIN_HEADER_LEN } else { udp::HEADER_LEN };
        (len >= least && self.start + len <= packet.len()).then_some(self.start + len)
    }

    /// The sum over the pseudo-header of `packet`.
    fn pseudo_header(&self, packet: &[u8]) -> Sum {
        let v4 = |at: usize| IpAddr::V4(Ipv4Addr::from(*packet[at..].first_chunk::<4>().expect("a whole header")));
        let v6 = |at: usize| IpAddr::V6(Ipv6Addr::from(*packet[at..].first_chunk::<16>().expect("a whole header")));
        let (src, dst) = if self.v4 { (v4(12), v4(16)) } else { (v6(8), v6(24)) };
        checksum::pseudo_header(src, dst, self.protocol, packet.len() - self.start)
    }

    /// Computes the transport's checksum anew.
    fn complete(&self, packet: &mut [u8]) {
        let field = self.start + self.field;
        packet[field..field + 2].fill(0);
        let mut sum = self.pseudo_header(packet);
        sum.add(&packet[self.start..]);
        let checksum = match sum.checksum() {
            0 if self.protocol == protocol::UDP => 0xffff,
            checksum => checksum,
        };
        packet[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Finishes frames. It keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Finisher {
    /// Whether super-segments are left in one piece; their checksums are completed all the same.
    pub whole: bool,
    frame: Vec<u8>,
    packet: Vec<u8>,
}

impl Finisher {
    /// Gives `each` the packets that a wire would have carried for a received frame, and whether it is the last one.
    pub fn received(&mut self, frame: &RxFrame, each: impl FnMut(&[u8], bool)) {
        let partial = frame.meta.checksum == RxChecksum::Partial;
        finish(&frame.data, partial, frame.meta.gso.filter(|_| !self.whole), &mut self.packet, each);
    }

    /// Gives `each` the packets that the device makes of a frame that is sent, and whether it is the last one.
    pub fn sent(&mut self, frame: &TxFrame, each: impl FnMut(&[u8], bool)) {
        self.frame.resize(frame.len(), 0);
        frame.write_to(&mut self.frame);
        let partial = frame.meta.partial_checksum.is_some();
        finish(&self.frame, partial, frame.meta.gso.filter(|_| !self.whole), &mut self.packet, each);
    }
}

/// The first packet that a wire would have carried for a received frame: what an ICMP error quotes.
pub fn first_packet(frame: &RxFrame) -> Cow<'_, [u8]> {
    let data = &frame.data[..];
    let partial = frame.meta.checksum == RxChecksum::Partial;
    let Some(transport) = Transport::of(data).filter(|_| partial) else {
        return Cow::Borrowed(data);
    };
    let mut packet = Vec::new();
    match frame.meta.gso.and_then(|gso| Pieces::of(data, transport, gso)) {
        Some(mut pieces) => _ = pieces.next_into(&mut packet),
        None => {
            packet.extend_from_slice(data);
            transport.complete(&mut packet);
        }
    }
    Cow::Owned(packet)
}

fn finish(frame: &[u8], partial: bool, gso: Option<Gso>, packet: &mut Vec<u8>, mut each: impl FnMut(&[u8], bool)) {
    let unfinished = partial || gso.is_some();
    // A frame that is not what its device says is shown as it is.
    let Some(transport) = Transport::of(frame).filter(|_| unfinished) else {
        return each(frame, true);
    };
    let pieces = gso.and_then(|gso| Pieces::of(frame, transport, gso));
    match pieces {
        Some(mut pieces) => {
            while let Some(last) = pieces.next_into(packet) {
                each(packet, last);
            }
        }
        None if partial => {
            packet.clear();
            packet.extend_from_slice(frame);
            transport.complete(packet);
            each(packet, true);
        }
        None => each(frame, true),
    }
}

/// The packets of a super-segment.
struct Pieces<'a> {
    frame: &'a [u8],
    transport: Transport,
    /// Where the data begins, and where that of the next piece does.
    data: usize,
    at: usize,
    size: usize,
}

impl<'a> Pieces<'a> {
    /// `None` if `frame` is not what `gso` says, or has no data.
    fn of(frame: &'a [u8], transport: Transport, gso: Gso) -> Option<Pieces<'a>> {
        let data = transport.data(frame).filter(|data| *data < frame.len())?;
        let size = usize::from(gso.size);
        (gso.kind == transport.kind() && size > 0).then_some(Pieces { frame, transport, data, at: data, size })
    }

    /// Makes the next packet, and says whether it is the last; `None` when there is none.
    fn next_into(&mut self, packet: &mut Vec<u8>) -> Option<bool> {
        let Pieces { frame, transport, data, at, size } = *self;
        let end = frame.len().min(at + size);
        if at == end {
            return None;
        }
        let (first, last, number) = (at == data, end == frame.len(), (at - data) / size);
        packet.clear();
        packet.extend_from_slice(&frame[..data]);
        packet.extend_from_slice(&frame[at..end]);
        let len = packet.len();
        let put = |packet: &mut Vec<u8>, field: Range<usize>, value: usize| {
            packet[field].copy_from_slice(&(value as u16).to_be_bytes());
        };
        if transport.v4 {
            put(packet, V4_LEN, len);
            let id = u16::from_be_bytes([frame[V4_ID.start], frame[V4_ID.start + 1]]);
            put(packet, V4_ID, usize::from(id.wrapping_add(number as u16)));
            packet[V4_CHECKSUM].fill(0);
            let checksum = checksum::checksum(&packet[..transport.start]);
            put(packet, V4_CHECKSUM, usize::from(checksum));
        } else {
            put(packet, ipv6::PAYLOAD_LEN, len - ipv6::HEADER_LEN);
        }
        let header = &mut packet[transport.start..];
        if transport.protocol == protocol::UDP {
            header[UDP_LEN].copy_from_slice(&((len - transport.start) as u16).to_be_bytes());
        } else {
            // RFC 9293 3.1: each piece says where its text belongs; what ends the text is on the last, and what the
            // sender did before it (RFC 3168 6.1.2) on the first.
            let seq = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
            header[TCP_SEQ].copy_from_slice(&seq.wrapping_add((at - data) as u32).to_be_bytes());
            if !first {
                header[TCP_FLAGS] &= !Flags::CWR.0;
            }
            if !last {
                header[TCP_FLAGS] &= !(Flags::FIN | Flags::PSH).0;
            }
        }
        transport.complete(packet);
        self.at = end;
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Slice;
    use crate::wire::{RxMeta, TxMeta};
    use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
    use proptest::prelude::*;
    use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

    const FIRST_SEQ: u32 = 0xffff_f000;

    /// A packet that etherparse has made, with options on both headers where there can be some.
    fn packet(kind: GsoKind, v4: bool, flags: u8, payload: &[u8]) -> Vec<u8> {
        let ip = if v4 {
            let mut header = etherparse::Ipv4Header::new(0, 60, 0.into(), [192, 0, 2, 1], [192, 0, 2, 2]).unwrap();
            header.identification = 0xfffe;
            header.options = [1, 1, 1, 0][..].try_into().unwrap();
            PacketBuilder::ip(etherparse::IpHeaders::Ipv4(header, Default::default()))
        } else {
            PacketBuilder::ipv6([0xfd; 16], [0xfe; 16], 60)
        };
        let mut out = Vec::new();
        if kind == GsoKind::Udp {
            ip.udp(1000, 2000).write(&mut out, payload).unwrap();
        } else {
            let mut header = etherparse::TcpHeader::new(1000, 2000, FIRST_SEQ, 512);
            (header.acknowledgment_number, header.ack) = (77, true);
            header.fin = flags & Flags::FIN.0 != 0;
            header.psh = flags & Flags::PSH.0 != 0;
            header.cwr = flags & Flags::CWR.0 != 0;
            header.set_options_raw(&[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
            ip.tcp_header(header).write(&mut out, payload).unwrap();
        }
        out
    }

    /// The frame that a kernel would have given for `packet`: its checksum only begun.
    fn unfinished(mut packet: Vec<u8>, gso: Option<Gso>) -> RxFrame {
        let transport = Transport::of(&packet).unwrap();
        let sum = transport.pseudo_header(&packet).fold();
        let field = transport.start + transport.field;
        packet[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        RxFrame { data: Slice::copy_of(&packet), meta: RxMeta { checksum: RxChecksum::Partial, gso, interface: 0 } }
    }

    fn finished(frame: &RxFrame, whole: bool) -> Vec<Vec<u8>> {
        let (mut packets, mut finisher) = (Vec::new(), Finisher { whole, ..Finisher::default() });
        let mut ended = false;
        finisher.received(frame, |packet, last| {
            assert!(!ended, "nothing follows the last");
            ended = last;
            packets.push(packet.to_vec());
        });
        assert!(ended);
        packets
    }

    /// smoltcp verifies all checksums and lengths of `packet`.
    fn smoltcp_agrees(packet: &[u8]) -> bool {
        let verifies = |src: IpAddress, dst: IpAddress, protocol: IpProtocol, payload: &[u8]| match protocol {
            IpProtocol::Tcp => TcpPacket::new_checked(payload).is_ok_and(|tcp| tcp.verify_checksum(&src, &dst)),
            IpProtocol::Udp => UdpPacket::new_checked(payload)
                .is_ok_and(|udp| udp.verify_checksum(&src, &dst) && usize::from(udp.len()) == payload.len()),
            _ => false,
        };
        if packet[0] >> 4 == 4 {
            let Ok(ip) = Ipv4Packet::new_checked(packet) else { return false };
            let good = ip.verify_checksum() && usize::from(ip.total_len()) == packet.len();
            good && verifies(ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload())
        } else {
            let Ok(ip) = Ipv6Packet::new_checked(packet) else { return false };
            let good = ip.total_len() == packet.len();
            good && verifies(ip.src_addr().into(), ip.dst_addr().into(), ip.next_header(), ip.payload())
        }
    }

    fn kinds() -> impl Strategy<Value = (GsoKind, bool)> {
        prop_oneof![
            Just((GsoKind::TcpV4, true)),
            Just((GsoKind::TcpV6, false)),
            Just((GsoKind::Udp, true)),
            Just((GsoKind::Udp, false)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn the_pieces_are_good_packets_and_make_up_the_whole(
            (kind, v4) in kinds(),
            flags in any::<u8>(),
            payload in proptest::collection::vec(any::<u8>(), 1..20_000),
            size in 1u16..9000,
        ) {
            let size = size.max(payload.len() as u16 / 100 + 1);
            let frame = unfinished(packet(kind, v4, flags, &payload), Some(Gso { kind, size }));
            let packets = finished(&frame, false);
            prop_assert_eq!(packets.len(), payload.len().div_ceil(usize::from(size)));
            let mut joined = Vec::new();
            for (number, packet) in packets.iter().enumerate() {
                prop_assert!(smoltcp_agrees(packet), "{:02x?}", &packet[..60.min(packet.len())]);
                let (first, last) = (number == 0, number + 1 == packets.len());
                let sliced = SlicedPacket::from_ip(packet).unwrap();
                let text = match sliced.transport.unwrap() {
                    TransportSlice::Tcp(tcp) => {
                        prop_assert_eq!(tcp.sequence_number(), FIRST_SEQ.wrapping_add(joined.len() as u32));
                        prop_assert_eq!((tcp.acknowledgment_number(), tcp.ack(), tcp.window_size()), (77, true, 512));
                        prop_assert_eq!(tcp.fin(), last && flags & Flags::FIN.0 != 0);
                        prop_assert_eq!(tcp.psh(), last && flags & Flags::PSH.0 != 0);
                        prop_assert_eq!(tcp.cwr(), first && flags & Flags::CWR.0 != 0);
                        prop_assert_eq!(tcp.options().len(), 12);
                        tcp.payload().to_vec()
                    }
                    TransportSlice::Udp(udp) => udp.payload().to_vec(),
                    other => panic!("{other:?}"),
                };
                prop_assert!(text.len() == usize::from(size) || last && text.len() <= usize::from(size));
                if v4 {
                    let id = u16::from_be_bytes([packet[4], packet[5]]);
                    prop_assert_eq!(id, 0xfffeu16.wrapping_add(number as u16));
                }
                joined.extend_from_slice(&text);
            }
            prop_assert_eq!(joined, payload);
            prop_assert_eq!(&first_packet(&frame)[..], &packets[0][..]);
        }

        /// A partial checksum, completed, is that which etherparse had computed; and a super-segment in one piece has a
        /// good one too.
        #[test]
        fn partial_checksums_are_completed(
            (kind, v4) in kinds(),
            payload in proptest::collection::vec(any::<u8>(), 0..3000),
            cut in proptest::option::of(1u16..500),
        ) {
            let good = packet(kind, v4, Flags::PSH.0, &payload);
            let frame = unfinished(good.clone(), cut.map(|size| Gso { kind, size }));
            prop_assert!(smoltcp_agrees(&good));
            prop_assert_eq!(finished(&frame, true), [good.clone()]);

            let mut out = TxFrame::default();
            let transport = Transport::of(&good).unwrap();
            let header = transport.data(&good).unwrap();
            out.header.space()[..header].copy_from_slice(&frame.data[..header]);
            out.header.set_len(header);
            out.payload.push(frame.data.slice(header..frame.data.len()));
            out.meta = TxMeta {
                partial_checksum: Some((transport.start as u16, transport.field as u16)),
                gso: frame.meta.gso,
                interface: 0,
            };
            let mut sent = Vec::new();
            Finisher::default().sent(&out, |packet, _| sent.push(packet.to_vec()));
            let packets = finished(&frame, false);
            prop_assert_eq!(&first_packet(&frame)[..], &packets[0][..]);
            prop_assert_eq!(sent, packets);
        }

        #[test]
        fn no_frame_breaks_it(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
            likely in any::<bool>(),
            kind in prop_oneof![Just(GsoKind::TcpV4), Just(GsoKind::TcpV6), Just(GsoKind::Udp)],
            size in any::<u16>(),
        ) {
            if likely && let [first, _, _, _, _, _, fragment, offset, _, protocol, ..] = &mut bytes[..] {
                (*first, *fragment, *offset, *protocol) = (0x45, 0, 0, 6 + 11 * (*protocol & 1));
            }
            let meta = RxMeta { checksum: RxChecksum::Partial, gso: Some(Gso { kind, size }), interface: 0 };
            let frame = RxFrame { data: Slice::copy_of(&bytes), meta };
            prop_assert!(finished(&frame, false).len() <= bytes.len().max(1));
            prop_assert_eq!(finished(&frame, true).len(), 1);
            prop_assert_eq!(&first_packet(&frame)[..], &finished(&frame, false)[0][..]);
        }
    }

    #[test]
    fn what_is_finished_already_passes_as_it_is() {
        let good = packet(GsoKind::TcpV4, true, 0, b"text");
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        for packet in [good, bad] {
            assert_eq!(finished(&RxFrame::plain(Slice::copy_of(&packet)), false), [packet]);
        }
    }
}
