//! The flags of recv(2) and send(2), for the calls that take them.

use core::fmt;
use core::ops::{BitOr, BitOrAssign};

/// How one call sends or receives (MSG_PEEK and the others of recv(2) and send(2)). A flag that means nothing to a call,
/// or to a kind of socket, changes nothing, as on Linux, unless the call says so.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct MsgFlags(u8);

impl MsgFlags {
    /// None.
    pub const NONE: MsgFlags = MsgFlags(0);
    /// Received data stays, and will be received again.
    pub const PEEK: MsgFlags = MsgFlags(1);
    /// A stream's call returns only when the buffer is full, or no more comes: at the end of the stream, by an error, a
    /// time-out, or before urgent data.
    pub const WAITALL: MsgFlags = MsgFlags(2);
    /// The call does not wait.
    pub const DONTWAIT: MsgFlags = MsgFlags(4);
    /// More follows: a stream holds back what does not fill a segment, as with TCP_CORK, until a call without this flag, or
    /// until the time of a retransmission (200 ms at least) has passed.
    pub const MORE: MsgFlags = MsgFlags(8);
    /// A datagram's whole length is given, though the buffer be shorter; a stream's data is thrown away instead of
    /// copied.
    pub const TRUNC: MsgFlags = MsgFlags(16);
    /// The last byte that is sent is urgent; the urgent byte is received.
    pub const OOB: MsgFlags = MsgFlags(32);

    /// Whether all of `other` are set.
    pub const fn contains(self, other: MsgFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for MsgFlags {
    type Output = MsgFlags;
    fn bitor(self, rhs: MsgFlags) -> MsgFlags {
        MsgFlags(self.0 | rhs.0)
    }
}

impl BitOrAssign for MsgFlags {
    fn bitor_assign(&mut self, rhs: MsgFlags) {
        self.0 |= rhs.0;
    }
}

impl fmt::Debug for MsgFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 6] = ["PEEK", "WAITALL", "DONTWAIT", "MORE", "TRUNC", "OOB"];
        f.debug_set().entries(NAMES.iter().enumerate().filter(|(i, _)| self.0 & (1 << i) != 0).map(|(_, n)| n)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_a_set() {
        let mut flags = MsgFlags::PEEK | MsgFlags::TRUNC;
        assert!(flags.contains(MsgFlags::PEEK) && flags.contains(MsgFlags::NONE) && !flags.contains(MsgFlags::OOB));
        flags |= MsgFlags::OOB;
        assert_eq!(format!("{flags:?}"), r#"{"PEEK", "TRUNC", "OOB"}"#);
    }
}
