//! IGMP over IPv4: what is received of it, and the packets that it goes in. What is said is [`groups`](super::groups)'
//! business.

use super::input::dropped;
use super::{IGMP, Input, Ip, Outgoing, Packet, Way};
use crate::buf::Slice;
use crate::stats::{Disposition, DropReason};
use crate::time::Instant;
use crate::wire::igmp::{self, Message, Report};
use crate::wire::{RxFrame, TxFrame, ipv4};
use std::net::{IpAddr, Ipv4Addr};

/// Bytes in front of the records of a report: IP with the Router Alert option, and version 3's header.
pub(super) const HEADERS_LEN: usize = ipv4::MIN_HEADER_LEN + ipv4::ROUTER_ALERT_LEN + igmp::HEADER_LEN;

/// Internetwork control (RFC 3376 4).
const TOS: u8 = 0xc0;

impl Ip {
    /// Takes an IGMP message.
    pub(super) fn igmp(&mut self, now: Instant, frame: &RxFrame, packet: &Packet) -> Input {
        let message = match igmp::parse(&frame.data[packet.bytes.clone()]) {
            Ok(message) => message,
            Err(reason) => return dropped(reason),
        };
        // Routers of this link send it with a TTL of 1; from elsewhere nobody has to ask.
        let groups = &mut self.links.get_mut(packet.interface).multicast.v4;
        match message {
            Message::Query(query) if packet.ttl == 1 && is_heard(packet.dst, query.group) => {
                groups.on_query(now, query, &mut self.rng);
            }
            Message::Member(group) if packet.dst == group => groups.on_report(now, group),
            _ => return dropped(DropReason::IgmpIgnored),
        }
        Input::Done { disposition: Disposition::Answered, reply: None }
    }

    /// The packet with `report` for the routers of `interface`; none if we have no address to send it from.
    pub(super) fn igmp_frame(&mut self, report: &Report, interface: u8) -> Option<TxFrame> {
        let (to, bytes) = igmp::emit(report);
        let dst = IpAddr::V4(to);
        let out = Outgoing {
            src: self.source_for(Way { src: None, dst, interface })?,
            dst,
            protocol: IGMP,
            ttl: 1,
            tos: TOS,
            dont_fragment: true,
            ports: (0, 0),
        };
        let mut frame = TxFrame::default();
        self.output(&out, bytes.len(), &mut frame.header);
        frame.meta.interface = interface;
        let len = ipv4::add_router_alert(frame.header.space());
        frame.header.set_len(len);
        frame.payload.push(Slice::copy_of(&bytes));
        Some(frame)
    }
}

/// RFC 3376 9.1: a question about all groups comes to all hosts, one about a group to that group. To us alone comes what
/// a router asks in particular.
fn is_heard(dst: IpAddr, group: Option<IpAddr>) -> bool {
    !dst.is_multicast() || dst == group.unwrap_or(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::stack::{Cidr, Config};
    use crate::stats::Stats;
    use crate::wire::checksum;
    use crate::wire::ipv4::Ipv4Header;

    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
    const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    fn layer(mtu: usize) -> Ip {
        let addresses = vec![Cidr::new([10, 0, 0, 1].into(), 24)];
        let config = Config { addresses, mtu, ..Config::default() };
        Ip::new(&config, Rng::new(Rng::seed_from(1)), Instant::ZERO).unwrap()
    }

    /// What is sent until `now`: destination and IGMP message, with all in front of it validated.
    fn sent(ip: &mut Ip, now: Instant) -> Vec<(Ipv4Addr, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(at) = ip.deadline().filter(|at| *at <= now) {
            for frame in ip.on_deadline(at) {
                let bytes = frame.to_vec();
                assert!(bytes.len() <= ip.mtu());
                let (header, payload) = ipv4::parse(&bytes).expect("a good header");
                assert_eq!((header.protocol, header.ttl, header.tos), (2, 1, 0xc0));
                assert_eq!((payload.start, payload.end), (24, bytes.len()));
                assert_eq!(bytes[20..24], [148, 4, 0, 0], "Router Alert");
                let message = &bytes[payload];
                assert_eq!(checksum::checksum(message), 0);
                sent.push((header.dst, message.to_vec()));
            }
        }
        sent
    }

    /// An IGMP message from a router comes in.
    fn takes(ip: &mut Ip, now: Instant, dst: Ipv4Addr, ttl: u8, mut message: Vec<u8>) -> Disposition {
        let sum = checksum::checksum(&message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let header = Ipv4Header {
            src: ROUTER,
            dst,
            protocol: IGMP,
            ttl,
            tos: 0,
            id: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
        };
        let mut bytes = vec![0; 24];
        ipv4::emit(&header, message.len(), &mut bytes);
        ipv4::add_router_alert(&mut bytes);
        bytes.extend(message);
        match ip.input(now, &RxFrame::plain(Slice::copy_of(&bytes)), false, &mut Stats::default()) {
            Input::Done { disposition, reply: None } => disposition,
            other => panic!("{other:?}"),
        }
    }

    const ALL: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
    const QUERY_ALL: [u8; 12] = [0x11, 100, 0, 0, 0, 0, 0, 0, 2, 125, 0, 0];
    const QUERY_GROUP: [u8; 12] = [0x11, 10, 0, 0, 239, 1, 2, 3, 2, 125, 0, 0];

    #[test]
    fn joining_answering_and_leaving_by_packets() {
        let mut ip = layer(1500);
        ip.join(GROUP.into(), None, 0).unwrap();
        let minute = |n: u64| Instant::from_millis(n * 60_000);
        let join = (Ipv4Addr::new(224, 0, 0, 22), [0x22, 0, 4, 0].to_vec());
        let said = sent(&mut ip, minute(1));
        assert_eq!(said.len(), 2, "and once more, for one may get lost");
        assert_eq!((said[0].0, &said[0].1[4..]), (join.0, &[0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 2, 3][..]));
        assert_eq!(said[0], said[1]);
        for (dst, query) in [(ALL, QUERY_ALL), (GROUP, QUERY_GROUP), ([10, 0, 0, 1].into(), QUERY_GROUP)] {
            assert_eq!(takes(&mut ip, minute(1), dst, 1, query.to_vec()), Disposition::Answered);
            let said = sent(&mut ip, minute(2));
            assert_eq!(said.len(), 1);
            assert_eq!(said[0].1[4..], [0, 0, 0, 1, 2, 0, 0, 0, 239, 1, 2, 3]);
        }
        ip.leave(GROUP.into(), None, 0);
        let said = sent(&mut ip, minute(3));
        assert_eq!((said.len(), &said[0].1[4..]), (2, &[0, 0, 0, 1, 3, 0, 0, 0, 239, 1, 2, 3][..]));
        assert_eq!(ip.deadline(), None);
    }

    #[test]
    fn an_old_router_is_spoken_to_in_its_own_words() {
        let mut ip = layer(1500);
        let now = Instant::from_millis(1);
        assert_eq!(takes(&mut ip, now, ALL, 1, vec![0x11, 100, 0, 0, 0, 0, 0, 0]), Disposition::Answered);
        ip.join(GROUP.into(), None, 0).unwrap();
        let said = sent(&mut ip, Instant::from_millis(60_000));
        assert_eq!(said.iter().map(|(to, m)| (*to, m[0])).collect::<Vec<_>>(), [(GROUP, 0x16), (GROUP, 0x16)]);
        ip.leave(GROUP.into(), None, 0);
        let said = sent(&mut ip, Instant::from_millis(120_000));
        assert_eq!(said.iter().map(|(to, m)| (*to, m[0])).collect::<Vec<_>>(), [(Ipv4Addr::new(224, 0, 0, 2), 0x17)]);
    }

    #[test]
    fn what_no_router_of_this_link_has_sent_is_ignored() {
        let mut ip = layer(1500);
        ip.join(GROUP.into(), None, 0).unwrap();
        sent(&mut ip, Instant::from_millis(60_000));
        let now = Instant::from_millis(60_000);
        let ignored = Disposition::Dropped(DropReason::IgmpIgnored);
        assert_eq!(takes(&mut ip, now, ALL, 2, QUERY_ALL.to_vec()), ignored, "from elsewhere");
        assert_eq!(takes(&mut ip, now, GROUP, 1, QUERY_ALL.to_vec()), ignored, "of all, but not to all");
        assert_eq!(takes(&mut ip, now, ALL, 1, QUERY_GROUP.to_vec()), ignored, "of a group, but not to it");
        assert_eq!(takes(&mut ip, now, ALL, 1, vec![0x22, 0, 0, 0, 0, 0, 0, 0]), ignored, "another host's");
        assert_eq!(takes(&mut ip, now, ALL, 1, vec![0x11, 0, 0, 0]), Disposition::Dropped(DropReason::IgmpMalformed));
        assert_eq!(ip.deadline(), None, "nothing is to be said");
    }

    #[test]
    fn many_groups_are_told_of_in_packets_that_fit() {
        for mtu in [68, 576, 1500] {
            let mut ip = layer(mtu);
            for n in 0..300u32 {
                ip.join(Ipv4Addr::from_bits(0xef00_0000 + n).into(), None, 0).unwrap();
            }
            for n in 0..64u32 {
                ip.join([232, 0, 0, 1].into(), Some(Ipv4Addr::from_bits(0x0b00_0000 + n).into()), 0).unwrap();
            }
            let said = sent(&mut ip, Instant::ZERO);
            let records: u32 = said.iter().map(|(_, m)| u32::from(u16::from_be_bytes([m[6], m[7]]))).sum();
            let sources: usize =
                said.iter().map(|(_, m)| m.len()).sum::<usize>() - said.len() * 8 - records as usize * 8;
            assert_eq!((sources, records >= 301), (64 * 4, true), "MTU {mtu}: {records} records");
            assert_eq!(said.len() == 2, mtu == 1500, "{} packets of {mtu}", said.len());
        }
    }
}
