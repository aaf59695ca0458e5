//! The Internet checksum (RFC 1071, 1624): whole, partial, over slices of any length.

use std::net::IpAddr;

/// A running ones'-complement sum. Slices of odd length may follow each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    sum: u64,
    odd: bool,
}

impl Sum {
    /// Adds `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        let _ = (bytes, self.sum, self.odd);
        unimplemented!("wire")
    }

    /// The 16-bit ones'-complement sum, not inverted.
    pub fn fold(self) -> u16 {
        unimplemented!("wire")
    }

    /// The checksum field: the inverse of the sum.
    pub fn checksum(self) -> u16 {
        !self.fold()
    }
}

/// The sum over the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) for `len` bytes of transport header and data.
/// Both addresses must be of one family.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Sum {
    let _ = (src, dst, protocol, len);
    unimplemented!("wire")
}
