//! Pollers: sets of sockets that one thread serves. What a wait costs depends on how many are ready, not on how many
//! there are.
//!
//! A socket that may be ready stands in its poller's queue. Whoever waits takes it from there, and its readiness is
//! looked at only then, so that nothing is told that is over. What is level-triggered goes back to the end of the queue
//! when it was told, and is looked at again by the next wait: all have their turn.

use super::outside::Signal;
use super::wait::{Waiter, Wakeups};
use crate::stack::{Readiness, SocketId};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A poller's number in its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PollerId(u32);

/// When a socket's readiness is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// By each wait, as long as it lasts.
    #[default]
    Level,
    /// Once each time that something is new. Serve the socket until it would block, or nothing more will be told.
    Edge,
    /// Once; then the socket rests until it is modified.
    OneShot,
}

/// A socket's place in a poller.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) poller: PollerId,
    key: u64,
    interest: Readiness,
    trigger: Trigger,
    /// Tells it from an earlier registration of the same socket that still stands in the queue.
    serial: u32,
    /// Whether it stands in the queue.
    queued: bool,
    /// Whether it was told once and rests.
    resting: bool,
    /// Set where the socket has parts in several shards and only one of them is to be told.
    turn: Option<Turn>,
}

/// What the parts of a socket share that is to be told once: whether one of them was.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn(Arc<AtomicBool>);

/// What is asked for of a socket.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// What the socket is called in the events.
    pub(crate) key: u64,
    /// What it is watched for.
    pub(crate) interest: Readiness,
    /// When it is told.
    pub(crate) trigger: Trigger,
    /// For a socket of several parts.
    pub(crate) turn: Option<Turn>,
}

impl Registration {
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// Changes what is asked for; it rests no longer.
    pub(super) fn modify(&mut self, watch: Watch) {
        let Watch { key, interest, trigger, turn } = watch;
        (self.key, self.interest, self.trigger, self.turn, self.resting) = (key, interest, trigger, turn, false);
    }

    /// Whether the queue's entry with `serial` is this one's.
    pub(super) fn is_queued(&self, serial: u32) -> bool {
        self.queued && self.serial == serial
    }

    /// It was taken off the queue when the socket was `ready`: what is to be told, and whether it goes back.
    pub(super) fn take_news(&mut self, ready: Readiness) -> (Readiness, bool) {
        let mut news = self.news(ready);
        if !news.is_empty() && self.turn.as_ref().is_some_and(|turn| turn.0.swap(true, Ordering::Relaxed)) {
            news = Readiness::NONE;
        }
        let told = !news.is_empty();
        self.queued = told && self.trigger == Trigger::Level;
        self.resting |= told && self.trigger == Trigger::OneShot;
        (news, self.queued)
    }

    /// What of `ready` is to be told.
    fn news(&self, ready: Readiness) -> Readiness {
        const ALWAYS: Readiness = Readiness::ERROR.union(Readiness::HANGUP);
        if self.resting || !ready.intersects(self.interest.union(ALWAYS)) {
            return Readiness::NONE;
        }
        ready.intersection(self.interest.union(ALWAYS).union(Readiness::READ_CLOSED))
    }
}

#[derive(Default)]
struct Poller {
    /// Sockets that may be ready, with the serial numbers of their registrations. Those that were closed or deleted since
    /// may still stand here.
    queue: VecDeque<(SocketId, u32)>,
    registered: usize,
    serial: u32,
    waiters: SmallVec<[Waiter; 1]>,
    notified: bool,
    /// Shows those outside whether there is something to tell.
    signal: Option<Arc<Signal>>,
}

impl Poller {
    /// Something may have come, or have been told.
    fn show(&self, wakeups: &mut Wakeups) {
        if let Some(signal) = &self.signal {
            signal.want(self.notified || !self.queue.is_empty(), wakeups);
        }
    }
}

/// All pollers of a shard.
#[derive(Default)]
pub(super) struct Pollers(Vec<Option<Poller>>);

impl Pollers {
    /// A new one.
    pub(super) fn open(&mut self) -> PollerId {
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if free == self.0.len() {
            self.0.push(None);
        }
        self.0[free] = Some(Poller::default());
        PollerId(free as u32)
    }

    /// It is no more. Its registrations must be gone.
    pub(super) fn close(&mut self, id: PollerId, wakeups: &mut Wakeups) {
        if let Some(poller) = self.0.get_mut(id.0 as usize).and_then(Option::take) {
            wakeups.extend(poller.waiters);
        }
    }

    fn get(&mut self, id: PollerId) -> Option<&mut Poller> {
        self.0.get_mut(id.0 as usize)?.as_mut()
    }

    /// `waiter` waits for news.
    pub(super) fn register(&mut self, id: PollerId, waiter: Waiter) -> bool {
        self.get(id).map(|poller| poller.waiters.push(waiter)).is_some()
    }

    /// It does so no longer.
    pub(super) fn deregister(&mut self, id: PollerId, is: impl Fn(&Waiter) -> bool) {
        if let Some(poller) = self.get(id) {
            poller.waiters.retain(|waiter| !is(waiter));
        }
    }

    /// A socket is added.
    pub(super) fn admit(&mut self, id: PollerId, watch: Watch) -> Option<Registration> {
        let poller = self.get(id)?;
        poller.registered += 1;
        poller.serial = poller.serial.wrapping_add(1);
        let serial = poller.serial;
        let Watch { key, interest, trigger, turn } = watch;
        Some(Registration { poller: id, key, interest, trigger, serial, queued: false, resting: false, turn })
    }

    /// A socket was closed or deleted.
    pub(super) fn forget(&mut self, registration: &Registration) {
        if let Some(poller) = self.get(registration.poller) {
            poller.registered -= 1;
        }
    }

    /// A socket is ready for something.
    pub(super) fn tell(
        &mut self,
        id: SocketId,
        registration: &mut Registration,
        ready: Readiness,
        wakeups: &mut Wakeups,
    ) {
        if registration.queued || registration.news(ready).is_empty() {
            return;
        }
        if let Some(poller) = self.get(registration.poller) {
            registration.queued = true;
            poller.queue.push_back((id, registration.serial));
            wakeups.extend(poller.waiters.drain(..));
            poller.show(wakeups);
        }
    }

    /// Has the wait that is under way, or else the next one, return.
    pub(super) fn notify(&mut self, id: PollerId, wakeups: &mut Wakeups) {
        if let Some(poller) = self.get(id) {
            poller.notified = true;
            wakeups.extend(poller.waiters.drain(..));
            poller.show(wakeups);
        }
    }

    /// Everybody who waits is woken: the host has ended.
    pub(super) fn collect_all(&mut self, wakeups: &mut Wakeups) {
        for poller in self.0.iter_mut().flatten() {
            wakeups.extend(poller.waiters.drain(..));
            poller.signal.iter().for_each(|signal| signal.want(true, wakeups));
        }
    }

    /// `signal` shows from now on whether there is something to tell.
    pub(super) fn set_signal(&mut self, id: PollerId, signal: Arc<Signal>, wakeups: &mut Wakeups) {
        if let Some(poller) = self.get(id) {
            poller.signal = Some(signal);
            poller.show(wakeups);
        }
    }

    /// A wait has taken what it could: what is left is shown to those outside.
    pub(super) fn show(&mut self, id: PollerId, wakeups: &mut Wakeups) {
        if let Some(poller) = self.get(id) {
            poller.show(wakeups);
        }
    }

    /// Whether it was notified since this was asked last.
    pub(super) fn take_notified(&mut self, id: PollerId) -> bool {
        self.get(id).is_some_and(|poller| std::mem::take(&mut poller.notified))
    }

    /// Takes the queue out, to be looked through.
    pub(super) fn take_queue(&mut self, id: PollerId) -> VecDeque<(SocketId, u32)> {
        self.get(id).map(|poller| std::mem::take(&mut poller.queue)).unwrap_or_default()
    }

    /// Puts it back.
    pub(super) fn put_queue(&mut self, id: PollerId, queue: VecDeque<(SocketId, u32)>) {
        if let Some(poller) = self.get(id) {
            poller.queue = queue;
        }
    }

    /// Whether most of the queue must be sockets that were closed or deleted: it is to be cleared of them, so that it is
    /// bounded although nobody waits.
    pub(super) fn is_stale(&self, id: PollerId) -> bool {
        let poller = self.0.get(id.0 as usize).and_then(Option::as_ref);
        poller.is_some_and(|poller| poller.queue.len() > 2 * poller.registered + 64)
    }
}
