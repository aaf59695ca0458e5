//! `examples/transparent_proxy.rs` between two namespaces of the kernel's: curl in the one, the servers in the other, and
//! nothing but the proxy between them.

use crate::harness::{Daemon, Test, http_at, noise, sha256, succeed, tool, wait};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tunstack::device::Device;
use tunstack::device::tun::Tun;
use tunstack::net::Host;
use tunstack::wire::Offloads;

pub const TESTS: &[Test] = &[
    Test { name: "proxy::answers_as_the_upstream_does", tools: &["curl", "ip"], limit: 60, body: answers },
    Test { name: "proxy::many_at_once", tools: &["curl", "ip"], limit: 300, body: many },
    Test { name: "proxy::datagrams", tools: &["ip"], limit: 60, body: datagrams },
    Test { name: "proxy::gates_of_two_queues", tools: &["ip"], limit: 60, body: queues },
    Test { name: "proxy::serve_any_address", tools: &["ip"], limit: 60, body: serve_any_address },
];

/// The first argument of this program when it is to be the servers.
pub const UPSTREAM: &str = "--upstream";

/// The first argument of this program when it is to be the proxy.
pub const PROXY: &str = "--transparent-proxy";

/// The servers' address, and one where nobody answers.
const SERVER: &str = "203.0.113.9";
const SERVER_V6: &str = "2001:db8:9::9";
const SILENT: &str = "198.51.100.7";
/// That the servers' namespace has no way to.
const UNREACHABLE: &str = "203.0.113.77";

/// Bytes of what those get who wait for each other.
const SMALL: usize = 20_000;

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn ip(line: &str) {
    succeed(5, "ip", &line.split(' ').collect::<Vec<_>>());
}

fn page() -> Vec<u8> {
    noise(31, 300_000)
}

// ---- the servers ----

/// Requests to `/wait` that wait for each other, so that they are all there at once.
static WAITING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// This program as the servers, in a namespace of their own.
pub fn upstream() {
    ip("link set dev lo up");
    ip(&format!("address add {SERVER}/32 dev lo"));
    ip(&format!("-6 address add {SERVER_V6}/128 dev lo nodad"));
    ip(&format!("route add unreachable {UNREACHABLE}/32"));
    // What goes there is never read.
    let void = Tun::open("void0", 1500, Offloads::NONE).expect("a TUN");
    ip("address add 198.51.100.1/24 dev void0");
    ip("link set dev void0 up");
    for own in [format!("{SERVER}:80"), format!("[{SERVER_V6}]:80")] {
        let listener = TcpListener::bind(&own).expect("a free port");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let work = move || drop(serve(stream));
                thread::Builder::new().stack_size(256 * 1024).spawn(work).expect("a thread");
            }
        });
    }
    for own in [format!("{SERVER}:5353"), format!("{SERVER}:5354"), format!("[{SERVER_V6}]:5353")] {
        let socket = UdpSocket::bind(&own).expect("a free port");
        // Whoever asks is told who he is.
        thread::spawn(move || {
            while let Ok((_, from)) = socket.recv_from(&mut [0; 100]) {
                let _ = socket.send_to(from.to_string().as_bytes(), from);
            }
        });
    }
    println!("ready");
    // Until whoever started it is done.
    let _ = std::io::stdin().read(&mut [0; 1]);
    drop(void);
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    reader.read_line(&mut line)?;
    while reader.read_line(&mut String::new())? > 2 {}
    let path = line.split(' ').nth(1).unwrap_or_default();
    let together = match path.strip_prefix("/wait/").and_then(|rest| rest.split('/').next()?.parse().ok()) {
        None => true,
        Some(all) => {
            let (count, changed) = (&WAITING.0, &WAITING.1);
            let mut here = count.lock().expect("nobody panics");
            *here += 1;
            changed.notify_all();
            let waited = changed.wait_timeout_while(here, Duration::from_secs(100), |here: &mut usize| *here < all);
            !waited.expect("nobody panics").1.timed_out()
        }
    };
    let mut body = page();
    if path != "/page" {
        body.truncate(SMALL);
    }
    let status = if together { "200 OK" } else { "504 Alone" };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

// ---- the world ----

/// The servers and the proxy, and what leads to them.
struct World {
    servers: Child,
    proxy: Child,
    log: fs::File,
}

/// Waits until a child says that it is ready.
fn ready(child: &mut Child) {
    let mut line = String::new();
    let out = child.stdout.as_mut().expect("its output");
    BufReader::new(out).read_line(&mut line).expect("reading it");
    assert_eq!(line, "ready\n", "it did not come up");
}

impl World {
    fn new() -> World {
        let this = std::env::current_exe().expect("this program");
        let mut command = Command::new("unshare");
        command.args(["--net", "--"]).arg(&this).arg(UPSTREAM);
        let mut servers = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the servers");
        ready(&mut servers);
        ip("tuntap add dev tun0 mode tun");
        ip("address add 192.0.2.1/24 dev tun0");
        crate::harness::ipv6_up("tun0", "2001:db8::1/64");
        ip("link set dev tun0 up txqueuelen 10000");
        for route in ["203.0.113.0/24", "198.51.100.0/24", "2001:db8:9::/48"] {
            ip(&format!("route add {route} dev tun0"));
        }
        // A descriptor for each connection: as many as it may have.
        let limit = "ulimit -n $(ulimit -H -n); exec \"$0\" \"$@\"";
        let namespace = format!("/proc/{}/ns/net", servers.id());
        let log = tempfile::tempfile().expect("a scratch file");
        let mut command = Command::new("sh");
        command.args(["-c", limit]).arg(&this).args([PROXY, "tun0", &namespace]);
        let errors = log.try_clone().expect("a second handle");
        let mut proxy = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn().expect("the proxy");
        ready(&mut proxy);
        let world = World { servers, proxy, log };
        // The kernel drops what it sends to a TUN in the moment after that was opened; a SYN it sends again.
        let to = format!("{SERVER}:80").parse().expect("an address");
        TcpStream::connect_timeout(&to, Duration::from_secs(20)).expect("a way to the servers");
        world
    }

    /// The most memory that the proxy ever had, as the kernel tells.
    fn peak(&self) -> String {
        let status = fs::read_to_string(format!("/proc/{}/status", self.proxy.id())).expect("its status");
        status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default().to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in [&mut self.proxy, &mut self.servers] {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            use std::io::Seek;
            let mut said = String::new();
            let read = self.log.rewind().and_then(|()| self.log.read_to_string(&mut said));
            eprintln!("---- the proxy said ----\n{said}{read:?}");
        }
    }
}

fn curl(args: &[&str]) -> Output {
    let all = [&["-sS", "-g", "-w", "%{time_connect}\n", "--max-time", "20"], args].concat();
    tool(30, "curl", &all)
}

/// Connections of this namespace that failed before they were established, and that were reset afterwards (RFC 4022).
fn failures() -> (u64, u64) {
    let snmp = fs::read_to_string("/proc/net/snmp").expect("the kernel's counters");
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let value = |name: &str| {
        let found = names.split(' ').zip(values.split(' ')).find(|(n, _)| *n == name);
        found.and_then(|(_, value)| value.parse().ok()).expect("a counter")
    };
    (value("AttemptFails"), value("EstabResets"))
}

fn answers() {
    let world = World::new();
    let dir = TempDir::new().expect("a directory");
    let got = dir.path().join("got");
    let got = got.to_str().expect("a path");
    for url in [format!("http://{SERVER}/page"), format!("http://[{SERVER_V6}]/page")] {
        let output = curl(&["-f", "-o", got, &url]);
        assert!(output.status.success(), "{url}: {output:?}");
        assert!(sha256(&fs::read(got).expect("the page")) == sha256(&page()), "{url}");
    }
    // Nobody listens there: the kernel is refused before it was ever answered.
    let before = failures();
    for url in [format!("http://{SERVER}:81/"), format!("http://[{SERVER_V6}]:81/")] {
        let output = curl(&[&url]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(7), "{url}: {output:?}");
        assert!(
            said.contains("refused") || said.contains("Couldn't connect") || said.contains("Failed to connect"),
            "{said}"
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0.000000\n", "it was never connected");
    }
    let after = failures();
    assert_eq!((after.0 - before.0, after.1 - before.1), (2, 0), "refused, not accepted and reset");
    let refused =
        TcpStream::connect_timeout(&format!("{SERVER}:81").parse().expect("an address"), Duration::from_secs(20));
    assert_eq!(refused.expect_err("nobody listens").kind(), std::io::ErrorKind::ConnectionRefused);
    // What the upstream's kernel says of a way is said here, by ICMP.
    let gone: SocketAddr = format!("{UNREACHABLE}:80").parse().expect("an address");
    let begun = Instant::now();
    let error = TcpStream::connect_timeout(&gone, Duration::from_secs(8)).expect_err("no way leads there");
    assert_eq!(error.kind(), std::io::ErrorKind::HostUnreachable, "after {:?}", begun.elapsed());
    // And where nobody answers, nobody answers.
    let output = curl(&["--max-time", "2", &format!("http://{SILENT}/")]);
    assert_eq!(output.status.code(), Some(28), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0.000000\n");
    drop(world);
}

/// So many curls at once, each with a connection of its own: the servers answer none before all are there.
fn many() {
    let all: usize = std::env::var("TUNSTACK_PARALLEL").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    let world = World::new();
    let begun = Instant::now();
    // One program has up to 250 of them.
    let programs = all.div_ceil(250);
    let curls: Vec<(usize, Child)> = (0..programs)
        .map(|n| {
            let own = (all * (n + 1) / programs) - all * n / programs;
            let url = format!("http://{SERVER}/wait/{all}/[1-{own}]");
            let args = ["-sS", "-Z", "--parallel-immediate", "--parallel-max", "250", "--max-time", "120"];
            let mut command = Command::new("curl");
            command.args(args).args(["-w", "%{http_code} %{size_download}\n", "-o", "/dev/null", &url]);
            let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            (own, child.expect("curl"))
        })
        .collect();
    let mut served = 0;
    for (own, mut child) in curls {
        let mut said = String::new();
        child.stdout.take().expect("its output").read_to_string(&mut said).expect("reading it");
        let status = wait(&mut child, Duration::from_secs(150)).expect("it ends");
        let mut errors = String::new();
        child.stderr.take().expect("its errors").read_to_string(&mut errors).expect("reading them");
        assert!(status.success(), "{status}: {errors}");
        let good = format!("200 {SMALL}");
        let right = said.lines().filter(|line| *line == good).count();
        assert_eq!(right, own, "{said}\n{errors}");
        served += right;
    }
    println!("{served} at once in {:?}; the proxy's {}", begun.elapsed(), world.peak());
    assert_eq!(served, all);
}

fn datagrams() {
    let _world = World::new();
    let mut seen = Vec::new();
    for (own, to) in [
        ("0.0.0.0:0", [format!("{SERVER}:5353"), format!("{SERVER}:5354")].as_slice()),
        ("[::]:0", &[format!("[{SERVER_V6}]:5353")]),
    ] {
        let socket = UdpSocket::bind(own).expect("a socket");
        socket.set_read_timeout(PATIENCE).expect("a time-out");
        for to in to {
            let to: SocketAddr = to.parse().expect("an address");
            let mut buf = [0; 100];
            socket.send_to(b"who am I?", to).expect("sending");
            let (n, from) = socket.recv_from(&mut buf).unwrap_or_else(|e| panic!("an answer of {to}: {e}; {seen:?}"));
            assert_eq!(from, to, "it comes from where it was asked");
            seen.push(String::from_utf8_lossy(&buf[..n]).into_owned());
        }
    }
    assert_eq!(seen[0], seen[1], "one port for all destinations");
    assert!(seen[0].starts_with("203.0.113.9:") && seen[2].starts_with("[2001:db8:9::9]:"), "{seen:?}");
}

/// The gates of a TUN with two queues, with the kernel choosing the queue of every packet.
fn queues() {
    let tuns = Tun::open_queues("tun0", 1500, Offloads::ALL, 2).expect("a TUN");
    ip("address add 192.0.2.1/24 dev tun0");
    ip("link set dev tun0 up");
    ip("route add 203.0.113.0/24 dev tun0");
    let devices = tuns.into_iter().map(|tun| Arc::new(tun) as Arc<dyn Device>).collect();
    let host = Host::builder().address("192.0.2.2/24").any_address().start_queues(devices).expect("a running stack");
    let (tcp, udp) = (host.syn_gate().expect("a gate"), host.udp_gate().expect("a gate"));
    let deciding = thread::spawn(move || {
        for request in &tcp {
            let request = request.expect("a request");
            let to = request.destination();
            if to.port().is_multiple_of(4) {
                request.reset().expect("it waits");
                continue;
            }
            let mut stream = request.accept().expect("it waits");
            assert_eq!(stream.local_addr().expect("an address"), to);
            stream.write_all(to.to_string().as_bytes()).expect("room");
        }
    });
    let connecting: Vec<_> = (0..60u16)
        .map(|n| {
            thread::spawn(move || {
                let to: SocketAddr = ([203, 0, 113, (n % 5 + 1) as u8], 1000 + n).into();
                let connected = TcpStream::connect_timeout(&to, Duration::from_secs(20));
                if to.port().is_multiple_of(4) {
                    assert_eq!(connected.expect_err("refused").kind(), std::io::ErrorKind::ConnectionRefused);
                } else {
                    let mut said = String::new();
                    connected.expect("accepted").read_to_string(&mut said).expect("a line");
                    assert_eq!(said, to.to_string());
                }
            })
        })
        .collect();
    connecting.into_iter().for_each(|thread| thread.join().expect("a client"));
    // One source, many destinations: the kernel spreads them over both queues, and they are one flow.
    let socket = UdpSocket::bind("192.0.2.1:0").expect("a socket");
    socket.set_read_timeout(PATIENCE).expect("a time-out");
    let at = |n: u16| SocketAddr::from(([203, 0, 113, 9], 2000 + n));
    socket.send_to(b"first", at(0)).expect("sending");
    let flow = udp.accept().expect("a flow");
    flow.socket().set_read_timeout(PATIENCE).expect("a time-out");
    let mut buf = [0; 100];
    assert_eq!(flow.recv(&mut buf).expect("what it began with"), (5, at(0)));
    for n in 1..200 {
        socket.send_to(b"next", at(n)).expect("sending");
        assert_eq!(flow.recv(&mut buf).expect("the same flow"), (4, at(n)));
        flow.send(b"back", at(n)).expect("sending");
        assert_eq!(socket.recv_from(&mut buf).expect("an answer"), (4, at(n)));
    }
    let stats = host.stats();
    assert_eq!((stats.gate.flows, stats.gate.requests), (1, 60));
    assert!(stats.misdirected > 20, "only {} came by the other queue", stats.misdirected);
    host.shutdown(Duration::ZERO);
    deciding.join().expect("it ends with the host");
}

/// The daemon's own services, at any address that leads to it.
fn serve_any_address() {
    for any in [true, false] {
        let args: &[&str] = if any { &["--accept-any", "--http", "--echo"] } else { &[] };
        let daemon = Daemon::serve(args);
        ip("route add 203.0.113.0/24 dev tun0");
        let to = "203.0.113.5:80".parse().expect("an address");
        if any {
            assert_eq!(http_at(to, "/").expect("an answer").0, 200);
            // Datagrams too are answered from where they were sent to.
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            socket.set_read_timeout(PATIENCE).expect("a time-out");
            let echo: SocketAddr = "203.0.113.6:7".parse().expect("an address");
            socket.send_to(b"echo", echo).expect("sending");
            assert_eq!(socket.recv_from(&mut [0; 9]).expect("an answer"), (4, echo));
        } else {
            let refused = TcpStream::connect_timeout(&to, Duration::from_millis(1500)).map(drop);
            assert_eq!(refused.expect_err("that is not its address").kind(), std::io::ErrorKind::TimedOut);
        }
        daemon.stop();
    }
}
