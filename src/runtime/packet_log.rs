//! A tap that writes every packet into the log, for people to read.

use super::Tap;
use crate::device::pcap::comment;
use crate::stats::Disposition;
use crate::time::Instant;
use crate::trace::TraceEvent;
use crate::wire::{RxFrame, TxFrame};
use core::fmt;
use smoltcp::wire::{Ipv4Packet, Ipv6Packet, PrettyPrinter};

/// The log target of the packets.
pub const PACKET_TARGET: &str = "tunstack::packets";

/// Writes every packet, as smoltcp's pretty printer shows it, at level trace with the target [`PACKET_TARGET`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketLog;

impl Tap for PacketLog {
    fn rx(
        &mut self,
        _: Instant,
        frame: &RxFrame,
        disposition: Disposition,
        events: &mut dyn Iterator<Item = TraceEvent>,
    ) {
        if log::log_enabled!(target: PACKET_TARGET, log::Level::Trace) {
            let comment = comment(events, Some(disposition));
            log::trace!(target: PACKET_TARGET, "{}", Line { arrow: "<- ", packet: &frame.data, comment: &comment });
        }
    }

    fn tx(&mut self, _: Instant, frame: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>) {
        if log::log_enabled!(target: PACKET_TARGET, log::Level::Trace) {
            let (packet, comment) = (frame.to_vec(), comment(events, None));
            log::trace!(target: PACKET_TARGET, "{}", Line { arrow: "-> ", packet: &packet, comment: &comment });
        }
    }

    fn flush(&mut self) {
        log::logger().flush();
    }
}

/// One packet as text.
struct Line<'a> {
    arrow: &'static str,
    packet: &'a [u8],
    comment: &'a str,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { arrow, packet, comment } = self;
        match packet.first().map(|byte| byte >> 4) {
            Some(4) if !quotes(packet, 9, ICMP, &[3, 4, 5, 11, 12]) => {
                write!(f, "{}", PrettyPrinter::<Ipv4Packet<&[u8]>>::new(arrow, packet))?;
            }
            Some(6) if !quotes(packet, 6, ICMPV6, &[1, 2, 3, 4, 137]) => {
                write!(f, "{}", PrettyPrinter::<Ipv6Packet<&[u8]>>::new(arrow, packet))?;
            }
            Some(4 | 6) => write!(f, "{arrow}an ICMP error, {} bytes", packet.len())?,
            _ => write!(f, "{arrow}no IP packet, {} bytes", packet.len())?,
        }
        if comment.is_empty() { Ok(()) } else { write!(f, "  [{comment}]") }
    }
}

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Whether the packet is an ICMP error. The printer follows the packet that such a one quotes, and the one that that
/// quotes, as deep as a hostile sender likes, until the thread has no stack left; so it does not get to see any.
fn quotes(packet: &[u8], protocol_at: usize, icmp: u8, errors: &[u8]) -> bool {
    let header = if icmp == ICMP { usize::from(packet[0] & 15) * 4 } else { 40 };
    packet.get(protocol_at) == Some(&icmp) && packet.get(header).is_none_or(|kind| errors.contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::Sum;

    fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
        let mut packet = vec![0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let mut sum = Sum::default();
        sum.add(&packet);
        packet[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
        packet.extend_from_slice(payload);
        packet
    }

    fn text(packet: &[u8], comment: &str) -> String {
        Line { arrow: "<- ", packet, comment }.to_string()
    }

    #[test]
    fn packets_are_legible() {
        let syn = [0, 80, 0x30, 0x39, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
        let line = text(&ipv4(6, &syn), "LISTEN -> SYN-RECEIVED (rcv SYN)");
        for part in ["<- IPv4", "192.0.2.1", "TCP src=80 dst=12345", "syn", "[LISTEN -> SYN-RECEIVED"] {
            assert!(line.contains(part), "{part} in {line}");
        }
        assert!(text(b"", "").contains("no IP packet"));
        assert!(text(b"\x12garbage", "").contains("no IP packet"));
    }

    #[test]
    fn every_cut_packet_is_printed_without_a_panic() {
        for protocol in [1, 6, 17, 58, 99] {
            for kind in 0..=255 {
                let whole = ipv4(protocol, &[kind; 48]);
                for len in 0..whole.len() {
                    text(&whole[..len], "");
                    let mut v6 = whole[..len].to_vec();
                    v6.first_mut().map(|byte| *byte = 0x60);
                    text(&v6, "");
                }
            }
        }
    }

    #[test]
    fn quotes_in_quotes_are_not_followed() {
        let mut packet = ipv4(17, &[0; 8]);
        while packet.len() < 60_000 {
            let mut icmp = vec![3, 1, 0, 0, 0, 0, 0, 0];
            icmp.extend_from_slice(&packet);
            packet = ipv4(1, &icmp);
        }
        assert_eq!(text(&packet, ""), format!("<- an ICMP error, {} bytes", packet.len()));
    }
}
