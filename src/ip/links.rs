//! The interfaces of a stack, each with a link of its own, and which of them a packet takes.
//!
//! A stack with one interface and no routes asks nobody: `Routes::is_open` is the one branch that it has for all this.

use super::Ip;
use super::multicast::Multicast;
use crate::error::{Error, Result};
use crate::stack::{Config, HostModel, IfName, MAX_INTERFACES};
use crate::wire::{TxFrame, ip, ipv6};
use std::net::{IpAddr, Ipv4Addr};

/// Where a packet goes from and to.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Its source, if it is chosen.
    pub src: Option<IpAddr>,
    /// Its destination.
    pub dst: IpAddr,
    /// The number of the interface that it must leave by, as its socket wants it; zero is that which the routes say.
    pub interface: u8,
}

impl From<IpAddr> for Way {
    fn from(dst: IpAddr) -> Way {
        Way { src: None, dst, interface: 0 }
    }
}

impl Way {
    /// That of a packet between two addresses, by `interface` if that is not zero.
    pub fn new(src: IpAddr, dst: IpAddr, interface: u8) -> Way {
        Way { src: Some(src), dst, interface }
    }
}

/// One interface.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) name: IfName,
    pub(super) mtu: usize,
    pub(super) multicast: Multicast,
}

/// All of them. Their numbers start with one; zero stands for the first, where nobody has to say which.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) first: Link,
    pub(super) others: Vec<Link>,
}

impl Links {
    /// Those of `config`.
    ///
    /// # Errors
    /// `InvalidInput` for an MTU that no link has or that is too small for its addresses, for a name that stands twice,
    /// and beyond [`MAX_INTERFACES`].
    pub(super) fn new(config: &Config) -> Result<Links> {
        if config.interfaces.len() >= MAX_INTERFACES {
            return Err(Error::InvalidInput("more than 64 interfaces"));
        }
        let link = |name, mtu, addresses: &[crate::stack::Cidr]| {
            check_mtu(mtu)?;
            if mtu < ipv6::MIN_MTU && addresses.iter().any(|own| own.addr.is_ipv6()) {
                return Err(Error::InvalidInput("IPv6 needs an MTU of at least 1280"));
            }
            Ok(Link { name, mtu, multicast: Multicast::new() })
        };
        let first = link(config.name, config.mtu, &config.addresses)?;
        let others: Vec<Link> =
            config.interfaces.iter().map(|one| link(one.name, one.mtu, &one.addresses)).collect::<Result<_>>()?;
        let links = Links { first, others };
        let names = || links.iter().map(|(_, link)| link.name);
        if names().any(|name| names().filter(|other| *other == name).count() > 1) {
            return Err(Error::InvalidInput("two interfaces have one name"));
        }
        Ok(links)
    }

    /// All, with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, &Link)> {
        (1..).zip(core::iter::once(&self.first).chain(&self.others))
    }

    /// The interface with this number, or the first.
    pub(super) fn get(&self, number: u8) -> &Link {
        match number {
            0 | 1 => &self.first,
            _ => self.others.get(usize::from(number) - 2).unwrap_or(&self.first),
        }
    }

    pub(super) fn get_mut(&mut self, number: u8) -> &mut Link {
        match number {
            0 | 1 => &mut self.first,
            _ => self.others.get_mut(usize::from(number) - 2).unwrap_or(&mut self.first),
        }
    }

    /// The number of the interface that is called so.
    pub(super) fn named(&self, name: IfName) -> Option<u8> {
        self.iter().find(|(_, link)| link.name == name).map(|(number, _)| number)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        1 + self.others.len()
    }
}

impl Ip {
    /// Whether there is an interface with this number; zero is any.
    ///
    /// # Errors
    /// `NoDevice` if not.
    pub fn check_interface(&self, number: u32) -> Result<u8> {
        let known = (number as usize) <= self.links.len();
        known.then_some(number as u8).ok_or(Error::NoDevice)
    }

    /// The largest packet on the link of the interface with this number, in bytes.
    pub fn mtu_of(&self, interface: u8) -> usize {
        self.links.get(interface).mtu
    }

    /// The interface by which packets of `way` leave, and the MTU of their route, if that says one.
    ///
    /// # Errors
    /// As [`check_route`](Ip::check_route).
    pub(super) fn lead(&self, way: Way) -> Result<(u8, Option<usize>)> {
        let Way { src, dst, interface } = way;
        let near = is_near(dst);
        let of_source = || src.and_then(|src| self.addresses.interface_of(src)).unwrap_or(0);
        let over = match interface {
            0 if near || self.host_model == HostModel::Strong => of_source(),
            chosen => chosen,
        };
        match self.routes.find(dst, over) {
            Ok(Some(entry)) => Ok((entry.interface, entry.route.mtu)),
            Ok(None) => Ok((over.max(1), None)),
            Err(_) if near || self.is_broadcast(dst) => Ok((over.max(1), None)),
            // Who says by which interface knows that the destination is there (as on Linux).
            Err(Error::NetworkUnreachable) if interface != 0 => Ok((interface, None)),
            Err(error) => Err(error),
        }
    }

    /// Says in `frame`, which is a packet of ours, by which interface it leaves, if it does not say so yet. False if there
    /// is no way any more.
    #[inline]
    pub fn leads(&self, frame: &mut TxFrame) -> bool {
        self.routes.is_open() || self.lead_out(frame)
    }

    #[inline(never)]
    fn lead_out(&self, frame: &mut TxFrame) -> bool {
        match self.lead(self.way_of(frame)) {
            Ok((interface, _)) => {
                frame.meta.interface = interface;
                true
            }
            Err(_) => false,
        }
    }

    /// The way of a packet of ours.
    pub fn way_of(&self, frame: &TxFrame) -> Way {
        Way::new(ip::source(&frame.header), ip::destination(&frame.header), frame.meta.interface)
    }
}

/// Whether `dst` means something else on each link, so that the source says which is meant: groups, all hosts of a link,
/// and IPv6's addresses of one link.
fn is_near(dst: IpAddr) -> bool {
    match dst {
        IpAddr::V4(dst) => dst.is_multicast() || dst == Ipv4Addr::BROADCAST,
        IpAddr::V6(dst) => dst.is_multicast() || dst.is_unicast_link_local(),
    }
}

/// The interface that an answer to `peer` must leave by, whose packet came in `by`: that one if the peer's address means
/// somebody else on each link, else zero, which is that of the routes.
pub fn answers_by(peer: IpAddr, by: u8) -> u8 {
    if is_near(peer) { by } else { 0 }
}

/// RFC 791: every link carries 68 bytes, and no packet is longer than its length field can say.
pub(super) fn check_mtu(mtu: usize) -> Result<()> {
    if !(68..=65_535).contains(&mtu) {
        return Err(Error::InvalidInput("the MTU must be 68 to 65535"));
    }
    Ok(())
}
