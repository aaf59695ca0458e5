//! What a segment costs a stack, and what it costs to find its connection among many.
//!
//! `cargo bench --bench segments`

mod common;

use common::{Peer, SEGMENT, SUPER_SEGMENT, Scene, text};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use std::cell::RefCell;
use std::time::Duration;
use tunstack::stack::TcpId;
use tunstack::wire::tcp::Flags;
use tunstack::wire::{Offloads, RxFrame};

fn main() {
    divan::main();
}

/// Segments that are given before an answer is asked for, as a driver does.
const BATCH: usize = 16;

/// A stack, and some of its connections, to be taken in turn.
struct Crowd {
    scene: Scene,
    connections: Vec<(Peer, TcpId)>,
    turn: usize,
}

impl Crowd {
    fn new(n: usize) -> RefCell<Crowd> {
        let mut scene = Scene::new(Offloads::ALL);
        let connections = (0..n).map(|_| scene.connect()).collect();
        RefCell::new(Crowd { scene, connections, turn: 0 })
    }

    /// A batch of frames with `len` bytes each, of the next connection. Neighbours in turn are no neighbours in memory.
    fn batch(&mut self, n: usize, len: usize) -> (TcpId, Vec<RxFrame>) {
        let Crowd { scene, connections, turn } = self;
        *turn = (*turn + 7919) % connections.len();
        let (peer, id) = &mut connections[*turn];
        scene.now += Duration::from_micros(1);
        let text = vec![0x5a; len];
        (*id, (0..n).map(|_| peer.text(scene, &text)).collect())
    }

    /// Takes a batch, answers it, and has the application take the text.
    fn take(&mut self, (id, frames): (TcpId, Vec<RxFrame>)) {
        let scene = &mut self.scene;
        frames.into_iter().for_each(|frame| scene.give(frame));
        scene.settle();
        scene.stack.tcp_pop(scene.now, id, usize::MAX).expect("text to be read");
        scene.settle();
    }
}

#[divan::bench(args = [100, SEGMENT, SUPER_SEGMENT])]
fn in_order(bencher: Bencher, len: usize) {
    let crowd = Crowd::new(1);
    let n = if len > SEGMENT { 1 } else { BATCH };
    bencher
        .counter(ItemsCount::new(n))
        .counter(BytesCount::new(n * len))
        .with_inputs(|| crowd.borrow_mut().batch(n, len))
        .bench_local_values(|batch| crowd.borrow_mut().take(batch));
}

/// Every second segment comes before the one in front of it.
#[divan::bench]
fn out_of_order(bencher: Bencher) {
    let crowd = Crowd::new(1);
    let inputs = || {
        let (id, mut frames) = crowd.borrow_mut().batch(BATCH, SEGMENT);
        frames.chunks_mut(2).for_each(|pair| pair.swap(0, 1));
        (id, frames)
    };
    bencher
        .counter(ItemsCount::new(BATCH))
        .counter(BytesCount::new(BATCH * SEGMENT))
        .with_inputs(inputs)
        .bench_local_values(|batch| crowd.borrow_mut().take(batch));
}

/// Two segments, one ACK, one read, for another connection each time: with the table grow the misses of the caches.
#[divan::bench(args = [10, 10_000, 100_000, 1_000_000], sample_count = 1000)]
fn one_of(bencher: Bencher, connections: usize) {
    let crowd = Crowd::new(connections);
    bencher
        .counter(ItemsCount::new(2usize))
        .with_inputs(|| crowd.borrow_mut().batch(2, 100))
        .bench_local_values(|batch| crowd.borrow_mut().take(batch));
}

/// A delayed ACK's timer for each of many connections: set, come due, and acted upon.
#[divan::bench(args = [10, 10_000])]
fn timers(bencher: Bencher, connections: usize) {
    let crowd = Crowd::new(connections);
    let inputs = || {
        let mut crowd = crowd.borrow_mut();
        let Crowd { scene, connections, .. } = &mut *crowd;
        for (peer, id) in connections {
            // Two, so that the next is again the first of two.
            for _ in 0..2 {
                let frame = peer.text(scene, b"x");
                scene.give(frame);
            }
            scene.settle();
            let frame = peer.text(scene, b"x");
            scene.give(frame);
            scene.settle();
            scene.stack.tcp_pop(scene.now, *id, usize::MAX).expect("text to be read");
            scene.settle();
        }
        scene.now += Duration::from_millis(50);
    };
    bencher.counter(ItemsCount::new(connections)).with_inputs(inputs).bench_local_values(|()| {
        let mut crowd = crowd.borrow_mut();
        let scene = &mut crowd.scene;
        scene.stack.on_deadline(scene.now);
        let mut acks = 0;
        while scene.stack.poll_transmit(scene.now).is_some() {
            acks += 1;
        }
        assert_eq!(acks, connections, "each timer sends its ACK");
    });
}

/// 64 KiB pushed, sent as a super-segment or in pieces, and acknowledged.
#[divan::bench(args = [true, false])]
fn send(bencher: Bencher, offloads: bool) {
    let scene = &mut Scene::new(if offloads { Offloads::ALL } else { Offloads::NONE });
    let (mut peer, id) = scene.connect();
    let text = text(SUPER_SEGMENT);
    bencher.counter(BytesCount::new(SUPER_SEGMENT)).bench_local(|| {
        scene.now += Duration::from_micros(10);
        scene.stack.tcp_push(scene.now, id, text.clone()).expect("room");
        while scene.stack.tcp_send_queue(id) != Ok(0) {
            while let Some(frame) = scene.stack.poll_transmit(scene.now) {
                peer.hear_text(frame.len());
            }
            let ack = peer.segment(scene, Flags::ACK, &[]);
            scene.give(ack);
        }
        scene.settle();
    });
}
