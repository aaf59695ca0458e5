//! RFC 9293 3.8.4: keep-alive.

use crate::support::*;
use tunstack::error::Error;
use tunstack::stack::Keepalive;
use tunstack::tcp::state::State;

fn kept(keepalive: Keepalive) -> Tester {
    let mut t = Tester::new();
    t.establish();
    t.set(|o| o.keepalive = Some(keepalive));
    t
}

/// MUST-25: it is off by default: an idle connection is silent, and lives.
#[test]
fn off_by_default() {
    let mut t = Tester::new();
    t.establish();
    assert_eq!(t.stack.default_tcp_options().keepalive, None);
    t.expect_nothing_for(hours(100));
    t.expect_state(State::Established);
}

/// MUST-24 MUST-28 SHLD-12 MAY-5 MAY-6: once switched on, the first probe comes after 2 hours; it carries no data and
/// the number before SND.NXT.
#[test]
fn first_probe() {
    let mut t = kept(Keepalive::default());
    t.expect_between(hours(2), hours(2) + ms(10), ack().seq(0).ack(1));
    t.send(ack());
    t.expect_between(hours(2), hours(2) + ms(10), ack().seq(0).ack(1));
}

/// MUST-24: and off again.
#[test]
fn switched_off() {
    let mut t = kept(Keepalive { idle: secs(10), interval: secs(5), count: 3 });
    t.advance(secs(9));
    t.set(|o| o.keepalive = None);
    t.expect_nothing_for(hours(3));
    t.expect_state(State::Established);
}

/// MUST-27 MUST-29: the times are settings; a lost probe is not death, `count` of them are.
#[test]
fn unanswered_probes() {
    let mut t = kept(Keepalive { idle: secs(10), interval: secs(5), count: 4 });
    t.expect_between(secs(10), secs(10) + ms(10), ack().seq(0));
    for _ in 0..3 {
        t.expect_state(State::Established);
        t.expect_between(secs(5), secs(5) + ms(10), ack().seq(0));
    }
    t.send(ack()); // the fourth was answered: all is well
    t.expect_nothing_for(secs(9));
    t.expect_state(State::Established);
    for _ in 0..4 {
        t.expect_within(secs(10), ack().seq(0));
    }
    t.expect_state(State::Established);
    t.advance(secs(5) + ms(10));
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::TimedOut));
}

/// MUST-26: no probe while data is outstanding or the connection is in use.
#[test]
fn only_when_idle() {
    let mut t = kept(Keepalive { idle: secs(10), interval: secs(5), count: 4 });
    for _ in 0..10 {
        t.advance(secs(8));
        t.send(data(b"x"));
        t.advance(ms(40));
        for p in t.drain() {
            assert_eq!(t.rel_seq(&p), 1, "an ACK, not a probe");
        }
    }
    t.read_all();
    t.drain();
    t.write(b"unanswered");
    t.drain();
    t.advance(secs(60));
    for p in t.drain() {
        assert_eq!(p.text, b"unanswered", "retransmissions, not probes");
    }
}

/// A RST in answer to the probe ends the connection.
#[test]
fn probe_answered_by_reset() {
    let mut t = kept(Keepalive { idle: secs(10), interval: secs(5), count: 4 });
    t.expect_within(secs(11), ack().seq(0));
    t.send(rst().seq(1));
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::ConnectionReset));
}

/// attack-5: a peer's keep-alive probe is always answered, also many of them at the rate that peers send.
#[test]
fn the_peers_probes_are_answered() {
    let mut t = Tester::new();
    t.establish();
    for _ in 0..20 {
        t.advance(secs(1));
        t.send(ack().seq(0));
        t.expect(ack().seq(1).ack(1));
    }
    t.advance(secs(1));
    t.send(data(b"\0").seq(0)); // with the garbage byte of old stacks
    t.expect(ack().seq(1).ack(1));
    t.expect_read(b"");
}
