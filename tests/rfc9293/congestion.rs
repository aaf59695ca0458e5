//! RFC 5681, 6928, 3042 and 6582: congestion control, fast retransmit, NewReno.

use crate::support::*;
use core::time::Duration;
use std::collections::VecDeque;
use tunstack::rng::Rng;
use tunstack::stack::Congestion;

const MSS: u32 = 1460;

/// A stack with the control that these RFCs describe.
fn newreno() -> Tester {
    Tester::with(|c| c.tcp.congestion = Congestion::NewReno)
}

/// A connection with at least `n` full segments in flight, which the peer has not acknowledged, and more to be sent. The
/// peer offers no SACK, and its window is no limit.
fn in_flight(n: usize) -> Tester {
    let mut t = newreno();
    t.establish_with(syn().mss(1460).ws(7).wnd(65_535));
    t.send(ack().wnd(60_000));
    t.write(&pattern(0..250_000));
    let mut flying = t.drain();
    // Slow start: each segment acknowledged lets two more out.
    while flying.len() < n {
        for p in core::mem::take(&mut flying) {
            let end = t.rel_seq(&p) + 1460;
            dup(&mut t, end);
            flying.extend(t.drain());
        }
    }
    t
}

/// SND.UNA, as the peer knows it.
fn una(t: &Tester) -> i64 {
    t.stack_end() - i64::from(t.info().in_flight)
}

/// An ACK up to `una` with an unchanged window.
fn dup(t: &mut Tester, una: i64) {
    t.send(ack().ack(una).wnd(60_000));
}

/// 5681-2: the initial window: ten segments, at most 14,600 bytes, at least two segments.
#[test]
fn initial_window() {
    for (mss, window) in [(1460, 14_600), (536, 5360), (1000, 10_000), (1452, 14_520)] {
        let mut t = newreno();
        t.establish_with(syn().mss(mss));
        t.write(&pattern(0..100_000));
        let sent: usize = t.drain().iter().map(|p| p.text.len()).sum();
        assert_eq!(sent, window, "MSS {mss}");
        assert_eq!(t.info().cwnd as usize, window);
    }
    let mut t = Tester::with(|c| {
        c.mtu = link_mtu(9000);
        c.tcp.congestion = Congestion::NewReno;
    });
    t.establish_with(syn().mss(8960).ws(7));
    t.write(&pattern(0..100_000));
    let sent: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert_eq!(sent, 2 * 8960, "two segments of a large MSS");
}

/// 5681-3 6928-2: the handshake grows no window.
#[test]
fn handshake_does_not_grow_cwnd() {
    let mut t = newreno();
    t.establish();
    assert_eq!(t.info().cwnd, 10 * MSS);
    let mut t = newreno();
    t.establish_active(synack().mss(1460));
    assert_eq!(t.info().cwnd, 10 * MSS);
}

/// 5681-4: a lost SYN or SYN,ACK: the initial window is one segment.
#[test]
fn lost_syn_initial_window() {
    let mut t = newreno();
    t.connect();
    t.expect(syn());
    t.expect_within(secs(2), syn());
    t.send(synack().mss(1460));
    t.expect(ack());
    t.write(&pattern(0..10_000));
    t.expect(full(1460));
    t.expect_nothing();

    let mut t = newreno();
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

/// MUST-19 5681-6 5681-14 5681-18 6928-5: ssthresh is as high as can be at first; after an RTO it is at most half of what was in flight, cwnd one segment.
#[test]
fn after_an_rto() {
    let mut t = in_flight(20);
    let flight = t.info().in_flight;
    assert_eq!(t.info().ssthresh, u32::MAX);
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

/// 5681-29: a time-out while a loss is being repaired, the retransmission lost too, is a second loss: both are lowered again.
#[test]
fn a_lost_retransmission_counts_again() {
    let mut t = in_flight(20);
    let una = una(&t);
    for _ in 0..3 {
        dup(&mut t, una);
    }
    t.drain();
    let first = t.info().ssthresh;
    t.wait(secs(5));
    t.drain();
    assert_eq!(t.stack.stats().tcp.rto, 1);
    assert!(t.info().ssthresh < first && t.info().cwnd == MSS, "ssthresh {} after {first}", t.info().ssthresh);
}

/// MUST-19 5681-6: ssthresh has a floor of two segments.
#[test]
fn ssthresh_floor() {
    let mut t = newreno();
    t.establish();
    t.write(b"little");
    t.drain();
    t.wait(secs(2));
    assert_eq!(t.info().ssthresh, 2 * MSS);
}

/// MUST-19 5681-15 5681-16: above ssthresh cwnd grows by about a segment for each round trip.
#[test]
fn congestion_avoidance() {
    let mut t = in_flight(20);
    // The peer acknowledges what was sent before the time-out, as if late: F-RTO would take that back.
    t.set(|o| o.loss_recovery.frto = false);
    t.wait(secs(2)); // RTO
    t.drain();
    let round = |t: &mut Tester| {
        // Acknowledge a whole window segment by segment.
        let (end, mut at) = (t.stack_end(), una(t));
        while at < end {
            at = (at + 1460).min(end);
            dup(t, at);
        }
        t.drain();
    };
    while t.info().cwnd < t.info().ssthresh || una(&t) < 40 * 1460 {
        round(&mut t); // until slow start is over
    }
    let start = t.info().cwnd;
    for n in 1..=5 {
        let cwnd = t.info().cwnd;
        round(&mut t);
        let grown = t.info().cwnd - cwnd;
        assert!(grown <= MSS + MSS / 4, "round {n}: {grown} bytes");
    }
    let grown = t.info().cwnd - start;
    assert!(grown >= 3 * MSS, "it does grow: {grown} bytes in five rounds");
}

/// 5681-19 5681-20 5681-23: three duplicate ACKs: the missing segment goes out at once, and cwnd is halved.
#[test]
fn fast_retransmit() {
    let mut t = in_flight(20);
    let una = una(&t);
    let flight = t.info().in_flight;
    dup(&mut t, una);
    dup(&mut t, una);
    t.drain();
    dup(&mut t, una);
    let sent = t.drain();
    assert!(sent.iter().any(|p| t.rel_seq(p) == una && p.text.len() == 1460), "the first missing segment");
    let ssthresh = t.info().ssthresh;
    assert_eq!(ssthresh, flight / 2, "what limited transmit sent does not count");
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 1);
    // Everything else had arrived: recovery ends with cwnd at most ssthresh.
    let end = t.stack_end();
    dup(&mut t, end);
    assert!(t.info().cwnd <= ssthresh + MSS, "cwnd {} after recovery, ssthresh {ssthresh}", t.info().cwnd);
    assert_eq!(t.stack.stats().tcp.rto, 0);
}

/// 3042-1 3042-2 3042-4: each of the first two duplicate ACKs lets one new segment out, and cwnd is not changed.
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
    let mut t = newreno();
    t.establish_with(syn().mss(1460).wnd(14_600));
    t.write(&pattern(0..50_000));
    assert_eq!(t.drain().len(), 10);
    t.send(ack().ack(1).wnd(14_600));
    t.expect_nothing();
}

/// 6582-1 6582-5: NewReno: a partial ACK sends the next missing segment at once; no RTO for several losses in a window.
#[test]
fn partial_acks() {
    let mut t = in_flight(20);
    let una = una(&t);
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
    let una = una(&t);
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

/// 6582-1 6582-8: after an RTO, duplicate ACKs for what was in flight before start no fast retransmit.
#[test]
fn no_fast_retransmit_after_an_rto() {
    let mut t = in_flight(20);
    let una = una(&t);
    t.wait(secs(2));
    t.drain();
    let before = t.stack.stats().tcp.fast_retransmits;
    for _ in 0..10 {
        dup(&mut t, una);
    }
    assert_eq!(t.stack.stats().tcp.fast_retransmits, before);
}

/// 5681-28: what is no duplicate ACK: text, another window, nothing in flight.
#[test]
fn not_duplicate_acks() {
    let mut t = in_flight(10);
    for i in 0..6 {
        t.send(data(b"x").ack(1).wnd(60_000));
        t.send(ack().ack(1).wnd(50_000 + i));
    }
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 0);
    let mut t = newreno();
    t.establish();
    for _ in 0..6 {
        t.send(ack().ack(1));
    }
    t.expect_nothing();
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 0);
}

/// attack-20: a flood of duplicate ACKs draws at most one segment for each, all within the peer's window.
#[test]
fn duplicate_ack_flood() {
    let mut t = newreno();
    t.establish();
    t.write(&pattern(0..200_000));
    assert_eq!(t.drain().len(), 10);
    for n in 0..10_000 {
        t.send(ack().ack(1));
        let sent = t.drain();
        assert!(sent.len() <= if n == 2 { 2 } else { 1 }, "{} segments for one ACK", sent.len());
        assert!(t.info().in_flight <= 65_535);
    }
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 1);
}

/// 3042-5 attack-20: where SACK is in use, a duplicate ACK without a block of what is in flight counts for nothing.
#[test]
fn duplicate_acks_without_sack() {
    let mut t = newreno();
    t.establish_with(syn().mss(1460).sack_ok());
    t.write(&pattern(0..200_000));
    assert_eq!(t.drain().len(), 10);
    for _ in 0..100 {
        t.send(ack().ack(1));
        t.send(ack().ack(1).sack(&[(14_601, 16_061)])); // never sent
        t.send(ack().ack(1).sack(&[(2921, 1461)])); // reversed
        t.expect_nothing();
    }
    for n in 2..=4 {
        t.send(ack().ack(1).sack(&[(1461, 1 + 1460 * n)]));
    }
    assert!(t.drain().iter().any(|p| t.rel_seq(p) == 1));
}

/// 5681-9 5681-27 6928-4: after an idle time longer than the RTO the window starts again from the initial one.
#[test]
fn restart_after_idle() {
    let mut t = in_flight(60);
    let end = t.stack_end();
    dup(&mut t, end);
    t.serve();
    assert_eq!(t.info().in_flight, 0);
    assert!(t.info().cwnd > 20 * MSS);
    t.advance(secs(30));
    t.write(&pattern(0..100_000));
    let burst: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert!(burst <= 10 * MSS as usize, "a burst of {burst} bytes after idling");
}

/// 3042-3 5681-1: new data goes out only while at most cwnd, with limited transmit two segments more, is in the network, and
/// never beyond the peer's window; through losses and windows at random, and all data arrives.
#[test]
fn never_beyond_the_window() {
    for seed in 0..20 {
        let mut rng = Rng::new(Rng::seed_from(100 + seed));
        let mut t = newreno();
        t.establish();
        t.write(&pattern(0..200_000));
        let mut have = vec![false; 200_000];
        let (mut una, mut edge, mut top) = (0usize, 65_535usize, 0usize);
        let mut network: VecDeque<Packet> = t.drain().into();
        for _ in 0..20_000 {
            if una == 200_000 {
                break;
            }
            if network.is_empty() {
                t.wait(secs(10));
                network.extend(t.drain());
            }
            let Some(p) = network.pop_front() else { continue };
            if rng.chance(0.05) {
                continue;
            }
            let from = t.rel_seq(&p) as usize - 1;
            have[from..from + p.text.len()].fill(true);
            una += have[una..].iter().position(|h| !h).unwrap_or(200_000 - una);
            // The window's right edge never moves left.
            let wnd = (rng.between(20_000, 65_535) as usize).max(edge.saturating_sub(una));
            edge = una + wnd;
            // Pacing lets something out before the ACK comes, by the window that was before it.
            for answered in [false, true] {
                if answered {
                    t.send(ack().ack(1 + una as i64).wnd(wnd as u16));
                } else {
                    t.advance(Duration::from_micros(rng.between(1, 900)));
                }
                let sent = t.drain();
                let end = sent.iter().map(|p| t.rel_seq(p) as usize - 1 + p.text.len()).max().unwrap_or(0);
                assert!(end <= edge, "seed {seed}: beyond the offered window");
                network.extend(sent);
                // What is in the network and of use: copies of what has been acknowledged count no more.
                let of_use = |p: &&Packet| t.rel_seq(p) > una as i64;
                let flying: usize = network.iter().filter(of_use).map(|p| p.text.len()).sum();
                let cwnd = t.info().cwnd as usize;
                let fits = end <= top || flying <= cwnd + 2 * 1460;
                assert!(fits, "seed {seed}: {flying} bytes in the network, cwnd {cwnd}");
                top = top.max(end);
            }
        }
        assert_eq!(una, 200_000, "seed {seed}");
    }
}
