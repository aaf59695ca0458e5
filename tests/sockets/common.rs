//! What the socket tests share: two hosts on a link, data to be checked, and a time limit for each test.

use super::fabric;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tunstack::device::{Device, mem};
use tunstack::net::{Builder, Drive, Host, TcpStream};

/// Who drives the hosts: these tests run a second time, as another crate.
pub const DRIVE: Drive =
    if matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"sockets_caretaker") { Drive::Caretaker } else { Drive::Caller };

pub const CLIENT: &str = "192.0.2.1";
pub const SERVER: &str = "192.0.2.2";

/// Two hosts on a link in memory: client and server. The tests of several queues run this crate's with two on each side,
/// and packets that come to the wrong one.
pub fn hosts() -> (Host, Host) {
    if env!("CARGO_CRATE_NAME") == "queues" {
        return fabric::hosts(2, 2, 10);
    }
    let (a, b) = mem::pair(1500, 4096).unwrap();
    hosts_on(a, b)
}

pub fn hosts_on(a: impl Device + 'static, b: impl Device + 'static) -> (Host, Host) {
    (builder(CLIENT).start(a).unwrap(), builder(SERVER).start(b).unwrap())
}

pub fn builder(address: &str) -> Builder {
    Host::builder().address(format!("{address}/24")).drive(DRIVE)
}

/// A connection: the client's end and the server's.
pub fn connection(client: &Host, server: &Host) -> (TcpStream, TcpStream) {
    let listener = server.listen((SERVER, 0)).unwrap();
    let near = client.connect(listener.local_addr().unwrap()).unwrap();
    let (far, peer) = listener.accept().unwrap();
    assert_eq!(peer, near.local_addr().unwrap());
    (near, far)
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Runs `test` in a thread of its own, and fails when it has not ended after `seconds`.
pub fn within(seconds: u64, test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match ended.recv_timeout(Duration::from_secs(seconds)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not done within {seconds} s"),
        _ => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

/// Waits until it is so, as long as that takes on a busy machine.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(40);
    while !is_so() {
        assert!(Instant::now() < end, "not in 40 s: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The byte at `at` of the stream `seed`: no shift of the stream looks like another.
pub fn byte(seed: u64, at: u64) -> u8 {
    let mut x = (at ^ seed.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    (x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
}

/// Writes `len` bytes of the stream `seed` in pieces of many sizes.
pub fn write_stream(mut to: impl Write, seed: u64, len: u64) {
    let sizes = [1u64, 7, 1000, 1460, 4096, 4097, 20_000, 65_536, 300_000];
    let mut at = 0;
    for size in sizes.iter().cycle() {
        if at == len {
            break;
        }
        let piece: Vec<u8> = (at..len.min(at + size)).map(|i| byte(seed, i)).collect();
        to.write_all(&piece).unwrap();
        at += piece.len() as u64;
    }
}

/// Reads to the end, wanting exactly `len` bytes of the stream `seed`.
pub fn check_stream(mut from: impl Read, seed: u64, len: u64) {
    let mut at = 0;
    let mut buf = vec![0; 100_000];
    for size in [100_000, 1, 5000, 33, 4096].iter().cycle() {
        let n = from.read(&mut buf[..*size]).unwrap();
        if n == 0 {
            break;
        }
        for (i, &got) in buf[..n].iter().enumerate() {
            assert_eq!(got, byte(seed, at + i as u64), "at byte {}", at + i as u64);
        }
        at += n as u64;
    }
    assert_eq!(at, len, "the stream's length");
}

/// Gives everything back until the end of the stream.
pub fn echo(stream: &TcpStream) {
    let (mut from, mut to) = (stream, stream);
    let mut buf = vec![0; 16_384];
    loop {
        match from.read(&mut buf).unwrap() {
            0 => break,
            n => to.write_all(&buf[..n]).unwrap(),
        }
    }
}
