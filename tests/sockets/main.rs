//! The sockets between two hosts on a link in memory: what applications see.

pub(crate) mod common;
mod datagrams;
pub(crate) mod fabric;
mod families;
mod gates;
mod groups;
mod hosts;
mod interfaces;
mod options;
mod outside;
mod poller;
mod raw;
mod soak;
mod streams;
