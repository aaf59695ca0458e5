//! tunstack: a TCP/IP stack in user space.
#![deny(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

#[cfg(feature = "cli")]
pub mod apps;
pub mod buf;
pub mod device;
pub mod error;
pub mod net;
pub mod rng;
pub mod stack;
pub mod stats;
pub mod tcp;
pub mod time;
pub mod trace;
pub mod wire;
