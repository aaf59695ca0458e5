//! RFC 9293 3.5 and 3.10.7.1 to 3.10.7.3: establishing a connection, and segments that find none.

use crate::support::*;
use std::net::SocketAddrV4;
use tunstack::error::Error;
use tunstack::stack::Readiness;
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;

/// Figure 6, from the passive side.
#[test]
fn passive_open() {
    let mut t = Tester::new();
    t.listen(80);
    assert_eq!(t.try_accept(), Err(Error::WouldBlock));
    t.send(syn().mss(1460));
    t.expect(synack().seq(0).ack(1));
    t.expect_state(State::SynReceived);
    assert_eq!(t.try_accept(), Err(Error::WouldBlock));
    t.send(ack().seq(1).ack(1));
    t.expect_nothing();
    t.accept();
    t.expect_state(State::Established);
    assert!(t.readiness().contains(Readiness::WRITABLE));
    assert_eq!(t.stack.tcp_peer_addr(t.conn()), Ok(t.remote()));
    assert_eq!(t.stack.tcp_local_addr(t.conn()), Ok(t.local()));
}

/// Figure 6, from the active side.
#[test]
fn active_open() {
    let mut t = Tester::new();
    let id = t.connect();
    t.expect(syn().seq(0).has_ws().has_ts().sack_ok());
    t.expect_state(State::SynSent);
    assert!(!t.readiness().contains(Readiness::WRITABLE));
    assert_eq!(t.try_read(1), Err(Error::WouldBlock));
    assert_eq!(t.stack.tcp_peer_addr(id), Err(Error::NotConnected));
    t.send(synack().ack(1).mss(1460));
    t.expect(ack().seq(1).ack(1));
    t.expect_state(State::Established);
    assert!(t.readiness().contains(Readiness::WRITABLE));
}

/// The data that comes with the ACK of our SYN,ACK is taken.
#[test]
fn data_with_the_handshakes_last_ack() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460));
    t.expect(synack());
    t.send(data(b"GET /").seq(1).ack(1));
    t.accept();
    t.expect_read(b"GET /");
}

/// So is a FIN with it.
#[test]
fn fin_with_the_handshakes_last_ack() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460));
    t.expect(synack());
    t.send(fin().text(b"all").seq(1).ack(1));
    t.expect_within(ms(40), ack().ack(5));
    t.accept();
    t.expect_state(State::CloseWait);
    t.expect_read(b"all");
    t.expect_eof();
}

/// attack-49: text on a SYN is not acknowledged; it is taken when it comes again.
#[test]
fn data_on_syn() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460).text(b"early"));
    t.expect(synack().ack(1));
    t.send(ack().seq(1));
    t.accept();
    assert_eq!(t.try_read(10), Err(Error::WouldBlock));
    t.send(data(b"early").seq(1));
    t.expect_read(b"early");
}

/// attack-49: text and a FIN on the SYN,ACK that answers us do no harm.
#[test]
fn data_and_fin_on_synack() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    t.send(synack().text(b"hi").with(FIN));
    t.expect(ack().seq(1));
    // Whatever of it was not acknowledged comes again.
    t.send(fin().text(b"hi").seq(1));
    t.advance(ms(40));
    t.expect_read(b"hi");
    t.expect_eof();
    t.expect_state(State::CloseWait);
}

/// MUST-10 attack-48: simultaneous open (figure 7).
#[test]
fn simultaneous_open() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn().seq(0));
    t.send(syn().mss(1460));
    t.expect(synack().seq(0).ack(1));
    t.expect_state(State::SynReceived);
    t.send(synack().seq(0).ack(1));
    t.expect_state(State::Established);
    t.drain();
    t.write(b"hello");
    t.expect(data(b"hello").seq(1).ack(1));
    t.send(data(b"hello yourself").seq(1).ack(6));
    t.expect_read(b"hello yourself");
}

/// MUST-10: the same between two of our own stacks: one connection, and data flows both ways.
#[test]
fn simultaneous_open_of_two_stacks() {
    let mut pair = Pair::new();
    let ends = [wire_addr(SocketAddrV4::new(LOCAL, 7000)), wire_addr(SocketAddrV4::new(PEER, 7000))];
    let ids = [0, 1].map(|i| {
        let options = pair.stacks[i].default_tcp_options();
        pair.stacks[i].tcp_connect(pair.now, Some(ends[i]), ends[1 - i], options).expect("connect")
    });
    pair.advance(ms(10));
    for i in [0, 1] {
        assert_eq!(pair.stacks[i].tcp_state(ids[i]), Ok(State::Established));
        assert_eq!(pair.stacks[i].tcp_snapshot().len(), 1, "one connection, not two");
        assert_eq!(pair.stacks[i].tcp_send(pair.now, ids[i], b"ping"), Ok(4));
    }
    pair.advance(ms(10));
    for i in [0, 1] {
        let mut buf = [0; 8];
        assert_eq!(pair.stacks[i].tcp_recv(pair.now, ids[i], &mut buf), Ok(4));
        assert_eq!(&buf[..4], b"ping");
    }
}

/// attack-48: a connection to itself is refused or is one connection; either way nothing loops.
#[test]
fn self_connect_does_not_loop() {
    let mut t = Tester::new();
    let own = wire_addr(SocketAddrV4::new(LOCAL, 6000));
    let (now, options) = (t.now(), t.stack.default_tcp_options());
    let opened = t.stack.tcp_connect(now, Some(own), own, options);
    t.pull();
    t.advance(secs(1));
    if let Ok(id) = opened {
        assert_eq!(t.stack.tcp_state(id), Ok(State::Established));
        assert_eq!(t.stack.tcp_send(now, id, b"echo"), Ok(4));
        t.pull();
        t.advance(secs(1));
        t.use_conn(id);
        t.expect_read(b"echo");
    }
    t.expect_nothing();
}

/// A lost SYN,ACK comes again while the handshake is not complete.
#[test]
fn synack_is_sent_again() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460));
    t.expect(synack());
    t.expect_between(ms(990), ms(1010), synack().seq(0).ack(1));
    // And at once when the SYN comes again.
    t.send(syn().mss(1460));
    let again = t.next().expect("an answer to the SYN");
    assert_eq!((t.rel_seq(&again) <= 1, t.rel_ack(&again)), (true, 1));
    t.send(ack().seq(1).ack(1));
    t.accept();
}

/// MUST-11: RST in SYN-RECEIVED after a passive open: back to LISTEN without a word.
#[test]
fn reset_in_syn_received_passive() {
    let mut t = Tester::new();
    t.reach(State::SynReceived);
    t.send(rst().seq(1));
    t.expect_nothing();
    t.expect_state(State::Closed);
    assert_eq!(t.try_accept(), Err(Error::WouldBlock));
    t.peer_iss(77);
    t.establish();
}

/// MUST-11: RST in SYN-RECEIVED after an active open: connection refused.
#[test]
fn reset_in_syn_received_active() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    t.send(syn().mss(1460));
    t.expect(synack());
    t.expect_state(State::SynReceived);
    t.send(rst().seq(1));
    t.expect_nothing();
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::ConnectionRefused));
}

/// Figure 8: an old duplicate SYN does not keep the new one out.
#[test]
fn old_duplicate_syn() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460).seq(-10));
    t.expect(synack().seq(0).ack(-9));
    t.send(rst().seq(-9)); // the peer knows nothing of that one
    t.expect_nothing();
    t.establish();
}

/// Figure 9: the peer lost its connection and opens anew: our ACK makes it reset the old one.
#[test]
fn half_open_connection_is_found() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"unanswered");
    t.drain();
    t.send(syn().seq(400));
    t.expect(ack().seq(11).ack(1)); // where we are
    t.send(rst().seq(1)); // the peer's RST takes its number from our ACK
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::ConnectionReset));
    t.peer_iss(400);
    t.establish();
}

/// Figure 10: we lost a connection that the peer still has: its data gets a RST.
#[test]
fn data_for_a_lost_connection() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(data(b"still there?").seq(5).abs_ack(12_345));
    t.expect(rst().abs_seq(12_345));
}

/// SYN-SENT: an ACK of something else than our SYN gets a RST and changes nothing.
#[test]
fn unacceptable_ack_in_syn_sent() {
    for wrong in [0, 2, -1, 1000] {
        for answer in [ack(), synack()] {
            let mut t = Tester::new();
            t.reach(State::SynSent);
            t.send(answer.seq(0).ack(wrong));
            t.expect(rst().seq(wrong));
            t.expect_state(State::SynSent);
        }
    }
}

/// 5961-4: SYN-SENT: a RST counts only if it acknowledges our SYN.
#[test]
fn reset_in_syn_sent() {
    let mut t = Tester::new();
    t.reach(State::SynSent);
    for s in [rst().seq(0), rst_ack().seq(0).ack(0), rst_ack().seq(0).ack(2), rst_ack().seq(0).ack(9999)] {
        t.send(s);
        t.expect_nothing();
        t.expect_state(State::SynSent);
    }
    t.send(rst_ack().seq(0).ack(1));
    t.expect_nothing();
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::ConnectionRefused));
}

/// SYN-SENT: neither SYN nor RST: dropped.
#[test]
fn neither_syn_nor_reset_in_syn_sent() {
    let mut t = Tester::new();
    t.reach(State::SynSent);
    for s in [seg(0), seg(PSH), seg(FIN), ack().ack(1), fin().ack(1), data(b"x").ack(1)] {
        t.send(s.seq(0));
        t.expect_nothing();
        t.expect_state(State::SynSent);
    }
}

/// SYN-RECEIVED: an unacceptable ACK gets a RST at its number, and the right one still opens.
#[test]
fn unacceptable_ack_in_syn_received() {
    for wrong in [0, 2, -5, 70_000] {
        let mut t = Tester::new();
        t.reach(State::SynReceived);
        t.send(ack().seq(1).ack(wrong));
        t.expect(rst().seq(wrong));
        t.send(ack().seq(1).ack(1));
        t.accept();
    }
}

/// LISTEN: RST is ignored, ACK gets a RST, what is neither nor SYN is dropped.
#[test]
fn segments_to_a_listener() {
    let mut t = Tester::new();
    t.listen(80);
    for s in [rst(), rst_ack().abs_ack(9), seg(0), seg(FIN), seg(URG | PSH)] {
        t.send(s.seq(0));
        t.expect_nothing();
    }
    for s in [ack(), synack(), fin(), data(b"x")] {
        t.send(s.seq(0).abs_ack(4711));
        t.expect(rst().abs_seq(4711));
        t.expect_nothing();
    }
    t.establish();
}

/// attack-43: no listener: RST is ignored, ACK gets a RST at its number, all else a RST,ACK that covers it.
#[test]
fn segments_to_a_closed_port() {
    let mut t = Tester::new();
    for s in [rst(), rst_ack().abs_ack(9), rst().text(b"bye")] {
        t.send(s.seq(0));
        t.expect_nothing();
    }
    for s in [ack(), synack(), fin(), data(b"x"), seg(!RST)] {
        t.send(s.seq(0).abs_ack(4711));
        t.expect(rst().abs_seq(4711));
    }
    t.send(syn().seq(0));
    t.expect(rst_ack().abs_seq(0).ack(1));
    t.send(syn().seq(0).text(b"four"));
    t.expect(rst_ack().abs_seq(0).ack(5));
    t.send(seg(0).seq(0));
    t.expect(rst_ack().abs_seq(0).ack(0));
    t.send(seg(FIN).seq(0).text(b"x"));
    t.expect(rst_ack().abs_seq(0).ack(2));
    t.send(seg(SYN | FIN).seq(0));
    t.expect(rst_ack().abs_seq(0).ack(2));
    assert_eq!(t.dropped(DropReason::TcpNoSocket), 13);
}

/// A SYN is answered by the listener however many connections its port has.
#[test]
fn many_connections_at_one_port() {
    let mut t = Tester::new();
    t.listen(80);
    for port in 1000..1016 {
        t.new_flow(port, 80);
        t.establish();
    }
    let connected = t.stack.tcp_snapshot().iter().filter(|i| i.state == State::Established).count();
    assert_eq!(connected, 16);
}

/// The listener goes: half-open and waiting connections are reset, accepted ones live.
#[test]
fn closing_the_listener() {
    let mut t = Tester::new();
    let kept = t.establish();
    let accepted = 0; // the first conversation
    let waiting = t.new_flow(1001, 80);
    t.send(syn().mss(1460));
    t.expect(synack());
    t.send(ack());
    let half_open = t.new_flow(1002, 80);
    t.send(syn().mss(1460));
    t.expect(synack());
    t.close_listener();
    for flow in [waiting, half_open] {
        t.switch(flow);
        t.expect(reset().seq(1));
        t.expect_state(State::Closed);
    }
    t.switch(accepted);
    t.use_conn(kept);
    t.expect_nothing();
    t.expect_state(State::Established);
    t.new_flow(1003, 80);
    t.send(syn());
    t.expect(rst_ack().ack(1));
}
