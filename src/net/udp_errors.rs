//! What went wrong with what a `UdpSocket` has sent: path MTU (IP_MTU_DISCOVER, IP_MTU) and the queue of errors
//! (IP_RECVERR).

use super::UdpSocket;
use crate::runtime::clock;
use crate::stack::{MtuDiscovery, SocketError, Stack};
use std::io;

impl UdpSocket {
    /// Sets what is done about the MTU of paths (IP_MTU_DISCOVER, IPV6_MTU_DISCOVER). By default a datagram that is larger
    /// than its path, as far as is known, is fragmented.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_mtu_discovery(&self, mtu_discovery: MtuDiscovery) -> io::Result<()> {
        self.set(|options| options.mtu_discovery = mtu_discovery)
    }

    /// What is done about the MTU of paths.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn mtu_discovery(&self) -> io::Result<MtuDiscovery> {
        self.option(|options| options.mtu_discovery)
    }

    /// The largest packet on the path to the connected peer, in bytes, as far as is known (IP_MTU, IPV6_MTU).
    ///
    /// # Errors
    /// `NotConnected`, or if the stack has panicked.
    pub fn mtu(&self) -> io::Result<usize> {
        Ok(self.at_home(|stack, id| stack.udp_path_mtu(clock::now(), id))?)
    }

    /// Keeps all that routers and hosts say of this socket's datagrams, for [`recv_error`](UdpSocket::recv_error)
    /// (IP_RECVERR, IPV6_RECVERR), or does not. Each also fails the next call, also of a socket without a peer.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_recv_errors(&self, recv_errors: bool) -> io::Result<()> {
        self.set(|options| options.recv_errors = recv_errors)
    }

    /// Whether such errors are kept.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn recv_errors(&self) -> io::Result<bool> {
        self.option(|options| options.recv_errors)
    }

    /// Takes the oldest error that was kept (recvmsg(2) with MSG_ERRQUEUE). It never waits; that there is one is told by
    /// [`Readiness::ERROR`](super::Readiness::ERROR).
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn recv_error(&self) -> io::Result<SocketError> {
        Ok(self.at_home(Stack::udp_recv_error)?)
    }
}
