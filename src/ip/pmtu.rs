//! The MTU of paths (RFC 1191, 8201): what routers have said of each destination, until it is too old to be true.
//!
//! The cache is only a memory. Whether a message is to be believed is decided before, by whoever has sent the packet
//! that it quotes (RFC 5927 7); here it meets the floors, and never raises anything.

use crate::rng::Key;
use crate::time::Instant;
use core::time::Duration;
use hashbrown::HashMap;
use std::net::IpAddr;

/// The smallest MTU of an IPv4 path that is believed: 512 bytes of text and the headers of both layers, as on Linux
/// (`min_pmtu`). RFC 1191 3 would have 68, but a path of less than 576 is seen nowhere, and a forged message would make
/// 1,460 bytes of text cost 53 packets. A path that is really narrower works all the same: packets of this size go there
/// without DF, to be fragmented.
pub const MIN_V4: u16 = 552;

/// The smallest MTU of an IPv6 path: every link has it, and who claims less is not believed (RFC 8201 4).
pub const MIN_V6: u16 = 1280;

/// How long a router's word counts (RFC 1191 6.3, RFC 8201 5.3: ten minutes).
pub const LIFE: Duration = Duration::from_secs(600);

/// Destinations of which something is known; for another one the oldest is forgotten.
pub const MAX_PATHS: usize = 2048;

/// Sizes of the links of 1990, for routers that do not say theirs (RFC 1191 7.1).
const PLATEAUS: [u16; 10] = [65_535, 32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296];

/// What is known of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMtu {
    /// The largest packet that passes, in bytes.
    pub mtu: u16,
    /// Even this may be too big, and routers may fragment it.
    pub fragments: bool,
    /// When nothing is known any more.
    pub until: Instant,
}

/// The paths that carry less than their first link.
#[derive(Debug)]
pub struct Paths {
    known: HashMap<IpAddr, PathMtu, Key>,
}

impl Paths {
    /// Nothing is known; `key` hides which addresses collide.
    pub fn new(key: Key) -> Self {
        Paths { known: HashMap::with_hasher(key) }
    }

    /// What is known of the path to `dst`, if it carries less than the link.
    pub fn get(&self, dst: IpAddr, now: Instant) -> Option<PathMtu> {
        self.known.get(&dst).copied().filter(|path| now < path.until)
    }

    /// A router says that a packet of `packet_len` bytes to `dst` was too big for a link of `claim` bytes; zero if it is
    /// so old that it does not say. The link that leads there carries `link` bytes. Gives what is known now, or nothing
    /// if the message makes no sense.
    pub fn learn(&mut self, now: Instant, dst: IpAddr, claim: u32, packet_len: usize, link: usize) -> Option<PathMtu> {
        // Who says that a link carries what it refused is no router.
        if claim > 0 && packet_len <= claim as usize {
            return None;
        }
        let known = self.get(dst, now);
        let current = known.map_or(link, |path| usize::from(path.mtu).min(link));
        let (mtu, fragments) = believed(dst, claim, packet_len.min(current))?;
        let mtu = mtu.min(u16::try_from(current).unwrap_or(u16::MAX));
        if usize::from(mtu) == current && (!fragments || known.is_some_and(|path| path.fragments)) {
            // No message raises an estimate (RFC 8201 4), nor does one that repeats it make it last: else whoever
            // repeats it keeps a path narrow for ever. That even this is too big is news, once.
            return known;
        }
        let path = PathMtu { mtu, fragments, until: now + LIFE };
        if self.known.len() >= MAX_PATHS && !self.known.contains_key(&dst) {
            self.make_room(now);
        }
        self.known.insert(dst, path);
        Some(path)
    }

    /// Forgets what is too old, and if nothing is, the oldest.
    fn make_room(&mut self, now: Instant) {
        self.known.retain(|_, path| now < path.until);
        if self.known.len() >= MAX_PATHS
            && let Some(oldest) = self.known.iter().min_by_key(|(_, path)| path.until).map(|(&dst, _)| dst)
        {
            self.known.remove(&oldest);
        }
    }
}

/// The MTU that a claim is taken for, and whether packets of that size may still be too big.
fn believed(dst: IpAddr, claim: u32, packet_len: usize) -> Option<(u16, bool)> {
    // A claim beyond any packet's length says nothing.
    let claim = u16::try_from(claim).ok()?;
    if dst.is_ipv6() {
        return (claim >= MIN_V6).then_some((claim, false));
    }
    let mtu = if claim > 0 { claim } else { plateau_below(packet_len) };
    Some((mtu.max(MIN_V4), mtu < MIN_V4))
}

/// The largest plateau that is less than the packet that was too big (RFC 1191 5).
fn plateau_below(packet_len: usize) -> u16 {
    PLATEAUS.into_iter().find(|&mtu| usize::from(mtu) < packet_len).unwrap_or(MIN_V4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use std::net::Ipv4Addr;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9));

    fn v6() -> IpAddr {
        "2001:db8::9".parse().unwrap()
    }

    fn paths() -> Paths {
        Paths::new(Rng::new(Rng::seed_from(1)).key())
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    fn mtu(path: Option<PathMtu>) -> Option<(u16, bool)> {
        path.map(|path| (path.mtu, path.fragments))
    }

    /// 8201-1 attack-36: what a claim is taken for, in both families.
    #[test]
    fn claims_meet_their_floors() {
        let v4 = [
            (1400, Some((1400, false))),
            (1499, Some((1499, false))),
            (1500, None),
            (9000, None),
            (70_000, None),
            (552, Some((552, false))),
            (551, Some((552, true))),
            (68, Some((552, true))),
            (1, Some((552, true))),
            (0, Some((1492, false))),
        ];
        for (claim, taken) in v4 {
            assert_eq!(mtu(paths().learn(at(0), V4, claim, 1500, 1500)), taken, "{claim}");
        }
        let v6s = [(1400, Some((1400, false))), (1280, Some((1280, false))), (1279, None), (68, None), (0, None)];
        for (claim, taken) in v6s.into_iter().chain([(1500, None), (1 << 31, None)]) {
            assert_eq!(mtu(paths().learn(at(0), v6(), claim, 1500, 1500)), taken, "{claim}");
        }
    }

    /// 1191-2: a router that does not say its MTU is searched downwards.
    #[test]
    fn old_routers_are_searched_by_plateaus() {
        let mut paths = paths();
        let mut len = 65_535;
        let mut seen = Vec::new();
        while let Some(path) = paths.learn(at(0), V4, 0, len, 65_535)
            && seen.last() != Some(&path.mtu)
        {
            seen.push(path.mtu);
            len = path.mtu.into();
        }
        assert_eq!(seen, [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 552]);
        assert!(paths.get(V4, at(0)).unwrap().fragments);
        // A quote that is longer than what we can have sent counts as the largest that we can.
        assert_eq!(mtu(self::paths().learn(at(0), V4, 0, 60_000, 1500)), Some((1492, false)));
    }

    /// 1191-1: a path that is narrower than the least that is believed is known as such, though its estimate falls no more.
    #[test]
    fn a_path_at_the_floor_may_be_narrower_still() {
        let mut paths = paths();
        assert_eq!(mtu(paths.learn(at(0), V4, 552, 1500, 1500)), Some((552, false)));
        assert_eq!(mtu(paths.learn(at(100), V4, 296, 552, 1500)), Some((552, true)));
        assert_eq!(mtu(paths.learn(at(200), V4, 296, 552, 1500)), Some((552, true)), "again");
        assert_eq!(paths.get(V4, at(699)).unwrap().until, at(700), "repeating it does not make it last");
        for link in [552, 400] {
            assert_eq!(mtu(self::paths().learn(at(0), V4, 296, link, link)), Some((link as u16, true)), "{link}");
        }
    }

    /// 8201-1 1191-1: nothing but time raises an estimate.
    #[test]
    fn it_only_falls_until_it_is_forgotten() {
        let mut paths = paths();
        paths.learn(at(0), V4, 1400, 1500, 1500);
        for claim in [1401, 1500, 9000] {
            assert_eq!(mtu(paths.learn(at(1), V4, claim, 9001, 1500)), Some((1400, false)), "{claim}");
            assert_eq!(mtu(paths.learn(at(1), V4, claim, claim as usize, 1500)), None, "it was not too big for that");
        }
        assert_eq!(mtu(paths.learn(at(100), V4, 1400, 1500, 1500)), Some((1400, false)), "again");
        assert_eq!(paths.get(V4, at(599)).unwrap().until, at(600), "repeating it does not make it last");
        assert_eq!(paths.get(V4, at(600)), None);
        assert_eq!(mtu(paths.learn(at(700), V4, 1450, 1500, 1500)), Some((1450, false)), "afterwards all begins anew");
        paths.learn(at(800), V4, 1300, 1450, 1500);
        assert_eq!(paths.get(V4, at(801)).unwrap().until, at(1400), "but what is new is");
        assert_eq!(paths.get(v6(), at(801)), None, "each path has its own");
        // A narrower link of our own says more than a router that is behind it.
        assert_eq!(mtu(paths.learn(at(801), V4, 1299, 1300, 1200)), Some((1300, false)));
    }

    /// attack-36: a flood of destinations fills no memory, and what is new pushes out what is old.
    #[test]
    fn a_flood_forgets_the_oldest() {
        let mut paths = paths();
        let dst = |i: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + i));
        for i in 0..3 * MAX_PATHS as u32 {
            paths.learn(Instant::from_millis(u64::from(i)), dst(i), 1400, 1500, 1500);
            assert!(paths.known.len() <= MAX_PATHS);
        }
        let now = Instant::from_millis(3 * MAX_PATHS as u64);
        assert!((0..2 * MAX_PATHS as u32).all(|i| paths.get(dst(i), now).is_none()));
        assert!((2 * MAX_PATHS as u32..3 * MAX_PATHS as u32).all(|i| paths.get(dst(i), now).is_some()));
    }
}
