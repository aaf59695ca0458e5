//! Names: who finds their addresses for a host.

use super::Host;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;

/// Is told the addresses of a name, those of each answer as they come, and dropped after the last.
pub type Tell = Box<dyn FnMut(io::Result<Vec<IpAddr>>) + Send>;

/// Finds the addresses of names for a [`Host`]: [`Host::set_resolver`].
pub trait Resolve: Send + Sync {
    /// Begins to look for the addresses of `name`, and returns at once. `tell` is dropped within a bounded time, having
    /// been told at least something.
    fn look_up(&self, name: &str, tell: Tell);
}

impl Host {
    /// Begins to look for the addresses of `name` by the host's resolver, and returns at once. `tell` is told those of each
    /// answer as they come, in no order, and dropped after the last; see [`resolve`](Host::resolve) for its errors.
    ///
    /// # Errors
    /// `Unsupported` if the host has no resolver.
    pub fn look_up(&self, name: &str, tell: Tell) -> io::Result<()> {
        let resolver = self.resolver().ok_or_else(|| {
            let text = format!("{name}: the host has no resolver for names (Host::set_resolver)");
            io::Error::new(ErrorKind::Unsupported, text)
        })?;
        resolver.look_up(name, tell);
        Ok(())
    }

    /// The addresses of `name`, the one to try first at the front (RFC 6724 6). It waits for all answers.
    ///
    /// # Errors
    /// `NotFound` if there is no such name, or it has no address; `TimedOut` if no server answers; `InvalidInput` if it is
    /// no name; `Unsupported` if the host has no resolver; and whatever else a server says, or a socket.
    pub fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let (sender, answers) = mpsc::channel();
        self.look_up(name, Box::new(move |answer| drop(sender.send(answer))))?;
        of_all_answers(self, answers.into_iter(), name)
    }

    /// Sorts the addresses that a name has, the one to try first to the front (RFC 6724 6), by the addresses and routes
    /// that the host has.
    pub fn order(&self, destinations: &mut [SocketAddr]) {
        // A host that has ended reaches none, so that any order will do.
        let _ = self.shards()[0].look(|stack| {
            stack.order_destinations(destinations);
            Ok(())
        });
    }
}

/// The addresses in the `answers` about `name`, in the order in which `host` is to try them.
pub(crate) fn of_all_answers(
    host: &Host,
    answers: impl Iterator<Item = io::Result<Vec<IpAddr>>>,
    name: &str,
) -> io::Result<Vec<IpAddr>> {
    let mut addrs: Vec<SocketAddr> = collect(answers, name)?.into_iter().map(|addr| SocketAddr::new(addr, 0)).collect();
    host.order(&mut addrs);
    Ok(addrs.into_iter().map(|addr| addr.ip()).collect())
}

/// All addresses in the answers about `name`; without any, the error that says most: "there is none" is not sure where
/// another answer failed to come.
fn collect(answers: impl Iterator<Item = io::Result<Vec<IpAddr>>>, name: &str) -> io::Result<Vec<IpAddr>> {
    let mut addrs = Vec::new();
    let mut failure: Option<io::Error> = None;
    let mut told = false;
    for answer in answers {
        told = true;
        match answer {
            Ok(more) => more.into_iter().for_each(|addr| {
                if !addrs.contains(&addr) {
                    addrs.push(addr);
                }
            }),
            Err(error) if failure.as_ref().is_none_or(|f| f.kind() == ErrorKind::NotFound) => failure = Some(error),
            Err(_) => {}
        }
    }
    match failure {
        _ if !addrs.is_empty() => Ok(addrs),
        Some(error) => Err(error),
        None if !told => Err(io::Error::new(ErrorKind::ConnectionAborted, format!("{name}: the resolver has ended"))),
        None => Err(io::Error::new(ErrorKind::NotFound, format!("{name}: it has no address"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_count_before_errors_and_doubt_before_absence() {
        let (a, b): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap());
        let fail = |kind: ErrorKind| Err(io::Error::from(kind));
        let all = |answers: Vec<io::Result<Vec<IpAddr>>>| collect(answers.into_iter(), "x").map_err(|e| e.kind());
        assert_eq!(all(vec![Ok(vec![b]), Ok(vec![a, b])]), Ok(vec![b, a]));
        assert_eq!(all(vec![fail(ErrorKind::TimedOut), Ok(vec![a])]), Ok(vec![a]));
        for answers in [[ErrorKind::NotFound, ErrorKind::TimedOut], [ErrorKind::TimedOut, ErrorKind::NotFound]] {
            assert_eq!(all(answers.map(fail).into()), Err(ErrorKind::TimedOut));
        }
        assert_eq!(all(vec![fail(ErrorKind::NotFound)]), Err(ErrorKind::NotFound));
        assert_eq!(all(vec![Ok(vec![])]), Err(ErrorKind::NotFound));
        assert_eq!(all(vec![]), Err(ErrorKind::ConnectionAborted));
    }
}
