//! `tunstack traceroute`: the way to a host, by packets whose time to live runs out on it, told as traceroute(8) tells it.

use super::client::{self, Interrupt};
use super::error::Failure;
use super::options::Options;
use super::output;
use super::target::{self, Family, seconds};
use crate::net::{Host, IcmpError, IcmpSocket, RawSocket, SendMsg, UdpSocket};
use crate::wire::{ip, protocol};
use clap::Args;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The port of the first probe, where nobody is expected to listen.
const FIRST_PORT: u16 = 33_434;

/// Bytes of data in a probe.
const DATA: [u8; 32] = *b"@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_";

/// How often the end of a signal's making is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// The options of `traceroute`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 the host answered, 1 it did not, 2 something else is wrong; the others are those of serve."
)]
pub(crate) struct TracerouteArgs {
    /// The host whose way is wanted
    #[arg(value_name = "HOST")]
    target: String,
    /// Hops to look at
    #[arg(short, long, value_name = "MAX", default_value_t = 30, value_parser = clap::value_parser!(u8).range(1..))]
    max_hops: u8,
    /// Probes for each hop
    #[arg(short = 'q', long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=10))]
    queries: u8,
    /// Seconds to wait for the answers of a hop
    #[arg(short, long, value_name = "S", default_value = "5", value_parser = seconds)]
    wait: Duration,
    /// Probe with echo requests; else with UDP datagrams to ports from 33434 on
    #[arg(short = 'I', long)]
    icmp: bool,
    /// Tell only errors, without the lines at the start
    // In the place of the one that all commands have: `-q` has another meaning here.
    #[arg(long, id = "quiet")]
    _quiet: bool,
    #[command(flatten)]
    family: Family,
    #[command(flatten)]
    options: Options,
}

/// Runs `traceroute`; the file's options are in `file`.
pub(crate) fn run(args: &TracerouteArgs, file: Options) -> Result<ExitCode, Failure> {
    args.family.check(&args.target)?;
    let settings = target::settings(args.options.clone(), file, "traceroute")?;
    let (up, signals) = client::bring_up(&settings)?;
    let (handle, interrupt) = (signals.handle(), Arc::new(Interrupt::default()));
    let watcher = interrupt.clone().watch(up.host.clone(), signals);
    let reached = args.family.resolve(&up.host, &args.target).and_then(|target| {
        interrupt.begin();
        let prober = Prober::new(&up.host, args.icmp, target);
        let reached = prober.and_then(|prober| trace(args, target, &prober, &interrupt));
        reached.map_err(|e| Failure::usage(format!("{target}: {e}")))
    });
    handle.close();
    // If a signal has ended it, so has it the process.
    let _ = watcher.join();
    up.host.shutdown(Duration::ZERO);
    Ok(ExitCode::from(u8::from(!reached?)))
}

/// Tells of hop after hop, and whether the host itself has answered in the end.
fn trace(args: &TracerouteArgs, target: IpAddr, prober: &Prober, interrupt: &Interrupt) -> io::Result<bool> {
    let size = DATA.len() + 8 + ip::header_len(target);
    output::line(&format!(
        "traceroute to {0} ({target}), {1} hops max, {size} byte packets",
        args.target, args.max_hops
    ));
    let mut probe = 0;
    for ttl in 1..=args.max_hops {
        let hop = Hop::probe(prober, ttl, probe, args, interrupt)?;
        probe += u16::from(args.queries);
        output::line(&hop.line(ttl));
        if hop.is_last() {
            return Ok(hop.answers.iter().flatten().any(|answer| answer.from == target));
        }
        if interrupt.is_stopped() {
            break;
        }
    }
    Ok(false)
}

/// What sends the probes and hears of them.
enum Prober {
    /// A socket for the probes, and one that hears all ICMP messages.
    Udp {
        target: IpAddr,
        probes: UdpSocket,
        port: u16,
        answers: RawSocket,
    },
    Echo(IcmpSocket),
}

/// What was heard of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    from: IpAddr,
    /// Where it got to.
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its time to live ran out.
    OnTheWay,
    /// It came to its host.
    Reached,
    /// Somebody does not let it go on.
    Refused(IcmpError),
}

impl Prober {
    fn new(host: &Host, icmp: bool, target: IpAddr) -> io::Result<Prober> {
        let any = target::any(target);
        if icmp {
            let socket = host.bind_icmp(any)?;
            socket.connect(target)?;
            return Ok(Prober::Echo(socket));
        }
        let answers = host.bind_raw(any, if target.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 })?;
        let probes = host.bind_udp(SocketAddr::new(any, 0))?;
        let port = probes.local_addr()?.port();
        Ok(Prober::Udp { target, probes, port, answers })
    }

    fn send(&self, probe: u16, ttl: u8) -> io::Result<()> {
        match self {
            Prober::Udp { target, probes, .. } => {
                let to = SocketAddr::new(*target, FIRST_PORT.wrapping_add(probe));
                probes.send_msg(&SendMsg { ttl: Some(ttl), ..SendMsg::to(to, &DATA) }).map(drop)
            }
            Prober::Echo(socket) => {
                socket.set_ttl(ttl.into())?;
                socket.send(probe, &DATA).map(drop)
            }
        }
    }

    /// The next answer, with the number of the probe that it is about, if one comes in time.
    fn recv(&self, within: Duration) -> io::Result<Option<(u16, Answer)>> {
        let heard = match self {
            Prober::Udp { target, port, answers, .. } => {
                answers.set_read_timeout(Some(within))?;
                let mut buf = [0; 2048];
                answers.recv_msg(&mut buf).map(|got| {
                    let (probe, end) = read(&buf[..got.len], SocketAddr::new(*target, *port))?;
                    Some((probe, Answer { from: got.source.ip(), end }))
                })
            }
            Prober::Echo(socket) => {
                socket.set_read_timeout(Some(within))?;
                socket.recv(&mut []).map(|echo| {
                    let end = echo.error.map_or(End::Reached, |error| match error.kind {
                        IcmpError::TtlExceeded => End::OnTheWay,
                        kind => End::Refused(kind),
                    });
                    Some((echo.sequence, Answer { from: echo.source, end }))
                })
            }
        };
        match heard {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            heard => heard,
        }
    }
}

/// What an ICMP message says of our datagrams from port `ours.port()` to the host `ours.ip()`: about which one, and how it
/// ended. Over IPv4 the IP header comes first.
fn read(packet: &[u8], ours: SocketAddr) -> Option<(u16, End)> {
    let v4 = ours.is_ipv4();
    let message = if v4 { packet.get(ip::parse(packet).ok()?.1)? } else { packet };
    let (&[kind, code, ..], quoted) = message.split_first_chunk::<8>()?;
    let end = match (v4, kind, code) {
        (true, 11, 0) | (false, 3, 0) => End::OnTheWay,
        (true, 3, 3) | (false, 1, 4) => End::Reached,
        (true, 3, 0) | (false, 1, 0) => End::Refused(IcmpError::NetworkUnreachable),
        (true, 3, 2) | (false, 4, 1) => End::Refused(IcmpError::ProtocolUnreachable),
        (true, 3, 4) => {
            End::Refused(IcmpError::PacketTooBig { mtu: u16::from_be_bytes([message[6], message[7]]).into() })
        }
        (true, 3, 9 | 10 | 13) | (false, 1, 1) => End::Refused(IcmpError::Prohibited),
        (true, 3, _) | (false, 1, _) => End::Refused(IcmpError::HostUnreachable),
        _ => return None,
    };
    let (header, len) = ip::parse_quoted(quoted).ok()?;
    let &[a, b, c, d] = quoted.get(len..)?.first_chunk()?;
    let is_ours = header.protocol == protocol::UDP && SocketAddr::new(header.dst, u16::from_be_bytes([a, b])) == ours;
    is_ours.then(|| (u16::from_be_bytes([c, d]).wrapping_sub(FIRST_PORT), end))
}

/// What was heard of the probes of one hop.
struct Hop {
    answers: Vec<Option<Answer>>,
    times: Vec<Duration>,
}

impl Hop {
    /// Sends the probes of a hop, the first of which has the number `first`, and waits for what is heard of them.
    fn probe(prober: &Prober, ttl: u8, first: u16, args: &TracerouteArgs, interrupt: &Interrupt) -> io::Result<Hop> {
        let queries = usize::from(args.queries);
        let mut hop = Hop { answers: vec![None; queries], times: vec![Duration::ZERO; queries] };
        let mut sent = Vec::new();
        for probe in 0..u16::from(args.queries) {
            sent.push(Instant::now());
            prober.send(first.wrapping_add(probe), ttl)?;
        }
        let end = Instant::now() + args.wait;
        while hop.answers.contains(&None) && !interrupt.is_stopped() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let Some((probe, answer)) = prober.recv(left.min(LOOK))? else { continue };
            // Late ones of an earlier hop are nobody's.
            let index = usize::from(probe.wrapping_sub(first));
            if let Some(place @ None) = hop.answers.get_mut(index) {
                *place = Some(answer);
                hop.times[index] = sent[index].elapsed();
            }
        }
        Ok(hop)
    }

    /// Whether nothing can be heard from further away.
    fn is_last(&self) -> bool {
        self.answers.iter().flatten().any(|answer| answer.end != End::OnTheWay)
    }

    fn line(&self, ttl: u8) -> String {
        let mut line = format!("{ttl:2} ");
        let mut shown = None;
        for (answer, time) in self.answers.iter().zip(&self.times) {
            let Some(Answer { from, end }) = answer else {
                line.push_str(" *");
                continue;
            };
            if shown.replace(*from) != Some(*from) {
                _ = write!(line, " {from} ({from})");
            }
            _ = write!(line, "  {:.3} ms", time.as_secs_f64() * 1000.0);
            if let End::Refused(kind) = end {
                _ = write!(line, " {}", mark(*kind));
            }
        }
        line
    }
}

/// traceroute(8)'s marks.
fn mark(kind: IcmpError) -> String {
    match kind {
        IcmpError::NetworkUnreachable => "!N".into(),
        IcmpError::HostUnreachable => "!H".into(),
        IcmpError::ProtocolUnreachable => "!P".into(),
        IcmpError::Prohibited => "!X".into(),
        IcmpError::PacketTooBig { mtu } => format!("!F-{mtu}"),
        _ => "!".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ipv4::{self, Ipv4Header};
    use std::net::Ipv4Addr;

    const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
    const TARGET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);

    fn packet(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let header = Ipv4Header {
            src,
            dst,
            protocol,
            ttl: 1,
            tos: 0,
            id: 0,
            dont_fragment: false,
            more_fragments: false,
            fragment_offset: 0,
        };
        let mut bytes = vec![0; 20];
        ipv4::emit(&header, payload.len(), &mut bytes);
        [&bytes, payload].concat()
    }

    #[test]
    fn messages_about_our_probes_and_no_others_are_read() {
        let probe = packet(US, TARGET, protocol::UDP, &[0x20, 0, 0x82, 0x9f, 0, 40, 0, 0]);
        let message = |kind, code, quoted: &[u8]| {
            let message = [&[kind, code, 0, 0, 0, 0, 5, 0x78][..], quoted].concat();
            read(&packet(Ipv4Addr::new(192, 0, 2, 1), US, protocol::ICMP, &message), (TARGET, 0x2000).into())
        };
        assert_eq!(message(11, 0, &probe), Some((5, End::OnTheWay)));
        assert_eq!(message(3, 3, &probe), Some((5, End::Reached)));
        assert_eq!(message(3, 1, &probe), Some((5, End::Refused(IcmpError::HostUnreachable))));
        assert_eq!(message(3, 4, &probe), Some((5, End::Refused(IcmpError::PacketTooBig { mtu: 1400 }))));
        assert_eq!(message(0, 0, &probe), None);
        assert_eq!(message(11, 0, &packet(US, TARGET, protocol::TCP, &[0x20, 0, 0x82, 0x9f, 0, 40, 0, 0])), None);
        assert_eq!(message(11, 0, &packet(US, TARGET, protocol::UDP, &[0x20, 1, 0x82, 0x9f, 0, 40, 0, 0])), None);
        assert_eq!(message(11, 0, &packet(US, US, protocol::UDP, &[0x20, 0, 0x82, 0x9f, 0, 40, 0, 0])), None);
        assert_eq!(message(11, 0, &probe[..22]), None);
    }

    #[test]
    fn lines_as_traceroute_writes_them() {
        let from = |last| IpAddr::from([192, 0, 2, last]);
        let answer = |last, end| Some(Answer { from: from(last), end });
        let ms = Duration::from_millis(1);
        let hop = |answers| Hop { answers, times: vec![ms, 2 * ms, 3 * ms] };
        let way = End::OnTheWay;
        let lines = [
            (
                hop(vec![answer(1, way), answer(1, way), answer(1, way)]),
                " 1  192.0.2.1 (192.0.2.1)  1.000 ms  2.000 ms  3.000 ms",
            ),
            (hop(vec![None, None, None]), " 1  * * *"),
            (
                hop(vec![answer(1, way), None, answer(2, way)]),
                " 1  192.0.2.1 (192.0.2.1)  1.000 ms * 192.0.2.2 (192.0.2.2)  3.000 ms",
            ),
            (
                hop(vec![answer(1, End::Refused(IcmpError::HostUnreachable)), None, None]),
                " 1  192.0.2.1 (192.0.2.1)  1.000 ms !H * *",
            ),
        ];
        for (hop, line) in lines {
            assert_eq!(hop.line(1), line);
        }
        assert!(hop(vec![answer(9, End::Reached), None, None]).is_last());
        assert!(!hop(vec![answer(1, way), None, None]).is_last());
    }
}
