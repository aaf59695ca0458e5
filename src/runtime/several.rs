//! Calls that wait in several shards at once: on a listener, a UDP socket or a poller that has a part in each.
//!
//! The thread chooses one part as its home and waits there as any other does ([`Shard::wait_on`]), so it may drive that
//! shard; the others are driven by others. Before that it is listed in the other parts, each in the same hold of that
//! shard's lock in which there was nothing. So whatever comes after calls it, and a call ends its sleep at home,
//! whether it parks there or sleeps on the device.

use super::parker::Parker;
use super::shard::{Core, Patience, Shard};
use super::sync::clock;
use super::wait::{Abroad, Target, Waiter};
use crate::error::{Error, Result};
use crate::stack::{Readiness, SocketId};
use crate::time::Instant;
use smallvec::SmallVec;
use std::sync::Arc;

/// The parts on which a call waits.
pub(super) type Parts<'a> = SmallVec<[(&'a Arc<Shard>, Target); 8]>;

/// As [`Shard::wait`], on whichever of `parts` has something. It looks into that with the number `first` first.
///
/// # Errors
/// As [`Shard::wait`].
pub(crate) fn wait_any<'a, T>(
    parts: impl IntoIterator<Item = (&'a Arc<Shard>, SocketId)>,
    first: usize,
    interest: Readiness,
    patience: Patience,
    act: impl FnMut(usize, &mut Core, Instant) -> Result<T>,
) -> Result<T> {
    let parts: Parts<'_> = parts.into_iter().map(|(shard, id)| (shard, Target::Socket(id, interest))).collect();
    any(&parts, first, patience, false, act)
}

/// Tries `act` on all `parts`, and waits between tries. If it is `eager`, it drives a round of its home first.
pub(super) fn any<T>(
    parts: &[(&Arc<Shard>, Target)],
    first: usize,
    patience: Patience,
    eager: bool,
    mut act: impl FnMut(usize, &mut Core, Instant) -> Result<T>,
) -> Result<T> {
    let number = |k: usize| (first + k) % parts.len();
    let (home, target) = parts[number(0)];
    // Who need not wait is listed nowhere.
    let mut found = home.wait_on(target, Patience::None, eager, None, |core, now| act(number(0), core, now));
    for k in 1..parts.len() {
        if !matches!(found, Err(Error::WouldBlock)) {
            return found;
        }
        let (shard, target) = parts[number(k)];
        found = shard.try_abroad(target, None, |core, now| act(number(k), core, now));
    }
    if !matches!(found, Err(Error::WouldBlock)) || patience.until(clock::now()).is_none() {
        return found;
    }
    let abroad = Arc::new(Abroad::new(Parker::current(), home.clone()));
    let found = loop {
        abroad.looks();
        let others = (1..parts.len()).map(|k| {
            let (shard, target) = parts[number(k)];
            shard.try_abroad(target, Some(&abroad), |core, now| act(number(k), core, now))
        });
        if let Some(found) = others.into_iter().find(|tried| !matches!(tried, Err(Error::WouldBlock))) {
            break found;
        }
        let waited = home.wait_on(target, patience, false, Some(&abroad), |core, now| act(number(0), core, now));
        let goes_on = abroad.was_called() && patience.until(clock::now()).is_some();
        if !(matches!(waited, Err(Error::WouldBlock)) && goes_on) {
            break waited;
        }
    };
    for k in 1..parts.len() {
        let (shard, target) = parts[number(k)];
        shard.forget_abroad(target, &abroad);
    }
    found
}

impl Shard {
    /// Tries `act` once. If it would block, lists `abroad` to be called.
    fn try_abroad<T>(
        &self,
        target: Target,
        abroad: Option<&Arc<Abroad>>,
        mut act: impl FnMut(&mut Core, Instant) -> Result<T>,
    ) -> Result<T> {
        let mut core = self.lock()?;
        let now = clock::now();
        let mut result = core.attempt(target, now, &mut act);
        if let Some(abroad) = abroad
            && matches!(result, Err(Error::WouldBlock))
        {
            // It may still be listed from the last time.
            core.waits.deregister(target, &abroad.parker);
            if !core.waits.list(target, Waiter::Abroad(abroad.clone())) {
                result = Err(Error::BadHandle);
            }
        }
        let out = self.prepare(&mut core, now);
        self.finish(core, out);
        result
    }

    fn forget_abroad(&self, target: Target, abroad: &Abroad) {
        self.act_finally(|core, _| core.waits.deregister(target, &abroad.parker));
    }
}
