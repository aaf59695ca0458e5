//! Deterministic simulation: two stacks, a bad link between them, applications on them, and virtual time, all decided by
//! one number.
//!
//! [`run`] makes a [`Scenario`] from a seed, drives it to its end, and checks after every event what must always hold.
//! The same seed gives the same packets at the same times, and therefore the same [`Report::hash`].
//!
//! Messages name the invariant that was broken:
//!
//! | | |
//! |---|---|
//! | INV-1 | whatever is outstanding has a deadline, at most the largest RTO away |
//! | INV-2, INV-3 | what was read is what was written, and all that was acknowledged can be read, however the connection ends; the end of the stream comes after the last byte |
//! | INV-4 | nothing is sent beyond the peer's window but a probe of one byte, and the right edge of our window never moves left |
//! | INV-5 | not more bare ACKs than segments received and window updates |
//! | INV-6 | memory within its budget |
//! | INV-7 | every received frame is counted once |
//! | INV-8 | transitions are the RFC's; packets parse, their checksums are right, they fit the MTU |
//! | INV-9 | a seed decides everything |
//! | INV-10 | after all sockets are closed and 2 MSL have passed nothing is left |
//! | INV-11 | silence when nobody wants anything |
//!
//! A [`World`] may have another stack on one side, anything that is a [`Host`], and then only our own side is judged; own
//! [`Application`]s in place of those that are planned; and somebody who watches every [`Event`], such as a [`Timeline`].
//! [`run_seeds`] runs many seeds on all cores. `docs/simulation.md` is the guide, `tunstack sim` the command.
//!
//! ```
//! let report = tunstack::sim::run(1);
//! assert_eq!(report.violation, None);
//! assert_eq!(report.hash, tunstack::sim::run(1).hash);
//! ```

mod app;
mod application;
mod campaign;
mod coverage;
mod event;
mod host;
mod link;
mod noise;
mod oracle;
mod packet;
mod report;
mod run;
mod scenario;
mod seed;
mod stream;
mod timeline;
mod world;

pub use app::{AppPlan, Finish, Pauses};
pub use application::{Application, Socket};
pub use campaign::{Outcome, run_seeds};
pub use coverage::{Cover, Coverage};
pub use event::{Event, Watch};
pub use host::{Flow, Host, OurHost, Ready};
pub use noise::NoisePlan;
pub use packet::{Packet, Tcp, parse};
pub use report::{FlowReport, Report, Violation};
pub use scenario::{ADDRESSES, ADDRESSES_V6, FlowPlan, HostPlan, Opening, Scenario, SocketPlan};
pub use stream::{Stream, TraceHash};
pub use timeline::{Acked, Sample, Segment, Timeline, Track};
pub use world::{World, run};
