//! What a socket is ready for.

use core::fmt;
use core::ops::{BitOr, BitOrAssign};

/// A set of readiness bits, with poll(2)'s meanings.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Readiness = Readiness(0);
    /// `recv` or `accept` will not block: data, end of stream, or an error (POLLIN).
    pub const READABLE: Readiness = Readiness(1);
    /// `send` will not block: room, or an error (POLLOUT).
    pub const WRITABLE: Readiness = Readiness(2);
    /// Urgent data lies ahead (POLLPRI).
    pub const PRIORITY: Readiness = Readiness(4);
    /// The peer has closed its sending side (POLLRDHUP).
    pub const READ_CLOSED: Readiness = Readiness(8);
    /// Both directions are closed (POLLHUP).
    pub const HANGUP: Readiness = Readiness(16);
    /// An error is pending (POLLERR).
    pub const ERROR: Readiness = Readiness(32);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    pub const fn intersects(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether a bit is set here that is not set in `before`.
    pub const fn adds_to(self, before: Readiness) -> bool {
        self.0 & !before.0 != 0
    }

    /// The bits set here or in `other`: `|`, for constants.
    #[must_use]
    pub const fn union(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }

    /// The bits set here and in `other`.
    #[must_use]
    pub const fn intersection(self, other: Readiness) -> Readiness {
        Readiness(self.0 & other.0)
    }

    /// This set without the bits of `other`.
    #[must_use]
    pub const fn without(self, other: Readiness) -> Readiness {
        Readiness(self.0 & !other.0)
    }

    /// Whether no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Readiness {
    type Output = Readiness;
    fn bitor(self, rhs: Readiness) -> Readiness {
        self.union(rhs)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, rhs: Readiness) {
        self.0 |= rhs.0;
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 6] = ["readable", "writable", "priority", "read-closed", "hangup", "error"];
        f.debug_set().entries(NAMES.iter().enumerate().filter(|(i, _)| self.0 & (1 << i) != 0).map(|(_, n)| n)).finish()
    }
}
