//! RFC 9293 3.8.5 and RFC 6093: urgent data. It stays in line; the mark says where it ends.

use crate::support::*;
use tunstack::stack::{Readiness, SocketId};
use tunstack::tcp::state::State;

/// MUST-30 MUST-62: one urgent byte: the pointer names the octet after it, counted from the segment's first.
#[test]
fn sending_one_urgent_byte() {
    let mut t = Tester::new();
    t.establish();
    t.write_urgent(b"!");
    t.expect(data(b"!").seq(1).urg(1));
    t.send(ack());
    t.write(b"calm");
    t.expect(data(b"calm").seq(2)); // without URG: flags are compared
}

/// MUST-30 MUST-62: urgent data behind other data: every segment before the mark points at it.
#[test]
fn urgent_data_behind_other_data() {
    let mut t = Tester::new();
    t.establish();
    t.set(|o| o.nodelay = true);
    t.send(ack().wnd(3));
    t.write(b"abcdef");
    t.drain();
    t.write_urgent(b"gh");
    t.drain();
    t.send(ack().wnd(60_000));
    t.advance(secs(3));
    let sent = t.drain();
    assert!(!sent.is_empty());
    for p in sent.iter().filter(|p| p.has(URG)) {
        assert_eq!(t.rel_seq(p) + i64::from(p.up), 9, "{p}");
    }
    assert!(sent.iter().any(|p| p.has(URG)));
}

/// MUST-31: an urgent run longer than the pointer can reach: the mark ends up at its end.
#[test]
fn long_urgent_run() {
    let mut t = Tester::new();
    t.establish();
    t.write_urgent(&pattern(0..200_000));
    let mut sent = Vec::new();
    for _ in 0..60 {
        sent.extend(t.drain());
        t.send(ack());
    }
    let text: usize = sent.iter().map(|p| p.text.len()).sum();
    assert_eq!(text, 200_000);
    for p in &sent {
        let mark = t.rel_seq(p) + i64::from(p.up);
        let in_reach = t.rel_seq(p) + 65_535 >= 200_001;
        if in_reach {
            assert!(p.has(URG) && mark == 200_001, "{p}");
        } else if p.has(URG) {
            assert!(p.up == u16::MAX, "{p}: as far as it can point");
        }
    }
}

/// MUST-30 MUST-32 MUST-33: the application hears of urgent data ahead, reads in line, and sees the mark.
#[test]
fn receiving_urgent_data() {
    let mut t = Tester::new();
    let id = t.establish();
    assert_eq!(t.stack.tcp_at_mark(id), Ok(false));
    assert!(!t.readiness().contains(Readiness::PRIORITY));
    t.send(data(b"abc!def").urg(4));
    assert!(t.readiness().contains(Readiness::PRIORITY));
    for byte in b"abc!" {
        assert_eq!(t.stack.tcp_at_mark(id), Ok(false));
        assert_eq!(t.try_read(1), Ok(vec![*byte]));
    }
    assert_eq!(t.stack.tcp_at_mark(id), Ok(true), "the next byte is the first after the urgent data");
    assert!(!t.readiness().contains(Readiness::PRIORITY));
    assert_eq!(t.try_read(1), Ok(b"d".to_vec()));
    assert_eq!(t.stack.tcp_at_mark(id), Ok(false));
    t.expect_read(b"ef");
}

/// MUST-32: each advance of the pointer is reported, even before its data is there.
#[test]
fn each_advance_is_reported() {
    let mut t = Tester::new();
    let id = t.establish();
    t.send(data(b"ab").urg(10));
    assert!(reported(&mut t, SocketId::Tcp(id)));
    assert!(t.readiness().contains(Readiness::PRIORITY));
    t.send(data(b"cd").urg(8)); // the same mark
    t.expect_read(b"abcd");
    assert!(t.readiness().contains(Readiness::PRIORITY), "the mark is still ahead");
    reported(&mut t, SocketId::Tcp(id));
    t.send(ack().urg(20)); // an advance without text
    assert!(reported(&mut t, SocketId::Tcp(id)));
    t.send(full(20));
    assert_eq!(t.try_read(20).map(|b| b.len()), Ok(20));
    assert_eq!(t.stack.tcp_at_mark(id), Ok(true));
}

fn reported(t: &mut Tester, id: SocketId) -> bool {
    let mut seen = false;
    while let Some(ready) = t.stack.poll_ready() {
        seen |= ready == id;
    }
    seen
}

/// MUST-31: 200 kB of urgent data arrive over many segments.
#[test]
fn receiving_a_long_urgent_run() {
    let mut t = Tester::new();
    let id = t.establish();
    let mut read = 0;
    while read < 200_000 {
        t.send(full(1000).urg((200_000 - read).min(65_535) as u16));
        assert!(t.readiness().contains(Readiness::PRIORITY));
        assert_eq!(t.stack.tcp_at_mark(id), Ok(false));
        while let Ok(part) = t.try_read(4096) {
            read += part.len();
        }
        t.drain();
    }
    assert_eq!(t.stack.tcp_at_mark(id), Ok(true));
    assert!(!t.readiness().contains(Readiness::PRIORITY));
}

/// attack-44: a pointer anywhere, with or without text, harms nothing; the text is delivered in line.
#[test]
fn any_urgent_pointer() {
    for up in [0, 1, 2, 9, 10, 11, 100, 1460, 32_767, 32_768, 65_535] {
        for len in 0..=10 {
            let mut t = Tester::new();
            t.establish();
            t.send(data(&pattern(0..len)).urg(up));
            t.advance(ms(40));
            t.expect_read(&pattern(0..len));
            t.expect_state(State::Established);
            t.send(data(b"next"));
            t.expect_read(b"next");
        }
    }
}

/// attack-44: an old pointer does not move the mark back.
#[test]
fn the_mark_never_moves_back() {
    let mut t = Tester::new();
    let id = t.establish();
    t.send(data(b"abcdef").urg(6));
    t.send(data(b"gh").seq(7).urg(0));
    t.send(data(b"abcdef").seq(1).urg(1)); // an old duplicate
    assert_eq!(t.try_read(5), Ok(b"abcde".to_vec()));
    assert_eq!(t.stack.tcp_at_mark(id), Ok(false));
    assert_eq!(t.try_read(1), Ok(b"f".to_vec()));
    assert_eq!(t.stack.tcp_at_mark(id), Ok(true));
}
