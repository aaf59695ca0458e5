//! What makes a [`Stack`](crate::stack::Stack) run: a lock, a device, a clock, and a thread that cares for them.
//!
//! A *shard* is one stack behind one lock with one device. One thread at a time *drives* it: reads the device, runs the
//! timers and sleeps on both. It is a thread that is blocked in a call of its own, or the *caretaker*, while none is. A
//! thread that sends transmits by itself. Nobody polls by the clock, but the caretaker while the role changes hands; each
//! blocked thread that does not drive waits on the list of its own socket.
//!
//! | file | what |
//! |---|---|
//! | `shard` | the lock, what is done under it, and the end |
//! | `role` | who drives |
//! | `driver` | what the one who drives does |
//! | `block` | calls that wait, and drive |
//! | `caretaker` | the thread that covers the gaps |
//! | `steps` | the caretaker's work for a task, which must not block |
//! | `batch` | what a thread sends in a row goes out together |
//! | `transmit` | the order of outgoing frames, and who writes them |
//! | `wait` | who waits for what |
//! | `pollers`, `polling` | many sockets for one thread |
//! | `outside` | descriptors for those who wait elsewhere |
//! | `parker` | where a thread sleeps |
//! | `alarm` | when the driver wakes |
//! | `spin` | looking once more before sleeping |
//! | `clock` | the time |
//! | `sync` | what all this is built on; `model` puts other things there, and tries it |
//! | `tap`, `packet_log` | those who are shown every packet |
//!
//! Locks are taken in this order: the stack's, then the transmit queue's, then a device's own. None is held over a
//! system call but the device's own.

mod alarm;
mod batch;
mod block;
mod caretaker;
pub mod clock;
mod driver;
mod mailbox;
#[cfg(test)]
#[expect(
    clippy::duplicate_mod,
    dead_code,
    unreachable_pub,
    reason = "the model has a copy of the files that it is about, and not all users of them"
)]
mod model;
mod names;
mod outside;
#[cfg(feature = "cli")]
mod packet_log;
mod parker;
mod pollers;
mod polling;
mod role;
mod several;
mod shard;
mod siblings;
mod spin;
#[cfg(feature = "tokio")]
mod steps;
mod sync;
mod tap;
#[cfg(test)]
mod tests;
mod transmit;
mod wait;

pub use batch::Batch;
pub(crate) use batch::press;
#[cfg(feature = "tokio")]
pub(crate) use driver::pause_after;
pub(crate) use names::Book;
pub(crate) use outside::{Direction, Outsider, Signal};
#[cfg(feature = "cli")]
pub use packet_log::{PACKET_TARGET, PacketLog};
pub use pollers::Trigger;
pub(crate) use pollers::{PollerId, Turn, Watch};
pub(crate) use polling::wait_for_events;
pub(crate) use several::wait_any;
pub use shard::Drive;
pub(crate) use shard::{Core, Ending, Patience, Shard};
pub use spin::Spin;
#[cfg(feature = "tokio")]
pub(crate) use steps::{Step, Steps};
pub use tap::Tap;
pub(crate) use tap::shared;
pub(crate) use wait::Seat;
