//! Who drives. The role is the [`Reader`] itself: whoever has it reads the device, and there is only one.
//!
//! A thread that leaves to run its application leaves the role *free*, for most come back at once: nobody is woken for
//! it. Where that is expected to last, a thread that is blocked is woken to take over. Whatever is expected, the
//! caretaker looks every [`LEASE`] while the role changes hands, and finds one for it that nobody took meanwhile; the
//! longer all goes well, the more seldom it looks, down to every [`MAX_LEASE`], because each look costs the others a
//! part of their time. So: the role is held, or the caretaker is about to look.

use super::driver::Reader;
use super::parker::{Parker, QUICK};
use super::wait::{Waiter, Wakeups};
use crate::time::Instant;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Arc;

/// The time after which the caretaker looks whether somebody has taken the role, at first.
pub(super) const LEASE: Duration = Duration::from_millis(1);

/// The same, when it was always taken. It is free for twice this at most, which is far below any retransmission time-out.
pub(super) const MAX_LEASE: Duration = Duration::from_millis(8);

/// A part of what the shard's lock protects.
pub(super) struct Role {
    /// `None` while somebody drives.
    reader: Option<Box<Reader>>,
    /// When it was left last.
    left: Instant,
    /// How often it was left.
    departures: u64,
    /// The caretaker, who wants to be woken when the role is left: it sleeps without looking.
    off_duty: Option<Arc<Parker>>,
    /// Threads that are blocked and can take over, by their parkers' addresses.
    sleepers: HashMap<usize, Arc<Parker>>,
}

/// What the caretaker is to do.
pub(super) enum Duty {
    /// Drive.
    Drive(Box<Reader>),
    /// Look again after [`LEASE`].
    Look,
    /// Sleep until it is called.
    Sleep,
}

impl Role {
    pub(super) fn new(reader: Reader) -> Role {
        let left = Instant::ZERO;
        Role { reader: Some(Box::new(reader)), left, departures: 0, off_duty: None, sleepers: HashMap::new() }
    }

    /// Takes the role if it is free.
    pub(super) fn take(&mut self) -> Option<Box<Reader>> {
        self.reader.take()
    }

    /// Leaves the role to whoever comes first.
    pub(super) fn leave(&mut self, reader: Box<Reader>, now: Instant, wakeups: &mut Wakeups) {
        self.reader = Some(reader);
        self.left = now;
        self.departures += 1;
        if let Some(caretaker) = self.off_duty.take() {
            wakeups.push(Waiter::Thread(caretaker));
        }
    }

    /// Whether it is free, and for longer by `now` than a [quick](QUICK) thread leaves it.
    pub(super) fn is_neglected(&self, now: Instant) -> bool {
        self.reader.is_some() && now.since(self.left) > QUICK
    }

    /// A thread is about to sleep, and can take over.
    pub(super) fn sleeps(&mut self, parker: &Arc<Parker>) {
        self.sleepers.insert(Arc::as_ptr(parker) as usize, parker.clone());
    }

    /// It cannot any longer.
    pub(super) fn rises(&mut self, parker: &Arc<Parker>) {
        self.sleepers.remove(&(Arc::as_ptr(parker) as usize));
    }

    /// Wakes one that can take over; false if there is none.
    pub(super) fn call_one(&mut self, wakeups: &mut Wakeups) -> bool {
        let Some(&key) = self.sleepers.keys().next() else { return false };
        wakeups.extend(self.sleepers.remove(&key).map(Waiter::Thread));
        true
    }

    /// What the caretaker is to do, who saw `seen` departures when it looked last. If `always`, it drives whenever it
    /// can.
    pub(super) fn duty(
        &mut self,
        seen: &mut u64,
        always: bool,
        caretaker: &Arc<Parker>,
        wakeups: &mut Wakeups,
    ) -> Duty {
        let overdue = std::mem::replace(seen, self.departures) == self.departures;
        match self.reader.take() {
            Some(reader) if always => Duty::Drive(reader),
            Some(reader) if overdue && !self.call_one(wakeups) => Duty::Drive(reader),
            None if overdue => {
                self.off_duty = Some(caretaker.clone());
                Duty::Sleep
            }
            free_or_held => {
                self.reader = free_or_held;
                Duty::Look
            }
        }
    }
}
