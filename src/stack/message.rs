//! Data with all that goes with it: what sendmsg(2) and recvmsg(2) have in their flags, headers and control messages.

use crate::error::Error;
use crate::icmp::ErrorKind;
use core::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How a UDP socket is bound. The default is std's: alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpBind {
    /// SO_REUSEADDR: the address may be shared with sockets that want the same. What is for one of them goes to the last
    /// one bound, what is for a group or a network to each.
    pub reuse_address: bool,
    /// SO_REUSEPORT: as `reuse_address`, but each of the sockets hears a part of the peers, chosen by a keyed hash of the
    /// addresses and ports.
    pub reuse_port: bool,
    /// IPV6_V6ONLY: a socket on `::` takes no IPv4.
    pub only_v6: bool,
    /// Takes the datagrams to every port that no other socket has. The address's port must be zero. What is sent must
    /// say its source port.
    pub every_port: bool,
}

/// How a connection sends what is written to it: the flags of send(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFlags {
    /// More follows soon (MSG_MORE): what does not fill a segment waits for that, as with `cork` of the options.
    pub more: bool,
    /// The last byte is urgent (MSG_OOB; RFC 6093: new applications should not use it, SHLD-13).
    pub urgent: bool,
}

/// A datagram to send.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SendMsg<'a> {
    /// Its data.
    pub data: &'a [u8],
    /// Where it goes; `None` is to the connected peer.
    pub destination: Option<SocketAddr>,
    /// Where it comes from: an address of ours (IP_PKTINFO), and the socket's port, for which zero may stand. A socket of
    /// every port may name any. `None` is as always.
    pub source: Option<SocketAddr>,
    /// If set, `data` is several datagrams of this many bytes each, the last of which may be shorter (UDP_SEGMENT).
    pub segment: Option<usize>,
    /// Its DSCP and ECN byte, if not the socket's.
    pub tos: Option<u8>,
    /// Its TTL, 1 to 255, if not the socket's.
    pub ttl: Option<u8>,
}

impl<'a> SendMsg<'a> {
    /// `data` for `destination`.
    pub fn to(destination: SocketAddr, data: &'a [u8]) -> Self {
        SendMsg { data, destination: Some(destination), ..SendMsg::default() }
    }
}

impl fmt::Debug for SendMsg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SendMsg { data, destination, source, segment, tos, ttl } = self;
        write!(f, "SendMsg({} bytes to {destination:?} from {source:?}, ", data.len())?;
        write!(f, "segment {segment:?}, tos {tos:?}, ttl {ttl:?})")
    }
}

/// What a router or a host said of a datagram of ours (sock_extended_err of ip(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketError {
    /// As a call would fail.
    pub error: Error,
    /// Type and code of the ICMP message, or of ICMPv6's.
    pub message: (u8, u8),
    /// Who said it (SO_EE_OFFENDER).
    pub offender: IpAddr,
    /// Where the datagram went.
    pub destination: SocketAddr,
    /// What the link carries that it was too big for, in bytes; zero if the router did not say.
    pub mtu: Option<u32>,
    /// As much of the datagram's data as was quoted, but at most 1,280 bytes.
    pub data: Vec<u8>,
}

impl SocketError {
    /// What an ICMP error of `kind` says, without what it quotes.
    pub(crate) fn new(kind: ErrorKind, message: (u8, u8), offender: IpAddr, destination: SocketAddr) -> SocketError {
        let mtu = if let ErrorKind::PacketTooBig { mtu } = kind { Some(mtu) } else { None };
        SocketError { error: kind.error(), message, offender, destination, mtu, data: Vec::new() }
    }
}

/// What came with a received datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvMsg {
    /// Bytes in the buffer.
    pub len: usize,
    /// Bytes of the first datagram as it was sent (MSG_TRUNC).
    pub full_len: usize,
    /// Bytes of each datagram in the buffer but the last, if there are several.
    pub segment: usize,
    /// Whether the buffer was too small for the first one; the rest of it is lost.
    pub truncated: bool,
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it was sent to: one of our addresses, a group or a broadcast address, and the port.
    pub destination: SocketAddr,
    /// The TTL or hop limit that it came with.
    pub ttl: u8,
    /// The DSCP and ECN byte that it came with.
    pub tos: u8,
    /// The number of the interface that it came in by, as `if_nametoindex` would give it: 1 is the first.
    pub interface: u32,
}

impl Default for RecvMsg {
    /// Nothing from nowhere: what a list to be filled is made of.
    fn default() -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        RecvMsg {
            len: 0,
            full_len: 0,
            segment: 0,
            truncated: false,
            source: nowhere,
            destination: nowhere,
            ttl: 0,
            tos: 0,
            interface: 0,
        }
    }
}
