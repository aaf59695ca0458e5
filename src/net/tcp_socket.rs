//! A TCP socket before it listens or connects: where what has to be decided first is decided.

use super::addr::{ToSocketAddrs, each};
use super::error::invalid;
use super::patience::Blocking;
use super::sockopt::{Name, Value};
use super::{Host, TcpListener, TcpStream};
use crate::error::Error;
use crate::stack::{TcpInfo, TcpOptions};
use crate::tcp::state::State;
use core::fmt;
use rustix::io::Errno;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A TCP socket that neither listens nor is connected: what Linux's `socket()` gives. Options that count from the first
/// packet on, such as [`set_mss`](TcpSocket::set_mss), are set here, and go over to what becomes of it.
///
/// The address that it is [bound](TcpSocket::bind) to is taken when it listens or connects.
pub struct TcpSocket {
    host: Host,
    /// Bound to this, at first to any of its family.
    local: SocketAddr,
    options: TcpOptions,
    /// Its time-outs.
    blocking: Blocking,
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
        let (options, blocking) = (host.default_tcp_options(), Blocking::default());
        TcpSocket { host: host.clone(), local, options, blocking }
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
        if self.is_bound() {
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

    /// Whether a listener on `::` is to take no IPv4 (IPV6_V6ONLY). It does at first.
    ///
    /// # Errors
    /// `InvalidInput` once it is bound.
    pub fn set_only_v6(&mut self, only_v6: bool) -> io::Result<()> {
        if self.is_bound() {
            return Err(super::tcp_listener::bound_already());
        }
        self.options.only_v6 = only_v6;
        Ok(())
    }

    /// Whether a listener on `::` is to take no IPv4.
    ///
    /// # Errors
    /// None; the signature is that of the other sockets.
    pub fn only_v6(&self) -> io::Result<bool> {
        Ok(self.options.only_v6)
    }

    /// Its numbers (TCP_INFO), of which there is no more than its state, CLOSED, and its address.
    ///
    /// # Errors
    /// None; the signature is that of the other sockets.
    pub fn info(&self) -> io::Result<TcpInfo> {
        let nobody = if self.local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Ok(TcpInfo::new(State::Closed, self.local, SocketAddr::new(nobody, 0)))
    }

    /// The pending error (SO_ERROR): nothing has happened yet.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    /// The host it belongs to.
    pub fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn option<T>(&self, get: impl FnOnce(&TcpOptions) -> T) -> io::Result<T> {
        Ok(get(&self.options))
    }

    pub(super) fn try_set_option(&mut self, set: impl Fn(&mut TcpOptions) -> io::Result<()>) -> io::Result<()> {
        let mut changed = self.options.clone();
        set(&mut changed)?;
        changed.validate()?;
        self.options = changed;
        Ok(())
    }

    /// What it answers of its own.
    pub(super) fn own_option(&self, name: Name) -> io::Result<Option<Value>> {
        Ok(if name == Name::TCP_INFO { Some(Value::Info(Box::new(self.info()?))) } else { None })
    }

    /// IPV6_V6ONLY by its name.
    pub(super) fn decide_v6only(&mut self, only: bool) -> io::Result<()> {
        self.set_only_v6(only)
    }

    pub(super) fn blocking(&self) -> &Blocking {
        &self.blocking
    }

    fn is_bound(&self) -> bool {
        !self.local.ip().is_unspecified() || self.local.port() != 0
    }

    /// Listens, with at most `backlog` connections that wait to be accepted.
    ///
    /// # Errors
    /// As [`Host::listen`]; `AddrInUse` also if connections have the port and SO_REUSEADDR is off.
    pub fn listen(self, backlog: usize) -> io::Result<TcpListener> {
        let parts = TcpListener::parts(self.host.shards(), self.local, backlog, &self.options)?;
        let listener = TcpListener::new(&self.host, parts);
        listener.blocking().inherit(&self.blocking);
        Ok(listener)
    }

    /// Connects to the first of `addr` that answers.
    ///
    /// # Errors
    /// As [`Host::connect`]; EAFNOSUPPORT for an address of the other family; EINPROGRESS when the [time of
    /// sending](TcpSocket::set_write_timeout) is over, as connect(2), but here the attempt ends then.
    pub fn connect(self, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let connected = each(&self.host, addr, |addr| self.open(addr, self.blocking.write.get()));
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Errno::INPROGRESS.into(),
            _ => error,
        })
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
        let local = self.is_bound().then_some(self.local);
        let stream = TcpStream::open(&self.host, local, addr, Some(&self.options), timeout)?;
        stream.blocking().inherit(&self.blocking);
        Ok(stream)
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::show(f, "TcpSocket", &[("addr", self.local_addr())])
    }
}
