//! UDP's port space: who has which address and port, and for whom a datagram is.

use crate::error::{Error, Result};
use crate::ip::bound::Bound;
use crate::rng::{Key, Rng};
use core::hash::BuildHasher;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use smallvec::SmallVec;
use std::net::SocketAddr;

/// Random draws for an ephemeral port before all of them are tried in turn.
const DRAWS: u32 = 32;

/// With whom a socket shares its address: with those that want the same, as on Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sharing {
    /// With others of SO_REUSEADDR: the last one bound hears what is for one.
    pub(super) address: bool,
    /// With others of SO_REUSEPORT: each hears a part of the peers.
    pub(super) port: bool,
}

impl Sharing {
    fn goes_with(self, other: Sharing) -> bool {
        self.address && other.address || self.port && other.port
    }
}

/// What a socket is found by: its own end and, once it is connected, its peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    /// Its own addresses.
    pub(super) bound: Bound,
    /// Its own port; zero is every port.
    pub(super) port: u16,
    /// The only peer that it hears.
    pub(super) peer: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    socket: u32,
    bound: Bound,
    sharing: Sharing,
}

/// Those that have the same, mostly one, the last one bound at the end.
type Holders = SmallVec<[Holder; 1]>;

/// The bound addresses.
#[derive(Debug)]
pub(super) struct Ports {
    by_ends: HashMap<Ends, Holders, Key>,
    by_port: HashMap<u16, Holders, Key>,
    /// How many sockets have a peer: while none has, nobody looks for one.
    connected: usize,
    /// What the peers are spread over sockets by, so that no stranger can choose whom it meets.
    spread: Key,
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
        let [ends, ports, spread] = [(); 3].map(|()| rng.key());
        let (by_ends, by_port) = (HashMap::with_hasher(ends), HashMap::with_hasher(ports));
        Ok(Ports { by_ends, by_port, connected: 0, spread, low, high, rng })
    }

    /// The socket that a datagram from `from` to `dst` is for, of those that are `usable` for it: one that is connected to
    /// `from`, else that of exactly this address, else the wildcard's, else whoever takes every port.
    pub(super) fn find(&self, dst: SocketAddr, from: SocketAddr, usable: impl Fn(u32) -> bool) -> Option<u32> {
        let at = |bound, port, peer| self.choose(self.by_ends.get(&Ends { bound, port, peer })?, dst, from, &usable);
        let taking = Bound::taking(dst.ip());
        let connected = if self.connected > 0 { at(taking[0], dst.port(), Some(from)) } else { None };
        let unconnected = |port| taking.into_iter().find_map(|bound| at(bound, port, None));
        connected.or_else(|| unconnected(dst.port())).or_else(|| {
            self.by_port.get(&0)?;
            unconnected(0)
        })
    }

    /// The one of the usable `holders` that `from` speaks to: of those that share it out always the same, else the last one
    /// bound.
    fn choose(
        &self,
        holders: &Holders,
        dst: SocketAddr,
        from: SocketAddr,
        usable: &impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let last = holders.iter().rev().find(|holder| usable(holder.socket))?;
        if holders.len() == 1 || !last.sharing.port {
            return Some(last.socket);
        }
        let sharers = || holders.iter().filter(|holder| holder.sharing.port && usable(holder.socket));
        let turn = self.spread.hash_one((dst, from)) % sharers().count() as u64;
        sharers().nth(turn as usize).map(|holder| holder.socket)
    }

    /// All sockets of `port`, with the addresses that they are bound to.
    pub(super) fn on(&self, port: u16) -> impl Iterator<Item = (u32, Bound)> {
        self.by_port.get(&port).into_iter().flatten().map(|holder| (holder.socket, holder.bound))
    }

    fn is_free(&self, bound: Bound, port: u16, sharing: Sharing) -> bool {
        let mut holders = self.by_port.get(&port).into_iter().flatten();
        holders.all(|other| !bound.overlaps(other.bound) || sharing.goes_with(other.sharing))
    }

    /// Binds `socket` to `port`, one of our choice if that is zero, and gives the port that it has now.
    pub(super) fn bind(&mut self, bound: Bound, port: u16, sharing: Sharing, socket: u32) -> Result<u16> {
        let port = if port == 0 { self.ephemeral(bound)? } else { port };
        self.hold(Ends { bound, port, peer: None }, sharing, socket)?;
        Ok(port)
    }

    /// Gives `socket` every port of its addresses that nobody else has.
    pub(super) fn bind_every(&mut self, bound: Bound, sharing: Sharing, socket: u32) -> Result<()> {
        self.hold(Ends { bound, port: 0, peer: None }, sharing, socket)
    }

    fn hold(&mut self, ends: Ends, sharing: Sharing, socket: u32) -> Result<()> {
        if !self.is_free(ends.bound, ends.port, sharing) {
            return Err(Error::AddrInUse);
        }
        let holder = Holder { socket, bound: ends.bound, sharing };
        self.by_ends.entry(ends).or_default().push(holder);
        self.by_port.entry(ends.port).or_default().push(holder);
        self.connected += usize::from(ends.peer.is_some());
        Ok(())
    }

    /// Takes `ends` from `socket`, and gives how they were shared.
    pub(super) fn release(&mut self, ends: Ends, socket: u32) -> Sharing {
        let Some(sharing) = take(self.by_ends.entry(ends), socket) else { return Sharing::default() };
        take(self.by_port.entry(ends.port), socket);
        self.connected -= usize::from(ends.peer.is_some());
        sharing
    }

    /// Has `socket` share `ends` in another way from now on: it matters to those who want them later.
    pub(super) fn share(&mut self, ends: Ends, sharing: Sharing, socket: u32) {
        let holders = [self.by_ends.get_mut(&ends), self.by_port.get_mut(&ends.port)];
        for holder in holders.into_iter().flatten().flatten().filter(|holder| holder.socket == socket) {
            holder.sharing = sharing;
        }
    }

    /// Moves `socket` from one name to another of the same port; where that is taken it stays.
    pub(super) fn rename(&mut self, from: Ends, to: Ends, socket: u32) -> Result<()> {
        let sharing = self.release(from, socket);
        let moved = self.hold(to, sharing, socket);
        if moved.is_err() {
            self.hold(from, sharing, socket)?;
        }
        moved
    }

    /// RFC 6056 3.3.2: random ports until one is free, and none is guessed from the last. It is shared with nobody.
    fn ephemeral(&mut self, bound: Bound) -> Result<u16> {
        let (low, high) = (u64::from(self.low), u64::from(self.high));
        for _ in 0..DRAWS {
            let candidate = self.rng.between(low, high) as u16;
            if self.is_free(bound, candidate, Sharing::default()) {
                return Ok(candidate);
            }
        }
        let start = self.rng.between(low, high) as u16;
        let mut in_turn = (start..=self.high).chain(self.low..start);
        in_turn.find(|&port| self.is_free(bound, port, Sharing::default())).ok_or(Error::AddrNotAvailable)
    }
}

/// Removes `socket` from the holders in `entry`, and gives how it shared.
fn take<K>(entry: Entry<'_, K, Holders, Key>, socket: u32) -> Option<Sharing> {
    let Entry::Occupied(mut holders) = entry else { return None };
    let index = holders.get().iter().position(|holder| holder.socket == socket)?;
    let taken = holders.get_mut().remove(index);
    if holders.get().is_empty() {
        holders.remove();
    }
    Some(taken.sharing)
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

    fn named(local: SocketAddr, peer: Option<SocketAddr>) -> Ends {
        Ends { bound: Bound::new(local.ip(), false), port: local.port(), peer }
    }

    fn ends(local: &str) -> Ends {
        named(at(local), None)
    }

    impl Ports {
        /// Binds `local` for one socket alone.
        fn alone(&mut self, local: &str, socket: u32) -> Result<SocketAddr> {
            self.shared(at(local), Sharing::default(), socket)
        }

        /// Binds `local` for one socket and those who share it with that.
        fn shared(&mut self, local: SocketAddr, sharing: Sharing, socket: u32) -> Result<SocketAddr> {
            let port = self.bind(Bound::new(local.ip(), false), local.port(), sharing, socket)?;
            Ok(SocketAddr::new(local.ip(), port))
        }

        /// Whom a datagram of some stranger is for.
        fn hearer(&self, dst: &str) -> Option<u32> {
            self.find(at(dst), at("10.0.0.77:7"), |_| true)
        }
    }

    #[test]
    fn a_wildcard_has_its_port_alone() {
        let mut ports = ports(1024, 65_535);
        ports.alone("10.0.0.1:53", 1).unwrap();
        ports.alone("10.0.0.2:53", 2).unwrap();
        assert_eq!(ports.alone("10.0.0.1:53", 3), Err(Error::AddrInUse));
        assert_eq!(ports.alone("0.0.0.0:53", 3), Err(Error::AddrInUse));
        ports.release(ends("10.0.0.1:53"), 1);
        assert_eq!(ports.alone("0.0.0.0:53", 3), Err(Error::AddrInUse));
        ports.release(ends("10.0.0.2:53"), 2);
        ports.alone("0.0.0.0:53", 3).unwrap();
        assert_eq!(ports.alone("10.0.0.1:53", 4), Err(Error::AddrInUse));
        assert_eq!(ports.alone("0.0.0.0:53", 4), Err(Error::AddrInUse));
        assert_eq!(ports.hearer("10.0.0.9:53"), Some(3));
        assert_eq!(ports.hearer("10.0.0.9:54"), None);
        ports.release(ends("0.0.0.0:53"), 3);
        assert!(ports.by_ends.is_empty() && ports.by_port.is_empty());
    }

    #[test]
    fn a_move_that_fails_leaves_everything_as_it_was() {
        let mut ports = ports(1024, 65_535);
        ports.alone("10.0.0.1:53", 1).unwrap();
        ports.alone("10.0.0.2:53", 2).unwrap();
        assert_eq!(ports.rename(ends("10.0.0.1:53"), ends("10.0.0.2:53"), 1), Err(Error::AddrInUse));
        assert_eq!(ports.hearer("10.0.0.1:53"), Some(1));
        ports.rename(ends("10.0.0.1:53"), ends("10.0.0.3:53"), 1).unwrap();
        assert_eq!((ports.hearer("10.0.0.1:53"), ports.hearer("10.0.0.3:53")), (None, Some(1)));
        assert_eq!(ports.by_port[&53].len(), 2);
    }

    /// 6056-1, 6056-2.
    #[test]
    fn ephemeral_ports_use_the_whole_range_in_no_order() {
        let mut ports = ports(1024, 65_535);
        let drawn: Vec<u16> = (0..60_000)
            .map(|_| {
                let local = ports.alone("10.0.0.1:0", 1).unwrap();
                ports.release(named(local, None), 1);
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
        let taken: BTreeSet<u16> = (0..1000).map(|n| ports.alone("0.0.0.0:0", n).unwrap().port()).collect();
        assert_eq!(taken.len(), 1000);
        assert_eq!(ports.alone("0.0.0.0:0", 1), Err(Error::AddrNotAvailable));
        assert_eq!(ports.alone("10.0.0.1:0", 1), Err(Error::AddrNotAvailable));
        let holder = ports.hearer("10.0.0.1:5123").unwrap();
        ports.release(ends("0.0.0.0:5123"), holder);
        assert_eq!(ports.alone("10.0.0.1:0", 1), Ok(at("10.0.0.1:5123")));
        assert!(Ports::new(0, 9, Rng::new([0; 32])).is_err() && Ports::new(10, 9, Rng::new([0; 32])).is_err());
    }

    /// The rules of Linux's `inet_rcv_saddr_equal` and `udp_lib_get_port`.
    #[test]
    fn an_address_is_shared_by_those_who_all_want_it() {
        let (address, port) = (Sharing { address: true, port: false }, Sharing { address: false, port: true });
        let both = Sharing { address: true, port: true };
        for (first, second, shared) in [
            (address, address, true),
            (port, port, true),
            (both, port, true),
            (both, address, true),
            (address, port, false),
            (Sharing::default(), both, false),
        ] {
            for (one, other) in
                [("10.0.0.1:53", "10.0.0.1:53"), ("0.0.0.0:53", "10.0.0.1:53"), ("10.0.0.1:53", "0.0.0.0:53")]
            {
                let mut ports = ports(1024, 65_535);
                ports.shared(at(one), first, 1).unwrap();
                assert_eq!(ports.shared(at(other), second, 2).is_ok(), shared, "{first:?} {second:?} {one} {other}");
            }
        }
        let mut ports = ports(5000, 5000);
        ports.shared(at("0.0.0.0:0"), both, 1).unwrap();
        assert_eq!(
            ports.shared(at("0.0.0.0:0"), both, 2),
            Err(Error::AddrNotAvailable),
            "a port of our choice is shared with nobody"
        );
    }

    #[test]
    fn of_those_that_share_an_address_the_last_one_bound_hears() {
        let mut ports = ports(1024, 65_535);
        let address = Sharing { address: true, port: false };
        for socket in [1, 2, 3] {
            ports.shared(at("0.0.0.0:53"), address, socket).unwrap();
        }
        assert_eq!(ports.hearer("10.0.0.1:53"), Some(3));
        ports.shared(at("10.0.0.1:53"), address, 4).unwrap();
        assert_eq!((ports.hearer("10.0.0.1:53"), ports.hearer("10.0.0.2:53")), (Some(4), Some(3)));
        ports.release(ends("0.0.0.0:53"), 3);
        assert_eq!(ports.hearer("10.0.0.2:53"), Some(2));
        assert_eq!(ports.on(53).count(), 3);
    }

    #[test]
    fn of_those_that_share_a_port_each_hears_a_part_and_a_peer_always_the_same() {
        let mut ports = ports(1024, 65_535);
        let sharing = Sharing { address: false, port: true };
        for socket in 0..4 {
            ports.shared(at("10.0.0.1:53"), sharing, socket).unwrap();
        }
        let peers = || (1..=4000u16).map(|port| SocketAddr::new(at("10.0.0.9:0").ip(), port));
        let mut heard = [0; 4];
        for peer in peers() {
            let socket = ports.find(at("10.0.0.1:53"), peer, |_| true).unwrap();
            assert_eq!(ports.find(at("10.0.0.1:53"), peer, |_| true), Some(socket));
            heard[socket as usize] += 1;
        }
        // 1,000 each; 150 is more than five standard deviations.
        assert!(heard.iter().all(|n| (850..1150).contains(n)), "{heard:?}");
        // Another key, another division.
        let mut others = Ports::new(1024, 65_535, Rng::new(Rng::seed_from(4))).unwrap();
        (0..4).for_each(|socket| assert!(others.shared(at("10.0.0.1:53"), sharing, socket).is_ok()));
        let same = peers().filter(|&peer| {
            ports.find(at("10.0.0.1:53"), peer, |_| true) == others.find(at("10.0.0.1:53"), peer, |_| true)
        });
        assert!(same.count() < 1300);
    }

    #[test]
    fn a_connected_socket_has_its_peer_and_the_others_have_the_rest() {
        let mut ports = ports(1024, 65_535);
        let address = Sharing { address: true, port: false };
        for (socket, port) in [(1, 7), (2, 8)] {
            ports.shared(at("10.0.0.1:53"), address, socket).unwrap();
            let peer = Some(SocketAddr::new(at("10.0.0.9:0").ip(), port));
            ports.rename(ends("10.0.0.1:53"), named(at("10.0.0.1:53"), peer), socket).unwrap();
        }
        assert_eq!(ports.find(at("10.0.0.1:53"), at("10.0.0.9:9"), |_| true), None);
        ports.shared(at("0.0.0.0:53"), address, 3).unwrap();
        for (from, socket) in [("10.0.0.9:7", 1), ("10.0.0.9:8", 2), ("10.0.0.9:9", 3), ("10.0.0.8:7", 3)] {
            assert_eq!(ports.find(at("10.0.0.1:53"), at(from), |_| true), Some(socket), "{from}");
        }
        ports.release(named(at("10.0.0.1:53"), Some(at("10.0.0.9:7"))), 1);
        assert_eq!(ports.find(at("10.0.0.1:53"), at("10.0.0.9:7"), |_| true), Some(3));
        assert_eq!(ports.connected, 1);
    }

    #[test]
    fn who_takes_every_port_gets_what_nobody_else_does() {
        let mut ports = ports(1024, 65_535);
        ports.bind_every(Bound::AllV4, Sharing::default(), 1).unwrap();
        assert_eq!(ports.bind_every(Bound::One(at("10.0.0.1:0").ip()), Sharing::default(), 2), Err(Error::AddrInUse));
        ports.alone("10.0.0.1:53", 2).unwrap();
        assert_eq!((ports.hearer("10.0.0.1:53"), ports.hearer("10.0.0.1:54")), (Some(2), Some(1)));
        assert_eq!((ports.hearer("10.0.0.2:53"), ports.hearer("[2001:db8::1]:53")), (Some(1), None));
        ports.release(ends("0.0.0.0:0"), 1);
        assert_eq!(ports.hearer("10.0.0.1:54"), None);
    }
}
