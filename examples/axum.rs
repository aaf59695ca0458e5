//! A web server with axum on a stack of our own, on a single thread.
//!
//! ```text
//! axum                                    asks itself, over a link in memory
//! axum --tun NAME [--addr ADDRESS/PREFIX] serves http://192.0.2.2/ on a TUN
//! ```
//!
//! `sudo scripts/tun-up` makes the TUN `tun0` and gives the kernel's side the address 192.0.2.1/24.

use axum::Router;
use axum::extract::Path;
use axum::response::Html;
use axum::routing::get;
use std::error::Error;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tunstack::aio::{TcpListener, TcpStream};
use tunstack::device::{Offloads, mem, tun::Tun};
use tunstack::net::Host;

const ADDR: &str = "192.0.2.2/24";

fn router() -> Router {
    Router::new()
        .route("/", get(|| async { Html("<h1>Hello</h1><p>from a TCP of our own</p>\n") }))
        .route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("Hello, {name}!\n") }))
}

/// What an HTTP server at `addr` says to `path`, headers included.
async fn ask(host: &Host, addr: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_on(host, addr).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// A server and a client on a link in memory: the answers to `paths`.
async fn in_memory(paths: &[&str]) -> io::Result<Vec<String>> {
    let (near, far) = mem::pair(1500, 1024)?;
    let server = Host::builder().address(ADDR).start_on_runtime(near)?;
    let client = Host::builder().address("192.0.2.1/24").start_on_runtime(far)?;
    let listener = TcpListener::bind_on(&server, "192.0.2.2:80").await?;
    let serving = tokio::spawn(async move { axum::serve(listener, router()).await });
    let mut answers = Vec::new();
    for path in paths {
        answers.push(ask(&client, "192.0.2.2:80", path).await?);
    }
    serving.abort();
    Ok(answers)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => in_memory(&["/", "/hello/you"]).await?.iter().for_each(|answer| println!("{answer}")),
        ["--tun", name] => on_tun(name, ADDR).await?,
        ["--tun", name, "--addr", addr] => on_tun(name, addr).await?,
        _ => return Err("usage: axum [--tun NAME [--addr ADDRESS/PREFIX]]".into()),
    }
    Ok(())
}

async fn on_tun(name: &str, addr: &str) -> Result<(), Box<dyn Error>> {
    let tun = Tun::open(name, 1500, Offloads::ALL)?;
    let host = Host::builder().address(addr).start_on_runtime(tun)?;
    println!("serving on http://{}/", addr.split('/').next().unwrap_or(addr));
    let listener = TcpListener::bind_on(&host, "0.0.0.0:80").await?;
    Ok(axum::serve(listener, router()).await?)
}

#[tokio::test]
async fn it_serves_its_pages() {
    let answers = in_memory(&["/", "/hello/ann", "/nothing"]).await.unwrap();
    assert!(answers[0].starts_with("HTTP/1.1 200 OK\r\n") && answers[0].contains("<h1>Hello</h1>"), "{}", answers[0]);
    assert!(answers[1].ends_with("\r\n\r\nHello, ann!\n"), "{}", answers[1]);
    assert!(answers[2].starts_with("HTTP/1.1 404 "), "{}", answers[2]);
}
