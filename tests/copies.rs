//! What is large is never copied inside the stack: what leaves is the memory that was pushed, and what is read is the
//! memory of the frames that came. So the one copy of each direction is the application's own, outside the lock.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tunstack::buf::{Chunk, Pool, Slice};
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, Stack, TcpId, TcpOptions};
use tunstack::time::Instant;
use tunstack::wire::{RxFrame, TxFrame};

const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
const NOW: Instant = Instant::ZERO;

/// Two stacks on a link for packets of any size, and the two ends of a connection.
fn connection() -> ([Stack; 2], [TcpId; 2], Pool) {
    let mut stacks = ADDRESSES.map(|addr| {
        let config = Config { addresses: vec![Cidr::new(IpAddr::V4(addr), 24)], mtu: 65_535, ..Config::default() };
        Stack::new(config, Rng::seed_from(1), NOW).expect("a valid configuration")
    });
    let pool = Pool::new(64);
    let to = SocketAddr::from((ADDRESSES[1], 80));
    let options = TcpOptions { nodelay: true, ..stacks[0].default_tcp_options() };
    let listener = stacks[1].tcp_listen(to, 1, options.clone()).expect("a free port");
    let near = stacks[0].tcp_connect(NOW, None, to, options).expect("a free port");
    exchange(&mut stacks, &pool, &mut |_, _| {});
    let (far, _) = stacks[1].tcp_accept(NOW, listener).expect("a connection");
    (stacks, [near, far], pool)
}

/// Carries what there is; `seen` is shown every frame as it leaves, and as it arrives: in a chunk of the pool, as a device
/// delivers it.
fn exchange(stacks: &mut [Stack; 2], pool: &Pool, seen: &mut dyn FnMut(&TxFrame, &Slice)) {
    for _ in 0..100 {
        for i in [0, 1] {
            while let Some(frame) = stacks[i].poll_transmit(NOW) {
                let mut chunk = pool.take();
                let len = frame.write_to(chunk.space());
                chunk.set_len(len);
                let data = chunk.freeze();
                seen(&frame, &data);
                stacks[1 - i].on_frame(NOW, RxFrame::plain(data));
            }
        }
    }
}

/// Whether `part` lies in the memory of `whole`.
fn lies_in(part: &[u8], whole: &[u8]) -> bool {
    whole.as_ptr_range().start <= part.as_ptr() && part.as_ptr_range().end <= whole.as_ptr_range().end
}

#[test]
fn large_data_passes_both_stacks_where_it_lies() {
    let (mut stacks, [near, far], pool) = connection();
    for round in 0..20 {
        let mut chunk = pool.take();
        assert_eq!(chunk.append(&vec![round; 60_000]), 60_000);
        let data = chunk.freeze();
        assert_eq!(stacks[0].tcp_push(NOW, near, data.clone()), Ok(60_000));
        let (mut sent, mut frames) = (0, Vec::new());
        exchange(&mut stacks, &pool, &mut |frame, arrived| {
            sent += frame.payload.iter().filter(|part| lies_in(part, &data)).map(|part| part.len()).sum::<usize>();
            frames.push(arrived.clone());
        });
        assert_eq!(sent, 60_000, "what leaves is what was pushed");
        let read = stacks[1].tcp_pop(NOW, far, usize::MAX).expect("data");
        assert_eq!(read.iter().map(|part| part.len()).sum::<usize>(), 60_000);
        let in_frames: usize =
            read.iter().filter(|part| frames.iter().any(|frame| lies_in(part, frame))).map(|part| part.len()).sum();
        assert_eq!(in_frames, 60_000, "round {round}: what is read is what came");
        exchange(&mut stacks, &pool, &mut |_, _| {});
    }
    drop(stacks);
    assert_eq!(pool.taken(), 0, "every chunk has come back");
}

/// A little data must not keep a large chunk.
#[test]
fn small_data_is_copied() {
    let (mut stacks, [near, far], pool) = connection();
    let mut chunk = pool.take();
    chunk.append(b"little");
    stacks[0].tcp_push(NOW, near, chunk.freeze()).expect("room");
    exchange(&mut stacks, &pool, &mut |_, _| {});
    assert_eq!(pool.taken(), 0);
    assert_eq!(&*stacks[1].tcp_pop(NOW, far, 100).expect("data")[0], b"little");
    let piece = Chunk::copy_of(&[1; 300]).freeze();
    assert_eq!(piece.pinned(), 300, "a copy takes what it needs");
}
