//! Looking at the device for a moment more, before sleeping on it.
//!
//! To sleep and be woken takes a thread 30 to 50 us where its processor has gone to sleep too. Where the next packet comes
//! sooner than that, as it does from a peer that waits for our answer, looking is three times faster. It takes a
//! processor meanwhile, so it is done only where short packets have lately come that soon, and where a processor is free.

use crate::time::Instant;
use core::time::Duration;

/// Whether the one who drives looks for packets a little longer before it sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spin {
    /// It sleeps at once.
    Off,
    /// It looks for up to 50 us, if there is more than one processor.
    #[default]
    Auto,
    /// It looks for up to this time.
    For(Duration),
}

/// How long it looks by default: as long as it takes to sleep and be woken.
const AUTO: Duration = Duration::from_micros(50);

/// So many more waits must have been short than long, where a long one weighs as much as half of all before it.
const ENOUGH: u32 = 8;

/// No more are remembered, so that one that has become slow is noticed after three long waits.
const MEMORY: u32 = 32;

/// Bytes in a batch that are part of a stream of data: its sender does not wait for us, and what it sends meanwhile is
/// received in one go later.
const BULK: usize = 8 * 1024;

/// A yield of the processor that takes so long was somebody else's turn: it is not free.
const TURN: Duration = Duration::from_micros(10);

/// How long the processor is then left to the others: at first, for one turn may be chance, and at most.
const REST: Duration = Duration::from_millis(1);
const MAX_REST: Duration = Duration::from_millis(20);

/// When to look and for how long.
#[derive(Debug)]
pub(super) struct Spinner {
    /// Zero is not at all.
    budget: Duration,
    /// How many waits were short lately.
    short: u32,
    /// Somebody else wants the processor until then.
    rests_until: Instant,
    /// How long it rested last. It rests twice as long if it is disturbed again as soon.
    rest: Duration,
}

impl Spinner {
    /// `processors` is how many this process may use.
    pub(super) fn new(spin: Spin, processors: usize) -> Spinner {
        let budget = match spin {
            Spin::Off => Duration::ZERO,
            Spin::Auto if processors < 2 => Duration::ZERO,
            Spin::Auto => AUTO,
            Spin::For(budget) => budget,
        };
        Spinner { budget, short: 0, rests_until: Instant::ZERO, rest: Duration::ZERO }
    }

    /// Until when to look, for one who has nothing to do at `now`; `None` is not to look at all.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        let looks = !self.budget.is_zero() && self.short >= ENOUGH && now >= self.rests_until;
        looks.then(|| now + self.budget)
    }

    /// A wait that began at `began` has ended, by a frame or otherwise.
    pub(super) fn waited(&mut self, began: Instant, now: Instant, frame: bool) {
        // One who slept was woken late.
        let short = frame && now.since(began) <= self.budget * 2;
        self.short = if short { (self.short + 1).min(MEMORY) } else { self.short / 2 };
    }

    /// So many bytes were received in one batch.
    pub(super) fn received(&mut self, bytes: usize) {
        if bytes > BULK {
            self.short = 0;
        }
    }

    /// Whether the processor, which was yielded at `yielded`, was given to nobody else.
    pub(super) fn was_free(&self, yielded: Instant, now: Instant) -> bool {
        now.since(yielded) < TURN
    }

    /// Somebody else wants the processor: it is left to them for a while.
    pub(super) fn disturbed(&mut self, now: Instant) {
        let soon = now <= self.rests_until + self.rest;
        self.rest = if soon { (self.rest * 2).clamp(REST, MAX_REST) } else { REST };
        self.rests_until = now + self.rest;
    }
}
