//! What a case sees, as text that can be compared.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How a line begins that says that a case did not end well.
pub const BROKEN: &str = "BROKEN:";

/// What stands between a step and what was seen there.
const COLON: &str = ": ";

/// More than any call takes that does not wait, on a machine that does much else.
const AT_ONCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Family::V4 { "v4" } else { "v6" })
    }
}

/// One run of a case.
#[derive(Clone)]
pub struct Test {
    pub family: Family,
    /// No other run's.
    number: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Test {
    pub fn new(family: Family) -> Test {
        static RUNS: AtomicU16 = AtomicU16::new(0);
        Test { family, number: RUNS.fetch_add(1, Ordering::Relaxed), seen: Arc::default() }
    }

    /// One of the two, by the family.
    pub fn pick<T>(&self, v4: T, v6: T) -> T {
        if self.family == Family::V4 { v4 } else { v6 }
    }

    fn ip(&self, v4: &str, v6: &str) -> IpAddr {
        self.pick(v4, v6).parse().expect("an address")
    }

    /// The loopback address.
    pub fn loopback(&self) -> IpAddr {
        self.pick(Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into())
    }

    /// The host's address on its link.
    pub fn own(&self) -> IpAddr {
        self.ip("192.0.2.1", "2001:db8::1")
    }

    /// A neighbour on the link, who is not there.
    pub fn neighbour(&self) -> IpAddr {
        self.ip("192.0.2.77", "2001:db8::77")
    }

    /// An address that no route leads to.
    pub fn elsewhere(&self) -> IpAddr {
        self.ip("198.51.100.7", "2001:db8:1::7")
    }

    /// All addresses.
    pub fn unspecified(&self) -> IpAddr {
        self.pick(Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into())
    }

    /// A multicast group.
    pub fn group(&self) -> IpAddr {
        self.ip("239.1.2.3", "ff15::1:2:3")
    }

    /// A multicast group that no other run joins: the kernel lets a socket hear groups that others have joined.
    pub fn own_group(&self) -> IpAddr {
        let [high, low] = self.number.to_be_bytes();
        self.pick(Ipv4Addr::new(239, 2, high, low).into(), Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 2, self.number).into())
    }

    /// Any port of the loopback address.
    pub fn any(&self) -> SocketAddr {
        SocketAddr::new(self.loopback(), 0)
    }

    /// Notes what was seen at `step`.
    pub fn see(&self, step: &str, value: impl Show) {
        self.seen.lock().expect("nobody panics with it").push(format!("{step}{COLON}{}", value.show()));
    }

    /// Notes what `act` gives and that it does not wait.
    pub fn at_once<T: Show>(&self, step: &str, act: impl FnOnce() -> T) {
        self.timed(step, Duration::ZERO, act);
    }

    /// Notes what `act` gives and that it waits for `least` and not much longer.
    pub fn timed<T: Show>(&self, step: &str, least: Duration, act: impl FnOnce() -> T) {
        let begin = Instant::now();
        let value = act();
        let took = begin.elapsed();
        // A clock of ticks may be early by one.
        let early = took + Duration::from_millis(2) < least;
        let when = if early {
            "early"
        } else if took > least + AT_ONCE {
            "late"
        } else {
            "in time"
        };
        self.see(step, format!("{} {when}", value.show()));
    }

    pub fn lines(&self) -> Vec<String> {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

/// A line's step and value.
pub fn split(line: &str) -> (&str, &str) {
    line.split_once(COLON).unwrap_or((line, ""))
}

/// What can be seen.
pub trait Show {
    fn show(&self) -> String;
}

macro_rules! by_debug {
    ($($kind:ty),*) => {$(
        impl Show for $kind {
            fn show(&self) -> String {
                format!("{self:?}")
            }
        }
    )*};
}

by_debug!((), bool, u8, u16, u32, u64, usize, i32, IpAddr, Duration, io::ErrorKind, [u8], Vec<usize>);

impl Show for str {
    fn show(&self) -> String {
        self.into()
    }
}

impl Show for String {
    fn show(&self) -> String {
        self.clone()
    }
}

impl Show for Vec<u8> {
    fn show(&self) -> String {
        self[..].show()
    }
}

impl<const N: usize> Show for [u8; N] {
    fn show(&self) -> String {
        self[..].show()
    }
}

impl<T: Show + ?Sized> Show for &T {
    fn show(&self) -> String {
        (**self).show()
    }
}

/// Ports are chosen at random; that there is one is all that is told.
impl Show for SocketAddr {
    fn show(&self) -> String {
        format!("{} {}", self.ip(), if self.port() == 0 { "without a port" } else { "with a port" })
    }
}

/// The kind and the error number; but an invalid argument may have another text than EINVAL's.
impl Show for io::Error {
    fn show(&self) -> String {
        match self.raw_os_error() {
            Some(errno) if self.kind() != io::ErrorKind::InvalidInput => format!("{:?} ({errno})", self.kind()),
            _ => format!("{:?}", self.kind()),
        }
    }
}

impl<T: Show> Show for io::Result<T> {
    fn show(&self) -> String {
        match self {
            Ok(value) => format!("Ok({})", value.show()),
            Err(error) => format!("Err({})", error.show()),
        }
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> String {
        self.as_ref().map_or("None".into(), |value| format!("Some({})", value.show()))
    }
}

impl<A: Show, B: Show> Show for (A, B) {
    fn show(&self) -> String {
        format!("({}, {})", self.0.show(), self.1.show())
    }
}

impl<A: Show, B: Show, C: Show> Show for (A, B, C) {
    fn show(&self) -> String {
        format!("({}, {}, {})", self.0.show(), self.1.show(), self.2.show())
    }
}
