//! A bad link between two plain TUNs: what leaves by one comes in by the other, after the bottleneck and the delay that a
//! specification names.

use crate::Outcome;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind};
use std::time::{SystemTime, UNIX_EPOCH};
use tunstack::buf::Chunk;
use tunstack::device::Device;
use tunstack::device::impair::{Impairer, Impairment};
use tunstack::device::tuntap::TunTap;
use tunstack::rng::Rng;
use tunstack::time::Instant;
use tunstack::wire::TxFrame;

const MTU: usize = 1500;

/// How long it waits at most before it looks whether it is still wanted.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Packets that are read at once from one side before the other has its turn.
const BATCH: usize = 64;

/// From one end to the other.
struct Direction<'a> {
    from: &'a TunTap,
    to: &'a TunTap,
    way: Impairer,
}

impl Direction<'_> {
    /// Takes in what has been sent, and hands over what has arrived.
    fn carry(&mut self, clock: &std::time::Instant, chunk: &mut Chunk) -> io::Result<()> {
        for _ in 0..BATCH {
            match self.from.recv(now(clock), chunk) {
                Ok(_) => _ = self.way.push(now(clock), tunstack::buf::Slice::copy_of(chunk)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        while let Some(packet) = self.way.pop(now(clock)) {
            // What the kernel does not take is lost, as on a wire.
            let frame = TxFrame { payload: [packet].into_iter().collect(), ..TxFrame::default() };
            let _ = self.to.send(now(clock), &frame);
        }
        Ok(())
    }
}

fn now(clock: &std::time::Instant) -> Instant {
    Instant::ZERO + clock.elapsed()
}

/// Makes the TUNs `near` and `far` and carries packets between them until it is ended: from `far` to `near` as `down` says,
/// the other way as `up` says.
pub fn run(near: &str, far: &str, down: &str, up: &str) -> Outcome {
    let (near, far) = (TunTap::open(near, MTU)?, TunTap::open(far, MTU)?);
    let clock = std::time::Instant::now();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
    let way = |spec: &str| -> Result<Impairer, Box<dyn std::error::Error>> {
        Ok(Impairer::new(spec.parse::<Impairment>()?, Rng::seed_from(seed.into()), Instant::ZERO))
    };
    let mut directions =
        [Direction { from: &far, to: &near, way: way(down)? }, Direction { from: &near, to: &far, way: way(up)? }];
    let mut chunk = Chunk::with_capacity(1 << 16);
    loop {
        for direction in &mut directions {
            direction.carry(&clock, &mut chunk)?;
        }
        let due = directions.iter().filter_map(|d| d.way.next()).min();
        let wait = due.map_or(PATIENCE, |due| {
            let wait = due.since(now(&clock));
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() }
        });
        let mut fds = [
            PollFd::from_borrowed_fd(far.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(near.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}
