//! All streams of a test, from the start to the end, second by second. Both ends do the same; only the client has a
//! clock that ends it.

use super::flow::{Carrier, Flow, Sample};
use super::protocol::{FlowResult, MAX_DATAGRAM, Params, Results, Step};
use super::{CpuClock, CpuTime};
use crate::net::{TcpStream, UdpSocket};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The time between two reports.
const INTERVAL: Duration = Duration::from_secs(1);

/// What happens in a test, for whoever watches.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The streams are there; data flows.
    Started {
        /// What the client asked for.
        params: &'a Params,
        /// Our end of the control connection.
        local: SocketAddr,
        /// The other end.
        peer: SocketAddr,
    },
    /// One more second.
    Interval(&'a Interval),
    /// It is over.
    Ended(&'a Summary),
    /// It was broken off, and why.
    Failed(&'a io::Error),
}

/// What was done within some time, in seconds from the start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interval {
    /// Its start.
    pub start: f64,
    /// Its end.
    pub end: f64,
    /// Each stream.
    pub flows: Vec<Sample>,
}

/// A whole test.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What the client asked for.
    pub params: Params,
    /// All of it, as this end saw it.
    pub whole: Interval,
    /// CPU time that this process used meanwhile.
    pub cpu: CpuTime,
    /// All of it, as the other end saw it.
    pub theirs: Results,
}

impl Summary {
    /// Bytes that went through this process both ways.
    pub fn bytes(&self) -> u64 {
        self.whole.flows.iter().map(|flow| flow.bytes).sum()
    }

    /// CPU seconds for each GiB that went through this process; `None` if nothing did.
    pub fn cpu_per_gib(&self) -> Option<f64> {
        let gib = self.bytes() as f64 / f64::from(1 << 30);
        (gib > 0.0).then(|| self.cpu.total().as_secs_f64() / gib)
    }
}

/// What all the streams did, and how the test came to its end.
pub(super) struct Outcome {
    pub(super) whole: Interval,
    pub(super) cpu: CpuTime,
    /// The step that the other side announced, if that ended the test.
    pub(super) step: Option<Step>,
}

impl Outcome {
    /// What is told to the other end.
    pub(super) fn results(&self) -> Results {
        let percent = |time: Duration| 100.0 * time.as_secs_f64() / self.whole.end.max(1e-9);
        let sends = self.whole.flows.iter().any(|flow| flow.sends);
        Results {
            cpu_util_total: percent(self.cpu.total()),
            cpu_util_user: percent(self.cpu.user),
            cpu_util_system: percent(self.cpu.system),
            sender_has_retransmits: if sends { 1 } else { -1 },
            streams: self.whole.flows.iter().map(|flow| result(flow, self.whole.end)).collect(),
        }
    }
}

fn result(flow: &Sample, end: f64) -> FlowResult {
    let count = flow.datagrams.unwrap_or_default();
    FlowResult {
        id: flow.id,
        bytes: flow.bytes,
        retransmits: flow.retransmits.map_or(-1, |n| n as i64),
        jitter: count.jitter,
        errors: count.lost.try_into().unwrap_or(i64::MAX),
        packets: count.packets.try_into().unwrap_or(i64::MAX),
        start_time: 0.0,
        end_time: end,
    }
}

/// A test that is about to run.
pub(super) struct Test<'a> {
    pub(super) params: &'a Params,
    pub(super) control: &'a TcpStream,
    pub(super) flows: &'a [Flow],
    /// The socket on which all of a server's datagrams arrive.
    pub(super) shared: Option<&'a UdpSocket>,
    /// When it ends if nobody says so, from its start. Then `step` is `None`.
    pub(super) limit: Duration,
    /// Whether this end tells the other one then: the client does.
    pub(super) ends: bool,
    pub(super) cpu: CpuClock,
}

impl Test<'_> {
    /// Runs it and shows `observe` every second of it.
    ///
    /// # Errors
    /// Of the control connection, or of the first stream that fails.
    pub(super) fn run(&self, observe: &mut dyn FnMut(Event)) -> io::Result<Outcome> {
        observe(Event::Started {
            params: self.params,
            local: self.control.local_addr()?,
            peer: self.control.peer_addr()?,
        });
        let running = &AtomicBool::new(true);
        let failure = &Mutex::new(None);
        let mut work: Vec<Work> = Vec::new();
        for flow in self.flows.iter().filter(|flow| flow.sends || self.shared.is_none()) {
            work.push(Box::new(|| flow.run(self.params, running)));
        }
        if let Some(socket) = self.shared {
            work.push(Box::new(|| self.hand_out(socket, running)));
        }
        let base = self.mark(Duration::ZERO);
        thread::scope(|scope| {
            let mut workers = Vec::with_capacity(work.len());
            for work in work {
                let builder = thread::Builder::new().name("perf".into());
                let worker = builder.spawn_scoped(scope, move || keep_first(failure, work()));
                keep_first(failure, worker.map(|worker| workers.push(worker)));
            }
            let watched = self.watch(base, failure, observe);
            // Only when nothing moves any more do both ends count the same.
            let before: Vec<Sample> = self.flows.iter().map(Flow::sample).collect();
            running.store(false, Ordering::Relaxed);
            // Before its streams are shut, so that the other end takes that for no failure.
            let told = match &watched {
                Ok(Watched { step: None, .. }) if self.ends => Step::TestEnd.send(self.control),
                _ => Ok(()),
            };
            self.flows.iter().for_each(Flow::stop);
            // A worker that has panicked has said so.
            workers.into_iter().for_each(|worker| _ = worker.join());
            let Watched { base, last, cpu, end, step } = watched?;
            told?;
            let known = before.into_iter().zip(&last.samples).map(|(before, last)| before.or(last.clone()));
            let now: Vec<Sample> = self.flows.iter().zip(known).map(|(flow, known)| flow.sample().or(known)).collect();
            observe(Event::Interval(&between(&last, &now, end)));
            Ok(Outcome { whole: between(&base, &now, end), cpu, step })
        })
    }

    /// Gives each received datagram to the stream that it belongs to.
    fn hand_out(&self, socket: &UdpSocket, running: &AtomicBool) -> io::Result<()> {
        let mut datagram = vec![0; MAX_DATAGRAM];
        while running.load(Ordering::Relaxed) {
            // Errors are of the wire, or time-outs; that the host has ended is seen on the control connection.
            let Ok((len, from)) = socket.recv_from(&mut datagram) else { continue };
            let is_its = |flow: &&Flow| matches!(&flow.carrier, Carrier::Udp(_, peer) if *peer == from);
            if let Some(flow) = self.flows.iter().filter(is_its).find(|flow| !flow.sends) {
                flow.arrived(&datagram[..len], self.params);
            }
        }
        Ok(())
    }

    /// Looks on until the test is over, and shows all seconds but the last.
    fn watch(
        &self,
        mut base: Mark,
        failure: &Mutex<Option<io::Error>>,
        observe: &mut dyn FnMut(Event),
    ) -> io::Result<Watched> {
        let (mut begin, mut cpu) = (Instant::now(), (self.cpu)());
        let mut omit = Some(Duration::from_secs(self.params.omit.into())).filter(|omit| !omit.is_zero());
        let mut last = base.clone();
        loop {
            let step = self.wait(begin + omit.unwrap_or((last.at + INTERVAL).min(self.limit)))?;
            let end = begin.elapsed();
            // Streams that fail when the other side has ended the test are only shut by it.
            if step.is_none()
                && let Some(e) = failure.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                return Err(e);
            }
            if step.is_some() || (omit.is_none() && end >= self.limit) {
                return Ok(Watched { base, last, cpu: (self.cpu)().since(cpu), end, step });
            }
            if omit.take().is_some() {
                // What was until now does not count.
                (begin, cpu, base) = (Instant::now(), (self.cpu)(), self.mark(Duration::ZERO));
                last = base.clone();
                continue;
            }
            let now = self.mark(end);
            // A client that ends after whole seconds is not given a further, empty interval.
            if end + INTERVAL / 10 < self.limit {
                observe(Event::Interval(&between(&last, &now.samples, end)));
                last = now;
            }
        }
    }

    fn mark(&self, at: Duration) -> Mark {
        Mark { at, samples: self.flows.iter().map(Flow::sample).collect() }
    }

    /// Waits for the other side to announce a step, but not beyond `end`.
    fn wait(&self, end: Instant) -> io::Result<Option<Step>> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.control.set_read_timeout(Some(left))?;
            match Step::receive(self.control) {
                Ok(step) => return Ok(Some(step)),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    return Err(io::Error::new(ErrorKind::ConnectionAborted, "the other side has left"));
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// What a thread of a test does.
type Work<'a> = Box<dyn FnOnce() -> io::Result<()> + Send + 'a>;

/// What the streams had done at a moment.
#[derive(Clone)]
struct Mark {
    at: Duration,
    samples: Vec<Sample>,
}

/// A test that is over.
struct Watched {
    base: Mark,
    last: Mark,
    cpu: CpuTime,
    end: Duration,
    step: Option<Step>,
}

fn between(then: &Mark, now: &[Sample], end: Duration) -> Interval {
    Interval {
        start: then.at.as_secs_f64(),
        end: end.as_secs_f64(),
        flows: now.iter().zip(&then.samples).map(|(now, then)| now.since(then)).collect(),
    }
}

fn keep_first(failure: &Mutex<Option<io::Error>>, result: io::Result<()>) {
    if let Err(e) = result {
        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
    }
}
