//! Flows: what one address and port sends, wherever to, is one flow with a socket of its own (endpoint-independent
//! mapping, RFC 4787 4.1), for applications that carry on datagrams of any address. The flow's socket sends back from
//! wherever it likes (endpoint-independent filtering, RFC 4787 5).
//!
//! A flow begins with a datagram that no socket takes, while a *gate* is open. It ends when it was idle for too long; a
//! shorter time holds until something was sent back, so that a flood from forged addresses holds little for long. Where
//! there are as many flows as there may be, the one without an answer that would end first gives way. What nobody has
//! accepted yet has a memory of its own, and where that is full, or no socket is left, the oldest of it gives way: only that
//! gives back what it has.

use super::socket::Socket;
use super::{Sockets, named};
use crate::error::{Error, Result};
use crate::rng::Key;
use crate::stack::{FlowConfig, Readiness, UdpBind, UdpId};
use crate::stats::GateStats;
use crate::time::Instant;
use core::time::Duration;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Flows whose times are looked up when one has to give way: those known are the earliest that they can be. After so many
/// the first is as good as any.
const LOOKS: usize = 8;

/// The part of UDP's memory that flows may fill which nobody has accepted, whatever they may fill beside that: the rest is
/// for sockets that somebody holds.
const MEMORY_SHARE: usize = 2;

/// What the socket of a flow has beside those of others.
#[derive(Debug)]
pub(super) struct Flow {
    /// When a datagram last went either way.
    last: Instant,
    /// Whether one has gone back.
    answered: bool,
    /// Where it stands in the order of ends.
    due: Instant,
    /// Its number among those that wait to be accepted; none, if somebody holds its socket.
    waits: Option<u64>,
    /// Whether it is over, and its source may begin another.
    over: bool,
}

impl Flow {
    /// A datagram has come.
    pub(super) fn hears(&mut self, now: Instant) {
        self.last = now;
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether nobody has accepted it.
    pub(super) fn waits(&self) -> bool {
        self.waits.is_some()
    }

    fn end(&self, config: &FlowConfig) -> Instant {
        self.last + if self.answered { config.idle } else { config.unanswered }
    }
}

/// All flows of a stack, and the gate by which new ones come.
#[derive(Debug)]
pub(super) struct Flows {
    config: FlowConfig,
    open: bool,
    by_source: HashMap<SocketAddr, u32, Key>,
    /// How many there are of each network.
    networks: HashMap<IpAddr, usize, Key>,
    /// When each that had an answer is to be looked at: not later than its end.
    answered: BTreeSet<(Instant, u32)>,
    /// The same of the others.
    unanswered: BTreeSet<(Instant, u32)>,
    /// Those that wait to be accepted, numbered as they came.
    queue: BTreeMap<u64, UdpId>,
    next: u64,
    /// What their datagrams cost, in bytes.
    waiting: usize,
    /// The most that they may, if they are more than one.
    memory: usize,
}

impl Flows {
    /// No flows, where UDP may fill `memory` bytes.
    pub(super) fn new(config: FlowConfig, memory: usize, key: Key) -> Flows {
        Flows {
            memory: config.memory.min(memory / MEMORY_SHARE),
            config,
            open: false,
            by_source: HashMap::with_hasher(key),
            networks: HashMap::with_hasher(key),
            answered: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            queue: BTreeMap::new(),
            next: 0,
            waiting: 0,
        }
    }

    /// Whether datagrams of new sources begin flows.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// The socket of the flow of `source`.
    pub(super) fn find(&self, source: SocketAddr) -> Option<u32> {
        if self.by_source.is_empty() { None } else { self.by_source.get(&source).copied() }
    }

    /// Whether a datagram that costs so many bytes may wait with a flow that nobody has accepted. One always may.
    pub(super) fn takes(&self, bytes: usize) -> bool {
        self.waiting == 0 || self.waiting + bytes <= self.memory
    }

    /// A datagram that costs so many bytes waits with such a flow.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.waiting += bytes;
    }

    /// A datagram has gone back on `flow`, that of the socket at `index`.
    pub(super) fn answers(&mut self, flow: &mut Flow, index: u32, now: Instant) {
        flow.last = now;
        if !core::mem::replace(&mut flow.answered, true) && self.unanswered.remove(&(flow.due, index)) {
            self.answered.insert((flow.due, index));
        }
    }

    /// The flows among which `flow` stands.
    fn among(&mut self, flow: &Flow) -> &mut BTreeSet<(Instant, u32)> {
        if flow.answered { &mut self.answered } else { &mut self.unanswered }
    }

    /// The flow of `socket` waits to be accepted no longer.
    fn leave_queue(&mut self, socket: &mut Socket) {
        if let Some(number) = socket.flow.as_mut().and_then(|flow| flow.waits.take()) {
            self.queue.remove(&number);
            self.waiting -= socket.inbox.charged();
        }
    }

    /// The flow that is to be looked at first.
    fn first(&self) -> Option<(Instant, u32)> {
        self.answered.first().into_iter().chain(self.unanswered.first()).min().copied()
    }

    /// Forgets the flow of the socket at `index`, which is over now.
    fn forget(&mut self, index: u32, socket: &mut Socket) -> Option<SocketAddr> {
        let (flow, source) = (socket.flow.as_mut()?, socket.peer?);
        if core::mem::replace(&mut flow.over, true) {
            return None;
        }
        self.among(flow).remove(&(flow.due, index));
        self.by_source.remove(&source);
        self.leave_queue(socket);
        let network = network(source.ip());
        if let Some(n) = self.networks.get_mut(&network) {
            *n -= 1;
            if *n == 0 {
                self.networks.remove(&network);
            }
        }
        Some(source)
    }
}

/// Whom an address belongs to: over IPv6, a network of 64 bits.
fn network(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// A flow that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whose it was.
    pub source: SocketAddr,
    /// Its socket, if somebody holds it.
    pub socket: Option<UdpId>,
}

impl Sockets {
    /// Has datagrams of new sources begin flows, those that no socket takes.
    ///
    /// # Errors
    /// `AddrInUse` if they do.
    pub fn open_gate(&mut self) -> Result<()> {
        if core::mem::replace(&mut self.flows.open, true) { Err(Error::AddrInUse) } else { Ok(()) }
    }

    /// From now on no flows begin. Those that nobody has accepted are over: their sources are given. The others go on.
    pub fn close_gate(&mut self) -> Vec<SocketAddr> {
        self.flows.open = false;
        let waiting: Vec<UdpId> = self.flows.queue.values().copied().collect();
        waiting.into_iter().filter_map(|id| self.discard(id)).collect()
    }

    /// What the gate is ready for.
    pub fn gate_readiness(&self) -> Readiness {
        if self.flows.queue.is_empty() { Readiness::NONE } else { Readiness::READABLE }
    }

    /// Takes the next flow: a socket that hears its source, whatever it sends to, and sends to it.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn accept_flow(&mut self) -> Result<(UdpId, SocketAddr)> {
        let (_, &id) = self.flows.queue.first_key_value().ok_or(Error::WouldBlock)?;
        let socket = named(&mut self.slots, id)?;
        self.flows.leave_queue(socket);
        Ok((id, socket.peer.ok_or(Error::NotConnected)?))
    }

    /// How many flows nobody has accepted, and the bytes that their datagrams are charged.
    pub fn gate_load(&self) -> (usize, usize) {
        (self.flows.queue.len(), self.flows.waiting)
    }

    /// Whether `source`, which has no flow, may have one, with a first datagram that costs so many `bytes`. If another must
    /// end for it, that is given, and this is to be asked again.
    ///
    /// # Errors
    /// `NoBufferSpace` if not.
    pub fn make_room(&mut self, source: SocketAddr, bytes: usize, stats: &mut GateStats) -> Result<Option<Ended>> {
        let (flows, limits) = (&self.flows, &self.limits);
        if flows.networks.get(&network(source.ip())).is_some_and(|&n| n >= flows.config.max_per_source) {
            return Err(Error::NoBufferSpace);
        }
        // What sockets have that somebody holds would not be given back, whichever flow ended.
        if self.memory - flows.waiting + bytes > limits.memory {
            return Err(Error::NoBufferSpace);
        }
        let sockets = self.free.len() + limits.sockets.saturating_sub(self.slots.len());
        let evicted = if sockets == 0 || self.memory + bytes > limits.memory || !flows.takes(bytes) {
            flows.queue.first_key_value().map(|(_, id)| id.index)
        } else if flows.by_source.len() >= flows.config.max_flows {
            self.first_unanswered()
        } else {
            return Ok(None);
        };
        let ended = self.end(evicted.ok_or(Error::NoBufferSpace)?).ok_or(Error::NoBufferSpace)?;
        stats.flows_evicted += 1;
        Ok(Some(ended))
    }

    /// The flow without an answer that ends first, as far as a few looks tell.
    fn first_unanswered(&mut self) -> Option<u32> {
        for _ in 0..LOOKS {
            let &(due, index) = self.flows.unanswered.first()?;
            if self.look_again(due, index) {
                break;
            }
        }
        self.flows.unanswered.first().map(|&(_, index)| index)
    }

    /// Begins the flow of `source`, which has none, and for which there is [room](Sockets::make_room).
    pub fn begin_flow(&mut self, source: SocketAddr, now: Instant) {
        let any: IpAddr = if source.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let how = UdpBind { only_v6: true, ..UdpBind::default() };
        let mut socket = Socket::new(SocketAddr::new(any, 0), how, self.default_options());
        let due = now + self.flows.config.unanswered;
        socket.peer = Some(source);
        let number = self.flows.next;
        self.flows.next += 1;
        socket.flow = Some(Flow { last: now, answered: false, due, waits: Some(number), over: false });
        let id = self.put(socket);
        self.flows.by_source.insert(source, id.index);
        *self.flows.networks.entry(network(source.ip())).or_default() += 1;
        self.flows.unanswered.insert((due, id.index));
        self.flows.queue.insert(number, id);
    }

    /// When a flow is to be looked at next.
    pub fn deadline(&self) -> Option<Instant> {
        self.flows.first().map(|(due, _)| due)
    }

    /// Ends a flow that was idle for too long, if there is one.
    pub fn expire_flow(&mut self, now: Instant, stats: &mut GateStats) -> Option<Ended> {
        while let Some((due, index)) = self.flows.first().filter(|(due, _)| *due <= now) {
            if self.look_again(due, index) {
                stats.flows_expired += 1;
                return self.end(index);
            }
        }
        None
    }

    /// Whether the flow that stands first among its like, by `due`, ends then; else it is put where it belongs.
    fn look_again(&mut self, due: Instant, index: u32) -> bool {
        let socket = self.slots.get_mut(index as usize).and_then(|slot| slot.socket.as_deref_mut());
        let Some(flow) = socket.and_then(|socket| socket.flow.as_mut()) else {
            self.flows.answered.remove(&(due, index));
            self.flows.unanswered.remove(&(due, index));
            return false;
        };
        let end = flow.end(&self.flows.config);
        if end <= due {
            return true;
        }
        flow.due = end;
        let flows = self.flows.among(flow);
        flows.remove(&(due, index));
        flows.insert((end, index));
        false
    }

    /// The flow of the socket at `index` is over. If nobody holds the socket, it is gone.
    fn end(&mut self, index: u32) -> Option<Ended> {
        let slot = self.slots.get_mut(index as usize)?;
        let id = UdpId { index, generation: slot.generation };
        let socket = slot.socket.as_deref_mut()?;
        let waits = socket.flow.as_ref()?.waits();
        let source = self.flows.forget(index, socket)?;
        if !waits {
            return Some(Ended { source, socket: Some(id) });
        }
        self.remove(id);
        Some(Ended { source, socket: None })
    }

    /// The socket `id` is being closed: if it is a flow's, that is over, and its source is given.
    pub(super) fn forget_flow(&mut self, id: UdpId) -> Option<SocketAddr> {
        let socket = named(&mut self.slots, id).ok()?;
        self.flows.forget(id.index, socket)
    }

    /// Gives up the flow and the socket of one that nobody has accepted.
    fn discard(&mut self, id: UdpId) -> Option<SocketAddr> {
        let source = self.forget_flow(id);
        self.remove(id);
        source
    }
}

/// Whether idle for so long means that it is over makes sense only for times that are not zero.
pub(super) fn check(config: &FlowConfig) -> Result<()> {
    if config.idle == Duration::ZERO || config.unanswered == Duration::ZERO {
        return Err(Error::InvalidInput("a flow's idle time must not be zero"));
    }
    Ok(())
}
