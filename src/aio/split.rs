//! The two directions of a borrowed [`TcpStream`].

use super::TcpStream;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The half of a [`TcpStream`] that reads, made by [`split`](TcpStream::split); its other methods are the stream's.
#[derive(Clone, Copy, Debug)]
pub struct ReadHalf<'a>(pub(super) &'a TcpStream);

/// The half of a [`TcpStream`] that writes, made by [`split`](TcpStream::split); its other methods are the stream's.
#[derive(Debug)]
pub struct WriteHalf<'a>(pub(super) &'a TcpStream);

/// What both kinds of halves are: the stream, but for the one direction.
macro_rules! half {
    (read $half:ty $(, $life:lifetime)?) => {
        impl $(<$life>)? AsyncRead for $half {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                self.0.poll_read_shared(cx, buf)
            }
        }
        half!(stream $half $(, $life)?);
    };
    (write $half:ty, $shut_down:ident $(, $life:lifetime)?) => {
        impl $(<$life>)? AsyncWrite for $half {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.0.poll_write_shared(cx, &[IoSlice::new(buf)])
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write_shared(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(self.$shut_down())
            }
        }
        half!(stream $half $(, $life)?);
    };
    (stream $half:ty $(, $life:lifetime)?) => {
        impl $(<$life>)? AsRef<TcpStream> for $half {
            fn as_ref(&self) -> &TcpStream {
                &self.0
            }
        }
    };
}

pub(super) use half;

impl WriteHalf<'_> {
    fn shut_down(&mut self) -> io::Result<()> {
        self.0.shutdown_write()
    }
}

half!(read ReadHalf<'a>, 'a);
half!(write WriteHalf<'a>, shut_down, 'a);
