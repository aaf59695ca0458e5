//! What went wrong with what a socket has sent: the error that its next call fails with, and, for those who ask for it, a
//! queue of all that routers and hosts have said (IP_RECVERR of ip(7)).

use super::{Sockets, bound};
use crate::error::{Error, Result};
use crate::icmp::{ErrorKind, Report};
use crate::ip::{self, Ip, Way};
use crate::stack::{MtuDiscovery, SendMsg, SocketError, UdpId};
use crate::stats::{Disposition, DropReason};
use crate::time::Instant;
use crate::wire::udp::HEADER_LEN;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Errors that a socket's queue holds. More are not kept: who does not read them does not miss them.
const MAX_ERRORS: usize = 32;

/// Destinations that a socket without a peer remembers. An error about a datagram to another one is not believed: anybody
/// can make one up.
const SENT_TO: usize = 16;

impl Sockets {
    /// Takes an ICMP error about a UDP datagram. It concerns a socket only if that is connected to where the datagram
    /// went, or has sent there lately: other errors are easily forged. Says whose calls fail now.
    pub fn on_icmp(&mut self, ip: &mut Ip, now: Instant, report: &Report) -> (Disposition, Option<UdpId>) {
        let unmatched = (Disposition::Dropped(DropReason::IcmpUnmatched), None);
        let Some((id, socket)) = bound(&self.ports, &mut self.slots, report.local, report.remote) else {
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
        let fails = socket.errors.note(report, connected, socket.options.recv_errors);
        (Disposition::Delivered, fails.then_some(id))
    }

    /// Takes the oldest error of the queue, where [`UdpOptions::recv_errors`](crate::stack::UdpOptions::recv_errors) is set.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `BadHandle`.
    pub fn recv_error(&mut self, id: UdpId) -> Result<SocketError> {
        let socket = self.get_mut(id)?;
        let error = socket.errors.pop()?;
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

/// The errors of one socket.
#[derive(Debug, Default)]
pub(super) struct Errors {
    /// What the next call fails with.
    hard: Option<Error>,
    /// What may pass, and is told to those who ask.
    soft: Option<Error>,
    queue: VecDeque<SocketError>,
    sent_to: VecDeque<SocketAddr>,
}

impl Errors {
    /// A datagram went to `dst`.
    pub(super) fn note_sent(&mut self, dst: SocketAddr) {
        if self.sent_to.back() != Some(&dst) && !self.sent_to.contains(&dst) {
            if self.sent_to.len() == SENT_TO {
                self.sent_to.pop_front();
            }
            self.sent_to.push_back(dst);
        }
    }

    /// Whether one of the last destinations was `dst`.
    pub(super) fn has_sent_to(&self, dst: SocketAddr) -> bool {
        self.sent_to.contains(&dst)
    }

    /// Notes what an ICMP error said, and says whether calls fail by it (RFC 1122 4.1.3.3): on a `connected` socket, where
    /// the destination itself refused or the datagrams are too big, since anybody else may be wrong for a while; where
    /// all errors are `wanted`, by each.
    pub(super) fn note(&mut self, report: &Report, connected: bool, wanted: bool) -> bool {
        let (kind, error) = (report.kind, report.kind.error());
        if wanted && self.queue.len() < MAX_ERRORS {
            self.queue.push_back(SocketError {
                error,
                message: report.message,
                offender: report.offender,
                destination: report.remote,
                mtu: if let ErrorKind::PacketTooBig { mtu } = kind { Some(mtu) } else { None },
                data: report.quoted.get(HEADER_LEN..).unwrap_or_default().to_vec(),
            });
        }
        let fails = wanted || connected && (kind.is_hard() || matches!(kind, ErrorKind::PacketTooBig { .. }));
        if fails {
            self.hard = Some(error);
        } else if connected {
            self.soft = Some(error);
        }
        fails
    }

    /// Fails once with a pending error.
    pub(super) fn check(&mut self) -> Result<()> {
        self.hard.take().map_or(Ok(()), Err)
    }

    /// Whether the next call fails.
    pub(super) fn is_pending(&self) -> bool {
        self.hard.is_some()
    }

    /// Whether there is something to be read from the queue.
    pub(super) fn is_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Takes the pending error; a soft one has no other way out (SO_ERROR).
    pub(super) fn take(&mut self) -> Option<Error> {
        self.hard.take().or(self.soft.take())
    }

    /// Takes the oldest error of the queue (MSG_ERRQUEUE). With the last one, what it is told by is over, too.
    pub(super) fn pop(&mut self) -> Result<SocketError> {
        let error = self.queue.pop_front().ok_or(Error::WouldBlock)?;
        self.hard = self.queue.front().map(|next| next.error);
        Ok(error)
    }
}
