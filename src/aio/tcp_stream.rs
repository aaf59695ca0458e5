//! `TcpStream`, with tokio's names and behaviour.

use super::ready::socket;
use super::split_owned::{self, OwnedReadHalf, OwnedWriteHalf};
use super::{ReadHalf, WriteHalf};
use crate::net::{self, Host, Interest, Readiness, ToSocketAddrs};
use crate::runtime::Seat;
use bytes::BufMut;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A TCP connection, as `tokio::net::TcpStream`. It is closed when it is dropped: with unread data or a linger of zero by
/// RST, else by FIN behind what was written, in the background.
pub struct TcpStream(pub(super) net::TcpStream);

socket!(TcpStream, net::TcpStream);

impl TcpStream {
    /// Connects from the default host: see [`Host::set_default`] and [`Host::connect`].
    ///
    /// # Errors
    /// `NetworkDown` if there is no default host, and as [`Host::connect`].
    pub async fn connect(addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        TcpStream::connect_on(&Host::get_default()?, addr).await
    }

    /// Connects from `host` to the first of `addr` that answers. Dropping the future gives the attempt up.
    ///
    /// # Errors
    /// As [`Host::connect`].
    pub async fn connect_on(host: &Host, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let mut last = None;
        for addr in super::names::addresses(host, addr).await? {
            match TcpStream::open(host, None, addr).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "could not resolve to any addresses")))
    }

    /// Connects to `remote` from the address and port `local` of `host`; port 0 picks one.
    ///
    /// # Errors
    /// As [`Host::connect_from`].
    pub async fn connect_from(host: &Host, local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::open(host, Some(local), remote).await
    }

    async fn open(host: &Host, local: Option<SocketAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
        let stream = net::TcpStream::connecting(host, local, remote)?;
        stream.seated(|cx: &mut Context<'_>, seat| stream.poll_connected(cx, seat)).await?;
        Ok(TcpStream(stream))
    }

    /// Waits until there is room to write, or until writing fails.
    ///
    /// # Errors
    /// If the host has ended.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(tokio::io::Interest::WRITABLE).await.map(drop)
    }

    /// As [`readable`](TcpStream::readable). The last task that polls or reads is the one that is woken.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready_for(cx, Interest::READABLE)
    }

    /// As [`writable`](TcpStream::writable). The last task that polls or writes is the one that is woken.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready_for(cx, Interest::WRITABLE)
    }

    fn poll_ready_for(&self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        super::with_budget(cx, |cx| self.0.poll_ready(cx, interest)).map_ok(drop)
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is, and as reading.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buf)
    }

    /// As [`try_read`](TcpStream::try_read), into the free room that `buf` has in one piece, which need not be initialized.
    /// Without any, it reads nothing.
    ///
    /// # Errors
    /// As [`try_read`](TcpStream::try_read).
    pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        let room = buf.chunk_mut().len();
        if room == 0 {
            return Ok(0);
        }
        let received = self.0.try_recv(room)?;
        received.iter().for_each(|slice| buf.put_slice(slice));
        Ok(received.iter().map(|slice| slice.len()).sum())
    }

    /// As [`try_read`](TcpStream::try_read), into one buffer after the other.
    ///
    /// # Errors
    /// As [`try_read`](TcpStream::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&self.0).read_vectored(bufs)
    }

    /// Writes what there is room for.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and as writing.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        (&self.0).write(buf)
    }

    /// As [`try_write`](TcpStream::try_write), of one buffer after the other.
    ///
    /// # Errors
    /// As [`try_write`](TcpStream::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(bufs)
    }

    /// Waits for data and reads without taking: the same bytes will be read again.
    ///
    /// # Errors
    /// As reading.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let poll = |cx: &mut Context<'_>, seat| super::with_budget(cx, |cx| self.0.poll_peek(cx, seat, buf));
        self.0.seated(poll).await
    }

    /// As [`peek`](TcpStream::peek). The last task that polls or reads is the one that is woken.
    ///
    /// # Errors
    /// As reading.
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let space = buf.initialize_unfilled();
        let n = ready!(super::with_budget(cx, |cx| self.0.poll_peek(cx, Seat::Shared, space)))?;
        buf.advance(n);
        Poll::Ready(Ok(n))
    }

    pub(super) fn poll_read_shared(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let received = ready!(super::with_budget(cx, |cx| self.0.poll_recv(cx, Seat::Shared, buf.remaining())))?;
        // The only copy, without the stack's lock, and into memory that need not be initialized.
        received.iter().for_each(|slice| buf.put_slice(slice));
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_write_shared(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        super::with_budget(cx, |cx| self.0.poll_send(cx, Seat::Shared, bufs))
    }

    /// Sends FIN. As with tokio, that the connection is gone already is no error.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        match self.0.shutdown(Shutdown::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// The two directions, for one task or for several in one scope.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// The two directions, for two tasks. Dropping the half that writes sends FIN.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split_owned::split(self)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected` if the connection has ended by an error.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Our address.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Takes the pending error (SO_ERROR).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    /// Whether small segments are sent at once (TCP_NODELAY).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.nodelay()
    }

    /// As [`net::TcpStream::set_nodelay`].
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set_nodelay(nodelay)
    }

    /// Whether all that is received is acknowledged at once (TCP_QUICKACK).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn quickack(&self) -> io::Result<bool> {
        self.0.quick_ack()
    }

    /// As [`net::TcpStream::set_quick_ack`].
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        self.0.set_quick_ack(quickack)
    }

    /// What was set by [`set_linger`](TcpStream::set_linger).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.0.linger()
    }

    /// With zero, dropping the stream resets the connection. Any other time is as none: what was written is delivered in the
    /// background, for a task must not wait in a drop.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.0.set_linger(linger)
    }

    /// Has a drop reset the connection: a linger of zero.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.0.set_linger(Some(Duration::ZERO))
    }

    /// The TTL of the connection's packets.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn ttl(&self) -> io::Result<u32> {
        self.0.ttl()
    }

    /// Sets the TTL of the connection's packets, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has ended.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.0.set_ttl(ttl)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_read_shared(cx, buf)
    }
}

/// What is written is sent at once: there is nothing to flush.
impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_shared(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_shared(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown_write())
    }
}
