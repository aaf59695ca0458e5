//! Sockets that have a part in each shard of their host: what comes to one shard is served there, and an application
//! meets one socket. With one shard there is one part.

use crate::error::{Error, Result};
use crate::runtime::{Core, Patience, Seat, Shard, wait_any};
use crate::stack::{ListenerId, RawId, Readiness, SocketId, Stack, SynGateId, UdpGateId, UdpId};
use crate::time::Instant;
use core::ops::ControlFlow;
use core::task::{Context, Poll};
use smallvec::SmallVec;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Times that a free port is looked for which is free in all shards.
const TRIES: usize = 8;

/// Calls after which another part than the favourite is looked into first.
const CHANGE: usize = 16;

/// A socket's part in one shard.
pub(super) trait Part: Copy {
    /// Its name there.
    fn name(self) -> SocketId;

    /// Closes it. That it is closed already is no error: the host's shutdown may have been faster.
    fn close(self, stack: &mut Stack, now: Instant);

    /// Where it is bound.
    fn local_addr(self, stack: &Stack) -> Result<SocketAddr>;
}

impl Part for ListenerId {
    fn name(self) -> SocketId {
        SocketId::Listener(self)
    }

    fn close(self, stack: &mut Stack, now: Instant) {
        let _ = stack.listener_close(now, self);
    }

    fn local_addr(self, stack: &Stack) -> Result<SocketAddr> {
        stack.listener_addr(self)
    }
}

impl Part for UdpId {
    fn name(self) -> SocketId {
        SocketId::Udp(self)
    }

    fn close(self, stack: &mut Stack, _: Instant) {
        let _ = stack.udp_close(self);
    }

    fn local_addr(self, stack: &Stack) -> Result<SocketAddr> {
        stack.udp_local_addr(self)
    }
}

impl Part for RawId {
    fn name(self) -> SocketId {
        SocketId::Raw(self)
    }

    fn close(self, stack: &mut Stack, _: Instant) {
        let _ = stack.raw_close(self);
    }

    fn local_addr(self, stack: &Stack) -> Result<SocketAddr> {
        stack.raw_local_addr(self)
    }
}

impl Part for SynGateId {
    fn name(self) -> SocketId {
        SocketId::SynGate(self)
    }

    fn close(self, stack: &mut Stack, _: Instant) {
        let _ = stack.syn_gate_close(self);
    }

    fn local_addr(self, _: &Stack) -> Result<SocketAddr> {
        Ok(EVERYWHERE)
    }
}

impl Part for UdpGateId {
    fn name(self) -> SocketId {
        SocketId::UdpGate(self)
    }

    fn close(self, stack: &mut Stack, _: Instant) {
        let _ = stack.udp_gate_close(self);
    }

    fn local_addr(self, _: &Stack) -> Result<SocketAddr> {
        Ok(EVERYWHERE)
    }
}

/// Where gates are: they are bound to nothing.
pub(super) const EVERYWHERE: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// The parts of a socket, at least one. They are closed with it.
pub(super) struct Parts<P: Part>(SmallVec<[(Arc<Shard>, P); 1]>);

impl<P: Part> Drop for Parts<P> {
    fn drop(&mut self) {
        // The first part is the last to go, as it was the first to come: who has that has the address.
        while let Some((shard, part)) = self.0.pop() {
            shard.act_finally(|core, now| {
                core.disown(part.name());
                part.close(&mut core.stack, now);
            });
        }
    }
}

impl<P: Part> Parts<P> {
    /// Opens a part bound to `addr` in each of `shards`. Port 0 picks one, the same for all.
    ///
    /// # Errors
    /// Those of `open`, and `AddrInUse` if no port is free everywhere.
    pub(super) fn open(
        shards: &[Arc<Shard>],
        addr: SocketAddr,
        mut open: impl FnMut(&mut Stack, SocketAddr) -> Result<P>,
    ) -> Result<Parts<P>> {
        for _ in 0..TRIES {
            match Parts::try_open(shards, addr, &mut open)? {
                ControlFlow::Break(parts) => return Ok(parts),
                ControlFlow::Continue(()) => {}
            }
        }
        Err(Error::AddrInUse)
    }

    fn try_open(
        shards: &[Arc<Shard>],
        mut addr: SocketAddr,
        open: &mut impl FnMut(&mut Stack, SocketAddr) -> Result<P>,
    ) -> Result<ControlFlow<Parts<P>>> {
        let any_port = addr.port() == 0;
        let mut parts = Parts(SmallVec::new());
        for shard in shards {
            let opened = shard.act(|core, _| {
                core.check_open()?;
                let part = open(&mut core.stack, addr)?;
                core.adopt(part.name());
                Ok((part, part.local_addr(&core.stack)?))
            });
            match opened {
                Ok((part, bound)) => {
                    addr.set_port(bound.port());
                    parts.0.push((shard.clone(), part));
                }
                // Free in the first shard, but a socket of this one alone has it.
                Err(Error::AddrInUse) if any_port && !parts.0.is_empty() => return Ok(ControlFlow::Continue(())),
                Err(error) => return Err(error),
            }
        }
        Ok(ControlFlow::Break(parts))
    }

    /// Those that are open already.
    pub(super) fn of(parts: SmallVec<[(Arc<Shard>, P); 1]>) -> Parts<P> {
        Parts(parts)
    }

    /// Each part as a socket of its own.
    pub(super) fn split(mut self) -> Vec<Parts<P>> {
        self.0.drain(..).map(|part| Parts(SmallVec::from_buf([part]))).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The part with this number and its shard.
    pub(super) fn get(&self, number: usize) -> (&Arc<Shard>, P) {
        let (shard, part) = &self.0[number];
        (shard, *part)
    }

    /// All parts with their shards.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<Shard>, P)> {
        self.0.iter().map(|(shard, part)| (shard, *part))
    }

    /// Waits until one of the parts is ready for `interest` and does `act` with it: the one with the number `first`, or
    /// another.
    pub(super) fn wait<T>(
        &self,
        first: usize,
        interest: Readiness,
        patience: Patience,
        mut act: impl FnMut(usize, P, &mut Core, Instant) -> Result<T>,
    ) -> Result<T> {
        if let [(shard, part)] = &self.0[..] {
            return shard.wait(part.name(), interest, patience, |core, now| act(0, *part, core, now));
        }
        let parts = self.iter().map(|(shard, part)| (shard, part.name()));
        wait_any(parts, first % self.len(), interest, patience, |number, core, now| {
            act(number, self.0[number].1, core, now)
        })
    }

    /// Looks at the first part: for what all have in common.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut Stack, P) -> Result<T>) -> Result<T> {
        let (shard, part) = self.get(0);
        shard.look(|stack| look(stack, part))
    }

    /// Does the same with all parts.
    ///
    /// # Errors
    /// The first; the parts before it are changed then.
    pub(super) fn act(&self, mut act: impl FnMut(&mut Stack, P) -> Result<()>) -> Result<()> {
        self.iter().try_for_each(|(shard, part)| shard.act(|core, _| act(&mut core.stack, part)))
    }
}

/// Which part a call looks into first, and drives while it waits: the one that had something the last time. But every so
/// often the next, so that none is forgotten while that one is busy.
#[derive(Default)]
pub(super) struct Favourite {
    number: AtomicUsize,
    calls: AtomicUsize,
}

impl Favourite {
    /// The number of the part, of `parts`.
    pub(super) fn first(&self, parts: usize) -> usize {
        if parts == 1 {
            return 0;
        }
        let changes = self.calls.fetch_add(1, Ordering::Relaxed) % CHANGE == CHANGE - 1;
        (self.number.load(Ordering::Relaxed) + usize::from(changes)) % parts
    }

    /// The part with this number had something.
    pub(super) fn found(&self, number: usize) {
        self.number.store(number, Ordering::Relaxed);
    }
}

/// What a poller or a task must know of a socket's part.
pub struct Place<'a> {
    pub(super) shard: &'a Arc<Shard>,
    pub(super) id: SocketId,
    /// Whether what is sent goes out there: elsewhere it is always writable, which means nothing.
    pub(super) home: bool,
}

/// The places of a socket; mostly one.
pub(super) type Places<'a> = SmallVec<[Place<'a>; 1]>;

impl Place<'_> {
    /// What of `interest` this part is asked for.
    pub(super) fn interest(&self, interest: Readiness) -> Readiness {
        if self.home { interest } else { interest.without(Readiness::WRITABLE) }
    }

    /// What it is ready for, of `interest`, with errors, hang-ups and the peer's end.
    ///
    /// # Errors
    /// `WouldBlock` if it is nothing.
    pub(super) fn ready(&self, core: &Core, interest: Readiness) -> Result<Readiness> {
        let told = self.interest(interest).union(Readiness::ERROR).union(Readiness::HANGUP);
        let ready = core.stack.readiness(self.id);
        if !ready.intersects(told) {
            return Err(Error::WouldBlock);
        }
        Ok(ready.intersection(told.union(Readiness::READ_CLOSED)))
    }

    fn readiness(&self) -> Readiness {
        // Everything, if the stack has panicked: each call then fails at once.
        let all = Readiness::READABLE | Readiness::WRITABLE | Readiness::HANGUP | Readiness::ERROR;
        self.interest(self.shard.look(|stack| Ok(stack.readiness(self.id))).unwrap_or(all))
    }
}

/// What any of a socket's parts is ready for.
pub(super) fn readiness(places: &Places<'_>) -> Readiness {
    places.iter().fold(Readiness::NONE, |ready, place| ready | place.readiness())
}

/// Whether any of a socket's parts is ready for `interest`, an error or a hang-up. If none is, the task is woken when it
/// is worth asking again.
pub(super) fn poll_ready(places: &Places<'_>, cx: &mut Context<'_>, interest: Readiness) -> Poll<Result<Readiness>> {
    poll_wait(places, 0, cx, Seat::Shared, interest, |place, core, _| place.ready(core, interest))
}

/// As [`Shard::poll_wait`], on whichever of a socket's parts has something. It looks into that with the number `first`
/// first.
pub(super) fn poll_wait<T>(
    places: &Places<'_>,
    first: usize,
    cx: &mut Context<'_>,
    seat: Seat,
    interest: Readiness,
    mut act: impl FnMut(&Place<'_>, &mut Core, Instant) -> Result<T>,
) -> Poll<Result<T>> {
    for k in 0..places.len() {
        let place = &places[(first + k) % places.len()];
        let wanted = place.interest(interest);
        let result = place.shard.poll_wait(cx, seat, place.id, wanted, |core, now| act(place, core, now));
        if result.is_ready() {
            return result;
        }
    }
    Poll::Pending
}
