//! The situations that are tried.

use super::outside::{Direction, Outsider, Signal};
use super::pollers::{Trigger, Watch};
use super::polling::wait_for_events;
use super::several::wait_any;
use super::shard::{Drive, Patience, Shard};
use super::spin::Spin;
use super::sync::{Fault, PollFd, PollFlags, break_by, poll, stir};
use super::wait::Seat;
use crate::buf::Chunk;
use crate::device::mem::{self, MemDevice};
use crate::device::{Device, Offloads};
use crate::error::{Error, Result};
use crate::runtime::Book;
use crate::stack::{Cidr, Config, Readiness, Share, SocketId, Stack, UdpId};
use crate::tcp::state::State;
use crate::time::Instant;
use crate::wire::{RxFrame, RxMeta, TxFrame};
use shuttle::Runner;
use shuttle::future::block_on;
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread::{self, JoinHandle};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const US: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const DRIVES: [Drive; 2] = [Drive::Caller, Drive::Caretaker];

/// An end of the link whose frames wake those who sleep on the other.
struct Link(MemDevice);

impl Device for Link {
    fn recv(&self, now: Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        thread::yield_now();
        self.0.recv(now, chunk)
    }

    fn send(&self, now: Instant, frame: &TxFrame) -> io::Result<()> {
        thread::yield_now();
        self.0.send(now, frame)?;
        stir();
        Ok(())
    }

    fn mtu(&self) -> usize {
        self.0.mtu()
    }

    fn offloads(&self) -> Offloads {
        self.0.offloads()
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn config(addr: Ipv4Addr) -> Config {
    Config { addresses: vec![Cidr::new(IpAddr::V4(addr), 24)], ..Config::default() }
}

fn stack(addr: Ipv4Addr) -> Stack {
    Stack::new(config(addr), [1; 32], Instant::ZERO).unwrap()
}

/// A shard with its caretaker, and a peer that sends datagrams to it.
struct Net {
    shard: Arc<Shard>,
    caretaker: JoinHandle<()>,
    peer: Stack,
    from: UdpId,
    link: Link,
}

impl Net {
    fn new(drive: Drive) -> Net {
        Net::of(stack(US), drive)
    }

    fn of(own: Stack, drive: Drive) -> Net {
        Net::cared_for(own, drive, |shard| shard.take_care())
    }

    /// `care` is what the caretaker does.
    fn cared_for(own: Stack, drive: Drive, care: impl FnOnce(&Arc<Shard>) + Send + 'static) -> Net {
        let (near, far) = mem::pair(1500, 16).unwrap();
        let shard = Arc::new(Shard::new(own, Arc::new(Link(near)), Vec::new(), drive, Spin::Off).unwrap());
        let caretaker = thread::spawn({
            let shard = shard.clone();
            move || care(&shard)
        });
        let mut peer = stack(PEER);
        let from = peer.udp_bind(SocketAddr::from((PEER, 1000))).unwrap();
        Net { shard, caretaker, peer, from, link: Link(far) }
    }

    /// A datagram comes for `port`.
    fn send(&mut self, port: u16) {
        self.peer.udp_send(Instant::ZERO, self.from, b"x", Some((US, port).into())).unwrap();
        while let Some(frame) = self.peer.poll_transmit(Instant::ZERO) {
            self.link.send(Instant::ZERO, &frame).unwrap();
        }
    }

    /// The end, which the caretaker lives to see.
    fn end(self) {
        self.shard.stop();
        self.caretaker.join().unwrap();
    }
}

/// A socket on `port`.
fn bind(shard: &Shard, port: u16) -> UdpId {
    let bound = shard.act(|core, _| {
        let id = core.stack.udp_bind((US, port).into())?;
        core.adopt(SocketId::Udp(id));
        Ok(id)
    });
    bound.unwrap()
}

fn take(core: &mut super::shard::Core, id: UdpId) -> Result<()> {
    core.stack.udp_recv(id, &mut [0; 8], false).map(drop)
}

/// Waits for a datagram.
fn receive(shard: &Shard, id: UdpId) -> Result<()> {
    shard.wait(SocketId::Udp(id), Readiness::READABLE, Patience::Forever, |core, _| take(core, id))
}

/// A future with a seat of its own.
async fn receive_in(seat: u64, shard: &Shard, id: UdpId) -> Result<()> {
    let seat = Seat::Own(seat);
    poll_fn(|cx| shard.poll_wait(cx, seat, SocketId::Udp(id), Readiness::READABLE, |core, _| take(core, id))).await
}

async fn receive_as_a_task(shard: &Shard, id: UdpId) -> Result<()> {
    let id_of = SocketId::Udp(id);
    poll_fn(|cx| shard.poll_wait(cx, Seat::Shared, id_of, Readiness::READABLE, |core, _| take(core, id))).await
}

/// Waits for `n` datagrams on `ids` by a poller.
fn receive_by_poller(shard: &Arc<Shard>, ids: &[UdpId], trigger: Trigger, n: usize) -> Result<()> {
    let poller = shard.open_poller()?;
    for (key, &id) in (0..).zip(ids) {
        shard.add_to_poller(
            poller,
            SocketId::Udp(id),
            Watch { key, interest: Readiness::READABLE, trigger, turn: None },
        )?;
    }
    let mut left = n;
    while left > 0 {
        let mut ready = Vec::new();
        wait_for_events(&[(shard.clone(), poller)], 0, Patience::Forever, 4, |key, _| ready.push(key))?;
        for key in ready {
            while shard.act(|core, _| take(core, ids[key as usize])).is_ok() {
                left -= 1;
            }
        }
    }
    shard.close_poller(poller);
    Ok(())
}

/// Runs `situation` in orders that `scheduler` chooses.
fn run(scheduler: impl Scheduler + 'static, situation: impl Fn() + Send + Sync + 'static) {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 20; // a real stack is in these calls
    Runner::new(scheduler, config).run(situation);
}

/// Runs `situation` in `times` random orders, and in as many in which priorities change seldom, on both drives.
fn model(times: usize, situation: fn(Drive)) {
    for drive in DRIVES {
        run(RandomScheduler::new(times), move || situation(drive));
        run(PctScheduler::new(3, times), move || situation(drive));
    }
}

// ---- what is tried ----

fn two_readers(drive: Drive) {
    let mut net = Net::new(drive);
    let readers: Vec<_> = (1..=2)
        .map(|port| {
            let (shard, id) = (net.shard.clone(), bind(&net.shard, port));
            thread::spawn(move || (0..2).try_for_each(|_| receive(&shard, id)))
        })
        .collect();
    for port in [1, 2, 2, 1] {
        net.send(port);
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap().unwrap());
    net.end();
}

fn three_readers_one_socket(drive: Drive) {
    let mut net = Net::new(drive);
    let id = bind(&net.shard, 1);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let shard = net.shard.clone();
            thread::spawn(move || receive(&shard, id))
        })
        .collect();
    (0..3).for_each(|_| net.send(1));
    readers.into_iter().for_each(|reader| reader.join().unwrap().unwrap());
    net.end();
}

fn thread_task_and_poller(drive: Drive) {
    let mut net = Net::new(drive);
    let ids = [1, 2, 3, 4].map(|port| bind(&net.shard, port));
    let shards = [net.shard.clone(), net.shard.clone(), net.shard.clone()];
    let [a, b, c] = shards;
    let waits = [
        thread::spawn(move || receive(&a, ids[0])),
        thread::spawn(move || block_on(receive_as_a_task(&b, ids[1]))),
        thread::spawn(move || receive_by_poller(&c, &ids[2..], Trigger::Level, 2)),
    ];
    for port in [3, 2, 4, 1] {
        net.send(port);
    }
    waits.into_iter().for_each(|wait| wait.join().unwrap().unwrap());
    net.end();
}

/// No thread waits that could drive.
fn a_task_alone(drive: Drive) {
    let mut net = Net::new(drive);
    let id = bind(&net.shard, 1);
    let shard = net.shard.clone();
    let task = thread::spawn(move || {
        block_on(async {
            receive_as_a_task(&shard, id).await?;
            receive_as_a_task(&shard, id).await
        })
    });
    (0..2).for_each(|_| net.send(1));
    task.join().unwrap().unwrap();
    net.end();
}

fn three_futures_one_socket(drive: Drive) {
    let mut net = Net::new(drive);
    let id = bind(&net.shard, 1);
    let tasks: Vec<_> = (0..3)
        .map(|seat| {
            let shard = net.shard.clone();
            thread::spawn(move || block_on(receive_in(seat, &shard, id)))
        })
        .collect();
    (0..3).for_each(|_| net.send(1));
    tasks.into_iter().for_each(|task| task.join().unwrap().unwrap());
    net.end();
}

/// One that is polled once and dropped takes nobody's wake-up with it.
#[cfg(feature = "tokio")]
fn a_future_is_dropped(drive: Drive) {
    let mut net = Net::new(drive);
    let id = bind(&net.shard, 1);
    let [a, b] = [net.shard.clone(), net.shard.clone()];
    let patient = thread::spawn(move || block_on(receive_in(1, &a, id)));
    let dropped = thread::spawn(move || {
        block_on(async {
            let mut future = std::pin::pin!(receive_in(2, &b, id));
            poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_ready())).await
        });
        b.vacate(SocketId::Udp(id), Seat::Own(2));
    });
    // One for each, if the one that is dropped should have taken one.
    (0..2).for_each(|_| net.send(1));
    dropped.join().unwrap();
    patient.join().unwrap().unwrap();
    net.end();
}

/// A thread, a task and a poller, on a shard that has no caretaker but a task that drives in steps.
#[cfg(feature = "tokio")]
fn driven_in_steps(_: Drive) {
    let mut net = Net::cared_for(stack(US), Drive::Caretaker, drive_in_steps);
    let (ids, own) = ([1, 2, 3].map(|port| bind(&net.shard, port)), bind(&net.shard, 4));
    let [a, b, c] = [net.shard.clone(), net.shard.clone(), net.shard.clone()];
    let waits = [
        thread::spawn(move || receive(&a, ids[0])),
        thread::spawn(move || block_on(receive_in(1, &b, ids[1]))),
        thread::spawn(move || receive_by_poller(&c, &ids[2..], Trigger::Level, 1)),
    ];
    net.send(2);
    net.send(3);
    // And what comes from within.
    net.shard.act(|core, now| core.stack.udp_send(now, own, b"x", Some((US, 1).into()))).unwrap();
    waits.into_iter().for_each(|wait| wait.join().unwrap().unwrap());
    net.end();
}

/// What the driver's task does, with a thread that sleeps.
#[cfg(feature = "tokio")]
fn drive_in_steps(shard: &Arc<Shard>) {
    use super::steps::{Step, Steps};
    let mut steps = Steps::new(shard).unwrap();
    let mut rung = false;
    loop {
        steps.wake(std::mem::take(&mut rung), false);
        match steps.step() {
            Step::Again => {}
            Step::End => return,
            Step::Rest { until, .. } => {
                let mut fds = [steps.alarm(), steps.device()].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
                poll(&mut fds, super::alarm::time_left(until)).unwrap();
                rung = !fds[0].revents().is_empty();
            }
        }
    }
}

/// Sleeps until `signal` is raised.
fn wait_outside(signal: &Signal) {
    poll(&mut [PollFd::new(signal, PollFlags::IN)], None).unwrap();
}

/// One waits on a socket's descriptor, another on a poller's, and a thread in a call.
fn two_outside_and_one_inside(drive: Drive) {
    let mut net = Net::new(drive);
    let ids = [1, 2, 3].map(|port| bind(&net.shard, port));
    let [a, b, c] = [net.shard.clone(), net.shard.clone(), net.shard.clone()];
    let waits = [
        thread::spawn(move || {
            let _outsider = Outsider::new(&a);
            let id = SocketId::Udp(ids[0]);
            let signal = a.signal(id, Direction::Read).unwrap();
            for _ in 0..2 {
                while a.wait(id, Readiness::READABLE, Patience::None, |core, _| take(core, ids[0])).is_err() {
                    wait_outside(&signal);
                }
            }
            Ok(())
        }),
        thread::spawn(move || {
            let _outsider = Outsider::new(&b);
            let (poller, signal) = (b.open_poller()?, Arc::new(Signal::readable().unwrap()));
            let watch = Watch { key: 0, interest: Readiness::READABLE, trigger: Trigger::Edge, turn: None };
            b.add_to_poller(poller, SocketId::Udp(ids[1]), watch)?;
            b.show_poller(poller, &signal);
            let mut left = 2;
            while left > 0 {
                wait_outside(&signal);
                wait_for_events(&[(b.clone(), poller)], 0, Patience::None, 4, |_, _| ())?;
                while b.act(|core, _| take(core, ids[1])).is_ok() {
                    left -= 1;
                }
            }
            b.close_poller(poller);
            Ok(())
        }),
        thread::spawn(move || receive(&c, ids[2])),
    ];
    for port in [1, 2, 3, 2, 1] {
        net.send(port);
    }
    waits.into_iter().for_each(|wait| wait.join().unwrap().unwrap());
    net.end();
}

/// What is closed shows it to whoever waits outside.
fn a_close_under_a_wait_outside(drive: Drive) {
    let net = Net::new(drive);
    let id = bind(&net.shard, 1);
    let signal = net.shard.signal(SocketId::Udp(id), Direction::Read).unwrap();
    let shard = net.shard.clone();
    let outside = thread::spawn(move || {
        let _outsider = Outsider::new(&shard);
        wait_outside(&signal);
    });
    net.shard.act_finally(|core, _| {
        core.disown(SocketId::Udp(id));
        core.stack.udp_close(id).unwrap();
    });
    outside.join().unwrap();
    net.end();
}

fn edge_triggered_poller(drive: Drive) {
    let mut net = Net::new(drive);
    let ids = [1, 2].map(|port| bind(&net.shard, port));
    let shard = net.shard.clone();
    let poller = thread::spawn(move || receive_by_poller(&shard, &ids, Trigger::Edge, 4));
    for port in [1, 2, 1, 1] {
        net.send(port);
    }
    poller.join().unwrap().unwrap();
    net.end();
}

/// What makes the driver's own socket ready comes from a thread of the same host.
fn from_thread_to_thread(drive: Drive) {
    let net = Net::new(drive);
    let (to, from) = (bind(&net.shard, 1), bind(&net.shard, 2));
    let shard = net.shard.clone();
    let reader = thread::spawn(move || receive(&shard, to));
    net.shard.act(|core, now| core.stack.udp_send(now, from, b"x", Some((US, 1).into()))).unwrap();
    reader.join().unwrap().unwrap();
    net.end();
}

fn a_close_under_a_wait(drive: Drive) {
    let net = Net::new(drive);
    let (closed, other) = (bind(&net.shard, 1), bind(&net.shard, 2));
    let reader = |id| {
        let shard = net.shard.clone();
        thread::spawn(move || receive(&shard, id))
    };
    let (first, second) = (reader(closed), reader(other));
    net.shard.act_finally(|core, _| {
        core.disown(SocketId::Udp(closed));
        core.stack.udp_close(closed).unwrap();
    });
    assert_eq!(first.join().unwrap(), Err(Error::BadHandle));
    net.shard.stop();
    assert_eq!(second.join().unwrap(), Err(Error::ConnectionAborted));
    net.end();
}

/// One waits for what is not readiness, another for a datagram of its own.
fn one_looks_at_all_that_happens(drive: Drive) {
    let mut net = Net::new(drive);
    let (looked_at, other) = (bind(&net.shard, 1), bind(&net.shard, 2));
    let (a, b) = (net.shard.clone(), net.shard.clone());
    let has = move |stack: &mut Stack| stack.readiness(SocketId::Udp(looked_at)).contains(Readiness::READABLE);
    let looks = thread::spawn(move || a.wait_for(Instant::from_nanos(u64::MAX), has));
    let reads = thread::spawn(move || receive(&b, other));
    net.send(1);
    net.send(2);
    assert!(looks.join().unwrap());
    reads.join().unwrap().unwrap();
    net.end();
}

fn the_end_for_all(drive: Drive) {
    let mut net = Net::new(drive);
    let ids = [1, 2, 3].map(|port| bind(&net.shard, port));
    let [a, b, c] = [net.shard.clone(), net.shard.clone(), net.shard.clone()];
    let waits = [
        thread::spawn(move || receive(&a, ids[0])),
        thread::spawn(move || block_on(receive_as_a_task(&b, ids[1]))),
        thread::spawn(move || receive_by_poller(&c, &ids[2..], Trigger::Level, 1)),
    ];
    net.send(2);
    net.shard.stop();
    let ends: Vec<_> = waits.into_iter().map(|wait| wait.join().unwrap()).collect();
    assert_eq!((ends[0], ends[2]), (Err(Error::ConnectionAborted), Err(Error::ConnectionAborted)));
    net.end();
}

/// One thread waits in two shards at once, another in one of them.
fn two_shards(drive: Drive) {
    let mut nets = [Net::new(drive), Net::new(drive)];
    let parts: Vec<_> = nets.iter().map(|net| (net.shard.clone(), bind(&net.shard, 1))).collect();
    let alone = (nets[1].shard.clone(), bind(&nets[1].shard, 2));
    let both = thread::spawn(move || {
        let sockets = || parts.iter().map(|(shard, id)| (shard, SocketId::Udp(*id)));
        (0..3).try_for_each(|first| {
            wait_any(sockets(), first % 2, Readiness::READABLE, Patience::Forever, |n, core, _| take(core, parts[n].1))
        })
    });
    let one = thread::spawn(move || receive(&alone.0, alone.1));
    nets[1].send(1);
    nets[0].send(1);
    nets[1].send(2);
    nets[1].send(1);
    both.join().unwrap().unwrap();
    one.join().unwrap().unwrap();
    nets.into_iter().for_each(Net::end);
}

/// The answer to a connection of one shard comes to the other, whose driver passes it on.
fn passed_on(drive: Drive) {
    let book = Book::new();
    let mut nets = [0, 1].map(|shard| {
        let share = Share { shard, shards: 2, secrets: [1; 32], names: Box::new(book.clone()) };
        Net::of(Stack::shard(config(US), [1; 32], share, Instant::ZERO).unwrap(), drive)
    });
    Shard::join_up(&nets.each_ref().map(|net| net.shard.clone()));
    let connecting = thread::spawn({
        let shard = nets[0].shard.clone();
        move || {
            let id = shard.act(|core, now| {
                let options = core.stack.default_tcp_options();
                let id = core.stack.tcp_connect(now, None, (PEER, 9).into(), options)?;
                core.adopt(SocketId::Tcp(id));
                Ok(id)
            })?;
            shard.wait(SocketId::Tcp(id), Readiness::WRITABLE, Patience::Forever, |core, _| {
                if core.stack.tcp_state(id)? == State::Established { Ok(()) } else { Err(Error::WouldBlock) }
            })
        }
    });
    let peer = &mut nets[0].peer;
    peer.tcp_listen((PEER, 9).into(), 1, peer.default_tcp_options()).unwrap();
    let mut chunk = Chunk::with_capacity(1500);
    while nets[0].link.recv(Instant::ZERO, &mut chunk).is_err() {
        thread::yield_now(); // until the SYN is out
    }
    nets[0].peer.on_frame(Instant::ZERO, RxFrame::plain(chunk.freeze()));
    let answer = nets[0].peer.poll_transmit(Instant::ZERO).unwrap();
    nets[1].link.send(Instant::ZERO, &answer).unwrap();
    connecting.join().unwrap().unwrap();
    nets.into_iter().for_each(Net::end);
}

fn a_notice(drive: Drive) {
    let net = Net::new(drive);
    let poller = net.shard.open_poller().unwrap();
    let shard = net.shard.clone();
    let waiting = thread::spawn(move || {
        wait_for_events(&[(shard, poller)], 0, Patience::Forever, 4, |_, _| unreachable!("no socket")).map(drop)
    });
    net.shard.notify_poller(poller);
    waiting.join().unwrap().unwrap();
    net.end();
}

#[test]
fn each_of_two_readers_gets_its_own() {
    model(600, two_readers);
}

#[test]
fn three_readers_share_a_socket() {
    model(600, three_readers_one_socket);
}

#[test]
fn threads_tasks_and_pollers_are_woken() {
    model(600, thread_task_and_poller);
}

#[test]
fn a_task_needs_no_thread() {
    model(600, a_task_alone);
}

#[test]
fn three_futures_share_a_socket() {
    model(600, three_futures_one_socket);
}

#[cfg(feature = "tokio")]
#[test]
fn a_future_that_is_dropped_takes_nothing_with_it() {
    model(600, a_future_is_dropped);
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_that_drives_in_steps_serves_all() {
    model(400, driven_in_steps);
}

#[test]
fn who_waits_outside_is_shown_everything() {
    model(400, two_outside_and_one_inside);
}

#[test]
fn who_waits_outside_is_shown_a_close() {
    model(400, a_close_under_a_wait_outside);
}

#[test]
fn an_edge_is_never_missed() {
    model(600, edge_triggered_poller);
}

#[test]
fn what_comes_from_within_wakes_the_driver() {
    model(600, from_thread_to_thread);
}

#[test]
fn a_close_wakes_who_waits() {
    model(600, a_close_under_a_wait);
}

#[test]
fn who_looks_at_all_that_happens_is_woken() {
    model(600, one_looks_at_all_that_happens);
}

#[test]
fn the_end_wakes_all() {
    model(600, the_end_for_all);
}

#[test]
fn who_waits_in_two_shards_is_woken_by_either() {
    model(600, two_shards);
}

#[test]
fn what_is_passed_on_wakes_who_waits_for_it() {
    model(300, passed_on);
}

#[test]
fn a_notice_is_kept_or_heard() {
    model(600, a_notice);
}

/// The model finds what is broken: within a few hundred orders it comes to a deadlock.
#[test]
fn the_model_can_fail() {
    let fails = |fault, situation: fn(Drive), drive| {
        let broken = move || {
            break_by(Some(fault));
            situation(drive);
        };
        catch_unwind(AssertUnwindSafe(|| run(RandomScheduler::new(500), broken))).is_err()
    };
    let was = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = [
        fails(Fault::LostKick, from_thread_to_thread, Drive::Caller),
        fails(Fault::LostKick, a_notice, Drive::Caller),
        fails(Fault::LostKick, passed_on, Drive::Caller),
        fails(Fault::LostKick, two_outside_and_one_inside, Drive::Caller),
        fails(Fault::LostNotice, two_readers, Drive::Caller),
        fails(Fault::LostNotice, two_readers, Drive::Caretaker),
        fails(Fault::NoLook, a_task_alone, Drive::Caller),
        #[cfg(feature = "tokio")]
        fails(Fault::LostKick, driven_in_steps, Drive::Caretaker),
    ];
    std::panic::set_hook(was);
    assert!(found.iter().all(|found| *found), "{found:?}");
}
