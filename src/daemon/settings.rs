//! Options with their defaults filled in and their contradictions found.

use super::error::Failure;
use super::options::Options;
use super::prefixed::Prefixed;
use crate::apps::http;
use crate::device::impair::Impairment;
use crate::dns;
use crate::net::{Drive, Spin};
use crate::stack::{Congestion, Route};
use crate::wire::ipv6;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The smallest MTU that IPv4 allows a link (RFC 791), and the largest that a packet's length field allows.
const MTU: std::ops::RangeInclusive<u32> = 68..=65_535;

/// The port of name servers.
const DNS_PORT: u16 = 53;

/// As many queues as a host serves.
const QUEUES: std::ops::RangeInclusive<usize> = 1..=64;

/// Where packets come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The TUN interface of this name, made or attached to.
    Tun(String),
    /// An open descriptor of a TUN queue.
    Descriptor(i32),
}

/// Whether the kernel is asked for super-segments and partial checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offload {
    /// All that it grants.
    Auto,
    /// None: each frame is one packet with all its checksums.
    Off,
}

/// The network namespace to be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Netns {
    /// The one we are in.
    Own,
    /// A new one.
    New,
    /// The one with this path.
    At(PathBuf),
}

/// Where a capture goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    /// To the standard output; what else is printed then goes to the standard error.
    Stdout,
    /// To a file.
    File(PathBuf),
}

/// A service and its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// HTTP.
    Http(u16),
    /// Echo, TCP and UDP.
    Echo(u16),
    /// Discard, TCP and UDP.
    Discard(u16),
    /// Characters, TCP.
    Chargen(u16),
    /// The time, TCP and UDP.
    Daytime(u16),
    /// The tutorials' greeter, TCP and UDP.
    Hello(u16),
    /// A server for iperf3, TCP and UDP.
    Perf(u16),
}

impl Offer {
    /// Its name and port.
    pub(crate) fn name(self) -> (&'static str, u16) {
        match self {
            Offer::Http(port) => ("http", port),
            Offer::Echo(port) => ("echo", port),
            Offer::Discard(port) => ("discard", port),
            Offer::Chargen(port) => ("chargen", port),
            Offer::Daytime(port) => ("daytime", port),
            Offer::Hello(port) => ("hello", port),
            Offer::Perf(port) => ("perf", port),
        }
    }
}

/// A TUN interface, as `--tun` has it: `NAME[,host=CIDR][,addr=IP][,mtu=BYTES]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Interface {
    name: String,
    hosts: Vec<Prefixed>,
    addrs: Vec<IpAddr>,
    mtu: Option<u32>,
}

impl Interface {
    fn read(text: &str) -> Result<Interface, String> {
        let mut parts = text.split(',');
        let mut interface = Interface { name: parts.next().unwrap_or_default().into(), ..Interface::default() };
        for part in parts {
            let wrong = || format!("{text}: \"{part}\" is none of host=CIDR, addr=IP and mtu=BYTES");
            match part.split_once('=').ok_or_else(wrong)? {
                ("host", cidr) => interface.hosts.push(cidr.parse()?),
                ("addr", addr) => interface.addrs.push(addr.parse().map_err(|_| wrong())?),
                ("mtu", mtu) => interface.mtu = Some(mtu.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            }
        }
        Ok(interface)
    }

    /// Refuses what cannot be.
    fn check(&self) -> Result<(), Failure> {
        let Interface { hosts, addrs, mtu, .. } = self;
        if let Some(mtu) = mtu.filter(|mtu| !MTU.contains(mtu)) {
            return Err(Failure::usage(format!("--mtu {mtu}: it must be {} to {}", MTU.start(), MTU.end())));
        }
        addrs.iter().try_for_each(|addr| refuse_address(*addr, hosts))?;
        let v6 = hosts.iter().map(|host| host.addr).chain(addrs.iter().copied()).find(IpAddr::is_ipv6);
        if let (Some(mtu), Some(addr)) = (mtu, v6)
            && (*mtu as usize) < ipv6::MIN_MTU
        {
            return Err(Failure::usage(format!("--mtu {mtu}: IPv6 ({addr}) needs {} at least", ipv6::MIN_MTU)));
        }
        Ok(())
    }
}

/// All interfaces that are asked for, the first one first, which the plain options are about, too.
fn interfaces(options: &Options) -> Result<Vec<Interface>, Failure> {
    let wrong = |e: String| Failure::usage(format!("--tun {e}"));
    let mut all = options.tun.iter().map(|text| Interface::read(text)).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if all.is_empty() {
        all.push(Interface { name: "tun0".into(), ..Interface::default() });
    }
    let first = &mut all[0];
    if let Some(text) = &options.host {
        let hosts: Vec<_> = text
            .split(',')
            .map(str::parse::<Prefixed>)
            .collect::<Result<_, _>>()
            .map_err(|e: String| Failure::usage(format!("--host: {e}")))?;
        first.hosts.extend(hosts);
    }
    first.addrs.extend(&options.addr);
    first.mtu = options.mtu.or(first.mtu);
    all.iter().try_for_each(Interface::check)?;
    for (i, one) in all.iter().enumerate() {
        if all[..i].iter().any(|other| other.name == one.name) {
            return Err(Failure::usage(format!("--tun {}: it is named twice", one.name)));
        }
    }
    Ok(all)
}

/// All that `serve` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    /// Where packets come from.
    pub(crate) link: Link,
    /// The kernel's addresses, if any were asked for.
    pub(crate) hosts: Vec<Prefixed>,
    /// The stack's addresses, if any were asked for.
    pub(crate) addrs: Vec<IpAddr>,
    /// Further TUN interfaces.
    pub(crate) more: Vec<Interface>,
    /// Where the stack's packets go.
    pub(crate) routes: Vec<Route>,
    /// Whether packets to all addresses are the stack's.
    pub(crate) accept_any: bool,
    /// The largest packet in bytes, if it was asked for; else what the link has.
    pub(crate) mtu: Option<u32>,
    /// Whether the kernel is asked for offloads.
    pub(crate) offload: Offload,
    /// Packets that may wait in the kernel's queue to us.
    pub(crate) txqueuelen: u32,
    /// Queues of the link.
    pub(crate) queues: usize,
    /// The network namespace to be in.
    pub(crate) netns: Netns,
    /// Who is asked for names, where any are used.
    pub(crate) dns: dns::Config,
    /// The services, at least one.
    pub(crate) offers: Vec<Offer>,
    /// Whether no service was asked for, so that HTTP is the default.
    pub(crate) bare: bool,
    /// The directory that HTTP serves.
    pub(crate) dir: Option<PathBuf>,
    /// The directory that HTTP stores in.
    pub(crate) spool: Option<PathBuf>,
    /// Where packets are written.
    pub(crate) pcap: Option<Capture>,
    /// Whether super-segments are written there in one piece.
    pub(crate) pcap_whole: bool,
    /// How the link is spoilt.
    pub(crate) fault: Option<Impairment>,
    /// Where random choices come from, if they are to be repeatable.
    pub(crate) seed: Option<u64>,
    /// Who drives.
    pub(crate) drive: Drive,
    /// Whether the one who drives looks for packets before it sleeps.
    pub(crate) spin: Spin,
    /// What governs what is sent.
    pub(crate) cc: Congestion,
    /// Memory for all sockets, in bytes, if not the default.
    pub(crate) memory: Option<usize>,
    /// What send buffers may grow to.
    pub(crate) send_buffer_max: Option<usize>,
    /// What receive buffers may grow to.
    pub(crate) recv_buffer_max: Option<usize>,
    /// Where the process id is written.
    pub(crate) pid: Option<PathBuf>,
    /// Who is told that everything is up.
    pub(crate) ready_fd: Option<i32>,
    /// How long connections get at the end.
    pub(crate) grace: Duration,
}

fn route(text: &str) -> Result<Route, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

impl TryFrom<Options> for Settings {
    type Error = Failure;

    fn try_from(options: Options) -> Result<Settings, Failure> {
        let usage = |flag: &'static str| move |e: String| Failure::usage(format!("--{flag}: {e}"));
        let usage_of = |flag: &'static str| move |e: crate::error::Error| usage(flag)(e.to_string());
        let queues = options.queues.unwrap_or(1) as usize;
        if !QUEUES.contains(&queues) {
            return Err(Failure::usage(format!(
                "--queues {queues}: it must be {} to {}",
                QUEUES.start(),
                QUEUES.end()
            )));
        }
        if queues > 1 && options.tun_fd.is_some() {
            return Err(Failure::usage(format!("--queues {queues}: a descriptor (--tun-fd) is one queue")));
        }
        if queues > 1 && options.fault.is_some() {
            return Err(Failure::usage(format!("--queues {queues}: --fault spoils one wire, which is one queue")));
        }
        let mut more = interfaces(&options)?;
        let first = more.remove(0);
        let offload = match options.offload.as_deref() {
            // A bad wire has no offloads: what crosses it are packets, each with its checksums.
            None | Some("auto") if options.fault.is_some() => Offload::Off,
            None | Some("auto") => Offload::Auto,
            Some("off") => Offload::Off,
            Some(other) => return Err(Failure::usage(format!("--offload {other}: it must be auto or off"))),
        };
        if options.tun_fd.is_some() && options.addr.is_empty() {
            return Err(Failure::usage("--tun-fd needs --addr: whoever made the interface knows the addresses"));
        }
        let offers = offers(&options);
        let bare = offers.is_empty();
        let offers = if bare { vec![Offer::Http(http::PORT)] } else { offers };
        if !offers.iter().any(|offer| matches!(offer, Offer::Http(_)))
            && (options.dir.is_some() || options.spool.is_some())
        {
            return Err(Failure::usage("--dir and --spool are for --http"));
        }
        refuse_shared_ports(&offers)?;
        Ok(Settings {
            link: options.tun_fd.map_or(Link::Tun(first.name), Link::Descriptor),
            hosts: first.hosts,
            addrs: first.addrs,
            more,
            routes: options.route.iter().map(|text| route(text)).collect::<Result<_, _>>().map_err(usage("route"))?,
            accept_any: options.accept_any.unwrap_or(false),
            mtu: first.mtu,
            offload,
            txqueuelen: options.txqueuelen.unwrap_or(10_000),
            queues,
            dns: names(&options)?,
            netns: match options.netns.as_deref() {
                None | Some("self") => Netns::Own,
                Some("new") => Netns::New,
                Some(path) => Netns::At(path.into()),
            },
            offers,
            bare,
            dir: options.dir,
            spool: options.spool,
            pcap: options.pcap.map(|path| if path.as_os_str() == "-" { Capture::Stdout } else { Capture::File(path) }),
            pcap_whole: options.pcap_whole.unwrap_or_default(),
            fault: options.fault.map(|spec| impairment(&spec)).transpose().map_err(usage("fault"))?,
            seed: options.seed,
            drive: options.drive.as_deref().map_or(Ok(Drive::default()), drive).map_err(usage("drive"))?,
            spin: options.spin.as_deref().map_or(Ok(Spin::default()), spin).map_err(usage("spin"))?,
            cc: options.cc.as_deref().map_or(Ok(Congestion::default()), str::parse).map_err(usage_of("cc"))?,
            memory: options.memory.as_deref().map(size).transpose().map_err(usage("memory"))?,
            send_buffer_max: options
                .send_buffer_max
                .as_deref()
                .map(size)
                .transpose()
                .map_err(usage("send-buffer-max"))?,
            recv_buffer_max: options
                .recv_buffer_max
                .as_deref()
                .map(size)
                .transpose()
                .map_err(usage("recv-buffer-max"))?,
            pid: options.pid,
            ready_fd: options.ready_fd,
            grace: options.grace.as_deref().map_or(Ok(Duration::from_secs(2)), duration).map_err(usage("grace"))?,
        })
    }
}

impl Settings {
    /// These, of another interface than the first.
    pub(crate) fn of(&self, interface: &Interface) -> Settings {
        let Interface { name, hosts, addrs, mtu } = interface.clone();
        Settings { link: Link::Tun(name), hosts, addrs, mtu, more: Vec::new(), ..self.clone() }
    }
}

/// Refuses what the stack cannot have as an address beside the kernel's `hosts`.
fn refuse_address(addr: IpAddr, hosts: &[Prefixed]) -> Result<(), Failure> {
    if hosts.iter().any(|host| host.addr == addr) {
        return Err(Failure::usage(format!("--addr {addr}: this is the kernel's own address (--host)")));
    }
    let family = || hosts.iter().filter(|host| host.addr.is_ipv4() == addr.is_ipv4());
    let foreign = family().next().is_some() && !family().any(|host| host.holds(addr));
    let mapped = addr.to_canonical() != addr;
    if foreign || addr.is_loopback() || addr.is_multicast() || addr.is_unspecified() || mapped {
        return Err(Failure::usage(format!("--addr {addr}: no host of the network can have this address")));
    }
    Ok(())
}

fn offers(options: &Options) -> Vec<Offer> {
    // A directory to serve or to fill asks for the server too.
    let http = options.http.or((options.dir.is_some() || options.spool.is_some()).then_some(http::PORT));
    let others_asked = [options.echo, options.discard, options.chargen, options.daytime, options.hello, options.perf]
        .iter()
        .any(Option::is_some);
    let http = if others_asked { options.http } else { http };
    [
        http.map(Offer::Http),
        options.echo.map(Offer::Echo),
        options.discard.map(Offer::Discard),
        options.chargen.map(Offer::Chargen),
        options.daytime.map(Offer::Daytime),
        options.hello.map(Offer::Hello),
        options.perf.map(Offer::Perf),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whom to ask for names.
fn names(options: &Options) -> Result<dns::Config, Failure> {
    let usual = dns::Config::default();
    Ok(dns::Config {
        servers: options.dns.iter().map(|text| name_server(text)).collect::<Result<_, _>>()?,
        resolv_conf: options.resolv_conf.clone().unwrap_or(usual.resolv_conf),
        hosts: options.hosts_file.clone().unwrap_or(usual.hosts),
    })
}

fn name_server(text: &str) -> Result<SocketAddr, Failure> {
    let by_port = text.parse().ok().filter(|at: &SocketAddr| at.port() > 0);
    let addr = || text.parse().ok().map(|addr: IpAddr| SocketAddr::new(addr, DNS_PORT));
    by_port.or_else(addr).ok_or_else(|| {
        Failure::usage(format!(
            "--dns {text}: it must be an address such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53"
        ))
    })
}

fn refuse_shared_ports(offers: &[Offer]) -> Result<(), Failure> {
    for (i, one) in offers.iter().enumerate() {
        let (name, port) = one.name();
        if port == 0 {
            return Err(Failure::usage(format!("--{name} 0: a service needs a port that clients know")));
        }
        if let Some((other, _)) = offers[..i].iter().map(|o| o.name()).find(|(_, p)| *p == port) {
            return Err(Failure::usage(format!("--{other} and --{name} both want port {port}")));
        }
    }
    Ok(())
}

/// A link's faults from a text such as `loss=5%,delay=20ms`.
pub(crate) fn impairment(spec: &str) -> Result<Impairment, String> {
    spec.parse().map_err(|e: crate::device::impair::SpecError| e.to_string())
}

/// Who drives, by name.
fn drive(text: &str) -> Result<Drive, String> {
    match text {
        "caller" => Ok(Drive::Caller),
        "caretaker" => Ok(Drive::Caretaker),
        _ => Err(format!("\"{text}\" is neither caller nor caretaker")),
    }
}

/// How long to look for packets before sleeping: `auto`, `off`, or a number of microseconds up to a second.
fn spin(text: &str) -> Result<Spin, String> {
    match text {
        "auto" => Ok(Spin::Auto),
        "off" => Ok(Spin::Off),
        _ => match text.parse() {
            Ok(us @ 1..=1_000_000) => Ok(Spin::For(Duration::from_micros(us))),
            _ => Err(format!("\"{text}\" is neither auto nor off nor a number of microseconds, 1 to 1000000")),
        },
    }
}

/// A number of bytes from a text such as `64MiB`, `256 KiB` or `4096`.
fn size(text: &str) -> Result<usize, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim() {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        _ => None,
    };
    let bytes = shift.and_then(|shift| number.parse::<usize>().ok()?.checked_mul(1 << shift));
    bytes.filter(|&bytes| bytes > 0).ok_or_else(|| format!("\"{text}\" is not a size such as 64MiB, 256KiB or 4096"))
}

/// A time from a text such as `2s`, `20ms` or `1.5s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("\"{text}\" is not a time such as 2s or 20ms")),
    };
    let seconds = number
        .trim()
        .parse::<f64>()
        .map(|n| n * scale)
        .map_err(|_| format!("\"{text}\" is not a time such as 2s or 20ms"))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("\"{text}\" is not a time that can be waited for"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: Options) -> Result<Settings, String> {
        Settings::try_from(options).map_err(|failure| failure.text)
    }

    #[test]
    fn defaults() {
        let bare = settings(Options::default()).unwrap();
        assert_eq!(bare.link, Link::Tun("tun0".into()));
        assert_eq!(bare.queues, 1);
        assert_eq!((bare.mtu, bare.txqueuelen, bare.grace), (None, 10_000, Duration::from_secs(2)));
        assert_eq!(bare.offload, Offload::Auto);
        let faulty = settings(Options { fault: Some("loss=1%".into()), ..Options::default() }).unwrap();
        assert_eq!(faulty.offload, Offload::Off);
        assert_eq!((bare.offers, bare.bare), (vec![Offer::Http(80)], true));
        let echo = settings(Options { echo: Some(7), ..Options::default() }).unwrap();
        assert_eq!((echo.offers, echo.bare), (vec![Offer::Echo(7)], false));
        let dir = settings(Options { dir: Some("/".into()), ..Options::default() }).unwrap();
        assert_eq!((dir.offers, dir.bare), (vec![Offer::Http(80)], false));
    }

    fn tun(names: &[&str]) -> Options {
        Options { tun: names.iter().map(|name| name.to_string()).collect(), ..Options::default() }
    }

    #[test]
    fn several_interfaces_have_settings_of_their_own() {
        let options = Options { mtu: Some(1400), addr: vec![IpAddr::from([192, 0, 2, 2])], ..tun(&["a", "b"]) };
        let two = settings(options).unwrap();
        let second = two.of(&two.more[0]);
        assert_eq!((&two.link, two.mtu, two.addrs.len()), (&Link::Tun("a".into()), Some(1400), 1));
        assert_eq!((&second.link, second.mtu, second.addrs.len()), (&Link::Tun("b".into()), None, 0));
        let one = settings(tun(&["c,host=10.0.0.1/24,host=2001:db8::1/64,addr=10.0.0.7,mtu=1300"])).unwrap();
        assert_eq!((one.hosts.len(), one.addrs, one.mtu), (2, vec![IpAddr::from([10, 0, 0, 7])], Some(1300)));
        assert!(one.more.is_empty());
    }

    #[test]
    fn contradictions_are_named() {
        let addr = |text: &str| text.parse().unwrap();
        for (options, text) in [
            (Options { queues: Some(0), ..Options::default() }, "--queues 0"),
            (Options { queues: Some(65), ..Options::default() }, "--queues 65"),
            (
                Options { queues: Some(2), tun_fd: Some(3), addr: vec![addr("192.0.2.2")], ..Options::default() },
                "--tun-fd",
            ),
            (Options { queues: Some(2), fault: Some("loss=1%".into()), ..Options::default() }, "--fault"),
            (Options { mtu: Some(67), ..Options::default() }, "--mtu 67"),
            (Options { host: Some("192.0.2.1".into()), ..Options::default() }, "such as 192.0.2.1/24"),
            (Options { host: Some("192.0.2.0/24".into()), ..Options::default() }, "not of one host"),
            (Options { host: Some("192.0.2.1/31".into()), ..Options::default() }, "1 to 30 bits"),
            (
                Options { host: Some("192.0.2.1/24".into()), addr: vec![addr("192.0.2.1")], ..Options::default() },
                "kernel's own",
            ),
            (
                Options { host: Some("192.0.2.1/24".into()), addr: vec![addr("198.51.100.2")], ..Options::default() },
                "no host of the network",
            ),
            (Options { route: vec!["10.0.0.0".into()], ..Options::default() }, "--route: 10.0.0.0: "),
            (
                Options {
                    host: Some("192.0.2.1/24, 2001:db8::1/64".into()),
                    addr: vec![addr("192.0.2.2"), addr("2001:db8:9::2")],
                    ..Options::default()
                },
                "2001:db8:9::2: no host of the network",
            ),
            (Options { addr: vec![addr("::ffff:192.0.2.2")], ..Options::default() }, "no host of the network"),
            (Options { addr: vec![addr("2001:db8::2")], mtu: Some(1279), ..Options::default() }, "needs 1280"),
            (Options { tun_fd: Some(3), ..Options::default() }, "--tun-fd needs --addr"),
            (tun(&["a", "b,addr=x"]), "--tun b,addr=x: "),
            (tun(&["a", "b,gw=1"]), "\"gw=1\" is none of"),
            (tun(&["a", "b,host=192.0.2.1"]), "such as 192.0.2.1/24"),
            (tun(&["a", "b,mtu=67"]), "--mtu 67"),
            (tun(&["a", "b,host=192.0.2.1/24,addr=192.0.2.1"]), "kernel's own"),
            (tun(&["a", "b", "a"]), "--tun a: it is named twice"),
            (Options { echo: Some(7), hello: Some(7), ..Options::default() }, "--echo and --hello both want port 7"),
            (Options { http: Some(0), ..Options::default() }, "--http 0"),
            (Options { echo: Some(7), dir: Some("/".into()), ..Options::default() }, "are for --http"),
            (Options { offload: Some("on".into()), ..Options::default() }, "--offload on"),
            (Options { fault: Some("loss=200%".into()), ..Options::default() }, "--fault: "),
            (Options { dns: vec!["ns.example".into()], ..Options::default() }, "--dns ns.example"),
            (Options { dns: vec!["192.0.2.53:0".into()], ..Options::default() }, "--dns 192.0.2.53:0"),
            (Options { grace: Some("soon".into()), ..Options::default() }, "--grace: "),
            (Options { drive: Some("nobody".into()), ..Options::default() }, "--drive: "),
            (Options { cc: Some("vegas".into()), ..Options::default() }, "--cc: "),
            (Options { spin: Some("0".into()), ..Options::default() }, "--spin: "),
            (Options { memory: Some("0".into()), ..Options::default() }, "--memory: "),
            (Options { recv_buffer_max: Some("much".into()), ..Options::default() }, "--recv-buffer-max: "),
        ] {
            let error = settings(options).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn servers_have_a_port_or_the_usual_one() {
        let dns = ["192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:54"].map(String::from).to_vec();
        let parsed = settings(Options { dns, ..Options::default() }).unwrap().dns;
        let servers: Vec<String> = parsed.servers.iter().map(SocketAddr::to_string).collect();
        assert_eq!(servers, ["192.0.2.53:53", "192.0.2.53:5353", "[2001:db8::53]:53", "[2001:db8::53]:54"]);
        let given = Options { resolv_conf: Some("r".into()), hosts_file: Some("h".into()), ..Options::default() };
        let parsed = settings(given).unwrap().dns;
        assert_eq!((parsed.servers.len(), parsed.resolv_conf, parsed.hosts), (0, "r".into(), "h".into()));
    }

    #[test]
    fn who_drives_and_how_long_it_looks() {
        let parsed = |drive: Option<&str>, spin: Option<&str>| {
            let given = |text: Option<&str>| text.map(String::from);
            let parsed = settings(Options { drive: given(drive), spin: given(spin), ..Options::default() }).unwrap();
            (parsed.drive, parsed.spin)
        };
        assert_eq!(parsed(None, None), (Drive::Caller, Spin::Auto));
        assert_eq!(parsed(Some("caretaker"), Some("off")), (Drive::Caretaker, Spin::Off));
        assert_eq!(parsed(Some("caller"), Some("25")), (Drive::Caller, Spin::For(Duration::from_micros(25))));
    }

    #[test]
    fn sizes() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("64 KiB"), Ok(65_536));
        assert_eq!(size("6MiB"), Ok(6 << 20));
        for wrong in ["", "0", "MiB", "-1", "6MB", "1.5GiB", "99999999999999999999", "17179869184GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "1e999s", "5 parsecs", "nans"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
