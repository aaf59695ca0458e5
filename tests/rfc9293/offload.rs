//! Segments that the device cuts on the way out, and has joined on the way in: on the wire nothing looks different.

use crate::support::*;
use tunstack::wire::{Gso, Offloads, RxChecksum, RxFrame, RxMeta};

const MSS: usize = 1460;

/// On a device that cuts; the peer's window is `wnd` bytes, a multiple of 128.
fn offloaded(wnd: u32) -> Tester {
    let mut t = Tester::with(|c| c.offloads = Offloads::ALL);
    t.establish_with(syn().mss(MSS as u16).ws(7).wnd(65_535).sack_ok());
    t.send(ack().wnd((wnd >> 7) as u16));
    t
}

/// Sizes of the segments that the stack sends now, as the wire sees them, and how many super-segments they came in.
fn sizes(t: &mut Tester) -> (Vec<usize>, usize) {
    let sizes = t.drain().iter().map(|p| p.text.len()).collect();
    (sizes, t.take_super_segments())
}

/// The windows are filled by two super-segments: of the initial ten segments two times five.
#[test]
fn output_comes_in_super_segments_of_half_the_window() {
    let mut t = offloaded(200_000);
    t.write(&pattern(0..50_000));
    assert_eq!(sizes(&mut t), (vec![MSS; 10], 2));
    // And never more than the device takes: 44 segments of 1460 bytes are 64,240.
    let mut largest = 0;
    for _ in 0..200 {
        // As much as there is room for.
        let _ = t.try_write(&pattern(0..200_000));
        let (flying, frames) = sizes(&mut t);
        assert!(flying.iter().all(|len| *len <= MSS));
        largest = largest.max(flying.len().checked_div(frames).unwrap_or(0));
        t.send(ack().wnd((200_000 >> 7) as u16));
    }
    assert!((30..=44).contains(&largest), "{largest} packets to a super-segment");
}

/// 3.8.6.2.1, 3.7.4: what is too short to be sent alone waits, however much goes before it.
#[test]
fn the_end_that_is_no_full_segment_waits_for_its_turn() {
    let mut t = offloaded(200_000);
    t.write(&pattern(0..4 * MSS + 100));
    assert_eq!(sizes(&mut t), (vec![MSS; 4], 1), "Nagle's algorithm holds the rest back");
    t.send(ack().wnd(1000));
    assert_eq!(sizes(&mut t), (vec![100], 0));

    let mut t = offloaded(200_000);
    t.set(|o| o.nodelay = true);
    t.write(&pattern(0..4 * MSS + 100));
    assert_eq!(sizes(&mut t), (vec![MSS, MSS, MSS, MSS, 100], 1));

    let mut t = offloaded(200_000);
    t.write(&pattern(0..4 * MSS + 100));
    assert_eq!(sizes(&mut t).0.len(), 4);
    t.shutdown_write();
    let last = t.drain();
    assert_eq!(last.len(), 1);
    assert!(last[0].has(FIN) && last[0].text.len() == 100, "the FIN lets it go");
}

/// The FIN is on the last piece only, and so is PSH.
#[test]
fn a_fin_goes_with_the_last_piece() {
    let mut t = offloaded(200_000);
    let (id, now) = (t.conn(), t.now());
    t.stack.tcp_send(now, id, &pattern(0..3 * MSS + 7)).unwrap();
    t.shutdown_write();
    let flying = t.drain();
    let flags: Vec<_> = flying.iter().map(|p| (p.text.len(), p.has(PSH), p.has(FIN))).collect();
    let plain = (MSS, false, false);
    assert_eq!(flags[..3], [plain, plain, plain]);
    assert!(flags.last().unwrap().2);
}

/// A window that shrinks below a super-segment is filled by what fits, in full segments; and it never stalls.
#[test]
fn a_small_window_is_filled_by_small_super_segments() {
    let mut t = offloaded(6 * MSS as u32);
    let (mut sent, mut rounds) = (0, 0);
    t.write(&pattern(0..60_000));
    while sent < 60_000 {
        let (now, _) = sizes(&mut t);
        assert!(now.iter().sum::<usize>() <= 6 * MSS, "{now:?}");
        sent += now.iter().sum::<usize>();
        t.send(ack().wnd(((6 * MSS) >> 7) as u16));
        rounds += 1;
        assert!(rounds < 60, "{sent} bytes after {rounds} ACKs");
    }
}

/// After a loss only the lost segment is sent again, not the super-segment it was in.
#[test]
fn one_lost_segment_is_one_retransmission() {
    let mut t = offloaded(200_000);
    t.write(&pattern(0..10 * MSS));
    assert_eq!(sizes(&mut t).0.len(), 10);
    t.send(ack().ack(1 + 2 * MSS as i64).wnd(1000));
    for i in 0..3 {
        let (left, right) = (1 + 3 * MSS as u32, 1 + (4 + i) * MSS as u32);
        t.send(ack().ack(1 + 2 * MSS as i64).wnd(1000).sack(&[(left, right)]));
    }
    let again = t.drain();
    assert_eq!(again.iter().map(|p| (t.rel_seq(p), p.text.len())).collect::<Vec<_>>(), [(1 + 2 * MSS as i64, MSS)]);
}

/// The text of many segments in one frame: taken whole, acknowledged at once by one ACK.
#[test]
fn a_joined_segment_is_taken_whole_and_acknowledged_once() {
    for len in [2 * MSS, 10 * MSS, 44 * MSS] {
        let mut t = offloaded(200_000);
        let packet = t.packet(&ack().len(len));
        let gso = Some(Gso { kind: gso_kind(), size: MSS as u16 });
        let meta = RxMeta { checksum: RxChecksum::Valid, gso, interface: 0 };
        t.send_frame(RxFrame { meta, ..RxFrame::plain(packet[..].into()) });
        let answer = t.drain();
        assert_eq!(answer.iter().map(|p| (t.rel_ack(p), p.text.len())).collect::<Vec<_>>(), [(1 + len as i64, 0)]);
        t.expect_read(&pattern(0..len));
    }
    // One full segment and the beginning of another wait for the delayed ACK, as two packets would.
    let mut t = offloaded(200_000);
    let packet = t.packet(&ack().len(MSS + 1));
    let meta =
        RxMeta { checksum: RxChecksum::Valid, gso: Some(Gso { kind: gso_kind(), size: MSS as u16 }), interface: 0 };
    t.send_frame(RxFrame { meta, ..RxFrame::plain(packet[..].into()) });
    t.expect_nothing();
}
