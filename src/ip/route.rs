//! Routes: the longest prefix that holds a destination says whether packets go there, from which of our addresses, and
//! how large they may be.
//!
//! There is one link, so that a route chooses no interface. Without any route configured every destination is beyond that
//! link; the networks of our own addresses always are.

use crate::error::{Error, Result};
use crate::stack::{Cidr, Route, RouteKind};
use crate::wire::ipv6;
use std::net::IpAddr;

/// Routes at most: they are looked through one by one.
const MAX_ROUTES: usize = 1024;

/// The routes, the best ones first.
#[derive(Debug)]
pub(super) struct Routes(Vec<Route>);

impl Routes {
    /// The configured `routes` and those of our `own` addresses.
    pub(super) fn new(routes: &[Route], own: &[Cidr]) -> Result<Routes> {
        if routes.len() > MAX_ROUTES {
            return Err(Error::InvalidInput("more than 1024 routes"));
        }
        for route in routes {
            let v6 = route.destination.addr.is_ipv6();
            if route.destination.prefix > if v6 { 128 } else { 32 } {
                return Err(Error::InvalidInput("a route's prefix is longer than its address"));
            }
            if route.source.is_some_and(|source| own.iter().all(|own| own.addr != source) || source.is_ipv6() != v6) {
                return Err(Error::InvalidInput("a route's source is none of the stack's addresses"));
            }
            if route.mtu.is_some_and(|mtu| mtu < if v6 { ipv6::MIN_MTU } else { 68 }) {
                return Err(Error::InvalidInput("a route's MTU is less than every link carries"));
            }
        }
        if routes.is_empty() {
            return Ok(Routes(Vec::new()));
        }
        let mut all: Vec<Route> = routes.iter().copied().chain(own.iter().map(|&own| Route::new(own))).collect();
        // A stable sort: of two that are alike, the configured one counts.
        all.sort_by_key(|route| (core::cmp::Reverse(route.destination.prefix), route.metric));
        Ok(Routes(all))
    }

    /// Whether nothing was configured, so that every destination is beyond the link.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The route to `dst`.
    ///
    /// # Errors
    /// What a call to send there fails with: `NetworkUnreachable` without a route, else as the route's kind says.
    pub(super) fn find(&self, dst: IpAddr) -> Result<Option<&Route>> {
        if self.is_empty() {
            return Ok(None);
        }
        let route = self.0.iter().find(|route| route.destination.contains(dst)).ok_or(Error::NetworkUnreachable)?;
        match route.kind {
            RouteKind::Link => Ok(Some(route)),
            RouteKind::Unreachable => Err(Error::HostUnreachable),
            RouteKind::Prohibit => Err(Error::PermissionDenied),
            RouteKind::Blackhole => Err(Error::InvalidInput("the route to the destination is a black hole")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(texts: &[&str]) -> Result<Routes> {
        let own = [Cidr::new(ip("192.0.2.2"), 24), Cidr::new(ip("2001:db8::2"), 64)];
        let routes: Vec<Route> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Routes::new(&routes, &own)
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
        let mtu = |dst| routes.find(ip(dst)).map(|route| route.unwrap().mtu);
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
        let none = routes(&[]).unwrap();
        assert!(none.is_empty() && none.find(ip("203.0.113.9")) == Ok(None));
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
