//! Captures, as tshark reads them, with every checksum verified.

use crate::demo::demo;
use crate::harness::{Daemon, Test, at, connect, http_get, succeed};
use std::fs;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

pub const TESTS: &[Test] = &[
    Test { name: "capture::the_demo_is_clean", tools: &["tshark"], limit: 90, body: the_demo },
    Test { name: "capture::all_protocols_are_clean", tools: &["tshark", "ping"], limit: 60, body: all_protocols },
    Test { name: "capture::the_walk_through_the_headers", tools: &["tshark"], limit: 120, body: headers_page },
    Test { name: "capture::a_lossy_demo_tells_its_losses", tools: &["tshark"], limit: 120, body: lossy },
];

#[path = "../../examples/headers.rs"]
#[expect(dead_code, reason = "a program of its own; here only its capture is wanted")]
mod headers;

const VERIFY: [&str; 6] =
    ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"];

/// Packets that nobody should ever see.
pub const WRONG: &str = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 \
                     || udp.checksum.status == 0 || icmp.checksum.status == 0 || _ws.expert.severity == 0x800000";

/// One line for each packet that `filter` lets through: the fields, between tabs.
pub fn packets(file: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut args = vec!["-n", "-r", file.to_str().expect("a path"), "-Y", filter, "-T", "fields"];
    args.extend(VERIFY);
    for field in fields {
        args.extend(["-e", field]);
    }
    let said = succeed(40, "tshark", &args);
    said.lines().map(|line| line.split('\t').map(String::from).collect()).collect()
}

pub fn count(file: &Path, filter: &str) -> usize {
    packets(file, filter, &["frame.number"]).len()
}

/// That the file has nothing wrong in it, that the checksums really were verified, and that damage would be seen.
pub fn assert_clean(file: &Path) {
    let wrong = packets(file, WRONG, &["frame.number", "_ws.col.Protocol", "_ws.col.Info"]);
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (protocol, verified) in
        [("ip", "ip.checksum.status == 1"), ("tcp", "tcp.checksum.status == 1"), ("udp", "udp.checksum.status == 1")]
    {
        // An ICMP error quotes the headers of the packet it is about, without all of its data.
        let all = count(file, &format!("{protocol} && !icmp"));
        assert_eq!(count(file, &format!("({verified}) && !icmp")), all, "not every {protocol} checksum was verified");
    }
    assert!(count(file, "ip") > 0, "there is no packet in it");

    // The control: one byte of one packet changed, in the TTL (IP's checksum) and in the last byte (TCP's, UDP's).
    let good = fs::read(file).expect("the capture");
    let damaged = file.with_extension("damaged");
    for (protocol, filter) in
        [(6, "tcp.checksum.status == 0"), (17, "udp.checksum.status == 0"), (6, "ip.checksum.status == 0")]
    {
        let Some(packet) = packet_of(&good, protocol) else { continue };
        let mut bad = good.clone();
        let byte = if filter.starts_with("ip") { packet.start + 8 } else { packet.end - 1 };
        bad[byte] ^= 0x01;
        fs::write(&damaged, bad).expect("a damaged copy");
        assert_eq!(count(&damaged, filter), 1, "damage was not seen by {filter}");
        assert_eq!(count(&damaged, WRONG), 1, "damage was not seen");
    }
}

/// Where the first IPv4 packet of `protocol` with some payload lies in a pcapng file (little-endian, RFC-to-be
/// draft-ietf-opsawg-pcapng: an Enhanced Packet Block is type 6, its data begins at offset 28).
fn packet_of(file: &[u8], protocol: u8) -> Option<std::ops::Range<usize>> {
    let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?) as usize);
    let mut block = 0;
    while let (Some(kind), Some(len)) = (word(block), word(block + 4)) {
        let start = block + 28;
        if kind == 6 && len > 32 {
            let end = start + word(block + 20)?;
            if file.get(start)? >> 4 == 4 && *file.get(start + 9)? == protocol && end - start > 60 {
                return Some(start..end);
            }
        }
        block += len.max(12);
    }
    None
}

fn write(dir: &TempDir, capture: &[u8]) -> std::path::PathBuf {
    let file = dir.path().join("demo.pcapng");
    fs::write(&file, capture).expect("the capture");
    file
}

fn the_demo() {
    let dir = TempDir::new().expect("a directory");
    let file = write(&dir, &demo(30, &[]).1);
    assert_clean(&file);

    // The three-way handshake, in this order, on every connection's first three packets.
    let flags = packets(
        &file,
        // (On a busy machine something may be sent twice.)
        "tcp.stream == 0 && !tcp.analysis.retransmission && !tcp.analysis.spurious_retransmission",
        &["tcp.flags.syn", "tcp.flags.ack", "tcp.flags.fin", "frame.comment", "frame.p2p_dir"],
    );
    let set = |s: &str| matches!(s, "1" | "True");
    let shape: Vec<(bool, bool)> = flags.iter().take(3).map(|f| (set(&f[0]), set(&f[1]))).collect();
    assert_eq!(shape, [(true, false), (true, true), (false, true)], "{flags:#?}");
    // The teardown: a FIN from either side, and the last packet is an ACK without one.
    let fins = flags.iter().filter(|f| set(&f[2])).count();
    assert_eq!(fins, 2, "{flags:#?}");
    let last = flags.last().expect("packets");
    assert!(set(&last[1]) && !set(&last[2]), "{flags:#?}");
    // Both directions are marked, and the comments tell the life of the connection.
    let comments: Vec<&str> = flags.iter().map(|f| f[3].as_str()).collect();
    let told = comments.join("\n");
    for transition in ["-> SYN-RECEIVED", "SYN-RECEIVED -> ESTABLISHED", "-> TIME-WAIT"] {
        assert!(
            told.contains(transition) || transition == "-> TIME-WAIT" && told.contains("LAST-ACK -> CLOSED"),
            "no {transition} in {told}"
        );
    }
    let directions: std::collections::BTreeSet<&str> = flags.iter().map(|f| f[4].as_str()).collect();
    assert_eq!(directions.len(), 2, "{directions:?}");
}

fn all_protocols() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("all.pcapng");
    let daemon = Daemon::serve(&["--http", "80", "--echo", "--pcap", file.to_str().expect("a path")]);
    assert_eq!(http_get("/").expect("a page").0, 200);
    let mut stream = connect(7);
    stream.write_all(&[b'x'; 50_000]).expect("writing");
    stream.read_exact(&mut [0; 50_000]).expect("reading");
    drop(stream);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    for len in [33, 1000, 1471] {
        socket.send_to(&vec![7; len], at(7)).expect("sending");
        socket.recv(&mut [0; 1500]).expect("the echo");
    }
    socket.send_to(b"nobody is there", at(9999)).expect("sending");
    succeed(10, "ping", &["-c", "2", "-i", "0.2", "192.0.2.2"]);
    assert!(std::net::TcpStream::connect(at(9999)).is_err());
    daemon.stop();

    assert_clean(&file);
    for filter in ["icmp.type == 8", "icmp.type == 0", "icmp.type == 3", "udp.port == 7", "tcp.flags.reset == 1"] {
        assert!(count(&file, filter) > 0, "no {filter} in the capture");
    }
}

fn lossy() {
    let dir = TempDir::new().expect("a directory");
    let file = write(&dir, &demo(100, &["--loss", "5%", "--delay", "20ms"]).1);
    let wrong = packets(&file, WRONG, &["frame.number", "_ws.col.Info"]);
    assert!(wrong.is_empty(), "{wrong:#?}");
    let comments = packets(&file, "frame.comment", &["frame.comment"]);
    assert!(!comments.is_empty());
}

/// What docs/headers.md says is to be seen in the capture, is.
fn headers_page() {
    let dir = TempDir::new().expect("a directory");
    let file = dir.path().join("headers.pcapng");
    fs::write(&file, headers::capture()).expect("the capture");
    let page = include_str!("../../docs/headers.md");
    // In the last column of the tables, and in the text: what compares or names fields.
    let spans = page.split("```").step_by(2).flat_map(|text| text.split('`').skip(1).step_by(2));
    let protocols = ["ip.", "ipv6.", "tcp.", "udp.", "icmp.", "icmpv6.", "frame."];
    let filters: Vec<&str> = spans.filter(|span| protocols.iter().any(|start| span.starts_with(start))).collect();
    assert!(filters.len() > 70, "only {} filters", filters.len());
    let unseen: Vec<&&str> = filters.iter().filter(|filter| count(&file, filter) == 0).collect();
    assert!(unseen.is_empty(), "no packet shows {unseen:#?}");
    assert_eq!(count(&file, "ip.opt.type == 99"), 0, "the control");
}
