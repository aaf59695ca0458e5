//! Many connections at once with too little memory, over a lossy link or inside one stack: every byte arrives, in order,
//! and every connection ends. Slowly perhaps, but without a stall.

use crate::fuzz::seeds;
use crate::support::{LOCAL, PEER, pattern};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::error::Error;
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, ListenerId, Readiness, Shutdown, SocketId, Stack, TcpId};
use tunstack::time::Instant;
use tunstack::wire::RxFrame;

/// One end of a connection: what it has still to write and has read.
struct Socket {
    stack: usize,
    id: TcpId,
    /// Bytes written and read so far, and how many there are in each direction.
    written: usize,
    read: usize,
    to_write: usize,
    to_read: usize,
    /// Told to wait, and not told to go on yet.
    waits_to_write: bool,
    waits_to_read: bool,
    shut: bool,
    ended: bool,
}

struct World {
    rng: Rng,
    stacks: Vec<Stack>,
    listener: ListenerId,
    sockets: Vec<Socket>,
    now: Instant,
    link: BTreeMap<(Instant, u64), (usize, Slice)>,
    sent: u64,
    loss: f64,
    bytes: usize,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(Rng::seed_from(seed));
        let now = Instant::from_millis(rng.between(0, 1 << 30));
        let inside = rng.chance(0.3);
        let memory = [16_000, 64_000, 1 << 20, 256 << 20][rng.between(0, 3) as usize];
        let mut stack = |addr: Ipv4Addr| {
            let mut config = Config { addresses: vec![Cidr::new(IpAddr::V4(addr), 24)], ..Config::default() };
            config.mtu = [576, 1500, 1500, 9000, 65_535][rng.between(0, 4) as usize];
            config.memory = memory;
            config.tcp.sack = rng.chance(0.7);
            config.tcp.timestamps = rng.chance(0.7);
            config.tcp.window_scaling = rng.chance(0.7);
            config.tcp.send_buffer = rng.between(1024, 100_000) as usize;
            config.tcp.recv_buffer = rng.between(1024, 100_000) as usize;
            config.tcp.fixed_iss = rng.chance(0.5).then_some(u32::MAX - 5000);
            Stack::new(config, Rng::seed_from(seed), now).expect("a valid configuration")
        };
        let mut stacks = if inside { vec![stack(PEER)] } else { vec![stack(LOCAL), stack(PEER)] };
        let loss = if rng.chance(0.5) { 0.0 } else { 0.05 };
        let server = stacks.len() - 1;
        let options = stacks[server].default_tcp_options();
        let listener = stacks[server].tcp_listen(SocketAddr::from((PEER, 80)), 64, options).expect("a free port");
        let link = BTreeMap::new();
        let bytes = rng.between(0, 60_000) as usize;
        let mut world = World { rng, stacks, listener, sockets: vec![], now, link, sent: 0, loss, bytes };
        for _ in 0..world.rng.between(1, 12) {
            world.connect();
        }
        world
    }

    fn socket(&mut self, stack: usize, id: TcpId) {
        self.sockets.push(Socket {
            stack,
            id,
            written: 0,
            read: 0,
            to_write: self.bytes,
            to_read: self.bytes,
            waits_to_write: false,
            waits_to_read: false,
            shut: false,
            ended: false,
        });
    }

    fn connect(&mut self) {
        let stack = &mut self.stacks[0];
        let mut options = stack.default_tcp_options();
        options.nodelay = self.rng.chance(0.5);
        let id = stack.tcp_connect(self.now, None, SocketAddr::from((PEER, 80)), options).expect("a free port");
        self.socket(0, id);
    }

    fn serve(&mut self) {
        let server = self.stacks.len() - 1;
        while let Ok((id, _)) = self.stacks[server].tcp_accept(self.now, self.listener) {
            self.socket(server, id);
        }
        for i in 0..self.stacks.len() {
            while let Some(ready) = self.stacks[i].poll_ready() {
                let SocketId::Tcp(id) = ready else { continue };
                if let Some(s) = self.sockets.iter_mut().find(|s| s.stack == i && s.id == id) {
                    (s.waits_to_write, s.waits_to_read) = (false, false);
                }
            }
        }
        for s in &mut self.sockets {
            let stack = &mut self.stacks[s.stack];
            // A lazy application looks only sometimes.
            if !self.rng.chance(0.7) {
                continue;
            }
            while !s.waits_to_write && s.written < s.to_write {
                let n = (s.to_write - s.written).min(self.rng.between(1, 9000) as usize);
                match stack.tcp_send(self.now, s.id, &pattern(s.written..s.written + n)) {
                    Ok(n) => s.written += n,
                    Err(Error::WouldBlock) => s.waits_to_write = true,
                    Err(e) => panic!("send: {e}"),
                }
            }
            if s.written == s.to_write && !s.shut {
                s.shut = true;
                stack.tcp_shutdown(self.now, s.id, Shutdown::Write).expect("a connection");
            }
            while !s.waits_to_read {
                let mut buf = vec![0; self.rng.between(1, 9000) as usize];
                match stack.tcp_recv(self.now, s.id, &mut buf) {
                    Ok(0) => {
                        assert_eq!(s.read, s.to_read, "the stream ends where it should");
                        s.ended = true;
                        s.waits_to_read = true;
                    }
                    Ok(n) => {
                        assert!(buf[..n] == pattern(s.read..s.read + n), "wrong bytes at {}", s.read);
                        s.read += n;
                    }
                    Err(Error::WouldBlock) => {
                        s.waits_to_read = true;
                        let ready = stack.readiness(SocketId::Tcp(s.id));
                        assert!(!ready.contains(Readiness::READABLE), "WouldBlock, but {ready:?}");
                    }
                    Err(e) => panic!("recv: {e}"),
                }
            }
        }
    }

    fn carry(&mut self) {
        for from in 0..self.stacks.len() {
            while let Some(frame) = self.stacks[from].poll_transmit(self.now) {
                assert!(self.stacks.len() == 2, "a connection inside the stack sends nothing outside");
                if self.rng.chance(self.loss) {
                    continue;
                }
                self.sent += 1;
                let at = self.now + Duration::from_micros(10_000 + self.rng.between(0, 2000));
                self.link.insert((at, self.sent), (1 - from, Slice::copy_of(&frame.to_vec())));
            }
        }
    }

    fn done(&self) -> bool {
        self.sockets.iter().all(|s| s.ended && s.shut) && self.sockets.len().is_multiple_of(2)
    }

    fn run(&mut self) {
        let start = self.now;
        let mut steps = 0;
        while !self.done() {
            steps += 1;
            self.serve();
            self.carry();
            let timers = self.stacks.iter().filter_map(Stack::deadline);
            let next = timers.chain(self.link.keys().next().map(|&(at, _)| at)).min();
            let lazy = self.now + Duration::from_millis(50);
            self.now = self.now.max(next.map_or(lazy, |next| next.min(lazy)));
            while let Some(entry) = self.link.first_entry().filter(|e| e.key().0 <= self.now) {
                let (to, data) = entry.remove();
                self.stacks[to].on_frame(self.now, RxFrame::plain(data));
            }
            for stack in &mut self.stacks {
                stack.on_deadline(self.now);
            }
            if self.now.since(start) > Duration::from_secs(600) || steps > 300_000 {
                let left: Vec<_> = self.sockets.iter().map(|s| (s.stack, s.written, s.read, s.shut, s.ended)).collect();
                let infos: Vec<_> = self.stacks.iter().map(Stack::tcp_snapshot).collect();
                panic!("{} bytes are not done after {:?}: {left:?}\n{infos:#?}", self.bytes, self.now.since(start));
            }
        }
        for s in &self.sockets {
            self.stacks[s.stack].tcp_close(self.now, s.id).expect("an open handle");
        }
        assert!(self.stacks.iter().all(|stack| stack.memory() <= stack.config().memory + 12 * 100_000));
    }
}

#[test]
fn everything_arrives_however_short_memory_is() {
    for seed in seeds(0..200) {
        let mut world = World::new(seed);
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| world.run())) {
            eprintln!("seed {seed}");
            resume_unwind(cause);
        }
    }
}
