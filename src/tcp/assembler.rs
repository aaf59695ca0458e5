//! Out-of-order text: what came beyond RCV.NXT and waits for the hole to be filled (RFC 9293 SHLD-31).
//!
//! Overlap policy: the first copy of a byte that arrives is the one that is kept; see
//! `docs/decisions/0005-first-copy-wins.md`. Ranges are disjoint and never touch; their number is bounded, so hostile
//! one-byte segments cost a bounded amount of memory and time: nothing but finding a range's place depends on how many
//! there are.

use super::seq::{Seq, SeqRange};
use crate::buf::{Slice, SliceQueue};
use crate::wire::tcp_options::SackBlocks;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// One contiguous run of received text.
#[derive(Debug)]
struct Run {
    start: Seq,
    data: SliceQueue,
    /// When it last grew, counted in insertions: SACK blocks are sent most recent first.
    touched: u64,
}

impl Run {
    fn end(&self) -> Seq {
        self.start + self.data.len() as u32
    }
}

/// The runs beyond RCV.NXT. Most connections have none.
#[derive(Debug, Default)]
pub struct Assembler(Option<Box<Held>>);

/// How many of the runs that grew last are known by name, so that SACK blocks need no search.
const RECENT: usize = 8;

/// SACK blocks that one option has room for.
const BLOCKS: usize = 4;

#[derive(Debug, Default)]
struct Held {
    /// In the order of their numbers.
    runs: VecDeque<Run>,
    insertions: u64,
    /// Memory that their text pins, in bytes.
    pinned: usize,
    /// Where those begin that grew last, the last first.
    recent: SmallVec<[Seq; RECENT]>,
    /// What came twice since the last ACK (RFC 2883).
    duplicate: Option<SeqRange>,
}

impl Held {
    /// The run that begins at `start` and ends at `end` has grown: it is now the most recent, and what it has swallowed
    /// is none any more.
    fn has_grown(&mut self, start: Seq, end: Seq) {
        if self.runs.len() == 1 {
            self.recent.clear();
            self.recent.push(start);
            return;
        }
        self.recent.retain(|known| known.before(start) || known.after(end));
        self.recent.truncate(RECENT - 1);
        self.recent.insert(0, start);
        self.refill();
    }

    /// Finds by a search what has been forgotten, when so few are known that an option would lack blocks.
    fn refill(&mut self) {
        if self.recent.len() >= BLOCKS.min(self.runs.len()) {
            return;
        }
        let mut below = u64::MAX;
        self.recent.clear();
        while self.recent.len() < RECENT
            && let Some(run) = self.runs.iter().filter(|run| run.touched < below).max_by_key(|run| run.touched)
        {
            below = run.touched;
            self.recent.push(run.start);
        }
    }

    fn run_at(&self, start: Seq) -> Option<&Run> {
        self.runs.get(self.runs.partition_point(|run| run.start.before(start)))
    }
}

impl Assembler {
    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.runs() == 0
    }

    /// Runs held.
    pub fn runs(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.runs.len())
    }

    /// Memory that the text pins, in bytes.
    pub fn pinned(&self) -> usize {
        self.0.as_ref().map_or(0, |held| held.pinned)
    }

    /// Holds `text`, which starts at `seq`, except for the bytes that are held already. At most `max_runs` runs are
    /// kept; says whether the text was taken (a full duplicate counts as taken).
    pub fn insert(&mut self, seq: Seq, text: &Slice, max_runs: usize) -> bool {
        let held = &mut **self.0.get_or_insert_default();
        let Held { runs, insertions, pinned, .. } = held;
        *insertions += 1;
        let touched = *insertions;
        let (start, end) = (seq, seq + text.len() as u32);
        // The runs that the text overlaps or touches: first..last.
        let first = runs.partition_point(|r| r.end().before(start));
        let last = runs.partition_point(|r| r.start.at_or_before(end)).max(first);
        if first == last {
            if runs.len() >= max_runs {
                return false;
            }
            let mut data = SliceQueue::new();
            data.push(text.clone());
            *pinned += data.pinned();
            runs.insert(first, Run { start, data, touched });
            held.has_grown(start, end);
            return true;
        }
        *pinned -= runs.range(first..last).map(|run| run.data.pinned()).sum::<usize>();
        // Join them all into the first one, taking from `text` only what fills the holes.
        let part = |from: Seq, to: Seq| text.slice(from.since(start) as usize..to.since(start) as usize);
        let others: SmallVec<[Run; 1]> = runs.drain(first + 1..last).collect();
        let run = &mut runs[first];
        run.touched = touched;
        if run.start.after(start) {
            run.data.push_front(part(start, run.start));
            run.start = start;
        }
        for other in others {
            run.data.push(part(run.end(), other.start));
            run.data.join(other.data);
        }
        if end.after(run.end()) {
            run.data.push(part(run.end(), end));
        }
        *pinned += run.data.pinned();
        let (start, end) = (run.start, run.end());
        held.has_grown(start, end);
        true
    }

    /// The first numbers from `start` to `end` that are held.
    pub fn overlap(&self, start: Seq, end: Seq) -> Option<SeqRange> {
        let runs = &self.0.as_ref()?.runs;
        let run = runs.get(runs.partition_point(|run| run.end().at_or_before(start)))?;
        let both = SeqRange { start: run.start.max(start), end: run.end().min(end) };
        (!both.is_empty()).then_some(both)
    }

    /// Takes the text that continues at `nxt`, if there is some now, and drops what lies before it.
    pub fn take(&mut self, nxt: Seq) -> SliceQueue {
        let mut ready = SliceQueue::new();
        let Some(held) = &mut self.0 else { return ready };
        while held.runs.front().is_some_and(|run| run.start.at_or_before(nxt))
            && let Some(mut run) = held.runs.pop_front()
        {
            held.pinned -= run.data.pinned();
            if run.end().after(nxt) {
                run.data.advance(nxt.since(run.start) as usize);
                ready = run.data;
            }
        }
        if !held.runs.is_empty() {
            held.recent.retain(|known| known.after(nxt));
            held.refill();
        }
        self.tidy();
        ready
    }

    /// What came twice since the last ACK, or the latest of several.
    pub fn duplicate(&self) -> Option<SeqRange> {
        self.0.as_ref()?.duplicate
    }

    /// Text from `start` to `end` came that was here already. What adjoins is told as one (RFC 2883 4, rule 2).
    pub fn note_duplicate(&mut self, start: Seq, end: Seq) {
        if !start.before(end) {
            return;
        }
        let duplicate = &mut self.0.get_or_insert_default().duplicate;
        let adjoins = |known: &SeqRange| start.at_or_before(known.end) && known.start.at_or_before(end);
        *duplicate = Some(match duplicate.filter(adjoins) {
            Some(known) => SeqRange { start: known.start.min(start), end: known.end.max(end) },
            None => SeqRange { start, end },
        });
    }

    /// An ACK has told of what came twice.
    pub fn on_ack_sent(&mut self) {
        if let Some(held) = &mut self.0 {
            held.duplicate = None;
            self.tidy();
        }
    }

    /// Takes no memory for nothing.
    fn tidy(&mut self) {
        if self.0.as_ref().is_some_and(|held| held.runs.is_empty() && held.duplicate.is_none()) {
            self.0 = None;
        }
    }

    /// The runs as SACK blocks: the one that grew last first (RFC 2018 4).
    pub fn sack_blocks(&self) -> SackBlocks {
        let mut blocks = SackBlocks::default();
        let Some(held) = &self.0 else { return blocks };
        for run in held.recent.iter().filter_map(|&start| held.run_at(start)) {
            if !blocks.push((run.start.0, run.end().0)) {
                break;
            }
        }
        blocks
    }

    /// The runs, for tests and debug checks.
    pub fn ranges(&self) -> impl Iterator<Item = SeqRange> + '_ {
        self.0.iter().flat_map(|held| &held.runs).map(|r| SeqRange { start: r.start, end: r.end() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn insert(a: &mut Assembler, seq: u32, text: &[u8]) -> bool {
        a.insert(Seq(seq), &Slice::copy_of(text), 8)
    }

    fn bytes(mut q: SliceQueue) -> Vec<u8> {
        q.pop(usize::MAX).iter().flat_map(|s| s.to_vec()).collect()
    }

    /// What is kept for speed is what a search would find.
    fn like_a_search(a: &Assembler) {
        let Some(held) = &a.0 else { return };
        let mut by_time: Vec<&Run> = held.runs.iter().collect();
        by_time.sort_by_key(|run| core::cmp::Reverse(run.touched));
        let want: Vec<(u32, u32)> = by_time.iter().take(BLOCKS).map(|run| (run.start.0, run.end().0)).collect();
        assert_eq!(a.sack_blocks().as_slice(), want);
        assert_eq!(a.pinned(), held.runs.iter().map(|run| run.data.pinned()).sum::<usize>());
    }

    #[test]
    fn the_first_copy_of_a_byte_wins() {
        let mut a = Assembler::default();
        assert!(insert(&mut a, 10, b"AAAA"));
        assert!(insert(&mut a, 8, b"bbbbbbbb"));
        assert_eq!(bytes(a.take(Seq(8))), b"bbAAAAbb");
        assert!(a.is_empty());
    }

    #[test]
    fn blocks_are_most_recent_first() {
        let mut a = Assembler::default();
        for seq in [100, 200, 300, 400, 500] {
            insert(&mut a, seq, b"0123456789");
        }
        insert(&mut a, 210, b"x");
        let starts: Vec<u32> = a.sack_blocks().as_slice().iter().map(|b| b.0).collect();
        assert_eq!(starts, [200, 500, 400, 300]);
        assert_eq!(a.sack_blocks().as_slice()[0], (200, 211));
    }

    #[test]
    fn the_number_of_runs_is_bounded_but_joining_goes_on() {
        let mut a = Assembler::default();
        for i in 0..8 {
            assert!(insert(&mut a, 10 + 2 * i, b"x"));
        }
        assert!(!insert(&mut a, 40, b"x"));
        assert!(insert(&mut a, 11, b"x"), "what joins runs needs no new one");
        assert_eq!(a.runs(), 7);
    }

    #[test]
    fn it_works_across_the_wrap() {
        let mut a = Assembler::default();
        insert(&mut a, 2, b"cd");
        insert(&mut a, u32::MAX, b"zab");
        assert_eq!(bytes(a.take(Seq(u32::MAX))), b"zabcd");
    }

    proptest! {
        /// Against a map from number to the first byte that arrived for it.
        #[test]
        fn like_a_map_of_first_bytes(
            start in prop_oneof![Just(0u32), Just(u32::MAX - 20), any::<u32>()],
            pieces in prop::collection::vec((0u32..60, 1usize..20, any::<u8>()), 1..30),
        ) {
            let mut model = std::collections::BTreeMap::new();
            let mut a = Assembler::default();
            for (offset, len, fill) in pieces {
                let text: Vec<u8> = (0..len).map(|i| fill.wrapping_add(i as u8)).collect();
                prop_assert!(a.insert(Seq(start) + offset, &Slice::copy_of(&text), 1000));
                for (i, b) in text.iter().enumerate() {
                    model.entry(offset + i as u32).or_insert(*b);
                }
                let ranges: Vec<SeqRange> = a.ranges().collect();
                prop_assert!(ranges.windows(2).all(|w| w[0].end.before(w[1].start)), "disjoint, not touching: {:?}", ranges);
                like_a_search(&a);
            }
            let mut at = 0;
            while let Some((&next, _)) = model.range(at..).next() {
                let run: Vec<u8> = (next..).map_while(|i| model.get(&i).copied()).collect();
                prop_assert_eq!(bytes(a.take(Seq(start) + next)), run.clone());
                at = next + run.len() as u32;
                like_a_search(&a);
            }
            prop_assert!(a.is_empty());
        }
    }
}
