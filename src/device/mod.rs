//! Where frames come from and go to.
//!
//! A [`Device`] carries frames of up to 64 KiB with checksum and segmentation metadata, so that an offloading TUN, a
//! plain one, a pair in memory and an impaired link are all the same to the runtime. Reading and writing take `&self`:
//! one thread reads while another writes.

pub mod impair;
pub mod mem;
#[cfg(feature = "pcap")]
pub mod pcap;
mod queue;
mod several;
pub mod tun;
pub mod tuntap;

use crate::buf::{Chunk, Slice};
use crate::time::Instant;
use crate::wire::{RxMeta, TxFrame};

pub use crate::wire::Offloads;
pub(crate) use several::Several;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// A source and sink of IP packets.
pub trait Device: Send + Sync {
    /// Reads one frame into `chunk` (its length is set) and gives what the device knows about it.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; anything else means that the device is gone or broken.
    fn recv(&self, now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta>;

    /// Writes one frame.
    ///
    /// # Errors
    /// `WouldBlock` when the device is full: the frame was not taken. Anything else: it was not sent either.
    fn send(&self, now: Instant, frame: &TxFrame) -> io::Result<()>;

    /// The largest IP packet, in bytes, that the link carries in one piece.
    fn mtu(&self) -> usize;

    /// What the device does for us; nothing by default.
    fn offloads(&self) -> Offloads {
        Offloads::default()
    }

    /// What the device has counted so far.
    fn counters(&self) -> Counters {
        Counters::default()
    }

    /// A descriptor that polls readable when [`recv`](Device::recv) has something. Every device used with the
    /// runtime has one.
    fn as_fd(&self) -> BorrowedFd<'_>;

    /// When the device wants [`recv`](Device::recv) or [`flush`](Device::flush) called although its descriptor is
    /// silent: a delayed frame is due. Never, by default.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Sends on what was delayed until `now`. Nothing by default.
    ///
    /// # Errors
    /// As [`send`](Device::send).
    fn flush(&self, now: Instant) -> io::Result<()> {
        let _ = now;
        Ok(())
    }
}

/// What a device counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Super-segments received: frames that somebody else would have had to cut.
    pub super_in: u64,
    /// Super-segments sent.
    pub super_out: u64,
    /// Frames sent that the kernel did not take, as they might be lost on a wire.
    pub lost: u64,
}

/// A device that others look at too, or whose type is decided at run time.
impl<D: Device + ?Sized> Device for Arc<D> {
    fn recv(&self, now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        (**self).recv(now, chunk)
    }

    fn send(&self, now: Instant, frame: &TxFrame) -> io::Result<()> {
        (**self).send(now, frame)
    }

    fn mtu(&self) -> usize {
        (**self).mtu()
    }

    fn offloads(&self) -> Offloads {
        (**self).offloads()
    }

    fn counters(&self) -> Counters {
        (**self).counters()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        (**self).as_fd()
    }

    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }

    fn flush(&self, now: Instant) -> io::Result<()> {
        (**self).flush(now)
    }
}

/// The whole packet in one slice of its own memory.
fn one_slice(frame: &TxFrame) -> Slice {
    let mut chunk = Chunk::with_capacity(frame.len());
    let len = frame.write_to(chunk.space());
    chunk.set_len(len);
    chunk.freeze()
}
