//! RFC 9293 3.4.1, RFC 6528, RFC 6056: initial sequence numbers and ephemeral ports.

use crate::support::*;
use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Opens a connection and gives the SYN.
fn dial(t: &mut Tester, local_port: u16, remote: SocketAddrV4) -> Packet {
    let local = wire_addr(SocketAddrV4::new(LOCAL, local_port));
    let options = t.stack.default_tcp_options();
    let now = t.now();
    let id = t.stack.tcp_connect(now, Some(local), wire_addr(remote), options).expect("connect");
    t.pull();
    let packet = match t.next() {
        Some(packet) => packet,
        None => t.stray().expect("a SYN"),
    };
    assert_eq!(packet.flags, SYN);
    t.use_conn(id);
    t.abort();
    packet
}

const REMOTE: SocketAddrV4 = SocketAddrV4::new(PEER, 443);

/// MUST-8: for one 4-tuple the ISN is a clock that ticks every 4 us.
#[test]
fn isn_follows_the_clock() {
    let mut t = Tester::new();
    let first = dial(&mut t, 5000, REMOTE);
    for passed in [ms(1), ms(250), secs(1), secs(3600)] {
        t.advance(passed);
        let next = dial(&mut t, 5000, REMOTE);
        let ticks = next.at.since(first.at).as_micros() / 4;
        let off = next.seq.wrapping_sub(first.seq).wrapping_sub(ticks as u32) as i32;
        assert!(off.abs() <= 1, "off by {off} ticks after {passed:?}");
    }
}

/// MUST-9: another start, another secret: the same 4-tuple at the same time has unrelated ISNs.
#[test]
fn isn_depends_on_the_secret() {
    let isns: HashSet<u32> = (0..64).map(|seed| dial(&mut Tester::with_seed(seed, |_| {}), 5000, REMOTE).seq).collect();
    assert_eq!(isns.len(), 64);
    assert_bits_are_even(isns.iter().copied().collect());
}

/// SHLD-1 6528-1 attack-7: the ISNs of other 4-tuples are unrelated: every bit is even, also of the differences.
#[test]
fn isns_of_other_connections_are_independent() {
    let mut t = Tester::new().without_timer_check();
    let isns: Vec<u32> = (0..8192u32)
        .map(|i| {
            let remote = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 3 + (i % 200) as u8), 1 + (i / 200) as u16);
            dial(&mut t, 5000, remote).seq
        })
        .collect();
    assert_bits_are_even(isns.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect());
    assert_bits_are_even(isns);
}

/// Each bit is set in about half of the numbers: within five standard deviations.
fn assert_bits_are_even(numbers: Vec<u32>) {
    let n = numbers.len() as f64;
    for bit in 0..32 {
        let set = numbers.iter().filter(|x| *x & (1 << bit) != 0).count() as f64;
        assert!((set - n / 2.0).abs() < 5.0 * n.sqrt() / 2.0, "bit {bit} is set in {set} of {n}");
    }
}

/// MUST-8 attack-50: an ISN just before the wrap, in both directions, is no trouble at any offset.
#[test]
fn sequence_numbers_wrap() {
    for before in [0u32, 1, 2, 5, 99, 1460, 20_000] {
        let mut t = Tester::new();
        t.peer_iss(u32::MAX - before);
        t.establish();
        for i in 0..20 {
            t.send(full(1460));
            t.drain();
            assert_eq!(t.read_all(), pattern(i * 1460..(i + 1) * 1460));
        }
        t.advance(ms(40));
        t.send(fin());
        t.expect_within(ms(40), ack());
        t.expect_eof();
    }
    // The stack's own numbers wrap too: wait until its clock is there.
    let mut t = Tester::new();
    t.connect();
    let iss = t.expect(syn()).seq;
    t.abort();
    let ticks = u32::MAX - iss - 2000;
    let port = t.local().port();
    t.advance(core::time::Duration::from_micros(u64::from(ticks) * 4));
    let first = dial(&mut t, port, SocketAddrV4::new(PEER, 80));
    assert!(first.seq > u32::MAX - 2100, "{} should be near the wrap", first.seq);
    let (options, now) = (t.stack.default_tcp_options(), t.now());
    let (local, remote) = (wire_addr(SocketAddrV4::new(LOCAL, port)), t.remote());
    let id = t.stack.tcp_connect(now, Some(local), remote, options).expect("connect");
    t.use_conn(id);
    t.pull();
    t.drain();
    t.send(synack().mss(1000));
    t.expect(ack().seq(1));
    t.write(&pattern(0..9000));
    let got: Vec<u8> = t.drain().into_iter().flat_map(|p| p.text).collect();
    assert_eq!(got, pattern(0..9000));
    t.send(ack());
    assert_eq!(t.info().in_flight, 0);
}

/// 6056-1 6056-2 attack-8: ephemeral ports spread over the whole range and do not follow each other.
#[test]
fn ephemeral_ports_are_unpredictable() {
    let mut t = Tester::new().without_timer_check();
    let ports: Vec<u16> = (0..4096)
        .map(|_| {
            let (now, options) = (t.now(), t.stack.default_tcp_options());
            let id = t.stack.tcp_connect(now, None, wire_addr(REMOTE), options).expect("connect");
            let port = t.stack.tcp_local_addr(id).expect("an address").port();
            t.stack.tcp_abort(now, id).expect("abort");
            port
        })
        .collect();
    assert!(ports.iter().all(|p| *p >= 1024));
    assert!(ports.iter().any(|p| *p < 3000) && ports.iter().any(|p| *p > 63_000), "the whole range is used");
    let steps: HashSet<u16> = ports.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    // Random steps of 16 bits: about 3,970 of 4,096 differ. A counter would show a handful.
    assert!(steps.len() > 3800, "only {} different steps", steps.len());
}
