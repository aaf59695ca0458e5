//! A bad link on purpose: loss, duplication, reordering, corruption, delay, jitter, a slow bottleneck and outages.
//!
//! [`Impairment`] says how bad, in a text such as `loss=5%,delay=20ms`. [`Impairer`] is one direction of such a link in
//! virtual time: packets go in, and come out later, changed, twice, or never. [`Impaired`] puts two of them around a
//! [`Device`](super::Device).

mod device;
mod engine;
mod spec;

pub use device::Impaired;
pub use engine::{Faults, Impairer};
pub use spec::{Impairment, SpecError};
