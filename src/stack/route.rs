//! Routes as they are configured, in the words of `ip route`.

use super::{Cidr, IfName};
use crate::error::{Error, Result};
use core::fmt;
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
    /// The interface that they leave by. Where it is not said, it is that of the gateway, or of the source.
    pub dev: Option<IfName>,
    /// The router that takes them on. The links have no addresses of their own, so that it decides nothing but the
    /// interface: that in whose network it is.
    pub via: Option<IpAddr>,
    /// The address of ours that they come from, where the socket does not say.
    pub source: Option<IpAddr>,
    /// The largest packet in bytes, where that is less than the link's.
    pub mtu: Option<usize>,
}

/// What becomes of packets that take a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// They go over a link.
    Link,
    /// They are refused: `HostUnreachable` (EHOSTUNREACH).
    Unreachable,
    /// They are refused: `PermissionDenied` (EACCES).
    Prohibit,
    /// They are refused: `InvalidInput` (EINVAL), as Linux has it.
    Blackhole,
}

impl Route {
    /// A route over a link.
    pub const fn new(destination: Cidr) -> Route {
        Route { destination, metric: 0, kind: RouteKind::Link, dev: None, via: None, source: None, mtu: None }
    }
}

const SYNTAX: Error = Error::InvalidInput(
    "a route is DST/LEN, or default, then any of \"via ADDR\", \"dev NAME\", \"metric N\", \"mtu N\", \"src ADDR\", \"blackhole\", \"prohibit\", \"unreachable\"",
);

/// `DST/LEN` or `default` (IPv4's; `::/0` is IPv6's), then settings, with spaces or commas between them:
/// `10.0.0.0/8 via 192.0.2.1 metric 5`, `10.0.0.0/8,dev tun1,mtu 1400`.
impl FromStr for Route {
    type Err = Error;

    fn from_str(text: &str) -> Result<Route> {
        let mut words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        let destination = match words.next().unwrap_or_default() {
            "default" => Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            text => {
                let (addr, prefix) = text.split_once('/').ok_or(SYNTAX)?;
                Cidr::new(addr.parse().map_err(|_| SYNTAX)?, prefix.parse().map_err(|_| SYNTAX)?)
            }
        };
        let mut route = Route::new(destination);
        while let Some(word) = words.next() {
            match word {
                "blackhole" => route.kind = RouteKind::Blackhole,
                "prohibit" => route.kind = RouteKind::Prohibit,
                "unreachable" => route.kind = RouteKind::Unreachable,
                _ => {
                    let value = words.next().ok_or(SYNTAX)?;
                    match word {
                        "via" => route.via = Some(value.parse().map_err(|_| SYNTAX)?),
                        "dev" => route.dev = Some(value.parse().map_err(|_| SYNTAX)?),
                        "metric" => route.metric = value.parse().map_err(|_| SYNTAX)?,
                        "mtu" => route.mtu = Some(value.parse().map_err(|_| SYNTAX)?),
                        "src" => route.source = Some(value.parse().map_err(|_| SYNTAX)?),
                        _ => return Err(SYNTAX),
                    }
                }
            }
        }
        Ok(route)
    }
}

/// As `ip route` writes it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Route { destination, metric, kind, dev, via, source, mtu } = self;
        write!(f, "{}/{}", destination.addr, destination.prefix)?;
        if let Some(via) = via {
            write!(f, " via {via}")?;
        }
        if let Some(dev) = dev {
            write!(f, " dev {dev}")?;
        }
        if let Some(source) = source {
            write!(f, " src {source}")?;
        }
        if *metric > 0 {
            write!(f, " metric {metric}")?;
        }
        if let Some(mtu) = mtu {
            write!(f, " mtu {mtu}")?;
        }
        f.write_str(match kind {
            RouteKind::Link => "",
            RouteKind::Unreachable => " unreachable",
            RouteKind::Prohibit => " prohibit",
            RouteKind::Blackhole => " blackhole",
        })
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
        let (dev, via) = (Some("tun1".parse().unwrap()), Some("192.0.2.1".parse().unwrap()));
        let led = Route { metric: 7, dev, via, ..Route::new(ten) };
        for text in ["10.0.0.0/8 via 192.0.2.1 dev tun1 metric 7", "10.0.0.0/8,metric 7,dev tun1 , via  192.0.2.1"] {
            assert_eq!(read(text), Ok(led), "{text}");
        }
        for text in ["10.0.0.0/8 via 192.0.2.1 dev tun1 src 192.0.2.2 metric 7 mtu 1400", "::/0 unreachable"] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/x",
            "10.0.0.0/8,metric",
            "10.0.0.0/8,via tun1",
            "10.0.0.0/8 dev",
            "10.0.0.0/8 dev a:b",
            "10.0.0.0/8 by 1",
            "default,blackhole 1",
        ] {
            assert_eq!(read(bad), Err(SYNTAX), "{bad}");
        }
    }
}
