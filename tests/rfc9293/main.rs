//! TCP against its RFCs, in virtual time: one module for each part of RFC 9293, then one for each other RFC, and the
//! attacks. Every test names at its head the requirements it checks; `docs/conformance.md` is made from those names.

#[path = "../support/mod.rs"]
pub(crate) mod support;

mod autotune;
mod close;
mod congestion;
mod cubic;
mod events;
mod figures;
mod gate;
mod handshake;
mod header;
mod hostile;
mod icmp;
mod interface;
mod ip;
mod isn;
mod keepalive;
mod offload;
mod options;
mod pacing;
mod pmtu;
mod rfc2018;
mod rfc2883;
mod rfc3168;
mod rfc5682;
mod rfc5961;
mod rfc6191;
mod rfc6582;
mod rfc6675;
mod rfc6937;
mod rfc7323;
mod rfc8985;
mod rto;
mod segmentation;
mod urgent;
mod window;
