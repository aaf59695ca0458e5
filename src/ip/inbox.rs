//! What was received for a socket of datagrams or packets and not read yet.

use crate::buf::Slice;
use crate::error::{Error, Result};
use crate::stack::RecvMsg;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// What a received datagram costs beside the memory that it pins: its entry, and room to grow.
const OVERHEAD: usize = 96;

/// Room that an empty queue keeps, in datagrams.
const IDLE: usize = 4;

/// Where a datagram comes from and went to, and what else its headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who sent it.
    pub from: SocketAddr,
    /// Where it was sent to.
    pub to: IpAddr,
    /// To which port.
    pub to_port: u16,
    /// Its TTL or hop limit.
    pub ttl: u8,
    /// Its DSCP and ECN byte.
    pub tos: u8,
    /// The number of the interface that it came in by.
    pub interface: u8,
}

/// One datagram, or several of one super-segment.
#[derive(Debug)]
struct Received {
    envelope: Envelope,
    /// What has not been read.
    data: Slice,
    /// Bytes of each datagram but the last.
    segment: u16,
}

impl Received {
    /// The length of the next datagram.
    fn next_len(&self) -> usize {
        usize::from(self.segment).min(self.data.len())
    }
}

/// A bounded queue of datagrams.
#[derive(Debug, Default)]
pub struct Inbox {
    received: VecDeque<Received>,
    charged: usize,
}

impl Inbox {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// What it costs.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// Queues a datagram, or several of `segment` bytes each but the last, if there is room within `limit`, and says
    /// whether there was. An empty queue takes anything, so that no setting makes a socket deaf.
    pub fn push(&mut self, envelope: Envelope, data: Slice, segment: u16, limit: usize) -> bool {
        let cost = cost(&data);
        if !self.received.is_empty() && self.charged + cost > limit {
            return false;
        }
        self.charged += cost;
        self.received.push_back(Received { envelope, data, segment });
        true
    }

    /// Copies what fits of the next datagram into `buf`; the rest of it is lost, unless it is only peeked at.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn pop(&mut self, buf: &mut [u8], peek: bool) -> Result<RecvMsg> {
        let next = self.received.front().ok_or(Error::WouldBlock)?;
        let (full, Envelope { from, to, to_port, ttl, tos, interface }) = (next.next_len(), next.envelope);
        let len = full.min(buf.len());
        buf[..len].copy_from_slice(&next.data[..len]);
        if !peek {
            self.skip();
        }
        let destination = SocketAddr::new(to, to_port);
        let interface = interface.into();
        let truncated = len < full;
        Ok(RecvMsg { len, full_len: full, segment: len, truncated, source: from, destination, ttl, tos, interface })
    }

    /// The next datagram as it lies in memory, and its source.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn pop_chunk(&mut self) -> Result<(Slice, SocketAddr)> {
        let next = self.received.front().ok_or(Error::WouldBlock)?;
        let taken = (next.data.slice(0..next.next_len()), next.envelope.from);
        self.skip();
        Ok(taken)
    }

    /// Copies the next datagram and those that continue it, with the same headers, as many as fit whole.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn pop_run(&mut self, buf: &mut [u8]) -> Result<RecvMsg> {
        let front = self.received.front().ok_or(Error::WouldBlock)?;
        let (first, envelope) = (front.next_len(), front.envelope);
        let mut run = self.pop(buf, false)?;
        let mut last = run.len;
        // One that is shorter than the first ends the run, and so does one that was cut short.
        while last == first
            && let Some(next) = self.received.front().filter(|next| next.envelope == envelope)
            && (1..=first.min(buf.len() - run.len)).contains(&next.next_len())
        {
            last = next.next_len();
            buf[run.len..run.len + last].copy_from_slice(&next.data[..last]);
            run.len += last;
            self.skip();
        }
        Ok(run)
    }

    /// The next datagram as it lies there.
    pub fn front(&self) -> Option<(&Envelope, &[u8])> {
        self.received.front().map(|next| (&next.envelope, &next.data[..next.next_len()]))
    }

    /// Drops the next datagram.
    pub fn skip(&mut self) {
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
}

/// What a received datagram is charged: the memory that it pins, and its entry.
pub fn cost(data: &Slice) -> usize {
    data.pinned() + OVERHEAD
}
