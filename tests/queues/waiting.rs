//! Threads that wait on several queues at once: what comes to any of them wakes one that can use it. A wake-up that is
//! lost shows as a time-out.

use crate::sockets::common::{CLIENT, SERVER, until, within};
use crate::sockets::fabric;
use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tunstack::net::{Events, Interest, Poller, Trigger};

const ROUNDS: usize = 400;

fn at(addr: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr.parse().unwrap(), port)
}

#[test]
fn a_datagram_to_any_queue_wakes_the_one_receiver() {
    within(120, || {
        let (client, server) = fabric::hosts(1, 4, 0);
        let socket = server.bind_udp((SERVER, 7)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut buf = [0; 100];
                for _ in 0..ROUNDS {
                    let (n, from) = socket.recv_from(&mut buf).expect("woken");
                    socket.send_to(&buf[..n], from).unwrap();
                }
            });
            // Each port is a flow, so that all queues have their turn, one datagram at a time.
            for round in 0..ROUNDS {
                let own = client.bind_udp((CLIENT, 10_000 + (round % 50) as u16)).unwrap();
                own.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                own.send_to(&[round as u8], at(SERVER, 7)).unwrap();
                let mut buf = [0; 10];
                assert_eq!(own.recv_from(&mut buf).expect("answered"), (1, at(SERVER, 7)));
                assert_eq!(buf[0], round as u8);
            }
        });
    });
}

/// A poller of one queue cannot watch what has parts in others; nor does it keep a part from those who can.
#[test]
fn a_poller_watches_all_of_a_socket_or_nothing() {
    within(60, || {
        let (_client, server) = fabric::hosts(1, 4, 0);
        let listener = server.listen((SERVER, 80)).unwrap();
        for queue in 0..4 {
            let one = Poller::on_queue(&server, queue).unwrap();
            one.add(&listener, 1, Interest::READABLE, Trigger::Level).unwrap_err();
            let all = Poller::new(&server).unwrap();
            all.add(&listener, 1, Interest::READABLE, Trigger::Level).unwrap();
            let again = all.add(&listener, 1, Interest::READABLE, Trigger::Level).unwrap_err();
            assert_eq!(again.kind(), ErrorKind::AlreadyExists);
            all.delete(&listener).expect("it is watched still");
        }
    });
}

#[test]
fn a_connection_to_any_queue_wakes_an_accepter() {
    within(120, || {
        let (client, server) = fabric::hosts(2, 4, 0);
        let listener = server.listen_with((SERVER, 80), 64).unwrap();
        let served = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while served.fetch_add(1, Ordering::Relaxed) < ROUNDS {
                        let (mut stream, _) = listener.accept().unwrap();
                        let mut byte = [0];
                        stream.read_exact(&mut byte).unwrap();
                        stream.write_all(&byte).unwrap();
                    }
                });
            }
            for round in 0..ROUNDS {
                let mut stream = client.connect_timeout(&at(SERVER, 80), Duration::from_secs(20)).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.write_all(&[round as u8]).unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("accepted and answered");
                assert_eq!(byte[0], round as u8);
            }
        });
    });
}

#[test]
fn a_poller_hears_of_sockets_in_all_queues() {
    within(120, || {
        let (client, server) = fabric::hosts(2, 3, 0);
        let listener = server.listen_with((SERVER, 80), 64).unwrap();
        listener.set_nonblocking(true).unwrap();
        let socket = server.bind_udp((SERVER, 7)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let poller = Poller::new(&server).unwrap();
        poller.add(&listener, 0, Interest::READABLE, Trigger::Level).unwrap();
        poller.add(&socket, 1, Interest::READABLE, Trigger::Level).unwrap();
        assert_eq!(
            poller.add(&socket, 1, Interest::READABLE, Trigger::Level).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        thread::scope(|scope| {
            scope.spawn(|| {
                let (mut events, mut streams) = (Events::with_capacity(16), BTreeMap::new());
                let (mut done, mut buf) = (0, [0; 100]);
                while done < 2 * ROUNDS {
                    poller.wait(&mut events, Some(Duration::from_secs(20))).unwrap();
                    assert!(!events.is_empty(), "woken");
                    for event in &events {
                        match event.key {
                            0 => {
                                while let Ok((stream, _)) = listener.accept() {
                                    let key = 2 + streams.len() as u64;
                                    stream.set_nonblocking(true).unwrap();
                                    poller.add(&stream, key, Interest::READABLE, Trigger::Level).unwrap();
                                    streams.insert(key, stream);
                                }
                            }
                            1 => {
                                while let Ok((n, from)) = socket.recv_from(&mut buf) {
                                    socket.send_to(&buf[..n], from).unwrap();
                                    done += 1;
                                }
                            }
                            key => match (&streams[&key]).read(&mut buf) {
                                Ok(n) if n > 0 => {
                                    (&streams[&key]).write_all(&buf[..n]).unwrap();
                                    done += 1;
                                }
                                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                                _ => poller.delete(&streams[&key]).unwrap(),
                            },
                        }
                    }
                }
                let queues: HashSet<usize> = streams.values().map(|stream| stream.queue()).collect();
                assert_eq!(queues.len(), 3, "the connections came to all queues");
            });
            // So many that chance does not leave a queue out.
            let streams: Vec<_> = (0..60).map(|_| client.connect((SERVER, 80)).unwrap()).collect();
            for round in 0..ROUNDS {
                let (mut stream, mut byte) = (&streams[round % 60], [0]);
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                stream.write_all(&[round as u8]).unwrap();
                stream.read_exact(&mut byte).expect("answered");
                let own = client.bind_udp((CLIENT, 10_000 + (round % 50) as u16)).unwrap();
                own.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                own.send_to(&byte, at(SERVER, 7)).unwrap();
                assert_eq!(own.recv(&mut byte).expect("answered"), 1);
            }
        });
    });
}

#[test]
fn a_socket_that_is_to_be_told_once_is_told_once_of_all_its_parts() {
    within(60, || {
        let (client, server) = fabric::hosts(1, 4, 0);
        let socket = server.bind_udp((SERVER, 7)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let poller = Poller::new(&server).unwrap();
        poller.add(&socket, 5, Interest::READABLE | Interest::WRITABLE, Trigger::OneShot).unwrap();
        let mut events = Events::with_capacity(16);
        poller.wait(&mut events, Some(Duration::from_secs(20))).unwrap();
        assert_eq!(events.len(), 1, "it is writable, and only the part that sends says so");
        poller.modify(&socket, 6, Interest::READABLE, Trigger::OneShot).unwrap();
        for port in 0..40 {
            let own = client.bind_udp((CLIENT, 10_000 + port)).unwrap();
            own.send_to(b"x", at(SERVER, 7)).unwrap();
        }
        let mut told = 0;
        for _ in 0..20 {
            poller.wait(&mut events, Some(Duration::from_millis(50))).unwrap();
            told += events.len();
        }
        assert_eq!(told, 1);
        let mut received = 0;
        until("all 40 are there", || {
            received += std::iter::from_fn(|| socket.recv_from(&mut [0; 10]).ok()).count();
            received >= 40
        });
        assert_eq!(received, 40);
        poller.modify(&socket, 6, Interest::READABLE, Trigger::Level).unwrap();
        poller.wait(&mut events, Some(Duration::from_millis(50))).unwrap();
        assert!(events.is_empty(), "it is not writable for ever because other parts are");
    });
}

#[test]
fn sockets_of_one_queue_and_their_poller() {
    within(60, || {
        let (client, server) = fabric::hosts(2, 3, 0);
        let listeners = server.listen_on_each((SERVER, 80), 90).unwrap();
        assert_eq!(listeners.iter().map(|l| l.queue()).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
        let taken = server.listen((SERVER, 80)).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let poller = Poller::on_queue(&server, 1).unwrap();
        let wrong = poller.add(&listeners[0], 0, Interest::READABLE, Trigger::Level).unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
        poller.add(&listeners[1], 0, Interest::READABLE, Trigger::Level).unwrap();
        assert!(Poller::on_queue(&server, 3).is_err());
        let clients: Vec<_> = (0..30).map(|_| client.connect((SERVER, 80)).unwrap()).collect();
        let mut accepted = 0;
        listeners.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
        // (The last ACK of a handshake may still be under way.)
        while accepted < clients.len() {
            for listener in &listeners {
                while let Ok((stream, _)) = listener.accept() {
                    assert_eq!(Some(stream.queue()), listener.queue());
                    accepted += 1;
                }
            }
            thread::yield_now();
        }
        drop(listeners);
        server.listen((SERVER, 80)).expect("the port is free again in all queues");
    });
}
