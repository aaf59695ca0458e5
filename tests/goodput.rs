//! `docs/goodput.md`: what each congestion control makes of each path, so that a change shows as a difference.
//! `UPDATE_DOCS=1 cargo test --test goodput` writes it anew.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tunstack::device::impair::Impairment;
use tunstack::sim::{Scenario, World};
use tunstack::stack::Congestion;

/// The bottleneck, in bits a second.
const RATE: u64 = 10_000_000;
/// What is sent over it: 3.2 seconds' worth, and by CUBIC at its worst two minutes'.
const BYTES: u64 = 4_000_000;
/// Round trips in milliseconds.
const RTTS: [u64; 3] = [10, 60, 200];
/// The bottleneck's buffer, in percent of what the path holds.
const BUFFERS: [u64; 3] = [25, 100, 400];
/// Packets lost on the way to the receiver, in thousandths.
const LOSSES: [u64; 4] = [0, 1, 10, 50];
/// Runs for each cell: one packet more or less at the wrong moment is worth a tenth.
const RUNS: u64 = 5;

/// A path.
#[derive(Clone, Copy)]
struct Case {
    rtt: u64,
    buffer: u64,
    loss: u64,
}

fn cases() -> Vec<Case> {
    let all = |rtt| BUFFERS.into_iter().flat_map(move |buffer| LOSSES.map(|loss| Case { rtt, buffer, loss }));
    RTTS.into_iter().flat_map(all).collect()
}

/// What arrives, in kbit/s: the mean of several runs.
fn goodput(case: Case, congestion: Congestion) -> u64 {
    (0..RUNS).map(|run| one_run(case, congestion, run)).sum::<u64>() / RUNS
}

/// Each run has its own losses and, where there are none by chance, a round trip longer by a hundredth than the one before.
fn one_run(case: Case, congestion: Congestion, run: u64) -> u64 {
    let mut scenario = Scenario::transfer(7 + run, BYTES);
    let delay = Duration::from_micros(case.rtt * 5 * (100 + run));
    let holds = RATE / 8 * case.rtt / 1000;
    let back = Impairment { delay, ..Impairment::default() };
    // A packet fits into the smallest buffer, too.
    let queue = (holds * case.buffer / 100).max(3000) as usize;
    let there = Impairment { rate: Some(RATE), queue, loss: case.loss as f64 / 1000.0, ..back.clone() };
    scenario.links = [there, back];
    scenario.flows[0].sockets[0].congestion = Some(congestion);
    let report = World::new(scenario).run();
    assert_eq!(report.violation, None, "{} ms, {} %, {} ‰, {congestion}", case.rtt, case.buffer, case.loss);
    assert_eq!(report.flows[0].read[1], BYTES);
    report.flows[0].goodput(1).expect("something was read") / 1000
}

/// The goodput of every case under every control, on two threads.
fn measure(cases: &[Case]) -> Vec<[u64; 4]> {
    let (next, table) = (AtomicUsize::new(0), Mutex::new(vec![[0; 4]; cases.len()]));
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(i / 4) else { break };
            let rate = goodput(*case, Congestion::ALL[i % 4]);
            table.lock().expect("no thread panics while it holds the lock")[i / 4][i % 4] = rate;
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().for_each(|thread| thread.join().expect("every run is a good one"));
    });
    table.into_inner().expect("no thread panicked")
}

fn render(cases: &[Case], rows: &[[u64; 4]]) -> String {
    let mut out = format!(
        "# Goodput by path and congestion control\n\n\
         What {} MB need over a bottleneck of {} Mbit/s, in Mbit/s: two of our stacks in simulation, the mean of {RUNS} runs for\n\
         each cell. The buffer stands in percent of what the path holds, the loss is random. Made by\n\
         `UPDATE_DOCS=1 cargo test --test goodput`; do not edit by hand. A change of how we send shows here as a difference:\n\
         look at it before you commit it.\n\n",
        BYTES / 1_000_000,
        RATE / 1_000_000,
    );
    let names = Congestion::ALL.map(Congestion::name).join(" | ");
    let _ = writeln!(out, "| round trip | buffer | loss | {names} |\n|---:|---:|---:|---:|---:|---:|---:|");
    for (case, row) in cases.iter().zip(rows) {
        let [a, b, c, d] = row.map(|kbit| format!("{}.{:02}", kbit / 1000, kbit % 1000 / 10));
        let loss = format!("{}.{} %", case.loss / 10, case.loss % 10);
        let _ = writeln!(out, "| {} ms | {} % | {loss} | {a} | {b} | {c} | {d} |", case.rtt, case.buffer);
    }
    out
}

#[test]
fn the_table_is_up_to_date() {
    let cases = cases();
    let rendered = render(&cases, &measure(&cases));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/goodput.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &rendered).expect("docs/goodput.md can be written");
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    let different = |(old, new): &(&str, &str)| old != new;
    let lines: Vec<_> = stands.lines().zip(rendered.lines()).filter(different).collect();
    assert!(
        stands == rendered,
        "how we send has changed; UPDATE_DOCS=1 cargo test --test goodput writes docs/goodput.md anew:\n{lines:#?}"
    );
}
