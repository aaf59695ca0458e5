//! The two directions of a [`TcpStream`], each for a task of its own.

use super::TcpStream;
use super::split::half;
use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The half of a [`TcpStream`] that reads, made by [`into_split`](TcpStream::into_split); its other methods are the
/// stream's.
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// The half of a [`TcpStream`] that writes, made by [`into_split`](TcpStream::into_split); its other methods are the
/// stream's. A drop sends FIN.
#[derive(Debug)]
pub struct OwnedWriteHalf(Arc<TcpStream>, Closes);

/// Whether a drop sends FIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closes {
    Yes,
    No,
}

pub(super) fn split(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Arc::new(stream);
    (OwnedReadHalf(stream.clone()), OwnedWriteHalf(stream, Closes::Yes))
}

fn reunite(read: OwnedReadHalf, mut write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
    if !Arc::ptr_eq(&read.0, &write.0) {
        return Err(ReuniteError(read, write));
    }
    write.1 = Closes::No;
    drop(write);
    // The two halves are all that there is, so there is no other error.
    Arc::try_unwrap(read.0)
        .map_err(|stream| ReuniteError(OwnedReadHalf(stream.clone()), OwnedWriteHalf(stream, Closes::Yes)))
}

impl OwnedReadHalf {
    /// The stream again.
    ///
    /// # Errors
    /// If the halves are not of one stream; it gives them back.
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        reunite(self, other)
    }
}

impl OwnedWriteHalf {
    /// The stream again.
    ///
    /// # Errors
    /// If the halves are not of one stream; it gives them back.
    pub fn reunite(self, other: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        reunite(other, self)
    }

    /// Drops it without a FIN.
    pub fn forget(mut self) {
        self.1 = Closes::No;
    }

    fn shut_down(&mut self) -> io::Result<()> {
        let shut_down = self.0.shutdown_write();
        if shut_down.is_ok() {
            self.1 = Closes::No;
        }
        shut_down
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.1 == Closes::Yes {
            // An error means that there is nobody to be told.
            let _ = self.0.shutdown_write();
        }
    }
}

half!(read OwnedReadHalf);
half!(write OwnedWriteHalf, shut_down);

/// Two halves that are not of one stream.
#[derive(Debug)]
pub struct ReuniteError(
    /// The half that reads.
    pub OwnedReadHalf,
    /// The half that writes, of another stream.
    pub OwnedWriteHalf,
);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not from the same socket")
    }
}

impl core::error::Error for ReuniteError {}
