//! Hosts with two links between them.

use super::common::*;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tunstack::device::{Device, mem};
use tunstack::net::{Builder, Host, Interface};
use tunstack::stack::Route;

/// The host with this number, 10.0.1.N and 10.0.2.N, with 203.0.N.9 on its first link.
fn host(n: u8) -> Builder {
    Host::builder().address(format!("10.0.1.{n}/24")).address(format!("203.0.{n}.9/32")).drive(DRIVE)
}

fn second(n: u8, device: impl Device + 'static) -> Interface {
    Interface::new("tun1", device).address(format!("10.0.2.{n}/24"))
}

/// Two hosts, and the routes from the first to the second's own network, the better one first.
fn two() -> ([Host; 2], [Route; 2]) {
    let (a1, b1) = mem::pair(1500, 4096).unwrap();
    let (a2, b2) = mem::pair(1400, 4096).unwrap();
    let a = host(1).interface(second(1, a2)).start(a1).unwrap();
    let b = host(2).interface(second(2, b2)).start(b1).unwrap();
    let routes =
        ["203.0.2.0/24 via 10.0.1.2 metric 1", "203.0.2.0/24 via 10.0.2.2 metric 2"].map(|r| r.parse().unwrap());
    for route in routes {
        a.add_route(route).unwrap();
    }
    ([a, b], routes)
}

#[test]
fn each_network_is_reached_by_its_interface() {
    within(60, || {
        let ([a, b], _) = two();
        let names: Vec<String> = a.interfaces().iter().map(|i| format!("{} {} {}", i.number, i.name, i.mtu)).collect();
        assert_eq!(names, ["1 tun0 1500", "2 tun1 1400"]);
        assert_eq!((a.addresses().len(), a.routes().len()), (3, 2));
        let listener = b.listen("0.0.0.0:80").unwrap();
        for (to, from, mtu) in [("10.0.1.2:80", "10.0.1.1", 1500), ("10.0.2.2:80", "10.0.2.1", 1400)] {
            let mut near = a.connect(to).unwrap();
            let (mut far, peer) = listener.accept().unwrap();
            assert_eq!((peer.ip().to_string(), near.mtu().unwrap()), (from.to_owned(), mtu));
            near.write_all(b"ping").unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            let mut got = String::new();
            far.read_to_string(&mut got).unwrap();
            assert_eq!(got, "ping");
        }
        let far = b.bind_udp("0.0.0.0:9").unwrap();
        let near = a.bind_udp("0.0.0.0:0").unwrap();
        for (device, by) in [(Some("tun1"), 2), (Some("tun0"), 1), (None, 1)] {
            near.bind_device(device).unwrap();
            near.send_to(b"x", "203.0.2.9:9").unwrap();
            assert_eq!(far.recv_msg(&mut [0; 8]).unwrap().interface, by, "{device:?}");
        }
        assert_eq!(near.bind_device(Some("tun2")).unwrap_err().raw_os_error(), Some(19), "ENODEV");
        assert_eq!(a.connect_by("tun2", "10.0.1.2:80").unwrap_err().raw_os_error(), Some(19), "ENODEV");
        let bound = a.connect_by("tun1", "203.0.2.9:80").unwrap();
        assert_eq!(bound.local_addr().unwrap().ip(), IpAddr::from([10, 0, 2, 1]));
        assert_eq!(a.connect("8.8.8.8:80").unwrap_err().kind(), ErrorKind::NetworkUnreachable);
        // The group is joined on the interface that has the address.
        let group = Ipv4Addr::new(239, 1, 2, 3);
        far.join_multicast_v4(&group, &Ipv4Addr::new(10, 0, 2, 2)).unwrap();
        near.set_multicast_if_v4(&Ipv4Addr::new(10, 0, 2, 1)).unwrap();
        near.send_to(b"all", (group, 9)).unwrap();
        assert_eq!(far.recv_msg(&mut [0; 8]).unwrap().interface, 2);
        a.set_mtu_of("tun1", 1300).unwrap();
        assert_eq!((a.mtu(), a.interfaces()[1].mtu, bound.mtu().unwrap()), (1500, 1300, 1300));
        assert_eq!(a.set_mtu_of("tun7", 1300).unwrap_err().raw_os_error(), Some(19), "ENODEV");
    });
}

/// The route of a connection is removed while it sends, and it goes on by the other; that is removed too, and it waits.
#[test]
fn a_transfer_survives_its_routes() {
    within(120, || {
        const LEN: usize = 6_000_000;
        let ([a, b], routes) = two();
        let listener = b.listen("0.0.0.0:80").unwrap();
        let mut near = a.connect("203.0.2.9:80").unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let writer = thread::spawn(move || {
            let data: Vec<u8> = (0..LEN).map(|at| byte(3, at as u64)).collect();
            near.write_all(&data).unwrap();
        });
        let mut got = vec![0; LEN];
        let (first, rest) = got.split_at_mut(LEN / 3);
        far.read_exact(first).unwrap();
        assert!(a.remove_route(&routes[0]).unwrap() && !a.remove_route(&routes[0]).unwrap());
        let (second, third) = rest.split_at_mut(LEN / 3);
        far.read_exact(second).unwrap();
        assert!(a.remove_route(&routes[1]).unwrap());
        thread::sleep(Duration::from_millis(50));
        a.add_route(routes[0]).unwrap();
        far.read_exact(third).unwrap();
        assert!((0..LEN).all(|at| got[at] == byte(3, at as u64)));
        writer.join().unwrap();
    });
}

/// A shard has a queue of each interface.
#[test]
fn queues_of_every_interface() {
    within(60, || {
        let links: Vec<_> = (0..4).map(|_| mem::pair(1500, 4096).unwrap()).collect();
        let (near, far): (Vec<_>, Vec<_>) =
            links.into_iter().map(|(a, b)| (Arc::new(a) as Arc<dyn Device>, Arc::new(b) as Arc<dyn Device>)).unzip();
        let start = |n: u8, mut devices: Vec<Arc<dyn Device>>| {
            let others = devices.split_off(2);
            let interface = Interface::with_queues("tun1", others).address(format!("10.0.2.{n}/24"));
            host(n).interface(interface).start_queues(devices).unwrap()
        };
        let (a, b) = (start(1, near), start(2, far));
        assert_eq!((a.queues(), a.interfaces().len()), (2, 2));
        let listener = b.listen("0.0.0.0:80").unwrap();
        for n in 0..16 {
            let to = ["10.0.1.2:80", "10.0.2.2:80"][n % 2];
            let mut near = a.connect(to).unwrap();
            let (mut far, peer) = listener.accept().unwrap();
            assert_eq!(peer, near.local_addr().unwrap());
            near.write_all(&[n as u8; 1000]).unwrap();
            let mut got = [0; 1000];
            far.read_exact(&mut got).unwrap();
            assert_eq!(got, [n as u8; 1000]);
        }
    });
}

#[test]
fn interfaces_that_make_no_sense() {
    let device = || mem::pair(1500, 8).unwrap().0;
    let pair = || (0..2).map(|_| Arc::new(device()) as Arc<dyn Device>).collect::<Vec<_>>();
    for (interface, text) in [
        (Interface::new("a name", device()), "an interface's name"),
        (Interface::new("tun0", device()), "two interfaces have one name"),
        (second(2, device()).mtu(1501), "tun1: an MTU of 1501"),
        (second(2, device()).address("10.0.3.0/33"), "10.0.3.0/33"),
        (Interface::with_queues("tun1", pair()), "tun1 has 2 queues, and the host's first interface 1"),
    ] {
        let error = host(1).interface(interface).start(device()).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    assert_eq!(host(1).name("").start(device()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn marks_choose_the_interface() {
    within(60, || {
        let (a1, b1) = mem::pair(1500, 4096).unwrap();
        let (a2, b2) = mem::pair(1400, 4096).unwrap();
        let by_mark = |config: &mut tunstack::stack::Config| config.marks = vec![(7, "tun1".parse().unwrap())];
        let a = host(1).interface(second(1, a2)).config(by_mark).start(a1).unwrap();
        let b = host(2).interface(second(2, b2)).start(b1).unwrap();
        a.add_route("203.0.2.0/24 via 10.0.1.2".parse().unwrap()).unwrap();
        let far = b.bind_udp("0.0.0.0:9").unwrap();
        let near = a.bind_udp("0.0.0.0:0").unwrap();
        for (mark, by) in [(0, 1), (7, 2), (8, 1)] {
            near.set_mark(mark).unwrap();
            assert_eq!(near.mark().unwrap(), mark);
            near.send_to(b"x", "203.0.2.9:9").unwrap();
            assert_eq!(far.recv_msg(&mut [0; 8]).unwrap().interface, by, "mark {mark}");
        }
        let listener = b.listen("0.0.0.0:80").unwrap();
        for (mark, from) in [(0, [10, 0, 1, 1]), (7, [10, 0, 2, 1])] {
            let mut socket = a.tcp_socket_v4();
            socket.setsockopt(tunstack::net::sockopt::SO_MARK, mark).unwrap();
            let mut near = socket.connect("203.0.2.9:80").unwrap();
            let (mut far, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), IpAddr::from(from), "mark {mark}");
            near.write_all(b"ping").unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            let mut got = String::new();
            far.read_to_string(&mut got).unwrap();
            assert_eq!((&*got, near.mark().unwrap()), ("ping", mark));
        }
    });
}
