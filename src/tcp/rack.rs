//! RACK: a segment is lost if one that was sent sufficiently later has been delivered (RFC 8985 6). What "sufficiently"
//! means follows from the reordering seen: the reordering window.

use super::scoreboard::{News, Scoreboard, Verdict, sent_after};
use super::seq::Seq;
use crate::time::Instant;
use core::time::Duration;

/// SACKed segments that mean a loss as long as no reordering was seen (RFC 8985 3.3.2's DupThresh).
const DUP_THRESHOLD: u32 = 3;
/// Recoveries for which a wider window stays (RFC 8985 6.2, step 4).
const PERSISTENCE: u8 = 16;

/// RACK's variables (RFC 8985 5.2).
#[derive(Clone, Debug, Default)]
pub struct Rack {
    /// RACK.xmit_ts and RACK.end_seq: of what was delivered, when the segment that was sent last was sent, and its end.
    latest: Option<(Instant, Seq)>,
    /// RACK.rtt: its round-trip time.
    rtt: Duration,
    /// RACK.reordering_seen.
    reordering_seen: bool,
    /// RACK.dsack_round: SND.NXT when the window last grew.
    dsack_round: Option<Seq>,
    /// RACK.reo_wnd_mult, less one.
    wider: u8,
    /// RACK.reo_wnd_persist.
    persist: u8,
    /// When something may have to be taken for lost without a further ACK.
    due: Option<Instant>,
    /// When the last of what was found lost at the last look had gone again, if some had.
    lost_again: Option<Instant>,
}

/// What RACK needs to know beside the scoreboard.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// The time.
    pub now: Instant,
    /// SRTT.
    pub srtt: Duration,
    /// The smallest round-trip time seen lately.
    pub min_rtt: Duration,
    /// Whether a recovery is going on.
    pub recovering: bool,
}

impl Rack {
    /// When the reordering window of something in flight ends.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether something was found lost at the last look that had gone again at `since` or later.
    pub fn lost_again(&self, since: Instant) -> bool {
        self.lost_again.is_some_and(|at| at >= since)
    }

    /// Steps 1 to 3: takes what an ACK delivered. `echo` is when the time stamp that it echoes was sent, where there is
    /// one, in milliseconds: of something sent twice, it tells which transmission is meant.
    pub fn update(&mut self, news: &News, path: &Path, echo: Option<u64>) {
        self.reordering_seen |= news.reordered;
        let Some((newest, end)) = news.newest else { return };
        let rtt = path.now.since(newest.sent_at);
        let ambiguous =
            newest.retransmitted && (echo.is_some_and(|echo| echo < newest.sent_at.as_millis()) || rtt < path.min_rtt);
        if ambiguous {
            return;
        }
        self.rtt = rtt;
        if self.latest.is_none_or(|(at, known)| sent_after(newest.sent_at, end, at, known)) {
            self.latest = Some((newest.sent_at, end));
        }
    }

    /// Step 4, first half: a DSACK says that something was sent again for nothing. The window grows, once a round trip.
    ///
    /// That is reordering seen, too: what always goes again before it arrives late never shows it in the other way.
    pub fn on_dsack(&mut self, una: Seq, nxt: Seq) {
        self.reordering_seen = true;
        if self.dsack_round.is_some_and(|round| una.before(round)) {
            return;
        }
        self.dsack_round = Some(nxt);
        self.wider = self.wider.saturating_add(1);
        self.persist = PERSISTENCE;
    }

    /// Step 4, second half: a recovery is over.
    pub fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.wider = 0;
        }
    }

    /// RACK.reo_wnd.
    pub fn reordering_window(&self, path: &Path, sacked_segments: u32) -> Duration {
        if !self.reordering_seen && (path.recovering || sacked_segments >= DUP_THRESHOLD) {
            return Duration::ZERO;
        }
        (path.min_rtt / 4).saturating_mul(u32::from(self.wider) + 1).min(path.srtt)
    }

    /// Step 5: takes for lost what was sent sufficiently before something that was delivered, and says how much. For what
    /// is not that late yet, it says [when](Rack::due) to look again.
    pub fn detect(&mut self, board: &mut Scoreboard, path: &Path) -> u32 {
        (self.due, self.lost_again) = (None, None);
        let Some((latest, end)) = self.latest else { return 0 };
        let patience = self.rtt + self.reordering_window(path, board.sacked_segments());
        let (mut due, mut again) = (None, None);
        let lost = board.mark_lost(|sent| {
            if !sent_after(latest, end, sent.at, sent.numbers.end) {
                // What was never sent again was sent in the order of its numbers.
                return if sent.resent == 0 { Verdict::Stop } else { Verdict::Keep };
            }
            // What is sent again at this very moment is not late yet, even where a round trip takes no time.
            if sent.resent > 0 && sent.at == path.now {
                return Verdict::Keep;
            }
            let late = sent.at + patience;
            if late <= path.now {
                again = again.max((sent.resent > 0).then_some(sent.at));
                return Verdict::Lost;
            }
            due = due.max(Some(late));
            Verdict::Keep
        });
        (self.due, self.lost_again) = (due, again);
        lost
    }

    /// The retransmission timer ran out (6.3): the first segment is lost, and what was sent a round trip and the
    /// reordering window ago.
    pub fn on_rto(&mut self, board: &mut Scoreboard, una: Seq, path: &Path) -> u32 {
        self.due = None;
        let rtt = if self.latest.is_some() { self.rtt } else { path.srtt };
        let patience = rtt + self.reordering_window(path, board.sacked_segments());
        board.mark_lost(|sent| {
            let is_lost = sent.numbers.start == una || sent.at + patience <= path.now;
            if is_lost { Verdict::Lost } else { Verdict::Keep }
        })
    }

    /// What was taken for lost is not: there is nothing to wait for.
    pub fn on_undone(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::sample::SentState;
    use crate::tcp::seq::SeqRange;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    fn path(now: u64) -> Path {
        Path { now: at(now), srtt: 100 * MS, min_rtt: 100 * MS, recovering: false }
    }

    /// Segments of 100 bytes, one each 10 ms, from number 0 at time 0 on.
    fn board(n: u32) -> Scoreboard {
        let mut board = Scoreboard::new(Seq(0));
        for i in 0..n {
            let numbers = SeqRange { start: Seq(100 * i), end: Seq(100 * i + 100) };
            board.on_sent(numbers, 100, at(10 * u64::from(i)), SentState::default());
        }
        board
    }

    fn sack(rack: &mut Rack, board: &mut Scoreboard, segment: u32, path: &Path) -> u32 {
        let mut news = News::default();
        board.sack(SeqRange { start: Seq(100 * segment), end: Seq(100 * segment + 100) }, &mut news);
        rack.update(&news, path, None);
        rack.detect(board, path)
    }

    /// 8985-5: one segment sent later is enough, a quarter of the round trip after it; the timer says when.
    #[test]
    fn a_segment_is_lost_a_reordering_window_after_a_later_one_arrived() {
        let (mut rack, mut b) = (Rack::default(), board(3));
        assert_eq!(sack(&mut rack, &mut b, 1, &path(110)), 0);
        assert_eq!(rack.due(), Some(at(125)), "sent at 0, a round trip of 100 ms, a window of 25 ms");
        assert_eq!(rack.detect(&mut b, &path(124)), 0);
        assert_eq!(rack.detect(&mut b, &path(125)), 100);
        assert_eq!(b.first_lost(), Some(SeqRange { start: Seq(0), end: Seq(100) }));
        assert_eq!(rack.due(), None);
    }

    /// 8985-1: three segments that the peer has beyond it make it lost at once, as long as no reordering was seen.
    #[test]
    fn without_reordering_three_sacked_segments_are_enough() {
        let (mut rack, mut b) = (Rack::default(), board(5));
        assert_eq!(sack(&mut rack, &mut b, 1, &path(110)), 0);
        assert_eq!(sack(&mut rack, &mut b, 2, &path(120)), 0);
        assert_eq!(sack(&mut rack, &mut b, 3, &path(130)), 100);
        let (mut rack, mut b) = (Rack { reordering_seen: true, ..Rack::default() }, board(5));
        for segment in 1..4 {
            let slow = Path { srtt: 400 * MS, min_rtt: 400 * MS, ..path(100 + 10 * u64::from(segment)) };
            assert_eq!(sack(&mut rack, &mut b, segment, &slow), 0);
        }
    }

    /// 8985-2 8985-18: the window grows with DSACKs, once a round, up to SRTT, and falls back after sixteen recoveries without.
    #[test]
    fn the_window_follows_dsacks() {
        let mut rack = Rack { reordering_seen: true, ..Rack::default() };
        let window = |rack: &Rack| rack.reordering_window(&path(0), 0);
        assert_eq!(window(&rack), 25 * MS);
        rack.on_dsack(Seq(0), Seq(1000));
        rack.on_dsack(Seq(999), Seq(2000));
        assert_eq!(window(&rack), 50 * MS, "once a round");
        for round in 1..10 {
            rack.on_dsack(Seq(1000 * round), Seq(1000 * round + 1000));
        }
        assert_eq!(window(&rack), 100 * MS);
        for _ in 0..15 {
            rack.on_recovered();
        }
        assert_eq!(window(&rack), 100 * MS);
        rack.on_recovered();
        assert_eq!(window(&rack), 25 * MS);
    }

    /// 8985-13 8985-16: a retransmission is found lost like everything else; an ACK that may be of the first transmission moves
    /// nothing.
    #[test]
    fn lost_retransmissions_are_found_again() {
        let (mut rack, mut b) = (Rack::default(), board(6));
        for segment in 1..4 {
            sack(&mut rack, &mut b, segment, &path(100 + 10 * u64::from(segment)));
        }
        let first = SeqRange { start: Seq(0), end: Seq(100) };
        assert_eq!(b.first_lost(), Some(first));
        b.on_resent(first, 100, at(131), SentState::default());
        let next = SeqRange { start: Seq(600), end: Seq(700) };
        b.on_sent(next, 100, at(132), SentState::default());
        assert_eq!(sack(&mut rack, &mut b, 4, &path(140)) + sack(&mut rack, &mut b, 5, &path(150)), 0);
        assert_eq!(sack(&mut rack, &mut b, 6, &path(232)), 100, "what was sent after the retransmission has arrived");
        // The ACK comes a millisecond after another retransmission: it cannot be of that.
        b.on_resent(first, 100, at(233), SentState::default());
        let mut news = News::default();
        b.acknowledge(Seq(700), &mut news);
        let before = rack.latest;
        rack.update(&news, &path(234), None);
        assert_eq!(rack.latest, before);
        rack.update(&news, &path(340), Some(200));
        assert_eq!(rack.latest, before, "the time stamp is older than the retransmission");
        rack.update(&news, &path(340), Some(233));
        assert_eq!(rack.latest, Some((at(233), Seq(100))));
    }

    /// 8985-14: a time-out makes the first segment lost and what is old enough, not what was sent just now.
    #[test]
    fn a_time_out_spares_what_was_sent_just_now() {
        let (mut rack, mut b) = (Rack::default(), board(30));
        assert_eq!(rack.on_rto(&mut b, Seq(0), &path(290)), 1700, "sent up to 290 - 100 - 25 ms");
    }
}
