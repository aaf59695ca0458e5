//! Hosts: how they begin, how they end, and what bad devices do to them.

use super::common::*;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tunstack::buf::Chunk;
use tunstack::device::impair::{Impaired, Impairment};
use tunstack::device::{Device, mem};
use tunstack::net::Host;
use tunstack::runtime::{Tap, clock};
use tunstack::stack::Cidr;
use tunstack::stats::{Disposition, DropReason};
use tunstack::tcp::state::State;
use tunstack::trace::TraceEvent;
use tunstack::wire::{RxFrame, RxMeta, TxFrame};

const MS: Duration = Duration::from_millis(1);

/// A device of the kernel's that is full after a few frames, and now and then as if it were, and then polls writable
/// again: datagrams between two descriptors. It can be broken.
struct Datagrams {
    socket: UnixDatagram,
    broken: Arc<AtomicBool>,
    full: Arc<AtomicU64>,
    sends: AtomicU64,
    /// The frame that it had no room for.
    refused: Mutex<Option<Vec<u8>>>,
}

impl Datagrams {
    fn pair() -> (Datagrams, Datagrams) {
        let (a, b) = UnixDatagram::pair().unwrap();
        let device = |socket: UnixDatagram| {
            socket.set_nonblocking(true).unwrap();
            Datagrams {
                socket,
                broken: Arc::default(),
                full: Arc::default(),
                sends: AtomicU64::new(0),
                refused: Mutex::default(),
            }
        };
        (device(a), device(b))
    }
}

impl Device for Datagrams {
    fn recv(&self, _: tunstack::time::Instant, chunk: &mut Chunk) -> io::Result<RxMeta> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(77)); // EBADFD, as a TUN that was deleted
        }
        let n = self.socket.recv(chunk.space())?;
        chunk.set_len(n);
        Ok(RxMeta::default())
    }

    fn send(&self, _: tunstack::time::Instant, frame: &TxFrame) -> io::Result<()> {
        let bytes = frame.to_vec();
        let mut refused = self.refused.lock().unwrap();
        if let Some(refused) = refused.take() {
            assert!(refused == bytes, "what found no room goes before all else");
        }
        let full = self.sends.fetch_add(1, Ordering::SeqCst) % 50 == 49;
        let result = if full { Err(ErrorKind::WouldBlock.into()) } else { self.socket.send(&bytes) };
        if result.as_ref().is_err_and(|e| e.kind() == ErrorKind::WouldBlock) {
            self.full.fetch_add(1, Ordering::SeqCst);
            *refused = Some(bytes);
        }
        result.map(drop)
    }

    fn mtu(&self) -> usize {
        1500
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn transfer(client: &Host, server: &Host, len: u64) {
    let (near, far) = connection(client, server);
    thread::scope(|scope| {
        scope.spawn(|| {
            write_stream(&near, 1, len);
            near.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| {
            check_stream(&far, 1, len);
            write_stream(&far, 2, len);
            far.shutdown(Shutdown::Write).unwrap();
        });
        check_stream(&near, 2, len);
    });
}

#[test]
fn a_device_that_is_full_for_a_moment_loses_nothing() {
    within(120, || {
        let (a, b) = Datagrams::pair();
        let full = [a.full.clone(), b.full.clone()];
        let (client, server) = hosts_on(a, b);
        transfer(&client, &server, 4 << 20);
        assert!(full.iter().any(|n| n.load(Ordering::SeqCst) > 0), "it was never full");
        for host in [client, server] {
            assert!(host.is_alive() && host.send_errors() == 0);
        }
    });
}

#[test]
fn under_memory_pressure_all_connections_go_on() {
    within(120, || {
        let (a, b) = mem::pair(1500, 4096).unwrap();
        let start = |address, device| builder(address).config(|c| c.memory = 512 << 10).start(device).unwrap();
        let (client, server) = (start(CLIENT, a), start(SERVER, b));
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| transfer(&client, &server, 400_000));
            }
        });
    });
}

#[test]
fn a_bad_link_delivers_everything() {
    within(120, || {
        let (a, b) = mem::pair(1500, 4096).unwrap();
        let spec: Impairment = "loss=2%,delay=1ms,jitter=1ms".parse().unwrap();
        let a = Impaired::new(a, spec.clone(), spec, [9; 32], clock::now());
        let (client, server) = hosts_on(a, b);
        transfer(&client, &server, 300_000);
    });
}

#[test]
fn a_device_that_is_gone_ends_everything_with_an_error() {
    within(60, || {
        let (a, b) = Datagrams::pair();
        let broken = a.broken.clone();
        let (client, server) = hosts_on(a, b);
        let (near, mut far) = connection(&client, &server);
        let listener = client.listen((CLIENT, 80)).unwrap();
        let udp = client.bind_udp((CLIENT, 80)).unwrap();
        far.write_all(b"received before").unwrap();
        near.peek(&mut [0; 1]).unwrap();

        let (near, listener, udp) = (Arc::new(near), Arc::new(listener), Arc::new(udp));
        let (tell, told) = mpsc::channel();
        let waits: Vec<thread::JoinHandle<ErrorKind>> = vec![
            thread::spawn({
                let near = near.clone();
                move || {
                    (&*near).read_exact(&mut [0; 15]).unwrap();
                    tell.send(()).unwrap();
                    (&*near).read(&mut [0; 15]).unwrap_err().kind()
                }
            }),
            thread::spawn({
                let near = near.clone();
                move || (&*near).write_all(&vec![0; 64 << 20]).unwrap_err().kind()
            }),
            thread::spawn({
                let listener = listener.clone();
                move || {
                    let mut incoming = listener.incoming();
                    let kind = incoming.next().unwrap().unwrap_err().kind();
                    assert!(incoming.next().is_none());
                    kind
                }
            }),
            thread::spawn({
                let udp = udp.clone();
                move || udp.recv(&mut [0; 1]).unwrap_err().kind()
            }),
            thread::spawn({
                let client = client.clone();
                move || client.connect("192.0.2.77:1").unwrap_err().kind()
            }),
        ];
        told.recv().unwrap();
        thread::sleep(50 * MS);
        broken.store(true, Ordering::SeqCst);
        server.bind_udp((SERVER, 0)).unwrap().send_to(b"wake up", (CLIENT, 80)).unwrap();
        assert_eq!(client.wait_closed().unwrap_err().raw_os_error(), Some(77));
        assert!(!client.is_alive() && server.is_alive());
        for wait in waits {
            assert_eq!(wait.join().unwrap(), ErrorKind::NetworkDown);
        }
        assert_eq!(client.connect((SERVER, 1)).unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!(udp.send_to(b"x", (SERVER, 1)).unwrap_err().kind(), ErrorKind::NetworkDown);
        assert_eq!(near.set_nodelay(true).unwrap_err().kind(), ErrorKind::NetworkDown);
        client.shutdown(Duration::from_secs(20));
    });
}

#[test]
fn a_shutdown_delivers_what_was_written_and_says_good_bye() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen((SERVER, 80)).unwrap();
        let clone = listener.try_clone().unwrap();
        let acceptor = thread::spawn(move || clone.incoming().filter(|s| s.is_ok()).count());
        let late = server.listen((SERVER, 81)).unwrap();
        let near = client.connect((SERVER, 81)).unwrap();
        let (mut far, _) = late.accept().unwrap();
        far.write_all(&vec![5; 200_000]).unwrap();
        let udp = server.bind_udp((SERVER, 80)).unwrap();
        let receiver = thread::spawn(move || udp.recv(&mut [0; 1]).unwrap_err().kind());

        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            (&near).read_to_end(&mut all).unwrap();
            all.len()
        });
        let began = Instant::now();
        server.shutdown(Duration::from_secs(30));
        assert!(began.elapsed() < Duration::from_secs(15), "the peer has closed too: no need to wait");
        assert_eq!(reader.join().unwrap(), 200_000);
        assert_eq!(acceptor.join().unwrap(), 0);
        assert_eq!(receiver.join().unwrap(), ErrorKind::ConnectionAborted);
        assert!(!server.is_alive());
        server.wait_closed().unwrap();
        assert_eq!(server.listen((SERVER, 82)).unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(far.write(b"x").unwrap_err().kind(), ErrorKind::ConnectionAborted);
        server.shutdown(Duration::from_secs(30));
    });
}

#[test]
fn a_peer_that_stays_is_reset_after_the_grace() {
    within(60, || {
        let (client, server) = hosts();
        let (near, far) = connection(&client, &server);
        let began = Instant::now();
        server.shutdown(100 * MS);
        assert!(began.elapsed() >= 100 * MS && began.elapsed() < Duration::from_secs(10));
        while near.info().unwrap().state != State::Closed {
            assert!(began.elapsed() < Duration::from_secs(20), "no RST came");
            thread::sleep(MS);
        }
        drop(far);
    });
}

#[test]
fn a_thousand_connections_are_reset_too_whether_held_or_given_up() {
    within(60, || {
        let (client, server) = hosts();
        let listener = server.listen_with((SERVER, 80), 1000).unwrap();
        let pairs: Vec<_> = (0..1000)
            .map(|_| {
                let near = client.connect((SERVER, 80)).unwrap();
                (near, Some(listener.accept().unwrap().0))
            })
            .collect();
        let near: Vec<_> =
            pairs.into_iter().enumerate().map(|(n, (near, far))| (near, far.filter(|_| n % 2 == 0))).collect();
        server.shutdown(20 * MS);
        // Where a FIN takes another queue than the RST behind it and comes later, the RST is challenged (RFC 5961 3.2), and
        // nobody is left to answer.
        until("all are reset", || {
            let open = near.iter().filter(|(near, _)| near.info().unwrap().state != State::Closed).count();
            open as u64 <= client.stats().dropped(DropReason::TcpResetChallenged)
        });
    });
}

#[test]
fn the_device_is_closed_when_the_last_handle_goes_or_the_host_is_shut_down() {
    within(60, || {
        for shutdown in [false, true] {
            let device: Arc<dyn Device> = Arc::new(mem::pair(1500, 16).unwrap().0);
            let host = builder(CLIENT).start_shared(device.clone()).unwrap();
            let listener = host.listen((CLIENT, 80)).unwrap();
            assert!(Arc::strong_count(&device) > 1);
            if shutdown {
                host.shutdown(Duration::ZERO);
                assert_eq!(Arc::strong_count(&device), 1);
                drop((listener, host));
            } else {
                drop(host);
                assert!(Arc::strong_count(&device) > 1, "a socket keeps its host alive");
                assert!(listener.host().is_alive());
                drop(listener);
                assert_eq!(Arc::strong_count(&device), 1);
            }
        }
    });
}

/// Counts what it is shown; panics when told to.
#[derive(Clone, Default)]
struct Counts {
    rx: Arc<AtomicU64>,
    tx: Arc<AtomicU64>,
    events: Arc<AtomicU64>,
    flushes: Arc<AtomicU64>,
    panics: Arc<AtomicBool>,
}

impl Counts {
    fn count(&self, what: &AtomicU64, events: &mut dyn Iterator<Item = TraceEvent>) {
        assert!(!self.panics.load(Ordering::SeqCst), "a tap that panics, as the test wants");
        what.fetch_add(1, Ordering::SeqCst);
        self.events.fetch_add(events.count() as u64, Ordering::SeqCst);
    }
}

impl Tap for Counts {
    fn rx(
        &mut self,
        _: tunstack::time::Instant,
        _: &RxFrame,
        _: Disposition,
        events: &mut dyn Iterator<Item = TraceEvent>,
    ) {
        self.count(&self.rx, events);
    }

    fn tx(&mut self, _: tunstack::time::Instant, _: &TxFrame, events: &mut dyn Iterator<Item = TraceEvent>) {
        self.count(&self.tx, events);
    }

    fn flush(&mut self) {
        self.flushes.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn taps_see_every_frame_and_are_flushed() {
    within(60, || {
        let (a, b) = mem::pair(1500, 4096).unwrap();
        let (one, two) = (Counts::default(), Counts::default());
        let client = builder(CLIENT).tap(one.clone()).tap(two.clone()).start(a).unwrap();
        let server = builder(SERVER).start(b).unwrap();
        transfer(&client, &server, 100_000);
        server.shutdown(Duration::from_secs(1));
        client.shutdown(Duration::from_secs(1));
        let stats = client.stats();
        for tap in [one, two] {
            assert_eq!(tap.rx.load(Ordering::SeqCst), stats.frames_in);
            assert_eq!(tap.tx.load(Ordering::SeqCst), stats.frames_out);
            assert!(tap.events.load(Ordering::SeqCst) >= 4, "handshake and close are transitions");
            assert_eq!(tap.flushes.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn a_panic_under_the_lock_is_an_error_for_all_and_no_hang() {
    within(60, || {
        // In the caretaker, and in an application's own thread.
        for in_caretaker in [true, false] {
            let (a, b) = mem::pair(1500, 4096).unwrap();
            let tap = Counts::default();
            let client = builder(CLIENT).tap(tap.clone()).start(a).unwrap();
            let server = builder(SERVER).start(b).unwrap();
            let (near, mut far) = connection(&client, &server);
            let near = Arc::new(near);
            let reader = thread::spawn({
                let near = near.clone();
                move || (&*near).read(&mut [0; 1]).unwrap_err().kind()
            });
            thread::sleep(30 * MS);
            tap.panics.store(true, Ordering::SeqCst);
            if in_caretaker {
                far.write_all(b"x").unwrap();
            } else {
                let near = near.clone();
                thread::spawn(move || (&*near).write(b"x")).join().unwrap_err();
            }
            assert_eq!(reader.join().unwrap(), ErrorKind::NetworkDown);
            assert!(client.wait_closed().unwrap_err().to_string().contains("panicked"));
            assert!(!client.is_alive() && server.is_alive());
            assert_eq!((&*near).write(b"x").unwrap_err().kind(), ErrorKind::NetworkDown);
            client.shutdown(Duration::from_secs(20));
        }
    });
}

#[test]
fn a_capture_is_a_pcapng_file_with_comments() {
    within(60, || {
        let (a, b) = mem::pair(1500, 4096).unwrap();
        let path = tempfile::NamedTempFile::new().unwrap();
        let client = builder(CLIENT).capture(path.reopen().unwrap()).start(a).unwrap();
        let server = builder(SERVER).start(b).unwrap();
        transfer(&client, &server, 1000);
        client.flush();
        let file = std::fs::read(path.path()).unwrap();
        assert_eq!(file[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
        for text in [&b"SYN-SENT -> ESTABLISHED"[..], b"CLOSED -> SYN-SENT"] {
            assert!(file.windows(text.len()).any(|part| part == text), "{}", String::from_utf8_lossy(text));
        }
    });
}

#[test]
fn what_cannot_be_started_says_why() {
    let start = |builder: tunstack::net::Builder| {
        let error = builder.start(mem::pair(1500, 16).unwrap().0).unwrap_err();
        (error.kind(), error.to_string())
    };
    for (builder, word) in [
        (Host::builder(), "address"),
        (Host::builder().address("192.0.2.300/24"), "192.0.2.300"),
        (Host::builder().address("192.0.2.2/24").mtu(9000), "9000"),
        (Host::builder().address("192.0.2.2/24").mtu(20), ""),
        (Host::builder().address("192.0.2.2/24").config(|c| c.tcp.ephemeral_low = 0), ""),
    ] {
        let (kind, text) = start(builder);
        assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
        assert!(text.contains(word), "{text}");
    }
    let host = Host::builder().address("192.0.2.2/24").seed([1; 32]).start(mem::pair(1400, 16).unwrap().0).unwrap();
    assert_eq!(host.addresses(), [Cidr::new("192.0.2.2".parse().unwrap(), 24)]);
    assert_eq!(host.config().mtu, 1400, "the device's");
}
