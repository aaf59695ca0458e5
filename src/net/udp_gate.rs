//! `UdpGate`: datagrams to every address and port, as flows.

use super::acceptor::{Acceptor, accepts};
use super::parts::{EVERYWHERE, Parts, Places};
use super::{Host, UdpSocket};
use crate::error;
use crate::runtime::Core;
use crate::stack::{Readiness, SendMsg, SocketId, Stack, UdpGateId, UdpId};
use crate::time::Instant;
use core::fmt;
use smallvec::smallvec;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The gate by which datagrams come that no socket takes. What one address and port sends, wherever to, is one
/// [`UdpFlow`] (endpoint-independent mapping, RFC 4787).
///
/// Flows are bounded ([`FlowConfig`](crate::stack::FlowConfig)) and end when they are idle for too long. The gate is
/// closed when it and its clones are dropped; flows that were accepted go on.
#[derive(Clone)]
pub struct UdpGate(Arc<Acceptor<UdpGateId>>);

accepts!(UdpGate);

impl UdpGate {
    pub(super) fn open(host: &Host) -> io::Result<UdpGate> {
        let parts = Parts::open(host.shards(), EVERYWHERE, |stack, _| stack.udp_gate_open())?;
        Ok(UdpGate(Acceptor::new(host, parts)))
    }

    /// Waits for the next flow, which has a datagram to read.
    ///
    /// # Errors
    /// `WouldBlock` if the gate is non-blocking, or after its time-out, and there is none; `ConnectionAborted` once the
    /// host is shutting down; `NetworkDown` if its device is gone.
    pub fn accept(&self) -> io::Result<UdpFlow> {
        let (number, flow) = self.0.accept(UdpGate::take)?;
        self.given(number, flow)
    }

    /// Takes a flow from a part: its socket's name, and its source.
    pub(super) fn take(gate: UdpGateId, core: &mut Core, _: Instant) -> error::Result<(UdpId, SocketAddr)> {
        let (id, source) = core.stack.udp_gate_accept(gate)?;
        core.adopt(SocketId::Udp(id));
        Ok((id, source))
    }

    /// The flow that was taken from the part with this number.
    pub(super) fn given(&self, number: usize, (id, source): (UdpId, SocketAddr)) -> io::Result<UdpFlow> {
        let parts = Parts::of(smallvec![(self.0.shard(number).clone(), id)]);
        Ok(UdpFlow { socket: UdpSocket::new(&self.0.host, parts, 0)?, source })
    }

    #[cfg(feature = "tokio")]
    pub(super) fn acceptor(&self) -> &Acceptor<UdpGateId> {
        &self.0
    }

    /// How many flows nobody has accepted, and the bytes that their datagrams are charged.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn load(&self) -> io::Result<(usize, usize)> {
        self.0.load(Stack::udp_gate_load)
    }

    /// How long [`accept`](UdpGate::accept) waits, `None` being for ever; beyond it fails with `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput` if it is zero.
    pub fn set_accept_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.blocking.read.set(timeout)
    }
}

impl fmt::Debug for UdpGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpGate").field("readiness", &self.readiness()).finish()
    }
}

/// All that one address and port sends, wherever to, and the way back to it, from wherever. It ends when it is dropped, or
/// when it was idle for too long: then its calls fail with `TimedOut`, and what its source sends begins a new one.
pub struct UdpFlow {
    socket: UdpSocket,
    source: SocketAddr,
}

impl UdpFlow {
    /// Whose it is.
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// Waits for a datagram of the source, and gives its length and where it was sent to. What does not fit into `buf` is
    /// lost.
    ///
    /// # Errors
    /// `WouldBlock` (non-blocking, or after the read time-out), `TimedOut` when the flow is over, `ConnectionRefused` and
    /// the like, once, if the source has refused what was sent back.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_msg(buf).map(|message| (message.len, message.destination))
    }

    /// Sends a datagram to the source, as if `from` had: the host's own address, or any with
    /// [`any_address`](super::Builder::any_address).
    ///
    /// # Errors
    /// As [`UdpSocket::send`]; `AddrNotAvailable` if the host may not send from there, `TimedOut` when the flow is over.
    pub fn send(&self, buf: &[u8], from: SocketAddr) -> io::Result<usize> {
        self.socket.send_msg(&SendMsg { data: buf, source: Some(from), ..SendMsg::default() })
    }

    /// Its socket, for time-outs, options, and all other calls.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// What it is ready for, as poll(2) would tell.
    pub fn readiness(&self) -> Readiness {
        self.socket.readiness()
    }

    pub(super) fn places(&self) -> Places<'_> {
        self.socket.places()
    }

    /// Another handle on the same flow. All share the settings.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn try_clone(&self) -> io::Result<UdpFlow> {
        Ok(UdpFlow { socket: self.socket.try_clone()?, source: self.source })
    }

    /// The host it belongs to.
    pub fn host(&self) -> &Host {
        self.socket.host()
    }
}

impl fmt::Debug for UdpFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpFlow").field("source", &self.source).finish()
    }
}
