//! A plain TUN: one IP packet a read, one a write, no offloads.

use super::queue::{LARGEST, Queue};
use super::{Counters, Device};
use crate::buf::Chunk;
use crate::sys::tun::{self, TunError, flags};
use crate::time::Instant;
use crate::wire::{RxMeta, TxFrame};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A plain TUN. The link disappears with it unless it is persistent.
///
/// Packets of both IP versions are received. A frame that the kernel does not take because the link is down or memory
/// is short, or that is no IP packet, counts as [lost](TunTap::lost), as it would on a wire; TCP sends it again.
#[derive(Debug)]
pub struct TunTap(Queue);

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

    /// As [`open`](TunTap::open), several queues of one link: a new one, or one that was made for several.
    ///
    /// # Errors
    /// As [`open`](TunTap::open); `QueueMismatch` also if the link was made for one queue.
    pub fn open_queues(name: &str, mtu: usize, queues: usize) -> Result<Vec<TunTap>, TunError> {
        let mut all: Vec<TunTap> = Vec::new();
        for _ in 0..queues {
            let name = all.first().map_or(name, TunTap::name);
            let (fd, _) = tun::open(name, flags::NO_PI | flags::MULTI_QUEUE)?;
            all.push(TunTap::from_fd(fd, mtu)?);
        }
        Ok(all)
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
        // A persistent link keeps the offloads of whoever held it before us, and there is no header here to tell of
        // what was left undone.
        tun::set_offload(&fd, 0)?;
        Ok(TunTap(Queue::new(fd, name, mtu)?))
    }

    /// Name of the link.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Frames sent that the kernel did not take.
    pub fn lost(&self) -> u64 {
        self.0.lost()
    }
}

impl Device for TunTap {
    fn recv(&self, _now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        if chunk.capacity() < LARGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a TUN is read into full-size chunks"));
        }
        let len = rustix::io::retry_on_intr(|| rustix::io::read(&self.0.fd, chunk.space()))
            .map_err(|errno| self.0.failed(errno))?;
        chunk.set_len(len);
        Ok(RxMeta::default())
    }

    fn send(&self, _now: Instant, frame: &TxFrame) -> io::Result<()> {
        debug_assert!(frame.meta.is_plain(), "this device offers no offload");
        self.0.send(&[], frame)
    }

    fn mtu(&self) -> usize {
        self.0.mtu
    }

    fn counters(&self) -> Counters {
        Counters { lost: self.0.lost(), ..Counters::default() }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}
