//! Two stacks talk over a link that loses, repeats, delays, cuts short and changes packets, with the checksums put right
//! again, so that every change is believed. No content can be expected of that; that all ends, can.

use crate::bytes::fix;
use crate::fuzz::seeds;
use crate::support::{LOCAL, PEER};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, Keepalive, ListenerId, Shutdown, Stack, TcpId};
use tunstack::time::Instant;
use tunstack::wire::RxFrame;

struct End {
    stack: Stack,
    listener: ListenerId,
    handles: Vec<TcpId>,
}

impl End {
    fn accept(&mut self, now: Instant) {
        while let Ok((id, _)) = self.stack.tcp_accept(now, self.listener) {
            self.handles.push(id);
        }
    }

    fn close_all(&mut self, now: Instant) {
        self.accept(now);
        for id in self.handles.drain(..) {
            self.stack.tcp_close(now, id).expect("an open handle");
        }
    }
}

struct World {
    rng: Rng,
    ends: [End; 2],
    now: Instant,
    /// Packets under way: when they arrive, a running number, and to whom.
    link: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
    /// The chance that a packet is changed; no packet suffers anything once it is zero.
    malice: f64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(Rng::seed_from(seed));
        let now = Instant::from_millis(rng.between(0, 1 << 40));
        let ends = [LOCAL, PEER].map(|addr: Ipv4Addr| {
            let mut config = Config { addresses: vec![Cidr::new(IpAddr::V4(addr), 24)], ..Config::default() };
            config.mtu = [100, 576, 1500, 9000][rng.between(0, 3) as usize];
            config.tcp.timestamps = rng.chance(0.7);
            config.tcp.sack = rng.chance(0.7);
            config.tcp.window_scaling = rng.chance(0.7);
            config.tcp.fixed_iss = rng.chance(0.5).then_some(u32::MAX - 2000);
            let mut stack = Stack::new(config, Rng::seed_from(seed), now).expect("a valid configuration");
            let mut options = stack.default_tcp_options();
            (options.send_buffer, options.recv_buffer) = (Some(20_000), Some(20_000));
            let keepalive = Keepalive { idle: Duration::from_secs(3), interval: Duration::from_secs(1), count: 3 };
            options.keepalive = rng.chance(0.2).then_some(keepalive);
            let listener = stack.tcp_listen(SocketAddr::from((addr, 80)), 4, options).expect("a free port");
            End { stack, listener, handles: Vec::new() }
        });
        World { rng, ends, now, link: BTreeMap::new(), sent: 0, malice: 0.1 }
    }

    fn carry(&mut self, from: usize) {
        for _ in 0..10_000 {
            let Some(frame) = self.ends[from].stack.poll_transmit(self.now) else { return };
            let mut bytes = frame.to_vec();
            let mut copies = 1;
            let mut delay = Duration::from_millis(10);
            if self.rng.chance(self.malice) {
                match self.rng.between(0, 9) {
                    0 => copies = 0,
                    1 => copies = self.rng.between(2, 5) as usize,
                    2 => delay = Duration::from_millis(self.rng.between(0, 3000)),
                    3 => {
                        let n = self.rng.between(0, bytes.len() as u64) as usize;
                        bytes.truncate(n);
                        if n > 4 {
                            bytes[2..4].copy_from_slice(&(n as u16).to_be_bytes());
                        }
                    }
                    _ => {
                        // Mostly the TCP header.
                        let last = if self.rng.chance(0.8) { 60.min(bytes.len()) } else { bytes.len() };
                        for _ in 0..self.rng.between(1, 3) {
                            let at = self.rng.between(20, last as u64 - 1) as usize;
                            bytes[at] ^= self.rng.u32() as u8;
                        }
                    }
                }
                fix(&mut bytes);
            }
            for _ in 0..copies {
                self.sent += 1;
                self.link.insert((self.now + delay, self.sent), (1 - from, bytes.clone()));
            }
        }
        panic!("output without end");
    }

    fn step(&mut self) {
        let due = self.ends.iter().filter_map(|e| e.stack.deadline());
        let next = due.chain(self.link.keys().next().map(|&(at, _)| at)).min();
        let Some(next) = next else {
            self.now += Duration::from_millis(100);
            return;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.link.first_entry().filter(|e| e.key().0 <= self.now) {
            let (to, bytes) = entry.remove();
            self.ends[to].stack.on_frame(self.now, RxFrame::plain(Slice::copy_of(&bytes)));
        }
        for end in &mut self.ends {
            end.stack.on_deadline(self.now);
            assert!(end.stack.deadline().is_none_or(|due| due > self.now), "a deadline that does not pass");
        }
        self.carry(0);
        self.carry(1);
    }

    /// What the two applications do, at random.
    fn act(&mut self) {
        let (now, who) = (self.now, self.rng.between(0, 1) as usize);
        let n = self.rng.between(0, 3000) as usize;
        let choice = self.rng.between(0, 20);
        self.ends[who].accept(now);
        let End { stack, handles, .. } = &mut self.ends[who];
        if handles.len() < 3 && choice < 4 {
            let mut options = stack.default_tcp_options();
            (options.send_buffer, options.recv_buffer) = (Some(20_000), Some(20_000));
            let remote = SocketAddr::from(([PEER, LOCAL][who], 80));
            handles.extend(stack.tcp_connect(now, None, remote, options));
        }
        if handles.is_empty() {
            return;
        }
        let i = n % handles.len();
        let id = handles[i];
        match choice {
            5..=12 => drop(stack.tcp_send(now, id, &vec![7; n])),
            13..=18 => drop(stack.tcp_recv(now, id, &mut vec![0; n])),
            19 => drop(stack.tcp_shutdown(now, id, Shutdown::Write)),
            20 => {
                handles.swap_remove(i);
                stack.tcp_close(now, id).expect("an open handle");
            }
            _ => {}
        }
    }

    /// The link is clean again and all sockets are closed: both ends fall silent, and nothing is left.
    fn end(&mut self) {
        self.malice = 0.0;
        self.ends.iter_mut().for_each(|end| end.close_all(self.now));
        let started = self.now;
        for _ in 0..20_000 {
            let busy = self.ends.iter().any(|e| e.stack.deadline().is_some());
            if !busy && self.link.is_empty() {
                break;
            }
            self.step();
            // Who was not accepted yet has nobody else to close it.
            self.ends.iter_mut().for_each(|end| end.close_all(self.now));
        }
        for end in &self.ends {
            let left = end.stack.tcp_snapshot();
            assert_eq!(left.len(), 1, "after {:?} only the listener is left: {left:?}", self.now.since(started));
            assert_eq!((end.stack.memory(), end.stack.deadline()), (0, None));
        }
    }
}

#[test]
fn two_stacks_on_a_malicious_link() {
    for seed in seeds(0..150) {
        let run = || {
            let mut world = World::new(seed);
            for _ in 0..1500 {
                world.act();
                world.step();
            }
            world.end();
            world.sent
        };
        match std::panic::catch_unwind(run) {
            Ok(sent) => assert!(sent > 100, "seed {seed}: {sent} packets"),
            Err(cause) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(cause);
            }
        }
    }
}
