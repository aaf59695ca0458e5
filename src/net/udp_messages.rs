//! Datagrams with all that goes with them, one or many at a time.

use super::UdpSocket;
use super::udp::to_connected;
use crate::stack::{RecvMsg, SendMsg};
use std::io::{self, IoSliceMut};

impl UdpSocket {
    /// Sends what `message` says: sendmsg(2) with its control messages. Gives the number of bytes.
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to) and [`send_segmented_to`](UdpSocket::send_segmented_to); EDESTADDRREQ without a
    /// destination, `AddrNotAvailable` if the source is not the host's, `InvalidInput` if its port is not the socket's.
    pub fn send_msg(&self, message: &SendMsg<'_>) -> io::Result<usize> {
        self.sending(|stack, now, id| stack.udp_send_msg(now, id, message)).map_err(to_connected)
    }

    /// Sends several messages with little more work than for one, as sendmmsg(2), and gives how many it took: those that
    /// there was room for, and at most 64. It waits for room only if there is none at all.
    ///
    /// # Errors
    /// As [`send_msg`](UdpSocket::send_msg), of the first. What is wrong with a later one is told when that is the first.
    pub fn send_many(&self, messages: &[SendMsg<'_>]) -> io::Result<usize> {
        self.sending(|stack, now, id| stack.udp_send_many(now, id, messages)).map_err(to_connected)
    }

    /// Waits for a datagram, and tells all that came with it: recvmsg(2) with its control messages. What does not fit
    /// into `buf` is lost. With [`set_gro`](UdpSocket::set_gro) those that continue it come with it.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn recv_msg(&self, buf: &mut [u8]) -> io::Result<RecvMsg> {
        Ok(self.receiving(|stack, id| stack.udp_recv_msg(id, buf, false))?)
    }

    /// As [`recv_msg`](UdpSocket::recv_msg), but the datagram stays.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn peek_msg(&self, buf: &mut [u8]) -> io::Result<RecvMsg> {
        Ok(self.receiving(|stack, id| stack.udp_recv_msg(id, buf, true))?)
    }

    /// Waits for a datagram and takes all that have come, one for each of `bufs`, as recvmmsg(2) with MSG_WAITFORONE, but
    /// at most 64. Tells of each in `messages`, and gives their number, which is at most that of `messages` too.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn recv_many(&self, bufs: &mut [IoSliceMut<'_>], messages: &mut [RecvMsg]) -> io::Result<usize> {
        Ok(self.receiving(|stack, id| stack.udp_recv_many(id, bufs, messages))?)
    }

    /// Whether [`recv_msg`](UdpSocket::recv_msg) and [`recv_many`](UdpSocket::recv_many) take datagrams that continue one
    /// another into one buffer, as [`recv_segmented_from`](UdpSocket::recv_segmented_from) does (UDP_GRO).
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_gro(&self, gro: bool) -> io::Result<()> {
        self.set(|options| options.gro = gro)
    }

    /// Whether they do.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn gro(&self) -> io::Result<bool> {
        self.option(|options| options.gro)
    }
}
