//! What the internet layer answers by itself: echo replies, and ICMP errors with RFC 1122's silences and the rate limit.

use super::{ICMP, Ip, Outgoing, Packet};
use crate::buf::Slice;
use crate::icmp::ErrorKind;
use crate::stats::Stats;
use crate::time::Instant;
use crate::wire::icmp::{self, IcmpHeader};
use crate::wire::{RxFrame, TxFrame, gso, ipv4};
use std::net::IpAddr;

/// The largest ICMP error, in bytes (RFC 1812 4.3.2.3).
const MAX_ERROR: usize = 576;

impl Ip {
    /// The reply to an echo request with `rest` in its second word: the same data back from the address that was asked.
    pub(super) fn echo_reply(&mut self, frame: &RxFrame, packet: &Packet, rest: [u8; 4]) -> TxFrame {
        let data = frame.data.slice(packet.bytes.start + icmp::HEADER_LEN..packet.bytes.end).compact();
        // A reply has its request's type of service (RFC 1122 3.2.2), but the ECN bits are not its own to echo.
        self.message(packet.dst, packet.src, packet.tos & !3, &IcmpHeader::EchoReply { rest }, data)
    }

    /// An ICMP error about `frame`, which [`input`](Ip::input) took: nothing if RFC 1122 3.2.2 forbids it, or the rate
    /// limit. It quotes as much as 576 bytes hold of what a wire would have carried.
    pub fn error_about(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        kind: ErrorKind,
        stats: &mut Stats,
    ) -> Option<TxFrame> {
        let (header, payload) = ipv4::parse(&frame.data).ok()?;
        let (src, dst) = (IpAddr::V4(header.src), IpAddr::V4(header.dst));
        let about_error = header.protocol == ICMP
            && frame.data[payload.clone()].first().is_none_or(|&message| !icmp::is_query(message));
        let silent = about_error || header.fragment_offset > 0 || !self.is_local(dst) || !self.addresses.is_host(src);
        if silent {
            return None;
        }
        if !self.errors.take(now) {
            stats.icmp_errors_limited += 1;
            return None;
        }
        stats.icmp_errors_sent += 1;
        let room = MAX_ERROR.min(self.mtu) - ipv4::MIN_HEADER_LEN - icmp::HEADER_LEN;
        let packet = gso::first_packet(frame);
        let quoted = Slice::copy_of(&packet[..payload.end.min(packet.len()).min(room)]);
        Some(self.message(dst, src, 0, &kind.to_v4(), quoted))
    }

    fn message(&mut self, src: IpAddr, dst: IpAddr, tos: u8, header: &IcmpHeader, body: Slice) -> TxFrame {
        let mut frame = TxFrame::default();
        let out = Outgoing { src, dst, protocol: ICMP, ttl: self.ttl, tos, dont_fragment: false };
        let start = self.output(&out, icmp::HEADER_LEN + body.len(), &mut frame.header);
        let len = icmp::emit(header, &body, &mut frame.header.space()[start..]);
        frame.header.set_len(start + len);
        frame.payload.push(body);
        frame
    }
}
