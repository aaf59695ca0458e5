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

    /// Queues the datagrams that `data` makes up, each of `segment` bytes but for the last: at most 64, and 65,507 bytes.
    /// They leave as one super-segment where the device takes such.
    ///
    /// # Errors
    /// As [`udp_send`](Stack::udp_send); `InvalidInput` also if `segment` is zero or there are too many.
    pub fn udp_send_segmented(
        &mut self,
        _now: Instant,
        id: UdpId,
        data: &[u8],
        segment: usize,
        to: Option<SocketAddr>,
    ) -> Result<usize> {
        self.udp.send_segmented(&self.ip, id, data, segment, to)
    }

    /// Takes the next datagram and those behind it that continue it: from the same source, of the same length but for
    /// the last, which may be shorter, as many as fit into `buf` whole. Gives the copied length, that of each datagram
    /// but the last, and the source.
    ///
    /// # Errors
    /// As [`udp_recv`](Stack::udp_recv).
    pub fn udp_recv_segmented(&mut self, id: UdpId, buf: &mut [u8]) -> Result<(usize, usize, SocketAddr)> {
        self.udp.recv_segmented(id, buf)
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

    /// The socket has twins in the other shards of the host, with the same address; `shard` is the one that sends.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_set_home(&mut self, id: UdpId, shard: u16) -> Result<()> {
        self.udp.set_home(id, shard)
    }

    /// Gives the handle up.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_close(&mut self, id: UdpId) -> Result<()> {
        self.udp.close(id)
    }
}
