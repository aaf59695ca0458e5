//! Bugs that other stacks have had: acknowledgments, time-outs and what is sent again.

use super::support::*;
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;

/// An acknowledgment of data never sent was accepted and took the data out of the queue.
#[test]
fn a015_an_ack_of_the_unsent_is_refused() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"hello");
    t.expect(data(b"hello").seq(1));
    t.send(ack().ack(7));
    t.send(ack().ack(1_000_000));
    assert_eq!(t.dropped(DropReason::TcpBadAck), 2);
    assert_eq!(t.info().send_queue, 5, "nothing was taken out");
    t.drain();
    t.expect_within(secs(2), data(b"hello").seq(1));
}

/// After a retransmission time-out had set SND.NXT back, bare ACKs carried it.
#[test]
fn a017_acks_after_a_time_out_carry_the_highest_number() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..4 * 1460));
    assert_eq!(t.drain().len(), 4);
    t.expect_within(secs(2), full(1460).seq(1));
    t.drain();
    t.send(full(1460));
    t.send(full(1460));
    let answers = t.drain();
    assert!(!answers.is_empty());
    for p in answers.iter().filter(|p| p.text.is_empty()) {
        assert_eq!(t.rel_seq(p), 1 + 4 * 1460, "RFC 9293 3.10.7.4: <SEQ=SND.NXT>");
    }
}

/// The first window of congestion control was 2,048 bytes whatever the MSS (RFC 6928: ten segments).
#[test]
fn a075_ten_segments_fly_at_first() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..40_000));
    assert_eq!(t.drain().iter().map(|p| p.text.len()).sum::<usize>(), 14_600);
}

/// Neither Limited Transmit (RFC 3042) nor NewReno's partial ACKs (RFC 6582).
#[test]
fn a086_limited_transmit_and_partial_acks() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..20 * 1460));
    assert_eq!(t.drain().len(), 10);
    for n in 10..12 {
        t.send(ack().ack(1));
        t.expect(full(1460).seq(1 + n * 1460));
        t.expect_nothing();
    }
    t.send(ack().ack(1));
    t.expect(full(1460).seq(1));
    t.drain();
    // A partial ACK: the next hole goes out at once.
    t.send(ack().ack(1 + 3 * 1460));
    t.expect(full(1460).seq(1 + 3 * 1460));
}

/// A partial ACK that also closed the window replaced the retransmission timer by nothing.
#[test]
fn a087_a_partial_ack_with_zero_window_leaves_a_timer() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..4 * 1460));
    assert_eq!(t.drain().len(), 4);
    t.send(ack().ack(1461).wnd(0));
    t.drain();
    t.wait(secs(5));
    let again = t.next().expect("something is sent again");
    assert_eq!(t.rel_seq(&again), 1461);
    t.send(ack().ack(1 + 4 * 1460).wnd(1000));
    assert_eq!(t.info().send_queue, 0);
}

/// With only a FIN in flight, three duplicate ACKs disarmed the timer and sent nothing: a hang for ever (smoltcp
/// 0.14.0, in 23.7 % of lossy runs).
#[test]
fn a091_duplicate_acks_for_a_fin_leave_a_timer() {
    for state in [State::FinWait1, State::LastAck, State::Closing] {
        let mut t = Tester::new();
        t.reach(state);
        let (fin_at, ours) = (t.stack_end() - 1, t.peer_nxt());
        for _ in 0..5 {
            t.send(ack().ack(fin_at));
        }
        t.drain();
        for _ in 0..3 {
            t.advance(secs(20));
            let again = t.drain();
            assert!(again.iter().any(|p| p.has(FIN)), "{state}: the FIN is sent again");
        }
        t.send(ack().seq(ours).ack(fin_at + 1));
        assert!([State::FinWait2, State::Closed, State::TimeWait].contains(&t.state()));
    }
}

/// Where the peer's ACKs are lost, our retransmission is answered with the echo of the first transmission (TS.Recent, RFC
/// 7323 4.3). The time that we waited was taken for a round trip, and on a bad link the time-out grew to two minutes.
#[test]
fn an_ack_that_may_answer_either_transmission_is_no_round_trip() {
    let mut t = Tester::new();
    let stamp = t.peer_tsval();
    t.establish_with(syn().mss(1460).ts(stamp, 0));
    let srtt = t.info().srtt;
    t.write(b"x");
    let first = t.expect(data(b"x"));
    let echo = first.ts.expect("time stamps were agreed on").0;
    // Its ACK is lost, and that of the first retransmission; the second is answered.
    t.advance(ms(800));
    assert_eq!(t.drain().len(), 2, "retransmissions");
    let backed_off = t.info().rto;
    t.send(ack().ack(2).ts(t.peer_tsval(), echo));
    assert_eq!(t.info().srtt, srtt, "our waiting is no round trip");
    assert_eq!(t.info().rto, backed_off, "Karn: nor is the path known to be fast");
    // New data that is answered at once is clear.
    t.write(b"y");
    let sent = t.expect(data(b"y")).ts.expect("time stamps").0;
    t.send(ack().ack(3).ts(t.peer_tsval(), sent));
    assert!(t.info().rto < backed_off);
}

/// After a time-out, what was lost did not fit into the congestion window beside what had just been sent again, but something
/// shorter that was new did, went first and took its place: each further lost segment cost another time-out.
#[test]
fn the_lost_goes_before_the_new() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).sack_ok());
    t.set(|o| (o.loss_recovery.tail_probes, o.loss_recovery.frto) = (false, false));
    t.write(&pattern(0..3 * 1460));
    t.drain();
    t.expect_within(secs(2), full(1460).seq(1));
    t.set(|o| o.nodelay = true);
    for n in 0..5 {
        t.write(&pattern(3 * 1460 + n..3 * 1460 + n + 1));
    }
    // Half of the first segment arrives; there is room for less than a whole segment.
    t.send(ack().ack(801));
    for p in t.drain() {
        assert!(t.rel_seq(&p) < 3 * 1460, "new text at {} before what is lost", t.rel_seq(&p));
    }
    t.send(ack().ack(1461));
    for p in t.drain() {
        assert!(t.rel_seq(&p) < 3 * 1460, "new text at {} before what is lost", t.rel_seq(&p));
    }
}
