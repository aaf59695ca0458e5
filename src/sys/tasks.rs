//! Descriptors that a task of tokio waits on.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;

/// Has the runtime that this is called in watch `fd`.
///
/// # Errors
/// EPERM if it cannot be waited on with epoll(7), as a file cannot; ENOMEM, ENOSPC.
///
/// # Panics
/// Outside a runtime of tokio, and in one that was made without `enable_io`.
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and stays the same descriptor until it is dropped, and nobody else has it.
    Ok(unsafe { AsyncFd::register(fd) }?)
}
