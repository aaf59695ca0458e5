//! Floods at the SYN gate.

use crate::support::*;
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use tunstack::buf::Slice;
use tunstack::stack::{SynGateId, SynRequest};
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;
use tunstack::wire::RxFrame;

const ELSEWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 443);

fn gate(change: impl FnOnce(&mut tunstack::stack::Config)) -> (Tester, SynGateId) {
    let mut t = Tester::with(|c| {
        c.any_address = true;
        change(c);
    })
    .without_timer_check();
    let options = t.stack.default_tcp_options();
    let id = t.stack.syn_gate_open(options).unwrap();
    t.new_flow_to(SocketAddrV4::new(PEER, 1000), ELSEWHERE);
    (t, id)
}

/// A SYN from whomever, to be sent many times.
fn template(t: &mut Tester) -> Vec<u8> {
    t.packet(&syn().mss(1460).ws(7).sack_ok().ts(1, 0))
}

/// The SYN of the host with number `n`.
fn arrives(t: &mut Tester, frame: &mut [u8], source: Ipv4Addr, port: u16) {
    frame[12..16].copy_from_slice(&source.octets());
    frame[20..22].copy_from_slice(&port.to_be_bytes());
    crate::bytes::fix(frame);
    let now = t.now();
    t.stack.on_frame(now, RxFrame::plain(Slice::copy_of(frame)));
}

fn forged(n: u32) -> Ipv4Addr {
    // No two alike, in no order.
    Ipv4Addr::from_bits(0x0b00_0000 + n.wrapping_mul(2_654_435_761) % 0x0080_0000)
}

/// 100,000 SYNs of as many sources, each sent twice, and nobody who looks: the gate holds what it may and no more.
#[test]
fn a_flood_that_nobody_looks_at_is_bounded() {
    let (mut t, id) = gate(|_| {});
    let mut frame = template(&mut t);
    let config = t.stack.config().gate.clone();
    for n in 0..100_000 {
        let copies = if n % 2 == 0 { 2 } else { 1 };
        for _ in 0..copies {
            arrives(&mut t, &mut frame, forged(n), 2000);
        }
        if n % 5000 == 0 {
            let (requests, bytes) = t.stack.syn_gate_load(id).unwrap();
            assert!(requests <= config.max_requests && bytes <= config.memory, "{requests} requests, {bytes} bytes");
        }
    }
    let (requests, bytes) = t.stack.syn_gate_load(id).unwrap();
    println!("{requests} requests, charged {bytes} bytes");
    assert_eq!(requests, config.max_requests, "all that came twice and no more");
    assert!(t.dropped(DropReason::TcpGateFirst) > 40_000);
    assert!(t.stack.stats().gate.evicted > 10_000);
    assert_eq!(t.stack.poll_transmit(t.now()).map(|frame| frame.len()), None, "and says nothing");
    t.advance(config.timeout);
    assert_eq!(t.stack.syn_gate_load(id), Ok((0, 0)));
}

/// A flood from forged addresses, ten times as many as the application can decide on, and among them honest peers, who send
/// their SYN again as RFC 6298 has it. All of those get in, and within seconds.
#[test]
fn a_flood_does_not_starve_the_honest() {
    const TICK: Duration = Duration::from_millis(10);
    let (mut t, id) = gate(|c| (c.gate.max_requests, c.max_syn_queue) = (512, 256));
    let mut frame = template(&mut t);
    let start = t.now();
    let honest = |n: u32| SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, n as u8 + 1), 5000);
    // When each tries, in ticks after it began: at 0, 1, 3 and 7 seconds.
    let tries = [0, 100, 300, 700];
    let mut accepted: BTreeSet<Ipv4Addr> = BTreeSet::new();
    let mut latest = 0;
    let mut flood = 0;
    for tick in 0..1000u32 {
        for _ in 0..50 {
            flood += 1;
            arrives(&mut t, &mut frame, forged(flood), 2000);
        }
        for n in 0..20 {
            let peer = honest(n);
            let began = 100 + 10 * n;
            if tick >= began && tries.contains(&(tick - began)) && !accepted.contains(peer.ip()) {
                arrives(&mut t, &mut frame, *peer.ip(), peer.port());
            }
        }
        // The application asks somebody else for each, and accepts five in a tick.
        let taken: Vec<SynRequest> = (0..5).filter_map(|_| t.stack.syn_next(id).ok()).collect();
        for request in taken {
            let now = t.now();
            t.stack.syn_accept(now, id, request.id).unwrap();
            let IpAddr::V4(source) = request.source.ip() else { panic!("IPv4") };
            if source.octets()[0] == 198 && accepted.insert(source) {
                latest = latest.max(tick - (100 + 10 * u32::from(source.octets()[3] - 1)));
            }
        }
        let now = t.now();
        while t.stack.poll_transmit(now).is_some() {}
        let half_open = t.stack.tcp_snapshot().iter().filter(|info| info.state == State::SynReceived).count();
        assert!(half_open <= 256, "{half_open} half-open connections");
        let later = start + TICK * (tick + 1);
        t.advance(later.since(now));
    }
    println!("{flood} forged, the last honest one accepted after {} ms", latest * 10);
    assert_eq!(accepted.len(), 20, "all of the honest, within their tries");
}

/// One source fills its own share, and nobody else's.
#[test]
fn one_source_fills_its_own_share() {
    let (mut t, id) = gate(|c| c.gate.max_per_source = 100);
    let mut frame = template(&mut t);
    for port in 1000..3000 {
        arrives(&mut t, &mut frame, Ipv4Addr::new(10, 9, 8, 7), port);
    }
    assert_eq!(t.stack.syn_gate_load(id).unwrap().0, 100);
    assert_eq!(t.dropped(DropReason::TcpGateSource), 1900);
    arrives(&mut t, &mut frame, Ipv4Addr::new(10, 9, 8, 6), 1);
    assert_eq!(t.stack.syn_gate_load(id).unwrap().0, 101);
}

/// A listener's queue, cookies and backlog are what they are without a gate: the flood at its port never sees the gate.
#[test]
fn listeners_keep_their_own_rules() {
    let (mut t, id) = gate(|c| c.max_syn_queue = 16);
    t.listen(80);
    t.switch(0);
    let mut frame = template(&mut t);
    for n in 0..1000 {
        arrives(&mut t, &mut frame, forged(n), 2000);
    }
    assert_eq!(t.stack.stats().tcp.cookies_sent, 1000 - 16);
    assert_eq!(t.stack.syn_gate_load(id), Ok((0, 0)));
}
