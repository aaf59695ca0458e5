//! What went wrong with what a UDP socket has sent.

use super::{Sockets, bound, named};
use crate::error::{Error, Result};
use crate::icmp::{ErrorKind, Report};
use crate::ip::socket_errors::Keeps;
use crate::ip::{self, Ip, Way};
use crate::stack::{MtuDiscovery, SendMsg, SocketError, UdpId};
use crate::stats::{Disposition, DropReason};
use crate::time::Instant;
use crate::wire::udp::HEADER_LEN;

impl Sockets {
    /// Takes an ICMP error about a UDP datagram. It concerns a socket only if that is connected to where the datagram
    /// went, or has sent there lately: other errors are easily forged. Says whose calls fail now.
    pub fn on_icmp(&mut self, ip: &mut Ip, now: Instant, report: &Report) -> (Disposition, Option<UdpId>) {
        let unmatched = (Disposition::Dropped(DropReason::IcmpUnmatched), None);
        let (local, remote) = (report.local, report.remote);
        let Some((id, socket)) = bound(&self.ports, &self.flows, &mut self.slots, local, remote, report.interface)
        else {
            return unmatched;
        };
        let connected = socket.peer == Some(report.remote);
        if !connected && (socket.peer.is_some() || !socket.errors.has_sent_to(report.remote)) {
            return unmatched;
        }
        if let ErrorKind::PacketTooBig { mtu } = report.kind {
            if !socket.options.mtu_discovery.believes_routers() {
                return (Disposition::Dropped(DropReason::IcmpIgnored), None);
            }
            let (local, remote) = (report.local.ip(), report.remote.ip());
            let way = Way::new(local, remote, socket.interface_for(remote));
            if ip.on_packet_too_big(now, way, mtu, report.packet_len).is_none() {
                return unmatched;
            }
        }
        let said = SocketError::new(report.kind, report.message, report.offender, report.remote);
        let quote = report.quoted.get(HEADER_LEN..).unwrap_or_default();
        let keeps = Keeps { wanted: socket.options.recv_errors, room: self.limits.memory.saturating_sub(self.memory) };
        let before = socket.errors.charged();
        let fails = socket.errors.note(report.kind, said, quote, connected, keeps);
        self.memory += socket.errors.charged() - before;
        (Disposition::Delivered, fails.then_some(id))
    }

    /// Takes the oldest error of the queue, where [`UdpOptions::recv_errors`](crate::stack::UdpOptions::recv_errors) is set.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `BadHandle`.
    pub fn recv_error(&mut self, id: UdpId) -> Result<SocketError> {
        let socket = named(&mut self.slots, id)?;
        let before = socket.errors.charged();
        let error = socket.errors.pop()?;
        self.memory -= before - socket.errors.charged();
        Ok(SocketError { destination: socket.shown(error.destination), ..error })
    }

    /// Refuses a message of `id` that must not be fragmented and is larger than its path, as the socket's
    /// `mtu_discovery` says.
    ///
    /// # Errors
    /// `MessageTooLong`, `BadHandle`.
    pub fn check_path(&self, ip: &Ip, now: Instant, id: UdpId, message: &SendMsg<'_>) -> Result<()> {
        let socket = self.get(id)?;
        let Some(dst) = message.destination.or(socket.peer) else { return Ok(()) };
        let way = socket.way_to(dst.ip());
        let link = ip.payload_mtu(way);
        let most = match socket.options.mtu_discovery {
            MtuDiscovery::Want | MtuDiscovery::Dont => return Ok(()),
            MtuDiscovery::Probe => link,
            MtuDiscovery::Do => ip.payload_mtu_of_path(way, now),
        };
        let segment = message.segment.unwrap_or(message.data.len()).min(message.data.len());
        if segment + HEADER_LEN > most { Err(Error::MessageTooLong) } else { Ok(()) }
    }

    /// The largest packet on the path to the connected peer, in bytes, as far as is known (IP_MTU).
    ///
    /// # Errors
    /// `NotConnected`, `BadHandle`.
    pub fn path_mtu(&self, ip: &Ip, now: Instant, id: UdpId) -> Result<usize> {
        let socket = self.get(id)?;
        let peer = socket.peer.ok_or(Error::NotConnected)?.ip();
        Ok(ip.payload_mtu_of_path(socket.way_to(peer), now) + ip::header_len(peer))
    }
}
