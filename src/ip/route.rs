//! Routes: the longest prefix that holds a destination says whether packets go there, by which interface, from which of
//! our addresses, and how large they may be.
//!
//! With one interface and without any route every destination is beyond its link, and nobody looks here. Else the networks
//! of our own addresses are routes, too.

use super::addresses::Addresses;
use super::links::Links;
use crate::error::{Error, Result};
use crate::stack::{Route, RouteKind};
use crate::wire::ipv6;
use core::cmp::Reverse;
use std::net::IpAddr;

/// Routes at most: they are looked through one by one.
const MAX_ROUTES: usize = 1024;

/// The routes, the best ones first.
#[derive(Debug)]
pub(super) struct Routes {
    /// Whether nobody was ever told any, so that every destination is beyond the one link.
    open: bool,
    entries: Vec<Entry>,
}

/// A route, and the number of the interface that it leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) route: Route,
    pub(super) interface: u8,
}

impl Routes {
    /// Everything is beyond the one link.
    pub(super) fn open() -> Routes {
        Routes { open: true, entries: Vec::new() }
    }

    /// The configured `routes` and those of our `own` addresses.
    ///
    /// # Errors
    /// `InvalidInput` for a route that makes no sense; the text says why.
    pub(super) fn new(routes: &[Route], own: &Addresses, links: &Links) -> Result<Routes> {
        if routes.len() > MAX_ROUTES {
            return Err(Error::InvalidInput("more than 1024 routes"));
        }
        let configured = routes.iter().map(|route| {
            check(route, own)?;
            Ok(Entry { route: *route, interface: interface_of(route, own, links)? })
        });
        let mut entries = configured.collect::<Result<Vec<Entry>>>()?;
        let networks = own.all().map(|own| Entry { route: Route::new(own.cidr), interface: own.interface });
        entries.extend(networks);
        // A stable sort: of two that are alike, the configured one counts.
        entries.sort_by_key(|entry| (Reverse(entry.route.destination.prefix), entry.route.metric));
        Ok(Routes { open: false, entries })
    }

    /// Whether every destination is beyond the one link.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// The route to `dst`, or the one by the interface with the number `over`, if that is not zero. There is none, but a
    /// way, if everything is beyond the link.
    ///
    /// # Errors
    /// What a call to send there fails with: `NetworkUnreachable` without a route, else as the route's kind says.
    pub(super) fn find(&self, dst: IpAddr, over: u8) -> Result<Option<&Entry>> {
        if self.open {
            return Ok(None);
        }
        let leads = |entry: &&Entry| {
            (over == 0 || entry.interface == over || entry.route.kind != RouteKind::Link)
                && entry.route.destination.contains(dst)
        };
        let entry = self.entries.iter().find(leads).ok_or(Error::NetworkUnreachable)?;
        match entry.route.kind {
            RouteKind::Link => Ok(Some(entry)),
            RouteKind::Unreachable => Err(Error::HostUnreachable),
            RouteKind::Prohibit => Err(Error::PermissionDenied),
            RouteKind::Blackhole => Err(Error::InvalidInput("the route to the destination is a black hole")),
        }
    }
}

/// What a route must be whatever the interfaces are.
fn check(route: &Route, own: &Addresses) -> Result<()> {
    let v6 = route.destination.addr.is_ipv6();
    if route.destination.prefix > if v6 { 128 } else { 32 } {
        return Err(Error::InvalidInput("a route's prefix is longer than its address"));
    }
    let foreign = |source: IpAddr| own.interface_of(source).is_none() || source.is_ipv6() != v6;
    if route.source.is_some_and(foreign) {
        return Err(Error::InvalidInput("a route's source is none of the stack's addresses"));
    }
    if route.via.is_some_and(|gateway| gateway.is_ipv6() != v6 || own.interface_of(gateway).is_some()) {
        return Err(Error::InvalidInput("a route's gateway is the stack itself, or of another family"));
    }
    if route.mtu.is_some_and(|mtu| mtu < if v6 { ipv6::MIN_MTU } else { 68 }) {
        return Err(Error::InvalidInput("a route's MTU is less than every link carries"));
    }
    Ok(())
}

/// The interface that a route leads to: what it says, else that of its gateway's network, else that of its source, else
/// the only one.
fn interface_of(route: &Route, own: &Addresses, links: &Links) -> Result<u8> {
    if let Some(name) = route.dev {
        return links.named(name).ok_or(Error::InvalidInput("a route's interface is none of the stack's"));
    }
    if let Some(gateway) = route.via {
        if links.len() > 1 && matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local()) {
            return Err(Error::InvalidInput("a gateway fe80:: is on each link: the route must say which (dev)"));
        }
        // The first of equals, so not `max_by_key`.
        let near = own.all().filter(|own| own.cidr.contains(gateway)).min_by_key(|own| Reverse(own.cidr.prefix));
        let near = near.map(|own| own.interface).or((links.len() == 1).then_some(1));
        return near.ok_or(Error::InvalidInput("a route's gateway is in no network of the stack"));
    }
    let of_source = route.source.and_then(|source| own.interface_of(source));
    let only = (links.len() == 1 || route.kind != RouteKind::Link).then_some(1);
    of_source.or(only).ok_or(Error::InvalidInput("of several interfaces, a route must say which (dev, via or src)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{Cidr, Config, Interface};

    fn of(config: &Config, texts: &[&str]) -> Result<Routes> {
        let routes: Vec<Route> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Routes::new(&routes, &Addresses::new(config).unwrap(), &Links::new(config).unwrap())
    }

    fn config() -> Config {
        let addresses = vec![Cidr::new(ip("192.0.2.2"), 24), Cidr::new(ip("2001:db8::2"), 64)];
        Config { addresses, ..Config::default() }
    }

    fn routes(texts: &[&str]) -> Result<Routes> {
        of(&config(), texts)
    }

    /// With a second interface, tun1.
    fn two() -> Config {
        let addresses = vec![Cidr::new(ip("198.51.100.2"), 24), Cidr::new(ip("2001:db8:1::2"), 64)];
        let second = Interface { name: "tun1".parse().unwrap(), addresses, mtu: 1500 };
        Config { interfaces: vec![second], ..config() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_longest_prefix_counts_then_the_least_metric() {
        let routes = routes(&[
            "default,metric 1",
            "10.0.0.0/8,unreachable",
            "10.1.0.0/16,metric 7,mtu 1400",
            "10.1.0.0/16,metric 3,mtu 1300",
            "10.1.2.0/24,prohibit",
            "10.1.2.3/32,blackhole",
            "192.0.2.128/25,unreachable",
        ])
        .unwrap();
        let mtu = |dst| routes.find(ip(dst), 0).map(|entry| entry.unwrap().route.mtu);
        assert_eq!(mtu("8.8.8.8"), Ok(None));
        assert_eq!(mtu("10.9.9.9"), Err(Error::HostUnreachable));
        assert_eq!(mtu("10.1.9.9"), Ok(Some(1300)));
        assert_eq!(mtu("10.1.2.9"), Err(Error::PermissionDenied));
        assert!(matches!(mtu("10.1.2.3"), Err(Error::InvalidInput(_))));
        assert_eq!(mtu("192.0.2.9"), Ok(None), "our own network");
        assert_eq!(mtu("192.0.2.200"), Err(Error::HostUnreachable), "but for a part of it");
        assert_eq!(mtu("2001:db8::9"), Ok(None));
        assert_eq!(mtu("2001:db8:1::9"), Err(Error::NetworkUnreachable), "the default route is IPv4's");
    }

    #[test]
    fn without_routes_everything_is_beyond_the_link() {
        let none = Routes::open();
        assert!(none.is_open() && none.find(ip("203.0.113.9"), 0).unwrap().is_none());
    }

    #[test]
    fn a_route_leads_to_the_interface_that_it_names_or_that_of_its_gateway() {
        let routes = of(
            &two(),
            &[
                "default dev tun0 metric 9",
                "default via 198.51.100.1 metric 5",
                "10.0.0.0/8 dev tun1",
                "10.1.0.0/16 via 192.0.2.1",
                "10.2.0.0/16 src 192.0.2.2",
                "10.3.0.0/16 unreachable",
                "::/0 via 2001:db8:1::1",
                "2001:db8:7::/48 via fe80::1 dev tun0",
            ],
        )
        .unwrap();
        let over = |dst, over| routes.find(ip(dst), over).map(|entry| entry.unwrap().interface);
        for (dst, interface) in [
            ("203.0.113.1", 2),
            ("10.9.9.9", 2),
            ("10.1.9.9", 1),
            ("10.2.9.9", 1),
            ("192.0.2.9", 1),
            ("198.51.100.9", 2),
            ("2001:db8:9::1", 2),
            ("2001:db8:7::1", 1),
        ] {
            assert_eq!(over(dst, 0), Ok(interface), "{dst}");
        }
        // Over one of them only its own count, and those that lead nowhere.
        assert_eq!((over("203.0.113.1", 1), over("10.9.9.9", 1), over("10.1.9.9", 2)), (Ok(1), Ok(1), Ok(2)));
        assert_eq!(over("2001:db8:9::1", 1), Err(Error::NetworkUnreachable));
        assert_eq!(over("10.3.0.1", 2), Err(Error::HostUnreachable));
    }

    /// Without routes of two interfaces only their own networks are reached: none of them is the way to everywhere.
    #[test]
    fn of_several_interfaces_none_is_the_default() {
        let none = of(&two(), &[]).unwrap();
        assert_eq!(none.find(ip("198.51.100.9"), 0).unwrap().map(|entry| entry.interface), Some(2));
        assert_eq!(none.find(ip("203.0.113.9"), 0).err(), Some(Error::NetworkUnreachable));
        for bad in ["10.0.0.0/8", "10.0.0.0/8 dev tun2", "10.0.0.0/8 via 203.0.113.1", "10.0.0.0/8 via 192.0.2.2"] {
            assert!(matches!(of(&two(), &[bad]), Err(Error::InvalidInput(_))), "{bad}");
        }
        for bad in ["10.0.0.0/8 via 2001:db8::1", "::/0 via fe80::1"] {
            assert!(matches!(of(&two(), &[bad]), Err(Error::InvalidInput(_))), "{bad}");
        }
        assert!(of(&config(), &["::/0 via fe80::1"]).is_ok());
        // Of one, any gateway is beyond it.
        assert!(of(&config(), &["10.0.0.0/8 via 203.0.113.1"]).is_ok());
    }

    #[test]
    fn routes_that_make_no_sense() {
        for bad in ["10.0.0.0/33", "::/129", "default,src 192.0.2.3", "default,src 2001:db8::2", "default,mtu 67"] {
            assert!(matches!(routes(&[bad]), Err(Error::InvalidInput(_))), "{bad}");
        }
        assert!(matches!(routes(&["::/0,mtu 1279"]), Err(Error::InvalidInput(_))));
        assert!(matches!(routes(&["default"; 1025]), Err(Error::InvalidInput(_))));
    }
}
