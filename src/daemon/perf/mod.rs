//! `tunstack perf`: throughput over our sockets, with iperf3 or another of these at the other end.

mod report;

use super::error::{Failure, Kind};
use super::options::Options;
use super::output;
use super::serve::{self, Up};
use super::services;
use super::settings::{Capture, Offer, Settings};
use crate::apps::perf::{self, CpuTime, Event, Params};
use crate::sys::usage;
use clap::Args;
use report::{Reporter, Setup, Style};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// Bit/s of each stream by UDP unless another rate is asked for, as with iperf3.
const UDP_RATE: u64 = 1_000_000;

/// How long connections have to end once an only test is over.
const GRACE: Duration = Duration::from_millis(500);

/// The options of `perf`.
#[derive(Args, Debug)]
#[group(id = "role", args = ["server", "client"], required = true)]
pub(crate) struct PerfArgs {
    /// Wait for clients
    #[arg(short, long)]
    server: bool,
    /// Test against the server with this name or address
    #[arg(short, long, value_name = "HOST", conflicts_with = "server")]
    client: Option<String>,
    /// The server's port
    #[arg(short, long, value_name = "PORT", default_value_t = perf::PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Write JSON, one object a test
    #[arg(short = 'J', long)]
    json: bool,
    /// End after one test
    #[arg(short = '1', long, conflicts_with = "client")]
    one_off: bool,
    /// How long to test, in seconds
    #[arg(short, long, value_name = "SECS", default_value_t = 10, conflicts_with = "server",
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    time: u32,
    /// Streams at once
    #[arg(short = 'P', long, value_name = "N", default_value_t = 1, conflicts_with = "server",
        value_parser = clap::value_parser!(u32).range(1..=128))]
    parallel: u32,
    /// The server sends, we receive
    #[arg(short = 'R', long, conflicts_with_all = ["server", "bidir"])]
    reverse: bool,
    /// Both send
    #[arg(long, conflicts_with = "server")]
    bidir: bool,
    /// By UDP
    #[arg(short, long, conflicts_with = "server")]
    udp: bool,
    /// Bytes of a block or datagram, such as 64K [default: 128K; UDP: what fits into a packet]
    #[arg(short, long, value_name = "BYTES", conflicts_with = "server", value_parser = bytes)]
    length: Option<usize>,
    /// Bit/s of each stream, such as 500M; 0 for as much as goes [default: 0; UDP: 1M]
    #[arg(short, long, value_name = "RATE", conflicts_with = "server", value_parser = rate)]
    bitrate: Option<u64>,
    /// Send small segments at once
    #[arg(short = 'N', long, conflicts_with = "server")]
    no_delay: bool,
    #[command(flatten)]
    options: Options,
}

/// A number with a binary unit.
fn bytes(text: &str) -> Result<usize, String> {
    scaled(text, 1024.0).map(|n| n as usize).ok_or_else(|| "not a number of bytes such as 1400 or 64K".into())
}

/// A number with a decimal unit.
fn rate(text: &str) -> Result<u64, String> {
    scaled(text, 1000.0).map(|n| n as u64).ok_or_else(|| "not a rate such as 500K, 20M or 1.5G".into())
}

fn scaled(text: &str, unit: f64) -> Option<f64> {
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let scale = match suffix {
        "" => 1.0,
        "k" | "K" => unit,
        "m" | "M" => unit * unit,
        "g" | "G" => unit * unit * unit,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * scale).filter(|n| (0.0..=1e15).contains(n))
}

impl PerfArgs {
    fn params(&self, mtu: usize) -> Params {
        Params {
            tcp: !self.udp,
            udp: self.udp,
            time: self.time,
            parallel: self.parallel,
            reverse: self.reverse,
            bidirectional: self.bidir,
            // A datagram fills a packet, less the headers of IPv4 and UDP.
            len: self.length.unwrap_or(if self.udp { mtu.saturating_sub(28).max(16) } else { 0 }),
            bandwidth: self.bitrate.unwrap_or(if self.udp { UDP_RATE } else { 0 }),
            nodelay: self.no_delay,
            ..Params::default()
        }
    }
}

/// Runs `perf`; the file's options are in `file`.
pub(crate) fn run(args: &PerfArgs, file: Options, quiet: bool) -> Result<ExitCode, Failure> {
    let settings = Settings::try_from(args.options.clone())?;
    if !settings.bare {
        return Err(Failure::usage("services are offered by `tunstack serve`, not by `perf`"));
    }
    if let Some(length) = args.length {
        Params { len: length, ..args.params(0) }.check().map_err(|what| Failure::usage(format!("--length: {what}")))?;
    }
    let settings =
        Settings { offers: vec![Offer::Perf(args.port)], bare: false, ..args.options.clone().or(file).try_into()? };
    if settings.pcap == Some(Capture::Stdout) {
        return Err(Failure::usage("--pcap -: the standard output is for the results"));
    }
    let style = if args.json { Style::Json } else { Style::Text };
    match &args.client {
        Some(server) => client(args, server, &settings, style),
        // A reader of JSON wants nothing else.
        None => serve::run_with(&settings, quiet || args.json, |up| server(args, up, &settings, style)),
    }
}

fn server(args: &PerfArgs, up: &Up, settings: &Settings, style: Style) -> Result<(), Failure> {
    let reporter = Mutex::new(Reporter::new(style, Setup::of(up, settings)));
    let (only, up) = (args.one_off, up.clone());
    services::perf(&up.clone().host, args.port, move |event| {
        let over = matches!(event, Event::Ended(_) | Event::Failed(_));
        let mut reporter = reporter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        output::text(&reporter.show(&event, &up));
        if over && only {
            let host = up.host.clone();
            // Whoever tells of the test is itself a part of what is ended.
            thread::spawn(move || host.shutdown(GRACE));
        }
    })
}

fn client(args: &PerfArgs, server: &str, settings: &Settings, style: Style) -> Result<ExitCode, Failure> {
    let (up, mut signals) = super::client::bring_up(settings)?;
    let handle = signals.handle();
    let (host, grace) = (up.host.clone(), settings.grace);
    // A signal ends the stack, and with it the test.
    let watcher = thread::spawn(move || {
        let ended = signals.forever().next();
        ended.inspect(|_| host.shutdown(grace))
    });
    let addr = match server.parse() {
        Ok(addr) => Ok(addr),
        Err(_) => up.host.resolve(server).and_then(|addrs| addrs.first().copied().ok_or(ErrorKind::NotFound.into())),
    };
    let addr: IpAddr = addr.map_err(|e: io::Error| Failure::new(Kind::Failure, e.to_string()))?;
    let server = SocketAddr::new(addr, args.port);
    let mut reporter = Reporter::new(style, Setup::of(&up, settings));
    let params = args.params(up.host.config().mtu);
    let result = perf::run(&up.host, server, &params, cpu_time, &mut |event| output::text(&reporter.show(&event, &up)));
    handle.close();
    let signal = watcher.join().ok().flatten();
    up.host.shutdown(GRACE);
    match (result, signal) {
        (_, Some(signal)) => Ok(ExitCode::from(128 + signal as u8)),
        (Ok(_), None) => Ok(ExitCode::SUCCESS),
        (Err(e), None) => Err(Failure::new(Kind::Failure, format!("{server}: {e}{}", hint(&e)))),
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused if error.raw_os_error().is_some() => "; is `iperf3 -s` running there?",
        _ => "",
    }
}

/// CPU time of this process, for tests.
pub(crate) fn cpu_time() -> CpuTime {
    let (user, system) = usage::cpu_time();
    CpuTime { user, system }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!((bytes("64K"), bytes("1400"), bytes("1.5k")), (Ok(65_536), Ok(1400), Ok(1536)));
        assert_eq!((rate("20M"), rate("1.5G"), rate("0")), (Ok(20_000_000), Ok(1_500_000_000), Ok(0)));
        for wrong in ["", "K", "-1", "1x", "1KB", "1e99", "nan", "inf"] {
            assert!(bytes(wrong).is_err() && rate(wrong).is_err(), "{wrong}");
        }
    }
}
