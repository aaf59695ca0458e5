//! The host that a task drives: how it lives without a thread, and how it ends.

use crate::common::*;
use std::io::{ErrorKind, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::StreamExt;
use tunstack::aio::{self, TcpListener, TcpStream, UdpSocket};
use tunstack::net::Host;

/// Says to a child process that it is one.
const CHILD: &str = "TUNSTACK_TEST_ALONE";

/// In a process of its own, whose threads can be counted.
#[test]
fn a_current_thread_runtime_needs_no_other_thread() {
    if std::env::var_os(CHILD).is_none() {
        let name = "driver::a_current_thread_runtime_needs_no_other_thread";
        let child = Command::new(std::env::current_exe().unwrap()).args(["--exact", name]).env(CHILD, "1").output();
        let output = child.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let threads = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    runtime(1).block_on(async {
        let (client, server) = hosts(true);
        let (near, far) = connection(&client, &server).await;
        tokio::join!(write_stream(near, 1, 300_000), check_stream(far, 1, 300_000));
        assert_eq!(threads(), before);
        let (_, server) = (client, server);
        aio::shutdown(&server, Duration::from_secs(2)).await.unwrap();
    });
}

/// What is lost is sent again by a timer, although no packet comes.
#[test]
fn timers_go_off() {
    use tunstack::device::{impair::Impaired, mem};
    runtime(1).block_on(async {
        let (a, b) = mem::pair(1500, 4096).unwrap();
        let spoilt = || "loss=20%,delay=2ms".parse().unwrap();
        let a = Impaired::new(a, spoilt(), spoilt(), [7; 32], tunstack::runtime::clock::now());
        let client = Host::builder().address(format!("{CLIENT}/24")).start_on_runtime(a).unwrap();
        let server = Host::builder().address(format!("{SERVER}/24")).start_on_runtime(b).unwrap();
        let (near, far) = connection(&client, &server).await;
        tokio::join!(write_stream(near, 1, 100_000), check_stream(far, 1, 100_000));
        assert!(client.snapshot().iter().chain(&server.snapshot()).count() > 0);
    });
}

/// Threads that block on the sockets of such a host are served by its task.
#[test]
fn threads_wait_for_the_task() {
    runtime(2).block_on(async {
        let (client, server) = hosts(true);
        let listener = server.listen((SERVER, 80)).unwrap();
        let echo = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buf = Vec::new();
            stream.read_to_end(&mut buf).unwrap();
            stream.write_all(&buf).unwrap();
        });
        let mut near = TcpStream::connect_on(&client, (SERVER, 80)).await.unwrap();
        near.write_all(&[5; 20_000]).await.unwrap();
        near.shutdown().await.unwrap();
        let mut back = Vec::new();
        near.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, [5; 20_000]);
        echo.join().unwrap();
    });
}

#[test]
fn a_shutdown_delivers_and_tells_everybody() {
    everywhere(|client, server| {
        Box::pin(async move {
            let listener = TcpListener::bind_on(&server, (SERVER, 80)).await.unwrap();
            let udp = UdpSocket::bind_on(&server, (SERVER, 53)).await.unwrap();
            let (mut near, mut far) = connection(&client, &server).await;
            far.write_all(&[7; 100_000]).await.unwrap();
            let waiting = tokio::spawn(async move { listener.accept().await.unwrap_err().kind() });
            let incoming = TcpListener::bind_on(&server, (SERVER, 81)).await.unwrap().incoming();
            let streaming = tokio::spawn(async move {
                tokio::pin!(incoming);
                incoming.next().await.is_none() && incoming.next().await.is_none()
            });
            let receiving = tokio::spawn(async move { udp.recv(&mut [0; 8]).await.unwrap_err().kind() });
            tokio::task::yield_now().await;
            let reading = tokio::spawn(async move {
                let mut all = Vec::new();
                near.read_to_end(&mut all).await.unwrap();
                assert_eq!(all, [7; 100_000]);
            });
            let began = Instant::now();
            aio::shutdown(&server, Duration::from_secs(20)).await.unwrap();
            assert!(began.elapsed() < Duration::from_secs(10), "no longer than it takes");
            reading.await.unwrap();
            assert_eq!(waiting.await.unwrap(), ErrorKind::ConnectionAborted);
            assert_eq!(receiving.await.unwrap(), ErrorKind::ConnectionAborted);
            assert!(streaming.await.unwrap(), "the stream of connections ends with the host");
            assert!(!server.is_alive());
            assert_eq!(far.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
            assert!(client.is_alive());
        })
    });
}

#[test]
fn grace_has_an_end() {
    everywhere(|client, server| {
        Box::pin(async move {
            let (mut near, far) = connection(&client, &server).await;
            let began = Instant::now();
            aio::shutdown(&server, 30 * MS).await.unwrap();
            assert!(began.elapsed() >= 30 * MS && began.elapsed() < Duration::from_secs(10));
            // First the FIN, and after the grace RST.
            near.read_to_end(&mut Vec::new()).await.unwrap();
            while near.write_all(b"x").await.is_ok() {
                tokio::time::sleep(MS).await;
            }
            drop(far);
        })
    });
}

#[test]
fn the_host_ends_with_its_runtime() {
    let first = runtime(1);
    let (client, server) = first.block_on(async { hosts(true) });
    let listener = server.listen((SERVER, 80)).unwrap();
    let waiting = std::thread::spawn(move || listener.accept().unwrap_err().kind());
    assert!(client.is_alive() && server.is_alive());
    drop(first);
    assert_eq!(waiting.join().unwrap(), ErrorKind::ConnectionAborted);
    assert!(!client.is_alive() && !server.is_alive());
    client.wait_closed().unwrap();
}

/// The device is free as soon as the shutdown is over.
#[test]
fn the_device_is_let_go() {
    use std::sync::Arc;
    use tunstack::device::{Device, mem};
    for threads in [1, 2] {
        runtime(threads).block_on(async {
            let (device, _other) = mem::pair(1500, 64).unwrap();
            let device = Arc::new(device);
            let weak = Arc::downgrade(&device);
            let host =
                Host::builder().address(format!("{CLIENT}/24")).start_on_runtime(device as Arc<dyn Device>).unwrap();
            aio::shutdown(&host, Duration::ZERO).await.unwrap();
            assert_eq!(weak.strong_count(), 0);
        });
    }
}

#[test]
fn connections_come_as_a_stream() {
    everywhere(|client, server| {
        Box::pin(async move {
            let listener = TcpListener::bind_on(&server, (SERVER, 80)).await.unwrap();
            let mut incoming = listener.incoming();
            assert_eq!(incoming.get_ref().unwrap().local_addr().unwrap().port(), 80);
            let mut near = Vec::new();
            for _ in 0..5 {
                near.push(TcpStream::connect_on(&client, (SERVER, 80)).await.unwrap());
            }
            for near in &near {
                let far = incoming.next().await.unwrap().unwrap();
                assert_eq!(far.peer_addr().unwrap(), near.local_addr().unwrap());
            }
        })
    });
}
