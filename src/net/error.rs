//! From the stack's errors to the `io::Error`s that the kernel's sockets give for the same events.

use crate::error::Error;
use rustix::io::Errno;
use std::io;

impl From<Error> for io::Error {
    /// The error with Linux's errno, so that kind and text are those that `std::net` gives. An invalid argument keeps
    /// its own text, which says more than EINVAL does.
    fn from(error: Error) -> io::Error {
        let errno = match error {
            Error::WouldBlock => Errno::AGAIN,
            Error::AddrInUse => Errno::ADDRINUSE,
            Error::AddrNotAvailable => Errno::ADDRNOTAVAIL,
            Error::ConnectionRefused => Errno::CONNREFUSED,
            Error::ConnectionReset => Errno::CONNRESET,
            Error::ConnectionAborted => Errno::CONNABORTED,
            Error::BrokenPipe => Errno::PIPE,
            Error::TimedOut => Errno::TIMEDOUT,
            Error::NotConnected => Errno::NOTCONN,
            Error::AlreadyConnected => Errno::ISCONN,
            Error::HostUnreachable => Errno::HOSTUNREACH,
            Error::NetworkUnreachable => Errno::NETUNREACH,
            Error::ProtocolUnreachable => Errno::NOPROTOOPT,
            Error::NetworkDown => Errno::NETDOWN,
            Error::PermissionDenied => Errno::ACCESS,
            Error::InvalidInput(what) => return invalid(what),
            Error::MessageTooLong => Errno::MSGSIZE,
            Error::NoBufferSpace => Errno::NOBUFS,
            Error::NoDevice => Errno::NODEV,
            Error::BadHandle => Errno::BADF,
            Error::Unsupported => Errno::OPNOTSUPP,
            Error::AddressFamily => Errno::AFNOSUPPORT,
        };
        errno.into()
    }
}

/// An invalid argument.
pub(super) fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream, UdpSocket};
    use std::time::Duration;

    const ANY: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

    fn kernel_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(ANY).unwrap();
        let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (a, listener.accept().unwrap().0)
    }

    /// Lets the kernel give each error, and wants the same of ours.
    #[test]
    fn kinds_errnos_and_texts_are_the_kernels() {
        let same = |ours: Error, kernels: io::Error| {
            let ours = io::Error::from(ours);
            assert_eq!(ours.kind(), kernels.kind());
            assert_eq!(ours.raw_os_error(), kernels.raw_os_error(), "{kernels}");
            assert_eq!(ours.to_string(), kernels.to_string());
        };
        let listener = TcpListener::bind(ANY).unwrap();
        same(Error::AddrInUse, TcpListener::bind(listener.local_addr().unwrap()).unwrap_err());
        same(Error::AddrNotAvailable, TcpListener::bind("192.0.2.77:0").unwrap_err());
        listener.set_nonblocking(true).unwrap();
        same(Error::WouldBlock, listener.accept().unwrap_err());
        let closed = listener.local_addr().unwrap();
        drop(listener);
        same(Error::ConnectionRefused, TcpStream::connect(closed).unwrap_err());

        let (mut a, b) = kernel_pair();
        a.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        same(Error::WouldBlock, a.read(&mut [0; 1]).unwrap_err());
        (&a).write_all(b"unread").unwrap();
        b.peek(&mut [0; 1]).unwrap();
        drop(b); // with unread data: RST
        a.set_read_timeout(None).unwrap();
        same(Error::ConnectionReset, a.read(&mut [0; 1]).unwrap_err());
        same(Error::BrokenPipe, a.write(b"x").unwrap_err());
        same(Error::NotConnected, a.peer_addr().unwrap_err());

        let (mut a, _b) = kernel_pair();
        a.shutdown(Shutdown::Write).unwrap();
        same(Error::BrokenPipe, a.write(b"x").unwrap_err());

        let udp = UdpSocket::bind(ANY).unwrap();
        same(Error::NotConnected, udp.peer_addr().unwrap_err());
        same(Error::MessageTooLong, udp.send_to(&[0; 65_508], udp.local_addr().unwrap()).unwrap_err());
        same(Error::PermissionDenied, udp.send_to(b"x", "255.255.255.255:9").unwrap_err());
    }

    #[test]
    fn the_other_kinds_are_those_of_their_names() {
        for (error, kind) in [
            (Error::ConnectionAborted, ErrorKind::ConnectionAborted),
            (Error::TimedOut, ErrorKind::TimedOut),
            (Error::HostUnreachable, ErrorKind::HostUnreachable),
            (Error::NetworkUnreachable, ErrorKind::NetworkUnreachable),
            (Error::NetworkDown, ErrorKind::NetworkDown),
            (Error::Unsupported, ErrorKind::Unsupported),
            (Error::InvalidInput("ttl is 0"), ErrorKind::InvalidInput),
        ] {
            assert_eq!(io::Error::from(error).kind(), kind);
        }
        assert_eq!(io::Error::from(Error::InvalidInput("ttl is 0")).to_string(), "ttl is 0");
    }
}
