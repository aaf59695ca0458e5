//! Attacks on the stack as a whole: floods, exhaustion of tables and memory.

use crate::support::*;
use std::net::{Ipv4Addr, SocketAddrV4};
use tunstack::error::Error;
use tunstack::rng::Rng;
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;

/// A SYN from a stranger; what comes back is not looked at.
fn stranger(i: u32) -> Seg {
    let host = Ipv4Addr::new(198, 51, 100 + (i >> 16) as u8, 1 + (i % 250) as u8);
    syn().mss(1460).seq(i64::from(i)).src(SocketAddrV4::new(host, 1024 + (i / 250 % 60_000) as u16))
}

fn forget(t: &mut Tester) {
    while t.stray().is_some() {}
}

/// attack-9: a SYN flood: the queue is bounded, cookies answer for the rest, and honest clients get through.
#[test]
fn syn_flood() {
    let mut t = Tester::with(|c| c.max_syn_queue = 64).without_timer_check();
    t.listen_with(80, 128, |_| {});
    let mut served = 0;
    for i in 0..20_000 {
        t.send(stranger(i));
        forget(&mut t);
        if i % 500 == 499 {
            t.new_flow(10_000 + (i / 500) as u16, 80);
            t.establish();
            t.send(data(b"honest"));
            t.expect_read(b"honest");
            served += 1;
        }
    }
    assert_eq!(served, 40);
    let half_open = t.stack.tcp_snapshot().iter().filter(|i| i.state == State::SynReceived).count();
    assert!(half_open <= 64, "{half_open} half-open");
    let stats = &t.stack.stats().tcp;
    assert!(stats.cookies_sent >= 19_000, "{} cookies", stats.cookies_sent);
    assert!(stats.cookies_accepted >= 39);
    assert!(t.stack.memory() < 4 << 20);
}

/// A stack whose SYN queue is full, so that the next SYN gets a cookie.
fn with_full_queue() -> Tester {
    let mut t = Tester::with(|c| c.max_syn_queue = 4).without_timer_check();
    t.listen(80);
    for i in 0..8 {
        t.send(stranger(i));
    }
    forget(&mut t);
    t
}

/// attack-9: a connection from a cookie has what was negotiated: MSS, and scale and SACK by way of the time stamp.
#[test]
fn cookies_keep_the_options() {
    let mut t = with_full_queue();
    let before = t.stack.stats().tcp.cookies_sent;
    t.establish_with(syn().mss(1460).ws(5).sack_ok().ts(77, 0));
    assert_eq!(t.stack.stats().tcp.cookies_sent, before + 1);
    let info = t.info();
    assert_eq!((info.window_scale.map(|(snd, _)| snd), info.sack, info.timestamps), (Some(5), true, true));
    t.write(&pattern(0..5000));
    let largest = t.drain().iter().map(|p| p.text.len()).max().expect("data");
    assert!((1400 - 12..=1448).contains(&largest), "the MSS is remembered, or a little less: {largest}");
    // Without time stamps there is room for the MSS alone.
    let mut t = with_full_queue();
    t.establish_with(syn().mss(1460).ws(5).sack_ok());
    assert_eq!((t.info().window_scale, t.info().timestamps), (None, false));
}

/// attack-9: the first segment after a cookie is late. The others of its flight are no cookies, but they must not have the
/// peer reset.
#[test]
fn a_late_cookie_is_still_good() {
    let mut t = with_full_queue();
    t.send(syn().mss(1460));
    t.expect(synack().ack(1));
    t.send(data(b"second").seq(6).ack(1));
    t.expect_nothing();
    t.send(data(b"first").seq(1).ack(1));
    t.expect_within(secs(1), ack().ack(6));
    t.send(data(b"second").seq(6).ack(1));
    t.expect_within(secs(1), ack().ack(12));
    assert_eq!(t.stack.stats().tcp.cookies_accepted, 1);
}

/// attack-9: a forged or an old cookie opens nothing.
#[test]
fn cookies_cannot_be_forged() {
    let mut rng = Rng::new(Rng::seed_from(5));
    let mut t = with_full_queue();
    for i in 0..20_000 {
        t.new_flow(20_000 + (i % 1000) as u16, 80);
        t.send(ack().seq(1).abs_ack(rng.u32()));
        t.drain();
        forget(&mut t);
    }
    assert_eq!(t.try_accept(), Err(Error::WouldBlock));
    assert_eq!(t.stack.stats().tcp.cookies_accepted, 0);

    let mut t = with_full_queue();
    t.send(syn().mss(1460));
    t.expect(synack());
    t.advance(secs(300));
    t.drain();
    forget(&mut t);
    t.send(ack().seq(1).ack(1));
    t.expect(rst().seq(1));
    assert_eq!(t.try_accept(), Err(Error::WouldBlock));
}

/// attack-10: the table of connections is bounded, and there is room again when one ends.
#[test]
fn connection_table_is_bounded() {
    let mut t = Tester::with(|c| c.max_connections = 50).without_timer_check();
    t.listen_with(80, 1000, |_| {});
    let flows: Vec<usize> = (0..100).map(|i| t.new_flow(3000 + i, 80)).collect();
    let mut open = Vec::new();
    for flow in flows {
        t.switch(flow);
        t.send(syn().mss(1460));
        if t.drain().iter().any(|p| p.has(SYN)) {
            t.send(ack());
            if t.try_accept().is_ok() {
                open.push((flow, t.conn()));
            }
        }
    }
    assert!((40..=50).contains(&open.len()), "{} connections", open.len());
    let connections = t.stack.tcp_snapshot().iter().filter(|i| i.state != State::Listen).count();
    assert!(connections <= 50);
    let now = t.now();
    let connect = t.stack.tcp_connect(now, None, (PEER, 80).into(), t.stack.default_tcp_options());
    if connections == 50 {
        assert_eq!(connect.err(), Some(Error::NoBufferSpace));
    }
    let (flow, id) = open[0];
    t.switch(flow);
    t.use_conn(id);
    t.abort();
    t.drain();
    t.new_flow(5000, 80);
    t.establish();
}

/// attack-12: TIME-WAIT records are bounded; new connections are served whatever their number.
#[test]
fn time_wait_is_bounded() {
    let mut t = Tester::with(|c| c.max_time_wait = 20).without_timer_check();
    t.listen_with(80, 16, |_| {});
    for i in 0..200 {
        t.new_flow(3000 + i, 80);
        t.establish();
        t.close();
        t.expect(fin());
        t.send(fin().ack(2));
        t.expect(ack());
    }
    let waiting = t.stack.tcp_snapshot().iter().filter(|i| i.state == State::TimeWait).count();
    assert!((1..=20).contains(&waiting), "{waiting} records");
    t.advance(secs(61));
    assert_eq!(t.stack.tcp_snapshot().len(), 1, "only the listener is left");
}

/// attack-14: orphans are bounded in number.
#[test]
fn orphans_are_bounded() {
    let mut t = Tester::with(|c| c.max_orphans = 10).without_timer_check();
    t.listen_with(80, 16, |_| {});
    for i in 0..100 {
        t.new_flow(3000 + i, 80);
        t.establish();
        t.close();
        t.drain();
    }
    let orphans = t.stack.tcp_snapshot().iter().filter(|i| i.orphan && i.state != State::TimeWait).count();
    assert!(orphans <= 10, "{orphans} orphans");
}

/// attack-25 attack-26: one-byte segments out of order: ranges and memory are bounded, and the stream is whole in the end.
#[test]
fn out_of_order_bytes() {
    let mut rng = Rng::new(Rng::seed_from(6));
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 60_000).without_timer_check();
    t.establish_with(syn().mss(1460).sack_ok());
    for _ in 0..20_000 {
        let at = rng.between(1, 50_000) as i64;
        t.send(full(1).seq(1 + at));
        t.drain();
        assert!(t.stack.memory() <= 2 * 60_000, "{} bytes held", t.stack.memory());
    }
    assert!(t.dropped(DropReason::TcpReassemblyFull) > 0, "the bound was reached");
    let mut at = 0;
    while at < 50_000 {
        let n = 1000.min(50_000 - at);
        t.send(full(n).seq(1 + at as i64));
        at += n;
    }
    t.drain();
    let got = t.read_all();
    assert_eq!(got.len(), 50_000);
    assert_eq!(got, pattern(0..50_000));
}

/// attack-26: the whole stack's memory is bounded, however many connections hold however much; and when the applications
/// read, all goes on and nothing is missing.
#[test]
fn memory_is_bounded() {
    let limit = 1 << 20;
    let mut t = Tester::with(|c| c.memory = limit).without_timer_check();
    t.listen_with(80, 100, |_| {});
    let mut connections = Vec::new();
    for i in 0..40 {
        let flow = t.new_flow(3000 + i, 80);
        connections.push((flow, t.establish()));
        for k in 0..60 {
            t.send(full(1000).seq(1 + 1000 * k));
            t.drain();
            // Each connection may always hold one segment, so that none starves.
            assert!(t.stack.memory() <= limit + 40 * 2048, "{} bytes", t.stack.memory());
        }
    }
    assert!(t.dropped(DropReason::TcpReassemblyFull) > 0 && t.stack.memory() > limit / 2, "the test fills it");
    for (flow, id) in connections {
        t.switch(flow);
        t.use_conn(id);
        let mut got = t.read_all();
        for k in 0..60 {
            t.send(full(1000).seq(1 + 1000 * k));
            got.extend(t.read_all());
        }
        assert_eq!(got, pattern(0..60_000));
        t.drain();
    }
}

/// attack-53: resets for unknown connections are limited in rate.
#[test]
fn resets_are_limited() {
    let mut t = Tester::with(|c| c.resets_per_second = 100).without_timer_check();
    let mut sent = 0;
    for i in 0..10_000 {
        t.send(stranger(i).dst(LOCAL));
        if i % 10 == 9 {
            t.advance(ms(1));
        }
        while t.stray().is_some() {
            sent += 1;
        }
    }
    // Over IPv6 all the strangers are of one network, which has a sixteenth of the rate.
    let expected = if over_ipv6() { 5..=25 } else { 100..=210 };
    assert!(expected.contains(&sent), "{sent} resets in 1 s");
    assert_eq!(t.dropped(DropReason::TcpNoSocket), 10_000);
}

/// Replies that nobody pulls do not pile up.
#[test]
fn replies_are_bounded() {
    let mut t = Tester::with(|c| c.max_replies = 100).without_timer_check();
    t.send_batch((0..1000).map(stranger));
    let mut sent = 0;
    while t.stray().is_some() {
        sent += 1;
    }
    assert!(sent <= 100, "{sent} replies");
}

/// attack-42: every prefix of a good packet, and every length field off by one, is dropped without an answer.
#[test]
fn truncated_and_lying_packets() {
    let mut t = Tester::new();
    t.establish();
    let good = t.packet(&data(b"some payload").seq(1).ack(1));
    for n in 0..good.len() {
        t.send_raw(&good[..n]);
        t.expect_nothing();
    }
    // The lengths of IP's header, of the packet, of TCP's header; IPv6's header has but one.
    let lies = if headers() == 40 { &[0, 2, 3, 32][..] } else { &[4, 5, 52] };
    for &at in lies {
        for value in [0, 1, good[at].wrapping_sub(1), good[at].wrapping_add(1), 255] {
            let mut bad = good.clone();
            if value == good[at] {
                continue;
            }
            bad[at] = value;
            t.send_raw(&bad);
            while t.other().is_some() {}
            t.expect_nothing();
        }
    }
    t.expect_read(b"");
    t.send_raw(&good);
    t.expect_read(b"some payload");
}
