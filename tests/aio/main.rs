//! The sockets for tokio, on runtimes of one thread and of several, driven by tasks and by threads.

mod common;
mod datagrams;
mod driver;
mod streams;
