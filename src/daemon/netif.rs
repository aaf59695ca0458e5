//! The kernel's end of the link: address, MTU, queue length and state of an interface, and what is routed already.
//!
//! All by rtnetlink in this process: a program such as `ip` would not inherit our capabilities, and the ioctls refuse
//! the queue length in a user namespace.

use crate::stack::Cidr;
use core::fmt;
use core::time::Duration;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// The documentation prefixes of RFC 5737, with the host's address in each: no real network is shadowed by them.
pub const DOCUMENTATION: [Cidr; 3] = [
    Cidr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 24),
    Cidr::new(IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)), 24),
    Cidr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 24),
];

/// Routes of a shorter prefix are default routes or the halves and pieces that VPNs make of one; they reach everything,
/// so they claim nothing.
const SHORTEST_CLAIM: u8 = 8;

/// The rtnetlink group for links (`linux/rtnetlink.h`).
const RTNLGRP_LINK: u32 = 1;

/// Changes that are taken note of at once.
const MAX_CHANGES: usize = 1000;

/// The kernel answers at once; a silence is a fault.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the kernel did not do what was asked.
#[derive(Debug)]
pub struct NetifError {
    /// What was asked for.
    pub operation: &'static str,
    /// The kernel's answer. EPERM: CAP_NET_ADMIN is missing; ENODEV: no such link; EEXIST: it is there already.
    pub error: io::Error,
}

impl NetifError {
    /// The kernel's errno, if it was the kernel that refused.
    pub fn errno(&self) -> Option<i32> {
        self.error.raw_os_error()
    }
}

impl fmt::Display for NetifError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.error)
    }
}

impl core::error::Error for NetifError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

type Result<T> = core::result::Result<T, NetifError>;

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Whether it is set up.
    pub up: bool,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Packets that may wait to be read from a TUN.
    pub txqueuelen: u32,
}

/// A prefix that the kernel can reach already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub destination: Cidr,
    /// Name of the link it goes out on, if there is one.
    pub link: Option<String>,
}

/// What an interface is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host's addresses on the link, with their prefixes.
    pub addresses: Vec<Cidr>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Packets that may wait to be read from the TUN.
    pub txqueuelen: u32,
}

/// What [`Netlink::configure`] found or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The link was made as asked.
    Configured(Link),
    /// The link was up and had these addresses, so that it was left as it is.
    LeftAlone(Link, Vec<Cidr>),
}

/// A conversation with the kernel about the interfaces of the network namespace in which it was opened.
pub struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens it in this thread's network namespace.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn open() -> Result<Netlink> {
        let socket = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
            Ok(socket)
        };
        Ok(Netlink { socket: socket().map_err(failed("open a netlink socket"))?, sequence: 0 })
    }

    /// Gives the link `name` its addresses, MTU and queue length and sets it up, unless it is up and has an address.
    ///
    /// # Errors
    /// Says which step the kernel refused.
    pub fn configure(&mut self, name: &str, settings: &Settings) -> Result<Outcome> {
        let link = self.link(name)?;
        let addresses = self.addresses(link.index)?;
        if link.up && !addresses.is_empty() {
            return Ok(Outcome::LeftAlone(link, addresses));
        }
        self.set(link.index, "set the MTU", LinkAttribute::Mtu(settings.mtu))?;
        self.set(link.index, "set the length of the queue", LinkAttribute::TxQueueLen(settings.txqueuelen))?;
        for address in settings.addresses.iter().filter(|address| !addresses.contains(address)) {
            self.add_address(link.index, *address)?;
        }
        self.set_up(link.index)?;
        self.settle(name, &settings.addresses)?;
        Ok(Outcome::Configured(self.link(name)?))
    }

    /// Waits until the kernel takes what is for these addresses of a link that is up. It routes an IPv6 address to
    /// itself only a little later, from a work queue (`addrconf_dad_work`); a packet that comes before is lost.
    ///
    /// # Errors
    /// ETIMEDOUT, or whatever the kernel says.
    pub fn settle(&mut self, name: &str, addresses: &[Cidr]) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let awaited = |address: &&Cidr| address.addr.is_ipv6();
        loop {
            let routes = self.routes()?;
            let arrives = |address: &Cidr| {
                let host = Cidr::new(address.addr, 128);
                routes.iter().any(|route| route.destination == host && route.link.as_deref() == Some(name))
            };
            if addresses.iter().filter(awaited).all(arrives) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(failed("wait for the address")(io::Error::from_raw_os_error(
                    Errno::TIMEDOUT.raw_os_error(),
                )));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sets the loopback interface up: in a new namespace it is down.
    ///
    /// # Errors
    /// EPERM.
    pub fn loopback_up(&mut self) -> Result<()> {
        let loopback = self.link("lo")?;
        self.set_up(loopback.index)
    }

    /// The link of this name.
    ///
    /// # Errors
    /// ENODEV if there is none.
    pub fn link(&mut self, name: &str) -> Result<Link> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
        let answers = self.request("look the link up", RouteNetlinkMessage::GetLink(message), 0)?;
        let missing = || failed("look the link up")(io::ErrorKind::InvalidData.into());
        answers.iter().find_map(as_link).ok_or_else(missing)
    }

    /// All links.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        let answers = self.request("list the links", RouteNetlinkMessage::GetLink(message), NLM_F_DUMP)?;
        Ok(answers.iter().filter_map(as_link).collect())
    }

    /// The addresses of a link, those of link scope (fe80::/10) left out, which the kernel makes by itself.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn addresses(&mut self, index: u32) -> Result<Vec<Cidr>> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.request("list the addresses", message, NLM_F_DUMP)?;
        Ok(answers.iter().filter_map(|answer| as_address(answer, index)).collect())
    }

    /// Every unicast prefix that is routed already, in any table, default routes left out.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn routes(&mut self) -> Result<Vec<Route>> {
        let links = self.links()?;
        let message = RouteNetlinkMessage::GetRoute(RouteMessage::default());
        let answers = self.request("list the routes", message, NLM_F_DUMP)?;
        Ok(answers.iter().filter_map(|answer| as_route(answer, &links)).collect())
    }

    /// Adds an address with its prefix to a link; the kernel makes the route.
    ///
    /// # Errors
    /// EEXIST if the link has it, EPERM.
    pub fn add_address(&mut self, index: u32, address: Cidr) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = address.prefix;
        message.header.family = if address.addr.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        // Nobody else is on the link, so an IPv6 address is good at once.
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes = vec![AddressAttribute::Local(address.addr), AddressAttribute::Address(address.addr)];
        let message = RouteNetlinkMessage::NewAddress(message);
        self.request("add the address", message, NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    fn set_up(&mut self, index: u32) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.request("set the link up", RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }

    fn set(&mut self, index: u32, operation: &'static str, attribute: LinkAttribute) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = vec![attribute];
        self.request(operation, RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }

    /// Asks, and gathers the answers up to the one that says it was the last.
    fn request(
        &mut self,
        operation: &'static str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.sequence_number = self.sequence;
        header.flags = NLM_F_REQUEST | flags | if flags & NLM_F_DUMP == NLM_F_DUMP { 0 } else { NLM_F_ACK };
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map_err(failed(operation))?;

        let mut answers = Vec::new();
        loop {
            let (datagram, _) = self.socket.recv_from_full().map_err(failed(operation))?;
            for message in messages(&datagram) {
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                let code = match message.payload {
                    NetlinkPayload::InnerMessage(answer) => {
                        answers.push(answer);
                        continue;
                    }
                    NetlinkPayload::Error(error) => error.raw_code(),
                    NetlinkPayload::Done(done) => done.code,
                    _ => continue,
                };
                return match code {
                    0.. => Ok(answers),
                    _ => Err(failed(operation)(io::Error::from_raw_os_error(code.saturating_neg()))),
                };
            }
        }
    }
}

/// Tells when something about the links of a network namespace has changed (the rtnetlink group for links).
pub struct LinkChanges(Socket);

impl LinkChanges {
    /// Listens from now on, in this thread's network namespace.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn open() -> Result<LinkChanges> {
        let socket = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.add_membership(RTNLGRP_LINK)?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        socket().map(LinkChanges).map_err(failed("listen for changes of links"))
    }

    /// Takes note of all changes so far: the descriptor is silent until the next one. What they were is not told, since
    /// where they come fast some are lost; whoever cares about a link asks for it.
    pub fn drain(&self) {
        // Bounded, against changes without end. An error is that there are no more, or that some were lost.
        for _ in 0..MAX_CHANGES {
            if self.0.recv_from_full().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
        }
    }
}

impl AsFd for LinkChanges {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn failed(operation: &'static str) -> impl Fn(io::Error) -> NetifError {
    move |error| NetifError { operation, error }
}

/// The messages in a datagram. One that the library cannot read, from a newer kernel, is left out.
fn messages(mut datagram: &[u8]) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> + '_ {
    core::iter::from_fn(move || {
        while let Ok(head) = NetlinkBuffer::new_checked(&datagram) {
            let length = head.length() as usize;
            let message = NetlinkMessage::deserialize(&datagram[..length]);
            datagram = &datagram[length.next_multiple_of(4).min(datagram.len())..];
            match message {
                Ok(message) => return Some(message),
                Err(error) => log::debug!("a netlink message is left out: {error}"),
            }
        }
        None
    })
}

fn as_link(message: &RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else {
        return None;
    };
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: message.header.index, name: String::new(), up, mtu: 0, txqueuelen: 0 };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::TxQueueLen(length) => link.txqueuelen = *length,
            _ => {}
        }
    }
    Some(link)
}

fn as_address(message: &RouteNetlinkMessage, index: u32) -> Option<Cidr> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    // IFA_ADDRESS is the peer's where there is one; IFA_LOCAL, which IPv6 leaves out then, is always ours.
    let local =
        message.attributes.iter().find_map(|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None });
    let address =
        message.attributes.iter().find_map(|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None });
    let addr = local.or(address)?;
    let link_scope = matches!(addr, IpAddr::V6(ip) if ip.is_unicast_link_local());
    (message.header.index == index && !link_scope).then_some(Cidr::new(addr, message.header.prefix_len))
}

fn as_route(message: &RouteNetlinkMessage, links: &[Link]) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else {
        return None;
    };
    let unspecified = match message.header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    if !matches!(message.header.kind, RouteType::Unicast | RouteType::Local) {
        return None;
    }
    let (mut addr, mut link) = (unspecified, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => addr = IpAddr::V4(*ip),
            RouteAttribute::Destination(RouteAddress::Inet6(ip)) => addr = IpAddr::V6(*ip),
            RouteAttribute::Oif(index) => link = links.iter().find(|l| l.index == *index).map(|l| l.name.clone()),
            _ => {}
        }
    }
    let destination = Cidr::new(addr, message.header.destination_prefix_length);
    (destination.prefix >= SHORTEST_CLAIM).then_some(Route { destination, link })
}

/// The route, if there is one, that already leads to a part of `prefix`.
pub fn conflict(routes: &[Route], prefix: Cidr) -> Option<&Route> {
    routes.iter().find(|route| overlap(route.destination, prefix))
}

/// The first of `candidates` of which no part is routed already.
pub fn first_free_prefix(routes: &[Route], candidates: &[Cidr]) -> Option<Cidr> {
    candidates.iter().copied().find(|&candidate| conflict(routes, candidate).is_none())
}

fn overlap(a: Cidr, b: Cidr) -> bool {
    let shorter = a.prefix.min(b.prefix);
    Cidr::new(a.addr, shorter).contains(b.addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &str, prefix: u8, link: &str) -> Route {
        Route { destination: Cidr::new(destination.parse().unwrap(), prefix), link: Some(link.to_owned()) }
    }

    fn cidr(addr: &str, prefix: u8) -> Cidr {
        Cidr::new(addr.parse().unwrap(), prefix)
    }

    #[test]
    fn a_prefix_is_taken_if_any_part_of_it_is_routed() {
        let routes = [route("10.0.0.0", 16, "eth0"), route("192.0.2.77", 32, "wg0"), route("fd00::", 8, "eth1")];
        let by = |prefix| conflict(&routes, prefix).and_then(|route| route.link.as_deref());
        assert_eq!(by(cidr("10.0.7.1", 24)), Some("eth0"), "inside");
        assert_eq!(by(cidr("10.0.0.0", 8)), Some("eth0"), "around");
        assert_eq!(by(cidr("10.1.0.1", 24)), None, "beside");
        assert_eq!(by(cidr("192.0.2.1", 24)), Some("wg0"), "one host of it");
        assert_eq!(by(cidr("fd12::1", 64)), Some("eth1"));
        assert_eq!(by(cidr("2001:db8::1", 64)), None);
    }

    #[test]
    fn the_first_free_documentation_prefix_is_taken() {
        assert_eq!(first_free_prefix(&[], &DOCUMENTATION), Some(DOCUMENTATION[0]));
        let mut routes = vec![route("192.0.2.128", 25, "a")];
        assert_eq!(first_free_prefix(&routes, &DOCUMENTATION), Some(DOCUMENTATION[1]));
        routes.extend([route("198.51.100.1", 32, "b"), route("203.0.0.0", 16, "c")]);
        assert_eq!(first_free_prefix(&routes, &DOCUMENTATION), None);
    }

    #[test]
    fn default_routes_claim_nothing() {
        let message = |prefix| {
            let mut message = RouteMessage::default();
            message.header.address_family = AddressFamily::Inet;
            message.header.kind = RouteType::Unicast;
            message.header.destination_prefix_length = prefix;
            message.attributes = vec![
                RouteAttribute::Destination(RouteAddress::Inet(Ipv4Addr::new(128, 0, 0, 0))),
                RouteAttribute::Oif(7),
            ];
            RouteNetlinkMessage::NewRoute(message)
        };
        let links = [Link { index: 7, name: "eth0".into(), up: true, mtu: 1500, txqueuelen: 500 }];
        assert_eq!(as_route(&message(1), &links), None);
        assert_eq!(as_route(&message(9), &links), Some(route("128.0.0.0", 9, "eth0")));
    }

    #[test]
    fn this_host_has_a_loopback_interface() {
        let mut netlink = Netlink::open().unwrap();
        let loopback = netlink.link("lo").unwrap();
        assert_eq!(loopback.name, "lo");
        assert!(netlink.links().unwrap().contains(&loopback));
        netlink.addresses(loopback.index).unwrap();
        netlink.routes().unwrap();
        let error = netlink.link("nosuchlink0").unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV));
        assert!(error.to_string().starts_with("look the link up: "), "{error}");
    }
}
