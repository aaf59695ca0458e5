//! The SYN gate, before RFC 9293 3.10.7.2: who wants to connect waits for a verdict, and is answered as that says, from
//! the address that was asked.

use crate::support::*;
use std::net::{Ipv4Addr, SocketAddrV4};
use tunstack::error::Error;
use tunstack::stack::{Readiness, Refusal, SocketId, SynGateId, SynRequest, TcpOptions, Unreachable};
use tunstack::stats::{Disposition, DropReason};
use tunstack::tcp::state::State;

/// A host that is not the stack's own.
const ELSEWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 9), 8080);

const FROM: SocketAddrV4 = SocketAddrV4::new(PEER, 40_001);

/// A stack of any address with its gate open, and a conversation with somebody elsewhere.
fn gate() -> (Tester, SynGateId) {
    let mut t = Tester::with(|c| c.any_address = true);
    let options = t.stack.default_tcp_options();
    let id = t.stack.syn_gate_open(options).unwrap();
    t.new_flow_to(FROM, ELSEWHERE);
    (t, id)
}

fn offered() -> Seg {
    syn().mss(1400).ws(7).sack_ok().ts(1, 0)
}

fn next(t: &mut Tester, id: SynGateId) -> SynRequest {
    t.stack.syn_next(id).unwrap()
}

fn accept(t: &mut Tester, id: SynGateId, request: SynRequest) {
    let now = t.now();
    let conn = t.stack.syn_accept(now, id, request.id).unwrap();
    t.use_conn(conn);
    t.pull();
}

#[test]
fn a_syn_waits_and_the_accepted_connection_is_from_where_it_was_asked() {
    let (mut t, id) = gate();
    assert_eq!(t.stack.readiness(SocketId::SynGate(id)), Readiness::NONE);
    assert_eq!(t.stack.syn_next(id), Err(Error::WouldBlock));
    assert_eq!(t.send(offered()), Disposition::Held);
    assert_eq!(t.stack.readiness(SocketId::SynGate(id)), Readiness::READABLE);
    assert_eq!(t.stack.poll_ready(), Some(SocketId::SynGate(id)));
    t.expect_nothing();
    let request = next(&mut t, id);
    assert_eq!((request.source, request.destination), (wire_addr(FROM), wire_addr(ELSEWHERE)));
    assert_eq!(
        (request.options.mss, request.options.window_scale, request.options.timestamp),
        (Some(1400), Some(7), Some(1))
    );
    assert!(request.options.sack_permitted && request.options.window == u16::MAX && request.interface == 1);
    t.expect_nothing_for(secs(1));
    accept(&mut t, id, request);
    t.expect(synack().seq(0).ack(1).has_ts().has_ws().sack_ok());
    assert_eq!(t.stack.tcp_local_addr(t.conn()), Ok(wire_addr(ELSEWHERE)));
    assert_eq!(t.stack.tcp_peer_addr(t.conn()), Ok(wire_addr(FROM)), "whoever has asked is known");
    t.expect_state(State::SynReceived);
    // What is written before the peer has answered goes out then.
    t.write(b"early");
    t.expect_nothing();
    t.send(ack());
    t.expect(data(b"early"));
    t.expect_state(State::Established);
    t.send(data(b"hello").ack(6));
    t.expect_read(b"hello");
    t.close();
    t.expect(fin());
    let gate = &t.stack.stats().gate;
    assert_eq!((gate.requests, gate.accepted, gate.folded), (1, 1, 0));
}

/// The options of what is accepted: checked when they are set, and the mark has its interface.
#[test]
fn a_gates_options_are_those_of_its_connections() {
    let mut t = Tester::with(|c| {
        c.any_address = true;
        c.name = "tun0".parse().unwrap();
        c.marks = vec![(7, "tun0".parse().unwrap())];
    });
    let id = t.stack.syn_gate_open(t.stack.default_tcp_options()).unwrap();
    t.new_flow_to(FROM, ELSEWHERE);
    let options = t.stack.syn_gate_options(id).unwrap().clone();
    let wrong = TcpOptions { ttl: 0, ..options.clone() };
    assert!(matches!(t.stack.set_syn_gate_options(id, wrong), Err(Error::InvalidInput(_))));
    let nowhere = TcpOptions { interface: 9, ..options.clone() };
    assert_eq!(t.stack.set_syn_gate_options(id, nowhere.clone()), Err(Error::NoDevice));
    t.stack.set_syn_gate_options(id, TcpOptions { mark: 7, max_segment: Some(900), ..options }).unwrap();
    t.send(offered());
    let request = next(&mut t, id);
    accept(&mut t, id, request);
    t.expect(synack().mss(900));
    assert_eq!(t.stack.tcp_options(t.conn()).unwrap().leaves_by(), 1);
    t.stack.syn_gate_close(id).unwrap();
    assert_eq!(t.stack.syn_gate_options(id), Err(Error::BadHandle));
    assert_eq!(t.stack.syn_gate_open(nowhere), Err(Error::NoDevice));
}

#[test]
fn every_answer_but_accepting_leaves_nothing_behind() {
    let all = [
        Refusal::Reset,
        Refusal::Silence,
        Refusal::Unreachable(Unreachable::Network),
        Refusal::Unreachable(Unreachable::Host),
        Refusal::Unreachable(Unreachable::Prohibited),
        Refusal::Unreachable(Unreachable::Port),
        Refusal::Unreachable(Unreachable::Protocol),
    ];
    let v4 = [(3, 0), (3, 1), (3, 13), (3, 3), (3, 2)];
    let v6 = [(1, 0), (1, 3), (1, 1), (1, 4), (4, 1)];
    let codes = if over_ipv6() { v6 } else { v4 };
    for (n, how) in all.into_iter().enumerate() {
        let (mut t, id) = gate();
        t.send(offered());
        let request = next(&mut t, id);
        let sent = t.packet(&offered().seq(0));
        let now = t.now();
        t.stack.syn_refuse(now, id, request.id, how).unwrap();
        t.pull();
        match how {
            Refusal::Reset => _ = t.expect(rst_ack().abs_seq(0).ack(1)),
            Refusal::Silence => t.expect_nothing(),
            Refusal::Unreachable(_) => {
                let icmp = t.other().expect("an ICMP error");
                let (header, payload) = tunstack::wire::ip::parse(&icmp).unwrap();
                assert_eq!((header.src, header.dst), (wire_addr(ELSEWHERE).ip(), wire_addr(FROM).ip()));
                assert_eq!((icmp[payload.start], icmp[payload.start + 1]), codes[n - 2], "{how:?}");
                assert!(sent.starts_with(&icmp[payload.start + 8..payload.end]), "it quotes the SYN");
            }
        }
        assert_eq!(t.stack.syn_gate_load(id), Ok((0, 0)));
        assert_eq!(t.stack.syn_refuse(now, id, request.id, how), Err(Error::ConnectionAborted), "once");
        assert_eq!(t.stack.tcp_snapshot().len(), 0);
        // The peer may try again.
        assert_eq!(t.send(offered().seq(0)), Disposition::Held);
        let gate = &t.stack.stats().gate;
        assert_eq!(gate.reset + gate.ignored + gate.unreachable, 1);
    }
}

/// A request that waits is over when its connection comes about elsewhere: there is one of a name.
#[test]
fn a_listener_or_a_connect_supersedes_a_request() {
    for connects in [false, true] {
        for accepts in [false, true] {
            let (mut t, id) = gate();
            assert_eq!(t.send(offered().seq(0)), Disposition::Held);
            let request = next(&mut t, id);
            let now = t.now();
            if connects {
                let (local, remote) = (wire_addr(ELSEWHERE), wire_addr(FROM));
                let options = t.stack.default_tcp_options();
                let conn = t.stack.tcp_connect(now, Some(local), remote, options).unwrap();
                t.use_conn(conn);
                t.pull();
                t.expect(syn());
            } else {
                t.stack.tcp_listen(wire_addr(ELSEWHERE), 4, t.stack.default_tcp_options()).unwrap();
                t.send(offered().seq(0));
                t.expect(synack());
            }
            assert_eq!(t.stack.syn_gate_load(id), Ok((0, 0)));
            if accepts {
                assert_eq!(t.stack.syn_accept(now, id, request.id), Err(Error::ConnectionAborted));
            } else {
                assert_eq!(t.stack.syn_refuse(now, id, request.id, Refusal::Reset), Err(Error::ConnectionAborted));
            }
            t.pull();
            t.expect_nothing();
            assert_eq!(t.stack.tcp_snapshot().iter().filter(|info| info.state != State::Listen).count(), 1);
        }
    }
}

#[test]
fn a_syn_that_comes_again_is_the_same_request_and_the_last_one_is_answered() {
    let (mut t, id) = gate();
    t.send(offered());
    t.send(offered().seq(0));
    let request = next(&mut t, id);
    t.send(offered().seq(0));
    assert_eq!(t.stack.syn_next(id), Err(Error::WouldBlock));
    // The peer has given up and begun anew from the same port.
    t.peer_iss(77);
    t.send(syn().mss(1200));
    assert_eq!(t.stack.syn_next(id), Err(Error::WouldBlock));
    accept(&mut t, id, request);
    t.expect(synack().ack(1).no_ts().no_ws().no_sack_ok());
    t.send(ack());
    t.expect_state(State::Established);
    assert_eq!(t.stack.stats().gate.folded, 3);
}

#[test]
fn only_what_no_listener_takes_comes_to_the_gate_and_only_syns() {
    let (mut t, id) = gate();
    t.switch(0);
    t.establish();
    t.switch(1);
    for nonsense in [ack(), data(b"x"), fin(), synack(), syn().with(FIN), rst()] {
        let what = nonsense.to_string();
        assert_eq!(t.send(nonsense), Disposition::Dropped(DropReason::TcpNoSocket), "{what}");
    }
    assert_eq!(t.stack.stats().gate.requests, 0);
    // The same port of another address is not the listener's.
    t.new_flow_to(FROM, SocketAddrV4::new(*ELSEWHERE.ip(), 80));
    assert_eq!(t.send(syn().mss(1460)), Disposition::Held);
    assert_eq!(next(&mut t, id).destination, wire_addr(SocketAddrV4::new(*ELSEWHERE.ip(), 80)));
}

#[test]
fn a_listener_of_no_address_has_all_of_them() {
    let mut t = Tester::with(|c| c.any_address = true);
    let options = t.stack.default_tcp_options();
    let anywhere = if over_ipv6() { "[::]:8080" } else { "0.0.0.0:8080" };
    let listener = t.stack.tcp_listen(anywhere.parse().unwrap(), 4, options).unwrap();
    t.new_flow_to(FROM, ELSEWHERE);
    t.send(syn().mss(1460));
    t.expect(synack());
    t.send(ack());
    let now = t.now();
    let (conn, _) = t.stack.tcp_accept(now, listener).unwrap();
    assert_eq!(t.stack.tcp_local_addr(conn), Ok(wire_addr(ELSEWHERE)));
}

#[test]
fn without_any_address_foreign_ones_are_none_of_ours() {
    let mut t = Tester::new();
    let options = t.stack.default_tcp_options();
    let id = t.stack.syn_gate_open(options.clone()).unwrap();
    assert_eq!(t.stack.syn_gate_open(options), Err(Error::AddrInUse));
    t.new_flow_to(FROM, ELSEWHERE);
    assert_eq!(t.send(syn()), Disposition::Dropped(DropReason::NotForUs));
    // But every port of our own.
    t.new_flow(40_002, 4711);
    assert_eq!(t.send(syn()), Disposition::Held);
    assert_eq!(next(&mut t, id).destination.port(), 4711);
}

#[test]
fn nobody_connects_to_himself_nor_to_many() {
    let (mut t, _) = gate();
    let land = SocketAddrV4::new(*ELSEWHERE.ip(), 5000);
    assert_eq!(t.send(syn().src(land)), Disposition::Dropped(DropReason::NotForUs));
    for nobody in [Ipv4Addr::new(0, 1, 2, 3), Ipv4Addr::new(240, 1, 2, 3), Ipv4Addr::new(127, 0, 0, 1)] {
        if !over_ipv6() {
            let disposition = t.send(syn().dst(nobody));
            assert!(matches!(disposition, Disposition::Dropped(_)), "{nobody}: {disposition:?}");
        }
    }
    t.expect_nothing();
}

#[test]
fn a_peer_that_resets_its_syn_is_asked_about_no_more() {
    let (mut t, id) = gate();
    t.send(offered());
    let request = next(&mut t, id);
    // Whoever does not know the number resets nothing.
    t.send(rst().seq(500));
    assert_eq!(t.stack.syn_gate_load(id).unwrap().0, 1);
    assert_eq!(t.send(rst().seq(1)), Disposition::Dropped(DropReason::TcpGateReset));
    let now = t.now();
    assert_eq!(t.stack.syn_accept(now, id, request.id), Err(Error::ConnectionAborted));
    t.expect_nothing();
}

#[test]
fn a_request_is_over_after_its_time() {
    let (mut t, id) = gate();
    t.send(offered());
    let request = next(&mut t, id);
    let timeout = t.stack.config().gate.timeout;
    t.advance(timeout - ms(1));
    assert_eq!(t.stack.syn_gate_load(id).unwrap().0, 1);
    t.advance(ms(1));
    assert_eq!((t.stack.syn_gate_load(id), t.stack.stats().gate.expired), (Ok((0, 0)), 1));
    let now = t.now();
    assert_eq!(t.stack.syn_refuse(now, id, request.id, Refusal::Reset), Err(Error::ConnectionAborted));
    t.expect_nothing();
    assert_eq!(t.stack.deadline(), None);
}

#[test]
fn an_accepted_peer_that_never_answers_or_says_no_is_an_error_of_the_connection() {
    let (mut t, id) = gate();
    t.send(offered());
    let request = next(&mut t, id);
    accept(&mut t, id, request);
    t.expect(synack());
    t.expect_within(ms(1100), synack());
    t.advance(secs(200));
    t.drain();
    t.expect_state(State::Closed);
    t.expect_read_error(Error::TimedOut);

    let (mut t, id) = gate();
    t.send(offered());
    let request = next(&mut t, id);
    accept(&mut t, id, request);
    t.expect(synack());
    t.send(rst().seq(1));
    t.expect_read_error(Error::ConnectionReset);
}

#[test]
fn of_those_that_never_answer_the_oldest_gives_way() {
    let mut t = Tester::with(|c| (c.any_address, c.max_syn_queue) = (true, 3)).without_timer_check();
    let options = t.stack.default_tcp_options();
    let id = t.stack.syn_gate_open(options).unwrap();
    let mut conns = Vec::new();
    for n in 0..6 {
        t.new_flow_to(SocketAddrV4::new(PEER, 41_000 + n), ELSEWHERE);
        t.send(offered());
        let request = next(&mut t, id);
        accept(&mut t, id, request);
        conns.push(t.conn());
        if n == 0 {
            t.drain();
            t.send(ack()); // it is established, and gives way to nobody
        }
    }
    let states: Vec<State> = conns.iter().map(|id| t.stack.tcp_state(*id).unwrap()).collect();
    let (gone, open, half) = (State::Closed, State::Established, State::SynReceived);
    assert_eq!(states, [open, gone, gone, half, half, half]);
    assert_eq!(t.stack.stats().gate.half_open_evicted, 2);
    t.use_conn(conns[1]);
    t.expect_read_error(Error::ConnectionAborted);
}

#[test]
fn a_time_wait_may_be_opened_anew_through_the_gate() {
    let (mut t, id) = gate();
    t.send(offered());
    let request = next(&mut t, id);
    accept(&mut t, id, request);
    t.expect(synack());
    t.send(ack());
    t.close();
    t.expect(fin());
    t.send(fin().ack(2));
    t.expect(ack());
    t.expect_state(State::TimeWait);
    t.advance(secs(1));
    let later = t.peer_nxt();
    assert_eq!(t.send(offered().seq(later + 1000).ts(2_000_000, 0)), Disposition::Held);
    let request = next(&mut t, id);
    accept(&mut t, id, request);
    t.expect(synack().ack(later + 1001));
}

#[test]
fn where_there_is_no_room_accepting_is_silence() {
    let mut t = Tester::with(|c| (c.any_address, c.max_connections) = (true, 1)).without_timer_check();
    let options = t.stack.default_tcp_options();
    let id = t.stack.syn_gate_open(options).unwrap();
    let now = t.now();
    for n in 0..2 {
        t.new_flow_to(SocketAddrV4::new(PEER, 41_000 + n), ELSEWHERE);
        t.send(offered());
        let request = next(&mut t, id);
        let accepted = t.stack.syn_accept(now, id, request.id);
        assert_eq!(accepted.err(), (n == 1).then_some(Error::NoBufferSpace));
        t.pull();
        assert_eq!(t.drain().len(), usize::from(n == 0));
    }
    assert_eq!(t.send(offered().seq(0)), Disposition::Held, "it comes again, and may be lucky");
}

#[test]
fn a_gate_that_is_closed_resets_whoever_waits() {
    let (mut t, id) = gate();
    t.send(offered());
    let request = next(&mut t, id);
    let other = t.new_flow_to(SocketAddrV4::new(PEER, 41_001), ELSEWHERE);
    t.send(offered());
    t.stack.syn_gate_close(id).unwrap();
    t.pull();
    t.expect(rst_ack());
    t.switch(other - 1);
    t.expect(rst_ack());
    let now = t.now();
    assert_eq!(t.stack.syn_gate_close(id), Err(Error::BadHandle));
    assert_eq!(t.stack.syn_accept(now, id, request.id), Err(Error::BadHandle));
    assert!(t.stack.readiness(SocketId::SynGate(id)).contains(Readiness::HANGUP));
    t.send(offered().seq(0));
    t.expect(rst_ack());
}

/// More wait than replies have room for: each of them is told, and whoever else must be answered meanwhile is answered, too.
#[test]
fn everybody_who_waits_at_a_gate_that_closes_is_told() {
    const WAITING: u16 = 5000;
    let mut t = Tester::with(|c| {
        c.any_address = true;
        (c.gate.max_requests, c.gate.max_per_source, c.gate.memory) = (20_000, 20_000, 32 << 20);
    })
    .without_timer_check();
    assert!(usize::from(WAITING) > 4 * t.stack.config().max_replies);
    let id = t.stack.syn_gate_open(t.stack.default_tcp_options()).unwrap();
    let flows: Vec<usize> = (0..WAITING)
        .map(|n| {
            let flow = t.new_flow_to(SocketAddrV4::new(PEER, 20_000 + n), ELSEWHERE);
            assert_eq!(t.send(offered()), Disposition::Held);
            flow
        })
        .collect();
    assert_eq!(t.stack.syn_gate_load(id).unwrap().0, usize::from(WAITING));
    let resets = t.stack.stats().tcp.resets_out;
    t.stack.syn_gate_close(id).unwrap();
    // As far as replies have room; the others are made as these are taken.
    assert!(t.stack.stats().tcp.resets_out - resets < 1024);
    t.new_flow_to(SocketAddrV4::new(PEER, 19_999), ELSEWHERE);
    t.send(ack().abs_ack(77));
    t.expect(rst().abs_seq(77));
    t.pull();
    for flow in flows {
        t.switch(flow);
        t.expect(rst_ack());
    }
    t.expect_nothing();
    assert_eq!((t.stack.stats().unsent, t.stack.stats().tcp.resets_out - resets), (0, u64::from(WAITING) + 1));
    assert!(t.stack.poll_transmit(t.now()).is_none());
}

/// A gate that opens again while those of the one before are still being told, and closes, forgets nobody either; and what
/// nobody pulls is bounded by what one gate may hold.
#[test]
fn gates_one_after_the_other_keep_no_more_than_one_may() {
    let mut t = Tester::with(|c| {
        c.any_address = true;
        c.max_replies = 2;
        (c.gate.max_requests, c.gate.max_per_source) = (40, 40);
    })
    .without_timer_check();
    for round in 0..4 {
        let id = t.stack.syn_gate_open(t.stack.default_tcp_options()).unwrap();
        for n in 0..20 {
            let frame = {
                t.new_flow_to(SocketAddrV4::new(PEER, 20_000 + 100 * round + n), ELSEWHERE);
                t.packet(&offered())
            };
            let now = t.now();
            t.stack.on_frame(now, tunstack::wire::RxFrame::plain(tunstack::buf::Slice::copy_of(&frame)));
        }
        t.stack.syn_gate_close(id).unwrap();
    }
    let told = core::iter::from_fn(|| t.stack.poll_transmit(t.now())).count();
    assert_eq!((told, t.stack.stats().unsent), (41, 39), "one is on its way, 40 may wait");
}

/// An echo request to somebody who is not us is not answered: whether he lives we cannot say.
#[test]
fn echo_is_answered_for_our_own_addresses_alone() {
    let (mut t, _) = gate();
    for (to, answered) in [(LOCAL, true), (*ELSEWHERE.ip(), false)] {
        let mut icmp = vec![if over_ipv6() { 128 } else { 8 }, 0, 0, 0, 0, 1, 0, 1, b'x', b'y'];
        let (src, dst) = (on_wire(PEER), on_wire(to));
        let sum = packet::checksum(if over_ipv6() { packet::pseudo_sum(src, dst, 58, icmp.len()) } else { 0 }, &icmp);
        icmp[2..4].copy_from_slice(&sum.to_be_bytes());
        let echo = match (src, dst) {
            (std::net::IpAddr::V6(src), std::net::IpAddr::V6(dst)) => packet::ipv6(src, dst, 64, 0, 58, &icmp),
            _ => packet::ipv4(PEER, to, 64, 0, 1, &[], &icmp),
        };
        t.send_raw(&echo);
        assert_eq!(t.other().is_some(), answered, "{to}");
    }
    assert_eq!(t.dropped(DropReason::IcmpEchoRefused), 1);
}
