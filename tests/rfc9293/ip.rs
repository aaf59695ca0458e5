//! RFC 9293 3.9.2: TCP and the IP layer: options, addresses, ICMP (RFC 5927, RFC 6633).

use crate::support::*;
use std::net::{Ipv4Addr, SocketAddrV4};
use tunstack::error::Error;
use tunstack::stack::Readiness;
use tunstack::stats::{Disposition, DropReason};
use tunstack::tcp::state::State;

/// MUST-50: IP options that TCP does not know change nothing.
#[test]
fn ip_options_are_ignored() {
    let options: [&[u8]; 5] = [
        &[7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0],     // record route
        &[68, 12, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0], // time stamp
        &[148, 4, 0, 0],                         // router alert
        &[136, 4, 0, 1],                         // stream id
        &[200, 4, 9, 9, 1, 1, 0],                // unknown
    ];
    for option in options {
        let mut t = Tester::new();
        t.listen(80);
        t.send(syn().mss(1460).ip_options(option));
        t.expect(synack().ack(1));
        t.send(ack().ip_options(option));
        t.accept();
        t.send(data(b"text").ip_options(option));
        t.expect_read(b"text");
    }
}

/// A source-routed packet is dropped and counted (the exception to MUST-53).
#[test]
fn source_routes_are_refused() {
    for kind in [131, 137] {
        let mut t = Tester::new();
        t.listen(80);
        t.send(syn().mss(1460).ip_options(&[kind, 7, 8, 198, 51, 100, 7]));
        t.expect_nothing();
        assert_eq!(t.dropped(DropReason::IpSourceRoute), 1);
    }
}

/// MUST-57 1122-49: a SYN to a broadcast or multicast address is dropped without an answer.
#[test]
fn syn_to_broadcast_or_multicast() {
    for dst in [Ipv4Addr::BROADCAST, Ipv4Addr::new(192, 0, 2, 255), Ipv4Addr::new(224, 0, 0, 1)] {
        for port in [80, 81] {
            let mut t = Tester::new();
            t.listen(80);
            t.new_flow(1000, port);
            let became = t.send(syn().mss(1460).dst(dst));
            assert!(matches!(became, Disposition::Dropped(_)), "{dst}: {became:?}");
            t.expect_nothing_for(secs(5));
        }
    }
}

/// MUST-63 1122-6: a SYN from an address that no single host has is dropped without an answer.
#[test]
fn syn_from_an_invalid_source() {
    for src in [
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(192, 0, 2, 255),
        Ipv4Addr::new(224, 0, 0, 9),
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(0, 1, 2, 3),
        Ipv4Addr::LOCALHOST,
        Ipv4Addr::new(127, 9, 9, 9),
        Ipv4Addr::new(240, 0, 0, 1),
        LOCAL,
    ] {
        for port in [80, 81] {
            let mut t = Tester::new();
            t.listen(80);
            t.new_flow(1000, port);
            let became = t.send(syn().mss(1460).src(SocketAddrV4::new(src, 80)));
            assert_eq!(became, Disposition::Dropped(DropReason::MartianSource), "{src}");
            t.expect_nothing_for(secs(5));
        }
    }
}

/// A segment that is not addressed to us is dropped.
#[test]
fn segments_for_others() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().dst(Ipv4Addr::new(192, 0, 2, 99)));
    t.expect_nothing();
    assert_eq!(t.dropped(DropReason::NotForUs), 1);
}

/// 1122-12: TTL 1 and 0 do not matter at the destination.
#[test]
fn low_ttl_is_accepted() {
    for ttl in [0, 1] {
        let mut t = Tester::new();
        t.listen(80);
        t.send(syn().mss(1460).ttl(ttl));
        t.expect(synack());
    }
}

/// 6864-1: our identification field is not a counter that tells how much we send.
#[test]
fn ip_identification() {
    // A device that cuts counts up within what it cuts, as all do.
    let mut t = Tester::with(|c| c.offloads = tunstack::wire::Offloads::NONE);
    t.establish();
    t.write(&pattern(0..14_600));
    let ids: Vec<u16> = t.drain().iter().map(|p| p.ip_id).collect();
    let steps_of_one = ids.windows(2).filter(|w| w[1] == w[0].wrapping_add(1)).count();
    assert!(ids.len() >= 10 && steps_of_one < ids.len() / 2, "{ids:?}");
}

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

/// MUST-47 SHLD-25: a soft error is reported when asked for.
#[test]
fn soft_errors_are_reported() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"data");
    let sent = t.expect(data(b"data"));
    t.send_icmp(3, 1, 0, &sent.quote(8));
    t.expect_state(State::Established);
    assert!(t.readiness().contains(Readiness::ERROR));
    assert_eq!(t.take_error(), Some(Error::HostUnreachable));
    assert_eq!(t.take_error(), None, "once");
    t.expect_state(State::Established);
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
    for at in [15, 19, 21, 23, 24, 27, 9] {
        t.send_icmp(3, 3, 0, &change(at));
        t.expect_state(State::SynSent);
    }
    t.send_icmp(3, 3, 0, &original[..27]); // too short to tell
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
        quote[24..28].copy_from_slice(&t.stack_iss().wrapping_add(seq).to_be_bytes());
        t.send_icmp(3, 1, 0, &quote);
        let unmatched = t.dropped(DropReason::IcmpUnmatched);
        assert_eq!(unmatched == 0, counts, "sequence number {seq}");
        t.expect_state(State::Established);
    }
}

/// MUST-55 6633-1 attack-35: Source Quench does nothing.
#[test]
fn source_quench_is_ignored() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..50_000));
    let sent = t.drain();
    let before = t.info();
    for p in &sent {
        let became = t.send_icmp(4, 0, 0, &p.quote(8));
        assert_eq!(became, Disposition::Dropped(DropReason::IcmpSourceQuench));
    }
    t.expect_nothing();
    let after = t.info();
    assert_eq!(
        (after.cwnd, after.ssthresh, after.in_flight, after.state),
        (before.cwnd, before.ssthresh, before.in_flight, before.state)
    );
    assert_eq!(t.take_error(), None);
}
