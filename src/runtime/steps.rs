//! The caretaker's work in steps, for a task, which must not block: it drives a step, and then waits by the means of its
//! executor for what the step has said. So the host needs no thread of its own.

use super::driver::{Reader, Rest};
use super::shard::{Drive, Ending, Shard};
use super::sync::clock;
use crate::error::{Error, Result};
use crate::time::Instant;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// The role of the one who drives, held by a task. The host ends with it.
pub(crate) struct Steps {
    shard: Arc<Shard>,
    /// Dropped with this, and not before: who hears that it is gone may open the device anew.
    reader: Box<Reader>,
}

/// What is to be done after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next one.
    Again,
    /// To wait: until `until`, until the device has something to read (or, if it is `blocked`, room), or until the alarm
    /// is rung.
    Rest {
        /// `None` is for as long as it takes.
        until: Option<Instant>,
        /// The device was full.
        blocked: bool,
        /// Nothing was read.
        idle: bool,
    },
    /// Nothing: the host has ended.
    End,
}

impl Steps {
    /// Takes the role.
    ///
    /// # Errors
    /// `AddrInUse` if somebody drives; `NetworkDown` if the stack has panicked.
    pub(crate) fn new(shard: &Arc<Shard>) -> Result<Steps> {
        debug_assert_eq!(shard.drive, Drive::Caretaker, "a blocked thread would take the role for itself");
        let reader = shard.lock()?.role.take().ok_or(Error::AddrInUse)?;
        Ok(Steps { shard: shard.clone(), reader })
    }

    /// What polls readable when the device has something.
    pub(crate) fn device(&self) -> BorrowedFd<'_> {
        self.reader.device()
    }

    /// What polls readable when the alarm is rung.
    pub(crate) fn alarm(&self) -> BorrowedFd<'_> {
        self.shard.alarm.as_fd()
    }

    /// The wait is over, whatever the reason. `rung` says whether the alarm's descriptor was seen readable, `room` whether
    /// the device was seen to have room.
    pub(crate) fn wake(&self, rung: bool, room: bool) {
        self.shard.alarm.awake(rung);
        if room {
            self.shard.tx.unblock();
        }
    }

    /// Drives a step: reads a batch, has the stack process it, sends what follows.
    pub(crate) fn step(&mut self) -> Step {
        let Steps { shard, reader } = self;
        let more = match reader.read(&shard.pool) {
            Ok(more) => more,
            Err(error) => return self.end(Ending::Device(Arc::new(error))),
        };
        let Ok(mut core) = shard.lock() else { return self.end(Ending::Panic) };
        if core.has_ended() {
            drop(core);
            return self.end(Ending::Shutdown);
        }
        let (now, idle) = (clock::now(), reader.is_idle());
        reader.process(shard, &mut core, now);
        let out = shard.prepare(&mut core, now);
        let planned = (!more).then(|| shard.plan(reader, out.deadline));
        shard.finish(core, out);
        reader.write(shard, now);
        let Some(planned) = planned else { return Step::Again };
        match reader.last_look(shard, planned) {
            Rest { until: Some(until), .. } if until <= now => Step::Again,
            Rest { until, blocked } => Step::Rest { until, blocked, idle },
        }
    }

    /// The end, unless it has come already.
    fn end(&self, ending: Ending) -> Step {
        self.shard.end(ending);
        Step::End
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() { Ending::Panic } else { Ending::Shutdown });
    }
}
