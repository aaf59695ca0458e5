//! Errors and path MTU.

use super::*;
use crate::stack::{MtuDiscovery, SocketError};

const ROUTER: &str = "10.0.0.254";

/// 1191-5: a datagram carries DF while it fits its path; what a router says makes larger ones go without it, to be
/// fragmented; the socket may have it otherwise.
#[test]
fn datagrams_follow_the_path() {
    let mut host = Host::new();
    let id = host.bind("10.0.0.1:1000");
    let large = [7; 1400];
    host.send(id, &large, "10.0.0.9:53").unwrap();
    let sent = host.udp.poll_transmit(&mut host.ip, host.now).unwrap().frame.to_vec();
    assert!(ipv4::parse(&sent).unwrap().0.dont_fragment);
    let told = icmp_error(ErrorKind::PacketTooBig { mtu: 1300 }, &sent);
    assert_eq!(host.arrives(&told).disposition, DELIVERED);
    assert_eq!(host.udp.take_error(id), Ok(None), "nobody asked");
    for (len, df) in [(1272, true), (1273, false), (1400, false)] {
        host.send(id, &large[..len], "10.0.0.9:53").unwrap();
        assert_eq!(host.sent().unwrap().dont_fragment, df, "{len}");
    }
    host.send(id, &large, "10.0.0.8:53").unwrap();
    assert!(host.sent().unwrap().dont_fragment, "another path");

    for (choice, df) in [(MtuDiscovery::Dont, false), (MtuDiscovery::Do, true), (MtuDiscovery::Probe, true)] {
        host.udp.options(id).unwrap().mtu_discovery = choice;
        let message = |len| SendMsg { data: &large[..len], destination: Some(at("10.0.0.9:53")), ..SendMsg::default() };
        let refused = host.udp.check_path(&host.ip, host.now, id, &message(1400)).is_err();
        assert_eq!(refused, choice == MtuDiscovery::Do, "{choice:?}");
        host.udp.send_msg(&host.ip, id, &message(1272)).unwrap();
        assert_eq!(host.sent().unwrap().dont_fragment, df, "{choice:?}");
    }
    // Who measures paths does not want to be told what another has heard.
    host.udp.options(id).unwrap().mtu_discovery = MtuDiscovery::Probe;
    let told = icmp_error(ErrorKind::PacketTooBig { mtu: 600 }, &sent);
    assert_eq!(host.arrives(&told).disposition, dropped(DropReason::IcmpIgnored));
}

/// 1191-5: on a path of less than the least that is believed no datagram carries DF, however small: routers fragment it.
#[test]
fn a_path_that_is_too_narrow_to_be_believed_is_no_black_hole() {
    let mut host = Host::new();
    let id = host.bind("10.0.0.1:1000");
    host.send(id, &[7; 500], "10.0.0.9:53").unwrap();
    let sent = host.udp.poll_transmit(&mut host.ip, host.now).unwrap().frame.to_vec();
    assert!(ipv4::parse(&sent).unwrap().0.dont_fragment);
    assert_eq!(host.arrives(&icmp_error(ErrorKind::PacketTooBig { mtu: 296 }, &sent)).disposition, DELIVERED);
    for len in [500, 300, 524, 525] {
        host.send(id, &[7; 600][..len], "10.0.0.9:53").unwrap();
        assert!(!host.sent().unwrap().dont_fragment, "{len}");
    }
}

/// 1191-5: a socket with a peer is told, and can ask.
#[test]
fn a_connected_socket_is_told_of_its_path() {
    let mut host = Host::new();
    let id = host.bind("10.0.0.1:1000");
    assert_eq!(host.udp.path_mtu(&host.ip, host.now, id), Err(Error::NotConnected));
    host.connect(id, "10.0.0.9:53").unwrap();
    assert_eq!(host.udp.path_mtu(&host.ip, host.now, id), Ok(1500));
    let quoted = packet("10.0.0.1:1000", "10.0.0.9:53", &[0; 1400]);
    let outcome = host.arrives(&icmp_error(ErrorKind::PacketTooBig { mtu: 1300 }, &quoted));
    assert_eq!((outcome.disposition, outcome.changed), (DELIVERED, Some(id)));
    assert_eq!(host.udp.send(&host.ip, id, b"x", None), Err(Error::MessageTooLong));
    assert_eq!(host.udp.send(&host.ip, id, b"x", None), Ok(1));
    assert_eq!(host.udp.path_mtu(&host.ip, host.now, id), Ok(1300));
    host.now += core::time::Duration::from_secs(600);
    assert_eq!(host.udp.path_mtu(&host.ip, host.now, id), Ok(1500));
}

/// attack-36: nobody lowers the path of a socket that has sent nothing there, nothing so large, or that is another's.
#[test]
fn claims_about_what_was_not_sent() {
    let mut host = Host::new();
    let id = host.bind("10.0.0.1:1000");
    let quoted = |peer: &str, len: usize| packet("10.0.0.1:1000", peer, &vec![0; len]);
    let claim = |quoted: &[u8]| icmp_error(ErrorKind::PacketTooBig { mtu: 1300 }, quoted);
    let unmatched = dropped(DropReason::IcmpUnmatched);
    assert_eq!(host.arrives(&claim(&quoted("10.0.0.9:53", 1400))).disposition, unmatched);
    host.send(id, &[0; 1400], "10.0.0.9:53").unwrap();
    for (peer, len) in [("10.0.0.9:54", 1400), ("10.0.0.8:53", 1400), ("10.0.0.9:53", 1272), ("10.0.0.9:53", 0)] {
        assert_eq!(host.arrives(&claim(&quoted(peer, len))).disposition, unmatched, "{peer} {len}");
    }
    assert_eq!(host.ip.path(addr("10.0.0.9"), host.now), None);
    assert_eq!(host.arrives(&claim(&quoted("10.0.0.9:53", 1273))).disposition, DELIVERED);
    // Only the last destinations are remembered.
    for i in 0..16 {
        host.send(id, &[0; 1400], &format!("10.0.1.{i}:53")).unwrap();
    }
    assert_eq!(host.arrives(&claim(&quoted("10.0.0.9:53", 1400))).disposition, unmatched);
    assert_eq!(host.arrives(&claim(&quoted("10.0.1.0:53", 1400))).disposition, DELIVERED);
}

/// 1122-51, 1122-28, 1122-33, 1122-35: who asks for all errors gets each, with its quote, on a socket without a peer too.
#[test]
fn a_queue_of_errors() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:1000");
    host.udp.options(id).unwrap().recv_errors = true;
    host.send(id, b"hello", "10.0.0.9:53").unwrap();
    let quoted = packet("10.0.0.1:1000", "10.0.0.9:53", b"hello");
    let kinds = [
        (ErrorKind::PortUnreachable, Error::ConnectionRefused, (3, 3)),
        (ErrorKind::TtlExceeded, Error::HostUnreachable, (11, 0)),
        (ErrorKind::Prohibited, Error::HostUnreachable, (3, 13)),
    ];
    for (kind, ..) in kinds {
        let outcome = host.arrives(&icmp_error(kind, &quoted));
        assert_eq!((outcome.disposition, outcome.changed), (DELIVERED, Some(id)));
    }
    assert!(host.udp.readiness(id).contains(Readiness::ERROR));
    assert_eq!(host.recv(id), Err(Error::HostUnreachable), "the last fails the next call, once");
    assert_eq!(host.recv(id), Err(Error::WouldBlock));
    for (_, error, message) in kinds {
        let (offender, destination) = (addr(ROUTER), at("10.0.0.9:53"));
        let expected = SocketError { error, message, offender, destination, mtu: None, data: b"hello".to_vec() };
        assert_eq!(host.udp.recv_error(id), Ok(expected));
    }
    assert_eq!(host.udp.recv_error(id), Err(Error::WouldBlock));
    assert_eq!(host.udp.readiness(id), Readiness::WRITABLE, "all was told");

    // About what was sent elsewhere nobody is believed, and no flood fills memory.
    let forged = packet("10.0.0.1:1000", "10.0.0.8:53", b"hello");
    let became = host.arrives(&icmp_error(ErrorKind::PortUnreachable, &forged)).disposition;
    assert_eq!(became, dropped(DropReason::IcmpUnmatched));
    for _ in 0..1000 {
        host.arrives(&icmp_error(ErrorKind::PortUnreachable, &quoted));
    }
    assert_eq!((0..1000).take_while(|_| host.udp.recv_error(id).is_ok()).count(), 32);
}
