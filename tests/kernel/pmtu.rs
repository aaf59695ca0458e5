//! Path MTU: a router between the stack and the kernel's TCP, whose link becomes narrow in the middle of a transfer, and
//! which says so by ICMP or does not.

use crate::harness::{Test, noise, sha256, succeed};
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tunstack::device::tun::Tun;
use tunstack::net::Host;
use tunstack::stack::TcpInfo;
use tunstack::stats::Stats;
use tunstack::sys::namespace::{Identity, enter_private_on_exec, join};
use tunstack::wire::Offloads;

pub const TESTS: &[Test] = &[
    Test { name: "pmtu::a_router_says_it_v4", tools: &["ip", "sleep"], limit: 120, body: || told(&V4) },
    Test { name: "pmtu::a_router_says_it_v6", tools: &["ip", "sleep"], limit: 120, body: || told(&V6) },
    Test { name: "pmtu::a_black_hole_v4", tools: &["ip", "sleep"], limit: 120, body: || silent(&V4) },
    Test { name: "pmtu::a_black_hole_v6", tools: &["ip", "sleep"], limit: 120, body: || silent(&V6) },
];

/// Bytes each way; 100 MiB by `TUNSTACK_PMTU_MIB=100`.
fn size() -> usize {
    let mib = std::env::var("TUNSTACK_PMTU_MIB").ok().map_or(8, |text| text.parse().expect("a number of MiB"));
    mib << 20
}

/// The addresses of one family: the stack behind the router's TUN, the client behind its other link.
struct Family {
    version: &'static str,
    stack: &'static str,
    stacks_net: &'static str,
    routers: [&'static str; 2],
    client: &'static str,
    clients_net: &'static str,
    icmp: &'static str,
    forwarding: &'static str,
}

const V4: Family = Family {
    version: "-4",
    stack: "192.0.2.2/24",
    stacks_net: "192.0.2.0/24",
    routers: ["192.0.2.1/24", "198.51.100.1/24"],
    client: "198.51.100.2/24",
    clients_net: "198.51.100.0/24",
    icmp: "icmp",
    forwarding: "/proc/sys/net/ipv4/ip_forward",
};

const V6: Family = Family {
    version: "-6",
    stack: "2001:db8::2/64",
    stacks_net: "2001:db8::/64",
    routers: ["2001:db8::1/64", "2001:db8:1::1/64"],
    client: "2001:db8:1::2/64",
    clients_net: "2001:db8:1::/64",
    icmp: "ipv6-icmp",
    forwarding: "/proc/sys/net/ipv6/conf/all/forwarding",
};

/// The narrow link's MTU.
const NARROW: usize = 1300;

/// This namespace is the router; the client has one of its own.
struct World {
    host: Host,
    family: &'static Family,
    /// Keeps the client's namespace.
    keeper: Child,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

impl World {
    fn new(family: &'static Family) -> World {
        let ip = |args: &str| {
            let args: Vec<&str> = [family.version].into_iter().chain(args.split(' ')).collect();
            succeed(5, "ip", &args);
        };
        let device = Arc::new(Tun::open("tun0", 1500, Offloads::ALL).expect("a TUN"));
        let mut sleep = Command::new("sleep");
        let keeper = enter_private_on_exec(sleep.arg("1000"), Identity::Root)
            .spawn()
            .expect("a child in a namespace of its own");
        let host = Host::builder().address(family.stack).start_shared(device).expect("a host");
        let world = World { host, family, keeper };
        fs::write(family.forwarding, "1").expect("forwarding");
        ip("link add near type veth peer name far");
        ip(&format!("link set far netns {}", world.keeper.id()));
        ip(&format!("address add {} dev tun0{}", family.routers[0], nodad(family)));
        ip(&format!("address add {} dev near{}", family.routers[1], nodad(family)));
        ip("link set tun0 up");
        ip("link set near up");
        world.at_client(|| {
            ip(&format!("address add {} dev far{}", family.client, nodad(family)));
            ip("link set far up");
            ip(&format!("route add default via {}", family.routers[1].split('/').next().expect("an address")));
            // The kernel, too, notices a black hole.
            fs::write("/proc/sys/net/ipv4/tcp_mtu_probing", "1").expect("a setting of its namespace");
            // It holds less than is still to come when the path changes.
            fs::write("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 1048576").expect("a setting of its namespace");
        });
        world
    }

    fn namespace(&self) -> PathBuf {
        Path::new("/proc").join(self.keeper.id().to_string()).join("ns/net")
    }

    /// Does `act` in the client's namespace.
    fn at_client<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let namespace = self.namespace();
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                join(&namespace).expect("the client's namespace");
                act()
            });
            inside.join().expect("what is done there")
        })
    }

    /// The router's links carry less from now on, in both directions.
    fn become_narrow(&self) {
        for (net, device) in [(self.family.clients_net, "near"), (self.family.stacks_net, "tun0")] {
            // A route of IPv6 is not changed but outdone.
            let verb = if self.family.version == "-4" { "change" } else { "add" };
            let metric = if self.family.version == "-4" { "" } else { " metric 10" };
            let version = self.family.version;
            let route = format!("{version} route {verb} {net} dev {device}{metric} mtu lock {NARROW}");
            succeed(5, "ip", &route.split(' ').collect::<Vec<_>>());
        }
    }

    /// The router sends no ICMP any more.
    fn become_silent(&self) {
        let rule = format!("{} rule add ipproto {} blackhole", self.family.version, self.family.icmp);
        succeed(5, "ip", &rule.split(' ').collect::<Vec<_>>());
    }

    /// Has the client send to an echo service on the stack; a third of the way, `middle` happens. Everything must come
    /// back. Gives the stack's view of its connection at the end, its counters, and how long it took.
    fn echo(&self, middle: impl FnOnce()) -> (TcpInfo, Stats, Duration) {
        let stack: IpAddr = self.family.stack.split('/').next().and_then(|a| a.parse().ok()).expect("an address");
        let listener = self.host.listen((stack, 7)).expect("a free port");
        let (all_is_back, told) = mpsc::channel();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut buf = vec![0; 1 << 16];
            loop {
                match stream.read(&mut buf).expect("what the client sends") {
                    0 => break,
                    n => stream.write_all(&buf[..n]).expect("the way back"),
                }
            }
            told.recv().expect("the client has it all");
            stream.info().expect("its numbers")
        });
        let mut client = self.at_client(|| {
            let at = SocketAddr::new(stack, 7);
            TcpStream::connect_timeout(&at, Duration::from_secs(20)).expect("connecting")
        });
        for timeout in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
            timeout(&client, Some(Duration::from_secs(30))).expect("a time-out");
        }
        let (sent, start) = (noise(7, size()), Instant::now());
        let (len, hash) = (sent.len(), sha256(&sent));
        let mut writer = client.try_clone().expect("a second handle");
        let writing = thread::spawn(move || {
            writer.write_all(&sent).expect("sending");
            writer.shutdown(Shutdown::Write).expect("ending");
        });
        let mut back = vec![0; len / 3];
        client.read_exact(&mut back).expect("the first part");
        middle();
        back.resize(len, 0);
        client.read_exact(&mut back[len / 3..]).expect("the rest");
        let took = start.elapsed();
        all_is_back.send(()).expect("a server");
        writing.join().expect("the writer");
        let info = server.join().expect("the server");
        assert_eq!(sha256(&back), hash);
        (info, self.host.stats(), took)
    }
}

/// IPv6 would first look for a second.
fn nodad(family: &Family) -> &'static str {
    if family.version == "-6" { " nodad" } else { "" }
}

/// 1191-1 8201-1: the path becomes narrow, and the router says so.
fn told(family: &'static Family) {
    let world = World::new(family);
    let (info, stats, took) = world.echo(|| world.become_narrow());
    println!("{} bytes each way in {took:?}, path MTU {}, {} time-outs", size(), info.pmtu, stats.tcp.rto);
    assert_eq!(info.pmtu, NARROW);
    assert_eq!(stats.tcp.black_holes, 0, "nobody had to guess");
    // Another connection knows it from the start.
    let (info, ..) = world.echo(|| ());
    assert_eq!(info.pmtu, NARROW);
}

/// 8900-2: it becomes narrow, and nobody says so.
fn silent(family: &'static Family) {
    let world = World::new(family);
    let (info, stats, took) = world.echo(|| {
        world.become_silent();
        world.become_narrow();
    });
    println!(
        "{} bytes each way in {took:?}, path MTU {}, {} time-outs, {} black holes, {} probes",
        size(),
        info.pmtu,
        stats.tcp.rto,
        stats.tcp.black_holes,
        stats.tcp.mtu_probes
    );
    assert!(info.pmtu <= NARROW && stats.tcp.black_holes > 0, "{info:?}");
}
