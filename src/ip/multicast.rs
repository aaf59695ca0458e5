//! Groups of both families: who joins them, who is a member, and when their routers are told.

use super::groups::Groups;
use super::links::Link;
use super::{Ip, Way, igmp, mld};
use crate::error::{Error, Result};
use crate::time::Instant;
use crate::wire::igmp::{Record, Report, record_len};
use crate::wire::{TxFrame, ipv6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The group of all hosts on a link, which every host is a member of without saying so (RFC 1112 4).
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// IPv6's (RFC 4291 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The groups that were joined on one interface, with what its routers know.
#[derive(Debug)]
pub(super) struct Multicast {
    pub(super) v4: Groups,
    pub(super) v6: Groups,
}

impl Multicast {
    pub(super) fn new() -> Multicast {
        Multicast { v4: Groups::new(), v6: Groups::new() }
    }

    fn of(&mut self, group: IpAddr) -> &mut Groups {
        if group.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }

    fn is_member(&self, group: IpAddr) -> bool {
        if group.is_ipv4() { self.v4.is_member(group) } else { self.v6.is_member(group) }
    }

    fn deadline(&self) -> Option<Instant> {
        Instant::earlier(self.v4.deadline(), self.v6.deadline())
    }
}

impl Ip {
    /// The interface on which a group is joined: `interface` or, if that is zero, the one by which packets to it leave.
    ///
    /// # Errors
    /// `InvalidInput` if `group` is none, `Unsupported` for a family without an address.
    pub fn interface_of_group(&self, group: IpAddr, interface: u8) -> Result<u8> {
        if !group.is_multicast() {
            return Err(Error::InvalidInput("no multicast address"));
        }
        let own = self.source_for(Way { src: None, dst: group, interface }).ok_or(Error::Unsupported)?;
        Ok(self.lead(Way::new(own, group, interface))?.0)
    }

    /// A socket joins `group` on `interface`: for what anybody sends there, or for what `source` sends. It must leave as it
    /// has joined. Routers are told with the next [`on_deadline`](Ip::on_deadline), which is wanted at once.
    ///
    /// # Errors
    /// As [`interface_of_group`](Ip::interface_of_group); `InvalidInput` also if no host can have the address `source`,
    /// `NoBufferSpace` at the bounds.
    pub fn join(&mut self, group: IpAddr, source: Option<IpAddr>, interface: u8) -> Result<()> {
        let interface = self.interface_of_group(group, interface)?;
        if source.is_some_and(|source| source.is_ipv4() != group.is_ipv4() || !self.is_valid_peer(source)) {
            return Err(Error::InvalidInput("no host has the source address"));
        }
        if is_everybody(group) {
            return Ok(());
        }
        self.links.get_mut(interface).multicast.of(group).join(group, source)
    }

    /// A socket that has joined on `interface` leaves.
    pub fn leave(&mut self, group: IpAddr, source: Option<IpAddr>, interface: u8) {
        self.links.get_mut(interface).multicast.of(group).leave(group, source);
    }

    /// Whether what is sent to `group` may be for us: some socket has joined it somewhere, or all hosts belong to it.
    pub fn is_member(&self, group: IpAddr) -> bool {
        is_everybody(group) || self.links.iter().any(|(_, link)| link.multicast.is_member(group))
    }

    /// Whether what comes in by `interface` to `group` is for us.
    pub(super) fn is_member_on(&self, group: IpAddr, interface: u8) -> bool {
        is_everybody(group) || self.links.get(interface).multicast.is_member(group)
    }

    /// When [`on_deadline`](Ip::on_deadline) wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.links.first.multicast.deadline();
        self.links.others.iter().fold(first, |all, link| Instant::earlier(all, link.multicast.deadline()))
    }

    /// Does what is due at `now`, and gives what is to be sent.
    pub fn on_deadline(&mut self, now: Instant) -> Vec<TxFrame> {
        let numbers: Vec<u8> = self.links.iter().map(|(number, _)| number).collect();
        numbers.into_iter().flat_map(|interface| self.reports_on(interface, now)).collect()
    }

    fn reports_on(&mut self, interface: u8, now: Instant) -> Vec<TxFrame> {
        let Link { multicast, mtu, .. } = self.links.get_mut(interface);
        let v4 = multicast.v4.on_deadline(now, &mut self.rng);
        let v4 = in_packets(v4, *mtu - igmp::HEADERS_LEN);
        let v6 = multicast.v6.on_deadline(now, &mut self.rng);
        let v6 = in_packets(v6, ipv6::MIN_MTU - mld::HEADERS_LEN);
        let mut frames: Vec<TxFrame> = v4.iter().filter_map(|report| self.igmp_frame(report, interface)).collect();
        frames.extend(v6.iter().map(|report| self.mld_frame(report, interface)));
        frames
    }
}

/// Whether every host is a member of `group`.
fn is_everybody(group: IpAddr) -> bool {
    group == ALL_HOSTS || group == ALL_NODES
}

/// Whether `dst` is a group of which nothing leaves its host or comes from a wire: its scope is the interface, or reserved
/// (RFC 4291 2.7). Routers need not know of it (RFC 3810 6).
pub(crate) fn stays_here(dst: IpAddr) -> bool {
    matches!(dst, IpAddr::V6(dst) if dst.is_multicast() && dst.octets()[1] & 0xf <= 1)
}

/// The reports, those of version 3 in packets with `room` for their records.
fn in_packets(reports: Vec<Report>, room: usize) -> Vec<Report> {
    let divide = |report| match report {
        Report::Records(records) => {
            let told = records.into_iter().filter(|record| !stays_here(record.group)).collect();
            packed(told, room).into_iter().map(Report::Records).collect()
        }
        Report::Member(_, group) | Report::Left(group) if stays_here(group) => Vec::new(),
        report => vec![report],
    };
    reports.into_iter().flat_map(divide).collect()
}

/// The records in as few packets with `room` for them as it takes. One that is too long for any is divided.
fn packed(records: Vec<Record>, room: usize) -> Vec<Vec<Record>> {
    let mut packets: Vec<Vec<Record>> = Vec::new();
    let mut left = 0;
    for record in records.into_iter().flat_map(|record| divided(record, room)) {
        let len = record_len(&record);
        if len > left {
            packets.push(Vec::new());
            left = room;
        }
        left = left.saturating_sub(len);
        packets.last_mut().expect("one was begun, for no record is empty").push(record);
    }
    packets
}

/// `record` as several that each fit into `room`, if it does not. None says "all but these", so that parts mean the same.
fn divided(record: Record, room: usize) -> Vec<Record> {
    if record_len(&record) <= room {
        return vec![record];
    }
    let Record { kind, group, sources } = record;
    let each = if group.is_ipv4() { 4 } else { 16 };
    let few = (room.saturating_sub(4 + each) / each).max(1);
    sources.chunks(few).map(|part| Record { kind, group, sources: part.to_vec() }).collect()
}
