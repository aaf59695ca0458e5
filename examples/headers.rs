//! Makes the capture of [the walk through the headers](../docs/headers.md): two stacks, a router and a stranger on a link
//! in memory, in virtual time, so that each run makes the same packets.
//!
//! ```text
//! cargo run --example headers -- headers.pcapng
//! ```
//!
//! The capture is taken at one of the stacks, `us`. What honest hosts send is sent by the other one; what they do not,
//! or not when asked to, is written by hand.

use etherparse::PacketBuilder;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::device::pcap::{PcapTap, comment};
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, SendMsg, Shutdown, Stack, TcpId};
use tunstack::time::Instant;
use tunstack::wire::{RxFrame, TxFrame, checksum};

const US: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2))];
const PEER: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
const ROUTER: [u8; 4] = [192, 0, 2, 254];
const LINK_LOCAL: [IpAddr; 2] =
    [IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2)), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1))];
/// Beyond the router.
const FAR: [u8; 4] = [198, 51, 100, 7];

const HTTP: u16 = 80;
const ECHO: u16 = 7;
const CLOSED: u16 = 4242;

/// What a packet takes to cross the link.
const TRIP: Duration = Duration::from_micros(250);

/// Rounds in which neither side may stop sending.
const ROUNDS: usize = 10_000;

/// Protocol numbers that nobody here speaks: for experiments (RFC 3692), and IPv6's "nothing follows".
const EXPERIMENT: u8 = 253;
const NOTHING: u8 = 59;

/// A file in memory.
#[derive(Clone, Default)]
struct File(Arc<Mutex<Vec<u8>>>);

impl Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The link, with who is on it.
struct Link {
    us: Stack,
    peer: Stack,
    now: Instant,
    tap: PcapTap,
    /// Frames of the peer that still arrive before one is lost.
    until_loss: Option<u32>,
}

impl Link {
    fn new(file: &File) -> Link {
        let stack = |host: usize, all: [[IpAddr; 2]; 2]| {
            let addresses =
                vec![Cidr::new(all[host][0], 24), Cidr::new(all[host][1], 64), Cidr::new(LINK_LOCAL[host], 64)];
            let config = Config { addresses, trace_events: 64, ..Config::default() };
            Stack::new(config, Rng::seed_from(host as u64), Instant::from_millis(1)).expect("a valid configuration")
        };
        let origin = Duration::from_secs(1_767_225_600); // 2026-01-01
        let tap = PcapTap::new(Box::new(file.clone()), origin).expect("memory is never full");
        let all = [US, PEER];
        Link { us: stack(0, all), peer: stack(1, all), now: Instant::from_millis(1), tap, until_loss: None }
    }

    /// A frame comes to us.
    fn deliver(&mut self, frame: RxFrame) {
        self.now += TRIP;
        let disposition = self.us.on_frame(self.now, frame.clone());
        let said = comment(self.us.trace().take(), Some(disposition));
        self.tap.rx(self.now, &frame, &said);
    }

    /// A packet that somebody wrote by hand.
    fn deliver_bytes(&mut self, packet: &[u8]) {
        self.deliver(RxFrame::plain(Slice::copy_of(packet)));
        self.settle();
    }

    /// What we send next, which is captured and goes nowhere.
    fn intercept(&mut self) -> Option<TxFrame> {
        let frame = self.us.poll_transmit(self.now)?;
        let said = comment(self.us.trace().take(), None);
        self.tap.tx(self.now, &frame, &said);
        Some(frame)
    }

    /// Carries packets until there are no more.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            if let Some(frame) = self.intercept() {
                self.now += TRIP;
                self.peer.on_frame(self.now, RxFrame::plain(Slice::copy_of(&frame.to_vec())));
            } else if let Some(frame) = self.peer.poll_transmit(self.now) {
                if self.until_loss == Some(0) {
                    self.until_loss = None;
                    continue;
                }
                self.until_loss = self.until_loss.map(|left| left - 1);
                self.deliver(RxFrame::plain(Slice::copy_of(&frame.to_vec())));
            } else {
                return;
            }
        }
        panic!("they never stop");
    }

    /// Lets time pass.
    fn sleep(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = (self.now + Duration::from_millis(10)).min(until);
            self.us.on_deadline(self.now);
            self.peer.on_deadline(self.now);
            self.settle();
        }
    }

    /// A connection from the peer to our port 80, as both ends have it.
    fn connect(&mut self, family: usize) -> (TcpId, TcpId) {
        let at = SocketAddr::new(US[family], HTTP);
        let listener = self.us.tcp_listen(at, 4, self.us.default_tcp_options()).expect("a free port");
        let options = self.peer.default_tcp_options();
        let near = self.peer.tcp_connect(self.now, None, at, options).expect("a way there");
        self.settle();
        let (far, _) = self.us.tcp_accept(self.now, listener).expect("a connection");
        self.us.listener_close(self.now, listener).expect("it is open");
        (far, near)
    }

    /// A conversation, with the handshake before and the teardown after it.
    fn conversation(&mut self, family: usize) {
        let (ours, theirs) = self.connect(family);
        self.peer.tcp_send(self.now, theirs, b"GET / HTTP/1.0\r\n\r\n").expect("room");
        self.settle();
        let reply = [b"HTTP/1.0 200 OK\r\n\r\n".as_slice(), &[b'.'; 4000]].concat();
        self.us.tcp_send(self.now, ours, &reply).expect("room");
        self.settle();
        // Of four segments to us the second is lost; what came behind it is acknowledged by SACK.
        self.until_loss = Some(1);
        self.peer.tcp_send(self.now, theirs, &[b'+'; 5700]).expect("room");
        self.settle();
        self.sleep(Duration::from_secs(2));
        // Urgent data, both ways.
        self.peer.tcp_send_urgent(self.now, theirs, b"stop!").expect("room");
        self.settle();
        self.us.tcp_send_urgent(self.now, ours, b"?").expect("room");
        self.settle();
        self.us.tcp_shutdown(self.now, ours, Shutdown::Write).expect("it is open");
        self.settle();
        let mut buf = [0; 10_000];
        while self.us.tcp_recv(self.now, ours, &mut buf).is_ok_and(|n| n > 0) {}
        while self.peer.tcp_recv(self.now, theirs, &mut buf).is_ok_and(|n| n > 0) {}
        self.settle();
        self.peer.tcp_close(self.now, theirs).expect("it is open");
        self.settle();
        self.us.tcp_close(self.now, ours).expect("it is open");
        self.sleep(Duration::from_millis(500));
    }

    /// A connection to a port where nobody listens, and one that is aborted.
    fn resets(&mut self) {
        let options = self.peer.default_tcp_options();
        let closed = SocketAddr::new(US[0], CLOSED);
        self.peer.tcp_connect(self.now, None, closed, options).expect("a way there");
        self.settle();
        let (ours, _) = self.connect(0);
        self.us.tcp_abort(self.now, ours).expect("it is open");
        self.settle();
    }

    /// Datagrams small and large, to a socket and to none.
    fn datagrams(&mut self, family: usize) {
        let at = SocketAddr::new(US[family], ECHO);
        let echo = self.us.udp_bind(at).expect("a free port");
        let client = self.peer.udp_bind(SocketAddr::new(PEER[family], 40_007)).expect("a free port");
        for data in [b"hello".as_slice(), b"", &[b'u'; 4000]] {
            self.peer.udp_send(self.now, client, data, Some(at)).expect("room");
            self.settle();
            let mut buf = [0; 5000];
            let (len, from) = self.us.udp_recv(echo, &mut buf, false).expect("a datagram");
            self.us.udp_options(echo).expect("it is open").tos = 0xb8; // expedited forwarding (RFC 3246)
            self.us.udp_send(self.now, echo, &buf[..len], Some(from)).expect("room");
            self.settle();
        }
        self.peer.udp_send(self.now, client, b"anybody?", Some(SocketAddr::new(US[family], CLOSED))).expect("room");
        self.settle();
        self.us.udp_close(echo).expect("it is open");
        self.peer.udp_close(client).expect("it is open");
    }

    /// Groups are joined and left: IGMP with its Router Alert option, MLD with its hop-by-hop header.
    fn groups(&mut self) {
        for group in ["239.1.2.3", "ff15::7"] {
            let group: IpAddr = group.parse().expect("an address");
            let any: SocketAddr = if group.is_ipv4() { ([0; 4], 5000).into() } else { ([0u16; 8], 5000).into() };
            let socket = self.us.udp_bind(any).expect("a free port");
            self.us.udp_join(socket, group, None).expect("a group");
            self.sleep(Duration::from_secs(2));
            self.us.udp_options(socket).expect("it is open").multicast_ttl = 1;
            self.us.udp_send(self.now, socket, b"to all", Some(SocketAddr::new(group, 5000))).expect("room");
            self.sleep(Duration::from_millis(50));
            self.us.udp_close(socket).expect("it is open");
            self.sleep(Duration::from_secs(2));
        }
    }

    /// What the router has to say: a TTL that ran out, and a packet that is too big for its next link.
    fn router(&mut self) {
        let socket = self.us.udp_bind(SocketAddr::new(US[0], 0)).expect("a free port");
        let far = SocketAddr::new(IpAddr::from(FAR), 33434);
        let message = SendMsg { ttl: Some(1), ..SendMsg::to(far, b"how far?") };
        self.us.udp_send_msg(self.now, socket, &message).expect("room");
        let probe = self.intercept().expect("a datagram").to_vec();
        self.complain(|b| b.icmpv4_raw(11, 0, [0; 4]), &probe);
        self.us.udp_close(socket).expect("it is open");

        let (ours, _) = self.connect(0);
        self.us.tcp_send(self.now, ours, &[b'm'; 2800]).expect("room");
        let segment = self.intercept().expect("a segment").to_vec();
        self.complain(|b| b.icmpv4_raw(3, 4, [0, 0, 0x05, 0x00]), &segment);
        self.settle();
        self.us.tcp_abort(self.now, ours).expect("it is open");
        self.settle();
    }

    /// The router's ICMP error about `packet`.
    fn complain(
        &mut self,
        error: impl FnOnce(
            etherparse::PacketBuilderStep<etherparse::IpHeaders>,
        ) -> etherparse::PacketBuilderStep<etherparse::Icmpv4Header>,
        packet: &[u8],
    ) {
        let IpAddr::V4(us) = US[0] else { unreachable!("an IPv4 address") };
        let builder = error(PacketBuilder::ipv4(ROUTER, us.octets(), 64));
        let mut bytes = Vec::new();
        builder.write(&mut bytes, &packet[..packet.len().min(548)]).expect("memory");
        self.deliver_bytes(&bytes);
    }

    /// What IPv4 may say and honest hosts seldom do.
    fn strange_v4(&mut self) {
        let echo = self.us.udp_bind(SocketAddr::new(US[0], ECHO)).expect("a free port");
        let plain = v4(17, &[], &udp_v4(b"strange", true));
        // No checksum; padding behind the packet; options; the reserved bit.
        self.deliver_bytes(&v4(17, &[], &udp_v4(b"no checksum", false)));
        self.deliver_bytes(&[plain.clone(), vec![0; 6]].concat());
        self.deliver_bytes(&v4(17, &[1, 1, 7, 7, 4, 0, 0, 0, 0, 0, 0, 0], &udp_v4(b"record route", true)));
        self.deliver_bytes(&changed(&plain, |p| p[6] |= 0x80));
        // What is refused: a source route, a bad checksum, a bad length, another version, a strange protocol.
        self.deliver_bytes(&v4(17, &[131, 7, 4, 203, 0, 113, 9, 0], &udp_v4(b"source route", true)));
        let mut bad = plain.clone();
        bad[10] ^= 0xff;
        self.deliver_bytes(&bad);
        self.deliver_bytes(&changed(&plain, |p| p[2..4].copy_from_slice(&2000u16.to_be_bytes())));
        self.deliver_bytes(&changed(&plain, |p| p[0] = 0x55));
        self.deliver_bytes(&v4(EXPERIMENT, &[], b"nobody speaks this"));
        let mut wrong = udp_v4(b"wrong sum", true);
        wrong[6] ^= 0xff;
        self.deliver_bytes(&v4(17, &[], &wrong));
        self.us.udp_close(echo).expect("it is open");
    }

    /// What IPv6 may say and honest hosts seldom do.
    fn strange_v6(&mut self) {
        let echo = self.us.udp_bind(SocketAddr::new(US[1], ECHO)).expect("a free port");
        let datagram = udp_v6(b"strange");
        let padding = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
        // Options that say nothing; a ping; no next header.
        self.deliver_bytes(&v6(60, &[&padding(17)[..], &datagram].concat()));
        self.deliver_bytes(&v6(0, &[&padding(17)[..], &datagram].concat()));
        let ping = sealed_v6(58, 2, &[128, 0, 0, 0, 0xbe, 0xef, 0, 1, b'p', b'i', b'n', b'g']);
        self.deliver_bytes(&v6(58, &ping));
        self.deliver_bytes(&v6(NOTHING, b""));
        // A fragment that is the whole packet (RFC 6946).
        self.deliver_bytes(&v6(44, &[&[17, 0, 0, 0, 0, 0, 0, 9][..], &datagram].concat()));
        // What is refused: a route (type 0), an option that must be known, a protocol that is not, no checksum.
        self.deliver_bytes(&v6(43, &[&[17, 2, 0, 1, 0, 0, 0, 0][..], &[0xfe; 16], &datagram].concat()));
        self.deliver_bytes(&v6(60, &[&[17, 0, 0x9e, 4, 0, 0, 0, 0][..], &datagram].concat()));
        self.deliver_bytes(&v6(EXPERIMENT, b"nobody speaks this"));
        let mut unsummed = datagram;
        unsummed[6..8].fill(0);
        self.deliver_bytes(&v6(17, &unsummed));
        self.us.udp_close(echo).expect("it is open");
    }

    /// A SYN with more than was asked for: ECN's bits, an option that nobody knows, and data.
    fn strange_syn(&mut self) {
        let at = SocketAddr::new(US[0], HTTP);
        let listener = self.us.tcp_listen(at, 4, self.us.default_tcp_options()).expect("a free port");
        let mut syn = vec![0x9c, 0x40, 0, 80, 0, 0, 0x30, 0x39, 0, 0, 0, 0, 0x80, 0xc2, 0x20, 0, 0, 0, 0, 0];
        syn.extend([2, 4, 5, 0xb4, 1, 253, 4, 0xf9, 0x89, 0, 0, 0]); // MSS, NOP, an experiment, end of the list
        syn.extend(b"early");
        let syn = sealed_v4(6, 16, &syn);
        self.deliver_bytes(&v4(6, &[], &syn));
        self.us.listener_close(self.now, listener).expect("it is open");
        self.settle();
    }
}

/// The whole capture.
pub fn capture() -> Vec<u8> {
    let file = File::default();
    let mut link = Link::new(&file);
    for family in [0, 1] {
        link.conversation(family);
        link.datagrams(family);
    }
    link.resets();
    link.groups();
    link.router();
    link.strange_v4();
    link.strange_v6();
    link.strange_syn();
    link.tap.flush().expect("memory is never full");
    drop(link);
    let file = file.0.lock().unwrap_or_else(PoisonError::into_inner);
    file.clone()
}

/// An IPv4 packet from the peer to us, with options.
fn v4(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = 20 + options.len();
    let mut packet = vec![0; len];
    packet[0] = 0x40 | (len / 4) as u8;
    packet[2..4].copy_from_slice(&((len + payload.len()) as u16).to_be_bytes());
    (packet[8], packet[9]) = (64, protocol);
    let (IpAddr::V4(src), IpAddr::V4(dst)) = (PEER[0], US[0]) else { unreachable!("IPv4 addresses") };
    packet[12..16].copy_from_slice(&src.octets());
    packet[16..20].copy_from_slice(&dst.octets());
    packet[20..].copy_from_slice(options);
    packet.extend_from_slice(payload);
    changed(&packet, |_| {})
}

/// `packet`, an IPv4 one, after `change`, with the header checksum that it needs then.
fn changed(packet: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let header = usize::from(packet[0] & 0xf) * 4;
    change(&mut packet);
    packet[10..12].fill(0);
    let sum = checksum::checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// An IPv6 packet from the peer to us.
fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (PEER[1], US[1]) else { unreachable!("IPv6 addresses") };
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet.extend(payload);
    packet
}

fn datagram(data: &[u8]) -> Vec<u8> {
    let mut datagram = vec![0x14, 0xe9, 0, ECHO as u8];
    datagram.extend((8 + data.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(data);
    datagram
}

fn udp_v4(data: &[u8], summed: bool) -> Vec<u8> {
    if summed { sealed_v4(17, 6, &datagram(data)) } else { datagram(data) }
}

fn udp_v6(data: &[u8]) -> Vec<u8> {
    sealed_v6(17, 6, &datagram(data))
}

/// `bytes` with the checksum at `field` that they have between the peer and us.
fn sealed(family: usize, protocol: u8, field: usize, bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut sum = checksum::pseudo_header(PEER[family], US[family], protocol, bytes.len());
    sum.add(&bytes);
    bytes[field..field + 2].copy_from_slice(&sum.checksum().to_be_bytes());
    bytes
}

fn sealed_v4(protocol: u8, field: usize, bytes: &[u8]) -> Vec<u8> {
    sealed(0, protocol, field, bytes)
}

fn sealed_v6(protocol: u8, field: usize, bytes: &[u8]) -> Vec<u8> {
    sealed(1, protocol, field, bytes)
}

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: headers FILE.pcapng");
        return ExitCode::from(2);
    };
    match std::fs::write(&path, capture()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
