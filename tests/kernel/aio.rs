//! axum over a host that a task drives, on a TUN: curl asks, and what it gets is compared.

use crate::harness::{Test, ipv6_up, noise, sha256, succeed};
use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::runtime::Builder;
use tunstack::aio::{self, TcpListener};
use tunstack::device::{Offloads, tun::Tun};
use tunstack::net::Host;

pub const TESTS: &[Test] = &[
    Test { name: "aio::curl_and_axum_both_ways", tools: &["ip", "curl"], limit: 60, body: || axum(1) },
    Test { name: "aio::curl_and_axum_on_two_threads", tools: &["ip", "curl"], limit: 60, body: || axum(2) },
    Test { name: "aio::a_link_that_is_down_costs_nothing", tools: &["ip"], limit: 30, body: down },
    Test { name: "aio::a_host_that_connects_to_the_kernel", tools: &["ip"], limit: 30, body: relay },
];

/// Runs `clients`, which block, beside a host on a TUN that a task drives and that listens at `at`, on so many threads.
fn beside(
    threads: usize,
    at: &str,
    serve: impl FnOnce(Host, TcpListener) -> Serving,
    clients: impl FnOnce() + Send + 'static,
) {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let tun = Tun::open("tun0", 1500, Offloads::ALL).expect("a TUN");
        succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", "tun0"]);
        let host = Host::builder().address("192.0.2.2/24").address("2001:db8::2/64").start_on_runtime(tun);
        let host = host.expect("a host");
        ipv6_up("tun0", "2001:db8::1/64");
        let listener = TcpListener::bind_on(&host, at).await.expect("a listener");
        let serving = tokio::spawn(serve(host.clone(), listener));
        tokio::task::spawn_blocking(clients).await.expect("the clients");
        serving.abort();
        aio::shutdown(&host, Duration::from_secs(2)).await.expect("a shutdown");
    });
}

type Serving = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn axum(threads: usize) {
    let content = noise(11, 16 << 20);
    let page = Bytes::from(content.clone());
    let serve = |_, listener: TcpListener| -> Serving {
        Box::pin(async move {
            let router = Router::new()
                .route("/file", get(|| async move { page }))
                .route("/sum", post(|body: Bytes| async move { format!("{:02x?}", sha256(&body)) }))
                .layer(axum::extract::DefaultBodyLimit::max(64 << 20));
            axum::serve(listener, router).await.expect("serving");
        })
    };
    beside(threads, "[::]:80", serve, move || {
        let dir = TempDir::new().expect("a directory");
        let file = dir.path().join("file");
        let path = file.to_str().expect("a plain path");
        for host in ["192.0.2.2", "[2001:db8::2]"] {
            succeed(20, "curl", &["-gsS", "--fail", "-o", path, &format!("http://{host}/file")]);
            assert!(std::fs::read(&file).expect("the copy") == content, "other bytes from {host}");
            let upload = format!("@{path}");
            let sum = succeed(20, "curl", &["-gsS", "--fail", "--data-binary", &upload, &format!("http://{host}/sum")]);
            assert_eq!(sum, format!("{:02x?}", sha256(&content)), "the sum of what {host} got");
        }
    });
}

/// The processor time of this process so far.
fn busy() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// A TUN that is set down polls readable for ever, and has nothing.
fn down() {
    let serve = |_, listener: TcpListener| -> Serving {
        Box::pin(async move {
            let router = Router::new().route("/", get(|| async { "a page" }));
            axum::serve(listener, router).await.expect("serving");
        })
    };
    beside(1, "192.0.2.2:80", serve, || {
        let ask = || crate::harness::http_get("/").expect("a page");
        assert_eq!(ask().0, 200);
        for _ in 0..2 {
            succeed(5, "ip", &["link", "set", "dev", "tun0", "down"]);
            let before = busy();
            std::thread::sleep(Duration::from_millis(800));
            let used = busy() - before;
            assert!(used < Duration::from_millis(400), "{used:?} of 800 ms were spent on nothing");
            succeed(5, "ip", &["link", "set", "dev", "tun0", "up"]);
            assert_eq!(ask().0, 200);
        }
    });
}

/// A relay: what the kernel sends to us we send to another of the kernel's ports.
fn relay() {
    let kernel = std::net::TcpListener::bind("0.0.0.0:9000").expect("a listener of the kernel's");
    let echo = std::thread::spawn(move || {
        let (mut stream, from) = kernel.accept().expect("a connection");
        assert_eq!(from.ip().to_string(), "192.0.2.2");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("reading");
        stream.write_all(&all).expect("writing");
    });
    let serve = |host: Host, listener: TcpListener| -> Serving {
        Box::pin(async move {
            let (mut one, _) = listener.accept().await.expect("a connection");
            let mut two = aio::TcpStream::connect_on(&host, "192.0.2.1:9000").await.expect("another");
            copy_bidirectional(&mut one, &mut two).await.expect("relaying");
        })
    };
    beside(1, "192.0.2.2:9000", serve, move || {
        let content = noise(12, 3 << 20);
        let mut stream = TcpStream::connect("192.0.2.2:9000").expect("connecting");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        stream.write_all(&content).expect("writing");
        stream.shutdown(Shutdown::Write).expect("shutting down");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("reading");
        assert!(back == content, "{} bytes came back, or other ones", back.len());
        echo.join().expect("the echo");
    });
}
