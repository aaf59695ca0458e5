//! The demo: a page and some random bytes, fetched by the kernel's TCP from ours, compared, and told as a ladder.

mod fetch;
mod ladder;
mod peer;
mod recorder;
mod report;
#[cfg(test)]
mod testing;

use super::error::{Failure, Kind};
use super::netif::DOCUMENTATION;
use super::options::Options;
use super::output;
use super::packets::CaptureTap;
use super::services;
use super::settings::{self, Capture, Netns, Settings};
use super::tunnel::{self, Tunnel};
use crate::apps::http::{Http, Page, Site};
use crate::device::Device;
use crate::device::impair::{Impaired, Impairment};
use crate::device::mem;
use crate::net::Host;
use crate::rng::Rng;
use crate::runtime::{PACKET_TARGET, PacketLog, clock};
use crate::stack::{Cidr, TcpInfo};
use crate::sys::namespace::{Entered, Identity};
use crate::tcp::state::State;
use clap::Args;
use recorder::Recorder;
use report::Report;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Random bytes that are fetched after the page.
const SIZE: usize = 256 * 1024;

/// The port of the demo's server.
const PORT: u16 = 80;

/// Frames that the link in memory holds each way.
const LINK_FRAMES: usize = 1024;

/// How long connections get at the end.
const GRACE: Duration = Duration::from_secs(1);

/// How often the end of all connections is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// The kernel's address over IPv6, in the documentation prefix (RFC 3849).
const KERNEL_V6: Cidr = Cidr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 64);

/// What `demo` can be told.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Lose this share of the packets, each way, such as 5%
    #[arg(long, value_name = "P")]
    loss: Option<String>,
    /// Let packets take this long, each way, such as 20ms
    #[arg(long, value_name = "TIME")]
    delay: Option<String>,
    /// Make the link bad in other ways, such as reorder=5%,duplicate=1% (see serve --fault)
    #[arg(long, value_name = "SPEC")]
    fault: Option<String>,
    /// Over IPv6
    #[arg(short = '6', long)]
    ipv6: bool,
    /// No kernel: two of our stacks on a link in memory
    #[arg(long = "virtual", conflicts_with = "command")]
    without_kernel: bool,
    /// Where demo.pcapng is written [default: here, or else the directory for temporary files]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Make the bytes and the link's faults from this number
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Give up after this time [default: 60s; for CMD none]
    #[arg(long, value_name = "TIME")]
    time_limit: Option<String>,
    /// Run this beside the stack, instead of fetching; its exit code becomes ours
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// What the arguments come to.
struct Plan {
    v6: bool,
    fault: Impairment,
    seed: u64,
    limit: Option<Duration>,
    pcap: PathBuf,
}

impl Plan {
    fn new(args: &DemoArgs) -> Result<Plan, Failure> {
        let parts = [
            args.loss.as_ref().map(|loss| format!("loss={loss}")),
            args.delay.as_ref().map(|delay| format!("delay={delay}")),
            args.fault.clone(),
        ];
        let spec: Vec<String> = parts.into_iter().flatten().collect();
        let fault = settings::impairment(&spec.join(",")).map_err(Failure::usage)?;
        let limit = args.time_limit.as_deref().map(settings::duration).transpose();
        let limit = limit.map_err(|e| Failure::usage(format!("--time-limit: {e}")))?;
        let default = args.command.is_empty().then_some(Duration::from_secs(60));
        Ok(Plan {
            v6: args.ipv6,
            fault,
            seed: args.seed,
            limit: limit.or(default),
            pcap: place(args.out.as_deref(), Path::new(""), &std::env::temp_dir())?,
        })
    }
}

/// The file for the capture: in `out`, or else here, or else among the temporary files.
fn place(out: Option<&Path>, here: &Path, temporary: &Path) -> Result<PathBuf, Failure> {
    let name = "demo.pcapng";
    if let Some(out) = out {
        let path = out.join(name);
        return match File::create(&path) {
            Ok(_) => Ok(path),
            Err(e) => Err(Failure::environment(format!("--out: {}: {e}", path.display()))),
        };
    }
    let private = temporary.join(format!("tunstack-{}-{name}", std::process::id()));
    let here = here.join(name);
    if File::create(&here).is_ok() {
        return Ok(here);
    }
    // Everybody may write there: what is there already, or leads elsewhere, is somebody else's.
    File::create_new(&private).map(|_| private).map_err(|_| {
        Failure::environment("demo.pcapng can be written neither here nor among the temporary files; choose --out DIR")
    })
}

/// Who is on the other side of the link.
enum Client {
    /// The kernel.
    Kernel,
    /// Another stack of ours.
    Ours(Host),
}

/// A server on our stack, and a client on the other side of its link.
struct Stage {
    server: Host,
    client: Client,
    addr: SocketAddr,
    recorder: Recorder,
    pages: Vec<(&'static str, Arc<[u8]>)>,
}

/// Runs the demo.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::new(args)?;
    let link = if args.without_kernel { Err("as asked".to_owned()) } else { private_link(args) };
    let stage = match link {
        Ok((tunnel, entered)) => {
            let rights = match entered {
                Entered::Network => "a network namespace",
                Entered::UserAndNetwork => "a user and network namespace",
            };
            let (name, addr) = (tunnel.name.clone(), tunnel.addr());
            output::line(&format!(
                "in {rights} of its own: the kernel's TCP on one side of {name}, tunstack ({addr}) on the other"
            ));
            on_tunnel(tunnel, &plan)?
        }
        Err(why) if !args.command.is_empty() => {
            return Err(Failure::environment(format!(
                "CMD needs the kernel's side of a TUN, which is not to be had: {why}"
            )));
        }
        Err(why) => {
            // The first line says why; the rest is for whoever needs a TUN.
            let why = why.lines().next().unwrap_or_default();
            output::line(&format!(
                "virtual ({why}): two of our own stacks on a link in memory; the kernel's TCP takes no part"
            ));
            in_memory(&plan)?
        }
    };
    if args.command.is_empty() { fetch_and_tell(&stage, &plan) } else { run_command(&stage, &plan, &args.command) }
}

/// A TUN in a namespace of its own, or why there is none.
fn private_link(args: &DemoArgs) -> Result<(Tunnel, Entered), String> {
    // A command may want to look at the network as root does; our own fetching needs no rights.
    let identity = if args.command.is_empty() { Identity::Same } else { Identity::Root };
    let entered = tunnel::enter_private(identity).map_err(|failure| failure.text)?;
    // Packets as a wire has them are what is to be seen.
    let host = args.ipv6.then(|| format!("{}/{}", KERNEL_V6.addr, KERNEL_V6.prefix));
    let options = Options { netns: Some("new".into()), offload: Some("off".into()), host, ..Options::default() };
    let settings = Settings::try_from(options).map_err(|f| f.text)?;
    debug_assert_eq!(settings.netns, Netns::New);
    tunnel::open(&settings).map(|tunnel| (tunnel, entered)).map_err(|failure| failure.text)
}

fn on_tunnel(tunnel: Tunnel, plan: &Plan) -> Result<Stage, Failure> {
    let Tunnel { mut devices, addrs, .. } = tunnel;
    // It asked for one queue.
    set_up(devices.swap_remove(0), addrs[0], Client::Kernel, plan)
}

fn in_memory(plan: &Plan) -> Result<Stage, Failure> {
    let (near, far) = mem::pair(1500, LINK_FRAMES).map_err(Failure::because("a link in memory"))?;
    let kernel_s = if plan.v6 { KERNEL_V6 } else { DOCUMENTATION[0] };
    let client = Host::builder().address(kernel_s).start(far).map_err(Failure::because("the client's stack"))?;
    let addr = if plan.v6 { Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2).into() } else { [192, 0, 2, 2].into() };
    let addr = Cidr::new(addr, kernel_s.prefix);
    set_up(near, addr, Client::Ours(client), plan)
}

/// A server at `addr` on `device`, behind a link as bad as the plan says and watched at both ends.
fn set_up(device: impl Device + 'static, addr: Cidr, client: Client, plan: &Plan) -> Result<Stage, Failure> {
    let recorder = Recorder::default();
    let seed = Rng::seed_from(plan.seed);
    let device = Impaired::new(recorder.watch(device), plan.fault.clone(), plan.fault.clone(), seed, clock::now());
    let capture = CaptureTap::open(&Capture::File(plan.pcap.clone()), false)?;
    let mut builder = Host::builder().address(addr).tap(recorder.clone()).tap(capture);
    if log::log_enabled!(target: PACKET_TARGET, log::Level::Trace) {
        builder = builder.tap(PacketLog);
    }
    let server = builder.start(device).map_err(Failure::because("the stack"))?;

    let shown = server.clone();
    let mut site = Site::about(move || serde_json::to_vec(&services::rows(&shown, 100)).unwrap_or_default());
    let mut rng = Rng::new(seed);
    let random: Arc<[u8]> = (0..SIZE / 8).flat_map(|_| rng.u64().to_ne_bytes()).collect();
    site.pages.insert("/random".into(), ("application/octet-stream", Page::Fixed(random.clone())));
    let about = match site.pages.get("/") {
        Some((_, Page::Fixed(about))) => about.clone(),
        _ => Arc::default(),
    };
    services::tcp(&server, "http", PORT, Http::new(site))?;
    Ok(Stage {
        server,
        client,
        addr: (addr.addr, PORT).into(),
        recorder,
        pages: vec![("/", about), ("/random", random)],
    })
}

/// The server's URL without a path; its port is HTTP's.
fn url(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V4(addr) => format!("http://{}", addr.ip()),
        SocketAddr::V6(addr) => format!("http://[{}]", addr.ip()),
    }
}

/// What a fetch came to.
struct Fetched {
    time: Duration,
    bytes: usize,
    right: bool,
    /// The server's numbers for the connection, as it was about to end.
    info: Option<TcpInfo>,
}

fn fetch_and_tell(stage: &Stage, plan: &Plan) -> Result<ExitCode, Failure> {
    let limit = plan.limit.unwrap_or(Duration::MAX);
    output::line(&format!("fetching a page and {SIZE} random bytes from {}/; time limit {limit:?}", url(stage.addr)));
    let begun = Instant::now();
    let left = || limit.saturating_sub(begun.elapsed());
    // Whatever goes wrong, here or in what is awaited below, this ends: the limit, the way out, and some air.
    let last_word = limit.saturating_add(GRACE * 5);
    spawn("watchdog", move || {
        thread::sleep(last_word);
        output::note("tunstack: the demo hangs; this should not happen");
        std::process::exit(Kind::Assertion as i32);
    })?;

    let outcome = within(left(), fetch_by(stage, limit));
    let curl = match stage.client {
        Client::Kernel => find_program("curl").map(|curl| fetch_by_curl(&curl, stage, left())),
        Client::Ours(_) => None,
    };
    wait_for_ends(&stage.server, left().min(GRACE));
    stage.server.shutdown(GRACE);
    if let Client::Ours(client) = &stage.client {
        client.shutdown(Duration::ZERO);
    }

    let client = match stage.client {
        Client::Kernel => "kernel",
        Client::Ours(_) => "second stack",
    };
    let report = Report { recorder: &stage.recorder, stats: stage.server.stats(), client, pcap: &plan.pcap };
    report.print(outcome.as_ref().ok());
    let mut right = verdict("the two bodies", &outcome);
    if let Some(curl) = curl {
        right &= verdict("curl's copy of the bytes", &curl);
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::from(Kind::Assertion as u8) })
}

fn verdict(what: &str, outcome: &io::Result<Fetched>) -> bool {
    match outcome {
        Ok(fetched) if fetched.right => {
            output::line(&format!("{what}: {} bytes, every one as it was sent", fetched.bytes));
            true
        }
        Ok(fetched) => {
            output::line(&format!("{what}: {} bytes, and they DIFFER from what was sent", fetched.bytes));
            false
        }
        Err(e) => {
            output::line(&format!("{what}: NOT FETCHED: {e}"));
            false
        }
    }
}

/// Runs `work` on a thread and waits for it no longer than `limit`.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let (done, wait) = mpsc::channel();
    thread::Builder::new().name("client".into()).spawn(move || done.send(work()))?;
    wait.recv_timeout(limit)
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the time limit has passed")))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    thread::Builder::new().name(name.into()).spawn(work).map(drop).map_err(Failure::because("a thread"))
}

/// The fetch by the stage's client.
fn fetch_by(stage: &Stage, limit: Duration) -> impl FnOnce() -> io::Result<Fetched> + Send + 'static {
    let (addr, server, pages) = (stage.addr, stage.server.clone(), stage.pages.clone());
    let ours = match &stage.client {
        Client::Kernel => None,
        Client::Ours(host) => Some(host.clone()),
    };
    move || {
        let begun = Instant::now();
        let paths: Vec<&str> = pages.iter().map(|(path, _)| *path).collect();
        let (bodies, end) = match ours {
            None => {
                let mut stream = std::net::TcpStream::connect_timeout(&addr, limit)?;
                (fetch::get(&mut stream, &paths)?, info_of(&server, stream.local_addr()?))
            }
            Some(host) => {
                let mut stream = host.connect_timeout(&addr, limit)?;
                (fetch::get(&mut stream, &paths)?, info_of(&server, stream.local_addr()?))
            }
        };
        Ok(Fetched {
            time: begun.elapsed(),
            bytes: bodies.iter().map(Vec::len).sum(),
            right: bodies.iter().map(Vec::as_slice).eq(pages.iter().map(|(_, page)| &page[..])),
            info: end,
        })
    }
}

/// What the server knows of its connection with `client`.
fn info_of(server: &Host, client: SocketAddr) -> Option<TcpInfo> {
    server.snapshot().into_iter().find(|info| info.remote == client && info.srtt.is_some())
}

fn fetch_by_curl(curl: &Path, stage: &Stage, limit: Duration) -> io::Result<Fetched> {
    let Some((path, expected)) = stage.pages.last() else { return Err(io::ErrorKind::NotFound.into()) };
    let begun = Instant::now();
    let seconds = limit.as_secs().clamp(1, 3600).to_string();
    let output = Command::new(curl)
        .args(["-g", "-sS", "--noproxy", "*", "--max-time", &seconds])
        .arg(format!("{}{path}", url(stage.addr)))
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("curl: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    Ok(Fetched {
        time: begun.elapsed(),
        bytes: output.stdout.len(),
        right: output.stdout[..] == expected[..],
        info: None,
    })
}

/// The file of `program`, if it is in PATH.
fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Waits until no connection is left but in TIME-WAIT, so that the ladder is whole.
fn wait_for_ends(server: &Host, limit: Duration) {
    let begun = Instant::now();
    let over = |info: &TcpInfo| matches!(info.state, State::Listen | State::TimeWait | State::Closed);
    while begun.elapsed() < limit && !server.snapshot().iter().all(over) {
        thread::sleep(LOOK);
    }
}

fn run_command(stage: &Stage, plan: &Plan, command: &[OsString]) -> Result<ExitCode, Failure> {
    let url = format!("{}/", url(stage.addr));
    output::line(&format!("{url} is tunstack (also {url}random, {SIZE} bytes); running {}", command[0].display()));
    if let Some(limit) = plan.limit {
        output::line(&format!("time limit {limit:?}"));
        spawn("watchdog", move || {
            thread::sleep(limit);
            output::note("tunstack: the time limit has passed");
            std::process::exit(Kind::Failure as i32);
        })?;
    }
    let status = Command::new(&command[0])
        .args(&command[1..])
        .env("TUNSTACK_URL", &url)
        .status()
        .map_err(|e| Failure::environment(format!("{}: {e}", command[0].display())))?;
    wait_for_ends(&stage.server, GRACE);
    stage.server.shutdown(GRACE);
    Report { recorder: &stage.recorder, stats: stage.server.stats(), client: "kernel", pcap: &plan.pcap }.print(None);
    Ok(exit_code(status))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(Kind::Failure as i32);
    ExitCode::from(u8::try_from(code).unwrap_or(Kind::Failure as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_among_the_temporary_files_leads_nowhere() {
        let (temporary, nowhere) = (tempfile::TempDir::new().unwrap(), Path::new("/nonexistent"));
        let path = place(None, nowhere, temporary.path()).unwrap();
        assert!(path.starts_with(temporary.path()) && path.is_file());
        let victim = temporary.path().join("victim");
        std::fs::write(&victim, "kept").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(place(None, nowhere, temporary.path()).is_err());
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "kept");
    }
}
