//! The TCP header (RFC 9293 3.1): parse and emit.

use super::tcp_options::TcpOptions;
use crate::stats::DropReason;
use core::fmt;
use core::ops::{BitOr, BitOrAssign};

/// Length of the longest header, options included, in bytes.
pub const MAX_HEADER_LEN: usize = 60;

/// The eight control bits.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No bit.
    pub const NONE: Flags = Flags(0);
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push function.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgment field is significant.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer is significant.
    pub const URG: Flags = Flags(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Flags = Flags(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x80);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether SYN is set.
    pub const fn syn(self) -> bool {
        self.contains(Flags::SYN)
    }

    /// Whether ACK is set.
    pub const fn ack(self) -> bool {
        self.contains(Flags::ACK)
    }

    /// Whether FIN is set.
    pub const fn fin(self) -> bool {
        self.contains(Flags::FIN)
    }

    /// Whether RST is set.
    pub const fn rst(self) -> bool {
        self.contains(Flags::RST)
    }

    /// Whether URG is set.
    pub const fn urg(self) -> bool {
        self.contains(Flags::URG)
    }

    /// Whether PSH is set.
    pub const fn psh(self) -> bool {
        self.contains(Flags::PSH)
    }
}

impl BitOr for Flags {
    type Output = Flags;
    fn bitor(self, rhs: Flags) -> Flags {
        Flags(self.0 | rhs.0)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, rhs: Flags) {
        self.0 |= rhs.0;
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let mut first = true;
        for (bit, name) in NAMES.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                if !first {
                    f.write_str(",")?;
                }
                f.write_str(name)?;
                first = false;
            }
        }
        if first { f.write_str("none") } else { Ok(()) }
    }
}

/// The fields of a TCP header, in the header's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first byte, or of the SYN.
    pub seq: u32,
    /// Next sequence number expected; meaningful with ACK.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// The window field as it stands in the header, not scaled.
    pub wnd: u16,
    /// Urgent pointer; meaningful with URG.
    pub up: u16,
    /// Options.
    pub options: TcpOptions,
}

/// The length of a header without options, in bytes.
pub const MIN_HEADER_LEN: usize = 20;

/// Where the checksum field stands in the header.
pub const CHECKSUM_OFFSET: usize = 16;

/// Parses the TCP header at the start of `bytes` (an IP payload) and gives it with the length of the header in bytes.
/// The checksum is not looked at; see [`checksum`](super::checksum). Options that only a SYN may carry are ignored
/// elsewhere (MUST-65).
///
/// # Errors
/// `TcpMalformed` if the bytes end before the header does, or the data offset is below five.
pub fn parse(bytes: &[u8]) -> Result<(TcpHeader, usize), DropReason> {
    let slice = etherparse::TcpHeaderSlice::from_slice(bytes).map_err(|_| DropReason::TcpMalformed)?;
    let flags = Flags(slice.slice()[13]);
    let options = TcpOptions::parse(slice.options());
    let header = TcpHeader {
        src_port: slice.source_port(),
        dst_port: slice.destination_port(),
        seq: slice.sequence_number(),
        ack: slice.acknowledgment_number(),
        flags,
        wnd: slice.window_size(),
        up: slice.urgent_pointer(),
        options: if flags.syn() { options } else { options.without_syn_only() },
    };
    Ok((header, slice.slice().len()))
}

/// The length that [`emit`] gives for `header`.
pub fn emitted_len(header: &TcpHeader) -> usize {
    MIN_HEADER_LEN + emitted_options(header).encoded_len()
}

fn emitted_options(header: &TcpHeader) -> TcpOptions {
    if header.flags.syn() { header.options } else { header.options.without_syn_only() }
}

/// Writes `header` to the start of `buf`, with a zero checksum field, and gives its length (20 to 60 bytes, a
/// multiple of four). Options that only a SYN may carry are left out elsewhere (MUST-65).
///
/// # Panics
/// If `buf` is shorter.
pub fn emit(header: &TcpHeader, buf: &mut [u8]) -> usize {
    let len = MIN_HEADER_LEN + emitted_options(header).emit(&mut buf[MIN_HEADER_LEN..]);
    buf[0..2].copy_from_slice(&header.src_port.to_be_bytes());
    buf[2..4].copy_from_slice(&header.dst_port.to_be_bytes());
    buf[4..8].copy_from_slice(&header.seq.to_be_bytes());
    buf[8..12].copy_from_slice(&header.ack.to_be_bytes());
    buf[12] = ((len / 4) as u8) << 4;
    buf[13] = header.flags.0;
    buf[14..16].copy_from_slice(&header.wnd.to_be_bytes());
    buf[16..18].fill(0);
    buf[18..20].copy_from_slice(&header.up.to_be_bytes());
    len
}

#[cfg(test)]
mod tests {
    use super::super::tcp_options::tests::any_options;
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn any_header()(
            ports in any::<(u16, u16)>(),
            numbers in any::<(u32, u32)>(),
            flags in any::<u8>(),
            rest in any::<(u16, u16)>(),
            options in any_options(),
        ) -> TcpHeader {
            let flags = Flags(flags);
            TcpHeader {
                src_port: ports.0,
                dst_port: ports.1,
                seq: numbers.0,
                ack: numbers.1,
                flags,
                wnd: rest.0,
                up: rest.1,
                options: if flags.syn() { options } else { options.without_syn_only() },
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_emitted_parses_to_the_same(mut header in any_header(), payload in any::<[u8; 5]>()) {
            let mut buf = [0xee; 65];
            let len = emit(&header, &mut buf);
            buf[len..len + 5].copy_from_slice(&payload);
            let (parsed, parsed_len) = parse(&buf[..len + 5]).unwrap();
            prop_assert_eq!(parsed_len, len);
            prop_assert_eq!(len, 20 + header.options.encoded_len());
            // SACK blocks that did not fit are gone; see tcp_options.
            header.options.sack = parsed.options.sack;
            prop_assert_eq!(parsed, header);
        }

        #[test]
        fn no_bytes_break_the_parser(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok((_, len)) = parse(&bytes) {
                prop_assert!((20..=60).contains(&len) && len <= bytes.len());
            }
        }

        /// MUST-65, both ways.
        #[test]
        fn the_mss_travels_only_in_a_syn(flags in any::<u8>(), mss in any::<u16>()) {
            let flags = Flags(flags);
            let options = TcpOptions { mss: Some(mss), ..TcpOptions::default() };
            let header = TcpHeader { flags, options, ..TcpHeader::default() };
            let mut buf = [0; 60];
            let len = emit(&header, &mut buf);
            prop_assert_eq!(len, if flags.syn() { 24 } else { 20 });
            emit(&TcpHeader { flags: Flags::SYN, ..header }, &mut buf);
            buf[13] = flags.0;
            let (parsed, _) = parse(&buf[..24]).unwrap();
            prop_assert_eq!(parsed.options.mss, flags.syn().then_some(mss));
        }
    }

    #[test]
    fn a_wrong_data_offset_is_refused() {
        let mut buf = [0; 60];
        let len = emit(&TcpHeader::default(), &mut buf);
        for words in 0..=15u8 {
            buf[12] = words << 4;
            assert_eq!(parse(&buf[..len]).is_ok(), words == 5, "data offset {words} in 20 bytes");
            assert_eq!(parse(&buf[..60]).is_ok(), words >= 5, "data offset {words} in 60 bytes");
        }
        for short in 0..20 {
            assert_eq!(parse(&buf[..short]), Err(DropReason::TcpMalformed));
        }
    }
}
