//! IPv6 against the kernel: the same that IPv4 can, on the same link at the same time.

use crate::harness::{Daemon, Test, at, ipv6_up, noise, sha256, succeed};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;
use tempfile::TempDir;
use tunstack::device::tun::Tun;
use tunstack::net::Host;
use tunstack::wire::Offloads;

pub const TESTS: &[Test] = &[
    Test { name: "ipv6::ping", tools: &["ping"], limit: 60, body: ping },
    Test { name: "ipv6::curl_over_both_families", tools: &["curl"], limit: 60, body: curl },
    Test { name: "ipv6::bulk_both_ways", tools: &[], limit: 60, body: bulk },
    Test { name: "ipv6::udp_echo", tools: &[], limit: 30, body: udp_echo },
    Test { name: "ipv6::closed_ports", tools: &[], limit: 30, body: closed_ports },
    Test { name: "ipv6::the_stack_connects_to_the_kernel", tools: &["ip"], limit: 30, body: connects },
    Test { name: "ipv6::one_family_only", tools: &["curl"], limit: 30, body: alone },
    Test { name: "ipv6::a_small_mtu_is_refused", tools: &[], limit: 30, body: small_mtu },
    Test { name: "ipv6::binding_is_as_the_kernel_has_it", tools: &["ip"], limit: 30, body: binding },
];

/// The stack's address beside [`STACK`](crate::harness::STACK).
const STACK_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

/// Both families, as `serve` has them.
const DUAL: [&str; 2] = ["--host", "192.0.2.1/24,2001:db8::1/64"];

fn v6(port: u16) -> SocketAddr {
    SocketAddrV6::new(STACK_V6, port, 0, 0).into()
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(20)).unwrap_or_else(|e| panic!("{to}: {e}"));
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    stream
}

fn ping() {
    let daemon = Daemon::serve(&DUAL);
    for size in ["0", "56", "1452", "1453", "65000"] {
        for (family, to) in [("-6", "2001:db8::2"), ("-4", "192.0.2.2")] {
            // With a deadline it waits for its replies, however slow the machine is.
            let said = succeed(20, "ping", &[family, "-n", "-c", "3", "-w", "15", "-i", "0.05", "-s", size, to]);
            assert!(said.contains("3 received"), "{said}");
        }
    }
    daemon.stop();
}

fn curl() {
    let dir = TempDir::new().expect("a directory");
    let page = noise(6, 5_000_000);
    fs::write(dir.path().join("page"), &page).expect("a page");
    let root = dir.path().to_str().expect("a path");
    let daemon = Daemon::serve(&[&DUAL[..], &["--http", "80", "--dir", root]].concat());
    let greeting = daemon.said();
    assert!(greeting.contains("host 192.0.2.1/24, 2001:db8::1/64, stack 192.0.2.2, 2001:db8::2"), "{greeting}");
    for url in ["http://[2001:db8::2]/page", "http://192.0.2.2/page"] {
        let got = dir.path().join("got");
        succeed(30, "curl", &["-g", "-sS", "--fail", "-o", got.to_str().expect("a path"), url]);
        assert_eq!(sha256(&fs::read(got).expect("the page")), sha256(&page), "{url}");
    }
    daemon.stop();
}

/// 20 MB there and back, with super-segments and without.
fn bulk() {
    for offload in ["auto", "off"] {
        let daemon = Daemon::serve(&[&DUAL[..], &["--echo", "--offload", offload]].concat());
        for to in [v6(7), at(7)] {
            let sent = noise(7, 20_000_000);
            let (mut reader, hash) = (connect(to), sha256(&sent));
            let mut writer = reader.try_clone().expect("a second handle");
            let thread = std::thread::spawn(move || {
                writer.write_all(&sent).expect("sending");
                writer.shutdown(Shutdown::Write).expect("ending");
            });
            let mut back = Vec::new();
            reader.read_to_end(&mut back).expect("receiving");
            thread.join().expect("the writer");
            assert_eq!((back.len(), sha256(&back)), (20_000_000, hash), "{to}, offload {offload}");
        }
        daemon.stop();
    }
}

fn udp_echo() {
    let daemon = Daemon::serve(&[&DUAL[..], &["--echo"]].concat());
    let socket = UdpSocket::bind("[::]:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    for to in [v6(7), "[::ffff:192.0.2.2]:7".parse().expect("an address")] {
        for len in (0..1452).step_by(7).chain([1452]) {
            let sent = noise(len as u64, len);
            socket.send_to(&sent, to).expect("sending");
            let mut back = [0; 2000];
            let (n, from) = socket.recv_from(&mut back).unwrap_or_else(|e| panic!("{len} bytes to {to}: {e}"));
            assert_eq!((from, &back[..n]), (to, &sent[..]));
        }
    }
    daemon.stop();
}

/// RST and port unreachable, as the kernel's own sockets understand them.
fn closed_ports() {
    let daemon = Daemon::serve(&DUAL);
    let refused = TcpStream::connect_timeout(&v6(81), Duration::from_secs(20)).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let socket = UdpSocket::bind("[::]:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    socket.connect(v6(81)).expect("an address");
    socket.send(b"anybody?").expect("sending");
    let told = socket.recv(&mut [0; 10]).expect_err("nobody answers");
    assert_eq!(told.kind(), ErrorKind::ConnectionRefused);
    daemon.stop();
}

/// A host of ours with both families on a TUN, and the kernel's addresses on its other end.
fn host() -> Host {
    let device = Tun::open("tun0", 1500, Offloads::ALL).expect("a TUN");
    succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", "tun0"]);
    ipv6_up("tun0", "2001:db8::1/64");
    Host::builder().address("192.0.2.2/24").address("2001:db8::2/64").start(device).expect("a running stack")
}

fn connects() {
    let host = host();
    let listener = TcpListener::bind("[::]:8080").expect("a listener of the kernel's");
    for (to, seen) in [
        ("[2001:db8::1]:8080", "2001:db8::2"),
        ("192.0.2.1:8080", "::ffff:192.0.2.2"),
        ("[::ffff:192.0.2.1]:8080", "::ffff:192.0.2.2"),
    ] {
        let mut near = host.connect(to).unwrap_or_else(|e| panic!("{to}: {e}"));
        let (mut far, peer) = listener.accept().expect("a connection");
        assert_eq!(peer.ip().to_string(), seen);
        let sent = noise(8, 3_000_000);
        let expected = sha256(&sent);
        let thread = std::thread::spawn(move || {
            near.write_all(&sent).expect("sending");
            near.shutdown(Shutdown::Write).expect("ending");
            near
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).expect("receiving");
        assert_eq!(sha256(&got), expected, "{to}");
        drop(thread.join().expect("the writer"));
    }
    host.shutdown(Duration::from_secs(1));
}

fn alone() {
    let daemon = Daemon::serve(&["--addr", "2001:db8:7::2"]);
    let said = succeed(10, "curl", &["-g", "-sS", "--fail", "http://[2001:db8:7::2]/"]);
    assert!(said.contains("tunstack"), "{said}");
    assert!(daemon.said().contains("host 2001:db8:7::1/64, stack 2001:db8:7::2"), "{}", daemon.said());
    daemon.stop();
}

fn small_mtu() {
    let (status, said) = Daemon::fails(&["--host", "2001:db8::1/64", "--mtu", "1279"]);
    assert!(status == 2 && said.contains("1280"), "{status}: {said}");
}

/// Which pairs of addresses can be listened on at once: what our stack says is what the kernel says.
fn binding() {
    const PORT: u16 = 4242;
    let host = host();
    let addresses = ["0.0.0.0", "[::]", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"];
    for first in addresses {
        for second in addresses {
            let [first, second] = [first, second].map(|addr| format!("{addr}:{PORT}"));
            let kernel = {
                let _first = TcpListener::bind(&*first).expect("a listener of the kernel's");
                TcpListener::bind(&*second).map(drop).map_err(|e| e.kind())
            };
            let ours = {
                let _first = host.listen(&*first).expect("a listener of ours");
                host.listen(&*second).map(drop).map_err(|e| e.kind())
            };
            assert_eq!(ours, kernel, "{first}, then {second}");
            let kernel = {
                let _first = UdpSocket::bind(&*first).expect("a socket of the kernel's");
                UdpSocket::bind(&*second).map(drop).map_err(|e| e.kind())
            };
            let ours = {
                let _first = host.bind_udp(&*first).expect("a socket of ours");
                host.bind_udp(&*second).map(drop).map_err(|e| e.kind())
            };
            assert_eq!(ours, kernel, "UDP {first}, then {second}");
        }
    }
    host.shutdown(Duration::ZERO);
}
