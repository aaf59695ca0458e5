//! RFC 3168: explicit congestion notification.

use crate::support::*;
use tunstack::stack::Ecn;

const ECE: u8 = 0x40;
const CWR: u8 = 0x80;
/// ECN's bits of the IP header.
const NOT_ECT: u8 = 0;
const ECT0: u8 = 2;
const CE: u8 = 3;

const fn ecn(p: &Packet) -> u8 {
    p.tos & 3
}

/// The next packet, which is a bare ACK.
fn bare(t: &mut Tester) -> Packet {
    let p = t.next().expect("an ACK");
    assert!(p.text.is_empty(), "{p}");
    p
}

/// A connection to a peer that asked for ECN, and whose window is no limit.
fn established() -> Tester {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460).ws(7).wnd(65_535).with(ECE | CWR));
    let answer = t.next().expect("a SYN,ACK");
    assert!(answer.has(ECE) && !answer.has(CWR), "an ECN-setup SYN,ACK");
    assert_eq!(ecn(&answer), NOT_ECT, "a SYN,ACK is not ECN-capable");
    t.send(ack().wnd(60_000));
    t.accept();
    assert!(t.info().ecn);
    t
}

/// Ten full segments in flight.
fn in_flight() -> Tester {
    let mut t = established();
    t.write(&pattern(0..250_000));
    let sent = t.drain();
    assert_eq!(sent.len(), 10);
    assert!(sent.iter().all(|p| ecn(p) == ECT0 && !p.has(CWR) && !p.has(ECE)), "new data is ECN-capable");
    t
}

/// 3168-3 SHLD-8: a SYN with ECN's bits is answered, whatever we think of ECN: with ECE alone if we take part, else with
/// neither; so is one with bits that make no ECN-setup SYN.
#[test]
fn a_syn_with_ecn_bits_is_always_answered() {
    for (mode, bits, agreed) in [
        (Ecn::Accept, ECE | CWR, true),
        (Ecn::Request, ECE | CWR, true),
        (Ecn::Off, ECE | CWR, false),
        (Ecn::Accept, ECE, false),
        (Ecn::Accept, CWR, false),
        (Ecn::Accept, 0, false),
    ] {
        let mut t = Tester::with(|c| c.tcp.ecn = mode);
        t.listen(80);
        t.send(syn().mss(1460).with(bits));
        let answer = t.next().expect("a SYN,ACK");
        assert_eq!((answer.has(ECE), answer.has(CWR)), (agreed, false), "{mode:?} {bits:#x}");
        t.send(ack());
        t.accept();
        assert_eq!(t.info().ecn, agreed);
        t.write(b"hello");
        assert_eq!(ecn(&t.expect(data(b"hello"))), if agreed { ECT0 } else { NOT_ECT });
    }
}

/// 3168-3: SYN cookies remember nothing of it, and say so.
#[test]
fn a_cookie_does_without() {
    let mut t = Tester::with(|c| c.max_syn_queue = 0);
    t.listen(80);
    t.send(syn().mss(1460).with(ECE | CWR));
    let answer = t.next().expect("a cookie");
    assert!(!answer.has(ECE));
    t.send(ack());
    t.accept();
    assert!(!t.info().ecn);
}

/// 3168-4: a host that asks sends ECE and CWR; agreement is ECE alone. A SYN that has to be sent again asks for nothing.
#[test]
fn asking_for_it() {
    for (bits, agreed) in [(ECE, true), (ECE | CWR, false), (0, false)] {
        let mut t = Tester::with(|c| c.tcp.ecn = Ecn::Request);
        t.connect();
        let first = t.next().expect("a SYN");
        assert!(first.has(ECE) && first.has(CWR) && ecn(&first) == NOT_ECT);
        t.send(synack().mss(1460).with(bits));
        t.expect(ack());
        assert_eq!(t.info().ecn, agreed, "{bits:#x}");
    }
    let mut t = Tester::with(|c| c.tcp.ecn = Ecn::Request);
    t.connect();
    t.next().expect("a SYN");
    t.wait(secs(2));
    let second = t.next().expect("a SYN again");
    assert!(!second.has(ECE) && !second.has(CWR));
    t.send(synack().mss(1460).with(ECE));
    t.expect(ack());
    assert!(!t.info().ecn);
    // By default nobody is asked.
    let mut t = Tester::new();
    t.connect();
    let first = t.next().expect("a SYN");
    assert!(!first.has(ECE) && !first.has(CWR));
}

/// 3168-1 3168-7: neither what is sent again nor bare ACKs nor probes are ECN-capable.
#[test]
fn only_new_data_is_capable() {
    let mut t = in_flight();
    t.wait(secs(2));
    let again = t.next().expect("a retransmission");
    assert_eq!((t.rel_seq(&again), ecn(&again)), (1, NOT_ECT));
    t.send(data(b"text").wnd(60_000).tos(ECT0));
    t.wait(secs(1));
    for p in t.drain() {
        assert!(!p.text.is_empty() || ecn(&p) == NOT_ECT);
    }
    let mut t = established();
    t.send(ack().wnd(0));
    t.write(b"x");
    t.wait(secs(5));
    let probe = t.next().expect("a zero-window probe");
    assert_eq!(ecn(&probe), NOT_ECT);
}

/// 3168-5: a marked packet is echoed at once and with every ACK until the peer says CWR, and not longer.
#[test]
fn a_mark_is_echoed_until_it_is_heard() {
    let mut t = established();
    t.send(data(b"one").tos(CE));
    assert!(bare(&mut t).has(ECE), "at once");
    t.send(data(b"two").tos(ECT0));
    t.wait(secs(1));
    assert!(bare(&mut t).has(ECE), "still");
    t.send(data(b"three").with(CWR).tos(ECT0));
    t.wait(secs(1));
    assert!(!bare(&mut t).has(ECE));
    // The packet that says so may be marked itself.
    t.send(data(b"four").with(CWR).tos(CE));
    assert!(bare(&mut t).has(ECE));
    t.expect_read(b"onetwothreefour");
}

/// A mark on a packet without text, and on a connection that has not agreed on ECN, counts for nothing.
#[test]
fn other_marks_count_for_nothing() {
    let mut t = established();
    t.send(ack().tos(CE));
    t.send(data(b"x").tos(ECT0));
    t.wait(secs(1));
    assert!(!bare(&mut t).has(ECE));
    let mut t = Tester::new();
    t.establish();
    t.send(data(b"x").tos(CE));
    t.wait(secs(1));
    assert!(!bare(&mut t).has(ECE));
    t.write(&pattern(0..5000));
    t.drain();
    t.send(ack().ack(1461).with(ECE));
    assert_eq!((t.stack.stats().tcp.ecn_reductions, t.info().ssthresh), (0, u32::MAX));
}

/// 3168-2: the first echo reduces the window, the others of the same window do not; the next new data says CWR, once.
#[test]
fn an_echo_counts_once_a_window() {
    let mut t = in_flight();
    let mut said = Vec::new();
    let flight = t.info().in_flight;
    for n in 1..=10 {
        t.send(ack().ack(1 + 1460 * n).wnd(60_000).with(ECE));
        said.extend(t.drain());
    }
    let reduced = t.info().ssthresh;
    assert!(reduced < flight && reduced >= flight / 2, "{reduced} of {flight}");
    assert_eq!(t.stack.stats().tcp.ecn_reductions, 1);
    assert_eq!(said.iter().filter(|p| p.has(CWR)).count(), 1, "CWR is said once");
    assert!(said[0].has(CWR), "by the first new segment");
    assert_eq!(t.stack.stats().tcp.retransmits, 0);
    // An echo in the next window counts again.
    let end = t.stack_end();
    t.send(ack().ack(end).wnd(60_000));
    t.drain();
    t.send(ack().ack(end + 1460).wnd(60_000).with(ECE));
    assert_eq!(t.stack.stats().tcp.ecn_reductions, 2);
    assert!(t.info().ssthresh < reduced);
}

/// 3168-6 9438-6: echoes take the window down to one segment, and then its rate: one segment for each retransmission
/// time-out.
#[test]
fn with_one_segment_the_rate_falls() {
    let mut t = in_flight();
    let mut last = t.now();
    for _ in 0..40 {
        let end = t.stack_end();
        t.send(ack().ack(end).wnd(60_000).with(ECE));
        if t.drain().is_empty() {
            last = t.now();
            t.wait(secs(10));
            if !t.drain().is_empty() {
                break;
            }
        }
    }
    assert_eq!(t.info().cwnd, 1460);
    let waited = t.now().since(last);
    assert!(waited >= ms(200), "{waited:?}");
}

/// 3168-10: an ACK that echoes a mark grows no window, in slow start either.
#[test]
fn an_echo_grows_no_window() {
    let mut t = in_flight();
    let before = t.info().cwnd;
    t.send(ack().ack(1461).wnd(60_000).with(ECE));
    let reduced = t.info().cwnd;
    assert!(reduced < before);
    for n in 2..=10 {
        t.send(ack().ack(1 + 1460 * n).wnd(60_000).with(ECE));
        assert!(t.info().cwnd <= reduced, "{} after {reduced}", t.info().cwnd);
    }
}

/// 3168-11: CWR goes with new data, not with what is sent again.
#[test]
fn what_goes_again_says_no_cwr() {
    let mut t = established();
    t.write(&pattern(0..14_600));
    assert_eq!(t.drain().len(), 10);
    t.send(ack().ack(1461).wnd(60_000).with(ECE));
    assert_eq!(t.stack.stats().tcp.ecn_reductions, 1);
    t.wait(secs(5));
    let again = t.drain();
    assert!(!again.is_empty() && again.iter().all(|p| !p.has(CWR)), "a retransmission");
    let end = t.stack_end();
    t.send(ack().ack(end).wnd(60_000));
    t.write(&pattern(14_600..16_060));
    assert!(t.next().expect("new data").has(CWR));
}

/// 3168-12: a mark on what is outside the window counts for nothing.
#[test]
fn marks_outside_the_window_count_for_nothing() {
    let mut t = established();
    t.send(data(b"one").tos(ECT0));
    t.advance(secs(1));
    t.drain();
    t.send(data(b"one").seq(1).tos(CE));
    assert!(!bare(&mut t).has(ECE), "an old segment");
    t.send(data(b"x").seq(10_000_000).tos(CE));
    t.advance(secs(1));
    assert!(t.drain().iter().all(|p| !p.has(ECE)), "one beyond the window");
    t.send(data(b"two").seq(4).tos(CE));
    assert!(bare(&mut t).has(ECE));
}
