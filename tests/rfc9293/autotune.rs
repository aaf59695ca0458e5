//! Buffers that fit the path: the receive buffer follows what the application reads in a round trip, the send buffer the
//! congestion window; and what was offered stays offered (RFC 9293 SHLD-14).

use crate::support::*;
use core::time::Duration;
use tunstack::stack::Config;

const KIB: usize = 1024;
const ROUND_TRIP: Duration = Duration::from_millis(20);

/// A peer that fills whatever window it is offered, once a round trip, `rounds` times; an application that reads it all
/// at once, if it reads. Gives the receive buffer's size after each round.
fn rounds(t: &mut Tester, rounds: usize, reads: bool) -> Vec<usize> {
    (0..rounds)
        .map(|_| {
            let echo = t.last_tsval();
            t.advance(ROUND_TRIP);
            for _ in 0..2000 {
                if t.info().rcv_wnd < 1000 {
                    break;
                }
                let segment = full(1000);
                // The peer's text answers an ACK that is a round trip old.
                let stamp = t.peer_tsval();
                t.send(if t.info().timestamps { segment.ts(stamp, echo) } else { segment });
                t.drain();
            }
            if reads {
                t.read_all();
            }
            t.drain();
            t.info().recv_buffer
        })
        .collect()
}

/// The window that an ACK offers when all has been read.
fn whole_window(t: &mut Tester) -> usize {
    t.send_batch([full(1000), full(1000)]);
    t.read_all();
    t.drain();
    t.info().rcv_wnd as usize
}

fn with_max(recv_buffer_max: usize) -> Tester {
    Tester::with(|c: &mut Config| c.tcp.recv_buffer_max = recv_buffer_max)
}

/// P10: who reads a whole window in every round trip gets a larger one, up to the bound, with time stamps and without.
#[test]
fn the_receive_buffer_grows_with_the_reader() {
    for timestamps in [false, true] {
        let mut t = with_max(1000 * KIB);
        let first = syn().mss(1460).ws(7);
        let first = if timestamps { first.ts(t.peer_tsval(), 0) } else { first };
        t.establish_with(first);
        assert_eq!(t.info().recv_buffer, 256 * KIB);
        let sizes = rounds(&mut t, 8, true);
        assert!(sizes.is_sorted() && sizes[1] > 256 * KIB, "{sizes:?}");
        assert_eq!(sizes[7], 1000 * KIB, "{sizes:?}");
        assert!(whole_window(&mut t) > 990 * KIB, "and all of it is offered");
    }
}

/// P10: a buffer that nobody reads from does not grow, nor one that the path does not fill, nor one whose size is set.
#[test]
fn the_receive_buffer_grows_for_nobody_else() {
    let mut t = with_max(1000 * KIB);
    t.establish_with(syn().mss(1460).ws(7));
    assert_eq!(rounds(&mut t, 3, false), [256 * KIB; 3]);
    assert_eq!(t.info().rcv_wnd / 1000, 0, "the window is full");

    let mut t = with_max(1000 * KIB);
    t.establish_with(syn().mss(1460).ws(7));
    for _ in 0..20 {
        t.advance(ROUND_TRIP);
        (0..120).for_each(|_| drop((t.send(full(1000)), t.drain())));
        t.read_all();
        t.drain();
    }
    assert_eq!(t.info().recv_buffer, 256 * KIB, "less than half of it is enough for this path");

    let mut t = with_max(1000 * KIB);
    t.establish_with(syn().mss(1460).ws(7));
    t.set(|o| o.recv_buffer = Some(100 * KIB));
    assert_eq!(rounds(&mut t, 4, true), [100 * KIB; 4]);
    t.set(|o| o.recv_buffer = None);
    assert!(rounds(&mut t, 4, true)[3] > 100 * KIB, "and it may be left to tuning again");
}

/// P10 SHLD-14: the scale is chosen for what the buffer may become, or the larger window could not be told.
#[test]
fn the_window_scale_is_for_the_largest_buffer() {
    for (most, shift) in [(1000 * KIB, 4), (6144 * KIB, 7), (0, 3)] {
        let mut t = with_max(most);
        t.listen(80);
        t.send(syn().mss(1460).ws(7));
        t.expect(seg(SYN | ACK).ack(1).ws(shift).wnd(65_535));
    }
}

/// P12 SHLD-14: after a pause the buffer is small again, and still takes all that was offered when it was large.
#[test]
fn an_idle_connection_gives_its_large_buffer_back() {
    let mut t = with_max(1000 * KIB);
    t.establish_with(syn().mss(1460).ws(7));
    rounds(&mut t, 8, true);
    let offered = whole_window(&mut t);
    assert!(offered > 900 * KIB);
    assert_eq!(t.stack.memory(), 0, "an idle connection holds no buffer");
    t.advance(secs(60));
    t.send(full(1000));
    t.read_all();
    t.drain();
    assert_eq!(t.info().recv_buffer, 256 * KIB);
    assert_eq!(t.info().rcv_wnd as usize, offered - 1000, "the right edge does not move left");
    let mut sent = 1000;
    while t.info().rcv_wnd >= 1000 && sent < 2 * offered {
        t.send(full(1000));
        t.drain();
        sent += 1000;
    }
    assert!(sent + 1000 > offered && sent <= offered, "{sent} of {offered} bytes were taken, and no more are offered");
    assert_eq!(t.read_all().len(), sent - 1000);
}

/// P11: the send buffer takes twice what may fly, from its initial size up to the bound; with a peer whose window is
/// small there is no use in more.
#[test]
fn the_send_buffer_follows_the_congestion_window() {
    let most = 600 * KIB;
    let sizes = |wnd: u16, fixed: Option<usize>| {
        let mut t = Tester::with(|c: &mut Config| c.tcp.send_buffer_max = most);
        t.establish_with(syn().mss(1460).ws(5).wnd(wnd));
        t.set(|o| o.send_buffer = fixed);
        let mut sizes = Vec::new();
        for _ in 0..400 {
            let limit = t.info().send_buffer;
            let _ = t.try_write(&vec![1; limit]);
            assert!(t.info().send_queue <= limit, "{} bytes queued of {limit}", t.info().send_queue);
            sizes.push(limit);
            let sent = t.drain();
            for p in sent {
                t.send(ack().ack(t.rel_seq(&p) + p.text.len() as i64).wnd(wnd));
            }
        }
        (sizes[0], *sizes.last().unwrap(), sizes.is_sorted())
    };
    assert_eq!(sizes(60_000, None), (256 * KIB, most, true));
    assert_eq!(sizes(6000, None), (256 * KIB, 2 * 32 * 6000, true));
    assert_eq!(sizes(2000, None), (256 * KIB, 256 * KIB, true));
    assert_eq!(sizes(60_000, Some(50 * KIB)), (50 * KIB, 50 * KIB, true));
}
