//! ICMP's errors (RFC 792, 1122 3.2.2, 4443): what they mean to a socket, whom they concern, and how many may be sent. The
//! two versions say the same in different numbers: `v4` and `v6` translate.
//!
//! Echo and the sending of errors are in [`ip`](crate::ip), which knows the addresses.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod limit;
mod v4;
mod v6;

use crate::buf::Slice;
use crate::error::Error;
use crate::stats::DropReason;
use crate::wire::{icmp, icmpv6, ip, protocol};
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
        /// What it is.
        problem: Problem,
        /// The offending byte's offset in the packet.
        pointer: u32,
    },
    /// Something that RFC 4443 does not know, but that is an error by its number (ICMPv6; RFC 4443 2.4 a).
    Unknown,
}

/// What makes no sense in a header. IPv4 knows but one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A field.
    Field,
    /// A next header that nobody here knows (IPv6).
    NextHeader,
    /// An option that nobody here knows (IPv6).
    Option,
    /// A first fragment does not hold all of the headers (RFC 7112).
    Chain,
}

impl ErrorKind {
    /// Whether the destination itself refused, so that trying again is no use (RFC 1122 4.2.3.9).
    pub fn is_hard(self) -> bool {
        matches!(self, ErrorKind::ProtocolUnreachable | ErrorKind::PortUnreachable)
    }

    /// What the application is told.
    pub fn error(self) -> Error {
        match self {
            ErrorKind::NetworkUnreachable => Error::NetworkUnreachable,
            ErrorKind::PortUnreachable => Error::ConnectionRefused,
            ErrorKind::ProtocolUnreachable | ErrorKind::ParameterProblem { .. } | ErrorKind::Unknown => {
                Error::ProtocolUnreachable
            }
            ErrorKind::PacketTooBig { .. } => Error::MessageTooLong,
            ErrorKind::HostUnreachable
            | ErrorKind::Prohibited
            | ErrorKind::TtlExceeded
            | ErrorKind::ReassemblyTimedOut => Error::HostUnreachable,
        }
    }
}

/// What an ICMP message asks for or says, whatever the IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// An echo request, with identifier and sequence number.
    EchoRequest([u8; 4]),
    /// The reply to one.
    EchoReply([u8; 4]),
    /// Something is wrong with a packet that it quotes.
    Error(ErrorKind),
}

/// The length of the header of each message, in bytes, over IPv4 and IPv6.
pub const HEADER_LEN: usize = icmp::HEADER_LEN;
const _: () = assert!(HEADER_LEN == icmpv6::HEADER_LEN, "both versions have headers of one length");

impl Message {
    /// Reads and validates the message `bytes`, which came from `src` to `dst`. The body begins at [`HEADER_LEN`].
    ///
    /// # Errors
    /// `IcmpMalformed`, `IcmpChecksum`; `IcmpSourceQuench`, `IcmpRedirect`, `IcmpIgnored` for what hosts do not act on.
    pub(crate) fn read(src: IpAddr, dst: IpAddr, bytes: &[u8]) -> Result<Message, DropReason> {
        match (src, dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => icmpv6::parse(src, dst, bytes).and_then(|header| v6::read(&header)),
            _ => icmp::parse(bytes).and_then(|header| v4::read(&header)),
        }
    }

    /// Writes the message's header, for a message with `body` from `src` to `dst`, to the start of `buf`, and gives its
    /// length.
    pub(crate) fn write(self, src: IpAddr, dst: IpAddr, body: &[u8], buf: &mut [u8]) -> usize {
        match (src, dst) {
            (IpAddr::V6(src), IpAddr::V6(dst)) => icmpv6::emit(&v6::header(self), src, dst, body, buf),
            _ => icmp::emit(&v4::header(self), body, buf),
        }
    }

    /// Whether an error may be sent about the ICMP message that begins with `kind`, in a packet to `addr`: it must be no
    /// error itself.
    pub(crate) fn may_be_complained_about(addr: IpAddr, kind: u8) -> bool {
        if addr.is_ipv4() { icmp::is_query(kind) } else { icmpv6::is_query(kind) }
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
    /// The number of the interface that the complaint came in by.
    pub interface: u8,
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
    /// The number of the interface that it came in by.
    pub(crate) interface: u8,
}

impl Report {
    /// Reads what the error quotes.
    pub(crate) fn read(complaint: Complaint, quoted: &Slice) -> Result<Report, DropReason> {
        let (header, len) = ip::parse_quoted(quoted).map_err(|_| DropReason::IcmpMalformed)?;
        if header.fragment.is_some_and(|fragment| fragment.offset > 0) {
            return Err(DropReason::IcmpUnmatched);
        }
        let transport = match header.protocol {
            protocol::TCP => Transport::Tcp,
            protocol::UDP => Transport::Udp,
            _ => return Err(DropReason::IcmpUnmatched),
        };
        let packet_len = ip::claimed_len(quoted);
        let quoted = quoted.slice(len..quoted.len());
        let &[a, b, c, d, seq @ ..] = quoted.first_chunk::<8>().ok_or(DropReason::IcmpMalformed)?;
        let Complaint { kind, message, offender, interface } = complaint;
        Ok(Report {
            kind,
            message,
            offender,
            interface,
            transport,
            local: SocketAddr::new(header.src, u16::from_be_bytes([a, b])),
            remote: SocketAddr::new(header.dst, u16::from_be_bytes([c, d])),
            seq: u32::from_be_bytes(seq),
            packet_len,
            quoted,
        })
    }
}
