//! The memory budget: what is held of it, and how much that leaves.
//!
//! Two things are counted: what connections and UDP sockets are charged with, by the memory that their buffers pin, and
//! the chunks taken from the pool, wherever they are. The second is nearly always less; it is more where an application
//! keeps chunks that it has received.

use crate::buf::{CHUNK_CAPACITY, Pool};
use crate::tcp::config::Memory;

/// Free chunks that a pool keeps for reuse, and so many in use that are nobody's charge: frames just received, frames on
/// their way to the device, and what applications copy.
const POOLED_CHUNKS: usize = 128;

/// Bytes that the budget may be passed by, for everybody's shares: 8,192 of them. The second half is for those only who
/// receive, so that connections that never get rid of what they send cannot keep others from hearing anything.
const RESERVE: usize = 32 * 1024 * 1024;

/// The budget.
#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes charged for all connections.
    pub(super) connections: usize,
    limit: usize,
    pool: Pool,
    level: Memory,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let pool = Pool::with_limit(POOLED_CHUNKS, limit / CHUNK_CAPACITY + POOLED_CHUNKS);
        Budget { connections: 0, limit, pool, level: Memory::Ample }
    }

    /// The pool that belongs to it.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How much is left.
    pub(super) fn level(&self) -> Memory {
        self.level
    }

    /// Bytes that may be taken to be sent.
    pub(super) fn room_to_send(&self, udp: usize) -> usize {
        (self.limit + RESERVE / 2).saturating_sub(self.connections + udp)
    }

    /// Bytes in chunks beyond those that nobody is charged with.
    fn chunks(&self) -> usize {
        self.pool.taken().saturating_sub(POOLED_CHUNKS) * CHUNK_CAPACITY
    }

    /// Whether memory is short only because of chunks that somebody holds: nothing will be heard when they are returned.
    pub(super) fn waits_for_chunks(&self, udp: usize) -> bool {
        self.level > Memory::Ample && self.connections + udp <= self.limit / 4 * 3
    }

    /// Looks at what is held, `udp` bytes of it by datagrams. Says whether those who were held back may go on.
    ///
    /// Memory is short above seven eighths and ample again below three quarters; once the sender's half of the reserve is
    /// gone, half of that has to be free before anybody sends again. There is such a distance because many may be waiting.
    pub(super) fn look(&mut self, udp: usize) -> bool {
        let used = (self.connections + udp).max(self.chunks());
        let was = self.level;
        let beyond = used.saturating_sub(self.limit);
        self.level = if beyond >= RESERVE {
            Memory::Exhausted
        } else if beyond >= RESERVE / 2 || was > Memory::Full && beyond >= RESERVE / 4 {
            Memory::Scant
        } else if used >= self.limit {
            Memory::Full
        } else if used > self.limit / 8 * 7 || was > Memory::Ample && used > self.limit / 4 * 3 {
            Memory::Short
        } else {
            Memory::Ample
        };
        self.level < was && (self.level == Memory::Ample || was > Memory::Full && self.level <= Memory::Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_rise_at_once_and_fall_late() {
        const LIMIT: usize = 64 * 1024 * 1024;
        const PART: usize = RESERVE / 8;
        let mut budget = Budget::new(LIMIT);
        let mut level = |used, udp| {
            budget.connections = used;
            (budget.look(udp), budget.level())
        };
        assert_eq!(level(LIMIT / 8 * 7, 0), (false, Memory::Ample));
        assert_eq!(level(LIMIT / 8 * 7 - 10, 11), (false, Memory::Short));
        assert_eq!(level(LIMIT / 4 * 3 + 1, 0), (false, Memory::Short));
        assert_eq!(level(LIMIT / 4 * 3, 0), (true, Memory::Ample));
        assert_eq!(level(LIMIT, 0), (false, Memory::Full));
        assert_eq!(level(LIMIT - 1, 0), (false, Memory::Short), "what was not taken will come again by itself");
        assert_eq!(level(LIMIT + 4 * PART, 0), (false, Memory::Scant));
        assert_eq!(level(LIMIT + 8 * PART, 0), (false, Memory::Exhausted));
        assert_eq!(level(LIMIT + 8 * PART - 1, 0), (false, Memory::Scant));
        assert_eq!(level(LIMIT + 2 * PART, 0), (false, Memory::Scant));
        assert_eq!(level(LIMIT + 2 * PART - 1, 0), (true, Memory::Full), "who had to wait may send");
        assert_eq!(level(0, 0), (true, Memory::Ample));
    }

    #[test]
    fn chunks_that_an_application_keeps_count() {
        let mut budget = Budget::new(10 * CHUNK_CAPACITY);
        let kept: Vec<_> = (0..POOLED_CHUNKS + 10).map(|_| budget.pool().try_take().unwrap()).collect();
        assert!(budget.pool().try_take().is_none());
        assert_eq!((budget.look(0), budget.level(), budget.waits_for_chunks(0)), (false, Memory::Full, true));
        drop(kept);
        assert_eq!((budget.look(0), budget.level()), (true, Memory::Ample));
    }
}
