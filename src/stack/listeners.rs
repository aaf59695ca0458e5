//! Listeners: `tcp_listen`, `tcp_accept` and what they need.

use super::ports::listener_bound;
use super::table::Holder;
use super::{ListenerId, Readiness, SocketId, Stack, State, TcpId, TcpInfo, TcpOptions};
use crate::error::{Error, Result};
use crate::ip::bound::Bound;
use crate::tcp::connection::Connection;
use crate::tcp::listener::Listener;
use crate::tcp::options::SharedOptions;
use crate::tcp::tuple::FourTuple;
use crate::time::Instant;
use core::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

impl Stack {
    /// The options that a new connection has by default.
    pub fn default_tcp_options(&self) -> TcpOptions {
        self.default_options.clone()
    }

    /// Listens on `local`; port 0 picks a free one, an unspecified address takes every address of ours, and `::` those of
    /// IPv4 too, unless the options say otherwise: such connections have IPv6 addresses, `::ffff:` and the IPv4 one.
    /// `backlog` is how
    /// many established connections may wait for `accept`, at least one. `options` are those of the connections to be
    /// accepted.
    ///
    /// # Errors
    /// `AddrInUse`, unless all who have the address share it (`reuse_port` of the options); also if connections have the
    /// port and the options do not allow that (`reuse_address`). `AddrNotAvailable`, `InvalidInput` from the options.
    pub fn tcp_listen(&mut self, local: SocketAddr, backlog: usize, options: TcpOptions) -> Result<ListenerId> {
        options.validate()?;
        self.ip.check_interface(options.interface.into())?;
        if local.ip().is_ipv6() && local.ip().is_multicast() {
            return Err(Error::InvalidInput("nobody connects to a group"));
        }
        let bound = Bound::new(local.ip(), options.only_v6);
        if matches!(bound, Bound::One(addr) if !self.ip.takes(addr)) {
            return Err(Error::AddrNotAvailable);
        }
        let port = match local.port() {
            0 => self.free_listener_port(bound, &options)?,
            port => port,
        };
        let local = SocketAddr::new(local.ip(), port);
        if self.listener_conflict(bound, port, &options) {
            return Err(Error::AddrInUse);
        }
        let listener = Listener::new(local, backlog.min(self.config.max_backlog).max(1), options);
        let slots = &mut self.listeners.slots;
        let number = slots.iter().position(|(_, l)| l.is_none()).unwrap_or_else(|| {
            slots.push((0, None));
            slots.len() - 1
        });
        slots[number].1 = Some(listener);
        self.listeners.by_port.entry(port).or_default().push(number as u32);
        Ok(self.listener_id(number as u32))
    }

    /// Takes the next established connection and its peer's address.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, `BadHandle`.
    pub fn tcp_accept(&mut self, now: Instant, id: ListenerId) -> Result<(TcpId, SocketAddr)> {
        let listener = self.listener_mut(id)?;
        let (index, v6) = (listener.accept_queue.pop_front().ok_or(Error::WouldBlock)?, listener.local.is_ipv6());
        let slot = self.table.get_mut(index).ok_or(Error::WouldBlock)?;
        slot.holder = Holder::App;
        if let Some(socket) = &mut slot.socket {
            socket.mapped = v6 && slot.tuple.remote_addr.is_ipv4();
        }
        // Nobody was told what it became ready for until now.
        slot.was_ready = Readiness::NONE;
        let peer = slot.remote();
        self.recount(index, now);
        Ok((self.table.id(index), peer))
    }

    /// Where a listener listens.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn listener_addr(&self, id: ListenerId) -> Result<SocketAddr> {
        Ok(self.listener(id)?.local)
    }

    /// A listener's numbers: its queues are those who wait to be accepted, and how many may.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn listener_info(&self, id: ListenerId) -> Result<TcpInfo> {
        Ok(info(self.listener(id)?))
    }

    /// Whether a listener of IPv6 takes no IPv4: because it was told so, or because it is bound to one address of IPv6.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn listener_is_only_v6(&self, id: ListenerId) -> Result<bool> {
        let listener = self.listener(id)?;
        Ok(listener.only_v6 || matches!(listener_bound(listener), Bound::One(addr) if addr.is_ipv6()))
    }

    /// The options that accepted connections will have; set them through the reference.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn listener_options(&mut self, id: ListenerId) -> Result<&mut TcpOptions> {
        Ok(SharedOptions::make_mut(&mut self.listener_mut(id)?.options))
    }

    /// Stops listening. Connections not accepted yet are reset.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn listener_close(&mut self, now: Instant, id: ListenerId) -> Result<()> {
        let port = self.listener(id)?.local.port();
        let (generation, slot) = &mut self.listeners.slots[id.index as usize];
        *generation = generation.wrapping_add(1);
        *slot = None;
        if let Some(numbers) = self.listeners.by_port.get_mut(&port) {
            numbers.retain(|&n| n != id.index);
            if numbers.is_empty() {
                self.listeners.by_port.remove(&port);
            }
        }
        for index in self.table.indices() {
            if self.table.get(index).is_some_and(|slot| slot.holder == Holder::Listener(id.index)) {
                self.orphan(index);
                self.abort(index, now);
            }
        }
        Ok(())
    }

    pub(super) fn listener_id(&self, number: u32) -> ListenerId {
        ListenerId { index: number, generation: self.listeners.slots[number as usize].0 }
    }

    pub(super) fn listener(&self, id: ListenerId) -> Result<&Listener> {
        match self.listeners.slots.get(id.index as usize) {
            Some((generation, Some(listener))) if *generation == id.generation => Ok(listener),
            _ => Err(Error::BadHandle),
        }
    }

    fn listener_mut(&mut self, id: ListenerId) -> Result<&mut Listener> {
        self.listener(id)?;
        self.listener_at_mut(id.index).ok_or(Error::BadHandle)
    }

    pub(super) fn listener_at(&self, number: u32) -> Option<&Listener> {
        self.listeners.slots.get(number as usize)?.1.as_ref()
    }

    pub(super) fn listener_at_mut(&mut self, number: u32) -> Option<&mut Listener> {
        self.listeners.slots.get_mut(number as usize)?.1.as_mut()
    }

    /// The listeners of `port`.
    pub(super) fn listeners_at(&self, port: u16) -> impl Iterator<Item = &Listener> {
        let numbers = self.listeners.by_port.get(&port).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(|&n| self.listener_at(n))
    }

    /// The listener that a segment of the connection `tuple` which came in by `interface` is for: the one bound to the
    /// address, else the one for all of its family, else the one for all. Of several that share the address, always the
    /// same one for the same peer.
    pub(super) fn listener_for(&self, tuple: &FourTuple, interface: u8) -> Option<u32> {
        let numbers = self.listeners.by_port.get(&tuple.local_port)?;
        let here = |wanted: u8| wanted == 0 || wanted == interface;
        let takes = |n: u32, bound| {
            self.listener_at(n).is_some_and(|l| listener_bound(l) == bound && here(l.options.interface))
        };
        Bound::taking(tuple.local_addr).into_iter().find_map(|bound| {
            let mut sharing = numbers.iter().copied().filter(|&n| takes(n, bound));
            let first = sharing.next()?;
            match sharing.count() {
                0 => Some(first),
                others => {
                    let turn = self.listeners.by_port.hasher().hash_one(tuple) % (others as u64 + 1);
                    numbers.iter().copied().filter(|&n| takes(n, bound)).nth(turn as usize)
                }
            }
        })
    }

    /// A connection that a listener opened has left SYN-RECEIVED.
    pub(super) fn leave_syn_queue(&mut self, number: u32) {
        if let Some(listener) = self.listener_at_mut(number) {
            listener.syn_queue = listener.syn_queue.saturating_sub(1);
        }
    }

    /// A connection that a listener opened is established: it changes from one queue to the other, now or when it has data
    /// (TCP_DEFER_ACCEPT).
    pub(super) fn established_for_listener(&mut self, index: u32, now: Instant) {
        let defer = self.table.get(index).and_then(|slot| slot.options(&self.default_options).defer_accept);
        if let Some(defer) = defer
            && let Some(socket) = self.table.get_mut(index).and_then(|slot| slot.socket.as_mut())
        {
            socket.set_aside().deferred = Some(now + defer);
            return;
        }
        self.offer(index);
    }

    /// Something has happened to a connection that a listener has: if it was only its first data, or the end, or no more
    /// time, that was missing, it is to be accepted.
    pub(super) fn review_deferred(&mut self, index: u32, now: Instant) {
        let Some(slot) = self.table.get_mut(index) else { return };
        let Some(until) = slot.socket.as_ref().and_then(|socket| socket.deferred()) else { return };
        let has_data = slot
            .connection
            .as_ref()
            .and_then(Connection::tcb)
            .is_none_or(|tcb| !tcb.rcv.buffer.is_empty() || tcb.rcv.fin_received());
        if has_data || until <= now {
            if let Some(aside) = slot.socket.as_mut().and_then(|socket| socket.aside_mut()) {
                aside.deferred = None;
            }
            self.offer(index);
            self.arm(index);
        }
    }

    /// A connection leaves its listener's SYN queue to be accepted.
    fn offer(&mut self, index: u32) {
        if let Some(Holder::Listener(number)) = self.table.get(index).map(|slot| slot.holder) {
            self.leave_syn_queue(number);
            self.queue_for_accept(index);
        }
    }

    /// An established connection goes to its listener's accept queue.
    pub(super) fn queue_for_accept(&mut self, index: u32) {
        let Some(Holder::Listener(number)) = self.table.get(index).map(|slot| slot.holder) else { return };
        if let Some(listener) = self.listener_at_mut(number) {
            listener.accept_queue.push_back(index);
            let id = self.listener_id(number);
            self.mark_ready(SocketId::Listener(id));
        }
    }
}

/// A listener's numbers.
pub(super) fn info(listener: &Listener) -> TcpInfo {
    let nobody: IpAddr = match listener.local {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    TcpInfo {
        recv_queue: listener.accept_queue.len(),
        send_queue: listener.backlog,
        ..TcpInfo::new(State::Listen, listener.local, SocketAddr::new(nobody, 0))
    }
}
