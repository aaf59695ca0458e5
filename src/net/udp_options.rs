//! Settings of UDP sockets beside std's first ones: groups, type of service, buffers.

use super::UdpSocket;
use crate::error;
use crate::stack::{InterfaceInfo, UdpOptions};
use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

impl UdpSocket {
    /// Joins the group `multiaddr` on the interface that has the address `interface`, or on that by which packets to the
    /// group leave, if it is unspecified. Only sockets that have joined a group hear it.
    ///
    /// # Errors
    /// `AddrInUse` if it has joined already, ENODEV if the host has no such interface, ENOBUFS beyond 20 groups,
    /// `InvalidInput` if it is no group.
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.join((*multiaddr).into(), None, self.interface_of(*interface)?)
    }

    /// Leaves it.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it has not joined.
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.leave((*multiaddr).into(), None, self.interface_of(*interface)?)
    }

    /// Joins the group `multiaddr` on the interface with the number `interface`; zero is that by which packets to the
    /// group leave.
    ///
    /// # Errors
    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.join_multicast((*multiaddr).into(), interface)
    }

    /// Leaves it.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it has not joined.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.leave_multicast((*multiaddr).into(), interface)
    }

    /// Joins a group of either family (MCAST_JOIN_GROUP) on the interface with this number; zero is that by which packets
    /// to the group leave. A socket on `::` that takes IPv4, too, may join groups of both.
    ///
    /// # Errors
    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    pub fn join_multicast(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        self.join(group, None, interface)
    }

    /// Leaves it, or all sources of it that were joined.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it has not joined.
    pub fn leave_multicast(&self, group: IpAddr, interface: u32) -> io::Result<()> {
        self.leave(group, None, interface)
    }

    /// Joins what `source` sends to a group of either family (MCAST_JOIN_SOURCE_GROUP).
    ///
    /// # Errors
    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4); `AddrNotAvailable` if it hears the source already,
    /// `InvalidInput` if it hears every source, ENOBUFS beyond 10 sources.
    pub fn join_multicast_source(&self, group: IpAddr, source: IpAddr, interface: u32) -> io::Result<()> {
        self.join(group, Some(source), interface)
    }

    /// Hears `source` no longer.
    ///
    /// # Errors
    /// `AddrNotAvailable` if it does not.
    pub fn leave_multicast_source(&self, group: IpAddr, source: IpAddr, interface: u32) -> io::Result<()> {
        self.leave(group, Some(source), interface)
    }

    fn join(&self, group: IpAddr, source: Option<IpAddr>, interface: u32) -> io::Result<()> {
        let joined = self.parts_act(|stack, id| stack.udp_join_on(id, group, source, interface));
        Ok(joined?)
    }

    fn leave(&self, group: IpAddr, source: Option<IpAddr>, interface: u32) -> io::Result<()> {
        let left = self.parts_act(|stack, id| stack.udp_leave_on(id, group, source, interface));
        Ok(left?)
    }

    /// The number of the interface that has the address `own`; zero if that is unspecified.
    fn interface_of(&self, own: Ipv4Addr) -> io::Result<u32> {
        if own.is_unspecified() {
            return Ok(0);
        }
        let has = |interface: &InterfaceInfo| interface.addresses.iter().any(|cidr| cidr.addr == own);
        let found = self.host().interfaces().into_iter().find(has);
        found.map(|interface| interface.number).ok_or(Errno::NODEV.into())
    }

    /// Has it send by the interface `name`, and hear what comes in by that one alone (SO_BINDTODEVICE); none is whichever.
    ///
    /// # Errors
    /// ENODEV if there is no such interface; or if the host has ended.
    pub fn bind_device(&self, name: Option<&str>) -> io::Result<()> {
        let bound = self.parts_act(|stack, id| {
            let number = name.map_or(Ok(0), |name| stack.interface_named(name))?;
            stack.udp_options(id)?.interface = number as u8;
            Ok(())
        });
        Ok(bound?)
    }

    /// The name of the interface that was set by [`bind_device`](UdpSocket::bind_device).
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn device(&self) -> io::Result<Option<String>> {
        Ok(self.host().interface_name(self.option(|options| options.interface)?))
    }

    /// Has datagrams to groups leave by the interface with this number; zero is as routes have it (IPV6_MULTICAST_IF, and
    /// IP_MULTICAST_IF by number).
    ///
    /// # Errors
    /// ENODEV if there is no such interface; or if the host has ended.
    pub fn set_multicast_if(&self, interface: u32) -> io::Result<()> {
        if interface as usize > self.host().interfaces().len() {
            return Err(Errno::NODEV.into());
        }
        self.set(|options| options.multicast_interface = interface as u8)
    }

    /// Has datagrams to groups go out from `interface`, an address of the host; unspecified is as always
    /// (IP_MULTICAST_IF).
    ///
    /// # Errors
    /// `AddrNotAvailable` if it is not the host's.
    pub fn set_multicast_if_v4(&self, interface: &Ipv4Addr) -> io::Result<()> {
        self.interface_of(*interface).map_err(|_| io::Error::from(error::Error::AddrNotAvailable))?;
        let source = Some(IpAddr::V4(*interface)).filter(|addr| !addr.is_unspecified());
        self.set(|options| options.multicast_source = source)
    }

    /// Whether sockets of this host hear what it sends to their groups; they do unless told otherwise.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_multicast_loop_v4(&self, looped: bool) -> io::Result<()> {
        self.set(|options| options.multicast_loop = looped)
    }

    /// Whether they do.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.option(|options| options.multicast_loop)
    }

    /// As [`set_multicast_loop_v4`](UdpSocket::set_multicast_loop_v4).
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_multicast_loop_v6(&self, looped: bool) -> io::Result<()> {
        self.set_multicast_loop_v4(looped)
    }

    /// As [`multicast_loop_v4`](UdpSocket::multicast_loop_v4).
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.multicast_loop_v4()
    }

    /// Sets the TTL of datagrams to groups, 0 to 255: with 1, as at first, they stay on the link, with 0 on this host.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has ended.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        let ttl = u8::try_from(ttl).map_err(|_| super::error::invalid(format!("a TTL of {ttl} is above 255")))?;
        self.set(|options| options.multicast_ttl = ttl)
    }

    /// The TTL of datagrams to groups.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.option(|options| options.multicast_ttl.into())
    }

    /// As [`set_multicast_ttl_v4`](UdpSocket::set_multicast_ttl_v4), under IPv6's name.
    ///
    /// # Errors
    /// As there.
    pub fn set_multicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        self.set_multicast_ttl_v4(hops)
    }

    /// As [`multicast_ttl_v4`](UdpSocket::multicast_ttl_v4).
    ///
    /// # Errors
    /// As there.
    pub fn multicast_hops_v6(&self) -> io::Result<u32> {
        self.multicast_ttl_v4()
    }

    /// Sets the DSCP and ECN byte of its datagrams (IP_TOS, IPV6_TCLASS).
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_tos(&self, tos: u8) -> io::Result<()> {
        self.set(|options| options.tos = tos)
    }

    /// The DSCP and ECN byte of its datagrams.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn tos(&self) -> io::Result<u8> {
        self.option(|options| options.tos)
    }

    /// Sets how many received bytes it holds, with 96 for each datagram (SO_RCVBUF). A queue that is empty takes any
    /// datagram, and all sockets together hold no more than a quarter of the host's memory. With several queues of the
    /// device it is for each.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set(|options| options.recv_buffer = bytes)
    }

    /// How many received bytes it holds.
    ///
    /// # Errors
    /// If the stack has panicked.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.option(|options| options.recv_buffer)
    }

    /// Changes the settings of all its parts.
    pub(super) fn set(&self, change: impl Fn(&mut UdpOptions)) -> io::Result<()> {
        let changed = self.parts_act(|stack, id| {
            change(stack.udp_options(id)?);
            Ok(())
        });
        Ok(changed?)
    }

    /// Reads a setting.
    pub(super) fn option<T>(&self, read: impl FnOnce(&UdpOptions) -> T) -> io::Result<T> {
        Ok(self.parts_look(|stack, id| Ok(read(stack.udp_options(id)?)))?)
    }
}
