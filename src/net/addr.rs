//! Addresses as users write them.

use super::Host;
use super::error::invalid;
use crate::stack::Cidr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{iter, option, slice, vec};

/// As `std::net::ToSocketAddrs`, but nothing ever asks the system's resolver, whose answers belong to another network.
///
/// A [`SocketAddr`], a slice of them, or a text such as `"192.0.2.1:80"`, `("2001:db8::1", 80)` or `"example.org:80"`. A
/// name is looked up by the resolver of the host that connects or sends ([`Host::set_resolver`]).
pub trait ToSocketAddrs {
    /// What is given.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses. A name's are those that the default host's resolver finds, the one to try first at the front.
    ///
    /// # Errors
    /// `InvalidInput` if it is no address with a port; and for names those of [`Host::resolve`], or `NetworkDown` if there
    /// is no default host.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;

    /// The name and the port, if it has a name that must be looked up.
    fn unresolved(&self) -> Option<(&str, u16)> {
        None
    }
}

fn one(addr: SocketAddr) -> io::Result<option::IntoIter<SocketAddr>> {
    Ok(Some(addr).into_iter())
}

macro_rules! one_address {
    ($($from:ty),*) => {$(
        impl ToSocketAddrs for $from {
            type Iter = option::IntoIter<SocketAddr>;
            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                one((*self).into())
            }
        }
    )*};
}

one_address!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        match host.parse() {
            Ok(addr) => Ok(vec![SocketAddr::new(addr, port)].into_iter()),
            Err(_) => by_name(&Host::get_default()?, host, port),
        }
    }

    fn unresolved(&self) -> Option<(&str, u16)> {
        self.0.parse::<IpAddr>().is_err().then_some(*self)
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_socket_addrs()
    }

    fn unresolved(&self) -> Option<(&str, u16)> {
        self.0.parse::<IpAddr>().is_err().then_some((&*self.0, self.1))
    }
}

impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(addr) = self.parse() {
            return Ok(vec![addr].into_iter());
        }
        host_and_port(self)?.to_socket_addrs()
    }

    fn unresolved(&self) -> Option<(&str, u16)> {
        if self.parse::<SocketAddr>().is_ok() {
            return None;
        }
        let (host, port) = host_and_port(self).ok()?;
        host.parse::<IpAddr>().is_err().then_some((host, port))
    }
}

/// The parts of a text such as `example.org:80`.
fn host_and_port(text: &str) -> io::Result<(&str, u16)> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| invalid(format!("`{text}` has no port")))?;
    let port = port.parse().map_err(|_| invalid(format!("`{port}` is not a port")))?;
    Ok((host, port))
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }

    fn unresolved(&self) -> Option<(&str, u16)> {
        (**self).unresolved()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl ToSocketAddrs for Vec<SocketAddr> {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.clone().into_iter())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }

    fn unresolved(&self) -> Option<(&str, u16)> {
        (**self).unresolved()
    }
}

fn by_name(host: &Host, name: &str, port: u16) -> io::Result<vec::IntoIter<SocketAddr>> {
    let addrs = host.resolve(name)?;
    Ok(addrs.into_iter().map(|addr| SocketAddr::new(addr, port)).collect::<Vec<_>>().into_iter())
}

/// The first of `addrs`, names being looked up by `host`'s resolver.
pub(super) fn first(host: &Host, addrs: impl ToSocketAddrs) -> io::Result<Option<SocketAddr>> {
    match addrs.unresolved() {
        None => Ok(addrs.to_socket_addrs()?.next()),
        Some((name, port)) => Ok(by_name(host, name, port)?.next()),
    }
}

/// Tries `f` on each address until one succeeds, and gives the last error otherwise, as std does. Names are looked up by
/// `host`'s resolver.
pub(super) fn each<T>(
    host: &Host,
    addrs: impl ToSocketAddrs,
    f: impl FnMut(SocketAddr) -> crate::error::Result<T>,
) -> io::Result<T> {
    match addrs.unresolved() {
        None => try_each(addrs.to_socket_addrs()?, f),
        Some((name, port)) => try_each(by_name(host, name, port)?, f),
    }
}

fn try_each<T>(
    addrs: impl Iterator<Item = SocketAddr>,
    mut f: impl FnMut(SocketAddr) -> crate::error::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addrs {
        match f(addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| invalid("could not resolve to any addresses"), io::Error::from))
}

/// One of a host's own addresses: a [`Cidr`], or its text such as `"192.0.2.2/24"`.
pub trait ToCidr {
    /// The address with its prefix. An address without one is a network of its own.
    ///
    /// # Errors
    /// `InvalidInput` if it is neither.
    fn to_cidr(&self) -> io::Result<Cidr>;
}

impl ToCidr for Cidr {
    fn to_cidr(&self) -> io::Result<Cidr> {
        Ok(*self)
    }
}

impl ToCidr for IpAddr {
    fn to_cidr(&self) -> io::Result<Cidr> {
        Ok(Cidr::new(*self, bits(*self)))
    }
}

impl ToCidr for Ipv4Addr {
    fn to_cidr(&self) -> io::Result<Cidr> {
        IpAddr::V4(*self).to_cidr()
    }
}

impl ToCidr for str {
    fn to_cidr(&self) -> io::Result<Cidr> {
        let bad = || invalid(format!("`{self}` is not an address with a prefix, such as 192.0.2.2/24"));
        let (addr, prefix) = self.split_once('/').map_or((self, None), |(addr, prefix)| (addr, Some(prefix)));
        let addr: IpAddr = addr.parse().map_err(|_| bad())?;
        let prefix = match prefix {
            None => bits(addr),
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().map_err(|_| bad())?,
            Some(_) => return Err(bad()),
        };
        if prefix > bits(addr) {
            return Err(bad());
        }
        Ok(Cidr::new(addr, prefix))
    }
}

impl ToCidr for String {
    fn to_cidr(&self) -> io::Result<Cidr> {
        (**self).to_cidr()
    }
}

impl<T: ToCidr + ?Sized> ToCidr for &T {
    fn to_cidr(&self) -> io::Result<Cidr> {
        (**self).to_cidr()
    }
}

fn bits(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    fn addrs(from: impl ToSocketAddrs) -> Result<Vec<SocketAddr>, ErrorKind> {
        from.to_socket_addrs().map(Iterator::collect).map_err(|e| e.kind())
    }

    #[test]
    fn literals_in_every_form() {
        let v4: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        let ip4: Ipv4Addr = "192.0.2.1".parse().unwrap();
        for given in [
            addrs("192.0.2.1:80"),
            addrs(String::from("192.0.2.1:80")),
            addrs(("192.0.2.1", 80)),
            addrs((String::from("192.0.2.1"), 80)),
            addrs((ip4, 80)),
            addrs((IpAddr::V4(ip4), 80)),
            addrs(v4),
            addrs(v4),
        ] {
            assert_eq!(given.unwrap(), [v4]);
        }
        assert_eq!(addrs("[2001:db8::1]:80").unwrap(), [v6]);
        assert_eq!(addrs(("2001:db8::1", 80)).unwrap(), [v6]);
        assert_eq!(addrs(&[v4, v6][..]).unwrap(), [v4, v6]);
        assert_eq!(addrs(vec![v6, v4]).unwrap(), [v6, v4]);
    }

    #[test]
    fn what_is_no_address_is_told_apart_from_a_name() {
        assert_eq!(addrs("192.0.2.1"), Err(ErrorKind::InvalidInput));
        assert_eq!(addrs("192.0.2.1:x"), Err(ErrorKind::InvalidInput));
        assert_eq!(addrs("192.0.2.1:65536"), Err(ErrorKind::InvalidInput));
        assert_eq!("example.org:80".unresolved(), Some(("example.org", 80)));
        assert_eq!((String::from("localhost"), 80).unresolved(), Some(("localhost", 80)));
        for known in ["192.0.2.1:80", "[2001:db8::1]:80", "example.org", "example.org:http"] {
            assert_eq!(known.unresolved(), None, "{known}");
        }
    }

    #[test]
    fn each_gives_the_first_success_or_the_last_error() {
        use crate::error::Error;
        let all: Vec<SocketAddr> = (1..4).map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect();
        let odd = |addr: SocketAddr| if addr.port() == 2 { Ok(addr) } else { Err(Error::AddrInUse) };
        assert_eq!(try_each(all.iter().copied(), odd).unwrap().port(), 2);
        let none = |addr: SocketAddr| -> Result<(), _> {
            Err(if addr.port() == 3 { Error::ConnectionRefused } else { Error::TimedOut })
        };
        assert_eq!(try_each(all.into_iter(), none).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(try_each([].into_iter(), none).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn prefixes() {
        let cidr = |text: &str| text.to_cidr().map(|c| (c.addr.to_string(), c.prefix)).ok();
        assert_eq!(cidr("192.0.2.2/24"), Some(("192.0.2.2".into(), 24)));
        assert_eq!(cidr("192.0.2.2"), Some(("192.0.2.2".into(), 32)));
        assert_eq!(cidr("2001:db8::2/64"), Some(("2001:db8::2".into(), 64)));
        assert_eq!(cidr("2001:db8::2"), Some(("2001:db8::2".into(), 128)));
        for bad in ["", "/24", "192.0.2.2/", "192.0.2.2/33", "192.0.2.2/+4", "192.0.2.2/-1", "192.0.2/24", "a/8"] {
            assert_eq!(cidr(bad), None, "{bad}");
        }
    }
}
