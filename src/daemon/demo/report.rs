//! What the demo tells at its end: the ladder of its first connection, and five lines of numbers.

use super::super::output;
use super::Fetched;
use super::ladder::{self, Count, Ladder};
use super::recorder::Recorder;
use crate::stats::Stats;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

/// All that there is to tell.
pub(super) struct Report<'a> {
    pub(super) recorder: &'a Recorder,
    pub(super) stats: Stats,
    /// What the other side is.
    pub(super) client: &'a str,
    pub(super) pcap: &'a Path,
}

impl Report<'_> {
    /// Prints it.
    pub(super) fn print(&self, fetched: Option<&Fetched>) {
        let (sightings, beyond) = self.recorder.sightings();
        let ladders: Vec<Ladder> =
            ladder::connections(&sightings).into_iter().filter_map(|peer| Ladder::build(&sightings, peer)).collect();
        if let Some(first) = ladders.first() {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            output::line("");
            output::line(first.render(self.client, colour).trim_end());
            output::line("");
        }
        if beyond > 0 {
            output::line(&format!("(the ladder lacks {beyond} segments: there were too many)"));
        }
        for line in self.numbers(fetched, ladders.len(), sum(&ladders)) {
            output::line(&line);
        }
    }

    fn numbers(&self, fetched: Option<&Fetched>, connections: usize, count: Count) -> Vec<String> {
        let Count { segments, text, again, lost } = count;
        let Stats { tcp, .. } = &self.stats;
        let client = self.client;
        let mut lines = vec![
            format!(
                "segments    {} by tunstack with {} bytes, {} by the {client} with {} bytes, in {connections} connection{}",
                segments.0,
                text.0,
                segments.1,
                text.1,
                if connections == 1 { "" } else { "s" },
            ),
            format!(
                "sent again  {} by tunstack ({} time-outs, {} fast retransmits), {} by the {client}",
                again.0, tcp.rto, tcp.fast_retransmits, again.1
            ),
            format!("lost        {} on the way to the {client}, {} on the way to tunstack", lost.0, lost.1),
        ];
        if let Some(fetched) = fetched {
            lines.insert(
                0,
                format!(
                    "fetched     {} bytes in {:.3} s: {}",
                    fetched.bytes,
                    fetched.time.as_secs_f64(),
                    rate(fetched)
                ),
            );
            if let Some(info) = &fetched.info {
                let millis = |d: Duration| d.as_secs_f64() * 1000.0;
                lines.push(format!(
                    "round trip  {:.2} ms smoothed; at the end rto {:.0} ms, cwnd {} segments of {} bytes",
                    millis(info.srtt.unwrap_or_default()),
                    millis(info.rto),
                    info.cwnd as usize / info.mss.max(1),
                    info.mss
                ));
            }
        }
        lines
            .push(format!("capture     {} (each packet with a comment: wireshark, or tshark -r)", self.pcap.display()));
        lines
    }
}

fn rate(fetched: &Fetched) -> String {
    let bits = fetched.bytes as f64 * 8.0 / fetched.time.as_secs_f64().max(1e-9);
    if bits >= 1e9 { format!("{:.2} Gbit/s", bits / 1e9) } else { format!("{:.2} Mbit/s", bits / 1e6) }
}

fn sum(ladders: &[Ladder]) -> Count {
    ladders.iter().map(Ladder::count).fold(Count::default(), |a, b| Count {
        segments: (a.segments.0 + b.segments.0, a.segments.1 + b.segments.1),
        text: (a.text.0 + b.text.0, a.text.1 + b.text.1),
        again: (a.again.0 + b.again.0, a.again.1 + b.again.1),
        lost: (a.lost.0 + b.lost.0, a.lost.1 + b.lost.1),
    })
}
