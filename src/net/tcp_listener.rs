//! `TcpListener`, with std's names and behaviour.

use super::acceptor::{Accepting, Acceptor, accepts};
use super::addr::ToSocketAddrs;
use super::parts::Parts;
use super::patience::Blocking;
use super::sockopt::{Name, Value};
use super::{Host, TcpStream};
use crate::error;
use crate::runtime::{Core, Shard};
use crate::stack::{ListenerId, Readiness, SocketId, TcpId, TcpInfo, TcpOptions};
use crate::time::Instant;
use core::fmt;
use core::iter::FusedIterator;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A TCP socket that listens, as `std::net::TcpListener`. It is closed when it and its clones are dropped; connections
/// that wait to be accepted are reset then.
pub struct TcpListener(Arc<Acceptor<ListenerId>>);

accepts!(TcpListener);

/// A connection as it is taken from the stack: its name, the received bytes that make it readable, and whose it is.
pub(super) type Taken = (TcpId, u32, SocketAddr);

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
        TcpListener(Acceptor::new(host, parts))
    }

    /// Waits for a connection, and gives it with the peer's address.
    ///
    /// # Errors
    /// `WouldBlock` if the listener is non-blocking, or after its [time-out](TcpListener::set_read_timeout), and there is
    /// none; `ConnectionAborted` once the host is shutting down; `NetworkDown` if its device is gone.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (number, taken) = self.0.accept(TcpListener::take)?;
        Ok(self.given(number, taken))
    }

    /// Takes a connection from a part.
    pub(super) fn take(listener: ListenerId, core: &mut Core, now: Instant) -> error::Result<Taken> {
        let (accepted, peer) = core.stack.tcp_accept(now, listener)?;
        core.adopt(SocketId::Tcp(accepted));
        Ok((accepted, core.stack.tcp_options(accepted)?.recv_low_water, peer))
    }

    /// The connection that was taken from the part with this number. It has the listener's time-outs, as on Linux, which
    /// makes its socket as a copy of the listener's.
    pub(super) fn given(&self, number: usize, (id, low_water, peer): Taken) -> (TcpStream, SocketAddr) {
        let stream = TcpStream::new(&self.0.host, self.0.shard(number), id, low_water);
        stream.blocking().inherit(&self.0.blocking);
        (stream, peer)
    }

    #[cfg(feature = "tokio")]
    pub(super) fn acceptor(&self) -> &Acceptor<ListenerId> {
        &self.0
    }

    /// An iterator that accepts connections. Unlike std's it comes to an end: when the host has ended, because every
    /// further call would fail at once. If the host did not end by a shutdown, the error is given first.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, accepting: Accepting::default() }
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

    // ---- options ----

    pub(super) fn option<T>(&self, get: impl FnOnce(&TcpOptions) -> T) -> io::Result<T> {
        Ok(self.0.parts.look(|stack, id| Ok(get(stack.listener_options(id)?)))?)
    }

    /// Changes the options of all its parts.
    pub(super) fn try_set_option(&self, set: impl Fn(&mut TcpOptions) -> io::Result<()>) -> io::Result<()> {
        self.0.parts.iter().try_for_each(|(shard, id)| {
            shard.act(|core, _| {
                let known = core.stack.listener_options(id)?;
                let mut options = known.clone();
                Ok(set(&mut options).and_then(|()| {
                    options.validate()?;
                    *known = options;
                    Ok(())
                }))
            })?
        })
    }

    /// What a listener answers of its own.
    pub(super) fn own_option(&self, name: Name) -> io::Result<Option<Value>> {
        Ok(Some(match name {
            Name::TCP_INFO => Value::Info(Box::new(self.info()?)),
            Name::SO_ACCEPTCONN => Value::Flag(true),
            Name::IPV6_V6ONLY => Value::Flag(self.only_v6()?),
            _ => return Ok(None),
        }))
    }

    /// IPV6_V6ONLY by its name.
    pub(super) fn decide_v6only(&self, _only: bool) -> io::Result<()> {
        Err(bound_already())
    }

    pub(super) fn blocking(&self) -> &Blocking {
        &self.0.blocking
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

    /// The queue whose connections it accepts, if it was made by [`Host::listen_on_each`].
    pub fn queue(&self) -> Option<usize> {
        (self.0.host.queues() > self.0.parts.len()).then(|| self.0.shard(0).number())
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
    accepting: Accepting,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        let Incoming { listener, accepting } = self;
        accepting.next(|| Ok(listener.accept()?.0))
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
