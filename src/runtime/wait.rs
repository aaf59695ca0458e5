//! Who waits for what: a small list for each socket.
//!
//! A waiter is registered under the stack's lock, in the same hold in which its condition was found false; every change
//! of readiness is collected under that lock too. So no change can slip in between, and no wake-up is lost. Waking
//! itself happens after the lock is released. All waiters whose condition may hold are woken, not one of them: a waiter
//! that has just timed out can then never swallow the wake-up of another.

use crate::stack::{Readiness, SocketId, Stack};
use crate::time::Instant;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Where one thread sleeps.
#[derive(Default)]
pub(super) struct Parker {
    woken: Mutex<bool>,
    condition: Condvar,
}

thread_local! {
    static PARKER: Arc<Parker> = Arc::default();
}

impl Parker {
    /// The calling thread's own. It may hold a wake-up left from an earlier wait, so a sleeper looks at its condition
    /// again whatever woke it. (`std::thread::park` is not used because its token belongs to the application.)
    pub(super) fn current() -> Arc<Parker> {
        PARKER.try_with(Arc::clone).unwrap_or_default() // a thread that is ending has lost its own
    }

    /// Sleeps until woken or until `until` (`None` is for ever), and uses the wake-up up.
    pub(super) fn park(&self, until: Option<Instant>) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*woken {
            match super::alarm::time_left(until) {
                None => woken = self.condition.wait(woken).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => return,
                Some(left) => {
                    woken = self.condition.wait_timeout(woken, left).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        *woken = false;
    }

    fn unpark(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.condition.notify_one();
    }
}

/// Somebody who is to be told. Tasks and pollers will be further variants.
#[derive(Clone)]
pub(super) enum Waiter {
    /// A thread that sleeps.
    Thread(Arc<Parker>),
}

impl Waiter {
    fn wake(self) {
        match self {
            Waiter::Thread(parker) => parker.unpark(),
        }
    }

    fn is(&self, other: &Waiter) -> bool {
        match (self, other) {
            (Waiter::Thread(a), Waiter::Thread(b)) => Arc::ptr_eq(a, b),
        }
    }
}

/// Waiters taken off their lists, to be woken once the lock is released.
#[derive(Default)]
#[must_use = "whoever is taken off a list must be woken"]
pub(super) struct Wakeups(SmallVec<[Waiter; 4]>);

impl Wakeups {
    /// Wakes them. Call it without the stack's lock.
    pub(super) fn wake(self) {
        for waiter in self.0 {
            waiter.wake();
        }
    }
}

type List = SmallVec<[(Readiness, Waiter); 2]>;

/// The lists of all sockets that applications hold, and two for the host as a whole.
#[derive(Default)]
pub(super) struct Waits {
    sockets: HashMap<SocketId, List>,
    /// Woken after every batch: for the few who wait for what is not readiness (linger, shutdown).
    progress: Vec<Waiter>,
    /// Woken when the host ends.
    end: Vec<Waiter>,
}

impl Waits {
    /// A socket now belongs to an application.
    pub(super) fn open(&mut self, id: SocketId) {
        self.sockets.insert(id, List::new());
    }

    /// It does no longer. Whoever still waits on it is woken.
    pub(super) fn close(&mut self, id: SocketId, wakeups: &mut Wakeups) {
        if let Some(list) = self.sockets.remove(&id) {
            wakeups.0.extend(list.into_iter().map(|(_, waiter)| waiter));
        }
    }

    /// The sockets that applications hold.
    pub(super) fn ids(&self) -> Vec<SocketId> {
        self.sockets.keys().copied().collect()
    }

    /// `waiter` waits until `id` is ready for any of `interest`. False if there is no such socket: waiting is vain.
    pub(super) fn register(&mut self, id: SocketId, interest: Readiness, waiter: Waiter) -> bool {
        match self.sockets.get_mut(&id) {
            Some(list) => {
                list.push((interest, waiter));
                true
            }
            None => false,
        }
    }

    /// `waiter` waits on `id` no longer. (One that was woken is off the list already.)
    pub(super) fn deregister(&mut self, id: SocketId, waiter: &Waiter) {
        if let Some(list) = self.sockets.get_mut(&id) {
            list.retain(|(_, other)| !other.is(waiter));
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

    /// Takes those off whose sockets have changed so that they may go on, and those who wait for anything.
    pub(super) fn collect(&mut self, stack: &mut Stack, wakeups: &mut Wakeups) {
        while let Some(id) = stack.poll_ready() {
            if let Some(list) = self.sockets.get_mut(&id)
                && !list.is_empty()
            {
                take_ready(list, stack.readiness(id), wakeups);
            }
        }
        wakeups.0.extend(self.progress.drain(..));
    }

    /// Takes everybody off who waits on `id`.
    pub(super) fn collect_socket(&mut self, id: SocketId, wakeups: &mut Wakeups) {
        if let Some(list) = self.sockets.get_mut(&id) {
            wakeups.0.extend(list.drain(..).map(|(_, waiter)| waiter));
        }
    }

    /// Takes everybody off.
    pub(super) fn collect_all(&mut self, wakeups: &mut Wakeups) {
        for list in self.sockets.values_mut() {
            wakeups.0.extend(list.drain(..).map(|(_, waiter)| waiter));
        }
        wakeups.0.extend(self.progress.drain(..));
        wakeups.0.extend(self.end.drain(..));
    }
}

/// Takes those off `list` who wait for one of the bits of `ready`; an error or hang-up is for everybody.
fn take_ready(list: &mut List, ready: Readiness, wakeups: &mut Wakeups) {
    let all = ready.intersects(Readiness::ERROR | Readiness::HANGUP);
    list.retain(|(interest, waiter)| {
        let take = all || ready.intersects(*interest);
        if take {
            wakeups.0.push(waiter.clone());
        }
        !take
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;
    use crate::stack::UdpId;
    use std::time::Duration;

    fn id(index: u32) -> SocketId {
        SocketId::Udp(UdpId { index, generation: 0 })
    }

    fn waiter() -> (Arc<Parker>, Waiter) {
        let parker = Arc::new(Parker::default());
        (parker.clone(), Waiter::Thread(parker))
    }

    fn woken(parker: &Parker) -> bool {
        *parker.woken.lock().unwrap()
    }

    #[test]
    fn only_those_are_taken_who_may_go_on() {
        let (mut list, mut wakeups) = (List::new(), Wakeups::default());
        let ((reader, r), (writer, w), (late, l)) = (waiter(), waiter(), waiter());
        list.push((Readiness::READABLE, r));
        list.push((Readiness::WRITABLE, w));
        take_ready(&mut list, Readiness::READABLE, &mut wakeups);
        wakeups.wake();
        assert_eq!((woken(&reader), woken(&writer), list.len()), (true, false, 1));
        list.push((Readiness::READABLE, l));
        let mut wakeups = Wakeups::default();
        take_ready(&mut list, Readiness::ERROR, &mut wakeups);
        wakeups.wake();
        assert_eq!((woken(&late), woken(&writer), list.len()), (true, true, 0));
    }

    #[test]
    fn a_closed_socket_wakes_its_waiters_and_takes_no_more() {
        let (mut waits, mut wakeups) = (Waits::default(), Wakeups::default());
        let (parker, w) = waiter();
        waits.open(id(1));
        assert!(waits.register(id(1), Readiness::READABLE, w.clone()));
        waits.close(id(1), &mut wakeups);
        wakeups.wake();
        assert!(woken(&parker));
        assert!(!waits.register(id(1), Readiness::READABLE, w));
    }

    #[test]
    fn a_waiter_that_gave_up_is_not_woken() {
        let (mut waits, mut wakeups) = (Waits::default(), Wakeups::default());
        let ((a, wa), (b, wb)) = (waiter(), waiter());
        waits.open(id(1));
        waits.register(id(1), Readiness::READABLE, wa.clone());
        waits.register(id(1), Readiness::READABLE, wb);
        waits.deregister(id(1), &wa);
        waits.collect_socket(id(1), &mut wakeups);
        wakeups.wake();
        assert_eq!((woken(&a), woken(&b)), (false, true));
    }

    #[test]
    fn the_end_is_for_all() {
        let (mut waits, mut wakeups) = (Waits::default(), Wakeups::default());
        let all: Vec<_> = (0..3).map(|_| waiter()).collect();
        waits.open(id(7));
        waits.register(id(7), Readiness::NONE, all[0].1.clone());
        waits.register_progress(all[1].1.clone());
        waits.register_end(all[2].1.clone());
        waits.collect_all(&mut wakeups);
        wakeups.wake();
        assert!(all.iter().all(|(parker, _)| woken(parker)));
    }

    #[test]
    fn a_wake_up_before_the_sleep_is_kept_and_a_sleep_ends_by_itself() {
        let parker = Parker::current();
        let began = clock::now();
        parker.unpark();
        parker.park(Some(began + Duration::from_secs(30)));
        assert!(clock::now().since(began) < Duration::from_secs(10));
        let until = clock::now() + Duration::from_millis(3);
        parker.park(Some(until));
        assert!(clock::now() >= until);
    }

    #[test]
    fn a_sleeper_is_woken_from_another_thread() {
        let (parker, waiter) = waiter();
        let began = clock::now();
        std::thread::scope(|scope| {
            scope.spawn(|| waiter.wake());
            parker.park(Some(began + Duration::from_secs(30)));
        });
        assert!(clock::now().since(began) < Duration::from_secs(10));
    }
}
