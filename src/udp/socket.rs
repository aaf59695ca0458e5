//! One UDP socket: its ends, what was received for it, what went wrong.

use crate::buf::Slice;
use crate::error::{Error, Result};
use crate::icmp::ErrorKind;
use crate::stack::{Readiness, UdpOptions};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What a received datagram costs beside the memory that it pins.
const OVERHEAD: usize = 64;

/// Room that an empty receive queue keeps, in datagrams.
const IDLE: usize = 4;

#[derive(Debug)]
pub(super) struct Socket {
    /// Our end, as bound; as connected once there is a peer.
    pub(super) local: SocketAddr,
    /// Bound to every address: connecting chooses one.
    pub(super) any: bool,
    /// The connected peer.
    pub(super) peer: Option<SocketAddr>,
    pub(super) options: UdpOptions,
    /// The shard that it sends from, if there are several.
    pub(super) home: Option<u16>,
    /// Datagrams in the outbox.
    pub(super) unsent: usize,
    received: VecDeque<Received>,
    charged: usize,
    hard: Option<Error>,
    soft: Option<Error>,
}

/// One datagram, or several of one super-segment.
#[derive(Debug)]
struct Received {
    from: SocketAddr,
    /// What has not been read.
    data: Slice,
    /// Bytes of each datagram but the last.
    segment: usize,
}

impl Received {
    /// The length of the next datagram.
    fn next_len(&self) -> usize {
        self.segment.min(self.data.len())
    }
}

impl Socket {
    pub(super) fn new(local: SocketAddr, options: UdpOptions) -> Self {
        Socket {
            local,
            any: local.ip().is_unspecified(),
            peer: None,
            options,
            home: None,
            unsent: 0,
            received: VecDeque::new(),
            charged: 0,
            hard: None,
            soft: None,
        }
    }

    /// Whether datagrams from `from` are for it.
    pub(super) fn hears(&self, from: SocketAddr) -> bool {
        self.peer.is_none_or(|peer| peer == from)
    }

    /// What the receive queue costs.
    pub(super) fn charged(&self) -> usize {
        self.charged
    }

    /// Queues a datagram, or several of `segment` bytes each but the last, if there is room within `limit`, and says
    /// whether there was. An empty queue takes anything, so that no setting makes a socket deaf.
    pub(super) fn push(&mut self, from: SocketAddr, data: Slice, segment: usize, limit: usize) -> bool {
        let cost = cost(&data);
        if !self.received.is_empty() && self.charged + cost > limit {
            return false;
        }
        self.charged += cost;
        self.received.push_back(Received { from, data, segment });
        true
    }

    /// Copies what fits of the next datagram into `buf`; the rest of it is lost, unless it is only peeked at.
    pub(super) fn pop(&mut self, buf: &mut [u8], peek: bool) -> Result<(usize, SocketAddr)> {
        self.check()?;
        let next = self.received.front().ok_or(Error::WouldBlock)?;
        let (from, n) = (next.from, next.next_len().min(buf.len()));
        buf[..n].copy_from_slice(&next.data[..n]);
        if !peek {
            self.skip();
        }
        Ok((n, from))
    }

    /// Copies the next datagram and those that continue it, as many as fit whole; gives the copied length, that of each
    /// but the last, and the source.
    pub(super) fn pop_segmented(&mut self, buf: &mut [u8]) -> Result<(usize, usize, SocketAddr)> {
        let first = self.received.front().map_or(0, Received::next_len);
        let (mut filled, from) = self.pop(buf, false)?;
        let mut last = filled;
        // One that is shorter than the first ends the run, and so does one that was cut short.
        while last == first
            && let Some(next) = self.received.front().filter(|next| next.from == from)
            && (1..=first.min(buf.len() - filled)).contains(&next.next_len())
        {
            last = next.next_len();
            buf[filled..filled + last].copy_from_slice(&next.data[..last]);
            filled += last;
            self.skip();
        }
        Ok((filled, first.min(filled), from))
    }

    /// Drops the next datagram.
    fn skip(&mut self) {
        let Some(next) = self.received.front_mut() else { return };
        next.data.advance(next.next_len());
        if next.data.is_empty() {
            let freed = cost(&next.data);
            self.received.pop_front();
            self.charged -= freed;
            if self.received.is_empty() {
                self.received.shrink_to(IDLE);
            }
        }
    }

    /// Fails once with a pending error.
    pub(super) fn check(&mut self) -> Result<()> {
        self.hard.take().map_or(Ok(()), Err)
    }

    /// Takes the pending error; a soft one has no other way out (SO_ERROR).
    pub(super) fn take_error(&mut self) -> Option<Error> {
        self.hard.take().or(self.soft.take())
    }

    /// Notes what an ICMP error said, and says whether calls fail by it (RFC 1122 4.1.3.3): only where the destination
    /// itself refused, since anybody else may be wrong for a while.
    pub(super) fn note(&mut self, kind: ErrorKind) -> bool {
        let error = if kind.is_hard() { &mut self.hard } else { &mut self.soft };
        *error = Some(kind.error());
        kind.is_hard()
    }

    pub(super) fn readiness(&self, send_queue: usize) -> Readiness {
        let mut ready = Readiness::NONE;
        if self.hard.is_some() {
            ready |= Readiness::ERROR | Readiness::READABLE | Readiness::WRITABLE;
        }
        if !self.received.is_empty() {
            ready |= Readiness::READABLE;
        }
        if self.unsent < send_queue {
            ready |= Readiness::WRITABLE;
        }
        ready
    }
}

/// What a received datagram is charged: the memory that it pins, and its entry.
pub(super) fn cost(data: &Slice) -> usize {
    data.pinned() + OVERHEAD
}
