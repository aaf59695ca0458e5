//! Our sockets in the shape that hickory asks for.

use crate::aio::{TcpStream, UdpSocket};
use crate::net::{Host, WeakHost};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use futures_io::{AsyncRead, AsyncWrite};
use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, TokioHandle, TokioTime};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// How long a connection to a server may be idle. It keeps the host running meanwhile.
const IDLE: Duration = Duration::from_secs(5);

/// How long connecting may take where hickory does not say.
const CONNECT: Duration = Duration::from_secs(5);

/// Makes sockets of a host.
#[derive(Clone)]
pub(super) struct Sockets {
    host: WeakHost,
    tasks: TokioHandle,
}

impl Sockets {
    pub(super) fn new(host: WeakHost) -> Sockets {
        Sockets { host, tasks: TokioHandle::default() }
    }

    fn host(&self) -> io::Result<Host> {
        self.host.upgrade().ok_or_else(|| ErrorKind::ConnectionAborted.into())
    }
}

type Made<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for Sockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Datagrams;
    type Tcp = Stream;

    fn create_handle(&self) -> TokioHandle {
        self.tasks.clone()
    }

    fn connect_tcp(&self, server: SocketAddr, local: Option<SocketAddr>, wait: Option<Duration>) -> Made<Stream> {
        let host = self.host();
        Box::pin(async move {
            let host = host?;
            let connecting = async {
                match local {
                    Some(local) => TcpStream::connect_from(&host, local, server).await,
                    None => TcpStream::connect_on(&host, server).await,
                }
            };
            let stream = timeout(wait.unwrap_or(CONNECT), connecting).await??;
            Ok(Stream { stream, idle: Box::pin(sleep(IDLE)) })
        })
    }

    fn bind_udp(&self, local: SocketAddr, _server: SocketAddr) -> Made<Datagrams> {
        let host = self.host();
        Box::pin(async move { Ok(Datagrams(UdpSocket::bind_on(&host?, local).await?)) })
    }
}

/// A socket for one question.
pub(super) struct Datagrams(UdpSocket);

impl DnsUdpSocket for Datagrams {
    type Time = TokioTime;

    fn poll_recv_from(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buf = ReadBuf::new(buf);
        self.0.poll_recv_from(cx, &mut buf).map_ok(|from| (buf.filled().len(), from))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, buf: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, buf, to)
    }
}

/// A connection to a server, which ends when it has been idle for a while.
pub(super) struct Stream {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
}

impl Stream {
    fn busy(&mut self) {
        self.idle.as_mut().reset(Instant::now() + IDLE);
    }
}

impl DnsTcpStream for Stream {
    type Time = TokioTime;
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        match tokio::io::AsyncRead::poll_read(Pin::new(&mut self.stream), cx, &mut buf) {
            Poll::Ready(read) => {
                self.busy();
                Poll::Ready(read.map(|()| buf.filled().len()))
            }
            Poll::Pending => self.idle.as_mut().poll(cx).map(|()| Ok(0)),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.busy();
        tokio::io::AsyncWrite::poll_write(Pin::new(&mut self.stream), cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_flush(Pin::new(&mut self.stream), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.stream), cx)
    }
}
