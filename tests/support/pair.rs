//! [`Pair`]: two stacks on a link.

use super::family::{cidr, link_mtu};
use super::packet::{Packet, Raw};
use super::tester::{LOCAL, PEER};
use core::time::Duration;
use tunstack::buf::Slice;
use tunstack::rng::Rng;
use tunstack::stack::{Config, Stack};
use tunstack::time::Instant;
use tunstack::wire::RxFrame;

/// Two stacks on a perfect link without delay, [`LOCAL`] and [`PEER`].
pub struct Pair {
    pub stacks: [Stack; 2],
    pub now: Instant,
    /// Packets carried so far.
    pub carried: usize,
    /// The last packet that each has sent.
    pub last: [Option<Packet>; 2],
}

impl Pair {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// Two stacks with a changed configuration.
    pub fn with(change: impl Fn(&mut Config)) -> Self {
        let now = Instant::from_millis(5_000);
        let stack = |addr, seed| {
            let mut config = Config { addresses: vec![cidr(addr, 24)], mtu: link_mtu(1500), ..Config::default() };
            change(&mut config);
            Stack::new(config, Rng::seed_from(seed), now).expect("a valid configuration")
        };
        Pair { stacks: [stack(LOCAL, 1), stack(PEER, 2)], now, carried: 0, last: [None, None] }
    }

    /// Carries packets both ways, one from each side in turn, until both are silent.
    #[track_caller]
    pub fn exchange(&mut self) {
        for _ in 0..100_000 {
            let frames = [0, 1].map(|i| self.stacks[i].poll_transmit(self.now));
            if frames.iter().all(Option::is_none) {
                return;
            }
            for (i, frame) in frames.into_iter().enumerate() {
                if let Some(frame) = frame {
                    let bytes = frame.to_vec();
                    self.last[i] = Some(Packet::parse(self.now, &bytes, link_mtu(1500)).expect("a good packet"));
                    self.carried += 1;
                    self.stacks[1 - i].on_frame(self.now, RxFrame::plain(Slice::copy_of(&bytes)));
                }
            }
        }
        panic!("the two stacks never fall silent");
    }

    /// Lets `d` pass, carrying packets.
    #[track_caller]
    pub fn advance(&mut self, d: Duration) {
        let end = self.now + d;
        self.exchange();
        for _ in 0..100_000 {
            let due = self.stacks.iter().filter_map(Stack::deadline).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(due);
            for stack in &mut self.stacks {
                stack.on_deadline(self.now);
            }
            self.exchange();
        }
        panic!("deadlines without end");
    }

    /// A forged packet arrives at stack `i`.
    pub fn inject(&mut self, i: usize, packet: &Raw) {
        self.stacks[i].on_frame(self.now, RxFrame::plain(Slice::copy_of(&packet.build())));
    }
}
