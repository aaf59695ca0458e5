//! Packets into the internet layer, and what it makes of them. Names of rows and attacks are those of the requirements.

use super::*;
use crate::buf::Slice;
use crate::icmp::{ErrorKind, Problem, Transport};
use crate::rng::Rng;
use crate::stack::Cidr;
use crate::stats::{Disposition, DropReason, Stats};
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::{RxFrame, TxFrame, checksum};
use proptest::prelude::*;
use std::net::Ipv4Addr;

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const US_TOO: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 255);

fn layer(change: impl FnOnce(&mut Config)) -> Result<Ip> {
    let mut config =
        Config { addresses: vec![Cidr::new(US.into(), 24), Cidr::new(US_TOO.into(), 24)], ..Config::default() };
    change(&mut config);
    Ip::new(&config, Rng::new(Rng::seed_from(1)), Instant::ZERO)
}

/// A packet to be made wrong in one respect.
#[derive(Clone)]
struct Wire {
    header: Ipv4Header,
    options: Vec<u8>,
    payload: Vec<u8>,
}

impl Wire {
    fn new(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> Wire {
        let header = Ipv4Header {
            src,
            dst,
            protocol,
            ttl: 64,
            tos: 0,
            id: 0x1234,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
        };
        Wire { header, options: Vec::new(), payload: payload.to_vec() }
    }

    fn icmp(src: Ipv4Addr, dst: Ipv4Addr, header: IcmpHeader, body: &[u8]) -> Wire {
        let mut message = vec![0; icmp::HEADER_LEN];
        icmp::emit(&header, body, &mut message);
        message.extend_from_slice(body);
        Wire::new(src, dst, ICMP, &message)
    }

    fn udp(src: Ipv4Addr, dst: Ipv4Addr, len: usize) -> Wire {
        let payload: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        Wire::new(src, dst, UDP, &payload)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        ipv4::emit(&self.header, self.options.len() + self.payload.len(), &mut bytes);
        bytes.extend_from_slice(&self.options);
        bytes[0] = 0x40 | (bytes.len() / 4) as u8;
        bytes[10..12].fill(0);
        let sum = checksum::checksum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    fn frame(&self) -> RxFrame {
        RxFrame::plain(Slice::copy_of(&self.bytes()))
    }
}

fn input(ip: &mut Ip, wire: &Wire) -> Input {
    ip.input(Instant::ZERO, &wire.frame(), false, &mut Stats::default())
}

/// The disposition of a packet that nobody else gets, and the answer.
fn done(ip: &mut Ip, wire: &Wire) -> (Disposition, Option<TxFrame>) {
    match input(ip, wire) {
        Input::Done { disposition, reply } => (disposition, reply.map(|frame| *frame)),
        other => panic!("{other:?}"),
    }
}

/// The reason of a silent drop.
fn dropped(ip: &mut Ip, wire: &Wire) -> DropReason {
    match done(ip, wire) {
        (Disposition::Dropped(reason), None) => reason,
        other => panic!("{other:?}"),
    }
}

/// An answer taken apart: IP header, ICMP header, body. Everything in it is validated on the way.
fn answer(frame: &TxFrame) -> (Ipv4Header, IcmpHeader, Vec<u8>) {
    let bytes = frame.to_vec();
    let (header, payload) = ipv4::parse(&bytes).expect("a good IP header");
    assert_eq!((header.protocol, payload.end), (ICMP, bytes.len()));
    let icmp = icmp::parse(&bytes[payload.clone()]).expect("a good ICMP message");
    (header, icmp, bytes[payload.start + icmp::HEADER_LEN..].to_vec())
}

const PING: IcmpHeader = IcmpHeader::EchoRequest { rest: [0xbe, 0xef, 0, 7] };

#[test]
fn settings_out_of_range_are_refused() {
    for mtu in [0, 67, 65_536, usize::MAX] {
        assert!(matches!(layer(|c| c.mtu = mtu), Err(Error::InvalidInput(_))), "MTU {mtu}");
    }
    assert!(matches!(layer(|c| c.ttl = 0), Err(Error::InvalidInput(_))));
    assert!(layer(|c| c.mtu = 68).is_ok() && layer(|c| c.mtu = 65_535).is_ok());
}

/// 1122-9, 1122-11, 1122-13, 1122-46.
#[test]
fn the_header_says_what_the_transport_asked_for() {
    let mut ip = layer(|_| {}).unwrap();
    let mut header = TxHeader::new();
    let out = Outgoing {
        src: US.into(),
        dst: PEER.into(),
        protocol: TCP,
        ttl: 9,
        tos: 0xb8,
        dont_fragment: true,
        ports: (0, 0),
    };
    assert_eq!(ip.output(&out, 0, &mut header), 20);
    let (fields, payload) = ipv4::parse(&header).unwrap();
    assert_eq!((fields.src, fields.dst, fields.protocol), (US, PEER, TCP));
    assert_eq!((fields.ttl, fields.tos), (9, 0xb8));
    assert_eq!((fields.dont_fragment, fields.is_fragment(), payload), (true, false, 20..20));
    ip.output(&Outgoing { ttl: 0, ..out }, 0, &mut header);
    assert_eq!(ipv4::parse(&header).unwrap().0.ttl, 1);
    assert_eq!(ip.payload_mtu(IpAddr::from(PEER)), 1480);
}

/// 6864-1 and attack 31.
#[test]
fn packets_that_may_be_fragmented_repeat_no_id() {
    let mut ip = layer(|_| {}).unwrap();
    let mut header = TxHeader::new();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..60_000 {
        let (src, dst) = (US.into(), PEER.into());
        ip.output(
            &Outgoing { src, dst, protocol: UDP, ttl: 64, tos: 0, dont_fragment: n % 3 == 0, ports: (0, 0) },
            0,
            &mut header,
        );
        let fields = ipv4::parse(&header).unwrap().0;
        assert!(fields.dont_fragment || seen.insert(fields.id), "ID {} repeats", fields.id);
    }
}

/// 1122-10 among others.
#[test]
fn a_transport_gets_its_bytes_and_the_type_of_service() {
    let mut ip = layer(|_| {}).unwrap();
    let mut wire = Wire::new(PEER, US, TCP, b"segment");
    wire.header.tos = 0xb8;
    let mut padded = wire.bytes();
    padded.extend_from_slice(b"padding");
    let frame = RxFrame::plain(Slice::copy_of(&padded));
    let Input::Tcp(packet) = ip.input(Instant::ZERO, &frame, false, &mut Stats::default()) else {
        panic!("not TCP");
    };
    assert_eq!((packet.src, packet.dst), (PEER.into(), US.into()));
    assert_eq!((packet.unicast, packet.tos), (true, 0xb8));
    assert_eq!(&frame.data[packet.bytes], b"segment");
    assert!(matches!(input(&mut ip, &Wire::udp(PEER, US_TOO, 9)), Input::Udp(p) if p.dst == IpAddr::from(US_TOO)));
}

/// 1122-5 and the destinations of 1122-49.
#[test]
fn what_is_not_for_us_is_dropped_in_silence() {
    let mut ip = layer(|_| {}).unwrap();
    for protocol in [ICMP, TCP, UDP, 200] {
        let mut reason = |dst: [u8; 4]| dropped(&mut ip, &Wire::new(PEER, dst.into(), protocol, &[0; 40]));
        assert_eq!(reason([10, 0, 0, 3]), DropReason::NotForUs);
        assert_eq!(reason([8, 8, 8, 8]), DropReason::NotForUs);
        for martian in [[127, 0, 0, 1], [0, 0, 0, 0], [0, 1, 2, 3], [240, 0, 0, 1], [255, 255, 255, 254]] {
            assert_eq!(reason(martian), DropReason::MartianDestination, "{martian:?}");
        }
    }
    for many in [[255, 255, 255, 255], [10, 0, 0, 255], [10, 0, 0, 0], [10, 7, 0, 255], [224, 0, 0, 1]] {
        let got = input(&mut ip, &Wire::udp(PEER, many.into(), 9));
        assert!(matches!(got, Input::Udp(Packet { unicast: false, .. })), "{many:?}: {got:?}");
    }
}

/// 1122-6, 1122-26, attacks 32 and 33.
#[test]
fn sources_that_no_host_may_use_are_dropped_in_silence() {
    let mut ip = layer(|_| {}).unwrap();
    let martians = [
        [0, 0, 0, 0],
        [0, 9, 9, 9],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [239, 1, 1, 1],
        [240, 0, 0, 1],
        [255, 255, 255, 255],
        [10, 0, 0, 255],
        [10, 0, 0, 0],
        [10, 7, 0, 255],
        US.octets(),
        US_TOO.octets(),
    ];
    for src in martians.map(Ipv4Addr::from) {
        for wire in [Wire::icmp(src, US, PING, b"ping"), Wire::udp(src, US, 9), Wire::new(src, US, TCP, &[0; 20])] {
            assert_eq!(dropped(&mut ip, &wire), DropReason::MartianSource, "from {src}");
        }
        assert_eq!(dropped(&mut ip, &Wire::new(src, US, 200, b"x")), DropReason::MartianSource, "from {src}");
    }
}

#[test]
fn our_own_addresses_and_loopback_are_good_where_the_packet_never_left() {
    let mut ip = layer(|_| {}).unwrap();
    let loopback = Ipv4Addr::LOCALHOST;
    for (src, dst) in [(US, US), (US_TOO, US), (loopback, loopback), (US, Ipv4Addr::new(127, 8, 8, 8)), (loopback, US)]
    {
        let frame = Wire::udp(src, dst, 9).frame();
        let mut stats = Stats::default();
        assert!(matches!(ip.input(Instant::ZERO, &frame, true, &mut stats), Input::Udp(_)), "{src} to {dst}");
        // Its error comes back as well, so that a local client learns of a closed port.
        assert!(ip.error_about(Instant::ZERO, &frame, ErrorKind::PortUnreachable, &mut stats).is_some());
        let Input::Done { disposition, .. } = ip.input(Instant::ZERO, &frame, false, &mut stats) else {
            panic!("{src} to {dst} came from a wire");
        };
        assert!(matches!(
            disposition,
            Disposition::Dropped(DropReason::MartianSource | DropReason::MartianDestination)
        ));
    }
    for bad in [Ipv4Addr::UNSPECIFIED, BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
        let frame = Wire::udp(bad, US, 9).frame();
        let got = ip.input(Instant::ZERO, &frame, true, &mut Stats::default());
        assert!(matches!(got, Input::Done { disposition: Disposition::Dropped(DropReason::MartianSource), .. }));
    }
}

/// 1122-12.
#[test]
fn a_packet_for_us_may_have_any_ttl() {
    let mut ip = layer(|_| {}).unwrap();
    for ttl in [0, 1, 255] {
        let mut wire = Wire::icmp(PEER, US, PING, b"ping");
        wire.header.ttl = ttl;
        assert_eq!(done(&mut ip, &wire).0, Disposition::Answered, "TTL {ttl}");
    }
}

/// 1122-36, 1122-38, 1122-47.
#[test]
fn an_echo_comes_back_from_the_address_that_was_asked() {
    let mut ip = layer(|c| c.mtu = 1500).unwrap();
    for len in [0, 1, 2, 55, 56, 57, 1471, 1472] {
        let data: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        for us in [US, US_TOO] {
            let mut wire = Wire::icmp(PEER, us, PING, &data);
            wire.header.tos = 0xbb;
            let (disposition, reply) = done(&mut ip, &wire);
            assert_eq!(disposition, Disposition::Answered);
            let (header, icmp, body) = answer(&reply.unwrap());
            assert_eq!((header.src, header.dst), (us, PEER));
            assert_eq!((header.ttl, header.tos), (64, 0xb8));
            assert_eq!(icmp, IcmpHeader::EchoReply { rest: [0xbe, 0xef, 0, 7] });
            assert_eq!(body, data, "{len} bytes");
        }
    }
}

/// A reply that waits pins no more than twice its bytes, whatever the frame that brought it pins.
#[test]
fn a_small_echo_does_not_hold_a_large_chunk() {
    let mut ip = layer(|_| {}).unwrap();
    let mut chunk = crate::buf::Pool::new(1).take();
    chunk.append(&Wire::icmp(PEER, US, PING, &[7; 56]).bytes());
    let frame = RxFrame::plain(chunk.freeze());
    let Input::Done { reply: Some(reply), .. } = ip.input(Instant::ZERO, &frame, false, &mut Stats::default()) else {
        panic!("no reply");
    };
    assert_eq!(reply.payload.iter().map(|s| s.pinned()).sum::<usize>(), 56);
}

/// 1122-37, attack 38.
#[test]
fn no_echo_to_many() {
    let mut ip = layer(|_| {}).unwrap();
    ip.join([239, 1, 2, 3].into(), None, 0).unwrap();
    for many in [[255, 255, 255, 255], [10, 0, 0, 255], [10, 0, 0, 0], [224, 0, 0, 1], [239, 1, 2, 3]] {
        let wire = Wire::icmp(PEER, many.into(), PING, b"smurf");
        assert_eq!(dropped(&mut ip, &wire), DropReason::IcmpEchoRefused, "{many:?}");
    }
    let mut deaf = layer(|c| c.echo_reply = false).unwrap();
    assert_eq!(dropped(&mut deaf, &Wire::icmp(PEER, US, PING, b"x")), DropReason::IcmpEchoRefused);
}

/// 1122-19, 1122-30, 1122-32, 1122-39, 1122-40, 1122-41, 6633-1, attacks 35 and 37.
#[test]
fn types_that_a_host_does_not_serve_are_ignored() {
    let mut ip = layer(|_| {}).unwrap();
    // Quotes a good packet, in case anybody should look.
    let quoted = Wire::new(US, PEER, TCP, &[0; 20]).bytes();
    for kind in (1..=255u8).filter(|kind| ![3, 8, 11, 12].contains(kind)) {
        let wire = Wire::icmp(PEER, US, IcmpHeader::Other { kind, code: 0, rest: [10, 0, 0, 9] }, &quoted);
        let reason = match kind {
            4 => DropReason::IcmpSourceQuench,
            5 => DropReason::IcmpRedirect,
            _ => DropReason::IcmpIgnored,
        };
        assert_eq!(dropped(&mut ip, &wire), reason, "type {kind}");
    }
    let unasked = Wire::icmp(PEER, US, IcmpHeader::EchoReply { rest: [0; 4] }, b"reply");
    assert_eq!(dropped(&mut ip, &unasked), DropReason::IcmpIgnored);
}

#[test]
fn a_damaged_icmp_message_is_dropped() {
    let mut ip = layer(|_| {}).unwrap();
    let mut wire = Wire::icmp(PEER, US, PING, b"ping");
    wire.payload[9] ^= 4;
    assert_eq!(dropped(&mut ip, &wire), DropReason::IcmpChecksum);
    for len in 0..8 {
        wire.payload.truncate(7 - len.min(7));
        assert_eq!(dropped(&mut ip, &wire), DropReason::IcmpMalformed);
    }
}

/// 1122-27, 1122-20, 1122-22.
#[test]
fn an_unknown_protocol_is_answered_with_a_byte_exact_quote() {
    let mut ip = layer(|_| {}).unwrap();
    for len in [0, 8, 500, 528, 529, 1400] {
        let mut wire = Wire::udp(PEER, US_TOO, len);
        wire.header.protocol = 200;
        wire.header.tos = 0x10;
        let (disposition, reply) = done(&mut ip, &wire);
        assert_eq!(disposition, Disposition::Dropped(DropReason::ProtocolUnknown));
        let (header, icmp, quoted) = answer(&reply.unwrap());
        assert_eq!((header.src, header.dst, header.tos), (US_TOO, PEER, 0));
        assert_eq!(icmp, IcmpHeader::DestinationUnreachable { code: 2, mtu: 0 });
        assert_eq!(quoted, wire.bytes()[..(20 + len).min(548)]);
    }
}

/// 1122-34, attack 40.
#[test]
fn a_bad_option_length_is_a_parameter_problem() {
    let mut ip = layer(|_| {}).unwrap();
    let mut wire = Wire::udp(PEER, US, 9);
    wire.options = vec![1, 7, 1, 4];
    let (disposition, reply) = done(&mut ip, &wire);
    assert_eq!(disposition, Disposition::Dropped(DropReason::IpOptions));
    let (_, icmp, quoted) = answer(&reply.unwrap());
    assert_eq!(icmp, IcmpHeader::ParameterProblem { code: 0, pointer: 21 });
    assert_eq!(quoted, wire.bytes());
}

/// 1122-14, 1122-16, 1122-18, attack 40.
#[test]
fn source_routes_are_dropped_and_other_options_ignored() {
    let mut ip = layer(|_| {}).unwrap();
    let mut wire = Wire::udp(PEER, US, 9);
    for route in [131, 137] {
        wire.options = vec![1, route, 7, 4, 10, 0, 0, 9];
        assert_eq!(dropped(&mut ip, &wire), DropReason::IpSourceRoute);
    }
    for fine in [[7, 7, 4, 0, 0, 0, 0, 0], [136, 4, 0, 1, 200, 3, 0, 0], [68, 8, 5, 0, 0, 0, 0, 0]] {
        wire.options = fine.to_vec();
        let Input::Udp(packet) = input(&mut ip, &wire) else {
            panic!("options {fine:?}");
        };
        assert_eq!(packet.bytes, 28..37);
    }
}

/// 1122-23, 1122-24, 1122-25.
#[test]
fn errors_about_which_a_host_is_silent() {
    let mut ip = layer(|_| {}).unwrap();
    let mut sends = |wire: &Wire| {
        let mut stats = Stats::default();
        let frame = ip.error_about(Instant::ZERO, &wire.frame(), ErrorKind::PortUnreachable, &mut stats);
        assert_eq!(stats.icmp_errors_sent, u64::from(frame.is_some()));
        frame.is_some()
    };
    assert!(sends(&Wire::udp(PEER, US, 20)));
    for many in [[255, 255, 255, 255], [10, 0, 0, 255], [10, 0, 0, 0], [224, 0, 0, 1]] {
        assert!(!sends(&Wire::udp(PEER, many.into(), 20)), "to {many:?}");
    }
    for nobody in [[0, 0, 0, 0], [224, 0, 0, 1], [10, 0, 0, 255], [255, 255, 255, 255], [241, 0, 0, 1]] {
        assert!(!sends(&Wire::udp(nobody.into(), US, 20)), "from {nobody:?}");
    }
    for (kind, may) in [(0, true), (3, false), (4, false), (5, false), (8, true), (11, false), (12, false), (99, false)]
    {
        let wire = Wire::icmp(PEER, US, IcmpHeader::Other { kind, code: 0, rest: [0; 4] }, &[]);
        assert_eq!(sends(&wire), may, "about ICMP type {kind}");
    }
    assert!(!sends(&Wire::new(PEER, US, ICMP, &[])), "about an ICMP message without a type");
    let mut fragment = Wire::udp(PEER, US, 20);
    fragment.header.more_fragments = true;
    assert!(sends(&fragment), "about the first fragment");
    fragment.header.fragment_offset = 8;
    assert!(!sends(&fragment));

    // And by the whole way in: an unknown protocol for many, and a bad option on an error.
    let mut to_many = Wire::new(PEER, BROADCAST, 200, b"x");
    assert_eq!(dropped(&mut ip, &to_many), DropReason::ProtocolUnknown);
    to_many.header.protocol = 201;
    to_many.header.dst = Ipv4Addr::new(224, 0, 0, 1);
    assert_eq!(dropped(&mut ip, &to_many), DropReason::ProtocolUnknown);
    let mut error = Wire::icmp(PEER, US, IcmpHeader::TimeExceeded { code: 0 }, &[0; 28]);
    error.options = vec![7, 1, 0, 0];
    assert_eq!(dropped(&mut ip, &error), DropReason::IpOptions);
}

/// Attack 39.
#[test]
fn errors_are_limited_by_the_bucket() {
    let mut ip = layer(|c| c.icmp_errors_per_second = 1000).unwrap();
    let frame = Wire::new(PEER, US, 200, b"x").frame();
    let mut stats = Stats::default();
    let mut sent = 0;
    for n in 0..100_000u64 {
        let now = Instant::from_micros(10 * n);
        match ip.input(now, &frame, false, &mut stats) {
            Input::Done { reply, .. } => sent += u64::from(reply.is_some()),
            other => panic!("{other:?}"),
        }
    }
    assert!((1000..=2000).contains(&sent), "{sent} errors: a full bucket and a second's worth");
    assert_eq!((stats.icmp_errors_sent, stats.icmp_errors_sent + stats.icmp_errors_limited), (sent, 100_000));
}

/// The quote shrinks to the link.
#[test]
fn an_error_fits_the_smallest_mtu() {
    let mut ip = layer(|c| c.mtu = 68).unwrap();
    let (_, reply) = done(&mut ip, &Wire::new(PEER, US, 200, &[1; 48]));
    assert_eq!(reply.unwrap().len(), 68);
}

/// 1122-21, 1122-28, 1122-33, 1122-35.
#[test]
fn an_error_about_our_packet_names_both_ends() {
    let mut ip = layer(|_| {}).unwrap();
    let segment = [0x1f, 0x90, 0xc0, 0x00, 1, 2, 3, 4];
    let router = Ipv4Addr::new(10, 0, 0, 254);
    let unreachable = |code| IcmpHeader::DestinationUnreachable { code, mtu: 1400 };
    let headers = [
        (unreachable(0), ErrorKind::NetworkUnreachable),
        (unreachable(1), ErrorKind::HostUnreachable),
        (unreachable(2), ErrorKind::ProtocolUnreachable),
        (unreachable(3), ErrorKind::PortUnreachable),
        (unreachable(4), ErrorKind::PacketTooBig { mtu: 1400 }),
        (unreachable(13), ErrorKind::Prohibited),
        (IcmpHeader::TimeExceeded { code: 0 }, ErrorKind::TtlExceeded),
        (IcmpHeader::TimeExceeded { code: 1 }, ErrorKind::ReassemblyTimedOut),
        (
            IcmpHeader::ParameterProblem { code: 0, pointer: 9 },
            ErrorKind::ParameterProblem { problem: Problem::Field, pointer: 9 },
        ),
    ];
    for (protocol, transport) in [(TCP, Transport::Tcp), (UDP, Transport::Udp)] {
        let mut quoted = Wire::new(US, Ipv4Addr::new(198, 51, 100, 9), protocol, &[&segment[..], &[0; 500]].concat());
        quoted.options = vec![1; 4];
        for (header, kind) in headers {
            // Eight bytes of the transport's header are all that RFC 792 promises.
            for quote_len in [24 + 8, 24 + 100] {
                let wire = Wire::icmp(router, US, header, &quoted.bytes()[..quote_len]);
                let Input::IcmpError(report) = input(&mut ip, &wire) else {
                    panic!("{header:?}");
                };
                assert_eq!((report.kind, report.transport, report.seq), (kind, transport, 0x01020304));
                assert_eq!(report.local, "10.0.0.1:8080".parse().unwrap());
                assert_eq!(report.remote, "198.51.100.9:49152".parse().unwrap());
                assert_eq!((report.offender, report.packet_len), (router.into(), 24 + 508));
                assert_eq!(report.quoted[..], quoted.bytes()[24..quote_len]);
            }
        }
    }
}

#[test]
fn errors_about_what_we_cannot_have_sent_are_dropped() {
    let mut ip = layer(|_| {}).unwrap();
    let header = IcmpHeader::DestinationUnreachable { code: 3, mtu: 0 };
    let good = Wire::new(US, PEER, UDP, &[0; 8]);
    let mut reason = |to: Ipv4Addr, quoted: &[u8]| dropped(&mut ip, &Wire::icmp(PEER, to, header, quoted));

    let other_source = Wire::new(Ipv4Addr::new(10, 0, 0, 77), PEER, UDP, &[0; 8]).bytes();
    assert_eq!(reason(US, &other_source), DropReason::IcmpUnmatched);
    assert_eq!(reason(US, &Wire::new(US, PEER, ICMP, &[8; 8]).bytes()), DropReason::IcmpUnmatched);
    let mut fragment = good.clone();
    fragment.header.fragment_offset = 8;
    assert_eq!(reason(US, &fragment.bytes()), DropReason::IcmpUnmatched);
    assert_eq!(reason(BROADCAST, &good.bytes()), DropReason::IcmpIgnored);
    for len in 0..28 {
        assert_eq!(reason(US, &good.bytes()[..len]), DropReason::IcmpMalformed, "{len} bytes quoted");
    }
}

/// Parts of packets of the same name are put together if they have come by the same interface.
#[test]
fn a_fragment_waits_for_those_that_come_by_its_interface() {
    let mut ip = layer(|_| {}).unwrap();
    let mut give = |interface, start: u16| {
        let mut wire = Wire::new(PEER, US, UDP, &[0; 16]);
        (wire.header.fragment_offset, wire.header.more_fragments) = (start, start == 0);
        let mut frame = wire.frame();
        frame.meta.interface = interface;
        matches!(ip.input(Instant::ZERO, &frame, false, &mut Stats::default()), Input::Reassembled(_))
    };
    assert_eq!([(1, 0), (2, 16), (1, 16), (2, 0)].map(|(by, start)| give(by, start)), [false, false, true, true]);
    assert_eq!([(0, 0), (1, 16)].map(|(by, start)| give(by, start)), [false, true], "who has one does not number it");
}

/// RFC 5927 4: what we send to ourselves meets no router, so that nobody on a wire can know anything of it; and an IPv4
/// router has seen no IPv6 packet.
#[test]
fn errors_about_what_never_left_come_from_nobody_else() {
    let own = [Cidr::new("2001:db8::1".parse().unwrap(), 64)];
    let mut ip = layer(|c| c.addresses.extend(own)).unwrap();
    let header = IcmpHeader::DestinationUnreachable { code: 3, mtu: 0 };
    let loopback = Ipv4Addr::LOCALHOST;
    for (from, to) in [(loopback, loopback), (US, US), (US, US_TOO), (US, loopback)] {
        let wire = Wire::icmp(PEER, US, header, &Wire::new(from, to, UDP, &[0; 8]).bytes());
        assert_eq!(dropped(&mut ip, &wire), DropReason::IcmpUnmatched, "{from} to {to}");
        let own = Wire::icmp(to, from, header, &Wire::new(from, to, UDP, &[0; 8]).bytes());
        let got = ip.input(Instant::ZERO, &own.frame(), true, &mut Stats::default());
        assert!(matches!(got, Input::IcmpError(_)), "our own error about {from} to {to}: {got:?}");
    }
    let mut other_family = vec![0; 48];
    let (src, dst) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
    let fields = Ipv6Header { src, dst, next_header: UDP, hop_limit: 9, traffic_class: 0, flow_label: 0 };
    ipv6::emit(&fields, 8, &mut other_family);
    assert_eq!(dropped(&mut ip, &Wire::icmp(PEER, US, header, &other_family)), DropReason::IcmpUnmatched);
}

/// Attack 42: every prefix of a valid packet is dropped, by its own reason.
#[test]
fn every_prefix_is_dropped_in_silence() {
    let mut ip = layer(|_| {}).unwrap();
    let whole = Wire::icmp(PEER, US, PING, b"ping").bytes();
    for len in 0..whole.len() {
        let frame = RxFrame::plain(Slice::copy_of(&whole[..len]));
        let got = ip.input(Instant::ZERO, &frame, false, &mut Stats::default());
        let truncated = Disposition::Dropped(DropReason::Truncated);
        assert!(matches!(got, Input::Done { disposition, reply: None } if disposition == truncated), "{len} bytes");
    }
}

proptest! {
    /// Whatever comes, nothing panics, ranges lie in the frame, and every answer is a good packet from an address of
    /// ours to one host (1122-4, 1122-7, 1122-31) that is no longer than what asked for it, or 576 bytes.
    #[test]
    fn hostile_bytes(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
        shape in 0u8..4,
        protocol in prop_oneof![Just(ICMP), Just(TCP), Just(UDP), any::<u8>()],
        kind in prop_oneof![Just(3u8), Just(8), Just(11), Just(12), any::<u8>()],
        looped in any::<bool>(),
    ) {
        if shape > 0 && bytes.len() >= 28 {
            let ihl = if shape == 1 { 5 } else { usize::from(bytes[0] & 15).clamp(5, bytes.len() / 4) };
            bytes[0] = 0x40 | ihl as u8;
            let len = bytes.len() as u16;
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            bytes[6..8].fill(0);
            bytes[9] = protocol;
            if shape < 3 {
                bytes[12..16].copy_from_slice(&PEER.octets());
            }
            bytes[16..20].copy_from_slice(&US.octets());
            bytes[10..12].fill(0);
            let sum = checksum::checksum(&bytes[..ihl * 4]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            if protocol == ICMP && bytes.len() >= ihl * 4 + 8 {
                let message = &mut bytes[ihl * 4..];
                message[0] = kind;
                message[2..4].fill(0);
                let sum = checksum::checksum(message);
                message[2..4].copy_from_slice(&sum.to_be_bytes());
            }
        }
        let mut ip = layer(|_| {}).unwrap();
        let frame = RxFrame::plain(Slice::copy_of(&bytes));
        match ip.input(Instant::ZERO, &frame, looped, &mut Stats::default()) {
            Input::Tcp(packet) | Input::Udp(packet) => {
                prop_assert!(packet.bytes.start <= packet.bytes.end && packet.bytes.end <= bytes.len());
                prop_assert!(ip.is_valid_peer(packet.src));
            }
            Input::Reassembled(_) => prop_assert!(false, "of one frame"),
            Input::IcmpError(report) => prop_assert!(ip.is_local(report.local.ip())),
            Input::Done { reply: Some(reply), .. } => {
                let (header, icmp, _) = answer(&reply);
                prop_assert!(ip.is_local(header.src.into()) && ip.is_valid_peer(header.dst.into()));
                prop_assert!(reply.len() <= 576);
                let allowed = matches!(icmp, IcmpHeader::EchoReply { .. }
                    | IcmpHeader::DestinationUnreachable { code: 2, .. }
                    | IcmpHeader::ParameterProblem { code: 0, .. });
                prop_assert!(allowed, "{:?}", icmp);
            }
            Input::Done { reply: None, .. } => {}
        }
    }
}
