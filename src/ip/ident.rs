//! The identification of IPv4 packets that may be fragmented on their way.

use crate::rng::Rng;

/// Gives each 16-bit number once before it gives one again (RFC 6864 4.3), in an order that strangers cannot tell: a
/// counter through a secret permutation, a Feistel network of random tables.
#[derive(Debug)]
pub(super) struct Ident {
    rounds: [[u8; 256]; 4],
    next: u16,
}

impl Ident {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut rounds = [[0; 256]; 4];
        for byte in rounds.as_flattened_mut() {
            *byte = rng.u32() as u8;
        }
        Ident { rounds, next: rng.u32() as u16 }
    }

    pub(super) fn next(&mut self) -> u16 {
        let [mut left, mut right] = self.next.to_be_bytes();
        self.next = self.next.wrapping_add(1);
        for table in &self.rounds {
            (left, right) = (right, left ^ table[usize::from(right)]);
        }
        u16::from_be_bytes([left, right])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn ids(seed: u64) -> Vec<u16> {
        let mut ident = Ident::new(&mut Rng::new(Rng::seed_from(seed)));
        (0..65_536).map(|_| ident.next()).collect()
    }

    /// 6864-1 and attack 31.
    #[test]
    fn every_number_once_and_in_no_order() {
        let ids = ids(1);
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 65_536);
        let steps: BTreeSet<u16> = ids.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        // 65,535 steps drawn at random would show 63 % of all values, some 41,000.
        assert!(steps.len() > 20_000, "only {} different steps", steps.len());
    }

    #[test]
    fn each_seed_has_its_own_order() {
        let same = ids(1).iter().zip(ids(2)).filter(|&(&a, b)| a == b).count();
        assert!(same < 50, "{same} of 65,536 equal");
    }
}
