//! The cases. Each notes what it sees over the sockets of `super::net`, whichever they are.

mod addresses;
mod closing;
mod datagrams;
mod flags;
mod listeners;
mod options;
mod settings;
mod streams;
mod threads;
mod unbound;
mod urgent;
mod waiting;

use super::{net, opt};
use crate::Case;
use crate::seen::Test;
use net::{TcpListener, TcpStream, UdpSocket, linger, set_linger};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub const MS: Duration = Duration::from_millis(1);

/// What is held back, by a cork or because more is to follow, goes after this time at the earliest.
const HELD: Duration = Duration::from_millis(180);

/// The cases of a file, by name.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub fn cases() -> Vec<$crate::Case> {
            vec![$((concat!(module_path!(), "::", stringify!($name)), $name as fn(&$crate::seen::Test))),*]
        }
    };
}
use cases;

/// All cases, named by file and function.
pub fn all() -> Vec<Case> {
    let files = [
        addresses::cases(),
        closing::cases(),
        datagrams::cases(),
        flags::cases(),
        listeners::cases(),
        options::cases(),
        settings::cases(),
        streams::cases(),
        threads::cases(),
        unbound::cases(),
        urgent::cases(),
        waiting::cases(),
    ];
    // What stands before `cases::` is which sockets they are compiled for.
    let short = |(name, case): Case| (name.split_once("::cases::").map_or(name, |(_, name)| name), case);
    files.concat().into_iter().map(short).collect()
}

/// A listener on the loopback address, and where.
fn listen(t: &Test) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(t.any()).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// A connection over loopback: the end that connected, and the one that was accepted.
fn pair(t: &Test) -> (TcpStream, TcpStream) {
    let (listener, addr) = listen(t);
    let near = TcpStream::connect(addr).unwrap();
    let (far, _) = listener.accept().unwrap();
    (near, far)
}

/// A socket for datagrams on the loopback address.
fn udp(t: &Test) -> UdpSocket {
    UdpSocket::bind(t.any()).unwrap()
}

/// Two such, each the other's peer.
fn udp_pair(t: &Test) -> (UdpSocket, UdpSocket) {
    let (a, b) = (udp(t), udp(t));
    a.connect(b.local_addr().unwrap()).unwrap();
    b.connect(a.local_addr().unwrap()).unwrap();
    (a, b)
}

/// An address of the loopback's that nobody listens on.
fn nobody(t: &Test) -> SocketAddr {
    listen(t).1
}

/// Whether `done` comes true, however slow the machine is: for what happens in the background.
fn soon(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + 20_000 * MS;
    while Instant::now() < end {
        if done() {
            return true;
        }
        std::thread::sleep(MS);
    }
    false
}

/// What `act` gives with what `prepare` gave, when it takes less than `limit`: for what is so only until a timer goes off.
/// On a busy machine it may take longer and then says nothing, so it is done again.
fn quickly<P, T>(limit: Duration, mut prepare: impl FnMut() -> P, mut act: impl FnMut(&mut P) -> T) -> (P, T) {
    for _ in 0..50 {
        let mut prepared = prepare();
        let begin = Instant::now();
        let value = act(&mut prepared);
        if begin.elapsed() < limit {
            return (prepared, value);
        }
    }
    panic!("never within {limit:?}");
}

/// Bytes of which none looks like its neighbour.
fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}
