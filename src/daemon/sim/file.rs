//! A world in a file: TOML, in which every quantity has its unit and every mistake its line.

use crate::daemon::error::{Failure, Kind};
use crate::device::impair::{self, Impairment};
use crate::rng::Rng;
use crate::sim::{AppPlan, Finish, FlowPlan, Opening, Scenario};
use crate::stack::{Config, Congestion, Ecn, LossDetection, LossRecovery, Stack, TcpOptions};
use crate::time::Instant;
use crate::wire::Offloads;
use core::fmt;
use core::time::Duration;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use std::path::Path;

/// Flows in one world at most.
const MAX_FLOWS: u32 = 64;
/// Bytes that one application writes at most: so much takes a few seconds to simulate.
const MAX_BYTES: usize = 1_000_000_000;

/// Below this MTU a link carries no IPv6 (RFC 8200 5).
const MIN_V6_MTU: usize = 1280;

/// A scenario file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct File {
    /// What it shows.
    #[serde(default)]
    pub(super) about: String,
    /// When faults end; an hour, unless it is said.
    faults_end: Option<Time>,
    /// When all must be over.
    limit: Option<Time>,
    /// Whether whoever sends a packet larger than the link's MTU is told.
    tells_mtu: Option<bool>,
    #[serde(default)]
    link: Link,
    #[serde(default)]
    client: HostTable,
    #[serde(default)]
    server: HostTable,
    flow: Vec<FlowTable>,
}

/// The two directions of the link; what is said of one of them goes over what is said of both.
#[derive(Debug, Default)]
struct Link {
    both: Settings,
    to_server: Settings,
    to_client: Settings,
}

/// Settings of an [`Impairment`], each good by itself.
#[derive(Debug, Default)]
struct Settings(Vec<(String, String)>);

/// What can be said of a host's stack. The default is the stack's.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct HostTable {
    mtu: Option<usize>,
    sack: Option<bool>,
    timestamps: Option<bool>,
    window_scaling: Option<bool>,
    ecn: Option<EcnName>,
    /// Whether the stack leaves segmentation and checksums to its card.
    offloads: Option<bool>,
    congestion: Option<Cc>,
    send_buffer_max: Option<Bytes>,
    recv_buffer_max: Option<Bytes>,
    delayed_ack: Option<Time>,
    min_rto: Option<Time>,
    /// Every SYN is answered with a cookie.
    syn_cookies: Option<bool>,
}

/// One flow, or several that are alike.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FlowTable {
    #[serde(default)]
    from: From,
    #[serde(default = "one")]
    count: u32,
    #[serde(default)]
    start: Time,
    /// Each of several begins so much after the one before.
    #[serde(default)]
    every: Time,
    #[serde(default)]
    v6: bool,
    /// What the one who connects writes.
    #[serde(default)]
    send: Bytes,
    /// What the other one writes.
    #[serde(default)]
    receive: Bytes,
    #[serde(default)]
    finish: FinishName,
    /// The one who connects closes so long after, whatever is left to be done.
    close_after: Option<Time>,
    /// The same, by a reset.
    abort_after: Option<Time>,
    /// The other one stops reading for a while.
    stall: Option<Stall>,
    congestion: Option<Cc>,
    nodelay: Option<bool>,
    send_buffer: Option<Bytes>,
    recv_buffer: Option<Bytes>,
    #[serde(default)]
    recovery: Recovery,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stall {
    after: Bytes,
    r#for: Time,
}

/// Parts of loss recovery, to be switched off.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Recovery {
    detection: Option<DetectionName>,
    tail_probes: Option<bool>,
    prr: Option<bool>,
    frto: Option<bool>,
    undo: Option<bool>,
    dsack: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum From {
    #[default]
    Client,
    Server,
    Both,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum FinishName {
    #[default]
    Shutdown,
    AfterPeer,
    CloseWhenWritten,
    ShutdownBoth,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DetectionName {
    Rack,
    Rfc6675,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EcnName {
    Off,
    Accept,
    Request,
}

#[derive(Clone, Copy, Debug, Default)]
struct Time(Duration);
#[derive(Clone, Copy, Debug, Default)]
struct Bytes(usize);
#[derive(Clone, Copy, Debug)]
struct Cc(Congestion);

fn one() -> u32 {
    1
}

/// Deserializes a text by a function whose error becomes the file's, with its line.
macro_rules! from_text {
    ($($name:ident: $parse:expr;)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).map($name).map_err(D::Error::custom)
            }
        }
    )*};
}

from_text! {
    Time: impair::duration;
    Bytes: impair::bytes;
    Cc: |name: &str| name.parse::<Congestion>().map_err(|_| {
        let names = Congestion::ALL.map(Congestion::name).join(", ");
        format!("there is no congestion control \"{name}\"; one of {names} was expected")
    });
}

/// One setting of a link: a text, a number, or a list of these.
struct Setting<'a> {
    key: &'a str,
    into: &'a mut Settings,
}

impl<'de> DeserializeSeed<'de> for Setting<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let values = match toml::Value::deserialize(deserializer)? {
            toml::Value::Array(values) => values,
            value => vec![value],
        };
        let mut trial = Impairment::default();
        for value in values {
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(n) => n.to_string(),
                toml::Value::Float(n) => n.to_string(),
                _ => return Err(D::Error::custom("expected a text such as \"20ms\"")),
            };
            trial.set(self.key, &text).map_err(D::Error::custom)?;
            self.into.0.push((self.key.to_owned(), text));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Settings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of what the link does")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
                let mut settings = Settings::default();
                while let Some(key) = map.next_key::<String>()? {
                    map.next_value_seed(Setting { key: &key, into: &mut settings })?;
                }
                Ok(settings)
            }
        }
        deserializer.deserialize_map(Table)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;
        impl<'de> Visitor<'de> for Table {
            type Value = Link;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of what the link does")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Link, A::Error> {
                let mut link = Link::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "to-server" => link.to_server = map.next_value()?,
                        "to-client" => link.to_client = map.next_value()?,
                        key => map.next_value_seed(Setting { key, into: &mut link.both })?,
                    }
                }
                Ok(link)
            }
        }
        deserializer.deserialize_map(Table)
    }
}

impl Link {
    /// One direction, with its own settings.
    fn way(&self, own: &Settings) -> Result<Impairment, String> {
        let mut link = Impairment::default();
        for (key, value) in self.both.0.iter().chain(&own.0) {
            link.set(key, value)?;
        }
        link.check()?;
        Ok(link)
    }
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// Of kind `Config`: that it cannot be read, or what is wrong in it, with the line.
    pub(super) fn read(path: &Path) -> Result<File, Failure> {
        let failure = |e: std::io::Error| Failure::new(Kind::Config, format!("{}: {e}", path.display()));
        File::parse(&std::fs::read_to_string(path).map_err(failure)?, &path.display().to_string())
    }

    /// Reads a text; `name` is its name, for messages.
    pub(super) fn parse(text: &str, name: &str) -> Result<File, Failure> {
        let failure = |what: String| Failure::new(Kind::Config, format!("{name}: {what}"));
        let file: File = toml::from_str(text).map_err(|e| failure(e.to_string().trim_end().to_owned()))?;
        file.build(0).map_err(failure)?;
        Ok(file)
    }

    /// The run that it describes, with this seed.
    ///
    /// # Panics
    /// Never: [`parse`](File::parse) has refused what cannot be built.
    pub(super) fn scenario(&self, seed: u64) -> Scenario {
        self.build(seed).expect("it was built when it was read")
    }

    fn build(&self, seed: u64) -> Result<Scenario, String> {
        let mut scenario = Scenario::quiet(seed);
        scenario.tells_mtu = self.tells_mtu.unwrap_or(true);
        scenario.limit = self.limit.map(|t| t.0);
        let ways = [&self.link.to_server, &self.link.to_client].map(|own| self.link.way(own));
        let [to_server, to_client] = ways;
        scenario.links = [to_server, to_client]
            .map(|way| way.map_err(|why| format!("[link]: {why}")))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .try_into()
            .expect("two of two");
        let until = scenario.links.iter().filter_map(|link| link.until).max();
        scenario.faults_end = self.faults_end.map(|t| t.0).or(until).unwrap_or(scenario.faults_end);
        for (host, table) in scenario.hosts.iter_mut().zip([&self.client, &self.server]) {
            table.apply(&mut host.config);
        }
        let v6 = self.flow.iter().any(|flow| flow.v6);
        for (host, name) in scenario.hosts.iter_mut().zip(["client", "server"]) {
            // It can do without, where nobody wants it.
            if host.config.mtu < MIN_V6_MTU && !v6 {
                host.config.addresses.retain(|own| own.addr.is_ipv4());
            }
            Stack::new(host.config.clone(), Rng::seed_from(seed), Instant::ZERO)
                .map_err(|e| format!("[{name}]: {e}"))?;
        }
        let flows: u32 = self.flow.iter().map(|flow| flow.count.min(MAX_FLOWS + 1)).sum();
        if !(1..=MAX_FLOWS).contains(&flows) {
            return Err(format!("[[flow]]: {flows} flows; 1 to {MAX_FLOWS} were expected"));
        }
        let mut rng = Rng::new(Rng::seed_from(!seed));
        for table in &self.flow {
            for nth in 0..table.count {
                table.add(&mut scenario, nth, &mut rng)?;
            }
        }
        Ok(scenario)
    }
}

/// Sets what was said, and leaves the rest.
macro_rules! set {
    ($($said:expr => $place:expr;)*) => { $(if let Some(value) = $said { $place = value; })* };
}

impl HostTable {
    fn apply(&self, config: &mut Config) {
        let ecn = |name| match name {
            EcnName::Off => Ecn::Off,
            EcnName::Accept => Ecn::Accept,
            EcnName::Request => Ecn::Request,
        };
        set! {
            self.mtu => config.mtu;
            self.offloads.map(|on| if on { Offloads::ALL } else { Offloads::NONE }) => config.offloads;
            self.syn_cookies.map(|on| if on { 0 } else { config.max_syn_queue }) => config.max_syn_queue;
            self.sack => config.tcp.sack;
            self.timestamps => config.tcp.timestamps;
            self.window_scaling => config.tcp.window_scaling;
            self.ecn.map(ecn) => config.tcp.ecn;
            self.congestion.map(|cc| cc.0) => config.tcp.congestion;
            self.send_buffer_max.map(|n| n.0) => config.tcp.send_buffer_max;
            self.recv_buffer_max.map(|n| n.0) => config.tcp.recv_buffer_max;
            self.delayed_ack.map(|t| t.0) => config.tcp.delayed_ack;
            self.min_rto.map(|t| t.0) => config.tcp.min_rto;
        }
        config.tcp.send_buffer = config.tcp.send_buffer.min(config.tcp.send_buffer_max);
        config.tcp.recv_buffer = config.tcp.recv_buffer.min(config.tcp.recv_buffer_max);
    }
}

impl FlowTable {
    fn add(&self, scenario: &mut Scenario, nth: u32, rng: &mut Rng) -> Result<(), String> {
        if self.send.0.max(self.receive.0) > MAX_BYTES {
            return Err(format!("[[flow]]: an application writes at most {MAX_BYTES} bytes"));
        }
        let (active, index) = (usize::from(matches!(self.from, From::Server)), scenario.flows.len() as u16);
        let flow = scenario.add_flow(active);
        if matches!(self.from, From::Both) {
            (flow.opening, flow.ports) = (Opening::Simultaneous, [40_000 + index, 41_000 + index]);
        }
        flow.v6 = self.v6;
        flow.start = self.start.0 + self.every.0 * nth;
        flow.streams = [rng.u64(), rng.u64()];
        self.apply_apps(flow, active);
        let recovery = self.recovery.switches();
        for socket in &mut flow.sockets {
            set! {
                self.nodelay => socket.nodelay;
                self.send_buffer.map(|n| Some(n.0)) => socket.send_buffer;
                self.recv_buffer.map(|n| Some(n.0)) => socket.recv_buffer;
                self.congestion.map(|cc| Some(cc.0)) => socket.congestion;
            }
            socket.loss_recovery = recovery;
            let (send_buffer, recv_buffer) = (socket.send_buffer, socket.recv_buffer);
            let options = TcpOptions { send_buffer, recv_buffer, ..TcpOptions::default() };
            options.validate().map_err(|e| format!("[[flow]]: {e}"))?;
        }
        Ok(())
    }

    fn apply_apps(&self, flow: &mut FlowPlan, active: usize) {
        flow.apps[active] = AppPlan::writes(self.send.0 as u64);
        flow.apps[1 - active] = AppPlan { total: self.receive.0 as u64, ..AppPlan::reads() };
        flow.apps[1 - active].stall = self.stall.map(|stall| (stall.after.0 as u64, stall.r#for.0));
        flow.apps[active].finish = match self.finish {
            FinishName::Shutdown => Finish::Shutdown,
            FinishName::CloseWhenWritten => Finish::CloseWhenWritten,
            FinishName::ShutdownBoth => Finish::ShutdownBoth,
            // One of the two must begin.
            FinishName::AfterPeer => {
                flow.apps[1 - active].finish = Finish::Shutdown;
                Finish::AfterPeer
            }
        };
        set! {
            self.close_after.map(|t| Finish::CloseAt(t.0)) => flow.apps[active].finish;
            self.abort_after.map(|t| Finish::AbortAt(t.0)) => flow.apps[active].finish;
        }
    }
}

impl Recovery {
    fn switches(&self) -> LossRecovery {
        let mut out = LossRecovery::default();
        set! {
            self.detection.map(|name| match name {
                DetectionName::Rack => LossDetection::Rack,
                DetectionName::Rfc6675 => LossDetection::Rfc6675,
            }) => out.detection;
            self.tail_probes => out.tail_probes;
            self.prr => out.prr;
            self.frto => out.frto;
            self.undo => out.undo;
            self.dsack => out.dsack;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    fn error(text: &str) -> String {
        File::parse(text, "f.toml").expect_err(text).text
    }

    #[test]
    fn a_mistake_is_shown_with_its_line() {
        let cases = [
            ("[link]\ndelay = \"20ms\"\nlos = \"1%\"\n[[flow]]\n", "line 3", "unknown key; one of loss, burst"),
            ("[link]\nloss = \"5\"\n[[flow]]\n", "line 2", "expected a probability"),
            ("[link.to-client]\noutage = [\"1s-2s\", \"2s-1s\"]\n[[flow]]\n", "line 2", "ends after it begins"),
            (
                "[[flow]]\nsend = \"1MB\"\ncongestion = \"vegas\"\n",
                "line 3",
                "one of newreno, cubic, bbr, bbr3 was expected",
            ),
            ("[[flow]]\nsend = \"lots\"\n", "line 2", "expected a size such as 64KiB"),
            ("[client]\nsack = \"yes\"\n[[flow]]\n", "line 2", "expected a boolean"),
            ("[server]\nwindow = 3\n[[flow]]\n", "line 2", "unknown field `window`"),
            ("[[flow]]\nfrom = \"nobody\"\n", "line 2", "unknown variant `nobody`"),
            ("[[flow]\n", "line 1", ""),
            ("about = \"nothing happens\"\n", "", "missing field `flow`"),
            ("[[flow]]\ncount = 65\n", "", "[[flow]]: 65 flows; 1 to 64 were expected"),
            ("[[flow]]\nsend = \"2000MB\"\n", "", "at most 1000000000 bytes"),
            (
                "[link]\ncodel = \"5ms\"\n[[flow]]\n",
                "",
                "[link]: codel rules a queue, and without a rate there is none",
            ),
            ("[client]\nmtu = 1000\n[[flow]]\nv6 = true\n", "", "[client]: IPv6 needs an MTU of at least 1280"),
            ("[client]\nmtu = 10\n[[flow]]\n", "", "[client]: "),
            ("[server]\ndelayed-ack = \"500ms\"\n[[flow]]\n", "", "[server]: an ACK may not be delayed"),
            ("[client]\nmin-rto = \"0s\"\n[[flow]]\n", "", "[client]: the RTO's floor is zero"),
            ("[client]\nsend-buffer-max = \"0B\"\n[[flow]]\n", "", "[client]: buffers are 1 KiB"),
            ("[client]\nrecv-buffer-max = \"1000MB\"\n[[flow]]\n", "", "[client]: buffers are 1 KiB"),
            ("[[flow]]\nsend-buffer = \"0B\"\n", "", "[[flow]]: buffers are 1 KiB"),
        ];
        for (text, line, what) in cases {
            let error = error(text);
            assert!(error.starts_with("f.toml: ") && error.contains(line) && error.contains(what), "{text}\n{error}");
        }
    }

    #[test]
    fn a_link_for_ipv4_alone_may_be_narrow() {
        let file = File::parse("[client]\nmtu = 1000\n[[flow]]\nsend = \"50kB\"\n", "f").unwrap();
        let report = World::new(file.scenario(1)).run();
        assert_eq!((report.violation, report.flows[0].read[1]), (None, 50_000));
    }

    #[test]
    fn what_is_said_of_one_direction_goes_over_what_is_said_of_both() {
        let text = "[link]\ndelay = \"10ms\"\nloss = 0.5\n[link.to-client]\nloss = \"0%\"\nnth = [3, 4]\n[[flow]]\n";
        let [there, back] = File::parse(text, "f").unwrap().scenario(1).links;
        assert_eq!((there.loss, back.loss), (0.5, 0.0));
        assert_eq!((there.delay, back.delay), (Duration::from_millis(10), Duration::from_millis(10)));
        assert_eq!((there.nth, back.nth), (vec![], vec![3, 4]));
    }

    #[test]
    fn every_setting_arrives() {
        let text = "limit = \"30s\"\nfaults-end = \"2s\"\ntells-mtu = false\n\
            [client]\nmtu = 1280\nsack = false\ntimestamps = false\nwindow-scaling = false\necn = \"request\"\n\
            offloads = true\ncongestion = \"bbr\"\nsend-buffer-max = \"128KiB\"\nrecv-buffer-max = \"64KiB\"\n\
            delayed-ack = \"10ms\"\nmin-rto = \"1s\"\nsyn-cookies = true\n\
            [[flow]]\nfrom = \"server\"\ncount = 2\nstart = \"1s\"\nevery = \"2s\"\nv6 = true\nsend = \"1MB\"\n\
            receive = \"2kB\"\nfinish = \"after-peer\"\nstall = { after = \"1kB\", for = \"3s\" }\ncongestion = \"bbr3\"\n\
            nodelay = true\nsend-buffer = \"4KiB\"\nrecv-buffer = \"8KiB\"\n\
            recovery = { detection = \"rfc6675\", prr = false, undo = false }\n\
            [[flow]]\nfrom = \"both\"\nabort-after = \"4s\"\n";
        let scenario = File::parse(text, "f").unwrap().scenario(9);
        assert_eq!((scenario.limit, scenario.tells_mtu), (Some(Duration::from_secs(30)), false));
        assert_eq!(scenario.faults_end, Duration::from_secs(2));
        let config = &scenario.hosts[0].config;
        let tcp = &config.tcp;
        assert_eq!((config.mtu, config.offloads, config.max_syn_queue), (1280, Offloads::ALL, 0));
        assert_eq!((tcp.sack, tcp.timestamps, tcp.window_scaling), (false, false, false));
        assert_eq!((tcp.ecn, tcp.congestion), (Ecn::Request, Congestion::Bbr));
        assert_eq!((tcp.send_buffer, tcp.send_buffer_max), (131_072, 131_072));
        assert_eq!((tcp.recv_buffer, tcp.recv_buffer_max), (65_536, 65_536));
        assert_eq!((tcp.delayed_ack, tcp.min_rto), (Duration::from_millis(10), Duration::from_secs(1)));
        let [first, second, third] = &scenario.flows[..] else { panic!("three flows") };
        assert_eq!((first.opening, second.v6), (Opening::From(1), true));
        assert_eq!((first.start, second.start), (Duration::from_secs(1), Duration::from_secs(3)));
        assert_eq!(first.apps.each_ref().map(|app| app.total), [2000, 1_000_000]);
        assert_eq!(first.apps.each_ref().map(|app| app.finish), [Finish::Shutdown, Finish::AfterPeer]);
        assert_eq!(first.apps[0].stall, Some((1000, Duration::from_secs(3))));
        let socket = &first.sockets[1];
        assert_eq!((socket.nodelay, socket.congestion), (true, Some(Congestion::Bbr3)));
        assert_eq!((socket.send_buffer, socket.recv_buffer), (Some(4096), Some(8192)));
        let recovery =
            LossRecovery { detection: LossDetection::Rfc6675, prr: false, undo: false, ..LossRecovery::default() };
        assert_eq!(socket.loss_recovery, recovery);
        assert_eq!(third.opening, Opening::Simultaneous);
        assert_eq!(third.apps[0].finish, Finish::AbortAt(Duration::from_secs(4)));
    }

    #[test]
    fn the_scenarios_of_the_project_run_and_repeat() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scenarios");
        let mut seen = 0;
        for entry in std::fs::read_dir(directory).expect("the scenarios") {
            let path = entry.expect("an entry").path();
            let file = File::read(&path).unwrap_or_else(|failure| panic!("{failure}"));
            assert!(!file.about.is_empty(), "{} says nothing about itself", path.display());
            let run = || World::new(file.scenario(3)).run();
            let report = run();
            assert_eq!(report.violation, None, "{}", path.display());
            assert_eq!(report.hash, run().hash, "INV-9: {}", path.display());
            seen += 1;
        }
        assert!(seen >= 5, "only {seen} scenarios were found");
    }
}
