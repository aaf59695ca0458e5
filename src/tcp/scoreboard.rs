//! The scoreboard: what was sent and is not acknowledged, when it was sent, and what has become of it (RFC 6675 3, 4;
//! RFC 8985 5.1).
//!
//! One record stands for all segments that were sent in one go, a super-segment as a rule, and is split only where an ACK
//! or a SACK block cuts it, and then between segments, so that a peer cannot make more records than there are segments.
//! Neighbours that the peer has are joined: what costs is the number of holes. A connection with nothing in flight holds
//! no memory here ([`Board`]).

use super::records::Records;
use super::sample::{Newest, SentState};
use super::seq::{Seq, SeqRange};
use crate::time::Instant;
use core::ops::{Deref, DerefMut};

/// Records of one connection. Beyond them what is sent joins the last record, and a block that would split one is not taken.
pub const MAX_RECORDS: usize = 16_384;

/// Bytes of a run of what is lost that are looked at together: no device takes more at once.
const LONGEST_RUN: u32 = 1 << 16;

/// A connection may have so many in any case.
const MIN_RECORDS: usize = 64;

/// How many records a connection may have whose unacknowledged text pins `text` bytes: so many that they, with the room
/// that their queue keeps, pin half of that at most. Segments of a few bytes, which a peer may ask for, would cost much.
pub fn most_records(text: usize) -> usize {
    (text / (8 * size_of::<Sent>())).clamp(MIN_RECORDS, MAX_RECORDS)
}

/// What has become of a record's text, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the network.
    Flying,
    /// It is believed lost, and to be sent again.
    Lost,
    /// The peer has it, behind a hole.
    Sacked,
}

/// Segments that were sent together.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Their numbers.
    pub numbers: SeqRange,
    /// When they were sent, the last time.
    pub at: Instant,
    /// How delivery stood then.
    pub state: SentState,
    /// Bytes of a full segment among them.
    mss: u32,
    /// What has become of them.
    pub fate: Fate,
    /// How often they were sent again.
    pub resent: u8,
}

impl Sent {
    /// `numbers`, sent in segments of `mss` bytes for the first time.
    pub(super) fn new(numbers: SeqRange, mss: u32, at: Instant, state: SentState) -> Self {
        Sent { numbers, at, state, mss: mss.max(1), fate: Fate::Flying, resent: 0 }
    }

    /// Takes `next` in, which follows, if the two were sent in one go, or `anyhow` if both are in the network.
    fn join(&mut self, next: &Sent, anyhow: bool) -> bool {
        let one = self.at == next.at
            && self.resent == next.resent
            && self.mss == next.mss
            && self.numbers.len().is_multiple_of(self.mss);
        let joins = self.fate == Fate::Flying && self.numbers.end == next.numbers.start && (one || anyhow);
        if joins {
            (self.numbers.end, self.at) = (next.numbers.end, next.at);
            self.resent = self.resent.max(next.resent);
        }
        joins
    }

    /// Takes `next` in, which follows, if both are lost and full segments but for the end, as often sent again.
    fn join_lost(&mut self, next: &Sent) -> bool {
        let joins = self.fate == Fate::Lost
            && next.fate == Fate::Lost
            && self.mss == next.mss
            && self.resent == next.resent
            && self.numbers.len().is_multiple_of(self.mss);
        if joins {
            // If it arrives after all, it measures no less than the truth.
            self.numbers.end = next.numbers.end;
        }
        joins
    }

    /// The first segment's start at or after `seq`.
    fn ceil(&self, seq: Seq) -> Seq {
        (self.numbers.start + seq.since(self.numbers.start).div_ceil(self.mss) * self.mss).min(self.numbers.end)
    }

    /// The last segment's end at or before `seq`.
    fn floor(&self, seq: Seq) -> Seq {
        if seq.at_or_after(self.numbers.end) {
            return self.numbers.end;
        }
        self.numbers.start + seq.since(self.numbers.start) / self.mss * self.mss
    }
}

/// What one ACK says that was not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct News {
    /// Bytes delivered.
    pub delivered: u32,
    /// Of these, those that only a SACK block tells of.
    pub sacked: u32,
    /// Bytes found lost.
    pub lost: u32,
    /// Of what was delivered, the segment that was sent last, and where it ends (RFC 8985 6.2, step 2).
    pub newest: Option<(Newest, Seq)>,
    /// When the first of the delivered was sent that was sent only once.
    pub earliest: Option<Instant>,
    /// Whether something was delivered that was sent more than once.
    pub resent: bool,
    /// The last number that was sent once only and is delivered now; for F-RTO.
    pub original: Option<Seq>,
    /// Whether something that was sent once only came behind what was sent after it (RFC 8985 6.2, step 3).
    pub reordered: bool,
}

/// The records in the order of their numbers. They cover SND.UNA up to SND.NXT without a gap.
#[derive(Clone, Debug)]
pub struct Scoreboard {
    records: Records,
    /// Records that there may be.
    most: usize,
    /// Bytes that the peer has behind holes, and the segments they were.
    sacked: u32,
    sacked_segments: u32,
    /// Bytes to be sent again.
    lost: u32,
    /// Nothing before it is to be sent again.
    lost_from: Seq,
    /// The highest number delivered (RFC 8985's RACK.fack).
    fack: Seq,
}

impl Scoreboard {
    /// An empty one of a connection whose first number is `una`.
    pub const fn new(una: Seq) -> Self {
        Scoreboard {
            records: Records::new(),
            most: MIN_RECORDS,
            sacked: 0,
            sacked_segments: 0,
            lost: 0,
            lost_from: una,
            fack: una,
        }
    }

    /// Bytes that the peer has behind holes.
    pub fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Segments that the peer has behind holes.
    pub fn sacked_segments(&self) -> u32 {
        self.sacked_segments
    }

    /// Bytes to be sent again.
    pub fn lost(&self) -> u32 {
        self.lost
    }

    /// The highest number that is known to have arrived.
    pub fn fack(&self) -> Seq {
        self.fack
    }

    /// The records, first number first.
    pub fn records(&self) -> impl Iterator<Item = &Sent> {
        self.records.iter()
    }

    /// Memory pinned, in bytes.
    pub fn pinned(&self) -> usize {
        self.records.pinned()
    }

    /// `numbers`, which continue what is in flight, were sent in segments of `mss` bytes.
    pub fn on_sent(&mut self, numbers: SeqRange, mss: u32, at: Instant, state: SentState) {
        let sent = Sent::new(numbers, mss, at, state);
        let full = self.records.len() >= self.most;
        if !self.records.last_mut().is_some_and(|last| last.join(&sent, full)) {
            self.records.push_back(sent);
        }
    }

    /// All before `una` is acknowledged.
    pub fn acknowledge(&mut self, una: Seq, news: &mut News) {
        while let Some(first) = self.records.first_mut() {
            let Sent { numbers, fate, .. } = *first;
            let end = numbers.end.min(una);
            if end.at_or_before(numbers.start) {
                break;
            }
            let len = end.since(numbers.start);
            match fate {
                Fate::Sacked => {
                    self.sacked -= len;
                    self.sacked_segments = self.sacked_segments.saturating_sub(len.div_ceil(first.mss));
                }
                Fate::Lost => self.lost -= len,
                Fate::Flying => {}
            }
            if fate != Fate::Sacked {
                deliver(first, end, &mut self.fack, news);
                news.delivered += len;
            }
            if end != numbers.end {
                first.numbers.start = end;
                break;
            }
            self.records.remove(0..1);
        }
        if self.sacked == 0 {
            self.sacked_segments = 0;
        }
    }

    fn index(&self, seq: Seq) -> usize {
        self.records.partition_point(|r| r.numbers.end.at_or_before(seq))
    }

    /// The peer has `block`, which lies in what is in flight.
    pub fn sack(&mut self, block: SeqRange, news: &mut News) {
        let mut i = self.index(block.start);
        while let Some(record) = self.records.get(i)
            && record.numbers.start.before(block.end)
        {
            let part = SeqRange { start: record.ceil(block.start), end: record.floor(block.end) };
            let splits = part.start != record.numbers.start && part.end != record.numbers.end;
            let room = self.records.len() + if splits { 2 } else { 1 } <= self.most;
            if record.fate == Fate::Sacked || part.is_empty() || !room {
                i += 1;
                continue;
            }
            deliver(record, part.end, &mut self.fack, news);
            news.delivered += part.len();
            news.sacked += part.len();
            self.sacked += part.len();
            self.sacked_segments += part.len().div_ceil(record.mss);
            if record.fate == Fate::Lost {
                self.lost -= part.len();
            }
            i = self.set_sacked(i, part);
        }
    }

    /// Makes `part` of record `i` one that the peer has, joins it with its neighbours, and gives the index behind it.
    fn set_sacked(&mut self, i: usize, part: SeqRange) -> usize {
        let record = self.records[i];
        let (left, right) = (part.start != record.numbers.start, part.end != record.numbers.end);
        let is_sacked = |r: Option<&Sent>| r.is_some_and(|r| r.fate == Fate::Sacked);
        let before = !left && i > 0 && is_sacked(self.records.get(i - 1));
        let after = !right && is_sacked(self.records.get(i + 1));
        let sacked = Sent { numbers: part, fate: Fate::Sacked, ..record };
        if left {
            self.records[i].numbers.end = part.start;
        } else if right {
            self.records[i].numbers.start = part.end;
        }
        if left && right {
            let rest = Sent { numbers: SeqRange { start: part.end, end: record.numbers.end }, ..record };
            self.records.insert(i + 1, rest);
        }
        match (before, after) {
            (true, true) => {
                self.records[i - 1].numbers.end = self.records[i + 1].numbers.end;
                self.records.remove(i..i + 2);
                i
            }
            (true, false) => {
                self.records[i - 1].numbers.end = part.end;
                if right {
                    return i;
                }
                self.records.remove(i..i + 1);
                i
            }
            (false, true) => {
                self.records[i + 1].numbers.start = part.start;
                if left {
                    return i + 2;
                }
                self.records.remove(i..i + 1);
                i + 1
            }
            (false, false) => {
                match (left, right) {
                    (false, false) => self.records[i] = sacked,
                    (false, true) => self.records.insert(i, sacked),
                    (true, _) => self.records.insert(i + 1, sacked),
                }
                i + 1 + usize::from(left)
            }
        }
    }

    /// Takes for lost what `is_lost` says of what is in the network, first number first, until it says to stop; gives the
    /// bytes.
    pub fn mark_lost(&mut self, mut is_lost: impl FnMut(&Sent) -> Verdict) -> u32 {
        let mut bytes = 0;
        let mut marked = None::<(usize, usize)>;
        for (i, record) in self.records.iter_mut().enumerate().filter(|(_, r)| r.fate == Fate::Flying) {
            match is_lost(record) {
                Verdict::Lost => {
                    record.fate = Fate::Lost;
                    marked = Some((marked.map_or(i, |(first, _)| first), i));
                    if self.lost + bytes == 0 || record.numbers.start.before(self.lost_from) {
                        self.lost_from = record.numbers.start;
                    }
                    bytes += record.numbers.len();
                }
                Verdict::Keep => {}
                Verdict::Stop => break,
            }
        }
        self.lost += bytes;
        if let Some((first, last)) = marked {
            self.join_lost(first.saturating_sub(1), (last + 2).min(self.records.len()));
        }
        bytes
    }

    /// Makes one of neighbours from `first` up to `end` that are lost: when they were sent is of no use any more.
    fn join_lost(&mut self, first: usize, end: usize) {
        let mut kept = first;
        for i in first + 1..end {
            let next = self.records[i];
            if !self.records[kept].join_lost(&next) {
                kept += 1;
                self.records[kept] = next;
            }
        }
        if kept + 1 < end {
            self.records.remove(kept + 1..end);
        }
    }

    /// Takes for lost the first `len` bytes in flight, or as many as are in the network there (for a sender without SACK).
    pub fn mark_front_lost(&mut self, len: u32) -> u32 {
        let Some(first) = self.records.first().copied().filter(|r| r.fate == Fate::Flying) else { return 0 };
        let front = SeqRange { start: first.numbers.start, end: (first.numbers.start + len).min(first.numbers.end) };
        if front.end != first.numbers.end {
            self.records[0].numbers.start = front.end;
            self.records.insert(0, Sent { numbers: front, ..first });
        }
        let mut left = 1;
        self.mark_lost(|_| {
            left -= 1;
            if left < 0 { Verdict::Stop } else { Verdict::Lost }
        })
    }

    /// What was taken for lost and has not been sent again is in the network after all.
    pub fn unmark_lost(&mut self) {
        for record in self.records.iter_mut().filter(|r| r.fate == Fate::Lost) {
            record.fate = Fate::Flying;
        }
        self.lost = 0;
    }

    /// The peer may have dropped what it has behind holes (RFC 2018 8): it counts as in the network again.
    pub fn forget_sacks(&mut self) {
        for record in self.records.iter_mut().filter(|r| r.fate == Fate::Sacked) {
            record.fate = Fate::Flying;
        }
        (self.sacked, self.sacked_segments) = (0, 0);
    }

    /// Whether the peer says that it has what it has not acknowledged although no hole is before it: it has dropped that.
    pub fn reneged(&self) -> bool {
        self.records.first().is_some_and(|r| r.fate == Fate::Sacked)
    }

    /// The first numbers in a row that are to be sent again, or as many of them as leave together.
    pub fn first_lost(&self) -> Option<SeqRange> {
        let first = self.first_lost_record()?;
        let mut numbers = self.records[first].numbers;
        for record in self.records[first + 1..].iter().take_while(|r| r.fate == Fate::Lost) {
            if numbers.len() >= LONGEST_RUN {
                break;
            }
            numbers.end = record.numbers.end;
        }
        Some(numbers)
    }

    fn first_lost_record(&self) -> Option<usize> {
        if self.lost == 0 {
            return None;
        }
        let from = self.index(self.lost_from);
        self.records[from..].iter().position(|r| r.fate == Fate::Lost).map(|i| from + i)
    }

    /// `numbers`, which begin where [`first_lost`](Self::first_lost) says or are the tail of what is in flight, were sent
    /// again; they may run on into what was never sent.
    pub fn on_resent(&mut self, numbers: SeqRange, mss: u32, at: Instant, state: SentState) {
        let mut i = self.index(numbers.start);
        let mut resent = 0;
        if self.first_lost_record().is_some_and(|first| first >= i) {
            self.lost_from = numbers.end;
        }
        if let Some(record) = self.records.get_mut(i)
            && record.numbers.start.before(numbers.start)
        {
            let rest = Sent { numbers: SeqRange { start: numbers.start, end: record.numbers.end }, ..*record };
            record.numbers.end = numbers.start;
            i += 1;
            self.records.insert(i, rest);
        }
        while let Some(record) = self.records.get_mut(i)
            && record.numbers.start.before(numbers.end)
        {
            resent = resent.max(record.resent);
            let end = record.numbers.end.min(numbers.end);
            let len = end.since(record.numbers.start);
            match record.fate {
                Fate::Lost => self.lost -= len,
                Fate::Sacked => {
                    self.sacked -= len;
                    self.sacked_segments = self.sacked_segments.saturating_sub(len.div_ceil(record.mss));
                }
                Fate::Flying => {}
            }
            if end == record.numbers.end {
                self.records.remove(i..i + 1);
            } else {
                record.numbers.start = end;
            }
        }
        let resent = resent.saturating_add(1);
        let sent = Sent { resent, ..Sent::new(numbers, mss, at, state) };
        let full = self.records.len() >= self.most;
        if i == 0 || !self.records[i - 1].join(&sent, full) {
            self.records.insert(i, sent);
        }
    }

    /// The last segment in flight.
    pub fn tail(&self) -> Option<SeqRange> {
        let last = self.records.last()?;
        let len = (last.numbers.len() - 1) % last.mss + 1;
        Some(SeqRange { start: last.numbers.end - len, end: last.numbers.end })
    }

    /// Checks that the records cover `una..nxt` and that the sums are theirs.
    pub fn debug_assert_covers(&self, una: Seq, nxt: Seq) {
        if !cfg!(debug_assertions) || self.records.len() > 64 {
            return;
        }
        let mut at = una;
        let (mut sacked, mut lost) = (0, 0);
        for record in self.records.iter() {
            debug_assert!(record.numbers.start == at && !record.numbers.is_empty(), "no gap, no empty record");
            at = record.numbers.end;
            match record.fate {
                Fate::Sacked => sacked += record.numbers.len(),
                Fate::Lost => lost += record.numbers.len(),
                Fate::Flying => {}
            }
        }
        debug_assert!(at == nxt, "the records end at SND.NXT");
        debug_assert_eq!((sacked, lost), (self.sacked, self.lost), "the sums are those of the records");
    }
}

/// A connection's scoreboard, which takes memory only while something is in flight: idle connections are many.
#[derive(Clone, Debug, Default)]
pub struct Board(Option<Box<Scoreboard>>);

impl Board {
    /// [`Scoreboard::on_sent`], where there may be `most` records.
    pub fn on_sent(&mut self, numbers: SeqRange, mss: u32, at: Instant, state: SentState, most: usize) {
        let board = &mut **self;
        if board.records.is_empty() {
            *board = Scoreboard::new(numbers.start);
        }
        board.most = most;
        board.on_sent(numbers, mss, at, state);
    }

    /// [`Scoreboard::acknowledge`].
    pub fn acknowledge(&mut self, una: Seq, news: &mut News) {
        if let Some(board) = &mut self.0 {
            board.acknowledge(una, news);
            if board.records.is_empty() {
                self.0 = None;
            }
        }
    }

    /// Memory pinned, in bytes.
    pub fn pinned(&self) -> usize {
        self.0.as_ref().map_or(0, |board| size_of::<Scoreboard>() + board.pinned())
    }
}

impl Deref for Board {
    type Target = Scoreboard;

    fn deref(&self) -> &Scoreboard {
        static NOTHING: Scoreboard = Scoreboard::new(Seq(0));
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for Board {
    fn deref_mut(&mut self) -> &mut Scoreboard {
        self.0.get_or_insert_with(|| Box::new(Scoreboard::new(Seq(0))))
    }
}

/// What is to be done with a record that is in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is lost.
    Lost,
    /// It stays.
    Keep,
    /// It stays, and so does all behind it.
    Stop,
}

/// The front of `record` up to `end`, or a part within it, has arrived.
fn deliver(record: &Sent, end: Seq, fack: &mut Seq, news: &mut News) {
    if record.resent == 0 {
        news.earliest = Some(news.earliest.map_or(record.at, |at| at.min(record.at)));
        news.original = Some(news.original.map_or(end, |original| original.min(end)));
        news.reordered |= end.before(*fack);
    } else {
        news.resent = true;
    }
    *fack = fack.max(end);
    let is_newer = |(known, known_end): &(Newest, Seq)| sent_after(record.at, end, known.sent_at, *known_end);
    if news.newest.as_ref().is_none_or(is_newer) {
        let newest = Newest { sent_at: record.at, retransmitted: record.resent > 0, state: record.state };
        news.newest = Some((newest, end));
    }
}

/// RFC 8985 6.2's RACK_sent_after: of two sent at one time, the one with the higher number was sent later.
pub fn sent_after(at: Instant, end: Seq, other_at: Instant, other_end: Seq) -> bool {
    at > other_at || (at == other_at && end.after(other_end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MSS: u32 = 100;

    fn range(start: u32, end: u32) -> SeqRange {
        SeqRange { start: Seq(start), end: Seq(end) }
    }

    /// Ten segments in one record, from number 1000 on.
    fn board() -> Scoreboard {
        let mut board = Scoreboard::new(Seq(1000));
        board.on_sent(range(1000, 2000), MSS, Instant::from_millis(1), SentState::default());
        board
    }

    fn sack(board: &mut Scoreboard, start: u32, end: u32) -> News {
        let mut news = News::default();
        board.sack(range(start, end), &mut news);
        news
    }

    fn shape(board: &Scoreboard) -> Vec<(u32, u32, Fate)> {
        board.records().map(|r| (r.numbers.start.0, r.numbers.end.0, r.fate)).collect()
    }

    #[test]
    fn a_record_is_split_where_a_block_cuts_it_and_joined_again() {
        let mut b = board();
        assert_eq!(sack(&mut b, 1200, 1400).delivered, 200);
        assert_eq!(shape(&b), [(1000, 1200, Fate::Flying), (1200, 1400, Fate::Sacked), (1400, 2000, Fate::Flying)]);
        assert_eq!(sack(&mut b, 1200, 1500).delivered, 100, "only what is new");
        assert_eq!(sack(&mut b, 1600, 1700).sacked, 100);
        assert_eq!(sack(&mut b, 1500, 1600).sacked, 100);
        assert_eq!(shape(&b), [(1000, 1200, Fate::Flying), (1200, 1700, Fate::Sacked), (1700, 2000, Fate::Flying)]);
        assert_eq!((b.sacked(), b.sacked_segments()), (500, 5));
        let mut news = News::default();
        b.acknowledge(Seq(1800), &mut news);
        assert_eq!((news.delivered, b.sacked(), b.sacked_segments()), (300, 0, 0));
        assert!(news.reordered, "the first two came behind the others");
    }

    /// attack-22 attack-23: blocks that cut segments make no records.
    #[test]
    fn blocks_within_segments_split_nothing() {
        let mut b = board();
        for i in 0..500 {
            sack(&mut b, 1000 + 2 * i, 1001 + 2 * i);
            sack(&mut b, 1001 + i, 1099 + i);
        }
        assert_eq!(shape(&b), [(1000, 2000, Fate::Flying)]);
        assert_eq!(sack(&mut b, 1050, 1350).delivered, 200, "whole segments count");
    }

    #[test]
    fn what_is_lost_goes_again_from_its_front_and_is_found_to_be_lost_again() {
        let mut b = board();
        sack(&mut b, 1300, 1400);
        b.mark_lost(|r| if r.numbers.start.before(Seq(1300)) { Verdict::Lost } else { Verdict::Stop });
        assert_eq!((b.lost(), b.first_lost()), (300, Some(range(1000, 1300))));
        b.on_resent(range(1000, 1100), MSS, Instant::from_millis(5), SentState::default());
        b.on_resent(range(1100, 1200), MSS, Instant::from_millis(5), SentState::default());
        assert_eq!((b.lost(), b.first_lost()), (100, Some(range(1200, 1300))));
        b.mark_lost(|r| if r.resent > 0 { Verdict::Lost } else { Verdict::Keep });
        assert_eq!((b.lost(), b.first_lost()), (300, Some(range(1000, 1300))));
        b.unmark_lost();
        assert_eq!((b.lost(), b.first_lost()), (0, None));
        b.debug_assert_covers(Seq(1000), Seq(2000));
    }

    #[test]
    fn the_number_of_records_is_bounded() {
        for (text, most) in [(0, MIN_RECORDS), (1 << 20, most_records(1 << 20)), (usize::MAX, MAX_RECORDS)] {
            let mut b = Board::default();
            let n = most as u32 + 5000;
            for i in 0..n {
                let at = Instant::from_millis(i.into());
                b.on_sent(range(i, i + 1), MSS, at, SentState::default(), most_records(text));
            }
            assert_eq!(b.records().count(), most);
            assert!(text < 1 << 20 || b.pinned() <= text);
            let mut news = News::default();
            b.acknowledge(Seq(n), &mut news);
            assert_eq!((news.delivered, b.pinned()), (n, 0));
        }
    }

    #[test]
    fn the_tail_is_the_last_segment() {
        let mut b = board();
        assert_eq!(b.tail(), Some(range(1900, 2000)));
        b.on_sent(range(2000, 2130), MSS, Instant::from_millis(2), SentState::default());
        assert_eq!(b.tail(), Some(range(2100, 2130)));
        b.on_resent(range(2100, 2130), MSS, Instant::from_millis(3), SentState::default());
        b.debug_assert_covers(Seq(1000), Seq(2130));
        assert_eq!(b.records().last().map(|r| (r.numbers, r.resent)), Some((range(2100, 2130), 1)));
    }

    proptest! {
        /// Against one fate for each segment.
        #[test]
        fn like_an_array_of_segments(steps in prop::collection::vec((0u8..5, 0u32..20, 1u32..6), 1..60)) {
            let mut b = Scoreboard::new(Seq(0));
            b.on_sent(range(0, 2000), MSS, Instant::from_millis(0), SentState::default());
            let mut model = [Fate::Flying; 20];
            let mut una = 0u32;
            for (clock, (step, at, n)) in steps.into_iter().enumerate() {
                let (from, to) = (at.max(una), (at + n).min(20).max(una));
                let mut news = News::default();
                let new = |model: &[Fate; 20], from: u32, to: u32| {
                    100 * (from..to).filter(|&i| model[i as usize] != Fate::Sacked).count() as u32
                };
                match step {
                    0 => {
                        let expected = new(&model, una, to);
                        b.acknowledge(Seq(to * 100), &mut news);
                        prop_assert_eq!(news.delivered, expected);
                        una = to;
                    }
                    1 => {
                        let expected = new(&model, from, to);
                        b.sack(range(from * 100, to * 100), &mut news);
                        prop_assert_eq!(news.sacked, expected);
                        model[from as usize..to as usize].fill(Fate::Sacked);
                    }
                    2 => {
                        b.mark_lost(|r| if r.numbers.end.0 <= to * 100 { Verdict::Lost } else { Verdict::Keep });
                        for record in b.records() {
                            let all = record.numbers.start.0 / 100..record.numbers.end.0 / 100;
                            all.for_each(|i| model[i as usize] = record.fate);
                        }
                    }
                    3 => {
                        if let Some(lost) = b.first_lost() {
                            prop_assert!((lost.start.0..lost.end.0).step_by(100).all(|i| model[i as usize / 100] == Fate::Lost));
                            let numbers = SeqRange { start: lost.start, end: lost.end.min(lost.start + MSS) };
                            b.on_resent(numbers, MSS, Instant::from_millis(clock as u64), SentState::default());
                            model[numbers.start.0 as usize / 100] = Fate::Flying;
                        }
                    }
                    _ => {
                        b.unmark_lost();
                        model.iter_mut().filter(|f| **f == Fate::Lost).for_each(|f| *f = Fate::Flying);
                    }
                }
                b.debug_assert_covers(Seq(una * 100), Seq(2000));
                for record in b.records() {
                    for i in record.numbers.start.0 / 100..record.numbers.end.0 / 100 {
                        prop_assert_eq!(record.fate, model[i as usize], "segment {}", i);
                    }
                }
            }
        }
    }
}
