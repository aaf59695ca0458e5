//! A packet of ours that is too long for its way, cut into fragments, one at a time: what is not pulled yet takes no
//! memory but the packet's own.

use crate::buf::Slices;
use crate::wire::ip::Fragment;
use crate::wire::{TxFrame, TxHeader, checksum, extension, fragment, ipv6};

/// A packet being cut.
#[derive(Debug)]
pub struct Fragments {
    /// The IP header and what follows it in the frame's header, the transport's.
    header: TxHeader,
    ip_len: usize,
    payload: Slices,
    /// Bytes behind the IP header.
    len: usize,
    /// How many of them went.
    at: usize,
    /// The longest fragment.
    mtu: usize,
    id: u32,
    /// The interface that all of them leave by.
    interface: u8,
}

impl Fragments {
    /// Those of `frame`, none of them longer than `mtu` bytes. Over IPv4 they have the packet's own identification, over
    /// IPv6 `id`. Its checksum is over all of it, so it is completed here: no device sees all of it.
    pub(super) fn of(mut frame: TxFrame, mtu: usize, id: u32) -> Fragments {
        checksum::complete(&mut frame);
        let ip_len = header_len(&frame.header);
        let len = frame.len() - ip_len;
        let TxFrame { header, payload, meta } = frame;
        Fragments { header, ip_len, payload, len, at: 0, mtu, id, interface: meta.interface }
    }

    /// The next `n` bytes of what is cut that stand in slices.
    fn take(&mut self, mut n: usize) -> Slices {
        let mut taken = Slices::new();
        while let Some(front) = self.payload.first_mut()
            && n > 0
        {
            let len = front.len().min(n);
            taken.push(front.slice(0..len));
            front.advance(len);
            n -= len;
            if front.is_empty() {
                self.payload.remove(0);
            }
        }
        taken
    }
}

impl Iterator for Fragments {
    type Item = TxFrame;

    fn next(&mut self) -> Option<TxFrame> {
        if self.at >= self.len {
            return None;
        }
        let ip = &self.header[..self.ip_len];
        let own = if ip[0] >> 4 == 4 { self.ip_len } else { ipv6::HEADER_LEN + extension::FRAGMENT_LEN };
        // Every link carries 68 bytes, and an IPv4 header has at most 60: there is room for eight.
        let room = (self.mtu - own).max(8);
        let left = self.len - self.at;
        let len = if left <= room { left } else { room & !7 };
        let place = Fragment { id: self.id, offset: self.at as u16, more: len < left };
        let mut frame = TxFrame::default();
        let start = fragment::emit(ip, place, len, frame.header.space());
        // The transport's header stands in the frame's header, as far as it is in this fragment.
        let transport = &self.header[(self.ip_len + self.at).min(self.header.len())..];
        let n = transport.len().min(len);
        frame.header.space()[start..start + n].copy_from_slice(&transport[..n]);
        frame.header.set_len(start + n);
        frame.payload = self.take(len - n);
        frame.meta.interface = self.interface;
        self.at += len;
        Some(frame)
    }
}

/// The length of the IP header at the start of a packet that we made: we send no extension headers in long packets.
fn header_len(packet: &[u8]) -> usize {
    match packet.first() {
        Some(first) if first >> 4 == 4 => usize::from(first & 0x0f) * 4,
        _ => ipv6::HEADER_LEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Slice;
    use crate::wire::ipv4::Ipv4Header;
    use crate::wire::ipv6::Ipv6Header;
    use crate::wire::{ip, ipv4, protocol};
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    const V4: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2))];
    const V6: [IpAddr; 2] = [
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
    ];

    /// A UDP datagram with `data` behind eight bytes of header, its checksum left to the device if `partial`.
    fn frame([src, dst]: [IpAddr; 2], options: &[u8], data: &[u8], partial: bool) -> TxFrame {
        let mut frame = TxFrame::default();
        let space = frame.header.space();
        let start = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let header = Ipv4Header {
                    src,
                    dst,
                    protocol: protocol::UDP,
                    ttl: 9,
                    tos: 0xb8,
                    id: 0x1234,
                    dont_fragment: false,
                    more_fragments: false,
                    fragment_offset: 0,
                };
                ipv4::emit(&header, options.len() + 8 + data.len(), space);
                let start = 20 + options.len();
                space[20..start].copy_from_slice(options);
                space[0] = 0x40 | (start / 4) as u8;
                space[10..12].fill(0);
                let sum = checksum::checksum(&space[..start]);
                space[10..12].copy_from_slice(&sum.to_be_bytes());
                start
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let (next_header, hop_limit) = (protocol::UDP, 9);
                let header = Ipv6Header { src, dst, next_header, hop_limit, traffic_class: 0xb8, flow_label: 0x12345 };
                ipv6::emit(&header, 8 + data.len(), space)
            }
            _ => panic!("two families"),
        };
        let len = (8 + data.len()) as u16;
        space[start..start + 8].copy_from_slice(&[0, 7, 0, 9, (len >> 8) as u8, len as u8, 0, 0]);
        frame.header.set_len(start + 8);
        // Two slices, so that a fragment's data may lie in both.
        let split = data.len() / 3;
        frame.payload.extend([Slice::copy_of(&data[..split]), Slice::copy_of(&data[split..])]);
        let fill = if partial { checksum::fill_partial } else { checksum::fill };
        fill(&mut frame, src, dst, protocol::UDP, start, 6);
        frame
    }

    /// 5722-1, 6864-1, 7112-1: of no length do the fragments overlap, leave a hole or pass the MTU; the first has all
    /// headers; and what other eyes than ours make of them is the packet.
    fn check(addresses: [IpAddr; 2], mtu: usize, options: &[u8], data: &[u8], partial: bool) {
        let whole = frame(addresses, options, data, false).to_vec();
        let (header, payload) = ip::parse(&whole).expect("a good packet");
        let fragments: Vec<Vec<u8>> =
            Fragments::of(frame(addresses, options, data, partial), mtu, 0xfeed_beef).map(|f| f.to_vec()).collect();
        let mut made = Vec::new();
        let n = fragments.len();
        for (i, bytes) in fragments.iter().enumerate() {
            assert!(bytes.len() <= mtu, "{} bytes", bytes.len());
            let (own, mut at) = ip::parse(bytes).expect("a good fragment");
            assert_eq!(at.end, bytes.len());
            let place = if own.src.is_ipv6() {
                assert_eq!((own.protocol, bytes[40]), (extension::FRAGMENT, header.protocol));
                at.start += 8;
                let field = u16::from_be_bytes([bytes[42], bytes[43]]);
                let id = u32::from_be_bytes([bytes[44], bytes[45], bytes[46], bytes[47]]);
                assert_eq!((id, bytes[41]), (0xfeed_beef, 0));
                (usize::from(field & !7), field & 1 == 1)
            } else {
                let (own, _) = ipv4::parse(bytes).expect("as before");
                assert_eq!((own.id, own.dont_fragment, own.protocol), (0x1234, false, header.protocol));
                (usize::from(own.fragment_offset), own.more_fragments)
            };
            assert_eq!((own.src, own.dst, own.ttl, own.tos), (header.src, header.dst, header.ttl, header.tos));
            assert_eq!(place, (made.len(), i + 1 < n), "in order, without holes");
            assert!(i > 0 || at.len() >= 8, "the first has the transport's header");
            if place.1 {
                assert_eq!(at.len() % 8, 0);
                assert!(bytes.len() + 8 + options.len() > mtu, "as long as may be");
            }
            made.extend_from_slice(&bytes[at]);
        }
        assert_eq!(made, whole[payload.clone()]);
    }

    proptest! {
        #[test]
        fn fragments_make_up_the_packet(
            v6 in any::<bool>(),
            mtu in prop_oneof![68usize..200, 500usize..2000],
            data in proptest::collection::vec(any::<u8>(), 0..6000),
            options in 0usize..4,
            partial in any::<bool>(),
        ) {
            let options: &[u8] = [&[][..], &[1; 4], &[148, 4, 0, 0], &[7, 7, 4, 0, 0, 0, 0, 148, 4, 0, 0, 0]][options];
            if v6 {
                check(V6, mtu + 40, &[], &data, partial);
            } else {
                check(V4, mtu, options, &data, partial);
            }
        }
    }

    #[test]
    fn the_longest_packets() {
        let data: Vec<u8> = (0..65_527u32).map(|i| ((i * 31) >> 5) as u8).collect();
        for mtu in [68, 576, 1500, 9000, 65_535] {
            check(V4, mtu, &[], &data[..65_507], true);
            check(V6, mtu.max(1280), &[], &data, true);
        }
    }

    /// RFC 791 3.1: an option is in every fragment only if it says so.
    #[test]
    fn options_are_copied_as_they_say() {
        let record_route = [7, 7, 4, 0, 0, 0, 0];
        let router_alert = [148, 4, 0, 0];
        let options = [&record_route[..], &router_alert, &[0]].concat();
        let fragments: Vec<Vec<u8>> =
            Fragments::of(frame(V4, &options, &[5; 3000], false), 1500, 0).map(|f| f.to_vec()).collect();
        assert_eq!(fragments[0][20..32], options);
        for later in &fragments[1..] {
            let (_, payload) = ipv4::parse(later).unwrap();
            assert_eq!(later[20..payload.start], router_alert);
        }
    }

    /// What is cut is shared, not copied, and nothing is cut before it is pulled.
    #[test]
    fn no_byte_is_copied() {
        let data = Slice::copy_of(&[1; 5000]);
        let mut whole = frame(V4, &[], &[], false);
        whole.payload = Slices::from_iter([data.clone()]);
        let mut fragments = Fragments::of(whole, 1500, 0);
        let first = fragments.next().unwrap();
        assert_eq!(first.payload[0].as_ptr(), data.as_ptr());
        assert_eq!((first.len(), fragments.count()), (1500, 3));
    }
}
