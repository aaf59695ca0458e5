//! `udp_*`: the calls of UDP sockets.

use super::{Stack, UdpId, UdpOptions};
use crate::error::{Error, Result};
use crate::time::Instant;
use std::net::SocketAddr;

impl Stack {
    /// Binds a UDP socket; port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `Unsupported` for a family without an address, `NoBufferSpace`.
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<UdpId> {
        self.udp.bind(&self.ip, local)
    }

    /// Queues one datagram, to `to` or, if `None`, to the connected peer.
    ///
    /// # Errors
    /// `WouldBlock`, `MessageTooLong`, `NotConnected`, `InvalidInput` (port 0), `PermissionDenied` (broadcast), and once
    /// a pending error such as `ConnectionRefused`.
    pub fn udp_send(&mut self, _now: Instant, id: UdpId, data: &[u8], to: Option<SocketAddr>) -> Result<usize> {
        self.udp.send(&self.ip, id, data, to)
    }

    /// Takes the next datagram: copies what fits into `buf`, drops the rest of it, and gives the copied length and the
    /// source. With `peek` the datagram stays.
    ///
    /// # Errors
    /// `WouldBlock`, and once a pending error.
    pub fn udp_recv(&mut self, id: UdpId, buf: &mut [u8], peek: bool) -> Result<(usize, SocketAddr)> {
        self.udp.recv(id, buf, peek)
    }

    /// Sets the peer: only its datagrams are received from now on. A local address is chosen if there was none.
    ///
    /// # Errors
    /// `InvalidInput`, `PermissionDenied`, `NetworkUnreachable`, `AddrInUse`.
    pub fn udp_connect(&mut self, id: UdpId, peer: SocketAddr) -> Result<()> {
        self.udp.connect(&self.ip, id, peer)
    }

    /// Our end.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_local_addr(&self, id: UdpId) -> Result<SocketAddr> {
        self.udp.local_addr(id)
    }

    /// The connected peer.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn udp_peer_addr(&self, id: UdpId) -> Result<SocketAddr> {
        self.udp.peer_addr(id)
    }

    /// Takes the pending error, if there is one (SO_ERROR).
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_take_error(&mut self, id: UdpId) -> Result<Option<Error>> {
        self.udp.take_error(id)
    }

    /// The socket's settings, to be read and set.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_options(&mut self, id: UdpId) -> Result<&mut UdpOptions> {
        self.udp.options(id)
    }

    /// Gives the handle up.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_close(&mut self, id: UdpId) -> Result<()> {
        self.udp.close(id)
    }
}
