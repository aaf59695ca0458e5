//! One fault at a time, with what a user may expect of it.

use core::time::Duration;
use tunstack::device::impair::Impairment;
use tunstack::sim::{AppPlan, Cover, Report, Scenario, World};
use tunstack::stack::{Congestion, TcpConfig};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Host 1 connects and reads `total` bytes that host 0 writes, over a link that `spec` describes in both directions.
fn download(total: u64, spec: &str) -> Scenario {
    let mut scenario = Scenario::quiet(0);
    let link: Impairment = spec.parse().expect("an impairment");
    scenario.faults_end = link.until.unwrap_or_default();
    scenario.links = [link.clone(), link];
    let flow = scenario.add_flow(1);
    flow.apps = [AppPlan::writes(total), AppPlan::reads()];
    for socket in &mut flow.sockets {
        (socket.send_buffer, socket.recv_buffer) = (Some(262_144), Some(262_144));
    }
    scenario
}

fn run(scenario: Scenario) -> Report {
    let total: u64 = scenario.flows.iter().flat_map(|f| &f.apps).map(|a| a.total).sum();
    let report = World::new(scenario).run();
    assert_eq!(report.violation, None);
    assert_eq!(report.bytes(), total, "every byte arrives");
    report
}

/// The time that a run took without the wait for 2 MSL at its end.
fn busy(report: &Report) -> Duration {
    report.elapsed.saturating_sub(TcpConfig::default().msl * 2)
}

#[test]
fn a_perfect_link_sees_no_retransmission() {
    let report = run(download(2_000_000, "delay=10ms"));
    assert_eq!(report.coverage.count(Cover::Rto), 0);
    assert_eq!(report.coverage.count(Cover::FastRetransmit), 0);
    assert!(busy(&report) < 2 * SECOND, "{:?}", busy(&report));
}

#[test]
fn goodput_falls_smoothly_with_loss() {
    let times = ["0%", "1%", "5%", "10%", "20%"]
        .map(|loss| busy(&run(download(1_000_000, &format!("delay=10ms,loss={loss},until=3600s")))));
    assert!(times.windows(2).all(|w| w[0] < w[1]), "{times:?}");
    assert!(times[1] < 10 * times[0] && times[4] < 120 * SECOND, "{times:?}");
}

#[test]
fn reordering_and_duplication_cause_no_time_out() {
    let report = run(download(1_000_000, "delay=20ms,reorder=5%,gap=2ms,duplicate=5%,until=3600s"));
    assert!(report.coverage.count(Cover::Reorder) > 0 && report.coverage.count(Cover::Duplicate) > 0);
    assert_eq!(report.coverage.count(Cover::Rto), 0);
}

#[test]
fn jitter_causes_at_most_one_time_out() {
    let report = run(download(1_000_000, "delay=5ms,jitter=30ms,until=3600s"));
    assert!(report.coverage.count(Cover::Rto) <= 1);
}

#[test]
fn damaged_packets_are_never_delivered() {
    // The content of every byte is checked as it is read.
    let report = run(download(1_000_000, "delay=1ms,corrupt=5%,until=3600s"));
    assert!(report.coverage.count(Cover::Corrupt) > 20);
}

#[test]
fn a_transfer_resumes_after_the_link_was_down() {
    for seconds in [1, 10, 60, 600] {
        let down = Duration::from_secs(seconds);
        let end = 50 * MS + down;
        let spec = format!("delay=10ms,outage=50ms-{}ms,until={}ms", end.as_millis(), end.as_millis());
        let report = run(download(1_000_000, &spec));
        assert!(report.coverage.count(Cover::Outage) > 0);
        // The wait doubles, so that what is left of it is at most as long as what has passed; and at most two minutes.
        let most = end + down.min(Duration::from_secs(120)) + 3 * SECOND;
        assert!(busy(&report) <= most, "down for {down:?}: {:?}", busy(&report));
    }
}

/// Under every control: what is delivered while the window is shut is no rate of the path.
#[test]
fn a_reader_who_sleeps_for_a_day_gets_everything() {
    for congestion in Congestion::ALL {
        let mut scenario = download(600_000, "delay=10ms");
        let day = Duration::from_secs(86_400);
        scenario.flows[0].apps[1].stall = Some((1, day));
        for host in &mut scenario.hosts {
            host.config.tcp.congestion = congestion;
        }
        let report = run(scenario);
        assert!(report.coverage.count(Cover::WindowProbe) > 600, "it is probed, at most every two minutes");
        assert!(busy(&report) < day + 150 * SECOND, "{congestion}: {:?}", busy(&report));
    }
}
