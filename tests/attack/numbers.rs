//! Sequence numbers, windows and sizes at their edges.

use crate::support::*;
use tunstack::tcp::state::State;

/// attack-48: both ends open at once: the window in the peer's SYN,ACK is not scaled either (RFC 7323 2.2).
#[test]
fn the_window_of_a_crossing_syn_ack_is_not_scaled() {
    let mut t = Tester::new();
    t.connect();
    t.expect(syn());
    t.send(syn().mss(1460).ws(7).wnd(5000));
    t.expect(synack());
    t.send(synack().seq(0).mss(1460).ws(7).wnd(5000));
    t.expect_state(State::Established);
    let wnd = t.info().snd_wnd;
    assert!((4000..=5000).contains(&wnd), "a window of {wnd}");
}

/// attack-24: on the smallest link, data and ACKs with SACK blocks fit into a packet.
#[test]
fn options_fit_the_smallest_mtu() {
    for mtu in [68, 69, 72, 80, 88, 100] {
        let mut t = Tester::with(|c| c.mtu = mtu);
        t.establish_with(syn().mss(1460).sack_ok().ts(1, 0));
        for i in 0..4 {
            t.send(full(1).seq(10 + 4 * i));
        }
        t.write(&pattern(0..40));
        for _ in 0..40 {
            t.advance(ms(300));
            t.send(ack());
        }
        let sent: usize = t.drain().iter().map(|p| p.text.len()).sum();
        assert!(sent >= 40, "MTU {mtu}: {sent} bytes");
    }
}

/// attack-18: with a peer that acknowledges piece by piece the user time-out does not pass while data gets through.
#[test]
fn partial_acks_keep_the_user_timeout_away() {
    let mut t = Tester::with(|c| c.tcp.min_rto = secs(10));
    t.establish_with(syn().mss(1000));
    t.set(|o| o.user_timeout = Some(secs(2)));
    t.write(&pattern(0..8_000));
    t.drain();
    for _ in 0..3 {
        t.send(ack().ack(1));
    }
    // One hole a round trip: 4.2 s in all, and never 2 s without progress.
    for i in 1..8 {
        t.advance(ms(600));
        t.send(ack().ack(1 + 1000 * i));
    }
    t.advance(ms(600));
    t.expect_state(State::Established);
    assert_eq!(t.take_error(), None);
}

/// attack-50: a connection lives on beyond 2 GiB and beyond 4 GiB of data in one direction.
#[test]
fn more_than_the_sequence_space() {
    let mut p = Pair::with(|c| c.mtu = 65_535);
    let now = p.now;
    let options = p.stacks[0].default_tcp_options();
    let listener = p.stacks[1].tcp_listen((PEER, 80).into(), 1, options.clone()).unwrap();
    let client = p.stacks[0].tcp_connect(now, None, (PEER, 80).into(), options).unwrap();
    exchange(&mut p);
    let (server, _) = p.stacks[1].tcp_accept(now, listener).unwrap();
    let block = tunstack::buf::Slice::copy_of(&[7; 65_000]);
    let (mut sent, mut got) = (0u64, 0u64);
    while got < (1 << 32) + 1_000_000 {
        while let Ok(n) = p.stacks[0].tcp_push(p.now, client, block.clone()) {
            sent += n as u64;
        }
        exchange(&mut p);
        while let Ok(slices) = p.stacks[1].tcp_pop(p.now, server, usize::MAX) {
            got += slices.iter().map(|s| s.len() as u64).sum::<u64>();
        }
        assert!(sent - got <= 1 << 20);
        p.now += ms(1);
    }
}

/// Carries packets as slices, without a look at them.
fn exchange(p: &mut Pair) {
    loop {
        let mut silent = true;
        for i in [0, 1] {
            while let Some(frame) = p.stacks[i].poll_transmit(p.now) {
                silent = false;
                let bytes = tunstack::buf::Slice::copy_of(&frame.to_vec());
                let meta =
                    tunstack::wire::RxMeta { checksum: tunstack::wire::RxChecksum::Valid, gso: None, interface: 0 };
                p.stacks[1 - i].on_frame(p.now, tunstack::wire::RxFrame { data: bytes, meta });
            }
        }
        if silent {
            return;
        }
    }
}
