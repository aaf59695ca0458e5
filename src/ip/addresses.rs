//! Which addresses are ours, which belong to one host, and which to many (RFC 1122 3.2.1.3, RFC 4291 2).

use super::select;
use crate::error::{Error, Result};
use crate::stack::{Cidr, Config};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One of our own addresses, and the number of the interface that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) cidr: Cidr,
    pub(super) interface: u8,
}

/// Our own addresses.
#[derive(Clone, Debug)]
pub(super) struct Addresses(Vec<Own>);

impl Addresses {
    /// Takes addresses that hosts may have, those of all interfaces.
    pub(super) fn new(config: &Config) -> Result<Addresses> {
        let others = config.interfaces.iter().map(|one| &one.addresses);
        let numbered = (1..).zip(core::iter::once(&config.addresses).chain(others));
        let own: Vec<Own> = numbered
            .flat_map(|(interface, addresses)| addresses.iter().map(move |&cidr| Own { cidr, interface }))
            .collect();
        if own.is_empty() {
            return Err(Error::InvalidInput("the stack needs an address"));
        }
        let own = Addresses(own);
        for Own { cidr: Cidr { addr, prefix }, .. } in own.0.iter().copied() {
            if prefix > if addr.is_ipv4() { 32 } else { 128 } {
                return Err(Error::InvalidInput("a prefix longer than its address"));
            }
            if addr.is_loopback() || !own.is_host(addr) {
                return Err(Error::InvalidInput("not an address that a host can have"));
            }
        }
        Ok(own)
    }

    /// Whether `addr` is one of ours; the loopback addresses always are.
    pub(super) fn is_local(&self, addr: IpAddr) -> bool {
        self.is_own(addr) || addr.is_loopback()
    }

    /// All, with the interfaces that have them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Own> {
        self.0.iter()
    }

    /// Those of one interface.
    pub(super) fn on(&self, interface: u8) -> impl Iterator<Item = Cidr> {
        self.0.iter().filter(move |own| own.interface == interface).map(|own| own.cidr)
    }

    /// The interface that has `addr`.
    pub(super) fn interface_of(&self, addr: IpAddr) -> Option<u8> {
        self.0.iter().find(|own| own.cidr.addr == addr).map(|own| own.interface)
    }

    /// Whether `addr`, which is ours or means all hosts of a network of ours, belongs to `interface`; what means all
    /// hosts of every network belongs to each.
    pub(super) fn belongs_to(&self, addr: IpAddr, interface: u8) -> bool {
        let here = |own: &Own| own.cidr.addr == addr || matches!(addr, IpAddr::V4(v4) if is_broadcast_of(own.cidr, v4));
        let mut owners = self.0.iter().filter(|own| here(own)).peekable();
        owners.peek().is_none() || owners.any(|own| own.interface == interface)
    }

    /// The first link-local address of IPv6 on an interface.
    pub(super) fn link_local(&self, interface: u8) -> Option<Ipv6Addr> {
        self.on(interface).find_map(|own| match own.addr {
            IpAddr::V6(addr) if addr.is_unicast_link_local() => Some(addr),
            _ => None,
        })
    }

    fn is_own(&self, addr: IpAddr) -> bool {
        self.0.iter().any(|own| own.cidr.addr == addr)
    }

    /// Whether `addr` means every host of a network of ours: 255.255.255.255, a prefix's last address, and its first,
    /// which 4.2BSD used (RFC 1122 3.3.6).
    pub(super) fn is_broadcast(&self, addr: IpAddr) -> bool {
        let IpAddr::V4(addr) = addr else {
            return false;
        };
        addr.is_broadcast() || self.is_subnet_broadcast(addr)
    }

    fn is_subnet_broadcast(&self, addr: Ipv4Addr) -> bool {
        self.0.iter().any(|own| is_broadcast_of(own.cidr, addr))
    }

    /// Whether `addr` is that of one host, ours or another's.
    pub(super) fn is_host(&self, addr: IpAddr) -> bool {
        is_unicast(addr)
            && match addr {
                IpAddr::V4(v4) => !self.is_subnet_broadcast(v4),
                IpAddr::V6(_) => true,
            }
    }

    /// Our address from which packets to `dst` go: `dst` itself where it is ours, else the loopback address where that
    /// is one, else over IPv4 that with the longest prefix that holds `dst`, or the first; over IPv6 as RFC 6724 has it.
    /// Those of the interface by which they leave go before others, if it is known, and so not zero.
    pub(super) fn source_for(&self, dst: IpAddr, interface: u8) -> Option<IpAddr> {
        if self.is_own(dst) {
            return Some(dst);
        }
        if dst.is_loopback() {
            return Some(if dst.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        if let IpAddr::V6(dst) = dst {
            return select::source(&self.0, dst, interface).map(|own| own.cidr.addr);
        }
        let v4 = |own: &&Own| own.cidr.addr.is_ipv4();
        let outgoing = || self.0.iter().filter(v4).filter(|own| interface == 0 || own.interface == interface);
        // The first of equals, so not `max_by_key`.
        let mut best: Option<&Own> = None;
        for own in outgoing().filter(|own| own.cidr.contains(dst)) {
            if best.is_none_or(|best| own.cidr.prefix > best.cidr.prefix) {
                best = Some(own);
            }
        }
        best.or(outgoing().next()).or(self.0.iter().find(v4)).map(|own| own.cidr.addr)
    }

    /// One of our addresses with its prefix.
    pub(super) fn cidr_of(&self, addr: IpAddr) -> Cidr {
        let found = self.0.iter().find(|own| own.cidr.addr == addr).map(|own| own.cidr);
        found.unwrap_or(Cidr::new(addr, if addr.is_ipv4() { 8 } else { 128 })) // a loopback address
    }
}

/// Whether `addr` means every host of the network of `own`.
fn is_broadcast_of(own: Cidr, addr: Ipv4Addr) -> bool {
    own.broadcast().is_some_and(|last| {
        let hosts = u32::MAX.checked_shr(u32::from(own.prefix)).unwrap_or(0);
        addr == last || addr.to_bits() == last.to_bits() & !hosts
    })
}

/// Whether `addr` could be a host's on any network: not 0/8, multicast, class E, ::, or an IPv4 address in an IPv6 one,
/// which is never on a wire (RFC 4291 2.5.5, RFC 4038 4.2).
pub(super) fn is_unicast(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => !matches!(addr.octets()[0], 0 | 224..),
        IpAddr::V6(addr) => !addr.is_unspecified() && !addr.is_multicast() && addr.to_ipv4_mapped().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(cidrs: &[(&str, u8)]) -> Result<Addresses> {
        let addresses = cidrs.iter().map(|&(addr, prefix)| Cidr::new(ip(addr), prefix)).collect();
        Addresses::new(&Config { addresses, ..Config::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// 1122-49.
    #[test]
    fn every_form_of_broadcast_is_known() {
        let own = addresses(&[("10.1.2.3", 24), ("192.0.2.9", 30), ("198.51.100.4", 31), ("203.0.113.7", 32)]).unwrap();
        for yes in ["255.255.255.255", "10.1.2.255", "10.1.2.0", "192.0.2.11", "192.0.2.8"] {
            assert!(own.is_broadcast(ip(yes)) && !own.is_host(ip(yes)), "{yes}");
        }
        // Prefixes of 31 and 32 bits have no broadcast address (RFC 3021), and other networks' are not known.
        for no in ["10.1.3.255", "10.1.2.3", "192.0.2.10", "198.51.100.4", "198.51.100.5", "203.0.113.7", "8.8.8.8"] {
            assert!(!own.is_broadcast(ip(no)) && own.is_host(ip(no)), "{no}");
        }
        for none in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.9.9.9", "240.0.0.1", "::", "ff02::1", "::ffff:10.1.2.4"] {
            assert!(!own.is_broadcast(ip(none)) && !own.is_host(ip(none)), "{none}");
        }
    }

    #[test]
    fn the_source_has_the_longest_prefix_that_holds_the_destination() {
        let own = addresses(&[("10.0.0.1", 8), ("10.1.0.1", 16), ("10.1.0.2", 16), ("192.0.2.1", 24)]).unwrap();
        let cases = [
            ("10.1.9.9", "10.1.0.1"),
            ("10.2.9.9", "10.0.0.1"),
            ("10.1.255.255", "10.1.0.1"),
            ("192.0.2.77", "192.0.2.1"),
            ("8.8.8.8", "10.0.0.1"),
            ("10.1.0.2", "10.1.0.2"),
            ("127.0.0.9", "127.0.0.1"),
            ("255.255.255.255", "10.0.0.1"),
        ];
        for (dst, src) in cases {
            assert_eq!(own.source_for(ip(dst), 0), Some(ip(src)), "to {dst}");
        }
        assert_eq!(own.source_for(ip("2001:db8::1"), 0), None);
    }

    #[test]
    fn only_hosts_addresses_are_taken() {
        for bad in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "250.1.1.1", "255.255.255.255", "10.0.0.255", "10.0.0.0"] {
            assert!(matches!(addresses(&[(bad, 24)]), Err(Error::InvalidInput(_))), "{bad}");
        }
        assert!(matches!(addresses(&[]), Err(Error::InvalidInput(_))));
        assert!(matches!(addresses(&[("10.0.0.1", 33)]), Err(Error::InvalidInput(_))));
        for bad in ["::", "::1", "ff02::1", "::ffff:10.0.0.1"] {
            assert!(matches!(addresses(&[(bad, 64)]), Err(Error::InvalidInput(_))), "{bad}");
        }
        assert!(matches!(addresses(&[("2001:db8::1", 129)]), Err(Error::InvalidInput(_))));
        assert!(addresses(&[("2001:db8::1", 64), ("fe80::1", 64), ("10.0.0.1", 24)]).is_ok());
        assert!(addresses(&[("10.0.0.0", 31), ("10.0.0.255", 32), ("10.9.9.9", 0)]).is_ok());
    }

    #[test]
    fn loopback_is_always_ours() {
        let own = addresses(&[("10.0.0.1", 24)]).unwrap();
        for yes in ["127.0.0.1", "127.255.1.1", "10.0.0.1", "::1"] {
            assert!(own.is_local(ip(yes)), "{yes}");
        }
        for no in ["10.0.0.2", "128.0.0.1", "::", "::2"] {
            assert!(!own.is_local(ip(no)), "{no}");
        }
    }
}
