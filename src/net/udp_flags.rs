//! `UdpSocket` with the flags of recv(2) and send(2), and its settings by Linux's names.

use super::addr::{ToSocketAddrs, first};
use super::error::invalid;
use super::sockopt::{self, Name, OptValue, SockOpt, Value};
use super::{MsgFlags, UdpSocket};
use crate::error::Error;
use crate::runtime::Patience;
use crate::stack::{RecvMsg, SendMsg, Stack, UdpBind};
use std::io;
use std::net::SocketAddr;

impl UdpSocket {
    /// Receives as `flags` say, as recv(2): with [`MsgFlags::TRUNC`] the length is the datagram's, though `buf` be shorter.
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn recv_with_flags(&self, buf: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
        Ok(self.recv_from_with_flags(buf, flags)?.0)
    }

    /// As [`recv_with_flags`](UdpSocket::recv_with_flags), with the source, as recvfrom(2).
    ///
    /// # Errors
    /// As [`recv_from`](UdpSocket::recv_from).
    pub fn recv_from_with_flags(&self, buf: &mut [u8], flags: MsgFlags) -> io::Result<(usize, SocketAddr)> {
        let patience = flags.contains(MsgFlags::DONTWAIT).then_some(Patience::None);
        let peek = flags.contains(MsgFlags::PEEK);
        let got: RecvMsg = self.receiving_with(patience, |stack, id| stack.udp_recv_msg(id, buf, peek))?;
        let len = if flags.contains(MsgFlags::TRUNC) { got.len.max(got.full_len) } else { got.len };
        Ok((len, got.source))
    }

    /// Sends one datagram to the connected peer as `flags` say, as send(2).
    ///
    /// # Errors
    /// As [`send`](UdpSocket::send); `Unsupported` for [`MsgFlags::OOB`], and for [`MsgFlags::MORE`], which would make one
    /// datagram of several calls.
    pub fn send_with_flags(&self, buf: &[u8], flags: MsgFlags) -> io::Result<usize> {
        self.send_flagged(buf, None, flags).map_err(super::udp::to_connected)
    }

    /// Sends one datagram to the first of `addr` as `flags` say, as sendto(2).
    ///
    /// # Errors
    /// As [`send_to`](UdpSocket::send_to) and [`send_with_flags`](UdpSocket::send_with_flags).
    pub fn send_to_with_flags<A: ToSocketAddrs>(&self, buf: &[u8], addr: A, flags: MsgFlags) -> io::Result<usize> {
        match first(self.host(), addr)? {
            Some(to) => Ok(self.send_flagged(buf, Some(to), flags)?),
            None => Err(invalid("no addresses to send data to")),
        }
    }

    fn send_flagged(
        &self,
        data: &[u8],
        destination: Option<SocketAddr>,
        flags: MsgFlags,
    ) -> crate::error::Result<usize> {
        if flags.contains(MsgFlags::OOB) || flags.contains(MsgFlags::MORE) {
            return Err(Error::Unsupported);
        }
        let patience = flags.contains(MsgFlags::DONTWAIT).then_some(Patience::None);
        let message = SendMsg { data, destination, ..SendMsg::default() };
        self.sending_with(patience, |stack, now, id| stack.udp_send_msg(now, id, &message))
    }

    /// Sets how many bytes to be sent it holds, with 128 for each datagram (SO_SNDBUF). An empty queue takes any datagram.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set(|options| options.send_buffer = bytes)
    }

    /// How many bytes to be sent it holds.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.option(|options| options.send_buffer)
    }

    /// Sets an option by its name, as setsockopt(2).
    ///
    /// # Errors
    /// ENOPROTOOPT for one that such sockets have not, or that can only be read, and for IPV6_V6ONLY, which is decided as
    /// it is [bound](super::UdpBind); `InvalidInput` for a value out of range; ENODEV for an interface that there is not; or if
    /// the host has ended.
    pub fn setsockopt<T: OptValue>(&self, option: SockOpt<T>, value: T) -> io::Result<()> {
        match (option.name, value.into_value()) {
            (Name::SO_RCVTIMEO, Value::Timeout(time)) => self.set_read_timeout(time),
            (Name::SO_SNDTIMEO, Value::Timeout(time)) => self.set_write_timeout(time),
            (Name::SO_BINDTODEVICE, Value::Text(name)) => self.bind_device(name.as_deref()),
            (Name::SO_BROADCAST, Value::Flag(on)) => self.set_broadcast(on),
            (Name::SO_RCVBUF, Value::Number(bytes)) => self.set_recv_buffer_size(bytes as usize),
            (Name::SO_SNDBUF, Value::Number(bytes)) => self.set_send_buffer_size(bytes as usize),
            (Name::SO_MARK, Value::Number(mark)) => self.set_mark(mark),
            (Name::SO_REUSEADDR, Value::Flag(on)) => self.set_reuse_address(on),
            (Name::SO_REUSEPORT, Value::Flag(on)) => self.set_reuse_port(on),
            (Name::IP_TTL | Name::IPV6_UNICAST_HOPS, Value::Number(ttl)) => self.set_ttl(ttl),
            (Name::IP_TOS | Name::IPV6_TCLASS, Value::Number(tos)) => {
                self.set_tos(u8::try_from(tos).map_err(|_| invalid(format!("a TOS of {tos} is above 255")))?)
            }
            (Name::IP_MTU_DISCOVER | Name::IPV6_MTU_DISCOVER, Value::MtuDiscovery(how)) => self.set_mtu_discovery(how),
            _ => Err(sockopt::no_such_option()),
        }
    }

    /// Reads an option by its name, as getsockopt(2).
    ///
    /// # Errors
    /// ENOPROTOOPT for one that such sockets have not; for IP_MTU as [`mtu`](UdpSocket::mtu).
    pub fn getsockopt<T: OptValue>(&self, option: SockOpt<T>) -> io::Result<T> {
        sockopt::typed(Ok(match option.name {
            Name::SO_RCVTIMEO => Value::Timeout(self.read_timeout()?),
            Name::SO_SNDTIMEO => Value::Timeout(self.write_timeout()?),
            Name::SO_BINDTODEVICE => Value::Text(self.device()?),
            Name::SO_BROADCAST => Value::Flag(self.broadcast()?),
            Name::SO_ERROR => Value::Error(self.take_error()?),
            Name::SO_TYPE => Value::Number(self.r#type()?),
            Name::SO_ACCEPTCONN => Value::Flag(self.is_listener()?),
            Name::SO_RCVBUF => sockopt::number(self.recv_buffer_size()?),
            Name::SO_SNDBUF => sockopt::number(self.send_buffer_size()?),
            Name::SO_MARK => Value::Number(self.mark()?),
            Name::SO_REUSEADDR => Value::Flag(self.reuse_address()?),
            Name::SO_REUSEPORT => Value::Flag(self.reuse_port()?),
            Name::IPV6_V6ONLY => Value::Flag(self.only_v6()?),
            Name::IP_TTL | Name::IPV6_UNICAST_HOPS => Value::Number(self.ttl()?),
            Name::IP_TOS | Name::IPV6_TCLASS => Value::Number(self.tos()?.into()),
            Name::IP_MTU_DISCOVER | Name::IPV6_MTU_DISCOVER => Value::MtuDiscovery(self.mtu_discovery()?),
            Name::IP_MTU | Name::IPV6_MTU => sockopt::number(self.mtu()?),
            _ => return Err(sockopt::no_such_option()),
        }))
    }

    /// Whether it shares its address with other sockets that want it, too (SO_REUSEADDR): what is for one of them goes to
    /// the last one bound. Set here it matters to those that are bound after it; see [`UdpBind`](super::UdpBind) for a
    /// socket that is bound so.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_reuse_address(&self, reuse: bool) -> io::Result<()> {
        self.share(|how| how.reuse_address = reuse)
    }

    /// Whether it shares its address so.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn reuse_address(&self) -> io::Result<bool> {
        Ok(self.bound()?.reuse_address)
    }

    /// As [`set_reuse_address`](UdpSocket::set_reuse_address), but each of the sockets hears a part of the peers
    /// (SO_REUSEPORT).
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_reuse_port(&self, reuse: bool) -> io::Result<()> {
        self.share(|how| how.reuse_port = reuse)
    }

    /// Whether it shares its address so.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn reuse_port(&self) -> io::Result<bool> {
        Ok(self.bound()?.reuse_port)
    }

    fn share(&self, change: impl Fn(&mut UdpBind)) -> io::Result<()> {
        let shared = self.parts_act(|stack, id| {
            let mut how = stack.udp_bound(id)?;
            change(&mut how);
            stack.udp_share(id, how.reuse_address, how.reuse_port)
        });
        Ok(shared?)
    }

    fn bound(&self) -> io::Result<UdpBind> {
        Ok(self.parts_look(Stack::udp_bound)?)
    }

    /// Whether it is one of IPv6 and takes no IPv4 (IPV6_V6ONLY): because it was [bound](super::UdpBind) so, or to one
    /// address.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn only_v6(&self) -> io::Result<bool> {
        Ok(self.bound()?.only_v6)
    }

    /// 2, which is SOCK_DGRAM (SO_TYPE).
    ///
    /// # Errors
    /// None; the signature is that of the other sockets.
    pub fn r#type(&self) -> io::Result<u32> {
        Ok(2)
    }

    /// Whether it listens (SO_ACCEPTCONN): such a socket never does.
    ///
    /// # Errors
    /// None; the signature is that of the other sockets.
    pub fn is_listener(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Marks its packets (SO_MARK): where the host's [rules](crate::stack::Config::marks) give the mark an interface, they
    /// leave by that.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_mark(&self, mark: u32) -> io::Result<()> {
        Ok(self.parts_act(|stack, id| {
            let interface = stack.interface_of_mark(mark);
            let options = stack.udp_options(id)?;
            (options.mark, options.marked_interface) = (mark, interface);
            Ok(())
        })?)
    }

    /// The mark of its packets.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn mark(&self) -> io::Result<u32> {
        self.option(|options| options.mark)
    }
}
