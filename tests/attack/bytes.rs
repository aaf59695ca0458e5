//! Every byte of every header with every value, and every prefix, checksums put right: one packet brings at most one
//! answer, not larger than it by more than an ICMP header may be, and each is counted once.

use crate::support::packet::{checksum, ipv4};
use crate::support::*;
use std::net::Ipv4Addr;
use tunstack::buf::Slice;
use tunstack::wire::RxFrame;

fn transport(protocol: u8, bytes: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(PEER, LOCAL, 64, 0, protocol, &[], bytes);
    fix(&mut packet);
    packet
}

/// Puts the checksums of whatever this has become right, as far as the headers reach.
pub fn fix(bytes: &mut [u8]) {
    let header = usize::from(bytes.first().map_or(0, |b| b & 15)) * 4;
    if header < 20 || bytes.len() < header {
        return;
    }
    bytes[10..12].fill(0);
    let sum = checksum(0, &bytes[..header]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    let total = usize::from(u16::from_be_bytes([bytes[2], bytes[3]])).clamp(header, bytes.len());
    let field = match bytes[9] {
        1 => header + 2,
        6 => header + 16,
        17 => header + 6,
        _ => return,
    };
    if total < field + 2 {
        return;
    }
    bytes[field..field + 2].fill(0);
    let seed = match bytes[9] {
        1 => 0,
        protocol => {
            let mut pseudo = bytes[12..20].to_vec();
            pseudo.extend([0, protocol]);
            pseudo.extend(((total - header) as u16).to_be_bytes());
            u32::from(!checksum(0, &pseudo))
        }
    };
    let sum = checksum(seed, &bytes[header..total]);
    bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// A stack with a connection, a listener, a UDP socket and one in each opening state.
fn target() -> Tester {
    let mut t = Tester::with(|c| c.icmp_errors_per_second = 1 << 20).without_timer_check();
    t.establish_with(syn().mss(1460).sack_ok().ts(1, 0));
    t.write(b"something in flight");
    t.stack.udp_bind((LOCAL, 7).into()).expect("a free port");
    t.drain();
    t
}

fn feed(t: &mut Tester, bytes: &[u8]) {
    let now = t.now();
    t.stack.on_frame(now, RxFrame::plain(Slice::copy_of(bytes)));
    let mut answers = 0;
    while let Some(frame) = t.stack.poll_transmit(now) {
        answers += 1;
        let answer = frame.to_vec();
        let dst = Ipv4Addr::new(answer[16], answer[17], answer[18], answer[19]);
        assert!(!dst.is_multicast() && !dst.is_broadcast() && !dst.is_loopback(), "an answer to {dst}");
        // To a TCP segment the answer may carry data.
        let tcp = answer[9] == 6;
        assert!(tcp || answer.len() <= bytes.len() + 28, "{} bytes for {}", answer.len(), bytes.len());
    }
    assert!(answers <= 2, "{answers} answers to {bytes:02x?}");
    let stats = t.stack.stats();
    assert_eq!(stats.frames_in, stats.delivered + stats.answered + stats.held + stats.dropped_total());
}

/// attack-42: see the module.
#[test]
fn every_byte_and_every_prefix() {
    let mut t = target();
    let segment = t.packet(&data(b"some text").seq(1).ts(500, 1).sack(&[(5, 9)]));
    let mut query = vec![8, 0, 0, 0, 1, 2, 3, 4];
    query.extend([7; 12]);
    let mut datagram = vec![0x10, 0, 0, 7, 0, 12, 0, 0];
    datagram.extend([7; 4]);
    let mut to_nobody = datagram.clone();
    to_nobody[3] = 99;
    let mut error = vec![3, 3, 0, 0, 0, 0, 0, 0];
    error.extend(&segment[..28]);
    error[8 + 12..8 + 16].copy_from_slice(&LOCAL.octets());
    error[8 + 16..8 + 20].copy_from_slice(&PEER.octets());
    error[8 + 20..8 + 24].copy_from_slice(&[0, 80, 0x9c, 0x40]);
    let packets =
        [segment, transport(1, &query), transport(17, &datagram), transport(17, &to_nobody), transport(1, &error)];
    for packet in packets {
        for at in 0..packet.len() {
            for value in 0..=255 {
                let mut bytes = packet.clone();
                bytes[at] = value;
                fix(&mut bytes);
                feed(&mut t, &bytes);
            }
            // Cut here, with lengths that say so, and with lengths that lie.
            let mut bytes = packet[..at].to_vec();
            feed(&mut t, &bytes);
            if at >= 4 {
                bytes[2..4].copy_from_slice(&(at as u16).to_be_bytes());
                fix(&mut bytes);
                feed(&mut t, &bytes);
            }
        }
        for length in [0, 1, 19, 20, 21, packet.len() - 1, packet.len() + 1, 65_535] {
            let mut bytes = packet.clone();
            bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            fix(&mut bytes);
            feed(&mut t, &bytes);
        }
        // The stack is as good as new.
        t = target();
    }
}
