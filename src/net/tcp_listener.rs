//! `TcpListener`, with std's names and behaviour.

use super::addr::ToSocketAddrs;
use super::patience::Blocking;
use super::{Host, TcpStream};
use crate::error;
use crate::stack::{ListenerId, Readiness, SocketId};
use core::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A TCP socket that listens, as `std::net::TcpListener`. It is closed when it and its clones are dropped; connections
/// that wait to be accepted are reset then.
pub struct TcpListener(Arc<Inner>);

struct Inner {
    host: Host,
    id: ListenerId,
    blocking: Blocking,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.host.shard().act_finally(|core, now| {
            core.disown(SocketId::Listener(self.id));
            // An error means that the host's shutdown has closed it.
            let _ = core.stack.listener_close(now, self.id);
        });
    }
}

impl TcpListener {
    /// Listens on the default host: see [`Host::set_default`] and [`Host::listen`].
    ///
    /// # Errors
    /// `NetworkDown` if there is no default host, and as [`Host::listen`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        Host::get_default()?.listen(addr)
    }

    pub(super) fn open(host: &Host, addr: SocketAddr, backlog: usize) -> error::Result<TcpListener> {
        let id = host.shard().act(|core, _| {
            core.check_open()?;
            let options = core.stack.default_tcp_options();
            let id = core.stack.tcp_listen(addr, backlog, options)?;
            core.adopt(SocketId::Listener(id));
            Ok(id)
        })?;
        Ok(TcpListener(Arc::new(Inner { host: host.clone(), id, blocking: Blocking::default() })))
    }

    /// Waits for a connection, and gives it with the peer's address.
    ///
    /// # Errors
    /// `WouldBlock` if the listener is non-blocking and there is none; `ConnectionAborted` once the host is shutting
    /// down; `NetworkDown` if its device is gone.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let Inner { host, id, blocking } = &*self.0;
        let patience = blocking.patience(&blocking.read);
        let (id, peer) = host.shard().wait(SocketId::Listener(*id), Readiness::READABLE, patience, |core, now| {
            let (accepted, peer) = core.stack.tcp_accept(now, *id)?;
            core.adopt(SocketId::Tcp(accepted));
            Ok((accepted, peer))
        })?;
        Ok((TcpStream::new(host, id), peer))
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
        Ok(self.0.host.shard().look(|stack| stack.listener_addr(self.0.id))?)
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
        Ok(self.0.host.shard().look(|stack| Ok(stack.listener_options(self.0.id)?.ttl.into()))?)
    }

    /// Sets the TTL of the packets of connections accepted from now on, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has been shut down.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = super::check_ttl(ttl)?;
        Ok(self.0.host.shard().act(|core, _| {
            core.stack.listener_options(self.0.id)?.ttl = ttl;
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

    /// What it is ready for: readable means that a connection can be accepted.
    pub fn readiness(&self) -> Readiness {
        self.0.host.readiness(SocketId::Listener(self.0.id))
    }

    pub(super) fn socket(&self) -> SocketId {
        SocketId::Listener(self.0.id)
    }

    /// The host it belongs to.
    pub fn host(&self) -> &Host {
        &self.0.host
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("addr", &self.local_addr().ok()).finish()
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

impl<'a> IntoIterator for &'a TcpListener {
    type Item = io::Result<TcpStream>;
    type IntoIter = Incoming<'a>;

    fn into_iter(self) -> Incoming<'a> {
        self.incoming()
    }
}
