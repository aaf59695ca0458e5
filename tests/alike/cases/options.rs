//! Options and flags that std lacks.

use super::net::{Shutdown, TcpListener, TcpStream};
use super::opt::{self, Unbound};
use super::*;
use std::io::{Read, Write};
use std::thread;

cases![
    keepalive_by_default,
    keepalive_is_kept,
    keepalive_times_are_kept,
    keepalive_times_of_zero,
    keepalive_out_of_range,
    keepalive_times_survive_switching_off,
    oob_inline_by_default,
    oob_inline_is_kept,
    mark_is_kept,
    mss_of_a_connection,
    mss_is_announced,
    mss_out_of_range,
    cork_is_kept,
    cork_holds_back_what_is_little,
    cork_lets_full_segments_go,
    cork_lets_the_end_go,
    cork_lets_go_after_a_while,
    more_holds_back_what_is_little,
    more_is_over_with_the_next_call,
    more_is_over_with_a_write,
    quickack_is_kept,
    notsent_lowat_is_kept,
    notsent_lowat_of_zero,
    user_timeout_is_kept,
    user_timeout_taken_back,
    rcvbuf_bounds_what_is_taken,
    sndbuf_bounds_what_is_taken,
    buffers_of_any_size,
    congestion_that_is_not_there,
    congestion_that_is_there,
    tos_is_kept,
    tos_out_of_range,
    tos_without_ecn,
    type_of_either,
    acceptconn_of_either,
    reuse_of_a_listener,
    bind_device_that_is_there,
    bind_device_that_is_not_there,
    bind_device_taken_back,
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
    recv_peek,
    recv_waitall,
    recv_waitall_until_the_end,
    recv_waitall_until_the_time_out,
    recv_dontwait,
    recv_peek_and_dontwait,
    recv_peek_and_waitall,
    recv_trunc_throws_away,
    send_dontwait,
    send_after_shutdown,
    datagram_dontwait,
    datagram_peek,
    datagram_trunc_tells_the_length,
    datagram_peek_and_trunc,
    datagram_oob_is_refused,
    urgent_byte_is_taken_by_itself,
    urgent_byte_is_left_out_of_the_stream,
    urgent_byte_before_what_was_read,
    urgent_byte_is_peeked_at,
    urgent_byte_is_left_out_of_a_peek,
    urgent_byte_alone_is_not_peeked_at,
    urgent_byte_twice,
    urgent_byte_that_is_not_there,
    urgent_byte_after_it_was_passed,
    urgent_byte_replaced_by_a_later_one,
    urgent_byte_in_line,
    urgent_byte_in_line_is_not_taken_by_itself,
    urgent_byte_then_the_end,
];

fn keepalive_by_default(t: &Test) {
    let (near, _far) = pair(t);
    t.see("on", opt::keepalive(&near));
    t.see("idle", opt::keepidle(&near));
    t.see("interval", opt::keepintvl(&near));
    t.see("count", opt::keepcnt(&near));
}

fn keepalive_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    for on in [true, false] {
        t.see("set", opt::set_keepalive(&near, on));
        t.see("get", opt::keepalive(&near));
    }
}

fn keepalive_times_are_kept(t: &Test) {
    let (near, _far) = pair(t);
    t.see("on", opt::set_keepalive(&near, true));
    t.see("idle", opt::set_keepidle(&near, Duration::from_secs(11)));
    t.see("interval", opt::set_keepintvl(&near, Duration::from_secs(7)));
    t.see("count", opt::set_keepcnt(&near, 3));
    t.see("idle", opt::keepidle(&near));
    t.see("interval", opt::keepintvl(&near));
    t.see("count", opt::keepcnt(&near));
}

fn keepalive_times_of_zero(t: &Test) {
    let (near, _far) = pair(t);
    t.see("idle", opt::set_keepidle(&near, Duration::ZERO));
    t.see("interval", opt::set_keepintvl(&near, Duration::ZERO));
    t.see("count", opt::set_keepcnt(&near, 0));
    t.see("as before", opt::keepidle(&near));
}

fn keepalive_out_of_range(t: &Test) {
    let (near, _far) = pair(t);
    for time in [32_767, 32_768].map(Duration::from_secs) {
        t.see("idle", opt::set_keepidle(&near, time));
        t.see("interval", opt::set_keepintvl(&near, time));
    }
    for count in [127, 128] {
        t.see("count", opt::set_keepcnt(&near, count));
    }
    t.see("idle", opt::keepidle(&near));
    t.see("interval", opt::keepintvl(&near));
    t.see("count", opt::keepcnt(&near));
}

fn keepalive_times_survive_switching_off(t: &Test) {
    let (near, _far) = pair(t);
    opt::set_keepidle(&near, Duration::from_secs(99)).unwrap();
    t.see("still off", opt::keepalive(&near));
    opt::set_keepalive(&near, true).unwrap();
    opt::set_keepalive(&near, false).unwrap();
    t.see("idle", opt::keepidle(&near));
}

fn oob_inline_by_default(t: &Test) {
    t.see("inline", opt::oob_inline(&pair(t).0));
}

fn oob_inline_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    for on in [true, false] {
        t.see("set", opt::set_oob_inline(&near, on));
        t.see("get", opt::oob_inline(&near));
    }
}

fn mark_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    t.see("at first", opt::mark(&near));
    t.see("set", opt::set_mark(&near, 77));
    t.see("get", opt::mark(&near));
}

fn mss_of_a_connection(t: &Test) {
    let listener = TcpListener::bind((t.own(), 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    t.see("it is some", opt::mss(&near).is_ok_and(|mss| mss > 500));
}

fn mss_is_announced(t: &Test) {
    let (listener, addr) = listen(t);
    let mut socket = Unbound::new(t);
    t.see("set", socket.set_mss(700));
    let near = socket.connect(addr).unwrap();
    let (far, _) = listener.accept().unwrap();
    // Time stamps take 12 bytes.
    t.see("near", opt::mss(&near).map(|mss| (680..=700).contains(&mss)));
    t.see("far", opt::mss(&far).map(|mss| (680..=700).contains(&mss)));
}

fn mss_out_of_range(t: &Test) {
    let mut socket = Unbound::new(t);
    for mss in [1, 87, 88, 32_767, 32_768, 100_000] {
        t.see("set", socket.set_mss(mss));
    }
}

fn cork_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    for on in [true, false] {
        t.see("set", opt::set_cork(&near, on));
        t.see("get", opt::cork(&near));
    }
}

/// A connection whose near end is corked.
fn corked(t: &Test) -> (TcpStream, TcpStream) {
    let (near, far) = pair(t);
    opt::set_cork(&near, true).unwrap();
    (near, far)
}

/// What is held back goes after this time at the earliest.
const HELD: Duration = Duration::from_millis(180);

fn cork_holds_back_what_is_little(t: &Test) {
    let ((near, mut far), read) = quickly(
        HELD,
        || corked(t),
        |(near, far)| {
            near.write_all(b"held").unwrap();
            far.set_read_timeout(Some(40 * MS)).unwrap();
            far.read(&mut [0; 8])
        },
    );
    t.see("nothing", read);
    far.set_read_timeout(None).unwrap();
    opt::set_cork(&near, false).unwrap();
    t.at_once("now", || far.read(&mut [0; 8]));
}

fn cork_lets_full_segments_go(t: &Test) {
    // The kernel's segments are of 64 KiB here.
    let (data, mut all) = (noise(300_000), vec![0; 200_000]);
    let (_, most) = quickly(
        HELD,
        || corked(t),
        |(near, far)| {
            near.write_all(&data).unwrap();
            far.read_exact(&mut all)
        },
    );
    t.see("most of it", most);
}

fn cork_lets_the_end_go(t: &Test) {
    let (mut near, mut far) = pair(t);
    opt::set_cork(&near, true).unwrap();
    near.write_all(b"last words").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    t.at_once("read", || far.read_to_string(&mut text));
    t.see("text", text);
}

fn cork_lets_go_after_a_while(t: &Test) {
    let (mut near, mut far) = pair(t);
    opt::set_cork(&near, true).unwrap();
    t.timed("read", 150 * MS, || {
        near.write_all(b"held").unwrap();
        far.read(&mut [0; 8])
    });
}

fn more_holds_back_what_is_little(t: &Test) {
    let (_, (sent, read)) = quickly(
        HELD,
        || pair(t),
        |(near, far)| {
            let sent = opt::send(near, b"held", opt::MORE);
            far.set_read_timeout(Some(40 * MS)).unwrap();
            (sent, far.read(&mut [0; 8]))
        },
    );
    t.see("send", sent);
    t.see("nothing", read);
}

fn more_is_over_with_the_next_call(t: &Test) {
    let ((near, mut far), sent) = quickly(
        HELD,
        || pair(t),
        |(near, _)| {
            opt::send(near, b"one, ", opt::MORE).unwrap();
            opt::send(near, b"two, ", opt::MORE).unwrap();
            opt::send(near, b"three", opt::DONTWAIT)
        },
    );
    t.see("send", sent);
    let mut buf = [0; 32];
    t.see("read", far.read(&mut buf));
    t.see("text", &buf[..15]);
    t.see("at once", not_held(&near, &mut far, |near| opt::send(near, b"!", opt::DONTWAIT).map(drop)));
}

/// Whether what `then` writes after MSG_MORE goes out with it at once: what is held back comes after 200 ms at the earliest,
/// each time, and what is not comes sooner at least once.
fn not_held(near: &TcpStream, far: &mut TcpStream, then: impl Fn(&TcpStream) -> std::io::Result<()>) -> bool {
    near.set_nodelay(true).unwrap();
    (0..50).any(|_| {
        opt::send(near, b"more, ", opt::MORE).unwrap();
        then(near).unwrap();
        let begin = Instant::now();
        far.read_exact(&mut [0; 7]).unwrap();
        begin.elapsed() < 150 * MS
    })
}

fn more_is_over_with_a_write(t: &Test) {
    let (near, mut far) = pair(t);
    t.see("write", not_held(&near, &mut far, |mut near| near.write_all(b"!")));
    let vectored = |mut near: &TcpStream| near.write_vectored(&[std::io::IoSlice::new(b"!")]).map(drop);
    t.see("write_vectored", not_held(&near, &mut far, vectored));
}

fn quickack_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    t.see("set", opt::set_quickack(&near, true));
    t.see("get", opt::quickack(&near));
}

fn notsent_lowat_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    t.see("set", opt::set_notsent_lowat(&near, 16_384));
    t.see("get", opt::notsent_lowat(&near));
}

fn user_timeout_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    t.see("at first", opt::user_timeout(&near));
    t.see("set", opt::set_user_timeout(&near, Some(1234 * MS)));
    t.see("get", opt::user_timeout(&near));
}

fn user_timeout_taken_back(t: &Test) {
    let (near, _far) = pair(t);
    opt::set_user_timeout(&near, Some(1234 * MS)).unwrap();
    t.see("set", opt::set_user_timeout(&near, None));
    t.see("get", opt::user_timeout(&near));
}

/// Bytes that `near` can write while `far` reads nothing.
fn taken(near: &TcpStream) -> usize {
    near.set_nonblocking(true).unwrap();
    let (mut sum, mut quiet) = (0, 0);
    while quiet < 30 && sum < 64 << 20 {
        let mut writer = near;
        match writer.write(&[7; 4096]) {
            Ok(n) => {
                quiet = 0;
                sum += n;
            }
            Err(_) => {
                quiet += 1;
                thread::sleep(MS);
            }
        }
    }
    sum
}

fn rcvbuf_bounds_what_is_taken(t: &Test) {
    let (near, far) = pair(t);
    t.see("set", opt::set_rcvbuf(&far, 32_768));
    t.see("at least so much", opt::rcvbuf(&far).map(|bytes| bytes >= 32_768));
    opt::set_sndbuf(&near, 32_768).unwrap();
    t.see("far less than without", taken(&near) < 2 << 20);
}

fn sndbuf_bounds_what_is_taken(t: &Test) {
    let (near, far) = pair(t);
    opt::set_rcvbuf(&far, 16_384).unwrap();
    t.see("set", opt::set_sndbuf(&near, 16_384));
    t.see("at least so much", opt::sndbuf(&near).map(|bytes| bytes >= 16_384));
    t.see("little is taken", taken(&near) < 1 << 20);
}

fn buffers_of_any_size(t: &Test) {
    let (mut near, mut far) = pair(t);
    for size in [0, 1, i32::MAX as usize] {
        t.see("receive", opt::set_rcvbuf(&far, size));
        t.see("send", opt::set_sndbuf(&near, size));
        t.see("it is some", opt::rcvbuf(&far).and_then(|a| Ok(a > 0 && opt::sndbuf(&near)? > 0)));
        near.write_all(b"x").unwrap();
        t.see("and serves", far.read(&mut [0; 8]));
    }
}

fn notsent_lowat_of_zero(t: &Test) {
    let (mut near, mut far) = pair(t);
    opt::set_notsent_lowat(&near, 16_384).unwrap();
    t.see("set", opt::set_notsent_lowat(&near, 0));
    t.see("get", opt::notsent_lowat(&near));
    near.write_all(b"x").unwrap();
    t.see("it bounds nothing", far.read(&mut [0; 8]));
}

fn congestion_that_is_not_there(t: &Test) {
    let (near, _far) = pair(t);
    t.see("set", opt::set_congestion(&near, "nonesuch").map_err(|_| std::io::ErrorKind::NotFound.into()));
}

fn congestion_that_is_there(t: &Test) {
    let (near, _far) = pair(t);
    t.see("set", opt::set_congestion(&near, "cubic"));
}

fn tos_is_kept(t: &Test) {
    let (near, _far) = pair(t);
    t.see("at first", opt::tos(&near));
    t.see("set", opt::set_tos(&near, 0x48));
    t.see("get", opt::tos(&near));
}

fn tos_out_of_range(t: &Test) {
    let (near, _far) = pair(t);
    // IPv4's is cut to its byte by the kernel.
    t.see("set", t.pick(Err(std::io::ErrorKind::InvalidInput.into()), opt::set_tos(&near, 256)));
    t.see("get", opt::tos(&near));
}

fn tos_without_ecn(t: &Test) {
    let (near, _far) = pair(t);
    t.see("set", opt::set_tos(&near, 0x4b));
    t.see("get", opt::tos(&near).map(|tos| tos & !3));
}

fn type_of_either(t: &Test) {
    let (near, _far) = pair(t);
    t.see("stream", opt::kind(&near));
    t.see("datagrams", opt::kind(&udp(t)));
}

fn acceptconn_of_either(t: &Test) {
    let (listener, _) = listen(t);
    t.see("listener", opt::listens(&listener));
    t.see("stream", opt::stream_listens(&pair(t).0));
}

fn reuse_of_a_listener(t: &Test) {
    t.see("address and port", opt::reuse(&listen(t).0));
}

fn bind_device_that_is_there(t: &Test) {
    let (near, _far) = pair(t);
    t.see("at first", opt::device(&near));
    t.see("set", opt::bind_device(&near, Some("tun0")));
    t.see("get", opt::device(&near));
}

fn bind_device_that_is_not_there(t: &Test) {
    let (near, _far) = pair(t);
    t.see("set", opt::bind_device(&near, Some("nonesuch0")));
    t.see("get", opt::device(&near));
}

fn bind_device_taken_back(t: &Test) {
    let (near, _far) = pair(t);
    opt::bind_device(&near, Some("tun0")).unwrap();
    t.see("set", opt::bind_device(&near, None));
    t.see("get", opt::device(&near));
}

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

fn recv_peek(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"abc").unwrap();
    let mut buf = [0; 8];
    soon(|| near.peek(&mut [0; 8]).unwrap() == 3);
    t.see("peek", opt::recv(&near, &mut buf, opt::PEEK));
    t.see("again", opt::recv(&near, &mut buf, opt::PEEK));
    t.see("text", &buf[..3]);
}

fn recv_waitall(t: &Test) {
    let (near, mut far) = pair(t);
    let writer = thread::spawn(move || {
        for piece in noise(50_000).chunks(10_000) {
            far.write_all(piece).unwrap();
            thread::sleep(5 * MS);
        }
        far
    });
    let mut all = vec![0; 50_000];
    t.see("all", opt::recv(&near, &mut all, opt::WAITALL));
    t.see("text", all == noise(50_000));
    drop(writer.join());
}

fn recv_waitall_until_the_end(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"short").unwrap();
    drop(far);
    t.see("what there was", opt::recv(&near, &mut [0; 100], opt::WAITALL));
    t.see("the end", opt::recv(&near, &mut [0; 100], opt::WAITALL));
}

fn recv_waitall_until_the_time_out(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"short").unwrap();
    soon(|| near.peek(&mut [0; 8]).unwrap() == 5);
    near.set_read_timeout(Some(50 * MS)).unwrap();
    t.timed("what there was", 50 * MS, || opt::recv(&near, &mut [0; 100], opt::WAITALL));
    t.timed("nothing", 50 * MS, || opt::recv(&near, &mut [0; 100], opt::WAITALL));
}

fn recv_dontwait(t: &Test) {
    let (near, mut far) = pair(t);
    t.at_once("nothing", || opt::recv(&near, &mut [0; 8], opt::DONTWAIT));
    far.write_all(b"abc").unwrap();
    soon(|| near.peek(&mut [0; 8]).unwrap() == 3);
    t.see("read", opt::recv(&near, &mut [0; 8], opt::DONTWAIT));
}

fn recv_peek_and_dontwait(t: &Test) {
    let (near, _far) = pair(t);
    t.at_once("nothing", || opt::recv(&near, &mut [0; 8], opt::PEEK | opt::DONTWAIT));
}

fn recv_peek_and_waitall(t: &Test) {
    let (near, mut far) = pair(t);
    let writer = thread::spawn(move || {
        for piece in [&b"abc"[..], b"def", b"gh"] {
            far.write_all(piece).unwrap();
            thread::sleep(10 * MS);
        }
        far
    });
    let mut buf = [0; 8];
    t.see("peek", opt::recv(&near, &mut buf, opt::PEEK | opt::WAITALL));
    t.see("text", buf);
    t.see("still there", opt::recv(&near, &mut buf, opt::DONTWAIT));
    drop(writer.join());
}

fn recv_trunc_throws_away(t: &Test) {
    let (near, mut far) = pair(t);
    far.write_all(b"abcdef").unwrap();
    soon(|| near.peek(&mut [0; 8]).unwrap() == 6);
    let mut buf = [b'?'; 4];
    t.see("taken", opt::recv(&near, &mut buf, opt::TRUNC));
    t.see("untouched", buf);
    t.see("rest", opt::recv(&near, &mut buf, opt::DONTWAIT));
    t.see("text", &buf[..2]);
}

fn send_dontwait(t: &Test) {
    let (near, _far) = pair(t);
    let much = vec![7; 64 << 20];
    t.at_once("a part", || opt::send(&near, &much, opt::DONTWAIT).map(|n| n > 0 && n < much.len()));
    let mut blocked = None;
    t.see(
        "full",
        soon(|| {
            blocked = opt::send(&near, &much, opt::DONTWAIT).err();
            blocked.is_some()
        }),
    );
    t.see("then", blocked);
}

fn send_after_shutdown(t: &Test) {
    let (near, _far) = pair(t);
    near.shutdown(Shutdown::Write).unwrap();
    t.see("send", opt::send(&near, b"x", opt::DONTWAIT));
    t.see("urgent", opt::send(&near, b"x", opt::OOB));
}

fn datagram_dontwait(t: &Test) {
    let (a, b) = udp_pair(t);
    t.at_once("nothing", || opt::recv(&a, &mut [0; 8], opt::DONTWAIT));
    b.send(b"abc").unwrap();
    t.see("arrived", a.peek(&mut [0; 8]));
    t.see("receive", opt::recv(&a, &mut [0; 8], opt::DONTWAIT));
}

fn datagram_peek(t: &Test) {
    let (a, b) = udp_pair(t);
    b.send(b"abc").unwrap();
    t.see("peek", opt::recv(&a, &mut [0; 8], opt::PEEK));
    t.see("receive", a.recv(&mut [0; 8]));
}

fn datagram_trunc_tells_the_length(t: &Test) {
    let (a, b) = udp_pair(t);
    b.send(&noise(1000)).unwrap();
    b.send(b"next").unwrap();
    let mut buf = [0; 10];
    t.see("length", opt::recv(&a, &mut buf, opt::TRUNC));
    t.see("text", buf == noise(1000)[..10]);
    t.see("next", opt::recv(&a, &mut buf, opt::TRUNC));
}

fn datagram_peek_and_trunc(t: &Test) {
    let (a, b) = udp_pair(t);
    b.send(&noise(1000)).unwrap();
    t.see("length", opt::recv(&a, &mut [], opt::PEEK | opt::TRUNC));
    t.see("receive", a.recv(&mut [0; 2000]));
}

fn datagram_oob_is_refused(t: &Test) {
    let (a, _b) = udp_pair(t);
    t.see("send", opt::send(&a, b"x", opt::OOB));
}

/// A connection whose far end leaves urgent bytes out of the stream, and has received `text`.
fn urgent(t: &Test, pieces: &[(&[u8], bool)]) -> (TcpStream, TcpStream) {
    let (near, far) = pair(t);
    opt::set_oob_inline(&far, false).unwrap();
    let mut sum = 0;
    for (text, urgent) in pieces {
        let sent = if *urgent { opt::send(&near, text, opt::OOB) } else { (&near).write(text) };
        assert_eq!(sent.unwrap(), text.len());
        sum += text.len();
    }
    assert!(sum > 0 && soon(|| opt::unacknowledged(&near) == 0));
    (near, far)
}

/// The next bytes, as far as one call gives them.
fn next(mut far: &TcpStream) -> std::io::Result<String> {
    let mut buf = [0; 64];
    far.set_read_timeout(Some(50 * MS)).unwrap();
    far.read(&mut buf).map(|n| String::from_utf8_lossy(&buf[..n]).into_owned())
}

/// The urgent byte.
fn oob(far: &TcpStream) -> std::io::Result<String> {
    let mut buf = [0; 4];
    opt::recv(far, &mut buf, opt::OOB).map(|n| String::from_utf8_lossy(&buf[..n]).into_owned())
}

fn urgent_byte_is_taken_by_itself(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true)]);
    t.see("urgent", oob(&far));
    t.see("stream", next(&far));
}

fn urgent_byte_is_left_out_of_the_stream(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true), (b"def", false)]);
    t.see("before the mark", next(&far));
    t.see("behind the mark", next(&far));
}

fn urgent_byte_before_what_was_read(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true), (b"def", false)]);
    t.see("before the mark", next(&far));
    t.see("urgent", oob(&far));
    t.see("behind the mark", next(&far));
}

fn urgent_byte_is_peeked_at(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true)]);
    let mut buf = [0; 4];
    t.see("peek", opt::recv(&far, &mut buf, opt::OOB | opt::PEEK));
    t.see("byte", buf[0]);
    t.see("urgent", oob(&far));
}

/// The next bytes, which stay.
fn peeked(far: &TcpStream) -> std::io::Result<String> {
    let mut buf = [0; 64];
    far.set_read_timeout(Some(50 * MS)).unwrap();
    far.peek(&mut buf).map(|n| String::from_utf8_lossy(&buf[..n]).into_owned())
}

fn urgent_byte_is_left_out_of_a_peek(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc!", true), (b"def", false)]);
    t.see("peek before the mark", peeked(&far));
    t.see("before the mark", next(&far));
    t.see("peek behind the mark", peeked(&far));
    t.see("urgent", oob(&far));
    t.see("behind the mark", next(&far));
}

fn urgent_byte_alone_is_not_peeked_at(t: &Test) {
    let (near, far) = urgent(t, &[(b"!", true)]);
    t.see("peek", peeked(&far));
    t.see("urgent", oob(&far));
    near.shutdown(Shutdown::Write).unwrap();
    assert!(soon(|| opt::unacknowledged(&near) == 0));
    t.see("the end", peeked(&far));
}

fn urgent_byte_twice(t: &Test) {
    let (_near, far) = urgent(t, &[(b"!", true)]);
    t.see("once", oob(&far));
    t.see("twice", oob(&far));
    t.see("stream", next(&far));
}

fn urgent_byte_that_is_not_there(t: &Test) {
    let (_near, far) = urgent(t, &[(b"abc", false)]);
    t.see("urgent", oob(&far));
    t.see("stream", next(&far));
}

fn urgent_byte_after_it_was_passed(t: &Test) {
    let (_near, far) = urgent(t, &[(b"!", true), (b"def", false)]);
    t.see("stream", next(&far));
    t.see("urgent", oob(&far));
}

fn urgent_byte_replaced_by_a_later_one(t: &Test) {
    let (_near, far) = urgent(t, &[(b"a!", true), (b"b?", true), (b"c", false)]);
    t.see("urgent", oob(&far));
    t.see("stream", next(&far));
    t.see("stream", next(&far));
}

fn urgent_byte_in_line(t: &Test) {
    let (near, far) = pair(t);
    opt::set_oob_inline(&far, true).unwrap();
    opt::send(&near, b"abc!", opt::OOB).unwrap();
    (&near).write_all(b"def").unwrap();
    drop(near);
    let mut all = String::new();
    t.see("read", (&far).read_to_string(&mut all));
    t.see("text", all);
}

fn urgent_byte_in_line_is_not_taken_by_itself(t: &Test) {
    let (near, far) = pair(t);
    opt::set_oob_inline(&far, true).unwrap();
    opt::send(&near, b"abc!", opt::OOB).unwrap();
    assert!(soon(|| opt::unacknowledged(&near) == 0));
    t.see("urgent", oob(&far));
}

fn urgent_byte_then_the_end(t: &Test) {
    let (near, far) = urgent(t, &[(b"abc!", true)]);
    near.shutdown(Shutdown::Write).unwrap();
    assert!(soon(|| opt::unacknowledged(&near) == 0));
    t.see("stream", next(&far));
    t.see("the end", next(&far));
    t.see("still", next(&far));
}
