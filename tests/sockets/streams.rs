//! TCP sockets.

use super::common::*;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tunstack::net::{Host, MtuDiscovery, TcpListener, TcpStream, UdpSocket};
use tunstack::stack::{Keepalive, Readiness};
use tunstack::tcp::state::State;

const MS: Duration = Duration::from_millis(1);

#[test]
fn one_byte_round_trips() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, far) = connection(&client, &server);
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let server = thread::spawn(move || echo(&far));
        for n in 0..2000u32 {
            let mut back = [0];
            near.write_all(&[n as u8]).unwrap();
            near.read_exact(&mut back).unwrap();
            assert_eq!(back, [n as u8]);
        }
        drop(near);
        server.join().unwrap();
    });
}

#[test]
fn large_transfers_both_ways_at_once() {
    const LEN: u64 = 8 << 20;
    within(120, || {
        let (client, server) = hosts();
        let (near, far) = connection(&client, &server);
        thread::scope(|scope| {
            for (stream, send, receive) in [(&near, 1, 2), (&far, 2, 1)] {
                scope.spawn(move || {
                    write_stream(stream, send, LEN);
                    stream.shutdown(Shutdown::Write).unwrap();
                });
                scope.spawn(move || check_stream(stream, receive, LEN));
            }
        });
    });
}

#[test]
fn half_close_lets_the_other_direction_live() {
    within(60, || {
        let (client, server) = hosts();
        let (near, far) = connection(&client, &server);
        write_stream(&near, 1, 100_000);
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!((&near).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        check_stream(&far, 1, 100_000);
        write_stream(&far, 2, 300_000);
        drop(far);
        check_stream(&near, 2, 300_000);
    });
}

#[test]
fn a_read_times_out_as_on_linux() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, far) = connection(&client, &server);
        assert_eq!(near.read_timeout().unwrap(), None);
        near.set_read_timeout(Some(30 * MS)).unwrap();
        assert_eq!(near.read_timeout().unwrap(), Some(30 * MS));
        for n in 0..5 {
            let began = Instant::now();
            let error = near.read(&mut [0; 10_000]).unwrap_err();
            assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::WouldBlock, Some(11)));
            assert!(began.elapsed() >= 30 * MS);
            (&far).write_all(&[n]).unwrap();
            near.set_read_timeout(None).unwrap();
            let mut buf = [0; 2];
            assert_eq!(near.read(&mut buf).unwrap(), 1);
            assert_eq!(buf[0], n);
            near.set_read_timeout(Some(30 * MS)).unwrap();
        }
    });
}

#[test]
fn a_write_to_one_who_never_reads_times_out_after_a_part() {
    within(60, || {
        let (client, server) = hosts();
        let (near, far) = connection(&client, &server);
        near.set_write_timeout(Some(50 * MS)).unwrap();
        let data = vec![7; 16 << 20];
        let mut taken = (&near).write(&data).unwrap();
        assert!(taken < data.len(), "{taken} bytes taken");
        // What was under way still makes room, and so may a window probe or two.
        let mut refused = || loop {
            match (&near).write(&data) {
                Ok(n) => taken += n,
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(refused(), ErrorKind::WouldBlock);
        near.set_write_timeout(None).unwrap(); // were it to wait now, it would for ever
        near.set_nonblocking(true).unwrap();
        assert_eq!(refused(), ErrorKind::WouldBlock);
        assert!(taken > 100_000 && taken < data.len(), "{taken} bytes taken");
        drop(near);
        let mut all = Vec::new();
        (&far).read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), taken);
    });
}

#[test]
fn connecting_fails_as_in_std() {
    within(60, || {
        let (client, server) = hosts();
        let refused = client.connect((SERVER, 81)).unwrap_err();
        assert_eq!((refused.kind(), refused.raw_os_error()), (ErrorKind::ConnectionRefused, Some(111)));
        let began = Instant::now();
        let nobody = client.connect_timeout(&addr("192.0.2.77:80"), 60 * MS).unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= 60 * MS);
        assert_eq!(client.snapshot().iter().filter(|c| c.state != State::TimeWait).count(), 0, "it is given up");
        let zero = client.connect_timeout(&addr("192.0.2.2:80"), Duration::ZERO).unwrap_err();
        assert_eq!(zero.kind(), ErrorKind::InvalidInput);
        assert_eq!(client.connect("example.org:80").unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(client.connect((SERVER, 0)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let listener = server.listen((SERVER, 80)).unwrap();
        let both = [addr("192.0.2.2:81"), addr("192.0.2.2:80")];
        let stream = client.connect(&both[..]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), both[1], "the second address answered");
        drop(listener);
    });
}

#[test]
fn binding_fails_as_in_std() {
    within(60, || {
        let (client, server) = hosts();
        let first = server.listen((SERVER, 80)).unwrap();
        assert_eq!(server.listen((SERVER, 80)).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(server.listen("0.0.0.0:80").unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(server.listen("192.0.2.9:80").unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        drop(first);
        let again = server.listen("0.0.0.0:80").unwrap();
        assert_eq!(again.local_addr().unwrap(), addr("0.0.0.0:80"));
        let stream = client.connect((SERVER, 80)).unwrap();
        assert_eq!(again.accept().unwrap().0.local_addr().unwrap(), addr("192.0.2.2:80"));
        drop(stream);
        let from = client.connect_from(addr("192.0.2.1:5555"), addr("192.0.2.2:80")).unwrap();
        assert_eq!(from.local_addr().unwrap(), addr("192.0.2.1:5555"));
    });
}

#[test]
fn a_listener_can_be_non_blocking_and_cloned() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(!listener.readiness().contains(Readiness::READABLE));
        let clone = listener.try_clone().unwrap();
        assert_eq!(clone.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "clones share the flag");
        clone.set_nonblocking(false).unwrap();
        drop(listener);
        let address = clone.local_addr().unwrap();
        let acceptor = thread::spawn(move || clone.incoming().next().unwrap().unwrap());
        let near = client.connect(address).unwrap();
        let far = acceptor.join().unwrap();
        assert_eq!(far.peer_addr().unwrap(), near.local_addr().unwrap());
        assert_eq!(client.connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused, "the last clone is gone");
    });
}

#[test]
fn clones_in_threads_and_a_shutdown_that_wakes_them() {
    within(60, || {
        let (client, server) = hosts();
        for how in [Shutdown::Read, Shutdown::Both] {
            let (near, far) = connection(&client, &server);
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let mut clone = near.try_clone().unwrap();
                    thread::spawn(move || clone.read(&mut [0; 10]).unwrap())
                })
                .collect();
            thread::sleep(20 * MS);
            near.shutdown(how).unwrap();
            for reader in readers {
                assert_eq!(reader.join().unwrap(), 0);
            }
            drop(far);
        }
        let (near, _far) = connection(&client, &server);
        let mut clone = near.try_clone().unwrap();
        let writer = thread::spawn(move || clone.write_all(&vec![1; 32 << 20]).unwrap_err().kind());
        thread::sleep(50 * MS);
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_peers_close_and_reset_wake_a_reader() {
    within(60, || {
        let (client, server) = hosts();
        for reset in [false, true] {
            let (mut near, far) = connection(&client, &server);
            let reader = thread::spawn(move || near.read(&mut [0; 10]).map_err(|e| e.kind()));
            thread::sleep(20 * MS);
            if reset {
                far.set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(far);
            let want = if reset { Err(ErrorKind::ConnectionReset) } else { Ok(0) };
            assert_eq!(reader.join().unwrap(), want);
        }
    });
}

#[test]
fn sixteen_clients_and_a_thread_for_each() {
    const LEN: u64 = 300_000;
    within(120, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 7)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..16 {
                    let (stream, _) = listener.accept().unwrap();
                    scope.spawn(move || echo(&stream));
                }
            });
            for n in 0..16 {
                let client = &client;
                scope.spawn(move || {
                    let stream = client.connect((SERVER, 7)).unwrap();
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            write_stream(&stream, n, LEN);
                            stream.shutdown(Shutdown::Write).unwrap();
                        });
                        check_stream(&stream, n, LEN);
                    });
                });
            }
        });
    });
}

#[test]
fn many_threads_on_one_socket_lose_nothing() {
    const LEN: u64 = 2 << 20;
    within(120, || {
        let (client, server) = hosts();
        let (near, far) = connection(&client, &server);
        let (read, sum, want) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut buf = [0; 3000];
                    loop {
                        let n = (&far).read(&mut buf).unwrap();
                        if n == 0 {
                            break;
                        }
                        read.fetch_add(n as u64, Ordering::Relaxed);
                        sum.fetch_add(buf[..n].iter().map(|&b| u64::from(b)).sum(), Ordering::Relaxed);
                    }
                });
            }
            let writers: Vec<_> = (0..4)
                .map(|w| {
                    let (near, want) = (&near, &want);
                    scope.spawn(move || {
                        write_stream(near, w, LEN / 4);
                        want.fetch_add((0..LEN / 4).map(|i| u64::from(byte(w, i))).sum(), Ordering::Relaxed);
                    })
                })
                .collect();
            writers.into_iter().for_each(|w| w.join().unwrap());
            near.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!(read.into_inner(), LEN);
        assert_eq!(sum.into_inner(), want.into_inner());
    });
}

#[test]
fn many_threads_accept_on_one_listener() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 7)).unwrap();
        let served = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let (mut stream, _) = listener.accept().unwrap();
                        stream.write_all(b"hi").unwrap();
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..100 {
                let mut stream = client.connect((SERVER, 7)).unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                assert_eq!(text, "hi");
            }
        });
        assert_eq!(served.into_inner(), 100);
    });
}

#[test]
fn peek_vectors_and_options() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, mut far) = connection(&client, &server);
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cdef")];
        assert_eq!(near.write_vectored(&parts).unwrap(), 6);
        let mut four = [0; 4];
        assert_eq!(far.peek(&mut four).unwrap(), 4);
        assert_eq!(&four, b"abcd");
        assert!(far.readiness().contains(Readiness::READABLE | Readiness::WRITABLE));
        let (mut a, mut b) = ([0; 1], [0; 9]);
        assert_eq!(far.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap(), 6);
        assert_eq!((&a, &b[..5]), (b"a", &b"bcdef"[..]));
        assert_eq!(far.read(&mut []).unwrap(), 0);
        assert_eq!(near.write(&[]).unwrap(), 0);

        assert!(!near.nodelay().unwrap());
        near.set_nodelay(true).unwrap();
        assert!(near.try_clone().unwrap().nodelay().unwrap());
        near.set_ttl(7).unwrap();
        assert_eq!(near.ttl().unwrap(), 7);
        for bad in [0, 256, u32::MAX] {
            assert_eq!(near.set_ttl(bad).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        near.set_linger(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(near.linger().unwrap(), Some(Duration::from_secs(3)));
        near.set_linger(None).unwrap();
        let keepalive = Keepalive { idle: Duration::from_secs(9), ..Keepalive::default() };
        near.set_keepalive(Some(keepalive)).unwrap();
        assert_eq!(near.keepalive().unwrap(), Some(keepalive));
        near.set_user_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(near.user_timeout().unwrap(), Some(Duration::from_secs(5)));
        near.set_send_buffer_size(100_000).unwrap();
        assert_eq!(near.send_buffer_size().unwrap(), 100_000);
        near.set_recv_buffer_size(90_000).unwrap();
        assert_eq!(near.recv_buffer_size().unwrap(), 90_000);
        assert!(near.take_error().unwrap().is_none());

        let info = far.info().unwrap();
        assert_eq!((info.state, info.remote, info.bytes_received), (State::Established, near.local_addr().unwrap(), 6));
        assert_eq!(client.snapshot().len(), 1);
        assert!(client.stats().frames_out > 0 && client.is_alive());
    });
}

#[test]
fn non_blocking_connect_tells_how_it_ended() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 80)).unwrap();
        for (port, refused) in [(80, false), (81, true)] {
            let stream = client.connect_nonblocking(&addr(&format!("{SERVER}:{port}"))).unwrap();
            let began = Instant::now();
            while !stream.readiness().intersects(Readiness::WRITABLE | Readiness::ERROR) {
                assert!(began.elapsed() < Duration::from_secs(20));
                thread::sleep(MS);
            }
            let error = stream.take_error().unwrap().map(|e| e.kind());
            assert_eq!(error, refused.then_some(ErrorKind::ConnectionRefused));
            if !refused {
                assert_eq!((&stream).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
                let (mut far, _) = listener.accept().unwrap();
                far.write_all(b"x").unwrap();
                stream.set_nonblocking(false).unwrap();
                assert_eq!((&stream).read(&mut [0; 9]).unwrap(), 1);
            }
        }
    });
}

#[test]
fn whoever_waits_in_a_batch_sends_first() {
    // What is left for later goes out with the next timer, the soonest of which takes 200 ms: what is not, goes sooner at
    // least once, however busy the machine.
    let soon = 150 * MS;
    within(60, move || {
        let (client, server) = hosts();
        let (mut read, mut lingered) = (false, false);
        let end = Instant::now() + Duration::from_secs(20);
        while !(read && lingered) && Instant::now() < end {
            let (mut near, mut far) = connection(&client, &server);
            let echoes = thread::spawn(move || {
                let mut question = [0; 4];
                far.read_exact(&mut question).unwrap();
                far.write_all(b"answer").unwrap();
                assert_eq!(far.read(&mut question).unwrap(), 0);
            });
            near.set_recv_lowat(6).unwrap();
            near.set_linger(Some(Duration::from_secs(30))).unwrap();
            let batch = client.batch();
            let began = Instant::now();
            near.write_all(b"what").unwrap();
            assert_eq!(near.read(&mut [0; 16]).unwrap(), 6);
            read |= began.elapsed() < soon;
            let began = Instant::now();
            drop(near);
            lingered |= began.elapsed() < soon;
            drop(batch);
            echoes.join().unwrap();
        }
        assert!(read, "a read that waits for several bytes");
        assert!(lingered, "a drop that lingers");
    });
}

#[test]
fn what_is_closed_in_a_batch_is_closed_at_its_end() {
    within(60, || {
        let (client, server) = hosts();
        let (near, far): (Vec<_>, Vec<_>) = (0..20).map(|_| connection(&client, &server)).unzip();
        let batch = client.batch();
        drop(near);
        drop(batch);
        for mut stream in far {
            assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
        }
    });
}

#[test]
fn lingering_waits_until_the_peer_has_everything() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, mut far) = connection(&client, &server);
        near.set_linger(Some(Duration::from_secs(30))).unwrap();
        let data = vec![3; 100_000]; // what the peer can hold that does not read
        near.write_all(&data).unwrap();
        let began = Instant::now();
        drop(near);
        assert!(began.elapsed() < Duration::from_secs(20), "it ends when all is acknowledged");
        assert_eq!(far.info().unwrap().bytes_received, 100_000, "the peer has all of it by then");
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        assert_eq!(all, data);

        let (near, _far) = {
            let (client, server) = hosts();
            let pair = connection(&client, &server);
            server.shutdown(Duration::ZERO); // a peer that will never answer again
            pair
        };
        near.set_linger(Some(40 * MS)).unwrap();
        (&near).write_all(b"x").unwrap_or_default();
        let began = Instant::now();
        drop(near);
        assert!(began.elapsed() < Duration::from_secs(10));
    });
}

/// The only test that touches the default host.
#[test]
fn the_default_host_serves_the_names_of_std() {
    within(60, || {
        for error in [
            TcpStream::connect("192.0.2.2:80").map(drop).unwrap_err(),
            TcpListener::bind("192.0.2.2:80").map(drop).unwrap_err(),
            UdpSocket::bind("192.0.2.2:80").map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NetworkDown);
            assert!(error.to_string().contains("Host::set_default"), "{error}");
        }
        let (client, server) = hosts();
        Host::set_default(&server);
        let listener = TcpListener::bind((SERVER, 80)).unwrap();
        let udp = UdpSocket::bind((SERVER, 80)).unwrap();
        assert_eq!(udp.local_addr().unwrap(), listener.local_addr().unwrap());
        Host::set_default(&client);
        TcpStream::connect_timeout(&addr("192.0.2.2:80"), Duration::from_secs(10)).unwrap();
        assert!(Host::take_default().is_some());
        assert!(Host::get_default().is_err());
    });
}

#[test]
fn a_stack_can_talk_to_itself() {
    within(60, || {
        let (client, _) = hosts();
        let listener = client.listen((CLIENT, 80)).unwrap();
        let near = client.connect((CLIENT, 80)).unwrap();
        let (far, _) = listener.accept().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                write_stream(&near, 5, 1 << 20);
                near.shutdown(Shutdown::Write).unwrap();
            });
            check_stream(&far, 5, 1 << 20);
        });
    });
}

#[test]
fn chunks_travel_without_a_copy() {
    within(60, || {
        let (client, server) = hosts();
        let (near, far) = connection(&client, &server);
        let sender = thread::spawn(move || {
            let mut at = 0;
            for len in [60_000, 65_536, 1, 40_000, 65_536].into_iter().cycle().take(50) {
                let mut chunk = near.host().chunk();
                assert!(chunk.is_empty() && chunk.capacity() >= 65_536);
                let data: Vec<u8> = (at..at + len).map(|at| byte(7, at)).collect();
                assert_eq!(chunk.append(&data), len as usize);
                assert_eq!(near.send_chunk(&chunk.freeze()).unwrap(), len as usize);
                at += len;
            }
            near.shutdown(Shutdown::Write).unwrap();
            assert_eq!(near.send_chunk(&b"x"[..].into()).unwrap_err().kind(), ErrorKind::BrokenPipe);
            at
        });
        let mut at = 0;
        loop {
            let piece = far.recv_chunk().unwrap();
            if piece.is_empty() {
                break;
            }
            for &got in piece.iter() {
                assert_eq!(got, byte(7, at));
                at += 1;
            }
        }
        assert_eq!(at, sender.join().unwrap());
    });
}

#[test]
fn a_chunk_that_finds_no_room_is_kept_by_the_sender() {
    within(60, || {
        let (client, server) = hosts();
        let (near, far) = connection(&client, &server);
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        assert_eq!(far.recv_chunk().unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut chunk = near.host().chunk();
        chunk.append(&[b'x'; 65_536]);
        let full = chunk.freeze();
        let mut sent = 0;
        let error = loop {
            match near.send_chunk(&full) {
                Ok(n) => sent += n,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        far.set_nonblocking(false).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let mut received = 0;
        loop {
            match far.recv_chunk().unwrap().len() {
                0 => break,
                n => received += n,
            }
        }
        assert!(sent > 0 && received == sent, "{received} of {sent}");
    });
}

/// What is set on a listener its connections have, from their SYN,ACK on.
#[test]
fn connections_inherit_from_their_listener() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 0)).unwrap();
        let usual = (listener.ttl().unwrap(), listener.tos().unwrap(), listener.mtu_discovery().unwrap());
        assert_eq!(usual, (64, 0, MtuDiscovery::Want));
        listener.set_ttl(7).unwrap();
        listener.set_tos(0x4b).unwrap();
        listener.set_mtu_discovery(MtuDiscovery::Dont).unwrap();
        assert_eq!(listener.set_tos(256).unwrap_err().kind(), ErrorKind::InvalidInput);
        let watch = client.bind_raw([0, 0, 0, 0], 6).unwrap();
        let near = client.connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let inherited = (far.ttl().unwrap(), far.tos().unwrap(), far.mtu_discovery().unwrap());
        assert_eq!(inherited, (7, 0x48, MtuDiscovery::Dont), "without ECN's bits");
        let mut packet = [0; 100];
        let syn_ack = watch.recv_msg(&mut packet).unwrap();
        assert_eq!((syn_ack.ttl, syn_ack.tos, packet[33] & 0x3f), (7, 0x48, 0x12));
        assert_eq!(near.ttl().unwrap(), 64, "the client's own");
    });
}
