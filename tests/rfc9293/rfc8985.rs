//! RFC 8985: RACK and tail loss probes.

use crate::support::*;
use core::time::Duration;
use tunstack::tcp::LossDetection;

/// A connection with SACK whose handshake measured a round trip of 100 ms.
fn measured() -> Tester {
    measured_with(syn().mss(1460).sack_ok())
}

fn measured_with(first: Seg) -> Tester {
    let mut t = Tester::new();
    t.listen(80);
    t.send(first);
    t.expect(synack());
    t.advance(ms(100));
    t.send(ack());
    t.accept();
    t
}

fn retransmitted(t: &Tester, sent: &[Packet], seq: i64) -> usize {
    sent.iter().filter(|p| t.rel_seq(p) == seq && !p.text.is_empty()).count()
}

/// 8985-6 8985-8: after two round trips of silence the last segment goes again, and what its ACK shows to be lost is
/// repaired, without a time-out.
#[test]
fn a_lost_tail_is_probed() {
    let mut t = measured();
    t.write(&pattern(0..2920));
    t.drain();
    t.expect_between(ms(200), ms(205), full(1460).seq(1461));
    t.expect_nothing();
    t.advance(ms(100));
    t.send(ack().ack(1).sack(&[(1461, 2921)]));
    t.expect(full(1460).seq(1));
    t.send(ack());
    let stats = t.stack.stats().tcp.clone();
    assert_eq!((stats.tail_probes, stats.rto, stats.fast_retransmits), (1, 0, 1));
    assert_eq!(t.info().in_flight, 0);
}

/// 8985-6 8985-19: the peer may hold back the ACK of a lone segment.
#[test]
fn a_lone_segment_waits_for_the_delayed_ack() {
    let mut t = measured();
    t.write(b"x");
    t.drain();
    t.expect_between(ms(240), ms(245), data(b"x").seq(1));
}

/// 8985-6 8985-23: new data makes the better probe, even if the congestion window is full.
#[test]
fn new_data_goes_as_a_probe() {
    let mut t = measured();
    t.write(&pattern(0..30_000));
    assert_eq!(t.drain().len(), 10);
    t.expect_between(ms(200), ms(205), full(1460).seq(14_601));
    assert_eq!(t.stack.stats().tcp.retransmits, 0);
}

/// 8985-7 8985-8: one probe, then the retransmission timer, which runs from the probe on.
#[test]
fn one_probe_then_the_time_out() {
    let mut t = measured();
    t.write(&pattern(0..2920));
    t.drain();
    t.expect_within(ms(205), full(1460).seq(1461));
    let rto = t.info().rto;
    t.expect_between(rto - ms(2), rto + ms(5), full(1460).seq(1));
    assert_eq!((t.stack.stats().tcp.tail_probes, t.stack.stats().tcp.rto), (1, 1));
}

/// 8985-3: without SACK there is neither.
#[test]
fn nothing_of_it_without_sack() {
    let mut t = measured_with(syn().mss(1460));
    t.write(&pattern(0..2920));
    t.drain();
    let rto = t.info().rto;
    t.expect_between(rto - ms(2), rto + ms(5), full(1460).seq(1));
    assert_eq!(t.stack.stats().tcp.tail_probes, 0);
}

/// 8985-9: a probe that repaired a loss means congestion; one that only repeated does not.
#[test]
fn what_a_probe_repaired_was_congestion() {
    for repaired in [true, false] {
        let mut t = measured();
        t.write(&pattern(0..2920));
        t.drain();
        t.expect_within(ms(205), full(1460).seq(1461));
        t.advance(ms(100));
        t.send(if repaired { ack() } else { ack().ack(2921).sack(&[(1461, 2921)]) });
        t.write(b"more");
        t.drain();
        t.send(ack());
        assert_eq!(t.info().ssthresh != u32::MAX, repaired);
    }
}

/// 2018-6 8985-1 8985-5 8985-17: before any reordering three SACKed segments mean a loss; afterwards only time does, a quarter of the round
/// trip of it.
#[test]
fn reordering_buys_time() {
    let mut t = measured();
    t.write(&pattern(0..29_200));
    assert_eq!(t.drain().len(), 10);
    t.advance(ms(100));
    // The second overtakes the first.
    t.send(ack().ack(1).sack(&[(1461, 2921)]));
    t.send(ack().ack(2921));
    let end = 14_601;
    t.send(ack().ack(end));
    t.drain();
    t.advance(ms(100));
    t.send(ack().ack(end).sack(&[(end as u32 + 1460, end as u32 + 1460 * 5)]));
    let sent = t.drain();
    assert_eq!(retransmitted(&t, &sent, end), 0, "four segments beyond it, and yet not lost");
    t.advance(ms(30));
    let sent = t.drain();
    assert_eq!(retransmitted(&t, &sent, end), 1, "a quarter of the round trip later it is");
    assert_eq!(t.stack.stats().tcp.rto, 0);

    let mut t = measured();
    t.write(&pattern(0..29_200));
    t.drain();
    t.advance(ms(100));
    t.send(ack().ack(1).sack(&[(1461, 1461 + 3 * 1460)]));
    assert_eq!(
        {
            let sent = t.drain();
            retransmitted(&t, &sent, 1)
        },
        1,
        "without reordering at once"
    );
}

/// 8985-13 8985-15: a lost retransmission is found by what was sent after it, and goes again without a time-out.
#[test]
fn lost_retransmissions_go_again() {
    let mut t = measured();
    t.write(&pattern(0..60_000));
    t.drain();
    t.advance(ms(100));
    t.send(ack().ack(1).sack(&[(1461, 5841)]));
    let sent = t.drain();
    assert_eq!(retransmitted(&t, &sent, 1), 1);
    for round in 1..4u32 {
        t.send(ack().ack(1).sack(&[(1461, 5841 + 1460 * round)]));
        t.drain();
    }
    let end = t.stack_end() as u32;
    t.advance(ms(100));
    t.send(ack().ack(1).sack(&[(1461, end)]));
    let sent = t.drain();
    assert_eq!(retransmitted(&t, &sent, 1), 1, "again");
    assert_eq!(t.stack.stats().tcp.rto, 0);
    assert_eq!(t.stack.stats().tcp.fast_retransmits, 1, "it is the same recovery");
}

/// 8985-14: a time-out makes the first segment lost, and spares what was sent just now.
#[test]
fn a_time_out_spares_what_was_sent_just_now() {
    let mut t = measured();
    t.set(|o| o.loss_recovery.tail_probes = false);
    t.write(&pattern(0..2920));
    t.drain();
    t.advance(ms(250));
    t.write(&pattern(2920..5840));
    t.drain();
    t.expect_between(ms(40), ms(60), full(1460).seq(1));
    t.send(ack().ack(1461));
    t.drain();
    assert_eq!(t.stack.stats().tcp.rto, 1);
    assert!(t.stack.stats().tcp.retransmits <= 2, "not the last two");
}

/// 6675-1 6675-2: the older rule, by a switch: three segments beyond it and no clock.
#[test]
fn rfc6675_counts_segments() {
    let mut t = measured();
    t.set(|o| o.loss_recovery.detection = LossDetection::Rfc6675);
    t.write(&pattern(0..29_200));
    t.drain();
    t.advance(ms(100));
    t.send(ack().ack(1).sack(&[(1461, 4381)]));
    assert_eq!(
        {
            let sent = t.drain();
            retransmitted(&t, &sent, 1)
        },
        0,
        "two segments"
    );
    t.advance(ms(90));
    assert_eq!(
        {
            let sent = t.drain();
            retransmitted(&t, &sent, 1)
        },
        0,
        "nor by time"
    );
    t.send(ack().ack(1).sack(&[(1461, 5841)]));
    let sent = t.drain();
    assert_eq!(retransmitted(&t, &sent, 1), 1, "three");
    let info = t.info();
    assert!(info.cwnd < 10 * 1460 && t.stack.stats().tcp.fast_retransmits == 1);
    let recover = t.stack_end();
    t.send(ack().ack(recover));
    assert_eq!(t.stack.stats().tcp.rto, 0);
}

/// attack-23: SACK blocks for every second segment, over and over: the records stay as many as there are segments, and the
/// stream goes on.
#[test]
fn a_scoreboard_full_of_holes() {
    let mut t = Tester::new().without_timer_check();
    t.establish_with(syn().mss(536).ws(10).wnd(65_535).sack_ok());
    t.write(&pattern(0..200_000));
    let mut una = 1i64;
    for _ in 0..3 {
        for p in t.drain() {
            una = t.rel_seq(&p) + p.text.len() as i64;
            t.send(ack().ack(una).wnd(60_000));
        }
    }
    t.drain();
    let end = t.stack_end();
    let flight = (end - una) / 536;
    assert!(flight > 50, "{flight} segments in flight");
    for shift in 0..40 {
        for i in (1..flight - 1).step_by(2) {
            let at = (una + 536 * i) as u32 + shift;
            t.send(ack().ack(una).wnd(60_000).sack(&[(at, at + 536), (at + 2, at + 3)]));
        }
        t.drain();
    }
    assert!(t.info().memory < 400_000, "{} bytes", t.info().memory);
    let mut before = una;
    for _ in 0..400 {
        let sent = t.drain();
        for p in sent.iter().filter(|p| !p.text.is_empty()) {
            if t.rel_seq(p) <= before {
                before = before.max(t.rel_seq(p) + p.text.len() as i64);
            }
        }
        t.send(ack().ack(before.min(t.stack_end())).wnd(60_000));
        if t.info().send_queue == 0 {
            break;
        }
        t.wait(Duration::from_secs(20));
    }
    assert_eq!(t.info().send_queue, 0, "all was sent in the end");
}

/// 8985-22: without proportional rate reduction a lost retransmission lowers the window once more, and many of them in one round
/// trip only once.
#[test]
fn without_prr_a_lost_retransmission_counts_again() {
    for prr in [true, false] {
        let mut t = measured();
        t.set(|o| o.loss_recovery.prr = prr);
        t.write(&pattern(0..60_000));
        t.drain();
        t.advance(ms(100));
        t.send(ack().ack(1).sack(&[(4381, 8761)]));
        let sent = t.drain();
        assert_eq!(retransmitted(&t, &sent, 1), 1);
        for round in 1..5u32 {
            t.send(ack().ack(1).sack(&[(4381, 8761 + 1460 * round)]));
            t.drain();
        }
        let first = t.info().ssthresh;
        t.advance(ms(100));
        // What went out after the retransmissions has arrived, a segment for each ACK.
        let end = t.stack_end() as u32;
        for to in (14_601..=end).step_by(1460) {
            t.send(ack().ack(1).sack(&[(4381, to)]));
        }
        assert_eq!(t.stack.stats().tcp.fast_retransmits, 1, "it is the same recovery");
        let second = t.info().ssthresh;
        assert_eq!(second < first, !prr, "{second} after {first}");
        assert!(second >= first / 2, "but once: {second} after {first}");
    }
}

/// 8985-20: the probe does not come later than the time-out would.
#[test]
fn no_probe_later_than_the_time_out() {
    let mut t = measured();
    // The round trip hardly varies: the RTO falls below two of it and what a delayed ACK may take.
    for _ in 0..40 {
        t.write(b"x");
        t.drain();
        t.advance(ms(150));
        t.send(ack());
        t.drain();
    }
    let rto = t.info().rto;
    let srtt = t.info().srtt.expect("measured");
    assert!(rto < srtt * 2 + ms(40), "an RTO of {rto:?}, SRTT {srtt:?}");
    t.write(b"y");
    t.drain();
    t.expect_between(rto - ms(2), rto + ms(2), data(b"y"));
}
