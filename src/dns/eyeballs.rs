//! Happy Eyeballs (RFC 8305): to a host of several addresses by the first that works, without waiting for those that do not.

use crate::aio::TcpStream;
use crate::net::{Host, Tell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How long an attempt is alone before the next one begins (8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How long addresses of IPv4 wait for those of IPv6 to become known (8).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 32;

/// The IP versions that may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// Whatever the host has.
    #[default]
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Families {
    /// Whether `addr` is of one of them.
    pub fn holds(self, addr: IpAddr) -> bool {
        match self {
            Families::Both => true,
            Families::V4 => addr.is_ipv4(),
            Families::V6 => addr.is_ipv6(),
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// No address was found: the errors are those of [`Host::resolve`].
    Name(io::Error),
    /// No address could be connected to: the error is that of the last attempt that failed.
    Connect(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Name(error) | ConnectError::Connect(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> io::Error {
        match error {
            ConnectError::Name(error) | ConnectError::Connect(error) => error,
        }
    }
}

/// Connects to `port` of the host called `name`, or of that address, over `families`: to all its addresses, a quarter of a
/// second apart, the families in turn, and gives the first connection that there is.
///
/// # Errors
/// [`ConnectError`]. There is no time-out but those of the resolver and of TCP.
///
/// # Panics
/// Outside a runtime of tokio with timers.
pub async fn connect(host: &Host, name: &str, port: u16, families: Families) -> Result<TcpStream, ConnectError> {
    let (sender, mut answers) = mpsc::unbounded_channel();
    let mut tell: Tell = Box::new(move |answer| drop(sender.send(answer)));
    match name.parse() {
        // Nobody needs to be asked, not even whether there is somebody.
        Ok(addr) => {
            tell(Ok(vec![addr]));
            drop(tell);
        }
        Err(_) => host.look_up(name, tell).map_err(ConnectError::Name)?,
    }
    let mut race = Race::new(host.clone(), port, families);
    loop {
        race.begin_if_due();
        if race.is_over() {
            return Err(race.failure(name));
        }
        tokio::select! {
            answer = answers.recv(), if race.naming => race.learn(answer),
            ended = race.attempts.join_next(), if !race.attempts.is_empty() => match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => race.failed(error),
                // An attempt that panicked has failed.
                Some(Err(error)) => race.failed(io::Error::other(error)),
                None => {}
            },
            () = sleep_until(race.next), if !race.waiting.is_empty() => {}
        }
    }
}

/// The attempts.
struct Race {
    host: Host,
    port: u16,
    families: Families,
    /// Whether more addresses may become known.
    naming: bool,
    /// Those that were not tried yet.
    waiting: VecDeque<SocketAddr>,
    /// How many addresses there were.
    known: usize,
    attempts: JoinSet<io::Result<TcpStream>>,
    /// When the next attempt may begin.
    next: Instant,
    name_error: Option<io::Error>,
    connect_error: Option<io::Error>,
}

impl Race {
    fn new(host: Host, port: u16, families: Families) -> Race {
        Race {
            host,
            port,
            families,
            naming: true,
            waiting: VecDeque::new(),
            known: 0,
            attempts: JoinSet::new(),
            next: Instant::now(),
            name_error: None,
            connect_error: None,
        }
    }

    /// Takes what the resolver says; `None` is its end.
    fn learn(&mut self, answer: Option<io::Result<Vec<IpAddr>>>) {
        match answer {
            None => {
                self.naming = false;
                // Nobody else is waited for.
                if self.attempts.is_empty() {
                    self.next = Instant::now();
                }
            }
            Some(Ok(addrs)) => {
                let first = self.known == 0;
                let room = MAX_ADDRESSES - self.known;
                let families = self.families;
                let addrs = addrs.into_iter().filter(|addr| families.holds(*addr)).take(room);
                let before = self.waiting.len();
                self.waiting.extend(addrs.map(|addr| SocketAddr::new(addr, self.port)));
                self.known += self.waiting.len() - before;
                if first && self.waiting.iter().all(SocketAddr::is_ipv4) && families == Families::Both {
                    self.next = Instant::now() + RESOLUTION_DELAY;
                } else if first {
                    self.next = Instant::now();
                }
                self.host.order(self.waiting.make_contiguous());
                self.waiting = in_turn(&self.waiting);
            }
            Some(Err(error)) if self.name_error.as_ref().is_none_or(|e| e.kind() == ErrorKind::NotFound) => {
                self.name_error = Some(error);
            }
            Some(Err(_)) => {}
        }
    }

    /// Begins the next attempt, if it is time.
    fn begin_if_due(&mut self) {
        if Instant::now() >= self.next
            && let Some(to) = self.waiting.pop_front()
        {
            let host = self.host.clone();
            self.attempts.spawn(async move { TcpStream::connect_on(&host, to).await });
            self.next = Instant::now() + ATTEMPT_DELAY;
        }
    }

    /// An attempt has failed, so that the next one need not wait.
    fn failed(&mut self, error: io::Error) {
        self.connect_error = Some(error);
        self.next = Instant::now();
    }

    fn is_over(&self) -> bool {
        !self.naming && self.waiting.is_empty() && self.attempts.is_empty()
    }

    fn failure(&mut self, name: &str) -> ConnectError {
        match (self.connect_error.take(), self.name_error.take()) {
            (Some(error), _) => ConnectError::Connect(error),
            (None, Some(error)) => ConnectError::Name(error),
            (None, None) => {
                let text = format!("{name}: it has no address of the version that is wanted");
                ConnectError::Name(io::Error::new(ErrorKind::NotFound, text))
            }
        }
    }
}

/// The addresses with the families in turn, beginning with that of the first (4).
fn in_turn(sorted: &VecDeque<SocketAddr>) -> VecDeque<SocketAddr> {
    let Some(first) = sorted.front() else { return VecDeque::new() };
    let (same, other): (Vec<_>, Vec<_>) = sorted.iter().partition(|addr| addr.is_ipv4() == first.is_ipv4());
    let pairs = same.len().max(other.len());
    (0..pairs).flat_map(|i| [same.get(i), other.get(i)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<VecDeque<SocketAddr>>();
        let sorted = list(&["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", "192.0.2.1:1", "192.0.2.2:1"]);
        let turns = list(&["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1", "[2001:db8::3]:1"]);
        assert_eq!(in_turn(&sorted), turns);
        assert_eq!(in_turn(&list(&["192.0.2.1:1"])), list(&["192.0.2.1:1"]));
        assert!(in_turn(&VecDeque::new()).is_empty());
    }
}
