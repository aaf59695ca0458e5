//! Whether a recovery was for nothing: all that it sent again was a duplicate, as DSACKs say (RFC 2883, 3708), or what was
//! taken for lost was acknowledged before the retransmission can have arrived, as the echoed time stamp says (Eifel,
//! RFC 3522). Then what the recovery did to the window is undone (RFC 4015).

use super::seq::{Seq, SeqRange};
use crate::time::Instant;
use core::time::Duration;

/// What is remembered of a recovery until it can no more turn out to have been for nothing.
#[derive(Clone, Debug)]
pub struct Undo {
    /// What was in flight when it began.
    pub numbers: SeqRange,
    /// Bytes sent again.
    resent: u32,
    /// Of these, what DSACKs have reported.
    duplicates: u32,
    /// Where the first that was sent again begins, and when that was, until an ACK has told which transmission it answers
    /// (RetransmitTS).
    first: Option<(Seq, Instant)>,
    /// The last one sent again, and when.
    last: Option<(SeqRange, Instant)>,
}

impl Undo {
    /// A recovery begins while `numbers` are in flight.
    pub fn new(numbers: SeqRange) -> Self {
        Undo { numbers, resent: 0, duplicates: 0, first: None, last: None }
    }

    /// `numbers` were sent again.
    pub fn on_resent(&mut self, numbers: SeqRange, at: Instant) {
        if self.resent == 0 {
            self.first = Some((numbers.start, at));
        }
        self.resent = self.resent.saturating_add(numbers.len());
        self.last = Some((numbers, at));
    }

    /// The peer has received `block` twice. Says whether that is all that was sent again.
    pub fn on_dsack(&mut self, block: SeqRange) -> bool {
        let in_range = block.start.at_or_after(self.numbers.start) && block.end.at_or_before(self.numbers.end);
        if in_range {
            self.duplicates = self.duplicates.saturating_add(block.len());
        }
        in_range && self.resent > 0 && self.duplicates >= self.resent
    }

    /// The round-trip time of the retransmission that a DSACK of `block` answers.
    pub fn rtt_by_dsack(&self, block: SeqRange, now: Instant) -> Option<Duration> {
        let (numbers, at) = self.last?;
        (block.end == numbers.end && self.resent == numbers.len()).then(|| now.since(at))
    }

    /// SND.UNA has moved to `una`, by an ACK that echoes a time stamp sent at `echo` milliseconds, if it has one. Says
    /// whether it is the first that covers what was sent again, and answers the first transmission (RFC 3522 3.2, step 5).
    pub fn on_advance(&mut self, una: Seq, echo: Option<u64>) -> bool {
        let Some((_, at)) = self.first.take_if(|(start, _)| una.after(*start)) else { return false };
        echo.is_some_and(|echo| echo < at.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u32, end: u32) -> SeqRange {
        SeqRange { start: Seq(start), end: Seq(end) }
    }

    /// 3522-1: the echo of a time stamp from before the retransmission tells; and only the first ACK does.
    #[test]
    fn eifel() {
        let mut undo = Undo::new(range(0, 1000));
        assert!(!undo.on_advance(Seq(100), Some(0)), "nothing was sent again");
        undo.on_resent(range(0, 100), Instant::from_millis(200));
        let again = undo.clone();
        assert!(!undo.on_advance(Seq(0), Some(1)));
        assert!(!undo.on_advance(Seq(100), Some(200)));
        assert!(!undo.on_advance(Seq(200), Some(1)));
        assert!(again.clone().on_advance(Seq(100), Some(199)));
        assert!(!again.clone().on_advance(Seq(100), None));
    }

    /// What is before the hole may still be under way, and its ACK answers nothing that was sent again.
    #[test]
    fn an_ack_up_to_the_hole_says_nothing() {
        let mut undo = Undo::new(range(0, 1000));
        undo.on_resent(range(300, 400), Instant::from_millis(200));
        assert!(!undo.on_advance(Seq(300), Some(100)));
        assert!(!undo.on_advance(Seq(500), Some(201)));
    }

    /// 3708-1: only if DSACKs account for all that was sent again.
    #[test]
    fn dsacks() {
        let mut undo = Undo::new(range(0, 1000));
        assert!(!undo.on_dsack(range(0, 100)));
        let mut undo = Undo::new(range(0, 1000));
        undo.on_resent(range(0, 100), Instant::from_millis(200));
        assert_eq!(
            undo.rtt_by_dsack(range(0, 100), Instant::from_millis(250)),
            Some(Duration::from_millis(50)),
            "it tells which transmission it answers"
        );
        undo.on_resent(range(300, 400), Instant::from_millis(200));
        assert_eq!(undo.rtt_by_dsack(range(300, 400), Instant::from_millis(250)), None);
        assert!(!undo.on_dsack(range(1300, 1400)), "of another time");
        assert!(!undo.on_dsack(range(0, 100)));
        assert!(undo.on_dsack(range(300, 400)));
    }
}
