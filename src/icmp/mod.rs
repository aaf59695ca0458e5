//! ICMP's errors (RFC 792, 1122 3.2.2): what they mean to a socket, whom they concern, and how many may be sent.
//!
//! Echo and the sending of errors are in [`ip`](crate::ip), which knows the addresses.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod limit;

use crate::buf::Slice;
use crate::error::Error;
use crate::stats::DropReason;
use crate::wire::icmp::{IcmpHeader, unreachable};
use crate::wire::{ipv4, protocol};
use std::net::{IpAddr, SocketAddr};

/// What an ICMP error says, whatever the IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The network cannot be reached.
    NetworkUnreachable,
    /// The host cannot be reached.
    HostUnreachable,
    /// Somebody on the way does not let it pass (communication administratively prohibited).
    Prohibited,
    /// The host does not speak the transport protocol.
    ProtocolUnreachable,
    /// Nobody has the port.
    PortUnreachable,
    /// Too big for a link that must not fragment it.
    PacketTooBig {
        /// That link's MTU in bytes; zero if the router did not say.
        mtu: u32,
    },
    /// The TTL ran out on the way.
    TtlExceeded,
    /// Some of the fragments never came.
    ReassemblyTimedOut,
    /// Something in the header makes no sense.
    ParameterProblem {
        /// The offending byte's offset in the packet.
        pointer: u32,
    },
}

impl ErrorKind {
    /// The meaning of `header`, if it is an error that hosts act on.
    pub(crate) fn from_v4(header: &IcmpHeader) -> Option<ErrorKind> {
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
            IcmpHeader::ParameterProblem { pointer, .. } => ErrorKind::ParameterProblem { pointer: u32::from(pointer) },
            _ => return None,
        })
    }

    /// The header that says so.
    pub(crate) fn to_v4(self) -> IcmpHeader {
        let unreachable = |code| IcmpHeader::DestinationUnreachable { code, mtu: 0 };
        match self {
            ErrorKind::NetworkUnreachable => unreachable(unreachable::NETWORK),
            ErrorKind::HostUnreachable => unreachable(unreachable::HOST),
            ErrorKind::Prohibited => unreachable(unreachable::PROHIBITED),
            ErrorKind::ProtocolUnreachable => unreachable(unreachable::PROTOCOL),
            ErrorKind::PortUnreachable => unreachable(unreachable::PORT),
            ErrorKind::PacketTooBig { mtu } => IcmpHeader::DestinationUnreachable {
                code: unreachable::FRAGMENTATION_NEEDED,
                mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
            },
            ErrorKind::TtlExceeded => IcmpHeader::TimeExceeded { code: 0 },
            ErrorKind::ReassemblyTimedOut => IcmpHeader::TimeExceeded { code: 1 },
            // An IPv4 header has at most 60 bytes.
            ErrorKind::ParameterProblem { pointer } => IcmpHeader::ParameterProblem { code: 0, pointer: pointer as u8 },
        }
    }

    /// Whether the destination itself refused, so that trying again is no use (RFC 1122 4.2.3.9).
    pub fn is_hard(self) -> bool {
        matches!(self, ErrorKind::ProtocolUnreachable | ErrorKind::PortUnreachable)
    }

    /// What the application is told.
    pub fn error(self) -> Error {
        match self {
            ErrorKind::NetworkUnreachable => Error::NetworkUnreachable,
            ErrorKind::PortUnreachable => Error::ConnectionRefused,
            ErrorKind::ProtocolUnreachable | ErrorKind::ParameterProblem { .. } => Error::ProtocolUnreachable,
            ErrorKind::PacketTooBig { .. } => Error::MessageTooLong,
            ErrorKind::HostUnreachable
            | ErrorKind::Prohibited
            | ErrorKind::TtlExceeded
            | ErrorKind::ReassemblyTimedOut => Error::HostUnreachable,
        }
    }
}

/// The transports whose ports stand in the first four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// An ICMP error that was received, and the packet of ours that it is about. Nothing proves that we sent that packet,
/// or that whoever complains is on its way: it is a hint (RFC 1122 3.2.2.1, RFC 5927).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The same as type and code of the message, in its own IP version's numbers.
    pub message: (u8, u8),
    /// Who complains.
    pub offender: IpAddr,
    /// The transport of the packet it is about.
    pub transport: Transport,
    /// Its source: our end.
    pub local: SocketAddr,
    /// Its destination: the peer's end.
    pub remote: SocketAddr,
    /// Its sequence number, if it is TCP (RFC 5927 4.1); else without meaning.
    pub seq: u32,
    /// Its length in bytes, as its own header says.
    pub packet_len: usize,
    /// As much of it as is quoted, from the transport's header on.
    pub quoted: Slice,
}

/// What stands in front of what an error is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Complaint {
    pub(crate) kind: ErrorKind,
    /// Type and code.
    pub(crate) message: (u8, u8),
    /// Who sent it.
    pub(crate) offender: IpAddr,
}

impl Report {
    /// Reads what the error quotes.
    pub(crate) fn read_v4(complaint: Complaint, quoted: &Slice) -> Result<Report, DropReason> {
        let (header, len) = ipv4::parse_quoted(quoted).map_err(|_| DropReason::IcmpMalformed)?;
        if header.fragment_offset > 0 {
            return Err(DropReason::IcmpUnmatched);
        }
        // The header was parsed, so its length field is there.
        let packet_len = usize::from(u16::from_be_bytes([quoted[2], quoted[3]]));
        let rest = quoted.slice(len..quoted.len());
        Report::read(complaint, header.protocol, [header.src.into(), header.dst.into()], packet_len, rest)
    }

    /// Reads the transport's part, the same for both IP versions: `ends` are the quoted packet's source and destination.
    pub(crate) fn read(
        complaint: Complaint,
        protocol: u8,
        ends: [IpAddr; 2],
        packet_len: usize,
        quoted: Slice,
    ) -> Result<Report, DropReason> {
        let transport = match protocol {
            protocol::TCP => Transport::Tcp,
            protocol::UDP => Transport::Udp,
            _ => return Err(DropReason::IcmpUnmatched),
        };
        let &[a, b, c, d, seq @ ..] = quoted.first_chunk::<8>().ok_or(DropReason::IcmpMalformed)?;
        let Complaint { kind, message, offender } = complaint;
        Ok(Report {
            kind,
            message,
            offender,
            transport,
            local: SocketAddr::new(ends[0], u16::from_be_bytes([a, b])),
            remote: SocketAddr::new(ends[1], u16::from_be_bytes([c, d])),
            seq: u32::from_be_bytes(seq),
            packet_len,
            quoted,
        })
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
            ErrorKind::ParameterProblem { pointer: 20 },
        ];
        for kind in kinds {
            assert_eq!(ErrorKind::from_v4(&kind.to_v4()), Some(kind));
            let hard = matches!(kind, ErrorKind::ProtocolUnreachable | ErrorKind::PortUnreachable);
            assert_eq!(kind.is_hard(), hard);
        }
    }

    #[test]
    fn every_unreachable_code_of_rfc_1812_means_something_and_no_other_does() {
        for code in 0..=255 {
            let kind = ErrorKind::from_v4(&IcmpHeader::DestinationUnreachable { code, mtu: 0 });
            assert_eq!(kind.is_some(), code <= 15, "code {code}");
        }
        assert_eq!(ErrorKind::from_v4(&IcmpHeader::TimeExceeded { code: 2 }), None);
        // Source quench and redirect (RFC 6633, RFC 1122 3.2.2.2).
        for kind in [4, 5] {
            assert_eq!(ErrorKind::from_v4(&IcmpHeader::Other { kind, code: 0, rest: [0; 4] }), None);
        }
    }
}
