//! RFC 2018: selective acknowledgments, the receiver's side, and what a liar may not achieve with them.

use crate::support::*;
use tunstack::rng::Rng;

fn sacked() -> Tester {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).sack_ok());
    t
}

/// 2018-1: SACK-permitted answers SACK-permitted and nothing else.
#[test]
fn sack_permitted() {
    for (peer, ours) in [(true, true), (true, false), (false, true)] {
        let mut t = Tester::with(|c| c.tcp.sack = ours);
        t.listen(80);
        t.send(if peer { syn().mss(1460).sack_ok() } else { syn().mss(1460) });
        t.expect(if peer && ours { synack().sack_ok() } else { synack().no_sack_ok() });
        t.send(ack());
        t.accept();
        assert_eq!(t.info().sack, peer && ours);
        t.connect();
        t.expect(if ours { syn().sack_ok() } else { syn().no_sack_ok() });
    }
}

/// 2018-2: no SACK to a peer that did not permit it.
#[test]
fn no_sack_unless_permitted() {
    let mut t = Tester::new();
    t.establish();
    t.send(full(100).seq(101));
    t.expect(ack().ack(1).no_sack());
}

/// 2018-3 2018-4: each ACK with a hole below it reports; the first block holds the segment that caused it.
#[test]
fn first_block_is_the_newest() {
    let mut t = sacked();
    t.send(full(100).seq(101));
    t.expect(ack().ack(1).sack(&[(101, 201)]));
    t.send(full(100).seq(501));
    t.expect(ack().ack(1).sack(&[(501, 601), (101, 201)]));
    t.send(full(100).seq(301));
    t.expect(ack().ack(1).sack(&[(301, 401), (501, 601), (101, 201)]));
    t.send(full(100).seq(201)); // joins two: the block that contains it comes first
    t.expect(ack().ack(1).sack(&[(101, 401), (501, 601)]));
    t.send(full(100).seq(1)); // fills the first hole
    t.expect(ack().ack(401).sack(&[(501, 601)]));
    t.send(full(100).seq(401));
    t.advance(ms(40));
    t.expect(ack().ack(601).no_sack());
}

/// 2018-5: four blocks, three beside time stamps; the oldest give way.
#[test]
fn as_many_blocks_as_fit() {
    let mut t = sacked();
    for i in 0..6 {
        t.send(full(100).seq(101 + 200 * i));
    }
    let last = t.drain().pop().expect("an ACK");
    assert_eq!(t.rel_ack(&last), 1);
    let want = [(1101, 1201), (901, 1001), (701, 801), (501, 601)];
    t.send(full(100).seq(1101)); // a duplicate is told first, as one (RFC 2883), and its block stays where it was
    let again = t.next().expect("an ACK");
    for (p, want) in [(last, want), (again, [want[0], want[0], want[1], want[2]])] {
        let blocks: Vec<(i64, i64)> = p
            .sack
            .expect("SACK")
            .iter()
            .map(|(l, r)| (i64::from(l.wrapping_sub(p.ack)) + 1, i64::from(r.wrapping_sub(p.ack)) + 1))
            .collect();
        assert_eq!(blocks, want);
    }

    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).sack_ok().ts(1, 0));
    for i in 0..6 {
        t.send(full(100).seq(101 + 200 * i));
    }
    let last = t.drain().pop().expect("an ACK");
    assert_eq!(last.sack.map(|s| s.len()), Some(3));
}

/// 2018-9 2018-3 2018-4: against a model, with random holes: every block is data that came and is held, the newest first.
#[test]
fn blocks_are_true() {
    for seed in 0..30 {
        let mut rng = Rng::new(Rng::seed_from(seed));
        let mut t = sacked();
        let mut came = vec![false; 3000];
        for _ in 0..100 {
            let from = rng.between(1, 2900) as usize; // byte 0 never comes
            let len = rng.between(1, 100) as usize;
            t.send(full(len).seq(1 + from as i64));
            let p = t.next().expect("an ACK at once");
            assert_eq!(t.rel_ack(&p), 1);
            let mut blocks = p.sack.clone().expect("SACK");
            // What came twice is told first (RFC 2883), and only that is.
            let first_twice = (from..from + len).position(|i| came[i]).map(|i| from + i);
            if let Some(start) = first_twice {
                let end = (start..from + len).find(|&i| !came[i]).unwrap_or(from + len);
                let (left, right) = blocks.remove(0);
                assert_eq!((left.wrapping_sub(p.ack) as usize, right.wrapping_sub(p.ack) as usize), (start, end));
            }
            came[from..from + len].fill(true);
            for (i, (left, right)) in blocks.iter().enumerate() {
                let (l, r) = (left.wrapping_sub(p.ack) as usize, right.wrapping_sub(p.ack) as usize);
                assert!(l < r && came[l..r].iter().all(|c| *c), "seed {seed}: a block of data that never came");
                assert!(!came[l - 1] && !came[r], "seed {seed}: a block is as long as it can be");
                if i == 0 {
                    assert!(l <= from && from + len <= r, "seed {seed}: the first block holds the newest segment");
                }
            }
        }
        t.send(full(1).seq(1));
        let n = came.iter().skip(1).position(|c| !c).expect("a hole") + 1;
        assert_eq!(t.read_all(), pattern(0..n));
    }
}

/// 2018-7 2018-8 attack-21: a peer that takes back what it selectively acknowledged still gets all of it.
#[test]
fn reneging() {
    let mut t = sacked();
    t.write(&pattern(0..14_600));
    assert_eq!(t.drain().len(), 10);
    for i in 2..=10 {
        t.send(ack().ack(1).sack(&[(1461, 1 + 1460 * i)]));
    }
    let mut una = 1i64;
    let mut got: Vec<u8> = Vec::new();
    for _ in 0..200 {
        for p in t.drain() {
            let from = t.rel_seq(&p);
            let new = (una - from) as usize;
            if from <= una && new < p.text.len() {
                got.extend(&p.text[new..]);
                una = from + p.text.len() as i64;
                // One segment at a time: it forgot all the rest.
                t.send(ack().ack(una));
                break;
            }
        }
        if una == 14_601 {
            break;
        }
        t.drain();
        t.wait(secs(10));
    }
    assert_eq!(got, pattern(0..14_600));
    assert_eq!(t.info().send_queue, 0);
}

/// attack-22: blocks that make no sense change nothing.
#[test]
fn bogus_sack_blocks() {
    let mut rng = Rng::new(Rng::seed_from(4));
    let mut t = sacked();
    t.write(&pattern(0..14_600));
    t.drain();
    let before = t.info();
    let mut blocks: Vec<Vec<(u32, u32)>> = vec![
        vec![(14_601, 20_000)],            // never sent
        vec![(5000, 5000)],                // empty
        vec![(6000, 5000)],                // reversed
        vec![(u32::MAX - 5000, u32::MAX)], // before SND.UNA
        vec![(1, u32::MAX)],
        vec![(u32::MAX - 10, 10), (0, 0)],
    ];
    blocks.extend((0..500).map(|_| (0..4).map(|_| (rng.u32(), rng.u32())).collect()));
    for block in blocks {
        // With text, so that it is not a duplicate ACK that counts by itself.
        t.send(data(b"x").ack(1).sack(&block));
    }
    let after = t.info();
    assert_eq!((after.cwnd, after.in_flight, after.send_queue), (before.cwnd, before.in_flight, before.send_queue));
    t.send(ack());
    assert_eq!(t.info().send_queue, 0);
}

/// A SACK option whose length is no multiple of a block is left out; the segment counts.
#[test]
fn malformed_sack() {
    let mut t = sacked();
    t.write(b"x");
    t.drain();
    t.send(ack().raw_options(&[5, 9, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(t.info().in_flight, 0);
}
