//! ICMPv6 (RFC 4443): parse and emit.

use super::checksum;
use super::protocol::ICMPV6;
use crate::stats::DropReason;
use std::net::{IpAddr, Ipv6Addr};

/// The length of the header of every message handled here, in bytes.
pub const HEADER_LEN: usize = 8;

const DESTINATION_UNREACHABLE: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
const PARAMETER_PROBLEM: u8 = 4;
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;
/// The first of the types that are no errors (RFC 4443 2.1).
pub const INFORMATIONAL: u8 = 128;
/// Redirect (RFC 4861 4.5).
pub const REDIRECT: u8 = 137;

/// Destination Unreachable's codes (RFC 4443 3.1).
pub mod unreachable {
    /// No route to destination.
    pub const NO_ROUTE: u8 = 0;
    /// Communication with destination administratively prohibited.
    pub const PROHIBITED: u8 = 1;
    /// Beyond scope of source address.
    pub const SCOPE: u8 = 2;
    /// Address unreachable.
    pub const ADDRESS: u8 = 3;
    /// Port unreachable.
    pub const PORT: u8 = 4;
    /// Source address failed ingress/egress policy.
    pub const POLICY: u8 = 5;
    /// Reject route to destination.
    pub const REJECT: u8 = 6;
}

/// Whether an error may be sent about a message of type `kind` (RFC 4443 2.4 e): informational messages but Redirect.
pub fn is_query(kind: u8) -> bool {
    kind >= ECHO_REQUEST && kind != REDIRECT
}

/// The header of an ICMPv6 message. What follows it is echo data, or the packet that an error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icmpv6Header {
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
    },
    /// Packet Too Big.
    PacketTooBig {
        /// The next hop's MTU in bytes.
        mtu: u32,
    },
    /// Time Exceeded.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
    },
    /// Parameter Problem.
    ParameterProblem {
        /// 0 a field, 1 a next header, 2 an option, 3 a first fragment without the whole header chain (RFC 7112).
        code: u8,
        /// The offending byte's offset in the packet.
        pointer: u32,
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

/// Parses and validates the message `bytes`, which came from `src` to `dst`. The body begins at [`HEADER_LEN`].
///
/// # Errors
/// `IcmpMalformed` if there are fewer than eight bytes, `IcmpChecksum`.
pub fn parse(src: Ipv6Addr, dst: Ipv6Addr, bytes: &[u8]) -> Result<Icmpv6Header, DropReason> {
    let &[kind, code, _, _, ref rest @ ..] = bytes.first_chunk::<HEADER_LEN>().ok_or(DropReason::IcmpMalformed)?;
    let mut sum = checksum::pseudo_header(IpAddr::V6(src), IpAddr::V6(dst), ICMPV6, bytes.len());
    sum.add(bytes);
    if sum.checksum() != 0 {
        return Err(DropReason::IcmpChecksum);
    }
    let rest = *rest;
    Ok(match (kind, code) {
        (ECHO_REQUEST, 0) => Icmpv6Header::EchoRequest { rest },
        (ECHO_REPLY, 0) => Icmpv6Header::EchoReply { rest },
        (DESTINATION_UNREACHABLE, code) => Icmpv6Header::DestinationUnreachable { code },
        (PACKET_TOO_BIG, _) => Icmpv6Header::PacketTooBig { mtu: u32::from_be_bytes(rest) },
        (TIME_EXCEEDED, code) => Icmpv6Header::TimeExceeded { code },
        (PARAMETER_PROBLEM, code) => Icmpv6Header::ParameterProblem { code, pointer: u32::from_be_bytes(rest) },
        (kind, code) => Icmpv6Header::Other { kind, code, rest },
    })
}

/// Writes `header` with the checksum over it, `body` and the pseudo-header to the start of `buf`, and gives its length,
/// 8.
///
/// # Panics
/// If `buf` is shorter.
pub fn emit(header: &Icmpv6Header, src: Ipv6Addr, dst: Ipv6Addr, body: &[u8], buf: &mut [u8]) -> usize {
    let (kind, code, rest) = match *header {
        Icmpv6Header::EchoRequest { rest } => (ECHO_REQUEST, 0, rest),
        Icmpv6Header::EchoReply { rest } => (ECHO_REPLY, 0, rest),
        Icmpv6Header::DestinationUnreachable { code } => (DESTINATION_UNREACHABLE, code, [0; 4]),
        Icmpv6Header::PacketTooBig { mtu } => (PACKET_TOO_BIG, 0, mtu.to_be_bytes()),
        Icmpv6Header::TimeExceeded { code } => (TIME_EXCEEDED, code, [0; 4]),
        Icmpv6Header::ParameterProblem { code, pointer } => (PARAMETER_PROBLEM, code, pointer.to_be_bytes()),
        Icmpv6Header::Other { kind, code, rest } => (kind, code, rest),
    };
    buf[..4].copy_from_slice(&[kind, code, 0, 0]);
    buf[4..HEADER_LEN].copy_from_slice(&rest);
    let mut sum = checksum::pseudo_header(IpAddr::V6(src), IpAddr::V6(dst), ICMPV6, HEADER_LEN + body.len());
    sum.add(&buf[..HEADER_LEN]);
    sum.add(body);
    buf[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    HEADER_LEN
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
    const B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

    fn any_header() -> impl Strategy<Value = Icmpv6Header> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(|rest| Icmpv6Header::EchoRequest { rest }),
            any::<[u8; 4]>().prop_map(|rest| Icmpv6Header::EchoReply { rest }),
            any::<u8>().prop_map(|code| Icmpv6Header::DestinationUnreachable { code }),
            any::<u32>().prop_map(|mtu| Icmpv6Header::PacketTooBig { mtu }),
            any::<u8>().prop_map(|code| Icmpv6Header::TimeExceeded { code }),
            any::<(u8, u32)>().prop_map(|(code, pointer)| Icmpv6Header::ParameterProblem { code, pointer }),
            (130..=255u8, any::<u8>(), any::<[u8; 4]>()).prop_map(|(kind, code, rest)| Icmpv6Header::Other {
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
            emit(&header, A, B, &body, &mut bytes);
            bytes.extend_from_slice(&body);
            prop_assert_eq!(parse(A, B, &bytes), Ok(header));
            prop_assert_eq!(parse(A, A, &bytes), Err(DropReason::IcmpChecksum), "the addresses are summed, too");
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(parse(A, B, &bytes).is_err(), "a flipped bit is seen");
        }
    }

    /// Another implementation takes our checksum.
    #[test]
    fn smoltcp_agrees() {
        let mut bytes = vec![0; HEADER_LEN];
        emit(&Icmpv6Header::EchoRequest { rest: [1, 2, 3, 4] }, A, B, b"data", &mut bytes);
        bytes.extend_from_slice(b"data");
        assert!(smoltcp::wire::Icmpv6Packet::new_checked(&bytes[..]).unwrap().verify_checksum(&A, &B));
    }

    #[test]
    fn a_message_shorter_than_its_header_is_malformed() {
        for len in 0..HEADER_LEN {
            assert_eq!(parse(A, B, &[128; 8][..len]), Err(DropReason::IcmpMalformed), "{len} bytes");
        }
    }
}
