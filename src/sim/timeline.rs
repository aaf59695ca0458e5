//! What plots are made of: the numbers of each connection over time, and its segments and acknowledgments.

use super::event::Event;
use super::host::Flow;
use super::packet::{Tcp, parse};
use super::scenario::Scenario;
use crate::device::impair::Fate;
use core::time::Duration;

/// Entries of a kind that a track holds; what comes later is counted and left out.
const MOST: usize = 1_000_000;

/// Watches a run ([`World::watch`](super::World::watch)) and keeps what happened to every flow.
///
/// ```
/// use tunstack::sim::{Scenario, Timeline, World};
///
/// let scenario = Scenario::transfer(1, 50_000);
/// let mut timeline = Timeline::new(&scenario);
/// World::new(scenario).watch(&mut |at, event| timeline.record(at, event)).run();
/// let sender = timeline.track(0, 0);
/// assert!(sender.samples.last().is_some_and(|sample| sample.cwnd > 14_600));
/// assert_eq!(sender.segments.iter().map(|segment| segment.to).max(), Some(50_002));
/// ```
#[derive(Clone, Debug)]
pub struct Timeline {
    ports: Vec<[u16; 2]>,
    tracks: Vec<[Track; 2]>,
}

/// What one end of a flow did. Sequence numbers are relative: 0 is the SYN, 1 the first byte.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Its connection's numbers, whenever they changed.
    pub samples: Vec<Sample>,
    /// The segments that it sent, but for those that take no sequence number.
    pub segments: Vec<Segment>,
    /// The acknowledgments that came to it and told something new.
    pub acks: Vec<Acked>,
    /// What was left out because there was too much.
    pub left_out: u64,
    isn: Option<u32>,
    /// The end of what was sent.
    end: u64,
}

/// A connection's numbers at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, since the run's start.
    pub at: Duration,
    /// Congestion window in bytes.
    pub cwnd: u32,
    /// Slow-start threshold in bytes, once there is one.
    pub ssthresh: Option<u32>,
    /// Bytes sent and neither acknowledged nor held by the peer behind a hole.
    pub in_flight: u32,
    /// Smoothed round-trip time, once measured.
    pub srtt: Option<Duration>,
}

/// A segment that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// When, since the run's start.
    pub at: Duration,
    /// Its first sequence number.
    pub from: u64,
    /// The one behind its last.
    pub to: u64,
    /// Whether some of it had been sent before.
    pub again: bool,
    /// What the link did with it.
    pub fate: Fate,
}

/// An acknowledgment that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acked {
    /// When, since the run's start.
    pub at: Duration,
    /// The next number that the peer waits for.
    pub ack: u64,
    /// What it holds beyond: SACK blocks.
    pub sacks: Vec<(u64, u64)>,
}

impl Timeline {
    /// An empty one for a run of `scenario`.
    pub fn new(scenario: &Scenario) -> Self {
        let flows = scenario.flows.len();
        Timeline {
            ports: scenario.flows.iter().map(|flow| flow.ports).collect(),
            tracks: (0..flows).map(|_| [Track::default(), Track::default()]).collect(),
        }
    }

    /// What host `side`'s end of a flow did.
    pub fn track(&self, flow: Flow, side: usize) -> &Track {
        &self.tracks[flow][side]
    }

    /// Takes an event in.
    pub fn record(&mut self, at: Duration, event: &Event<'_>) {
        match *event {
            Event::Info { host, flow, info } => {
                // Before there is something to send there is no window worth the name.
                let ssthresh = (info.ssthresh != u32::MAX && info.ssthresh > 0).then_some(info.ssthresh);
                let in_flight = info.in_flight.saturating_sub(info.sacked);
                let sample = Sample { at, cwnd: info.cwnd, ssthresh, in_flight, srtt: info.srtt };
                let Track { samples, left_out, .. } = &mut self.tracks[flow][host];
                push(samples, left_out, sample);
            }
            Event::Sent { from, packet, fate } => {
                if let Some((flow, tcp)) = self.flow(packet, from) {
                    self.tracks[flow][from].sent(at, &tcp, fate);
                }
            }
            Event::Arrived { at: side, packet } => {
                if let Some((flow, tcp)) = self.flow(packet, 1 - side) {
                    self.tracks[flow][side].acked(at, &tcp);
                }
            }
        }
    }

    fn flow<'p>(&self, packet: &'p [u8], from: usize) -> Option<(Flow, Tcp<'p>)> {
        let tcp = parse(packet).ok()?.tcp?;
        let mut ports = [tcp.src_port, tcp.dst_port];
        if from == 1 {
            ports.reverse();
        }
        // A port that was left to the stack is zero in the plan.
        let fits = |plan: &[u16; 2]| plan.iter().zip(ports).all(|(&known, port)| known == 0 || known == port);
        Some((self.ports.iter().position(fits)?, tcp))
    }
}

impl Track {
    fn sent(&mut self, at: Duration, tcp: &Tcp<'_>, fate: Fate) {
        if tcp.rst() || tcp.is_empty() {
            return;
        }
        if tcp.syn() && self.isn != Some(tcp.seq) {
            self.isn = Some(tcp.seq);
            self.end = 0;
        }
        let Some(from) = self.place(tcp.seq) else { return };
        let to = from + u64::from(tcp.len());
        push(&mut self.segments, &mut self.left_out, Segment { at, from, to, again: from < self.end, fate });
        self.end = self.end.max(to);
    }

    fn acked(&mut self, at: Duration, tcp: &Tcp<'_>) {
        if !tcp.has_ack() || tcp.rst() {
            return;
        }
        let Some(ack) = self.place(tcp.ack).filter(|&ack| ack <= self.end) else { return };
        let blocks = tcp.sack.iter().flatten().filter_map(|&(l, r)| Some((self.place(l)?, self.place(r)?)));
        let sacks: Vec<_> = blocks.collect();
        if !sacks.is_empty() || self.acks.last().is_none_or(|last| ack > last.ack) {
            push(&mut self.acks, &mut self.left_out, Acked { at, ack, sacks });
        }
    }

    /// A sequence number without its 32 bits' end, near what was sent last.
    fn place(&self, seq: u32) -> Option<u64> {
        let relative = seq.wrapping_sub(self.isn?);
        let ahead = relative.wrapping_sub(self.end as u32) as i32;
        self.end.checked_add_signed(ahead.into())
    }
}

fn push<T>(entries: &mut Vec<T>, left_out: &mut u64, entry: T) {
    if entries.len() < MOST {
        entries.push(entry);
    } else {
        *left_out += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    #[test]
    fn losses_show_as_segments_sent_again_and_as_sacks() {
        let mut scenario = Scenario::transfer(1, 300_000);
        scenario.set_link("delay=10ms,nth=20,nth=40".parse().unwrap());
        // The numbers pass 2^32 on the way.
        scenario.hosts[0].config.tcp.fixed_iss = Some(u32::MAX - 1000);
        let mut timeline = Timeline::new(&scenario);
        let report = World::new(scenario).watch(&mut |at, event| timeline.record(at, event)).run();
        assert_eq!(report.violation, None);
        let sender = timeline.track(0, 0);
        let lost: Vec<_> = sender.segments.iter().filter(|s| s.fate == Fate::Lost).collect();
        assert_eq!(lost.len(), 2);
        for segment in lost {
            let repairs = |s: &&Segment| s.again && s.from <= segment.from && s.to >= segment.to && s.at > segment.at;
            assert!(sender.segments.iter().any(|s| repairs(&s)), "{segment:?}");
            assert!(sender.acks.iter().any(|a| a.ack == segment.from && !a.sacks.is_empty()), "{segment:?}");
        }
        assert_eq!(sender.acks.last().map(|a| a.ack), Some(300_002));
        assert!(sender.samples.iter().any(|s| s.ssthresh.is_some()), "the losses had an effect");
        assert!(sender.samples.iter().any(|s| s.srtt.is_some_and(|srtt| srtt >= Duration::from_millis(20))));
        assert_eq!((sender.left_out, timeline.track(0, 1).segments.len()), (0, 2), "SYN and FIN");
    }
}
