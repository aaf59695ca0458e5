//! A run: from event to event in virtual time, with a look at everything after each.

use super::app::{Finish, Planned};
use super::application::{Application, Ledger, Said, Socket};
use super::coverage::{Cover, Coverage};
use super::event::{Event, Watcher};
use super::host::{Flow, Host, OurHost, Ready};
use super::link::Link;
use super::noise::{Noise, NoisePlan, too_big};
use super::oracle::{HostFacts, Oracle, Patience};
use super::report::{FlowReport, Report, Violation};
use super::scenario::{ADDRESSES, ADDRESSES_V6, FlowPlan, Opening, Scenario, TRACE, listen_port};
use super::stream::{Stream, TraceHash};
use super::world::World;
use crate::device::impair::Fate;
use crate::error::Error;
use crate::stack::TcpOptions;
use crate::tcp::state::State;
use crate::time::Instant;
use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Events in one run at most; a run that needs more is going in circles.
const MAX_EVENTS: u64 = 3_000_000;
/// Packets at most without any byte written, read, arrived or acknowledged (INV-11), and at most that one host sends
/// without any time passing.
const MAX_IDLE_PACKETS: u64 = 20_000;
/// MTU below which SACK blocks leave a segment room for a few bytes only, so that a window of each flow is more than that.
const TINY_MTU: usize = 100;
/// How long after everything is over the link must be silent (INV-11): a longest time-out, and some.
const LAST_PACKET: Duration = Duration::from_secs(130);
/// As much longer where SYN cookies are sent: so long a peer of a connection that came from one is not told that it is gone.
const COOKIES_LAST: Duration = Duration::from_secs(128);

/// A run being simulated.
pub(super) struct Run<'a> {
    scenario: Scenario,
    start: Instant,
    now: Instant,
    hosts: [Box<dyn Host + 'a>; 2],
    links: [Link; 2],
    noise: Noise,
    oracle: Oracle,
    flows: Vec<FlowState<'a>>,
    listening: [bool; 2],
    /// Hosts to which something has happened since they were settled: the others have nothing to say.
    touched: [bool; 2],
    coverage: Coverage,
    hash: TraceHash,
    packets: u64,
    events: u64,
    last_progress: Instant,
    packets_at_progress: u64,
    /// Packets at most without progress.
    max_idle_packets: u64,
    watch: Option<Watcher<'a>>,
}

struct FlowState<'a> {
    plan: FlowPlan,
    apps: [App<'a>; 2],
    opened: Option<Instant>,
}

/// An application and its book.
struct App<'a> {
    actor: Box<dyn Application + 'a>,
    ledger: Ledger,
    /// Whether it acts by the scenario's plan.
    planned: bool,
}

impl App<'_> {
    fn started(&self) -> bool {
        self.ledger.since.is_some()
    }

    /// When it wants to act by itself.
    fn wake(&self, start: Instant) -> Option<Instant> {
        if self.ledger.closed || !self.started() {
            return None;
        }
        self.actor.wake().map(|at| start + at)
    }
}

type Step = Result<(), String>;

impl<'a> Run<'a> {
    /// The run of `world`.
    pub(super) fn new(world: World<'a>) -> Self {
        let World { scenario, hosts: others, mut applications, watch } = world;
        let start = Instant::from_nanos(scenario.start);
        let faults_end = start + scenario.faults_end;
        let mut index = 0;
        let hosts = others.map(|other| {
            let plan = &scenario.hosts[index];
            index += 1;
            other.unwrap_or_else(|| Box::new(OurHost::new(plan.config.clone(), plan.seed, start, scenario.flows.len())))
        });
        let facts = [0, 1].map(|i: usize| {
            let config = &scenario.hosts[i].config;
            let handshake = config.tcp.syn_retries.min(config.tcp.synack_retries);
            HostFacts {
                addrs: [ADDRESSES[i].into(), ADDRESSES_V6[i].into()],
                mtu: config.mtu,
                judged: hosts[i].judged(),
                cookies: config.max_syn_queue == 0,
                patience: Patience {
                    handshake: handshake + 1,
                    established: config.tcp.retries2,
                    orphan: config.tcp.orphan_retries.min(config.tcp.retries2),
                },
            }
        });
        let mut oracle = Oracle::new(facts);
        let mut flows = Vec::new();
        for (i, plan) in scenario.flows.iter().enumerate() {
            let active = match plan.opening {
                Opening::From(a) | Opening::Refused(a) => Some(a),
                Opening::Simultaneous => None,
            };
            oracle.add_flow(plan.ports.map(|p| (p != 0).then_some(p)), active);
            let mut app = |side: usize| {
                if let Some(at) = applications.iter().position(|(flow, end, _)| (*flow, *end) == (i, side)) {
                    let (_, _, actor) = applications.swap_remove(at);
                    return App { actor, ledger: Ledger::new(Said::Bytes(Vec::new())), planned: false };
                }
                let seed = scenario.seed.wrapping_mul(31).wrapping_add((2 * i + side) as u64);
                let stream = Stream::new(plan.streams[side]);
                let actor = Box::new(Planned::new(plan.apps[side].clone(), seed, stream));
                App { actor, ledger: Ledger::new(Said::Stream(stream)), planned: true }
            };
            flows.push(FlowState { plan: plan.clone(), apps: [app(0), app(1)], opened: None });
        }
        // Other stacks need not take fragments, nor ignore errors.
        let noise = if facts.iter().all(|host| host.judged) { scenario.noise } else { NoisePlan::default() };
        let mtus =
            scenario.hosts.iter().map(|host| Some(host.config.mtu)).chain(scenario.links.iter().map(|link| link.mtu));
        let windows = if mtus.flatten().any(|mtu| mtu < TINY_MTU) { scenario.flows.len() * TRACE } else { 0 };
        let link = |i: usize| Link::new(scenario.links[i].clone(), scenario.link_seeds[i], start, faults_end);
        Run {
            watch: watch.map(|tell| Watcher::new(tell, scenario.flows.len())),
            start,
            now: start,
            hosts,
            links: [link(0), link(1)],
            noise: Noise::new(noise, scenario.seed, faults_end),
            oracle,
            flows,
            listening: [false; 2],
            touched: [true; 2],
            coverage: Coverage::new(),
            hash: TraceHash::default(),
            packets: 0,
            events: 0,
            last_progress: start,
            packets_at_progress: 0,
            max_idle_packets: MAX_IDLE_PACKETS + windows as u64,
            scenario,
        }
    }

    /// Runs to the end.
    pub(super) fn run(mut self) -> Report {
        let result = self.live().and_then(|()| self.judge());
        let violation = result.err().map(|what| Violation { at: self.now.since(self.start), what });
        self.noise.cover(&mut self.coverage);
        for link in &self.links {
            link.cover(&mut self.coverage);
        }
        for flow in 0..self.flows.len() {
            self.oracle.watch(flow).cover(&mut self.coverage);
        }
        for book in self.flows.iter().flat_map(|f| &f.apps).map(|app| &app.ledger) {
            for n in [book.read, book.written, u64::from(book.clean_eof)] {
                self.hash.number(n);
            }
        }
        let since = |at: Instant| at.since(self.start);
        let flow = |flow: &FlowState<'_>| {
            let books = flow.apps.each_ref().map(|app| &app.ledger);
            FlowReport {
                opened: flow.opened.map(since),
                written: books.map(|book| book.written),
                read: books.map(|book| book.read),
                last_read: books.map(|book| book.last_read.map(since)),
                error: books.map(|book| book.error),
            }
        };
        Report {
            seed: self.scenario.seed,
            hash: self.hash.value(),
            packets: self.packets,
            elapsed: self.now.since(self.start),
            flows: self.flows.iter().map(flow).collect(),
            faults: self.links.each_ref().map(Link::faults),
            stats: self.hosts.each_ref().map(|host| host.stats().map(|stats| stats.tcp.clone())),
            coverage: self.coverage,
            violation,
        }
    }

    /// Goes from event to event until nothing is left to happen.
    fn live(&mut self) -> Step {
        self.listen()?;
        let limit = self.start + self.scenario.time_limit();
        // After that, the time that a closed connection may still take: FIN-WAIT-2, retries of an orphan, 2 MSL.
        let mut given_up = false;
        let tail = Duration::from_secs(1800);
        loop {
            let next = match self.next_event() {
                Some(next) => next.max(self.now),
                None if given_up || !self.is_anybody_waiting() => return Ok(()),
                None => Instant::from_nanos(u64::MAX),
            };
            if next > limit && !given_up {
                given_up = true;
                self.now = limit;
                self.give_up()?;
                self.settle()?;
                continue;
            }
            if next > limit + tail {
                return Err(format!(
                    "INV-10: something still goes on {tail:?} after all was closed\n{}",
                    self.describe()
                ));
            }
            self.now = next;
            self.events += 1;
            if self.events > MAX_EVENTS {
                return Err(format!("no end after {MAX_EVENTS} events\n{}", self.describe()));
            }
            if self.packets - self.packets_at_progress > self.max_idle_packets {
                return Err(format!("INV-11: {} packets without progress\n{}", self.max_idle_packets, self.describe()));
            }
            self.open_flows()?;
            self.arrivals()?;
            self.timers()?;
            self.wake_apps()?;
            self.settle()?;
            self.stop_listening();
            self.settle()?;
            self.sample();
        }
    }

    /// Shows whoever watches what the connections' numbers are now.
    fn sample(&mut self) {
        let Some(watcher) = &mut self.watch else { return };
        for flow in 0..self.flows.len() {
            for (side, host) in self.hosts.iter().enumerate() {
                if let Some(info) = host.info(flow) {
                    watcher.sample(self.now.since(self.start), side, flow, info);
                }
            }
        }
    }

    fn is_anybody_waiting(&self) -> bool {
        self.listening.contains(&true)
            || self.flows.iter().flat_map(|f| &f.apps).any(|a| a.started() && !a.ledger.closed)
    }

    fn next_event(&mut self) -> Option<Instant> {
        let now = self.now;
        let hosts = self.hosts.iter_mut().filter_map(|h| h.deadline(now)).min();
        let links = self.links.iter().filter_map(Link::next).min();
        let apps = self.flows.iter().flat_map(|f| &f.apps).filter_map(|app| app.wake(self.start)).min();
        let opens = self.flows.iter().filter(|f| f.opened.is_none()).map(|f| self.start + f.plan.start).min();
        let stops = (0..2).filter(|&i| self.listening[i]).filter_map(|i| self.scenario.hosts[i].stops_listening);
        let stops = stops.map(|after| self.start + after).min();
        [hosts, links, apps, opens, stops].into_iter().flatten().min()
    }

    fn socket(&self, side: usize, flow: Flow) -> TcpOptions {
        let plan = &self.flows[flow].plan.sockets[side];
        TcpOptions {
            congestion: plan.congestion.unwrap_or(self.scenario.hosts[side].config.tcp.congestion),
            loss_recovery: plan.loss_recovery,
            nodelay: plan.nodelay,
            send_buffer: plan.send_buffer,
            recv_buffer: plan.recv_buffer,
            keepalive: plan.keepalive,
            ..TcpOptions::default()
        }
    }

    fn listen(&mut self) -> Step {
        for (side, addr) in ADDRESSES.into_iter().enumerate() {
            let passive = |f: &&FlowState| f.plan.opening == Opening::From(1 - side);
            let Some(flow) = self.flows.iter().position(|f| passive(&f)) else { continue };
            let options = self.socket(side, flow);
            // One listener for both families, where there are two.
            let addr = if self.scenario.has_v6() { Ipv6Addr::UNSPECIFIED.into() } else { addr.into() };
            let local = SocketAddr::new(addr, listen_port(side));
            let backlog = self.scenario.hosts[side].backlog;
            self.hosts[side].listen(self.now, local, backlog, &options).map_err(|e| format!("listen failed: {e}"))?;
            self.listening[side] = true;
        }
        Ok(())
    }

    fn open_flows(&mut self) -> Step {
        for flow in 0..self.flows.len() {
            let plan = &self.flows[flow].plan;
            if self.flows[flow].opened.is_some() || self.start + plan.start > self.now {
                continue;
            }
            let sides = match plan.opening {
                Opening::From(a) | Opening::Refused(a) => a..a + 1,
                Opening::Simultaneous => 0..2,
            };
            let (ports, v6) = (plan.ports, plan.v6);
            self.flows[flow].opened = Some(self.now);
            for side in sides {
                let addr = |i: usize| if v6 { IpAddr::V6(ADDRESSES_V6[i]) } else { IpAddr::V4(ADDRESSES[i]) };
                let end = |i: usize| SocketAddr::new(addr(i), ports[i]);
                let options = self.socket(side, flow);
                self.hosts[side]
                    .connect(self.now, flow, end(side), end(1 - side), &options)
                    .map_err(|e| format!("connect failed: {e}"))?;
                self.start_app(side, flow)?;
            }
        }
        Ok(())
    }

    fn start_app(&mut self, side: usize, flow: Flow) -> Step {
        self.progress();
        self.flows[flow].apps[side].ledger.since = Some(self.now);
        self.run_app(side, flow)
    }

    /// Hands over what has arrived: to each host as many packets at once as its plan says.
    fn arrivals(&mut self) -> Step {
        for side in 0..2 {
            let batch = self.scenario.hosts[side].batch;
            for _ in 0..batch {
                let Some(packet) = self.links[1 - side].pop(self.now) else { break };
                if self.oracle.delivered(side, &packet, &mut self.coverage) {
                    self.packets_at_progress = self.packets;
                }
                self.note(&Event::Arrived { at: side, packet: &packet });
                for piece in self.noise.arrive(self.now, packet) {
                    self.hosts[side].receive(self.now, piece);
                    self.check(side)?;
                }
            }
        }
        Ok(())
    }

    fn timers(&mut self) -> Step {
        for side in 0..2 {
            if self.hosts[side].deadline(self.now).is_none_or(|at| at > self.now) {
                continue;
            }
            self.hosts[side].on_deadline(self.now);
            self.check(side)?;
        }
        Ok(())
    }

    fn wake_apps(&mut self) -> Step {
        for flow in 0..self.flows.len() {
            for side in 0..2 {
                if self.flows[flow].apps[side].wake(self.start).is_some_and(|at| at <= self.now) {
                    self.run_app(side, flow)?;
                }
            }
        }
        Ok(())
    }

    /// Serves ready applications and sends packets until both hosts have nothing more to do now.
    fn settle(&mut self) -> Step {
        for side in 0..2 {
            if !self.touched[side] {
                continue;
            }
            let mut burst = 0;
            loop {
                let mut quiet = true;
                while let Some(ready) = self.hosts[side].poll_ready(self.now) {
                    quiet = false;
                    burst += 1;
                    match ready {
                        Ready::Flow(flow) => self.run_app(side, flow)?,
                        Ready::Listener => self.accept(side)?,
                    }
                    if burst > self.max_idle_packets {
                        return Err(format!("host {side} finds no end of what is ready\n{}", self.describe()));
                    }
                }
                while let Some(packet) = self.hosts[side].transmit(self.now) {
                    quiet = false;
                    burst += 1;
                    self.transmitted(side, packet)?;
                    if burst > self.max_idle_packets {
                        return Err(format!("host {side} finds no end of sending\n{}", self.describe()));
                    }
                }
                if quiet {
                    break;
                }
            }
            self.check(side)?;
            self.touched[side] = false;
            let judged = self.hosts[side].judged();
            if judged && self.hosts[side].deadline(self.now).is_some_and(|at| at <= self.now) {
                // It may have become due just now; but after it has been served it must lie ahead.
                self.hosts[side].on_deadline(self.now);
                while let Some(packet) = self.hosts[side].transmit(self.now) {
                    self.transmitted(side, packet)?;
                }
                if self.hosts[side].deadline(self.now).is_some_and(|at| at <= self.now) {
                    return Err(format!("host {side}: a deadline that does not move on\n{}", self.describe()));
                }
            }
        }
        Ok(())
    }

    fn transmitted(&mut self, side: usize, packet: crate::buf::Slice) -> Step {
        self.packets += 1;
        self.hash.number(self.now.as_nanos() ^ side as u64);
        self.hash.bytes(&packet);
        let flows = &self.flows;
        let verdict = self.oracle.sent(side, &packet, |flow| &flows[flow].apps[side].ledger, &mut self.coverage);
        if let Some(error) = self.noise.complain(self.now, &packet) {
            self.links[1 - side].push(self.now, error);
        }
        let fate = self.links[side].push(self.now, packet.clone());
        self.note(&Event::Sent { from: side, packet: &packet, fate });
        if let (Fate::TooBig, Some(mtu)) = (fate, self.scenario.links[side].mtu)
            && self.scenario.tells_mtu
            && let Some(error) = too_big(&packet, mtu)
        {
            self.links[1 - side].push(self.now, error);
        }
        verdict?;
        let cookies = if self.scenario.has_cookies() { COOKIES_LAST } else { Duration::ZERO };
        let calm = self.last_progress.max(self.start + self.scenario.faults_end) + LAST_PACKET + cookies;
        let keepalive = self.flows.iter().flat_map(|f| &f.plan.sockets).any(|s| s.keepalive.is_some());
        let paused = self.flows.iter().flat_map(|f| &f.apps).any(|a| a.wake(self.start).is_some());
        if self.now > calm && !keepalive && !paused && self.hosts.iter().all(|h| h.judged()) {
            return Err(format!("INV-11: packets long after all is over\n{}", self.describe()));
        }
        Ok(())
    }

    /// An application got further.
    fn progress(&mut self) {
        self.packets_at_progress = self.packets;
        self.last_progress = self.now;
    }

    fn accept(&mut self, side: usize) -> Step {
        loop {
            let oracle = &self.oracle;
            let flow_of = |peer: SocketAddr| oracle.flow_of_port(1 - side, peer.port());
            match self.hosts[side].accept(self.now, &flow_of) {
                Ok(flow) => self.start_app(side, flow)?,
                Err(Error::WouldBlock) => return Ok(()),
                Err(error) => return Err(format!("accept failed: {error}")),
            }
        }
    }

    fn run_app(&mut self, side: usize, flow: Flow) -> Step {
        let [a, b] = &mut self.flows[flow].apps;
        let (me, peer) = if side == 0 { (a, b) } else { (b, a) };
        if !me.started() || me.ledger.closed {
            return Ok(());
        }
        let before = me.ledger.progress();
        let mut socket = Socket {
            now: self.now,
            start: self.start,
            host: &mut *self.hosts[side],
            flow,
            ledger: &mut me.ledger,
            peer: &peer.ledger.said,
            coverage: &mut self.coverage,
            broken: None,
        };
        let ran = me.actor.run(&mut socket);
        let ran = socket.broken.map_or(ran, Err);
        if before != me.ledger.progress() {
            self.progress();
        }
        // What the other stack tells its application is not ours to answer for, but our bytes in it are.
        ran.map_err(|what| format!("flow {flow}, application on host {side}: {what}"))?;
        let [me, peer] = self.sides(flow, side);
        let complete = me.read == peer.written && (peer.shut || peer.closed) && !peer.aborted;
        if me.clean_eof && !complete {
            return Err(format!(
                "INV-3: flow {flow}, host {side}: the end of the stream after {} bytes; the peer wrote {}, shut down: {}, closed: {}",
                me.read, peer.written, peer.shut, peer.closed
            ));
        }
        self.check(side)
    }

    /// The books of both applications of a flow, that of this side first.
    fn sides(&self, flow: Flow, side: usize) -> [&Ledger; 2] {
        let apps = &self.flows[flow].apps;
        [&apps[side].ledger, &apps[1 - side].ledger]
    }

    fn check(&mut self, side: usize) -> Step {
        self.touched[side] = true;
        self.hosts[side].check(self.now, &mut self.coverage).map_err(|what| format!("host {side}: {what}"))
    }

    /// A listener stops when its plan says so, or when nothing can come to it any more.
    fn stop_listening(&mut self) {
        for side in 0..2 {
            if !self.listening[side] {
                continue;
            }
            let early = self.scenario.hosts[side].stops_listening.is_some_and(|after| self.start + after <= self.now);
            let opened =
                |f: &FlowState<'_>| f.plan.opening != Opening::From(1 - side) || f.apps[1 - side].ledger.closed;
            let idle = || self.links[1 - side].next().is_none() && self.hosts.iter().all(|h| h.connections() == 0);
            if early || (self.flows.iter().all(opened) && idle()) {
                self.listening[side] = false;
                self.hosts[side].close_listener(self.now);
                self.touched[side] = true;
            }
        }
    }

    /// The time is up: who still waits must have a reason, and lets go.
    fn give_up(&mut self) -> Step {
        let ours = self.hosts.iter().all(|h| h.judged());
        for side in 0..2 {
            for flow in 0..self.flows.len() {
                let app = &self.flows[flow].apps[side];
                if !app.started() || app.ledger.closed {
                    continue;
                }
                if ours && !self.oracle.may_be_left_alone(flow, side) {
                    return Err(format!("a hang: flow {flow}, host {side} still waits\n{}", self.describe()));
                }
                self.coverage.hit(Cover::LeftAlone);
                self.flows[flow].apps[side].ledger.closed = true;
                self.hosts[side].close(self.now, flow);
                self.progress();
            }
            self.touched[side] = true;
            if core::mem::take(&mut self.listening[side]) {
                self.hosts[side].close_listener(self.now);
            }
        }
        Ok(())
    }

    /// What must be true when all is over.
    fn judge(&mut self) -> Step {
        let ours = self.hosts.iter().all(|h| h.judged());
        for side in 0..2 {
            if self.hosts[side].judged() {
                let Self { hosts, coverage, .. } = self;
                hosts[side].check_empty(coverage).map_err(|what| format!("host {side}: {what}"))?;
            }
        }
        let mut complete = true;
        for flow in 0..self.flows.len() {
            for side in 0..2 {
                self.judge_error(flow, side)?;
            }
            complete &= self.judge_completeness(flow, ours)?;
        }
        self.coverage.hit_if(complete, Cover::Complete);
        Ok(())
    }

    /// An application's error must be one that the wire explains.
    fn judge_error(&mut self, flow: Flow, side: usize) -> Step {
        let app = &self.flows[flow].apps[side].ledger;
        let (Some(error), true) = (app.error, self.hosts[side].judged()) else {
            return Ok(());
        };
        let reset = self.oracle.watch(flow).reset_arrived(side);
        let explained = match error {
            Error::ConnectionReset => reset,
            Error::ConnectionRefused if reset && app.read == 0 => true,
            Error::TimedOut => self.oracle.may_time_out(flow, side),
            // What was said of a connection that timed out tells more than that it did.
            _ if self.is_hearsay(error) => self.oracle.may_time_out(flow, side),
            // Writing after the peer's reset or after one's own shutdown of both directions.
            Error::BrokenPipe | Error::NotConnected => reset || app.shut,
            _ => false,
        };
        if !explained {
            return Err(format!("flow {flow}, host {side}: \"{error}\", which nothing on the wire explains"));
        }
        self.coverage.hit_if(error == Error::ConnectionReset, Cover::ResetReceived);
        self.coverage.hit_if(error == Error::ConnectionRefused, Cover::Refused);
        self.coverage.hit_if(error == Error::TimedOut, Cover::TimedOut);
        Ok(())
    }

    /// Whether `error` is what somebody said in an ICMP error, or a host about fragments that did not come.
    fn is_hearsay(&self, error: Error) -> bool {
        let said = [
            Error::HostUnreachable,
            Error::NetworkUnreachable,
            Error::ProtocolUnreachable,
            Error::ConnectionRefused,
            Error::MessageTooLong,
        ];
        self.scenario.noise != NoisePlan::default() && said.contains(&error)
    }

    /// Between two patient applications every byte arrives, unless one end gave up by rule.
    fn judge_completeness(&self, flow: Flow, ours: bool) -> Result<bool, String> {
        let state = &self.flows[flow];
        let whole = (0..2).all(|side| {
            let [me, _] = self.sides(flow, side);
            me.clean_eof && me.read == state.plan.apps[1 - side].total && me.error.is_none()
        });
        let watch = self.oracle.watch(flow);
        let planned = state.apps.iter().all(|a| a.planned);
        let patient = state.plan.apps.iter().all(|a| a.finish.is_patient());
        let listened = !matches!(state.plan.opening, Opening::Refused(_))
            && self.scenario.hosts.iter().all(|h| h.stops_listening.is_none());
        // That a host gave up may only be seen by the reset with which it answers later segments.
        let timed_out =
            |side: usize| state.apps[side].ledger.error.is_some_and(|e| e == Error::TimedOut || self.is_hearsay(e));
        let gave_up = (0..2).any(|side| self.oracle.may_have_given_up(flow, side) || timed_out(side));
        let impatient = self.scenario.hosts.iter().any(|h| h.config.tcp.retries2 < 10);
        // Both SYNs may find nobody at home; and a SYN cookie can only be recognized in the first segment after it, so
        // that the loss of that one turns the next into a stranger (RFC 4987 3.6).
        let cookies = self.scenario.has_cookies();
        let delicate = cookies || state.plan.opening == Opening::Simultaneous;
        let crossed = delicate && (0..2).any(|side| watch.reset_arrived(side));
        if ours && planned && patient && listened && !whole && !gave_up && !impatient && !crossed {
            let errors = self.sides(flow, 0).map(|a| (a.read, a.written, a.clean_eof, a.error));
            return Err(format!("flow {flow}: not every byte arrived: (read, written, end, error) {errors:?}"));
        }
        if !ours || !planned {
            return Ok(whole);
        }
        // One end closed at once, but the other had nothing to say: then all that was written still arrives.
        for side in 0..2 {
            let [me, peer] = self.sides(flow, side);
            let [plan, peers_plan] = [&state.plan.apps[side], &state.plan.apps[1 - side]];
            let said_all = peers_plan.finish == Finish::CloseWhenWritten && peer.closed && peer.error.is_none();
            let silent = plan.total == 0 && plan.finish == Finish::AfterPeer;
            if said_all && silent && listened && !gave_up && !impatient && !crossed && !me.clean_eof {
                return Err(format!(
                    "flow {flow}, host {side}: {} of {} bytes arrived before a plain close",
                    me.read, peer.written
                ));
            }
        }
        Ok(whole)
    }

    /// The state of everything, for a report.
    fn describe(&self) -> String {
        let mut out = format!("at {:?} of at most {:?}", self.now.since(self.start), self.scenario.time_limit());
        for (i, host) in self.hosts.iter().enumerate() {
            out += &format!("\nhost {i}: {}", host.describe());
        }
        for (i, flow) in self.flows.iter().enumerate() {
            for (side, app) in flow.apps.iter().enumerate() {
                let (book, plan) = (&app.ledger, &flow.plan.apps[side]);
                let does = if app.planned { format!("{:?}", plan.finish) } else { "the user's".to_owned() };
                out += &format!(
                    "\nflow {i}, application {side}: {does}, wrote {} of {}, read {} of {}, end {}, shut {}, closed {}, error {:?}, state {}",
                    book.written,
                    plan.total,
                    book.read,
                    flow.plan.apps[1 - side].total,
                    book.eof,
                    book.shut,
                    book.closed,
                    book.error,
                    if book.closed { State::Closed } else { self.hosts[side].state(i) },
                );
            }
        }
        out
    }

    fn note(&mut self, event: &Event<'_>) {
        if let Some(watcher) = &mut self.watch {
            watcher.tell(self.now.since(self.start), event);
        }
    }
}
