//! A model of the waiting: the very files of this room, built on [shuttle](https://docs.rs/shuttle)'s locks and threads,
//! with a real stack and a device in memory, and run in many thousand orders of what the threads do.
//!
//! What is shown: whoever waits for something that comes is woken, be it a thread, a task or a poller, whoever drives,
//! leaves or ends meanwhile; and nobody waits for ever. Time stands still (see [`sync`]), so a wake-up that is lost is
//! found as a deadlock. And the model can fail: with one of the faults of [`sync::Fault`] it does.

mod sync;
mod tests;

#[path = "../alarm.rs"]
mod alarm;
#[path = "../batch.rs"]
mod batch;
#[path = "../block.rs"]
mod block;
#[path = "../caretaker.rs"]
mod caretaker;
#[path = "../driver.rs"]
mod driver;
#[path = "../mailbox.rs"]
mod mailbox;
#[path = "../outside.rs"]
mod outside;
#[path = "../parker.rs"]
mod parker;
#[path = "../pollers.rs"]
mod pollers;
#[path = "../polling.rs"]
mod polling;
#[path = "../role.rs"]
mod role;
#[path = "../several.rs"]
mod several;
#[path = "../shard.rs"]
mod shard;
#[path = "../siblings.rs"]
mod siblings;
#[path = "../spin.rs"]
mod spin;
#[cfg(feature = "tokio")]
#[path = "../steps.rs"]
mod steps;
#[path = "../transmit.rs"]
mod transmit;
#[path = "../wait.rs"]
mod wait;

use super::tap;
