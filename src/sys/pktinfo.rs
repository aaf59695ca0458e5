//! The kernel's datagrams with the address that they were sent to, and answers that leave from there: IP_PKTINFO of ip(7)
//! and IPV6_PKTINFO of ipv6(7), RFC 3542 6.

use super::sockopt;
use core::mem::{MaybeUninit, size_of, zeroed};
use libc::{IP_PKTINFO, IPPROTO_IP, IPPROTO_IPV6, IPV6_PKTINFO, IPV6_RECVPKTINFO};
use rustix::net::addr::{SocketAddrArg, SocketAddrStorage};
use rustix::net::{AddressFamily, SocketAddrAny};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

/// Bytes of a `struct in_pktinfo`: the interface's number, our address, the header's destination.
const INFO_4: usize = 12;

/// Bytes of a `struct in6_pktinfo`: our address, the interface's number.
const INFO_6: usize = 20;

/// Room for the one control message that comes or goes with a datagram, aligned as a `struct cmsghdr` is.
#[repr(C, align(8))]
struct Control([u8; 64]);

impl Control {
    const EMPTY: Control = Control([0; 64]);
}

/// Has the kernel tell of each datagram for `socket` which address it was sent to.
///
/// # Errors
/// ENOPROTOOPT if it is none of IPv4 or IPv6.
pub fn tell_destinations(socket: impl AsFd) -> io::Result<()> {
    let v6 = rustix::net::sockopt::socket_domain(&socket)? == AddressFamily::INET6;
    // A socket of both families is told of IPv4 in IPv6's form.
    let (level, name) = if v6 { (IPPROTO_IPV6, IPV6_RECVPKTINFO) } else { (IPPROTO_IP, IP_PKTINFO) };
    sockopt::set(socket, level, name, 1)
}

/// Receives a datagram, and gives its length, its source, and the address of ours that it was sent to: if the kernel was
/// asked to [tell](tell_destinations), and it was not sent to a group of IPv6. What does not fit into `buf` is lost.
///
/// # Errors
/// Those of recvmsg(2).
pub fn receive(socket: impl AsFd, buf: &mut [u8]) -> io::Result<(usize, SocketAddr, Option<IpAddr>)> {
    let mut name = MaybeUninit::<SocketAddrStorage>::zeroed();
    let mut control = Control::EMPTY;
    let mut data = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: a `struct msghdr` of zeros is one that names no memory.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = size_of::<SocketAddrStorage>() as u32;
    (message.msg_iov, message.msg_iovlen) = (&raw mut data, 1);
    (message.msg_control, message.msg_controllen) = ((&raw mut control).cast(), size_of::<Control>() as _);
    // SAFETY: all memory that `message` names is of the length that it says, and nobody else's until the call returns.
    let received = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, 0) };
    let len = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has written the source, so many bytes of it, and the rest are zeros.
    let source = unsafe { SocketAddrAny::new(name, message.msg_namelen) };
    let mut told = None;
    // SAFETY: `message` still names `control`, in which the kernel has put whole messages, each with its length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !next.is_null() && told.is_none() {
        // SAFETY: that is where a message begins, as the kernel has put it there.
        let (level, kind) = unsafe { ((*next).cmsg_level, (*next).cmsg_type) };
        if (level, kind) == (IPPROTO_IP, IP_PKTINFO) {
            // SAFETY: this kind of message is so long.
            let info = unsafe { libc::CMSG_DATA(next).cast::<[u8; INFO_4]>().read_unaligned() };
            // The address to answer from, which the destination is not if that was a broadcast.
            told = Some(IpAddr::from([info[4], info[5], info[6], info[7]]));
        } else if (level, kind) == (IPPROTO_IPV6, IPV6_PKTINFO) {
            // SAFETY: this kind of message is so long.
            let info = unsafe { libc::CMSG_DATA(next).cast::<[u8; INFO_6]>().read_unaligned() };
            told = info.first_chunk::<16>().map(|own| IpAddr::from(*own));
        }
        // SAFETY: as with the first.
        next = unsafe { libc::CMSG_NXTHDR(&raw const message, next) };
    }
    Ok((len, source.try_into()?, told.filter(|own| !own.is_multicast())))
}

/// Sends a datagram to `to`, if that is said from the address `own` of ours.
///
/// # Errors
/// Those of sendmsg(2); `InvalidInput` if `own` is no address of this machine, or of the other family.
pub fn send(socket: impl AsFd, data: &[u8], to: SocketAddr, own: Option<IpAddr>) -> io::Result<usize> {
    let name = to.as_any();
    let mut control = Control::EMPTY;
    let mut data = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: a `struct msghdr` of zeros is one that names no memory.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = name.as_ptr().cast_mut().cast();
    message.msg_namelen = name.addr_len();
    (message.msg_iov, message.msg_iovlen) = (&raw mut data, 1);
    let mut info = [0; INFO_6];
    let said = own.map(|own| match own {
        IpAddr::V4(own) => {
            info[4..8].copy_from_slice(&own.octets());
            (IPPROTO_IP, IP_PKTINFO, INFO_4)
        }
        IpAddr::V6(own) => {
            info[..16].copy_from_slice(&own.octets());
            (IPPROTO_IPV6, IPV6_PKTINFO, INFO_6)
        }
    });
    if let Some((level, kind, len)) = said {
        // SAFETY: the length of a message with so much in it, which is no more than `control` has.
        let (space, whole) = unsafe { (libc::CMSG_SPACE(len as u32), libc::CMSG_LEN(len as u32)) };
        (message.msg_control, message.msg_controllen) = ((&raw mut control).cast(), space as _);
        // SAFETY: the first message begins where `control` does, which has room for it and is aligned for it.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len) = (level, kind, whole as _);
            libc::CMSG_DATA(header).copy_from_nonoverlapping(info.as_ptr(), len);
        }
    }
    // SAFETY: all memory that `message` names is of the length that it says, lives until the call returns, and is only read.
    let sent = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::Duration;

    /// A socket at any port of `addr` that never waits for ever.
    fn bound(addr: &str) -> UdpSocket {
        let socket = UdpSocket::bind((addr, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    #[test]
    fn the_answer_leaves_from_where_it_was_asked() {
        for (server, clients, asked, told) in [
            ("0.0.0.0", "127.0.0.1", "127.0.0.2", "127.0.0.2"),
            ("0.0.0.0", "127.0.0.1", "127.0.0.3", "127.0.0.3"),
            ("::", "127.0.0.1", "127.0.0.2", "::ffff:127.0.0.2"),
            ("::", "::1", "::1", "::1"),
        ] {
            let (server, client) = (bound(server), bound(clients));
            tell_destinations(&server).unwrap();
            let (level, name) =
                if told.contains(':') { (IPPROTO_IPV6, IPV6_RECVPKTINFO) } else { (IPPROTO_IP, IP_PKTINFO) };
            assert_eq!(sockopt::get(&server, level, name).unwrap(), 1);
            let port = server.local_addr().unwrap().port();
            client.send_to(b"where am I?", (asked, port)).unwrap();
            let mut buf = [0; 32];
            let (len, from, own) = receive(&server, &mut buf).unwrap();
            assert_eq!((&buf[..len], from.port()), (&b"where am I?"[..], client.local_addr().unwrap().port()));
            assert_eq!(own, Some(told.parse().unwrap()), "{asked}");
            assert_eq!(send(&server, b"here", from, own).unwrap(), 4);
            let (len, source) = client.recv_from(&mut buf).unwrap();
            assert_eq!((&buf[..len], source), (&b"here"[..], SocketAddr::new(asked.parse().unwrap(), port)));
        }
    }

    #[test]
    fn what_is_not_told_is_not_known_and_what_is_not_ours_is_an_error() {
        let (server, client) = (bound("0.0.0.0"), bound("127.0.0.1"));
        client.send_to(b"x", ("127.0.0.2", server.local_addr().unwrap().port())).unwrap();
        let (len, from, own) = receive(&server, &mut [0; 8]).unwrap();
        assert_eq!((len, own), (1, None));
        assert!(send(&server, b"x", from, Some("192.0.2.200".parse().unwrap())).is_err());
        assert_eq!(send(&server, b"yz", from, None).unwrap(), 2);
        assert_eq!(client.recv_from(&mut [0; 8]).unwrap().0, 2);
        client.set_nonblocking(true).unwrap();
        assert_eq!(receive(&client, &mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(tell_destinations(std::io::stdin()).is_err());
    }
}
