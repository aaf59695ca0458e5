//! The other shards of the host.

use super::shard::{Core, Ending, Shard};
use super::wait::Waiter;
use crate::time::Instant;
use crate::wire::RxFrame;
use std::sync::{Arc, OnceLock, Weak};

/// What a shard knows of the others: nothing if it is alone.
#[derive(Default)]
pub(super) struct Siblings(OnceLock<Family>);

struct Family {
    /// The shard's own number.
    number: usize,
    /// All shards, itself included.
    all: Box<[Weak<Shard>]>,
}

impl Siblings {
    /// The shard with this number, if it is still there.
    fn get(&self, shard: u16) -> Option<Arc<Shard>> {
        self.0.get()?.all.get(usize::from(shard))?.upgrade()
    }

    /// The end of all.
    pub(super) fn end(&self, ending: &Ending) {
        let all = self.0.get().into_iter().flat_map(|family| &family.all);
        for sibling in all.filter_map(Weak::upgrade) {
            sibling.end(ending.clone());
        }
    }
}

impl Shard {
    /// Makes `shards`, which are not started yet, those of one host.
    pub(crate) fn join_up(shards: &[Arc<Shard>]) {
        for (number, shard) in shards.iter().enumerate() {
            let all = shards.iter().map(Arc::downgrade).collect();
            // It is set once: nobody else knows the shard.
            let _ = shard.siblings.0.set(Family { number, all });
        }
    }

    /// Its number among the shards of its host.
    pub(crate) fn number(&self) -> usize {
        self.siblings.0.get().map_or(0, |family| family.number)
    }

    /// The driver's: passes on the frame that was found to be for another shard, if there is one.
    pub(super) fn pass_on(&self, core: &mut Core, now: Instant) {
        let Some((owner, frame)) = core.stack.take_misdirected() else { return };
        let frame = match self.siblings.get(owner) {
            Some(sibling) => match sibling.mailbox.post(frame) {
                Ok(()) => {
                    core.wakeups.push(Waiter::Shard(sibling));
                    return;
                }
                Err(frame) => frame,
            },
            None => frame,
        };
        self.lose(core, now, &frame);
    }

    fn lose(&self, core: &mut Core, now: Instant, frame: &RxFrame) {
        let disposition = core.stack.drop_misdirected(frame);
        core.show(now, frame, disposition);
    }

    /// The driver's: gives the stack what other shards have passed on.
    pub(super) fn take_mail(&self, core: &mut Core, now: Instant) {
        for frame in self.mailbox.take() {
            let shown = frame.clone();
            let disposition = core.stack.on_misdirected(now, frame);
            core.show(now, &shown, disposition);
        }
    }
}
