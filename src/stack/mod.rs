//! The whole stack as one sans-IO object: packets in, packets out, time and entropy passed in.
//!
//! # How to use it
//! Own a [`Stack`], and in a loop:
//! 1. give every frame that arrives to [`on_frame`](Stack::on_frame);
//! 2. when [`deadline`](Stack::deadline) has passed, call [`on_deadline`](Stack::on_deadline);
//! 3. after either, and after any socket call, pull frames with [`poll_transmit`](Stack::poll_transmit) until it gives
//!    none, and send them;
//! 4. take what changed with [`poll_ready`](Stack::poll_ready) and serve those sockets;
//! 5. sleep until a frame arrives or the deadline passes.
//!
//! Socket calls never block: they give [`Error::WouldBlock`] and the socket's readiness changes later. `now` must never
//! go backwards. `examples/bare_loop.rs` is a whole program.

mod config;
mod readiness;

pub use crate::tcp::{Keepalive, TcpConfig, TcpInfo, TcpOptions};
pub use config::{Cidr, Config, UdpConfig};
pub use readiness::Readiness;

use crate::buf::{Slice, Slices};
use crate::error::{Error, Result};
use crate::stats::{Disposition, Stats};
use crate::tcp::state::State;
use crate::time::Instant;
use crate::trace::Trace;
use crate::wire::{RxFrame, TxFrame};
use std::net::SocketAddr;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name {
            pub(crate) index: u32,
            pub(crate) generation: u32,
        }
    };
}

handle!(
    /// A TCP connection's handle. It stays good until `tcp_close` or `tcp_abort`, however the connection fares.
    TcpId
);
handle!(
    /// A TCP listener's handle.
    ListenerId
);
handle!(
    /// A UDP socket's handle.
    UdpId
);

/// Any socket's handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketId {
    /// A connection.
    Tcp(TcpId),
    /// A listener.
    Listener(ListenerId),
    /// A UDP socket.
    Udp(UdpId),
}

/// Which direction to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// No more receiving.
    Read,
    /// No more sending: FIN after what is queued.
    Write,
    /// Neither.
    Both,
}

/// The stack. See the [module's page](self) for how to drive it.
pub struct Stack {
    config: Config,
    stats: Stats,
    trace: Trace,
}

#[expect(unused_variables, reason = "skeleton")]
impl Stack {
    /// A stack with `config`; all its secrets and random choices come from `seed`, so the same seed and the same calls
    /// give the same packets.
    ///
    /// # Errors
    /// `InvalidInput` if the configuration contradicts itself; the text says where.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Result<Stack> {
        let trace = Trace::new(config.trace_events);
        Ok(Stack { config, stats: Stats::default(), trace })
    }

    // ---- packets and time ----

    /// Takes one received frame and says what became of it.
    pub fn on_frame(&mut self, now: Instant, frame: RxFrame) -> Disposition {
        unimplemented!()
    }

    /// Does what is due at `now`. Calling it early is harmless.
    pub fn on_deadline(&mut self, now: Instant) {
        unimplemented!()
    }

    /// When [`on_deadline`](Stack::on_deadline) wants to be called next. It may be earlier than the first timer.
    pub fn deadline(&self) -> Option<Instant> {
        unimplemented!()
    }

    /// The next frame to send, if any.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<TxFrame> {
        unimplemented!()
    }

    /// The next socket whose readiness may have changed since it was last given here. Each is given once, however
    /// often it changed.
    pub fn poll_ready(&mut self) -> Option<SocketId> {
        unimplemented!()
    }

    /// What a socket is ready for; a closed handle is readable, writable, and hung up.
    pub fn readiness(&self, id: SocketId) -> Readiness {
        unimplemented!()
    }

    // ---- listeners ----

    /// Listens on `local`; port 0 picks a free one, an unspecified address takes every address of ours. `options` are
    /// those of the connections to be accepted.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`.
    pub fn tcp_listen(&mut self, local: SocketAddr, backlog: usize, options: TcpOptions) -> Result<ListenerId> {
        unimplemented!()
    }

    /// Takes the next established connection and its peer's address.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn tcp_accept(&mut self, now: Instant, id: ListenerId) -> Result<(TcpId, SocketAddr)> {
        unimplemented!()
    }

    /// Where a listener listens.
    pub fn listener_addr(&self, id: ListenerId) -> Result<SocketAddr> {
        unimplemented!()
    }

    /// The options that accepted connections will have; set them through the reference.
    pub fn listener_options(&mut self, id: ListenerId) -> Result<&mut TcpOptions> {
        unimplemented!()
    }

    /// Stops listening. Connections not accepted yet are reset.
    pub fn listener_close(&mut self, now: Instant, id: ListenerId) -> Result<()> {
        unimplemented!()
    }

    // ---- connections ----

    /// The options that a new connection has by default.
    pub fn default_tcp_options(&self) -> TcpOptions {
        TcpOptions {
            nodelay: false,
            ttl: self.config.ttl,
            tos: 0,
            linger: None,
            keepalive: None,
            user_timeout: None,
            send_buffer: self.config.tcp.send_buffer,
            recv_buffer: self.config.tcp.recv_buffer,
        }
    }

    /// Opens a connection to `remote`, from `local` if given (port 0 picks one). It becomes writable when established,
    /// or gets an error.
    ///
    /// # Errors
    /// `AddrNotAvailable`, `AddrInUse` (the 4-tuple exists), `InvalidInput` (port 0, broadcast, multicast, unspecified),
    /// `NetworkUnreachable` (no address of that family), `NoBufferSpace`.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: TcpOptions,
    ) -> Result<TcpId> {
        unimplemented!()
    }

    /// Queues a copy of `data` and says how many bytes were taken.
    ///
    /// # Errors
    /// `WouldBlock` when no room is left, `BrokenPipe` after our shutdown or when the connection is gone, and once what
    /// ended it: `ConnectionReset`, `TimedOut`, ...
    pub fn tcp_send(&mut self, now: Instant, id: TcpId, data: &[u8]) -> Result<usize> {
        unimplemented!()
    }

    /// As [`tcp_send`](Stack::tcp_send), without a copy where `data` fills its chunk at least by half.
    pub fn tcp_push(&mut self, now: Instant, id: TcpId, data: Slice) -> Result<usize> {
        unimplemented!()
    }

    /// As [`tcp_send`](Stack::tcp_send), and the last byte is urgent (RFC 6093; new applications should not use it).
    pub fn tcp_send_urgent(&mut self, now: Instant, id: TcpId, data: &[u8]) -> Result<usize> {
        unimplemented!()
    }

    /// Reads into `buf`; 0 is the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there, `NotConnected` while connecting, and once what ended the connection, after
    /// all that was received in order has been read.
    pub fn tcp_recv(&mut self, now: Instant, id: TcpId, buf: &mut [u8]) -> Result<usize> {
        unimplemented!()
    }

    /// As [`tcp_recv`](Stack::tcp_recv), without a copy: up to `max` bytes as slices, none at the end of the stream.
    pub fn tcp_pop(&mut self, now: Instant, id: TcpId, max: usize) -> Result<Slices> {
        unimplemented!()
    }

    /// As [`tcp_recv`](Stack::tcp_recv), but the bytes stay.
    pub fn tcp_peek(&mut self, id: TcpId, buf: &mut [u8]) -> Result<usize> {
        unimplemented!()
    }

    /// Whether the next byte to read is the first after urgent data (sockatmark(3)).
    pub fn tcp_at_mark(&self, id: TcpId) -> Result<bool> {
        unimplemented!()
    }

    /// Shuts down one direction or both; the handle stays.
    ///
    /// # Errors
    /// `NotConnected` if there is no connection any more.
    pub fn tcp_shutdown(&mut self, now: Instant, id: TcpId, how: Shutdown) -> Result<()> {
        unimplemented!()
    }

    /// Gives the handle up. Unread data or linger zero resets the connection; else it ends by FIN in the background.
    pub fn tcp_close(&mut self, now: Instant, id: TcpId) -> Result<()> {
        unimplemented!()
    }

    /// Gives the handle up and resets the connection.
    pub fn tcp_abort(&mut self, now: Instant, id: TcpId) -> Result<()> {
        unimplemented!()
    }

    /// Takes the pending error, if there is one (SO_ERROR).
    pub fn tcp_take_error(&mut self, id: TcpId) -> Result<Option<Error>> {
        unimplemented!()
    }

    /// Our end.
    pub fn tcp_local_addr(&self, id: TcpId) -> Result<SocketAddr> {
        unimplemented!()
    }

    /// The peer's end.
    ///
    /// # Errors
    /// `NotConnected` before it is established and after it has ended by an error.
    pub fn tcp_peer_addr(&self, id: TcpId) -> Result<SocketAddr> {
        unimplemented!()
    }

    /// The state; CLOSED once the connection is gone.
    pub fn tcp_state(&self, id: TcpId) -> Result<State> {
        unimplemented!()
    }

    /// Bytes written and not yet acknowledged by the peer, the FIN not counted.
    pub fn tcp_send_queue(&self, id: TcpId) -> Result<usize> {
        unimplemented!()
    }

    /// The connection's numbers.
    pub fn tcp_info(&self, id: TcpId) -> Result<TcpInfo> {
        unimplemented!()
    }

    /// The connection's options.
    pub fn tcp_options(&self, id: TcpId) -> Result<&TcpOptions> {
        unimplemented!()
    }

    /// Sets the connection's options; they hold from now on.
    ///
    /// # Errors
    /// `InvalidInput` if one is out of range (TTL 0, keepalive of zero, ...).
    pub fn set_tcp_options(&mut self, now: Instant, id: TcpId, options: TcpOptions) -> Result<()> {
        unimplemented!()
    }

    // ---- UDP ----

    /// Binds a UDP socket; port 0 picks a free one.
    ///
    /// # Errors
    /// `AddrInUse`, `AddrNotAvailable`, `NoBufferSpace`.
    pub fn udp_bind(&mut self, local: SocketAddr) -> Result<UdpId> {
        unimplemented!()
    }

    /// Queues one datagram, to `to` or, if `None`, to the connected peer.
    ///
    /// # Errors
    /// `WouldBlock`, `MessageTooLong`, `NotConnected`, `InvalidInput` (port 0), `PermissionDenied` (broadcast), and once
    /// a pending error such as `ConnectionRefused`.
    pub fn udp_send(&mut self, now: Instant, id: UdpId, data: &[u8], to: Option<SocketAddr>) -> Result<usize> {
        unimplemented!()
    }

    /// Takes the next datagram: copies what fits into `buf`, drops the rest of it, and gives the copied length and the
    /// source. With `peek` the datagram stays.
    ///
    /// # Errors
    /// `WouldBlock`, and once a pending error.
    pub fn udp_recv(&mut self, id: UdpId, buf: &mut [u8], peek: bool) -> Result<(usize, SocketAddr)> {
        unimplemented!()
    }

    /// Sets the peer: only its datagrams are received from now on. A local address is chosen if there was none.
    pub fn udp_connect(&mut self, id: UdpId, peer: SocketAddr) -> Result<()> {
        unimplemented!()
    }

    /// Our end.
    pub fn udp_local_addr(&self, id: UdpId) -> Result<SocketAddr> {
        unimplemented!()
    }

    /// The connected peer.
    ///
    /// # Errors
    /// `NotConnected`.
    pub fn udp_peer_addr(&self, id: UdpId) -> Result<SocketAddr> {
        unimplemented!()
    }

    /// Takes the pending error, if there is one (SO_ERROR).
    pub fn udp_take_error(&mut self, id: UdpId) -> Result<Option<Error>> {
        unimplemented!()
    }

    /// TTL of its datagrams; broadcast allowed.
    pub fn udp_options(&mut self, id: UdpId) -> Result<&mut UdpOptions> {
        unimplemented!()
    }

    /// Gives the handle up.
    pub fn udp_close(&mut self, id: UdpId) -> Result<()> {
        unimplemented!()
    }

    // ---- sight ----

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The trace ring.
    pub fn trace(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Every listener, connection and TIME-WAIT record.
    pub fn tcp_snapshot(&self) -> Vec<TcpInfo> {
        unimplemented!()
    }

    /// Bytes of buffered data in all sockets, as charged to the budget.
    pub fn memory(&self) -> usize {
        unimplemented!()
    }
}

/// Settings of one UDP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpOptions {
    /// TTL of its datagrams.
    pub ttl: u8,
    /// Whether it may send to broadcast addresses.
    pub broadcast: bool,
}
