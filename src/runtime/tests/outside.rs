//! Those who wait outside.

use super::wait::wake;
use crate::runtime::outside::Signal;
use crate::runtime::wait::Wakeups;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::sync::Arc;

/// Who takes edges has looked when it was lowered; that it is raised again must be told, though nobody outside has seen it
/// low.
#[test]
fn what_was_lowered_and_raised_before_it_was_shown_is_an_edge() {
    let both = [(Signal::readable(), epoll::EventFlags::IN), (Signal::writable(), epoll::EventFlags::OUT)];
    for (signal, direction) in both {
        let signal = Arc::new(signal.unwrap());
        let outside = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        epoll::add(&outside, &*signal, epoll::EventData::new_u64(0), direction | epoll::EventFlags::ET).unwrap();
        let told = || {
            let mut events = Vec::with_capacity(1);
            epoll::wait(&outside, spare_capacity(&mut events), Some(&Timespec::default())).unwrap()
        };
        let set = |changes: &[bool]| {
            let mut wakeups = Wakeups::default();
            changes.iter().for_each(|&raised| signal.want(raised, &mut wakeups));
            wake(wakeups);
        };
        assert_eq!(told(), 0);
        set(&[true]);
        assert_eq!((told(), told()), (1, 0));
        set(&[true]);
        assert_eq!(told(), 0, "nothing is new");
        set(&[false, true]);
        assert_eq!((told(), told()), (1, 0));
        set(&[false]);
        set(&[true, false]);
        assert_eq!(told(), 0);
    }
}
