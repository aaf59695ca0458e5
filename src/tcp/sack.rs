//! SACK blocks as they arrive: which are believed (RFC 2018 4, 8), and which is a DSACK, that is, tells of what came twice
//! (RFC 2883 4).

use super::scoreboard::{Scoreboard, Verdict};
use super::seq::{Seq, SeqRange};
use crate::wire::tcp_options::SackBlocks;
use smallvec::SmallVec;

/// The blocks of one segment.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    /// What the peer says it has behind holes, lowest number first.
    pub held: SmallVec<[SeqRange; 4]>,
    /// What the peer says it received twice.
    pub duplicate: Option<SeqRange>,
}

impl Blocks {
    /// Reads the blocks of a segment that acknowledges `ack`, while all before `una` was acknowledged before, all before
    /// `nxt` was sent and the peer's window never was larger than `max_wnd`. What cannot be is left out (CVE-2019-11477 and
    /// the like begin with such blocks).
    pub fn read(blocks: &SackBlocks, ack: Seq, una: Seq, nxt: Seq, max_wnd: u32) -> Self {
        let range = |&(start, end): &(u32, u32)| SeqRange { start: Seq(start), end: Seq(end) };
        let is_sent = |block: &SeqRange| {
            let oldest = una - max_wnd;
            block.start.before(block.end) && block.end.at_or_before(nxt) && block.start.at_or_after(oldest)
        };
        let all = blocks.as_slice();
        // RFC 2883 4: the first block, if what it tells is acknowledged anyway, or lies within the second.
        let first = all.first().map(range).filter(is_sent);
        let second = all.get(1).map(range).filter(is_sent);
        let within = |block: SeqRange, other: SeqRange| {
            block.start.at_or_after(other.start) && block.end.at_or_before(other.end)
        };
        let duplicate =
            first.filter(|&block| block.end.at_or_before(ack) || second.is_some_and(|second| within(block, second)));
        let mut held: SmallVec<[SeqRange; 4]> = all
            .iter()
            .skip(usize::from(duplicate.is_some()))
            .map(range)
            .filter(|block| is_sent(block) && block.start.after(una.max(ack)))
            .collect();
        held.sort_unstable_by_key(|block| block.start.since(una));
        Blocks { held, duplicate }
    }
}

/// Segments that the peer has beyond one which make it lost (RFC 6675 2, DupThresh).
const DUP_THRESHOLD: u32 = 3;

/// IsLost() of RFC 6675 4 for all that was sent once: three discontiguous runs beyond it, or more than two segments'
/// bytes. Gives the bytes that are lost now.
pub fn detect_rfc6675(board: &mut Scoreboard, mss: u32) -> u32 {
    let (mut beyond, mut runs) = (board.sacked(), sacked_runs(board));
    let sacked: SmallVec<[SeqRange; 4]> =
        board.records().filter(|r| r.fate == super::scoreboard::Fate::Sacked).map(|r| r.numbers).collect();
    let mut next = sacked.iter().peekable();
    board.mark_lost(|sent| {
        while let Some(run) = next.next_if(|run| run.start.before(sent.numbers.start)) {
            beyond -= run.len();
            runs -= 1;
        }
        let is_lost = runs >= DUP_THRESHOLD || beyond > (DUP_THRESHOLD - 1) * mss;
        match (is_lost, sent.resent) {
            (true, 0) => Verdict::Lost,
            (true, _) => Verdict::Keep,
            (false, _) => Verdict::Stop,
        }
    })
}

fn sacked_runs(board: &Scoreboard) -> u32 {
    board.records().filter(|r| r.fate == super::scoreboard::Fate::Sacked).count() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::sample::SentState;
    use crate::tcp::scoreboard::News;
    use crate::time::Instant;

    fn range(start: u32, end: u32) -> SeqRange {
        SeqRange { start: Seq(start), end: Seq(end) }
    }

    /// The blocks that are held, and the one that came twice.
    type Told = (Vec<(u32, u32)>, Option<(u32, u32)>);

    fn read(blocks: &[(u32, u32)], ack: u32) -> Told {
        let mut option = SackBlocks::default();
        blocks.iter().for_each(|&block| {
            option.push(block);
        });
        let blocks = Blocks::read(&option, Seq(ack), Seq(1000), Seq(9000), 4000);
        let plain = |r: &SeqRange| (r.start.0, r.end.0);
        (blocks.held.iter().map(plain).collect(), blocks.duplicate.as_ref().map(plain))
    }

    /// 2883-4 2883-6: RFC 2883 4's rules, with its examples' shapes.
    #[test]
    fn duplicates_are_told_from_what_is_held() {
        assert_eq!(read(&[(3000, 3500)], 4000), (vec![], Some((3000, 3500))), "4.1.1: below the ACK");
        assert_eq!(read(&[(3000, 3500), (4500, 5000)], 4000), (vec![(4500, 5000)], Some((3000, 3500))), "4.1.2");
        assert_eq!(read(&[(4500, 5000), (4500, 5500)], 4000), (vec![(4500, 5500)], Some((4500, 5000))), "4.1.3");
        assert_eq!(read(&[(5000, 5500), (4500, 5500)], 4000).1, Some((5000, 5500)), "4.2.3");
        assert_eq!(read(&[(6000, 6500), (4500, 5000)], 4000), (vec![(4500, 5000), (6000, 6500)], None));
    }

    /// attack-22: what cannot be is left out.
    #[test]
    fn impossible_blocks_are_left_out() {
        for block in [(5000, 5000), (5000, 4900), (8000, 9001), (9000, 9500), (0, 1), (u32::MAX, 5)] {
            let (held, _) = read(&[block], 1000);
            assert!(held.is_empty(), "{block:?}");
        }
        assert_eq!(read(&[(1000, 2000)], 1000).0, [], "what stands first would have been acknowledged");
        assert_eq!(read(&[(0xffff_0000, 0xffff_0100)], 1000).1, None, "a duplicate from before any window");
    }

    /// 6675-1 6675-2: lost are those with three runs, or more than two segments, beyond.
    #[test]
    fn rfc6675_is_lost() {
        let mut board = Scoreboard::new(Seq(0));
        board.on_sent(range(0, 2000), 100, Instant::ZERO, SentState::default());
        let mut news = News::default();
        board.sack(range(300, 500), &mut news);
        assert_eq!(detect_rfc6675(&mut board, 100), 0, "two segments");
        board.sack(range(500, 600), &mut news);
        assert_eq!(detect_rfc6675(&mut board, 100), 300, "three");
        board.sack(range(700, 800), &mut news);
        assert_eq!(detect_rfc6675(&mut board, 100), 0, "the hole behind them has but one beyond it");
        board.sack(range(900, 1000), &mut news);
        board.sack(range(1100, 1200), &mut news);
        assert_eq!(detect_rfc6675(&mut board, 100), 100, "three runs");
    }
}
