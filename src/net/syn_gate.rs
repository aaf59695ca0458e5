//! `SynGate`: whoever wants to connect waits for a verdict, before the SYN is answered.

use super::acceptor::{Accepting, Acceptor, accepts};
use super::parts::{EVERYWHERE, Parts};
use super::sockopt::{self, Name, OptValue, SockOpt, Value};
use super::{Host, TcpStream};
use crate::error::{self, Error};
use crate::runtime::Core;
use crate::stack::{
    Readiness, Refusal, SocketId, Stack, SynGateId, SynOptions, SynRequest as Taken, TcpOptions, Unreachable,
};
use crate::time::Instant;
use core::fmt;
use core::iter::FusedIterator;
use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The gate where SYNs wait that no listener takes. Each is a [`SynRequest`], and is answered as its verdict says: so a
/// proxy can ask whoever is behind it first, and give its peer the same answer that it got.
///
/// What waits is bounded ([`GateConfig`](crate::stack::GateConfig)), and so are connections that were accepted and whose
/// peer has not answered ([`Config::max_syn_queue`](crate::stack::Config::max_syn_queue)): a flood of SYNs from forged
/// addresses takes no more than that, and does not keep honest peers out. Listeners have their own rules, which a gate does
/// not touch.
///
/// It is closed when it, its clones and all its requests are dropped. Whoever waits then is reset.
///
/// ```no_run
/// use std::net::TcpStream as Upstream;
/// use std::time::Duration;
/// use tunstack::net::Host;
///
/// # fn main() -> std::io::Result<()> {
/// # let (device, _other) = tunstack::device::mem::pair(1500, 64)?;
/// let host = Host::builder().address("192.0.2.2/24").any_address().start(device)?;
/// for request in &host.syn_gate()? {
///     let request = request?;
///     match Upstream::connect_timeout(&request.destination(), Duration::from_secs(10)) {
///         Ok(upstream) => {
///             let stream = request.accept()?; // and carry on between the two
///         }
///         Err(error) => request.mirror(&error)?,
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SynGate(Arc<Acceptor<SynGateId>>);

accepts!(SynGate);

impl SynGate {
    pub(super) fn open(host: &Host) -> io::Result<SynGate> {
        let open = |stack: &mut Stack, _| stack.syn_gate_open(stack.default_tcp_options());
        Ok(SynGate(Acceptor::new(host, Parts::open(host.shards(), EVERYWHERE, open)?)))
    }

    /// Waits for the next request.
    ///
    /// # Errors
    /// `WouldBlock` if the gate is non-blocking, or after its time-out, and there is none; `ConnectionAborted` once the
    /// host is shutting down; `NetworkDown` if its device is gone.
    pub fn accept(&self) -> io::Result<SynRequest> {
        let (number, request) = self.0.accept(SynGate::take)?;
        Ok(self.given(number, request))
    }

    /// Takes a request from a part.
    pub(super) fn take(gate: SynGateId, core: &mut Core, _: Instant) -> error::Result<Taken> {
        core.stack.syn_next(gate)
    }

    /// The request that was taken from the part with this number.
    pub(super) fn given(&self, number: usize, request: Taken) -> SynRequest {
        SynRequest { gate: self.0.clone(), number, request, answered: false }
    }

    #[cfg(feature = "tokio")]
    pub(super) fn acceptor(&self) -> &Acceptor<SynGateId> {
        &self.0
    }

    /// An iterator over the requests. It comes to an end when the host has ended, as
    /// [`TcpListener::incoming`](super::TcpListener::incoming) does.
    pub fn requests(&self) -> SynRequests<'_> {
        SynRequests { gate: self, accepting: Accepting::default() }
    }

    /// How many requests have no verdict yet, and the bytes that they are charged.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn load(&self) -> io::Result<(usize, usize)> {
        self.0.load(Stack::syn_gate_load)
    }

    /// How long [`accept`](SynGate::accept) waits, `None` being for ever; beyond it fails with `WouldBlock`.
    ///
    /// # Errors
    /// `InvalidInput` if it is zero.
    pub fn set_accept_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.blocking.read.set(timeout)
    }

    /// Sets an option by its name, as setsockopt(2), for the connections that are accepted from now on.
    ///
    /// # Errors
    /// ENOPROTOOPT for one that gates have not, or that can only be read; `InvalidInput` for a value out of range; ENODEV for
    /// an interface that there is not; or if the host has ended.
    pub fn setsockopt<T: OptValue>(&self, option: SockOpt<T>, value: T) -> io::Result<()> {
        let mut options = self.options()?;
        match (option.name, value.into_value()) {
            (Name::SO_RCVTIMEO, Value::Timeout(time)) => return self.set_accept_timeout(time),
            (Name::SO_BINDTODEVICE, Value::Text(name)) => options.interface = self.0.host.interface(name.as_deref())?,
            (name, value) => sockopt::set(&mut options, name, &value)?,
        }
        Ok(self.0.parts.act(|stack, id| stack.set_syn_gate_options(id, options.clone()))?)
    }

    /// Reads an option by its name, as getsockopt(2).
    ///
    /// # Errors
    /// ENOPROTOOPT for one that gates have not; or if the host has ended.
    pub fn getsockopt<T: OptValue>(&self, option: SockOpt<T>) -> io::Result<T> {
        let options = self.options()?;
        sockopt::typed(match option.name {
            Name::SO_RCVTIMEO => Ok(Value::Timeout(self.0.blocking.read.get())),
            Name::SO_BINDTODEVICE => Ok(Value::Text(self.0.host.interface_name(options.interface))),
            name => sockopt::get_with(&options, &self.0.host.config().tcp, name),
        })
    }

    fn options(&self) -> io::Result<TcpOptions> {
        Ok(self.0.parts.look(|stack, id| stack.syn_gate_options(id).cloned())?)
    }
}

impl fmt::Debug for SynGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SynGate").field("load", &self.load().ok()).finish()
    }
}

/// Gives requests for ever, or until the host ends. See [`SynGate::requests`].
#[derive(Debug)]
pub struct SynRequests<'a> {
    gate: &'a SynGate,
    accepting: Accepting,
}

impl Iterator for SynRequests<'_> {
    type Item = io::Result<SynRequest>;

    fn next(&mut self) -> Option<io::Result<SynRequest>> {
        let SynRequests { gate, accepting } = self;
        accepting.next(|| gate.accept())
    }
}

impl FusedIterator for SynRequests<'_> {}

impl<'a> IntoIterator for &'a SynGate {
    type Item = io::Result<SynRequest>;
    type IntoIter = SynRequests<'a>;

    fn into_iter(self) -> SynRequests<'a> {
        self.requests()
    }
}

/// The answer that makes the peer's connect fail as one of ours has failed with the error: a time-out is silence, what a
/// router said is said by ICMP, and all else is a refusal.
impl From<&io::Error> for Refusal {
    fn from(error: &io::Error) -> Refusal {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Refusal::Silence,
            io::ErrorKind::HostUnreachable => Refusal::Unreachable(Unreachable::Host),
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                Refusal::Unreachable(Unreachable::Network)
            }
            io::ErrorKind::PermissionDenied => Refusal::Unreachable(Unreachable::Prohibited),
            _ if Errno::from_io_error(error) == Some(Errno::NOPROTOOPT) => Refusal::Unreachable(Unreachable::Protocol),
            _ => Refusal::Reset,
        }
    }
}

/// Somebody wants to connect and waits for a verdict. Every SYN that comes again is the same request.
///
/// A request that is dropped without one is [reset](SynRequest::reset), so that nobody waits for what will not come. One
/// that waits for longer than [`GateConfig::timeout`](crate::stack::GateConfig::timeout) is over, and so is one whose peer
/// has reset it; its verdict fails with `ConnectionAborted` then.
pub struct SynRequest {
    gate: Arc<Acceptor<SynGateId>>,
    /// The part that it came by.
    number: usize,
    request: Taken,
    answered: bool,
}

impl SynRequest {
    /// Who wants to connect.
    pub fn source(&self) -> SocketAddr {
        self.request.source
    }

    /// Where to.
    pub fn destination(&self) -> SocketAddr {
        self.request.destination
    }

    /// What its SYN offers.
    pub fn options(&self) -> SynOptions {
        self.request.options
    }

    /// The number of the interface that it came in by, as `if_nametoindex` would give it: 1 is the first.
    pub fn interface(&self) -> u32 {
        self.request.interface
    }

    /// Accepts: sends the SYN,ACK and gives the stream at once, whose [`local_addr`](TcpStream::local_addr) is the
    /// [`destination`](SynRequest::destination). What is written goes out when the peer has answered; if it does not,
    /// reading and writing fail with `TimedOut` or `ConnectionReset`.
    ///
    /// # Errors
    /// `ConnectionAborted` if the request is over; ENOBUFS at the bounds on connections and memory, where the SYN is not
    /// answered and will come again; or what ended the host.
    pub fn accept(mut self) -> io::Result<TcpStream> {
        self.answered = true;
        let (shard, gate) = self.gate.parts.get(self.number);
        let request = self.request.id;
        let id = shard.act(|core, now| {
            core.check_open()?;
            let id = core.stack.syn_accept(now, gate, request)?;
            core.adopt(SocketId::Tcp(id));
            Ok((id, core.stack.tcp_options(id)?.recv_low_water))
        });
        let (id, low_water) = id.map_err(over)?;
        Ok(TcpStream::new(&self.gate.host, shard, id, low_water))
    }

    /// Refuses with RST, as a host does where nobody listens.
    ///
    /// # Errors
    /// As [`refuse`](SynRequest::refuse).
    pub fn reset(self) -> io::Result<()> {
        self.refuse(Refusal::Reset)
    }

    /// Does not answer, so that the peer tries again and then gives up.
    ///
    /// # Errors
    /// As [`refuse`](SynRequest::refuse).
    pub fn ignore(self) -> io::Result<()> {
        self.refuse(Refusal::Silence)
    }

    /// Refuses with an ICMP error, from the address that was asked for.
    ///
    /// # Errors
    /// As [`refuse`](SynRequest::refuse).
    pub fn unreachable(self, what: Unreachable) -> io::Result<()> {
        self.refuse(Refusal::Unreachable(what))
    }

    /// Refuses so that the peer's connect fails as one of ours has failed with `error`: a time-out is silence, what a router
    /// said is said by ICMP, and all else is RST.
    ///
    /// # Errors
    /// As [`refuse`](SynRequest::refuse).
    pub fn mirror(self, error: &io::Error) -> io::Result<()> {
        self.refuse(error.into())
    }

    /// Refuses.
    ///
    /// # Errors
    /// `ConnectionAborted` if the request is over, or the host shuts down; `NetworkDown` if its device is gone.
    pub fn refuse(mut self, how: Refusal) -> io::Result<()> {
        self.answered = true;
        Ok(self.answer(how)?)
    }

    fn answer(&self, how: Refusal) -> error::Result<()> {
        let (shard, gate) = self.gate.parts.get(self.number);
        shard.act(|core, now| core.stack.syn_refuse(now, gate, self.request.id, how)).map_err(over)
    }
}

/// A gate is closed while requests are out only by its host's shutdown.
fn over(error: Error) -> Error {
    if error == Error::BadHandle { Error::ConnectionAborted } else { error }
}

impl Drop for SynRequest {
    fn drop(&mut self) {
        if !self.answered {
            // If it is over, there is nobody to be told.
            let _ = self.answer(Refusal::Reset);
        }
    }
}

impl fmt::Debug for SynRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SynRequest")
            .field("source", &self.source())
            .field("destination", &self.destination())
            .field("options", &self.options())
            .finish_non_exhaustive()
    }
}
