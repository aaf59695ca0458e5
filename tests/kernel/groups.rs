//! What is for many, with the kernel at the other end: groups and what routers are told of them, broadcast, and ports
//! that are shared out.

use crate::capture::packets;
use crate::harness::{STACK, Test, ipv6_up, succeed};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tunstack::device::tun::Tun;
use tunstack::net::{Host, RecvMsg, SendMsg, UdpBind};
use tunstack::wire::Offloads;

pub const TESTS: &[Test] = &[
    Test { name: "groups::both_hear_each_other", tools: &["ip"], limit: 30, body: both },
    Test { name: "groups::ipv6_too", tools: &["ip"], limit: 30, body: both_v6 },
    Test { name: "groups::routers_are_told", tools: &["ip", "tcpdump", "tshark", "python3"], limit: 60, body: routers },
    Test { name: "groups::broadcast_both_ways", tools: &["ip"], limit: 30, body: broadcast },
    Test { name: "groups::a_shared_port", tools: &["ip"], limit: 30, body: shared },
    Test { name: "groups::messages_and_batches", tools: &["ip"], limit: 30, body: messages },
    Test { name: "groups::echo_requests_of_ours", tools: &["ip"], limit: 30, body: pings },
];

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
const KERNEL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// A stack on tun0, to which the kernel sends what is for groups.
fn host() -> Host {
    let tun = Tun::open("tun0", 1500, Offloads::ALL).expect("a TUN");
    // The kernel makes a link-local address of its own, which would speak first.
    for line in [
        "link set dev tun0 addrgenmode none",
        "address add 192.0.2.1/24 broadcast + dev tun0",
        "link set dev tun0 multicast on up",
        "route add 239.0.0.0/8 dev tun0",
    ] {
        succeed(5, "ip", &line.split(' ').collect::<Vec<_>>());
    }
    for address in ["2001:db8::1/64", "fe80::1/64"] {
        ipv6_up("tun0", address);
    }
    let builder = Host::builder().address("192.0.2.2/24").address("2001:db8::2/64").address("fe80::2/64");
    builder.start_shared(Arc::new(tun)).expect("a running stack")
}

fn kernels(local: impl std::net::ToSocketAddrs) -> UdpSocket {
    let socket = UdpSocket::bind(local).expect("a socket of the kernel's");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    socket
}

fn both() {
    let host = host();
    let ours = host.bind_udp("0.0.0.0:5000").expect("a socket");
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let theirs = kernels("0.0.0.0:5000");
    let mut buf = [0; 100];

    // Nobody has joined: what comes is dropped, and counted, before what comes behind it.
    theirs.send_to(b"early", (GROUP, 5000)).expect("sending");
    theirs.send_to(b"to us", (STACK, 5000)).expect("sending");
    let (n, _) = ours.recv_from(&mut buf).expect("what is for us alone");
    assert_eq!(&buf[..n], b"to us");
    assert!(host.stats().drops().any(|(reason, _)| reason.name() == "not-for-us"));
    ours.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED).expect("joining");
    theirs.join_multicast_v4(&GROUP, &KERNEL).expect("joining");
    theirs.set_multicast_loop_v4(false).expect("an option");
    ours.set_multicast_loop_v4(false).expect("an option");

    ours.send_to(b"ours", (GROUP, 5000)).expect("sending");
    let (n, from) = theirs.recv_from(&mut buf).expect("what we sent to the group");
    assert_eq!((&buf[..n], from), (&b"ours"[..], SocketAddr::from((STACK, 5000))));
    theirs.send_to(b"theirs", (GROUP, 5000)).expect("sending");
    let got = ours.recv_msg(&mut buf).expect("what the kernel sent to the group");
    assert_eq!((&buf[..got.len], got.source.ip()), (&b"theirs"[..], IpAddr::from(KERNEL)));
    assert_eq!((got.destination, got.ttl), (SocketAddr::from((GROUP, 5000)), 1));

    ours.leave_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED).expect("leaving");
    theirs.send_to(b"late", (GROUP, 5000)).expect("sending");
    theirs.send_to(b"to us", (STACK, 5000)).expect("sending");
    let got = ours.recv_msg(&mut buf).expect("what is for us alone");
    assert_eq!(&buf[..got.len], b"to us", "the group is not heard any more");
    host.shutdown(Duration::ZERO);
}

fn both_v6() {
    let host = host();
    let group = "ff15::7".parse().expect("a group");
    let index = std::fs::read_to_string("/sys/class/net/tun0/ifindex").ok();
    let index = index.and_then(|text| text.trim().parse().ok()).unwrap_or(2);
    let ours = host.bind_udp("[::]:5000").expect("a socket");
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let theirs = kernels("[2001:db8::1]:5001");
    let member = kernels("[::]:5000");
    ours.join_multicast_v6(&group, 0).expect("joining");
    member.join_multicast_v6(&group, index).expect("joining");
    let mut buf = [0; 100];
    ours.send_to(b"ours", (group, 5000)).expect("sending");
    let (n, _) = member.recv_from(&mut buf).expect("what we sent to the group");
    assert_eq!(&buf[..n], b"ours");
    // The copy that is ours.
    let own = ours.recv_msg(&mut buf).expect("our own copy");
    assert_eq!(&buf[..own.len], b"ours");
    let to = std::net::SocketAddrV6::new(group, 5000, 0, index);
    theirs.send_to(b"theirs", to).expect("sending");
    let got = ours.recv_msg(&mut buf).expect("what the kernel sent to the group");
    assert_eq!((&buf[..got.len], got.destination.ip(), got.ttl), (&b"theirs"[..], IpAddr::from(group), 1));
    host.shutdown(Duration::ZERO);
}

/// A router's questions by IGMP, of version 3 and 2, as Python makes them.
const ASK: &str = "
import socket, struct, sys
version, group = int(sys.argv[1]), socket.inet_aton(sys.argv[2])
body = struct.pack('!BBH4s', 0x11, 10, 0, group) + (struct.pack('!BBH', 2, 125, 0) if version == 3 else b'')
total = sum(struct.unpack('!%dH' % (len(body) // 2), body))
total = (total & 0xffff) + (total >> 16)
body = body[:2] + struct.pack('!H', 0xffff & ~((total & 0xffff) + (total >> 16))) + body[4:]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP)
s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([148, 4, 0, 0]))
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton('192.0.2.1'))
s.sendto(body, (sys.argv[3], 0))
";

fn routers() {
    let host = host();
    let dir = tempfile::TempDir::new().expect("a directory");
    let file = dir.path().join("igmp.pcap");
    let path = file.to_str().expect("a path");
    let mut tcpdump = Command::new("tcpdump")
        .args(["-i", "tun0", "-U", "-Z", "root", "-w", path, "igmp", "or", "ip6", "proto", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tcpdump");
    wait_until("tcpdump writes", || std::fs::metadata(&file).is_ok_and(|file| file.len() >= 24));
    let ours = host.bind_udp("0.0.0.0:5000").expect("a socket");
    let ours_v6 = host.bind_udp("[::]:5001").expect("a socket");
    let ask = |version: &str, group: &str, to: &str| drop(succeed(10, "python3", &["-c", ASK, version, group, to]));
    let from_us = |more: &str| format!("ip.src == 192.0.2.2 && {more}");
    let count = |filter: &str| packets(&file, filter, &["frame.number"]).len();

    ours.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED).expect("joining");
    ours_v6.join_multicast_v6(&"ff15::7".parse().expect("a group"), 0).expect("joining");
    wait_until("joining is said twice", || count(&from_us("igmp.record_type == 4")) == 2);
    wait_until("by MLD too", || count("icmpv6.type == 143 && ipv6.src == fe80::2") == 2);
    ask("3", "0.0.0.0", "224.0.0.1");
    wait_until("an answer to a question about all", || count(&from_us("igmp.record_type == 2")) == 1);
    ask("3", "239.1.1.1", "239.1.1.1");
    wait_until("an answer to a question about the group", || count(&from_us("igmp.record_type == 2")) == 2);
    ask("2", "0.0.0.0", "224.0.0.1");
    wait_until("an answer in version 2", || count(&from_us("igmp.type == 0x16")) == 1);
    ours.leave_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED).expect("leaving");
    wait_until("leaving is said", || count(&from_us("igmp.type == 0x17")) == 1);
    let _ = tcpdump.kill();
    let _ = tcpdump.wait();
    assert_eq!(count("igmp.checksum.status == 0 || ip.checksum.status == 0 || icmpv6.checksum.status == 0"), 0);
    assert_eq!(count(&from_us("!(ip.ttl == 1 && ip.opt.type == 148 && ip.dsfield.dscp == 48)")), 0);
    assert_eq!(
        count("icmpv6.type == 143 && ipv6.src == fe80::2 && !(ipv6.hlim == 1 && ipv6.opt.router_alert == 0)"),
        0
    );
    assert_eq!(count("_ws.malformed"), 0);
    host.shutdown(Duration::ZERO);
}

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(40);
    while !holds() {
        assert!(Instant::now() < end, "not seen: {what}");
        sleep(Duration::from_millis(50));
    }
}

fn broadcast() {
    let host = host();
    let to: SocketAddr = "192.0.2.255:5000".parse().expect("an address");
    let ours = host.bind_udp("0.0.0.0:5000").expect("a socket");
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let theirs = kernels("0.0.0.0:5000");
    let mut buf = [0; 100];
    for refused in [ours.send_to(b"x", to).expect_err("no leave"), theirs.send_to(b"x", to).expect_err("no leave")] {
        assert_eq!((refused.kind(), refused.raw_os_error()), (ErrorKind::PermissionDenied, Some(13)));
    }
    ours.set_broadcast(true).expect("leave");
    theirs.set_broadcast(true).expect("leave");
    ours.send_to(b"ours", to).expect("sending");
    let (n, from) = theirs.recv_from(&mut buf).expect("our broadcast");
    assert_eq!((&buf[..n], from), (&b"ours"[..], SocketAddr::from((STACK, 5000))));
    let own = ours.recv_msg(&mut buf).expect("our own copy");
    assert_eq!((&buf[..own.len], own.destination), (&b"ours"[..], to));
    theirs.send_to(b"theirs", to).expect("sending");
    let got = ours.recv_msg(&mut buf).expect("the kernel's broadcast");
    assert_eq!((&buf[..got.len], got.destination), (&b"theirs"[..], to));
    host.shutdown(Duration::ZERO);
}

fn shared() {
    let host = host();
    let how = UdpBind { reuse_port: true, ..UdpBind::default() };
    let ours = [(); 2].map(|()| host.bind_udp_with("0.0.0.0:5000", how).expect("a socket"));
    let senders: Vec<UdpSocket> = (0..64).map(|_| kernels("192.0.2.1:0")).collect();
    for round in 0..2 {
        for sender in &senders {
            sender.send_to(&[round], (STACK, 5000)).expect("sending");
        }
    }
    let mut heard: [Vec<SocketAddr>; 2] = [Vec::new(), Vec::new()];
    ours.iter().for_each(|socket| socket.set_nonblocking(true).expect("not blocking"));
    wait_until("all 128 datagrams", || {
        for (socket, heard) in ours.iter().zip(&mut heard) {
            heard.extend(std::iter::from_fn(|| socket.recv_from(&mut [0; 10]).ok()).map(|(_, from)| from));
        }
        heard.iter().map(Vec::len).sum::<usize>() >= 128
    });
    let [first, second] = &heard;
    assert_eq!(first.len() + second.len(), 128);
    assert!(!first.is_empty() && !second.is_empty(), "{} and {}", first.len(), second.len());
    assert!(!first.iter().any(|peer| second.contains(peer)), "a peer always meets the same socket");
    host.shutdown(Duration::ZERO);
}

fn messages() {
    let host = host();
    let every = UdpBind { every_port: true, ..UdpBind::default() };
    let ours = host.bind_udp_with("0.0.0.0:0", every).expect("a socket");
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let theirs = kernels("192.0.2.1:0");
    theirs.set_ttl(33).expect("a TTL");
    for port in [1000u16, 2000, 3000] {
        theirs.send_to(&port.to_be_bytes(), (STACK, port)).expect("sending");
    }
    let mut got = Vec::new();
    while got.len() < 3 {
        let mut room = [[0; 100]; 8];
        let mut bufs = room.each_mut().map(|buf| std::io::IoSliceMut::new(buf));
        let mut told = [RecvMsg::default(); 8];
        let n = ours.recv_many(&mut bufs, &mut told).expect("datagrams");
        got.extend_from_slice(&told[..n]);
    }
    assert!(got.iter().all(|msg| msg.ttl == 33 && msg.source == theirs.local_addr().expect("an address")));
    // Each answer comes from where its question went, so that a connected socket hears it.
    let answers: Vec<SendMsg<'_>> =
        got.iter().map(|msg| SendMsg { source: Some(msg.destination), ..SendMsg::to(msg.source, b"yes") }).collect();
    theirs.connect((STACK, 2000)).expect("a peer");
    assert_eq!(ours.send_many(&answers).expect("sending"), 3);
    let mut buf = [0; 100];
    assert_eq!(theirs.recv(&mut buf).expect("the answer"), 3);
    theirs.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    assert_eq!(theirs.recv(&mut buf).expect_err("of the other ports").kind(), ErrorKind::WouldBlock);
    host.shutdown(Duration::ZERO);
}

fn pings() {
    let host = host();
    for (any, kernel) in [("0.0.0.0", "192.0.2.1"), ("::", "2001:db8::1")] {
        let (any, kernel): (IpAddr, IpAddr) = (any.parse().expect("any"), kernel.parse().expect("the kernel's"));
        let socket = host.bind_icmp(any).expect("a ping socket");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        for (sequence, len) in [(1u16, 0), (2, 56), (3, 1400), (4, 65_507)] {
            let data: Vec<u8> = (0..len).map(|at| at as u8).collect();
            socket.send_to(sequence, &data, kernel).expect("sending");
            let mut buf = vec![0; 65_536];
            let echo = socket.recv(&mut buf).expect("a reply");
            assert_eq!((echo.source, echo.sequence, &buf[..echo.len]), (kernel, sequence, &data[..]));
        }
    }
    host.shutdown(Duration::ZERO);
}
