//! RFC 9293 3.9.1: the user's interface: OPEN, addresses, errors, Diffserv.

use crate::support::*;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use tunstack::error::{Error, Result};
use tunstack::stack::{Readiness, Route, RouteKind, TcpId};
use tunstack::stats::{Disposition, DropReason};
use tunstack::tcp::state::State;

const SECOND: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

fn dial(t: &mut Tester, local: Option<SocketAddrV4>, remote: Ipv4Addr, port: u16) -> Result<TcpId> {
    let (now, options) = (t.now(), t.stack.default_tcp_options());
    let remote = wire_addr(SocketAddrV4::new(remote, port));
    let id = t.stack.tcp_connect(now, local.map(wire_addr), remote, options);
    t.pull();
    id
}

/// MUST-43: the application may name the local address, with or without a port.
#[test]
fn local_address_can_be_chosen() {
    let mut t = Tester::with(|c| c.addresses.push(cidr(SECOND, 24)));
    dial(&mut t, Some(SocketAddrV4::new(SECOND, 0)), PEER, 80).expect("connect");
    assert_eq!(*t.stray().expect("a SYN").src.ip(), SECOND);
    dial(&mut t, Some(SocketAddrV4::new(SECOND, 777)), PEER, 80).expect("connect");
    assert_eq!(t.stray().expect("a SYN").src, SocketAddrV4::new(SECOND, 777));
    let foreign = dial(&mut t, Some(SocketAddrV4::new(PEER, 0)), PEER, 80);
    assert_eq!(foreign.err(), Some(Error::AddrNotAvailable));
    t.expect_nothing();
}

/// MUST-44: else the address in the peer's prefix is taken, and the first one for peers beyond.
#[test]
fn local_address_is_chosen() {
    let mut t = Tester::with(|c| c.addresses.push(cidr(SECOND, 24)));
    for (remote, source) in
        [(PEER, LOCAL), (Ipv4Addr::new(203, 0, 113, 77), SECOND), (Ipv4Addr::new(198, 51, 100, 1), LOCAL)]
    {
        dial(&mut t, None, remote, 80).expect("connect");
        assert_eq!(*t.stray().expect("a SYN").src.ip(), source, "to {remote}");
    }
}

/// MUST-45: every segment of a connection has the address that it began with.
#[test]
fn local_address_stays() {
    let mut t = Tester::with(|c| c.addresses.push(cidr(SECOND, 24)));
    dial(&mut t, Some(SocketAddrV4::new(SECOND, 777)), PEER, 80).expect("connect");
    for _ in 0..3 {
        t.wait(secs(10));
        assert_eq!(t.stray().expect("a SYN").src, SocketAddrV4::new(SECOND, 777));
    }
}

/// MUST-46: OPEN to what is no single host fails at once, without a packet.
#[test]
fn invalid_remote_addresses() {
    let mut t = Tester::new();
    for remote in nobody() {
        let (now, options) = (t.now(), t.stack.default_tcp_options());
        let opened = t.stack.tcp_connect(now, None, SocketAddr::new(remote, 80), options);
        t.pull();
        assert!(matches!(opened, Err(Error::InvalidInput(_) | Error::NetworkUnreachable)), "{remote}: {opened:?}");
    }
    assert_eq!(dial(&mut t, None, PEER, 0), Err(Error::ConnectionRefused), "port 0, where nobody can listen");
    let (now, options) = (t.now(), t.stack.default_tcp_options());
    let other_family = t.stack.tcp_connect(now, None, other_family(), options);
    assert!(matches!(other_family, Err(Error::NetworkUnreachable | Error::Unsupported)), "{other_family:?}");
    t.pull();
    t.expect_nothing();
    assert_eq!((t.stack.tcp_snapshot().len(), t.stack.deadline()), (0, None));
}

/// One 4-tuple, one connection.
#[test]
fn the_same_connection_twice() {
    let mut t = Tester::new();
    dial(&mut t, Some(SocketAddrV4::new(LOCAL, 777)), PEER, 80).expect("connect");
    let again = dial(&mut t, Some(SocketAddrV4::new(LOCAL, 777)), PEER, 80);
    assert_eq!(again.err(), Some(Error::AddrInUse));
    dial(&mut t, Some(SocketAddrV4::new(LOCAL, 777)), PEER, 81).expect("another peer port is another connection");
}

/// Opening the 4-tuple of a TIME-WAIT record again, by us, is refused or starts above its numbers.
#[test]
fn connect_over_time_wait() {
    let mut t = Tester::new();
    t.new_flow(80, 777);
    let id = dial(&mut t, Some(SocketAddrV4::new(LOCAL, 777)), PEER, 80).expect("connect");
    t.use_conn(id);
    t.expect(syn());
    t.send(synack().mss(1460));
    t.expect(ack());
    t.shutdown_write();
    t.expect(fin());
    t.send(fin().ack(2));
    t.expect(ack());
    t.close();
    let end = t.stack_iss().wrapping_add(2);
    if dial(&mut t, Some(SocketAddrV4::new(LOCAL, 777)), PEER, 80).is_ok() {
        let first = t.expect(syn());
        assert!((first.seq.wrapping_sub(end) as i32) > 0);
    } else {
        t.expect_state(State::TimeWait);
    }
}

/// All ephemeral ports to one peer in use: an error at once, and again a port as soon as one is free.
#[test]
fn port_exhaustion() {
    let mut t = Tester::with(|c| (c.tcp.ephemeral_low, c.tcp.ephemeral_high) = (40_000, 40_015)).without_timer_check();
    let ids: Vec<TcpId> = (0..16).map(|_| dial(&mut t, None, PEER, 80).expect("a port")).collect();
    assert_eq!(dial(&mut t, None, PEER, 80).err(), Some(Error::AddrNotAvailable));
    dial(&mut t, None, PEER, 81).expect("to another port there are free ones");
    let now = t.now();
    t.stack.tcp_abort(now, ids[3]).expect("abort");
    dial(&mut t, None, PEER, 80).expect("one is free again");
}

/// MUST-48 SHLD-21 SHLD-22: the Diffserv field of every segment is the application's, also changed on the way.
#[test]
fn diffserv() {
    let mut t = Tester::new();
    t.listen_with(80, 4, |o| o.tos = 0xb8);
    t.send(syn().mss(1460));
    t.expect(synack().tos(0xb8));
    t.send(ack());
    t.accept();
    t.write(b"x");
    t.expect(data(b"x").tos(0xb8));
    t.set(|o| o.tos = 0x28);
    t.send(full(1460));
    t.send(full(1460));
    t.expect(ack().tos(0x28));
    t.abort();
    t.expect(reset().tos(0x28));
    t.connect_with(|o| o.tos = 0x48);
    t.expect(syn().tos(0x48));
}

/// MUST-49: so is the TTL.
#[test]
fn time_to_live() {
    let mut t = Tester::with(|c| c.ttl = 77);
    t.listen_with(80, 4, |o| o.ttl = 9);
    t.send(syn().mss(1460));
    t.expect(synack().ttl(9));
    t.send(ack());
    t.accept();
    t.set(|o| o.ttl = 201);
    t.write(b"x");
    t.expect(data(b"x").ttl(201));
    t.abort();
    t.expect(reset().ttl(201));
    t.connect();
    t.expect(syn().ttl(77));
    // A reset without a connection has the stack's own.
    t.new_flow(1, 4444);
    t.send(ack().abs_ack(1));
    t.expect(rst().ttl(77));
}

/// 1122-11: TTL 0 is refused.
#[test]
fn ttl_zero_is_refused() {
    let mut t = Tester::new();
    let id = t.establish();
    let options = tunstack::stack::TcpOptions { ttl: 0, ..t.stack.default_tcp_options() };
    let now = t.now();
    assert!(matches!(t.stack.set_tcp_options(now, id, options), Err(Error::InvalidInput(_))));
}

/// The error is told once; a closed handle is no handle.
#[test]
fn errors_and_handles() {
    let mut t = Tester::new();
    let id = t.establish();
    t.send(rst().seq(1));
    assert!(t.readiness().contains(Readiness::ERROR));
    assert_eq!(t.take_error(), Some(Error::ConnectionReset));
    assert_eq!(t.take_error(), None);
    t.expect_eof();
    t.close();
    assert_eq!(t.try_read(1), Err(Error::BadHandle));
    assert_eq!(t.stack.tcp_state(id), Err(Error::BadHandle));
}

/// A write after the peer has reset: the error first, then a broken pipe.
#[test]
fn write_after_reset() {
    let mut t = Tester::new();
    t.establish();
    t.send(rst().seq(1));
    assert_eq!(t.try_write(b"x"), Err(Error::ConnectionReset));
    assert_eq!(t.try_write(b"x"), Err(Error::BrokenPipe));
}

/// The send buffer is bounded, and WRITABLE comes back when it drains.
#[test]
fn send_buffer_is_bounded() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).wnd(0));
    t.set(|o| o.send_buffer = Some(10_000));
    let mut taken = 0;
    loop {
        match t.try_write(&pattern(0..3000)) {
            Ok(n) => taken += n,
            Err(e) => {
                assert_eq!(e, Error::WouldBlock);
                break;
            }
        }
        assert!(taken < 100_000);
    }
    assert!(!t.readiness().contains(Readiness::WRITABLE));
    t.send(ack().wnd(65_535));
    for _ in 0..20 {
        t.drain();
        t.send(ack().wnd(65_535));
    }
    assert!(t.readiness().contains(Readiness::WRITABLE));
}

/// attack-11: no more than the backlog waits to be accepted; the others' last ACK is dropped and they are served later.
#[test]
fn accept_queue_is_bounded() {
    let mut t = Tester::new();
    t.listen_with(80, 4, |_| {});
    let flows: Vec<usize> = (0..40).map(|i| t.new_flow(2000 + i, 80)).collect();
    let mut open = Vec::new();
    for flow in &flows {
        t.switch(*flow);
        t.send(syn().mss(1460));
        if t.next().is_some() {
            t.send(ack());
            open.push(*flow);
        }
    }
    let established = |t: &Tester| t.stack.tcp_snapshot().iter().filter(|i| i.state == State::Established).count();
    assert!((4..=5).contains(&established(&t)), "{} established with a backlog of 4", established(&t));
    assert!(t.dropped(DropReason::TcpAcceptQueueFull) > 0);
    // The application wakes up: whoever tries again is served.
    let mut accepted = 0;
    for _ in 0..40 {
        while t.try_accept().is_ok() {
            accepted += 1;
        }
        t.advance(ms(500));
        for flow in &flows {
            t.switch(*flow);
            match t.state() {
                State::Established => {}
                State::SynReceived => {
                    t.drain();
                    t.send(ack());
                }
                _ => {
                    t.send(syn().mss(1460));
                    if t.drain().iter().any(|p| p.has(SYN)) {
                        t.send(ack());
                    }
                }
            }
        }
    }
    while t.try_accept().is_ok() {
        accepted += 1;
    }
    assert_eq!(accepted, 40);
}

/// 1122-48 1122-46: routes say who can be reached, from which address, and with what size; whom we must not answer we do
/// not hear.
#[test]
fn routes_decide() {
    let (other, far) = (Ipv4Addr::new(192, 0, 2, 7), Ipv4Addr::new(198, 51, 100, 9));
    let kinds = [
        (RouteKind::Unreachable, Error::HostUnreachable),
        (RouteKind::Prohibit, Error::PermissionDenied),
        (RouteKind::Blackhole, Error::InvalidInput("the route to the destination is a black hole")),
    ];
    for (kind, error) in kinds {
        let mut t = Tester::with(|c| {
            c.addresses.push(cidr(other, 24));
            c.routes = vec![
                Route { kind, ..Route::new(cidr(far, 24)) },
                Route { mtu: Some(link_mtu(1400)), source: Some(on_wire(other)), ..Route::new(cidr(PEER, 32)) },
            ];
        });
        let options = t.stack.default_tcp_options();
        let udp = t.stack.udp_bind(wire_addr(SocketAddrV4::new(LOCAL, 9))).expect("a socket");
        for (to, error) in [(far, error), (Ipv4Addr::new(203, 0, 113, 9), Error::NetworkUnreachable)] {
            let to = wire_addr(SocketAddrV4::new(to, 80));
            assert_eq!(t.stack.tcp_connect(t.now(), None, to, options.clone()), Err(error));
            assert_eq!(t.stack.udp_send(t.now(), udp, b"x", Some(to)), Err(error));
        }
        t.listen(80);
        let became = t.send(syn().mss(1460).src(SocketAddrV4::new(far, 1000)));
        assert_eq!(became, Disposition::Dropped(DropReason::NoRoute));
        t.expect_nothing();
        t.send(syn().mss(1460));
        t.expect(synack().mss(1360));
        t.connect();
        assert_eq!(*t.expect(syn().mss(1360)).src.ip(), other);
    }
}
