//! The applications: each writes a stream, reads its peer's, pauses, and closes in its own way. They act only when the
//! host says that something is ready, or when a pause of their own is over; a wake-up that a host forgets is a hang.

use super::coverage::{Cover, Coverage};
use super::host::{Flow, Host};
use super::stream::Stream;
use crate::error::Error;
use crate::rng::Rng;
use crate::stack::Shutdown;
use crate::tcp::state::State;
use crate::time::Instant;
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

/// Pauses between calls.
#[derive(Clone, Copy, Debug)]
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
    /// The longest that it can hold itself up.
    pub fn longest_delay(&self) -> Duration {
        let pauses = |p: &Pauses| p.longest * p.left;
        pauses(&self.write_pauses) + pauses(&self.read_pauses) + self.stall.map_or(Duration::ZERO, |(_, d)| d)
    }
}

/// An application on one end of one flow.
pub(super) struct App {
    plan: AppPlan,
    rng: Rng,
    pub(super) out: Stream,
    inp: Stream,
    /// When it got its socket; nothing happens before.
    since: Option<Instant>,
    write_at: Option<Instant>,
    read_at: Option<Instant>,
    close_at: Option<Instant>,
    pub(super) written: u64,
    pub(super) read: u64,
    pub(super) eof: bool,
    /// The end of the stream was read, and it was the peer's.
    pub(super) clean_eof: bool,
    pub(super) shut: bool,
    pub(super) closed: bool,
    pub(super) aborted: bool,
    pub(super) error: Option<Error>,
    /// What is to be written next.
    offer: Vec<u8>,
    buf: Vec<u8>,
}

/// What an application's call must not do.
type Check = Result<(), String>;

impl App {
    pub(super) fn new(plan: AppPlan, seed: u64, out: Stream, inp: Stream) -> Self {
        let buf = vec![0; plan.read_chunk];
        App {
            plan,
            rng: Rng::new(Rng::seed_from(seed)),
            out,
            inp,
            since: None,
            write_at: None,
            read_at: None,
            close_at: None,
            written: 0,
            read: 0,
            eof: false,
            clean_eof: false,
            shut: false,
            closed: false,
            aborted: false,
            error: None,
            offer: Vec::new(),
            buf,
        }
    }

    pub(super) fn plan(&self) -> &AppPlan {
        &self.plan
    }

    /// It has a socket now.
    pub(super) fn start(&mut self, now: Instant) {
        self.since = Some(now);
        if let Finish::CloseAt(after) | Finish::AbortAt(after) = self.plan.finish {
            self.close_at = Some(now + after);
        }
    }

    pub(super) fn started(&self) -> bool {
        self.since.is_some()
    }

    /// When it wants to act by itself.
    pub(super) fn wake(&self) -> Option<Instant> {
        if self.closed {
            return None;
        }
        [self.write_at, self.read_at, self.close_at].into_iter().flatten().min()
    }

    /// Acts: writes, reads and closes as far as it can now.
    pub(super) fn run(&mut self, now: Instant, host: &mut dyn Host, flow: Flow, coverage: &mut Coverage) -> Check {
        if self.since.is_none() || self.closed {
            return Ok(());
        }
        if self.close_at.is_some_and(|at| at <= now) {
            return self.leave_in_the_middle(now, host, flow, coverage);
        }
        for timer in [&mut self.write_at, &mut self.read_at] {
            if timer.is_some_and(|at| at <= now) {
                *timer = None;
            }
        }
        self.write(now, host, flow)?;
        self.read(now, host, flow, coverage)?;
        self.finish(now, host, flow, coverage)
    }

    /// Gives up from outside: the run has waited long enough.
    pub(super) fn give_up(&mut self, now: Instant, host: &mut dyn Host, flow: Flow) {
        self.closed = true;
        host.close(now, flow);
    }

    fn write(&mut self, now: Instant, host: &mut dyn Host, flow: Flow) -> Check {
        while !self.shut && self.error.is_none() && self.write_at.is_none() && self.written < self.plan.total {
            // What was not taken yet is offered again as it is.
            if self.offer.is_empty() {
                let left = self.plan.total - self.written;
                let n = self.rng.between(1, self.plan.write_chunk as u64).min(left) as usize;
                self.offer.resize(n, 0);
                self.out.fill(self.written, &mut self.offer);
            }
            let n = self.offer.len();
            match host.send(now, flow, &self.offer) {
                Ok(taken) if taken == 0 || taken > n => return Err(format!("send took {taken} of {n} bytes")),
                Ok(taken) => {
                    self.written += taken as u64;
                    self.offer.drain(..taken);
                }
                Err(Error::WouldBlock | Error::NotConnected) => break,
                Err(error) => self.fail(error),
            }
            self.write_at = pause(&mut self.plan.write_pauses, &mut self.rng, now);
        }
        Ok(())
    }

    fn read(&mut self, now: Instant, host: &mut dyn Host, flow: Flow, coverage: &mut Coverage) -> Check {
        while !self.eof && self.read_at.is_none() {
            let n = self.rng.between(1, self.plan.read_chunk as u64) as usize;
            let gone = host.state(flow) == State::Closed;
            match host.recv(now, flow, &mut self.buf[..n]) {
                Ok(0) => {
                    self.eof = true;
                    // After an error or our own shutdown the stream ends too, but that says nothing about the peer's
                    // last byte.
                    let own = self.shut && self.plan.finish == Finish::ShutdownBoth;
                    self.clean_eof = self.error.is_none() && !own;
                    break;
                }
                Ok(got) if got > n => return Err(format!("recv gave {got} bytes into a buffer of {n}")),
                Ok(got) => {
                    if let Some(at) = self.inp.first_difference(self.read, &self.buf[..got]) {
                        return Err(format!("INV-3: a wrong byte was read at {at}"));
                    }
                    self.read += got as u64;
                    coverage.hit_if(gone, Cover::ReadAfterGone);
                }
                Err(Error::WouldBlock) => break,
                Err(Error::NotConnected) if self.error.is_none() && self.read == 0 => break,
                Err(error) => {
                    self.fail(error);
                    break;
                }
            }
            self.read_at = pause(&mut self.plan.read_pauses, &mut self.rng, now);
            if let Some((_, long)) = self.plan.stall.take_if(|(at, _)| self.read >= *at) {
                self.read_at = Some(now + long);
            }
        }
        Ok(())
    }

    /// An error ends the connection; the first that is not just its echo is kept.
    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    fn finish(&mut self, now: Instant, host: &mut dyn Host, flow: Flow, coverage: &mut Coverage) -> Check {
        let written = self.written == self.plan.total;
        let dead = self.error.is_some();
        let read_on = dead && host.unread(flow);
        if (self.eof || dead) && (self.shut || written || dead) && !read_on && self.plan.finish.is_patient() {
            return self.close(now, host, flow);
        }
        match self.plan.finish {
            Finish::Shutdown if written && !self.shut && !dead => self.shut_down(now, host, flow, Shutdown::Write),
            Finish::CloseWhenWritten if (written && self.connected(host, flow)) || (dead && !read_on) => {
                let unread = host.unread(flow);
                coverage.hit_if(unread, Cover::CloseUnread);
                self.close(now, host, flow)
            }
            Finish::ShutdownBoth if written && !self.shut && !dead && self.connected(host, flow) => {
                coverage.hit(Cover::ShutdownBoth);
                self.close_at = Some(now + Duration::from_micros(self.rng.between(0, 2_000_000)));
                self.shut_down(now, host, flow, Shutdown::Both)
            }
            Finish::ShutdownBoth | Finish::CloseAt(_) | Finish::AbortAt(_) if dead && !read_on => {
                self.close(now, host, flow)
            }
            _ => Ok(()),
        }
    }

    /// Whether the handshake is over, so that a close is one of the close orders and not an attempt given up.
    fn connected(&self, host: &dyn Host, flow: Flow) -> bool {
        host.state(flow) != State::SynSent
    }

    fn shut_down(&mut self, now: Instant, host: &mut dyn Host, flow: Flow, how: Shutdown) -> Check {
        match host.shutdown(now, flow, how) {
            Ok(()) => self.shut = true,
            // The connection may be gone, or not be there yet.
            Err(Error::NotConnected) if host.state(flow) == State::Closed => self.fail(Error::NotConnected),
            Err(Error::NotConnected) => {}
            Err(error) => return Err(format!("shutdown failed: {error}")),
        }
        Ok(())
    }

    fn close(&mut self, now: Instant, host: &mut dyn Host, flow: Flow) -> Check {
        self.closed = true;
        host.close(now, flow);
        Ok(())
    }

    fn leave_in_the_middle(&mut self, now: Instant, host: &mut dyn Host, flow: Flow, coverage: &mut Coverage) -> Check {
        coverage.hit_if(host.unread(flow), Cover::CloseUnread);
        coverage.hit_if(self.written < self.plan.total, Cover::CloseEarly);
        if matches!(self.plan.finish, Finish::AbortAt(_)) {
            coverage.hit(Cover::Abort);
            self.aborted = true;
            self.closed = true;
            host.abort(now, flow);
            return Ok(());
        }
        self.close(now, host, flow)
    }
}

/// Perhaps a pause, as planned.
fn pause(pauses: &mut Pauses, rng: &mut Rng, now: Instant) -> Option<Instant> {
    if pauses.left == 0 || !rng.chance(pauses.chance) {
        return None;
    }
    pauses.left -= 1;
    let longest = u64::try_from(pauses.longest.as_nanos()).unwrap_or(u64::MAX).max(1);
    Some(now + Duration::from_nanos(rng.between(1, longest)))
}
