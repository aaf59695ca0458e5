//! Two connections joined, one of the kernel's and one of ours, and what those share who join them.

use crate::aio;
use crate::net::Shutdown;
use crate::net::sockopt::{SO_KEEPALIVE, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL};
use rustix::io::Errno;
use rustix::net::sockopt;
use std::fmt;
use std::future::{Future, pending};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Once};
use std::time::Duration;
use tokio::io::{Interest, Ready};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

/// Bytes on their way, in each direction.
const BUFFER: usize = 64 * 1024;

/// Connections that are served at once.
const MAX_SERVED: usize = 1024;

/// How long a peer may say nothing until it is asked whether it lives.
const KEEP_IDLE: Duration = Duration::from_secs(60);

/// The time from one such question to the next.
const KEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Questions without an answer after which the connection is given up, and its seat with it.
const KEEP_COUNT: u32 = 6;

/// How long accepting rests after an error that may pass (no memory, no descriptor).
const BREATH: Duration = Duration::from_millis(20);

/// Places for those who are served.
pub(super) struct Seats(Arc<Semaphore>);

impl Default for Seats {
    fn default() -> Seats {
        Seats(Arc::new(Semaphore::new(MAX_SERVED)))
    }
}

impl Seats {
    /// A place, if one is free. It is given back when it is dropped.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}

/// Logs an error; and that there are too few descriptors, which is more than one client's matter, for everybody to see, once.
pub(super) fn complain(what: fmt::Arguments<'_>, error: &io::Error) {
    static TOLD: Once = Once::new();
    log::debug!("{what}: {error}");
    if [Errno::MFILE, Errno::NFILE].into_iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        TOLD.call_once(|| log::warn!("{what}: {error}; connections wait or are turned away (ulimit -n)"));
    }
}

/// The next connection.
pub(super) async fn accepted(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(e) => {
                complain(format_args!("accept"), &e);
                sleep(BREATH).await;
            }
        }
    }
}

/// A stream of either side, by shared reference: one that is read, written and watched at once.
pub trait Stream: Sync {
    /// Waits until it may be ready.
    fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> + Send;
    /// Reads what is there.
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes what there is room for.
    fn try_write(&self, buf: &[u8]) -> io::Result<usize>;
    /// Ends the sending side.
    fn end(&self) -> io::Result<()>;
    /// Has small pieces sent at once, and a silent peer asked whether it lives.
    fn prepare(&self) -> io::Result<()>;
    /// Has the connection reset when it is dropped.
    fn will_reset(&self);
    /// Waits until the connection has failed, whoever reads or writes meanwhile.
    fn failed(&self) -> impl Future<Output = io::Error> + Send;
}

impl Stream for TcpStream {
    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        TcpStream::ready(self, interest).await
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        TcpStream::try_read(self, buf)
    }

    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        TcpStream::try_write(self, buf)
    }

    fn end(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, rustix::net::Shutdown::Write)?)
    }

    fn prepare(&self) -> io::Result<()> {
        self.set_nodelay(true)?;
        sockopt::set_tcp_keepidle(self, KEEP_IDLE)?;
        sockopt::set_tcp_keepintvl(self, KEEP_INTERVAL)?;
        sockopt::set_tcp_keepcnt(self, KEEP_COUNT)?;
        Ok(sockopt::set_socket_keepalive(self, true)?)
    }

    fn will_reset(&self) {
        let _ = self.set_zero_linger();
    }

    async fn failed(&self) -> io::Error {
        match TcpStream::ready(self, Interest::ERROR).await {
            Ok(_) => self.take_error().ok().flatten().unwrap_or_else(|| ErrorKind::ConnectionReset.into()),
            Err(error) => error,
        }
    }
}

impl Stream for aio::TcpStream {
    async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        aio::TcpStream::ready(self, interest).await
    }

    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        aio::TcpStream::try_read(self, buf)
    }

    fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        aio::TcpStream::try_write(self, buf)
    }

    fn end(&self) -> io::Result<()> {
        self.as_ref().shutdown(Shutdown::Write)
    }

    fn prepare(&self) -> io::Result<()> {
        self.set_nodelay(true)?;
        let socket = self.as_ref();
        socket.setsockopt(TCP_KEEPIDLE, KEEP_IDLE)?;
        socket.setsockopt(TCP_KEEPINTVL, KEEP_INTERVAL)?;
        socket.setsockopt(TCP_KEEPCNT, KEEP_COUNT)?;
        socket.setsockopt(SO_KEEPALIVE, true)
    }

    fn will_reset(&self) {
        let _ = self.set_zero_linger();
    }

    async fn failed(&self) -> io::Error {
        loop {
            if let Err(error) = aio::TcpStream::ready(self, Interest::ERROR).await {
                return error;
            }
            let gone = self.peer_addr().is_err();
            match self.take_error() {
                Ok(Some(error)) if gone => return error,
                // What a router says is no end.
                Ok(Some(_)) => {}
                // Both sides have ended as they should; what is left is read.
                Ok(None) => pending().await,
                Err(error) => return error,
            }
        }
    }
}

/// Carries bytes both ways until both ends have ended. The end of one way is passed on as such, and a reset as a reset, even
/// behind an end.
pub(super) async fn join(near: impl Stream, far: impl Stream) -> io::Result<()> {
    let _ = (near.prepare(), far.prepare());
    let both = async { tokio::try_join!(carry(&near, &far), carry(&far, &near)).map(drop) };
    let carried = tokio::select! {
        carried = both => carried,
        // Nobody reads behind an end, nor while the other one takes nothing.
        error = near.failed() => Err(error),
        error = far.failed() => Err(error),
    };
    if carried.is_err() {
        near.will_reset();
        far.will_reset();
    }
    carried
}

/// Carries bytes until the end of `from`, and that, too.
async fn carry(from: &impl Stream, to: &impl Stream) -> io::Result<()> {
    let mut buf = vec![0; BUFFER];
    loop {
        let len = when_ready(from, Interest::READABLE, || from.try_read(&mut buf)).await?;
        if len == 0 {
            return to.end().or_else(|e| if e.kind() == ErrorKind::NotConnected { Ok(()) } else { Err(e) });
        }
        let mut rest = &buf[..len];
        while !rest.is_empty() {
            let written = when_ready(to, Interest::WRITABLE, || to.try_write(rest)).await?;
            rest = &rest[written..];
        }
    }
}

async fn when_ready(
    stream: &impl Stream,
    interest: Interest,
    mut act: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        stream.ready(interest).await?;
        match act() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

/// Does `connect` for `client`, unless that gives up before.
pub(super) async fn connect_for<T>(
    client: &impl Stream,
    connect: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::select! {
        connected = connect => connected,
        error = client.failed() => Err(error),
    }
}
