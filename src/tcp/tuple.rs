//! The four-tuple that names a connection.

use core::fmt;
use core::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

/// Local and remote address and port (RFC 9293 3.1: a pair of sockets).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FourTuple {
    /// Our address.
    pub local_addr: IpAddr,
    /// The peer's address.
    pub remote_addr: IpAddr,
    /// Our port.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
}

impl FourTuple {
    /// The tuple of two socket addresses.
    pub fn new(local: SocketAddr, remote: SocketAddr) -> Self {
        FourTuple {
            local_addr: local.ip(),
            remote_addr: remote.ip(),
            local_port: local.port(),
            remote_port: remote.port(),
        }
    }

    /// Our end.
    pub fn local(&self) -> SocketAddr {
        SocketAddr::new(self.local_addr, self.local_port)
    }

    /// The peer's end.
    pub fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.remote_addr, self.remote_port)
    }
}

/// In one piece: every segment's tuple is hashed, and a keyed hash is dear by the piece.
impl Hash for FourTuple {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports = u32::from(self.local_port) << 16 | u32::from(self.remote_port);
        match (self.local_addr, self.remote_addr) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => {
                let mut bytes = [0; 12];
                bytes[..4].copy_from_slice(&local.octets());
                bytes[4..8].copy_from_slice(&remote.octets());
                bytes[8..].copy_from_slice(&ports.to_be_bytes());
                state.write(&bytes);
            }
            (local, remote) => {
                let octets = |addr| match addr {
                    IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                    IpAddr::V6(v6) => v6.octets(),
                };
                let mut bytes = [0; 36];
                bytes[..16].copy_from_slice(&octets(local));
                bytes[16..32].copy_from_slice(&octets(remote));
                bytes[32..].copy_from_slice(&ports.to_be_bytes());
                state.write(&bytes);
            }
        }
    }
}

impl fmt::Debug for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <-> {}", self.local(), self.remote())
    }
}

impl fmt::Display for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
