//! Datagrams with what goes with them, one or many at a time, and sockets of every port.

use super::*;
use crate::stack::RecvMsg;

/// A datagram with these header fields.
fn marked(src: &str, dst: &str, ttl: u8, tos: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = packet(src, dst, data);
    (bytes[1], bytes[8]) = (tos, ttl);
    bytes[10..12].fill(0);
    let sum = checksum::checksum(&bytes[..20]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// 1122-55, 1122-10.
#[test]
fn what_came_with_a_datagram_is_told() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:53");
    host.arrives(&marked("10.0.0.2:9", "10.7.0.1:53", 3, 0xb9, b"four"));
    host.arrives(&marked("10.0.0.2:9", "10.0.0.255:53", 64, 0, b""));
    let mut buf = [0; 3];
    let got = host.udp.recv_msg(id, &mut buf, true).unwrap();
    let expected = RecvMsg {
        full_len: 4,
        len: 3,
        segment: 3,
        truncated: true,
        source: at("10.0.0.2:9"),
        destination: at("10.7.0.1:53"),
        ttl: 3,
        tos: 0xb9,
        interface: 1,
    };
    assert_eq!(got, expected);
    assert_eq!(host.udp.recv_msg(id, &mut buf, false), Ok(expected), "it was only peeked at");
    let got = host.udp.recv_msg(id, &mut buf, false).unwrap();
    assert_eq!((got.len, got.truncated, got.destination, got.ttl), (0, false, at("10.0.0.255:53"), 64));
    assert_eq!(host.udp.recv_msg(id, &mut buf, false), Err(Error::WouldBlock));
}

/// 1122-48, 1122-9, 1122-13, 1122-11.
#[test]
fn a_message_says_where_it_comes_from_and_how_it_is_marked() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:1000");
    host.udp.options(id).unwrap().tos = 0x28;
    let message = SendMsg::to(at("10.0.0.9:53"), b"x");
    let mut send = |message: SendMsg<'_>| {
        host.udp.send_msg(&host.ip, id, &message)?;
        let sent = host.sent().unwrap();
        Ok((sent.src, sent.ip.tos, sent.ip.ttl))
    };
    assert_eq!(send(message), Ok((at("10.0.0.1:1000"), 0x28, 64)));
    let marked = SendMsg { tos: Some(2), ttl: Some(5), source: Some(at("10.7.0.1:0")), ..message };
    assert_eq!(send(marked), Ok((at("10.7.0.1:1000"), 2, 5)));
    assert_eq!(send(SendMsg { source: Some(at("0.0.0.0:1000")), ..message }), Ok((at("10.0.0.1:1000"), 0x28, 64)));
    for (source, error) in [
        ("10.7.0.1:1001", Error::InvalidInput("the source port is not the socket's")),
        ("10.7.0.9:0", Error::AddrNotAvailable),
        ("10.0.0.255:0", Error::AddrNotAvailable),
    ] {
        assert_eq!(send(SendMsg { source: Some(at(source)), ..message }), Err(error), "{source}");
    }
    assert_eq!(send(SendMsg { ttl: Some(0), ..message }), Err(Error::InvalidInput("a TTL of zero")));
    assert_eq!(send(SendMsg { destination: None, ..message }), Err(Error::NotConnected));
}

#[test]
fn many_are_sent_and_received_in_one_call() {
    let mut host = Host::with(|c| c.udp.send_queue = 5);
    let id = host.bind("0.0.0.0:1000");
    let texts: Vec<Vec<u8>> = (0..9).map(|n| vec![n; usize::from(n)]).collect();
    let messages: Vec<SendMsg<'_>> = texts.iter().map(|text| SendMsg::to(at("10.0.0.9:53"), text)).collect();
    assert_eq!(host.udp.send_many(&host.ip, id, &messages), Ok(5), "as many as there is room for");
    assert_eq!(host.udp.send_many(&host.ip, id, &messages[5..]), Err(Error::WouldBlock));
    for text in &texts[..5] {
        assert_eq!(host.sent().unwrap().data, *text);
    }
    let wrong = [messages[0], SendMsg::to(at("10.0.0.9:0"), b"x"), messages[1]];
    assert_eq!(host.udp.send_many(&host.ip, id, &wrong), Ok(1));
    assert!(matches!(host.udp.send_many(&host.ip, id, &wrong[1..]), Err(Error::InvalidInput(_))));
    assert_eq!(host.udp.send_many(&host.ip, id, &[]), Ok(0));

    for (port, text) in texts.iter().enumerate() {
        host.gets(&format!("10.0.0.2:{}", port + 1), "10.0.0.1:1000", text);
    }
    let mut room = [[0u8; 7]; 20];
    let mut bufs: Vec<&mut [u8]> = room.iter_mut().map(|buf| &mut buf[..]).collect();
    let mut told = [RecvMsg::default(); 8];
    assert_eq!(host.udp.recv_many(id, &mut bufs, &mut told), Ok(8), "as many as can be told of");
    for (n, message) in told.iter().enumerate() {
        assert_eq!((message.len, message.source.port(), message.truncated), (n.min(7), n as u16 + 1, n > 7));
        assert_eq!(bufs[n][..message.len], texts[n][..message.len]);
    }
    assert_eq!(host.udp.recv_many(id, &mut bufs, &mut told), Ok(1));
    assert_eq!(host.udp.recv_many(id, &mut bufs, &mut told), Err(Error::WouldBlock));
    assert_eq!(host.udp.memory(), OUTBOX_OVERHEAD, "what was sent last");
}

#[test]
fn a_pending_error_is_not_lost_in_a_batch() {
    let mut host = Host::new();
    let id = host.bind("10.0.0.1:1000");
    host.connect(id, "10.0.0.9:53").unwrap();
    host.gets("10.0.0.9:53", "10.0.0.1:1000", b"x");
    host.arrives(&icmp_error(ErrorKind::PortUnreachable, &packet("10.0.0.1:1000", "10.0.0.9:53", b"x")));
    let (mut buf, mut told) = ([0; 10], [RecvMsg::default(); 2]);
    let mut bufs = [&mut buf[..]];
    assert_eq!(host.udp.recv_many(id, &mut bufs, &mut told), Err(Error::ConnectionRefused));
    assert_eq!(host.udp.recv_many(id, &mut bufs, &mut told), Ok(1));
}

#[test]
fn a_batch_is_bounded_in_number_and_in_bytes() {
    let mut host = Host::with(|c| {
        (c.udp.send_queue, c.udp.send_buffer, c.udp.recv_buffer) = (1000, 1 << 24, 1 << 24);
    });
    let id = host.bind("0.0.0.0:1000");
    let messages = vec![SendMsg::to(at("10.0.0.9:53"), b"x"); MAX_BATCH + 1];
    assert_eq!(host.udp.send_many(&host.ip, id, &messages), Ok(MAX_BATCH));
    let large = vec![7; 64_000];
    let messages = vec![SendMsg { segment: Some(1000), ..SendMsg::to(at("10.0.0.9:53"), &large) }; 10];
    assert_eq!(host.udp.send_many(&host.ip, id, &messages), Ok(5), "256 KiB are passed with the fifth");

    for _ in 0..MAX_BATCH + 1 {
        host.gets("10.0.0.2:9", "10.0.0.1:1000", b"x");
    }
    let mut told = [RecvMsg::default(); 100];
    let mut room = vec![[0u8; 10]; 100];
    let mut bufs: Vec<&mut [u8]> = room.iter_mut().map(|buf| &mut buf[..]).collect();
    assert_eq!(host.udp.recv_many(id, &mut bufs, &mut told), Ok(MAX_BATCH));
    assert_eq!(host.udp.recv_many(id, &mut bufs, &mut told), Ok(1));
}

#[test]
fn a_run_comes_together_where_that_is_wanted() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:53");
    let mut buf = [0; 5000];
    host.frame(super_segment(&text(), 1000), false);
    let got = host.udp.recv_msg(id, &mut buf, false).unwrap();
    assert_eq!((got.len, got.segment), (1000, 1000));
    host.udp.options(id).unwrap().gro = true;
    let got = host.udp.recv_msg(id, &mut buf, false).unwrap();
    assert_eq!((got.len, got.segment), (1500, 1000));
    // What is marked otherwise, or went elsewhere, is told of by itself.
    host.arrives(&marked("10.0.0.2:9", "10.0.0.1:53", 64, 1, &[1; 10]));
    host.arrives(&marked("10.0.0.2:9", "10.0.0.1:53", 64, 3, &[2; 10]));
    host.arrives(&marked("10.0.0.2:9", "10.7.0.1:53", 64, 3, &[3; 10]));
    let marks: Vec<(usize, u8)> =
        (0..3).map(|_| host.udp.recv_msg(id, &mut buf, false).unwrap()).map(|got| (got.len, got.tos)).collect();
    assert_eq!(marks, [(10, 1), (10, 3), (10, 3)]);
}

#[test]
fn disconnected_it_hears_everybody_again_at_the_address_it_was_bound_to() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:1000");
    host.connect(id, "10.7.0.9:53").unwrap();
    assert_eq!(host.udp.local_addr(id), Ok(at("10.7.0.1:1000")));
    assert_eq!(host.gets("10.0.0.2:9", "10.0.0.1:1000", b"x").disposition, dropped(DropReason::UdpNoSocket));
    host.connect(id, "10.0.0.9:53").unwrap();
    assert_eq!(host.udp.local_addr(id), Ok(at("10.0.0.1:1000")));
    host.udp.disconnect(id).unwrap();
    assert_eq!(host.udp.local_addr(id), Ok(at("0.0.0.0:1000")));
    assert_eq!(host.udp.peer_addr(id), Err(Error::NotConnected));
    for to in ["10.0.0.1:1000", "10.7.0.1:1000"] {
        assert_eq!(host.gets("10.0.0.2:9", to, b"x").changed, Some(id));
    }
    assert_eq!(host.udp.send(&host.ip, id, b"x", None), Err(Error::NotConnected));
    host.udp.disconnect(id).unwrap();
}

#[test]
fn a_socket_of_every_port_answers_from_where_it_was_asked() {
    let mut host = Host::new();
    let every = UdpBind { every_port: true, ..UdpBind::default() };
    assert!(matches!(host.udp.bind(&host.ip, at("0.0.0.0:53"), every), Err(Error::InvalidInput(_))));
    let id = host.udp.bind(&host.ip, at("0.0.0.0:0"), every).unwrap();
    assert_eq!(host.udp.local_addr(id), Ok(at("0.0.0.0:0")));
    let own = host.bind("0.0.0.0:53");
    assert_eq!(host.gets("10.0.0.2:9", "10.0.0.1:53", b"x").changed, Some(own));
    let mut buf = [0; 10];
    for to in ["10.0.0.1:1", "10.7.0.1:65535"] {
        assert_eq!(host.gets("10.0.0.2:9", to, b"x").changed, Some(id));
        let got = host.udp.recv_msg(id, &mut buf, false).unwrap();
        assert_eq!((got.source, got.destination), (at("10.0.0.2:9"), at(to)));
        let answer = SendMsg { source: Some(got.destination), ..SendMsg::to(got.source, b"y") };
        host.udp.send_msg(&host.ip, id, &answer).unwrap();
        let sent = host.sent().unwrap();
        assert_eq!((sent.src, sent.dst), (at(to), at("10.0.0.2:9")));
    }
    assert!(matches!(host.send(id, b"y", "10.0.0.2:9"), Err(Error::InvalidInput(_))), "from which port?");
    host.udp.close(&mut host.ip, id).unwrap();
    assert!(host.gets("10.0.0.2:9", "10.0.0.1:1", b"x").reply.is_some(), "port unreachable");
}

/// Else whoever waits until it is writable would be told so again and again.
#[test]
fn a_writable_socket_takes_a_datagram_of_any_size() {
    let mut host = Host::new();
    let id = host.bind("10.0.0.1:1000");
    host.udp.options(id).unwrap().send_buffer = 10_000;
    for large in [6000, 9000, 30_000] {
        assert_eq!(host.send(id, &[7; 4000], "10.0.0.9:9"), Ok(4000));
        assert!(host.udp.readiness(id).contains(Readiness::WRITABLE));
        assert_eq!(host.send(id, &vec![7; large], "10.0.0.9:9"), Ok(large));
        assert!(!host.udp.readiness(id).contains(Readiness::WRITABLE));
        assert_eq!(host.send(id, &[7; 9000], "10.0.0.9:9"), Err(Error::WouldBlock));
        while host.sent().is_some() {}
    }
}
