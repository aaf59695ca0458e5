//! What pollers do on a shard.

use super::pollers::{PollerId, Watch};
use super::several::{Parts, any};
use super::shard::{Core, Patience, Shard};
use super::wait::Target;
use crate::error::{Error, Result};
use crate::stack::{Readiness, SocketId};
use crate::time::Instant;
use core::cell::Cell;
use std::sync::Arc;

impl Shard {
    /// A new poller.
    ///
    /// # Errors
    /// What ended the host.
    pub(crate) fn open_poller(&self) -> Result<PollerId> {
        self.act(|core, _| {
            core.check_open()?;
            Ok(core.waits.pollers.open())
        })
    }

    /// A poller is no more. This looks at all sockets.
    pub(crate) fn close_poller(&self, poller: PollerId) {
        self.act_finally(|core, _| core.waits.close_poller(poller, &mut core.wakeups));
    }

    /// Registers a socket with a poller.
    ///
    /// # Errors
    /// `AddrInUse` if it is registered already, with whichever poller; `BadHandle` if it was closed; what ended the host.
    pub(crate) fn add_to_poller(&self, poller: PollerId, id: SocketId, watch: Watch) -> Result<()> {
        self.act(|core, _| {
            let (place, pollers) = core.waits.registration(id).ok_or(Error::BadHandle)?;
            if place.is_some() {
                return Err(Error::AddrInUse);
            }
            *place = pollers.admit(poller, watch);
            core.tell_poller(id);
            Ok(())
        })
    }

    /// Changes a registration. A one-shot registration that was told is told again.
    ///
    /// # Errors
    /// `BadHandle` if the socket is not registered with this poller; what ended the host.
    pub(crate) fn modify_in_poller(&self, poller: PollerId, id: SocketId, watch: Watch) -> Result<()> {
        self.act(|core, _| {
            let (place, _) = core.waits.registration(id).ok_or(Error::BadHandle)?;
            let registration = place.as_mut().filter(|own| own.poller == poller).ok_or(Error::BadHandle)?;
            registration.modify(watch);
            core.tell_poller(id);
            Ok(())
        })
    }

    /// Takes a socket out of a poller.
    ///
    /// # Errors
    /// As [`modify_in_poller`](Shard::modify_in_poller).
    pub(crate) fn delete_from_poller(&self, poller: PollerId, id: SocketId) -> Result<()> {
        self.act(|core, _| {
            let (place, pollers) = core.waits.registration(id).ok_or(Error::BadHandle)?;
            let registration = place.take_if(|own| own.poller == poller).ok_or(Error::BadHandle)?;
            pollers.forget(&registration);
            Ok(())
        })
    }

    /// Has the wait that is under way, or else the next one, return.
    pub(crate) fn notify_poller(&self, poller: PollerId) {
        self.act_finally(|core, _| core.waits.pollers.notify(poller, &mut core.wakeups));
    }
}

/// Waits until one of the sockets of a poller that has a part in each of `parts` has news, and gives the keys and
/// readiness of those that have, up to `max`. It gives none if the poller was notified, or if nothing came while
/// `patience` lasted. It looks into the part with the number `first` first; the number of that which had news is given.
///
/// # Errors
/// What ended the host.
pub(crate) fn wait_for_events(
    parts: &[(Arc<Shard>, PollerId)],
    first: usize,
    patience: Patience,
    max: usize,
    mut give: impl FnMut(u64, Readiness),
) -> Result<Option<usize>> {
    let given = Cell::new(0);
    let mut events = |number: usize, core: &mut Core, _: Instant| {
        let (poller, before) = (parts[number].1, given.get());
        let Core { waits, stack, wakeups, .. } = core;
        // What the frames of this very hold of the lock have changed is news already, not only after another round.
        waits.collect(stack, wakeups);
        waits.take_events(stack, poller, max - before, |key, ready| {
            given.set(given.get() + 1);
            give(key, ready);
        });
        let some = given.get() > before;
        let notified = waits.pollers.take_notified(poller);
        waits.pollers.show(poller, wakeups);
        if notified || some { Ok(number) } else { Err(Error::WouldBlock) }
    };
    // A thread that serves many sockets seldom has to wait: it reads the device all the same.
    let waited = match parts {
        [(shard, poller)] => {
            shard.wait_on(Target::Poller(*poller), patience, true, None, |core, now| events(0, core, now))
        }
        _ => {
            let places: Parts<'_> = parts.iter().map(|(shard, poller)| (shard, Target::Poller(*poller))).collect();
            let found = any(&places, first, patience, true, &mut events);
            // What is ready in the others, too.
            for number in found.iter().flat_map(|&found| (1..parts.len()).map(move |k| (found + k) % parts.len())) {
                if given.get() < max {
                    // None, or the host has ended, which the next wait is told.
                    let _ = parts[number].0.act(|core, now| events(number, core, now));
                }
            }
            found
        }
    };
    match waited {
        Err(Error::WouldBlock) => Ok(None),
        waited => waited.map(Some),
    }
}

impl Core {
    /// Tells a socket's poller what the socket is ready for now.
    fn tell_poller(&mut self, id: SocketId) {
        let ready = self.stack.readiness(id);
        if let Some((Some(registration), pollers)) = self.waits.registration(id) {
            pollers.tell(id, registration, ready, &mut self.wakeups);
        }
    }
}
