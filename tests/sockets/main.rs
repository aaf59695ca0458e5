//! The sockets between two hosts on a link in memory: what applications see.

pub(crate) mod common;
mod datagrams;
mod families;
pub(crate) mod fabric;
mod hosts;
mod poller;
mod streams;
