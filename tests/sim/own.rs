//! What a user brings along: applications, watchers, and links of special kinds.

use std::time::Duration;
use tunstack::device::impair::Fate;
use tunstack::sim::{AppPlan, Application, Event, Finish, Scenario, Socket, Timeline, World};
use tunstack::stack::{Congestion, Shutdown};

/// Sends back what comes.
#[derive(Default)]
struct Echo {
    held: Vec<u8>,
}

impl Application for Echo {
    fn run(&mut self, socket: &mut Socket<'_>) -> Result<(), String> {
        let mut buf = [0; 1000];
        loop {
            while self.held.len() < 5000
                && let Ok(n @ 1..) = socket.recv(&mut buf)
            {
                self.held.extend_from_slice(&buf[..n]);
            }
            match socket.send(&self.held) {
                Ok(n @ 1..) => drop(self.held.drain(..n)),
                _ => break,
            }
        }
        if self.held.is_empty() && socket.at_end() {
            socket.shutdown(Shutdown::Write).map_err(|e| e.to_string())?;
            socket.close();
        }
        Ok(())
    }
}

fn echo(seed: u64, link: &str) -> Scenario {
    let mut scenario = Scenario::transfer(seed, 100_000);
    scenario.set_link(link.parse().expect("a link"));
    scenario
}

#[test]
fn a_users_application_plays_with_a_planned_one() {
    let run = |seed| {
        let scenario = echo(seed, "delay=10ms,loss=3%,duplicate=3%");
        World::new(scenario).application(0, 1, Box::new(Echo::default())).run()
    };
    for seed in 0..20 {
        let report = run(seed);
        assert_eq!(report.violation, None, "seed {seed}");
        assert_eq!((report.flows[0].read, report.flows[0].written), ([100_000; 2], [100_000; 2]));
    }
    assert_eq!(run(3).hash, run(3).hash, "INV-9");
}

#[test]
fn what_an_application_complains_of_ends_the_run() {
    struct Fussy;
    impl Application for Fussy {
        fn run(&mut self, socket: &mut Socket<'_>) -> Result<(), String> {
            if socket.now() >= Duration::from_millis(20) { Err("too late for tea".to_owned()) } else { Ok(()) }
        }
    }
    let report = World::new(echo(1, "delay=10ms")).application(0, 1, Box::new(Fussy)).run();
    let violation = report.violation.expect("it complained");
    assert!(violation.what.contains("too late for tea") && violation.what.contains("host 1"), "{violation:?}");
}

#[test]
fn an_application_that_waits_for_ever_is_found() {
    struct Idler;
    impl Application for Idler {
        fn run(&mut self, _socket: &mut Socket<'_>) -> Result<(), String> {
            Ok(())
        }
    }
    let mut scenario = echo(1, "delay=10ms");
    scenario.limit = Some(Duration::from_secs(30));
    let violation = World::new(scenario).application(0, 1, Box::new(Idler)).run().violation.expect("a hang");
    assert!(violation.what.contains("a hang") && violation.at == Duration::from_secs(30), "{violation:?}");
}

#[test]
fn an_application_wakes_when_it_wants() {
    struct Clock {
        ticks: Vec<Duration>,
    }
    impl Application for &mut Clock {
        fn run(&mut self, socket: &mut Socket<'_>) -> Result<(), String> {
            if self.wake().is_some_and(|at| at <= socket.now()) {
                self.ticks.push(socket.now());
            }
            if self.ticks.len() == 3 {
                socket.close();
            }
            Ok(())
        }

        fn wake(&self) -> Option<Duration> {
            Some(Duration::from_secs(1 + self.ticks.len() as u64))
        }
    }
    let mut clock = Clock { ticks: Vec::new() };
    let mut scenario = Scenario::quiet(1);
    scenario.add_flow(0);
    let report = World::new(scenario).application(0, 1, Box::new(&mut clock)).run();
    assert_eq!(report.violation, None);
    assert_eq!(clock.ticks, [1, 2, 3].map(Duration::from_secs));
}

/// Where holes keep the send buffer full, it is not the application that holds output back: else a delivery rate would be
/// taken for the application's as long as a path loses, and the next sample that is not would be all that BBR knows.
#[test]
fn a_full_send_buffer_is_not_an_application_that_is_late() {
    /// Writes as much as there is room for, at once.
    struct Eager<'a> {
        left: usize,
        limited: &'a mut Vec<bool>,
    }
    impl Application for Eager<'_> {
        fn run(&mut self, socket: &mut Socket<'_>) -> Result<(), String> {
            let info = socket.info().filter(|info| info.delivery_rate > 0);
            self.limited.extend(info.map(|info| info.delivery_rate_app_limited));
            while self.left > 0
                && let Ok(n @ 1..) = socket.send(&[7; 8192][..self.left.min(8192)])
            {
                self.left -= n;
            }
            if self.left == 0 {
                socket.close();
            }
            Ok(())
        }
    }
    for congestion in [Congestion::Bbr, Congestion::Bbr3] {
        let mut scenario = echo(1, "delay=20ms,loss=3%");
        scenario.flows[0].apps[1] = AppPlan::reads();
        scenario.flows[0].sockets[0].congestion = Some(congestion);
        scenario.flows[0].sockets[0].send_buffer = Some(100_000);
        let mut limited = Vec::new();
        let eager = Eager { left: 2_000_000, limited: &mut limited };
        let report = World::new(scenario).application(0, 0, Box::new(eager)).run();
        assert_eq!(report.violation, None, "{congestion}");
        assert_eq!(report.flows[0].read[1], 2_000_000, "{congestion}");
        let of = limited.len();
        let late = limited.iter().filter(|&&late| late).count();
        assert!(of > 20 && late == 0, "{congestion}: {late} of {of}");
    }
}

/// RFC 1191, 8201 and, where nobody says anything, RFC 4821.
#[test]
fn a_small_mtu_on_the_way_is_told_or_found_out() {
    for (tells, v6, most) in [(true, false, 2), (true, true, 2), (false, false, 20), (false, true, 20)] {
        let mut scenario = echo(1, "delay=20ms,mtu=1300");
        (scenario.tells_mtu, scenario.flows[0].v6) = (tells, v6);
        let mut too_big = 0;
        let mut watch = |_at: Duration, event: &Event<'_>| {
            too_big += u32::from(matches!(event, Event::Sent { fate: Fate::TooBig, .. }));
        };
        let report = World::new(scenario).watch(&mut watch).run();
        assert_eq!(report.violation, None);
        assert_eq!(report.flows[0].read[1], 100_000);
        let took = report.flows[0].last_read[1].expect("it was read");
        assert!(too_big > 0 && took < Duration::from_secs(most), "told: {tells}, IPv6: {v6}: {took:?}");
    }
}

/// RFC 8289 4.2: the delay of a standing queue stays near the target, and the link stays busy.
#[test]
fn codel_keeps_round_trips_short_and_the_link_busy() {
    let run = |link: &str| {
        let mut scenario = Scenario::transfer(1, 8_000_000);
        scenario.set_link(link.parse().expect("a link"));
        let mut timeline = Timeline::new(&scenario);
        let report = World::new(scenario).watch(&mut |at, event| timeline.record(at, event)).run();
        assert_eq!(report.violation, None);
        let late = timeline.track(0, 0).samples.iter().filter(|s| s.at > Duration::from_secs(2));
        (late.filter_map(|s| s.srtt).max().expect("round trips"), report.flows[0].goodput(1).expect("a rate"))
    };
    let (slow, rate) = run("delay=10ms,rate=10Mbit,queue=1250kB");
    assert!(slow > Duration::from_millis(200) && rate > 9_000_000, "{slow:?} {rate}");
    let (quick, rate) = run("delay=10ms,rate=10Mbit,queue=1250kB,codel=5ms");
    assert!(quick < Duration::from_millis(60) && rate > 8_500_000, "{quick:?} {rate}");
}

#[test]
fn a_bursty_link_hurts_less_than_as_many_losses_one_by_one() {
    let rate = |link: &str, seed: u64| {
        let mut scenario = Scenario::quiet(seed);
        scenario.set_link(link.parse().expect("a link"));
        let flow = scenario.add_flow(0);
        flow.sockets[0].congestion = Some(Congestion::Cubic);
        flow.apps[0] = AppPlan { finish: Finish::AbortAt(Duration::from_secs(30)), ..AppPlan::writes(u64::MAX) };
        let report = World::new(scenario).run();
        assert_eq!(report.violation, None);
        assert!(report.faults[0].lost > 30, "{:?}", report.faults);
        report.flows[0].read[1]
    };
    // Both lose 2 % of all packets, but a burst costs the window only once.
    let sum = |link: &str| (1..=4).map(|seed| rate(link, seed)).sum::<u64>();
    let (single, bursts) = (sum("delay=20ms,loss=2%"), sum("delay=20ms,burst=0.255%/12.5%"));
    assert!(bursts > single, "{bursts} in bursts, {single} one by one");
}
