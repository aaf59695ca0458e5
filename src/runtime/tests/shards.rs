//! Several shards of one host, by hand: which of them gets what.

use crate::buf::Slice;
use crate::device::{Device, mem};
use crate::rng::Rng;
use crate::runtime::mailbox::CAPACITY;
use crate::runtime::names::Book;
use crate::runtime::shard::{Drive, Shard};
use crate::runtime::spin::Spin;
use crate::stack::{Cidr, Config, Share, Stack, TcpId};
use crate::stats::{Disposition, DropReason};
use crate::tcp::state::State;
use crate::time::Instant;
use crate::wire::{RxFrame, TxFrame};
use smallvec::smallvec;
use std::net::SocketAddr;
use std::sync::Arc;

const NOW: Instant = Instant::from_millis(1);
const HOST: [u8; 4] = [192, 0, 2, 2];
const PEER: [u8; 4] = [192, 0, 2, 1];
const MISPLACED: Disposition = Disposition::Dropped(DropReason::Misdirected);

fn config(address: [u8; 4]) -> Config {
    Config { addresses: vec![Cidr::new(address.into(), 24)], ..Config::default() }
}

fn peer() -> Stack {
    Stack::new(config(PEER), Rng::seed_from(9), NOW).unwrap()
}

/// The stacks of one host, each listening on port 80.
fn host(shards: u16) -> Vec<Stack> {
    let book = Book::new();
    let shard = |shard| {
        let share = Share { shard, shards, secrets: [7; 32], names: Box::new(book.clone()) };
        let mut stack = Stack::shard(config(HOST), Rng::seed_from(shard.into()), share, NOW).unwrap();
        stack.tcp_listen((HOST, 80).into(), 10, stack.default_tcp_options()).unwrap();
        stack
    };
    (0..shards).map(shard).collect()
}

fn connect(stack: &mut Stack, to: impl Into<SocketAddr>) -> TcpId {
    let options = stack.default_tcp_options();
    stack.tcp_connect(NOW, None, to.into(), options).unwrap()
}

/// The one frame that the stack sends.
fn sent(stack: &mut Stack) -> RxFrame {
    let frame = stack.poll_transmit(NOW).expect("a frame");
    assert!(stack.poll_transmit(NOW).is_none());
    RxFrame::plain(Slice::copy_of(&frame.to_vec()))
}

/// Gives `frame` to the shard `to`, which must find that it is for the shard `owner`, and then to that.
fn misdirect(host: &mut [Stack], to: usize, owner: usize, frame: &RxFrame) -> Disposition {
    assert_eq!(host[to].on_frame(NOW, frame.clone()), Disposition::Misdirected);
    let (found, frame) = host[to].take_misdirected().unwrap();
    assert_eq!(usize::from(found), owner);
    assert!(host[to].take_misdirected().is_none());
    host[owner].on_misdirected(NOW, frame)
}

fn states(stack: &Stack) -> Vec<State> {
    stack.tcp_snapshot().iter().map(|info| info.state).filter(|&state| state != State::Listen).collect()
}

#[test]
fn a_syn_that_comes_twice_to_two_shards_opens_one_connection() {
    let (mut host, mut peer) = (host(3), peer());
    connect(&mut peer, (HOST, 80));
    let syn = sent(&mut peer);
    assert_eq!(host[1].on_frame(NOW, syn.clone()), Disposition::Delivered);
    misdirect(&mut host, 2, 1, &syn);
    assert_eq!(host.iter().map(states).collect::<Vec<_>>(), [vec![], vec![State::SynReceived], vec![]]);
    let answer = sent(&mut host[1]);
    peer.on_frame(NOW, answer);
    let ack = sent(&mut peer);
    assert_eq!(misdirect(&mut host, 0, 1, &ack), Disposition::Delivered);
    assert_eq!(states(&host[1]), [State::Established]);
    let counted = |n: usize| (host[n].stats().frames_in, host[n].stats().misdirected, host[n].stats().tcp.segments_in);
    assert_eq!((counted(0), counted(1), counted(2)), ((0, 0, 0), (3, 2, 3), (0, 0, 0)), "each is counted once");
}

#[test]
fn a_name_is_free_once_its_connection_is_over() {
    let (mut host, mut peer) = (host(2), peer());
    let id = connect(&mut peer, (HOST, 80));
    let syn = sent(&mut peer);
    host[0].on_frame(NOW, syn.clone());
    let answer = sent(&mut host[0]);
    peer.on_frame(NOW, answer);
    let ack = sent(&mut peer);
    peer.tcp_abort(NOW, id).unwrap();
    let reset = sent(&mut peer);
    misdirect(&mut host, 1, 0, &reset);
    assert_eq!(states(&host[0]), []);
    // What is late is a stranger's now, wherever it comes.
    assert_eq!(host[1].on_frame(NOW, ack), Disposition::Dropped(DropReason::TcpNoSocket));
    assert_eq!(host[1].on_frame(NOW, syn.clone()), Disposition::Delivered);
    assert_eq!(states(&host[1]), [State::SynReceived]);
    // And what had been passed on before is for nobody: it is passed on no further.
    assert_eq!(host[0].on_misdirected(NOW, syn), MISPLACED);
}

#[test]
fn an_answer_to_our_own_syn_is_known_everywhere() {
    let (mut host, mut peer) = (host(2), peer());
    peer.tcp_listen((PEER, 9).into(), 10, peer.default_tcp_options()).unwrap();
    for shard in 0..2 {
        let id = connect(&mut host[shard], (PEER, 9));
        assert_eq!(usize::from(host[shard].tcp_local_addr(id).unwrap().port()) % 2, shard);
        peer.on_frame(NOW, sent(&mut host[shard]));
        let answer = sent(&mut peer);
        assert_eq!(misdirect(&mut host, 1 - shard, shard, &answer), Disposition::Delivered);
        assert_eq!(host[shard].tcp_state(id), Ok(State::Established));
    }
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!(sum + (sum >> 16)) as u16).to_be_bytes()
}

/// The router's word that the packet's destination cannot be reached.
fn unreachable(packet: &[u8]) -> RxFrame {
    let mut icmp = [&[3, 1, 0, 0, 0, 0, 0, 0], &packet[..28]].concat();
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    let mut ip = vec![0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0];
    ip.extend([PEER, HOST].concat());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    RxFrame::plain(Slice::copy_of(&[ip, icmp].concat()))
}

#[test]
fn an_error_finds_the_connection_that_it_is_about_and_the_socket_that_sent() {
    let mut host = host(2);
    let id = connect(&mut host[1], ([192, 0, 2, 77], 9));
    let error = unreachable(&sent(&mut host[1]).data);
    assert_eq!(misdirect(&mut host, 0, 1, &error), Disposition::Delivered);
    assert_eq!(host[1].tcp_take_error(id), Ok(Some(crate::error::Error::HostUnreachable)));

    let sockets: Vec<_> = host
        .iter_mut()
        .map(|stack| {
            let id = stack.udp_bind((HOST, 5000).into()).unwrap();
            stack.udp_set_home(id, 0).unwrap();
            stack.udp_connect(id, (PEER, 9).into()).unwrap();
            id
        })
        .collect();
    host[0].udp_send(NOW, sockets[0], b"x", None).unwrap();
    let mut error = unreachable(&sent(&mut host[0]).data).data.to_vec();
    // Port unreachable is told; the checksum makes up for it.
    error[21] = 3;
    error[22..24].fill(0);
    let sum = checksum(&error[20..]);
    error[22..24].copy_from_slice(&sum);
    misdirect(&mut host, 1, 0, &RxFrame::plain(Slice::copy_of(&error)));
    assert_eq!(host[0].udp_take_error(sockets[0]), Ok(Some(crate::error::Error::ConnectionRefused)));
}

#[test]
fn a_full_mailbox_loses_and_counts_and_the_rest_arrives() {
    let mut peer = peer();
    connect(&mut peer, (HOST, 80));
    let syn = sent(&mut peer);
    let (mut shards, mut far) = (Vec::new(), Vec::new());
    for stack in host(2) {
        let (device, other) = mem::pair(1500, 1000).unwrap();
        shards.push(Arc::new(Shard::new(stack, Arc::new(device), Vec::new(), Drive::Caretaker, Spin::Off).unwrap()));
        far.push(other);
    }
    Shard::join_up(&shards);
    assert_eq!((shards[0].number(), shards[1].number()), (0, 1));
    let drive = |shard: &Arc<Shard>| {
        let mut reader = shard.lock().unwrap().role.take().unwrap();
        loop {
            let more = reader.read(&shard.pool).unwrap();
            let mut core = shard.lock().unwrap();
            reader.process(shard, &mut core, NOW);
            let out = shard.prepare(&mut core, NOW);
            shard.finish(core, out);
            if !more {
                break;
            }
        }
        let mut core = shard.lock().unwrap();
        core.role.leave(reader, NOW, &mut Default::default());
        core.stack.stats().clone()
    };
    let frame = TxFrame { payload: smallvec![syn.data], ..TxFrame::default() };
    far[0].send(NOW, &frame).unwrap();
    drive(&shards[0]);
    // All of these are for the first shard, which does not look into its mailbox meanwhile.
    const SENT: usize = CAPACITY + 20;
    (0..SENT).for_each(|_| far[1].send(NOW, &frame).unwrap());
    let stats = drive(&shards[1]);
    assert_eq!((stats.frames_in, stats.dropped(DropReason::Misdirected)), (20, 20));
    let stats = drive(&shards[0]);
    assert_eq!((stats.frames_in, stats.misdirected), (1 + CAPACITY as u64, CAPACITY as u64));
    assert_eq!(stats.dropped(DropReason::Misdirected), 0);
}
