//! A congestion control of one's own: a window that never changes, on a simulated path of 10 ms.
//!
//! `cargo run --no-default-features --example own_congestion_control` prints what each control makes of that path.
//! `docs/congestion-control.md` tells what a controller hears.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, Congestion, Stack};
use tunstack::tcp::cc::{CongestionControl, Start, UserControl};
use tunstack::tcp::rate::PathSample;
use tunstack::tcp::sample::AckSample;
use tunstack::time::Instant;
use tunstack::wire::RxFrame;

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
    fn on_recovered(&mut self, _flight: u32) {}
    fn on_rto(&mut self, _flight: u32, _first: bool) {}
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

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];

fn stack(i: usize) -> Stack {
    let config = Config { addresses: vec![Cidr::new(IpAddr::V4(ADDRESSES[i]), 24)], ..Config::default() };
    Stack::new(config, Rng::seed_from(i as u64), Instant::ZERO).expect("a valid configuration")
}

/// Bytes that arrive in one second over a path of 5 ms each way.
fn bytes_in_a_second(congestion: Congestion) -> u64 {
    let mut stacks = [stack(0), stack(1)];
    let to = SocketAddr::from((ADDRESSES[1], 80));
    let options = stacks[0].default_tcp_options();
    let listener = stacks[1].tcp_listen(to, 1, options.clone()).expect("a free port");
    let mut now = Instant::ZERO;
    let client = stacks[0]
        .tcp_connect(now, None, to, tunstack::stack::TcpOptions { congestion, ..options })
        .expect("a free port");
    let (mut server, mut wire, mut received) = (None, Vec::new(), 0);
    // Ten steps a millisecond; what is sent in one step arrives fifty steps later.
    for step in 0..10_000u32 {
        now += Duration::from_micros(100);
        while stacks[0].tcp_send(now, client, &[7; 16_384]).is_ok() {}
        for stack in &mut stacks {
            stack.on_deadline(now);
        }
        let arrives = |(due, _, _): &mut (u32, usize, Vec<u8>)| *due <= step;
        for (_, side, packet) in wire.extract_if(.., arrives) {
            stacks[side].on_frame(now, RxFrame::plain(Slice::copy_of(&packet)));
        }
        server = server.or_else(|| stacks[1].tcp_accept(now, listener).ok().map(|(id, _)| id));
        if let Some(id) = server {
            while let Ok(n) = stacks[1].tcp_recv(now, id, &mut [0; 65_536]) {
                received += n as u64;
            }
        }
        for side in [0, 1] {
            while let Some(frame) = stacks[side].poll_transmit(now) {
                wire.push((step + 50, 1 - side, frame.to_vec()));
            }
        }
    }
    received
}

fn main() {
    for congestion in Congestion::ALL.into_iter().chain([Congestion::User(&FIXED)]) {
        println!("{congestion:>8}: {:6.1} Mbit/s", bytes_in_a_second(congestion) as f64 * 8.0 / 1e6);
    }
}
