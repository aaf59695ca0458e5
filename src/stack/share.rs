//! What makes a stack one of several that are one host together: a *shard* of it.
//!
//! Each shard has its own connections, and a frame that comes to one may be for a connection of another. The shard looks
//! into its own table first; only what is not found there is looked up among the names that all shards have claimed.

use super::Config;
use crate::time::Instant;
use core::fmt;

pub use crate::tcp::tuple::FourTuple;

/// The names of all connections of a host, and which shard has them. All shards ask the same book, and none while its
/// own table knows the answer.
pub trait Names: fmt::Debug + Send + Sync {
    /// `tuple` shall be a connection of `shard`.
    ///
    /// # Errors
    /// The shard that has it already.
    fn claim(&self, tuple: &FourTuple, shard: u16) -> Result<(), u16>;

    /// The shard that has `tuple`.
    fn owner(&self, tuple: &FourTuple) -> Option<u16>;

    /// `shard` has it no longer.
    fn release(&self, tuple: &FourTuple, shard: u16);

    /// A shard has sent a SYN cookie whose answer may come until then, to whichever shard.
    fn sent_cookie(&self, until: Instant);

    /// Until when answers to cookies may come.
    fn cookies_until(&self) -> Instant;
}

/// A stack's part in a host of several shards.
#[derive(Debug)]
pub struct Share {
    /// Its number, from zero.
    pub shard: u16,
    /// How many there are.
    pub shards: u16,
    /// What sequence numbers, time-stamp offsets and SYN cookies come from. It must be the same in all shards, so that
    /// each can read the others' cookies, and a name's numbers follow one clock wherever it is used next.
    pub secrets: [u8; 32],
    /// The book of all shards.
    pub names: Box<dyn Names>,
}

impl Share {
    /// Whether connections that this shard opens may have local port `port`: each shard has its own.
    pub(super) fn has_port(&self, port: u16) -> bool {
        port % self.shards == self.shard
    }

    /// The other shard that has `tuple`, if one has.
    pub(super) fn elsewhere(&self, tuple: &FourTuple) -> Option<u16> {
        self.names.owner(tuple).filter(|&owner| owner != self.shard)
    }
}

/// The least memory of a shard for fragments, in bytes: a few of the longest packets.
const MIN_REASSEMBLY: usize = 512 * 1024;

impl Config {
    /// What each of `shards` stacks gets of this host's bounds: its part of the memory, also of that for
    /// fragments, of what waits at the gates, of the connections in each state and of the replies, rounded up. What holds for one socket or one connection holds for it undivided.
    pub fn divided(&self, shards: u16) -> Config {
        let shards = shards.max(1);
        let n = usize::from(shards);
        let mut config = self.clone();
        for bound in [
            &mut config.memory,
            &mut config.max_connections,
            &mut config.max_time_wait,
            &mut config.max_orphans,
            &mut config.max_syn_queue,
            &mut config.max_replies,
            &mut config.reassembly.memory,
            &mut config.reassembly.packets,
            &mut config.gate.max_requests,
            &mut config.gate.max_per_source,
            &mut config.gate.memory,
            &mut config.flows.max_flows,
            &mut config.flows.max_per_source,
            &mut config.flows.memory,
        ] {
            *bound = bound.div_ceil(n);
        }
        // All fragments between two addresses come to one shard.
        config.reassembly.memory = config.reassembly.memory.max(MIN_REASSEMBLY.min(self.reassembly.memory));
        for rate in [&mut config.icmp_errors_per_second, &mut config.resets_per_second] {
            *rate = rate.div_ceil(u32::from(shards));
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_up_the_whole_and_one_part_is_the_whole() {
        let whole = Config { max_connections: 7, max_time_wait: 0, icmp_errors_per_second: 10, ..Config::default() };
        let part = whole.divided(3);
        assert_eq!((part.max_connections, part.max_time_wait, part.icmp_errors_per_second), (3, 0, 4));
        assert_eq!(part.memory, whole.memory.div_ceil(3));
        assert_eq!((part.max_udp_sockets, part.udp.recv_buffer), (whole.max_udp_sockets, whole.udp.recv_buffer));
        assert_eq!(part.reassembly.memory, whole.reassembly.memory.div_ceil(3));
        assert_eq!(part.reassembly.packets, whole.reassembly.packets.div_ceil(3));
        assert_eq!(part.gate.max_requests, whole.gate.max_requests.div_ceil(3));
        assert_eq!(part.flows.max_per_source, whole.flows.max_per_source.div_ceil(3));
        assert_eq!(whole.divided(64).reassembly.memory, MIN_REASSEMBLY, "the longest packets still come through");
        assert_eq!(format!("{:?}", whole.divided(1)), format!("{whole:?}"));
    }
}
