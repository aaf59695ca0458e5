//! One direction of the simulated link: bad until its faults end, then a plain wire with the same delay, so that
//! whatever is wrong afterwards is the stack's fault.

use super::coverage::{Cover, Coverage};
use crate::buf::Slice;
use crate::device::impair::{Fate, Faults, Impairer, Impairment};
use crate::rng::Rng;
use crate::time::Instant;

/// One direction of the link.
pub(super) struct Link {
    bad: Impairer,
    good: Impairer,
    faults_end: Instant,
    jitter: bool,
}

impl Link {
    /// A link that is bad as `spec` says from `start` until `faults_end`.
    pub(super) fn new(spec: Impairment, seed: u64, start: Instant, faults_end: Instant) -> Self {
        let wire = Impairment { delay: spec.delay, mtu: spec.mtu, queue: usize::MAX, ..Impairment::default() };
        Link {
            jitter: !spec.jitter.is_zero(),
            bad: Impairer::new(spec, Rng::seed_from(seed), start),
            good: Impairer::new(wire, Rng::seed_from(seed), start),
            faults_end,
        }
    }

    pub(super) fn push(&mut self, now: Instant, packet: Slice) -> Fate {
        if now < self.faults_end { self.bad.push(now, packet) } else { self.good.push(now, packet) }
    }

    /// The next packet that has arrived.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Slice> {
        self.bad.pop(now).or_else(|| self.good.pop(now))
    }

    /// When the next packet arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.bad.next(), self.good.next()].into_iter().flatten().min()
    }

    /// What was done to packets until the faults' end.
    pub(super) fn faults(&self) -> Faults {
        self.bad.faults()
    }

    /// Counts the faults that were met.
    pub(super) fn cover(&self, coverage: &mut Coverage) {
        let faults = self.faults();
        for (cover, n) in [
            (Cover::Loss, faults.lost),
            (Cover::Duplicate, faults.duplicated),
            (Cover::Reorder, faults.reordered),
            (Cover::Corrupt, faults.corrupted),
            (Cover::QueueFull, faults.overflow),
            (Cover::CoDel, faults.codel),
            (Cover::TooBig, faults.too_big),
            (Cover::Mark, faults.marked),
            (Cover::Outage, faults.outage),
            (Cover::Jitter, if self.jitter { faults.packets } else { 0 }),
        ] {
            coverage.add(cover, n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn faults_end_when_they_are_said_to() {
        let end = Instant::from_millis(100);
        let spec = Impairment { loss: 1.0, delay: Duration::from_millis(5), ..Impairment::default() };
        let mut link = Link::new(spec, 1, Instant::ZERO, end);
        link.push(Instant::from_millis(99), Slice::copy_of(b"lost"));
        assert_eq!(link.next(), None);
        link.push(end, Slice::copy_of(b"kept"));
        assert_eq!(link.next(), Some(Instant::from_millis(105)));
        assert_eq!(link.pop(Instant::from_millis(105)).as_deref(), Some(&b"kept"[..]));
        let mut coverage = Coverage::new();
        link.cover(&mut coverage);
        assert_eq!((coverage.count(Cover::Loss), coverage.count(Cover::Jitter)), (1, 0));
    }
}
