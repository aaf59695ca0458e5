//! Several threads on one socket.

use super::net::{Shutdown, TcpStream, UdpSocket};
use super::*;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

cases![
    one_reads_while_another_writes,
    several_read_one_stream,
    several_write_one_stream,
    several_accept,
    several_receive_datagrams,
    several_send_datagrams,
    a_waiting_reader_does_not_stop_writers,
    a_waiting_receiver_does_not_stop_senders,
    a_stream_in_an_other_thread,
    a_reader_outlives_the_other_handle,
    ping_pong,
    datagram_ping_pong,
    all_accepters_get_their_share,
    readers_all_see_the_end,
    drop_in_another_thread_is_no_race,
];

fn one_reads_while_another_writes(t: &Test) {
    let (near, far) = pair(t);
    thread::scope(|scope| {
        let reader = scope.spawn(|| (&near).read(&mut [0; 16]));
        thread::sleep(20 * MS);
        t.see("write", (&near).write(b"ab"));
        t.see("far reads", (&far).read(&mut [0; 16]));
        (&far).write_all(b"cde").unwrap();
        t.see("near reads", reader.join().unwrap());
    });
}

fn several_read_one_stream(t: &Test) {
    let (near, far) = pair(t);
    let sum = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut buf = [0; 1000];
                loop {
                    match (&near).read(&mut buf).unwrap() {
                        0 => break,
                        n => sum.fetch_add(buf[..n].iter().map(|b| usize::from(*b)).sum(), Ordering::Relaxed),
                    };
                }
            });
        }
        (&far).write_all(&noise(200_000)).unwrap();
        drop(far);
    });
    t.see("every byte once", sum.into_inner() == noise(200_000).iter().map(|b| usize::from(*b)).sum::<usize>());
}

fn several_write_one_stream(t: &Test) {
    let (near, mut far) = pair(t);
    let mut all = Vec::new();
    thread::scope(|scope| {
        let near = &near;
        let writers: Vec<_> = (1..5u8)
            .map(|n| scope.spawn(move || (0..1000).for_each(|_| (&*near).write_all(&[n; 10]).unwrap())))
            .collect();
        scope.spawn(move || {
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            near.shutdown(Shutdown::Write).unwrap();
        });
        far.read_to_end(&mut all).unwrap();
    });
    for n in 1..5u8 {
        t.see("bytes", all.iter().filter(|b| **b == n).count());
    }
    t.see("calls in one piece", all.chunks(10).all(|piece| piece.iter().all(|b| *b == piece[0])));
}

fn several_accept(t: &Test) {
    let (listener, addr) = listen(t);
    thread::scope(|scope| {
        let accepters: Vec<_> = (0..4).map(|_| scope.spawn(|| listener.accept().map(drop))).collect();
        thread::sleep(20 * MS);
        let _near: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(addr).unwrap()).collect();
        for accepter in accepters {
            t.see("accepted", accepter.join().unwrap());
        }
    });
}

fn several_receive_datagrams(t: &Test) {
    let (a, b) = udp_pair(t);
    thread::scope(|scope| {
        let receivers: Vec<_> = (0..4).map(|_| scope.spawn(|| a.recv(&mut [0; 16]))).collect();
        thread::sleep(20 * MS);
        for _ in 0..4 {
            b.send(b"abc").unwrap();
        }
        for receiver in receivers {
            t.see("received", receiver.join().unwrap());
        }
    });
}

fn several_send_datagrams(t: &Test) {
    let (a, b) = udp_pair(t);
    thread::scope(|scope| {
        for n in 1..5u8 {
            let a = &a;
            scope.spawn(move || (0..5).for_each(|_| assert_eq!(a.send(&[n; 7]).unwrap(), 7)));
        }
    });
    let mut counts = [0usize; 5];
    let mut buf = [0; 16];
    for _ in 0..20 {
        assert_eq!(b.recv(&mut buf).unwrap(), 7);
        counts[usize::from(buf[0])] += 1;
    }
    t.see("counts", counts.to_vec());
}

fn a_waiting_reader_does_not_stop_writers(t: &Test) {
    let (near, far) = pair(t);
    thread::scope(|scope| {
        let reader = scope.spawn(|| (&near).read(&mut [0; 16]));
        thread::sleep(20 * MS);
        t.at_once("write", || (0..100).try_for_each(|_| (&near).write_all(b"abc")));
        t.at_once("nodelay", || near.set_nodelay(true));
        t.at_once("addresses", || near.peer_addr());
        (&far).write_all(b"x").unwrap();
        t.see("read", reader.join().unwrap());
    });
}

fn a_waiting_receiver_does_not_stop_senders(t: &Test) {
    let (a, b) = udp_pair(t);
    thread::scope(|scope| {
        let receiver = scope.spawn(|| a.recv(&mut [0; 16]));
        thread::sleep(20 * MS);
        t.at_once("send", || a.send(b"abc"));
        t.see("received", b.recv(&mut [0; 16]));
        b.send(b"x").unwrap();
        t.see("received", receiver.join().unwrap());
    });
}

fn a_stream_in_an_other_thread(t: &Test) {
    let (near, far) = pair(t);
    let thread = thread::spawn(move || {
        let mut far: TcpStream = far;
        far.write_all(b"from there").unwrap();
    });
    let mut text = String::new();
    (&near).read_to_string(&mut text).unwrap();
    thread.join().unwrap();
    t.see("text", text);
}

fn a_reader_outlives_the_other_handle(t: &Test) {
    let (near, mut far) = pair(t);
    let mut clone = near.try_clone().unwrap();
    let reader = thread::spawn(move || clone.read(&mut [0; 16]));
    thread::sleep(20 * MS);
    drop(near);
    far.write_all(b"still").unwrap();
    t.see("read", reader.join().unwrap());
}

fn ping_pong(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let other = thread::spawn(move || {
        let mut one = [0];
        while far.read(&mut one).unwrap() > 0 {
            far.write_all(&one).unwrap();
        }
    });
    let mut same = 0;
    for n in 0..500u32 {
        let mut back = [0];
        near.write_all(&[n as u8]).unwrap();
        near.read_exact(&mut back).unwrap();
        same += u32::from(back == [n as u8]);
    }
    drop(near);
    other.join().unwrap();
    t.see("the same", same);
}

fn datagram_ping_pong(t: &Test) {
    let (a, b) = udp_pair(t);
    let other: thread::JoinHandle<UdpSocket> = thread::spawn(move || {
        for _ in 0..500 {
            let mut buf = [0; 16];
            let n = b.recv(&mut buf).unwrap();
            b.send(&buf[..n]).unwrap();
        }
        b
    });
    let mut same = 0;
    for n in 0..500u32 {
        let mut back = [0; 16];
        a.send(&n.to_be_bytes()).unwrap();
        same += u32::from(a.recv(&mut back).unwrap() == 4 && back[..4] == n.to_be_bytes());
    }
    drop(other.join());
    t.see("the same", same);
}

fn all_accepters_get_their_share(t: &Test) {
    let (listener, addr) = listen(t);
    let accepted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while accepted.load(Ordering::Relaxed) < 60 {
                    listener.accept().unwrap();
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Two more, for those who have begun to wait again.
        for _ in 0..62 {
            TcpStream::connect(addr).unwrap();
        }
    });
    t.see("all", accepted.into_inner() >= 60);
}

fn readers_all_see_the_end(t: &Test) {
    let (near, far) = pair(t);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..6).map(|_| scope.spawn(|| (&near).read(&mut [0; 16]))).collect();
        thread::sleep(20 * MS);
        drop(far);
        for reader in readers {
            t.see("end", reader.join().unwrap());
        }
    });
}

fn drop_in_another_thread_is_no_race(t: &Test) {
    let (listener, addr) = listen(t);
    for _ in 0..30 {
        let near = TcpStream::connect(addr).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let dropper = thread::spawn(move || drop(near));
        assert_eq!(far.read(&mut [0; 4]).unwrap(), 0);
        dropper.join().unwrap();
    }
    t.see("all ended", true);
}
