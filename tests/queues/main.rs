//! Hosts on links of several queues: first all tests of `sockets` once more, which must not see a difference (they look
//! at this crate's name), then what is different.

#[path = "../sockets/main.rs"]
mod sockets;

mod misdirected;
mod waiting;
