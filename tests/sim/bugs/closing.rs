//! Bugs that other stacks have had: how connections end, and what outlives them.

use super::support::*;
use tunstack::error::Error;
use tunstack::stack::{Keepalive, Shutdown};
use tunstack::tcp::state::State;

/// A segment was cut at the right edge of the window, and its FIN was believed all the same.
#[test]
fn a003_the_fin_behind_cut_off_text_is_not_believed() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 4096);
    t.establish();
    let room = t.info().rcv_wnd as usize;
    t.send(fin().len(room + 500).seq(1));
    t.advance(ms(500));
    assert_eq!(t.state(), State::Established, "the FIN lies outside the window");
    let acked = t.drain().last().map(|p| t.rel_ack(p)).expect("an answer");
    assert!(acked <= 1 + room as i64, "{acked} acknowledged");
    let got = t.read_all();
    assert_eq!(got, pattern(0..got.len()), "a prefix, and no end of stream");
    t.drain();
    t.send(fin().seq(1 + got.len() as i64).text(&pattern(got.len()..room + 500)));
    assert_eq!(t.read_all(), pattern(got.len()..room + 500));
    t.expect_state(State::CloseWait);
    t.expect_eof();
}

/// What was acknowledged and not read was gone when TIME-WAIT ended (smoltcp 0.13.1).
#[test]
fn a019_time_wait_expiry_keeps_unread_data() {
    let mut t = Tester::new();
    t.establish();
    t.shutdown_write();
    t.expect(fin().seq(1));
    t.send(ack().ack(2));
    t.send(fin().len(3000).ack(2));
    t.expect_state(State::TimeWait);
    t.advance(secs(3600));
    t.expect_state(State::Closed);
    t.expect_read(&pattern(0..3000));
    t.expect_eof();
}

/// A FIN that came before the text in front of it was thrown away, and the peer had to send it again.
#[test]
fn a081_a_fin_out_of_order_is_kept() {
    let mut t = Tester::new();
    t.establish();
    t.send(fin().text(b"world").seq(6));
    t.expect(ack().ack(1));
    t.send(data(b"hello").seq(1));
    t.expect_within(ms(500), ack().ack(12));
    t.expect_state(State::CloseWait);
    t.expect_read(b"helloworld");
    t.expect_eof();
}

/// Text after a FIN was delivered in CLOSE-WAIT.
#[test]
fn a084_text_after_fin_is_not_delivered() {
    let mut t = Tester::new();
    t.reach(State::CloseWait);
    t.send(data(b"more").seq(2));
    t.drain();
    assert_eq!(t.try_read(16), Ok(Vec::new()), "the stream has ended");
    assert_eq!(t.info().bytes_received, 0);
}

/// In LAST-ACK the segment's processing ended early: acknowledged text stayed and was sent again.
#[test]
fn a085_last_ack_takes_partial_acks() {
    let mut t = Tester::new();
    t.reach(State::CloseWait);
    t.write(&pattern(0..2920));
    t.close();
    let sent = t.drain();
    assert_eq!(sent.iter().map(|p| p.text.len()).sum::<usize>(), 2920);
    t.expect_state(State::LastAck);
    t.send(ack().ack(1461));
    let again = t.expect_within(secs(2), ack().with(FIN).any_text());
    assert_eq!(t.rel_seq(&again), 1461, "what was acknowledged is not sent again");
    t.send(ack().ack(2922));
    t.expect_state(State::Closed);
    assert_eq!(t.stack.memory(), 0);
}

/// FIN-WAIT-2 was for ever when the application had closed.
#[test]
fn a088_fin_wait_2_ends_after_close() {
    let mut t = Tester::new();
    t.establish();
    t.close();
    t.expect(fin());
    t.send(ack().ack(2));
    t.expect_state(State::FinWait2);
    t.advance(t.stack.config().tcp.fin_wait2 + secs(1));
    t.expect_state(State::Closed);
    assert!(t.stack.deadline().is_none());
}

/// A RST after the peer's FIN does not turn the end of a stream that was received whole into an error; who writes is told.
#[test]
fn a_reset_after_the_fin_leaves_the_end_of_the_stream() {
    let mut t = Tester::new();
    t.establish();
    t.send(fin().seq(1));
    t.drain();
    t.send(rst().seq(2));
    assert_eq!(t.try_read(10), Ok(Vec::new()));
    // As the kernel: the peer had said that it is done.
    assert_eq!(t.try_write(b"x"), Err(Error::BrokenPipe));
    assert_eq!(t.try_write(b"x"), Err(Error::BrokenPipe));
}

/// A duplicate shows that the peer lives: keepalive waits (RFC 9293 MUST-26).
#[test]
fn a_duplicate_is_a_sign_of_life() {
    let mut t = Tester::new();
    t.establish();
    let keepalive = Keepalive { idle: secs(10), interval: secs(1), count: 3 };
    t.set(|o| o.keepalive = Some(keepalive));
    t.send(data(b"hello"));
    t.expect_within(secs(1), ack().ack(6));
    t.advance(secs(8));
    t.send(data(b"hello").seq(1));
    t.expect(ack().ack(6));
    t.expect_nothing_for(secs(9));
    t.expect_within(secs(2), ack().seq(0).ack(6));
}

/// Closing with unread data in LAST-ACK told the peer nothing; with the FIN lost it waited for ever in FIN-WAIT-2.
#[test]
fn a_close_with_unread_data_resets_in_every_state() {
    for state in [State::LastAck, State::Closing, State::CloseWait, State::FinWait1, State::FinWait2] {
        let mut t = Tester::new();
        t.establish();
        t.send(data(b"unread"));
        t.advance(ms(100));
        if matches!(state, State::CloseWait | State::LastAck) {
            t.send(fin());
        }
        if state != State::CloseWait {
            t.shutdown_write();
        }
        match state {
            State::Closing => drop(t.send(fin().ack(1))),
            State::FinWait2 => drop(t.send(ack().ack(2))),
            _ => {}
        }
        t.drain();
        t.expect_state(state);
        t.close();
        assert!(t.drain().iter().any(|p| p.has(RST)), "{state}");
    }
}

/// Data on a reset connection: what was acknowledged before is read before the error (INV-2).
#[test]
fn inv2_a_reset_leaves_acknowledged_data() {
    let mut t = Tester::new();
    t.establish();
    t.send(data(b"hello"));
    t.advance(ms(100));
    t.expect(ack().ack(6));
    t.send(rst());
    t.expect_state(State::Closed);
    assert_eq!(t.try_read(16), Ok(b"hello".to_vec()));
    t.expect_read_error(Error::ConnectionReset);
}

/// shutdown() of both directions and a full close leave nothing behind once the peer has answered.
#[test]
fn inv10_nothing_is_left_after_two_msl() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"bye");
    t.shutdown(Shutdown::Both);
    t.close();
    t.close_listener();
    t.drain();
    t.send(fin().ack(5));
    t.advance(secs(300));
    assert_eq!(t.stack.tcp_snapshot().len(), 0);
    assert_eq!((t.stack.memory(), t.stack.deadline()), (0, None));
}
