//! Datagrams.

use crate::common::*;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::Arc;
use tokio::io::ReadBuf;
use tokio::time::timeout;
use tunstack::aio::UdpSocket;

#[test]
fn datagrams_over_both_families() {
    everywhere(|client, server| {
        Box::pin(async move {
            for (from, to) in [(CLIENT, SERVER), (CLIENT_6, SERVER_6)] {
                let near = UdpSocket::bind_on(&client, (from, 0)).await.unwrap();
                let far = UdpSocket::bind_on(&server, (to, 53)).await.unwrap();
                assert_eq!(near.send_to(b"one", (to, 53)).await.unwrap(), 3);
                let mut buf = [0; 8];
                assert_eq!(far.peek_from(&mut buf).await.unwrap(), (3, near.local_addr().unwrap()));
                assert_eq!(far.recv_from(&mut buf).await.unwrap(), (3, near.local_addr().unwrap()));
                assert_eq!(&buf[..3], b"one");
                assert_eq!(far.try_recv_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
                assert_eq!(far.try_peek_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);

                assert_eq!(near.send(b"x").await.unwrap_err().raw_os_error(), Some(89)); // EDESTADDRREQ
                near.connect((to, 53)).await.unwrap();
                assert_eq!(near.peer_addr().unwrap(), far.local_addr().unwrap());
                assert_eq!(poll_fn(|cx| near.poll_send(cx, b"two")).await.unwrap(), 3);
                let mut space = ReadBuf::new(&mut buf);
                assert_eq!(poll_fn(|cx| far.poll_peek_from(cx, &mut space)).await.unwrap(), near.local_addr().unwrap());
                space.clear();
                poll_fn(|cx| far.poll_recv_from(cx, &mut space)).await.unwrap();
                assert_eq!(space.filled(), b"two");
                let to_near = near.local_addr().unwrap();
                assert_eq!(poll_fn(|cx| far.poll_send_to(cx, b"back", to_near)).await.unwrap(), 4);
                near.readable().await.unwrap();
                assert_eq!(near.try_recv(&mut buf).unwrap(), 4);
            }
        })
    });
}

#[test]
fn datagrams_go_into_the_room_that_a_buffer_has() {
    everywhere(|client, server| {
        Box::pin(async move {
            for (from, to) in [(CLIENT, SERVER), (CLIENT_6, SERVER_6)] {
                let near = UdpSocket::bind_on(&client, (from, 0)).await.unwrap();
                let far = UdpSocket::bind_on(&server, (to, 53)).await.unwrap();
                let me = near.local_addr().unwrap();
                let mut all = Vec::with_capacity(64);
                assert_eq!(far.try_recv_buf(&mut all).unwrap_err().kind(), ErrorKind::WouldBlock);
                assert_eq!(far.try_recv_buf_from(&mut all).unwrap_err().kind(), ErrorKind::WouldBlock);
                for piece in [&b"one "[..], b"two ", b"three ", b"four"] {
                    near.send_to(piece, (to, 53)).await.unwrap();
                }
                assert_eq!(far.recv_buf(&mut all).await.unwrap(), 4);
                assert_eq!(far.recv_buf_from(&mut all).await.unwrap(), (4, me));
                far.readable().await.unwrap();
                while far.try_recv_buf(&mut all).is_err() {
                    far.readable().await.unwrap();
                }
                while far.try_recv_buf_from(&mut all).is_err() {
                    far.readable().await.unwrap();
                }
                assert_eq!(all, b"one two three four");
                // What there is no room for is lost.
                near.send_to(&[7; 100], (to, 53)).await.unwrap();
                near.send_to(b"next", (to, 53)).await.unwrap();
                let mut small = [0; 10];
                let mut room = &mut small[..];
                assert_eq!(far.recv_buf_from(&mut room).await.unwrap(), (10, me));
                assert_eq!((room.len(), small), (0, [7; 10]));
                assert_eq!(far.recv_buf(&mut all).await.unwrap(), 4);
                assert!(all.ends_with(b"fournext"));
            }
        })
    });
}

#[test]
fn nobody_there_is_an_error_of_the_next_call() {
    everywhere(|client, server| {
        Box::pin(async move {
            let near = UdpSocket::bind_on(&client, (CLIENT, 0)).await.unwrap();
            near.connect((SERVER, 9)).await.unwrap();
            near.send(b"x").await.unwrap();
            assert_eq!(near.recv(&mut [0; 8]).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            assert!(server.is_alive());
        })
    });
}

#[test]
fn many_tasks_receive_on_one_socket() {
    everywhere(|client, server| {
        Box::pin(async move {
            let far = Arc::new(UdpSocket::bind_on(&server, (SERVER, 53)).await.unwrap());
            let near = UdpSocket::bind_on(&client, (CLIENT, 0)).await.unwrap();
            let receiving: Vec<_> = (0..5)
                .map(|_| {
                    let far = far.clone();
                    tokio::spawn(async move {
                        let mut buf = [0; 1];
                        far.recv(&mut buf).await.unwrap();
                        buf[0]
                    })
                })
                .collect();
            for byte in 0..5 {
                tokio::task::yield_now().await;
                near.send_to(&[byte], (SERVER, 53)).await.unwrap();
            }
            let mut got = Vec::new();
            for one in receiving {
                got.push(one.await.unwrap());
            }
            got.sort_unstable();
            assert_eq!(got, [0, 1, 2, 3, 4]);
        })
    });
}

/// A task that never has to wait lets the others run: the timer, and the driver.
#[test]
fn a_busy_task_leaves_the_others_their_turn() {
    everywhere(|client, server| {
        Box::pin(async move {
            let far = UdpSocket::bind_on(&server, (SERVER, 53)).await.unwrap();
            let near = UdpSocket::bind_on(&client, (CLIENT, 0)).await.unwrap();
            let busy = async {
                loop {
                    near.send_to(b"x", (SERVER, 53)).await.unwrap();
                }
            };
            assert!(timeout(20 * MS, busy).await.is_err());
            far.recv(&mut [0; 8]).await.unwrap();
        })
    });
}
