use crate::stack::{Cidr, Config, Stack};
use crate::time::Instant;
use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

#[test]
fn timers_can_be_served_in_portions() {
    let us = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
    let config = Config { addresses: vec![Cidr::new(us, 24)], ..Config::default() };
    let mut stack = Stack::new(config, [1; 32], Instant::ZERO).unwrap();
    let options = stack.default_tcp_options();
    for port in 1..=10 {
        let to = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), port));
        stack.tcp_connect(Instant::ZERO, None, to, options.clone()).unwrap();
    }
    let frames = |stack: &mut Stack, now| std::iter::from_fn(|| stack.poll_transmit(now)).count();
    assert_eq!(frames(&mut stack, Instant::ZERO), 10);
    let now = Instant::ZERO + Duration::from_millis(1500);
    let mut rounds = 0;
    let mut again = 0;
    while stack.deadline().is_some_and(|at| at <= now) {
        stack.on_deadline_for(now, 4);
        let sent = frames(&mut stack, now);
        assert!(sent <= 4);
        again += sent;
        rounds += 1;
    }
    assert_eq!(again, 10, "each SYN was sent once more");
    assert!((3..=5).contains(&rounds), "{rounds} rounds");
}
