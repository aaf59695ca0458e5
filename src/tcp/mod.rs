//! TCP (RFC 9293 and its companions). Skeleton.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod segment;
pub mod seq;
pub mod state;
