//! Addresses as users write them.

use super::error::invalid;
use crate::stack::Cidr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{iter, option, slice, vec};

/// As `std::net::ToSocketAddrs`, but nothing ever asks the system's resolver, whose answers belong to another network.
///
/// Only literal addresses are understood yet: `"192.0.2.1:80"`, `("2001:db8::1", 80)`, a [`SocketAddr`], or a slice of
/// them. Names come with this stack's own resolver.
pub trait ToSocketAddrs {
    /// What is given.
    type Iter: Iterator<Item = SocketAddr>;

    /// The addresses.
    ///
    /// # Errors
    /// `InvalidInput` if it is no address with a port; `Unsupported` if it has a name where an address must be.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
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
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        one((literal(self.0)?, self.1).into())
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_socket_addrs()
    }
}

impl ToSocketAddrs for str {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(addr) = self.parse() {
            return one(addr);
        }
        let (host, port) = self.rsplit_once(':').ok_or_else(|| invalid(format!("`{self}` has no port")))?;
        let port: u16 = port.parse().map_err(|_| invalid(format!("`{port}` is not a port")))?;
        (host, port).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    type Iter = option::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
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
}

fn literal(host: &str) -> io::Result<IpAddr> {
    host.parse().map_err(|_| {
        let text = format!("names cannot be resolved yet: give an IP address instead of `{host}`");
        io::Error::new(io::ErrorKind::Unsupported, text)
    })
}

/// Tries `f` on each address until one succeeds, and gives the last error otherwise, as std does.
pub(super) fn each<T>(
    addrs: impl ToSocketAddrs,
    mut f: impl FnMut(SocketAddr) -> crate::error::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addrs.to_socket_addrs()? {
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
        assert_eq!(addrs("example.org:80"), Err(ErrorKind::Unsupported));
        assert_eq!(addrs(("localhost", 80)), Err(ErrorKind::Unsupported));
    }

    #[test]
    fn each_gives_the_first_success_or_the_last_error() {
        use crate::error::Error;
        let all: Vec<SocketAddr> = (1..4).map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect();
        let odd = |addr: SocketAddr| if addr.port() == 2 { Ok(addr) } else { Err(Error::AddrInUse) };
        assert_eq!(each(&all, odd).unwrap().port(), 2);
        let none = |addr: SocketAddr| -> Result<(), _> {
            Err(if addr.port() == 3 { Error::ConnectionRefused } else { Error::TimedOut })
        };
        assert_eq!(each(&all, none).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(each(Vec::new(), none).unwrap_err().kind(), ErrorKind::InvalidInput);
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
