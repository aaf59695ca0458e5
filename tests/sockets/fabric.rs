//! Links of several queues in memory. A frame goes to the queue on which the receiver last sent one of that flow, as with
//! a TUN, or to any other, so that a host must find out by itself whose it is.

use super::common::{CLIENT, SERVER, builder};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tunstack::buf::Chunk;
use tunstack::device::Device;
use tunstack::device::mem::{self, MemDevice};
use tunstack::net::Host;
use tunstack::time::Instant;
use tunstack::wire::{RxMeta, TxFrame};

const CAPACITY: usize = 4096;

/// One of two hosts' side of the link.
struct Side {
    /// What is sent here arrives at the queue of that number.
    inboxes: Vec<MemDevice>,
    /// On which queue this side last sent something of a flow.
    learnt: Mutex<HashMap<Flow, usize>>,
    hasher: RandomState,
    /// Of a hundred TCP packets, how many come to a queue by chance.
    misdirected: u64,
    chance: AtomicU64,
}

/// Protocol and both ends, the lower one first.
type Flow = (u8, [Vec<u8>; 2]);

fn flow(packet: &[u8]) -> Flow {
    let v4 = packet[0] >> 4 == 4;
    let (header, protocol) = if v4 { (usize::from(packet[0] & 15) * 4, packet[9]) } else { (40, packet[6]) };
    let (addresses, len) = if v4 { (12, 4) } else { (8, 16) };
    // A fragment's ports may be in another one.
    let whole = !v4 || (packet[6] & 0x3f, packet[7]) == (0, 0);
    let ports = if whole && matches!(protocol, 6 | 17) { &packet[header..header + 4] } else { &[0; 4] };
    let end = |n: usize| [&packet[addresses + n * len..addresses + (n + 1) * len], &ports[2 * n..2 * n + 2]].concat();
    let mut ends = [end(0), end(1)];
    ends.sort_unstable();
    (protocol, ends)
}

impl Side {
    fn pick(&self, packet: &[u8]) -> usize {
        let flow = flow(packet);
        let n = self.inboxes.len();
        let x = self.chance.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let x = (x ^ x >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
        if flow.0 == 6 && x % 100 < self.misdirected {
            return (x / 100) as usize % n;
        }
        let learnt = self.learnt.lock().unwrap().get(&flow).copied();
        learnt.unwrap_or_else(|| self.hasher.hash_one(&flow) as usize % n)
    }
}

/// A queue of one side.
struct Queue {
    number: usize,
    own: MemDevice,
    ours: Arc<Side>,
    theirs: Arc<Side>,
}

impl Device for Queue {
    fn recv(&self, now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        self.own.recv(now, chunk)
    }

    fn send(&self, now: Instant, frame: &TxFrame) -> io::Result<()> {
        let packet = frame.to_vec();
        self.ours.learnt.lock().unwrap().insert(flow(&packet), self.number);
        self.theirs.inboxes[self.theirs.pick(&packet)].send(now, frame)
    }

    fn mtu(&self) -> usize {
        self.own.mtu()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.own.as_fd()
    }
}

/// The queues of two hosts, `near` and `far` many, with so many of a hundred TCP packets misdirected.
pub fn link(near: usize, far: usize, misdirected: u64) -> [Vec<Arc<dyn Device>>; 2] {
    let side = |queues| {
        let (own, inboxes) = (0..queues).map(|_| mem::pair(1500, CAPACITY).unwrap()).unzip();
        let (learnt, hasher) = (Mutex::default(), RandomState::new());
        let side = Side { inboxes, learnt, hasher, misdirected, chance: AtomicU64::new(1) };
        let own: Vec<MemDevice> = own;
        (own, Arc::new(side))
    };
    let ((near, a), (far, b)) = (side(near), side(far));
    let queues = |own: Vec<MemDevice>, ours: &Arc<Side>, theirs: &Arc<Side>| {
        let queue = |(number, own)| -> Arc<dyn Device> {
            Arc::new(Queue { number, own, ours: ours.clone(), theirs: theirs.clone() })
        };
        own.into_iter().enumerate().map(queue).collect()
    };
    [queues(near, &a, &b), queues(far, &b, &a)]
}

/// Client and server on such a link.
pub fn hosts(near: usize, far: usize, misdirected: u64) -> (Host, Host) {
    let [a, b] = link(near, far, misdirected);
    (builder(CLIENT).start_queues(a).unwrap(), builder(SERVER).start_queues(b).unwrap())
}
