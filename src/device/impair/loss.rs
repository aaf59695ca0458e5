//! Which packets are lost: by chance, in bursts, or those that were named.

use super::Impairment;
use crate::rng::Rng;

/// Losses in bursts: the link is in a good or a bad state, and each packet may change that (Gilbert and Elliott).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// Probability that the state turns bad with a packet.
    pub enter: f64,
    /// Probability that it turns good again; one over it is the mean length of a burst in packets.
    pub leave: f64,
    /// Probability that a packet is lost while the state is bad.
    pub loss: f64,
}

/// What decides about losses, packet by packet.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Packets decided about.
    seen: u64,
    bad: bool,
}

impl Losses {
    /// Whether the next packet is lost.
    pub(super) fn next(&mut self, spec: &Impairment, rng: &mut Rng) -> bool {
        self.seen += 1;
        let named = spec.nth.contains(&self.seen);
        let patterned = match spec.pattern.len() as u64 {
            0 => false,
            len => spec.pattern[((self.seen - 1) % len) as usize],
        };
        // Every die is thrown, so that naming a packet changes nothing about the others.
        let chance = rng.chance(spec.loss);
        let burst = spec.burst.is_some_and(|burst| {
            self.bad = if self.bad { !rng.chance(burst.leave) } else { rng.chance(burst.enter) };
            self.bad && rng.chance(burst.loss)
        });
        named || patterned || chance || burst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(spec: &str, count: usize) -> Vec<usize> {
        let spec: Impairment = spec.parse().unwrap();
        let (mut losses, mut rng) = (Losses::default(), Rng::new(Rng::seed_from(1)));
        (1..=count).filter(|_| losses.next(&spec, &mut rng)).collect()
    }

    #[test]
    fn named_packets_and_patterns_are_lost_and_nothing_else() {
        assert_eq!(lost("nth=3,nth=7", 10), [3, 7]);
        assert_eq!(lost("pattern=..x", 10), [3, 6, 9]);
        assert_eq!(lost("pattern=..x,nth=1", 7), [1, 3, 6]);
        assert_eq!(lost("", 1000), [] as [usize; 0]);
    }

    #[test]
    fn bursts_are_as_long_and_as_rare_as_was_said() {
        let lost = lost("burst=1%/25%", 100_000);
        // 1 % into 25 % out: the link is bad a 26th of the time, four packets at a time.
        assert!((3_300..4_400).contains(&lost.len()), "{} lost", lost.len());
        let bursts = 1 + lost.windows(2).filter(|w| w[1] > w[0] + 1).count();
        let mean = lost.len() as f64 / bursts as f64;
        assert!((3.5..4.5).contains(&mean), "{mean} packets in a burst");
    }

    #[test]
    fn in_a_bad_state_some_may_pass() {
        let (all, half) = (lost("burst=5%/10%", 20_000).len(), lost("burst=5%/10%/50%", 20_000).len());
        assert!(half * 10 > all * 4 && half * 10 < all * 6, "{half} of {all}");
    }
}
