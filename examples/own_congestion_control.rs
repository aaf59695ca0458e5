//! A congestion control of one's own: a window that never changes, on a simulated path of 10 ms and 100 Mbit/s that loses
//! a packet in a thousand.
//!
//! `cargo run --no-default-features --features sim --example own_congestion_control` prints what each control makes of
//! that path. `docs/congestion-control.md` tells what a controller hears.

use std::time::Duration;
use tunstack::sim::{AppPlan, Finish, Scenario, World};
use tunstack::stack::Congestion;
use tunstack::tcp::cc::{CongestionControl, Start, UserControl};
use tunstack::tcp::rate::PathSample;
use tunstack::tcp::sample::AckSample;

/// Forty segments, whatever happens.
#[derive(Debug)]
struct Fixed {
    window: u32,
}

impl CongestionControl for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }
    fn on_ack(&mut self, _ack: &AckSample, _path: &PathSample) {}
    fn on_congestion(&mut self, _flight: u32) {}
    fn on_recovered(&mut self, _flight: u32, _paced: bool) {}
    fn on_rto(&mut self, _flight: u32, _in_flight: u32, _first: bool) {}
    fn on_spurious(&mut self) {}
    fn on_idle(&mut self) {}
    fn on_mss(&mut self, mss: u32) {
        self.window = 40 * mss;
    }
    fn window(&self) -> u32 {
        self.window
    }
    fn ssthresh(&self) -> u32 {
        self.window
    }
    fn phase(&self) -> &'static str {
        "fixed"
    }
}

/// What `Congestion::User` takes: the name, and how one is made for a connection.
static FIXED: UserControl =
    UserControl { name: "fixed", make: |start: &Start| Box::new(Fixed { window: 40 * start.mss }) };

const PATH: &str = "delay=5ms,rate=100Mbit,queue=125kB,loss=0.1%";

/// Bytes that arrive in the first second.
fn bytes_in_a_second(congestion: Congestion) -> u64 {
    let mut scenario = Scenario::quiet(1);
    scenario.set_link(PATH.parse().expect("a link's description"));
    let flow = scenario.add_flow(0);
    let finish = Finish::AbortAt(Duration::from_secs(1));
    flow.apps[0] = AppPlan { finish, ..AppPlan::writes(u64::MAX) };
    flow.sockets[0].congestion = Some(congestion);
    let report = World::new(scenario).run();
    assert_eq!(report.violation, None, "{congestion}");
    report.flows[0].read[1]
}

fn main() {
    for congestion in Congestion::ALL.into_iter().chain([Congestion::User(&FIXED)]) {
        println!("{congestion:>8}: {:6.1} Mbit/s", bytes_in_a_second(congestion) as f64 * 8.0 / 1e6);
    }
}
