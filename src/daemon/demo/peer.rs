//! The other side's state, told from its segments alone.
//!
//! The kernel does not say which state its end is in at each segment, so the RFC's diagram is followed with what goes
//! out of it and what reaches it. It is an inference: what an application does in silence, such as a CLOSE whose FIN
//! has to wait, shows only when the FIN does.

use super::recorder::Segment;
use crate::tcp::seq::Seq;
use crate::tcp::state::State;

/// An end of a connection that is watched from outside.
pub(crate) struct Peer {
    state: State,
    /// The number after its FIN, once sent.
    fin_end: Option<Seq>,
    /// The first number it has not received, once it knows any.
    rcv_nxt: Option<Seq>,
    /// What it has received beyond that.
    beyond: Vec<(Seq, Seq)>,
    /// The other side's FIN.
    their_fin: Option<Seq>,
}

impl Peer {
    /// An end in `state`: LISTEN, or CLOSED before it connects.
    pub(crate) fn new(state: State) -> Peer {
        Peer { state, fin_end: None, rcv_nxt: None, beyond: Vec::new(), their_fin: None }
    }

    /// The state it must be in.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// It has sent `segment`.
    pub(crate) fn sent(&mut self, segment: &Segment) {
        let flags = segment.header.flags;
        if flags.rst() {
            self.state = State::Closed;
        } else if flags.syn() {
            self.state = match self.state {
                State::Closed if segment.opens() => State::SynSent,
                State::Closed | State::Listen | State::SynSent if !segment.opens() => State::SynReceived,
                state => state,
            };
        } else if flags.fin() && self.fin_end.is_none() {
            self.fin_end = Some(Seq(segment.header.seq) + segment.len());
            self.state = match self.state {
                State::CloseWait => State::LastAck,
                State::SynReceived | State::Established => State::FinWait1,
                state => state,
            };
        }
    }

    /// `segment` has reached it.
    pub(crate) fn received(&mut self, segment: &Segment) {
        let flags = segment.header.flags;
        if flags.rst() {
            self.state = State::Closed;
            return;
        }
        let begin = Seq(segment.header.seq);
        if flags.syn() {
            self.rcv_nxt.get_or_insert(begin + 1);
            if self.state == State::SynSent {
                self.state = if flags.ack() { State::Established } else { State::SynReceived };
            }
        }
        if flags.ack() {
            self.acknowledged(Seq(segment.header.ack));
        }
        if flags.fin() {
            self.their_fin = Some(begin + segment.text);
        }
        self.take(begin, begin + segment.text);
        if self.rcv_nxt.is_some() && self.rcv_nxt == self.their_fin {
            self.rcv_nxt = self.their_fin.map(|fin| fin + 1);
            self.state = match self.state {
                State::SynReceived | State::Established => State::CloseWait,
                State::FinWait1 => State::Closing,
                State::FinWait2 => State::TimeWait,
                state => state,
            };
        }
    }

    fn acknowledged(&mut self, ack: Seq) {
        if self.state == State::SynReceived {
            self.state = State::Established;
        }
        if self.fin_end.is_some_and(|end| ack.at_or_after(end)) {
            self.state = match self.state {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => State::Closed,
                state => state,
            };
        }
    }

    /// Text has come; the number up to which all has may move.
    fn take(&mut self, begin: Seq, end: Seq) {
        let Some(mut next) = self.rcv_nxt else { return };
        if begin != end && end.after(next) {
            self.beyond.push((begin, end));
        }
        while let Some(i) = self.beyond.iter().position(|(begin, _)| begin.at_or_before(next)) {
            next = next.max(self.beyond.swap_remove(i).1);
        }
        self.rcv_nxt = Some(next);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::segment;
    use super::*;

    /// A script of segments: `<` has reached the watched end, `>` it has sent.
    fn follow(start: State, script: &[(&str, State)]) {
        let mut peer = Peer::new(start);
        for (line, expected) in script {
            let (direction, text) = line.split_at(1);
            let segment = segment(text);
            if direction == ">" {
                peer.sent(&segment)
            } else {
                peer.received(&segment)
            }
            assert_eq!(peer.state(), *expected, "after {line}");
        }
    }

    #[test]
    fn a_client_that_closes_first() {
        follow(
            State::Closed,
            &[
                ("> SYN seq=100", State::SynSent),
                ("< SYN,ACK seq=500 ack=101", State::Established),
                ("> ACK seq=101 ack=501 len=10", State::Established),
                ("< ACK seq=501 ack=111 len=50", State::Established),
                ("> FIN,ACK seq=111 ack=551", State::FinWait1),
                ("< ACK seq=551 ack=112", State::FinWait2),
                ("< FIN,ACK seq=551 ack=112", State::TimeWait),
                ("> ACK seq=112 ack=552", State::TimeWait),
            ],
        );
    }

    #[test]
    fn a_fin_out_of_order_waits_for_the_text_before_it() {
        follow(
            State::Closed,
            &[
                ("> SYN seq=4294967295", State::SynSent),
                ("< SYN,ACK seq=500 ack=0", State::Established),
                ("< FIN,ACK seq=601 ack=0 len=9", State::Established),
                ("< ACK seq=551 ack=0 len=50", State::Established),
                ("< ACK seq=501 ack=0 len=50", State::CloseWait),
                ("> FIN,ACK seq=0 ack=611", State::LastAck),
                ("> FIN,ACK seq=0 ack=611", State::LastAck),
                ("< ACK seq=611 ack=0", State::LastAck),
                ("< ACK seq=611 ack=1", State::Closed),
            ],
        );
    }

    #[test]
    fn a_server_and_both_closing_at_once() {
        follow(
            State::Listen,
            &[
                ("< SYN seq=1", State::Listen),
                ("> SYN,ACK seq=9 ack=2", State::SynReceived),
                ("< ACK seq=2 ack=10", State::Established),
                ("> FIN,ACK seq=10 ack=2", State::FinWait1),
                ("< FIN,ACK seq=2 ack=10", State::Closing),
                ("< ACK seq=3 ack=11", State::TimeWait),
            ],
        );
    }

    #[test]
    fn simultaneous_open_and_reset() {
        follow(
            State::Closed,
            &[
                ("> SYN seq=1", State::SynSent),
                ("< SYN seq=9", State::SynReceived),
                ("> SYN,ACK seq=1 ack=10", State::SynReceived),
                ("< SYN,ACK seq=9 ack=2", State::Established),
                ("< RST seq=10", State::Closed),
            ],
        );
    }
}
