//! RFC 9293 3.7: maximum segment size, Nagle's algorithm, PUSH.

use crate::support::*;
use std::net::SocketAddrV4;
use tunstack::stack::TcpOptions;

/// MUST-14 MUST-67 SHLD-5 MAY-3 8200-17: every SYN carries an MSS of the MTU less 40 bytes, or 60, in both roles.
#[test]
fn mss_is_announced() {
    for mtu in [576, 1280, 1500, 9000, 65_535].into_iter().filter(|mtu| *mtu >= smallest_mtu()) {
        let mss = (mtu - headers()) as u16;
        let mut t = Tester::with(|c| c.mtu = mtu);
        t.listen(80);
        t.send(syn().mss(1460));
        t.expect(synack().mss(mss));
        t.connect();
        t.expect(syn().mss(mss));
        t.send(syn().mss(1460)); // simultaneous open
        t.expect(synack().mss(mss));
    }
}

/// MUST-14 MUST-16: no segment is larger than the peer's MSS or the MTU allows; options count against it.
#[test]
fn effective_send_mss() {
    for (mtu, mss, timestamps, largest) in [
        (1500, 1460, false, 1460),
        (1500, 1460, true, 1448),
        (1500, 1000, false, 1000),
        (1500, 1000, true, 988),
        (1500, 9000, false, 1460),
        (1500, 9000, true, 1448),
        (1280, 1460, true, 1228),
        (600, 65_535, false, 560),
        (9000, 8960, true, 8948),
    ] {
        if link_mtu(mtu) < smallest_mtu() {
            continue;
        }
        let mut t = Tester::with(|c| c.mtu = link_mtu(mtu));
        let first = syn().mss(mss);
        t.establish_with(if timestamps { first.ts(9, 0) } else { first });
        t.write(&pattern(0..60_000));
        let mut sizes = Vec::new();
        for _ in 0..60 {
            sizes.extend(t.drain().iter().map(|p| p.text.len()));
            t.send(ack());
        }
        assert_eq!(sizes.iter().max(), Some(&largest), "MTU {mtu}, MSS {mss}, time stamps {timestamps}");
        assert_eq!(sizes.iter().sum::<usize>(), 60_000);
    }
}

/// The link's MTU changes while a connection lives: from the next segment on it is kept to, by what is sent again too; and
/// never beyond what the peer takes.
#[test]
fn the_mtu_may_change_under_way() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(4000));
    t.write(&pattern(0..30_000));
    let sizes = |t: &mut Tester| t.drain().iter().map(|p| p.text.len()).collect::<Vec<_>>();
    assert!(sizes(&mut t).iter().all(|size| *size == 1460));

    let mtu = smallest_mtu().max(600);
    let small = mtu - headers();
    t.stack.set_mtu(mtu).unwrap();
    assert_eq!(t.stack.mtu(), mtu);
    t.wait(secs(1)); // the retransmission timer
    assert_eq!(sizes(&mut t), [small], "what was sent in a larger segment fits, too");
    t.send(ack());
    assert!(sizes(&mut t).iter().all(|size| *size == small));
    assert_eq!(t.info().mss, small);

    t.stack.set_mtu(9000).unwrap();
    t.send(ack());
    let sizes = sizes(&mut t);
    assert!(!sizes.is_empty() && sizes.iter().all(|size| *size == 4000), "{sizes:?}");
    for wrong in [0, 67, 65_536] {
        assert!(t.stack.set_mtu(wrong).is_err());
    }
    assert_eq!(t.stack.mtu(), 9000);
    // A new connection says what the link carries now.
    t.connect();
    t.expect(syn().mss((9000 - headers()) as u16));
}

/// MUST-15: without an MSS option the peer takes 536 bytes, over IPv6 1220.
#[test]
fn mss_of_a_peer_that_names_none() {
    let mut t = Tester::new();
    t.establish_with(syn());
    t.write(&pattern(0..3000));
    assert_eq!(t.drain().iter().map(|p| p.text.len()).max(), Some(default_mss()));

    let mut t = Tester::new();
    t.establish_active(synack());
    t.write(&pattern(0..3000));
    assert_eq!(t.drain().iter().map(|p| p.text.len()).max(), Some(default_mss()));
}

/// MUST-16: SACK blocks on a data segment also count: no packet exceeds the MTU.
#[test]
fn sack_blocks_leave_room() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1460).sack_ok().ts(5, 0));
    for i in 1..=4 {
        t.send(full(10).seq(100 * i));
    }
    t.drain();
    t.set(|o| o.nodelay = true);
    t.write(&pattern(0..10_000)); // the MTU is checked on every packet
    let sent = t.drain();
    assert!(sent.len() >= 7);
    let total: usize = sent.iter().map(|p| p.text.len()).sum();
    assert_eq!(total, 10_000);
}

/// SHLD-28: bulk data goes in full segments.
#[test]
fn bulk_data_is_sent_in_full_segments() {
    let mut t = Tester::new();
    t.establish();
    let mut sizes = Vec::new();
    let mut written = 0;
    while written < 500_000 {
        t.write(&pattern(written..written + 5000));
        written += 5000;
        sizes.extend(t.drain().iter().map(|p| p.text.len()));
        t.send(ack());
    }
    let full = sizes.iter().filter(|n| **n == 1460).count();
    assert!(full * 100 >= sizes.len() * 65, "{full} of {} are full", sizes.len());
    // Written in one go, all but the last are.
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..200_001));
    let mut sizes = Vec::new();
    for _ in 0..40 {
        sizes.extend(t.drain().iter().map(|p| p.text.len()));
        t.send(ack());
    }
    assert_eq!(sizes.iter().filter(|n| **n != 1460).count(), 1, "{sizes:?}");
}

/// SHLD-7: Nagle: with data in flight small writes wait until it is acknowledged or a full segment is there.
#[test]
fn nagle() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"a");
    t.expect(data(b"a").seq(1)); // nothing in flight: at once
    t.write(b"b");
    t.write(b"c");
    t.expect_nothing_for(ms(100));
    t.send(ack());
    t.expect(data(b"bc").seq(2));
    t.write(&pattern(0..1459));
    t.expect_nothing();
    t.write(b"x");
    t.expect(full(1460).seq(4)); // a full segment need not wait
    t.expect_nothing();
}

/// MUST-17: with nodelay each write goes at once.
#[test]
fn nodelay() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"a");
    t.expect(data(b"a"));
    t.write(b"b");
    t.expect_nothing();
    t.set(|o| o.nodelay = true); // also what is waiting already
    t.expect(data(b"b").seq(2));
    for text in [b"c", b"d", b"e"] {
        t.write(text);
        t.expect(data(text));
    }
    let mut t = Tester::new();
    t.listen_with(80, 1, |o| o.nodelay = true); // inherited
    t.establish();
    t.write(b"1");
    t.write(b"2");
    t.expect(data(b"1"));
    t.expect(data(b"2"));
}

/// SHLD-7: Nagle does not hold back the FIN, nor the data it carries.
#[test]
fn nagle_does_not_delay_the_fin() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"a");
    t.expect(data(b"a"));
    t.write(b"b");
    t.shutdown_write();
    t.expect(fin().text(b"b").seq(2));
}

/// MUST-60: whatever is written leaves without a further call, in bounded time.
#[test]
fn nothing_is_buffered_for_ever() {
    let mut t = Tester::new();
    t.establish();
    for n in [1, 536, 1459, 1460, 1461, 2919] {
        t.write(&pattern(0..n));
        let mut left = n;
        for _ in 0..5 {
            left -= t.drain().iter().map(|p| p.text.len()).sum::<usize>();
            t.send(ack());
        }
        assert_eq!(left, 0, "{n} bytes written");
    }
}

/// MUST-61: the last segment of what is buffered has PSH, and the ones before it need not.
#[test]
fn push_on_the_last_segment() {
    let mut t = Tester::new();
    t.establish();
    for n in [1, 1460, 4000] {
        t.write(&pattern(0..n));
        t.send(ack());
        let sent = t.drain();
        assert!(sent.last().expect("data").has(PSH), "{n} bytes written");
        t.send(ack());
    }
    t.set(|o| o.nodelay = true);
    t.write(&pattern(0..8000));
    let sent = t.drain();
    assert!(sent.last().expect("data").has(PSH));
    assert!(sent[..sent.len() - 1].iter().all(|p| !p.has(PSH)), "one write, one PSH");
}

/// SHLD-27: the PSH of many small writes collapse into one segment with one PSH.
#[test]
fn pushes_collapse() {
    let mut t = Tester::new();
    t.establish();
    t.write(b"0");
    t.expect(data(b"0").psh());
    for text in [b"1", b"2", b"3", b"4", b"5"] {
        t.write(text);
    }
    t.expect_nothing();
    t.send(ack());
    t.expect(data(b"12345").psh());
    t.expect_nothing();
}

/// attack-23: an MSS at the floor and a large window do not make the segments, or their bookkeeping, explode.
#[test]
fn smallest_mss_with_a_large_window() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(48).ws(14));
    t.write(&pattern(0..200_000));
    assert!(t.info().memory <= 512 * 1024);
    let sent = t.serve();
    assert!(sent.iter().all(|p| p.text.len() <= 48));
    assert_eq!(sent.iter().map(|p| p.text.len()).sum::<usize>(), 200_000);
}

/// Connections with much to send have their turns, a few segments each: what comes in a row wakes its receiver once.
#[test]
fn connections_send_a_few_segments_each_in_turn() {
    let mut pair = Pair::new();
    let to = wire_addr(SocketAddrV4::new(PEER, 80));
    pair.stacks[1].tcp_listen(to, 8, TcpOptions::default()).unwrap();
    let now = pair.now;
    let ids: Vec<_> =
        (0..3).map(|_| pair.stacks[0].tcp_connect(now, None, to, TcpOptions::default()).unwrap()).collect();
    pair.exchange();
    for id in ids {
        assert_eq!(pair.stacks[0].tcp_send(now, id, &pattern(0..40_000)), Ok(40_000));
    }
    let mut turns: Vec<(u16, usize)> = Vec::new();
    while let Some(frame) = pair.stacks[0].poll_transmit(now) {
        let port = Packet::parse(now, &frame.to_vec(), link_mtu(1500)).unwrap().src.port();
        match turns.last_mut() {
            Some((last, segments)) if *last == port => *segments += 1,
            _ => turns.push((port, 1)),
        }
    }
    let ports = &turns[..3].iter().map(|turn| turn.0).collect::<Vec<_>>();
    assert!(turns.iter().zip(ports.iter().cycle()).all(|(turn, port)| turn.0 == *port), "{turns:?}");
    assert_eq!(turns.iter().map(|turn| turn.1).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 4, 2, 2, 2]);
}
