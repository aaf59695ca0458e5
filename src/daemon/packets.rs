//! Where a capture goes, and when it is written out.

use super::error::Failure;
use super::settings::Capture;
use crate::device::pcap::PcapTap;
use crate::runtime::{Tap, clock};
use crate::stats::Disposition;
use crate::time::Instant;
use crate::trace::TraceEvent;
use crate::wire::{RxFrame, TxFrame};
use std::fs::File;
use std::io::{self, Write};
use std::time::Duration;

/// A capture in a file may lag behind by this, as long as packets come.
const LAG: Duration = Duration::from_millis(500);

/// A capture that is written out while the stack runs: whoever reads it from a pipe sees each packet at once.
pub(crate) struct CaptureTap {
    tap: PcapTap,
    live: bool,
    written: Instant,
}

impl CaptureTap {
    /// A capture to where `capture` says, of super-segments in one piece if `whole`.
    pub(crate) fn open(capture: &Capture, whole: bool) -> Result<CaptureTap, Failure> {
        let (out, live): (Box<dyn Write + Send>, bool) = match capture {
            Capture::Stdout => (Box::new(io::stdout()), true),
            Capture::File(path) => {
                let file = File::create(path)
                    .map_err(|e| Failure::environment(format!("the capture {}: {e}", path.display())))?;
                (Box::new(file), false)
            }
        };
        let tap = PcapTap::new(out, clock::origin()).map_err(Failure::because("the capture"))?.with_whole(whole);
        Ok(CaptureTap { tap, live, written: Instant::ZERO })
    }

    fn write_if_due(&mut self, now: Instant) {
        if self.live || now.since(self.written) > LAG {
            self.written = now;
            Tap::flush(&mut self.tap);
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
        Tap::rx(&mut self.tap, now, frame, disposition, events);
        self.write_if_due(now);
    }

    fn tx(&mut self, now: Instant, frame: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>) {
        Tap::tx(&mut self.tap, now, frame, events);
        self.write_if_due(now);
    }

    fn flush(&mut self) {
        Tap::flush(&mut self.tap);
    }
}
