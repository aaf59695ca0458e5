//! What applications take of what has come: one datagram or many, copied or as it lies in memory.

use super::socket::Socket;
use super::{BATCH_BYTES, MAX_BATCH, Sockets, named};
use crate::buf::Slice;
use crate::error::Result;
use crate::stack::{RecvMsg, UdpId};
use core::ops::DerefMut;
use std::net::SocketAddr;

impl Sockets {
    /// Takes the next datagram: copies what fits into `buf`, drops the rest of it, and tells of it. With `peek` the
    /// datagram stays. Where the socket takes several together (`gro` of its options) and does not only peek, those that
    /// continue it are taken with it, as in [`recv_segmented`](Sockets::recv_segmented).
    ///
    /// # Errors
    /// `WouldBlock`, `BadHandle`, and once a pending error.
    pub fn recv_msg(&mut self, id: UdpId, buf: &mut [u8], peek: bool) -> Result<RecvMsg> {
        let gro = self.get(id)?.options.gro;
        self.pop(id, |socket| if gro && !peek { socket.pop_run(buf) } else { socket.pop(buf, peek) })
    }

    /// Takes several datagrams, as many as there are, one for each buffer, but at most [`MAX_BATCH`]; tells of each in
    /// `messages`, and gives their number.
    ///
    /// # Errors
    /// As [`recv_msg`](Sockets::recv_msg), if there is none.
    pub fn recv_many(
        &mut self,
        id: UdpId,
        bufs: &mut [impl DerefMut<Target = [u8]>],
        messages: &mut [RecvMsg],
    ) -> Result<usize> {
        let (mut received, mut bytes) = (0, 0);
        for (buf, message) in bufs.iter_mut().zip(messages).take(MAX_BATCH) {
            if received > 0 && (bytes >= BATCH_BYTES || self.get(id)?.errors.is_pending()) {
                break;
            }
            match self.recv_msg(id, buf, false) {
                Ok(got) => *message = got,
                Err(error) if received == 0 => return Err(error),
                Err(_) => break,
            }
            received += 1;
            bytes += message.len;
        }
        Ok(received)
    }

    /// Takes the next datagram: copies what fits into `buf`, drops the rest of it, and gives the copied length and the
    /// source. With `peek` the datagram stays.
    ///
    /// # Errors
    /// `WouldBlock`, `BadHandle`, and once a pending error.
    pub fn recv(&mut self, id: UdpId, buf: &mut [u8], peek: bool) -> Result<(usize, SocketAddr)> {
        self.pop(id, |socket| socket.pop(buf, peek)).map(|got| (got.len, got.source))
    }

    /// Takes the next datagram as it lies in memory, without a copy, and gives its source with it.
    ///
    /// # Errors
    /// As [`recv`](Sockets::recv).
    pub fn recv_chunk(&mut self, id: UdpId) -> Result<(Slice, SocketAddr)> {
        self.taking(id, |socket| {
            let (data, from) = socket.pop_chunk()?;
            Ok((data, socket.shown(from)))
        })
    }

    /// Takes from a socket's queue what `act` does, with addresses as the socket knows them.
    fn pop(&mut self, id: UdpId, act: impl FnOnce(&mut Socket) -> Result<RecvMsg>) -> Result<RecvMsg> {
        self.taking(id, |socket| {
            let got = act(socket)?;
            Ok(RecvMsg { source: socket.shown(got.source), destination: socket.shown(got.destination), ..got })
        })
    }

    /// Lets `act` take from a socket's queue, and counts what is freed.
    fn taking<T>(&mut self, id: UdpId, act: impl FnOnce(&mut Socket) -> Result<T>) -> Result<T> {
        let socket = named(&mut self.slots, id)?;
        let before = socket.inbox.charged();
        let got = act(socket);
        self.memory -= before - socket.inbox.charged();
        got
    }

    /// Takes the next datagram and those behind it that continue it: from the same source, of the same length but for
    /// the last, which may be shorter, and as many as fit into `buf` whole (UDP_GRO in udp(7)). Gives the copied length,
    /// that of each datagram but the last, and the source. Of a first datagram that does not fit, the rest is lost.
    ///
    /// # Errors
    /// As [`recv`](Sockets::recv).
    pub fn recv_segmented(&mut self, id: UdpId, buf: &mut [u8]) -> Result<(usize, usize, SocketAddr)> {
        self.pop(id, |socket| socket.pop_run(buf)).map(|got| (got.len, got.segment, got.source))
    }
}
