//! Connections.

use crate::common::*;
use std::future::poll_fn;
use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf, Ready};
use tokio::time::{sleep, timeout};
use tunstack::aio::{TcpListener, TcpStream};
use tunstack::net::Host;

#[test]
fn streams_both_ways_at_once_over_both_families() {
    everywhere(|client, server| {
        Box::pin(async move {
            for address in [SERVER, SERVER_6] {
                let listener = TcpListener::bind_on(&server, (address, 80)).await.unwrap();
                let serving = tokio::spawn(async move {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (read, write) = stream.into_split();
                    tokio::join!(check_stream(read, 1, 700_000), write_stream(write, 2, 900_000));
                });
                let stream = TcpStream::connect_on(&client, (address, 80)).await.unwrap();
                assert_eq!(stream.peer_addr().unwrap().ip().to_string(), address);
                let (read, write) = stream.into_split();
                tokio::join!(check_stream(read, 2, 900_000), write_stream(write, 1, 700_000));
                serving.await.unwrap();
            }
        })
    });
}

#[test]
fn bytes_go_into_the_room_that_a_buffer_has() {
    everywhere(|client, server| {
        Box::pin(async move {
            let (mut near, far) = connection(&client, &server).await;
            let mut all = Vec::with_capacity(300_000);
            assert_eq!(far.try_read_buf(&mut all).unwrap_err().kind(), ErrorKind::WouldBlock);
            let sent: Vec<u8> = (0..200_000).map(|at| byte(6, at)).collect();
            let data = sent.clone();
            let writing = tokio::spawn(async move {
                near.write_all(&data).await.unwrap();
                near.shutdown().await.unwrap();
                near
            });
            let mut start = [0; 3];
            let mut room = &mut start[..];
            while !room.is_empty() {
                far.readable().await.unwrap();
                assert!(far.try_read_buf(&mut room).is_ok_and(|n| n > 0));
            }
            assert_eq!(far.try_read_buf(&mut room).unwrap(), 0, "no room is no end");
            assert_eq!(start, sent[..3]);
            loop {
                far.readable().await.unwrap();
                let before = all.len();
                match far.try_read_buf(&mut all) {
                    Ok(0) => break,
                    Ok(n) => assert_eq!(all.len(), before + n),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            assert!(all == sent[3..], "{} bytes", all.len());
            writing.await.unwrap();
        })
    });
}

#[test]
fn a_connection_that_cannot_be_says_why() {
    everywhere(|client, server| {
        Box::pin(async move {
            let refused = TcpStream::connect_on(&client, (SERVER, 9)).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            assert_eq!(TcpStream::connect_on(&client, (SERVER, 0)).await.unwrap_err().kind(), {
                client.connect((SERVER, 0)).unwrap_err().kind()
            });
            // The first that answers counts.
            let listener = TcpListener::bind_on(&server, (SERVER, 80)).await.unwrap();
            let addrs = [(SERVER, 9), (SERVER, 80)].map(|(ip, port)| format!("{ip}:{port}").parse().unwrap());
            let near = TcpStream::connect_on(&client, &addrs[..]).await.unwrap();
            let (far, peer) = listener.accept().await.unwrap();
            assert_eq!((far.local_addr().unwrap(), peer), (near.peer_addr().unwrap(), near.local_addr().unwrap()));
            let local = format!("{CLIENT}:7777").parse().unwrap();
            let near = TcpStream::connect_from(&client, local, addrs[1]).await.unwrap();
            assert_eq!(near.local_addr().unwrap(), local);
        })
    });
}

#[test]
fn who_gives_up_connecting_leaves_nothing() {
    everywhere(|client, _server| {
        Box::pin(async move {
            // Nobody is there: the SYNs are lost.
            let connecting = TcpStream::connect_on(&client, "192.0.2.77:80");
            assert!(timeout(20 * MS, connecting).await.is_err());
            assert_eq!(client.snapshot().len(), 0);
        })
    });
}

#[test]
fn many_accept_from_one_listener() {
    everywhere(|client, server| {
        Box::pin(async move {
            let listener = Arc::new(TcpListener::bind_on(&server, (SERVER, 80)).await.unwrap());
            let accepting: Vec<_> = (0..8)
                .map(|_| {
                    let listener = listener.clone();
                    tokio::spawn(async move { listener.accept().await.unwrap().0 })
                })
                .collect();
            tokio::task::yield_now().await;
            let mut near = Vec::new();
            for _ in 0..8 {
                near.push(TcpStream::connect_on(&client, (SERVER, 80)).await.unwrap());
            }
            for accepted in accepting {
                accepted.await.unwrap();
            }
            // A task that gave up holds nothing back.
            for _ in 0..100 {
                assert!(timeout(MS / 10, listener.accept()).await.is_err());
            }
            near.push(TcpStream::connect_on(&client, (SERVER, 80)).await.unwrap());
            listener.accept().await.unwrap();
        })
    });
}

#[test]
fn a_read_that_is_dropped_has_taken_nothing() {
    everywhere(|client, server| {
        Box::pin(async move {
            let (near, mut far) = connection(&client, &server).await;
            let writing = tokio::spawn(async move {
                let mut near = near;
                for at in 0..200 {
                    near.write_all(&[byte(4, at)]).await.unwrap();
                    if at % 16 == 0 {
                        sleep(MS).await;
                    }
                }
                near
            });
            let (mut at, mut dropped) = (0, 0);
            while at < 200 {
                let mut buf = [0; 3];
                match timeout(MS / 4, far.read(&mut buf)).await {
                    Ok(n) => {
                        let n = n.unwrap();
                        (0..n).for_each(|i| assert_eq!(buf[i], byte(4, at + i as u64)));
                        at += n as u64;
                    }
                    Err(_) => dropped += 1,
                }
            }
            let _near = writing.await.unwrap();
            assert!(timeout(MS, far.peek(&mut [0])).await.is_err(), "no byte twice; {dropped} were dropped");
        })
    });
}

#[test]
fn readiness_and_calls_that_try() {
    everywhere(|client, server| {
        Box::pin(async move {
            let (mut near, far) = connection(&client, &server).await;
            far.writable().await.unwrap();
            assert_eq!(far.ready(Interest::READABLE | Interest::WRITABLE).await.unwrap(), Ready::WRITABLE);
            let mut buf = [0; 8];
            assert_eq!(far.try_read(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(far.try_io(Interest::READABLE, || Ok(())).unwrap_err().kind(), ErrorKind::WouldBlock);
            assert!(timeout(MS, far.readable()).await.is_err());

            near.write_all(b"hello").await.unwrap();
            // All who wait are woken.
            let all = tokio::join!(far.readable(), far.readable(), far.ready(Interest::READABLE));
            assert!(all.0.is_ok() && all.1.is_ok() && all.2.unwrap().is_readable());
            poll_fn(|cx| far.poll_read_ready(cx)).await.unwrap();
            assert_eq!(far.peek(&mut buf[..2]).await.unwrap(), 2);
            let mut space = ReadBuf::new(&mut buf);
            assert_eq!(poll_fn(|cx| far.poll_peek(cx, &mut space)).await.unwrap(), 5);
            assert_eq!(space.filled(), b"hello");
            assert_eq!(far.try_io(Interest::READABLE, || far.try_read(&mut buf[..4])).unwrap(), 4);
            assert_eq!(far.async_io(Interest::READABLE, || far.try_read(&mut buf)).await.unwrap(), 1);

            near.shutdown().await.unwrap();
            let ready = far.ready(Interest::READABLE).await.unwrap();
            assert!(ready.is_read_closed() && ready.is_readable());
            assert_eq!(far.try_read(&mut buf).unwrap(), 0);
            assert_eq!(far.try_write(b"bye").unwrap(), 3);
            let mut last = String::new();
            drop(far);
            near.read_to_string(&mut last).await.unwrap();
            assert_eq!(last, "bye");
        })
    });
}

#[test]
fn a_writer_waits_for_room_and_pieces_stay_in_order() {
    everywhere(|client, server| {
        Box::pin(async move {
            let (mut near, far) = connection(&client, &server).await;
            let mut at = 0;
            // Until nothing more is taken, and what was under way has made no more room.
            loop {
                let small: Vec<u8> = (at..at + 10).map(|i| byte(5, i)).collect();
                if let Ok(n) = timeout(20 * MS, near.write_vectored(&[IoSlice::new(&small)])).await {
                    at += n.unwrap() as u64;
                }
                let large: Vec<u8> = (at..at + 200_000).map(|i| byte(5, i)).collect();
                let (one, two) = large.split_at(30_000);
                match timeout(20 * MS, near.write_vectored(&[IoSlice::new(one), IoSlice::new(two)])).await {
                    Ok(n) => at += n.unwrap() as u64,
                    Err(_) => match near.try_write(&large) {
                        Ok(n) => at += n as u64,
                        Err(error) if at > 100_000 => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
                        Err(_) => {}
                    },
                }
            }
            assert!(near.is_write_vectored());
            let reading = tokio::spawn(async move {
                check_stream(far, 5, at + 100_000).await;
            });
            let rest: Vec<u8> = (at..at + 100_000).map(|i| byte(5, i)).collect();
            near.write_all(&rest).await.unwrap();
            near.shutdown().await.unwrap();
            reading.await.unwrap();
        })
    });
}

#[test]
fn halves_are_one_stream_and_the_writing_one_ends_it() {
    everywhere(|client, server| {
        Box::pin(async move {
            let (near, mut far) = connection(&client, &server).await;
            let (other, _held) = connection(&client, &server).await;
            let (read, write) = near.into_split();
            let (read_other, write_other) = other.into_split();
            let error = read.reunite(write_other).unwrap_err();
            let (read, write_other) = (error.0, error.1);
            let mut near = write.reunite(read).unwrap();
            write_other.reunite(read_other).unwrap();

            let (mut read, mut write) = near.split();
            write.write_all(b"ab").await.unwrap();
            let mut buf = [0; 2];
            far.read_exact(&mut buf).await.unwrap();
            far.write_all(b"c").await.unwrap();
            assert_eq!(read.read(&mut buf).await.unwrap(), 1);

            let (read, write) = near.into_split();
            write.forget();
            assert!(timeout(5 * MS, far.read(&mut buf)).await.is_err(), "a half that was forgotten ends nothing");
            drop(read);
            assert_eq!(far.read(&mut buf).await.unwrap(), 0, "and with the last one the stream is closed");

            let (near, mut far) = connection(&client, &server).await;
            let (mut read, write) = near.into_split();
            drop(write);
            assert_eq!(far.read(&mut buf).await.unwrap(), 0);
            far.write_all(b"d").await.unwrap();
            assert_eq!(read.read(&mut buf).await.unwrap(), 1);
        })
    });
}

#[test]
fn options_are_those_of_net_and_a_drop_never_waits() {
    everywhere(|client, server| {
        Box::pin(async move {
            let (near, mut far) = connection(&client, &server).await;
            near.set_nodelay(true).unwrap();
            near.set_quickack(true).unwrap();
            near.set_ttl(33).unwrap();
            assert_eq!((near.nodelay().unwrap(), near.quickack().unwrap(), near.ttl().unwrap()), (true, true, 33));
            assert_eq!(near.as_ref().ttl().unwrap(), 33);
            assert!(near.take_error().unwrap().is_none());
            let near = TcpStream::from_net(near.into_net().unwrap()).unwrap();
            // With unsent data and a long linger: a task that waited would hold up what it waits for.
            while near.try_write(&[0; 65_536]).is_ok() {}
            near.set_linger(Some(std::time::Duration::from_secs(30))).unwrap();
            let began = Instant::now();
            drop(near);
            assert!(began.elapsed() < std::time::Duration::from_secs(10));
            tokio::io::copy(&mut far, &mut tokio::io::sink()).await.unwrap();

            let (near, mut far) = connection(&client, &server).await;
            near.set_zero_linger().unwrap();
            drop(near);
            assert_eq!(far.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        })
    });
}

/// The names of tokio alone, on a default host. No other test of this crate has one.
#[test]
fn the_default_host() {
    runtime(1).block_on(async {
        assert_eq!(TcpStream::connect((SERVER, 80)).await.unwrap_err().kind(), ErrorKind::NetworkDown);
        let (_client, server) = hosts(true);
        server.set_default();
        let listener = TcpListener::bind((SERVER, 80)).await.unwrap();
        let (near, far) = tokio::join!(TcpStream::connect((SERVER, 80)), listener.accept());
        assert_eq!(near.unwrap().local_addr().unwrap(), far.unwrap().1);
        assert!(Host::take_default().is_some());
    });
}

/// A stream is used by one task for reading and by another for writing: neither takes the other's waker.
#[test]
fn each_direction_has_a_waker() {
    everywhere(|client, server| {
        Box::pin(async move {
            let (near, mut far) = connection(&client, &server).await;
            while near.try_write(&[0; 65_536]).is_ok() {}
            let (mut read, mut write) = near.into_split();
            let reading = tokio::spawn(async move { read.read_exact(&mut [0; 1]).await.unwrap() });
            let writing = tokio::spawn(async move { write.write_all(&[1; 100]).await.unwrap() });
            sleep(5 * MS).await;
            far.write_all(b"x").await.unwrap();
            reading.await.unwrap();
            let mut sink = vec![0; 65_536];
            while !writing.is_finished() {
                let _ = poll_fn(|cx| match far.poll_read_ready(cx) {
                    Poll::Pending => Poll::Ready(None),
                    ready => ready.map(Some),
                })
                .await;
                if far.try_read(&mut sink).is_err() {
                    tokio::task::yield_now().await;
                }
            }
            writing.await.unwrap();
        })
    });
}
