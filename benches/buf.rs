//! What it costs to take a chunk, to queue a payload, and to take it out again.
//!
//! `cargo bench --bench buf`

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use tunstack::buf::{Pool, Slice, SliceQueue};

fn main() {
    divan::main();
}

#[divan::bench]
fn take_and_return_a_chunk(bencher: Bencher) {
    let pool = Pool::new(16);
    drop(pool.take());
    bencher.bench_local(|| pool.take());
}

/// A stream of segments of `len` bytes through a queue, read 64 KiB at a time.
#[divan::bench(args = [1, 100, 1448, 65_000])]
fn push_and_pop(bencher: Bencher, len: usize) {
    const TOTAL: usize = 256 * 1024;
    let data = vec![0x5a; len];
    bencher.counter(BytesCount::new(TOTAL / len * len)).bench_local(|| {
        let mut queue = SliceQueue::new();
        for _ in 0..TOTAL / len {
            queue.push(Slice::copy_of(black_box(&data)));
        }
        while !queue.is_empty() {
            black_box(queue.pop(65_536));
        }
    });
}
