//! A running stack, and how it is made.

use super::addr::{ToCidr, ToSocketAddrs, each};
use super::error::invalid;
use super::{
    IcmpSocket, Interface, RawSocket, Resolve, SynGate, TcpListener, TcpSocket, TcpStream, UdpGate, UdpSocket,
};
use crate::buf::Chunk;
use crate::device::{Device, Several};
use crate::error;
use crate::rng::Rng;
use crate::runtime::{self, Batch, Book, Drive, Ending, Shard, Spin, Tap, clock};
use crate::stack::{Cidr, Config, IfName, InterfaceInfo, Route, Share, Stack, TcpInfo, TcpOptions, UdpBind};
use crate::stats::Stats;
use core::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// The backlog of a listener that asks for none, as in std.
const BACKLOG: usize = 128;

/// Trace events kept for a tap between two packets.
const TRACE_EVENTS: usize = 1024;

/// Queues of one host: more than there are cores in most machines.
const MAX_QUEUES: usize = 64;

static DEFAULT: RwLock<Option<Host>> = RwLock::new(None);

/// A handle on a running stack ("host" as in RFC 1122). Clones are handles on the same one.
///
/// It runs until [`shutdown`](Host::shutdown), until its device is gone, or until the last handle and the last socket
/// are dropped. In the last case it stops at once: what peers have not acknowledged is lost, and they are not told. A
/// program that has something to deliver calls `shutdown`.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    /// One for each queue of the device, at least one.
    shards: Box<[Arc<Shard>]>,
    config: Config,
    /// Those of all interfaces.
    addresses: Vec<Cidr>,
    /// Counts what is spread over the shards in turn.
    turn: AtomicUsize,
    caretakers: Mutex<Vec<JoinHandle<()>>>,
    resolver: RwLock<Option<Arc<dyn Resolve>>>,
}

impl Inner {
    fn join(&self) {
        let caretakers = std::mem::take(&mut *self.caretakers.lock().unwrap_or_else(PoisonError::into_inner));
        for caretaker in caretakers {
            // A panic of the caretaker has been reported as the host's end.
            let _ = caretaker.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shards.iter().for_each(|shard| shard.stop());
        self.join();
    }
}

impl Host {
    /// A builder with the default configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn shards(&self) -> &[Arc<Shard>] {
        &self.0.shards
    }

    /// The shard of a new connection from local port `port`; zero is any port.
    pub(super) fn shard_of(&self, port: u16) -> &Arc<Shard> {
        let number = if port == 0 { self.next() } else { usize::from(port) % self.queues() };
        &self.0.shards[number]
    }

    /// Numbers of shards, in turn.
    fn next(&self) -> usize {
        if self.queues() == 1 { 0 } else { self.0.turn.fetch_add(1, Ordering::Relaxed) % self.queues() }
    }

    /// How many queues of the device it serves, each by a stack and a thread of its own. What its sockets do does not
    /// depend on it.
    pub fn queues(&self) -> usize {
        self.0.shards.len()
    }

    /// Whether `other` is a handle on the same host.
    pub(super) fn is(&self, other: &Host) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    // ---- sockets ----

    /// Listens on the first of `addr` that can be had, with a backlog of 128. Port 0 picks a free one; an unspecified
    /// address means all of the host's, and `::` those of IPv4 too: peers have addresses such as `::ffff:192.0.2.1` then.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, and those of [`ToSocketAddrs`].
    pub fn listen(&self, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        self.listen_with(addr, BACKLOG)
    }

    /// As [`listen`](Host::listen), for at most `backlog` connections that wait to be accepted.
    ///
    /// # Errors
    /// As [`listen`](Host::listen).
    pub fn listen_with(&self, addr: impl ToSocketAddrs, backlog: usize) -> io::Result<TcpListener> {
        each(self, addr, |addr| {
            Ok(TcpListener::new(self, TcpListener::parts(self.shards(), addr, backlog, &self.default_tcp_options())?))
        })
    }

    /// As [`listen_with`](Host::listen_with), but on `::` no connection over IPv4 is accepted (IPV6_V6ONLY), so that
    /// another listener may have them.
    ///
    /// # Errors
    /// As [`listen`](Host::listen).
    pub fn listen_only_v6(&self, addr: impl ToSocketAddrs, backlog: usize) -> io::Result<TcpListener> {
        let options = TcpOptions { only_v6: true, ..self.default_tcp_options() };
        each(self, addr, |addr| Ok(TcpListener::new(self, TcpListener::parts(self.shards(), addr, backlog, &options)?)))
    }

    /// As [`listen_with`](Host::listen_with), a listener for each queue, in their order: each accepts what came to its
    /// queue, as with SO_REUSEPORT. For programs with a thread for each queue, whose connections never meet another.
    /// Whoever drops one alone has peers refused at random.
    ///
    /// # Errors
    /// As [`listen`](Host::listen).
    pub fn listen_on_each(&self, addr: impl ToSocketAddrs, backlog: usize) -> io::Result<Vec<TcpListener>> {
        let parts =
            each(self, addr, |addr| TcpListener::parts(self.shards(), addr, backlog, &self.default_tcp_options()))?;
        Ok(parts.split().into_iter().map(|part| TcpListener::new(self, part)).collect())
    }

    /// Connects to the first of `addr` that answers.
    ///
    /// # Errors
    /// Of the last one tried: `ConnectionRefused`, `TimedOut`, `HostUnreachable`, `NetworkUnreachable`,
    /// `AddrNotAvailable` (no free port), and those of [`ToSocketAddrs`].
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        each(self, addr, |addr| TcpStream::open(self, None, addr, None, None))
    }

    /// As [`connect`](Host::connect), by the interface `name`, whatever the routes say: the peer is taken to be on its
    /// link, if no route by it leads there (SO_BINDTODEVICE).
    ///
    /// # Errors
    /// As [`connect`](Host::connect); ENODEV if there is no such interface.
    pub fn connect_by(&self, name: &str, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        let options = TcpOptions { interface: self.interface(Some(name))?, ..self.default_tcp_options() };
        each(self, addr, |addr| TcpStream::open(self, None, addr, Some(&options), None))
    }

    /// Connects to `addr`, within `timeout`.
    ///
    /// # Errors
    /// As [`connect`](Host::connect); `TimedOut`; `InvalidInput` if `timeout` is zero.
    pub fn connect_timeout(&self, addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        super::patience::check_nonzero(timeout)?;
        TcpStream::open(self, None, *addr, None, Some(timeout)).map_err(super::tcp_stream::out_of_time)
    }

    /// Connects to `remote` from the address and port `local`; port 0 picks one.
    ///
    /// # Errors
    /// As [`connect`](Host::connect); `AddrInUse` if the same connection exists.
    pub fn connect_from(&self, local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
        Ok(TcpStream::open(self, Some(local), remote, None, None)?)
    }

    /// Begins to connect to `addr` and gives a non-blocking stream at once. It becomes writable when it is connected or
    /// has failed; [`TcpStream::take_error`] tells which.
    ///
    /// # Errors
    /// Those that need no answer from the peer: `AddrNotAvailable`, `NetworkUnreachable`, `InvalidInput`.
    pub fn connect_nonblocking(&self, addr: &SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::begin(self, None, *addr, None)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// As [`TcpSocket::new_v4`], of this host.
    pub fn tcp_socket_v4(&self) -> TcpSocket {
        TcpSocket::new(self, (Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// As [`TcpSocket::new_v6`], of this host.
    pub fn tcp_socket_v6(&self) -> TcpSocket {
        TcpSocket::new(self, (Ipv6Addr::UNSPECIFIED, 0).into())
    }

    /// The options of connections whose user chooses none.
    pub(super) fn default_tcp_options(&self) -> TcpOptions {
        self.shards()[0].look(|stack| Ok(stack.default_tcp_options())).unwrap_or_default()
    }

    /// The number of the interface `name`; none is zero.
    pub(super) fn interface(&self, name: Option<&str>) -> error::Result<u8> {
        self.shards()[0].look(|stack| name.map_or(Ok(0), |name| stack.interface_named(name))).map(|number| number as u8)
    }

    /// The name of the interface with this number, if it is not zero.
    pub(super) fn interface_name(&self, number: u8) -> Option<String> {
        let found = self.interfaces().into_iter().find(|interface| interface.number == u32::from(number));
        found.map(|interface| interface.name.to_string())
    }

    /// A UDP socket on the first of `addr` that can be had. Port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, and those of [`ToSocketAddrs`].
    pub fn bind_udp(&self, addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        self.bind_udp_with(addr, UdpBind::default())
    }

    /// As [`bind_udp`](Host::bind_udp), shared with other sockets or for every port, as `how` says. The address may also be
    /// a group or a broadcast address; then the socket hears only what is sent there.
    ///
    /// # Errors
    /// As [`bind_udp`](Host::bind_udp); `InvalidInput` if a socket of every port names one.
    pub fn bind_udp_with(&self, addr: impl ToSocketAddrs, how: UdpBind) -> io::Result<UdpSocket> {
        each(self, addr, |addr| UdpSocket::new(self, UdpSocket::parts(self.shards(), addr, how)?, self.next()))
    }

    /// As [`bind_udp`](Host::bind_udp), a socket for each queue, in their order: each receives what comes to its queue
    /// and sends there, as with SO_REUSEPORT.
    ///
    /// # Errors
    /// As [`bind_udp`](Host::bind_udp).
    pub fn bind_udp_on_each(&self, addr: impl ToSocketAddrs) -> io::Result<Vec<UdpSocket>> {
        let parts = each(self, addr, |addr| UdpSocket::parts(self.shards(), addr, UdpBind::default()))?;
        Ok(parts.split().into_iter().map(|part| UdpSocket::new(self, part, 0)).collect::<error::Result<_>>()?)
    }

    /// A raw socket for the packets of `protocol` to `local`, or to every address of its family if it is unspecified.
    ///
    /// # Errors
    /// `AddrNotAvailable`, `Unsupported` for a family without an address, ENOBUFS beyond 256 raw and ping sockets.
    pub fn bind_raw(&self, local: impl Into<IpAddr>, protocol: u8) -> io::Result<RawSocket> {
        RawSocket::open(self, local.into(), protocol, self.next())
    }

    /// A ping socket at `local`, or at every address of its family if it is unspecified.
    ///
    /// # Errors
    /// As [`bind_raw`](Host::bind_raw).
    pub fn bind_icmp(&self, local: impl Into<IpAddr>) -> io::Result<IcmpSocket> {
        IcmpSocket::open(self, local.into(), self.next())
    }

    /// Opens the gate where SYNs wait for a verdict that no listener takes, whichever port they are for; and whichever
    /// address, if the host was made with [`any_address`](Builder::any_address). A host has one.
    ///
    /// # Errors
    /// `AddrInUse` if it is open; if the host has ended.
    pub fn syn_gate(&self) -> io::Result<SynGate> {
        SynGate::open(self)
    }

    /// Opens the gate by which flows of datagrams come that no socket takes, whichever port they are for; and whichever
    /// address, if the host was made with [`any_address`](Builder::any_address). A host has one.
    ///
    /// # Errors
    /// `AddrInUse` if it is open; if the host has ended.
    pub fn udp_gate(&self) -> io::Result<UdpGate> {
        UdpGate::open(self)
    }

    /// Memory of 64 KiB to write into, for [`TcpStream::send_chunk`] once it is [frozen](Chunk::freeze). It goes back to
    /// the host's pool when it is dropped, be it after the peer has acknowledged it.
    pub fn chunk(&self) -> Chunk {
        self.shards()[self.next()].pool().take()
    }

    /// Begins a batch: what this thread sends, on any socket of the host, goes out when the batch is dropped, or a part of
    /// it before, so that a loop over many sockets pays less for each. See [`Batch`] for the bounds.
    pub fn batch(&self) -> Batch<'_> {
        Batch::begin(self.shards())
    }

    /// As [`batch`](Host::batch), for what is sent through one queue: what goes through others may wait longer. A queue
    /// that there is not has nothing to send.
    pub fn batch_on(&self, queue: usize) -> Batch<'_> {
        Batch::begin(self.shards().get(queue).map_or(&[], std::slice::from_ref))
    }

    // ---- names ----

    /// Has `resolver` find the addresses of names from now on. There is none at first.
    pub fn set_resolver(&self, resolver: impl Resolve + 'static) {
        *self.0.resolver.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(resolver));
    }

    pub(super) fn resolver(&self) -> Option<Arc<dyn Resolve>> {
        self.0.resolver.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A handle that does not keep the host running.
    pub fn downgrade(&self) -> WeakHost {
        WeakHost(Arc::downgrade(&self.0))
    }

    // ---- the default host ----

    /// Makes this the host of [`TcpStream::connect`], [`TcpListener::bind`] and [`UdpSocket::bind`].
    pub fn set_default(&self) {
        *DEFAULT.write().unwrap_or_else(PoisonError::into_inner) = Some(self.clone());
    }

    /// Takes the default host away, and gives it.
    pub fn take_default() -> Option<Host> {
        DEFAULT.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The default host.
    ///
    /// # Errors
    /// `NetworkDown` if there is none.
    pub fn get_default() -> io::Result<Host> {
        let host = DEFAULT.read().unwrap_or_else(PoisonError::into_inner).clone();
        host.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NetworkDown, "no default host: start one and call Host::set_default")
        })
    }

    // ---- sight ----

    /// The host's addresses, on all interfaces.
    pub fn addresses(&self) -> &[Cidr] {
        &self.0.addresses
    }

    /// What the interfaces are now, the first one first.
    pub fn interfaces(&self) -> Vec<InterfaceInfo> {
        self.shards()[0].look(|stack| Ok(stack.interfaces())).unwrap_or_default()
    }

    // ---- routes ----

    /// The routes that it was given, beside the networks of its own addresses.
    pub fn routes(&self) -> Vec<Route> {
        self.shards()[0].look(|stack| Ok(stack.routes().to_vec())).unwrap_or_default()
    }

    /// Adds a route. From then on all go only where routes lead, and connections follow it with their next packet: the
    /// longest prefix counts, then the least metric.
    ///
    /// # Errors
    /// `InvalidInput` if it makes no sense, or is there already, or beyond 1024 routes; or if the host has ended.
    pub fn add_route(&self, route: Route) -> io::Result<()> {
        // What one shard takes all take: they are alike.
        Ok(self.shards().iter().try_for_each(|shard| shard.act(|core, _| core.stack.add_route(route)))?)
    }

    /// Removes a route that it was given; says whether there was one. Connections that took it take the next best one;
    /// where there is none, they try again until they give up.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn remove_route(&self, route: &Route) -> io::Result<bool> {
        let mut found = false;
        for shard in self.shards() {
            found |= shard.act(|core, _| core.stack.remove_route(route))?;
        }
        Ok(found)
    }

    /// What the stack was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The largest IP packet that is sent by the first interface, in bytes.
    pub fn mtu(&self) -> usize {
        self.0.shards[0].look(|stack| Ok(stack.mtu())).unwrap_or(self.0.config.mtu)
    }

    /// Sends IP packets of at most `mtu` bytes by the first interface from now on, because its link's MTU was changed:
    /// connections that exist keep to it at once. Whoever makes it larger knows that the link carries such packets.
    ///
    /// # Errors
    /// `InvalidInput` outside 68 to 65,535; or if the host has ended.
    pub fn set_mtu(&self, mtu: usize) -> io::Result<()> {
        Ok(self.shards().iter().try_for_each(|shard| shard.act(|core, _| core.stack.set_mtu(mtu)))?)
    }

    /// As [`set_mtu`](Host::set_mtu), of the interface `name`.
    ///
    /// # Errors
    /// As there; ENODEV if there is no such interface.
    pub fn set_mtu_of(&self, name: &str, mtu: usize) -> io::Result<()> {
        let set = |stack: &mut Stack| stack.set_mtu_of(stack.interface_named(name)?, mtu);
        Ok(self.shards().iter().try_for_each(|shard| shard.act(|core, _| set(&mut core.stack)))?)
    }

    /// A copy of the counters, summed over all queues.
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for shard in self.shards() {
            // A stack that has panicked counts nothing any more.
            let _ = shard.look(|stack| {
                sum.add(stack.stats());
                Ok(())
            });
        }
        sum
    }

    /// Every listener, connection and TIME-WAIT record, as `ss` shows them. A listener is there once for each queue.
    pub fn snapshot(&self) -> Vec<TcpInfo> {
        (0..self.queues()).flat_map(|queue| self.snapshot_of(queue)).collect()
    }

    /// As [`snapshot`](Host::snapshot), of one queue.
    pub fn snapshot_of(&self, queue: usize) -> Vec<TcpInfo> {
        let shard = self.shards().get(queue);
        shard.and_then(|shard| shard.look(|stack| Ok(stack.tcp_snapshot())).ok()).unwrap_or_default()
    }

    /// Bytes of buffered data in all sockets.
    pub fn memory(&self) -> usize {
        self.shards().iter().map(|shard| shard.look(|stack| Ok(stack.memory())).unwrap_or_default()).sum()
    }

    /// Frames that the device refused to send (but not because it was full for a moment).
    pub fn send_errors(&self) -> u64 {
        self.shards().iter().map(|shard| shard.send_errors()).sum()
    }

    /// Has captures write out what they hold.
    pub fn flush(&self) {
        self.shards().iter().for_each(|shard| shard.flush_taps());
    }

    // ---- the end ----

    /// Whether the host still serves packets: it was not shut down and its device has not failed.
    pub fn is_alive(&self) -> bool {
        self.shards().iter().all(|shard| shard.is_alive())
    }

    /// Waits until the host ends.
    ///
    /// # Errors
    /// The device's error if that was the cause, or `Other` if the stack has panicked. A shutdown is no error.
    pub fn wait_closed(&self) -> io::Result<()> {
        // The end of one shard is the end of all.
        match self.0.shards[0].wait_for_end() {
            Ending::Shutdown => Ok(()),
            Ending::Panic => Err(io::Error::other("the stack has panicked")),
            Ending::Device(error) => Err(match error.raw_os_error() {
                Some(errno) => io::Error::from_raw_os_error(errno),
                None => io::Error::new(error.kind(), error.to_string()),
            }),
        }
    }

    /// Ends the host in order: listeners are closed, no new socket is made, and every connection is sent a FIN behind
    /// its data. Connections that are not over after `grace` are reset. Then captures are flushed, the device is
    /// closed, and every call on a socket fails with `ConnectionAborted`; only what was received can still be read.
    ///
    /// It returns when that is done. Further calls, and calls on an ended host, are harmless.
    pub fn shutdown(&self, grace: Duration) {
        let until = clock::now() + grace;
        self.shards().iter().for_each(|shard| shard.take_leave());
        self.shards().iter().for_each(|shard| shard.finish_leave(until));
        self.shards().iter().for_each(|shard| shard.stop());
        self.0.join();
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("addresses", &self.0.addresses).field("alive", &self.is_alive()).finish()
    }
}

/// A handle on a [`Host`] that does not keep it running.
#[derive(Clone)]
pub struct WeakHost(Weak<Inner>);

impl WeakHost {
    /// The host, if some other handle or socket still keeps it.
    pub fn upgrade(&self) -> Option<Host> {
        self.0.upgrade().map(Host)
    }
}

impl fmt::Debug for WeakHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakHost")
    }
}

type Setting = Box<dyn FnOnce(&mut Config)>;

/// Makes a [`Host`].
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// # let (device, _peer) = tunstack::device::mem::pair(1500, 64)?;
/// let host = tunstack::net::Host::builder().address("192.0.2.2/24").start(device)?;
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct Builder {
    name: Option<String>,
    addresses: Vec<Cidr>,
    interfaces: Vec<Interface>,
    /// The first error so far, given by `start`.
    failure: Option<io::Error>,
    mtu: Option<usize>,
    seed: Option<[u8; 32]>,
    settings: Vec<Setting>,
    taps: Vec<Box<dyn Tap>>,
    drive: Drive,
    spin: Spin,
}

impl Builder {
    /// Adds one of the host's own addresses. A text that is none is an error of [`start`](Builder::start).
    pub fn address(mut self, address: impl ToCidr) -> Self {
        match address.to_cidr() {
            Ok(cidr) => self.addresses.push(cidr),
            Err(error) => _ = self.failure.get_or_insert(error),
        }
        self
    }

    /// The name of the first interface, by which routes find it; `tun0` by default. One that is none, of 1 to 15 bytes, is
    /// an error of [`start`](Builder::start).
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds one more interface, with a device, addresses and an MTU of its own. The device that the host is
    /// [started](Builder::start) on, and the builder's other addresses, are the first's. Of several only their networks are
    /// reached, unless routes say otherwise ([`Config::routes`], [`Host::add_route`]).
    ///
    /// ```no_run
    /// # fn main() -> std::io::Result<()> {
    /// # use tunstack::net::{Host, Interface};
    /// # let (first, second) = tunstack::device::mem::pair(1500, 64)?;
    /// let host = Host::builder()
    ///     .address("192.0.2.2/24")
    ///     .interface(Interface::new("tun1", second).address("198.51.100.2/24"))
    ///     .start(first)?;
    /// host.add_route("default via 198.51.100.1".parse()?)?;
    /// # Ok(()) }
    /// ```
    pub fn interface(mut self, interface: Interface) -> Self {
        self.interfaces.push(interface);
        self
    }

    /// The largest IP packet in bytes; the device's by default.
    pub fn mtu(mut self, mtu: usize) -> Self {
        self.mtu = Some(mtu);
        self
    }

    /// Packets to the addresses of all hosts are the host's, not only those to its own (any-IP). Listeners and sockets that
    /// are bound to an unspecified address have them, whatever the address, and so have the gates ([`Host::syn_gate`],
    /// [`Host::udp_gate`]); a socket may also be bound to an address that is not the host's. What it says comes from the
    /// address that was asked. Echo requests to other addresses than its own are left to raw sockets.
    ///
    /// The kernel sends there what its routes say: `ip route add 203.0.113.0/24 dev tun0`, for instance.
    pub fn any_address(self) -> Self {
        self.config(|config| config.any_address = true)
    }

    /// Changes the configuration: every bound and setting of the stack. Called after the other methods' settings.
    pub fn config(mut self, change: impl FnOnce(&mut Config) + 'static) -> Self {
        self.settings.push(Box::new(change));
        self
    }

    /// Decides all of the stack's random choices, for tests only: whoever knows the seed knows its sequence numbers and
    /// secrets. By default it comes from the operating system.
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Writes every packet to `writer` as pcapng, with a comment of what it caused. It makes the host slower.
    #[cfg(feature = "pcap")]
    pub fn capture(mut self, writer: impl io::Write + Send + 'static) -> Self {
        match crate::device::pcap::PcapTap::new(Box::new(writer), clock::origin()) {
            Ok(tap) => self.tap(tap),
            Err(error) => {
                self.failure.get_or_insert(error);
                self
            }
        }
    }

    /// Shows every packet to `tap`.
    pub fn tap(mut self, tap: impl Tap + 'static) -> Self {
        self.taps.push(Box::new(tap));
        self
    }

    /// Who drives the host; [`Drive::Caller`] by default.
    pub fn drive(mut self, drive: Drive) -> Self {
        self.drive = drive;
        self
    }

    /// Whether the one who drives looks for packets a little longer before it sleeps; [`Spin::Auto`] by default.
    pub fn spin(mut self, spin: Spin) -> Self {
        self.spin = spin;
        self
    }

    /// Starts the host on `device`, with a thread that cares for it.
    ///
    /// # Errors
    /// `InvalidInput` if an address is none, there is none, or the configuration contradicts itself; when the capture
    /// cannot be written; and when no descriptor, thread or random seed can be had.
    pub fn start(self, device: impl Device + 'static) -> io::Result<Host> {
        self.start_shared(Arc::new(device))
    }

    /// As [`start`](Builder::start), on a device that others also look at, or whose type is decided at run time.
    ///
    /// # Errors
    /// As [`start`](Builder::start).
    pub fn start_shared(self, device: Arc<dyn Device>) -> io::Result<Host> {
        self.start_queues(vec![device])
    }

    /// As [`start`](Builder::start), on several queues of one link. Each is served by a stack of its own behind a lock of
    /// its own, with a thread that cares for it, so that connections of different queues can be served on different
    /// cores. The bounds of the configuration hold for all together: each stack gets its part.
    ///
    /// It is for links that bring the packets of one connection mostly to the queue on which we send those to it, as a
    /// TUN does; others are passed on within the host.
    ///
    /// # Errors
    /// As [`start`](Builder::start); `InvalidInput` if there is no queue, or there are more than 64.
    pub fn start_queues(self, devices: Vec<Arc<dyn Device>>) -> io::Result<Host> {
        let Host(inner) = self.assemble(devices)?;
        for shard in &inner.shards {
            // If there is no thread for one, all end with `inner`.
            let caretaker = shard.start()?;
            inner.caretakers.lock().unwrap_or_else(PoisonError::into_inner).push(caretaker);
        }
        Ok(Host(inner))
    }

    /// A host that nobody drives yet.
    ///
    /// # Errors
    /// As [`start_queues`](Builder::start_queues).
    pub(crate) fn assemble(self, devices: Vec<Arc<dyn Device>>) -> io::Result<Host> {
        if let Some(error) = self.failure {
            return Err(error);
        }
        let queues = devices.len();
        if !(1..=MAX_QUEUES).contains(&queues) {
            return Err(invalid(format!("{queues} queues: there must be 1 to {MAX_QUEUES}")));
        }
        let device_mtu = devices.iter().map(|device| device.mtu()).min().unwrap_or_default();
        let mut config = Config {
            name: self.name.map_or(Ok(IfName::default()), |name| name.parse())?,
            addresses: self.addresses,
            mtu: self.mtu.unwrap_or(device_mtu),
            ..Config::default()
        };
        let mut links = vec![devices];
        for interface in self.interfaces {
            let (interface, queues) = interface.take(queues)?;
            config.interfaces.push(interface);
            links.push(queues);
        }
        let devices = bundled(links)?;
        config.offloads = devices[0].offloads();
        if config.mtu > device_mtu {
            return Err(invalid(format!("an MTU of {} is more than the device's {device_mtu}", config.mtu)));
        }
        for change in self.settings {
            change(&mut config);
        }
        if !self.taps.is_empty() && config.trace_events == 0 {
            config.trace_events = TRACE_EVENTS;
        }
        let seed = self.seed.map_or_else(system_seed, Ok)?;
        let stacks = stacks(&config, queues as u16, seed)?;
        let parts = stacks.into_iter().zip(devices).zip(runtime::shared(self.taps, queues));
        let shards: Box<[Arc<Shard>]> = parts
            .map(|((stack, device), taps)| Ok(Arc::new(Shard::new(stack, device, taps, self.drive, self.spin)?)))
            .collect::<io::Result<_>>()?;
        if queues > 1 {
            Shard::join_up(&shards);
        }
        let others = config.interfaces.iter().flat_map(|interface| &interface.addresses);
        let addresses = config.addresses.iter().chain(others).copied().collect();
        let inner = Inner {
            shards,
            config,
            addresses,
            turn: AtomicUsize::new(0),
            caretakers: Mutex::default(),
            resolver: RwLock::default(),
        };
        Ok(Host(Arc::new(inner)))
    }
}

/// The device of each shard: its queue of the one link, or of each of `links`.
fn bundled(mut links: Vec<Vec<Arc<dyn Device>>>) -> io::Result<Vec<Arc<dyn Device>>> {
    if links.len() == 1 {
        return Ok(links.swap_remove(0));
    }
    let of_shard = |shard: usize| links.iter().map(|queues| queues[shard].clone()).collect();
    (0..links[0].len()).map(|shard| Ok(Arc::new(Several::new(of_shard(shard))?) as Arc<dyn Device>)).collect()
}

/// The stacks of a host with so many shards.
fn stacks(config: &Config, shards: u16, seed: [u8; 32]) -> io::Result<Vec<Stack>> {
    let now = clock::now();
    if shards == 1 {
        return Ok(vec![Stack::new(config.clone(), seed, now)?]);
    }
    let (mut rng, book) = (Rng::new(seed), Book::new());
    let secrets = rng.seed();
    let part = config.divided(shards);
    let stack = |shard| {
        let share = Share { shard, shards, secrets, names: Box::new(book.clone()) };
        Ok(Stack::shard(part.clone(), rng.seed(), share, now)?)
    };
    (0..shards).map(stack).collect()
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("addresses", &self.addresses)
            .field("mtu", &self.mtu)
            .field("taps", &self.taps.len())
            .finish_non_exhaustive()
    }
}

fn system_seed() -> io::Result<[u8; 32]> {
    use rand::TryRng as _;
    let mut seed = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(io::Error::other)?;
    Ok(seed)
}
