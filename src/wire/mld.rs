//! MLD (RFC 2710, 3810): IGMP's twin for IPv6. Its versions 1 and 2 are IGMP's 2 and 3.

use super::checksum;
use super::igmp::{Message, Query, Report, Version, querier, records_after, sources};
use super::protocol::ICMPV6;
use crate::stats::DropReason;
use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr};

/// The length of every message but those of version 2, in bytes.
const LEN: usize = 24;

/// The length of the part of version 2's report before its records, in bytes.
pub const HEADER_LEN: usize = 8;

/// The length of version 2's query without sources, in bytes.
const QUERY_V2_LEN: usize = 28;

const QUERY: u8 = 130;
const REPORT_V1: u8 = 131;
const DONE: u8 = 132;
const REPORT_V2: u8 = 143;

/// Whether an ICMPv6 message of type `kind` is one of MLD's.
pub fn is_mld(kind: u8) -> bool {
    matches!(kind, QUERY | REPORT_V1 | DONE | REPORT_V2)
}

/// Parses and validates the message `bytes` (an IP payload), which came from `src` to `dst`.
///
/// # Errors
/// `IgmpMalformed` if it is too short, contradicts itself, or its checksum is wrong.
pub fn parse(src: Ipv6Addr, dst: Ipv6Addr, bytes: &[u8]) -> Result<Message, DropReason> {
    let fixed = bytes.first_chunk::<HEADER_LEN>().ok_or(DropReason::IgmpMalformed)?;
    let mut sum = checksum::pseudo_header(src.into(), dst.into(), ICMPV6, bytes.len());
    sum.add(bytes);
    if sum.checksum() != 0 {
        return Err(DropReason::IgmpMalformed);
    }
    let group = || {
        let octets = bytes.get(HEADER_LEN..LEN).and_then(|group| <[u8; 16]>::try_from(group).ok());
        octets.map(Ipv6Addr::from).ok_or(DropReason::IgmpMalformed)
    };
    Ok(match fixed[0] {
        QUERY => Message::Query(query(bytes, u16::from_be_bytes([fixed[4], fixed[5]]), group()?)?),
        REPORT_V1 => Message::Member(group()?.into()),
        _ => Message::Other,
    })
}

fn query(bytes: &[u8], code: u16, group: Ipv6Addr) -> Result<Query, DropReason> {
    let old = Query {
        version: Version::V2,
        group: Some(IpAddr::V6(group)).filter(|group| !group.is_unspecified()),
        sources: Vec::new(),
        max_delay: Duration::from_millis(code.into()),
        robustness: None,
        interval: None,
    };
    match bytes.len() {
        LEN => Ok(old),
        QUERY_V2_LEN.. => {
            let read = |source: &[u8]| {
                let mut octets = [0; 16];
                octets.copy_from_slice(source);
                Ipv6Addr::from(octets).into()
            };
            let sources = sources(&bytes[LEN..], 16, read)?;
            let (robustness, interval) = querier(bytes[LEN], bytes[LEN + 1]);
            let max_delay = Duration::from_millis(float(code).into());
            Ok(Query { version: Version::V3, sources, max_delay, robustness, interval, ..old })
        }
        _ => Err(DropReason::IgmpMalformed),
    }
}

/// RFC 3810 5.1.3: from 32,768 on a mantissa of twelve bits and an exponent of three.
fn float(code: u16) -> u32 {
    let code = u32::from(code);
    if code < 0x8000 { code } else { ((code & 0xfff) | 0x1000) << (((code >> 12) & 7) + 3) }
}

/// Where `report` is sent to.
pub fn destination(report: &Report) -> Ipv6Addr {
    match report {
        Report::Records(_) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16),
        Report::Left(_) => Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2),
        Report::Member(_, group) => v6(*group),
    }
}

/// The bytes of `report` over IPv6, with its checksum, to be sent from `src` to its [`destination`].
pub fn emit(report: &Report, src: Ipv6Addr) -> Vec<u8> {
    let plain = |kind, group: IpAddr| [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &v6(group).octets()].concat();
    let mut bytes = match report {
        Report::Records(records) => records_after(vec![REPORT_V2, 0, 0, 0], records),
        Report::Member(_, group) => plain(REPORT_V1, *group),
        Report::Left(group) => plain(DONE, *group),
    };
    let mut sum = checksum::pseudo_header(src.into(), destination(report).into(), ICMPV6, bytes.len());
    sum.add(&bytes);
    bytes[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    bytes
}

fn v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V6(addr) => addr,
        IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::super::igmp::{Record, RecordKind};
    use super::*;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    const ALL: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 7);

    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let mut sum = checksum::pseudo_header(ROUTER.into(), ALL.into(), ICMPV6, bytes.len());
        sum.add(&bytes);
        bytes[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
        bytes
    }

    #[test]
    fn the_version_of_a_query_is_told_by_its_length() {
        let read = |bytes: &[u8]| parse(ROUTER, ALL, &sealed(bytes.to_vec()));
        let head = |code: [u8; 2]| [QUERY, 0, 0, 0, code[0], code[1], 0, 0];
        let Ok(Message::Query(v1)) = read(&[&head([0x03, 0xe8])[..], &[0; 16]].concat()) else { panic!() };
        assert_eq!((v1.version, v1.group, v1.max_delay), (Version::V2, None, Duration::from_secs(1)));
        let tail = [&GROUP.octets()[..], &[2, 125, 0, 1], &ROUTER.octets()].concat();
        let Ok(Message::Query(v2)) = read(&[&head([0x90, 0x01])[..], &tail].concat()) else { panic!() };
        assert_eq!(
            v2,
            Query {
                version: Version::V3,
                group: Some(GROUP.into()),
                sources: vec![ROUTER.into()],
                max_delay: Duration::from_millis(0x1001 << 4),
                robustness: Some(2),
                interval: Some(Duration::from_secs(125)),
            }
        );
        for len in [8, 23, 25, 27, 43] {
            let mut long = [&head([0, 0])[..], &tail].concat();
            long.truncate(len);
            assert_eq!(read(&long), Err(DropReason::IgmpMalformed), "{len} bytes");
        }
        assert_eq!(parse(ROUTER, ALL, &[0; 24]), Err(DropReason::IgmpMalformed), "checksum");
        let report = [&[REPORT_V1, 0, 0, 0, 0, 0, 0, 0][..], &GROUP.octets()].concat();
        assert_eq!(read(&report), Ok(Message::Member(GROUP.into())));
    }

    #[test]
    fn reports_are_laid_out_as_the_rfcs_draw_them() {
        let group = IpAddr::V6(GROUP);
        let records = vec![Record { kind: RecordKind::Block, group, sources: vec![ROUTER.into()] }];
        for (report, kind, to, len) in [
            (Report::Records(records), 143, "ff02::16", 8 + 4 + 32),
            (Report::Member(Version::V2, group), 131, "ff05::7", 24),
            (Report::Left(group), 132, "ff02::2", 24),
        ] {
            let bytes = emit(&report, ROUTER);
            assert_eq!((bytes[0], bytes.len(), destination(&report).to_string().as_str()), (kind, len, to));
            let mut sum = checksum::pseudo_header(ROUTER.into(), destination(&report).into(), ICMPV6, len);
            sum.add(&bytes);
            assert_eq!(sum.checksum(), 0);
            match report {
                Report::Records(_) => assert_eq!(bytes[4..12], [0, 0, 0, 1, 6, 0, 0, 1]),
                _ => assert_eq!(bytes[8..], GROUP.octets()),
            }
        }
    }
}
