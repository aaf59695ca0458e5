//! TCP options (RFC 9293 3.2, 7323, 2018): parse and emit.
//!
//! Unknown kinds are skipped by their length (MUST-6). An impossible length ends the parse and keeps the segment
//! (MUST-7, as Linux does). Options may start at any byte (MUST-64).

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

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// The most bytes that options take: what the largest data offset leaves.
const MAX_LEN: usize = 40;

impl TcpOptions {
    /// Parses the bytes between the fixed header and the data offset. It never fails: what is wrong is left out.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut options = TcpOptions::default();
        let mut rest = bytes;
        loop {
            rest = match *rest {
                [NOP, ref after @ ..] => after,
                [END, ..] | [] | [_] => break,
                [kind, len, ..] => {
                    let len = usize::from(len);
                    if len < 2 || len > rest.len() {
                        break;
                    }
                    options.take(kind, &rest[2..len]);
                    &rest[len..]
                }
            };
        }
        options
    }

    fn take(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (MSS, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            (WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift),
            (SACK_PERMITTED, &[]) => self.sack_permitted = true,
            (TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                self.timestamps = Some((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])));
            }
            (SACK, value) => {
                if let (blocks @ [_, ..], []) = value.as_chunks::<8>() {
                    self.sack = SackBlocks::default();
                    for &[a, b, c, d, e, f, g, h] in blocks {
                        self.sack.push((u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h])));
                    }
                }
            }
            _ => {}
        }
    }

    /// These options without those that only a SYN may carry (MUST-65, RFC 7323 2.2, RFC 2018 2).
    pub(super) fn without_syn_only(self) -> Self {
        TcpOptions { mss: None, window_scale: None, sack_permitted: false, ..self }
    }

    /// The length that [`emit`](TcpOptions::emit) will write: a multiple of four, at most 40. SACK blocks that do not
    /// fit are left out, the last ones first.
    pub fn encoded_len(&self) -> usize {
        let fixed = self.fixed_len();
        match self.sack_that_fits(fixed) {
            [] => fixed,
            blocks => fixed + 4 + 8 * blocks.len(),
        }
    }

    /// The length of everything but SACK blocks.
    fn fixed_len(&self) -> usize {
        let mss = if self.mss.is_some() { 4 } else { 0 };
        let window_scale = if self.window_scale.is_some() { 4 } else { 0 };
        // SACK permitted stands where the time stamps' two NOPs would be.
        let rest = match (self.timestamps.is_some(), self.sack_permitted) {
            (true, _) => 12,
            (false, true) => 4,
            (false, false) => 0,
        };
        mss + window_scale + rest
    }

    fn sack_that_fits(&self, fixed: usize) -> &[SackBlock] {
        let blocks = self.sack.as_slice();
        &blocks[..blocks.len().min((MAX_LEN - 4 - fixed) / 8)]
    }

    /// Writes the options to the start of `buf`, aligned by NOPs to [`encoded_len`](TcpOptions::encoded_len) bytes, and
    /// gives that length. There is no padding, so no End of Option List either.
    ///
    /// # Panics
    /// If `buf` is shorter.
    pub fn emit(&self, buf: &mut [u8]) -> usize {
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            buf[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        if let Some(mss) = self.mss {
            put(&[MSS, 4]);
            put(&mss.to_be_bytes());
        }
        if self.sack_permitted {
            put(&[SACK_PERMITTED, 2]);
        }
        if self.sack_permitted != self.timestamps.is_some() {
            put(&[NOP, NOP]);
        }
        if let Some((value, echo)) = self.timestamps {
            put(&[TIMESTAMPS, 10]);
            put(&value.to_be_bytes());
            put(&echo.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            put(&[NOP, WINDOW_SCALE, 3, shift]);
        }
        let blocks = self.sack_that_fits(self.fixed_len());
        if !blocks.is_empty() {
            put(&[NOP, NOP, SACK, 2 + 8 * blocks.len() as u8]);
            for (left, right) in blocks {
                put(&left.to_be_bytes());
                put(&right.to_be_bytes());
            }
        }
        at
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(options: &TcpOptions) -> Vec<u8> {
        let mut buf = [0xee; 60];
        let n = options.emit(&mut buf);
        assert!(buf[n..].iter().all(|&b| b == 0xee), "nothing is written beyond the length");
        buf[..n].to_vec()
    }

    prop_compose! {
        /// Any options.
        pub(in crate::wire) fn any_options()(
            mss in any::<Option<u16>>(),
            window_scale in any::<Option<u8>>(),
            sack_permitted in any::<bool>(),
            timestamps in any::<Option<(u32, u32)>>(),
            blocks in proptest::collection::vec(any::<(u32, u32)>(), 0..=4),
        ) -> TcpOptions {
            let mut sack = SackBlocks::default();
            for block in blocks {
                sack.push(block);
            }
            TcpOptions { mss, window_scale, sack_permitted, timestamps, sack }
        }
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(options in any_options()) {
            let bytes = encode(&options);
            prop_assert_eq!(bytes.len(), options.encoded_len());
            prop_assert!(bytes.len() <= MAX_LEN && bytes.len().is_multiple_of(4));
            let parsed = TcpOptions::parse(&bytes);
            let fit = parsed.sack.as_slice().len();
            prop_assert_eq!(parsed.sack.as_slice(), &options.sack.as_slice()[..fit]);
            prop_assert!(fit == options.sack.as_slice().len() || bytes.len() + 8 > MAX_LEN);
            prop_assert_eq!(TcpOptions { sack: options.sack, ..parsed }, options);
        }

        /// MUST-68: walking by kind and length alone ends exactly at the end.
        #[test]
        fn every_option_carries_its_length(options in any_options()) {
            let bytes = encode(&options);
            let mut at = 0;
            while at < bytes.len() {
                at += match bytes[at] {
                    NOP => 1,
                    END => panic!("no end of list is ever written"),
                    _ => usize::from(bytes[at + 1]),
                };
            }
            prop_assert_eq!(at, bytes.len());
        }

        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..=40)) {
            TcpOptions::parse(&bytes);
        }

        /// Bytes that look like options, with lengths that lie.
        #[test]
        fn no_lengths_break_the_parser(pairs in proptest::collection::vec((0u8..10, 0u8..45), 0..=20)) {
            let bytes: Vec<u8> = pairs.into_iter().flat_map(|(kind, len)| [kind, len]).collect();
            TcpOptions::parse(&bytes);
        }
    }

    #[test]
    fn options_may_start_at_any_byte() {
        let timestamps = [TIMESTAMPS, 10, 0, 0, 0, 7, 0, 0, 0, 9];
        let want = TcpOptions { timestamps: Some((7, 9)), ..TcpOptions::default() };
        for nops in 0..4 {
            let bytes = [&[NOP; 3][..nops.min(3)], &timestamps[..]].concat();
            assert_eq!(TcpOptions::parse(&bytes), want, "after {nops} NOPs");
        }
        let after_odd = TcpOptions::parse(&[NOP, MSS, 4, 5, 180]);
        assert_eq!(after_odd.mss, Some(1460));
    }

    #[test]
    fn unknown_kinds_are_skipped_by_their_length() {
        let options = TcpOptions::parse(&[254, 4, 0xff, 0xff, 77, 2, MSS, 4, 2, 24]);
        assert_eq!(options.mss, Some(536));
    }

    /// MUST-7, as Linux does: what came before the illegal length counts, what follows does not.
    #[test]
    fn an_illegal_length_ends_the_parse() {
        let good = [MSS, 4, 5, 180];
        let want = TcpOptions { mss: Some(1460), ..TcpOptions::default() };
        let follows = [WINDOW_SCALE, 3, 7];
        for len in [0, 1, 6, 255] {
            let bytes = [&good[..], &[254, len], &follows].concat();
            assert_eq!(TcpOptions::parse(&bytes), want, "length {len}");
        }
        for cut in 1..10 {
            let timestamps = [TIMESTAMPS, 10, 0, 0, 0, 7, 0, 0, 0, 9];
            let bytes = [&good[..], &timestamps[..cut]].concat();
            assert_eq!(TcpOptions::parse(&bytes), want, "{cut} bytes of time stamps");
        }
    }

    #[test]
    fn a_known_kind_with_another_length_is_not_believed() {
        let options =
            TcpOptions::parse(&[MSS, 3, 1, WINDOW_SCALE, 4, 1, 1, SACK_PERMITTED, 3, 0, SACK, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(options, TcpOptions::default());
    }

    #[test]
    fn nothing_after_the_end_of_the_list_counts() {
        assert_eq!(TcpOptions::parse(&[END, MSS, 4, 5, 180]), TcpOptions::default());
    }

    #[test]
    fn a_syn_with_everything_is_as_short_as_it_can_be() {
        let options = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some((1, 0)),
            ..TcpOptions::default()
        };
        assert_eq!(options.encoded_len(), 20);
    }
}
