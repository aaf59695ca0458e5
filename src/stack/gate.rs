//! The SYN gate: connections that wait for a verdict before their SYN is answered.

use super::table::{Holder, SocketSide};
use super::{SocketId, Stack, SynGateId, TcpId, TcpOptions};
use crate::error::{Error, Result};
use crate::icmp::ErrorKind;
use crate::ip::{Way, answers_by};
use crate::stats::{Disposition, DropReason};
use crate::tcp::connection::Connection;
use crate::tcp::gate::{Admission, Gate, Pending, SynId, SynRequest};
use crate::tcp::segment::Segment;
use crate::tcp::seq::Seq;
use crate::tcp::tuple::FourTuple;
use crate::time::Instant;
use std::collections::VecDeque;

/// How a SYN is answered that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// With RST: "connection refused".
    Reset,
    /// Not at all: the peer tries again, and gives up after its time.
    Silence,
    /// With the ICMP error that says so, from the address that was asked.
    Unreachable(Unreachable),
}

/// What an ICMP error says of a destination. What peers make of it is theirs: Linux fails a connect at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// No route: ENETUNREACH.
    Network,
    /// No such host: EHOSTUNREACH.
    Host,
    /// Not allowed (communication administratively prohibited): EHOSTUNREACH over IPv4, EACCES over IPv6.
    Prohibited,
    /// Nobody has the port: ECONNREFUSED.
    Port,
    /// The host does not speak TCP: ENOPROTOOPT.
    Protocol,
}

impl From<Unreachable> for ErrorKind {
    fn from(what: Unreachable) -> ErrorKind {
        match what {
            Unreachable::Network => ErrorKind::NetworkUnreachable,
            Unreachable::Host => ErrorKind::HostUnreachable,
            Unreachable::Prohibited => ErrorKind::Prohibited,
            Unreachable::Port => ErrorKind::PortUnreachable,
            Unreachable::Protocol => ErrorKind::ProtocolUnreachable,
        }
    }
}

/// The gate of a stack, as far as it is open.
#[derive(Debug)]
pub(super) struct SynGate {
    id: SynGateId,
    requests: Gate,
    options: TcpOptions,
    /// Accepted connections whose handshake may not be over, the oldest first.
    half_open: VecDeque<TcpId>,
}

impl Stack {
    /// Opens the gate: from now on, SYNs that no listener takes wait for a verdict, to whichever port; where
    /// [`Config::any_address`](super::Config::any_address) is set, to whichever address. `options` are those of the
    /// connections that are accepted. [`Config::gate`](super::Config::gate) has the bounds.
    ///
    /// # Errors
    /// `AddrInUse` if it is open, `InvalidInput` and `NoDevice` from the options.
    pub fn syn_gate_open(&mut self, options: TcpOptions) -> Result<SynGateId> {
        options.validate()?;
        self.ip.check_interface(options.interface.into())?;
        if self.gate.is_some() {
            return Err(Error::AddrInUse);
        }
        self.gates += 1;
        let id = SynGateId { index: 0, generation: self.gates };
        let requests = Gate::new(self.config.gate.clone(), self.rng.key());
        self.gate = Some(Box::new(SynGate { id, requests, options, half_open: VecDeque::new() }));
        Ok(id)
    }

    /// Closes the gate. Whoever still waits for a verdict is reset, one after the other as frames are pulled.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn syn_gate_close(&mut self, id: SynGateId) -> Result<()> {
        let mut gate = self.gate.take_if(|gate| gate.id == id).ok_or(Error::BadHandle)?;
        while let Some(pending) = gate.requests.take_any() {
            self.unclaim(&pending.tuple);
            // As many as a gate may have; more there are only if another one was closed and no frame pulled since.
            if self.turned_away.len() < self.config.gate.max_requests {
                self.turned_away.push_back(pending);
            } else {
                self.stats.unsent += 1;
            }
        }
        self.turn_away();
        Ok(())
    }

    /// Resets as many of those who waited at a closed gate as replies have room for, and leaves some to others. While
    /// anybody is left there is a reply, and whoever takes that comes back here.
    pub(super) fn turn_away(&mut self) {
        let room = (self.config.max_replies / 2).max(1);
        while self.replies.len() < room
            && let Some(pending) = self.turned_away.pop_front()
        {
            self.refuse_with_reset(&pending);
            if self.turned_away.is_empty() {
                self.turned_away = VecDeque::new(); // its memory was for many
            }
        }
    }

    /// Takes the request that has waited longest. It waits for its verdict still, within the gate's bounds.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `BadHandle`.
    pub fn syn_next(&mut self, id: SynGateId) -> Result<SynRequest> {
        self.syn_gate(id)?.requests.take_next().ok_or(Error::WouldBlock)
    }

    /// Accepts: the SYN,ACK goes out, and the connection, whose local address is the one that was asked for, is the
    /// caller's. It is in SYN-RECEIVED and becomes writable when the peer has answered, or gets an error. Of connections
    /// that the peer has not answered there are at most [`Config::max_syn_queue`](super::Config::max_syn_queue): beyond
    /// it the oldest ends with `ConnectionAborted`.
    ///
    /// # Errors
    /// `ConnectionAborted` if the request is over: it took too long, or the peer gave up. `NoBufferSpace` at the bound on
    /// connections or where memory is short: the SYN is not answered then, and will come again. `BadHandle`.
    pub fn syn_accept(&mut self, now: Instant, id: SynGateId, request: SynId) -> Result<TcpId> {
        let pending = self.take_request(id, request)?;
        if self.table.len() >= self.config.max_connections || self.is_short_of_memory() {
            self.unclaim(&pending.tuple);
            self.stats.gate.ignored += 1;
            return Err(Error::NoBufferSpace);
        }
        self.limit_half_open(now);
        let Pending { tuple, syn, iss_beyond, .. } = pending;
        let iss = self.new_iss_beyond(&tuple, now, iss_beyond);
        let offset = self.isn.timestamp_offset(&tuple);
        let mut options = self.syn_gate(id)?.options.clone();
        options.marked_interface = self.interface_of_mark(options.mark);
        let connection = self.with_options(&options, now, &tuple, |cx, _| Connection::accept(&syn, iss, offset, cx));
        let socket = SocketSide::new(options.into(), &self.default_options);
        let index = self.insert(tuple, connection, Holder::App, socket);
        self.stats.gate.accepted += 1;
        self.arm(index);
        self.mark_egress(index);
        let accepted = self.table.id(index);
        self.syn_gate(id)?.half_open.push_back(accepted);
        Ok(accepted)
    }

    /// Refuses, with or without an answer.
    ///
    /// # Errors
    /// `ConnectionAborted` if the request is over, `BadHandle`.
    pub fn syn_refuse(&mut self, now: Instant, id: SynGateId, request: SynId, how: Refusal) -> Result<()> {
        let pending = self.take_request(id, request)?;
        self.unclaim(&pending.tuple);
        match how {
            Refusal::Reset => {
                self.stats.gate.reset += 1;
                self.refuse_with_reset(&pending);
            }
            Refusal::Silence => self.stats.gate.ignored += 1,
            Refusal::Unreachable(what) => {
                self.stats.gate.unreachable += 1;
                let FourTuple { local_addr: from, remote_addr: to, .. } = pending.tuple;
                let way = Way::new(from, to, answers_by(to, pending.interface));
                if let Some(error) = self.ip.error(now, way, what.into(), &pending.quote, &mut self.stats) {
                    self.reply(error);
                }
            }
        }
        Ok(())
    }

    /// The options that connections have which are accepted.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn syn_gate_options(&self, id: SynGateId) -> Result<&TcpOptions> {
        self.gate.as_ref().filter(|gate| gate.id == id).map(|gate| &gate.options).ok_or(Error::BadHandle)
    }

    /// Sets the options that connections will have which are accepted from now on.
    ///
    /// # Errors
    /// `InvalidInput` if one is out of range, `NoDevice` if there is no such interface, `BadHandle`.
    pub fn set_syn_gate_options(&mut self, id: SynGateId, options: TcpOptions) -> Result<()> {
        options.validate()?;
        self.ip.check_interface(options.interface.into())?;
        self.syn_gate(id)?.options = options;
        Ok(())
    }

    /// How many requests have no verdict yet, and the bytes that they are charged.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn syn_gate_load(&self, id: SynGateId) -> Result<(usize, usize)> {
        let gate = self.gate.as_ref().filter(|gate| gate.id == id).ok_or(Error::BadHandle)?;
        Ok(gate.requests.load())
    }

    /// Adds a connection to the table. A request of the same name that waits at the gate is over: whoever gave it a verdict
    /// would give it to this connection.
    pub(super) fn insert(
        &mut self,
        tuple: FourTuple,
        connection: Connection,
        holder: Holder,
        socket: SocketSide,
    ) -> u32 {
        if let Some(gate) = &mut self.gate {
            gate.requests.supersede(&tuple, &mut self.stats.gate);
        }
        self.table.insert(tuple, connection, holder, socket)
    }

    fn syn_gate(&mut self, id: SynGateId) -> Result<&mut SynGate> {
        self.gate.as_deref_mut().filter(|gate| gate.id == id).ok_or(Error::BadHandle)
    }

    fn take_request(&mut self, id: SynGateId, request: SynId) -> Result<Pending> {
        self.syn_gate(id)?.requests.remove(request).ok_or(Error::ConnectionAborted)
    }

    /// Whether the gate has a request to give out.
    pub(super) fn syn_gate_has_next(&self, id: SynGateId) -> Option<bool> {
        self.gate.as_ref().filter(|gate| gate.id == id).map(|gate| gate.requests.has_next())
    }

    /// The RST that answers a SYN on somebody's verdict. There are no more of them than SYNs.
    fn refuse_with_reset(&mut self, pending: &Pending) {
        self.reset_stranger(&pending.tuple, &pending.syn, pending.interface);
    }

    /// Makes room for one more connection whose handshake is not over.
    fn limit_half_open(&mut self, now: Instant) {
        let most = self.config.max_syn_queue.max(1);
        let Some(gate) = &mut self.gate else { return };
        if gate.half_open.len() < most {
            return;
        }
        let table = &self.table;
        let embryonic = |id: &TcpId| {
            table.current(*id).and_then(|slot| slot.connection.as_ref()).is_some_and(Connection::is_embryonic)
        };
        gate.half_open.retain(embryonic);
        if gate.half_open.len() >= most
            && let Some(oldest) = gate.half_open.pop_front()
        {
            self.stats.gate.half_open_evicted += 1;
            self.abort(oldest.index, now);
        }
    }

    /// A segment of no connection that no listener takes: a SYN waits for a verdict, if there is a gate. `None` if it is
    /// not for the gate.
    pub(super) fn on_gate(
        &mut self,
        now: Instant,
        tuple: &FourTuple,
        segment: &Segment,
        iss_beyond: Option<Seq>,
        by: u8,
    ) -> Option<Disposition> {
        let gate = self.gate.as_deref_mut()?;
        let flags = segment.flags;
        if flags.rst() {
            let over = gate.requests.on_reset(tuple, segment)?;
            self.unclaim(&over.tuple);
            return Some(Disposition::Dropped(DropReason::TcpGateReset));
        }
        if !flags.syn() || flags.ack() || flags.fin() {
            return None;
        }
        match gate.requests.admit(tuple, segment, &mut self.stats.gate) {
            Admission::Refused(reason) => return Some(Disposition::Dropped(reason)),
            Admission::Known => {
                gate.requests.repeat(tuple, segment);
                return Some(Disposition::Held);
            }
            Admission::New => {}
        }
        if let Err(owner) = self.claim(tuple) {
            return Some(self.pass_on(owner)); // it has come there first
        }
        while let Some(gate) = self.gate.as_deref_mut().filter(|gate| gate.requests.is_full())
            && let Some(oldest) = gate.requests.give_way(&mut self.stats.gate)
        {
            self.unclaim(&oldest.tuple);
        }
        let gate = self.gate.as_deref_mut()?;
        gate.requests.insert(now, *tuple, segment, by, iss_beyond);
        self.stats.gate.requests += 1;
        let id = gate.id;
        self.mark_ready(SocketId::SynGate(id));
        Some(Disposition::Held)
    }

    /// The SYN that was just held came in `packet`.
    pub(super) fn quote_at_gate(&mut self, tuple: &FourTuple, packet: &[u8]) {
        if let Some(gate) = self.gate.as_deref_mut() {
            gate.requests.quote(tuple, packet);
        }
    }

    /// When a request is over next.
    pub(super) fn gate_deadline(&self) -> Option<Instant> {
        self.gate.as_deref().and_then(|gate| gate.requests.deadline())
    }

    /// Ends a request that had no verdict in time, if there is one.
    pub(super) fn expire_request(&mut self, now: Instant) -> bool {
        let Some(gate) = self.gate.as_deref_mut() else { return false };
        let Some(over) = gate.requests.expire(now, &mut self.stats.gate) else { return false };
        self.unclaim(&over.tuple);
        true
    }
}
