//! Flags of send(2) and recv(2).

use super::net::{Shutdown, TcpStream};
use super::opt;
use super::*;
use std::io::{Read, Write};
use std::thread;

cases![
    more_holds_back_what_is_little,
    more_is_over_with_the_next_call,
    more_is_over_with_a_write,
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
];

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
