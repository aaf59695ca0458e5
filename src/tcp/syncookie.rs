//! SYN cookies (RFC 4987 3.6): when a listener's SYN queue is full, what would be stored is put into our initial
//! sequence number, and window scale and SACK into the low bits of our time stamp, so that nothing is stored at all.

use super::options::PeerSyn;
use super::seq::Seq;
use super::tuple::FourTuple;
use crate::rng::{Key, Rng};
use crate::time::Instant;
use core::hash::{Hash, Hasher};

/// The MSS values that three bits can say; the largest that the peer can take is chosen.
const MSS_TABLE: [u16; 8] = [48, 536, 1200, 1360, 1400, 1440, 1460, 8960];
/// A cookie is valid in the period in which it was made and in the next.
pub(super) const PERIOD_SECONDS: u64 = 64;
/// Low bits of the time stamp: four of window scale (15: none), one of SACK.
const TIMESTAMP_BITS: u32 = 5;
const NO_SCALE: u32 = 15;

/// The bits of a cookie that only the first segment after it fits, the MSS's index among them. A later segment of the flight
/// that fits them by chance would open the connection in the middle of its text: that must not happen in a lifetime.
const FIRST_BITS: u32 = (1 << 24) - 1;

/// What a returned cookie turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// Ours, in the segment right after our SYN,ACK.
    Good {
        /// The MSS that it kept.
        mss: u16,
    },
    /// Ours, but in a later segment: the first was lost or is late, and will come again.
    NotFirst,
    /// Too old, or never ours.
    Bad,
}

/// The secret that cookies are made with.
#[derive(Debug)]
pub struct CookieJar {
    key: Key,
}

impl CookieJar {
    /// A jar with a new secret.
    pub fn new(rng: &mut Rng) -> Self {
        CookieJar { key: rng.key() }
    }

    /// 8 bits over the connection's name, the period and the MSS; 21 bits over the peer's number beside these; and the
    /// MSS's index. All 29 must be right to open a connection; the first 8 alone tell that a segment is of a peer who was
    /// sent a cookie.
    fn cookie(&self, tuple: &FourTuple, irs: Seq, period: u64, mss: u32) -> Seq {
        let flight = self.hash(&(tuple, period, mss)) & !FIRST_BITS;
        let first = self.hash(&(tuple, irs, period, mss)) & FIRST_BITS & !7;
        Seq(flight | first | mss)
    }

    fn hash(&self, what: &impl Hash) -> u32 {
        let mut hasher = self.key.hasher();
        what.hash(&mut hasher);
        hasher.finish() as u32
    }

    /// Our initial sequence number in the answer to a SYN with the number `irs` and the MSS `mss`.
    pub fn bake(&self, tuple: &FourTuple, irs: Seq, mss: u16, now: Instant) -> Seq {
        let index = MSS_TABLE.iter().rposition(|&m| m <= mss).unwrap_or(0);
        self.cookie(tuple, irs, period(now), index as u32)
    }

    /// What a segment that acknowledges `iss` and follows `irs` says.
    pub fn check(&self, tuple: &FourTuple, irs: Seq, iss: Seq, now: Instant) -> Cookie {
        let index = iss.0 & 7;
        let current = period(now);
        let expected = [Some(current), current.checked_sub(1)].map(|p| p.map(|p| self.cookie(tuple, irs, p, index)));
        let mut expected = expected.into_iter().flatten();
        match expected.find(|cookie| (cookie.0 ^ iss.0) & !FIRST_BITS == 0) {
            Some(cookie) if cookie == iss => Cookie::Good { mss: MSS_TABLE[index as usize] },
            Some(_) => Cookie::NotFirst,
            None => Cookie::Bad,
        }
    }
}

fn period(now: Instant) -> u64 {
    now.as_millis() / 1000 / PERIOD_SECONDS
}

/// Our time stamp `value`, moved back by at most 31 ms so that its low bits keep what `peer` offered.
pub fn mark_timestamp(value: u32, peer: &PeerSyn) -> u32 {
    let bits = peer.window_scale.map_or(NO_SCALE, u32::from) << 1 | u32::from(peer.sack);
    let marked = value >> TIMESTAMP_BITS << TIMESTAMP_BITS | bits;
    if marked.wrapping_sub(value) as i32 > 0 { marked.wrapping_sub(1 << TIMESTAMP_BITS) } else { marked }
}

/// What an echoed time stamp kept: (window scale, SACK).
pub fn read_timestamp(echo: u32) -> (Option<u8>, bool) {
    let scale = echo >> 1 & 15;
    ((scale != NO_SCALE).then_some(scale as u8), echo & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple() -> FourTuple {
        FourTuple::new("192.0.2.2:80".parse().unwrap(), "192.0.2.1:40000".parse().unwrap())
    }

    #[test]
    fn a_cookie_is_good_for_one_to_two_periods_and_for_nobody_else() {
        let jar = CookieJar::new(&mut Rng::new([1; 32]));
        let at = |s: u64| Instant::from_millis(s * 1000);
        for (mss, kept) in [(48, 48), (1459, 1440), (1460, 1460), (9000, 8960), (40, 48)] {
            let cookie = jar.bake(&tuple(), Seq(99), mss, at(100));
            let good = Cookie::Good { mss: kept };
            assert_eq!(jar.check(&tuple(), Seq(99), cookie, at(100)), good);
            assert_eq!(jar.check(&tuple(), Seq(99), cookie, at(190)), good);
            assert_eq!(jar.check(&tuple(), Seq(99), cookie, at(192)), Cookie::Bad, "too old");
            assert_eq!(jar.check(&tuple(), Seq(98), cookie, at(100)), Cookie::NotFirst, "not right behind the SYN");
        }
    }

    #[test]
    fn another_peers_cookie_is_nobodys_but_for_one_in_a_hundred() {
        let jar = CookieJar::new(&mut Rng::new([4; 32]));
        let now = Instant::from_millis(100_000);
        let cookie = jar.bake(&tuple(), Seq(99), 1460, now);
        let others =
            (1..=1000).map(|port| jar.check(&FourTuple { remote_port: port, ..tuple() }, Seq(99), cookie, now));
        let found: Vec<Cookie> = others.filter(|found| *found != Cookie::Bad).collect();
        assert!(found.len() <= 20 && found.iter().all(|found| *found == Cookie::NotFirst), "{found:?}");
    }

    /// Seed 191198 of the simulator: with 15 bits, one in 16,000 did.
    #[test]
    fn no_later_segment_opens_a_connection() {
        let jar = CookieJar::new(&mut Rng::new([5; 32]));
        let now = Instant::from_millis(100_000);
        let cookie = jar.bake(&tuple(), Seq(0), 1460, now);
        for later in 1..=1 << 17 {
            assert_eq!(jar.check(&tuple(), Seq(later), cookie, now), Cookie::NotFirst);
        }
    }

    #[test]
    fn forged_cookies_are_refused() {
        let jar = CookieJar::new(&mut Rng::new([2; 32]));
        let mut rng = Rng::new([3; 32]);
        let now = Instant::from_millis(1_000_000);
        let mut check = || jar.check(&tuple(), Seq(rng.u32()), Seq(rng.u32()), now);
        let accepted = (0..1 << 18).filter(|_| matches!(check(), Cookie::Good { .. })).count();
        assert_eq!(accepted, 0);
    }

    #[test]
    fn the_time_stamp_keeps_scale_and_sack_and_never_runs_ahead() {
        for scale in [None, Some(0), Some(7), Some(14)] {
            for sack in [false, true] {
                let peer = PeerSyn { mss: 1460, window_scale: scale, sack, timestamp: Some(1) };
                for value in [0u32, 1, 31, 32, 1000, u32::MAX] {
                    let marked = mark_timestamp(value, &peer);
                    assert_eq!(read_timestamp(marked), (scale, sack));
                    assert!(value.wrapping_sub(marked) <= 62, "{value} became {marked}");
                }
            }
        }
    }
}
