//! RFC 9293 3.9.2.2, RFC 5927: TCP and what routers say by ICMP.

use crate::support::*;
use tunstack::error::Error;
use tunstack::stack::Readiness;
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;

/// Codes of Destination Unreachable, and the other errors, that are soft: they never end a connection.
const SOFT: [(u8, u8); 8] = [(3, 0), (3, 1), (3, 5), (3, 11), (3, 12), (11, 0), (11, 1), (12, 0)];
/// Those that would be hard in SYN-SENT.
const HARD: [(u8, u8); 2] = [(3, 2), (3, 3)];

/// MUST-54 MUST-56 MUST-47 5927-1 5927-2 attack-34: whatever ICMP says of an established connection, it lives; the
/// application can ask for the error.
#[test]
fn icmp_errors_are_soft_when_synchronized() {
    for (kind, code) in SOFT.into_iter().chain(HARD).chain((0..16).filter(|c| *c != 4).map(|c| (3, c))) {
        let mut t = Tester::new();
        t.establish();
        t.write(b"data");
        let sent = t.expect(data(b"data"));
        t.send_icmp(kind, code, 0, &sent.quote(8));
        t.expect_nothing();
        t.expect_state(State::Established);
        t.send(data(b"reply").ack(5));
        t.expect_read(b"reply");
        t.expect_state(State::Established);
    }
}

/// MUST-47 SHLD-25: a soft error is reported when asked for, and is nothing to wake anybody for, who would find nothing to
/// do about it.
#[test]
fn soft_errors_are_reported() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"data");
    let sent = t.expect(data(b"data"));
    t.send_icmp(3, 1, 0, &sent.quote(8));
    t.expect_state(State::Established);
    assert!(!t.readiness().contains(Readiness::ERROR));
    assert_eq!(t.take_error(), Some(Error::HostUnreachable));
    assert_eq!(t.take_error(), None, "once");
    t.expect_state(State::Established);
}

/// What a router said of a segment is over when that has arrived all the same.
#[test]
fn soft_errors_are_over_with_progress() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"data");
    let sent = t.expect(data(b"data"));
    t.send_icmp(3, 1, 0, &sent.quote(8));
    t.send(ack().ack(5));
    assert_eq!((t.take_error(), t.readiness().contains(Readiness::ERROR)), (None, false));
    // Nor is it what ends the connection later.
    t.write(b"more");
    t.advance(hours(1));
    t.expect_state(State::Closed);
    assert!(t.readiness().contains(Readiness::ERROR));
    assert_eq!(t.take_error(), Some(Error::TimedOut));
    // What was said of the handshake is over with it.
    let mut t = Tester::new();
    t.connect();
    let first = t.expect(syn());
    t.send_icmp(3, 1, 0, &first.quote(8));
    assert!(!t.readiness().contains(Readiness::ERROR));
    t.send(synack().mss(1460));
    t.expect(ack());
    assert_eq!(t.take_error(), None);
}

/// SHLD-20: no report disturbs an application that does not ask: reading and writing go on as before.
#[test]
fn soft_errors_disturb_no_call() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"data");
    let sent = t.expect(data(b"data"));
    t.send_icmp(3, 1, 0, &sent.quote(8));
    assert_eq!(t.try_read(1), Err(Error::WouldBlock));
    t.write(b"more");
    t.send(data(b"reply").ack(5));
    t.expect_read(b"reply");
}

/// SHLD-26: in SYN-SENT a hard error ends the attempt.
#[test]
fn hard_errors_in_syn_sent() {
    for ((kind, code), error) in HARD.into_iter().zip([Error::ProtocolUnreachable, Error::ConnectionRefused]) {
        let mut t = Tester::new();
        t.connect();
        let first = t.expect(syn());
        t.send_icmp(kind, code, 0, &first.quote(8));
        t.expect_nothing();
        t.expect_state(State::Closed);
        assert_eq!(t.take_error(), Some(error), "{kind}/{code}");
    }
}

/// MUST-56 SHLD-25: a soft one does not, but says why when the attempt fails in the end.
#[test]
fn soft_errors_in_syn_sent() {
    for (kind, code) in SOFT {
        let mut t = Tester::new();
        t.connect();
        let first = t.expect(syn());
        t.send_icmp(kind, code, 0, &first.quote(8));
        t.expect_state(State::SynSent);
        t.expect_within(secs(2), syn());
        t.send(synack().mss(1460));
        t.expect(ack());
        t.expect_state(State::Established);
    }
    let mut t = Tester::new();
    t.connect();
    let first = t.expect(syn());
    t.send_icmp(3, 1, 0, &first.quote(8));
    t.advance(hours(1));
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::HostUnreachable), "why, rather than that nobody answered");
}

/// MUST-54 5927-1: an error counts only if it quotes a number in flight, of exactly this connection.
#[test]
fn icmp_errors_are_matched() {
    let mut t = Tester::new();
    t.connect();
    let first = t.expect(syn());
    let original = first.quote(8);
    let change = |at: usize| {
        let mut quote = original.clone();
        quote[at] ^= 1;
        quote
    };
    // Source address, destination address, ports, sequence number, protocol.
    let tcp = headers() - 20;
    let (source, destination, protocol) = if tcp == 20 { (15, 19, 9) } else { (23, 39, 6) };
    for at in [source, destination, tcp + 1, tcp + 3, tcp + 4, tcp + 7, protocol] {
        t.send_icmp(3, 3, 0, &change(at));
        t.expect_state(State::SynSent);
    }
    t.send_icmp(3, 3, 0, &original[..tcp + 7]); // too short to tell
    t.expect_state(State::SynSent);
    assert!(t.dropped(DropReason::IcmpUnmatched) + t.dropped(DropReason::IcmpMalformed) >= 8);
    t.send_icmp(3, 3, 0, &original);
    t.expect_state(State::Closed);
}

/// 5927-1: the edges: SND.UNA counts, SND.NXT and what is before SND.UNA do not.
#[test]
fn icmp_sequence_edges() {
    for (seq, counts) in [(0, false), (1, true), (4, true), (5, false), (1_000_000, false)] {
        let mut t = Tester::new();
        t.establish();
        t.write(b"data");
        let sent = t.expect(data(b"data").seq(1));
        let mut quote = sent.quote(8);
        let at = headers() - 20 + 4;
        quote[at..at + 4].copy_from_slice(&t.stack_iss().wrapping_add(seq).to_be_bytes());
        t.send_icmp(3, 1, 0, &quote);
        let unmatched = t.dropped(DropReason::IcmpUnmatched);
        assert_eq!(unmatched == 0, counts, "sequence number {seq}");
        t.expect_state(State::Established);
    }
}
