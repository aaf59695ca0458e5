//! `TcpListener`, with tokio's names and behaviour.

use super::TcpStream;
use super::ready::socket;
use crate::net::{self, Host, Readiness, ToSocketAddrs};
use crate::runtime::Seat;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use futures_core::{FusedStream, Stream};
use std::io;
use std::net::SocketAddr;

/// A TCP socket that listens, as `tokio::net::TcpListener`. It is closed when it is dropped; connections that wait to be
/// accepted are reset then.
pub struct TcpListener(pub(super) net::TcpListener);

socket!(TcpListener, net::TcpListener);

impl TcpListener {
    /// Listens on the default host: see [`Host::set_default`] and [`Host::listen`].
    ///
    /// # Errors
    /// `NetworkDown` if there is no default host, and as [`Host::listen`].
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::bind_on(&Host::get_default()?, addr).await
    }

    /// Listens on `host`, as [`Host::listen`].
    ///
    /// # Errors
    /// As [`Host::listen`].
    pub async fn bind_on(host: &Host, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        TcpListener::from_net(host.listen(addr)?)
    }

    /// Waits for a connection, and gives it with the peer's address.
    ///
    /// # Errors
    /// `ConnectionAborted` once the host is shutting down; `NetworkDown` if its device is gone. Both are final.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let poll = |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| self.0.poll_accept(cx, seat));
        let (stream, peer) = self.0.seated(poll).await?;
        Ok((TcpStream(stream), peer))
    }

    /// As [`accept`](TcpListener::accept). The last task that polls is the one that is woken.
    ///
    /// # Errors
    /// As [`accept`](TcpListener::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let (stream, peer) = ready!(super::with_budget(cx, |cx| self.0.poll_accept(cx, Seat::Shared)))?;
        Poll::Ready(Ok((TcpStream(stream), peer)))
    }

    /// The connections as a [`Stream`], which ends when the host ends.
    pub fn incoming(self) -> Incoming {
        Incoming { listener: Some(self) }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// TTL of the packets of accepted connections.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.ttl()
    }

    /// Sets the TTL of the packets of connections accepted from now on, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has been shut down.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set_ttl(ttl)
    }
}

/// Accepts connections until the host ends: see [`TcpListener::incoming`]. If the host did not end by a shutdown, the error
/// is given first.
#[derive(Debug)]
pub struct Incoming {
    /// `None` after the end.
    listener: Option<TcpListener>,
}

impl Incoming {
    /// The listener, until the stream has ended.
    pub fn get_ref(&self) -> Option<&TcpListener> {
        self.listener.as_ref()
    }
}

impl Stream for Incoming {
    type Item = io::Result<TcpStream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<TcpStream>>> {
        let Some(listener) = &self.listener else { return Poll::Ready(None) };
        let accepted = ready!(listener.poll_accept(cx));
        Poll::Ready(match accepted {
            Ok((stream, _)) => Some(Ok(stream)),
            Err(error) => {
                // A listener's own connections never fail it: the host has ended.
                self.listener = None;
                (error.kind() != io::ErrorKind::ConnectionAborted).then_some(Err(error))
            }
        })
    }
}

impl FusedStream for Incoming {
    fn is_terminated(&self) -> bool {
        self.listener.is_none()
    }
}
