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

/// Options that std has not, by socket2 and rustix.
pub mod opt {
    use super::net::{TcpListener, TcpStream, UdpSocket};
    use crate::kernel_option;
    use crate::seen::Test;
    use crate::settings::Settings;
    use rustix::net::{AddressFamily, RecvFlags, SendFlags, sockopt};
    use socket2::{Domain, SockRef, Socket, Type};
    use std::io;
    use std::net::SocketAddr;
    use std::os::fd::{AsFd, BorrowedFd};
    use std::time::Duration;

    // Flags of send(2) and recv(2).
    pub const PEEK: i32 = libc::MSG_PEEK;
    pub const WAITALL: i32 = libc::MSG_WAITALL;
    pub const DONTWAIT: i32 = libc::MSG_DONTWAIT;
    pub const MORE: i32 = libc::MSG_MORE;
    pub const TRUNC: i32 = libc::MSG_TRUNC;
    pub const OOB: i32 = libc::MSG_OOB;

    macro_rules! both {
        ($($set:ident $get:ident: $kind:ty = $kernel_set:ident $kernel_get:ident;)*) => {$(
            pub fn $set(socket: &TcpStream, value: $kind) -> io::Result<()> {
                SockRef::from(socket).$kernel_set(value)
            }

            pub fn $get(socket: &TcpStream) -> io::Result<$kind> {
                SockRef::from(socket).$kernel_get()
            }
        )*};
    }

    both! {
        set_keepalive keepalive: bool = set_keepalive keepalive;
        set_oob_inline oob_inline: bool = set_out_of_band_inline out_of_band_inline;
        set_mark mark: u32 = set_mark mark;
        set_cork cork: bool = set_tcp_cork tcp_cork;
        set_quickack quickack: bool = set_tcp_quickack tcp_quickack;
        set_notsent_lowat notsent_lowat: u32 = set_tcp_notsent_lowat tcp_notsent_lowat;
        set_user_timeout user_timeout: Option<Duration> = set_tcp_user_timeout tcp_user_timeout;
        set_rcvbuf rcvbuf: usize = set_recv_buffer_size recv_buffer_size;
        set_sndbuf sndbuf: usize = set_send_buffer_size send_buffer_size;
    }

    /// What the peer has not acknowledged, its end included: the send queue of proc_net_tcp(5).
    pub fn unacknowledged(socket: &TcpStream) -> u64 {
        let (local, peer) = (socket.local_addr().unwrap(), socket.peer_addr().unwrap());
        let table = if local.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
        let table = std::fs::read_to_string(table).expect("the kernel's connections");
        let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let ends =
            |row: &[&str], addr: SocketAddr| row.iter().any(|end| end.ends_with(&format!(":{:04X}", addr.port())));
        let row = rows.find(|row| row.len() > 4 && ends(&row[1..2], local) && ends(&row[2..3], peer));
        let queues = row.expect("its row")[4].split_once(':').expect("two queues");
        u64::from_str_radix(queues.0, 16).expect("a number")
    }

    pub fn mss(socket: &TcpStream) -> io::Result<u32> {
        SockRef::from(socket).tcp_mss()
    }

    pub fn set_keepidle(socket: &TcpStream, time: Duration) -> io::Result<()> {
        Ok(sockopt::set_tcp_keepidle(socket, time)?)
    }

    pub fn keepidle(socket: &TcpStream) -> io::Result<Duration> {
        SockRef::from(socket).tcp_keepalive_time()
    }

    pub fn set_keepintvl(socket: &TcpStream, time: Duration) -> io::Result<()> {
        Ok(sockopt::set_tcp_keepintvl(socket, time)?)
    }

    pub fn keepintvl(socket: &TcpStream) -> io::Result<Duration> {
        SockRef::from(socket).tcp_keepalive_interval()
    }

    pub fn set_keepcnt(socket: &TcpStream, count: u32) -> io::Result<()> {
        Ok(sockopt::set_tcp_keepcnt(socket, count)?)
    }

    pub fn keepcnt(socket: &TcpStream) -> io::Result<u32> {
        SockRef::from(socket).tcp_keepalive_retries()
    }

    pub fn set_congestion(socket: &TcpStream, name: &str) -> io::Result<()> {
        Ok(sockopt::set_tcp_congestion(socket, name)?)
    }

    pub fn set_tos(socket: &TcpStream, tos: u32) -> io::Result<()> {
        match socket.local_addr()? {
            SocketAddr::V4(_) => SockRef::from(socket).set_tos_v4(tos),
            SocketAddr::V6(_) => SockRef::from(socket).set_tclass_v6(tos),
        }
    }

    pub fn tos(socket: &TcpStream) -> io::Result<u32> {
        match socket.local_addr()? {
            SocketAddr::V4(_) => SockRef::from(socket).tos_v4(),
            SocketAddr::V6(_) => SockRef::from(socket).tclass_v6(),
        }
    }

    pub fn kind(socket: &impl AsFd) -> io::Result<u32> {
        Ok(if SockRef::from(socket).r#type()? == Type::STREAM { 1 } else { 2 })
    }

    pub fn listens(socket: &TcpListener) -> io::Result<bool> {
        SockRef::from(socket).is_listener()
    }

    pub fn stream_listens(socket: &TcpStream) -> io::Result<bool> {
        SockRef::from(socket).is_listener()
    }

    pub fn reuse(socket: &TcpListener) -> io::Result<(bool, bool)> {
        Ok((SockRef::from(socket).reuse_address()?, SockRef::from(socket).reuse_port()?))
    }

    pub fn bind_device(socket: &TcpStream, name: Option<&str>) -> io::Result<()> {
        SockRef::from(socket).bind_device(name.map(str::as_bytes))
    }

    pub fn device(socket: &TcpStream) -> io::Result<Option<String>> {
        let name = SockRef::from(socket).device()?;
        Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    pub fn recv(socket: &impl AsFd, buf: &mut [u8], flags: i32) -> io::Result<usize> {
        let flags = RecvFlags::from_bits_retain(flags as u32);
        // The second number is the length before it was cut.
        Ok(rustix::net::recv(socket, buf, flags)?.1)
    }

    pub fn send(socket: &impl AsFd, buf: &[u8], flags: i32) -> io::Result<usize> {
        // Else the kernel ends this process when nobody reads.
        let flags = SendFlags::from_bits_retain(flags as u32) | SendFlags::NOSIGNAL;
        Ok(rustix::net::send(socket, buf, flags)?)
    }

    /// A UDP socket bound to `addr`, that shares it with those who want to share the address, or the port.
    pub fn udp_bound(t: &Test, addr: SocketAddr, address: bool, port: bool) -> io::Result<UdpSocket> {
        let socket = Socket::new(t.pick(Domain::IPV4, Domain::IPV6), Type::DGRAM, None)?;
        socket.set_reuse_address(address)?;
        socket.set_reuse_port(port)?;
        socket.bind(&addr.into())?;
        Ok(socket.into())
    }

    pub fn udp_reuse(socket: &UdpSocket) -> io::Result<(bool, bool)> {
        Ok((SockRef::from(socket).reuse_address()?, SockRef::from(socket).reuse_port()?))
    }

    pub fn set_udp_reuse_address(socket: &UdpSocket, on: bool) -> io::Result<()> {
        SockRef::from(socket).set_reuse_address(on)
    }

    pub fn set_udp_reuse_port(socket: &UdpSocket, on: bool) -> io::Result<()> {
        SockRef::from(socket).set_reuse_port(on)
    }

    pub fn udp_listens(socket: &UdpSocket) -> io::Result<bool> {
        SockRef::from(socket).is_listener()
    }

    pub fn udp_device(socket: &UdpSocket) -> io::Result<Option<String>> {
        let name = SockRef::from(socket).device()?;
        Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
    }

    fn is_v6(socket: &impl AsFd) -> bool {
        sockopt::socket_domain(socket).unwrap() == AddressFamily::INET6
    }

    macro_rules! by_socket2 {
        ($($set:ident $get:ident: $kind:ty = $kernel_set:ident $kernel_get:ident;)*) => {$(
            fn $set(&mut self, value: $kind) -> io::Result<()> {
                SockRef::from(&*self).$kernel_set(value)
            }

            fn $get(&self) -> io::Result<$kind> {
                SockRef::from(self).$kernel_get()
            }
        )*};
    }

    macro_rules! by_number {
        ($($set:ident $get:ident: $kind:ty = $level:ident $name:ident, $to:expr, $from:expr;)*) => {$(
            fn $set(&mut self, value: $kind) -> io::Result<()> {
                kernel_option::set(self, libc::$level, libc::$name, $to(value))
            }

            fn $get(&self) -> io::Result<$kind> {
                kernel_option::get(self, libc::$level, libc::$name).map($from)
            }
        )*};
    }

    macro_rules! by_family {
        ($($set:ident $get:ident = $v4:ident $v6:ident;)*) => {$(
            fn $set(&mut self, value: u32) -> io::Result<()> {
                match is_v6(self) {
                    true => kernel_option::set(self, libc::IPPROTO_IPV6, libc::$v6, value),
                    false => kernel_option::set(self, libc::IPPROTO_IP, libc::$v4, value),
                }
            }

            fn $get(&self) -> io::Result<u32> {
                match is_v6(self) {
                    true => kernel_option::get(self, libc::IPPROTO_IPV6, libc::$v6),
                    false => kernel_option::get(self, libc::IPPROTO_IP, libc::$v4),
                }
            }
        )*};
    }

    fn seconds(time: Option<Duration>) -> u32 {
        time.map_or(0, |time| time.as_secs() as u32)
    }

    fn time(seconds: u32) -> Option<Duration> {
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    macro_rules! settings {
        ($($socket:ty),*) => {$(
            impl Settings for $socket {
                by_socket2! {
                    set_nodelay nodelay: bool = set_tcp_nodelay tcp_nodelay;
                    set_cork cork: bool = set_tcp_cork tcp_cork;
                    set_quick_ack quick_ack: bool = set_tcp_quickack tcp_quickack;
                    set_reuse_address reuse_address: bool = set_reuse_address reuse_address;
                    set_reuse_port reuse_port: bool = set_reuse_port reuse_port;
                    set_oob_inline oob_inline: bool = set_out_of_band_inline out_of_band_inline;
                    set_keepalive keepalive: bool = set_keepalive keepalive;
                    set_mark mark: u32 = set_mark mark;
                    set_recv_buffer_size recv_buffer_size: usize = set_recv_buffer_size recv_buffer_size;
                    set_send_buffer_size send_buffer_size: usize = set_send_buffer_size send_buffer_size;
                    set_linger linger: Option<Duration> = set_linger linger;
                    set_user_timeout user_timeout: Option<Duration> = set_tcp_user_timeout tcp_user_timeout;
                    set_read_timeout read_timeout: Option<Duration> = set_read_timeout read_timeout;
                    set_write_timeout write_timeout: Option<Duration> = set_write_timeout write_timeout;
                }

                by_number! {
                    set_syn_retries syn_retries: u32 = IPPROTO_TCP TCP_SYNCNT, |n| n, |n| n;
                    set_recv_lowat recv_lowat: usize = SOL_SOCKET SO_RCVLOWAT, |n| n as u32, |n| n as usize;
                    set_window_clamp window_clamp: Option<u32> = IPPROTO_TCP TCP_WINDOW_CLAMP, |n: Option<u32>| n.unwrap_or(0), Some;
                    set_notsent_lowat notsent_lowat: Option<u32> = IPPROTO_TCP TCP_NOTSENT_LOWAT, |n: Option<u32>| n.unwrap_or(0), |n| (n > 0).then_some(n);
                    set_linger2 linger2: Option<Duration> = IPPROTO_TCP TCP_LINGER2, seconds, time;
                    set_defer_accept defer_accept: Option<Duration> = IPPROTO_TCP TCP_DEFER_ACCEPT, seconds, time;
                }

                by_family! {
                    set_ttl ttl = IP_TTL IPV6_UNICAST_HOPS;
                    set_tos tos = IP_TOS IPV6_TCLASS;
                    set_mtu_discovery mtu_discovery = IP_MTU_DISCOVER IPV6_MTU_DISCOVER;
                }

                fn bind_device(&mut self, name: Option<&str>) -> io::Result<()> {
                    SockRef::from(&*self).bind_device(name.map(str::as_bytes))
                }

                fn device(&self) -> io::Result<Option<String>> {
                    let name = SockRef::from(self).device()?;
                    Ok(name.map(|name| String::from_utf8_lossy(&name).into_owned()))
                }

                fn kind(&self) -> io::Result<u32> {
                    kernel_option::get(self, libc::SOL_SOCKET, libc::SO_TYPE)
                }

                fn is_listener(&self) -> io::Result<bool> {
                    SockRef::from(self).is_listener()
                }

                fn pending_error(&self) -> io::Result<Option<io::Error>> {
                    SockRef::from(self).take_error()
                }

                fn state(&self) -> io::Result<u32> {
                    // It is the first byte of what is told.
                    kernel_option::get(self, libc::IPPROTO_TCP, libc::TCP_INFO).map(|info| info.to_ne_bytes()[0].into())
                }

                fn mtu(&self) -> io::Result<u32> {
                    Ok(if is_v6(self) { sockopt::ipv6_mtu(self)? } else { sockopt::ip_mtu(self)? })
                }
            }
        )*};
    }

    settings!(TcpStream, TcpListener, Unbound);

    /// A socket that is neither bound nor connected.
    pub struct Unbound(Socket);

    impl AsFd for Unbound {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Unbound {
        pub fn new(t: &Test) -> Unbound {
            let domain = t.pick(Domain::IPV4, Domain::IPV6);
            Unbound(Socket::new(domain, Type::STREAM, None).unwrap())
        }

        pub fn reuse_address(&mut self, on: bool) -> io::Result<()> {
            self.0.set_reuse_address(on)
        }

        pub fn reuse_port(&mut self, on: bool) -> io::Result<()> {
            self.0.set_reuse_port(on)
        }

        pub fn set_mss(&mut self, mss: u32) -> io::Result<()> {
            self.0.set_tcp_mss(mss)
        }

        pub fn only_v6(&mut self, on: bool) -> io::Result<()> {
            self.0.set_only_v6(on)
        }

        pub fn bind(&mut self, addr: SocketAddr) -> io::Result<()> {
            self.0.bind(&addr.into())
        }

        pub fn listen(self) -> io::Result<TcpListener> {
            self.0.listen(16)?;
            Ok(self.0.into())
        }

        pub fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
            self.0.connect(&addr.into())?;
            Ok(self.0.into())
        }
    }
}
