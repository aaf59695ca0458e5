//! Sockets and pollers as descriptors that others wait on.

use super::parts::Places;
use super::{IcmpSocket, Interest, RawSocket, SynGate, TcpListener, TcpStream, UdpFlow, UdpGate, UdpSocket};
use crate::runtime::{Direction, Outsider, Shard, Signal};
use core::fmt;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use smallvec::SmallVec;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

/// A descriptor that polls ready when a socket is, for poll(2), epoll(7), mio and other event loops: made by `read_fd` and
/// `write_fd` of the sockets. It can be waited on, and nothing else; its readiness follows the socket's:
///
/// - that of `read_fd` polls readable (POLLIN) while reading or accepting would not block;
/// - that of `write_fd` polls writable (POLLOUT) from when writing would not block until a write is refused with
///   `WouldBlock`;
/// - both do so while an error or hang-up is pending, and for good when the socket is closed or its host has ended. So
///   whoever waits on the descriptor of a socket that another thread drops is woken, and its next call fails.
///
/// With an edge-triggered wait, serve the socket until it gives `WouldBlock`. The socket should be non-blocking.
///
/// As long as there is one, the host's own thread drives it, whatever [`Drive`](super::Drive) says. It costs a system call
/// each time that the readiness changes; a [`Poller`](super::Poller) for many sockets costs less.
pub struct ReadyFd {
    signals: SmallVec<[Arc<Signal>; 1]>,
    /// Polls readable when one of several does.
    any: Option<OwnedFd>,
    _outsiders: SmallVec<[Outsider; 1]>,
}

impl ReadyFd {
    fn new(places: &Places<'_>, direction: Direction) -> io::Result<ReadyFd> {
        let wanted = if direction == Direction::Read { Interest::READABLE } else { Interest::WRITABLE };
        let told = places.iter().filter(|place| !place.interest(wanted).is_empty());
        let (mut signals, mut outsiders) = (SmallVec::new(), SmallVec::new());
        for place in told {
            outsiders.push(Outsider::new(place.shard));
            signals.push(place.shard.signal(place.id, direction)?);
        }
        Ok(ReadyFd { any: any(&signals)?, signals, _outsiders: outsiders })
    }
}

/// If there are several, a descriptor that polls readable when one of them does.
///
/// # Errors
/// When no descriptor can be had.
pub(super) fn any(signals: &[Arc<Signal>]) -> io::Result<Option<OwnedFd>> {
    if signals.len() == 1 {
        return Ok(None);
    }
    let all = epoll::create(CreateFlags::CLOEXEC)?;
    for signal in signals {
        epoll::add(&all, signal, EventData::new_u64(0), EventFlags::IN)?;
    }
    Ok(Some(all))
}

impl AsFd for ReadyFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.any.as_ref().map_or_else(|| self.signals[0].as_fd(), AsFd::as_fd)
    }
}

impl AsRawFd for ReadyFd {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for ReadyFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadyFd").field(&self.as_raw_fd()).finish()
    }
}

/// Those outside who may wait on a poller, once anybody could.
pub(super) fn outsiders<'a>(shards: impl Iterator<Item = &'a Arc<Shard>>) -> Box<[Outsider]> {
    shards.map(Outsider::new).collect()
}

macro_rules! ready_fds {
    ($($socket:ident),*) => {$(
        impl $socket {
            /// A descriptor that polls readable while it is ready to be read: see [`ReadyFd`](super::ReadyFd).
            ///
            /// # Errors
            /// When no descriptor can be had (EMFILE); or if the host has ended.
            pub fn read_fd(&self) -> io::Result<ReadyFd> {
                ReadyFd::new(&self.places(), Direction::Read)
            }
        }
    )*};
}

macro_rules! room_fds {
    ($($socket:ident),*) => {$(
        impl $socket {
            /// A descriptor that polls writable while there is room to write: see [`ReadyFd`](super::ReadyFd).
            ///
            /// # Errors
            /// When no descriptor can be had (EMFILE); or if the host has ended.
            pub fn write_fd(&self) -> io::Result<ReadyFd> {
                ReadyFd::new(&self.places(), Direction::Write)
            }
        }
    )*};
}

ready_fds!(TcpListener, TcpStream, UdpSocket, RawSocket, IcmpSocket, SynGate, UdpGate, UdpFlow);
room_fds!(TcpStream, UdpSocket, RawSocket, IcmpSocket, UdpFlow);
