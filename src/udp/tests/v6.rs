//! The same over IPv6.

use super::*;

/// 8200-16: a datagram goes and comes over IPv6, and none without a checksum.
#[test]
fn datagrams_over_ipv6() {
    let mut host = Host::dual();
    let id = host.bind("[2001:db8::1]:53");
    assert_eq!(host.gets("[2001:db8::9]:4000", "[2001:db8::1]:53", b"question").disposition, DELIVERED);
    assert_eq!(host.recv(id), Ok((b"question".to_vec(), at("[2001:db8::9]:4000"))));
    host.send(id, b"answer", "[2001:db8::9]:4000").unwrap();
    let sent = host.sent().unwrap();
    assert_eq!((sent.src, sent.dst), (at("[2001:db8::1]:53"), at("[2001:db8::9]:4000")));
    assert_eq!((&sent.data[..], sent.ip.ttl), (&b"answer"[..], 64));

    let mut bare = packet("[2001:db8::9]:4000", "[2001:db8::1]:53", b"question");
    bare[46..48].fill(0);
    assert_eq!(host.arrives(&bare).disposition, dropped(DropReason::UdpChecksum));
    assert_eq!(host.send(id, b"x", "10.0.0.2:1"), Err(Error::NetworkUnreachable));
    // The most that fits is one byte less than what does not.
    assert_eq!(host.send(id, &[0; 65_528], "[2001:db8::9]:1"), Err(Error::MessageTooLong));
    assert_eq!(host.send(id, &[0; 65_527], "[2001:db8::9]:1"), Ok(65_527));
}

/// 4443-7: nobody has the port.
#[test]
fn a_closed_port_is_unreachable_over_ipv6() {
    let mut host = Host::dual();
    let outcome = host.gets("[2001:db8::9]:4000", "[2001:db8::1]:53", b"question");
    assert_eq!(outcome.disposition, dropped(DropReason::UdpNoSocket));
    let reply = outcome.reply.expect("an error").to_vec();
    let (header, payload) = ipv6::parse(&reply).unwrap();
    let read = Message::read(header.src.into(), header.dst.into(), &reply[payload.clone()]);
    assert_eq!(read, Ok(Message::Error(ErrorKind::PortUnreachable)));
    assert_eq!(reply[payload.start + 8..], packet("[2001:db8::9]:4000", "[2001:db8::1]:53", b"question")[..]);
}

/// An error about our datagram reaches the socket that sent it.
#[test]
fn an_icmpv6_error_reaches_the_connected_socket() {
    let mut host = Host::dual();
    let id = host.bind("[2001:db8::1]:5000");
    host.connect(id, "[2001:db8::9]:9").unwrap();
    host.send(id, b"anybody?", "[2001:db8::9]:9").unwrap();
    let quoted = host.udp.poll_transmit(&mut host.ip, host.now).unwrap().frame.to_vec();
    let mut message = vec![0; 8];
    let (router, us) = (at("[2001:db8::fe]:0"), at("[2001:db8::1]:0"));
    Message::Error(ErrorKind::PortUnreachable).write(router.ip(), us.ip(), &quoted, &mut message);
    message.extend_from_slice(&quoted);
    assert_eq!(host.arrives(&ip_packet(router, us, ip::ICMPV6, &message)).disposition, DELIVERED);
    assert_eq!(host.recv(id), Err(Error::ConnectionRefused));
}

/// 4443-2: an error that RFC 4443 does not know is passed on to the socket that its quote names, and is no reason to fail
/// unless that wants to know all.
#[test]
fn an_unknown_error_is_passed_up() {
    let mut host = Host::dual();
    let id = host.bind("[2001:db8::1]:5000");
    host.connect(id, "[2001:db8::9]:9").unwrap();
    host.send(id, b"anybody?", "[2001:db8::9]:9").unwrap();
    let quoted = host.udp.poll_transmit(&mut host.ip, host.now).unwrap().frame.to_vec();
    let (router, us) = (at("[2001:db8::fe]:0"), at("[2001:db8::1]:0"));
    let mut message = vec![0; 8];
    let (IpAddr::V6(from), IpAddr::V6(to)) = (router.ip(), us.ip()) else { panic!("IPv6") };
    let header = crate::wire::icmpv6::Icmpv6Header::Other { kind: 77, code: 3, rest: [0; 4] };
    crate::wire::icmpv6::emit(&header, from, to, &quoted, &mut message);
    message.extend_from_slice(&quoted);
    let packet = ip_packet(router, us, ip::ICMPV6, &message);
    assert_eq!(host.arrives(&packet).disposition, DELIVERED);
    assert_eq!(host.recv(id), Err(Error::WouldBlock), "it may pass");
    assert_eq!(host.udp.take_error(id), Ok(Some(Error::ProtocolUnreachable)));
    host.udp.options(id).unwrap().recv_errors = true;
    assert_eq!(host.arrives(&packet).disposition, DELIVERED);
    let error = host.udp.recv_error(id).unwrap();
    assert_eq!((error.message, error.offender, &error.data[..]), ((77, 3), router.ip(), &b"anybody?"[..]));
}

/// A socket on `::` meets IPv4 as mapped addresses, and what goes there is IPv4 on the wire.
#[test]
fn one_socket_for_both_families() {
    let mut host = Host::dual();
    let id = host.bind("[::]:53");
    assert_eq!(host.gets("10.0.0.2:4000", "10.0.0.1:53", b"four").changed, Some(id));
    assert_eq!(host.gets("[2001:db8::9]:4000", "[2001:db8::1]:53", b"six").changed, Some(id));
    let mut buf = [0; 100];
    let got = host.udp.recv_msg(id, &mut buf, false).unwrap();
    assert_eq!((got.source, got.destination), (at("[::ffff:10.0.0.2]:4000"), at("[::ffff:10.0.0.1]:53")));
    assert_eq!(host.recv(id), Ok((b"six".to_vec(), at("[2001:db8::9]:4000"))));

    host.send(id, b"back", "[::ffff:10.0.0.2]:4000").unwrap();
    let sent = host.sent().unwrap();
    assert_eq!((sent.src, sent.dst), (at("10.0.0.1:53"), at("10.0.0.2:4000")));
    // An address of the other form is as good, as on Linux; a source of the other family is not.
    host.send(id, b"x", "10.0.0.2:4000").unwrap();
    let sent = host.sent().unwrap();
    assert_eq!((sent.src, sent.dst), (at("10.0.0.1:53"), at("10.0.0.2:4000")));
    let mixed = SendMsg { source: Some(at("[2001:db8::1]:0")), ..SendMsg::to(at("[::ffff:10.0.0.2]:1"), b"x") };
    assert!(matches!(host.udp.send_msg(&host.ip, id, &mixed), Err(Error::InvalidInput(_))));

    host.connect(id, "[::ffff:10.0.0.2]:4000").unwrap();
    assert_eq!(host.udp.local_addr(id), Ok(at("[::ffff:10.0.0.1]:53")));
    assert_eq!(host.udp.peer_addr(id), Ok(at("[::ffff:10.0.0.2]:4000")));
    assert_eq!(host.gets("10.0.0.3:4000", "10.0.0.1:53", b"no").disposition, dropped(DropReason::UdpNoSocket));
    assert_eq!(host.gets("10.0.0.2:4000", "10.0.0.1:53", b"yes").changed, Some(id));
    host.udp.disconnect(id).unwrap();
    assert_eq!(host.udp.local_addr(id), Ok(at("[::]:53")));
    assert_eq!(host.gets("[2001:db8::8]:1", "[2001:db8::1]:53", b"all again").changed, Some(id));
}

#[test]
fn who_may_be_bound_beside_whom() {
    let mut host = Host::dual();
    let only_v6 = UdpBind { only_v6: true, ..UdpBind::default() };
    let v6 = host.udp.bind(&host.ip, at("[::]:53"), only_v6).unwrap();
    let v4 = host.bind("0.0.0.0:53");
    assert_eq!(host.gets("10.0.0.2:1", "10.0.0.1:53", b"x").changed, Some(v4));
    assert_eq!(host.gets("[2001:db8::9]:1", "[2001:db8::1]:53", b"x").changed, Some(v6));
    assert_eq!(host.send(v6, b"x", "[::ffff:10.0.0.2]:1"), Err(Error::AddressFamily));
    assert_eq!(host.udp.bind(&host.ip, at("[::]:53"), UdpBind::default()), Err(Error::AddrInUse));
    host.bind("[::]:54");
    for taken in ["0.0.0.0:54", "10.0.0.1:54", "[2001:db8::1]:54", "[::ffff:10.0.0.1]:54"] {
        assert_eq!(host.udp.bind(&host.ip, at(taken), UdpBind::default()), Err(Error::AddrInUse), "{taken}");
    }
    let mapped = host.bind("[::ffff:10.0.0.1]:55");
    host.gets("10.0.0.2:1", "10.0.0.1:55", b"x");
    assert_eq!(host.recv(mapped), Ok((b"x".to_vec(), at("[::ffff:10.0.0.2]:1"))));
}
