//! Waiting outside: the descriptors of sockets and pollers in the kernel's poll(2) and epoll(7), and in mio.

use super::common::*;
use mio::unix::SourceFd;
use mio::{Events as MioEvents, Poll, Token};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Duration;
use tunstack::net::{Events, Host, Interest, Poller, Readiness, TcpListener, TcpStream, Trigger};

const LONG: Duration = Duration::from_secs(20);
const NOW: Option<Duration> = Some(Duration::ZERO);

/// Whether `fd` polls ready for `wanted` within `time`.
fn ready(fd: impl AsFd, wanted: PollFlags, time: Duration) -> bool {
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    let mut fds = [PollFd::new(&fd, wanted)];
    poll(&mut fds, Some(&time)).unwrap();
    fds[0].revents().contains(wanted)
}

fn readable(fd: impl AsFd) -> bool {
    ready(fd, PollFlags::IN, Duration::ZERO)
}

fn becomes_readable(fd: impl AsFd) {
    assert!(ready(fd, PollFlags::IN, LONG), "never readable");
}

fn keys(poller: &Poller) -> Vec<u64> {
    let mut events = Events::with_capacity(64);
    poller.wait(&mut events, NOW).unwrap();
    events.iter().map(|event| event.key).collect()
}

fn would_block<T: std::fmt::Debug>(result: std::io::Result<T>) -> bool {
    result.unwrap_err().kind() == ErrorKind::WouldBlock
}

#[test]
fn a_stream_is_readable_while_there_is_something() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, mut far) = connection(&client, &server);
        far.set_nonblocking(true).unwrap();
        let fd = far.read_fd().unwrap();
        assert_eq!(fd.as_raw_fd(), far.read_fd().unwrap().as_raw_fd(), "there is one");
        for _ in 0..10 {
            assert!(!readable(&fd));
            near.write_all(b"ab").unwrap();
            becomes_readable(&fd);
            far.read_exact(&mut [0; 1]).unwrap();
            assert!(readable(&fd), "there is another byte");
            far.read_exact(&mut [0; 1]).unwrap();
            assert!(!readable(&fd), "all was read");
            assert!(would_block(far.read(&mut [0; 1])));
        }
        near.shutdown(Shutdown::Write).unwrap();
        becomes_readable(&fd);
        assert_eq!(far.read(&mut [0; 1]).unwrap(), 0);
        assert!(readable(&fd), "the end stays");
    });
}

#[test]
fn a_stream_is_writable_until_it_refuses() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, far) = connection(&client, &server);
        near.set_nonblocking(true).unwrap();
        let fd = near.write_fd().unwrap();
        for _ in 0..3 {
            assert!(ready(&fd, PollFlags::OUT, LONG));
            // What is acknowledged makes room for more.
            until("it is full", || {
                while near.write(&[1; 65_536]).is_ok() {}
                !ready(&fd, PollFlags::OUT, Duration::ZERO)
            });
            far.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut buf = vec![0; 65_536];
            while (&far).read(&mut buf).is_ok_and(|n| n > 0) {}
        }
        drop(far);
        assert!(ready(&fd, PollFlags::OUT, LONG));
    });
}

#[test]
fn listeners_and_datagrams() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 80)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let udp = server.bind_udp((SERVER, 53)).unwrap();
        udp.set_nonblocking(true).unwrap();
        let (accepts, receives) = (listener.read_fd().unwrap(), udp.read_fd().unwrap());
        assert!(ready(udp.write_fd().unwrap(), PollFlags::OUT, Duration::ZERO));
        for _ in 0..5 {
            assert!(!readable(&accepts) && !readable(&receives));
            let near = client.connect((SERVER, 80)).unwrap();
            becomes_readable(&accepts);
            let (_far, peer) = listener.accept().unwrap();
            assert_eq!(peer, near.local_addr().unwrap());
            assert!(!readable(&receives));
            client.bind_udp((CLIENT, 0)).unwrap().send_to(b"x", (SERVER, 53)).unwrap();
            becomes_readable(&receives);
            udp.recv(&mut [0; 8]).unwrap();
        }
        assert!(would_block(listener.accept()) && would_block(udp.recv(&mut [0; 8])));
    });
}

/// What is closed or has ended while somebody waits outside wakes who waits, and stays so.
#[test]
fn what_is_closed_under_a_wait_polls_ready() {
    within(60, || {
        let (client, server) = hosts();
        let (_near, far) = connection(&client, &server);
        let (read, write) = (far.read_fd().unwrap(), far.write_fd().unwrap());
        let waiting = thread::spawn(move || {
            becomes_readable(&read);
            read
        });
        thread::sleep(Duration::from_millis(20));
        drop(far);
        let read = waiting.join().unwrap();
        assert!(readable(&read) && ready(&write, PollFlags::OUT, Duration::ZERO));

        let (_near, far) = connection(&client, &server);
        let (read, poller) = (far.read_fd().unwrap(), Poller::new(&server).unwrap());
        poller.add(&far, 1, Interest::READABLE, Trigger::Level).unwrap();
        assert!(!readable(&read) && !readable(&poller));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| becomes_readable(&poller));
            thread::sleep(Duration::from_millis(20));
            server.shutdown(Duration::ZERO);
            waiting.join().unwrap();
        });
        assert!(readable(&read) && readable(&poller));
        let error = poller.wait(&mut Events::with_capacity(1), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert_eq!(far.read_fd().unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert!(readable(&poller), "for good");

        // No read lowers what was raised for good. (Of several queues, the first that is asked may tell of the end.)
        let (client, server) = hosts();
        let (from, to) = (client.bind_udp((CLIENT, 7)).unwrap(), server.bind_udp((SERVER, 7)).unwrap());
        let read = to.read_fd().unwrap();
        from.send_to(b"last", (SERVER, 7)).unwrap();
        becomes_readable(&read);
        server.shutdown(Duration::ZERO);
        assert!(to.recv(&mut [0; 8]).is_ok() || env!("CARGO_CRATE_NAME") == "queues");
        assert!(readable(&read));
        while to.recv(&mut [0; 8]).is_ok() {}
        assert!(readable(&read));
    });
}

/// A socket that is closed is no event of its poller, as with epoll; its key may be given to another.
#[test]
fn a_socket_closed_in_a_poller_is_gone_from_it() {
    within(60, || {
        let (client, server) = hosts();
        let poller = Poller::new(&server).unwrap();
        for _ in 0..20 {
            let (mut near, far) = connection(&client, &server);
            poller.add(&far, 5, Interest::READABLE, Trigger::Level).unwrap();
            assert!(!readable(&poller));
            near.write_all(b"x").unwrap();
            becomes_readable(&poller);
            drop(far);
            // Once it may be for nothing.
            assert!(keys(&poller).is_empty());
            assert!(!readable(&poller));
        }
    });
}

#[test]
fn a_poller_is_readable_while_it_has_something_to_tell() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, mut far) = connection(&client, &server);
        let poller = Poller::new(&server).unwrap();
        poller.add(&far, 7, Interest::READABLE, Trigger::Level).unwrap();
        let outer = epoll::create(CreateFlags::CLOEXEC).unwrap();
        epoll::add(&outer, &poller, EventData::new_u64(3), EventFlags::IN).unwrap();
        for _ in 0..10 {
            assert!(!readable(&outer));
            near.write_all(b"x").unwrap();
            becomes_readable(&outer);
            assert_eq!(keys(&poller), [7]);
            assert!(readable(&outer), "a level lasts");
            far.read_exact(&mut [0; 1]).unwrap();
            assert!(keys(&poller).is_empty());
        }
        poller.notify();
        becomes_readable(&outer);
        assert!(keys(&poller).is_empty());
        assert!(!readable(&outer));
        // What was there before anybody waited outside is shown too.
        let late = Poller::new(&server).unwrap();
        poller.delete(&far).unwrap();
        late.add(&far, 8, Interest::READABLE, Trigger::Edge).unwrap();
        near.write_all(b"y").unwrap();
        far.peek(&mut [0; 1]).unwrap();
        becomes_readable(&late);
        assert_eq!((keys(&late), readable(&late)), (vec![8], false));
    });
}

/// Every kind of event: room, urgent data, the peer's end, an error with its hang-up.
#[test]
fn a_poller_tells_of_everything() {
    within(60, || {
        let (client, server) = hosts();
        let poller = Poller::new(&server).unwrap();
        let tell = |wanted: Readiness| {
            let mut events = Events::with_capacity(4);
            loop {
                becomes_readable(&poller);
                poller.wait(&mut events, NOW).unwrap();
                if let Some(event) = events.iter().find(|event| event.readiness.contains(wanted)) {
                    return event.readiness;
                }
            }
        };
        let (near, mut far) = connection(&client, &server);
        let all = Interest::READABLE | Interest::WRITABLE | Interest::PRIORITY;
        poller.add(&far, 1, all, Trigger::Edge).unwrap();
        assert_eq!(tell(Readiness::WRITABLE), Readiness::WRITABLE);
        near.send_urgent(b"!").unwrap();
        tell(Readiness::PRIORITY);
        far.read_exact(&mut [0; 1]).unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        tell(Readiness::READABLE | Readiness::READ_CLOSED);
        drop(far);
        let (near, far) = connection(&client, &server);
        poller.add(&far, 2, Interest::PRIORITY, Trigger::Level).unwrap();
        near.set_linger(Some(Duration::ZERO)).unwrap();
        drop(near);
        assert!(tell(Readiness::HANGUP).contains(Readiness::ERROR));
    });
}

/// An echo server of one thread that waits in mio, where our poller is one source among others.
fn serve_in_mio(host: &Host, listener: &TcpListener, clients: usize) {
    const OURS: Token = Token(0);
    listener.set_nonblocking(true).unwrap();
    let poller = Poller::new(host).unwrap();
    poller.add(listener, u64::MAX, Interest::READABLE, Trigger::Level).unwrap();
    let mut mio = Poll::new().unwrap();
    mio.registry().register(&mut SourceFd(&poller.as_raw_fd()), OURS, mio::Interest::READABLE).unwrap();
    let (mut streams, mut next, mut ended) = (HashMap::new(), 0, 0);
    let (mut outer, mut events) = (MioEvents::with_capacity(8), Events::with_capacity(16));
    let mut buf = vec![0; 10_000];
    while ended < clients {
        mio.poll(&mut outer, Some(LONG)).unwrap();
        assert!(!outer.is_empty(), "nothing came");
        // mio tells edges: wait until there is nothing.
        loop {
            poller.wait(&mut events, NOW).unwrap();
            if events.is_empty() {
                break;
            }
            for event in &events {
                if event.key == u64::MAX {
                    let Ok((stream, _)) = listener.accept() else { continue };
                    stream.set_nonblocking(true).unwrap();
                    poller.add(&stream, next, Interest::READABLE, Trigger::Level).unwrap();
                    streams.insert(next, stream);
                    next += 1;
                    continue;
                }
                let mut stream: &TcpStream = &streams[&event.key];
                match stream.read(&mut buf) {
                    Ok(0) => {
                        streams.remove(&event.key);
                        ended += 1;
                    }
                    Ok(n) => {
                        stream.set_nonblocking(false).unwrap();
                        stream.write_all(&buf[..n]).unwrap();
                        stream.set_nonblocking(true).unwrap();
                    }
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
        }
    }
}

#[test]
fn mio_waits_for_a_poller() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 80)).unwrap();
        let host = server.clone();
        let serving = thread::spawn(move || serve_in_mio(&host, &listener, 10));
        thread::scope(|scope| {
            for seed in 0..10 {
                let client = &client;
                scope.spawn(move || {
                    let stream = client.connect((SERVER, 80)).unwrap();
                    thread::scope(|both| {
                        both.spawn(|| {
                            write_stream(&stream, seed, 30_000);
                            stream.shutdown(Shutdown::Write).unwrap();
                        });
                        check_stream(&stream, seed, 30_000);
                    });
                });
            }
        });
        serving.join().unwrap();
    });
}

/// Sockets of their own in mio, edge-triggered, with a socket of the kernel beside them.
#[test]
fn mio_waits_for_sockets() {
    within(60, || {
        let (client, server) = hosts();
        let (mut near, mut far) = connection(&client, &server);
        far.set_nonblocking(true).unwrap();
        let (read, write) = (far.read_fd().unwrap(), far.write_fd().unwrap());
        let (mut kernel, waker) = mio::unix::pipe::new().map(|(sender, receiver)| (receiver, sender)).unwrap();
        let mut mio = Poll::new().unwrap();
        mio.registry().register(&mut SourceFd(&read.as_raw_fd()), Token(1), mio::Interest::READABLE).unwrap();
        mio.registry().register(&mut SourceFd(&write.as_raw_fd()), Token(2), mio::Interest::WRITABLE).unwrap();
        mio.registry().register(&mut kernel, Token(3), mio::Interest::READABLE).unwrap();
        let mut events = MioEvents::with_capacity(8);
        // Each token in its turn; others may come between.
        let mut wait_for = |token: Token| {
            for _ in 0..100 {
                mio.poll(&mut events, Some(LONG)).unwrap();
                if events.iter().any(|event| event.token() == token) {
                    return;
                }
            }
            panic!("{token:?} never came");
        };
        wait_for(Token(2));
        for _ in 0..20 {
            near.write_all(b"x").unwrap();
            wait_for(Token(1));
            far.read_exact(&mut [0; 1]).unwrap();
            assert!(would_block(far.read(&mut [0; 1])));
        }
        (&waker).write_all(b"k").unwrap();
        wait_for(Token(3));
        while far.write(&[2; 65_536]).is_ok() {}
        let reader = thread::spawn(move || {
            let mut buf = vec![0; 65_536];
            while near.read(&mut buf).is_ok_and(|n| n > 0) {}
        });
        wait_for(Token(2));
        drop((far, read, write));
        reader.join().unwrap();
    });
}
