//! The memory budget is used up: nothing stalls for good, and all goes on when there is memory again.

use crate::support::*;
use tunstack::error::Error;
use tunstack::stack::{Config, Readiness, SocketId};

/// A stack of 64 KiB, one connection that has something queued, and one that holds more than all memory.
fn under_pressure() -> (Tester, usize, tunstack::stack::TcpId, usize, tunstack::stack::TcpId) {
    let mut t = Tester::with(|c: &mut Config| c.memory = 64 * 1024).without_timer_check();
    t.listen(80);
    let honest = t.new_flow(3000, 80);
    let a = t.establish();
    let hog = t.new_flow(3001, 80);
    let b = t.establish();
    t.switch(honest);
    t.use_conn(a);
    t.write(&pattern(0..10_000));
    t.switch(hog);
    t.use_conn(b);
    t.write(&pattern(0..60_000));
    (t, honest, a, hog, b)
}

/// A writer that was told to wait because memory was short is told when it is ample again.
#[test]
fn a_writer_is_woken_when_memory_is_ample_again() {
    let (mut t, honest, a, hog, b) = under_pressure();
    t.switch(honest);
    t.use_conn(a);
    assert_eq!(t.try_write(b"more"), Err(Error::WouldBlock), "memory is short");
    while t.stack.poll_ready().is_some() {}
    t.switch(hog);
    t.use_conn(b);
    t.abort();
    let mut ready = core::iter::from_fn(|| t.stack.poll_ready());
    assert!(ready.any(|id| id == SocketId::Tcp(a)), "the writer is woken");
    t.use_conn(a);
    assert_eq!(t.try_write(b"more"), Ok(4));
}

/// Room came, and before the application was told of it memory was short: it is told when there is room again.
#[test]
fn a_writer_whose_news_was_overtaken_by_pressure_is_not_forgotten() {
    let mut t = Tester::with(|c: &mut Config| c.memory = 256 * 1024).without_timer_check();
    t.listen(80);
    let honest = t.new_flow(3000, 80);
    let a = t.establish();
    t.set(|o| o.send_buffer = Some(20_000));
    while t.try_write(&pattern(0..20_000)).is_ok() {}
    t.drain();
    let hog = t.new_flow(3001, 80);
    let b = t.establish();
    while t.stack.poll_ready().is_some() {}
    t.switch(honest);
    t.use_conn(a);
    t.send(ack().seq(1).ack(10_001));
    t.switch(hog);
    t.use_conn(b);
    t.write(&pattern(0..230_000));
    let mut told = core::iter::from_fn(|| t.stack.poll_ready());
    assert!(told.any(|id| id == SocketId::Tcp(a)), "something has changed");
    assert!(!t.stack.readiness(SocketId::Tcp(a)).contains(Readiness::WRITABLE), "but memory is short");
    while t.stack.poll_ready().is_some() {}
    t.abort();
    let mut told = core::iter::from_fn(|| t.stack.poll_ready());
    assert!(told.any(|id| id == SocketId::Tcp(a)), "the writer is woken");
    assert!(t.stack.readiness(SocketId::Tcp(a)).contains(Readiness::WRITABLE));
}

/// The budget is looked at when a connection vanishes, too.
#[test]
fn pressure_ends_with_the_connection_that_caused_it() {
    let (mut t, honest, a, _, _) = under_pressure();
    t.abort();
    t.switch(honest);
    t.use_conn(a);
    assert_eq!(t.try_write(&pattern(10_000..20_000)), Ok(10_000));
}

/// However long memory stays short, a connection whose application reads goes on receiving.
#[test]
fn a_reader_goes_on_under_permanent_pressure() {
    let (mut t, honest, a, _, _) = under_pressure();
    t.switch(honest);
    t.use_conn(a);
    t.drain();
    let mut at = 0usize;
    for _ in 0..200 {
        let n = 1000;
        t.send(full(n).seq(1 + at as i64).ack(1));
        let answered = t.drain();
        let got = t.read_all();
        assert_eq!(got, pattern(at..at + n), "at {at}, {answered:?}");
        at += n;
        t.advance(ms(50));
        t.drain();
    }
}

/// With all memory used up a peer whose text is not taken still hears that we live: its zero-window probes are answered.
#[test]
fn probes_are_answered_when_memory_is_used_up() {
    let (mut t, honest, a, hog, b) = under_pressure();
    t.switch(hog);
    t.use_conn(b);
    t.drain();
    for i in 0..8 {
        t.send(full(1000).seq(1 + 1000 * i).ack(1));
    }
    t.switch(honest);
    t.use_conn(a);
    t.drain();
    t.send(full(1000).seq(1).ack(1));
    t.advance(secs(1));
    t.drain();
    let before = t.stack.stats().dropped(tunstack::stats::DropReason::TcpReassemblyFull);
    t.send(full(1).seq(1001).ack(1));
    assert!(t.stack.stats().dropped(tunstack::stats::DropReason::TcpReassemblyFull) > before, "memory is used up");
    t.expect(ack().ack(1001));
}

/// However many were held back, they are let go on a bounded number at a time, and none is forgotten.
#[test]
fn a_thousand_writers_are_woken_in_portions() {
    let mut t = Tester::with(|c: &mut Config| c.memory = 16 << 20).without_timer_check();
    let hog = t.new_flow(3001, 80);
    t.listen_with(80, 16, |_| {});
    let b = t.establish_with(syn().mss(1460).wnd(0));
    t.set(|o| o.send_buffer = Some(15 << 20));
    t.write(&vec![0; 15 << 20]);
    let writers: Vec<_> = (0..1000)
        .map(|i| {
            t.new_flow(10_000 + i, 80);
            let id = t.establish_with(syn().mss(1460).ts(1, 0).wnd(0));
            while t.try_write(&[0; 4096]).is_ok() {}
            id
        })
        .collect();
    while t.stack.poll_ready().is_some() {}
    t.switch(hog);
    t.use_conn(b);
    t.abort();
    let mut woken = 0;
    for _ in 0..10 {
        let n = core::iter::from_fn(|| t.stack.poll_ready()).filter(|id| matches!(id, SocketId::Tcp(_))).count();
        woken += n;
        if woken == writers.len() {
            return;
        }
        assert!(n <= 600, "{n} at a time");
        assert!(t.stack.deadline().is_some_and(|at| at <= t.now()), "the rest is due at once");
        t.stack.on_deadline(t.now());
    }
    panic!("{woken} of 1000 were woken");
}
