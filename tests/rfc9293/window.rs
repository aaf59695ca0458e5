//! RFC 9293 3.8.6: windows, probes, silly window syndrome, delayed ACKs.

use crate::support::*;
use tunstack::error::Error;
use tunstack::rng::Rng;
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;

/// A connection with `unsent` bytes waiting before a closed window; SND.UNA is 1.
fn zero_window(unsent: usize) -> Tester {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).wnd(0));
    t.write(&pattern(0..unsent));
    t.expect_nothing();
    t
}

/// MUST-35 MUST-36 SHLD-29 SHLD-30: the first probe comes after an RTO, then ever more slowly, up to 2 minutes.
#[test]
fn zero_window_probes() {
    let mut t = zero_window(5000);
    let mut gap = t.info().rto;
    for _ in 0..14 {
        let p = t.expect_between(gap, gap + ms(5), seg(ACK).any_text().seq(1));
        assert_eq!(p.text.len(), 1, "one byte of new data");
        t.send(ack().ack(1).wnd(0));
        t.expect_nothing();
        gap = (gap * 2).min(secs(120));
    }
    t.send(ack().ack(1).wnd(65_535));
    let sent: usize = t.serve().iter().map(|p| p.text.len()).sum();
    assert!(sent >= 4999, "the rest follows at once");
}

/// MUST-36: the window update is lost: the next probe finds the window open.
#[test]
fn lost_window_update() {
    let mut t = zero_window(5000);
    t.expect_within(secs(2), seg(ACK).any_text().seq(1));
    t.send(ack().ack(1).wnd(0));
    t.expect_within(secs(5), seg(ACK).any_text().seq(1));
    t.send(ack().ack(2).wnd(65_535)); // the peer had opened and takes the byte
    let mut got = 1;
    for _ in 0..4 {
        got += t.drain().iter().map(|p| p.text.len()).sum::<usize>();
        t.send(ack());
    }
    assert_eq!(got, 5000);
    assert_eq!(t.info().send_queue, 0);
}

/// MUST-36: the octet of a probe does not count as sent: a peer that has refused it looks at no ACK with a number behind it.
#[test]
fn acks_between_probes_are_acceptable() {
    let mut t = zero_window(5000);
    for i in 0..5 {
        t.expect_within(secs(40), seg(ACK).any_text().seq(1));
        t.send(data(b"ping").ack(1).wnd(0));
        t.advance(ms(50));
        t.expect(ack().seq(1).ack(5 + 4 * i).text(b""));
    }
    assert_eq!(t.info().unsent, 5000);
    // The peer has taken one after all.
    t.send(ack().ack(2).wnd(0));
    t.send(data(b"ping").ack(2).wnd(0));
    t.advance(ms(50));
    t.expect(ack().seq(2).ack(25).text(b""));
    t.send(ack().ack(2).wnd(65_535));
    assert_eq!(t.serve().iter().map(|p| p.text.len()).sum::<usize>(), 4999);
}

/// MUST-36 MUST-66: the peer's probe was taken, and it has not heard of that: its ACKs count though they stand an octet
/// before RCV.NXT, but only if they say something new.
#[test]
fn a_probing_peers_acks_count() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"answer");
    t.drain();
    t.send(data(b"p").ack(1)); // taken, and the ACK of it is lost
    t.advance(ms(50));
    t.drain();
    t.send(ack().seq(1).ack(7));
    assert_eq!(t.info().in_flight, 0);
    t.expect(ack().ack(2));
    let before = t.dropped(DropReason::TcpOutOfWindow);
    t.send(ack().seq(1).ack(7));
    t.send(ack().seq(0).ack(7));
    t.send(ack().seq(1).ack(8));
    assert_eq!(t.dropped(DropReason::TcpOutOfWindow), before + 3);
}

/// MUST-36: the FIN alone is probed with, too.
#[test]
fn fin_behind_a_zero_window() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).wnd(0));
    t.shutdown_write();
    let mut seen = t.drain();
    if seen.is_empty() {
        t.wait(secs(2));
        seen = t.drain();
    }
    assert!(seen[0].has(FIN) && t.rel_seq(&seen[0]) == 1);
    t.send(ack().ack(2).wnd(0));
    t.expect_state(State::FinWait2);
}

/// MUST-37 MUST-36: a window closed for a day: the connection stays while the probes are answered.
#[test]
fn zero_window_for_a_day() {
    let mut t = zero_window(3000);
    let start = t.now();
    let mut probes = 0;
    while t.now().since(start) < hours(24) {
        t.wait(hours(1));
        let sent = t.drain();
        assert!(sent.iter().all(|p| p.text.len() <= 1));
        probes += sent.len();
        t.send(ack().ack(1).wnd(0));
    }
    t.expect_state(State::Established);
    assert!((700..800).contains(&probes), "{probes} probes in 24 h, one each 2 minutes");
    t.send(ack().ack(1).wnd(65_535));
    let sent: usize = t.serve().iter().map(|p| p.text.len()).sum();
    assert!(sent >= 2999);
}

/// Probes that are never answered end the connection like other retransmissions.
#[test]
fn unanswered_probes_time_out() {
    let mut t = zero_window(10);
    t.advance(hours(1));
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::TimedOut));
}

/// attack-16: a peer that holds its window shut and its connection open cannot hold an orphan for ever.
#[test]
fn zero_window_orphan_is_given_up() {
    let mut t = zero_window(3000);
    t.close();
    let start = t.now();
    while t.state() != State::Closed && t.now().since(start) < hours(3) {
        t.wait(secs(121));
        t.drain();
        t.send(ack().ack(1).wnd(0));
    }
    t.drain();
    t.expect_state(State::Closed);
    assert!(t.now().since(start) < hours(1));
    assert_eq!(t.stack.memory(), 0);
}

/// MUST-34 SHLD-15 SHLD-16 MAY-7: the window shrinks under data in flight: nothing new beyond it, old data inside it is
/// sent again, none beyond.
#[test]
fn shrunken_window() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..20_000));
    assert_eq!(t.drain().iter().map(|p| p.text.len()).sum::<usize>(), 14_600);
    t.send(ack().ack(1461).wnd(2000));
    t.expect_nothing();
    t.advance(secs(2));
    let again = t.drain();
    assert!(!again.is_empty());
    for p in again {
        let from = t.rel_seq(&p);
        assert!(from >= 1461 && from + p.text.len() as i64 <= 1461 + 2000, "from {from}, {} bytes", p.text.len());
    }
    t.send(ack().ack(14_601).wnd(60_000)); // it had it all
    let rest: usize = t.serve().iter().map(|p| p.text.len()).sum();
    assert_eq!(rest, 5400);
}

/// MUST-34 MUST-35: shrunk to zero with data in flight: probed, not lost.
#[test]
fn shrunk_to_zero() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..5000));
    t.drain();
    t.send(ack().ack(1461).wnd(0));
    let p = t.expect_within(secs(2), seg(ACK).any_text().seq(1461));
    assert!(p.text.len() <= 1, "a probe, not a full segment");
    t.send(ack().ack(1461).wnd(10_000));
    let mut una = 1461;
    for _ in 0..8 {
        t.advance(secs(2));
        for p in t.drain() {
            una = una.max(t.rel_seq(&p) + p.text.len() as i64);
        }
        t.send(ack().ack(una).wnd(10_000));
    }
    assert_eq!((una, t.info().send_queue), (5001, 0));
}

/// SHLD-17: data beyond a shrunken edge does not time the connection out while ACKs keep coming.
#[test]
fn shrunken_window_does_not_time_out() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..10_000));
    t.drain();
    t.send(ack().ack(1).wnd(0));
    let start = t.now();
    while t.now().since(start) < hours(2) {
        t.wait(secs(120));
        t.drain();
        t.send(ack().ack(1).wnd(0));
    }
    t.expect_state(State::Established);
}

/// attack-46: random windows: no underflow, no deadlock, and all arrives.
#[test]
fn random_windows() {
    for seed in 0..20 {
        let mut rng = Rng::new(Rng::seed_from(seed));
        let mut t = Tester::new();
        t.establish();
        t.write(&pattern(0..100_000));
        t.shutdown_write();
        let mut una = 1;
        for round in 0..2000 {
            for p in t.drain() {
                let from = t.rel_seq(&p);
                if from <= una {
                    una = una.max(from + p.seq_len() as i64);
                }
            }
            if una == 100_002 {
                break;
            }
            let wnd = match rng.between(0, 3) {
                0 => 0,
                1 => rng.between(0, 2000),
                2 => rng.between(0, 20_000),
                _ => 65_535,
            };
            t.send(ack().ack(una).wnd(wnd as u16));
            if round % 2 == 0 {
                t.wait(secs(10));
            }
        }
        assert_eq!(una, 100_002, "seed {seed}");
    }
}

/// MUST-38: a window that opens by a few bytes at a time gets no small segments.
#[test]
fn sender_avoids_silly_windows() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..14_600));
    t.drain();
    t.send(ack().wnd(0));
    t.write(&pattern(14_600..30_000));
    for wnd in (100..1460).step_by(100) {
        t.send(ack().wnd(wnd));
        t.expect_nothing();
    }
    t.send(ack().wnd(1460));
    t.expect(full(1460));
    t.expect_nothing();
}

/// MUST-38: a peer whose whole buffer is small still gets segments of half of it.
#[test]
fn small_peers_are_served() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).wnd(600));
    t.write(&pattern(0..3000));
    t.expect(full(600));
    t.send(ack().wnd(200));
    t.expect_nothing();
    t.send(ack().wnd(300));
    t.expect(full(300));
}

/// MUST-38: and what fits only a small window is sent after a while all the same.
#[test]
fn silly_window_override() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..1460));
    t.drain();
    t.send(ack().wnd(100));
    t.write(&pattern(1460..3000));
    t.expect_nothing();
    t.wait(secs(2));
    let sent = t.drain();
    assert!(!sent.is_empty() && sent[0].text.len() <= 100);
}

/// MUST-39: an application that reads byte by byte opens the window in large steps only.
#[test]
fn receiver_avoids_silly_windows() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 8192);
    t.establish();
    while t.info().rcv_wnd >= 1460 {
        t.send(full(1460));
    }
    let left = t.info().rcv_wnd;
    if left > 0 {
        t.send(full(left as usize));
    }
    t.advance(ms(100));
    let mut edge = None;
    for p in t.drain() {
        edge = Some(t.rel_ack(&p) + i64::from(p.wnd));
    }
    let mut edge = edge.expect("an ACK");
    let mut read = 0;
    let mut updates = 0;
    while let Ok(byte) = t.try_read(1) {
        read += byte.len();
        for p in t.drain() {
            let new = t.rel_ack(&p) + i64::from(p.wnd);
            assert!(new - edge >= 1460, "a step of {} bytes after {read} bytes read", new - edge);
            edge = new;
            updates += 1;
        }
    }
    assert!(updates >= 1, "the peer is told in the end");
    assert!(i64::from(t.info().rcv_wnd) >= 4096);
}

/// SHLD-14 7323-7 7323-8: while the application does not read, the right edge stands still; it never moves left,
/// whatever the sizes; every byte of an offered window is taken.
#[test]
fn the_window_is_a_promise() {
    for scale in [None, Some(0), Some(7)] {
        for size in [1, 77, 536, 1460] {
            let mut t = Tester::with(|c| c.tcp.recv_buffer = 20_000);
            t.establish_with(match scale {
                None => syn().mss(1460),
                Some(shift) => syn().mss(1460).ws(shift),
            });
            // The edge is checked on every packet. Fill the window to its last byte.
            let mut sent = 0;
            for _ in 0..40_000 {
                let room = t.info().rcv_wnd as usize;
                if room == 0 {
                    break;
                }
                t.send(full(size.min(room)));
                sent += size.min(room);
                t.drain();
            }
            t.advance(ms(100));
            t.drain();
            assert_eq!(t.info().rcv_wnd, 0);
            assert!(sent >= 9000, "the window was {sent} bytes");
            assert_eq!(t.read_all(), pattern(0..sent), "all that was offered was taken");
        }
    }
}

/// MAY-8 MUST-66: the application never reads: the window stays shut, probes are answered, nothing grows, and RST and
/// URG still work.
#[test]
fn application_that_never_reads() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 10_000);
    t.establish();
    while t.info().rcv_wnd > 0 {
        let room = t.info().rcv_wnd as usize;
        t.send(full(room.min(1000)));
    }
    t.advance(ms(100));
    t.drain();
    let memory = t.stack.memory();
    let nxt = t.peer_nxt();
    for _ in 0..100 {
        t.advance(secs(60));
        t.send(data(b"p").seq(nxt));
        t.expect(ack().ack(nxt).wnd(0));
    }
    assert_eq!(t.stack.memory(), memory);
    t.send(ack().seq(nxt).urg(5));
    assert!(t.readiness().contains(tunstack::stack::Readiness::PRIORITY));
    t.send(rst().seq(nxt));
    t.expect_state(State::Closed);
    assert_eq!(t.read_all(), pattern(0..nxt as usize - 1), "and what was acknowledged is still there");
}

/// An ACK at a zero window is processed all the same.
#[test]
fn acks_count_at_a_zero_window() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 4000);
    t.establish();
    while t.info().rcv_wnd > 0 {
        let room = t.info().rcv_wnd as usize;
        t.send(full(room.min(1000)));
    }
    t.advance(ms(100));
    t.drain();
    t.write(b"out");
    t.drain();
    t.send(data(b"beyond")); // its text is refused, its ACK is not
    assert_eq!(t.info().in_flight, 0);
}

/// MUST-40 SHLD-18 5681-10: one segment is acknowledged a little later, within 40 ms.
#[test]
fn delayed_ack() {
    let mut t = Tester::new();
    t.establish();
    // Past any first phase in which a stack may acknowledge at once.
    for _ in 0..32 {
        t.send(full(1460));
        t.advance(ms(40));
    }
    t.read_all();
    t.advance(ms(100));
    t.drain();
    t.send(data(b"single"));
    t.expect_nothing();
    t.expect_between(ms(1), ms(40), ack().text(b""));
    t.expect_nothing_for(secs(10)); // once
}

/// SHLD-18: data that goes back carries the ACK, and no other follows.
#[test]
fn ack_rides_on_data() {
    let mut t = Tester::new();
    t.establish();
    t.send(data(b"ping"));
    t.drain();
    t.write(b"pong");
    t.expect(data(b"pong").ack(5));
    t.expect_nothing_for(ms(150));
}

/// SHLD-19 5681-11: at least every second full segment is acknowledged at once, and never more than one ACK for each.
#[test]
fn every_second_segment_is_acknowledged() {
    let mut t = Tester::new();
    t.establish();
    let mut unacked = 0;
    let mut acks = 0;
    for _ in 0..100 {
        t.send(full(1460));
        unacked += 1;
        let now = t.drain().len();
        assert!(now <= 1);
        if now == 1 {
            unacked = 0;
        }
        acks += now;
        assert!(unacked < 2, "two full segments without an ACK");
        t.read_all();
        acks += t.drain().len(); // window updates
    }
    assert!(acks <= 100 + 2, "{acks} ACKs for 100 segments");
}

/// MUST-40: the delay is bounded whatever the sizes and gaps.
#[test]
fn ack_delay_is_bounded() {
    let mut rng = Rng::new(Rng::seed_from(7));
    let mut t = Tester::new();
    t.establish();
    let mut oldest = None;
    let mut end = 1;
    for _ in 0..500 {
        let n = rng.between(1, 1460) as usize;
        t.send(full(n));
        end += n as i64;
        oldest.get_or_insert(t.now());
        t.wait(ms(rng.between(1, 60)));
        let acked = t.drain().last().map(|p| (t.rel_ack(p), p.at));
        if let Some((number, at)) = acked {
            let waited = at.since(oldest.take().expect("data was sent"));
            assert!(waited <= ms(40), "acknowledged after {waited:?}");
            if number < end {
                oldest = Some(at);
            }
        }
        t.read_all();
        t.drain();
    }
}

/// Appendix A 002: the window of a SYN is never scaled, whatever its option says.
#[test]
fn syn_windows_are_not_scaled() {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1000).ws(7).wnd(3000));
    t.expect(synack());
    t.send(ack().wnd(3000 >> 7));
    t.accept();
    assert_eq!(t.info().snd_wnd, (3000 >> 7) << 7);
    let mut t = Tester::new();
    t.establish_active(synack().mss(1000).ws(7).wnd(3000));
    t.write(&pattern(0..9000));
    let sent: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert_eq!(sent, 3000);
}

/// An old segment does not bring back an old window (SND.WL1, SND.WL2).
#[test]
fn old_windows_do_not_count() {
    let mut t = Tester::new();
    t.establish();
    t.send(data(b"a").seq(1).wnd(5000));
    t.send(data(b"b").seq(2).wnd(9000));
    t.send(data(b"a").seq(1).wnd(100)); // late
    assert_eq!(t.info().snd_wnd, 9000);
    t.send(ack().seq(3).wnd(7000));
    assert_eq!(t.info().snd_wnd, 7000, "a newer one may be smaller");
}

/// SHLD-15: a bare ACK has a number that the peer will look at. A scaled window is rounded down, so the edge that we see may
/// lie by less than a unit before what the peer has received; only where it lies farther back has the window shrunk.
#[test]
fn an_ack_has_a_number_that_a_rounded_window_accepts() {
    for (field, seq) in [(23, 1 + 2920), (22, 1 + 2920), (21, 1 + (21 << 7))] {
        let mut t = Tester::new();
        t.establish_with(syn().mss(1460).ws(7).wnd(65_535));
        t.send(ack().wnd(23));
        t.write(&pattern(0..2920));
        assert_eq!(t.drain().len(), 2);
        // Both ends send at once: the peer's text acknowledges nothing of ours.
        t.send(full(1460).ack(1).wnd(field));
        t.send(full(1460).ack(1).wnd(field));
        let answer = t.expect(ack());
        assert_eq!((t.rel_seq(&answer), answer.text.len()), (seq, 0), "window field {field}");
    }
}
