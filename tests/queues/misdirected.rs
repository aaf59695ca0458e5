//! Frames that come to another queue than that of their connection.

use crate::sockets::common::{CLIENT, SERVER, addr, builder, check_stream, until, within, write_stream};
use crate::sockets::fabric;
use std::collections::HashSet;
use std::net::Shutdown;
use std::thread;
use std::time::Duration;
use tunstack::net::Host;
use tunstack::stats::DropReason;

const FLOWS: u64 = 12;
const LEN: u64 = 300_000;

/// Several streams both ways at once, on connections that one side opened.
fn exchange(client: &Host, server: &Host) {
    let listener = server.listen((SERVER, 80)).unwrap();
    let at = listener.local_addr().unwrap();
    thread::scope(|scope| {
        for _ in 0..FLOWS {
            scope.spawn(|| {
                let (stream, _) = listener.accept().unwrap();
                thread::scope(|both| {
                    both.spawn(|| {
                        write_stream(&stream, 7, LEN);
                        stream.shutdown(Shutdown::Write).unwrap();
                    });
                    check_stream(&stream, 8, LEN);
                });
            });
            scope.spawn(|| {
                let stream = client.connect(at).unwrap();
                thread::scope(|both| {
                    both.spawn(|| {
                        write_stream(&stream, 8, LEN);
                        stream.shutdown(Shutdown::Write).unwrap();
                    });
                    check_stream(&stream, 7, LEN);
                });
            });
        }
    });
}

#[test]
fn streams_are_whole_whichever_queue_their_packets_take() {
    within(120, || {
        for misdirected in [5, 100] {
            let (client, server) = fabric::hosts(2, 3, misdirected);
            exchange(&client, &server);
            for host in [&client, &server] {
                // What is on its way from one queue to another is counted once it has arrived.
                until("each frame is accounted for", || {
                    let stats = host.stats();
                    stats.frames_in == stats.delivered + stats.answered + stats.held + stats.dropped_total()
                });
                let stats = host.stats();
                assert!(stats.misdirected > 50, "only {} were misdirected", stats.misdirected);
                // (A duplicate that comes after the end is reset, as ever.)
                assert_eq!(stats.tcp.established_resets, 0, "nobody took a segment for a stranger's");
            }
            // A SYN that comes twice, to two queues, opens one connection.
            assert_eq!((client.stats().tcp.active_opens, server.stats().tcp.passive_opens), (FLOWS, FLOWS));
        }
    });
}

#[test]
fn connections_are_spread_over_the_queues_and_their_ports_name_them() {
    within(60, || {
        let (client, server) = fabric::hosts(4, 2, 0);
        let listener = server.listen((SERVER, 80)).unwrap();
        let streams: Vec<_> = (0..32).map(|_| client.connect((SERVER, 80)).unwrap()).collect();
        let ports: HashSet<u16> = streams.iter().map(|s| s.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 32);
        for queue in 0..4 {
            let own = streams.iter().filter(|s| s.queue() == queue).count();
            assert_eq!(own, 8, "round robin");
        }
        assert!(streams.iter().all(|s| usize::from(s.local_addr().unwrap().port()) % 4 == s.queue()));
        let accepted: Vec<_> = (0..32).map(|_| listener.accept().unwrap().0).collect();
        let queues: HashSet<usize> = accepted.iter().map(|s| s.queue()).collect();
        assert_eq!(queues.len(), 2, "32 flows do not all hash to one queue");
        assert_eq!(client.snapshot().len(), 32);
        assert_eq!(server.snapshot().len(), 32 + 2, "and the listener in each queue");

        // A port of the user's choice decides.
        let (local, remote) = (addr(&format!("{CLIENT}:5003")), addr(&format!("{SERVER}:80")));
        let chosen = client.connect_from(local, remote).unwrap();
        assert_eq!(chosen.queue(), 3);
        let again = client.connect_from(local, remote).unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::AddrInUse);
    });
}

#[test]
fn unconnected_segments_are_answered_where_they_come() {
    within(60, || {
        let (client, server) = fabric::hosts(2, 4, 100);
        for _ in 0..20 {
            let refused = client.connect_timeout(&addr(&format!("{SERVER}:81")), Duration::from_secs(20));
            assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        }
        assert!(server.stats().dropped(DropReason::TcpNoSocket) >= 20);
        assert!(server.snapshot().is_empty());
    });
}

#[test]
fn a_cookie_is_good_in_every_queue() {
    within(60, || {
        let [a, b] = fabric::link(2, 3, 100);
        let client = builder(CLIENT).start_queues(a).unwrap();
        // No place for half-open connections: each is opened by a cookie.
        let server = builder(SERVER).config(|config| config.max_syn_queue = 0).start_queues(b).unwrap();
        let listener = server.listen((SERVER, 80)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..10 {
                    let (stream, _) = listener.accept().unwrap();
                    check_stream(&stream, 4, 20_000);
                }
            });
            for _ in 0..10 {
                let stream = client.connect((SERVER, 80)).unwrap();
                write_stream(&stream, 4, 20_000);
            }
        });
        let stats = server.stats();
        assert_eq!((stats.tcp.cookies_accepted, stats.tcp.passive_opens), (10, 10));
        assert_eq!(client.stats().tcp.established_resets, 0);
    });
}

#[test]
fn what_ends_one_queue_ends_the_host() {
    within(60, || {
        let (client, server) = fabric::hosts(2, 2, 0);
        let listener = server.listen((SERVER, 80)).unwrap();
        thread::scope(|scope| {
            let blocked: Vec<_> = (0..4).map(|_| scope.spawn(|| listener.accept().unwrap_err().kind())).collect();
            let stream = client.connect((SERVER, 80));
            thread::sleep(Duration::from_millis(100));
            drop(stream);
            server.shutdown(Duration::from_millis(200));
            let ends = blocked.into_iter().filter_map(|thread| thread.join().ok()).count();
            assert!(ends >= 3, "one may have accepted");
        });
        assert!(!server.is_alive());
        server.wait_closed().unwrap();
    });
}
