//! The tests of `sockets` once more, on hosts whose own thread always drives. (They look at this crate's name.)

#[path = "sockets/main.rs"]
mod sockets;
