//! Routes as they are configured, in the words of `ip route`.

use super::Cidr;
use crate::error::{Error, Result};
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr};

/// Where packets to some destinations go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations. Of the routes that hold one, that with the longest prefix counts.
    pub destination: Cidr,
    /// Among routes of the same prefix, the least counts.
    pub metric: u32,
    /// What becomes of packets.
    pub kind: RouteKind,
    /// The address of ours that they come from, where the socket does not say.
    pub source: Option<IpAddr>,
    /// The largest packet in bytes, where that is less than the link's.
    pub mtu: Option<usize>,
}

/// What becomes of packets that take a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// They go over the link.
    Link,
    /// They are refused: `HostUnreachable` (EHOSTUNREACH).
    Unreachable,
    /// They are refused: `PermissionDenied` (EACCES).
    Prohibit,
    /// They are refused: `InvalidInput` (EINVAL), as Linux has it.
    Blackhole,
}

impl Route {
    /// A route over the link.
    pub const fn new(destination: Cidr) -> Route {
        Route { destination, metric: 0, kind: RouteKind::Link, source: None, mtu: None }
    }
}

const SYNTAX: Error = Error::InvalidInput(
    "a route is DST/LEN, or default, then any of \",metric N\", \",mtu N\", \",src ADDR\", \",blackhole\", \",prohibit\", \",unreachable\"",
);

/// `DST/LEN` or `default` (IPv4's; `::/0` is IPv6's), then settings, each after a comma: `10.0.0.0/8,metric 5,mtu 1400`.
impl FromStr for Route {
    type Err = Error;

    fn from_str(text: &str) -> Result<Route> {
        let mut words = text.split(',').map(str::trim);
        let destination = match words.next().unwrap_or_default() {
            "default" => Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            text => {
                let (addr, prefix) = text.split_once('/').ok_or(SYNTAX)?;
                Cidr::new(addr.parse().map_err(|_| SYNTAX)?, prefix.parse().map_err(|_| SYNTAX)?)
            }
        };
        let mut route = Route::new(destination);
        for word in words {
            let (name, value) = word.split_once(' ').unwrap_or((word, ""));
            match (name, value.trim()) {
                ("metric", n) => route.metric = n.parse().map_err(|_| SYNTAX)?,
                ("mtu", n) => route.mtu = Some(n.parse().map_err(|_| SYNTAX)?),
                ("src", addr) => route.source = Some(addr.parse().map_err(|_| SYNTAX)?),
                ("blackhole", "") => route.kind = RouteKind::Blackhole,
                ("prohibit", "") => route.kind = RouteKind::Prohibit,
                ("unreachable", "") => route.kind = RouteKind::Unreachable,
                _ => return Err(SYNTAX),
            }
        }
        Ok(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_ip_writes_them() {
        let read = |text: &str| text.parse::<Route>();
        let ten = Cidr::new("10.0.0.0".parse().unwrap(), 8);
        assert_eq!(read("10.0.0.0/8"), Ok(Route::new(ten)));
        let source = Some("192.0.2.2".parse().unwrap());
        let expected = Route { metric: 5, mtu: Some(1400), source, ..Route::new(ten) };
        assert_eq!(read("10.0.0.0/8, metric 5,mtu 1400 ,src 192.0.2.2"), Ok(expected));
        assert_eq!(read("default").unwrap().destination.prefix, 0);
        assert_eq!(read("::/0,blackhole").unwrap().kind, RouteKind::Blackhole);
        for bad in ["", "10.0.0.0", "10.0.0.0/x", "10.0.0.0/8,metric", "10.0.0.0/8,via 1.2.3.4", "default,blackhole 1"]
        {
            assert_eq!(read(bad), Err(SYNTAX), "{bad}");
        }
    }
}
