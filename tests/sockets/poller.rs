//! The poller and asynchronous readiness.

use super::common::*;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tunstack::net::{Events, Host, Interest, Poller, Readiness, TcpListener, TcpStream, Trigger};

const MS: Duration = Duration::from_millis(1);
const LONG: Option<Duration> = Some(Duration::from_secs(20));

fn keys(poller: &Poller, timeout: Option<Duration>) -> Vec<(u64, Readiness)> {
    let mut events = Events::with_capacity(64);
    poller.wait(&mut events, timeout).unwrap();
    events.iter().map(|event| (event.key, event.readiness)).collect()
}

/// Waits until the socket is readable, by its own means and not the poller's.
fn until_readable(stream: &TcpStream) {
    stream.peek(&mut [0; 1]).unwrap();
}

#[test]
fn a_level_is_told_as_long_as_it_lasts() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, mut far) = connection(&client, &server);
        let poller = Poller::new(&server).unwrap();
        poller.add(&far, 7, Interest::READABLE, Trigger::Level).unwrap();
        assert_eq!(keys(&poller, Some(MS)), []);
        near.write_all(b"ab").unwrap();
        for _ in 0..3 {
            assert_eq!(keys(&poller, LONG), [(7, Readiness::READABLE)]);
        }
        far.read_exact(&mut [0; 2]).unwrap();
        assert_eq!(keys(&poller, Some(MS)), []);
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(keys(&poller, LONG), [(7, Readiness::READABLE | Readiness::READ_CLOSED)]);
    });
}

#[test]
fn an_edge_is_told_once_and_each_time_anew() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, mut far) = connection(&client, &server);
        far.set_nonblocking(true).unwrap();
        let poller = Poller::new(&server).unwrap();
        poller.add(&far, 1, Interest::READABLE, Trigger::Edge).unwrap();
        for round in 0..20 {
            near.write_all(b"x").unwrap();
            assert_eq!(keys(&poller, LONG), [(1, Readiness::READABLE)], "round {round}");
            assert_eq!(keys(&poller, Some(Duration::ZERO)), []);
            far.read_exact(&mut [0; 1]).unwrap();
            assert_eq!(far.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn one_shot_rests_until_it_is_modified() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, far) = connection(&client, &server);
        let poller = Poller::new(&server).unwrap();
        poller.add(&far, 1, Interest::READABLE, Trigger::OneShot).unwrap();
        near.write_all(b"x").unwrap();
        assert_eq!(keys(&poller, LONG), [(1, Readiness::READABLE)]);
        near.write_all(b"x").unwrap();
        assert_eq!(keys(&poller, Some(20 * MS)), []);
        poller.modify(&far, 2, Interest::READABLE, Trigger::OneShot).unwrap();
        assert_eq!(keys(&poller, LONG), [(2, Readiness::READABLE)]);
        assert_eq!(keys(&poller, Some(Duration::ZERO)), []);
    });
}

#[test]
fn room_to_write_a_listener_and_a_datagram() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 80)).unwrap();
        let udp = server.bind_udp((SERVER, 53)).unwrap();
        let poller = Poller::new(&server).unwrap();
        poller.add(&listener, 1, Interest::READABLE, Trigger::Level).unwrap();
        poller.add(&udp, 2, Interest::READABLE, Trigger::Level).unwrap();
        client.bind_udp((CLIENT, 0)).unwrap().send_to(b"x", (SERVER, 53)).unwrap();
        assert_eq!(keys(&poller, LONG), [(2, Readiness::READABLE)]);
        udp.recv(&mut [0; 1]).unwrap();
        let near = client.connect((SERVER, 80)).unwrap();
        assert_eq!(keys(&poller, LONG), [(1, Readiness::READABLE)]);
        let (mut far, _) = listener.accept().unwrap();
        assert_eq!(keys(&poller, Some(Duration::ZERO)), []);

        far.set_nonblocking(true).unwrap();
        poller.add(&far, 3, Interest::WRITABLE, Trigger::Edge).unwrap();
        assert_eq!(keys(&poller, LONG), [(3, Readiness::WRITABLE)]);
        // What is acknowledged makes room, and that is told; then there is none, and nothing is told.
        loop {
            while far.write(&[0; 65_536]).is_ok() {}
            if keys(&poller, Some(Duration::ZERO)).is_empty() {
                break;
            }
        }
        let reader = thread::spawn(move || {
            let mut buf = vec![0; 65_536];
            while (&near).read(&mut buf).unwrap() > 0 {}
        });
        assert_eq!(keys(&poller, LONG), [(3, Readiness::WRITABLE)]);
        drop(far);
        reader.join().unwrap();
    });
}

#[test]
fn mistakes_are_told() {
    let (client, server) = hosts();
    let (near, far) = connection(&client, &server);
    let (poller, other) = (Poller::new(&server).unwrap(), Poller::new(&server).unwrap());
    let kind = |result: std::io::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(poller.add(&near, 1, Interest::READABLE, Trigger::Level)), ErrorKind::InvalidInput);
    assert_eq!(kind(poller.modify(&far, 1, Interest::READABLE, Trigger::Level)), ErrorKind::NotFound);
    assert_eq!(kind(poller.delete(&far)), ErrorKind::NotFound);
    poller.add(&far, 1, Interest::READABLE, Trigger::Level).unwrap();
    assert_eq!(kind(poller.add(&far, 1, Interest::READABLE, Trigger::Level)), ErrorKind::AlreadyExists);
    assert_eq!(kind(other.add(&far, 1, Interest::READABLE, Trigger::Level)), ErrorKind::AlreadyExists);
    assert_eq!(kind(other.delete(&far)), ErrorKind::NotFound);
    drop(poller);
    other.add(&far, 1, Interest::READABLE, Trigger::Level).unwrap();
    other.delete(&far).unwrap();
    server.shutdown(Duration::ZERO);
    assert_eq!(kind(other.wait(&mut Events::with_capacity(1), None)), ErrorKind::ConnectionAborted);
    assert_eq!(Poller::new(&server).unwrap_err().kind(), ErrorKind::ConnectionAborted);
}

#[test]
fn a_wait_ends_by_a_notice_by_its_time_and_by_the_hosts_end() {
    within(60, || {
        let (_client, server) = hosts();
        let poller = Arc::new(Poller::new(&server).unwrap());
        poller.notify();
        assert_eq!(keys(&poller, None), [], "the notice was kept");
        let began = Instant::now();
        assert_eq!(keys(&poller, Some(30 * MS)), []);
        assert!(began.elapsed() >= 30 * MS);
        let (tell, told) = mpsc::channel();
        let waiting = thread::spawn({
            let poller = poller.clone();
            move || {
                assert_eq!(keys(&poller, None), []);
                tell.send(()).unwrap();
                poller.wait(&mut Events::with_capacity(1), None).unwrap_err().kind()
            }
        });
        thread::sleep(20 * MS);
        poller.notify();
        told.recv().unwrap();
        thread::sleep(20 * MS);
        server.shutdown(Duration::ZERO);
        assert_eq!(waiting.join().unwrap(), ErrorKind::ConnectionAborted);
    });
}

#[test]
fn a_closed_socket_is_told_no_more_and_its_number_is_free() {
    within(60, || {
        let (client, server) = hosts();
        let poller = Poller::new(&server).unwrap();
        for key in 0..300 {
            let (mut near, far) = connection(&client, &server);
            poller.add(&far, key, Interest::READABLE, Trigger::Level).unwrap();
            near.write_all(b"x").unwrap();
            until_readable(&far);
        }
        assert_eq!(keys(&poller, Some(Duration::ZERO)), []);
        let (mut near, far) = connection(&client, &server);
        poller.add(&far, 1000, Interest::READABLE, Trigger::Level).unwrap();
        near.write_all(b"x").unwrap();
        assert_eq!(keys(&poller, LONG), [(1000, Readiness::READABLE)]);
        poller.delete(&far).unwrap();
        assert_eq!(keys(&poller, Some(Duration::ZERO)), []);
        poller.add(&far, 1001, Interest::READABLE, Trigger::Level).unwrap();
        assert_eq!(keys(&poller, LONG), [(1001, Readiness::READABLE)]);
    });
}

#[test]
fn more_than_fit_have_their_turn() {
    within(60, || {
        let (client, server) = hosts();
        let poller = Poller::new(&server).unwrap();
        let pairs: Vec<_> = (0..10).map(|_| connection(&client, &server)).collect();
        for (key, (near, far)) in (0..).zip(&pairs) {
            poller.add(far, key, Interest::READABLE, Trigger::Level).unwrap();
            let mut near = near;
            near.write_all(b"x").unwrap();
            until_readable(far);
        }
        let mut seen: HashMap<u64, u32> = HashMap::new();
        let mut events = Events::with_capacity(3);
        for _ in 0..20 {
            poller.wait(&mut events, LONG).unwrap();
            assert_eq!(events.len(), 3);
            events.iter().for_each(|event| *seen.entry(event.key).or_default() += 1);
        }
        // Two queues take turns, whichever has more of them.
        let turns = if env!("CARGO_CRATE_NAME") == "queues" { 2..=30 } else { 6..=6 };
        assert!((0..10).all(|key| turns.contains(&seen[&key])), "{seen:?}");
    });
}

/// Echoes on one thread until the clients are gone.
fn serve_echo(host: &Host, listener: &TcpListener, clients: usize) {
    listener.set_nonblocking(true).unwrap();
    let poller = Poller::new(host).unwrap();
    poller.add(listener, u64::MAX, Interest::READABLE, Trigger::Level).unwrap();
    let (mut streams, mut next, mut ended) = (HashMap::new(), 0, 0);
    let mut events = Events::with_capacity(16);
    let mut buf = vec![0; 10_000];
    while ended < clients {
        poller.wait(&mut events, None).unwrap();
        for event in &events {
            if event.key == u64::MAX {
                let (stream, _) = listener.accept().unwrap();
                poller.add(&stream, next, Interest::READABLE, Trigger::Level).unwrap();
                streams.insert(next, stream);
                next += 1;
                continue;
            }
            let mut stream = &streams[&event.key];
            match stream.read(&mut buf).unwrap() {
                0 => {
                    streams.remove(&event.key);
                    ended += 1;
                }
                n => stream.write_all(&buf[..n]).unwrap(),
            }
        }
    }
}

#[test]
fn one_thread_serves_many_on_both_drives() {
    use tunstack::device::mem;
    use tunstack::net::Drive;
    for drive in [Drive::Caller, Drive::Caretaker] {
        within(60, move || {
            let (a, b) = mem::pair(1500, 4096).unwrap();
            let client = builder(CLIENT).drive(drive).start(a).unwrap();
            let server = builder(SERVER).drive(drive).start(b).unwrap();
            let listener = server.listen((SERVER, 80)).unwrap();
            let host = server.clone();
            let serving = thread::spawn(move || serve_echo(&host, &listener, 20));
            thread::scope(|scope| {
                for seed in 0..20 {
                    let client = &client;
                    scope.spawn(move || {
                        let stream = client.connect((SERVER, 80)).unwrap();
                        thread::scope(|both| {
                            both.spawn(|| {
                                write_stream(&stream, seed, 50_000);
                                stream.shutdown(Shutdown::Write).unwrap();
                            });
                            check_stream(&stream, seed, 50_000);
                        });
                    });
                }
            });
            serving.join().unwrap();
        });
    }
}

// ---- tasks ----

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest executor.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park_timeout(Duration::from_secs(20)),
        }
    }
}

async fn read(mut stream: &TcpStream, buf: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stream.read(buf) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll_fn(|cx| stream.poll_ready(cx, Interest::READABLE)).await?;
            }
            result => return result,
        }
    }
}

async fn write_all(mut stream: &TcpStream, mut buf: &[u8]) -> std::io::Result<()> {
    while !buf.is_empty() {
        match stream.write(buf) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll_fn(|cx| stream.poll_ready(cx, Interest::WRITABLE)).await?;
            }
            result => buf = &buf[result?..],
        }
    }
    Ok(())
}

#[test]
fn tasks_read_write_and_hear_of_the_end() {
    within(60, || {
        let (client, server) = hosts();
        let (near, far) = connection(&client, &server);
        near.set_nonblocking(true).unwrap();
        far.set_nonblocking(true).unwrap();
        let echo = thread::spawn(move || {
            block_on(async {
                let mut buf = vec![0; 8192];
                loop {
                    match read(&far, &mut buf).await {
                        Ok(0) => break far.shutdown(Shutdown::Write).map(|()| far),
                        Ok(n) => write_all(&far, &buf[..n]).await?,
                        Err(error) => break Err(error),
                    }
                }
            })
        });
        let near = Arc::new(near);
        let writer = thread::spawn({
            let near = near.clone();
            move || {
                let all: Vec<u8> = (0..1_000_000).map(|at| byte(3, at)).collect();
                block_on(write_all(&near, &all)).unwrap();
                near.shutdown(Shutdown::Write).unwrap();
            }
        });
        let mut at = 0;
        let mut buf = vec![0; 5000];
        loop {
            match block_on(read(&near, &mut buf)).unwrap() {
                0 => break,
                n => {
                    assert!(buf[..n].iter().enumerate().all(|(i, &got)| got == byte(3, at + i as u64)));
                    at += n as u64;
                }
            }
        }
        assert_eq!(at, 1_000_000);
        writer.join().unwrap();
        let far = echo.join().unwrap().unwrap();
        // Whoever waits when the host ends hears of it.
        let udp = server.bind_udp((SERVER, 0)).unwrap();
        let ending = thread::spawn(move || block_on(poll_fn(|cx| udp.poll_ready(cx, Interest::READABLE))));
        thread::sleep(20 * MS);
        server.shutdown(Duration::ZERO);
        assert_eq!(ending.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionAborted);
        drop(far);
    });
}
