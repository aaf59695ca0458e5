//! Time-outs and non-blocking calls.

use super::net::{Shutdown, TcpStream, UdpSocket};
use super::*;
use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;

cases![
    timeouts_by_default,
    timeouts_are_kept,
    timeouts_of_zero,
    timeouts_of_a_nanosecond,
    timeouts_that_never_end,
    timeouts_are_shared_by_clones,
    timeouts_taken_back,
    read_times_out,
    read_again_after_a_time_out,
    read_in_time,
    read_vectored_times_out,
    read_exact_times_out,
    peek_times_out,
    write_times_out,
    write_times_out_with_a_part,
    read_time_out_does_not_concern_writing,
    a_time_out_leaves_the_end,
    nonblocking_read,
    nonblocking_read_vectored,
    nonblocking_read_with_data,
    nonblocking_read_at_the_end,
    nonblocking_read_after_a_reset,
    nonblocking_write,
    nonblocking_write_after_shutdown,
    nonblocking_write_takes_a_part,
    nonblocking_beats_the_time_out,
    nonblocking_is_shared_by_clones,
    nonblocking_can_be_taken_back,
    nonblocking_and_a_waiting_reader,
    accept_has_no_time_out,
    datagram_timeouts_by_default,
    datagram_timeouts_are_kept,
    datagram_timeouts_of_zero,
    datagram_timeouts_are_shared_by_clones,
    datagram_times_out,
    datagram_recv_times_out,
    datagram_peek_times_out,
    datagram_in_time,
    datagram_after_a_time_out,
    datagram_nonblocking,
    datagram_nonblocking_with_one,
    datagram_nonblocking_beats_the_time_out,
    datagram_nonblocking_sends,
];

fn timeouts_by_default(t: &Test) {
    let (near, far) = pair(t);
    t.see("read", near.read_timeout());
    t.see("write", near.write_timeout());
    t.see("far", far.read_timeout());
}

fn timeouts_are_kept(t: &Test) {
    let (near, _far) = pair(t);
    t.see("set", near.set_read_timeout(Some(1500 * MS)));
    t.see("set", near.set_write_timeout(Some(Duration::from_secs(2))));
    t.see("read", near.read_timeout());
    t.see("write", near.write_timeout());
}

fn timeouts_of_zero(t: &Test) {
    let (near, _far) = pair(t);
    near.set_read_timeout(Some(40 * MS)).unwrap();
    t.see("read", near.set_read_timeout(Some(Duration::ZERO)));
    t.see("write", near.set_write_timeout(Some(Duration::ZERO)));
    t.see("as before", near.read_timeout());
}

fn timeouts_of_a_nanosecond(t: &Test) {
    let (mut near, _far) = pair(t);
    t.see("set", near.set_read_timeout(Some(Duration::from_nanos(1))));
    t.see("it is some", near.read_timeout().map(|timeout| timeout.is_some()));
    t.at_once("read", || near.read(&mut [0; 1]));
}

fn timeouts_that_never_end(t: &Test) {
    let (mut near, mut far) = pair(t);
    t.see("set", near.set_read_timeout(Some(Duration::MAX)));
    far.write_all(b"x").unwrap();
    t.see("read", near.read(&mut [0; 1]));
}

fn timeouts_are_shared_by_clones(t: &Test) {
    let (near, _far) = pair(t);
    let clone = near.try_clone().unwrap();
    near.set_read_timeout(Some(70 * MS)).unwrap();
    t.see("clone", clone.read_timeout().map(|timeout| timeout.is_some()));
}

fn timeouts_taken_back(t: &Test) {
    let (near, _far) = pair(t);
    near.set_read_timeout(Some(70 * MS)).unwrap();
    t.see("set", near.set_read_timeout(None));
    t.see("get", near.read_timeout());
}

fn read_times_out(t: &Test) {
    let (mut near, _far) = pair(t);
    near.set_read_timeout(Some(50 * MS)).unwrap();
    t.timed("read", 50 * MS, || near.read(&mut [0; 1]));
    t.timed("much", 50 * MS, || near.read(&mut [0; 100_000]));
}

fn read_again_after_a_time_out(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.set_read_timeout(Some(20 * MS)).unwrap();
    t.see("nothing", near.read(&mut [0; 4]));
    far.write_all(b"late").unwrap();
    near.set_read_timeout(None).unwrap();
    t.see("read", near.read(&mut [0; 16]));
}

fn read_in_time(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(30 * MS);
        far.write_all(b"x").unwrap();
        far
    });
    t.see("read", near.read(&mut [0; 4]));
    drop(writer.join());
}

fn read_vectored_times_out(t: &Test) {
    let (mut near, _far) = pair(t);
    near.set_read_timeout(Some(20 * MS)).unwrap();
    t.timed("read", 20 * MS, || near.read_vectored(&mut [std::io::IoSliceMut::new(&mut [0; 4])]));
}

fn read_exact_times_out(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.set_read_timeout(Some(20 * MS)).unwrap();
    far.write_all(b"abc").unwrap();
    t.see("read", near.read_exact(&mut [0; 4]));
}

fn peek_times_out(t: &Test) {
    let (near, _far) = pair(t);
    near.set_read_timeout(Some(20 * MS)).unwrap();
    t.timed("peek", 20 * MS, || near.peek(&mut [0; 4]));
}

/// Fills what `stream` can take.
fn fill(stream: &TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let mut quiet = 0;
    while quiet < 20 {
        let mut writer = stream;
        if writer.write(&[7; 65_536]).is_ok() {
            quiet = 0;
        } else {
            quiet += 1;
            thread::sleep(MS);
        }
    }
    stream.set_nonblocking(false).unwrap();
}

fn write_times_out(t: &Test) {
    let (mut near, _far) = pair(t);
    fill(&near);
    near.set_write_timeout(Some(50 * MS)).unwrap();
    // A probe of the shut window may make room for a little.
    let mut late = (0..20).filter_map(|_| {
        let begin = Instant::now();
        near.write(&[7; 65_536]).err().map(|error| (error, begin.elapsed() >= 45 * MS))
    });
    t.see("write", late.next());
}

fn write_times_out_with_a_part(t: &Test) {
    let (mut near, _far) = pair(t);
    near.set_write_timeout(Some(100 * MS)).unwrap();
    let much = vec![7; 64 << 20];
    let written = near.write(&much);
    t.see("a part", written.map(|n| n > 0 && n < much.len()));
}

fn read_time_out_does_not_concern_writing(t: &Test) {
    let (near, far) = pair(t);
    fill(&near);
    near.set_read_timeout(Some(10 * MS)).unwrap();
    let reader = thread::spawn(move || {
        thread::sleep(150 * MS);
        std::io::copy(&mut &far, &mut std::io::sink()).is_ok()
    });
    t.see("write", (&near).write_all(&[7; 1 << 20]));
    drop(near);
    t.see("read", reader.join().unwrap());
}

fn a_time_out_leaves_the_end(t: &Test) {
    let (mut near, far) = pair(t);
    near.set_read_timeout(Some(10 * MS)).unwrap();
    t.see("nothing", near.read(&mut [0; 4]));
    drop(far);
    t.see("the end", soon(|| near.read(&mut [0; 4]).is_ok_and(|n| n == 0)));
}

fn nonblocking_read(t: &Test) {
    let (mut near, _far) = pair(t);
    t.see("set", near.set_nonblocking(true));
    t.at_once("read", || near.read(&mut [0; 4]));
    t.at_once("much", || near.read(&mut [0; 100_000]));
}

fn nonblocking_read_vectored(t: &Test) {
    let (mut near, _far) = pair(t);
    near.set_nonblocking(true).unwrap();
    t.at_once("read", || near.read_vectored(&mut [std::io::IoSliceMut::new(&mut [0; 4])]));
}

fn nonblocking_read_with_data(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.set_nonblocking(true).unwrap();
    far.write_all(b"abc").unwrap();
    t.see("arrived", soon(|| near.peek(&mut [0; 4]).is_ok_and(|n| n == 3)));
    t.see("read", near.read(&mut [0; 16]));
    t.see("then", near.read(&mut [0; 16]));
}

fn nonblocking_read_at_the_end(t: &Test) {
    let (mut near, far) = pair(t);
    near.set_nonblocking(true).unwrap();
    drop(far);
    t.see("arrived", soon(|| near.peek(&mut [0; 4]).is_ok()));
    t.see("read", near.read(&mut [0; 4]));
}

fn nonblocking_read_after_a_reset(t: &Test) {
    let (mut near, far) = pair(t);
    near.set_nonblocking(true).unwrap();
    set_linger(&far, Some(Duration::ZERO)).unwrap();
    drop(far);
    t.see("arrived", soon(|| near.peer_addr().is_err()));
    t.see("read", near.read(&mut [0; 4]));
    t.see("then", near.read(&mut [0; 4]));
}

fn nonblocking_write(t: &Test) {
    let (mut near, mut far) = pair(t);
    near.set_nonblocking(true).unwrap();
    t.at_once("write", || near.write(b"abc"));
    t.see("read", far.read(&mut [0; 16]));
}

fn nonblocking_write_after_shutdown(t: &Test) {
    let (mut near, _far) = pair(t);
    near.set_nonblocking(true).unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    t.see("write", near.write(b"abc"));
}

fn nonblocking_write_takes_a_part(t: &Test) {
    let (mut near, _far) = pair(t);
    near.set_nonblocking(true).unwrap();
    let much = vec![7; 64 << 20];
    t.see("write", near.write(&much).map(|n| n > 0 && n < much.len()));
}

fn nonblocking_beats_the_time_out(t: &Test) {
    let (mut near, _far) = pair(t);
    near.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    near.set_nonblocking(true).unwrap();
    t.at_once("read", || near.read(&mut [0; 4]));
}

fn nonblocking_is_shared_by_clones(t: &Test) {
    let (near, _far) = pair(t);
    let mut clone = near.try_clone().unwrap();
    near.set_nonblocking(true).unwrap();
    t.at_once("read", || clone.read(&mut [0; 4]));
}

fn nonblocking_can_be_taken_back(t: &Test) {
    let (mut near, _far) = pair(t);
    near.set_nonblocking(true).unwrap();
    t.see("read", near.read(&mut [0; 4]));
    near.set_nonblocking(false).unwrap();
    near.set_read_timeout(Some(30 * MS)).unwrap();
    t.timed("read", 30 * MS, || near.read(&mut [0; 4]));
}

fn nonblocking_and_a_waiting_reader(t: &Test) {
    let (near, mut far) = pair(t);
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            tell.send(rustix::thread::gettid()).unwrap();
            (&near).read(&mut [0; 4])
        });
        let waits = sleeps(told.recv().unwrap());
        assert!(soon(waits));
        near.set_nonblocking(true).unwrap();
        thread::sleep(30 * MS);
        // Who waits already goes on waiting.
        far.write_all(b"x").unwrap();
        t.see("read", reader.join().unwrap());
    });
}

/// Whether a thread of this process has slept for a while, as who waits does and who only has no processor does not.
fn sleeps(thread: rustix::thread::Pid) -> impl FnMut() -> bool {
    let path = format!("/proc/self/task/{thread}/stat");
    let mut asleep = 0;
    move || {
        let stat = std::fs::read_to_string(&path).unwrap();
        // Behind its name in parentheses.
        let state = stat.rsplit(") ").next().unwrap().chars().next();
        asleep = if state == Some('S') { asleep + 1 } else { 0 };
        asleep == 30
    }
}

fn accept_has_no_time_out(t: &Test) {
    let (listener, addr) = listen(t);
    let later = thread::spawn(move || {
        thread::sleep(100 * MS);
        TcpStream::connect(addr).map(drop)
    });
    // That anybody is accepted shows that it has waited.
    t.see("accept", listener.accept().map(drop));
    t.see("connect", later.join().unwrap());
}

fn datagram_timeouts_by_default(t: &Test) {
    let socket = udp(t);
    t.see("read", socket.read_timeout());
    t.see("write", socket.write_timeout());
}

fn datagram_timeouts_are_kept(t: &Test) {
    let socket = udp(t);
    t.see("set", socket.set_read_timeout(Some(1500 * MS)));
    t.see("set", socket.set_write_timeout(Some(3000 * MS)));
    t.see("read", socket.read_timeout());
    t.see("write", socket.write_timeout());
    t.see("take back", socket.set_read_timeout(None));
    t.see("read", socket.read_timeout());
}

fn datagram_timeouts_of_zero(t: &Test) {
    let socket = udp(t);
    t.see("read", socket.set_read_timeout(Some(Duration::ZERO)));
    t.see("write", socket.set_write_timeout(Some(Duration::ZERO)));
    t.see("get", socket.read_timeout());
}

fn datagram_timeouts_are_shared_by_clones(t: &Test) {
    let socket = udp(t);
    let clone = socket.try_clone().unwrap();
    clone.set_read_timeout(Some(2000 * MS)).unwrap();
    t.see("get", socket.read_timeout());
}

fn datagram_times_out(t: &Test) {
    let socket = udp(t);
    socket.set_read_timeout(Some(50 * MS)).unwrap();
    t.timed("receive", 50 * MS, || socket.recv_from(&mut [0; 4]));
}

fn datagram_recv_times_out(t: &Test) {
    let (a, _b) = udp_pair(t);
    a.set_read_timeout(Some(50 * MS)).unwrap();
    t.timed("receive", 50 * MS, || a.recv(&mut [0; 4]));
}

fn datagram_peek_times_out(t: &Test) {
    let (a, _b) = udp_pair(t);
    a.set_read_timeout(Some(30 * MS)).unwrap();
    t.timed("peek", 30 * MS, || a.peek(&mut [0; 4]));
    t.timed("peek from", 30 * MS, || a.peek_from(&mut [0; 4]));
}

fn datagram_in_time(t: &Test) {
    let (a, b) = udp_pair(t);
    a.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let sender = thread::spawn(move || {
        thread::sleep(30 * MS);
        b.send(b"x").unwrap();
        b
    });
    t.see("receive", a.recv(&mut [0; 4]));
    drop(sender.join());
}

fn datagram_after_a_time_out(t: &Test) {
    let (a, b) = udp_pair(t);
    a.set_read_timeout(Some(10 * MS)).unwrap();
    t.see("nothing", a.recv(&mut [0; 4]));
    b.send(b"late").unwrap();
    a.set_read_timeout(None).unwrap();
    t.see("receive", a.recv(&mut [0; 16]));
}

fn datagram_nonblocking(t: &Test) {
    let socket = udp(t);
    t.see("set", socket.set_nonblocking(true));
    t.at_once("receive", || socket.recv_from(&mut [0; 4]));
    t.at_once("peek", || socket.peek_from(&mut [0; 4]));
}

fn datagram_nonblocking_with_one(t: &Test) {
    let (a, b) = udp_pair(t);
    a.set_nonblocking(true).unwrap();
    b.send(b"one").unwrap();
    t.see("arrived", soon(|| a.peek(&mut [0; 4]).is_ok()));
    t.see("receive", a.recv(&mut [0; 16]));
    t.see("no other", a.recv(&mut [0; 16]));
}

fn datagram_nonblocking_beats_the_time_out(t: &Test) {
    let socket: UdpSocket = udp(t);
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.set_nonblocking(true).unwrap();
    t.at_once("receive", || socket.recv_from(&mut [0; 4]));
}

fn datagram_nonblocking_sends(t: &Test) {
    let (a, b) = udp_pair(t);
    a.set_nonblocking(true).unwrap();
    t.at_once("send", || a.send(b"abc"));
    t.see("receive", b.recv(&mut [0; 16]));
}
