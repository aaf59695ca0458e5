//! Raw and ping sockets: raw(7) and icmp(7).
//!
//! | file | holds |
//! |---|---|
//! | here | the socket table, packets in and out |
//! | `echo` | what a ping socket makes of ICMP messages |
//!
//! A raw socket gets a copy of every packet of its protocol that is for us, whatever else becomes of it: over IPv4 with
//! the IP header, over IPv6 what is behind the headers. A ping socket sends echo requests under an identifier of its own,
//! and hears the replies to them and the errors about them. Few are ever open, so each packet is shown to all of them;
//! while none is, nothing is looked at.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod echo;

pub use echo::{Echo, EchoError};

use crate::buf::Slice;
use crate::error::{Error, Result};
use crate::icmp;
use crate::ip::inbox::{Envelope, Inbox, cost};
use crate::ip::socket_errors::{Errors, Keeps};
use crate::ip::{self, Ip, Outgoing, Packet, Way};
use crate::rng::Rng;
use crate::stack::{Config, RawId, RawOptions, Readiness, RecvMsg, SocketError};
use crate::wire::{RxFrame, TxFrame, checksum, ip as wire_ip, ipv4};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Raw and ping sockets of a stack together.
const MAX_SOCKETS: usize = 256;

/// The part of the stack's memory that they may fill.
const MEMORY_SHARE: usize = 16;

/// What a packet in the outbox costs beside its data.
const OUTBOX_OVERHEAD: usize = 192;

/// The TTL of what is sent to groups, unless the socket has its own.
const MULTICAST_TTL: u8 = 1;

/// Where the checksum stands in an ICMPv6 message.
const ICMPV6_CHECKSUM: core::ops::Range<usize> = 2..4;

/// All raw and ping sockets of a stack.
#[derive(Debug)]
pub struct Sockets {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// How many are open.
    open: usize,
    outbox: VecDeque<Departure>,
    memory: usize,
    limits: Limits,
    rng: Rng,
}

#[derive(Debug)]
struct Limits {
    memory: usize,
    recv_buffer: usize,
    send_queue: usize,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    socket: Option<Box<Socket>>,
}

#[derive(Debug)]
struct Socket {
    kind: Kind,
    /// Our end; unspecified is any address of the family.
    local: IpAddr,
    peer: Option<IpAddr>,
    options: RawOptions,
    inbox: Inbox,
    unsent: usize,
    errors: Errors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// All packets of this protocol.
    Raw(u8),
    /// Echo replies with this identifier.
    Ping(u16),
}

/// A packet to be sent.
#[derive(Debug)]
struct Departure {
    id: RawId,
    header: Header,
    /// The interface that it must leave by, if that is not zero.
    interface: u8,
    data: Slice,
}

#[derive(Debug)]
enum Header {
    /// To be made.
    Ours(Outgoing),
    /// The application's.
    Theirs(SmallVec<[u8; ipv4::MIN_HEADER_LEN]>),
}

impl Sockets {
    /// No sockets yet, with `config`'s bounds.
    pub fn new(config: &Config, rng: Rng) -> Sockets {
        let memory = config.memory / MEMORY_SHARE;
        let limits = Limits { memory, recv_buffer: config.udp.recv_buffer, send_queue: config.udp.send_queue };
        Sockets { slots: Vec::new(), free: Vec::new(), open: 0, outbox: VecDeque::new(), memory: 0, limits, rng }
    }

    /// Bytes of buffered packets, with what each costs beside its data.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Whether there is any socket that packets are to be shown to.
    pub fn is_open(&self) -> bool {
        self.open > 0
    }

    /// What a socket is ready for; a closed handle is readable, writable, and hung up.
    pub fn readiness(&self, id: RawId) -> Readiness {
        let Ok(socket) = self.get(id) else {
            return Readiness::READABLE | Readiness::WRITABLE | Readiness::HANGUP;
        };
        let mut ready = socket.errors.readiness();
        if !socket.inbox.is_empty() {
            ready |= Readiness::READABLE;
        }
        if socket.unsent < self.limits.send_queue {
            ready |= Readiness::WRITABLE;
        }
        ready
    }

    // ---- calls ----

    /// A socket for the packets of `protocol` to `local`, or to every address of its family if it is unspecified.
    ///
    /// # Errors
    /// `AddrNotAvailable`, `Unsupported` for a family without an address, `NoBufferSpace` at the bound on sockets.
    pub fn open(&mut self, ip: &Ip, local: IpAddr, protocol: u8) -> Result<RawId> {
        self.add(ip, local, Kind::Raw(protocol))
    }

    /// A ping socket at `local`, or at every address of its family if it is unspecified. The port is its identifier; zero
    /// picks a free one.
    ///
    /// # Errors
    /// As [`open`](Sockets::open); `AddrInUse` if another has the identifier, `AddrNotAvailable` also if none is free.
    pub fn open_ping(&mut self, ip: &Ip, local: SocketAddr) -> Result<RawId> {
        let ident = match local.port() {
            0 => self.free_ident(local.is_ipv4()).ok_or(Error::AddrNotAvailable)?,
            ident if self.has_ident(ident, local.is_ipv4()) => return Err(Error::AddrInUse),
            ident => ident,
        };
        self.add(ip, local.ip(), Kind::Ping(ident))
    }

    fn has_ident(&self, ident: u16, v4: bool) -> bool {
        self.sockets().any(|(_, socket)| socket.kind == Kind::Ping(ident) && socket.local.is_ipv4() == v4)
    }

    /// With so few sockets, a number drawn is rarely taken.
    fn free_ident(&mut self, v4: bool) -> Option<u16> {
        (0..MAX_SOCKETS).map(|_| self.rng.between(1, u16::MAX.into()) as u16).find(|&ident| {
            let mut sockets = self.slots.iter().filter_map(|slot| slot.socket.as_deref());
            !sockets.any(|socket| socket.kind == Kind::Ping(ident) && socket.local.is_ipv4() == v4)
        })
    }

    fn add(&mut self, ip: &Ip, local: IpAddr, kind: Kind) -> Result<RawId> {
        if local.is_unspecified() {
            ip.source_for(local).ok_or(Error::Unsupported)?;
        } else if !ip.is_local(local) {
            return Err(Error::AddrNotAvailable);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < MAX_SOCKETS => {
                self.slots.push(Slot::default());
                self.slots.len() as u32 - 1
            }
            None => return Err(Error::NoBufferSpace),
        };
        let options = RawOptions {
            ttl: None,
            tos: 0,
            broadcast: false,
            header_included: false,
            recv_buffer: self.limits.recv_buffer,
            interface: 0,
            recv_errors: false,
        };
        let slot = &mut self.slots[index as usize];
        slot.socket = Some(Box::new(Socket {
            kind,
            local,
            peer: None,
            options,
            inbox: Inbox::default(),
            unsent: 0,
            errors: Errors::default(),
        }));
        self.open += 1;
        Ok(RawId { index, generation: slot.generation })
    }

    /// Sets the peer, or forgets it: only its packets are received from now on, and what is sent without a destination
    /// goes there.
    ///
    /// # Errors
    /// `BadHandle`, `InvalidInput`, `PermissionDenied` for broadcast where the socket may not.
    pub fn connect(&mut self, ip: &Ip, id: RawId, peer: Option<IpAddr>) -> Result<()> {
        let socket = named(&mut self.slots, id)?;
        if let Some(peer) = peer {
            socket.source(ip, peer)?;
        }
        socket.peer = peer;
        Ok(())
    }

    /// Queues a packet of a raw socket, to `to` or, if `None`, to the peer. `data` is what follows the IP header, or with
    /// `header_included` of its options an IPv4 packet: then its length and checksum are filled in, and its source and
    /// identification where they are zero.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's queue is full, `NoBufferSpace` when the memory is, `MessageTooLong`,
    /// `NotConnected`, `InvalidInput`, `PermissionDenied`, `NetworkUnreachable`, `AddrNotAvailable` for a source that is
    /// not ours, `BadHandle`.
    pub fn send(&mut self, ip: &Ip, id: RawId, data: &[u8], to: Option<IpAddr>) -> Result<usize> {
        let rng = &mut self.rng;
        let socket = named(&mut self.slots, id)?;
        let Kind::Raw(protocol) = socket.kind else {
            return Err(Error::InvalidInput("a ping socket sends echo requests"));
        };
        if socket.options.header_included && socket.local.is_ipv4() {
            let (header, start) = socket.their_header(ip, data, rng)?;
            return self.queue(ip, id, Header::Theirs(header), Slice::copy_of(&data[start..]), data.len());
        }
        let out = socket.outgoing(ip, to, protocol)?;
        let mut bytes = SmallVec::<[u8; 128]>::from_slice(data);
        // As on Linux, nobody else can know the addresses (RFC 3542 3.1).
        if protocol == ip::ICMPV6
            && let Some(field) = bytes.get_mut(ICMPV6_CHECKSUM)
        {
            field.fill(0);
            let mut sum = checksum::pseudo_header(out.src, out.dst, ip::ICMPV6, bytes.len());
            sum.add(&bytes);
            bytes[ICMPV6_CHECKSUM].copy_from_slice(&sum.checksum().to_be_bytes());
        }
        self.queue(ip, id, Header::Ours(out), Slice::copy_of(&bytes), data.len())
    }

    /// Queues an echo request of a ping socket.
    ///
    /// # Errors
    /// As [`send`](Sockets::send); `InvalidInput` for a raw socket.
    pub fn send_echo(&mut self, ip: &Ip, id: RawId, sequence: u16, data: &[u8], to: Option<IpAddr>) -> Result<usize> {
        let socket = named(&mut self.slots, id)?;
        let Kind::Ping(ident) = socket.kind else {
            return Err(Error::InvalidInput("a raw socket sends packets"));
        };
        let protocol = if socket.local.is_ipv4() { ip::ICMP } else { ip::ICMPV6 };
        let out = socket.outgoing(ip, to, protocol)?;
        let mut bytes = vec![0; icmp::HEADER_LEN];
        echo::request(ident, sequence).write(out.src, out.dst, data, &mut bytes);
        bytes.extend_from_slice(data);
        self.queue(ip, id, Header::Ours(out), Slice::copy_of(&bytes), data.len())
    }

    fn queue(&mut self, ip: &Ip, id: RawId, header: Header, data: Slice, sent: usize) -> Result<usize> {
        let most = match &header {
            // What is too long for its way is cut into fragments, unless it has a header that may say otherwise.
            Header::Ours(out) if out.dst.is_ipv4() => ipv4::MAX_PACKET_LEN - ipv4::MIN_HEADER_LEN,
            Header::Ours(_) => ipv4::MAX_PACKET_LEN,
            Header::Theirs(header) => {
                let (src, dst) = (wire_ip::source(header), wire_ip::destination(header));
                let interface = self.get(id)?.options.interface;
                (ip.payload_mtu(Way::new(src, dst, interface)) + ipv4::MIN_HEADER_LEN).saturating_sub(header.len())
            }
        };
        if data.len() > most {
            return Err(Error::MessageTooLong);
        }
        let dst = match &header {
            Header::Ours(out) => out.dst,
            Header::Theirs(header) => wire_ip::destination(header),
        };
        let cost = OUTBOX_OVERHEAD + data.len();
        let socket = named(&mut self.slots, id)?;
        socket.errors.check()?;
        if socket.unsent >= self.limits.send_queue {
            return Err(Error::WouldBlock);
        }
        if self.memory + cost > self.limits.memory {
            return Err(Error::NoBufferSpace);
        }
        if socket.peer.is_none() {
            socket.errors.note_sent(SocketAddr::new(dst, 0));
        }
        socket.unsent += 1;
        self.memory += cost;
        let interface = socket.options.interface;
        self.outbox.push_back(Departure { id, header, interface, data });
        Ok(sent)
    }

    /// Takes the next packet: copies what fits into `buf`, drops the rest of it, and tells of it; ports are zero. With
    /// `peek` it stays.
    ///
    /// # Errors
    /// `WouldBlock`, `BadHandle`.
    pub fn recv(&mut self, id: RawId, buf: &mut [u8], peek: bool) -> Result<RecvMsg> {
        self.take(id, |socket| {
            socket.errors.check()?;
            socket.inbox.pop(buf, peek)
        })
    }

    /// Takes the oldest error of a raw socket's queue, where [`RawOptions::recv_errors`] is set.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `BadHandle`.
    pub fn recv_error(&mut self, id: RawId) -> Result<SocketError> {
        self.take(id, |socket| socket.errors.pop())
    }

    /// Takes the pending error, if there is one (SO_ERROR).
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn take_error(&mut self, id: RawId) -> Result<Option<Error>> {
        Ok(named(&mut self.slots, id)?.errors.take())
    }

    /// Takes the next reply to an echo request of a ping socket, or error about one: copies what fits of the data into
    /// `buf`.
    ///
    /// # Errors
    /// `WouldBlock`, `BadHandle`; `InvalidInput` for a raw socket.
    pub fn recv_echo(&mut self, id: RawId, buf: &mut [u8]) -> Result<Echo> {
        self.take(id, |socket| match socket.kind {
            Kind::Ping(_) => echo::pop(&mut socket.inbox, buf),
            Kind::Raw(_) => Err(Error::InvalidInput("a raw socket receives packets")),
        })
    }

    fn take<T>(&mut self, id: RawId, act: impl FnOnce(&mut Socket) -> Result<T>) -> Result<T> {
        let socket = named(&mut self.slots, id)?;
        let before = socket.charged();
        let taken = act(socket);
        self.memory -= before - socket.charged();
        taken
    }

    /// Our end, and the identifier of a ping socket as its port.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn local_addr(&self, id: RawId) -> Result<SocketAddr> {
        let socket = self.get(id)?;
        let ident = if let Kind::Ping(ident) = socket.kind { ident } else { 0 };
        Ok(SocketAddr::new(socket.local, ident))
    }

    /// The peer.
    ///
    /// # Errors
    /// `NotConnected`, `BadHandle`.
    pub fn peer_addr(&self, id: RawId) -> Result<IpAddr> {
        self.get(id)?.peer.ok_or(Error::NotConnected)
    }

    /// The socket's settings, to be read and set.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn options(&mut self, id: RawId) -> Result<&mut RawOptions> {
        Ok(&mut named(&mut self.slots, id)?.options)
    }

    /// Gives the handle up. What was received is lost, what was sent still goes.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn close(&mut self, id: RawId) -> Result<()> {
        self.get(id)?;
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        if let Some(socket) = slot.socket.take() {
            self.memory -= socket.charged();
        }
        self.free.push(id.index);
        self.open -= 1;
        Ok(())
    }

    // ---- packets ----

    /// Shows a packet of `protocol` to all sockets, and gives those that took it; `None` if none wanted it. `looped` ones
    /// never left us.
    pub fn input(
        &mut self,
        ip: &Ip,
        frame: &RxFrame,
        protocol: u8,
        packet: &Packet,
        looped: bool,
    ) -> Option<SmallVec<[RawId; 1]>> {
        let mut takers = None::<SmallVec<_>>;
        let envelope = Envelope {
            from: SocketAddr::new(packet.src, 0),
            to: packet.dst,
            to_port: 0,
            ttl: packet.ttl,
            tos: packet.tos,
            interface: packet.interface,
        };
        let start = if packet.dst.is_ipv4() { 0 } else { packet.bytes.start };
        let whole = start..packet.bytes.end;
        let echo = echo::read(protocol, packet, &frame.data, |ends| ip.may_be_ours(packet, ends, looped));
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(socket) = slot.socket.as_deref_mut() else { continue };
            let wanted = match socket.kind {
                Kind::Raw(wanted) => (wanted == protocol && socket.hears(packet, packet.src)).then(|| whole.clone()),
                Kind::Ping(ident) => {
                    let concerns = echo.filter(|echo| echo.ident == ident && socket.hears(packet, echo.peer));
                    concerns.map(|_| packet.bytes.clone())
                }
            };
            let Some(range) = wanted else { continue };
            let takers = takers.get_or_insert_default();
            let data = frame.data.slice(range).compact();
            let room = self.memory + cost(&data) <= self.limits.memory;
            let before = socket.inbox.charged();
            if room && socket.inbox.push(envelope, data, u16::MAX, socket.options.recv_buffer) {
                self.memory += socket.inbox.charged() - before;
                takers.push(RawId { index: index as u32, generation: slot.generation });
            }
        }
        takers
    }

    /// Tells raw sockets what an ICMP error says of their packets, as raw(7) has it: those that are connected to where the
    /// packet went, of hard errors; those that want all, of all about where they have sent lately, since others are easily
    /// forged. Gives those whose calls fail now.
    pub fn on_error(
        &mut self,
        ip: &Ip,
        frame: &RxFrame,
        protocol: u8,
        packet: &Packet,
        looped: bool,
    ) -> SmallVec<[RawId; 1]> {
        let mut told = SmallVec::new();
        let Some(echo::Complaint { kind, message, protocol, ends, data }) =
            echo::complaint(protocol, packet, frame).filter(|about| ip.may_be_ours(packet, about.ends, looped))
        else {
            return told;
        };
        let (from, to) = ends;
        let dst = SocketAddr::new(to, 0);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(socket) = slot.socket.as_deref_mut() else { continue };
            let here =
                socket.local == from || socket.local.is_unspecified() && socket.local.is_ipv4() == from.is_ipv4();
            let (connected, wanted) = (socket.peer == Some(to), socket.options.recv_errors);
            let concerned = connected || wanted && socket.peer.is_none() && socket.errors.has_sent_to(dst);
            if socket.kind != Kind::Raw(protocol) || !here || !concerned {
                continue;
            }
            let said = SocketError::new(kind, message, packet.src, dst);
            let keeps = Keeps { wanted, room: self.limits.memory.saturating_sub(self.memory) };
            let before = socket.errors.charged();
            let fails = socket.errors.note(kind, said, data, connected, keeps);
            self.memory += socket.errors.charged() - before;
            if fails {
                told.push(RawId { index: index as u32, generation: slot.generation });
            }
        }
        told
    }

    /// The next packet to send, and the socket that may have room for another now.
    pub fn poll_transmit(&mut self, ip: &mut Ip) -> Option<(RawId, TxFrame)> {
        let Departure { id, header, interface, data } = self.outbox.pop_front()?;
        self.memory -= OUTBOX_OVERHEAD + data.len();
        if let Ok(socket) = named(&mut self.slots, id) {
            socket.unsent -= 1;
        }
        let mut frame = TxFrame::default();
        frame.meta.interface = interface;
        match header {
            Header::Ours(out) => {
                ip.output(&out, data.len(), &mut frame.header);
            }
            Header::Theirs(header) => {
                frame.header.space()[..header.len()].copy_from_slice(&header);
                frame.header.set_len(header.len());
            }
        }
        frame.payload.push(data);
        Some((id, frame))
    }

    fn sockets(&self) -> impl Iterator<Item = (usize, &Socket)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((index, slot.socket.as_deref()?)))
    }

    fn get(&self, id: RawId) -> Result<&Socket> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation);
        slot.and_then(|slot| slot.socket.as_deref()).ok_or(Error::BadHandle)
    }
}

/// The socket that `id` names. Not a method, so that the rest of the table can be borrowed beside it.
fn named(slots: &mut [Slot], id: RawId) -> Result<&mut Socket> {
    let slot = slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation);
    slot.and_then(|slot| slot.socket.as_deref_mut()).ok_or(Error::BadHandle)
}

impl Socket {
    /// What waits to be read costs so much.
    fn charged(&self) -> usize {
        self.inbox.charged() + self.errors.charged()
    }

    /// Whether a packet that came from, or is about, `peer` is for it.
    fn hears(&self, packet: &Packet, peer: IpAddr) -> bool {
        let by = self.options.interface == 0 || self.options.interface == packet.interface;
        let here = by && (self.local == packet.dst || self.local.is_unspecified());
        here && self.local.is_ipv4() == packet.dst.is_ipv4() && self.peer.is_none_or(|own| own == peer)
    }

    /// The header of a packet to `to`, or to the peer.
    fn outgoing(&self, ip: &Ip, to: Option<IpAddr>, protocol: u8) -> Result<Outgoing> {
        let dst = to.or(self.peer).ok_or(Error::NotConnected)?;
        let src = self.source(ip, dst)?;
        let ttl = self.options.ttl.unwrap_or(if dst.is_multicast() { MULTICAST_TTL } else { ip.ttl() });
        Ok(Outgoing { src, dst, protocol, ttl, tos: self.options.tos, dont_fragment: false, ports: (0, 0) })
    }

    /// The address that a packet to `dst` goes from.
    fn source(&self, ip: &Ip, dst: IpAddr) -> Result<IpAddr> {
        if dst.is_ipv4() != self.local.is_ipv4() {
            return Err(Error::Unsupported);
        }
        if ip.is_broadcast(dst) {
            if !self.options.broadcast {
                return Err(Error::PermissionDenied);
            }
        } else if !dst.is_multicast() && !ip.is_valid_peer(dst) {
            return Err(Error::InvalidInput("no host has the destination address"));
        }
        let bound = Some(self.local).filter(|local| !local.is_unspecified());
        let way = Way { src: bound, dst, interface: self.options.interface };
        ip.check_route(way)?;
        let src = bound.or_else(|| ip.source_for(way)).ok_or(Error::NetworkUnreachable)?;
        if src.is_loopback() && !ip.is_local(dst) {
            return Err(Error::InvalidInput("a loopback address reaches no other host"));
        }
        Ok(src)
    }

    /// The application's own header at the start of `data`, with what it leaves to us; and its length.
    fn their_header(
        &self,
        ip: &Ip,
        data: &[u8],
        rng: &mut Rng,
    ) -> Result<(SmallVec<[u8; ipv4::MIN_HEADER_LEN]>, usize)> {
        let bad = Error::InvalidInput("no IPv4 header");
        let (mut fields, len) = ipv4::parse_quoted(data).map_err(|_| bad)?;
        let chosen = self.source(ip, fields.dst.into())?;
        if fields.src == Ipv4Addr::UNSPECIFIED
            && let IpAddr::V4(chosen) = chosen
        {
            fields.src = chosen;
        }
        if !ip.takes(fields.src.into()) {
            return Err(Error::AddrNotAvailable);
        }
        if data.len() > ipv4::MAX_PACKET_LEN {
            return Err(Error::MessageTooLong);
        }
        let mut header = SmallVec::from_slice(&data[..len]);
        if header[4..6] == [0, 0] {
            header[4..6].copy_from_slice(&(rng.u32() as u16).to_be_bytes());
        }
        header[2..4].copy_from_slice(&(data.len() as u16).to_be_bytes());
        header[10..12].fill(0);
        header[12..16].copy_from_slice(&fields.src.octets());
        let sum = checksum::checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        Ok((header, len))
    }
}

#[cfg(test)]
mod tests;
