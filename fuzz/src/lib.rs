//! What is fuzzed: one function for each kind of foreign bytes. Each takes any bytes and panics if something is wrong with
//! what becomes of them. `scripts/fuzz` runs them under libFuzzer, and `cargo test` runs them over `fuzz/corpus`.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tunstack::buf::Slice;
use tunstack::device::impair::Impairment;
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, Refusal, SendMsg, SocketId, Stack, Unreachable};
use tunstack::stats::{Disposition, DropReason};
use tunstack::time::Instant;
use tunstack::wire::gso::{Finisher, first_packet};
use tunstack::wire::ip::{self, Fragment};
use tunstack::wire::ipv4::{self, Ipv4Header};
use tunstack::wire::ipv6::{self, Ipv6Header};
use tunstack::wire::tcp_options::TcpOptions;
use tunstack::wire::{RxFrame, TxFrame, checksum, extension, fragment, protocol, tcp, udp, vnet};

const US: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
const PEER: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2))];

/// The IPv4 header: what is parsed and emitted again is the same.
pub fn ipv4(data: &[u8]) {
    let bytes = &fixed(data)[..];
    for bytes in [data, bytes] {
        if let Ok((header, len)) = ipv4::parse_quoted(bytes) {
            let _ = ipv4::check_options(&bytes[..len]);
            let mut again = [0; ipv4::MIN_HEADER_LEN];
            ipv4::emit(&header, 0, &mut again);
            assert_eq!(ipv4::parse(&again), Ok((header, 20..20)));
        }
        if let Ok((header, payload)) = ipv4::parse(bytes) {
            assert!(payload.start <= payload.end && payload.end <= bytes.len());
            assert_eq!(ip::parse(bytes), Ok((header.into(), payload.clone())));
            let whole = fragment::whole_header(bytes, payload.start, payload.len(), header.tos);
            let (whole, start) = (whole.expect("a length that was said"), payload.start);
            assert!(whole.len() == start && ipv4::parse_quoted(&whole).is_ok_and(|(h, _)| !h.is_fragment()));
        }
    }
}

/// The IPv6 header and its extension headers: whoever walks the chain ends within it.
pub fn ipv6(data: &[u8]) {
    if let Ok(header) = ipv6::parse_quoted(data) {
        let mut again = [0; ipv6::HEADER_LEN];
        ipv6::emit(&header, 0, &mut again);
        assert_eq!(ipv6::parse(&again), Ok((header, 40..40)));
        let upper = extension::skip(data, header.next_header);
        assert!(upper.start <= data.len() && upper.named_at < upper.start);
    }
    let Ok((header, payload)) = ipv6::parse(data) else { return };
    let packet = &data[..payload.end];
    for multicast in [false, true] {
        if let Ok(upper) = extension::walk(packet, header.next_header, multicast) {
            assert!(upper.start <= packet.len() && upper.named_at < upper.start);
            if upper.fragment.is_some_and(|place| place.offset == 0) {
                let whole = fragment::whole_header(packet, upper.start, packet.len() - upper.start, 3);
                let whole = whole.expect("shorter than the packet");
                assert_eq!(ipv6::parse_quoted(&whole).expect("a header").traffic_class, 3);
            }
        }
    }
    let _ = ip::parse_quoted(data);
}

/// An ICMP message of both versions, alone and with an error's quote, into a stack: answers are good packets.
pub fn icmp(data: &[u8]) {
    let mut world = World::new(1500);
    for family in 0..2 {
        let kind = [protocol::ICMP, protocol::ICMPV6][family];
        world.receive(&packet(family, kind, data));
        // As the quote of an error of each kind, and of what we may have sent.
        let (first, rest) = data.split_at(data.len().min(8));
        let mut quoted = packet(family, protocol::UDP, rest);
        let (src, dst) = ([12, 8][family], [16, 24][family]);
        let len = dst - src;
        for i in 0..len {
            quoted.swap(src + i, dst + i);
        }
        world.receive(&packet(family, kind, &[first, &quoted].concat()));
    }
    world.finish();
}

/// The TCP header and its options: what is parsed and emitted again is the same.
pub fn tcp(data: &[u8]) {
    let options = TcpOptions::parse(data);
    assert!(options.encoded_len() <= 40);
    if let Ok((header, len)) = tcp::parse(data) {
        assert!((tcp::MIN_HEADER_LEN..=tcp::MAX_HEADER_LEN).contains(&len) && len <= data.len());
        let mut again = [0; tcp::MAX_HEADER_LEN];
        let n = tcp::emit(&header, &mut again);
        let (emitted, len) = tcp::parse(&again[..n]).expect("a header of ours");
        // Packed anew, not all SACK blocks may have room.
        let cut = emitted.options.sack.as_slice().len() < header.options.sack.as_slice().len();
        let options = if cut { emitted.options } else { header.options };
        assert_eq!((emitted, len), (tcp::TcpHeader { options, ..header }, n));
    }
}

/// The UDP header, and a datagram into a stack.
pub fn udp(data: &[u8]) {
    if let Ok((header, len)) = udp::parse(data) {
        assert!((udp::HEADER_LEN..=data.len()).contains(&len));
        let mut again = [0; udp::HEADER_LEN];
        udp::emit(&header, 0, &mut again);
        assert_eq!(udp::parse(&again), Ok((header, udp::HEADER_LEN)));
    }
    let mut world = World::new(1500);
    for family in 0..2 {
        world.receive(&packet(family, protocol::UDP, data));
    }
    world.finish();
}

/// What a device says of a frame, believed as far as it can be, and the packets that are made of a super-segment.
pub fn vnet(data: &[u8]) {
    let Some((header, packet)) = data.split_first_chunk::<{ vnet::HEADER_LEN }>() else { return };
    let meta = vnet::decode(header, packet);
    let frame = RxFrame { data: Slice::copy_of(packet), meta };
    assert!(first_packet(&frame).len() <= packet.len());
    for whole in [false, true] {
        let (mut finisher, mut pieces) = (Finisher::default(), 0);
        finisher.whole = whole;
        finisher.received(&frame, |piece, last| {
            pieces += 1;
            assert!(piece.len() <= packet.len() && (last || meta.gso.is_some()));
        });
        assert!(pieces <= packet.len().max(1));
    }
    let mut world = World::new(1500);
    world.give(frame);
    world.finish();
}

/// What a user writes on the command line about a bad wire: what is read can be said again.
pub fn impairment(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        let _ = text.parse::<Impairment>().map_err(|error| error.to_string());
    }
}

/// A packet for human eyes.
pub fn pretty(data: &[u8]) {
    let _ = tunstack::wire::pretty::pretty(data).to_string();
    let _ = tunstack::wire::pretty::pretty(&fixed(data)).to_string();
}

/// Any frames into a whole stack, with time between them.
pub fn frame(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut world = World::new([1500, 1280, 9000, 65_535][usize::from(bytes.byte() & 3)]);
    for _ in 0..1000 {
        if bytes.0.is_empty() {
            break;
        }
        let (how, len) = (bytes.byte(), usize::from(bytes.byte()));
        match how & 7 {
            0 => world.pass(Duration::from_millis(len as u64 * 100)),
            1 => _ = world.receive(bytes.take(len)),
            2 | 3 => _ = world.receive(&fixed(bytes.take(len))),
            n => {
                let kinds = [protocol::TCP, protocol::UDP, [protocol::ICMP, protocol::ICMPV6][usize::from(n & 1)], how];
                world.receive(&packet(usize::from(n & 1), kinds[usize::from(how >> 6)], bytes.take(len)));
            }
        }
    }
    world.finish();
}

/// Fragments of a few packets, some of which contradict each other, against a plain model of what is to become of them.
pub fn reassembly(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut world = World::new(1500);
    let mut held: BTreeMap<(usize, bool, u32), (Instant, Vec<Given>)> = BTreeMap::new();
    let mut made = 0;
    for _ in 0..1000 {
        if bytes.0.is_empty() {
            break;
        }
        let (how, start, len, fill) = (bytes.byte(), bytes.byte(), bytes.byte(), bytes.byte());
        if how & 0xf0 == 0xf0 {
            world.pass(Duration::from_millis(u64::from(start) * 250));
            held.retain(|_, (begun, _)| world.now < *begun + Duration::from_secs(60));
            continue;
        }
        let (family, other, id) = (usize::from(how & 1), how & 2 != 0, u32::from(how >> 2 & 3));
        let given = Given {
            start: usize::from(start) * 8,
            more: how & 16 != 0,
            tos: how >> 5 & 3,
            data: vec![fill; usize::from(len)],
        };
        let disposition = world.receive(&given.packet(family, other, id));
        if given.start == 0 && !given.more {
            // No fragment, or an atomic one.
            assert_eq!(disposition, Disposition::Dropped(DropReason::ProtocolUnknown));
            continue;
        }
        if len == 0 || given.more && !len.is_multiple_of(8) {
            assert_eq!(disposition, Disposition::Dropped(DropReason::FragmentLength));
            continue;
        }
        let (_, pieces) = held.entry((family, other, id)).or_insert_with(|| (world.now, Vec::new()));
        if pieces.iter().all(|a| pieces.iter().all(|b| a.is_compatible(b)))
            && pieces.iter().any(|piece| piece.is_copy_of(&given))
        {
            assert_eq!(disposition, Disposition::Dropped(DropReason::FragmentDuplicate));
            continue;
        }
        pieces.push(given);
        let consistent = pieces.iter().all(|a| pieces.iter().all(|b| a.is_compatible(b)));
        let end = pieces.iter().find(|piece| !piece.more).map(Given::end);
        let covered = end
            .is_some_and(|end| (0..end).all(|at| pieces.iter().any(|piece| (piece.start..piece.end()).contains(&at))));
        let expected = match (consistent, covered) {
            (false, _) => Disposition::Dropped(DropReason::FragmentOverlap),
            (true, false) => Disposition::Held,
            (true, true) => {
                let (pieces, ecn) = (held.remove(&(family, other, id)).expect("it is there").1, |n| 1u8 << n);
                let seen = pieces.iter().fold(0, |seen, piece| seen | ecn(piece.tos));
                if seen & ecn(3) != 0 && seen & ecn(0) != 0 {
                    Disposition::Dropped(DropReason::FragmentEcn)
                } else {
                    made += 1;
                    Disposition::Dropped(DropReason::ProtocolUnknown)
                }
            }
        };
        assert_eq!(disposition, expected);
    }
    assert_eq!(world.stack.stats().ip.reassembled, made);
    assert_eq!(world.stack.reassembling().1, held.len());
    world.finish();
}

/// A fragment of a protocol that nobody speaks, so that the whole packet is answered.
struct Given {
    start: usize,
    more: bool,
    tos: u8,
    data: Vec<u8>,
}

impl Given {
    fn end(&self) -> usize {
        self.start + self.data.len()
    }

    /// Congestion on the way of a copy makes no other fragment of it.
    fn is_copy_of(&self, other: &Given) -> bool {
        (self.start, self.more, &self.data) == (other.start, other.more, &other.data)
    }

    fn is_compatible(&self, other: &Given) -> bool {
        let apart = self.end() <= other.start || other.end() <= self.start;
        let ends = (self.more || other.end() <= self.end()) && (other.more || self.end() <= other.end());
        self.is_copy_of(other) || apart && ends
    }

    fn packet(&self, family: usize, other: bool, id: u32) -> Vec<u8> {
        const NOBODYS: u8 = 253;
        let mut packet = packet(family, NOBODYS, &self.data);
        let mut header = vec![0; 48];
        let place = Fragment { id, offset: self.start as u16, more: self.more };
        let start = fragment::emit(&packet[..[20, 40][family]], place, self.data.len(), &mut header);
        packet.splice(..[20, 40][family], header[..start].iter().copied());
        if family == 0 {
            packet[4..6].copy_from_slice(&(id as u16).to_be_bytes());
            (packet[1], packet[15]) = (self.tos, 2 + u8::from(other));
        } else {
            (packet[1], packet[23]) = (self.tos << 4, 2 + u8::from(other));
        }
        fix(&mut packet);
        packet
    }
}

/// Datagrams of any size over links of any size, in any order, some twice: what comes is what was sent.
pub fn fragments(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mtu = 1280 + 8 * usize::from(bytes.byte());
    let (mut near, mut far) = (World::new(mtu), World::new(mtu));
    near.rename(PEER);
    let sockets = [0, 1].map(|family| {
        let socket = |world: &mut World, addr: [IpAddr; 2]| {
            world.stack.udp_bind(SocketAddr::new(addr[family], 99)).expect("a free port")
        };
        (socket(&mut near, PEER), socket(&mut far, US))
    });
    for _ in 0..20 {
        if bytes.0.is_empty() {
            break;
        }
        let (how, high, low) = (bytes.byte(), bytes.byte(), bytes.byte());
        let (family, len) = (usize::from(how & 1), usize::from(u16::from_be_bytes([high, low])).min(65_507));
        let text: Vec<u8> = (0..len).map(|i| (i * 7 + usize::from(how)) as u8).collect();
        let (from, at) = sockets[family];
        let to = Some(SocketAddr::new(US[family], 99));
        assert_eq!(near.stack.udp_send(near.now, from, &text, to), Ok(len));
        let mut packets: Vec<Vec<u8>> = Vec::new();
        while let Some(frame) = near.stack.poll_transmit(near.now) {
            assert!(frame.len() <= mtu);
            packets.push(frame.to_vec());
        }
        // The order is the input's.
        for i in (1..packets.len()).rev() {
            packets.swap(i, usize::from(bytes.byte()) % (i + 1));
        }
        if how & 2 != 0 && packets.len() > 1 {
            packets.insert(1, packets[0].clone());
        }
        for packet in &packets {
            far.stack.on_frame(far.now, RxFrame::plain(Slice::copy_of(packet)));
        }
        let mut buf = vec![0; 70_000];
        let (n, _) = far.stack.udp_recv(at, &mut buf, false).expect("all of it has come");
        assert!(buf[..n] == text[..]);
    }
    far.finish();
}

/// A stack that serves a port of each kind, and what must hold of it whatever it receives.
struct World {
    stack: Stack,
    now: Instant,
    mtu: usize,
    buf: Vec<u8>,
}

impl World {
    fn new(mtu: usize) -> World {
        World::with(mtu, US)
    }

    fn with(mtu: usize, addresses: [IpAddr; 2]) -> World {
        let now = Instant::from_millis(1000);
        let addresses = vec![Cidr::new(addresses[0], 24), Cidr::new(addresses[1], 64)];
        let config = Config { addresses, mtu, icmp_errors_per_second: 1_000_000, ..Config::default() };
        let mut stack = Stack::new(config, Rng::seed_from(1), now).expect("a valid configuration");
        // Both hear IPv4, too.
        let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let options = stack.default_tcp_options();
        stack.tcp_listen(SocketAddr::new(any, 80), 8, options).expect("a free port");
        stack.udp_bind(SocketAddr::new(any, 9)).expect("a free port");
        stack.syn_gate_open(stack.default_tcp_options()).expect("it is not open");
        stack.udp_gate_open().expect("it is not open");
        World { stack, now, mtu, buf: vec![0; 70_000] }
    }

    /// The same stack at other addresses.
    fn rename(&mut self, addresses: [IpAddr; 2]) {
        *self = World::with(self.mtu, addresses);
    }

    fn receive(&mut self, packet: &[u8]) -> Disposition {
        self.give(RxFrame::plain(Slice::copy_of(packet)))
    }

    fn give(&mut self, frame: RxFrame) -> Disposition {
        let disposition = self.stack.on_frame(self.now, frame);
        self.serve();
        disposition
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.stack.on_deadline(self.now);
        self.serve();
    }

    /// Takes what came, answers some of it, and looks at every packet that goes out.
    fn serve(&mut self) {
        for _ in 0..10_000 {
            let Some(id) = self.stack.poll_ready() else { break };
            match id {
                SocketId::Listener(id) => {
                    let _ = self.stack.tcp_accept(self.now, id);
                }
                SocketId::Tcp(id) => {
                    if let Ok(n) = self.stack.tcp_recv(self.now, id, &mut self.buf) {
                        let _ = self.stack.tcp_send(self.now, id, &self.buf[..n]);
                    }
                }
                SocketId::Udp(id) => {
                    if let Ok((n, from)) = self.stack.udp_recv(id, &mut self.buf, false) {
                        let _ = self.stack.udp_send(self.now, id, &self.buf[..n], Some(from));
                    }
                }
                SocketId::SynGate(gate) => {
                    while let Ok(request) = self.stack.syn_next(gate) {
                        let how = match request.destination.port() % 4 {
                            0 => {
                                let _ = self.stack.syn_accept(self.now, gate, request.id);
                                continue;
                            }
                            1 => Refusal::Reset,
                            2 => Refusal::Silence,
                            _ => Refusal::Unreachable(Unreachable::Host),
                        };
                        self.stack.syn_refuse(self.now, gate, request.id, how).expect("it waits");
                    }
                }
                SocketId::UdpGate(gate) => {
                    while let Ok((flow, _)) = self.stack.udp_gate_accept(gate) {
                        let got = self.stack.udp_recv_msg(flow, &mut self.buf, false).expect("what it began with");
                        let back = SendMsg { source: Some(got.destination), ..SendMsg::default() };
                        let back = SendMsg { data: &self.buf[..got.len], ..back };
                        let _ = self.stack.udp_send_msg(self.now, flow, &back);
                        self.stack.udp_close(flow).expect("it is open");
                    }
                }
                // Nobody opens one here.
                SocketId::Raw(_) => {}
            }
        }
        for _ in 0..10_000 {
            let Some(frame) = self.stack.poll_transmit(self.now) else { return };
            self.check_out(&frame);
        }
        panic!("output without end");
    }

    fn check_out(&self, frame: &TxFrame) {
        let bytes = frame.to_vec();
        let (header, payload) = ip::parse(&bytes).expect("a good packet");
        assert!(bytes.len() <= self.mtu && payload.end == bytes.len());
        assert!(self.stack.config().addresses.iter().any(|own| own.addr == header.src) || header.src.is_unspecified());
        let (src, dst, bytes) = (header.src, header.dst, &bytes[payload]);
        let good = |protocol| {
            let mut sum = checksum::pseudo_header(src, dst, protocol, bytes.len());
            sum.add(bytes);
            sum.fold() == 0xffff
        };
        match header.protocol {
            _ if header.fragment.is_some() => {}
            protocol::TCP | protocol::UDP | protocol::ICMPV6 => assert!(good(header.protocol)),
            protocol::ICMP => assert_eq!(checksum::checksum(bytes), 0),
            _ => {}
        }
    }

    /// Every frame was counted once, nothing holds more than it may, and what waits for fragments does not wait for ever.
    fn finish(mut self) {
        let stats = self.stack.stats();
        let counted = stats.delivered + stats.answered + stats.held + stats.dropped_total();
        assert_eq!(stats.frames_in, counted);
        let config = self.stack.config();
        let (memory, packets) = self.stack.reassembling();
        assert!(self.stack.memory() <= config.memory);
        assert!(memory <= config.reassembly.memory && packets <= config.reassembly.packets);
        self.pass(Duration::from_secs(61));
        assert_eq!(self.stack.reassembling(), (0, 0));
    }
}

/// Bytes that are taken from the front; zeros when there are none left.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A packet from the peer to us around `payload`, with good checksums.
fn packet(family: usize, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; [20, 40][family]];
    match (PEER[family], US[family]) {
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let header = Ipv6Header { src, dst, next_header: protocol, hop_limit: 64, traffic_class: 0, flow_label: 0 };
            ipv6::emit(&header, payload.len(), &mut bytes);
        }
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = Ipv4Header {
                src,
                dst,
                protocol,
                ttl: 64,
                tos: 0,
                id: 0,
                dont_fragment: false,
                more_fragments: false,
                fragment_offset: 0,
            };
            ipv4::emit(&header, payload.len(), &mut bytes);
        }
        _ => unreachable!("both are of one family"),
    }
    bytes.extend_from_slice(payload);
    fix(&mut bytes);
    bytes
}

fn fixed(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    fix(&mut bytes);
    bytes
}

/// Puts checksums right, so that what they protect is looked at.
fn fix(packet: &mut [u8]) {
    let header_len = usize::from(packet.first().map_or(0, |first| first & 15)) * 4;
    if packet.first().is_some_and(|first| first >> 4 == 4) && header_len >= 20 && header_len <= packet.len() {
        packet[10..12].fill(0);
        let sum = checksum::checksum(&packet[..header_len]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    let Ok((header, start)) = ip::parse_quoted(packet) else { return };
    let end = ip::parse(packet).map_or(packet.len(), |(_, payload)| payload.end);
    if header.fragment.is_some() || start > end {
        return;
    }
    let transport = &mut packet[start..end];
    let (field, pseudo) = match header.protocol {
        protocol::TCP => (16, true),
        protocol::UDP => (6, true),
        protocol::ICMPV6 => (2, true),
        protocol::ICMP | protocol::IGMP => (2, false),
        _ => return,
    };
    if transport.len() < field + 2 {
        return;
    }
    transport[field..field + 2].fill(0);
    let mut sum = if pseudo {
        checksum::pseudo_header(header.src, header.dst, header.protocol, transport.len())
    } else {
        checksum::Sum::default()
    };
    sum.add(transport);
    let sum = sum.checksum();
    transport[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}
