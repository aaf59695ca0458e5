//! A bad link on purpose: loss, duplication, reordering, corruption, delay, jitter, a slow bottleneck with a queue, a small
//! MTU and outages.
//!
//! [`Impairment`] says how bad, in a text such as `loss=5%,delay=20ms`. [`Impairer`] is one direction of such a link in
//! virtual time: packets go in, and come out later, changed, twice, or never. [`Impaired`] puts two of them around a
//! [`Device`](super::Device).

mod codel;
mod device;
mod engine;
mod loss;
mod spec;

pub use device::Impaired;
pub use engine::{Fate, Faults, Impairer};
pub use loss::Burst;
pub use spec::{CODEL_INTERVAL, Impairment, SpecError};
#[cfg(feature = "cli")]
pub(crate) use spec::{bytes, duration};
