//! Two stacks with two links between them, in virtual time: which link a packet takes, and who takes it.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::error::Error;
use tunstack::rng::Rng;
use tunstack::stack::{
    Cidr, Config, HostModel, Interface, Readiness, Route, SendMsg, SocketId, Stack, TcpId, TcpOptions, UdpId,
};
use tunstack::stats::{Disposition, DropReason};
use tunstack::time::Instant;
use tunstack::wire::{RxFrame, RxMeta, ip, protocol};

/// How long a frame is on its way.
const DELAY: Duration = Duration::from_millis(5);

fn addr(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

fn route(text: &str) -> Route {
    text.parse().expect("a route")
}

fn cidrs(texts: &[&str]) -> Vec<Cidr> {
    let cidr = |text: &&str| {
        let (addr, prefix) = text.split_once('/').expect("a prefix");
        Cidr::new(addr.parse().expect("an address"), prefix.parse().expect("a number"))
    };
    texts.iter().map(cidr).collect()
}

/// A stack with the interfaces tun0 and tun1. Each host has the number `n` in each network, and one of its own behind it.
fn config(n: u8, mtus: [usize; 2]) -> Config {
    let own = |link: u8| {
        let mut own =
            vec![format!("10.0.{link}.{n}/24"), format!("2001:db8:{link}::{n}/64"), format!("fe80::{link}{n}/64")];
        if link == 1 {
            own.push(format!("203.0.{n}.9/32"));
        }
        cidrs(&own.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let second = Interface { name: "tun1".parse().expect("a name"), addresses: own(2), mtu: mtus[1] };
    Config { addresses: own(1), mtu: mtus[0], interfaces: vec![second], ..Config::default() }
}

/// What crossed a link: from whom, by which interface, and the packet.
struct Crossed {
    from: usize,
    interface: u8,
    bytes: Vec<u8>,
}

impl Crossed {
    fn protocol(&self) -> u8 {
        ip::parse(&self.bytes).map_or(0, |(header, _)| header.protocol)
    }
}

struct World {
    stacks: [Stack; 2],
    now: Instant,
    /// On their way: until when, to whom, by which interface.
    air: VecDeque<(Instant, usize, RxFrame)>,
    crossed: Vec<Crossed>,
}

impl World {
    fn new(configs: [Config; 2]) -> World {
        let now = Instant::from_millis(1000);
        let mut seed = 0;
        let stacks = configs.map(|config| {
            seed += 1;
            Stack::new(config, Rng::seed_from(seed), now).expect("a valid configuration")
        });
        World { stacks, now, air: VecDeque::new(), crossed: Vec::new() }
    }

    /// Weak hosts, links of 1500 bytes, and in each direction the other's network by the first link.
    fn plain() -> World {
        World::new([1, 2].map(|n| {
            let routes = vec![route(&format!("203.0.{0}.0/24 via 10.0.1.{0}", 3 - n))];
            Config { routes, ..config(n, [1500, 1500]) }
        }))
    }

    /// Takes what the stacks send.
    fn transmit(&mut self) {
        for from in [0, 1] {
            for _ in 0..10_000 {
                let Some(frame) = self.stacks[from].poll_transmit(self.now) else { break };
                let (bytes, interface) = (frame.to_vec(), frame.meta.interface);
                assert!((1..=2).contains(&interface), "it leaves by one of them");
                let meta = RxMeta { interface, ..RxMeta::default() };
                let frame = RxFrame { data: Slice::copy_of(&bytes), meta };
                self.air.push_back((self.now + DELAY, 1 - from, frame));
                self.crossed.push(Crossed { from, interface, bytes });
            }
        }
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..1_000_000 {
            self.transmit();
            let timers = self.stacks.iter().filter_map(Stack::deadline);
            let next = timers.chain(self.air.front().map(|(at, ..)| *at)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            while self.air.front().is_some_and(|(at, ..)| *at <= self.now)
                && let Some((_, to, frame)) = self.air.pop_front()
            {
                self.stacks[to].on_frame(self.now, frame);
            }
            self.stacks.iter_mut().for_each(|stack| stack.on_deadline(self.now));
        }
        self.now = end;
        while self.stacks.iter_mut().any(|stack| stack.poll_ready().is_some()) {}
    }

    /// A moment later.
    fn settle(&mut self) {
        self.run(Duration::from_millis(50));
    }

    /// The interfaces by which `from` has sent anything since this was asked last.
    fn left_by(&mut self, from: usize) -> Vec<u8> {
        let mut by: Vec<u8> = self.crossed.iter().filter(|c| c.from == from).map(|c| c.interface).collect();
        self.crossed.retain(|c| c.from != from);
        by.dedup();
        by
    }

    fn bind(&mut self, stack: usize, local: &str) -> UdpId {
        self.stacks[stack].udp_bind(at(local)).expect("a free port")
    }

    fn send(&mut self, stack: usize, id: UdpId, to: &str, data: &[u8]) -> Result<usize, Error> {
        self.stacks[stack].udp_send(self.now, id, data, Some(at(to)))
    }

    /// What a socket has: source and interface of each datagram.
    fn heard(&mut self, stack: usize, id: UdpId) -> Vec<(String, u32)> {
        let mut buf = [0; 65_536];
        let next = || self.stacks[stack].udp_recv_msg(id, &mut buf, false).ok();
        std::iter::from_fn(next).map(|msg| (msg.source.ip().to_string(), msg.interface)).collect()
    }

    fn listen(&mut self, stack: usize, local: &str) -> tunstack::stack::ListenerId {
        self.stacks[stack].tcp_listen(at(local), 8, TcpOptions::default()).expect("a free port")
    }

    /// A connection from the first stack to `to`, where the second listens: both ends.
    fn connect(&mut self, local: Option<&str>, to: &str) -> (TcpId, TcpId) {
        let listener = self.listen(1, &format!("0.0.0.0:{}", at(to).port()));
        let near = self.stacks[0].tcp_connect(self.now, local.map(at), at(to), TcpOptions::default());
        let near = near.expect("a way");
        self.settle();
        let (far, _) = self.stacks[1].tcp_accept(self.now, listener).expect("a connection");
        (near, far)
    }

    /// Sends `data` from the first stack and gives what the second has got after `time`.
    fn transfer(&mut self, ends: (TcpId, TcpId), data: &[u8], time: Duration) -> Vec<u8> {
        let (mut sent, mut got, mut buf) = (0, Vec::new(), vec![0; 65_536]);
        let end = self.now + time;
        while self.now < end && got.len() < data.len() {
            sent += self.stacks[0].tcp_send(self.now, ends.0, &data[sent..]).unwrap_or(0);
            self.run(Duration::from_millis(10));
            while let Ok(n @ 1..) = self.stacks[1].tcp_recv(self.now, ends.1, &mut buf) {
                got.extend_from_slice(&buf[..n]);
            }
        }
        got
    }
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// 1122-58: by prefix, by metric, by gateway and by name; and each time the source is an address of the interface that it leaves by.
#[test]
fn routes_choose_the_interface_and_with_it_the_source() {
    let routes = [
        "default dev tun0 metric 9",
        "default via 10.0.2.2 metric 5",
        "198.51.100.0/24 via 10.0.1.2",
        "198.51.100.64/26 dev tun1",
        "198.51.100.66/32 src 203.0.1.9",
        "::/0 via fe80::22 dev tun1",
        "2001:db8:77::/48 via 2001:db8:1::2",
    ];
    let routes = routes.iter().map(|text| route(text)).collect();
    let mut world = World::new([Config { routes, ..config(1, [1500, 1500]) }, config(2, [1500, 1500])]);
    let (v4, v6) = (world.bind(0, "0.0.0.0:7"), world.bind(0, "[::]:8"));
    for (socket, to, source, interface) in [
        (v4, "10.0.1.2:9", "10.0.1.1", 1),
        (v4, "10.0.2.2:9", "10.0.2.1", 2),
        (v4, "8.8.8.8:9", "10.0.2.1", 2),
        (v4, "198.51.100.9:9", "10.0.1.1", 1),
        (v4, "198.51.100.65:9", "10.0.2.1", 2),
        (v4, "198.51.100.66:9", "203.0.1.9", 1),
        (v6, "[2001:db8:1::2]:9", "2001:db8:1::1", 1),
        (v6, "[2001:db8:2::2]:9", "2001:db8:2::1", 2),
        (v6, "[2001:db8:99::2]:9", "2001:db8:2::1", 2),
        (v6, "[2001:db8:77::2]:9", "2001:db8:1::1", 1),
    ] {
        world.send(0, socket, to, b"x").expect("a way");
        world.transmit();
        let crossed = world.crossed.pop().expect("a packet");
        let (header, _) = ip::parse(&crossed.bytes).expect("a good one");
        assert_eq!((header.src.to_string(), crossed.interface), (source.to_string(), interface), "to {to}");
    }
}

/// 1122-47: a socket with an address of its own keeps it, whatever way its datagrams take, and so do answers (weak model).
#[test]
fn a_bound_address_decides_nothing_but_the_source() {
    let mut world = World::plain();
    let near = world.bind(0, "10.0.1.1:7");
    world.send(0, near, "10.0.2.2:9", b"x").expect("a way");
    world.settle();
    let (header, _) = ip::parse(&world.crossed[0].bytes).expect("a good one");
    assert_eq!((header.src, world.left_by(0)), (addr("10.0.1.1"), vec![2]));
    // Nobody listens there: the error goes where the route to 10.0.1.1 leads, from the address that was asked.
    let error = world.crossed.iter().find(|c| c.from == 1).expect("an answer");
    let (header, _) = ip::parse(&error.bytes).expect("a good one");
    assert_eq!((header.src, header.protocol, error.interface), (addr("10.0.2.2"), protocol::ICMP, 1));
}

/// 1122-56: the weak model takes what is for any of its addresses wherever it comes in.
#[test]
fn a_weak_host_is_reached_by_any_interface() {
    let mut world = World::plain();
    world.stacks[0].add_route(route("10.0.2.2/32 dev tun0")).expect("a good route");
    let far = world.bind(1, "10.0.2.2:9");
    let near = world.bind(0, "0.0.0.0:7");
    world.send(0, near, "10.0.2.2:9", b"x").expect("a way");
    world.settle();
    assert_eq!((world.left_by(0), world.heard(1, far)), (vec![1], vec![("10.0.1.1".into(), 1)]));
    let ends = world.connect(None, "10.0.2.2:80");
    let data = noise(100_000);
    assert!(world.transfer(ends, &data, Duration::from_secs(5)) == data);
}

/// 1122-56 1122-57: the strong one drops it, and sends nothing by an interface but from an address of that one.
#[test]
fn a_strong_host_is_reached_only_by_the_interface_that_has_the_address() {
    let strong = |n| Config { host_model: HostModel::Strong, ..config(n, [1500, 1500]) };
    let mut world = World::new([config(1, [1500, 1500]), strong(2)]);
    world.stacks[0].add_route(route("10.0.2.2/32 dev tun0")).expect("a good route");
    world.stacks[0].add_route(route("10.0.2.255/32 dev tun0")).expect("a good route");
    let far = world.bind(1, "0.0.0.0:9");
    let near = world.bind(0, "0.0.0.0:7");
    world.stacks[0].udp_options(near).expect("open").broadcast = true;
    for (to, taken) in
        [("10.0.2.2:9", false), ("10.0.1.2:9", true), ("10.0.1.255:9", true), ("255.255.255.255:9", true)]
    {
        let dropped = |world: &World| world.stacks[1].stats().dropped(DropReason::WrongInterface);
        let before = dropped(&world);
        world.send(0, near, to, b"x").expect("a way");
        world.settle();
        assert_eq!(world.left_by(0), [1], "{to}");
        assert_eq!((world.heard(1, far).len() == 1, dropped(&world) == before), (taken, taken), "{to}");
    }
    // What it sends from an address leaves by that one's interface, though the route to the other net is shorter.
    world.left_by(1);
    let bound = world.bind(1, "10.0.1.2:53");
    assert_eq!(world.send(1, bound, "10.0.2.1:7", b"x"), Err(Error::NetworkUnreachable), "no way by tun0");
    world.stacks[1].add_route(route("default dev tun0")).expect("a good route");
    world.send(1, bound, "10.0.2.1:7", b"x").expect("a way by tun0");
    world.settle();
    assert_eq!(world.left_by(1), [1]);
    // A socket without an address takes that of the route's interface, and so leaves by it.
    world.send(1, far, "10.0.2.1:7", b"x").expect("a way");
    world.settle();
    assert_eq!(world.left_by(1), [2]);
}

/// A connection follows when the route that it takes is removed, and its segments fit the other link.
#[test]
fn connections_follow_the_routes() {
    let routes = |n: u8| {
        let texts = [format!("203.0.{n}.0/24 via 10.0.1.{n}"), format!("203.0.{n}.0/24 via 10.0.2.{n} metric 9")];
        texts.iter().map(|text| route(text)).collect::<Vec<_>>()
    };
    let of = |n: u8| Config { routes: routes(3 - n), ..config(n, [1500, 1400]) };
    let mut world = World::new([of(1), of(2)]);
    let ends = world.connect(Some("203.0.1.9:0"), "203.0.2.9:80");
    let data = noise(300_000);
    assert!(world.transfer(ends, &data, Duration::from_secs(10)) == data);
    assert_eq!((world.left_by(0), world.left_by(1)), (vec![1], vec![1]));
    // In the middle of the next transfer the first link's route goes, on one side.
    world.stacks[0].tcp_send(world.now, ends.0, &noise(200_000)).expect("room");
    world.transmit();
    world.crossed.clear();
    assert_eq!(world.stacks[0].remove_route(&routes(2)[0]), Ok(true));
    assert_eq!(world.stacks[0].remove_route(&routes(2)[0]), Ok(false));
    let mut buf = vec![0; 400_000];
    let mut got = 0;
    for _ in 0..200 {
        world.run(Duration::from_millis(20));
        got += world.stacks[1].tcp_recv(world.now, ends.1, &mut buf).unwrap_or(0);
    }
    assert_eq!(got, 200_000);
    let longest = world.crossed.iter().filter(|c| c.from == 0).map(|c| c.bytes.len()).max();
    assert_eq!((longest, world.left_by(0), world.left_by(1)), (Some(1400), vec![2], vec![1]));
    let snapshot = world.stacks[0].tcp_snapshot();
    assert_eq!(snapshot.iter().map(|info| info.pmtu).max(), Some(1400));
}

/// Without any way left nothing is sent; a connection goes on when there is one again.
#[test]
fn without_a_route_a_connection_waits_for_one() {
    let mut world = World::plain();
    let route = world.stacks[0].routes()[0];
    let ends = world.connect(None, "203.0.2.9:80");
    assert_eq!(world.stacks[0].remove_route(&route), Ok(true));
    world.left_by(0);
    let data = noise(50_000);
    assert!(world.transfer(ends, &data, Duration::from_secs(3)).is_empty());
    assert!(world.left_by(0).is_empty() && world.stacks[0].stats().unsent > 1);
    let socket = world.bind(0, "0.0.0.0:7");
    assert_eq!(world.send(0, socket, "203.0.2.9:9", b"x"), Err(Error::NetworkUnreachable));
    let refused = world.stacks[0].tcp_connect(world.now, None, at("203.0.2.9:81"), TcpOptions::default());
    assert_eq!(refused, Err(Error::NetworkUnreachable));
    world.stacks[0].add_route(route).expect("it was good before");
    assert!(matches!(world.stacks[0].add_route(route), Err(Error::InvalidInput(_))), "it is there already");
    let rest = world.transfer(ends, &[], Duration::ZERO);
    assert!(rest.is_empty());
    world.run(Duration::from_secs(10));
    let mut buf = vec![0; 60_000];
    let n = world.stacks[1].tcp_recv(world.now, ends.1, &mut buf).expect("what was sent");
    assert!(buf[..n] == data[..n] && n == data.len(), "{n} bytes");
    assert_eq!(world.left_by(0), [1]);
}

/// A route added to a stack with one interface closes what was open; removing it opens nothing again.
#[test]
fn one_interface_has_routes_at_run_time_too() {
    let one = Config { interfaces: Vec::new(), ..config(1, [1500, 1500]) };
    let mut stack = Stack::new(one, Rng::seed_from(1), Instant::ZERO).expect("a valid configuration");
    let socket = stack.udp_bind(at("0.0.0.0:7")).expect("a free port");
    let send = |stack: &mut Stack, to: &str| stack.udp_send(Instant::ZERO, socket, b"x", Some(at(to)));
    assert_eq!(send(&mut stack, "8.8.8.8:9"), Ok(1), "everything is beyond the link");
    let added = route("198.51.100.0/24 dev tun0");
    stack.add_route(added).expect("a good route");
    assert_eq!(send(&mut stack, "8.8.8.8:9"), Err(Error::NetworkUnreachable));
    assert_eq!((send(&mut stack, "198.51.100.1:9"), send(&mut stack, "10.0.1.9:9")), (Ok(1), Ok(1)));
    assert!(matches!(stack.add_route(route("default dev tun9")), Err(Error::InvalidInput(_))));
    assert_eq!((stack.remove_route(&added), stack.routes().len()), (Ok(true), 0));
    assert_eq!(send(&mut stack, "8.8.8.8:9"), Err(Error::NetworkUnreachable));
}

/// A router's word about the MTU of a path is about packets, not about the first interface's.
#[test]
fn path_mtus_of_the_second_interface() {
    let mut world = World::new([config(1, [1500, 1400]), config(2, [1500, 1400])]);
    let ends = world.connect(None, "10.0.2.2:80");
    world.stacks[0].tcp_send(world.now, ends.0, &noise(1348)).expect("room");
    world.transmit();
    let segment = world.crossed.pop().expect("a segment");
    assert_eq!((segment.bytes.len(), segment.interface), (1400, 2));
    // Fragmentation needed and DF set, for a link of 1300.
    let mut message = vec![3, 4, 0, 0, 0, 0, 0x05, 0x14];
    message.extend_from_slice(&segment.bytes[..28]);
    let sum = tunstack::wire::checksum::checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 2, 77, 10, 0, 2, 1];
    packet.extend_from_slice(&message);
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    let sum = tunstack::wire::checksum::checksum(&packet[..20]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let meta = RxMeta { interface: 2, ..RxMeta::default() };
    world.stacks[0].on_frame(world.now, RxFrame { data: Slice::copy_of(&packet), meta });
    world.air.clear();
    world.crossed.clear();
    world.transmit();
    let longest = world.crossed.iter().map(|c| c.bytes.len()).max();
    assert_eq!(longest, Some(1300), "it is sent again, as long as the path carries");
}

/// A datagram of any size leaves by one interface, and its fragments do.
#[test]
fn fragments_leave_by_the_interface_of_their_packet() {
    let mut world = World::new([config(1, [1500, 1300]), config(2, [1500, 1300])]);
    let (near, far) = (world.bind(0, "0.0.0.0:7"), world.bind(1, "0.0.0.0:9"));
    world.send(0, near, "10.0.2.2:9", &noise(20_000)).expect("a way");
    world.settle();
    assert!(world.crossed.iter().all(|c| c.bytes.len() <= 1300));
    assert_eq!((world.left_by(0), world.heard(1, far)), (vec![2], vec![("10.0.2.1".into(), 2)]));
}

/// SO_BINDTODEVICE: what a socket sends leaves by its interface, wherever the routes lead, and nothing else comes in.
#[test]
fn sockets_are_bound_to_interfaces() {
    let mut world = World::plain();
    let (near, far) = (world.bind(0, "0.0.0.0:7"), world.bind(1, "0.0.0.0:9"));
    world.stacks[0].udp_options(near).expect("open").interface = 2;
    for to in ["10.0.1.2:9", "10.0.2.2:9", "203.0.2.9:9"] {
        world.send(0, near, to, b"x").expect("a way");
        world.settle();
        assert_eq!((world.left_by(0), world.heard(1, far)), (vec![2], vec![("10.0.2.1".into(), 2)]), "{to}");
    }
    world.stacks[1].udp_options(far).expect("open").interface = 1;
    world.send(0, near, "10.0.2.2:9", b"x").expect("a way");
    world.settle();
    assert!(world.heard(1, far).is_empty(), "it came in by the other");

    let listener = world.listen(1, "0.0.0.0:80");
    world.stacks[1].listener_options(listener).expect("open").interface = 2;
    for (to, accepted) in [("10.0.1.2:80", false), ("10.0.2.2:80", true)] {
        let id = world.stacks[0].tcp_connect(world.now, None, at(to), TcpOptions::default()).expect("a way");
        world.settle();
        let writable = world.stacks[0].readiness(SocketId::Tcp(id)).contains(Readiness::WRITABLE);
        assert!(writable, "connected or refused");
        assert_eq!(world.stacks[1].tcp_accept(world.now, listener).is_ok(), accepted, "{to}");
        assert_eq!(world.stacks[0].tcp_take_error(id).expect("open").is_none(), accepted, "{to}");
    }
    world.left_by(0);
    let options = TcpOptions { interface: 2, ..TcpOptions::default() };
    let bound = world.stacks[0].tcp_connect(world.now, None, at("203.0.2.9:80"), options.clone()).expect("a way");
    world.settle();
    assert_eq!(world.left_by(0), [2], "though the route leads by the first");
    assert_eq!(world.stacks[0].tcp_local_addr(bound).expect("open").ip(), addr("10.0.2.1"));
    let nowhere = TcpOptions { interface: 3, ..options };
    assert_eq!(world.stacks[0].tcp_connect(world.now, None, at("10.0.2.2:80"), nowhere), Err(Error::NoDevice));
}

/// What comes by another interface to a connection that is bound to one is for nobody: not for a listener either, which
/// would make a second connection of the same name.
#[test]
fn a_bound_connection_has_its_name_on_every_interface() {
    let mut world = World::plain();
    let listener = world.listen(1, "0.0.0.0:80");
    let near = world.stacks[0].tcp_connect(world.now, None, at("10.0.2.2:80"), TcpOptions::default()).expect("a way");
    world.settle();
    let (far, _) = world.stacks[1].tcp_accept(world.now, listener).expect("a connection");
    let options = world.stacks[1].tcp_options(far).expect("open").clone();
    world.stacks[1].set_tcp_options(world.now, far, TcpOptions { interface: 2, ..options }).expect("open");
    let syn = world.crossed.iter().find(|c| c.from == 0).expect("it went").bytes.clone();
    let meta = RxMeta { interface: 1, ..RxMeta::default() };
    let disposition = world.stacks[1].on_frame(world.now, RxFrame { data: Slice::copy_of(&syn), meta });
    assert_eq!(disposition, Disposition::Dropped(DropReason::WrongInterface));
    world.settle();
    assert_eq!(world.stacks[1].tcp_accept(world.now, listener).err(), Some(Error::WouldBlock));
    let data = noise(100_000);
    assert!(world.transfer((near, far), &data, Duration::from_secs(10)) == data, "and the first one lives");
}

/// Where no route leads, a bound socket takes its peer to be on its link, and hears it; others neither reach nor answer it.
#[test]
fn a_bound_socket_needs_no_route() {
    let mut world = World::new([1, 2].map(|n| config(n, [1500, 1500])));
    let (near, far) = (world.bind(0, "0.0.0.0:7"), world.bind(1, "203.0.2.9:9"));
    assert_eq!(world.send(0, near, "203.0.2.9:9", b"x"), Err(Error::NetworkUnreachable));
    world.stacks[0].udp_options(near).expect("open").interface = 2;
    world.send(0, near, "203.0.2.9:9", b"x").expect("a way");
    world.settle();
    assert_eq!((world.left_by(0), world.heard(1, far)), (vec![2], vec![("10.0.2.1".into(), 2)]));
    world.send(1, far, "10.0.2.1:7", b"y").expect("a way");
    world.settle();
    assert_eq!(world.heard(0, near), vec![("203.0.2.9".into(), 2)]);
    // Nobody is there: who asked is not told, for want of a route.
    world.left_by(0);
    let unsent = world.stacks[0].stats().unsent;
    world.send(1, far, "10.0.2.1:77", b"y").expect("a way");
    world.settle();
    assert_eq!((world.left_by(0), world.stacks[0].stats().unsent - unsent), (vec![], 1));
    world.stacks[0].add_route(route("203.0.2.0/24 prohibit")).expect("a good route");
    assert_eq!(
        world.send(0, near, "203.0.2.9:9", b"x"),
        Err(Error::PermissionDenied),
        "but what a route forbids is forbidden"
    );
}

/// Groups are joined on an interface, heard on that one, and told of there.
#[test]
fn groups_are_of_an_interface() {
    for (group, any, igmp) in [("239.1.2.3", "0.0.0.0", protocol::IGMP), ("ff05::77", "[::]", 0)] {
        let mut world = World::plain();
        let to = SocketAddr::new(addr(group), 9).to_string();
        let far = world.bind(1, &format!("{any}:9"));
        world.stacks[1].udp_join_on(far, addr(group), None, 2).expect("room");
        assert_eq!(world.stacks[1].udp_join_on(far, addr(group), None, 3), Err(Error::NoDevice));
        world.settle();
        assert_eq!(world.crossed[0].protocol(), igmp, "the report");
        assert_eq!(world.left_by(1), [2]);
        let near = world.bind(0, &format!("{any}:7"));
        for interface in [1, 2] {
            world.stacks[0].udp_options(near).expect("open").multicast_interface = interface;
            world.send(0, near, &to, b"x").expect("a way");
            world.settle();
            assert_eq!(world.left_by(0), [interface]);
            let heard: Vec<u32> = world.heard(1, far).iter().map(|(_, by)| *by).collect();
            assert_eq!(heard, vec![2; usize::from(interface == 2)], "{group} by {interface}");
        }
        // The same group on the other interface is another membership; each is left where it was joined.
        world.stacks[1].udp_join_on(far, addr(group), None, 1).expect("room");
        assert_eq!(world.stacks[1].udp_join_on(far, addr(group), None, 1), Err(Error::AddrInUse));
        world.stacks[1].udp_leave_on(far, addr(group), None, 2).expect("it has joined");
        assert_eq!(world.stacks[1].udp_leave_on(far, addr(group), None, 2), Err(Error::AddrNotAvailable));
        for interface in [1, 2] {
            world.stacks[0].udp_options(near).expect("open").multicast_interface = interface;
            world.send(0, near, &to, b"x").expect("a way");
            world.settle();
            assert_eq!(world.heard(1, far).len(), usize::from(interface == 1), "{group} by {interface}");
        }
    }
}

/// Those of this host who have joined where it leaves hear what is sent to a group, and no others.
#[test]
fn what_is_sent_to_a_group_is_heard_here_by_members_of_that_interface() {
    let mut world = World::plain();
    let near = world.bind(0, "0.0.0.0:7");
    world.stacks[0].udp_join_on(near, addr("239.1.2.3"), None, 2).expect("room");
    world.settle();
    for (source, heard) in [("10.0.1.1", 0), ("10.0.2.1", 1)] {
        // As IP_MULTICAST_IF has it, by an address.
        world.stacks[0].udp_options(near).expect("open").multicast_source = Some(addr(source));
        world.send(0, near, "239.1.2.3:7", b"x").expect("a way");
        world.settle();
        assert_eq!(world.heard(0, near), vec![(source.to_string(), 2); heard]);
    }
}

/// RFC 4291 2.7: what is sent to a group of this interface, or of the reserved scope, is heard here and leaves by none.
#[test]
fn what_is_sent_to_a_group_of_the_host_stays_there() {
    for group in ["ff01::77", "ff00::77"] {
        let mut world = World::plain();
        let near = world.bind(0, "[::]:7");
        world.stacks[0].udp_join_on(near, addr(group), None, 1).expect("room");
        world.stacks[0].udp_options(near).expect("open").multicast_interface = 1;
        let raw = world.stacks[0].raw_open(addr("::"), 200).expect("room");
        world.stacks[0].raw_options(raw).expect("open").interface = 1;
        world.settle();
        world.left_by(0);
        world.send(0, near, &format!("[{group}]:7"), b"x").expect("a way");
        world.stacks[0].raw_send(world.now, raw, b"x", Some(addr(group))).expect("a way");
        world.settle();
        assert!(world.left_by(0).is_empty(), "{group}");
        assert_eq!(world.heard(0, near).len(), 1, "{group}");
        assert!(world.stacks[0].raw_recv(raw, &mut [0; 9], false).is_ok(), "{group}");
    }
}

/// 1122-48: fe80::/10 and 255.255.255.255 mean another host on each link, and the source says on which.
#[test]
fn what_is_of_one_link_goes_where_its_source_is() {
    let mut world = World::plain();
    let far = world.bind(1, "[::]:9");
    for (local, to, interface) in [("[fe80::11]:7", "[fe80::12]:9", 1), ("[fe80::21]:7", "[fe80::22]:9", 2)] {
        let near = world.bind(0, local);
        world.send(0, near, to, b"x").expect("a way");
        world.settle();
        assert_eq!(world.left_by(0), [interface], "{to}");
        let heard = vec![(at(local).ip().to_string(), u32::from(interface))];
        assert_eq!(world.heard(1, far), heard);
    }
    let everybody = world.bind(1, "0.0.0.0:10");
    for (local, interface) in [("10.0.1.1:7", 1), ("10.0.2.1:7", 2)] {
        let near = world.bind(0, local);
        world.stacks[0].udp_options(near).expect("open").broadcast = true;
        world.send(0, near, "255.255.255.255:10", b"x").expect("a way");
        world.settle();
        assert_eq!(world.left_by(0), [interface]);
        assert_eq!(world.heard(1, everybody), vec![(at(local).ip().to_string(), u32::from(interface))]);
    }
    // A socket may also say it with each datagram (IP_PKTINFO).
    let near = world.bind(0, "0.0.0.0:8");
    let message = SendMsg { source: Some(at("10.0.2.1:0")), ..SendMsg::to(at("239.1.1.1:9"), b"x") };
    world.stacks[0].udp_send_msg(world.now, near, &message).expect("a way");
    world.transmit();
    assert_eq!(world.left_by(0), [2]);
}

/// What an application can learn of them.
#[test]
fn interfaces_have_names_numbers_and_mtus() {
    let mut stack = Stack::new(config(1, [1500, 1400]), Rng::seed_from(1), Instant::ZERO).expect("a valid one");
    let told = |stack: &Stack| {
        let interfaces = stack.interfaces().into_iter();
        interfaces.map(|i| (i.number, i.name.to_string(), i.addresses.len(), i.mtu)).collect::<Vec<_>>()
    };
    assert_eq!(told(&stack), [(1, "tun0".into(), 4, 1500), (2, "tun1".into(), 3, 1400)]);
    assert_eq!((stack.interface_named("tun1"), stack.interface_named("tun2")), (Ok(2), Err(Error::NoDevice)));
    stack.set_mtu_of(2, 1300).expect("a good MTU");
    assert_eq!(stack.set_mtu_of(3, 1300), Err(Error::NoDevice));
    assert!(matches!(stack.set_mtu_of(2, 67), Err(Error::InvalidInput(_))));
    assert_eq!((told(&stack)[1].3, stack.mtu(), stack.config().interfaces[0].mtu), (1300, 1500, 1300));
    let twice = config(1, [1500, 1500]);
    let same = Interface { name: "tun0".parse().expect("a name"), ..twice.interfaces[0].clone() };
    for wrong in [
        Config { interfaces: vec![same], ..twice.clone() },
        Config { interfaces: vec![twice.interfaces[0].clone(); 2], ..twice.clone() },
        Config { interfaces: vec![Interface { mtu: 1279, ..twice.interfaces[0].clone() }], ..twice.clone() },
        Config {
            interfaces: (0..64)
                .map(|n| Interface { name: format!("x{n}").parse().expect("a name"), addresses: Vec::new(), mtu: 1500 })
                .collect(),
            ..twice
        },
    ] {
        assert!(matches!(Stack::new(wrong, Rng::seed_from(1), Instant::ZERO), Err(Error::InvalidInput(_))));
    }
}
