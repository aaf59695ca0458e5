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

/// Options that std has not, by their names.
pub mod opt {
    use super::net::{TcpListener, TcpStream, UdpSocket};
    use crate::seen::Test;
    use crate::settings::Settings;
    use std::io;
    use std::net::SocketAddr;
    use std::ops::{Deref, DerefMut};
    use std::time::Duration;
    use tunstack::net::sockopt::*;
    use tunstack::net::{Host, MsgFlags, MtuDiscovery, TcpSocket, UdpBind};
    use tunstack::stack::State;

    pub const PEEK: MsgFlags = MsgFlags::PEEK;
    pub const WAITALL: MsgFlags = MsgFlags::WAITALL;
    pub const DONTWAIT: MsgFlags = MsgFlags::DONTWAIT;
    pub const MORE: MsgFlags = MsgFlags::MORE;
    pub const TRUNC: MsgFlags = MsgFlags::TRUNC;
    pub const OOB: MsgFlags = MsgFlags::OOB;

    macro_rules! both {
        ($($set:ident $get:ident: $kind:ty = $name:ident;)*) => {$(
            pub fn $set(socket: &TcpStream, value: $kind) -> io::Result<()> {
                socket.setsockopt($name, value)
            }

            pub fn $get(socket: &TcpStream) -> io::Result<$kind> {
                socket.getsockopt($name)
            }
        )*};
    }

    both! {
        set_keepalive keepalive: bool = SO_KEEPALIVE;
        set_keepidle keepidle: Duration = TCP_KEEPIDLE;
        set_keepintvl keepintvl: Duration = TCP_KEEPINTVL;
        set_keepcnt keepcnt: u32 = TCP_KEEPCNT;
        set_oob_inline oob_inline: bool = SO_OOBINLINE;
        set_mark mark: u32 = SO_MARK;
        set_cork cork: bool = TCP_CORK;
        set_quickack quickack: bool = TCP_QUICKACK;
        set_user_timeout user_timeout: Option<Duration> = TCP_USER_TIMEOUT;
    }

    /// What the peer has not acknowledged, its end included.
    pub fn unacknowledged(socket: &TcpStream) -> u64 {
        let info = socket.getsockopt(TCP_INFO).expect("a connection");
        (info.send_queue as u64).max(info.in_flight.into())
    }

    pub fn mss(socket: &TcpStream) -> io::Result<u32> {
        socket.getsockopt(TCP_MAXSEG)
    }

    pub fn set_notsent_lowat(socket: &TcpStream, bytes: u32) -> io::Result<()> {
        socket.setsockopt(TCP_NOTSENT_LOWAT, Some(bytes))
    }

    pub fn notsent_lowat(socket: &TcpStream) -> io::Result<u32> {
        Ok(socket.getsockopt(TCP_NOTSENT_LOWAT)?.unwrap_or(0))
    }

    pub fn set_rcvbuf(socket: &TcpStream, bytes: usize) -> io::Result<()> {
        socket.setsockopt(SO_RCVBUF, bytes as u32)
    }

    pub fn rcvbuf(socket: &TcpStream) -> io::Result<usize> {
        Ok(socket.getsockopt(SO_RCVBUF)? as usize)
    }

    pub fn set_sndbuf(socket: &TcpStream, bytes: usize) -> io::Result<()> {
        socket.setsockopt(SO_SNDBUF, bytes as u32)
    }

    pub fn sndbuf(socket: &TcpStream) -> io::Result<usize> {
        Ok(socket.getsockopt(SO_SNDBUF)? as usize)
    }

    pub fn set_congestion(socket: &TcpStream, name: &str) -> io::Result<()> {
        socket.setsockopt(TCP_CONGESTION, name.parse().map_err(io::Error::from)?)
    }

    pub fn set_tos(socket: &TcpStream, tos: u32) -> io::Result<()> {
        let name = if socket.local_addr()?.is_ipv4() { IP_TOS } else { IPV6_TCLASS };
        socket.setsockopt(name, tos)
    }

    pub fn tos(socket: &TcpStream) -> io::Result<u32> {
        socket.getsockopt(if socket.local_addr()?.is_ipv4() { IP_TOS } else { IPV6_TCLASS })
    }

    pub fn listens(socket: &TcpListener) -> io::Result<bool> {
        socket.getsockopt(SO_ACCEPTCONN)
    }

    pub fn stream_listens(socket: &TcpStream) -> io::Result<bool> {
        socket.getsockopt(SO_ACCEPTCONN)
    }

    pub fn reuse(socket: &TcpListener) -> io::Result<(bool, bool)> {
        Ok((socket.getsockopt(SO_REUSEADDR)?, socket.getsockopt(SO_REUSEPORT)?))
    }

    pub fn bind_device(socket: &TcpStream, name: Option<&str>) -> io::Result<()> {
        socket.setsockopt(SO_BINDTODEVICE, name.map(str::to_string))
    }

    pub fn device(socket: &TcpStream) -> io::Result<Option<String>> {
        socket.getsockopt(SO_BINDTODEVICE)
    }

    /// What has flags and a kind.
    pub trait Flagged {
        fn take(&self, buf: &mut [u8], flags: MsgFlags) -> io::Result<usize>;
        fn give(&self, buf: &[u8], flags: MsgFlags) -> io::Result<usize>;
        fn kind(&self) -> io::Result<u32>;
    }

    impl Flagged for TcpStream {
        fn take(&self, buf: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
            self.recv_with_flags(buf, flags)
        }

        fn give(&self, buf: &[u8], flags: MsgFlags) -> io::Result<usize> {
            self.send_with_flags(buf, flags)
        }

        fn kind(&self) -> io::Result<u32> {
            self.getsockopt(SO_TYPE)
        }
    }

    impl Flagged for UdpSocket {
        fn take(&self, buf: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
            self.recv_with_flags(buf, flags)
        }

        fn give(&self, buf: &[u8], flags: MsgFlags) -> io::Result<usize> {
            self.send_with_flags(buf, flags)
        }

        fn kind(&self) -> io::Result<u32> {
            self.getsockopt(SO_TYPE)
        }
    }

    pub fn recv(socket: &impl Flagged, buf: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
        socket.take(buf, flags)
    }

    pub fn send(socket: &impl Flagged, buf: &[u8], flags: MsgFlags) -> io::Result<usize> {
        socket.give(buf, flags)
    }

    pub fn kind(socket: &impl Flagged) -> io::Result<u32> {
        socket.kind()
    }

    /// A UDP socket bound to `addr`, that shares it with those who want to share the address, or the port.
    pub fn udp_bound(_: &Test, addr: SocketAddr, address: bool, port: bool) -> io::Result<UdpSocket> {
        let how = UdpBind { reuse_address: address, reuse_port: port, ..UdpBind::default() };
        Host::get_default()?.bind_udp_with(addr, how)
    }

    pub fn udp_reuse(socket: &UdpSocket) -> io::Result<(bool, bool)> {
        Ok((socket.reuse_address()?, socket.reuse_port()?))
    }

    pub fn set_udp_reuse_address(socket: &UdpSocket, on: bool) -> io::Result<()> {
        socket.set_reuse_address(on)
    }

    pub fn set_udp_reuse_port(socket: &UdpSocket, on: bool) -> io::Result<()> {
        socket.set_reuse_port(on)
    }

    pub fn udp_listens(socket: &UdpSocket) -> io::Result<bool> {
        socket.is_listener()
    }

    pub fn udp_device(socket: &UdpSocket) -> io::Result<Option<String>> {
        socket.device()
    }

    /// The settings by their methods, and by name what those have in another form.
    macro_rules! settings {
        ($socket:ty: $inner:ty; $($set:ident $get:ident: $kind:ty;)*) => {
            impl Settings for $socket {
                $(
                    fn $set(&mut self, value: $kind) -> io::Result<()> {
                        <$inner>::$set(self, value)
                    }

                    fn $get(&self) -> io::Result<$kind> {
                        <$inner>::$get(self)
                    }
                )*

                fn set_keepalive(&mut self, on: bool) -> io::Result<()> {
                    self.setsockopt(SO_KEEPALIVE, on)
                }

                fn keepalive(&self) -> io::Result<bool> {
                    self.getsockopt(SO_KEEPALIVE)
                }

                fn set_mtu_discovery(&mut self, number: u32) -> io::Result<()> {
                    <$inner>::set_mtu_discovery(self, DISCOVERY[number as usize])
                }

                fn mtu_discovery(&self) -> io::Result<u32> {
                    let how = <$inner>::mtu_discovery(self)?;
                    Ok(DISCOVERY.iter().position(|known| *known == how).map_or(u32::MAX, |number| number as u32))
                }

                fn bind_device(&mut self, name: Option<&str>) -> io::Result<()> {
                    <$inner>::bind_device(self, name)
                }

                fn device(&self) -> io::Result<Option<String>> {
                    <$inner>::device(self)
                }

                fn kind(&self) -> io::Result<u32> {
                    self.r#type()
                }

                fn is_listener(&self) -> io::Result<bool> {
                    <$inner>::is_listener(self)
                }

                fn pending_error(&self) -> io::Result<Option<io::Error>> {
                    self.take_error()
                }

                fn state(&self) -> io::Result<u32> {
                    Ok(match self.info()?.state {
                        State::Established => 1,
                        State::Closed => 7,
                        State::Listen => 10,
                        other => panic!("{other}"),
                    })
                }

                fn mtu(&self) -> io::Result<u32> {
                    self.getsockopt(IP_MTU)
                }
            }
        };
        ($($socket:ty: $inner:ty),*) => {$(
            settings! {
                $socket: $inner;
                set_nodelay nodelay: bool;
                set_cork cork: bool;
                set_quick_ack quick_ack: bool;
                set_reuse_address reuse_address: bool;
                set_reuse_port reuse_port: bool;
                set_oob_inline oob_inline: bool;
                set_mark mark: u32;
                set_syn_retries syn_retries: u32;
                set_ttl ttl: u32;
                set_tos tos: u32;
                set_recv_lowat recv_lowat: usize;
                set_recv_buffer_size recv_buffer_size: usize;
                set_send_buffer_size send_buffer_size: usize;
                set_window_clamp window_clamp: Option<u32>;
                set_notsent_lowat notsent_lowat: Option<u32>;
                set_linger linger: Option<Duration>;
                set_linger2 linger2: Option<Duration>;
                set_user_timeout user_timeout: Option<Duration>;
                set_defer_accept defer_accept: Option<Duration>;
                set_read_timeout read_timeout: Option<Duration>;
                set_write_timeout write_timeout: Option<Duration>;
            }
        )*};
    }

    /// By their numbers on Linux.
    const DISCOVERY: [MtuDiscovery; 4] =
        [MtuDiscovery::Dont, MtuDiscovery::Want, MtuDiscovery::Do, MtuDiscovery::Probe];

    settings!(TcpStream: TcpStream, TcpListener: TcpListener, Unbound: TcpSocket);

    /// A socket that is neither bound nor connected.
    pub struct Unbound(TcpSocket);

    impl Deref for Unbound {
        type Target = TcpSocket;

        fn deref(&self) -> &TcpSocket {
            &self.0
        }
    }

    impl DerefMut for Unbound {
        fn deref_mut(&mut self) -> &mut TcpSocket {
            &mut self.0
        }
    }

    impl Unbound {
        pub fn new(t: &Test) -> Unbound {
            let mut socket = t.pick(TcpSocket::new_v4(), TcpSocket::new_v6()).unwrap();
            // As the kernel has it at first.
            socket.setsockopt(SO_REUSEADDR, false).unwrap();
            Unbound(socket)
        }

        pub fn reuse_address(&mut self, on: bool) -> io::Result<()> {
            self.0.setsockopt(SO_REUSEADDR, on)
        }

        pub fn reuse_port(&mut self, on: bool) -> io::Result<()> {
            self.0.setsockopt(SO_REUSEPORT, on)
        }

        pub fn set_mss(&mut self, mss: u32) -> io::Result<()> {
            self.0.setsockopt(TCP_MAXSEG, mss)
        }

        pub fn only_v6(&mut self, on: bool) -> io::Result<()> {
            self.0.setsockopt(IPV6_V6ONLY, on)
        }

        pub fn bind(&mut self, addr: SocketAddr) -> io::Result<()> {
            self.0.bind(addr)
        }

        pub fn listen(self) -> io::Result<TcpListener> {
            self.0.listen(16)
        }

        pub fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
            self.0.connect(addr)
        }
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
