//! `tunstack sim`: runs worlds in virtual time, one to be looked at or thousands to be counted.
//!
//! | file | what |
//! |---|---|
//! | `file` | scenario files |
//! | `plot` | what happened, as SVG |

mod file;
mod plot;

use super::error::{Failure, Kind};
use super::output;
use crate::device::impair::Faults;
use crate::sim::{Event, Outcome, Report, Scenario, Timeline, World, run_seeds};
use clap::Args;
use core::time::Duration;
use file::File;
use indicatif::{ProgressBar, ProgressStyle};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

/// Failures after which many runs are stopped.
const MOST_FAILURES: usize = 10;

#[derive(Args, Debug)]
pub(super) struct SimArgs {
    /// The world as this file describes it (TOML; docs/simulation.md); without it, each seed makes a world of its own
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// The seed, or the first of several: it decides everything that is left to chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Run so many seeds, on all cores
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    runs: u64,
    /// Draw what happened as SVG into this directory; of several runs, the first that failed or else the first
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Print every packet and every change of a connection's numbers
    #[arg(long, conflicts_with = "runs")]
    packets: bool,
}

/// Where the worlds come from.
enum Source {
    Seeds,
    File(Box<File>),
}

impl Source {
    fn scenario(&self, seed: u64) -> Scenario {
        match self {
            Source::Seeds => Scenario::from_seed(seed),
            Source::File(file) => file.scenario(seed),
        }
    }
}

/// Runs what was asked for. The exit code tells whether all invariants held.
pub(super) fn run(args: &SimArgs, quiet: bool) -> Result<ExitCode, Failure> {
    let source = match &args.scenario {
        Some(path) => Source::File(Box::new(File::read(path)?)),
        None => Source::Seeds,
    };
    if args.runs > 1 { many(args, &source, quiet) } else { one(args, &source, quiet) }
}

fn one(args: &SimArgs, source: &Source, quiet: bool) -> Result<ExitCode, Failure> {
    if let Source::File(file) = source
        && !quiet
        && !file.about.is_empty()
    {
        output::line(file.about.trim());
    }
    let (report, timeline) = watch(source.scenario(args.seed), args.packets, args.plot.is_some());
    output::text(&describe(&report));
    if let (Some(directory), Some(timeline)) = (&args.plot, timeline) {
        draw(directory, &timeline, &report, quiet)?;
    }
    match report.violation {
        None => Ok(ExitCode::SUCCESS),
        Some(v) => Err(Failure::new(Kind::Assertion, format!("seed {} after {:?}: {}", args.seed, v.at, v.what))),
    }
}

/// Runs a scenario, prints what happens if it is to be printed, and keeps it if it is to be kept.
fn watch(scenario: Scenario, print: bool, keep: bool) -> (Report, Option<Timeline>) {
    let mut timeline = keep.then(|| Timeline::new(&scenario));
    let mut tell = |at: Duration, event: &Event<'_>| {
        if print {
            output::line(&format!("{:>12.6} {event}", at.as_secs_f64()));
        }
        if let Some(timeline) = &mut timeline {
            timeline.record(at, event);
        }
    };
    let world = World::new(scenario);
    let report = if print || keep { world.watch(&mut tell).run() } else { world.run() };
    (report, timeline)
}

fn draw(directory: &Path, timeline: &Timeline, report: &Report, quiet: bool) -> Result<(), Failure> {
    let place = directory.display();
    std::fs::create_dir_all(directory).map_err(Failure::because(&place))?;
    for (name, svg) in plot::all(timeline, report).map_err(Failure::because("plot"))? {
        let path = directory.join(name);
        std::fs::write(&path, svg).map_err(Failure::because(path.display()))?;
        if !quiet {
            output::line(&path.display().to_string());
        }
    }
    Ok(())
}

fn many(args: &SimArgs, source: &Source, quiet: bool) -> Result<ExitCode, Failure> {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(args.runs) };
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len}, {per_sec}, {eta} left");
    bar.set_style(style.map_err(Failure::because("progress bar"))?);
    let rates = Mutex::new(Vec::new());
    let each = |report: &Report| {
        bar.inc(1);
        let best = report.flows.iter().flat_map(|flow| [flow.goodput(0), flow.goodput(1)]).flatten().max();
        rates.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(best);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let seeds = args.seed..args.seed.saturating_add(args.runs);
    let begin = Instant::now();
    let outcome = run_seeds(seeds, threads, MOST_FAILURES, &|seed| World::new(source.scenario(seed)).run(), &each);
    bar.finish_and_clear();
    let rates = rates.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    output::text(&summary(&outcome, rates, begin.elapsed()));
    for (seed, why) in &outcome.failures {
        let file = args.scenario.as_ref().map(|path| format!(" --scenario {}", path.display())).unwrap_or_default();
        output::line(&format!("\nseed {seed} {why}\n  tunstack sim --seed {seed}{file} --packets"));
    }
    if let Some(directory) = &args.plot {
        let seed = outcome.failures.first().map_or(args.seed, |(seed, _)| *seed);
        if let (report, Some(timeline)) = watch(source.scenario(seed), false, true) {
            draw(directory, &timeline, &report, quiet)?;
        }
    }
    match outcome.failures.len() {
        0 => Ok(ExitCode::SUCCESS),
        n => Err(Failure::new(Kind::Assertion, format!("{n} of {} seeds failed", outcome.runs))),
    }
}

fn summary(outcome: &Outcome, mut rates: Vec<u64>, took: Duration) -> String {
    let runs = outcome.runs.max(1);
    let mut out = format!(
        "{} runs in {:.1} s, {:.0} a second; hash of all {:016x}\n",
        outcome.runs,
        took.as_secs_f64(),
        outcome.runs as f64 / took.as_secs_f64().max(1e-9),
        outcome.hash
    );
    let _ = writeln!(out, "a run: {} packets, {} bytes read", outcome.packets / runs, outcome.bytes / runs);
    rates.sort_unstable();
    if let (Some(least), Some(most)) = (rates.first(), rates.last()) {
        let middle = rates[rates.len() / 2];
        let _ = writeln!(out, "goodput: {} least, {} median, {} most", bits(*least), bits(middle), bits(*most));
    }
    let _ = writeln!(out, "{} failed", outcome.failures.len());
    out
}

fn describe(report: &Report) -> String {
    let Report { seed, hash, packets, elapsed, .. } = report;
    let mut out = format!("seed {seed}: {packets} packets, {elapsed:?} of virtual time, trace hash {hash:016x}\n");
    for (i, flow) in report.flows.iter().enumerate() {
        for (to, way) in [(1, "client to server"), (0, "server to client")] {
            let (read, written) = (flow.read[to], flow.written[1 - to]);
            if written == 0 {
                continue;
            }
            let rate = flow.goodput(to).map(|rate| format!(", {}", bits(rate))).unwrap_or_default();
            let error = flow.error[to].map(|error| format!("; {error}")).unwrap_or_default();
            let _ = writeln!(out, "flow {i}, {way}: {read} of {written} bytes{rate}{error}");
        }
    }
    for (faults, way) in report.faults.iter().zip(["client to server", "server to client"]) {
        let _ = writeln!(out, "link, {way}: {}", faults_line(faults));
    }
    for (stats, host) in report.stats.iter().zip(["client", "server"]) {
        let Some(tcp) = stats else { continue };
        let _ = writeln!(
            out,
            "{host}: {} segments sent, {} of them again; {} fast retransmits, {} time-outs, {} tail loss probes, {} undone",
            tcp.segments_out, tcp.retransmits, tcp.fast_retransmits, tcp.rto, tcp.tail_probes, tcp.undone
        );
    }
    out
}

fn faults_line(faults: &Faults) -> String {
    let Faults { packets, lost, outage, overflow, codel, too_big, marked, corrupted, duplicated, reordered } = *faults;
    let counts = [
        (lost, "lost"),
        (outage, "lost in outages"),
        (overflow, "found the queue full"),
        (codel, "dropped by CoDel"),
        (too_big, "too big"),
        (marked, "marked"),
        (corrupted, "damaged"),
        (duplicated, "doubled"),
        (reordered, "overtaken"),
    ];
    let met = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}"));
    format!("{packets} packets{}", met.collect::<String>())
}

/// Bits a second, in the unit that fits.
fn bits(rate: u64) -> String {
    match rate {
        0..10_000 => format!("{rate} bit/s"),
        10_000..1_000_000 => format!("{:.1} kbit/s", rate as f64 / 1e3),
        _ => format!("{:.1} Mbit/s", rate as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_who_carried_what_and_what_was_lost() {
        let text = "[link]\ndelay = \"10ms\"\nnth = 9\n[[flow]]\nsend = \"50kB\"\n";
        let source = Source::File(Box::new(File::parse(text, "f").unwrap()));
        let (report, timeline) = watch(source.scenario(4), false, true);
        let told = describe(&report);
        for part in ["seed 4: ", "flow 0, client to server: 50000 of 50000 bytes, ", ", 1 lost", "client: "] {
            assert!(told.contains(part), "{part} in\n{told}");
        }
        assert!(timeline.is_some_and(|t| t.track(0, 0).segments.len() > 30));
        let (again, nothing) = watch(source.scenario(4), false, false);
        assert!(again.hash == report.hash && nothing.is_none(), "watching changes nothing");
    }

    #[test]
    fn a_summary_gives_the_spread() {
        let outcome = Outcome { runs: 4, packets: 400, bytes: 4000, ..Outcome::default() };
        let told = summary(&outcome, vec![3_000_000, 999, 20_000], Duration::from_secs(2));
        assert!(told.contains("4 runs in 2.0 s, 2 a second"), "{told}");
        assert!(told.contains("goodput: 999 bit/s least, 20.0 kbit/s median, 3.0 Mbit/s most\n0 failed"), "{told}");
    }
}
