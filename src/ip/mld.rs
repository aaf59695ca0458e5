//! MLD over IPv6, as [`igmp`](super::igmp) over IPv4.

use super::input::dropped;
use super::{Input, Ip, Outgoing, Packet};
use crate::buf::Slice;
use crate::stats::{Disposition, DropReason};
use crate::time::Instant;
use crate::wire::igmp::{Message, Report};
use crate::wire::protocol::ICMPV6;
use crate::wire::{RxFrame, TxFrame, extension, ipv6, mld};
use std::net::{IpAddr, Ipv6Addr};

/// The Hop-by-Hop Options header with the Router Alert option (RFC 2711), in front of ICMPv6.
const ROUTER_ALERT: [u8; 8] = [ICMPV6, 0, 5, 2, 0, 0, 1, 0];

/// Bytes in front of the records of a report.
pub(super) const HEADERS_LEN: usize = ipv6::HEADER_LEN + ROUTER_ALERT.len() + mld::HEADER_LEN;

impl Ip {
    /// Takes an MLD message.
    pub(super) fn mld(&mut self, now: Instant, frame: &RxFrame, packet: &Packet) -> Input {
        let (IpAddr::V6(src), IpAddr::V6(dst)) = (packet.src, packet.dst) else {
            return dropped(DropReason::IgmpIgnored);
        };
        let message = match mld::parse(src, dst, &frame.data[packet.bytes.clone()]) {
            Ok(message) => message,
            Err(reason) => return dropped(reason),
        };
        // RFC 3810 6.2 and 5.1.14: of this link, and marked for routers to look at.
        let near = src.is_unicast_link_local() && packet.ttl == 1 && is_alert(&frame.data);
        let groups = &mut self.links.get_mut(packet.interface).multicast.v6;
        match message {
            Message::Query(query) if near && is_heard(dst, query.group) => {
                groups.on_query(now, query, &mut self.rng);
            }
            Message::Member(group) if near && packet.dst == group => groups.on_report(now, group),
            _ => return dropped(DropReason::IgmpIgnored),
        }
        Input::Done { disposition: Disposition::Answered, reply: None }
    }

    /// The packet with `report` for the routers of `interface`. It comes from a link-local address, or while that has none,
    /// from nowhere (RFC 3810 5.2.13).
    pub(super) fn mld_frame(&mut self, report: &Report, interface: u8) -> TxFrame {
        let src = self.addresses.link_local(interface).unwrap_or(Ipv6Addr::UNSPECIFIED);
        let bytes = mld::emit(report, src);
        let out = Outgoing {
            src: src.into(),
            dst: mld::destination(report).into(),
            protocol: extension::HOP_BY_HOP,
            ttl: 1,
            tos: 0,
            dont_fragment: true,
            ports: (0, 0),
        };
        let mut frame = TxFrame::default();
        frame.meta.interface = interface;
        let start = self.output(&out, ROUTER_ALERT.len() + bytes.len(), &mut frame.header);
        let end = start + ROUTER_ALERT.len();
        frame.header.space()[start..end].copy_from_slice(&ROUTER_ALERT);
        frame.header.set_len(end);
        frame.payload.push(Slice::copy_of(&bytes));
        frame
    }
}

/// Whether the packet begins with a header that has the Router Alert option for MLD.
fn is_alert(packet: &[u8]) -> bool {
    let options = packet.get(ipv6::HEADER_LEN + 2..).unwrap_or_default();
    packet[ipv6::NEXT_HEADER] == extension::HOP_BY_HOP && options.starts_with(&ROUTER_ALERT[2..6])
}

/// As over IPv4: a question about all groups comes to all nodes, one about a group to that group, and to us alone comes
/// what a router asks in particular.
fn is_heard(dst: Ipv6Addr, group: Option<IpAddr>) -> bool {
    !dst.is_multicast() || group.map_or(dst == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), |group| group == dst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::stack::{Cidr, Config};
    use crate::stats::Stats;
    use crate::wire::checksum;

    fn layer(addresses: &[&str]) -> Ip {
        let addresses = addresses.iter().map(|addr| Cidr::new(addr.parse().unwrap(), 64)).collect();
        let config = Config { addresses, ..Config::default() };
        Ip::new(&config, Rng::new(Rng::seed_from(1)), Instant::ZERO).unwrap()
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// What is sent until `now`: source, destination and MLD message, with all around it validated.
    fn sent(ip: &mut Ip, now: Instant) -> Vec<(String, String, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(at) = ip.deadline().filter(|at| *at <= now) {
            for frame in ip.on_deadline(at) {
                let bytes = frame.to_vec();
                let (header, payload) = ipv6::parse(&bytes).expect("a good header");
                assert_eq!((header.next_header, header.hop_limit, payload.end), (0, 1, bytes.len()));
                let upper = extension::walk(&bytes, header.next_header, true).expect("a good chain");
                assert_eq!((upper.protocol, upper.start), (ICMPV6, 48));
                let message = &bytes[48..];
                let mut sum = checksum::pseudo_header(header.src.into(), header.dst.into(), ICMPV6, message.len());
                sum.add(message);
                assert_eq!(sum.checksum(), 0);
                sent.push((header.src.to_string(), header.dst.to_string(), message.to_vec()));
            }
        }
        sent
    }

    /// A question from a router comes in, or from somebody who says that he is one.
    fn asks(ip: &mut Ip, now: Instant, src: &str, dst: &str, ttl: u8, alert: bool, group: &str) -> Disposition {
        let (IpAddr::V6(src), IpAddr::V6(dst), IpAddr::V6(group)) = (addr(src), addr(dst), addr(group)) else {
            panic!("not IPv6");
        };
        let mut message = [&[130, 0, 0, 0, 3, 232, 0, 0][..], &group.octets(), &[2, 125, 0, 0]].concat();
        let mut sum = checksum::pseudo_header(src.into(), dst.into(), ICMPV6, message.len());
        sum.add(&message);
        message[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
        let next_header = if alert { extension::HOP_BY_HOP } else { ICMPV6 };
        let header = ipv6::Ipv6Header { src, dst, next_header, hop_limit: ttl, traffic_class: 0, flow_label: 0 };
        let behind = if alert { [&ROUTER_ALERT[..], &message].concat() } else { message };
        let mut bytes = vec![0; 40];
        ipv6::emit(&header, behind.len(), &mut bytes);
        bytes.extend(behind);
        match ip.input(now, &RxFrame::plain(Slice::copy_of(&bytes)), false, &mut Stats::default()) {
            Input::Done { disposition, reply: None } => disposition,
            other => panic!("{other:?}"),
        }
    }

    const GROUP: &str = "ff05::7";

    #[test]
    fn joining_answering_and_leaving_by_packets() {
        let mut ip = layer(&["2001:db8::1", "fe80::1"]);
        ip.join(addr(GROUP), None, 0).unwrap();
        let minute = |n: u64| Instant::from_millis(n * 60_000);
        let said = sent(&mut ip, minute(1));
        assert_eq!(said.len(), 2);
        assert_eq!((said[0].0.as_str(), said[0].1.as_str()), ("fe80::1", "ff02::16"));
        assert_eq!((said[0].2[0], &said[0].2[4..12]), (143, &[0, 0, 0, 1, 4, 0, 0, 0][..]));
        for (dst, group) in [("ff02::1", "::"), (GROUP, GROUP), ("2001:db8::1", GROUP)] {
            let answered = asks(&mut ip, minute(1), "fe80::9", dst, 1, true, group);
            assert_eq!(answered, Disposition::Answered, "to {dst}");
            let said = sent(&mut ip, minute(2));
            assert_eq!((said.len(), said[0].2[8]), (1, 2), "to {dst}");
        }
        for (src, dst, ttl, alert, group) in [
            ("2001:db8::9", "ff02::1", 1, true, "::"),
            ("fe80::9", "ff02::1", 2, true, "::"),
            ("fe80::9", "ff02::1", 1, false, "::"),
            ("fe80::9", "ff02::1", 1, true, GROUP),
            ("fe80::9", GROUP, 1, true, "::"),
        ] {
            let ignored = Disposition::Dropped(DropReason::IgmpIgnored);
            assert_eq!(asks(&mut ip, minute(2), src, dst, ttl, alert, group), ignored, "{src} {dst} {ttl} {alert}");
        }
        ip.leave(addr(GROUP), None, 0);
        let said = sent(&mut ip, minute(3));
        assert_eq!((said.len(), said[0].2[8]), (2, 3));
        assert_eq!(ip.deadline(), None);
    }

    #[test]
    fn without_a_link_local_address_it_comes_from_nowhere_and_what_stays_here_is_not_told() {
        let mut ip = layer(&["2001:db8::1"]);
        ip.join(addr(GROUP), None, 0).unwrap();
        assert_eq!(sent(&mut ip, Instant::ZERO)[0].0, "::");
        let mut ip = layer(&["2001:db8::1"]);
        for group in ["ff02::1", "ff01::1", "ff01::7"] {
            ip.join(addr(group), None, 0).unwrap();
            assert!(ip.is_member(addr(group)), "{group}");
        }
        assert_eq!(sent(&mut ip, Instant::from_millis(60_000)), []);
        ip.leave(addr("ff01::7"), None, 0);
        assert!(!ip.is_member(addr("ff01::7")) && ip.is_member(addr("ff02::1")));
    }
}
