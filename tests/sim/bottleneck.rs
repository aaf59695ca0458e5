//! Several flows behind one bottleneck: what congestion control is for.

use std::time::Duration;
use tunstack::device::impair::Impairment;
use tunstack::sim::{AppPlan, Finish, Report, Scenario, Timeline, World};
use tunstack::stack::{Congestion, Ecn};

const MS: Duration = Duration::from_millis(1);
const MBIT: f64 = 1e6 / 8.0;

/// What several flows made of a bottleneck.
struct Run {
    report: Report,
    timeline: Timeline,
}

/// Flows under these controls, each beginning `every` after the one before, over a bottleneck for so many seconds.
fn run(bottleneck: &str, rtt: Duration, controls: &[Congestion], every: Duration, seconds: u64) -> Run {
    let mut scenario = Scenario::quiet(7);
    let back = Impairment { delay: rtt / 2, queue: usize::MAX, ..Impairment::default() };
    let there: Impairment = bottleneck.parse().expect("a bottleneck");
    scenario.links = [Impairment { delay: rtt / 2, ..there }, back];
    for host in &mut scenario.hosts {
        host.config.tcp.send_buffer_max = 16 << 20;
        host.config.tcp.recv_buffer_max = 16 << 20;
        host.config.tcp.ecn = Ecn::Request;
    }
    for (control, nth) in controls.iter().zip(0..) {
        let flow = scenario.add_flow(0);
        flow.start = every * nth;
        flow.sockets[0].congestion = Some(*control);
        let finish = Finish::AbortAt(Duration::from_secs(seconds) - flow.start);
        flow.apps[0] = AppPlan { finish, write_chunk: 65_536, ..AppPlan::writes(u64::MAX) };
        flow.apps[1].read_chunk = 65_536;
    }
    let mut timeline = Timeline::new(&scenario);
    let report = World::new(scenario).watch(&mut |at, event| timeline.record(at, event)).run();
    assert_eq!(report.violation, None, "{controls:?}");
    Run { report, timeline }
}

/// One flow alone.
fn alone(bottleneck: &str, rtt: Duration, control: Congestion, seconds: u64) -> Run {
    run(bottleneck, rtt, &[control], Duration::ZERO, seconds)
}

impl Run {
    /// What was acknowledged of a flow from one second to another, in bytes a second.
    fn rate(&self, flow: usize, from: u64, to: u64) -> f64 {
        let acks = &self.timeline.track(flow, 0).acks;
        let at = |second| {
            let before = acks.partition_point(|ack| ack.at <= Duration::from_secs(second));
            before.checked_sub(1).map_or(0, |last| acks[last].ack)
        };
        (at(to) - at(from)) as f64 / (to - from) as f64
    }
}

/// Jain's index: 1 if all get the same.
fn fairness(rates: &[f64]) -> f64 {
    let sum: f64 = rates.iter().sum();
    let squares: f64 = rates.iter().map(|r| r * r).sum();
    sum * sum / (rates.len() as f64 * squares)
}

/// Two flows of CUBIC share a bottleneck, though one comes later.
#[test]
fn two_flows_of_cubic_share() {
    let both = [Congestion::Cubic; 2];
    let run = run("rate=20Mbit,queue=100000", 40 * MS, &both, Duration::from_secs(2), 42);
    let rates = [0, 1].map(|flow| run.rate(flow, 12, 42));
    let (jain, sum) = (fairness(&rates), rates.iter().sum::<f64>());
    println!("two of CUBIC: {rates:?} bytes/s, Jain {jain:.3}");
    assert!(jain >= 0.9, "{rates:?}");
    assert!(sum >= 0.85 * 20.0 * MBIT, "{rates:?}");
}

/// At 1 % loss and 20 ms BBR fills the pipe, in both versions.
#[test]
fn bbr_does_not_mind_random_loss() {
    for choice in [Congestion::Bbr, Congestion::Bbr3] {
        let rate = alone("rate=100Mbit,queue=250000,loss=1%", 20 * MS, choice, 10).rate(0, 2, 10);
        println!("{choice} at 1 % loss: {:.1} Mbit/s", rate / MBIT);
        assert!(rate >= 75.0 * MBIT, "{choice}: {rate}");
    }
}

/// Without loss every control fills the pipe, and BBR makes no queue of it.
#[test]
fn every_control_fills_a_clean_path() {
    for choice in Congestion::ALL {
        let run = alone("rate=50Mbit,queue=250000", 20 * MS, choice, 8);
        let (rate, last) = (run.rate(0, 4, 8), run.timeline.track(0, 0).samples.last().copied());
        println!("{choice}: {:.1} Mbit/s, {last:?}", rate / MBIT);
        assert!(rate >= 42.0 * MBIT, "{choice}: {rate}, {last:?}");
        if matches!(choice, Congestion::Bbr | Congestion::Bbr3) {
            assert!(last.and_then(|s| s.srtt).is_some_and(|srtt| srtt < 40 * MS), "{choice}: {last:?}");
        }
    }
}

/// 9406-2: HyStart++ slows down before the queue runs over: what the last round of slow start takes too much is a fourth of
/// what the path and its queue hold, and not as much again.
#[test]
fn hystart_leaves_slow_start_in_time() {
    let holds = 3 * 625_000;
    let run = alone("rate=100Mbit,queue=1250000", 50 * MS, Congestion::Cubic, 5);
    let faults = run.report.faults[0];
    println!("{faults:?}");
    assert!(faults.overflow * 1500 <= holds / 3, "{faults:?}");
}

/// RFC 3168: where the bottleneck marks, windows are governed without a single loss.
#[test]
fn marks_take_the_place_of_losses() {
    for choice in [Congestion::NewReno, Congestion::Cubic] {
        let run = alone("rate=20Mbit,queue=400000,mark=60000", 20 * MS, choice, 8);
        let (faults, rate) = (run.report.faults[0], run.rate(0, 3, 8));
        assert!(faults.marked > 0 && faults.overflow == 0, "{choice}: {faults:?}");
        assert!(rate >= 17.0 * MBIT, "{choice}: {rate}");
    }
}

/// INV-9, for several flows with every control.
#[test]
fn a_seed_decides_everything() {
    let run = || run("rate=20Mbit,queue=60000,loss=0.5%", 30 * MS, &Congestion::ALL, Duration::ZERO, 3).report;
    let (a, b) = (run(), run());
    assert_eq!((a.hash, a.faults), (b.hash, b.faults));
    assert!(a.flows.iter().all(|flow| flow.read[1] > 100_000), "{:?}", a.flows);
}
