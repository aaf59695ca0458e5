//! RFC 6937: proportional rate reduction; RFC 2883: DSACK, and what it undoes.

use crate::support::*;

/// A connection with SACK and about `n` full segments in flight, none of which is acknowledged; and SND.UNA.
fn flying(n: usize) -> (Tester, i64) {
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460).ws(7).wnd(65_535).sack_ok());
    t.expect(synack());
    t.advance(ms(50));
    t.send(ack().wnd(60_000));
    t.accept();
    t.write(&pattern(0..250_000));
    let mut flight = t.drain();
    while flight.len() < n {
        t.advance(ms(50));
        for p in core::mem::take(&mut flight) {
            let end = t.rel_seq(&p) + 1460;
            t.send(ack().ack(end).wnd(60_000));
            flight.extend(t.drain());
        }
    }
    t.advance(ms(50));
    // What pacing has let out meanwhile belongs to the flight.
    t.drain();
    let una = t.stack_end() - i64::from(t.info().in_flight);
    (t, una)
}

/// 6937-1 8985-12 6675-4: the window shrinks by and by: from the repair on about every second ACK lets a segment out, never more, and
/// the flight ends at ssthresh.
#[test]
fn the_reduction_is_spread_over_a_round_trip() {
    let (mut t, una) = flying(20);
    let flight = (t.stack_end() - una) / 1460;
    let mut out = Vec::new();
    for i in 1..flight {
        t.send(ack().ack(una).wnd(60_000).sack(&[((una + 1460) as u32, (una + 1460 * (i + 1)) as u32)]));
        let sent = t.drain();
        if i == 3 {
            assert_eq!(t.rel_seq(&sent[0]), una, "the missing one first");
        }
        out.push(sent.len());
    }
    let reduction = &out[3..];
    assert!(reduction.iter().all(|&n| n <= 1), "{out:?}");
    assert!(reduction.windows(4).all(|w| w.contains(&1)), "no silence: {out:?}");
    let ssthresh = i64::from(t.info().ssthresh);
    let in_network = t.stack_end() - (una + 1460 * flight) + 1460;
    assert!((in_network - ssthresh).abs() <= 2 * 1460, "{in_network} bytes in the network, ssthresh {ssthresh}");
}

/// 6937-2: where much was lost, each ACK lets out what it delivered and one segment more, and no burst.
#[test]
fn no_burst_after_many_losses() {
    let (mut t, una) = flying(20);
    let flight = (t.stack_end() - una) / 1460;
    let first = flight - 5;
    for i in 1..=5 {
        let (from, to) = (una + 1460 * first, una + 1460 * (first + i));
        t.send(ack().ack(una).wnd(60_000).sack(&[(from as u32, to as u32)]));
        let sent = t.drain().len();
        assert!(sent <= 3, "{sent} segments for one ACK");
    }
    assert!(t.stack.stats().tcp.retransmits >= 3);
}

/// 2883-1 2883-2 2883-3: what came twice is told once, in the first block: below the ACK, or within what is held.
#[test]
fn duplicates_are_told() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).sack_ok());
    t.send(full(500).seq(1));
    t.send(full(500).seq(501));
    t.drain();
    t.send(full(500).seq(1));
    t.expect(ack().ack(1001).sack(&[(1, 501)]));
    t.send(full(500).seq(1501));
    t.expect(ack().ack(1001).sack(&[(1501, 2001)]));
    t.send(full(500).seq(1501));
    t.expect(ack().ack(1001).sack(&[(1501, 2001), (1501, 2001)]));
    t.send(full(500).seq(2501));
    t.expect(ack().ack(1001).sack(&[(2501, 3001), (1501, 2001)]));
    // A part of it is new (RFC 2883 4.2.2).
    t.send(full(700).seq(1301));
    t.expect(ack().ack(1001).sack(&[(1501, 2001), (1301, 2001), (2501, 3001)]));
    t.send(full(600).seq(801));
    t.expect(ack().ack(2001).sack(&[(801, 1001), (2501, 3001)]));
    t.set(|o| o.loss_recovery.dsack = false);
    t.send(full(500).seq(1));
    t.expect(ack().ack(2001).sack(&[(2501, 3001)]));
}

/// 2883-4 3708-1: a DSACK for all that was sent again: the recovery was for nothing, and the window is what it was.
#[test]
fn dsack_undoes_a_recovery() {
    for undo in [true, false] {
        let (mut t, una) = flying(20);
        t.set(|o| o.loss_recovery.undo = undo);
        let before = t.info();
        t.send(ack().ack(una).wnd(60_000).sack(&[((una + 1460) as u32, (una + 1460 * 5) as u32)]));
        assert!(t.drain().iter().any(|p| t.rel_seq(p) == una));
        assert!(t.info().ssthresh < before.cwnd);
        // The first was only late; then its copy arrives.
        let acked = una + 1460 * 5;
        t.send(ack().ack(acked).wnd(60_000));
        t.send(ack().ack(acked).wnd(60_000).sack(&[(una as u32, (una + 1460) as u32)]));
        t.drain();
        assert_eq!(t.stack.stats().tcp.undone, u64::from(undo));
        assert_eq!(t.info().cwnd >= before.cwnd, undo);
        assert_eq!(t.info().ssthresh == before.ssthresh, undo);
    }
}

/// 2883-4: DSACKs of what was never sent again undo nothing.
#[test]
fn forged_dsacks_undo_nothing() {
    let (mut t, una) = flying(20);
    t.send(ack().ack(una).wnd(60_000).sack(&[((una + 1460) as u32, (una + 1460 * 5) as u32)]));
    t.drain();
    for i in 0..50 {
        let at = (una - 20_000 + 100 * i) as u32;
        t.send(
            ack()
                .ack(una)
                .wnd(60_000)
                .sack(&[(at, at.wrapping_add(100)), ((una + 1460) as u32, (una + 1460 * 5) as u32)]),
        );
    }
    assert_eq!(t.stack.stats().tcp.undone, 0);
}
