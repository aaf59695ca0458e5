//! What the tests stand on: a namespace for each, time limits, the daemon, and tools.

use libtest_mimic::{Completion, Failed};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tunstack::daemon::netif::Netlink;
use tunstack::net::ToCidr;

/// The first argument of this program when it is to run one test in the namespace that it is in.
pub const INSIDE: &str = "--inside";

/// The stack's address, by default.
pub const STACK: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The test that only looks whether there could be others.
const PROBE: &str = "probe";

/// How many times longer than on a machine that does nothing else whatever is limited here may take.
const BUSY: u64 = 3;

/// One test.
#[derive(Clone)]
pub struct Test {
    pub name: &'static str,
    /// The programs that it needs; `example X` is one of `cargo build --examples`.
    pub tools: &'static [&'static str],
    /// How long it may take on a machine that does nothing else, in seconds.
    pub limit: u64,
    pub body: fn(),
}

/// An address of the stack.
pub fn at(port: u16) -> SocketAddr {
    SocketAddrV4::new(STACK, port).into()
}

// ---- outside: one process with a namespace of its own for each test ----

/// Runs a test in a process and namespace of its own, or says why it cannot.
pub fn run(test: &'static Test) -> Result<Completion, Failed> {
    let missing: Vec<&str> = test.tools.iter().copied().filter(|tool| !installed(tool)).collect();
    if !missing.is_empty() {
        return skip("TUNSTACK_REQUIRE_TOOLS", format!("not installed: {}", missing.join(", ")));
    }
    static NAMESPACE: OnceLock<Result<&'static [&'static str], String>> = OnceLock::new();
    let kind = match NAMESPACE.get_or_init(probe) {
        Ok(kind) => kind,
        Err(reason) => return skip("TUNSTACK_REQUIRE_TUN", reason.clone()),
    };
    match in_namespace(kind, test.name, Duration::from_secs(BUSY * test.limit)) {
        Ok(()) => Ok(Completion::Completed),
        Err(said) => Err(said.into()),
    }
}

fn skip(switch: &str, reason: String) -> Result<Completion, Failed> {
    match std::env::var(switch).as_deref() {
        Ok("1") => Err(format!("{switch} is set, but this cannot run here: {reason}").into()),
        _ => Ok(Completion::ignored_with(reason)),
    }
}

/// An example as it was built with these tests, beside their directory.
pub fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this program's path");
    tests.ancestors().nth(2).expect("the profile's directory").join("examples").join(name)
}

fn installed(tool: &str) -> bool {
    if let Some(name) = tool.strip_prefix("example ") {
        return example(name).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // `ip` lives where ordinary users do not look.
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(tool).is_file())
}

/// The options of unshare(1) that work here: as root a network namespace, else a user and a network namespace.
fn probe() -> Result<&'static [&'static str], String> {
    let kinds: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let mut reasons = Vec::new();
    for kind in kinds {
        match in_namespace(kind, PROBE, Duration::from_secs(20)) {
            Ok(()) => return Ok(kind),
            Err(reason) => reasons.push(format!("unshare {}: {}", kind.join(" "), reason.lines().next().unwrap_or(""))),
        }
    }
    Err(reasons.join("; "))
}

/// Runs this program again in a new namespace, and gives all it said if it fails.
fn in_namespace(kind: &[&str], name: &str, limit: Duration) -> Result<(), String> {
    let said = tempfile::tempfile().map_err(|e| e.to_string())?;
    let (out, err) = (said.try_clone().map_err(|e| e.to_string())?, said.try_clone().map_err(|e| e.to_string())?);
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut child = Command::new("unshare")
        .args(kind)
        .arg("--")
        .arg(this)
        .args([INSIDE, name])
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        // A group of its own, so that whatever it started can be ended with it.
        .process_group(0)
        .spawn()
        .map_err(|e| format!("unshare: {e}"))?;
    let status = wait(&mut child, limit);
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        // ESRCH: nothing is left of it, as it should be.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
    let ended = match status {
        Some(status) if status.success() => return Ok(()),
        Some(status) => status.to_string(),
        None => format!("not done after {limit:?}"),
    };
    Err(format!("{}\n({ended})", tail(said)))
}

/// The last part of what was written to `file`.
fn tail(mut file: File) -> String {
    use std::io::Seek;
    let mut bytes = Vec::new();
    let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    match read {
        Ok(_) => text.chars().skip(text.chars().count().saturating_sub(20_000)).collect(),
        Err(e) => format!("(its output is lost: {e})"),
    }
}

/// Waits for a child, but not for ever.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("waiting for a child of ours") {
            return Some(status);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

// ---- inside the namespace ----

/// Runs one test, here and now.
pub fn inside(test: &Test) {
    if let Some(ip) = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip"].into_iter().find(|p| Path::new(p).exists()) {
        // Only some tools want loopback, and those come with `ip` where they are tested.
        let _ = Command::new(ip).args(["link", "set", "lo", "up"]).status();
    }
    (test.body)();
}

/// The namespace itself was made; now the TUN's node must be open to us.
pub const PROBES: &[Test] = &[Test {
    name: PROBE,
    tools: &[],
    limit: 20,
    body: || {
        if let Err(e) = File::options().read(true).write(true).open("/dev/net/tun") {
            eprintln!("/dev/net/tun: {e}");
            std::process::exit(1);
        }
    },
}];

/// `program` under timeout(1), with a limit in seconds for a machine that does nothing else.
fn limited(limit: u64, program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.args(["-k", "1", &(BUSY * limit).to_string(), program]);
    command
}

/// Runs a tool to its end, with such a limit.
pub fn tool(limit: u64, program: &str, args: &[&str]) -> Output {
    let mut command = limited(limit, program);
    command.args(args).stdin(Stdio::null());
    command.output().unwrap_or_else(|e| panic!("{program}: {e}"))
}

/// What a tool wrote, if it succeeded.
#[track_caller]
pub fn succeed(limit: u64, program: &str, args: &[&str]) -> String {
    let output = tool(limit, program, args);
    assert!(
        output.status.success(),
        "{program} {}: {}\n{}{}",
        args.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Gives a device of this namespace an IPv6 address and sets it up, and waits until the kernel takes what is for it.
#[track_caller]
pub fn ipv6_up(device: &str, address: &str) {
    succeed(5, "ip", &["-6", "address", "add", address, "dev", device, "nodad"]);
    succeed(5, "ip", &["link", "set", "dev", device, "up"]);
    let address = address.to_cidr().expect("an address and a prefix");
    Netlink::open().and_then(|mut kernel| kernel.settle(device, &[address])).expect("an address that packets reach");
}

/// Runs a tool with something on its standard input.
pub fn succeed_with_input(limit: u64, program: &str, args: &[&str], input: &[u8]) -> String {
    let mut file = tempfile::tempfile().expect("a scratch file");
    file.write_all(input).expect("writing to it");
    std::io::Seek::rewind(&mut file).expect("rewinding it");
    let output = limited(limit, program).args(args).stdin(file).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A running `tunstack serve`.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    dir: TempDir,
}

impl Daemon {
    /// Starts it and waits until it serves.
    #[track_caller]
    pub fn serve(args: &[&str]) -> Daemon {
        Daemon::start("serve", args)
    }

    /// As [`serve`](Daemon::serve), of another command that goes on until it is ended.
    #[track_caller]
    pub fn start(command: &str, args: &[&str]) -> Daemon {
        let (mut daemon, mut ready) = Daemon::spawn(command, args);
        let mut first = [0; 1];
        match ready.read(&mut first) {
            Ok(1) => daemon,
            _ => {
                let status = wait(&mut daemon.child, Duration::from_secs(5 * BUSY));
                panic!("tunstack {command} {} did not come up: {status:?}\n{}", args.join(" "), daemon.said());
            }
        }
    }

    /// Starts it where it must fail, and gives its exit status and what it said.
    #[track_caller]
    pub fn fails(args: &[&str]) -> (i32, String) {
        let (mut daemon, _ready) = Daemon::spawn("serve", args);
        let status = wait(&mut daemon.child, Duration::from_secs(10 * BUSY));
        let status = status.unwrap_or_else(|| panic!("it came up, or hangs:\n{}", daemon.said()));
        (status.code().unwrap_or(-1), daemon.said())
    }

    fn spawn(command: &str, args: &[&str]) -> (Daemon, File) {
        let dir = TempDir::new().expect("a scratch directory");
        let log = dir.path().join("log");
        let (ready, given) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        fcntl_setfd(&given, FdFlags::empty()).expect("keeping the pipe across exec");
        let said = File::create(&log).expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_tunstack"))
            .arg(command)
            .args(["--ready-fd", &given.as_raw_fd().to_string()])
            .args(args)
            // Nothing of this machine's settings, and a control socket of its own.
            .env("XDG_RUNTIME_DIR", dir.path())
            .env("XDG_CONFIG_HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("a second handle"))
            .stderr(said)
            .spawn()
            .expect("starting tunstack");
        (Daemon { child, log, dir }, File::from(ready))
    }

    /// Everything it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What `tunstack ss` says of it.
    #[track_caller]
    pub fn ss(&self, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tunstack"));
        let output = command.arg("ss").args(args).env("XDG_RUNTIME_DIR", self.dir.path()).output().expect("running it");
        assert!(output.status.success(), "ss: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("its process id");
        kill_process(pid, signal).expect("sending it a signal");
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn ends_within(&mut self, limit: Duration) -> i32 {
        let status = wait(&mut self.child, limit);
        let status = status.unwrap_or_else(|| panic!("it goes on after {limit:?}:\n{}", self.said()));
        status.code().unwrap_or(-1)
    }

    /// Asks it to end, and it must do so in good order.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ends_within(Duration::from_secs(20));
        assert_eq!(status, 0, "it ended badly:\n{}", self.said());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the daemon said ----\n{}", self.said());
        }
    }
}

// ---- the kernel's TCP as a client ----

/// A connection of the kernel's to the stack, with time-outs.
#[track_caller]
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect_timeout(&at(port), Duration::from_secs(20)).expect("connecting");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    stream.set_write_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    stream
}

/// One HTTP/1.1 exchange on a connection of its own: status and body.
pub fn http_get(path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    http_at(at(80), path)
}

/// As [`http_get`], of a server at `to`.
pub fn http_at(to: SocketAddr, path: &str) -> std::io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(20))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: stack\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let bad = || std::io::Error::from(ErrorKind::InvalidData);
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(bad)?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| bad())?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(bad)?;
    Ok((status, answer.split_off(end + 4)))
}

/// Bytes that look like nothing, the same for the same seed (xorshift64*).
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        out.extend_from_slice(&x.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    out.truncate(len);
    out
}

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}
