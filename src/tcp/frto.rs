//! F-RTO (RFC 5682): after a time-out, new data instead of more retransmissions shows whether the time-out was spurious:
//! whether what was sent before it still arrives.

use super::seq::Seq;

/// Where the algorithm stands (RFC 5682 2.1, 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frto {
    /// It is not running.
    #[default]
    Off,
    /// Step 2: the first segment was sent again; what comes of it?
    Retransmitted,
    /// Step 3: up to two new segments are sent; is what comes next of before the time-out?
    NewData,
}

/// What the algorithm wants to know of an ACK.
#[derive(Clone, Copy, Debug)]
pub struct Ack {
    /// SEG.ACK.
    pub ack: Seq,
    /// Whether it moves SND.UNA.
    pub advances: bool,
    /// Whether it is a duplicate, with or without SACK blocks.
    pub duplicate: bool,
    /// The highest number that the peer is known to have.
    pub fack: Seq,
    /// Whether it is the first to tell of something that was sent before the time-out and not since.
    pub original: bool,
    /// RecoveryPoint: SND.NXT at the time-out.
    pub recover: Seq,
    /// Whether SACK is in use.
    pub sack: bool,
    /// Whether there is new data that the peer's window has room for.
    pub can_send_new: bool,
}

/// What follows from an ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Undecided,
    /// The conventional recovery goes on.
    Genuine,
    /// The time-out was spurious.
    Spurious,
}

impl Frto {
    /// Whether new data goes before retransmissions now.
    pub fn sends_new_data(self) -> bool {
        self == Frto::NewData
    }

    /// An ACK arrives.
    pub fn on_ack(&mut self, ack: &Ack) -> Verdict {
        let (next, verdict) = self.step(ack);
        *self = next;
        verdict
    }

    fn step(self, ack: &Ack) -> (Frto, Verdict) {
        match self {
            Frto::Off => (Frto::Off, Verdict::Undecided),
            // Step 2. Without SACK a duplicate ACK says that something is missing (2.1, step 2a).
            Frto::Retransmitted if ack.advances => {
                if ack.ack.at_or_after(ack.recover) || !ack.can_send_new {
                    (Frto::Off, Verdict::Genuine)
                } else {
                    (Frto::NewData, Verdict::Undecided)
                }
            }
            Frto::Retransmitted if ack.duplicate && !ack.sack => (Frto::Off, Verdict::Genuine),
            Frto::Retransmitted => (Frto::Retransmitted, Verdict::Undecided),
            // Step 3.
            Frto::NewData if !ack.advances && !ack.duplicate => (Frto::NewData, Verdict::Undecided),
            Frto::NewData if ack.original && ack.fack.at_or_before(ack.recover) => (Frto::Off, Verdict::Spurious),
            Frto::NewData => (Frto::Off, Verdict::Genuine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(ack: u32) -> Ack {
        Ack {
            ack: Seq(ack),
            advances: true,
            duplicate: false,
            fack: Seq(ack),
            original: true,
            recover: Seq(1000),
            sack: true,
            can_send_new: true,
        }
    }

    fn run(acks: &[Ack]) -> Verdict {
        let mut frto = Frto::Retransmitted;
        acks.iter().map(|ack| frto.on_ack(ack)).find(|v| *v != Verdict::Undecided).unwrap_or(Verdict::Undecided)
    }

    /// 5682-2: two ACKs that advance, the second by what was not sent again: spurious.
    #[test]
    fn late_acks_make_a_time_out_spurious() {
        assert_eq!(run(&[ack(100)]), Verdict::Undecided);
        assert_eq!(run(&[ack(100), ack(200)]), Verdict::Spurious);
        let sacked = Ack { advances: false, duplicate: true, fack: Seq(300), ..ack(100) };
        assert_eq!(run(&[ack(100), sacked]), Verdict::Spurious, "or SACKed (RFC 5682 3.1, step 3b)");
    }

    /// 5682-3: a duplicate that tells nothing new, an ACK of all, or one of the new data: the loss was genuine.
    #[test]
    fn what_makes_it_genuine() {
        let duplicate = Ack { advances: false, duplicate: true, original: false, ..ack(100) };
        assert_eq!(run(&[ack(100), duplicate]), Verdict::Genuine);
        assert_eq!(run(&[ack(1000)]), Verdict::Genuine, "step 2a");
        assert_eq!(run(&[ack(100), ack(1100)]), Verdict::Genuine, "step 3a");
        assert_eq!(
            run(&[ack(100), Ack { duplicate: true, advances: false, fack: Seq(1100), ..ack(100) }]),
            Verdict::Genuine
        );
        assert_eq!(run(&[Ack { can_send_new: false, ..ack(100) }]), Verdict::Genuine);
        assert_eq!(run(&[Ack { sack: false, ..duplicate }]), Verdict::Genuine, "2.1, step 2a");
        assert_eq!(run(&[duplicate]), Verdict::Undecided, "3.1, step 2");
    }
}
