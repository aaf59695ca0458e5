//! The gates: verdicts and flows by tasks.

use crate::common::*;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tunstack::aio::{SynGate, TcpStream, UdpGate, UdpSocket};

#[test]
fn a_task_decides_before_the_syn_ack() {
    everywhere(|client, server| {
        Box::pin(async move {
            let gate = Arc::new(SynGate::open(&server).await.unwrap());
            // Several tasks wait, one gives up, and every request has one that decides.
            assert!(timeout(5 * MS, gate.accept()).await.is_err());
            let deciding: Vec<_> = (0..3)
                .map(|_| {
                    let gate = gate.clone();
                    tokio::spawn(async move {
                        for _ in 0..4 {
                            let request = gate.accept().await.unwrap();
                            let to = request.destination();
                            if to.port().is_multiple_of(2) {
                                request.reset().unwrap();
                                continue;
                            }
                            // An upstream that takes its time.
                            sleep(2 * MS).await;
                            let mut far = TcpStream::from_net(request.accept().unwrap()).unwrap();
                            assert_eq!(far.local_addr().unwrap(), to);
                            far.write_all(b"welcome").await.unwrap();
                        }
                    })
                })
                .collect();
            for n in 0..12u16 {
                let to = if n % 3 == 0 { (SERVER_6, 1000 + n) } else { (SERVER, 1000 + n) };
                match TcpStream::connect_on(&client, to).await {
                    Ok(mut near) => {
                        let mut said = String::new();
                        near.read_to_string(&mut said).await.unwrap();
                        assert_eq!((said.as_str(), n % 2), ("welcome", 1));
                    }
                    Err(error) => assert_eq!((error.kind(), n % 2), (ErrorKind::ConnectionRefused, 0)),
                }
            }
            for task in deciding {
                task.await.unwrap();
            }
            // The host's end ends the wait.
            let waiting = tokio::spawn(async move { gate.accept().await.unwrap_err().kind() });
            sleep(5 * MS).await;
            tunstack::aio::shutdown(&server, Duration::ZERO).await.unwrap();
            assert_eq!(waiting.await.unwrap(), ErrorKind::ConnectionAborted);
        })
    });
}

#[test]
fn datagrams_of_a_source_are_a_flow() {
    everywhere(|client, server| {
        Box::pin(async move {
            let gate = UdpGate::open(&server).await.unwrap();
            let near = UdpSocket::bind_on(&client, (CLIENT, 5000)).await.unwrap();
            let accepting = tokio::spawn(async move {
                let flow = gate.accept().await.unwrap();
                let mut buf = [0; 16];
                for _ in 0..3 {
                    let (n, to) = flow.recv(&mut buf).await.unwrap();
                    flow.send(&buf[..n], to).await.unwrap();
                }
                flow.source()
            });
            for port in [53, 123, 443] {
                let to = format!("{SERVER}:{port}").parse().unwrap();
                near.send_to(b"question", to).await.unwrap();
                assert_eq!(near.recv_from(&mut [0; 16]).await.unwrap(), (8, to));
            }
            assert_eq!(accepting.await.unwrap(), near.local_addr().unwrap());
        })
    });
}
