//! The thread that covers the gaps: it drives while no other thread does, and finds somebody for a role that was left
//! and not taken.

use super::driver::Reader;
use super::parker::Parker;
use super::role::{Duty, LEASE, MAX_LEASE};
use super::shard::{Drive, Ending, Shard};
use super::sync::clock;
use super::wait::Wakeups;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The thread's whole life.
pub(super) fn main(shard: &Shard, parker: &Arc<Parker>) {
    let ending = catch_unwind(AssertUnwindSafe(|| watch(shard, parker))).unwrap_or(Some(Ending::Panic));
    // A panic while the end is told cannot be told to anybody; the waiters are woken before the taps are flushed.
    shard.end(ending.unwrap_or(Ending::Shutdown));
    shard.close_device();
}

/// Looks after the role until the end; `None` if that came from elsewhere.
fn watch(shard: &Shard, parker: &Arc<Parker>) -> Option<Ending> {
    let (mut seen, mut lease) = (u64::MAX, LEASE);
    loop {
        let Ok(mut core) = shard.lock() else {
            return Some(Ending::Panic);
        };
        if core.has_ended() {
            return None;
        }
        let mut wakeups = Wakeups::default();
        let always = shard.drive == Drive::Caretaker || core.waits.outsiders > 0;
        let duty = core.role.duty(&mut seen, always, parker, &mut wakeups);
        drop(core);
        wakeups.wake(&shard.alarm);
        match duty {
            Duty::Drive(reader) => match drive(shard, parker, reader) {
                Left::Role => lease = LEASE,
                Left::Ended(ending) => return ending,
            },
            Duty::Look => {
                parker.park(Some(clock::now() + lease));
                lease = (lease * 2).min(MAX_LEASE);
            }
            Duty::Sleep => _ = parker.park(None),
        }
    }
}

/// Why the caretaker drives no longer.
enum Left {
    /// It left the role to a thread.
    Role,
    /// The host has ended.
    Ended(Option<Ending>),
}

/// Drives until there is somebody to leave the role to, or the end.
fn drive(shard: &Shard, parker: &Arc<Parker>, mut reader: Box<Reader>) -> Left {
    loop {
        let more = match reader.read(&shard.pool) {
            Ok(more) => more,
            Err(error) => return Left::Ended(Some(Ending::Device(Arc::new(error)))),
        };
        let Ok(mut core) = shard.lock() else {
            return Left::Ended(Some(Ending::Panic));
        };
        if core.has_ended() {
            return Left::Ended(None);
        }
        let now = clock::now();
        reader.process(shard, &mut core, now);
        let mut out = shard.prepare(&mut core, now);
        let shares = shard.drive == Drive::Caller && core.waits.outsiders == 0;
        if shares && out.wakeups.has_quick(parker) {
            core.role.leave(reader, now, &mut out.wakeups);
            shard.finish(core, out);
            return Left::Role;
        }
        let planned = (!more).then(|| shard.plan(&reader, out.deadline));
        shard.finish(core, out);
        reader.write(shard, now);
        if let Some(planned) = planned {
            reader.sleep(shard, planned, None, None);
        }
    }
}
