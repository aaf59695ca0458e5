//! The offloading TUN against the kernel: super-segments and partial checksums both ways, every way of getting such a
//! queue or of doing without, an MTU that changes, what is not to be believed, and what a capture shows of it all.

use crate::capture::{WRONG, assert_clean, count, packets};
use crate::harness::{Daemon, Test, at, connect, noise, sha256, succeed};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tunstack::buf::Slice;
use tunstack::device::tun::Tun;
use tunstack::device::{Counters, Device};
use tunstack::net::Host;
use tunstack::stats::DropReason;
use tunstack::sys::tun::{self, TunError, flags};
use tunstack::wire::{Gso, GsoKind, Offloads, TxFrame, TxMeta};

pub const TESTS: &[Test] = &[
    Test { name: "offload::bulk_is_carried_in_super_segments", tools: &["curl"], limit: 60, body: bulk },
    Test { name: "offload::off_means_off", tools: &["ip"], limit: 60, body: off },
    Test { name: "offload::every_persistent_link_is_good", tools: &["ip"], limit: 60, body: persistent },
    Test { name: "offload::a_link_in_use_without_it", tools: &["ip"], limit: 30, body: in_use },
    Test { name: "offload::descriptors_of_both_kinds", tools: &["ip"], limit: 60, body: descriptors },
    Test { name: "offload::the_largest_mtu", tools: &[], limit: 60, body: largest_mtu },
    Test { name: "offload::the_mtu_changes_under_way", tools: &["ip", "tshark"], limit: 120, body: mtu_changes },
    Test { name: "offload::udp_segments_both_ways", tools: &["ip", "python3"], limit: 30, body: udp_segments },
    Test { name: "offload::claims_are_checked", tools: &["ip", "python3"], limit: 30, body: claims },
    Test { name: "offload::nonsense_of_ours_is_lost", tools: &["ip"], limit: 30, body: nonsense },
    Test { name: "offload::a_capture_shows_the_wire", tools: &["tshark"], limit: 180, body: capture },
];

/// The link's line of `ss`, as the daemon tells it.
fn link(daemon: &Daemon) -> String {
    let before = daemon.said().len();
    daemon.signal(Signal::USR1);
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let said = daemon.said();
        if let Some(line) = said[before..].lines().find(|line| line.contains("super-segments"))
            && said[before..].contains("State")
        {
            return line.to_owned();
        }
        assert!(Instant::now() < end, "no answer: {}", &said[before..]);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Super-segments in and out, and frames lost.
fn counted(line: &str) -> [u64; 3] {
    let words: Vec<&str> = line.split([' ', ',']).collect();
    let before = |word: &str| words[words.iter().position(|w| *w == word).expect("a counter") - 1].parse();
    let after = |word: &str| words[words.iter().position(|w| *w == word).expect("a counter") + 1].parse();
    [before("in"), before("out"), after("lost")].map(|n| n.expect("a number"))
}

/// Sends `len` bytes to the echo service and compares what comes back; `half` is called half-way.
fn echo(len: usize, half: impl FnOnce()) {
    let sent = noise(len as u64, len);
    let hash = sha256(&sent);
    let mut reader = connect(7);
    let mut writer: TcpStream = reader.try_clone().expect("a second handle");
    let thread = std::thread::spawn(move || {
        writer.write_all(&sent).expect("sending");
        writer.shutdown(Shutdown::Write).expect("ending");
    });
    let mut back = vec![0; len / 2];
    reader.read_exact(&mut back).expect("the first half");
    half();
    reader.read_to_end(&mut back).expect("the rest");
    thread.join().expect("the writer");
    assert_eq!((back.len(), sha256(&back)), (len, hash));
}

fn bulk() {
    let dir = TempDir::new().expect("a directory");
    let (page, got) = (noise(1, 40_000_000), dir.path().join("got"));
    fs::write(dir.path().join("page"), &page).expect("a page");
    let daemon = Daemon::serve(&["--http", "80", "--dir", dir.path().to_str().expect("a path"), "--echo", "--discard"]);
    assert_eq!(counted(&link(&daemon)), [0, 0, 0]);
    echo(20_000_000, || ());
    let [segments_in, out, lost] = counted(&link(&daemon));
    // 20 MB are 13,800 packets.
    assert!((300..10_000).contains(&segments_in), "{segments_in} super-segments came in");
    assert!(out > 300, "{out} super-segments went out");
    assert_eq!(lost, 0);
    succeed(30, "curl", &["-sS", "-o", got.to_str().expect("a path"), "http://192.0.2.2/page"]);
    assert_eq!(sha256(&fs::read(got).expect("the page")), sha256(&page));
    assert!(link(&daemon).contains("mtu 1500, offloads checksum tso4 tso6"), "{}", link(&daemon));
    daemon.stop();
}

fn off() {
    let daemon = Daemon::serve(&["--echo", "--offload", "off"]);
    echo(3_000_000, || ());
    assert!(link(&daemon).contains("mtu 1500, offloads none, super-segments 0 in 0 out"), "{}", link(&daemon));
    daemon.stop();
    // A bad wire has none either.
    let daemon = Daemon::serve(&["--echo", "--fault", "delay=1ms"]);
    echo(300_000, || ());
    assert!(link(&daemon).contains("offloads none, super-segments 0 in 0 out"), "{}", link(&daemon));
    daemon.stop();
}

/// However the link was made, it is used with offloads, and then without: what one daemon asked of a link that outlives
/// it, the next does not get unless it asks too.
fn persistent() {
    for kind in [&[][..], &["vnet_hdr"], &["multi_queue"], &["vnet_hdr", "multi_queue"]] {
        succeed(5, "ip", &[&["tuntap", "add", "dev", "keep0", "mode", "tun"], kind].concat());
        succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", "keep0"]);
        succeed(5, "ip", &["link", "set", "keep0", "mtu", "1400", "up"]);
        for (offload, offloads) in [("auto", "checksum tso4 tso6"), ("off", "none"), ("auto", "checksum tso4 tso6")] {
            let daemon = Daemon::serve(&["--tun", "keep0", "--echo", "--offload", offload]);
            echo(2_000_000, || ());
            let line = link(&daemon);
            // The MTU is the link's own.
            assert!(line.starts_with(&format!("keep0: mtu 1400, offloads {offloads}")), "{kind:?}: {line}");
            assert_eq!(counted(&line)[0] > 0, offload == "auto", "{kind:?}: {line}");
            daemon.stop();
        }
        succeed(5, "ip", &["link", "del", "dev", "keep0"]);
    }
}

/// A queue beside others is of their kind.
fn in_use() {
    let (_other, _) = tun::open("many0", flags::NO_PI | flags::MULTI_QUEUE).expect("a queue");
    succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", "many0"]);
    succeed(5, "ip", &["link", "set", "many0", "up"]);
    assert!(matches!(Tun::open("many0", 1500, Offloads::ALL), Err(TunError::QueueMismatch { .. })));
    let daemon = Daemon::serve(&["--tun", "many0", "--echo"]);
    assert!(link(&daemon).starts_with("many0: mtu 1500, offloads none"), "{}", link(&daemon));
    daemon.stop();

    let (_other, _) = tun::open("single0", flags::NO_PI | flags::VNET_HDR).expect("a queue");
    assert!(matches!(Tun::open("single0", 1500, Offloads::ALL), Err(TunError::Busy { .. })));
}

fn queue(name: &str, more: u16) -> OwnedFd {
    let (fd, _) = tun::open(name, flags::NO_PI | more).expect("a queue");
    succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", name]);
    succeed(5, "ip", &["link", "set", name, "up"]);
    fcntl_setfd(&fd, FdFlags::empty()).expect("keeping it across exec");
    fd
}

fn descriptors() {
    for (kind, offload, expected) in [
        (flags::VNET_HDR, "auto", "checksum tso4 tso6"),
        // There is a header all the same, and it says that nothing is left to be done.
        (flags::VNET_HDR, "off", "none"),
        (0, "auto", "none"),
    ] {
        let fd = queue("given0", kind);
        let number = fd.as_raw_fd().to_string();
        let daemon = Daemon::serve(&["--tun-fd", &number, "--addr", "192.0.2.2", "--echo", "--offload", offload]);
        echo(3_000_000, || ());
        let line = link(&daemon);
        assert!(line.starts_with(&format!("given0: mtu 1500, offloads {expected}")), "{line}");
        daemon.stop();
    }
    let plain = queue("given1", 0);
    let error = Tun::from_fd(plain, 1500, Offloads::ALL).expect_err("no header precedes its packets");
    assert!(matches!(error, TunError::BadDescriptor(why) if why.contains("without IFF_VNET_HDR")), "{error}");
}

fn largest_mtu() {
    for offload in ["auto", "off"] {
        let daemon = Daemon::serve(&["--mtu", "65535", "--echo", "--offload", offload]);
        echo(10_000_000, || ());
        let socket = udp();
        for len in [1, 1473, 65_507] {
            let sent = noise(7, len);
            socket.send_to(&sent, at(7)).expect("sending");
            let mut back = vec![0; 65_536];
            let n = socket.recv(&mut back).expect("the echo");
            assert!(back[..n] == sent, "{len} bytes came back as {n} others");
        }
        assert!(link(&daemon).starts_with("tun0: mtu 65535"), "{}", link(&daemon));
        daemon.stop();
    }
}

fn udp() -> UdpSocket {
    let socket = UdpSocket::bind("192.0.2.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    socket
}

fn mtu_changes() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("mtu.pcapng");
    let daemon = Daemon::serve(&["--echo", "--pcap", file.to_str().expect("a path")]);
    let mtu_is = |mtu: &str| {
        let end = Instant::now() + Duration::from_secs(20);
        while !link(&daemon).contains(&format!("mtu {mtu},")) {
            assert!(Instant::now() < end, "it does not follow to {mtu}: {}", link(&daemon));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    for mtu in ["1280", "9000", "600", "1500"] {
        // Of the first, more is left half-way than both ends can hold, so that much of it goes under the new MTU.
        echo(if mtu == "1280" { 24_000_000 } else { 6_000_000 }, || {
            succeed(5, "ip", &["link", "set", "dev", "tun0", "mtu", mtu]);
            mtu_is(mtu);
        });
        // The kernel takes what we send whatever its size, so it is the daemon that must keep to it.
        echo(300_000, || ());
    }
    daemon.stop();
    let mut sizes = vec![Vec::new(); 8];
    for row in packets(&file, "tcp.srcport == 7", &["tcp.stream", "ip.len"]) {
        let [stream, len] = [0, 1].map(|n| row[n].parse::<usize>().expect("a number"));
        sizes[stream].push(len);
    }
    // Every second connection began under its MTU and never saw another.
    let largest = [1, 3, 5, 7].map(|stream: usize| sizes[stream].iter().copied().max());
    assert_eq!(largest, [1280, 9000, 600, 1500].map(Some));
    // The first began under 1500 and ended under 1280.
    let last_large = sizes[0].iter().rposition(|size| *size > 1280).expect("some were larger");
    assert_eq!(sizes[0][..last_large].iter().max(), Some(&1500));
    assert!(sizes[0][last_large..].iter().filter(|size| **size == 1280).count() > 50, "then segments fit");
    // One that was asked for is a limit.
    let daemon = Daemon::serve(&["--echo", "--mtu", "1400"]);
    succeed(5, "ip", &["link", "set", "dev", "tun0", "mtu", "1300"]);
    let end = Instant::now() + Duration::from_secs(20);
    while !link(&daemon).contains("mtu 1300,") {
        assert!(Instant::now() < end, "{}", link(&daemon));
    }
    succeed(5, "ip", &["link", "set", "dev", "tun0", "mtu", "9000"]);
    let end = Instant::now() + Duration::from_secs(20);
    while !link(&daemon).contains("mtu 1400,") {
        assert!(Instant::now() < end, "{}", link(&daemon));
    }
    daemon.stop();
}

/// A stack in this process on an offloading TUN, with the kernel at the other end.
fn host() -> (Host, Arc<Tun>) {
    let device = Arc::new(Tun::open("tun0", 1500, Offloads::ALL).expect("a TUN"));
    succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", "tun0"]);
    succeed(5, "ip", &["link", "set", "dev", "tun0", "up"]);
    let host = Host::builder().address("192.0.2.2/24").start_shared(device.clone()).expect("a running stack");
    (host, device)
}

fn udp_segments() {
    let (host, device) = host();
    let offloaded = device.offloads().uso;
    let ours = host.bind_udp("192.0.2.2:53").expect("a socket");
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let theirs = udp();
    let to = theirs.local_addr().expect("an address");

    // Out: one frame, many datagrams.
    let text = noise(3, 40_000);
    assert_eq!(ours.send_segmented_to(&text, 1472, to).expect("sending"), 40_000);
    let mut got = Vec::new();
    let mut buf = vec![0; 70_000];
    for n in 0..28 {
        let len = theirs.recv(&mut buf).expect("a datagram");
        assert_eq!(len, if n < 27 { 1472 } else { 256 });
        got.extend_from_slice(&buf[..len]);
    }
    assert!(got == text, "other bytes");
    let expected = if offloaded { (1, 1) } else { (28, 0) };
    assert_eq!((host.stats().frames_out, device.counters().super_out), expected);
    assert_eq!(device.counters().lost, 0);

    // In: the kernel's own UDP_SEGMENT.
    let script = "import socket\n\
                  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                  s.setsockopt(17, 103, 1000)\n\
                  assert s.sendto(bytes(i % 251 for i in range(30500)), ('192.0.2.2', 53)) == 30500\n";
    let expected: Vec<u8> = (0..30_500u32).map(|i| (i % 251) as u8).collect();
    succeed(10, "python3", &["-c", script]);
    let (len, segment, _) = ours.recv_segmented_from(&mut buf).expect("datagrams");
    if offloaded {
        assert_eq!((len, segment), (30_500, 1000));
        assert!(buf[..len] == expected, "other bytes");
        assert_eq!(device.counters().super_in, 1);
    }
    succeed(10, "python3", &["-c", script]);
    let mut one_by_one = Vec::new();
    while one_by_one.len() < 30_500 {
        let (len, _) = ours.recv_from(&mut buf).expect("a datagram");
        assert!(len == 1000 || len == 500 && one_by_one.len() == 30_000, "a datagram of {len} bytes");
        one_by_one.extend_from_slice(&buf[..len]);
    }
    assert!(one_by_one == expected, "other bytes");
}

/// Frames with headers of another's choice come by a packet socket on the kernel's side (PACKET_VNET_HDR in packet(7)).
/// What the kernel lets through is not believed unless it fits the packet.
fn claims() {
    let (host, device) = host();
    let socket = host.bind_udp("192.0.2.2:53").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let send = |flags: u8, gso_type: u8, gso_size: u16, start: u16, offset: u16, checksum: &str| {
        let script = format!(
            "import socket, struct\n\
             s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x800))\n\
             s.setsockopt(263, 15, 1)\n\
             s.bind(('tun0', 0x800))\n\
             def fold(b):\n\
             \x20   t = sum(struct.unpack('!%dH' % (len(b) // 2), b))\n\
             \x20   while t >> 16: t = (t & 0xffff) + (t >> 16)\n\
             \x20   return t\n\
             src, dst, text = b'\\xc0\\0\\2\\1', b'\\xc0\\0\\2\\2', b'how do you do?'\n\
             n = 8 + len(text)\n\
             pseudo = src + dst + struct.pack('!BBH', 0, 17, n)\n\
             udp = struct.pack('!HHH', 1000, 53, n)\n\
             partial, good, bad = fold(pseudo), 0xffff ^ fold(pseudo + udp + b'\\0\\0' + text), 0x1234\n\
             ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + n, 1, 0x4000, 64, 17, 0) + src + dst\n\
             ip = ip[:10] + struct.pack('!H', 0xffff ^ fold(ip)) + ip[12:]\n\
             vnet = struct.pack('=BBHHHH', {flags}, {gso_type}, 28, {gso_size}, {start}, {offset})\n\
             s.send(vnet + ip + udp + struct.pack('!H', {checksum}) + text)\n"
        );
        succeed(10, "python3", &["-c", &script]);
    };
    let mut buf = [0; 100];
    let mut received = || socket.recv(&mut buf).map(|n| buf[..n].to_vec()).expect("a datagram");
    let dropped = |reason: DropReason, n: u64| {
        let end = Instant::now() + Duration::from_secs(20);
        while host.stats().dropped(reason) < n {
            assert!(Instant::now() < end, "{reason:?}: {:?}", host.stats().drops().collect::<Vec<_>>());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // The controls: a whole checksum that is good, and an honest partial one.
    send(0, 0, 0, 0, 0, "good");
    assert_eq!(received(), b"how do you do?");
    send(1, 0, 0, 20, 6, "partial");
    assert_eq!(received(), b"how do you do?");
    // A wrong one is not excused by silence, nor by the claim that another field is still to be filled.
    send(0, 0, 0, 0, 0, "bad");
    dropped(DropReason::UdpChecksum, 1);
    send(1, 0, 0, 24, 6, "bad");
    dropped(DropReason::UdpChecksum, 2);
    send(1, 0, 0, 20, 2, "bad");
    dropped(DropReason::UdpChecksum, 3);
    assert_eq!(device.counters().super_in, 0);
    send(0, 0, 0, 0, 0, "good");
    assert_eq!(received(), b"how do you do?", "nothing else was delivered");
}

/// What the kernel does not take of us is lost and counted, as on a wire; the device goes on.
fn nonsense() {
    let (host, device) = host();
    let packet: Vec<u8> = (0..60).map(|n| if n == 0 { 0x45 } else { n }).collect();
    let mut frame = TxFrame::default();
    frame.header.space()[..40].copy_from_slice(&packet[..40]);
    frame.header.set_len(40);
    frame.payload.push(Slice::copy_of(&packet[40..]));
    let metas = [
        TxMeta { partial_checksum: Some((4000, 16)), gso: None, interface: 0 },
        TxMeta { partial_checksum: Some((20, 16)), gso: Some(Gso { kind: GsoKind::TcpV4, size: 0 }), interface: 0 },
    ];
    for (n, meta) in (1..).zip(metas) {
        frame.meta = meta;
        device.send(tunstack::time::Instant::ZERO, &frame).expect("no error of the device");
        assert_eq!(device.counters(), Counters { lost: n, ..device.counters() }, "{meta:?} was taken");
    }
    assert!(host.is_alive());
    succeed(5, "ip", &["link", "show", "tun0"]);
}

fn capture() {
    let dir = TempDir::new().expect("a directory");
    let (file, whole) = (dir.path().join("wire.pcapng"), dir.path().join("whole.pcapng"));
    for (file, flag) in [(&file, &[][..]), (&whole, &["--pcap-whole"])] {
        let path = file.to_str().expect("a path");
        let daemon = Daemon::serve(&[&["--echo", "--pcap", path], flag].concat());
        echo(400_000, || ());
        let [segments_in, out, _] = counted(&link(&daemon));
        assert!(segments_in > 0 && out > 0, "{segments_in} in, {out} out");
        daemon.stop();
        // Nothing malformed, and no checksum wrong, in one piece or not.
        assert_eq!(count(file, WRONG), 0);
    }
    // And all were verified, and damage would be seen.
    assert_clean(&file);
    assert_eq!(count(&file, "ip.len > 1500"), 0, "a packet that no wire carries");
    assert!(count(&file, "ip.len == 1500 && tcp.srcport == 7") > 100);
    assert!(count(&file, "ip.len == 1500 && tcp.dstport == 7") > 100);
    // The control: in one piece they are there, both ways.
    assert!(count(&whole, "ip.len > 1500 && tcp.srcport == 7") > 0);
    assert!(count(&whole, "ip.len > 1500 && tcp.dstport == 7") > 0);
    // All of the stream is in either.
    for file in [file, whole] {
        assert_eq!(count(&file, "tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment"), 0);
    }
}
