//! RFC 2883: DSACK, the receiver's side, by the examples of its section 4; the sender's side is in `rfc6937.rs`.

use crate::support::*;

/// The bytes of a segment, the ACK that it brings and that one's blocks.
type Arrival = (i64, i64, i64, &'static [(u32, u32)]);

/// One example: what arrives in order before it, and then what arrives, with the ACK that this brings and its blocks.
struct Example {
    section: &'static str,
    held: i64,
    arrivals: &'static [Arrival],
}

/// The examples' numbers are those of the text's bytes; the first that is not received in order comes at `held`.
const EXAMPLES: [Example; 6] = [
    Example { section: "4.1.1", held: 4000, arrivals: &[(3000, 3500, 4000, &[(3000, 3500)])] },
    Example {
        section: "4.1.2",
        held: 4000,
        arrivals: &[(4500, 5000, 4000, &[(4500, 5000)]), (3000, 3500, 4000, &[(3000, 3500), (4500, 5000)])],
    },
    Example {
        section: "4.1.3",
        held: 4000,
        arrivals: &[
            (4500, 5000, 4000, &[(4500, 5000)]),
            (5000, 5500, 4000, &[(4500, 5500)]),
            (5000, 5500, 4000, &[(5000, 5500), (4500, 5500)]),
        ],
    },
    Example {
        section: "4.2.1",
        held: 1000,
        arrivals: &[
            (2000, 2500, 1000, &[(2000, 2500)]),
            (1000, 1500, 1500, &[(2000, 2500)]),
            (1000, 2000, 2500, &[(1000, 1500)]),
        ],
    },
    Example {
        section: "4.2.2",
        held: 1000,
        arrivals: &[
            (3000, 3500, 1000, &[(3000, 3500)]),
            (1000, 1500, 1500, &[(3000, 3500)]),
            (2000, 2500, 1500, &[(2000, 2500), (3000, 3500)]),
            (1000, 2500, 2500, &[(1000, 1500), (3000, 3500)]),
        ],
    },
    Example {
        section: "4.2.3",
        held: 1000,
        arrivals: &[
            (3500, 4000, 1000, &[(3500, 4000)]),
            (1500, 2000, 1000, &[(1500, 2000), (3500, 4000)]),
            // (The RFC's table says 2000-2499 here, which it calls lost before.)
            (2500, 3000, 1000, &[(2500, 3000), (1500, 2000), (3500, 4000)]),
            (1500, 3000, 1000, &[(1500, 2000), (1500, 3000), (3500, 4000)]),
        ],
    },
];

/// 2883-1 2883-3 2883-5 2883-7 2883-8: the examples of RFC 2883 4.1 and 4.2, to the block: a segment that came twice, wholly or in part;
/// only the first part that did is told, then the block that holds it, then the others.
#[test]
fn the_examples_of_the_rfc() {
    for Example { section, held, arrivals } in EXAMPLES {
        let mut t = Tester::new();
        t.establish_with(syn().mss(1460).sack_ok());
        for at in (0..held).step_by(500) {
            t.send(full(500).seq(1 + at));
        }
        t.advance(ms(500));
        t.drain();
        for &(from, to, acked, blocks) in arrivals {
            t.send(full((to - from) as usize).seq(1 + from));
            let answer = t.next().unwrap_or_else(|| panic!("{section}: no ACK at once of {from}-{to}"));
            let got: Vec<(u32, u32)> = answer
                .sack
                .clone()
                .unwrap_or_default()
                .iter()
                .map(|&(l, r)| (l.wrapping_sub(answer.ack), r.wrapping_sub(answer.ack)))
                .map(|(l, r)| (l.wrapping_add(acked as u32), r.wrapping_add(acked as u32)))
                .collect();
            assert_eq!((t.rel_ack(&answer) - 1, got.as_slice()), (acked, blocks), "{section}: {from}-{to}");
        }
    }
}

/// 2883-2: what came twice is in one ACK only, and in another if it comes a third time.
#[test]
fn once_for_each_time() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).sack_ok());
    t.send(full(500).seq(1));
    t.send(full(500).seq(501));
    t.send(full(500).seq(1501));
    t.drain();
    for _ in 0..3 {
        t.send(full(500).seq(1));
        t.expect(ack().ack(1001).sack(&[(1, 501), (1501, 2001)]));
        t.write(b"x");
        t.expect(data(b"x").ack(1001).sack(&[(1501, 2001)]));
        t.send(ack().seq(1001));
        t.drain();
    }
}
