//! What can be said on the command line, in the environment and in the configuration file: one list for all three.
//!
//! The command line goes before the environment (`TUNSTACK_*`), that before the file, and that before the defaults,
//! which are in [`settings`](super::settings).

use super::error::{Failure, Kind};
use clap::Args;
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The options of `serve`. In the file each has the name of its flag: `http = 8080`.
#[derive(Args, Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Options {
    /// Name of the TUN interface [default: tun0]. Repeated, the host has several; each may have settings of its own behind
    /// its name: host=CIDR, addr=IP, mtu=BYTES. Those of the first are also --host, --addr and --mtu
    #[arg(
        long,
        value_name = "NAME[,KEY=VALUE...]",
        env = "TUNSTACK_TUN",
        value_delimiter = ';',
        help_heading = "Interface"
    )]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) tun: Vec<String>,
    /// Take over this open descriptor of a TUN queue instead; its interface is left as it is, so --addr is needed
    #[arg(long, value_name = "N", env = "TUNSTACK_TUN_FD", help_heading = "Interface", conflicts_with = "tun")]
    pub(crate) tun_fd: Option<i32>,
    /// The kernel's address with its prefix, or several, of IPv4 and IPv6, such as 192.0.2.1/24,2001:db8::1/64
    /// [default: the first free documentation prefix of IPv4, such as 192.0.2.1/24]
    #[arg(long, value_name = "CIDR,...", env = "TUNSTACK_HOST", help_heading = "Interface")]
    pub(crate) host: Option<String>,
    /// The stack's address, of IPv4 or IPv6; repeatable [default: the next one after each of the kernel's]
    #[arg(long, value_name = "IP", env = "TUNSTACK_ADDR", value_delimiter = ',', help_heading = "Interface")]
    pub(crate) addr: Vec<IpAddr>,
    /// Where the stack's packets go, as DST/LEN or default, with any of "via ADDR", "dev NAME", "metric N", "mtu N",
    /// "src ADDR", "blackhole", "prohibit", "unreachable", after spaces or commas; repeatable [default: everything over the
    /// interface, if there is one; of several, to their networks only]
    #[arg(long, value_name = "ROUTE", env = "TUNSTACK_ROUTE", value_delimiter = ';', help_heading = "Interface")]
    pub(crate) route: Vec<String>,
    /// The largest packet in bytes [default: what the interface has if it is set up already, else 1500]
    #[arg(long, value_name = "BYTES", env = "TUNSTACK_MTU", help_heading = "Interface")]
    pub(crate) mtu: Option<u32>,
    /// Ask the kernel for super-segments and partial checksums: auto (all that it grants; none with --fault) or off
    /// [default: auto]
    #[arg(
        long,
        value_name = "auto|off",
        env = "TUNSTACK_OFFLOAD",
        help_heading = "Interface",
        hide_possible_values = true
    )]
    pub(crate) offload: Option<String>,
    /// Packets that may wait in the kernel's queue to us [default: 10000]
    #[arg(long, value_name = "PACKETS", env = "TUNSTACK_TXQUEUELEN", help_heading = "Interface")]
    pub(crate) txqueuelen: Option<u32>,
    /// Queues of the interface, each served by a thread of its own on a core of its own: for many connections in bulk;
    /// round trips become slower [default: 1]
    #[arg(long, value_name = "N", env = "TUNSTACK_QUEUES", help_heading = "Interface")]
    pub(crate) queues: Option<u32>,
    /// The network namespace to be in: self, new, or a path such as /run/netns/NAME [default: self]
    #[arg(long, value_name = "self|new|PATH", env = "TUNSTACK_NETNS", help_heading = "Interface")]
    pub(crate) netns: Option<String>,
    /// Serve what is sent to any address, not only to the stack's own; the kernel must have routes into the interface
    #[arg(long, env = "TUNSTACK_ACCEPT_ANY", num_args = 0..=1, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Interface")]
    pub(crate) accept_any: Option<bool>,

    /// The servers to ask for names, over this stack: an address, or one with a port [default: those of --resolv-conf]
    #[arg(long, value_name = "ADDR[:PORT],...", env = "TUNSTACK_DNS", value_delimiter = ',', help_heading = "Names")]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) dns: Vec<String>,
    /// The file that names the servers, unless --dns does [default: /etc/resolv.conf]
    #[arg(long, value_name = "FILE", env = "TUNSTACK_RESOLV_CONF", help_heading = "Names")]
    pub(crate) resolv_conf: Option<PathBuf>,
    /// The file of names that nobody is asked for [default: /etc/hosts]
    #[arg(long, value_name = "FILE", env = "TUNSTACK_HOSTS_FILE", help_heading = "Names")]
    pub(crate) hosts_file: Option<PathBuf>,

    /// Serve HTTP [port: 80]; this is what happens when no service is named
    #[arg(long, value_name = "PORT", env = "TUNSTACK_HTTP", num_args = 0..=1, default_missing_value = "80", help_heading = "Services")]
    pub(crate) http: Option<u16>,
    /// Serve the files beneath this directory by HTTP, instead of a page about this stack
    #[arg(long, value_name = "PATH", env = "TUNSTACK_DIR", help_heading = "Services")]
    pub(crate) dir: Option<PathBuf>,
    /// Store what is PUT by HTTP in this directory; without it nothing is stored
    #[arg(long, value_name = "PATH", env = "TUNSTACK_SPOOL", help_heading = "Services")]
    pub(crate) spool: Option<PathBuf>,
    /// Send back what comes, by TCP and UDP [port: 7]
    #[arg(long, value_name = "PORT", env = "TUNSTACK_ECHO", num_args = 0..=1, default_missing_value = "7", help_heading = "Services")]
    pub(crate) echo: Option<u16>,
    /// Throw away what comes, by TCP and UDP [port: 9]
    #[arg(long, value_name = "PORT", env = "TUNSTACK_DISCARD", num_args = 0..=1, default_missing_value = "9", help_heading = "Services")]
    pub(crate) discard: Option<u16>,
    /// Send characters without end, by TCP [port: 19]
    #[arg(long, value_name = "PORT", env = "TUNSTACK_CHARGEN", num_args = 0..=1, default_missing_value = "19", help_heading = "Services")]
    pub(crate) chargen: Option<u16>,
    /// Tell the time, by TCP and UDP [port: 13]
    #[arg(long, value_name = "PORT", env = "TUNSTACK_DAYTIME", num_args = 0..=1, default_missing_value = "13", help_heading = "Services")]
    pub(crate) daytime: Option<u16>,
    /// Greet whoever says a name, by TCP and UDP [port: 8000]
    #[arg(long, value_name = "PORT", env = "TUNSTACK_HELLO", num_args = 0..=1, default_missing_value = "8000", help_heading = "Services")]
    pub(crate) hello: Option<u16>,
    /// Measure throughput with whoever comes with iperf3, by TCP and UDP [port: 5201]
    #[arg(long, value_name = "PORT", env = "TUNSTACK_PERF", num_args = 0..=1, default_missing_value = "5201", help_heading = "Services")]
    pub(crate) perf: Option<u16>,

    /// Write all packets as pcapng, each with what it caused, to this file or, for -, to the standard output
    #[arg(long, value_name = "FILE|-", env = "TUNSTACK_PCAP", help_heading = "Watching and spoiling")]
    pub(crate) pcap: Option<PathBuf>,
    /// Leave super-segments in one piece there, as the interface carries them, instead of as a wire would
    #[arg(long, env = "TUNSTACK_PCAP_WHOLE", num_args = 0..=1, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL", help_heading = "Watching and spoiling")]
    pub(crate) pcap_whole: Option<bool>,
    /// Make the link bad both ways, such as loss=5%,delay=20ms (also duplicate, reorder, corrupt, jitter, rate, ...)
    #[arg(long, value_name = "SPEC", env = "TUNSTACK_FAULT", help_heading = "Watching and spoiling")]
    pub(crate) fault: Option<String>,
    /// Make all random choices from this number, so that a run can be repeated
    #[arg(long, value_name = "N", env = "TUNSTACK_SEED", help_heading = "Watching and spoiling")]
    pub(crate) seed: Option<u64>,

    /// Who reads the interface: caller, a thread that waits for it, or caretaker, always a thread of its own [default: caller]
    #[arg(long, value_name = "WHO", env = "TUNSTACK_DRIVE", help_heading = "Running")]
    pub(crate) drive: Option<String>,
    /// Look for packets a little longer before sleeping, where they come quickly: auto, off, or microseconds [default: auto]
    #[arg(long, value_name = "auto|off|N", env = "TUNSTACK_SPIN", help_heading = "Running")]
    pub(crate) spin: Option<String>,
    /// Which congestion control governs what is sent: newreno, cubic, bbr or bbr3 [default: cubic]
    #[arg(long, value_name = "NAME", env = "TUNSTACK_CC", help_heading = "Running")]
    pub(crate) cc: Option<String>,
    /// Memory for all buffered data of all sockets together, such as 64MiB [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "TUNSTACK_MEMORY", help_heading = "Running")]
    pub(crate) memory: Option<String>,
    /// What a connection's send buffer may grow to [default: 4MiB]
    #[arg(long, value_name = "SIZE", env = "TUNSTACK_SEND_BUFFER_MAX", help_heading = "Running")]
    pub(crate) send_buffer_max: Option<String>,
    /// What a connection's receive buffer, and with it the window, may grow to [default: 6MiB]
    #[arg(long, value_name = "SIZE", env = "TUNSTACK_RECV_BUFFER_MAX", help_heading = "Running")]
    pub(crate) recv_buffer_max: Option<String>,
    /// Write the process id to this file once everything is up
    #[arg(long, value_name = "FILE", env = "TUNSTACK_PID", help_heading = "Running")]
    pub(crate) pid: Option<PathBuf>,
    /// Write "1" to this open descriptor, and close it, once everything is up
    #[arg(long, value_name = "N", env = "TUNSTACK_READY_FD", help_heading = "Running")]
    pub(crate) ready_fd: Option<i32>,
    /// How long connections get to end by themselves at the end [default: 2s]
    #[arg(long, value_name = "TIME", env = "TUNSTACK_GRACE", help_heading = "Running")]
    pub(crate) grace: Option<String>,
}

impl Options {
    /// These options, and where one is not given the one of `fallback`.
    pub(crate) fn or(self, fallback: Options) -> Options {
        // Naming every field makes it an error to forget one.
        let Options {
            tun,
            tun_fd,
            host,
            addr,
            route,
            mtu,
            offload,
            txqueuelen,
            queues,
            netns,
            dns,
            resolv_conf,
            hosts_file,
            accept_any,
            http,
            dir,
            spool,
            echo,
            discard,
            chargen,
            daytime,
            hello,
            perf,
            pcap,
            pcap_whole,
            fault,
            seed,
            drive,
            spin,
            cc,
            memory,
            send_buffer_max,
            recv_buffer_max,
            pid,
            ready_fd,
            grace,
        } = self;
        // A descriptor and a name exclude each other, so one of them given here hides both of the fallback's.
        let device_given = !tun.is_empty() || tun_fd.is_some();
        Options {
            tun: if device_given { tun } else { fallback.tun },
            tun_fd: if device_given { tun_fd } else { fallback.tun_fd },
            host: host.or(fallback.host),
            addr: if addr.is_empty() { fallback.addr } else { addr },
            route: if route.is_empty() { fallback.route } else { route },
            mtu: mtu.or(fallback.mtu),
            offload: offload.or(fallback.offload),
            txqueuelen: txqueuelen.or(fallback.txqueuelen),
            queues: queues.or(fallback.queues),
            netns: netns.or(fallback.netns),
            dns: if dns.is_empty() { fallback.dns } else { dns },
            resolv_conf: resolv_conf.or(fallback.resolv_conf),
            hosts_file: hosts_file.or(fallback.hosts_file),
            accept_any: accept_any.or(fallback.accept_any),
            http: http.or(fallback.http),
            dir: dir.or(fallback.dir),
            spool: spool.or(fallback.spool),
            echo: echo.or(fallback.echo),
            discard: discard.or(fallback.discard),
            chargen: chargen.or(fallback.chargen),
            daytime: daytime.or(fallback.daytime),
            hello: hello.or(fallback.hello),
            perf: perf.or(fallback.perf),
            pcap: pcap.or(fallback.pcap),
            pcap_whole: pcap_whole.or(fallback.pcap_whole),
            fault: fault.or(fallback.fault),
            seed: seed.or(fallback.seed),
            drive: drive.or(fallback.drive),
            spin: spin.or(fallback.spin),
            cc: cc.or(fallback.cc),
            memory: memory.or(fallback.memory),
            send_buffer_max: send_buffer_max.or(fallback.send_buffer_max),
            recv_buffer_max: recv_buffer_max.or(fallback.recv_buffer_max),
            pid: pid.or(fallback.pid),
            ready_fd: ready_fd.or(fallback.ready_fd),
            grace: grace.or(fallback.grace),
        }
    }

    /// Reads a configuration file's text; `name` is its name, for messages.
    ///
    /// # Errors
    /// Of kind `Config`: a syntax error with its place, a value of the wrong type, or an unknown key with the nearest
    /// known one.
    pub(crate) fn from_toml(text: &str, name: &str) -> Result<Options, Failure> {
        let failure = |text: String| Failure::new(Kind::Config, format!("{name}: {text}"));
        let table: toml::Table = text.parse().map_err(|e: toml::de::Error| failure(e.to_string()))?;
        let known = known_keys();
        for key in table.keys() {
            if !known.contains(key) {
                let nearest = nearest(key, &known);
                return Err(failure(format!("there is no setting \"{key}\"; did you mean \"{nearest}\"?")));
            }
        }
        // From the text again, because only so do errors tell the line.
        toml::from_str(text).map_err(|e| failure(e.to_string()))
    }

    /// Reads the file at `path` or, without one, the first of the usual ones that exists.
    ///
    /// # Errors
    /// As [`from_toml`](Options::from_toml), and if a file that was named cannot be read.
    pub(crate) fn from_file(path: Option<&Path>) -> Result<Options, Failure> {
        let candidates = path.map_or_else(usual_files, |path| vec![path.to_owned()]);
        for candidate in candidates {
            match std::fs::read_to_string(&candidate) {
                Ok(text) => return Options::from_toml(&text, &candidate.display().to_string()),
                // The usual places may be another user's: a HOME kept through su, say.
                Err(e) if path.is_none() => log::debug!("no configuration in {}: {e}", candidate.display()),
                Err(e) => return Err(Failure::new(Kind::Config, format!("{}: {e}", candidate.display()))),
            }
        }
        Ok(Options::default())
    }
}

/// Reads a text, or a list of them.
fn one_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMore;

    impl<'de> serde::de::Visitor<'de> for OneOrMore {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a name or a list of names")
        }

        fn visit_str<E: serde::de::Error>(self, one: &str) -> Result<Vec<String>, E> {
            Ok(vec![one.to_owned()])
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = list.next_element()? {
                all.push(one);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(OneOrMore)
}

fn usual_files() -> Vec<PathBuf> {
    let personal = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    personal.into_iter().chain([PathBuf::from("/etc")]).map(|dir| dir.join("tunstack.toml")).collect()
}

/// The names of all options: what a file may hold is what the command line may.
fn known_keys() -> Vec<String> {
    let command = Options::augment_args(clap::Command::new("tunstack"));
    command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect()
}

/// The word of `known` that the fewest edits make of `word`.
fn nearest<'k>(word: &str, known: &'k [String]) -> &'k str {
    known.iter().min_by_key(|k| distance(word, k)).map_or("", String::as_str)
}

/// Levenshtein's distance, in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substitution = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_names_of_the_flags() {
        let text =
            "tun = \"t1\"\naddr = [\"198.51.100.7\"]\nhttp = 8080\ntxqueuelen = 5\npcap = \"x.pcapng\"\nready-fd = 3\n";
        let options = Options::from_toml(text, "f").unwrap();
        assert_eq!(options.tun, ["t1"]);
        assert_eq!(Options::from_toml("tun = [\"t1\", \"t2,mtu=1400\"]", "f").unwrap().tun, ["t1", "t2,mtu=1400"]);
        assert_eq!((options.http, options.txqueuelen, options.ready_fd), (Some(8080), Some(5), Some(3)));
        assert_eq!(options.addr, [IpAddr::from([198, 51, 100, 7])]);
        // Every flag is known to serde under the same name: a value of a type that no option has is an error about the
        // type, not silence.
        for key in known_keys() {
            let error = Options::from_toml(&format!("{key} = {{ x = 1 }}"), "f").unwrap_err();
            let known = ["invalid type", "unknown variant"].iter().any(|what| error.text.contains(what));
            assert!(known, "{key}: {}", error.text);
        }
    }

    #[test]
    fn a_wrong_file_says_where_and_what_else() {
        let error = |text: &str| Options::from_toml(text, "f.toml").unwrap_err();
        let unknown = error("htpp = 80");
        assert_eq!(unknown.kind, Kind::Config);
        assert_eq!(unknown.text, "f.toml: there is no setting \"htpp\"; did you mean \"http\"?");
        assert!(error("tun_name = 1").text.contains("\"tun"));
        assert!(error("http = \"x\"").text.contains("line 1"));
        assert!(error("http = ").text.contains("line 1"));
        assert_eq!(Options::from_file(Some(Path::new("/nonexistent/x"))).unwrap_err().kind, Kind::Config);
    }

    #[test]
    fn what_is_given_goes_before_the_file() {
        let file = || Options::from_toml("tun = \"file\"\nhttp = 1\necho = 2\naddr = [\"192.0.2.9\"]\n", "f").unwrap();
        let given = Options { http: Some(8), addr: vec![IpAddr::from([192, 0, 2, 7])], ..Options::default() };
        let merged = given.or(file());
        assert_eq!((merged.http, merged.echo, &merged.tun[..]), (Some(8), Some(2), &["file".to_owned()][..]));
        assert_eq!(merged.addr, [IpAddr::from([192, 0, 2, 7])]);
        let by_descriptor = Options { tun_fd: Some(5), ..Options::default() }.or(file());
        assert_eq!((by_descriptor.tun, by_descriptor.tun_fd), (Vec::new(), Some(5)));
    }

    #[test]
    fn edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
