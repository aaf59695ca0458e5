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
    generation: u32,
    /// None once it is closed.
    pub(super) connection: Option<Connection>,
    pub(super) holder: Holder,
    /// The socket's side; given up in TIME-WAIT without an application, so that only the record stays.
    pub(super) socket: Option<Box<SocketSide>>,
    /// Whether it stands in the egress queue.
    pub(super) in_egress: bool,
    /// Whether it stands in the queue of sockets that became ready.
    pub(super) in_ready: bool,
    /// What it was ready for when last looked at.
    pub(super) was_ready: Readiness,
    /// Memory charged to the budget for it.
    pub(super) charged: usize,
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
            read_shutdown: false,
            error: None,
            soft_error: None,
        })
    }
}

/// The slots and the index over them.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Option<Slot>>,
    generations: Vec<u32>,
    free: Vec<u32>,
    index: HashTable<u32>,
    key: Key,
    len: usize,
}

impl Table {
    pub(super) fn new(key: Key) -> Self {
        Table { slots: Vec::new(), generations: Vec::new(), free: Vec::new(), index: HashTable::new(), key, len: 0 }
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
            self.slots.push(None);
            self.generations.push(0);
            self.slots.len() as u32 - 1
        });
        let generation = self.generations[index as usize];
        self.slots[index as usize] = Some(Slot {
            tuple,
            generation,
            connection: Some(connection),
            holder,
            socket: Some(socket),
            in_egress: false,
            in_ready: false,
            was_ready: Readiness::NONE,
            charged: 0,
        });
        self.len += 1;
        let hash = self.hash(&tuple);
        let (slots, key) = (&self.slots, self.key);
        self.index.insert_unique(hash, index, |&i| {
            slots[i as usize].as_ref().map_or(0, |slot: &Slot| key.hash_one(slot.tuple))
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
        if self.slots[index as usize].take().is_some() {
            let generation = &mut self.generations[index as usize];
            *generation = generation.wrapping_add(1);
            self.free.push(index);
            self.len -= 1;
        }
    }

    pub(super) fn get(&self, index: u32) -> Option<&Slot> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// The handle of a slot in use.
    pub(super) fn id(&self, index: u32) -> TcpId {
        TcpId { index, generation: self.generations[index as usize] }
    }

    /// The slot that an application's handle names.
    ///
    /// # Errors
    /// `BadHandle` if it is closed.
    pub(super) fn check(&self, id: TcpId) -> Result<&Slot> {
        self.get(id.index)
            .filter(|slot| slot.generation == id.generation && slot.holder == Holder::App)
            .ok_or(Error::BadHandle)
    }

    /// As [`check`](Table::check).
    pub(super) fn check_mut(&mut self, id: TcpId) -> Result<&mut Slot> {
        self.check(id)?;
        self.get_mut(id.index).ok_or(Error::BadHandle)
    }

    /// Whether the slot still is what it was when `id` was made, whoever holds it.
    pub(super) fn is_current(&self, id: TcpId) -> bool {
        self.get(id.index).is_some_and(|slot| slot.generation == id.generation)
    }

    /// The numbers of all slots in use.
    pub(super) fn indices(&self) -> Vec<u32> {
        (0..self.slots.len() as u32).filter(|&i| self.slots[i as usize].is_some()).collect()
    }
}
