//! Applications and peers that behave badly: one never accepts, one never reads, one dies. Here the stack runs in this
//! process, so that its own books can be looked at: whatever they do, memory is bounded and the other side gets the
//! RFC's answer.

use crate::harness::{Test, at, connect, noise, sha256, succeed};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};
use tunstack::device::tuntap::TunTap;
use tunstack::net::Host;
use tunstack::tcp::state::State;

pub const TESTS: &[Test] = &[
    Test { name: "apps::a_listener_that_never_accepts", tools: &["ip"], limit: 60, body: never_accepts },
    Test { name: "apps::a_listener_that_accepts_late", tools: &["ip"], limit: 60, body: accepts_late },
    Test { name: "apps::one_that_never_reads", tools: &["ip"], limit: 60, body: never_reads },
    Test { name: "apps::one_that_dies", tools: &["ip"], limit: 60, body: dies },
    Test { name: "apps::a_peer_that_never_reads", tools: &["ip"], limit: 60, body: peer_never_reads },
    Test { name: "apps::a_peer_that_writes_and_never_reads", tools: &["ip"], limit: 30, body: peer_only_writes },
    Test { name: "apps::ten_thousand_idle_connections", tools: &["ip"], limit: 60, body: idle },
];

/// Room of a receive or send buffer, in bytes.
const BUFFER: usize = 256 * 1024;

/// A stack on a TUN, with the kernel at the other end.
fn host() -> Host {
    let device = TunTap::open("tun0", 1500).expect("a TUN");
    succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", "tun0"]);
    succeed(5, "ip", &["link", "set", "dev", "tun0", "up"]);
    Host::builder()
        .address("192.0.2.2/24")
        .config(|config| {
            config.tcp.recv_buffer = BUFFER;
            config.tcp.send_buffer = BUFFER;
        })
        .start(device)
        .expect("a running stack")
}

/// What `connections` full buffers may pin: twice their payload, and a little for each.
fn worst_case(connections: usize) -> usize {
    connections * (2 * BUFFER + 1024)
}

/// Waits for something that must happen soon.
#[track_caller]
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < end, "not in 30 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Writes until nothing more is taken for a while, and says how much was.
fn fill(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a time-out");
    let piece = noise(1, 64 * 1024);
    let mut total = 0;
    loop {
        match stream.write(&piece[total % piece.len()..]) {
            Ok(n) => total += n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return total,
            Err(e) => panic!("writing ended by {e}"),
        }
        assert!(total < 1 << 30, "somebody takes everything");
    }
}

fn never_accepts() {
    const BACKLOG: usize = 4;
    let host = host();
    let listener = host.listen_with(at(80), BACKLOG).expect("a listener");
    let mut clients: Vec<TcpStream> =
        (0..40).filter_map(|_| TcpStream::connect_timeout(&at(80), Duration::from_millis(200)).ok()).collect();
    assert!(clients.len() >= BACKLOG, "only {} connected", clients.len());
    for client in &mut clients {
        client.set_nonblocking(true).expect("not blocking");
        // Past the backlog the kernel has a connection that the stack does not: what it writes is not taken.
        let _ = client.write(&noise(2, 64 * 1024));
    }
    std::thread::sleep(Duration::from_secs(1));
    let held = host.snapshot().iter().filter(|c| c.state == State::Established).count();
    assert!((1..=BACKLOG + 1).contains(&held), "{held} connections are held for a backlog of {BACKLOG}");
    assert!(host.memory() <= worst_case(BACKLOG + 1), "{} bytes are held", host.memory());

    // The listener goes: who was waiting is reset, and nothing is left.
    drop(listener);
    let was_reset = |mut client: TcpStream| {
        client.set_nonblocking(false).expect("blocking");
        client.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        matches!(client.read(&mut [0; 1]), Err(e) if e.kind() == ErrorKind::ConnectionReset)
    };
    let reset = clients.into_iter().map(was_reset).filter(|&reset| reset).count();
    assert!(reset >= held, "not all who waited were reset");
    soon("no memory is held", || host.memory() == 0);
    host.shutdown(Duration::from_secs(1));
}

fn accepts_late() {
    const CLIENTS: usize = 30;
    let host = host();
    let listener = host.listen_with(at(80), 4).expect("a listener");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|i| {
                scope.spawn(move || {
                    // Its SYN may have to be sent again and again.
                    let mut stream = TcpStream::connect_timeout(&at(80), Duration::from_secs(40)).expect("connecting");
                    stream.set_read_timeout(Some(Duration::from_secs(40))).expect("a time-out");
                    stream.write_all(&[i as u8; 1000]).expect("writing");
                    let mut back = [0; 1000];
                    stream.read_exact(&mut back).map(|()| back == [i as u8; 1000])
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(700));
        for _ in 0..CLIENTS {
            let (mut stream, _) = listener.accept().expect("a connection");
            scope.spawn(move || {
                let mut buf = [0; 1000];
                stream.read_exact(&mut buf).and_then(|()| stream.write_all(&buf)).expect("an exchange");
            });
        }
        for (i, client) in clients.into_iter().enumerate() {
            let right = client.join().expect("a client").unwrap_or_else(|e| panic!("client {i}: {e}"));
            assert!(right, "client {i} got other bytes");
        }
    });
    host.shutdown(Duration::from_secs(1));
}

fn never_reads() {
    let host = host();
    let listener = host.listen(at(80)).expect("a listener");
    let mut client = connect(80);
    let (mut stream, _) = listener.accept().expect("its connection");
    let sent = fill(&mut client);
    assert!(sent >= BUFFER / 2, "only {sent} bytes were taken");
    assert!(host.memory() <= worst_case(1), "{} bytes are held", host.memory());
    // The window stays shut, the kernel probes it, and the connection lives.
    std::thread::sleep(Duration::from_secs(3));
    assert!(host.memory() <= worst_case(1), "{} bytes are held", host.memory());
    assert_eq!(stream.info().expect("its numbers").state, State::Established);

    // Late, but not too late: all of it is there.
    client.shutdown(Shutdown::Write).expect("no more");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("reading at last");
    let piece = noise(1, 64 * 1024);
    let wanted: Vec<u8> = piece.iter().copied().cycle().take(sent).collect();
    assert_eq!((all.len(), sha256(&all)), (sent, sha256(&wanted)));
    assert_eq!(host.memory(), 0);
    host.shutdown(Duration::from_secs(1));
}

fn dies() {
    let host = host();
    let listener = host.listen(at(80)).expect("a listener");

    // With data unread: the peer must know that it was not read (RFC 2525 2.17).
    let mut client = connect(80);
    let (stream, _) = listener.accept().expect("its connection");
    client.write_all(b"is anybody there?").expect("writing");
    soon("the data arrives", || stream.info().expect("its numbers").recv_queue == 17);
    drop(stream);
    let error = client.read(&mut [0; 1]).expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    // With nothing unread: an ordinary end, and what comes later finds nobody.
    let mut client = connect(80);
    let (mut stream, _) = listener.accept().expect("its connection");
    stream.write_all(b"goodbye").expect("writing");
    drop(stream);
    let mut last = Vec::new();
    client.read_to_end(&mut last).expect("the end");
    assert_eq!(last, b"goodbye");
    client.write_all(b"wait").expect("the kernel takes it");
    soon("writing to nobody is refused", || client.write_all(b"?").is_err());

    // A thread that panics drops its sockets, too.
    let mut client = connect(80);
    let worker = std::thread::spawn(move || {
        let (_stream, _) = listener.accept().expect("its connection");
        std::panic::resume_unwind(Box::new("a bug in the application"));
    });
    assert!(worker.join().is_err());
    assert_eq!(client.read(&mut [0; 1]).expect("the end"), 0);
    soon("no memory is held", || host.memory() == 0);
    drop(client);
    soon("no connection is left", || host.snapshot().iter().all(|c| c.state == State::TimeWait));
    host.shutdown(Duration::from_secs(1));
}

fn peer_never_reads() {
    let host = host();
    let listener = host.listen(at(80)).expect("a listener");
    let lazy = connect(80);
    let (mut stream, _) = listener.accept().expect("its connection");
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a time-out");
    let piece = noise(3, 64 * 1024);
    let mut total = 0;
    let error = loop {
        match stream.write(&piece) {
            Ok(n) => total += n,
            Err(e) => break e,
        }
        assert!(total < 1 << 30, "somebody takes everything");
    };
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    assert!(total >= BUFFER, "only {total} bytes were taken");
    assert!(host.memory() <= worst_case(1), "{} bytes are held", host.memory());

    // Nobody else has to wait for it, who waits still.
    let mut other = connect(80);
    let (mut served, _) = listener.accept().expect("its connection");
    served.write_all(b"next, please").expect("writing");
    other.read_exact(&mut [0; 12]).expect("reading");
    assert!(stream.write(&piece).is_err(), "there is room for it again");

    // The application gives up; the peer is told, and the memory comes back.
    stream.set_linger(Some(Duration::ZERO)).expect("no patience");
    drop(stream);
    soon("the memory is given back", || host.memory() == 0);
    drop(lazy);
    host.shutdown(Duration::from_secs(1));
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process's own status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number of KiB");
    kib * 1024
}

/// While we probe its shut window, what the kernel sends is acknowledged as fast as ever: it looks at no ACK with a number
/// behind the octet of the probe, which it has refused.
fn peer_only_writes() {
    const TOTAL: usize = 16 << 20;
    let host = host();
    let listener = host.listen(at(80)).expect("a listener");
    let mut client = connect(80);
    let (mut stream, _) = listener.accept().expect("its connection");
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a time-out");
    while stream.write(&[0; 64 * 1024]).is_ok() {}
    soon("its window is probed", || host.stats().tcp.window_probes > 0);
    let writer = std::thread::spawn(move || {
        client.write_all(&noise(4, TOTAL)).expect("all is taken");
        client
    });
    let mut all = vec![0; TOTAL];
    stream.read_exact(&mut all).expect("all of it");
    assert_eq!(sha256(&all), sha256(&noise(4, TOTAL)));
    drop(writer.join().expect("the writer"));
    host.shutdown(Duration::from_secs(1));
}

/// The kernel holds the other ends, so what this process grows by is ours: the stack's state, the sockets' handles, and
/// the descriptors of the clients, which cost a process nothing to speak of.
fn idle() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).expect("a higher limit");
    let wanted = limit.maximum.map_or(10_000, |most| (most as usize).saturating_sub(100).min(10_000));
    let host = host();
    let listener = host.listen_with(at(80), 1024).expect("a listener");
    let mut held = Vec::with_capacity(wanted);
    let mut clients = Vec::with_capacity(wanted);
    let mut exchange = |count: usize| {
        for _ in 0..count {
            let mut client = connect(80);
            let (mut stream, _) = listener.accept().expect("a connection");
            // Buffers that were in use and are not any more.
            client.write_all(b"hello").expect("writing");
            stream.read_exact(&mut [0; 5]).expect("reading");
            stream.write_all(b"hello").expect("writing");
            client.read_exact(&mut [0; 5]).expect("reading");
            held.push(stream);
            clients.push(client);
        }
    };
    exchange(100); // what grows once: pools, queues, stacks of threads
    let before = resident();
    exchange(wanted - 100);
    soon("all is acknowledged", || host.memory() == 0);
    let each = resident().saturating_sub(before) / (wanted - 100);
    println!("{wanted} idle connections: {each} bytes of resident memory each");
    assert!(each <= 2048, "{each} bytes for an idle connection");
    assert_eq!(host.snapshot().iter().filter(|c| c.state == State::Established).count(), wanted);
    host.shutdown(Duration::ZERO);
}
