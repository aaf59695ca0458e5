//! A million connections to one stack, from peers that are only made up: what memory they take, and what a segment costs
//! when there are few and when there are many.
//!
//! ```text
//! cargo run --release --example million
//! cargo run --release --example million -- 100000
//! ```
//!
//! It fails if a connection takes more than 1 KiB of resident memory. Times are for a quiet machine to tell: with many
//! connections they are those of its memory.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::{Duration, Instant as Clock};
use tunstack::buf::Slice;
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, ListenerId, Stack, TcpId};
use tunstack::time::Instant;
use tunstack::wire::{RxChecksum, RxFrame, RxMeta};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PORT: u16 = 80;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
/// Bytes of text in a measured segment.
const TEXT: usize = 100;
/// Segments made before they are handed over, so that making them is not measured.
const BATCH: usize = 512;

/// What has to be known of a connection to play its peer, and its application.
#[derive(Clone, Copy)]
struct Peer {
    id: TcpId,
    /// The next number that the peer sends.
    seq: u32,
    /// The next that it expects.
    ack: u32,
}

struct World {
    stack: Stack,
    listener: ListenerId,
    peers: Vec<Peer>,
    now: Instant,
}

impl World {
    fn new(connections: usize) -> World {
        let config = Config {
            addresses: vec![Cidr::new(IpAddr::V4(SERVER), 8)],
            max_connections: connections.max(1024),
            ..Config::default()
        };
        let now = Instant::from_millis(1000);
        let mut stack = Stack::new(config, Rng::seed_from(7), now).expect("a valid configuration");
        let options = stack.default_tcp_options();
        let listener = stack.tcp_listen(SocketAddr::from((SERVER, PORT)), 16, options).expect("a free port");
        World { stack, listener, peers: Vec::with_capacity(connections), now }
    }

    fn receive(&mut self, frame: RxFrame) {
        self.stack.on_frame(self.now, frame);
    }

    /// Opens one more connection.
    fn open(&mut self) {
        let number = self.peers.len();
        let iss = (number as u32).wrapping_mul(2_654_435_761);
        self.receive(segment(number, iss, 0, SYN, &[]));
        let answer = self.stack.poll_transmit(self.now).expect("a SYN,ACK").to_vec();
        let ack = u32::from_be_bytes([answer[24], answer[25], answer[26], answer[27]]).wrapping_add(1);
        let seq = iss.wrapping_add(1);
        self.receive(segment(number, seq, ack, ACK, &[]));
        let (id, _) = self.stack.tcp_accept(self.now, self.listener).expect("a connection");
        while self.stack.poll_transmit(self.now).is_some() {}
        while self.stack.poll_ready().is_some() {}
        self.peers.push(Peer { id, seq, ack });
    }

    /// What a segment costs, of `count` that come to the first `among` connections in no order: to take it, to tell the
    /// application, to read it, and to answer. By the median of the batches, so that what else the machine does counts
    /// little.
    fn cost(&mut self, among: usize, count: usize, rng: &mut Rng) -> Duration {
        let mut spent = Vec::new();
        for _ in 0..count.div_ceil(BATCH) {
            self.now += Duration::from_millis(50);
            let frames: Vec<RxFrame> = (0..BATCH)
                .map(|_| {
                    let number = rng.between(0, among as u64 - 1) as usize;
                    let peer = &mut self.peers[number];
                    let seq = peer.seq;
                    peer.seq = seq.wrapping_add(TEXT as u32);
                    segment(number, seq, peer.ack, ACK | PSH, &[7; TEXT])
                })
                .collect();
            let began = Clock::now();
            self.stack.on_deadline(self.now);
            for frame in frames {
                self.stack.on_frame(self.now, frame);
                while let Some(ready) = self.stack.poll_ready() {
                    if let tunstack::stack::SocketId::Tcp(id) = ready {
                        let mut buf = [0; 2 * TEXT];
                        while self.stack.tcp_recv(self.now, id, &mut buf).is_ok() {}
                    }
                }
                while self.stack.poll_transmit(self.now).is_some() {}
            }
            spent.push(began.elapsed());
        }
        let taken = self.peers[..among].iter().map(|peer| self.stack.tcp_send_queue(peer.id)).filter(Result::is_ok);
        assert_eq!(taken.count(), among, "every connection is alive");
        spent.sort_unstable();
        spent[spent.len() / 2] / BATCH as u32
    }
}

/// A segment of peer `number`.
fn segment(number: usize, seq: u32, ack: u32, flags: u8, text: &[u8]) -> RxFrame {
    let addr = Ipv4Addr::from_bits(SERVER.to_bits() + 1 + number as u32 / 60_000);
    let port = 1024 + (number % 60_000) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend((40 + text.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    packet.extend(addr.octets());
    packet.extend(SERVER.octets());
    let sum: u32 = packet.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend(PORT.to_be_bytes());
    packet.extend(seq.to_be_bytes());
    packet.extend(ack.to_be_bytes());
    packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend(text);
    // The checksum was verified already, as for a frame that comes from the host itself.
    RxFrame { data: Slice::copy_of(&packet), meta: RxMeta { checksum: RxChecksum::Valid, gso: None, interface: 0 } }
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number of pages");
    pages * 4096
}

struct Report {
    /// Bytes of resident memory for each connection.
    each: usize,
    /// Numbers of connections, and what a segment costs with so many.
    costs: Vec<(usize, Duration)>,
}

/// Opens `connections`, and measures at ten of them, at a hundredth, at a tenth, and at all.
fn run(connections: usize, segments: usize) -> Report {
    let mut world = World::new(connections);
    let mut rng = Rng::new(Rng::seed_from(3));
    let before = resident();
    let mut costs = Vec::new();
    for goal in [10, connections / 100, connections / 10, connections] {
        while world.peers.len() < goal {
            world.open();
        }
        world.cost(goal, segments / 10, &mut rng); // to warm up
        costs.push((goal, world.cost(goal, segments, &mut rng)));
    }
    // The delayed ACKs go out; nothing is left but connections.
    world.now += Duration::from_secs(1);
    world.stack.on_deadline(world.now);
    while world.stack.poll_transmit(world.now).is_some() {}
    assert_eq!((world.stack.memory(), world.stack.deadline()), (0, None), "they are idle");
    let own = world.peers.capacity() * size_of::<Peer>();
    Report { each: (resident() - before).saturating_sub(own) / connections, costs }
}

fn main() -> ExitCode {
    let connections = std::env::args().nth(1).map_or(Ok(1_000_000), |arg| arg.parse());
    let Ok(connections @ 1000..=1_048_576) = connections else {
        eprintln!("usage: million [CONNECTIONS], 1,000 to 1,048,576");
        return ExitCode::from(2);
    };
    let report = run(connections, 400_000);
    println!("{connections} connections, {} bytes of resident memory each", report.each);
    for (n, cost) in &report.costs {
        println!("{n:>9} connections: {:>5} ns a segment", cost.as_nanos());
    }
    let [.., tenth, all] = &report.costs[..] else { return ExitCode::FAILURE };
    let ratio = all.1.as_secs_f64() / tenth.1.as_secs_f64();
    println!("{ratio:.2} times the time that it takes with a tenth of the connections");
    if report.each <= 1024 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_takes_less_than_a_kilobyte() {
        let report = run(50_000, 10_000);
        assert!(report.each <= 1024, "{} bytes each", report.each);
        assert_eq!(report.costs.len(), 4);
    }
}
