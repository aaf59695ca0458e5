//! A TCP socket before it listens or connects: where what has to be decided first is decided.

use super::addr::{ToSocketAddrs, each};
use super::error::invalid;
use super::sockopt::{self, Name, OptValue, SockOpt, Value};
use super::{Host, TcpListener, TcpStream};
use crate::error::Error;
use crate::stack::TcpOptions;
use core::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// A TCP socket that neither listens nor is connected: what Linux's `socket()` gives. Options that count from the first
/// packet on, such as [`TCP_MAXSEG`](sockopt::TCP_MAXSEG), are set here, and go over to what becomes of it.
///
/// The address that it is [bound](TcpSocket::bind) to is taken when it listens or connects.
pub struct TcpSocket {
    host: Host,
    /// Bound to this, at first to any of its family.
    local: SocketAddr,
    options: TcpOptions,
}

impl TcpSocket {
    /// One for IPv4, of the default host: see [`Host::set_default`].
    ///
    /// # Errors
    /// `NetworkDown` if there is no default host.
    pub fn new_v4() -> io::Result<TcpSocket> {
        Ok(Host::get_default()?.tcp_socket_v4())
    }

    /// One for IPv6, and for IPv4 in IPv6's form, of the default host.
    ///
    /// # Errors
    /// `NetworkDown` if there is no default host.
    pub fn new_v6() -> io::Result<TcpSocket> {
        Ok(Host::get_default()?.tcp_socket_v6())
    }

    pub(super) fn new(host: &Host, local: SocketAddr) -> TcpSocket {
        TcpSocket { host: host.clone(), local, options: host.default_tcp_options() }
    }

    /// All its settings.
    pub fn options(&self) -> &TcpOptions {
        &self.options
    }

    /// All its settings, to be changed. What makes no sense is an error when it listens or connects.
    pub fn options_mut(&mut self) -> &mut TcpOptions {
        &mut self.options
    }

    /// Has it listen at, or connect from, `addr`; port 0 picks one.
    ///
    /// # Errors
    /// EAFNOSUPPORT for an address of the other family, `AddrNotAvailable` for one that is not the host's, unless that has
    /// [any](super::Builder::any_address), `InvalidInput` if it is bound already; or what ended the host.
    pub fn bind(&mut self, addr: SocketAddr) -> io::Result<()> {
        if addr.is_ipv4() != self.local.is_ipv4() {
            return Err(Error::AddressFamily.into());
        }
        if !self.local.ip().is_unspecified() || self.local.port() != 0 {
            return Err(invalid("the socket is bound already"));
        }
        let ip = addr.ip().to_canonical();
        if !ip.is_unspecified() && !self.host.shards()[0].look(|stack| Ok(stack.takes(ip)))? {
            return Err(Error::AddrNotAvailable.into());
        }
        self.local = addr;
        Ok(())
    }

    /// Where it was bound to. Of any port, one is picked when it listens or connects, and not before as on Linux.
    ///
    /// # Errors
    /// None; the signature is that of the other sockets.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    /// Sets an option by its name.
    ///
    /// # Errors
    /// ENOPROTOOPT if it has no such option, or one that can only be read; `InvalidInput` for a value out of range; ENODEV
    /// for an interface that there is not.
    pub fn setsockopt<T: OptValue>(&mut self, option: SockOpt<T>, value: T) -> io::Result<()> {
        let mut changed = self.options.clone();
        match (option.name, value.into_value()) {
            (Name::SO_BINDTODEVICE, Value::Text(name)) => changed.interface = self.host.interface(name.as_deref())?,
            (Name::IPV6_V6ONLY, Value::Flag(only)) => changed.only_v6 = only,
            (name, value) => sockopt::set(&mut changed, name, value)?,
        }
        changed.validate()?;
        self.options = changed;
        Ok(())
    }

    /// Reads an option by its name.
    ///
    /// # Errors
    /// ENOPROTOOPT if it has no such option.
    pub fn getsockopt<T: OptValue>(&self, option: SockOpt<T>) -> io::Result<T> {
        sockopt::typed(match option.name {
            Name::SO_BINDTODEVICE => Ok(Value::Text(self.host.interface_name(self.options.interface))),
            name => sockopt::get_with(&self.options, &self.host.config().tcp, name),
        })
    }

    /// Listens, with at most `backlog` connections that wait to be accepted.
    ///
    /// # Errors
    /// As [`Host::listen`]; `AddrInUse` also if connections have the port and SO_REUSEADDR is off.
    pub fn listen(self, backlog: usize) -> io::Result<TcpListener> {
        let parts = TcpListener::parts(self.host.shards(), self.local, backlog, &self.options)?;
        Ok(TcpListener::new(&self.host, parts))
    }

    /// Connects to the first of `addr` that answers.
    ///
    /// # Errors
    /// As [`Host::connect`]; EAFNOSUPPORT for an address of the other family.
    pub fn connect(self, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        each(&self.host, addr, |addr| self.open(addr, None))
    }

    /// Connects to `addr`, within `timeout`.
    ///
    /// # Errors
    /// As [`connect`](TcpSocket::connect); `TimedOut`; `InvalidInput` if `timeout` is zero.
    pub fn connect_timeout(self, addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        super::patience::check_nonzero(timeout)?;
        self.open(*addr, Some(timeout)).map_err(super::tcp_stream::out_of_time)
    }

    fn open(&self, addr: SocketAddr, timeout: Option<Duration>) -> crate::error::Result<TcpStream> {
        if addr.is_ipv4() && self.local.is_ipv6() || addr.is_ipv6() && self.local.is_ipv4() {
            return Err(Error::AddressFamily);
        }
        let bound = !self.local.ip().is_unspecified() || self.local.port() != 0;
        TcpStream::open(&self.host, bound.then_some(self.local), addr, Some(&self.options), timeout)
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::show(f, "TcpSocket", &[("addr", self.local_addr())])
    }
}
