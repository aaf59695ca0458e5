//! Sockets of both address families: IPv6 itself, and IPv4 through sockets of IPv6 (RFC 3493 3.7, 5.3).

use super::common::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use tunstack::device::mem;
use tunstack::net::{Host, UdpBind};

const CLIENT_V6: &str = "2001:db8::1";
const SERVER_V6: &str = "2001:db8::2";

/// Client and server, each with an address of both families.
fn dual() -> (Host, Host) {
    let (a, b) = mem::pair(1500, 4096).unwrap();
    let client = builder(CLIENT).address(format!("{CLIENT_V6}/64")).start(a).unwrap();
    (client, builder(SERVER).address(format!("{SERVER_V6}/64")).start(b).unwrap())
}

/// A connection to `to`, as both ends know it: (near local, near peer), (far local, far peer).
fn ends(client: &Host, server: &Host, bind: &str, to: &str) -> [(SocketAddr, SocketAddr); 2] {
    let listener = server.listen(bind).unwrap();
    let to = SocketAddr::new(to.parse().unwrap(), listener.local_addr().unwrap().port());
    let mut near = client.connect(to).unwrap();
    let (mut far, peer) = listener.accept().unwrap();
    assert_eq!(far.peer_addr().unwrap(), peer);
    near.write_all(b"ping").unwrap();
    let mut buf = [0; 4];
    far.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"ping");
    [&near, &far].map(|stream| (stream.local_addr().unwrap(), stream.peer_addr().unwrap()))
}

#[test]
fn a_stream_over_ipv6() {
    within(60, || {
        let (client, server) = dual();
        let listener = server.listen((SERVER_V6, 0)).unwrap();
        let near = client.connect(listener.local_addr().unwrap()).unwrap();
        let (far, peer) = listener.accept().unwrap();
        assert_eq!(peer, near.local_addr().unwrap());
        assert_eq!(peer.ip().to_string(), CLIENT_V6);
        let copy = far.try_clone().unwrap();
        let echo = std::thread::spawn(move || {
            echo(&copy);
            copy.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let writer = near.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            write_stream(&writer, 6, 3_000_000);
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        check_stream(&near, 6, 3_000_000);
        writing.join().unwrap();
        echo.join().unwrap();
    });
}

/// Who listens on `::` meets IPv4 as mapped addresses; each end names itself in its own way.
#[test]
fn one_listener_for_both_families() {
    within(60, || {
        let (client, server) = dual();
        let [near, far] = ends(&client, &server, "[::]:0", SERVER);
        assert_eq!((near.0.ip().to_string(), near.1.ip().to_string()), (CLIENT.into(), SERVER.into()));
        let mapped = |addr: SocketAddr| addr.ip().to_string();
        assert_eq!((mapped(far.0), mapped(far.1)), (format!("::ffff:{SERVER}"), format!("::ffff:{CLIENT}")));
        assert_eq!((far.0.port(), far.1.port()), (near.1.port(), near.0.port()));

        let [near, far] = ends(&client, &server, "[::]:0", SERVER_V6);
        assert_eq!((near.0, near.1), (far.1, far.0));
        assert_eq!(far.1.ip().to_string(), CLIENT_V6);
        // A mapped address may be connected to and bound to; what goes over the wire is IPv4.
        let [near, far] = ends(&client, &server, "0.0.0.0:0", &format!("::ffff:{SERVER}"));
        assert_eq!(near.0.ip().to_string(), format!("::ffff:{CLIENT}"));
        assert_eq!(far.1.ip().to_string(), CLIENT);
        let [_, far] = ends(&client, &server, &format!("[::ffff:{SERVER}]:0"), SERVER);
        assert_eq!(far.1.ip().to_string(), format!("::ffff:{CLIENT}"));
    });
}

#[test]
fn ipv6_alone_and_what_conflicts() {
    within(60, || {
        let (client, server) = dual();
        let refused = |to: &str| client.connect(addr(to)).unwrap_err().kind();
        let taken = |at: &str| server.listen(at).unwrap_err().kind();
        let only = server.listen_only_v6("[::]:80", 8).unwrap();
        assert!(only.only_v6().unwrap());
        assert_eq!(refused("192.0.2.2:80"), ErrorKind::ConnectionRefused);
        assert!(client.connect("[2001:db8::2]:80").is_ok());
        let v4 = server.listen("0.0.0.0:80").unwrap();
        assert_eq!(client.connect("192.0.2.2:80").unwrap().peer_addr().unwrap(), addr("192.0.2.2:80"));
        assert_eq!(v4.accept().unwrap().1.ip().to_string(), CLIENT);
        assert_eq!(taken("[::]:80"), ErrorKind::AddrInUse);
        drop((only, v4));

        let both = server.listen("[::]:80").unwrap();
        assert!(!both.only_v6().unwrap());
        for at in ["0.0.0.0:80", "192.0.2.2:80", "[::ffff:192.0.2.2]:80", "[2001:db8::2]:80", "[::]:80"] {
            assert_eq!(taken(at), ErrorKind::AddrInUse, "{at}");
        }
        assert_eq!(server.listen_only_v6("[::]:80", 8).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(both);
        let one = server.listen("192.0.2.2:80").unwrap();
        assert_eq!(taken("[::]:80"), ErrorKind::AddrInUse);
        assert!(server.listen_only_v6("[::]:80", 8).is_ok());
        assert!(server.listen("[2001:db8::2]:80").is_ok());
        drop(one);
        assert_eq!(taken("[2001:db8::77]:80"), ErrorKind::AddrNotAvailable);
        assert_eq!(taken("[::ffff:192.0.2.77]:80"), ErrorKind::AddrNotAvailable);
    });
}

/// A host without IPv6 takes IPv4 on `::` all the same, and reaches nobody over IPv6.
#[test]
fn a_host_of_one_family() {
    within(60, || {
        let (client, server) = hosts();
        let [_, far] = ends(&client, &server, "[::]:0", SERVER);
        assert_eq!(far.1.ip().to_string(), format!("::ffff:{CLIENT}"));
        assert_eq!(client.connect("[2001:db8::2]:80").unwrap_err().kind(), ErrorKind::NetworkUnreachable);
    });
}

/// The same with datagrams.
#[test]
fn one_udp_socket_for_both_families() {
    within(60, || {
        let (client, server) = dual();
        let far = server.bind_udp("[::]:53").unwrap();
        for (own, to, seen) in [
            ("192.0.2.1:0", "192.0.2.2:53", "::ffff:192.0.2.1"),
            ("[2001:db8::1]:0", "[2001:db8::2]:53", "2001:db8::1"),
            ("[::]:0", "[::ffff:192.0.2.2]:53", "::ffff:192.0.2.1"),
        ] {
            let near = client.bind_udp(own).unwrap();
            near.send_to(b"ping", to).unwrap();
            let mut buf = [0; 100];
            let (n, from) = far.recv_from(&mut buf).unwrap();
            assert_eq!((&buf[..n], from.ip().to_string()), (&b"ping"[..], seen.to_owned()));
            far.send_to(b"pong", from).unwrap();
            assert_eq!(near.recv_from(&mut buf).unwrap(), (4, addr(to)));
        }
    });
}

/// A socket on `::` joins groups of both families, unless it takes only IPv6.
#[test]
fn one_udp_socket_in_groups_of_both_families() {
    within(60, || {
        let (client, server) = dual();
        let far = server.bind_udp("[::]:53").unwrap();
        let groups: [IpAddr; 2] = ["239.7.7.7".parse().unwrap(), "ff05::77".parse().unwrap()];
        for group in groups {
            far.join_multicast(group, 0).unwrap();
            let near = client.bind_udp((if group.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).unwrap();
            near.send_to(b"all", (group, 53)).unwrap();
            let mut buf = [0; 100];
            let got = far.recv_msg(&mut buf).unwrap();
            let shown = if let IpAddr::V4(v4) = group { v4.to_ipv6_mapped().into() } else { group };
            assert_eq!((&buf[..got.len], got.destination.ip(), got.interface), (&b"all"[..], shown, 1));
            far.leave_multicast(group, 0).unwrap();
        }
        drop(far);
        let only = server.bind_udp_with("[::]:53", UdpBind { only_v6: true, ..UdpBind::default() }).unwrap();
        assert_eq!(only.join_multicast(groups[0], 0).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(only.join_multicast(groups[1], 0).is_ok());
    });
}
