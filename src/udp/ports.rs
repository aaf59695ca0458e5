//! UDP's port space: who has which address and port.

use crate::error::{Error, Result};
use crate::rng::{Key, Rng};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Random draws for an ephemeral port before all of them are tried in turn.
const DRAWS: u32 = 32;

/// The bound addresses. No address is ever shared, so each names one socket and a lookup needs no list.
#[derive(Debug)]
pub(super) struct Ports {
    bound: HashMap<SocketAddr, u32, Key>,
    // How many sockets have the port under any address: a wildcard wants it for itself alone.
    users: HashMap<u16, u32, Key>,
    low: u16,
    high: u16,
    rng: Rng,
}

impl Ports {
    /// A port space whose ephemeral ports are `low` to `high`.
    pub(super) fn new(low: u16, high: u16, mut rng: Rng) -> Result<Ports> {
        if low == 0 || low > high {
            return Err(Error::InvalidInput("the ephemeral ports must be 1 to 65535, the lowest first"));
        }
        Ok(Ports { bound: HashMap::with_hasher(rng.key()), users: HashMap::with_hasher(rng.key()), low, high, rng })
    }

    /// The socket that `dst` is for: that of exactly this address, else the wildcard's.
    pub(super) fn find(&self, dst: SocketAddr) -> Option<u32> {
        self.bound.get(&dst).or_else(|| self.bound.get(&wildcard(dst))).copied()
    }

    fn is_free(&self, local: SocketAddr) -> bool {
        if local.ip().is_unspecified() {
            !self.users.contains_key(&local.port())
        } else {
            !self.bound.contains_key(&local) && !self.bound.contains_key(&wildcard(local))
        }
    }

    /// Binds `socket` to `local`, with a port of our choice if its port is zero, and gives the address that it has now.
    pub(super) fn bind(&mut self, local: SocketAddr, socket: u32) -> Result<SocketAddr> {
        let local = if local.port() == 0 { self.ephemeral(local.ip())? } else { local };
        if !self.is_free(local) {
            return Err(Error::AddrInUse);
        }
        self.bound.insert(local, socket);
        *self.users.entry(local.port()).or_default() += 1;
        Ok(local)
    }

    /// Gives `local` back.
    pub(super) fn release(&mut self, local: SocketAddr) {
        if self.bound.remove(&local).is_none() {
            return;
        }
        if let Entry::Occupied(mut users) = self.users.entry(local.port()) {
            *users.get_mut() -= 1;
            if *users.get() == 0 {
                users.remove();
            }
        }
    }

    /// Moves `socket` from one address to another of the same port; where that is taken it stays.
    pub(super) fn rebind(&mut self, from: SocketAddr, to: SocketAddr, socket: u32) -> Result<()> {
        self.release(from);
        let moved = self.bind(to, socket);
        if moved.is_err() {
            self.bind(from, socket)?;
        }
        moved.map(|_| ())
    }

    /// RFC 6056 3.3.2: random ports until one is free, and none is guessed from the last.
    fn ephemeral(&mut self, addr: IpAddr) -> Result<SocketAddr> {
        let (low, high) = (u64::from(self.low), u64::from(self.high));
        let at = |port: u64| SocketAddr::new(addr, port as u16);
        for _ in 0..DRAWS {
            let candidate = at(self.rng.between(low, high));
            if self.is_free(candidate) {
                return Ok(candidate);
            }
        }
        let start = self.rng.between(low, high);
        let in_turn = (start..=high).chain(low..start);
        in_turn.map(at).find(|&candidate| self.is_free(candidate)).ok_or(Error::AddrNotAvailable)
    }
}

fn wildcard(addr: SocketAddr) -> SocketAddr {
    let any = match addr {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(any, addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn ports(low: u16, high: u16) -> Ports {
        Ports::new(low, high, Rng::new(Rng::seed_from(3))).unwrap()
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_wildcard_has_its_port_alone() {
        let mut ports = ports(1024, 65_535);
        ports.bind(at("10.0.0.1:53"), 1).unwrap();
        ports.bind(at("10.0.0.2:53"), 2).unwrap();
        assert_eq!(ports.bind(at("10.0.0.1:53"), 3), Err(Error::AddrInUse));
        assert_eq!(ports.bind(at("0.0.0.0:53"), 3), Err(Error::AddrInUse));
        ports.release(at("10.0.0.1:53"));
        assert_eq!(ports.bind(at("0.0.0.0:53"), 3), Err(Error::AddrInUse));
        ports.release(at("10.0.0.2:53"));
        ports.bind(at("0.0.0.0:53"), 3).unwrap();
        assert_eq!(ports.bind(at("10.0.0.1:53"), 4), Err(Error::AddrInUse));
        assert_eq!(ports.bind(at("0.0.0.0:53"), 4), Err(Error::AddrInUse));
        assert_eq!(ports.find(at("10.0.0.9:53")), Some(3));
        assert_eq!(ports.find(at("10.0.0.9:54")), None);
        ports.release(at("0.0.0.0:53"));
        assert!(ports.bound.is_empty() && ports.users.is_empty());
    }

    #[test]
    fn a_move_that_fails_leaves_everything_as_it_was() {
        let mut ports = ports(1024, 65_535);
        ports.bind(at("10.0.0.1:53"), 1).unwrap();
        ports.bind(at("10.0.0.2:53"), 2).unwrap();
        assert_eq!(ports.rebind(at("10.0.0.1:53"), at("10.0.0.2:53"), 1), Err(Error::AddrInUse));
        assert_eq!(ports.find(at("10.0.0.1:53")), Some(1));
        ports.rebind(at("10.0.0.1:53"), at("10.0.0.3:53"), 1).unwrap();
        assert_eq!((ports.find(at("10.0.0.1:53")), ports.find(at("10.0.0.3:53"))), (None, Some(1)));
        assert_eq!(ports.users[&53], 2);
    }

    /// 6056-1, 6056-2.
    #[test]
    fn ephemeral_ports_use_the_whole_range_in_no_order() {
        let mut ports = ports(1024, 65_535);
        let drawn: Vec<u16> = (0..60_000)
            .map(|_| {
                let local = ports.bind(at("10.0.0.1:0"), 1).unwrap();
                ports.release(local);
                local.port()
            })
            .collect();
        assert!(drawn.iter().all(|&port| port >= 1024));
        assert!(drawn.iter().any(|&port| port < 1200) && drawn.iter().any(|&port| port > 65_300));
        let steps: BTreeSet<u16> = drawn.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        // As many as draws from 64,512 values would show; steps of a counter would be a few.
        assert!(steps.len() > 32_768, "only {} different steps", steps.len());
    }

    #[test]
    fn the_last_free_port_is_found_and_then_there_is_none() {
        let mut ports = ports(5000, 5999);
        let taken: BTreeSet<u16> = (0..1000).map(|n| ports.bind(at("0.0.0.0:0"), n).unwrap().port()).collect();
        assert_eq!(taken.len(), 1000);
        assert_eq!(ports.bind(at("0.0.0.0:0"), 1), Err(Error::AddrNotAvailable));
        assert_eq!(ports.bind(at("10.0.0.1:0"), 1), Err(Error::AddrNotAvailable));
        ports.release(at("0.0.0.0:5123"));
        assert_eq!(ports.bind(at("10.0.0.1:0"), 1), Ok(at("10.0.0.1:5123")));
        assert!(Ports::new(0, 9, Rng::new([0; 32])).is_err() && Ports::new(10, 9, Rng::new([0; 32])).is_err());
    }
}
