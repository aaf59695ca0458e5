//! A plain TUN: one IP packet a read, one a write, no offloads.

use super::Device;
use crate::buf::Chunk;
use crate::sys::tun::{self, TunError, flags};
use crate::time::Instant;
use crate::wire::{RxMeta, TxFrame, TxMeta};
use core::sync::atomic::{AtomicU64, Ordering};
use rustix::io::Errno;
use smallvec::SmallVec;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The largest IPv4 packet. A shorter buffer would lose the end of a longer packet without a word.
const LARGEST: usize = 65_535;

/// A plain TUN. The link disappears with it unless it is persistent.
///
/// Packets of both IP versions are received. A frame that the kernel does not take because the link is down or memory
/// is short, or that is no IP packet, counts as [lost](TunTap::lost), as it would on a wire; TCP sends it again.
#[derive(Debug)]
pub struct TunTap {
    fd: OwnedFd,
    name: String,
    mtu: usize,
    lost: AtomicU64,
}

impl TunTap {
    /// Creates the link `name`, or attaches to it if it is persistent and ours to use; `%d` in the name stands for the
    /// first free number. `mtu` is what the link has, or will be given.
    ///
    /// # Errors
    /// Whatever stands in the way; see [`TunError`].
    pub fn open(name: &str, mtu: usize) -> Result<TunTap, TunError> {
        let (fd, queue) = tun::open_plain(name)?;
        TunTap::new(fd, queue.name, mtu)
    }

    /// Takes a TUN queue that somebody else opened: with IFF_NO_PI and without IFF_VNET_HDR. The first cannot be seen
    /// from here; where it was forgotten, everything received is dropped for its IP version.
    ///
    /// # Errors
    /// [`TunError::BadDescriptor`] if it is something else.
    pub fn from_fd(fd: OwnedFd, mtu: usize) -> Result<TunTap, TunError> {
        let queue = tun::inspect(&fd)?;
        if queue.flags & flags::TUN == 0 {
            return Err(TunError::BadDescriptor("is a TAP queue: it carries Ethernet frames"));
        }
        if queue.flags & flags::VNET_HDR != 0 {
            return Err(TunError::BadDescriptor("was opened with IFF_VNET_HDR: a header precedes each packet"));
        }
        TunTap::new(fd, queue.name, mtu)
    }

    fn new(fd: OwnedFd, name: String, mtu: usize) -> Result<TunTap, TunError> {
        rustix::io::ioctl_fionbio(&fd, true)
            .map_err(|errno| TunError::Other { operation: "FIONBIO", error: errno.into() })?;
        Ok(TunTap { fd, name, mtu, lost: AtomicU64::new(0) })
    }

    /// Name of the link.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Frames sent that the kernel did not take.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn failed(&self, errno: Errno) -> io::Error {
        match errno {
            Errno::BADFD | Errno::NODEV => {
                io::Error::new(io::ErrorKind::NetworkDown, format!("the link {} was deleted", self.name))
            }
            _ => errno.into(),
        }
    }
}

impl Device for TunTap {
    fn recv(&self, _now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        if chunk.capacity() < LARGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a TUN is read into full-size chunks"));
        }
        let len = rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, chunk.space()))
            .map_err(|errno| self.failed(errno))?;
        chunk.set_len(len);
        Ok(RxMeta::default())
    }

    fn send(&self, _now: Instant, frame: &TxFrame) -> io::Result<()> {
        debug_assert_eq!(frame.meta, TxMeta::default(), "this device offers no offload");
        let mut parts: SmallVec<[IoSlice<'_>; 5]> = SmallVec::new();
        parts.push(IoSlice::new(&frame.header));
        parts.extend(frame.payload.iter().map(|slice| IoSlice::new(slice)));
        match rustix::io::retry_on_intr(|| rustix::io::writev(&self.fd, &parts)) {
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

    fn mtu(&self) -> usize {
        self.mtu
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
