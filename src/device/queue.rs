//! What the plain and the offloading TUN have in common: a queue's descriptor, and how its errors are taken.

use super::one_slice;
use crate::sys::tun::TunError;
use crate::wire::TxFrame;
use core::sync::atomic::{AtomicU64, Ordering};
use rustix::io::Errno;
use smallvec::SmallVec;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

/// The largest IPv4 packet. A shorter buffer would lose the end of a longer packet without a word.
pub(super) const LARGEST: usize = 65_535;

/// The longest frame that is copied together and written in one piece: that costs less than the 0.2 us by which `writev`
/// is slower.
const COPIED: usize = 1536;

/// Parts of a frame that are gathered without allocation: a virtio-net header, the packet's headers, and slices.
const PARTS: usize = 18;

/// Parts that one `writev` takes (UIO_MAXIOV).
const MAX_PARTS: usize = 1024;

/// A queue of a TUN.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) fd: OwnedFd,
    pub(super) name: String,
    pub(super) mtu: usize,
    lost: AtomicU64,
}

impl Queue {
    /// Makes `fd` non-blocking.
    pub(super) fn new(fd: OwnedFd, name: String, mtu: usize) -> Result<Queue, TunError> {
        rustix::io::ioctl_fionbio(&fd, true)
            .map_err(|errno| TunError::Other { operation: "FIONBIO", error: errno.into() })?;
        Ok(Queue { fd, name, mtu, lost: AtomicU64::new(0) })
    }

    /// Frames sent that the kernel did not take.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What a failed read or write means.
    pub(super) fn failed(&self, errno: Errno) -> io::Error {
        match errno {
            Errno::BADFD | Errno::NODEV => {
                io::Error::new(io::ErrorKind::NetworkDown, format!("the link {} was deleted", self.name))
            }
            _ => errno.into(),
        }
    }

    /// Writes `prefix` and `frame` with one system call.
    pub(super) fn send(&self, prefix: &[u8], frame: &TxFrame) -> io::Result<()> {
        let pieces = [prefix, &frame.header].into_iter().chain(frame.payload.iter().map(|slice| &slice[..]));
        let written = if prefix.len() + frame.len() <= COPIED {
            let mut whole: SmallVec<[u8; COPIED]> = SmallVec::new();
            pieces.for_each(|piece| whole.extend_from_slice(piece));
            rustix::io::retry_on_intr(|| rustix::io::write(&self.fd, &whole))
        } else if frame.payload.len() + 2 <= MAX_PARTS {
            let parts: SmallVec<[IoSlice<'_>; PARTS]> = pieces.map(IoSlice::new).collect();
            rustix::io::retry_on_intr(|| rustix::io::writev(&self.fd, &parts))
        } else {
            let whole = one_slice(frame);
            let parts = [IoSlice::new(prefix), IoSlice::new(&whole)];
            rustix::io::retry_on_intr(|| rustix::io::writev(&self.fd, &parts))
        };
        match written {
            Ok(_) => Ok(()),
            // Link down, no memory, no IP packet. The descriptor may poll writable all the while, so a sender that
            // waited for it would spin; a lost frame is what every sender can deal with.
            Err(Errno::IO | Errno::NOBUFS | Errno::NOMEM | Errno::INVAL) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(errno) => Err(self.failed(errno)),
        }
    }
}
