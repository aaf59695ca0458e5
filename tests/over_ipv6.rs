//! The tests of `rfc9293` once more, over IPv6: TCP is the same. (The test language looks at this crate's name.) What is
//! IPv4's own, in `rfc9293/ip.rs`, is not among them.

#[path = "rfc9293/autotune.rs"]
mod autotune;
#[path = "rfc9293/close.rs"]
mod close;
#[path = "rfc9293/congestion.rs"]
mod congestion;
#[path = "rfc9293/cubic.rs"]
mod cubic;
#[path = "rfc9293/events.rs"]
mod events;
#[path = "rfc9293/gate.rs"]
mod gate;
#[path = "rfc9293/handshake.rs"]
mod handshake;
#[path = "rfc9293/header.rs"]
mod header;
#[path = "rfc9293/hostile.rs"]
mod hostile;
#[path = "rfc9293/icmp.rs"]
mod icmp;
#[path = "rfc9293/interface.rs"]
mod interface;
#[path = "rfc9293/isn.rs"]
mod isn;
#[path = "rfc9293/keepalive.rs"]
mod keepalive;
#[path = "rfc9293/offload.rs"]
mod offload;
#[path = "rfc9293/pacing.rs"]
mod pacing;
#[path = "rfc9293/pmtu.rs"]
mod pmtu;
#[path = "rfc9293/rfc2018.rs"]
mod rfc2018;
#[path = "rfc9293/rfc3168.rs"]
mod rfc3168;
#[path = "rfc9293/rfc5961.rs"]
mod rfc5961;
#[path = "rfc9293/rfc6191.rs"]
mod rfc6191;
#[path = "rfc9293/rfc7323.rs"]
mod rfc7323;
#[path = "rfc9293/rto.rs"]
mod rto;
#[path = "rfc9293/segmentation.rs"]
mod segmentation;
#[expect(dead_code, reason = "what only the tests of IPv4 say")]
mod support;
#[path = "rfc9293/urgent.rs"]
mod urgent;
#[path = "rfc9293/window.rs"]
mod window;
