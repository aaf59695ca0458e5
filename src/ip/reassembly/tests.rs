//! Fragments in every order, overlapping in every way; and floods of them.

use super::*;
use crate::rng::Rng;
use core::time::Duration;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const US: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

/// Bytes of header before each payload, which reassembly looks into no more than into the payload.
const HEADER: usize = 20;

fn reassembly(change: impl FnOnce(&mut ReassemblyConfig)) -> Reassembly {
    let mut config = ReassemblyConfig::default();
    change(&mut config);
    Reassembly::new(config, Rng::new(Rng::seed_from(1)).key())
}

/// A fragment to be given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    name: Name,
    start: usize,
    more: bool,
    tos: u8,
    data: Vec<u8>,
}

impl Given {
    fn new(id: u32, start: usize, more: bool, data: &[u8]) -> Given {
        Given {
            name: Name { src: PEER, dst: US, id, protocol: 17, interface: 1 },
            start,
            more,
            tos: 0,
            data: data.to_vec(),
        }
    }

    fn end(&self) -> usize {
        self.start + self.data.len()
    }

    fn give(&self, to: &mut Reassembly, now: Instant) -> Outcome {
        let packet = Slice::copy_of(&[&[self.start as u8; HEADER][..], &self.data].concat());
        let place = Fragment { id: self.name.id, offset: self.start as u16, more: self.more };
        let payload = HEADER..packet.len();
        to.insert(now, &Part { name: self.name, place, tos: self.tos, packet: &packet, payload }, &mut 0)
    }
}

fn held(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Held)
}

/// The payload of a packet that is whole now.
fn payload(outcome: Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Whole(whole) => whole.join(&[])[..].to_vec(),
        other => panic!("{other:?}"),
    }
}

fn dropped(outcome: Outcome) -> DropReason {
    match outcome {
        Outcome::Dropped(reason) => reason,
        other => panic!("{other:?}"),
    }
}

/// What is charged is what is held, for each source and in all, and both orders have every packet.
fn check(reassembly: &Reassembly) {
    let cost: usize = reassembly.packets.values().map(|packet| packet.cost).sum();
    assert_eq!((reassembly.memory, reassembly.charged.iter().sum::<usize>()), (cost, cost));
    let len = reassembly.packets.len();
    assert_eq!((reassembly.by_age.len(), reassembly.by_source.len()), (len, len));
    for packet in reassembly.packets.values() {
        let pinned: usize = packet.pieces.iter().map(|piece| piece.data.pinned() + FRAGMENT_OVERHEAD).sum();
        assert_eq!(packet.cost, PACKET_OVERHEAD + pinned);
    }
    assert!(reassembly.memory <= reassembly.config.memory && len <= reassembly.config.packets);
}

/// Every order of the pieces of every way to cut a packet in four places or fewer.
///
/// 1122-8, 1122-42.
#[test]
fn a_packet_comes_together_in_any_order() {
    let whole: Vec<u8> = (0..37).collect();
    for cuts in 0..16usize {
        let mut starts: Vec<usize> = (0..4).filter(|i| cuts >> i & 1 == 1).map(|i| (i + 1) * 8).collect();
        starts.insert(0, 0);
        let end = |i: usize| starts.get(i + 1).map_or(whole.len(), |&next| next);
        let pieces: Vec<Given> = (0..starts.len())
            .map(|i| Given::new(7, starts[i], end(i) < whole.len(), &whole[starts[i]..end(i)]))
            .collect();
        for order in orders(pieces.len()) {
            let mut reassembly = reassembly(|_| {});
            let (last, earlier) = order.split_last().unwrap();
            for &i in earlier {
                assert!(held(&pieces[i].give(&mut reassembly, Instant::ZERO)));
                check(&reassembly);
            }
            assert_eq!(payload(pieces[*last].give(&mut reassembly, Instant::ZERO)), whole, "{order:?} of {starts:?}");
            assert_eq!((reassembly.len(), reassembly.memory(), reassembly.deadline()), (0, 0, None));
        }
    }
}

fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = orders(n - 1);
    shorter
        .iter()
        .flat_map(|order| {
            (0..n).map(move |at| {
                let mut order = order.clone();
                order.insert(at, n - 1);
                order
            })
        })
        .collect()
}

/// Whether two fragments can be of the same packet (RFC 8200 4.5): they are the same, or lie apart and neither goes on
/// where the other says that the packet ends.
fn compatible(a: &Given, b: &Given) -> bool {
    let apart = a.end() <= b.start || b.end() <= a.start;
    a == b || apart && (a.more || b.end() <= a.end()) && (b.more || a.end() <= b.end())
}

/// All sequences of up to four fragments of a packet of three units, whole or forged, each with or without others behind
/// it: every overlap in every order. What is delivered is never made of fragments that contradict each other, it is what
/// they hold, and whatever is free of contradiction and of holes is delivered.
///
/// 5722-2, 8200-12, attack-28.
#[test]
fn every_overlap_in_every_order() {
    let true_bytes: Vec<u8> = (0..24).collect();
    let forged: Vec<u8> = (100..124).collect();
    let mut all = Vec::new();
    for (start, end) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
        for more in [true, false] {
            all.push(Given::new(7, start * 8, more, &true_bytes[start * 8..end * 8]));
        }
    }
    all.push(Given::new(7, 0, true, &forged[..8]));
    all.push(Given::new(7, 8, true, &forged[8..16]));
    let (mut delivered, mut refused) = (0, 0);
    let n = all.len();
    for sequence in 0..n.pow(4) {
        let sequence: Vec<&Given> = (0..4).map(|i| &all[sequence / n.pow(i) % n]).collect();
        let mut reassembly = reassembly(|_| {});
        let mut before: Vec<&Given> = Vec::new();
        for given in &sequence {
            let outcome = given.give(&mut reassembly, Instant::ZERO);
            before.push(given);
            let consistent = before.iter().all(|a| before.iter().all(|b| compatible(a, b)));
            let made = consistent.then(|| join(&before)).flatten();
            match (&outcome, &made) {
                (Outcome::Whole(_), Some(_)) => {
                    assert_eq!(Some(payload(outcome)), made, "{sequence:?}");
                    before.clear();
                    delivered += 1;
                }
                (Outcome::Held, None) => assert!(consistent, "{sequence:?}"),
                (Outcome::Dropped(DropReason::FragmentDuplicate), None) => assert!(consistent, "{sequence:?}"),
                (Outcome::Dropped(DropReason::FragmentOverlap), None) => {
                    assert!(!consistent, "{sequence:?}");
                    refused += 1;
                }
                other => panic!("{other:?} of {sequence:?}"),
            }
        }
        check(&reassembly);
    }
    assert!(delivered > 1000 && refused > 10_000, "{delivered} delivered, {refused} refused");
}

/// The payload that consistent fragments make up, if nothing is missing.
fn join(given: &[&Given]) -> Option<Vec<u8>> {
    let len = given.iter().find(|g| !g.more)?.end();
    let mut bytes = vec![None; len];
    for g in given {
        for (place, &byte) in bytes[g.start..g.end()].iter_mut().zip(&g.data) {
            *place = Some(byte);
        }
    }
    bytes.into_iter().collect()
}

proptest! {
    /// Cut anywhere, in any order, some of it twice, several packets at once: each comes out as it went in.
    #[test]
    fn whatever_the_cuts_and_the_order(
        lens in proptest::collection::vec(1usize..3000, 1..5),
        cuts in proptest::collection::vec(1usize..400, 0..8),
        order in any::<u64>(),
        twice in 0.0f64..0.5,
    ) {
        let mut rng = Rng::new(Rng::seed_from(order));
        let packets: Vec<Vec<u8>> = lens.iter().map(|&len| (0..len).map(|_| rng.u32() as u8).collect()).collect();
        let mut pieces = Vec::new();
        for (id, packet) in packets.iter().enumerate() {
            let mut starts: Vec<usize> = cuts.iter().map(|cut| cut * 8).filter(|&at| at < packet.len()).collect();
            starts.push(0);
            starts.sort_unstable();
            starts.dedup();
            starts.push(packet.len());
            for pair in starts.windows(2) {
                let more = pair[1] < packet.len();
                pieces.push(Given::new(id as u32, pair[0], more, &packet[pair[0]..pair[1]]));
            }
        }
        for i in (1..pieces.len()).rev() {
            pieces.swap(i, rng.between(0, i as u64) as usize);
        }
        let mut reassembly = reassembly(|_| {});
        let mut made = vec![None; packets.len()];
        for piece in &pieces {
            for _ in 0..1 + u8::from(rng.chance(twice)) {
                let done = made[piece.name.id as usize].is_some();
                match piece.give(&mut reassembly, Instant::ZERO) {
                    Outcome::Whole(whole) if !done => made[piece.name.id as usize] = Some(whole.join(&[])[..].to_vec()),
                    Outcome::Held | Outcome::Dropped(DropReason::FragmentDuplicate) => {}
                    // A second copy of what was one fragment alone.
                    Outcome::Whole(whole) => prop_assert_eq!(whole.join(&[]).len(), piece.data.len()),
                    other => panic!("{other:?}"),
                }
                check(&reassembly);
            }
        }
        prop_assert_eq!(made, packets.into_iter().map(Some).collect::<Vec<_>>());
    }

    /// Whatever comes, the books are kept and the bounds hold.
    #[test]
    fn no_fragments_break_it(
        given in proptest::collection::vec((0u32..6, 0usize..20, any::<bool>(), 1usize..200, any::<u8>(), 0u64..40_000), 0..60),
        memory in prop_oneof![Just(0usize), 600usize..5000],
        packets in 0usize..5,
    ) {
        let mut reassembly = reassembly(|c| (c.memory, c.packets) = (memory, packets));
        let mut now = Instant::ZERO;
        for (id, start, more, len, byte, ms) in given {
            let mut given = Given::new(id, start * 8, more, &vec![byte; len]);
            given.tos = byte;
            given.name.src = IpAddr::V4(Ipv4Addr::from_bits(id % 3 + 1));
            given.give(&mut reassembly, now);
            check(&reassembly);
            now += Duration::from_millis(ms);
            while reassembly.expire(now).is_some() {}
            check(&reassembly);
            prop_assert!(reassembly.deadline().is_none_or(|at| at > now));
        }
    }
}

/// What has contradicted itself stays away until its time is over, and is forgotten then.
///
/// 5722-2.
#[test]
fn an_overlap_is_dropped_whole_with_what_comes_later() {
    let mut reassembly = reassembly(|_| {});
    let [first, over, last] = [(0, true, 16), (8, true, 16), (16, false, 8)]
        .map(|(start, more, len)| Given::new(7, start, more, &vec![1; len]));
    assert!(held(&first.give(&mut reassembly, Instant::ZERO)));
    assert_eq!(dropped(over.give(&mut reassembly, Instant::from_millis(1))), DropReason::FragmentOverlap);
    assert_eq!(reassembly.memory(), PACKET_OVERHEAD, "what has come is freed");
    for late in [&last, &first, &over] {
        let before_its_end = Instant::from_millis(59_999);
        assert_eq!(dropped(late.give(&mut reassembly, before_its_end)), DropReason::FragmentOverlap);
    }
    let at = Instant::from_millis(60_000);
    assert_eq!(reassembly.deadline(), Some(at));
    assert!(matches!(reassembly.expire(at), Some(None)), "and nobody is told");
    assert!(held(&first.give(&mut reassembly, at)));
    assert_eq!(payload(last.give(&mut reassembly, at)), vec![1; 24]);
}

/// 8200-9, 1122-45.
#[test]
fn the_time_counts_from_the_first_that_came() {
    let mut reassembly = reassembly(|_| {});
    let [first, second] = [0, 8].map(|start| Given::new(7, start, true, &[9; 8]));
    assert_eq!(reassembly.deadline(), None);
    second.give(&mut reassembly, Instant::ZERO);
    first.give(&mut reassembly, Instant::from_millis(59_000));
    Given::new(8, 8, true, &[9; 8]).give(&mut reassembly, Instant::from_millis(30_000));
    assert_eq!(reassembly.deadline(), Some(Instant::from_millis(60_000)));
    assert!(reassembly.expire(Instant::from_millis(59_999)).is_none());
    let told = reassembly.expire(Instant::from_millis(60_000)).expect("it is over").expect("the first fragment came");
    assert_eq!((told.len(), &told[HEADER..]), (HEADER + 8, &[9; 8][..]));
    assert!(reassembly.expire(Instant::from_millis(60_000)).is_none(), "the other has half a minute yet");
    assert!(matches!(reassembly.expire(Instant::from_millis(90_000)), Some(None)), "its first fragment did not come");
    assert_eq!((reassembly.len(), reassembly.deadline()), (0, None));
}

/// 3168-8: all pairs of codepoints.
#[test]
fn congestion_is_neither_forgotten_nor_told_to_those_without_ecn() {
    for (a, b) in (0..16).map(|n| (n & 3, n >> 2)) {
        let mut reassembly = reassembly(|_| {});
        let [mut first, mut last] = [(0, true), (8, false)].map(|(start, more)| Given::new(7, start, more, &[1; 8]));
        (first.tos, last.tos) = (0xb8 | a, 0x20 | b);
        last.give(&mut reassembly, Instant::ZERO);
        match first.give(&mut reassembly, Instant::ZERO) {
            Outcome::Whole(whole) if a == 3 || b == 3 => assert_eq!((whole.tos, a * b > 0), (0xb8 | 3, true)),
            Outcome::Whole(whole) => assert_eq!(whole.tos, 0xb8 | a, "the first fragment's"),
            other => assert_eq!((dropped(other), a.max(b), a.min(b)), (DropReason::FragmentEcn, 3, 0)),
        }
        assert_eq!(reassembly.len(), 0);
    }
}

#[test]
fn addresses_protocol_and_identification_tell_packets_apart() {
    let mut reassembly = reassembly(|_| {});
    let first = Given::new(7, 0, true, &[1; 8]);
    assert!(held(&first.give(&mut reassembly, Instant::ZERO)));
    let change: [fn(&mut Name); 4] =
        [|n| n.id = 8, |n| n.protocol = 1, |n| n.src = IpAddr::V6(Ipv6Addr::LOCALHOST), |n| n.dst = PEER];
    for change in change {
        let mut last = Given::new(7, 8, false, &[2; 8]);
        change(&mut last.name);
        assert!(held(&last.give(&mut reassembly, Instant::ZERO)), "{last:?}");
    }
    assert_eq!(reassembly.len(), 5);
}

/// The longest packet over the smallest link comes through; with one fragment more than that it is given up.
#[test]
fn as_many_fragments_as_any_link_makes() {
    let mut reassembly = reassembly(|_| {});
    let whole: Vec<u8> = (0..65_515u32).map(|i| (i / 7) as u8).collect();
    let mut last = Outcome::Held;
    for (i, piece) in whole.chunks(48).enumerate() {
        let start = i * 48;
        last = Given::new(7, start, start + piece.len() < whole.len(), piece).give(&mut reassembly, Instant::ZERO);
    }
    assert_eq!(payload(last), whole);
    for i in 0..MAX_FRAGMENTS {
        assert!(held(&Given::new(8, i * 16, true, &[0; 8]).give(&mut reassembly, Instant::ZERO)));
    }
    let more = Given::new(8, MAX_FRAGMENTS * 16, true, &[0; 8]);
    assert_eq!(dropped(more.give(&mut reassembly, Instant::ZERO)), DropReason::FragmentLimit);
    assert_eq!(dropped(more.give(&mut reassembly, Instant::ZERO)), DropReason::FragmentOverlap);
    check(&reassembly);
}

/// Hosts on two links may have the same address, and number their packets alike.
#[test]
fn fragments_from_two_links_are_of_two_packets() {
    let mut reassembly = reassembly(|_| {});
    let by = |interface, start, more, data: &[u8]| {
        let given = Given::new(7, start, more, data);
        Given { name: Name { interface, ..given.name }, ..given }
    };
    assert!(held(&by(1, 0, true, &[1; 8]).give(&mut reassembly, Instant::ZERO)));
    assert!(held(&by(2, 8, false, &[2; 8]).give(&mut reassembly, Instant::ZERO)));
    assert_eq!(payload(by(1, 8, false, &[1; 8]).give(&mut reassembly, Instant::ZERO)), [1; 16]);
    assert_eq!(payload(by(2, 0, true, &[2; 8]).give(&mut reassembly, Instant::ZERO)), [2; 16]);
}

/// A fragment does not pin the chunk that it was read into.
#[test]
fn little_is_held_for_a_little_fragment() {
    let mut reassembly = reassembly(|_| {});
    for start in [0, 800] {
        let mut chunk = crate::buf::Pool::new(1).take();
        chunk.append(&[7; HEADER + 800]);
        let packet = chunk.freeze();
        let place = Fragment { id: 7, offset: start, more: true };
        let name = Name { src: PEER, dst: US, id: 7, protocol: 17, interface: 1 };
        let part = Part { name, place, tos: 0, packet: &packet, payload: HEADER..packet.len() };
        assert!(held(&reassembly.insert(Instant::ZERO, &part, &mut 0)));
    }
    assert_eq!(reassembly.memory(), PACKET_OVERHEAD + 2 * (FRAGMENT_OVERHEAD + 800) + HEADER);
}

/// What a flood leaves of honest packets of `pieces` fragments, one packet each 5 ms, each complete within 100 ms.
struct Flood {
    /// First fragments each second.
    rate: u64,
    /// Bytes of each.
    len: usize,
    /// Whether each comes from another address.
    spoofed: bool,
    /// Fragments of an honest packet.
    pieces: u64,
}

impl Flood {
    /// Runs for five seconds of virtual time and gives the honest packets sent, and those that came through.
    fn run(&self) -> (u64, u64) {
        let mut reassembly = reassembly(|_| {});
        let honest = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
        let (end, step) = (5_000_000_000 / self.rate * self.rate, 1_000_000_000 / self.rate);
        let every = 5_000_000;
        let between = 100_000_000 / self.pieces;
        let mut events: Vec<(u64, Option<(u64, u64)>)> = (0..end / step).map(|n| (n * step, None)).collect();
        // Not before the memory is full.
        let sent = (end - 1_000_000_000 - 100_000_000) / every;
        for packet in 0..sent {
            let from = 1_000_000_000 + packet * every;
            events.extend((0..self.pieces).map(|piece| (from + piece * between, Some((packet, piece)))));
        }
        events.sort_unstable();
        let mut through = 0;
        for (n, (at, honest_piece)) in events.iter().enumerate() {
            let now = Instant::from_nanos(*at);
            while reassembly.expire(now).is_some() {}
            match *honest_piece {
                None => {
                    let mut first = Given::new(n as u32, 0, true, &vec![0; self.len]);
                    if self.spoofed {
                        first.name.src = IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + n as u32 * 7));
                    }
                    first.give(&mut reassembly, now);
                }
                Some((packet, piece)) => {
                    let mut part =
                        Given::new(packet as u32, piece as usize * 1480, piece + 1 < self.pieces, &[3; 1480]);
                    part.name.src = honest;
                    through += u64::from(matches!(part.give(&mut reassembly, now), Outcome::Whole(_)));
                }
            }
            assert!(reassembly.memory() <= reassembly.config.memory);
            assert!(reassembly.len() <= reassembly.config.packets);
        }
        check(&reassembly);
        (sent, through)
    }
}

/// The bound of memory is full all the time, of one stranger's or of as many strangers' as there are fragments, small
/// ones and large ones; and still at least 95 of 100 honest packets come through, be it of two fragments or of forty.
///
/// attack-27.
#[test]
fn a_flood_leaves_honest_packets_alone() {
    for (rate, len, spoofed, pieces) in [
        (5_000, 1480, false, 2),
        (50_000, 1480, false, 40),
        (50_000, 8, false, 2),
        (5_000, 1480, true, 2),
        (5_000, 1480, true, 40),
        (5_000, 8, true, 40),
        (20_000, 8, true, 2),
    ] {
        let (sent, through) = Flood { rate, len, spoofed, pieces }.run();
        assert!(
            through * 100 >= sent * 95,
            "{through} of {sent} packets of {pieces} fragments came through {rate} a second of {len} bytes, spoofed: {spoofed}"
        );
    }
}
