//! The formats on the wire: parse once, emit in place. Nothing here knows a connection, a socket or a clock.
//!
//! Parsing goes through etherparse's header slices (16-26 ns a packet) and gives our own plain structs; what
//! etherparse does not do (TCP options without stopping at unknown ones, partial checksums, emitting into a given
//! buffer) is here.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod checksum;
pub mod extension;
pub mod fragment;
pub mod frame;
pub mod gso;
pub mod icmp;
pub mod icmpv6;
pub mod igmp;
pub mod ip;
pub mod ipv4;
pub mod ipv6;
pub mod mld;
#[cfg(feature = "cli")]
pub mod pretty;
pub mod tcp;
pub mod tcp_options;
pub mod udp;
pub mod vnet;

/// Protocol numbers of what IP carries.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// IGMP.
    pub const IGMP: u8 = 2;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

pub use frame::{Gso, GsoKind, Offloads, RxChecksum, RxFrame, RxMeta, TxFrame, TxHeader, TxMeta};
