//! Batches: what a thread sends while it serves many sockets in a row goes out together, a bounded part at a time.
//!
//! Each call on a socket then only changes the stack, which is asked once for all of them what there is to send and whom
//! to wake; and the peer, which finds several answers at once, need not be woken for each.

use super::shard::Shard;
use core::cell::Cell;
use core::marker::PhantomData;
use std::sync::Arc;

/// Calls after which what they led to is sent, whether the batch is over or not.
const CALLS: u32 = 16;

super::sync::thread_local! {
    /// Calls that this thread may still make before it sends; `None` outside a batch.
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// While it lives, what its thread sends without waiting, and the waking of others for what it does, may be held back: for 16 calls at most, and no longer than until
/// the thread waits for anything or has more than 4 KiB copied at once. What other threads send is not held back.
///
/// It belongs to the thread that made it: [`Host::batch`](crate::net::Host::batch).
#[must_use = "a batch ends when this is dropped"]
pub struct Batch<'a> {
    shards: &'a [Arc<Shard>],
    /// What it changes is the thread's own.
    _not_send: PhantomData<*const ()>,
}

impl<'a> Batch<'a> {
    pub(crate) fn begin(shards: &'a [Arc<Shard>]) -> Batch<'a> {
        set(Some(CALLS));
        Batch { shards, _not_send: PhantomData }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        set(None);
        for shard in self.shards {
            shard.act_finally(|_, _| {});
        }
    }
}

impl core::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Batch")
    }
}

fn get() -> Option<u32> {
    LEFT.with(Cell::get)
}

fn set(left: Option<u32>) {
    LEFT.with(|cell| cell.set(left));
}

/// Whether this thread is within a batch.
pub(super) fn is_open() -> bool {
    get().is_some()
}

/// Whether the batch is due: the next call sends what was left so far.
pub(super) fn is_due() -> bool {
    get() == Some(0)
}

/// Whether what a call has led to is left for later.
pub(super) fn defers() -> bool {
    match get() {
        None => false,
        Some(0) => {
            set(Some(CALLS));
            false
        }
        Some(left) => {
            set(Some(left - 1));
            true
        }
    }
}

/// This call's output, and what was left so far, goes out at once.
pub(crate) fn press() {
    if get().is_some() {
        set(Some(0));
    }
}
