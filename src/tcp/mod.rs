//! TCP (RFC 9293 and its companions): a connection's life, from the first SYN to the end of TIME-WAIT.
//!
//! | to find | look in |
//! |---|---|
//! | the eleven states and every transition | [`state`] |
//! | what a connection is, its inputs, outputs and commands | [`connection`] |
//! | LISTEN, the SYN queue, SYN cookies | [`listener`], [`syncookie`] |
//! | SYNs that wait for a verdict | [`gate`] |
//! | SYN-SENT and SYN-RECEIVED | [`handshake`] |
//! | a segment arrives: the steps of RFC 9293 3.10.7.4 | `input`, and its short cut `fastpath` |
//! | what to send now | `output` |
//! | SND.UNA, SND.NXT, SND.WND and the data to be sent | [`send`], [`send_buffer`] |
//! | RCV.NXT, RCV.WND, reassembly, when to acknowledge | [`recv`], [`recv_buffer`], [`assembler`] |
//! | how large the two buffers are | [`autotune`] |
//! | round-trip time and the retransmission timer | [`rtt`], [`rto`], `timers` |
//! | what was sent, when, and what became of it | [`scoreboard`], [`sack`] |
//! | what was lost, and what is sent again | [`recovery`], [`rack`], [`tlp`], `repair` |
//! | how fast it is repaired, and whether that was for nothing | [`prr`], [`frto`], [`undo`] |
//! | what an ACK told, from the one to the other | [`sample`] |
//! | how much may fly, and how fast | [`outflow`], [`cc`], [`pacing`] |
//! | how fast data is delivered | [`rate`] |
//! | marks instead of losses | `ecn` |
//! | what the path carries | [`mtu`] |
//! | TIME-WAIT | [`timewait`] |
//! | initial sequence numbers | [`isn`] |
//! | keepalive | [`keepalive`] |
//! | settings, and what the SYNs agreed on | [`options`], [`config`] |
//! | numbers to look at | [`info`] |
//!
//! Nothing here knows an IP header, a socket's handle or a clock. RFCs: 9293 (TCP), 7323 (window scale, time stamps,
//! PAWS), 2018 and 2883 (SACK), 8985 (RACK-TLP), 6675, 5681, 6582, 3042 (loss recovery), 6937 (PRR), 5682, 3522, 4015
//! (spurious recoveries), 6298 (RTO), 6928 (initial window), 9438, 9406 and 3465 (congestion control), 2861 and 7661 (windows
//! that are not used), 3168 (ECN), 5961
//! (blind attacks), 1191 and 8201 (path MTU), 4821 (searching it), 6528 (ISN), 4987 (SYN cookies), 1337 (TIME-WAIT), 6093 (urgent data), 5927 (ICMP).
//!
//! Words: *flight* is what was sent and not acknowledged; *pipe* is what of it is believed to be in the network; *edge* is
//! the first number beyond a window; *text* is a segment's data, as RFC 9293 says.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod assembler;
pub mod autotune;
pub mod cc;
pub mod config;
pub mod connection;
mod ecn;
mod fastpath;
pub mod frto;
pub mod gate;
pub mod handshake;
pub mod info;
mod input;
pub mod isn;
pub mod keepalive;
pub mod listener;
pub mod mtu;
pub mod options;
pub mod outflow;
mod output;
pub mod pacing;
pub mod prr;
pub mod rack;
pub mod rate;
pub mod records;
pub mod recovery;
pub mod recv;
pub mod recv_buffer;
mod repair;
pub mod rto;
pub mod rtt;
pub mod sack;
pub mod sample;
pub mod scoreboard;
pub mod segment;
pub mod send;
pub mod send_buffer;
pub mod seq;
pub mod state;
pub mod syncookie;
mod timers;
pub mod timewait;
pub mod tlp;
pub mod tuple;
pub mod undo;

pub use cc::Congestion;
pub use config::TcpConfig;
pub use ecn::Ecn;
pub use info::TcpInfo;
pub use mtu::MtuProbing;
pub use options::{Keepalive, LossDetection, LossRecovery, MtuDiscovery, TcpOptions};
