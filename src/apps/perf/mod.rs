//! Measuring throughput, in the protocol of iperf3: the other end is a stock iperf3 on the kernel's sockets, or another
//! of these.
//!
//! ```text
//! client                         control connection                        server
//!   cookie (37 bytes)              -------->
//!                                  <--------           PARAM_EXCHANGE (one byte)
//!   parameters (length, JSON)      -------->
//!                                  <--------                   CREATE_STREAMS
//!   a connection for each stream, its first bytes the same cookie
//!                                  <--------         TEST_START, TEST_RUNNING
//!   ... data on the streams, one way or both ...
//!   TEST_END                       -------->
//!                                  <--------                 EXCHANGE_RESULTS
//!   results (length, JSON)         -------->
//!                                  <--------           results, DISPLAY_RESULTS
//!   IPERF_DONE                     -------->
//! ```
//!
//! | file | what |
//! |---|---|
//! | `protocol` | what crosses the control connection |
//! | `flow` | one stream: sending, receiving, counting |
//! | `datagram` | what UDP needs besides: numbers, loss, jitter |
//! | `test` | all streams of a test from its start to its end, second by second; the same at both ends |
//! | `client`, `server` | the two ends of the table above |

mod client;
mod datagram;
mod flow;
mod protocol;
mod server;
mod test;
#[cfg(test)]
mod tests;

pub use client::run;
pub use flow::{Count, Sample};
pub use protocol::{FlowResult, Params, Results};
pub use server::Server;
pub use test::{Event, Interval, Summary};

use std::time::Duration;

/// The port of a server.
pub const PORT: u16 = 5201;

/// CPU time of this process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In user space.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
}

impl CpuTime {
    /// Both together.
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: CpuTime) -> CpuTime {
        CpuTime { user: self.user.saturating_sub(earlier.user), system: self.system.saturating_sub(earlier.system) }
    }
}

/// A clock of CPU time, which sockets do not have.
pub type CpuClock = fn() -> CpuTime;
