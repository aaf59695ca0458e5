//! What a ping socket makes of ICMP messages: replies to its echo requests, and errors about them.

use crate::error::{Error, Result};
use crate::icmp::{self, ErrorKind, Message};
use crate::ip::inbox::Inbox;
use crate::ip::{ICMP, ICMPV6, Packet};
use crate::wire::{RxFrame, ip as header};
use std::net::IpAddr;

/// The type of echo requests, in IPv4's and in IPv6's numbers.
const ECHO_REQUEST: [u8; 2] = [8, 128];

/// What came back for an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Who sent it: whoever was asked, or whoever complains.
    pub source: IpAddr,
    /// The sequence number of the request.
    pub sequence: u16,
    /// Bytes of data in the buffer. With an error, of the packet that it quotes.
    pub len: usize,
    /// Bytes of data that came.
    pub full_len: usize,
    /// The TTL or hop limit that it came with.
    pub ttl: u8,
    /// The DSCP and ECN byte that it came with.
    pub tos: u8,
    /// Set if it is no reply but an error.
    pub error: Option<EchoError>,
}

/// An error about an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EchoError {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The same as type and code of the message, in its own IP version's numbers.
    pub message: (u8, u8),
    /// Whom the request was for.
    pub destination: IpAddr,
}

/// Whose an ICMP message is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Concern {
    pub(super) ident: u16,
    /// Who was asked.
    pub(super) peer: IpAddr,
}

/// From where and to where a packet went.
type Ends = (IpAddr, IpAddr);

/// The echo request with this identifier and sequence number.
pub(super) fn request(ident: u16, sequence: u16) -> Message {
    let ([a, b], [c, d]) = (ident.to_be_bytes(), sequence.to_be_bytes());
    Message::EchoRequest([a, b, c, d])
}

/// Whose the message in a received packet is, if it is a valid reply to an echo request or error about one. `ours` says
/// whether we can have sent what an error is about.
pub(super) fn read(protocol: u8, packet: &Packet, frame: &[u8], ours: impl Fn(Ends) -> bool) -> Option<Concern> {
    if protocol != if packet.dst.is_ipv4() { ICMP } else { ICMPV6 } || !packet.unicast {
        return None;
    }
    let message = &frame[packet.bytes.clone()];
    match Message::read(packet.src, packet.dst, message).ok()? {
        Message::EchoRequest(_) => None,
        Message::EchoReply([a, b, ..]) => Some(Concern { ident: u16::from_be_bytes([a, b]), peer: packet.src }),
        Message::Error(_) => {
            let (quoted, ends) = quoted_request(&message[icmp::HEADER_LEN..]).filter(|&(_, ends)| ours(ends))?;
            Some(Concern { ident: u16::from_be_bytes([quoted[4], quoted[5]]), peer: ends.1 })
        }
    }
}

/// An ICMP error, and the packet of ours that it is about.
pub(super) struct Complaint<'a> {
    pub(super) kind: ErrorKind,
    /// Type and code.
    pub(super) message: (u8, u8),
    /// Of the packet: its protocol, where it went from and to, and what follows its headers, as far as it is quoted.
    pub(super) protocol: u8,
    pub(super) ends: Ends,
    pub(super) data: &'a [u8],
}

/// The error in a received packet, if it is a valid one about the first part of some packet.
pub(super) fn complaint<'a>(protocol: u8, packet: &Packet, frame: &'a RxFrame) -> Option<Complaint<'a>> {
    if protocol != if packet.dst.is_ipv4() { ICMP } else { ICMPV6 } || !packet.unicast {
        return None;
    }
    let message = &frame.data[packet.bytes.clone()];
    let Message::Error(kind) = Message::read(packet.src, packet.dst, message).ok()? else { return None };
    let quoted = &message[icmp::HEADER_LEN..];
    let (header, len) = header::parse_quoted(quoted).ok()?;
    if header.fragment.is_some_and(|fragment| fragment.offset > 0) {
        return None;
    }
    let (protocol, ends) = (header.protocol, (header.src, header.dst));
    Some(Complaint { kind, message: (message[0], message[1]), protocol, ends, data: quoted.get(len..)? })
}

/// The first eight bytes of the echo request that an error quotes, and its ends.
fn quoted_request(quoted: &[u8]) -> Option<(&[u8; icmp::HEADER_LEN], Ends)> {
    let (header, len) = header::parse_quoted(quoted).ok()?;
    let message = quoted.get(len..)?.first_chunk()?;
    let whole = header.fragment.is_none_or(|fragment| fragment.offset == 0);
    let is_icmp = matches!((header.protocol, header.dst), (ICMP, IpAddr::V4(_)) | (ICMPV6, IpAddr::V6(_)));
    let is_request = whole && is_icmp && message[0] == ECHO_REQUEST[usize::from(header.dst.is_ipv6())];
    is_request.then_some((message, (header.src, header.dst)))
}

/// Takes the next message from `inbox`, where only such are that [`read`] has found to be its socket's.
pub(super) fn pop(inbox: &mut Inbox, buf: &mut [u8]) -> Result<Echo> {
    let (envelope, message) = inbox.front().ok_or(Error::WouldBlock)?;
    let (source, destination) = (envelope.from.ip(), envelope.to);
    let body = &message[icmp::HEADER_LEN..];
    let error = match Message::read(source, destination, message) {
        Ok(Message::Error(kind)) => quoted_request(body)
            .map(|(quoted, (_, to))| (quoted, EchoError { kind, message: (message[0], message[1]), destination: to })),
        _ => None,
    };
    let sequence = error.map_or(&message[6..8], |(quoted, _)| &quoted[6..8]);
    let len = body.len().min(buf.len());
    buf[..len].copy_from_slice(&body[..len]);
    let echo = Echo {
        source,
        sequence: u16::from_be_bytes([sequence[0], sequence[1]]),
        len,
        full_len: body.len(),
        ttl: envelope.ttl,
        tos: envelope.tos,
        error: error.map(|(_, error)| error),
    };
    inbox.skip();
    Ok(echo)
}
