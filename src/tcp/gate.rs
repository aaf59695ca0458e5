//! SYNs that wait for a verdict: the gate in front of LISTEN. Whoever has one is asked before a SYN is answered, so that
//! the answer can be that of somebody else who must be asked first (a proxy's upstream).
//!
//! What waits here costs memory before anybody has shown that it exists, so all of it is bounded ([`GateConfig`]):
//!
//! - A SYN that comes again is the same request.
//! - No source has more than its share. Whoever has an IPv6 address has its /64.
//! - While more than half of the room is taken, a SYN is only let in when it comes a second time. An honest peer sends it
//!   again a second later (RFC 6298 2.1), a flood from forged addresses does not; what is remembered of a first SYN is
//!   four bytes.
//! - When there is no room at all, the oldest request that nobody has looked at gives way.
//! - A request is over after a time.

use super::segment::Segment;
use super::seq::Seq;
use super::tuple::FourTuple;
use crate::buf::Slice;
use crate::rng::Key;
use crate::stats::{DropReason, GateStats};
use crate::time::Instant;
use crate::wire::tcp_options::TcpOptions as WireOptions;
use core::hash::BuildHasher;
use core::time::Duration;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// The bounds of what waits for a verdict.
#[derive(Clone, Debug)]
pub struct GateConfig {
    /// Requests, those included that have been given out and not been answered.
    pub max_requests: usize,
    /// Of those, from one source address; over IPv6 from one network of 64 bits.
    pub max_per_source: usize,
    /// Memory for them, in bytes: 640 for each, and what is kept of its packet.
    pub memory: usize,
    /// How long a request may wait for its verdict, from the first SYN.
    pub timeout: Duration,
}

impl Default for GateConfig {
    fn default() -> Self {
        GateConfig {
            max_requests: 8192,
            max_per_source: 4096,
            memory: 8 * 1024 * 1024,
            timeout: Duration::from_secs(75),
        }
    }
}

/// A request's number. No two requests of a gate have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SynId(u64);

/// Somebody wants to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynRequest {
    /// What its verdict is given by.
    pub id: SynId,
    /// Who.
    pub source: SocketAddr,
    /// Where to: of any address, where the stack is set so.
    pub destination: SocketAddr,
    /// The options of its SYN.
    pub options: SynOptions,
    /// The number of the interface that it came in by.
    pub interface: u32,
}

/// What a SYN offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SynOptions {
    /// The window, in bytes.
    pub window: u16,
    /// The largest segment that the peer takes.
    pub mss: Option<u16>,
    /// The shift of its later windows.
    pub window_scale: Option<u8>,
    /// Whether it understands SACK.
    pub sack_permitted: bool,
    /// Its time stamp.
    pub timestamp: Option<u32>,
}

/// What a request is charged beside what is kept of its packet: its entry, its name, and its place in line.
const OVERHEAD: usize = 640;

/// Bytes of a SYN's packet that are kept to be quoted: the longest headers of IPv4 and TCP, and more.
pub const MAX_QUOTE: usize = 128;

/// What is known of a request.
#[derive(Debug)]
pub struct Pending {
    /// The name of the connection to be.
    pub tuple: FourTuple,
    /// The SYN, without text.
    pub syn: Segment,
    /// The beginning of its packet.
    pub quote: Box<[u8]>,
    /// The interface that it came in by.
    pub interface: u8,
    /// Beyond which our sequence numbers must begin, if there was a connection of this name a moment ago.
    pub iss_beyond: Option<Seq>,
    since: Instant,
}

impl Pending {
    fn cost(&self) -> usize {
        OVERHEAD + self.quote.len()
    }
}

/// What is to be done about a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is one that waits already.
    Known,
    /// It may wait.
    New,
    /// Drop it.
    Refused(DropReason),
}

/// The requests of one gate.
#[derive(Debug)]
pub struct Gate {
    config: GateConfig,
    /// In the order in which they came.
    pending: BTreeMap<SynId, Pending>,
    names: HashMap<FourTuple, SynId, Key>,
    /// Those that have not been given out.
    waiting: BTreeSet<SynId>,
    /// How many there are of each source.
    sources: HashMap<u64, usize, Key>,
    memory: usize,
    next: u64,
    seen: Seen,
}

impl Gate {
    /// A gate where nobody waits; strangers who do not know `key` cannot tell what collides in its tables.
    pub fn new(config: GateConfig, key: Key) -> Gate {
        Gate {
            config,
            pending: BTreeMap::new(),
            names: HashMap::with_hasher(key),
            waiting: BTreeSet::new(),
            sources: HashMap::with_hasher(key),
            memory: 0,
            next: 0,
            seen: Seen { key, marks: Box::default() },
        }
    }

    /// Whether there is a request to be given out.
    pub fn has_next(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many requests have no verdict yet, and the bytes that they are charged.
    pub fn load(&self) -> (usize, usize) {
        (self.pending.len(), self.memory)
    }

    /// What is to be done about a SYN of the connection `tuple`.
    pub fn admit(&mut self, tuple: &FourTuple, syn: &Segment, stats: &mut GateStats) -> Admission {
        if self.names.contains_key(tuple) {
            stats.folded += 1;
            return Admission::Known;
        }
        if self.sources.get(&network(tuple.remote_addr)).is_some_and(|&n| n >= self.config.max_per_source) {
            return Admission::Refused(DropReason::TcpGateSource);
        }
        let crowded = self.pending.len() * 2 >= self.config.max_requests || self.memory * 2 >= self.config.memory;
        if crowded && !self.seen.before(tuple, syn.seq) {
            return Admission::Refused(DropReason::TcpGateFirst);
        }
        if self.is_full() && self.waiting.is_empty() {
            return Admission::Refused(DropReason::TcpGateFull);
        }
        Admission::New
    }

    /// Whether there is no room for another request.
    pub fn is_full(&self) -> bool {
        self.pending.len() >= self.config.max_requests || self.memory + OVERHEAD + MAX_QUOTE > self.config.memory
    }

    /// Lets the oldest request go that nobody has looked at: somebody else needs the room.
    pub fn give_way(&mut self, stats: &mut GateStats) -> Option<Pending> {
        let oldest = self.waiting.pop_first()?;
        stats.evicted += 1;
        self.remove(oldest)
    }

    /// A SYN that was [admitted](Gate::admit) as a new one begins to wait.
    pub fn insert(&mut self, now: Instant, tuple: FourTuple, syn: &Segment, interface: u8, iss_beyond: Option<Seq>) {
        let id = SynId(self.next);
        self.next += 1;
        let pending = Pending { tuple, syn: bare(syn), quote: Box::default(), interface, iss_beyond, since: now };
        self.memory += pending.cost();
        *self.sources.entry(network(tuple.remote_addr)).or_default() += 1;
        self.names.insert(tuple, id);
        self.waiting.insert(id);
        self.pending.insert(id, pending);
    }

    /// A SYN came that waits already. One with another sequence number is a new attempt, whose peer has forgotten the
    /// first.
    pub fn repeat(&mut self, tuple: &FourTuple, syn: &Segment) {
        if let Some(pending) = self.names.get(tuple).and_then(|id| self.pending.get_mut(id)) {
            pending.syn = bare(syn);
        }
    }

    /// `packet` is what the SYN of `tuple` came in: its beginning is kept to be quoted.
    pub fn quote(&mut self, tuple: &FourTuple, packet: &[u8]) {
        if let Some(pending) = self.names.get(tuple).and_then(|id| self.pending.get_mut(id)) {
            let before = pending.quote.len();
            pending.quote = packet[..packet.len().min(MAX_QUOTE)].into();
            self.memory = self.memory - before + pending.quote.len();
        }
    }

    /// The request that has waited longest, to be given out.
    pub fn take_next(&mut self) -> Option<SynRequest> {
        let id = self.waiting.pop_first()?;
        let Pending { tuple, syn, interface, .. } = self.pending.get(&id)?;
        let WireOptions { mss, window_scale, sack_permitted, timestamps, .. } = syn.options;
        let timestamp = timestamps.map(|(value, _)| value);
        let options = SynOptions { window: syn.wnd, mss, window_scale, sack_permitted, timestamp };
        let interface = u32::from((*interface).max(1));
        Some(SynRequest { id, source: tuple.remote(), destination: tuple.local(), options, interface })
    }

    /// Takes a request out, if it still waits for its verdict.
    pub fn remove(&mut self, id: SynId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.waiting.remove(&id);
        self.names.remove(&pending.tuple);
        self.memory -= pending.cost();
        let source = network(pending.tuple.remote_addr);
        if let Some(n) = self.sources.get_mut(&source) {
            *n -= 1;
            if *n == 0 {
                self.sources.remove(&source);
            }
        }
        Some(pending)
    }

    /// The peer resets what it wanted to open: only if it knows the number of its own SYN (RFC 5961 3.2).
    pub fn on_reset(&mut self, tuple: &FourTuple, reset: &Segment) -> Option<Pending> {
        let id = *self.names.get(tuple)?;
        let expected = self.pending.get(&id)?.syn.seq + 1;
        if reset.seq == expected { self.remove(id) } else { None }
    }

    /// The connection `tuple` has come about without a verdict: whoever wants to give one comes too late.
    pub fn supersede(&mut self, tuple: &FourTuple, stats: &mut GateStats) {
        if let Some(&id) = self.names.get(tuple) {
            stats.superseded += 1;
            self.remove(id);
        }
    }

    /// When the next request is over.
    pub fn deadline(&self) -> Option<Instant> {
        self.pending.first_key_value().map(|(_, pending)| pending.since + self.config.timeout)
    }

    /// Takes out a request whose time is over at `now`.
    pub fn expire(&mut self, now: Instant, stats: &mut GateStats) -> Option<Pending> {
        let (&id, oldest) = self.pending.first_key_value()?;
        if oldest.since + self.config.timeout > now {
            return None;
        }
        stats.expired += 1;
        self.remove(id)
    }

    /// Takes out any request: for the gate's end.
    pub fn take_any(&mut self) -> Option<Pending> {
        let id = *self.pending.first_key_value()?.0;
        self.remove(id)
    }
}

/// A SYN as it is kept: its text was not acknowledged, so that it will come again.
fn bare(syn: &Segment) -> Segment {
    Segment { text: Slice::default(), ..syn.clone() }
}

/// Whom an address belongs to.
fn network(addr: IpAddr) -> u64 {
    match addr {
        IpAddr::V4(addr) => u64::from(addr.to_bits()),
        // No network of IPv6 that anybody may use begins with 32 zeros, as IPv4's numbers do.
        IpAddr::V6(addr) => (addr.to_bits() >> 64) as u64,
    }
}

/// Which SYNs came before, as far as that is remembered: what comes later at the same place takes it.
#[derive(Debug)]
struct Seen {
    key: Key,
    /// Made when it is first needed.
    marks: Box<[u32]>,
}

/// Places to remember a SYN at: with 100,000 SYNs a second from nobody, a SYN that comes again after a second is known
/// with a probability of two thirds, and one that comes once more after that again.
const MARKS: usize = 1 << 18;

impl Seen {
    /// Whether it came before. If not, it has now.
    fn before(&mut self, tuple: &FourTuple, seq: Seq) -> bool {
        if self.marks.is_empty() {
            self.marks = vec![0; MARKS].into();
        }
        let hash = self.key.hash_one((tuple, seq.0));
        let mark = &mut self.marks[hash as usize % MARKS];
        // Zero is nobody's.
        let print = (hash >> 32) as u32 | 1;
        core::mem::replace(mark, print) == print
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::wire::tcp::{Flags, TcpHeader};
    use std::net::Ipv4Addr;

    fn gate(max_requests: usize, max_per_source: usize) -> Gate {
        let config = GateConfig { max_requests, max_per_source, ..GateConfig::default() };
        Gate::new(config, Rng::new(Rng::seed_from(9)).key())
    }

    fn syn(seq: u32) -> Segment {
        let (flags, options) = (Flags::SYN, WireOptions::default());
        let header = TcpHeader { src_port: 1, dst_port: 80, seq, ack: 0, flags, wnd: 100, up: 0, options };
        Segment::new(&header, Slice::copy_of(b"early"))
    }

    fn tuple(host: u32, port: u16) -> FourTuple {
        let source = SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + host).into(), port);
        FourTuple::new("203.0.113.9:80".parse().unwrap(), source)
    }

    /// What a stack does with a SYN.
    fn offer(gate: &mut Gate, now: Instant, tuple: FourTuple, seq: u32) -> Admission {
        let stats = &mut GateStats::default();
        let admission = gate.admit(&tuple, &syn(seq), stats);
        match admission {
            Admission::New => {
                while gate.is_full() {
                    gate.give_way(stats).unwrap();
                }
                gate.insert(now, tuple, &syn(seq), 1, None);
                gate.quote(&tuple, &[0x45; 300]);
            }
            Admission::Known => gate.repeat(&tuple, &syn(seq)),
            Admission::Refused(_) => {}
        }
        admission
    }

    const NOW: Instant = Instant::ZERO;

    #[test]
    fn what_comes_again_is_one_request_and_the_last_number_counts() {
        let mut gate = gate(8, 8);
        assert_eq!(offer(&mut gate, NOW, tuple(1, 1000), 5), Admission::New);
        assert_eq!(offer(&mut gate, NOW, tuple(1, 1000), 5), Admission::Known);
        let request = gate.take_next().unwrap();
        assert_eq!((request.source, gate.take_next()), (tuple(1, 1000).remote(), None));
        assert_eq!(offer(&mut gate, NOW, tuple(1, 1000), 77), Admission::Known);
        assert!(!gate.has_next(), "it was given out already");
        let pending = gate.remove(request.id).unwrap();
        assert_eq!((pending.syn.seq, pending.syn.text.len(), pending.quote.len()), (Seq(77), 0, MAX_QUOTE));
        assert!(gate.remove(request.id).is_none());
        assert_eq!((gate.load(), gate.sources.len(), gate.names.len()), ((0, 0), 0, 0));
    }

    #[test]
    fn a_source_has_its_share_and_a_network_is_one_source() {
        let mut gate = gate(100, 3);
        let of = |n: u128| {
            let source = SocketAddr::new(IpAddr::from(((0x2001_0db8_u128 << 96) + n).to_be_bytes()), 1000);
            FourTuple::new("[2001:db8:1::1]:80".parse().unwrap(), source)
        };
        for n in 0..3 {
            assert_eq!(offer(&mut gate, NOW, tuple(1, 1000 + n), 5), Admission::New);
            assert_eq!(offer(&mut gate, NOW, of(n.into()), 5), Admission::New);
        }
        let refused = Admission::Refused(DropReason::TcpGateSource);
        assert_eq!(offer(&mut gate, NOW, tuple(1, 2000), 5), refused);
        assert_eq!(offer(&mut gate, NOW, of(99), 5), refused);
        assert_eq!(offer(&mut gate, NOW, tuple(2, 2000), 5), Admission::New);
        let first = gate.take_next().unwrap();
        gate.remove(first.id).unwrap();
        assert_eq!(offer(&mut gate, NOW, tuple(1, 2000), 5), Admission::New);
    }

    #[test]
    fn a_crowded_gate_wants_to_be_asked_twice_and_a_full_one_lets_the_oldest_go() {
        let mut gate = gate(8, 8);
        for n in 0..4 {
            assert_eq!(offer(&mut gate, NOW, tuple(n, 1000), n), Admission::New);
        }
        let first = Admission::Refused(DropReason::TcpGateFirst);
        for n in 4..10 {
            assert_eq!(offer(&mut gate, NOW, tuple(n, 1000), n), first);
            assert_eq!(offer(&mut gate, NOW, tuple(n, 1000), n + 100), first, "that is another SYN");
            assert_eq!(offer(&mut gate, NOW, tuple(n, 1000), n + 100), Admission::New);
        }
        assert_eq!(gate.load().0, 8);
        let sources: Vec<_> = core::iter::from_fn(|| gate.take_next()).map(|request| request.source).collect();
        assert_eq!(sources, (2..10).map(|n| tuple(n, 1000).remote()).collect::<Vec<_>>(), "0 and 1 gave way");
        // What was given out gives way to nobody.
        assert_eq!(offer(&mut gate, NOW, tuple(50, 1), 1), first);
        assert_eq!(offer(&mut gate, NOW, tuple(50, 1), 1), Admission::Refused(DropReason::TcpGateFull));
    }

    #[test]
    fn memory_is_a_bound_too() {
        let config = GateConfig { memory: 10 * (OVERHEAD + MAX_QUOTE), ..GateConfig::default() };
        let mut gate = Gate::new(config, Rng::new(Rng::seed_from(9)).key());
        for n in 0..100 {
            for _ in 0..2 {
                offer(&mut gate, NOW, tuple(n, 1000), n);
            }
            assert!(gate.load().1 <= 10 * (OVERHEAD + MAX_QUOTE));
        }
        assert_eq!(gate.load().0, 10);
    }

    #[test]
    fn a_request_is_over_after_its_time_and_when_the_peer_resets_it() {
        let mut gate = gate(8, 8);
        let stats = &mut GateStats::default();
        offer(&mut gate, NOW, tuple(1, 1000), 5);
        offer(&mut gate, Instant::from_millis(10), tuple(2, 1000), 5);
        let end = NOW + GateConfig::default().timeout;
        assert_eq!(gate.deadline(), Some(end));
        assert!(gate.expire(end - Duration::from_nanos(1), stats).is_none());
        assert_eq!(gate.expire(end, stats).unwrap().tuple, tuple(1, 1000));
        assert!(gate.expire(end, stats).is_none());
        assert!(gate.on_reset(&tuple(2, 1000), &syn(7)).is_none());
        assert!(gate.on_reset(&tuple(2, 1000), &syn(6)).is_some());
        assert_eq!((gate.deadline(), gate.has_next(), stats.expired), (None, false, 1));
    }
}
