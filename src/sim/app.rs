//! The applications that a plan describes: each writes a stream, reads its peer's, pauses, and closes in its own way.

use super::application::{Application, Socket};
use super::coverage::Cover;
use super::stream::Stream;
use crate::error::Error;
use crate::rng::Rng;
use crate::stack::Shutdown;
use crate::tcp::state::State;
use core::time::Duration;

/// How an application ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Writes all, shuts down its sending side, reads to the end, closes.
    Shutdown,
    /// Writes all, reads to the end, and only then closes.
    AfterPeer,
    /// Closes as soon as all is written, whatever the peer still sends.
    CloseWhenWritten,
    /// Shuts down both directions when all is written, and closes later.
    ShutdownBoth,
    /// Closes at this time after it got its connection, wherever it is.
    CloseAt(Duration),
    /// Aborts at this time after it got its connection.
    AbortAt(Duration),
}

impl Finish {
    /// Whether the application stays until both streams have ended.
    pub const fn is_patient(self) -> bool {
        matches!(self, Finish::Shutdown | Finish::AfterPeer)
    }
}

/// Pauses between calls; none by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pauses {
    /// The chance of a pause after a call.
    pub chance: f64,
    /// The longest pause.
    pub longest: Duration,
    /// How many may still be made.
    pub left: u32,
}

/// What an application will do.
#[derive(Clone, Debug)]
pub struct AppPlan {
    /// Bytes to write.
    pub total: u64,
    /// Largest write.
    pub write_chunk: usize,
    /// Largest read.
    pub read_chunk: usize,
    /// Pauses between writes.
    pub write_pauses: Pauses,
    /// Pauses between reads.
    pub read_pauses: Pauses,
    /// Having read so much, it reads nothing for so long.
    pub stall: Option<(u64, Duration)>,
    /// How it ends.
    pub finish: Finish,
}

impl AppPlan {
    /// An application that writes so many bytes, shuts its sending side down, reads to the end and closes.
    pub fn writes(total: u64) -> Self {
        AppPlan {
            total,
            write_chunk: 16_384,
            read_chunk: 16_384,
            write_pauses: Pauses::default(),
            read_pauses: Pauses::default(),
            stall: None,
            finish: Finish::Shutdown,
        }
    }

    /// An application that writes nothing, reads to the end, and then closes.
    pub fn reads() -> Self {
        AppPlan { finish: Finish::AfterPeer, ..AppPlan::writes(0) }
    }

    /// The longest that it can hold itself up.
    pub fn longest_delay(&self) -> Duration {
        let pauses = |p: &Pauses| p.longest * p.left;
        pauses(&self.write_pauses) + pauses(&self.read_pauses) + self.stall.map_or(Duration::ZERO, |(_, d)| d)
    }
}

/// What an application does by its plan.
pub(super) struct Planned {
    plan: AppPlan,
    rng: Rng,
    out: Stream,
    started: bool,
    write_at: Option<Duration>,
    read_at: Option<Duration>,
    close_at: Option<Duration>,
    /// What is to be written next.
    offer: Vec<u8>,
    buf: Vec<u8>,
}

type Check = Result<(), String>;

impl Application for Planned {
    fn run(&mut self, socket: &mut Socket<'_>) -> Check {
        let now = socket.now();
        if let Finish::CloseAt(after) | Finish::AbortAt(after) = self.plan.finish
            && !core::mem::replace(&mut self.started, true)
        {
            self.close_at = Some(now + after);
        }
        if self.close_at.is_some_and(|at| at <= now) {
            self.leave_in_the_middle(socket);
            return Ok(());
        }
        for timer in [&mut self.write_at, &mut self.read_at] {
            timer.take_if(|at| *at <= now);
        }
        self.write(socket);
        self.read(socket);
        self.finish(socket);
        Ok(())
    }

    fn wake(&self) -> Option<Duration> {
        [self.write_at, self.read_at, self.close_at].into_iter().flatten().min()
    }
}

impl Planned {
    /// An application that writes `out`.
    pub(super) fn new(plan: AppPlan, seed: u64, out: Stream) -> Self {
        let buf = vec![0; plan.read_chunk];
        Planned {
            plan,
            rng: Rng::new(Rng::seed_from(seed)),
            out,
            started: false,
            write_at: None,
            read_at: None,
            close_at: None,
            offer: Vec::new(),
            buf,
        }
    }

    fn write(&mut self, socket: &mut Socket<'_>) {
        let goes_on = |s: &Socket<'_>| !s.ledger.shut && s.error().is_none() && s.broken.is_none();
        while goes_on(socket) && self.write_at.is_none() && socket.written() < self.plan.total {
            // What was not taken yet is offered again as it is.
            if self.offer.is_empty() {
                let left = self.plan.total - socket.written();
                let n = self.rng.between(1, self.plan.write_chunk as u64).min(left) as usize;
                self.offer.resize(n, 0);
                self.out.fill(socket.written(), &mut self.offer);
            }
            match socket.send(&self.offer) {
                Ok(taken) => drop(self.offer.drain(..taken.min(self.offer.len()))),
                Err(Error::WouldBlock | Error::NotConnected) => break,
                Err(_) => {}
            }
            self.write_at = pause(&mut self.plan.write_pauses, &mut self.rng, socket.now());
        }
    }

    fn read(&mut self, socket: &mut Socket<'_>) {
        while !socket.at_end() && socket.broken.is_none() && self.read_at.is_none() {
            let n = self.rng.between(1, self.plan.read_chunk as u64) as usize;
            match socket.recv(&mut self.buf[..n]) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            self.read_at = pause(&mut self.plan.read_pauses, &mut self.rng, socket.now());
            if let Some((_, long)) = self.plan.stall.take_if(|(at, _)| socket.bytes_read() >= *at) {
                self.read_at = Some(socket.now() + long);
            }
        }
    }

    fn finish(&mut self, socket: &mut Socket<'_>) {
        let written = socket.written() == self.plan.total;
        let (eof, dead, shut) = (socket.at_end(), socket.error().is_some(), socket.ledger.shut);
        let read_on = dead && socket.unread();
        if (eof || dead) && (shut || written || dead) && !read_on && self.plan.finish.is_patient() {
            return socket.close();
        }
        // Only once the handshake is over is a close one of the close orders, and not an attempt given up.
        let connected = socket.state() != State::SynSent;
        match self.plan.finish {
            // An error is in the socket's book.
            Finish::Shutdown if written && !shut && !dead => {
                let _ = socket.shutdown(Shutdown::Write);
            }
            Finish::CloseWhenWritten if (written && connected) || (dead && !read_on) => {
                let unread = socket.unread();
                socket.coverage.hit_if(unread, Cover::CloseUnread);
                socket.close();
            }
            Finish::ShutdownBoth if written && !shut && !dead && connected => {
                socket.coverage.hit(Cover::ShutdownBoth);
                self.close_at = Some(socket.now() + Duration::from_micros(self.rng.between(0, 2_000_000)));
                let _ = socket.shutdown(Shutdown::Both);
            }
            Finish::ShutdownBoth | Finish::CloseAt(_) | Finish::AbortAt(_) if dead && !read_on => socket.close(),
            _ => {}
        }
    }

    fn leave_in_the_middle(&mut self, socket: &mut Socket<'_>) {
        let unread = socket.unread();
        socket.coverage.hit_if(unread, Cover::CloseUnread);
        socket.coverage.hit_if(socket.written() < self.plan.total, Cover::CloseEarly);
        if matches!(self.plan.finish, Finish::AbortAt(_)) {
            socket.coverage.hit(Cover::Abort);
            socket.abort();
        } else {
            socket.close();
        }
    }
}

/// Perhaps a pause, as planned.
fn pause(pauses: &mut Pauses, rng: &mut Rng, now: Duration) -> Option<Duration> {
    if pauses.left == 0 || !rng.chance(pauses.chance) {
        return None;
    }
    pauses.left -= 1;
    let longest = u64::try_from(pauses.longest.as_nanos()).unwrap_or(u64::MAX).max(1);
    Some(now + Duration::from_nanos(rng.between(1, longest)))
}
