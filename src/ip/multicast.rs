//! Groups of both families: who joins them, who is a member, and when their routers are told.

use super::Ip;
use super::groups::Groups;
use crate::error::{Error, Result};
use crate::time::Instant;
use crate::wire::TxFrame;
use crate::wire::igmp::{self, Record, Report};
use std::net::{IpAddr, Ipv4Addr};

/// The group of all hosts on a link, which every host is a member of without saying so (RFC 1112 4).
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

/// The host's groups.
#[derive(Debug)]
pub(super) struct Multicast {
    pub(super) v4: Groups,
}

impl Multicast {
    pub(super) fn new() -> Multicast {
        Multicast { v4: Groups::new() }
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
        if is_everybody(group) { Ok(()) } else { self.multicast.v4.join(group, source) }
    }

    /// A socket that has joined leaves.
    pub fn leave(&mut self, group: IpAddr, source: Option<IpAddr>) {
        self.multicast.v4.leave(group, source);
    }

    /// Whether what is sent to `group` is for us: some socket has joined it, or all hosts belong to it.
    pub fn is_member(&self, group: IpAddr) -> bool {
        is_everybody(group) || self.multicast.v4.is_member(group)
    }

    /// When [`on_deadline`](Ip::on_deadline) wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        self.multicast.v4.deadline()
    }

    /// Does what is due at `now`, and gives what is to be sent.
    pub fn on_deadline(&mut self, now: Instant) -> Vec<TxFrame> {
        let reports = self.multicast.v4.on_deadline(now, &mut self.rng);
        let room = self.mtu - super::igmp::HEADERS_LEN;
        let mut frames = Vec::new();
        for report in reports {
            match report {
                Report::Records(records) => {
                    let packets = packed(records, room).into_iter();
                    frames.extend(packets.filter_map(|records| self.igmp_frame(&Report::Records(records))));
                }
                report => frames.extend(self.igmp_frame(&report)),
            }
        }
        frames
    }
}

/// Whether every host is a member of `group`.
fn is_everybody(group: IpAddr) -> bool {
    group == ALL_HOSTS
}

/// The records in as few packets with `room` for them as it takes. One that is too long for any is divided.
fn packed(records: Vec<Record>, room: usize) -> Vec<Vec<Record>> {
    let mut packets: Vec<Vec<Record>> = Vec::new();
    let mut left = 0;
    for record in records.into_iter().flat_map(|record| divided(record, room)) {
        let len = igmp::record_len(&record);
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
    if igmp::record_len(&record) <= room {
        return vec![record];
    }
    let Record { kind, group, sources } = record;
    let each = if group.is_ipv4() { 4 } else { 16 };
    let few = (room.saturating_sub(4 + each) / each).max(1);
    sources.chunks(few).map(|part| Record { kind, group, sources: part.to_vec() }).collect()
}
