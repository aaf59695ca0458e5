//! Peers that keep to the letter and not to the spirit: odd windows, odd sizes, odd acknowledgments.

use crate::support::*;
use std::collections::BTreeMap;
use tunstack::error::Error;
use tunstack::rng::Rng;
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;
use tunstack::time::Instant;

/// What a receiver that keeps everything has got: text by its place in the stream.
#[derive(Default)]
struct Received {
    pieces: BTreeMap<i64, Vec<u8>>,
    /// Up to where nothing is missing.
    whole: i64,
    fin: Option<i64>,
}

impl Received {
    fn new() -> Self {
        Received { whole: 1, ..Self::default() }
    }

    fn take(&mut self, t: &Tester, p: &Packet) {
        let seq = t.rel_seq(p);
        if p.has(FIN) {
            self.fin = Some(seq + p.text.len() as i64);
        }
        let longer = |have: &Vec<u8>| have.len() >= p.text.len();
        if !p.text.is_empty() && !self.pieces.get(&seq).is_some_and(longer) {
            self.pieces.insert(seq, p.text.clone());
        }
        for (&at, text) in &self.pieces {
            if at <= self.whole {
                self.whole = self.whole.max(at + text.len() as i64);
            }
        }
        if self.fin == Some(self.whole) {
            self.whole += 1;
        }
    }

    fn content(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (&at, text) in &self.pieces {
            let have = out.len() as i64 + 1;
            if at <= have && at + text.len() as i64 > have {
                out.extend(&text[(have - at) as usize..]);
            }
        }
        out
    }
}

/// attack-46: a window that opens, shuts and shrinks at random: nothing is sent beyond it but a probe of one byte,
/// everything arrives, and the end of the stream with it.
#[test]
fn windows_that_move_at_random() {
    for seed in 0..60 {
        let mut rng = Rng::new(Rng::seed_from(seed));
        let mut t = Tester::with_seed(seed, |_| {});
        let shift = rng.between(0, 4) as u8;
        t.establish_with(syn().mss(if rng.chance(0.5) { 1460 } else { 100 }).ws(shift));
        let all = pattern(0..30_000);
        t.write(&all);
        t.shutdown_write();
        let mut got = Received::new();
        let mut edge = 1 + (65_535i64 << shift);
        let mut wnd;
        for step in 0..4000 {
            for p in t.drain() {
                let (start, end) = (t.rel_seq(&p), t.rel_seq(&p) + i64::from(p.seq_len()));
                assert!(p.seq_len() <= 1 || end <= edge, "seed {seed}: {start} to {end}, the window ends at {edge}");
                got.take(&t, &p);
            }
            if got.fin.is_some_and(|fin| got.whole > fin) {
                break;
            }
            assert!(step < 3999, "seed {seed}: stuck at {} of {}, {:?}", got.whole, all.len(), t.find());
            if rng.chance(0.8) {
                wnd = match rng.between(0, 9) {
                    0..=3 => 0,
                    4..=6 => rng.between(0, 20),
                    _ => rng.between(0, 3000),
                } as u16;
                // What was in flight within the old window may still count.
                edge = got.whole + (i64::from(wnd) << shift);
                t.send(ack().ack(got.whole).wnd(wnd));
            }
            if rng.chance(0.7) {
                t.wait(secs(200));
            }
        }
        assert_eq!(got.content(), all, "seed {seed}");
    }
}

/// attack-24: whatever MSS a peer names, the floor holds, and the data arrives in a bounded number of segments.
#[test]
fn tiny_segment_sizes() {
    for (mss, floor) in [(0, 536), (1, 48), (8, 48), (47, 48), (48, 48), (65_535, 1460)] {
        let mut t = Tester::new();
        t.establish_with(syn().mss(mss));
        t.write(&pattern(0..10_000));
        let mut got = Received::new();
        let mut segments = 0;
        while got.whole <= 10_000 {
            let sent = t.drain();
            assert!(!sent.is_empty());
            for p in sent {
                assert!(p.text.len() <= floor, "{} bytes for an MSS of {mss}", p.text.len());
                segments += 1;
                got.take(&t, &p);
            }
            t.send(ack().ack(got.whole));
        }
        assert!(segments <= 10_000 / floor + 20, "{segments} segments for an MSS of {mss}");
    }
}

/// attack-22 attack-23: SACK blocks of nonsense change nothing, and the stream arrives.
#[test]
fn sack_blocks_of_nonsense() {
    let mut rng = Rng::new(Rng::seed_from(3));
    let mut t = Tester::new();
    t.establish_with(syn().mss(1000).sack_ok());
    let all = pattern(0..200_000);
    t.write(&all);
    let mut got = Received::new();
    for _ in 0..5000 {
        for p in t.drain() {
            if rng.chance(0.9) {
                got.take(&t, &p);
            }
        }
        if got.whole > 200_000 {
            break;
        }
        let mut blocks: Vec<(u32, u32)> = Vec::new();
        for _ in 0..rng.between(1, 4) {
            let (a, b) = (rng.between(0, 250_000) as u32, rng.between(0, 250_000) as u32);
            blocks.push(match rng.between(0, 5) {
                0 => (a, a),
                1 => (b.max(a), b.min(a)),
                2 => (rng.u32(), rng.u32()),
                3 => (got.whole as u32, got.whole as u32 - 1),
                _ => (a.min(b), a.max(b)),
            });
        }
        t.send(ack().ack(got.whole).sack(&blocks));
        if rng.chance(0.2) {
            t.wait(secs(2));
        }
    }
    assert_eq!(got.content(), all);
}

/// attack-19 attack-20: acknowledgments cut into bytes and forged duplicates open the window no more than honest ones.
#[test]
fn divided_and_duplicated_acknowledgments() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1000));
    t.write(&pattern(0..200_000));
    let before = t.info().cwnd;
    for i in 1..=1000 {
        t.send(ack().ack(1 + i));
    }
    assert!(t.info().cwnd <= before + 1000, "{} to {}", before, t.info().cwnd);
    t.drain();
    let end = t.stack_end();
    let flight = end - 1001;
    for _ in 0..100_000 {
        t.send(ack().ack(1001));
    }
    let more = t.stack_end() - end;
    assert!(more <= flight, "{more} new bytes for duplicates alone, {flight} were in flight");
}

/// attack-18: an acknowledgment of what was not sent yet frees nothing and opens nothing.
#[test]
fn optimistic_acknowledgments() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1000));
    t.write(&pattern(0..100_000));
    t.drain();
    let (cwnd, end, queued) = (t.info().cwnd, t.stack_end(), t.info().send_queue);
    for i in 1..200 {
        t.send(ack().ack(end + i * 1000));
    }
    let info = t.info();
    assert_eq!((info.cwnd, info.send_queue, t.stack_end()), (cwnd, queued, end));
    assert_eq!(t.dropped(DropReason::TcpBadAck), 199);
}

/// A segment's text in many small slices, more than one write takes: what did not go is not taken for sent.
#[test]
fn text_in_many_pieces_is_sent_again_in_full() {
    let mut t = Tester::with(|c| c.mtu = 65_535);
    t.establish_with(syn().mss(60_000));
    let all = pattern(0..40_000);
    let now = t.now();
    let id = t.conn();
    for part in all.chunks(257) {
        // A full slice, then a byte that needs one of its own.
        let (slice, byte) = part.split_at(part.len() - 1);
        t.stack.tcp_push(now, id, tunstack::buf::Slice::copy_of(slice)).expect("room");
        t.stack.tcp_send(now, id, byte).expect("room");
    }
    t.pull();
    let mut got = Received::new();
    let lost = t.drain();
    assert!(!lost.is_empty());
    while got.whole <= 40_000 {
        t.wait(secs(10));
        for p in t.drain() {
            got.take(&t, &p);
        }
        t.send(ack().ack(got.whole));
    }
    assert_eq!(got.content(), all);
    assert_eq!(t.stack.stats().tcp.rto, 1, "one time-out for one loss");
}

/// attack-2: a host that was restarted and has time stamps no more gets the ACK that makes it reset the old connection.
#[test]
fn a_syn_without_time_stamps_is_challenged_too() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).ts(1, 0));
    t.peer_iss(77_777);
    t.send(syn().mss(1460));
    t.expect(seg(ACK));
    assert_eq!(t.stack.tcp_snapshot().iter().filter(|i| i.state == State::Established).count(), 1);
}

/// attack-5: whatever a stranger sends to a connection that is being opened, it hears little.
#[test]
fn bad_acknowledgments_of_a_handshake_are_answered_seldom() {
    for state in [State::SynSent, State::SynReceived] {
        let mut t = Tester::with(|c| c.resets_per_second = 100);
        t.reach(state);
        for i in 0..5000 {
            t.send(ack().seq(1).ack(1000 + i));
        }
        let answers = t.drain().len();
        assert!((1..=101).contains(&answers), "{answers} answers in {state}");
        t.expect_state(state);
    }
}

/// attack-48: a connection to oneself, the same address and port at both ends, is a simultaneous open.
#[test]
fn a_connection_to_itself() {
    let mut t = Tester::new();
    let now: Instant = t.now();
    let me = (LOCAL, 5000).into();
    let id = t.stack.tcp_connect(now, Some(me), me, t.stack.default_tcp_options()).expect("connect");
    t.use_conn(id);
    t.pull();
    assert_eq!(t.stack.tcp_state(id), Ok(State::Established));
    for i in 0..20 {
        t.write(&pattern(i * 1000..i * 1000 + 1000));
    }
    t.advance(secs(1));
    assert_eq!(t.read_all(), pattern(0..20_000));
    t.shutdown_write();
    t.expect_eof();
    t.close();
    t.advance(secs(61));
    assert_eq!(t.stack.tcp_snapshot(), []);
    assert_eq!(t.stack.deadline(), None);
}

/// An ephemeral port is never the one that is connected to, or a connection to a port of ours where nobody listens would
/// sometimes succeed, with itself.
#[test]
fn nobody_connects_to_itself_by_chance() {
    let mut t = Tester::with(|c| (c.tcp.ephemeral_low, c.tcp.ephemeral_high) = (5000, 5001));
    let now = t.now();
    for _ in 0..40 {
        let id = t.stack.tcp_connect(now, None, (LOCAL, 5000).into(), t.stack.default_tcp_options()).expect("connect");
        t.use_conn(id);
        t.pull();
        assert_eq!(t.take_error(), Some(Error::ConnectionRefused));
        t.close();
    }
}

/// No packet from a loopback address leaves (RFC 1122 3.2.1.3), and nobody is asked who cannot be a host.
#[test]
fn connects_that_cannot_be() {
    let mut t = Tester::new();
    let now = t.now();
    let options = t.stack.default_tcp_options();
    let from = Some(([127, 0, 0, 1], 0).into());
    assert!(t.stack.tcp_connect(now, from, (PEER, 80).into(), options.clone()).is_err());
    for addr in [[0, 1, 2, 3], [240, 0, 0, 1], [255, 255, 255, 255], [224, 0, 0, 1], [192, 0, 2, 255]] {
        let connect = t.stack.tcp_connect(now, None, (addr, 80).into(), options.clone());
        // As the kernel says it, of all but the reserved ones.
        assert!(matches!(connect, Err(Error::NetworkUnreachable | Error::InvalidInput(_))), "{addr:?}: {connect:?}");
    }
    t.pull();
    t.expect_nothing();
}
