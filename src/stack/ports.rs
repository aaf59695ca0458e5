//! Ports: which a listener may have, and which one a connection gets (RFC 6056).

use super::{Stack, TcpOptions};
use crate::error::{Error, Result};
use crate::ip::bound::Bound;
use crate::tcp::listener::Listener;
use crate::tcp::tuple::FourTuple;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

impl Stack {
    /// Whether a listener on `port` that takes `bound` would take another's connections, and not all want to share them
    /// (SO_REUSEPORT). Connections of the port do not stand in the way, unless it is to have the port alone: with
    /// SO_REUSEADDR, which std's listeners set, they do not on Linux either.
    pub(super) fn listener_conflict(&self, bound: Bound, port: u16, options: &TcpOptions) -> bool {
        let shares = |other: &Listener| options.reuse_port && other.options.reuse_port;
        self.listeners_at(port).any(|other| listener_bound(other).overlaps(bound) && !shares(other))
            || !options.reuse_address && self.connections_in(bound).any(|tuple| tuple.local_port == port)
    }

    /// The connections of ours, be they in TIME-WAIT, at addresses that `bound` takes.
    fn connections_in(&self, bound: Bound) -> impl Iterator<Item = FourTuple> {
        let slots = self.table.indices().into_iter().filter_map(|index| self.table.get(index));
        let tuples = slots.filter(|slot| slot.connection.is_some()).map(|slot| slot.tuple);
        tuples.filter(move |tuple| bound.overlaps(Bound::One(tuple.local_addr)))
    }

    /// A free port for a listener that takes `bound`, chosen at random from the whole ephemeral range. It shares it with no
    /// other.
    ///
    /// # Errors
    /// `AddrInUse` if there is none.
    pub(super) fn free_listener_port(&mut self, bound: Bound, options: &TcpOptions) -> Result<u16> {
        let candidates = self.random_ports();
        let taken: BTreeSet<u16> = match options.reuse_address {
            true => BTreeSet::new(),
            false => self.connections_in(bound).map(|tuple| tuple.local_port).collect(),
        };
        let is_free = |port: u16| self.listeners_at(port).all(|other| !listener_bound(other).overlaps(bound));
        candidates.into_iter().find(|&port| !taken.contains(&port) && is_free(port)).ok_or(Error::AddrInUse)
    }

    /// A free local port for a connection from `addr` to `remote`: unpredictable (RFC 6056 3.3.1), not one that a listener
    /// has, and not the one that makes the connection meet itself. The four-tuple decides what is free, so one port serves
    /// any number of peers. Of several shards each has its own ports, so that no two choose the same at once.
    ///
    /// # Errors
    /// `AddrNotAvailable` if there is none.
    pub(super) fn free_connection_port(&mut self, addr: IpAddr, remote: SocketAddr) -> Result<u16> {
        let candidates = self.random_ports();
        candidates
            .into_iter()
            .find(|&port| {
                let local = SocketAddr::new(addr, port);
                let tuple = FourTuple::new(local, remote);
                self.share.as_ref().is_none_or(|share| share.has_port(port) && share.names.owner(&tuple).is_none())
                    && local != remote
                    && self.listeners_at(port).next().is_none()
                    && self.table.find(&tuple).is_none()
            })
            .ok_or(Error::AddrNotAvailable)
    }

    /// The ephemeral ports from a random one on, around the end.
    fn random_ports(&mut self) -> impl IntoIterator<Item = u16> + use<> {
        let (low, high) = (self.config.tcp.ephemeral_low, self.config.tcp.ephemeral_high);
        let start = self.rng.between(u64::from(low), u64::from(high)) as u16;
        (start..=high).chain(low..start)
    }
}

/// The addresses that a listener takes.
pub(super) fn listener_bound(listener: &Listener) -> Bound {
    Bound::new(listener.local.ip(), listener.only_v6)
}
