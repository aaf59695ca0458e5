//! What can be set on a TCP socket of each kind, and what goes over from one to another; and the same of UDP's.

use super::net::TcpStream;
use super::opt::{self, Unbound};
use super::*;
use crate::settings::Settings;

cases![
    nodelay_is_kept,
    cork_is_kept,
    quick_ack_is_kept,
    reuse_address_is_kept,
    reuse_port_is_kept,
    oob_inline_is_kept,
    keepalive_is_kept,
    mark_is_kept,
    syn_retries_are_kept,
    ttl_is_kept,
    tos_is_kept,
    mtu_discovery_is_kept,
    recv_lowat_is_kept,
    window_clamp_is_kept,
    notsent_lowat_is_kept,
    linger_is_kept,
    linger2_is_kept,
    user_timeout_is_kept,
    defer_accept_is_kept,
    read_timeout_is_kept,
    write_timeout_is_kept,
    buffers_are_kept,
    at_first,
    syn_retries_out_of_range,
    ttl_out_of_range,
    type_of_each,
    who_listens,
    no_error_at_first,
    state_of_each,
    mtu_of_each,
    device_of_each,
    accepted_with_the_listeners_settings,
    connected_with_the_sockets_settings,
    listening_with_the_sockets_settings,
    accept_waits_as_long_as_receiving,
    connect_waits_as_long_as_sending,
    datagrams_are_kept_apart,
    datagrams_of_each_kind,
    datagram_reuse_is_kept,
    datagram_address_shared,
    datagram_port_shared,
    datagram_shared_after_it_was_bound,
];

/// Does the same with a TCP socket of each kind.
fn each(t: &Test, act: impl Fn(&str, &mut dyn Settings)) {
    let (mut listener, addr) = listen(t);
    let mut near = TcpStream::connect(addr).unwrap();
    let (mut far, _) = listener.accept().unwrap();
    act("connected", &mut near);
    act("accepted", &mut far);
    act("listening", &mut listener);
    act("unconnected", &mut Unbound::new(t));
}

const S: Duration = Duration::from_secs(1);

macro_rules! kept {
    ($($name:ident: $set:ident $get:ident $values:expr;)*) => {$(
        fn $name(t: &Test) {
            each(t, |kind, socket| {
                for value in $values {
                    t.see(&format!("{kind}, set"), socket.$set(value));
                    t.see(&format!("{kind}, get"), socket.$get());
                }
            });
        }
    )*};
}

kept! {
    nodelay_is_kept: set_nodelay nodelay [true, false];
    cork_is_kept: set_cork cork [true, false];
    quick_ack_is_kept: set_quick_ack quick_ack [true];
    reuse_address_is_kept: set_reuse_address reuse_address [true, false];
    reuse_port_is_kept: set_reuse_port reuse_port [true, false];
    oob_inline_is_kept: set_oob_inline oob_inline [true, false];
    keepalive_is_kept: set_keepalive keepalive [true, false];
    mark_is_kept: set_mark mark [77, 0];
    syn_retries_are_kept: set_syn_retries syn_retries [1, 127];
    ttl_is_kept: set_ttl ttl [1, 255];
    tos_is_kept: set_tos tos [0x48, 0];
    mtu_discovery_is_kept: set_mtu_discovery mtu_discovery [0, 2, 3, 1];
    recv_lowat_is_kept: set_recv_lowat recv_lowat [100, 0];
    window_clamp_is_kept: set_window_clamp window_clamp [Some(5000), Some(3)];
    notsent_lowat_is_kept: set_notsent_lowat notsent_lowat [Some(16_384), None];
    linger_is_kept: set_linger linger [Some(3 * S), Some(Duration::ZERO), None];
    linger2_is_kept: set_linger2 linger2 [Some(5 * S)];
    user_timeout_is_kept: set_user_timeout user_timeout [Some(1234 * MS), None];
    defer_accept_is_kept: set_defer_accept defer_accept [Some(7 * S), None];
    read_timeout_is_kept: set_read_timeout read_timeout [Some(200 * MS), None];
    write_timeout_is_kept: set_write_timeout write_timeout [Some(300 * MS), None];
}

fn buffers_are_kept(t: &Test) {
    each(t, |kind, socket| {
        t.see(&format!("{kind}, receive"), socket.set_recv_buffer_size(40_000));
        t.see(&format!("{kind}, send"), socket.set_send_buffer_size(50_000));
        t.see(&format!("{kind}, at least so much"), socket.recv_buffer_size().map(|bytes| bytes >= 40_000));
        t.see(&format!("{kind}, at least so much"), socket.send_buffer_size().map(|bytes| bytes >= 50_000));
    });
}

fn at_first(t: &Test) {
    each(t, |kind, socket| {
        t.see(&format!("{kind}, nodelay"), socket.nodelay());
        t.see(&format!("{kind}, cork"), socket.cork());
        t.see(&format!("{kind}, reuse port"), socket.reuse_port());
        t.see(&format!("{kind}, keepalive"), socket.keepalive());
        t.see(&format!("{kind}, mark"), socket.mark());
        t.see(&format!("{kind}, TTL"), socket.ttl());
        t.see(&format!("{kind}, TOS"), socket.tos());
        t.see(&format!("{kind}, MTU discovery"), socket.mtu_discovery());
        t.see(&format!("{kind}, low-water mark"), socket.recv_lowat());
        t.see(&format!("{kind}, unsent"), socket.notsent_lowat());
        t.see(&format!("{kind}, linger"), socket.linger());
        t.see(&format!("{kind}, user time-out"), socket.user_timeout());
        t.see(&format!("{kind}, defer accept"), socket.defer_accept());
        t.see(&format!("{kind}, time-outs"), socket.read_timeout());
        t.see(&format!("{kind}, time-outs"), socket.write_timeout());
    });
}

fn syn_retries_out_of_range(t: &Test) {
    each(t, |kind, socket| {
        socket.set_syn_retries(3).unwrap();
        for retries in [0, 128, 256] {
            t.see(&format!("{kind}, set"), socket.set_syn_retries(retries));
        }
        t.see(&format!("{kind}, as before"), socket.syn_retries());
    });
}

fn ttl_out_of_range(t: &Test) {
    each(t, |kind, socket| {
        t.see(&format!("{kind}, set"), socket.set_ttl(256));
        t.see(&format!("{kind}, as before"), socket.ttl());
    });
}

fn type_of_each(t: &Test) {
    each(t, |kind, socket| t.see(kind, socket.kind()));
}

fn who_listens(t: &Test) {
    each(t, |kind, socket| t.see(kind, socket.is_listener()));
}

fn no_error_at_first(t: &Test) {
    each(t, |kind, socket| t.see(kind, socket.pending_error()));
}

fn state_of_each(t: &Test) {
    each(t, |kind, socket| t.see(kind, socket.state()));
}

fn mtu_of_each(t: &Test) {
    each(t, |kind, socket| t.see(kind, socket.mtu().map(|mtu| mtu >= 1280)));
}

fn device_of_each(t: &Test) {
    each(t, |kind, socket| {
        t.see(&format!("{kind}, at first"), socket.device());
        t.see(&format!("{kind}, not there"), socket.bind_device(Some("nonesuch0")));
        t.see(&format!("{kind}, set"), socket.bind_device(Some("tun0")));
        t.see(&format!("{kind}, get"), socket.device());
        t.see(&format!("{kind}, taken back"), socket.bind_device(None));
        t.see(&format!("{kind}, get"), socket.device());
    });
}

/// Sets everything to what it is not at first.
fn set_all(socket: &mut dyn Settings) {
    socket.set_nodelay(true).unwrap();
    socket.set_cork(true).unwrap();
    socket.set_oob_inline(true).unwrap();
    socket.set_keepalive(true).unwrap();
    socket.set_mark(9).unwrap();
    socket.set_syn_retries(4).unwrap();
    socket.set_ttl(33).unwrap();
    socket.set_tos(0x48).unwrap();
    socket.set_mtu_discovery(2).unwrap();
    socket.set_recv_lowat(12).unwrap();
    socket.set_window_clamp(Some(30_000)).unwrap();
    socket.set_notsent_lowat(Some(20_000)).unwrap();
    socket.set_linger(Some(2 * S)).unwrap();
    socket.set_linger2(Some(6 * S)).unwrap();
    socket.set_user_timeout(Some(7000 * MS)).unwrap();
    socket.set_read_timeout(Some(1500 * MS)).unwrap();
    socket.set_write_timeout(Some(2500 * MS)).unwrap();
}

fn see_all(t: &Test, socket: &dyn Settings) {
    t.see("nodelay", socket.nodelay());
    t.see("cork", socket.cork());
    t.see("oob inline", socket.oob_inline());
    t.see("keepalive", socket.keepalive());
    t.see("mark", socket.mark());
    t.see("SYNs", socket.syn_retries());
    t.see("TTL", socket.ttl());
    t.see("TOS", socket.tos());
    t.see("MTU discovery", socket.mtu_discovery());
    t.see("low-water mark", socket.recv_lowat());
    t.see("window clamp", socket.window_clamp());
    t.see("unsent", socket.notsent_lowat());
    t.see("linger", socket.linger());
    t.see("linger2", socket.linger2());
    t.see("user time-out", socket.user_timeout());
    t.see("read time-out", socket.read_timeout());
    t.see("write time-out", socket.write_timeout());
}

fn accepted_with_the_listeners_settings(t: &Test) {
    let (mut listener, addr) = listen(t);
    set_all(&mut listener);
    let _near = TcpStream::connect(addr).unwrap();
    see_all(t, &listener.accept().unwrap().0);
}

fn connected_with_the_sockets_settings(t: &Test) {
    let (listener, addr) = listen(t);
    let mut socket = Unbound::new(t);
    set_all(&mut socket);
    let near = socket.connect(addr).unwrap();
    see_all(t, &near);
    t.see("the far end", listener.accept().unwrap().0.read_timeout());
}

fn listening_with_the_sockets_settings(t: &Test) {
    let mut socket = Unbound::new(t);
    socket.bind(t.any()).unwrap();
    set_all(&mut socket);
    see_all(t, &socket.listen().unwrap());
}

fn accept_waits_as_long_as_receiving(t: &Test) {
    let (mut listener, addr) = listen(t);
    Settings::set_read_timeout(&mut listener, Some(60 * MS)).unwrap();
    t.timed("accept", 60 * MS, || listener.accept().map(drop));
    Settings::set_read_timeout(&mut listener, None).unwrap();
    let near = TcpStream::connect(addr).unwrap();
    t.see("somebody", listener.accept().map(|(_, peer)| peer == near.local_addr().unwrap()));
}

fn connect_waits_as_long_as_sending(t: &Test) {
    let mut socket = Unbound::new(t);
    socket.set_read_timeout(Some(10 * MS)).unwrap();
    socket.set_write_timeout(Some(80 * MS)).unwrap();
    let nobody = SocketAddr::new(t.neighbour(), 9);
    t.timed("connect", 80 * MS, || socket.connect(nobody).map(drop));
}

fn datagrams_are_kept_apart(t: &Test) {
    let first = udp(t);
    t.see("again", opt::udp_bound(t, first.local_addr().unwrap(), true, true).map(drop));
}

fn datagrams_of_each_kind(t: &Test) {
    let socket = udp(t);
    t.see("type", opt::kind(&socket));
    t.see("listens", opt::udp_listens(&socket));
    t.see("device", opt::udp_device(&socket));
}

fn datagram_reuse_is_kept(t: &Test) {
    let socket = udp(t);
    t.see("at first", opt::udp_reuse(&socket));
    for on in [true, false] {
        t.see("address", opt::set_udp_reuse_address(&socket, on));
        t.see("get", opt::udp_reuse(&socket));
        t.see("port", opt::set_udp_reuse_port(&socket, on));
        t.see("get", opt::udp_reuse(&socket));
    }
}

/// Whether one of `sockets`, which share `addr`, hears what is sent there, and no other.
fn hears(t: &Test, sockets: &[UdpSocket], addr: SocketAddr) {
    for socket in sockets {
        socket.set_nonblocking(true).unwrap();
    }
    udp(t).send_to(b"x", addr).unwrap();
    let heard = || sockets.iter().position(|socket| socket.recv_from(&mut [0; 8]).is_ok());
    let mut last = None;
    soon(|| {
        last = heard();
        last.is_some()
    });
    t.see("heard by one", last.is_some());
    t.see("and by no other", heard().map(|_| ()));
}

fn datagram_address_shared(t: &Test) {
    let first = opt::udp_bound(t, t.any(), true, false).unwrap();
    let addr = first.local_addr().unwrap();
    t.see("who does not want it", opt::udp_bound(t, addr, false, false).map(drop));
    t.see("who wants it otherwise", opt::udp_bound(t, addr, false, true).map(drop));
    let second = opt::udp_bound(t, addr, true, false).unwrap();
    udp(t).send_to(b"x", addr).unwrap();
    t.see("the last one", second.recv_from(&mut [0; 8]).map(|(n, _)| n));
    hears(t, &[first, second], addr);
}

fn datagram_port_shared(t: &Test) {
    let first = opt::udp_bound(t, t.any(), false, true).unwrap();
    let addr = first.local_addr().unwrap();
    t.see("who does not want it", opt::udp_bound(t, addr, false, false).map(drop));
    let second = opt::udp_bound(t, addr, false, true).unwrap();
    hears(t, &[first, second], addr);
}

fn datagram_shared_after_it_was_bound(t: &Test) {
    for port in [false, true] {
        let first = udp(t);
        let addr = first.local_addr().unwrap();
        t.see("not yet", opt::udp_bound(t, addr, !port, port).map(drop));
        let shared =
            if port { opt::set_udp_reuse_port(&first, true) } else { opt::set_udp_reuse_address(&first, true) };
        t.see("set", shared);
        let second = opt::udp_bound(t, addr, !port, port).unwrap();
        hears(t, &[first, second], addr);
        let third = udp(t);
        opt::set_udp_reuse_address(&third, true).unwrap();
        opt::set_udp_reuse_address(&third, false).unwrap();
        let addr = third.local_addr().unwrap();
        t.see("taken back", opt::udp_bound(t, addr, true, false).map(drop));
    }
}
