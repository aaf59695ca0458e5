//! The table of TCP connections: numbered slots, found by four-tuple through a keyed hash in constant time.

use crate::buf::SliceQueue;
use crate::error::{Error, Result};
use crate::ip::bound::shown;
use crate::rng::Key;
use crate::tcp::TcpOptions;
use crate::tcp::connection::Connection;
use crate::tcp::options::SharedOptions;
use crate::tcp::seq::Seq;
use crate::tcp::tuple::FourTuple;
use crate::time::Instant;
use core::hash::BuildHasher;
use hashbrown::HashTable;
use std::net::SocketAddr;

use super::segmented::Segmented;
use super::{Readiness, TcpId};

/// Who has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// An application, through its handle.
    App,
    /// A listener: it is half open, or waits to be accepted.
    Listener(u32),
    /// Nobody: the application has closed it.
    Nobody,
}

/// A connection with what its socket has beside it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) tuple: FourTuple,
    /// None once it is closed.
    pub(super) connection: Option<Connection>,
    pub(super) holder: Holder,
    /// The socket's side; given up in TIME-WAIT without an application, so that only the record stays.
    pub(super) socket: Option<SocketSide>,
    /// What its holder knows it to be ready for.
    pub(super) was_ready: Readiness,
    /// Memory charged to the budget for it.
    pub(super) charged: usize,
    /// Whether it is counted among the orphans.
    pub(super) counted_orphan: bool,
}

impl Slot {
    /// The connection's options, where `default` are the stack's.
    pub(super) fn options<'a>(&'a self, default: &'a TcpOptions) -> &'a TcpOptions {
        self.socket.as_ref().map_or(default, |socket| socket.options(default))
    }

    /// Our end, as its holder knows it.
    pub(super) fn local(&self) -> SocketAddr {
        shown(self.tuple.local(), self.is_mapped())
    }

    /// The peer's end, as its holder knows it.
    pub(super) fn remote(&self) -> SocketAddr {
        shown(self.tuple.remote(), self.is_mapped())
    }

    fn is_mapped(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.mapped)
    }

    /// Whether nobody holds it while it is still being shut down. A TIME-WAIT record is no orphan: it costs nothing.
    pub(super) fn is_orphan(&self) -> bool {
        self.holder == Holder::Nobody && !matches!(self.connection, None | Some(Connection::TimeWait(_)))
    }
}

/// A numbered place for a connection. What stands here outlives it.
#[derive(Debug, Default)]
struct Place {
    slot: Option<Slot>,
    /// How many connections have been here: a handle of an earlier one is not good for a later one.
    generation: u32,
    /// Whether the number stands in each [`Queue`]: once at most, so that the queues are no longer than the table, whoever
    /// comes and goes.
    queued: [bool; 3],
}

/// The queues of numbers that a connection stands in once at most.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queue {
    /// What may have something to send.
    Egress,
    /// What may have become ready.
    Ready,
    /// What was held back because memory was short.
    HeldBack,
}

/// What a socket keeps beside its connection, and after it. Small while all goes well: there may be a million.
#[derive(Debug)]
pub(super) struct SocketSide {
    /// What the user has set, unless that is what every connection of this stack has. What a listener was given, all its
    /// connections share.
    options: Option<SharedOptions>,
    aside: Option<Box<Aside>>,
    /// It is one of IPv6 to its holder and of IPv4 on the wire.
    pub(super) mapped: bool,
    /// Whether the connection was ever established.
    pub(super) established: bool,
    /// The sending side was shut down before the handshake ended.
    pub(super) close_wanted: bool,
    /// The peer's FIN had been received when the connection ended: reading ends well, whatever became of it afterwards.
    pub(super) fin_received: bool,
    /// The user reads no more.
    pub(super) read_shutdown: bool,
}

/// What few sockets have, and not for long.
#[derive(Debug, Default)]
pub(super) struct Aside {
    /// Written before the handshake ended.
    pub(super) early: SliceQueue,
    /// Received and not read when the connection ended.
    pub(super) rest: SliceQueue,
    /// What ended the connection, until told.
    pub(super) error: Option<Error>,
    /// What a router said of the segment with this number (RFC 9293 MUST-47), until asked, or until that arrives all the
    /// same.
    pub(super) soft_error: Option<(Error, Seq)>,
    /// Bytes of `early` up to the last urgent one, if one is.
    pub(super) urgent: Option<usize>,
    /// Until when its listener waits for its first data.
    pub(super) deferred: Option<Instant>,
}

impl SocketSide {
    pub(super) fn new(options: SharedOptions, default: &TcpOptions) -> Self {
        let mut socket = SocketSide {
            options: None,
            aside: None,
            mapped: false,
            established: false,
            close_wanted: false,
            fin_received: false,
            read_shutdown: false,
        };
        socket.set_options(options, default);
        socket
    }

    /// Its options, where `default` are the stack's.
    pub(super) fn options<'a>(&'a self, default: &'a TcpOptions) -> &'a TcpOptions {
        self.options.as_deref().unwrap_or(default)
    }

    pub(super) fn set_options(&mut self, options: SharedOptions, default: &TcpOptions) {
        self.options = (*options != *default).then_some(options);
    }

    /// What is set aside, if there is anything.
    pub(super) fn aside(&self) -> Option<&Aside> {
        self.aside.as_deref()
    }

    /// To take from what is set aside, if there is anything.
    pub(super) fn aside_mut(&mut self) -> Option<&mut Aside> {
        self.aside.as_deref_mut()
    }

    /// Until when its listener waits for its first data, if it does.
    pub(super) fn deferred(&self) -> Option<Instant> {
        self.aside()?.deferred
    }

    /// To set something aside.
    pub(super) fn set_aside(&mut self) -> &mut Aside {
        self.aside.get_or_insert_default()
    }

    /// Takes the error that ended the connection, if the user has not been told.
    pub(super) fn take_error(&mut self) -> Option<Error> {
        self.aside.as_mut()?.error.take()
    }

    /// Takes what a router said, if the segment that it spoke of is still on its way on `connection`: else it came through,
    /// and what was said is over.
    pub(super) fn take_soft_error(&mut self, connection: Option<&Connection>) -> Option<Error> {
        let (error, seq) = self.aside.as_mut()?.soft_error.take()?;
        connection.is_some_and(|connection| connection.is_in_flight(seq)).then_some(error)
    }

    /// Takes what was written early, and how many bytes of it there are up to the last urgent one.
    pub(super) fn take_early(&mut self) -> (SliceQueue, Option<usize>) {
        let take = |aside: &mut Box<Aside>| (core::mem::take(&mut aside.early), aside.urgent.take());
        self.aside.as_mut().map_or_else(|| (SliceQueue::new(), None), take)
    }

    /// Keeps what was received and not read.
    pub(super) fn keep_rest(&mut self, rest: SliceQueue) {
        if !rest.is_empty() {
            self.set_aside().rest = rest;
        }
    }

    /// Bytes of memory that what is set aside keeps from being freed.
    pub(super) fn pinned(&self) -> usize {
        self.aside.as_ref().map_or(0, |aside| aside.early.pinned() + aside.rest.pinned())
    }
}

/// Parts of the index.
const PARTS: usize = 256;

/// The part that a hash belongs to, by bits that a part makes no use of.
fn part(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

/// The slots and the index over them.
#[derive(Debug)]
pub(super) struct Table {
    places: Segmented<Place>,
    free: Vec<u32>,
    /// By the tuples' hashes, in parts, so that a part that grows is soon done: it has to look at all its members.
    parts: Box<[HashTable<u32>]>,
    key: Key,
    len: usize,
}

impl Table {
    pub(super) fn new(key: Key) -> Self {
        let parts = (0..PARTS).map(|_| HashTable::new()).collect();
        Table { places: Segmented::new(), free: Vec::new(), parts, key, len: 0 }
    }

    /// Slots in use.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn hash(&self, tuple: &FourTuple) -> u64 {
        self.key.hash_one(tuple)
    }

    /// The connection named `tuple`.
    pub(super) fn find(&self, tuple: &FourTuple) -> Option<u32> {
        let same = |&i: &u32| self.get(i).is_some_and(|slot| slot.tuple == *tuple);
        let hash = self.hash(tuple);
        self.parts[part(hash)].find(hash, same).copied()
    }

    /// Adds a connection.
    pub(super) fn insert(
        &mut self,
        tuple: FourTuple,
        connection: Connection,
        holder: Holder,
        socket: SocketSide,
    ) -> u32 {
        debug_assert!(self.find(&tuple).is_none(), "there is one connection of a name");
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        self.places[index].slot = Some(Slot {
            tuple,
            connection: Some(connection),
            holder,
            socket: Some(socket),
            was_ready: Readiness::NONE,
            charged: 0,
            counted_orphan: false,
        });
        self.len += 1;
        let hash = self.hash(&tuple);
        let (places, key) = (&self.places, self.key);
        self.parts[part(hash)]
            .insert_unique(hash, index, |&i| places[i].slot.as_ref().map_or(0, |slot: &Slot| key.hash_one(slot.tuple)));
        index
    }

    /// Takes a connection out of the index: its name is free, its slot is not.
    pub(super) fn unname(&mut self, index: u32) {
        let Some(slot) = self.get(index) else { return };
        let hash = self.hash(&slot.tuple);
        if let Ok(entry) = self.parts[part(hash)].find_entry(hash, |&i| i == index) {
            entry.remove();
        }
    }

    /// Frees a slot whose connection is unnamed.
    pub(super) fn remove(&mut self, index: u32) {
        let place = &mut self.places[index];
        if place.slot.take().is_some() {
            place.generation = place.generation.wrapping_add(1);
            self.free.push(index);
            self.len -= 1;
        }
    }

    /// Notes that `index` stands in `queue`, and says whether it did not before.
    pub(super) fn enter(&mut self, index: u32, queue: Queue) -> bool {
        !core::mem::replace(&mut self.places[index].queued[queue as usize], true)
    }

    /// Notes that `index` has left `queue`.
    pub(super) fn leave(&mut self, index: u32, queue: Queue) {
        self.places[index].queued[queue as usize] = false;
    }

    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        self.places.get(index)?.slot.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.places.get_mut(index)?.slot.as_mut()
    }

    /// The handle of a slot in use.
    pub(super) fn id(&self, index: u32) -> TcpId {
        TcpId { index, generation: self.places[index].generation }
    }

    /// The slot that an application's handle names.
    ///
    /// # Errors
    /// `BadHandle` if it is closed.
    pub(super) fn check(&self, id: TcpId) -> Result<&Slot> {
        self.current(id).filter(|slot| slot.holder == Holder::App).ok_or(Error::BadHandle)
    }

    /// As [`check`](Table::check).
    pub(super) fn check_mut(&mut self, id: TcpId) -> Result<&mut Slot> {
        self.check(id)?;
        self.get_mut(id.index).ok_or(Error::BadHandle)
    }

    /// The slot, if it still is what it was when `id` was made, whoever holds it.
    pub(super) fn current(&self, id: TcpId) -> Option<&Slot> {
        self.places.get(id.index).filter(|place| place.generation == id.generation)?.slot.as_ref()
    }

    /// The numbers of all slots in use.
    pub(super) fn indices(&self) -> Vec<u32> {
        (0..self.places.len() as u32).filter(|&i| self.get(i).is_some()).collect()
    }
}
