//! Two stacks in one loop, no device: what the machine itself costs.
//!
//! `cargo bench --bench stack`

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use std::net::SocketAddr;
use tunstack::buf::{Chunk, Pool, Slice};
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, ListenerId, Stack, TcpId};
use tunstack::time::Instant;
use tunstack::wire::{Offloads, RxChecksum, RxFrame, RxMeta, TxFrame};

fn main() {
    divan::main();
}

/// A client and a server, and the time, which stands still but for a microsecond for each exchange.
struct Pair {
    client: Stack,
    server: Stack,
    listener: ListenerId,
    pool: Pool,
    now: Instant,
}

const SERVER: [u8; 4] = [192, 0, 2, 2];

fn port() -> SocketAddr {
    (SERVER, 80).into()
}

impl Pair {
    fn new() -> Pair {
        Pair::with(9000, Offloads::NONE)
    }

    fn with(mtu: usize, offloads: Offloads) -> Pair {
        let stack = |addr: [u8; 4]| {
            let config = Config { addresses: vec![Cidr::new(addr.into(), 24)], mtu, offloads, ..Config::default() };
            Stack::new(config, Rng::seed_from(u64::from(addr[3])), Instant::ZERO).expect("a stack")
        };
        let (client, mut server) = (stack([192, 0, 2, 1]), stack(SERVER));
        let options = server.default_tcp_options();
        let listener = server.tcp_listen(port(), 16, options).expect("a listener");
        Pair { client, server, listener, pool: Pool::new(64), now: Instant::ZERO }
    }

    /// Carries frames until there are none.
    fn exchange(&mut self) {
        while self.forth() + self.back() > 0 {
            self.now += std::time::Duration::from_micros(1);
        }
    }

    /// Carries the client's frames, and says how many there were.
    fn forth(&mut self) -> usize {
        carry(&self.pool, &mut self.client, &mut self.server, self.now)
    }

    fn back(&mut self) -> usize {
        carry(&self.pool, &mut self.server, &mut self.client, self.now)
    }

    fn connect(&mut self) -> (TcpId, TcpId) {
        let options = self.client.default_tcp_options();
        let near = self.client.tcp_connect(self.now, None, port(), options).expect("a connection");
        self.exchange();
        let (far, _) = self.server.tcp_accept(self.now, self.listener).expect("its other end");
        (near, far)
    }
}

/// Gives every frame of `from` to `to` and says how many there were.
fn carry(pool: &Pool, from: &mut Stack, to: &mut Stack, now: Instant) -> usize {
    let frames = std::iter::from_fn(|| from.poll_transmit(now));
    frames.map(|frame| to.on_frame(now, received(pool.take(), &frame))).count()
}

/// The frame as it is on the other side of a device: one piece of memory, with what is known about it.
fn received(mut chunk: Chunk, frame: &TxFrame) -> RxFrame {
    frame.write_to(chunk.space());
    chunk.set_len(frame.len());
    let partial = frame.meta.partial_checksum.is_some();
    let checksum = if partial { RxChecksum::Partial } else { RxChecksum::Unverified };
    RxFrame { data: chunk.freeze(), meta: RxMeta { checksum, gso: frame.meta.gso, interface: 0 } }
}

#[divan::bench]
fn open_and_reset(bencher: Bencher) {
    let mut pair = Pair::new();
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let (near, far) = pair.connect();
        pair.client.tcp_abort(pair.now, near).expect("our end");
        pair.exchange();
        pair.server.tcp_close(pair.now, far).expect("its end");
    });
}

/// One write of `len` bytes, carried over, acknowledged and read.
#[divan::bench(args = [1, 1000, 60_000])]
fn transfer(bencher: Bencher, len: usize) {
    let mut pair = Pair::new();
    let (near, far) = pair.connect();
    let data = vec![0x5a; len];
    let mut buf = vec![0; len];
    bencher.counter(BytesCount::new(len)).bench_local(|| {
        let mut sent = 0;
        let mut read = 0;
        while read < len {
            if sent < len {
                sent += pair.client.tcp_send(pair.now, near, &data[sent..]).unwrap_or(0);
            }
            pair.exchange();
            // With the delayed ACK's time passing, a lone small segment is acknowledged, too.
            pair.now += std::time::Duration::from_millis(50);
            pair.client.on_deadline(pair.now);
            pair.server.on_deadline(pair.now);
            pair.exchange();
            read += pair.server.tcp_recv(pair.now, far, &mut buf).unwrap_or(0);
        }
    });
}

/// 64 MiB from one stack to the other, read as they come.
#[divan::bench(args = [true, false], sample_count = 10)]
fn bulk(bencher: Bencher, offloads: bool) {
    const TOTAL: usize = 64 << 20;
    let mut pair = Pair::with(1500, if offloads { Offloads::ALL } else { Offloads::NONE });
    let (near, far) = pair.connect();
    let piece = Slice::copy_of(&vec![0x5a; 64_000]);
    bencher.counter(BytesCount::new(TOTAL)).bench_local(|| {
        let mut read = 0;
        let mut sent = 0;
        while read < TOTAL {
            while sent < TOTAL {
                let next = piece.slice(0..piece.len().min(TOTAL - sent));
                match pair.client.tcp_push(pair.now, near, next) {
                    Ok(taken) => sent += taken,
                    Err(_) => break,
                }
            }
            let moved = pair.forth();
            while let Ok(slices) = pair.server.tcp_pop(pair.now, far, usize::MAX) {
                read += slices.iter().map(|slice| slice.len()).sum::<usize>();
            }
            pair.back();
            pair.now += std::time::Duration::from_micros(if moved > 0 { 10 } else { 1000 });
            pair.client.on_deadline(pair.now);
            pair.server.on_deadline(pair.now);
        }
    });
}
