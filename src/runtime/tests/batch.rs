//! Batches on a shard that nobody takes care of.

use crate::buf::Slice;
use crate::device::{Device, mem};
use crate::error::Error;
use crate::rng::Rng;
use crate::runtime::batch::Batch;
use crate::runtime::clock;
use crate::runtime::shard::{Drive, Patience, Shard};
use crate::runtime::spin::Spin;
use crate::stack::{Cidr, Config, Readiness, SocketId, Stack};
use crate::wire::TxFrame;
use core::time::Duration;
use smallvec::smallvec;
use std::sync::Arc;
use std::thread;

const HOST: [u8; 4] = [192, 0, 2, 2];
const PEER: [u8; 4] = [192, 0, 2, 1];

fn stack(address: [u8; 4]) -> Stack {
    let config = Config { addresses: vec![Cidr::new(address.into(), 24)], ..Config::default() };
    Stack::new(config, Rng::seed_from(1), clock::now()).unwrap()
}

/// Sends a datagram to the host's port 7, as the peer does.
fn datagram(link: &impl Device) {
    let mut peer = stack(PEER);
    let id = peer.udp_bind((PEER, 9).into()).unwrap();
    peer.udp_send(clock::now(), id, b"now", Some((HOST, 7).into())).unwrap();
    let frame = peer.poll_transmit(clock::now()).unwrap().to_vec();
    link.send(clock::now(), &TxFrame { payload: smallvec![Slice::copy_of(&frame)], ..TxFrame::default() }).unwrap();
}

#[test]
fn a_long_batch_reads_the_device_when_it_is_due() {
    let (device, link) = mem::pair(1500, 10).unwrap();
    let shard = Shard::new(stack(HOST), Arc::new(device), Vec::new(), Drive::Caller, Spin::Off).unwrap();
    let shards = [Arc::new(shard)];
    let shard = &shards[0];
    let id = shard
        .act(|core, _| {
            let id = core.stack.udp_bind((HOST, 7).into())?;
            core.adopt(SocketId::Udp(id));
            Ok(id)
        })
        .unwrap();
    let read = || {
        shard.wait(SocketId::Udp(id), Readiness::READABLE, Patience::None, |core, _| {
            core.stack.udp_recv(id, &mut [0; 16], false).map(|(len, _)| len)
        })
    };
    datagram(&link);
    let batch = Batch::begin(&shards);
    thread::sleep(Duration::from_millis(1));
    let first: Vec<_> = (0..16).map(|_| read()).collect();
    assert_eq!(first, [Err(Error::WouldBlock); 16], "nobody has read the device");
    assert_eq!(read(), Ok(3));
    drop(batch);
    assert!(shard.lock().unwrap().role.take().is_some(), "the role is free again");
}

#[test]
fn a_device_is_neglected_that_was_left_for_long() {
    let (device, _link) = mem::pair(1500, 10).unwrap();
    let shard = Shard::new(stack(HOST), Arc::new(device), Vec::new(), Drive::Caller, Spin::Off).unwrap();
    let mut core = shard.lock().unwrap();
    let reader = core.role.take().unwrap();
    let now = clock::now();
    let late = now + Duration::from_micros(201);
    assert!(!core.role.is_neglected(late), "somebody drives");
    core.role.leave(reader, now, &mut Default::default());
    assert!(!core.role.is_neglected(now + Duration::from_micros(200)));
    assert!(core.role.is_neglected(late));
}
