//! The whole stack as one sans-IO object: packets in, packets out, time and entropy passed in.
//!
//! # How to use it
//! Own a [`Stack`], and in a loop:
//! 1. give every frame that arrives to [`on_frame`](Stack::on_frame);
//! 2. when [`deadline`](Stack::deadline) has passed, call [`on_deadline`](Stack::on_deadline);
//! 3. after either, and after any socket call, pull frames with [`poll_transmit`](Stack::poll_transmit) until it gives
//!    none, and send them;
//! 4. take what changed with [`poll_ready`](Stack::poll_ready) and serve those sockets;
//! 5. sleep until a frame arrives or the deadline passes.
//!
//! `now` must never go backwards. `examples/bare_loop/main.rs` is a whole program, in virtual time and on a TUN.
#![doc = include_str!("sockets.md")]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod budget;
mod config;
mod egress;
mod flows;
mod gate;
mod input;
mod interface;
mod interfaces;
mod listeners;
mod message;
mod ports;
mod raw_sockets;
mod readiness;
mod route;
mod segmented;
mod share;
mod table;
mod tcp_sockets;
mod udp_sockets;
mod wheel;

pub use crate::icmp::ErrorKind as IcmpError;
pub(crate) use crate::ip::bound::destination;
pub use crate::raw::{Echo, EchoError};
pub use crate::tcp::gate::{GateConfig, SynId, SynOptions, SynRequest};
pub use crate::tcp::state::State;
pub use crate::tcp::{
    Congestion, Ecn, Keepalive, LossDetection, LossRecovery, MtuDiscovery, MtuProbing, TcpConfig, TcpInfo, TcpOptions,
};
pub use config::{Cidr, Config, FlowConfig, ReassemblyConfig, UdpConfig};
pub use gate::{Refusal, Unreachable};
pub use interface::{HostModel, IfName, Interface, InterfaceInfo, MAX_INTERFACES};
pub use message::{RecvMsg, SendFlags, SendMsg, SocketError, UdpBind};
pub use readiness::Readiness;
pub use route::{Route, RouteKind};
pub use share::{FourTuple, Names, Share};

use crate::buf::Pool;
use crate::error::{Error, Result};
use crate::icmp::limit::Limiter;
use crate::ip::{Fragments, Ip, Way};
use crate::rng::{Key, Rng};
use crate::stats::Stats;
use crate::tcp::autotune::Range;
use crate::tcp::config::Memory;
use crate::tcp::connection::{CloseReason, Connection, Cx, Tcb};
use crate::tcp::gate::Pending;
use crate::tcp::isn::IsnGenerator;
use crate::tcp::listener::Listener;
use crate::tcp::syncookie::CookieJar;
use crate::time::Instant;
use crate::trace::Trace;
use crate::wire::{RxFrame, TxFrame};
use crate::{raw, udp};
use budget::Budget;
use core::time::Duration;
use hashbrown::{HashMap, HashSet};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use table::{Holder, Queue, Slot, SocketSide, Table};
use wheel::Wheel;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name {
            pub(crate) index: u32,
            pub(crate) generation: u32,
        }
    };
}

handle!(
    /// A TCP connection's handle. It stays good until `tcp_close` or `tcp_abort`, however the connection fares.
    TcpId
);
handle!(
    /// A TCP listener's handle.
    ListenerId
);
handle!(
    /// A UDP socket's handle.
    UdpId
);

handle!(
    /// A raw or ping socket's handle.
    RawId
);

handle!(
    /// The handle of the gate where SYNs wait for a verdict.
    SynGateId
);

handle!(
    /// The handle of the gate by which flows of datagrams come.
    UdpGateId
);

/// Any socket's handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketId {
    /// A connection.
    Tcp(TcpId),
    /// A listener.
    Listener(ListenerId),
    /// A UDP socket.
    Udp(UdpId),
    /// A raw or ping socket.
    Raw(RawId),
    /// The SYN gate.
    SynGate(SynGateId),
    /// The UDP gate.
    UdpGate(UdpGateId),
}

/// Which direction to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// No more receiving.
    Read,
    /// No more sending: FIN after what is queued.
    Write,
    /// Neither.
    Both,
}

/// The stack. See the [module's page](self) for how to drive it.
#[derive(Debug)]
pub struct Stack {
    config: Config,
    default_options: TcpOptions,
    stats: Stats,
    trace: Trace,
    rng: Rng,
    ip: Ip,
    udp: udp::Sockets,
    raw: raw::Sockets,
    isn: IsnGenerator,
    cookies: CookieJar,
    table: Table,
    wheel: Wheel,
    listeners: Listeners,
    gate: Option<Box<gate::SynGate>>,
    udp_gate: Option<UdpGateId>,
    /// Gates that were ever opened.
    gates: u32,
    /// Connections that may have something to send.
    egress: VecDeque<u32>,
    /// Segments that the first of them has given in a row.
    burst: u32,
    /// Whether the next frame is to be a datagram, if both have one.
    udp_turn: bool,
    /// Sockets whose readiness may have changed. A connection stands here once.
    ready: VecDeque<SocketId>,
    /// Those of them that are no connections: each stands there once.
    announced: HashSet<SocketId, Key>,
    /// Answers of no connection: RST, SYN cookies, ICMP.
    replies: VecDeque<TxFrame>,
    /// Those who waited at a gate that was closed, as far as they have not been reset.
    turned_away: VecDeque<Pending>,
    /// A packet of ours that is too long for its way, as far as its fragments have not been pulled.
    fragments: Option<Fragments>,
    resets: Limiter,
    /// TIME-WAIT records in the order in which they began.
    time_waits: VecDeque<TcpId>,
    time_wait_count: usize,
    orphans: usize,
    budget: Budget,
    /// Connections that were active while memory was short: they may have been held back.
    held_back: VecDeque<u32>,
    /// How many of them are to be looked at now that there is memory again.
    released: usize,
    /// When [`on_deadline`](Stack::on_deadline) is wanted for their sake.
    look_again: Option<Instant>,
    /// Set if this is one of several shards.
    share: Option<Share>,
    /// The shard that the frame at hand is for, if it is not for this one.
    owner: Option<u16>,
    /// The last frame, with its shard, to be fetched.
    misdirected: Option<(u16, RxFrame)>,
}

/// The listeners, by number and by port.
#[derive(Debug)]
struct Listeners {
    slots: Vec<(u32, Option<Listener>)>,
    by_port: HashMap<u16, Vec<u32>, Key>,
}

impl Stack {
    /// A stack with `config`; all its secrets and random choices come from `seed`, so the same seed and the same calls
    /// give the same packets.
    ///
    /// # Errors
    /// `InvalidInput` if the configuration contradicts itself; the text says where.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Result<Stack> {
        Stack::build(config, seed, None, now)
    }

    /// A stack that makes up a host together with others. `config` is its own [part](Config::divided), `seed` is its own
    /// too. Frames that are for another shard are fetched with [`take_misdirected`](Stack::take_misdirected) and given to
    /// that one's [`on_misdirected`](Stack::on_misdirected).
    ///
    /// # Errors
    /// As [`new`](Stack::new).
    pub fn shard(config: Config, seed: [u8; 32], share: Share, now: Instant) -> Result<Stack> {
        Stack::build(config, seed, Some(share), now)
    }

    fn build(config: Config, seed: [u8; 32], share: Option<Share>, now: Instant) -> Result<Stack> {
        let default_options =
            TcpOptions { ttl: config.ttl, congestion: config.tcp.congestion, ..TcpOptions::default() };
        default_options.validate()?;
        config.tcp.validate()?;
        let mut rng = Rng::new(seed);
        let ip_rng = rng.fork();
        let udp_rng = rng.fork();
        let mut common = share.as_ref().map(|share| Rng::new(share.secrets));
        let secrets = common.as_mut().unwrap_or(&mut rng);
        let (isn, cookies) = (IsnGenerator::new(secrets), CookieJar::new(secrets));
        let (tuples, others) = (rng.key(), rng.key());
        let raw_rng = rng.fork();
        Ok(Stack {
            default_options,
            stats: Stats::default(),
            trace: Trace::new(config.trace_events),
            ip: Ip::new(&config, ip_rng, now)?,
            udp: udp::Sockets::new(&config, udp_rng)?,
            raw: raw::Sockets::new(&config, raw_rng),
            isn,
            cookies,
            table: Table::new(tuples),
            wheel: Wheel::new(now),
            listeners: Listeners { slots: Vec::new(), by_port: HashMap::with_hasher(others) },
            gate: None,
            udp_gate: None,
            gates: 0,
            egress: VecDeque::new(),
            burst: 0,
            udp_turn: false,
            ready: VecDeque::new(),
            announced: HashSet::with_hasher(others),
            replies: VecDeque::new(),
            turned_away: VecDeque::new(),
            fragments: None,
            resets: Limiter::new(config.resets_per_second, others, now),
            time_waits: VecDeque::new(),
            time_wait_count: 0,
            orphans: 0,
            budget: Budget::new(config.memory),
            held_back: VecDeque::new(),
            released: 0,
            look_again: None,
            share,
            owner: None,
            misdirected: None,
            rng,
            config,
        })
    }

    // ---- time ----

    /// When [`on_deadline`](Stack::on_deadline) wants to be called next. It may be earlier than the first timer.
    pub fn deadline(&self) -> Option<Instant> {
        let ip = Instant::earlier(self.ip.deadline(), self.ip.reassembly_deadline());
        let gates = Instant::earlier(self.gate_deadline(), self.udp.deadline());
        let own = Instant::earlier(self.wheel.next(), self.look_again);
        Instant::earlier(Instant::earlier(own, gates), ip)
    }

    /// Does what is due at `now`. Calling it early is harmless.
    pub fn on_deadline(&mut self, now: Instant) {
        self.on_deadline_for(now, usize::MAX);
    }

    /// As [`on_deadline`](Stack::on_deadline), for at most `max` connections, as many packets whose fragments did not all
    /// come, and as many requests and flows whose time is over. If more are due, [`deadline`](Stack::deadline) is still not later than `now`.
    pub fn on_deadline_for(&mut self, now: Instant, max: usize) {
        if self.look_again.take_if(|at| *at <= now).is_some() {
            self.update_pressure(now);
            self.release(now);
        }
        if self.ip.deadline().is_some_and(|at| at <= now) {
            for frame in self.ip.on_deadline(now) {
                self.reply(frame);
            }
        }
        for _ in 0..max {
            let Some(told) = self.ip.give_up(now, &mut self.stats) else { break };
            if let Some(error) = told {
                self.reply(error);
            }
        }
        for _ in 0..max {
            if !self.expire_request(now) && !self.expire_flow(now) {
                break;
            }
        }
        for _ in 0..max {
            let Some(index) = self.wheel.expire(now) else { return };
            self.with_connection(index, now, |connection, cx| ((), connection.on_deadline(cx)));
        }
    }

    // ---- readiness ----

    /// The next socket that has become ready for something since it was last given here. Each is given once, however
    /// much has happened. It is told of what is new, not of what still holds: serve it until it would block.
    pub fn poll_ready(&mut self) -> Option<SocketId> {
        self.next_ready().map(|(id, _)| id)
    }

    /// As [`poll_ready`](Stack::poll_ready), with all that it is ready for.
    pub(crate) fn next_ready(&mut self) -> Option<(SocketId, Readiness)> {
        while let Some(id) = self.ready.pop_front() {
            let SocketId::Tcp(TcpId { index, .. }) = id else {
                self.announced.remove(&id);
                return Some((id, self.readiness(id)));
            };
            self.table.leave(index, Queue::Ready);
            // The place may have changed hands since; then the question is what its new holder is told.
            if let Some(slot) = self.table.get(index).filter(|slot| slot.holder == Holder::App) {
                // Memory may have become short since: what is told is what holds now, and the rest is news again.
                let ready = self.tcp_readiness(slot);
                if let Some(slot) = self.table.get_mut(index) {
                    slot.was_ready = ready;
                }
                self.note_held_back(index);
                return Some((SocketId::Tcp(self.table.id(index)), ready));
            }
        }
        None
    }

    /// What a socket is ready for; a closed handle is readable, writable, and hung up.
    pub fn readiness(&self, id: SocketId) -> Readiness {
        let closed = Readiness::READABLE | Readiness::WRITABLE | Readiness::HANGUP;
        match id {
            SocketId::Tcp(id) => self.table.check(id).map_or(closed, |slot| self.tcp_readiness(slot)),
            SocketId::Listener(id) => self.listener(id).map_or(closed, |listener| {
                if listener.accept_queue.is_empty() { Readiness::NONE } else { Readiness::READABLE }
            }),
            SocketId::Udp(id) => self.udp.readiness(id),
            SocketId::Raw(id) => self.raw.readiness(id),
            SocketId::SynGate(id) => match self.syn_gate_has_next(id) {
                Some(true) => Readiness::READABLE,
                Some(false) => Readiness::NONE,
                None => closed,
            },
            SocketId::UdpGate(id) => self.check_udp_gate(id).map_or(closed, |()| self.udp.gate_readiness()),
        }
    }

    /// Notes that a socket may have become ready.
    fn mark_ready(&mut self, id: SocketId) {
        if self.announced.insert(id) {
            self.ready.push_back(id);
        }
    }

    // ---- sight ----

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sorts the addresses that a name has, the one to try first to the front (RFC 6724 6).
    pub fn order_destinations(&self, destinations: &mut [SocketAddr]) {
        self.ip.order_destinations(destinations, |to| crate::ip::bound::unmapped(to.ip()));
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The pool that received frames, and data to be sent, are to come from: what is taken from it counts towards
    /// [`Config::memory`].
    pub fn pool(&self) -> &Pool {
        self.budget.pool()
    }

    /// The trace ring.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Bytes of buffered data in all sockets, as charged to the budget.
    pub fn memory(&self) -> usize {
        self.budget.connections + self.udp.memory() + self.raw.memory()
    }

    /// Bytes held beside [`memory`](Stack::memory) for fragments that wait for others, and the packets that they are of.
    pub fn reassembling(&self) -> (usize, usize) {
        self.ip.reassembling()
    }

    /// Every listener, connection and TIME-WAIT record.
    pub fn tcp_snapshot(&self) -> Vec<TcpInfo> {
        let listeners = self.listeners.slots.iter().filter_map(|(_, l)| l.as_ref()).map(listeners::info);
        let connections = self.table.indices().into_iter().filter_map(|i| self.table.get(i)).map(|s| self.info(s));
        listeners.chain(connections).collect()
    }

    // ---- what every event on a connection goes through ----

    /// Lets `act` do something with connection `index`, then does what may follow from anything: its end, its timer,
    /// its output, its memory, its readiness.
    fn with_connection<R>(
        &mut self,
        index: u32,
        now: Instant,
        act: impl FnOnce(&mut Connection, &mut Cx<'_>) -> (R, Option<CloseReason>),
    ) -> Option<R> {
        let slot = self.table.get_mut(index)?;
        let options = slot.socket.as_ref().map_or(&self.default_options, |s| s.options(&self.default_options));
        let link_mss = mss_of_link(&self.ip, &slot.tuple, options);
        let mut cx = Cx {
            now,
            config: &self.config.tcp,
            options,
            tuple: slot.tuple,
            link_mss,
            orphan: slot.holder == Holder::Nobody,
            memory: self.budget.level(),
            stats: &mut self.stats.tcp,
            trace: &mut self.trace,
        };
        let is_listeners = matches!(slot.holder, Holder::Listener(_));
        let connection = slot.connection.as_mut()?;
        let was_embryonic = connection.is_embryonic();
        let was_synchronized = connection.state().is_synchronized();
        let (result, closed) = act(connection, &mut cx);
        let synchronized = connection.state().is_synchronized();
        let settled = if closed.is_none() { connection.settle(&cx) } else { None };
        let established = synchronized && !was_synchronized;
        let may_have_output = established || connection.may_have_output(&cx);
        if let Some(tcb) = settled {
            if let Some(socket) = &mut slot.socket {
                socket.keep_rest(tcb.rcv.buffer.into_queue());
            }
            self.entered_time_wait(index, now);
        }
        match closed {
            Some(reason) => self.closed(index, now, reason, was_embryonic),
            None => {
                if established {
                    self.established(index, now, was_embryonic);
                }
                self.arm(index);
                if may_have_output {
                    self.mark_egress(index);
                }
            }
        }
        if is_listeners {
            self.review_deferred(index, now);
        }
        self.recount(index, now);
        Some(result)
    }

    /// A connection that is established now learns what is known of its path.
    fn begin_on_path(&mut self, index: u32, now: Instant) {
        let Some(slot) = self.table.get(index) else { return };
        let dst = slot.tuple.remote_addr;
        let believes = slot.options(&self.default_options).mtu_discovery.believes_routers();
        let known = self.ip.path(dst, now).filter(|_| believes).map(|path| input::path_limit(dst, path));
        if known.is_some() || self.config.tcp.mtu_probing == MtuProbing::Always {
            self.with_connection(index, now, |connection, cx| {
                if let Some(tcb) = connection.tcb_mut() {
                    tcb.begin_on_path(known, cx);
                }
                ((), None)
            });
        }
    }

    /// The handshake is over: a listener gets it, or its user.
    fn established(&mut self, index: u32, now: Instant, was_embryonic: bool) {
        self.begin_on_path(index, now);
        let Some(slot) = self.table.get_mut(index) else { return };
        let Some(socket) = &mut slot.socket else { return };
        socket.established = true;
        if let Some(tcb) = slot.connection.as_mut().and_then(Connection::tcb_mut) {
            let (mut early, urgent) = socket.take_early();
            tcb.snd.up = urgent.map(|behind| tcb.snd.buffer.end() + behind as u32);
            for slice in early.pop(usize::MAX) {
                tcb.snd.buffer.push(slice);
            }
        }
        if core::mem::take(&mut socket.close_wanted) {
            self.with_connection(index, now, |connection, cx| (connection.close(cx), None));
        }
        if was_embryonic {
            self.established_for_listener(index, now);
        }
    }

    /// A connection is gone. Its slot stays for as long as an application or an accept queue holds it.
    fn closed(&mut self, index: u32, now: Instant, reason: CloseReason, was_embryonic: bool) {
        let Some(slot) = self.table.get_mut(index) else { return };
        log::debug!("{}: closed ({reason:?})", slot.tuple);
        // Whoever is accepted and then says no has not refused: he had asked.
        let reason = if was_embryonic && reason == CloseReason::Refused { CloseReason::Reset } else { reason };
        let was_time_wait = matches!(slot.connection, Some(Connection::TimeWait(_)));
        let connection = slot.connection.take();
        // Who has read the end of the stream hears of a reset as a writer does.
        let half_closed =
            connection.as_ref().and_then(Connection::tcb).is_some_and(|tcb| tcb.rcv.fin_received() && !tcb.snd.fin);
        let told = if reason == CloseReason::Reset && half_closed { Some(Error::BrokenPipe) } else { reason.error() };
        if let Some(socket) = &mut slot.socket {
            // What a router said tells more than that nobody answered.
            let soft = socket.take_soft_error(connection.as_ref()).filter(|_| reason == CloseReason::TimedOut);
            if let Some(error) = socket.take_error().or(soft).or(told) {
                socket.set_aside().error = Some(error);
            }
            socket.take_early();
            if let Some(Connection::Synchronized(tcb)) = connection {
                socket.fin_received = tcb.rcv.fin_received();
                socket.keep_rest(tcb.rcv.buffer.into_queue());
            }
        }
        let holder = slot.holder;
        let deferred = slot.socket.as_ref().is_some_and(|socket| socket.deferred().is_some());
        if !matches!(reason, CloseReason::Normal) && !slot.socket.as_ref().is_some_and(|s| s.established) {
            self.stats.tcp.attempt_fails += 1;
        }
        self.time_wait_count -= usize::from(was_time_wait);
        let tuple = slot.tuple;
        self.unclaim(&tuple);
        self.table.unname(index);
        self.wheel.cancel(index);
        match holder {
            Holder::App => {}
            Holder::Listener(listener) => {
                if was_embryonic || deferred {
                    self.leave_syn_queue(listener);
                    self.forget(index, now);
                }
            }
            Holder::Nobody => self.forget(index, now),
        }
    }

    /// Frees a slot that nobody holds.
    fn forget(&mut self, index: u32, now: Instant) {
        if let Some(slot) = self.table.get(index) {
            self.budget.connections -= slot.charged;
            self.orphans -= usize::from(slot.counted_orphan);
            self.table.remove(index);
            self.update_pressure(now);
        }
    }

    /// Keeps the number of TIME-WAIT records bounded: the oldest gives way.
    fn entered_time_wait(&mut self, index: u32, now: Instant) {
        if let Some(slot) = self.table.get_mut(index)
            && slot.holder == Holder::Nobody
        {
            slot.socket = None;
        }
        self.time_wait_count += 1;
        self.time_waits.push_back(self.table.id(index));
        // Those that ended by themselves are cleared out when they are the greater part.
        if self.time_waits.len() > 2 * self.time_wait_count + 16 {
            let mut records = core::mem::take(&mut self.time_waits);
            records.retain(|&id| self.is_time_wait(id));
            self.time_waits = records;
        }
        while self.time_wait_count > self.config.max_time_wait
            && let Some(oldest) = self.time_waits.pop_front()
        {
            if self.is_time_wait(oldest) {
                self.end_time_wait(oldest.index, now);
            }
        }
    }

    fn is_time_wait(&self, id: TcpId) -> bool {
        self.table.current(id).is_some_and(|s| matches!(s.connection, Some(Connection::TimeWait(_))))
    }

    /// Ends a TIME-WAIT before its time.
    fn end_time_wait(&mut self, index: u32, now: Instant) {
        self.with_connection(index, now, |_, cx| {
            cx.transition(State::TimeWait, crate::tcp::state::Event::TimeWaitOver);
            ((), Some(CloseReason::Normal))
        });
    }

    /// Sets the connection's entry in the wheel from its computed deadline.
    fn arm(&mut self, index: u32) {
        let Some(slot) = self.table.get(index) else { return };
        let options = slot.options(&self.default_options);
        let deadline =
            slot.connection.as_ref().and_then(|c| c.deadline(&self.config.tcp, options, slot.holder == Holder::Nobody));
        let deferred = slot.socket.as_ref().and_then(|socket| socket.deferred());
        match Instant::earlier(deadline, deferred) {
            Some(at) => self.wheel.arm(index, at),
            None => self.wheel.cancel(index),
        }
    }

    fn mark_egress(&mut self, index: u32) {
        if self.table.get(index).is_some() && self.table.enter(index, Queue::Egress) {
            self.egress.push_back(index);
        }
        self.note_held_back(index);
    }

    /// Charges the connection's memory, counts it if it is an orphan, and tells its holder if it became ready for
    /// something.
    fn recount(&mut self, index: u32, now: Instant) {
        let Some(slot) = self.table.get(index) else { return };
        let aside = slot.socket.as_ref().map_or(0, SocketSide::pinned);
        let charged = slot.connection.as_ref().map_or(0, Connection::memory) + aside;
        let (ready, orphan) = (self.tcp_readiness(slot), slot.is_orphan());
        let Some(slot) = self.table.get_mut(index) else { return };
        let before = core::mem::replace(&mut slot.charged, charged);
        let was_orphan = core::mem::replace(&mut slot.counted_orphan, orphan);
        let was_ready = core::mem::replace(&mut slot.was_ready, ready);
        let tcb = slot.connection.as_mut().and_then(Connection::tcb_mut);
        let urgent_news = tcb.is_some_and(|tcb| core::mem::take(&mut tcb.rcv.urgent_news));
        let news = slot.holder == Holder::App && (ready.adds_to(was_ready) || urgent_news);
        if news && self.table.enter(index, Queue::Ready) {
            self.ready.push_back(SocketId::Tcp(self.table.id(index)));
        }
        self.orphans = self.orphans - usize::from(was_orphan) + usize::from(orphan);
        self.budget.connections = self.budget.connections - before + charged;
        self.update_pressure(now);
    }

    fn is_short_of_memory(&self) -> bool {
        self.budget.level() > Memory::Ample
    }

    /// Notes that a connection may have been held back, if memory is short.
    fn note_held_back(&mut self, index: u32) {
        if self.is_short_of_memory() && self.table.get(index).is_some() && self.table.enter(index, Queue::HeldBack) {
            self.held_back.push_back(index);
        }
    }

    /// Looks at what memory is left.
    fn update_pressure(&mut self, now: Instant) {
        let udp = self.udp.memory() + self.raw.memory();
        if self.budget.look(udp) {
            self.released = self.held_back.len();
            self.release(now);
        } else if self.look_again.is_none() && self.budget.waits_for_chunks(udp) {
            self.look_again = Some(now + LOOK_AGAIN);
        }
    }

    /// Lets connections that were held back look anew at what they may offer and take: a bounded number at a time, because
    /// there may be a million.
    fn release(&mut self, now: Instant) {
        for _ in 0..RELEASED {
            if self.released == 0 {
                return;
            }
            self.released -= 1;
            if let Some(index) = self.held_back.pop_front() {
                self.table.leave(index, Queue::HeldBack);
                self.touch(index, now);
            }
        }
        self.look_again = Some(now);
    }

    /// A connection's numbers.
    fn info(&self, slot: &Slot) -> TcpInfo {
        let (local, remote) = (slot.local(), slot.remote());
        let mut info = TcpInfo::new(slot.connection.as_ref().map_or(State::Closed, Connection::state), local, remote);
        let options = slot.options(&self.default_options);
        if let Some(tcb) = slot.connection.as_ref().and_then(Connection::tcb) {
            tcb.fill_info(&mut info, &self.config.tcp, options);
        } else if let Some(socket) = &slot.socket {
            info.recv_queue = socket.aside().map_or(0, |aside| aside.rest.len());
            info.send_queue = socket.aside().map_or(0, |aside| aside.early.len());
            info.recv_buffer = Range::recv(&self.config.tcp, options).initial;
            info.send_buffer = Range::send(&self.config.tcp, options).initial;
        }
        info.memory = slot.charged;
        let headers = headers_len(slot.tuple.remote_addr);
        let link = usize::from(mss_of_link(&self.ip, &slot.tuple, options)) + headers;
        let path = slot.connection.as_ref().and_then(Connection::tcb).and_then(Tcb::path_mss);
        info.pmtu = path.map_or(link, |mss| (usize::from(mss) + headers).min(link));
        info.orphan = slot.holder == Holder::Nobody;
        info
    }
}

/// Connections that are let go on at a time when there is memory again.
const RELEASED: usize = 256;

/// How soon to look again where memory is short because an application holds chunks: nobody tells when it returns them.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Bytes of TCP's fixed header.
const TCP_HEADER: usize = 20;

/// The MSS that we announce: the link's MTU less the fixed headers (RFC 9293 3.7.1, MUST-67), if the user wants no less.
#[inline]
fn mss_of_link(ip: &Ip, tuple: &FourTuple, options: &TcpOptions) -> u16 {
    let payload = ip.payload_mtu_to(tuple.remote_addr, || way(tuple, options));
    let link = u16::try_from(payload.saturating_sub(TCP_HEADER)).unwrap_or(u16::MAX);
    options.max_segment.map_or(link, |most| most.min(link))
}

/// Bytes of the fixed headers in front of the text of segments to `remote`.
fn headers_len(remote: IpAddr) -> usize {
    crate::ip::header_len(remote) + TCP_HEADER
}

/// The way of a connection's packets.
fn way(tuple: &FourTuple, options: &TcpOptions) -> Way {
    Way::new(tuple.local_addr, tuple.remote_addr, options.leaves_by())
}

/// Settings of one raw or ping socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawOptions {
    /// TTL or hop limit of its packets; none is the stack's, and 1 to groups.
    pub ttl: Option<u8>,
    /// The DSCP and ECN byte of its packets.
    pub tos: u8,
    /// Whether it may send to broadcast addresses.
    pub broadcast: bool,
    /// Whether what a raw socket sends over IPv4 begins with the IP header (IP_HDRINCL).
    pub header_included: bool,
    /// Received bytes, with 96 for each packet, that it holds.
    pub recv_buffer: usize,
    /// The number of the interface that its packets leave by, and alone come in by (SO_BINDTODEVICE); zero is whichever.
    pub interface: u8,
    /// Whether all that routers and hosts say of a raw socket's packets is kept to be read, and fails the next call
    /// (IP_RECVERR).
    pub recv_errors: bool,
}

/// Settings of one UDP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// TTL of its datagrams to one host or a network.
    pub ttl: u8,
    /// The DSCP and ECN byte of its datagrams.
    pub tos: u8,
    /// Whether it may send to broadcast addresses.
    pub broadcast: bool,
    /// TTL of its datagrams to groups; zero keeps them on this host.
    pub multicast_ttl: u8,
    /// Whether sockets of this host that are members hear what it sends to their group, itself among them.
    pub multicast_loop: bool,
    /// The address that its datagrams to groups come from, if it is not bound to one (IP_MULTICAST_IF).
    pub multicast_source: Option<IpAddr>,
    /// The number of the interface that its datagrams to groups leave by (IPV6_MULTICAST_IF); zero is as routes have it.
    pub multicast_interface: u8,
    /// The number of the interface that its datagrams leave by, and alone come in by (SO_BINDTODEVICE); zero is whichever.
    pub interface: u8,
    /// Received bytes, with 96 for each datagram, that it holds.
    pub recv_buffer: usize,
    /// Bytes to be sent, with 128 for each datagram, that it holds (SO_SNDBUF).
    pub send_buffer: usize,
    /// The mark of its packets (SO_MARK).
    pub mark: u32,
    /// The number of the interface that the stack's rules give the mark, or zero: its datagrams leave by that, if `interface`
    /// names none.
    pub marked_interface: u8,
    /// Whether datagrams that continue one another are received together (UDP_GRO).
    pub gro: bool,
    /// What is done about the MTU of its paths (IP_MTU_DISCOVER).
    pub mtu_discovery: MtuDiscovery,
    /// Whether all that routers and hosts say of its datagrams is kept to be read (IP_RECVERR). Each then also fails the
    /// next call, connected or not.
    pub recv_errors: bool,
}
