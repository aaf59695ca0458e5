//! The pool of full-size chunks: last in, first out, so that warm memory is used again, and bounded.
#![expect(
    clippy::disallowed_types,
    reason = "application threads take and return chunks outside the stack's lock, so the pool has its own"
)]

use super::chunk::{Buffer, CHUNK_CAPACITY, Chunk};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) struct PoolInner {
    free: Mutex<Vec<Vec<u8>>>,
    taken: AtomicUsize,
    keep: usize,
    limit: usize,
}

impl PoolInner {
    pub(super) fn give_back(&self, bytes: Vec<u8>) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.keep {
            free.push(bytes);
        }
    }
}

/// A bounded store of full-size chunks. Clones share it. Its small lock is the only one in the core: application
/// threads take and return chunks outside the stack's lock.
#[derive(Clone)]
pub struct Pool(Arc<PoolInner>);

impl Pool {
    /// A pool that keeps at most `keep` free chunks for reuse, and gives out as many as are asked for.
    pub fn new(keep: usize) -> Self {
        Pool::with_limit(keep, usize::MAX)
    }

    /// A pool that keeps at most `keep` free chunks for reuse and has `limit` to give to those who
    /// [ask](Pool::try_take).
    pub fn with_limit(keep: usize, limit: usize) -> Self {
        Pool(Arc::new(PoolInner { free: Mutex::new(Vec::new()), taken: AtomicUsize::new(0), keep, limit }))
    }

    /// A full-size chunk, reused if one is free, whatever is taken already. For whoever holds a few at a time and must go
    /// on: nothing would be freed any more if frames were not received.
    pub fn take(&self) -> Chunk {
        let reused = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = reused.unwrap_or_else(|| Vec::with_capacity(CHUNK_CAPACITY));
        self.0.taken.fetch_add(1, Ordering::Relaxed);
        Chunk::from_buffer(Buffer { bytes, home: Arc::downgrade(&self.0) })
    }

    /// As [`take`](Pool::take), but none once the pool's limit is reached.
    pub fn try_take(&self) -> Option<Chunk> {
        // Two who ask at once may both get the last: the bound is for memory, not for a count.
        (self.taken() < self.0.limit).then(|| self.take())
    }

    /// How many chunks are in use, wherever they are.
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    /// How many chunks lie free.
    pub fn free(&self) -> usize {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pool({} taken, {} free)", self.taken(), self.free())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_return_when_the_last_slice_goes() {
        let pool = Pool::new(1);
        let (a, b) = (pool.take().freeze(), pool.take());
        let view = a.clone();
        drop(a);
        assert_eq!((pool.taken(), pool.free()), (2, 0));
        drop(view);
        assert_eq!((pool.taken(), pool.free()), (1, 1));
        drop(b);
        assert_eq!((pool.taken(), pool.free()), (0, 1), "the pool is bounded");
    }

    #[test]
    fn at_its_limit_it_gives_only_to_those_who_must_go_on() {
        let pool = Pool::with_limit(4, 2);
        let held = [pool.try_take(), pool.try_take(), pool.try_take()];
        assert_eq!(held.each_ref().map(Option::is_some), [true, true, false]);
        let must = pool.take();
        assert_eq!(pool.taken(), 3);
        drop((held, must));
        assert!(pool.try_take().is_some());
    }
}
