//! `tunstack nc`: the standard input and output as the ends of a connection, or of datagrams.

mod stdin;

use super::client;
use super::error::{Failure, Kind};
use super::forward::everywhere;
use super::options::Options;
use super::output;
use super::target::{self, Family, seconds};
use crate::net::{Host, Shutdown, TcpStream, UdpSocket};
use clap::Args;
use signal_hook::consts::SIGPIPE;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::process::{ExitCode, exit};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use stdin::{Next, Stdin};

/// Bytes that are read at once from a connection.
const BUFFER: usize = 64 * 1024;

/// How often it is looked whether the other way, or the time, is over.
const LOOK: Duration = Duration::from_millis(50);

/// How long a scanned port of UDP has to refuse.
const REFUSAL: Duration = Duration::from_secs(1);

/// The options of `nc`.
#[derive(Args, Debug)]
#[command(
    after_help = "The end of the input is sent as the end of this side (FIN); the connection goes on until the other side \
ends, too. By UDP it goes on until -w or a signal. Exit codes: 0 done, 1 no connection, or it failed; the others are those \
of serve."
)]
pub(crate) struct NcArgs {
    /// HOST PORT, or with -l [ADDRESS] PORT; with -z PORT may be FIRST-LAST
    #[arg(value_name = "HOST|PORT", num_args = 0..=2)]
    target: Vec<String>,
    /// With -l, the port
    #[arg(short, long, requires = "listen")]
    port: Option<String>,
    /// Wait for a connection on this stack, instead of making one
    #[arg(short, long)]
    listen: bool,
    /// Then for another one, and so on
    #[arg(short, long, requires = "listen")]
    keep_open: bool,
    /// By UDP
    #[arg(short, long)]
    udp: bool,
    /// Only look whether there is a connection to be had
    #[arg(short, long, conflicts_with = "listen")]
    zero: bool,
    /// Seconds to wait for a connection (but with -l for ever), and then for anything to come or go
    #[arg(short, long, value_name = "S", value_parser = seconds)]
    wait: Option<Duration>,
    #[command(flatten)]
    family: Family,
    #[command(flatten)]
    options: Options,
}

/// Runs `nc`; the file's options are in `file`.
pub(crate) fn run(args: &NcArgs, file: Options, quiet: bool) -> Result<ExitCode, Failure> {
    let (name, ports) = args.target()?;
    let (port, last) = (*ports.start(), *ports.end());
    client::run(args.options.clone(), file, "nc", |host, _| {
        let nc = Nc { args, host, quiet };
        let done = match (args.listen, args.udp) {
            (true, false) => nc.listen(name, port),
            (true, true) => nc.listen_udp(name, port),
            _ if port < last => nc.try_all(name.unwrap_or_default(), ports),
            (false, false) => nc.connect(name.unwrap_or_default(), port),
            (false, true) => nc.connect_udp(name.unwrap_or_default(), port),
        };
        let to = format!("{} {}", name.unwrap_or_default(), args.target.last().map_or("", String::as_str));
        done.map(|()| ExitCode::SUCCESS).map_err(|e| Failure::new(Kind::Failure, format!("{}: {e}", to.trim())))
    })
}

impl NcArgs {
    /// Whom it is about, and which ports: several with `-z` alone.
    fn target(&self) -> Result<(Option<&str>, RangeInclusive<u16>), Failure> {
        let (name, port) = match (&self.target[..], &self.port) {
            ([], Some(port)) => (None, port),
            ([name], Some(port)) | ([name, port], None) => (Some(name.as_str()), port),
            ([port], None) if self.listen => (None, port),
            _ => return Err(Failure::usage("a host and a port are needed, such as example.org 80; or -l PORT")),
        };
        let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        let range = match port.split_once('-').filter(|_| self.zero) {
            Some((first, last)) => number(first).zip(number(last)).filter(|(first, last)| first <= last),
            None => number(port).map(|port| (port, port)),
        };
        let (first, last) = range.ok_or_else(|| Failure::usage(format!("{port}: not a port from 1 to 65535")))?;
        Ok((name, first..=last))
    }
}

struct Nc<'a> {
    args: &'a NcArgs,
    host: &'a Host,
    quiet: bool,
}

impl Nc<'_> {
    fn connect(&self, name: &str, port: u16) -> io::Result<()> {
        let NcArgs { family, wait, zero, .. } = self.args;
        let stream = client::connect(self.host, name, port, family.families(), *wait).map_err(io::Error::from)?;
        if *zero {
            self.tell(&format!("Connection to {name} {port} port [tcp] succeeded!"));
            return Ok(());
        }
        self.talk(&stream, &Stdin::open()?)
    }

    /// Looks at one port after the other. It is enough if one can be connected to; those that cannot are not told of.
    fn try_all(&self, name: &str, ports: RangeInclusive<u16>) -> io::Result<()> {
        let mut outcome = Err(ErrorKind::NotFound.into());
        for port in ports {
            let tried = if self.args.udp { self.connect_udp(name, port) } else { self.connect(name, port) };
            if outcome.is_err() {
                outcome = tried;
            }
        }
        outcome
    }

    fn listen(&self, name: Option<&str>, port: u16) -> io::Result<()> {
        let listener = self.host.listen(self.own(name, port)?)?;
        let stdin = Stdin::open()?;
        loop {
            let (stream, peer) = listener.accept()?;
            log::info!("connection from {peer}");
            let talked = self.talk(&stream, &stdin);
            if !self.args.keep_open {
                return talked;
            }
            if let Err(e) = talked {
                self.tell(&format!("tunstack: {peer}: {e}"));
            }
        }
    }

    /// The address to listen at.
    fn own(&self, name: Option<&str>, port: u16) -> io::Result<SocketAddr> {
        let addr = match name {
            None => everywhere(self.host),
            Some(text) => text.parse().map_err(|_| {
                io::Error::new(ErrorKind::InvalidInput, "what is listened at must be an address of this stack")
            })?,
        };
        Ok(SocketAddr::new(addr, port))
    }

    fn tell(&self, text: &str) {
        if !self.quiet {
            output::note(text);
        }
    }

    /// Carries the input to `stream`, and what comes from there to the output, until both have ended.
    fn talk(&self, stream: &TcpStream, stdin: &Stdin) -> io::Result<()> {
        let moved = Moved::new(self.args.wait);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let sending = scope.spawn(|| send(stream, stdin, &moved, &over));
            let received = self.receive(stream, &moved);
            // Once the other side has ended nobody waits for a person to type, nor does the next connection.
            let ends = received.is_err() || self.args.keep_open || io::stdin().is_terminal();
            over.store(ends, Ordering::Relaxed);
            let sent = sending.join().unwrap_or_else(|_| Err(io::Error::other("sending has panicked")));
            received.and(sent)
        })
    }

    fn connect_udp(&self, name: &str, port: u16) -> io::Result<()> {
        let peer = SocketAddr::new(self.resolve(name)?, port);
        let socket = self.host.bind_udp((target::any(peer.ip()), 0))?;
        socket.connect(peer)?;
        if self.args.zero {
            return self.scan(&socket, name, port);
        }
        self.exchange(&socket, &Stdin::open()?)
    }

    fn resolve(&self, name: &str) -> io::Result<IpAddr> {
        let families = self.args.family.families();
        let addrs = match name.parse() {
            Ok(addr) => vec![addr],
            Err(_) => self.host.resolve(name)?,
        };
        let first = addrs.into_iter().find(|addr| families.holds(*addr));
        first.ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("{name}: it has no such address")))
    }

    /// Nobody says that a port of UDP is open; but one that is closed is told of.
    fn scan(&self, socket: &UdpSocket, name: &str, port: u16) -> io::Result<()> {
        socket.set_read_timeout(Some(self.args.wait.unwrap_or(REFUSAL)))?;
        socket.send(b"X")?;
        match socket.recv(&mut [0]) {
            Err(e) if !timed_out(&e) => Err(e),
            _ => {
                self.tell(&format!("Connection to {name} {port} port [udp] succeeded!"));
                Ok(())
            }
        }
    }

    fn listen_udp(&self, name: Option<&str>, port: u16) -> io::Result<()> {
        let socket = self.host.bind_udp(self.own(name, port)?)?;
        let mut buf = vec![0; BUFFER];
        if self.args.keep_open {
            loop {
                let (len, _) = socket.recv_from(&mut buf)?;
                self.write_out(&buf[..len])?;
            }
        }
        let (len, peer) = socket.recv_from(&mut buf)?;
        socket.connect(peer)?;
        self.write_out(&buf[..len])?;
        self.exchange(&socket, &Stdin::open()?)
    }

    /// Carries the input to the peer of `socket`, a piece a datagram, and its datagrams to the output.
    fn exchange(&self, socket: &UdpSocket, stdin: &Stdin) -> io::Result<()> {
        let moved = Moved::new(self.args.wait);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let sent = send_udp(socket, stdin, &moved, &over);
                // What cannot be sent is told at once, not when -w is over.
                over.fetch_or(sent.is_err(), Ordering::Relaxed);
                sent
            });
            let received = self.receive_udp(socket, &moved, &over);
            over.store(true, Ordering::Relaxed);
            let sent = sending.join().unwrap_or_else(|_| Err(io::Error::other("sending has panicked")));
            received.and(sent)
        })
    }

    fn receive_udp(&self, socket: &UdpSocket, moved: &Moved, over: &AtomicBool) -> io::Result<()> {
        let mut buf = vec![0; BUFFER];
        while !over.load(Ordering::Relaxed) {
            socket.set_read_timeout(Some(moved.left().unwrap_or(LOOK).min(LOOK)))?;
            match socket.recv(&mut buf) {
                Ok(len) => {
                    moved.now();
                    self.write_out(&buf[..len])?;
                }
                Err(e) if timed_out(&e) && moved.is_over() => return Ok(()),
                Err(e) if timed_out(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Writes out what comes from `stream` until its end.
    fn receive(&self, stream: &TcpStream, moved: &Moved) -> io::Result<()> {
        let mut buf = vec![0; BUFFER];
        let mut reader = stream;
        loop {
            stream.set_read_timeout(moved.left())?;
            match reader.read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(len) => {
                    moved.now();
                    self.write_out(&buf[..len])?;
                }
                Err(e) if timed_out(&e) && moved.is_over() => return Ok(()),
                Err(e) if timed_out(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Writes to the standard output. If nobody reads there any more, the process ends as by SIGPIPE, which Rust's
    /// programs ignore: without a word, whatever there is to be sent yet.
    fn write_out(&self, data: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let written = out.write_all(data).and_then(|()| out.flush());
        if written.as_ref().is_err_and(|e| e.kind() == ErrorKind::BrokenPipe) {
            self.host.shutdown(Duration::ZERO);
            exit(128 + SIGPIPE);
        }
        written
    }
}

/// Sends the input until its end, and then the end; or until it is over, even if the other side takes nothing.
fn send(stream: &TcpStream, stdin: &Stdin, moved: &Moved, over: &AtomicBool) -> io::Result<()> {
    let is_over = || over.load(Ordering::Relaxed) || moved.is_over();
    let mut writer = stream;
    stream.set_write_timeout(Some(LOOK))?;
    while !is_over() {
        let data = match stdin.next(LOOK) {
            Next::Data(data) => data,
            Next::Nothing => continue,
            Next::End => return stream.shutdown(Shutdown::Write).or_else(gone),
        };
        let mut rest = &data[..];
        while !rest.is_empty() && !is_over() {
            match writer.write(rest) {
                Ok(len) => {
                    moved.now();
                    rest = &rest[len..];
                }
                Err(e) if timed_out(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

/// Sends the input until its end, a piece a datagram.
fn send_udp(socket: &UdpSocket, stdin: &Stdin, moved: &Moved, over: &AtomicBool) -> io::Result<()> {
    while !over.load(Ordering::Relaxed) {
        match stdin.next(LOOK) {
            Next::Data(data) => {
                socket.send(&data)?;
                moved.now();
            }
            Next::Nothing => {}
            Next::End => break,
        }
    }
    Ok(())
}

/// A peer that is gone already need not be told of our end.
fn gone(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::NotConnected { Ok(()) } else { Err(error) }
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// When something came or went last, for `-w`.
struct Moved {
    last: Mutex<Instant>,
    wait: Option<Duration>,
}

impl Moved {
    fn new(wait: Option<Duration>) -> Moved {
        Moved { last: Mutex::new(Instant::now()), wait }
    }

    fn last(&self) -> MutexGuard<'_, Instant> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) {
        *self.last() = Instant::now();
    }

    /// How long there is to wait yet; never zero.
    fn left(&self) -> Option<Duration> {
        let wait = self.wait?;
        Some(wait.saturating_sub(self.last().elapsed()).max(Duration::from_millis(1)))
    }

    fn is_over(&self) -> bool {
        self.wait.is_some_and(|wait| self.last().elapsed() >= wait)
    }
}
