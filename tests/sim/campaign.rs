//! Runs many seeds and adds up what they covered. Shared by the tests and by `examples/soak.rs`.

use super::smoltcp_host::SmoltcpHost;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tunstack::sim::{Coverage, Host, Log, Report, Scenario, World};

/// Who plays against our stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opponent {
    /// Our stack itself.
    Ours,
    /// smoltcp's, on the side that the seed says.
    Smoltcp,
}

/// What a number of seeds came to.
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
    /// Seeds that failed, with the reason.
    pub failures: Vec<(u64, String)>,
}

/// Runs one seed.
pub fn run_seed(seed: u64, opponent: Opponent, log: Option<Log<'_>>) -> Report {
    let scenario = Scenario::from_seed(seed);
    let mut others: [Option<Box<dyn Host>>; 2] = [None, None];
    if opponent == Opponent::Smoltcp {
        let side = (seed % 2) as usize;
        others[side] = Some(Box::new(SmoltcpHost::new(&scenario, side)));
    }
    World::new(scenario, others, log).run()
}

/// Runs the seeds `first .. first + count` on `threads` threads and stops early after `most_failures` failures.
pub fn run_seeds(first: u64, count: u64, opponent: Opponent, threads: usize, most_failures: usize) -> Outcome {
    let next = AtomicU64::new(first);
    let failed = AtomicU64::new(0);
    let outcome = Mutex::new((
        Outcome { runs: 0, packets: 0, bytes: 0, median_transfer: 0, coverage: Coverage::new(), failures: Vec::new() },
        Vec::new(),
    ));
    let work = || {
        let (mut coverage, mut transfers, mut failures) = (Coverage::new(), Vec::new(), Vec::new());
        let (mut packets, mut bytes) = (0, 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || failed.load(Ordering::Relaxed) as usize >= most_failures {
                break;
            }
            let failure = match catch_unwind(AssertUnwindSafe(|| run_seed(seed, opponent, None))) {
                Ok(report) => {
                    coverage.merge(&report.coverage);
                    transfers.push(report.transfer);
                    packets += report.packets;
                    bytes += report.bytes;
                    report.violation.map(|v| format!("after {:?}: {}", v.at, v.what))
                }
                Err(panic) => Some(format!("panic: {}", message(&*panic))),
            };
            if let Some(why) = failure {
                failed.fetch_add(1, Ordering::Relaxed);
                failures.push((seed, why));
            }
        }
        let mut total = outcome.lock().expect("no thread panics while it holds the lock");
        total.0.runs += transfers.len() as u64;
        total.0.packets += packets;
        total.0.bytes += bytes;
        total.0.coverage.merge(&coverage);
        total.0.failures.append(&mut failures);
        total.1.append(&mut transfers);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    let (mut total, mut transfers) = outcome.into_inner().expect("no thread panicked while it held the lock");
    transfers.sort_unstable();
    total.median_transfer = transfers.get(transfers.len() / 2).copied().unwrap_or(0);
    total.failures.sort_unstable();
    total
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}
