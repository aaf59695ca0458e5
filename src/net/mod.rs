//! The sockets that applications meet, with `std::net`'s names and behaviour. Skeleton: the shape that callers may rely on.
//!
//! ```text
//! let host = Host::builder()
//!     .address("192.0.2.2/24")       // parse error -> io::Error at start
//!     .mtu(1500)
//!     .config(|c: &mut stack::Config| c.memory = 1 << 20)
//!     .capture(writer: Box<dyn Write + Send>)      // pcapng tap (feature pcap)
//!     .start(device: impl Device + 'static)?;      // spawns the caretaker thread
//! host.listen("192.0.2.2:80")? -> TcpListener      // ToSocketAddrs of std for literal addresses
//! host.connect(addr)? -> TcpStream; host.connect_timeout(&SocketAddr, Duration)?; host.connect_from(local, remote)?
//! host.bind_udp(addr)? -> UdpSocket
//! host.stats() -> stats::Stats; host.snapshot() -> Vec<TcpInfo>; host.addresses()
//! host.shutdown(grace: Duration): stop listeners, FIN all, wait up to grace, RST the rest, flush, join the thread
//! Host: Clone (a handle). Host::set_default(&host): TcpStream::connect / TcpListener::bind / UdpSocket::bind use it.
//! ```
//! `TcpListener`, `TcpStream`, `UdpSocket`: all methods of std's with the same signatures and `io::ErrorKind`s.
