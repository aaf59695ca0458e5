//! Sequence numbers: 32-bit, modulo 2^32 (RFC 9293 3.4).
//!
//! They have no order that sorts, so `Seq` has no `Ord`; `before` and `after` compare two numbers less than 2^31 apart.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A sequence number.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether `self` comes before `other`.
    pub const fn before(self, other: Seq) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether `self` comes after `other`.
    pub const fn after(self, other: Seq) -> bool {
        other.before(self)
    }

    /// Whether `self` is `other` or comes before it.
    pub const fn at_or_before(self, other: Seq) -> bool {
        !other.before(self)
    }

    /// Whether `self` is `other` or comes after it.
    pub const fn at_or_after(self, other: Seq) -> bool {
        !self.before(other)
    }

    /// How far `self` is behind `earlier`, zero if it is not behind it.
    pub const fn since(self, earlier: Seq) -> u32 {
        if self.before(earlier) { 0 } else { self.0.wrapping_sub(earlier.0) }
    }

    /// The later of two.
    pub const fn max(self, other: Seq) -> Seq {
        if self.before(other) { other } else { self }
    }

    /// The earlier of two.
    pub const fn min(self, other: Seq) -> Seq {
        if self.before(other) { self } else { other }
    }
}

impl Add<u32> for Seq {
    type Output = Seq;
    fn add(self, n: u32) -> Seq {
        Seq(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl Sub<u32> for Seq {
    type Output = Seq;
    fn sub(self, n: u32) -> Seq {
        Seq(self.0.wrapping_sub(n))
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A range of sequence numbers: `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeqRange {
    /// The first number in the range.
    pub start: Seq,
    /// The first number after it.
    pub end: Seq,
}

impl SeqRange {
    /// How many numbers are in it.
    pub const fn len(self) -> u32 {
        self.end.since(self.start)
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Compiles only as long as `Seq` has no `Ord` and no `PartialOrd`: if it had, `marker` would be ambiguous.
const _: fn() = || {
    trait AmbiguousIfOrdered<A> {
        fn marker() {}
    }
    impl<T: ?Sized> AmbiguousIfOrdered<()> for T {}
    struct Ordered;
    impl<T: ?Sized + PartialOrd> AmbiguousIfOrdered<Ordered> for T {}
    let _ = <Seq as AmbiguousIfOrdered<_>>::marker;
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_hold_across_the_wrap() {
        for start in [0u32, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX] {
            let a = Seq(start);
            for n in [1u32, 2, 65_535, 1 << 30, (1 << 31) - 1] {
                let b = a + n;
                assert!(a.before(b) && b.after(a) && !b.before(a));
                assert_eq!((b.since(a), a.since(b)), (n, 0));
                assert_eq!((a.max(b), a.min(b), b - n), (b, a, a));
            }
            assert!(a.at_or_before(a) && a.at_or_after(a) && !a.before(a));
        }
    }
}
