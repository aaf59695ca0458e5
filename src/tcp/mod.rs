//! TCP (RFC 9293 and its companions). Skeleton.
pub mod segment;
pub mod seq;
pub mod state;
