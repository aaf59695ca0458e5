//! `Stack` for a loop of one's own, by its public API alone: sockets by handle, non-blocking, with options, readiness and
//! numbers to look at; UDP, the gates, time and loss.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::error::{Error, Result};
use tunstack::rng::Rng;
use tunstack::stack::{
    Cidr, Config, Keepalive, Readiness, Refusal, SendMsg, Shutdown, SocketId, Stack, State, TcpId, UdpBind,
};
use tunstack::stats::Disposition;
use tunstack::time::Instant;
use tunstack::wire::RxFrame;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Two stacks and the wire between them, in virtual time.
struct World {
    client: Stack,
    server: Stack,
    now: Instant,
    /// Frames to be lost on their way to the server.
    lose: usize,
}

impl World {
    fn new() -> World {
        World::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> World {
        let addresses = |n: u8| -> Vec<Cidr> {
            let (v4, v6): (IpAddr, IpAddr) = ([192, 0, 2, n].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into()].into());
            vec![Cidr::new(v4, 24), Cidr::new(v6, 64)]
        };
        let mut config = Config { addresses: addresses(2), ..Config::default() };
        change(&mut config);
        let now = Instant::from_millis(1);
        let client = Config { addresses: addresses(1), ..Config::default() };
        World {
            client: Stack::new(client, Rng::seed_from(1), now).unwrap(),
            server: Stack::new(config, Rng::seed_from(2), now).unwrap(),
            now,
            lose: 0,
        }
    }

    /// Carries frames until there are none.
    fn carry(&mut self) {
        for _ in 0..10_000 {
            let there = self.client.poll_transmit(self.now);
            let back = self.server.poll_transmit(self.now);
            if there.is_none() && back.is_none() {
                return;
            }
            if let Some(frame) = there {
                if self.lose > 0 {
                    self.lose -= 1;
                } else {
                    self.server.on_frame(self.now, RxFrame::plain(Slice::copy_of(&frame.to_vec())));
                }
            }
            if let Some(frame) = back {
                self.client.on_frame(self.now, RxFrame::plain(Slice::copy_of(&frame.to_vec())));
            }
        }
        panic!("they talk without end");
    }

    /// Lets time pass, through every deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.carry();
            let next = self.client.deadline().into_iter().chain(self.server.deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.client.on_deadline(self.now);
            self.server.on_deadline(self.now);
        }
        self.now = end;
    }

    /// A connection to port 80: the client's handle and the server's.
    fn connection(&mut self, to: &str) -> (TcpId, TcpId) {
        let options = self.server.default_tcp_options();
        let listener = self.server.tcp_listen(at(to), 8, options.clone()).unwrap();
        let near = self.client.tcp_connect(self.now, None, at(to), options).unwrap();
        self.carry();
        let (far, peer) = self.server.tcp_accept(self.now, listener).unwrap();
        assert_eq!(self.client.tcp_local_addr(near), Ok(peer));
        (near, far)
    }
}

fn ready_sockets(stack: &mut Stack) -> Vec<SocketId> {
    std::iter::from_fn(|| stack.poll_ready()).collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn connecting_is_told_by_readiness() {
    for to in ["192.0.2.2:80", "[2001:db8::2]:80"] {
        let mut w = World::new();
        let options = w.server.default_tcp_options();
        let listener = w.server.tcp_listen(at(to), 8, options.clone()).unwrap();
        assert_eq!(w.server.tcp_accept(w.now, listener), Err(Error::WouldBlock));
        assert_eq!(w.server.listener_addr(listener), Ok(at(to)));
        let near = w.client.tcp_connect(w.now, None, at(to), options).unwrap();
        assert_eq!(w.client.tcp_state(near), Ok(State::SynSent));
        assert_eq!(w.client.readiness(SocketId::Tcp(near)), Readiness::NONE);
        assert_eq!(w.client.tcp_peer_addr(near), Err(Error::NotConnected));
        assert_eq!(w.client.tcp_recv(w.now, near, &mut [0; 9]), Err(Error::WouldBlock));
        w.carry();
        assert_eq!(ready_sockets(&mut w.client), [SocketId::Tcp(near)]);
        assert_eq!(w.client.readiness(SocketId::Tcp(near)), Readiness::WRITABLE);
        assert_eq!(ready_sockets(&mut w.server), [SocketId::Listener(listener)]);
        assert_eq!(w.server.readiness(SocketId::Listener(listener)), Readiness::READABLE);
        let (far, peer) = w.server.tcp_accept(w.now, listener).unwrap();
        assert_eq!((w.server.tcp_local_addr(far), w.server.tcp_peer_addr(far)), (Ok(at(to)), Ok(peer)));
        w.server.listener_close(w.now, listener).unwrap();
        assert_eq!(w.server.tcp_accept(w.now, listener), Err(Error::BadHandle));
    }
}

#[test]
fn reading_and_writing_never_block_and_say_when_to_go_on() {
    let mut w = World::new();
    let (near, far) = w.connection("192.0.2.2:80");
    // Until both ends' buffers are full.
    let data = vec![7; 100_000];
    let mut sent = 0;
    let full = loop {
        match w.client.tcp_send(w.now, near, &data) {
            Ok(n) => sent += n,
            Err(error) => break error,
        }
        w.carry();
        assert!(sent < 100_000_000, "nothing holds it back");
    };
    assert_eq!(full, Error::WouldBlock);
    w.pass(10 * MS);
    ready_sockets(&mut w.client);
    assert!(!w.client.readiness(SocketId::Tcp(near)).contains(Readiness::WRITABLE));
    // Whoever reads makes room, and the writer is told.
    let mut buf = vec![0; 65_536];
    let mut received = 0;
    while received < sent {
        match w.server.tcp_recv(w.now, far, &mut buf) {
            Ok(n) => received += n,
            Err(Error::WouldBlock) => w.pass(MS),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(ready_sockets(&mut w.client).contains(&SocketId::Tcp(near)));
    assert!(w.client.tcp_send(w.now, near, b"more").is_ok());
    w.pass(100 * MS);
    // A look does not take.
    assert_eq!(w.server.tcp_peek(far, &mut buf), Ok(4));
    assert_eq!(w.server.tcp_recv(w.now, far, &mut buf[..2]), Ok(2));
    let slices = w.server.tcp_pop(w.now, far, 100).unwrap();
    assert_eq!(slices.iter().map(|slice| slice.len()).sum::<usize>(), 2);
    // Urgent data, and its mark.
    w.client.tcp_send(w.now, near, b"ab").unwrap();
    w.client.tcp_send_urgent(w.now, near, b"!").unwrap();
    w.carry();
    assert!(w.server.readiness(SocketId::Tcp(far)).contains(Readiness::PRIORITY));
    while !w.server.tcp_at_mark(far).unwrap() {
        assert_eq!(w.server.tcp_recv(w.now, far, &mut buf[..1]), Ok(1));
    }
    // One direction ends, then the other.
    w.client.tcp_shutdown(w.now, near, Shutdown::Write).unwrap();
    assert_eq!(w.client.tcp_send(w.now, near, b"x"), Err(Error::BrokenPipe));
    w.carry();
    while w.server.tcp_recv(w.now, far, &mut buf).unwrap() > 0 {}
    assert!(w.server.readiness(SocketId::Tcp(far)).contains(Readiness::READ_CLOSED));
    w.server.tcp_send(w.now, far, b"still").unwrap();
    w.server.tcp_close(w.now, far).unwrap();
    assert_eq!(w.server.tcp_recv(w.now, far, &mut buf), Err(Error::BadHandle));
    w.carry();
    assert_eq!(w.client.tcp_recv(w.now, near, &mut buf), Ok(5));
    assert_eq!(w.client.tcp_recv(w.now, near, &mut buf), Ok(0));
    w.client.tcp_close(w.now, near).unwrap();
    w.pass(Duration::from_secs(120));
    assert_eq!((w.client.tcp_snapshot().len(), w.client.memory()), (0, 0));
    assert_eq!(w.client.deadline(), None, "nothing will ever happen again");
}

#[test]
fn options_are_set_by_handle_and_refused_out_of_range() {
    let mut w = World::new();
    let (near, far) = w.connection("192.0.2.2:80");
    let mut options = w.client.tcp_options(near).unwrap().clone();
    assert!(!options.nodelay && options.keepalive.is_none());
    options.nodelay = true;
    options.keepalive = Some(Keepalive { idle: Duration::from_secs(5), ..Keepalive::default() });
    w.client.set_tcp_options(w.now, near, options.clone()).unwrap();
    assert_eq!(w.client.tcp_options(near), Ok(&options));
    // With it, an idle connection is probed.
    w.pass(Duration::from_secs(6));
    assert_eq!(w.client.stats().tcp.keepalive_probes, 1);
    options.ttl = 0;
    assert!(matches!(w.client.set_tcp_options(w.now, near, options), Err(Error::InvalidInput(_))));
    assert_eq!(w.client.tcp_options(near).unwrap().ttl, 64, "nothing has changed");
    let info = w.server.tcp_info(far).unwrap();
    assert_eq!((info.state, info.remote.ip()), (State::Established, at("192.0.2.1:0").ip()));
    assert!(info.mss > 1000 && info.cwnd > 0 && info.sack && info.timestamps);
    assert_eq!(w.server.tcp_snapshot().len(), 2, "it and the listener");
    // A listener's are those of what it accepts.
    let options = w.server.default_tcp_options();
    let listener = w.server.tcp_listen(at("192.0.2.2:81"), 8, options.clone()).unwrap();
    w.server.listener_options(listener).unwrap().nodelay = true;
    w.client.tcp_connect(w.now, None, at("192.0.2.2:81"), options).unwrap();
    w.carry();
    let (accepted, _) = w.server.tcp_accept(w.now, listener).unwrap();
    assert!(w.server.tcp_options(accepted).unwrap().nodelay);
}

#[test]
fn what_is_lost_is_sent_again_at_the_deadline() {
    let mut w = World::new();
    let (near, far) = w.connection("192.0.2.2:80");
    w.pass(100 * MS);
    w.lose = 1;
    w.client.tcp_send(w.now, near, b"lost").unwrap();
    w.carry();
    assert_eq!(w.server.tcp_recv(w.now, far, &mut [0; 9]), Err(Error::WouldBlock));
    let deadline = w.client.deadline().expect("somebody waits for the ACK");
    assert!(deadline > w.now && deadline <= w.now + Duration::from_secs(2));
    // Early is harmless, and not too late.
    w.client.on_deadline(w.now);
    w.carry();
    assert_eq!(w.server.tcp_recv(w.now, far, &mut [0; 9]), Err(Error::WouldBlock));
    w.pass(Duration::from_secs(2));
    assert_eq!(w.server.tcp_recv(w.now, far, &mut [0; 9]), Ok(4));
    assert_eq!(w.client.tcp_info(near).unwrap().retransmits, 1);
}

#[test]
fn errors_are_those_of_the_peer_and_told_once() {
    let mut w = World::new();
    let options = w.client.default_tcp_options();
    let near = w.client.tcp_connect(w.now, None, at("192.0.2.2:9"), options.clone()).unwrap();
    w.carry();
    assert!(w.client.readiness(SocketId::Tcp(near)).contains(Readiness::ERROR | Readiness::HANGUP));
    assert_eq!(w.client.tcp_take_error(near), Ok(Some(Error::ConnectionRefused)));
    assert_eq!(w.client.tcp_take_error(near), Ok(None));
    w.client.tcp_close(w.now, near).unwrap();
    let (near, far) = w.connection("192.0.2.2:80");
    w.server.tcp_abort(w.now, far).unwrap();
    w.carry();
    assert_eq!(w.client.tcp_recv(w.now, near, &mut [0; 9]), Err(Error::ConnectionReset));
    assert_eq!(w.client.tcp_recv(w.now, near, &mut [0; 9]), Ok(0));
    assert_eq!(w.client.tcp_send(w.now, near, b"x"), Err(Error::BrokenPipe));
    let refused = |w: &mut World, local: Option<&str>, to: &str| -> Error {
        let options = w.client.default_tcp_options();
        w.client.tcp_connect(w.now, local.map(at), at(to), options).unwrap_err()
    };
    // What cannot be is refused as by the kernel.
    assert_eq!(refused(&mut w, None, "192.0.2.2:0"), Error::ConnectionRefused);
    assert_eq!(refused(&mut w, None, "224.0.0.1:80"), Error::NetworkUnreachable);
    assert_eq!(refused(&mut w, Some("203.0.113.1:5"), "192.0.2.2:80"), Error::AddrNotAvailable);
    assert_eq!(w.server.tcp_listen(at("192.0.2.2:80"), 8, options.clone()), Err(Error::AddrInUse));
    assert_eq!(w.server.tcp_listen(at("203.0.113.1:80"), 8, options), Err(Error::AddrNotAvailable));
}

#[test]
fn datagrams_by_handle() -> Result<()> {
    let mut w = World::new();
    let server = w.server.udp_bind(at("[::]:53"))?;
    let client = w.client.udp_bind_with(at("192.0.2.1:0"), UdpBind::default())?;
    assert_eq!(w.server.udp_recv(server, &mut [0; 9], false), Err(Error::WouldBlock));
    w.client.udp_connect(client, at("192.0.2.2:53"))?;
    w.client.udp_options(client)?.ttl = 7;
    assert_eq!(w.client.udp_send(w.now, client, b"question", None), Ok(8));
    w.carry();
    assert_eq!(ready_sockets(&mut w.server), [SocketId::Udp(server)]);
    let mut buf = [0; 4];
    let got = w.server.udp_recv_msg(server, &mut buf, false)?;
    assert_eq!((got.len, got.truncated, got.ttl, got.interface), (4, true, 7, 1));
    assert_eq!(got.destination, at("[::ffff:192.0.2.2]:53"), "a socket of IPv6 knows IPv4's so");
    w.server.udp_send_msg(w.now, server, &SendMsg::to(got.source, b"answer"))?;
    w.carry();
    let mut buf = [0; 100];
    assert_eq!(w.client.udp_recv(client, &mut buf, false), Ok((6, at("192.0.2.2:53"))));
    // Whoever has gone says so to the next who sends.
    w.server.udp_close(server)?;
    w.client.udp_send(w.now, client, b"hello?", None)?;
    w.carry();
    assert!(w.client.readiness(SocketId::Udp(client)).contains(Readiness::ERROR));
    assert_eq!(w.client.udp_send(w.now, client, b"hello?", None), Err(Error::ConnectionRefused));
    Ok(())
}

#[test]
fn a_loop_of_ones_own_decides_before_the_syn_ack() -> Result<()> {
    let mut w = World::with(|config| config.any_address = true);
    let gate = w.server.syn_gate_open(w.server.default_tcp_options())?;
    let connect = |w: &mut World, to: &str| {
        let options = w.client.default_tcp_options();
        let near = w.client.tcp_connect(w.now, None, at(to), options).unwrap();
        w.carry();
        near
    };
    let near = connect(&mut w, "203.0.113.5:443");
    assert_eq!(w.client.tcp_state(near), Ok(State::SynSent), "nobody has answered");
    assert_eq!(ready_sockets(&mut w.server), [SocketId::SynGate(gate)]);
    let request = w.server.syn_next(gate)?;
    assert_eq!(request.destination, at("203.0.113.5:443"));
    let far = w.server.syn_accept(w.now, gate, request.id)?;
    w.carry();
    assert_eq!(ready_sockets(&mut w.server), [SocketId::Tcp(far)]);
    assert_eq!(w.client.tcp_peer_addr(near), Ok(at("203.0.113.5:443")));
    let other = connect(&mut w, "203.0.113.5:444");
    let request = w.server.syn_next(gate)?;
    w.server.syn_refuse(w.now, gate, request.id, Refusal::Reset)?;
    w.carry();
    assert_eq!(w.client.tcp_take_error(other), Ok(Some(Error::ConnectionRefused)));
    // The same for datagrams.
    let gate = w.server.udp_gate_open()?;
    let socket = w.client.udp_bind(at("192.0.2.1:5000"))?;
    w.client.udp_send(w.now, socket, b"x", Some(at("203.0.113.6:53")))?;
    w.carry();
    let (flow, source) = w.server.udp_gate_accept(gate)?;
    assert_eq!(source, at("192.0.2.1:5000"));
    assert_eq!(w.server.udp_recv_msg(flow, &mut [0; 9], false)?.destination, at("203.0.113.6:53"));
    Ok(())
}

#[test]
fn nonsense_is_counted_and_moves_nothing() {
    let mut w = World::new();
    for bytes in [&b""[..], b"x", &[0x45; 20], &[0x60; 40], &[0xff; 1500]] {
        let disposition = w.server.on_frame(w.now, RxFrame::plain(Slice::copy_of(bytes)));
        assert!(matches!(disposition, Disposition::Dropped(_)), "{disposition:?}");
    }
    assert_eq!(w.server.stats().dropped_total(), 5);
    assert!(w.server.poll_transmit(w.now).is_none() && w.server.poll_ready().is_none());
}
