//! What loss recovery tells congestion control: what an ACK delivered, and how things stood when that was sent.
//!
//! [`recovery`](super::recovery) says what is lost, what is to be sent again and when a recovery begins, ends or was for
//! nothing; [`cc`](super::cc) says how much may fly. This is all that passes from the one to the other with an ACK.

use super::recovery::Phase;
use crate::time::Instant;
use core::time::Duration;

/// How delivery stood when a segment was sent: kept with the segment, and handed back when it is delivered, so that a
/// delivery rate can be reckoned (draft-cheng-iccrg-delivery-rate-estimation 3.2, whose names are in brackets).
#[derive(Clone, Copy, Debug, Default)]
pub struct SentState {
    /// Bytes delivered on the connection until then (`P.delivered`).
    pub delivered: u64,
    /// When the last of them were (`P.delivered_time`).
    pub delivered_at: Instant,
    /// When the first segment of that sampling interval was sent (`P.first_sent_time`).
    pub first_sent_at: Instant,
    /// Bytes in flight, itself included (BBR's `P.tx_in_flight`).
    pub in_flight: u32,
    /// Bytes found lost on the connection until then, modulo 2^32 (BBR's `P.lost`).
    pub lost: u32,
    /// Whether there was less to send than the window allowed (`P.is_app_limited`).
    pub app_limited: bool,
}

/// Of the segments that an ACK delivered, the one that was sent last.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    /// When it was sent, the last time.
    pub sent_at: Instant,
    /// Whether it was sent more than once.
    pub retransmitted: bool,
    /// How things stood then.
    pub state: SentState,
}

/// What one ACK told. All sizes are in bytes.
#[derive(Clone, Copy, Debug)]
pub struct AckSample {
    /// When it came.
    pub now: Instant,
    /// What it moved SND.UNA by, whether SACKed before or not.
    pub acked: u32,
    /// What it delivered: newly acknowledged, cumulatively or selectively, and never counted before.
    pub delivered: u32,
    /// Of these, what only a SACK block says.
    pub sacked: u32,
    /// What it showed to be lost.
    pub lost: u32,
    /// Round-trip time of the segment delivered last, if it is not ambiguous.
    pub rtt: Option<Duration>,
    /// In flight before the ACK: sent, not delivered, not believed lost.
    pub prior_in_flight: u32,
    /// In flight after it.
    pub in_flight: u32,
    /// Whether it was the congestion window that held output back before the ACK.
    pub limited: bool,
    /// Where recovery stands after it.
    pub phase: Phase,
    /// Whether something that was sent again is still to be acknowledged.
    pub mending: bool,
    /// The segment of those delivered that was sent last; `None` if nothing was delivered.
    pub newest: Option<Newest>,
}

impl AckSample {
    /// Where recovery stands for those who take one that follows at once upon another for the same: where a path loses
    /// steadily, something is always being sent again (Linux's `lost_out`). `before` is where it stood before the ACK.
    pub fn lasting_phase(&self, before: Phase) -> Phase {
        if self.phase == Phase::Open && self.mending { before } else { self.phase }
    }
}
