//! A TUN of several queues, each served by a shard of its own, with the kernel choosing the queue of every packet.

use crate::harness::{Daemon, Test, at, noise, sha256, succeed};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tunstack::device::Device;
use tunstack::device::tun::Tun;
use tunstack::net::Host;
use tunstack::sys::tun::TunError;
use tunstack::wire::Offloads;

pub const TESTS: &[Test] = &[
    Test { name: "queues::eight_flows_both_ways", tools: &["ip"], limit: 120, body: bulk },
    Test { name: "queues::connections_of_ours", tools: &["ip"], limit: 60, body: connects },
    Test { name: "queues::many_threads_accept", tools: &["ip"], limit: 60, body: accepts },
    Test { name: "queues::datagrams", tools: &["ip"], limit: 60, body: datagrams },
    Test { name: "queues::serve_shows_all", tools: &["ip"], limit: 90, body: serve },
    Test { name: "queues::a_link_for_one", tools: &["ip"], limit: 30, body: single },
    Test { name: "queues::a_link_that_waits", tools: &["ip"], limit: 60, body: persistent },
];

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

fn host(queues: usize) -> Host {
    let tuns = Tun::open_queues("tun%d", 1500, Offloads::ALL, queues).expect("a TUN");
    assert_eq!(tuns.len(), queues);
    let name = tuns[0].name().to_owned();
    assert!(tuns.iter().all(|tun| tun.name() == name));
    succeed(5, "ip", &["address", "add", "192.0.2.1/24", "dev", &name]);
    succeed(5, "ip", &["link", "set", "dev", &name, "up"]);
    let devices = tuns.into_iter().map(|tun| Arc::new(tun) as Arc<dyn Device>).collect();
    Host::builder().address("192.0.2.2/24").start_queues(devices).expect("a running stack")
}

fn kernel_connects(port: u16) -> TcpStream {
    let stream = TcpStream::connect_timeout(&at(port), Duration::from_secs(20)).expect("connecting");
    stream.set_read_timeout(PATIENCE).expect("a time-out");
    stream
}

/// Sends `len` bytes each way at once, and wants them whole.
fn exchange(ours: tunstack::net::TcpStream, kernels: TcpStream, seed: u64, len: usize) {
    let (there, back) = (noise(seed, len), noise(seed + 1000, len));
    thread::scope(|scope| {
        scope.spawn(|| {
            (&ours).write_all(&there).expect("sending");
            ours.shutdown(Shutdown::Write).expect("ending");
        });
        scope.spawn(|| {
            (&kernels).write_all(&back).expect("sending");
            kernels.shutdown(Shutdown::Write).expect("ending");
        });
        scope.spawn(|| {
            let mut all = Vec::new();
            (&kernels).read_to_end(&mut all).expect("all of it");
            assert_eq!(sha256(&all), sha256(&there));
        });
        let mut all = Vec::new();
        (&ours).read_to_end(&mut all).expect("all of it");
        assert_eq!(sha256(&all), sha256(&back));
    });
}

fn bulk() {
    let host = host(2);
    let listener = host.listen("192.0.2.2:80").expect("a listener");
    let open = || {
        let kernels = kernel_connects(80);
        (listener.accept().expect("a connection").0, kernels)
    };
    let mut flows: Vec<_> = (0..8).map(|_| open()).collect();
    // All of eight hash to one queue once in a hundred times; of 64, never.
    while flows.iter().map(|(ours, _)| ours.queue()).collect::<BTreeSet<_>>().len() < 2 {
        flows.push(open());
        assert!(flows.len() < 64, "all are of one queue");
    }
    let count = flows.len() as u64;
    thread::scope(|scope| {
        for (seed, (ours, kernels)) in (0..).zip(flows) {
            scope.spawn(move || exchange(ours, kernels, seed, 10_000_000));
        }
    });
    let stats = host.stats();
    assert_eq!((stats.tcp.passive_opens, host.send_errors()), (count, 0));
    // Where the machine is slow, a FIN may go twice, as a tail loss probe: the answer to the second finds nobody any more.
    let again = stats.tcp.tail_probes + stats.tcp.rto;
    assert!(stats.tcp.resets_out <= again, "{} resets, {again} FINs may have gone twice", stats.tcp.resets_out);
    // The kernel's choice follows ours: a packet that comes to the wrong queue is an exception.
    assert!(stats.misdirected * 100 < stats.frames_in, "{} of {}", stats.misdirected, stats.frames_in);
    host.shutdown(Duration::from_secs(2));
}

/// The first answer to our own SYN often comes to another queue, for the kernel has not heard of the flow yet.
fn connects() {
    let host = host(4);
    let listener = TcpListener::bind("192.0.2.1:0").expect("a listener");
    let to = listener.local_addr().expect("its address");
    let mut late = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                let (mut stream, _) = listener.accept().expect("a connection");
                stream.set_read_timeout(PATIENCE).expect("a time-out");
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("a byte");
                stream.write_all(&byte).expect("sending");
            }
        });
        for round in 0..200u8 {
            let begun = Instant::now();
            let mut stream = host.connect_timeout(&to, Duration::from_secs(10)).expect("a connection");
            assert_eq!(stream.queue(), usize::from(stream.local_addr().expect("an address").port()) % 4);
            stream.set_read_timeout(PATIENCE).expect("a time-out");
            stream.write_all(&[round]).expect("sending");
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a byte");
            assert_eq!(byte[0], round);
            late += u32::from(begun.elapsed() > Duration::from_millis(900));
        }
    });
    // One answer in three comes to another queue: were those lost, so many SYNs would go again, after a second each.
    assert!(late < 20, "{late} of 200 had to be sent again");
    let stats = host.stats();
    eprintln!("{} of {} frames were misdirected", stats.misdirected, stats.frames_in);
    assert_eq!((stats.tcp.active_opens, stats.tcp.attempt_fails, stats.tcp.established_resets), (200, 0, 0));
    host.shutdown(Duration::from_secs(2));
}

fn accepts() {
    let host = host(3);
    let listener = host.listen_with("192.0.2.2:80", 256).expect("a listener");
    let served: Vec<usize> = thread::scope(|scope| {
        let servers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut served = 0;
                    loop {
                        let (mut stream, _) = listener.accept().expect("a connection");
                        stream.set_read_timeout(PATIENCE).expect("a time-out");
                        let mut byte = [0];
                        stream.read_exact(&mut byte).expect("a byte");
                        if byte[0] == b'q' {
                            return served;
                        }
                        stream.write_all(&byte).expect("sending");
                        served += 1;
                    }
                })
            })
            .collect();
        for round in 0..300 {
            let mut stream = kernel_connects(80);
            stream.write_all(&[round as u8 & 31]).expect("sending");
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("accepted and answered");
            assert_eq!(byte[0], round as u8 & 31);
        }
        for _ in 0..6 {
            kernel_connects(80).write_all(b"q").expect("sending");
        }
        servers.into_iter().map(|server| server.join().expect("a server")).collect()
    });
    assert_eq!(served.iter().sum::<usize>(), 300);
    host.shutdown(Duration::from_secs(1));
}

fn datagrams() {
    let host = host(4);
    let socket = host.bind_udp("192.0.2.2:7").expect("a socket");
    socket.set_read_timeout(PATIENCE).expect("a time-out");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buf = [0; 100];
            for _ in 0..500 {
                let (n, from) = socket.recv_from(&mut buf).expect("a datagram");
                socket.send_to(&buf[..n], from).expect("sending");
            }
        });
        let kernels: Vec<_> = (0..25).map(|_| UdpSocket::bind("192.0.2.1:0").expect("a socket")).collect();
        for round in 0..500usize {
            let kernels = &kernels[round % 25];
            kernels.set_read_timeout(PATIENCE).expect("a time-out");
            kernels.send_to(&round.to_be_bytes(), at(7)).expect("sending");
            let mut buf = [0; 100];
            let (n, _) = kernels.recv_from(&mut buf).expect("an answer");
            assert_eq!(buf[..n], round.to_be_bytes());
        }
    });
    // Nobody listens there: the error comes back to whichever queue, and is told where the socket sends.
    let ours = host.bind_udp("192.0.2.2:0").expect("a socket");
    ours.set_read_timeout(PATIENCE).expect("a time-out");
    ours.connect("192.0.2.1:9").expect("a peer");
    ours.send(b"x").expect("sending");
    assert_eq!(ours.recv(&mut [0; 1]).expect_err("refused").kind(), std::io::ErrorKind::ConnectionRefused);
    host.shutdown(Duration::from_secs(1));
}

fn serve() {
    let daemon = Daemon::serve(&["--queues", "3", "--echo", "--discard", "--http", "80"]);
    let streams: Vec<_> = (0..48)
        .map(|i| {
            let mut stream = kernel_connects(7);
            let data = noise(i, 100_000);
            stream.write_all(&data[..1000]).expect("sending");
            let mut back = vec![0; 1000];
            stream.read_exact(&mut back).expect("an echo");
            assert_eq!(back, data[..1000]);
            stream
        })
        .collect();
    let before = daemon.said().len();
    daemon.signal(Signal::USR1);
    let end = Instant::now() + Duration::from_secs(20);
    let said = loop {
        let said = daemon.said().split_off(before);
        if said.matches("ESTAB").count() == 48 || Instant::now() > end {
            break said;
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert!(said.contains(", queues 3\n"), "{said}");
    let column = |state: &str| -> Vec<&str> {
        let rows = said.lines().filter(|line| line.starts_with(state));
        rows.map(|line| line.split_whitespace().next_back().expect("a queue")).collect()
    };
    assert_eq!(column("ESTAB").len(), 48, "{said}");
    assert_eq!(column("ESTAB").into_iter().collect::<BTreeSet<_>>(), ["0", "1", "2"].into(), "{said}");
    assert_eq!(column("LISTEN").len(), 3 * 3, "each listener in each queue: {said}");
    let udp = UdpSocket::bind("192.0.2.1:0").expect("a socket");
    udp.set_read_timeout(PATIENCE).expect("a time-out");
    udp.send_to(b"ping", at(7)).expect("sending");
    assert_eq!(udp.recv(&mut [0; 10]).expect("an echo"), 4);
    succeed(10, "ip", &["link", "show", "dev", "tun0"]);
    drop(streams);
    daemon.stop();
}

fn single() {
    succeed(5, "ip", &["tuntap", "add", "dev", "one0", "mode", "tun"]);
    assert!(matches!(Tun::open_queues("one0", 1500, Offloads::ALL, 2), Err(TunError::QueueMismatch { .. })));
    let (status, said) = Daemon::fails(&["--tun", "one0", "--queues", "2"]);
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("--queues 2: one0 exists") && said.contains("multi_queue"), "{said}");
}

fn persistent() {
    for kind in [&["multi_queue"][..], &["multi_queue", "vnet_hdr"]] {
        succeed(5, "ip", &[&["tuntap", "add", "dev", "many0", "mode", "tun"], kind].concat());
        for offload in ["auto", "off"] {
            let args = ["--tun", "many0", "--queues", "2", "--echo", "--offload", offload];
            let daemon = Daemon::serve(&args);
            for seed in 0..4 {
                let mut stream = kernel_connects(7);
                let data = noise(seed, 50_000);
                stream.write_all(&data).expect("sending");
                let mut back = vec![0; data.len()];
                stream.read_exact(&mut back).expect("an echo");
                assert_eq!(sha256(&back), sha256(&data));
            }
            daemon.stop();
        }
        succeed(5, "ip", &["link", "del", "dev", "many0"]);
    }
}
