//! Who waits for what: a small list for each socket.
//!
//! A waiter is registered under the stack's lock, in the same hold in which its condition was found false; every change
//! of readiness is collected under that lock too. So no change can slip in between, and no wake-up is lost. Waking
//! itself happens after the lock is released. All waiters whose condition may hold are woken, not one of them: a waiter
//! that has just timed out can then never swallow the wake-up of another.

use super::alarm::Alarm;
use super::outside::{Signal, Signals};
use super::parker::Parker;
use super::pollers::{PollerId, Pollers, Registration};
use super::shard::Shard;
use super::sync::{AtomicBool, Ordering};
use crate::stack::{Readiness, SocketId, Stack};
use core::task::Waker;
use smallvec::SmallVec;
use std::sync::Arc;

/// Somebody who is to be told.
#[derive(Clone)]
pub(super) enum Waiter {
    /// A thread that sleeps, or drives.
    Thread(Arc<Parker>),
    /// A thread that waits here and in other shards.
    Abroad(Arc<Abroad>),
    /// An asynchronous task, in its seat.
    Task(Waker, Seat),
    /// Another shard, which was sent a frame.
    Shard(Arc<Shard>),
    /// Whoever waits on a descriptor.
    Outside(Arc<Signal>),
}

/// A task's place on the lists of a socket: it is listed once in it, whatever wakers it comes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    /// The one for all who poll: of those who wait for the same, the last one has it.
    Shared,
    /// A future's own, left when the future is dropped.
    #[cfg(any(feature = "tokio", test))]
    Own(u64),
}

impl Seat {
    /// One that nobody has.
    #[cfg(feature = "tokio")]
    pub(crate) fn own() -> Seat {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Seat::Own(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A thread that waits in several shards at once. In one of them, its *home*, it waits as others do, and drives if need
/// be; in the others it is only listed, and called when there is something.
pub(super) struct Abroad {
    pub(super) parker: Arc<Parker>,
    home: Arc<Shard>,
    called: AtomicBool,
}

impl Abroad {
    pub(super) fn new(parker: Arc<Parker>, home: Arc<Shard>) -> Abroad {
        Abroad { parker, home, called: AtomicBool::new(false) }
    }

    /// Whether it was called since it last looked everywhere.
    pub(super) fn was_called(&self) -> bool {
        self.called.load(Ordering::SeqCst)
    }

    /// It is about to look everywhere.
    pub(super) fn looks(&self) {
        self.called.store(false, Ordering::SeqCst);
    }

    fn call(&self) {
        self.called.store(true, Ordering::SeqCst);
        if !self.parker.unpark() {
            self.home.alarm.ring();
        }
    }
}

impl Waiter {
    fn wake(self, alarm: &Alarm) {
        match self {
            Waiter::Thread(parker) => {
                if !parker.unpark() {
                    alarm.ring();
                }
            }
            Waiter::Abroad(abroad) => abroad.call(),
            Waiter::Task(waker, _) => waker.wake(),
            Waiter::Shard(shard) => shard.alarm.ring(),
            Waiter::Outside(signal) => signal.show(),
        }
    }

    fn is_thread(&self, parker: &Arc<Parker>) -> bool {
        match self {
            Waiter::Thread(own) => Arc::ptr_eq(own, parker),
            Waiter::Abroad(abroad) => Arc::ptr_eq(&abroad.parker, parker),
            Waiter::Task(..) | Waiter::Shard(_) | Waiter::Outside(_) => false,
        }
    }
}

/// What one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Readiness of a socket.
    Socket(SocketId, Readiness),
    /// Something for a poller to tell.
    Poller(PollerId),
}

/// Waiters taken off their lists, to be woken once the lock is released.
#[derive(Default)]
#[must_use = "whoever is taken off a list must be woken"]
pub(super) struct Wakeups {
    waiters: SmallVec<[Waiter; 4]>,
    /// Tasks that are to be forgotten. They are dropped without the lock, because that may drop sockets.
    forgotten: Vec<Waker>,
}

impl Wakeups {
    /// Wakes them. Call it without the stack's lock.
    pub(super) fn wake(self, alarm: &Alarm) {
        for waiter in self.waiters {
            waiter.wake(alarm);
        }
        drop(self.forgotten);
    }

    pub(super) fn push(&mut self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    pub(super) fn extend(&mut self, waiters: impl IntoIterator<Item = Waiter>) {
        self.waiters.extend(waiters);
    }

    /// Whether a thread other than that of `own` is among them that is expected to come back to wait at once.
    pub(super) fn has_quick(&self, own: &Arc<Parker>) -> bool {
        self.waiters.iter().any(|waiter| match waiter {
            Waiter::Thread(parker) => parker.is_quick() && !Arc::ptr_eq(own, parker),
            Waiter::Abroad(_) | Waiter::Task(..) | Waiter::Shard(_) | Waiter::Outside(_) => false,
        })
    }
}

/// Room for one: seldom do two wait for one socket, and a list that has grown keeps its memory while the socket idles.
pub(super) type List = SmallVec<[(Readiness, Waiter); 1]>;

/// What is known of a socket that an application holds.
struct Entry {
    generation: u32,
    list: List,
    /// At most one poller has it.
    registration: Option<Registration>,
    /// If anybody ever asked for them.
    signals: Option<Box<Signals>>,
}

/// The sockets of one kind, by number. An idle one costs an entry, and no other memory.
#[derive(Default)]
struct Entries(Vec<Option<Entry>>);

impl Entries {
    fn get_mut(&mut self, index: u32, generation: u32) -> Option<&mut Entry> {
        self.0.get_mut(index as usize)?.as_mut().filter(|entry| entry.generation == generation)
    }

    fn insert(&mut self, index: u32, generation: u32) {
        let index = index as usize;
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(Entry { generation, list: List::new(), registration: None, signals: None });
    }

    fn remove(&mut self, index: u32, generation: u32) -> Option<Entry> {
        self.0.get_mut(index as usize)?.take_if(|entry| entry.generation == generation)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.iter_mut().flatten()
    }

    fn names(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..).zip(&self.0).filter_map(|(index, entry)| Some((index, entry.as_ref()?.generation)))
    }
}

/// Splits a handle into the kind's entries, the number and the generation.
macro_rules! place {
    ($waits:expr, $id:expr) => {
        match $id {
            SocketId::Tcp(id) => (&mut $waits.tcp, id.index, id.generation),
            SocketId::Listener(id) => (&mut $waits.listeners, id.index, id.generation),
            SocketId::Udp(id) => (&mut $waits.udp, id.index, id.generation),
            SocketId::Raw(id) => (&mut $waits.raw, id.index, id.generation),
            SocketId::SynGate(id) => (&mut $waits.syn_gates, id.index, id.generation),
            SocketId::UdpGate(id) => (&mut $waits.udp_gates, id.index, id.generation),
        }
    };
}

/// The lists of all sockets that applications hold, the pollers, and two lists for the host as a whole.
#[derive(Default)]
pub(super) struct Waits {
    tcp: Entries,
    listeners: Entries,
    udp: Entries,
    raw: Entries,
    syn_gates: Entries,
    udp_gates: Entries,
    pub(super) pollers: Pollers,
    /// How many may wait outside.
    pub(super) outsiders: usize,
    /// Woken after every batch: for the few who wait for what is not readiness (linger, shutdown).
    progress: Vec<Waiter>,
    /// Woken when the host ends.
    end: Vec<Waiter>,
}

impl Waits {
    fn all(&mut self) -> [&mut Entries; 6] {
        let Waits { tcp, listeners, udp, raw, syn_gates, udp_gates, .. } = self;
        [tcp, listeners, udp, raw, syn_gates, udp_gates]
    }

    fn entry(&mut self, id: SocketId) -> Option<&mut Entry> {
        let (entries, index, generation) = place!(self, id);
        entries.get_mut(index, generation)
    }

    /// A socket now belongs to an application.
    pub(super) fn open(&mut self, id: SocketId) {
        let (entries, index, generation) = place!(self, id);
        entries.insert(index, generation);
    }

    /// It does no longer. Whoever still waits on it is woken.
    pub(super) fn close(&mut self, id: SocketId, wakeups: &mut Wakeups) {
        let (entries, index, generation) = place!(self, id);
        if let Some(entry) = entries.remove(index, generation) {
            wakeups.extend(entry.list.into_iter().map(|(_, waiter)| waiter));
            entry.signals.iter().for_each(|signals| signals.raise(wakeups));
            if let Some(registration) = entry.registration {
                self.pollers.forget(&registration);
            }
        }
    }

    /// The sockets that applications hold.
    pub(super) fn ids(&self) -> Vec<SocketId> {
        use crate::stack::{ListenerId, RawId, SynGateId, TcpId, UdpGateId, UdpId};
        let tcp = self.tcp.names().map(|(index, generation)| SocketId::Tcp(TcpId { index, generation }));
        let listeners =
            self.listeners.names().map(|(index, generation)| SocketId::Listener(ListenerId { index, generation }));
        let udp = self.udp.names().map(|(index, generation)| SocketId::Udp(UdpId { index, generation }));
        let raw = self.raw.names().map(|(index, generation)| SocketId::Raw(RawId { index, generation }));
        let syn_gates =
            self.syn_gates.names().map(|(index, generation)| SocketId::SynGate(SynGateId { index, generation }));
        let udp_gates =
            self.udp_gates.names().map(|(index, generation)| SocketId::UdpGate(UdpGateId { index, generation }));
        tcp.chain(listeners).chain(udp).chain(raw).chain(syn_gates).chain(udp_gates).collect()
    }

    /// The thread of `parker` waits until `target` has something. False if there is no such thing: waiting is vain.
    pub(super) fn register(&mut self, target: Target, parker: &Arc<Parker>) -> bool {
        self.list(target, Waiter::Thread(parker.clone()))
    }

    /// `waiter` waits until `target` has something. False if there is no such thing.
    pub(super) fn list(&mut self, target: Target, waiter: Waiter) -> bool {
        match target {
            Target::Socket(id, interest) => match self.entry(id) {
                Some(entry) => {
                    entry.list.push((interest, waiter));
                    true
                }
                None => false,
            },
            Target::Poller(id) => self.pollers.register(id, waiter),
        }
    }

    /// It waits there no longer. (One that was woken is off the list already.)
    pub(super) fn deregister(&mut self, target: Target, parker: &Arc<Parker>) {
        match target {
            Target::Socket(id, _) => {
                if let Some(entry) = self.entry(id) {
                    entry.list.retain(|(_, other)| !other.is_thread(parker));
                }
            }
            Target::Poller(id) => self.pollers.deregister(id, |other| other.is_thread(parker)),
        }
    }

    /// A task waits until `id` is ready for any of `interest`. It takes the place of the one that waited for the same in
    /// its seat before. False if there is no such socket.
    pub(super) fn register_task(
        &mut self,
        id: SocketId,
        interest: Readiness,
        waker: &Waker,
        seat: Seat,
        wakeups: &mut Wakeups,
    ) -> bool {
        let Some(entry) = self.entry(id) else { return false };
        for (wanted, waiter) in &mut entry.list {
            if let Waiter::Task(task, taken) = waiter
                && *wanted == interest
                && *taken == seat
            {
                if !task.will_wake(waker) {
                    wakeups.forgotten.push(std::mem::replace(task, waker.clone()));
                }
                return true;
            }
        }
        entry.list.push((interest, Waiter::Task(waker.clone(), seat)));
        true
    }

    /// Nobody waits on `id` in `seat` any longer.
    pub(super) fn vacate(&mut self, id: SocketId, seat: Seat, wakeups: &mut Wakeups) {
        let Some(entry) = self.entry(id) else { return };
        let taken = |(_, waiter): &(_, Waiter)| matches!(waiter, Waiter::Task(_, taken) if *taken == seat);
        while let Some(at) = entry.list.iter().position(taken) {
            if let (_, Waiter::Task(waker, _)) = entry.list.swap_remove(at) {
                wakeups.forgotten.push(waker);
            }
        }
    }

    /// `waiter` waits for anything to happen.
    pub(super) fn register_progress(&mut self, waiter: Waiter) {
        self.progress.push(waiter);
    }

    /// `waiter` waits for the host's end.
    pub(super) fn register_end(&mut self, waiter: Waiter) {
        self.end.push(waiter);
    }

    /// The place of a socket's registration with a poller, with the pollers. `None` if there is no such socket.
    pub(super) fn registration(&mut self, id: SocketId) -> Option<(&mut Option<Registration>, &mut Pollers)> {
        let (entries, index, generation) = place!(self, id);
        let entry = entries.get_mut(index, generation)?;
        Some((&mut entry.registration, &mut self.pollers))
    }

    /// A socket's signals. `None` if there is no such socket.
    pub(super) fn signals(&mut self, id: SocketId) -> Option<&mut Signals> {
        Some(self.entry(id)?.signals.get_or_insert_default())
    }

    /// A call on `id` has changed what it is ready for, or was `refused`: whoever waits outside is shown that.
    pub(super) fn show(&mut self, stack: &Stack, id: SocketId, refused: bool, wakeups: &mut Wakeups) {
        if let Some(signals) = self.entry(id).and_then(|entry| entry.signals.as_ref()) {
            signals.show(stack.readiness(id), refused, wakeups);
        }
    }

    /// Takes sockets out of the poller's queue and gives the key and readiness of those that have news, up to `max`.
    pub(super) fn take_events(
        &mut self,
        stack: &Stack,
        poller: PollerId,
        max: usize,
        mut give: impl FnMut(u64, Readiness),
    ) {
        let mut queue = self.pollers.take_queue(poller);
        let mut given = 0;
        for _ in 0..queue.len() {
            if given == max {
                break;
            }
            let Some((id, serial)) = queue.pop_front() else { break };
            let Some(registration) = self.queued(id, poller, serial) else { continue };
            let (news, again) = registration.take_news(stack.readiness(id));
            if !news.is_empty() {
                give(registration.key(), news);
                given += 1;
            }
            if again {
                queue.push_back((id, serial));
            }
        }
        self.pollers.put_queue(poller, queue);
    }

    /// The registration that the queue's entry stands for, if it still does.
    fn queued(&mut self, id: SocketId, poller: PollerId, serial: u32) -> Option<&mut Registration> {
        let registration = self.entry(id)?.registration.as_mut()?;
        (registration.poller == poller && registration.is_queued(serial)).then_some(registration)
    }

    /// Clears a poller's queue of sockets that are gone, if it must be full of them.
    fn trim(&mut self, poller: PollerId) {
        if self.pollers.is_stale(poller) {
            let mut queue = self.pollers.take_queue(poller);
            queue.retain(|&(id, serial)| self.queued(id, poller, serial).is_some());
            self.pollers.put_queue(poller, queue);
        }
    }

    /// Takes what `poller` was registered with off all sockets.
    pub(super) fn close_poller(&mut self, poller: PollerId, wakeups: &mut Wakeups) {
        for entries in self.all() {
            for entry in entries.iter_mut() {
                entry.registration.take_if(|registration| registration.poller == poller);
            }
        }
        self.pollers.close(poller, wakeups);
    }

    /// Takes those off whose sockets have changed so that they may go on, and those who wait for anything.
    pub(super) fn collect(&mut self, stack: &mut Stack, wakeups: &mut Wakeups) {
        while let Some((id, ready)) = stack.next_ready() {
            let (entries, index, generation) = place!(self, id);
            let Some(entry) = entries.get_mut(index, generation) else { continue };
            if entry.list.is_empty() && entry.registration.is_none() && entry.signals.is_none() {
                continue;
            }
            entry.signals.iter().for_each(|signals| signals.show(ready, false, wakeups));
            take_ready(&mut entry.list, ready, wakeups);
            if let Some(registration) = &mut entry.registration {
                let poller = registration.poller;
                self.pollers.tell(id, registration, ready, wakeups);
                self.trim(poller);
            }
        }
        wakeups.extend(self.progress.drain(..));
    }

    /// Takes everybody off who waits on `id`.
    pub(super) fn collect_socket(&mut self, id: SocketId, wakeups: &mut Wakeups) {
        if let Some(entry) = self.entry(id) {
            wakeups.extend(entry.list.drain(..).map(|(_, waiter)| waiter));
        }
    }

    /// Takes everybody off.
    pub(super) fn collect_all(&mut self, wakeups: &mut Wakeups) {
        for entries in self.all() {
            for entry in entries.iter_mut() {
                wakeups.extend(entry.list.drain(..).map(|(_, waiter)| waiter));
                entry.signals.iter().for_each(|signals| signals.raise(wakeups));
            }
        }
        self.pollers.collect_all(wakeups);
        wakeups.extend(self.progress.drain(..));
        wakeups.extend(self.end.drain(..));
    }
}

/// Takes those off `list` who wait for one of the bits of `ready`; an error or hang-up is for everybody.
pub(super) fn take_ready(list: &mut List, ready: Readiness, wakeups: &mut Wakeups) {
    let all = ready.intersects(Readiness::ERROR | Readiness::HANGUP);
    let mut i = 0;
    while i < list.len() {
        if all || ready.intersects(list[i].0) {
            wakeups.extend([list.swap_remove(i).1]);
        } else {
            i += 1;
        }
    }
}
