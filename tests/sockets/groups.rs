//! Groups, broadcast, shared ports and messages by the sockets.

use super::common::*;
use std::io::{ErrorKind, IoSliceMut};
use std::net::Ipv4Addr;
use std::time::Duration;
use tunstack::net::{Host, RecvMsg, SendMsg, UdpBind, UdpSocket};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 1, 1);
const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

fn shared(host: &Host, addr: &str) -> UdpSocket {
    host.bind_udp_with(addr, UdpBind { reuse_address: true, ..UdpBind::default() }).unwrap()
}

/// What comes within `time`, or nothing.
fn hears_within(socket: &UdpSocket, time: Duration) -> Option<Vec<u8>> {
    let mut buf = [0; 100];
    socket.set_read_timeout(Some(time)).unwrap();
    match socket.recv(&mut buf) {
        Ok(n) => Some(buf[..n].to_vec()),
        Err(e) if e.kind() == ErrorKind::WouldBlock => None,
        Err(e) => panic!("{e}"),
    }
}

/// What comes, or nothing in a long time.
fn hears(socket: &UdpSocket) -> Option<Vec<u8>> {
    hears_within(socket, Duration::from_secs(20))
}

/// Whether nothing comes in a moment.
fn hears_nothing(socket: &UdpSocket) -> bool {
    hears_within(socket, Duration::from_millis(100)).is_none()
}

#[test]
fn members_on_both_hosts_hear_what_is_sent_to_their_group() {
    within(60, || {
        let (client, server) = hosts();
        let near = shared(&client, "0.0.0.0:5000");
        let [far, further, stranger] = [(); 3].map(|()| shared(&server, "0.0.0.0:5000"));
        for member in [&near, &far, &further] {
            member.join_multicast_v4(&GROUP, &ANY).unwrap();
        }
        near.send_to(b"all", (GROUP, 5000)).unwrap();
        for member in [&near, &far, &further] {
            assert_eq!(hears(member).as_deref(), Some(&b"all"[..]));
        }
        assert!(hears_nothing(&stranger));
        near.set_multicast_loop_v4(false).unwrap();
        assert!(!near.multicast_loop_v4().unwrap());
        further.leave_multicast_v4(&GROUP, &SERVER.parse().unwrap()).unwrap();
        near.send_to(b"again", (GROUP, 5000)).unwrap();
        assert_eq!(hears(&far).as_deref(), Some(&b"again"[..]));
        assert!(hears_nothing(&near) && hears_nothing(&further));
        near.set_multicast_ttl_v4(0).unwrap();
        near.send_to(b"at home", (GROUP, 5000)).unwrap();
        assert!(hears_nothing(&far));

        far.join_multicast_source("239.9.9.9".parse().unwrap(), CLIENT.parse().unwrap(), 1).unwrap();
        let other = far.join_multicast("239.9.9.9".parse().unwrap(), 0).unwrap_err();
        assert_eq!(other.raw_os_error(), Some(98), "EADDRINUSE");
        assert_eq!(far.join_multicast_v4(&GROUP, &ANY).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(
            far.leave_multicast_v4(&[239, 7, 7, 7].into(), &ANY).unwrap_err().kind(),
            ErrorKind::AddrNotAvailable
        );
        let nowhere = far.join_multicast_v4(&GROUP, &[10, 9, 9, 9].into()).unwrap_err();
        assert_eq!(nowhere.raw_os_error(), Some(19), "ENODEV");
        assert_eq!(far.join_multicast(GROUP.into(), 7).unwrap_err().raw_os_error(), Some(19), "ENODEV");
        assert_eq!(far.set_multicast_ttl_v4(256).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(far.multicast_ttl_v4().unwrap(), 1);
    });
}

#[test]
fn the_peer_learns_of_a_group_by_igmp() {
    within(60, || {
        let (client, server) = hosts();
        let before = server.stats().frames_in;
        let near = client.bind_udp("0.0.0.0:0").unwrap();
        near.join_multicast_v4(&GROUP, &ANY).unwrap();
        // Nobody on the other host cares for reports, but they have come: at once, and again within a second.
        until("both reports", || server.stats().frames_in >= before + 2);
        let reasons: Vec<_> = server.stats().drops().map(|(reason, _)| reason.name()).collect();
        assert_eq!(reasons, ["not-for-us"], "to routers, which it is none of");
    });
}

#[test]
fn broadcast_with_leave() {
    within(60, || {
        let (client, server) = hosts();
        let near = client.bind_udp("0.0.0.0:5000").unwrap();
        let far = [shared(&server, "0.0.0.0:5000"), shared(&server, "192.0.2.255:5000")];
        assert_eq!(near.send_to(b"x", "192.0.2.255:5000").unwrap_err().raw_os_error(), Some(13), "EACCES");
        near.set_broadcast(true).unwrap();
        near.send_to(b"all", "192.0.2.255:5000").unwrap();
        for socket in far.iter().chain([&near]) {
            assert_eq!(hears(socket).as_deref(), Some(&b"all"[..]));
        }
    });
}

#[test]
fn a_shared_port_is_shared_out() {
    within(60, || {
        let (client, server) = hosts();
        let how = UdpBind { reuse_port: true, ..UdpBind::default() };
        let far = [(); 2].map(|()| server.bind_udp_with("0.0.0.0:5000", how).unwrap());
        assert_eq!(server.bind_udp("0.0.0.0:5000").unwrap_err().kind(), ErrorKind::AddrInUse);
        for _ in 0..64 {
            client.bind_udp("0.0.0.0:0").unwrap().send_to(b"x", (SERVER, 5000)).unwrap();
        }
        let mut heard = [0; 2];
        far.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        until("all 64 are heard", || {
            for (socket, heard) in far.iter().zip(&mut heard) {
                *heard += std::iter::from_fn(|| socket.recv(&mut [0; 10]).ok()).count();
            }
            heard.iter().sum::<usize>() >= 64
        });
        assert_eq!(heard.iter().sum::<usize>(), 64);
        assert!(heard.iter().all(|n| *n > 0), "{heard:?}");
    });
}

#[test]
fn messages_with_all_that_goes_with_them() {
    within(60, || {
        let (client, server) = hosts();
        let near = client.bind_udp((CLIENT, 0)).unwrap();
        let far = server.bind_udp_with("0.0.0.0:0", UdpBind { every_port: true, ..UdpBind::default() }).unwrap();
        near.set_tos(0xb8).unwrap();
        near.set_ttl(7).unwrap();
        assert_eq!(near.tos().unwrap(), 0xb8);
        let to = |port| (SERVER.parse::<Ipv4Addr>().unwrap(), port).into();
        let texts: Vec<Vec<u8>> = (1..=5).map(|n| vec![n; 10]).collect();
        let messages: Vec<SendMsg<'_>> = texts.iter().zip(1..).map(|(text, n)| SendMsg::to(to(n), text)).collect();
        assert_eq!(near.send_many(&messages).unwrap(), 5);
        let mut got = Vec::new();
        while got.len() < 5 {
            let mut room = [[0; 100]; 8];
            let mut bufs = room.each_mut().map(|buf| IoSliceMut::new(buf));
            let mut told = [RecvMsg::default(); 8];
            let n = far.recv_many(&mut bufs, &mut told).unwrap();
            assert!(bufs.iter().zip(&told).take(n).all(|(buf, msg)| buf[..msg.len] == texts[usize::from(buf[0]) - 1]));
            got.extend_from_slice(&told[..n]);
        }
        let source = near.local_addr().unwrap();
        assert!(got.iter().all(|msg| (msg.source, msg.tos, msg.ttl, msg.interface) == (source, 0xb8, 7, 1)));
        let mut ports: Vec<u16> = got.iter().map(|msg| msg.destination.port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [1, 2, 3, 4, 5]);
        // The answer comes from where the question went.
        near.connect((SERVER, 4)).unwrap();
        far.send_msg(&SendMsg { source: Some(to(4)), ..SendMsg::to(source, b"answer") }).unwrap();
        let mut buf = [0; 4];
        let told = near.peek_msg(&mut buf).unwrap();
        assert_eq!((told.len, told.truncated, told.source), (4, true, to(4)));
        assert_eq!(near.recv_msg(&mut buf).unwrap(), told);
        near.disconnect().unwrap();
        assert_eq!(near.send_msg(&SendMsg { data: b"x", ..SendMsg::default() }).unwrap_err().raw_os_error(), Some(89));
        near.set_recv_buffer_size(5000).unwrap();
        assert_eq!(near.recv_buffer_size().unwrap(), 5000);
    });
}

#[test]
fn runs_of_datagrams_in_batches() {
    within(60, || {
        let (client, server) = hosts();
        let near = client.bind_udp((CLIENT, 0)).unwrap();
        let far = server.bind_udp((SERVER, 53)).unwrap();
        far.set_gro(true).unwrap();
        let text: Vec<u8> = (0..10_000).map(|at| byte(3, at)).collect();
        let message = SendMsg { segment: Some(1000), ..SendMsg::to(addr("192.0.2.2:53"), &text) };
        assert_eq!(near.send_many(&[message, message]).unwrap(), 2);
        let mut got = Vec::new();
        while got.len() < 20_000 {
            let mut room = vec![[0; 30_000]; 4];
            let mut bufs: Vec<IoSliceMut<'_>> = room.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
            let mut told = [RecvMsg::default(); 4];
            let n = far.recv_many(&mut bufs, &mut told).unwrap();
            for (buf, told) in bufs.iter().zip(&told).take(n) {
                assert_eq!(told.segment, 1000);
                got.extend_from_slice(&buf[..told.len]);
            }
        }
        assert_eq!(got, [&text[..], &text[..]].concat());
    });
}
