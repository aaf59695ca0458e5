//! A tap that writes every packet into the log, for people to read.

use super::Tap;
use crate::device::pcap::comment;
use crate::stats::Disposition;
use crate::time::Instant;
use crate::trace::TraceEvent;
use crate::wire::{RxFrame, TxFrame, pretty};

/// The log target of the packets.
pub const PACKET_TARGET: &str = "tunstack::packets";

/// Writes every packet, as smoltcp's pretty printer shows it, at level trace with the target [`PACKET_TARGET`].
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketLog;

fn line(arrow: &str, packet: &[u8], comment: &str) -> String {
    let end = if comment.is_empty() { "" } else { "  # " };
    format!("{arrow} {}{end}{comment}", pretty::pretty(packet))
}

impl Tap for PacketLog {
    fn rx(
        &mut self,
        _: Instant,
        frame: &RxFrame,
        disposition: Disposition,
        events: &mut dyn Iterator<Item = TraceEvent>,
    ) {
        if log::log_enabled!(target: PACKET_TARGET, log::Level::Trace) {
            let text = line("<-", &frame.data, &comment(events, Some(disposition)));
            log::trace!(target: PACKET_TARGET, "{text}");
        }
    }

    fn tx(&mut self, _: Instant, frame: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>) {
        if log::log_enabled!(target: PACKET_TARGET, log::Level::Trace) {
            let text = line("->", &frame.to_vec(), &comment(events, None));
            log::trace!(target: PACKET_TARGET, "{text}");
        }
    }

    fn flush(&mut self) {
        log::logger().flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_with_its_direction_and_comment() {
        assert_eq!(line("<-", &[], "dropped: truncated"), "<- (empty)  # dropped: truncated");
        assert_eq!(line("->", &[], ""), "-> (empty)");
    }
}
