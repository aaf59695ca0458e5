//! UDP (RFC 768, 1122 4.1): the sockets, with a port space of their own.
//!
//! | file | holds |
//! |---|---|
//! | here | the socket table, datagrams in and out, ICMP errors |
//! | `socket` | one socket: its ends, its receive queue, its pending error |
//! | `ports` | bound addresses, conflicts, ephemeral ports |
//!
//! Binding has std's semantics: no address is shared, and a wildcard has its port alone. So the most specific socket
//! for a datagram is found by at most two lookups, and a connected one then hears its peer only.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod ports;
mod socket;

use crate::buf::Slice;
use crate::error::{Error, Result};
use crate::icmp::{ErrorKind, Report};
use crate::ip::{self, Ip, Outgoing, Packet};
use crate::rng::Rng;
use crate::stack::{Config, Readiness, UdpId, UdpOptions};
use crate::stats::{Disposition, DropReason, Stats};
use crate::time::Instant;
use crate::wire::udp::{self as wire, UdpHeader};
use crate::wire::{Gso, GsoKind, Offloads, RxFrame, TxFrame, checksum};
use ports::Ports;
use socket::{Socket, cost};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// The part of the stack's memory that UDP may fill: a quarter, so that no flood of datagrams starves TCP.
const MEMORY_SHARE: usize = 4;

/// What a datagram in the outbox costs beside its data.
const OUTBOX_OVERHEAD: usize = 128;

/// Room that an empty outbox keeps, in datagrams.
const IDLE_OUTBOX: usize = 64;

/// Datagrams that one call may send as segments: as many as every kernel takes in a super-segment (UDP_MAX_SEGMENTS was
/// 64 up to Linux 6.8).
pub const MAX_SEGMENTS: usize = 64;

/// The most data in one UDP datagram or one super-segment: an IPv4 packet less its two headers.
const MAX_DATA: usize = 65_535 - 20 - wire::HEADER_LEN;

/// TTL of multicast datagrams: they stay on the link (RFC 1112 6.1).
const MULTICAST_TTL: u8 = 1;

/// All UDP sockets of a stack.
#[derive(Debug)]
pub struct Sockets {
    slots: Vec<Slot>,
    free: Vec<u32>,
    ports: Ports,
    // Datagrams of all sockets in the order in which they were sent; those of closed sockets still go.
    outbox: VecDeque<Datagram>,
    memory: usize,
    limits: Limits,
    offloads: Offloads,
    ttl: u8,
}

#[derive(Debug)]
struct Limits {
    sockets: usize,
    memory: usize,
    recv_buffer: usize,
    send_queue: usize,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    // Boxed, so that a free slot is small.
    socket: Option<Box<Socket>>,
}

#[derive(Debug)]
struct Datagram {
    id: UdpId,
    src: SocketAddr,
    dst: SocketAddr,
    ttl: u8,
    data: Slice,
    /// If set, there are several datagrams in `data`, each but the last of this many bytes.
    segment: Option<usize>,
}

/// What became of a received datagram.
#[derive(Debug)]
pub struct Outcome {
    /// As the counters see it.
    pub disposition: Disposition,
    /// The socket whose readiness changed.
    pub changed: Option<UdpId>,
    /// What to answer.
    pub reply: Option<Box<TxFrame>>,
}

impl Sockets {
    /// No sockets yet, with `config`'s bounds.
    ///
    /// # Errors
    /// `InvalidInput` if the ephemeral ports are no range.
    pub fn new(config: &Config, rng: Rng) -> Result<Sockets> {
        Ok(Sockets {
            slots: Vec::new(),
            free: Vec::new(),
            ports: Ports::new(config.tcp.ephemeral_low, config.tcp.ephemeral_high, rng)?,
            outbox: VecDeque::new(),
            memory: 0,
            limits: Limits {
                sockets: config.max_udp_sockets,
                memory: config.memory / MEMORY_SHARE,
                recv_buffer: config.udp.recv_buffer,
                send_queue: config.udp.send_queue,
            },
            offloads: config.offloads,
            ttl: config.ttl,
        })
    }

    /// Bytes of buffered datagrams, with what each costs beside its data.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// What a socket is ready for; a closed handle is readable, writable, and hung up.
    pub fn readiness(&self, id: UdpId) -> Readiness {
        match self.get(id) {
            Ok(socket) => socket.readiness(self.limits.send_queue),
            Err(_) => Readiness::READABLE | Readiness::WRITABLE | Readiness::HANGUP,
        }
    }

    // ---- calls ----

    /// Binds a new socket; port 0 picks a free one, an unspecified address takes every address of ours.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `Unsupported` for a family without an address, `NoBufferSpace` at the bound on
    /// sockets.
    pub fn bind(&mut self, ip: &Ip, local: SocketAddr) -> Result<UdpId> {
        if local.ip().is_unspecified() {
            ip.source_for(local.ip()).ok_or(Error::Unsupported)?;
        } else if !ip.is_local(local.ip()) {
            return Err(Error::AddrNotAvailable);
        }
        let index = match self.free.last() {
            Some(&index) => index,
            None if self.slots.len() < self.limits.sockets => self.slots.len() as u32,
            None => return Err(Error::NoBufferSpace),
        };
        let local = self.ports.bind(local, index)?;
        if self.free.pop().is_none() {
            self.slots.push(Slot::default());
        }
        let slot = &mut self.slots[index as usize];
        let options = UdpOptions { ttl: self.ttl, broadcast: false };
        slot.socket = Some(Box::new(Socket::new(local, options)));
        Ok(UdpId { index, generation: slot.generation })
    }

    /// Sets the peer: only its datagrams are received from now on, though what is queued stays. A socket that was bound
    /// to every address now has the one that leads to the peer.
    ///
    /// # Errors
    /// `BadHandle`, `InvalidInput` if no host can have `peer`, `PermissionDenied` for broadcast where the socket may
    /// not, `NetworkUnreachable` without an address of the family, `AddrInUse`.
    pub fn connect(&mut self, ip: &Ip, id: UdpId, peer: SocketAddr) -> Result<()> {
        let socket = named(&mut self.slots, id)?;
        let local = socket.source(ip, peer, socket.any)?;
        if local != socket.local {
            self.ports.rebind(socket.local, local, id.index)?;
            socket.local = local;
        }
        socket.peer = Some(peer);
        Ok(())
    }

    /// Queues one datagram, to `to` or, if `None`, to the connected peer.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's queue is full, `NoBufferSpace` when UDP's memory is, `MessageTooLong` beyond what
    /// one packet holds, `NotConnected`, `InvalidInput`, `PermissionDenied`, `NetworkUnreachable` as in
    /// [`connect`](Sockets::connect), `BadHandle`, and once a pending error such as `ConnectionRefused`.
    pub fn send(&mut self, ip: &Ip, id: UdpId, data: &[u8], to: Option<SocketAddr>) -> Result<usize> {
        self.queue(ip, id, data, data.len(), to)
    }

    /// Queues the datagrams that `data` makes up, each of `segment` bytes but for the last, which may be shorter
    /// (UDP_SEGMENT in udp(7)). They leave as one super-segment where the device takes such, and are never fragmented on
    /// their way. A queue has room for all of them or for none.
    ///
    /// # Errors
    /// As [`send`](Sockets::send); `InvalidInput` if `segment` is zero or there are more than [`MAX_SEGMENTS`];
    /// `MessageTooLong` also if there are more than 65,507 bytes.
    pub fn send_segmented(
        &mut self,
        ip: &Ip,
        id: UdpId,
        data: &[u8],
        segment: usize,
        to: Option<SocketAddr>,
    ) -> Result<usize> {
        if segment == 0 {
            return Err(Error::InvalidInput("segments of no bytes"));
        }
        if data.len() > MAX_DATA {
            return Err(Error::MessageTooLong);
        }
        if data.len().div_ceil(segment) > MAX_SEGMENTS {
            return Err(Error::InvalidInput("more than 64 segments"));
        }
        self.queue(ip, id, data, segment, to)
    }

    fn queue(&mut self, ip: &Ip, id: UdpId, data: &[u8], segment: usize, to: Option<SocketAddr>) -> Result<usize> {
        let socket = named(&mut self.slots, id)?;
        socket.check()?;
        let dst = to.or(socket.peer).ok_or(Error::NotConnected)?;
        let src = socket.source(ip, dst, socket.local.ip().is_unspecified())?;
        if segment.min(data.len()) > ip.payload_mtu(dst.ip()) - wire::HEADER_LEN {
            return Err(Error::MessageTooLong);
        }
        if socket.unsent >= self.limits.send_queue {
            return Err(Error::WouldBlock);
        }
        let cost = OUTBOX_OVERHEAD + data.len();
        if self.memory + cost > self.limits.memory {
            return Err(Error::NoBufferSpace);
        }
        let ttl = if dst.ip().is_multicast() { MULTICAST_TTL } else { socket.options.ttl };
        let segment = (data.len() > segment).then_some(segment);
        let datagram = Datagram { id, src, dst, ttl, data: Slice::copy_of(data), segment };
        socket.unsent += 1;
        self.memory += cost;
        self.outbox.push_back(datagram);
        Ok(data.len())
    }

    /// Takes the next datagram: copies what fits into `buf`, drops the rest of it, and gives the copied length and the
    /// source. With `peek` the datagram stays.
    ///
    /// # Errors
    /// `WouldBlock`, `BadHandle`, and once a pending error.
    pub fn recv(&mut self, id: UdpId, buf: &mut [u8], peek: bool) -> Result<(usize, SocketAddr)> {
        let socket = self.get_mut(id)?;
        let before = socket.charged();
        let got = socket.pop(buf, peek);
        let freed = before - socket.charged();
        self.memory -= freed;
        got
    }

    /// Takes the next datagram and those behind it that continue it: from the same source, of the same length but for
    /// the last, which may be shorter, and as many as fit into `buf` whole (UDP_GRO in udp(7)). Gives the copied length,
    /// that of each datagram but the last, and the source. Of a first datagram that does not fit, the rest is lost.
    ///
    /// # Errors
    /// As [`recv`](Sockets::recv).
    pub fn recv_segmented(&mut self, id: UdpId, buf: &mut [u8]) -> Result<(usize, usize, SocketAddr)> {
        let socket = self.get_mut(id)?;
        let before = socket.charged();
        let got = socket.pop_segmented(buf);
        let freed = before - socket.charged();
        self.memory -= freed;
        got
    }

    /// Our end: the bound address, or once connected the one that leads to the peer.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn local_addr(&self, id: UdpId) -> Result<SocketAddr> {
        Ok(self.get(id)?.local)
    }

    /// The connected peer.
    ///
    /// # Errors
    /// `NotConnected`, `BadHandle`.
    pub fn peer_addr(&self, id: UdpId) -> Result<SocketAddr> {
        self.get(id)?.peer.ok_or(Error::NotConnected)
    }

    /// Takes the pending error, if there is one. An ICMP error that need not last, such as an unreachable network, is
    /// seen only here.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn take_error(&mut self, id: UdpId) -> Result<Option<Error>> {
        Ok(self.get_mut(id)?.take_error())
    }

    /// The socket's settings, to be read and set.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn options(&mut self, id: UdpId) -> Result<&mut UdpOptions> {
        Ok(&mut self.get_mut(id)?.options)
    }

    /// The socket has twins in other shards, and `shard` is the one that it sends from.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn set_home(&mut self, id: UdpId, shard: u16) -> Result<()> {
        self.get_mut(id)?.home = Some(shard);
        Ok(())
    }

    /// The shard from which the socket bound to `local` sends, if there are several.
    pub fn home(&mut self, local: SocketAddr) -> Option<u16> {
        bound(&self.ports, &mut self.slots, local)?.1.home
    }

    /// Gives the handle and its port up. What was received is lost, what was sent still goes.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn close(&mut self, id: UdpId) -> Result<()> {
        self.get(id)?;
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        if let Some(socket) = slot.socket.take() {
            self.memory -= socket.charged();
            self.ports.release(socket.local);
        }
        self.free.push(id.index);
        Ok(())
    }

    // ---- packets ----

    /// Takes a datagram that [`Ip::input`] found in `frame`.
    pub fn input(&mut self, ip: &mut Ip, now: Instant, frame: &RxFrame, packet: &Packet, stats: &mut Stats) -> Outcome {
        let (header, data) = match datagram(frame, packet) {
            Ok(parsed) => parsed,
            Err(reason) => return Outcome::dropped(reason),
        };
        // No group can be joined, so none is for us.
        if packet.dst.is_multicast() {
            return Outcome::dropped(DropReason::NotForUs);
        }
        let from = SocketAddr::new(packet.src, header.src_port);
        let to = SocketAddr::new(packet.dst, header.dst_port);
        let found = bound(&self.ports, &mut self.slots, to);
        let Some((id, socket)) = found.filter(|(_, socket)| socket.hears(from)) else {
            let reply = ip.error_about(now, frame, ErrorKind::PortUnreachable, stats).map(Box::new);
            return Outcome { reply, ..Outcome::dropped(DropReason::UdpNoSocket) };
        };
        let data = data.compact();
        // A super-segment waits in one piece and is cut when it is read.
        let segment = frame.meta.gso.map_or(data.len(), |gso| usize::from(gso.size).max(1));
        let before = socket.charged();
        let room = self.memory + cost(&data) <= self.limits.memory;
        if !room || !socket.push(from, data, segment, self.limits.recv_buffer) {
            return Outcome::dropped(DropReason::UdpQueueFull);
        }
        self.memory += socket.charged() - before;
        Outcome { disposition: Disposition::Delivered, changed: Some(id), reply: None }
    }

    /// Takes an ICMP error about a UDP datagram. It concerns a socket only if that is connected to where the datagram
    /// went: other errors are easily forged, and nobody could tell which call they belong to.
    pub fn on_icmp(&mut self, report: &Report) -> (Disposition, Option<UdpId>) {
        match bound(&self.ports, &mut self.slots, report.local) {
            // Without path MTU discovery the next datagram would be no smaller.
            Some(_) if matches!(report.kind, ErrorKind::PacketTooBig { .. }) => {
                (Disposition::Dropped(DropReason::IcmpIgnored), None)
            }
            Some((id, socket)) if socket.peer == Some(report.remote) => {
                let fails = socket.note(report.kind);
                (Disposition::Delivered, fails.then_some(id))
            }
            _ => (Disposition::Dropped(DropReason::IcmpUnmatched), None),
        }
    }

    /// The next datagram to send, or a super-segment of several, and the socket that may have room for another now.
    pub fn poll_transmit(&mut self, ip: &mut Ip) -> Option<(UdpId, TxFrame)> {
        let offloads = self.offloads;
        let front = self.outbox.front_mut()?;
        let &mut Datagram { id, src, dst, ttl, segment, .. } = front;
        let in_one = segment.is_none() || (offloads.uso && offloads.checksum);
        let len = segment.filter(|_| !in_one).map_or(front.data.len(), |segment| segment.min(front.data.len()));
        let data = front.data.slice(0..len);
        front.data.advance(len);
        self.memory -= len;
        if front.data.is_empty() {
            self.outbox.pop_front();
            if self.outbox.is_empty() {
                self.outbox.shrink_to(IDLE_OUTBOX);
            }
            self.memory -= OUTBOX_OVERHEAD;
            if let Ok(socket) = self.get_mut(id) {
                socket.unsent -= 1;
            }
        }
        let mut frame = TxFrame::default();
        let (from, to) = (src.ip(), dst.ip());
        // Whoever cuts a super-segment counts the identifications up, so that they would not differ from those of others
        // (RFC 6864 4.3); what is never fragmented needs none.
        let (ports, dont_fragment) = ((src.port(), dst.port()), segment.is_some());
        let out = Outgoing { src: from, dst: to, protocol: ip::UDP, ttl, tos: 0, dont_fragment, ports };
        let start = ip.output(&out, wire::HEADER_LEN + data.len(), &mut frame.header);
        let header = UdpHeader { src_port: src.port(), dst_port: dst.port() };
        let header_len = wire::emit(&header, data.len(), &mut frame.header.space()[start..]);
        frame.header.set_len(start + header_len);
        frame.meta.gso = segment.filter(|_| in_one).map(|segment| Gso { kind: GsoKind::Udp, size: segment as u16 });
        frame.payload.push(data);
        let fill = if offloads.checksum { checksum::fill_partial } else { checksum::fill };
        fill(&mut frame, from, to, ip::UDP, start, wire::CHECKSUM_OFFSET);
        Some((id, frame))
    }

    fn get(&self, id: UdpId) -> Result<&Socket> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation);
        slot.and_then(|slot| slot.socket.as_deref()).ok_or(Error::BadHandle)
    }

    fn get_mut(&mut self, id: UdpId) -> Result<&mut Socket> {
        named(&mut self.slots, id)
    }
}

/// The socket that `id` names. Not a method, so that the rest of the table can be borrowed beside it.
fn named(slots: &mut [Slot], id: UdpId) -> Result<&mut Socket> {
    let slot = slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation);
    slot.and_then(|slot| slot.socket.as_deref_mut()).ok_or(Error::BadHandle)
}

/// The most specific socket that is bound to `local`, with its handle.
fn bound<'a>(ports: &Ports, slots: &'a mut [Slot], local: SocketAddr) -> Option<(UdpId, &'a mut Socket)> {
    let index = ports.find(local)?;
    let slot = slots.get_mut(index as usize)?;
    let id = UdpId { index, generation: slot.generation };
    slot.socket.as_deref_mut().map(|socket| (id, socket))
}

impl Socket {
    /// The address from which a datagram to `dst` goes: that which leads there if it is ours to `choose`, else the bound
    /// one.
    fn source(&self, ip: &Ip, dst: SocketAddr, choose: bool) -> Result<SocketAddr> {
        if dst.is_ipv4() != self.local.is_ipv4() {
            return Err(Error::Unsupported);
        }
        if dst.port() == 0 {
            return Err(Error::InvalidInput("port 0 is no destination"));
        }
        let addr = dst.ip();
        if ip.is_broadcast(addr) {
            if !self.options.broadcast {
                return Err(Error::PermissionDenied);
            }
        } else if !addr.is_multicast() && !ip.is_valid_peer(addr) {
            return Err(Error::InvalidInput("no host has the destination address"));
        }
        let src: IpAddr = if choose { ip.source_for(addr).ok_or(Error::NetworkUnreachable)? } else { self.local.ip() };
        if src.is_loopback() && !ip.is_local(addr) {
            return Err(Error::InvalidInput("a loopback address reaches no other host"));
        }
        Ok(SocketAddr::new(src, self.local.port()))
    }
}

impl Outcome {
    fn dropped(reason: DropReason) -> Outcome {
        Outcome { disposition: Disposition::Dropped(reason), changed: None, reply: None }
    }
}

/// The header and data of a received datagram or of several in a super-segment, cut to its own length, its checksum verified.
fn datagram(frame: &RxFrame, packet: &Packet) -> core::result::Result<(UdpHeader, Slice), DropReason> {
    let (header, len) = wire::parse(&frame.data[packet.bytes.clone()])?;
    let bytes = packet.bytes.start..packet.bytes.start + len;
    if !checksum::verify_udp(packet.src, packet.dst, &frame.data[bytes.clone()], frame.meta.checksum) {
        return Err(DropReason::UdpChecksum);
    }
    Ok((header, frame.data.slice(bytes.start + wire::HEADER_LEN..bytes.end)))
}

#[cfg(test)]
mod tests;
