//! Raw and ping sockets.

use super::common::*;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;
use tunstack::net::{Events, IcmpError, Interest, Poller, Trigger};

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn server() -> IpAddr {
    SERVER.parse().unwrap()
}

#[test]
fn ping() {
    within(60, || {
        let (client, _server) = hosts();
        let socket = client.bind_icmp(ANY).unwrap();
        let other = client.bind_icmp(ANY).unwrap();
        assert_ne!(socket.identifier().unwrap(), other.identifier().unwrap());
        let mut buf = vec![0; 65_536];
        for (sequence, len) in [(1, 0), (2, 56), (3, 1472), (4, 1473), (5, 65_507)] {
            let data: Vec<u8> = (0..len).map(|at| byte(1, at)).collect();
            assert_eq!(socket.send_to(sequence, &data, server()).unwrap(), data.len());
            let echo = socket.recv(&mut buf).unwrap();
            assert_eq!((echo.source, echo.sequence, echo.error), (server(), sequence, None));
            assert_eq!((&buf[..echo.len], echo.ttl), (&data[..], 64));
        }
        socket.connect(server()).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), server());
        socket.send(6, b"x").unwrap();
        assert_eq!(socket.recv(&mut buf).unwrap().sequence, 6);
        // Ourselves.
        other.send_to(7, b"me", CLIENT.parse().unwrap()).unwrap();
        assert_eq!(socket.send(9, &[0; 65_508]).unwrap_err().raw_os_error(), Some(90), "EMSGSIZE");
        assert_eq!(other.recv(&mut buf).unwrap().source, CLIENT.parse::<IpAddr>().unwrap());
        other.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(other.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(other.send(1, b"x").unwrap_err().raw_os_error(), Some(89), "EDESTADDRREQ");
        let denied = other.send_to(1, b"x", [192, 0, 2, 255].into()).unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
        assert_eq!(client.bind_icmp([192, 0, 2, 77]).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn a_raw_socket_answers_a_protocol_that_the_host_does_not_know() {
    within(60, || {
        let (client, server_host) = hosts();
        let near = client.bind_raw(ANY, 200).unwrap();
        let far = server_host.bind_raw(ANY, 200).unwrap();
        let answering = far.try_clone().unwrap();
        let thread = thread::spawn(move || {
            let mut buf = [0; 100];
            let got = answering.recv_msg(&mut buf).unwrap();
            assert_eq!((got.len, &buf[20..24], got.tos), (24, &b"ping"[..], 0x48));
            answering.send_to(b"pong", got.source.ip()).unwrap();
        });
        near.set_tos(0x48).unwrap();
        near.set_ttl(3).unwrap();
        near.send_to(b"ping", server()).unwrap();
        let mut buf = [0; 100];
        let (len, from) = near.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[20..len], from), (&b"pong"[..], server()));
        thread.join().unwrap();
        let drops: Vec<_> = client.stats().drops().chain(server_host.stats().drops()).collect();
        assert_eq!(drops, [], "nobody complained");
        assert_eq!(near.ttl().unwrap(), Some(3));
        near.set_nonblocking(true).unwrap();
        assert_eq!(near.recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_poller_watches_them() {
    within(60, || {
        let (client, _server) = hosts();
        let ping = client.bind_icmp(ANY).unwrap();
        let raw = client.bind_raw(ANY, 1).unwrap();
        let poller = Poller::new(&client).unwrap();
        poller.add(&ping, 1, Interest::READABLE, Trigger::Level).unwrap();
        poller.add(&raw, 2, Interest::READABLE, Trigger::Level).unwrap();
        ping.send_to(1, b"x", server()).unwrap();
        let (mut events, mut keys) = (Events::with_capacity(8), Vec::new());
        while keys.len() < 2 {
            poller.wait(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(!events.is_empty(), "{keys:?} and no more");
            for event in &events {
                match event.key {
                    1 => drop(ping.recv(&mut [0; 10]).unwrap()),
                    _ => drop(raw.recv_from(&mut [0; 10]).unwrap()),
                }
                keys.push(event.key);
            }
        }
        keys.sort_unstable();
        assert_eq!(keys, [1, 2]);
        drop(ping);
        poller.wait(&mut events, Some(Duration::from_millis(20))).unwrap();
        assert!(events.is_empty());
    });
}

#[test]
fn an_error_about_a_request_comes_back() {
    within(60, || {
        // The server plays a router: by a raw socket it says that the request's time was up.
        let (client, server_host) = hosts();
        let router = server_host.bind_raw(ANY, 1).unwrap();
        let socket = client.bind_icmp(ANY).unwrap();
        socket.send_to(9, b"data", server()).unwrap();
        let mut request = [0; 100];
        let len = router.recv_msg(&mut request).unwrap().len;
        let mut complaint = [&[11, 0, 0, 0, 0, 0, 0, 0][..], &request[..len]].concat();
        let sum =
            complaint.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)]))).sum::<u32>();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        complaint[2..4].copy_from_slice(&sum.to_be_bytes());
        router.send_to(&complaint, CLIENT.parse().unwrap()).unwrap();
        let mut echoes = [(); 2].map(|()| socket.recv(&mut [0; 100]).unwrap());
        echoes.sort_by_key(|echo| echo.error.is_some());
        assert_eq!(echoes.map(|echo| echo.sequence), [9, 9]);
        let error = echoes[1].error.expect("one is the complaint");
        assert_eq!((error.kind, error.message, error.destination), (IcmpError::TtlExceeded, (11, 0), server()));
    });
}
