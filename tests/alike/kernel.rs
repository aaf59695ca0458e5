//! The kernel's sockets, and the cases over them.

#[path = "cases/mod.rs"]
pub mod cases;

/// `std::net`, with what it lacks under the names that it has in `tunstack::net`.
pub mod net {
    pub use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

    use socket2::SockRef;
    use std::io;
    use std::time::Duration;

    /// The number of the link beside loopback.
    pub fn link() -> u32 {
        let mut netlink = tunstack::daemon::netif::Netlink::open().expect("a netlink socket");
        netlink.link("tun0").expect("the link").index
    }

    // std has these two, too, but unstable.

    pub fn set_linger(stream: &TcpStream, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(stream).set_linger(linger)
    }

    pub fn linger(stream: &TcpStream) -> io::Result<Option<Duration>> {
        SockRef::from(stream).linger()
    }
}
