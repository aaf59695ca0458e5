//! What makes a [`Stack`](crate::stack::Stack) run: a lock, a device, a clock, and a thread that cares for them.
//!
//! A *shard* is one stack behind one lock with one device. Its *caretaker* thread reads the device, runs the timers and
//! sleeps; a thread that sends transmits by itself. Nobody polls by the clock: the caretaker sleeps until the next
//! deadline, and each blocked thread waits on the list of its own socket.
//!
//! | file | what |
//! |---|---|
//! | `shard` | the lock, what is done under it, and the end |
//! | `caretaker` | the thread |
//! | `transmit` | the order of outgoing frames, and who writes them |
//! | `wait` | who waits for what |
//! | `alarm` | when the caretaker wakes |
//! | `clock` | the time |
//! | `tap`, `packet_log` | those who are shown every packet |
//!
//! Locks are taken in this order: the stack's, then the transmit queue's, then a device's own. None is held over a
//! system call but the device's own.

mod alarm;
mod block;
mod caretaker;
pub mod clock;
mod driver;
mod mailbox;
mod names;
#[cfg(feature = "cli")]
mod packet_log;
mod parker;
mod pollers;
mod polling;
mod role;
mod several;
mod shard;
mod siblings;
mod sync;
mod tap;
#[cfg(test)]
mod tests;
mod transmit;
mod wait;

pub(crate) use names::Book;
#[cfg(feature = "cli")]
pub use packet_log::{PACKET_TARGET, PacketLog};
pub use pollers::Trigger;
pub(crate) use pollers::{PollerId, Turn, Watch};
pub(crate) use polling::wait_for_events;
pub(crate) use several::wait_any;
pub use shard::Drive;
pub(crate) use shard::{Core, Ending, Patience, Shard};
pub use tap::Tap;
pub(crate) use tap::shared;
