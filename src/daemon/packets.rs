//! Packets for people: a capture with a comment on each, and lines in the log.

use super::error::Failure;
use super::settings::Capture;
use crate::device::pcap::{PcapTap, comment};
use crate::runtime::{Tap, clock};
use crate::stats::Disposition;
use crate::time::Instant;
use crate::trace::TraceEvent;
use crate::wire::{RxFrame, TxFrame, pretty};
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A capture in a file may lag behind by this.
const LAG: Duration = Duration::from_millis(500);

/// The log target of packets: `RUST_LOG=tunstack::packets=trace`.
const TARGET: &str = "tunstack::packets";

/// Writes a capture while the stack runs.
pub(crate) struct CaptureTap {
    tap: PcapTap,
    /// Whether each packet is to be seen at once.
    live: bool,
    flushed: Instant,
}

impl CaptureTap {
    /// A capture to where `capture` says.
    pub(crate) fn open(capture: &Capture) -> Result<CaptureTap, Failure> {
        let (out, live): (Box<dyn Write + Send>, bool) = match capture {
            Capture::Stdout => (Box::new(io::stdout()), true),
            Capture::File(path) => {
                let file = File::create(path)
                    .map_err(|e| Failure::environment(format!("the capture {}: {e}", path.display())))?;
                (Box::new(file), false)
            }
        };
        // The stack's clock began at an origin of its own; a capture tells the time of day.
        let origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin = origin.saturating_sub(clock::now().since(Instant::ZERO));
        let tap = PcapTap::new(out, origin).map_err(Failure::because("the capture"))?;
        Ok(CaptureTap { tap, live, flushed: Instant::ZERO })
    }

    fn flush_if_due(&mut self, now: Instant) {
        if self.live || now.since(self.flushed) > LAG {
            self.flushed = now;
            self.flush();
        }
    }
}

impl Tap for CaptureTap {
    fn rx(
        &mut self,
        now: Instant,
        frame: &RxFrame,
        disposition: Disposition,
        events: &mut dyn Iterator<Item = TraceEvent>,
    ) {
        self.tap.rx(now, frame, &comment(events, Some(disposition)));
        self.flush_if_due(now);
    }

    fn tx(&mut self, now: Instant, frame: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>) {
        self.tap.tx(now, frame, &comment(events, None));
        self.flush_if_due(now);
    }

    fn flush(&mut self) {
        if let Err(e) = self.tap.flush() {
            log::debug!("the capture: {e}");
        }
    }
}

/// Writes every packet into the log.
pub(crate) struct LogTap;

impl LogTap {
    /// Whether anybody wants to read it.
    pub(crate) fn is_wanted() -> bool {
        log::log_enabled!(target: TARGET, log::Level::Trace)
    }
}

impl Tap for LogTap {
    fn rx(
        &mut self,
        _now: Instant,
        frame: &RxFrame,
        disposition: Disposition,
        events: &mut dyn Iterator<Item = TraceEvent>,
    ) {
        log::trace!(target: TARGET, "in  {}{}", pretty::packet(&frame.data), aside(&comment(events, Some(disposition))));
    }

    fn tx(&mut self, _now: Instant, frame: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>) {
        log::trace!(target: TARGET, "out {}{}", pretty::packet(&frame.to_vec()), aside(&comment(events, None)));
    }

    fn flush(&mut self) {}
}

fn aside(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!("  [{comment}]") }
}
