//! RFC 7323: window scaling, time stamps, PAWS.

use crate::support::*;
use core::time::Duration;
use std::collections::HashSet;
use tunstack::error::Error;
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;

/// A connection with time stamps; TS.Recent is the peer's clock now.
fn stamped() -> Tester {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).ts(1_000, 0));
    t
}

/// 7323-1 7323-6: scaling is in use if and only if both SYNs carry the option; the answer carries it if asked.
#[test]
fn scaling_needs_both_sides() {
    for (peer, ours) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut t = Tester::with(|c| c.tcp.window_scaling = ours);
        t.listen(80);
        t.send(if peer { syn().mss(1000).ws(3) } else { syn().mss(1000) });
        t.expect(if peer && ours { synack().has_ws() } else { synack().no_ws() });
        t.send(ack().wnd(1000));
        t.accept();
        let want = if peer && ours { 8000 } else { 1000 };
        assert_eq!(t.info().snd_wnd, want, "peer {peer}, ours {ours}");
        assert_eq!(t.info().window_scale.is_some(), peer && ours);
        // And from the active side.
        t.connect();
        t.expect(if ours { syn().has_ws() } else { syn().no_ws() });
        t.send(if peer { synack().mss(1000).ws(3) } else { synack().mss(1000) });
        t.expect(ack());
        t.send(ack().wnd(1000));
        assert_eq!(t.info().snd_wnd, want, "active: peer {peer}, ours {ours}");
    }
}

/// 7323-3 7323-5: our window in SYN segments is not scaled, afterwards it is.
#[test]
fn our_window_is_scaled_after_the_syn() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 1 << 20);
    t.listen(80);
    t.send(syn().mss(1460).ws(0));
    let first = t.expect(synack().has_ws());
    let shift = first.ws.expect("window scale");
    assert!(first.wnd > 16_000);
    t.send(ack());
    t.accept();
    t.send(full(1460));
    t.send(full(1460));
    let next = t.expect(ack().ack(2921));
    let offered = u32::from(next.wnd) << shift;
    assert!((65_536..=1 << 20).contains(&offered), "{offered} bytes offered");
    assert!(t.info().rcv_wnd.abs_diff(offered) < 1 << shift);
}

/// 7323-4: a shift beyond 14 is used as 14.
#[test]
fn shifts_are_clamped() {
    for shift in [15, 31, 32, 200, 255] {
        let mut t = Tester::new();
        t.establish_with(syn().mss(1460).ws(shift));
        t.send(ack().wnd(3));
        assert_eq!(t.info().snd_wnd, 3 << 14, "shift {shift}");
    }
}

/// 7323-5: a peer's scaled window is respected in every direction and to the byte.
#[test]
fn the_peers_window_is_scaled() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).ws(4));
    t.send(ack().wnd(500)); // 8,000 bytes
    t.write(&pattern(0..20_000));
    let sent: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert!(sent <= 8000 && sent > 8000 - 1460, "{sent}");
}

/// 7323-9: once negotiated, every segment but RST carries time stamps.
#[test]
fn every_segment_is_stamped() {
    let mut t = stamped();
    t.send(full(1460));
    t.send(full(1460));
    t.write(&pattern(0..5000));
    t.advance(secs(5));
    t.send(syn().seq(7)); // challenge ACK
    t.send(data(b"gap").seq(9000));
    t.shutdown_write();
    t.send(ack());
    t.advance(secs(5));
    let sent = t.drain();
    assert!(sent.len() > 8);
    for p in sent {
        assert!(p.ts.is_some(), "{p}");
    }
}

/// 7323-10: so does a RST of a stamped connection.
#[test]
fn resets_are_stamped() {
    let mut t = stamped();
    t.abort();
    t.expect(reset().has_ts());
}

/// 7323-11: a segment without time stamps is dropped, and the connection goes on. RST is no such segment.
#[test]
fn missing_timestamps() {
    let mut t = stamped();
    t.send(data(b"no stamp").seq(1).no_ts());
    t.advance(ms(100));
    t.drain();
    t.expect_read(b"");
    assert_eq!(t.dropped(DropReason::TcpNoTimestamp), 1);
    t.send(data(b"stamped!").seq(1));
    t.expect_read(b"stamped!");
    t.send(rst().seq(9).no_ts());
    t.expect_state(State::Closed);
}

/// 7323-12: without negotiation the option means nothing.
#[test]
fn timestamps_without_negotiation() {
    for config in [true, false] {
        let mut t = Tester::with(|c| c.tcp.timestamps = config);
        t.listen(80);
        t.send(if config { syn().mss(1460) } else { syn().mss(1460).ts(9, 0) });
        t.expect(synack().no_ts());
        t.send(ack().no_ts());
        t.accept();
        t.send(data(b"new").ts(1_000_000, 77));
        t.send(data(b"old").ts(5, 77));
        t.expect_read(b"newold");
        t.drain();
        t.write(b"out");
        t.expect(data(b"out").no_ts());
    }
}

/// 7323-13: TSecr of a segment without ACK is no measurement.
#[test]
fn tsecr_without_ack() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    t.advance(ms(10));
    let own = t.last_tsval();
    t.send(syn().mss(1460).ts(50, own.wrapping_sub(5000))); // simultaneous open
    t.expect(synack());
    assert_eq!(t.info().srtt, None);
}

/// 7323-14 7323-21: our clock ticks with time, once a millisecond.
#[test]
fn timestamp_clock() {
    let mut t = stamped();
    t.set(|o| o.nodelay = true);
    t.write(b"0");
    let start = t.next().expect("data");
    let first = start.ts.expect("a stamp").0;
    for passed in [ms(1), ms(10), secs(1), secs(100), hours(10)] {
        t.send(ack());
        t.advance(passed);
        t.write(b"x");
        let p = t.next().expect("data");
        let ticks = p.ts.expect("a stamp").0.wrapping_sub(first);
        let real = p.at.since(start.at).as_millis() as u32;
        assert!(ticks.abs_diff(real) <= 1, "{ticks} ticks in {real} ms");
    }
}

/// 7323-15: RTT is measured by TSecr, when SND.UNA advances and only then.
#[test]
fn measured_by_timestamps() {
    let mut t = stamped();
    let before = t.info().srtt;
    t.write(b"x");
    let p = t.expect(data(b"x"));
    let stamp = p.ts.expect("a stamp").0;
    t.advance(ms(30));
    let now = t.peer_tsval();
    t.send(data(b"y").ack(1).ts(now, stamp.wrapping_sub(9000))); // no advance
    assert_eq!(t.info().srtt, before);
    let now = t.peer_tsval();
    t.send(ack().ts(now, stamp));
    let srtt = t.info().srtt.expect("measured");
    assert!(srtt > Duration::ZERO && srtt <= ms(31), "SRTT {srtt:?}");
}

/// 7323-15: a TSecr that we never sent measures nothing absurd.
#[test]
fn absurd_tsecr() {
    for ecr in [0, 1, u32::MAX, 0x8000_0000] {
        let mut t = stamped();
        t.write(b"x");
        let p = t.expect(data(b"x"));
        let stamp = p.ts.expect("a stamp").0;
        t.advance(ms(30));
        let now = t.peer_tsval();
        t.send(ack().ts(now, stamp.wrapping_add(ecr | 1000)));
        let info = t.info();
        assert_eq!(info.in_flight, 0);
        assert!(info.rto <= secs(120) && info.srtt.is_none_or(|s| s <= secs(120)), "{:?} {:?}", info.srtt, info.rto);
    }
}

/// 7323-16: many samples in one round trip do not wash out the filter's memory.
#[test]
fn many_samples_in_a_round_trip() {
    let mut t = stamped();
    for _ in 0..20 {
        t.write(b"x");
        t.drain();
        t.advance(ms(100));
        t.send(ack());
    }
    let settled = t.info().srtt.expect("measured");
    // One window of ten segments takes 200 ms, each acknowledged by itself.
    t.write(&pattern(0..14_480));
    let sent = t.drain();
    assert_eq!(sent.len(), 10);
    t.advance(ms(200));
    for p in &sent {
        let (now, end) = (t.peer_tsval(), t.rel_seq(p) + p.text.len() as i64);
        t.send(ack().ack(end).ts(now, p.ts.expect("a stamp").0));
    }
    let moved = t.info().srtt.expect("measured").saturating_sub(settled);
    // A whole sample with the full weight of 1/8 moves it by 12.5 ms; ten of them by 74 ms.
    assert!(moved <= ms(30), "one round trip moved SRTT by {moved:?}");
}

/// 7323-17: a delayed ACK echoes the earliest segment that it covers.
#[test]
fn delayed_acks_echo_the_earliest() {
    let mut t = stamped();
    t.send(ack());
    t.advance(ms(100));
    t.drain();
    let now = t.peer_tsval();
    t.send_batch([data(b"a").ts(now + 1, 0), data(b"b").ts(now + 2, 0), data(b"c").ts(now + 3, 0)]);
    t.expect_within(ms(40), ack().ack(4).ecr(now + 1));
    t.send_batch([data(b"d").ts(now + 5, 0)]);
    t.expect_within(ms(40), ack().ack(5).ecr(now + 5));
}

/// 7323-17 7323-18: while there is a hole the last segment in order is echoed; what fills the hole is.
#[test]
fn holes_and_timestamps() {
    let mut t = stamped();
    let now = t.peer_tsval() + 10;
    t.send(data(b"a").seq(1).ts(now, 0));
    t.expect_within(ms(40), ack().ack(2).ecr(now));
    t.send(data(b"c").seq(3).ts(now + 2, 0));
    t.expect(ack().ack(2).ecr(now));
    t.send(data(b"b").seq(2).ts(now + 1, 0)); // a late segment with an older stamp fills it
    t.expect_within(ms(40), ack().ack(4).ecr(now + 1));
    t.send(data(b"e").seq(5).ts(now + 4, 0));
    t.expect(ack().ack(4).ecr(now + 1));
    t.send(data(b"d").seq(4).ts(now + 5, 0)); // a retransmission fills it
    t.expect_within(ms(40), ack().ack(6).ecr(now + 5));
    t.expect_read(b"abcde");
}

/// 7323-19 7323-27: an old time stamp does not save from a RST, nor from its checks.
#[test]
fn resets_are_not_subject_to_paws() {
    let mut t = stamped();
    t.send(rst().seq(2).ts(1, 0));
    t.expect(ack().ack(1)); // RFC 5961
    t.send(rst().seq(1).ts(1, 0));
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::ConnectionReset));
}

/// 7323-20: an old time stamp: dropped, with an ACK.
#[test]
fn paws() {
    let mut t = stamped();
    t.advance(secs(1));
    let now = t.peer_tsval();
    t.send(data(b"fresh").seq(1).ts(now, 0));
    t.expect_within(ms(40), ack().ack(6));
    t.advance(secs(1));
    for old in [now - 1, now - 100_000, now.wrapping_sub(1 << 31) + 1] {
        t.advance(secs(1));
        t.send(data(b"stale").seq(6).ts(old, 0));
        t.expect(ack().ack(6));
    }
    assert_eq!(t.dropped(DropReason::TcpPaws), 3);
    t.expect_read(b"fresh");
    t.send(data(b"same stamp").seq(6).ts(now, 0));
    t.expect_read(b"same stamp");
}

/// 7323-20: an old duplicate from the last turn of the sequence space, in the window again, is told by its stamp.
#[test]
fn paws_after_a_wrap() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 8 << 20).without_timer_check();
    t.establish_with(syn().mss(1460).ws(7).ts(1_000, 0));
    let old_seq = t.peer_nxt();
    let old_stamp = t.peer_tsval();
    t.advance(secs(10));
    // A whole turn is too much for a test; the peer starts at the same numbers with a newer clock instead.
    t.send(data(b"new").seq(old_seq));
    t.drain();
    t.send(data(b"old turn").seq(old_seq + 3).ts(old_stamp, 0));
    t.expect_read(b"new");
    assert_eq!(t.dropped(DropReason::TcpPaws), 1);
}

/// 7323-22: after 24 days without a segment TS.Recent counts no more.
#[test]
fn old_ts_recent_expires() {
    let mut t = stamped();
    let recent = t.peer_tsval();
    t.advance(hours(24 * 25));
    t.send(data(b"after a long sleep").seq(1).ts(recent.wrapping_sub(1000), 0));
    t.expect_read(b"after a long sleep");
}

/// 7323-23 attack-45: each connection has its own random offset: the stamps tell nothing of the uptime.
#[test]
fn random_offsets() {
    let mut t = Tester::new().without_timer_check();
    let mut stamps = Vec::new();
    for _ in 0..200 {
        t.connect();
        stamps.push(t.expect(syn().has_ts()).ts.expect("a stamp").0);
        t.abort();
    }
    let high: HashSet<u32> = stamps.iter().map(|s| s >> 24).collect();
    assert!(high.len() > 100, "{} different top bytes of 256", high.len());
    let rising = stamps.windows(2).filter(|w| w[0] < w[1]).count();
    assert!((60..140).contains(&rising), "{rising} of 199 rise");
}

/// attack-45: a stamp from the far future in a segment that is not acceptable poisons nothing.
#[test]
fn paws_cannot_be_poisoned() {
    let mut t = stamped();
    let future = t.peer_tsval() + 1_000_000_000;
    let window = i64::from(t.info().rcv_wnd);
    t.send(data(b"x").seq(1 + window + 10).ts(future, 0)); // outside the window
    t.send(data(b"x").seq(-5000).ts(future, 0)); // old
    t.advance(secs(1));
    t.send(data(b"x").seq(1).ack(1_000_000).ts(future, 0)); // a wrong ACK
    t.send(data(b"x").seq(100).ts(future, 0)); // beyond a hole
    t.advance(secs(1));
    t.drain();
    t.send(data(b"honest").seq(1));
    t.expect_read(b"honest");
    assert_eq!(t.dropped(DropReason::TcpPaws), 0);
}

/// 7323-26: without ACK there is nothing to echo: TSecr is zero.
#[test]
fn a_syn_echoes_nothing() {
    let mut t = Tester::new();
    t.connect();
    let first = t.expect(syn().has_ts());
    assert_eq!(first.ts.expect("time stamps").1, 0);
}

/// 7323-28: a RST for a stamped segment of nobody returns its stamp, beside a zero; for others it has none.
#[test]
fn resets_of_nobody_return_the_stamp() {
    let mut t = Tester::new();
    t.send(syn().mss(1460).ts(77, 0));
    t.expect(rst_ack().ts(0, 77));
    t.new_flow(41_000, 81);
    t.send(data(b"x").seq(5).abs_ack(9).ts(78, 3));
    t.expect(rst().abs_seq(9).ts(0, 78));
    t.new_flow(41_001, 81);
    t.send(syn().mss(1460));
    t.expect(rst_ack().no_ts());
}
