//! Ten thousand connections at once.

use crate::{SERVER, hosts, run};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Barrier, Semaphore};
use tunstack::aio::{TcpListener, TcpStream};

const CONNECTIONS: usize = 10_000;

/// What this process occupies, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn ten_thousand_connections_at_once() {
    run(1, async {
        let before = resident();
        let (client, server) = hosts();
        let listener = TcpListener::from_net(server.listen_with((SERVER, 7), 1024).unwrap()).unwrap();
        let open = Arc::new(AtomicUsize::new(0));
        let accepting = tokio::spawn({
            let open = open.clone();
            async move {
                for _ in 0..CONNECTIONS {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    open.fetch_add(1, Ordering::Relaxed);
                    let open = open.clone();
                    tokio::spawn(async move {
                        let mut buf = [0; 64];
                        loop {
                            match stream.read(&mut buf).await.unwrap() {
                                0 => break,
                                n => stream.write_all(&buf[..n]).await.unwrap(),
                            }
                        }
                        open.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            }
        });
        // No more handshakes at once than the backlog takes; all talk when all are there.
        let (handshakes, all) = (Arc::new(Semaphore::new(500)), Arc::new(Barrier::new(CONNECTIONS + 1)));
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|n| {
                let (client, handshakes, all) = (client.clone(), handshakes.clone(), all.clone());
                tokio::spawn(async move {
                    let permit = handshakes.acquire().await.unwrap();
                    let mut stream = TcpStream::connect_on(&client, (SERVER, 7)).await.unwrap();
                    drop(permit);
                    all.wait().await;
                    let mut back = [0; 8];
                    for round in 0..2u32 {
                        let sent = [(n as u32).to_be_bytes(), round.to_be_bytes()].concat();
                        stream.write_all(&sent).await.unwrap();
                        stream.read_exact(&mut back).await.unwrap();
                        assert_eq!(back, *sent);
                    }
                    all.wait().await;
                })
            })
            .collect();
        all.wait().await;
        accepting.await.unwrap();
        assert_eq!(open.load(Ordering::Relaxed), CONNECTIONS);
        let established = |host: &tunstack::net::Host| host.snapshot().len();
        assert!(established(&client) >= CONNECTIONS && established(&server) >= CONNECTIONS);
        all.wait().await;
        // Both ends of all of them, with their tasks.
        let grown = resident().saturating_sub(before);
        assert!(grown < CONNECTIONS * 20_000, "{} MB", grown >> 20);
        for client in clients {
            client.await.unwrap();
        }
        // Every end is heard of, and acknowledged, and then no data is kept.
        let left = || (open.load(Ordering::Relaxed), client.memory(), server.memory());
        for _ in 0..30_000 {
            if left() == (0, 0, 0) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(left(), (0, 0, 0));
    });
}
