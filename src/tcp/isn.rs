//! Initial sequence numbers (RFC 6528, RFC 9293 3.4.1) and time-stamp offsets (RFC 7323 7.1).

use super::seq::Seq;
use super::tuple::FourTuple;
use crate::rng::{Key, Rng};
use crate::time::Instant;
use core::hash::{Hash, Hasher};

/// ISN = M + F(4-tuple, secret), with M a clock of 4 us ticks and F a SipHash.
#[derive(Debug)]
pub struct IsnGenerator {
    isn: Key,
    timestamps: Key,
}

impl IsnGenerator {
    /// A generator with new secrets.
    pub fn new(rng: &mut Rng) -> Self {
        IsnGenerator { isn: rng.key(), timestamps: rng.key() }
    }

    /// The initial sequence number of a connection opened at `now`.
    pub fn isn(&self, tuple: &FourTuple, now: Instant) -> Seq {
        let clock = (now.as_micros() / 4) as u32;
        Seq(clock.wrapping_add(keyed(self.isn, tuple)))
    }

    /// What is added to our clock in the connection's time stamps. It is the same for every connection of one name, so
    /// that a later one's time stamps are later.
    pub fn timestamp_offset(&self, tuple: &FourTuple) -> u32 {
        keyed(self.timestamps, tuple)
    }
}

fn keyed(key: Key, tuple: &FourTuple) -> u32 {
    let mut hasher = key.hasher();
    tuple.hash(&mut hasher);
    hasher.finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn tuple(port: u16) -> FourTuple {
        FourTuple::new("192.0.2.2:80".parse().unwrap(), ([192, 0, 2, 1], port).into())
    }

    #[test]
    fn one_name_follows_the_clock_and_others_tell_nothing() {
        let isns = IsnGenerator::new(&mut Rng::new([7; 32]));
        let (now, later) = (Instant::from_millis(5), Instant::from_millis(5) + Duration::from_secs(1));
        assert_eq!(isns.isn(&tuple(1), later).since(isns.isn(&tuple(1), now)), 250_000);
        assert_eq!(isns.timestamp_offset(&tuple(1)), isns.timestamp_offset(&tuple(1)));
        // Each bit of the numbers of 4096 neighbours is set about half of the time.
        for bit in 0..32 {
            let set = (0..4096).filter(|&p| isns.isn(&tuple(p), now).0 >> bit & 1 == 1).count();
            assert!((1800..2300).contains(&set), "bit {bit} is set {set} times of 4096");
        }
        let restarted = IsnGenerator::new(&mut Rng::new([8; 32]));
        assert_ne!(restarted.isn(&tuple(1), now), isns.isn(&tuple(1), now));
    }
}
