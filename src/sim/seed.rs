//! What one seed stands for: every choice of a run is made here, so that a seed can be read as well as run.

use super::app::{AppPlan, Finish, Pauses};
use super::noise::NoisePlan;
use super::oracle::KEEPALIVE_PROBES;
use super::scenario::{ADDRESSES, ADDRESSES_V6, FlowPlan, HostPlan, Opening, Scenario, SocketPlan, TRACE, listen_port};
use crate::device::impair::{Burst, CODEL_INTERVAL, Impairment};
use crate::rng::Rng;
use crate::stack::{Cidr, Config, Congestion, Ecn, Keepalive, LossDetection, LossRecovery};
use crate::wire::{Offloads, ipv6};
use core::time::Duration;
use std::net::IpAddr;

const KIB: u64 = 1024;

impl Scenario {
    /// The run that `seed` stands for.
    pub fn from_seed(seed: u64) -> Self {
        let mut rng = Rng::new(Rng::seed_from(seed));
        let r = &mut rng;
        let start = r.between(0, 1 << 50);
        let faults_end = match r.between(0, 19) {
            0 => Duration::ZERO,
            1..=13 => millis(r, 50, 3_000),
            14..=18 => millis(r, 1_000, 20_000),
            _ => millis(r, 20_000, 700_000),
        };
        let mtu = if r.chance(0.01) { 68 } else { pick(r, &[1500, 1500, 1500, 1500, 1280, 576, 296, 4000, 9000]) };
        let mut hosts = [host_plan(r, 0, mtu, faults_end), host_plan(r, 1, mtu, faults_end)];
        let delay = Duration::from_micros(pick(r, &[0, 10, 1_000, 5_000, 20_000, 20_000, 50_000, 150_000]));
        let mut links = [link(r, delay, faults_end), link(r, delay, faults_end)];

        let count = pick(r, &[1, 1, 1, 1, 1, 1, 1, 1, 2, 3]);
        let mut flows: Vec<FlowPlan> = (0..count).map(|i| flow(r, i, count)).collect();
        // A few runs with little patience, so that the retry limits are met.
        if r.chance(0.06) {
            for host in &mut hosts {
                let tcp = &mut host.config.tcp;
                (tcp.retries1, tcp.retries2) = (1, r.between(2, 5) as u32);
                tcp.syn_retries = r.between(1, 3) as u32;
                tcp.synack_retries = r.between(1, 3) as u32;
                tcp.orphan_retries = r.between(1, 3) as u32;
            }
        }
        spare_cookies_the_silent(&hosts, &mut flows);
        // By the seed's own bits, so that seeds go on standing for the same choices of everything else.
        for (side, host) in hosts.iter_mut().enumerate() {
            host.config.offloads = if seed >> side & 1 == 1 { Offloads::ALL } else { Offloads::NONE };
        }
        let link_seeds = [r.u64(), r.u64()];
        // Drawn last, for the same reason: half of the connections of hosts that both have IPv6.
        if hosts.iter().all(|host| host.config.mtu >= ipv6::MIN_MTU) {
            for (host, addr) in hosts.iter_mut().zip(ADDRESSES_V6) {
                host.config.addresses.push(Cidr::new(addr.into(), 64));
            }
            flows.iter_mut().for_each(|flow| flow.v6 = r.chance(0.5));
        }
        // Every control, and now and then a part of loss recovery switched off or ECN asked for.
        let bit = |n: u64| seed >> n & 1 == 1;
        let recovery = LossRecovery {
            detection: if seed >> 11 & 3 == 3 { LossDetection::Rfc6675 } else { LossDetection::Rack },
            tail_probes: seed >> 9 & 7 != 7,
            prr: seed >> 10 & 7 != 7,
            frto: seed >> 8 & 7 != 7,
            undo: seed >> 7 & 7 != 7,
            dsack: seed >> 6 & 7 != 7,
        };
        for host in &mut hosts {
            host.config.tcp.congestion = Congestion::ALL[(seed >> 2 & 3) as usize];
            host.config.tcp.ecn = if bit(4) { Ecn::Request } else { Ecn::Accept };
        }
        flows.iter_mut().flat_map(|flow| &mut flow.sockets).for_each(|socket| socket.loss_recovery = recovery);
        if !faults_end.is_zero() {
            links.iter_mut().for_each(|link| special(r, link));
        }
        let tells_mtu = r.chance(0.7);
        let share = |bits: u64| if seed >> bits & 3 == 3 { 0.15 } else { 0.0 };
        let noise = NoisePlan { fragments: share(5), errors: share(7) };
        Scenario { seed, start, hosts, flows, links, link_seeds, noise, faults_end, tells_mtu, limit: None }
    }
}

/// A SYN cookie lives in the client's first segments. If the bare ACK is lost and the client only waits, the server
/// never hears of it: that is the price of cookies (RFC 4987 3.6), so such clients say something.
fn spare_cookies_the_silent(hosts: &[HostPlan; 2], flows: &mut [FlowPlan]) {
    for flow in flows {
        if let Opening::From(active) = flow.opening
            && hosts[1 - active].config.max_syn_queue == 0
        {
            flow.apps[active].total += 1;
        }
    }
}

fn millis(r: &mut Rng, low: u64, high: u64) -> Duration {
    Duration::from_millis(r.between(low, high))
}

fn pick<T: Copy>(r: &mut Rng, from: &[T]) -> T {
    from[r.between(0, from.len() as u64 - 1) as usize]
}

fn host_plan(r: &mut Rng, side: usize, mtu: usize, faults_end: Duration) -> HostPlan {
    let mut config = Config {
        addresses: vec![Cidr::new(IpAddr::V4(ADDRESSES[side]), 24)],
        mtu: if r.chance(0.1) { pick(r, &[576, 1500, 9000]) } else { mtu },
        trace_events: TRACE,
        ..Config::default()
    };
    let tcp = &mut config.tcp;
    tcp.timestamps = r.chance(0.8);
    tcp.window_scaling = r.chance(0.8);
    tcp.sack = r.chance(0.8);
    tcp.delayed_ack = Duration::from_millis(pick(r, &[40, 40, 40, 10, 200]));
    // Long enough for the last ACK to be asked for again after an outage.
    tcp.msl = Duration::from_secs(pick(r, &[30, 30, 60, 120]));
    if r.chance(0.5) {
        // Within 2^16 of the wrap, on either side.
        tcp.fixed_iss = Some((r.between(0, 1 << 17) as u32).wrapping_sub(1 << 16));
    }
    if r.chance(0.05) {
        config.max_syn_queue = 0;
    }
    HostPlan {
        config,
        seed: r.u64(),
        backlog: r.between(1, 8) as usize,
        stops_listening: r
            .chance(0.03)
            .then(|| Duration::from_millis(r.between(0, 2 * faults_end.as_millis() as u64 + 100))),
        batch: pick(r, &[1, 1, 2, 16, 64]),
    }
}

fn link(r: &mut Rng, delay: Duration, faults_end: Duration) -> Impairment {
    let mut spec = Impairment { delay, until: Some(faults_end), ..Impairment::default() };
    if faults_end.is_zero() {
        return spec;
    }
    let often =
        |r: &mut Rng, p: f64, most: f64| if r.chance(p) { most * r.between(1, 1000) as f64 / 1000.0 } else { 0.0 };
    spec.loss = often(r, 0.7, 0.2);
    spec.duplicate = often(r, 0.4, 0.2);
    spec.reorder = often(r, 0.4, 0.2);
    spec.corrupt = often(r, 0.3, 0.1);
    spec.gap = Duration::from_micros(r.between(100, 100_000));
    if r.chance(0.3) {
        spec.jitter = Duration::from_micros(r.between(1, 50_000));
    }
    if r.chance(0.15) {
        spec.rate = Some(r.between(500_000, 100_000_000));
        spec.queue = r.between(4 * KIB, 64 * KIB) as usize;
    }
    for _ in 0..if r.chance(0.2) { r.between(1, 3) } else { 0 } {
        let end = faults_end.as_micros() as u64;
        let from = r.between(0, end);
        let longest = pick(r, &[15_000_000, 15_000_000, 15_000_000, 100_000_000, 600_000_000]);
        let to = r.between(from, end.min(from + longest));
        spec.outages.push((Duration::from_micros(from), Duration::from_micros(to)));
    }
    spec
}

/// What only some links do.
fn special(r: &mut Rng, link: &mut Impairment) {
    if r.chance(0.15) {
        link.burst = Some(Burst { enter: 0.02, leave: 0.3, loss: 1.0 });
    }
    if link.rate.is_some() {
        link.codel = r.chance(0.3).then(|| (Duration::from_millis(5), CODEL_INTERVAL));
        link.mark = r.chance(0.3).then_some(link.queue / 4);
    }
    if r.chance(0.05) {
        link.mtu = Some(ipv6::MIN_MTU);
    }
}

fn flow(r: &mut Rng, index: usize, count: usize) -> FlowPlan {
    let active = r.between(0, 1) as usize;
    let opening = match r.between(0, 99) {
        0..=7 => Opening::Simultaneous,
        8..=10 => Opening::Refused(active),
        _ => Opening::From(active),
    };
    // Each flow has ports of its own, so that a peer's address names the flow.
    let own = 40_000 + index as u16;
    let ports = match opening {
        Opening::Simultaneous => [own, own + 100],
        Opening::Refused(a) | Opening::From(a) => {
            let mut ports = [listen_port(0), listen_port(1)];
            if matches!(opening, Opening::Refused(_)) {
                ports[1 - a] = 9;
            }
            // With one flow alone the choice of the port can be the stack's.
            ports[a] = if count == 1 && r.chance(0.5) { 0 } else { own };
            ports
        }
    };
    let mut apps = [app(r), app(r)];
    if apps.iter().all(|a| a.finish == Finish::AfterPeer) {
        // Two who wait for each other wait for ever.
        apps[r.between(0, 1) as usize].finish = Finish::Shutdown;
    }
    FlowPlan {
        v6: false,
        opening,
        start: Duration::from_micros(if r.chance(0.7) { 0 } else { r.between(0, 500_000) }),
        ports,
        apps,
        streams: [r.u64(), r.u64()],
        sockets: [socket(r), socket(r)],
    }
}

fn app(r: &mut Rng) -> AppPlan {
    let total = match r.between(0, 99) {
        0..=5 => 0,
        6..=19 => r.between(1, 5000),
        20..=89 => r.between(64 * KIB, 96 * KIB),
        90..=97 => r.between(96 * KIB, 256 * KIB),
        _ => r.between(256 * KIB, 512 * KIB),
    };
    let finish = match r.between(0, 99) {
        0..=44 => Finish::Shutdown,
        45..=69 => Finish::AfterPeer,
        70..=81 => Finish::CloseWhenWritten,
        82..=86 => Finish::ShutdownBoth,
        87..=93 => Finish::CloseAt(moment(r)),
        _ => Finish::AbortAt(moment(r)),
    };
    AppPlan {
        total,
        write_chunk: chunk(r),
        read_chunk: chunk(r),
        write_pauses: pauses(r),
        read_pauses: pauses(r),
        stall: r.chance(0.15).then(|| (r.between(0, total.max(1)), millis(r, 1, 20_000))),
        finish,
    }
}

/// Some time after the start, mostly early, where handshakes are.
fn moment(r: &mut Rng) -> Duration {
    let most = pick(r, &[100, 50_000, 500_000, 5_000_000]);
    Duration::from_micros(r.between(0, most))
}

fn chunk(r: &mut Rng) -> usize {
    // Small chunks make many calls: they are rarer, so that runs stay short.
    match r.between(0, 19) {
        0 => r.between(40, 500) as usize,
        1..=5 => r.between(500, 3000) as usize,
        6..=15 => r.between(3000, 20_000) as usize,
        _ => r.between(20_000, 65_000) as usize,
    }
}

fn pauses(r: &mut Rng) -> Pauses {
    if r.chance(0.6) {
        return Pauses::default();
    }
    Pauses {
        chance: r.between(1, 300) as f64 / 1000.0,
        longest: Duration::from_micros(pick(r, &[100, 10_000, 300_000, 2_000_000])),
        left: r.between(1, 20) as u32,
    }
}

fn buffer(r: &mut Rng) -> Option<usize> {
    pick(r, &[Some(4), Some(16), Some(64), None, Some(256), None]).map(|kib| kib * KIB as usize)
}

fn socket(r: &mut Rng) -> SocketPlan {
    SocketPlan {
        nodelay: r.chance(0.4),
        send_buffer: buffer(r),
        recv_buffer: buffer(r),
        keepalive: r.chance(0.1).then(|| Keepalive {
            idle: millis(r, 1_000, 10_000),
            interval: millis(r, 1_000, 5_000),
            count: KEEPALIVE_PROBES,
        }),
        ..SocketPlan::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_scenario_and_half_of_the_first_numbers_are_near_the_wrap() {
        let text = |seed| format!("{:?}", Scenario::from_seed(seed));
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        let near = (0..500).filter(|&s| Scenario::from_seed(s).hosts[0].config.tcp.fixed_iss.is_some()).count();
        assert!((200..300).contains(&near), "{near} of 500");
    }

    #[test]
    fn the_two_ends_never_wait_for_each_other() {
        for seed in 0..2000 {
            for flow in Scenario::from_seed(seed).flows {
                assert!(flow.apps.iter().any(|a| a.finish != Finish::AfterPeer));
            }
        }
    }
}
