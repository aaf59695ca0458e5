//! Sockets that are neither bound nor connected, and what is decided before they are.

use super::net::{TcpListener, TcpStream};
use super::opt::Unbound;
use super::*;
use std::io::Read;
use std::thread;

cases![
    reuse_address_is_needed_in_time_wait,
    reuse_address_does_not_share,
    reuse_port_shares,
    reuse_port_must_be_wanted_by_both,
    reuse_port_hears_each_peer_once,
    only_v6_leaves_ipv4_to_others,
    bind_before_connect,
    bind_before_connect_to_a_port,
    bind_twice_is_invalid,
    bind_to_the_other_family,
    bind_to_a_foreign_address,
    listen_without_bind,
    connect_to_the_other_family,
];

/// A listener bound to `addr`.
fn bound(t: &Test, addr: SocketAddr, prepare: impl FnOnce(&mut Unbound)) -> std::io::Result<TcpListener> {
    let mut socket = Unbound::new(t);
    prepare(&mut socket);
    socket.bind(addr)?;
    socket.listen()
}

fn reuse_address_is_needed_in_time_wait(t: &Test) {
    let (listener, addr) = listen(t);
    let mut near = TcpStream::connect(addr).unwrap();
    let (far, _) = listener.accept().unwrap();
    drop((far, listener));
    t.see("the end", near.read(&mut [0; 1]));
    drop(near);
    thread::sleep(20 * MS);
    t.see("without", bound(t, addr, |_| ()).map(drop));
    t.see("with", bound(t, addr, |socket| socket.reuse_address(true).unwrap()).map(drop));
}

fn reuse_address_does_not_share(t: &Test) {
    let (_listener, addr) = listen(t);
    t.see("again", bound(t, addr, |socket| socket.reuse_address(true).unwrap()).map(drop));
}

fn reuse_port_shares(t: &Test) {
    let share = |socket: &mut Unbound| socket.reuse_port(true).unwrap();
    let first = bound(t, t.any(), share).unwrap();
    let addr = first.local_addr().unwrap();
    t.see("second", bound(t, addr, share).map(drop));
    t.see("third", bound(t, addr, share).map(drop));
}

fn reuse_port_must_be_wanted_by_both(t: &Test) {
    let share = |socket: &mut Unbound| socket.reuse_port(true).unwrap();
    let (_listener, addr) = listen(t);
    t.see("the second wants", bound(t, addr, share).map(drop));
    let first = bound(t, t.any(), share).unwrap();
    t.see("the first wants", TcpListener::bind(first.local_addr().unwrap()).map(drop));
}

fn reuse_port_hears_each_peer_once(t: &Test) {
    let share = |socket: &mut Unbound| socket.reuse_port(true).unwrap();
    let first = bound(t, t.any(), share).unwrap();
    let addr = first.local_addr().unwrap();
    let second = bound(t, addr, share).unwrap();
    let near: Vec<TcpStream> = (0..12).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let mut heard = 0;
    soon(|| {
        for listener in [&first, &second] {
            listener.set_nonblocking(true).unwrap();
            while listener.accept().is_ok() {
                heard += 1;
            }
        }
        heard >= near.len()
    });
    t.see("all", heard == near.len());
}

fn only_v6_leaves_ipv4_to_others(t: &Test) {
    if t.loopback().is_ipv4() {
        t.see("IPv4 has no such option", true);
        return;
    }
    let all: SocketAddr = (t.unspecified(), 0).into();
    let listener = bound(t, all, |socket| socket.only_v6(true).unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    t.see("IPv4", TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, port)).map(drop));
}

fn bind_before_connect(t: &Test) {
    let (_listener, addr) = listen(t);
    let mut socket = Unbound::new(t);
    t.see("bind", socket.bind(t.any()));
    t.see("address", socket.connect(addr).and_then(|near| near.local_addr()));
}

fn bind_before_connect_to_a_port(t: &Test) {
    let (_listener, addr) = listen(t);
    let own = nobody(t);
    let mut socket = Unbound::new(t);
    socket.bind(own).unwrap();
    let near = socket.connect(addr).unwrap();
    t.see("the port", near.local_addr().unwrap() == own);
}

fn bind_twice_is_invalid(t: &Test) {
    let mut socket = Unbound::new(t);
    socket.bind(SocketAddr::new(t.loopback(), nobody(t).port())).unwrap();
    t.see("again", socket.bind(t.any()));
}

fn bind_to_the_other_family(t: &Test) {
    let other: SocketAddr = t.pick("[::1]:0", "127.0.0.1:0").parse().unwrap();
    let bound = Unbound::new(t).bind(other);
    // The kernel's IPv6 tells by the length of the address that it is none.
    t.see("bind", t.pick(bound, Err(std::io::ErrorKind::InvalidInput.into())));
}

fn bind_to_a_foreign_address(t: &Test) {
    t.see("bind", Unbound::new(t).bind(SocketAddr::new(t.neighbour(), 0)));
}

fn listen_without_bind(t: &Test) {
    t.see("address", Unbound::new(t).listen().and_then(|listener| listener.local_addr()));
}

fn connect_to_the_other_family(t: &Test) {
    let other: SocketAddr = t.pick("[::1]:9", "127.0.0.1:9").parse().unwrap();
    t.see(
        "connect",
        Unbound::new(t).connect(other).map(drop).map_err(|e| match t.loopback().is_ipv4() {
            true => e,
            // IPv6's would be refused by IPv4.
            false => std::io::ErrorKind::Other.into(),
        }),
    );
}
