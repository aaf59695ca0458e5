//! What is built on tokio, over this stack: axum, hyper, TLS by rustls, and ten thousand connections at once.

mod many;
mod serve;
mod tls;

use std::future::Future;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tunstack::device::mem;
use tunstack::net::Host;

const CLIENT: &str = "192.0.2.1";
const SERVER: &str = "192.0.2.2";

/// The longest that any test waits.
const LIMIT: Duration = Duration::from_secs(240);

/// A runtime with one thread or with two.
fn runtime(threads: usize) -> Runtime {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if threads > 1 {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().unwrap()
}

/// Two hosts on a link in memory, client and server, driven by tasks of this runtime.
fn hosts() -> (Host, Host) {
    let (a, b) = mem::pair(1500, 8192).unwrap();
    let start =
        |address: &str, device| Host::builder().address(format!("{address}/24")).start_on_runtime(device).unwrap();
    (start(CLIENT, a), start(SERVER, b))
}

/// Runs `test` on a runtime with so many threads. It takes a second, but not where all is busy and nothing is optimized.
fn run(threads: usize, test: impl Future<Output = ()>) {
    let ended = runtime(threads).block_on(async { tokio::time::timeout(LIMIT, test).await });
    assert!(ended.is_ok(), "not done within {LIMIT:?}");
}
