//! Addresses with the lengths of their prefixes, as `ip` writes them.

use crate::stack::Cidr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The address of a host with the length of its network's prefix, which leaves room for two hosts at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefixed {
    /// The address.
    pub(crate) addr: IpAddr,
    /// The length of the prefix in bits: 1 to 30, or 126 for IPv6.
    pub(crate) prefix: u8,
}

impl Prefixed {
    /// The address `addr` in a network of the usual size: /24, and /64 for IPv6.
    pub(crate) fn usual(addr: IpAddr) -> Prefixed {
        Prefixed { addr, prefix: if addr.is_ipv4() { 24 } else { 64 } }
    }

    /// Ones where the number of the host stands in the network.
    fn host_mask(self) -> u128 {
        // An interface that was set up by somebody else may have any prefix.
        1u128.checked_shl(width(self.addr) - u32::from(self.prefix)).map_or(u128::MAX, |bit| bit - 1)
    }

    /// The network's address.
    pub(crate) fn network(self) -> IpAddr {
        self.like(bits(self.addr) & !self.host_mask())
    }

    fn like(self, bits: u128) -> IpAddr {
        match self.addr {
            IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
        }
    }

    /// Whether `addr` may be a host's in this network: neither the network's own (over IPv6 that of its routers) nor
    /// IPv4's broadcast address.
    pub(crate) fn holds(self, addr: IpAddr) -> bool {
        let (number, broadcast) = (bits(addr) & self.host_mask(), self.host_mask());
        addr.is_ipv4() == self.addr.is_ipv4()
            && bits(addr) & !self.host_mask() == bits(self.network())
            && number != 0
            && (addr.is_ipv6() || number != broadcast)
    }

    /// The first host of the network after `self`, or else before it, that is none of `taken`.
    pub(crate) fn neighbour(self, taken: &[IpAddr]) -> Option<IpAddr> {
        let (own, most) = (bits(self.addr), taken.len() as u128 + 1);
        let after = (1..=most).filter_map(|n| own.checked_add(n));
        let before = (1..=most).filter_map(|n| own.checked_sub(n));
        after.chain(before).map(|bits| self.like(bits)).find(|addr| self.holds(*addr) && !taken.contains(addr))
    }

    /// The first address of its network.
    pub(crate) fn lowest(self) -> Prefixed {
        Prefixed { addr: self.network(), ..self }
    }
}

fn width(addr: IpAddr) -> u32 {
    if addr.is_ipv4() { 32 } else { 128 }
}

fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => addr.to_bits().into(),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

impl From<Prefixed> for Cidr {
    fn from(prefixed: Prefixed) -> Cidr {
        Cidr::new(prefixed.addr, prefixed.prefix)
    }
}

impl fmt::Display for Prefixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix)
    }
}

impl FromStr for Prefixed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not an address with its prefix, such as 192.0.2.1/24 or 2001:db8::1/64");
        let (addr, prefix) = text.trim().split_once('/').ok_or_else(wrong)?;
        let prefixed =
            Prefixed { addr: addr.parse().map_err(|_| wrong())?, prefix: prefix.parse().map_err(|_| wrong())? };
        let longest = width(prefixed.addr) as u8 - 2;
        if !(1..=longest).contains(&prefixed.prefix) {
            return Err(format!(
                "the prefix of {text} must have 1 to {longest} bits: the network needs room for two hosts"
            ));
        }
        if !prefixed.holds(prefixed.addr) {
            return Err(format!("{text} is the address of the network or of all its hosts, not of one host"));
        }
        Ok(prefixed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn neighbours() {
        let neighbour = |host: &str, taken: &[&str]| {
            let taken: Vec<IpAddr> = taken.iter().map(|text| ip(text)).collect();
            host.parse::<Prefixed>().unwrap().neighbour(&taken)
        };
        assert_eq!(neighbour("192.0.2.1/24", &[]), Some(ip("192.0.2.2")));
        assert_eq!(neighbour("192.0.2.1/24", &["192.0.2.2"]), Some(ip("192.0.2.3")));
        assert_eq!(neighbour("10.0.0.2/30", &[]), Some(ip("10.0.0.1")));
        assert_eq!(neighbour("10.0.0.2/30", &["10.0.0.1"]), None);
        assert_eq!(neighbour("2001:db8::1/64", &[]), Some(ip("2001:db8::2")));
        assert_eq!(neighbour("2001:db8::1/64", &["2001:db8::2", "192.0.2.1"]), Some(ip("2001:db8::3")));
        // No address of IPv6 is a broadcast address.
        assert_eq!(neighbour("2001:db8::2/126", &[]), Some(ip("2001:db8::3")));
        assert_eq!(Prefixed::usual(ip("2001:db8::5")).lowest().neighbour(&[]), Some(ip("2001:db8::1")));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for (text, why) in [
            ("192.0.2.1", "such as 192.0.2.1/24"),
            ("192.0.2.0/24", "not of one host"),
            ("192.0.2.255/24", "not of one host"),
            ("192.0.2.1/31", "1 to 30 bits"),
            ("2001:db8::/64", "not of one host"),
            ("2001:db8::1/127", "1 to 126 bits"),
            ("2001:db8::1", "or 2001:db8::1/64"),
            ("::1/0", "1 to 126 bits"),
        ] {
            let error = text.parse::<Prefixed>().unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!("2001:db8::1/64".parse::<Prefixed>().unwrap().to_string(), "2001:db8::1/64");
    }
}
