//! Options of the kernel's sockets that rustix has no call for: setsockopt(2) and getsockopt(2) of a number.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Sets the option `name` of `level` to `value`.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set(socket: impl AsFd, level: i32, name: i32, value: u32) -> io::Result<()> {
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: `value` is as long as is said, and read before the call returns.
    let set = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size_of::<u32>() as u32) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Reads it, or what its first four bytes are, for tests.
///
/// # Errors
/// Those of getsockopt(2).
#[cfg(test)]
pub fn get(socket: impl AsFd, level: i32, name: i32) -> io::Result<u32> {
    let (mut value, mut len) = (0u32, size_of::<u32>() as u32);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes at most `len` bytes, which `value` has.
    let got = unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) };
    if got == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}
