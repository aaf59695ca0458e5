//! The choice of addresses (RFC 6724): which of ours a packet to an IPv6 address comes from, and which of several
//! destinations to try first.
//!
//! Our addresses are all given by hand: none is deprecated, temporary, a care-of address or advertised by anybody, so that
//! rules 3, 4, 5.5 and 7 decide nothing.

use super::addresses::Own;
use crate::stack::Cidr;
use core::cmp::{Ordering, Reverse};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A row of the policy table (2.1).
struct Policy {
    prefix: u128,
    len: u32,
    precedence: u8,
    label: u8,
}

const fn policy(prefix: [u16; 8], len: u32, precedence: u8, label: u8) -> Policy {
    let [a, b, c, d, e, f, g, h] = prefix;
    Policy { prefix: Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits(), len, precedence, label }
}

/// The default policy table, the longest prefix first.
const POLICIES: [Policy; 9] = [
    policy([0, 0, 0, 0, 0, 0, 0, 1], 128, 50, 0),
    policy([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, 35, 4),
    policy([0; 8], 96, 1, 3),
    policy([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, 5, 5),
    policy([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, 30, 2),
    policy([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16, 1, 12),
    policy([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, 1, 11),
    policy([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, 3, 13),
    policy([0; 8], 0, 40, 1),
];

fn policy_of(addr: IpAddr) -> &'static Policy {
    let bits = as_v6(addr).to_bits();
    let holds = |policy: &&Policy| (bits ^ policy.prefix).leading_zeros() >= policy.len;
    POLICIES.iter().find(holds).unwrap_or(&POLICIES[POLICIES.len() - 1])
}

/// IPv4 addresses take part as mapped ones (3.2).
fn as_v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    }
}

const LINK_LOCAL: u8 = 0x2;
const SITE_LOCAL: u8 = 0x5;
const GLOBAL: u8 = 0xe;

/// How far an address is good (3.1 to 3.4), in the numbers of multicast scopes.
fn scope(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(v4) if v4.is_loopback() || v4.is_link_local() => LINK_LOCAL,
        IpAddr::V4(v4) if v4.is_multicast() => multicast_scope_v4(v4),
        IpAddr::V4(_) => GLOBAL,
        IpAddr::V6(v6) => match v6.segments()[0] {
            first if first >> 8 == 0xff => (first & 0xf) as u8,
            first if first & 0xffc0 == 0xfe80 => LINK_LOCAL,
            first if first & 0xffc0 == 0xfec0 => SITE_LOCAL,
            _ if v6.is_loopback() => LINK_LOCAL,
            _ => GLOBAL,
        },
    }
}

/// 224.0.0/24 stays on its link (RFC 5771 4).
fn multicast_scope_v4(addr: Ipv4Addr) -> u8 {
    if addr.octets()[..3] == [224, 0, 0] { LINK_LOCAL } else { GLOBAL }
}

/// How many bits `own` and `addr` have in common, within our prefix (2.2).
fn common_prefix(own: &Cidr, addr: IpAddr) -> u32 {
    let (a, b) = (as_v6(own.addr).to_bits(), as_v6(addr).to_bits());
    let prefix = u32::from(own.prefix) + if own.addr.is_ipv4() { 96 } else { 0 };
    (a ^ b).leading_zeros().min(prefix)
}

/// Our address from which packets to the IPv6 address `dst` go that leave by `interface` (5). `own` are all of ours.
pub(super) fn source(own: &[Own], dst: Ipv6Addr, interface: u8) -> Option<&Own> {
    let addr = IpAddr::V6(dst);
    let candidates = own.iter().filter(|own| own.cidr.addr.is_ipv6());
    // What stays on the link can come from none of another (4); without one of this link anything is better than nothing.
    let of_link = dst.is_multicast() || dst.is_unicast_link_local();
    let here = |own: &Own| interface == 0 || own.interface == interface;
    let confined = of_link && candidates.clone().any(here);
    // Of equals, the first that was given.
    candidates
        .filter(|own| !confined || here(own))
        .reduce(|best, next| if prefer_source(best, next, addr, interface).is_lt() { next } else { best })
}

fn prefer_source(a: &Own, b: &Own, dst: IpAddr, interface: u8) -> Ordering {
    let outgoing = (a.interface == interface, b.interface == interface);
    let (a, b) = (&a.cidr, &b.cidr);
    let same = |own: &Cidr| own.addr == dst;
    let label = |own: &Cidr| policy_of(own.addr).label == policy_of(dst).label;
    same(a)
        .cmp(&same(b)) // rule 1
        .then_with(|| match (scope(a.addr), scope(b.addr)) {
            // Rule 2: the smallest scope that reaches far enough, else the largest.
            (sa, sb) if sa < sb => {
                if sa < scope(dst) {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (sa, sb) if sb < sa => {
                if sb < scope(dst) {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            _ => Ordering::Equal,
        })
        .then_with(|| outgoing.0.cmp(&outgoing.1)) // rule 5
        .then_with(|| label(a).cmp(&label(b))) // rule 6
        .then_with(|| common_prefix(a, dst).cmp(&common_prefix(b, dst))) // rule 8
}

/// Sorts `destinations`, the one to try first to the front (6). `source` gives our address towards each.
pub(super) fn order<T>(destinations: &mut [T], addr: impl Fn(&T) -> IpAddr, source: impl Fn(IpAddr) -> Option<Cidr>) {
    let same_family_prefix = |a: IpAddr, b: IpAddr, (sa, sb): (&Cidr, &Cidr)| {
        if a.is_ipv4() == b.is_ipv4() { common_prefix(sa, a).cmp(&common_prefix(sb, b)) } else { Ordering::Equal }
    };
    destinations.sort_by(|a, b| {
        let (a, b) = (addr(a), addr(b));
        let (sa, sb) = match (source(a), source(b)) {
            (Some(sa), Some(sb)) => (sa, sb),
            (sa, sb) => return sb.is_some().cmp(&sa.is_some()), // rule 1
        };
        let matches = |dst, source: &Cidr| scope(dst) == scope(source.addr);
        let label = |dst, source: &Cidr| policy_of(dst).label == policy_of(source.addr).label;
        let better = matches(a, &sa)
            .cmp(&matches(b, &sb)) // rule 2
            .then_with(|| label(a, &sa).cmp(&label(b, &sb))) // rule 5
            .then_with(|| policy_of(a).precedence.cmp(&policy_of(b).precedence)) // rule 6
            .then_with(|| Reverse(scope(a)).cmp(&Reverse(scope(b)))) // rule 8
            .then_with(|| same_family_prefix(a, b, (&sa, &sb))); // rule 9
        better.reverse() // and rule 10: the sort is stable
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn own(addresses: &[&str]) -> Vec<Own> {
        let cidr = |text: &&str| Cidr::new(ip(text), if ip(text).is_ipv4() { 24 } else { 64 });
        addresses.iter().map(|text| Own { cidr: cidr(text), interface: 1 }).collect()
    }

    /// 6724-1: the examples of RFC 6724 10.1, but for those that are about deprecated, temporary and care-of addresses.
    #[test]
    fn the_examples_of_source_selection() {
        let cases = [
            ("2001:db8:1::1", &["2001:db8:3::1", "fe80::1"][..], "2001:db8:3::1"),
            ("ff05::1", &["2001:db8:3::1", "fe80::1"], "2001:db8:3::1"),
            ("2001:db8:1::1", &["2001:db8:1::1", "2001:db8:2::1"], "2001:db8:1::1"),
            ("fe80::1", &["fe80::2", "2001:db8:1::1"], "fe80::2"),
            ("2001:db8:1::1", &["2001:db8:1::2", "2001:db8:3::2"], "2001:db8:1::2"),
            (
                "2002:c633:6401::1",
                &["2002:c633:6401::d5e3:7953:13eb:22e8", "2001:db8:1::2"],
                "2002:c633:6401::d5e3:7953:13eb:22e8",
            ),
        ];
        for (dst, candidates, result) in cases {
            let IpAddr::V6(to) = ip(dst) else { panic!("{dst}") };
            let mut own = own(candidates);
            for _ in 0..own.len() {
                let chosen = source(&own, to, 1).map(|own| own.cidr.addr);
                assert_eq!(chosen, Some(ip(result)), "to {dst} from {own:?}");
                own.rotate_left(1);
            }
        }
        assert_eq!(source(&own(&["192.0.2.1"]), Ipv6Addr::LOCALHOST, 1), None);
        // Of equals the first that was given.
        let twins = own(&["2001:db8:1::2", "2001:db8:1::3"]);
        assert_eq!(source(&twins, "2001:db8:9::1".parse().unwrap(), 1), Some(&twins[0]));
    }

    /// 6724-1: rule 5, an address of the outgoing interface goes before one whose prefix fits better, but not before
    /// one whose scope does.
    #[test]
    fn the_outgoing_interface_goes_before_the_prefix() {
        let mut own = own(&["2001:db8:1::2", "fe80::1", "2001:db8:3::2", "fe80::2"]);
        (own[2].interface, own[3].interface) = (2, 2);
        let from = |dst: &str, interface| {
            let IpAddr::V6(dst) = ip(dst) else { panic!("{dst}") };
            source(&own, dst, interface).map(|own| own.cidr.addr.to_string()).unwrap()
        };
        for (dst, [first, second]) in [
            ("2001:db8:1::9", ["2001:db8:1::2", "2001:db8:3::2"]),
            ("2001:db8:3::9", ["2001:db8:1::2", "2001:db8:3::2"]),
            ("fe80::9", ["fe80::1", "fe80::2"]),
            ("ff02::9", ["fe80::1", "fe80::2"]),
        ] {
            assert_eq!([from(dst, 1), from(dst, 2)], [first, second], "{dst}");
        }
        // By an interface without an address of the family, one of another is better than none.
        assert_eq!(from("2001:db8:3::9", 3), "2001:db8:3::2");
    }

    /// 6724-2: those of 10.2.
    #[test]
    fn the_examples_of_destination_order() {
        type Case = (&'static [&'static str], [&'static str; 2], [(&'static str, &'static str); 2]);
        let cases: [Case; 7] = [
            (
                &["2001:db8:1::2", "fe80::1", "169.254.13.78"],
                ["2001:db8:1::1", "198.51.100.121"],
                [("2001:db8:1::1", "2001:db8:1::2"), ("198.51.100.121", "169.254.13.78")],
            ),
            (
                &["fe80::1", "198.51.100.117"],
                ["2001:db8:1::1", "198.51.100.121"],
                [("198.51.100.121", "198.51.100.117"), ("2001:db8:1::1", "fe80::1")],
            ),
            (
                &["2001:db8:1::2", "fe80::1", "10.1.2.4"],
                ["2001:db8:1::1", "10.1.2.3"],
                [("2001:db8:1::1", "2001:db8:1::2"), ("10.1.2.3", "10.1.2.4")],
            ),
            (
                &["2001:db8:1::2", "fe80::2"],
                ["2001:db8:1::1", "fe80::1"],
                [("fe80::1", "fe80::2"), ("2001:db8:1::1", "2001:db8:1::2")],
            ),
            (
                &["2001:db8:1::2", "2001:db8:3f44::2", "fe80::2"],
                ["2001:db8:1::1", "2001:db8:3ffe::1"],
                [("2001:db8:1::1", "2001:db8:1::2"), ("2001:db8:3ffe::1", "2001:db8:3f44::2")],
            ),
            (
                &["2002:c633:6401::2", "fe80::2"],
                ["2002:c633:6401::1", "2001:db8:1::1"],
                [("2002:c633:6401::1", "2002:c633:6401::2"), ("2001:db8:1::1", "2002:c633:6401::2")],
            ),
            (
                &["2002:c633:6401::2", "2001:db8:1::2", "fe80::2"],
                ["2002:c633:6401::1", "2001:db8:1::1"],
                [("2001:db8:1::1", "2001:db8:1::2"), ("2002:c633:6401::1", "2002:c633:6401::2")],
            ),
        ];
        for (candidates, list, result) in cases {
            let own = own(candidates);
            let from = |dst| match dst {
                IpAddr::V6(dst) => source(&own, dst, 1).map(|own| own.cidr),
                IpAddr::V4(_) => own.iter().map(|own| own.cidr).find(|own| own.addr.is_ipv4()),
            };
            for turned in [false, true] {
                let mut list = list.map(ip);
                if turned {
                    list.reverse();
                }
                order(&mut list, |addr| *addr, from);
                let got = list.map(|dst| (dst, from(dst).unwrap().addr));
                assert_eq!(got, result.map(|(dst, src)| (ip(dst), ip(src))), "{candidates:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_reached_is_last_and_equals_stay() {
        let own = own(&["10.0.0.1"]);
        let from = |dst: IpAddr| own.first().map(|own| own.cidr).filter(|_| dst.is_ipv4());
        let mut list = ["2001:db8::1", "8.8.8.8", "8.8.4.4", "2001:db8::2"].map(ip);
        order(&mut list, |addr| *addr, from);
        assert_eq!(list, ["8.8.8.8", "8.8.4.4", "2001:db8::1", "2001:db8::2"].map(ip));
    }

    /// 6724-3: precedence and label of each row, by an address in it.
    #[test]
    fn the_default_policy_table() {
        for (addr, precedence, label) in [
            ("::1", 50, 0),
            ("2001:db8::1", 40, 1),
            ("192.0.2.1", 35, 4),
            ("::ffff:192.0.2.1", 35, 4),
            ("2002:c633::1", 30, 2),
            ("2001:0:1::1", 5, 5),
            ("fd12::1", 3, 13),
            ("::192.0.2.1", 1, 3),
            ("fec0::1", 1, 11),
            ("3ffe::1", 1, 12),
        ] {
            let policy = policy_of(ip(addr));
            assert_eq!((policy.precedence, policy.label), (precedence, label), "{addr}");
        }
    }
}
