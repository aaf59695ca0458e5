//! ICMP for IPv4 (RFC 792, 1191): parse and emit.

use super::checksum;
use crate::stats::DropReason;

/// The length of the header of every message handled here, in bytes.
pub const HEADER_LEN: usize = 8;

/// Destination Unreachable's codes (RFC 792, 1122 3.2.2.1).
pub mod unreachable {
    /// Net unreachable.
    pub const NETWORK: u8 = 0;
    /// Host unreachable.
    pub const HOST: u8 = 1;
    /// Protocol unreachable.
    pub const PROTOCOL: u8 = 2;
    /// Port unreachable.
    pub const PORT: u8 = 3;
    /// Fragmentation needed and DF set.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Destination network unknown.
    pub const NETWORK_UNKNOWN: u8 = 6;
    /// Destination network administratively prohibited.
    pub const NETWORK_PROHIBITED: u8 = 9;
    /// Destination host administratively prohibited.
    pub const HOST_PROHIBITED: u8 = 10;
    /// Network unreachable for this type of service.
    pub const NETWORK_TOS: u8 = 11;
    /// Communication administratively prohibited, by a filter (RFC 1812 5.2.7.1).
    pub const PROHIBITED: u8 = 13;
    /// The last code that RFC 1812 knows: precedence cut-off.
    pub const LAST: u8 = 15;
}

const ECHO_REPLY: u8 = 0;
const DESTINATION_UNREACHABLE: u8 = 3;
/// Source Quench, which RFC 6633 has abolished.
pub const SOURCE_QUENCH: u8 = 4;
/// Redirect.
pub const REDIRECT: u8 = 5;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// Whether `kind` asks, answers or announces. About such messages, and about no other ICMP message, an error may be
/// sent (RFC 1122 3.2.2): a type that we do not know may be an error.
pub fn is_query(kind: u8) -> bool {
    // Echo, router advertisement and solicitation, time stamp, information, address mask.
    matches!(kind, ECHO_REPLY | ECHO_REQUEST | 9 | 10 | 13..=18)
}

/// The header of an ICMP message. What follows it is echo data, or the packet that an error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpHeader {
    /// An echo request.
    EchoRequest {
        /// Identifier and sequence number, which the reply repeats.
        rest: [u8; 4],
    },
    /// An echo reply.
    EchoReply {
        /// Identifier and sequence number of the request.
        rest: [u8; 4],
    },
    /// Destination Unreachable.
    DestinationUnreachable {
        /// Why; see [`unreachable`](mod@unreachable).
        code: u8,
        /// The next hop's MTU, with fragmentation needed; zero from routers older than RFC 1191.
        mtu: u16,
    },
    /// Time Exceeded.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
    },
    /// Parameter Problem.
    ParameterProblem {
        /// 0: the pointer says where.
        code: u8,
        /// The offending byte's offset in the quoted header.
        pointer: u8,
    },
    /// Any other type.
    Other {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The second word.
        rest: [u8; 4],
    },
}

/// Parses and validates the message `bytes` (an IP payload). The body begins at [`HEADER_LEN`].
///
/// # Errors
/// `IcmpMalformed` if there are fewer than eight bytes, `IcmpChecksum`.
pub fn parse(bytes: &[u8]) -> Result<IcmpHeader, DropReason> {
    let &[kind, code, _, _, ref rest @ ..] = bytes.first_chunk::<HEADER_LEN>().ok_or(DropReason::IcmpMalformed)?;
    if checksum::checksum(bytes) != 0 {
        return Err(DropReason::IcmpChecksum);
    }
    let rest = *rest;
    Ok(match (kind, code) {
        (ECHO_REQUEST, 0) => IcmpHeader::EchoRequest { rest },
        (ECHO_REPLY, 0) => IcmpHeader::EchoReply { rest },
        (DESTINATION_UNREACHABLE, code) => {
            IcmpHeader::DestinationUnreachable { code, mtu: u16::from_be_bytes([rest[2], rest[3]]) }
        }
        (TIME_EXCEEDED, code) => IcmpHeader::TimeExceeded { code },
        (PARAMETER_PROBLEM, code) => IcmpHeader::ParameterProblem { code, pointer: rest[0] },
        (kind, code) => IcmpHeader::Other { kind, code, rest },
    })
}

/// Writes `header` with the checksum over it and `body` to the start of `buf`, and gives its length, 8.
///
/// # Panics
/// If `buf` is shorter.
pub fn emit(header: &IcmpHeader, body: &[u8], buf: &mut [u8]) -> usize {
    let (kind, code, rest) = match *header {
        IcmpHeader::EchoRequest { rest } => (ECHO_REQUEST, 0, rest),
        IcmpHeader::EchoReply { rest } => (ECHO_REPLY, 0, rest),
        IcmpHeader::DestinationUnreachable { code, mtu } => {
            let [high, low] = mtu.to_be_bytes();
            (DESTINATION_UNREACHABLE, code, [0, 0, high, low])
        }
        IcmpHeader::TimeExceeded { code } => (TIME_EXCEEDED, code, [0; 4]),
        IcmpHeader::ParameterProblem { code, pointer } => (PARAMETER_PROBLEM, code, [pointer, 0, 0, 0]),
        IcmpHeader::Other { kind, code, rest } => (kind, code, rest),
    };
    buf[..4].copy_from_slice(&[kind, code, 0, 0]);
    buf[4..HEADER_LEN].copy_from_slice(&rest);
    let mut sum = checksum::Sum::default();
    sum.add(&buf[..HEADER_LEN]);
    sum.add(body);
    buf[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    HEADER_LEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_header() -> impl Strategy<Value = IcmpHeader> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|rest| IcmpHeader::EchoRequest { rest }),
            any::<[u8; 4]>().prop_map(|rest| IcmpHeader::EchoReply { rest }),
            any::<(u8, u16)>().prop_map(|(code, mtu)| IcmpHeader::DestinationUnreachable { code, mtu }),
            any::<u8>().prop_map(|code| IcmpHeader::TimeExceeded { code }),
            any::<(u8, u8)>().prop_map(|(code, pointer)| IcmpHeader::ParameterProblem { code, pointer }),
            (13..=255u8, any::<u8>(), any::<[u8; 4]>()).prop_map(|(kind, code, rest)| IcmpHeader::Other {
                kind,
                code,
                rest
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(
            header in any_header(),
            body in proptest::collection::vec(any::<u8>(), 0..50),
            flip in any::<proptest::sample::Index>(),
        ) {
            let mut bytes = vec![0; HEADER_LEN];
            emit(&header, &body, &mut bytes);
            bytes.extend_from_slice(&body);
            prop_assert_eq!(parse(&bytes), Ok(header));
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(parse(&bytes).is_err(), "a flipped bit is seen");
        }

        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if parse(&bytes).is_ok() {
                prop_assert!(bytes.len() >= HEADER_LEN);
            }
        }
    }

    #[test]
    fn a_message_shorter_than_its_header_is_malformed() {
        for len in 0..HEADER_LEN {
            assert_eq!(parse(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0][..len]), Err(DropReason::IcmpMalformed), "{len} bytes");
        }
    }
}
