//! How much may fly: congestion control (RFC 5681).
//!
//! What was lost is decided in [`recovery`](super::recovery); a controller only hears of it and answers with a window.
//! Which one a connection has is the enum [`Cc`]: no box, no pointer.

mod newreno;

pub use newreno::NewReno;

/// What a controller hears, and what it answers. All sizes are in bytes.
pub trait CongestionControl {
    /// `acked` bytes were newly acknowledged outside recovery. `limited` says whether the window was what held the
    /// sender back; if not, the window proves nothing and must not grow (RFC 7661's reason, RFC 9438 4.6's words).
    fn on_ack(&mut self, acked: u32, limited: bool);
    /// Duplicate ACKs showed a loss, with `flight` bytes outstanding; once a window.
    fn on_congestion(&mut self, flight: u32);
    /// Loss recovery is over with `flight` bytes outstanding.
    fn on_recovered(&mut self, flight: u32);
    /// The retransmission timer ran out; `first` for the same data.
    fn on_rto(&mut self, flight: u32, first: bool);
    /// Nothing was sent for longer than an RTO (RFC 5681 4.1).
    fn on_idle(&mut self);
    /// The segment size changed.
    fn on_mss(&mut self, mss: u32);
    /// The congestion window.
    fn window(&self) -> u32;
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
    fn on_ack(&mut self, acked: u32, limited: bool) {
        match self {
            Cc::NewReno(c) => c.on_ack(acked, limited),
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
    fn ssthresh(&self) -> u32 {
        match self {
            Cc::NewReno(c) => c.ssthresh(),
        }
    }
}
