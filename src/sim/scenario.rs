//! What a run is made of.

use super::app::AppPlan;
use super::noise::NoisePlan;
use crate::device::impair::Impairment;
use crate::rng::Rng;
use crate::stack::{Cidr, Config, Congestion, Keepalive, LossRecovery};
use core::time::Duration;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Addresses of the two hosts.
pub const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];

/// Those of IPv6, which they have if their links carry it.
pub const ADDRESSES_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)];

/// Who opens a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// This host connects, the other one listens.
    From(usize),
    /// This host connects and nobody listens.
    Refused(usize),
    /// Both connect at the same moment.
    Simultaneous,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    /// Whether it goes over IPv6.
    pub v6: bool,
    /// Who opens it.
    pub opening: Opening,
    /// When, since the run's start.
    pub start: Duration,
    /// Ports of the two hosts' ends; 0 is left to the stack.
    pub ports: [u16; 2],
    /// What the two applications do.
    pub apps: [AppPlan; 2],
    /// Names of the two streams.
    pub streams: [u64; 2],
    /// Settings of the two sockets.
    pub sockets: [SocketPlan; 2],
}

/// Settings of a socket.
#[derive(Clone, Debug, Default)]
pub struct SocketPlan {
    /// Nagle's algorithm off.
    pub nodelay: bool,
    /// Send buffer in bytes; tuned if none.
    pub send_buffer: Option<usize>,
    /// Receive buffer in bytes; tuned if none.
    pub recv_buffer: Option<usize>,
    /// Keepalive.
    pub keepalive: Option<Keepalive>,
    /// What governs how much is sent; as the host has it, if none. An accepted connection has what the first flow says
    /// that this host accepts.
    pub congestion: Option<Congestion>,
    /// How losses are found and repaired.
    pub loss_recovery: LossRecovery,
}

/// A host.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// The stack's settings.
    pub config: Config,
    /// The stack's seed.
    pub seed: u64,
    /// Backlog of its listener.
    pub backlog: usize,
    /// When it stops listening, if before all is done.
    pub stops_listening: Option<Duration>,
    /// How many packets it takes in before it sends and serves its applications.
    pub batch: usize,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The number that all of this was made from.
    pub seed: u64,
    /// When the run starts, in nanoseconds since the hosts' clocks' origin.
    pub start: u64,
    /// The hosts.
    pub hosts: [HostPlan; 2],
    /// The connections.
    pub flows: Vec<FlowPlan>,
    /// The link from host 0 to host 1, and back.
    pub links: [Impairment; 2],
    /// Seeds of the two directions' faults.
    pub link_seeds: [u64; 2],
    /// What else the network does until then.
    pub noise: NoisePlan,
    /// When the faults end, since the run's start. Afterwards the link is perfect but for its delay and its MTU.
    pub faults_end: Duration,
    /// Whether an ICMP error tells the sender of a packet that was larger than the link's MTU.
    pub tells_mtu: bool,
    /// When everything must be over, since the run's start; by rule, if none.
    pub limit: Option<Duration>,
}

/// The port that host `i` listens on.
pub(super) const fn listen_port(host: usize) -> u16 {
    80 + host as u16
}

/// Events that a host's trace holds between two looks at it: over the smallest MTU a whole window, four bytes at a time.
pub(super) const TRACE: usize = 1 << 16;

impl HostPlan {
    /// Our stack as it is by default, on host `side`.
    pub fn new(side: usize, seed: u64) -> Self {
        let addresses = vec![Cidr::new(ADDRESSES[side].into(), 24), Cidr::new(ADDRESSES_V6[side].into(), 64)];
        let config = Config { addresses, trace_events: TRACE, ..Config::default() };
        HostPlan { config, seed, backlog: 16, stops_listening: None, batch: 1 }
    }
}

/// How long faults last in a scenario that does not say so.
const FAULTS: Duration = Duration::from_secs(3600);

impl Scenario {
    /// Two hosts with default settings, a perfect link between them, and nothing to do.
    pub fn quiet(seed: u64) -> Self {
        let mut rng = Rng::new(Rng::seed_from(seed));
        Scenario {
            seed,
            start: 0,
            hosts: [0, 1].map(|side| HostPlan::new(side, rng.u64())),
            flows: Vec::new(),
            links: [Impairment::default(), Impairment::default()],
            link_seeds: [rng.u64(), rng.u64()],
            noise: NoisePlan::default(),
            faults_end: FAULTS,
            tells_mtu: true,
            limit: None,
        }
    }

    /// The same, and host 0 connects to host 1 and sends so many bytes.
    pub fn transfer(seed: u64, bytes: u64) -> Self {
        let mut scenario = Scenario::quiet(seed);
        scenario.add_flow(0).apps[0] = AppPlan::writes(bytes);
        scenario
    }

    /// Adds a connection that host `from` opens, and on which nobody says anything yet.
    pub fn add_flow(&mut self, from: usize) -> &mut FlowPlan {
        let index = self.flows.len();
        let mut ports = [listen_port(0), listen_port(1)];
        ports[from] = 40_000 + index as u16;
        let name = |side: u64| self.seed.wrapping_mul(1 << 20).wrapping_add(2 * index as u64 + side);
        let mut apps = [AppPlan::reads(), AppPlan::reads()];
        // Two who wait for each other wait for ever.
        apps[from] = AppPlan::writes(0);
        self.flows.push(FlowPlan {
            v6: false,
            opening: Opening::From(from),
            start: Duration::ZERO,
            ports,
            apps,
            streams: [name(0), name(1)],
            sockets: [SocketPlan::default(), SocketPlan::default()],
        });
        &mut self.flows[index]
    }

    /// Makes the link such in both directions.
    pub fn set_link(&mut self, link: Impairment) {
        if let Some(until) = link.until {
            self.faults_end = until;
        }
        self.links = [link.clone(), link];
    }

    /// Whether a host has no SYN queue and answers every SYN with a cookie.
    pub fn has_cookies(&self) -> bool {
        self.hosts.iter().any(|host| host.config.max_syn_queue == 0)
    }

    /// Whether the hosts have IPv6.
    pub fn has_v6(&self) -> bool {
        self.hosts.iter().all(|host| host.config.addresses.iter().any(|own| own.addr.is_ipv6()))
    }

    /// How long after the run's start everything must be over: the end of the faults and of the applications' own
    /// pauses, one longest retransmission time-out, and as much again for what was left to do.
    pub fn time_limit(&self) -> Duration {
        if let Some(limit) = self.limit {
            return limit;
        }
        let apps = self.flows.iter().map(|f| f.start + f.apps.iter().map(AppPlan::longest_delay).sum::<Duration>());
        let keepalive_or_timeout = Duration::from_secs(600);
        self.faults_end + apps.max().unwrap_or_default() + keepalive_or_timeout
    }
}
