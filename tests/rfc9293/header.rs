//! RFC 9293 3.1 and 3.2: header format and options.

use crate::support::*;
use tunstack::stats::{Disposition, DropReason};
use tunstack::tcp::state::State;

/// MUST-1: a window of 65,535 is that many bytes, not a negative number.
#[test]
fn window_is_unsigned() {
    let mut t = Tester::new();
    t.establish();
    t.write(&pattern(0..100_000));
    t.serve(); // the congestion window grows
    t.write(&pattern(100_000..300_000));
    let info = t.info();
    assert_eq!(info.snd_wnd, 65_535);
    assert!(info.in_flight > 65_535 - 1460 && info.in_flight <= 65_535, "{} in flight", info.in_flight);
}

/// MUST-1 REC-1: the largest scaled window, just under 1 GiB, is held whole, for every shift.
#[test]
fn scaled_window_fits_in_32_bits() {
    for shift in 0..=14 {
        let mut t = Tester::new();
        t.establish_with(syn().mss(1460).ws(shift));
        t.write(&pattern(0..5_000));
        t.drain();
        t.send(ack().wnd(u16::MAX));
        assert_eq!(t.info().snd_wnd, 65_535 << shift);
        t.serve();
        t.write(b"more");
        t.expect(data(b"more").seq(5_001));
    }
}

/// MUST-2: texts of every small length, odd ones too, leave with a right checksum.
#[test]
fn every_segment_has_a_checksum() {
    let mut t = Tester::new();
    t.establish();
    t.set(|o| o.nodelay = true);
    let mut seq = 1;
    for len in 1..=65 {
        t.write(&pattern(0..len));
        t.expect(data(&pattern(0..len)).seq(seq)); // verified as it was taken
        t.send(ack());
        seq += len as i64;
    }
}

/// MUST-2: the control: the tests' own verifier does find a wrong checksum.
#[test]
fn a_wrong_checksum_would_be_seen() {
    let mut t = Tester::new();
    let good = t.packet(&data(b"x"));
    let now = t.now();
    let parse = |bytes: &[u8]| {
        // The peer's packets have DF and a TTL as ours do.
        Packet::parse(now, bytes, 1500).map(|p| p.text)
    };
    assert_eq!(parse(&good), Ok(b"x".to_vec()));
    for at in 20..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(parse(&bad).is_err(), "byte {at}");
    }
}

/// MUST-3: with any one bit flipped a segment is dropped without an answer.
#[test]
fn flipped_bits_are_dropped_in_silence() {
    let mut t = Tester::new();
    t.establish();
    let good = t.packet(&data(b"payload").seq(1).ack(1));
    for bit in 20 * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 0x80 >> (bit % 8);
        let became = t.send_raw(&bad);
        assert!(matches!(became, Disposition::Dropped(_)), "bit {bit}: {became:?}");
        t.expect_nothing();
    }
    assert_eq!(t.stack.stats().dropped_total(), (good.len() as u64 - 20) * 8);
    t.expect_state(State::Established);
    t.expect_read(b"");
    t.send_raw(&good);
    t.expect_read(b"payload");
}

/// MUST-3: so is a wrong checksum alone, in every state, even on a SYN to a listener or a closed port.
#[test]
fn wrong_checksums_draw_no_answer() {
    for state in [State::Closed, State::Listen, State::SynSent, State::SynReceived, State::Established, State::TimeWait]
    {
        let mut t = Tester::new();
        t.reach(state);
        for s in [syn(), ack(), rst().seq(1), rst_ack().seq(0).ack(1), fin()] {
            t.send(s.bad_checksum());
            t.expect_nothing();
            t.expect_state(if state == State::Listen { State::Closed } else { state });
        }
        assert_eq!(t.dropped(DropReason::TcpChecksum), 5);
    }
}

/// MUST-4 MUST-15: EOL, NOP and MSS in any arrangement.
#[test]
fn mss_is_found_among_nops() {
    let arrangements: [&[u8]; 7] = [
        &[2, 4, 2, 0],
        &[1, 2, 4, 2, 0],
        &[1, 1, 1, 2, 4, 2, 0],
        &[2, 4, 2, 0, 0],
        &[2, 4, 2, 0, 1, 1, 0, 0],
        &[2, 4, 2, 0, 1, 1, 1, 1, 1, 1, 1, 1],
        &[4, 2, 2, 4, 2, 0, 1],
    ];
    for options in arrangements {
        assert_eq!(largest_segment(syn().raw_options(options)), 512, "{options:?}");
    }
    // After EOL nothing counts.
    assert_eq!(largest_segment(syn().raw_options(&[1, 0, 2, 4, 2, 0])), default_mss());
}

/// The largest text that the stack sends to a peer with this SYN.
fn largest_segment(first: Seg) -> usize {
    let mut t = Tester::new();
    t.establish_with(first);
    t.write(&pattern(0..5000));
    t.drain().iter().map(|p| p.text.len()).max().expect("data was sent")
}

/// MUST-5: options may come in any segment.
#[test]
fn options_in_any_segment() {
    let odd = [1, 200, 4, 9, 9, 1, 1, 0];
    let mut t = Tester::new();
    t.listen(80);
    t.send(syn().raw_options(&[2, 4, 5, 180, 200, 3, 7]));
    t.expect(synack().ack(1));
    t.send(ack().raw_options(&odd));
    t.accept();
    t.send(data(b"text").raw_options(&odd));
    t.expect_read(b"text");
    t.write(b"back");
    t.expect_within(ms(40), data(b"back").ack(5));
    t.send(ack().raw_options(&odd));
    assert_eq!(t.info().in_flight, 0);
    t.send(fin().raw_options(&odd));
    t.expect_within(ms(40), ack().ack(6));
    t.expect_state(State::CloseWait);
    t.send(rst().raw_options(&odd));
    t.expect_state(State::Closed);
}

/// MUST-6: an unknown option with a length is skipped.
#[test]
fn unknown_options_are_skipped() {
    assert_eq!(largest_segment(syn().raw_options(&[200, 4, 1, 2, 2, 4, 2, 0])), 512);
    assert_eq!(largest_segment(syn().raw_options(&[253, 2, 254, 6, 0, 0, 0, 0, 2, 4, 2, 0])), 512);
}

/// MUST-7: an impossible length ends the options; the segment itself is good.
#[test]
fn impossible_option_lengths() {
    let cases: [&[u8]; 7] =
        [&[200, 0], &[200, 1], &[200, 40], &[2, 40, 2, 0], &[1, 1, 1, 200], &[2, 3, 2, 0], &[8, 10, 0, 0]];
    for case in cases {
        let mut t = Tester::new();
        t.listen(80);
        t.send(syn().raw_options(case));
        t.expect(synack().ack(1));
    }
    // What stood before it counts.
    assert_eq!(largest_segment(syn().raw_options(&[2, 4, 2, 0, 200, 0, 2, 4])), 512);
    // And on data of an open connection.
    for case in cases {
        let mut t = Tester::new();
        t.establish();
        t.send(data(b"kept").raw_options(case));
        t.expect_read(b"kept");
    }
}

/// MUST-7 MUST-68: no arrangement of option bytes upsets the stack, and what it answers is well-formed.
#[test]
fn any_option_bytes() {
    for kind in 0..=255u8 {
        for len in 0..=12u8 {
            let mut t = Tester::new();
            t.listen(80);
            t.send(syn().raw_options(&[kind, len, 1, 2, 3, 4, 5, 6]));
            t.expect(synack().ack(1)); // parsed strictly as it was taken
        }
    }
}

/// MUST-64: options need not be aligned.
#[test]
fn unaligned_options() {
    let mut t = Tester::new();
    // MSS, one NOP, time stamps on an odd offset, window scale.
    let options = [1, 2, 4, 2, 0, 8, 10, 0, 0, 0, 7, 0, 0, 0, 0, 3, 3, 4];
    t.listen(80);
    t.send(syn().ws(4).raw_options(&options)); // the bytes are what counts; `ws` tells the test of it
    t.expect(synack().ack(1).ecr(7).has_ws());
    let tsval = t.last_tsval();
    t.send(ack().ts(8, tsval));
    t.accept();
    t.write(&pattern(0..3000));
    let sent = t.drain();
    assert_eq!(sent[0].text.len(), 512 - 12, "the MSS less the time stamps");
    assert_eq!(t.info().window_scale.map(|(snd, _)| snd), Some(4));
}

/// MUST-65 2018-1: MSS and SACK-permitted stand in SYN segments alone, in either role and whatever else is sent.
#[test]
fn syn_options_only_in_syn() {
    let mut t = Tester::new();
    t.establish_active(synack().mss(1460).ws(2).sack_ok().ts(1, 0));
    t.write(&pattern(0..10_000));
    t.send(full(100).seq(201)); // out of order
    t.shutdown_write();
    t.advance(secs(10));
    let sent = t.drain();
    assert!(sent.len() > 10);
    for p in sent {
        assert_eq!((p.mss, p.ws, p.sack_ok), (None, None, None), "{p}");
    }
}

/// MUST-65 7323-2: MSS and window scale on a segment without SYN are ignored.
#[test]
fn syn_options_elsewhere_are_ignored() {
    let mut t = Tester::new();
    t.establish_with(syn().mss(1000).ws(3));
    t.send(data(b"x").raw_options(&[2, 4, 1, 0, 1, 3, 3, 9]));
    t.write(&pattern(0..3000));
    let sent = t.drain();
    assert_eq!(sent.iter().map(|p| p.text.len()).max(), Some(1000));
    t.send(ack().wnd(1000));
    assert_eq!(t.info().snd_wnd, 8000);
}

/// MUST-68 MUST-69: the options we send are well-formed and padded with zeros, for every set the peers negotiate.
#[test]
fn our_options_are_well_formed() {
    for set in 0..8 {
        let mut first = syn().mss(1460);
        if set & 1 != 0 {
            first = first.ws(7);
        }
        if set & 2 != 0 {
            first = first.sack_ok();
        }
        if set & 4 != 0 {
            first = first.ts(1, 0);
        }
        let mut t = Tester::new();
        t.establish_with(first);
        // Out-of-order data in one to five pieces calls for every number of SACK blocks.
        for i in 1..=5 {
            t.send(full(10).seq(1 + 20 * i));
            let p = t.next().expect("a duplicate ACK");
            let blocks = p.sack.map_or(0, |s| s.len());
            let room = if set & 4 != 0 { 3 } else { 4 };
            assert_eq!(blocks, if set & 2 != 0 { room.min(i as usize) } else { 0 });
        }
    }
}

/// attack-24: an MSS of 0 means the default, and one under the floor is raised to it.
#[test]
fn tiny_mss() {
    assert_eq!(largest_segment(syn().mss(0)), default_mss());
    for mss in [1, 8, 47, 48] {
        assert_eq!(largest_segment(syn().mss(mss)), 48, "MSS {mss}");
    }
    let mut t = Tester::new();
    t.establish_with(syn().mss(1));
    t.write(&pattern(0..10_000));
    let sent = t.serve().len();
    assert_eq!(t.info().send_queue, 0);
    assert!(sent <= 10_000usize.div_ceil(48) + 1, "{sent} segments");
}
