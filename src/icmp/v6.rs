//! What ICMPv6 says (RFC 4443).

use super::{ErrorKind, Message, Problem};
use crate::stats::DropReason;
use crate::wire::icmpv6::{self, Icmpv6Header, unreachable};

/// The meaning of `header`, or why nothing is done about it.
pub(super) fn read(header: &Icmpv6Header) -> Result<Message, DropReason> {
    Ok(match *header {
        Icmpv6Header::EchoRequest { rest } => Message::EchoRequest(rest),
        Icmpv6Header::EchoReply { rest } => Message::EchoReply(rest),
        Icmpv6Header::Other { kind: icmpv6::REDIRECT, .. } => return Err(DropReason::IcmpRedirect),
        // Whoever has sent the packet may know what it means (RFC 4443 2.4 a).
        Icmpv6Header::Other { kind, .. } if kind < icmpv6::INFORMATIONAL => Message::Error(ErrorKind::Unknown),
        _ => Message::Error(error(header).ok_or(DropReason::IcmpIgnored)?),
    })
}

/// What it says, if it is an error that hosts act on.
fn error(header: &Icmpv6Header) -> Option<ErrorKind> {
    use unreachable::*;
    Some(match *header {
        Icmpv6Header::DestinationUnreachable { code } => match code {
            NO_ROUTE | SCOPE => ErrorKind::NetworkUnreachable,
            PROHIBITED | POLICY | REJECT => ErrorKind::Prohibited,
            ADDRESS => ErrorKind::HostUnreachable,
            PORT => ErrorKind::PortUnreachable,
            _ => return None,
        },
        Icmpv6Header::PacketTooBig { mtu } => ErrorKind::PacketTooBig { mtu },
        Icmpv6Header::TimeExceeded { code: 0 } => ErrorKind::TtlExceeded,
        Icmpv6Header::TimeExceeded { code: 1 } => ErrorKind::ReassemblyTimedOut,
        // The transport is a next header that the destination does not know.
        Icmpv6Header::ParameterProblem { code: 1, .. } => ErrorKind::ProtocolUnreachable,
        Icmpv6Header::ParameterProblem { code, pointer } => {
            let problem = match code {
                0 => Problem::Field,
                2 => Problem::Option,
                3 => Problem::Chain,
                _ => return None,
            };
            ErrorKind::ParameterProblem { problem, pointer }
        }
        _ => return None,
    })
}

/// The header that says so.
pub(super) fn header(message: Message) -> Icmpv6Header {
    let unreachable = |code| Icmpv6Header::DestinationUnreachable { code };
    match message {
        Message::EchoRequest(rest) => Icmpv6Header::EchoRequest { rest },
        Message::EchoReply(rest) => Icmpv6Header::EchoReply { rest },
        Message::Error(kind) => match kind {
            ErrorKind::NetworkUnreachable => unreachable(unreachable::NO_ROUTE),
            ErrorKind::HostUnreachable => unreachable(unreachable::ADDRESS),
            // Whoever complains knows where the next header stands, and says so by the other kind.
            ErrorKind::ProtocolUnreachable => Icmpv6Header::ParameterProblem { code: 1, pointer: 0 },
            ErrorKind::Prohibited => unreachable(unreachable::PROHIBITED),
            // The last of them nobody sends.
            ErrorKind::PortUnreachable | ErrorKind::Unknown => unreachable(unreachable::PORT),
            ErrorKind::PacketTooBig { mtu } => Icmpv6Header::PacketTooBig { mtu },
            ErrorKind::TtlExceeded => Icmpv6Header::TimeExceeded { code: 0 },
            ErrorKind::ReassemblyTimedOut => Icmpv6Header::TimeExceeded { code: 1 },
            ErrorKind::ParameterProblem { problem, pointer } => {
                let code = match problem {
                    Problem::Field => 0,
                    Problem::NextHeader => 1,
                    Problem::Option => 2,
                    Problem::Chain => 3,
                };
                Icmpv6Header::ParameterProblem { code, pointer }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_send_is_what_a_peer_understands() {
        let problem = |problem| ErrorKind::ParameterProblem { problem, pointer: 70_000 };
        let kinds = [
            ErrorKind::NetworkUnreachable,
            ErrorKind::HostUnreachable,
            ErrorKind::Prohibited,
            ErrorKind::ProtocolUnreachable,
            ErrorKind::PortUnreachable,
            ErrorKind::PacketTooBig { mtu: 70_000 },
            ErrorKind::TtlExceeded,
            ErrorKind::ReassemblyTimedOut,
            problem(Problem::Field),
            problem(Problem::Option),
            problem(Problem::Chain),
        ];
        for kind in kinds {
            assert_eq!(read(&header(Message::Error(kind))), Ok(Message::Error(kind)));
        }
        let unknown = Message::Error(problem(Problem::NextHeader));
        assert_eq!(header(unknown), Icmpv6Header::ParameterProblem { code: 1, pointer: 70_000 });
        assert_eq!(read(&header(unknown)), Ok(Message::Error(ErrorKind::ProtocolUnreachable)));
        for echo in [Message::EchoRequest([1, 2, 3, 4]), Message::EchoReply([1, 2, 3, 4])] {
            assert_eq!(read(&header(echo)), Ok(echo));
        }
    }

    #[test]
    fn codes_that_rfc_4443_does_not_know_mean_nothing() {
        for code in 0..=255 {
            let unreachable = error(&Icmpv6Header::DestinationUnreachable { code });
            assert_eq!(unreachable.is_some(), code <= 6, "code {code}");
            let problem = error(&Icmpv6Header::ParameterProblem { code, pointer: 0 });
            assert_eq!(problem.is_some(), code <= 3, "code {code}");
            assert_eq!(error(&Icmpv6Header::TimeExceeded { code }).is_some(), code <= 1, "code {code}");
        }
    }
}
