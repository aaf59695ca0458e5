//! `UdpSocket`.

use super::net::{TcpListener, UdpSocket};
use super::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

cases![
    bind_gives_a_port,
    bind_twice,
    bind_to_one_and_to_all,
    bind_to_a_foreign_address,
    bind_to_a_group,
    bind_to_broadcast,
    bind_again_after_drop,
    bind_to_the_port_of_a_listener,
    bind_to_none_of_several,
    bind_to_no_address,
    bind_to_unspecified,
    send_and_receive,
    send_gives_the_length,
    send_an_empty_one,
    send_the_longest,
    send_too_long,
    send_to_port_zero,
    send_to_no_address,
    send_to_the_first_of_several,
    send_to_unspecified,
    send_to_elsewhere,
    send_to_the_other_family,
    send_without_a_peer,
    send_to_nobody,
    send_to_another_though_connected,
    send_broadcast_without_leave,
    send_broadcast_with_leave,
    send_to_itself,
    send_to_one_who_has_gone,
    receive_in_order,
    receive_into_too_little,
    receive_into_nothing,
    receive_an_empty_one,
    receive_from_several,
    receive_by_the_unspecified_address,
    peek_leaves_it,
    peek_from_gives_the_sender,
    peek_into_too_little,
    connect_gives_an_address,
    connect_filters,
    connect_keeps_what_was_received,
    connect_again,
    connect_to_port_zero,
    connect_to_unspecified,
    connect_to_the_other_family,
    connect_to_elsewhere,
    connect_to_a_group,
    connect_to_broadcast,
    connect_to_no_address,
    connect_to_the_first_that_can_be,
    peer_addr_without_a_peer,
    peer_addr_with_a_peer,
    local_addr_of_a_clone,
    clone_receives_too,
    clone_keeps_it_open,
    a_refusal_is_told_once,
    a_refusal_without_a_peer,
    a_refusal_fails_the_next_send,
    a_refusal_is_taken,
    take_error_of_a_fresh_one,
    broadcast_by_default,
    broadcast_is_kept,
    ttl_by_default,
    ttl_is_kept,
    ttl_out_of_range,
    multicast_ttl_by_default,
    multicast_ttl_is_kept,
    multicast_ttl_out_of_range,
    multicast_loop_by_default,
    multicast_loop_is_kept,
    multicast_join_and_hear,
    multicast_is_not_heard_without_loop,
    multicast_join_twice,
    multicast_leave_what_was_not_joined,
    multicast_join_no_group,
    multicast_join_on_an_interface_that_is_none,
    multicast_leave_and_hear_no_more,
    debug_names_it,
];

fn bind_gives_a_port(t: &Test) {
    t.see("address", udp(t).local_addr());
}

fn bind_twice(t: &Test) {
    let socket = udp(t);
    t.see("again", UdpSocket::bind(socket.local_addr().unwrap()).map(drop));
}

fn bind_to_one_and_to_all(t: &Test) {
    let socket = udp(t);
    let port = socket.local_addr().unwrap().port();
    t.see("all", UdpSocket::bind((t.unspecified(), port)).map(drop));
    t.see("another", UdpSocket::bind((t.own(), port)).map(drop));
}

fn bind_to_a_foreign_address(t: &Test) {
    t.see("bind", UdpSocket::bind((t.neighbour(), 0)).map(drop));
}

fn bind_to_a_group(t: &Test) {
    let bound = UdpSocket::bind((t.group(), 0));
    t.see("address", bound.and_then(|socket| socket.local_addr()));
}

fn bind_to_broadcast(t: &Test) {
    let all = t.pick("255.255.255.255".parse().unwrap(), "ff0e::1:1".parse::<IpAddr>().unwrap());
    let bound = UdpSocket::bind((all, 0));
    t.see("address", bound.and_then(|socket| socket.local_addr()));
}

fn bind_again_after_drop(t: &Test) {
    let addr = udp(t).local_addr().unwrap();
    t.see("again", UdpSocket::bind(addr).map(drop));
}

fn bind_to_the_port_of_a_listener(t: &Test) {
    let listener = TcpListener::bind(t.any()).unwrap();
    t.see("bind", UdpSocket::bind(listener.local_addr().unwrap()).map(drop));
}

fn bind_to_none_of_several(t: &Test) {
    let socket = udp(t);
    let foreign = SocketAddr::new(t.neighbour(), 0);
    let taken = socket.local_addr().unwrap();
    t.see("the last error", UdpSocket::bind(&[taken, foreign][..]).map(drop));
    t.see("the other way round", UdpSocket::bind(&[foreign, taken][..]).map(drop));
}

fn bind_to_no_address(t: &Test) {
    t.see("bind", UdpSocket::bind(&[][..]).map(drop));
}

fn bind_to_unspecified(t: &Test) {
    let socket = UdpSocket::bind((t.unspecified(), 0)).unwrap();
    t.see("address", socket.local_addr());
    t.see("peer", socket.peer_addr());
}

fn send_and_receive(t: &Test) {
    let (a, b) = (udp(t), udp(t));
    t.see("send", a.send_to(b"hello", b.local_addr().unwrap()));
    let mut buf = [0; 16];
    let (n, from) = b.recv_from(&mut buf).unwrap();
    t.see("text", &buf[..n]);
    t.see("sender", from == a.local_addr().unwrap());
    t.see("its address", from);
}

fn send_gives_the_length(t: &Test) {
    let (a, b) = udp_pair(t);
    for len in [1, 100, 1473, 9000] {
        t.see("send", a.send(&noise(len)));
        let mut buf = vec![0; 10_000];
        t.see("receive", b.recv(&mut buf));
        t.see("the same", buf[..len] == noise(len));
    }
}

fn send_an_empty_one(t: &Test) {
    let (a, b) = udp_pair(t);
    t.see("send", a.send(b""));
    t.see("receive", b.recv_from(&mut [0; 4]));
}

fn send_the_longest(t: &Test) {
    let (a, b) = udp_pair(t);
    let longest = noise(t.pick(65_507, 65_527));
    t.see("send", a.send(&longest));
    let mut buf = vec![0; 70_000];
    b.set_read_timeout(Some(20_000 * MS)).unwrap();
    t.see("receive", b.recv(&mut buf));
    t.see("the same", buf[..longest.len()] == longest);
}

fn send_too_long(t: &Test) {
    let (a, b) = udp_pair(t);
    t.see("by one", a.send(&noise(t.pick(65_508, 65_528))));
    t.see("by much", a.send(&noise(1 << 20)));
    t.see("to", a.send_to(&noise(100_000), b.local_addr().unwrap()));
}

fn send_to_port_zero(t: &Test) {
    t.see("send", udp(t).send_to(b"x", t.any()));
}

fn send_to_no_address(t: &Test) {
    t.see("send", udp(t).send_to(b"x", &[][..]));
}

fn send_to_the_first_of_several(t: &Test) {
    let (a, b, c) = (udp(t), udp(t), udp(t));
    a.send_to(b"x", &[b.local_addr().unwrap(), c.local_addr().unwrap()][..]).unwrap();
    t.see("the first", b.recv(&mut [0; 4]));
    c.set_nonblocking(true).unwrap();
    t.see("the second", c.recv(&mut [0; 4]));
}

fn send_to_unspecified(t: &Test) {
    let (a, b) = (udp(t), udp(t));
    t.see("send", a.send_to(b"x", (t.unspecified(), b.local_addr().unwrap().port())));
    b.set_read_timeout(Some(20_000 * MS)).unwrap();
    t.see("receive", b.recv(&mut [0; 4]));
}

fn send_to_elsewhere(t: &Test) {
    let socket = UdpSocket::bind((t.unspecified(), 0)).unwrap();
    t.see("send", socket.send_to(b"x", (t.elsewhere(), 9)));
}

fn send_to_the_other_family(t: &Test) {
    let other = t.pick(IpAddr::from(Ipv6Addr::LOCALHOST), Ipv4Addr::LOCALHOST.into());
    t.see("send", udp(t).send_to(b"x", (other, 9)));
}

fn send_without_a_peer(t: &Test) {
    t.see("send", udp(t).send(b"x"));
}

fn send_to_nobody(t: &Test) {
    t.see("send", udp(t).send_to(b"x", nobody(t)));
}

fn send_to_another_though_connected(t: &Test) {
    let ((a, _b), c) = (udp_pair(t), udp(t));
    t.see("send", a.send_to(b"x", c.local_addr().unwrap()));
    t.see("receive", c.recv(&mut [0; 4]));
}

fn send_broadcast_without_leave(t: &Test) {
    let socket = UdpSocket::bind((Ipv4Addr::new(192, 0, 2, 1), 0)).unwrap();
    t.see("all", socket.send_to(b"x", (Ipv4Addr::BROADCAST, 9)));
    t.see("a network", socket.send_to(b"x", (Ipv4Addr::new(192, 0, 2, 255), 9)));
}

fn send_broadcast_with_leave(t: &Test) {
    let socket = UdpSocket::bind((Ipv4Addr::new(192, 0, 2, 1), 0)).unwrap();
    socket.set_broadcast(true).unwrap();
    t.see("a network", socket.send_to(b"x", (Ipv4Addr::new(192, 0, 2, 255), 9)));
    socket.set_broadcast(false).unwrap();
    t.see("no more", socket.send_to(b"x", (Ipv4Addr::new(192, 0, 2, 255), 9)));
}

fn send_to_itself(t: &Test) {
    let socket = udp(t);
    let addr = socket.local_addr().unwrap();
    socket.send_to(b"self", addr).unwrap();
    let mut buf = [0; 8];
    let (n, from) = socket.recv_from(&mut buf).unwrap();
    t.see("text", &buf[..n]);
    t.see("from itself", from == addr);
}

fn send_to_one_who_has_gone(t: &Test) {
    let (a, b) = udp_pair(t);
    drop(b);
    t.see("send", a.send(b"x"));
    t.see("refused", soon(|| a.send(b"x").is_err()));
}

fn receive_in_order(t: &Test) {
    let (a, b) = udp_pair(t);
    for n in 0..20u8 {
        a.send(&[n; 3]).unwrap();
    }
    let mut buf = [0; 4];
    let order: Vec<bool> = (0..20u8).map(|n| b.recv(&mut buf).unwrap() == 3 && buf[0] == n).collect();
    t.see("in order", order.iter().all(|ok| *ok));
}

fn receive_into_too_little(t: &Test) {
    let (a, b) = udp_pair(t);
    a.send(b"abcdef").unwrap();
    a.send(b"next").unwrap();
    let mut three = [0; 3];
    t.see("receive", b.recv(&mut three));
    t.see("text", three);
    let mut buf = [0; 16];
    t.see("the next", b.recv(&mut buf));
    t.see("text", &buf[..4]);
}

fn receive_into_nothing(t: &Test) {
    let (a, b) = udp_pair(t);
    a.send(b"abc").unwrap();
    a.send(b"next").unwrap();
    t.see("receive", b.recv(&mut []));
    t.see("the next", b.recv(&mut [0; 16]));
}

fn receive_an_empty_one(t: &Test) {
    let (a, b) = udp_pair(t);
    a.send(b"").unwrap();
    t.see("receive", b.recv(&mut [0; 4]));
    b.set_nonblocking(true).unwrap();
    t.see("no other", b.recv(&mut [0; 4]));
}

fn receive_from_several(t: &Test) {
    let (a, b, c) = (udp(t), udp(t), udp(t));
    let to = c.local_addr().unwrap();
    a.send_to(b"a", to).unwrap();
    b.send_to(b"b", to).unwrap();
    let mut buf = [0; 4];
    for sender in [a, b] {
        t.see("from it", c.recv_from(&mut buf).unwrap().1 == sender.local_addr().unwrap());
    }
}

fn receive_by_the_unspecified_address(t: &Test) {
    let all = UdpSocket::bind((t.unspecified(), 0)).unwrap();
    let port = all.local_addr().unwrap().port();
    let socket = udp(t);
    socket.send_to(b"x", (t.loopback(), port)).unwrap();
    t.see("receive", all.recv_from(&mut [0; 4]));
    let own = UdpSocket::bind((t.own(), 0)).unwrap();
    own.send_to(b"xy", (t.own(), port)).unwrap();
    t.see("receive", all.recv_from(&mut [0; 4]));
}

fn peek_leaves_it(t: &Test) {
    let (a, b) = udp_pair(t);
    a.send(b"abc").unwrap();
    let mut buf = [0; 4];
    t.see("peek", b.peek(&mut buf));
    t.see("again", b.peek(&mut buf));
    t.see("receive", b.recv(&mut buf));
    t.see("text", &buf[..3]);
    b.set_nonblocking(true).unwrap();
    t.see("no more", b.peek(&mut buf));
}

fn peek_from_gives_the_sender(t: &Test) {
    let (a, b) = (udp(t), udp(t));
    a.send_to(b"abc", b.local_addr().unwrap()).unwrap();
    let (n, from) = b.peek_from(&mut [0; 8]).unwrap();
    t.see("length", n);
    t.see("sender", from == a.local_addr().unwrap());
    t.see("receive", b.recv_from(&mut [0; 8]).unwrap().1 == from);
}

fn peek_into_too_little(t: &Test) {
    let (a, b) = udp_pair(t);
    a.send(b"abcdef").unwrap();
    t.see("peek", b.peek(&mut [0; 2]));
    t.see("receive", b.recv(&mut [0; 16]));
}

fn connect_gives_an_address(t: &Test) {
    let (all, peer) = (UdpSocket::bind((t.unspecified(), 0)).unwrap(), udp(t));
    t.see("before", all.local_addr());
    t.see("connect", all.connect(peer.local_addr().unwrap()));
    t.see("after", all.local_addr());
    t.see("peer", all.peer_addr());
}

fn connect_filters(t: &Test) {
    let ((a, b), c) = (udp_pair(t), udp(t));
    c.send_to(b"stranger", a.local_addr().unwrap()).unwrap();
    b.send(b"peer").unwrap();
    let mut buf = [0; 16];
    t.see("receive", a.recv(&mut buf));
    a.set_nonblocking(true).unwrap();
    t.see("no other", a.recv(&mut buf));
}

fn connect_keeps_what_was_received(t: &Test) {
    let (a, b, c) = (udp(t), udp(t), udp(t));
    c.send_to(b"stranger", a.local_addr().unwrap()).unwrap();
    t.see("arrived", a.peek(&mut [0; 16]));
    a.connect(b.local_addr().unwrap()).unwrap();
    t.see("receive", a.recv(&mut [0; 16]));
}

fn connect_again(t: &Test) {
    let ((a, _b), c) = (udp_pair(t), udp(t));
    t.see("connect", a.connect(c.local_addr().unwrap()));
    t.see("the new peer", a.peer_addr().unwrap() == c.local_addr().unwrap());
    a.send(b"x").unwrap();
    t.see("receive", c.recv(&mut [0; 4]));
}

fn connect_to_port_zero(t: &Test) {
    let socket = udp(t);
    t.see("connect", socket.connect(t.any()));
    t.see("peer", socket.peer_addr());
}

fn connect_to_unspecified(t: &Test) {
    let (a, b) = (udp(t), udp(t));
    t.see("connect", a.connect((t.unspecified(), b.local_addr().unwrap().port())));
    t.see("peer", a.peer_addr());
    t.see("send", a.send(b"x"));
    b.set_read_timeout(Some(20_000 * MS)).unwrap();
    t.see("receive", b.recv(&mut [0; 4]));
}

fn connect_to_the_other_family(t: &Test) {
    let other = t.pick(IpAddr::from(Ipv6Addr::LOCALHOST), Ipv4Addr::LOCALHOST.into());
    t.see("connect", udp(t).connect((other, 9)));
}

fn connect_to_elsewhere(t: &Test) {
    let socket = UdpSocket::bind((t.unspecified(), 0)).unwrap();
    t.see("connect", socket.connect((t.elsewhere(), 9)));
    t.see("peer", socket.peer_addr());
}

fn connect_to_a_group(t: &Test) {
    let socket = UdpSocket::bind((t.own(), 0)).unwrap();
    t.see("connect", socket.connect((t.group(), 9)));
}

fn connect_to_broadcast(t: &Test) {
    let socket = UdpSocket::bind((Ipv4Addr::new(192, 0, 2, 1), 0)).unwrap();
    t.see("connect", socket.connect((Ipv4Addr::new(192, 0, 2, 255), 9)));
    t.see("peer", socket.peer_addr());
    socket.set_broadcast(true).unwrap();
    t.see("with leave", socket.connect((Ipv4Addr::new(192, 0, 2, 255), 9)));
}

fn connect_to_no_address(t: &Test) {
    t.see("connect", udp(t).connect(&[][..]));
}

fn connect_to_the_first_that_can_be(t: &Test) {
    let (a, b) = (UdpSocket::bind((t.unspecified(), 0)).unwrap(), udp(t));
    t.see("connect", a.connect(&[SocketAddr::new(t.elsewhere(), 9), b.local_addr().unwrap()][..]));
    t.see("it", a.peer_addr().unwrap() == b.local_addr().unwrap());
}

fn peer_addr_without_a_peer(t: &Test) {
    t.see("peer", udp(t).peer_addr());
}

fn peer_addr_with_a_peer(t: &Test) {
    let (a, b) = udp_pair(t);
    t.see("peer", a.peer_addr().unwrap() == b.local_addr().unwrap());
    t.see("of a clone", a.try_clone().unwrap().peer_addr().unwrap() == b.local_addr().unwrap());
}

fn local_addr_of_a_clone(t: &Test) {
    let socket = udp(t);
    t.see("same", socket.try_clone().unwrap().local_addr().unwrap() == socket.local_addr().unwrap());
}

fn clone_receives_too(t: &Test) {
    let (a, b) = udp_pair(t);
    let clone = b.try_clone().unwrap();
    a.send(b"one").unwrap();
    a.send(b"three").unwrap();
    t.see("clone", clone.recv(&mut [0; 8]));
    t.see("first", b.recv(&mut [0; 8]));
}

fn clone_keeps_it_open(t: &Test) {
    let (a, b) = udp_pair(t);
    let addr = b.local_addr().unwrap();
    let clone = b.try_clone().unwrap();
    drop(b);
    t.see("bind", UdpSocket::bind(addr).map(drop));
    a.send(b"x").unwrap();
    t.see("receive", clone.recv(&mut [0; 4]));
}

/// A socket whose peer is nobody, and that will be told so.
fn refused(t: &Test) -> UdpSocket {
    let socket = udp(t);
    socket.connect(udp(t).local_addr().unwrap()).unwrap();
    socket.send(b"anybody?").unwrap();
    socket
}

fn a_refusal_is_told_once(t: &Test) {
    let socket = refused(t);
    t.at_once("receive", || socket.recv(&mut [0; 4]));
    socket.set_read_timeout(Some(20 * MS)).unwrap();
    t.see("again", socket.recv(&mut [0; 4]));
}

fn a_refusal_without_a_peer(t: &Test) {
    let socket = udp(t);
    socket.send_to(b"anybody?", udp(t).local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(50 * MS)).unwrap();
    t.see("receive", socket.recv(&mut [0; 4]));
}

fn a_refusal_fails_the_next_send(t: &Test) {
    let socket = refused(t);
    let mut told = None;
    soon(|| {
        told = socket.send(b"x").err();
        told.is_some()
    });
    t.see("send", told);
}

fn a_refusal_is_taken(t: &Test) {
    let socket = refused(t);
    let mut told = None;
    soon(|| {
        told = socket.take_error().unwrap();
        told.is_some()
    });
    t.see("error", told);
    t.see("again", socket.take_error());
    socket.set_read_timeout(Some(20 * MS)).unwrap();
    t.see("receive", socket.recv(&mut [0; 4]));
}

fn take_error_of_a_fresh_one(t: &Test) {
    t.see("error", udp(t).take_error());
}

fn broadcast_by_default(t: &Test) {
    t.see("broadcast", udp(t).broadcast());
}

fn broadcast_is_kept(t: &Test) {
    let socket = udp(t);
    t.see("set", socket.set_broadcast(true));
    t.see("get", socket.broadcast());
    t.see("set back", socket.set_broadcast(false));
    t.see("get", socket.broadcast());
}

fn ttl_by_default(t: &Test) {
    t.see("ttl", UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().ttl());
    t.see("here", udp(t).ttl());
}

fn ttl_is_kept(t: &Test) {
    let socket = udp(t);
    for ttl in [1, 100, 255] {
        t.see("set", socket.set_ttl(ttl));
        t.see("get", socket.ttl());
    }
}

fn ttl_out_of_range(t: &Test) {
    let socket = udp(t);
    t.see("zero", socket.set_ttl(0));
    t.see("256", socket.set_ttl(256));
    t.see("get", socket.ttl());
}

fn multicast_ttl_by_default(t: &Test) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    t.see("ttl", socket.multicast_ttl_v4());
}

fn multicast_ttl_is_kept(t: &Test) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    for ttl in [0, 1, 7, 255] {
        t.see("set", socket.set_multicast_ttl_v4(ttl));
        t.see("get", socket.multicast_ttl_v4());
    }
}

fn multicast_ttl_out_of_range(t: &Test) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    t.see("set", socket.set_multicast_ttl_v4(256));
    t.see("get", socket.multicast_ttl_v4());
}

fn multicast_loop_by_default(t: &Test) {
    let socket = udp(t);
    t.see("loop", t.pick(socket.multicast_loop_v4(), socket.multicast_loop_v6()));
}

fn multicast_loop_is_kept(t: &Test) {
    let socket = udp(t);
    for looped in [false, true] {
        t.see("set", t.pick(socket.set_multicast_loop_v4(looped), Ok(())));
        t.see("get", t.pick(socket.multicast_loop_v4(), Ok(looped)));
        t.see(
            "set",
            t.pick(Ok(()), if t.loopback().is_ipv6() { socket.set_multicast_loop_v6(looped) } else { Ok(()) }),
        );
        t.see("get", if t.loopback().is_ipv6() { socket.multicast_loop_v6() } else { Ok(looped) });
    }
}

/// A socket that may join groups: on all addresses.
fn listener(t: &Test) -> UdpSocket {
    UdpSocket::bind((t.unspecified(), 0)).unwrap()
}

/// The number of the link.
fn link() -> u32 {
    super::net::link()
}

fn join(t: &Test, socket: &UdpSocket) -> std::io::Result<()> {
    match t.own_group() {
        IpAddr::V4(group) => socket.join_multicast_v4(&group, &Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(group) => socket.join_multicast_v6(&group, link()),
    }
}

fn leave(t: &Test, socket: &UdpSocket) -> std::io::Result<()> {
    match t.own_group() {
        IpAddr::V4(group) => socket.leave_multicast_v4(&group, &Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(group) => socket.leave_multicast_v6(&group, link()),
    }
}

/// A socket that sends to groups by the link.
fn sender(t: &Test) -> UdpSocket {
    UdpSocket::bind((t.own(), 0)).unwrap()
}

/// Where `to` hears the group, from the link.
fn group_of(t: &Test, to: &UdpSocket) -> SocketAddr {
    match (t.own_group(), to.local_addr().unwrap().port()) {
        (IpAddr::V4(group), port) => (group, port).into(),
        (IpAddr::V6(group), port) => std::net::SocketAddrV6::new(group, port, 0, link()).into(),
    }
}

fn multicast_join_and_hear(t: &Test) {
    let (to, from) = (listener(t), sender(t));
    t.see("join", join(t, &to));
    t.see("send", from.send_to(b"all", group_of(t, &to)));
    to.set_read_timeout(Some(20_000 * MS)).unwrap();
    t.see("receive", to.recv_from(&mut [0; 8]));
}

fn multicast_is_not_heard_without_loop(t: &Test) {
    let (to, from) = (listener(t), sender(t));
    join(t, &to).unwrap();
    if t.loopback().is_ipv4() {
        from.set_multicast_loop_v4(false).unwrap();
    } else {
        from.set_multicast_loop_v6(false).unwrap();
    }
    t.see("send", from.send_to(b"all", group_of(t, &to)));
    to.set_read_timeout(Some(30 * MS)).unwrap();
    t.see("receive", to.recv_from(&mut [0; 8]));
}

fn multicast_join_twice(t: &Test) {
    let to = listener(t);
    t.see("once", join(t, &to));
    t.see("twice", join(t, &to));
    t.see("leave", leave(t, &to));
    t.see("once more", join(t, &to));
}

fn multicast_leave_what_was_not_joined(t: &Test) {
    t.see("leave", leave(t, &listener(t)));
}

fn multicast_join_no_group(t: &Test) {
    let socket = listener(t);
    t.see(
        "join",
        match t.own() {
            IpAddr::V4(own) => socket.join_multicast_v4(&own, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(own) => socket.join_multicast_v6(&own, 0),
        },
    );
    t.see(
        "leave",
        match t.own() {
            IpAddr::V4(own) => socket.leave_multicast_v4(&own, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(own) => socket.leave_multicast_v6(&own, 0),
        },
    );
}

fn multicast_join_on_an_interface_that_is_none(t: &Test) {
    let socket = listener(t);
    t.see(
        "join",
        match t.group() {
            IpAddr::V4(group) => socket.join_multicast_v4(&group, &Ipv4Addr::new(203, 0, 113, 9)),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, 999),
        },
    );
}

fn multicast_leave_and_hear_no_more(t: &Test) {
    let (to, from) = (listener(t), sender(t));
    join(t, &to).unwrap();
    leave(t, &to).unwrap();
    from.send_to(b"all", group_of(t, &to)).unwrap();
    to.set_read_timeout(Some(30 * MS)).unwrap();
    t.see("receive", to.recv_from(&mut [0; 8]));
}

fn debug_names_it(t: &Test) {
    let socket = udp(t);
    let text = format!("{socket:?}");
    t.see("the type", text.starts_with("UdpSocket {"));
    t.see("the address", text.contains(&format!("addr: {}", socket.local_addr().unwrap())));
}
