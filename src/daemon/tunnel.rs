//! The link to the kernel: a namespace to be in, a TUN in it, and addresses on both of its ends. And where one of them
//! cannot be had: why, and the way out.

use super::error::Failure;
use super::netif::{self, DOCUMENTATION, NetifError, Netlink, Outcome, Route};
use super::prefixed::Prefixed;
use super::settings::{Link, Netns, Offload, Settings};
use crate::device::Device;
use crate::device::tun::Tun;
use crate::device::tuntap::TunTap;
use crate::stack::Cidr;
use crate::sys::namespace::{self, Entered, Identity, NamespaceError};
use crate::sys::tun::{self, TunError, flags};
use crate::wire::{Offloads, ipv6};
use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

/// Processes that are looked at to find who holds an interface.
const MAX_PROCESSES: usize = 100_000;

/// The MTU of a link that nobody has given one.
const MTU: u32 = 1500;

/// A link that is up.
pub(crate) struct Tunnel {
    /// Our end of it: its queues, at least one.
    pub(crate) devices: Vec<Arc<dyn Device>>,
    /// Its name.
    pub(crate) name: String,
    /// The kernel's addresses, as far as they are known.
    pub(crate) hosts: Vec<Prefixed>,
    /// The stack's addresses.
    pub(crate) addrs: Vec<Cidr>,
}

impl Tunnel {
    /// The stack's first address.
    pub(crate) fn addr(&self) -> IpAddr {
        self.addrs[0].addr
    }
}

/// Enters the namespace that `netns` names. Call it before any thread starts.
pub(crate) fn enter(netns: &Netns) -> Result<Option<Entered>, Failure> {
    match netns {
        Netns::Own => Ok(None),
        Netns::At(path) => namespace::join(path).map(|()| None).map_err(|e| namespace_failure(&e)),
        Netns::New => enter_private(Identity::Same).map(Some),
    }
}

/// Enters a new network namespace as `identity`, and sets its loopback interface up. Call it before any thread starts.
pub(crate) fn enter_private(identity: Identity) -> Result<Entered, Failure> {
    let entered = namespace::enter_private(identity).map_err(|e| namespace_failure(&e))?;
    Netlink::open().and_then(|mut netlink| netlink.loopback_up()).map_err(|e| netif_failure("lo", &e))?;
    Ok(entered)
}

/// Opens the link that `settings` ask for and sets its kernel's end up.
pub(crate) fn open(settings: &Settings) -> Result<Tunnel, Failure> {
    match &settings.link {
        Link::Tun(name) => open_named(name, settings),
        Link::Descriptor(number) => {
            let mtu = settings.mtu.unwrap_or(MTU);
            let (device, name) = take(*number, mtu, settings.offload).map_err(|e| tun_failure(&e))?;
            let addrs = with_prefixes(&settings.addrs, &settings.hosts);
            Ok(Tunnel { devices: vec![device], name, hosts: settings.hosts.clone(), addrs })
        }
    }
}

fn open_named(name: &str, settings: &Settings) -> Result<Tunnel, Failure> {
    let mut netlink = Netlink::open().map_err(|e| netif_failure(name, &e))?;
    let found = existing(&mut netlink, name);
    let (hosts, its_mtu) = match found {
        // It was set up by somebody else, so that we may do without the right to.
        Some((hosts, mtu)) => (if settings.hosts.is_empty() { hosts } else { settings.hosts.clone() }, Some(mtu)),
        None => (choose(&mut netlink, name, settings)?, None),
    };
    let mtu = settings.mtu.or(its_mtu).unwrap_or(MTU);
    let addrs = if settings.addrs.is_empty() {
        let beside = |host: &Prefixed| {
            host.neighbour(&[]).ok_or_else(|| Failure::usage(format!("{host} has no room for a second host")))
        };
        // One for each family, that of the kernel's first address.
        let first = |v4: bool| hosts.iter().find(move |host| host.addr.is_ipv4() == v4);
        [first(true), first(false)].into_iter().flatten().map(beside).collect::<Result<_, _>>()?
    } else {
        settings.addrs.clone()
    };
    if (mtu as usize) < ipv6::MIN_MTU
        && let Some(addr) = addrs.iter().find(|addr| addr.is_ipv6())
    {
        return Err(Failure::environment(format!(
            "{name} has an MTU of {mtu}, and IPv6 ({addr}) needs {} at least",
            ipv6::MIN_MTU
        )));
    }
    let (devices, name) = match settings.queues {
        1 => attach(name, mtu, settings.offload).map(|(device, name)| (vec![device], name)),
        queues => attach_all(name, mtu, settings.offload, queues),
    }
    .map_err(|e| match e {
        TunError::QueueMismatch { name } if settings.queues > 1 => single_queue(&name, settings.queues),
        e => tun_failure(&e),
    })?;
    let wanted = netif::Settings {
        addresses: hosts.iter().map(|host| Cidr::from(*host)).collect(),
        mtu,
        txqueuelen: settings.txqueuelen,
    };
    match netlink.configure(&name, &wanted).map_err(|e| netif_failure(&name, &e))? {
        Outcome::Configured(_) => {}
        Outcome::LeftAlone(link, _) if link.mtu < mtu => {
            return Err(Failure::environment(format!(
                "{name} was set up by somebody else with an MTU of {0}, less than our {mtu}; say --mtu {0}",
                link.mtu
            )));
        }
        Outcome::LeftAlone(link, _) => log::info!("{} was up with an address: left as it is", link.name),
    }
    let addrs = with_prefixes(&addrs, &hosts);
    Ok(Tunnel { devices, name, hosts, addrs })
}

/// Our end of the link `name`: with all offloads that the kernel grants, or else a plain one; and the link's name.
fn attach(name: &str, mtu: u32, offload: Offload) -> Result<(Arc<dyn Device>, String), TunError> {
    if offload == Offload::Auto {
        match Tun::open(name, mtu as usize, Offloads::ALL) {
            Ok(device) => return Ok(told(device)),
            // Some link in use without the header, or an old kernel. What else is wrong, a plain one suffers too.
            Err(e @ (TunError::QueueMismatch { .. } | TunError::Other { .. })) => {
                log::info!("{name} without offloads: {e}");
            }
            Err(e) => return Err(e),
        }
    }
    match TunTap::open(name, mtu as usize) {
        Err(TunError::QueueMismatch { .. }) => {
            let (fd, _) = tun::open(name, flags::NO_PI | flags::MULTI_QUEUE)?;
            TunTap::from_fd(fd, mtu as usize)
        }
        opened => opened,
    }
    .map(plain)
}

/// As [`attach`], several queues.
fn attach_all(
    name: &str,
    mtu: u32,
    offload: Offload,
    queues: usize,
) -> Result<(Vec<Arc<dyn Device>>, String), TunError> {
    let (devices, mut names): (Vec<_>, Vec<_>) = match offload {
        Offload::Auto => match Tun::open_queues(name, mtu as usize, Offloads::ALL, queues) {
            Ok(devices) => devices.into_iter().map(told).unzip(),
            Err(e @ TunError::Other { .. }) => {
                log::info!("{name} without offloads: {e}");
                TunTap::open_queues(name, mtu as usize, queues)?.into_iter().map(plain).unzip()
            }
            Err(e) => return Err(e),
        },
        Offload::Off => TunTap::open_queues(name, mtu as usize, queues)?.into_iter().map(plain).unzip(),
    };
    Ok((devices, names.swap_remove(0)))
}

/// The queue behind the descriptor `number`, as whoever opened it decided.
fn take(number: i32, mtu: u32, offload: Offload) -> Result<(Arc<dyn Device>, String), TunError> {
    let fd = tun::handed_in(number)?;
    if tun::inspect(&fd)?.flags & flags::VNET_HDR == 0 {
        return TunTap::from_fd(fd, mtu as usize).map(plain);
    }
    let wanted = match offload {
        Offload::Auto => Offloads::ALL,
        Offload::Off => Offloads::NONE,
    };
    Tun::from_fd(fd, mtu as usize, wanted).map(told)
}

fn told(device: Tun) -> (Arc<dyn Device>, String) {
    let name = device.name().to_owned();
    log::info!("{name}: virtio-net header, offloads {}", device.offloads());
    (Arc::new(device), name)
}

fn plain(device: TunTap) -> (Arc<dyn Device>, String) {
    let name = device.name().to_owned();
    log::info!("{name}: plain, no offloads");
    (Arc::new(device), name)
}

/// The stack's addresses, each with the prefix of the kernel's in whose network it is.
fn with_prefixes(addrs: &[IpAddr], hosts: &[Prefixed]) -> Vec<Cidr> {
    let prefix = |addr| hosts.iter().find(|host| Cidr::from(**host).contains(addr)).map(|host| host.prefix);
    let prefixed = |addr: &IpAddr| Cidr::new(*addr, prefix(*addr).unwrap_or(Prefixed::usual(*addr).prefix));
    addrs.iter().map(prefixed).collect()
}

/// The kernel's addresses on `name` and its MTU, if that interface exists, is up and has an address.
fn existing(netlink: &mut Netlink, name: &str) -> Option<(Vec<Prefixed>, u32)> {
    let link = netlink.link(name).ok().filter(|link| link.up)?;
    let addresses = netlink.addresses(link.index).ok()?;
    let hosts: Vec<_> = addresses.iter().map(|own| Prefixed { addr: own.addr, prefix: own.prefix }).collect();
    (!hosts.is_empty()).then_some((hosts, link.mtu))
}

/// The kernel's addresses: those asked for, or for each family one beside the stack's, or one of the first free
/// documentation prefix.
fn choose(netlink: &mut Netlink, name: &str, settings: &Settings) -> Result<Vec<Prefixed>, Failure> {
    let mut routes = netlink.routes().map_err(|e| netif_failure(name, &e))?;
    routes.retain(|route| route.link.as_deref() != Some(name));
    let mut hosts = settings.hosts.clone();
    for v4 in [true, false] {
        let first = settings.addrs.iter().find(|addr| addr.is_ipv4() == v4);
        if let Some(addr) = first
            && !hosts.iter().any(|host| host.addr.is_ipv4() == v4)
        {
            let lowest = Prefixed::usual(*addr).lowest();
            hosts.extend(lowest.neighbour(&settings.addrs).map(Prefixed::usual));
        }
    }
    if hosts.is_empty() {
        let free = netif::first_free_prefix(&routes, &DOCUMENTATION).ok_or_else(|| {
            Failure::environment(
                "all three documentation prefixes are routed already; choose --host, such as 10.77.0.1/24",
            )
        })?;
        return Ok(vec![Prefixed { addr: free.addr, prefix: free.prefix }]);
    }
    for host in &hosts {
        refuse_conflict(&routes, *host)?;
    }
    Ok(hosts)
}

/// Refuses a network that is reached in another way already.
fn refuse_conflict(routes: &[Route], host: Prefixed) -> Result<(), Failure> {
    let prefix = Cidr::new(host.network(), host.prefix);
    let Some(route) = netif::conflict(routes, prefix) else { return Ok(()) };
    let by = route.link.as_deref().unwrap_or("another route");
    let what = if route.destination == prefix {
        String::new()
    } else {
        format!(" (as {}/{})", route.destination.addr, route.destination.prefix)
    };
    Err(Failure::environment(format!(
        "{}/{} is already reached by {by}{what}; choose --host",
        host.network(),
        host.prefix
    )))
}

/// This program, as it is to be called where `PATH` is another's (sudo) or does not lead to it.
fn program() -> String {
    std::env::current_exe().map_or_else(|_| "tunstack".into(), |path| path.display().to_string())
}

/// Why a link cannot have so many queues, and what to do.
fn single_queue(name: &str, queues: usize) -> Failure {
    Failure::environment(format!(
        "--queues {queues}: {name} exists and is not a TUN that was made for several queues\n  \
           if it is yours, make it anew:   ip link del {name}; ip tuntap add dev {name} mode tun multi_queue\n  \
           or do with one queue:           --queues 1\n  \
           or choose another name:         --tun NAME"
    ))
}

/// Why there is no TUN, and what to do.
pub(crate) fn tun_failure(error: &TunError) -> Failure {
    let program = program();
    let way_out = match error {
        TunError::NoNode => format!(
            "  load the module:      sudo modprobe tun\n  \
               in a container:       start it with --device /dev/net/tun --cap-add NET_ADMIN\n  \
               without any TUN:      {program} demo --virtual"
        ),
        TunError::NodePermission => format!(
            "  open it to all, as udev does:  sudo chmod 0666 /dev/net/tun  (by itself this gives no right to any interface)\n  \
               or run as root:                sudo {program} serve\n  \
               without any TUN:               {program} demo --virtual"
        ),
        TunError::NoPermission { .. } => format!(
            "  to see it work:            {program} demo  (in a namespace of its own, no rights needed)\n  \
               as root:                   sudo {program} serve\n  \
               with the one right:        sudo setcap cap_net_admin=ep {program}\n                             \
               (without effect on a nosuid mount or under no_new_privs)"
        ),
        TunError::Busy { name } => {
            let holders = holders(name);
            let by = if holders.is_empty() { String::new() } else { format!(" (by {})", holders.join(", ")) };
            return Failure::environment(format!("{error}{by}\n  choose another name:  --tun NAME"));
        }
        TunError::QueueMismatch { .. } => {
            "  if it is yours, make it anew as a plain TUN:  ip link del NAME; ip tuntap add dev NAME mode tun\n  \
               or choose another name:                       --tun NAME"
                .into()
        }
        TunError::BadName { .. } => return Failure::usage(format!("--tun: {error}")),
        TunError::BadDescriptor(_) => {
            return Failure::usage(format!(
                "--tun-fd: {error}; open it with IFF_TUN | IFF_NO_PI, with or without IFF_VNET_HDR"
            ));
        }
        _ => return Failure::environment(error.to_string()),
    };
    Failure::environment(format!("{error} ({})\n{way_out}", error.operation()))
}

/// Why there is no namespace, and what to do.
pub(crate) fn namespace_failure(error: &NamespaceError) -> Failure {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    let way_out = if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        "AppArmor keeps ordinary users from making namespaces (kernel.apparmor_restrict_unprivileged_userns = 1); \
         run as root, or allow it: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    } else if is("/proc/sys/user/max_user_namespaces", "0") {
        "user namespaces are switched off (user.max_user_namespaces = 0); run as root"
    } else if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "user namespaces are for root only (kernel.unprivileged_userns_clone = 0); run as root"
    } else if error.operation.starts_with("open") {
        "is the path that of a network namespace, such as /run/netns/NAME?"
    } else {
        "in a container: seccomp or the container's rules forbid it"
    };
    Failure::environment(format!("{error}\n  {way_out}"))
}

/// Why the interface could not be set up, and what to do.
pub(crate) fn netif_failure(name: &str, error: &NetifError) -> Failure {
    let way_out = match error.errno() {
        Some(libc::EPERM) => {
            "\n  this needs CAP_NET_ADMIN; or let root set the interface up beforehand (address, MTU, up): it is then left as it is"
        }
        Some(libc::EEXIST) => "\n  another interface has the address already; choose --host",
        Some(libc::EACCES | libc::EOPNOTSUPP | libc::EAFNOSUPPORT) => {
            "\n  IPv6 is switched off here (sysctl net.ipv6.conf.all.disable_ipv6); do without IPv6 addresses, or switch it on"
        }
        Some(libc::ENODEV) => "\n  the interface has vanished; did somebody delete it?",
        _ => "",
    };
    Failure::environment(format!("{name}: {error}{way_out}"))
}

/// The processes that hold a queue of the TUN `name`, as far as we may see.
fn holders(name: &str) -> Vec<String> {
    let line = format!("iff:\t{name}\n");
    let holds = |pid: &str| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).into_iter().flatten().flatten();
        descriptors.take(MAX_PROCESSES).any(|fd| fs::read_to_string(fd.path()).is_ok_and(|text| text.contains(&line)))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().take(MAX_PROCESSES);
    processes
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()) && holds(pid))
        .map(|pid| {
            let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("process {pid}, {}", program.trim())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let name = || "tun9".to_owned();
        for (error, expected) in [
            (TunError::NoNode, "modprobe tun"),
            (TunError::NodePermission, "chmod 0666 /dev/net/tun"),
            (TunError::NoPermission { name: name() }, "setcap cap_net_admin=ep /"),
            (TunError::Busy { name: name() }, "--tun NAME"),
            (TunError::QueueMismatch { name: name() }, "ip tuntap add"),
            (TunError::BadName { name: "a/b".into() }, "--tun: "),
            (TunError::BadDescriptor("is not open"), "--tun-fd: "),
        ] {
            let failure = tun_failure(&error);
            assert!(failure.text.contains(expected), "{}", failure.text);
            assert!(failure.text.contains(&error.to_string()));
        }
        let refused = NetifError { operation: "set the MTU", error: std::io::Error::from_raw_os_error(libc::EPERM) };
        assert!(netif_failure("tun9", &refused).text.contains("CAP_NET_ADMIN"));
        let maps = NamespaceError { operation: "unshare", error: std::io::ErrorKind::PermissionDenied.into() };
        assert!(namespace_failure(&maps).text.starts_with("unshare: "));
    }
}
