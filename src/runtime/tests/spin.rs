use crate::runtime::spin::{Spin, Spinner};
use crate::time::Instant;
use std::time::Duration;

const US: Duration = Duration::from_micros(1);

fn at(us: u64) -> Instant {
    Instant::from_nanos(us * 1000)
}

/// After eight waits of `us`.
fn after(spin: Spin, processors: usize, us: u64) -> Spinner {
    let mut spinner = Spinner::new(spin, processors);
    (0..8).for_each(|_| spinner.waited(at(0), at(us), true));
    spinner
}

#[test]
fn it_looks_only_where_packets_have_lately_come_soon() {
    assert_eq!(after(Spin::Auto, 2, 40).until(at(1000)), Some(at(1050)));
    assert_eq!(after(Spin::Auto, 2, 400).until(at(1000)), None);
    assert_eq!(Spinner::new(Spin::Auto, 2).until(at(1000)), None);
    let mut spinner = after(Spin::Auto, 2, 40);
    spinner.waited(at(0), at(50), false);
    assert_eq!(spinner.until(at(1000)), None, "it looked in vain");
    (0..8).for_each(|_| spinner.waited(at(0), at(40), true));
    assert!(spinner.until(at(1000)).is_some());
}

#[test]
fn one_long_wait_does_not_make_it_sleep_through_the_next_short_ones() {
    let mut spinner = after(Spin::Auto, 2, 40);
    (0..100).for_each(|_| spinner.waited(at(0), at(40), true));
    let mut long = 0;
    while spinner.until(at(1000)).is_some() {
        spinner.waited(at(0), at(400), true);
        long += 1;
    }
    assert_eq!(long, 3);
}

#[test]
fn it_does_not_look_for_the_next_of_a_stream_of_data() {
    let mut spinner = after(Spin::Auto, 2, 10);
    spinner.received(1400);
    assert!(spinner.until(at(1000)).is_some());
    spinner.received(64_000);
    assert_eq!(spinner.until(at(1000)), None);
}

#[test]
fn it_looks_as_long_as_it_was_told() {
    assert_eq!(after(Spin::Off, 8, 1).until(at(1000)), None);
    assert_eq!(after(Spin::Auto, 1, 1).until(at(1000)), None, "no processor is free");
    assert_eq!(after(Spin::For(7 * US), 1, 1).until(at(1000)), Some(at(1007)));
}

#[test]
fn it_leaves_a_processor_that_somebody_wants() {
    let mut spinner = after(Spin::Auto, 2, 10);
    assert!(spinner.was_free(at(100), at(101)));
    assert!(!spinner.was_free(at(200), at(3200)));
    assert!(spinner.until(at(3200)).is_some(), "a turn of the one who made what was waited for");
    spinner.disturbed(at(3200));
    assert_eq!(spinner.until(at(3200)), None);
    assert!(spinner.until(at(3200) + 1000 * US).is_some());
    // Disturbed again and again, it rests longer and longer.
    let mut now = at(4300);
    let rests: Vec<u128> = (0..6)
        .map(|_| {
            let began = now + 100 * US;
            spinner.disturbed(began);
            now = (0..30).map(|ms| began + ms * 1000 * US).find(|&at| spinner.until(at).is_some()).unwrap();
            now.since(began).as_millis()
        })
        .collect();
    assert_eq!(rests, [2, 4, 8, 16, 20, 20]);
    spinner.disturbed(now + 51_000 * US);
    assert!(spinner.until(now + 52_000 * US).is_some(), "that was long ago");
}
