//! `Poller`: many sockets served by one thread.

use super::error::invalid;
use super::parts::{self, Favourite, Place, Places};
use super::ready_fd;
use super::{Host, IcmpSocket, RawSocket, SynGate, TcpListener, TcpStream, UdpFlow, UdpGate, UdpSocket};
use crate::error::{self, Error};
use crate::runtime::{Outsider, Patience, PollerId, Shard, Signal, Trigger, Turn, Watch, clock, wait_for_events};
use crate::stack::{Readiness, SocketId};
use core::fmt;
use core::task::{Context, Poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Tells which of many sockets of one [`Host`] are ready, as epoll(7) does for the kernel's. One thread can serve
/// thousands of sockets with it: what [`wait`](Poller::wait) costs depends on how many are ready, not on how many there
/// are, and an idle one costs about 50 bytes.
///
/// Sockets should be non-blocking, because what was ready may be so no longer. A thread that waits drives the host
/// itself if no other thread does, so that packets reach it without a hand-over.
///
/// A poller is also a descriptor: [`as_fd`](AsFd::as_fd) gives one that polls readable (POLLIN) when a wait would give
/// something, for a program that waits for other things too, in poll(2), epoll(7) or mio. Then call
/// [`wait`](Poller::wait) with a time-out of zero; with an edge-triggered wait outside, until it gives nothing. It may be
/// readable without anything to give, once for what was ready and is so no longer, and always once the host has ended.
/// From the first `as_fd` on the host's own thread drives the host, whatever [`Drive`](super::Drive) says.
///
/// ```no_run
/// use tunstack::net::{Events, Host, Interest, Poller, Trigger};
/// # fn main() -> std::io::Result<()> {
/// # let (device, _other) = tunstack::device::mem::pair(1500, 64)?;
/// let host = Host::builder().address("192.0.2.2/24").start(device)?;
/// let listener = host.listen("192.0.2.2:80")?;
/// listener.set_nonblocking(true)?;
/// let poller = Poller::new(&host)?;
/// poller.add(&listener, 0, Interest::READABLE, Trigger::Level)?;
/// let mut events = Events::with_capacity(1024);
/// loop {
///     poller.wait(&mut events, None)?;
///     for event in &events {
///         println!("{} is {:?}", event.key, event.readiness);
///     }
///     # return Ok(());
/// }
/// # }
/// ```
pub struct Poller {
    /// Its parts in the host's shards.
    parts: Box<[(Arc<Shard>, PollerId)]>,
    favourite: Favourite,
    /// Whether each part has something to tell, and, of several, whether any has.
    signals: Box<[Arc<Signal>]>,
    any: Option<OwnedFd>,
    /// Since the descriptor was asked for.
    outsiders: OnceLock<Box<[Outsider]>>,
    host: Host,
}

impl Drop for Poller {
    fn drop(&mut self) {
        for (shard, id) in &self.parts {
            shard.close_poller(*id);
        }
    }
}

/// What a socket is watched for: [`Readiness`] under the name of its use here. Errors and hang-ups are always told.
pub type Interest = Readiness;

/// A socket that a [`Poller`] can watch: a [`TcpStream`], [`TcpListener`], [`UdpSocket`], [`RawSocket`], [`IcmpSocket`],
/// [`SynGate`], [`UdpGate`] or [`UdpFlow`].
pub trait Source: sealed::Sealed {}

impl Source for TcpStream {}
impl Source for TcpListener {}
impl Source for UdpSocket {}
impl Source for RawSocket {}
impl Source for IcmpSocket {}
impl Source for SynGate {}
impl Source for UdpGate {}
impl Source for UdpFlow {}

pub(super) mod sealed {
    use crate::net::Host;
    use crate::net::parts::Places;

    /// What a poller must know of a socket.
    pub trait Sealed {
        /// Its host.
        fn host(&self) -> &Host;
        /// Where it is.
        fn places(&self) -> Places<'_>;
    }
}

impl Poller {
    /// A poller for sockets of `host`.
    ///
    /// # Errors
    /// `ConnectionAborted` or `NetworkDown` if the host has ended.
    pub fn new(host: &Host) -> io::Result<Poller> {
        Poller::open(host, host.shards())
    }

    /// A poller for sockets of `host` that belong to its queue `queue` alone: streams, and what [`Host::listen_on_each`]
    /// and [`Host::bind_udp_on_each`] make. A thread that waits with it needs no other thread.
    ///
    /// # Errors
    /// As [`new`](Poller::new); `InvalidInput` if there is no such queue.
    pub fn on_queue(host: &Host, queue: usize) -> io::Result<Poller> {
        let shard = host.shards().get(queue).ok_or_else(|| invalid(format!("the host has no queue {queue}")))?;
        Poller::open(host, std::slice::from_ref(shard))
    }

    fn open(host: &Host, shards: &[Arc<Shard>]) -> io::Result<Poller> {
        let open = |shard: &Arc<Shard>| Ok((shard.clone(), shard.open_poller()?));
        let parts = shards.iter().map(open).collect::<io::Result<_>>()?;
        let (favourite, outsiders, host) = (Favourite::default(), OnceLock::new(), host.clone());
        let signals: Box<[Arc<Signal>]> =
            shards.iter().map(|_| Signal::readable().map(Arc::new)).collect::<io::Result<_>>()?;
        let any = ready_fd::any(&signals)?;
        Ok(Poller { parts, favourite, signals, any, outsiders, host })
    }

    /// Watches `source` for `interest` and names it `key` in the events. What it is ready for already is told too. The
    /// watch ends with [`delete`](Poller::delete), or when the socket is closed, which is when its last clone is dropped.
    ///
    /// # Errors
    /// `InvalidInput` if the socket is another host's; `AlreadyExists` if a poller watches it, this one or another; and
    /// if the host has ended.
    pub fn add(&self, source: &impl Source, key: u64, interest: Interest, trigger: Trigger) -> io::Result<()> {
        self.check(source)?;
        match self.watch(&source.places(), key, interest, trigger, Shard::add_to_poller) {
            Err(Error::AddrInUse) => {
                Err(io::Error::new(io::ErrorKind::AlreadyExists, "a poller watches this socket already"))
            }
            result => Ok(result?),
        }
    }

    /// Changes what `source` is watched for. What it is ready for is told anew.
    ///
    /// # Errors
    /// `NotFound` if this poller does not watch it; otherwise as [`add`](Poller::add).
    pub fn modify(&self, source: &impl Source, key: u64, interest: Interest, trigger: Trigger) -> io::Result<()> {
        self.check(source)?;
        found(self.watch(&source.places(), key, interest, trigger, Shard::modify_in_poller))
    }

    /// Watches `source` no longer. Events that were given already may still name it.
    ///
    /// # Errors
    /// As [`modify`](Poller::modify).
    pub fn delete(&self, source: &impl Source) -> io::Result<()> {
        self.check(source)?;
        let mut places = source.places().into_iter();
        found(places.try_for_each(|place| place.shard.delete_from_poller(self.part(&place)?, place.id)))
    }

    /// Does `act` with each part of a socket.
    fn watch(
        &self,
        places: &Places<'_>,
        key: u64,
        interest: Interest,
        trigger: Trigger,
        act: impl Fn(&Shard, PollerId, SocketId, Watch) -> error::Result<()>,
    ) -> error::Result<()> {
        let turn = (places.len() > 1 && trigger == Trigger::OneShot).then(Turn::default);
        places.iter().try_for_each(|place| {
            let watch = Watch { key, interest: place.interest(interest), trigger, turn: turn.clone() };
            act(place.shard, self.part(place)?, place.id, watch)
        })
    }

    /// Our part where a socket's part is.
    fn part(&self, place: &Place<'_>) -> error::Result<PollerId> {
        let mut parts = self.parts.iter();
        parts.find(|(shard, _)| Arc::ptr_eq(shard, place.shard)).map(|(_, id)| *id).ok_or(Error::BadHandle)
    }

    /// Replaces `events` by those that there are, waiting for the first one at most for `timeout`; `None` is for as long
    /// as it takes. There are none after the time-out, and when [`notify`](Poller::notify) was called. Each event takes
    /// what it tells from this thread's next and from other threads' waits alike.
    ///
    /// # Errors
    /// `ConnectionAborted` or `NetworkDown` if the host has ended.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.list.clear();
        let patience = match timeout {
            None => Patience::Forever,
            Some(Duration::ZERO) => Patience::None,
            Some(timeout) => Patience::Until(clock::now() + timeout),
        };
        let (list, max) = (&mut events.list, events.capacity);
        let give = |key, readiness| list.push(Event { key, readiness });
        let first = self.favourite.first(self.parts.len());
        if let Some(number) = wait_for_events(&self.parts, first, patience, max, give)? {
            // Where more may be ready than fitted, the others have their turn.
            self.favourite.found(number + usize::from(events.list.len() == max));
        }
        Ok(())
    }

    /// Has the wait that is under way in another thread, or else the next one, return.
    pub fn notify(&self) {
        let (shard, id) = &self.parts[0];
        shard.notify_poller(*id);
    }

    /// The host whose sockets it watches.
    pub fn host(&self) -> &Host {
        &self.host
    }

    fn check(&self, source: &impl Source) -> io::Result<()> {
        if !source.host().is(&self.host) {
            return Err(invalid("this socket belongs to another host"));
        }
        if source.places().iter().any(|place| self.part(place).is_err()) {
            return Err(invalid("this socket belongs to another queue"));
        }
        Ok(())
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outsiders.get_or_init(|| {
            let outsiders = ready_fd::outsiders(self.parts.iter().map(|(shard, _)| shard));
            self.parts.iter().zip(&self.signals).for_each(|((shard, id), signal)| shard.show_poller(*id, signal));
            outsiders
        });
        self.any.as_ref().map_or_else(|| self.signals[0].as_fd(), AsFd::as_fd)
    }
}

impl AsRawFd for Poller {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

fn found(result: crate::error::Result<()>) -> io::Result<()> {
    match result {
        Err(Error::BadHandle) => Err(io::Error::new(io::ErrorKind::NotFound, "this poller does not watch this socket")),
        result => Ok(result?),
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("host", &self.host).finish_non_exhaustive()
    }
}

/// A socket that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What the socket was named when it was added.
    pub key: u64,
    /// What it is ready for, of what it is watched for, with errors and hang-ups.
    pub readiness: Readiness,
}

/// The sockets that one [`Poller::wait`] found ready.
#[derive(Clone, Debug)]
pub struct Events {
    list: Vec<Event>,
    capacity: usize,
}

impl Events {
    /// Room for `capacity` events of one wait, at least one. More sockets may be ready; the next wait tells of the rest.
    pub fn with_capacity(capacity: usize) -> Events {
        let capacity = capacity.max(1);
        Events { list: Vec::with_capacity(capacity), capacity }
    }

    /// The events.
    pub fn iter(&self) -> core::slice::Iter<'_, Event> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Event;
    type IntoIter = core::slice::Iter<'a, Event>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

macro_rules! source {
    ($($socket:ident),*) => {$(
        impl sealed::Sealed for $socket {
            fn host(&self) -> &Host {
                $socket::host(self)
            }

            fn places(&self) -> Places<'_> {
                $socket::places(self)
            }
        }
    )*};
}

macro_rules! poll_ready {
    ($($socket:ident),*) => {$(
        impl $socket {
            /// What it is ready for, of `interest`, with errors and hang-ups; if it is nothing, the task's waker is called
            /// once it is worth asking again. For asynchronous use, with any executor: try a non-blocking call, and poll
            /// this when it gives `WouldBlock`. Of several tasks that wait for the same, the last one is woken.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn poll_ready(&self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<Readiness>> {
                let ready = parts::poll_ready(&self.places(), cx, interest);
                ready.map_err(io::Error::from)
            }
        }
    )*};
}

poll_ready!(TcpStream, TcpListener, UdpSocket, RawSocket, IcmpSocket, SynGate, UdpGate, UdpFlow);

source!(TcpStream, TcpListener, UdpSocket, RawSocket, IcmpSocket, SynGate, UdpGate, UdpFlow);
