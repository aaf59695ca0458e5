//! What `ss` and TCP_INFO show: a copy of a connection's numbers at one moment.

use super::state::State;
use core::time::Duration;
use std::net::SocketAddr;

/// One connection, listener or TIME-WAIT record, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpInfo {
    /// Its state; LISTEN for a listener.
    pub state: State,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end; unspecified for a listener.
    pub remote: SocketAddr,
    /// Received bytes that the application has not read; for a listener, connections to be accepted.
    pub recv_queue: usize,
    /// Bytes written and not acknowledged; for a listener, its backlog.
    pub send_queue: usize,
    /// Effective send MSS in bytes.
    pub mss: usize,
    /// Congestion window in bytes.
    pub cwnd: u32,
    /// Slow-start threshold in bytes; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// Bytes sent and not acknowledged.
    pub in_flight: u32,
    /// The peer's window in bytes.
    pub snd_wnd: u32,
    /// Our window in bytes.
    pub rcv_wnd: u32,
    /// Smoothed round-trip time, once measured.
    pub srtt: Option<Duration>,
    /// Its variation.
    pub rttvar: Duration,
    /// Retransmission time-out.
    pub rto: Duration,
    /// Segments sent again over the connection's life.
    pub retransmits: u64,
    /// Retransmission time-outs in a row, now.
    pub backoff: u32,
    /// Bytes acknowledged by the peer.
    pub bytes_acked: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
    /// Memory that its buffers pin, in bytes.
    pub memory: usize,
    /// Negotiated: window scale (ours for sending, ours for receiving), time stamps, SACK.
    pub window_scale: Option<(u8, u8)>,
    /// Whether time stamps are in use.
    pub timestamps: bool,
    /// Whether SACK is in use.
    pub sack: bool,
    /// Whether no application holds it any more.
    pub orphan: bool,
}
