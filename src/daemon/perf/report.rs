//! What is printed of a test: a line a second and the sums, or all of it as JSON.

use crate::apps::perf::{Event, FlowResult, Interval, Params, Sample, Summary};
use crate::daemon::serve::Up;
use crate::daemon::settings::Settings;
use crate::daemon::ss::Link;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// For people.
    Text,
    /// For programs: one object a test, on one line.
    Json,
}

/// What a result was reached with: without it no figure can be compared with another.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Setup {
    version: &'static str,
    link: Option<Link>,
    queues: usize,
    txqueuelen: u32,
    /// What TCP offers its peers.
    features: Vec<&'static str>,
}

impl Setup {
    pub(super) fn of(up: &Up, settings: &Settings) -> Setup {
        let tcp = &up.host.config().tcp;
        let features = [(tcp.timestamps, "timestamps"), (tcp.sack, "sack"), (tcp.window_scaling, "window-scaling")];
        Setup {
            version: env!("CARGO_PKG_VERSION"),
            link: up.link(),
            queues: up.host.queues(),
            txqueuelen: settings.txqueuelen,
            features: features.into_iter().filter(|(on, _)| *on).map(|(_, name)| name).collect(),
        }
    }

    fn line(&self) -> String {
        let link = self.link.as_ref().map_or_else(|| "the link is gone".into(), Link::to_string);
        let Setup { version, queues, txqueuelen, features, .. } = self;
        format!("tunstack {version}; {link}; queues {queues}, txqueuelen {txqueuelen}; tcp {}", features.join(" "))
    }
}

/// Writes what happens in one test after another.
pub(super) struct Reporter {
    style: Style,
    setup: Setup,
    ends: Option<(String, String)>,
    udp: bool,
    intervals: Vec<Value>,
}

impl Reporter {
    pub(super) fn new(style: Style, setup: Setup) -> Reporter {
        Reporter { style, setup, ends: None, udp: false, intervals: Vec::new() }
    }

    /// What is to be printed now: whole lines, or nothing.
    pub(super) fn show(&mut self, event: &Event, up: &Up) -> String {
        // The counters of the link grow; the rest stays.
        self.setup.link = up.link().or(self.setup.link.take());
        self.tell(event)
    }

    fn tell(&mut self, event: &Event) -> String {
        match (event, self.style) {
            (Event::Started { params, local, peer }, style) => {
                (self.ends, self.udp) = (Some((local.to_string(), peer.to_string())), params.udp);
                self.intervals.clear();
                if style == Style::Json { String::new() } else { self.opening(params) }
            }
            (Event::Interval(interval), Style::Json) => {
                self.intervals.push(interval_json(interval));
                String::new()
            }
            (Event::Interval(interval), Style::Text) => {
                let mut out = String::new();
                for flow in &interval.flows {
                    line(&mut out, &label(flow), interval.start, interval.end, &Row::of(flow), "");
                }
                if interval.flows.len() > 1 {
                    sums(&mut out, interval, "");
                }
                out
            }
            (Event::Ended(summary), Style::Json) => self.json(summary).to_string() + "\n",
            (Event::Ended(summary), Style::Text) => self.closing(summary),
            (Event::Failed(error), Style::Json) => {
                json!({ "setup": self.setup, "intervals": self.intervals, "error": error.to_string() }).to_string()
                    + "\n"
            }
            (Event::Failed(error), Style::Text) => format!("the test was broken off: {error}\n"),
        }
    }

    fn opening(&self, params: &Params) -> String {
        let (local, peer) = self.ends.clone().unwrap_or_default();
        let protocol = if params.udp { "UDP" } else { "TCP" };
        let streams = if params.parallel == 1 { "stream" } else { "streams" };
        let mut out = format!("{protocol}, our {local} with {peer}; {} {streams}", params.parallel);
        let _ = match params.time {
            0 => writeln!(out, ", blocks of {} bytes", params.block()),
            time => writeln!(out, ", blocks of {} bytes, {time} s", params.block()),
        };
        let _ = writeln!(out, "{}", head(self.udp));
        out
    }

    fn closing(&self, summary: &Summary) -> String {
        let whole = &summary.whole;
        let mut out = format!("- - - - -\n{}\n", head(self.udp));
        for flow in &whole.flows {
            let theirs = other_end(summary, flow);
            let (here, there) = if flow.sends { ("sender", "receiver") } else { ("receiver", "sender") };
            line(&mut out, &label(flow), whole.start, whole.end, &Row::of(flow), here);
            if let Some(theirs) = theirs {
                line(&mut out, &label(flow), 0.0, theirs.end_time, &Row::told(theirs, !flow.sends, self.udp), there);
            }
        }
        if whole.flows.len() > 1 {
            sums(&mut out, whole, "here");
        }
        let cpu = summary.cpu;
        let _ = write!(
            out,
            "CPU of this process: {:.2} s (user {:.2}, system {:.2})",
            cpu.total().as_secs_f64(),
            cpu.user.as_secs_f64(),
            cpu.system.as_secs_f64()
        );
        if let Some(per_gib) = summary.cpu_per_gib() {
            let _ = write!(out, ", {per_gib:.3} s/GiB");
        }
        let _ = writeln!(out, "\n{}", self.setup.line());
        out
    }

    fn json(&self, summary: &Summary) -> Value {
        let cpu = summary.cpu;
        let (local, peer) = self.ends.clone().unwrap_or_default();
        let streams: Vec<Value> = (summary.whole.flows.iter())
            .map(|flow| {
                let theirs = other_end(summary, flow);
                let their = theirs.map(|theirs| told_json(theirs, !flow.sends, self.udp));
                let own = flow_json(flow, summary.whole.end);
                let (sender, receiver) = if flow.sends { (Some(own), their) } else { (their, Some(own)) };
                json!({ "id": flow.id, "sends": flow.sends, "sender": sender, "receiver": receiver })
            })
            .collect();
        json!({
            "start": { "local": local, "peer": peer, "test": summary.params },
            "setup": self.setup,
            "intervals": self.intervals,
            "end": {
                "seconds": summary.whole.end,
                "streams": streams,
                "sum_out": direction_json(&summary.whole, true),
                "sum_in": direction_json(&summary.whole, false),
                "cpu": {
                    "user_seconds": cpu.user.as_secs_f64(),
                    "system_seconds": cpu.system.as_secs_f64(),
                    "seconds_per_gib": summary.cpu_per_gib(),
                },
                "cpu_percent_of_peer": summary.theirs.cpu_util_total,
            },
        })
    }
}

fn other_end<'a>(summary: &'a Summary, flow: &Sample) -> Option<&'a FlowResult> {
    summary.theirs.streams.iter().find(|theirs| theirs.id == flow.id)
}

fn label(flow: &Sample) -> String {
    format!("[{:3}] {}", flow.id, if flow.sends { "out" } else { "in " })
}

fn head(udp: bool) -> String {
    let rest = if udp { "  Jitter      Lost/Total" } else { "  Retr       Cwnd        RTT" };
    format!("[ ID] dir {:>13}     {:>10}  {:>13}{rest}", "interval", "transfer", "rate")
}

/// What stands in a line behind the time.
#[derive(Default)]
struct Row {
    bytes: u64,
    rest: String,
}

impl Row {
    fn of(flow: &Sample) -> Row {
        let mut rest = String::new();
        if let Some(retransmits) = flow.retransmits {
            let _ = write!(rest, "{retransmits:>6}");
        }
        if let Some(cwnd) = flow.cwnd {
            let _ = write!(rest, " {:>10}", binary(u64::from(cwnd)));
        }
        if let Some(srtt) = flow.srtt {
            let _ = write!(rest, " {:>7.3} ms", srtt.as_secs_f64() * 1e3);
        }
        if let Some(count) = flow.datagrams {
            rest = datagrams(flow.sends, count.jitter, count.lost, count.packets);
        }
        Row { bytes: flow.bytes, rest }
    }

    /// As the other end told it.
    fn told(theirs: &FlowResult, sends: bool, udp: bool) -> Row {
        let rest = match (udp, sends && theirs.retransmits >= 0) {
            (true, _) => datagrams(sends, theirs.jitter, theirs.errors.max(0) as u64, theirs.packets.max(0) as u64),
            (false, true) => format!("{:>6}", theirs.retransmits),
            (false, false) => String::new(),
        };
        Row { bytes: theirs.bytes, rest }
    }
}

fn datagrams(sends: bool, jitter: f64, lost: u64, packets: u64) -> String {
    if sends {
        return format!("{:>10} {packets:>15}", "");
    }
    let percent = 100.0 * lost as f64 / packets.max(1) as f64;
    format!("{:>7.3} ms {:>15} ({percent:.2} %)", jitter * 1e3, format!("{lost}/{packets}"))
}

fn line(out: &mut String, label: &str, start: f64, end: f64, row: &Row, role: &str) {
    let bits = rate(row.bytes, end - start);
    let text = format!("{label} {start:>6.2}-{end:<6.2} s   {:>10}  {bits:>13}{}  {role}", binary(row.bytes), row.rest);
    let _ = writeln!(out, "{}", text.trim_end());
}

/// A line for each direction.
fn sums(out: &mut String, interval: &Interval, role: &str) {
    for sends in [true, false] {
        let flows: Vec<&Sample> = interval.flows.iter().filter(|flow| flow.sends == sends).collect();
        if !flows.is_empty() {
            let retransmits: Option<u64> = flows.iter().map(|flow| flow.retransmits).sum();
            let sum = Row {
                bytes: flows.iter().map(|flow| flow.bytes).sum(),
                rest: retransmits.map_or_else(String::new, |n| format!("{n:>6}")),
            };
            let label = if sends { "[SUM] out" } else { "[SUM] in " };
            line(out, label, interval.start, interval.end, &sum, role);
        }
    }
}

/// Bytes with a binary unit, four digits.
fn binary(bytes: u64) -> String {
    scaled(bytes as f64, 1024.0, ["B", "KiB", "MiB", "GiB", "TiB"])
}

fn rate(bytes: u64, seconds: f64) -> String {
    scaled(bits_per_second(bytes, seconds), 1000.0, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

fn bits_per_second(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 * 8.0 / seconds.max(1e-9)
}

fn scaled(value: f64, step: f64, units: [&str; 5]) -> String {
    let (mut value, mut unit) = (value, 0);
    while value >= 999.5 && unit < units.len() - 1 {
        (value, unit) = (value / step, unit + 1);
    }
    let decimals = if unit == 0 || value >= 99.95 { 0 } else { 2 };
    format!("{value:.decimals$} {}", units[unit])
}

fn flow_json(flow: &Sample, seconds: f64) -> Value {
    let mut value = json!({
        "bytes": flow.bytes,
        "seconds": seconds,
        "bits_per_second": bits_per_second(flow.bytes, seconds),
    });
    if let Some(retransmits) = flow.retransmits {
        value["retransmits"] = retransmits.into();
        value["cwnd"] = flow.cwnd.into();
        value["srtt_us"] = flow.srtt.map(|srtt| srtt.as_micros() as u64).into();
    }
    if let Some(count) = flow.datagrams {
        value["packets"] = count.packets.into();
        if !flow.sends {
            value["lost_packets"] = count.lost.into();
            value["jitter_ms"] = (count.jitter * 1e3).into();
        }
    }
    value
}

fn told_json(theirs: &FlowResult, sends: bool, udp: bool) -> Value {
    let mut value = json!({
        "bytes": theirs.bytes,
        "seconds": theirs.end_time,
        "bits_per_second": bits_per_second(theirs.bytes, theirs.end_time),
    });
    if sends && theirs.retransmits >= 0 {
        value["retransmits"] = theirs.retransmits.into();
    }
    if udp {
        value["packets"] = theirs.packets.into();
        if !sends {
            value["lost_packets"] = theirs.errors.into();
            value["jitter_ms"] = (theirs.jitter * 1e3).into();
        }
    }
    value
}

fn direction_json(interval: &Interval, sends: bool) -> Value {
    let bytes: u64 = interval.flows.iter().filter(|flow| flow.sends == sends).map(|flow| flow.bytes).sum();
    json!({ "bytes": bytes, "bits_per_second": bits_per_second(bytes, interval.end - interval.start) })
}

fn interval_json(interval: &Interval) -> Value {
    let seconds = interval.end - interval.start;
    let streams: Vec<Value> = (interval.flows.iter())
        .map(|flow| {
            let mut value = flow_json(flow, seconds);
            value["id"] = flow.id.into();
            value["sends"] = flow.sends.into();
            value
        })
        .collect();
    json!({
        "start": interval.start,
        "end": interval.end,
        "streams": streams,
        "sum_out": direction_json(interval, true),
        "sum_in": direction_json(interval, false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apps::perf::{Count, CpuTime, Results};
    use std::time::Duration;

    fn setup() -> Setup {
        let link = Link {
            name: "tun0".into(),
            mtu: 1500,
            offloads: "checksum tso4".into(),
            super_in: 1,
            super_out: 2,
            lost: 0,
            queues: 1,
        };
        Setup {
            version: "1.2.3",
            link: Some(link),
            queues: 1,
            txqueuelen: 10_000,
            features: vec!["timestamps", "sack"],
        }
    }

    fn sample(id: u32, sends: bool, bytes: u64) -> Sample {
        let tcp = sends.then_some(());
        Sample {
            id,
            sends,
            bytes,
            retransmits: tcp.map(|()| 3),
            cwnd: tcp.map(|()| 524_288),
            srtt: tcp.map(|()| Duration::from_micros(250)),
            datagrams: None,
        }
    }

    fn summary(flows: Vec<Sample>) -> Summary {
        let streams = flows.iter().map(|flow| FlowResult {
            id: flow.id,
            bytes: flow.bytes - 1,
            retransmits: 5,
            end_time: 1.0,
            ..FlowResult::default()
        });
        Summary {
            params: Params { tcp: true, ..Params::default() },
            theirs: Results { streams: streams.collect(), ..Results::default() },
            whole: Interval { start: 0.0, end: 1.0, flows },
            cpu: CpuTime { user: Duration::from_millis(100), system: Duration::from_millis(400) },
        }
    }

    fn reporter(style: Style) -> Reporter {
        let mut reporter = Reporter::new(style, setup());
        let params = Params { tcp: true, ..Params::default() };
        let ends = ("192.0.2.2:1".parse().unwrap(), "192.0.2.1:5201".parse().unwrap());
        reporter.tell(&Event::Started { params: &params, local: ends.0, peer: ends.1 });
        reporter
    }

    #[test]
    fn the_text_is_a_table() {
        let mut reporter = reporter(Style::Text);
        let flows = vec![sample(1, true, 1 << 30), sample(3, false, 1 << 20)];
        let interval = Interval { start: 1.0, end: 2.0, flows: flows.clone() };
        let second = reporter.tell(&Event::Interval(&interval));
        assert_eq!(
            second,
            "\
[  1] out   1.00-2.00   s     1.00 GiB    8.59 Gbit/s     3    512 KiB   0.250 ms
[  3] in    1.00-2.00   s     1.00 MiB    8.39 Mbit/s
[SUM] out   1.00-2.00   s     1.00 GiB    8.59 Gbit/s     3
[SUM] in    1.00-2.00   s     1.00 MiB    8.39 Mbit/s
"
        );
        let end = reporter.tell(&Event::Ended(&summary(flows)));
        assert!(end.contains("\n[  3] in    0.00-1.00   s     1.00 MiB    8.39 Mbit/s     5  sender\n"), "{end}");
        // 0.5 s for 1 GiB and 1 MiB.
        assert!(end.contains("\nCPU of this process: 0.50 s (user 0.10, system 0.40), 0.500 s/GiB\n"), "{end}");
        let last = "tunstack 1.2.3; tun0: mtu 1500, offloads checksum tso4, super-segments 1 in 2 out, lost 0; \
                    queues 1, txqueuelen 10000; tcp timestamps sack\n";
        assert!(end.ends_with(last), "{end}");
    }

    #[test]
    fn datagrams_have_their_own_columns() {
        let count = Count { packets: 200, lost: 5, jitter: 0.0125 };
        let flow = Sample { datagrams: Some(count), ..sample(1, false, 1000) };
        assert_eq!(Row::of(&flow).rest, " 12.500 ms           5/200 (2.50 %)");
        let flow = Sample { sends: true, ..flow };
        assert!(Row::of(&flow).rest.ends_with(" 200"));
    }

    #[test]
    fn the_json_has_everything_of_the_text() {
        let mut reporter = reporter(Style::Json);
        let flows = vec![sample(1, true, 1 << 30)];
        let interval = Interval { start: 0.0, end: 1.0, flows: flows.clone() };
        assert_eq!(reporter.tell(&Event::Interval(&interval)), "");
        let text = reporter.tell(&Event::Ended(&summary(flows)));
        assert!(text.ends_with('\n') && text.lines().count() == 1);
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["setup"]["link"]["offloads"], "checksum tso4");
        assert_eq!((&json["setup"]["queues"], &json["setup"]["txqueuelen"]), (&json!(1), &json!(10_000)));
        assert_eq!(json["intervals"][0]["streams"][0]["cwnd"], 524_288);
        assert_eq!(json["end"]["streams"][0]["sender"]["retransmits"], 3);
        assert_eq!(json["end"]["streams"][0]["receiver"]["bytes"], (1 << 30) - 1);
        assert_eq!(json["end"]["sum_out"]["bits_per_second"], 8_589_934_592.0);
        assert_eq!(json["end"]["cpu"]["seconds_per_gib"], 0.5);
        let failed = reporter.tell(&Event::Failed(&std::io::Error::other("gone")));
        assert!(failed.contains("\"error\":\"gone\""), "{failed}");
    }

    #[test]
    fn units() {
        assert_eq!(
            (binary(999), binary(1024), binary(10_000_000_000)),
            ("999 B".into(), "1.00 KiB".into(), "9.31 GiB".into())
        );
        assert_eq!((rate(125, 1.0), rate(12_500_000, 1.0)), ("1.00 kbit/s".into(), "100 Mbit/s".into()));
    }
}
