//! Tables, queues and counters that strangers fill: each has a bound, and none leaks.

use crate::support::*;
use std::net::{Ipv4Addr, SocketAddrV4};
use tunstack::error::Error;
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

/// How much of an attack is run: a thousandth in CI, all of it with `TUNSTACK_ATTACK=full`.
fn scale(full: usize, short: usize) -> usize {
    if std::env::var("TUNSTACK_ATTACK").is_ok_and(|v| v == "full") { full } else { short }
}

/// attack-9: a flood of SYNs of which each thousandth is followed by an honest connect: all of those succeed at once, the
/// queue stays bounded and no memory is used.
#[test]
fn a_flood_of_syns_between_honest_connects() {
    let mut t = Tester::new().without_timer_check();
    t.listen_with(80, 16, |_| {});
    let now = t.now();
    let flood = scale(1_000_000, 50_000);
    let mut frame = t.packet(&syn().mss(1460).ws(7).sack_ok().ts(1, 0));
    for i in 0..flood as u32 {
        frame[12..16].copy_from_slice(&(0x0a00_0000 + i * 7).to_be_bytes());
        frame[20..22].copy_from_slice(&((i % 60_000 + 1024) as u16).to_be_bytes());
        crate::bytes::fix(&mut frame);
        t.stack.on_frame(now, tunstack::wire::RxFrame::plain(tunstack::buf::Slice::copy_of(&frame)));
        while t.stack.poll_transmit(now).is_some() {}
        if i % 1000 == 999 {
            t.new_flow(10_000 + (i / 1000) as u16, 80);
            t.establish_with(syn().mss(1460).ws(7).sack_ok().ts(1, 0));
            t.send(data(b"honest"));
            t.expect_read(b"honest");
        }
    }
    let half_open = t.stack.tcp_snapshot().iter().filter(|i| i.state == State::SynReceived).count();
    assert_eq!(half_open, t.stack.config().max_syn_queue);
    assert!(t.stack.stats().tcp.cookies_sent > flood as u64 * 9 / 10);
    assert_eq!(t.stack.memory(), 0);
    t.advance(secs(200));
    let left = t.stack.tcp_snapshot().iter().filter(|i| i.state == State::SynReceived).count();
    assert_eq!(left, 0, "half-open connections end by themselves");
}

/// attack-11: nobody accepts: as many wait as the backlog says, the rest try again, and when accepting resumes all are
/// served.
#[test]
fn accept_is_never_called_and_then_is() {
    const CLIENTS: usize = 300;
    let mut p = Pair::new();
    let options = p.stacks[0].default_tcp_options();
    let listener = p.stacks[1].tcp_listen((PEER, 80).into(), 16, options.clone()).unwrap();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(p.stacks[0].tcp_connect(p.now, None, (PEER, 80).into(), options.clone()).unwrap());
        p.advance(ms(10));
    }
    p.advance(secs(10));
    let held = p.stacks[1].tcp_snapshot();
    let waiting = held.iter().filter(|i| i.state == State::Established).count();
    assert_eq!(waiting, 16, "as many as the backlog says");
    let mut served = 0;
    for _ in 0..20_000 {
        let now = p.now;
        while let Ok((id, _)) = p.stacks[1].tcp_accept(now, listener) {
            assert_eq!(p.stacks[1].tcp_send(now, id, b"hello"), Ok(5));
            p.stacks[1].tcp_close(now, id).unwrap();
            served += 1;
        }
        p.advance(ms(10));
    }
    let mut greeted = 0;
    for id in clients {
        let mut buf = [0; 5];
        greeted += usize::from(p.stacks[0].tcp_recv(p.now, id, &mut buf) == Ok(5));
        p.stacks[0].tcp_close(p.now, id).unwrap();
    }
    assert!(served >= CLIENTS, "{served} served");
    assert_eq!(greeted, CLIENTS, "every client was greeted");
    p.advance(secs(100));
    assert_eq!([p.stacks[0].tcp_snapshot().len(), p.stacks[1].tcp_snapshot().len()], [0, 1]);
}

/// attack-12: very many short connections that we close first: each opens and closes in peace, whatever waits.
#[test]
fn very_many_short_connections() {
    let mut p = Pair::with(|c| c.max_time_wait = 5000);
    let options = p.stacks[0].default_tcp_options();
    let listener = p.stacks[1].tcp_listen((PEER, 80).into(), 16, options.clone()).unwrap();
    for i in 0..scale(200_000, 20_000) {
        let id = p.stacks[0].tcp_connect(p.now, None, (PEER, 80).into(), options.clone()).unwrap();
        p.exchange();
        let (server, _) = p.stacks[1].tcp_accept(p.now, listener).unwrap();
        p.stacks[0].tcp_close(p.now, id).unwrap();
        p.exchange();
        assert_eq!(p.stacks[1].tcp_recv(p.now, server, &mut [0]), Ok(0), "connection {i}");
        p.stacks[1].tcp_close(p.now, server).unwrap();
        p.exchange();
        p.now += core::time::Duration::from_micros(100);
    }
    let waiting = p.stacks[0].tcp_snapshot().len();
    assert!(waiting <= 5000, "{waiting} records");
    assert_eq!(p.stacks[1].tcp_snapshot().len(), 1);
    p.advance(secs(61));
    assert_eq!(p.stacks[0].tcp_snapshot().len(), 0);
}

/// attack-16: peers that shut their window on full buffers hold no more memory than the budget, an honest connection goes
/// on, and once their sockets are closed they are gone after a bounded time.
#[test]
fn windows_shut_for_ever() {
    let mut t = Tester::with(|c| c.memory = 2 << 20).without_timer_check();
    t.listen_with(80, 16, |_| {});
    let mut held = Vec::new();
    for i in 0..200 {
        t.new_flow(10_000 + i, 80);
        held.push(t.establish_with(syn().mss(1460).wnd(0)));
        let _ = t.try_write(&pattern(0..200_000));
        assert!(t.stack.memory() <= 4 << 20, "{} bytes", t.stack.memory());
    }
    t.new_flow(9000, 80);
    t.establish();
    for i in 0..100 {
        t.write(&pattern(i * 1000..(i + 1) * 1000));
        t.send(full(500).seq(1 + 500 * i as i64).ack(1 + 1000 * (i as i64 + 1)));
        t.expect_read(&pattern(500 * i..500 * (i + 1)));
        t.advance(ms(10));
        t.drain();
    }
    t.close();
    t.drain();
    t.send(fin().seq(50_001).ack(100_002));
    for id in held {
        t.use_conn(id);
        t.close();
    }
    t.advance(secs(3600));
    assert_eq!(t.stack.tcp_snapshot().len(), 1, "only the listener is left");
    assert_eq!(t.stack.memory(), 0);
}

/// P12: more connections than there are shares, whose applications read nothing and write all they can, and whose peers
/// fill every window and open none: memory passes its budget by the stated reserve at most, whoever still reads goes on
/// receiving, and when they are gone all is as before.
#[test]
fn memory_is_bounded_whatever_comes() {
    const BUDGET: usize = 4 << 20;
    const RESERVE: usize = 32 << 20;
    let mut t = Tester::with(|c| {
        c.memory = BUDGET;
        c.mtu = 65_535;
    })
    .without_timer_check();
    t.listen_with(80, 16, |_| {});
    let reader = t.new_flow(9000, 80);
    let reading = t.establish_with(syn().mss(1460).ws(7));
    let mut held = Vec::new();
    let mut most = 0;
    for i in 0..10_000u16 {
        if i == 5000 {
            // Nobody may send any more.
            t.switch(reader);
            t.use_conn(reading);
            assert_eq!(t.try_write(b"hello"), Err(Error::WouldBlock));
            t.send(full(1000));
            assert_eq!(t.read_all(), pattern(0..1000), "half of the reserve is not for sending");
        }
        let flow = t.new_flow(10_000 + i, 80);
        // Where memory is short a SYN is answered with a cookie.
        held.push((flow, t.establish_with(syn().mss(65_000).ws(7).ts(1, 0).wnd(0))));
        if i < 5000 {
            let _ = t.try_write(&pattern(0..6000));
        } else {
            t.send(full(60_000));
        }
        t.drain();
        most = most.max(t.stack.memory());
    }
    assert!(most >= BUDGET + RESERVE, "the test uses up what there is: {most}");
    assert!(most <= BUDGET + RESERVE + 70_000, "{most} bytes");
    for (flow, id) in held {
        t.switch(flow);
        t.use_conn(id);
        t.abort();
        t.drain();
    }
    assert_eq!(t.stack.memory(), 0);
    t.switch(reader);
    t.use_conn(reading);
    t.send(full(60_000));
    t.write(&pattern(0..100_000));
    assert_eq!(t.read_all(), pattern(1000..61_000));
}
