//! Watches TCP segments at both ends of a link: where our stack takes and makes them, and where the other side does.
//!
//! Our end is seen by a [`Tap`] on the stack. The other end is seen by a [`Watched`] device, which stands between the
//! real one and whatever spoils the link; what passes it has left, or reached, the peer. A segment that is seen at one
//! end only was lost on the way.

use crate::buf::Chunk;
use crate::device::{Device, Offloads};
use crate::runtime::Tap;
use crate::stats::{Disposition, DropReason};
use crate::time::Instant;
use crate::trace::{TraceEvent, What};
use crate::wire::tcp::{Flags, TcpHeader};
use crate::wire::{RxFrame, RxMeta, TxFrame, ip, tcp};
use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Sightings that are kept; later ones are counted.
const CAPACITY: usize = 200_000;

/// TCP's protocol number.
const TCP: u8 = 6;

/// A segment's header and the length of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) header: TcpHeader,
    pub(crate) text: u32,
}

impl Segment {
    /// Reads a whole IP packet; `None` if it is no TCP.
    pub(crate) fn parse(packet: &[u8]) -> Option<Segment> {
        let (ip, payload) = ip::parse(packet).ok()?;
        if ip.protocol != TCP || ip.fragment.is_some() {
            return None;
        }
        let payload = packet.get(payload)?;
        let (header, len) = tcp::parse(payload).ok()?;
        Some(Segment {
            src: SocketAddr::new(ip.src, header.src_port),
            dst: SocketAddr::new(ip.dst, header.dst_port),
            text: u32::try_from(payload.len() - len).ok()?,
            header,
        })
    }

    /// SEG.LEN: SYN and FIN count.
    pub(crate) fn len(&self) -> u32 {
        self.text + u32::from(self.header.flags.syn()) + u32::from(self.header.flags.fin())
    }

    /// Whether this opens a connection.
    pub(crate) fn opens(&self) -> bool {
        self.header.flags.syn() && !self.header.flags.contains(Flags::ACK)
    }
}

/// Where a segment was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Made by our stack.
    OursSent,
    /// Taken by our stack.
    OursReceived,
    /// Come from the other side.
    PeerSent,
    /// Handed to the other side.
    PeerReceived,
}

/// One segment at one place.
#[derive(Clone, Debug)]
pub(crate) struct Sighting {
    pub(crate) at: Instant,
    pub(crate) place: Place,
    pub(crate) segment: Segment,
    /// A hash of the packet's bytes, by which it is known again at the other end.
    pub(crate) identity: u64,
    /// What it caused in our stack, or what led to it.
    pub(crate) events: Vec<What>,
    /// Why our stack dropped it, if it did.
    pub(crate) dropped: Option<DropReason>,
}

#[derive(Default)]
struct Log {
    sightings: Vec<Sighting>,
    beyond: usize,
}

/// Gathers sightings from a tap and from watched devices.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Log>>);

impl Recorder {
    /// All that was seen so far, in the order in which it was, and how many more there was no room for.
    pub(crate) fn sightings(&self) -> (Vec<Sighting>, usize) {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (log.sightings.clone(), log.beyond)
    }

    /// `device`, with what passes it watched as the other side's end.
    pub(crate) fn watch<D: Device>(&self, device: D) -> Watched<D> {
        Watched { inner: device, recorder: self.clone() }
    }

    fn see(&self, at: Instant, place: Place, packet: &[u8], events: Vec<What>, dropped: Option<DropReason>) {
        let Some(segment) = Segment::parse(packet) else { return };
        // Only told apart, never defended against anybody: the key does not matter.
        let mut hasher = SipHasher24::new();
        hasher.write(packet);
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if log.sightings.len() == CAPACITY {
            log.beyond += 1;
            return;
        }
        log.sightings.push(Sighting { at, place, segment, identity: hasher.finish(), events, dropped });
    }
}

/// Our stack's own events beside each segment.
impl Tap for Recorder {
    fn rx(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        disposition: Disposition,
        events: &mut dyn Iterator<Item = TraceEvent>,
    ) {
        let dropped = match disposition {
            Disposition::Dropped(reason) => Some(reason),
            Disposition::Delivered | Disposition::Answered | Disposition::Held | Disposition::Misdirected => None,
        };
        self.see(now, Place::OursReceived, &frame.data, events.map(|event| event.what).collect(), dropped);
    }

    fn tx(&mut self, now: Instant, frame: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>) {
        self.see(now, Place::OursSent, &frame.to_vec(), events.map(|event| event.what).collect(), None);
    }

    fn flush(&mut self) {}
}

/// A device whose traffic is watched.
pub(crate) struct Watched<D> {
    inner: D,
    recorder: Recorder,
}

impl<D: Device> Device for Watched<D> {
    fn recv(&self, now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        let meta = self.inner.recv(now, chunk)?;
        self.recorder.see(now, Place::PeerSent, chunk, Vec::new(), None);
        Ok(meta)
    }

    fn send(&self, now: Instant, frame: &TxFrame) -> io::Result<()> {
        self.inner.send(now, frame)?;
        self.recorder.see(now, Place::PeerReceived, &frame.to_vec(), Vec::new(), None);
        Ok(())
    }

    fn mtu(&self) -> usize {
        self.inner.mtu()
    }

    fn offloads(&self) -> Offloads {
        self.inner.offloads()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }

    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }

    fn flush(&self, now: Instant) -> io::Result<()> {
        self.inner.flush(now)
    }
}
