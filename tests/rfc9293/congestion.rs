//! RFC 5681, 6928, 3042 and 6582: congestion control, fast retransmit, NewReno.

use crate::support::*;
use tunstack::rng::Rng;

const MSS: u32 = 1460;

/// A connection with `n` full segments in flight, which the peer has not acknowledged. The peer offers no SACK.
fn in_flight(n: usize) -> Tester {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).ws(7).wnd(65_535));
    t.send(ack().wnd(60_000));
    t.write(&pattern(0..200_000));
    // Grow the window by slow start until n segments fly.
    for _ in 0..20 {
        let flying = t.drain().len();
        if flying >= n {
            break;
        }
        t.advance(ms(50));
        t.send(ack().wnd(60_000));
    }
    t
}

fn dup(t: &mut Tester, una: i64) {
    t.send(ack().ack(una).wnd(60_000));
}

/// 5681-2: the initial window: ten segments, at most 14,600 bytes, at least two segments.
#[test]
fn initial_window() {
    for (mss, window) in [(1460, 14_600), (536, 5360), (1000, 10_000), (1452, 14_520)] {
        let mut t = Tester::new();
        t.establish_with(syn().mss(mss));
        t.write(&pattern(0..100_000));
        let sent: usize = t.drain().iter().map(|p| p.text.len()).sum();
        assert_eq!(sent, window, "MSS {mss}");
        assert_eq!(t.info().cwnd as usize, window);
    }
    let mut t = Tester::with(|c| c.mtu = 9000);
    t.establish_with(syn().mss(8960).ws(7));
    t.write(&pattern(0..100_000));
    let sent: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert_eq!(sent, 2 * 8960, "two segments of a large MSS");
}

/// 5681-3: the handshake grows no window.
#[test]
fn handshake_does_not_grow_cwnd() {
    let mut t = Tester::new();
    t.establish();
    assert_eq!(t.info().cwnd, 10 * MSS);
    let mut t = Tester::new();
    t.establish_active(synack().mss(1460));
    assert_eq!(t.info().cwnd, 10 * MSS);
}

/// 5681-4: a lost SYN or SYN,ACK: the initial window is one segment.
#[test]
fn lost_syn_initial_window() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    t.expect_within(secs(2), syn());
    t.send(synack().mss(1460));
    t.expect(ack());
    t.write(&pattern(0..10_000));
    t.expect(full(1460));
    t.expect_nothing();

    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460));
    t.expect(synack());
    t.expect_within(secs(2), synack());
    t.send(ack());
    t.accept();
    t.write(&pattern(0..10_000));
    t.expect(full(1460));
    t.expect_nothing();
}

/// MUST-19 5681-5: slow start: each ACK of a segment grows cwnd by a segment, and no ACK by more.
#[test]
fn slow_start() {
    let mut t = in_flight(10);
    let mut cwnd = t.info().cwnd;
    assert_eq!(cwnd, 10 * MSS);
    for i in 1..=10 {
        dup(&mut t, 1 + 1460 * i);
        let now = t.info().cwnd;
        assert_eq!(now, cwnd + MSS);
        assert_eq!(t.drain().len(), 2, "one for the ACK, one for the growth");
        cwnd = now;
    }
    // One ACK of many segments: still one segment.
    dup(&mut t, 1 + 1460 * 20);
    assert_eq!(t.info().cwnd, cwnd + MSS);
}

/// 5681-5 attack-19: a segment acknowledged byte by byte grows cwnd by no more than the segment.
#[test]
fn ack_division() {
    let mut t = in_flight(10);
    let before = t.info().cwnd;
    for i in 1..=1460 {
        dup(&mut t, 1 + i);
    }
    assert!(t.info().cwnd <= before + MSS, "{} from {before}", t.info().cwnd);
}

/// MUST-19 5681-6: after an RTO: ssthresh at most half of what was in flight, cwnd one segment.
#[test]
fn after_an_rto() {
    let mut t = in_flight(20);
    let flight = t.info().in_flight;
    t.wait(secs(2));
    t.expect(full(1460));
    t.expect_nothing();
    let info = t.info();
    assert!(info.ssthresh <= flight / 2 && info.ssthresh >= 2 * MSS, "ssthresh {} of {flight}", info.ssthresh);
    assert_eq!(info.cwnd, MSS);
    // A second one in a row does not halve it again.
    t.expect_within(secs(5), full(1460));
    assert_eq!(t.info().ssthresh, info.ssthresh);
}

/// MUST-19 5681-6: ssthresh has a floor of two segments.
#[test]
fn ssthresh_floor() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"little");
    t.drain();
    t.wait(secs(2));
    assert_eq!(t.info().ssthresh, 2 * MSS);
}

/// MUST-19: above ssthresh cwnd grows by about a segment for each round trip.
#[test]
fn congestion_avoidance() {
    let mut t = in_flight(20);
    t.wait(secs(2)); // RTO
    t.drain();
    let una = |t: &Tester| t.stack_end();
    // Acknowledge round after round until slow start is over.
    for _ in 0..60 {
        t.advance(ms(10));
        let end = una(&t);
        dup(&mut t, end);
        t.drain();
        if t.info().cwnd > t.info().ssthresh + MSS {
            break;
        }
    }
    t.write(&pattern(0..50_000));
    let start = t.info().cwnd;
    for round in 1..=5 {
        // Acknowledge a whole window segment by segment.
        let (cwnd, end) = (t.info().cwnd, una(&t));
        let from = end - i64::from(t.info().in_flight);
        let mut at = from;
        while at < end {
            at = (at + 1460).min(end);
            dup(&mut t, at);
        }
        t.drain();
        let grown = t.info().cwnd - cwnd;
        assert!(grown <= MSS + MSS / 4, "round {round}: {grown} bytes");
    }
    let grown = t.info().cwnd - start;
    assert!(grown >= 3 * MSS, "it does grow: {grown} bytes in five rounds");
}

/// 5681-7: three duplicate ACKs: the missing segment goes out at once, and cwnd is halved.
#[test]
fn fast_retransmit() {
    let mut t = in_flight(20);
    let una = t.stack_end() - i64::from(t.info().in_flight);
    let flight = t.info().in_flight;
    dup(&mut t, una);
    dup(&mut t, una);
    t.drain();
    dup(&mut t, una);
    let sent = t.drain();
    assert!(sent.iter().any(|p| t.rel_seq(p) == una && p.text.len() == 1460), "the first missing segment");
    let ssthresh = t.info().ssthresh;
    assert!(ssthresh <= flight / 2 + 2 * MSS && ssthresh >= 2 * MSS, "ssthresh {ssthresh}, {flight} in flight");
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 1);
    // Everything else had arrived: recovery ends with cwnd at most ssthresh.
    let end = t.stack_end();
    dup(&mut t, end);
    assert!(t.info().cwnd <= ssthresh + MSS, "cwnd {} after recovery, ssthresh {ssthresh}", t.info().cwnd);
    assert_eq!(t.stack.stats().tcp.rto, 0);
}

/// 3042-1: each of the first two duplicate ACKs lets one new segment out, and cwnd is not changed.
#[test]
fn limited_transmit() {
    let mut t = in_flight(10);
    let before = t.info();
    for i in 0..2 {
        dup(&mut t, 1);
        let p = t.expect(full(1460).seq(1 + 14_600 + 1460 * i));
        assert_eq!(p.text, pattern((14_600 + 1460 * i) as usize..(16_060 + 1460 * i) as usize));
        t.expect_nothing();
        assert_eq!(t.info().cwnd, before.cwnd);
    }
    // And not beyond the peer's window.
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).wnd(14_600));
    t.write(&pattern(0..50_000));
    assert_eq!(t.drain().len(), 10);
    t.send(ack().ack(1).wnd(14_600));
    t.expect_nothing();
}

/// 6582-1: NewReno: a partial ACK sends the next missing segment at once; no RTO for several losses in a window.
#[test]
fn partial_acks() {
    let mut t = in_flight(20);
    let una = t.stack_end() - i64::from(t.info().in_flight);
    let losses = [0, 3, 7, 8];
    for _ in 0..3 {
        dup(&mut t, una);
    }
    let recover = t.stack_end();
    let first = t.drain();
    assert!(first.iter().any(|p| t.rel_seq(p) == una));
    for loss in &losses[1..] {
        let hole = una + 1460 * loss;
        dup(&mut t, hole);
        let sent = t.drain();
        assert!(sent.iter().any(|p| t.rel_seq(p) == hole), "the segment at {hole} goes out at once");
    }
    let ssthresh = t.info().ssthresh;
    dup(&mut t, recover);
    t.drain();
    assert!(t.info().cwnd <= ssthresh + MSS);
    assert_eq!(t.stack.stats().tcp.rto, 0);
    assert_eq!(t.stack.stats().tcp.retransmits, 4);
}

/// 5681-12: many losses in one window halve cwnd once.
#[test]
fn one_reduction_for_a_window() {
    let mut t = in_flight(20);
    let una = t.stack_end() - i64::from(t.info().in_flight);
    for _ in 0..3 {
        dup(&mut t, una);
    }
    let ssthresh = t.info().ssthresh;
    for step in [1460, 2920] {
        for _ in 0..5 {
            dup(&mut t, una + step);
        }
        assert_eq!(t.info().ssthresh, ssthresh);
    }
}

/// 6582-1: after an RTO, duplicate ACKs for what was in flight before start no fast retransmit.
#[test]
fn no_fast_retransmit_after_an_rto() {
    let mut t = in_flight(20);
    let una = t.stack_end() - i64::from(t.info().in_flight);
    t.wait(secs(2));
    t.drain();
    let before = t.stack.stats().tcp.fast_retransmits;
    for _ in 0..10 {
        dup(&mut t, una);
    }
    assert_eq!(t.stack.stats().tcp.fast_retransmits, before);
}

/// What is no duplicate ACK: text, another window, nothing in flight.
#[test]
fn not_duplicate_acks() {
    let mut t = in_flight(10);
    for i in 0..6 {
        t.send(data(b"x").ack(1).wnd(60_000));
        t.send(ack().ack(1).wnd(50_000 + i));
    }
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 0);
    let mut t = Tester::new();
    t.establish();
    for _ in 0..6 {
        t.send(ack().ack(1));
    }
    t.expect_nothing();
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 0);
}

/// attack-20: a flood of duplicate ACKs does not make us send more than the window allows.
#[test]
fn duplicate_ack_flood() {
    let mut t = in_flight(10);
    let mut sent = 0;
    for _ in 0..10_000 {
        dup(&mut t, 1);
        sent += t.drain().len();
    }
    assert!(sent <= 40, "{sent} segments for forged duplicate ACKs");
    assert!(t.info().in_flight <= 60 * MSS);
}

/// 5681-9: after an idle time longer than the RTO the window starts again from the initial one.
#[test]
fn restart_after_idle() {
    let mut t = in_flight(60);
    for _ in 0..60 {
        t.drain();
        let end = t.stack_end();
        dup(&mut t, end);
    }
    assert_eq!(t.info().in_flight, 0);
    assert!(t.info().cwnd > 20 * MSS);
    t.advance(secs(30));
    t.write(&pattern(0..100_000));
    let burst: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert!(burst <= 10 * MSS as usize, "a burst of {burst} bytes after idling");
}

/// 5681-1: at every moment at most min(cwnd, rwnd) is in flight, but for limited transmit; through losses and windows at
/// random, and all data arrives.
#[test]
fn never_beyond_the_window() {
    for seed in 0..20 {
        let mut rng = Rng::new(Rng::seed_from(100 + seed));
        let mut t = Tester::new();
        t.establish();
        t.write(&pattern(0..200_000));
        let mut have = vec![false; 200_000];
        let mut una = 0usize;
        let mut edge = 65_535u64;
        for _ in 0..5000 {
            t.wait(secs(5));
            let mut acks = 0;
            for p in t.drain() {
                let from = t.rel_seq(&p) as usize - 1;
                assert!(
                    (from + p.text.len()) as u64 <= edge.max(una as u64 + 1),
                    "seed {seed}: beyond the offered window"
                );
                if rng.chance(0.05) {
                    continue;
                }
                have[from..from + p.text.len()].fill(true);
                acks += 1;
            }
            let info = t.info();
            let limit = info.cwnd.max(info.mss as u32) + 2 * MSS;
            assert!(info.in_flight <= limit, "seed {seed}: {} in flight, cwnd {}", info.in_flight, info.cwnd);
            una += have[una..].iter().position(|h| !h).unwrap_or(200_000 - una);
            t.advance(ms(rng.between(1, 50)));
            for _ in 0..acks {
                let wnd = rng.between(20_000, 65_535).max(edge.saturating_sub(una as u64)) as u16;
                edge = edge.max(una as u64 + u64::from(wnd));
                t.send(ack().ack(1 + una as i64).wnd(wnd));
            }
            if una == 200_000 {
                break;
            }
        }
        assert_eq!(una, 200_000, "seed {seed}");
    }
}
