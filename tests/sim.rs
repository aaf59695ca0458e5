//! Deterministic simulation of two stacks over a bad link; see `src/sim`. The large runs are `scripts/soak`'s.

#[path = "sim/bottleneck.rs"]
mod bottleneck;
#[path = "sim/bugs/mod.rs"]
mod bugs;
#[path = "sim/campaign.rs"]
mod campaign;
#[path = "sim/faults.rs"]
mod faults;
#[path = "sim/mutants.rs"]
mod mutants;
#[path = "sim/own.rs"]
mod own;
#[path = "sim/smoltcp_host.rs"]
mod smoltcp_host;
#[expect(dead_code, unused_imports, reason = "the test language has more words than these tests use")]
mod support;

use campaign::{Opponent, run_seed, run_seeds};
use tunstack::sim::Outcome;

/// Enough seeds to meet everything that must be met, few enough for every run of the tests.
const SEEDS: u64 = 8000;

fn assert_no_failures(outcome: &Outcome, flag: &str) {
    let list = |(seed, why): &(u64, String)| {
        format!("seed {seed}: {why}\n  cargo run --release --example soak -- --seed {seed}{flag} --verbose\n")
    };
    let text: String = outcome.failures.iter().map(list).collect();
    assert!(outcome.failures.is_empty(), "{} seeds failed:\n{text}", outcome.failures.len());
}

#[test]
fn two_of_our_stacks_over_a_bad_link() {
    let outcome = run_seeds(0, SEEDS, Opponent::Ours, 2, 5);
    assert_no_failures(&outcome, "");
    assert_eq!(outcome.coverage.missing(), Vec::<String>::new(), "these were never met");
    assert!(outcome.median_transfer >= 64 * 1024, "the median transfer is {} bytes", outcome.median_transfer);
}

#[test]
fn our_stack_against_smoltcp() {
    let outcome = run_seeds(0, SEEDS / 4, Opponent::Smoltcp, 2, 5);
    assert_no_failures(&outcome, " --smoltcp");
    assert!(outcome.median_transfer >= 64 * 1024, "the median transfer is {} bytes", outcome.median_transfer);
}

#[test]
fn a_seed_gives_the_same_packets_at_the_same_times() {
    for seed in 0..20 {
        let hash = |opponent| run_seed(seed, opponent, None).hash;
        assert_eq!(hash(Opponent::Ours), hash(Opponent::Ours), "INV-9: seed {seed}");
        assert_ne!(hash(Opponent::Ours), hash(Opponent::Smoltcp), "the hash tells runs apart");
    }
}

/// `sim/seeds.txt`: seeds that failed once, one a line: the seed, `ours` or `smoltcp`, and what was wrong.
#[test]
fn seeds_that_failed_once() {
    for line in include_str!("sim/seeds.txt").lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        let mut words = line.split_whitespace();
        let seed = words.next().and_then(|w| w.parse().ok()).unwrap_or_else(|| panic!("no seed in: {line}"));
        let opponent = match words.next() {
            Some("ours") => Opponent::Ours,
            Some("smoltcp") => Opponent::Smoltcp,
            _ => panic!("neither ours nor smoltcp: {line}"),
        };
        let report = run_seed(seed, opponent, None);
        assert_eq!(report.violation, None, "{line}");
    }
}
