//! What a call on the stack can fail with.
//!
//! The names are those of `std::io::ErrorKind` and, where std has none, of the errno. `net` turns each into the
//! `io::Error` that the kernel's socket would have given for the same event.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use core::fmt;

/// Why a call on the [`Stack`](crate::stack::Stack) did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Error {
    /// Nothing to do now; try again when the socket's readiness changes (EAGAIN).
    WouldBlock,
    /// The address or port is taken (EADDRINUSE).
    AddrInUse,
    /// The address is not one of ours, or no local port is free (EADDRNOTAVAIL).
    AddrNotAvailable,
    /// The peer answered our SYN with RST, or a datagram with port unreachable (ECONNREFUSED).
    ConnectionRefused,
    /// The peer reset the connection (ECONNRESET).
    ConnectionReset,
    /// The connection was aborted on this side (ECONNABORTED).
    ConnectionAborted,
    /// We have already shut down our sending side, or the connection is gone (EPIPE).
    BrokenPipe,
    /// The peer did not answer within the retry limits or the user time-out (ETIMEDOUT).
    TimedOut,
    /// The socket has no peer (ENOTCONN).
    NotConnected,
    /// The socket has a peer already (EISCONN).
    AlreadyConnected,
    /// A router or the destination said that the host cannot be reached (EHOSTUNREACH).
    HostUnreachable,
    /// No route, or a router said that the network cannot be reached (ENETUNREACH).
    NetworkUnreachable,
    /// The destination does not speak the protocol (ENOPROTOOPT).
    ProtocolUnreachable,
    /// The device is gone (ENETDOWN).
    NetworkDown,
    /// Broadcast was not allowed on this socket (EACCES).
    PermissionDenied,
    /// An argument is out of range; the text says which (EINVAL).
    InvalidInput(&'static str),
    /// The datagram is larger than can be sent (EMSGSIZE).
    MessageTooLong,
    /// A bound of the stack is reached (ENOBUFS).
    NoBufferSpace,
    /// There is no such interface (ENODEV).
    NoDevice,
    /// The handle names a socket that is closed (EBADF).
    BadHandle,
    /// The operation or address family is not supported (EOPNOTSUPP).
    Unsupported,
    /// The address is not of the socket's family (EAFNOSUPPORT).
    AddressFamily,
}

/// The result of a call on the stack.
pub type Result<T> = core::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::WouldBlock => "operation would block",
            Error::AddrInUse => "address in use",
            Error::AddrNotAvailable => "address not available",
            Error::ConnectionRefused => "connection refused",
            Error::ConnectionReset => "connection reset by peer",
            Error::ConnectionAborted => "connection aborted",
            Error::BrokenPipe => "broken pipe",
            Error::TimedOut => "connection timed out",
            Error::NotConnected => "socket is not connected",
            Error::AlreadyConnected => "socket is already connected",
            Error::HostUnreachable => "host unreachable",
            Error::NetworkUnreachable => "network unreachable",
            Error::ProtocolUnreachable => "protocol not available at the destination",
            Error::NetworkDown => "network is down",
            Error::PermissionDenied => "permission denied",
            Error::InvalidInput(what) => what,
            Error::MessageTooLong => "message too long",
            Error::NoBufferSpace => "no buffer space available",
            Error::NoDevice => "no such interface",
            Error::BadHandle => "socket is closed",
            Error::Unsupported => "operation not supported",
            Error::AddressFamily => "address of another family",
        })
    }
}

impl core::error::Error for Error {}
