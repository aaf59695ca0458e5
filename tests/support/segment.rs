//! [`Seg`]: a segment to send, or what to expect of one.

use core::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;

/// A sequence or acknowledgment number: counted from the side's ISN, or as it stands in the header.
#[derive(Clone, Copy, Debug)]
pub enum Num {
    Relative(i64),
    Absolute(u32),
}

/// What is said about an option.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Want<T> {
    /// Nothing: absent (or the default) when sent, not compared when expected.
    #[default]
    Unnamed,
    Absent,
    /// Present, whatever its value.
    Present,
    Is(T),
}

impl<T: PartialEq> Want<T> {
    pub fn admits(&self, got: &Option<T>) -> bool {
        match self {
            Want::Unnamed => true,
            Want::Absent => got.is_none(),
            Want::Present => got.is_some(),
            Want::Is(value) => got.as_ref() == Some(value),
        }
    }

    pub fn value(&self) -> Option<&T> {
        match self {
            Want::Is(value) => Some(value),
            _ => None,
        }
    }
}

/// A segment's text.
#[derive(Clone, Debug)]
pub enum Text {
    Bytes(Vec<u8>),
    /// So many bytes; when sent, those of [`pattern`](super::pattern) for the segment's place in the stream.
    Pattern(usize),
}

/// A segment to send, or what to expect of one. See the [module](super).
#[derive(Clone, Debug, Default)]
pub struct Seg {
    pub flags: u8,
    /// Which flags are compared.
    pub mask: u8,
    pub seq: Option<Num>,
    pub ack: Option<Num>,
    pub wnd: Option<u16>,
    pub up: Option<u16>,
    pub text: Option<Text>,
    pub mss: Want<u16>,
    pub ws: Want<u8>,
    pub sack_ok: Want<()>,
    pub ts: Want<(u32, u32)>,
    pub ts_ecr: Option<u32>,
    /// SACK blocks in relative numbers of the side whose data they cover.
    pub sack: Want<Vec<(u32, u32)>>,
    pub raw_options: Option<Vec<u8>>,
    pub ip_options: Vec<u8>,
    pub ttl: Option<u8>,
    pub tos: Option<u8>,
    pub src: Option<SocketAddrV4>,
    pub dst: Option<Ipv4Addr>,
    pub bad_checksum: bool,
}

/// A segment with these flags and no text.
pub fn seg(flags: u8) -> Seg {
    Seg { flags, mask: !PSH, text: Some(Text::Bytes(Vec::new())), ..Seg::default() }
}

pub fn syn() -> Seg {
    seg(SYN)
}

pub fn synack() -> Seg {
    seg(SYN | ACK)
}

pub fn ack() -> Seg {
    seg(ACK)
}

/// Text, acknowledging what came before.
pub fn data(text: &[u8]) -> Seg {
    seg(ACK).text(text)
}

/// `n` bytes of text.
pub fn full(n: usize) -> Seg {
    seg(ACK).len(n)
}

pub fn fin() -> Seg {
    seg(FIN | ACK)
}

pub fn rst() -> Seg {
    seg(RST)
}

pub fn rst_ack() -> Seg {
    seg(RST | ACK)
}

/// Expects a reset with or without ACK (an abort may send either).
pub fn reset() -> Seg {
    Seg { mask: !(PSH | ACK), text: None, ..seg(RST) }
}

impl Seg {
    pub fn seq(mut self, n: i64) -> Self {
        self.seq = Some(Num::Relative(n));
        self
    }

    pub fn abs_seq(mut self, n: u32) -> Self {
        self.seq = Some(Num::Absolute(n));
        self
    }

    pub fn ack(mut self, n: i64) -> Self {
        self.ack = Some(Num::Relative(n));
        self
    }

    pub fn abs_ack(mut self, n: u32) -> Self {
        self.ack = Some(Num::Absolute(n));
        self
    }

    /// The window field as it stands in the header.
    pub fn wnd(mut self, wnd: u16) -> Self {
        self.wnd = Some(wnd);
        self
    }

    /// Sets URG and the urgent pointer.
    pub fn urg(mut self, up: u16) -> Self {
        self.flags |= URG;
        self.up = Some(up);
        self
    }

    /// Sets PSH, or expects it.
    pub fn psh(mut self) -> Self {
        self.flags |= PSH;
        self.mask |= PSH;
        self
    }

    pub fn with(mut self, flags: u8) -> Self {
        self.flags |= flags;
        self
    }

    pub fn text(mut self, text: &[u8]) -> Self {
        self.text = Some(Text::Bytes(text.to_vec()));
        self
    }

    pub fn len(mut self, n: usize) -> Self {
        self.text = Some(Text::Pattern(n));
        self
    }

    /// Expects any text or none.
    pub fn any_text(mut self) -> Self {
        self.text = None;
        self
    }

    pub fn mss(mut self, mss: u16) -> Self {
        self.mss = Want::Is(mss);
        self
    }

    pub fn ws(mut self, shift: u8) -> Self {
        self.ws = Want::Is(shift);
        self
    }

    pub fn has_ws(mut self) -> Self {
        self.ws = Want::Present;
        self
    }

    pub fn no_ws(mut self) -> Self {
        self.ws = Want::Absent;
        self
    }

    pub fn sack_ok(mut self) -> Self {
        self.sack_ok = Want::Is(());
        self
    }

    pub fn no_sack_ok(mut self) -> Self {
        self.sack_ok = Want::Absent;
        self
    }

    pub fn ts(mut self, val: u32, ecr: u32) -> Self {
        self.ts = Want::Is((val, ecr));
        self
    }

    pub fn has_ts(mut self) -> Self {
        self.ts = Want::Present;
        self
    }

    /// Expects time stamps with this TSecr.
    pub fn ecr(mut self, ecr: u32) -> Self {
        self.ts = Want::Present;
        self.ts_ecr = Some(ecr);
        self
    }

    pub fn no_ts(mut self) -> Self {
        self.ts = Want::Absent;
        self
    }

    /// SACK blocks, in relative numbers of the acknowledged side.
    pub fn sack(mut self, blocks: &[(u32, u32)]) -> Self {
        self.sack = Want::Is(blocks.to_vec());
        self
    }

    pub fn no_sack(mut self) -> Self {
        self.sack = Want::Absent;
        self
    }

    /// Exactly these bytes as options, zero-padded.
    pub fn raw_options(mut self, bytes: &[u8]) -> Self {
        self.raw_options = Some(bytes.to_vec());
        self
    }

    pub fn ip_options(mut self, bytes: &[u8]) -> Self {
        self.ip_options = bytes.to_vec();
        self
    }

    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = Some(ttl);
        self
    }

    pub fn tos(mut self, tos: u8) -> Self {
        self.tos = Some(tos);
        self
    }

    /// From another source than the scripted peer.
    pub fn src(mut self, src: SocketAddrV4) -> Self {
        self.src = Some(src);
        self
    }

    /// To another address than the stack's.
    pub fn dst(mut self, dst: Ipv4Addr) -> Self {
        self.dst = Some(dst);
        self
    }

    pub fn bad_checksum(mut self) -> Self {
        self.bad_checksum = true;
        self
    }

    pub fn text_len(&self) -> usize {
        match &self.text {
            None => 0,
            Some(Text::Bytes(bytes)) => bytes.len(),
            Some(Text::Pattern(n)) => *n,
        }
    }

    /// What the segment takes of sequence space.
    pub fn seq_len(&self) -> u32 {
        self.text_len() as u32 + u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0)
    }
}

pub fn flags_name(flags: u8) -> String {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> = NAMES.iter().enumerate().filter(|(i, _)| flags & (1 << i) != 0).map(|(_, n)| *n).collect();
    if set.is_empty() { "no flag".into() } else { set.join(",") }
}

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Num::Relative(n) => write!(f, "{n}"),
            Num::Absolute(n) => write!(f, "{n} (absolute)"),
        }
    }
}

impl fmt::Display for Seg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", flags_name(self.flags))?;
        let fields = [
            ("seq", self.seq.map(|n| n.to_string())),
            ("ack", self.ack.map(|n| n.to_string())),
            ("wnd", self.wnd.map(|n| n.to_string())),
            ("up", self.up.map(|n| n.to_string())),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                write!(f, " {name}={value}")?;
            }
        }
        if self.text.is_some() {
            write!(f, " len={}", self.text_len())?;
        }
        option(f, "mss", &self.mss)?;
        option(f, "ws", &self.ws)?;
        option(f, "sackOK", &self.sack_ok)?;
        option(f, "ts", &self.ts)?;
        option(f, "sack", &self.sack)
    }
}

fn option<T: fmt::Debug>(f: &mut fmt::Formatter<'_>, name: &str, want: &Want<T>) -> fmt::Result {
    match want {
        Want::Unnamed => Ok(()),
        Want::Absent => write!(f, " no-{name}"),
        Want::Present => write!(f, " {name}"),
        Want::Is(value) => write!(f, " {name}={value:?}"),
    }
}
