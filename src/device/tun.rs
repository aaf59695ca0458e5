//! The offloading TUN: frames of up to 64 KiB each way, with word of what was left undone on them.
//!
//! The kernel leaves TCP's super-segments whole and their checksums partial, and takes such frames from us
//! (IFF_VNET_HDR, TUNSETOFFLOAD; `linux/if_tun.h`). A frame costs one system call and one copy, as on a plain TUN, but
//! is some forty times as long.

use super::queue::{LARGEST, Queue};
use super::{Counters, Device};
use crate::buf::Chunk;
use crate::sys::tun::{self, TunError, flags, offload};
use crate::time::Instant;
use crate::wire::vnet;
use crate::wire::{Offloads, RxMeta, TxFrame};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const KIND: u16 = flags::NO_PI | flags::VNET_HDR;

/// A TUN with a virtio-net header before each packet. The link disappears with it unless it is persistent.
///
/// As with the plain one, a frame that the kernel does not take counts as [lost](Counters::lost).
#[derive(Debug)]
pub struct Tun {
    queue: Queue,
    offloads: Offloads,
    super_in: AtomicU64,
    super_out: AtomicU64,
}

impl Tun {
    /// Creates the link `name`, or attaches to it if it is persistent and ours to use, whether it was made for one
    /// queue or for several; `%d` in the name stands for the first free number. `mtu` is what the link has, or will be
    /// given. [`Device::offloads`] tells which of `wanted` this kernel grants.
    ///
    /// # Errors
    /// Whatever stands in the way; see [`TunError`]. `QueueMismatch` also if the link is in use, by several queues,
    /// without the header.
    pub fn open(name: &str, mtu: usize, wanted: Offloads) -> Result<Tun, TunError> {
        let (fd, queue) = match tun::open(name, KIND) {
            Err(TunError::QueueMismatch { .. }) => tun::open(name, KIND | flags::MULTI_QUEUE)?,
            opened => opened?,
        };
        Tun::of_its_kind(fd, queue.name, mtu, wanted)
    }

    /// As [`open`](Tun::open), several queues of one link: a new one, or one that was made for several
    /// (`ip tuntap add .. multi_queue`). The kernel puts the packets of a connection on the queue on which it last got
    /// one of that connection's from us, if that is not too long ago, and else on one that a hash chooses.
    ///
    /// # Errors
    /// As [`open`](Tun::open); `QueueMismatch` also if the link was made for one queue.
    pub fn open_queues(name: &str, mtu: usize, wanted: Offloads, queues: usize) -> Result<Vec<Tun>, TunError> {
        let mut all: Vec<Tun> = Vec::new();
        for _ in 0..queues {
            let name = all.first().map_or(name, Tun::name);
            let (fd, queue) = tun::open(name, KIND | flags::MULTI_QUEUE)?;
            all.push(Tun::of_its_kind(fd, queue.name, mtu, wanted)?);
        }
        Ok(all)
    }

    /// A further queue takes the kind of those that are there.
    fn of_its_kind(fd: OwnedFd, name: String, mtu: usize, wanted: Offloads) -> Result<Tun, TunError> {
        if tun::inspect(&fd)?.flags & flags::VNET_HDR == 0 {
            return Err(TunError::QueueMismatch { name });
        }
        Tun::new(fd, name, mtu, wanted)
    }

    /// Takes a TUN queue that somebody else opened, with IFF_NO_PI and IFF_VNET_HDR. The first cannot be seen from here;
    /// where it was forgotten, everything received is dropped for its IP version.
    ///
    /// # Errors
    /// [`TunError::BadDescriptor`] if it is something else.
    pub fn from_fd(fd: OwnedFd, mtu: usize, wanted: Offloads) -> Result<Tun, TunError> {
        let queue = tun::inspect(&fd)?;
        if queue.flags & flags::TUN == 0 {
            return Err(TunError::BadDescriptor("is a TAP queue: it carries Ethernet frames"));
        }
        if queue.flags & flags::VNET_HDR == 0 {
            return Err(TunError::BadDescriptor("was opened without IFF_VNET_HDR: no header precedes its packets"));
        }
        Tun::new(fd, queue.name, mtu, wanted)
    }

    fn new(fd: OwnedFd, name: String, mtu: usize, wanted: Offloads) -> Result<Tun, TunError> {
        tun::set_vnet_header_len(&fd, vnet::HEADER_LEN as c_int)?;
        let offloads = negotiate(&fd, wanted)?;
        let queue = Queue::new(fd, name, mtu)?;
        Ok(Tun { queue, offloads, super_in: AtomicU64::new(0), super_out: AtomicU64::new(0) })
    }

    /// Name of the link.
    pub fn name(&self) -> &str {
        &self.queue.name
    }
}

/// Asks the kernel for `wanted`, and for ever less until it agrees.
fn negotiate(fd: &OwnedFd, wanted: Offloads) -> Result<Offloads, TunError> {
    let without_uso = Offloads { uso: false, ..wanted };
    let checksum_alone = Offloads { tso4: false, tso6: false, ..without_uso };
    for less in [wanted, without_uso, checksum_alone] {
        if tun::set_offload(fd, bits(less)).is_ok() {
            return Ok(less);
        }
    }
    tun::set_offload(fd, 0).map(|()| Offloads::NONE)
}

fn bits(offloads: Offloads) -> u32 {
    let Offloads { checksum, tso4, tso6, uso } = offloads;
    [
        (checksum, offload::CSUM),
        (tso4, offload::TSO4),
        (tso6, offload::TSO6),
        (tso4 || tso6, offload::TSO_ECN),
        (uso, offload::USO4 | offload::USO6),
    ]
    .into_iter()
    .filter(|(wanted, _)| *wanted)
    .fold(0, |bits, (_, bit)| bits | bit)
}

impl Device for Tun {
    fn recv(&self, _now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        if chunk.capacity() < vnet::HEADER_LEN + LARGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a TUN is read into full-size chunks"));
        }
        // One read into one piece: `readv` takes the kernel 0.14 us longer, a fifth of what a small packet costs.
        let len = rustix::io::retry_on_intr(|| rustix::io::read(&self.queue.fd, chunk.space()))
            .map_err(|errno| self.queue.failed(errno))?;
        chunk.set_len(len);
        let Some(header) = chunk.first_chunk().copied() else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the TUN gave less than a virtio-net header"));
        };
        chunk.advance(vnet::HEADER_LEN);
        let meta = vnet::decode(&header, chunk);
        if meta.gso.is_some() {
            self.super_in.fetch_add(1, Ordering::Relaxed);
        }
        Ok(meta)
    }

    fn send(&self, _now: Instant, frame: &TxFrame) -> io::Result<()> {
        self.queue.send(&vnet::encode(frame), frame)?;
        if frame.meta.gso.is_some() {
            self.super_out.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn mtu(&self) -> usize {
        self.queue.mtu
    }

    fn offloads(&self) -> Offloads {
        self.offloads
    }

    fn counters(&self) -> Counters {
        Counters {
            super_in: self.super_in.load(Ordering::Relaxed),
            super_out: self.super_out.load(Ordering::Relaxed),
            lost: self.queue.lost(),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.fd.as_fd()
    }
}
