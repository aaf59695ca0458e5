//! Several TUNs in one host, against the kernel on their other ends.

use crate::harness::{Daemon, Test, http_at, noise, sha256, succeed};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tunstack::device::tun::Tun;
use tunstack::net::{Host, Interface};
use tunstack::stack::{HostModel, Route};
use tunstack::stats::DropReason;
use tunstack::wire::Offloads;

pub const TESTS: &[Test] = &[
    Test { name: "tuns::curl_over_both", tools: &["curl", "ip"], limit: 60, body: curl },
    Test { name: "tuns::queues_of_both", tools: &["curl"], limit: 60, body: queues },
    Test { name: "tuns::routes_by_prefix_and_metric", tools: &["ip"], limit: 60, body: routes },
    Test { name: "tuns::an_address_of_the_other_tun_weak", tools: &["ip"], limit: 60, body: || model(HostModel::Weak) },
    Test {
        name: "tuns::an_address_of_the_other_tun_strong",
        tools: &["ip"],
        limit: 60,
        body: || model(HostModel::Strong),
    },
    Test { name: "tuns::failover_when_a_route_is_removed", tools: &["ip"], limit: 60, body: failover },
    Test { name: "tuns::what_is_wrong_is_said", tools: &[], limit: 30, body: wrong },
];

fn ip(line: &str) {
    succeed(5, "ip", &line.split(' ').collect::<Vec<_>>());
}

/// `serve` on two TUNs, and everything that ss and curl say of it.
fn curl() {
    let dir = TempDir::new().expect("a directory");
    let page = noise(17, 3_000_000);
    fs::write(dir.path().join("page"), &page).expect("a page");
    let root = dir.path().to_str().expect("a path");
    let daemon = Daemon::serve(&[
        "--tun",
        "tun0,host=192.0.2.1/24",
        "--tun",
        "tun1,host=198.51.100.1/24,host=2001:db8:1::1/64,addr=198.51.100.7,addr=2001:db8:1::7,mtu=1400",
        "--route",
        "default via 198.51.100.1",
        "--dir",
        root,
    ]);
    let said = daemon.said();
    assert!(said.contains("tun0 up: host 192.0.2.1/24, stack 192.0.2.2\n"), "{said}");
    assert!(
        said.contains("tun1 up: host 198.51.100.1/24, 2001:db8:1::1/64, stack 198.51.100.7, 2001:db8:1::7\n"),
        "{said}"
    );
    let got = dir.path().join("got");
    for url in ["http://192.0.2.2/page", "http://198.51.100.7/page", "http://[2001:db8:1::7]/page"] {
        succeed(20, "curl", &["-sS", "-g", "-f", "-o", got.to_str().expect("a path"), url]);
        assert!(sha256(&fs::read(&got).expect("the file")) == sha256(&page), "{url}");
    }
    // From an address of the kernel's that only the default route leads to.
    ip("address add 203.0.113.1/32 dev lo");
    let args =
        ["-sS", "-f", "--interface", "203.0.113.1", "-o", got.to_str().expect("a path"), "http://192.0.2.2/page"];
    succeed(20, "curl", &args);
    let ss = daemon.ss(&["-i", "-a"]);
    let lines: Vec<&str> = ss.lines().collect();
    assert!(lines[0].starts_with("tun0: mtu 1500, ") && lines[1].starts_with("tun1: mtu 1400, "), "{ss}");
    assert!(lines[2].starts_with("fragments: reassembled 0, "), "{ss}");
    // What changes at the kernel's end is followed at ours, for each link.
    ip("link set dev tun1 mtu 1300");
    let follows = || daemon.ss(&["-i", "-a"]).contains("tun1: mtu 1300, ");
    assert!(
        (0..400).any(|_| follows() || {
            thread::sleep(Duration::from_millis(50));
            false
        }),
        "{}",
        daemon.said()
    );
    daemon.stop();
}

fn queues() {
    let daemon =
        Daemon::serve(&["--tun", "tun0,host=192.0.2.1/24", "--tun", "tun1,host=198.51.100.1/24", "--queues", "2"]);
    for to in ["192.0.2.2:80", "198.51.100.2:80"] {
        for _ in 0..20 {
            let (status, body) = http_at(to.parse().expect("an address"), "/").expect("an answer");
            assert!(status == 200 && !body.is_empty(), "{to}: {status}");
        }
    }
    let ss = daemon.ss(&["-i", "-a"]);
    assert!(ss.lines().take(2).all(|line| line.ends_with("queues 2")), "{ss}");
    daemon.stop();
}

/// A host of this process on two TUNs: 192.0.2.2 on the first, 198.51.100.2 on the second, and the kernel at .1 of each.
fn host(routes: &[&str], model: HostModel) -> Host {
    let routes: Vec<Route> = routes.iter().map(|text| text.parse().expect("a route")).collect();
    let [first, second] = ["tun0", "tun1"].map(|name| Tun::open(name, 1500, Offloads::ALL).expect("a TUN"));
    let host = Host::builder()
        .name("tun0")
        .address("192.0.2.2/24")
        .interface(Interface::new("tun1", second).address("198.51.100.2/24"))
        .config(move |config| {
            config.routes = routes;
            config.host_model = model;
        })
        .start(first)
        .expect("a host");
    for line in [
        "link set lo up",
        "address add 192.0.2.1/24 dev tun0",
        "address add 198.51.100.1/24 dev tun1",
        "address add 203.0.113.1/32 dev lo",
        "address add 203.0.113.65/32 dev lo",
        "link set tun0 up",
        "link set tun1 up",
    ] {
        ip(line);
    }
    host
}

/// Packets that the kernel has received on a link.
fn received(link: &str) -> u64 {
    let path = format!("/sys/class/net/{link}/statistics/rx_packets");
    let text = fs::read_to_string(&path).or_else(|_| {
        // A namespace of its own has no sysfs of its own: /proc/net/dev is.
        let all = fs::read_to_string("/proc/net/dev")?;
        let line = all.lines().find_map(|line| line.trim().strip_prefix(&format!("{link}:")).map(str::to_owned));
        let packets = line.and_then(|line| line.split_whitespace().nth(1).map(str::to_owned));
        packets.ok_or(ErrorKind::NotFound.into())
    });
    text.unwrap_or_else(|e: std::io::Error| panic!("{link}: {e}")).trim().parse().expect("a number")
}

/// The link by which `act` made packets come, of the two.
fn came_by(act: impl FnOnce()) -> Vec<&'static str> {
    let links = ["tun0", "tun1"];
    let before = links.map(received);
    act();
    links.into_iter().zip(before).filter(|(link, before)| received(link) > *before).map(|(link, _)| link).collect()
}

fn routes() {
    let host = host(
        &["default via 192.0.2.1 metric 5", "default via 198.51.100.1 metric 3", "203.0.113.64/26 dev tun0"],
        HostModel::Weak,
    );
    let socket = host.bind_udp("0.0.0.0:0").expect("a socket");
    let at_kernel = |to: &str| {
        let kernel = UdpSocket::bind(to).expect("an address of the kernel's");
        kernel.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        let mut from = None;
        let by = came_by(|| {
            socket.send_to(b"x", kernel.local_addr().expect("bound").to_string()).expect("a way");
            from = Some(kernel.recv_from(&mut [0; 8]).expect("the datagram").1.ip().to_string());
        });
        (by, from.expect("a source"))
    };
    for (to, link, source) in [
        ("192.0.2.1:0", "tun0", "192.0.2.2"),
        ("198.51.100.1:0", "tun1", "198.51.100.2"),
        ("203.0.113.1:0", "tun1", "198.51.100.2"),
        ("203.0.113.65:0", "tun0", "192.0.2.2"),
    ] {
        assert_eq!(at_kernel(to), (vec![link], source.to_owned()), "{to}");
    }
    assert!(host.remove_route(&"default via 198.51.100.1 metric 3".parse().expect("a route")).expect("a live host"));
    assert_eq!(at_kernel("203.0.113.1:0"), (vec!["tun0"], "192.0.2.2".to_owned()), "the next best one");
    host.shutdown(Duration::from_secs(1));
}

/// The kernel sends to 198.51.100.2 through tun0, which has not that address.
fn model(model: HostModel) {
    let host = host(&[], model);
    ip("route add 198.51.100.2/32 dev tun0");
    let echo = host.bind_udp("0.0.0.0:7").expect("a socket");
    echo.set_read_timeout(Some(Duration::from_secs(if model == HostModel::Weak { 5 } else { 1 }))).expect("a time-out");
    let listener = host.listen("198.51.100.2:80").expect("a listener");
    let kernel = UdpSocket::bind("0.0.0.0:0").expect("a socket of the kernel's");
    kernel.send_to(b"x", "198.51.100.2:7").expect("a way");
    let heard = echo.recv_from(&mut [0; 8]).map_err(|e| e.kind());
    let to: SocketAddr = "198.51.100.2:80".parse().expect("an address");
    let patience = Duration::from_secs(if model == HostModel::Weak { 5 } else { 1 });
    let connected = TcpStream::connect_timeout(&to, patience).map(drop).map_err(|e| e.kind());
    let dropped = host.stats().dropped(DropReason::WrongInterface);
    match model {
        HostModel::Weak => {
            assert!(heard.is_ok() && connected.is_ok() && dropped == 0, "{heard:?} {connected:?} {dropped}");
            assert!(listener.accept().is_ok());
        }
        HostModel::Strong => {
            assert_eq!((heard.map(drop), connected), (Err(ErrorKind::WouldBlock), Err(ErrorKind::TimedOut)));
            assert!(dropped >= 2, "{dropped}");
            // By its own link it is reached.
            ip("route del 198.51.100.2/32 dev tun0");
            assert!(TcpStream::connect_timeout(&to, Duration::from_secs(20)).is_ok());
        }
    }
    host.shutdown(Duration::from_secs(1));
}

/// The route of a connection is removed in the middle of a transfer, at both ends: it goes on by the other TUN.
fn failover() {
    let routes = ["203.0.113.0/24 via 192.0.2.1 metric 1", "203.0.113.0/24 via 198.51.100.1 metric 2"];
    let host = host(&routes, HostModel::Weak);
    // The kernel takes packets for the stack's address by whichever link, and its own routes are changed in step.
    for link in ["all", "tun0", "tun1"] {
        let _ = fs::write(format!("/proc/sys/net/ipv4/conf/{link}/rp_filter"), "0");
    }
    let listener = host.listen("192.0.2.2:80").expect("a listener");
    let data = noise(23, 40_000_000);
    let sent = data.clone();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.write_all(&sent).expect("writing");
        stream.shutdown(Shutdown::Write).expect("the end");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the client's end");
    });
    let mut client = connect_from("203.0.113.1", "192.0.2.2:80");
    let mut got = vec![0; data.len()];
    let (first, second) = got.split_at_mut(5_000_000);
    let by = came_by(|| client.read_exact(first).expect("the first part"));
    assert!(by.contains(&"tun0"), "{by:?}");
    assert!(host.remove_route(&routes[0].parse().expect("a route")).expect("a live host"));
    ip("route add 192.0.2.2/32 dev tun1");
    // What had left the stack before is on its way, until nothing comes any more.
    let (mut quiet, mut since, begun) = (received("tun0"), Instant::now(), Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        thread::sleep(Duration::from_millis(10));
        if received("tun0") > quiet {
            (quiet, since) = (received("tun0"), Instant::now());
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it goes on by the route that is gone");
    }
    let before = received("tun1");
    client.read_exact(second).expect("the rest");
    assert!(received("tun1") > before, "it went on by the other");
    assert_eq!(received("tun0"), quiet, "and by that alone");
    assert!(sha256(&got) == sha256(&data));
    drop(client);
    server.join().expect("the server");
    assert_eq!(host.routes().len(), 1);
    host.shutdown(Duration::from_secs(1));
}

/// A connection of the kernel's from one of its addresses.
fn connect_from(from: &str, to: &str) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::new(from.parse().expect("an address"), 0)).expect("an address of the kernel's");
    connect(&socket, &to.parse::<SocketAddr>().expect("an address")).expect("connecting");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    stream
}

fn wrong() {
    for (args, text) in [
        (&["--tun", "tun0", "--tun", "tun0"][..], "it is named twice"),
        (&["--tun", "tun0", "--tun", "tun1", "--route", "default dev tun2"], "interface is none of the stack's"),
        (&["--tun", "tun0", "--tun", "tun1", "--route", "default"], "a route must say which"),
        (&["--tun", "tun0,host=192.0.2.1/24", "--tun", "tun1,host=192.0.2.9/24"], "is already reached by tun0"),
    ] {
        let (status, said) = Daemon::fails(args);
        assert!(status != 0 && said.contains(text), "{args:?}: {status}\n{said}");
    }
}
