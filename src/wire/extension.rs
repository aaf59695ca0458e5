//! IPv6's extension headers (RFC 8200 4): the chain from the IPv6 header to the transport.
//!
//! The headers are taken in their order and each by its length; nobody looks ahead (4). How many there may be, of headers
//! and of options, is bounded as RFC 8504 5.3 allows, so that no packet costs more than its bytes are worth.

use super::ip::Fragment;
use super::protocol::{ICMPV6, TCP, UDP};
use super::{ipv6, tcp, udp};
use core::ops::Range;

/// Hop-by-Hop Options.
pub const HOP_BY_HOP: u8 = 0;
/// Routing.
pub const ROUTING: u8 = 43;
/// Fragment.
pub const FRAGMENT: u8 = 44;
/// There is nothing behind this header.
pub const NO_NEXT: u8 = 59;
/// Destination Options.
pub const DESTINATION: u8 = 60;

/// The length of a fragment header, in bytes.
pub const FRAGMENT_LEN: usize = 8;

/// Extension headers that a packet may have, and options other than padding that a header may have: as many as Linux
/// takes (`max_hbh_opts_number`).
const MAX: usize = 8;

/// Bytes of padding in one place (RFC 8504 5.3): more is never needed to align anything.
const MAX_PADDING: usize = 7;

/// What the chain leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// What is there: a transport, or [`NO_NEXT`]. Of a fragment, what its payload begins with if it is the first.
    pub protocol: u8,
    /// Where the byte stands that says so, in the packet; of a fragment, the one that leads to its fragment header.
    pub named_at: usize,
    /// Where it begins, in the packet; of a fragment, right behind its fragment header.
    pub start: usize,
    /// Set if the packet is a part of a larger one; an atomic fragment (RFC 6946) is not.
    pub fragment: Option<Fragment>,
}

/// Why a chain cannot be followed. The numbers are offsets in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends before its headers do, or holds more of them than anybody needs.
    Discard,
    /// A field makes no sense.
    Field(usize),
    /// A next header that may not stand there.
    NextHeader(usize),
    /// An option that we do not know and that asks to be dropped; `told` says whether its sender asks to be told.
    Option {
        /// Where it stands.
        at: usize,
        /// Whether a Parameter Problem is to be sent.
        told: bool,
    },
    /// A first fragment without the whole chain (RFC 7112).
    Incomplete,
}

/// Follows the chain of `packet` (from the first byte of its header to its end) whose IPv6 header names `first`.
/// `multicast` says that it is not for us alone.
///
/// # Errors
/// See [`Fault`].
#[inline]
pub fn walk(packet: &[u8], first: u8, multicast: bool) -> Result<Upper, Fault> {
    let upper = Upper { protocol: first, named_at: ipv6::NEXT_HEADER, start: ipv6::HEADER_LEN, fragment: None };
    if is_extension(first) { follow(packet, upper, multicast) } else { Ok(upper) }
}

fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION)
}

fn follow(packet: &[u8], mut upper: Upper, multicast: bool) -> Result<Upper, Fault> {
    for _ in 0..=MAX {
        let (kind, at) = (upper.protocol, upper.start);
        if !is_extension(kind) {
            return Ok(upper);
        }
        if kind == HOP_BY_HOP && at != ipv6::HEADER_LEN {
            return Err(Fault::NextHeader(upper.named_at));
        }
        let header = extent(packet, kind, at).ok_or(Fault::Discard)?;
        match kind {
            ROUTING => check_routing(&packet[header.clone()], at)?,
            FRAGMENT => {
                if let Some(fragment) = fragment(&packet[header.clone()]) {
                    if fragment.offset == 0 && !has_whole_chain(packet, at) {
                        return Err(Fault::Incomplete);
                    }
                    let (protocol, start) = (packet[at], header.end);
                    return Ok(Upper { protocol, named_at: upper.named_at, start, fragment: Some(fragment) });
                }
            }
            _ => check_options(&packet[header.clone()], at, multicast)?,
        }
        upper = Upper { protocol: packet[at], named_at: at, start: header.end, fragment: None };
    }
    Err(Fault::Discard)
}

/// Where the extension header at `at` lies, if all of it is there.
fn extent(packet: &[u8], kind: u8, at: usize) -> Option<Range<usize>> {
    let &[_, len, ..] = packet.get(at..at + 8)? else { return None };
    let len = if kind == FRAGMENT { FRAGMENT_LEN } else { 8 + 8 * usize::from(len) };
    (at + len <= packet.len()).then_some(at..at + len)
}

/// What a fragment header says; `None` if the fragment is all of the packet (atomic).
fn fragment(header: &[u8]) -> Option<Fragment> {
    let &[_, _, a, b, id @ ..] = header.first_chunk::<FRAGMENT_LEN>()?;
    let field = u16::from_be_bytes([a, b]);
    let (offset, more) = (field & !7, field & 1 == 1);
    (offset > 0 || more).then_some(Fragment { id: u32::from_be_bytes(id), offset, more })
}

/// We know no type of routing, type 0 least of all (RFC 5095): what has been routed to its end is skipped.
fn check_routing(header: &[u8], at: usize) -> Result<(), Fault> {
    const TYPE: usize = 2;
    const SEGMENTS_LEFT: usize = 3;
    if header[SEGMENTS_LEFT] == 0 { Ok(()) } else { Err(Fault::Field(at + TYPE)) }
}

/// Walks the options of a header at `at`. We know none but padding, so each is treated as its two highest bits ask.
fn check_options(header: &[u8], at: usize, multicast: bool) -> Result<(), Fault> {
    const PAD1: u8 = 0;
    const PADN: u8 = 1;
    let (mut i, mut padding, mut options) = (2, 0, 0);
    while let Some(&kind) = header.get(i) {
        if kind == PAD1 {
            (i, padding) = (i + 1, padding + 1);
        } else {
            let len = match header.get(i + 1) {
                Some(&len) if i + 2 + usize::from(len) <= header.len() => 2 + usize::from(len),
                _ => return Err(Fault::Field(at + i)),
            };
            match kind {
                PADN => padding += len,
                _ => {
                    match kind >> 6 {
                        0 => {}
                        1 => return Err(Fault::Option { at: at + i, told: false }),
                        2 => return Err(Fault::Option { at: at + i, told: true }),
                        _ => return Err(Fault::Option { at: at + i, told: !multicast }),
                    }
                    (padding, options) = (0, options + 1);
                }
            }
            i += len;
        }
        if padding > MAX_PADDING || options > MAX {
            return Err(Fault::Discard);
        }
    }
    Ok(())
}

/// Whether the first fragment whose fragment header is at `at` holds all headers, the transport's fixed part included.
fn has_whole_chain(packet: &[u8], at: usize) -> bool {
    let upper = skip_from(packet, FRAGMENT, at);
    let needed = match upper.protocol {
        TCP => tcp::MIN_HEADER_LEN,
        UDP => udp::HEADER_LEN,
        ICMPV6 => super::icmpv6::HEADER_LEN,
        _ => 0,
    };
    !is_extension(upper.protocol) && upper.start + needed <= packet.len()
}

/// What the chain of `packet` leads to, whatever is in its headers: that of a packet of our own, quoted back to us, or
/// one that we drop. If the chain is cut off, an extension header is left as what it leads to.
pub fn skip(packet: &[u8], first: u8) -> Upper {
    let upper = skip_from(packet, first, ipv6::HEADER_LEN);
    if upper.start == ipv6::HEADER_LEN { Upper { named_at: ipv6::NEXT_HEADER, ..upper } } else { upper }
}

fn skip_from(packet: &[u8], kind: u8, at: usize) -> Upper {
    let mut upper = Upper { protocol: kind, named_at: at, start: at, fragment: None };
    for _ in 0..=MAX {
        let at = upper.start;
        if !is_extension(upper.protocol) {
            break;
        }
        let Some(header) = extent(packet, upper.protocol, at) else { break };
        let found = if upper.protocol == FRAGMENT { fragment(&packet[header.clone()]) } else { None };
        let fragment = upper.fragment.or(found);
        upper = Upper { protocol: packet[at], named_at: at, start: header.end, fragment };
        if fragment.is_some_and(|fragment| fragment.offset > 0) {
            break; // what follows are not headers
        }
    }
    upper
}
