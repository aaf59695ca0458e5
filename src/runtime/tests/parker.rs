use crate::runtime::clock;
use crate::runtime::parker::Parker;
use crate::time::Instant;
use std::time::Duration;

#[test]
fn a_wake_up_before_the_sleep_is_kept_and_a_sleep_ends_by_itself() {
    let parker = Parker::current();
    let began = clock::now();
    parker.unpark();
    assert!(parker.park(Some(began + Duration::from_secs(30))));
    assert!(clock::now().since(began) < Duration::from_secs(10));
    let until = clock::now() + Duration::from_millis(3);
    assert!(!parker.park(Some(until)));
    assert!(clock::now() >= until);
}

#[test]
fn a_sleeper_is_woken_from_another_thread() {
    let parker = Parker::default();
    let began = clock::now();
    std::thread::scope(|scope| {
        scope.spawn(|| parker.unpark());
        assert!(parker.park(Some(began + Duration::from_secs(30))));
    });
    assert!(clock::now().since(began) < Duration::from_secs(10));
}

#[test]
fn who_wakes_one_that_does_not_sleep_here_is_told() {
    let parker = Parker::default();
    assert!(!parker.unpark());
    assert!(parker.is_woken() && parker.take_woken() && !parker.take_woken());
}

#[test]
fn quick_is_who_came_back_at_once_the_last_time() {
    let (parker, at) = (Parker::default(), Instant::from_millis);
    parker.comes(at(1));
    assert!(!parker.is_quick(), "nothing is known of it");
    parker.returns(at(5));
    parker.comes(at(5) + Duration::from_micros(150));
    assert!(parker.is_quick());
    parker.returns(at(6));
    parker.comes(at(7));
    assert!(!parker.is_quick());
}
