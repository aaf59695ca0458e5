//! What became of a run.

use super::coverage::Coverage;
use crate::device::impair::Faults;
use crate::error::Error;
use crate::stats::TcpStats;
use core::time::Duration;

/// What went wrong, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, since the run's start.
    pub at: Duration,
    /// What.
    pub what: String,
}

/// What became of one run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// A hash of every packet, its time and its sender, and of what the applications saw (INV-9).
    pub hash: u64,
    /// Packets sent by both hosts.
    pub packets: u64,
    /// How long it took in virtual time, TIME-WAIT included.
    pub elapsed: Duration,
    /// What became of each flow.
    pub flows: Vec<FlowReport>,
    /// What the two links did, until their faults' end.
    pub faults: [Faults; 2],
    /// The hosts' counters, where they have any to show.
    pub stats: [Option<TcpStats>; 2],
    /// What it has been through.
    pub coverage: Coverage,
    /// What was wrong with it, if anything was.
    pub violation: Option<Violation>,
}

/// What became of one flow. Pairs are of the applications on the two hosts.
#[derive(Clone, Debug)]
pub struct FlowReport {
    /// When it was opened, since the run's start.
    pub opened: Option<Duration>,
    /// Bytes written.
    pub written: [u64; 2],
    /// Bytes read.
    pub read: [u64; 2],
    /// When the last byte was read.
    pub last_read: [Option<Duration>; 2],
    /// What the applications were told, if not the end of the stream.
    pub error: [Option<Error>; 2],
}

impl Report {
    /// Bytes read by all applications.
    pub fn bytes(&self) -> u64 {
        self.flows.iter().flat_map(|flow| flow.read).sum()
    }

    /// Bytes read in the flow and direction that carried most.
    pub fn transfer(&self) -> u64 {
        self.flows.iter().flat_map(|flow| flow.read).max().unwrap_or(0)
    }
}

impl FlowReport {
    /// What host `to` read, in bits a second from the flow's opening to its last byte.
    pub fn goodput(&self, to: usize) -> Option<u64> {
        let time = self.last_read[to]?.checked_sub(self.opened?)?.as_nanos();
        let bits = u128::from(self.read[to]) * 8 * 1_000_000_000;
        bits.checked_div(time).and_then(|rate| u64::try_from(rate).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goodput_is_what_was_read_over_the_time_that_it_took() {
        let second = Duration::from_secs(1);
        let flow = FlowReport {
            opened: Some(second),
            written: [1000, 0],
            read: [0, 1000],
            last_read: [None, Some(3 * second)],
            error: [None; 2],
        };
        assert_eq!((flow.goodput(0), flow.goodput(1)), (None, Some(4000)));
    }
}
