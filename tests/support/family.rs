//! The address family that the tests are about. They are written with IPv4 addresses and MTUs; the crate `over_ipv6` runs
//! the same tests over IPv6: there each address stands in the prefix 2001:db8::/96, and a link has 20 bytes more, so that
//! every segment is as long as it would be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use tunstack::stack::Cidr;
use tunstack::wire::GsoKind;

const PREFIX: u128 = 0x2001_0db8 << 96;

/// Whether this is the crate of tests over IPv6.
pub fn over_ipv6() -> bool {
    env!("CARGO_CRATE_NAME") == "over_ipv6"
}

/// What stands in packets, and in calls of the stack, for the test's address `addr`.
pub fn on_wire(addr: Ipv4Addr) -> IpAddr {
    if over_ipv6() { IpAddr::V6(Ipv6Addr::from_bits(PREFIX | u128::from(addr.to_bits()))) } else { IpAddr::V4(addr) }
}

/// As [`on_wire`], with a port.
pub fn wire_addr(addr: SocketAddrV4) -> SocketAddr {
    SocketAddr::new(on_wire(*addr.ip()), addr.port())
}

/// The test's address that `addr` stands for.
pub fn within(addr: Ipv6Addr) -> Option<Ipv4Addr> {
    (addr.to_bits() >> 32 == PREFIX >> 32).then(|| Ipv4Addr::from_bits(addr.to_bits() as u32))
}

/// An address of the stack with its prefix, `prefix` bits of the IPv4 address.
pub fn cidr(addr: Ipv4Addr, prefix: u8) -> Cidr {
    Cidr::new(on_wire(addr), if over_ipv6() { 96 + prefix } else { prefix })
}

/// The MTU of a link that takes the segments that an IPv4 link of `mtu` bytes takes.
pub fn link_mtu(mtu: usize) -> usize {
    if over_ipv6() { mtu + 20 } else { mtu }
}

/// The smallest MTU of a link.
pub fn smallest_mtu() -> usize {
    if over_ipv6() { 1280 } else { 68 }
}

/// Bytes of the headers of IP and TCP without options.
pub fn headers() -> usize {
    if over_ipv6() { 60 } else { 40 }
}

/// The MSS of a peer that names none.
pub fn default_mss() -> usize {
    if over_ipv6() { 1220 } else { 536 }
}

/// What TCP's super-segments are called.
pub fn gso_kind() -> GsoKind {
    if over_ipv6() { GsoKind::TcpV6 } else { GsoKind::TcpV4 }
}

/// Addresses that no single host has.
pub fn nobody() -> Vec<IpAddr> {
    let v4 = ["255.255.255.255", "192.0.2.255", "224.0.0.1", "239.255.255.255", "0.0.0.0"];
    let v6 = ["::", "ff02::1", "ff0e::1234", "::ffff:192.0.2.2"];
    let all = if over_ipv6() { &v6[..] } else { &v4[..] };
    all.iter().map(|text| text.parse().expect("an address")).collect()
}

/// A host of the other family, of which the stack has no address.
pub fn other_family() -> SocketAddr {
    let text = if over_ipv6() { "192.0.2.2:80" } else { "[2001:db8::1]:80" };
    text.parse().expect("an address")
}
