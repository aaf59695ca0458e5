//! `udp_*`: the calls of UDP sockets.

use super::flows::name_of_flow;
use super::{RecvMsg, SendMsg, SocketError, Stack, UdpBind, UdpId, UdpOptions};
use crate::buf::Slice;
use crate::error::{Error, Result};
use crate::time::Instant;
use core::ops::DerefMut;
use std::net::{IpAddr, SocketAddr};

impl Stack {
    /// Binds a UDP socket; port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `Unsupported` for a family without an address, `NoBufferSpace`.
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<UdpId> {
        self.udp_bind_with(local, UdpBind::default())
    }

    /// As [`udp_bind`](Stack::udp_bind), shared with others or for every port. It may also be bound to a group or a
    /// broadcast address, and then hears only what is sent there.
    ///
    /// # Errors
    /// As [`udp_bind`](Stack::udp_bind); `InvalidInput` if a socket of every port names one.
    pub fn udp_bind_with(&mut self, local: SocketAddr, how: UdpBind) -> Result<UdpId> {
        self.udp.bind(&self.ip, local, how)
    }

    /// Queues one datagram, to `to` or, if `None`, to the connected peer.
    ///
    /// # Errors
    /// `WouldBlock`, `MessageTooLong`, `NotConnected`, `InvalidInput` (port 0), `PermissionDenied` (broadcast), and once
    /// a pending error such as `ConnectionRefused`.
    pub fn udp_send(&mut self, now: Instant, id: UdpId, data: &[u8], to: Option<SocketAddr>) -> Result<usize> {
        self.udp_send_msg(now, id, &SendMsg { data, destination: to, ..SendMsg::default() })
    }

    /// Queues a datagram, or several, with all that `message` says.
    ///
    /// # Errors
    /// As [`udp_send`](Stack::udp_send) and [`udp_send_segmented`](Stack::udp_send_segmented); `AddrNotAvailable` if the
    /// source is not ours, `InvalidInput` if it is not the socket's.
    pub fn udp_send_msg(&mut self, now: Instant, id: UdpId, message: &SendMsg<'_>) -> Result<usize> {
        self.udp.check_path(&self.ip, now, id, message)?;
        self.udp.send_msg(&self.ip, id, message)
    }

    /// Queues as many of `messages` as there is room for, but at most 64, and gives their number.
    ///
    /// # Errors
    /// As [`udp_send_msg`](Stack::udp_send_msg), of the first. What is wrong with a later one is told when that is the
    /// first.
    pub fn udp_send_many(&mut self, now: Instant, id: UdpId, messages: &[SendMsg<'_>]) -> Result<usize> {
        // What is too large ends the list; it is told of when it is the first.
        let wrong = messages.iter().position(|message| self.udp.check_path(&self.ip, now, id, message).is_err());
        if wrong == Some(0) {
            return self.udp_send_msg(now, id, &messages[0]);
        }
        self.udp.send_many(&self.ip, id, &messages[..wrong.unwrap_or(messages.len())])
    }

    /// As [`udp_recv`](Stack::udp_recv), with all that came with the datagram; with several that continue one another, if
    /// `gro` of the socket's options is set.
    ///
    /// # Errors
    /// As [`udp_recv`](Stack::udp_recv).
    pub fn udp_recv_msg(&mut self, id: UdpId, buf: &mut [u8], peek: bool) -> Result<RecvMsg> {
        self.udp.recv_msg(id, buf, peek)
    }

    /// Takes as many datagrams as there are, one for each buffer, but at most 64; tells of each in `messages`, and gives
    /// their number.
    ///
    /// # Errors
    /// As [`udp_recv`](Stack::udp_recv), if there is none.
    pub fn udp_recv_many(
        &mut self,
        id: UdpId,
        bufs: &mut [impl DerefMut<Target = [u8]>],
        messages: &mut [RecvMsg],
    ) -> Result<usize> {
        self.udp.recv_many(id, bufs, messages)
    }

    /// Takes the next datagram: copies what fits into `buf`, drops the rest of it, and gives the copied length and the
    /// source. With `peek` the datagram stays.
    ///
    /// # Errors
    /// `WouldBlock`, and once a pending error.
    pub fn udp_recv(&mut self, id: UdpId, buf: &mut [u8], peek: bool) -> Result<(usize, SocketAddr)> {
        self.udp.recv(id, buf, peek)
    }

    /// Takes the next datagram as it lies in memory, without a copy, and gives its source with it. It occupies memory until
    /// it is dropped.
    ///
    /// # Errors
    /// As [`udp_recv`](Stack::udp_recv).
    pub fn udp_recv_chunk(&mut self, id: UdpId) -> Result<(Slice, SocketAddr)> {
        self.udp.recv_chunk(id)
    }

    /// Queues the datagrams that `data` makes up, each of `segment` bytes but for the last: at most 64, and 65,507 bytes.
    /// They leave as one super-segment where the device takes such.
    ///
    /// # Errors
    /// As [`udp_send`](Stack::udp_send); `InvalidInput` also if `segment` is zero or there are too many.
    pub fn udp_send_segmented(
        &mut self,
        now: Instant,
        id: UdpId,
        data: &[u8],
        segment: usize,
        to: Option<SocketAddr>,
    ) -> Result<usize> {
        self.udp_send_msg(now, id, &SendMsg { data, destination: to, segment: Some(segment), ..SendMsg::default() })
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

    /// Forgets the peer, and the local address that was chosen for its sake.
    ///
    /// # Errors
    /// `AddrInUse` if another socket has the address that it would have again.
    pub fn udp_disconnect(&mut self, id: UdpId) -> Result<()> {
        self.udp.disconnect(id)
    }

    /// Joins a group: for what anybody sends there, or only for what `source` sends.
    ///
    /// # Errors
    /// `InvalidInput` if `group` is none, `Unsupported` for a family without an address, `AddrInUse` if the socket is a
    /// member, `AddrNotAvailable` if it hears the source already, `NoBufferSpace`.
    pub fn udp_join(&mut self, id: UdpId, group: IpAddr, source: Option<IpAddr>) -> Result<()> {
        self.udp_join_on(id, group, source, 0)
    }

    /// As [`udp_join`](Stack::udp_join), on the interface with this number; zero is that by which packets to the group
    /// leave.
    ///
    /// # Errors
    /// As there; `NoDevice` if there is no such interface.
    pub fn udp_join_on(&mut self, id: UdpId, group: IpAddr, source: Option<IpAddr>, interface: u32) -> Result<()> {
        self.udp.join(&mut self.ip, id, group, source, interface)
    }

    /// Leaves a group, or hears `source` of it no longer.
    ///
    /// # Errors
    /// `AddrNotAvailable` if the socket was no such member.
    pub fn udp_leave(&mut self, id: UdpId, group: IpAddr, source: Option<IpAddr>) -> Result<()> {
        self.udp_leave_on(id, group, source, 0)
    }

    /// As [`udp_leave`](Stack::udp_leave), on the interface with this number; zero is the first on which it has joined.
    ///
    /// # Errors
    /// As there; `NoDevice` if there is no such interface.
    pub fn udp_leave_on(&mut self, id: UdpId, group: IpAddr, source: Option<IpAddr>, interface: u32) -> Result<()> {
        self.udp.leave(&mut self.ip, id, group, source, interface)
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

    /// Takes the oldest error of the socket's queue (MSG_ERRQUEUE), where `recv_errors` of its options is set.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `BadHandle`.
    pub fn udp_recv_error(&mut self, id: UdpId) -> Result<SocketError> {
        self.udp.recv_error(id)
    }

    /// The largest packet on the path to the connected peer, in bytes, as far as is known (IP_MTU).
    ///
    /// # Errors
    /// `NotConnected`, `BadHandle`.
    pub fn udp_path_mtu(&self, now: Instant, id: UdpId) -> Result<usize> {
        self.udp.path_mtu(&self.ip, now, id)
    }

    /// The socket's settings, to be read and set.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_options(&mut self, id: UdpId) -> Result<&mut UdpOptions> {
        self.udp.options(id)
    }

    /// How the socket was bound, as far as it is known of one that is bound to a port.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_bound(&mut self, id: UdpId) -> Result<UdpBind> {
        self.udp.bound(id)
    }

    /// Whether it shares its address from now on with sockets that want the same: SO_REUSEADDR and SO_REUSEPORT of
    /// [`UdpBind`], set after it was bound.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_share(&mut self, id: UdpId, reuse_address: bool, reuse_port: bool) -> Result<()> {
        self.udp.share(id, reuse_address, reuse_port)
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
        if let Some(source) = self.udp.close(&mut self.ip, id)? {
            self.unclaim(&name_of_flow(source));
        }
        Ok(())
    }
}
