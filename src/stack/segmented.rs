//! A vector in pieces: as it grows nothing moves, and no more than one piece lies unused. A million connections are never
//! copied while packets wait, nor held twice for the time of it.

use core::ops::{Index, IndexMut};

/// Elements in a piece, as a power of two.
const BITS: u32 = 10;
const PIECE: usize = 1 << BITS;

/// A vector in pieces.
#[derive(Debug)]
pub(super) struct Segmented<T> {
    /// All are full but the last.
    pieces: Vec<Vec<T>>,
}

impl<T> Segmented<T> {
    /// An empty vector.
    pub(super) const fn new() -> Self {
        Segmented { pieces: Vec::new() }
    }

    /// Elements.
    pub(super) fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    /// Appends `element`.
    pub(super) fn push(&mut self, element: T) {
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE => last.push(element),
            last => {
                // The first piece starts small: most stacks have few connections.
                let mut piece = if last.is_some() { Vec::with_capacity(PIECE) } else { Vec::new() };
                piece.push(element);
                self.pieces.push(piece);
            }
        }
    }

    /// The element at `index`, if there are so many.
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.pieces.get((index >> BITS) as usize)?.get(index as usize % PIECE)
    }

    /// The element at `index`, if there are so many.
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.pieces.get_mut((index >> BITS) as usize)?.get_mut(index as usize % PIECE)
    }
}

impl<T> Index<u32> for Segmented<T> {
    type Output = T;
    fn index(&self, index: u32) -> &T {
        &self.pieces[(index >> BITS) as usize][index as usize % PIECE]
    }
}

impl<T> IndexMut<u32> for Segmented<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.pieces[(index >> BITS) as usize][index as usize % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_a_vector_but_nothing_moves() {
        let mut v = Segmented::new();
        assert_eq!((v.len(), v.get(0)), (0, None));
        let n = 3 * PIECE as u32 + 7;
        for i in 0..n {
            assert_eq!(v.len(), i as usize);
            v.push(u64::from(i));
        }
        let before: Vec<*const u64> = (0..n).map(|i| &raw const v[i]).collect();
        (0..5000).for_each(|i| v.push(i));
        assert!((0..n).all(|i| v[i] == u64::from(i) && &raw const v[i] == before[i as usize]));
        v[2000] = 5;
        *v.get_mut(2001).unwrap() = 6;
        assert_eq!((v[2000], v.get(2001), v.get(n + 5000)), (5, Some(&6), None));
    }
}
