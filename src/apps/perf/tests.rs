//! Client and server on two hosts, joined by a link in memory. What a stock iperf3 says to each is tested against the
//! kernel.

use super::protocol::Step;
use super::{CpuTime, Event, PORT, Params, Server, Summary, run};
use crate::apps::service::{Limits, spawn_tcp};
use crate::apps::testing::hosts;
use crate::net::Host;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn no_clock() -> CpuTime {
    CpuTime::default()
}

fn at() -> SocketAddr {
    ([192, 0, 2, 2], PORT).into()
}

/// A server, a client's host, and how each test ended as the server saw it.
fn served() -> (Host, Host, Receiver<Result<Summary, ErrorKind>>) {
    let (server, client) = hosts();
    let (tell, told) = channel();
    let service = Server::new(server.bind_udp(at()).unwrap(), no_clock, move |event| match event {
        Event::Ended(summary) => tell.send(Ok(summary.clone())).unwrap(),
        Event::Failed(e) => tell.send(Err(e.kind())).unwrap(),
        _ => {}
    });
    spawn_tcp("perf", server.listen(at()).unwrap(), Limits::default(), service).unwrap();
    (server, client, told)
}

/// Runs a test of one second and gives what the client and what the server saw, how many intervals were told, and what
/// each host sent again in all.
fn test(params: &Params) -> (Summary, Summary, usize, [u64; 2]) {
    let (server, client, told) = served();
    let mut intervals = 0;
    let params = Params { time: 1, ..params.clone() };
    let ours = run(&client, at(), &params, no_clock, &mut |event| {
        if let Event::Interval(_) = event {
            intervals += 1;
        }
    });
    let theirs = told.recv_timeout(Duration::from_secs(20)).unwrap().unwrap();
    (ours.unwrap(), theirs, intervals, [&client, &server].map(|host| host.stats().tcp.retransmits))
}

fn tcp() -> Params {
    Params { tcp: true, ..Params::default() }
}

#[test]
fn each_direction_moves_what_it_says() {
    for (params, ids) in [
        (tcp(), vec![(1, true)]),
        (Params { reverse: true, parallel: 2, ..tcp() }, vec![(1, false), (3, false)]),
        (Params { bidirectional: true, len: 1000, ..tcp() }, vec![(1, true), (3, false)]),
    ] {
        let (ours, theirs, intervals, resent) = test(&params);
        let sides: Vec<_> = ours.whole.flows.iter().map(|flow| (flow.id, flow.sends)).collect();
        assert_eq!((sides, intervals), (ids, 1));
        for (here, there) in ours.whole.flows.iter().zip(&theirs.whole.flows) {
            assert_eq!((here.id, here.sends), (there.id, !there.sends));
            let (sender, receiver) = if here.sends { (here, there) } else { (there, here) };
            assert!(receiver.bytes > 0 && receiver.bytes <= sender.bytes, "{sender:?} {receiver:?}");
            assert!(sender.cwnd > Some(0) && receiver.cwnd.is_none() && receiver.retransmits.is_none(), "{sender:?}");
        }
        // Nothing is lost, but on a busy machine a host may wait so long for its turn that something is sent again.
        for (side, resent) in [&ours, &theirs].into_iter().zip(resent) {
            let sends = side.whole.flows.iter().filter(|flow| flow.sends);
            let told: u64 = sends.map(|flow| flow.retransmits.expect("a sender knows")).sum();
            assert!(told <= resent, "{told} of {resent}: {side:?}");
        }
        // Each end has been told what the other saw.
        let told: Vec<_> = ours.theirs.streams.iter().map(|stream| (stream.id, stream.bytes)).collect();
        assert_eq!(told, theirs.whole.flows.iter().map(|flow| (flow.id, flow.bytes)).collect::<Vec<_>>());
        let told: Vec<_> = theirs.theirs.streams.iter().map(|stream| (stream.id, stream.bytes)).collect();
        assert_eq!(told, ours.whole.flows.iter().map(|flow| (flow.id, flow.bytes)).collect::<Vec<_>>());
    }
}

#[test]
fn datagrams_keep_their_rate_and_are_counted() {
    for reverse in [false, true] {
        let (ours, theirs, ..) = test(&Params {
            udp: true,
            reverse,
            len: 1000,
            bandwidth: 4_000_000,
            parallel: 2,
            udp_counters_64bit: 1,
            ..Params::default()
        });
        let (sender, receiver) = if reverse { (theirs, ours) } else { (ours, theirs) };
        for (sent, received) in sender.whole.flows.iter().zip(&receiver.whole.flows) {
            let (packets, count) = (sent.datagrams.unwrap().packets, received.datagrams.unwrap());
            // 500 in a second; a busy machine may be late, but never early.
            let most = (500.0 * sender.whole.end) as u64 + 50;
            assert!((100..=most).contains(&packets) && sent.bytes == packets * 1000, "{sent:?}");
            assert!(count.packets <= packets && count.packets >= packets / 2, "{received:?} of {packets}");
            assert_eq!(received.bytes, (count.packets - count.lost) * 1000);
        }
    }
}

#[test]
fn the_second_client_is_told_that_the_server_is_busy() {
    let (_server, client, told) = served();
    let mut first = client.connect(at()).unwrap();
    first.write_all(&[b'a'; 37]).unwrap();
    Step::ParamExchange.expect(&first).unwrap();
    let refused = run(&client, at(), &Params { time: 1, ..tcp() }, no_clock, &mut |_| {}).unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().contains("busy")), (ErrorKind::ConnectionRefused, true));
    // The first goes away, and the server is free.
    drop(first);
    assert_eq!(told.recv_timeout(Duration::from_secs(20)).unwrap().unwrap_err(), ErrorKind::UnexpectedEof);
    run(&client, at(), &Params { time: 1, ..tcp() }, no_clock, &mut |_| {}).unwrap();
}

#[test]
fn nonsense_ends_a_test_and_not_the_server() {
    let (_server, client, told) = served();
    let nonsense: [&[u8]; 4] = [
        &[b'x'; 37],
        &[&[b'x'; 37][..], b"\xff\xff\xff\xff"].concat(),
        &[&[b'x'; 37][..], b"\0\0\0\x04nope"].concat(),
        &[&[b'x'; 37][..], b"\0\0\0\x10{\"parallel\":999}"].concat(),
    ];
    for bytes in nonsense {
        let mut stream = client.connect(at()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(crate::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        // It may be reset, with something unread.
        let _ = stream.read_to_end(&mut answer);
        assert!(told.recv_timeout(Duration::from_secs(20)).unwrap().is_err(), "{bytes:?}");
        assert!(answer.len() <= 10, "{answer:?}");
    }
    let error = run(&client, at(), &Params { parallel: 0, ..tcp() }, no_clock, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    run(&client, at(), &Params { time: 1, ..tcp() }, no_clock, &mut |_| {}).unwrap();
}
