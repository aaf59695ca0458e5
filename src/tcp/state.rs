//! The eleven states of RFC 9293 3.3.2 and every transition between them. All of them are in this file.

use core::fmt;

/// A connection's state. LISTEN is a listener's and CLOSED is that of a connection that is gone; no
/// `Connection` is ever in either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for a SYN.
    Listen,
    /// Our SYN is out.
    SynSent,
    /// Both SYNs are out, ours is not acknowledged.
    SynReceived,
    /// Data flows.
    Established,
    /// We closed first; our FIN is not acknowledged.
    FinWait1,
    /// We closed first; our FIN is acknowledged.
    FinWait2,
    /// The peer closed first; we may still send.
    CloseWait,
    /// Both closed at once; our FIN is not acknowledged.
    Closing,
    /// The peer closed first, then we; our FIN is not acknowledged.
    LastAck,
    /// All is done; old segments are given time to die.
    TimeWait,
}

/// What moves a connection from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The user listens (passive OPEN).
    PassiveOpen,
    /// The user connects (active OPEN); our SYN goes out.
    ActiveOpen,
    /// A SYN arrives.
    RcvSyn,
    /// A SYN arrives that acknowledges our SYN.
    RcvSynAck,
    /// Our SYN is acknowledged.
    RcvAckOfSyn,
    /// The user closes; our FIN will go out after all data.
    Close,
    /// The peer's FIN arrives in order.
    RcvFin,
    /// The peer's FIN arrives in order, and our FIN is acknowledged by the same segment.
    RcvFinAckOfFin,
    /// Our FIN is acknowledged.
    RcvAckOfFin,
    /// A valid RST arrives.
    RcvRst,
    /// The user aborts, the peer answers no more, or a limit is reached.
    Abort,
    /// 2 MSL have passed in TIME-WAIT.
    TimeWaitOver,
}

impl fmt::Display for State {
    /// The RFC's spelling.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Event::PassiveOpen => "passive OPEN",
            Event::ActiveOpen => "active OPEN",
            Event::RcvSyn => "rcv SYN",
            Event::RcvSynAck => "rcv SYN,ACK",
            Event::RcvAckOfSyn => "rcv ACK of SYN",
            Event::Close => "CLOSE",
            Event::RcvFin => "rcv FIN",
            Event::RcvFinAckOfFin => "rcv FIN,ACK of FIN",
            Event::RcvAckOfFin => "rcv ACK of FIN",
            Event::RcvRst => "rcv RST",
            Event::Abort => "ABORT",
            Event::TimeWaitOver => "2 MSL",
        })
    }
}
