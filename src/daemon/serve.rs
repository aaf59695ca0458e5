//! The daemon: a stack on a TUN, its services, and an orderly end.

use super::control::{self, Control};
use super::error::{Failure, Kind};
use super::mtu::MtuFollower;
use super::output;
use super::packets::CaptureTap;
use super::prefixed::Prefixed;
use super::services::{self, Directories};
use super::settings::{self, Capture, Offer, Settings};
use super::ss::{self, Link, Report};
use super::tunnel::{self, Tunnel};
use crate::apps::perf;
use crate::device::Device;
use crate::device::impair::Impaired;
use crate::net::Host;
use crate::rng::Rng;
use crate::runtime::{PACKET_TARGET, PacketLog, clock};
use crate::sys::namespace::Entered;
use crate::sys::tun;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Weak, mpsc};
use std::thread;

/// Runs the daemon until a signal or the end of its device. If `quiet`, it begins without a word.
pub(crate) fn run(settings: &Settings, quiet: bool) -> Result<ExitCode, Failure> {
    let directories = Directories::open(settings)?;
    run_with(settings, quiet, |up| services::start(&up.host, &settings.offers, directories))
}

/// As [`run`], with the services that `start` starts.
pub(crate) fn run_with(
    settings: &Settings,
    quiet: bool,
    start: impl FnOnce(&Up) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let (up, signals, text) = bring_up(settings)?;
    start(&up)?;
    // As long as this function, which is as long as the daemon.
    let _follower = follow_mtu(&up, settings);
    let control = offer_control(&up);
    let pid = settings.pid.as_deref().map(PidFile::write).transpose()?;
    let print = if settings.pcap == Some(Capture::Stdout) { output::note } else { output::line };
    for line in text.iter().filter(|_| !quiet) {
        print(line);
    }
    if let Some(number) = settings.ready_fd {
        tell_ready(number)?;
    }
    wait(&up, signals, settings, (control, pid))
}

/// Starts a stack on the link that `settings` ask for. From then on signals wait for whoever takes them from what is
/// given, instead of ending the process. The lines tell what has come up.
pub(crate) fn bring_up(settings: &Settings) -> Result<(Up, Signals, [String; 5]), Failure> {
    let capture = settings.pcap.as_ref().map(|to| CaptureTap::open(to, settings.pcap_whole)).transpose()?;
    // Namespaces are entered before any thread starts: the kernel insists.
    let entered = tunnel::enter(&settings.netns)?;
    let tunnel = tunnel::open(settings)?;
    let name = tunnel.name.clone();
    let text = Greeting { name: &name, tunnel: &tunnel, entered, settings }.lines();
    let addrs = tunnel.addrs.clone();

    let seed = settings.seed.map(Rng::seed_from);
    let mut builder = Host::builder().drive(settings.drive).spin(settings.spin);
    let congestion = settings.cc;
    builder = builder.config(move |config| config.tcp.congestion = congestion);
    for addr in addrs {
        builder = builder.address(addr);
    }
    let routes = settings.routes.clone();
    builder = builder.config(|config| config.routes = routes);
    if let Some(seed) = seed {
        builder = builder.seed(seed);
    }
    let (memory, send, recv) = (settings.memory, settings.send_buffer_max, settings.recv_buffer_max);
    builder = builder.config(move |config| {
        config.memory = memory.unwrap_or(config.memory);
        config.tcp.send_buffer_max = send.unwrap_or(config.tcp.send_buffer_max);
        config.tcp.recv_buffer_max = recv.unwrap_or(config.tcp.recv_buffer_max);
    });
    if let Some(capture) = capture {
        builder = builder.tap(capture);
    }
    if log::log_enabled!(target: PACKET_TARGET, log::Level::Trace) {
        builder = builder.tap(PacketLog);
    }
    let signals = Signals::new([SIGINT, SIGTERM, SIGUSR1]).map_err(Failure::because("signals"))?;
    let seed = seed.unwrap_or_else(|| Rng::seed_from(rand::random()));
    let devices: Vec<_> = tunnel.devices.into_iter().map(|device| impaired(device, settings, seed)).collect();
    let link = devices.iter().map(Arc::downgrade).collect();
    let host = builder.start_queues(devices).map_err(Failure::because("the stack"))?;
    Ok((Up { host, name, link }, signals, text))
}

fn impaired(device: Arc<dyn Device>, settings: &Settings, seed: [u8; 32]) -> Arc<dyn Device> {
    match &settings.fault {
        Some(fault) => Arc::new(Impaired::new(device, fault.clone(), fault.clone(), seed, clock::now())),
        None => device,
    }
}

/// A running stack and its link.
#[derive(Clone)]
pub(crate) struct Up {
    /// The stack.
    pub(crate) host: Host,
    name: String,
    /// Its queues, the stack's to drop when it ends.
    link: Vec<Weak<dyn Device>>,
}

impl Up {
    /// The link, as long as the stack holds it.
    pub(crate) fn link(&self) -> Option<Link> {
        let devices: Vec<_> = self.link.iter().map(Weak::upgrade).collect::<Option<_>>()?;
        Some(Link::of(&self.name, self.host.mtu(), &devices))
    }

    fn report(&self) -> Report {
        Report { link: self.link(), rows: services::rows(&self.host, usize::MAX) }
    }
}

/// A descriptor's link is left alone: it may be in another namespace.
fn follow_mtu(up: &Up, settings: &Settings) -> Option<MtuFollower> {
    if !matches!(settings.link, settings::Link::Tun(_)) {
        return None;
    }
    MtuFollower::start(up.host.clone(), up.name.clone(), settings.mtu)
        .inspect_err(|e| log::warn!("changes of the MTU of {} will not be seen: {e}", up.name))
        .ok()
}

fn offer_control(up: &Up) -> Option<Control> {
    let own = up.clone();
    match Control::offer(&control::directory(), &up.name, move || own.report()) {
        Ok(control) => {
            log::info!("control socket {}", control.path().display());
            Some(control)
        }
        Err(e) => {
            log::warn!(
                "`tunstack ss` will not find this daemon: no control socket in {}: {e}",
                control::directory().display()
            );
            None
        }
    }
}

/// Waits for signals and for the host's end, whichever comes, and puts `files` away.
fn wait(
    up: &Up,
    mut signals: Signals,
    settings: &Settings,
    files: (Option<Control>, Option<PidFile>),
) -> Result<ExitCode, Failure> {
    let (ended, end) = mpsc::channel();
    let watched = up.host.clone();
    let handle = signals.handle();
    thread::Builder::new()
        .name("end".into())
        .spawn(move || {
            let _ = ended.send(watched.wait_closed());
            handle.close();
        })
        .map_err(Failure::because("a thread"))?;

    let mut stopping = None;
    for signal in signals.forever() {
        match (signal, &stopping) {
            (SIGUSR1, _) => output::note(ss::table(&up.report(), true).trim_end()),
            (_, Some(_)) => {
                // The second request to end is the last word; only what others would stumble over is put away.
                drop(files);
                std::process::exit(128 + signal);
            }
            (_, None) => {
                output::note(&format!(
                    "ending: connections have {:?} to finish; once more to end at once",
                    settings.grace
                ));
                let (host, grace) = (up.host.clone(), settings.grace);
                let stop = thread::Builder::new().name("shutdown".into()).spawn(move || host.shutdown(grace));
                stopping = Some(stop.map_err(Failure::because("a thread"))?);
            }
        }
    }
    if let Some(stop) = stopping {
        let _ = stop.join();
    }
    match end.recv() {
        Ok(Ok(())) => Ok(ExitCode::SUCCESS),
        Ok(Err(e)) => Err(Failure::new(Kind::Failure, format!("the stack has ended: {e}"))),
        Err(mpsc::RecvError) => Err(Failure::new(Kind::Failure, "the stack has ended in an unknown way")),
    }
}

/// Tells whoever started us that everything is up, as slirp4netns does.
fn tell_ready(number: i32) -> Result<(), Failure> {
    let fd = tun::handed_in(number).map_err(|e| Failure::usage(format!("--ready-fd {number}: {e}")))?;
    File::from(fd).write_all(b"1").map_err(Failure::because(format!("--ready-fd {number}")))
}

/// A file with our process id, for as long as we run.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> Result<PidFile, Failure> {
        fs::write(path, format!("{}\n", std::process::id()))
            .map_err(|e: io::Error| Failure::environment(format!("--pid {}: {e}", path.display())))?;
        Ok(PidFile(path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The five lines that the daemon begins with.
struct Greeting<'a> {
    name: &'a str,
    tunnel: &'a Tunnel,
    entered: Option<Entered>,
    settings: &'a Settings,
}

impl Greeting<'_> {
    fn lines(&self) -> [String; 5] {
        let Greeting { name, settings, .. } = self;
        let addr = self.tunnel.addr();
        let addrs: Vec<String> = self.tunnel.addrs.iter().map(|cidr| cidr.addr.to_string()).collect();
        let hosts: Vec<String> = self.tunnel.hosts.iter().map(Prefixed::to_string).collect();
        let host = if hosts.is_empty() { "set by somebody else".into() } else { hosts.join(", ") };
        let offers: Vec<String> = settings
            .offers
            .iter()
            .map(|offer| {
                let (service, port) = offer.name();
                format!("{service} on {}", SocketAddr::new(addr, port))
            })
            .collect();
        let bare =
            if settings.bare { " (no service was named: a page about this stack; see serve --help)" } else { "" };
        let inside = match self.entered {
            None => String::new(),
            Some(Entered::Network) => format!("nsenter -n -t {} ", std::process::id()),
            Some(Entered::UserAndNetwork) => format!("nsenter --preserve-credentials -U -n -t {} ", std::process::id()),
        };
        let shark = match self.entered {
            None => format!("wireshark -k -i {name}"),
            Some(_) => format!("{inside}tcpdump -i {name}, or serve --pcap FILE"),
        };
        [
            format!("{name} up: host {host}, stack {}", addrs.join(", ")),
            format!("{}{bare}", offers.join(", ")),
            format!("try: {inside}{}", suggestion(settings.offers[0], addr)),
            "this stack is not the kernel: its ports are in `tunstack ss -a`, not in `ss`".into(),
            format!("capture: {shark}"),
        ]
    }
}

fn suggestion(offer: Offer, addr: IpAddr) -> String {
    match offer {
        Offer::Http(80) if addr.is_ipv4() => format!("curl http://{addr}/"),
        Offer::Http(port) if addr.is_ipv4() => format!("curl http://{addr}:{port}/"),
        // Brackets are not for the shell, nor for curl to make a list of.
        Offer::Http(80) => format!("curl -g 'http://[{addr}]/'"),
        Offer::Http(port) => format!("curl -g 'http://[{addr}]:{port}/'"),
        Offer::Chargen(port) => format!("nc {addr} {port} | head"),
        Offer::Perf(perf::PORT) => format!("iperf3 -c {addr}"),
        Offer::Perf(port) => format!("iperf3 -c {addr} -p {port}"),
        other => format!("nc {addr} {}", other.name().1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_name_the_port_where_it_matters() {
        let (v4, v6) = (IpAddr::from([192, 0, 2, 2]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]));
        assert_eq!(suggestion(Offer::Http(80), v4), "curl http://192.0.2.2/");
        assert_eq!(suggestion(Offer::Http(8080), v4), "curl http://192.0.2.2:8080/");
        assert_eq!(suggestion(Offer::Http(8080), v6), "curl -g 'http://[2001:db8::2]:8080/'");
        assert_eq!(suggestion(Offer::Echo(7), v4), "nc 192.0.2.2 7");
        assert_eq!(suggestion(Offer::Echo(7), v6), "nc 2001:db8::2 7");
    }
}
