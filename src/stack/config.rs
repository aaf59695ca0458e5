//! Every setting and bound of a stack, with its default. `docs/limits.md` says why each is what it is.

use super::{HostModel, IfName, Interface, Route};
use crate::tcp::TcpConfig;
use crate::tcp::gate::GateConfig;
use crate::wire::Offloads;
use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};

/// One of the stack's own addresses with its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The address.
    pub addr: IpAddr,
    /// The length of the prefix in bits.
    pub prefix: u8,
}

impl Cidr {
    /// An address with its prefix length.
    pub const fn new(addr: IpAddr, prefix: u8) -> Self {
        Cidr { addr, prefix }
    }

    /// Whether `other` lies in the same prefix.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.addr, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let shift = 32 - u32::from(self.prefix.min(32));
                (u64::from(a.to_bits()) >> shift) == (u64::from(b.to_bits()) >> shift)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let shift = 128 - u32::from(self.prefix.min(128));
                shift == 128 || (a.to_bits() >> shift) == (b.to_bits() >> shift)
            }
            _ => false,
        }
    }

    /// The prefix's directed broadcast address, if it has one (IPv4, prefix of at most 30 bits).
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.addr {
            IpAddr::V4(a) if self.prefix <= 30 => {
                Some(Ipv4Addr::from_bits(a.to_bits() | u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0)))
            }
            _ => None,
        }
    }
}

/// What a [`Stack`](super::Stack) is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the first interface, or of the only one. Its addresses and its MTU stand here beside it.
    pub name: IfName,
    /// The stack's own addresses on it. At least one interface has one.
    pub addresses: Vec<Cidr>,
    /// Further interfaces. With any, only their networks are reached, unless routes say otherwise.
    pub interfaces: Vec<Interface>,
    /// Whether an address belongs to the host or to its interface.
    pub host_model: HostModel,
    /// Whether packets to the addresses of all hosts are for us, not only those to our own (any-IP). What is bound to no
    /// address, or to one that is not ours, has them then, and answers come from the address that was asked.
    pub any_address: bool,
    /// Where packets go. Without any, every destination is beyond the link, if that is the only one.
    pub routes: Vec<Route>,
    /// Rules: packets of sockets with this mark (SO_MARK) leave by the interface of this name, whatever the routes say, as
    /// with `ip rule fwmark` on Linux. The first that fits counts.
    pub marks: Vec<(u32, IfName)>,
    /// The largest IP packet on the link, in bytes (68 to 65,535).
    pub mtu: usize,
    /// What the device does to the frames we send: nothing, unless it says so. Only what stands here is asked of it. Of
    /// several, what all of them do.
    pub offloads: Offloads,
    /// TTL of packets we send (1 to 255), unless a socket sets its own.
    pub ttl: u8,
    /// Whether echo requests to our own addresses are answered.
    pub echo_reply: bool,
    /// ICMP errors that may be sent each second, in all; also the bucket's size.
    pub icmp_errors_per_second: u32,
    /// RST segments for unknown connections that may be sent each second; also the bucket's size.
    pub resets_per_second: u32,
    /// Memory for all buffered data of all sockets, in bytes.
    pub memory: usize,
    /// The bounds of reassembly.
    pub reassembly: ReassemblyConfig,
    /// TCP connections in any state, TIME-WAIT included.
    pub max_connections: usize,
    /// TIME-WAIT records; beyond it the oldest ends early.
    pub max_time_wait: usize,
    /// Connections whose application has closed and that are still being shut down.
    pub max_orphans: usize,
    /// Half-open connections for each listener; beyond it SYN cookies are sent.
    pub max_syn_queue: usize,
    /// Largest backlog that `listen` grants.
    pub max_backlog: usize,
    /// UDP sockets.
    pub max_udp_sockets: usize,
    /// Replies (RST, ICMP, SYN cookies) waiting to be pulled.
    pub max_replies: usize,
    /// Trace events kept until they are taken; none by default, so that nothing is recorded.
    pub trace_events: usize,
    /// TCP's settings.
    pub tcp: TcpConfig,
    /// The bounds of SYNs that wait for a verdict.
    pub gate: GateConfig,
    /// UDP's settings.
    pub udp: UdpConfig,
    /// The bounds of a UDP gate's flows.
    pub flows: FlowConfig,
}

/// The bounds of what waits to be reassembled.
#[derive(Clone, Debug)]
pub struct ReassemblyConfig {
    /// Memory for fragments, in bytes, beside that of the sockets. With none, fragments are dropped.
    pub memory: usize,
    /// Packets of which fragments wait for others.
    pub packets: usize,
    /// How long a packet's fragments are waited for, from the first that came.
    pub timeout: Duration,
}

/// UDP's settings.
#[derive(Clone, Debug)]
pub struct UdpConfig {
    /// Received bytes, with 64 for each datagram, that a socket holds.
    pub recv_buffer: usize,
    /// Bytes to be sent, with 128 for each datagram, that a socket holds.
    pub send_buffer: usize,
    /// Datagrams to be sent that a socket holds.
    pub send_queue: usize,
}

/// The bounds of a UDP gate's flows.
#[derive(Clone, Debug)]
pub struct FlowConfig {
    /// Flows, those included that have not been accepted. They count as UDP sockets too.
    pub max_flows: usize,
    /// Of those, from one source address; over IPv6 from one network of 64 bits.
    pub max_per_source: usize,
    /// Memory for the datagrams of flows that have not been accepted, in bytes; half of UDP's at most.
    pub memory: usize,
    /// How long a flow may be idle, in both directions, before it ends.
    pub idle: Duration,
    /// The same while it has sent nothing back.
    pub unanswered: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            name: IfName::default(),
            addresses: Vec::new(),
            interfaces: Vec::new(),
            host_model: HostModel::default(),
            any_address: false,
            routes: Vec::new(),
            marks: Vec::new(),
            mtu: 1500,
            offloads: Offloads::NONE,
            ttl: 64,
            echo_reply: true,
            icmp_errors_per_second: 1000,
            resets_per_second: 10_000,
            memory: 256 * 1024 * 1024,
            reassembly: ReassemblyConfig::default(),
            max_connections: 1 << 20,
            max_time_wait: 131_072,
            max_orphans: 65_536,
            max_syn_queue: 1024,
            max_backlog: 4096,
            max_udp_sockets: 16_384,
            max_replies: 1024,
            trace_events: 0,
            tcp: TcpConfig::default(),
            gate: GateConfig::default(),
            udp: UdpConfig::default(),
            flows: FlowConfig::default(),
        }
    }
}

impl Default for ReassemblyConfig {
    fn default() -> Self {
        ReassemblyConfig { memory: 4 * 1024 * 1024, packets: 4096, timeout: Duration::from_secs(60) }
    }
}

impl Default for FlowConfig {
    fn default() -> Self {
        let (idle, unanswered) = (Duration::from_secs(300), Duration::from_secs(30));
        FlowConfig { max_flows: 8192, max_per_source: 4096, memory: 8 * 1024 * 1024, idle, unanswered }
    }
}

impl Default for UdpConfig {
    fn default() -> Self {
        UdpConfig { recv_buffer: 208 * 1024, send_buffer: 208 * 1024, send_queue: 256 }
    }
}
