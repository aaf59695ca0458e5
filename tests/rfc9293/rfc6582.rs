//! RFC 6582: NewReno's fast recovery, step by step, for peers without SACK.

use crate::support::*;
use tunstack::stack::Congestion;

const MSS: i64 = 1460;

/// At least `n` full segments in flight, none of which is acknowledged, and SND.UNA.
fn flying(n: i64) -> (Tester, i64) {
    let mut t = Tester::with(|c| c.tcp.congestion = Congestion::NewReno);
    t.establish_with(syn().mss(1460).ws(7).wnd(65_535));
    t.send(ack().wnd(60_000));
    t.write(&pattern(0..250_000));
    let mut una = 1;
    t.drain();
    while t.stack_end() - una < n * MSS {
        una += MSS;
        dup(&mut t, una);
        t.drain();
    }
    (t, una)
}

fn dup(t: &mut Tester, una: i64) {
    t.send(ack().ack(una).wnd(60_000));
}

/// 6582-2 6582-3 5681-19: `recover` begins at the first number, so that the very first segments may be repaired; the third
/// duplicate sends the segment at SND.UNA.
#[test]
fn the_first_window_can_be_repaired() {
    let mut t = Tester::with(|c| c.tcp.congestion = Congestion::NewReno);
    t.establish();
    t.write(&pattern(0..14_600));
    t.drain();
    for n in 1..=3 {
        t.send(ack().ack(1));
        let sent = t.drain();
        assert_eq!(sent.iter().any(|p| t.rel_seq(p) == 1), n == 3, "duplicate {n}");
    }
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 1);
}

/// 6582-3: a window that was just repaired is not repaired again: duplicates that do not cover more than `recover` start
/// nothing; those that do start another recovery.
#[test]
fn not_twice_for_one_window() {
    let (mut t, una) = flying(20);
    for _ in 0..3 {
        dup(&mut t, una);
    }
    t.drain();
    let recover = t.stack_end();
    dup(&mut t, recover);
    t.drain();
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 1);
    // SND.UNA is `recover` now: what begins there was sent in that recovery.
    for _ in 0..4 {
        dup(&mut t, recover);
    }
    t.drain();
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 1, "it covers no more than recover");
    dup(&mut t, recover + MSS);
    t.drain();
    for _ in 0..3 {
        dup(&mut t, recover + MSS);
    }
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 2);
}

/// 6582-4 6582-10: a full ACK leaves cwnd = min(ssthresh, max(FlightSize, SMSS) + SMSS): no burst.
#[test]
fn full_acknowledgments() {
    let (mut t, una) = flying(20);
    for _ in 0..3 {
        dup(&mut t, una);
    }
    t.drain();
    let ssthresh = t.info().ssthresh;
    let recover = t.stack_end();
    dup(&mut t, recover);
    let sent = t.drain().len() as u32;
    assert_eq!(t.info().cwnd, ssthresh.min(2 * 1460), "nothing was in flight");
    assert!(sent <= 2, "{sent} segments at once");
}

/// 6582-5 5681-21 5681-22: partial ACKs: each sends the first segment that is missing, at once, and lets no more into the
/// network than left it; the recovery goes on, and further duplicates count.
#[test]
fn partial_acknowledgments() {
    let (mut t, una) = flying(20);
    let end = t.stack_end();
    let flight = (end - una) / MSS;
    for _ in 0..3 {
        dup(&mut t, una);
    }
    t.drain();
    let ssthresh = i64::from(t.info().ssthresh) / MSS;
    // All the other duplicates: each lets out one new segment once half a window has left.
    let mut new = 0;
    for n in 4..flight - 2 {
        dup(&mut t, una);
        let sent = t.drain();
        assert!(sent.len() <= 1, "{} for one duplicate", sent.len());
        assert!(sent.is_empty() || n >= flight - ssthresh - 1, "it waits for half of the window: {n} of {flight}");
        new += sent.len();
    }
    assert!(new > 0, "and then it sends (RFC 5681 3.2, step 5)");
    for hole in [4, 9] {
        dup(&mut t, una + hole * MSS);
        let sent = t.drain();
        assert_eq!(t.rel_seq(&sent[0]), una + hole * MSS, "the next hole, at once");
        assert!(sent.len() <= 2, "{} segments", sent.len());
        assert_eq!(t.stack.stats().tcp.fast_retransmits, 1, "it is the same recovery");
    }
    assert_eq!(t.stack.stats().tcp.rto, 0);
}

/// 6582-6: the first partial ACK restarts the retransmission timer, the later ones do not.
#[test]
fn the_first_partial_ack_restarts_the_timer() {
    let (mut t, una) = flying(20);
    for _ in 0..3 {
        dup(&mut t, una);
    }
    t.drain();
    let rto = t.info().rto;
    t.advance(ms(100));
    dup(&mut t, una + 2 * MSS);
    t.drain();
    t.advance(ms(60));
    dup(&mut t, una + 4 * MSS);
    t.drain();
    t.advance(ms(60));
    dup(&mut t, una + 6 * MSS);
    t.drain();
    let from = t.now();
    t.wait(secs(5));
    assert_eq!(t.stack.stats().tcp.rto, 1);
    let waited = t.now().since(from) + ms(120);
    assert!(waited >= rto - ms(5) && waited <= rto + ms(5), "{waited:?} from the first on, an RTO of {rto:?}");
}

/// 6582-7 6582-8: a time-out ends fast recovery, and duplicates for what was in flight before start none.
#[test]
fn a_time_out_ends_it() {
    let (mut t, una) = flying(20);
    for _ in 0..3 {
        dup(&mut t, una);
    }
    t.drain();
    let recover = t.stack_end();
    t.wait(secs(5));
    t.drain();
    assert_eq!((t.info().cwnd, t.stack.stats().tcp.rto), (1460, 1));
    let before = t.stack.stats().tcp.fast_retransmits;
    for step in [0, MSS, 3 * MSS] {
        for _ in 0..5 {
            dup(&mut t, una + step);
            t.drain();
        }
    }
    assert!(una + 3 * MSS < recover);
    assert_eq!(t.stack.stats().tcp.fast_retransmits, before);
}

/// 6582-9: the receiver acknowledges at once what fills a hole, even if only in part.
#[test]
fn the_receiver_answers_a_retransmission_at_once() {
    let mut t = Tester::new();
    t.establish();
    for at in [1001, 3001] {
        t.send(full(1000).seq(at));
        t.expect(ack().ack(1));
    }
    t.send(full(1000).seq(1));
    t.expect(ack().ack(2001));
    t.send(full(500).seq(2001));
    t.expect(ack().ack(2501));
}

/// 6582-11: once the window is set at the end of a recovery, nothing but a further ACK changes it.
#[test]
fn the_window_rests_after_a_recovery() {
    let (mut t, una) = flying(20);
    for _ in 0..3 {
        dup(&mut t, una);
    }
    t.drain();
    let end = t.stack_end();
    dup(&mut t, end);
    t.drain();
    let cwnd = t.info().cwnd;
    t.advance(ms(100));
    assert_eq!(t.info().cwnd, cwnd);
}
