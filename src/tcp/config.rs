//! TCP's settings and bounds, with their defaults. `docs/limits.md` says why each is what it is.

use super::cc::Congestion;
use super::ecn::Ecn;
use super::mtu::MtuProbing;
use crate::error::{Error, Result};
use core::time::Duration;

/// However short memory is, a connection may hold this much in each direction, in bytes, so that all go on, slowly.
pub const SHARE_UNDER_PRESSURE: usize = 4096;

/// How much memory the stack has left for its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Memory {
    /// Enough.
    Ample,
    /// Little: no new promises but [`SHARE_UNDER_PRESSURE`], and nothing is kept out of order.
    Short,
    /// None: promises are kept later, as if text had been lost, but for a share where the user has nothing to read.
    Full,
    /// What is left is for those shares: nothing more is taken to be sent.
    Scant,
    /// Not even that is left: nothing is taken.
    Exhausted,
}

/// Smallest and largest buffer that can be asked for, in bytes.
pub(super) const BUFFER_RANGE: core::ops::RangeInclusive<usize> = 1024..=1 << 29;

/// TCP's settings: defaults for every connection.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// Send buffer of a connection at first, in bytes.
    pub send_buffer: usize,
    /// What it may grow to, in bytes; not tuned unless this is more.
    pub send_buffer_max: usize,
    /// Receive buffer of a connection at first, in bytes: the most that the window offers.
    pub recv_buffer: usize,
    /// What it may grow to, in bytes; not tuned unless this is more.
    pub recv_buffer_max: usize,
    /// Whether to offer window scaling.
    pub window_scaling: bool,
    /// Whether to offer time stamps.
    pub timestamps: bool,
    /// Whether to permit SACK.
    pub sack: bool,
    /// Whether packets may be marked instead of dropped (RFC 3168).
    pub ecn: Ecn,
    /// The congestion control of connections whose user chooses none.
    pub congestion: Congestion,
    /// Maximum segment lifetime; TIME-WAIT lasts twice as long.
    pub msl: Duration,
    /// RTO before any measurement (RFC 6298 2.1).
    pub initial_rto: Duration,
    /// Floor of the RTO.
    pub min_rto: Duration,
    /// Ceiling of the RTO and of the probes' interval.
    pub max_rto: Duration,
    /// Retransmissions before the connection is reported as in trouble (R1).
    pub retries1: u32,
    /// Retransmissions before it is given up (R2).
    pub retries2: u32,
    /// Retransmissions of a SYN.
    pub syn_retries: u32,
    /// Retransmissions of a SYN,ACK.
    pub synack_retries: u32,
    /// Retransmissions and probes once the application has closed.
    pub orphan_retries: u32,
    /// The longest that peers are believed to hold an ACK back: a tail loss probe of a lone segment waits so much longer.
    pub peer_ack_delay: Duration,
    /// The longest an ACK is held back.
    pub delayed_ack: Duration,
    /// ACKs at the start of a connection that are not held back at all, while the peer's window is small.
    pub quick_acks: u8,
    /// How long a closed socket waits in FIN-WAIT-2 for the peer's FIN.
    pub fin_wait2: Duration,
    /// Shortest time between two challenge ACKs, or answers to invalid segments, of one connection.
    pub challenge_interval: Duration,
    /// Smallest MSS that we believe of a peer.
    pub min_mss: u16,
    /// Whether paths are searched for the largest segments that they carry.
    pub mtu_probing: MtuProbing,
    /// MSS in bytes of an IPv4 path that lets larger segments vanish, until more is found out.
    pub base_mss: u16,
    /// Out-of-order ranges that a connection holds at most: 256 at first, and one for each 4 KiB of its receive buffer.
    pub max_ooo_ranges: usize,
    /// Lowest ephemeral port.
    pub ephemeral_low: u16,
    /// Highest ephemeral port.
    pub ephemeral_high: u16,
    /// The initial sequence number of every connection, instead of RFC 6528's. Only for tests, which want to start just
    /// before the wrap: with it set, anybody can guess our sequence numbers.
    pub fixed_iss: Option<u32>,
}

impl Default for TcpConfig {
    fn default() -> Self {
        TcpConfig {
            send_buffer: 256 * 1024,
            send_buffer_max: 4 * 1024 * 1024,
            recv_buffer: 256 * 1024,
            recv_buffer_max: 6 * 1024 * 1024,
            window_scaling: true,
            timestamps: true,
            sack: true,
            ecn: Ecn::Accept,
            congestion: Congestion::Cubic,
            msl: Duration::from_secs(30),
            initial_rto: Duration::from_secs(1),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(120),
            retries1: 3,
            retries2: 15,
            syn_retries: 7,
            synack_retries: 5,
            orphan_retries: 8,
            peer_ack_delay: Duration::from_millis(40),
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            fin_wait2: Duration::from_secs(60),
            challenge_interval: Duration::from_millis(500),
            min_mss: 48,
            mtu_probing: MtuProbing::BlackHole,
            base_mss: 1024,
            max_ooo_ranges: 4096,
            ephemeral_low: 1024,
            ephemeral_high: 65_535,
            fixed_iss: None,
        }
    }
}

impl TcpConfig {
    /// Checks what would make no sense together.
    ///
    /// # Errors
    /// `InvalidInput`, saying what is wrong.
    pub fn validate(&self) -> Result<()> {
        let checks = [
            (self.ephemeral_low == 0 || self.ephemeral_low > self.ephemeral_high, "the ephemeral ports are no range"),
            (self.min_rto.is_zero() || self.min_rto > self.max_rto, "the RTO's floor is zero or above its ceiling"),
            (self.initial_rto.is_zero(), "the initial RTO is zero"),
            (self.delayed_ack >= Duration::from_millis(500), "an ACK may not be delayed by 500 ms or more (MUST-40)"),
            (
                ![self.send_buffer, self.recv_buffer].iter().all(|size| BUFFER_RANGE.contains(size))
                    || self.send_buffer_max.max(self.recv_buffer_max) > *BUFFER_RANGE.end(),
                "buffers are 1 KiB to 512 MiB",
            ),
            (self.base_mss < 48, "the base MSS must leave room for options and text"),
            (self.min_mss < 24, "an MSS must leave room for options"),
        ];
        match checks.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, what)) => Err(Error::InvalidInput(what)),
            None => Ok(()),
        }
    }
}
