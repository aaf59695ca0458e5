//! Frames as they cross the device's edge: one IP packet, possibly a super-segment of many MSS, with what the device
//! says about its checksum and segmentation.

use crate::buf::{Slice, Slices};

/// What the device knows about a received frame's transport checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RxChecksum {
    /// Nothing: verify it.
    #[default]
    Unverified,
    /// It was verified already, or the frame never left this machine.
    Valid,
    /// The field holds only the pseudo-header's sum; the data never crossed a wire (virtio's NEEDS_CSUM).
    Partial,
    /// What the device says contradicts the packet or itself, so that no word of it can be believed: the frame is to be
    /// dropped.
    Contradicted,
}

/// The kind of a super-segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GsoKind {
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP datagrams of one size.
    Udp,
}

/// How a super-segment is to be, or was, cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gso {
    /// What is being cut.
    pub kind: GsoKind,
    /// Payload bytes of each piece but the last.
    pub size: u16,
}

/// What a device does for us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// It completes partial checksums on frames we send.
    pub checksum: bool,
    /// It cuts TCP super-segments over IPv4.
    pub tso4: bool,
    /// It cuts TCP super-segments over IPv6.
    pub tso6: bool,
    /// It cuts UDP super-segments.
    pub uso: bool,
}

impl Offloads {
    /// None: each frame is one packet with all its checksums.
    pub const NONE: Offloads = Offloads { checksum: false, tso4: false, tso6: false, uso: false };

    /// What both do.
    pub const fn and(self, other: Offloads) -> Offloads {
        Offloads {
            checksum: self.checksum && other.checksum,
            tso4: self.tso4 && other.tso4,
            tso6: self.tso6 && other.tso6,
            uso: self.uso && other.uso,
        }
    }

    /// All of them.
    pub const ALL: Offloads = Offloads { checksum: true, tso4: true, tso6: true, uso: true };
}

/// The names of what is done, such as `checksum tso4`, or `none`.
impl core::fmt::Display for Offloads {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let all = [(self.checksum, "checksum"), (self.tso4, "tso4"), (self.tso6, "tso6"), (self.uso, "uso")];
        let mut separator = "";
        for (_, name) in all.iter().filter(|(offered, _)| *offered) {
            write!(f, "{separator}{name}")?;
            separator = " ";
        }
        if separator.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

/// What the device says about a received frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxMeta {
    /// The state of its transport checksum.
    pub checksum: RxChecksum,
    /// Set if the frame is a super-segment.
    pub gso: Option<Gso>,
    /// The number of the interface that it came in by, from one; zero where there is only one.
    pub interface: u8,
}

/// A received frame: one IP packet.
#[derive(Clone, Debug)]
pub struct RxFrame {
    /// The IP packet, from the first byte of its header.
    pub data: Slice,
    /// What the device said about it.
    pub meta: RxMeta,
}

impl RxFrame {
    /// A frame as a plain device gives it: nothing is known of its checksum.
    pub fn plain(data: Slice) -> Self {
        RxFrame { data, meta: RxMeta::default() }
    }
}

/// What the device must do to a frame before it is on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxMeta {
    /// If set, the transport checksum is partial: (offset of the transport header, offset of the field in it).
    pub partial_checksum: Option<(u16, u16)>,
    /// If set, cut it.
    pub gso: Option<Gso>,
    /// The number of the interface that it leaves by, from one; zero where there is only one.
    pub interface: u8,
}

impl TxMeta {
    /// Whether nothing must be done.
    pub fn is_plain(&self) -> bool {
        self.partial_checksum.is_none() && self.gso.is_none()
    }
}

/// The headers of an outgoing frame: room for IP with options and TCP with options.
#[derive(Clone, Copy)]
pub struct TxHeader {
    bytes: [u8; TxHeader::CAPACITY],
    len: u8,
}

impl TxHeader {
    /// Bytes of room: 60 of IP and 60 of TCP.
    pub const CAPACITY: usize = 120;

    /// An empty header.
    pub const fn new() -> Self {
        TxHeader { bytes: [0; Self::CAPACITY], len: 0 }
    }

    /// The whole room, to be written. Call [`set_len`](TxHeader::set_len) afterwards.
    pub fn space(&mut self) -> &mut [u8; Self::CAPACITY] {
        &mut self.bytes
    }

    /// Says how many bytes are in use.
    ///
    /// # Panics
    /// If `len` is more than [`TxHeader::CAPACITY`].
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= Self::CAPACITY, "headers longer than their room");
        self.len = len as u8;
    }
}

impl Default for TxHeader {
    fn default() -> Self {
        Self::new()
    }
}

impl core::ops::Deref for TxHeader {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl core::fmt::Debug for TxHeader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "TxHeader({} bytes)", self.len)
    }
}

/// An outgoing frame: headers, then payload slices that are still shared with the send buffer. A device writes them
/// with one `writev`, or copies them together with [`write_to`](TxFrame::write_to).
#[derive(Clone, Debug, Default)]
pub struct TxFrame {
    /// IP and transport headers.
    pub header: TxHeader,
    /// What follows them.
    pub payload: Slices,
    /// What the device must do.
    pub meta: TxMeta,
}

impl TxFrame {
    /// The length of the IP packet in bytes.
    pub fn len(&self) -> usize {
        self.header.len() + self.payload.iter().map(|s| s.len()).sum::<usize>()
    }

    /// Whether there is no byte in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the packet into `buf` and says how long it is.
    ///
    /// # Panics
    /// If `buf` is shorter than [`len`](TxFrame::len).
    pub fn write_to(&self, buf: &mut [u8]) -> usize {
        let mut at = self.header.len();
        buf[..at].copy_from_slice(&self.header);
        for slice in &self.payload {
            buf[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        at
    }

    /// The packet in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = vec![0; self.len()];
        self.write_to(&mut out);
        out
    }
}
