//! How much may fly: congestion control (RFC 5681).
//!
//! What was lost is decided in [`recovery`](super::recovery); a controller only hears of it and answers with a window.
//! Which one a connection has is the enum [`Cc`]: no box, no pointer.

mod newreno;

pub use newreno::NewReno;

use super::sample::AckSample;

/// What a controller hears, and what it answers. All sizes are in bytes.
pub trait CongestionControl {
    /// An ACK delivered something, or showed that something was lost; in any phase of recovery. If not `limited`, the
    /// window was not what held the sender back: it proves nothing and must not grow (RFC 7661's reason, RFC 9438 4.6's
    /// words).
    fn on_ack(&mut self, ack: &AckSample);
    /// A loss was found and fast recovery begins, with `flight` bytes outstanding; once a window.
    fn on_congestion(&mut self, flight: u32);
    /// Loss recovery is over with `flight` bytes outstanding.
    fn on_recovered(&mut self, flight: u32);
    /// The retransmission timer ran out; `first` for the same data.
    fn on_rto(&mut self, flight: u32, first: bool);
    /// The last [`on_congestion`](Self::on_congestion) or [`on_rto`](Self::on_rto) was for nothing: what was taken for lost
    /// has arrived. The window and the threshold from before it count again, if they are larger (RFC 4015, 5682).
    fn on_spurious(&mut self);
    /// Nothing was sent for longer than an RTO (RFC 5681 4.1).
    fn on_idle(&mut self);
    /// The segment size changed.
    fn on_mss(&mut self, mss: u32);
    /// The congestion window.
    fn window(&self) -> u32;
    /// Whether fast recovery sends by proportional rate reduction towards `ssthresh` (RFC 6937) instead of by the window.
    fn uses_prr(&self) -> bool;
    /// The slow-start threshold, `u32::MAX` before the first loss.
    fn ssthresh(&self) -> u32;
}

/// The controllers that a connection can have.
#[derive(Clone, Debug)]
pub enum Cc {
    /// RFC 5681 and 6582.
    NewReno(NewReno),
}

impl CongestionControl for Cc {
    fn on_ack(&mut self, ack: &AckSample) {
        match self {
            Cc::NewReno(c) => c.on_ack(ack),
        }
    }
    fn on_congestion(&mut self, flight: u32) {
        match self {
            Cc::NewReno(c) => c.on_congestion(flight),
        }
    }
    fn on_recovered(&mut self, flight: u32) {
        match self {
            Cc::NewReno(c) => c.on_recovered(flight),
        }
    }
    fn on_rto(&mut self, flight: u32, first: bool) {
        match self {
            Cc::NewReno(c) => c.on_rto(flight, first),
        }
    }
    fn on_spurious(&mut self) {
        match self {
            Cc::NewReno(c) => c.on_spurious(),
        }
    }
    fn on_idle(&mut self) {
        match self {
            Cc::NewReno(c) => c.on_idle(),
        }
    }
    fn on_mss(&mut self, mss: u32) {
        match self {
            Cc::NewReno(c) => c.on_mss(mss),
        }
    }
    fn window(&self) -> u32 {
        match self {
            Cc::NewReno(c) => c.window(),
        }
    }
    fn uses_prr(&self) -> bool {
        match self {
            Cc::NewReno(c) => c.uses_prr(),
        }
    }
    fn ssthresh(&self) -> u32 {
        match self {
            Cc::NewReno(c) => c.ssthresh(),
        }
    }
}
