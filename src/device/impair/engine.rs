//! One direction of a bad link, in virtual time and by seed.

use super::Impairment;
use super::codel::CoDel;
use super::loss::Losses;
use crate::buf::Slice;
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::{checksum, ip, ipv4};
use core::cmp::{Ordering, Reverse};
use core::time::Duration;
use std::collections::BinaryHeap;

/// One direction of a bad link: packets are [pushed](Impairer::push) in and [popped](Impairer::pop) out when they have
/// arrived. It reads no clock and its memory is bounded (see [`Impairment::queue`]). The same seed and the same calls
/// give the same packets at the same times.
#[derive(Debug)]
pub struct Impairer {
    spec: Impairment,
    rng: Rng,
    start: Instant,
    faults: Faults,
    losses: Losses,
    /// What waits for the bottleneck, where CoDel rules that.
    codel: Option<CoDel>,
    on_the_way: BinaryHeap<Reverse<Arrival>>,
    /// Bytes in `on_the_way`.
    held: usize,
    /// When the bottleneck has sent all that waits for it.
    busy_until: Instant,
    /// When the last packet that kept its place arrives; no later one that keeps its place may arrive before.
    last_arrival: Instant,
    pushed: u64,
}

/// What was done to packets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Packets pushed in.
    pub packets: u64,
    /// Lost by chance, in a burst, by number or by pattern.
    pub lost: u64,
    /// Lost in an outage.
    pub outage: u64,
    /// Lost because the queue was full.
    pub overflow: u64,
    /// Lost because CoDel wanted a shorter queue.
    pub codel: u64,
    /// Lost because they were larger than the link's MTU.
    pub too_big: u64,
    /// Marked with Congestion Experienced.
    pub marked: u64,
    /// Damaged.
    pub corrupted: u64,
    /// Made to arrive twice.
    pub duplicated: u64,
    /// Held back for later ones to overtake.
    pub reordered: u64,
}

/// What a link does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on its way, perhaps damaged or delayed. CoDel may still drop it.
    Carried,
    /// Lost by chance, in a burst, by number or by pattern.
    Lost,
    /// Lost in an outage.
    Outage,
    /// Lost because the queue was full.
    Overflow,
    /// Lost because it was larger than the link's MTU.
    TooBig,
}

/// A packet and when it arrives. Ordered by time, then by the order in which they were pushed.
#[derive(Debug)]
struct Arrival {
    at: Instant,
    order: u64,
    packet: Slice,
}

impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Arrival {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Arrival {}

impl Impairer {
    /// A link with nothing on it. Outages and the end of faults count from `start`.
    pub fn new(spec: Impairment, seed: [u8; 32], start: Instant) -> Self {
        Impairer {
            codel: spec.codel.map(|(target, interval)| CoDel::new(target, interval, start)),
            spec,
            rng: Rng::new(seed),
            start,
            faults: Faults::default(),
            losses: Losses::default(),
            on_the_way: BinaryHeap::new(),
            held: 0,
            busy_until: start,
            last_arrival: start,
            pushed: 0,
        }
    }

    /// Sends a packet into the link, and says what becomes of it.
    pub fn push(&mut self, now: Instant, mut packet: Slice) -> Fate {
        self.advance(now);
        self.faults.packets += 1;
        let age = now.since(self.start);
        let faulty = self.faulty(now);
        if faulty && self.spec.outages.iter().any(|&(from, to)| from <= age && age < to) {
            self.faults.outage += 1;
            return Fate::Outage;
        }
        if self.spec.mtu.is_some_and(|mtu| packet.len() > mtu) {
            self.faults.too_big += 1;
            return Fate::TooBig;
        }
        if faulty && self.losses.next(&self.spec, &mut self.rng) {
            self.faults.lost += 1;
            return Fate::Lost;
        }
        if faulty && !packet.is_empty() && self.rng.chance(self.spec.corrupt) {
            self.faults.corrupted += 1;
            packet = self.damage(&packet);
        }
        if faulty && self.rng.chance(self.spec.duplicate) {
            self.faults.duplicated += 1;
            self.enter(now, packet.clone());
        }
        self.enter(now, packet)
    }

    /// The next packet that has arrived by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Slice> {
        self.advance(now);
        let Reverse(arrival) = self.on_the_way.peek()?;
        if arrival.at > now {
            return None;
        }
        let Reverse(Arrival { packet, .. }) = self.on_the_way.pop()?;
        self.held -= packet.len();
        Some(packet)
    }

    /// When a packet may arrive: at the earliest then, if any is on its way.
    pub fn next(&self) -> Option<Instant> {
        let arrival = self.on_the_way.peek().map(|Reverse(arrival)| arrival.at);
        Instant::earlier(arrival, self.next_service())
    }

    /// What was done to packets so far.
    pub fn faults(&self) -> Faults {
        Faults { codel: self.codel.as_ref().map_or(0, CoDel::dropped), ..self.faults }
    }

    fn faulty(&self, now: Instant) -> bool {
        self.spec.until.is_none_or(|end| now.since(self.start) < end)
    }

    /// Puts a packet before the bottleneck, if there is one, and on its way.
    fn enter(&mut self, now: Instant, mut packet: Slice) -> Fate {
        let waiting = match self.spec.rate {
            // Without a bottleneck the queue bounds what is on its way.
            None => self.held,
            Some(rate) => self.waiting(now, rate),
        };
        if waiting + packet.len() > self.spec.queue {
            self.faults.overflow += 1;
            return Fate::Overflow;
        }
        if self.spec.mark.is_some_and(|limit| waiting > limit)
            && let Some(marked) = mark(&packet)
        {
            self.faults.marked += 1;
            packet = marked;
        }
        match (&mut self.codel, self.spec.rate) {
            (_, None) => self.convey(now, now, packet),
            // First come, first served: when a packet leaves is certain as soon as it comes.
            (None, Some(rate)) => {
                let sent = self.serialize(now, packet.len(), rate);
                self.convey(now, sent, packet);
            }
            (Some(queue), Some(_)) => {
                queue.enqueue(now, packet);
                self.advance(now);
            }
        }
        Fate::Carried
    }

    /// Bytes that wait for the bottleneck, what it has not sent yet of the packet at its head included.
    fn waiting(&self, now: Instant, rate: u64) -> usize {
        let sending = self.busy_until.since(now).as_nanos() * u128::from(rate) / (8 * NANOS);
        let queued = self.codel.as_ref().map_or(0, CoDel::bytes);
        usize::try_from(sending).unwrap_or(usize::MAX).saturating_add(queued)
    }

    /// Under CoDel: when the bottleneck takes the next packet.
    fn next_service(&self) -> Option<Instant> {
        self.codel.as_ref()?.head().map(|since| since.max(self.busy_until))
    }

    /// Lets the bottleneck take all packets that it takes by `now`.
    fn advance(&mut self, now: Instant) {
        while let (Some(at), Some(rate)) = (self.next_service(), self.spec.rate)
            && at <= now
        {
            if let Some(packet) = self.codel.as_mut().and_then(|queue| queue.dequeue(at)) {
                let sent = self.serialize(at, packet.len(), rate);
                self.convey(at, sent, packet);
            }
        }
    }

    /// Puts a packet on its way at `sent`.
    fn convey(&mut self, now: Instant, sent: Instant, packet: Slice) {
        let mut at = sent + self.spec.delay + self.jitter();
        if self.faulty(now) && self.rng.chance(self.spec.reorder) {
            self.faults.reordered += 1;
            at += self.spec.gap;
        } else {
            at = at.max(self.last_arrival);
            self.last_arrival = at;
        }
        self.held += packet.len();
        self.pushed += 1;
        self.on_the_way.push(Reverse(Arrival { at, order: self.pushed, packet }));
    }

    /// When the bottleneck has sent `len` more bytes.
    fn serialize(&mut self, now: Instant, len: usize, rate: u64) -> Instant {
        let nanos = (len as u128 * 8 * NANOS).div_ceil(u128::from(rate));
        self.busy_until = self.busy_until.max(now) + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.busy_until
    }

    fn jitter(&mut self) -> Duration {
        let most = u64::try_from(self.spec.jitter.as_nanos()).unwrap_or(u64::MAX);
        if most == 0 { Duration::ZERO } else { Duration::from_nanos(self.rng.between(0, most)) }
    }

    /// A copy with `bits` different bits flipped.
    fn damage(&mut self, packet: &[u8]) -> Slice {
        let mut bytes = packet.to_vec();
        let bits = bytes.len() as u64 * 8;
        let mut flipped: Vec<u64> = Vec::new();
        while (flipped.len() as u64) < u64::from(self.spec.bits).min(bits) {
            // Walking on from a bit that was taken ends, because fewer are taken than there are.
            let mut bit = self.rng.between(0, bits - 1);
            while flipped.contains(&bit) {
                bit = (bit + 1) % bits;
            }
            flipped.push(bit);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
        Slice::copy_of(&bytes)
    }
}

/// The packet with Congestion Experienced, if its transport is capable of ECN (RFC 3168 5).
fn mark(packet: &[u8]) -> Option<Slice> {
    let (header, _) = ip::parse(packet).ok()?;
    if header.tos & ip::ECN == 0 {
        return None;
    }
    let mut bytes = packet.to_vec();
    if header.src.is_ipv6() {
        // The traffic class lies across two bytes.
        bytes[1] |= ip::CE << 4;
    } else {
        let len = usize::from(bytes[0] & 15) * 4;
        bytes[1] |= ip::CE;
        bytes[10..12].fill(0);
        let sum = checksum::checksum(&bytes[..len.max(ipv4::MIN_HEADER_LEN)]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    Some(Slice::copy_of(&bytes))
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn link_of(spec: &str, seed: u64) -> Impairer {
        Impairer::new(spec.parse().unwrap(), Rng::seed_from(seed), Instant::ZERO)
    }

    /// Pushes `count` numbered packets of `size` bytes, `every` apart, and gives what arrives and when.
    fn run(link: &mut Impairer, count: u32, size: usize, every: Duration) -> Vec<(Instant, Vec<u8>)> {
        let mut out = Vec::new();
        let mut now = Instant::ZERO;
        for n in 0..count {
            let mut packet = vec![0; size];
            packet[..4].copy_from_slice(&n.to_be_bytes());
            link.push(now, Slice::copy_of(&packet));
            now += every;
            drain(link, now, &mut out);
        }
        drain(link, now + Duration::from_secs(3600), &mut out);
        assert_eq!(link.next(), None);
        assert_eq!(link.held, 0);
        out
    }

    fn drain(link: &mut Impairer, until: Instant, out: &mut Vec<(Instant, Vec<u8>)>) {
        while let Some(at) = link.next().filter(|&at| at <= until) {
            let packet = link.pop(at).expect("due packets come out");
            out.push((at, packet.to_vec()));
        }
    }

    fn numbers(out: &[(Instant, Vec<u8>)]) -> Vec<u32> {
        out.iter().map(|(_, p)| u32::from_be_bytes(p[..4].try_into().unwrap())).collect()
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_perfect_link_is_a_wire() {
        let out = run(&mut link_of("", 1), 100, 20, MS);
        assert_eq!(numbers(&out), (0..100).collect::<Vec<_>>());
        assert!(out.iter().zip(0..).all(|((at, _), n)| *at == Instant::from_millis(n)));
    }

    #[test]
    fn loss_duplication_and_reordering_happen_as_often_as_asked_and_change_nothing_else() {
        let mut lossy = link_of("loss=10%", 2);
        let out = numbers(&run(&mut lossy, 10_000, 20, MS));
        assert_eq!(out.len() as u64, 10_000 - lossy.faults().lost);
        assert!((800..1200).contains(&lossy.faults().lost), "{:?}", lossy.faults());
        assert!(out.is_sorted());

        let mut doubling = link_of("duplicate=10%", 2);
        let out = numbers(&run(&mut doubling, 10_000, 20, MS));
        assert_eq!(out.len() as u64, 10_000 + doubling.faults().duplicated);
        assert!((800..1200).contains(&doubling.faults().duplicated));
        assert!(out.is_sorted());

        let mut mixing = link_of("reorder=10%,gap=3500us", 2);
        let mut out = numbers(&run(&mut mixing, 10_000, 20, MS));
        assert!((800..1200).contains(&mixing.faults().reordered));
        let overtaken = out.windows(2).filter(|w| w[0] > w[1]).count() as u64;
        assert!(overtaken > mixing.faults().reordered / 2, "{overtaken} overtaken");
        out.sort_unstable();
        assert_eq!(out, (0..10_000).collect::<Vec<_>>(), "nothing is lost");
    }

    #[test]
    fn corruption_flips_exactly_the_bits_asked_for() {
        for (spec, bits) in [("corrupt=100%", 1), ("corrupt=100%,bits=5", 5), ("corrupt=100%,bits=64", 40)] {
            let mut link = link_of(spec, 3);
            for _ in 0..200 {
                link.push(Instant::ZERO, Slice::copy_of(&[0; 5]));
                let flipped: u32 = link.pop(Instant::ZERO).unwrap().iter().map(|b| b.count_ones()).sum();
                assert_eq!(flipped, bits);
            }
            link.push(Instant::ZERO, Slice::default());
            assert_eq!(link.faults().corrupted, 200, "an empty packet has no bit to flip");
        }
    }

    #[test]
    fn jitter_spreads_arrivals_and_keeps_the_order() {
        let out = run(&mut link_of("delay=20ms,jitter=30ms", 4), 2000, 20, MS);
        assert_eq!(numbers(&out), (0..2000).collect::<Vec<_>>());
        let delays: Vec<_> = out.iter().zip(0..).map(|((at, _), n)| at.since(Instant::from_millis(n))).collect();
        assert!(delays.iter().all(|d| (20 * MS..=50 * MS).contains(d)));
        assert!(delays.iter().min() < Some(&(30 * MS)) && delays.iter().max() > Some(&(48 * MS)));
    }

    #[test]
    fn the_bottleneck_paces_queues_and_overflows() {
        // 1000 bytes at 8 Mbit/s take 1 ms; ten packets at once, and room for four.
        let mut link = link_of("rate=8Mbit,queue=4000,delay=5ms", 5);
        let out = run(&mut link, 10, 1000, Duration::ZERO);
        assert_eq!(numbers(&out), [0, 1, 2, 3]);
        assert_eq!(out.iter().map(|(at, _)| at.as_millis()).collect::<Vec<_>>(), [6, 7, 8, 9]);
        assert_eq!(link.faults().overflow, 6);
        // In steady flow below the rate, nothing waits.
        let out = run(&mut link_of("rate=8Mbit,queue=4000", 5), 50, 500, MS);
        assert_eq!(out.len(), 50);
    }

    #[test]
    fn without_a_rate_the_queue_bounds_what_is_on_the_way() {
        let mut link = link_of("queue=100,delay=1s", 6);
        for _ in 0..20 {
            link.push(Instant::ZERO, Slice::copy_of(&[0; 30]));
        }
        assert_eq!((link.faults().overflow, link.held), (17, 90));
        assert!(link.pop(Instant::from_millis(999)).is_none());
        assert!(link.pop(Instant::from_millis(1000)).is_some());
        link.push(Instant::from_millis(1000), Slice::copy_of(&[0; 30]));
        assert_eq!(link.faults().overflow, 17, "room is found again");
    }

    #[test]
    fn outages_and_the_end_of_faults_are_kept_to_the_nanosecond() {
        let start = Instant::from_millis(100);
        let mut link = Impairer::new("outage=10ms-20ms,outage=30ms-90ms,until=40ms".parse().unwrap(), [0; 32], start);
        let mut lost = |nanos: u64| {
            link.push(start + Duration::from_nanos(nanos), Slice::copy_of(b"x"));
            link.pop(start + Duration::from_secs(1)).is_none()
        };
        let times = [9_999_999, 10_000_000, 19_999_999, 20_000_000, 30_000_000, 39_999_999, 40_000_000];
        assert_eq!(times.map(&mut lost), [false, true, true, false, true, true, false]);

        let mut link = link_of("loss=100%,corrupt=100%,duplicate=100%,reorder=100%,until=50ms", 7);
        let out = run(&mut link, 100, 20, MS);
        assert_eq!(numbers(&out), (50..100).collect::<Vec<_>>());
        assert_eq!(link.faults(), Faults { packets: 100, lost: 50, ..Faults::default() });
    }

    #[test]
    fn a_seed_decides_everything() {
        let spec = "loss=10%,duplicate=10%,reorder=10%,corrupt=10%,delay=5ms,jitter=5ms,rate=1Mbit,queue=5kB";
        let (mut a, mut b, mut c) = (link_of(spec, 8), link_of(spec, 8), link_of(spec, 9));
        let first = run(&mut a, 1000, 100, MS);
        assert_eq!(first, run(&mut b, 1000, 100, MS));
        assert_eq!(a.faults(), b.faults());
        assert_ne!(first, run(&mut c, 1000, 100, MS));
        let Faults { packets, lost, outage, overflow, corrupted, duplicated, reordered, .. } = a.faults();
        assert_eq!((packets, outage, overflow), (1000, 0, 0));
        assert!([lost, corrupted, duplicated, reordered].iter().all(|&n| n > 50), "{:?}", a.faults());
    }
    #[test]
    fn codel_keeps_the_queue_short_where_tail_drop_lets_it_stand() {
        // 1000 bytes at 8 Mbit/s take 1 ms; eleven come in ten milliseconds.
        let delay = |spec| {
            let mut link = link_of(spec, 1);
            let out = run(&mut link, 10_000, 1000, MS * 10 / 11);
            let sent = |n: u32| Instant::ZERO + MS * 10 / 11 * n;
            let late = out
                .iter()
                .skip(6_000)
                .map(|(at, packet)| at.since(sent(u32::from_be_bytes(packet[..4].try_into().unwrap()))));
            (late.sum::<Duration>() / (out.len() as u32 - 6_000), link.faults())
        };
        let (tail, faults) = delay("rate=8Mbit,queue=100000");
        assert!(tail > 95 * MS && faults.overflow > 500 && faults.codel == 0, "{tail:?} {faults:?}");
        // A sender that does not listen makes it try again and again.
        let (codel, faults) = delay("rate=8Mbit,queue=100000,codel=5ms");
        assert!(codel < 60 * MS && faults.overflow < 10 && faults.codel > 500, "{codel:?} {faults:?}");
    }

    #[test]
    fn a_packet_larger_than_the_mtu_is_lost_and_its_fate_told() {
        let mut link = link_of("mtu=100,nth=3,queue=150,outage=1s-2s,delay=1s", 1);
        let mut push = |ms, len: usize| link.push(Instant::from_millis(ms), Slice::copy_of(&vec![0; len]));
        let fates = [push(0, 100), push(0, 101), push(0, 20), push(0, 50), push(0, 50), push(1500, 20)];
        let expected = [Fate::Carried, Fate::TooBig, Fate::Carried, Fate::Lost, Fate::Overflow, Fate::Outage];
        assert_eq!(fates, expected, "what is too big is not counted for nth");
        assert_eq!(link.faults().too_big, 1);
    }

    #[test]
    fn where_a_queue_stands_packets_are_marked_if_they_may_be() {
        let v4 = |ecn: u8| {
            let mut bytes = vec![0x45, ecn, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
            bytes.resize(40, 0);
            let sum = checksum::checksum(&bytes[..20]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            bytes
        };
        let mut v6 = vec![0x60, ip::ECT0 << 4, 0, 0, 0, 0, 59, 64];
        v6.resize(40, 0);
        (v6[8], v6[24]) = (0x20, 0x20);
        for (bytes, marks) in [(v4(ip::ECT0), true), (v4(1), true), (v4(0), false), (v6, true)] {
            let mut link = link_of("rate=1Mbit,mark=100", 1);
            for _ in 0..5 {
                link.push(Instant::ZERO, Slice::copy_of(&bytes));
            }
            let tos = |packet: Slice| ip::parse(&packet).expect("a good header").0.tos & ip::ECN;
            let seen: Vec<bool> = (0..5).map(|_| tos(link.pop(Instant::from_millis(100)).unwrap()) == ip::CE).collect();
            assert_eq!(seen, [false, false, false, marks, marks]);
            assert_eq!(link.faults().marked, if marks { 2 } else { 0 });
        }
    }
}
