//! RFC 6191: whether a SYN may end a TIME-WAIT, by time stamps and sequence numbers; one test for each row of its section 2.

use crate::support::*;
use tunstack::tcp::state::State;

/// A connection in TIME-WAIT, with time stamps or without. Gives the last time stamp of the peer.
fn waiting(timestamps: bool) -> (Tester, u32) {
    let mut t = Tester::new();
    let first = syn().mss(1460);
    let value = t.peer_tsval();
    t.establish_with(if timestamps { first.ts(value, 0) } else { first });
    t.shutdown_write();
    t.expect(fin().seq(1));
    t.send(ack().ack(2));
    let last = t.peer_tsval();
    t.send(fin().ack(2));
    t.expect_within(ms(500), ack().ack(2));
    t.expect_state(State::TimeWait);
    t.close();
    (t, last)
}

/// Whether `segment` opens a connection anew.
#[track_caller]
fn opens(t: &mut Tester, segment: Seg) -> bool {
    t.send(segment);
    let answer = t.next();
    match t.state() {
        State::SynReceived => {
            assert!(answer.is_some_and(|p| p.has(SYN) && p.has(ACK)), "a SYN,ACK");
            true
        }
        State::TimeWait => {
            // RFC 9293 3.10.7.4: a challenge ACK, where RFC 6191 drops it silently.
            assert!(answer.is_none_or(|p| p.flags == ACK), "an ACK at most");
            false
        }
        other => panic!("{other}"),
    }
}

/// SHLD-4 6191-1 6191-2 6191-4: both connections have time stamps: a larger one opens whatever the number, an equal one
/// only beyond the old FIN's number, a smaller one never.
#[test]
fn by_the_time_stamp() {
    for (step, seq, fresh) in [
        (1, 100_000, true),
        (1, -100_000, true),
        (1 << 30, -100_000, true),
        (0, 2, true),
        (0, 100_000, true),
        (0, 1, false),
        (0, -100_000, false),
        (-1, 100_000, false),
        (-1, -100_000, false),
    ] {
        let (mut t, last) = waiting(true);
        t.advance(ms(1));
        let value = last.wrapping_add_signed(step);
        let segment = syn().mss(1460).seq(seq).ts(value, 0);
        assert_eq!(opens(&mut t, segment), fresh, "a time stamp {step} later, number {seq}");
    }
}

/// SHLD-4 6191-3 6191-4: the old connection had time stamps and the new one has none: the number decides.
#[test]
fn without_time_stamps_now() {
    for (seq, fresh) in [(2, true), (100_000, true), (1, false), (-100_000, false)] {
        let (mut t, _) = waiting(true);
        assert_eq!(opens(&mut t, syn().mss(1460).seq(seq)), fresh, "number {seq}");
    }
}

/// SHLD-4 6191-5: only the new connection has time stamps: it opens whatever its number, if we take part.
#[test]
fn with_time_stamps_now() {
    for seq in [100_000, 1, -100_000] {
        let (mut t, last) = waiting(false);
        assert!(opens(&mut t, syn().mss(1460).seq(seq).ts(last, 0)), "number {seq}");
    }
    let mut t = Tester::with(|c| c.tcp.timestamps = false);
    t.reach(State::TimeWait);
    t.close();
    assert!(!opens(&mut t, syn().mss(1460).seq(-100_000).ts(7, 0)), "without them here the number decides");
}

/// MAY-2 6191-6 6191-4: neither has: the number decides.
#[test]
fn without_time_stamps_at_all() {
    for (seq, fresh) in [(2, true), (100_000, true), (1, false), (-100_000, false)] {
        let (mut t, _) = waiting(false);
        assert_eq!(opens(&mut t, syn().mss(1460).seq(seq)), fresh, "number {seq}");
    }
}

/// SHLD-4 6191-7: time stamps grow from one connection to the next between the same two ends, so that the other end can do
/// the same for us.
#[test]
fn our_time_stamps_grow_between_connections() {
    let mut t = Tester::new();
    let mut last = None;
    for _ in 0..3 {
        let value = t.peer_tsval();
        t.peer_iss(7_000);
        t.establish_with(syn().mss(1460).ts(value, 0));
        let now = t.last_tsval();
        assert!(last.is_none_or(|last| now.wrapping_sub(last) < 1 << 31 && now != last), "{now} after {last:?}");
        last = Some(now);
        t.abort();
        t.drain();
        t.advance(ms(5));
    }
}
