//! One direction of a bad link, in virtual time and by seed.

use super::Impairment;
use crate::buf::Slice;
use crate::rng::Rng;
use crate::time::Instant;
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
    /// Lost by chance.
    pub lost: u64,
    /// Lost in an outage.
    pub outage: u64,
    /// Lost because the queue was full.
    pub overflow: u64,
    /// Damaged.
    pub corrupted: u64,
    /// Made to arrive twice.
    pub duplicated: u64,
    /// Held back for later ones to overtake.
    pub reordered: u64,
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
            spec,
            rng: Rng::new(seed),
            start,
            faults: Faults::default(),
            on_the_way: BinaryHeap::new(),
            held: 0,
            busy_until: start,
            last_arrival: start,
            pushed: 0,
        }
    }

    /// Sends a packet into the link.
    pub fn push(&mut self, now: Instant, mut packet: Slice) {
        self.faults.packets += 1;
        let age = now.since(self.start);
        let faulty = self.spec.until.is_none_or(|end| age < end);
        if faulty && self.spec.outages.iter().any(|&(from, to)| from <= age && age < to) {
            self.faults.outage += 1;
            return;
        }
        if faulty && self.rng.chance(self.spec.loss) {
            self.faults.lost += 1;
            return;
        }
        if faulty && !packet.is_empty() && self.rng.chance(self.spec.corrupt) {
            self.faults.corrupted += 1;
            packet = self.damage(&packet);
        }
        if faulty && self.rng.chance(self.spec.duplicate) {
            self.faults.duplicated += 1;
            self.convey(now, packet.clone(), faulty);
        }
        self.convey(now, packet, faulty);
    }

    /// The next packet that has arrived by `now`.
    pub fn pop(&mut self, now: Instant) -> Option<Slice> {
        if self.next()? > now {
            return None;
        }
        let Reverse(Arrival { packet, .. }) = self.on_the_way.pop()?;
        self.held -= packet.len();
        Some(packet)
    }

    /// When the next packet arrives, if one is on its way.
    pub fn next(&self) -> Option<Instant> {
        self.on_the_way.peek().map(|Reverse(arrival)| arrival.at)
    }

    /// What was done to packets so far.
    pub fn faults(&self) -> Faults {
        self.faults
    }

    /// Puts a packet through the bottleneck and on its way.
    fn convey(&mut self, now: Instant, packet: Slice, faulty: bool) {
        let sent = match self.spec.rate {
            None if self.held + packet.len() > self.spec.queue => None,
            None => Some(now),
            Some(rate) => self.serialize(now, packet.len(), rate),
        };
        let Some(sent) = sent else {
            self.faults.overflow += 1;
            return;
        };
        let mut at = sent + self.spec.delay + self.jitter();
        if faulty && self.rng.chance(self.spec.reorder) {
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

    /// When the bottleneck has sent `len` more bytes; `None` if there is no room for them to wait.
    fn serialize(&mut self, now: Instant, len: usize, rate: u64) -> Option<Instant> {
        let begin = self.busy_until.max(now);
        let waiting = begin.since(now).as_nanos() * u128::from(rate) / (8 * NANOS);
        if waiting + len as u128 > self.spec.queue as u128 {
            return None;
        }
        let nanos = (len as u128 * 8 * NANOS).div_ceil(u128::from(rate));
        self.busy_until = begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(self.busy_until)
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
        let Faults { packets, lost, outage, overflow, corrupted, duplicated, reordered } = a.faults();
        assert_eq!((packets, outage, overflow), (1000, 0, 0));
        assert!([lost, corrupted, duplicated, reordered].iter().all(|&n| n > 50), "{:?}", a.faults());
    }
}
