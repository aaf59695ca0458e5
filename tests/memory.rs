//! What connections really cost, counted by the allocator. Alone in its program and one test, because it counts for the
//! whole process.
#![expect(unsafe_code, reason = "an allocator that counts has to be an allocator")]

#[expect(dead_code, unused_imports, reason = "a part of the language of the conformance tests is not spoken here")]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use tunstack::buf::Slice;
use tunstack::device::mem;
use tunstack::net::Host;
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, Stack, TcpId};
use tunstack::time::Instant;
use tunstack::wire::{RxChecksum, RxFrame, RxMeta};

struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; only sizes are counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: `ptr` came from `alloc`, so from the system's allocator, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocated() -> usize {
    ALLOCATED.load(Ordering::Relaxed)
}

const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn stack(addr: Ipv4Addr) -> Stack {
    let config =
        Config { addresses: vec![Cidr::new(IpAddr::V4(addr), 24)], resets_per_second: 1 << 20, ..Config::default() };
    Stack::new(config, Rng::seed_from(1), Instant::ZERO).expect("a valid configuration")
}

fn exchange(stacks: &mut [Stack; 2], now: Instant) {
    let mut silent = 0;
    for i in [0, 1].into_iter().cycle() {
        silent += 1;
        while let Some(frame) = stacks[i].poll_transmit(now) {
            let meta = RxMeta { checksum: RxChecksum::Valid, gso: None, interface: 0 };
            stacks[1 - i].on_frame(now, RxFrame { data: Slice::copy_of(&frame.to_vec()), meta });
            silent = 0;
        }
        if silent == 2 {
            return;
        }
    }
}

/// Idle connections: each of the two stacks holds one end.
fn idle_connections(stacks: &mut [Stack; 2], now: Instant, n: usize) -> Vec<[TcpId; 2]> {
    let to = SocketAddr::from((SERVER, 80));
    let options = stacks[0].default_tcp_options();
    let listener = stacks[1].tcp_listen(to, 128, options.clone()).expect("a free port");
    (0..n)
        .map(|_| {
            let client = stacks[0].tcp_connect(now, None, to, options.clone()).expect("a free port");
            exchange(stacks, now);
            let (server, _) = stacks[1].tcp_accept(now, listener).expect("a connection");
            stacks[0].tcp_send(now, client, b"hello").expect("room");
            exchange(stacks, now);
            stacks[1].tcp_recv(now, server, &mut [0; 9]).expect("hello");
            exchange(stacks, now);
            while stacks[0].poll_ready().is_some() || stacks[1].poll_ready().is_some() {}
            [client, server]
        })
        .collect()
}

#[test]
fn memory_by_the_allocators_count() {
    const N: usize = 10_000;
    let now = Instant::ZERO;
    let mut stacks = [stack(CLIENT), stack(SERVER)];
    let before = allocated();
    let ids = idle_connections(&mut stacks, now, N);
    let now = now + std::time::Duration::from_secs(1);
    stacks.iter_mut().for_each(|stack| stack.on_deadline(now)); // the delayed ACKs
    exchange(&mut stacks, now);
    let own = ids.capacity() * size_of::<[TcpId; 2]>();
    let each = (allocated() - before - own) / (2 * N);
    println!("{each} bytes for an idle connection, by {N} connections at two ends");
    assert!(each <= 600, "{each} bytes for an idle connection");
    assert_eq!(stacks.each_ref().map(Stack::memory), [0, 0], "an idle connection has no buffers");

    // What is charged is what is allocated, but for what holds it together.
    let before = allocated();
    for (i, [client, _]) in ids.iter().enumerate().take(500) {
        let sizes = [1, 100, 700, 1460, 9000];
        for k in 0..8 {
            let data = vec![7; sizes[(i + k) % sizes.len()]];
            stacks[0].tcp_send(now, *client, &data).expect("room");
            if k % 2 == 0 {
                exchange(&mut stacks, now);
            }
        }
        exchange(&mut stacks, now);
    }
    let (real, charged) = (allocated() - before, stacks[0].memory() + stacks[1].memory());
    println!("{charged} bytes charged, {real} allocated");
    assert!(charged > 1 << 20, "the test fills buffers");
    assert!(real <= charged + charged / 4 && charged <= real + real / 4, "{charged} charged, {real} allocated");

    for [client, server] in ids {
        stacks[0].tcp_abort(now, client).expect("an open handle");
        exchange(&mut stacks, now);
        stacks[1].tcp_close(now, server).expect("an open handle");
    }
    exchange(&mut stacks, now);
    assert_eq!(stacks.each_ref().map(Stack::memory), [0, 0]);
    assert_eq!(stacks.each_ref().map(|stack| stack.tcp_snapshot().len()), [0, 1], "only the listener is left");
    drop(stacks);
    single_bytes_with_holes();
    flood_at_the_gate();
    idle_streams();
}

/// 100,000 SYNs of as many sources, each sent twice, at a gate where nobody looks.
fn flood_at_the_gate() {
    let now = Instant::ZERO;
    let mut client = stack(CLIENT);
    let options = client.default_tcp_options();
    client.tcp_connect(now, None, SocketAddr::from((SERVER, 80)), options.clone()).expect("a free port");
    let syn = client.poll_transmit(now).expect("a SYN").to_vec();
    let mut server = stack(SERVER);
    let gate = server.syn_gate_open(options).expect("it is not open");
    let before = allocated();
    let mut most = 0;
    for n in 0..100_000u32 {
        let mut frame = syn.clone();
        frame[12..16].copy_from_slice(&(0x0a00_0000 + n).to_be_bytes());
        frame[10..12].fill(0);
        let sum = support::packet::checksum(0, &frame[..20]);
        frame[10..12].copy_from_slice(&sum.to_be_bytes());
        for _ in 0..2 {
            let meta = RxMeta { checksum: RxChecksum::Valid, gso: None, interface: 0 };
            server.on_frame(now, RxFrame { data: Slice::copy_of(&frame), meta });
        }
        if n % 100 == 0 {
            most = most.max(allocated() - before);
        }
    }
    let config = &server.config().gate;
    let (requests, charged) = server.syn_gate_load(gate).expect("it is open");
    println!("{most} bytes at most for 100,000 SYNs at the gate: {requests} requests, charged {charged}");
    assert_eq!(requests, config.max_requests);
    assert!(charged <= config.memory);
    // Beside the requests: the marks of SYNs that came once, and the announcement that there is something.
    assert!(most <= charged + (1 << 20) + 4096, "{most} bytes are allocated");
    server.syn_gate_close(gate).expect("it is open");
    while server.poll_transmit(now).is_some() {}
    while server.poll_ready().is_some() {}
    let left = allocated() - before;
    println!("{left} bytes when it is closed");
    // The room for 1,024 replies.
    assert!(left < 300_000, "{left} bytes are left");
}

/// The dearest that a peer can send: single bytes with a hole between each two, on connections whose users do not read.
fn single_bytes_with_holes() {
    use support::{Tester, full, syn};
    let mut t = Tester::new().without_timer_check();
    t.listen_with(80, 16, |_| {});
    let before = allocated();
    for i in 0..100 {
        t.new_flow(10_000 + i, 80);
        t.establish_with(syn().mss(1460).sack_ok());
        for k in 0..1000 {
            t.send(full(1).seq(3 + 2 * k));
        }
        t.drain();
    }
    let (real, charged) = (allocated() - before, t.stack.memory());
    println!("{charged} bytes charged, {real} allocated, for single bytes out of order");
    assert!(charged > 1 << 20 && real <= 2 * charged, "{charged} charged, {real} allocated");
}

/// The same with all that a program has for it: the handles, and the lists of those who wait.
fn idle_streams() {
    const N: usize = 1000;
    let (a, b) = mem::pair(1500, 64).expect("descriptors");
    let client = Host::builder().address("192.0.2.1/24").start(a).expect("a host");
    let server = Host::builder().address("192.0.2.2/24").start(b).expect("a host");
    let listener = server.listen("192.0.2.2:80").expect("a free port");
    let mut streams = Vec::with_capacity(2 * N);
    let open = |bytes: usize| {
        let near = client.connect("192.0.2.2:80").expect("a connection");
        let (far, _) = listener.accept().expect("a connection");
        for (mut from, mut to) in [(&near, &far), (&far, &near)] {
            from.write_all(&vec![7; bytes]).expect("room");
            to.read_exact(&mut vec![0; bytes]).expect("all of it");
        }
        [near, far]
    };
    drop(open(100_000)); // the chunks that both hosts keep
    let before = allocated();
    for _ in 0..N {
        streams.extend(open(1));
    }
    std::thread::sleep(std::time::Duration::from_millis(200)); // the delayed ACKs
    let each = (allocated() - before) / (2 * N);
    println!("{each} bytes for an idle stream, by {N} connections between two hosts");
    assert!(each <= 1024, "{each} bytes for an idle stream");
}
