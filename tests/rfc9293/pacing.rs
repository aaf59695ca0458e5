//! When segments leave: pacing, and ACKs that are not held back.

use crate::support::*;
use tunstack::stack::Congestion;
use tunstack::time::Instant;

/// A connection with a round trip of 20 ms, measured.
fn measured(change: impl FnOnce(&mut tunstack::stack::TcpOptions)) -> Tester {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460).ws(7).wnd(65_535));
    t.advance(ms(20));
    t.expect(synack());
    t.send(ack().wnd(60_000));
    t.accept();
    t.set(change);
    t.write(&pattern(0..14_600));
    t.advance(ms(20));
    t.drain();
    let end = t.stack_end();
    t.send(ack().ack(end).wnd(60_000));
    t
}

/// When each segment of what is written now leaves.
fn departures(t: &mut Tester, bytes: usize) -> Vec<(Instant, usize)> {
    t.write(&pattern(0..bytes));
    t.advance(ms(19));
    t.drain().iter().map(|p| (p.at, p.text.len())).collect()
}

/// Where a round trip takes long, a window is spread over it instead of leaving at once.
#[test]
fn a_window_is_spread_over_the_round_trip() {
    let mut t = measured(|_| {});
    let sent = departures(&mut t, 20_000);
    let at_once = sent.iter().filter(|(at, _)| *at == sent[0].0).count();
    assert!(sent.len() >= 8, "{} segments", sent.len());
    assert!(at_once <= 5, "{at_once} of {} segments at once", sent.len());
    assert!(t.info().pacing_rate.is_some());
}

/// Where it takes microseconds, nothing waits.
#[test]
fn short_paths_are_not_paced() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).ws(7).wnd(65_535));
    t.send(ack().wnd(60_000));
    t.write(&pattern(0..100_000));
    assert_eq!(t.drain().len(), 10);
    t.advance(core::time::Duration::from_micros(50));
    let end = t.stack_end();
    t.send(ack().ack(end).wnd(60_000));
    assert!(t.drain().len() >= 11);
    assert_eq!(t.info().pacing_rate, None);
}

/// SO_MAX_PACING_RATE: not more than so many bytes a second, whatever the window allows.
#[test]
fn the_users_limit() {
    for choice in [Congestion::Cubic, Congestion::Bbr] {
        let mut t = measured(|o| {
            o.max_pacing_rate = Some(100_000);
            o.congestion = choice;
        });
        let start = t.now();
        t.write(&pattern(0..100_000));
        let (mut bytes, mut window) = (0, 0);
        while t.now().since(start) < secs(1) {
            t.advance(ms(10));
            let sent = t.drain();
            window = sent.iter().map(|p| p.text.len()).sum();
            bytes += window;
            let end = t.stack_end();
            t.send(ack().ack(end).wnd(60_000));
        }
        assert!((60_000..=110_000).contains(&bytes), "{choice}: {bytes} bytes in a second");
        assert!(window <= 10 * 1460);
    }
}

/// A peer that begins to send is acknowledged at once, so that its slow start gets going; our answer ends that.
#[test]
fn quick_acks_at_the_start() {
    let mut t = Tester::with(|c| c.tcp.quick_acks = 16);
    t.establish();
    for i in 0..16 {
        t.send(data(&[b'x'; 100]));
        t.expect(ack().ack(1 + 100 * (i + 1)));
    }
    t.send(data(&[b'x'; 100]));
    t.expect_nothing();
    let mut t = Tester::with(|c| c.tcp.quick_acks = 16);
    t.establish();
    t.send(data(b"question"));
    t.expect(ack());
    t.write(b"answer");
    t.drain();
    t.send(data(b"question").ack(7));
    t.expect_nothing();
}

/// TCP_QUICKACK.
#[test]
fn quick_acks_for_who_wants_them() {
    let mut t = Tester::new();
    t.establish();
    t.set(|o| o.quick_ack = true);
    for i in 0..40 {
        t.send(data(b"x"));
        t.expect(ack().ack(2 + i));
    }
    t.write(b"y");
    t.drain();
    t.send(data(b"x").ack(2));
    t.expect(ack());
    t.set(|o| o.quick_ack = false);
    t.send(data(b"x"));
    t.expect_nothing();
}

/// How the time was spent: the peer's window alone holds output back, then the application.
#[test]
fn what_the_time_was_spent_on() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).wnd(5840));
    t.write(&pattern(0..20_000));
    assert_eq!(t.drain().len(), 4);
    t.advance(ms(100));
    t.send(ack().ack(5841).wnd(65_535));
    t.drain();
    t.advance(ms(30));
    t.send(ack().ack(20_001).wnd(65_535));
    t.serve();
    let info = t.info();
    assert_eq!((info.time_spent.peer_window, info.time_spent.busy), (ms(100), ms(130)));
}
