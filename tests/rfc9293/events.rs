//! RFC 9293 3.10.7.4: segments that arrive on a connection: the order of the checks, reassembly, batches.

use crate::support::*;
use tunstack::error::Error;
use tunstack::rng::Rng;
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;

/// MUST-58 MUST-59: a batch of segments in order gets one ACK, for all of them.
#[test]
fn one_ack_for_a_batch() {
    let mut t = Tester::new();
    t.establish();
    t.send_batch((0..10).map(|_| full(1460)));
    t.expect(ack().ack(14_601));
    t.expect_nothing();
    t.expect_read(&pattern(0..14_600));
}

/// MUST-59: also when a gap opens and is filled within the batch.
#[test]
fn one_ack_for_a_batch_with_a_filled_gap() {
    let mut t = Tester::new();
    t.establish();
    t.send_batch([1, 2921, 1461, 4381].map(|seq| full(1460).seq(seq)));
    let sent = t.drain();
    assert_eq!(sent.len(), 1, "one ACK");
    assert_eq!(t.rel_ack(&sent[0]), 5841);
    t.expect_read(&pattern(0..5840));
}

/// SHLD-31 MAY-13 5681-7: what lies beyond a gap is kept, and acknowledged at once; so is what fills the gap.
#[test]
fn out_of_order_data_is_kept() {
    let mut t = Tester::new();
    t.establish();
    t.send(full(100).seq(101));
    t.expect(ack().ack(1));
    t.send(full(100).seq(201));
    t.expect(ack().ack(1));
    assert_eq!(t.try_read(1), Err(Error::WouldBlock));
    t.send(full(100).seq(1));
    t.expect(ack().ack(301));
    t.expect_read(&pattern(0..300));
    t.expect_nothing();
}

/// SHLD-31: every order of five segments gives the stream.
#[test]
fn every_order() {
    let mut orders = vec![vec![]];
    for _ in 0..5 {
        orders = orders
            .into_iter()
            .flat_map(|o: Vec<i64>| {
                (0..5i64).filter(|i| !o.contains(i)).map(|i| [o.clone(), vec![i]].concat()).collect::<Vec<_>>()
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    for order in orders {
        let mut t = Tester::new();
        t.establish();
        for i in &order {
            t.send(full(200).seq(1 + 200 * i));
        }
        t.expect_read(&pattern(0..1000));
        t.advance(ms(40));
        let last = t.drain().pop().expect("an ACK");
        assert_eq!(t.rel_ack(&last), 1001, "{order:?}");
    }
}

/// Overlaps of all kinds give the stream; of two copies of a byte the one that came first counts.
#[test]
fn overlaps() {
    for seed in 0..50 {
        let mut rng = Rng::new(Rng::seed_from(seed));
        let mut t = Tester::new();
        t.establish();
        for _ in 0..60 {
            let from = rng.between(0, 900);
            let len = rng.between(1, 1000 - from);
            t.send(full(len as usize).seq(1 + from as i64));
        }
        t.send(full(1000).seq(1));
        t.expect_read(&pattern(0..1000));
    }
    let mut t = Tester::new();
    t.establish();
    t.send(data(b"CCC").seq(7));
    t.send(data(b"bbbbb").seq(4)); // 4..9 over 7..10
    t.send(data(b"aaaaaaaaaaa").seq(1)); // 1..12 over all
    t.expect_read(b"aaabbbCCCaa");
}

/// An old duplicate is acknowledged, not delivered; the part of it that is new is.
#[test]
fn duplicates() {
    let mut t = Tester::new();
    t.establish();
    t.send(full(100).seq(1));
    t.advance(ms(40));
    t.drain();
    t.send(full(100).seq(1));
    t.expect(ack().ack(101));
    t.send(full(150).seq(1)); // 50 bytes of it are new
    t.expect_within(ms(40), ack().ack(151));
    t.expect_read(&pattern(0..150));
}

/// Segments wholly outside the window are dropped with an ACK; those partly inside are trimmed.
#[test]
fn the_window_is_enforced() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 5000);
    t.establish();
    let window = i64::from(t.info().rcv_wnd);
    t.send(data(b"outside").seq(1 + window));
    t.expect(ack().ack(1));
    t.advance(secs(1));
    t.send(data(b"far").seq(1 + window + 1_000_000));
    t.expect(ack().ack(1));
    t.advance(secs(1));
    t.send(data(b"before").seq(-20));
    t.expect(ack().ack(1));
    assert!(t.dropped(DropReason::TcpOutOfWindow) >= 2);
    t.send(full(10).seq(1 + window - 4)); // the last four bytes of the window and six more
    t.drain();
    let mut seq = 1;
    while seq < 1 + window - 4 {
        let n = 1000.min(1 + window - 4 - seq);
        t.send(full(n as usize).seq(seq));
        seq += n;
    }
    t.expect_read(&pattern(0..window as usize));
}

/// MUST-66: a RST at a closed window is acted on.
#[test]
fn reset_at_a_zero_window() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 3000);
    t.establish();
    while t.info().rcv_wnd > 0 {
        let room = t.info().rcv_wnd as usize;
        t.send(full(room.min(1000)));
    }
    t.advance(ms(100));
    let nxt = t.peer_nxt();
    t.send(rst().seq(nxt));
    t.expect_state(State::Closed);
    assert_eq!(t.take_error(), Some(Error::ConnectionReset));
}

/// SHLD-2: a RST may carry text.
#[test]
fn reset_with_text() {
    let mut t = Tester::new();
    t.establish();
    t.send(rst().seq(1).text(&pattern(0..100)));
    t.expect_nothing();
    t.expect_state(State::Closed);
    t.expect_read_error(Error::ConnectionReset);
}

/// A segment without ACK is dropped in every synchronized state.
#[test]
fn segments_without_ack_are_dropped() {
    use State::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, SynReceived};
    for state in [SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck] {
        let mut t = Tester::new();
        t.reach(state);
        let nxt = t.peer_nxt();
        for s in [seg(0), seg(PSH).text(b"x"), seg(FIN), seg(URG)] {
            t.send(s.seq(nxt));
            t.expect_nothing();
            t.expect_state(state);
        }
        assert_eq!(t.dropped(DropReason::TcpNoAck), 4, "{state}");
    }
}

/// attack-18: an ACK of data never sent frees nothing and grows nothing.
#[test]
fn ack_beyond_snd_nxt() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..20_000));
    t.drain();
    let before = t.info();
    for beyond in [1, 1460, 5400, 1_000_000] {
        t.advance(ms(10));
        let nxt = t.stack_end();
        t.send(ack().ack(nxt + beyond));
    }
    let after = t.info();
    assert_eq!((after.cwnd, after.in_flight, after.send_queue), (before.cwnd, before.in_flight, before.send_queue));
    let answers = t.drain();
    assert_eq!(answers.len(), 1, "one ACK, throttled");
    assert_eq!(answers[0].flags & !PSH, ACK);
}

/// MAY-12 5961-6 attack-3: data whose ACK lies outside [SND.UNA - MAX.SND.WND, SND.NXT] is not delivered, but answered.
#[test]
fn data_injection_is_refused() {
    for wrong in [2, 5, 1_000_000, -65_536 - 1, -3_000_000] {
        let mut t = Tester::new();
        t.establish();
        t.advance(secs(1));
        t.send(data(b"injected").seq(1).ack(1 + wrong));
        t.expect(ack().seq(1).ack(1));
        t.expect_read(b"");
        t.expect_state(State::Established);
        assert_eq!(t.dropped(DropReason::TcpBadAck), 1, "{wrong}");
    }
    // Both edges are inside.
    let mut t = Tester::new();
    t.establish();
    t.write(b"12345");
    t.drain();
    t.send(data(b"old ack ").seq(1).ack(1 - 65_535));
    t.send(data(b"new ack").seq(9).ack(6));
    t.expect_read(b"old ack new ack");
}

/// MUST-41 MUST-42: listening, also a second time, disturbs no connection.
#[test]
fn listening_disturbs_nothing() {
    let mut t = Tester::new();
    t.establish();
    let own = t.stack.default_tcp_options();
    assert_eq!(t.stack.tcp_listen(t.local(), 4, own).err(), Some(Error::AddrInUse));
    t.close_listener();
    t.listen(80);
    t.send(data(b"still here"));
    t.expect_read(b"still here");
    // And while one with the same local port is on its way out.
    let (now, options) = (t.now(), t.stack.default_tcp_options());
    t.new_flow(81, 9000);
    let (local, remote) = (t.local(), t.remote());
    let id = t.stack.tcp_connect(now, Some(local), remote, options.clone()).expect("connect");
    t.pull();
    t.expect(syn());
    t.expect_state(State::SynSent);
    t.stack.tcp_listen(local, 4, options).expect("a listener beside a connection in SYN-SENT");
    t.send(synack().mss(1460));
    t.expect(ack());
    assert_eq!(t.stack.tcp_state(id), Ok(State::Established));
}

/// attack-43: all 256 combinations of flags in all eleven states, with the next sequence number: the answers are those
/// of the RFC.
#[test]
fn every_flag_byte_in_every_state() {
    for state in State::ALL {
        for flags in 0..=255u8 {
            for text in [&b""[..], b"x"] {
                let mut t = Tester::new();
                t.reach(state);
                t.advance(ms(900)); // past the throttle, before the first RTO of a handshake
                t.drain();
                let nxt =
                    if matches!(state, State::Closed | State::Listen | State::SynSent) { 0 } else { t.peer_nxt() };
                let own = t.stack_end();
                t.send(seg(flags).seq(nxt).ack(own).text(text));
                judge(&mut t, state, flags, text.len());
            }
        }
    }
}

fn judge(t: &mut Tester, state: State, flags: u8, text: usize) {
    let what = format!("{} with {text} bytes in {state}", flags_name(flags));
    let has = |bit: u8| flags & bit != 0;
    let sent = t.drain();
    assert!(sent.len() <= 2, "{what}: {} answers", sent.len());
    let resets = sent.iter().any(|p| p.has(RST));
    let after = t.state();
    match state {
        State::Closed => {
            assert_eq!(resets, !has(RST), "{what}");
        }
        State::Listen if has(RST) => assert!(sent.is_empty(), "{what}"),
        State::Listen if has(ACK) => assert!(resets, "{what}"),
        State::Listen if has(SYN) => assert!(!resets, "{what}"),
        State::Listen => assert!(sent.is_empty(), "{what}"),
        State::SynSent if has(RST) => {
            assert!(sent.is_empty(), "{what}");
            assert_eq!(after == State::Closed, has(ACK), "{what}");
        }
        State::SynSent if has(SYN) => {
            assert!(!resets && sent.len() == 1, "{what}");
            let want = if has(ACK) { State::Established } else { State::SynReceived };
            assert!(after == want || (has(FIN) && after == State::CloseWait), "{what}: {after}");
        }
        State::SynSent => assert!(sent.is_empty() && after == state, "{what}"),
        State::TimeWait => {
            assert!(!resets, "{what}");
            let reopened = has(SYN) && !has(ACK) && !has(RST);
            assert!(after == State::TimeWait || reopened, "{what}: {after}");
        }
        _ if has(RST) => {
            assert!(sent.is_empty(), "{what}");
            assert_eq!(after, State::Closed, "{what}");
        }
        _ if has(SYN) && state != State::SynReceived => {
            assert_eq!(sent.len(), 1, "{what}");
            assert_eq!(sent[0].flags & !PSH, ACK, "{what}");
            assert_eq!(after, state, "{what}");
        }
        _ if has(SYN) => assert!(sent.len() <= 1, "{what}"),
        _ if !has(ACK) => {
            assert!(sent.is_empty(), "{what}");
            assert_eq!(after, state, "{what}");
        }
        _ => assert!(!resets, "{what}"),
    }
    // Whatever it was, the stack still works.
    t.advance(secs(1));
    t.drain();
    if t.stack.tcp_snapshot().iter().all(|i| i.state != State::Listen) {
        t.listen(80);
    }
    t.new_flow(50_000, 80);
    t.establish();
}
