//! Joining and leaving groups (RFC 1112, 3376, 3810); whose members are told to the network by `ip`.

use super::Sockets;
use crate::error::{Error, Result};
use crate::ip::Ip;
use crate::stack::UdpId;
use std::net::IpAddr;

impl Sockets {
    /// Joins a group: for what anybody sends there, or only for what `source` sends. Joining is for each socket and each
    /// interface; none is that by which packets to the group leave. A socket on `::` that takes IPv4 may join its groups.
    ///
    /// # Errors
    /// `InvalidInput` if `group` is none or `source` cannot be one's, `Unsupported` for a family without an address,
    /// `AddrInUse` if the socket is a member, `AddrNotAvailable` if it hears the source already, `NoBufferSpace` at the
    /// bound on groups or sources, `NoDevice` if there is no such interface, `BadHandle`.
    pub fn join(
        &mut self,
        ip: &mut Ip,
        id: UdpId,
        group: IpAddr,
        source: Option<IpAddr>,
        interface: u32,
    ) -> Result<()> {
        let interface = ip.check_interface(interface)?;
        let socket = self.get_mut(id)?;
        if !socket.bound.is_of_family(group) {
            return Err(Error::InvalidInput("a group of the other family"));
        }
        socket.join(ip, group, source, interface)
    }

    /// Leaves a group, or hears `source` of it no longer.
    ///
    /// # Errors
    /// `AddrNotAvailable` if the socket was no such member, `BadHandle`.
    pub fn leave(
        &mut self,
        ip: &mut Ip,
        id: UdpId,
        group: IpAddr,
        source: Option<IpAddr>,
        interface: u32,
    ) -> Result<()> {
        let interface = ip.check_interface(interface)?;
        // Over IPv4, Linux finds out only that it was not joined.
        if group.is_ipv6() && !group.is_multicast() {
            return Err(Error::InvalidInput("not a group"));
        }
        self.get_mut(id)?.leave(ip, group, source, interface)
    }
}
