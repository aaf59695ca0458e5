//! Work of known amount, for counting the instructions that it takes: `scripts/instructions` runs it under callgrind.
//!
//! ```text
//! cargo run --release --example instructions -- SCENARIO
//! ```
//!
//! There is no clock and no chance in it, and it prints how many times the scenario did its work within [`measured`];
//! what is outside, such as making the peers' frames, is not counted.

#[path = "../benches/common/mod.rs"]
mod common;

use common::{Peer, SEGMENT, SUPER_SEGMENT, Scene, text};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::stack::TcpId;
use tunstack::wire::tcp::Flags;
use tunstack::wire::{Offloads, RxFrame, TxFrame};

/// A scenario's name, and what runs it and says how often the work was done.
type Scenario = (&'static str, fn() -> usize);

const SCENARIOS: &[Scenario] = &[
    ("receive a segment in order", || receive(SEGMENT, 16, false)),
    ("receive a super-segment", || receive(SUPER_SEGMENT, 1, false)),
    ("receive a segment out of order or behind one", || receive(SEGMENT, 16, true)),
    ("send a super-segment and hear its ACK", || send(Offloads::ALL)),
    ("send 44 segments and hear their ACK", || send(Offloads::NONE)),
    ("echo one byte", echo),
    ("open and close", open_and_close),
    ("two segments to one of 10 connections", || one_of(10)),
    ("two segments to one of 1000000 connections", || one_of(1_000_000)),
];

/// How often a scenario does its work. More would change nothing: every time is like the other.
const TIMES: usize = 1000;

/// Time that passes between two pieces of work.
const TICK: Duration = Duration::from_micros(10);

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    match SCENARIOS.iter().find(|(name, _)| Some(*name) == wanted.as_deref()) {
        Some((_, run)) => {
            println!("{}", run());
            ExitCode::SUCCESS
        }
        None => {
            SCENARIOS.iter().for_each(|(name, _)| println!("{name}"));
            ExitCode::from(if wanted.is_none() { 0 } else { 2 })
        }
    }
}

/// Has callgrind translate for counting from here on. Until then everything runs ten times as fast, and a million
/// connections are to be opened before the first instruction counts.
fn prepared() {
    if std::env::var_os("UNDER_CALLGRIND").is_none() {
        return;
    }
    let pid = format!("--pid={}", std::process::id());
    let mut vgdb =
        Command::new("vgdb").args([&pid, "instrumentation", "on"]).stdout(Stdio::null()).spawn().expect("vgdb");
    // Valgrind listens to it only while this program runs, so this is no place to sleep.
    let end = std::time::Instant::now() + Duration::from_secs(60);
    let status = loop {
        if let Some(status) = vgdb.try_wait().expect("waiting for vgdb") {
            break status;
        }
        assert!(std::time::Instant::now() < end, "vgdb does not reach valgrind");
    };
    assert!(status.success(), "vgdb: {status}");
}

/// The work that is counted: callgrind knows it by its name.
#[inline(never)]
fn measured<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Takes frames, answers them, and has the application take the text.
fn take(scene: &mut Scene, id: TcpId, frames: Vec<RxFrame>) {
    measured(|| {
        for frame in frames {
            scene.give(frame);
        }
        while scene.stack.poll_transmit(scene.now).is_some() {}
        while scene.stack.poll_ready().is_some() {}
        scene.stack.tcp_pop(scene.now, id, usize::MAX).map(drop)
    })
    .expect("text to be read");
    scene.settle();
}

fn receive(len: usize, batch: usize, swapped: bool) -> usize {
    let mut scene = Scene::new(Offloads::ALL);
    let (mut peer, id) = scene.connect();
    let text = vec![0x5a; len];
    prepared();
    for _ in 0..TIMES / batch {
        scene.now += TICK;
        let mut frames: Vec<RxFrame> = (0..batch).map(|_| peer.text(&scene, &text)).collect();
        if swapped {
            frames.chunks_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        take(&mut scene, id, frames);
    }
    TIMES / batch * batch
}

/// Writes a super-segment's worth and takes what is sent at once.
fn push(scene: &mut Scene, id: TcpId, text: Slice) -> Vec<TxFrame> {
    scene.stack.tcp_push(scene.now, id, text).expect("room");
    std::iter::from_fn(|| scene.stack.poll_transmit(scene.now)).collect()
}

/// Has the stack hear an ACK, and takes what that lets it send.
fn acknowledge(scene: &mut Scene, ack: RxFrame) -> Vec<TxFrame> {
    scene.give(ack);
    while scene.stack.poll_ready().is_some() {}
    std::iter::from_fn(|| scene.stack.poll_transmit(scene.now)).collect()
}

fn send(offloads: Offloads) -> usize {
    let mut scene = Scene::new(offloads);
    let (mut peer, id) = scene.connect();
    let text = text(SUPER_SEGMENT);
    let hear = |peer: &mut Peer, scene: &Scene, frames: &[TxFrame]| {
        frames.iter().for_each(|frame| peer.hear_text(frame.len()));
        peer.segment(scene, Flags::ACK, &[])
    };
    // Until slow start has opened the window.
    for _ in 0..100 {
        scene.now += TICK;
        let mut sent = push(&mut scene, id, text.clone());
        while !sent.is_empty() {
            let ack = hear(&mut peer, &scene, &sent);
            sent = acknowledge(&mut scene, ack);
        }
    }
    prepared();
    for _ in 0..TIMES {
        scene.now += TICK;
        let text = text.clone();
        let sent = measured(|| push(&mut scene, id, text));
        assert_eq!(sent.len(), if offloads.tso4 { 1 } else { SUPER_SEGMENT / SEGMENT }, "all of it goes at once");
        let ack = hear(&mut peer, &scene, &sent);
        // A device drops what it has sent before that is acknowledged.
        drop(sent);
        let more = measured(|| acknowledge(&mut scene, ack));
        assert!(more.is_empty() && scene.stack.tcp_send_queue(id) == Ok(0), "all of it was acknowledged");
    }
    TIMES
}

fn echo() -> usize {
    let mut scene = Scene::new(Offloads::ALL);
    let (mut peer, id) = scene.connect();
    prepared();
    for _ in 0..TIMES {
        scene.now += TICK;
        let request = peer.text(&scene, b"x");
        let answer = measured(|| {
            scene.give(request);
            while scene.stack.poll_ready().is_some() {}
            let mut buf = [0; 64];
            let n = scene.stack.tcp_recv(scene.now, id, &mut buf).expect("a request");
            scene.stack.tcp_send(scene.now, id, &buf[..n]).expect("room");
            scene.stack.poll_transmit(scene.now)
        });
        peer.hear(&answer.expect("an answer").to_vec());
        scene.settle();
    }
    TIMES
}

/// Closes a connection, the peer first.
fn close(scene: &mut Scene, mut peer: Peer, id: TcpId) {
    let fin = peer.segment(scene, Flags::FIN | Flags::ACK, &[]);
    scene.give(fin);
    peer.nxt += 1;
    scene.stack.tcp_close(scene.now, id).expect("an open handle");
    while let Some(frame) = scene.take() {
        peer.hear(&frame);
    }
    let ack = peer.segment(scene, Flags::ACK, &[]);
    scene.give(ack);
    scene.settle();
}

fn open_and_close() -> usize {
    let mut scene = Scene::new(Offloads::ALL);
    // What grows once: the tables' first places.
    for _ in 0..10 {
        let (peer, id) = scene.connect();
        close(&mut scene, peer, id);
    }
    prepared();
    for _ in 0..TIMES {
        scene.now += TICK;
        measured(|| {
            let (peer, id) = scene.connect();
            close(&mut scene, peer, id);
        });
    }
    TIMES
}

/// Two segments at once to one of `n` connections, and one ACK for them.
fn one_of(n: usize) -> usize {
    let mut scene = Scene::new(Offloads::ALL);
    let mut connections: Vec<(Peer, TcpId)> = (0..n).map(|_| scene.connect()).collect();
    let text = [0x5a; 100];
    // Some of them, from everywhere; each is used once before, so that what a connection makes once does not count.
    let sample = n.min(TIMES);
    prepared();
    for round in 0..2 * TIMES / sample {
        for at in (0..sample).map(|i| i * (n / sample)) {
            scene.now += TICK;
            let (peer, id) = &mut connections[at];
            let frames = vec![peer.text(&scene, &text), peer.text(&scene, &text)];
            if round * sample < TIMES {
                frames.into_iter().for_each(|frame| scene.give(frame));
                scene.settle();
                scene.stack.tcp_pop(scene.now, *id, usize::MAX).expect("text to be read");
                scene.settle();
            } else {
                take(&mut scene, *id, frames);
            }
        }
    }
    TIMES
}
