//! Interfaces as they are configured: a stack has one, or several.

use super::Cidr;
use crate::error::{Error, Result};
use core::fmt;
use core::str::FromStr;

/// Interfaces of one stack at most.
pub const MAX_INTERFACES: usize = 64;

/// The name of an interface, as the kernel has them: 1 to 15 bytes (IFNAMSIZ less one).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName {
    bytes: [u8; IfName::MAX_LEN],
    len: u8,
}

impl IfName {
    /// Bytes of the longest name.
    pub const MAX_LEN: usize = 15;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl FromStr for IfName {
    type Err = Error;

    /// Takes what Linux takes (`dev_valid_name`).
    fn from_str(text: &str) -> Result<IfName> {
        let strange = |c: char| c == '/' || c == ':' || c.is_whitespace();
        if text.is_empty() || text.len() > IfName::MAX_LEN || matches!(text, "." | "..") || text.contains(strange) {
            return Err(Error::InvalidInput("an interface's name has 1 to 15 bytes, and no slash, colon or space"));
        }
        let mut bytes = [0; IfName::MAX_LEN];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Ok(IfName { bytes, len: text.len() as u8 })
    }
}

impl Default for IfName {
    /// `tun0`.
    fn default() -> Self {
        const NAME: [u8; 4] = *b"tun0";
        let mut bytes = [0; IfName::MAX_LEN];
        bytes[..NAME.len()].copy_from_slice(&NAME);
        IfName { bytes, len: NAME.len() as u8 }
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// One more interface of a stack, beside the first.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name, by which routes find it. No other has it.
    pub name: IfName,
    /// The stack's addresses on it.
    pub addresses: Vec<Cidr>,
    /// The largest IP packet on its link, in bytes (68 to 65,535).
    pub mtu: usize,
}

/// What an interface is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Its number, as `if_nametoindex` would give it: 1 is the first.
    pub number: u32,
    /// Its name.
    pub name: IfName,
    /// The stack's addresses on it.
    pub addresses: Vec<Cidr>,
    /// The largest IP packet on its link, in bytes.
    pub mtu: usize,
}

/// Whether an address belongs to the host or to the interface that has it (RFC 1122 3.3.4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostModel {
    /// To the host: packets for it may come in by any interface, and packets from it leave as the routes say. Linux's.
    #[default]
    Weak,
    /// To the interface: packets for it come in, and packets from it leave, by that one alone.
    Strong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        for good in ["t", "tun0", "abcdefghijklmno", "eth0.7", "größe"] {
            assert_eq!(good.parse::<IfName>().unwrap().to_string(), good);
        }
        for bad in ["", "abcdefghijklmnop", ".", "..", "a/b", "a b", "a:0", "a\n"] {
            assert!(bad.parse::<IfName>().is_err(), "{bad:?}");
        }
        assert_eq!(IfName::default(), "tun0".parse().unwrap());
        assert_eq!(format!("{:?} {:>6}", IfName::default(), IfName::default()), "\"tun0\"   tun0");
    }
}
