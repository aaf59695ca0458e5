//! Live connections, as ss(8) shows the kernel's: which to show, and how.

use super::error::Failure;
use crate::device::{Counters, Device};
use crate::stack::TcpInfo;
use crate::stats::{DropReason, Stats};
use crate::tcp::state::State;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What the daemon tells about itself: its links and its connections.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// The links, as long as the stack holds them.
    pub(crate) links: Vec<Link>,
    /// What became of fragments.
    pub(crate) fragments: Option<Fragments>,
    /// Its connections and listeners.
    pub(crate) rows: Vec<Row>,
}

/// The link to the kernel, as it crosses the control socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Its name.
    pub(crate) name: String,
    /// The largest packet that is sent on it, in bytes.
    pub(crate) mtu: usize,
    /// What the device does for us: names with spaces between them, or `none`.
    pub(crate) offloads: String,
    /// Super-segments received.
    pub(crate) super_in: u64,
    /// Super-segments sent.
    pub(crate) super_out: u64,
    /// Frames that the kernel did not take.
    pub(crate) lost: u64,
    /// Its queues.
    pub(crate) queues: usize,
}

impl Link {
    /// The link `name`, on which packets of `mtu` bytes may be sent, with these queues.
    pub(crate) fn of(name: &str, mtu: usize, queues: &[Arc<dyn Device>]) -> Link {
        let sum = |of: fn(Counters) -> u64| queues.iter().map(|queue| of(queue.counters())).sum();
        Link {
            name: name.to_owned(),
            mtu,
            offloads: queues.first().map_or_else(String::new, |queue| queue.offloads().to_string()),
            super_in: sum(|c| c.super_in),
            super_out: sum(|c| c.super_out),
            lost: sum(|c| c.lost),
            queues: queues.len(),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Link { name, mtu, offloads, super_in, super_out, lost, queues } = self;
        write!(f, "{name}: mtu {mtu}, offloads {offloads}, super-segments {super_in} in {super_out} out, lost {lost}")?;
        if *queues > 1 { write!(f, ", queues {queues}") } else { Ok(()) }
    }
}

/// The counters of fragments, as they cross the control socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fragments {
    /// Packets made of fragments.
    pub(crate) reassembled: u64,
    /// Packets given up, because not all of their fragments came in time.
    pub(crate) timeouts: u64,
    /// Fragments dropped, because those of their packet contradict each other.
    pub(crate) overlaps: u64,
    /// Packets given up before their time, for others to have room.
    pub(crate) evicted: u64,
    /// Packets of ours that were cut.
    pub(crate) fragmented: u64,
    /// The fragments made of them.
    pub(crate) created: u64,
}

impl Fragments {
    /// Those of `stats`.
    pub(crate) fn of(stats: &Stats) -> Fragments {
        Fragments {
            reassembled: stats.ip.reassembled,
            timeouts: stats.ip.reassembly_timeouts,
            overlaps: stats.dropped(DropReason::FragmentOverlap),
            evicted: stats.ip.reassembly_evicted,
            fragmented: stats.ip.fragmented,
            created: stats.ip.fragments_out,
        }
    }
}

impl fmt::Display for Fragments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fragments { reassembled, timeouts, overlaps, evicted, fragmented, created } = self;
        write!(
            f,
            "fragments: reassembled {reassembled}, timeouts {timeouts}, overlaps {overlaps}, evicted {evicted}, "
        )?;
        write!(f, "fragmented {fragmented} into {created}")
    }
}

/// One connection or listener, as it crosses the control socket. Sizes are in bytes, times in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The state in the RFC's spelling.
    pub(crate) state: String,
    /// Our end.
    pub(crate) local: SocketAddr,
    /// The peer's end; unspecified for a listener.
    pub(crate) remote: SocketAddr,
    /// Received bytes not read; for a listener, connections to be accepted.
    pub(crate) recv_queue: usize,
    /// Bytes not acknowledged; for a listener, its backlog.
    pub(crate) send_queue: usize,
    /// Effective send MSS.
    pub(crate) mss: usize,
    /// What the path carries.
    #[serde(default)]
    pub(crate) pmtu: usize,
    /// Congestion window.
    pub(crate) cwnd: u32,
    /// Slow-start threshold; none before the first loss.
    pub(crate) ssthresh: Option<u32>,
    /// Bytes in flight.
    pub(crate) in_flight: u32,
    /// The peer's window.
    pub(crate) snd_wnd: u32,
    /// Our window.
    pub(crate) rcv_wnd: u32,
    /// Smoothed round-trip time.
    pub(crate) srtt_us: Option<u64>,
    /// Its variation.
    pub(crate) rttvar_us: u64,
    /// Retransmission time-out.
    pub(crate) rto_us: u64,
    /// Segments sent again.
    pub(crate) retransmits: u64,
    /// Time-outs in a row, now.
    pub(crate) backoff: u32,
    /// Bytes acknowledged by the peer.
    pub(crate) bytes_acked: u64,
    /// Bytes received in order.
    pub(crate) bytes_received: u64,
    /// Memory pinned by its buffers.
    pub(crate) memory: usize,
    /// Window scales, for sending and receiving.
    pub(crate) window_scale: Option<(u8, u8)>,
    /// Whether time stamps are in use.
    pub(crate) timestamps: bool,
    /// Whether SACK is in use.
    pub(crate) sack: bool,
    /// What governs its output.
    #[serde(flatten)]
    pub(crate) outflow: Outflow,
    /// Whether the application has closed it.
    pub(crate) orphan: bool,
    /// The queue that its packets go through, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<usize>,
}

/// What governs a connection's output. Rates are in bytes a second, times in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Outflow {
    /// The congestion control, and what it is doing.
    pub(crate) congestion: String,
    pub(crate) congestion_phase: String,
    /// What output is paced to.
    pub(crate) pacing_rate: Option<u64>,
    /// The user's limit of that.
    pub(crate) max_pacing_rate: Option<u64>,
    /// What the path delivered lately.
    pub(crate) delivery_rate: u64,
    /// Whether that was all that there was to send.
    pub(crate) app_limited: bool,
    /// The shortest round trip.
    pub(crate) min_rtt_us: Option<u64>,
    /// Bytes delivered, found lost, and never sent.
    pub(crate) delivered: u64,
    pub(crate) lost: u32,
    pub(crate) unsent: u32,
    /// How the time was spent.
    pub(crate) busy_us: u64,
    pub(crate) rwnd_limited_us: u64,
    pub(crate) sndbuf_limited_us: u64,
    /// Whether packets may be marked instead of dropped.
    pub(crate) ecn: bool,
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

impl From<&TcpInfo> for Outflow {
    fn from(info: &TcpInfo) -> Outflow {
        Outflow {
            congestion: info.congestion.into(),
            congestion_phase: info.congestion_phase.into(),
            pacing_rate: info.pacing_rate,
            max_pacing_rate: info.max_pacing_rate,
            delivery_rate: info.delivery_rate,
            app_limited: info.delivery_rate_app_limited,
            min_rtt_us: info.min_rtt.map(micros),
            delivered: info.delivered,
            lost: info.lost,
            unsent: info.unsent,
            busy_us: micros(info.time_spent.busy),
            rwnd_limited_us: micros(info.time_spent.peer_window),
            sndbuf_limited_us: micros(info.time_spent.send_buffer),
            ecn: info.ecn,
        }
    }
}

impl Outflow {
    /// In `ss -i`'s words, before the rest.
    fn first(&self) -> String {
        let ecn = if self.ecn { "ecn " } else { "" };
        let name = if self.congestion.is_empty() { String::new() } else { format!("{} ", self.congestion) };
        format!("{ecn}{name}")
    }

    /// And behind it.
    fn last(&self) -> String {
        let mut out = String::new();
        let rate = |name: &str, bytes: u64| format!(" {name} {}bps", bytes.saturating_mul(8));
        let time = |name: &str, us: u64| format!(" {name}:{}ms", us / 1000);
        out.extend(self.pacing_rate.map(|r| rate("pacing_rate", r)));
        out.extend((self.delivery_rate > 0).then(|| rate("delivery_rate", self.delivery_rate)));
        for (name, us) in
            [("busy", self.busy_us), ("rwnd_limited", self.rwnd_limited_us), ("sndbuf_limited", self.sndbuf_limited_us)]
        {
            out.extend((us > 0).then(|| time(name, us)));
        }
        out.extend((self.unsent > 0).then(|| format!(" notsent:{}", self.unsent)));
        out.extend(self.app_limited.then(|| " app_limited".to_owned()));
        out.extend(self.min_rtt_us.map(|us| format!(" minrtt:{}", us as f64 / 1000.0)));
        out
    }
}

impl From<&TcpInfo> for Row {
    fn from(info: &TcpInfo) -> Row {
        Row {
            state: info.state.to_string(),
            local: info.local,
            remote: info.remote,
            recv_queue: info.recv_queue,
            send_queue: info.send_queue,
            mss: info.mss,
            pmtu: info.pmtu,
            cwnd: info.cwnd,
            ssthresh: (info.ssthresh != u32::MAX).then_some(info.ssthresh),
            in_flight: info.in_flight,
            snd_wnd: info.snd_wnd,
            rcv_wnd: info.rcv_wnd,
            srtt_us: info.srtt.map(micros),
            rttvar_us: micros(info.rttvar),
            rto_us: micros(info.rto),
            retransmits: info.retransmits,
            backoff: info.backoff,
            bytes_acked: info.bytes_acked,
            bytes_received: info.bytes_received,
            memory: info.memory,
            window_scale: info.window_scale,
            timestamps: info.timestamps,
            sack: info.sack,
            outflow: Outflow::from(info),
            orphan: info.orphan,
            queue: None,
        }
    }
}

/// The states with ss's names for them, in filters and in the table.
const STATES: [(State, &str, &str); 11] = [
    (State::Established, "established", "ESTAB"),
    (State::SynSent, "syn-sent", "SYN-SENT"),
    (State::SynReceived, "syn-recv", "SYN-RECV"),
    (State::FinWait1, "fin-wait-1", "FIN-WAIT-1"),
    (State::FinWait2, "fin-wait-2", "FIN-WAIT-2"),
    (State::TimeWait, "time-wait", "TIME-WAIT"),
    (State::Closed, "closed", "UNCONN"),
    (State::CloseWait, "close-wait", "CLOSE-WAIT"),
    (State::LastAck, "last-ack", "LAST-ACK"),
    (State::Listen, "listening", "LISTEN"),
    (State::Closing, "closing", "CLOSING"),
];

/// Which states to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter(Vec<State>);

impl Filter {
    /// The filter that ss(8) makes of `-l`, `-a` and its state words: `state` may stand before each; `all`,
    /// `connected`, `synchronized`, `bucket` and `big` stand for several.
    ///
    /// # Errors
    /// Of kind `Usage`, for a word that names no state.
    pub(crate) fn new(listening: bool, all: bool, words: &[String]) -> Result<Filter, Failure> {
        let mut states = Vec::new();
        for word in words.iter().filter(|word| *word != "state") {
            let word = word.to_ascii_lowercase();
            states.extend(STATES.iter().filter(|entry| matches(&word, entry)).map(|entry| entry.0));
            if !STATES.iter().any(|entry| matches(&word, entry)) {
                let known: Vec<&str> = STATES.iter().map(|entry| entry.1).collect();
                return Err(Failure::usage(format!(
                    "no state is called \"{word}\"; there are {}, all, connected, synchronized, bucket and big",
                    known.join(", ")
                )));
            }
        }
        if !states.is_empty() {
            return Ok(Filter(states));
        }
        let hidden: &[State] = match (all, listening) {
            (true, _) => &[],
            (false, true) => return Ok(Filter(vec![State::Listen])),
            (false, false) => &[State::Listen, State::Closed, State::TimeWait, State::SynReceived],
        };
        Ok(Filter(STATES.iter().map(|entry| entry.0).filter(|state| !hidden.contains(state)).collect()))
    }

    /// Whether to show `row`.
    pub(crate) fn shows(&self, row: &Row) -> bool {
        self.0.iter().any(|state| state.to_string() == row.state)
    }
}

fn matches(word: &str, &(state, name, short): &(State, &str, &str)) -> bool {
    let bucket = matches!(state, State::TimeWait | State::SynReceived);
    let connected = !matches!(state, State::Listen | State::Closed);
    match word {
        "all" => true,
        "connected" => connected,
        "synchronized" => connected && state != State::SynSent,
        "bucket" => bucket,
        "big" => !bucket,
        _ => word == name || word.eq_ignore_ascii_case(short) || word.eq_ignore_ascii_case(&state.to_string()),
    }
}

/// The table. If `info`, with a line about each link and one about fragments before it, and a line of numbers below each
/// connection.
pub(crate) fn table(report: &Report, info: bool) -> String {
    let Report { links, fragments, rows } = report;
    let ends: Vec<(String, String)> = rows.iter().map(|row| (end(row.local), end(row.remote))).collect();
    let width = |of: fn(&(String, String)) -> &String, head: &str| {
        ends.iter().map(|e| of(e).len()).chain([head.len()]).max().unwrap_or(0)
    };
    let (local, remote) = ("Local Address:Port", "Peer Address:Port");
    let (local_width, remote_width) = (width(|e| &e.0, local), width(|e| &e.1, remote));
    let mut out = String::new();
    if info {
        let lines = links.iter().map(Link::to_string).chain(fragments.iter().map(Fragments::to_string));
        lines.for_each(|line| out = std::mem::take(&mut out) + &line + "\n");
    }
    let several = rows.iter().any(|row| row.queue.is_some());
    let queue = if several { " Queue" } else { "" };
    let _ = writeln!(
        out,
        "{:<11} {:>7} {:>7} {local:>local_width$} {remote:>remote_width$}{queue}",
        "State", "Recv-Q", "Send-Q"
    );
    for (row, (local, remote)) in rows.iter().zip(&ends) {
        let queue = row.queue.map_or_else(String::new, |queue| format!(" {queue:>5}"));
        let _ = writeln!(
            out,
            "{:<11} {:>7} {:>7} {local:>local_width$} {remote:>remote_width$}{queue}",
            short(&row.state),
            row.recv_queue,
            row.send_queue,
        );
        // A listener has no numbers, and of TIME-WAIT only the ports are kept.
        if info && row.mss > 0 && row.state != State::Listen.to_string() {
            let _ = writeln!(out, "\t {}", numbers(row));
        }
    }
    out
}

fn short(state: &str) -> &str {
    STATES.iter().find(|entry| entry.0.to_string() == state).map_or(state, |entry| entry.2)
}

/// An address and port in ss's way: `*` for a port that stands for all.
fn end(addr: SocketAddr) -> String {
    let port = if addr.port() == 0 { "*".into() } else { addr.port().to_string() };
    match addr {
        SocketAddr::V4(v4) if *v4.ip() == Ipv4Addr::UNSPECIFIED => format!("0.0.0.0:{port}"),
        SocketAddr::V6(v6) if *v6.ip() == Ipv6Addr::UNSPECIFIED => format!("[::]:{port}"),
        SocketAddr::V4(v4) => format!("{}:{port}", v4.ip()),
        SocketAddr::V6(v6) => format!("[{}]:{port}", v6.ip()),
    }
}

/// What `ss -i` tells of a connection, in its words; windows in segments as there.
fn numbers(row: &Row) -> String {
    let millis = |us: u64| us as f64 / 1000.0;
    let segments = |bytes: u32| bytes as usize / row.mss.max(1);
    let mut out = row.outflow.first();
    if row.timestamps {
        out.push_str("ts ");
    }
    if row.sack {
        out.push_str("sack ");
    }
    if let Some((send, receive)) = row.window_scale {
        let _ = write!(out, "wscale:{send},{receive} ");
    }
    let _ = write!(out, "rto:{}", millis(row.rto_us));
    if row.backoff > 0 {
        let _ = write!(out, " backoff:{}", row.backoff);
    }
    if let Some(srtt) = row.srtt_us {
        let _ = write!(out, " rtt:{}/{}", millis(srtt), millis(row.rttvar_us));
    }
    let _ = write!(out, " mss:{} pmtu:{} cwnd:{}", row.mss, row.pmtu, segments(row.cwnd));
    if let Some(ssthresh) = row.ssthresh {
        let _ = write!(out, " ssthresh:{}", segments(ssthresh));
    }
    let _ = write!(
        out,
        " bytes_acked:{} bytes_received:{} unacked:{} retrans:{} snd_wnd:{} rcv_wnd:{} mem:{}",
        row.bytes_acked, row.bytes_received, row.in_flight, row.retransmits, row.snd_wnd, row.rcv_wnd, row.memory
    );
    out.push_str(&row.outflow.last());
    if row.orphan {
        out.push_str(" orphan");
    }
    out
}

#[cfg(test)]
pub(super) fn sample(state: State) -> Row {
    let local = "192.0.2.2:80".parse().expect("an address");
    let remote = "192.0.2.1:53530".parse().expect("an address");
    Row::from(&TcpInfo {
        send_queue: 2896,
        recv_buffer: 131_072,
        send_buffer: 131_072,
        mss: 1448,
        pmtu: 1500,
        cwnd: 14480,
        ssthresh: u32::MAX,
        in_flight: 2896,
        sacked: 0,
        snd_wnd: 64_256,
        rcv_wnd: 65_535,
        srtt: Some(Duration::from_micros(3500)),
        rttvar: Duration::from_micros(1250),
        rto: Duration::from_millis(204),
        retransmits: 2,
        backoff: 0,
        bytes_acked: 1000,
        bytes_received: 78,
        memory: 4096,
        window_scale: Some((7, 3)),
        timestamps: true,
        sack: true,
        ..TcpInfo::new(state, local, remote)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Disposition;

    #[test]
    fn the_table_is_ss_s() {
        let mut listener = sample(State::Listen);
        listener.local = "0.0.0.0:80".parse().unwrap();
        listener.remote = "0.0.0.0:0".parse().unwrap();
        (listener.recv_queue, listener.send_queue) = (0, 128);
        let expected = "\
State        Recv-Q  Send-Q Local Address:Port Peer Address:Port
LISTEN            0     128         0.0.0.0:80         0.0.0.0:*
ESTAB             0    2896       192.0.2.2:80   192.0.2.1:53530
\t ts sack wscale:7,3 rto:204 rtt:3.5/1.25 mss:1448 pmtu:1500 cwnd:10 bytes_acked:1000 bytes_received:78 unacked:2896 retrans:2 snd_wnd:64256 rcv_wnd:65535 mem:4096
";
        let mut report = Report { rows: vec![listener, sample(State::Established)], ..Report::default() };
        assert_eq!(table(&report, true), expected);
        report.links.push(Link {
            name: "tun0".into(),
            mtu: 1500,
            offloads: "checksum tso4".into(),
            super_in: 12,
            super_out: 34,
            lost: 5,
            queues: 1,
        });
        let link = "tun0: mtu 1500, offloads checksum tso4, super-segments 12 in 34 out, lost 5\n";
        assert_eq!(table(&report, true), format!("{link}{expected}"));
        let mut stats = Stats::default();
        (stats.ip.reassembled, stats.ip.reassembly_timeouts, stats.ip.reassembly_evicted) = (1, 2, 4);
        (stats.ip.fragmented, stats.ip.fragments_out) = (5, 6);
        stats.count(0, Disposition::Dropped(DropReason::FragmentOverlap));
        report.fragments = Some(Fragments::of(&stats));
        let second = Link { name: "tun1".into(), ..report.links[0].clone() };
        report.links.push(second);
        let fragments = "fragments: reassembled 1, timeouts 2, overlaps 1, evicted 4, fragmented 5 into 6\n";
        let links = format!("{link}{}", link.replace("tun0", "tun1"));
        assert_eq!(table(&report, true), format!("{links}{fragments}{expected}"));
        assert_eq!(table(&report, false).lines().count(), 3);

        for (queue, row) in report.rows.iter_mut().enumerate() {
            row.queue = Some(queue);
        }
        let ends = |text: &str| text.lines().map(|l| l.split_whitespace().next_back().unwrap().to_owned()).collect();
        let shown: Vec<String> = ends(&table(&report, false));
        assert_eq!(shown, ["Queue", "0", "1"]);
        report.links[0].queues = 2;
        assert!(table(&report, true).lines().next().unwrap().ends_with("lost 5, queues 2"));
    }

    #[test]
    fn what_governs_output_is_told_in_ss_s_words() {
        let mut row = sample(State::Established);
        row.outflow = Outflow {
            congestion: "bbr".into(),
            pacing_rate: Some(1_000_000),
            delivery_rate: 2_000_000,
            busy_us: 12_000,
            rwnd_limited_us: 3_000,
            min_rtt_us: Some(20_500),
            app_limited: true,
            ecn: true,
            ..Outflow::default()
        };
        let line = numbers(&row);
        assert!(line.starts_with("ecn bbr ts sack "), "{line}");
        let end =
            " pacing_rate 8000000bps delivery_rate 16000000bps busy:12ms rwnd_limited:3ms app_limited minrtt:20.5";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn filters() {
        let shown = |listening, all, words: &[&str]| {
            let words: Vec<String> = words.iter().map(|w| w.to_string()).collect();
            let filter = Filter::new(listening, all, &words).unwrap();
            STATES.iter().filter(|entry| filter.shows(&sample(entry.0))).map(|entry| entry.1).collect::<Vec<_>>()
        };
        assert_eq!(shown(true, false, &[]), ["listening"]);
        assert_eq!(shown(false, true, &[]).len(), 11);
        assert_eq!(shown(false, false, &[]).len(), 7);
        assert_eq!(shown(false, false, &["state", "established"]), ["established"]);
        assert_eq!(shown(false, false, &["ESTAB", "syn-sent"]), ["established", "syn-sent"]);
        assert_eq!(shown(false, false, &["bucket"]), ["syn-recv", "time-wait"]);
        assert_eq!(shown(false, false, &["synchronized"]).len(), 8);
        assert!(Filter::new(false, false, &["establisht".into()]).unwrap_err().text.contains("establisht"));
    }

    #[test]
    fn rows_survive_the_socket() {
        let row = sample(State::FinWait2);
        let line = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&line).unwrap(), row);
        assert!(line.contains("\"ssthresh\":null"), "{line}");
    }
}
