//! The messages of SOCKS 5 (RFC 1928).

use crate::dns::ConnectError;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The version, which each message but datagrams begins with.
pub(super) const VERSION: u8 = 5;

/// Methods of authentication (3): none, and none that is acceptable.
pub(super) const NO_AUTHENTICATION: u8 = 0;
pub(super) const NO_ACCEPTABLE: u8 = 0xff;

/// Commands (4).
pub(super) const CONNECT: u8 = 1;
pub(super) const UDP_ASSOCIATE: u8 = 3;

/// Types of addresses (5).
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// What a client asks for, or a datagram is for: the host's address or name, and the port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    /// Its address, if it is not a name.
    pub(super) fn addr(&self) -> Option<SocketAddr> {
        self.host.parse().ok().map(|addr: IpAddr| SocketAddr::new(addr, self.port))
    }
}

/// What the client is told (6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Succeeded = 0,
    Failure = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    Refused = 5,
    CommandUnknown = 7,
    AddressTypeUnknown = 8,
}

impl From<&io::Error> for Reply {
    fn from(error: &io::Error) -> Reply {
        match error.kind() {
            ErrorKind::ConnectionRefused => Reply::Refused,
            // Of one that does not answer it is not known whether it is there.
            ErrorKind::HostUnreachable | ErrorKind::TimedOut => Reply::HostUnreachable,
            ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => Reply::NetworkUnreachable,
            ErrorKind::PermissionDenied => Reply::NotAllowed,
            _ => Reply::Failure,
        }
    }
}

impl From<&ConnectError> for Reply {
    fn from(error: &ConnectError) -> Reply {
        match error {
            // Where a name leads nowhere there is no host.
            ConnectError::Name(_) => Reply::HostUnreachable,
            ConnectError::Connect(error) => error.into(),
        }
    }
}

/// How many bytes of an address of type `kind` follow, the port included, if that can be told from its `first` one.
pub(super) fn address_len(kind: u8, first: u8) -> Option<usize> {
    match kind {
        IPV4 => Some(4 + 2),
        IPV6 => Some(16 + 2),
        NAME => Some(1 + usize::from(first) + 2),
        _ => None,
    }
}

/// Reads an address that begins with its type; gives it with what follows. Nothing if it is none, or not complete.
pub(super) fn target(bytes: &[u8]) -> Option<(Target, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let len = address_len(kind, *rest.first()?)?;
    let (addr, rest) = rest.split_at_checked(len)?;
    let (host, port) = addr.split_at(len - 2);
    let host = match kind {
        IPV4 => Ipv4Addr::from(<[u8; 4]>::try_from(host).ok()?).to_string(),
        IPV6 => Ipv6Addr::from(<[u8; 16]>::try_from(host).ok()?).to_string(),
        _ => core::str::from_utf8(&host[1..]).ok()?.to_owned(),
    };
    if host.is_empty() {
        return None;
    }
    Some((Target { host, port: u16::from_be_bytes(port.try_into().ok()?) }, rest))
}

/// The message that answers a request; `bound` is our address in the matter.
pub(super) fn reply(reply: Reply, bound: SocketAddr) -> Vec<u8> {
    let mut message = vec![VERSION, reply as u8, 0];
    put(&mut message, bound);
    message
}

fn put(message: &mut Vec<u8>, addr: SocketAddr) {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => {
            message.push(IPV4);
            message.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            message.push(IPV6);
            message.extend_from_slice(&ip.octets());
        }
    }
    message.extend_from_slice(&addr.port().to_be_bytes());
}

/// Whom a client's datagram is for, and its data (7). Nothing if it is none, or a fragment: those are not put together here,
/// and must be dropped then.
pub(super) fn datagram(bytes: &[u8]) -> Option<(Target, &[u8])> {
    match bytes {
        [_, _, 0, rest @ ..] => target(rest),
        _ => None,
    }
}

/// A datagram that came `from` somewhere, for the client.
pub(super) fn wrapped(from: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 3];
    put(&mut message, from);
    message.extend_from_slice(data);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str, port: u16) -> Target {
        Target { host: host.into(), port }
    }

    #[test]
    fn addresses_of_every_type() {
        let v6 = [&[4][..], &[0x20, 1, 0xd, 0xb8], &[0; 11], &[1, 0, 80]].concat();
        for (bytes, target_of, rest) in [
            (&[1, 192, 0, 2, 1, 0, 80, 7][..], of("192.0.2.1", 80), &[7][..]),
            (&[3, 4, b'a', b'.', b'b', b'c', 0x1f, 0x90], of("a.bc", 8080), &[]),
            (&v6, of("2001:db8::1", 80), &[]),
        ] {
            assert_eq!(target(bytes), Some((target_of, rest)));
            // A part of it is none.
            assert_eq!((0..bytes.len() - rest.len()).find_map(|n| target(&bytes[..n])), None);
        }
        for wrong in [&[2, 1, 2, 3, 4, 5, 6, 7, 8][..], &[3, 0, 0, 80], &[3, 1, 0xff, 0, 80]] {
            assert_eq!(target(wrong), None, "{wrong:?}");
        }
        assert_eq!(of("192.0.2.1", 80).addr(), Some(([192, 0, 2, 1], 80).into()));
        assert_eq!(of("a.bc", 80).addr(), None);
    }

    #[test]
    fn datagrams_there_and_back() {
        let v6: SocketAddr = "[2001:db8::1]:53".parse().unwrap();
        let message = wrapped(v6, b"data");
        assert_eq!(datagram(&message), Some((of("2001:db8::1", 53), &b"data"[..])));
        let mut fragment = message.clone();
        fragment[2] = 1;
        assert_eq!(datagram(&fragment), None);
        assert_eq!(datagram(&message[..2]), None);
        let v4 = wrapped("192.0.2.1:7".parse().unwrap(), b"");
        assert_eq!(v4, [0, 0, 0, 1, 192, 0, 2, 1, 0, 7]);
        assert_eq!(reply(Reply::Refused, "[::]:0".parse().unwrap()).len(), 22);
        assert_eq!(reply(Reply::Succeeded, "[::ffff:192.0.2.1]:7".parse().unwrap()), [5, 0, 0, 1, 192, 0, 2, 1, 0, 7]);
    }

    #[test]
    fn replies_mirror_errors() {
        for (kind, reply) in [
            (ErrorKind::ConnectionRefused, Reply::Refused),
            (ErrorKind::TimedOut, Reply::HostUnreachable),
            (ErrorKind::HostUnreachable, Reply::HostUnreachable),
            (ErrorKind::NetworkUnreachable, Reply::NetworkUnreachable),
            (ErrorKind::PermissionDenied, Reply::NotAllowed),
            (ErrorKind::Other, Reply::Failure),
        ] {
            assert_eq!(Reply::from(&ConnectError::Connect(kind.into())), reply);
        }
        assert_eq!(Reply::from(&ConnectError::Name(ErrorKind::TimedOut.into())), Reply::HostUnreachable);
    }
}
