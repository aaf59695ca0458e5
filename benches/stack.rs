//! Two stacks in one loop, no device: what the machine itself costs.
//!
//! `cargo bench --bench stack`

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use std::net::SocketAddr;
use tunstack::buf::Slice;
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, ListenerId, Stack, TcpId};
use tunstack::time::Instant;
use tunstack::wire::RxFrame;

fn main() {
    divan::main();
}

/// A client and a server, and the time, which stands still but for a microsecond for each exchange.
struct Pair {
    client: Stack,
    server: Stack,
    listener: ListenerId,
    now: Instant,
}

const SERVER: [u8; 4] = [192, 0, 2, 2];

fn port() -> SocketAddr {
    (SERVER, 80).into()
}

impl Pair {
    fn new() -> Pair {
        let stack = |addr: [u8; 4]| {
            let config = Config { addresses: vec![Cidr::new(addr.into(), 24)], mtu: 9000, ..Config::default() };
            Stack::new(config, Rng::seed_from(u64::from(addr[3])), Instant::ZERO).expect("a stack")
        };
        let (client, mut server) = (stack([192, 0, 2, 1]), stack(SERVER));
        let options = server.default_tcp_options();
        let listener = server.tcp_listen(port(), 16, options).expect("a listener");
        Pair { client, server, listener, now: Instant::ZERO }
    }

    /// Carries frames until there are none.
    fn exchange(&mut self) {
        while carry(&mut self.client, &mut self.server, self.now) + carry(&mut self.server, &mut self.client, self.now)
            > 0
        {
            self.now += std::time::Duration::from_micros(1);
        }
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
fn carry(from: &mut Stack, to: &mut Stack, now: Instant) -> usize {
    let frames = std::iter::from_fn(|| from.poll_transmit(now));
    frames.map(|frame| to.on_frame(now, RxFrame::plain(Slice::copy_of(&frame.to_vec())))).count()
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
