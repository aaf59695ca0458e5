//! The web server of `scripts/web-bench`: one axum program that serves on a stack of ours or on the kernel's.
//!
//! ```text
//! web tun NAME CERT.pem [THREADS]      at 192.0.2.2 and 2001:db8::2, by the TUN interface NAME
//! web kernel CERT.pem [THREADS]        at the kernel's loopback addresses
//! web hash                             the SHA-256 of /large, in hexadecimal
//! ```
//!
//! It serves a small page on port 80 as HTTP/1.1 and HTTP/2, and on port 443 with TLS `/large`, which is 1 GiB. The
//! certificate, made anew each time, is written to CERT.pem before it serves.

mod tls;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use axum::serve::Listener;
use sha2::{Digest, Sha256};
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::StreamExt;
use tunstack::aio::TcpListener;
use tunstack::device::{Offloads, tun::Tun};
use tunstack::net::Host;

type Outcome = Result<(), Box<dyn Error>>;

/// Bytes of which `/large` is made, and how many such pieces there are.
const PIECE: usize = 64 * 1024;
const PIECES: u64 = (1 << 30) / PIECE as u64;

/// The piece with the number `n`: no two are alike.
fn piece(n: u64) -> Bytes {
    let words = (0..PIECE as u64 / 8).map(|i| (n << 32 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>().into()
}

fn router() -> Router {
    let large = || async { Body::from_stream(tokio_stream::iter(0..PIECES).map(|n| Ok::<_, io::Error>(piece(n)))) };
    Router::new()
        .route("/", get(|| async { "Thirteen words make a page that is as small as pages ever get.\n" }))
        .route("/large", get(large))
}

/// Serves on the two listeners for ever.
async fn serve<L>(plain: L, secure: L, cert: &str) -> Outcome
where
    L: Listener,
    L::Io: AsyncRead + AsyncWrite + Unpin + Send,
    L::Addr: std::fmt::Debug + Clone,
{
    let secure = tls::Tls::new(secure, cert)?;
    let plain = tokio::spawn(async move { axum::serve(plain, router()).await });
    axum::serve(secure, router()).await?;
    Ok(plain.await??)
}

async fn on_tun(name: &str, cert: &str) -> Outcome {
    let tun = Tun::open(name, 1500, Offloads::ALL)?;
    let host = Host::builder().address("192.0.2.2/24").address("2001:db8::2/64").start_on_runtime(tun)?;
    let listen = |port: u16| TcpListener::from_net(host.listen_with(("::", port), 1024)?);
    serve(listen(80)?, listen(443)?, cert).await
}

async fn on_kernel(cert: &str) -> Outcome {
    let listen = |port: u16| tokio::net::TcpListener::bind(("::", port));
    serve(listen(80).await?, listen(443).await?, cert).await
}

fn run(threads: &str, server: impl Future<Output = Outcome>) -> Outcome {
    let mut builder = match threads.parse()? {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = builder.enable_all().build()?;
    let served = runtime.block_on(server);
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tun", name, cert] => run("1", on_tun(name, cert)),
        ["tun", name, cert, threads] => run(threads, on_tun(name, cert)),
        ["kernel", cert] => run("1", on_kernel(cert)),
        ["kernel", cert, threads] => run(threads, on_kernel(cert)),
        ["hash"] => {
            let mut sum = Sha256::new();
            (0..PIECES).for_each(|n| sum.update(piece(n)));
            println!("{}", sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            Ok(())
        }
        _ => Err("usage: web tun NAME CERT.pem [THREADS] | kernel CERT.pem [THREADS] | hash".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        }
    }
}
