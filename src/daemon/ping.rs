//! `tunstack ping`: echo requests over our stack, told as ping(8) tells them.

use super::client::{self, Interrupt};
use super::error::Failure;
use super::options::Options;
use super::output;
use super::target::{self, Family, seconds};
use crate::net::{Echo, EchoError, Host, IcmpError, IcmpSocket};
use clap::Args;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the end of a signal's making is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Requests without an answer whose time is remembered; what is older has no round-trip time.
const REMEMBERED: usize = 65_536;

/// The longest data that fits into a packet.
const MAX_SIZE: u32 = 65_507;

/// The options of `ping`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 a reply came, 1 none came, 2 something else is wrong; the others are those of serve."
)]
pub(crate) struct PingArgs {
    /// Whom to ask
    #[arg(value_name = "HOST")]
    target: String,
    /// Stop after this many requests
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Seconds between requests
    #[arg(short, long, value_name = "S", default_value = "1", value_parser = seconds)]
    interval: Duration,
    /// Bytes of data in a request
    #[arg(short, long, value_name = "SIZE", default_value_t = 56, value_parser = clap::value_parser!(u32).range(..=i64::from(MAX_SIZE)))]
    size: u32,
    /// Seconds to wait for the last reply
    #[arg(short = 'W', long, value_name = "T", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    /// Time to live, or hop limit
    #[arg(short, long, value_name = "TTL", value_parser = clap::value_parser!(u8).range(1..))]
    ttl: Option<u8>,
    /// Print the time of day before each line
    #[arg(short = 'D', long)]
    timestamps: bool,
    #[command(flatten)]
    family: Family,
    #[command(flatten)]
    options: Options,
}

/// Runs `ping`; the file's options are in `file`.
pub(crate) fn run(args: &PingArgs, file: Options, quiet: bool) -> Result<ExitCode, Failure> {
    args.family.check(&args.target)?;
    let settings = target::settings(args.options.clone(), file, "ping")?;
    let (up, signals) = client::bring_up(&settings)?;
    let (handle, interrupt) = (signals.handle(), Arc::new(Interrupt::default()));
    let watcher = interrupt.clone().watch(up.host.clone(), signals);
    let result = args.family.resolve(&up.host, &args.target).and_then(|target| {
        interrupt.begin();
        let run = Ping::new(&up.host, args, target, quiet).and_then(|mut ping| {
            ping.run(&interrupt)?;
            Ok(ping.statistics)
        });
        run.map_err(|e| Failure::usage(format!("{target}: {e}")))
    });
    handle.close();
    // If a signal has ended it, so has it the process.
    let _ = watcher.join();
    up.host.shutdown(Duration::ZERO);
    let statistics = result?;
    output::text(&statistics.summary(&args.target));
    Ok(ExitCode::from(u8::from(statistics.received == 0)))
}

/// A run of it.
struct Ping<'a> {
    args: &'a PingArgs,
    target: IpAddr,
    quiet: bool,
    socket: IcmpSocket,
    data: Vec<u8>,
    /// When the requests that wait for an answer were sent, by their number.
    waiting: BTreeMap<u64, Instant>,
    statistics: Statistics,
}

impl<'a> Ping<'a> {
    fn new(host: &Host, args: &'a PingArgs, target: IpAddr, quiet: bool) -> io::Result<Ping<'a>> {
        let socket = host.bind_icmp(target::any(target))?;
        socket.connect(target)?;
        if let Some(ttl) = args.ttl {
            socket.set_ttl(ttl.into())?;
        }
        let data = (0..args.size).map(|at| at as u8).collect();
        Ok(Ping { args, target, quiet, socket, data, waiting: BTreeMap::new(), statistics: Statistics::default() })
    }

    fn run(&mut self, interrupt: &Interrupt) -> io::Result<()> {
        output::line(&greeting(&self.args.target, self.target, self.data.len()));
        let begun = Instant::now();
        let mut next = begun;
        let last = self.args.count.unwrap_or(u64::MAX);
        while !interrupt.is_stopped() {
            let now = Instant::now();
            let done = self.statistics.sent == last;
            if !done && now >= next {
                self.send(now)?;
                // Behind time, as after a stop of the process, no more are sent at once.
                next = (next + self.args.interval).max(now);
                continue;
            }
            let until = if done { self.last_sent().map_or(now, |at| at + self.args.timeout) } else { next };
            if done && (self.waiting.is_empty() || now >= until) {
                break;
            }
            self.receive(until.saturating_duration_since(now).clamp(Duration::from_micros(1), LOOK))?;
        }
        self.statistics.time = begun.elapsed();
        Ok(())
    }

    /// When the last request that has no answer was sent.
    fn last_sent(&self) -> Option<Instant> {
        self.waiting.values().next_back().copied()
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        self.statistics.sent += 1;
        let number = self.statistics.sent;
        self.waiting.insert(number, now);
        if self.waiting.len() > REMEMBERED {
            self.waiting.pop_first();
        }
        self.socket.send(number as u16, &self.data).map(drop)
    }

    fn receive(&mut self, within: Duration) -> io::Result<()> {
        self.socket.set_read_timeout(Some(within))?;
        let mut buf = vec![0; self.data.len() + 1];
        let echo = match self.socket.recv(&mut buf) {
            Ok(echo) => echo,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        };
        let now = Instant::now();
        let sent = self.number(echo.sequence).and_then(|number| self.waiting.remove(&number));
        let line = match echo.error {
            Some(error) => {
                self.statistics.errors += 1;
                format!("From {} icmp_seq={} {}", echo.source, echo.sequence, complaint(&error))
            }
            None => {
                let round_trip = sent.map(|sent| now.duration_since(sent));
                match round_trip {
                    Some(time) => self.statistics.reply(time),
                    None => self.statistics.duplicates += 1,
                }
                let same = echo.full_len == self.data.len() && buf[..echo.len] == self.data;
                reply(&echo, round_trip, same)
            }
        };
        if !self.quiet {
            output::line(&format!("{}{line}", if self.args.timestamps { time_of_day() } else { String::new() }));
        }
        Ok(())
    }

    /// The number of the request with this sequence number, which has its last 16 bits.
    fn number(&self, sequence: u16) -> Option<u64> {
        let sent = self.statistics.sent;
        let back = u64::from((sent as u16).wrapping_sub(sequence));
        sent.checked_sub(back)
    }
}

fn greeting(name: &str, target: IpAddr, size: usize) -> String {
    match target {
        IpAddr::V4(_) => format!("PING {name} ({target}) {size}({}) bytes of data.", size + 28),
        IpAddr::V6(_) => format!("PING {name} ({target}) {size} data bytes"),
    }
}

fn reply(echo: &Echo, round_trip: Option<Duration>, same: bool) -> String {
    let Echo { source, sequence, ttl, .. } = echo;
    let mut line = format!("{} bytes from {source}: icmp_seq={sequence} ttl={ttl}", echo.full_len + 8);
    match round_trip {
        Some(time) => _ = write!(line, " time={} ms", milliseconds(time)),
        None => line.push_str(" (DUP!)"),
    }
    if !same {
        line.push_str(" (other data)");
    }
    line
}

/// Three digits that count, as ping(8) has them.
fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    let decimals = if ms >= 99.95 {
        0
    } else if ms >= 9.995 {
        1
    } else if ms >= 0.9995 {
        2
    } else {
        3
    };
    format!("{ms:.decimals$}")
}

/// An error in ping(8)'s words.
fn complaint(error: &EchoError) -> String {
    let v4 = error.destination.is_ipv4();
    let (kind, code) = error.message;
    let words = match (error.kind, v4) {
        (IcmpError::NetworkUnreachable, true) => "Destination Net Unreachable",
        (IcmpError::NetworkUnreachable, false) => "Destination unreachable: No route",
        (IcmpError::HostUnreachable, true) => "Destination Host Unreachable",
        (IcmpError::HostUnreachable, false) => "Destination unreachable: Address unreachable",
        (IcmpError::PortUnreachable, true) => "Destination Port Unreachable",
        (IcmpError::PortUnreachable, false) => "Destination unreachable: Port unreachable",
        (IcmpError::ProtocolUnreachable, true) => "Destination Protocol Unreachable",
        (IcmpError::Prohibited, true) => "Packet filtered",
        (IcmpError::Prohibited, false) => "Destination unreachable: Administratively prohibited",
        (IcmpError::TtlExceeded, true) => "Time to live exceeded",
        (IcmpError::TtlExceeded, false) => "Time exceeded: Hop limit",
        (IcmpError::ReassemblyTimedOut, true) => "Frag reassembly time exceeded",
        (IcmpError::ReassemblyTimedOut, false) => "Time exceeded: Defragmentation failure",
        (IcmpError::PacketTooBig { mtu }, true) => return format!("Frag needed and DF set (mtu = {mtu})"),
        (IcmpError::PacketTooBig { mtu }, false) => return format!("Packet too big: mtu={mtu}"),
        (IcmpError::Unknown, _) => return format!("Unknown error: type {kind} code {code}"),
        (IcmpError::ProtocolUnreachable | IcmpError::ParameterProblem { .. }, _) => {
            return format!("Parameter problem: type {kind} code {code}");
        }
    };
    words.to_owned()
}

fn time_of_day() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("[{}.{:06}] ", now.as_secs(), now.subsec_micros())
}

/// What is told at the end.
#[derive(Debug, Default)]
struct Statistics {
    sent: u64,
    received: u64,
    duplicates: u64,
    errors: u64,
    time: Duration,
    /// Of the round trips, in seconds: least, most, sum, and sum of squares.
    least: f64,
    most: f64,
    sum: f64,
    squares: f64,
}

impl Statistics {
    fn reply(&mut self, round_trip: Duration) {
        let seconds = round_trip.as_secs_f64();
        self.least = if self.received == 0 { seconds } else { self.least.min(seconds) };
        self.most = self.most.max(seconds);
        self.sum += seconds;
        self.squares += seconds * seconds;
        self.received += 1;
    }

    fn summary(&self, name: &str) -> String {
        let Statistics { sent, received, duplicates, errors, time, .. } = self;
        let mut text = format!("\n--- {name} ping statistics ---\n{sent} packets transmitted, {received} received");
        if *duplicates > 0 {
            _ = write!(text, ", +{duplicates} duplicates");
        }
        if *errors > 0 {
            _ = write!(text, ", +{errors} errors");
        }
        let lost = sent.saturating_sub(*received) as f64 * 100.0 / (*sent).max(1) as f64;
        // Six significant digits at most, and no zeros at the end.
        let lost = format!("{lost:.4}").trim_end_matches('0').trim_end_matches('.').to_owned();
        _ = writeln!(text, ", {lost}% packet loss, time {}ms", time.as_millis());
        if *received > 0 {
            let mean = self.sum / *received as f64;
            let deviation = (self.squares / *received as f64 - mean * mean).max(0.0).sqrt();
            let [least, mean, most, deviation] = [self.least, mean, self.most, deviation].map(|s| s * 1000.0);
            _ = writeln!(text, "rtt min/avg/max/mdev = {least:.3}/{mean:.3}/{most:.3}/{deviation:.3} ms");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn lines_as_ping_writes_them() {
        let v4: IpAddr = [192, 0, 2, 1].into();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!(greeting("192.0.2.1", v4, 56), "PING 192.0.2.1 (192.0.2.1) 56(84) bytes of data.");
        assert_eq!(greeting("2001:db8::1", v6, 56), "PING 2001:db8::1 (2001:db8::1) 56 data bytes");
        let echo = Echo { source: v4, sequence: 3, len: 56, full_len: 56, ttl: 64, tos: 0, error: None };
        let line = reply(&echo, Some(micros(45)), true);
        assert_eq!(line, "64 bytes from 192.0.2.1: icmp_seq=3 ttl=64 time=0.045 ms");
        assert_eq!(reply(&echo, None, false), "64 bytes from 192.0.2.1: icmp_seq=3 ttl=64 (DUP!) (other data)");
        for (time, text) in
            [(1, "0.001"), (999, "0.999"), (1234, "1.23"), (12_345, "12.3"), (99_940, "99.9"), (123_456, "123")]
        {
            assert_eq!(milliseconds(micros(time)), text);
        }
        let error = |kind, destination| complaint(&EchoError { kind, message: (11, 0), destination });
        assert_eq!(error(IcmpError::TtlExceeded, v4), "Time to live exceeded");
        assert_eq!(error(IcmpError::TtlExceeded, v6), "Time exceeded: Hop limit");
        assert_eq!(error(IcmpError::PacketTooBig { mtu: 1400 }, v4), "Frag needed and DF set (mtu = 1400)");
    }

    #[test]
    fn the_summary_as_ping_writes_it() {
        let mut statistics = Statistics { sent: 3, errors: 1, time: Duration::from_millis(2003), ..Default::default() };
        for time in [100, 300] {
            statistics.reply(micros(time));
        }
        assert_eq!(
            statistics.summary("192.0.2.1"),
            "\n--- 192.0.2.1 ping statistics ---\n3 packets transmitted, 2 received, +1 errors, 33.3333% packet loss, \
             time 2003ms\nrtt min/avg/max/mdev = 0.100/0.200/0.300/0.100 ms\n"
        );
        let none = Statistics { sent: 2, ..Default::default() };
        assert_eq!(
            none.summary("x"),
            "\n--- x ping statistics ---\n2 packets transmitted, 0 received, 100% packet loss, time 0ms\n"
        );
        let all = Statistics { sent: 1, received: 1, ..Default::default() };
        assert!(all.summary("x").contains("1 packets transmitted, 1 received, 0% packet loss"));
    }
}
