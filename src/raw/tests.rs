//! Raw and ping sockets of a whole stack, packet by packet.

use super::*;
use crate::icmp::{ErrorKind, Message};
use crate::stack::{Cidr, SocketId, Stack};
use crate::stats::{Disposition, DropReason};
use crate::time::Instant;
use crate::wire::ip as header;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::{extension, ipv6};

const NOW: Instant = Instant::from_millis(1);

fn stack() -> Stack {
    let addresses = ["10.0.0.1", "10.7.0.1", "2001:db8::1"];
    let addresses = addresses.iter().map(|text| Cidr::new(addr(text), if text.contains(':') { 64 } else { 24 }));
    let config = Config { addresses: addresses.collect(), ..Config::default() };
    Stack::new(config, Rng::seed_from(1), NOW).unwrap()
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A packet of `protocol`.
fn packet(src: &str, dst: &str, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 60];
    let len = match (addr(src), addr(dst)) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let fields = Ipv4Header {
                src,
                dst,
                protocol,
                ttl: 9,
                tos: 4,
                id: 7,
                dont_fragment: false,
                more_fragments: false,
                fragment_offset: 0,
            };
            ipv4::emit(&fields, payload.len(), &mut bytes)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let fields = Ipv6Header { src, dst, next_header: protocol, hop_limit: 9, traffic_class: 4, flow_label: 0 };
            ipv6::emit(&fields, payload.len(), &mut bytes)
        }
        _ => panic!("two families"),
    };
    bytes.truncate(len);
    bytes.extend_from_slice(payload);
    bytes
}

fn message(src: &str, dst: &str, message: Message, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; icmp::HEADER_LEN];
    message.write(addr(src), addr(dst), body, &mut bytes);
    bytes.extend_from_slice(body);
    packet(src, dst, if addr(dst).is_ipv4() { ip::ICMP } else { ip::ICMPV6 }, &bytes)
}

fn arrives(stack: &mut Stack, bytes: &[u8]) -> Disposition {
    stack.on_frame(NOW, RxFrame::plain(Slice::copy_of(bytes)))
}

/// The next packet sent.
fn sent(stack: &mut Stack) -> Option<Vec<u8>> {
    stack.poll_transmit(NOW).map(|frame| frame.to_vec())
}

#[test]
fn a_raw_socket_hears_its_protocol_and_nobody_is_told_that_it_is_unknown() {
    let mut stack = stack();
    let over_v4 = packet("10.0.0.2", "10.0.0.1", 200, b"data");
    let over_v6 = packet("2001:db8::2", "2001:db8::1", 200, b"data");
    for bytes in [&over_v4, &over_v6] {
        assert_eq!(arrives(&mut stack, bytes), Disposition::Dropped(DropReason::ProtocolUnknown));
        assert!(sent(&mut stack).is_some(), "protocol unreachable");
    }
    let v4 = stack.raw_open(addr("0.0.0.0"), 200).unwrap();
    let v6 = stack.raw_open(addr("::"), 200).unwrap();
    let bound = stack.raw_open(addr("10.7.0.1"), 200).unwrap();
    for bytes in [&over_v4, &over_v6] {
        assert_eq!(arrives(&mut stack, bytes), Disposition::Delivered);
        assert!(sent(&mut stack).is_none());
    }
    assert_eq!(std::iter::from_fn(|| stack.poll_ready()).collect::<Vec<_>>(), [SocketId::Raw(v4), SocketId::Raw(v6)]);
    let mut buf = [0; 100];
    let got = stack.raw_recv(v4, &mut buf, false).unwrap();
    assert_eq!(buf[..got.len], over_v4, "with the header");
    assert_eq!((got.source.ip(), got.destination.ip(), got.ttl, got.tos), (addr("10.0.0.2"), addr("10.0.0.1"), 9, 4));
    let got = stack.raw_recv(v6, &mut buf[..3], false).unwrap();
    assert_eq!((&buf[..got.len], got.truncated), (&b"dat"[..], true), "without");
    assert_eq!(stack.raw_recv(bound, &mut buf, false), Err(Error::WouldBlock), "for another address");
    stack.raw_connect(v4, Some(addr("10.0.0.3"))).unwrap();
    assert_eq!(arrives(&mut stack, &over_v4), Disposition::Dropped(DropReason::ProtocolUnknown), "from a stranger");
    for id in [v4, v6, bound] {
        stack.raw_close(id).unwrap();
        assert_eq!(stack.raw_recv(id, &mut buf, false), Err(Error::BadHandle));
    }
    assert_eq!(stack.memory(), 0);
}

#[test]
fn copies_change_nothing_for_the_others() {
    let mut stack = stack();
    let icmp = stack.raw_open(addr("0.0.0.0"), ip::ICMP).unwrap();
    let tcp = stack.raw_open(addr("0.0.0.0"), ip::TCP).unwrap();
    let mut buf = [0; 100];
    let ping = message("10.0.0.2", "10.0.0.1", Message::EchoRequest([1, 2, 3, 4]), b"x");
    assert_eq!(arrives(&mut stack, &ping), Disposition::Answered);
    assert_eq!(stack.raw_recv(icmp, &mut buf, true).unwrap().len, ping.len());
    assert!(sent(&mut stack).is_some());
    let stray = message("10.0.0.2", "10.0.0.1", Message::EchoReply([1, 2, 3, 4]), b"x");
    assert_eq!(arrives(&mut stack, &stray), Disposition::Delivered);
    let mut syn = vec![0; 20];
    (syn[0], syn[2], syn[12], syn[13]) = (1, 9, 0x50, 2);
    let mut sum = checksum::pseudo_header(addr("10.0.0.2"), addr("10.0.0.1"), ip::TCP, 20);
    sum.add(&syn);
    syn[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
    let syn = packet("10.0.0.2", "10.0.0.1", ip::TCP, &syn);
    assert_eq!(arrives(&mut stack, &syn), Disposition::Dropped(DropReason::TcpNoSocket));
    assert_eq!(sent(&mut stack).unwrap()[33], 0x14, "RST, ACK");
    assert_eq!(stack.raw_recv(tcp, &mut buf, false).unwrap().len, 40);
    // What is not for us, or no good, is not shown.
    let mut bad = packet("10.0.0.2", "10.0.0.1", ip::ICMP, b"x");
    bad[10] ^= 1;
    arrives(&mut stack, &bad);
    arrives(&mut stack, &packet("10.0.0.2", "10.0.0.9", ip::TCP, b"x"));
    assert_eq!(stack.raw_recv(tcp, &mut buf, false), Err(Error::WouldBlock));
}

#[test]
fn replies_and_errors_come_to_the_ping_socket_that_asked() {
    for (us, peer, router, any) in
        [("10.0.0.1", "10.0.0.2", "10.0.0.254", "0.0.0.0:0"), ("2001:db8::1", "2001:db8::2", "2001:db8::fe", "[::]:0")]
    {
        let mut stack = stack();
        let id = stack.ping_open(any.parse().unwrap()).unwrap();
        let other = stack.ping_open(any.parse().unwrap()).unwrap();
        let ident = stack.raw_local_addr(id).unwrap().port();
        assert_ne!(ident, stack.raw_local_addr(other).unwrap().port());
        stack.raw_options(id).unwrap().ttl = Some(3);
        assert_eq!(stack.ping_send(NOW, id, 0x0102, b"abc", Some(addr(peer))), Ok(3));
        let request = sent(&mut stack).unwrap();
        let (fields, payload) = header::parse(&request).unwrap();
        assert_eq!((fields.src, fields.dst, fields.ttl), (addr(us), addr(peer), 3));
        let rest = [ident.to_be_bytes(), [1, 2]].concat().try_into().unwrap();
        assert_eq!(Message::read(addr(us), addr(peer), &request[payload]), Ok(Message::EchoRequest(rest)));

        let reply = message(peer, us, Message::EchoReply(rest), b"abc");
        assert_eq!(arrives(&mut stack, &reply), Disposition::Delivered);
        let late = message(router, us, Message::Error(ErrorKind::TtlExceeded), &request);
        assert_eq!(arrives(&mut stack, &late), Disposition::Delivered);
        let mut buf = [0; 100];
        let echo = stack.ping_recv(id, &mut buf).unwrap();
        assert_eq!((echo.source, echo.sequence, echo.ttl, echo.error), (addr(peer), 0x0102, 9, None));
        assert_eq!((&buf[..echo.len], echo.full_len), (&b"abc"[..], 3));
        let echo = stack.ping_recv(id, &mut buf[..2]).unwrap();
        let error = EchoError {
            kind: ErrorKind::TtlExceeded,
            message: if addr(us).is_ipv4() { (11, 0) } else { (3, 0) },
            destination: addr(peer),
        };
        assert_eq!((echo.source, echo.sequence, echo.error), (addr(router), 0x0102, Some(error)));
        assert_eq!((echo.len, echo.full_len), (2, request.len()));

        // Nobody's, what a stranger says of what never left, and damaged ones.
        let mut to_us = vec![0; icmp::HEADER_LEN];
        Message::EchoRequest(rest).write(addr(us), addr(us), &[], &mut to_us);
        let to_us = packet(us, us, if addr(us).is_ipv4() { ip::ICMP } else { ip::ICMPV6 }, &to_us);
        let strangers = message(router, us, Message::Error(ErrorKind::TtlExceeded), &to_us);
        assert_eq!(arrives(&mut stack, &strangers), Disposition::Dropped(DropReason::IcmpUnmatched));
        let nobodys = message(peer, us, Message::EchoReply([0, 0, 1, 2]), b"abc");
        assert_eq!(arrives(&mut stack, &nobodys), Disposition::Dropped(DropReason::IcmpIgnored));
        let mut damaged = reply.clone();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(arrives(&mut stack, &damaged), Disposition::Dropped(DropReason::IcmpChecksum));
        let asked = message(peer, us, Message::EchoRequest(rest), b"abc");
        assert_eq!(arrives(&mut stack, &asked), Disposition::Answered);
        // A connected one hears its peer, and errors about what it sent there.
        stack.raw_connect(id, Some(addr(router))).unwrap();
        assert_ne!(arrives(&mut stack, &reply), Disposition::Delivered);
        assert_ne!(arrives(&mut stack, &late), Disposition::Delivered);
        for id in [id, other] {
            assert_eq!(stack.ping_recv(id, &mut buf), Err(Error::WouldBlock));
        }
        assert_eq!(stack.memory(), 0);
    }
}

#[test]
fn identifiers_are_one_sockets_own() {
    let mut stack = stack();
    let any: SocketAddr = "0.0.0.0:77".parse().unwrap();
    let first = stack.ping_open(any).unwrap();
    assert_eq!(stack.ping_open(any), Err(Error::AddrInUse));
    assert!(stack.ping_open("[::]:77".parse().unwrap()).is_ok(), "the other family's");
    stack.raw_close(first).unwrap();
    assert!(stack.ping_open(any).is_ok());
    assert_eq!(stack.ping_open("10.0.0.9:0".parse().unwrap()), Err(Error::AddrNotAvailable));
    let opened = (0..MAX_SOCKETS).take_while(|_| stack.raw_open(addr("0.0.0.0"), 99).is_ok()).count();
    assert_eq!(opened, MAX_SOCKETS - 2);
    assert_eq!(stack.raw_open(addr("0.0.0.0"), 99), Err(Error::NoBufferSpace));
}

#[test]
fn a_raw_socket_sends_with_our_header_or_with_its_own() {
    let mut stack = stack();
    let id = stack.raw_open(addr("0.0.0.0"), 99).unwrap();
    stack.raw_options(id).unwrap().tos = 0x20;
    assert_eq!(stack.raw_send(NOW, id, b"data", None), Err(Error::NotConnected));
    assert_eq!(stack.raw_send(NOW, id, b"data", Some(addr("10.7.0.9"))), Ok(4));
    let bytes = sent(&mut stack).unwrap();
    let (fields, payload) = header::parse(&bytes).unwrap();
    assert_eq!((fields.src, fields.protocol, fields.tos, fields.ttl), (addr("10.7.0.1"), 99, 0x20, 64));
    assert_eq!(bytes[payload], *b"data");

    stack.raw_options(id).unwrap().header_included = true;
    let mut own = packet("10.0.0.1", "10.0.0.9", 50, b"data");
    (own[2], own[10], own[11]) = (0xff, 0, 0);
    own[12..16].fill(0);
    assert_eq!(stack.raw_send(NOW, id, &own, None), Ok(24));
    let bytes = sent(&mut stack).unwrap();
    let (fields, payload) = header::parse(&bytes).expect("length and checksum are filled in");
    assert_eq!((fields.src, fields.protocol, fields.ttl, payload), (addr("10.0.0.1"), 50, 9, 20..24));
    own[12..16].copy_from_slice(&[10, 0, 0, 77]);
    assert_eq!(stack.raw_send(NOW, id, &own, None), Err(Error::AddrNotAvailable), "not our address");
    assert!(matches!(stack.raw_send(NOW, id, &own[..19], None), Err(Error::InvalidInput(_))));
    assert!(matches!(stack.ping_send(NOW, id, 1, b"", Some(addr("10.0.0.9"))), Err(Error::InvalidInput(_))));

    let v6 = stack.raw_open(addr("::"), ip::ICMPV6).unwrap();
    stack.raw_send(NOW, v6, &[128, 0, 9, 9, 0, 0, 0, 1], Some(addr("2001:db8::2"))).unwrap();
    let bytes = sent(&mut stack).unwrap();
    let read = Message::read(addr("2001:db8::1"), addr("2001:db8::2"), &bytes[40..]);
    assert_eq!(read, Ok(Message::EchoRequest([0, 0, 0, 1])), "the checksum is made");
    assert_eq!(extension::walk(&bytes, bytes[6], false).unwrap().start, 40);
    for (to, error) in [
        ("255.255.255.255", Error::PermissionDenied),
        ("0.0.0.0", Error::InvalidInput("no host has the destination address")),
        ("2001:db8::9", Error::Unsupported),
    ] {
        stack.raw_options(id).unwrap().header_included = false;
        assert_eq!(stack.raw_send(NOW, id, b"x", Some(addr(to))), Err(error), "{to}");
    }
}

#[test]
fn what_waits_is_bounded_both_ways() {
    let mut stack = stack();
    let id = stack.raw_open(addr("0.0.0.0"), 200).unwrap();
    stack.raw_options(id).unwrap().recv_buffer = 500;
    let bytes = packet("10.0.0.2", "10.0.0.1", 200, &[0; 84]);
    let taken = (0..100).filter(|_| arrives(&mut stack, &bytes) == Disposition::Delivered).count();
    assert_eq!((taken, stack.memory()), (2, 400));
    assert_eq!(stack.stats().dropped(DropReason::RawQueueFull), 98);
    assert!(sent(&mut stack).is_none(), "a full queue is no unknown protocol");
    let to = Some(addr("10.0.0.9"));
    let queued = (0..1000).take_while(|_| stack.raw_send(NOW, id, b"x", to).is_ok()).count();
    assert_eq!((queued, stack.raw_send(NOW, id, b"x", to)), (256, Err(Error::WouldBlock)));
    assert_eq!(stack.readiness(SocketId::Raw(id)), Readiness::READABLE);
    assert!(sent(&mut stack).is_some());
    assert_eq!(stack.readiness(SocketId::Raw(id)), Readiness::READABLE | Readiness::WRITABLE);
    while sent(&mut stack).is_some() {}
    assert_eq!(stack.raw_send(NOW, id, &[0; 65_536], to), Err(Error::MessageTooLong));
    stack.raw_close(id).unwrap();
    assert_eq!(stack.memory(), 0);
}

/// raw(7): a connected socket is told of hard errors, one that wants all of all, and others of none.
#[test]
fn errors_about_what_a_raw_socket_has_sent() {
    for (us, peer, other, any) in
        [("10.0.0.1", "10.0.0.2", "10.0.0.3", "0.0.0.0"), ("2001:db8::1", "2001:db8::2", "2001:db8::3", "::")]
    {
        let mut stack = stack();
        let [connected, wants, neither, another] = [200, 200, 200, 201].map(|p| stack.raw_open(addr(any), p).unwrap());
        stack.raw_connect(connected, Some(addr(peer))).unwrap();
        stack.raw_options(wants).unwrap().recv_errors = true;
        stack.raw_options(another).unwrap().recv_errors = true;
        let quoted = packet(us, peer, 200, b"data");
        let error = |kind| message(other, us, Message::Error(kind), &quoted);

        arrives(&mut stack, &error(ErrorKind::HostUnreachable));
        let ready: Vec<_> = std::iter::from_fn(|| stack.poll_ready()).collect();
        assert_eq!(ready, [SocketId::Raw(wants)], "who is connected can do nothing about a soft one");
        assert!(stack.readiness(SocketId::Raw(wants)).contains(Readiness::ERROR | Readiness::READABLE));
        assert_eq!(stack.raw_recv(wants, &mut [0; 9], false), Err(Error::HostUnreachable));
        assert_eq!(stack.raw_recv(wants, &mut [0; 9], false), Err(Error::WouldBlock), "once");
        let told = stack.raw_recv_error(wants).unwrap();
        assert_eq!(
            (told.error, told.offender, told.destination.ip()),
            (Error::HostUnreachable, addr(other), addr(peer))
        );
        assert_eq!((&told.data[..], stack.raw_recv_error(wants)), (&b"data"[..], Err(Error::WouldBlock)));
        assert_eq!(stack.raw_take_error(connected), Ok(Some(Error::HostUnreachable)), "whoever asks is told");

        arrives(&mut stack, &error(ErrorKind::ProtocolUnreachable));
        assert_eq!(stack.raw_send(NOW, connected, b"x", None), Err(Error::ProtocolUnreachable));
        assert_eq!(stack.raw_send(NOW, connected, b"x", None), Ok(1));
        for id in [neither, another] {
            assert_eq!(stack.raw_recv(id, &mut [0; 9], false), Err(Error::WouldBlock));
            assert_eq!(stack.raw_take_error(id), Ok(None));
        }
        // Nor does anybody hear what a stranger says of what we sent to ourselves.
        stack.raw_connect(neither, Some(addr(us))).unwrap();
        let never_left = packet(us, us, 200, b"data");
        arrives(&mut stack, &message(other, us, Message::Error(ErrorKind::ProtocolUnreachable), &never_left));
        assert_eq!(stack.raw_take_error(neither), Ok(None));
        // About what was sent elsewhere the connected socket hears nothing.
        let elsewhere = packet(us, other, 200, b"data");
        arrives(&mut stack, &message(other, us, Message::Error(ErrorKind::ProtocolUnreachable), &elsewhere));
        assert_eq!(stack.raw_take_error(connected), Ok(None));
    }
}
