//! Options by Linux's names, and the flags of single calls.

use super::common::*;
use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};
use tunstack::net::sockopt::*;
use tunstack::net::{MsgFlags, MtuDiscovery, UdpBind};
use tunstack::stack::{Congestion, Keepalive, State};

const MS: Duration = Duration::from_millis(1);

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// ENOPROTOOPT.
const NO_SUCH: Option<i32> = Some(92);

#[test]
fn each_name_is_its_method() {
    within(60, || {
        let (client, server) = hosts();
        let (near, _far) = connection(&client, &server);
        near.setsockopt(SO_RCVTIMEO, Some(70 * MS)).unwrap();
        near.setsockopt(SO_SNDTIMEO, Some(80 * MS)).unwrap();
        assert_eq!((near.read_timeout().unwrap(), near.write_timeout().unwrap()), (Some(70 * MS), Some(80 * MS)));
        near.setsockopt(SO_LINGER, Some(Duration::from_secs(3))).unwrap();
        assert_eq!(near.linger().unwrap(), Some(Duration::from_secs(3)));
        near.setsockopt(SO_LINGER, None).unwrap();
        near.setsockopt(SO_RCVBUF, 100_000).unwrap();
        near.setsockopt(SO_SNDBUF, 90_000).unwrap();
        assert_eq!((near.recv_buffer_size().unwrap(), near.send_buffer_size().unwrap()), (100_000, 90_000));
        near.setsockopt(TCP_CORK, true).unwrap();
        assert!(near.cork().unwrap());
        near.setsockopt(TCP_CONGESTION, Congestion::Bbr).unwrap();
        assert_eq!(near.congestion().unwrap(), Congestion::Bbr);
        near.setsockopt(IP_MTU_DISCOVER, MtuDiscovery::Do).unwrap();
        assert_eq!(near.getsockopt(IPV6_MTU_DISCOVER).unwrap(), MtuDiscovery::Do);
        near.setsockopt(IP_TTL, 9).unwrap();
        assert_eq!((near.ttl().unwrap(), near.getsockopt(IPV6_UNICAST_HOPS).unwrap()), (9, 9));
        near.setsockopt(TCP_WINDOW_CLAMP, Some(5000)).unwrap();
        near.setsockopt(TCP_NOTSENT_LOWAT, Some(6000)).unwrap();
        near.setsockopt(TCP_LINGER2, Some(Duration::from_secs(8))).unwrap();
        assert_eq!((near.window_clamp().unwrap(), near.notsent_lowat().unwrap()), (Some(5000), Some(6000)));
        assert_eq!(near.getsockopt(TCP_LINGER2).unwrap(), Some(Duration::from_secs(8)));
        assert_eq!(near.getsockopt(TCP_INFO).unwrap().local, near.local_addr().unwrap());
        assert_eq!(near.getsockopt(IP_MTU).unwrap(), 1500);
        assert_eq!(near.getsockopt(TCP_SYNCNT).unwrap(), client.config().tcp.syn_retries);
        assert!(near.getsockopt(SO_ERROR).unwrap().is_none());
        assert_eq!(near.getsockopt(SO_TYPE).unwrap(), 1);
        // What can only be read, or is another kind of socket's, or comes too late.
        assert_eq!(errno(near.setsockopt(SO_TYPE, 2)), NO_SUCH);
        assert_eq!(errno(near.setsockopt(IPV6_V6ONLY, true)), NO_SUCH);
        assert_eq!(errno(near.setsockopt(SO_BROADCAST, true)), NO_SUCH);
        // And what makes no sense.
        for refused in [
            near.setsockopt(SO_RCVTIMEO, Some(Duration::ZERO)),
            near.setsockopt(TCP_MAXSEG, 80),
            near.setsockopt(TCP_KEEPCNT, 0),
            near.setsockopt(TCP_KEEPCNT, 128),
            near.setsockopt(TCP_KEEPIDLE, Duration::from_secs(32_768)),
            near.setsockopt(TCP_SYNCNT, 128),
            near.setsockopt(TCP_SYNCNT, 1000),
            near.setsockopt(IP_TTL, 0),
            near.setsockopt(IP_TOS, 256),
        ] {
            assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        }
        assert_eq!(near.ttl().unwrap(), 9, "and nothing is changed");
        // What is out of range counts as the nearest that is not, as on Linux.
        near.setsockopt(TCP_WINDOW_CLAMP, Some(7)).unwrap();
        near.setsockopt(TCP_NOTSENT_LOWAT, Some(0)).unwrap();
        assert_eq!((near.window_clamp().unwrap(), near.notsent_lowat().unwrap()), (Some(1152), None));
        near.setsockopt(TCP_WINDOW_CLAMP, None).unwrap();
        for (size, is) in [(0, 1024), (u32::MAX, 1 << 29), (70_000, 70_000)] {
            near.setsockopt(SO_RCVBUF, size).unwrap();
            near.setsockopt(SO_SNDBUF, size).unwrap();
            assert_eq!((near.getsockopt(SO_RCVBUF).unwrap(), near.getsockopt(SO_SNDBUF).unwrap()), (is, is));
        }
    });
}

/// Sets each option by its method and reads it by its name, and the other way round.
macro_rules! both_ways {
    ($socket:expr; $($set:ident $get:ident $name:ident: $one:expr, $other:expr;)*) => {$(
        $socket.$set($one).unwrap();
        assert_eq!($socket.getsockopt($name).unwrap(), $one, "{}", stringify!($set));
        $socket.setsockopt($name, $other).unwrap();
        assert_eq!($socket.$get().unwrap(), $other, "{}", stringify!($get));
    )*};
}

macro_rules! tcp_both_ways {
    ($socket:expr) => {
        both_ways! {
            $socket;
            set_nodelay nodelay TCP_NODELAY: true, false;
            set_cork cork TCP_CORK: true, false;
            set_quick_ack quick_ack TCP_QUICKACK: true, false;
            set_reuse_address reuse_address SO_REUSEADDR: false, true;
            set_reuse_port reuse_port SO_REUSEPORT: true, false;
            set_oob_inline oob_inline SO_OOBINLINE: false, true;
            set_mark mark SO_MARK: 7, 0;
            set_syn_retries syn_retries TCP_SYNCNT: 3, 127;
            set_ttl ttl IP_TTL: 9, 64;
            set_ttl ttl IPV6_UNICAST_HOPS: 10, 65;
            set_tos tos IP_TOS: 0x48, 0;
            set_tos tos IPV6_TCLASS: 0xb8, 4;
            set_mtu_discovery mtu_discovery IP_MTU_DISCOVER: MtuDiscovery::Do, MtuDiscovery::Probe;
            set_mtu_discovery mtu_discovery IPV6_MTU_DISCOVER: MtuDiscovery::Dont, MtuDiscovery::Want;
            set_congestion congestion TCP_CONGESTION: Congestion::Bbr, Congestion::Cubic;
            set_window_clamp window_clamp TCP_WINDOW_CLAMP: Some(5000), None;
            set_notsent_lowat notsent_lowat TCP_NOTSENT_LOWAT: Some(6000), None;
            set_linger linger SO_LINGER: Some(3000 * MS), None;
            set_linger2 linger2 TCP_LINGER2: Some(4000 * MS), Some(5000 * MS);
            set_user_timeout user_timeout TCP_USER_TIMEOUT: Some(600 * MS), None;
            set_defer_accept defer_accept TCP_DEFER_ACCEPT: Some(700 * MS), None;
            set_read_timeout read_timeout SO_RCVTIMEO: Some(70 * MS), None;
            set_write_timeout write_timeout SO_SNDTIMEO: Some(80 * MS), None;
        }
        $socket.set_recv_buffer_size(70_000).unwrap();
        $socket.setsockopt(SO_SNDBUF, 80_000).unwrap();
        assert_eq!(($socket.getsockopt(SO_RCVBUF).unwrap(), $socket.send_buffer_size().unwrap()), (70_000, 80_000));
        $socket.set_recv_lowat(12).unwrap();
        assert_eq!($socket.getsockopt(SO_RCVLOWAT).unwrap(), 12);
        $socket.setsockopt(SO_RCVLOWAT, 13).unwrap();
        assert_eq!($socket.recv_lowat().unwrap(), 13);
        $socket.set_keepalive(Some(Keepalive { count: 2, ..Keepalive::default() })).unwrap();
        assert!($socket.getsockopt(SO_KEEPALIVE).unwrap() && $socket.getsockopt(TCP_KEEPCNT).unwrap() == 2);
        $socket.setsockopt(TCP_KEEPIDLE, 11_000 * MS).unwrap();
        $socket.setsockopt(TCP_KEEPINTVL, 12_000 * MS).unwrap();
        let times = Keepalive { idle: 11_000 * MS, interval: 12_000 * MS, count: 2 };
        assert_eq!($socket.keepalive().unwrap(), Some(times));
        assert_eq!($socket.mss().unwrap() as u32, $socket.getsockopt(TCP_MAXSEG).unwrap());
        assert_eq!($socket.info().unwrap().state, $socket.getsockopt(TCP_INFO).unwrap().state);
        assert_eq!(($socket.r#type().unwrap(), $socket.getsockopt(SO_TYPE).unwrap()), (1, 1));
        assert_eq!($socket.is_listener().unwrap(), $socket.getsockopt(SO_ACCEPTCONN).unwrap());
        assert!($socket.take_error().unwrap().is_none() && $socket.getsockopt(SO_ERROR).unwrap().is_none());
        assert_eq!($socket.bind_device(Some("nonesuch")).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        let name = $socket.host().interfaces()[0].name.to_string();
        $socket.bind_device(Some(&name)).unwrap();
        assert_eq!($socket.getsockopt(SO_BINDTODEVICE).unwrap(), Some(name.clone()));
        $socket.setsockopt(SO_BINDTODEVICE, None).unwrap();
        assert_eq!($socket.device().unwrap(), None);
    };
}

#[test]
fn each_option_is_there_by_method_and_by_name() {
    within(60, || {
        let (client, server) = hosts();
        for v6 in [false, true] {
            let new = || if v6 { client.tcp_socket_v6() } else { client.tcp_socket_v4() };
            let (near, _far) = connection(&client, &server);
            tcp_both_ways!(near);
            let mut socket = new();
            tcp_both_ways!(socket);
            assert_eq!((socket.info().unwrap().state, socket.is_listener().unwrap()), (State::Closed, false));
            assert_eq!(socket.getsockopt(IP_MTU).unwrap_err().kind(), std::io::ErrorKind::NotConnected);
            let listener = socket.listen(4).unwrap();
            assert_eq!(listener.keepalive().unwrap().unwrap().count, 2, "what the socket had");
            tcp_both_ways!(listener);
            assert!(listener.is_listener().unwrap());
            assert_eq!(listener.getsockopt(IPV6_MTU).unwrap_err().kind(), std::io::ErrorKind::NotConnected);
            let refused = listener.set_keepalive(Some(Keepalive { count: 0, ..Keepalive::default() }));
            assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
            assert_eq!(listener.keepalive().unwrap().unwrap().count, 2, "and nothing is changed");
        }
        let socket = client.bind_udp((CLIENT, 0)).unwrap();
        both_ways! {
            socket;
            set_reuse_address reuse_address SO_REUSEADDR: true, false;
            set_reuse_port reuse_port SO_REUSEPORT: true, false;
            set_broadcast broadcast SO_BROADCAST: true, false;
            set_mark mark SO_MARK: 7, 0;
            set_ttl ttl IP_TTL: 9, 64;
            set_mtu_discovery mtu_discovery IP_MTU_DISCOVER: MtuDiscovery::Do, MtuDiscovery::Want;
            set_read_timeout read_timeout SO_RCVTIMEO: Some(70 * MS), None;
            set_write_timeout write_timeout SO_SNDTIMEO: Some(80 * MS), None;
        }
        assert_eq!((socket.r#type().unwrap(), socket.is_listener().unwrap()), (2, false));
        assert_eq!(socket.only_v6().unwrap(), socket.getsockopt(IPV6_V6ONLY).unwrap());
        let name = client.interfaces()[0].name.to_string();
        socket.bind_device(Some(&name)).unwrap();
        assert_eq!(
            (socket.device().unwrap(), socket.getsockopt(SO_BINDTODEVICE).unwrap()),
            (Some(name.clone()), Some(name))
        );
        socket.set_gro(true).unwrap();
        assert!(socket.gro().unwrap());
    });
}

/// IPV6_V6ONLY of a socket, which is decided before it is bound.
#[test]
fn only_v6_is_decided_before_it_is_bound() {
    within(60, || {
        let (_, server) = hosts();
        let mut socket = server.tcp_socket_v6();
        assert!(!socket.only_v6().unwrap());
        socket.set_only_v6(true).unwrap();
        assert!(socket.only_v6().unwrap() && socket.getsockopt(IPV6_V6ONLY).unwrap());
        socket.bind(addr("[::]:80")).unwrap();
        assert_eq!(socket.set_only_v6(false).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        assert_eq!(socket.setsockopt(IPV6_V6ONLY, false).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
        assert!(socket.listen(4).unwrap().only_v6().unwrap());
    });
}

#[test]
fn listeners_have_options_for_those_who_come() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 0)).unwrap();
        assert!(listener.getsockopt(SO_ACCEPTCONN).unwrap() && listener.getsockopt(SO_REUSEADDR).unwrap());
        listener.setsockopt(TCP_NODELAY, true).unwrap();
        listener.setsockopt(SO_RCVLOWAT, 4).unwrap();
        listener.setsockopt(TCP_DEFER_ACCEPT, Some(Duration::from_secs(20))).unwrap();
        assert_eq!(listener.defer_accept().unwrap(), Some(Duration::from_secs(20)));
        let info = listener.getsockopt(TCP_INFO).unwrap();
        assert_eq!((info.state, info.local), (State::Listen, listener.local_addr().unwrap()));
        assert_eq!((info.recv_queue, info.send_queue > 0), (0, true), "who waits, and how many may");
        assert_eq!(listener.getsockopt(TCP_SYNCNT).unwrap(), server.config().tcp.syn_retries);
        let mut near = client.connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(true).unwrap();
        thread::sleep(30 * MS);
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "it has sent nothing");
        listener.set_nonblocking(false).unwrap();
        near.write_all(b"ab").unwrap();
        let (mut far, _) = listener.accept().unwrap();
        assert!(far.nodelay().unwrap());
        assert_eq!(far.recv_lowat().unwrap(), 4);
        // Reading waits for so many, or for as many as are wanted, or until its time is over.
        assert_eq!(far.read(&mut [0; 2]).unwrap(), 2);
        near.write_all(b"cd").unwrap();
        until("both bytes are there", || far.info().unwrap().recv_queue == 2);
        far.set_read_timeout(Some(40 * MS)).unwrap();
        let began = Instant::now();
        assert_eq!(far.read(&mut [0; 9]).unwrap(), 2);
        assert!(began.elapsed() >= 40 * MS);
        far.set_read_timeout(None).unwrap();
        let writer = thread::spawn(move || {
            for piece in [&b"1"[..], b"2", b"3456"] {
                near.write_all(piece).unwrap();
                thread::sleep(10 * MS);
            }
            near
        });
        assert!(far.read(&mut [0; 9]).unwrap() >= 4);
        drop(writer.join());
    });
}

#[test]
fn datagrams_have_theirs() {
    within(60, || {
        let (client, server) = hosts();
        let shared = UdpBind { reuse_address: true, ..UdpBind::default() };
        let near = client.bind_udp_with((CLIENT, 0), shared).unwrap();
        assert!(near.getsockopt(SO_REUSEADDR).unwrap() && !near.getsockopt(SO_REUSEPORT).unwrap());
        near.setsockopt(SO_BROADCAST, true).unwrap();
        assert!(near.broadcast().unwrap());
        near.setsockopt(SO_SNDBUF, 5000).unwrap();
        near.setsockopt(SO_RCVBUF, 6000).unwrap();
        assert_eq!((near.send_buffer_size().unwrap(), near.recv_buffer_size().unwrap()), (5000, 6000));
        near.setsockopt(IP_TOS, 0xb8).unwrap();
        assert_eq!((near.getsockopt(IPV6_TCLASS).unwrap(), near.getsockopt(SO_TYPE).unwrap()), (0xb8, 2));
        assert_eq!(errno(near.setsockopt(TCP_NODELAY, true)), NO_SUCH);
        assert_eq!(errno(near.getsockopt(TCP_INFO)), NO_SUCH);
        assert_eq!(near.getsockopt(IP_MTU).unwrap_err().kind(), std::io::ErrorKind::NotConnected);
        let far = server.bind_udp((SERVER, 0)).unwrap();
        near.connect(far.local_addr().unwrap()).unwrap();
        assert_eq!(near.getsockopt(IP_MTU).unwrap(), 1500);
        assert_eq!(errno(near.send_with_flags(b"x", MsgFlags::MORE)), Some(95), "EOPNOTSUPP");
        near.send_to_with_flags(b"whole", far.local_addr().unwrap(), MsgFlags::DONTWAIT).unwrap();
        let (len, from) = far.recv_from_with_flags(&mut [0; 2], MsgFlags::TRUNC).unwrap();
        assert_eq!((len, from), (5, near.local_addr().unwrap()));
    });
}

#[test]
fn urgent_data_has_a_mark() {
    within(60, || {
        let (client, server) = hosts();
        for inline in [true, false] {
            let (mut near, mut far) = connection(&client, &server);
            far.set_oob_inline(inline).unwrap();
            assert_eq!(far.getsockopt(SO_OOBINLINE).unwrap(), inline);
            near.write_all(b"calm ").unwrap();
            near.send_urgent(b"now!").unwrap();
            near.write_all(b" calm").unwrap();
            near.shutdown(std::net::Shutdown::Write).unwrap();
            let mut before = Vec::new();
            while !far.at_mark().unwrap() {
                let mut byte = [0];
                far.read_exact(&mut byte).unwrap();
                before.extend(byte);
            }
            let (text, urgent) = if inline { (&b"calm now!"[..], None) } else { (&b"calm now"[..], Some(b'!')) };
            assert_eq!(before, text);
            assert_eq!(far.recv_urgent().ok(), urgent);
            let mut after = Vec::new();
            far.read_to_end(&mut after).unwrap();
            assert_eq!(after, b" calm");
        }
    });
}
