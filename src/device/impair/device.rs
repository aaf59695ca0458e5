//! A device behind a bad link.

use super::{Faults, Impairer, Impairment};
use crate::buf::{Chunk, Slice};
use crate::device::{Counters, Device, one_slice};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::{RxChecksum, RxMeta, TxFrame};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Frames that one [`recv`](Device::recv) moves from the inner device onto the link at most.
const BATCH: usize = 64;

/// A device behind a bad link: everything received and sent passes an [`Impairer`]. It offers no offloads, whatever
/// the inner device does, because damage to a checksum that is not there yet would go unseen.
///
/// A frame that the inner device refuses when it is due counts as lost on the link.
pub struct Impaired<D> {
    inner: D,
    inbound: Mutex<Impairer>,
    outbound: Mutex<Impairer>,
}

impl<D: Device> Impaired<D> {
    /// Puts `inner` behind a link that does `inbound` to what is received and `outbound` to what is sent. Outages and
    /// the end of faults count from `start`.
    pub fn new(inner: D, inbound: Impairment, outbound: Impairment, seed: [u8; 32], start: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let mut link = |spec| Mutex::new(Impairer::new(spec, Rng::seed_from(rng.u64()), start));
        Impaired { inbound: link(inbound), outbound: link(outbound), inner }
    }

    /// What was done so far to received and to sent packets.
    pub fn faults(&self) -> (Faults, Faults) {
        (lock(&self.inbound).faults(), lock(&self.outbound).faults())
    }

    /// The device behind the link.
    pub fn inner(&self) -> &D {
        &self.inner
    }

    /// Hands on what is due. The lock is held meanwhile, so that frames keep their order.
    fn deliver(&self, now: Instant, outbound: &mut Impairer) -> io::Result<()> {
        while let Some(packet) = outbound.pop(now) {
            let frame = TxFrame { payload: [packet].into_iter().collect(), ..TxFrame::default() };
            match self.inner.send(now, &frame) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn lock(link: &Mutex<Impairer>) -> MutexGuard<'_, Impairer> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<D: Device> Device for Impaired<D> {
    fn recv(&self, now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        let mut inbound = lock(&self.inbound);
        for _ in 0..BATCH {
            match self.inner.recv(now, chunk) {
                Ok(meta) => {
                    let finished = meta.gso.is_none() && meta.checksum != RxChecksum::Partial;
                    debug_assert!(finished, "the inner device was opened without offloads");
                    inbound.push(now, Slice::copy_of(chunk));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let packet = inbound.pop(now).ok_or(io::ErrorKind::WouldBlock)?;
        chunk.set_len(0);
        chunk.append(&packet);
        Ok(RxMeta::default())
    }

    fn send(&self, now: Instant, frame: &TxFrame) -> io::Result<()> {
        debug_assert!(frame.meta.is_plain(), "this device offers no offload");
        let mut outbound = lock(&self.outbound);
        outbound.push(now, one_slice(frame));
        self.deliver(now, &mut outbound)
    }

    fn mtu(&self) -> usize {
        self.inner.mtu()
    }

    fn counters(&self) -> Counters {
        self.inner.counters()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    fn deadline(&self) -> Option<Instant> {
        let links = [lock(&self.inbound).next(), lock(&self.outbound).next(), self.inner.deadline()];
        links.into_iter().flatten().min()
    }

    fn flush(&self, now: Instant) -> io::Result<()> {
        self.deliver(now, &mut lock(&self.outbound))?;
        self.inner.flush(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::mem::{MemDevice, pair};

    fn frame(bytes: &[u8]) -> TxFrame {
        TxFrame { payload: [Slice::copy_of(bytes)].into_iter().collect(), ..TxFrame::default() }
    }

    fn receive(device: &impl Device, now: Instant) -> Option<Vec<u8>> {
        let mut chunk = Chunk::with_capacity(1500);
        match device.recv(now, &mut chunk) {
            Ok(_) => Some(chunk.to_vec()),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                None
            }
        }
    }

    fn delayed(inbound: &str, outbound: &str) -> (Impaired<MemDevice>, MemDevice) {
        let (near, far) = pair(1500, 256).unwrap();
        let start = Instant::ZERO;
        (Impaired::new(near, inbound.parse().unwrap(), outbound.parse().unwrap(), [7; 32], start), far)
    }

    #[test]
    fn both_directions_are_delayed_and_the_deadline_says_until_when() {
        let (near, far) = delayed("delay=30ms", "delay=20ms");
        let at = Instant::from_millis;
        near.send(at(0), &frame(b"out")).unwrap();
        far.send(at(0), &frame(b"in")).unwrap();
        assert_eq!(receive(&near, at(0)), None);
        assert_eq!(near.deadline(), Some(at(20)));
        near.flush(at(19)).unwrap();
        assert_eq!(receive(&far, at(19)), None);
        near.flush(at(20)).unwrap();
        assert_eq!(receive(&far, at(20)).unwrap(), b"out");
        assert_eq!(near.deadline(), Some(at(30)));
        assert_eq!(receive(&near, at(30)).unwrap(), b"in");
        assert_eq!(near.deadline(), None);
    }

    #[test]
    fn without_delay_frames_pass_at_once_and_more_than_a_batch_is_not_stuck() {
        let (near, far) = delayed("", "");
        near.send(Instant::ZERO, &frame(b"x")).unwrap();
        assert_eq!(receive(&far, Instant::ZERO).unwrap(), b"x");
        for n in 0..200u8 {
            far.send(Instant::ZERO, &frame(&[n])).unwrap();
        }
        for n in 0..200u8 {
            assert_eq!(receive(&near, Instant::ZERO).unwrap(), [n]);
        }
        assert_eq!(receive(&near, Instant::ZERO), None);
    }

    #[test]
    fn the_directions_are_impaired_apart_and_counted() {
        let (near, far) = delayed("loss=100%", "duplicate=100%");
        far.send(Instant::ZERO, &frame(b"in")).unwrap();
        near.send(Instant::ZERO, &frame(b"out")).unwrap();
        assert_eq!(receive(&near, Instant::ZERO), None);
        assert_eq!(receive(&far, Instant::ZERO).unwrap(), b"out");
        assert_eq!(receive(&far, Instant::ZERO).unwrap(), b"out");
        let (inbound, outbound) = near.faults();
        assert_eq!(inbound, Faults { packets: 1, lost: 1, ..Faults::default() });
        assert_eq!(outbound, Faults { packets: 1, duplicated: 1, ..Faults::default() });
    }
}
