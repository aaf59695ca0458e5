//! A random walk: segments near the sequence space of every connection in every state, calls of an application that has
//! lost its mind, ICMP errors, damaged packets, output that is not pulled, and jumps in time. A seed reproduces a walk:
//! `TUNSTACK_SEEDS=FROM..TO cargo test --test attack random_walk`.

use crate::support::{ACK, FIN, LOCAL, PEER, PSH, Packet, RST, Raw, SYN, URG};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::rng::Rng;
use tunstack::stack::{
    Cidr, Config, HostModel, Interface, Keepalive, ListenerId, Shutdown, SocketId, Stack, TcpId, UdpId,
};
use tunstack::tcp::state::State;
use tunstack::time::Instant;
use tunstack::trace::What;
use tunstack::wire::gso::Finisher;
use tunstack::wire::{Gso, GsoKind, Offloads, RxChecksum, RxFrame, RxMeta};

const STEPS: usize = 2_000;
const PORTS: u64 = 6;

/// What the peer knows of one connection.
#[derive(Clone, Debug)]
struct Flow {
    peer: SocketAddrV4,
    local: SocketAddrV4,
    /// What the stack expects next, and how far its window reaches.
    nxt: u32,
    wnd: u16,
    /// The stack's first number, and the end of what it has sent.
    iss: u32,
    end: u32,
    tsval: u32,
    /// The last packet.
    bytes: Vec<u8>,
}

struct Walk {
    rng: Rng,
    stack: Stack,
    now: Instant,
    mtu: usize,
    flows: Vec<Flow>,
    handles: Vec<TcpId>,
    listeners: Vec<ListenerId>,
    datagrams: Vec<UdpId>,
    transitions: BTreeSet<(String, String)>,
    /// Super-segments sent.
    super_segments: u64,
}

impl Walk {
    fn new(seed: u64) -> Walk {
        let mut rng = Rng::new(Rng::seed_from(seed));
        let mut config = Config { addresses: vec![Cidr::new(IpAddr::V4(LOCAL), 24)], ..Config::default() };
        let mut pick = |choices: &[u64]| choices[rng.between(0, choices.len() as u64 - 1) as usize] as usize;
        config.mtu = pick(&[68, 100, 576, 1500, 1500, 1500, 9000, 65_535]);
        config.memory = pick(&[20_000, 200_000, 256 << 20]);
        config.max_connections = pick(&[4, 20, 1 << 20]);
        config.max_time_wait = pick(&[0, 2, 131_072]);
        config.max_orphans = pick(&[0, 2, 65_536]);
        config.max_syn_queue = pick(&[0, 2, 1024]);
        config.max_replies = pick(&[0, 2, 1024]);
        config.trace_events = 10_000;
        config.offloads = match pick(&[0, 0, 1, 2, 2]) {
            0 => Offloads::NONE,
            1 => Offloads { checksum: true, ..Offloads::NONE },
            _ => Offloads::ALL,
        };
        config.tcp.send_buffer = pick(&[1024, 5000, 1 << 18]);
        config.tcp.recv_buffer = pick(&[1024, 5000, 1 << 18, 1 << 29]);
        config.tcp.max_ooo_ranges = pick(&[0, 1, 4, 256]);
        config.tcp.timestamps = pick(&[0, 1, 1]) == 1;
        config.tcp.sack = pick(&[0, 1, 1]) == 1;
        config.tcp.window_scaling = pick(&[0, 1, 1]) == 1;
        config.tcp.fixed_iss = match pick(&[0, 1, 2]) {
            0 => Some(u32::MAX - 1000),
            _ => None,
        };
        let mtu = config.mtu;
        if pick(&[0, 0, 1]) == 1 {
            // A second interface, the narrowest that there is, to which routes change.
            let addresses = vec![Cidr::new([10, 99, 0, 1].into(), 24)];
            let name = "tun1".parse().expect("a name");
            config.interfaces.push(Interface { name, addresses, mtu: 68 });
            config.routes.push("default dev tun0 metric 9".parse().expect("a route"));
            config.host_model = [HostModel::Weak, HostModel::Strong][pick(&[0, 1])];
        }
        let now = Instant::from_nanos(rng.between(0, 1 << 50));
        let stack = Stack::new(config, Rng::seed_from(seed), now).expect("a valid configuration");
        Walk {
            rng,
            stack,
            now,
            mtu,
            flows: vec![],
            handles: vec![],
            listeners: vec![],
            datagrams: vec![],
            transitions: BTreeSet::new(),
            super_segments: 0,
        }
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.between(0, choices.len() as u64 - 1) as usize]
    }

    /// A number near `base`, or anywhere.
    fn near(&mut self, base: u32) -> u32 {
        let small = self.rng.between(0, 4000) as u32;
        let any = self.rng.u32();
        let delta = self.one_of(&[0, 0, 0, 0, 0, 1, u32::MAX, small, 0u32.wrapping_sub(small), 1460, 65_535, any]);
        base.wrapping_add(delta)
    }

    // ---- the peer ----

    fn options(&mut self, tsval: u32, syn: bool, base: u32) -> Vec<u8> {
        let mut out = Vec::new();
        if syn && self.rng.chance(0.7) {
            let mss: u16 = self.one_of(&[0, 1, 8, 48, 536, 1460, 1460, 65_535]);
            out.extend([2, 4]);
            out.extend(mss.to_be_bytes());
        }
        if syn && self.rng.chance(0.5) {
            let shift = self.one_of(&[0, 1, 7, 14, 15, 255]);
            out.extend([3, 3, shift]);
        }
        if syn && self.rng.chance(0.5) {
            out.extend([4, 2]);
        }
        if self.rng.chance(0.6) {
            let value = (self.now.as_millis() as u32).wrapping_add(self.one_of(&[0, 0, 0, 0, 1000, 1 << 31, 0xffff]));
            let echo = if self.rng.chance(0.8) { tsval } else { self.rng.u32() };
            out.extend([8, 10]);
            out.extend(value.to_be_bytes());
            out.extend(echo.to_be_bytes());
        }
        let blocks = self.one_of(&[0, 0, 0, 1, 2, 3]);
        if blocks > 0 && out.len() + 2 + 8 * blocks <= 40 {
            out.extend([5, 2 + 8 * blocks as u8]);
            for _ in 0..2 * blocks {
                out.extend(self.near(base).to_be_bytes());
            }
        }
        if self.rng.chance(0.05) {
            let n = self.rng.between(0, 8) as usize;
            out.extend((0..n).map(|_| self.rng.u32() as u8));
        }
        out.truncate(40);
        out
    }

    fn segment(&mut self) -> Raw {
        let known = if self.flows.is_empty() || self.rng.chance(0.1) {
            None
        } else {
            let i = self.rng.between(0, self.flows.len() as u64 - 1) as usize;
            Some(self.flows[i].clone())
        };
        let flow = known.unwrap_or_else(|| {
            let (peer, local) = (self.rng.between(1, PORTS) as u16, self.rng.between(1, PORTS) as u16);
            let (peer, local) = (SocketAddrV4::new(PEER, 1000 + peer), SocketAddrV4::new(LOCAL, 80 + local));
            let nxt = self.rng.u32();
            Flow { peer, local, nxt, wnd: 0, iss: 0, end: self.rng.u32(), tsval: 0, bytes: Vec::new() }
        });
        let any = self.rng.u32() as u8;
        let flags = self.one_of(&[
            SYN,
            SYN,
            SYN | ACK,
            ACK,
            ACK,
            ACK,
            ACK,
            ACK,
            ACK | PSH,
            FIN | ACK,
            FIN | ACK,
            RST,
            RST | ACK,
            URG | ACK,
            any,
        ]);
        let edge = flow.nxt.wrapping_add(u32::from(flow.wnd));
        let base = self.one_of(&[flow.nxt, flow.nxt, flow.nxt, flow.nxt, edge, flow.nxt.wrapping_sub(1)]);
        let acked = self.one_of(&[flow.end, flow.end, flow.end, flow.iss.wrapping_add(1), flow.iss]);
        let len = match flags {
            SYN | RST => self.one_of(&[0, 0, 0, 5]),
            _ => self.one_of(&[0, 0, 1, 1, 10, 500, 1460, 3000]),
        };
        let fill = self.rng.u32() as u8;
        let any = self.rng.u32() as u16;
        let (seq, ack) = (self.near(base), self.near(acked));
        let wnd = self.one_of(&[0, 0, 1, 10, 500, 5000, 65_535, 65_535, any]);
        let up = self.one_of(&[0, 1, 10, 65_535, any]);
        let options = self.options(flow.tsval, flags & SYN != 0, flow.end);
        Raw { wnd, up, options, text: vec![fill; len], ..Raw::new(flow.peer, flow.local, flags, seq, ack) }
    }

    fn peer_sends(&mut self) {
        let mut bytes = self.segment().build();
        match self.rng.between(0, 99) {
            0..=2 => {
                let n = self.rng.between(0, bytes.len() as u64) as usize;
                bytes.truncate(n);
            }
            3..=5 => {
                let at = self.rng.between(0, bytes.len() as u64 - 1) as usize;
                bytes[at] ^= 1 << self.rng.between(0, 7);
            }
            6..=9 => bytes = self.icmp_error(),
            10 => bytes = (0..self.rng.between(0, 100)).map(|_| self.rng.u32() as u8).collect(),
            11..=13 => bytes[9] = self.one_of(&[1, 2, 17, 255]),
            _ => {}
        }
        let meta = self.meta();
        self.stack.on_frame(self.now, RxFrame { data: Slice::copy_of(&bytes), meta });
    }

    /// What a device might say, right or wrong.
    fn meta(&mut self) -> RxMeta {
        if self.rng.chance(0.8) {
            return RxMeta::default();
        }
        let checksum =
            self.one_of(&[RxChecksum::Unverified, RxChecksum::Valid, RxChecksum::Partial, RxChecksum::Contradicted]);
        let kind = self.one_of(&[GsoKind::TcpV4, GsoKind::TcpV4, GsoKind::TcpV6, GsoKind::Udp]);
        let size = self.one_of(&[0, 1, 10, 536, 1460, 65_535]);
        let gso = self.rng.chance(0.5).then_some(Gso { kind, size });
        RxMeta { checksum, gso, interface: self.one_of(&[0, 0, 1, 2, 3, 255]) }
    }

    /// An error about something that the stack has sent.
    fn icmp_error(&mut self) -> Vec<u8> {
        let mut quote = match self.flows.last() {
            Some(flow) => flow.bytes.clone(),
            None => vec![0x45; 28],
        };
        quote.truncate(self.one_of(&[0, 8, 27, 28, 40, 548]));
        let (kind, code) = (self.one_of(&[3, 3, 4, 5, 11, 12, 255]), self.rng.between(0, 16) as u8);
        let mut icmp = vec![kind, code, 0, 0, 0, 0, 0, self.one_of(&[0, 68, 255])];
        icmp.extend(quote);
        let sum = crate::support::packet::checksum(0, &icmp);
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        crate::support::packet::ipv4(PEER, LOCAL, 64, 0, 1, &[], &icmp)
    }

    // ---- the application ----

    fn application_calls(&mut self) {
        let now = self.now;
        let at = |port: u64| SocketAddr::from((LOCAL, 80 + port as u16));
        let mut buf = [0; 3000];
        match self.rng.between(0, 9) {
            0 => {
                let backlog = self.rng.between(0, 3) as usize;
                let port = self.rng.between(1, PORTS);
                if let Ok(id) = self.stack.tcp_listen(at(port), backlog, self.stack.default_tcp_options()) {
                    self.listeners.push(id);
                }
            }
            1 if !self.listeners.is_empty() && self.rng.chance(0.1) => {
                let i = self.rng.between(0, self.listeners.len() as u64 - 1) as usize;
                let id = self.listeners.swap_remove(i);
                self.stack.listener_close(now, id).expect("an open listener");
                assert!(self.stack.listener_close(now, id).is_err());
            }
            2 => {
                let own = self.rng.chance(0.3);
                let (port, addr) = (self.rng.between(1, PORTS) as u16, if own { LOCAL } else { PEER });
                let remote = SocketAddr::from((addr, if own { 80 + port } else { 1000 + port }));
                let chosen = at(self.rng.between(1, PORTS));
                let local = self.rng.chance(0.5).then_some(chosen);
                if let Ok(id) = self.stack.tcp_connect(now, local, remote, self.stack.default_tcp_options()) {
                    self.handles.push(id);
                }
            }
            3 => {
                let (Ok(id), n) = (self.stack.udp_bind(at(0)), self.rng.between(0, 100) as usize) else { return };
                let to = Some(SocketAddr::from((PEER, 53)));
                let segment = self.one_of(&[0, 1, 7, 40]);
                let _ = self.stack.udp_send(now, id, &buf[..n], to);
                let _ = self.stack.udp_send_segmented(now, id, &buf[..n], segment, to);
                self.datagrams.push(id);
                if self.datagrams.len() > 4 {
                    let old = self.datagrams.remove(0);
                    self.stack.udp_close(old).expect("an open socket");
                }
            }
            4 if self.rng.chance(0.1) => {
                // What is under way has the old size.
                self.pull(100_000);
                self.mtu = self.one_of(&[68, 100, 576, 1500, 9000, 65_535]);
                self.stack.set_mtu(self.mtu).expect("a valid MTU");
            }
            _ => {}
        }
        if !self.stack.config().interfaces.is_empty() && self.rng.chance(0.1) {
            let text = self.one_of(&["default dev tun0 metric 9", "default dev tun1", "192.0.2.0/25 via 10.99.0.2"]);
            let route = text.parse().expect("a route");
            if !self.stack.remove_route(&route).expect("the others are good") {
                self.stack.add_route(route).expect("a good one");
            }
        }
        for i in 0..self.listeners.len() {
            if self.rng.chance(0.3)
                && let Ok((id, _)) = self.stack.tcp_accept(now, self.listeners[i])
            {
                self.handles.push(id);
            }
        }
        if self.handles.is_empty() {
            return;
        }
        let i = self.rng.between(0, self.handles.len() as u64 - 1) as usize;
        let id = self.handles[i];
        let n = self.one_of(&[0, 1, 10, 1000, 3000]);
        match self.rng.between(0, 15) {
            0..=2 => drop(self.stack.tcp_send(now, id, &buf[..n])),
            3 => drop(self.stack.tcp_push(now, id, Slice::copy_of(&buf[..n]))),
            4 => drop(self.stack.tcp_send_urgent(now, id, &buf[..n])),
            5..=7 => drop(self.stack.tcp_recv(now, id, &mut buf[..n])),
            8 => drop(self.stack.tcp_pop(now, id, usize::MAX)),
            9 => drop((self.stack.tcp_peek(id, &mut buf[..n]), self.stack.tcp_at_mark(id), self.stack.tcp_info(id))),
            10 => {
                let how = self.one_of(&[Shutdown::Read, Shutdown::Write, Shutdown::Both]);
                let _ = self.stack.tcp_shutdown(now, id, how);
            }
            11 => {
                let mut options = self.stack.default_tcp_options();
                options.nodelay = self.rng.chance(0.5);
                options.linger = self.rng.chance(0.3).then_some(Duration::ZERO);
                let keepalive = Keepalive { idle: Duration::from_secs(5), interval: Duration::from_secs(1), count: 3 };
                options.keepalive = self.rng.chance(0.5).then_some(keepalive);
                options.user_timeout = self.rng.chance(0.2).then_some(Duration::from_millis(1500));
                options.recv_buffer = self.one_of(&[None, Some(1024), Some(2000), Some(100_000), Some(1 << 29)]);
                options.send_buffer = self.one_of(&[None, Some(1024), Some(2000), Some(100_000)]);
                self.stack.set_tcp_options(now, id, options).expect("valid options");
            }
            12 => drop((self.stack.tcp_take_error(id), self.stack.readiness(SocketId::Tcp(id)))),
            13 if self.rng.chance(0.5) => {
                self.handles.swap_remove(i);
                self.stack.tcp_close(now, id).expect("an open handle");
                assert!(self.stack.tcp_close(now, id).is_err());
            }
            14 if self.rng.chance(0.2) => {
                self.handles.swap_remove(i);
                self.stack.tcp_abort(now, id).expect("an open handle");
            }
            _ => while self.stack.poll_ready().is_some() {},
        }
    }

    // ---- time and output ----

    fn time_passes(&mut self) {
        let due = self.stack.deadline().map_or(Duration::ZERO, |due| due.since(self.now));
        let ahead = match self.rng.between(0, 99) {
            0..=39 => Duration::from_micros(self.rng.between(0, 1000)),
            40..=59 => Duration::from_millis(self.rng.between(0, 300)),
            60..=89 => due,
            90..=97 => Duration::from_secs(self.rng.between(0, 100)),
            _ => Duration::from_secs(600),
        };
        self.now += ahead;
        self.deadlines();
    }

    /// Whatever is due is done in a few calls.
    fn deadlines(&mut self) {
        for _ in 0..20 {
            self.stack.on_deadline(self.now);
            if self.stack.deadline().is_none_or(|due| due > self.now) {
                return;
            }
        }
        panic!("a deadline that never passes: {:?} at {:?}", self.stack.deadline(), self.now);
    }

    fn pull(&mut self, most: usize) {
        for _ in 0..most {
            let Some(frame) = self.stack.poll_transmit(self.now) else { return };
            self.super_segments += u64::from(frame.meta.gso.is_some());
            // As a wire would carry it: cut, and with all its checksums.
            let mut packets = Vec::new();
            Finisher::default().sent(&frame, |packet, _| packets.push(packet.to_vec()));
            packets.into_iter().for_each(|packet| self.learn(packet));
        }
        assert!(most < 100_000, "output without end");
    }

    fn learn(&mut self, bytes: Vec<u8>) {
        assert!(bytes.len() <= self.mtu, "{} bytes over an MTU of {}", bytes.len(), self.mtu);
        if bytes[9] != 6 {
            return;
        }
        let p = Packet::parse(self.now, &bytes, self.mtu).expect("a good packet");
        assert!(*p.dst.ip() == PEER, "to {}", p.dst);
        let end = p.seq.wrapping_add(p.seq_len());
        let i = self.flows.iter().position(|f| f.peer == p.dst && f.local == p.src).unwrap_or_else(|| {
            if self.flows.len() > 40 {
                self.flows.remove(0);
            }
            let (peer, local, iss) = (p.dst, p.src, p.seq);
            self.flows.push(Flow { peer, local, nxt: 0, wnd: 0, iss, end, tsval: 0, bytes: Vec::new() });
            self.flows.len() - 1
        });
        let flow = &mut self.flows[i];
        if p.has(SYN) {
            flow.iss = p.seq;
        }
        if p.has(ACK) {
            (flow.nxt, flow.wnd) = (p.ack, p.wnd);
        }
        (flow.end, flow.bytes) = (end, bytes);
        flow.tsval = p.ts.map_or(flow.tsval, |(value, _)| value);
    }

    // ---- what must hold ----

    fn check(&mut self) {
        for event in self.stack.trace().take() {
            if let What::Transition { from, event, to } = event.what {
                self.transitions.insert((from.to_string(), format!("{event} -> {to}")));
            }
        }
        let stats = self.stack.stats();
        assert_eq!(
            stats.frames_in,
            stats.delivered + stats.answered + stats.held + stats.dropped_total(),
            "each frame counts once"
        );
        let waits = |state| {
            matches!(state, State::SynSent | State::SynReceived | State::FinWait1 | State::Closing | State::LastAck)
        };
        let deadline = self.stack.deadline();
        let late = deadline.is_none_or(|due| due > self.now + Duration::from_secs(121));
        if late {
            for info in self.stack.tcp_snapshot() {
                let waits = waits(info.state) || info.in_flight > 0 || info.state == State::TimeWait;
                assert!(!waits, "no timer ({deadline:?} at {:?}): {info:?}", self.now);
            }
        }
    }

    /// Everybody goes home: what is left ends by itself.
    fn end(&mut self) {
        for id in std::mem::take(&mut self.handles) {
            self.stack.tcp_close(self.now, id).expect("an open handle");
        }
        for id in std::mem::take(&mut self.listeners) {
            self.stack.listener_close(self.now, id).expect("an open listener");
        }
        for id in std::mem::take(&mut self.datagrams) {
            self.stack.udp_close(id).expect("an open socket");
        }
        self.pull(100_000);
        for _ in 0..10_000 {
            let Some(due) = self.stack.deadline() else { break };
            self.now = self.now.max(due);
            self.deadlines();
            self.pull(100_000);
        }
        assert_eq!(self.stack.deadline(), None, "a timer is left");
        assert_eq!(self.stack.tcp_snapshot(), [], "a connection is left");
        assert_eq!(self.stack.memory(), 0, "memory is left");
        while self.stack.poll_ready().is_some() {}
        let state = format!("{:?}", self.stack);
        for empty in [
            "time_wait_count: 0,",
            "orphans: 0,",
            "egress: []",
            "ready: []",
            "replies: []",
            "turned_away: []",
            "level: Ample",
        ] {
            assert!(state.contains(empty), "not {empty} but {state}");
        }
    }

    fn step(&mut self) {
        match self.rng.between(0, 99) {
            0..=59 => self.peer_sends(),
            60..=84 => self.application_calls(),
            85..=94 => self.time_passes(),
            _ => {}
        }
        match self.rng.between(0, 9) {
            0 => {}
            1 => self.pull(2),
            _ => self.pull(100_000),
        }
        self.check();
    }
}

/// The seeds to be walked: those of `TUNSTACK_SEEDS=FROM..TO`, else `default`.
pub fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("TUNSTACK_SEEDS") else { return default };
    let (from, to) = text.split_once("..").expect("TUNSTACK_SEEDS is FROM..TO");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn random_walk() {
    let (mut transitions, mut super_segments) = (BTreeSet::new(), 0);
    for seed in seeds(0..300) {
        let mut walk = || {
            let mut walk = Walk::new(seed);
            for _ in 0..STEPS {
                walk.step();
            }
            walk.end();
            transitions.append(&mut walk.transitions);
            super_segments += walk.super_segments;
        };
        if let Err(cause) = catch_unwind(AssertUnwindSafe(&mut walk)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(cause);
        }
    }
    assert!(super_segments > 100, "only {super_segments} super-segments were sent");
    // All of the table but what a listener does alone.
    assert!(transitions.len() >= 31, "the walk did not come everywhere: {transitions:?}");
}
