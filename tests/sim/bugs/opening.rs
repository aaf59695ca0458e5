//! Bugs that other stacks have had: how connections begin, and who may begin one.

use super::support::*;
use std::net::{IpAddr, SocketAddr};
use tunstack::error::Error;
use tunstack::stack::TcpId;
use tunstack::tcp::state::State;

/// Sequence arithmetic in SYN-SENT went below zero on an odd acknowledgment.
#[test]
fn a001_odd_segments_in_syn_sent_change_nothing() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    for n in [-1_i64 << 31, -1, 0, 2, 1 << 30] {
        t.send(ack().ack(n).seq(0));
        t.send(synack().ack(n).seq(0));
        t.send(rst_ack().ack(n).seq(0));
        t.send(fin().ack(n).seq(0));
    }
    t.drain();
    t.expect_state(State::SynSent);
    t.send(synack().seq(0).ack(1).mss(1460));
    t.expect(ack().seq(1).ack(1));
    t.expect_state(State::Established);
}

/// The window in a SYN was kept as it stood and shifted later.
#[test]
fn a002_the_window_of_a_syn_is_not_scaled() {
    let mut t = Tester::new();
    t.establish_active(synack().mss(1460).ws(7).wnd(1000));
    t.set(|o| o.nodelay = true);
    t.write(&pattern(0..5000));
    t.expect(full(1000).seq(1));
    t.expect_nothing();
    // The next window is scaled.
    t.send(ack().ack(1001).wnd(1000));
    let rest: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert_eq!(rest, 4000);
}

/// The initial sequence number was the next output of a plain generator, without a clock (RFC 6528).
#[test]
fn a014_initial_sequence_numbers_follow_a_clock() {
    let mut t = Tester::new();
    t.listen(80);
    t.new_flow(5000, 80);
    t.send(syn().mss(1460));
    t.expect(synack());
    let first = t.stack_iss();
    t.send(rst().seq(1));
    t.expect_state(State::Closed);
    t.advance(secs(4));
    t.send(syn().mss(1460).seq(0));
    t.expect(synack());
    let grown = t.stack_iss().wrapping_sub(first);
    // 250,000 a second.
    assert!((999_000..=1_001_000).contains(&grown), "{grown} in 4 s");
    // Another port gives a number without any likeness.
    let near = (0..64).filter(|i| {
        t.new_flow(6000 + i, 80);
        t.send(syn().mss(1460));
        t.expect(synack());
        t.stack_iss().wrapping_sub(first) < 1 << 24
    });
    assert!(near.count() < 8, "initial sequence numbers of different ports are near each other");
}

/// Without a time-out of the user's, a SYN was sent for ever, and so was a SYN,ACK.
#[test]
fn a016_handshakes_end() {
    let mut t = Tester::new();
    t.connect();
    t.advance(hours(1));
    assert_eq!(t.drain().len(), 1 + t.stack.config().tcp.syn_retries as usize);
    t.expect_state(State::Closed);
    t.expect_read_error(Error::TimedOut);

    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460));
    t.advance(hours(1));
    assert_eq!(t.drain().len(), 1 + t.stack.config().tcp.synack_retries as usize);
    t.expect_state(State::Closed);
}

/// close() in SYN-RECEIVED forgot to send the SYN,ACK again.
#[test]
fn a020_close_in_syn_received_sends_the_syn_ack_again() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn().seq(0));
    t.send(syn().mss(1460));
    t.expect(synack().seq(0).ack(1));
    t.expect_state(State::SynReceived);
    t.close();
    t.expect_within(secs(3), synack().seq(0).ack(1));
    t.send(ack().ack(1));
    t.expect(fin().seq(1));
    t.expect_state(State::FinWait1);
}

/// A SYN in a synchronized state was dropped in silence (RFC 5961 4: challenge it).
#[test]
fn a079_a_syn_in_established_is_challenged() {
    let mut t = Tester::new();
    t.establish();
    t.send(syn().seq(500));
    t.expect(ack().seq(1).ack(1));
    t.expect_state(State::Established);
}

/// A RST in the window but not at RCV.NXT reset the connection.
#[test]
fn a082_an_inexact_reset_is_challenged() {
    let mut t = Tester::new();
    t.establish();
    t.send(rst().seq(100));
    t.expect(ack().seq(1).ack(1));
    t.expect_state(State::Established);
}

/// Congestion control took the MSS from the peer's option, whatever our own link carries.
#[test]
fn a083_the_mss_is_the_smaller_of_both() {
    let mut t = Tester::with(|c| c.mtu = 576);
    t.establish_with(syn().mss(8960));
    t.write(&pattern(0..10_000));
    let sent = t.drain();
    assert!(sent.iter().all(|p| p.text.len() <= 536));
    assert_eq!(sent.iter().map(|p| p.text.len()).sum::<usize>(), 5360, "ten segments of 536");
}

/// Connecting or accepting again threw away a TIME-WAIT.
#[test]
fn a093_time_wait_lives_beside_new_connections() {
    let mut t = Tester::new();
    t.reach(State::TimeWait);
    let first = 0;
    t.new_flow(40_001, 80);
    t.establish();
    t.connect();
    t.switch(first);
    t.expect_state(State::TimeWait);
}

/// A second connection with the same four numbers took the place of the first.
#[test]
fn a096_the_same_four_numbers_only_once() {
    let mut t = Tester::new();
    let local = SocketAddr::new(IpAddr::V4(LOCAL), 5000);
    let remote = SocketAddr::new(IpAddr::V4(PEER), 80);
    let connect = |t: &mut Tester| -> Result<TcpId, Error> {
        let options = t.stack.default_tcp_options();
        t.stack.tcp_connect(t.now(), Some(local), remote, options)
    };
    let first = connect(&mut t).expect("the first");
    assert_eq!(connect(&mut t), Err(Error::AddrInUse));
    assert_eq!(t.stack.tcp_state(first), Ok(State::SynSent));
}

/// ACK storms: two ends whose numbers do not fit answer each other's answers for ever (smoltcp #542).
#[test]
fn attack6_desynchronized_ends_fall_silent() {
    // Two pairs with the same addresses and ports; then one end of each pair is put opposite the other.
    let mut pairs = [0, 1].map(|i| {
        let mut pair = Pair::with(|c| c.tcp.fixed_iss = Some(1000 + i * 1_000_000));
        let options = pair.stacks[0].default_tcp_options();
        let here = SocketAddr::new(IpAddr::V4(LOCAL), 5000);
        let there = SocketAddr::new(IpAddr::V4(PEER), 80);
        pair.stacks[1].tcp_listen(there, 4, options.clone()).expect("listen");
        let now = pair.now;
        let id = pair.stacks[0].tcp_connect(now, Some(here), there, options).expect("connect");
        pair.exchange();
        assert_eq!(pair.stacks[0].tcp_state(id), Ok(State::Established));
        (pair, id)
    });
    let [(first, id), (second, _)] = &mut pairs;
    core::mem::swap(&mut first.stacks[1], &mut second.stacks[1]);
    first.carried = 0;
    let now = first.now;
    first.stacks[0].tcp_send(now, *id, b"hello").expect("send");
    first.exchange();
    assert!(first.carried <= 10, "{} packets", first.carried);
    first.carried = 0;
    first.advance(secs(5));
    assert!(first.carried <= 20, "{} packets in 5 s", first.carried);
}
