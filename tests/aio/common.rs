//! What the tests of the asynchronous sockets share: hosts in four settings, and data to be checked.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tunstack::aio::{TcpListener, TcpStream};
use tunstack::device::mem;
use tunstack::net::Host;

pub const CLIENT: &str = "192.0.2.1";
pub const SERVER: &str = "192.0.2.2";
pub const CLIENT_6: &str = "2001:db8::1";
pub const SERVER_6: &str = "2001:db8::2";

/// The longest that any test waits.
const LIMIT: Duration = Duration::from_secs(60);

pub const MS: Duration = Duration::from_millis(1);

pub type Test = Pin<Box<dyn Future<Output = ()>>>;

/// A runtime with one thread or with two.
pub fn runtime(threads: usize) -> Runtime {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().unwrap()
}

/// Two hosts on a link in memory, client and server, driven by tasks of this runtime or by threads of their own.
pub fn hosts(by_tasks: bool) -> (Host, Host) {
    let (a, b) = mem::pair(1500, 4096).unwrap();
    let start = |addresses: [&str; 2], device| {
        let builder = addresses
            .iter()
            .zip([24, 64])
            .fold(Host::builder(), |builder, (address, prefix)| builder.address(format!("{address}/{prefix}")));
        if by_tasks { builder.start_on_runtime(device) } else { builder.start(device) }.unwrap()
    };
    (start([CLIENT, CLIENT_6], a), start([SERVER, SERVER_6], b))
}

/// Runs `test` with client and server on runtimes of one thread and of two, with hosts driven by tasks and by threads.
pub fn everywhere(test: impl Fn(Host, Host) -> Test) {
    for threads in [1, 2] {
        for by_tasks in [true, false] {
            runtime(threads).block_on(async {
                let (client, server) = hosts(by_tasks);
                let ended = timeout(LIMIT, test(client, server)).await;
                assert!(ended.is_ok(), "not done with {threads} threads, by tasks: {by_tasks}");
            });
        }
    }
}

/// A connection: the client's end and the server's.
pub async fn connection(client: &Host, server: &Host) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind_on(server, (SERVER, 0)).await.unwrap();
    let near = TcpStream::connect_on(client, listener.local_addr().unwrap()).await.unwrap();
    let (far, peer) = listener.accept().await.unwrap();
    assert_eq!(peer, near.local_addr().unwrap());
    (near, far)
}

/// The byte at `at` of the stream `seed`: no shift of the stream looks like another.
pub fn byte(seed: u64, at: u64) -> u8 {
    let mut x = (at ^ seed.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 29;
    (x.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
}

/// Writes `len` bytes of the stream `seed` in pieces of many sizes, and then the end.
pub async fn write_stream(mut to: impl AsyncWrite + Unpin, seed: u64, len: u64) {
    let sizes = [1u64, 7, 1000, 1460, 4096, 4097, 20_000, 65_536, 300_000];
    let mut at = 0;
    for size in sizes.iter().cycle() {
        if at == len {
            break;
        }
        let piece: Vec<u8> = (at..len.min(at + size)).map(|i| byte(seed, i)).collect();
        to.write_all(&piece).await.unwrap();
        at += piece.len() as u64;
    }
    to.shutdown().await.unwrap();
}

/// Reads to the end, wanting exactly `len` bytes of the stream `seed`.
pub async fn check_stream(mut from: impl AsyncRead + Unpin, seed: u64, len: u64) {
    let mut at = 0;
    let mut buf = vec![0; 100_000];
    for size in [100_000, 1, 5000, 33, 4096].iter().cycle() {
        let n = from.read(&mut buf[..*size]).await.unwrap();
        if n == 0 {
            break;
        }
        for (i, &got) in buf[..n].iter().enumerate() {
            assert_eq!(got, byte(seed, at + i as u64), "at byte {}", at + i as u64);
        }
        at += n as u64;
    }
    assert_eq!(at, len, "the stream's length");
}
