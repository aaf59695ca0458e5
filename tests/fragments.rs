//! Datagrams and echoes that no packet of the link holds, between two stacks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::error::Error;
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, MtuDiscovery, Stack, UdpId};
use tunstack::time::Instant;
use tunstack::wire::{Offloads, RxFrame, ip};

const NOW: Instant = Instant::from_millis(5000);

/// Two stacks with both families, on links of `mtu` bytes, and a socket of each for datagrams to the other.
struct Pair {
    stacks: [Stack; 2],
    /// The longest packet carried, and how many.
    longest: usize,
    carried: usize,
}

fn addresses(host: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into());
    [Ipv4Addr::new(192, 0, 2, host).into(), v6.into()]
}

impl Pair {
    fn new(mtu: usize, offloads: Offloads) -> Pair {
        let stacks = [1, 2].map(|host| {
            let [v4, v6] = addresses(host);
            let mut addresses = vec![Cidr::new(v4, 24)];
            if mtu >= 1280 {
                addresses.push(Cidr::new(v6, 64));
            }
            let config = Config { addresses, mtu, offloads, ..Config::default() };
            Stack::new(config, Rng::seed_from(host.into()), NOW).expect("a valid configuration")
        });
        Pair { stacks, longest: 0, carried: 0 }
    }

    /// Sockets of both on port 9 of their addresses of a family.
    fn sockets(&mut self, family: usize) -> [UdpId; 2] {
        [0, 1].map(|i| {
            let local = SocketAddr::new(addresses(i as u8 + 1)[family], 9);
            self.stacks[i].udp_bind(local).expect("a free port")
        })
    }

    /// Carries what `from` sends. A device completes what was left to it; fragments are complete.
    fn carry(&mut self, from: usize) {
        let mut device = tunstack::wire::gso::Finisher::default();
        for _ in 0..100_000 {
            let Some(frame) = self.stacks[from].poll_transmit(NOW) else { return };
            let mut packets = Vec::new();
            device.sent(&frame, |bytes, _| packets.push(bytes.to_vec()));
            for bytes in packets {
                (self.longest, self.carried) = (self.longest.max(bytes.len()), self.carried + 1);
                self.stacks[1 - from].on_frame(NOW, RxFrame::plain(Slice::copy_of(&bytes)));
            }
        }
        panic!("output without end");
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 31) >> 4) as u8).collect()
}

/// 1122-42, 1122-46, 5722-1, 8200-15: every boundary there is, over links from the smallest to the largest.
#[test]
fn datagrams_of_every_size() {
    for (mtu, offloads) in [
        (68, Offloads::NONE),
        (576, Offloads::NONE),
        (1280, Offloads::ALL),
        (1500, Offloads::NONE),
        (1500, Offloads::ALL),
        (65_535, Offloads::ALL),
    ] {
        for family in 0..if mtu < 1280 { 1 } else { 2 } {
            let (header, most) = [(20, 65_507), (48, 65_527)][family];
            let mut pair = Pair::new(mtu, offloads);
            let [near, far] = pair.sockets(family);
            let to = SocketAddr::new(addresses(2)[family], 9);
            let each = (mtu - header) / 8 * 8;
            // Around what one packet holds, whole fragments, and the end.
            let around = [mtu - 28, mtu.saturating_sub(48), each - 8, 2 * each - 8, 3 * each - 8, 20_000, most];
            let mut sizes: Vec<usize> = around.iter().flat_map(|&n| n.saturating_sub(2)..=n + 2).collect();
            sizes.extend([0, 1, 7, 8, 9]);
            let mut buf = vec![0; 70_000];
            for len in sizes.into_iter().filter(|&len| len <= most) {
                let data = pattern(len);
                assert_eq!(pair.stacks[0].udp_send(NOW, near, &data, Some(to)), Ok(len), "{len} bytes over {mtu}");
                pair.carry(0);
                let (n, _) = pair.stacks[1].udp_recv(far, &mut buf, false).expect("it came");
                assert!(buf[..n] == data, "{len} bytes over {mtu}, family {family}");
            }
            let sent = pair.stacks[0].udp_send(NOW, near, &vec![0; most + 1], Some(to));
            assert_eq!(sent, Err(Error::MessageTooLong));
            assert!(pair.longest <= mtu);
            let (out, made) = (pair.stacks[0].stats(), pair.stacks[1].stats());
            assert_eq!(out.ip.fragmented, made.ip.reassembled);
            assert_eq!(made.frames_in, made.delivered + made.held);
            assert!(out.ip.fragments_out >= 2 * out.ip.fragmented);
        }
    }
}

/// To ourselves nothing is cut.
#[test]
fn a_long_datagram_to_ourselves_stays_whole() {
    let mut pair = Pair::new(1500, Offloads::NONE);
    for family in 0..2 {
        let [near, _] = pair.sockets(family);
        let most = [65_507, 65_527][family];
        let own = SocketAddr::new(addresses(1)[family], 9);
        assert_eq!(pair.stacks[0].udp_send(NOW, near, &pattern(most), Some(own)), Ok(most));
        pair.carry(0);
        let mut buf = vec![0; 70_000];
        assert_eq!(pair.stacks[0].udp_recv(near, &mut buf, false).map(|(n, _)| n), Ok(most));
    }
    assert_eq!((pair.carried, pair.stacks[0].stats().ip.fragmented), (0, 0));
}

/// One packet is handed out at a time, and all that waits is the datagram: nothing is made before it is pulled, and what
/// comes meanwhile has its turn between two datagrams.
#[test]
fn fragments_are_pulled() {
    let mut pair = Pair::new(1500, Offloads::ALL);
    let [near, _] = pair.sockets(0);
    let to = SocketAddr::new(addresses(2)[0], 9);
    for _ in 0..2 {
        pair.stacks[0].udp_send(NOW, near, &pattern(65_507), Some(to)).expect("room for two");
    }
    pair.stacks[0].poll_transmit(NOW).expect("a first fragment");
    let tcp = pair.stacks[0].default_tcp_options();
    pair.stacks[0].tcp_connect(NOW, None, SocketAddr::new(to.ip(), 80), tcp).expect("a way there");
    let mut protocols = Vec::new();
    for _ in 0..200 {
        let Some(frame) = pair.stacks[0].poll_transmit(NOW) else { break };
        assert_eq!((frame.meta.gso, frame.meta.partial_checksum.is_some()), (None, frame.header[9] == 6));
        protocols.push(ip::parse(&frame.to_vec()).expect("a good packet").0.protocol);
    }
    assert_eq!(protocols.len(), 44 + 1 + 45);
    assert_eq!(protocols.iter().position(|&p| p == 6), Some(44), "the SYN goes between the two");
}

/// An echo request of any size is answered in fragments; of such answers no more wait than memory is worth.
///
/// 1122-36.
#[test]
fn long_echoes_are_answered_and_few_of_them_wait() {
    let mut pair = Pair::new(1500, Offloads::NONE);
    // A frame as from a link that carries more than ours.
    let data = pattern(8000);
    let mut message = vec![8, 0, 0, 0, 1, 2, 3, 4];
    message.extend_from_slice(&data);
    let sum = tunstack::wire::checksum::checksum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let header = tunstack::wire::ipv4::Ipv4Header {
        src: Ipv4Addr::new(192, 0, 2, 1),
        dst: Ipv4Addr::new(192, 0, 2, 2),
        protocol: 1,
        ttl: 64,
        tos: 0,
        id: 0,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
    };
    let mut bytes = vec![0; 20];
    tunstack::wire::ipv4::emit(&header, message.len(), &mut bytes);
    bytes.extend_from_slice(&message);
    for _ in 0..100 {
        pair.stacks[1].on_frame(NOW, RxFrame::plain(Slice::copy_of(&bytes)));
    }
    pair.carry(1);
    assert_eq!((pair.stacks[1].stats().ip.fragmented, pair.stacks[1].stats().unsent), (64, 36));
    assert_eq!((pair.carried, pair.longest <= 1500), (64 * 6, true));
    assert_eq!(pair.stacks[0].stats().ip.reassembled, 64, "echo replies that nobody asked for");
}

/// 1122-44: the stack's own deadline gives up what is not complete, tells its sender, and goes away with it.
#[test]
fn the_stack_wakes_for_fragments_only_while_it_holds_some() {
    let mut pair = Pair::new(1500, Offloads::NONE);
    assert_eq!(pair.stacks[1].deadline(), None);
    let [near, _] = pair.sockets(1);
    let to = SocketAddr::new(addresses(2)[1], 9);
    pair.stacks[0].udp_send(NOW, near, &pattern(3000), Some(to)).expect("room");
    let first = pair.stacks[0].poll_transmit(NOW).expect("a first fragment").to_vec();
    pair.stacks[1].on_frame(NOW, RxFrame::plain(Slice::copy_of(&first)));
    let due = NOW + Duration::from_secs(60);
    assert_eq!(pair.stacks[1].deadline(), Some(due));
    pair.stacks[1].on_deadline(due);
    let told = pair.stacks[1].poll_transmit(due).expect("Time Exceeded").to_vec();
    let (header, payload) = ip::parse(&told).expect("a good packet");
    assert_eq!((header.protocol, told[payload.start], told[payload.start + 1]), (58, 3, 1));
    assert_eq!(told[payload.start + 8..], first[..told.len() - payload.start - 8]);
    assert_eq!((pair.stacks[1].deadline(), pair.stacks[1].poll_transmit(due).is_none()), (None, true));
    assert_eq!(pair.stacks[1].stats().ip.reassembly_timeouts, 1);
}

/// IPV6_PMTUDISC_PROBE: who measures a path sends what its link carries, whatever is known of the path; others' datagrams
/// are cut to that.
#[test]
fn probes_are_not_cut() {
    let mut pair = Pair::new(1500, Offloads::NONE);
    let [near, far] = pair.sockets(1);
    let [us, to] = [1, 2].map(|host| addresses(host)[1]);
    let to = SocketAddr::new(to, 9);
    pair.stacks[0].udp_connect(near, to).expect("a way there");
    let data = pattern(1400);
    pair.stacks[0].udp_send(NOW, near, &data, None).expect("room");
    let sent = pair.stacks[0].poll_transmit(NOW).expect("a packet").to_vec();
    // A router's link carries 1300.
    let (IpAddr::V6(router), IpAddr::V6(own)) = (to.ip(), us) else { panic!("IPv6") };
    let too_big = tunstack::wire::icmpv6::Icmpv6Header::PacketTooBig { mtu: 1300 };
    let body = &sent[..1000];
    let mut message = vec![0; 8];
    tunstack::wire::icmpv6::emit(&too_big, router, own, body, &mut message);
    message.extend_from_slice(body);
    let header = tunstack::wire::ipv6::Ipv6Header {
        src: router,
        dst: own,
        next_header: 58,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
    };
    let mut bytes = vec![0; 40];
    tunstack::wire::ipv6::emit(&header, message.len(), &mut bytes);
    bytes.extend_from_slice(&message);
    pair.stacks[0].on_frame(NOW, RxFrame::plain(Slice::copy_of(&bytes)));
    assert_eq!(pair.stacks[0].udp_take_error(near), Ok(Some(Error::MessageTooLong)));
    for (choice, packets, longest) in
        [(MtuDiscovery::Want, 2, 1300), (MtuDiscovery::Probe, 1, 1448), (MtuDiscovery::Dont, 2, 1300)]
    {
        pair.stacks[0].udp_options(near).expect("open").mtu_discovery = choice;
        (pair.carried, pair.longest) = (0, 0);
        pair.stacks[0].udp_send(NOW, near, &data, None).expect("room");
        pair.carry(0);
        assert!(pair.carried == packets && pair.longest <= longest, "{choice:?}: {} of {}", pair.carried, pair.longest);
        assert_eq!(pair.stacks[1].udp_recv(far, &mut [0; 2000], false).map(|(n, _)| n), Ok(1400), "{choice:?}");
    }
    pair.stacks[0].udp_options(near).expect("open").mtu_discovery = MtuDiscovery::Probe;
    assert_eq!(pair.stacks[0].udp_send(NOW, near, &pattern(1453), None), Err(Error::MessageTooLong));
}
