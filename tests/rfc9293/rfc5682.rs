//! RFC 5682: F-RTO; RFC 3522 and 4015: Eifel. A time-out that was for nothing leaves nothing behind.

use crate::support::*;

/// Ten segments are in flight, more is to be sent, and the timer has run out: the first went out again.
fn timed_out(first: Seg) -> (Tester, tunstack::stack::TcpInfo) {
    let mut t = Tester::new();
    t.listen(80);
    t.send(first.wnd(65_535));
    t.expect(synack());
    t.advance(ms(50));
    t.send(ack().wnd(65_535));
    t.accept();
    t.set(|o| o.loss_recovery.tail_probes = false);
    t.write(&pattern(0..60_000));
    assert_eq!(t.drain().len(), 10);
    let before = t.info();
    t.expect_within(ms(500), full(0).any_text().seq(1));
    t.expect_nothing();
    assert!(t.info().cwnd < before.cwnd);
    (t, before)
}

/// 5682-2 5682-4: the ACKs of the original come late: two new segments after the first, and after the second all is as it was.
#[test]
fn a_spurious_time_out_is_found_and_undone() {
    for sack in [false, true] {
        let (mut t, before) = timed_out(if sack { syn().mss(1460).sack_ok() } else { syn().mss(1460) });
        t.advance(ms(20));
        t.send(ack().ack(1461));
        let sent = t.drain();
        assert!(sent.iter().all(|p| t.rel_seq(p) >= 14_601), "new data, no retransmissions");
        assert!((1..=2).contains(&sent.len()), "{} segments", sent.len());
        t.send(ack().ack(2921));
        let stats = t.stack.stats().tcp.clone();
        assert_eq!((stats.undone, stats.retransmits, stats.rto), (1, 1, 1), "SACK {sack}");
        assert!(t.info().cwnd >= before.cwnd);
        assert_eq!(t.info().ssthresh, before.ssthresh);
        assert!(t.info().rto >= ms(270), "and the next time-out waits for such a round trip: {:?}", t.info().rto);
        t.send(ack());
        t.drain();
        assert_eq!(t.stack.stats().tcp.retransmits, 1);
    }
}

/// 5682-3: a duplicate ACK after that, or no switch: the conventional recovery goes on.
#[test]
fn a_genuine_time_out_is_repaired() {
    for frto in [true, false] {
        let (mut t, _) = timed_out(syn().mss(1460));
        t.set(|o| o.loss_recovery.frto = frto);
        t.send(ack().ack(1461));
        t.drain();
        t.send(ack().ack(1461));
        t.send(ack().ack(1461));
        assert_eq!(t.stack.stats().tcp.undone, 0);
        let mut at = 1461;
        for _ in 0..30 {
            t.send(ack().ack(at));
            let sent = t.drain();
            if let Some(p) = sent.iter().find(|p| t.rel_seq(p) <= at && t.rel_seq(p) + p.text.len() as i64 > at) {
                at = t.rel_seq(p) + p.text.len() as i64;
            } else {
                t.wait(ms(900));
            }
        }
        assert!(at >= 14_601, "all that was in flight goes again: {at}");
    }
}

/// 3522-1 4015-1: with time stamps the first ACK tells, also where there is no new data: nothing but the one segment is sent again.
#[test]
fn eifel_needs_one_ack() {
    for late in [true, false] {
        let mut t = Tester::new();
        t.listen(80);
        t.send(syn().mss(1460).ts(1_000, 0));
        t.expect(synack());
        t.advance(ms(50));
        t.send(ack());
        t.accept();
        t.write(&pattern(0..5792));
        let sent = t.drain();
        let original = sent[0].ts.expect("time stamps").0;
        let before = t.info();
        let again = t.expect_within(ms(500), full(1448).seq(1));
        t.advance(ms(20));
        let (now, echo) = (t.peer_tsval(), if late { original } else { again.ts.expect("time stamps").0 });
        t.send(ack().ack(1449).ts(now, echo));
        let stats = t.stack.stats().tcp.clone();
        assert_eq!(stats.undone, u64::from(late));
        assert_eq!(t.info().cwnd >= before.cwnd, late);
        assert_eq!(t.drain().is_empty(), late, "what is in flight is not sent again");
    }
}

/// 4015-1: the ACKs of what arrived are lost for as long as the link is down, and then one that answers a retransmission echoes
/// the first transmission, from a peer that sends no DSACKs: the outage was no round trip.
#[test]
fn an_outage_is_no_round_trip() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460).sack_ok().ts(1_000, 0));
    t.expect(synack());
    t.advance(ms(50));
    t.send(ack());
    t.accept();
    let before = t.info().rto;
    t.write(b"arrives at once");
    let original = t.drain()[0].ts.expect("time stamps").0;
    for _ in 0..9 {
        t.expect_within(secs(121), data(b"arrives at once").seq(1));
    }
    t.advance(ms(20));
    let now = t.peer_tsval();
    t.send(ack().ack(16).ts(now, original));
    // But it may have been longer than the time-out.
    assert_eq!(t.info().rto, before * 3);
    // What is clear brings the truth nearer.
    for i in 0..20 {
        t.write(b"next");
        let next = t.drain()[0].ts.expect("time stamps").0;
        t.advance(ms(50));
        let now = t.peer_tsval();
        t.send(ack().ack(20 + 4 * i).ts(now, next));
    }
    assert!(t.info().rto < before * 2, "{:?}", t.info().rto);
}

/// 6298-7 6675-3: a time-out within fast recovery starts no F-RTO, and the recovery ends where what was sent then ends.
#[test]
fn a_time_out_in_fast_recovery() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).sack_ok());
    t.write(&pattern(0..60_000));
    t.drain();
    t.send(ack().ack(1).sack(&[(1461, 7301)]));
    t.drain();
    t.wait(secs(2));
    assert_eq!(t.stack.stats().tcp.rto, 1);
    t.drain();
    let recover = t.stack_end();
    t.send(ack().ack(7301));
    t.drain();
    t.send(ack().ack(8761));
    t.drain();
    assert_eq!(t.stack.stats().tcp.undone, 0);
    t.send(ack().ack(recover));
    assert_eq!(t.info().in_flight as i64, t.stack_end() - recover);
}

/// 5682-5: what neither acknowledges new data nor is a duplicate says nothing: the algorithm waits.
#[test]
fn other_segments_are_waited_through() {
    let (mut t, before) = timed_out(syn().mss(1460));
    t.send(data(b"text").ack(1).wnd(65_535));
    t.send(ack().ack(1).wnd(65_000));
    t.send(ack().ack(1461).wnd(65_535));
    t.drain();
    t.send(data(b"more").ack(1461).wnd(65_535));
    t.send(ack().ack(1461).wnd(65_000));
    assert_eq!(t.stack.stats().tcp.undone, 0);
    t.send(ack().ack(2921).wnd(65_535));
    assert_eq!(t.stack.stats().tcp.undone, 1);
    assert!(t.info().cwnd >= before.cwnd);
}

/// 5682-7: there is no new data to send, or no window for it: the conventional recovery goes on at once.
#[test]
fn without_new_data_what_is_lost_goes_again() {
    for shut in [false, true] {
        let mut t = Tester::new();
        t.establish_with(syn().mss(1460).sack_ok().wnd(14_600));
        t.set(|o| o.loss_recovery.tail_probes = false);
        t.write(&pattern(0..if shut { 30_000 } else { 14_600 }));
        assert_eq!(t.drain().len(), 10);
        t.wait(secs(2));
        t.expect(full(1460).seq(1));
        t.send(ack().ack(1461).wnd(if shut { 13_140 } else { 14_600 }));
        t.expect(full(1460).seq(1461));
        assert_eq!(t.stack.stats().tcp.undone, 0);
    }
}

/// 5682-8: with SACK, duplicates that come before the first new ACK are heard, and the algorithm goes on.
#[test]
fn duplicates_before_the_first_new_ack() {
    let (mut t, before) = timed_out(syn().mss(1460).sack_ok());
    t.send(ack().ack(1).sack(&[(2921, 4381)]));
    t.drain();
    t.send(ack().ack(1461).sack(&[(2921, 4381)]));
    let sent = t.drain();
    assert!(sent.iter().all(|p| t.rel_seq(p) >= 14_601), "new data, no retransmissions");
    t.send(ack().ack(4381));
    assert_eq!(t.stack.stats().tcp.undone, 1);
    assert!(t.info().cwnd >= before.cwnd);
}

/// 5682-9: after a spurious time-out what is outstanding may be found lost: fast recovery begins as ever.
#[test]
fn fast_recovery_after_a_spurious_time_out() {
    for sack in [false, true] {
        let (mut t, _) = timed_out(if sack { syn().mss(1460).sack_ok() } else { syn().mss(1460) });
        t.send(ack().ack(1461));
        t.drain();
        t.send(ack().ack(2921));
        t.drain();
        assert_eq!(t.stack.stats().tcp.undone, 1);
        t.advance(ms(50));
        for n in 1..=4 {
            let dup = ack().ack(2921);
            t.send(if sack { dup.sack(&[(4381, 4381 + 1460 * n)]) } else { dup });
        }
        t.advance(ms(50));
        assert!(t.drain().iter().any(|p| t.rel_seq(p) == 2921), "SACK {sack}");
        assert_eq!((t.stack.stats().tcp.fast_retransmits, t.stack.stats().tcp.rto), (1, 1), "SACK {sack}");
    }
}
