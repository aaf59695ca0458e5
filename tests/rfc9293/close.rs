//! RFC 9293 3.6 and 3.10.4: closing a connection, TIME-WAIT, RFC 1337.

use crate::support::*;
use core::time::Duration;
use tunstack::error::Error;
use tunstack::stack::{Readiness, Shutdown};
use tunstack::tcp::state::State;

/// 2 MSL with the default MSL of 30 s.
const TWO_MSL: Duration = Duration::from_secs(60);

/// Figure 12, from the side that closes first.
#[test]
fn active_close() {
    let mut t = Tester::new();
    t.establish();
    t.shutdown_write();
    t.expect(fin().seq(1).ack(1));
    t.expect_state(State::FinWait1);
    t.send(ack().ack(2));
    t.expect_state(State::FinWait2);
    t.send(fin().ack(2));
    t.expect(ack().seq(2).ack(2)); // in FIN-WAIT-2 a FIN is acknowledged at once
    t.expect_state(State::TimeWait);
    t.expect_eof();
    t.close();
    t.expect_nothing_for(TWO_MSL + ms(1));
    t.expect_state(State::Closed);
    assert_eq!(t.stack.deadline(), None, "no timer is left");
    assert_eq!(t.stack.memory(), 0);
}

/// Figure 12, from the other side.
#[test]
fn passive_close() {
    let mut t = Tester::new();
    t.establish();
    t.send(fin());
    t.expect_within(ms(40), ack().seq(1).ack(2));
    t.expect_state(State::CloseWait);
    assert!(t.readiness().contains(Readiness::READ_CLOSED | Readiness::READABLE));
    t.expect_eof();
    t.write(b"goodbye");
    t.expect(data(b"goodbye").seq(1).ack(2));
    t.send(ack());
    t.close();
    t.expect(fin().seq(8).ack(2));
    t.expect_state(State::LastAck);
    t.send(ack().ack(9));
    t.expect_nothing();
    t.expect_state(State::Closed);
}

/// attack-48: both close at once (figure 13).
#[test]
fn simultaneous_close() {
    let mut t = Tester::new();
    t.establish();
    t.shutdown_write();
    t.expect(fin().seq(1).ack(1));
    t.send(fin().ack(1));
    let answer = t.next().expect("the peer's FIN is acknowledged");
    assert_eq!(t.rel_ack(&answer), 2);
    t.expect_state(State::Closing);
    t.send(ack().ack(2));
    t.expect_state(State::TimeWait);
    t.expect_nothing();
}

/// The peer's FIN acknowledges ours: straight from FIN-WAIT-1 to TIME-WAIT.
#[test]
fn fin_with_ack_of_fin() {
    let mut t = Tester::new();
    t.reach(State::FinWait1);
    t.send(fin().ack(2));
    t.expect(ack().ack(2));
    t.expect_state(State::TimeWait);
}

/// FIN follows all that was written before it, and data with a FIN is delivered first.
#[test]
fn fin_comes_after_the_data() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..40_000));
    t.shutdown_write();
    assert_eq!(t.try_write(b"more"), Err(Error::BrokenPipe));
    let mut got: Vec<u8> = Vec::new();
    let mut fin_at = None;
    for _ in 0..20 {
        for p in t.drain() {
            assert!(fin_at.is_none(), "nothing after the FIN");
            got.extend(&p.text);
            fin_at = p.has(FIN).then_some(got.len());
        }
        t.send(ack());
    }
    assert_eq!(fin_at, Some(40_000));
    assert_eq!(got, pattern(0..40_000));
    t.send(fin().text(b"last words"));
    t.expect(ack().ack(12));
    t.expect_read(b"last words");
    t.expect_eof();
}

/// MUST-12: a normal close is an end of stream, an abort an error; the application can tell.
#[test]
fn close_and_reset_differ() {
    let mut t = Tester::new();
    t.establish();
    t.send(fin());
    t.expect_eof();
    t.expect_eof();
    assert_eq!(t.take_error(), None);

    let mut t = Tester::new();
    t.establish();
    t.send(rst().seq(1));
    t.expect_state(State::Closed);
    assert!(t.readiness().contains(Readiness::READABLE | Readiness::HANGUP));
    t.expect_read_error(Error::ConnectionReset);
    t.expect_eof();
    assert_eq!(t.try_write(b"x"), Err(Error::BrokenPipe));
}

/// Data acknowledged before a RST stays readable; then the error comes once, then the end.
#[test]
fn data_before_a_reset_is_readable() {
    let mut t = Tester::new();
    t.establish();
    t.send(data(b"in time"));
    t.drain();
    t.send(rst().seq(8));
    t.expect_state(State::Closed);
    assert_eq!(t.try_read(100), Ok(b"in time".to_vec()));
    t.expect_read_error(Error::ConnectionReset);
    t.expect_eof();
}

/// MUST-13: TIME-WAIT answers just before 2 MSL have passed...
#[test]
fn time_wait_lasts_two_msl() {
    let mut t = Tester::new();
    t.reach(State::TimeWait);
    t.close();
    t.advance(TWO_MSL - ms(1));
    t.expect_state(State::TimeWait);
    t.send(fin().seq(1).ack(2));
    t.expect(ack().seq(2).ack(2));
    // ... and a FIN starts it again.
    t.advance(TWO_MSL - ms(1));
    t.expect_state(State::TimeWait);
    t.advance(ms(2));
    t.expect_state(State::Closed);
    t.send(fin().seq(1).ack(2));
    t.expect(rst().seq(2));
}

/// MUST-13: MSL is a setting.
#[test]
fn msl_is_configurable() {
    let mut t = Tester::with(|c| c.tcp.msl = secs(5));
    t.reach(State::TimeWait);
    t.advance(ms(9_999));
    t.expect_state(State::TimeWait);
    t.advance(ms(2));
    t.expect_state(State::Closed);
}

/// 1337-1 attack-13: RST does not end TIME-WAIT; old data and an old SYN get an ACK at most.
#[test]
fn time_wait_is_not_assassinated() {
    let mut t = Tester::new();
    t.reach(State::TimeWait);
    for seq in [2, 1, 3, 70_000, -5] {
        t.send(rst().seq(seq));
        t.expect_nothing();
        t.send(rst_ack().seq(seq));
        t.expect_nothing();
    }
    for old in [data(b"old").seq(-20), syn().seq(-100), data(b"dup").seq(1), ack().seq(2).ack(1)] {
        t.advance(secs(1));
        t.send(old);
        for p in t.drain() {
            assert_eq!((p.flags, t.rel_seq(&p), t.rel_ack(&p)), (ACK, 2, 2));
        }
        t.expect_state(State::TimeWait);
    }
}

/// attack-13 attack-6: answers from TIME-WAIT are throttled.
#[test]
fn time_wait_is_quiet() {
    let mut t = Tester::new();
    t.reach(State::TimeWait);
    t.advance(secs(1));
    for _ in 0..200 {
        t.send(data(b"old").seq(-20));
        t.advance(ms(5));
    }
    let answers = t.drain().len();
    assert!((1..=3).contains(&answers), "{answers} answers in 1 s");
}

/// MAY-2: a SYN beyond the old connection's numbers opens anew from TIME-WAIT, with a larger ISN of ours too.
#[test]
fn new_syn_in_time_wait() {
    let mut t = Tester::new();
    t.reach(State::TimeWait);
    t.close();
    let old_end = t.stack_iss().wrapping_add(2);
    t.advance(secs(1));
    t.peer_iss(500); // after the wrap: larger than what the old one used
    t.send(syn().mss(1460));
    let answer = t.expect(synack().ack(1));
    assert!((answer.seq.wrapping_sub(old_end) as i32) > 0, "our ISN is beyond the old connection's numbers");
    t.send(ack());
    t.accept();
    t.send(data(b"second life"));
    t.expect_read(b"second life");
}

/// MAY-2: but an older SYN only gets an ACK.
#[test]
fn old_syn_in_time_wait() {
    let mut t = Tester::new();
    t.reach(State::TimeWait);
    t.advance(secs(1));
    t.send(syn().seq(1));
    t.expect(ack().seq(2).ack(2));
    t.expect_state(State::TimeWait);
}

/// SHLD-3 MAY-1: closing with unread data resets: the peer must know that it was lost.
#[test]
fn close_with_unread_data_resets() {
    let mut t = Tester::new();
    t.establish();
    t.send(data(b"never read"));
    t.drain();
    t.close();
    t.expect(reset().seq(1));
    t.expect_state(State::Closed);
    assert_eq!(t.stack.memory(), 0);
}

/// SHLD-3 attack-14: data that arrives after a full close gets a RST.
#[test]
fn data_after_close_resets() {
    for from in [State::FinWait1, State::FinWait2] {
        let mut t = Tester::new();
        t.establish();
        t.close();
        t.expect(fin().seq(1));
        if from == State::FinWait2 {
            t.send(ack().ack(2));
        }
        t.expect_state(from);
        t.send(data(b"too late"));
        t.expect(reset());
        t.expect_nothing();
        t.expect_state(State::Closed);
    }
}

/// MAY-1: after shutdown(Write) reading goes on; half-closed connections last.
#[test]
fn half_close() {
    let mut t = Tester::new();
    t.establish();
    t.shutdown_write();
    t.expect(fin().seq(1));
    t.send(ack().ack(2));
    t.advance(hours(2)); // FIN-WAIT-2 has no limit while the application holds the handle
    t.expect_state(State::FinWait2);
    t.send(full(700));
    t.expect_within(ms(40), ack().seq(2).ack(701));
    t.expect_read(&pattern(0..700));
    t.send(fin());
    t.expect(ack().seq(2));
    t.expect_eof();
}

/// The reading side shut down: data is still acknowledged, but not kept, or the connection is reset; nothing hangs.
#[test]
fn shutdown_read() {
    let mut t = Tester::new();
    t.establish();
    t.shutdown(Shutdown::Read);
    t.expect_nothing();
    t.expect_eof();
    t.write(b"still sending");
    t.expect(data(b"still sending"));
}

/// attack-14: FIN-WAIT-2 ends after 60 s once the application has closed, and only then.
#[test]
fn fin_wait_2_times_out_after_close() {
    let mut t = Tester::new();
    t.establish();
    t.close();
    t.expect(fin());
    t.send(ack().ack(2));
    t.expect_state(State::FinWait2);
    t.advance(secs(59));
    t.expect_state(State::FinWait2);
    t.advance(secs(2));
    t.expect_state(State::Closed);
    assert_eq!(t.stack.deadline(), None);
}

/// attack-14: the time starts at the close, not before.
#[test]
fn fin_wait_2_timer_starts_at_close() {
    let mut t = Tester::new();
    t.reach(State::FinWait2);
    t.advance(secs(300));
    t.close();
    t.expect_nothing();
    t.expect_state(State::FinWait2);
    t.advance(secs(59));
    t.expect_state(State::FinWait2);
    t.advance(secs(2));
    t.expect_state(State::Closed);
}

/// attack-15: a FIN is sent again until it is acknowledged or R2 is reached, whatever duplicate ACKs say.
#[test]
fn fin_is_retransmitted() {
    for from in [State::FinWait1, State::Closing, State::LastAck] {
        let mut t = Tester::new();
        t.reach(from);
        let mut sent = 0;
        for _ in 0..4000 {
            if t.state() == State::Closed {
                break;
            }
            t.wait(secs(1));
            for p in t.drain() {
                assert!(p.has(FIN), "{from}: {p}");
                assert_eq!(t.rel_seq(&p), 1);
                sent += 1;
                if sent < 4 {
                    for _ in 0..5 {
                        t.send(ack().ack(1)); // duplicates do not disarm the timer
                    }
                }
            }
        }
        t.expect_state(State::Closed);
        assert!(sent >= 8, "{from}: the FIN was sent again {sent} times");
        assert_eq!(t.stack.deadline(), None);
    }
}

/// attack-15: with only a FIN in flight, duplicate ACKs neither resend at once for ever nor stop the timer.
#[test]
fn duplicate_acks_with_only_a_fin_in_flight() {
    let mut t = Tester::new();
    t.reach(State::LastAck);
    for _ in 0..10 {
        t.send(ack().ack(1));
    }
    t.drain();
    t.expect_within(secs(3), fin().seq(1).ack(2));
    t.send(ack().ack(2));
    t.expect_state(State::Closed);
}

/// attack-15: an orphan gives up in bounded time, with nothing left behind.
#[test]
fn orphans_give_up() {
    for unsent in [0, 5000] {
        let mut t = Tester::new();
        t.establish();
        t.write(&pattern(0..unsent));
        t.close();
        t.advance(secs(1200));
        t.expect_state(State::Closed);
        assert_eq!((t.stack.deadline(), t.stack.memory()), (None, 0));
    }
}

/// Text after the peer's FIN is ignored.
#[test]
fn text_after_fin_is_ignored() {
    let mut t = Tester::new();
    t.reach(State::CloseWait);
    t.send(data(b"ghost").seq(2));
    t.advance(ms(40));
    t.drain();
    t.expect_eof();
    t.expect_state(State::CloseWait);
}

/// The peer's FIN again (our ACK was lost) is acknowledged again.
#[test]
fn retransmitted_fin_is_acknowledged() {
    for state in [State::CloseWait, State::TimeWait, State::LastAck, State::Closing] {
        let mut t = Tester::new();
        t.reach(state);
        t.advance(ms(150)); // shorter than any RTO, longer than nothing
        t.advance(ms(550));
        t.drain();
        let own = if state == State::TimeWait { 2 } else { 1 };
        t.send(fin().seq(1).ack(own));
        let answer = t.next().expect("an ACK");
        assert_eq!(t.rel_ack(&answer), 2, "{state}");
        t.expect_state(state);
    }
}

/// A FIN that comes before the data it follows is not lost.
#[test]
fn out_of_order_fin() {
    let mut t = Tester::new();
    t.establish();
    t.send(fin().seq(11));
    t.expect(ack().ack(1));
    t.expect_state(State::Established);
    t.send(data(b"0123456789").seq(1));
    t.expect_within(ms(40), ack().ack(12));
    t.expect_state(State::CloseWait);
    t.expect_read(b"0123456789");
    t.expect_eof();
}

/// A FIN whose text goes beyond the window is not taken with it.
#[test]
fn fin_beyond_the_window() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 4096);
    t.establish();
    let mut seq = 1;
    for _ in 0..4 {
        t.send(full(1000).seq(seq));
        seq += 1000;
    }
    t.advance(ms(40));
    let window = i64::from(t.info().rcv_wnd);
    t.drain();
    t.send(fin().len(window as usize + 10).seq(seq));
    t.advance(ms(100));
    t.expect_state(State::Established);
    let sure = t.drain().last().map(|p| t.rel_ack(p)).expect("an ACK");
    assert!(sure <= seq + window);
    assert_eq!(t.read_all().len() as i64, sure - 1);
}

/// What was acknowledged stays readable after TIME-WAIT has ended.
#[test]
fn unread_data_outlives_time_wait() {
    let mut t = Tester::new();
    t.establish();
    t.shutdown_write();
    t.expect(fin());
    t.send(fin().text(b"read me later").ack(2));
    t.expect(ack().ack(15));
    t.advance(secs(300));
    t.expect_state(State::Closed);
    t.expect_read(b"read me later");
    t.expect_eof();
}

/// CLOSE in SYN-SENT deletes the connection without a packet; what the peer answers gets a RST.
#[test]
fn close_in_syn_sent() {
    for abort in [false, true] {
        let mut t = Tester::new();
        t.reach(State::SynSent);
        if abort {
            t.abort()
        } else {
            t.close()
        }
        t.expect_nothing();
        t.expect_state(State::Closed);
        t.send(synack().ack(1));
        t.expect(rst().seq(1));
    }
}

/// CLOSE in SYN-RECEIVED (after a simultaneous open): a lost SYN,ACK is still sent again, and the FIN follows.
#[test]
fn close_in_syn_received() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    t.send(syn().mss(1460));
    t.expect(synack());
    t.close();
    t.drain();
    t.advance(secs(4));
    assert!(t.drain().iter().any(|p| p.has(SYN) || p.has(FIN)), "something is sent again");
    t.send(ack().seq(1).ack(1));
    t.advance(secs(4));
    t.drain();
    t.send(ack().seq(1).ack(2));
    t.expect_state(State::FinWait2);
    t.send(fin().seq(1).ack(2));
    t.expect_state(State::TimeWait);
}

/// ABORT by state: RST wherever the peer may still wait for something of ours, silence once all is acknowledged.
#[test]
fn abort_by_state() {
    use State::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, TimeWait};
    for state in [Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait] {
        let mut t = Tester::new();
        t.reach(state);
        let nxt = t.stack_end();
        t.abort();
        if state != TimeWait {
            t.expect(reset().seq(nxt));
            t.expect_state(State::Closed);
        }
        t.expect_nothing();
    }
}

/// SHLD-3: data that the peer waits for is given up in CLOSING: it is told, and does not wait for ever.
#[test]
fn close_with_unread_data_in_closing_resets() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"lost on the way");
    t.shutdown_write();
    t.drain();
    t.send(fin().text(b"never read").ack(1));
    t.expect_state(State::Closing);
    t.drain();
    t.close();
    t.expect(reset());
    t.expect_state(State::Closed);
}

/// Linger zero makes close an abort.
#[test]
fn linger_zero() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"unsent");
    t.drain();
    t.set(|o| o.linger = Some(Duration::ZERO));
    t.close();
    t.expect(reset());
    t.expect_state(State::Closed);
}

/// attack-13: RST at the right place does end the states between ESTABLISHED and TIME-WAIT.
#[test]
fn reset_by_state() {
    use State::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck};
    for state in [Established, FinWait1, FinWait2, CloseWait, Closing, LastAck] {
        let mut t = Tester::new();
        t.reach(state);
        let nxt = t.peer_nxt();
        t.send(rst().seq(nxt));
        t.expect_nothing();
        t.expect_state(State::Closed);
    }
}

/// Every connection that ends gives back its memory and its timer.
#[test]
fn nothing_is_left_behind() {
    for state in [State::Established, State::FinWait1, State::CloseWait, State::LastAck, State::Closing] {
        let mut t = Tester::new();
        t.reach(state);
        t.send(rst().seq(t.peer_nxt()));
        t.close();
        t.close_listener();
        assert_eq!((t.stack.deadline(), t.stack.memory(), t.stack.tcp_snapshot().len()), (None, 0, 0), "{state}");
    }
}
