//! An application of one's own in a simulation: a client asks a server again and again over a bad mobile link, and what
//! is measured is how long it waits, with Nagle's algorithm and without. No time passes, and every run with the same seed
//! is the same run.
//!
//! `cargo run --no-default-features --features sim --example simulation`; docs/simulation.md is the guide.

use std::time::Duration;
use tunstack::error::Error;
use tunstack::sim::{Application, Scenario, Socket, World};
use tunstack::stack::Shutdown;

const QUESTION: usize = 100;
const ANSWER: usize = 5_000;

/// Asks, waits for the whole answer, thinks a while, and asks again.
struct Client<'a> {
    questions: u32,
    asked: Option<Duration>,
    missing: usize,
    next: Option<Duration>,
    waits: &'a mut Vec<Duration>,
}

impl Application for Client<'_> {
    fn run(&mut self, socket: &mut Socket<'_>) -> Result<(), String> {
        if self.asked.is_none() && self.next.is_none_or(|at| at <= socket.now()) && self.questions > 0 {
            match socket.send(&[b'?'; QUESTION]) {
                Ok(n) if n == QUESTION => {}
                Ok(n) => return Err(format!("only {n} bytes of a question were taken")),
                // The handshake goes on.
                Err(Error::WouldBlock | Error::NotConnected) => return Ok(()),
                // A link so bad that the peer was given up is nobody's fault.
                Err(_) => {
                    socket.close();
                    return Ok(());
                }
            }
            self.questions -= 1;
            (self.asked, self.missing, self.next) = (Some(socket.now()), ANSWER, None);
        }
        let mut buf = [0; ANSWER];
        while let Some(asked) = self.asked
            && let Ok(n @ 1..) = socket.recv(&mut buf)
        {
            self.missing = self.missing.checked_sub(n).ok_or("more than was asked for")?;
            if self.missing == 0 {
                self.waits.push(socket.now() - asked);
                (self.asked, self.next) = (None, Some(socket.now() + Duration::from_millis(200)));
            }
        }
        if (self.asked.is_none() && self.questions == 0) || socket.error().is_some() {
            socket.close();
        }
        Ok(())
    }

    fn wake(&self) -> Option<Duration> {
        self.next
    }
}

/// Answers every question, until there are no more.
#[derive(Default)]
struct Server {
    read: usize,
    answered: usize,
}

impl Application for Server {
    fn run(&mut self, socket: &mut Socket<'_>) -> Result<(), String> {
        let mut buf = [0; 4096];
        while let Ok(n @ 1..) = socket.recv(&mut buf) {
            self.read += n;
        }
        while self.answered < self.read / QUESTION * ANSWER {
            let left = self.read / QUESTION * ANSWER - self.answered;
            match socket.send(&vec![b'!'; left]) {
                Ok(n) => self.answered += n,
                Err(_) => break,
            }
        }
        if socket.at_end() || socket.error().is_some() {
            let _ = socket.shutdown(Shutdown::Write);
            socket.close();
        }
        Ok(())
    }
}

/// How long the client waited for each answer.
fn waits(seed: u64, link: &str, nodelay: bool) -> Vec<Duration> {
    let mut scenario = Scenario::quiet(seed);
    scenario.add_flow(0).sockets[1].nodelay = nodelay;
    scenario.set_link(link.parse().expect("a link's description"));
    let mut waits = Vec::new();
    let client = Client { questions: 50, asked: None, missing: 0, next: None, waits: &mut waits };
    let report =
        World::new(scenario).application(0, 0, Box::new(client)).application(0, 1, Box::new(Server::default())).run();
    assert_eq!(report.violation, None, "seed {seed}");
    waits
}

/// The median and the 99th percentile of a hundred clients' waits.
fn percentiles(link: &str, nodelay: bool) -> [Duration; 2] {
    let mut all: Vec<Duration> = (0..100).flat_map(|seed| waits(seed, link, nodelay)).collect();
    all.sort_unstable();
    [50, 99].map(|p| all[(all.len() - 1) * p / 100])
}

fn main() {
    println!("{:>34}  with Nagle: median, 99 %     without", "");
    for link in ["delay=30ms", "delay=30ms,loss=2%", "delay=30ms,burst=1%/25%", "delay=30ms,jitter=20ms,reorder=2%"] {
        let [with, without] = [false, true].map(|nodelay| percentiles(link, nodelay));
        println!("{link:>34}  {:9.1?}  {:9.1?}   {:9.1?}  {:9.1?}", with[0], with[1], without[0], without[1]);
    }
}

#[test]
fn every_question_is_answered_and_the_seed_decides_when() {
    let perfect = waits(1, "delay=30ms", true);
    assert_eq!(perfect.len(), 50);
    // A round trip for the handshake, and one for question and answer.
    assert!(perfect.iter().all(|wait| *wait <= Duration::from_millis(120)), "{perfect:?}");
    let lossy = "delay=30ms,loss=5%";
    assert_eq!(waits(1, lossy, true), waits(1, lossy, true));
    assert_ne!(waits(1, lossy, true), waits(2, lossy, true));
}
