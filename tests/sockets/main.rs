//! The sockets between two hosts on a link in memory: what applications see.

pub mod common;
mod datagrams;
mod hosts;
mod poller;
mod streams;
