//! The table of TCP connections: numbered slots, found by four-tuple through a keyed hash in constant time.

use crate::buf::SliceQueue;
use crate::error::{Error, Result};
use crate::rng::Key;
use crate::tcp::TcpOptions;
use crate::tcp::connection::Connection;
use crate::tcp::tuple::FourTuple;
use core::hash::BuildHasher;
use hashbrown::HashTable;

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
    pub(super) socket: Option<Box<SocketSide>>,
    /// What its holder knows it to be ready for.
    pub(super) was_ready: Readiness,
    /// Memory charged to the budget for it.
    pub(super) charged: usize,
    /// Whether it is counted among the orphans.
    pub(super) counted_orphan: bool,
}

impl Slot {
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
    /// Whether the number stands in the egress queue, and in that of what became ready: once at most, so that the queues
    /// are no longer than the table, whoever comes and goes.
    queued: [bool; 2],
}

/// The queues of numbers that a connection stands in once at most.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queue {
    /// What may have something to send.
    Egress,
    /// What may have become ready.
    Ready,
}

/// What a socket keeps beside its connection, and after it.
#[derive(Debug)]
pub(super) struct SocketSide {
    pub(super) options: TcpOptions,
    /// Written before the handshake ended.
    pub(super) early: SliceQueue,
    /// Received and not read when the connection ended.
    pub(super) rest: SliceQueue,
    /// Whether the connection was ever established.
    pub(super) established: bool,
    /// The sending side was shut down before the handshake ended.
    pub(super) close_wanted: bool,
    /// The peer's FIN had been received when the connection ended: reading ends well, whatever became of it afterwards.
    pub(super) fin_received: bool,
    /// The user reads no more.
    pub(super) read_shutdown: bool,
    /// What ended the connection, until told.
    pub(super) error: Option<Error>,
    /// What a router said about it (RFC 9293 MUST-47), until asked.
    pub(super) soft_error: Option<Error>,
}

impl SocketSide {
    pub(super) fn new(options: TcpOptions) -> Box<Self> {
        Box::new(SocketSide {
            options,
            early: SliceQueue::new(),
            rest: SliceQueue::new(),
            established: false,
            close_wanted: false,
            fin_received: false,
            read_shutdown: false,
            error: None,
            soft_error: None,
        })
    }
}

/// The slots and the index over them.
#[derive(Debug)]
pub(super) struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
    index: HashTable<u32>,
    key: Key,
    len: usize,
}

impl Table {
    pub(super) fn new(key: Key) -> Self {
        Table { places: Vec::new(), free: Vec::new(), index: HashTable::new(), key, len: 0 }
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
        self.index.find(self.hash(tuple), same).copied()
    }

    /// Adds a connection.
    pub(super) fn insert(
        &mut self,
        tuple: FourTuple,
        connection: Connection,
        holder: Holder,
        socket: Box<SocketSide>,
    ) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        self.places[index as usize].slot = Some(Slot {
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
        self.index.insert_unique(hash, index, |&i| {
            places[i as usize].slot.as_ref().map_or(0, |slot: &Slot| key.hash_one(slot.tuple))
        });
        index
    }

    /// Takes a connection out of the index: its name is free, its slot is not.
    pub(super) fn unname(&mut self, index: u32) {
        let Some(slot) = self.get(index) else { return };
        let hash = self.hash(&slot.tuple);
        if let Ok(entry) = self.index.find_entry(hash, |&i| i == index) {
            entry.remove();
        }
    }

    /// Frees a slot whose connection is unnamed.
    pub(super) fn remove(&mut self, index: u32) {
        let place = &mut self.places[index as usize];
        if place.slot.take().is_some() {
            place.generation = place.generation.wrapping_add(1);
            self.free.push(index);
            self.len -= 1;
        }
    }

    /// Notes that `index` stands in `queue`, and says whether it did not before.
    pub(super) fn enter(&mut self, index: u32, queue: Queue) -> bool {
        !core::mem::replace(&mut self.places[index as usize].queued[queue as usize], true)
    }

    /// Notes that `index` has left `queue`.
    pub(super) fn leave(&mut self, index: u32, queue: Queue) {
        self.places[index as usize].queued[queue as usize] = false;
    }

    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        self.places.get(index as usize)?.slot.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.places.get_mut(index as usize)?.slot.as_mut()
    }

    /// The handle of a slot in use.
    pub(super) fn id(&self, index: u32) -> TcpId {
        TcpId { index, generation: self.places[index as usize].generation }
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
        self.places.get(id.index as usize).filter(|place| place.generation == id.generation)?.slot.as_ref()
    }

    /// The numbers of all slots in use.
    pub(super) fn indices(&self) -> Vec<u32> {
        (0..self.places.len() as u32).filter(|&i| self.get(i).is_some()).collect()
    }
}
