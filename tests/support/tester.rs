//! [`Tester`]: the stack, the scripted peer, the application and the clock.

use super::family::{cidr, link_mtu, on_wire, over_ipv6, wire_addr};
use super::flow::{Flow, options};
use super::packet::{Packet, Raw, checksum, ipv4, ipv6, pseudo_sum};
use super::segment::{ACK, FIN, SYN, Seg, Text, Want, ack, fin, syn, synack};
use core::ops::Range;
use core::time::Duration;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use tunstack::buf::Slice;
use tunstack::rng::Rng;
use tunstack::stack::{Config, ListenerId, Stack, TcpId, TcpInfo};
use tunstack::stats::{Disposition, DropReason};
use tunstack::tcp::state::State;
use tunstack::time::Instant;
use tunstack::wire::gso::Finisher;
use tunstack::wire::{Offloads, RxFrame};

/// The stack's address.
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The scripted peer's.
pub const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// How much of the conversation a failure prints.
const LOG_LINES: usize = 24;

/// The bytes of a test stream at these places.
pub fn pattern(range: Range<usize>) -> Vec<u8> {
    range.map(|i| (i.wrapping_mul(31) % 251) as u8).collect()
}

/// A stack, a scripted peer and a virtual clock. See the [module](super).
pub struct Tester {
    pub stack: Stack,
    pub(super) now: Instant,
    pub(super) flows: Vec<Flow>,
    pub(super) flow: usize,
    out: VecDeque<(usize, Packet)>,
    /// TCP packets that belong to no flow.
    strays: VecDeque<Packet>,
    /// Packets that are not TCP.
    other: VecDeque<Vec<u8>>,
    log: VecDeque<String>,
    pub(super) listener: Option<ListenerId>,
    pub(super) conn: Option<TcpId>,
    check_timers: bool,
    check_df: bool,
    card: Finisher,
    super_segments: usize,
}

impl Tester {
    /// A stack with the default configuration and the address [`LOCAL`]/24.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A stack with a changed configuration.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_seed(1, change)
    }

    pub fn with_seed(seed: u64, change: impl FnOnce(&mut Config)) -> Self {
        // The whole suite is built twice, the second time for a device that cuts super-segments.
        let offloads = if env!("CARGO_CRATE_NAME") == "offloaded" { Offloads::ALL } else { Offloads::NONE };
        let (addresses, mtu) = (vec![cidr(LOCAL, 24)], link_mtu(1500));
        let mut config = Config { addresses, mtu, offloads, ..Config::default() };
        // What is held back and what is not is easier to tell without; `pacing.rs` has their tests.
        config.tcp.quick_acks = 0;
        change(&mut config);
        let now = Instant::from_millis(5_000);
        let stack = Stack::new(config, Rng::seed_from(seed), now).expect("a valid configuration");
        Tester {
            stack,
            now,
            flows: vec![Flow::new(SocketAddrV4::new(PEER, 40_000), SocketAddrV4::new(LOCAL, 80))],
            flow: 0,
            out: VecDeque::new(),
            strays: VecDeque::new(),
            other: VecDeque::new(),
            log: VecDeque::new(),
            listener: None,
            conn: None,
            check_timers: true,
            check_df: true,
            card: Finisher::default(),
            super_segments: 0,
        }
    }

    /// Does without the check of timers after every step, which looks at every connection.
    pub fn without_timer_check(mut self) -> Self {
        self.check_timers = false;
        self
    }

    /// From now on TCP may be sent without DF.
    pub fn allow_fragments(&mut self) {
        self.check_df = false;
    }

    // ---- conversations ----

    /// A further conversation, from port `peer_port` of the peer to the stack's port `local_port`; it becomes the
    /// current one.
    pub fn new_flow(&mut self, peer_port: u16, local_port: u16) -> usize {
        self.new_flow_from(SocketAddrV4::new(PEER, peer_port), local_port)
    }

    pub fn new_flow_from(&mut self, peer: SocketAddrV4, local_port: u16) -> usize {
        self.flows.push(Flow::new(peer, SocketAddrV4::new(LOCAL, local_port)));
        self.flow = self.flows.len() - 1;
        self.flow
    }

    /// A further conversation, with a stack that takes any address.
    pub fn new_flow_to(&mut self, peer: SocketAddrV4, local: SocketAddrV4) -> usize {
        self.flows.push(Flow::new(peer, local));
        self.flow = self.flows.len() - 1;
        self.flow
    }

    /// Makes a conversation the current one.
    pub fn switch(&mut self, flow: usize) {
        self.flow = flow;
    }

    /// From now on the peer starts anew with this ISN.
    pub fn peer_iss(&mut self, iss: u32) {
        let flow = &mut self.flows[self.flow];
        (flow.iss, flow.nxt) = (iss, iss);
        (flow.edge, flow.fin_sent, flow.peer_ts, flow.peer_ws, flow.stack_iss) = (None, false, false, None, None);
    }

    /// The peer's next relative sequence number.
    pub fn peer_nxt(&self) -> i64 {
        let flow = &self.flows[self.flow];
        i64::from(flow.nxt.wrapping_sub(flow.iss))
    }

    /// The end of what the stack has sent, as a relative sequence number.
    pub fn stack_end(&self) -> i64 {
        let flow = &self.flows[self.flow];
        i64::from(flow.stack_end.wrapping_sub(flow.stack_iss.unwrap_or(0)))
    }

    /// A packet's sequence number relative to the stack's ISN.
    pub fn rel_seq(&self, p: &Packet) -> i64 {
        i64::from(p.seq.wrapping_sub(self.flows[self.flow].stack_iss.unwrap_or(0)) as i32)
    }

    /// A packet's acknowledgment number relative to the peer's ISN.
    pub fn rel_ack(&self, p: &Packet) -> i64 {
        i64::from(p.ack.wrapping_sub(self.flows[self.flow].iss) as i32)
    }

    /// The stack's ISN.
    pub fn stack_iss(&self) -> u32 {
        self.flows[self.flow].stack_iss.expect("the stack has sent a SYN")
    }

    /// The last TSval of the stack.
    pub fn last_tsval(&self) -> u32 {
        self.flows[self.flow].last_tsval
    }

    /// The peer's time-stamp clock, in milliseconds.
    pub fn peer_tsval(&self) -> u32 {
        (self.now.as_millis() as u32).wrapping_add(1_000_000)
    }

    /// The stack's end of the current conversation.
    pub fn local(&self) -> SocketAddr {
        wire_addr(self.flows[self.flow].local)
    }

    /// The peer's end.
    pub fn remote(&self) -> SocketAddr {
        wire_addr(self.flows[self.flow].peer)
    }

    // ---- packets to the stack ----

    /// The bytes of a segment of the peer.
    pub fn packet(&mut self, s: &Seg) -> Vec<u8> {
        let now_ts = self.peer_tsval();
        let flow = &mut self.flows[self.flow];
        let seq = match s.seq {
            Some(n) => flow.peer_num(n),
            None if s.flags & SYN != 0 => flow.iss,
            None => flow.nxt,
        };
        let ack = match s.ack {
            Some(n) => flow.stack_num(n),
            None if s.flags & ACK != 0 => flow.stack_end,
            None => 0,
        };
        if s.flags & SYN != 0 {
            (flow.peer_ts, flow.peer_ws) = (s.ts.value().is_some(), s.ws.value().copied());
        }
        flow.fin_sent |= s.flags & FIN != 0;
        let text = match &s.text {
            None => Vec::new(),
            Some(Text::Bytes(bytes)) => bytes.clone(),
            Some(Text::Pattern(n)) => {
                let at = seq.wrapping_sub(flow.iss).wrapping_sub(1) as usize;
                pattern(at..at + n)
            }
        };
        if s.seq.is_none() {
            flow.nxt = if s.flags & SYN != 0 { seq.wrapping_add(1) } else { seq.wrapping_add(s.seq_len()) };
        }
        let timestamps = match s.ts {
            Want::Unnamed if flow.peer_ts && flow.stack_ts && s.flags & SYN == 0 => Some((now_ts, flow.last_tsval)),
            _ => s.ts.value().copied(),
        };
        let options = s.raw_options.clone().unwrap_or_else(|| options(s, timestamps, flow.stack_iss.unwrap_or(0)));
        let dst = SocketAddrV4::new(s.dst.unwrap_or(*flow.local.ip()), flow.local.port());
        Raw {
            wnd: s.wnd.unwrap_or(u16::MAX),
            up: s.up.unwrap_or(0),
            options,
            text,
            ttl: s.ttl.unwrap_or(64),
            tos: s.tos.unwrap_or(0),
            ip_options: s.ip_options.clone(),
            bad_checksum: s.bad_checksum,
            ..Raw::new(s.src.unwrap_or(flow.peer), dst, s.flags, seq, ack)
        }
        .build()
    }

    /// The peer sends a segment.
    #[track_caller]
    pub fn send(&mut self, s: Seg) -> Disposition {
        let bytes = self.packet(&s);
        self.note("<", &s.to_string());
        self.send_raw(&bytes)
    }

    /// The peer sends several segments, which the stack takes in one batch before it is asked for what to send.
    #[track_caller]
    pub fn send_batch(&mut self, segments: impl IntoIterator<Item = Seg>) {
        for s in segments {
            let bytes = self.packet(&s);
            self.note("<", &s.to_string());
            self.stack.on_frame(self.now, RxFrame::plain(Slice::copy_of(&bytes)));
        }
        self.pull();
    }

    /// These bytes arrive as a frame.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) -> Disposition {
        self.send_frame(RxFrame::plain(Slice::copy_of(bytes)))
    }

    /// As a device gives it.
    #[track_caller]
    pub fn send_frame(&mut self, frame: RxFrame) -> Disposition {
        let disposition = self.stack.on_frame(self.now, frame);
        self.pull();
        disposition
    }

    /// An ICMP error from the peer that quotes `quote`; `rest` is the header's second word.
    #[track_caller]
    pub fn send_icmp(&mut self, kind: u8, code: u8, rest: u32, quote: &[u8]) -> Disposition {
        self.note("<", &format!("ICMP {kind}/{code}"));
        let (kind, code, rest) = if over_ipv6() { icmpv6(kind, code, rest) } else { (kind, code, rest) };
        let mut icmp = vec![kind, code, 0, 0];
        icmp.extend_from_slice(&rest.to_be_bytes());
        icmp.extend_from_slice(quote);
        let (src, dst) = (on_wire(PEER), on_wire(LOCAL));
        let sum = checksum(if over_ipv6() { pseudo_sum(src, dst, 58, icmp.len()) } else { 0 }, &icmp);
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let packet = match (src, dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6(src, dst, 64, 0, 58, &icmp),
            _ => ipv4(PEER, LOCAL, 64, 0, 1, &[], &icmp),
        };
        self.send_raw(&packet)
    }

    // ---- packets from the stack ----

    /// How many of the stack's frames were to be cut since this was last asked.
    pub fn take_super_segments(&mut self) -> usize {
        core::mem::take(&mut self.super_segments)
    }

    /// Takes all that the stack wants to send; only needed after calls on [`stack`](Tester::stack) itself.
    #[track_caller]
    pub fn pull(&mut self) {
        for _ in 0..1_000_000 {
            let Some(frame) = self.stack.poll_transmit(self.now) else {
                return self.check_invariants();
            };
            self.super_segments += usize::from(frame.meta.gso.is_some());
            let mut packets = Vec::new();
            self.card.sent(&frame, |packet, _| packets.push(packet.to_vec()));
            for packet in packets {
                self.take(packet);
            }
        }
        panic!("the stack sends without end\n{}", self.conversation());
    }

    #[track_caller]
    fn take(&mut self, bytes: Vec<u8>) {
        let protocol = bytes.get(if over_ipv6() { 6 } else { 9 });
        if protocol != Some(&6) {
            self.note(">", &format!("protocol {protocol:?}, {} bytes", bytes.len()));
            self.other.push_back(bytes);
            return;
        }
        let mtu = self.stack.config().mtu;
        let packet = match Packet::parse(self.now, &bytes, mtu) {
            Ok(packet) => packet,
            Err(what) => panic!("the stack sent a bad packet: {what}\n{}", self.conversation()),
        };
        let Config { addresses, any_address, .. } = self.stack.config();
        let ours = *any_address || addresses.iter().any(|c| c.addr == on_wire(*packet.src.ip()));
        assert!(ours, "the source {} is not one of ours", packet.src);
        assert!(packet.df || !self.check_df, "TCP without DF\n{}", self.conversation());
        let fits = |f: &Flow| f.peer == packet.dst && f.local == packet.src;
        let fresh = |f: &Flow| f.peer == packet.dst && f.local.port() == 0;
        let Some(i) = self.flows.iter().rposition(fits).or_else(|| self.flows.iter().position(fresh)) else {
            self.note(">", &format!("to {}: {packet}", packet.dst));
            return self.strays.push_back(packet);
        };
        self.flows[i].local = packet.src;
        let learnt = self.flows[i].learn(&packet);
        let line = self.flows[i].describe(&packet);
        self.note(">", &line);
        if let Err(what) = learnt {
            panic!("{what}\n{}", self.conversation());
        }
        self.out.push_back((i, packet));
    }

    /// The peer acknowledges everything sent so far, segment by segment, and what that lets out, until nothing more
    /// comes. Gives all the packets.
    #[track_caller]
    pub fn serve(&mut self) -> Vec<Packet> {
        let mut sent = Vec::new();
        for _ in 0..100_000 {
            let Some(packet) = self.next() else {
                return sent;
            };
            if packet.seq_len() > 0 {
                let end = self.rel_seq(&packet) + i64::from(packet.seq_len());
                self.send(ack().ack(end));
            }
            sent.push(packet);
        }
        panic!("the stack sends without end\n{}", self.conversation());
    }

    /// The next packet of the current conversation, if there is one.
    pub fn next(&mut self) -> Option<Packet> {
        let flow = self.flow;
        let i = self.out.iter().position(|(f, _)| *f == flow)?;
        self.out.remove(i).map(|(_, p)| p)
    }

    /// All packets of the current conversation that were not looked at yet.
    pub fn drain(&mut self) -> Vec<Packet> {
        core::iter::from_fn(|| self.next()).collect()
    }

    /// The next packet that belongs to no conversation.
    pub fn stray(&mut self) -> Option<Packet> {
        self.strays.pop_front()
    }

    /// The next packet that is not TCP.
    pub fn other(&mut self) -> Option<Vec<u8>> {
        self.other.pop_front()
    }

    /// The next packet must be there and fit.
    #[track_caller]
    pub fn expect(&mut self, want: Seg) -> Packet {
        let Some(packet) = self.next() else {
            panic!("nothing was sent\n  expected: {want}\n{}", self.conversation());
        };
        self.must_fit(&want, &packet);
        packet
    }

    #[track_caller]
    fn must_fit(&self, want: &Seg, packet: &Packet) {
        let differences = self.flows[self.flow].differences(want, packet);
        if !differences.is_empty() {
            panic!(
                "another segment than expected\n  expected: {want}\n  got:      {}\n  {}\n{}",
                self.flows[self.flow].describe(packet),
                differences.join("\n  "),
                self.conversation()
            );
        }
    }

    /// Nothing at all may be waiting, in whatever conversation.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        if let Some((i, packet)) = self.out.front() {
            panic!("unexpected: {}\n{}", self.flows[*i].describe(packet), self.conversation());
        }
        if let Some(packet) = self.strays.front() {
            panic!("unexpected, to {}: {packet}\n{}", packet.dst, self.conversation());
        }
        assert!(self.other.is_empty(), "unexpected packet that is not TCP\n{}", self.conversation());
    }

    /// For `d` nothing is sent.
    #[track_caller]
    pub fn expect_nothing_for(&mut self, d: Duration) {
        self.expect_nothing();
        self.advance(d);
        self.expect_nothing();
    }

    /// The next packet comes within `d` and fits. Time stops when it is sent.
    #[track_caller]
    pub fn expect_within(&mut self, d: Duration, want: Seg) -> Packet {
        self.wait(d);
        self.expect(want)
    }

    /// The next packet comes after at least `low` and within `high`, and fits.
    #[track_caller]
    pub fn expect_between(&mut self, low: Duration, high: Duration, want: Seg) -> Packet {
        let start = self.now;
        let packet = self.expect_within(high, want);
        let took = packet.at.since(start);
        assert!(took >= low, "sent after {took:?}, should be {low:?} to {high:?}\n{}", self.conversation());
        packet
    }

    // ---- time ----

    pub fn now(&self) -> Instant {
        self.now
    }

    /// Lets `d` pass, through every deadline in order.
    #[track_caller]
    pub fn advance(&mut self, d: Duration) {
        let end = self.now + d;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something is sent, at most `d`.
    #[track_caller]
    pub fn wait(&mut self, d: Duration) {
        let end = self.now + d;
        while self.out.is_empty() && self.strays.is_empty() && self.other.is_empty() {
            if !self.step(end) {
                self.now = end;
                return;
            }
        }
    }

    /// Goes on to the next deadline if it is not after `end`, and says whether there was one.
    #[track_caller]
    fn step(&mut self, end: Instant) -> bool {
        let before = self.now;
        for _ in 0..1000 {
            match self.stack.deadline() {
                Some(due) if due <= end => {
                    self.now = self.now.max(due);
                    self.stack.on_deadline(self.now);
                    self.pull();
                    if self.now > before {
                        return true;
                    }
                }
                _ => return false,
            }
        }
        panic!("a deadline that never passes\n{}", self.conversation());
    }

    // ---- sight ----

    /// The record of the current conversation's connection, if the stack has one.
    pub fn find(&self) -> Option<TcpInfo> {
        let (local, remote) = (self.local(), self.remote());
        self.stack.tcp_snapshot().into_iter().find(|i| i.local == local && i.remote == remote)
    }

    #[track_caller]
    pub fn info(&self) -> TcpInfo {
        self.find().expect("a connection")
    }

    /// The state of the current conversation's connection; CLOSED if there is none.
    pub fn state(&self) -> State {
        self.find().map_or(State::Closed, |i| i.state)
    }

    #[track_caller]
    pub fn expect_state(&self, want: State) {
        let got = self.state();
        assert!(got == want, "state is {got}, expected {want}\n{}", self.conversation());
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.stack.stats().dropped(reason)
    }

    /// Brings a connection into `state` by the passive way where there is one, with nothing left to be sent. The
    /// peer's next number is 1 (2 once its FIN is in).
    #[track_caller]
    pub fn reach(&mut self, state: State) {
        match state {
            State::Closed => return,
            State::Listen => {
                self.listen(80);
                return; // a listener is no connection
            }
            State::SynSent => {
                self.connect();
                self.expect(syn());
            }
            State::SynReceived => {
                self.listen(80);
                self.send(syn().mss(1460));
                self.expect(synack().seq(0).ack(1));
            }
            State::Established => {
                self.establish();
            }
            State::FinWait1 => {
                self.establish();
                self.shutdown_write();
                self.expect(fin().seq(1).ack(1));
            }
            State::FinWait2 => {
                self.reach(State::FinWait1);
                self.send(ack().ack(2));
            }
            State::CloseWait => {
                self.establish();
                self.send(fin());
                self.expect_within(Duration::from_millis(500), ack().ack(2));
            }
            State::LastAck => {
                self.reach(State::CloseWait);
                self.shutdown_write();
                self.expect(fin().seq(1).ack(2));
            }
            State::Closing => {
                self.reach(State::FinWait1);
                self.send(fin().ack(1));
                // The answer may be a bare ACK or the FIN again.
                let answer = self.next().expect("an answer to the FIN");
                assert_eq!(self.rel_ack(&answer), 2);
            }
            State::TimeWait => {
                self.reach(State::FinWait2);
                self.send(fin().ack(2));
                self.expect_within(Duration::from_millis(500), ack().ack(2));
            }
        }
        self.expect_state(state);
        self.expect_nothing();
    }

    // ---- invariants and failure ----

    /// What must hold after every step: every frame is counted once, and whatever waits for an answer has a timer.
    #[track_caller]
    fn check_invariants(&self) {
        let stats = self.stack.stats();
        let counted = stats.delivered + stats.answered + stats.held + stats.dropped_total();
        assert_eq!(stats.frames_in, counted, "each frame counts once");
        if !self.check_timers {
            return;
        }
        let limit = self.now + self.stack.config().tcp.max_rto + Duration::from_secs(1);
        let waits = |i: &TcpInfo| {
            use State::{Closing, FinWait1, LastAck, SynReceived, SynSent, TimeWait};
            let by_state = matches!(i.state, SynSent | SynReceived | FinWait1 | Closing | LastAck | TimeWait);
            i.state != State::Listen && (by_state || i.in_flight > 0 || i.send_queue > 0)
        };
        if self.stack.tcp_snapshot().iter().any(waits) {
            let due = self.stack.deadline();
            assert!(due.is_some_and(|due| due <= limit), "no timer: {due:?}\n{}", self.conversation());
        }
    }

    fn note(&mut self, direction: &str, line: &str) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(format!("  {} {direction} {line}", self.now));
    }

    /// The last packets in both directions: `<` the peer's, `>` the stack's.
    pub(super) fn conversation(&self) -> String {
        let lines: Vec<&str> = self.log.iter().map(String::as_str).collect();
        format!("conversation:\n{}\n  {} now", lines.join("\n"), self.now)
    }
}

/// What ICMPv6 says for type and code of IPv4's ICMP.
fn icmpv6(kind: u8, code: u8, rest: u32) -> (u8, u8, u32) {
    match (kind, code) {
        (3, 0 | 6) => (1, 0, 0),
        (3, 2) => (4, 1, 6),
        (3, 3) => (1, 4, 0),
        (3, 4) => (2, 0, if rest & 0xffff == 0 { 0 } else { (rest & 0xffff) + 20 }),
        (3, 9 | 10 | 13) => (1, 1, 0),
        (3, _) => (1, 3, 0),
        (11, code) => (3, code, 0),
        (12, _) => (4, 0, rest >> 24),
        other => panic!("what is {other:?} over IPv6?"),
    }
}
