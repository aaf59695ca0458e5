//! `TcpListener`, with std's names and behaviour.

use super::addr::ToSocketAddrs;
use super::parts::{self, Parts, Place, Places};
use super::patience::Blocking;
use super::{Host, TcpStream};
use crate::error;
use crate::runtime::Shard;
use crate::stack::{ListenerId, MtuDiscovery, Readiness, SocketId, TcpInfo, TcpOptions};
use core::fmt;
use core::iter::FusedIterator;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A TCP socket that listens, as `std::net::TcpListener`. It is closed when it and its clones are dropped; connections
/// that wait to be accepted are reset then.
pub struct TcpListener(Arc<Inner>);

struct Inner {
    parts: Parts<ListenerId>,
    /// Where the next call looks first.
    turn: AtomicUsize,
    blocking: Blocking,
    /// Dropped after its parts.
    host: Host,
}

impl TcpListener {
    /// Listens on the default host: see [`Host::set_default`] and [`Host::listen`].
    ///
    /// # Errors
    /// `NetworkDown` if there is no default host, and as [`Host::listen`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        Host::get_default()?.listen(addr)
    }

    /// The parts of a listener in all shards, which share the backlog.
    pub(super) fn parts(
        shards: &[Arc<Shard>],
        addr: SocketAddr,
        backlog: usize,
        options: &TcpOptions,
    ) -> error::Result<Parts<ListenerId>> {
        let backlog = backlog.div_ceil(shards.len());
        Parts::open(shards, addr, |stack, addr| stack.tcp_listen(addr, backlog, options.clone()))
    }

    pub(super) fn new(host: &Host, parts: Parts<ListenerId>) -> TcpListener {
        let (turn, blocking) = (AtomicUsize::new(0), Blocking::default());
        TcpListener(Arc::new(Inner { parts, turn, blocking, host: host.clone() }))
    }

    /// Waits for a connection, and gives it with the peer's address.
    ///
    /// # Errors
    /// `WouldBlock` if the listener is non-blocking and there is none; `ConnectionAborted` once the host is shutting
    /// down; `NetworkDown` if its device is gone.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Inner { parts, turn, blocking, host } = &*self.0;
        let patience = blocking.patience(&blocking.read);
        let first = turn.fetch_add(1, Ordering::Relaxed);
        let (number, id, peer) = parts.wait(first, Readiness::READABLE, patience, |number, listener, core, now| {
            let (accepted, peer) = core.stack.tcp_accept(now, listener)?;
            core.adopt(SocketId::Tcp(accepted));
            let low_water = core.stack.tcp_options(accepted)?.recv_low_water;
            Ok((number, (accepted, low_water), peer))
        })?;
        let (id, low_water) = id;
        Ok((TcpStream::new(host, parts.get(number).0, id, low_water), peer))
    }

    /// An iterator that accepts connections. Unlike std's it comes to an end: when the host has ended, because every
    /// further call would fail at once. If the host did not end by a shutdown, the error is given first.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, ended: false }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.parts.look(|stack, id| stack.listener_addr(id))?)
    }

    /// Whether it is one of IPv6 and takes no IPv4: because it was told so ([`Host::listen_only_v6`]), or because it is bound
    /// to one address.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn only_v6(&self) -> io::Result<bool> {
        Ok(self.0.parts.look(|stack, id| stack.listener_is_only_v6(id))?)
    }

    /// Fails: whether a listener on `::` takes IPv4 is decided before it is bound. It is here because std has it.
    ///
    /// # Errors
    /// `InvalidInput`, always, as on Linux.
    #[deprecated(note = "it can only be decided before the listener is bound: see `Host::listen_only_v6`")]
    pub fn set_only_v6(&self, _only_v6: bool) -> io::Result<()> {
        Err(bound_already())
    }

    /// Another handle on the same listener.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener(self.0.clone()))
    }

    /// Whether [`accept`](TcpListener::accept) fails with `WouldBlock` instead of waiting. Clones share it; accepted
    /// streams do not inherit it.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.blocking.set_nonblocking(nonblocking);
        Ok(())
    }

    /// TTL of the packets of accepted connections.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn ttl(&self) -> io::Result<u32> {
        self.option(|options| options.ttl.into())
    }

    /// Sets the TTL of the packets of connections accepted from now on, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has been shut down.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = super::check_ttl(ttl)?;
        self.set(|options| options.ttl = ttl)
    }

    /// The byte with the DSCP of the packets of accepted connections.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn tos(&self) -> io::Result<u32> {
        self.option(|options| options.tos.into())
    }

    /// Sets the byte with DSCP and ECN of the packets of connections that come from now on, their SYN,ACKs included
    /// (IP_TOS, IPV6_TCLASS). The two bits of ECN are kept as zero, as [`TcpStream::set_tos`] does.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has been shut down.
    pub fn set_tos(&self, tos: u32) -> io::Result<()> {
        let tos = super::check_tos(tos)?;
        self.set(|options| options.tos = tos)
    }

    /// What accepted connections do about their path's MTU.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn mtu_discovery(&self) -> io::Result<MtuDiscovery> {
        self.option(|options| options.mtu_discovery)
    }

    /// Sets what connections that come from now on do about their path's MTU (IP_MTU_DISCOVER, IPV6_MTU_DISCOVER).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn set_mtu_discovery(&self, mtu_discovery: MtuDiscovery) -> io::Result<()> {
        self.set(|options| options.mtu_discovery = mtu_discovery)
    }

    /// Accepts only connections that come in by the interface `name`, and has what is sent on them leave by it
    /// (SO_BINDTODEVICE); none is whichever.
    ///
    /// # Errors
    /// ENODEV if there is no such interface; or if the host has been shut down.
    pub fn bind_device(&self, name: Option<&str>) -> io::Result<()> {
        Ok(self.0.parts.act(|stack, id| {
            let number = name.map_or(Ok(0), |name| stack.interface_named(name))?;
            stack.listener_options(id)?.interface = number as u8;
            Ok(())
        })?)
    }

    pub(super) fn option<T>(&self, get: impl FnOnce(&TcpOptions) -> T) -> io::Result<T> {
        Ok(self.0.parts.look(|stack, id| Ok(get(stack.listener_options(id)?)))?)
    }

    pub(super) fn set(&self, change: impl Fn(&mut TcpOptions)) -> io::Result<()> {
        Ok(self.0.parts.act(|stack, id| {
            change(stack.listener_options(id)?);
            Ok(())
        })?)
    }

    /// The pending error: a listener never has one.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    /// Its numbers (TCP_INFO): those who wait to be accepted are its receive queue, and how many may is its send queue.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn info(&self) -> io::Result<TcpInfo> {
        let mut sum = self.0.parts.look(|stack, id| stack.listener_info(id))?;
        for (shard, id) in self.0.parts.iter().skip(1) {
            let info = shard.look(|stack| stack.listener_info(id))?;
            sum.recv_queue += info.recv_queue;
            sum.send_queue += info.send_queue;
        }
        Ok(sum)
    }

    /// What it is ready for: readable means that a connection can be accepted.
    pub fn readiness(&self) -> Readiness {
        parts::readiness(&self.places())
    }

    /// The number of the part that the next call is to look into first.
    #[cfg(feature = "tokio")]
    pub(super) fn turn(&self) -> usize {
        self.0.turn.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn blocking(&self) -> &Blocking {
        &self.0.blocking
    }

    pub(super) fn places(&self) -> Places<'_> {
        let place = |(shard, id)| Place { shard, id: SocketId::Listener(id), home: true };
        self.0.parts.iter().map(place).collect()
    }

    /// The queue whose connections it accepts, if it was made by [`Host::listen_on_each`].
    pub fn queue(&self) -> Option<usize> {
        (self.0.host.queues() > self.0.parts.len()).then(|| self.0.parts.get(0).0.number())
    }

    /// The host it belongs to.
    pub fn host(&self) -> &Host {
        &self.0.host
    }
}

/// It is too late for IPV6_V6ONLY.
pub(super) fn bound_already() -> io::Error {
    super::error::invalid("IPV6_V6ONLY cannot be changed once a socket is bound")
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::show(f, "TcpListener", &[("addr", self.local_addr())])
    }
}

/// Accepts connections for ever, or until the host ends. See [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
    ended: bool,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        if self.ended {
            return None;
        }
        let accepted = self.listener.accept();
        if let Err(error) = &accepted {
            // A listener's own connections never fail it: these two are the host's.
            let shut_down = error.kind() == io::ErrorKind::ConnectionAborted;
            self.ended = shut_down || error.kind() == io::ErrorKind::NetworkDown;
            if shut_down {
                return None;
            }
        }
        Some(accepted.map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

impl<'a> IntoIterator for &'a TcpListener {
    type Item = io::Result<TcpStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}
