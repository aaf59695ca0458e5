//! Bugs that other stacks have had: windows, and what does not fit into one.

use super::support::*;
use tunstack::buf::Slice;
use tunstack::stats::DropReason;
use tunstack::wire::RxFrame;

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
