//! `UdpSocket`, with std's names and behaviour.

use super::Host;
use super::addr::{ToSocketAddrs, each, first};
use super::error::invalid;
use super::parts::{self, Favourite, Parts, Place, Places};
use super::patience::{Blocking, Timeout};
use crate::error::{self, Error};
use crate::runtime::{Patience, Shard};
use crate::stack::{Readiness, SocketId, Stack, UdpBind, UdpId};
use crate::time::Instant;
use core::fmt;
use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A UDP socket, as `std::net::UdpSocket`. It is closed when it and its clones are dropped.
pub struct UdpSocket(Arc<Inner>);

struct Inner {
    parts: Parts<UdpId>,
    /// The number of the part that sends.
    home: usize,
    favourite: Favourite,
    blocking: Blocking,
    /// Dropped after its parts.
    host: Host,
}

impl UdpSocket {
    /// A socket of the default host: see [`Host::set_default`] and [`Host::bind_udp`].
    ///
    /// # Errors
    /// `NetworkDown` if there is no default host, and as [`Host::bind_udp`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        Host::get_default()?.bind_udp(addr)
    }

    pub(super) fn parts(shards: &[Arc<Shard>], addr: SocketAddr, how: UdpBind) -> error::Result<Parts<UdpId>> {
        Parts::open(shards, addr, |stack, addr| stack.udp_bind_with(addr, how))
    }

    /// The socket of `parts`, the one with the number `home` of which sends.
    pub(super) fn new(host: &Host, parts: Parts<UdpId>, home: usize) -> error::Result<UdpSocket> {
        if parts.len() > 1 {
            let number = parts.get(home).0.number() as u16;
            parts.act(|stack, id| stack.udp_set_home(id, number))?;
        }
        let (favourite, blocking) = (Favourite::default(), Blocking::default());
        Ok(UdpSocket(Arc::new(Inner { parts, home, favourite, blocking, host: host.clone() })))
    }

    /// Sends one datagram to the first of `addr`, and gives its length.
    ///
    /// # Errors
    /// `WouldBlock` (non-blocking, or after the write time-out), EMSGSIZE if it is too long, `PermissionDenied` for
    /// broadcast that was not allowed, `NetworkUnreachable`, `InvalidInput`, and once a pending error of an earlier
    /// datagram: `ConnectionRefused`, `HostUnreachable`.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        match first(self.host(), addr)? {
            Some(to) => Ok(self.send_datagram(buf, Some(to))?),
            None => Err(invalid("no addresses to send data to")),
        }
    }

    /// Sends one datagram to the connected peer.
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to); EDESTADDRREQ if the socket is not connected.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.send_datagram(buf, None).map_err(to_connected)
    }

    /// Sends `buf` to the first of `addr` as datagrams of `segment` bytes each, the last of which may be shorter; at most
    /// 64 of them, and 65,507 bytes. It is as if each had been sent by a call of its own, but costs little more than one
    /// (UDP_SEGMENT in udp(7)); where the device cuts super-segments, it is one frame. The datagrams are not to be
    /// fragmented on their way.
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to); `InvalidInput` also if `segment` is zero or there are too many.
    pub fn send_segmented_to<A: ToSocketAddrs>(&self, buf: &[u8], segment: usize, addr: A) -> io::Result<usize> {
        match first(self.host(), addr)? {
            Some(to) => Ok(self.send_segments(buf, segment, Some(to))?),
            None => Err(invalid("no addresses to send data to")),
        }
    }

    /// As [`send_segmented_to`](UdpSocket::send_segmented_to), to the connected peer.
    ///
    /// # Errors
    /// As [`send_segmented_to`](UdpSocket::send_segmented_to); EDESTADDRREQ if the socket is not connected.
    pub fn send_segmented(&self, buf: &[u8], segment: usize) -> io::Result<usize> {
        self.send_segments(buf, segment, None).map_err(to_connected)
    }

    fn send_segments(&self, buf: &[u8], segment: usize, to: Option<SocketAddr>) -> error::Result<usize> {
        self.sending(|stack, now, id| stack.udp_send_segmented(now, id, buf, segment, to))
    }

    fn send_datagram(&self, buf: &[u8], to: Option<SocketAddr>) -> error::Result<usize> {
        self.sending(|stack, now, id| stack.udp_send(now, id, buf, to))
    }

    pub(super) fn sending<T>(
        &self,
        act: impl FnMut(&mut Stack, Instant, UdpId) -> error::Result<T>,
    ) -> error::Result<T> {
        self.sending_with(None, act)
    }

    /// Sends with this patience, or with the socket's.
    pub(super) fn sending_with<T>(
        &self,
        patience: Option<Patience>,
        mut act: impl FnMut(&mut Stack, Instant, UdpId) -> error::Result<T>,
    ) -> error::Result<T> {
        let Inner { parts, home, blocking, .. } = &*self.0;
        let (shard, id) = parts.get(*home);
        let patience = patience.unwrap_or_else(|| blocking.patience(&blocking.write));
        shard.wait(SocketId::Udp(id), Readiness::WRITABLE, patience, |core, now| act(&mut core.stack, now, id))
    }

    pub(super) fn receiving<T>(&self, act: impl FnMut(&mut Stack, UdpId) -> error::Result<T>) -> error::Result<T> {
        self.receiving_with(None, act)
    }

    /// Receives with this patience, or with the socket's.
    pub(super) fn receiving_with<T>(
        &self,
        patience: Option<Patience>,
        mut act: impl FnMut(&mut Stack, UdpId) -> error::Result<T>,
    ) -> error::Result<T> {
        let Inner { parts, favourite, blocking, .. } = &*self.0;
        let patience = patience.unwrap_or_else(|| blocking.patience(&blocking.read));
        let (number, received) =
            parts.wait(favourite.first(parts.len()), Readiness::READABLE, patience, |number, id, core, _| {
                Ok((number, act(&mut core.stack, id)?))
            })?;
        favourite.found(number);
        Ok(received)
    }

    /// Waits for a datagram and gives its length and source. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// `WouldBlock` (non-blocking, or after the read time-out), and once a pending error: `ConnectionRefused`,
    /// `HostUnreachable`.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        Ok(self.receive(buf, false)?)
    }

    /// As [`recv_from`](UdpSocket::recv_from), but the datagram stays.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        Ok(self.receive(buf, true)?)
    }

    /// As [`recv_from`](UdpSocket::recv_from), without the source.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(buf, false)?.0)
    }

    /// As [`peek_from`](UdpSocket::peek_from), without the source.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(buf, true)?.0)
    }

    /// Waits for a datagram and takes with it those that continue it: from the same source, of the same length but for
    /// the last, which may be shorter, and as many as fit into `buf` whole (UDP_GRO in udp(7)). Gives the number of bytes
    /// in `buf`, the length of each datagram but the last, and the source. Of a first datagram that does not fit into
    /// `buf`, the rest is lost.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn recv_segmented_from(&self, buf: &mut [u8]) -> io::Result<(usize, usize, SocketAddr)> {
        Ok(self.receiving(|stack, id| stack.udp_recv_segmented(id, buf))?)
    }

    fn receive(&self, buf: &mut [u8], peek: bool) -> error::Result<(usize, SocketAddr)> {
        self.receiving(|stack, id| stack.udp_recv(id, buf, peek))
    }

    /// Sets the peer to the first of `addr` that can be one: only its datagrams are received from now on.
    ///
    /// # Errors
    /// `NetworkUnreachable`, `InvalidInput`, and those of [`ToSocketAddrs`].
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        each(self.host(), addr, |addr| self.0.parts.act(|stack, id| stack.udp_connect(id, addr)))
    }

    /// Forgets the peer, as connect(2) with AF_UNSPEC: everybody is heard again, at the address that the socket was bound
    /// to.
    ///
    /// # Errors
    /// `AddrInUse` if another socket has that address meanwhile; or if the host has ended.
    pub fn disconnect(&self) -> io::Result<()> {
        Ok(self.0.parts.act(|stack, id| stack.udp_disconnect(id))?)
    }

    /// The connected peer.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.parts.look(|stack, id| stack.udp_peer_addr(id))?)
    }

    /// Our address.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.parts.look(|stack, id| stack.udp_local_addr(id))?)
    }

    /// Another handle on the same socket. All share the settings.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        Ok(UdpSocket(self.0.clone()))
    }

    /// How long receiving waits, `None` being for ever; beyond it fails with `WouldBlock`, as on Linux.
    ///
    /// # Errors
    /// `InvalidInput` if it is zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.blocking.read.set(timeout)
    }

    /// How long sending waits for room, `None` being for ever.
    ///
    /// # Errors
    /// `InvalidInput` if it is zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.blocking.write.set(timeout)
    }

    /// How long receiving waits.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(Timeout::get(&self.0.blocking.read))
    }

    /// How long sending waits.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(Timeout::get(&self.0.blocking.write))
    }

    /// Whether calls fail with `WouldBlock` instead of waiting. Clones share it.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.blocking.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Allows sending to broadcast addresses (SO_BROADCAST), or does not.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.set(|options| options.broadcast = broadcast)
    }

    /// Whether sending to broadcast addresses is allowed.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.option(|options| options.broadcast)
    }

    /// Sets the TTL of the datagrams, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has ended.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = super::check_ttl(ttl)?;
        self.set(|options| options.ttl = ttl)
    }

    /// The TTL of the datagrams.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn ttl(&self) -> io::Result<u32> {
        self.option(|options| options.ttl.into())
    }

    /// Takes the pending error (SO_ERROR).
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.at_home(Stack::udp_take_error)?.map(io::Error::from))
    }

    /// What it is ready for, as poll(2) would tell.
    pub fn readiness(&self) -> Readiness {
        parts::readiness(&self.places())
    }

    /// Does the same with all its parts.
    pub(super) fn parts_act(&self, act: impl FnMut(&mut Stack, UdpId) -> error::Result<()>) -> error::Result<()> {
        self.0.parts.act(act)
    }

    /// Does it with the part that sends, where errors come to.
    pub(super) fn at_home<T>(&self, act: impl FnOnce(&mut Stack, UdpId) -> error::Result<T>) -> error::Result<T> {
        let (shard, id) = self.0.parts.get(self.0.home);
        shard.look(|stack| act(stack, id))
    }

    /// Looks at what its parts have in common.
    pub(super) fn parts_look<T>(&self, look: impl FnOnce(&mut Stack, UdpId) -> error::Result<T>) -> error::Result<T> {
        self.0.parts.look(look)
    }

    /// The part that sends.
    #[cfg(feature = "tokio")]
    pub(super) fn home(&self) -> Places<'_> {
        let (shard, id) = self.0.parts.get(self.0.home);
        Places::from_buf([Place { shard, id: SocketId::Udp(id), home: true }])
    }

    /// Which part to look into first.
    #[cfg(feature = "tokio")]
    pub(super) fn favourite(&self) -> &Favourite {
        &self.0.favourite
    }

    pub(super) fn places(&self) -> Places<'_> {
        let place = |(number, (shard, id))| Place { shard, id: SocketId::Udp(id), home: number == self.0.home };
        self.0.parts.iter().enumerate().map(place).collect()
    }

    /// The queue whose datagrams it receives, if it was made by [`Host::bind_udp_on_each`].
    pub fn queue(&self) -> Option<usize> {
        (self.0.host.queues() > self.0.parts.len()).then(|| self.0.parts.get(0).0.number())
    }

    /// The host it belongs to.
    pub fn host(&self) -> &Host {
        &self.0.host
    }
}

/// What sending to the connected peer fails with.
pub(super) fn to_connected(error: Error) -> io::Error {
    match error {
        Error::NotConnected => Errno::DESTADDRREQ.into(),
        error => error.into(),
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::show(f, "UdpSocket", &[("addr", self.local_addr())])
    }
}
