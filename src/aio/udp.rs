//! `UdpSocket`, with tokio's names and behaviour.

use super::ready::socket;
use crate::net::{self, Host, Interest, Readiness, ToSocketAddrs};
use crate::runtime::Seat;
use bytes::BufMut;
use core::task::{Context, Poll, ready};
use std::io;
use std::net::SocketAddr;
use tokio::io::ReadBuf;

/// A UDP socket, as `tokio::net::UdpSocket`. It is closed when it is dropped.
///
/// Of a datagram that does not fit into the buffer, the rest is lost.
pub struct UdpSocket(net::UdpSocket);

socket!(UdpSocket, net::UdpSocket);

impl UdpSocket {
    /// A socket of the default host: see [`Host::set_default`] and [`Host::bind_udp`].
    ///
    /// # Errors
    /// `NetworkDown` if there is no default host, and as [`Host::bind_udp`].
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        UdpSocket::bind_on(&Host::get_default()?, addr).await
    }

    /// A socket of `host`, as [`Host::bind_udp`].
    ///
    /// # Errors
    /// As [`Host::bind_udp`].
    pub async fn bind_on(host: &Host, addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        UdpSocket::from_net(host.bind_udp(addr)?)
    }

    /// Sets the peer to the first of `addr` that can be one: only its datagrams are received from now on.
    ///
    /// # Errors
    /// As [`net::UdpSocket::connect`].
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        self.0.connect(&*super::names::addresses(self.0.host(), addr).await?)
    }

    /// Waits until there is room for a datagram.
    ///
    /// # Errors
    /// If the host has ended.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(tokio::io::Interest::WRITABLE).await.map(drop)
    }

    /// As [`readable`](UdpSocket::readable). The last task that polls or receives is the one that is woken.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        super::with_budget(cx, |cx| self.0.poll_ready(cx, Interest::READABLE)).map_ok(drop)
    }

    /// As [`writable`](UdpSocket::writable). The last task that polls or sends is the one that is woken.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        super::with_budget(cx, |cx| self.0.poll_ready(cx, Interest::WRITABLE)).map_ok(drop)
    }

    // ---- sending ----

    async fn send_datagram(&self, buf: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        let poll = |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| self.0.poll_send_to(cx, seat, buf, to));
        self.0.seated(poll).await
    }

    fn poll_datagram(&self, cx: &mut Context<'_>, buf: &[u8], to: Option<SocketAddr>) -> Poll<io::Result<usize>> {
        super::with_budget(cx, |cx| self.0.poll_send_to(cx, Seat::Shared, buf, to))
    }

    /// Sends one datagram to the first of `addr`, waiting for room, and gives its length.
    ///
    /// # Errors
    /// As [`net::UdpSocket::send_to`].
    pub async fn send_to(&self, buf: &[u8], addr: impl ToSocketAddrs) -> io::Result<usize> {
        let to = super::names::addresses(self.0.host(), addr).await?.into_iter().next();
        let to = to.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to"))?;
        self.send_datagram(buf, Some(to)).await
    }

    /// Sends one datagram to the connected peer, waiting for room.
    ///
    /// # Errors
    /// As [`net::UdpSocket::send`].
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.send_datagram(buf, None).await
    }

    /// As [`send_to`](UdpSocket::send_to). The last task that polls is the one that is woken.
    ///
    /// # Errors
    /// As [`net::UdpSocket::send_to`].
    pub fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.poll_datagram(cx, buf, Some(to))
    }

    /// As [`send`](UdpSocket::send). The last task that polls is the one that is woken.
    ///
    /// # Errors
    /// As [`net::UdpSocket::send`].
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_datagram(cx, buf, None)
    }

    /// As [`send_to`](UdpSocket::send_to), if there is room.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and as [`net::UdpSocket::send_to`].
    pub fn try_send_to(&self, buf: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.0.send_to(buf, to)
    }

    /// As [`send`](UdpSocket::send), if there is room.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and as [`net::UdpSocket::send`].
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.0.send(buf)
    }

    // ---- receiving ----

    async fn receive(&self, buf: &mut [u8], peek: bool) -> io::Result<(usize, SocketAddr)> {
        let poll = |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| self.0.poll_recv_from(cx, seat, buf, peek));
        self.0.seated(poll).await
    }

    fn poll_receive(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, peek: bool) -> Poll<io::Result<SocketAddr>> {
        let space = buf.initialize_unfilled();
        let received = super::with_budget(cx, |cx| self.0.poll_recv_from(cx, Seat::Shared, space, peek));
        let (n, from) = ready!(received)?;
        buf.advance(n);
        Poll::Ready(Ok(from))
    }

    /// Waits for a datagram and gives its length and source.
    ///
    /// # Errors
    /// Once a pending error, as [`net::UdpSocket::recv_from`]; or if the host has ended.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buf, false).await
    }

    /// As [`recv_from`](UdpSocket::recv_from), without the source.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(buf, false).await?.0)
    }

    /// As [`recv_from`](UdpSocket::recv_from), into the free room that `buf` has in one piece, which need not be
    /// initialized.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub async fn recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
        let poll = |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| self.0.poll_recv_chunk(cx, seat));
        let (data, from) = self.0.seated(poll).await?;
        Ok((put(buf, &data), from))
    }

    /// As [`recv_buf_from`](UdpSocket::recv_buf_from), without the source.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub async fn recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        Ok(self.recv_buf_from(buf).await?.0)
    }

    /// As [`recv_from`](UdpSocket::recv_from), but the datagram stays.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive(buf, true).await
    }

    /// As [`peek_from`](UdpSocket::peek_from), without the source.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive(buf, true).await?.0)
    }

    /// As [`recv_from`](UdpSocket::recv_from). The last task that polls is the one that is woken.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn poll_recv_from(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        self.poll_receive(cx, buf, false)
    }

    /// As [`recv`](UdpSocket::recv). The last task that polls is the one that is woken.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_receive(cx, buf, false).map_ok(drop)
    }

    /// As [`peek_from`](UdpSocket::peek_from). The last task that polls is the one that is woken.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn poll_peek_from(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<SocketAddr>> {
        self.poll_receive(cx, buf, true)
    }

    /// As [`recv_from`](UdpSocket::recv_from), if a datagram is there.
    ///
    /// # Errors
    /// `WouldBlock` if none is, and as [`recv_from`](UdpSocket::recv_from).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.recv_from(buf)
    }

    /// As [`recv`](UdpSocket::recv), if a datagram is there.
    ///
    /// # Errors
    /// `WouldBlock` if none is, and as [`recv_from`](UdpSocket::recv_from).
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buf)
    }

    /// As [`recv_buf_from`](UdpSocket::recv_buf_from), if a datagram is there.
    ///
    /// # Errors
    /// `WouldBlock` if none is, and as [`recv_from`](UdpSocket::recv_from).
    pub fn try_recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
        let (data, from) = self.0.try_recv_chunk()?;
        Ok((put(buf, &data), from))
    }

    /// As [`recv_buf`](UdpSocket::recv_buf), if a datagram is there.
    ///
    /// # Errors
    /// `WouldBlock` if none is, and as [`recv_from`](UdpSocket::recv_from).
    pub fn try_recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        Ok(self.try_recv_buf_from(buf)?.0)
    }

    /// As [`peek_from`](UdpSocket::peek_from), if a datagram is there.
    ///
    /// # Errors
    /// `WouldBlock` if none is, and as [`recv_from`](UdpSocket::recv_from).
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.0.peek_from(buf)
    }

    /// As [`peek`](UdpSocket::peek), if a datagram is there.
    ///
    /// # Errors
    /// `WouldBlock` if none is, and as [`recv_from`](UdpSocket::recv_from).
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.peek(buf)
    }

    /// Waits for a datagram, which stays, and says whose it is.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub async fn peek_sender(&self) -> io::Result<SocketAddr> {
        Ok(self.receive(&mut [], true).await?.1)
    }

    /// As [`peek_sender`](UdpSocket::peek_sender), if a datagram is there.
    ///
    /// # Errors
    /// `WouldBlock` if none is, and as [`recv_from`](UdpSocket::recv_from).
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        Ok(self.0.peek_from(&mut [])?.1)
    }

    // ---- the rest ----

    /// The connected peer.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Our address.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Takes the pending error (SO_ERROR).
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    /// Whether sending to broadcast addresses is allowed.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.0.broadcast()
    }

    /// Allows sending to broadcast addresses (SO_BROADCAST), or does not.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.0.set_broadcast(broadcast)
    }

    /// The TTL of the datagrams.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.ttl()
    }

    /// Sets the TTL of the datagrams, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has ended.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set_ttl(ttl)
    }
}

/// Puts as much of `data` into `buf` as it has room for in one piece, and says how much that was.
fn put(buf: &mut impl BufMut, data: &[u8]) -> usize {
    let n = data.len().min(buf.chunk_mut().len());
    buf.put_slice(&data[..n]);
    n
}
