//! What is for many: groups, broadcast, and addresses that are shared.

use super::*;

const GROUP: &str = "239.1.1.1";

impl Host {
    fn bind_with(&mut self, local: &str, how: UdpBind) -> UdpId {
        self.udp.bind(&self.ip, at(local), how).unwrap()
    }

    fn join(&mut self, id: UdpId, group: &str, source: Option<&str>) -> Result<()> {
        self.udp.join(&mut self.ip, id, addr(group), source.map(addr), 0)
    }

    fn leave(&mut self, id: UdpId, group: &str, source: Option<&str>) -> Result<()> {
        self.udp.leave(&mut self.ip, id, addr(group), source.map(addr), 0)
    }

    /// Who hears a datagram.
    fn hearers(&mut self, src: &str, dst: &str) -> Vec<UdpId> {
        let outcome = self.gets(src, dst, b"x");
        assert_eq!(outcome.disposition == DELIVERED, outcome.changed.is_some());
        outcome.changed.into_iter().chain(outcome.others).collect()
    }
}

const SHARED: UdpBind = UdpBind { reuse_address: true, reuse_port: false, only_v6: false, every_port: false };

#[test]
fn members_hear_their_group_each_its_own_copy_and_nobody_else_does() {
    let mut host = Host::new();
    let members = [host.bind_with("0.0.0.0:5000", SHARED), host.bind_with("239.1.1.1:5000", SHARED)];
    let stranger = host.bind_with("0.0.0.0:5000", SHARED);
    let elsewhere = host.bind_with("10.0.0.1:5000", SHARED);
    let other_group = host.bind_with("239.1.1.2:5000", SHARED);
    let other_port = host.bind("0.0.0.0:5001");
    assert_eq!(host.gets("10.0.0.2:9", "239.1.1.1:5000", b"x").disposition, dropped(DropReason::NotForUs));
    for id in members.into_iter().chain([elsewhere, other_group, other_port]) {
        host.join(id, GROUP, None).unwrap();
    }
    host.join(stranger, "239.1.1.3", None).unwrap();
    assert_eq!(host.hearers("10.0.0.2:9", "239.1.1.1:5000"), members);
    for id in members {
        assert_eq!(host.recv(id), Ok((b"x".to_vec(), at("10.0.0.2:9"))));
    }
    assert_eq!(host.hearers("10.0.0.2:9", "239.1.1.1:5001"), [other_port]);
    host.recv(other_port).unwrap();
    let outcome = host.gets("10.0.0.2:9", "239.1.1.1:5002", b"x");
    assert_eq!(outcome.disposition, dropped(DropReason::UdpNoSocket));
    assert!(outcome.reply.is_none(), "nobody is told that a group is not heard");

    // A member that is connected hears its peer only; one that leaves or closes hears nothing more.
    host.connect(members[0], "10.0.0.3:9").unwrap();
    assert_eq!(host.hearers("10.0.0.2:9", "239.1.1.1:5000"), [members[1]]);
    host.leave(members[1], GROUP, None).unwrap();
    assert_eq!(host.hearers("10.0.0.2:9", "239.1.1.1:5000"), []);
    for id in [members[0], elsewhere, other_group, other_port] {
        assert!(host.ip.is_member(addr(GROUP)));
        host.udp.close(&mut host.ip, id).unwrap();
    }
    assert!(!host.ip.is_member(addr(GROUP)));
    assert_eq!(host.gets("10.0.0.2:9", "239.1.1.1:5001", b"x").disposition, dropped(DropReason::NotForUs));
}

#[test]
fn a_member_for_some_sources_hears_no_other() {
    let mut host = Host::new();
    let all = host.bind_with("0.0.0.0:5000", SHARED);
    let some = host.bind_with("0.0.0.0:5000", SHARED);
    host.join(all, GROUP, None).unwrap();
    host.join(some, GROUP, Some("10.0.0.2")).unwrap();
    host.join(some, GROUP, Some("10.0.0.3")).unwrap();
    assert_eq!(host.hearers("10.0.0.2:9", "239.1.1.1:5000"), [all, some]);
    assert_eq!(host.hearers("10.0.0.4:9", "239.1.1.1:5000"), [all]);
    host.leave(some, GROUP, Some("10.0.0.2")).unwrap();
    assert_eq!(host.hearers("10.0.0.2:9", "239.1.1.1:5000"), [all]);
    assert_eq!(host.hearers("10.0.0.3:9", "239.1.1.1:5000"), [all, some]);
    host.leave(some, GROUP, None).unwrap();
    assert_eq!(host.hearers("10.0.0.3:9", "239.1.1.1:5000"), [all]);
}

/// The errors are Linux's.
#[test]
fn joining_and_leaving_fail_as_on_linux() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:5000");
    assert_eq!(host.join(id, GROUP, None), Ok(()));
    assert_eq!(host.join(id, GROUP, None), Err(Error::AddrInUse));
    assert!(matches!(host.join(id, GROUP, Some("10.0.0.2")), Err(Error::InvalidInput(_))));
    assert_eq!(host.leave(id, GROUP, Some("10.0.0.2")), Err(Error::AddrNotAvailable));
    assert_eq!(host.leave(id, GROUP, None), Ok(()));
    assert_eq!(host.leave(id, GROUP, None), Err(Error::AddrNotAvailable));
    for no_group in ["10.0.0.1", "255.255.255.255", "240.0.0.1"] {
        assert!(matches!(host.join(id, no_group, None), Err(Error::InvalidInput(_))), "{no_group}");
    }
    assert!(host.join(id, "ff02::7", None).is_err());
    assert_eq!(host.join(id, GROUP, Some("10.0.0.2")), Ok(()));
    assert_eq!(host.join(id, GROUP, Some("10.0.0.2")), Err(Error::AddrNotAvailable));
    assert_eq!(host.join(id, GROUP, None), Err(Error::AddrInUse));
    assert!(matches!(host.join(id, "239.1.1.2", Some("239.1.1.3")), Err(Error::InvalidInput(_))));
    for n in 3..12 {
        assert_eq!(host.join(id, GROUP, Some(&format!("10.0.0.{n}"))), Ok(()));
    }
    assert_eq!(host.join(id, GROUP, Some("10.0.0.99")), Err(Error::NoBufferSpace));
    for n in 1..20 {
        assert_eq!(host.join(id, &format!("239.2.0.{n}"), None), Ok(()));
    }
    assert_eq!(host.join(id, "239.2.0.99", None), Err(Error::NoBufferSpace));
}

#[test]
fn what_a_full_member_cannot_take_others_still_get() {
    let mut host = Host::with(|c| c.udp.recv_buffer = 100);
    let slow = host.bind_with("0.0.0.0:5000", SHARED);
    let quick = host.bind_with("0.0.0.0:5000", SHARED);
    for id in [slow, quick] {
        host.join(id, GROUP, None).unwrap();
    }
    assert_eq!(host.hearers("10.0.0.2:9", "239.1.1.1:5000"), [slow, quick]);
    host.recv(quick).unwrap();
    assert_eq!(host.hearers("10.0.0.2:9", "239.1.1.1:5000"), [quick]);
    assert_eq!(
        host.gets("10.0.0.2:9", "239.1.1.1:5000", b"x").disposition,
        dropped(DropReason::UdpQueueFull),
        "nobody has room"
    );
    host.recv(slow).unwrap();
    host.recv(quick).unwrap();
    assert_eq!(host.udp.memory(), 0);
}

#[test]
fn a_sender_hears_itself_only_as_a_member_and_only_if_it_wants_to() {
    let mut host = Host::new();
    let id = host.bind("0.0.0.0:5000");
    let departs = |host: &mut Host| {
        host.send(id, b"x", "239.1.1.1:5000").unwrap();
        let departure = host.udp.poll_transmit(&mut host.ip, host.now).unwrap();
        (departure.leaves, departure.heard, departure.frame.header[8])
    };
    assert_eq!(departs(&mut host), (true, false, 1), "no member");
    host.join(id, GROUP, None).unwrap();
    assert_eq!(departs(&mut host), (true, true, 1));
    host.udp.options(id).unwrap().multicast_loop = false;
    host.udp.options(id).unwrap().multicast_ttl = 9;
    host.udp.options(id).unwrap().ttl = 77;
    assert_eq!(departs(&mut host), (true, false, 9));
    host.udp.options(id).unwrap().multicast_loop = true;
    host.udp.options(id).unwrap().multicast_ttl = 0;
    let (leaves, heard, _) = departs(&mut host);
    assert_eq!((leaves, heard), (false, true), "it stays on this host");
    host.udp.options(id).unwrap().multicast_source = Some(addr("10.7.0.1"));
    host.send(id, b"x", "239.1.1.1:5000").unwrap();
    assert_eq!(host.sent().unwrap().src, at("10.7.0.1:5000"));
}

#[test]
fn broadcast_reaches_all_who_are_not_bound_elsewhere_and_comes_back() {
    let mut host = Host::new();
    let any = host.bind_with("0.0.0.0:5000", SHARED);
    let only_that = host.bind_with("10.0.0.255:5000", SHARED);
    host.bind_with("10.0.0.1:5000", SHARED);
    host.bind_with("10.7.0.255:5000", SHARED);
    assert_eq!(host.hearers("10.0.0.2:9", "10.0.0.255:5000"), [any, only_that]);
    assert_eq!(host.hearers("10.0.0.2:9", "255.255.255.255:5000"), [any]);
    host.udp.options(only_that).unwrap().broadcast = true;
    host.send(only_that, b"x", "10.0.0.255:5000").unwrap();
    let departure = host.udp.poll_transmit(&mut host.ip, host.now).unwrap();
    assert!(departure.leaves && departure.heard);
    let looped = RxFrame::plain(Slice::copy_of(&departure.frame.to_vec()));
    assert_eq!(ipv4::parse(&looped.data).unwrap().0.src, Ipv4Addr::new(10, 0, 0, 1), "broadcast is no source");
    let outcome = host.frame(looped, true);
    assert_eq!((outcome.changed, outcome.others), (Some(any), vec![only_that]));
}

#[test]
fn a_port_is_shared_out_and_a_closed_sharer_leaves_its_part_to_the_others() {
    let mut host = Host::new();
    let how = UdpBind { reuse_port: true, ..UdpBind::default() };
    let sharers = [(); 3].map(|()| host.bind_with("0.0.0.0:5000", how));
    let mut heard = [0; 3];
    for port in 1..=600 {
        let hearers = host.hearers(&format!("10.0.0.2:{port}"), "10.0.0.1:5000");
        assert_eq!(hearers.len(), 1);
        heard[sharers.iter().position(|id| *id == hearers[0]).unwrap()] += 1;
    }
    assert!(heard.iter().all(|n| (130..270).contains(n)), "{heard:?}");
    host.udp.close(&mut host.ip, sharers[0]).unwrap();
    for port in 1..=100 {
        assert!(sharers[1..].contains(&host.hearers(&format!("10.0.0.2:{port}"), "10.0.0.1:5000")[0]));
    }
    assert_eq!(host.udp.bind(&host.ip, at("0.0.0.0:5000"), SHARED), Err(Error::AddrInUse));
}
