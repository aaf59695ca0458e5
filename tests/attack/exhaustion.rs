//! Tables, queues and counters that strangers fill: each has a bound, and none leaks.

use crate::support::*;
use std::net::{Ipv4Addr, SocketAddrV4};
use tunstack::tcp::state::State;

/// attack-9: the SYN queue counts half-open connections only: those that were established have left it.
#[test]
fn established_connections_leave_the_syn_queue() {
    let mut t = Tester::with(|c| c.max_syn_queue = 4).without_timer_check();
    t.listen(80);
    for i in 0..20 {
        t.new_flow(3000 + i, 80);
        t.establish();
    }
    assert_eq!(t.stack.stats().tcp.cookies_sent, 0, "the queue was never full");
}

/// attack-12: connections in TIME-WAIT are no orphans, so that any number of them lets the next one close in peace.
#[test]
fn time_wait_does_not_count_as_orphaned() {
    let mut t = Tester::with(|c| c.max_orphans = 4).without_timer_check();
    t.listen(80);
    for i in 0..20 {
        t.new_flow(3000 + i, 80);
        t.establish();
        t.close();
        t.expect(fin());
        t.send(fin().ack(2));
        t.expect(ack());
        t.expect_state(State::TimeWait);
    }
}

/// attack-12: one TIME-WAIT that a peer keeps alive does not hold the memory of all that came after it.
#[test]
fn a_time_wait_that_never_ends_keeps_no_others() {
    let mut t = Tester::new().without_timer_check();
    t.listen(80);
    let end = |t: &mut Tester, port| {
        let flow = t.new_flow(port, 80);
        t.establish();
        t.close();
        t.expect(fin());
        t.send(fin().ack(2));
        t.drain();
        flow
    };
    let first = end(&mut t, 2999);
    for i in 0..50 {
        for k in 0..20 {
            end(&mut t, 3000 + i * 20 + k);
        }
        t.advance(secs(50));
        t.switch(first);
        t.send(fin().seq(1).ack(2));
        t.expect(ack().ack(2));
    }
    let waiting = t.stack.tcp_snapshot().iter().filter(|i| i.state == State::TimeWait).count();
    assert!(waiting <= 41, "{waiting} records");
    // What is remembered beside the records shows only in the debug output.
    let remembered = format!("{:?}", t.stack).matches("TcpId").count();
    assert!(remembered <= 4 * waiting + 100, "{remembered} handles are kept for {waiting} records");
}

/// While nothing can be sent, opening and resetting connections makes no queue grow.
#[test]
fn no_queue_grows_while_output_waits() {
    let mut t = Tester::with(|c| c.max_replies = 16).without_timer_check();
    t.listen(80);
    let stranger = |i: u32| SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 7), 1024 + (i % 5000) as u16);
    let now = t.now();
    for i in 0..5_000 {
        for s in [syn().mss(1460).abs_seq(i), rst().abs_seq(i + 1)] {
            let bytes = t.packet(&s.src(stranger(i)));
            let frame = tunstack::wire::RxFrame::plain(tunstack::buf::Slice::copy_of(&bytes));
            t.stack.on_frame(now, frame);
        }
    }
    assert_eq!(t.stack.tcp_snapshot().len(), 1, "only the listener is left");
    let debug = format!("{:?}", t.stack);
    assert!(debug.matches("0, ").count() < 4000, "queues that grew: {debug}");
}
