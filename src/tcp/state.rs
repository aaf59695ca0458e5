//! The eleven states of RFC 9293 3.3.2 and every transition between them. All of them are in this file.

use core::fmt;

impl State {
    /// All states, in the RFC's order.
    pub const ALL: [State; 11] = [
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
        State::Closed,
    ];

    /// The state after `event`, or `None` if the event does not move a connection that is in this state.
    ///
    /// Two arrows of RFC 9293's figure 5 are missing because they cannot be taken here: a CLOSE in SYN-RECEIVED is
    /// queued until ESTABLISHED (3.10.4 allows it), and a FIN is looked at only after the ACK beside it
    /// (3.10.7.4), so that SYN-RECEIVED is left before, and FIN-WAIT-1 goes through FIN-WAIT-2.
    pub const fn next(self, event: Event) -> Option<State> {
        use Event::*;
        use State::*;
        Some(match (self, event) {
            (Closed, PassiveOpen) => Listen,
            (Closed, ActiveOpen) => SynSent,
            (Listen, RcvSyn) => SynReceived,
            // The ACK of a SYN cookie (RFC 4987 3.6): SYN-RECEIVED was never stored.
            (Listen, RcvAckOfSyn) => Established,
            (SynSent, RcvSyn) => SynReceived,
            (SynSent, RcvSynAck) => Established,
            (SynReceived, RcvAckOfSyn) => Established,
            (Established, Close) => FinWait1,
            (Established, RcvFin) => CloseWait,
            (FinWait1, RcvAckOfFin) => FinWait2,
            (FinWait1, RcvFin) => Closing,
            (FinWait2, RcvFin) => TimeWait,
            (Closing, RcvAckOfFin) => TimeWait,
            (CloseWait, Close) => LastAck,
            (LastAck, RcvAckOfFin) => Closed,
            (TimeWait, TimeWaitOver) => Closed,
            (Listen | SynSent, Close) => Closed,
            (SynSent | SynReceived | Established | FinWait1 | FinWait2 | CloseWait | Closing | LastAck, RcvRst) => {
                Closed
            }
            (SynSent | SynReceived | Established | FinWait1 | FinWait2 | CloseWait | Closing | LastAck, Abort) => {
                Closed
            }
            _ => return None,
        })
    }

    /// Whether both sides' SYNs are acknowledged (RFC 9293 3.3.2).
    pub const fn is_synchronized(self) -> bool {
        !matches!(self, State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    /// Whether the user has closed: our FIN is queued or sent.
    pub const fn is_closing(self) -> bool {
        matches!(self, State::FinWait1 | State::FinWait2 | State::Closing | State::LastAck | State::TimeWait)
    }

    /// Whether the peer may still send text: its FIN has not come.
    pub const fn may_receive(self) -> bool {
        matches!(self, State::Established | State::FinWait1 | State::FinWait2)
    }

    /// Whether the user may still send.
    pub const fn may_send(self) -> bool {
        matches!(self, State::Established | State::CloseWait)
    }
}

impl Event {
    /// All events.
    pub const ALL: [Event; 11] = [
        Event::PassiveOpen,
        Event::ActiveOpen,
        Event::RcvSyn,
        Event::RcvSynAck,
        Event::RcvAckOfSyn,
        Event::Close,
        Event::RcvFin,
        Event::RcvAckOfFin,
        Event::RcvRst,
        Event::Abort,
        Event::TimeWaitOver,
    ];
}

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
            Event::RcvAckOfFin => "rcv ACK of FIN",
            Event::RcvRst => "rcv RST",
            Event::Abort => "ABORT",
            Event::TimeWaitOver => "2 MSL",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn transitions() -> impl Iterator<Item = (State, Event, State)> {
        State::ALL.into_iter().flat_map(|from| {
            Event::ALL.into_iter().filter_map(move |event| from.next(event).map(|to| (from, event, to)))
        })
    }

    /// Renders the table as the graph in `docs/tcp-states.dot` and checks that the file is the same.
    /// `TUNSTACK_BLESS=1 cargo test` writes it anew.
    #[test]
    fn the_graph_in_docs_is_this_table() {
        let mut dot = String::from(
            "// Rendered from src/tcp/state.rs by its test. RST and ABORT lead to CLOSED from every state that has them.\n",
        );
        dot.push_str("digraph tcp {\n    rankdir=TB;\n    node [shape=box, fontname=\"sans-serif\"];\n");
        for (from, event, to) in transitions().filter(|(_, e, _)| !matches!(e, Event::RcvRst | Event::Abort)) {
            writeln!(dot, "    \"{from}\" -> \"{to}\" [label=\"{event}\"];").unwrap();
        }
        dot.push_str("}\n");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tcp-states.dot");
        if std::env::var_os("TUNSTACK_BLESS").is_some() {
            std::fs::write(path, &dot).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), dot, "run with TUNSTACK_BLESS=1 to write it anew");
    }

    #[test]
    fn every_pair_of_state_and_event() {
        // What may follow what, seen from the properties rather than from the table.
        for (from, event, to) in transitions() {
            assert_ne!(from, to);
            match event {
                Event::RcvRst | Event::Abort | Event::TimeWaitOver => assert_eq!(to, State::Closed),
                Event::RcvFin => assert!(from.may_receive() && !to.may_receive()),
                Event::Close if from.is_synchronized() => assert!(from.may_send() && to.is_closing()),
                Event::RcvAckOfFin => assert!(from.is_closing()),
                Event::RcvAckOfSyn | Event::RcvSynAck => assert_eq!(to, State::Established),
                _ => assert!(!from.is_synchronized()),
            }
        }
        assert_eq!(transitions().count(), 34);
        for state in State::ALL {
            assert!(state == State::Closed || transitions().any(|(_, _, to)| to == state), "{state} is never entered");
            assert!(state == State::Closed || transitions().any(|(from, ..)| from == state), "{state} is never left");
        }
        assert_eq!(State::TimeWait.next(Event::RcvRst), None, "RFC 1337");
    }
}
