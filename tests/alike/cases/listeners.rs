//! `TcpListener` and `Incoming`.

use super::net::{TcpListener, TcpStream};
use super::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::thread;

cases![
    bind_gives_a_port,
    bind_to_a_given_port,
    bind_twice,
    bind_twice_to_unspecified,
    bind_to_one_and_to_all,
    bind_to_all_and_to_one,
    bind_to_another_address_of_the_same_port,
    bind_again_after_drop,
    bind_again_while_a_connection_lives,
    bind_again_in_time_wait,
    bind_to_a_foreign_address,
    bind_to_a_group,
    bind_to_broadcast,
    bind_to_the_hosts_address,
    bind_to_the_port_of_a_datagram_socket,
    bind_to_the_first_of_several,
    bind_to_none_of_several,
    bind_to_no_address,
    accept_gives_the_peers_address,
    accept_in_order,
    accept_after_the_peer_has_gone,
    accept_after_the_peer_has_reset,
    accept_does_not_inherit_nonblocking,
    accept_inherits_the_ttl,
    accept_nonblocking_without_a_peer,
    accept_nonblocking_with_a_peer,
    accept_waits,
    nonblocking_can_be_taken_back,
    nonblocking_is_shared_by_clones,
    clone_accepts_too,
    clone_keeps_it_open,
    clone_has_the_same_address,
    drop_refuses_new_peers,
    drop_resets_who_was_not_accepted,
    incoming_gives_streams,
    incoming_nonblocking,
    incoming_by_reference,
    local_addr_of_unspecified,
    ttl_by_default,
    ttl_is_kept,
    ttl_of_zero,
    ttl_of_256,
    take_error_of_a_fresh_one,
    take_error_after_a_refusal,
    only_v6_cannot_be_changed,
    both_families_on_unspecified,
    many_wait_to_be_accepted,
    debug_names_it,
];

fn bind_gives_a_port(t: &Test) {
    let listener = TcpListener::bind(t.any());
    t.see("bind", listener.as_ref().map(drop).map_err(kind));
    t.see("address", listener.unwrap().local_addr());
}

fn kind(e: &std::io::Error) -> std::io::Error {
    e.kind().into()
}

fn bind_to_a_given_port(t: &Test) {
    let port = nobody(t).port();
    let listener = TcpListener::bind((t.loopback(), port)).unwrap();
    t.see("the port asked for", listener.local_addr().unwrap().port() == port);
}

fn bind_twice(t: &Test) {
    let (_listener, addr) = listen(t);
    t.see("again", TcpListener::bind(addr).map(drop));
    t.see("and again", TcpListener::bind(addr).map(drop));
}

fn bind_twice_to_unspecified(t: &Test) {
    let listener = TcpListener::bind((t.unspecified(), 0)).unwrap();
    t.see("again", TcpListener::bind(listener.local_addr().unwrap()).map(drop));
}

fn bind_to_one_and_to_all(t: &Test) {
    let (_listener, addr) = listen(t);
    t.see("all", TcpListener::bind((t.unspecified(), addr.port())).map(drop));
}

fn bind_to_all_and_to_one(t: &Test) {
    let listener = TcpListener::bind((t.unspecified(), 0)).unwrap();
    t.see("one", TcpListener::bind((t.loopback(), listener.local_addr().unwrap().port())).map(drop));
}

fn bind_to_another_address_of_the_same_port(t: &Test) {
    let (_listener, addr) = listen(t);
    t.see("another address", TcpListener::bind((t.own(), addr.port())).map(drop));
}

fn bind_again_after_drop(t: &Test) {
    let (listener, addr) = listen(t);
    drop(listener);
    t.see("again", TcpListener::bind(addr).map(drop));
}

fn bind_again_while_a_connection_lives(t: &Test) {
    let (listener, addr) = listen(t);
    let _near = TcpStream::connect(addr).unwrap();
    let _far = listener.accept().unwrap();
    drop(listener);
    t.see("again", TcpListener::bind(addr).map(drop));
}

fn bind_again_in_time_wait(t: &Test) {
    let (listener, addr) = listen(t);
    let mut near = TcpStream::connect(addr).unwrap();
    let (far, _) = listener.accept().unwrap();
    drop((far, listener));
    t.see("the end", near.read(&mut [0; 1]));
    drop(near);
    t.see("again", TcpListener::bind(addr).map(drop));
}

fn bind_to_a_foreign_address(t: &Test) {
    t.see("bind", TcpListener::bind((t.neighbour(), 0)).map(drop));
    t.see("with a port", TcpListener::bind((t.neighbour(), 8080)).map(drop));
}

fn bind_to_a_group(t: &Test) {
    t.see("bind", TcpListener::bind((t.group(), 0)).map(drop));
}

fn bind_to_broadcast(t: &Test) {
    // IPv6 has none; there it is the group of all nodes.
    let all = t.pick("255.255.255.255".parse().unwrap(), "ff02::1".parse::<std::net::IpAddr>().unwrap());
    t.see("bind", TcpListener::bind((all, 0)).map(drop));
}

fn bind_to_the_hosts_address(t: &Test) {
    let listener = TcpListener::bind((t.own(), 0)).unwrap();
    t.see("address", listener.local_addr());
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    t.see("near", near.local_addr());
    t.see("peer", listener.accept().map(|(_, peer)| peer));
}

fn bind_to_the_port_of_a_datagram_socket(t: &Test) {
    // A connection of another test may have the number at the moment, but not time and again.
    let bind = |_| {
        let socket = udp(t);
        TcpListener::bind(socket.local_addr().unwrap()).map(drop)
    };
    t.see("bind", (0..20).map(bind).find(Result::is_ok));
}

fn bind_to_the_first_of_several(t: &Test) {
    let foreign = SocketAddr::new(t.neighbour(), 0);
    let listener = TcpListener::bind(&[foreign, t.any(), SocketAddr::new(t.own(), 0)][..]).unwrap();
    t.see("address", listener.local_addr());
}

fn bind_to_none_of_several(t: &Test) {
    let (_listener, taken) = listen(t);
    let foreign = SocketAddr::new(t.neighbour(), 0);
    t.see("the last error", TcpListener::bind(&[taken, foreign][..]).map(drop));
    t.see("the other way round", TcpListener::bind(&[foreign, taken][..]).map(drop));
}

fn bind_to_no_address(t: &Test) {
    t.see("bind", TcpListener::bind(&[][..]).map(drop));
}

fn accept_gives_the_peers_address(t: &Test) {
    let (listener, addr) = listen(t);
    let near = TcpStream::connect(addr).unwrap();
    let (far, peer) = listener.accept().unwrap();
    t.see("peer", peer);
    t.see("is the near end", peer == near.local_addr().unwrap());
    t.see("far's peer", far.peer_addr().unwrap() == peer);
    t.see("far's own", far.local_addr().unwrap() == addr);
}

fn accept_in_order(t: &Test) {
    let (listener, addr) = listen(t);
    let near: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let order: Vec<bool> = near.iter().map(|near| listener.accept().unwrap().1 == near.local_addr().unwrap()).collect();
    t.see("in order", order.iter().all(|same| *same));
}

fn accept_after_the_peer_has_gone(t: &Test) {
    let (listener, addr) = listen(t);
    let mut near = TcpStream::connect(addr).unwrap();
    near.write_all(b"last words").unwrap();
    drop(near);
    let (mut far, _) = listener.accept().unwrap();
    let mut all = Vec::new();
    t.see("read", far.read_to_end(&mut all));
    t.see("text", all);
    t.see("peer", far.peer_addr());
}

fn accept_after_the_peer_has_reset(t: &Test) {
    let (listener, addr) = listen(t);
    let near = TcpStream::connect(addr).unwrap();
    set_linger(&near, Some(Duration::ZERO)).unwrap();
    drop(near);
    // The reset may arrive a little later.
    thread::sleep(50 * MS);
    let accepted = listener.accept();
    t.see("accept", accepted.as_ref().map(|(_, peer)| *peer).map_err(kind));
    t.see("read", accepted.unwrap().0.read(&mut [0; 1]));
}

fn accept_does_not_inherit_nonblocking(t: &Test) {
    let (listener, addr) = listen(t);
    listener.set_nonblocking(true).unwrap();
    let _near = TcpStream::connect(addr).unwrap();
    let mut accepted = None;
    t.see(
        "accepted",
        soon(|| {
            accepted = listener.accept().ok();
            accepted.is_some()
        }),
    );
    let (mut far, _) = accepted.unwrap();
    far.set_read_timeout(Some(30 * MS)).unwrap();
    t.timed("read", 30 * MS, || far.read(&mut [0; 1]));
}

fn accept_inherits_the_ttl(t: &Test) {
    let (listener, addr) = listen(t);
    listener.set_ttl(33).unwrap();
    let near = TcpStream::connect(addr).unwrap();
    let (far, _) = listener.accept().unwrap();
    t.see("far", far.ttl());
    t.see("near", near.ttl());
}

fn accept_nonblocking_without_a_peer(t: &Test) {
    let (listener, _) = listen(t);
    listener.set_nonblocking(true).unwrap();
    t.at_once("accept", || listener.accept().map(drop));
}

fn accept_nonblocking_with_a_peer(t: &Test) {
    let (listener, addr) = listen(t);
    listener.set_nonblocking(true).unwrap();
    let near = TcpStream::connect(addr).unwrap();
    t.see("accept", soon(|| listener.accept().is_ok()));
    t.see("and no other", listener.accept().map(drop));
    drop(near);
}

fn accept_waits(t: &Test) {
    let (listener, addr) = listen(t);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| listener.accept().map(|(_, peer)| peer));
        thread::sleep(30 * MS);
        let near = TcpStream::connect(addr).unwrap();
        t.see("the peer", waiting.join().unwrap().unwrap() == near.local_addr().unwrap());
    });
}

fn nonblocking_can_be_taken_back(t: &Test) {
    let (listener, addr) = listen(t);
    listener.set_nonblocking(true).unwrap();
    t.see("accept", listener.accept().map(drop));
    listener.set_nonblocking(false).unwrap();
    let _near = TcpStream::connect(addr).unwrap();
    t.see("accept", listener.accept().map(|(_, peer)| peer));
}

fn nonblocking_is_shared_by_clones(t: &Test) {
    let (listener, _) = listen(t);
    let clone = listener.try_clone().unwrap();
    listener.set_nonblocking(true).unwrap();
    t.at_once("the clone's accept", || clone.accept().map(drop));
}

fn clone_accepts_too(t: &Test) {
    let (listener, addr) = listen(t);
    let clone = listener.try_clone().unwrap();
    let near = TcpStream::connect(addr).unwrap();
    t.see("by the clone", clone.accept().unwrap().1 == near.local_addr().unwrap());
}

fn clone_keeps_it_open(t: &Test) {
    let (listener, addr) = listen(t);
    let clone = listener.try_clone();
    drop(listener);
    t.see("connect", TcpStream::connect(addr).map(drop));
    drop(clone);
    t.see("connect again", TcpStream::connect(addr).map(drop));
}

fn clone_has_the_same_address(t: &Test) {
    let (listener, addr) = listen(t);
    t.see("same", listener.try_clone().unwrap().local_addr().unwrap() == addr);
}

fn drop_refuses_new_peers(t: &Test) {
    let (listener, addr) = listen(t);
    drop(listener);
    t.at_once("connect", || TcpStream::connect(addr).map(drop));
}

fn drop_resets_who_was_not_accepted(t: &Test) {
    let (listener, addr) = listen(t);
    let mut near = TcpStream::connect(addr).unwrap();
    drop(listener);
    t.see("read", near.read(&mut [0; 1]));
    t.see("write", near.write(b"x"));
}

fn incoming_gives_streams(t: &Test) {
    let (listener, addr) = listen(t);
    let near: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for (near, far) in near.iter().zip(listener.incoming()) {
        t.see("the same", far.unwrap().peer_addr().unwrap() == near.local_addr().unwrap());
    }
}

fn incoming_nonblocking(t: &Test) {
    let (listener, _) = listen(t);
    listener.set_nonblocking(true).unwrap();
    let mut incoming = listener.incoming();
    t.see("one", incoming.next().map(|stream| stream.map(drop)));
    t.see("another", incoming.next().map(|stream| stream.map(drop)));
}

fn incoming_by_reference(t: &Test) {
    let (listener, addr) = listen(t);
    let _near = TcpStream::connect(addr).unwrap();
    let reference = &listener;
    t.see("first", reference.incoming().next().map(|stream| stream.map(drop)));
    t.see("size", listener.incoming().size_hint().1);
}

fn local_addr_of_unspecified(t: &Test) {
    let listener = TcpListener::bind((t.unspecified(), 0)).unwrap();
    t.see("address", listener.local_addr());
    let near = TcpStream::connect((t.loopback(), listener.local_addr().unwrap().port())).unwrap();
    let (far, peer) = listener.accept().unwrap();
    t.see("near", near.local_addr());
    t.see("far", far.local_addr());
    t.see("peer", peer);
}

fn ttl_by_default(t: &Test) {
    t.see("ttl", listen(t).0.ttl());
}

fn ttl_is_kept(t: &Test) {
    let (listener, _) = listen(t);
    for ttl in [1, 100, 255] {
        t.see("set", listener.set_ttl(ttl));
        t.see("get", listener.ttl());
    }
}

fn ttl_of_zero(t: &Test) {
    let (listener, _) = listen(t);
    t.see("set", listener.set_ttl(0));
    t.see("get", listener.ttl());
}

fn ttl_of_256(t: &Test) {
    let (listener, _) = listen(t);
    t.see("set", listener.set_ttl(256));
    t.see("get", listener.ttl());
}

fn take_error_of_a_fresh_one(t: &Test) {
    t.see("error", listen(t).0.take_error());
}

fn take_error_after_a_refusal(t: &Test) {
    let (listener, addr) = listen(t);
    let near = TcpStream::connect(addr).unwrap();
    set_linger(&near, Some(Duration::ZERO)).unwrap();
    drop(near);
    t.see("error", listener.take_error());
}

#[expect(deprecated, reason = "std has it still")]
fn only_v6_cannot_be_changed(t: &Test) {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    t.see("get", listener.only_v6());
    t.see("set", listener.set_only_v6(true));
    t.see("set back", listener.set_only_v6(false));
    t.see("get", listener.only_v6());
}

fn both_families_on_unspecified(t: &Test) {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
    let near = TcpStream::connect((t.loopback(), listener.local_addr().unwrap().port())).unwrap();
    let (far, peer) = listener.accept().unwrap();
    t.see("peer", peer);
    t.see("far", far.local_addr());
    t.see("near", near.peer_addr());
    t.see(
        "IPv4 on the port",
        TcpListener::bind((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port())).map(drop),
    );
}

fn many_wait_to_be_accepted(t: &Test) {
    let (listener, addr) = listen(t);
    let near: Vec<_> = (0..100).map(|_| TcpStream::connect(addr)).collect();
    t.see("all connected", near.iter().all(|near| near.is_ok()));
    t.see("all accepted", (0..100).all(|_| listener.accept().is_ok()));
    listener.set_nonblocking(true).unwrap();
    t.see("no other", listener.accept().map(drop));
}

fn debug_names_it(t: &Test) {
    let (listener, addr) = listen(t);
    let text = format!("{listener:?}");
    t.see("the type", text.starts_with("TcpListener {"));
    t.see("the address", text.contains(&format!("addr: {addr}")));
}
