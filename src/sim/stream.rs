//! What the applications say to each other: endless streams whose every byte can be known from its position, so that a
//! reader can check content without anybody keeping what was written.

/// A stream, named by a number. Two streams differ almost everywhere.
#[derive(Clone, Copy, Debug)]
pub struct Stream(u64);

impl Stream {
    /// The stream with this name.
    pub const fn new(name: u64) -> Self {
        Stream(mix(name))
    }

    /// Writes the bytes from `offset` on into `buf`.
    pub fn fill(self, offset: u64, buf: &mut [u8]) {
        let mut index = offset / 8;
        let skip = (offset % 8) as usize;
        let head = if skip == 0 { 0 } else { (8 - skip).min(buf.len()) };
        let (first, rest) = buf.split_at_mut(head);
        if head > 0 {
            first.copy_from_slice(&self.word(index)[skip..skip + head]);
            index += 1;
        }
        let mut words = rest.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.word(index));
            index += 1;
        }
        let tail = words.into_remainder();
        tail.copy_from_slice(&self.word(index)[..tail.len()]);
    }

    /// The position of the first byte of `bytes` that is not the stream's from `offset` on.
    pub fn first_difference(self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = offset;
        let mut expected = [0; 512];
        for part in bytes.chunks(expected.len()) {
            let expected = &mut expected[..part.len()];
            self.fill(at, expected);
            if let Some(i) = (expected != part).then(|| expected.iter().zip(part).position(|(a, b)| a != b)).flatten() {
                return Some(at + i as u64);
            }
            at += part.len() as u64;
        }
        None
    }

    /// Eight bytes: a Weyl sequence, its high bits folded over the low ones. It has no multiplication that depends on
    /// the position, so that the compiler makes several words at once: every byte is made three times in a run.
    fn word(self, index: u64) -> [u8; 8] {
        let x = self.0.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (x ^ (x >> 17) ^ (x >> 32)).to_le_bytes()
    }
}

/// A bijection that spreads every bit over all others (the finalizer of SplitMix64).
pub(super) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A running hash of all that happened. Fast and not cryptographic: it has to tell runs apart, not to resist anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceHash(u64);

impl TraceHash {
    /// Takes in a number.
    pub fn number(&mut self, n: u64) {
        self.0 = (self.0.rotate_left(23) ^ n).wrapping_mul(0x9fb2_1c65_1e98_df25);
    }

    /// Takes in bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.number(u64::from_le_bytes(word.try_into().expect("chunks of eight")));
        }
        for &byte in words.remainder() {
            self.number(u64::from(byte));
        }
    }

    /// The hash of all that was taken in.
    pub fn value(self) -> u64 {
        mix(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_stream_is_the_same_stream() {
        let stream = Stream::new(7);
        let mut whole = [0; 100];
        stream.fill(0, &mut whole);
        for start in 0..40 {
            for len in 0..60 {
                let mut part = vec![0; len];
                stream.fill(start, &mut part);
                assert_eq!(part, whole[start as usize..start as usize + len]);
            }
        }
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        let stream = Stream::new(1);
        let mut bytes = vec![0; 2000];
        stream.fill(33, &mut bytes);
        assert_eq!(stream.first_difference(33, &bytes), None);
        bytes[1234] ^= 1;
        assert_eq!(stream.first_difference(33, &bytes), Some(33 + 1234));
        assert!(stream.first_difference(34, &bytes[..50]).is_some(), "shifted content is wrong content");
    }

    #[test]
    fn the_hash_sees_order_and_length() {
        let hash = |parts: &[&[u8]]| {
            let mut h = TraceHash::default();
            parts.iter().for_each(|p| h.bytes(p));
            h.value()
        };
        assert_eq!(hash(&[b"abc", b"d"]), hash(&[b"abc", b"d"]));
        assert_ne!(hash(&[b"abc", b"d"]), hash(&[b"ab", b"cd"]));
        assert_ne!(hash(&[b"abcdefgh12345678"]), hash(&[b"12345678abcdefgh"]));
    }
}
