//! What a packet may cost: strangers cannot make a packet much dearer than an honest one. The bounds are wide, because
//! the machine may be busy, and far below what a cost that grows with what is held would give.

use crate::support::*;
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::rng::Rng;
use tunstack::wire::RxFrame;

/// The time of this thread on a processor so far: what else runs is not counted.
fn used() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// How long the stack takes for these segments, each with its answer pulled.
fn time(t: &mut Tester, segments: impl Iterator<Item = Seg>) -> Duration {
    let frames: Vec<Slice> = segments.map(|s| Slice::copy_of(&t.packet(&s))).collect();
    let now = t.now();
    let start = used();
    for frame in frames {
        t.stack.on_frame(now, RxFrame::plain(frame));
        while t.stack.poll_transmit(now).is_some() {}
    }
    used() - start
}

fn tester() -> Tester {
    let mut t = Tester::new().without_timer_check();
    t.establish_with(syn().mss(1460).sack_ok().ws(0));
    // The window grows to the whole of the buffer with the first text that is read.
    t.send(full(1460));
    t.advance(secs(1));
    t.read_all();
    t
}

/// attack-25: single bytes backwards, at every second place, and at random, against single bytes in order.
#[test]
fn segment_smack() {
    const N: i64 = 100_000;
    let mut t = tester();
    let honest = time(&mut t, (0..N).map(|i| full(1).seq(1460 + 1 + i)));
    let mut t = tester();
    let backwards = time(&mut t, (0..N).map(|i| full(1).seq(1460 + 2 + N - i)));
    let mut t = tester();
    let combed = time(&mut t, (0..N).map(|i| full(1).seq(1460 + 3 + 2 * (i * 7919 % (N / 2)))));
    let mut rng = Rng::new(Rng::seed_from(9));
    let mut t = tester();
    let random = time(&mut t, (0..N).map(|_| full(1).seq(1460 + rng.between(2, N as u64) as i64)));
    for (name, attack) in [("backwards", backwards), ("combed", combed), ("random", random)] {
        eprintln!("{N} bytes {name}: {attack:?}, in order: {honest:?}");
        assert!(attack < honest * 10 + Duration::from_millis(200), "{attack:?} against {honest:?}");
    }
}
