//! What each packet costs before anybody looks at its connection: parse, emit, checksum.
//!
//! `cargo bench --bench wire`

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use std::net::{IpAddr, Ipv4Addr};
use tunstack::wire::tcp::{Flags, TcpHeader};
use tunstack::wire::tcp_options::TcpOptions;
use tunstack::wire::{RxChecksum, checksum, ipv4, tcp};

fn main() {
    divan::main();
}

const SRC: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const DST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// The usual segment of a transfer: time stamps and nothing else.
fn header() -> TcpHeader {
    TcpHeader {
        src_port: 40_000,
        dst_port: 80,
        seq: 1,
        ack: 2,
        flags: Flags::ACK | Flags::PSH,
        wnd: 512,
        up: 0,
        options: TcpOptions { timestamps: Some((3, 4)), ..TcpOptions::default() },
    }
}

fn ip() -> ipv4::Ipv4Header {
    ipv4::Ipv4Header {
        src: SRC,
        dst: DST,
        protocol: 6,
        ttl: 64,
        tos: 0,
        id: 7,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
    }
}

fn packet(payload: usize) -> Vec<u8> {
    let mut buf = vec![0x5a; 20 + 60 + payload];
    let tcp_len = tcp::emit(&header(), &mut buf[20..]);
    ipv4::emit(&ip(), tcp_len + payload, &mut buf);
    buf.truncate(20 + tcp_len + payload);
    buf
}

#[divan::bench]
fn parse_ipv4_and_tcp(bencher: Bencher) {
    let packet = packet(1448);
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let (ip, payload) = ipv4::parse(black_box(&packet)).expect("a good packet");
        (ip, tcp::parse(&packet[payload]).expect("a good segment"))
    });
}

#[divan::bench]
fn emit_ipv4_and_tcp(bencher: Bencher) {
    let mut buf = [0; 120];
    let (ip, tcp) = (ip(), header());
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| {
        let len = tcp::emit(black_box(&tcp), &mut buf[20..]);
        ipv4::emit(black_box(&ip), len + 1448, &mut buf)
    });
}

#[divan::bench(args = [40, 1500, 65_535])]
fn checksum_of(bencher: Bencher, len: usize) {
    let bytes = vec![0x5a; len];
    bencher.counter(BytesCount::new(len)).bench_local(|| checksum::checksum(black_box(&bytes)));
}

#[divan::bench]
fn verify_a_full_segment(bencher: Bencher) {
    let packet = packet(1448);
    let (src, dst) = (IpAddr::V4(SRC), IpAddr::V4(DST));
    bencher
        .counter(BytesCount::new(packet.len() - 20))
        .bench_local(|| checksum::verify_tcp(src, dst, black_box(&packet[20..]), RxChecksum::Unverified));
}
