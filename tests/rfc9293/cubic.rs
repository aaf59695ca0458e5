//! RFC 9438 and 9406 on the wire: the default control.

use crate::support::*;
use tunstack::stack::Congestion;

const MSS: u32 = 1460;

/// `n` full segments in flight, over a round trip of 10 ms.
fn in_flight(n: usize) -> Tester {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).ws(7).wnd(65_535));
    t.send(ack().wnd(60_000));
    t.write(&pattern(0..250_000));
    let mut flying = t.drain();
    while flying.len() < n {
        t.advance(ms(10));
        for p in core::mem::take(&mut flying) {
            t.send(ack().ack(t.rel_seq(&p) + 1460).wnd(60_000));
            flying.extend(t.drain());
        }
        t.advance(ms(10));
        flying.extend(t.drain());
    }
    t
}

/// 9438-9 MAY-18: CUBIC is the default, and begins with slow start.
#[test]
fn the_default_control() {
    let t = in_flight(20);
    let info = t.info();
    assert_eq!(info.congestion, "cubic");
    assert!(info.congestion_phase.ends_with("slow-start"), "{}", info.congestion_phase);
    assert!(info.cwnd >= 20 * MSS && info.ssthresh == u32::MAX);
}

/// 9406-5 attack-19: dividing ACKs gains nothing, and one ACK for all makes no burst of more than eight segments.
#[test]
fn acks_are_counted_by_bytes() {
    let mut t = in_flight(20);
    let (una, before) = (t.stack_end() - i64::from(t.info().in_flight), t.info().cwnd);
    for i in 1..=1460 {
        t.send(ack().ack(una + i).wnd(60_000));
    }
    assert!(t.info().cwnd <= before + MSS);
    let before = t.info().cwnd;
    let mut t2 = Tester::new();
    t2.establish_with(syn().mss(1460).ws(7).wnd(65_535));
    t2.send(ack().wnd(60_000));
    t2.write(&pattern(0..250_000));
    t2.drain();
    let (end, cwnd) = (t2.stack_end(), t2.info().cwnd);
    t2.send(ack().ack(end).wnd(60_000));
    assert!(t2.info().cwnd <= cwnd + 8 * MSS, "{} from {cwnd}; {before}", t2.info().cwnd);
}

/// attack-19: ACKs of what was not sent move nothing.
#[test]
fn optimistic_acks() {
    let mut t = in_flight(20);
    let before = t.info();
    for i in 0..100 {
        let beyond = t.stack_end() + 1 + 1460 * i;
        t.send(ack().ack(beyond).wnd(60_000));
    }
    let info = t.info();
    assert_eq!((info.cwnd, info.in_flight, info.bytes_acked), (before.cwnd, before.in_flight, before.bytes_acked));
}

/// A connection changes its control while it runs, and goes on from the same window.
#[test]
fn another_control_on_the_way() {
    let mut t = in_flight(20);
    let cwnd = t.info().cwnd;
    for choice in Congestion::ALL {
        t.set(|o| o.congestion = choice);
        assert_eq!((t.info().congestion, t.info().cwnd), (choice.name(), cwnd));
    }
}
