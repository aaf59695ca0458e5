//! Several devices as one, each the link of an interface of its own: what comes in says by which it came, and what goes out
//! says by which it leaves.
//!
//! The runtime reads, writes and sleeps on one device, whatever that is. So a shard has one of these where its stack has
//! several interfaces: in it, a queue of each.

use super::{Counters, Device};
use crate::buf::Chunk;
use crate::time::Instant;
use crate::wire::{Offloads, RxMeta, TxFrame};
use core::sync::atomic::{AtomicUsize, Ordering};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// Frames that are read from one device before the next is looked at.
const TURN: usize = 16;

/// The devices, that of the first interface first.
pub(crate) struct Several {
    links: Vec<Link>,
    /// Polls readable when one of them does, or has room again that was full.
    ready: OwnedFd,
    /// Frames read so far, counted in turns: who is to be read next.
    turn: AtomicUsize,
}

struct Link {
    device: Arc<dyn Device>,
    /// Whether it was full at the last write.
    full: Mutex<bool>,
}

impl Several {
    /// These devices as one.
    ///
    /// # Errors
    /// When no descriptor can be had.
    pub(crate) fn new(devices: Vec<Arc<dyn Device>>) -> io::Result<Several> {
        let ready = epoll::create(CreateFlags::CLOEXEC)?;
        for device in &devices {
            epoll::add(&ready, device.as_fd(), EventData::new_u64(0), EventFlags::IN)?;
        }
        let links = devices.into_iter().map(|device| Link { device, full: Mutex::new(false) }).collect();
        Ok(Several { links, ready, turn: AtomicUsize::new(0) })
    }

    /// A write has found `link` full, or with room: while it is full, room is waited for.
    fn watch(&self, link: &Link, written: &io::Result<()>) -> io::Result<()> {
        let full = matches!(written, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        let mut was = link.full.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *was, full) == full {
            return Ok(());
        }
        let interest = if full { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
        Ok(epoll::modify(&self.ready, link.device.as_fd(), EventData::new_u64(0), interest)?)
    }
}

impl Device for Several {
    fn recv(&self, now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        let n = self.links.len();
        // Only one thread reads.
        let turn = self.turn.load(Ordering::Relaxed);
        for k in 0..n {
            let at = (turn / TURN + k) % n;
            match self.links[at].device.recv(now, chunk) {
                Ok(meta) => {
                    let read = if k == 0 { turn + 1 } else { at * TURN + 1 };
                    self.turn.store(read % (n * TURN), Ordering::Relaxed);
                    return Ok(RxMeta { interface: at as u8 + 1, ..meta });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// A full device holds the others' frames back, too: they are sent in order. A TUN is never full.
    fn send(&self, now: Instant, frame: &TxFrame) -> io::Result<()> {
        let number = usize::from(frame.meta.interface.max(1)) - 1;
        let link = self.links.get(number).ok_or(io::ErrorKind::NotFound)?;
        let sent = link.device.send(now, frame);
        self.watch(link, &sent)?;
        sent
    }

    fn mtu(&self) -> usize {
        self.links.iter().map(|link| link.device.mtu()).min().unwrap_or_default()
    }

    fn offloads(&self) -> Offloads {
        self.links.iter().map(|link| link.device.offloads()).fold(Offloads::ALL, Offloads::and)
    }

    fn counters(&self) -> Counters {
        self.links.iter().map(|link| link.device.counters()).fold(Counters::default(), |sum, one| Counters {
            super_in: sum.super_in + one.super_in,
            super_out: sum.super_out + one.super_out,
            lost: sum.lost + one.lost,
        })
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    fn deadline(&self) -> Option<Instant> {
        self.links.iter().fold(None, |all, link| Instant::earlier(all, link.device.deadline()))
    }

    fn flush(&self, now: Instant) -> io::Result<()> {
        let mut flushed = Ok(());
        for link in &self.links {
            if link.device.deadline().is_some_and(|at| at <= now) {
                let one = link.device.flush(now);
                self.watch(link, &one)?;
                flushed = flushed.and(one);
            }
        }
        flushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Slice;
    use crate::device::mem::{MemDevice, pair};
    use crate::sys::wait::{PollFd, PollFlags, poll};
    use std::time::Duration;

    fn several(n: usize) -> (Several, Vec<MemDevice>) {
        let (near, far): (Vec<_>, Vec<_>) = (0..n).map(|_| pair(1500, 64).unwrap()).unzip();
        let near = near.into_iter().map(|device| Arc::new(device) as Arc<dyn Device>).collect();
        (Several::new(near).unwrap(), far)
    }

    fn frame(byte: u8, interface: u8) -> TxFrame {
        let mut frame = TxFrame { payload: [Slice::copy_of(&[byte])].into_iter().collect(), ..TxFrame::default() };
        frame.meta.interface = interface;
        frame
    }

    fn read(device: &dyn Device) -> Option<(u8, u8)> {
        let mut chunk = Chunk::with_capacity(1500);
        let meta = device.recv(Instant::ZERO, &mut chunk).ok()?;
        Some((meta.interface, chunk[0]))
    }

    fn readable(device: &dyn Device) -> bool {
        let mut fds = [PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN)];
        poll(&mut fds, Some(Duration::ZERO)).unwrap() == 1
    }

    #[test]
    fn frames_come_and_go_by_their_numbers() {
        let (several, far) = several(3);
        for (byte, interface) in [(10, 0), (11, 1), (12, 2), (13, 3)] {
            several.send(Instant::ZERO, &frame(byte, interface)).unwrap();
        }
        let got = |n: usize| std::iter::from_fn(|| read(&far[n])).map(|(_, byte)| byte).collect::<Vec<_>>();
        assert_eq!([got(0), got(1), got(2)], [vec![10, 11], vec![12], vec![13]]);
        assert!(several.send(Instant::ZERO, &frame(0, 4)).is_err());
        for n in [2, 0, 1] {
            assert!(!readable(&several));
            far[n].send(Instant::ZERO, &frame(n as u8, 0)).unwrap();
            assert!(readable(&several));
            assert_eq!(read(&several), Some((n as u8 + 1, n as u8)));
        }
        assert_eq!(read(&several), None);
    }

    /// One that always has something keeps the others waiting for a turn only.
    #[test]
    fn they_are_read_in_turn() {
        let (several, far) = several(2);
        for byte in 0..60 {
            far.iter().for_each(|far| far.send(Instant::ZERO, &frame(byte, 0)).unwrap());
        }
        let order: Vec<u8> = std::iter::from_fn(|| read(&several)).map(|(interface, _)| interface).collect();
        assert_eq!(order.len(), 120);
        let longest = order.chunk_by(|a, b| a == b).map(<[u8]>::len).max();
        assert_eq!(longest, Some(TURN));
    }

    /// A device that is full now and then.
    struct Narrow {
        full: std::sync::atomic::AtomicBool,
        pipe: OwnedFd,
    }

    impl Device for Narrow {
        fn recv(&self, _: Instant, _: &mut Chunk) -> io::Result<RxMeta> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn send(&self, _: Instant, _: &TxFrame) -> io::Result<()> {
            if self.full.load(Ordering::Relaxed) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        }

        fn mtu(&self) -> usize {
            1500
        }

        fn as_fd(&self) -> BorrowedFd<'_> {
            self.pipe.as_fd()
        }
    }

    /// Its room is news while somebody waits for it, and only then.
    #[test]
    fn room_is_waited_for_where_there_was_none() {
        let (_read, pipe) = rustix::pipe::pipe().unwrap();
        let narrow = Arc::new(Narrow { full: true.into(), pipe });
        let (wide, _far) = pair(1500, 8).unwrap();
        let several = Several::new(vec![Arc::new(wide), narrow.clone()]).unwrap();
        assert!(!readable(&several), "a pipe that can be written, which nobody wants");
        assert!(several.send(Instant::ZERO, &frame(1, 2)).is_err());
        assert!(readable(&several));
        narrow.full.store(false, Ordering::Relaxed);
        several.send(Instant::ZERO, &frame(1, 2)).unwrap();
        assert!(!readable(&several));
    }

    #[test]
    fn what_it_does_is_what_all_do() {
        let (several, _far) = several(2);
        assert_eq!((several.offloads(), several.mtu()), (Offloads::NONE, 1500));
        assert_eq!(Offloads::ALL.and(Offloads { tso6: false, ..Offloads::ALL }).to_string(), "checksum tso4 uso");
    }
}
