//! Bugs that other stacks have had: what came in from below TCP: IP, ICMP, UDP.

use super::support::*;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use tunstack::buf::Slice;
use tunstack::error::Error;
use tunstack::stats::{Disposition, DropReason};
use tunstack::tcp::state::State;
use tunstack::wire::RxFrame;

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

/// connect() to a broadcast or multicast address was tried.
#[test]
fn a094_no_connect_to_everybody() {
    let mut t = Tester::new();
    for dst in [[255; 4], [192, 0, 2, 255], [224, 0, 0, 1], [0; 4]] {
        let remote = SocketAddr::new(IpAddr::V4(dst.into()), 80);
        let options = t.stack.default_tcp_options();
        let result = t.stack.tcp_connect(t.now(), None, remote, options);
        assert!(matches!(result, Err(Error::NetworkUnreachable | Error::InvalidInput(_))), "{remote}: {result:?}");
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
