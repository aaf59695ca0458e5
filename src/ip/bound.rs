//! What a socket takes by the address that it is bound to, in both families. A socket bound to `::` takes IPv4, too, unless
//! it is told not to (RFC 3493 5.3), and knows IPv4 addresses as IPv6 ones: `::ffff:192.0.2.1` (RFC 4291 2.5.5.2). Such an
//! address is never on a wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses that a socket takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// One address, of either family, not mapped.
    One(IpAddr),
    /// Every IPv4 address.
    AllV4,
    /// Every IPv6 address.
    AllV6,
    /// Every address.
    All,
}

impl Bound {
    /// What a socket takes that is bound to `addr`, mapped or not. `only_v6` keeps one bound to `::` from taking IPv4.
    pub fn new(addr: IpAddr, only_v6: bool) -> Bound {
        match unmapped(addr) {
            addr if !addr.is_unspecified() => Bound::One(addr),
            IpAddr::V4(_) => Bound::AllV4,
            IpAddr::V6(_) if only_v6 => Bound::AllV6,
            IpAddr::V6(_) => Bound::All,
        }
    }

    /// What may take packets to `addr`, the most specific first.
    pub fn taking(addr: IpAddr) -> [Bound; 3] {
        [Bound::One(addr), if addr.is_ipv4() { Bound::AllV4 } else { Bound::AllV6 }, Bound::All]
    }

    /// Whether packets to `addr` are for it.
    pub fn takes(self, addr: IpAddr) -> bool {
        Bound::taking(addr).contains(&self)
    }

    /// Whether it has to do with addresses of the family of `addr`.
    pub fn is_of_family(self, addr: IpAddr) -> bool {
        match self {
            Bound::One(own) => own.is_ipv4() == addr.is_ipv4(),
            Bound::AllV4 => addr.is_ipv4(),
            Bound::AllV6 => addr.is_ipv6(),
            Bound::All => true,
        }
    }

    /// Whether a packet could be for both.
    pub fn overlaps(self, other: Bound) -> bool {
        let families = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        match (self, other) {
            (Bound::One(a), Bound::One(b)) => a == b,
            _ => families.into_iter().any(|family| self.is_of_family(family) && other.is_of_family(family)),
        }
    }
}

/// `addr` as it is on the wire: an IPv4 address that was mapped into IPv6 is one of IPv4.
pub fn unmapped(addr: IpAddr) -> IpAddr {
    addr.to_canonical()
}

/// The destination that `dst` means to a socket bound to `src`: an unspecified one is this host, as on Linux.
pub fn destination(dst: IpAddr, src: Option<IpAddr>) -> IpAddr {
    match dst {
        IpAddr::V4(v4) if v4.is_unspecified() => src.unwrap_or(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        dst => dst,
    }
}

/// As [`unmapped`], with a port.
pub fn unmapped_addr(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(unmapped(addr.ip()), addr.port())
}

/// `addr` as a socket of IPv6 knows it, if `mapped`: one of IPv4 is mapped into IPv6.
pub fn shown(addr: SocketAddr, mapped: bool) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if mapped => SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port()),
        _ => addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str, only_v6: bool) -> Bound {
        Bound::new(text.parse().unwrap(), only_v6)
    }

    /// As Linux has it, which `tests/kernel` compares.
    #[test]
    fn who_would_take_whose_packets() {
        let all = [
            bound("0.0.0.0", false),
            bound("::", false),
            bound("::", true),
            bound("10.0.0.1", false),
            bound("::ffff:10.0.0.1", false),
            bound("2001:db8::1", false),
            bound("::ffff:0.0.0.0", false),
        ];
        let overlap = [
            "1101101", // 0.0.0.0
            "1111111", // ::
            "0110010", // :: only for IPv6
            "1101101", // 10.0.0.1
            "1101101", // the same, mapped
            "0110010", // 2001:db8::1
            "1101101", // 0.0.0.0, mapped
        ];
        for (a, row) in all.iter().zip(overlap) {
            for (b, cell) in all.iter().zip(row.chars()) {
                assert_eq!(a.overlaps(*b), cell == '1', "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn the_most_specific_is_asked_first() {
        let v4: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(Bound::taking(v4), [Bound::One(v4), Bound::AllV4, Bound::All]);
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(Bound::taking(v6), [Bound::One(v6), Bound::AllV6, Bound::All]);
    }

    #[test]
    fn addresses_are_mapped_and_back() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(shown(at("10.0.0.1:5"), true), at("[::ffff:10.0.0.1]:5"));
        assert_eq!(shown(at("10.0.0.1:5"), false), at("10.0.0.1:5"));
        assert_eq!(shown(at("[2001:db8::1]:5"), true), at("[2001:db8::1]:5"));
        assert_eq!(unmapped_addr(at("[::ffff:10.0.0.1]:5")), at("10.0.0.1:5"));
        // An IPv4-compatible address (RFC 4291 2.5.5.1) is none of that.
        assert_eq!(unmapped_addr(at("[::10.0.0.1]:5")), at("[::10.0.0.1]:5"));
    }
}
