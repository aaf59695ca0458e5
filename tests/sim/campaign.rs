//! The seeds of the tests and of `examples/soak.rs`, against our own stack or another.

use super::smoltcp_host::SmoltcpHost;
use tunstack::sim::{self, Outcome, Report, Scenario, Watch, World};

/// Who plays against our stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opponent {
    /// Our stack itself.
    Ours,
    /// smoltcp's, on the side that the seed says.
    Smoltcp,
}

/// Runs one seed.
pub fn run_seed(seed: u64, opponent: Opponent, watch: Option<Watch<'_>>) -> Report {
    let scenario = Scenario::from_seed(seed);
    let side = (seed % 2) as usize;
    let other = (opponent == Opponent::Smoltcp).then(|| SmoltcpHost::new(&scenario, side));
    let mut world = World::new(scenario);
    if let Some(other) = other {
        world = world.host(side, Box::new(other));
    }
    match watch {
        Some(watch) => world.watch(watch).run(),
        None => world.run(),
    }
}

/// Runs the seeds `first .. first + count` on `threads` threads and stops early after `most_failures` failures.
pub fn run_seeds(first: u64, count: u64, opponent: Opponent, threads: usize, most_failures: usize) -> Outcome {
    let run = |seed| run_seed(seed, opponent, None);
    sim::run_seeds(first..first + count, threads, most_failures, &run, &|_| {})
}
