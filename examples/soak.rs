//! Simulates many seeds on all cores and says how fast it went, what was covered and what failed.
//!
//! ```text
//! cargo run --release --example soak -- --seeds 50000
//! cargo run --release --example soak -- --seeds 50000 --smoltcp
//! cargo run --release --example soak -- --seed 4711 --verbose      one seed again, packet by packet
//! ```

#[path = "../tests/sim/campaign.rs"]
mod campaign;
#[path = "../tests/sim/smoltcp_host.rs"]
mod smoltcp_host;

use campaign::{Opponent, run_seed, run_seeds};
use clap::Parser;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tunstack::sim::{Event, Scenario};

/// Deterministic simulation of many connections over bad links, in virtual time.
#[derive(Parser)]
struct Options {
    /// Run this one seed.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds to run.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Play against smoltcp; only our own end is judged.
    #[arg(long)]
    smoltcp: bool,
    /// Threads; all cores by default.
    #[arg(long)]
    threads: Option<usize>,
    /// With --seed: print the scenario and every packet.
    #[arg(short, long)]
    verbose: bool,
    /// Stop after so many failures.
    #[arg(long, default_value_t = 10)]
    failures: usize,
    /// Do not fail if something was never met (for small numbers of seeds).
    #[arg(long)]
    partial: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let opponent = if options.smoltcp { Opponent::Smoltcp } else { Opponent::Ours };
    match options.seed {
        Some(seed) => one(seed, opponent, options.verbose),
        None => many(&options, opponent),
    }
}

fn one(seed: u64, opponent: Opponent, verbose: bool) -> ExitCode {
    let mut print = |at: Duration, event: &Event<'_>| println!("{:>12.6} {event}", at.as_secs_f64());
    if verbose {
        println!("{:#?}", Scenario::from_seed(seed));
    }
    let report = run_seed(seed, opponent, verbose.then_some(&mut print));
    println!(
        "seed {seed}: {} packets, {} bytes read, {:?} of virtual time, trace hash {:016x}",
        report.packets,
        report.bytes(),
        report.elapsed,
        report.hash
    );
    match report.violation {
        Some(violation) => {
            println!("FAILED after {:?}: {}", violation.at, violation.what);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn many(options: &Options, opponent: Opponent) -> ExitCode {
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let begin = Instant::now();
    let outcome = run_seeds(options.first, options.seeds, opponent, threads, options.failures);
    let seconds = begin.elapsed().as_secs_f64();
    print!("{}", outcome.coverage);
    println!(
        "{} seeds against {opponent:?} in {seconds:.1} s on {threads} threads: {:.0} seeds/s, {:.1} packets and {:.0} KiB a seed",
        outcome.runs,
        outcome.runs as f64 / seconds,
        outcome.packets as f64 / outcome.runs.max(1) as f64,
        outcome.bytes as f64 / 1024.0 / outcome.runs.max(1) as f64,
    );
    println!("median transfer: {} KiB", outcome.median_transfer / 1024);
    for (seed, why) in &outcome.failures {
        let flag = if options.smoltcp { " --smoltcp" } else { "" };
        println!("\nFAILED: seed {seed}: {why}\n  cargo run --release --example soak -- --seed {seed}{flag} --verbose");
    }
    let mut good = outcome.failures.is_empty();
    if !options.partial && opponent == Opponent::Ours {
        for name in outcome.coverage.missing() {
            println!("never met: {name}");
            good = false;
        }
    }
    if !options.partial && outcome.median_transfer < 64 * 1024 {
        println!("the median transfer is below 64 KiB");
        good = false;
    }
    println!("{} failed", outcome.failures.len());
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
