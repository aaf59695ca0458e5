//! The ends of a socket: which address a datagram goes from, and what the socket is found by.

use super::ports::Ports;
use super::socket::Socket;
use crate::error::{Error, Result};
use crate::ip::bound::unmapped;
use crate::ip::{Ip, Way};
use std::net::{IpAddr, SocketAddr};

impl Socket {
    /// Changes what it is found by.
    pub(super) fn rename(
        &mut self,
        ports: &mut Ports,
        addr: IpAddr,
        peer: Option<SocketAddr>,
        index: u32,
    ) -> Result<()> {
        let (before, old) = ((self.local, self.peer), self.ends());
        (self.local, self.peer) = (SocketAddr::new(addr, self.local.port()), peer);
        let renamed = ports.rename(old, self.ends(), index);
        if renamed.is_err() {
            (self.local, self.peer) = before;
        }
        renamed
    }

    /// The way of its datagrams to `dst`, an address as it is on the wire or mapped.
    pub(super) fn way_to(&self, dst: IpAddr) -> Way {
        let (dst, own) = (unmapped(dst), self.local.ip());
        let src = Some(own).filter(|own| !own.is_unspecified() && !own.is_multicast());
        Way { src, dst, interface: self.interface_for(dst) }
    }

    /// The address from which a datagram to `dst` goes, if the application wants it to be `wanted`.
    pub(super) fn source_of(&self, ip: &Ip, dst: SocketAddr, wanted: Option<SocketAddr>) -> Result<SocketAddr> {
        let own = self.local.port();
        let port = match wanted.map_or(0, |wanted| wanted.port()) {
            0 if own == 0 => return Err(Error::InvalidInput("a socket of every port has none to send from")),
            0 => own,
            port if own == 0 || port == own => port,
            _ => return Err(Error::InvalidInput("the source port is not the socket's")),
        };
        let wanted = wanted.map(|wanted| wanted.ip()).filter(|addr| !addr.is_unspecified());
        if wanted.is_some_and(|addr| !ip.takes(addr)) {
            return Err(Error::AddrNotAvailable);
        }
        let addr = self.source(ip, dst, wanted.or_else(|| fixed(ip, self.local.ip())))?;
        Ok(SocketAddr::new(addr.ip(), port))
    }

    /// The address from which a datagram to `dst` goes: `fixed`, or that which leads there.
    pub(super) fn source(&self, ip: &Ip, dst: SocketAddr, fixed: Option<IpAddr>) -> Result<SocketAddr> {
        if dst.port() == 0 {
            return Err(Error::InvalidInput("port 0 is no destination"));
        }
        let addr = dst.ip();
        if ip.is_broadcast(addr) {
            if !self.options.broadcast {
                return Err(Error::PermissionDenied);
            }
        } else if !addr.is_multicast() && !ip.is_valid_peer(addr) {
            return Err(Error::InvalidInput("no host has the destination address"));
        }
        let multicast = self.options.multicast_source.filter(|src| addr.is_multicast() && same_family(*src, addr));
        let chosen = fixed.or(multicast);
        let way = Way { src: chosen, dst: addr, interface: self.interface_for(addr) };
        ip.check_route(way)?;
        let src = chosen.or_else(|| ip.source_for(way)).ok_or(Error::NetworkUnreachable)?;
        if !same_family(src, addr) {
            return Err(Error::InvalidInput("the two ends must be of one address family"));
        }
        if src.is_loopback() && !ip.is_local(addr) {
            return Err(Error::InvalidInput("a loopback address reaches no other host"));
        }
        Ok(SocketAddr::new(src, self.local.port()))
    }
}

/// The address that a socket bound to `addr` sends from, if it is that of one host.
pub(super) fn fixed(ip: &Ip, addr: IpAddr) -> Option<IpAddr> {
    Some(addr).filter(|&addr| !addr.is_unspecified() && !addr.is_multicast() && !ip.is_broadcast(addr))
}

fn same_family(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4()
}
