//! Options that std lacks.

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
    mark_is_kept,
    mss_of_a_connection,
    mss_is_announced,
    mss_out_of_range,
    cork_is_kept,
    cork_holds_back_what_is_little,
    cork_lets_full_segments_go,
    cork_lets_the_end_go,
    cork_lets_go_after_a_while,
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
