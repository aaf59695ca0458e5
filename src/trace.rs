//! What happened inside, in order: a bounded ring of events that captures, ladders and plots are made from.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::tcp::state::{Event, State};
use crate::time::Instant;
use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Something worth showing beside the packet that caused it or that it caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A transition of the state machine.
    Transition {
        /// From this state,
        from: State,
        /// by this event,
        event: Event,
        /// to this one.
        to: State,
    },
    /// The retransmission timer ran out for the n-th time in a row.
    Rto {
        /// How often in a row.
        count: u32,
        /// The time-out that follows.
        rto: Duration,
    },
    /// ACKs have shown a loss: what is missing goes out again.
    FastRetransmit,
    /// A recovery was for nothing, and what it did to the window is undone.
    Undone,
    /// A segment is being sent again.
    Retransmit,
    /// A tail loss probe (RFC 8985).
    TailProbe,
    /// A zero-window probe.
    WindowProbe,
    /// A keepalive probe.
    Keepalive,
    /// A challenge ACK (RFC 5961).
    ChallengeAck,
    /// A SYN was answered with a cookie (RFC 4987).
    CookieSent,
    /// The segments that the path is believed to carry have changed.
    PathMtu {
        /// Their MSS in bytes.
        mss: u16,
    },
    /// A larger segment goes out to find out whether the path carries it (RFC 4821).
    MtuProbe {
        /// Its MSS in bytes.
        mss: u16,
    },
    /// The congestion state after an event that changed it.
    Congestion {
        /// Congestion window in bytes.
        cwnd: u32,
        /// Slow-start threshold in bytes.
        ssthresh: u32,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Transition { from, event, to } => write!(f, "{from} -> {to} ({event})"),
            What::Rto { count, rto } => write!(f, "RTO #{count}, next after {rto:?}"),
            What::FastRetransmit => f.write_str("fast retransmit"),
            What::Undone => f.write_str("the recovery was for nothing"),
            What::TailProbe => f.write_str("tail loss probe"),
            What::Retransmit => f.write_str("retransmission"),
            What::WindowProbe => f.write_str("zero-window probe"),
            What::Keepalive => f.write_str("keepalive probe"),
            What::ChallengeAck => f.write_str("challenge ACK"),
            What::CookieSent => f.write_str("SYN cookie"),
            What::PathMtu { mss } => write!(f, "the path carries an MSS of {mss}"),
            What::MtuProbe { mss } => write!(f, "probe with an MSS of {mss}"),
            What::Congestion { cwnd, ssthresh } if *ssthresh == u32::MAX => {
                write!(f, "cwnd={cwnd} ssthresh=inf")
            }
            What::Congestion { cwnd, ssthresh } => write!(f, "cwnd={cwnd} ssthresh={ssthresh}"),
        }
    }
}

/// One event of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// When.
    pub at: Instant,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// What.
    pub what: What,
}

/// A bounded ring of events. With a bound of zero it records nothing and costs nothing.
#[derive(Debug, Default)]
pub struct Trace {
    events: VecDeque<TraceEvent>,
    capacity: usize,
    lost: u64,
}

impl Trace {
    /// A ring for `capacity` events.
    pub fn new(capacity: usize) -> Self {
        Trace { events: VecDeque::new(), capacity, lost: 0 }
    }

    /// Whether anything is recorded.
    pub fn enabled(&self) -> bool {
        self.capacity > 0
    }

    /// Records an event; the oldest gives way, and is counted, where there is no room.
    pub fn record(&mut self, event: TraceEvent) {
        if self.capacity == 0 {
            return;
        }
        if self.events.len() == self.capacity {
            self.events.pop_front();
            self.lost += 1;
        }
        self.events.push_back(event);
    }

    /// Takes all events recorded so far.
    pub fn take(&mut self) -> impl Iterator<Item = TraceEvent> + '_ {
        self.events.drain(..)
    }

    /// How many events gave way to newer ones.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
