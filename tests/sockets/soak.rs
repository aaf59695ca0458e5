//! Many threads on few sockets, doing whatever comes to their minds: nobody hangs, and no byte is lost.
//!
//! `TUNSTACK_SOAK_SECONDS=60` makes it last so long.

use super::common::*;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};
use tunstack::net::{Events, Host, Interest, Poller, TcpListener, TcpStream, Trigger, UdpSocket};

const MS: Duration = Duration::from_millis(1);
const THREADS: u64 = 24;
const CONNECTIONS: usize = 6;
const DATAGRAMS: usize = 2;

/// More bytes than these are not written by one call.
const MOST: usize = 20_000;

/// xorshift64*: what a thread does next.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// Bytes, and their sum: the order in which several threads write or read is nobody's to know.
#[derive(Default)]
struct Tally(AtomicU64, AtomicU64);

impl Tally {
    fn count(&self, bytes: &[u8]) {
        self.0.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        self.1.fetch_add(bytes.iter().map(|b| u64::from(*b)).sum(), Ordering::SeqCst);
    }

    fn get(&self) -> (u64, u64) {
        (self.0.load(Ordering::SeqCst), self.1.load(Ordering::SeqCst))
    }
}

/// A connection that many threads use.
struct Shared {
    ends: [TcpStream; 2],
    written: [Tally; 2],
    read: [Tally; 2],
    /// Somebody has done what may lose bytes: a reset, or an end to reading.
    spoilt: AtomicBool,
}

impl Shared {
    fn open(client: &Host, listener: &TcpListener, pairs: &Mutex<()>) -> Arc<Shared> {
        // Whom one connects is whom one accepts.
        let _pair = pairs.lock().unwrap();
        let near = client.connect(listener.local_addr().unwrap()).unwrap();
        let (far, peer) = listener.accept().unwrap();
        assert_eq!(peer, near.local_addr().unwrap());
        let (written, read) = Default::default();
        Arc::new(Shared { ends: [near, far], written, read, spoilt: AtomicBool::new(false) })
    }

    /// Reads what `end` gives at once, or within its time-out; `Ok(0)` is the end.
    fn read(&self, end: usize, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = (&self.ends[end]).read(buf)?;
        self.read[end].count(&buf[..n]);
        Ok(n)
    }

    fn write(&self, end: usize, bytes: &[u8]) {
        // Counted before it can be read; what was not taken is taken off again.
        if let Ok(n) = (&self.ends[end]).write(bytes) {
            self.written[end].count(&bytes[..n]);
        }
    }

    /// Ends it in order. Who still waits on it returns; then all that was written must have been read.
    fn close(self: Arc<Shared>) {
        for end in &self.ends {
            let _ = end.shutdown(Shutdown::Write);
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        // Both ends are read to their ends, whoever reads besides.
        for end in 0..2 {
            self.ends[end].set_nonblocking(true).unwrap();
            let mut buf = [0; 5000];
            loop {
                match self.read(end, &mut buf) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        assert!(Instant::now() < deadline, "the end does not come");
                        thread::sleep(MS);
                    }
                    Err(error) => {
                        assert!(self.spoilt.load(Ordering::SeqCst), "{error}");
                        break;
                    }
                }
            }
        }
        let mut shared = self;
        let own = loop {
            match Arc::try_unwrap(shared) {
                Ok(own) => break own,
                Err(others) => {
                    assert!(Instant::now() < deadline, "somebody still waits on a connection that has ended");
                    shared = others;
                    thread::sleep(MS);
                }
            }
        };
        if !own.spoilt.load(Ordering::SeqCst) {
            assert_eq!(own.read[1].get(), own.written[0].get(), "bytes and sum, one way");
            assert_eq!(own.read[0].get(), own.written[1].get(), "bytes and sum, the other way");
        }
    }

    /// Does something with it.
    fn act(&self, dice: &mut Dice, buf: &mut [u8]) {
        let end = dice.roll(2) as usize;
        let stream = &self.ends[end];
        match dice.roll(100) {
            0..=34 => {
                let len = 1 + dice.roll(MOST as u64) as usize;
                let seed = dice.roll(250) as u8;
                buf[..len].iter_mut().enumerate().for_each(|(i, byte)| *byte = seed.wrapping_add(i as u8));
                self.write(end, &buf[..len]);
            }
            35..=79 => {
                let len = 1 + dice.roll(buf.len() as u64 - 1) as usize;
                let _ = self.read(end, &mut buf[..len]);
            }
            80..=83 => _ = stream.peek(&mut buf[..100]),
            84..=87 => _ = stream.set_read_timeout(Some(MS * (1 + dice.roll(20) as u32))),
            88..=89 => _ = stream.set_write_timeout(Some(MS * (1 + dice.roll(20) as u32))),
            90..=91 => _ = stream.set_nonblocking(dice.roll(2) == 0),
            92..=93 => _ = stream.set_nodelay(dice.roll(2) == 0),
            94..=97 => poll(stream, dice),
            98 => _ = (stream.take_error(), stream.info(), stream.peer_addr()),
            _ => {
                // Seldom, and then for good.
                match dice.roll(12) {
                    0 => _ = stream.shutdown(Shutdown::Write),
                    1 => {
                        self.spoilt.store(true, Ordering::SeqCst);
                        let _ = stream.shutdown([Shutdown::Read, Shutdown::Both][dice.roll(2) as usize]);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Waits for it with a poller, for a moment.
fn poll(stream: &TcpStream, dice: &mut Dice) {
    let poller = Poller::new(stream.host()).unwrap();
    let trigger = [Trigger::Level, Trigger::Edge][dice.roll(2) as usize];
    let interest = [Interest::READABLE, Interest::WRITABLE][dice.roll(2) as usize];
    // Another poller may have it.
    if poller.add(stream, 1, interest, trigger).is_ok() {
        let mut events = Events::with_capacity(4);
        let _ = poller.wait(&mut events, Some(MS * dice.roll(10) as u32));
        let _ = poller.delete(stream);
    }
}

/// A pair of sockets for datagrams, whose bytes may be lost.
fn act_on_datagrams(sockets: &[UdpSocket; 2], dice: &mut Dice, buf: &mut [u8]) {
    let socket = &sockets[dice.roll(2) as usize];
    match dice.roll(10) {
        0..=3 => _ = socket.send(&buf[..dice.roll(3000) as usize]),
        4..=7 => _ = socket.recv(buf),
        8 => _ = socket.set_read_timeout(Some(MS * (1 + dice.roll(20) as u32))),
        _ => _ = socket.peek(buf),
    }
}

fn datagrams(client: &Host, server: &Host) -> [UdpSocket; 2] {
    let pair = [client.bind_udp((CLIENT, 0)).unwrap(), server.bind_udp((SERVER, 0)).unwrap()];
    pair[0].connect(pair[1].local_addr().unwrap()).unwrap();
    pair[1].connect(pair[0].local_addr().unwrap()).unwrap();
    // Nobody may answer, for others read too.
    pair.iter().for_each(|socket| socket.set_read_timeout(Some(5 * MS)).unwrap());
    pair
}

#[test]
fn many_threads_on_few_sockets() {
    let seconds = std::env::var("TUNSTACK_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    within(seconds + 60, move || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 0)).unwrap();
        let pairs = Mutex::new(());
        let slots: Vec<RwLock<Arc<Shared>>> =
            (0..CONNECTIONS).map(|_| RwLock::new(Shared::open(&client, &listener, &pairs))).collect();
        let sockets: Vec<[UdpSocket; 2]> = (0..DATAGRAMS).map(|_| datagrams(&client, &server)).collect();
        let end = Instant::now() + Duration::from_secs(seconds);
        let (calls, closed) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (slots, sockets, listener, pairs) = (&slots, &sockets, &listener, &pairs);
                let (client, calls, closed) = (&client, &calls, &closed);
                scope.spawn(move || {
                    let mut dice = Dice((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    let mut buf = vec![0; MOST + 1];
                    while Instant::now() < end {
                        calls.fetch_add(1, Ordering::Relaxed);
                        let which = dice.roll((CONNECTIONS + DATAGRAMS) as u64) as usize;
                        if let Some(slot) = slots.get(which) {
                            if dice.roll(150) == 0 {
                                let next = Shared::open(client, listener, pairs);
                                let last = std::mem::replace(&mut *slot.write().unwrap(), next);
                                last.close();
                                closed.fetch_add(1, Ordering::Relaxed);
                            } else {
                                let shared = slot.read().unwrap().clone();
                                shared.act(&mut dice, &mut buf);
                            }
                        } else {
                            act_on_datagrams(&sockets[which - CONNECTIONS], &mut dice, &mut buf);
                        }
                    }
                });
            }
            // Who waits without a time-out, while all others happen to do so too, is waited for by nobody: they are called.
            while Instant::now() < end + 100 * MS {
                thread::sleep(50 * MS);
                for slot in &slots {
                    let shared = slot.read().unwrap().clone();
                    for stream in &shared.ends {
                        let _ = stream.set_read_timeout(Some(10 * MS));
                        let _ = stream.set_write_timeout(Some(10 * MS));
                    }
                }
            }
            // Calls that began before they had a time-out end with their connections.
            for slot in &slots {
                let next = Shared::open(&client, &listener, &pairs);
                let last = std::mem::replace(&mut *slot.write().unwrap(), next);
                last.close();
            }
        });
        for slot in slots {
            slot.into_inner().unwrap().close();
        }
        println!("{} calls, {} connections closed and counted", calls.into_inner(), closed.into_inner());
        server.shutdown(Duration::from_secs(2));
        client.shutdown(Duration::from_secs(2));
    });
}
