//! What IPv4's ICMP says (RFC 792, 1122 3.2.2, 1191, 1812).

use super::{ErrorKind, Message, Problem};
use crate::stats::DropReason;
use crate::wire::icmp::{self, IcmpHeader, unreachable};

/// The meaning of `header`, or why nothing is done about it.
pub(super) fn read(header: &IcmpHeader) -> Result<Message, DropReason> {
    Ok(match *header {
        IcmpHeader::EchoRequest { rest } => Message::EchoRequest(rest),
        IcmpHeader::EchoReply { rest } => Message::EchoReply(rest),
        // RFC 6633 3: whoever sends it today means harm.
        IcmpHeader::Other { kind: icmp::SOURCE_QUENCH, .. } => return Err(DropReason::IcmpSourceQuench),
        // Nobody on a point-to-point link knows a better way than the routes that we were given.
        IcmpHeader::Other { kind: icmp::REDIRECT, .. } => return Err(DropReason::IcmpRedirect),
        _ => Message::Error(error(header).ok_or(DropReason::IcmpIgnored)?),
    })
}

/// What it says, if it is an error that hosts act on.
fn error(header: &IcmpHeader) -> Option<ErrorKind> {
    use unreachable::*;
    Some(match *header {
        IcmpHeader::DestinationUnreachable { code, mtu } => match code {
            NETWORK | NETWORK_UNKNOWN | NETWORK_TOS => ErrorKind::NetworkUnreachable,
            NETWORK_PROHIBITED | HOST_PROHIBITED | PROHIBITED => ErrorKind::Prohibited,
            PROTOCOL => ErrorKind::ProtocolUnreachable,
            PORT => ErrorKind::PortUnreachable,
            FRAGMENTATION_NEEDED => ErrorKind::PacketTooBig { mtu: u32::from(mtu) },
            _ if code <= LAST => ErrorKind::HostUnreachable,
            _ => return None,
        },
        IcmpHeader::TimeExceeded { code: 0 } => ErrorKind::TtlExceeded,
        IcmpHeader::TimeExceeded { code: 1 } => ErrorKind::ReassemblyTimedOut,
        IcmpHeader::ParameterProblem { pointer, .. } => {
            ErrorKind::ParameterProblem { problem: Problem::Field, pointer: u32::from(pointer) }
        }
        _ => return None,
    })
}

/// The header that says so.
pub(super) fn header(message: Message) -> IcmpHeader {
    let unreachable = |code| IcmpHeader::DestinationUnreachable { code, mtu: 0 };
    match message {
        Message::EchoRequest(rest) => IcmpHeader::EchoRequest { rest },
        Message::EchoReply(rest) => IcmpHeader::EchoReply { rest },
        Message::Error(kind) => match kind {
            ErrorKind::NetworkUnreachable => unreachable(unreachable::NETWORK),
            ErrorKind::HostUnreachable => unreachable(unreachable::HOST),
            ErrorKind::Prohibited => unreachable(unreachable::PROHIBITED),
            ErrorKind::ProtocolUnreachable => unreachable(unreachable::PROTOCOL),
            // The last of them nobody sends.
            ErrorKind::PortUnreachable | ErrorKind::Unknown => unreachable(unreachable::PORT),
            ErrorKind::PacketTooBig { mtu } => IcmpHeader::DestinationUnreachable {
                code: unreachable::FRAGMENTATION_NEEDED,
                mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
            },
            ErrorKind::TtlExceeded => IcmpHeader::TimeExceeded { code: 0 },
            ErrorKind::ReassemblyTimedOut => IcmpHeader::TimeExceeded { code: 1 },
            // An IPv4 header has at most 60 bytes.
            ErrorKind::ParameterProblem { pointer, .. } => {
                IcmpHeader::ParameterProblem { code: 0, pointer: pointer as u8 }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_send_is_what_a_peer_understands() {
        let kinds = [
            ErrorKind::NetworkUnreachable,
            ErrorKind::HostUnreachable,
            ErrorKind::Prohibited,
            ErrorKind::ProtocolUnreachable,
            ErrorKind::PortUnreachable,
            ErrorKind::PacketTooBig { mtu: 1400 },
            ErrorKind::TtlExceeded,
            ErrorKind::ReassemblyTimedOut,
            ErrorKind::ParameterProblem { problem: Problem::Field, pointer: 20 },
        ];
        for kind in kinds {
            let message = Message::Error(kind);
            assert_eq!(read(&header(message)), Ok(message));
            let hard = matches!(kind, ErrorKind::ProtocolUnreachable | ErrorKind::PortUnreachable);
            assert_eq!(kind.is_hard(), hard);
        }
        for echo in [Message::EchoRequest([1, 2, 3, 4]), Message::EchoReply([1, 2, 3, 4])] {
            assert_eq!(read(&header(echo)), Ok(echo));
        }
    }

    #[test]
    fn every_unreachable_code_of_rfc_1812_means_something_and_no_other_does() {
        for code in 0..=255 {
            let kind = error(&IcmpHeader::DestinationUnreachable { code, mtu: 0 });
            assert_eq!(kind.is_some(), code <= 15, "code {code}");
        }
        assert_eq!(error(&IcmpHeader::TimeExceeded { code: 2 }), None);
        // Source quench and redirect (RFC 6633, RFC 1122 3.2.2.2).
        for kind in [4, 5] {
            assert_eq!(error(&IcmpHeader::Other { kind, code: 0, rest: [0; 4] }), None);
        }
    }
}
