//! The gates for tokio: who wants to connect, and flows of datagrams, with verdicts and answers that may take their time.

use super::ready::socket;
use crate::net::{self, Host, Readiness, SendMsg, SynRequest};
use crate::runtime::Seat;
use core::task::{Context, Poll};
use std::io;
use std::net::SocketAddr;

/// The gate where SYNs wait for a verdict that no listener takes, as [`net::SynGate`]. Its requests are those of
/// [`net`](crate::net), because no call on one waits:
///
/// ```no_run
/// use tokio::net::TcpStream as Upstream;
/// use tunstack::aio::{SynGate, TcpStream};
/// use tunstack::net::Host;
///
/// # async fn main_(host: Host) -> std::io::Result<()> {
/// let gate = SynGate::open(&host).await?;
/// loop {
///     let request = gate.accept().await?;
///     tokio::spawn(async move {
///         match Upstream::connect(request.destination()).await {
///             Ok(mut far) => {
///                 let mut near = TcpStream::from_net(request.accept()?)?;
///                 tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop)
///             }
///             Err(error) => request.mirror(&error),
///         }
///     });
/// }
/// # }
/// ```
pub struct SynGate(net::SynGate);

socket!(SynGate, net::SynGate);

impl SynGate {
    /// Opens the gate of `host`, as [`Host::syn_gate`].
    ///
    /// # Errors
    /// As [`Host::syn_gate`].
    pub async fn open(host: &Host) -> io::Result<SynGate> {
        SynGate::from_net(host.syn_gate()?)
    }

    /// Waits for the next request. A request that is dropped without a verdict is reset.
    ///
    /// # Errors
    /// `ConnectionAborted` once the host is shutting down; `NetworkDown` if its device is gone. Both are final.
    pub async fn accept(&self) -> io::Result<SynRequest> {
        let poll = |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| self.0.poll_accept(cx, seat));
        self.0.seated(poll).await
    }

    /// As [`accept`](SynGate::accept). The last task that polls is the one that is woken.
    ///
    /// # Errors
    /// As [`accept`](SynGate::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<SynRequest>> {
        super::with_budget(cx, |cx| self.0.poll_accept(cx, Seat::Shared))
    }
}

/// The gate by which flows of datagrams come that no socket takes, as [`net::UdpGate`].
pub struct UdpGate(net::UdpGate);

socket!(UdpGate, net::UdpGate);

impl UdpGate {
    /// Opens the gate of `host`, as [`Host::udp_gate`].
    ///
    /// # Errors
    /// As [`Host::udp_gate`].
    pub async fn open(host: &Host) -> io::Result<UdpGate> {
        UdpGate::from_net(host.udp_gate()?)
    }

    /// Waits for the next flow, which has a datagram to read.
    ///
    /// # Errors
    /// As [`SynGate::accept`].
    pub async fn accept(&self) -> io::Result<UdpFlow> {
        let poll = |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| self.0.poll_accept(cx, seat));
        UdpFlow::from_net(self.0.seated(poll).await?)
    }
}

/// What one address and port sends, and the way back to it, as [`net::UdpFlow`].
#[derive(Debug)]
pub struct UdpFlow(net::UdpFlow);

impl UdpFlow {
    /// Makes an asynchronous flow of `flow`, and all its clones non-blocking.
    ///
    /// # Errors
    /// None; the signature is tokio's `from_std`.
    pub fn from_net(flow: net::UdpFlow) -> io::Result<UdpFlow> {
        flow.socket().set_nonblocking(true)?;
        Ok(UdpFlow(flow))
    }

    /// Whose it is.
    pub fn source(&self) -> SocketAddr {
        self.0.source()
    }

    /// Waits for a datagram of the source, and gives its length and where it was sent to.
    ///
    /// # Errors
    /// As [`net::UdpFlow::recv`], but `WouldBlock`.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let socket = self.0.socket();
        let mut poll = |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| socket.poll_recv_msg(cx, seat, buf));
        let message = socket.seated(&mut poll).await?;
        Ok((message.len, message.destination))
    }

    /// Sends a datagram to the source as if `from` had, waiting for room.
    ///
    /// # Errors
    /// As [`net::UdpFlow::send`], but `WouldBlock`.
    pub async fn send(&self, buf: &[u8], from: SocketAddr) -> io::Result<usize> {
        let (socket, message) = (self.0.socket(), SendMsg { data: buf, source: Some(from), ..SendMsg::default() });
        let poll = |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| socket.poll_send_msg(cx, seat, &message));
        socket.seated(poll).await
    }
}

impl AsRef<net::UdpFlow> for UdpFlow {
    fn as_ref(&self) -> &net::UdpFlow {
        &self.0
    }
}
