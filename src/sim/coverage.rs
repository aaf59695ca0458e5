//! What a run of seeds has been through. A simulation that never met a zero window has not tested zero windows: a run
//! fails unless all that it promises to cover was covered.

use crate::tcp::state::{Event, State};
use core::fmt;

macro_rules! covers {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Something that must happen in a run of seeds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Cover { $($(#[$doc])* $name,)* }

        impl Cover {
            /// All of them, in the order of the enum.
            pub const ALL: &'static [Cover] = &[$(Cover::$name,)*];

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Cover::$name => $text,)* }
            }
        }
    };
}

covers! {
    /// A packet was lost at random.
    Loss = "fault: loss",
    /// A packet was delivered twice.
    Duplicate = "fault: duplicate",
    /// A packet was overtaken.
    Reorder = "fault: reorder",
    /// A packet was damaged.
    Corrupt = "fault: corruption",
    /// A packet was delayed by a random time.
    Jitter = "fault: jitter",
    /// A packet found the rate limit's queue full.
    QueueFull = "fault: full queue",
    /// CoDel dropped a packet.
    CoDel = "fault: CoDel",
    /// A packet was larger than the link's MTU.
    TooBig = "fault: small MTU",
    /// A packet was marked by a queue.
    Mark = "fault: ECN mark",
    /// A packet met a link that was down.
    Outage = "fault: outage",
    /// A packet arrived in fragments.
    Fragments = "fault: fragments",
    /// An ICMP error said what is not so.
    IcmpNoise = "fault: ICMP errors",
    /// A super-segment was cut.
    SuperSegment = "super-segment cut",
    /// The retransmission timer ran out.
    Rto = "retransmission time-out",
    /// ACKs showed a loss.
    FastRetransmit = "fast retransmit",
    /// An echo of a mark governed a window.
    EcnEcho = "ECN echo",
    /// A path was taken to let large segments vanish.
    BlackHole = "black hole",
    /// A tail loss probe.
    TailProbe = "tail loss probe",
    /// A recovery was for nothing, and undone.
    Undone = "recovery undone",
    /// A zero-window probe.
    WindowProbe = "zero-window probe",
    /// A window of zero was offered.
    ZeroWindow = "zero window",
    /// A keepalive probe.
    Keepalive = "keepalive probe",
    /// A challenge ACK.
    ChallengeAck = "challenge ACK",
    /// A SYN cookie went out.
    CookieSent = "SYN cookie sent",
    /// A SYN cookie came back.
    CookieAccepted = "SYN cookie accepted",
    /// The sequence numbers of a stream passed 2^32.
    SequenceWrap = "sequence wrap",
    /// Out-of-order segments were held.
    OutOfOrder = "out-of-order segment held",
    /// SACK blocks were sent.
    Sack = "SACK blocks",
    /// A connection with time stamps.
    Timestamps = "time stamps in use",
    /// A connection without them.
    NoTimestamps = "time stamps not in use",
    /// A connection with a scaled window.
    WindowScale = "window scale in use",
    /// A connection without.
    NoWindowScale = "window scale not in use",
    /// Header prediction took a segment.
    Predicted = "header prediction",
    /// Both ends' SYNs crossed.
    SimultaneousOpen = "simultaneous open",
    /// Both ends' FINs crossed.
    SimultaneousClose = "simultaneous close",
    /// The end that connected sent the first FIN.
    ActiveFirst = "close order: the active end first",
    /// The end that accepted sent the first FIN.
    PassiveFirst = "close order: the passive end first",
    /// Data came in after our own FIN.
    HalfClose = "half close with data flowing the other way",
    /// An application aborted.
    Abort = "close order: abort",
    /// An application closed with data unread.
    CloseUnread = "close order: close with unread data",
    /// An application closed before it had written all.
    CloseEarly = "close order: close in mid-transfer",
    /// An application shut down both directions.
    ShutdownBoth = "close order: shutdown of both directions",
    /// Data arrived after a full close and was answered with RST.
    DataAfterClose = "data after close",
    /// A reset came in and ended a connection.
    ResetReceived = "reset received",
    /// A connection was refused.
    Refused = "connection refused",
    /// A connection was given up by the retry limit.
    TimedOut = "given up by the retry limit",
    /// An application would have waited for ever: its peer's only RST was lost, or its peer gave up.
    LeftAlone = "left alone by a lost reset",
    /// An application read on after the connection had left the table.
    ReadAfterGone = "data read after the connection was gone",
    /// A run whose connections all carried every byte.
    Complete = "run with every byte delivered",
}

/// How often each thing happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    counts: [u64; Cover::ALL.len()],
    states: [u64; State::ALL.len()],
    transitions: [u64; TRANSITIONS.len()],
}

/// One arrow of the state diagram.
type Transition = (State, Event, State);

/// The oracle's own copy of RFC 9293 figure 5, its notes and section 3.10: every transition that a connection may be
/// seen to make (a listener is none). A CLOSE in SYN-SENT is an ABORT, one in SYN-RECEIVED is queued until ESTABLISHED,
/// and a FIN is looked at after the ACK beside it.
pub(super) const TRANSITIONS: &[Transition] = {
    use Event::*;
    use State::*;
    &[
        (Closed, ActiveOpen, SynSent),
        (Listen, RcvSyn, SynReceived),
        // The ACK of a SYN cookie.
        (Listen, RcvAckOfSyn, Established),
        (SynSent, RcvSyn, SynReceived),
        (SynSent, RcvSynAck, Established),
        (SynSent, RcvRst, Closed),
        (SynSent, Abort, Closed),
        (SynReceived, RcvAckOfSyn, Established),
        (SynReceived, RcvRst, Closed),
        (SynReceived, Abort, Closed),
        (Established, Close, FinWait1),
        (Established, RcvFin, CloseWait),
        (Established, RcvRst, Closed),
        (Established, Abort, Closed),
        (FinWait1, RcvAckOfFin, FinWait2),
        (FinWait1, RcvFin, Closing),
        (FinWait1, RcvRst, Closed),
        (FinWait1, Abort, Closed),
        (FinWait2, RcvFin, TimeWait),
        (FinWait2, RcvRst, Closed),
        (FinWait2, Abort, Closed),
        (CloseWait, Close, LastAck),
        (CloseWait, RcvRst, Closed),
        (CloseWait, Abort, Closed),
        (Closing, RcvAckOfFin, TimeWait),
        (Closing, RcvRst, Closed),
        (Closing, Abort, Closed),
        (LastAck, RcvAckOfFin, Closed),
        (LastAck, RcvRst, Closed),
        (LastAck, Abort, Closed),
        (TimeWait, TimeWaitOver, Closed),
    ]
};

impl Coverage {
    /// Nothing covered yet.
    pub const fn new() -> Self {
        Coverage { counts: [0; Cover::ALL.len()], states: [0; State::ALL.len()], transitions: [0; TRANSITIONS.len()] }
    }

    /// Counts `n` occurrences.
    pub fn add(&mut self, what: Cover, n: u64) {
        self.counts[what as usize] += n;
    }

    /// Counts one occurrence.
    pub fn hit(&mut self, what: Cover) {
        self.add(what, 1);
    }

    /// Counts one occurrence if `condition` holds.
    pub fn hit_if(&mut self, condition: bool, what: Cover) {
        self.add(what, u64::from(condition));
    }

    /// How often it happened.
    pub fn count(&self, what: Cover) -> u64 {
        self.counts[what as usize]
    }

    /// Counts a transition and says whether the oracle knows it.
    #[must_use]
    pub fn transition(&mut self, from: State, event: Event, to: State) -> bool {
        for state in [from, to] {
            if let Some(i) = State::ALL.iter().position(|&s| s == state) {
                self.states[i] += 1;
            }
        }
        let known = TRANSITIONS.iter().position(|&t| t == (from, event, to));
        if let Some(i) = known {
            self.transitions[i] += 1;
        }
        known.is_some()
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Coverage) {
        let pairs = |mine: &mut [u64], theirs: &[u64]| mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        pairs(&mut self.counts, &other.counts);
        pairs(&mut self.states, &other.states);
        pairs(&mut self.transitions, &other.transitions);
    }

    /// What was never seen. A run of seeds is a good one only if nothing is missing.
    pub fn missing(&self) -> Vec<String> {
        self.rows().filter(|(_, n)| *n == 0).map(|(name, _)| name).collect()
    }

    /// Every counter by name.
    pub fn rows(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let covers = Cover::ALL.iter().map(|&c| (c.name().to_owned(), self.count(c)));
        let states = State::ALL.iter().zip(self.states).map(|(s, n)| (format!("state: {s}"), n));
        let arrows = TRANSITIONS.iter().zip(self.transitions).map(|((f, e, t), n)| (format!("{f} -> {t} ({e})"), n));
        covers.chain(states).chain(arrows)
    }
}

impl Default for Coverage {
    fn default() -> Self {
        Coverage::new()
    }
}

impl fmt::Display for Coverage {
    /// One counter a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows().try_for_each(|(name, n)| writeln!(f, "{n:>12}  {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_missing() {
        let mut coverage = Coverage::new();
        let all = coverage.missing().len();
        assert_eq!(all, Cover::ALL.len() + State::ALL.len() + TRANSITIONS.len());
        coverage.hit(Cover::Rto);
        assert!(coverage.transition(State::TimeWait, Event::TimeWaitOver, State::Closed));
        assert!(!coverage.transition(State::TimeWait, Event::RcvRst, State::Closed), "RFC 1337");
        let missing = coverage.missing();
        assert!(!missing.contains(&Cover::Rto.name().to_owned()));
        assert_eq!(missing.len(), all - 4, "one counter, two states, one transition");
    }
}
