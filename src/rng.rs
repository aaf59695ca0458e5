//! Randomness, passed in as a seed: the same seed gives the same numbers.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use core::hash::BuildHasher;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use siphasher::sip::{SipHasher13, SipHasher24};
use std::net::IpAddr;

/// A cryptographic generator made from a seed.
pub struct Rng(StdRng);

/// A 128-bit secret for a keyed hash. It is also the state of hash maps whose keys strangers choose: they cannot know
/// which keys collide.
#[derive(Clone, Copy)]
pub struct Key(u64, u64);

impl Rng {
    /// A generator whose numbers are all decided by `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Rng(StdRng::from_seed(seed))
    }

    /// A seed spread from one number, for tests and simulations.
    pub fn seed_from(number: u64) -> [u8; 32] {
        let mut seed = [0; 32];
        StdRng::seed_from_u64(number).fill_bytes(&mut seed);
        seed
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number of at least `low` and at most `high`.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    /// True with probability `p` (clamped to 0 to 1).
    pub fn chance(&mut self, p: f64) -> bool {
        self.0.random_bool(p.clamp(0.0, 1.0))
    }

    /// A generator of its own for a part of the stack.
    pub fn fork(&mut self) -> Rng {
        Rng::new(self.seed())
    }

    /// A seed for another generator.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }

    /// A new secret.
    pub fn key(&mut self) -> Key {
        Key(self.u64(), self.u64())
    }
}

impl Key {
    /// A SipHash-2-4 under this key: a PRF, for sequence numbers and cookies.
    pub fn hasher(self) -> SipHasher24 {
        SipHasher24::new_with_keys(self.0, self.1)
    }

    /// One of 256 numbers for whoever sends from `addr`. Whoever has an IPv6 address has its /64.
    pub fn source(self, addr: IpAddr) -> u8 {
        let network = match addr {
            IpAddr::V4(addr) => u64::from(addr.to_bits()),
            IpAddr::V6(addr) => (addr.to_bits() >> 64) as u64,
        };
        self.hash_one(network) as u8
    }
}

impl BuildHasher for Key {
    type Hasher = SipHasher13;

    /// SipHash-1-3: enough against chosen collisions, as in std's own maps.
    fn build_hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

impl core::fmt::Debug for Key {
    /// Secrets are never printed.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl core::fmt::Debug for Rng {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Rng(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |n| {
            let mut rng = Rng::new(Rng::seed_from(n));
            [rng.u64(), u64::from(rng.u32()), rng.between(3, 9), u64::from(rng.chance(0.5))]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        assert!((3..=9).contains(&numbers(7)[2]));
    }
}
