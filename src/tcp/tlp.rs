//! Tail loss probe (RFC 8985 7): behind the last segment of a flight nothing comes that could show its loss, so after two
//! round trips of silence a segment is sent that makes the peer answer.

use super::seq::{Seq, SeqRange};

/// A probe in flight (TLP.end_seq, TLP.is_retrans).
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// SND.NXT when it was sent.
    pub end: Seq,
    /// Whether it was sent before.
    pub is_retrans: bool,
}

/// What an ACK says of the probe in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Pending,
    /// It has arrived, or was not needed: it repaired nothing.
    Over,
    /// It has repaired a loss, which nothing else has shown.
    Repaired,
}

impl Probe {
    /// TLP_process_ack (RFC 8985 7.4.2): SEG.ACK, the DSACK beside it and whether it is a duplicate without SACK blocks.
    pub fn on_ack(&self, ack: Seq, dsack: Option<SeqRange>, plain_duplicate: bool) -> Outcome {
        if ack.before(self.end) {
            return Outcome::Pending;
        }
        if !self.is_retrans || plain_duplicate || dsack.is_some_and(|block| block.end == self.end) {
            return Outcome::Over;
        }
        if ack.after(self.end) { Outcome::Repaired } else { Outcome::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 8985-9: the four cases of RFC 8985 7.4.2.
    #[test]
    fn what_acks_say_of_a_probe() {
        let again = Probe { end: Seq(1000), is_retrans: true };
        let new = Probe { end: Seq(1000), is_retrans: false };
        let dsack = Some(SeqRange { start: Seq(900), end: Seq(1000) });
        assert_eq!(new.on_ack(Seq(999), None, false), Outcome::Pending);
        assert_eq!(new.on_ack(Seq(1000), None, false), Outcome::Over);
        assert_eq!(again.on_ack(Seq(1000), None, false), Outcome::Pending, "the probe or what it repeats");
        assert_eq!(again.on_ack(Seq(1000), dsack, false), Outcome::Over);
        assert_eq!(again.on_ack(Seq(1000), None, true), Outcome::Over);
        assert_eq!(again.on_ack(Seq(1001), None, false), Outcome::Repaired);
    }
}
