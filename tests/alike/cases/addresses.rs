//! `ToSocketAddrs`, and addresses of either family.

use super::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use super::*;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

cases![
    of_a_socket_addr,
    of_an_ip_and_a_port,
    of_typed_ips,
    of_typed_socket_addrs,
    of_a_text,
    of_a_string,
    of_a_text_and_a_port,
    of_a_string_and_a_port,
    of_a_slice,
    of_a_vector,
    of_references,
    of_a_text_without_a_port,
    of_a_text_with_a_bad_port,
    of_an_empty_text,
    of_brackets_around_ipv4,
    of_ipv6_without_brackets,
    keeps_the_scope,
    connect_by_text,
    bind_by_text,
    send_by_text,
    mapped_connects_over_ipv4,
    mapped_is_seen_by_a_listener,
    mapped_bind,
    mapped_datagrams,
    unspecified_ipv6_datagrams_take_ipv4,
    all_of_loopback_is_ours,
];

/// All that `from` stands for.
fn all(from: impl ToSocketAddrs) -> std::io::Result<String> {
    Ok(from.to_socket_addrs()?.map(|addr| addr.to_string()).collect::<Vec<_>>().join(", "))
}

fn of_a_socket_addr(t: &Test) {
    t.see("one", all(SocketAddr::new(t.own(), 80)));
}

fn of_an_ip_and_a_port(t: &Test) {
    t.see("one", all((t.own(), 80)));
}

fn of_typed_ips(t: &Test) {
    t.see("one", t.pick(all((Ipv4Addr::LOCALHOST, 8)), all((Ipv6Addr::LOCALHOST, 8))));
}

fn of_typed_socket_addrs(t: &Test) {
    let (v4, v6) = (SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8), SocketAddrV6::new(Ipv6Addr::LOCALHOST, 8, 0, 0));
    t.see("one", t.pick(all(v4), all(v6)));
}

fn of_a_text(t: &Test) {
    t.see("one", all(t.pick("192.0.2.1:80", "[2001:db8::1]:80")));
}

fn of_a_string(t: &Test) {
    t.see("one", all(t.pick("192.0.2.1:80", "[2001:db8::1]:80").to_string()));
}

fn of_a_text_and_a_port(t: &Test) {
    t.see("one", all((t.pick("192.0.2.1", "2001:db8::1"), 80)));
}

fn of_a_string_and_a_port(t: &Test) {
    t.see("one", all((t.pick("192.0.2.1", "2001:db8::1").to_string(), 80)));
}

fn of_a_slice(t: &Test) {
    let two = [SocketAddr::new(t.own(), 1), SocketAddr::new(t.loopback(), 2)];
    t.see("two", all(&two[..]));
    t.see("none", all(&[][..]));
}

fn of_a_vector(t: &Test) {
    let two = vec![SocketAddr::new(t.own(), 1), SocketAddr::new(t.loopback(), 2)];
    t.see("two", all(two.as_slice()));
    t.see("into", all(&*two));
}

fn of_references(t: &Test) {
    let addr = SocketAddr::new(t.own(), 80);
    let (one, deeper) = (&addr, &&addr);
    t.see("one", all(one));
    t.see("deeper", all(deeper));
}

fn of_a_text_without_a_port(t: &Test) {
    t.see("no port", all(t.pick("192.0.2.1", "2001-db8--1")));
}

fn of_a_text_with_a_bad_port(t: &Test) {
    t.see("letters", all(t.pick("192.0.2.1:x", "[2001:db8::1]:x")));
    t.see("too large", all(t.pick("192.0.2.1:65536", "[2001:db8::1]:65536")));
    t.see("negative", all(t.pick("192.0.2.1:-1", "[2001:db8::1]:-1")));
    t.see("empty", all(t.pick("192.0.2.1:", "[2001:db8::1]:")));
}

fn of_an_empty_text(t: &Test) {
    t.see("nothing", all(""));
}

fn of_brackets_around_ipv4(t: &Test) {
    t.see("a literal", "[192.0.2.1]:80".parse::<SocketAddr>().is_err());
}

fn of_ipv6_without_brackets(t: &Test) {
    t.see("one", all(("::1", 80)));
}

fn keeps_the_scope(t: &Test) {
    t.see("one", all(SocketAddrV6::new("fe80::1".parse().unwrap(), 80, 7, 3)));
    t.see("text", all("[fe80::1%3]:80"));
}

fn connect_by_text(t: &Test) {
    let (_listener, addr) = listen(t);
    t.see("peer", TcpStream::connect(addr.to_string()).and_then(|near| near.peer_addr()));
}

fn bind_by_text(t: &Test) {
    let text = t.pick("127.0.0.1:0", "[::1]:0");
    t.see("listener", TcpListener::bind(text).and_then(|listener| listener.local_addr()));
    t.see("datagrams", UdpSocket::bind(text).and_then(|socket| socket.local_addr()));
}

fn send_by_text(t: &Test) {
    let (a, b) = (udp(t), udp(t));
    t.see("send", a.send_to(b"x", b.local_addr().unwrap().to_string()));
    t.see("receive", b.recv(&mut [0; 4]));
}

/// `::ffff:127.0.0.1`.
fn mapped() -> IpAddr {
    Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()
}

fn mapped_connects_over_ipv4(t: &Test) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect((mapped(), listener.local_addr().unwrap().port())).unwrap();
    t.see("own", near.local_addr());
    t.see("peer", near.peer_addr());
    t.see("seen from there", listener.accept().map(|(_, peer)| peer));
}

fn mapped_is_seen_by_a_listener(t: &Test) {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let mut near = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port())).unwrap();
    let (mut far, peer) = listener.accept().unwrap();
    t.see("peer", peer);
    t.see("far", far.local_addr());
    near.write_all(b"x").unwrap();
    t.see("read", far.read(&mut [0; 4]));
}

fn mapped_bind(t: &Test) {
    let listener = TcpListener::bind((mapped(), 0));
    t.see("address", listener.as_ref().map(|listener| listener.local_addr().unwrap()).map_err(|e| e.kind().into()));
    if let Ok(listener) = listener {
        let near = TcpStream::connect((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()));
        t.see("connect", near.map(drop));
        t.see("peer", listener.accept().map(|(_, peer)| peer));
    }
}

fn mapped_datagrams(t: &Test) {
    let (a, b) =
        (UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap(), UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    t.see("send", a.send_to(b"x", (mapped(), b.local_addr().unwrap().port())));
    let (_, from) = b.recv_from(&mut [0; 4]).unwrap();
    t.see("from", from);
    b.send_to(b"yz", from).unwrap();
    t.see("back", a.recv_from(&mut [0; 4]));
}

fn unspecified_ipv6_datagrams_take_ipv4(t: &Test) {
    let all = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let socket = udp(t);
    socket.send_to(b"x", (t.loopback(), all.local_addr().unwrap().port())).unwrap();
    t.see("receive", all.recv_from(&mut [0; 4]));
    t.see("IPv4 on the port", UdpSocket::bind((Ipv4Addr::UNSPECIFIED, all.local_addr().unwrap().port())).map(drop));
}

fn all_of_loopback_is_ours(t: &Test) {
    let other = t.pick(IpAddr::from(Ipv4Addr::new(127, 9, 8, 7)), Ipv6Addr::LOCALHOST.into());
    let listener = TcpListener::bind((other, 0)).unwrap();
    t.see("address", listener.local_addr());
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    t.see("near", near.local_addr());
}
