//! The clients: `tunstack get`, `nc`, `forward` and `socks5`, with the kernel's tools at the other end.

use crate::harness::{Daemon, Test, noise, sha256, succeed, succeed_with_input, tool};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const TESTS: &[Test] = &[
    Test { name: "clients::get_files", tools: &["python3"], limit: 60, body: get_files },
    Test { name: "clients::get_resumes", tools: &["python3"], limit: 60, body: get_resumes },
    Test { name: "clients::get_ends_as_curl_does", tools: &["python3", "curl"], limit: 90, body: get_codes },
    Test { name: "clients::get_https", tools: &["python3"], limit: 60, body: get_https },
    Test { name: "clients::nc_both_ways", tools: &["nc"], limit: 60, body: nc_tcp },
    Test { name: "clients::nc_udp", tools: &["nc"], limit: 60, body: nc_udp },
    Test { name: "clients::nc_looks_and_gives_up", tools: &[], limit: 60, body: nc_codes },
    Test { name: "clients::nc_ends_whoever_blocks", tools: &[], limit: 90, body: nc_ends },
    Test { name: "clients::relays_let_go", tools: &[], limit: 90, body: relays_let_go },
    Test { name: "clients::forward_both_ways", tools: &[], limit: 60, body: forward },
    Test { name: "clients::socks5_for_curl", tools: &["python3", "curl"], limit: 60, body: socks5 },
    Test { name: "clients::socks5_datagrams", tools: &[], limit: 60, body: socks5_udp },
];

const TUNSTACK: &str = env!("CARGO_BIN_EXE_tunstack");

/// Both address families.
const BOTH: [&str; 2] = ["--host", "192.0.2.1/24,2001:db8::1/64"];

/// `web.py` on a port of the kernel's.
struct Web {
    child: Child,
    dir: TempDir,
}

impl Web {
    fn serve(port: u16, content: &[u8], tls: &[&str]) -> Web {
        let dir = TempDir::new().expect("a directory");
        fs::write(dir.path().join("content"), content).expect("the content");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernel/web.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args([&port.to_string(), dir.path().join("content").to_str().expect("a path")])
            .args(tls)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starting python3");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        Web { child, dir }
    }

    /// A file in its directory.
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("a path").to_owned()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `tunstack get`, and gives its code, what it wrote, and what it said.
fn get(args: &[&str]) -> (i32, Vec<u8>, String) {
    let output = tool(20, TUNSTACK, &[&["get"], &BOTH[..], args].concat());
    (output.status.code().unwrap_or(-1), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn get_files() {
    let content = noise(71, 3_000_000);
    let web = Web::serve(80, &content, &[]);
    let copy = web.path("copy");
    for (url, args) in [
        ("http://192.0.2.1/file", &[][..]),
        ("192.0.2.1/chunked", &[]),
        ("http://[2001:db8::1]/close", &[]),
        ("http://[2001:db8::1]:80/to", &["-L"]),
    ] {
        let (code, out, said) = get(&[&["-o", &copy, url], args].concat());
        assert_eq!((code, &*out, &*said), (0, &b""[..], ""), "{url}");
        assert_eq!(sha256(&fs::read(&copy).expect("the copy")), sha256(&content), "{url}");
        let (code, out, said) = get(&[&[url], args].concat());
        assert_eq!((code, sha256(&out)), (0, sha256(&content)), "{url}: {said}");
    }
    // A redirect that is not followed, and what a refusal says, are what is fetched.
    assert_eq!(get(&["http://192.0.2.1/to"]), (0, Vec::new(), String::new()));
    assert_eq!(get(&["http://192.0.2.1/missing"]), (0, b"nothing\n".to_vec(), String::new()));
}

fn get_resumes() {
    let content = noise(72, 1_000_000);
    let web = Web::serve(80, &content, &[]);
    let copy = web.path("copy");
    let resume = |url: &str, at: &str| get(&["-C", at, "-o", &copy, url]).0;
    let file = "http://192.0.2.1/file";
    for there in [0, 1, 400_000, 999_999, 1_000_000] {
        fs::write(&copy, &content[..there]).expect("a part of it");
        assert_eq!(resume(file, "-"), 0, "behind {there}");
        assert_eq!(sha256(&fs::read(&copy).expect("the copy")), sha256(&content), "behind {there}");
    }
    // From before the end of what is there.
    assert_eq!(resume(file, "123456"), 0);
    assert_eq!(sha256(&fs::read(&copy).expect("the copy")), sha256(&content));
    // What cannot be resumed stays as it is.
    fs::write(&copy, &content[..1000]).expect("a part of it");
    assert_eq!(resume("http://192.0.2.1/whole", "-"), 33);
    assert_eq!(resume("http://192.0.2.1:81/file", "-"), 7);
    assert_eq!(fs::read(&copy).expect("the copy"), content[..1000]);
    // There is no such place in it; and what is there goes only when something comes in its place.
    assert_eq!(resume(file, "1001"), 36);
    assert_eq!(resume("http://192.0.2.1/nothing_more", "500"), 18);
    assert_eq!(fs::read(&copy).expect("the copy"), content[..1000]);
    fs::write(&copy, [&content[..], b"more"].concat()).expect("too much of it");
    assert_eq!(resume(file, "-"), 36);
    // One that does not exist yet.
    fs::remove_file(&copy).expect("removing it");
    assert_eq!(resume(file, "-"), 0);
    assert_eq!(fs::read(&copy).expect("the copy").len(), content.len());
}

fn get_codes() {
    let web = Web::serve(80, &noise(73, 100_000), &[]);
    // A daemon for curl to ask over the same kind of link: what it gives for the same server is what we give.
    for (code, args) in [
        (18, &["http://192.0.2.1/cut"][..]),
        (22, &["-f", "http://192.0.2.1/missing"]),
        (23, &["-o", "/dev/full", "http://192.0.2.1/file"]),
        (28, &["--max-time", "0.5", "http://192.0.2.1/silent"]),
        (47, &["-L", "--max-redirs", "3", "http://192.0.2.1/loop"]),
        (52, &["http://192.0.2.1/empty"]),
        (56, &["http://192.0.2.1/reset"]),
        (7, &["http://192.0.2.1:1/"]),
        (3, &["http://192.0.2.1:99999/"]),
        (1, &["gopher+x://192.0.2.1/"]),
    ] {
        let (ours, _, said) = get(args);
        assert_eq!(ours, code, "{args:?}: {said}");
        assert!(said.starts_with(&format!("tunstack: ({code}) ")), "{said}");
        // The kernel asks itself over loopback.
        let local: Vec<String> = args.iter().map(|arg| arg.replace("192.0.2.1", "127.0.0.1")).collect();
        let local: Vec<&str> = local.iter().map(String::as_str).collect();
        let curls = tool(20, "curl", &[&["-s"], &local[..]].concat()).status.code();
        assert_eq!(curls, Some(code), "curl {local:?}");
    }
    // Nobody is there: the kernel does not answer for its neighbours.
    let begun = Instant::now();
    let (code, _, said) = get(&["--connect-timeout", "0.5", "http://192.0.2.77/"]);
    assert_eq!(code, 28, "{said}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    // One that is connected to and says nothing is as slow, if it is to speak TLS.
    let silent = TcpListener::bind("[::]:8443").expect("a listener");
    let begun = Instant::now();
    let (code, _, said) = get(&["-k", "--connect-timeout", "0.5", "https://192.0.2.1:8443/"]);
    assert_eq!(code, 28, "{said}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop(silent);
    // What the server says gives the terminal no orders.
    let (code, _, said) = get(&["-L", "http://192.0.2.1/orders"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(r"\x9b31m") && !said.trim_end().contains(char::is_control), "{said:?}");
    let (code, _, said) = get(&["--cacert", "/nonexistent", "https://192.0.2.1:80/"]);
    assert_eq!(code, 77, "{said}");
    let (code, _, said) = get(&["-k", "https://192.0.2.1:80/"]);
    assert_eq!(code, 35, "{said}");
    assert_eq!(get(&["-q", "http://192.0.2.1/file"]).2, "");
    drop(web);
}

fn get_https() {
    let content = noise(74, 2_000_000);
    let dir = TempDir::new().expect("a directory");
    let at = |name: &str| dir.path().join(name).to_str().expect("a path").to_owned();
    let names = ["www.example", "192.0.2.1", "2001:db8::1"].map(String::from).to_vec();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let (cert, key, hosts) = (at("cert.pem"), at("key.pem"), at("hosts"));
    fs::write(&cert, made.cert.pem()).expect("the certificate");
    fs::write(&key, made.signing_key.serialize_pem()).expect("its key");
    fs::write(&hosts, "192.0.2.1 www.example other.example\n2001:db8::1 www.example\n").expect("names");
    let _web = Web::serve(443, &content, &[&cert, &key]);
    let hosts = ["--hosts-file", &hosts];
    for url in ["https://www.example/file", "https://192.0.2.1/chunked", "https://[2001:db8::1]/close"] {
        let (code, out, said) = get(&[&["--cacert", &cert, url], &hosts[..]].concat());
        // The last one ends with the connection, and Python does not say goodbye.
        assert_eq!(
            (code, sha256(&out)),
            (if url.ends_with("close") { 56 } else { 0 }, sha256(&content)),
            "{url}: {said}"
        );
    }
    // Of another name, or of one whom nobody vouches for.
    let (code, _, said) = get(&[&["--cacert", &cert, "https://other.example/file"], &hosts[..]].concat());
    assert_eq!(code, 60, "{said}");
    let (code, _, said) = get(&["https://192.0.2.1/file"]);
    assert!([60, 77].contains(&code), "{code}: {said}");
    let (code, out, said) = get(&[&["-k", "https://other.example/file"], &hosts[..]].concat());
    assert_eq!((code, out.len()), (0, content.len()), "{said}");
}

/// Runs `tunstack nc` with `input`, and gives its code and what it wrote.
fn nc(args: &[&str], input: &[u8]) -> (i32, Vec<u8>, String) {
    let mut child = spawn(&[&["nc"], &BOTH[..], args].concat());
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = finished(child);
    let _ = writer.join().expect("the input");
    output
}

fn spawn(args: &[&str]) -> Child {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", "60", TUNSTACK]).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("starting tunstack")
}

fn finished(child: Child) -> (i32, Vec<u8>, String) {
    let output = child.wait_with_output().expect("its end");
    (output.status.code().unwrap_or(-1), output.stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A server of the kernel's for one connection, which answers behind the end of what it is told.
fn answer_once(listener: TcpListener, answer: Vec<u8>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a time-out");
        let mut told = Vec::new();
        stream.read_to_end(&mut told).expect("all of it");
        stream.write_all(&answer).expect("answering");
        told
    })
}

/// Waits until the stack's port can be connected to.
fn connected(to: SocketAddr) -> TcpStream {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match TcpStream::connect_timeout(&to, Duration::from_secs(5)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(Duration::from_secs(15))).expect("a time-out");
                return stream;
            }
            Err(e) => assert!(Instant::now() < end, "{to}: {e}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn nc_tcp() {
    let (question, answer) = (noise(75, 300_000), noise(76, 500_000));
    // The end of the input reaches the other side, and its answer still reaches us.
    for host in ["192.0.2.1", "2001:db8::1"] {
        let listener = TcpListener::bind("[::]:7000").expect("a listener");
        let server = answer_once(listener, answer.clone());
        let (code, out, said) = nc(&[host, "7000"], &question);
        assert_eq!((code, out == answer), (0, true), "{host}: {said}");
        assert!(server.join().expect("the server") == question, "{host}");
    }
    // Listening, with the kernel's nc as the client; -N has it end its side with its input.
    let mut child = spawn(&[&["nc", "-lp", "7001"], &BOTH[..]].concat());
    child.stdin.take().expect("its input").write_all(&answer[..1000]).expect("input");
    // It reads all: who goes with something unread resets.
    let mut told = Vec::new();
    connected_once_up(7001).read_to_end(&mut told).expect("what it was given");
    assert!(told == answer[..1000]);
    let (code, out, said) = finished(child);
    assert_eq!((code, out.len()), (0, 0), "{said}");
    let child = spawn(&[&["nc", "-k", "-l", "192.0.2.2", "7002"], &BOTH[..]].concat());
    drop(connected_once_up(7002));
    for n in 0..3 {
        let piece = &question[n * 1000..(n + 1) * 1000];
        // Its input is still open, so that it is the client who ends.
        succeed_with_input(10, "nc", &["-N", "-w", "5", "192.0.2.2", "7002"], piece);
    }
    let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    let (code, out, said) = finished(child);
    assert!(code == 128 + 15 || code == 124, "{code}: {said}");
    assert_eq!(out, question[..3000], "{said}");
}

/// A connection to the stack's port that ends at once.
fn connected_once_up(port: u16) -> TcpStream {
    connected((Ipv4Addr::new(192, 0, 2, 2), port).into())
}

fn nc_udp() {
    let socket = UdpSocket::bind("[::]:7003").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(15))).expect("a time-out");
    let server = thread::spawn(move || {
        let mut buf = [0; 2000];
        let (len, from) = socket.recv_from(&mut buf).expect("a datagram");
        let answer = [&b"re: "[..], &buf[..len]].concat();
        socket.send_to(&answer, from).expect("answering");
    });
    let (code, out, said) = nc(&["-u", "-w", "3", "192.0.2.1", "7003"], b"question");
    assert_eq!((code, &*out), (0, &b"re: question"[..]), "{said}");
    server.join().expect("the server");

    let mut child = spawn(&[&["nc", "-u", "-l", "-w", "1", "7004"], &BOTH[..]].concat());
    let mut out = child.stdout.take().expect("its output");
    let heard = thread::spawn(move || {
        let mut text = [0; 11];
        out.read_exact(&mut text).map(|()| text)
    });
    // Until it is up, what is sent to it is lost or refused.
    let client = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    while !heard.is_finished() {
        let _ = client.send_to(b"to be heard", "192.0.2.2:7004");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(&heard.join().expect("a reader").expect("something"), b"to be heard");
    let (code, _, said) = finished(child);
    assert_eq!(code, 0, "{said}");
}

fn nc_codes() {
    let _listener = TcpListener::bind("0.0.0.0:7005").expect("a listener");
    let (code, _, said) = nc(&["-z", "192.0.2.1", "7005"], b"");
    assert_eq!((code, &*said), (0, "Connection to 192.0.2.1 7005 port [tcp] succeeded!\n"));
    assert_eq!(nc(&["-q", "-z", "192.0.2.1", "7005"], b""), (0, Vec::new(), String::new()));
    let (code, _, said) = nc(&["-z", "192.0.2.1", "7006"], b"");
    assert!(code == 1 && said.contains("refused"), "{said}");
    let (code, _, said) = nc(&["-w", "0.5", "192.0.2.77", "7005"], b"");
    assert!(code == 1 && said.contains("192.0.2.77 7005: "), "{said}");
    let (code, _, said) = nc(&["-z", "-u", "-w", "10", "192.0.2.1", "7007"], b"");
    assert!(code == 1 && said.contains("refused"), "{said}");
    let _socket = UdpSocket::bind("0.0.0.0:7007").expect("a socket");
    assert_eq!(nc(&["-z", "-u", "-w", "0.3", "192.0.2.1", "7007"], b"").0, 0);
    // One port after the other.
    let (code, _, said) = nc(&["-z", "192.0.2.1", "7003-7006"], b"");
    assert_eq!((code, &*said), (0, "Connection to 192.0.2.1 7005 port [tcp] succeeded!\n"));
    let (code, _, said) = nc(&["-z", "192.0.2.1", "7001-7003"], b"");
    assert!(code == 1 && said.contains("192.0.2.1 7001-7003: "), "{said}");
    for wrong in [
        &["-z", "192.0.2.1", "7-5"][..],
        &["192.0.2.1", "5-7"],
        &["-p", "7"],
        &["192.0.2.1"],
        &["192.0.2.1", "0"],
        &["-k", "192.0.2.1", "7"],
        &["-l", "-z", "7"],
    ] {
        assert_eq!(nc(wrong, b"").0, 2, "{wrong:?}");
    }
}

/// Gives `child` input for as long as it takes any.
fn flood(child: &mut Child) -> thread::JoinHandle<()> {
    let mut stdin = child.stdin.take().expect("its input");
    thread::spawn(move || while stdin.write_all(&[0; 4096]).is_ok() {})
}

fn nc_ends() {
    // The other side takes nothing: -w is over.
    let listener = TcpListener::bind("0.0.0.0:7050").expect("a listener");
    let begun = Instant::now();
    let mut child = spawn(&[&["nc", "-w", "1", "192.0.2.1", "7050"], &BOTH[..]].concat());
    let input = flood(&mut child);
    let _deaf = listener.accept().expect("a connection");
    let (code, _, said) = finished(child);
    assert_eq!(code, 0, "{said}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    input.join().expect("the input");

    // Nobody reads what it writes out, and the input has no end: as if SIGPIPE had ended it.
    let listener = TcpListener::bind("0.0.0.0:7051").expect("a listener");
    let talk = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        while stream.write_all(&[7; 4096]).is_ok() {}
    });
    let mut child = spawn(&[&["nc", "192.0.2.1", "7051"], &BOTH[..]].concat());
    let input = flood(&mut child);
    let mut out = child.stdout.take().expect("its output");
    out.read_exact(&mut [0; 10]).expect("some of it");
    drop(out);
    let (code, _, said) = finished(child);
    assert_eq!((code, &*said), (128 + 13, ""));
    talk.join().expect("the server");
    input.join().expect("the input");

    // A client who takes nothing and goes does not hold up the next one.
    let mut child = spawn(&[&["nc", "-k", "-l", "7052"], &BOTH[..]].concat());
    let input = flood(&mut child);
    let deaf = connected_once_up(7052);
    thread::sleep(Duration::from_millis(300));
    deaf.shutdown(std::net::Shutdown::Write).expect("the end of what it says");
    connected_once_up(7052).read_exact(&mut [0; 10]).expect("the next one is served");
    drop(deaf);
    let pid = rustix::process::Pid::from_raw(child.id() as i32).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
    finished(child);
    input.join().expect("the input");
}

/// Resets the connection.
fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("SO_LINGER");
}

/// Waits until `it` is so.
#[track_caller]
fn eventually(what: &str, it: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !it() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whether the kernel asks the peers of connections at this address, in its own notation, whether they live: `02:` is the
/// timer of that.
fn kept_alive(local: &str) -> bool {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's connections");
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields.len() > 5).any(|fields| fields[1] == local && fields[5].starts_with("02:"))
}

fn relays_let_go() {
    let listener = TcpListener::bind("0.0.0.0:7060").expect("a listener");
    for (command, specs, at) in [
        ("forward", &["8060:192.0.2.1:7060"][..], "127.0.0.1:8060"),
        ("forward", &["-R", "8060:127.0.0.1:7060"], "192.0.2.2:8060"),
    ] {
        let daemon = Daemon::start(command, &[specs, &BOTH].concat());
        let mut client = connected(at.parse().expect("an address"));
        let (mut server, _) = listener.accept().expect("a connection");
        client.write_all(b"question").expect("asking");
        client.shutdown(std::net::Shutdown::Write).expect("the end of the question");
        let mut told = Vec::new();
        server.read_to_end(&mut told).expect("all of it");
        assert_eq!(told, b"question", "{specs:?}");
        server.write_all(b"first").expect("a part of the answer");
        client.read_exact(&mut [0; 5]).expect("that part");
        if at.starts_with("127") {
            eventually("nobody asks whether the client lives", || kept_alive("0100007F:1F7C"));
        }
        // Behind its end nobody reads what the client says; but that it is gone is seen, though the server is silent.
        reset(client);
        let broken = || server.take_error().expect("SO_ERROR").is_some();
        eventually(&format!("{specs:?}: the server's connection lives on"), broken);
        daemon.stop();
    }
    // A SOCKS client that does not wait for a connection which there will not be.
    let daemon = Daemon::start("socks5", &[&["-l", "127.0.0.1:1091"][..], &BOTH].concat());
    let mut client = connected("127.0.0.1:1091".parse().expect("an address"));
    client.write_all(&[5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 77, 0, 80]).expect("asking");
    eventually("no connection is tried", || daemon.ss(&[]).contains("192.0.2.77"));
    drop(client);
    eventually("the connection is still tried", || !daemon.ss(&[]).contains("192.0.2.77"));
    daemon.stop();
}

fn forward() {
    let hosts = tempfile::NamedTempFile::new().expect("a file");
    fs::write(hosts.path(), "192.0.2.1 server.example\n").expect("names");
    let hosts = ["--hosts-file", hosts.path().to_str().expect("a path")];
    let datagrams = UdpSocket::bind("0.0.0.0:7011").expect("a socket");
    let specs =
        ["8010:192.0.2.1:7010", "[::1]:8010:server.example:7010", "8011:server.example:7011/udp", "8012:192.0.2.1:1"];
    let daemon = Daemon::start("forward", &[&specs[..], &hosts, &BOTH].concat());
    let answer = noise(77, 400_000);
    for at in ["127.0.0.1:8010", "[::1]:8010"] {
        let server = answer_once(TcpListener::bind("0.0.0.0:7010").expect("a listener"), answer.clone());
        let mut client = connected(at.parse().expect("an address"));
        client.write_all(b"question").expect("asking");
        client.shutdown(std::net::Shutdown::Write).expect("the end of the question");
        let mut got = Vec::new();
        client.read_to_end(&mut got).expect("the answer");
        assert!(got == answer, "{at}: {} bytes", got.len());
        assert_eq!(server.join().expect("the server"), b"question");
    }
    // Where nobody listens the client is reset.
    let mut refused = connected("127.0.0.1:8012".parse().expect("an address"));
    let error = refused.read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    // Two clients of a UDP port are two to the server.
    let clients = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    let mut sources = Vec::new();
    for (n, client) in clients.iter().enumerate() {
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        client.send_to(&[n as u8; 100], "127.0.0.1:8011").expect("sending");
        let mut buf = [0; 200];
        let (len, from) = datagrams.recv_from(&mut buf).expect("a datagram");
        assert_eq!((&buf[..len], from.ip()), (&[n as u8; 100][..], Ipv4Addr::new(192, 0, 2, 2).into()));
        sources.push(from);
    }
    assert_ne!(sources[0], sources[1]);
    for (n, (client, source)) in clients.iter().zip(&sources).enumerate() {
        datagrams.send_to(&[n as u8 + 7; 50], source).expect("answering");
        let mut buf = [0; 200];
        let (len, _) = client.recv_from(&mut buf).expect("the answer");
        assert_eq!(buf[..len], [n as u8 + 7; 50]);
    }
    daemon.stop();
    // Of all addresses of the kernel's side the one that is asked answers.
    let specs = ["0.0.0.0:8013:192.0.2.1:7011/udp", "[::]:8014:192.0.2.1:7011/udp"];
    let daemon = Daemon::start("forward", &[&specs[..], &BOTH].concat());
    for (own, asked) in [
        ("0.0.0.0:0", "127.0.0.2:8013"),
        ("0.0.0.0:0", "192.0.2.1:8013"),
        ("0.0.0.0:0", "127.0.0.3:8014"),
        ("[::]:0", "[::1]:8014"),
        ("[::]:0", "[2001:db8::1]:8014"),
    ] {
        let client = UdpSocket::bind(own).expect("a socket");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a time-out");
        client.send_to(b"there", asked).expect("sending");
        let mut buf = [0; 100];
        let (len, from) = datagrams.recv_from(&mut buf).expect("a datagram");
        assert_eq!((&buf[..len], from.ip()), (&b"there"[..], Ipv4Addr::new(192, 0, 2, 2).into()));
        datagrams.send_to(b"and back", from).expect("answering");
        let (len, from) = client.recv_from(&mut buf).expect("the answer");
        assert_eq!((&buf[..len], from), (&b"and back"[..], asked.parse().expect("an address")));
    }
    daemon.stop();

    let specs = ["8020:127.0.0.1:7020", "8021:127.0.0.1:7011/udp"];
    let daemon = Daemon::start("forward", &[&["-R"], &specs[..], &BOTH].concat());
    for at in ["192.0.2.2:8020", "[2001:db8::2]:8020"] {
        let server = answer_once(TcpListener::bind("127.0.0.1:7020").expect("a listener"), answer.clone());
        let mut client = connected(at.parse().expect("an address"));
        client.write_all(b"question").expect("asking");
        client.shutdown(std::net::Shutdown::Write).expect("the end of the question");
        let mut got = Vec::new();
        client.read_to_end(&mut got).expect("the answer");
        assert!(got == answer, "{at}: {} bytes", got.len());
        assert_eq!(server.join().expect("the server"), b"question");
    }
    daemon.stop();
    // Of several addresses the one that is asked answers, and who asks two of them is two.
    let addrs = ["--addr", "192.0.2.2", "--addr", "192.0.2.3"];
    let daemon = Daemon::start("forward", &[&["-R"], &specs[..], &addrs, &["--host", "192.0.2.1/24"]].concat());
    let client = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    for asked in ["192.0.2.3:8021", "192.0.2.2:8021", "192.0.2.3:8021"] {
        client.send_to(b"there", asked).expect("sending");
        let mut buf = [0; 100];
        let (len, from) = datagrams.recv_from(&mut buf).expect("a datagram");
        assert_eq!((&buf[..len], from.ip()), (&b"there"[..], Ipv4Addr::LOCALHOST.into()));
        datagrams.send_to(b"and back", from).expect("answering");
        let (len, from) = client.recv_from(&mut buf).expect("the answer");
        assert_eq!((&buf[..len], from), (&b"and back"[..], asked.parse().expect("an address")));
    }
    daemon.stop();
}

fn socks5() {
    let content = noise(78, 1_500_000);
    let _web = Web::serve(80, &content, &[]);
    let hosts = tempfile::NamedTempFile::new().expect("a file");
    fs::write(hosts.path(), "192.0.2.1 www.example\n2001:db8::1 www.example\n").expect("names");
    // A server that answers no name: what is not in the file is not known.
    let daemon =
        Daemon::start("socks5", &[&["--hosts-file", hosts.path().to_str().expect("a path")][..], &BOTH].concat());
    for (proxy, url) in [
        ("--socks5", "http://192.0.2.1/file"),
        ("--socks5", "http://[2001:db8::1]/chunked"),
        ("--socks5-hostname", "http://www.example/file"),
    ] {
        let output = tool(20, "curl", &["-sS", "-g", "--noproxy", "", proxy, "127.0.0.1:1080", url]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), sha256(&output.stdout)), (Some(0), sha256(&content)), "{url}: {said}");
    }
    // 97: the proxy says no; what curl writes out is our reply.
    for (url, reply) in [("http://192.0.2.1:1/", "(5)"), ("http://a..b/", "(4)")] {
        let output = tool(20, "curl", &["-sS", "--noproxy", "", "--socks5-hostname", "127.0.0.1:1080", url]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(97), "{url}: {said}");
        assert!(said.contains(reply), "{url}: {said}");
    }
    // What is not SOCKS 5 is not answered.
    let mut odd = connected("127.0.0.1:1080".parse().expect("an address"));
    odd.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("asking");
    let mut answer = Vec::new();
    let _ = odd.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    let text = succeed(20, "curl", &["-sS", "--noproxy", "", "--socks5", "127.0.0.1:1080", "http://192.0.2.1/missing"]);
    assert_eq!(text, "nothing\n");
    daemon.stop();
}

/// Asks for `command` about `target`, and gives the code of the reply and the port in it.
fn socks_request(stream: &mut TcpStream, command: u8, target: &[u8]) -> (u8, u16) {
    stream.write_all(&[5, 2, 2, 0]).expect("the methods");
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).expect("a method");
    assert_eq!(chosen, [5, 0]);
    stream.write_all(&[&[5, command, 0][..], target].concat()).expect("the request");
    let mut reply = [0; 10];
    stream.read_exact(&mut reply).expect("the reply");
    assert_eq!((reply[0], reply[2], reply[3]), (5, 0, 1));
    (reply[1], u16::from_be_bytes([reply[8], reply[9]]))
}

fn socks5_udp() {
    let hosts = tempfile::NamedTempFile::new().expect("a file");
    fs::write(hosts.path(), "192.0.2.1 server.example\n").expect("names");
    let server = UdpSocket::bind("[::]:7030").expect("a socket");
    server.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let args = ["-l", "localhost:1090", "--hosts-file", hosts.path().to_str().expect("a path")];
    let daemon = Daemon::start("socks5", &[&args[..], &BOTH].concat());
    let proxy = "127.0.0.1:1090".parse().expect("an address");
    let mut control = connected(proxy);
    let (code, port) = socks_request(&mut control, 3, &[1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(code, 0);
    let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let v4 = [&[0, 0, 0, 1, 192, 0, 2, 1][..], &7030u16.to_be_bytes()].concat();
    let name = [&[0, 0, 0, 3, 14][..], b"server.example", &7030u16.to_be_bytes()].concat();
    let v6 =
        [&[0, 0, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &7030u16.to_be_bytes()].concat();
    for (head, back) in [(&v4, &v4), (&name, &v4), (&v6, &v6)] {
        client.send_to(&[head, &b"question"[..]].concat(), ("127.0.0.1", port)).expect("sending");
        let mut buf = [0; 100];
        let (len, from) = server.recv_from(&mut buf).expect("a datagram");
        assert_eq!(buf[..len], *b"question");
        server.send_to(b"answer", from).expect("answering");
        let (len, _) = client.recv_from(&mut buf).expect("the answer");
        assert_eq!(buf[..len], [back, &b"answer"[..]].concat());
    }
    // A fragment is dropped, and so is what another sends.
    let fragment = [&[0, 0, 1], &v4[3..], b"part"].concat();
    client.send_to(&fragment, ("127.0.0.1", port)).expect("sending");
    let other = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    other.send_to(&[&v4, &b"other"[..]].concat(), ("127.0.0.1", port)).expect("sending");
    client.send_to(&[&v4, &b"last"[..]].concat(), ("127.0.0.1", port)).expect("sending");
    let mut buf = [0; 100];
    let (len, _) = server.recv_from(&mut buf).expect("a datagram");
    assert_eq!(buf[..len], *b"last");
    // With the connection it is over: the port is free again.
    drop(control);
    let end = Instant::now() + Duration::from_secs(20);
    while UdpSocket::bind(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "the association lives on");
        thread::sleep(Duration::from_millis(20));
    }
    // What there is not, and what cannot be parsed.
    let refused = |command: u8, target: &[u8]| socks_request(&mut connected(proxy), command, target).0;
    assert_eq!(refused(2, &[1, 192, 0, 2, 1, 0, 80]), 7);
    assert_eq!(refused(1, &[9, 192, 0, 2, 1, 0, 80]), 8);
    assert_eq!(refused(1, &[1, 192, 0, 2, 1, 0, 1]), 5);
    let mut picky = connected(proxy);
    picky.write_all(&[5, 1, 2]).expect("the methods");
    let mut chosen = [0; 2];
    picky.read_exact(&mut chosen).expect("a method");
    assert_eq!(chosen, [5, 0xff]);
    daemon.stop();
}
