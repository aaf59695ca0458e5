use crate::runtime::alarm::Alarm;
use crate::runtime::parker::Parker;
use crate::runtime::wait::{List, Seat, Target, Waiter, Waits, Wakeups, take_ready};
use crate::stack::{Readiness, SocketId, UdpId};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

fn id(index: u32) -> SocketId {
    SocketId::Udp(UdpId { index, generation: 0 })
}

fn readable(index: u32) -> Target {
    Target::Socket(id(index), Readiness::READABLE)
}

fn waiter() -> (Arc<Parker>, Waiter) {
    let parker = Arc::new(Parker::default());
    (parker.clone(), Waiter::Thread(parker))
}

pub(super) fn wake(wakeups: Wakeups) {
    wakeups.wake(&Alarm::new().unwrap());
}

#[test]
fn only_those_are_taken_who_may_go_on() {
    let (mut list, mut wakeups) = (List::new(), Wakeups::default());
    let ((reader, r), (writer, w), (late, l)) = (waiter(), waiter(), waiter());
    list.push((Readiness::READABLE, r));
    list.push((Readiness::WRITABLE, w));
    take_ready(&mut list, Readiness::READABLE, &mut wakeups);
    wake(wakeups);
    assert_eq!((reader.is_woken(), writer.is_woken(), list.len()), (true, false, 1));
    list.push((Readiness::READABLE, l));
    let mut wakeups = Wakeups::default();
    take_ready(&mut list, Readiness::ERROR, &mut wakeups);
    wake(wakeups);
    assert_eq!((late.is_woken(), writer.is_woken(), list.len()), (true, true, 0));
}

#[test]
fn a_closed_socket_wakes_its_waiters_and_takes_no_more() {
    let (mut waits, mut wakeups) = (Waits::default(), Wakeups::default());
    let parker = Arc::default();
    waits.open(id(1));
    assert!(waits.register(readable(1), &parker));
    waits.close(id(1), &mut wakeups);
    wake(wakeups);
    assert!(parker.is_woken());
    assert!(!waits.register(readable(1), &parker));
}

#[test]
fn a_later_socket_of_the_same_number_is_another() {
    let (mut waits, mut wakeups) = (Waits::default(), Wakeups::default());
    let later = SocketId::Udp(UdpId { index: 1, generation: 1 });
    waits.open(id(1));
    waits.close(id(1), &mut wakeups);
    waits.open(later);
    assert!(!waits.register(readable(1), &Arc::default()));
    waits.close(id(1), &mut wakeups);
    assert_eq!(waits.ids(), [later]);
    wake(wakeups);
}

#[test]
fn a_waiter_that_gave_up_is_not_woken() {
    let (mut waits, mut wakeups) = (Waits::default(), Wakeups::default());
    let (a, b) = <(Arc<Parker>, Arc<Parker>)>::default();
    waits.open(id(1));
    waits.register(readable(1), &a);
    waits.register(readable(1), &b);
    waits.deregister(readable(1), &a);
    waits.collect_socket(id(1), &mut wakeups);
    wake(wakeups);
    assert_eq!((a.is_woken(), b.is_woken()), (false, true));
}

#[test]
fn the_end_is_for_all() {
    let (mut waits, mut wakeups) = (Waits::default(), Wakeups::default());
    let all: Vec<_> = (0..4).map(|_| waiter()).collect();
    waits.open(id(7));
    waits.register(Target::Socket(id(7), Readiness::NONE), &all[0].0);
    waits.register_progress(all[1].1.clone());
    waits.register_end(all[2].1.clone());
    let poller = waits.pollers.open();
    waits.register(Target::Poller(poller), &all[3].0);
    waits.collect_all(&mut wakeups);
    wake(wakeups);
    assert!(all.iter().all(|(parker, _)| parker.is_woken()));
}

/// Counts how often it is woken, and how often it was let go without.
#[derive(Default)]
struct Count {
    woken: AtomicUsize,
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

/// Futures have seats of their own: all are woken, each is listed once, and one that is dropped leaves nothing.
#[test]
fn futures_have_seats_of_their_own() {
    let (mut waits, mut wakeups) = (Waits::default(), Wakeups::default());
    waits.open(id(1));
    let tasks: Vec<Arc<Count>> = (0..10).map(|_| Arc::default()).collect();
    let mut sit = |waits: &mut Waits, task: usize, seat| {
        let waker = Waker::from(tasks[task].clone());
        assert!(waits.register_task(id(1), Readiness::READABLE, &waker, Seat::Own(seat), &mut wakeups));
    };
    for task in 0..10 {
        sit(&mut waits, task, task as u64);
    }
    // The fourth is polled by the task of the third now.
    sit(&mut waits, 3, 4);
    waits.vacate(id(1), Seat::Own(5), &mut wakeups);
    waits.vacate(id(2), Seat::Own(6), &mut wakeups);
    wake(std::mem::take(&mut wakeups));
    waits.collect_socket(id(1), &mut wakeups);
    wake(std::mem::take(&mut wakeups));
    let woken: Vec<usize> = tasks.iter().map(|task| task.woken.load(Ordering::SeqCst)).collect();
    assert_eq!(woken, [1, 1, 1, 2, 0, 0, 1, 1, 1, 1]);
    assert!(tasks.iter().all(|task| Arc::strong_count(task) == 1), "nobody is kept");
}

#[test]
fn the_last_task_is_the_one_that_is_woken_and_the_list_stays_short() {
    let (mut waits, mut wakeups) = (Waits::default(), Wakeups::default());
    waits.open(id(1));
    let tasks: Vec<Arc<Count>> = (0..100).map(|_| Arc::default()).collect();
    for task in &tasks {
        let waker = Waker::from(task.clone());
        assert!(waits.register_task(id(1), Readiness::READABLE, &waker, Seat::Shared, &mut wakeups));
        assert!(waits.register_task(id(1), Readiness::READABLE, &waker, Seat::Shared, &mut wakeups));
    }
    let held = tasks.iter().filter(|task| Arc::strong_count(task) > 1).count();
    assert_eq!(held, 100, "tasks are let go with the lock released");
    wake(std::mem::take(&mut wakeups));
    assert_eq!(tasks.iter().filter(|task| Arc::strong_count(task) > 1).count(), 1);
    waits.collect_socket(id(1), &mut wakeups);
    wake(wakeups);
    let woken: Vec<_> = tasks.iter().map(|task| task.woken.load(Ordering::SeqCst)).collect();
    assert_eq!((woken[99], woken[..99].iter().sum::<usize>()), (1, 0));
}
