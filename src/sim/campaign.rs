//! Many seeds on several threads, and what they come to.

use super::coverage::Coverage;
use super::report::Report;
use super::stream::mix;
use core::any::Any;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

/// What a number of seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Seeds run.
    pub runs: u64,
    /// Packets sent in all.
    pub packets: u64,
    /// Bytes read by applications in all.
    pub bytes: u64,
    /// The median over the seeds of what the busiest direction carried, in bytes.
    pub median_transfer: u64,
    /// All that was covered.
    pub coverage: Coverage,
    /// Made of the trace hashes of all seeds, in whatever order they ran.
    pub hash: u64,
    /// Seeds that failed, with the reason.
    pub failures: Vec<(u64, String)>,
}

/// Runs `run` for the seeds on `threads` threads; a panic in it is a failure. It stops early after `most_failures`.
/// `each` is shown every report, on the thread that made it.
pub fn run_seeds(
    seeds: Range<u64>,
    threads: usize,
    most_failures: usize,
    run: &(dyn Fn(u64) -> Report + Sync),
    each: &(dyn Fn(&Report) + Sync),
) -> Outcome {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicUsize::new(0);
    let total = Mutex::new((Outcome::default(), Vec::new()));
    let work = || {
        let (mut sum, mut transfers) = (Outcome::default(), Vec::new());
        // Behind the last seed nobody counts on, for there may be no further number.
        let take = |n| (n < seeds.end).then(|| n + 1);
        while let Ok(seed) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            if failed.load(Ordering::Relaxed) >= most_failures {
                break;
            }
            let failure = match catch_unwind(AssertUnwindSafe(|| run(seed))) {
                Ok(report) => {
                    each(&report);
                    transfers.push(report.transfer());
                    sum.packets += report.packets;
                    sum.bytes += report.bytes();
                    sum.hash = sum.hash.wrapping_add(mix(report.hash ^ mix(seed)));
                    sum.coverage.merge(&report.coverage);
                    report.violation.map(|v| format!("after {:?}: {}", v.at, v.what))
                }
                Err(panic) => Some(format!("panic: {}", message(&*panic))),
            };
            if let Some(why) = failure {
                failed.fetch_add(1, Ordering::Relaxed);
                sum.failures.push((seed, why));
            }
        }
        let mut total = total.lock().expect("no thread panics while it holds the lock");
        let (all, every) = &mut *total;
        all.runs += transfers.len() as u64;
        all.packets += sum.packets;
        all.bytes += sum.bytes;
        all.hash = all.hash.wrapping_add(sum.hash);
        all.coverage.merge(&sum.coverage);
        all.failures.append(&mut sum.failures);
        every.append(&mut transfers);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let (mut all, mut transfers) = total.into_inner().expect("no thread panicked while it held the lock");
    transfers.sort_unstable();
    all.median_transfer = transfers.get(transfers.len() / 2).copied().unwrap_or(0);
    all.failures.sort_unstable();
    all
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::run;

    #[test]
    fn the_sum_is_the_same_on_any_number_of_threads() {
        let sum = |threads| run_seeds(0..12, threads, 1, &run, &|_| {});
        let (one, three) = (sum(1), sum(3));
        assert_eq!((one.runs, one.failures.len()), (12, 0));
        assert_eq!((one.hash, one.packets, one.bytes), (three.hash, three.packets, three.bytes));
        assert_eq!((one.coverage, one.median_transfer), (three.coverage, three.median_transfer));
        assert_ne!(one.hash, run_seeds(1..13, 1, 1, &run, &|_| {}).hash);
    }

    #[test]
    fn the_last_seeds_are_the_last() {
        let asked = AtomicU64::new(0);
        let few = |seed| {
            assert!(asked.fetch_add(1, Ordering::Relaxed) < 9, "it begins again with seed {seed}");
            run(seed)
        };
        assert_eq!(run_seeds(u64::MAX - 2..u64::MAX, 2, 1, &few, &|_| {}).runs, 2);
    }

    #[test]
    fn a_panic_is_a_failure_of_its_seed() {
        let bad = |seed| if seed == 2 { panic!("of seed {seed}") } else { run(seed) };
        let outcome = run_seeds(0..4, 1, 9, &bad, &|_| {});
        assert_eq!(outcome.failures, [(2, "panic: of seed 2".to_owned())]);
        assert_eq!(outcome.runs, 3);
    }
}
