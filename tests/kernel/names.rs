//! Names: `tunstack get` and `dns`, and a program's own `connect`, by name servers on the kernel's side: one that does as
//! it is told here, and dnsmasq.

use crate::harness::{Test, tool, wait};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tunstack::device::tuntap::TunTap;
use tunstack::dns::Config;
use tunstack::net::Host;

pub const TESTS: &[Test] = &[
    Test { name: "names::by_v4_and_by_v6", tools: &[], limit: 60, body: both_families },
    Test { name: "names::lost_cut_and_wrong_answers", tools: &[], limit: 60, body: bad_answers },
    Test { name: "names::what_there_is_not", tools: &[], limit: 60, body: failures },
    Test { name: "names::an_address_that_does_not_answer", tools: &[], limit: 60, body: eyeballs },
    Test { name: "names::by_files", tools: &[], limit: 60, body: files },
    Test { name: "names::a_signal_while_waiting", tools: &[], limit: 60, body: interrupted },
    Test { name: "names::in_a_program", tools: &["ip"], limit: 60, body: program },
    Test { name: "names::dnsmasq", tools: &["dnsmasq"], limit: 60, body: dnsmasq },
];

const BOTH: [&str; 2] = ["--host", "192.0.2.1/24,2001:db8::1/64"];

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

/// A question as the server heard it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    from: IpAddr,
    name: String,
    kind: u16,
    tcp: bool,
}

/// A name server on all addresses of the namespace, whose manners depend on the name: see [`Server::answer`].
#[derive(Clone)]
struct Server {
    heard: Arc<Mutex<Vec<Heard>>>,
    socket: Arc<UdpSocket>,
    /// Of another port, for answers that nobody asked for.
    other: Arc<UdpSocket>,
}

impl Server {
    fn start() -> Server {
        let socket = Arc::new(UdpSocket::bind("[::]:53").expect("port 53"));
        let other = Arc::new(UdpSocket::bind("[::]:0").expect("a socket"));
        let server = Server { heard: Arc::default(), socket, other };
        let by_udp = server.clone();
        thread::spawn(move || by_udp.serve_udp());
        let (by_tcp, listener) = (server.clone(), TcpListener::bind("[::]:53").expect("port 53"));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = by_tcp.clone();
                thread::spawn(move || server.serve_tcp(stream));
            }
        });
        server
    }

    fn heard(&self) -> Vec<Heard> {
        std::mem::take(&mut *self.heard.lock().expect("the list"))
    }

    /// Which time it is that this is asked.
    fn note(&self, heard: Heard) -> usize {
        let mut list = self.heard.lock().expect("the list");
        list.push(heard.clone());
        list.iter().filter(|other| **other == heard).count()
    }

    fn serve_udp(&self) {
        let mut buf = [0; 1500];
        while let Ok((len, from)) = self.socket.recv_from(&mut buf) {
            let Some(question) = Question::parse(&buf[..len]) else { continue };
            let Question { name, kind, .. } = question.clone();
            let heard = Heard { from: from.ip().to_canonical(), name, kind, tcp: false };
            let time = self.note(heard);
            self.answer(&question, from, time);
        }
    }

    fn serve_tcp(&self, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let mut len = [0; 2];
        while stream.read_exact(&mut len).is_ok() {
            let mut message = vec![0; u16::from_be_bytes(len).into()];
            if stream.read_exact(&mut message).is_err() {
                return;
            }
            let Some(question) = Question::parse(&message) else { return };
            let from = stream.peer_addr().expect("a peer").ip().to_canonical();
            self.note(Heard { from, name: question.name.clone(), kind: question.kind, tcp: true });
            let answer = question.reply(0, &records(&question));
            let message = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
            if stream.write_all(&message).is_err() {
                return;
            }
        }
    }

    fn answer(&self, question: &Question, to: SocketAddr, time: usize) {
        let send = |socket: &UdpSocket, message: &[u8]| _ = socket.send_to(message, to);
        let right = question.reply(0, &records(question));
        let false_one = [(question.name.clone(), question.kind, vec![0xff; if question.kind == A { 4 } else { 16 }])];
        match question.name.as_str() {
            "lost.example" if time == 1 => {}
            name if name.ends_with("silent.example") => {}
            "half.example" if question.kind == AAAA => {}
            "broken.example" => send(&self.socket, &question.reply(2, &[])),
            "none.example" => send(&self.socket, &question.reply(3, &[])),
            // 0x0200 is TC.
            "cut.example" => send(&self.socket, &question.reply(0x0200, &[])),
            "wrong.example" => {
                let stranger = question.reply(0, &false_one);
                send(&self.other, &stranger);
                let mut number = stranger.clone();
                number[0] ^= 0x55;
                send(&self.socket, &number);
                let another = Question { name: "xrong.example".into(), ..question.clone() };
                send(&self.socket, &another.reply(0, &false_one));
                send(&self.socket, b"\0");
                thread::sleep(Duration::from_millis(100));
                send(&self.socket, &right);
            }
            _ => send(&self.socket, &right),
        }
    }
}

/// What is known of a name: owner, type and data of each record.
fn records(question: &Question) -> Vec<(String, u16, Vec<u8>)> {
    let v6 = |last: u8| [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[last]].concat();
    let (name, kind) = (question.name.as_str(), question.kind);
    let owner = if name == "alias.example" { "plain.example" } else { name };
    let data = match (name, kind) {
        ("four.example" | "plain.example" | "alias.example" | "half.example", A) => vec![192, 0, 2, 1],
        ("lost.example" | "cut.example" | "wrong.example" | "dead.example", A) => vec![192, 0, 2, 1],
        ("six.example" | "plain.example" | "alias.example", AAAA) => v6(1),
        ("lost.example" | "cut.example" | "wrong.example", AAAA) => v6(1),
        ("dead.example", AAAA) => v6(0xdd),
        _ => return Vec::new(),
    };
    let mut all = vec![(owner.to_owned(), kind, data)];
    if owner != name {
        all.insert(0, (name.to_owned(), CNAME, labels(owner)));
    }
    all
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        name.split('.').flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

/// A question, in the number of its message.
#[derive(Clone, Debug)]
struct Question {
    id: [u8; 2],
    name: String,
    kind: u16,
}

impl Question {
    fn parse(message: &[u8]) -> Option<Question> {
        let (mut name, mut rest) = (Vec::new(), message.get(12..)?);
        while let (&[len], tail) = rest.split_at_checked(1)? {
            if len == 0 {
                rest = tail;
                break;
            }
            let (label, tail) = tail.split_at_checked(len.into())?;
            name.push(String::from_utf8_lossy(label).to_lowercase());
            rest = tail;
        }
        let kind = u16::from_be_bytes(rest.get(..2)?.try_into().ok()?);
        Some(Question { id: message[..2].try_into().ok()?, name: name.join("."), kind })
    }

    /// An answer with these bits of the header's second word.
    fn reply(&self, bits: u16, answers: &[(String, u16, Vec<u8>)]) -> Vec<u8> {
        // A response, recursion desired and available.
        let mut message = [&self.id[..], &(0x8180 | bits).to_be_bytes(), &[0, 1]].concat();
        message.extend_from_slice(&(answers.len() as u16).to_be_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(&[labels(&self.name), self.kind.to_be_bytes().to_vec(), vec![0, 1]].concat());
        for (owner, kind, data) in answers {
            message.extend_from_slice(&labels(owner));
            message.extend_from_slice(&[&kind.to_be_bytes()[..], &[0, 1], &60u32.to_be_bytes()].concat());
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        message
    }
}

/// A web server on port 80 that says by which IP version one came.
fn web() {
    let listener = TcpListener::bind("[::]:80").expect("port 80");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let from = stream.peer_addr().expect("a peer").ip().to_canonical();
            let _ = stream.read(&mut [0; 2000]);
            let body = format!("hello {from}\n");
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
}

fn tunstack(args: &[&str]) -> (i32, String, String) {
    let output = tool(30, env!("CARGO_BIN_EXE_tunstack"), args);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn get(name: &str, dns: &str, args: &[&str]) -> (i32, String, String) {
    tunstack(&[&["get", &format!("http://{name}/")], &BOTH[..], &["--dns", dns], args].concat())
}

const V4: &str = "hello 192.0.2.2\n";
const V6: &str = "hello 2001:db8::2\n";

fn good(body: &str) -> (i32, String, String) {
    (0, body.into(), String::new())
}

fn both_families() {
    let server = Server::start();
    web();
    for (dns, source) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
        // Of both, IPv6 goes first (RFC 6724).
        for (name, flags, body) in [
            ("plain.example", &[][..], V6),
            ("plain.example", &["-4"], V4),
            ("plain.example", &["-6"], V6),
            ("alias.example", &[], V6),
            ("four.example", &[], V4),
            ("six.example", &[], V6),
        ] {
            assert_eq!(get(name, dns, flags), good(body), "{name} {flags:?} by {dns}");
        }
        // All questions came over the stack: nobody asked the kernel's resolver.
        let heard = server.heard();
        let sources: Vec<String> = heard.iter().map(|heard| heard.from.to_string()).collect();
        assert!(!heard.is_empty() && sources.iter().all(|from| from == source), "{heard:?}");
        for kind in [A, AAAA] {
            assert!(heard.iter().any(|heard| heard.name == "plain.example" && heard.kind == kind), "{heard:?}");
        }
        assert!(heard.iter().all(|heard| !heard.tcp), "{heard:?}");
    }
    // Who has no address of IPv6 does not ask for any.
    let args = ["get", "plain.example", "--dns", "192.0.2.1", "--host", "192.0.2.1/24"];
    assert_eq!(tunstack(&args), good(V4));
    assert!(server.heard().iter().all(|heard| heard.kind == A));
    let (code, text, said) = tunstack(&[&["dns", "alias.example", "--dns", "192.0.2.1"], &BOTH[..]].concat());
    assert_eq!((code, &*said), (0, ""), "{text}");
    let alias = "alias.example.\t60\tIN\tCNAME\tplain.example.\n";
    let addrs = ["plain.example.\t60\tIN\tAAAA\t2001:db8::1\n", "plain.example.\t60\tIN\tA\t192.0.2.1\n"];
    assert_eq!(text, format!("{alias}{}{alias}{}", addrs[0], addrs[1]));
    let (_, text, _) =
        tunstack(&[&["dns", "plain.example", "A", "--short", "--dns", "[2001:db8::1]:53"], &BOTH[..]].concat());
    assert_eq!(text, "192.0.2.1\n");
}

fn bad_answers() {
    let server = Server::start();
    web();
    let resolv = tempfile::NamedTempFile::new().expect("a file");
    for dns in ["192.0.2.1", "2001:db8::1"] {
        std::fs::write(resolv.path(), format!("nameserver {dns}\noptions timeout:25\n")).expect("a file");
        let resolv = resolv.path().to_str().expect("a path");
        for name in ["lost.example", "cut.example", "wrong.example"] {
            let run = |flag: &str, body: &str| {
                let begun = Instant::now();
                let args = [&["get", name, flag, "--resolv-conf", resolv], &BOTH[..]].concat();
                assert_eq!(tunstack(&args), good(body), "{name} by {dns}");
                let took = begun.elapsed();
                // Sooner than a server is given up that does not answer.
                assert!(took < Duration::from_secs(25), "{name} by {dns} took {took:?}");
            };
            run("-4", V4);
            let mut heard = server.heard();
            if name == "lost.example" {
                let again = heard.iter().filter(|heard| heard.kind == A && !heard.tcp).count();
                assert!(again >= 2, "nobody asks again: {heard:?}");
            }
            run("-6", V6);
            heard.extend(server.heard());
            let asked: HashMap<(u16, bool), usize> = heard.iter().fold(HashMap::new(), |mut asked, heard| {
                *asked.entry((heard.kind, heard.tcp)).or_default() += 1;
                asked
            });
            match name {
                "lost.example" => assert!(!asked.contains_key(&(A, true)), "{heard:?}"),
                "cut.example" => assert!(asked[&(A, true)] >= 1 && asked[&(AAAA, true)] >= 1, "{heard:?}"),
                _ => assert!(!asked.contains_key(&(A, true)), "{heard:?}"),
            }
        }
    }
}

fn failures() {
    let server = Server::start();
    let dns = |args: &[&str]| tunstack(&[&["dns"], args, &BOTH[..]].concat());
    for (name, code, text) in [
        ("none.example", 6, "there is no such name"),
        ("empty.example", 6, "it has no such records"),
        ("broken.example", 6, "the server says"),
        ("a..b", 6, "is no name"),
    ] {
        let (got, _, said) = get(name, "192.0.2.1", &[]);
        assert!((got, said.contains(text)) == (code, true), "{name}: {got} {said}");
    }
    let (code, _, said) = get("silent.example", "192.0.2.1", &["-m", "1"]);
    assert_eq!(code, 28, "{said}");
    for (name, code) in [("none.example", 1), ("empty.example", 1), ("plain.example", 0), ("broken.example", 2)] {
        let (got, _, said) = dns(&[name, "--dns", "192.0.2.1"]);
        assert_eq!(got, code, "{name}: {said}");
    }
    assert_eq!(dns(&["plain.example", "NONSENSE", "--dns", "192.0.2.1"]).0, 2);
    // No server there, and none given.
    let (code, _, said) = dns(&["plain.example", "--resolv-conf", "/nonexistent"]);
    assert!(code == 2 && said.contains("/nonexistent"), "{code} {said}");
    let dir = tempfile::TempDir::new().expect("a directory");
    let (resolv, hosts) = (dir.path().join("resolv.conf"), dir.path().join("hosts"));
    let resolv = resolv.to_str().expect("a path");
    std::fs::write(resolv, "nameserver 192.0.2.1\noptions timeout:1 attempts:1\n").expect("a file");
    let (code, _, said) = dns(&["silent.example", "--resolv-conf", resolv]);
    assert_eq!(code, 9, "{said}");
    // Servers whom only the kernel's side reaches. What the file of hosts says is known all the same.
    std::fs::write(resolv, "nameserver 127.0.0.53\noptions timeout:25\n").expect("a file");
    std::fs::write(&hosts, "192.0.2.1 local.example\n").expect("a file");
    let begun = Instant::now();
    let (code, _, said) = dns(&["plain.example", "--resolv-conf", resolv]);
    assert!(code == 2 && said.contains("--dns"), "{code} {said}");
    let hosts = hosts.to_str().expect("a path");
    let by_files = ["--resolv-conf", resolv, "--hosts-file", hosts, "--host", "192.0.2.1/24"];
    let (code, _, said) = tunstack(&[&["get", "plain.example"], &by_files[..]].concat());
    assert!(code == 6 && said.contains("--dns"), "{code} {said}");
    assert!(begun.elapsed() < Duration::from_secs(25), "nobody is asked: {:?}", begun.elapsed());
    let (code, text, _) = tunstack(&[&["ping", "-c", "1", "local.example"], &by_files[..]].concat());
    assert_eq!(code, 0, "{text}");
    let (code, _, said) = tunstack(&[&["perf", "-c", "local.example"], &by_files[..]].concat());
    assert!(code == 1 && said.contains("192.0.2.1:5201: "), "{code} {said}");
    drop(server);
}

fn eyeballs() {
    let _server = Server::start();
    web();
    // What does not answer at all is given up after two minutes only, and this has half a minute.
    assert_eq!(get("dead.example", "192.0.2.1", &[]), good(V4));
    // One family is not waited for, even where there is a list of domains to search.
    let resolv = tempfile::NamedTempFile::new().expect("a file");
    let text = "nameserver 192.0.2.1\nsearch nowhere.example\noptions timeout:25\n";
    std::fs::write(resolv.path(), text).expect("a file");
    let resolv = resolv.path().to_str().expect("a path");
    let begun = Instant::now();
    assert_eq!(tunstack(&[&["get", "half.example", "--resolv-conf", resolv], &BOTH[..]].concat()), good(V4));
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    let (code, _, said) = get("dead.example", "192.0.2.1", &["-6", "--connect-timeout", "1"]);
    assert_eq!(code, 28, "{said}");
    let (code, _, said) = get("four.example", "192.0.2.1", &["-6"]);
    assert_eq!(code, 6, "{said}");
    let (code, _, said) = get("plain.example:81", "192.0.2.1", &[]);
    assert_eq!(code, 7, "{said}");
}

fn files() {
    let server = Server::start();
    web();
    let dir = tempfile::TempDir::new().expect("a directory");
    let (resolv, hosts) = (dir.path().join("resolv.conf"), dir.path().join("hosts"));
    std::fs::write(&resolv, "nameserver 192.0.2.1\nsearch nowhere.example example\noptions timeout:1\n")
        .expect("a file");
    std::fs::write(&hosts, "# ours\n2001:db8::1 local.example plain.example\n").expect("a file");
    let path = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let (resolv, hosts) = (path(&resolv), path(&hosts));
    let get =
        |name: &str| tunstack(&[&["get", name, "--resolv-conf", &resolv, "--hosts-file", &hosts], &BOTH[..]].concat());
    assert_eq!(get("local.example"), good(V6));
    assert_eq!(server.heard(), []);
    // By the list of domains: there is no `plain.nowhere.example`.
    assert_eq!(get("four"), good(V4));
    let heard = server.heard();
    // With a dot it is such a name by itself, or else one of the list.
    assert_eq!(get("four.example"), good(V4));
    assert!(server.heard().iter().all(|heard| heard.name == "four.example"));
    for name in ["four.nowhere.example", "four.example"] {
        assert!(heard.iter().any(|heard| heard.name == name), "{heard:?}");
    }
    let ping = |name: &str, flag: &str| {
        tunstack(&[&["ping", flag, "-c", "1", name, "--dns", "192.0.2.1", "--hosts-file", &hosts], &BOTH[..]].concat())
    };
    let (code, text, said) = ping("four.example", "-4");
    assert!(code == 0 && text.starts_with("PING four.example (192.0.2.1) "), "{text}{said}");
    let (code, _, said) = ping("none.example", "-4");
    assert!(code == 2 && said.contains("there is no such name"), "{said}");
}

/// A signal ends `ping` and `traceroute` while they wait for the name server.
fn interrupted() {
    let server = Server::start();
    for command in ["ping", "traceroute"] {
        // Its own, because what the other one has asked may arrive late.
        let name = format!("{command}.silent.example");
        let mut child = Command::new("timeout")
            .args(["-k", "1", "--foreground", "15", env!("CARGO_BIN_EXE_tunstack"), command, &name])
            .args(["--dns", "192.0.2.1"])
            .args(BOTH)
            .stdin(Stdio::null())
            .spawn()
            .expect("starting it");
        let end = Instant::now() + Duration::from_secs(10);
        while !server.heard().iter().any(|heard| heard.name == name) {
            assert!(Instant::now() < end, "{command} asks nobody");
            thread::sleep(Duration::from_millis(20));
        }
        // timeout(1) passes it on.
        let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
        let status = wait(&mut child, Duration::from_secs(10)).unwrap_or_else(|| panic!("{command} goes on"));
        assert_eq!(status.code(), Some(130), "{command}");
    }
}

/// `connect(("name", 80))`, as a program has it.
fn program() {
    let server = Server::start();
    web();
    let device = TunTap::open("tun0", 1500).expect("a TUN");
    crate::harness::succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", "tun0"]);
    crate::harness::succeed(5, "ip", &["link", "set", "dev", "tun0", "up"]);
    let host = Host::builder().address("192.0.2.2/24").start(device).expect("a running stack");
    let refused = host.connect(("four.example", 80)).expect_err("no resolver");
    assert_eq!(refused.kind(), std::io::ErrorKind::Unsupported);
    let at: SocketAddr = (Ipv4Addr::new(192, 0, 2, 1), 53).into();
    host.set_dns(Config { servers: vec![at], ..Config::default() }).expect("a resolver");
    let hello = |mut stream: tunstack::net::TcpStream| {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("asking");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer");
        assert!(answer.ends_with(V4), "{answer}");
    };
    hello(host.connect(("four.example", 80)).expect("a connection"));
    hello(host.connect("cut.example:80").expect("a connection"));
    let asked = |heard: &[Heard]| heard.iter().any(|heard| heard.name == "four.example");
    let heard = server.heard();
    assert!(asked(&heard), "{heard:?}");
    host.set_default();
    hello(tunstack::net::TcpStream::connect(("four.example", 80)).expect("a connection"));
    // The second time nobody is asked.
    assert!(!asked(&server.heard()));
    assert!(heard.iter().all(|heard| heard.from == IpAddr::from([192, 0, 2, 2])), "{heard:?}");
    let error = host.connect(("none.example", 80)).expect_err("no such name");
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let socket = host.bind_udp("192.0.2.2:0").expect("a socket");
    let peer = UdpSocket::bind("192.0.2.1:7040").expect("a socket");
    peer.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    socket.send_to(b"x", ("four.example", 7040)).expect("sending");
    assert_eq!(peer.recv_from(&mut [0; 10]).expect("a datagram").0, 1);
    // Neither the resolver nor its connection keeps the host.
    drop((socket, Host::take_default()));
    let weak = host.downgrade();
    drop(host);
    let end = Instant::now() + Duration::from_secs(20);
    while weak.upgrade().is_some() {
        assert!(Instant::now() < end, "somebody keeps the host");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A child that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = wait(&mut self.0, Duration::from_secs(5));
    }
}

fn dnsmasq() {
    web();
    let args = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--pid-file=",
        "--user=root",
        "--host-record=www.example,192.0.2.1,2001:db8::1",
        "--cname=alias.example,www.example",
        "--txt-record=www.example,some words",
    ];
    let dnsmasq = Command::new("dnsmasq").args(args).stdin(Stdio::null()).spawn().expect("starting dnsmasq");
    let _dnsmasq = Ends(dnsmasq);
    // It is up once it answers over loopback.
    let end = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect("127.0.0.1:53").is_err() {
        assert!(Instant::now() < end, "dnsmasq does not come up");
        thread::sleep(Duration::from_millis(20));
    }
    for dns in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(get("www.example", dns, &[]), good(V6), "by {dns}");
        assert_eq!(get("www.example", dns, &["-4"]), good(V4), "by {dns}");
        assert_eq!(get("alias.example", dns, &[]), good(V6), "by {dns}");
        let (code, _, said) = get("none.example", dns, &[]);
        assert_eq!(code, 6, "{said}");
    }
    let dns = |args: &[&str]| tunstack(&[&["dns", "--short", "--dns", "192.0.2.1"], args, &BOTH[..]].concat());
    assert_eq!(dns(&["www.example", "TXT"]).1, "\"some words\"\n");
    assert_eq!(dns(&["192.0.2.1"]).1, "www.example.\n");
    assert_eq!(dns(&["2001:db8::1"]).1, "www.example.\n");
}
