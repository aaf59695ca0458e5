//! Bugs that other stacks have had, as short conversations that would show them here. `aNNN` is the number in a published
//! audit of smoltcp's successor, xarxa (its `audit/` folder, commit 4999fd5). Some are told twice: in `tests/rfc9293` as the requirement that rules the bug out.

use super::support::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use tunstack::buf::Slice;
use tunstack::error::Error;
use tunstack::stack::{Keepalive, Shutdown, TcpId};
use tunstack::stats::{Disposition, DropReason};
use tunstack::tcp::state::State;
use tunstack::wire::RxFrame;

/// Sequence arithmetic in SYN-SENT went below zero on an odd acknowledgment.
#[test]
fn a001_odd_segments_in_syn_sent_change_nothing() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    for n in [-1_i64 << 31, -1, 0, 2, 1 << 30] {
        t.send(ack().ack(n).seq(0));
        t.send(synack().ack(n).seq(0));
        t.send(rst_ack().ack(n).seq(0));
        t.send(fin().ack(n).seq(0));
    }
    t.drain();
    t.expect_state(State::SynSent);
    t.send(synack().seq(0).ack(1).mss(1460));
    t.expect(ack().seq(1).ack(1));
    t.expect_state(State::Established);
}

/// The window in a SYN was kept as it stood and shifted later.
#[test]
fn a002_the_window_of_a_syn_is_not_scaled() {
    let mut t = Tester::new();
    t.establish_active(synack().mss(1460).ws(7).wnd(1000));
    t.set(|o| o.nodelay = true);
    t.write(&pattern(0..5000));
    t.expect(full(1000).seq(1));
    t.expect_nothing();
    // The next window is scaled.
    t.send(ack().ack(1001).wnd(1000));
    let rest: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert_eq!(rest, 4000);
}

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

/// Sixteen pings in a row filled the only queue, and TCP was silent.
#[test]
fn a011_a_flood_of_pings_does_not_silence_tcp() {
    let mut t = Tester::new();
    t.establish();
    let ping = echo_request();
    for _ in 0..5000 {
        t.stack.on_frame(t.now(), RxFrame::plain(Slice::copy_of(&ping)));
    }
    t.send(data(b"still there?").with(PSH));
    t.write(b"yes");
    assert!(t.drain().iter().any(|p| p.text == b"yes"));
    t.expect_read(b"still there?");
    let replies = core::iter::from_fn(|| t.other()).count();
    assert!((1..=1024).contains(&replies), "{replies} replies: some, and never more than the bound");
}

/// A segment to a broadcast or multicast address opened a connection.
#[test]
fn a013_a066_no_connection_by_broadcast_or_multicast() {
    let mut t = Tester::new();
    t.listen(80);
    for dst in [[255; 4], [192, 0, 2, 255], [224, 0, 0, 1], [239, 1, 2, 3]] {
        let disposition = t.send(syn().mss(1460).dst(dst.into()));
        assert!(matches!(disposition, Disposition::Dropped(_)), "{dst:?}: {disposition:?}");
        t.expect_nothing();
    }
    assert_eq!(t.state(), State::Closed);
}

/// The initial sequence number was the next output of a plain generator, without a clock (RFC 6528).
#[test]
fn a014_initial_sequence_numbers_follow_a_clock() {
    let mut t = Tester::new();
    t.listen(80);
    t.new_flow(5000, 80);
    t.send(syn().mss(1460));
    t.expect(synack());
    let first = t.stack_iss();
    t.send(rst().seq(1));
    t.expect_state(State::Closed);
    t.advance(secs(4));
    t.send(syn().mss(1460).seq(0));
    t.expect(synack());
    let grown = t.stack_iss().wrapping_sub(first);
    // 250,000 a second.
    assert!((999_000..=1_001_000).contains(&grown), "{grown} in 4 s");
    // Another port gives a number without any likeness.
    let near = (0..64).filter(|i| {
        t.new_flow(6000 + i, 80);
        t.send(syn().mss(1460));
        t.expect(synack());
        t.stack_iss().wrapping_sub(first) < 1 << 24
    });
    assert!(near.count() < 8, "initial sequence numbers of different ports are near each other");
}

/// An acknowledgment of data never sent was accepted and took the data out of the queue.
#[test]
fn a015_an_ack_of_the_unsent_is_refused() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"hello");
    t.expect(data(b"hello").seq(1));
    t.send(ack().ack(7));
    t.send(ack().ack(1_000_000));
    assert_eq!(t.dropped(DropReason::TcpBadAck), 2);
    assert_eq!(t.info().send_queue, 5, "nothing was taken out");
    t.drain();
    t.expect_within(secs(2), data(b"hello").seq(1));
}

/// Without a time-out of the user's, a SYN was sent for ever, and so was a SYN,ACK.
#[test]
fn a016_handshakes_end() {
    let mut t = Tester::new();
    t.connect();
    t.advance(hours(1));
    assert_eq!(t.drain().len(), 1 + t.stack.config().tcp.syn_retries as usize);
    t.expect_state(State::Closed);
    t.expect_read_error(Error::TimedOut);

    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().mss(1460));
    t.advance(hours(1));
    assert_eq!(t.drain().len(), 1 + t.stack.config().tcp.synack_retries as usize);
    t.expect_state(State::Closed);
}

/// After a retransmission time-out had set SND.NXT back, bare ACKs carried it.
#[test]
fn a017_acks_after_a_time_out_carry_the_highest_number() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..4 * 1460));
    assert_eq!(t.drain().len(), 4);
    t.expect_within(secs(2), full(1460).seq(1));
    t.drain();
    t.send(full(1460));
    t.send(full(1460));
    let answers = t.drain();
    assert!(!answers.is_empty());
    for p in answers.iter().filter(|p| p.text.is_empty()) {
        assert_eq!(t.rel_seq(p), 1 + 4 * 1460, "RFC 9293 3.10.7.4: <SEQ=SND.NXT>");
    }
}

/// The byte in a zero-window probe was not counted as sent: its acknowledgment was one of the unsent.
#[test]
fn a018_the_probes_byte_counts_as_sent() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).wnd(0));
    t.write(b"abc");
    let probe = t.expect_within(secs(60), ack().any_text());
    assert!(probe.text.len() <= 1);
    if probe.text.is_empty() {
        // A probe without text asks for nothing to be counted.
        return;
    }
    assert_eq!((t.rel_seq(&probe), probe.text.as_slice()), (1, &b"a"[..]));
    t.send(ack().ack(2).wnd(1000));
    t.expect(data(b"bc").seq(2));
    assert_eq!(t.dropped(DropReason::TcpBadAck), 0);
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

/// close() in SYN-RECEIVED forgot to send the SYN,ACK again.
#[test]
fn a020_close_in_syn_received_sends_the_syn_ack_again() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn().seq(0));
    t.send(syn().mss(1460));
    t.expect(synack().seq(0).ack(1));
    t.expect_state(State::SynReceived);
    t.close();
    t.expect_within(secs(3), synack().seq(0).ack(1));
    t.send(ack().ack(1));
    t.expect(fin().seq(1));
    t.expect_state(State::FinWait1);
}

/// ICMP source quench aborted the connection (RFC 6633: ignore it).
#[test]
fn a031_source_quench_is_ignored() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"hello");
    let sent = t.expect(data(b"hello"));
    let cwnd = t.info().cwnd;
    t.send_icmp(4, 0, 0, &sent.quote(8));
    t.expect_state(State::Established);
    assert_eq!(t.info().cwnd, cwnd);
    t.send(ack().ack(6));
    assert_eq!(t.info().send_queue, 0);
}

/// An ICMP error quoting an ICMP error quoting an ICMP error and so on ended in a recursion without end.
#[test]
fn a049_nested_icmp_errors_are_one_packet() {
    let mut t = Tester::new();
    let mut quote = Vec::new();
    for _ in 0..1000 {
        let mut icmp = vec![3, 1, 0, 0, 0, 0, 0, 0];
        icmp.extend_from_slice(&quote);
        quote = ipv4(LOCAL, PEER, 1, &icmp);
    }
    t.send_icmp(3, 1, 0, &quote);
    t.expect_nothing();
}

/// Loopback and class E addresses came in from the wire.
#[test]
fn a064_a069_martians_are_dropped() {
    let mut t = Tester::new();
    t.listen(80);
    for src in [[127, 0, 0, 1], [240, 0, 0, 1], [255; 4], [0; 4], [224, 0, 0, 5], [192, 0, 2, 255], LOCAL.octets()] {
        t.send(syn().mss(1460).src(SocketAddrV4::new(src.into(), 4000)));
        t.expect_nothing();
    }
    assert_eq!(t.dropped(DropReason::MartianSource), 7);
    for dst in [[127, 0, 0, 1], [240, 0, 0, 1]] {
        t.send(syn().mss(1460).dst(dst.into()));
        t.expect_nothing();
    }
    assert!(t.stack.tcp_snapshot().iter().all(|i| i.state == State::Listen));
}

/// ICMP errors were believed without a look at what we had sent.
#[test]
fn a067_an_icmp_error_must_quote_what_we_sent() {
    let mut t = Tester::new();
    t.connect();
    let sent = t.expect(syn());
    let mut other_seq = sent.quote(8);
    other_seq[24] ^= 0x40;
    let mut other_port = sent.quote(8);
    other_port[21] ^= 1;
    let mut other_peer = sent.quote(8);
    other_peer[19] ^= 1;
    for quote in [other_seq, other_port, other_peer, sent.quote(0), sent.quote(4), Vec::new()] {
        t.send_icmp(3, 3, 0, &quote);
        t.expect_state(State::SynSent);
    }
    t.send(synack().seq(0).mss(1460));
    t.expect(ack().seq(1).ack(1));
}

/// Port unreachable was sent in answer to a broadcast.
#[test]
fn a071_no_icmp_error_about_a_broadcast() {
    let mut t = Tester::new();
    let datagram = |dst| udp(PEER, dst, 5000, 5001, b"anyone?");
    t.send_raw(&datagram(LOCAL));
    assert!(t.other().is_some(), "port unreachable, to show that it would be sent");
    for dst in [[255; 4], [192, 0, 2, 255], [224, 0, 0, 1]] {
        t.send_raw(&datagram(dst.into()));
        t.expect_nothing();
    }
}

/// Sending more than fits into a packet gave Ok and sent nothing.
#[test]
fn a074_a098_a_datagram_too_large_is_refused() {
    let mut t = Tester::new();
    let id = t.stack.udp_bind(SocketAddr::new(IpAddr::V4(LOCAL), 0)).expect("bind");
    let to = SocketAddr::new(IpAddr::V4(PEER), 9);
    let now = t.now();
    assert_eq!(t.stack.udp_send(now, id, &[0; 65_508], Some(to)), Err(Error::MessageTooLong));
    // What is taken is sent.
    assert_eq!(t.stack.udp_send(now, id, &[7; 1472], Some(to)), Ok(1472));
    t.pull();
    assert_eq!(t.other().expect("the datagram").len(), 1500);
    if t.stack.udp_send(now, id, &[7; 1473], Some(to)).is_ok() {
        t.pull();
        assert!(t.other().is_some(), "a datagram was taken and not sent");
    }
}

/// The first window of congestion control was 2,048 bytes whatever the MSS (RFC 6928: ten segments).
#[test]
fn a075_ten_segments_fly_at_first() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..40_000));
    assert_eq!(t.drain().iter().map(|p| p.text.len()).sum::<usize>(), 14_600);
}

/// An ACK was marked as sent although the device had not taken it.
#[test]
fn a078_an_ack_waits_for_the_device() {
    let mut t = Tester::new();
    t.establish();
    let frames: Vec<Vec<u8>> = (0..2).map(|_| t.packet(&full(1460))).collect();
    for frame in frames {
        t.stack.on_frame(t.now(), RxFrame::plain(Slice::copy_of(&frame)));
    }
    // The device is busy: nobody pulls, though time passes and the timer runs out.
    let later = t.now() + ms(300);
    t.stack.on_deadline(later);
    t.pull();
    t.expect(ack().ack(1 + 2 * 1460));
}

/// A SYN in a synchronized state was dropped in silence (RFC 5961 4: challenge it).
#[test]
fn a079_a_syn_in_established_is_challenged() {
    let mut t = Tester::new();
    t.establish();
    t.send(syn().seq(500));
    t.expect(ack().seq(1).ack(1));
    t.expect_state(State::Established);
}

/// The window field's granularity moved the right edge of the window left, and what had been offered was refused.
/// (The field may fall short by less than its unit, RFC 7323 2.4; rounding it up would let one-byte segments push the
/// edge on for ever.)
#[test]
fn a080_what_was_offered_is_taken_in_spite_of_scaling() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 1 << 20);
    t.establish_with(syn().mss(1460).ws(0));
    let scale = t.info().window_scale.map_or(0, |(_, receiving)| u32::from(receiving));
    assert!(scale > 0);
    let mut edge = 0;
    while edge == 0 || t.peer_nxt() + 3000 < edge {
        // Odd lengths, so that what is left is no multiple of the granularity.
        t.send(full(1459));
        t.send(full(1457));
        t.advance(ms(50));
        for p in t.drain() {
            let new = t.rel_ack(&p) + (i64::from(p.wnd) << scale);
            assert!(new + (1 << scale) > edge, "the right edge went from {edge} to {new}");
            edge = edge.max(new);
        }
    }
    let rest = (edge - t.peer_nxt()) as usize;
    t.send(full(rest));
    t.advance(ms(50));
    assert_eq!(t.drain().last().map(|p| t.rel_ack(p)), Some(edge), "up to the edge as it was ever offered");
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

/// A RST in the window but not at RCV.NXT reset the connection.
#[test]
fn a082_an_inexact_reset_is_challenged() {
    let mut t = Tester::new();
    t.establish();
    t.send(rst().seq(100));
    t.expect(ack().seq(1).ack(1));
    t.expect_state(State::Established);
}

/// Congestion control took the MSS from the peer's option, whatever our own link carries.
#[test]
fn a083_the_mss_is_the_smaller_of_both() {
    let mut t = Tester::with(|c| c.mtu = 576);
    t.establish_with(syn().mss(8960));
    t.write(&pattern(0..10_000));
    let sent = t.drain();
    assert!(sent.iter().all(|p| p.text.len() <= 536));
    assert_eq!(sent.iter().map(|p| p.text.len()).sum::<usize>(), 5360, "ten segments of 536");
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

/// Neither Limited Transmit (RFC 3042) nor NewReno's partial ACKs (RFC 6582).
#[test]
fn a086_limited_transmit_and_partial_acks() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..20 * 1460));
    assert_eq!(t.drain().len(), 10);
    for n in 10..12 {
        t.send(ack().ack(1));
        t.expect(full(1460).seq(1 + n * 1460));
        t.expect_nothing();
    }
    t.send(ack().ack(1));
    t.expect(full(1460).seq(1));
    t.drain();
    // A partial ACK: the next hole goes out at once.
    t.send(ack().ack(1 + 3 * 1460));
    t.expect(full(1460).seq(1 + 3 * 1460));
}

/// A partial ACK that also closed the window replaced the retransmission timer by nothing.
#[test]
fn a087_a_partial_ack_with_zero_window_leaves_a_timer() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..4 * 1460));
    assert_eq!(t.drain().len(), 4);
    t.send(ack().ack(1461).wnd(0));
    t.drain();
    t.wait(secs(5));
    let again = t.next().expect("something is sent again");
    assert_eq!(t.rel_seq(&again), 1461);
    t.send(ack().ack(1 + 4 * 1460).wnd(1000));
    assert_eq!(t.info().send_queue, 0);
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

/// The receiver offered windows of a byte or two (silly windows).
#[test]
fn a089_no_silly_windows_are_offered() {
    let mut t = Tester::with(|c| c.tcp.recv_buffer = 4096);
    t.establish();
    let room = t.info().rcv_wnd as usize;
    let mut at = 0;
    while at < room {
        let n = (room - at).min(1460);
        t.send(full(n));
        at += n;
    }
    t.advance(ms(500));
    t.drain();
    // Reading byte by byte opens the window in useful steps, or not at all.
    let mut edge = 1 + room as i64;
    for _ in 0..room {
        t.try_read(1).expect("a byte");
        for p in t.drain() {
            let new = t.rel_ack(&p) + i64::from(p.wnd);
            assert!(new == edge || new - edge >= 1460.min(room as i64 / 2), "the window opened by {}", new - edge);
            edge = new;
        }
    }
    assert!(edge > 1 + room as i64, "it opened");
}

/// The peer took its window back to nothing while text was on its way, and nothing was ever sent again.
#[test]
fn a090_a_shrunk_window_does_not_stall() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..5 * 1460));
    assert_eq!(t.drain().len(), 5);
    // The first segment arrived; the window is shrunk to before what is in flight.
    t.send(ack().ack(1461).wnd(0));
    for _ in 0..5 {
        t.advance(secs(5));
        t.send(ack().ack(1461).wnd(0));
    }
    assert!(!t.drain().is_empty(), "it is probed");
    t.send(ack().ack(1461).wnd(60_000));
    let mut end = 1461;
    for _ in 0..20 {
        for p in t.drain() {
            if t.rel_seq(&p) <= end {
                end = end.max(t.rel_seq(&p) + p.text.len() as i64);
            }
        }
        t.send(ack().ack(end).wnd(60_000));
        t.advance(secs(1));
    }
    assert_eq!(t.info().send_queue, 0, "all arrived");
}

/// With only a FIN in flight, three duplicate ACKs disarmed the timer and sent nothing: a hang for ever (smoltcp
/// 0.14.0, in 23.7 % of lossy runs).
#[test]
fn a091_duplicate_acks_for_a_fin_leave_a_timer() {
    for state in [State::FinWait1, State::LastAck, State::Closing] {
        let mut t = Tester::new();
        t.reach(state);
        let (fin_at, ours) = (t.stack_end() - 1, t.peer_nxt());
        for _ in 0..5 {
            t.send(ack().ack(fin_at));
        }
        t.drain();
        for _ in 0..3 {
            t.advance(secs(20));
            let again = t.drain();
            assert!(again.iter().any(|p| p.has(FIN)), "{state}: the FIN is sent again");
        }
        t.send(ack().seq(ours).ack(fin_at + 1));
        assert!([State::FinWait2, State::Closed, State::TimeWait].contains(&t.state()));
    }
}

/// The sender filled windows of a few bytes at once (silly windows).
#[test]
fn a092_the_sender_waits_for_a_useful_window() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).wnd(8000));
    t.write(&pattern(0..20_000));
    let first: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert!((7300..=8000).contains(&first));
    // The window slides by 100 bytes only.
    t.send(ack().ack(1 + first as i64).wnd(100));
    t.expect_nothing();
    t.send(ack().ack(1 + first as i64).wnd(1460));
    t.expect(full(1460).seq(1 + first as i64));
}

/// Connecting or accepting again threw away a TIME-WAIT.
#[test]
fn a093_time_wait_lives_beside_new_connections() {
    let mut t = Tester::new();
    t.reach(State::TimeWait);
    let first = 0;
    t.new_flow(40_001, 80);
    t.establish();
    t.connect();
    t.switch(first);
    t.expect_state(State::TimeWait);
}

/// connect() to a broadcast or multicast address was tried.
#[test]
fn a094_no_connect_to_everybody() {
    let mut t = Tester::new();
    for dst in [[255; 4], [192, 0, 2, 255], [224, 0, 0, 1], [0; 4]] {
        let remote = SocketAddr::new(IpAddr::V4(dst.into()), 80);
        let options = t.stack.default_tcp_options();
        let result = t.stack.tcp_connect(t.now(), None, remote, options);
        assert!(matches!(result, Err(Error::InvalidInput(_))), "{remote}: {result:?}");
    }
    t.pull();
    t.expect_nothing();
}

/// A local address of the other family was taken.
#[test]
fn a095_both_ends_are_of_one_family() {
    let mut t = Tester::new();
    let local: SocketAddr = "[2001:db8::1]:0".parse().expect("an address");
    let remote = SocketAddr::new(IpAddr::V4(PEER), 80);
    let options = t.stack.default_tcp_options();
    assert!(t.stack.tcp_connect(t.now(), Some(local), remote, options).is_err());
    t.pull();
    t.expect_nothing();
}

/// A second connection with the same four numbers took the place of the first.
#[test]
fn a096_the_same_four_numbers_only_once() {
    let mut t = Tester::new();
    let local = SocketAddr::new(IpAddr::V4(LOCAL), 5000);
    let remote = SocketAddr::new(IpAddr::V4(PEER), 80);
    let connect = |t: &mut Tester| -> Result<TcpId, Error> {
        let options = t.stack.default_tcp_options();
        t.stack.tcp_connect(t.now(), Some(local), remote, options)
    };
    let first = connect(&mut t).expect("the first");
    assert_eq!(connect(&mut t), Err(Error::AddrInUse));
    assert_eq!(t.stack.tcp_state(first), Ok(State::SynSent));
}

/// On the smallest link that IPv4 knows, the options of a bare ACK were longer than a packet.
#[test]
fn the_smallest_mtu_carries_a_connection() {
    let mut t = Tester::with(|c| c.mtu = 68);
    t.establish_with(syn().mss(28).ts(1, 0).sack_ok());
    for n in [1, 3, 5, 7, 9] {
        t.send(full(4).seq(1 + n * 4));
        assert!(t.expect(ack().ack(1).any_text()).bytes.len() <= 68);
    }
    t.write(&pattern(0..40));
    let sent = t.drain();
    assert!(!sent.is_empty() && sent.iter().all(|p| !p.text.is_empty() && p.bytes.len() <= 68));
}

/// With SACK blocks to carry, a full segment has less text; it was taken for a small one and held back until the hole in
/// the other direction was filled.
#[test]
fn a_hole_in_one_direction_does_not_hold_up_the_other() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).sack_ok());
    t.send(full(1460).seq(1461));
    t.expect(ack().ack(1));
    t.write(&pattern(0..20_000));
    let sent: usize = t.drain().iter().map(|p| p.text.len()).sum();
    assert!(sent >= 9 * 1448, "{sent} bytes of a congestion window of 14,600");
}

/// Where the peer's ACKs are lost, our retransmission is answered with the echo of the first transmission (TS.Recent, RFC
/// 7323 4.3). The time that we waited was taken for a round trip, and on a bad link the time-out grew to two minutes.
#[test]
fn an_ack_that_may_answer_either_transmission_is_no_round_trip() {
    let mut t = Tester::new();
    let stamp = t.peer_tsval();
    t.establish_with(syn().mss(1460).ts(stamp, 0));
    let srtt = t.info().srtt;
    t.write(b"x");
    let first = t.expect(data(b"x"));
    let echo = first.ts.expect("time stamps were agreed on").0;
    // Its ACK is lost, and that of the first retransmission; the second is answered.
    t.advance(ms(800));
    assert_eq!(t.drain().len(), 2, "retransmissions");
    let backed_off = t.info().rto;
    t.send(ack().ack(2).ts(t.peer_tsval(), echo));
    assert_eq!(t.info().srtt, srtt, "our waiting is no round trip");
    assert_eq!(t.info().rto, backed_off, "Karn: nor is the path known to be fast");
    // New data that is answered at once is clear.
    t.write(b"y");
    let sent = t.expect(data(b"y")).ts.expect("time stamps").0;
    t.send(ack().ack(3).ts(t.peer_tsval(), sent));
    assert!(t.info().rto < backed_off);
}

/// After a time-out, what was lost did not fit into the congestion window beside what had just been sent again, but something
/// shorter that was new did, went first and took its place: each further lost segment cost another time-out.
#[test]
fn the_lost_goes_before_the_new() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).sack_ok());
    t.set(|o| (o.loss_recovery.tail_probes, o.loss_recovery.frto) = (false, false));
    t.write(&pattern(0..3 * 1460));
    t.drain();
    t.expect_within(secs(2), full(1460).seq(1));
    t.set(|o| o.nodelay = true);
    for n in 0..5 {
        t.write(&pattern(3 * 1460 + n..3 * 1460 + n + 1));
    }
    // Half of the first segment arrives; there is room for less than a whole segment.
    t.send(ack().ack(801));
    for p in t.drain() {
        assert!(t.rel_seq(&p) < 3 * 1460, "new text at {} before what is lost", t.rel_seq(&p));
    }
    t.send(ack().ack(1461));
    for p in t.drain() {
        assert!(t.rel_seq(&p) < 3 * 1460, "new text at {} before what is lost", t.rel_seq(&p));
    }
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
    assert_eq!(t.try_write(b"x"), Err(Error::ConnectionReset));
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

/// ACK storms: two ends whose numbers do not fit answer each other's answers for ever (smoltcp #542).
#[test]
fn attack6_desynchronized_ends_fall_silent() {
    // Two pairs with the same addresses and ports; then one end of each pair is put opposite the other.
    let mut pairs = [0, 1].map(|i| {
        let mut pair = Pair::with(|c| c.tcp.fixed_iss = Some(1000 + i * 1_000_000));
        let options = pair.stacks[0].default_tcp_options();
        let here = SocketAddr::new(IpAddr::V4(LOCAL), 5000);
        let there = SocketAddr::new(IpAddr::V4(PEER), 80);
        pair.stacks[1].tcp_listen(there, 4, options.clone()).expect("listen");
        let now = pair.now;
        let id = pair.stacks[0].tcp_connect(now, Some(here), there, options).expect("connect");
        pair.exchange();
        assert_eq!(pair.stacks[0].tcp_state(id), Ok(State::Established));
        (pair, id)
    });
    let [(first, id), (second, _)] = &mut pairs;
    core::mem::swap(&mut first.stacks[1], &mut second.stacks[1]);
    first.carried = 0;
    let now = first.now;
    first.stacks[0].tcp_send(now, *id, b"hello").expect("send");
    first.exchange();
    assert!(first.carried <= 10, "{} packets", first.carried);
    first.carried = 0;
    first.advance(secs(5));
    assert!(first.carried <= 20, "{} packets in 5 s", first.carried);
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

/// An IPv4 packet without options.
fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len()).min(65_535);
    let mut out = vec![0; 20];
    out[0] = 0x45;
    out[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    out[8] = 64;
    out[9] = protocol;
    out[12..16].copy_from_slice(&src.octets());
    out[16..20].copy_from_slice(&dst.octets());
    let sum = checksum(&out);
    out[10..12].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&payload[..len - 20]);
    out
}

/// A UDP datagram without a checksum, which IPv4 allows.
fn udp(src: Ipv4Addr, dst: Ipv4Addr, from: u16, to: u16, text: &[u8]) -> Vec<u8> {
    let mut out = [from.to_be_bytes(), to.to_be_bytes(), (8 + text.len() as u16).to_be_bytes(), [0; 2]].concat();
    out.extend_from_slice(text);
    ipv4(src, dst, 17, &out)
}

fn echo_request() -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0, 1, 0, 1];
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(PEER, LOCAL, 1, &icmp)
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(c.get(1).copied().unwrap_or(0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
