//! Taps: those who are shown every packet, with what it caused.

use crate::stats::Disposition;
use crate::time::Instant;
use crate::trace::TraceEvent;
use crate::wire::{RxFrame, TxFrame};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Is shown every frame in the order in which the stack took and made it; those of several queues as they come. Its calls come under the stack's lock, so a
/// tap makes everything slower: it is for looking and for debugging, as a capture is.
pub trait Tap: Send {
    /// The stack has taken `frame` and this became of it. `events` are what it caused.
    fn rx(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        disposition: Disposition,
        events: &mut dyn Iterator<Item = TraceEvent>,
    );

    /// The stack has made `frame`. `events` are what happened since the last frame: they led to this one.
    fn tx(&mut self, now: Instant, frame: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>);

    /// The host comes to its end, or wants what was shown so far to be stored.
    fn flush(&mut self);
}

#[cfg(feature = "pcap")]
impl Tap for crate::device::pcap::PcapTap {
    fn rx(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        disposition: Disposition,
        events: &mut dyn Iterator<Item = TraceEvent>,
    ) {
        self.rx(now, frame, &crate::device::pcap::comment(events, Some(disposition)));
    }

    fn tx(&mut self, now: Instant, frame: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>) {
        self.tx(now, frame, &crate::device::pcap::comment(events, None));
    }

    fn flush(&mut self) {
        if let Err(error) = self.flush() {
            log::warn!("the capture could not be written: {error}");
        }
    }
}

/// The taps of each of `shards` shards: every tap is shown the frames of all.
pub(crate) fn shared(taps: Vec<Box<dyn Tap>>, shards: usize) -> Vec<Vec<Box<dyn Tap>>> {
    if shards == 1 {
        return vec![taps];
    }
    let taps: Vec<Arc<Mutex<Box<dyn Tap>>>> = taps.into_iter().map(|tap| Arc::new(Mutex::new(tap))).collect();
    let of_one = |_| taps.iter().map(|tap| Box::new(SharedTap(tap.clone())) as Box<dyn Tap>).collect();
    (0..shards).map(of_one).collect()
}

/// A tap of several shards. Its lock is taken under the stacks'.
struct SharedTap(Arc<Mutex<Box<dyn Tap>>>);

impl SharedTap {
    fn lock(&self) -> MutexGuard<'_, Box<dyn Tap>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap for SharedTap {
    fn rx(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        disposition: Disposition,
        events: &mut dyn Iterator<Item = TraceEvent>,
    ) {
        self.lock().rx(now, frame, disposition, events);
    }

    fn tx(&mut self, now: Instant, frame: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>) {
        self.lock().tx(now, frame, events);
    }

    fn flush(&mut self) {
        self.lock().flush();
    }
}

/// Any number of taps; mostly none.
#[derive(Default)]
pub(super) struct Taps(Vec<Box<dyn Tap>>);

impl Taps {
    pub(super) fn new(taps: Vec<Box<dyn Tap>>) -> Taps {
        Taps(taps)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rx(&mut self, now: Instant, frame: &RxFrame, disposition: Disposition, events: &[TraceEvent]) {
        for tap in &mut self.0 {
            tap.rx(now, frame, disposition, &mut events.iter().copied());
        }
    }

    pub(super) fn tx(&mut self, now: Instant, frame: &TxFrame, events: &[TraceEvent]) {
        for tap in &mut self.0 {
            tap.tx(now, frame, &mut events.iter().copied());
        }
    }

    pub(super) fn flush(&mut self) {
        for tap in &mut self.0 {
            tap.flush();
        }
    }
}
