//! A running stack, and how it is made.

use super::addr::{ToCidr, ToSocketAddrs, each};
use super::error::invalid;
use super::{TcpListener, TcpStream, UdpSocket};
use crate::buf::Chunk;
use crate::device::Device;
use crate::runtime::{Drive, Ending, Shard, Spin, Tap, clock};
use crate::stack::{Cidr, Config, Readiness, SocketId, Stack, TcpInfo};
use crate::stats::Stats;
use core::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// The backlog of a listener that asks for none, as in std.
const BACKLOG: usize = 128;

/// Trace events kept for a tap between two packets.
const TRACE_EVENTS: usize = 1024;

static DEFAULT: RwLock<Option<Host>> = RwLock::new(None);

/// A handle on a running stack ("host" as in RFC 1122). Clones are handles on the same one.
///
/// It runs until [`shutdown`](Host::shutdown), until its device is gone, or until the last handle and the last socket
/// are dropped. In the last case it stops at once: what peers have not acknowledged is lost, and they are not told. A
/// program that has something to deliver calls `shutdown`.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    shard: Arc<Shard>,
    config: Config,
    caretaker: Mutex<Option<JoinHandle<()>>>,
}

impl Inner {
    fn join(&self) {
        let caretaker = self.caretaker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(caretaker) = caretaker {
            // A panic of the caretaker has been reported as the host's end.
            let _ = caretaker.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shard.stop();
        self.join();
    }
}

impl Host {
    /// A builder with the default configuration.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.0.shard
    }

    /// Whether `other` is a handle on the same host.
    pub(super) fn is(&self, other: &Host) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    // ---- sockets ----

    /// Listens on the first of `addr` that can be had, with a backlog of 128. Port 0 picks a free one; an unspecified
    /// address means all of the host's.
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
        each(addr, |addr| TcpListener::open(self, addr, backlog))
    }

    /// Connects to the first of `addr` that answers.
    ///
    /// # Errors
    /// Of the last one tried: `ConnectionRefused`, `TimedOut`, `HostUnreachable`, `NetworkUnreachable`,
    /// `AddrNotAvailable` (no free port), and those of [`ToSocketAddrs`].
    pub fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<TcpStream> {
        each(addr, |addr| TcpStream::open(self, None, addr, None))
    }

    /// Connects to `addr`, within `timeout`.
    ///
    /// # Errors
    /// As [`connect`](Host::connect); `TimedOut`; `InvalidInput` if `timeout` is zero.
    pub fn connect_timeout(&self, addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        super::patience::check_nonzero(timeout)?;
        Ok(TcpStream::open(self, None, *addr, Some(timeout))?)
    }

    /// Connects to `remote` from the address and port `local`; port 0 picks one.
    ///
    /// # Errors
    /// As [`connect`](Host::connect); `AddrInUse` if the same connection exists.
    pub fn connect_from(&self, local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
        Ok(TcpStream::open(self, Some(local), remote, None)?)
    }

    /// Begins to connect to `addr` and gives a non-blocking stream at once. It becomes writable when it is connected or
    /// has failed; [`TcpStream::take_error`] tells which.
    ///
    /// # Errors
    /// Those that need no answer from the peer: `AddrNotAvailable`, `NetworkUnreachable`, `InvalidInput`.
    pub fn connect_nonblocking(&self, addr: &SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::begin(self, None, *addr)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// A UDP socket on the first of `addr` that can be had. Port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, and those of [`ToSocketAddrs`].
    pub fn bind_udp(&self, addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        each(addr, |addr| UdpSocket::open(self, addr))
    }

    /// An empty chunk of 64 KiB from the host's pool: see [`TcpStream::send_chunk`].
    pub fn chunk(&self) -> Chunk {
        self.0.shard.pool().take()
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

    /// The host's addresses.
    pub fn addresses(&self) -> &[Cidr] {
        &self.0.config.addresses
    }

    /// What the stack was made with.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The largest IP packet that is sent, in bytes.
    pub fn mtu(&self) -> usize {
        self.0.shard.look(|stack| Ok(stack.mtu())).unwrap_or(self.0.config.mtu)
    }

    /// Sends IP packets of at most `mtu` bytes from now on, because the link's MTU was changed: connections that exist
    /// keep to it at once. Whoever makes it larger knows that the link carries such packets.
    ///
    /// # Errors
    /// `InvalidInput` outside 68 to 65,535; or if the host has ended.
    pub fn set_mtu(&self, mtu: usize) -> io::Result<()> {
        Ok(self.0.shard.act(|core, _| core.stack.set_mtu(mtu))?)
    }

    /// A copy of the counters.
    pub fn stats(&self) -> Stats {
        self.0.shard.look(|stack| Ok(stack.stats().clone())).unwrap_or_default()
    }

    /// Every listener, connection and TIME-WAIT record, as `ss` shows them.
    pub fn snapshot(&self) -> Vec<TcpInfo> {
        self.0.shard.look(|stack| Ok(stack.tcp_snapshot())).unwrap_or_default()
    }

    /// Bytes of buffered data in all sockets.
    pub fn memory(&self) -> usize {
        self.0.shard.look(|stack| Ok(stack.memory())).unwrap_or_default()
    }

    /// Frames that the device refused to send (but not because it was full for a moment).
    pub fn send_errors(&self) -> u64 {
        self.0.shard.send_errors()
    }

    /// Has captures write out what they hold.
    pub fn flush(&self) {
        self.0.shard.flush_taps();
    }

    /// What one of its sockets is ready for. Everything, if the stack has panicked: each call then fails at once.
    pub(super) fn readiness(&self, id: SocketId) -> Readiness {
        let all = Readiness::READABLE | Readiness::WRITABLE | Readiness::HANGUP | Readiness::ERROR;
        self.0.shard.look(|stack| Ok(stack.readiness(id))).unwrap_or(all)
    }

    // ---- the end ----

    /// Whether the host still serves packets: it was not shut down and its device has not failed.
    pub fn is_alive(&self) -> bool {
        self.0.shard.is_alive()
    }

    /// Waits until the host ends.
    ///
    /// # Errors
    /// The device's error if that was the cause, or `Other` if the stack has panicked. A shutdown is no error.
    pub fn wait_closed(&self) -> io::Result<()> {
        match self.0.shard.wait_for_end() {
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
        self.0.shard.shut_down(grace);
        self.0.join();
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("addresses", &self.0.config.addresses).field("alive", &self.is_alive()).finish()
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
    addresses: Vec<Cidr>,
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

    /// The largest IP packet in bytes; the device's by default.
    pub fn mtu(mut self, mtu: usize) -> Self {
        self.mtu = Some(mtu);
        self
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
        if let Some(error) = self.failure {
            return Err(error);
        }
        let mut config = Config {
            addresses: self.addresses,
            mtu: self.mtu.unwrap_or_else(|| device.mtu()),
            offloads: device.offloads(),
            ..Config::default()
        };
        if config.mtu > device.mtu() {
            return Err(invalid(format!("an MTU of {} is more than the device's {}", config.mtu, device.mtu())));
        }
        for change in self.settings {
            change(&mut config);
        }
        if !self.taps.is_empty() && config.trace_events == 0 {
            config.trace_events = TRACE_EVENTS;
        }
        let seed = self.seed.map_or_else(system_seed, Ok)?;
        let stack = Stack::new(config.clone(), seed, clock::now())?;
        let (shard, caretaker) = Shard::start(stack, device, self.taps, self.drive, self.spin)?;
        Ok(Host(Arc::new(Inner { shard, config, caretaker: Mutex::new(Some(caretaker)) })))
    }
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
