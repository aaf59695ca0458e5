//! `raw_*` and `ping_*`: the calls of raw and ping sockets, and what packets they are shown.

use super::{RawId, RawOptions, RecvMsg, SocketError, SocketId, Stack};
use crate::error::{Error, Result};
use crate::raw::Echo;
use crate::stats::{Disposition, DropReason};
use crate::time::Instant;
use crate::wire::RxFrame;
use std::net::{IpAddr, SocketAddr};

impl Stack {
    /// Opens a raw socket for the packets of `protocol` to `local`, or to every address of its family if it is
    /// unspecified.
    ///
    /// # Errors
    /// `AddrNotAvailable`, `Unsupported` for a family without an address, `NoBufferSpace` at the bound on sockets.
    pub fn raw_open(&mut self, local: IpAddr, protocol: u8) -> Result<RawId> {
        self.raw.open(&self.ip, local, protocol)
    }

    /// Opens a ping socket at `local`, or at every address of its family if it is unspecified. The port is its identifier;
    /// zero picks a free one.
    ///
    /// # Errors
    /// As [`raw_open`](Stack::raw_open); `AddrInUse` if another has the identifier.
    pub fn ping_open(&mut self, local: SocketAddr) -> Result<RawId> {
        self.raw.open_ping(&self.ip, local)
    }

    /// Queues a packet of a raw socket, to `to` or to the peer: what follows the IP header or, with `header_included` of
    /// its options, an IPv4 packet.
    ///
    /// # Errors
    /// `WouldBlock`, `NoBufferSpace`, `MessageTooLong`, `NotConnected`, `InvalidInput`, `PermissionDenied` (broadcast),
    /// `NetworkUnreachable`, `AddrNotAvailable` for a source that is not ours, and once a pending error.
    pub fn raw_send(&mut self, _now: Instant, id: RawId, data: &[u8], to: Option<IpAddr>) -> Result<usize> {
        self.raw.send(&self.ip, id, data, to)
    }

    /// Queues an echo request of a ping socket, to `to` or to the peer.
    ///
    /// # Errors
    /// As [`raw_send`](Stack::raw_send).
    pub fn ping_send(
        &mut self,
        _now: Instant,
        id: RawId,
        sequence: u16,
        data: &[u8],
        to: Option<IpAddr>,
    ) -> Result<usize> {
        self.raw.send_echo(&self.ip, id, sequence, data, to)
    }

    /// Takes the next packet of a raw socket: copies what fits into `buf`, and drops the rest of it. With `peek` it stays.
    /// Ports are zero.
    ///
    /// # Errors
    /// `WouldBlock`.
    pub fn raw_recv(&mut self, id: RawId, buf: &mut [u8], peek: bool) -> Result<RecvMsg> {
        self.raw.recv(id, buf, peek)
    }

    /// Takes the next reply to an echo request of a ping socket, or error about one.
    ///
    /// # Errors
    /// `WouldBlock`.
    pub fn ping_recv(&mut self, id: RawId, buf: &mut [u8]) -> Result<Echo> {
        self.raw.recv_echo(id, buf)
    }

    /// Takes the oldest error of a raw socket's queue (MSG_ERRQUEUE), where `recv_errors` of its options is set.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `BadHandle`.
    pub fn raw_recv_error(&mut self, id: RawId) -> Result<SocketError> {
        self.raw.recv_error(id)
    }

    /// Takes the pending error, if there is one (SO_ERROR).
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn raw_take_error(&mut self, id: RawId) -> Result<Option<Error>> {
        self.raw.take_error(id)
    }

    /// Sets the peer, or forgets it.
    ///
    /// # Errors
    /// `InvalidInput`, `PermissionDenied`, `NetworkUnreachable`.
    pub fn raw_connect(&mut self, id: RawId, peer: Option<IpAddr>) -> Result<()> {
        self.raw.connect(&self.ip, id, peer)
    }

    /// Our end, and the identifier of a ping socket as its port.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn raw_local_addr(&self, id: RawId) -> Result<SocketAddr> {
        self.raw.local_addr(id)
    }

    /// The peer.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn raw_peer_addr(&self, id: RawId) -> Result<IpAddr> {
        self.raw.peer_addr(id)
    }

    /// The socket's settings, to be read and set.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn raw_options(&mut self, id: RawId) -> Result<&mut RawOptions> {
        self.raw.options(id)
    }

    /// Gives the handle up.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn raw_close(&mut self, id: RawId) -> Result<()> {
        self.raw.close(id)
    }

    /// As `process`, with copies for the sockets that want one. What nobody else wants is no drop then, and of a protocol
    /// that only they know nobody is told that it is unknown.
    pub(super) fn process_with_copies(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        looped: bool,
        whole: bool,
    ) -> Disposition {
        let Some((protocol, packet)) = self.ip.look(frame, looped) else {
            return self.process(now, frame, looped, whole);
        };
        for id in self.raw.on_error(&self.ip, frame, protocol, &packet, looped) {
            self.mark_ready(SocketId::Raw(id));
        }
        let Some(takers) = self.raw.input(&self.ip, frame, protocol, &packet, looped) else {
            return self.process(now, frame, looped, whole);
        };
        for &id in &takers {
            self.mark_ready(SocketId::Raw(id));
        }
        let taken =
            if takers.is_empty() { Disposition::Dropped(DropReason::RawQueueFull) } else { Disposition::Delivered };
        if !self.ip.serves(protocol, packet.dst) {
            return taken;
        }
        match self.process(now, frame, looped, whole) {
            // A transport has its own reasons, which are worth counting.
            Disposition::Dropped(DropReason::IcmpIgnored | DropReason::IcmpUnmatched | DropReason::IgmpIgnored) => {
                taken
            }
            disposition => disposition,
        }
    }
}
