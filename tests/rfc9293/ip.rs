//! RFC 9293 3.9.2: TCP and IPv4: options, addresses, Source Quench (RFC 6633).

use crate::support::*;
use std::net::{Ipv4Addr, SocketAddrV4};
use tunstack::stats::{Disposition, DropReason};

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
