//! One UDP socket: its ends, its groups, what was received for it, what went wrong.

use super::flows::Flow;
use super::ports::Ends;
use crate::buf::Slice;
use crate::error::{Error, Result};
use crate::ip::Ip;
use crate::ip::bound::{Bound, destination, shown, unmapped_addr};
use crate::ip::inbox::Inbox;
use crate::ip::socket_errors::Errors;
use crate::stack::{Readiness, RecvMsg, UdpBind, UdpOptions};
use std::net::{IpAddr, SocketAddr};

/// Groups that a socket may be a member of, as on Linux (igmp_max_memberships).
const MAX_GROUPS: usize = 20;

/// Sources of one group that a socket may ask for, as on Linux (igmp_max_msf).
const MAX_SOURCES: usize = 10;

#[derive(Debug)]
pub(super) struct Socket {
    /// Whether it is one of IPv6: it knows IPv4 addresses as mapped ones. All that follow are as on the wire.
    v6: bool,
    /// What it takes, as bound. Disconnected, it has it again.
    pub(super) bound: Bound,
    /// How it was bound.
    pub(super) how: UdpBind,
    /// Our end, as bound; as connected once there is a peer.
    pub(super) local: SocketAddr,
    /// The connected peer.
    pub(super) peer: Option<SocketAddr>,
    pub(super) options: UdpOptions,
    /// The shard that it sends from, if there are several.
    pub(super) home: Option<u16>,
    /// Datagrams in the outbox.
    pub(super) unsent: usize,
    /// What they cost.
    pub(super) unsent_bytes: usize,
    pub(super) inbox: Inbox,
    groups: Vec<Membership>,
    pub(super) errors: Errors,
    /// Set if it is the socket of a flow.
    pub(super) flow: Option<Flow>,
}

/// A group that a socket is a member of.
#[derive(Debug)]
struct Membership {
    group: IpAddr,
    /// Where it was joined.
    interface: u8,
    /// The only sources that it hears; none is any.
    sources: Vec<IpAddr>,
}

impl Socket {
    /// A socket bound to `local`, mapped or not, as `how` says.
    pub(super) fn new(local: SocketAddr, how: UdpBind, options: UdpOptions) -> Self {
        Socket {
            v6: local.is_ipv6(),
            bound: Bound::new(local.ip(), how.only_v6),
            how,
            local: unmapped_addr(local),
            peer: None,
            options,
            home: None,
            unsent: 0,
            unsent_bytes: 0,
            inbox: Inbox::default(),
            groups: Vec::new(),
            errors: Errors::default(),
            flow: None,
        }
    }

    /// What it is found by.
    pub(super) fn ends(&self) -> Ends {
        let bound = if self.local.ip().is_unspecified() { self.bound } else { Bound::One(self.local.ip()) };
        Ends { bound, port: self.local.port(), peer: self.peer }
    }

    /// An address as the application knows it.
    pub(super) fn shown(&self, addr: SocketAddr) -> SocketAddr {
        shown(addr, self.v6)
    }

    /// An address that the application names, as it is on the wire; an unspecified one is this host. `None` if it is of a
    /// family that the socket cannot reach.
    pub(super) fn on_wire(&self, addr: SocketAddr) -> Option<SocketAddr> {
        let on_wire = unmapped_addr(addr);
        let reached = (self.v6 || addr.is_ipv4()) && self.bound.is_of_family(on_wire.ip());
        let own = Some(self.local.ip()).filter(|own| !own.is_unspecified());
        reached.then(|| SocketAddr::new(destination(on_wire.ip(), own), on_wire.port()))
    }

    /// Whether datagrams from `from` are for it.
    pub(super) fn hears(&self, from: SocketAddr) -> bool {
        self.peer.is_none_or(|peer| peer == from)
    }

    /// Whether what comes in by `interface` is for it.
    pub(super) fn comes_by(&self, interface: u8) -> bool {
        let wanted = self.options.interface;
        wanted == 0 || wanted == interface
    }

    /// The interface that a datagram to `dst` must leave by, if that is not zero.
    pub(super) fn interface_for(&self, dst: IpAddr) -> u8 {
        let options = &self.options;
        match options.interface {
            0 if dst.is_multicast() && options.multicast_interface != 0 => options.multicast_interface,
            0 => options.marked_interface,
            interface => interface,
        }
    }

    /// Whether it may send: it has no pending error, which is taken, and its flow is not over.
    pub(super) fn check_open(&mut self) -> Result<()> {
        self.errors.check()?;
        if self.flow.as_ref().is_some_and(Flow::is_over) { Err(Error::TimedOut) } else { Ok(()) }
    }

    /// Whether it may be given another peer: not so a flow's.
    pub(super) fn check_no_flow(&self) -> Result<()> {
        if self.flow.is_some() { Err(Error::AlreadyConnected) } else { Ok(()) }
    }

    /// Whether there is something to read. If there will never be again, that is an error.
    fn check_readable(&mut self) -> Result<()> {
        if self.inbox.is_empty() { self.check_open() } else { self.errors.check() }
    }

    /// Copies what fits of the next datagram into `buf`; the rest of it is lost, unless it is only peeked at.
    pub(super) fn pop(&mut self, buf: &mut [u8], peek: bool) -> Result<RecvMsg> {
        self.check_readable()?;
        self.inbox.pop(buf, peek)
    }

    /// Takes the next datagram as it lies in memory.
    pub(super) fn pop_chunk(&mut self) -> Result<(Slice, SocketAddr)> {
        self.check_readable()?;
        self.inbox.pop_chunk()
    }

    /// Copies the next datagram and those that continue it, as many as fit whole.
    pub(super) fn pop_run(&mut self, buf: &mut [u8]) -> Result<RecvMsg> {
        self.check_readable()?;
        self.inbox.pop_run(buf)
    }

    // ---- groups ----

    /// Whether it is a member of `group` on `interface` and hears `source` in it.
    pub(super) fn is_member(&self, group: IpAddr, source: IpAddr, interface: u8) -> bool {
        let membership = self.groups.iter().find(|m| m.group == group && m.interface == interface);
        membership.is_some_and(|m| m.sources.is_empty() || m.sources.contains(&source))
    }

    /// Joins `group`, for all that is sent there or for what one `source` sends, on `interface`; zero is that by which
    /// packets to it leave.
    pub(super) fn join(&mut self, ip: &mut Ip, group: IpAddr, source: Option<IpAddr>, interface: u8) -> Result<()> {
        let interface = ip.interface_of_group(group, interface)?;
        let found = self.groups.iter_mut().find(|m| m.group == group && m.interface == interface);
        match (found, source) {
            (Some(membership), Some(source)) if !membership.sources.is_empty() => {
                if membership.sources.contains(&source) {
                    return Err(Error::AddrNotAvailable);
                }
                if membership.sources.len() >= MAX_SOURCES {
                    return Err(Error::NoBufferSpace);
                }
                ip.join(group, Some(source), interface)?;
                membership.sources.push(source);
            }
            (Some(_), None) => return Err(Error::AddrInUse),
            (Some(_), Some(_)) => return Err(Error::InvalidInput("the socket hears every source of the group")),
            (None, _) => {
                if self.groups.len() >= MAX_GROUPS {
                    return Err(Error::NoBufferSpace);
                }
                ip.join(group, source, interface)?;
                self.groups.push(Membership { group, interface, sources: source.into_iter().collect() });
            }
        }
        Ok(())
    }

    /// Leaves `group`, or hears one `source` of it no longer, on `interface`; zero is the first on which it was joined.
    pub(super) fn leave(&mut self, ip: &mut Ip, group: IpAddr, source: Option<IpAddr>, interface: u8) -> Result<()> {
        let is_that = |m: &Membership| m.group == group && (interface == 0 || m.interface == interface);
        let index = self.groups.iter().position(is_that).ok_or(Error::AddrNotAvailable)?;
        let interface = self.groups[index].interface;
        let sources = &mut self.groups[index].sources;
        match source {
            None => {
                self.groups.swap_remove(index).leave(ip);
                return Ok(());
            }
            Some(source) => {
                let at = sources.iter().position(|&s| s == source).ok_or(Error::AddrNotAvailable)?;
                sources.swap_remove(at);
                ip.leave(group, Some(source), interface);
            }
        }
        if self.groups[index].sources.is_empty() {
            self.groups.swap_remove(index);
        }
        Ok(())
    }

    /// Leaves all groups.
    pub(super) fn leave_all(&mut self, ip: &mut Ip) {
        self.groups.drain(..).for_each(|membership| membership.leave(ip));
    }

    /// Whether a writer is called, as on Linux: half of its buffer is free.
    pub(super) fn has_room(&self) -> bool {
        self.unsent_bytes <= self.options.send_buffer / 2
    }

    pub(super) fn readiness(&self, send_queue: usize) -> Readiness {
        let mut ready = self.errors.readiness();
        if !self.inbox.is_empty() {
            ready |= Readiness::READABLE;
        }
        if self.unsent < send_queue && self.has_room() {
            ready |= Readiness::WRITABLE;
        }
        if self.flow.as_ref().is_some_and(Flow::is_over) {
            ready |= Readiness::READABLE | Readiness::WRITABLE | Readiness::HANGUP;
        }
        ready
    }
}

impl Membership {
    fn leave(self, ip: &mut Ip) {
        if self.sources.is_empty() {
            ip.leave(self.group, None, self.interface);
        }
        self.sources.into_iter().for_each(|source| ip.leave(self.group, Some(source), self.interface));
    }
}
