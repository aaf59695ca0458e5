//! The sockets that applications meet, with `std::net`'s names and behaviour.
//!
//! A [`Host`] is a running stack. Sockets are made from it, or, with the names of std alone, from a default one:
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use tunstack::net::{Host, TcpListener, TcpStream};
//!
//! # fn main() -> std::io::Result<()> {
//! # let (device, other) = tunstack::device::mem::pair(1500, 64)?;
//! let server = Host::builder().address("192.0.2.2/24").start(device)?;
//! let listener = server.listen("192.0.2.2:80")?;
//!
//! # let device = other;
//! let client = Host::builder().address("192.0.2.1/24").start(device)?;
//! client.set_default();
//! let mut stream = TcpStream::connect("192.0.2.2:80")?;
//! stream.write_all(b"hello")?;
//!
//! let (mut peer, from) = listener.accept()?;
//! let mut buf = [0; 5];
//! peer.read_exact(&mut buf)?;
//! server.shutdown(std::time::Duration::from_secs(2));
//! # Ok(()) }
//! ```
//!
//! Errors have the kind, errno and text that Linux's sockets give for the same event. Where there is more than std has
//! (buffer sizes, keepalive, [`TcpStream::info`]), the names are those of the socket options.
//!
//! # From Python's names
//! | Python's `socket` | here |
//! |---|---|
//! | `socket()`, `bind()`, `listen(n)` | [`Host::listen_with`], [`Host::bind_udp`] |
//! | `accept()` | [`TcpListener::accept`] |
//! | `connect()`, `create_connection(.., timeout, source_address)` | [`Host::connect`], [`Host::connect_timeout`], [`Host::connect_from`] |
//! | `connect_ex()` | [`Host::connect_nonblocking`] and [`TcpStream::take_error`] |
//! | `send()`, `sendall()`, `recv()` | `write`, `write_all`, `read` |
//! | `recv(n, MSG_PEEK)` | [`TcpStream::peek`], [`UdpSocket::peek_from`] |
//! | `recv(n, flags)`, `send(data, flags)` | [`TcpStream::recv_with_flags`], [`TcpStream::send_with_flags`], with [`MsgFlags`] |
//! | `sendto()`, `recvfrom()` | [`UdpSocket::send_to`], [`UdpSocket::recv_from`] |
//! | `settimeout(t)`, `setblocking(False)` | `set_read_timeout` and `set_write_timeout`, `set_nonblocking` |
//! | `shutdown(SHUT_WR)`, `close()` | [`TcpStream::shutdown`], dropping the last clone |
//! | `getsockname()`, `getpeername()` | `local_addr`, `peer_addr` |
//! | `dup()`, `makefile()` | `try_clone`, `BufReader::new(&stream)` |
//! | `setsockopt(TCP_NODELAY)`, `(SO_LINGER)`, `(SO_KEEPALIVE)` | `set_nodelay`, `set_linger`, `set_keepalive` |
//! | `getsockopt(SO_ERROR)`, `(TCP_INFO)` | `take_error`, [`TcpStream::info`] |
//! | `setsockopt()`, `getsockopt()` of any other | `setsockopt`, `getsockopt`, with the names in [`sockopt`] |
//! | `socket()`, `setsockopt()`, then `bind()` | [`TcpSocket`] |
//! | `setsockopt(SO_BINDTODEVICE)` | [`UdpSocket::bind_device`], [`TcpListener::bind_device`], [`Host::connect_by`] |
//! | `getaddrinfo()` | [`Host::resolve`], [`ToSocketAddrs`] |
//! | `selectors.DefaultSelector`, `select.epoll()` | [`Poller`] |
//! | `fileno()`, to be waited on | `read_fd`, `write_fd` |

mod acceptor;
mod addr;
mod error;
mod host;
mod interface;
mod msg_flags;
mod parts;
mod patience;
mod poller;
mod raw;
mod ready_fd;
mod resolve;
pub mod sockopt;
mod syn_gate;
#[cfg(feature = "tokio")]
mod tasks;
mod tcp_listener;
mod tcp_options;
mod tcp_settings;
mod tcp_socket;
mod tcp_stream;
mod udp;
mod udp_errors;
mod udp_flags;
mod udp_gate;
mod udp_messages;
mod udp_options;

pub use crate::buf::{Chunk, Slice};
pub use crate::runtime::{Batch, Drive, Spin, Trigger};
pub use crate::stack::{
    Echo, EchoError, IcmpError, MtuDiscovery, Readiness, RecvMsg, Refusal, SendMsg, SocketError, SynOptions, UdpBind,
    Unreachable,
};
pub use addr::{ToCidr, ToSocketAddrs};
pub use host::{Builder, Host, WeakHost};
pub use interface::Interface;
pub use msg_flags::MsgFlags;
pub use poller::{Event, Events, Interest, Poller, Source};
pub use raw::{IcmpSocket, RawSocket};
pub use ready_fd::ReadyFd;
#[cfg(feature = "tokio")]
pub(crate) use resolve::of_all_answers;
pub use resolve::{Resolve, Tell};
pub use std::net::Shutdown;
pub use syn_gate::{SynGate, SynRequest, SynRequests};
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_socket::TcpSocket;
pub use tcp_stream::TcpStream;
pub use udp::UdpSocket;
pub use udp_gate::{UdpFlow, UdpGate};

use core::fmt;
use std::io;
use std::net::SocketAddr;

/// A socket as std shows it: with those addresses that it has.
fn show(f: &mut fmt::Formatter<'_>, name: &str, addresses: &[(&str, io::Result<SocketAddr>)]) -> fmt::Result {
    let mut shown = f.debug_struct(name);
    for (name, address) in addresses {
        if let Ok(address) = address {
            shown.field(name, address);
        }
    }
    shown.finish()
}

/// A TTL that can stand in a header.
fn check_ttl(ttl: u32) -> io::Result<u8> {
    match u8::try_from(ttl) {
        Ok(ttl) if ttl > 0 => Ok(ttl),
        _ => Err(error::invalid(format!("a TTL of {ttl} is not within 1 to 255"))),
    }
}

/// The bits of ECN in the byte that they share with the DSCP (RFC 3168 5).
const ECN: u8 = 3;

/// A byte of TCP's with the DSCP, without ECN's bits, which are not the application's.
fn check_tos(tos: u32) -> io::Result<u8> {
    let tos = u8::try_from(tos).map_err(|_| error::invalid(format!("a TOS of {tos} is above 255")))?;
    Ok(tos & !ECN)
}
