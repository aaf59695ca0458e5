//! IPv6 packets into the internet layer, and what it makes of them. Names of rows are those of the requirements.

use super::*;
use crate::buf::Slice;
use crate::icmp::{ErrorKind, Transport};
use crate::rng::Rng;
use crate::stack::Cidr;
use crate::stats::{Disposition, DropReason, Stats};
use crate::wire::extension::{DESTINATION, FRAGMENT, HOP_BY_HOP, NO_NEXT, ROUTING};
use crate::wire::icmpv6::{self, Icmpv6Header};
use crate::wire::{RxFrame, TxFrame};
use proptest::prelude::*;

const US: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const US_TOO: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1);
const PEER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

fn layer(change: impl FnOnce(&mut Config)) -> Result<Ip> {
    let addresses = [US, US_TOO].map(|addr| Cidr::new(addr.into(), 64));
    let mut config = Config { addresses: addresses.to_vec(), ..Config::default() };
    change(&mut config);
    Ip::new(&config, Rng::new(Rng::seed_from(1)), Instant::ZERO)
}

/// A packet from the peer to us around `payload`, after extension headers that name each other.
fn packet(src: Ipv6Addr, dst: Ipv6Addr, extensions: &[(u8, &[u8])], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut kinds = extensions.iter().map(|&(kind, _)| kind).chain([protocol]);
    let mut body = Vec::new();
    let next_header = kinds.next().unwrap_or(protocol);
    for ((_, header), next) in extensions.iter().zip(kinds) {
        let at = body.len();
        body.extend_from_slice(header);
        body[at] = next;
    }
    body.extend_from_slice(payload);
    let header = Ipv6Header { src, dst, next_header, hop_limit: 64, traffic_class: 0xb8, flow_label: 5 };
    let mut bytes = vec![0; 40];
    ipv6::emit(&header, body.len(), &mut bytes);
    bytes.extend_from_slice(&body);
    bytes
}

fn to_us(extensions: &[(u8, &[u8])], protocol: u8, payload: &[u8]) -> Vec<u8> {
    packet(PEER, US, extensions, protocol, payload)
}

fn icmp(src: Ipv6Addr, dst: Ipv6Addr, header: Icmpv6Header, body: &[u8]) -> Vec<u8> {
    let mut message = vec![0; icmpv6::HEADER_LEN];
    icmpv6::emit(&header, src, dst, body, &mut message);
    message.extend_from_slice(body);
    packet(src, dst, &[], ICMPV6, &message)
}

/// An options header of `options`, which must fill it.
fn options(options: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 8, 6, "an options header is a multiple of eight bytes");
    [&[0, (options.len() / 8) as u8], options].concat()
}

fn input(ip: &mut Ip, bytes: &[u8]) -> Input {
    ip.input(Instant::ZERO, &RxFrame::plain(Slice::copy_of(bytes)), false, &mut Stats::default())
}

fn done(ip: &mut Ip, bytes: &[u8]) -> (Disposition, Option<TxFrame>) {
    match input(ip, bytes) {
        Input::Done { disposition, reply } => (disposition, reply.map(|frame| *frame)),
        other => panic!("{other:?}"),
    }
}

/// The reason of a silent drop.
#[track_caller]
fn dropped(ip: &mut Ip, bytes: &[u8]) -> DropReason {
    match done(ip, bytes) {
        (Disposition::Dropped(reason), None) => reason,
        other => panic!("{other:?}"),
    }
}

/// An answer taken apart: IP header, ICMP header, body. Everything in it is validated on the way.
fn answer(frame: &TxFrame) -> (Ipv6Header, Icmpv6Header, Vec<u8>) {
    let bytes = frame.to_vec();
    let (header, payload) = ipv6::parse(&bytes).expect("a good IP header");
    assert_eq!((header.next_header, payload.end), (ICMPV6, bytes.len()));
    let icmp = icmpv6::parse(header.src, header.dst, &bytes[payload.clone()]).expect("a good ICMP message");
    (header, icmp, bytes[payload.start + icmpv6::HEADER_LEN..].to_vec())
}

/// What a dropped packet was answered with: a Parameter Problem that quotes it.
#[track_caller]
fn complaint(ip: &mut Ip, bytes: &[u8]) -> (u8, u32) {
    let (disposition, reply) = done(ip, bytes);
    assert!(matches!(disposition, Disposition::Dropped(_)));
    let (header, icmp, quoted) = answer(&reply.expect("an answer"));
    assert_eq!((header.src, header.dst), (US, PEER));
    assert_eq!(quoted, bytes[..bytes.len().min(1280 - 48)]);
    match icmp {
        Icmpv6Header::ParameterProblem { code, pointer } => (code, pointer),
        other => panic!("{other:?}"),
    }
}

fn ports() -> [u8; 20] {
    let mut header = [0; 20];
    header[..4].copy_from_slice(&[0x1f, 0x90, 0xc0, 0]);
    header[12] = 0x50;
    header
}

const PING: Icmpv6Header = Icmpv6Header::EchoRequest { rest: [0xbe, 0xef, 0, 7] };

/// 8200-15, 8200-17: a link that cannot carry 1280 bytes carries no IPv6.
#[test]
fn a_small_link_has_no_ipv6() {
    assert!(matches!(layer(|c| c.mtu = 1279), Err(Error::InvalidInput(text)) if text.contains("1280")));
    let mut ip = layer(|c| c.mtu = 1280).unwrap();
    assert_eq!(ip.source_for(IpAddr::from(PEER)), Some(US.into()));
    assert_eq!(ip.payload_mtu(IpAddr::from(PEER)), 1240);
    ip.set_mtu(0, 576).unwrap();
    assert_eq!(ip.source_for(IpAddr::from(PEER)), None);
    assert_eq!(ip.payload_mtu(IpAddr::from(PEER)), 1240);
}

#[test]
fn the_header_says_what_the_transport_asked_for() {
    let mut ip = layer(|_| {}).unwrap();
    let (src, dst) = (US.into(), PEER.into());
    let out = Outgoing { src, dst, protocol: TCP, ttl: 9, tos: 0xb8, dont_fragment: true, ports: (80, 4000) };
    let mut made = |out: Outgoing| {
        let mut header = TxHeader::new();
        assert_eq!(ip.output(&out, 100, &mut header), 40);
        let mut bytes = header.to_vec();
        bytes.resize(140, 0);
        ipv6::parse(&bytes).unwrap()
    };
    let (fields, payload) = made(out);
    assert_eq!((fields.src, fields.dst, fields.next_header, payload), (US, PEER, TCP, 40..140));
    assert_eq!((fields.hop_limit, fields.traffic_class), (9, 0xb8));
    assert_eq!(made(Outgoing { ttl: 0, ..out }).0.hop_limit, 1);

    // RFC 6437 3: one label for a flow, another for another, never zero, and spread.
    assert_eq!(made(out).0.flow_label, fields.flow_label);
    let others = [
        Outgoing { ports: (80, 4001), ..out },
        Outgoing { ports: (81, 4000), ..out },
        Outgoing { protocol: UDP, ..out },
        Outgoing { src: US_TOO.into(), ..out },
        Outgoing { dst: US_TOO.into(), ..out },
    ];
    for other in others {
        assert_ne!(made(other).0.flow_label, fields.flow_label, "{other:?}");
    }
    let labels: std::collections::BTreeSet<u32> =
        (0..4096).map(|port| made(Outgoing { ports: (80, port), ..out }).0.flow_label).collect();
    assert!(labels.len() > 4000 && !labels.contains(&0), "{} labels of 4096 flows", labels.len());
}

/// 8200-1 among others.
#[test]
fn a_transport_gets_its_bytes_and_the_traffic_class() {
    let mut ip = layer(|_| {}).unwrap();
    let mut bytes = to_us(&[], TCP, b"segment");
    bytes[7] = 0; // the hop limit
    bytes.extend_from_slice(b"padding");
    let Input::Tcp(packet) = input(&mut ip, &bytes) else { panic!("not TCP") };
    assert_eq!((packet.src, packet.dst), (PEER.into(), US.into()));
    assert_eq!((packet.unicast, packet.tos), (true, 0xb8));
    assert_eq!(&bytes[packet.bytes], b"segment");
    assert!(matches!(input(&mut ip, &self::packet(PEER, US_TOO, &[], UDP, b"x")), Input::Udp(_)));
}

#[test]
fn addresses_that_cannot_be_are_dropped_in_silence() {
    let mut ip = layer(|_| {}).unwrap();
    let at = |text: &str| text.parse::<Ipv6Addr>().unwrap();
    let mut reason = |src, dst| dropped(&mut ip, &packet(src, dst, &[], 200, b"x"));
    for (dst, why) in [
        ("2001:db8::77", DropReason::NotForUs),
        ("fe80::1", DropReason::NotForUs),
        ("::", DropReason::MartianDestination),
        ("::1", DropReason::MartianDestination),
        ("::ffff:10.0.0.1", DropReason::MartianDestination),
    ] {
        assert_eq!(reason(PEER, at(dst)), why, "to {dst}");
    }
    for src in ["::", "::1", "ff02::1", "::ffff:10.0.0.2", "2001:db8::1", "2001:db8:7::1"] {
        assert_eq!(reason(at(src), US), DropReason::MartianSource, "from {src}");
    }
}

/// RFC 4291 2.7: a group of the interface, or of the reserved scope, is nobody's on a wire, even if we are a member.
#[test]
fn what_is_of_this_host_comes_from_no_wire() {
    let mut ip = layer(|_| {}).unwrap();
    for (group, from_a_wire) in [("ff00::77", false), ("ff01::77", false), ("ff11::77", false), ("ff02::77", true)] {
        let group: Ipv6Addr = group.parse().unwrap();
        ip.join(group.into(), None, 0).unwrap();
        let bytes = packet(PEER, group, &[], UDP, &[0; 8]);
        if from_a_wire {
            assert!(matches!(input(&mut ip, &bytes), Input::Udp(_)), "{group}");
        } else {
            assert_eq!(dropped(&mut ip, &bytes), DropReason::MartianDestination, "{group}");
        }
        let own = RxFrame::plain(Slice::copy_of(&packet(US, group, &[], UDP, &[0; 8])));
        assert!(matches!(ip.input(Instant::ZERO, &own, true, &mut Stats::default()), Input::Udp(_)), "{group}");
    }
}

/// 4443-1, 4443-9, 8200-18: what came by a routing header goes back without.
#[test]
fn an_echo_comes_back_from_the_address_that_was_asked() {
    let mut ip = layer(|c| c.mtu = 1500).unwrap();
    for len in [0, 1, 56, 57, 1452] {
        let data: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        for us in [US, US_TOO] {
            let (disposition, reply) = done(&mut ip, &icmp(PEER, us, PING, &data));
            assert_eq!(disposition, Disposition::Answered);
            let (header, icmp, body) = answer(&reply.unwrap());
            assert_eq!((header.src, header.dst), (us, PEER));
            assert_eq!(icmp, Icmpv6Header::EchoReply { rest: [0xbe, 0xef, 0, 7] });
            assert_eq!(body, data, "{len} bytes");
        }
    }
    let bare = icmp(PEER, US, PING, b"data");
    let routed = to_us(&[(ROUTING, &[0; 8])], ICMPV6, &bare[40..]);
    let (header, _, _) = answer(&done(&mut ip, &routed).1.unwrap());
    assert_eq!(header.next_header, ICMPV6);
    assert_eq!(dropped(&mut ip, &icmp(PEER, ALL_NODES, PING, b"smurf")), DropReason::IcmpEchoRefused);
    let mut damaged = bare;
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(dropped(&mut ip, &damaged), DropReason::IcmpChecksum);
}

/// 8200-3, 8200-4: the pointer says where the next header stands that nobody knows.
#[test]
fn unknown_next_headers_are_complained_about() {
    let mut ip = layer(|_| {}).unwrap();
    let pads = options(&[1, 4, 0, 0, 0, 0]);
    assert_eq!(complaint(&mut ip, &to_us(&[], 200, b"x")), (1, 6));
    // IPv4's ICMP is unknown over IPv6.
    assert_eq!(complaint(&mut ip, &to_us(&[], ICMP, &[8; 8])), (1, 6));
    assert_eq!(complaint(&mut ip, &to_us(&[(DESTINATION, &pads)], 200, b"x")), (1, 40));
    assert_eq!(complaint(&mut ip, &to_us(&[(HOP_BY_HOP, &pads), (DESTINATION, &pads)], 200, b"x")), (1, 48));
    // Hop-by-hop options stand first or not at all.
    assert_eq!(complaint(&mut ip, &to_us(&[(DESTINATION, &pads), (HOP_BY_HOP, &pads)], TCP, &ports())), (1, 40));
    assert_eq!(complaint(&mut ip, &to_us(&[(HOP_BY_HOP, &pads), (HOP_BY_HOP, &pads)], TCP, &ports())), (1, 40));
}

/// 8200-14.
#[test]
fn behind_no_next_header_there_is_nothing() {
    let mut ip = layer(|_| {}).unwrap();
    let pads = options(&[1, 4, 0, 0, 0, 0]);
    for extensions in [&[][..], &[(DESTINATION, &pads[..])][..]] {
        assert_eq!(dropped(&mut ip, &to_us(extensions, NO_NEXT, b"whatever")), DropReason::IpNothing);
    }
}

/// 8200-2, 8200-5, 8200-7: any order, up to eight, and then no more.
#[test]
fn headers_are_taken_in_any_order_up_to_a_bound() {
    let mut ip = layer(|_| {}).unwrap();
    let (pad1s, padn) = (options(&[0; 6]), options(&[1, 4, 0, 0, 0, 0]));
    let atomic: &[u8] = &[0; 8];
    let orders: [&[(u8, &[u8])]; 5] = [
        &[(HOP_BY_HOP, &pad1s)],
        &[(HOP_BY_HOP, &padn), (DESTINATION, &padn), (ROUTING, &[0; 8]), (FRAGMENT, atomic), (DESTINATION, &pad1s)],
        &[(FRAGMENT, atomic), (ROUTING, &[0; 8])],
        &[(DESTINATION, &padn), (DESTINATION, &padn)],
        &[(DESTINATION, &padn[..]); 8],
    ];
    for extensions in orders {
        let bytes = to_us(extensions, TCP, &ports());
        let Input::Tcp(packet) = input(&mut ip, &bytes) else { panic!("{extensions:?}") };
        assert_eq!(bytes[packet.bytes], ports());
    }
    let nine: &[(u8, &[u8])] = &[(DESTINATION, &padn[..]); 9];
    assert_eq!(dropped(&mut ip, &to_us(nine, TCP, &ports())), DropReason::IpExtension);
    // Eight options, and padding of seven bytes, but not nine, nor eight.
    for (n, fine) in [(8, true), (9, false)] {
        let mut many: Vec<u8> = [0x1e, 0].repeat(n);
        many.resize(22, 0);
        let header = options(&many);
        assert_eq!(matches!(input(&mut ip, &to_us(&[(DESTINATION, &header)], TCP, &ports())), Input::Tcp(_)), fine);
    }
    for (padding, fine) in [([1, 5, 0, 0, 0, 0, 0, 0x1e, 5, 0, 0, 0, 0, 0], true), ([0; 14], false)] {
        let header = options(&padding);
        assert_eq!(matches!(input(&mut ip, &to_us(&[(DESTINATION, &header)], TCP, &ports())), Input::Tcp(_)), fine);
    }
}

/// 8200-6: the two highest bits say what to do with an unknown option, in both headers that have options.
#[test]
fn unknown_options_do_as_they_ask() {
    let mut ip = layer(|_| {}).unwrap();
    for kind in [HOP_BY_HOP, DESTINATION] {
        let with = |option: u8| options(&[0, option, 2, 9, 9, 0]);
        let send = |dst, option| packet(PEER, dst, &[(kind, &with(option))], TCP, &ports());
        assert!(matches!(input(&mut ip, &send(US, 0x1e)), Input::Tcp(_)), "skipped");
        assert_eq!(dropped(&mut ip, &send(US, 0x5e)), DropReason::IpOptions);
        assert_eq!(complaint(&mut ip, &send(US, 0x9e)), (2, 43));
        assert_eq!(complaint(&mut ip, &send(US, 0xde)), (2, 43));
        // To many: 10 complains all the same, 11 does not.
        let (_, reply) = done(&mut ip, &send(ALL_NODES, 0x9e));
        let (header, icmp, _) = answer(&reply.expect("an answer"));
        assert_eq!((header.src, header.dst), (US, PEER));
        assert_eq!(icmp, Icmpv6Header::ParameterProblem { code: 2, pointer: 43 });
        assert_eq!(dropped(&mut ip, &send(ALL_NODES, 0xde)), DropReason::IpOptions);
        assert_eq!(dropped(&mut ip, &send(ALL_NODES, 0x5e)), DropReason::IpOptions);
    }
    // An option that reaches past its header.
    let long = options(&[0, 0x1e, 4, 0, 0, 0]);
    assert_eq!(complaint(&mut ip, &to_us(&[(DESTINATION, &long)], TCP, &ports())), (0, 43));
}

/// 8200-8, and RFC 5095: type 0 is like any other.
#[test]
fn routing_headers_that_want_more_are_refused() {
    let mut ip = layer(|_| {}).unwrap();
    for kind in [0, 2, 3, 4, 253] {
        for (left, len) in [(0, 0), (0, 2), (1, 2), (255, 2)] {
            let mut header = vec![0, len, kind, left];
            header.resize(8 + 8 * usize::from(len), 0);
            let bytes = to_us(&[(ROUTING, &header)], TCP, &ports());
            if left == 0 {
                assert!(matches!(input(&mut ip, &bytes), Input::Tcp(_)), "type {kind}");
            } else {
                assert_eq!(complaint(&mut ip, &bytes), (0, 42), "type {kind}");
            }
        }
    }
}

/// 7112-1: a first fragment holds all headers.
#[test]
fn a_first_fragment_without_its_headers_is_refused() {
    let pads = options(&[1, 4, 0, 0, 0, 0]);
    let fragment: &[u8] = &[0, 0, 0, 1, 1, 2, 3, 4];
    for (extensions, protocol, payload, whole) in [
        (&[(FRAGMENT, fragment)][..], TCP, 24, true),
        (&[(FRAGMENT, fragment)], TCP, 16, false),
        (&[(FRAGMENT, fragment)], UDP, 8, true),
        (&[(FRAGMENT, fragment)], UDP, 7, false),
        (&[(FRAGMENT, fragment)], ICMPV6, 8, true),
        (&[(FRAGMENT, fragment)], ICMPV6, 7, false),
        (&[(FRAGMENT, fragment), (DESTINATION, &pads)], UDP, 8, true),
        (&[(FRAGMENT, fragment), (DESTINATION, &pads)], UDP, 0, false),
        (&[(FRAGMENT, fragment)], DESTINATION, 7, false),
    ] {
        let bytes = to_us(extensions, protocol, &vec![0; payload]);
        let mut ip = layer(|_| {}).unwrap();
        if whole {
            assert_eq!(done(&mut ip, &bytes).0, Disposition::Held);
        } else {
            // What is cut off may have been an ICMP error, so about that nothing is said.
            match done(&mut ip, &bytes) {
                (Disposition::Dropped(DropReason::FragmentTiny), Some(reply)) => {
                    let (_, icmp, _) = answer(&reply);
                    assert_eq!(icmp, Icmpv6Header::ParameterProblem { code: 3, pointer: 0 });
                }
                (Disposition::Dropped(DropReason::FragmentTiny), None) => assert_eq!(protocol, ICMPV6),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_chain_that_is_cut_off_is_dropped() {
    let mut ip = layer(|_| {}).unwrap();
    let pads = options(&[1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for kind in [HOP_BY_HOP, DESTINATION, ROUTING, FRAGMENT] {
        for len in 0..8 {
            assert_eq!(
                dropped(&mut ip, &to_us(&[], kind, &pads[..len])),
                DropReason::IpExtension,
                "{kind}, {len} bytes"
            );
        }
    }
    assert_eq!(dropped(&mut ip, &to_us(&[], DESTINATION, &pads[..15])), DropReason::IpExtension);
}

/// 4443-2: what is an error by its number goes to whom it quotes, known or not.
#[test]
fn errors_of_unknown_type_go_to_whom_they_quote() {
    let mut ip = layer(|_| {}).unwrap();
    let quoted = packet(US, PEER, &[], TCP, &ports());
    for kind in [0, 5, 100, 127] {
        let bytes = icmp(PEER, US, Icmpv6Header::Other { kind, code: 9, rest: [0; 4] }, &quoted);
        match ip.input(Instant::ZERO, &RxFrame::plain(Slice::copy_of(&bytes)), false, &mut Stats::default()) {
            Input::IcmpError(report) => {
                assert_eq!((report.kind, report.message), (ErrorKind::Unknown, (kind, 9)));
                assert_eq!((report.transport, report.remote.ip()), (Transport::Tcp, PEER.into()));
            }
            other => panic!("type {kind}: {other:?}"),
        }
    }
}

/// 4443-3.
#[test]
fn types_that_a_host_does_not_serve_are_ignored() {
    let mut ip = layer(|_| {}).unwrap();
    let quoted = packet(US, PEER, &[], TCP, &ports());
    for kind in 129..=255u8 {
        let bytes = icmp(PEER, US, Icmpv6Header::Other { kind, code: 0, rest: [0; 4] }, &quoted);
        let why = match kind {
            icmpv6::REDIRECT => DropReason::IcmpRedirect,
            // MLD's, but from no router of the link.
            130..=132 | 143 => DropReason::IgmpIgnored,
            _ => DropReason::IcmpIgnored,
        };
        assert_eq!(dropped(&mut ip, &bytes), why, "type {kind}");
    }
}

/// 4443-5.
#[test]
fn errors_about_which_a_host_is_silent() {
    let mut ip = layer(|_| {}).unwrap();
    let mut sends = |bytes: &[u8], kind| {
        let mut stats = Stats::default();
        let frame = ip.error_about(Instant::ZERO, &RxFrame::plain(Slice::copy_of(bytes)), kind, &mut stats);
        assert_eq!(stats.icmp_errors_sent, u64::from(frame.is_some()));
        frame.is_some()
    };
    let port = ErrorKind::PortUnreachable;
    assert!(sends(&packet(PEER, US, &[], UDP, &[0; 20]), port));
    assert!(!sends(&packet(PEER, ALL_NODES, &[], UDP, &[0; 20]), port));
    assert!(sends(&packet(PEER, ALL_NODES, &[], UDP, &[0; 20]), ErrorKind::PacketTooBig { mtu: 1280 }));
    for nobody in [Ipv6Addr::UNSPECIFIED, ALL_NODES] {
        assert!(!sends(&packet(nobody, US, &[], UDP, &[0; 20]), port), "from {nobody}");
    }
    let pads = options(&[1, 4, 0, 0, 0, 0]);
    for kind in 0..=255 {
        let may = kind >= 128 && kind != 137;
        for extensions in [&[][..], &[(DESTINATION, &pads[..])][..]] {
            assert_eq!(sends(&packet(PEER, US, extensions, ICMPV6, &[kind; 8]), port), may, "about type {kind}");
        }
    }
}

/// 4443-4.
#[test]
fn an_error_quotes_as_much_as_1280_bytes_hold() {
    let mut ip = layer(|c| c.mtu = 9000).unwrap();
    for len in [0, 8, 1192, 1193, 5000] {
        let bytes = to_us(&[], 200, &vec![7; len]);
        let (_, reply) = done(&mut ip, &bytes);
        let (_, _, quoted) = answer(&reply.unwrap());
        assert_eq!(quoted, bytes[..(40 + len).min(1232)]);
    }
}

/// 4443-6.
#[test]
fn errors_are_limited_by_the_bucket() {
    let mut ip = layer(|c| c.icmp_errors_per_second = 1000).unwrap();
    let frame = RxFrame::plain(Slice::copy_of(&to_us(&[], 200, b"x")));
    let mut stats = Stats::default();
    let mut sent = 0;
    for n in 0..10_000u64 {
        match ip.input(Instant::from_micros(100 * n), &frame, false, &mut stats) {
            Input::Done { reply, .. } => sent += u64::from(reply.is_some()),
            other => panic!("{other:?}"),
        }
    }
    assert!((1000..=2000).contains(&sent), "{sent} errors: a full bucket and a second's worth");
}

/// 4443-8 among others: an error about our packet names both ends, behind extension headers, too.
#[test]
fn an_error_about_our_packet_names_both_ends() {
    let mut ip = layer(|_| {}).unwrap();
    let router = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);
    let pads = options(&[1, 4, 0, 0, 0, 0]);
    let fragment: &[u8] = &[0, 0, 0, 1, 1, 2, 3, 4];
    let kinds = [
        (Icmpv6Header::DestinationUnreachable { code: 0 }, ErrorKind::NetworkUnreachable),
        (Icmpv6Header::DestinationUnreachable { code: 4 }, ErrorKind::PortUnreachable),
        (Icmpv6Header::PacketTooBig { mtu: 1400 }, ErrorKind::PacketTooBig { mtu: 1400 }),
        (Icmpv6Header::TimeExceeded { code: 0 }, ErrorKind::TtlExceeded),
        (Icmpv6Header::ParameterProblem { code: 1, pointer: 6 }, ErrorKind::ProtocolUnreachable),
    ];
    for (header, kind) in kinds {
        for extensions in [&[][..], &[(DESTINATION, &pads[..]), (FRAGMENT, fragment)]] {
            let quoted = packet(US, PEER, extensions, TCP, &ports());
            let Input::IcmpError(report) = input(&mut ip, &icmp(router, US, header, &quoted)) else {
                panic!("{header:?}");
            };
            assert_eq!((report.kind, report.transport), (kind, Transport::Tcp));
            assert_eq!(report.local, "[2001:db8::1]:8080".parse().unwrap());
            assert_eq!(report.remote, "[2001:db8::2]:49152".parse().unwrap());
        }
    }
    let other = packet(PEER, US_TOO, &[], TCP, &ports());
    let unreachable = Icmpv6Header::DestinationUnreachable { code: 0 };
    assert_eq!(dropped(&mut ip, &icmp(router, US, unreachable, &other)), DropReason::IcmpUnmatched);
    for len in 0..48 {
        let quoted = packet(US, PEER, &[], TCP, &ports());
        assert_eq!(dropped(&mut ip, &icmp(router, US, unreachable, &quoted[..len])), DropReason::IcmpMalformed);
    }
}

#[test]
fn every_prefix_is_dropped_in_silence() {
    let mut ip = layer(|_| {}).unwrap();
    let whole = icmp(PEER, US, PING, b"ping");
    for len in 0..whole.len() {
        assert_eq!(dropped(&mut ip, &whole[..len]), DropReason::Truncated, "{len} bytes");
    }
}

proptest! {
    /// Whatever comes, nothing panics, ranges lie in the frame, and every answer is a good packet from an address of ours
    /// to one host, no longer than 1280 bytes.
    #[test]
    fn hostile_bytes(
        mut bytes in proptest::collection::vec(any::<u8>(), 40..200),
        next in prop_oneof![Just(HOP_BY_HOP), Just(ROUTING), Just(FRAGMENT), Just(DESTINATION), Just(ICMPV6), any::<u8>()],
        names in proptest::collection::vec((0usize..100, 0u8..4), 0..6),
        looped in any::<bool>(),
    ) {
        // Behind the first header stand bytes that may look like others.
        for (at, kind) in names {
            if let Some(byte) = bytes.get_mut(40 + at / 8 * 8) {
                *byte = [DESTINATION, ROUTING, FRAGMENT, TCP][usize::from(kind)];
            }
            if let Some(byte) = bytes.get_mut(41 + at / 8 * 8) {
                *byte &= 3;
            }
        }
        let len = bytes.len() - 40;
        let header = Ipv6Header { src: PEER, dst: US, next_header: next, hop_limit: 1, traffic_class: 0, flow_label: 0 };
        ipv6::emit(&header, len, &mut bytes);
        let mut ip = layer(|_| {}).unwrap();
        let frame = RxFrame::plain(Slice::copy_of(&bytes));
        match ip.input(Instant::ZERO, &frame, looped, &mut Stats::default()) {
            Input::Tcp(packet) | Input::Udp(packet) => {
                prop_assert!(packet.bytes.start <= packet.bytes.end && packet.bytes.end <= bytes.len());
            }
            Input::Reassembled(_) => prop_assert!(false, "of one frame"),
            Input::IcmpError(report) => prop_assert!(ip.is_local(report.local.ip())),
            Input::Done { reply: Some(reply), .. } => {
                let (header, icmp, _) = answer(&reply);
                prop_assert!(ip.is_local(header.src.into()) && ip.is_valid_peer(header.dst.into()));
                prop_assert!(reply.len() <= 1280);
                let allowed = matches!(icmp, Icmpv6Header::EchoReply { .. } | Icmpv6Header::ParameterProblem { .. });
                prop_assert!(allowed, "{:?}", icmp);
            }
            Input::Done { reply: None, .. } => {}
        }
    }
}
