//! One end of the simulated link: our stack behind a small trait, so that another stack can take its place.

use super::coverage::{Cover, Coverage};
use crate::buf::Slice;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::stack::{Config, ListenerId, Shutdown, SocketId, Stack, TcpId, TcpInfo, TcpOptions};
use crate::stats::{DropReason, Stats};
use crate::tcp::state::State;
use crate::time::Instant;
use crate::wire::RxFrame;
use crate::wire::gso::Finisher;
use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Which connection of a run: an index into its flows.
pub type Flow = usize;

/// What became ready on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// This flow's socket.
    Flow(Flow),
    /// The listener: a connection may wait to be accepted.
    Listener,
}

/// A machine with a TCP/IP stack and non-blocking sockets, driven in virtual time. Its errors are those of
/// [`Stack`], whose calls these are.
pub trait Host {
    /// Takes a packet off the link.
    fn receive(&mut self, now: Instant, packet: Slice);
    /// Does what is due.
    fn on_deadline(&mut self, now: Instant);
    /// When that is to happen next.
    fn deadline(&mut self, now: Instant) -> Option<Instant>;
    /// The next packet to be sent.
    fn transmit(&mut self, now: Instant) -> Option<Slice>;
    /// The next thing whose readiness may have changed.
    fn poll_ready(&mut self, now: Instant) -> Option<Ready>;

    /// Starts listening.
    fn listen(&mut self, now: Instant, local: SocketAddr, backlog: usize, options: &TcpOptions) -> Result<()>;
    /// Stops listening.
    fn close_listener(&mut self, now: Instant);
    /// Takes the next connection; it belongs to the flow that `flow_of` names for the peer's address.
    fn accept(&mut self, now: Instant, flow_of: &dyn Fn(SocketAddr) -> Option<Flow>) -> Result<Flow>;
    /// Opens a flow's connection.
    fn connect(
        &mut self,
        now: Instant,
        flow: Flow,
        local: SocketAddr,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<()>;
    /// Writes.
    fn send(&mut self, now: Instant, flow: Flow, data: &[u8]) -> Result<usize>;
    /// Reads.
    fn recv(&mut self, now: Instant, flow: Flow, buf: &mut [u8]) -> Result<usize>;
    /// Shuts down one direction or both.
    fn shutdown(&mut self, now: Instant, flow: Flow, how: Shutdown) -> Result<()>;
    /// Gives the socket up.
    fn close(&mut self, now: Instant, flow: Flow);
    /// Gives the socket up and resets the connection.
    fn abort(&mut self, now: Instant, flow: Flow);
    /// The state of a flow's connection as its socket shows it.
    fn state(&self, flow: Flow) -> State;
    /// Whether data waits to be read.
    fn unread(&mut self, flow: Flow) -> bool;
    /// The numbers of a flow's connection, where the host has them.
    fn info(&self, _flow: Flow) -> Option<TcpInfo> {
        None
    }
    /// The stack's counters, where the host has them.
    fn stats(&self) -> Option<&Stats> {
        None
    }

    /// Whether this is our stack: only then is its end judged.
    fn judged(&self) -> bool;
    /// Checks what must hold after every event.
    ///
    /// # Errors
    /// What does not hold.
    fn check(&mut self, now: Instant, coverage: &mut Coverage) -> core::result::Result<(), String>;
    /// Connections of any kind in the stack's tables, listeners not counted.
    fn connections(&self) -> usize;
    /// Checks what must hold when all sockets have been closed and all timers have run out.
    ///
    /// # Errors
    /// What does not hold.
    fn check_empty(&mut self, coverage: &mut Coverage) -> core::result::Result<(), String>;
    /// One line for each connection, for reports.
    fn describe(&self) -> String;
}

/// Our stack.
pub struct OurHost {
    stack: Stack,
    listener: Option<ListenerId>,
    flows: Vec<Option<TcpId>>,
    accepted: Vec<bool>,
    /// The largest congestion window seen of each flow.
    most_cwnd: Vec<u32>,
    most_buffers: Vec<usize>,
    /// The last state that the trace gave for each pair of ports, to see that no transition is left out.
    last: Vec<((u16, u16), State)>,
    checks: u64,
    /// The frames that were accounted for when it was last looked.
    frames_in: u64,
    /// The network card: it cuts super-segments into packets, and these are the rest of one.
    card: Finisher,
    cut: VecDeque<Slice>,
    super_segments: u64,
}

impl OurHost {
    /// A host with `flows` flows.
    ///
    /// # Panics
    /// If the stack refuses the configuration: the simulator made it.
    pub fn new(config: Config, seed: u64, now: Instant, flows: usize) -> Self {
        let stack = Stack::new(config, Rng::seed_from(seed), now).expect("a configuration made by the simulator");
        OurHost {
            stack,
            listener: None,
            flows: vec![None; flows],
            accepted: vec![false; flows],
            most_cwnd: vec![0; flows],
            most_buffers: vec![0; flows],
            last: Vec::new(),
            checks: 0,
            frames_in: 0,
            card: Finisher::default(),
            cut: VecDeque::new(),
            super_segments: 0,
        }
    }

    /// The stack.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    fn id(&self, flow: Flow) -> Result<TcpId> {
        self.flows[flow].ok_or(Error::BadHandle)
    }

    /// INV-8: every transition is one of the RFC's, and each begins where the one before it ended.
    fn check_trace(&mut self, coverage: &mut Coverage) -> core::result::Result<(), String> {
        use crate::trace::What;
        let trace = self.stack.trace();
        if trace.lost() > 0 {
            return Err("the trace ring overflowed between two events".into());
        }
        for event in trace.take() {
            let What::Transition { from, event: by, to } = event.what else { continue };
            coverage.hit_if((from, to) == (State::SynSent, State::SynReceived), Cover::SimultaneousOpen);
            coverage.hit_if(to == State::Closing, Cover::SimultaneousClose);
            if !coverage.transition(from, by, to) {
                return Err(format!("INV-8: no such transition: {from} -> {to} by {by}"));
            }
            let key = (event.local.port(), event.remote.port());
            let slot = self.last.iter().position(|(k, _)| *k == key).unwrap_or_else(|| {
                self.last.push((key, State::Closed));
                self.last.len() - 1
            });
            let last = core::mem::replace(&mut self.last[slot].1, to);
            // A passive connection begins in LISTEN, which is its listener's state.
            let born = from == State::Listen && last == State::Closed;
            if last != from && !born {
                return Err(format!("INV-8: a transition from {from}, but the last one went to {last}"));
            }
        }
        Ok(())
    }

    /// INV-1: whatever is outstanding has a timer, and it is not further away than the largest RTO.
    fn check_deadline(&mut self, now: Instant) -> core::result::Result<(), String> {
        let deadline = self.stack.deadline();
        let latest = now + self.stack.config().tcp.max_rto + Duration::from_millis(1);
        let late = deadline.is_none_or(|d| d > latest);
        if late {
            for (flow, id) in self.flows.iter().enumerate() {
                let Some(id) = *id else { continue };
                let state = self.stack.tcp_state(id).map_err(|e| format!("state of flow {flow}: {e}"))?;
                let queued = self.stack.tcp_send_queue(id).unwrap_or(0);
                if awaits_ack(state) || queued > 0 {
                    return Err(format!(
                        "INV-1: flow {flow} in {state} with {queued} bytes queued, deadline {deadline:?}"
                    ));
                }
            }
        }
        // Connections without a handle are only in the snapshot, which is too dear for every event.
        if self.checks.is_multiple_of(64) {
            for info in self.stack.tcp_snapshot() {
                let waits = awaits_ack(info.state) || info.in_flight > 0 || info.state == State::TimeWait;
                if waits && deadline.is_none() {
                    return Err(format!("INV-1: a connection in {} and no deadline", info.state));
                }
            }
        }
        Ok(())
    }

    /// INV-4 and INV-6: what a connection has in flight, and what it pins.
    fn check_bounds(&mut self) -> core::result::Result<(), String> {
        let most = self.most_cwnd.iter_mut().zip(&mut self.most_buffers);
        for (id, (most_cwnd, most_buffers)) in self.flows.iter().zip(most) {
            let Some(id) = *id else { continue };
            let Ok(info) = self.stack.tcp_info(id) else { continue };
            // Duplicate ACKs let more fly than the window says, but never many times as much.
            // The initial window may be gone before anybody looks: when somebody says that the path is narrow.
            let initial = 10 * self.stack.mtu() as u32;
            *most_cwnd = info.cwnd.max(*most_cwnd).max(initial);
            // What waits at the peer behind a hole is in the network no more.
            let flying = info.in_flight - info.sacked;
            if flying > 4 * *most_cwnd + 16 * info.mss as u32 {
                return Err(format!("INV-4: {flying} bytes in flight, {most_cwnd} were the most allowed"));
            }
            // At most twice the bytes, and some room to grow into. What was offered from a larger buffer may still come.
            *most_buffers = (info.recv_buffer + info.send_buffer).max(*most_buffers);
            // The records of what is in flight take no more than the text that they stand for.
            let most = 2 * *most_buffers + info.send_queue + 64 * 1024;
            if info.memory > most {
                return Err(format!("INV-6: a connection pins {} bytes, at most {most} are allowed", info.memory));
            }
        }
        Ok(())
    }
}

/// Whether something of ours, SYN or FIN, waits for an acknowledgment in this state whatever else does.
const fn awaits_ack(state: State) -> bool {
    matches!(state, State::SynSent | State::SynReceived | State::FinWait1 | State::Closing | State::LastAck)
}

impl Host for OurHost {
    fn receive(&mut self, now: Instant, packet: Slice) {
        self.stack.on_frame(now, RxFrame::plain(packet));
    }

    fn on_deadline(&mut self, now: Instant) {
        self.stack.on_deadline(now);
    }

    fn deadline(&mut self, _now: Instant) -> Option<Instant> {
        self.stack.deadline()
    }

    fn transmit(&mut self, now: Instant) -> Option<Slice> {
        if self.cut.is_empty() {
            let frame = self.stack.poll_transmit(now)?;
            self.super_segments += u64::from(frame.meta.gso.is_some());
            self.card.sent(&frame, |packet, _| self.cut.push_back(Slice::copy_of(packet)));
        }
        self.cut.pop_front()
    }

    fn poll_ready(&mut self, _now: Instant) -> Option<Ready> {
        loop {
            match self.stack.poll_ready()? {
                SocketId::Listener(_) => return Some(Ready::Listener),
                // A handle given up a moment ago may still be reported.
                SocketId::Tcp(id) => {
                    if let Some(flow) = self.flows.iter().position(|f| *f == Some(id)) {
                        return Some(Ready::Flow(flow));
                    }
                }
                SocketId::Udp(_) | SocketId::Raw(_) | SocketId::SynGate(_) | SocketId::UdpGate(_) => {}
            }
        }
    }

    fn listen(&mut self, _now: Instant, local: SocketAddr, backlog: usize, options: &TcpOptions) -> Result<()> {
        self.listener = Some(self.stack.tcp_listen(local, backlog, options.clone())?);
        Ok(())
    }

    fn close_listener(&mut self, now: Instant) {
        if let Some(id) = self.listener.take() {
            self.stack.listener_close(now, id).expect("the listener is ours and open");
        }
    }

    fn accept(&mut self, now: Instant, flow_of: &dyn Fn(SocketAddr) -> Option<Flow>) -> Result<Flow> {
        let listener = self.listener.ok_or(Error::WouldBlock)?;
        loop {
            let (id, peer) = self.stack.tcp_accept(now, listener)?;
            let flow = flow_of(peer).ok_or(Error::InvalidInput("a connection from nobody was accepted"))?;
            if !core::mem::replace(&mut self.accepted[flow], true) {
                self.flows[flow] = Some(id);
                return Ok(flow);
            }
            // An old duplicate SYN opens a connection again, and old segments complete its handshake: only where both
            // have the same initial sequence number, which the clock in it prevents (RFC 9293 3.4.1). A SYN cookie, too,
            // may come twice.
            let excused = self.stack.config().tcp.fixed_iss.is_some() || self.stack.stats().tcp.cookies_accepted > 1;
            if !excused {
                return Err(Error::InvalidInput("a flow was accepted twice"));
            }
            self.stack.tcp_abort(now, id)?;
        }
    }

    fn connect(
        &mut self,
        now: Instant,
        flow: Flow,
        local: SocketAddr,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<()> {
        self.flows[flow] = Some(self.stack.tcp_connect(now, Some(local), remote, options.clone())?);
        Ok(())
    }

    fn send(&mut self, now: Instant, flow: Flow, data: &[u8]) -> Result<usize> {
        let id = self.id(flow)?;
        // Both ways of writing are used, by the length, which is random.
        if data.len().is_multiple_of(3) {
            self.stack.tcp_push(now, id, Slice::copy_of(data))
        } else {
            self.stack.tcp_send(now, id, data)
        }
    }

    fn recv(&mut self, now: Instant, flow: Flow, buf: &mut [u8]) -> Result<usize> {
        let id = self.id(flow)?;
        if !buf.len().is_multiple_of(3) {
            return self.stack.tcp_recv(now, id, buf);
        }
        let mut at = 0;
        for slice in self.stack.tcp_pop(now, id, buf.len())? {
            buf[at..at + slice.len()].copy_from_slice(&slice);
            at += slice.len();
        }
        Ok(at)
    }

    fn shutdown(&mut self, now: Instant, flow: Flow, how: Shutdown) -> Result<()> {
        self.stack.tcp_shutdown(now, self.id(flow)?, how)
    }

    fn close(&mut self, now: Instant, flow: Flow) {
        if let Some(id) = self.flows[flow].take() {
            self.stack.tcp_close(now, id).expect("the handle is ours and open");
        }
    }

    fn abort(&mut self, now: Instant, flow: Flow) {
        if let Some(id) = self.flows[flow].take() {
            self.stack.tcp_abort(now, id).expect("the handle is ours and open");
        }
    }

    fn state(&self, flow: Flow) -> State {
        self.id(flow).and_then(|id| self.stack.tcp_state(id)).unwrap_or(State::Closed)
    }

    fn unread(&mut self, flow: Flow) -> bool {
        self.id(flow).and_then(|id| self.stack.tcp_peek(id, &mut [0])).is_ok_and(|n| n > 0)
    }

    fn info(&self, flow: Flow) -> Option<TcpInfo> {
        self.stack.tcp_info(self.id(flow).ok()?).ok()
    }

    fn stats(&self) -> Option<&Stats> {
        Some(self.stack.stats())
    }

    fn judged(&self) -> bool {
        true
    }

    fn check(&mut self, now: Instant, coverage: &mut Coverage) -> core::result::Result<(), String> {
        self.checks += 1;
        coverage.add(Cover::SuperSegment, core::mem::take(&mut self.super_segments));
        let stats = self.stack.stats();
        // Between frames only fragments that wait too long change the sum.
        if stats.frames_in != self.frames_in || self.checks.is_multiple_of(16) {
            self.frames_in = stats.frames_in;
            let accounted = stats.delivered + stats.answered + stats.held + stats.dropped_total();
            if stats.frames_in != accounted {
                return Err(format!("INV-7: {} frames in, {accounted} accounted for", stats.frames_in));
            }
        }
        let (memory, cap) = (self.stack.memory(), self.stack.config().memory);
        if memory > cap {
            return Err(format!("INV-6: {memory} bytes of buffers, {cap} allowed"));
        }
        let ((held, packets), bounds) = (self.stack.reassembling(), &self.stack.config().reassembly);
        if held > bounds.memory || packets > bounds.packets {
            return Err(format!("INV-6: {held} bytes of {packets} packets in fragments"));
        }
        self.check_trace(coverage)?;
        if self.checks.is_multiple_of(16) {
            self.check_bounds()?;
        }
        self.check_deadline(now)
    }

    fn connections(&self) -> usize {
        self.stack.tcp_snapshot().iter().filter(|info| info.state != State::Listen).count()
    }

    fn check_empty(&mut self, coverage: &mut Coverage) -> core::result::Result<(), String> {
        let stats = self.stack.stats();
        let tcp = &stats.tcp;
        for (cover, n) in [
            (Cover::Rto, tcp.rto),
            (Cover::FastRetransmit, tcp.fast_retransmits),
            (Cover::EcnEcho, tcp.ecn_reductions),
            (Cover::BlackHole, tcp.black_holes),
            (Cover::TailProbe, tcp.tail_probes),
            (Cover::Undone, tcp.undone),
            (Cover::WindowProbe, tcp.window_probes),
            (Cover::Keepalive, tcp.keepalive_probes),
            (Cover::ChallengeAck, tcp.challenge_acks),
            (Cover::CookieSent, tcp.cookies_sent),
            (Cover::CookieAccepted, tcp.cookies_accepted),
            (Cover::OutOfOrder, tcp.out_of_order),
            (Cover::Predicted, tcp.predicted),
            (Cover::DataAfterClose, stats.dropped(DropReason::TcpDataAfterClose)),
        ] {
            coverage.add(cover, n);
        }
        let left = self.stack.tcp_snapshot();
        if !left.is_empty() {
            return Err(format!("INV-10: connections left at the end:\n{}", self.describe()));
        }
        if self.stack.memory() != 0 {
            return Err(format!("INV-10: {} bytes of buffers left at the end", self.stack.memory()));
        }
        if let Some(deadline) = self.stack.deadline() {
            return Err(format!("INV-10: a deadline left at the end: {deadline:?}"));
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let lines = self.stack.tcp_snapshot();
        lines.iter().map(|info| format!("{info:?}")).collect::<Vec<_>>().join("\n")
    }
}
