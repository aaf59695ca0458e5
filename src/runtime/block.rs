//! Calls that wait. A thread that would block drives the shard itself, if nobody else does, until it need not wait
//! any longer.

use super::batch;
use super::driver::Reader;
use super::parker::Parker;
use super::shard::{Core, Drive, Ending, Locked, Output, Patience, Shard};
use super::sync::clock;
use super::wait::{Abroad, Seat, Target, Waiter, Wakeups};
use crate::error::{Error, Result};
use crate::stack::{Readiness, SocketId, Stack};
use crate::time::Instant;
use core::cell::Cell;
use core::task::{Context, Poll};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

impl Core {
    /// Tries `act` once. What was received before the host's end can still be read after it.
    ///
    /// # Errors
    /// `act`'s, or what ended the host.
    pub(super) fn attempt<T>(
        &mut self,
        target: Target,
        now: Instant,
        act: &mut impl FnMut(&mut Core, Instant) -> Result<T>,
    ) -> Result<T> {
        let reads = matches!(target, Target::Socket(_, Readiness::READABLE));
        if let Some(ending) = self.ending().filter(|_| !reads) {
            return Err(ending.error());
        }
        let result = act(self, now);
        // After the end it is raised for good.
        if self.waits.outsiders > 0
            && !self.has_ended()
            && let Target::Socket(id, interest) = target
        {
            // A read that was refused says nothing of the room to write.
            let refused = interest.contains(Readiness::WRITABLE) && matches!(result, Err(Error::WouldBlock));
            let Core { waits, stack, wakeups, .. } = self;
            waits.show(stack, id, refused, wakeups);
        }
        match (result, self.ending()) {
            (Err(_), Some(ending)) => Err(ending.error()),
            (Err(Error::BadHandle), None) if self.is_closing() => Err(Ending::Shutdown.error()),
            (result, _) => result,
        }
    }

    /// The thread of `parker` goes back to its own work, and leaves the role.
    fn leave_role(&mut self, reader: Box<Reader>, parker: &Parker, now: Instant, wakeups: &mut Wakeups) {
        if self.has_ended() {
            return; // the device is let go
        }
        self.role.leave(reader, now, wakeups);
        if !parker.is_quick() {
            self.role.call_one(wakeups);
        }
    }
}

impl Shard {
    /// Tries `act` until it gives something else than `WouldBlock`, and waits for `interest` in `id` between tries.
    ///
    /// What was received before the host's end can still be read after it.
    ///
    /// # Errors
    /// `act`'s; `WouldBlock` when `patience` is at its end; or what ended the host.
    pub(crate) fn wait<T>(
        &self,
        id: SocketId,
        interest: Readiness,
        patience: Patience,
        act: impl FnMut(&mut Core, Instant) -> Result<T>,
    ) -> Result<T> {
        self.wait_on(Target::Socket(id, interest), patience, self.is_neglected(), None, act)
    }

    /// Whether the device should be read before this thread sends what its batch has left: a long batch is long in
    /// writing, and meanwhile the peers have answered.
    fn is_neglected(&self) -> bool {
        batch::is_due() && self.lock().is_ok_and(|core| core.role.is_neglected(clock::now()))
    }

    /// As [`wait`](Shard::wait). If it is `eager`, it drives a round before it tries, if nobody else drives: for those
    /// who seldom block. If it waits `abroad` too, it gives `WouldBlock` as soon as it is called there.
    pub(super) fn wait_on<T>(
        &self,
        target: Target,
        patience: Patience,
        eager: bool,
        abroad: Option<&Abroad>,
        act: impl FnMut(&mut Core, Instant) -> Result<T>,
    ) -> Result<T> {
        let drives = Cell::new(false);
        let mut wait = Wait { shard: self, target, patience, abroad, drives: &drives, reader: None, parker: None, act };
        match catch_unwind(AssertUnwindSafe(|| wait.run(eager))) {
            Ok(result) => result,
            // The stack has panicked over what somebody else sent: for this caller it is an error.
            Err(_) if drives.get() => {
                self.end(Ending::Panic);
                Err(Ending::Panic.error())
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// As [`wait`](Shard::wait), for a task in `seat`: if it must wait, its waker is called when it is worth trying again.
    /// If it need not, it leaves a seat of its own.
    ///
    /// # Errors
    /// As [`wait`](Shard::wait).
    pub(crate) fn poll_wait<T>(
        &self,
        cx: &mut Context<'_>,
        seat: Seat,
        id: SocketId,
        interest: Readiness,
        mut act: impl FnMut(&mut Core, Instant) -> Result<T>,
    ) -> Poll<Result<T>> {
        let mut core = match self.lock() {
            Ok(core) => core,
            Err(error) => return Poll::Ready(Err(error)),
        };
        let now = clock::now();
        let mut result = core.attempt(Target::Socket(id, interest), now, &mut act);
        let Core { waits, wakeups, .. } = &mut *core;
        if matches!(result, Err(Error::WouldBlock)) {
            if !waits.register_task(id, interest, cx.waker(), seat, wakeups) {
                result = Err(Error::BadHandle);
            }
        } else if seat != Seat::Shared {
            waits.vacate(id, seat, wakeups);
        }
        let out = self.prepare(&mut core, now);
        self.finish(core, out);
        match result {
            Err(Error::WouldBlock) => Poll::Pending,
            result => Poll::Ready(result),
        }
    }

    /// The task in `seat` waits on `id` no longer.
    #[cfg(feature = "tokio")]
    pub(crate) fn vacate(&self, id: SocketId, seat: Seat) {
        self.act_finally(|core, _| core.waits.vacate(id, seat, &mut core.wakeups));
    }

    /// Waits until `done`, which is asked again whenever anything has happened, or until `at`. True if `done`.
    pub(crate) fn wait_for(&self, at: Instant, mut done: impl FnMut(&mut Stack) -> bool) -> bool {
        let parker = Parker::current();
        loop {
            let Ok(mut core) = self.lock() else {
                return false;
            };
            if done(&mut core.stack) {
                return true;
            }
            let now = clock::now();
            if core.has_ended() || now >= at {
                return false;
            }
            // What a batch has left for later may be what this waits for; and to pull it may be all it takes.
            let out = self.prepare(&mut core, now);
            let done = done(&mut core.stack);
            if !done {
                core.waits.register_progress(Waiter::Thread(parker.clone()));
            }
            self.finish(core, out);
            if done {
                return true;
            }
            parker.park(Some(at));
        }
    }
}

/// A call that waits.
struct Wait<'a, A> {
    shard: &'a Shard,
    target: Target,
    patience: Patience,
    abroad: Option<&'a Abroad>,
    /// Whether it has the role, for whoever catches its panic.
    drives: &'a Cell<bool>,
    reader: Option<Box<Reader>>,
    /// Where it sleeps, from when it first had to.
    parker: Option<Arc<Parker>>,
    act: A,
}

impl<A> Wait<'_, A> {
    fn run<T>(&mut self, eager: bool) -> Result<T>
    where
        A: FnMut(&mut Core, Instant) -> Result<T>,
    {
        let shard = self.shard;
        if eager {
            let mut core = shard.lock()?;
            self.take_role(&mut core);
            drop(core);
            self.come();
        }
        // Whether it stands on no list: it was never put there, or taken off to be woken.
        let mut unlisted = true;
        loop {
            let more = match self.reader.as_mut().map(|reader| reader.read(&shard.pool)) {
                Some(Err(error)) => {
                    shard.end(Ending::Device(Arc::new(error)));
                    false
                }
                Some(Ok(more)) => more,
                None => false,
            };
            let mut core = shard.lock()?;
            let now = clock::now();
            if let Some(reader) = &mut self.reader {
                reader.process(shard, &mut core, now);
            }
            let mut result = core.attempt(self.target, now, &mut self.act);
            let until = self.patience.until(now).filter(|_| matches!(result, Err(Error::WouldBlock)));
            if let Some(until) = until {
                let parker = self.come();
                unlisted |= parker.take_woken();
                // Asked after the wake-up was taken, for who calls says so before it wakes.
                if !self.abroad.is_some_and(Abroad::was_called) {
                    if unlisted {
                        core.waits.deregister(self.target, &parker);
                        // Before output is pulled, because that can make the socket ready (a full queue has room then).
                        unlisted = !core.waits.register(self.target, &parker);
                    }
                    if !unlisted {
                        unlisted = self.pause(core, now, more, until, &parker);
                        continue;
                    }
                    result = Err(Error::BadHandle);
                }
            }
            let defers = batch::defers();
            if defers && self.parker.is_none() {
                return result; // it never waited; what it led to is for the batch's end
            }
            // A driver that has something to read and will be back at once leaves what is to be sent until then, or until it
            // acts: an ACK can then travel with the answer, or with the news of a larger window. Should it not come, the
            // caretaker does. What a batch has left goes when that is due.
            let reads = !matches!(self.target, Target::Socket(_, Readiness::WRITABLE)) && !batch::is_open();
            let quick = self.parker.as_ref().is_some_and(|parker| parker.is_quick());
            let defers = defers || self.reader.is_some() && reads && quick;
            let mut out = if defers { Output::deferred(&mut core) } else { shard.prepare(&mut core, now) };
            if let Some(parker) = &self.parker {
                core.waits.deregister(self.target, parker);
                core.role.rises(parker);
                if let Some(reader) = self.reader.take() {
                    core.leave_role(reader, parker, now, &mut out.wakeups);
                    self.drives.set(false);
                }
            }
            shard.finish(core, out);
            if let Some(parker) = &self.parker {
                parker.returns(clock::now());
            }
            return result;
        }
    }

    /// The thread's parker.
    fn come(&mut self) -> Arc<Parker> {
        let come = || {
            let parker = self.abroad.map_or_else(Parker::current, |abroad| abroad.parker.clone());
            parker.comes(clock::now());
            parker
        };
        self.parker.get_or_insert_with(come).clone()
    }

    /// Takes the role if it is free. True if so.
    fn take_role(&mut self, core: &mut Core) -> bool {
        if self.reader.is_none() && self.shard.drive == Drive::Caller && core.waits.outsiders == 0 {
            self.reader = core.role.take();
            self.drives.set(self.reader.is_some());
            return self.reader.is_some();
        }
        false
    }

    /// Ends a round that must be followed by another: sleeps if there is nothing to do meanwhile. True if it was woken
    /// and so taken off its list.
    fn pause(
        &mut self,
        mut core: Locked<'_>,
        now: Instant,
        more: bool,
        until: Option<Instant>,
        parker: &Arc<Parker>,
    ) -> bool {
        let shard = self.shard;
        // Whoever takes the role reads before it sleeps.
        let sleeps = !self.take_role(&mut core) && !more;
        let mut out = shard.prepare(&mut core, now);
        if sleeps && let Some(reader) = self.reader.take_if(|_| out.wakeups.has_quick(parker)) {
            // Those who are woken are the busy ones: the next of them to wait shall drive, and not be woken by this thread.
            core.role.leave(reader, now, &mut out.wakeups);
            self.drives.set(false);
        }
        match &self.reader {
            Some(_) => core.role.rises(parker),
            None if shard.drive == Drive::Caller => core.role.sleeps(parker),
            None => {}
        }
        let planned = self.reader.as_ref().and_then(|reader| sleeps.then(|| shard.plan(reader, out.deadline)));
        shard.finish(core, out);
        match &mut self.reader {
            Some(reader) => {
                reader.write(shard, now);
                if let Some(planned) = planned {
                    reader.sleep(shard, planned, until, Some(parker));
                }
                false
            }
            None => parker.park(until),
        }
    }
}
