//! The edge to the kernel: the only room with `unsafe` in it. It knows nothing of the other rooms.
//!
//! Where rustix has a safe call it is used; what is left is made safe here, each block with its reason.

pub mod namespace;
#[cfg(feature = "cli")]
pub mod pktinfo;
#[cfg(feature = "cli")]
pub mod sockopt;
#[cfg(feature = "tokio")]
pub mod tasks;
pub mod tun;
pub mod usage;
pub mod wait;
