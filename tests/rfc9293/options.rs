//! Linux's options of connections and listeners: that each does something, seen on the wire.

use crate::support::*;
use std::net::{SocketAddr, SocketAddrV4};
use tunstack::error::Error;
use tunstack::stack::{Readiness, SendFlags, SocketId, TcpOptions};
use tunstack::tcp::state::State;

fn readable(t: &Tester) -> bool {
    t.readiness().contains(Readiness::READABLE)
}

/// TCP_CORK: what does not fill a segment waits, also while nothing is in flight, until the cork is drawn.
#[test]
fn a_cork_holds_back_what_is_little() {
    let mut t = Tester::new();
    t.establish();
    t.set(|o| (o.cork, o.nodelay) = (true, true));
    t.write(b"held");
    t.expect_nothing_for(ms(150));
    t.set(|o| o.cork = false);
    t.expect(data(b"held").seq(1));
}

/// TCP_CORK: full segments go, and what is left waits for no longer than a retransmission would.
#[test]
fn a_cork_lets_full_segments_go_and_the_rest_after_a_while() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1000));
    t.set(|o| o.cork = true);
    t.write(&pattern(0..1500));
    t.expect(full(1000).seq(1));
    t.send(ack().ack(1001));
    t.expect_nothing_for(ms(150));
    t.expect_within(secs(2), seg(ACK | PSH).seq(1001).len(500));
}

/// MSG_MORE: as a cork, for what one call writes.
#[test]
fn more_follows() {
    let mut t = Tester::new();
    let id = t.establish();
    let more = SendFlags { more: true, ..SendFlags::default() };
    t.stack.tcp_send_with(t.now(), id, b"one, ", more).unwrap();
    t.pull();
    t.expect_nothing_for(ms(50));
    t.stack.tcp_send_with(t.now(), id, b"two, ", more).unwrap();
    t.pull();
    t.expect_nothing_for(ms(50));
    // Whoever does not say so again has said all.
    t.write(b"three");
    t.expect(data(b"one, two, three").seq(1));
    t.send(ack().ack(16));
    t.write(b"four");
    t.expect(data(b"four").seq(16));
}

/// MSG_OOB before the handshake is over: the byte is urgent when it goes out.
#[test]
fn what_is_urgent_before_the_handshake_is_urgent_after_it() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn().seq(0));
    t.write_urgent(b"ab!");
    t.write(b"cd");
    t.send(synack().mss(1460));
    let first = t.drain().into_iter().find(|segment| !segment.text.is_empty()).expect("text");
    assert!(first.flags & URG != 0 && first.up == 3, "{first:?}");
}

/// Without SO_REUSEADDR, of any port one is taken that no connection has, as long as there is one.
#[test]
fn a_port_to_listen_on_is_one_that_no_connection_has() {
    let mut t = Tester::with(|c| (c.tcp.ephemeral_low, c.tcp.ephemeral_high) = (50_000, 50_001));
    let (own, peer) = (t.stack.config().addresses[0].addr, wire_addr(SocketAddrV4::new(PEER, 9)));
    let options = TcpOptions { reuse_address: false, ..t.stack.default_tcp_options() };
    let any = SocketAddr::new(own, 0);
    let now = t.now();
    t.stack.tcp_connect(now, Some(SocketAddr::new(own, 50_000)), peer, options.clone()).unwrap();
    for _ in 0..20 {
        let listener = t.stack.tcp_listen(any, 4, options.clone()).unwrap();
        assert_eq!(t.stack.listener_addr(listener).unwrap().port(), 50_001);
        assert_eq!(t.stack.tcp_listen(any, 4, options.clone()), Err(Error::AddrInUse));
        t.stack.listener_close(now, listener).unwrap();
    }
    let listener = t.stack.tcp_listen(SocketAddr::new(own, 50_000), 4, t.stack.default_tcp_options());
    assert!(listener.is_ok(), "with it, it may");
}

/// TCP_MAXSEG: it is announced, and bounds what is sent.
#[test]
fn a_smaller_mss_is_announced_and_used() {
    let mut t = Tester::new();
    t.connect_with(|o| o.max_segment = Some(700));
    t.expect(syn().seq(0).mss(700));
    t.send(synack().mss(1460));
    t.expect(ack().seq(1).ack(1));
    t.write(&pattern(0..2000));
    let sent = t.drain();
    assert!(!sent.is_empty() && sent.iter().all(|p| p.text.len() <= 700), "{sent:?}");
    assert_eq!(t.stack.tcp_info(t.conn()).unwrap().mss, 700);
}

/// TCP_SYNCNT: so many retransmissions, and then the end.
#[test]
fn a_syn_is_sent_again_as_often_as_the_user_wants() {
    let mut t = Tester::new();
    let id = t.connect_with(|o| o.syn_retries = Some(2));
    t.expect(syn().seq(0));
    t.expect_within(secs(2), syn().seq(0));
    t.expect_within(secs(3), syn().seq(0));
    t.expect_nothing_for(secs(60));
    assert_eq!(t.stack.tcp_state(id), Ok(State::Closed));
    assert_eq!(t.stack.tcp_take_error(id), Ok(Some(Error::TimedOut)));
}

/// TCP_SYNCNT of a listener: its SYN,ACKs, as on Linux.
#[test]
fn a_syn_ack_is_sent_again_as_often_as_the_user_wants() {
    let mut t = Tester::new();
    t.listen_with(80, 1, |o| o.syn_retries = Some(2));
    t.send(syn().mss(1460));
    t.advance(hours(1));
    assert_eq!(t.drain().len(), 1 + 2);
    t.expect_state(State::Closed);
}

fn deferring() -> Tester {
    let mut t = Tester::new();
    t.listen_with(80, 1, |o| o.defer_accept = Some(secs(5)));
    t.send(syn().mss(1460));
    t.expect(synack().seq(0).ack(1));
    t.send(ack());
    assert_eq!(t.try_accept(), Err(Error::WouldBlock));
    t
}

/// TCP_DEFER_ACCEPT: the connection is there, but is not given out before it has data.
#[test]
fn accept_is_deferred_until_there_is_data() {
    let mut t = deferring();
    t.advance(secs(4));
    assert_eq!(t.try_accept(), Err(Error::WouldBlock));
    t.send(data(b"question"));
    t.accept();
    t.expect_read(b"question");
}

/// TCP_DEFER_ACCEPT: data beside the last ACK of the handshake is data.
#[test]
fn accept_is_not_deferred_where_data_comes_at_once() {
    let mut t = Tester::new();
    t.listen_with(80, 1, |o| o.defer_accept = Some(secs(5)));
    t.send(syn().mss(1460));
    t.expect(synack().seq(0).ack(1));
    t.send(data(b"question"));
    t.accept();
    t.expect_read(b"question");
}

/// TCP_DEFER_ACCEPT: after its time, it is given out without.
#[test]
fn accept_is_not_deferred_for_ever() {
    let mut t = deferring();
    t.advance(secs(6));
    t.accept();
    t.send(data(b"late"));
    t.expect_read(b"late");
}

/// TCP_DEFER_ACCEPT: who goes away meanwhile is never seen, and leaves nothing behind.
#[test]
fn accept_is_never_of_one_who_was_reset_meanwhile() {
    let mut t = deferring();
    t.send(rst());
    t.advance(secs(6));
    assert_eq!(t.try_accept(), Err(Error::WouldBlock));
    assert!(t.stack.tcp_snapshot().iter().all(|info| info.state == State::Listen), "only the listener is left");
    // There is room for the next one.
    t.new_flow(5001, 80);
    t.send(syn().mss(1460));
    t.expect(synack().seq(0).ack(1));
    t.send(data(b"hello"));
    t.accept();
}

/// TCP_LINGER2: FIN-WAIT-2 of a closed connection lasts as long as the user wants.
#[test]
fn fin_wait_2_lasts_as_long_as_the_user_wants() {
    let mut t = Tester::new();
    let id = t.establish();
    t.set(|o| o.fin_wait2 = Some(secs(2)));
    let now = t.now();
    t.stack.tcp_close(now, id).unwrap();
    t.pull();
    t.expect(fin().seq(1));
    t.send(ack().ack(2));
    let states = |t: &Tester| t.stack.tcp_snapshot().iter().map(|info| info.state).collect::<Vec<_>>();
    assert!(states(&t).contains(&State::FinWait2));
    t.advance(secs(3));
    assert!(!states(&t).contains(&State::FinWait2));
}

/// TCP_WINDOW_CLAMP: no more is offered, whatever the buffer holds.
#[test]
fn a_clamp_bounds_the_window() {
    let mut t = Tester::new();
    t.listen_with(80, 1, |o| o.window_clamp = Some(4000));
    t.send(syn().mss(1460));
    t.expect(synack().seq(0).ack(1).wnd(4000));
    t.send(ack());
    t.accept();
    t.send(full(1000));
    t.advance(ms(50));
    let offered = t.drain();
    assert!(offered.iter().all(|p| p.wnd <= 4000), "{offered:?}");
}

/// SO_RCVLOWAT: less does not make it readable, the end of the stream does.
#[test]
fn it_is_not_readable_below_its_low_water_mark() {
    let mut t = Tester::new();
    let id = t.establish();
    t.set(|o| o.recv_low_water = 10);
    t.send(data(b"12345"));
    assert!(!readable(&t) && !t.stack.tcp_has(id, 10));
    t.send(data(b"67890"));
    assert!(readable(&t) && t.stack.tcp_has(id, 10));
    t.expect_read(b"1234567890");
    t.send(data(b"x"));
    assert!(!readable(&t));
    t.send(fin());
    assert!(readable(&t) && t.stack.tcp_has(id, 10));
    t.expect_read(b"x");
}

/// TCP_NOTSENT_LOWAT: what cannot be sent bounds what can be written, and room is told of when half of it is sent.
#[test]
fn what_is_not_sent_bounds_what_is_written() {
    let mut t = Tester::new();
    let id = t.establish_with(syn().mss(1000).wnd(1000));
    t.set(|o| o.unsent_low_water = Some(2000));
    t.write(&pattern(0..3000));
    t.expect(full(1000).seq(1));
    assert_eq!(t.try_write(b"more"), Err(Error::WouldBlock));
    assert!(!t.readiness().contains(Readiness::WRITABLE));
    while t.stack.poll_ready().is_some() {}
    t.send(ack().ack(1001).wnd(2000));
    t.drain();
    assert!(t.readiness().contains(Readiness::WRITABLE), "all of it is sent");
    assert_eq!(t.stack.poll_ready(), Some(SocketId::Tcp(id)), "and that is told");
    t.write(b"more");
}

/// SO_OOBINLINE off: the last urgent byte is taken by itself, and reading stops at its place and leaves it out.
#[test]
fn an_urgent_byte_out_of_the_stream() {
    let mut t = Tester::new();
    let id = t.establish();
    t.set(|o| o.urgent_inline = false);
    assert!(matches!(t.stack.tcp_recv_urgent(id, false), Err(Error::InvalidInput(_))));
    t.send(data(b"abc").urg(4));
    assert_eq!(t.stack.tcp_recv_urgent(id, false), Err(Error::WouldBlock), "announced, and not here");
    t.send(data(b"!def"));
    assert!(t.readiness().contains(Readiness::PRIORITY));
    assert_eq!(t.stack.tcp_recv_urgent(id, true), Ok(b'!'));
    assert_eq!(t.stack.tcp_at_mark(id), Ok(false));
    assert_eq!(t.try_read(100), Ok(b"abc".to_vec()), "up to the mark");
    assert_eq!(t.stack.tcp_at_mark(id), Ok(true));
    assert_eq!(t.stack.tcp_recv_urgent(id, false), Ok(b'!'));
    assert!(!t.readiness().contains(Readiness::PRIORITY));
    assert!(matches!(t.stack.tcp_recv_urgent(id, false), Err(Error::InvalidInput(_))), "it is taken once");
    assert_eq!(t.try_read(100), Ok(b"def".to_vec()), "behind the mark");
    assert_eq!(t.stack.tcp_at_mark(id), Ok(false));
}

/// SO_OOBINLINE off: where nothing but the urgent byte is there, nothing is to be read.
#[test]
fn an_urgent_byte_alone_is_nothing_to_read() {
    let mut t = Tester::new();
    let id = t.establish();
    t.set(|o| o.urgent_inline = false);
    t.send(data(b"!").urg(1));
    assert!(!readable(&t));
    assert_eq!(t.try_read(10), Err(Error::WouldBlock));
    assert_eq!(t.stack.tcp_recv_urgent(id, false), Ok(b'!'));
    t.send(data(b"x"));
    assert!(readable(&t));
    t.expect_read(b"x");
}

/// SO_REUSEPORT: all who want it share the port, and a peer is always the same one's.
#[test]
fn listeners_share_a_port_and_its_peers() {
    let mut t = Tester::new();
    let first = t.listen_with(80, 64, |o| o.reuse_port = true);
    let second = t.listen_with(80, 64, |o| o.reuse_port = true);
    let local = t.local();
    let alone = t.stack.default_tcp_options();
    assert_eq!(t.stack.tcp_listen(local, 1, alone), Err(Error::AddrInUse));
    for port in 5000..5030 {
        t.new_flow(port, 80);
        t.send(syn().mss(1460));
        t.expect(synack().seq(0).ack(1));
        t.send(ack());
    }
    let now = t.now();
    let mut count = |id| std::iter::from_fn(|| t.stack.tcp_accept(now, id).ok()).count();
    let shares = [count(first), count(second)];
    assert_eq!(shares[0] + shares[1], 30);
    assert!(shares.iter().all(|&n| n > 3), "{shares:?}");
}

/// SO_REUSEADDR off: connections that have the port stand in the way of a listener.
#[test]
fn a_port_of_connections_is_taken_where_it_is_not_to_be_used_again() {
    let mut t = Tester::new();
    let (listener, now) = (t.listen(80), t.now());
    t.establish();
    t.stack.listener_close(now, listener).unwrap();
    let local = t.local();
    let alone = tunstack::stack::TcpOptions { reuse_address: false, ..t.stack.default_tcp_options() };
    assert_eq!(t.stack.tcp_listen(local, 1, alone), Err(Error::AddrInUse));
    let options = t.stack.default_tcp_options();
    assert!(t.stack.tcp_listen(local, 1, options).is_ok());
}
