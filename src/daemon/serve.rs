//! The daemon: a stack on a TUN, its services, and an orderly end.

use super::control::{self, Control};
use super::error::{Failure, Kind};
use super::mtu::MtuFollower;
use super::output;
use super::packets::CaptureTap;
use super::prefixed::Prefixed;
use super::services::{self, Directories};
use super::settings::{self, Capture, Offer, Settings};
use super::ss::{self, Fragments, Link, Report};
use super::tunnel::{self, Tunnel};
use crate::apps::perf;
use crate::device::Device;
use crate::device::impair::Impaired;
use crate::net::{Host, Interface};
use crate::rng::Rng;
use crate::runtime::{PACKET_TARGET, PacketLog, clock};
use crate::stack::InterfaceInfo;
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
    let _followers = follow_mtu(&up, settings);
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
pub(crate) fn bring_up(settings: &Settings) -> Result<(Up, Signals, Vec<String>), Failure> {
    let capture = settings.pcap.as_ref().map(|to| CaptureTap::open(to, settings.pcap_whole)).transpose()?;
    // Namespaces are entered before any thread starts: the kernel insists.
    let entered = tunnel::enter(&settings.netns)?;
    let mut tunnels = vec![tunnel::open(settings)?];
    for interface in &settings.more {
        tunnels.push(tunnel::open(&settings.of(interface))?);
    }
    let text = Greeting { tunnels: &tunnels, entered, settings }.lines();

    let seed = settings.seed.map(Rng::seed_from);
    let device_seed = seed.unwrap_or_else(|| Rng::seed_from(rand::random()));
    let mut links = tunnels.into_iter().map(|tunnel| {
        let devices: Vec<_> =
            tunnel.devices.into_iter().map(|device| impaired(device, settings, device_seed)).collect();
        let link = UpLink { name: tunnel.name, queues: devices.iter().map(Arc::downgrade).collect() };
        (tunnel.addrs, devices, link)
    });
    let Some((addrs, devices, first)) = links.next() else {
        return Err(Failure::environment("there is no interface"));
    };
    let mut builder = Host::builder().drive(settings.drive).spin(settings.spin).name(&first.name);
    let congestion = settings.cc;
    builder = builder.config(move |config| config.tcp.congestion = congestion);
    for addr in addrs {
        builder = builder.address(addr);
    }
    let mut up = vec![first];
    for (addrs, devices, link) in links {
        let interface = Interface::with_queues(&link.name, devices);
        builder = builder.interface(addrs.into_iter().fold(interface, Interface::address));
        up.push(link);
    }
    let routes = settings.routes.clone();
    let accept_any = settings.accept_any;
    builder = builder.config(move |config| (config.routes, config.any_address) = (routes, accept_any));
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
    let host = builder.start_queues(devices).map_err(Failure::because("the stack"))?;
    Ok((Up { host, links: up }, signals, text))
}

fn impaired(device: Arc<dyn Device>, settings: &Settings, seed: [u8; 32]) -> Arc<dyn Device> {
    match &settings.fault {
        Some(fault) => Arc::new(Impaired::new(device, fault.clone(), fault.clone(), seed, clock::now())),
        None => device,
    }
}

/// A running stack and its links.
#[derive(Clone)]
pub(crate) struct Up {
    /// The stack.
    pub(crate) host: Host,
    links: Vec<UpLink>,
}

/// A link of a running stack.
#[derive(Clone)]
struct UpLink {
    name: String,
    /// Its queues, the stack's to drop when it ends.
    queues: Vec<Weak<dyn Device>>,
}

impl Up {
    /// The first link, as long as the stack holds it.
    pub(crate) fn link(&self) -> Option<Link> {
        self.links().into_iter().next()
    }

    /// All links, as long as the stack holds them.
    fn links(&self) -> Vec<Link> {
        let interfaces = self.host.interfaces();
        let link = |(link, interface): (&UpLink, &InterfaceInfo)| {
            let devices: Vec<_> = link.queues.iter().map(Weak::upgrade).collect::<Option<_>>()?;
            Some(Link::of(&link.name, interface.mtu, &devices))
        };
        self.links.iter().zip(&interfaces).filter_map(link).collect()
    }

    fn report(&self) -> Report {
        let fragments = Some(Fragments::of(&self.host.stats()));
        Report { links: self.links(), fragments, rows: services::rows(&self.host, usize::MAX) }
    }
}

/// Follows the MTU of each link. A descriptor's is left alone: it may be in another namespace.
fn follow_mtu(up: &Up, settings: &Settings) -> Vec<MtuFollower> {
    let first = matches!(settings.link, settings::Link::Tun(_)).then_some(settings.mtu);
    let limits = std::iter::once(first).chain(settings.more.iter().map(|interface| Some(settings.of(interface).mtu)));
    let follow = |(link, limit): (&UpLink, Option<Option<u32>>)| {
        MtuFollower::start(up.host.clone(), link.name.clone(), limit?)
            .inspect_err(|e| log::warn!("changes of the MTU of {} will not be seen: {e}", link.name))
            .ok()
    };
    up.links.iter().zip(limits).filter_map(follow).collect()
}

fn offer_control(up: &Up) -> Option<Control> {
    let own = up.clone();
    let name = up.links.first().map_or("tun0", |link| &link.name);
    match Control::offer(&control::directory(), name, move || own.report()) {
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
    let fd = tun::taken_over(number).map_err(|e| Failure::usage(format!("--ready-fd {number}: {e}")))?;
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

/// The lines that the daemon begins with: one for each link, and four.
struct Greeting<'a> {
    /// At least one.
    tunnels: &'a [Tunnel],
    entered: Option<Entered>,
    settings: &'a Settings,
}

impl Greeting<'_> {
    fn lines(&self) -> Vec<String> {
        let Greeting { tunnels, settings, .. } = self;
        let (addr, name) = (tunnels[0].addr(), &tunnels[0].name);
        let up = |tunnel: &Tunnel| {
            let addrs: Vec<String> = tunnel.addrs.iter().map(|cidr| cidr.addr.to_string()).collect();
            let hosts: Vec<String> = tunnel.hosts.iter().map(Prefixed::to_string).collect();
            let host = if hosts.is_empty() { "set by somebody else".into() } else { hosts.join(", ") };
            format!("{} up: host {host}, stack {}", tunnel.name, addrs.join(", "))
        };
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
        let rest = [
            format!("{}{bare}", offers.join(", ")),
            format!("try: {inside}{}", suggestion(settings.offers[0], addr)),
            "this stack is not the kernel: its ports are in `tunstack ss -a`, not in `ss`".into(),
            format!("capture: {shark}"),
        ];
        tunnels.iter().map(up).chain(rest).collect()
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
