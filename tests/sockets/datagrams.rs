//! UDP sockets.

use super::common::*;
use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

#[test]
fn datagrams() {
    within(60, || {
        let (client, server) = hosts();
        let near = client.bind_udp((CLIENT, 0)).unwrap();
        let far = server.bind_udp("0.0.0.0:53").unwrap();
        assert_eq!(near.send_to(b"ping", (SERVER, 53)).unwrap(), 4);
        let mut buf = [0; 2000];
        assert_eq!(far.peek_from(&mut buf).unwrap().0, 4);
        let (n, from) = far.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..n], from), (&b"ping"[..], near.local_addr().unwrap()));
        far.send_to(b"", from).unwrap();
        assert_eq!(near.recv_from(&mut buf).unwrap(), (0, addr("192.0.2.2:53")));

        assert_eq!(near.send(b"x").unwrap_err().raw_os_error(), Some(89), "EDESTADDRREQ");
        assert_eq!(near.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        near.connect((SERVER, 53)).unwrap();
        assert_eq!(near.peer_addr().unwrap(), addr("192.0.2.2:53"));
        near.send(b"long").unwrap();
        assert_eq!(far.recv_from(&mut buf[..2]).unwrap().0, 2, "the rest is cut off");
        far.set_read_timeout(Some(20 * MS)).unwrap();
        assert_eq!(far.recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        near.set_nonblocking(true).unwrap();
        assert_eq!(near.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);

        assert_eq!(near.send(&[0; 65_508]).unwrap_err().raw_os_error(), Some(90), "EMSGSIZE");
        near.set_ttl(9).unwrap();
        assert_eq!(near.ttl().unwrap(), 9);
        assert!(!near.broadcast().unwrap());
        assert_eq!(near.send_to(b"x", "192.0.2.255:53").unwrap_err().kind(), ErrorKind::PermissionDenied);
        near.set_broadcast(true).unwrap();
        assert!(near.broadcast().unwrap());
    });
}

#[test]
fn an_unreachable_port_fails_the_next_call() {
    within(60, || {
        let (client, _server) = hosts();
        let near = client.bind_udp((CLIENT, 0)).unwrap();
        near.connect((SERVER, 9)).unwrap();
        near.send(b"x").unwrap();
        let error = near.recv(&mut [0; 10]).unwrap_err();
        assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::ConnectionRefused, Some(111)));
        near.set_read_timeout(Some(20 * MS)).unwrap();
        assert_eq!(near.recv(&mut [0; 10]).unwrap_err().kind(), ErrorKind::WouldBlock, "it is told once");
    });
}

#[test]
fn a_receiver_of_datagrams_wakes_for_each() {
    within(60, || {
        let (client, server) = hosts();
        let near = client.bind_udp((CLIENT, 0)).unwrap();
        let far = server.bind_udp((SERVER, 7)).unwrap();
        let echo = far.try_clone().unwrap();
        let server = thread::spawn(move || {
            let mut buf = [0; 100];
            loop {
                let (n, from) = echo.recv_from(&mut buf).unwrap();
                if n == 0 {
                    break;
                }
                echo.send_to(&buf[..n], from).unwrap();
            }
        });
        let mut buf = [0; 100];
        for n in 0..1000u32 {
            near.send_to(&n.to_be_bytes(), (SERVER, 7)).unwrap();
            assert_eq!(near.recv_from(&mut buf).unwrap().0, 4);
            assert_eq!(buf[..4], n.to_be_bytes());
        }
        near.send_to(b"", (SERVER, 7)).unwrap();
        server.join().unwrap();
    });
}

#[test]
fn segments() {
    within(60, || {
        let (client, server) = hosts();
        let near = client.bind_udp((CLIENT, 0)).unwrap();
        let far = server.bind_udp("0.0.0.0:53").unwrap();
        let text: Vec<u8> = (0..5000).map(|at| byte(9, at)).collect();
        assert_eq!(near.send_segmented(&text, 1000).unwrap_err().raw_os_error(), Some(89), "EDESTADDRREQ");
        assert_eq!(near.send_segmented_to(&text, 999, (SERVER, 53)).unwrap(), 5000);
        let mut buf = [0; 10_000];
        let mut got = Vec::new();
        // They come in one by one here, so that how many are received together is a matter of time.
        while got.len() < 5000 {
            let (len, segment, from) = far.recv_segmented_from(&mut buf).unwrap();
            assert_eq!(from, near.local_addr().unwrap());
            assert!(segment == 999 || (got.len(), len, segment) == (4995, 5, 5), "{len} bytes in parts of {segment}");
            got.extend_from_slice(&buf[..len]);
        }
        assert_eq!(got, text);

        near.connect((SERVER, 53)).unwrap();
        assert_eq!(near.send_segmented(&text[..3], 1).unwrap(), 3);
        for &byte in &text[..3] {
            assert_eq!((far.recv(&mut buf).unwrap(), buf[0]), (1, byte));
        }
        assert_eq!(near.send_segmented(&text, 0).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(near.send_segmented(&text, 1).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(near.send_segmented(&text, 1473).unwrap_err().raw_os_error(), Some(90), "EMSGSIZE");
        far.set_read_timeout(Some(20 * MS)).unwrap();
        assert_eq!(far.recv_segmented_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);

        assert_eq!(client.mtu(), 1500);
        client.set_mtu(1028).unwrap();
        assert_eq!(client.mtu(), 1028);
        assert_eq!(near.send_segmented(&text, 1001).unwrap_err().raw_os_error(), Some(90), "EMSGSIZE");
        assert_eq!(near.send_segmented(&text, 1000).unwrap(), 5000);
        assert_eq!(client.set_mtu(67).unwrap_err().kind(), ErrorKind::InvalidInput);
        client.shutdown(Duration::ZERO);
        assert_eq!(client.set_mtu(1500).unwrap_err().kind(), ErrorKind::ConnectionAborted);
    });
}
