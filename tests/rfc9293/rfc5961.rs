//! RFC 5961: blind attacks in the window, and the throttle of what we answer (attacks 1 to 6).

use crate::support::*;
use tunstack::rng::Rng;
use tunstack::stats::DropReason;
use tunstack::tcp::state::State;

const SYNCHRONIZED: [State; 6] =
    [State::Established, State::FinWait1, State::FinWait2, State::CloseWait, State::Closing, State::LastAck];

/// 5961-1 attack-1: RST at RCV.NXT exactly resets.
#[test]
fn exact_reset() {
    for state in SYNCHRONIZED {
        let mut t = Tester::new();
        t.reach(state);
        let nxt = t.peer_nxt();
        t.send(rst().seq(nxt));
        t.expect_nothing();
        t.expect_state(State::Closed);
    }
}

/// 5961-2 attack-1: RST elsewhere in the window gets a challenge ACK, and nothing else happens.
#[test]
fn reset_in_the_window_is_challenged() {
    for state in SYNCHRONIZED {
        for ahead in [1, 2, 30_000, 65_000] {
            let mut t = Tester::new();
            t.reach(state);
            let (nxt, own) = (t.peer_nxt(), t.stack_end());
            t.send(rst().seq(nxt + ahead));
            t.expect(ack().seq(own).ack(nxt));
            t.expect_nothing();
            t.expect_state(state);
            assert_eq!(t.dropped(DropReason::TcpResetChallenged), 1);
            // A peer that is really gone answers the challenge, and that resets.
            t.send(rst().seq(nxt));
            t.expect_state(State::Closed);
        }
    }
}

/// 5961-3 attack-1: RST outside the window is dropped in silence.
#[test]
fn reset_outside_the_window_is_silent() {
    for state in SYNCHRONIZED {
        let mut t = Tester::new();
        t.reach(state);
        let (nxt, wnd) = (t.peer_nxt(), i64::from(t.info().rcv_wnd));
        for seq in [nxt - 1, nxt - 100_000, nxt + wnd, nxt + wnd + 1, nxt + 1_000_000_000] {
            t.send(rst().seq(seq));
            t.expect_nothing();
            t.expect_state(state);
        }
        assert_eq!(t.dropped(DropReason::TcpBadReset), 5);
    }
}

/// attack-1: a million guesses at a window of megabytes reset nothing unless one is exact.
#[test]
fn random_resets() {
    let mut rng = Rng::new(Rng::seed_from(3));
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 4 << 20).without_timer_check();
    t.establish_with(syn().mss(1460).ws(7));
    let mut wrong = || match rng.u32() {
        guess if guess == u32::MAX - 98 => 0, // the peer's ISN plus one: exact
        guess => guess,
    };
    for _ in 0..100_000 {
        let guess = wrong();
        t.send(rst().abs_seq(guess));
    }
    t.expect_state(State::Established);
    assert!(t.drain().len() <= 1, "and hardly an answer");
}

/// 5961-5 attack-2: SYN in a synchronized state gets a challenge ACK, in the window or not.
#[test]
fn syn_is_challenged() {
    for state in SYNCHRONIZED {
        for ahead in [-100_000, -2, -1, 0, 1, 1000, 100_000] {
            for s in [syn(), synack(), seg(SYN | FIN)] {
                let mut t = Tester::new();
                t.reach(state);
                let (nxt, own) = (t.peer_nxt(), t.stack_end());
                t.send(s.seq(nxt + ahead).ack(own));
                t.expect(ack().seq(own).ack(nxt));
                t.expect_nothing();
                t.expect_state(state);
            }
        }
    }
}

/// 5961-5: the SYN's text and options are not taken, time stamps among them.
#[test]
fn challenged_syn_changes_nothing() {
    let mut t = Tester::new();
    t.establish();
    t.send(syn().seq(1).text(b"not data").mss(500).wnd(1));
    t.expect(ack().ack(1));
    t.expect_read(b"");
    t.write(&pattern(0..1460));
    t.expect(full(1460));
}

/// 5961-7 attack-5: at most one challenge ACK in 500 ms for each connection, whatever calls for them.
#[test]
fn challenges_are_throttled() {
    for kind in 0..3 {
        let mut t = Tester::new();
        t.establish();
        t.advance(secs(1));
        for _ in 0..200 {
            match kind {
                0 => t.send(rst().seq(2)),
                1 => t.send(syn().seq(5)),
                _ => t.send(ack().ack(100_000)),
            };
            t.advance(ms(5));
        }
        let sent = t.drain();
        assert!((1..=3).contains(&sent.len()), "{} answers in 1 s", sent.len());
        for pair in sent.windows(2) {
            assert!(pair[1].at.since(pair[0].at) >= ms(500));
        }
        assert!(t.stack.stats().tcp.challenge_acks_limited >= 197);
    }
}

/// 5961-7: the interval is a setting.
#[test]
fn the_throttle_is_tunable() {
    let mut t = Tester::with(|c| c.tcp.challenge_interval = ms(50));
    t.establish();
    for _ in 0..100 {
        t.send(syn().seq(5));
        t.advance(ms(10));
    }
    let n = t.drain().len();
    assert!((19..=21).contains(&n), "{n} answers in 1 s");
}

/// 5961-7 attack-4: the throttle is each connection's own: using one up says nothing of another (CVE-2016-5696).
#[test]
fn the_throttle_is_not_shared() {
    let mut t = Tester::new();
    t.establish();
    let other = t.new_flow(40_001, 80);
    t.establish();
    for _ in 0..1000 {
        t.send(rst().seq(2));
    }
    t.expect(ack());
    t.expect_nothing();
    for flow in [0, other] {
        t.switch(flow);
        let answers = {
            t.send(rst().seq(2));
            t.drain().len()
        };
        assert_eq!(answers, usize::from(flow == 0));
    }
}

/// attack-5: the throttle does not touch the ACKs of real data, nor duplicate ACKs.
#[test]
fn real_acks_are_not_throttled() {
    let mut t = Tester::new();
    t.establish();
    t.send(syn().seq(5));
    t.expect(ack());
    for i in 0..10 {
        t.send(full(100).seq(101 + 200 * i));
        t.expect(ack().ack(1));
    }
    t.send(full(100).seq(1));
    t.expect(ack().ack(201));
}

/// attack-6: two of our stacks with numbers that do not fit fall silent at once, instead of answering each other for
/// ever.
#[test]
fn no_ack_storm() {
    let mut pair = Pair::with(|c| c.tcp.timestamps = false);
    let options = pair.stacks[0].default_tcp_options();
    let server = std::net::SocketAddr::new(on_wire(PEER), 80);
    let listener = pair.stacks[1].tcp_listen(server, 4, options.clone()).expect("listen");
    let client = pair.stacks[0].tcp_connect(pair.now, None, server, options).expect("connect");
    pair.advance(ms(100));
    let (accepted, _) = pair.stacks[1].tcp_accept(pair.now, listener).expect("accept");
    // The handshake's last ACK tells both numbers. A forger makes each side believe in data that the other never sent.
    let last = pair.last[0].clone().expect("an ACK");
    let forged = Raw::new(last.src, last.dst, ACK, last.seq, last.ack);
    pair.inject(1, &Raw { text: vec![1; 100], ..forged });
    let forged = Raw::new(last.dst, last.src, ACK, last.ack, last.seq);
    pair.inject(0, &Raw { text: vec![2; 200], ..forged });
    pair.carried = 0;
    pair.advance(secs(5));
    assert!((1..=10).contains(&pair.carried), "{} packets", pair.carried);
    let silent = pair.carried;
    pair.advance(secs(60));
    assert_eq!(pair.carried, silent);
    for (i, id) in [(0, client), (1, accepted)] {
        assert_eq!(pair.stacks[i].tcp_state(id), Ok(State::Established));
    }
}
