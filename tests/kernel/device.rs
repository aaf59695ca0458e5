//! The plain TUN, its configuration by netlink, private namespaces and the capture, against the kernel and tshark.

use crate::harness::{Test, succeed};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tunstack::buf::{Chunk, Pool, Slice};
use tunstack::daemon::netif::{DOCUMENTATION, Netlink, Outcome, Settings, conflict, first_free_prefix};
use tunstack::device::Device;
use tunstack::device::pcap::PcapTap;
use tunstack::device::tuntap::TunTap;
use tunstack::stack::Cidr;
use tunstack::sys::namespace::{Entered, Identity, enter_private, enter_private_on_exec, join};
use tunstack::sys::tun::{self, TunError, flags};
use tunstack::sys::wait::{PollFd, PollFlags, poll};
use tunstack::time::Instant;
use tunstack::wire::{RxFrame, TxFrame};

pub const TESTS: &[Test] = &[
    Test { name: "device_carries_packets_whole", tools: &[], limit: 30, body: carries_packets_whole },
    Test { name: "device_survives_a_link_that_is_down", tools: &["ip"], limit: 30, body: survives_link_down },
    Test { name: "device_says_that_its_link_was_deleted", tools: &["ip"], limit: 30, body: says_deleted },
    Test { name: "device_errors_tell_what_is_in_the_way", tools: &[], limit: 30, body: errors_tell },
    Test { name: "device_takes_a_queue_handed_in", tools: &["ip"], limit: 30, body: takes_handed_in },
    Test { name: "netif_leaves_a_configured_link_alone", tools: &["ip"], limit: 30, body: leaves_alone },
    Test { name: "netif_finds_a_free_prefix", tools: &["ip"], limit: 30, body: finds_free_prefix },
    Test { name: "namespace_for_an_ordinary_user", tools: &[], limit: 30, body: ordinary_user },
    Test { name: "namespace_of_a_child_can_be_joined", tools: &["sleep"], limit: 30, body: child_is_joined },
    Test { name: "pcap_is_read_by_tshark", tools: &["tshark"], limit: 60, body: read_by_tshark },
];

const HOST: Cidr = DOCUMENTATION[0];

fn up(name: &str, mtu: usize) -> TunTap {
    let device = TunTap::open(name, mtu).expect("opening a TUN");
    let settings = Settings { addresses: vec![HOST], mtu: mtu as u32, txqueuelen: 5000 };
    let outcome = Netlink::open().unwrap().configure(device.name(), &settings).expect("configuring it");
    let Outcome::Configured(link) = outcome else { panic!("{outcome:?}") };
    assert_eq!((link.name.as_str(), link.mtu, link.txqueuelen, link.up), (name, mtu as u32, 5000, true));
    device
}

fn readable(device: &TunTap, patience: Duration) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(device.as_fd(), PollFlags::IN)];
    poll(&mut fds, Some(patience)).unwrap() == 1
}

/// The next IPv4 packet; the kernel's own IPv6 chatter is passed over.
fn receive(device: &TunTap, pool: &Pool) -> Slice {
    for _ in 0..100 {
        let mut chunk: Chunk = pool.take();
        match device.recv(Instant::ZERO, &mut chunk) {
            Ok(_) if chunk[0] >> 4 == 4 => return chunk.freeze(),
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                assert!(readable(device, Duration::from_secs(5)), "nothing arrives");
            }
        }
    }
    panic!("only chatter");
}

fn frame(packet: &[u8]) -> TxFrame {
    // In three parts, as the stack sends: header and payload slices.
    let mut frame = TxFrame::default();
    frame.header.space()[..28].copy_from_slice(&packet[..28]);
    frame.header.set_len(28);
    let middle = 28 + (packet.len() - 28) / 2;
    frame.payload.extend([Slice::copy_of(&packet[28..middle]), Slice::copy_of(&packet[middle..])]);
    frame
}

/// The UDP datagram turned around: no checksum changes by that.
fn turned(packet: &[u8]) -> Vec<u8> {
    let mut back = packet.to_vec();
    back[12..16].copy_from_slice(&packet[16..20]);
    back[16..20].copy_from_slice(&packet[12..16]);
    back[20..22].copy_from_slice(&packet[22..24]);
    back[22..24].copy_from_slice(&packet[20..22]);
    back
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::new(HOST.addr, 0)).expect("binding to the host's address");
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.connect("192.0.2.2:7").unwrap();
    socket
}

fn echoes(device: &TunTap, client: &UdpSocket, size: usize) {
    let sent: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
    client.send(&sent).expect("sending into the TUN");
    let packet = receive(device, &Pool::new(4));
    assert_eq!(packet.len(), size + 28);
    device.send(Instant::ZERO, &frame(&turned(&packet))).unwrap();
    let mut back = vec![0; size + 1];
    let len = client.recv(&mut back).expect("the answer");
    assert_eq!(back[..len], sent);
}

fn carries_packets_whole() {
    let device = up("big0", 65_535);
    let client = client();
    for size in [2, 1000, 65_507] {
        echoes(&device, &client, size);
    }
    assert_eq!(device.lost(), 0);
    let error = device.recv(Instant::ZERO, &mut Chunk::with_capacity(1500)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "a short buffer would lose the end of a packet");
    let refused = TxFrame { payload: [Slice::copy_of(&[0; 40])].into_iter().collect(), ..TxFrame::default() };
    device.send(Instant::ZERO, &refused).unwrap();
    assert_eq!(device.lost(), 1, "the kernel refuses what is no IP packet");
}

fn survives_link_down() {
    let device = up("down0", 1500);
    let client = client();
    echoes(&device, &client, 100);
    let answer = {
        client.send(b"to be answered").unwrap();
        turned(&receive(&device, &Pool::new(1)))
    };
    succeed(5, "ip", &["link", "set", "down0", "down"]);
    for lost in 1..=3 {
        device.send(Instant::ZERO, &frame(&answer)).expect("a frame on a link that is down is lost, no more");
        assert_eq!(device.lost(), lost);
    }
    let mut chunk = Pool::new(1).take();
    while device.recv(Instant::ZERO, &mut chunk).is_ok() {}
    assert!(!readable(&device, Duration::ZERO), "a silent descriptor, or the driver would spin");
    succeed(5, "ip", &["link", "set", "down0", "up"]);
    echoes(&device, &client, 100);
}

fn says_deleted() {
    let device = up("gone0", 1500);
    let client = client();
    client.send(b"x").unwrap();
    let packet = receive(&device, &Pool::new(1));
    succeed(5, "ip", &["link", "del", "gone0"]);
    let error = device.recv(Instant::ZERO, &mut Pool::new(1).take()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NetworkDown, "the link gone0 was deleted"));
    let error = device.send(Instant::ZERO, &frame(&turned(&packet))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
    assert_eq!(Netlink::open().unwrap().link("gone0").unwrap_err().errno(), Some(19), "ENODEV");
}

fn errors_tell() {
    let first = TunTap::open("one0", 1500).unwrap();
    assert!(matches!(TunTap::open("one0", 1500), Err(TunError::Busy { name }) if name == "one0"));
    assert!(matches!(TunTap::open("lo", 1500), Err(TunError::QueueMismatch { .. })));
    assert!(matches!(TunTap::open("a-name-too-long-for-a-link", 1500), Err(TunError::BadName { .. })));
    drop(first);
    let numbered = TunTap::open("one%d", 1500).unwrap();
    assert_eq!(numbered.name(), "one0", "the name is free again");
    let (_queue, queue) = tun::open("many0", flags::NO_PI | flags::MULTI_QUEUE).unwrap();
    assert_eq!(queue.flags, flags::TUN | flags::NO_PI | flags::MULTI_QUEUE);
    assert!(matches!(TunTap::open("many0", 1500), Err(TunError::QueueMismatch { .. })));
}

fn takes_handed_in() {
    let (fd, _) = tun::open("plain0", flags::NO_PI).unwrap();
    let copy = tun::handed_in(fd.as_raw_fd()).unwrap();
    drop(fd);
    assert_eq!(TunTap::from_fd(copy, 1500).unwrap().name(), "plain0");
    let (fd, _) = tun::open("vnet0", flags::NO_PI | flags::VNET_HDR).unwrap();
    let error = TunTap::from_fd(fd, 1500).unwrap_err();
    assert!(matches!(error, TunError::BadDescriptor(why) if why.contains("IFF_VNET_HDR")), "{error}");
    succeed(5, "ip", &["tuntap", "add", "dev", "tap0", "mode", "tap"]);
    assert!(matches!(TunTap::open("tap0", 1500), Err(TunError::QueueMismatch { .. })));
    let unattached = tun::open_node().unwrap();
    assert!(matches!(TunTap::from_fd(unattached, 1500), Err(TunError::BadDescriptor("belongs to no link"))));
}

fn leaves_alone() {
    succeed(5, "ip", &["tuntap", "add", "dev", "keep0", "mode", "tun"]);
    succeed(5, "ip", &["addr", "add", "198.51.100.7/25", "dev", "keep0"]);
    succeed(5, "ip", &["link", "set", "keep0", "mtu", "1280", "up"]);
    let device = TunTap::open("keep0", 1280).expect("attaching to a persistent link");
    let settings = Settings { addresses: vec![HOST], mtu: 1500, txqueuelen: 5000 };
    let outcome = Netlink::open().unwrap().configure("keep0", &settings).unwrap();
    let Outcome::LeftAlone(link, addresses) = outcome else { panic!("{outcome:?}") };
    assert_eq!((link.mtu, addresses), (1280, vec![Cidr::new("198.51.100.7".parse().unwrap(), 25)]));
    drop(device);
    let mut netlink = Netlink::open().unwrap();
    assert_eq!(netlink.link("keep0").unwrap().index, link.index, "it outlives the device");

    // Down, but with the address already: what is missing is added, and once more changes nothing.
    succeed(5, "ip", &["tuntap", "add", "dev", "half0", "mode", "tun"]);
    succeed(5, "ip", &["addr", "add", "192.0.2.1/24", "dev", "half0"]);
    assert!(matches!(netlink.configure("half0", &settings).unwrap(), Outcome::Configured(_)));
    assert!(matches!(netlink.configure("half0", &settings).unwrap(), Outcome::LeftAlone(_, a) if a == [HOST]));
}

fn finds_free_prefix() {
    let mut netlink = Netlink::open().unwrap();
    netlink.loopback_up().unwrap();
    assert_eq!(first_free_prefix(&netlink.routes().unwrap(), &DOCUMENTATION), Some(DOCUMENTATION[0]));
    let _device = up("first0", 1500);
    succeed(5, "ip", &["route", "add", "default", "via", "192.0.2.2"]);
    let v6 = Cidr::new("2001:db8::1".parse().unwrap(), 64);
    let index = netlink.link("first0").unwrap().index;
    netlink.add_address(index, v6).unwrap();
    assert_eq!(netlink.add_address(index, v6).unwrap_err().errno(), Some(17), "EEXIST");
    assert_eq!(netlink.addresses(index).unwrap(), [HOST, v6]);
    let routes = netlink.routes().unwrap();
    assert_eq!(conflict(&routes, HOST).and_then(|r| r.link.as_deref()), Some("first0"));
    assert_eq!(conflict(&routes, v6).and_then(|r| r.link.as_deref()), Some("first0"));
    assert_eq!(first_free_prefix(&routes, &DOCUMENTATION), Some(DOCUMENTATION[1]), "a default route claims nothing");
}

/// A user without privileges makes a namespace in which it may do everything to the network.
fn ordinary_user() {
    // Whoever we are, no privilege is kept but the one that the kernel wants of a user 0 who maps itself.
    let (none, kept) = (CapabilitySet::empty(), CapabilitySet::SETFCAP);
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none }).unwrap();
    assert_eq!(Netlink::open().unwrap().loopback_up().unwrap_err().errno(), Some(1), "EPERM: no privilege is left");
    let user = rustix::process::geteuid();
    assert_eq!(enter_private(Identity::Same).expect("entering a private namespace"), Entered::UserAndNetwork);
    assert_eq!(rustix::process::geteuid(), user, "the same user inside");
    let mut netlink = Netlink::open().unwrap();
    netlink.loopback_up().expect("all rights in our own namespace");
    assert!(netlink.link("lo").unwrap().up);
    match TunTap::open("mine0", 1500) {
        // The machine's owner decides who may open the node.
        Err(TunError::NodePermission) => {}
        Err(error) => panic!("{error}"),
        Ok(device) => {
            drop(device);
            echoes(&up("mine0", 1500), &client(), 100);
        }
    }
}

fn child_is_joined() {
    let _ours = up("ours0", 1500);
    let mut command = Command::new("sleep");
    let mut child = enter_private_on_exec(command.arg("20"), Identity::Root).spawn().expect("a child in a namespace");
    let path = format!("/proc/{}/ns/net", child.id());
    assert_ne!(std::fs::read_link(&path).unwrap(), std::fs::read_link("/proc/self/ns/net").unwrap());
    join(Path::new(&path)).expect("joining it");
    let links = Netlink::open().unwrap().links().unwrap();
    assert!(links.iter().any(|link| link.name == "lo") && links.iter().all(|link| link.name != "ours0"), "{links:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

fn read_by_tshark() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("capture.pcapng");
    let file = std::fs::File::create(&path).unwrap();
    let mut tap = PcapTap::new(Box::new(file), Duration::from_secs(1_700_000_000)).unwrap();
    // ICMP echo request from 192.0.2.1 to 192.0.2.2, checksums right.
    let mut packet = [0u8; 28];
    packet[..12].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 1, 0xb6, 0xdd]);
    packet[12..20].copy_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
    packet[20..].copy_from_slice(&[8, 0, 0xf7, 0xfd, 0, 1, 0, 1]);
    tap.rx(Instant::from_nanos(1), &RxFrame::plain(Slice::copy_of(&packet)), "LISTEN -> SYN-RECEIVED (rcv SYN)");
    tap.tx(Instant::from_nanos(1_000_000_002), &frame(&packet), "");
    drop(tap);
    let path = path.to_str().unwrap();
    let fields = ["frame.time_epoch", "frame.p2p_dir", "frame.comment", "ip.src", "ip.checksum.status", "icmp.type"];
    let mut args = vec!["-r", path, "-o", "ip.check_checksum:TRUE", "-T", "fields", "-E", "separator=|"];
    args.extend(fields.iter().flat_map(|field| ["-e", field]));
    let said = succeed(30, "tshark", &args);
    assert_eq!(
        said,
        "1700000000.000000001|1|LISTEN -> SYN-RECEIVED (rcv SYN)|192.0.2.1|1|8\n\
         1700000001.000000002|0||192.0.2.1|1|8\n"
    );
}
