//! The pool of full-size chunks: last in, first out, so that warm memory is used again, and bounded.
#![expect(
    clippy::disallowed_types,
    reason = "application threads take and return chunks outside the stack's lock, so the pool has its own"
)]

use super::chunk::{Buffer, CHUNK_CAPACITY, Chunk};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) struct PoolInner {
    free: Mutex<Vec<Vec<u8>>>,
    keep: usize,
}

impl PoolInner {
    pub(super) fn give_back(&self, bytes: Vec<u8>) {
        if bytes.len() != CHUNK_CAPACITY {
            return;
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.keep {
            free.push(bytes);
        }
    }
}

/// A bounded store of free full-size chunks. Clones share it. Its small lock is the only one in the core: application
/// threads take and return chunks outside the stack's lock.
#[derive(Clone)]
pub struct Pool(Arc<PoolInner>);

impl Pool {
    /// A pool that keeps at most `keep` free chunks for reuse.
    pub fn new(keep: usize) -> Self {
        Pool(Arc::new(PoolInner { free: Mutex::new(Vec::new()), keep }))
    }

    /// A full-size chunk, reused if one is free. Its memory is zeroed once, when made.
    pub fn take(&self) -> Chunk {
        let reused = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = reused.unwrap_or_else(|| vec![0; CHUNK_CAPACITY]);
        Chunk::from_buffer(Buffer { bytes, home: Arc::downgrade(&self.0) })
    }

    /// How many chunks lie free.
    pub fn free(&self) -> usize {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Pool({} free of {})", self.free(), self.0.keep)
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
        assert_eq!(pool.free(), 0);
        drop(view);
        assert_eq!(pool.free(), 1);
        drop(b);
        assert_eq!(pool.free(), 1, "the pool is bounded");
    }
}
