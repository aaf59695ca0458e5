//! Fragments on their way to being a packet again (RFC 791 3.2, RFC 8200 4.5), for both IP versions.
//!
//! Nothing is looked into before the packet is whole, and a packet in which any two fragments contradict each other is
//! never made: not from the fragments that came, and not from those that come (RFC 5722). What came twice, byte for byte,
//! counts once.
//!
//! Strangers decide how many packets are begun and never finished, so the memory is bounded, and who gives when it is
//! full is what matters. A source that holds more than a quarter of it gives its own oldest; if none does, the oldest of all
//! is given up. So a flood from one source, whatever its rate, costs only that source; and one from many has to fill all
//! of the memory in the time that an honest packet takes to be complete. (Refusing what is new while the memory is full
//! would leave it to the flood for the whole time-out.)

use crate::buf::{Chunk, Slice};
use crate::rng::Key;
use crate::stack::ReassemblyConfig;
use crate::stats::DropReason;
use crate::time::Instant;
use crate::wire::ip::Fragment;
use core::hash::BuildHasher;
use core::ops::Range;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// The most fragments of one packet: those of the longest over a link of 68 bytes, the smallest of RFC 791.
const MAX_FRAGMENTS: usize = 1_365;

/// What a packet that is begun costs beside its fragments, in bytes: its entry and its places in the two orders.
const PACKET_OVERHEAD: usize = 512;

/// What a fragment costs beside the memory that it pins, in bytes.
const FRAGMENT_OVERHEAD: usize = 96;

/// Sources are told apart by so many numbers, by a secret hash.
const SOURCES: usize = 256;

/// A source that holds more than this part of the memory gives first.
const FAIR_SHARE: usize = 4;

/// What the fragments of one packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) id: u32,
    /// Zero over IPv6, where only the first fragment's counts.
    pub(super) protocol: u8,
    /// The number of the one that they came in by: another link's neighbours may have the same addresses.
    pub(super) interface: u8,
}

/// A received fragment.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) name: Name,
    pub(super) place: Fragment,
    /// Its DSCP and ECN byte.
    pub(super) tos: u8,
    /// The packet that it came in, without padding.
    pub(super) packet: &'a Slice,
    /// Where its payload stands in that.
    pub(super) payload: Range<usize>,
}

impl Part<'_> {
    /// The place of its payload in that of the whole packet.
    fn extent(&self) -> Range<usize> {
        let start = usize::from(self.place.offset);
        start..start + self.payload.len()
    }
}

/// What became of a fragment.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It waits for the others.
    Held,
    /// It was the last that was missing.
    Whole(Whole),
    /// It is of no use.
    Dropped(DropReason),
}

/// A packet of which all fragments have come.
#[derive(Debug)]
pub(super) struct Whole {
    /// The packet that the first fragment came in.
    pub(super) first: Slice,
    /// Where the payload stands in that.
    pub(super) payload: usize,
    /// The DSCP of the first, and what the ECN bits of all come to.
    pub(super) tos: u8,
    pieces: Vec<Piece>,
}

impl Whole {
    /// The length of its payload.
    pub(super) fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| last.end())
    }

    /// `header`, and behind it the payload in one piece.
    pub(super) fn join(&self, header: &[u8]) -> Slice {
        let mut chunk = Chunk::with_capacity(header.len() + self.len());
        chunk.append(header);
        for piece in &self.pieces {
            chunk.append(&piece.data);
        }
        chunk.freeze()
    }
}

#[derive(Debug)]
struct Piece {
    start: usize,
    data: Slice,
}

impl Piece {
    fn end(&self) -> usize {
        self.start + self.data.len()
    }
}

/// A packet that is not whole yet.
#[derive(Debug)]
struct Packet {
    /// Counts up: the lower, the older.
    serial: u64,
    source: u8,
    /// What it is charged.
    cost: usize,
    /// Contradicted itself: what else comes of it is dropped.
    spoiled: bool,
    /// The packet that the first fragment came in, with the place of its payload and its DSCP and ECN byte.
    first: Option<(Slice, usize, u8)>,
    /// In the order of their places; no two overlap.
    pieces: Vec<Piece>,
    /// Bytes in them.
    received: usize,
    /// The length of the whole payload, once its last fragment has come.
    len: Option<usize>,
    /// The ECN codepoints that were seen, one bit each.
    ecn: u8,
}

/// The packets that are not whole yet.
#[derive(Debug)]
pub(super) struct Reassembly {
    config: ReassemblyConfig,
    key: Key,
    packets: HashMap<Name, Packet, Key>,
    /// All, from the oldest, with the time when each is given up.
    by_age: BTreeMap<u64, (Instant, Name)>,
    /// The same for each source.
    by_source: BTreeMap<(u8, u64), Name>,
    /// Bytes that each source is charged.
    charged: [usize; SOURCES],
    memory: usize,
    next_serial: u64,
}

impl Reassembly {
    /// Nothing held yet. Strangers who do not know `key` cannot tell which sources share a number.
    pub(super) fn new(config: ReassemblyConfig, key: Key) -> Self {
        Reassembly {
            config,
            key,
            packets: HashMap::with_hasher(key),
            by_age: BTreeMap::new(),
            by_source: BTreeMap::new(),
            charged: [0; SOURCES],
            memory: 0,
            next_serial: 0,
        }
    }

    /// Bytes held, with what each packet and fragment costs beside its data.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Packets that are not whole.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// When the oldest is to be given up.
    #[inline]
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.by_age.first_key_value().map(|(_, &(due, _))| due)
    }

    /// Gives the oldest packet up, if its time is over: with the packet of its first fragment, if that has come and its
    /// sender may be told.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Option<Slice>> {
        let (_, &(due, name)) = self.by_age.first_key_value().filter(|(_, (due, _))| *due <= now)?;
        debug_assert!(due <= now);
        let packet = self.remove(&name)?;
        Some(packet.first.map(|(first, ..)| first))
    }

    /// Takes a fragment, not an empty one, of a length that a packet can have. `evicted` counts packets that had to make room.
    pub(super) fn insert(&mut self, now: Instant, part: &Part<'_>, evicted: &mut u64) -> Outcome {
        let packet = match self.packets.get_mut(&part.name) {
            Some(packet) => packet,
            None => self.begin(now, part.name),
        };
        let (before, added) = (packet.cost, packet.add(part));
        let (source, cost) = (usize::from(packet.source), packet.cost);
        self.charged[source] = self.charged[source] - before + cost;
        self.memory = self.memory - before + cost;
        match added {
            Err(reason) => Outcome::Dropped(reason),
            Ok(true) => self.remove(&part.name).map_or(Outcome::Held, Packet::finish),
            Ok(false) => {
                *evicted += self.make_room();
                // A packet that is larger than its source's share allows may have had to go itself.
                let held = self.packets.contains_key(&part.name);
                if held { Outcome::Held } else { Outcome::Dropped(DropReason::FragmentMemory) }
            }
        }
    }

    fn begin(&mut self, now: Instant, name: Name) -> &mut Packet {
        let serial = self.next_serial;
        self.next_serial += 1;
        let source = self.source(name.src);
        self.by_age.insert(serial, (now + self.config.timeout, name));
        self.by_source.insert((source, serial), name);
        self.charged[usize::from(source)] += PACKET_OVERHEAD;
        self.memory += PACKET_OVERHEAD;
        self.packets.entry(name).insert(Packet::new(serial, source)).into_mut()
    }

    /// The number of a source. Whoever has an IPv6 address has its /64.
    fn source(&self, addr: IpAddr) -> u8 {
        let network = match addr {
            IpAddr::V4(addr) => u64::from(addr.to_bits()),
            IpAddr::V6(addr) => (addr.to_bits() >> 64) as u64,
        };
        self.key.hash_one(network) as u8
    }

    /// Gives packets up until the bounds are kept, and says how many.
    fn make_room(&mut self) -> u64 {
        let mut evicted = 0;
        while self.memory > self.config.memory || self.packets.len() > self.config.packets {
            let share = self.config.memory / FAIR_SHARE;
            let greedy = (0..=u8::MAX).max_by_key(|&source| self.charged[usize::from(source)]);
            let greedy = greedy.filter(|&source| self.charged[usize::from(source)] > share);
            let of_greedy = greedy.and_then(|source| self.by_source.range((source, 0)..).next());
            let oldest = match of_greedy {
                Some((_, &name)) => Some(name),
                None => self.by_age.first_key_value().map(|(_, &(_, name))| name),
            };
            let Some(name) = oldest else { break };
            self.remove(&name);
            evicted += 1;
        }
        evicted
    }

    fn remove(&mut self, name: &Name) -> Option<Packet> {
        let packet = self.packets.remove(name)?;
        self.by_age.remove(&packet.serial);
        self.by_source.remove(&(packet.source, packet.serial));
        self.charged[usize::from(packet.source)] -= packet.cost;
        self.memory -= packet.cost;
        Some(packet)
    }
}

impl Packet {
    fn new(serial: u64, source: u8) -> Self {
        Packet {
            serial,
            source,
            cost: PACKET_OVERHEAD,
            spoiled: false,
            first: None,
            pieces: Vec::new(),
            received: 0,
            len: None,
            ecn: 0,
        }
    }

    /// Takes a fragment, and says whether it was the last that was missing.
    fn add(&mut self, part: &Part<'_>) -> Result<bool, DropReason> {
        if self.spoiled {
            return Err(DropReason::FragmentOverlap);
        }
        let place = part.extent();
        let at = self.pieces.partition_point(|piece| piece.start < place.start);
        if self.contradicts(part, at) {
            return Err(self.spoil(DropReason::FragmentOverlap));
        }
        if self.pieces.get(at).is_some_and(|piece| piece.start == place.start) {
            return Err(DropReason::FragmentDuplicate);
        }
        if self.pieces.len() == MAX_FRAGMENTS {
            return Err(self.spoil(DropReason::FragmentLimit));
        }
        if !part.place.more {
            self.len = Some(place.end);
        }
        self.ecn |= 1 << (part.tos & ECN);
        self.received += place.len();
        let data = if place.start == 0 {
            // The sender may have to be told about it, so it is kept with its header.
            let first = part.packet.clone().compact();
            let data = first.slice(part.payload.clone());
            self.first = Some((first, part.payload.start, part.tos));
            data
        } else {
            part.packet.slice(part.payload.clone()).compact()
        };
        self.cost += data.pinned() + FRAGMENT_OVERHEAD;
        self.pieces.insert(at, Piece { start: place.start, data });
        Ok(self.len == Some(self.received))
    }

    /// Whether `part`, whose place is before piece `at` or is that of it, cannot be of the same packet as what has come.
    fn contradicts(&self, part: &Part<'_>, at: usize) -> bool {
        let place = part.extent();
        let end = self.pieces.last().map_or(0, Piece::end);
        let beyond = match self.len {
            Some(len) => place.end > len || (place.end == len) == part.place.more,
            // All that came so far has others behind it.
            None => !part.place.more && end >= place.end,
        };
        let over_earlier = at > 0 && self.pieces[at - 1].end() > place.start;
        let over_later = self.pieces.get(at).is_some_and(|piece| {
            let same = piece.start == place.start && *piece.data == part.packet[part.payload.clone()];
            piece.start < place.end && !same
        });
        beyond || over_earlier || over_later
    }

    /// Frees what has come; nothing will be made of what comes.
    fn spoil(&mut self, reason: DropReason) -> DropReason {
        *self = Packet { spoiled: true, ..Packet::new(self.serial, self.source) };
        reason
    }

    /// All has come.
    fn finish(self) -> Outcome {
        let Some((first, payload, tos)) = self.first else { return Outcome::Held };
        let congested = self.ecn & 1 << CE != 0;
        // RFC 3168 5.3: congestion may not be forgotten, nor told to those who would not understand it.
        if congested && self.ecn & 1 << NOT_ECT != 0 {
            return Outcome::Dropped(DropReason::FragmentEcn);
        }
        let tos = if congested { tos | CE } else { tos };
        Outcome::Whole(Whole { first, payload, tos, pieces: self.pieces })
    }
}

/// The ECN bits of the DSCP and ECN byte, and two of their values (RFC 3168 5).
const ECN: u8 = 3;
const NOT_ECT: u8 = 0;
const CE: u8 = 3;

#[cfg(test)]
mod tests;
