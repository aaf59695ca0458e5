//! RFC 6675: loss recovery by SACK blocks alone, which a switch chooses in place of RACK, and what holds of both.

use crate::support::*;
use tunstack::tcp::LossDetection;

const MSS: i64 = 1460;

/// A connection with SACK and at least `n` full segments in flight, none of which is acknowledged; and SND.UNA.
fn flying(n: i64, detection: LossDetection) -> (Tester, i64) {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).ws(7).wnd(65_535).sack_ok());
    t.send(ack().wnd(60_000));
    t.set(|o| o.loss_recovery.detection = detection);
    t.write(&pattern(0..250_000));
    t.drain();
    let mut una = 1;
    while t.stack_end() - una < n * MSS {
        una += MSS;
        t.send(ack().ack(una).wnd(60_000));
        t.drain();
    }
    (t, una)
}

/// An ACK of `una` with these segments behind it, counted from `una`.
fn sack(t: &mut Tester, una: i64, blocks: &[(i64, i64)]) -> Vec<Packet> {
    let at = |n: i64| (una + n * MSS) as u32;
    let blocks: Vec<(u32, u32)> = blocks.iter().map(|&(from, to)| (at(from), at(to))).collect();
    t.send(ack().ack(una).wnd(60_000).sack(&blocks));
    t.drain()
}

/// Which segments from `una` on are among these, and how many were never sent before.
fn split(t: &Tester, una: i64, recover: i64, sent: &[Packet]) -> (Vec<i64>, usize) {
    let numbers = sent.iter().filter(|p| !p.text.is_empty()).map(|p| t.rel_seq(p));
    let (again, new): (Vec<i64>, Vec<i64>) = numbers.partition(|&n| n < recover);
    (again.iter().map(|n| (n - una) / MSS).collect(), new.len())
}

/// 6675-5 6675-6 6675-8: what is lost by IsLost(), three segments or three runs beyond it, goes again, lowest first, and
/// nothing that the peer has.
#[test]
fn is_lost_and_next_segment() {
    let (mut t, una) = flying(20, LossDetection::Rfc6675);
    let recover = t.stack_end();
    let sent = sack(&mut t, una, &[(1, 3)]);
    assert_eq!(split(&t, una, recover, &sent).0.len(), 0, "two segments beyond it");
    let sent = sack(&mut t, una, &[(4, 5), (1, 3)]);
    assert_eq!(split(&t, una, recover, &sent).0, [0], "three; the one at 3 has but one beyond it");
    let mut again = Vec::new();
    for top in 6..15 {
        let sent = sack(&mut t, una, &[(4, top), (1, 3)]);
        again.extend(split(&t, una, recover, &sent).0);
    }
    assert_eq!(again, [3], "then that one, and each once");
}

/// 6675-7 6675-9 6675-14 6675-17 8985-21: cwnd less what is in the pipe is what goes: SACKed and lost segments have left it, those
/// sent again are in it, and new data follows what was lost.
#[test]
fn the_pipe_bounds_what_is_sent() {
    for detection in [LossDetection::Rfc6675, LossDetection::Rack] {
        let (mut t, una) = flying(20, detection);
        t.set(|o| o.loss_recovery.prr = false);
        let recover = t.stack_end();
        let flight = (recover - una) / MSS;
        let before = t.info().cwnd;
        let sent = sack(&mut t, una, &[(4, 5)]);
        let (mut again, mut new) = split(&t, una, recover, &sent);
        if detection == LossDetection::Rfc6675 {
            assert_eq!((again.len(), new), (0, 1), "no loss is known: a segment that left makes room for one");
        }
        for n in 6..=flight {
            let sent = sack(&mut t, una, &[(4, n)]);
            let (some, more) = split(&t, una, recover, &sent);
            assert!(more == 0 || n < 7 || again.len() + some.len() == 4, "new data before all that was lost");
            let begins = again.is_empty() && !some.is_empty();
            again.extend(some);
            new += more;
            let sacked = n - 4;
            let known_lost = if again.is_empty() { 0 } else { 4 };
            let pipe = flight - sacked - known_lost + again.len() as i64 + new as i64;
            let cwnd = i64::from(t.info().cwnd) / MSS;
            let allowed = sent.is_empty() || begins || pipe <= cwnd;
            assert!(allowed, "{detection:?}: {} sent, pipe {pipe}, cwnd {cwnd}", sent.len());
        }
        assert_eq!(again, [0, 1, 2, 3], "{detection:?}");
        assert!(t.info().cwnd < before && new > 1);
    }
}

/// 6675-13 6675-15 6675-16: recovery begins once, with ssthresh and cwnd reduced and RecoveryPoint at what was sent; it ends
/// when all of that is acknowledged, and what is SACKed beyond stays known.
#[test]
fn where_recovery_begins_and_ends() {
    let (mut t, una) = flying(20, LossDetection::Rfc6675);
    let before = t.info();
    sack(&mut t, una, &[(1, 5)]);
    let recover = t.stack_end();
    let info = t.info();
    assert!(info.ssthresh < before.cwnd && info.cwnd <= info.ssthresh + 1460);
    for n in 6..12 {
        sack(&mut t, una, &[(1, n)]);
    }
    assert_eq!((t.stack.stats().tcp.fast_retransmits, t.info().ssthresh), (1, info.ssthresh));
    let end = t.stack_end();
    assert!(end > recover + MSS, "new data went out");
    // All of the old is there, and the last of the new: not what is between.
    t.send(ack().ack(recover).wnd(60_000).sack(&[((end - MSS) as u32, end as u32)]));
    let sent = t.drain();
    assert!(sent.iter().all(|p| t.rel_seq(p) >= end), "what the peer has does not go again");
    assert_eq!(t.stack.stats().tcp.rto, 0);
}

/// 6675-12 6675-18 6675-19: a time-out within a recovery ends it; what the peer has stays known, so that only the holes go
/// again, and no recovery begins until what was sent then is acknowledged.
#[test]
fn a_time_out_keeps_what_is_known() {
    for detection in [LossDetection::Rfc6675, LossDetection::Rack] {
        let (mut t, una) = flying(20, detection);
        t.set(|o| o.loss_recovery.tail_probes = false);
        sack(&mut t, una, &[(1, 5), (7, 12)]);
        let recover = t.stack_end();
        let begun = t.stack.stats().tcp.fast_retransmits;
        t.wait(secs(5));
        assert_eq!(t.stack.stats().tcp.rto, 1);
        let mut again = Vec::new();
        let mut una = una;
        let base = una;
        for (to, held) in [(5, &[(7, 12)][..]), (6, &[(7, 12)]), (12, &[])] {
            let sent = t.drain();
            again.extend(sent.iter().map(|p| (t.rel_seq(p) - base) / MSS).filter(|&n| base + n * MSS < recover));
            una = una.max(base + to * MSS);
            let blocks: Vec<(u32, u32)> =
                held.iter().map(|&(l, r)| ((base + l * MSS) as u32, (base + r * MSS) as u32)).collect();
            t.send(ack().ack(una).wnd(60_000).sack(&blocks));
        }
        assert!(again.contains(&0) && again.contains(&5) && again.contains(&6), "{again:?}");
        assert!(again.iter().all(|n| matches!(n, 0 | 5 | 6) || *n >= 12), "only holes: {again:?}");
        assert_eq!(t.stack.stats().tcp.fast_retransmits, begun, "no other recovery before RecoveryPoint");
    }
}

/// 2018-11 2018-12: what the blocks cover is not sent again, the gaps between them are, and the window is reduced as for any
/// loss.
#[test]
fn only_what_is_missing_goes_again() {
    let (mut t, una) = flying(20, LossDetection::Rack);
    let recover = t.stack_end();
    let before = t.info().cwnd;
    let mut again = Vec::new();
    for top in 9..15 {
        let sent = sack(&mut t, una, &[(7, top), (4, 6), (1, 3)]);
        again.extend(split(&t, una, recover, &sent).0);
    }
    assert_eq!(again, [0, 3, 6]);
    assert!(t.info().cwnd < before);
}

/// 6675-20: what is sent again has its time: the retransmission timer runs anew from then on.
#[test]
fn a_retransmission_restarts_the_timer() {
    let (mut t, una) = flying(20, LossDetection::Rfc6675);
    t.set(|o| o.loss_recovery.tail_probes = false);
    let rto = t.info().rto;
    t.advance(rto / 2);
    t.drain();
    let sent = sack(&mut t, una, &[(1, 5)]);
    assert!(sent.iter().any(|p| t.rel_seq(p) == una));
    t.advance(rto - ms(2));
    assert_eq!(t.stack.stats().tcp.rto, 0);
    t.advance(ms(10));
    assert_eq!(t.stack.stats().tcp.rto, 1);
}
