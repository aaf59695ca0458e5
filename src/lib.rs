//! tunstack: a TCP/IP stack in user space.
#![deny(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

#[cfg(feature = "cli")]
pub mod apps;
pub mod buf;
#[cfg(feature = "cli")]
pub mod daemon;
pub mod device;
pub mod error;
pub mod icmp;
pub mod ip;
pub mod net;
pub mod rng;
pub mod runtime;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stack;
pub mod stats;
#[expect(unsafe_code, reason = "the one room that may: see its page")]
pub mod sys;
pub mod tcp;
pub mod time;
pub mod trace;
pub mod udp;
pub mod wire;
