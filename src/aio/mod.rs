//! The sockets for [tokio](https://docs.rs/tokio), with `tokio::net`'s names and behaviour.
//!
//! They work on any runtime of tokio, of one thread or of many, and on any [`Host`]. A host that was started as others are
//! has a thread that drives it. One that is started by [`Builder::start_on_runtime`] is driven by a task of the runtime
//! and has no thread: it is the better choice for a program that does all its work in tasks, because nothing is handed
//! over between threads.
//!
//! ```no_run
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tunstack::aio::TcpListener;
//! use tunstack::net::Host;
//!
//! # async fn main_() -> std::io::Result<()> {
//! # let (device, _other) = tunstack::device::mem::pair(1500, 64)?;
//! let host = Host::builder().address("192.0.2.2/24").start_on_runtime(device)?;
//! let listener = TcpListener::bind_on(&host, "192.0.2.2:7").await?;
//! let (mut stream, _peer) = listener.accept().await?;
//! let mut buf = [0; 4096];
//! let n = stream.read(&mut buf).await?;
//! stream.write_all(&buf[..n]).await?;
//! # Ok(()) }
//! ```
//!
//! - *Cancelling*: every future of this room may be dropped at any time. None has taken a byte, a datagram or a
//!   connection unless it is ready; one that had begun to connect gives the connection up.
//! - *Many at once*: any number of tasks may call the methods that take `&self`, and all of them are woken. Of the `poll_`
//!   methods the last caller in each direction is woken, as with tokio's.
//! - *Fairness*: each call that succeeds uses up a bit of its task's budget, as tokio's own do.
//! - Options that tokio has no name for are those of [`crate::net`]: each socket is `AsRef` of one.
//!
//! With the feature `axum`, `axum::serve` takes a [`TcpListener`].
//!
//! The host's own calls wait as threads do: use [`shutdown`] here instead of [`Host::shutdown`].
//!
//! [`Host`]: crate::net::Host
//! [`Host::shutdown`]: crate::net::Host::shutdown
//! [`Builder::start_on_runtime`]: crate::net::Builder::start_on_runtime

#[cfg(feature = "axum")]
mod axum;
mod driver;
mod names;
mod ready;
mod split;
mod split_owned;
mod tcp_listener;
mod tcp_stream;
mod timer;
mod udp;

pub use driver::shutdown;
pub use names::resolve;
pub use split::{ReadHalf, WriteHalf};
pub use split_owned::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use udp::UdpSocket;

use core::task::{Context, Poll, ready};
use std::io;
use tokio::task::coop;

/// Does `poll` as a part of the task's budget: a task that always finds something still lets the others run.
fn with_budget<T>(cx: &mut Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    let budget = ready!(coop::poll_proceed(cx));
    let polled = poll(cx);
    if polled.is_ready() {
        budget.made_progress();
    }
    polled
}

/// What fails with `WouldBlock` is pending.
fn would_block(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}
