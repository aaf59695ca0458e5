//! IGMP (RFC 1112, 2236, 3376): what hosts and routers say of who is a member of which group. And the parts that MLD,
//! IPv6's twin of it, has in common.

use super::checksum;
use crate::stats::DropReason;
use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};

/// The length of every message but those of version 3, in bytes.
pub const HEADER_LEN: usize = 8;

/// The length of version 3's query without sources, in bytes.
const QUERY_V3_LEN: usize = 12;

const QUERY: u8 = 0x11;
const REPORT_V1: u8 = 0x12;
const REPORT_V2: u8 = 0x16;
const LEAVE: u8 = 0x17;
const REPORT_V3: u8 = 0x22;

/// A version of IGMP. MLD's versions 1 and 2 are IGMP's 2 and 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 1112: nobody says that it leaves.
    V1,
    /// RFC 2236, MLD of RFC 2710.
    V2,
    /// RFC 3376, MLD of RFC 3810: groups with sources.
    V3,
}

/// A router asks who is a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The version that the router speaks.
    pub version: Version,
    /// The group it asks for; none is every group.
    pub group: Option<IpAddr>,
    /// The sources of the group that it asks for; none is any.
    pub sources: Vec<IpAddr>,
    /// The answer shall come at a random time within this.
    pub max_delay: Duration,
    /// How often what may get lost is said (Querier's Robustness Variable), if the router tells.
    pub robustness: Option<u8>,
    /// How often the router asks, if it tells.
    pub interval: Option<Duration>,
}

/// What one record of a report of version 3 says of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Asked: only these sources.
    IsInclude = 1,
    /// Asked: all sources.
    IsExclude = 2,
    /// From now on only these sources; none is leaving.
    ToInclude = 3,
    /// From now on all sources: joining.
    ToExclude = 4,
    /// These sources too.
    Allow = 5,
    /// These sources no longer.
    Block = 6,
}

/// A record of a report of version 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it says.
    pub kind: RecordKind,
    /// Of which group.
    pub group: IpAddr,
    /// And of which sources of it.
    pub sources: Vec<IpAddr>,
}

/// What a host says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// Version 3.
    Records(Vec<Record>),
    /// Version 1 or 2: a member of this group is here.
    Member(Version, IpAddr),
    /// Version 2: a member, perhaps the last one, has left this group.
    Left(IpAddr),
}

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A router asks.
    Query(Query),
    /// Another host is a member of the group: version 1 or 2, where one answer is enough.
    Member(IpAddr),
    /// Nothing that concerns a host.
    Other,
}

/// Parses and validates the message `bytes` (an IP payload).
///
/// # Errors
/// `IgmpMalformed` if it is too short, contradicts itself, or its checksum is wrong.
pub fn parse(bytes: &[u8]) -> Result<Message, DropReason> {
    let &[kind, code, _, _, a, b, c, d] = bytes.first_chunk::<HEADER_LEN>().ok_or(DropReason::IgmpMalformed)?;
    if checksum::checksum(bytes) != 0 {
        return Err(DropReason::IgmpMalformed);
    }
    let group = Ipv4Addr::new(a, b, c, d);
    Ok(match kind {
        QUERY => Message::Query(query(bytes, code, Some(group).filter(|group| !group.is_unspecified()))?),
        REPORT_V1 | REPORT_V2 => Message::Member(group.into()),
        _ => Message::Other,
    })
}

fn query(bytes: &[u8], code: u8, group: Option<Ipv4Addr>) -> Result<Query, DropReason> {
    let tenths = |n: u32| Duration::from_millis(100) * n;
    let old = |version, max_delay| Query {
        version,
        group: group.map(IpAddr::V4),
        sources: Vec::new(),
        max_delay,
        robustness: None,
        interval: None,
    };
    match (bytes.len(), code) {
        (HEADER_LEN, 0) => Ok(old(Version::V1, tenths(100))),
        (HEADER_LEN, _) => Ok(old(Version::V2, tenths(code.into()))),
        (QUERY_V3_LEN.., _) => {
            let sources = sources(&bytes[HEADER_LEN..], 4, |source| Ipv4Addr::from_bits(number(source) as u32).into())?;
            let (robustness, interval) = querier(bytes[8], bytes[9]);
            Ok(Query { sources, robustness, interval, ..old(Version::V3, tenths(float(code))) })
        }
        _ => Err(DropReason::IgmpMalformed),
    }
}

/// The sources of a query of version 3, whose last fields `bytes` are: flags, interval, number of sources, sources of
/// `size` bytes each.
pub(super) fn sources(bytes: &[u8], size: usize, read: impl Fn(&[u8]) -> IpAddr) -> Result<Vec<IpAddr>, DropReason> {
    let (head, rest) = bytes.split_first_chunk::<4>().ok_or(DropReason::IgmpMalformed)?;
    let len = usize::from(u16::from_be_bytes([head[2], head[3]])) * size;
    Ok(rest.get(..len).ok_or(DropReason::IgmpMalformed)?.chunks_exact(size).map(read).collect())
}

/// The number that big-endian `bytes` are.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, byte| (n << 8) | u64::from(*byte))
}

/// The querier's robustness and interval from the two bytes that hold them, if it tells them.
pub(super) fn querier(flags: u8, interval: u8) -> (Option<u8>, Option<Duration>) {
    let told = |n: u8| Some(n).filter(|n| *n > 0);
    (told(flags & 7), told(interval).map(|code| Duration::from_secs(float(code).into())))
}

/// RFC 3376 4.1.1: from 128 on a mantissa of four bits and an exponent of three.
fn float(code: u8) -> u32 {
    let code = u32::from(code);
    if code < 128 { code } else { ((code & 0xf) | 0x10) << (((code >> 4) & 7) + 3) }
}

/// The bytes of `report` over IPv4, with its checksum, to be sent to the address beside it.
pub fn emit(report: &Report) -> (Ipv4Addr, Vec<u8>) {
    let plain = |kind, group: IpAddr| {
        let mut bytes = vec![kind, 0, 0, 0];
        push(&mut bytes, group);
        bytes
    };
    let (to, mut bytes) = match report {
        Report::Records(records) => (Ipv4Addr::new(224, 0, 0, 22), records_after(vec![REPORT_V3, 0, 0, 0], records)),
        Report::Member(version, group) => {
            let kind = if *version == Version::V1 { REPORT_V1 } else { REPORT_V2 };
            (v4(*group), plain(kind, *group))
        }
        Report::Left(group) => (Ipv4Addr::new(224, 0, 0, 2), plain(LEAVE, *group)),
    };
    let sum = checksum::checksum(&bytes);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    (to, bytes)
}

/// The report of version 3 that begins with `bytes`: reserved word, number of records, records.
pub(super) fn records_after(mut bytes: Vec<u8>, records: &[Record]) -> Vec<u8> {
    bytes.extend([0, 0]);
    bytes.extend((records.len() as u16).to_be_bytes());
    for Record { kind, group, sources } in records {
        bytes.extend([*kind as u8, 0]);
        bytes.extend((sources.len() as u16).to_be_bytes());
        push(&mut bytes, *group);
        sources.iter().for_each(|source| push(&mut bytes, *source));
    }
    bytes
}

/// The length of a record of version 3 in bytes, of which the caller keeps the sources few.
pub fn record_len(record: &Record) -> usize {
    let address = if record.group.is_ipv4() { 4 } else { 16 };
    4 + address * (1 + record.sources.len())
}

fn push(bytes: &mut Vec<u8>, addr: IpAddr) {
    match addr {
        IpAddr::V4(addr) => bytes.extend(addr.octets()),
        IpAddr::V6(addr) => bytes.extend(addr.octets()),
    }
}

fn v4(addr: IpAddr) -> Ipv4Addr {
    match addr {
        IpAddr::V4(addr) => addr,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// `bytes` with their checksum in its place.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let sum = checksum::checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn the_version_of_a_query_is_told_by_its_length_and_its_code() {
        let read = |bytes: &[u8]| parse(&sealed(bytes.to_vec()));
        let query = |bytes: &[u8]| match read(bytes) {
            Ok(Message::Query(query)) => query,
            other => panic!("{other:?}"),
        };
        let v1 = query(&[0x11, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((v1.version, v1.group, v1.max_delay), (Version::V1, None, Duration::from_secs(10)));
        let v2 = query(&[0x11, 25, 0, 0, 239, 1, 2, 3]);
        assert_eq!(
            (v2.version, v2.group, v2.max_delay),
            (Version::V2, Some(addr("239.1.2.3")), Duration::from_millis(2500))
        );
        let v3 = query(&[0x11, 0x8f, 0, 0, 239, 1, 2, 3, 0x0a, 0x90, 0, 2, 10, 0, 0, 1, 10, 0, 0, 2]);
        assert_eq!(
            v3,
            Query {
                version: Version::V3,
                group: Some(addr("239.1.2.3")),
                sources: vec![addr("10.0.0.1"), addr("10.0.0.2")],
                max_delay: Duration::from_millis(100) * (0x1f << 3),
                robustness: Some(2),
                interval: Some(Duration::from_secs(0x10 << 4)),
            }
        );
        for bad in [
            &[0x11, 0, 0, 0, 0, 0, 0][..],
            &[0x11, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x11, 0, 0, 0, 239, 1, 2, 3, 0, 0, 0, 2, 10, 0, 0, 1],
        ] {
            assert_eq!(read(bad), Err(DropReason::IgmpMalformed), "{bad:?}");
        }
        assert_eq!(read(&[0x16, 0, 0, 0, 239, 1, 2, 3]), Ok(Message::Member(addr("239.1.2.3"))));
        assert_eq!(read(&[0x17, 0, 0, 0, 239, 1, 2, 3]), Ok(Message::Other));
        assert_eq!(parse(&[0x11, 0, 0, 0, 0, 0, 0, 0]), Err(DropReason::IgmpMalformed), "checksum");
    }

    #[test]
    fn reports_are_laid_out_as_the_rfcs_draw_them() {
        let group = addr("239.1.2.3");
        let (to, bytes) = emit(&Report::Member(Version::V2, group));
        assert_eq!((to.to_string().as_str(), &bytes[..]), ("239.1.2.3", &[0x16, 0, 0xf8, 0xfa, 239, 1, 2, 3][..]));
        let (to, bytes) = emit(&Report::Left(group));
        assert_eq!((to.to_string().as_str(), bytes[0], checksum::checksum(&bytes)), ("224.0.0.2", 0x17, 0));
        assert_eq!(emit(&Report::Member(Version::V1, group)).1[0], 0x12);
        let records = vec![
            Record { kind: RecordKind::ToExclude, group, sources: vec![] },
            Record { kind: RecordKind::Allow, group: addr("232.0.0.1"), sources: vec![addr("10.0.0.1")] },
        ];
        let len = 8 + records.iter().map(record_len).sum::<usize>();
        let (to, bytes) = emit(&Report::Records(records));
        assert_eq!((to.to_string().as_str(), checksum::checksum(&bytes), bytes.len()), ("224.0.0.22", 0, len));
        assert_eq!(bytes[4..16], [0, 0, 0, 2, 4, 0, 0, 0, 239, 1, 2, 3]);
        assert_eq!(bytes[16..], [5, 0, 0, 1, 232, 0, 0, 1, 10, 0, 0, 1]);
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40)) {
            // Whatever it is: it is read without a panic, and nothing short is taken for a message.
            if parse(&sealed([&[0; 4][..], &bytes].concat())).is_ok() {
                proptest::prop_assert!(bytes.len() + 4 >= HEADER_LEN);
            }
        }
    }
}
