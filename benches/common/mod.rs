//! A stack and peers that are only what they send: a peer costs a few numbers, so a million of them can be had. Shared by
//! the benchmarks and by `examples/instructions.rs`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tunstack::buf::{Chunk, Pool, Slice};
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, ListenerId, Stack, TcpId};
use tunstack::time::Instant;
use tunstack::wire::tcp::{Flags, TcpHeader};
use tunstack::wire::tcp_options::TcpOptions;
use tunstack::wire::{Gso, GsoKind, Offloads, RxChecksum, RxFrame, RxMeta, ipv4, tcp};

/// The stack's address and port.
const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 2), 80);

/// The text of a full segment at an MTU of 1500, with time stamps.
pub const SEGMENT: usize = 1448;

/// The text of a super-segment of whole segments.
pub const SUPER_SEGMENT: usize = 44 * SEGMENT;

/// Bytes of the headers of IPv4 and TCP with time stamps.
const HEADERS: usize = 52;

/// A stack with a listener, on a link whose device has `offloads`.
pub struct Scene {
    pub stack: Stack,
    pub now: Instant,
    listener: ListenerId,
    pool: Pool,
    peers: u32,
}

/// A peer's end of a connection.
#[derive(Clone, Copy)]
pub struct Peer {
    addr: Ipv4Addr,
    port: u16,
    /// Its next sequence number, and the next that it expects.
    pub nxt: u32,
    pub ack: u32,
    /// The last time stamp that it has seen.
    echo: u32,
}

impl Scene {
    pub fn new(offloads: Offloads) -> Scene {
        let config = Config {
            addresses: vec![Cidr::new(IpAddr::V4(LOCAL.0), 24)],
            offloads,
            max_connections: 1 << 21,
            ..Config::default()
        };
        let now = Instant::ZERO;
        let mut stack = Stack::new(config, Rng::seed_from(1), now).expect("a valid configuration");
        let options = stack.default_tcp_options();
        let listener = stack.tcp_listen(SocketAddr::from(LOCAL), 128, options).expect("a free port");
        Scene { stack, now, listener, pool: Pool::new(64), peers: 0 }
    }

    /// Opens a connection from a peer that was not there before.
    pub fn connect(&mut self) -> (Peer, TcpId) {
        let number = self.peers;
        self.peers += 1;
        let addr = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + number / 1000);
        let mut peer = Peer { addr, port: 10_000 + (number % 1000) as u16, nxt: 1000, ack: 0, echo: 0 };
        let syn = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some((self.clock(), 0)),
            ..TcpOptions::default()
        };
        self.give(peer.frame(Flags::SYN, syn, Chunk::with_capacity(100), &[]));
        peer.nxt += 1;
        let answer = self.take().expect("a SYN,ACK");
        peer.hear(&answer);
        let ack = peer.segment(self, Flags::ACK, &[]);
        self.give(ack);
        let (id, _) = self.stack.tcp_accept(self.now, self.listener).expect("a connection");
        self.settle();
        (peer, id)
    }

    /// The peers' clock of time stamps.
    fn clock(&self) -> u32 {
        (self.now.as_nanos() / 1_000_000) as u32 + 1
    }

    pub fn give(&mut self, frame: RxFrame) {
        self.stack.on_frame(self.now, frame);
    }

    /// The next frame that the stack sends, whole.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.stack.poll_transmit(self.now).map(|frame| frame.to_vec())
    }

    /// Throws away what the stack sends and tells.
    pub fn settle(&mut self) {
        while self.stack.poll_transmit(self.now).is_some() {}
        while self.stack.poll_ready().is_some() {}
    }
}

impl Peer {
    /// A segment of it with `text`, as a device gives it: in a chunk of the pool, its checksum known to be good.
    pub fn segment(&self, scene: &Scene, flags: Flags, text: &[u8]) -> RxFrame {
        let options = TcpOptions { timestamps: Some((scene.clock(), self.echo)), ..TcpOptions::default() };
        self.frame(flags, options, scene.pool.take(), text)
    }

    /// The next text of it.
    pub fn text(&mut self, scene: &Scene, text: &[u8]) -> RxFrame {
        let frame = self.segment(scene, Flags::ACK | Flags::PSH, text);
        self.nxt = self.nxt.wrapping_add(text.len() as u32);
        frame
    }

    fn frame(&self, flags: Flags, options: TcpOptions, mut chunk: Chunk, text: &[u8]) -> RxFrame {
        let header = TcpHeader {
            src_port: self.port,
            dst_port: LOCAL.1,
            seq: self.nxt,
            ack: self.ack,
            flags,
            wnd: 65_535,
            up: 0,
            options,
        };
        let ip = ipv4::Ipv4Header {
            src: self.addr,
            dst: LOCAL.0,
            protocol: 6,
            ttl: 64,
            tos: 0,
            id: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
        };
        let space = chunk.space();
        let tcp_len = tcp::emit(&header, &mut space[20..]);
        let headers = ipv4::emit(&ip, tcp_len + text.len(), space) + tcp_len;
        space[headers..headers + text.len()].copy_from_slice(text);
        chunk.set_len(headers + text.len());
        let gso = (text.len() > SEGMENT).then_some(Gso { kind: GsoKind::TcpV4, size: SEGMENT as u16 });
        let checksum = if gso.is_some() { RxChecksum::Partial } else { RxChecksum::Valid };
        RxFrame { data: chunk.freeze(), meta: RxMeta { checksum, gso, interface: 0 } }
    }

    /// Takes note of a frame that the stack has sent.
    pub fn hear(&mut self, frame: &[u8]) {
        let (_, payload) = ipv4::parse(frame).expect("a packet");
        let (header, len) = tcp::parse(&frame[payload.clone()]).expect("a segment");
        let text = payload.len() - len + usize::from(header.flags.syn()) + usize::from(header.flags.fin());
        self.ack = header.seq.wrapping_add(text as u32);
        self.echo = header.options.timestamps.map_or(self.echo, |(value, _)| value);
    }

    /// As [`hear`](Peer::hear) for a frame of `len` bytes with nothing but text, whose bytes nobody looks at.
    pub fn hear_text(&mut self, len: usize) {
        self.ack = self.ack.wrapping_add((len - HEADERS) as u32);
    }
}

/// Text to be sent.
pub fn text(len: usize) -> Slice {
    let mut chunk = Chunk::with_capacity(len);
    chunk.append(&vec![0x5a; len]);
    chunk.freeze()
}
