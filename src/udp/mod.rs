//! UDP (RFC 768, 1122 4.1): the sockets, with a port space of their own.
//!
//! | file | holds |
//! |---|---|
//! | here | the socket table, datagrams in and out, ICMP errors |
//! | `flows` | what a gate lets in: a socket for each source, whatever it sends to |
//! | `groups` | joining and leaving them |
//! | `receive` | what applications take of what has come |
//! | `errors` | what went wrong with what a socket has sent |
//! | `socket` | one socket: its ends, its groups, its pending error |
//! | `source` | which address a datagram goes from |
//! | `ports` | bound addresses, conflicts, ephemeral ports, and who hears what is for one host |
//!
//! Binding has std's semantics: no address is shared, and a wildcard has its port alone, unless all who are concerned
//! want it otherwise. What is for one host goes to one socket, the one that is bound most closely. What is for a group
//! goes to each of its members, and to nobody else (on Linux, IP_MULTICAST_ALL would have to be off for that); what is for
//! all hosts of a network, to each socket that is not bound to another address.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod errors;
mod flows;
mod groups;
mod ports;
mod receive;
mod socket;
mod source;

pub use flows::Ended;

use crate::buf::Slice;
use crate::error::{Error, Result};
use crate::icmp::{ErrorKind, Report};
use crate::ip::bound::{Bound, unmapped, unmapped_addr};
use crate::ip::inbox::{Envelope, cost};
use crate::ip::{self, Ip, Outgoing, Packet, Way};
use crate::rng::Rng;
use crate::stack::{Config, MtuDiscovery, Readiness, SendMsg, UdpBind, UdpId, UdpOptions};
use crate::stats::{Disposition, DropReason, Stats};
use crate::time::Instant;
use crate::wire::udp::{self as wire, UdpHeader};
use crate::wire::{Gso, GsoKind, Offloads, RxFrame, TxFrame, checksum};
use flows::{Flow, Flows};
use ports::{Ports, Sharing};
use smallvec::SmallVec;
use socket::Socket;
use source::fixed;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The part of the stack's memory that UDP may fill: a quarter, so that no flood of datagrams starves TCP.
const MEMORY_SHARE: usize = 4;

/// What a datagram in the outbox costs beside its data.
const OUTBOX_OVERHEAD: usize = 128;

/// Room that an empty outbox keeps, in datagrams.
const IDLE_OUTBOX: usize = 64;

/// Datagrams that one call may send as segments: as many as every kernel takes in a super-segment (UDP_MAX_SEGMENTS was
/// 64 up to Linux 6.8).
pub const MAX_SEGMENTS: usize = 64;

/// The most data in one UDP datagram or one super-segment over IPv4: the longest packet less its two headers.
const MAX_DATA: usize = 65_535 - 20 - wire::HEADER_LEN;

/// The most data in one UDP datagram to `addr`. IPv6 does not count its own header.
const fn max_data(addr: IpAddr) -> usize {
    if addr.is_ipv4() { MAX_DATA } else { 65_535 - wire::HEADER_LEN }
}

/// TTL of multicast datagrams: they stay on the link (RFC 1112 6.1).
const MULTICAST_TTL: u8 = 1;

/// Datagrams that one call receives or sends at most, since it holds the stack's lock meanwhile.
pub const MAX_BATCH: usize = 64;

/// Bytes after which such a call takes no further datagram.
const BATCH_BYTES: usize = 256 * 1024;

/// Bytes of data that a path may not carry in one packet: less fits every path that a router is believed about.
const LARGE: usize = ip::pmtu::MIN_V4 as usize - 60 - wire::HEADER_LEN;

/// All UDP sockets of a stack.
#[derive(Debug)]
pub struct Sockets {
    slots: Vec<Slot>,
    free: Vec<u32>,
    ports: Ports,
    // Datagrams of all sockets in the order in which they were sent; those of closed sockets still go.
    outbox: VecDeque<Datagram>,
    flows: Flows,
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
    send_buffer: usize,
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
    tos: u8,
    mtu_discovery: MtuDiscovery,
    /// The interface that it must leave by, if that is not zero.
    interface: u8,
    /// Whether we hear it too, if it is not for one host.
    heard: bool,
    data: Slice,
    /// If set, there are several datagrams in `data`, each but the last of this many bytes.
    segment: Option<usize>,
}

/// A datagram on its way out, or a super-segment of several.
#[derive(Debug)]
pub struct Departure {
    /// Whose it is: that socket may have room for another now.
    pub id: UdpId,
    /// The packet.
    pub frame: TxFrame,
    /// Whether it goes to the link. Else it is only for sockets of ours.
    pub leaves: bool,
    /// Whether sockets of ours hear it beside others, because it is for a group or a whole network.
    pub heard: bool,
    /// Whether it is not to be cut to what routers have said of its path: it tries out what that carries.
    pub probes: bool,
}

/// A datagram that has come, or several in a super-segment.
struct Arrival {
    envelope: Envelope,
    data: Slice,
    /// Bytes of each but the last; more than there are, if it is one.
    segment: u16,
}

/// What became of a received datagram.
#[derive(Debug)]
pub struct Outcome {
    /// As the counters see it.
    pub disposition: Disposition,
    /// The socket whose readiness changed.
    pub changed: Option<UdpId>,
    /// More of them, where it was for several.
    pub others: Vec<UdpId>,
    /// What to answer.
    pub reply: Option<Box<TxFrame>>,
}

impl Sockets {
    /// No sockets yet, with `config`'s bounds.
    ///
    /// # Errors
    /// `InvalidInput` if the ephemeral ports are no range, or a flow's idle time is zero.
    pub fn new(config: &Config, mut rng: Rng) -> Result<Sockets> {
        flows::check(&config.flows)?;
        let memory = config.memory / MEMORY_SHARE;
        let flows = Flows::new(config.flows.clone(), memory, rng.key());
        Ok(Sockets {
            flows,
            slots: Vec::new(),
            free: Vec::new(),
            ports: Ports::new(config.tcp.ephemeral_low, config.tcp.ephemeral_high, rng)?,
            outbox: VecDeque::new(),
            memory: 0,
            limits: Limits {
                sockets: config.max_udp_sockets,
                memory,
                recv_buffer: config.udp.recv_buffer,
                send_buffer: config.udp.send_buffer,
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

    /// Binds a new socket; port 0 picks a free one, an unspecified address takes every address of ours, and `::` those of
    /// IPv4 too, unless it is told not to. A group or a broadcast address takes only what is sent there.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `Unsupported` for a family without an address, `NoBufferSpace` at the bound on
    /// sockets, `InvalidInput` if a socket of every port names one.
    pub fn bind(&mut self, ip: &Ip, local: SocketAddr, how: UdpBind) -> Result<UdpId> {
        let bound = Bound::new(local.ip(), how.only_v6);
        match bound {
            Bound::All => {}
            Bound::AllV4 | Bound::AllV6 => _ = ip.source_for(unmapped(local.ip())).ok_or(Error::Unsupported)?,
            Bound::One(addr) => {
                if !ip.takes(addr) && !addr.is_multicast() && !ip.is_broadcast(addr) {
                    return Err(Error::AddrNotAvailable);
                }
            }
        }
        if how.every_port && local.port() != 0 {
            return Err(Error::InvalidInput("a socket of every port is bound to none"));
        }
        let index = match self.free.last() {
            Some(&index) => index,
            None if self.slots.len() < self.limits.sockets => self.slots.len() as u32,
            None => return Err(Error::NoBufferSpace),
        };
        let sharing = Sharing { address: how.reuse_address, port: how.reuse_port };
        let port = if how.every_port {
            self.ports.bind_every(bound, sharing, index)?;
            0
        } else {
            self.ports.bind(bound, local.port(), sharing, index)?
        };
        let local = SocketAddr::new(local.ip(), port);
        Ok(self.put(Socket::new(local, how, self.default_options())))
    }

    /// What sockets are set to at first.
    fn default_options(&self) -> UdpOptions {
        UdpOptions {
            ttl: self.ttl,
            tos: 0,
            broadcast: false,
            multicast_ttl: MULTICAST_TTL,
            multicast_loop: true,
            multicast_source: None,
            multicast_interface: 0,
            interface: 0,
            recv_buffer: self.limits.recv_buffer,
            send_buffer: self.limits.send_buffer,
            mark: 0,
            marked_interface: 0,
            gro: false,
            mtu_discovery: MtuDiscovery::Want,
            recv_errors: false,
        }
    }

    /// Gives `socket` the next free place: there is one.
    fn put(&mut self, socket: Socket) -> UdpId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.socket = Some(Box::new(socket));
        UdpId { index, generation: slot.generation }
    }

    /// Sets the peer: only its datagrams are received from now on, though what is queued stays. A socket that was bound
    /// to every address now has the one that leads to the peer.
    ///
    /// # Errors
    /// `BadHandle`, `InvalidInput` if no host can have `peer`, `PermissionDenied` for broadcast where the socket may
    /// not, `NetworkUnreachable` without an address of the family, `AddrInUse`, `AlreadyConnected` for a flow's socket.
    pub fn connect(&mut self, ip: &Ip, id: UdpId, peer: SocketAddr) -> Result<()> {
        let socket = named(&mut self.slots, id)?;
        socket.check_no_flow()?;
        let peer = socket.on_wire(peer).ok_or(Error::AddressFamily)?;
        let local = match socket.bound {
            Bound::One(addr) => {
                socket.source(ip, peer, fixed(ip, addr))?;
                addr
            }
            _ => socket.source(ip, peer, None)?.ip(),
        };
        socket.rename(&mut self.ports, local, Some(peer), id.index)
    }

    /// Forgets the peer, and the local address that was chosen for its sake.
    ///
    /// # Errors
    /// `BadHandle`; `AddrInUse` if another socket has the address that it would have again; `AlreadyConnected` for a flow's
    /// socket, which keeps its peer.
    pub fn disconnect(&mut self, id: UdpId) -> Result<()> {
        let socket = named(&mut self.slots, id)?;
        socket.check_no_flow()?;
        let local = match socket.bound {
            Bound::One(addr) => addr,
            Bound::AllV4 => Ipv4Addr::UNSPECIFIED.into(),
            Bound::AllV6 | Bound::All => Ipv6Addr::UNSPECIFIED.into(),
        };
        socket.rename(&mut self.ports, local, None, id.index)
    }

    /// Queues one datagram, to `to` or, if `None`, to the connected peer.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's queue is full, `NoBufferSpace` when UDP's memory is, `MessageTooLong` beyond what
    /// one packet holds, `NotConnected`, `InvalidInput`, `PermissionDenied`, `NetworkUnreachable` as in
    /// [`connect`](Sockets::connect), `BadHandle`, and once a pending error such as `ConnectionRefused`.
    pub fn send(&mut self, ip: &Ip, id: UdpId, data: &[u8], to: Option<SocketAddr>) -> Result<usize> {
        self.send_msg(ip, id, &SendMsg { data, destination: to, ..SendMsg::default() })
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
        self.send_msg(ip, id, &SendMsg { data, destination: to, segment: Some(segment), ..SendMsg::default() })
    }

    /// Queues what `message` says, with all that it says.
    ///
    /// # Errors
    /// As [`send`](Sockets::send) and [`send_segmented`](Sockets::send_segmented); `InvalidInput` also for a TTL of zero
    /// and a source that is not the socket's, `AddrNotAvailable` for one that is not ours.
    pub fn send_msg(&mut self, ip: &Ip, id: UdpId, message: &SendMsg<'_>) -> Result<usize> {
        let &SendMsg { data, destination, source, segment, tos, ttl } = message;
        check_segments(data, segment)?;
        let segment = segment.unwrap_or(data.len());
        let socket = named(&mut self.slots, id)?;
        socket.check_open()?;
        let dst = match destination {
            // The kernel calls IPv4 unreachable from a socket of IPv6 alone.
            Some(destination) => socket.on_wire(destination).ok_or(if destination.is_ipv4() {
                Error::NetworkUnreachable
            } else {
                Error::AddressFamily
            })?,
            None => socket.peer.ok_or(Error::NotConnected)?,
        };
        let src = socket.source_of(ip, dst, source.map(unmapped_addr))?;
        // One datagram is cut into fragments if it has to be.
        let interface = socket.interface_for(dst.ip());
        let way = Way::new(src.ip(), dst.ip(), interface);
        let most = if data.len() > segment { ip.payload_mtu(way) - wire::HEADER_LEN } else { max_data(dst.ip()) };
        if segment.min(data.len()) > most {
            return Err(Error::MessageTooLong);
        }
        let cost = OUTBOX_OVERHEAD + data.len();
        // Whoever is told that there is room finds it, however much he has to send.
        let most = socket.options.send_buffer;
        let is_full = !socket.has_room() && socket.unsent > 0 && socket.unsent_bytes + cost > most;
        if socket.unsent >= self.limits.send_queue || is_full {
            return Err(Error::WouldBlock);
        }
        if self.memory + cost > self.limits.memory {
            return Err(Error::NoBufferSpace);
        }
        let options = &socket.options;
        let own_ttl = if dst.ip().is_multicast() { options.multicast_ttl } else { options.ttl };
        if ttl == Some(0) {
            return Err(Error::InvalidInput("a TTL of zero"));
        }
        let datagram = Datagram {
            id,
            src,
            dst,
            ttl: ttl.unwrap_or(own_ttl),
            tos: tos.unwrap_or(options.tos),
            mtu_discovery: options.mtu_discovery,
            interface,
            heard: options.multicast_loop || !dst.ip().is_multicast(),
            data: Slice::copy_of(data),
            segment: (data.len() > segment).then_some(segment),
        };
        // Only of what is large, or asked for, an error can come that counts.
        if socket.peer.is_none() && (data.len() >= LARGE || socket.options.recv_errors) {
            socket.errors.note_sent(dst);
        }
        socket.unsent += 1;
        socket.unsent_bytes += cost;
        self.memory += cost;
        self.outbox.push_back(datagram);
        Ok(data.len())
    }

    /// Queues several messages, as many as there is room for, but at most [`MAX_BATCH`], and gives their number.
    ///
    /// # Errors
    /// Those of the first. What is wrong with a later one is told when that is the first.
    pub fn send_many(&mut self, ip: &Ip, id: UdpId, messages: &[SendMsg<'_>]) -> Result<usize> {
        let mut bytes = 0;
        for (sent, message) in messages.iter().take(MAX_BATCH).enumerate() {
            if sent > 0 && (bytes >= BATCH_BYTES || self.get(id)?.errors.is_pending()) {
                return Ok(sent);
            }
            match self.send_msg(ip, id, message) {
                Ok(len) => bytes += len,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => return Ok(sent),
            }
        }
        Ok(messages.len().min(MAX_BATCH))
    }

    /// How it was bound; of IPv6 alone is also a socket that is bound to one address of IPv6.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn bound(&self, id: UdpId) -> Result<UdpBind> {
        let socket = self.get(id)?;
        let only_v6 = socket.how.only_v6 || matches!(socket.bound, Bound::One(addr) if addr.is_ipv6());
        Ok(UdpBind { only_v6, ..socket.how })
    }

    /// Whether it shares its address from now on, with whoever is bound later (SO_REUSEADDR, SO_REUSEPORT).
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn share(&mut self, id: UdpId, reuse_address: bool, reuse_port: bool) -> Result<()> {
        let socket = named(&mut self.slots, id)?;
        (socket.how.reuse_address, socket.how.reuse_port) = (reuse_address, reuse_port);
        self.ports.share(socket.ends(), Sharing { address: reuse_address, port: reuse_port }, id.index);
        Ok(())
    }

    /// Our end: the bound address, or once connected the one that leads to the peer.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn local_addr(&self, id: UdpId) -> Result<SocketAddr> {
        let socket = self.get(id)?;
        Ok(socket.shown(socket.local))
    }

    /// The connected peer.
    ///
    /// # Errors
    /// `NotConnected`, `BadHandle`.
    pub fn peer_addr(&self, id: UdpId) -> Result<SocketAddr> {
        let socket = self.get(id)?;
        Ok(socket.shown(socket.peer.ok_or(Error::NotConnected)?))
    }

    /// Takes the pending error, if there is one. An ICMP error that need not last, such as an unreachable network, is
    /// seen only here.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn take_error(&mut self, id: UdpId) -> Result<Option<Error>> {
        Ok(self.get_mut(id)?.errors.take())
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

    /// The shard that the socket sends from which `report` concerns, if there are several.
    pub fn home(&mut self, report: &Report) -> Option<u16> {
        bound(&self.ports, &self.flows, &mut self.slots, report.local, report.remote, report.interface)?.1.home
    }

    /// Gives the handle and its port up. What was received is lost, what was sent still goes. Gives the source of the flow
    /// that it was the socket of.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn close(&mut self, ip: &mut Ip, id: UdpId) -> Result<Option<SocketAddr>> {
        self.get(id)?;
        let source = self.forget_flow(id);
        if let Some(mut socket) = self.remove(id) {
            socket.leave_all(ip);
            if socket.flow.is_none() {
                self.ports.release(socket.ends(), id.index);
            }
        }
        Ok(source)
    }

    /// Empties the place of `id`, which is in use.
    fn remove(&mut self, id: UdpId) -> Option<Box<Socket>> {
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        let socket = slot.socket.take()?;
        self.memory -= socket.inbox.charged() + socket.errors.charged();
        Some(socket)
    }

    // ---- packets ----

    /// Takes a datagram that [`Ip::input`] found in `frame`. It is [held](Disposition::Held) if a flow is to be begun with it:
    /// that done, it is to be given here again.
    pub fn input(&mut self, ip: &mut Ip, now: Instant, frame: &RxFrame, packet: &Packet, stats: &mut Stats) -> Outcome {
        let (header, data) = match datagram(frame, packet) {
            Ok(parsed) => parsed,
            Err(reason) => return Outcome::dropped(reason),
        };
        let from = SocketAddr::new(packet.src, header.src_port);
        let to = SocketAddr::new(packet.dst, header.dst_port);
        let arrival = Arrival {
            envelope: Envelope {
                from,
                to: packet.dst,
                to_port: header.dst_port,
                ttl: packet.ttl,
                tos: packet.tos,
                interface: packet.interface,
            },
            data: data.compact(),
            // A super-segment waits in one piece and is cut when it is read.
            segment: frame.meta.gso.map_or(u16::MAX, |gso| gso.size.max(1)),
        };
        if !packet.unicast {
            return self.deliver_to_all(to, &arrival);
        }
        let Some((id, socket)) = bound(&self.ports, &self.flows, &mut self.slots, to, from, packet.interface) else {
            if self.flows.is_open() && from.port() != 0 {
                return Outcome { disposition: Disposition::Held, ..Outcome::dropped(DropReason::UdpNoSocket) };
            }
            let reply = ip.error_about(now, frame, ErrorKind::PortUnreachable, stats).map(Box::new);
            return Outcome { reply, ..Outcome::dropped(DropReason::UdpNoSocket) };
        };
        if let Some(flow) = &mut socket.flow {
            flow.hears(now);
        }
        if !self.deliver(id.index, &arrival) {
            return Outcome::dropped(DropReason::UdpQueueFull);
        }
        Outcome { disposition: Disposition::Delivered, changed: Some(id), others: Vec::new(), reply: None }
    }

    /// A copy for each socket that hears what is sent to the group or network `to`.
    fn deliver_to_all(&mut self, to: SocketAddr, arrival: &Arrival) -> Outcome {
        let (group, source, by) = (to.ip().is_multicast(), arrival.envelope.from, arrival.envelope.interface);
        let hears = |&(index, bound): &(u32, Bound)| {
            let socket = self.slots[index as usize].socket.as_deref();
            bound.takes(to.ip())
                && socket.is_some_and(|s| {
                    s.hears(source) && s.comes_by(by) && (!group || s.is_member(to.ip(), source.ip(), by))
                })
        };
        let hearers: SmallVec<[u32; 8]> = self.ports.on(to.port()).filter(hears).map(|(index, _)| index).collect();
        let mut outcome = Outcome::dropped(DropReason::UdpNoSocket);
        for index in hearers {
            if !self.deliver(index, arrival) {
                if outcome.changed.is_none() {
                    outcome.disposition = Disposition::Dropped(DropReason::UdpQueueFull);
                }
                continue;
            }
            outcome.disposition = Disposition::Delivered;
            let id = UdpId { index, generation: self.slots[index as usize].generation };
            match outcome.changed {
                None => outcome.changed = Some(id),
                Some(_) => outcome.others.push(id),
            }
        }
        outcome
    }

    /// Queues it for the socket at `index`, if there is room.
    fn deliver(&mut self, index: u32, arrival: &Arrival) -> bool {
        let Some(socket) = self.slots.get_mut(index as usize).and_then(|slot| slot.socket.as_deref_mut()) else {
            return false;
        };
        let Arrival { envelope, data, segment } = arrival;
        let bytes = cost(data);
        let waits = socket.flow.as_ref().is_some_and(Flow::waits);
        let room = self.memory + bytes <= self.limits.memory && (!waits || self.flows.takes(bytes));
        let taken = room && socket.inbox.push(*envelope, data.clone(), *segment, socket.options.recv_buffer);
        if taken {
            self.memory += bytes;
        }
        if taken && waits {
            self.flows.charge(bytes);
        }
        taken
    }

    /// The next datagram to send, or a super-segment of several.
    pub fn poll_transmit(&mut self, ip: &mut Ip, now: Instant) -> Option<Departure> {
        let offloads = self.offloads;
        let front = self.outbox.front_mut()?;
        let &mut Datagram { id, src, dst, ttl, tos, heard, mtu_discovery, interface, segment, .. } = front;
        let one = segment.unwrap_or(front.data.len()).min(front.data.len());
        // What does not fit its path is fragmented, here or later, unless the user does not want that.
        let fits = one + wire::HEADER_LEN <= ip.payload_mtu_of_path(Way::new(src.ip(), dst.ip(), interface), now);
        let dont_fragment = match mtu_discovery {
            // On a path that is narrower than the least that is believed, nothing is sure to fit.
            MtuDiscovery::Want => fits && !ip.path(dst.ip(), now).is_some_and(|path| path.fragments),
            MtuDiscovery::Do | MtuDiscovery::Probe => true,
            MtuDiscovery::Dont => false,
        };
        // Whoever cuts a super-segment counts the identifications up, so that they would not differ from those of others
        // (RFC 6864 4.3); what is never fragmented needs none.
        let in_one = segment.is_none() || (offloads.uso && offloads.checksum && dont_fragment);
        let len = segment.filter(|_| !in_one).map_or(front.data.len(), |segment| segment.min(front.data.len()));
        let data = front.data.slice(0..len);
        front.data.advance(len);
        let is_gone = front.data.is_empty();
        let freed = len + if is_gone { OUTBOX_OVERHEAD } else { 0 };
        self.memory -= freed;
        if is_gone {
            self.outbox.pop_front();
            if self.outbox.is_empty() {
                self.outbox.shrink_to(IDLE_OUTBOX);
            }
        }
        if let Ok(socket) = named(&mut self.slots, id) {
            socket.unsent_bytes -= freed;
            socket.unsent -= usize::from(is_gone);
            if is_gone && let Some(flow) = &mut socket.flow {
                self.flows.answers(flow, id.index, now);
            }
        }
        let mut frame = TxFrame::default();
        let (from, to) = (src.ip(), dst.ip());
        let ports = (src.port(), dst.port());
        let out = Outgoing { src: from, dst: to, protocol: ip::UDP, ttl, tos, dont_fragment, ports };
        let start = ip.output(&out, wire::HEADER_LEN + data.len(), &mut frame.header);
        let header = UdpHeader { src_port: src.port(), dst_port: dst.port() };
        let header_len = wire::emit(&header, data.len(), &mut frame.header.space()[start..]);
        frame.header.set_len(start + header_len);
        frame.meta.gso = segment.filter(|_| in_one).map(|segment| Gso { kind: GsoKind::Udp, size: segment as u16 });
        frame.payload.push(data);
        frame.meta.interface = interface;
        let fill = if offloads.checksum { checksum::fill_partial } else { checksum::fill };
        fill(&mut frame, from, to, ip::UDP, start, wire::CHECKSUM_OFFSET);
        let group = to.is_multicast();
        let heard = heard && if group { ip.is_member(to) } else { ip.is_broadcast(to) };
        let probes = mtu_discovery == MtuDiscovery::Probe;
        Some(Departure { id, frame, leaves: !group || ttl > 0 && !ip::stays_here(to), heard, probes })
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

/// The most specific socket that hears `from` at `local` and by the interface `by`, with its handle; the flow's of `from`,
/// if there is no other.
fn bound<'a>(
    ports: &Ports,
    flows: &Flows,
    slots: &'a mut [Slot],
    local: SocketAddr,
    from: SocketAddr,
    by: u8,
) -> Option<(UdpId, &'a mut Socket)> {
    let socket = |index: u32| slots.get(index as usize)?.socket.as_deref();
    let found = ports.find(local, from, |index| socket(index).is_some_and(|socket| socket.comes_by(by)));
    let index = found.or_else(|| flows.find(from))?;
    let slot = slots.get_mut(index as usize)?;
    let id = UdpId { index, generation: slot.generation };
    slot.socket.as_deref_mut().map(|socket| (id, socket))
}

/// UDP_SEGMENT's limits in udp(7).
fn check_segments(data: &[u8], segment: Option<usize>) -> Result<()> {
    match segment {
        Some(0) => Err(Error::InvalidInput("segments of no bytes")),
        Some(_) if data.len() > MAX_DATA => Err(Error::MessageTooLong),
        Some(segment) if data.len().div_ceil(segment) > MAX_SEGMENTS => {
            Err(Error::InvalidInput("more than 64 segments"))
        }
        _ => Ok(()),
    }
}

impl Outcome {
    fn dropped(reason: DropReason) -> Outcome {
        Outcome { disposition: Disposition::Dropped(reason), changed: None, others: Vec::new(), reply: None }
    }
}

/// Who has sent the datagram that [`Ip::input`] found in `frame`, and the bytes that it will be charged.
pub fn opening(frame: &RxFrame, packet: &Packet) -> Option<(SocketAddr, usize)> {
    let (header, len) = wire::parse(&frame.data[packet.bytes.clone()]).ok()?;
    let data = packet.bytes.start + wire::HEADER_LEN..packet.bytes.start + len;
    Some((SocketAddr::new(packet.src, header.src_port), cost(&frame.data.slice(data).compact())))
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
