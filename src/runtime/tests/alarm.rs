use crate::runtime::alarm::Alarm;
use crate::runtime::clock;
use crate::sys::wait::{PollFd, PollFlags, poll};
use crate::time::Instant;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn kicked(alarm: &Alarm, timeout: Duration) -> bool {
    let mut fds = [PollFd::new(alarm, PollFlags::IN)];
    poll(&mut fds, Some(timeout)).unwrap() == 1
}

#[test]
fn only_who_needs_it_earlier_kicks_and_only_the_first() {
    let alarm = Alarm::new().unwrap();
    let at = Instant::from_millis;
    alarm.ring();
    assert!(!kicked(&alarm, Duration::ZERO), "it is awake");
    alarm.set(Some(at(10)));
    alarm.ring_by(at(10));
    alarm.ring_by(at(11));
    assert!(!kicked(&alarm, Duration::ZERO), "it wakes early enough");
    alarm.ring_by(at(9));
    assert!(kicked(&alarm, Duration::ZERO));
    alarm.kick.drain();
    alarm.ring();
    assert!(!kicked(&alarm, Duration::ZERO), "it was kicked already");
    alarm.awake(true);
    alarm.set(None);
    alarm.ring_by(at(1 << 40));
    assert!(kicked(&alarm, Duration::ZERO), "it would sleep for ever");
    alarm.awake(true);
    alarm.ring_loudly();
    assert!(kicked(&alarm, Duration::ZERO));
}

/// The protocol of the driver: set, look, sleep; and of the others: change, ring.
#[test]
fn no_wake_up_is_lost() {
    const WORK: u64 = 100_000;
    let (alarm, given) = (Alarm::new().unwrap(), AtomicU64::new(0));
    let began = clock::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for n in 0..WORK / 2 {
                    given.fetch_add(1, Ordering::SeqCst);
                    alarm.ring();
                    if n % 64 == 0 {
                        std::thread::yield_now();
                    }
                }
            });
        }
        let mut done = 0;
        while done < WORK {
            alarm.set(None);
            if given.load(Ordering::SeqCst) == done {
                assert!(kicked(&alarm, Duration::from_secs(20)), "slept over {done} of {WORK}");
            }
            alarm.awake(true);
            done = given.load(Ordering::SeqCst);
        }
    });
    assert!(clock::now().since(began) < Duration::from_secs(60));
}
