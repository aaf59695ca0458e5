//! `RawSocket` and `IcmpSocket`: raw(7) and icmp(7).

use super::Host;
use super::parts::{self, Favourite, Parts, Place, Places};
use super::patience::{Blocking, Timeout};
use super::udp::to_connected;
use crate::error;
use crate::stack::{Echo, RawId, RawOptions, Readiness, RecvMsg, SocketError, SocketId, Stack};
use crate::time::Instant;
use core::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A raw socket: it receives a copy of every packet of one protocol that comes to the host, over IPv4 with the IP header
/// and over IPv6 without, and sends what it is given. It is closed when it and its clones are dropped.
pub struct RawSocket(Arc<Inner>);

/// A ping socket: it sends echo requests under an identifier of its own, and receives the replies to them and the errors
/// about them. It is closed when it and its clones are dropped.
pub struct IcmpSocket(Arc<Inner>);

/// What both are.
struct Inner {
    parts: Parts<RawId>,
    /// The number of the part that sends.
    home: usize,
    favourite: Favourite,
    blocking: Blocking,
    /// Dropped after its parts.
    host: Host,
}

impl Inner {
    fn open(
        host: &Host,
        addr: SocketAddr,
        open: impl FnMut(&mut Stack, SocketAddr) -> error::Result<RawId>,
        home: usize,
    ) -> io::Result<Arc<Inner>> {
        let parts = Parts::open(host.shards(), addr, open)?;
        let (favourite, blocking) = (Favourite::default(), Blocking::default());
        Ok(Arc::new(Inner { parts, home, favourite, blocking, host: host.clone() }))
    }

    fn sending<T>(&self, mut act: impl FnMut(&mut Stack, Instant, RawId) -> error::Result<T>) -> error::Result<T> {
        let (shard, id) = self.parts.get(self.home);
        let patience = self.blocking.patience(&self.blocking.write);
        shard.wait(SocketId::Raw(id), Readiness::WRITABLE, patience, |core, now| act(&mut core.stack, now, id))
    }

    fn receiving<T>(&self, mut act: impl FnMut(&mut Stack, RawId) -> error::Result<T>) -> error::Result<T> {
        let patience = self.blocking.patience(&self.blocking.read);
        let first = self.favourite.first(self.parts.len());
        let (number, received) = self.parts.wait(first, Readiness::READABLE, patience, |number, id, core, _| {
            Ok((number, act(&mut core.stack, id)?))
        })?;
        self.favourite.found(number);
        Ok(received)
    }

    fn set(&self, change: impl Fn(&mut RawOptions)) -> io::Result<()> {
        let changed = self.parts.act(|stack, id| {
            change(stack.raw_options(id)?);
            Ok(())
        });
        Ok(changed?)
    }

    fn option<T>(&self, read: impl FnOnce(&RawOptions) -> T) -> io::Result<T> {
        Ok(self.parts.look(|stack, id| Ok(read(stack.raw_options(id)?)))?)
    }

    /// Does it with each part until one does not block: an error may have come to any queue.
    fn at_any<T>(&self, mut act: impl FnMut(&mut Stack, RawId) -> error::Result<T>) -> error::Result<T> {
        for (shard, id) in self.parts.iter() {
            match shard.look(|stack| act(stack, id)) {
                Err(error::Error::WouldBlock) => {}
                done => return done,
            }
        }
        Err(error::Error::WouldBlock)
    }

    fn places(&self) -> Places<'_> {
        let place = |(number, (shard, id))| Place { shard, id: SocketId::Raw(id), home: number == self.home };
        self.parts.iter().enumerate().map(place).collect()
    }
}

impl RawSocket {
    pub(super) fn open(host: &Host, local: IpAddr, protocol: u8, home: usize) -> io::Result<RawSocket> {
        let open = |stack: &mut Stack, addr: SocketAddr| stack.raw_open(addr.ip(), protocol);
        Inner::open(host, SocketAddr::new(local, 0), open, home).map(RawSocket)
    }

    /// Sends a packet to `addr`: `buf` is what follows the IP header, of whose checksum only ICMPv6's is made.
    ///
    /// # Errors
    /// `WouldBlock` (non-blocking, or after the write time-out), EMSGSIZE if it is too long, `PermissionDenied` for
    /// broadcast that was not allowed, `NetworkUnreachable`, `InvalidInput`.
    pub fn send_to(&self, buf: &[u8], addr: IpAddr) -> io::Result<usize> {
        Ok(self.0.sending(|stack, now, id| stack.raw_send(now, id, buf, Some(addr)))?)
    }

    /// Sends a packet to the connected peer; or with [`set_header_included`](RawSocket::set_header_included), to where
    /// its header says.
    ///
    /// # Errors
    /// As [`send_to`](RawSocket::send_to); EDESTADDRREQ if the socket is not connected, `AddrNotAvailable` if the header's
    /// source is not the host's.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.sending(|stack, now, id| stack.raw_send(now, id, buf, None)).map_err(to_connected)
    }

    /// Waits for a packet and gives its length and source. What does not fit into `buf` is lost.
    ///
    /// # Errors
    /// `WouldBlock` (non-blocking, or after the read time-out).
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, IpAddr)> {
        self.recv_msg(buf).map(|got| (got.len, got.source.ip()))
    }

    /// As [`recv_from`](RawSocket::recv_from), with all that came with the packet; ports are zero.
    ///
    /// # Errors
    /// As [`recv_from`](RawSocket::recv_from).
    pub fn recv_msg(&self, buf: &mut [u8]) -> io::Result<RecvMsg> {
        Ok(self.0.receiving(|stack, id| stack.raw_recv(id, buf, false))?)
    }

    /// As [`recv_msg`](RawSocket::recv_msg), but the packet stays.
    ///
    /// # Errors
    /// As [`recv_from`](RawSocket::recv_from).
    pub fn peek_msg(&self, buf: &mut [u8]) -> io::Result<RecvMsg> {
        Ok(self.0.receiving(|stack, id| stack.raw_recv(id, buf, true))?)
    }

    /// Whether all that routers and hosts say of its packets is kept, to be read by
    /// [`recv_error`](RawSocket::recv_error), and fails its next call (IP_RECVERR, IPV6_RECVERR). Without it, only a
    /// connected socket is told, and only where the destination itself refused, or of packets that are too big.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_recv_errors(&self, wanted: bool) -> io::Result<()> {
        self.0.set(|options| options.recv_errors = wanted)
    }

    /// The oldest error that was not read yet (MSG_ERRQUEUE). It does not wait.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and if [`set_recv_errors`](RawSocket::set_recv_errors) was not called.
    pub fn recv_error(&self) -> io::Result<SocketError> {
        Ok(self.0.at_any(Stack::raw_recv_error)?)
    }

    /// Takes the pending error (SO_ERROR).
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self.0.at_any(|stack, id| stack.raw_take_error(id)?.ok_or(error::Error::WouldBlock)) {
            Ok(error) => Ok(Some(error.into())),
            Err(error::Error::WouldBlock) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Has it send by the interface `name`, and hear what comes in by that one alone (SO_BINDTODEVICE); none is whichever.
    ///
    /// # Errors
    /// ENODEV if there is no such interface; or if the host has ended.
    pub fn bind_device(&self, name: Option<&str>) -> io::Result<()> {
        let number = self.0.parts.look(|stack, _| name.map_or(Ok(0), |name| stack.interface_named(name)))?;
        self.0.set(|options| options.interface = number as u8)
    }

    /// Whether what is sent over IPv4 begins with its IP header (IP_HDRINCL). Its length and checksum are filled in, its
    /// source and identification where they are zero.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_header_included(&self, included: bool) -> io::Result<()> {
        self.0.set(|options| options.header_included = included)
    }
}

impl IcmpSocket {
    pub(super) fn open(host: &Host, local: IpAddr, home: usize) -> io::Result<IcmpSocket> {
        Inner::open(host, SocketAddr::new(local, 0), |stack, addr| stack.ping_open(addr), home).map(IcmpSocket)
    }

    /// Sends an echo request with `data` to `addr`, and gives the data's length.
    ///
    /// # Errors
    /// As [`RawSocket::send_to`].
    pub fn send_to(&self, sequence: u16, data: &[u8], addr: IpAddr) -> io::Result<usize> {
        Ok(self.0.sending(|stack, now, id| stack.ping_send(now, id, sequence, data, Some(addr)))?)
    }

    /// Sends an echo request with `data` to the connected peer.
    ///
    /// # Errors
    /// As [`RawSocket::send_to`]; EDESTADDRREQ if the socket is not connected.
    pub fn send(&self, sequence: u16, data: &[u8]) -> io::Result<usize> {
        self.0.sending(|stack, now, id| stack.ping_send(now, id, sequence, data, None)).map_err(to_connected)
    }

    /// Waits for a reply to a request of this socket, or an error about one. What does not fit into `buf` of its data is
    /// lost.
    ///
    /// # Errors
    /// `WouldBlock` (non-blocking, or after the read time-out).
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<Echo> {
        Ok(self.0.receiving(|stack, id| stack.ping_recv(id, buf))?)
    }

    /// The identifier of its requests.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn identifier(&self) -> io::Result<u16> {
        Ok(self.0.parts.look(|stack, id| stack.raw_local_addr(id))?.port())
    }
}

macro_rules! common {
    ($($socket:ident),*) => {$(
        impl $socket {
            /// Sets the peer: only what comes from it, or concerns it, is received from now on.
            ///
            /// # Errors
            /// `NetworkUnreachable`, `InvalidInput`, `PermissionDenied` for broadcast that was not allowed.
            pub fn connect(&self, addr: IpAddr) -> io::Result<()> {
                Ok(self.0.parts.act(|stack, id| stack.raw_connect(id, Some(addr)))?)
            }

            /// Forgets the peer.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn disconnect(&self) -> io::Result<()> {
                Ok(self.0.parts.act(|stack, id| stack.raw_connect(id, None))?)
            }

            /// The connected peer.
            ///
            /// # Errors
            /// `NotConnected`.
            pub fn peer_addr(&self) -> io::Result<IpAddr> {
                Ok(self.0.parts.look(|stack, id| stack.raw_peer_addr(id))?)
            }

            /// Our address; unspecified is every one of the family.
            ///
            /// # Errors
            /// If the stack has panicked.
            pub fn local_addr(&self) -> io::Result<IpAddr> {
                Ok(self.0.parts.look(|stack, id| stack.raw_local_addr(id))?.ip())
            }

            /// Another handle on the same socket. All share the settings.
            ///
            /// # Errors
            /// None; the signature is std's.
            pub fn try_clone(&self) -> io::Result<$socket> {
                Ok($socket(self.0.clone()))
            }

            /// How long receiving waits, `None` being for ever; beyond it fails with `WouldBlock`, as on Linux.
            ///
            /// # Errors
            /// `InvalidInput` if it is zero.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.blocking.read.set(timeout)
            }

            /// How long receiving waits.
            ///
            /// # Errors
            /// None; the signature is std's.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(Timeout::get(&self.0.blocking.read))
            }

            /// How long sending waits for room, `None` being for ever.
            ///
            /// # Errors
            /// `InvalidInput` if it is zero.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.0.blocking.write.set(timeout)
            }

            /// Whether calls fail with `WouldBlock` instead of waiting. Clones share it.
            ///
            /// # Errors
            /// None; the signature is std's.
            pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.0.blocking.set_nonblocking(nonblocking);
                Ok(())
            }

            /// Sets the TTL or hop limit of the packets, 1 to 255. Until then it is the host's, and 1 to groups.
            ///
            /// # Errors
            /// `InvalidInput`, or if the host has ended.
            pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
                let ttl = super::check_ttl(ttl)?;
                self.0.set(|options| options.ttl = Some(ttl))
            }

            /// The TTL or hop limit of the packets, if it was set.
            ///
            /// # Errors
            /// If the stack has panicked.
            pub fn ttl(&self) -> io::Result<Option<u32>> {
                self.0.option(|options| options.ttl.map(u32::from))
            }

            /// Sets the DSCP and ECN byte of the packets.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_tos(&self, tos: u8) -> io::Result<()> {
                self.0.set(|options| options.tos = tos)
            }

            /// Allows sending to broadcast addresses, or does not.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
                self.0.set(|options| options.broadcast = broadcast)
            }

            /// Sets how many received bytes it holds, with 96 for each packet.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
                self.0.set(|options| options.recv_buffer = bytes)
            }

            /// What it is ready for, as poll(2) would tell.
            pub fn readiness(&self) -> Readiness {
                parts::readiness(&self.places())
            }

            pub(super) fn places(&self) -> Places<'_> {
                self.0.places()
            }

            /// The host it belongs to.
            pub fn host(&self) -> &Host {
                &self.0.host
            }
        }

        impl fmt::Debug for $socket {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($socket)).field("addr", &self.local_addr().ok()).finish()
            }
        }
    )*};
}

common!(RawSocket, IcmpSocket);
