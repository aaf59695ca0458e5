//! IP (RFC 791, 1122 3, 8200): which packets are for us, what they carry, and the header of those we send.
//!
//! | file | holds |
//! |---|---|
//! | `addresses` | our addresses; broadcast, martian and host addresses; the choice of a source |
//! | `bound` | what a socket takes by the address it is bound to, in both families |
//! | `input` | a received packet, from its first byte to the transport that gets it |
//! | `multicast` | groups: who joins, who is a member |
//! | `groups` `igmp` `mld` | what routers are told of that, and how |
//! | `reply` | echo replies and ICMP errors, with RFC 1122's silences and the rate limit |
//! | `reassembly` | fragments on their way to being a packet again |
//! | `fragment` | a packet of ours, cut into fragments |
//! | `route` | which destinations can be reached, and how |
//! | `links` | the interfaces, and which of them a packet takes |
//! | `pmtu` | what is known of the MTU of paths |
//! | `inbox` | what was received for a socket and not read yet |
//! | `socket_errors` | what went wrong with what such a socket has sent |
//! | `select` | the choice between addresses of IPv6 (RFC 6724) |
//! | `ident` | identification |
//!
//! Both versions take the same way; where their rules differ there is a match on the family of an address.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod addresses;
pub mod bound;
mod fragment;
mod groups;
mod ident;
mod igmp;
pub mod inbox;
mod input;
mod links;
mod mld;
mod multicast;
pub mod pmtu;
mod reassembly;
mod reply;
mod route;
mod select;
pub mod socket_errors;

pub use crate::wire::ip::header_len;
pub use crate::wire::protocol::{ICMP, ICMPV6, IGMP, TCP, UDP};
pub use fragment::Fragments;
pub use input::{Input, Packet};
pub use links::{Way, answers_by};
pub(crate) use multicast::stays_here;

use crate::error::{Error, Result};
use crate::icmp::ErrorKind;
use crate::icmp::limit::Limiter;
use crate::rng::{Key, Rng};
use crate::stack::{Config, HostModel, InterfaceInfo, Route};
use crate::stats::Stats;
use crate::time::Instant;
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, Ipv6Header};
use crate::wire::{RxFrame, TxFrame, TxHeader, ip};
use addresses::Addresses;
use core::hash::Hasher;
use ident::Ident;
use links::{Links, check_mtu};
use pmtu::{PathMtu, Paths};
use reassembly::Reassembly;
use route::Routes;
use std::net::{IpAddr, Ipv6Addr};

/// The internet layer of one stack.
#[derive(Debug)]
pub struct Ip {
    addresses: Addresses,
    routes: Routes,
    links: Links,
    host_model: HostModel,
    any_address: bool,
    ttl: u8,
    echo_reply: bool,
    errors: Limiter,
    ident: Ident,
    reassembly: Reassembly,
    /// What flow labels are made with.
    labels: Key,
    paths: Paths,
    rng: Rng,
}

/// What the header of an outgoing packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Source: one of our addresses.
    pub src: IpAddr,
    /// Destination, of the same family.
    pub dst: IpAddr,
    /// Protocol number of the payload.
    pub protocol: u8,
    /// TTL; zero is sent as one (RFC 1122 3.2.1.7).
    pub ttl: u8,
    /// DSCP and ECN byte.
    pub tos: u8,
    /// Routers must not fragment it. Over IPv6 they never do.
    pub dont_fragment: bool,
    /// What tells its flow from others between the same addresses: the ports, ours first (RFC 6437 2).
    pub ports: (u16, u16),
}

impl Ip {
    /// The layer for `config`'s addresses, MTU, TTL and ICMP settings.
    ///
    /// # Errors
    /// `InvalidInput` if there is no address, one that no host can have, an MTU outside 68 to 65,535 or too small for
    /// IPv6 where there is an IPv6 address, or a TTL of zero.
    pub fn new(config: &Config, mut rng: Rng, now: Instant) -> Result<Ip> {
        if config.ttl == 0 {
            return Err(Error::InvalidInput("the TTL must be 1 to 255"));
        }
        let links = Links::new(config)?;
        let addresses = Addresses::new(config)?;
        let routes = if config.routes.is_empty() && links.len() == 1 {
            Routes::open()
        } else {
            Routes::new(&config.routes, &addresses, &links)?
        };
        let ident = Ident::new(&mut rng);
        let sources = rng.key();
        Ok(Ip {
            addresses,
            routes,
            links,
            host_model: config.host_model,
            any_address: config.any_address,
            ttl: config.ttl,
            echo_reply: config.echo_reply,
            errors: Limiter::new(config.icmp_errors_per_second, sources, now),
            ident,
            reassembly: Reassembly::new(config.reassembly.clone(), sources),
            labels: rng.key(),
            paths: Paths::new(rng.key()),
            rng,
        })
    }

    /// The largest packet on the link of the first interface, in bytes.
    pub fn mtu(&self) -> usize {
        self.links.first.mtu
    }

    /// The link of `interface` carries packets of another size from now on. Below 1280 bytes it carries no IPv6.
    ///
    /// # Errors
    /// `InvalidInput` outside 68 to 65,535.
    pub fn set_mtu(&mut self, interface: u8, mtu: usize) -> Result<()> {
        check_mtu(mtu)?;
        self.links.get_mut(interface).mtu = mtu;
        Ok(())
    }

    /// What the interfaces are now.
    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        let info = |(number, link): (u8, &links::Link)| InterfaceInfo {
            number: number.into(),
            name: link.name,
            addresses: self.addresses.on(number).collect(),
            mtu: link.mtu,
        };
        self.links.iter().map(info).collect()
    }

    /// Packets go where `routes` say from now on, and to the networks of our own addresses.
    ///
    /// # Errors
    /// `InvalidInput` if one of them makes no sense; nothing has changed then.
    pub fn set_routes(&mut self, routes: &[Route]) -> Result<()> {
        self.routes = Routes::new(routes, &self.addresses, &self.links)?;
        Ok(())
    }

    /// The most bytes of transport header and data that go in one packet (MMS_S of RFC 1122 3.3.3).
    pub fn payload_mtu(&self, way: impl Into<Way>) -> usize {
        let way = way.into();
        self.payload_mtu_to(way.dst, || way)
    }

    /// As [`payload_mtu`](Ip::payload_mtu), of the way to `dst`, which is only made where it matters.
    #[inline]
    pub fn payload_mtu_to(&self, dst: IpAddr, way: impl FnOnce() -> Way) -> usize {
        let mtu = if self.routes.is_open() { self.links.first.mtu } else { self.mtu_of_way(way()) };
        let mtu = if dst.is_ipv4() { mtu } else { mtu.max(ipv6::MIN_MTU) };
        mtu - ip::header_len(dst)
    }

    #[inline(never)]
    fn mtu_of_way(&self, way: Way) -> usize {
        let (interface, route) = self.lead(way).unwrap_or((way.interface, None));
        let link = self.mtu_of(interface);
        route.map_or(link, |mtu| mtu.min(link))
    }

    /// Whether packets may go there. To ourselves and to many they always may.
    ///
    /// # Errors
    /// What a call to send there fails with: `NetworkUnreachable` without a route, else as the route's kind says.
    pub fn check_route(&self, way: impl Into<Way>) -> Result<()> {
        let way = way.into();
        if self.routes.is_open() || self.is_local(way.dst) {
            return Ok(());
        }
        self.lead(way).map(|_| ())
    }

    /// What is known of the path to `dst`, if it carries less than its link.
    pub fn path(&self, dst: IpAddr, now: Instant) -> Option<PathMtu> {
        self.paths.get(dst, now)
    }

    /// As [`payload_mtu`](Ip::payload_mtu), over the path to the destination, as far as is known.
    pub fn payload_mtu_of_path(&self, way: impl Into<Way>, now: Instant) -> usize {
        let way = way.into();
        let (link, dst) = (self.payload_mtu(way), way.dst);
        self.path(dst, now).map_or(link, |path| link.min(usize::from(path.mtu) - ip::header_len(dst)))
    }

    /// A router says that a packet of ours, of `packet_len` bytes, was too big for a link of `mtu` bytes on the way to
    /// its destination. The packet was really ours, as far as its sender can tell (RFC 5927 7). Gives what is known now.
    pub fn on_packet_too_big(
        &mut self,
        now: Instant,
        way: impl Into<Way>,
        mtu: u32,
        packet_len: usize,
    ) -> Option<PathMtu> {
        let way = way.into();
        let dst = way.dst;
        let link = self.payload_mtu(way) + ip::header_len(dst);
        self.paths.learn(now, dst, mtu, packet_len, link)
    }

    /// The TTL of packets whose socket sets none.
    pub fn ttl(&self) -> u8 {
        self.ttl
    }

    /// Whether `addr` is one of our own addresses. All of 127/8 is, and ::1.
    pub fn is_local(&self, addr: IpAddr) -> bool {
        self.addresses.is_local(addr)
    }

    /// Whether packets to one host at `addr` are for us, so that we may send from there too: it is one of our own
    /// addresses, or every host's is as good ([`Config::any_address`]).
    #[inline]
    pub fn takes(&self, addr: IpAddr) -> bool {
        self.is_local(addr) || self.any_address && self.addresses.is_host(addr)
    }

    /// Whether `addr` means every host of a network of ours: limited and directed broadcast, in the old form too.
    pub fn is_broadcast(&self, addr: IpAddr) -> bool {
        self.addresses.is_broadcast(addr)
    }

    /// Whether `addr` can be the other end of a conversation: it belongs to one host, which may be ourselves. Not so
    /// 0/8, multicast, class E, broadcast, ::, and IPv4 addresses mapped into IPv6.
    pub fn is_valid_peer(&self, addr: IpAddr) -> bool {
        self.addresses.is_host(addr)
    }

    /// Our address from which packets to the destination go, if we have one of that family: that itself where it is ours,
    /// 127.0.0.1 to 127/8, ::1 to itself; else what the route there says; else, of the interface that they leave by, over
    /// IPv4 that with the longest prefix that holds it, or the first, and over IPv6 as RFC 6724 5 has it.
    pub fn source_for(&self, way: impl Into<Way>) -> Option<IpAddr> {
        let way = way.into();
        let dst = way.dst;
        let mut interface = way.interface;
        if !self.routes.is_open() && !self.is_local(dst) {
            if let Ok(Some(entry)) = self.routes.find(dst, interface) {
                if entry.route.source.is_some() {
                    return entry.route.source;
                }
                interface = entry.interface;
            } else if let Ok((by, _)) = self.lead(way) {
                interface = by;
            }
        }
        let source = self.addresses.source_for(dst, interface);
        source.filter(|addr| addr.is_ipv4() || self.mtu_of(interface) >= ipv6::MIN_MTU)
    }

    /// Sorts destinations, the one to try first to the front (RFC 6724 6); `addr` gives the address of each.
    pub fn order_destinations<T>(&self, destinations: &mut [T], addr: impl Fn(&T) -> IpAddr) {
        select::order(destinations, addr, |dst| {
            let source = self.source_for(dst)?;
            Some(self.addresses.cidr_of(source))
        });
    }

    /// Writes the IP header for `transport_len` bytes behind it into `header`, sets the length, and gives it. The
    /// transport's header goes right behind.
    ///
    /// # Panics
    /// If the addresses are of two families: [`source_for`](Ip::source_for) gives none such.
    pub fn output(&mut self, out: &Outgoing, transport_len: usize, header: &mut TxHeader) -> usize {
        let len = match (out.src, out.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                // What cannot be fragmented needs no ID, so any will do (RFC 6864 4.1), and it uses up none of the
                // others.
                let id = if out.dont_fragment { self.rng.u32() as u16 } else { self.ident.next() };
                let fields = Ipv4Header {
                    src,
                    dst,
                    protocol: out.protocol,
                    ttl: out.ttl.max(1),
                    tos: out.tos,
                    id,
                    dont_fragment: out.dont_fragment,
                    more_fragments: false,
                    fragment_offset: 0,
                };
                ipv4::emit(&fields, transport_len, header.space())
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let fields = Ipv6Header {
                    src,
                    dst,
                    next_header: out.protocol,
                    hop_limit: out.ttl.max(1),
                    traffic_class: out.tos,
                    flow_label: self.flow_label(src, dst, out),
                };
                ipv6::emit(&fields, transport_len, header.space())
            }
            _ => panic!("a packet from {} to {}", out.src, out.dst),
        };
        header.set_len(len);
        len
    }

    /// Cuts `frame`, which is ours and longer than `mtu` bytes, into fragments that are not.
    pub fn fragments(&mut self, frame: TxFrame, mtu: usize) -> Fragments {
        // Not to be guessed, and different from those of the 65,535 before it, as IPv4's is (RFC 8200 4.5, RFC 7739).
        let id = (self.rng.u32() << 16) | u32::from(self.ident.next());
        Fragments::of(frame, mtu, id)
    }

    /// When the next packet is to be given up whose fragments did not all come.
    #[inline]
    pub fn reassembly_deadline(&self) -> Option<Instant> {
        self.reassembly.deadline()
    }

    /// Gives up one packet whose fragments did not come in time, if there is one. Its sender is told if the first of them
    /// came (RFC 1122 3.3.2, RFC 8200 4.5), within the rate limit.
    pub fn give_up(&mut self, now: Instant, stats: &mut Stats) -> Option<Option<TxFrame>> {
        let first = self.reassembly.expire(now)?;
        stats.ip.reassembly_timeouts += 1;
        let frame = first.map(|(packet, interface)| {
            let mut frame = RxFrame::plain(packet);
            frame.meta.interface = interface;
            frame
        });
        Some(frame.and_then(|frame| self.error_about(now, &frame, ErrorKind::ReassemblyTimedOut, stats)))
    }

    /// Bytes held, and packets begun, that wait for fragments.
    pub fn reassembling(&self) -> (usize, usize) {
        (self.reassembly.memory(), self.reassembly.len())
    }

    /// The label of the flow that `out` belongs to: always the same, never zero, and not to be guessed (RFC 6437 3).
    fn flow_label(&self, src: Ipv6Addr, dst: Ipv6Addr, out: &Outgoing) -> u32 {
        let mut flow = [0; 37];
        flow[..16].copy_from_slice(&src.octets());
        flow[16..32].copy_from_slice(&dst.octets());
        flow[32..34].copy_from_slice(&out.ports.0.to_be_bytes());
        flow[34..36].copy_from_slice(&out.ports.1.to_be_bytes());
        flow[36] = out.protocol;
        let mut hasher = self.labels.hasher();
        hasher.write(&flow);
        (hasher.finish() as u32 & 0xf_ffff).max(1)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_fragments;
#[cfg(test)]
mod tests_v6;
