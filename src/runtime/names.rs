//! The book of names that the shards of a host share: which of them has which connection.
//!
//! It is written when a connection begins and when it ends, and read for a segment that its shard's own table does not
//! know. Segments of a connection that come where they should never meet it.

use super::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::stack::{FourTuple, Names};
use crate::time::Instant;
use core::fmt;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError};

/// Locks over parts of the book, so that shards seldom wait for each other.
const PARTS: usize = 64;

/// A share in the book. It costs some 60 bytes for each connection.
#[derive(Clone)]
pub(crate) struct Book(Arc<Inner>);

struct Inner {
    parts: [Mutex<HashMap<FourTuple, u16>>; PARTS],
    /// Nanoseconds.
    cookies_until: AtomicU64,
}

impl Book {
    /// An empty book.
    pub(crate) fn new() -> Book {
        let parts = std::array::from_fn(|_| Mutex::new(HashMap::new()));
        Book(Arc::new(Inner { parts, cookies_until: AtomicU64::new(0) }))
    }

    fn part(&self, tuple: &FourTuple) -> MutexGuard<'_, HashMap<FourTuple, u16>> {
        let part = &self.0.parts[usize::from(tuple.local_port ^ tuple.remote_port) % PARTS];
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names for Book {
    fn claim(&self, tuple: &FourTuple, shard: u16) -> Result<(), u16> {
        match self.part(tuple).entry(*tuple) {
            Entry::Occupied(taken) => Err(*taken.get()),
            Entry::Vacant(free) => {
                free.insert(shard);
                Ok(())
            }
        }
    }

    fn owner(&self, tuple: &FourTuple) -> Option<u16> {
        self.part(tuple).get(tuple).copied()
    }

    fn release(&self, tuple: &FourTuple, shard: u16) {
        if let Entry::Occupied(taken) = self.part(tuple).entry(*tuple)
            && *taken.get() == shard
        {
            taken.remove();
        }
    }

    fn sent_cookie(&self, until: Instant) {
        self.0.cookies_until.fetch_max(until.as_nanos(), Ordering::Relaxed);
    }

    fn cookies_until(&self) -> Instant {
        Instant::from_nanos(self.0.cookies_until.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Book(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_claim_a_name_has_it_until_it_lets_go() {
        let book = Book::new();
        let tuple = |port| FourTuple::new("192.0.2.2:80".parse().unwrap(), ([192, 0, 2, 1], port).into());
        assert_eq!(book.claim(&tuple(1), 3), Ok(()));
        assert_eq!(book.claim(&tuple(1), 4), Err(3));
        assert_eq!(book.clone().owner(&tuple(1)), Some(3));
        assert_eq!(book.owner(&tuple(65)), None, "a neighbour in the same part");
        book.release(&tuple(1), 4);
        assert_eq!(book.owner(&tuple(1)), Some(3), "only its shard gives it up");
        book.release(&tuple(1), 3);
        assert_eq!(book.claim(&tuple(1), 4), Ok(()));
    }

    #[test]
    fn the_latest_cookie_counts() {
        let book = Book::new();
        book.sent_cookie(Instant::from_millis(7));
        book.sent_cookie(Instant::from_millis(5));
        assert_eq!(book.cookies_until(), Instant::from_millis(7));
    }
}
