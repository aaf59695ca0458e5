//! Sockets for tasks: what the asynchronous sockets are made of. A call tries, and lists the task in the same hold of the
//! lock in which there was nothing.

use super::Host;
use super::parts::{self, Place, Places};
use super::tcp_stream::{LARGE, SMALL};
use super::udp::to_connected;
use super::{SynGate, SynRequest, TcpListener, TcpStream, UdpFlow, UdpGate, UdpSocket};
use crate::buf::{CHUNK_CAPACITY, Chunk, Slice, Slices};
use crate::error::{self, Error};
use crate::runtime::{Patience, Seat};
use crate::stack::{Readiness, RecvMsg, SendMsg, SocketId, TcpId, UdpId};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};
use std::net::SocketAddr;

/// A call of one socket as a future: it has a seat of its own, so that any number of them wait for the same, and leaves it
/// when it is dropped.
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Seated<'a, F> {
    places: Places<'a>,
    poll: F,
    /// Since it first had to wait.
    seat: Option<Seat>,
}

impl<'a, F> Seated<'a, F> {
    fn new(places: Places<'a>, poll: F) -> Seated<'a, F> {
        Seated { places, poll, seat: None }
    }
}

impl<T, F: FnMut(&mut Context<'_>, Seat) -> Poll<T> + Unpin> Future for Seated<'_, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let seat = *self.seat.get_or_insert_with(Seat::own);
        let polled = (self.poll)(cx, seat);
        if polled.is_ready() && self.places.len() == 1 {
            self.seat = None; // what is ready leaves its seat there
        }
        polled
    }
}

impl<F> Drop for Seated<'_, F> {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.places.iter().for_each(|place| place.shard.vacate(place.id, seat));
        }
    }
}

macro_rules! seated {
    ($($socket:ident),*) => {$(
        impl $socket {
            /// `poll`, which waits for this socket alone, as a future.
            pub(crate) fn seated<T, F>(&self, poll: F) -> Seated<'_, F>
            where
                F: FnMut(&mut Context<'_>, Seat) -> Poll<T> + Unpin,
            {
                Seated::new(self.places(), poll)
            }

            /// As [`poll_ready`]($socket::poll_ready), in `seat`.
            pub(crate) fn poll_ready_in(
                &self,
                cx: &mut Context<'_>,
                seat: Seat,
                interest: Readiness,
            ) -> Poll<io::Result<Readiness>> {
                let ready = parts::poll_wait(&self.places(), 0, cx, seat, interest, |place, core, _| {
                    place.ready(core, interest)
                });
                ready.map_err(io::Error::from)
            }
        }
    )*};
}

seated!(TcpListener, TcpStream, UdpSocket, SynGate, UdpGate);

impl SynGate {
    /// As [`accept`](SynGate::accept), in `seat`.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>, seat: Seat) -> Poll<io::Result<SynRequest>> {
        let (number, request) = ready!(self.acceptor().poll_accept(cx, seat, SynGate::take))?;
        Poll::Ready(Ok(self.given(number, request)))
    }
}

impl UdpGate {
    /// As [`accept`](UdpGate::accept), in `seat`.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>, seat: Seat) -> Poll<io::Result<UdpFlow>> {
        let (number, flow) = ready!(self.acceptor().poll_accept(cx, seat, UdpGate::take))?;
        Poll::Ready(self.given(number, flow))
    }
}

impl TcpListener {
    /// As [`accept`](TcpListener::accept), in `seat`, of a stream that does not block.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>, seat: Seat) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let (number, taken) = ready!(self.acceptor().poll_accept(cx, seat, TcpListener::take))?;
        let (stream, peer) = self.given(number, taken);
        stream.set_nonblocking(true)?;
        Poll::Ready(Ok((stream, peer)))
    }
}

impl TcpStream {
    /// Begins to connect to `remote`, from `local` if that is said.
    pub(crate) fn connecting(host: &Host, local: Option<SocketAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::begin(host, local, remote, None)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// Waits until it is connected.
    pub(crate) fn poll_connected(&self, cx: &mut Context<'_>, seat: Seat) -> Poll<io::Result<()>> {
        let place = &self.places()[0];
        let connected = place.shard.poll_wait(cx, seat, place.id, Readiness::WRITABLE, |core, _| {
            TcpStream::check_connected(&mut core.stack, tcp(place)?)
        });
        connected.map_err(io::Error::from)
    }

    /// Takes at most `max` bytes of what was received, as they lie in memory; none are the end.
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>, seat: Seat, max: usize) -> Poll<io::Result<Slices>> {
        let place = &self.places()[0];
        let taken = place
            .shard
            .poll_wait(cx, seat, place.id, Readiness::READABLE, |core, now| core.stack.tcp_pop(now, tcp(place)?, max));
        taken.map_err(io::Error::from)
    }

    /// As [`poll_recv`](TcpStream::poll_recv), if there is something.
    pub(crate) fn try_recv(&self, max: usize) -> io::Result<Slices> {
        Ok(self.wait(Readiness::READABLE, Patience::None, |stack, now, id| stack.tcp_pop(now, id, max))?)
    }

    /// Reads without taking.
    pub(crate) fn poll_peek(&self, cx: &mut Context<'_>, seat: Seat, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let place = &self.places()[0];
        let peeked = place
            .shard
            .poll_wait(cx, seat, place.id, Readiness::READABLE, |core, _| core.stack.tcp_peek(tcp(place)?, buf));
        peeked.map_err(io::Error::from)
    }

    /// Sends what there is room for of `bufs`, at most 64 KiB, and says how much that was.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, seat: Seat, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let place = &self.places()[0];
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total > SMALL {
            // Copied without the lock, and no more than there is room for.
            let room = ready!(place.shard.poll_wait(cx, seat, place.id, Readiness::WRITABLE, |core, _| {
                core.stack.room_to_send(tcp(place)?)
            }))?;
            if let Some(slice) = gather(place, bufs, room.min(total).min(LARGE)) {
                let sent = place.shard.poll_wait(cx, seat, place.id, Readiness::WRITABLE, |core, now| {
                    core.stack.tcp_push(now, tcp(place)?, slice.clone())
                });
                return sent.map_err(io::Error::from);
            }
        }
        // A little, or all that there is memory for.
        let mut copy = Vec::new();
        let bytes = match bufs {
            [buf] => &buf[..buf.len().min(SMALL)],
            _ => {
                bufs.iter().for_each(|buf| copy.extend_from_slice(&buf[..buf.len().min(SMALL - copy.len())]));
                &copy
            }
        };
        let sent = place.shard.poll_wait(cx, seat, place.id, Readiness::WRITABLE, |core, now| {
            core.stack.tcp_send(now, tcp(place)?, bytes)
        });
        sent.map_err(io::Error::from)
    }
}

fn tcp(place: &Place<'_>) -> error::Result<TcpId> {
    if let SocketId::Tcp(id) = place.id { Ok(id) } else { Err(Error::BadHandle) }
}

fn udp(place: &Place<'_>) -> error::Result<UdpId> {
    if let SocketId::Udp(id) = place.id { Ok(id) } else { Err(Error::BadHandle) }
}

/// A copy of the first `n` bytes of `bufs`, if there is memory for it.
fn gather(place: &Place<'_>, bufs: &[IoSlice<'_>], n: usize) -> Option<Slice> {
    let mut chunk = if n * 2 < CHUNK_CAPACITY { Chunk::with_capacity(n) } else { place.shard.pool().try_take()? };
    for buf in bufs {
        let rest = n - chunk.len();
        chunk.append(&buf[..buf.len().min(rest)]);
    }
    Some(chunk.freeze())
}

impl UdpSocket {
    /// Receives a datagram, or with `peek` looks at it.
    pub(crate) fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        seat: Seat,
        buf: &mut [u8],
        peek: bool,
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let places = self.places();
        let first = self.favourite().first(places.len());
        let received = parts::poll_wait(&places, first, cx, seat, Readiness::READABLE, |place, core, _| {
            core.stack.udp_recv(udp(place)?, buf, peek)
        });
        received.map_err(io::Error::from)
    }

    /// Receives a datagram as it lies in memory.
    pub(crate) fn poll_recv_chunk(&self, cx: &mut Context<'_>, seat: Seat) -> Poll<io::Result<(Slice, SocketAddr)>> {
        let places = self.places();
        let first = self.favourite().first(places.len());
        let received = parts::poll_wait(&places, first, cx, seat, Readiness::READABLE, |place, core, _| {
            core.stack.udp_recv_chunk(udp(place)?)
        });
        received.map_err(io::Error::from)
    }

    /// As [`poll_recv_chunk`](UdpSocket::poll_recv_chunk), if there is one.
    pub(crate) fn try_recv_chunk(&self) -> io::Result<(Slice, SocketAddr)> {
        Ok(self.receiving_with(Some(Patience::None), |stack, id| stack.udp_recv_chunk(id))?)
    }

    /// Receives a datagram, with all that came with it.
    pub(crate) fn poll_recv_msg(&self, cx: &mut Context<'_>, seat: Seat, buf: &mut [u8]) -> Poll<io::Result<RecvMsg>> {
        let places = self.places();
        let first = self.favourite().first(places.len());
        let received = parts::poll_wait(&places, first, cx, seat, Readiness::READABLE, |place, core, _| {
            core.stack.udp_recv_msg(udp(place)?, buf, false)
        });
        received.map_err(io::Error::from)
    }

    /// Sends what `message` says.
    pub(crate) fn poll_send_msg(
        &self,
        cx: &mut Context<'_>,
        seat: Seat,
        message: &SendMsg<'_>,
    ) -> Poll<io::Result<usize>> {
        let home = self.home();
        let sent = parts::poll_wait(&home, 0, cx, seat, Readiness::WRITABLE, |place, core, now| {
            core.stack.udp_send_msg(now, udp(place)?, message)
        });
        sent.map_err(to_connected)
    }

    /// Sends a datagram, to the connected peer if none is said.
    pub(crate) fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        seat: Seat,
        buf: &[u8],
        to: Option<SocketAddr>,
    ) -> Poll<io::Result<usize>> {
        let home = self.home();
        let sent = parts::poll_wait(&home, 0, cx, seat, Readiness::WRITABLE, |place, core, now| {
            core.stack.udp_send(now, udp(place)?, buf, to)
        });
        sent.map_err(|error| if to.is_none() { to_connected(error) } else { error.into() })
    }
}
