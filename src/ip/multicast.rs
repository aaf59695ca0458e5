//! Groups of both families: who joins them, who is a member, and when their routers are told.

use super::groups::Groups;
use super::{Ip, igmp, mld};
use crate::error::{Error, Result};
use crate::time::Instant;
use crate::wire::igmp::{Record, Report, record_len};
use crate::wire::{TxFrame, ipv6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The group of all hosts on a link, which every host is a member of without saying so (RFC 1112 4).
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// IPv6's (RFC 4291 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The host's groups, with what their routers know.
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
}

impl Ip {
    /// A socket joins `group`: for what anybody sends there, or for what `source` sends. It must leave as it has joined.
    /// Routers are told with the next [`on_deadline`](Ip::on_deadline), which is wanted at once.
    ///
    /// # Errors
    /// `InvalidInput` if `group` is none or no host can have the address `source`, `Unsupported` for a family without an
    /// address, `NoBufferSpace` at the bounds.
    pub fn join(&mut self, group: IpAddr, source: Option<IpAddr>) -> Result<()> {
        if !group.is_multicast() {
            return Err(Error::InvalidInput("no multicast address"));
        }
        if source.is_some_and(|source| source.is_ipv4() != group.is_ipv4() || !self.is_valid_peer(source)) {
            return Err(Error::InvalidInput("no host has the source address"));
        }
        self.source_for(group).ok_or(Error::Unsupported)?;
        if is_everybody(group) { Ok(()) } else { self.multicast.of(group).join(group, source) }
    }

    /// A socket that has joined leaves.
    pub fn leave(&mut self, group: IpAddr, source: Option<IpAddr>) {
        self.multicast.of(group).leave(group, source);
    }

    /// Whether what is sent to `group` is for us: some socket has joined it, or all hosts belong to it.
    pub fn is_member(&self, group: IpAddr) -> bool {
        let groups = if group.is_ipv4() { &self.multicast.v4 } else { &self.multicast.v6 };
        is_everybody(group) || groups.is_member(group)
    }

    /// When [`on_deadline`](Ip::on_deadline) wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        Instant::earlier(self.multicast.v4.deadline(), self.multicast.v6.deadline())
    }

    /// Does what is due at `now`, and gives what is to be sent.
    pub fn on_deadline(&mut self, now: Instant) -> Vec<TxFrame> {
        let v4 = self.multicast.v4.on_deadline(now, &mut self.rng);
        let v4 = in_packets(v4, self.mtu - igmp::HEADERS_LEN);
        let v6 = self.multicast.v6.on_deadline(now, &mut self.rng);
        let v6 = in_packets(v6, ipv6::MIN_MTU - mld::HEADERS_LEN);
        let mut frames: Vec<TxFrame> = v4.iter().filter_map(|report| self.igmp_frame(report)).collect();
        frames.extend(v6.iter().map(|report| self.mld_frame(report)));
        frames
    }
}

/// Whether every host is a member of `group`.
fn is_everybody(group: IpAddr) -> bool {
    group == ALL_HOSTS || group == ALL_NODES
}

/// Whether routers need not know of `group`, because nothing that is sent there leaves its host or is ever sent
/// (RFC 3810 6).
fn stays_here(group: IpAddr) -> bool {
    matches!(group, IpAddr::V6(group) if group.octets()[1] & 0xf <= 1)
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
