//! IP (RFC 791, 1122 3): which packets are for us, what they carry, and the header of those we send.
//!
//! | file | holds |
//! |---|---|
//! | `addresses` | our addresses; broadcast, martian and host addresses; the choice of a source |
//! | `input` | a received packet, from its first byte to the transport that gets it |
//! | `multicast` | groups: who joins, who is a member |
//! | `groups` `igmp` | what routers are told of that, and how |
//! | `reply` | echo replies and ICMP errors, with RFC 1122's silences and the rate limit |
//! | `ident` | identification |
//!
//! IPv4 for now. The interfaces speak of [`IpAddr`], so that IPv6 changes none of them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod addresses;
mod groups;
mod ident;
mod igmp;
mod input;
mod multicast;
mod reply;

pub use crate::wire::protocol::{ICMP, IGMP, TCP, UDP};
pub use input::{Input, Packet};

use crate::error::{Error, Result};
use crate::icmp::limit::TokenBucket;
use crate::rng::Rng;
use crate::stack::Config;
use crate::time::Instant;
use crate::wire::TxHeader;
use crate::wire::ipv4::{self, Ipv4Header};
use addresses::Addresses;
use ident::Ident;
use multicast::Multicast;
use std::net::IpAddr;

/// The internet layer of one stack.
#[derive(Debug)]
pub struct Ip {
    addresses: Addresses,
    mtu: usize,
    ttl: u8,
    echo_reply: bool,
    errors: TokenBucket,
    ident: Ident,
    multicast: Multicast,
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
    /// Routers must not fragment it.
    pub dont_fragment: bool,
}

impl Ip {
    /// The layer for `config`'s addresses, MTU, TTL and ICMP settings.
    ///
    /// # Errors
    /// `InvalidInput` if there is no address, one that no host can have, an MTU outside 68 to 65,535, or a TTL of zero.
    /// `Unsupported` for an IPv6 address.
    pub fn new(config: &Config, mut rng: Rng, now: Instant) -> Result<Ip> {
        check_mtu(config.mtu)?;
        if config.ttl == 0 {
            return Err(Error::InvalidInput("the TTL must be 1 to 255"));
        }
        Ok(Ip {
            addresses: Addresses::new(&config.addresses)?,
            mtu: config.mtu,
            ttl: config.ttl,
            echo_reply: config.echo_reply,
            errors: TokenBucket::new(config.icmp_errors_per_second, now),
            ident: Ident::new(&mut rng),
            multicast: Multicast::new(),
            rng,
        })
    }

    /// The largest packet of the link, in bytes.
    pub fn mtu(&self) -> usize {
        self.mtu
    }

    /// The link carries packets of another size from now on.
    ///
    /// # Errors
    /// `InvalidInput` outside 68 to 65,535.
    pub fn set_mtu(&mut self, mtu: usize) -> Result<()> {
        check_mtu(mtu)?;
        self.mtu = mtu;
        Ok(())
    }

    /// The most bytes of transport header and data that go to `dst` in one packet (MMS_S of RFC 1122 3.3.3).
    pub fn payload_mtu(&self, dst: IpAddr) -> usize {
        let header = if dst.is_ipv4() { ipv4::MIN_HEADER_LEN } else { 40 };
        self.mtu - header
    }

    /// The TTL of packets whose socket sets none.
    pub fn ttl(&self) -> u8 {
        self.ttl
    }

    /// Whether `addr` is one of our own addresses. All of 127/8 is.
    pub fn is_local(&self, addr: IpAddr) -> bool {
        self.addresses.is_local(addr)
    }

    /// Whether `addr` means every host of a network of ours: limited and directed broadcast, in the old form too.
    pub fn is_broadcast(&self, addr: IpAddr) -> bool {
        self.addresses.is_broadcast(addr)
    }

    /// Whether `addr` can be the other end of a conversation: it belongs to one host, which may be ourselves. Not so
    /// 0/8, multicast, class E and broadcast.
    pub fn is_valid_peer(&self, addr: IpAddr) -> bool {
        self.addresses.is_host(addr)
    }

    /// Our address from which packets to `dst` go, if we have one of that family: `dst` itself where it is ours,
    /// 127.0.0.1 to 127/8, else that with the longest prefix that holds `dst`, else the first.
    pub fn source_for(&self, dst: IpAddr) -> Option<IpAddr> {
        self.addresses.source_for(dst)
    }

    /// Writes the IP header for `transport_len` bytes behind it into `header`, sets the length, and gives it. The
    /// transport's header goes right behind.
    ///
    /// # Panics
    /// If the addresses are not IPv4: [`source_for`](Ip::source_for) gives no other.
    pub fn output(&mut self, out: &Outgoing, transport_len: usize, header: &mut TxHeader) -> usize {
        let (IpAddr::V4(src), IpAddr::V4(dst)) = (out.src, out.dst) else {
            panic!("a packet from {} to {}", out.src, out.dst);
        };
        // What cannot be fragmented needs no ID, so any will do (RFC 6864 4.1), and it uses up none of the others.
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
        let len = ipv4::emit(&fields, transport_len, header.space());
        header.set_len(len);
        len
    }
}

/// RFC 791: every link carries 68 bytes, and no packet is longer than its length field can say.
fn check_mtu(mtu: usize) -> Result<()> {
    if !(68..=65_535).contains(&mtu) {
        return Err(Error::InvalidInput("the MTU must be 68 to 65535"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
