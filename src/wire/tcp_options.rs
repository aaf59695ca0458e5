//! TCP options (RFC 9293 3.2, 7323, 2018): parse and emit.
//!
//! Unknown kinds are skipped by their length (MUST-6). An impossible length ends the parse and keeps the segment
//! (MUST-7, as Linux does). Options may start at any byte (MUST-64).

use smallvec::SmallVec;

/// One SACK block: left edge, right edge (the first byte not covered).
pub type SackBlock = (u32, u32);

/// The options of one segment. None of them is present by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Maximum segment size; only in SYN.
    pub mss: Option<u16>,
    /// Window scale shift as received, unclamped; only in SYN.
    pub window_scale: Option<u8>,
    /// SACK permitted; only in SYN.
    pub sack_permitted: bool,
    /// Time stamps: (TSval, TSecr).
    pub timestamps: Option<(u32, u32)>,
    /// SACK blocks, most recent first.
    pub sack: SackBlocks,
}

/// Up to four SACK blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks {
    blocks: [SackBlock; 4],
    len: u8,
}

impl SackBlocks {
    /// The most blocks that the 40 bytes of options hold.
    pub const MAX: usize = 4;

    /// Adds a block if there is room, and says whether there was.
    pub fn push(&mut self, block: SackBlock) -> bool {
        let Some(slot) = self.blocks.get_mut(usize::from(self.len)) else {
            return false;
        };
        *slot = block;
        self.len += 1;
        true
    }

    /// The blocks, most recent first.
    pub fn as_slice(&self) -> &[SackBlock] {
        &self.blocks[..usize::from(self.len)]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl TcpOptions {
    /// Parses the bytes between the fixed header and the data offset. It never fails: what is wrong is left out.
    pub fn parse(bytes: &[u8]) -> Self {
        let _ = bytes;
        unimplemented!("wire")
    }

    /// The length that [`emit`](TcpOptions::emit) will write: a multiple of four, at most 40. SACK blocks that do not
    /// fit are left out, the last ones first.
    pub fn encoded_len(&self) -> usize {
        unimplemented!("wire")
    }

    /// Writes the options to the start of `buf`, padded with zeros after an End of Option List, or aligned by NOPs, to
    /// [`encoded_len`](TcpOptions::encoded_len) bytes, and gives that length.
    pub fn emit(&self, buf: &mut [u8]) -> usize {
        let _ = (buf, SmallVec::<[u8; 4]>::new());
        unimplemented!("wire")
    }
}
