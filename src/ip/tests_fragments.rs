//! Fragments into the internet layer, of both versions: what it makes of them, and what it says about them.

use super::*;
use crate::buf::Slice;
use crate::icmp::{Message, Problem};
use crate::rng::Rng;
use crate::stack::Cidr;
use crate::stats::{Disposition, DropReason};
use crate::wire::{Gso, GsoKind, RxMeta, checksum, extension, icmp, icmpv6};
use core::time::Duration;
use std::net::Ipv4Addr;

const V4: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1))];
const V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

fn layer() -> Ip {
    let addresses = vec![Cidr::new(V4[1], 24), Cidr::new(V6[1], 64)];
    let config = Config { addresses, ..Config::default() };
    Ip::new(&config, Rng::new(Rng::seed_from(1)), Instant::ZERO).unwrap()
}

/// A fragment from a peer to us.
#[derive(Clone, Copy)]
struct Part {
    ends: [IpAddr; 2],
    protocol: u8,
    offset: u16,
    more: bool,
    tos: u8,
}

impl Part {
    fn udp(ends: [IpAddr; 2], offset: u16, more: bool) -> Part {
        Part { ends, protocol: UDP, offset, more, tos: 0 }
    }

    fn bytes(&self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        match self.ends {
            [IpAddr::V4(src), IpAddr::V4(dst)] => {
                let header = Ipv4Header {
                    src,
                    dst,
                    protocol: self.protocol,
                    ttl: 64,
                    tos: self.tos,
                    id: 7,
                    dont_fragment: false,
                    more_fragments: self.more,
                    fragment_offset: self.offset,
                };
                ipv4::emit(&header, payload.len(), &mut bytes);
                bytes.truncate(20);
            }
            [IpAddr::V6(src), IpAddr::V6(dst)] => {
                let next_header = extension::FRAGMENT;
                let header =
                    Ipv6Header { src, dst, next_header, hop_limit: 64, traffic_class: self.tos, flow_label: 5 };
                ipv6::emit(&header, 8 + payload.len(), &mut bytes);
                let [high, low] = (self.offset | u16::from(self.more)).to_be_bytes();
                bytes[40..].copy_from_slice(&[self.protocol, 0, high, low, 0, 0, 0, 7]);
            }
            _ => panic!("two families"),
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    fn give(&self, ip: &mut Ip, payload: &[u8]) -> Input {
        ip.input(Instant::ZERO, &RxFrame::plain(Slice::copy_of(&self.bytes(payload))), false, &mut Stats::default())
    }
}

fn disposition(input: Input) -> Disposition {
    match input {
        Input::Done { disposition, reply: None } => disposition,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn dropped(input: Input) -> DropReason {
    match disposition(input) {
        Disposition::Dropped(reason) => reason,
        other => panic!("{other:?}"),
    }
}

/// The error that a dropped fragment was answered with, and what it quotes.
#[track_caller]
fn error(frame: &TxFrame) -> (ErrorKind, Vec<u8>) {
    let bytes = frame.to_vec();
    let (header, payload) = ip::parse(&bytes).expect("a good packet");
    match Message::read(header.src, header.dst, &bytes[payload.clone()]) {
        Ok(Message::Error(kind)) => (kind, bytes[payload.start + 8..].to_vec()),
        other => panic!("{other:?}"),
    }
}

fn datagram([src, dst]: [IpAddr; 2], len: usize) -> Vec<u8> {
    let total = (8 + len) as u16;
    let mut bytes = [&[0, 9, 0, 7][..], &total.to_be_bytes(), &[0, 0]].concat();
    bytes.extend((0..len).map(|i| ((i * 13) >> 3) as u8));
    let mut sum = checksum::pseudo_header(src, dst, UDP, bytes.len());
    sum.add(&bytes);
    bytes[6..8].copy_from_slice(&sum.checksum().to_be_bytes());
    bytes
}

/// 1122-8, 1122-42, 1122-43, 8200-15: up to the longest there is, and what is made of the fragments is a packet like any other:
/// nothing is taken for granted about its checksum.
#[test]
fn the_pieces_of_a_datagram_become_a_datagram() {
    for (ends, most) in [(V4, 65_507), (V6, 65_527)] {
        for (len, each) in [(1, 8), (1460, 1232), (1472, 8), (5000, 1480), (most, 1480), (most, 65_504)] {
            let (mut ip, datagram, mut stats) = (layer(), datagram(ends, len), Stats::default());
            let n = datagram.len().div_ceil(each);
            for i in (0..n).rev() {
                let (start, end) = (i * each, ((i + 1) * each).min(datagram.len()));
                let part = Part::udp(ends, start as u16, end < datagram.len());
                if n == 1 {
                    break;
                }
                let outcome = part.give(&mut ip, &datagram[start..end]);
                if i > 0 {
                    assert_eq!(disposition(outcome), Disposition::Held);
                    continue;
                }
                let Input::Reassembled(frame) = outcome else { panic!("{len} bytes in parts of {each}") };
                assert_eq!(frame.meta, RxMeta::default());
                let Input::Udp(packet) = ip.input_whole(Instant::ZERO, &frame, false, &mut stats) else {
                    panic!("{len} bytes");
                };
                assert_eq!((packet.src, packet.dst, packet.unicast), (ends[0], ends[1], true));
                assert!(frame.data[packet.bytes] == datagram[..], "{len} bytes in parts of {each}");
                assert_eq!(ip.reassembling(), (0, 0));
            }
        }
    }
}

/// attack-30, 8200-10, 8200-11: what cannot be is dropped; over IPv4 in silence, over IPv6 its sender is told where the
/// fault is.
#[test]
fn impossible_lengths() {
    const PAYLOAD_LENGTH: u32 = 4;
    const OFFSET: u32 = 42;
    for (offset, more, len, pointer) in [
        (0, true, 9, Some(PAYLOAD_LENGTH)),
        (1480, true, 1479, Some(PAYLOAD_LENGTH)),
        (65_528, false, 8, Some(OFFSET)),
        (65_528, true, 1480, Some(OFFSET)),
        (64_096, false, 1440, Some(OFFSET)),
        (1480, true, 0, None),
        (1480, false, 0, None),
    ] {
        assert_eq!(dropped(Part::udp(V4, offset, more).give(&mut layer(), &vec![0; len])), DropReason::FragmentLength);
        let part = Part::udp(V6, offset, more);
        match (part.give(&mut layer(), &vec![0; len]), pointer) {
            (Input::Done { disposition: Disposition::Dropped(DropReason::FragmentLength), reply }, Some(pointer)) => {
                let (kind, quoted) = error(&reply.expect("an answer"));
                assert_eq!(kind, ErrorKind::ParameterProblem { problem: Problem::Field, pointer });
                assert!(part.bytes(&vec![0; len]).starts_with(&quoted));
            }
            (silent, None) => assert_eq!(dropped(silent), DropReason::FragmentLength),
            (other, _) => panic!("{other:?}"),
        }
    }
    // The last byte that IPv4's and IPv6's lengths can say.
    for (ends, len) in [(V4, 65_535 - 20 - 65_504), (V6, 65_535 - 65_504)] {
        let last = Part::udp(ends, 65_504, false);
        assert_eq!(disposition(last.give(&mut layer(), &vec![0; len])), Disposition::Held);
        let Input::Done { disposition, .. } = last.give(&mut layer(), &vec![0; len + 1]) else { panic!("taken") };
        assert_eq!(disposition, Disposition::Dropped(DropReason::FragmentLength));
    }
}

/// attack-29: eight bytes are all that a link has to carry, and a UDP header; but a TCP header in parts has something to
/// hide (RFC 1858, 3128).
#[test]
fn tiny_first_fragments() {
    let mut ip = layer();
    assert_eq!(disposition(Part::udp(V4, 0, true).give(&mut ip, &[0; 8])), Disposition::Held);
    for (offset, len, fine) in
        [(0, 8, false), (0, 16, false), (0, 24, true), (8, 24, false), (16, 8, false), (24, 8, true)]
    {
        let outcome = Part { protocol: TCP, ..Part::udp(V4, offset, true) }.give(&mut layer(), &vec![0; len]);
        let expected = if fine { Disposition::Held } else { Disposition::Dropped(DropReason::FragmentTiny) };
        assert_eq!(disposition(outcome), expected, "{len} bytes at {offset}");
    }
}

/// 1122-44, 8200-9: once, when the time is over, and with the packet of the first fragment as it came; if that has not
/// come, nobody is told, nor if the rate limit forbids it.
#[test]
fn a_sender_is_told_that_fragments_did_not_come() {
    for ends in [V4, V6] {
        let (mut ip, mut stats) = (layer(), Stats::default());
        assert_eq!(
            (ip.reassembly_deadline(), ip.give_up(Instant::from_millis(1 << 30), &mut stats).is_none()),
            (None, true)
        );
        let [first, last] = [Part::udp(ends, 0, true), Part::udp(ends, 16, false)];
        for part in [last, first] {
            assert_eq!(disposition(part.give(&mut ip, &[9; 8])), Disposition::Held);
        }
        assert_eq!(ip.reassembly_deadline(), Some(Instant::from_millis(60_000)));
        assert!(ip.give_up(Instant::from_millis(59_999), &mut stats).is_none());
        let told = ip.give_up(Instant::from_millis(60_000), &mut stats).expect("it is over").expect("told");
        assert_eq!(error(&told), (ErrorKind::ReassemblyTimedOut, first.bytes(&[9; 8])));
        assert!(ip.give_up(Instant::from_millis(60_000), &mut stats).is_none());
        assert_eq!((ip.reassembly_deadline(), stats.ip.reassembly_timeouts, stats.icmp_errors_sent), (None, 1, 1));

        last.give(&mut ip, &[9; 8]);
        assert!(matches!(ip.give_up(Instant::from_millis(60_000), &mut stats), Some(None)));

        // To a group: over neither version is anybody told.
        let group: IpAddr = if ends == V4 { "224.0.0.1".parse().unwrap() } else { "ff02::1".parse().unwrap() };
        Part { ends: [ends[0], group], ..first }.give(&mut ip, &[9; 8]);
        assert!(matches!(ip.give_up(Instant::from_millis(60_000), &mut stats), Some(None)));
        assert_eq!((stats.ip.reassembly_timeouts, stats.icmp_errors_sent), (3, 1));
    }
    let config = Config { addresses: vec![Cidr::new(V4[1], 24)], icmp_errors_per_second: 0, ..Config::default() };
    let mut ip = Ip::new(&config, Rng::new(Rng::seed_from(1)), Instant::ZERO).unwrap();
    Part::udp(V4, 0, true).give(&mut ip, &[9; 8]);
    assert!(matches!(ip.give_up(Instant::from_millis(60_000), &mut Stats::default()), Some(None)));
}

/// 6946-1: a fragment that is the whole packet has nothing to do with others of the same identification.
#[test]
fn an_atomic_fragment_is_handled_alone() {
    let (mut ip, whole) = (layer(), datagram(V6, 8));
    let [first, last] = [Part::udp(V6, 0, true), Part::udp(V6, 8, false)];
    assert_eq!(disposition(first.give(&mut ip, &whole[..8])), Disposition::Held);
    let held = ip.reassembling();
    let Input::Udp(packet) = Part::udp(V6, 0, false).give(&mut ip, &datagram(V6, 3)) else { panic!("not taken") };
    assert_eq!((packet.bytes, ip.reassembling()), (48..59, held));
    assert!(matches!(last.give(&mut ip, &whole[8..]), Input::Reassembled(_)), "the others were not disturbed");
}

/// What is made of fragments cannot be a fragment again: so no packet leads to another without end.
#[test]
fn fragments_of_fragments_are_dropped() {
    let mut ip = layer();
    let inner = [&[UDP, 0, 0, 1, 0, 0, 0, 8][..], &[0; 16]].concat();
    // Whole behind a fragment header of its own.
    let bytes = Part { protocol: extension::FRAGMENT, ..Part::udp(V6, 0, false) }.bytes(&inner);
    let frame = RxFrame::plain(Slice::copy_of(&bytes));
    let outcome = ip.input_whole(Instant::ZERO, &frame, false, &mut Stats::default());
    assert_eq!(dropped(outcome), DropReason::IpExtension);
}

/// 3168-8: from the wire to the transport.
#[test]
fn congestion_on_the_way_of_one_fragment_is_known_of_the_whole() {
    for ends in [V4, V6] {
        let (mut ip, whole) = (layer(), datagram(ends, 8));
        let part = |offset, more, tos| Part { tos, ..Part::udp(ends, offset, more) };
        part(8, false, 0xbb).give(&mut ip, &whole[8..]);
        let Input::Reassembled(frame) = part(0, true, 0xba).give(&mut ip, &whole[..8]) else { panic!("not whole") };
        let Input::Udp(packet) = ip.input_whole(Instant::ZERO, &frame, false, &mut Stats::default()) else {
            panic!("no datagram");
        };
        assert_eq!(packet.tos, 0xbb);
        part(8, false, 0xbb).give(&mut ip, &whole[8..]);
        assert_eq!(dropped(part(0, true, 0xb8).give(&mut ip, &whole[..8])), DropReason::FragmentEcn);
    }
}

#[test]
fn a_super_segment_is_no_fragment() {
    let bytes = Part::udp(V4, 0, true).bytes(&[0; 64]);
    let gso = Some(Gso { kind: GsoKind::Udp, size: 8 });
    let frame = RxFrame { data: Slice::copy_of(&bytes), meta: RxMeta { gso, ..RxMeta::default() } };
    let outcome = layer().input(Instant::ZERO, &frame, false, &mut Stats::default());
    assert_eq!(dropped(outcome), DropReason::DeviceMetadata);
}

/// 1122-36: an echo request of any size, put together, is answered with the same data.
#[test]
fn an_echo_in_fragments_is_answered() {
    let data: Vec<u8> = (0..65_507u32).map(|i| (i / 3) as u8).collect();
    for (ends, protocol) in [(V4, ICMP), (V6, ICMPV6)] {
        let mut ip = layer();
        let mut request = vec![0; 8];
        match (ends[0], ends[1]) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                icmpv6::emit(&icmpv6::Icmpv6Header::EchoRequest { rest: [1, 2, 3, 4] }, src, dst, &data, &mut request)
            }
            _ => icmp::emit(&icmp::IcmpHeader::EchoRequest { rest: [1, 2, 3, 4] }, &data, &mut request),
        };
        request.extend_from_slice(&data);
        let part = |offset, more| Part { protocol, ..Part::udp(ends, offset, more) };
        part(0, true).give(&mut ip, &request[..64_000]);
        let Input::Reassembled(frame) = part(64_000, false).give(&mut ip, &request[64_000..]) else {
            panic!("not whole");
        };
        let Input::Done { reply: Some(reply), .. } =
            ip.input_whole(Instant::ZERO, &frame, false, &mut Stats::default())
        else {
            panic!("no answer");
        };
        let bytes = reply.to_vec();
        let (header, payload) = ip::parse(&bytes).expect("a good packet");
        assert_eq!((header.src, header.dst), (ends[1], ends[0]));
        let read = Message::read(header.src, header.dst, &bytes[payload.clone()]);
        assert_eq!(read, Ok(Message::EchoReply([1, 2, 3, 4])));
        assert!(bytes[payload.start + 4..] == [&[1, 2, 3, 4], &data[..]].concat());
        // It goes in pieces, and no two packets that are cut have one name.
        let pieces: Vec<TxFrame> = ip.fragments(*reply, 1500).collect();
        assert_eq!(
            (pieces.len(), pieces.iter().all(|piece| piece.len() <= 1500)),
            (if ends == V4 { 45 } else { 46 }, true)
        );
    }
}

/// 8200-13, 6864-1, attack-31: identifications are not repeated soon, and do not follow each other.
#[test]
fn identifications_of_fragments() {
    let mut ip = layer();
    let mut seen = std::collections::BTreeSet::new();
    let mut steps = std::collections::BTreeSet::new();
    let mut last = 0u32;
    for _ in 0..20_000 {
        let mut frame = TxFrame::default();
        let ports = (1, 2);
        let out = Outgoing { src: V6[1], dst: V6[0], protocol: UDP, ttl: 64, tos: 0, dont_fragment: false, ports };
        ip.output(&out, 2000, &mut frame.header);
        frame.payload.push(Slice::copy_of(&[0; 2000]));
        let bytes = ip.fragments(frame, 1280).next().expect("a first").to_vec();
        let id = u32::from_be_bytes(*bytes[44..].first_chunk().expect("a fragment header"));
        assert!(seen.insert(id), "{id} repeats");
        steps.insert(id.wrapping_sub(last));
        last = id;
    }
    assert!(steps.len() > 19_900, "only {} different steps", steps.len());
}

/// An error is short enough for the path that it takes.
#[test]
fn an_error_fits_a_narrow_path() {
    for (ends, mtu, len) in [(V4, 1500, 576), (V4, 560, 560), (V6, 1500, 1280), (V6, 1280, 1280)] {
        let mut ip = layer();
        ip.on_packet_too_big(Instant::ZERO, ends[0], mtu, 1500);
        Part::udp(ends, 0, true).give(&mut ip, &[0; 1400]);
        let told = ip.give_up(Instant::from_millis(60_000), &mut Stats::default()).expect("it is over");
        assert_eq!(told.expect("told").len(), len);
    }
}

/// Later than the time-out, and a long time later: the clock may stand still and jump.
#[test]
fn time_may_jump() {
    let (mut ip, mut stats) = (layer(), Stats::default());
    for id in 0..10 {
        let mut bytes = Part::udp(V6, 0, true).bytes(&[1; 8]);
        bytes[47] = id;
        let now = Instant::from_millis(u64::from(id));
        ip.input(now, &RxFrame::plain(Slice::copy_of(&bytes)), false, &mut stats);
    }
    let late = Instant::ZERO + Duration::from_secs(1 << 30);
    assert_eq!((0..20).map_while(|_| ip.give_up(late, &mut stats)).count(), 10);
    assert_eq!((ip.reassembly_deadline(), ip.reassembling()), (None, (0, 0)));
}
