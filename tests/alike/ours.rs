//! This stack's sockets, and the cases over them.

#[path = "cases/mod.rs"]
pub mod cases;

/// `tunstack::net`.
pub mod net {
    pub use tunstack::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

    use std::io;
    use std::time::Duration;

    pub fn set_linger(stream: &TcpStream, linger: Option<Duration>) -> io::Result<()> {
        stream.set_linger(linger)
    }

    pub fn linger(stream: &TcpStream) -> io::Result<Option<Duration>> {
        stream.linger()
    }

    /// The number of the link.
    pub fn link() -> u32 {
        1
    }
}

use tunstack::device::mem;
use tunstack::net::Host;

/// Starts the default host, on a link that nobody answers on, and with routes to nowhere else.
pub fn start(addresses: &[&str]) {
    // What is sent finds the other end's queue full, or nobody there, and is lost, as on the TUN that nobody reads.
    let (device, _) = mem::pair(1500, 64).expect("a link in memory");
    let builder = addresses.iter().fold(Host::builder(), |builder, address| builder.address(*address));
    let routes = ["192.0.2.0/24 dev tun0", "2001:db8::/64 dev tun0", "ff00::/8 dev tun0"];
    let routes: Vec<_> = routes.iter().map(|route| route.parse().expect("a route")).collect();
    builder.config(|config| config.routes = routes).start(device).expect("a host").set_default();
}
