//! A small test language: one [`Stack`](tunstack::stack::Stack) in virtual time, and a scripted peer that speaks to it
//! in packets.
//!
//! ```text
//! let mut t = Tester::new();
//! t.listen(80);
//! t.send(syn().mss(1460));
//! t.expect(synack().ack(1));
//! t.send(ack());
//! t.accept();
//! t.write(b"hello");
//! t.expect(data(b"hello").seq(1));
//! t.advance(ms(200));
//! t.expect(data(b"hello").seq(1)); // sent again
//! ```
//!
//! * **Numbers are relative**, as Wireshark shows them: a SYN is 0 and the first byte of text 1, each side counted from
//!   its own initial sequence number. `abs_seq` and `abs_ack` take numbers as they stand in the header.
//! * [`Seg`] describes a segment in both directions. What is sent takes sensible defaults for fields that were not
//!   named; what is expected is compared in the named fields alone (flags always, but for PSH).
//! * Time stands still until [`Tester::advance`] moves it from deadline to deadline.
//! * Every packet that the stack emits is verified with etherparse, whatever the test is about: lengths, checksums,
//!   addresses, options, and that the right edge of the window never moves left.

mod application;
mod family;
mod flow;
pub mod packet;
mod pair;
mod segment;
mod tester;

pub use family::{
    cidr, default_mss, gso_kind, headers, link_mtu, nobody, on_wire, other_family, over_ipv6, smallest_mtu, wire_addr,
};
pub use packet::{Packet, Raw};
pub use pair::Pair;
pub use segment::{
    ACK, FIN, PSH, RST, SYN, Seg, URG, ack, data, fin, flags_name, full, reset, rst, rst_ack, seg, syn, synack,
};
pub use tester::{LOCAL, PEER, Tester, pattern};

use core::time::Duration;

/// Milliseconds.
pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Seconds.
pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Hours.
pub fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}
