//! RFC 9293 3.8.1 to 3.8.3 and RFC 6298: retransmission time-out and giving up.

use crate::support::*;
use core::time::Duration;
use tunstack::error::Error;
use tunstack::tcp::state::State;

/// A connection whose peer acknowledged one exchange after `rtt`.
fn measured(rtt: Duration) -> Tester {
    measured_with(rtt, |_| {})
}

fn measured_with(rtt: Duration, change: impl FnOnce(&mut tunstack::stack::Config)) -> Tester {
    let mut t = Tester::with(change);
    t.listen(80);
    t.send(syn().mss(1460));
    t.expect(synack());
    t.advance(rtt);
    t.send(ack());
    t.accept();
    t
}

/// 6298-1: the first RTO, of SYN and SYN,ACK alike, is 1 s.
#[test]
fn initial_rto() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    t.expect_between(ms(1000), ms(1001), syn().seq(0));

    let mut t = Tester::new();
    t.reach(State::SynReceived);
    t.expect_between(ms(1000), ms(1001), synack().seq(0));
}

/// MUST-18 6298-2 6298-3: the first measurement sets SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR.
#[test]
fn first_measurement() {
    let t = measured(ms(300));
    let info = t.info();
    assert_eq!(info.srtt, Some(ms(300)));
    assert_eq!(info.rttvar, ms(150));
    assert_eq!(info.rto, ms(900));
}

/// MUST-18 6298-2 6298-3: later ones move RTTVAR first, then SRTT: 3/4 and 7/8 of the old.
#[test]
fn later_measurements() {
    let mut t = measured(ms(300));
    let (mut srtt, mut rttvar) = (300.0f64, 150.0);
    for r in [500.0, 100.0, 300.0, 300.0, 450.0] {
        t.write(b"x");
        t.drain();
        t.advance(ms(r as u64));
        t.send(ack());
        rttvar = 0.75 * rttvar + 0.25 * (srtt - r).abs();
        srtt = 0.875 * srtt + 0.125 * r;
        let info = t.info();
        let near = |d: Duration, want: f64| (d.as_secs_f64() * 1000.0 - want).abs() < 1.5;
        assert!(near(info.srtt.expect("measured"), srtt), "SRTT {:?}, should be {srtt} ms", info.srtt);
        assert!(near(info.rttvar, rttvar), "RTTVAR {:?}, should be {rttvar} ms", info.rttvar);
        assert!(near(info.rto, srtt + 4.0 * rttvar), "RTO {:?}", info.rto);
    }
}

/// 6298-4: the floor of the RTO is 200 ms.
#[test]
fn minimum_rto() {
    let mut t = measured(ms(1));
    assert!(t.info().rto >= ms(200));
    t.write(b"x");
    t.drain();
    t.expect_between(ms(200), ms(210), data(b"x"));
}

/// MUST-18 6298-6: Karn: an ACK of what was sent twice measures nothing.
#[test]
fn karn() {
    let mut t = measured(ms(100));
    let before = t.info();
    t.write(b"x");
    t.expect(data(b"x").seq(1));
    t.expect_within(secs(2), data(b"x").seq(1));
    t.advance(ms(5));
    t.send(ack());
    let after = t.info();
    assert_eq!((after.srtt, after.rttvar), (before.srtt, before.rttvar));
}

/// 7323-15 6298-6: with time stamps the retransmission is measured after all, by TSecr.
#[test]
fn timestamps_measure_retransmissions() {
    let mut t = Tester::new();
    t.establish_active(synack().mss(1460).ts(7, 0).ack(1));
    t.write(b"x");
    t.expect(data(b"x"));
    let again = t.expect_within(secs(5), data(b"x"));
    t.advance(ms(70));
    let now = t.peer_tsval();
    t.send(ack().ts(now, again.ts.expect("time stamps").0));
    // The handshake measured zero; an eighth of 70 ms is added to that.
    let srtt = t.info().srtt.expect("measured");
    assert!((ms(8)..=ms(9)).contains(&srtt), "SRTT {srtt:?}");
}

/// MUST-19 MUST-20 6298-5 6298-9: the RTO doubles with each time-out, up to its cap, and the first segment is what is
/// sent again.
#[test]
fn backoff() {
    // The same segment each time: nobody asks whether the path carries it.
    let mut t = measured_with(ms(300), |c| c.tcp.mtu_probing = tunstack::stack::MtuProbing::Off);
    t.write(&pattern(0..3000));
    t.drain();
    let mut expected = ms(900);
    for _ in 0..10 {
        t.expect_between(expected, expected + ms(5), full(1460).seq(1));
        t.drain();
        expected = (expected * 2).min(secs(120));
    }
}

/// 6298-9: an ACK of new data ends the back-off.
#[test]
fn backoff_ends() {
    let mut t = measured(ms(300));
    t.write(b"x");
    t.expect(data(b"x"));
    for _ in 0..4 {
        t.expect_within(secs(60), data(b"x"));
    }
    assert_eq!(t.info().backoff, 4);
    t.send(ack());
    assert_eq!(t.info().backoff, 0);
    t.write(b"y");
    t.expect(data(b"y"));
    // RFC 6298 lets the backed-off value stand until a measurement is made on new data.
    t.advance(ms(300));
    t.send(ack());
    assert!(t.info().rto <= ms(1000), "RTO {:?}", t.info().rto);
}

/// 6298-8: the timer runs if and only if something is outstanding.
#[test]
fn timer_runs_with_data_outstanding() {
    let mut t = measured(ms(100));
    assert_eq!(t.stack.deadline(), None);
    t.write(b"x");
    t.drain();
    assert!(t.stack.deadline().is_some());
    t.send(ack());
    // A lazy entry may remain; nothing comes of it.
    t.expect_nothing_for(secs(100));
    assert_eq!(t.stack.deadline(), None);
}

/// 6298-7: nothing is sent again earlier than an RTO after it was sent last; an ACK of new data restarts the timer.
#[test]
fn timer_restarts_on_new_acks() {
    let mut t = measured(ms(300));
    t.write(&pattern(0..2920));
    t.drain();
    t.advance(ms(300));
    t.send(ack().ack(1461));
    let rto = t.info().rto;
    t.expect_between(rto, rto + ms(5), full(1460).seq(1461));
}

/// 6298-10: a SYN that had to be sent again: RTO is at least 3 s when data starts.
#[test]
fn rto_after_a_lost_syn() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    t.expect_within(secs(2), syn());
    t.send(synack().mss(1460));
    t.expect(ack());
    t.write(b"x");
    t.expect(data(b"x"));
    t.expect_between(ms(3000), ms(3010), data(b"x"));
}

/// MUST-20 SHLD-9 SHLD-10 SHLD-11: R1 is three retransmissions, and the application can see it; R2 is at least 100 s,
/// and then the connection is closed with TimedOut.
#[test]
fn r1_and_r2() {
    let mut t = measured(ms(50));
    t.write(b"into the void");
    t.expect(data(b"into the void"));
    let start = t.now();
    let mut sent = 0;
    while t.state() == State::Established {
        t.wait(secs(200));
        sent += t.drain().iter().filter(|p| !p.text.is_empty()).count();
        if sent == 3 {
            assert!(t.info().backoff >= 3, "R1 shows in the connection's numbers");
        }
        assert!(sent <= 15, "R2 is 15");
    }
    assert_eq!(sent, 15);
    let took = t.now().since(start);
    assert!(took >= secs(100) && took <= secs(1500), "gave up after {took:?}");
    assert_eq!(t.take_error(), Some(Error::TimedOut));
    t.expect_eof();
}

/// MUST-21: the application sets its own limit.
#[test]
fn user_timeout() {
    let mut t = measured(ms(50));
    t.set(|o| o.user_timeout = Some(secs(5)));
    t.write(b"x");
    let start = t.now();
    t.advance(ms(4900));
    t.expect_state(State::Established);
    while t.state() == State::Established && t.now().since(start) < secs(20) {
        t.advance(ms(100));
    }
    let took = t.now().since(start);
    assert!((secs(5)..=secs(7)).contains(&took), "gave up after {took:?}");
    assert_eq!(t.take_error(), Some(Error::TimedOut));
}

/// MUST-21: and the limit may be a long one.
#[test]
fn long_user_timeout() {
    let mut t = measured(ms(50));
    t.set(|o| o.user_timeout = Some(hours(10)));
    t.write(b"x");
    t.advance(hours(9));
    t.expect_state(State::Established);
    t.advance(hours(2));
    t.expect_state(State::Closed);
}

/// MUST-22 MUST-23: a SYN is retried with back-off for at least 3 minutes.
#[test]
fn syn_gives_up_after_three_minutes() {
    let mut t = Tester::new();
    t.connect();
    let start = t.expect(syn()).at;
    let mut gaps = Vec::new();
    let mut last = start;
    while t.state() == State::SynSent {
        t.wait(secs(300));
        for p in t.drain() {
            assert_eq!(p.flags, SYN);
            gaps.push(p.at.since(last).as_secs());
            last = p.at;
        }
    }
    assert_eq!(gaps, [1, 2, 4, 8, 16, 32, 64], "seven retries, doubling");
    let took = t.now().since(start);
    assert!(took >= secs(180), "gave up after {took:?}");
    assert_eq!(t.take_error(), Some(Error::TimedOut));
}

/// MUST-22: the user time-out holds for the SYN too.
#[test]
fn syn_with_user_timeout() {
    let mut t = Tester::new();
    t.connect_with(|o| o.user_timeout = Some(secs(10)));
    t.advance(secs(9));
    t.expect_state(State::SynSent);
    t.advance(secs(11));
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::TimedOut));
}

/// attack-52: one SYN gets at most six SYN,ACKs, and then nothing is left of it.
#[test]
fn synacks_are_bounded() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460));
    t.advance(secs(600));
    let sent = t.drain();
    assert!(sent.iter().all(|p| p.flags == SYN | ACK));
    assert_eq!(sent.len(), 6);
    t.expect_state(State::Closed);
    assert_eq!(t.stack.deadline(), None);
}

/// Appendix A 017: after an RTO a bare ACK and the RST of an abort still carry SND.NXT, not the rewound number.
#[test]
fn acks_after_an_rto_carry_snd_nxt() {
    let mut t = measured(ms(50));
    t.write(&pattern(0..2920));
    t.drain();
    t.advance(ms(400));
    t.expect(full(1460).seq(1));
    t.drain();
    t.send(data(b"query").seq(1).ack(1));
    let mut answered = t.drain();
    if answered.is_empty() {
        t.wait(ms(40));
        answered = t.drain();
    }
    let bare: Vec<i64> = answered.iter().filter(|p| p.text.is_empty()).map(|p| t.rel_seq(p)).collect();
    assert_eq!(bare, [2921]);
    t.abort();
    t.expect(reset().seq(2921));
}
