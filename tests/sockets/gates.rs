//! The gates: whoever wants to connect, and datagrams to any address, with verdicts and flows.

use super::common::*;
use super::fabric;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;
use tunstack::device::mem;
use tunstack::net::sockopt::*;
use tunstack::net::{Events, Host, Interest, Poller, Refusal, SynRequest, Trigger, UdpSocket, Unreachable};
use tunstack::stack::Config;
use tunstack::stats::DropReason;

/// A host of one address, and one of all others.
fn any_hosts() -> (Host, Host) {
    any_hosts_with(|_| {})
}

fn any_hosts_with(change: impl FnOnce(&mut Config) + 'static) -> (Host, Host) {
    let dual = |own: &str, v6: &str| builder(own).address(format!("{v6}/64"));
    // Nothing is lost: on a busy machine no SYN is to be sent again, for requests are counted.
    let client = dual(CLIENT, "2001:db8::1").config(|config| config.tcp.initial_rto = Duration::from_secs(30));
    let server = dual(SERVER, "2001:db8::2").any_address().config(change);
    if env!("CARGO_CRATE_NAME") == "queues" {
        let [a, b] = fabric::link(2, 3, 10);
        return (client.start_queues(a).unwrap(), server.start_queues(b).unwrap());
    }
    let (a, b) = mem::pair(1500, 4096).unwrap();
    (client.start(a).unwrap(), server.start(b).unwrap())
}

const TARGETS: [&str; 2] = ["203.0.113.9:8080", "[2001:db8:9::9]:8080"];

/// Connects in a thread of its own.
fn connects(client: &Host, to: &str) -> thread::JoinHandle<io::Result<tunstack::net::TcpStream>> {
    let (client, to) = (client.clone(), addr(to));
    thread::spawn(move || client.connect(to))
}

#[test]
fn accepted_streams_are_from_where_they_were_asked_for() {
    within(60, || {
        let (client, server) = any_hosts();
        let gate = server.syn_gate().unwrap();
        assert_eq!(server.syn_gate().unwrap_err().kind(), ErrorKind::AddrInUse);
        for target in TARGETS {
            let connecting = connects(&client, target);
            let request = gate.accept().unwrap();
            assert_eq!(request.destination(), addr(target));
            assert!(request.options().mss.is_some());
            assert_eq!(gate.load().unwrap().0, 1);
            let source = request.source();
            let mut far = request.accept().unwrap();
            assert_eq!((far.local_addr().unwrap(), far.peer_addr().unwrap()), (addr(target), source));
            far.write_all(b"welcome").unwrap();
            let mut near = connecting.join().unwrap().unwrap();
            assert_eq!((near.peer_addr().unwrap(), near.local_addr().unwrap()), (addr(target), source));
            let mut buf = [0; 7];
            near.read_exact(&mut buf).unwrap();
            near.write_all(&buf).unwrap();
            far.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"welcome");
            assert_eq!(gate.load().unwrap(), (0, 0));
        }
    });
}

#[test]
fn options_of_a_gate_are_those_of_its_streams() {
    within(60, || {
        let (client, server) = any_hosts();
        let gate = server.syn_gate().unwrap();
        assert!(!gate.getsockopt(TCP_NODELAY).unwrap());
        gate.setsockopt(TCP_NODELAY, true).unwrap();
        gate.setsockopt(SO_SNDBUF, 50_000).unwrap();
        gate.setsockopt(SO_RCVTIMEO, Some(Duration::from_millis(20))).unwrap();
        assert_eq!(gate.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        gate.setsockopt(SO_RCVTIMEO, None).unwrap();
        assert_eq!(gate.setsockopt(IP_TTL, 0).unwrap_err().kind(), ErrorKind::InvalidInput);
        let missing = gate.setsockopt(SO_BINDTODEVICE, Some("nonesuch".into())).unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENODEV));
        assert_eq!(gate.getsockopt(TCP_INFO).unwrap_err().raw_os_error(), Some(libc::ENOPROTOOPT));
        assert_eq!((gate.getsockopt(SO_SNDBUF).unwrap(), gate.getsockopt(SO_BINDTODEVICE).unwrap()), (50_000, None));
        let connecting = connects(&client, TARGETS[0]);
        let far = gate.accept().unwrap().accept().unwrap();
        assert!(far.nodelay().unwrap() && far.getsockopt(SO_SNDBUF).unwrap() == 50_000);
        connecting.join().unwrap().unwrap();
    });
}

#[test]
fn every_verdict_is_heard_as_what_it_is() {
    within(60, || {
        let (client, server) = any_hosts();
        let gate = server.syn_gate().unwrap();
        let refused: [fn(SynRequest) -> io::Result<()>; 4] = [
            |request| request.reset(),
            |request| request.unreachable(Unreachable::Port),
            |request| request.mirror(&io::Error::from(ErrorKind::ConnectionRefused)),
            |request| {
                drop(request); // without a verdict
                Ok(())
            },
        ];
        for target in TARGETS {
            for verdict in refused {
                let connecting = connects(&client, target);
                verdict(gate.accept().unwrap()).unwrap();
                assert_eq!(connecting.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionRefused);
            }
            // Silence is a time-out; and what a router says of a connect is told when that gives up.
            let to = addr(target);
            let connecting = thread::spawn({
                let client = client.clone();
                move || client.connect_timeout(&to, Duration::from_millis(300))
            });
            gate.accept().unwrap().mirror(&io::Error::from(ErrorKind::TimedOut)).unwrap();
            assert_eq!(connecting.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
        }
        let stats = server.stats();
        assert_eq!(stats.tcp.passive_opens, 0, "no SYN was accepted");
        assert_eq!((stats.gate.reset, stats.gate.unreachable, stats.gate.ignored), (6, 2, 2));
    });
}

/// A host of any address may be anybody, as who listens and as who connects.
#[test]
fn a_socket_of_any_address_is_bound_to_whichever() {
    within(60, || {
        let (client, server) = any_hosts();
        for (at, other) in [("203.0.113.9:0", CLIENT), ("[2001:db8:9::9]:0", "2001:db8::1")] {
            let new = |host: &Host| if at.starts_with('[') { host.tcp_socket_v6() } else { host.tcp_socket_v4() };
            assert_eq!(new(&client).bind(addr(at)).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
            let mut socket = new(&server);
            socket.bind(addr(at)).unwrap();
            let listener = socket.listen(4).unwrap();
            client.connect(listener.local_addr().unwrap()).unwrap();
            let there = client.listen(SocketAddr::new(other.parse().unwrap(), 0)).unwrap();
            let mut socket = new(&server);
            socket.bind(addr(at)).unwrap();
            let near = socket.connect(there.local_addr().unwrap()).unwrap();
            assert_eq!(near.local_addr().unwrap().ip(), addr(at).ip());
        }
    });
}

#[test]
fn errors_of_an_upstream_have_their_verdicts() {
    let unreachable = |what| Refusal::Unreachable(what);
    let raw = io::Error::from_raw_os_error;
    for (error, verdict) in [
        (raw(libc::ECONNREFUSED), Refusal::Reset),
        (raw(libc::ETIMEDOUT), Refusal::Silence),
        (raw(libc::EHOSTUNREACH), unreachable(Unreachable::Host)),
        (raw(libc::ENETUNREACH), unreachable(Unreachable::Network)),
        (raw(libc::ENETDOWN), unreachable(Unreachable::Network)),
        (raw(libc::EACCES), unreachable(Unreachable::Prohibited)),
        (raw(libc::EPERM), unreachable(Unreachable::Prohibited)),
        (raw(libc::ENOPROTOOPT), unreachable(Unreachable::Protocol)),
        (raw(libc::EMFILE), Refusal::Reset),
        (io::Error::from(ErrorKind::TimedOut), Refusal::Silence),
        (io::Error::other("whatever"), Refusal::Reset),
    ] {
        assert_eq!(Refusal::from(&error), verdict, "{error}");
    }
}

#[test]
fn a_gate_waits_as_listeners_do() {
    within(60, || {
        let (client, server) = any_hosts();
        let gate = server.syn_gate().unwrap();
        gate.set_accept_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(gate.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(gate.set_accept_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
        gate.set_nonblocking(true).unwrap();
        assert_eq!(gate.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let poller = Poller::new(&server).unwrap();
        poller.add(&gate, 7, Interest::READABLE, Trigger::Level).unwrap();
        let mut events = Events::with_capacity(4);
        poller.wait(&mut events, Some(Duration::from_millis(10))).unwrap();
        assert!(events.is_empty());
        let connecting = connects(&client, TARGETS[0]);
        poller.wait(&mut events, Some(Duration::from_secs(20))).unwrap();
        assert_eq!(events.iter().next().unwrap().key, 7);
        gate.accept().unwrap().reset().unwrap();
        assert!(connecting.join().unwrap().is_err());
        poller.delete(&gate).unwrap();

        // A task is woken.
        struct Unparks(thread::Thread);
        impl Wake for Unparks {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(std::sync::Arc::new(Unparks(thread::current())));
        let mut cx = Context::from_waker(&waker);
        assert!(gate.poll_ready(&mut cx, Interest::READABLE).is_pending());
        let connecting = connects(&client, TARGETS[1]);
        while gate.poll_ready(&mut cx, Interest::READABLE).is_pending() {
            thread::park_timeout(Duration::from_secs(20));
        }
        let request = gate.accept().unwrap();
        request.reset().unwrap();
        assert!(connecting.join().unwrap().is_err());

        // The host's end ends the wait, and the iteration.
        gate.set_nonblocking(false).unwrap();
        gate.set_accept_timeout(None).unwrap();
        let waiting = thread::spawn(move || gate.requests().count());
        thread::sleep(Duration::from_millis(50));
        server.shutdown(Duration::ZERO);
        assert_eq!(waiting.join().unwrap(), 0);
    });
}

#[test]
fn a_gate_that_is_dropped_is_closed_once_its_requests_are() {
    within(60, || {
        let (client, server) = any_hosts();
        let gate = server.syn_gate().unwrap();
        let connecting = connects(&client, TARGETS[0]);
        let request = gate.accept().unwrap();
        drop(gate);
        assert!(server.syn_gate().is_err(), "a request holds it open");
        let stream = request.accept().unwrap();
        connecting.join().unwrap().unwrap();
        drop(stream);
        assert_eq!(client.connect(addr("203.0.113.9:81")).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        server.syn_gate().unwrap();
    });
}

#[test]
fn many_threads_decide_and_none_is_asked_twice() {
    const CLIENTS: usize = 60;
    within(60, || {
        let (client, server) = any_hosts();
        let gate = server.syn_gate().unwrap();
        let deciders: Vec<_> = (0..4)
            .map(|_| {
                let gate = gate.clone();
                thread::spawn(move || {
                    let mut decided = 0;
                    for request in &gate {
                        let request = request.unwrap();
                        decided += 1;
                        match request.destination().port() % 3 {
                            0 => request.reset().unwrap(),
                            _ => drop(request.accept().unwrap()),
                        }
                    }
                    decided
                })
            })
            .collect();
        let clients: Vec<_> =
            (0..CLIENTS).map(|n| connects(&client, &format!("203.0.113.{}:{}", n % 7 + 1, 1000 + n))).collect();
        for (n, connecting) in clients.into_iter().enumerate() {
            assert_eq!(connecting.join().unwrap().is_err(), (1000 + n) % 3 == 0, "{n}");
        }
        drop(gate);
        server.shutdown(Duration::ZERO);
        let decided: usize = deciders.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(decided, CLIENTS);
        assert_eq!(server.stats().gate.requests, CLIENTS as u64);
    });
}

fn udp(host: &Host, at: &str) -> UdpSocket {
    let socket = host.bind_udp(addr(at)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

#[test]
fn datagrams_to_anybody_are_a_flow_for_each_source() {
    within(60, || {
        let (client, server) = any_hosts();
        let gate = server.udp_gate().unwrap();
        assert_eq!(server.udp_gate().unwrap_err().kind(), ErrorKind::AddrInUse);
        for (own, to) in [
            ("192.0.2.1:5000", ["203.0.113.1:53", "203.0.113.2:443", "198.51.100.1:9"]),
            ("[2001:db8::1]:5000", ["[2001:db8:9::1]:53", "[2001:db8:9::2]:443", "[2001:db8:8::1]:9"]),
        ] {
            let socket = udp(&client, own);
            socket.send_to(b"0", addr(to[0])).unwrap();
            let flow = gate.accept().unwrap();
            flow.socket().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!((flow.source(), flow.socket().peer_addr().unwrap()), (addr(own), addr(own)));
            let mut buf = [0; 10];
            assert_eq!(flow.recv(&mut buf).unwrap(), (1, addr(to[0])));
            // Whatever queue they come by, they are of the one flow.
            for n in 0..60 {
                let at = SocketAddr::new(addr(to[n % 3]).ip(), 1000 + n as u16);
                socket.send_to(&[n as u8], at).unwrap();
                assert_eq!((flow.recv(&mut buf).unwrap(), buf[0]), ((1, at), n as u8));
                assert_eq!(flow.send(&buf[..1], at).unwrap(), 1);
                assert_eq!((socket.recv_from(&mut buf).unwrap(), buf[0]), ((1, at), n as u8));
            }
            gate.set_nonblocking(true).unwrap();
            assert_eq!(gate.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
            gate.set_nonblocking(false).unwrap();
            // Whoever is let go may come again.
            drop(flow);
            socket.send_to(b"again", addr(to[2])).unwrap();
            assert_eq!(gate.accept().unwrap().recv(&mut buf).unwrap(), (5, addr(to[2])));
        }
        assert_eq!(server.stats().dropped(DropReason::UdpNoSocket), 0);
    });
}

#[test]
fn a_flow_can_be_polled_and_ends_when_idle() {
    within(60, || {
        let (client, server) = any_hosts_with(|config| {
            config.flows.unanswered = Duration::from_millis(200);
        });
        let gate = server.udp_gate().unwrap();
        let poller = Poller::new(&server).unwrap();
        poller.add(&gate, 1, Interest::READABLE, Trigger::Level).unwrap();
        let socket = udp(&client, "192.0.2.1:5000");
        let mut events = Events::with_capacity(4);
        gate.set_nonblocking(true).unwrap();
        // Where the machine is busy, a flow may end before anybody has looked at it: then another one.
        let flow = loop {
            socket.send_to(b"x", addr("203.0.113.1:53")).unwrap();
            poller.wait(&mut events, Some(Duration::from_secs(20))).unwrap();
            assert_eq!(events.iter().next().unwrap().key, 1);
            let Ok(flow) = gate.accept() else { continue };
            poller.add(&flow, 2, Interest::READABLE, Trigger::Edge).unwrap();
            poller.wait(&mut events, Some(Duration::from_secs(20))).unwrap();
            assert_eq!(events.iter().next().unwrap().key, 2);
            match flow.recv(&mut [0; 9]) {
                Ok(_) => break flow,
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
        };
        let before = server.stats().gate.flows_expired;
        // Blocked, it is woken by its end.
        assert_eq!(flow.recv(&mut [0; 9]).unwrap_err().kind(), ErrorKind::TimedOut);
        poller.wait(&mut events, Some(Duration::from_secs(20))).unwrap();
        assert_eq!(events.iter().next().unwrap().key, 2);
        assert_eq!(flow.send(b"x", addr("203.0.113.1:53")).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(server.stats().gate.flows_expired, before + 1);
    });
}
