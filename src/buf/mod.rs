//! Buffers: one type of memory for frames and for stream data.
//!
//! A [`Chunk`] is a writable buffer with one owner. Frozen, it becomes a [`Slice`]: a cheap, refcounted view that can
//! be cut and shared but not written. A [`SliceQueue`] is a byte stream made of slices. Full-size chunks come from a
//! [`Pool`] and return to it by themselves when the last slice is dropped.
//!
//! Small payloads are copied into a packed tail chunk (*copybreak*), so that the memory pinned by a queue is at most
//! about twice its payload; see `docs/decisions/0002-chunks.md`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod chunk;
mod pool;
mod queue;

pub use chunk::{CHUNK_CAPACITY, Chunk, Slice};
pub use pool::Pool;
pub use queue::{SliceQueue, Slices};
