//! The resolver: hickory's, on a thread of its own.

use super::Config;
use super::sockets::Sockets;
use crate::net::{Host, Resolve, Tell, WeakHost};
use hickory_resolver::Hosts;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{self, Name, RData, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::thread;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc;

/// Questions that may wait for their turn.
const WAITING: usize = 256;

type Hickory = hickory_resolver::Resolver<Sockets>;

/// Finds what names stand for, over the sockets of one host: see the [page of this room](super).
#[derive(Debug)]
pub struct Resolver {
    questions: mpsc::Sender<Question>,
}

/// A resource record, as a server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The name that it is about, with a point at the end.
    pub name: String,
    /// For how long it may be remembered, in seconds.
    pub ttl: u32,
    /// Its type, such as `AAAA`.
    pub kind: String,
    /// What it says, as in a zone file.
    pub data: String,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { name, ttl, kind, data } = self;
        write!(f, "{name}\t{ttl}\tIN\t{kind}\t{data}")
    }
}

impl From<&rr::Record> for Record {
    fn from(record: &rr::Record) -> Record {
        Record {
            name: without_controls(&record.name.to_string()),
            ttl: record.ttl,
            kind: record.record_type().to_string(),
            data: match &record.data {
                RData::TXT(text) => text.txt_data.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(" "),
                data => without_controls(&data.to_string()),
            },
        }
    }
}

/// `text` with its control characters as a zone file has them (RFC 1035 5.1): what a server says may reach a terminal.
fn without_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| out.push_str(&format!("\\{byte:03}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// A character string as a zone file has it (RFC 1035 5.1).
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from('"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text.push('"');
    text
}

struct Question {
    name: Name,
    about: About,
}

enum About {
    Addresses(Tell),
    Records(RecordType, std_mpsc::Sender<io::Result<Vec<Record>>>),
}

impl About {
    fn fail(self, error: io::Error) {
        match self {
            About::Addresses(mut tell) => tell(Err(error)),
            // Whoever asked may have gone away.
            About::Records(_, reply) => _ = reply.send(Err(error)),
        }
    }
}

impl Resolver {
    /// A resolver over the sockets of `host`, with a thread that ends when it is dropped. It does not keep the host
    /// running.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(host: &Host, config: Config) -> io::Result<Resolver> {
        let (questions, asked) = mpsc::channel(WAITING);
        let runtime = runtime::Builder::new_current_thread().enable_time().build()?;
        let host = host.downgrade();
        thread::Builder::new().name("names".into()).spawn(move || answer(&runtime, host, &config, asked))?;
        Ok(Resolver { questions })
    }

    /// The records of type `kind`, such as `"MX"`, that `name` has; the addresses of an IP address are its names (`PTR`).
    ///
    /// # Errors
    /// As [`Host::resolve`]; `InvalidInput` if there is no such type.
    pub fn records(&self, name: &str, kind: &str) -> io::Result<Vec<Record>> {
        let kind: RecordType = kind
            .to_ascii_uppercase()
            .parse()
            .map_err(|_| io::Error::new(ErrorKind::InvalidInput, format!("{kind}: there is no such type of record")))?;
        let parsed = match name.parse::<IpAddr>() {
            Ok(addr) if kind == RecordType::PTR => Name::from(addr),
            _ => parse(name)?,
        };
        let (reply, answer) = std_mpsc::channel();
        self.ask(Question { name: parsed, about: About::Records(kind, reply) });
        answer.recv().unwrap_or_else(|_| Err(ended()))
    }

    fn ask(&self, question: Question) {
        if let Err(error) = self.questions.try_send(question) {
            let (question, error) = match error {
                mpsc::error::TrySendError::Full(question) => {
                    (question, io::Error::other(format!("{WAITING} names are being looked up already")))
                }
                mpsc::error::TrySendError::Closed(question) => (question, ended()),
            };
            question.about.fail(error);
        }
    }
}

impl Resolve for Resolver {
    fn look_up(&self, name: &str, mut tell: Tell) {
        if let Ok(addr) = name.parse() {
            return tell(Ok(vec![addr]));
        }
        match parse(name) {
            Ok(name) => self.ask(Question { name, about: About::Addresses(tell) }),
            Err(error) => tell(Err(error)),
        }
    }
}

fn parse(name: &str) -> io::Result<Name> {
    let wrong = |why: String| io::Error::new(ErrorKind::InvalidInput, format!("\"{name}\" is no name: {why}"));
    let parsed = Name::from_utf8(name).map_err(|e| wrong(e.to_string()))?;
    if name.is_empty() {
        return Err(wrong("it is empty".into()));
    }
    Ok(parsed)
}

fn ended() -> io::Error {
    io::Error::new(ErrorKind::ConnectionAborted, "the host has ended")
}

/// Answers questions until nobody can ask any more.
fn answer(runtime: &Runtime, host: WeakHost, config: &Config, mut asked: mpsc::Receiver<Question>) {
    runtime.block_on(async move {
        let mut made: Option<Made> = None;
        while let Some(Question { name, about }) = asked.recv().await {
            let resolver = match &made {
                Some(resolver) => Ok(resolver),
                // A file that was wrong may be right the next time.
                None => Made::new(&host, config).map(|new| &*made.insert(new)),
            };
            match (resolver, about) {
                (Err(error), about) => about.fail(error),
                (Ok(resolver), About::Addresses(tell)) => resolver.addresses(name, &host, tell),
                (Ok(resolver), About::Records(kind, reply)) => {
                    if let Err(error) = resolver.can_ask() {
                        About::Records(kind, reply).fail(error);
                        continue;
                    }
                    let resolver = resolver.resolver.clone();
                    tokio::spawn(async move {
                        let found = resolver.lookup(name.clone(), kind).await;
                        let records = found.map(|lookup| lookup.answers().iter().map(Record::from).collect());
                        // Whoever asked may have gone away.
                        let _ = reply.send(records.map_err(|error| told(&name, error)));
                    });
                }
            }
        }
    });
}

/// hickory's resolver, made of the files.
struct Made {
    resolver: Arc<Hickory>,
    hosts: Arc<Hosts>,
    /// Whether names may be looked for in several domains.
    searches: bool,
    /// A name with so many labels more than one is first asked for as it is.
    dots: usize,
    /// Why no server can be asked.
    deaf: Option<String>,
}

impl Made {
    fn new(host: &WeakHost, config: &Config) -> io::Result<Made> {
        let (servers, mut options) = servers(config)?;
        let searches = !servers.search().is_empty() || servers.domain().is_some();
        let (dots, deaf) = (options.ndots, config.servers.is_empty().then(|| deaf(&servers, host, config)).flatten());
        // The hosts file is ours to choose.
        options.use_hosts_file = ResolveHosts::Never;
        let mut builder = Hickory::builder_with_config(servers, Sockets::new(host.clone()));
        *builder.options_mut() = options;
        let mut resolver = builder.build().map_err(io::Error::other)?;
        let hosts = Arc::new(hosts(&config.hosts)?);
        resolver.set_hosts(hosts.clone());
        Ok(Made { resolver: Arc::new(resolver), hosts, searches, dots, deaf })
    }

    /// The addresses that the hosts file has for `name`. If it has any, no server is asked, not even for the other family.
    fn in_file(&self, name: &Name) -> Vec<IpAddr> {
        let of = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found = [RecordType::AAAA, RecordType::A].into_iter().filter_map(of);
        found.flat_map(|lookup| addrs(&lookup)).collect()
    }

    /// Looks for the addresses of `name` of the families that the host has.
    fn addresses(&self, name: Name, host: &WeakHost, mut tell: Tell) {
        let Some(host) = host.upgrade() else { return tell(Err(ended())) };
        let has = |v4: bool| host.addresses().iter().any(|own| own.addr.is_ipv4() == v4);
        let (v4, v6) = (has(true), has(false));
        let mut known = self.in_file(&name);
        if !known.is_empty() {
            known.retain(|addr| if addr.is_ipv4() { v4 } else { v6 });
            return tell(Ok(known));
        }
        if let Err(error) = self.can_ask() {
            return tell(Err(error));
        }
        let resolver = self.resolver.clone();
        if self.searches && !name.is_fqdn() && v4 && v6 {
            let as_it_is = usize::from(name.num_labels()) > self.dots;
            tokio::spawn(search(resolver, name, as_it_is, tell));
            return;
        }
        let tell = Arc::new(Mutex::new(tell));
        for kind in [RecordType::AAAA, RecordType::A] {
            if if kind == RecordType::A { !v4 } else { !v6 } {
                continue;
            }
            let (resolver, name, tell) = (resolver.clone(), name.clone(), tell.clone());
            tokio::spawn(async move {
                let answer = of_kind(&resolver, &name, kind).await;
                tell.lock().unwrap_or_else(PoisonError::into_inner)(answer);
            });
        }
    }

    fn can_ask(&self) -> io::Result<()> {
        self.deaf.as_ref().map_or(Ok(()), |why| Err(io::Error::other(why.clone())))
    }
}

/// Looks for the addresses of a name that may be one of several domains; first for the name `as_it_is`, of which each family
/// is told as it comes.
async fn search(resolver: Arc<Hickory>, name: Name, as_it_is: bool, tell: Tell) {
    let tell = Mutex::new(tell);
    let say = |answer| tell.lock().unwrap_or_else(PoisonError::into_inner)(answer);
    if as_it_is {
        let mut whole = name.clone();
        whole.set_fqdn(true);
        let ask = async |kind| match of_kind(&resolver, &whole, kind).await {
            Ok(addrs) => {
                say(Ok(addrs));
                None
            }
            Err(error) => Some(error),
        };
        let (v6, v4) = tokio::join!(ask(RecordType::AAAA), ask(RecordType::A));
        let (Some(v6), Some(v4)) = (v6, v4) else { return };
        if let Some(error) = [v6, v4].into_iter().find(|error| error.kind() != ErrorKind::NotFound) {
            return say(Err(error));
        }
    }
    // Both must be of the same domain of the list.
    let found = resolver.lookup_ip(name.clone()).await;
    say(found.map(|lookup| lookup.iter().collect()).map_err(|error| told(&name, error)));
}

async fn of_kind(resolver: &Hickory, name: &Name, kind: RecordType) -> io::Result<Vec<IpAddr>> {
    let found = resolver.lookup(name.clone(), kind).await;
    found.map(|lookup| addrs(&lookup)).map_err(|error| told(name, error))
}

/// Why none of the servers that the system has for itself can be asked over this stack, if that is so.
fn deaf(servers: &ResolverConfig, host: &WeakHost, config: &Config) -> Option<String> {
    let host = host.upgrade()?;
    let own = |ip: IpAddr| host.addresses().iter().any(|own| own.addr == ip);
    let mut all = servers.name_servers().iter().map(|server| server.ip).peekable();
    let none = all.peek().is_some() && all.all(|ip| ip.is_loopback() && !own(ip));
    none.then(|| {
        format!(
            "{}: its name servers are at a loopback address, which is this stack's own here; choose others (--dns ADDR, \
             --resolv-conf FILE, such as /run/systemd/resolve/resolv.conf)",
            config.resolv_conf.display()
        )
    })
}

fn addrs(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

fn servers(config: &Config) -> io::Result<(ResolverConfig, ResolverOpts)> {
    if config.servers.is_empty() {
        let failed = |error: &dyn fmt::Display| format!("{}: {error}", config.resolv_conf.display());
        // Not by its kind, which would say that there is no such name.
        let text = std::fs::read(&config.resolv_conf).map_err(|e| io::Error::other(failed(&e)))?;
        return parse_resolv_conf(text).map_err(|e| io::Error::other(failed(&e)));
    }
    let servers = config.servers.iter().map(server).collect();
    Ok((ResolverConfig::from_parts(None, Vec::new(), servers), ResolverOpts::default()))
}

fn server(at: &SocketAddr) -> NameServerConfig {
    let mut ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    ways.iter_mut().for_each(|way| way.port = at.port());
    NameServerConfig::new(at.ip(), true, ways.into())
}

fn hosts(path: &Path) -> io::Result<Hosts> {
    let mut hosts = Hosts::default();
    match File::open(path).and_then(|file| hosts.read_hosts_conf(file)) {
        Ok(()) => Ok(hosts),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(hosts),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// hickory's error in our words.
fn told(name: &Name, error: NetError) -> io::Error {
    let name = name.to_string();
    let name = name.trim_end_matches('.');
    let (kind, what) = match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => (ErrorKind::NotFound, "there is no such name".into()),
            ResponseCode::NoError => (ErrorKind::NotFound, "it has no such records".into()),
            code => (ErrorKind::Other, format!("the server says: {code}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => (ErrorKind::Other, format!("the server says: {code}")),
        NetError::Timeout => (ErrorKind::TimedOut, "no server answers".into()),
        NetError::NoConnections => (ErrorKind::HostUnreachable, "no server can be reached".into()),
        NetError::Io(error) => (error.kind(), format!("asking for it failed: {error}")),
        error => (ErrorKind::Other, error.to_string()),
    };
    io::Error::new(kind, format!("{name}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::rdata::HINFO;
    use std::io::Write;

    #[test]
    fn servers_of_the_list_go_before_those_of_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(
            file,
            "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.org\noptions timeout:2 attempts:1"
        )
        .unwrap();
        let mut config = Config { resolv_conf: file.path().into(), ..Config::default() };
        let (from_file, options) = servers(&config).unwrap();
        let addrs: Vec<IpAddr> = from_file.name_servers().iter().map(|server| server.ip).collect();
        assert_eq!(addrs, [IpAddr::from([192, 0, 2, 53]), "2001:db8::53".parse().unwrap()]);
        assert_eq!((options.timeout.as_secs(), options.attempts), (2, 1));
        assert_eq!(from_file.search()[0].to_string(), "example.org");
        config.servers = vec!["192.0.2.1:5353".parse().unwrap()];
        let (given, _) = servers(&config).unwrap();
        assert_eq!(given.name_servers().len(), 1);
        assert!(given.name_servers()[0].connections.iter().all(|way| way.port == 5353));
        let missing = Config { resolv_conf: "/nonexistent/resolv.conf".into(), ..Config::default() };
        let error = servers(&missing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other, "there may be such a name");
        assert!(error.to_string().contains("/nonexistent/resolv.conf"), "{error}");
    }

    #[test]
    fn words_as_in_a_zone_file() {
        assert_eq!(quoted(b"some \"words\" \\ \x07\xff"), r#""some \"words\" \\ \007\255""#);
    }

    #[test]
    fn a_terminal_is_given_no_orders() {
        let owner = Name::from_labels([&b"a\x1b[2J"[..], b"example"]).unwrap();
        let data = HINFO::new("x\x07\x7f".into(), "y\u{9b}1m \u{fc}".into());
        let record = Record::from(&rr::Record::from_rdata(owner, 60, RData::HINFO(data)));
        assert_eq!(record.data, "x\\007\\127 y\\194\\1551m \u{fc}");
        assert!(!record.to_string().replace('\t', " ").contains(char::is_control), "{record:?}");
    }

    #[test]
    fn names_are_checked_before_anybody_is_asked() {
        for wrong in ["", "a..b", &"x".repeat(64), &"x.".repeat(128)] {
            assert_eq!(parse(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong:?}");
        }
        assert_eq!(parse("example.org").unwrap().to_string(), "example.org");
        assert_eq!(parse("b\u{fc}cher.example").unwrap().to_ascii(), "xn--bcher-kva.example");
    }
}
