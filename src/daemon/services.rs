//! Starts what was asked for on a running host.

use super::error::Failure;
use super::perf;
use super::settings::{Offer, Settings};
use super::ss::Row;
use crate::apps::chargen::Chargen;
use crate::apps::event_loop::{EventLoop, EventService};
use crate::apps::http::{Http, Root, Site};
use crate::apps::perf::{Event, Server};
use crate::apps::service::{Limits, Service, spawn_tcp, spawn_udp};
use crate::apps::{daytime, discard, echo, hello, http};
use crate::net::{Host, UdpSocket};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Connections that the page about this stack shows.
const MAX_SHOWN: usize = 500;

/// Directories that HTTP serves and fills, opened before anything else so that a mistake ends the start.
#[derive(Default)]
pub(crate) struct Directories {
    dir: Option<Root>,
    spool: Option<Root>,
}

impl Directories {
    /// Opens those that `settings` name.
    pub(crate) fn open(settings: &Settings) -> Result<Directories, Failure> {
        let open = |flag: &str, path: &Path| {
            Root::open(path).map_err(|e| Failure::environment(format!("{flag} {}: {e}", path.display())))
        };
        Ok(Directories {
            dir: settings.dir.as_deref().map(|path| open("--dir", path)).transpose()?,
            spool: settings.spool.as_deref().map(|path| open("--spool", path)).transpose()?,
        })
    }
}

/// Starts `offers` on all addresses of `host`.
pub(crate) fn start(host: &Host, offers: &[Offer], mut directories: Directories) -> Result<(), Failure> {
    let mut loops = Loops::new(host)?;
    for offer in offers {
        match *offer {
            Offer::Http(port) => tcp(host, "http", port, Http::new(site(host, std::mem::take(&mut directories))))?,
            Offer::Echo(port) => {
                loops.tcp("echo", port, || echo::Echo)?;
                loops.udp("echo", port, echo::answer)?;
            }
            Offer::Discard(port) => {
                loops.tcp("discard", port, || discard::Discard)?;
                loops.udp("discard", port, discard::answer)?;
            }
            Offer::Chargen(port) => loops.tcp("chargen", port, Chargen::new)?,
            Offer::Daytime(port) => {
                tcp(host, "daytime", port, daytime::Daytime)?;
                udp(host, "daytime", port, daytime::answer)?;
            }
            Offer::Hello(port) => {
                tcp(host, "hello", port, hello::Hello)?;
                udp(host, "hello", port, hello::answer)?;
            }
            Offer::Perf(port) => perf(host, port, log_test)?,
        }
    }
    loops.spawn()
}

/// An event loop for each queue, and in each the same services: no connection is handed from one thread to another.
struct Loops<'a> {
    host: &'a Host,
    loops: Vec<EventLoop>,
}

impl Loops<'_> {
    fn new(host: &Host) -> Result<Loops<'_>, Failure> {
        let all = Limits::on_loop();
        let limits = Limits { connections: all.connections.div_ceil(host.queues()), ..all };
        let loops = (0..host.queues()).map(|queue| EventLoop::on_queue(host, queue, limits));
        Ok(Loops { host, loops: loops.collect::<io::Result<_>>().map_err(Failure::because("the services"))? })
    }

    fn tcp<S: EventService>(&mut self, name: &'static str, port: u16, service: fn() -> S) -> Result<(), Failure> {
        let listeners = self
            .host
            .listen_on_each(everywhere(self.host, port), EventLoop::backlog())
            .map_err(|e| Failure::because(format!("{name} on TCP port {port}"))(e))?;
        let mut all = self.loops.iter_mut().zip(listeners);
        all.try_for_each(|(own, listener)| own.tcp(name, listener, service())).map_err(Failure::because(name))
    }

    fn udp(&mut self, name: &'static str, port: u16, answer: fn(&[u8]) -> Option<&[u8]>) -> Result<(), Failure> {
        let sockets = self
            .host
            .bind_udp_on_each(everywhere(self.host, port))
            .map_err(|e| Failure::because(format!("{name} on UDP port {port}"))(e))?;
        let mut all = self.loops.iter_mut().zip(sockets);
        all.try_for_each(|(own, socket)| own.udp(name, socket, answer)).map_err(Failure::because(name))
    }

    fn spawn(self) -> Result<(), Failure> {
        let mut busy = self.loops.into_iter().filter(|own| !own.is_empty());
        busy.try_for_each(|own| own.spawn().map(drop)).map_err(Failure::because("the services"))
    }
}

/// Files if there is a directory, else the page about this stack.
fn site(host: &Host, directories: Directories) -> Site {
    let about = || {
        let host = host.clone();
        Site::about(move || serde_json::to_vec(&rows(&host, MAX_SHOWN)).unwrap_or_default())
    };
    let site = if directories.dir.is_some() { Site::default() } else { about() };
    Site { dir: directories.dir, spool: directories.spool, ..site }
}

/// At most `max` of the host's connections.
pub(crate) fn rows(host: &Host, max: usize) -> Vec<Row> {
    let several = host.queues() > 1;
    let of = |queue| {
        let infos = host.snapshot_of(queue).into_iter();
        infos.map(move |info| Row { queue: several.then_some(queue), ..Row::from(&info) })
    };
    (0..host.queues()).flat_map(of).take(max).collect()
}

pub(crate) fn tcp(host: &Host, name: &'static str, port: u16, service: impl Service) -> Result<(), Failure> {
    let listener =
        host.listen(everywhere(host, port)).map_err(|e| Failure::because(format!("{name} on TCP port {port}"))(e))?;
    // HTTP has its own, shorter patience between requests.
    let idle = if name == "http" { http::IDLE } else { Limits::default().idle };
    let limits = Limits { idle, ..Limits::default() };
    spawn_tcp(name, listener, limits, service).map(drop).map_err(Failure::because(name))
}

/// Starts a server for iperf3; `observe` is shown its tests.
pub(crate) fn perf(host: &Host, port: u16, observe: impl Fn(Event) + Send + Sync + 'static) -> Result<(), Failure> {
    let socket = bind(host, "perf", port)?;
    tcp(host, "perf", port, Server::new(socket, perf::cpu_time, observe))
}

fn log_test(event: Event) {
    match event {
        Event::Ended(summary) => log::info!("perf: {} bytes in {:.1} s", summary.bytes(), summary.whole.end),
        Event::Failed(e) => log::info!("perf: the test was broken off: {e}"),
        Event::Started { .. } | Event::Interval(_) => {}
    }
}

fn udp(
    host: &Host,
    name: &'static str,
    port: u16,
    answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> Result<(), Failure> {
    spawn_udp(name, bind(host, name, port)?, answer).map(drop).map_err(Failure::because(name))
}

fn bind(host: &Host, name: &str, port: u16) -> Result<UdpSocket, Failure> {
    host.bind_udp(everywhere(host, port)).map_err(Failure::because(format!("{name} on UDP port {port}")))
}

/// Every address of `host`: of both families, if it has IPv6.
fn everywhere(host: &Host, port: u16) -> SocketAddr {
    let v6 = host.addresses().iter().any(|own| own.addr.is_ipv6());
    let any = if v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(any, port)
}
