//! Sockets and datagrams. Names of rows and attacks are those of the requirements.

mod errors;
mod many;
mod messages;

use super::*;
use crate::icmp::Message;
use crate::ip::Input;
use crate::stack::Cidr;
use crate::wire::ip::IpHeader;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::{RxChecksum, RxMeta};
use std::net::Ipv4Addr;

mod v6;

/// One stack's UDP, and its internet layer.
struct Host {
    ip: Ip,
    udp: Sockets,
    stats: Stats,
    now: Instant,
}

impl Host {
    fn new() -> Host {
        Host::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Host {
        let addresses = vec![Cidr::new(addr("10.0.0.1"), 24), Cidr::new(addr("10.7.0.1"), 24)];
        let mut config = Config { addresses, ..Config::default() };
        change(&mut config);
        let mut rng = Rng::new(Rng::seed_from(5));
        let ip = Ip::new(&config, rng.fork(), Instant::ZERO).unwrap();
        let udp = Sockets::new(&config, rng.fork()).unwrap();
        Host { ip, udp, stats: Stats::default(), now: Instant::ZERO }
    }

    /// A host of both families.
    fn dual() -> Host {
        Host::with(|config| config.addresses.push(Cidr::new(addr("2001:db8::1"), 64)))
    }

    fn bind(&mut self, local: &str) -> UdpId {
        self.udp.bind(&self.ip, at(local), UdpBind::default()).unwrap()
    }

    fn connect(&mut self, id: UdpId, peer: &str) -> Result<()> {
        self.udp.connect(&self.ip, id, at(peer))
    }

    fn send(&mut self, id: UdpId, data: &[u8], to: &str) -> Result<usize> {
        self.udp.send(&self.ip, id, data, Some(at(to)))
    }

    fn recv(&mut self, id: UdpId) -> Result<(Vec<u8>, SocketAddr)> {
        let mut buf = [0; 2000];
        let (n, from) = self.udp.recv(id, &mut buf, false)?;
        Ok((buf[..n].to_vec(), from))
    }

    /// The next packet sent, taken apart, with everything in it validated.
    fn sent(&mut self) -> Option<Sent> {
        let Departure { id, frame, .. } = self.udp.poll_transmit(&mut self.ip, self.now)?;
        let bytes = frame.to_vec();
        let (ip, payload) = crate::wire::ip::parse(&bytes).expect("a good IP header");
        assert_eq!(payload.end, bytes.len());
        let dont_fragment = ipv4::parse(&bytes).is_ok_and(|(header, _)| header.dont_fragment);
        let (udp, len) = wire::parse(&bytes[payload.clone()]).expect("a good UDP header");
        assert_eq!(len, payload.len());
        let (src, dst) = (ip.src, ip.dst);
        assert!(checksum::verify_udp(src, dst, &bytes[payload.clone()], RxChecksum::Unverified));
        assert_ne!(bytes[payload.start + 6..payload.start + 8], [0, 0], "the checksum is never left out");
        Some(Sent {
            id,
            ip,
            dont_fragment,
            src: SocketAddr::new(src, udp.src_port),
            dst: SocketAddr::new(dst, udp.dst_port),
            data: bytes[payload.start + 8..].to_vec(),
        })
    }

    /// A packet comes in; what becomes of it, by way of the internet layer.
    fn arrives(&mut self, bytes: &[u8]) -> Outcome {
        // A full-size chunk, as devices give them.
        let mut chunk = crate::buf::Pool::new(0).take();
        chunk.append(bytes);
        self.frame(RxFrame::plain(chunk.freeze()), false)
    }

    fn frame(&mut self, frame: RxFrame, looped: bool) -> Outcome {
        match self.ip.input(self.now, &frame, looped, &mut self.stats) {
            Input::Udp(packet) => self.udp.input(&mut self.ip, self.now, &frame, &packet, &mut self.stats),
            Input::IcmpError(report) => {
                let (disposition, changed) = self.udp.on_icmp(&mut self.ip, self.now, &report);
                Outcome { disposition, changed, others: Vec::new(), reply: None }
            }
            Input::Done { disposition, reply } => Outcome { disposition, changed: None, others: Vec::new(), reply },
            other => panic!("{other:?}"),
        }
    }

    fn gets(&mut self, src: &str, dst: &str, data: &[u8]) -> Outcome {
        self.arrives(&packet(src, dst, data))
    }
}

#[derive(Debug)]
struct Sent {
    id: UdpId,
    ip: IpHeader,
    /// DF of IPv4.
    dont_fragment: bool,
    src: SocketAddr,
    dst: SocketAddr,
    data: Vec<u8>,
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An IP packet around `payload`.
fn ip_packet(src: SocketAddr, dst: SocketAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = match (src.ip(), dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4Header {
                src,
                dst,
                protocol,
                ttl: 64,
                tos: 0,
                id: 1,
                dont_fragment: false,
                more_fragments: false,
                fragment_offset: 0,
            };
            let mut bytes = vec![0; 20];
            ipv4::emit(&header, payload.len(), &mut bytes);
            bytes
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let (next_header, hop_limit) = (protocol, 64);
            let header = Ipv6Header { src, dst, next_header, hop_limit, traffic_class: 0, flow_label: 0 };
            let mut bytes = vec![0; 40];
            ipv6::emit(&header, payload.len(), &mut bytes);
            bytes
        }
        _ => panic!("{src} to {dst}"),
    };
    bytes.extend_from_slice(payload);
    bytes
}

fn packet(src: &str, dst: &str, data: &[u8]) -> Vec<u8> {
    let (src, dst) = (at(src), at(dst));
    let mut datagram = vec![0; 8];
    wire::emit(&UdpHeader { src_port: src.port(), dst_port: dst.port() }, data.len(), &mut datagram);
    datagram.extend_from_slice(data);
    let mut sum = checksum::pseudo_header(src.ip(), dst.ip(), ip::UDP, datagram.len());
    sum.add(&datagram);
    datagram[6..8].copy_from_slice(&sum.checksum().to_be_bytes());
    ip_packet(src, dst, ip::UDP, &datagram)
}

/// An ICMP error of `kind` from a router about `quoted`.
fn icmp_error(kind: ErrorKind, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 8];
    let (router, us) = (at("10.0.0.254:0"), at("10.0.0.1:0"));
    Message::Error(kind).write(router.ip(), us.ip(), quoted, &mut message);
    message.extend_from_slice(quoted);
    ip_packet(router, us, ip::ICMP, &message)
}

const DELIVERED: Disposition = Disposition::Delivered;

fn dropped(reason: DropReason) -> Disposition {
    Disposition::Dropped(reason)
}

/// 1122-52, 1122-53, 1122-48.
#[test]
fn a_datagram_goes_out_with_our_addresses_and_a_checksum() {
    let mut host = Host::new();
    let any = host.bind("0.0.0.0:1000");
    let chosen = host.bind("10.7.0.1:2000");
    assert_eq!(host.send(any, b"", "10.7.0.9:53"), Ok(0));
    assert_eq!(host.send(chosen, b"hello", "10.0.0.9:53"), Ok(5));
    host.udp.options(chosen).unwrap().ttl = 3;
    assert_eq!(host.send(chosen, &[7; 1472], "8.8.8.8:53"), Ok(1472));

    let first = host.sent().unwrap();
    assert_eq!((first.src, first.dst), (at("10.7.0.1:1000"), at("10.7.0.9:53")));
    assert_eq!((first.id, first.ip.ttl, &first.data[..]), (any, 64, &[][..]));
    let second = host.sent().unwrap();
    assert_eq!((second.src, second.dst), (at("10.7.0.1:2000"), at("10.0.0.9:53")));
    assert_eq!((second.id, second.ip.ttl, &second.data[..]), (chosen, 64, &b"hello"[..]));
    let third = host.sent().unwrap();
    assert_eq!((third.ip.ttl, third.data), (3, vec![7; 1472]));
    assert!(host.sent().is_none());
    assert_eq!(host.udp.memory(), 0);
}

/// 1122-53: for every data word one pair of bytes makes the sum come out as zero.
#[test]
fn a_computed_zero_is_never_sent() {
    let mut host = Host::with(|c| c.udp.send_queue = 65_536);
    let id = host.bind("10.0.0.1:1000");
    let mut all_ones = 0;
    for word in 0..=u16::MAX {
        host.send(id, &word.to_be_bytes(), "10.0.0.2:53").unwrap();
        let frame = host.udp.poll_transmit(&mut host.ip, host.now).unwrap().frame;
        assert_ne!(frame.header[26..28], [0, 0]);
        all_ones += u32::from(frame.header[26..28] == [0xff, 0xff]);
    }
    assert_eq!(all_ones, 1);
}

#[test]
fn a_datagram_comes_in_whole() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:53");
    assert_eq!(host.udp.readiness(id), Readiness::WRITABLE);
    assert_eq!(host.recv(id), Err(Error::WouldBlock));

    let outcome = host.gets("10.0.0.2:999", "10.0.0.1:53", b"question");
    assert_eq!((outcome.disposition, outcome.changed), (DELIVERED, Some(id)));
    assert!(outcome.reply.is_none());
    host.gets("10.0.0.3:0", "10.7.0.1:53", b"");
    assert_eq!(host.udp.readiness(id), Readiness::READABLE | Readiness::WRITABLE);

    let mut short = [0; 4];
    assert_eq!(host.udp.recv(id, &mut short, true), Ok((4, at("10.0.0.2:999"))));
    assert_eq!(host.recv(id), Ok((b"question".to_vec(), at("10.0.0.2:999"))));
    assert_eq!(host.recv(id), Ok((vec![], at("10.0.0.3:0"))));
    host.gets("10.0.0.2:999", "10.0.0.1:53", b"question");
    assert_eq!(host.udp.recv(id, &mut short, false), Ok((4, at("10.0.0.2:999"))));
    assert_eq!((&short, host.recv(id)), (b"ques", Err(Error::WouldBlock)), "the rest is gone");
    assert_eq!((host.udp.readiness(id), host.udp.memory()), (Readiness::WRITABLE, 0));
}

/// 1122-52, 1122-54, attack 51.
#[test]
fn a_bad_checksum_is_dropped_and_none_is_accepted() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:53");
    let good = packet("10.0.0.2:999", "10.0.0.1:53", b"data");
    for bit in 20 * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let outcome = host.arrives(&bad);
        let reason = if (24 * 8..26 * 8).contains(&bit) { "length" } else { "checksum" };
        match outcome.disposition {
            Disposition::Dropped(DropReason::UdpChecksum) => {}
            Disposition::Dropped(DropReason::UdpLength) => assert_eq!(reason, "length"),
            other => panic!("bit {bit}: {other:?}"),
        }
        assert!(outcome.reply.is_none());
    }
    let mut none = good.clone();
    none[26..28].fill(0);
    assert_eq!(host.arrives(&none).disposition, DELIVERED);
    assert_eq!(host.recv(id).unwrap().0, b"data");

    // The device vouches for it, or it never left: the field is the pseudo-header's sum, or anything.
    for checksum in [RxChecksum::Valid, RxChecksum::Partial] {
        let mut frame = RxFrame::plain(Slice::copy_of(&good));
        let mut bytes = good.clone();
        bytes[26..28].copy_from_slice(&[0x12, 0x34]);
        frame.data = Slice::copy_of(&bytes);
        frame.meta = RxMeta { checksum, gso: None, interface: 0 };
        assert_eq!(host.frame(frame, false).disposition, DELIVERED);
    }
}

/// 768-1, attack 51.
#[test]
fn a_length_that_lies_is_dropped_and_a_short_one_cuts() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:53");
    let mut bytes = packet("10.0.0.2:999", "10.0.0.1:53", b"0123456789");
    bytes[26..28].fill(0);
    for (len, want) in [(0, None), (7, None), (8, Some(0)), (12, Some(4)), (18, Some(10)), (19, None), (65_535, None)] {
        bytes[24..26].copy_from_slice(&u16::to_be_bytes(len));
        let outcome = host.arrives(&bytes);
        match want {
            Some(n) => assert_eq!(host.recv(id).map(|(data, _)| data), Ok(b"0123456789"[..n].to_vec())),
            None => assert_eq!(outcome.disposition, dropped(DropReason::UdpLength), "length {len}"),
        }
    }
    let headerless = ip_packet(at("10.0.0.2:0"), at("10.0.0.1:0"), ip::UDP, &[0, 53, 0, 53, 0, 8, 0]);
    assert_eq!(host.arrives(&headerless).disposition, dropped(DropReason::UdpLength));
}

/// 1122-50, 1122-24.
#[test]
fn a_closed_port_is_answered_unless_many_were_asked() {
    let mut host = Host::new();
    let bytes = packet("10.0.0.2:999", "10.7.0.1:53", b"anybody?");
    let outcome = host.arrives(&bytes);
    assert_eq!((outcome.disposition, outcome.changed), (dropped(DropReason::UdpNoSocket), None));
    let reply = outcome.reply.unwrap().to_vec();
    let (header, payload) = ipv4::parse(&reply).unwrap();
    assert_eq!((header.src, header.dst), (Ipv4Addr::new(10, 7, 0, 1), Ipv4Addr::new(10, 0, 0, 2)));
    assert_eq!(reply[payload.start..payload.start + 2], [3, 3]);
    assert_eq!(reply[payload.start + 8..], bytes);
    assert_eq!(host.stats.icmp_errors_sent, 1);

    for many in ["10.0.0.255:53", "255.255.255.255:53", "10.7.0.0:53"] {
        let outcome = host.gets("10.0.0.2:999", many, b"anybody?");
        assert_eq!(outcome.disposition, dropped(DropReason::UdpNoSocket));
        assert!(outcome.reply.is_none(), "{many}");
    }
    // Without a good checksum nobody knows who asked.
    let mut bad = bytes;
    bad[30] ^= 1;
    assert!(host.arrives(&bad).reply.is_none());
}

/// Attack 39.
#[test]
fn a_flood_to_closed_ports_draws_a_bounded_number_of_errors() {
    let mut host = Host::new();
    let frame = |n| RxFrame::plain(Slice::copy_of(&packet(&format!("10.9.0.{n}:999"), "10.0.0.1:53", &[0; 4])));
    let frames: Vec<_> = (0..100).map(frame).collect();
    let replies = (0..100_000u64)
        .filter(|n| {
            host.now = Instant::from_micros(10 * n);
            host.frame(frames[*n as usize % 100].clone(), false).reply.is_some()
        })
        .count();
    assert!((1850..=2150).contains(&replies), "{replies}: a full bucket and a second's worth, as the draws have it");
}

#[test]
fn the_most_specific_socket_gets_it() {
    let mut host = Host::new();
    let one = host.bind("10.0.0.1:53");
    let two = host.bind("10.7.0.1:53");
    let any = host.bind("0.0.0.0:54");
    assert_eq!(host.gets("10.0.0.2:9", "10.0.0.1:53", b"x").changed, Some(one));
    assert_eq!(host.gets("10.0.0.2:9", "10.7.0.1:53", b"x").changed, Some(two));
    assert_eq!(host.gets("10.0.0.2:9", "10.7.0.1:54", b"x").changed, Some(any));
    // Broadcast reaches wildcards only, as with Linux.
    assert_eq!(host.gets("10.0.0.2:9", "10.0.0.255:54", b"x").changed, Some(any));
    assert_eq!(host.gets("10.0.0.2:9", "255.255.255.255:54", b"x").changed, Some(any));
    assert_eq!(host.gets("10.0.0.2:9", "10.0.0.255:53", b"x").disposition, dropped(DropReason::UdpNoSocket));
    assert_eq!(host.gets("10.0.0.2:9", "224.0.0.1:54", b"x").disposition, dropped(DropReason::UdpNoSocket));
    assert_eq!(host.gets("10.0.0.2:9", "239.0.0.1:54", b"x").disposition, dropped(DropReason::NotForUs));
}

#[test]
fn binding_has_the_rules_of_std() {
    let mut host = Host::new();
    let bind = |host: &mut Host, local: &str| host.udp.bind(&host.ip, at(local), UdpBind::default());
    let specific = bind(&mut host, "10.0.0.1:53").unwrap();
    assert_eq!(bind(&mut host, "10.0.0.1:53"), Err(Error::AddrInUse));
    assert_eq!(bind(&mut host, "0.0.0.0:53"), Err(Error::AddrInUse));
    assert!(bind(&mut host, "10.7.0.1:53").is_ok());
    assert!(bind(&mut host, "127.0.0.1:53").is_ok());
    for elsewhere in ["10.0.0.9:53", "8.8.8.8:53", "10.8.0.255:53", "[2001:db8::1]:53"] {
        assert_eq!(bind(&mut host, elsewhere), Err(Error::AddrNotAvailable), "{elsewhere}");
    }
    assert_eq!(bind(&mut host, "[::]:53"), Err(Error::AddrInUse));
    let only_v6 = UdpBind { only_v6: true, ..UdpBind::default() };
    assert_eq!(host.udp.bind(&host.ip, at("[::]:53"), only_v6), Err(Error::Unsupported));
    host.udp.close(&mut host.ip, specific).unwrap();
    assert!(bind(&mut host, "10.0.0.1:53").is_ok());

    let ephemeral = bind(&mut host, "0.0.0.0:0").unwrap();
    let port = host.udp.local_addr(ephemeral).unwrap().port();
    assert!(port >= 1024);
    assert_eq!(host.gets("10.0.0.2:9", &format!("10.0.0.1:{port}"), b"x").changed, Some(ephemeral));
}

#[test]
fn the_number_of_sockets_is_bounded() {
    let mut host = Host::with(|c| c.max_udp_sockets = 2);
    let first = host.bind("0.0.0.0:1");
    host.bind("0.0.0.0:2");
    assert_eq!(host.udp.bind(&host.ip, at("0.0.0.0:3"), UdpBind::default()), Err(Error::NoBufferSpace));
    host.udp.close(&mut host.ip, first).unwrap();
    assert_eq!(host.udp.bind(&host.ip, at("0.0.0.0:2"), UdpBind::default()), Err(Error::AddrInUse));
    host.bind("0.0.0.0:3");
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:1000");
    assert_eq!(host.udp.peer_addr(id), Err(Error::NotConnected));
    assert_eq!(host.udp.send(&host.ip, id, b"x", None), Err(Error::NotConnected));
    host.connect(id, "10.7.0.9:53").unwrap();
    assert_eq!(host.udp.local_addr(id), Ok(at("10.7.0.1:1000")));
    assert_eq!(host.udp.peer_addr(id), Ok(at("10.7.0.9:53")));

    assert_eq!(host.gets("10.7.0.9:53", "10.7.0.1:1000", b"answer").changed, Some(id));
    for other in ["10.7.0.9:54", "10.7.0.8:53"] {
        let outcome = host.gets(other, "10.7.0.1:1000", b"forged");
        assert_eq!(outcome.disposition, dropped(DropReason::UdpNoSocket));
        assert!(outcome.reply.is_some());
    }
    assert!(host.gets("10.7.0.9:53", "10.0.0.1:1000", b"to our other address").changed.is_none());

    assert_eq!(host.udp.send(&host.ip, id, b"ask", None), Ok(3));
    assert_eq!(host.send(id, b"tell", "10.0.0.9:99"), Ok(4));
    let (to_peer, elsewhere) = (host.sent().unwrap(), host.sent().unwrap());
    assert_eq!((to_peer.src, to_peer.dst), (at("10.7.0.1:1000"), at("10.7.0.9:53")));
    assert_eq!((elsewhere.src, elsewhere.dst), (at("10.7.0.1:1000"), at("10.0.0.9:99")));

    // Another peer, another way there.
    host.connect(id, "127.0.0.1:53").unwrap();
    assert_eq!(host.udp.local_addr(id), Ok(at("127.0.0.1:1000")));
    let taken = host.bind("10.0.0.1:1000");
    assert_eq!(host.connect(id, "10.0.0.9:53"), Err(Error::AddrInUse));
    assert_eq!(host.udp.peer_addr(id), Ok(at("127.0.0.1:53")));
    host.udp.close(&mut host.ip, taken).unwrap();
    assert_eq!(host.connect(id, "10.0.0.9:53"), Ok(()));
}

#[test]
fn destinations_that_no_host_can_have_are_refused() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:1000");
    let local = host.bind("127.0.0.1:1001");
    for (to, error) in [
        ("10.0.0.9:0", Error::InvalidInput("port 0 is no destination")),
        ("240.0.0.1:9", Error::InvalidInput("no host has the destination address")),
        ("[2001:db8::1]:9", Error::AddressFamily),
        ("255.255.255.255:9", Error::PermissionDenied),
        ("10.0.0.255:9", Error::PermissionDenied),
    ] {
        assert_eq!(host.send(id, b"x", to), Err(error), "{to}");
        assert_eq!(host.connect(id, to), Err(error), "{to}");
    }
    // The unspecified address is this host.
    assert_eq!(host.send(local, b"x", "0.0.0.0:9"), Ok(1));
    let looped = host.sent().unwrap();
    assert_eq!((looped.src, looped.dst), (at("127.0.0.1:1001"), at("127.0.0.1:9")));
    assert!(matches!(host.send(local, b"x", "10.0.0.9:9"), Err(Error::InvalidInput(_))));
    assert_eq!(host.send(local, b"x", "10.0.0.1:9"), Ok(1));
    assert_eq!(host.send(id, &[0; 65_508], "10.0.0.9:9"), Err(Error::MessageTooLong));
    assert_eq!(host.sent().unwrap().src, at("127.0.0.1:1001"));
    assert!(host.sent().is_none());
}

#[test]
fn broadcast_needs_leave_and_multicast_stays_on_the_link() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:1000");
    host.udp.options(id).unwrap().broadcast = true;
    host.send(id, b"x", "255.255.255.255:9").unwrap();
    host.send(id, b"x", "10.7.0.255:9").unwrap();
    host.send(id, b"x", "239.1.1.1:9").unwrap();
    assert_eq!(host.sent().unwrap().src, at("10.0.0.1:1000"));
    assert_eq!(host.sent().unwrap().src, at("10.7.0.1:1000"));
    assert_eq!(host.sent().unwrap().ip.ttl, 1);
}

/// 1122-51, 1122-28, 1122-29.
#[test]
fn an_icmp_error_reaches_the_socket_that_is_connected_there() {
    let mut host = Host::new();
    let id = host.bind("10.0.0.1:1000");
    host.connect(id, "10.0.0.9:53").unwrap();
    let quoted = packet("10.0.0.1:1000", "10.0.0.9:53", b"x");

    let outcome = host.arrives(&icmp_error(ErrorKind::PortUnreachable, &quoted));
    assert_eq!((outcome.disposition, outcome.changed), (DELIVERED, Some(id)));
    let all = Readiness::READABLE | Readiness::WRITABLE | Readiness::ERROR;
    assert_eq!(host.udp.readiness(id), all);
    assert_eq!(host.udp.send(&host.ip, id, b"x", None), Err(Error::ConnectionRefused));
    assert_eq!(host.udp.send(&host.ip, id, b"x", None), Ok(1));
    host.arrives(&icmp_error(ErrorKind::PortUnreachable, &quoted));
    assert_eq!(host.recv(id), Err(Error::ConnectionRefused));
    assert_eq!(host.recv(id), Err(Error::WouldBlock));
    host.arrives(&icmp_error(ErrorKind::ProtocolUnreachable, &quoted));
    assert_eq!(host.udp.take_error(id), Ok(Some(Error::ProtocolUnreachable)));
    assert_eq!(host.udp.take_error(id), Ok(None));

    // What may pass is seen by those who ask, and fails no call.
    for (kind, error) in [
        (ErrorKind::HostUnreachable, Error::HostUnreachable),
        (ErrorKind::NetworkUnreachable, Error::NetworkUnreachable),
        (ErrorKind::TtlExceeded, Error::HostUnreachable),
    ] {
        let outcome = host.arrives(&icmp_error(kind, &quoted));
        assert_eq!((outcome.disposition, outcome.changed), (DELIVERED, None));
        assert_eq!(host.udp.readiness(id), Readiness::WRITABLE);
        assert_eq!(host.udp.send(&host.ip, id, b"x", None), Ok(1));
        assert_eq!(host.udp.take_error(id), Ok(Some(error)));
    }
}

#[test]
fn an_icmp_error_that_fits_no_connected_socket_changes_nothing() {
    let mut host = Host::new();
    let id = host.bind("10.0.0.1:1000");
    let quoted = packet("10.0.0.1:1000", "10.0.0.9:53", b"x");
    let error = icmp_error(ErrorKind::PortUnreachable, &quoted);
    assert_eq!(host.arrives(&error).disposition, dropped(DropReason::IcmpUnmatched), "not connected");
    for peer in ["10.0.0.9:54", "10.0.0.8:53"] {
        host.connect(id, peer).unwrap();
        assert_eq!(host.arrives(&error).disposition, dropped(DropReason::IcmpUnmatched), "{peer}");
    }
    host.connect(id, "10.0.0.9:53").unwrap();
    let too_big = icmp_error(ErrorKind::PacketTooBig { mtu: 600 }, &quoted);
    assert_eq!(host.arrives(&too_big).disposition, dropped(DropReason::IcmpUnmatched), "it was not that big");
    assert_eq!((host.udp.take_error(id), host.recv(id)), (Ok(None), Err(Error::WouldBlock)));
    host.udp.close(&mut host.ip, id).unwrap();
    assert_eq!(host.arrives(&error).disposition, dropped(DropReason::IcmpUnmatched), "closed");
}

#[test]
fn a_closed_handle_stays_closed_when_its_place_is_taken_again() {
    let mut host = Host::new();
    let old = host.bind("0.0.0.0:1000");
    host.gets("10.0.0.2:9", "10.0.0.1:1000", b"unread");
    host.send(old, b"last words", "10.0.0.9:53").unwrap();
    host.udp.close(&mut host.ip, old).unwrap();
    let new = host.bind("0.0.0.0:1000");
    assert_eq!((old.index, old != new), (new.index, true));
    assert_eq!(host.udp.close(&mut host.ip, old), Err(Error::BadHandle));
    assert_eq!(host.recv(old), Err(Error::BadHandle));
    assert_eq!(host.send(old, b"x", "10.0.0.9:53"), Err(Error::BadHandle));
    assert_eq!(host.connect(old, "10.0.0.9:53"), Err(Error::BadHandle));
    assert_eq!(host.udp.local_addr(old), Err(Error::BadHandle));
    assert_eq!(host.udp.readiness(old), Readiness::READABLE | Readiness::WRITABLE | Readiness::HANGUP);
    assert_eq!(host.recv(new), Err(Error::WouldBlock), "nothing is inherited");

    // What was sent before the close still goes, and frees nobody else's queue.
    assert_eq!(host.sent().unwrap().data, b"last words");
    assert_eq!((host.sent().is_none(), host.udp.memory()), (true, 0));
    assert_eq!(host.udp.readiness(new), Readiness::WRITABLE);
}

#[test]
fn the_send_queue_is_bounded_and_room_is_told() {
    let mut host = Host::with(|c| c.udp.send_queue = 2);
    let (full, other) = (host.bind("0.0.0.0:1"), host.bind("0.0.0.0:2"));
    for _ in 0..2 {
        host.send(full, b"x", "10.0.0.9:53").unwrap();
    }
    assert_eq!(host.send(full, b"x", "10.0.0.9:53"), Err(Error::WouldBlock));
    assert_eq!(host.udp.readiness(full), Readiness::NONE);
    assert_eq!(host.send(other, b"x", "10.0.0.9:53"), Ok(1));
    assert_eq!(host.sent().unwrap().id, full);
    assert_eq!(host.udp.readiness(full), Readiness::WRITABLE);
    assert_eq!(host.send(full, b"x", "10.0.0.9:53"), Ok(1));
}

#[test]
fn the_receive_queue_is_bounded_by_bytes() {
    let mut host = Host::with(|c| c.udp.recv_buffer = 1000);
    let id = host.bind("0.0.0.0:53");
    let arrive = |host: &mut Host, len| host.gets("10.0.0.2:9", "10.0.0.1:53", &vec![0; len]).disposition;
    for _ in 0..5 {
        assert_eq!(arrive(&mut host, 104), DELIVERED);
    }
    assert_eq!(arrive(&mut host, 0), dropped(DropReason::UdpQueueFull));
    assert_eq!(host.udp.memory(), 1000);
    host.recv(id).unwrap();
    assert_eq!(arrive(&mut host, 105), dropped(DropReason::UdpQueueFull));
    assert_eq!(arrive(&mut host, 104), DELIVERED);
    for _ in 0..5 {
        host.recv(id).unwrap();
    }
    assert_eq!(arrive(&mut host, 1400), DELIVERED, "an empty queue takes any datagram");
    assert_eq!(arrive(&mut host, 0), dropped(DropReason::UdpQueueFull));
}

#[test]
fn all_sockets_together_fill_no_more_than_their_share() {
    let mut host = Host::with(|c| c.memory = 40_000);
    let ports: Vec<u16> = (1..=20).collect();
    for port in &ports {
        host.bind(&format!("0.0.0.0:{port}"));
    }
    let sender = host.bind("0.0.0.0:99");
    for port in ports.iter().cycle().take(200) {
        host.gets("10.0.0.2:9", &format!("10.0.0.1:{port}"), &[0; 404]);
        assert!(host.udp.memory() <= 10_000);
    }
    assert_eq!(host.udp.memory(), 10_000);
    assert_eq!(host.send(sender, b"x", "10.0.0.9:53"), Err(Error::NoBufferSpace));
}

/// A socket that does not read holds the bytes it was sent, not the chunks they came in.
#[test]
fn small_datagrams_pin_little() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:53");
    let pool = crate::buf::Pool::new(1);
    for _ in 0..100 {
        let mut chunk = pool.take();
        chunk.append(&packet("10.0.0.2:9", "10.0.0.1:53", &[0; 4]));
        assert_eq!(host.frame(RxFrame::plain(chunk.freeze()), false).changed, Some(id));
    }
    assert_eq!((host.udp.memory(), pool.free()), (10_000, 1));
}

#[test]
fn a_local_client_and_server_meet() {
    let mut host = Host::new();
    let server = host.bind("127.0.0.1:53");
    let client = host.bind("0.0.0.0:0");
    host.connect(client, "127.0.0.1:53").unwrap();
    host.udp.send(&host.ip, client, b"ask", None).unwrap();
    let frame = host.udp.poll_transmit(&mut host.ip, host.now).unwrap().frame;
    let rx = RxFrame::plain(Slice::copy_of(&frame.to_vec()));
    assert_eq!(host.frame(rx.clone(), true).changed, Some(server));

    // And learns by ICMP that the server is gone.
    host.udp.close(&mut host.ip, server).unwrap();
    let reply = host.frame(rx, true).reply.expect("port unreachable");
    let rx = RxFrame::plain(Slice::copy_of(&reply.to_vec()));
    assert_eq!(host.frame(rx, true).changed, Some(client));
    assert_eq!(host.recv(client), Err(Error::ConnectionRefused));
}

// ---- super-segments ----

/// Offloads as an offloading TUN grants them.
fn offloading(config: &mut Config) {
    config.offloads = Offloads::ALL;
}

/// 2,500 bytes that differ.
fn text() -> Vec<u8> {
    (0..2500u32).map(|n| (n % 251) as u8).collect()
}

/// Whether the device cuts them or we do, the same datagrams leave.
#[test]
fn segments_leave_as_datagrams_of_their_size() {
    let to = Some(at("10.0.0.9:53"));
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:99");
    assert_eq!(host.udp.send_segmented(&host.ip, id, &text(), 1000, to), Ok(2500));
    let mut cut = Vec::new();
    while let Some(sent) = host.sent() {
        assert!(sent.dont_fragment, "identifications in sequence are for packets that stay in one piece");
        assert_eq!((sent.src.port(), sent.dst), (99, at("10.0.0.9:53")));
        cut.push(sent.data);
    }
    assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
    assert_eq!(cut.concat(), text());
    assert_eq!((host.udp.memory(), host.udp.readiness(id)), (0, Readiness::WRITABLE));

    let mut host = Host::with(offloading);
    let id = host.bind("0.0.0.0:99");
    assert_eq!(host.udp.send_segmented(&host.ip, id, &text(), 1000, to), Ok(2500));
    let frame = host.udp.poll_transmit(&mut host.ip, host.now).unwrap().frame;
    assert!(host.udp.poll_transmit(&mut host.ip, host.now).is_none());
    assert_eq!(frame.meta.gso, Some(Gso { kind: GsoKind::Udp, size: 1000 }));
    assert_eq!(frame.meta.partial_checksum, Some((20, 6)));
    let mut by_device = Vec::new();
    crate::wire::gso::Finisher::default().sent(&frame, |packet, _| by_device.push(packet[28..].to_vec()));
    assert_eq!(by_device, cut);
    assert_eq!(host.udp.memory(), 0);
}

#[test]
fn what_is_one_datagram_is_no_super_segment() {
    let mut host = Host::with(offloading);
    let id = host.bind("0.0.0.0:99");
    for len in [0, 1, 1000] {
        let to = Some(at("10.0.0.9:53"));
        assert_eq!(host.udp.send_segmented(&host.ip, id, &text()[..len], 1000, to), Ok(len));
        let frame = host.udp.poll_transmit(&mut host.ip, host.now).unwrap().frame;
        assert_eq!((frame.meta.gso, frame.len()), (None, 28 + len));
        assert!(frame.meta.partial_checksum.is_some());
    }
}

#[test]
fn segments_have_the_kernels_limits() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:99");
    let mut send =
        |len, segment| host.udp.send_segmented(&host.ip, id, &vec![7; len], segment, Some(at("10.0.0.9:53")));
    assert!(matches!(send(10, 0), Err(Error::InvalidInput(_))));
    assert!(matches!(send(65, 1), Err(Error::InvalidInput(_))));
    assert_eq!(send(64, 1), Ok(64));
    assert_eq!(send(65_508, 1472), Err(Error::MessageTooLong));
    assert_eq!(send(65_507, 1472), Ok(65_507));
    assert_eq!(send(3000, 1473), Err(Error::MessageTooLong), "a segment is to fit into the MTU");
    assert_eq!(send(1472, 9000), Ok(1472), "but a limit on segments that is not reached may be any");
    assert_eq!(send(1473, 9000), Ok(1473), "and one datagram may have to be cut");
    host.udp.close(&mut host.ip, id).unwrap();
    assert_eq!(host.udp.send_segmented(&host.ip, id, b"x", 1, None), Err(Error::BadHandle));
}

/// A super-segment as a device gives it: `text` in datagrams of `size`.
fn super_segment(text: &[u8], size: u16) -> RxFrame {
    let mut frame = RxFrame::plain(Slice::copy_of(&packet("10.0.0.2:9", "10.0.0.1:53", text)));
    frame.meta = RxMeta { checksum: RxChecksum::Partial, gso: Some(Gso { kind: GsoKind::Udp, size }), interface: 0 };
    frame
}

#[test]
fn a_super_segment_is_read_as_its_datagrams() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:53");
    assert_eq!(host.frame(super_segment(&text(), 1000), false).disposition, DELIVERED);
    let mut buf = [0; 2000];
    assert_eq!(host.udp.recv(id, &mut buf, true).unwrap().0, 1000, "peeked at");
    let parts: Vec<Vec<u8>> = (0..3).map(|_| host.recv(id).unwrap().0).collect();
    assert_eq!(parts.concat(), text());
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
    assert_eq!((host.recv(id), host.udp.memory()), (Err(Error::WouldBlock), 0));

    // A reader with little room loses the end of each datagram, and no more.
    host.frame(super_segment(&text(), 1000), false);
    for at in [0, 1000, 2000] {
        assert_eq!(host.udp.recv(id, &mut buf[..3], false).unwrap().0, 3);
        assert_eq!(buf[..3], text()[at..at + 3]);
    }
    assert_eq!(host.udp.memory(), 0);
}

#[test]
fn datagrams_are_received_together() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:53");
    let from = at("10.0.0.2:9");
    let mut buf = vec![0; 70_000];
    let mut recv = |host: &mut Host, room: usize| host.udp.recv_segmented(id, &mut buf[..room]);

    // Whole super-segments, several at once, up to the short end of one.
    host.frame(super_segment(&text()[..2000], 1000), false);
    host.frame(super_segment(&text(), 1000), false);
    host.gets("10.0.0.2:9", "10.0.0.1:53", &[1; 1000]);
    assert_eq!(recv(&mut host, 70_000), Ok((4500, 1000, from)));
    assert_eq!(recv(&mut host, 70_000), Ok((1000, 1000, from)));
    assert_eq!(recv(&mut host, 70_000), Err(Error::WouldBlock));

    // Datagrams that came alone; another's, a longer and an empty one end the run.
    for (source, len) in [(9, 10), (9, 10), (9, 5), (9, 10), (8, 10), (8, 11), (8, 0), (8, 0), (8, 3)] {
        host.gets(&format!("10.0.0.2:{source}"), "10.0.0.1:53", &vec![7; len]);
    }
    let runs: Vec<_> = core::iter::from_fn(|| recv(&mut host, 1000).ok()).map(|(n, size, _)| (n, size)).collect();
    assert_eq!(runs, [(25, 10), (10, 10), (10, 10), (11, 11), (0, 0), (0, 0), (3, 3)]);

    // Only what fits whole; but of the first what fits.
    host.frame(super_segment(&text(), 1000), false);
    assert_eq!(recv(&mut host, 2499), Ok((2000, 1000, from)));
    assert_eq!(recv(&mut host, 100), Ok((100, 100, from)));
    assert_eq!(host.udp.memory(), 0);
}

/// What nobody wants is complained about as if a wire had carried it: the first datagram, with its whole checksum.
#[test]
fn an_error_quotes_a_datagram_and_no_super_segment() {
    let mut host = Host::new();
    let text = text();
    let reply = host.frame(super_segment(&text, 300), false).reply.expect("port unreachable").to_vec();
    let quoted = &reply[28..];
    let (header, payload) = ipv4::parse(quoted).expect("a good header, and all of the packet");
    assert_eq!(payload.len(), 308);
    let (src, dst) = (header.src.into(), header.dst.into());
    assert!(checksum::verify_udp(src, dst, &quoted[payload.clone()], RxChecksum::Unverified));
    assert_eq!(quoted[payload.start + 8..payload.end], text[..300]);
}

#[test]
fn a_send_buffer_bounds_what_waits_to_be_sent() {
    let mut host = Host::new();
    let id = host.bind("10.0.0.1:1000");
    host.udp.options(id).unwrap().send_buffer = 1000;
    assert_eq!(host.send(id, &[7; 3000], "10.0.0.9:9"), Ok(3000), "an empty queue takes anything");
    assert_eq!(host.send(id, b"x", "10.0.0.9:9"), Err(Error::WouldBlock));
    assert!(!host.udp.readiness(id).contains(Readiness::WRITABLE));
    host.sent().unwrap();
    assert!(host.udp.readiness(id).contains(Readiness::WRITABLE));
    assert_eq!(host.send(id, &[7; 600], "10.0.0.9:9"), Ok(600));
    assert_eq!(host.send(id, &[7; 600], "10.0.0.9:9"), Err(Error::WouldBlock));
}
