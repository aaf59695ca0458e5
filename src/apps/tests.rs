//! The small services as a client meets them.

use super::event_loop::EventLoop;
use super::service::{Limits, Service, spawn_udp};
use super::testing::{hosts, serve, serve_on_loop};
use super::{chargen, daytime, discard, echo, hello};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

#[test]
fn echo_gives_back_every_byte_and_then_the_end() {
    let served = serve_on_loop(echo::Echo, Limits::default());
    let sent: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
    let (stream, to_send) = (served.connect(), sent.clone());
    let writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        (&writer).write_all(&to_send).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    (&stream).read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent, "{} bytes came back of {}", received.len(), sent.len());
}

#[test]
fn discard_takes_all_and_says_nothing() {
    let served = serve_on_loop(discard::Discard, Limits::default());
    let mut stream = served.connect();
    stream.write_all(&[b'x'; 100_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"");
}

#[test]
fn chargen_goes_on_until_the_client_has_seen_enough() {
    let served = serve_on_loop(chargen::Chargen::new(), Limits::default());
    let mut stream = served.connect();
    let mut received = vec![0; 95 * 74 * 3];
    stream.write_all(b"this is thrown away").unwrap();
    stream.read_exact(&mut received).unwrap();
    assert!(received[..95 * 74] == received[95 * 74..95 * 74 * 2]);
    stream.shutdown(Shutdown::Write).unwrap();
    // What is under way still comes, then the end: a reset is one too, for the service stops in the middle.
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn daytime_is_one_line() {
    let line = serve(daytime::Daytime, Limits::default()).exchange(b"");
    assert!(line.ends_with(b" GMT\r\n") && line.len() == 31, "{line:?}");
}

#[test]
fn hello_greets_until_exit() {
    let served = serve(hello::Hello, Limits::default());
    let said = String::from_utf8(served.exchange(b"Ada\r\nGrace\nexit\n")).unwrap();
    assert_eq!(said, "Welcome! Tell me your name, or say exit.\nHello, Ada!\nHello, Grace!\nGoodbye!\n");
    let said = String::from_utf8(served.exchange(&[b'x'; 1024])).unwrap();
    assert!(said.ends_with("too long for a name. Goodbye!\n"), "{said}");
}

#[test]
fn a_silent_client_is_let_go() {
    let limits = Limits { idle: Duration::from_millis(100), ..Limits::default() };
    let served = serve_on_loop(echo::Echo, limits);
    let begun = Instant::now();
    let mut stream = served.connect();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_client_too_many_is_turned_away_and_the_next_one_served() {
    struct Stop;
    impl Service for Stop {
        fn serve(&self, mut stream: &crate::net::TcpStream) -> std::io::Result<()> {
            stream.read_exact(&mut [0; 1])
        }
    }
    let served = serve(Stop, Limits { connections: 2, ..Limits::default() });
    let mut held: Vec<_> = (0..2).map(|_| served.connect()).collect();
    assert_eq!(served.connect().read(&mut [0; 1]).unwrap(), 0);
    held[0].write_all(b"x").unwrap();
    assert_eq!(held[0].read(&mut [0; 1]).unwrap(), 0);
    let mut again = served.connect();
    again.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let waits = again.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(waits.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{waits}");
}

#[test]
fn datagrams_are_answered_but_not_those_of_another_such_service() {
    let (server, client) = hosts();
    let mut event_loop = EventLoop::new(&server, Limits::default()).unwrap();
    event_loop.udp("echo", server.bind_udp("192.0.2.2:7").unwrap(), echo::answer).unwrap();
    event_loop.spawn().unwrap();
    spawn_udp("hello", server.bind_udp("192.0.2.2:8").unwrap(), hello::answer).unwrap();
    let ask = |from: &str, to: &str| {
        let socket = client.bind_udp(from).unwrap();
        // The other service's port is waited for in vain.
        let patience = Duration::from_millis(if from.ends_with(":19") { 200 } else { 20_000 });
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.send_to(b"ping", to).unwrap();
        let mut buf = [0; 16];
        socket.recv_from(&mut buf).map(|(n, _)| buf[..n].to_vec())
    };
    assert_eq!(ask("192.0.2.1:4000", "192.0.2.2:7").unwrap(), b"ping");
    assert!(ask("192.0.2.1:19", "192.0.2.2:7").is_err());
    assert_eq!(ask("192.0.2.1:4000", "192.0.2.2:8").unwrap(), b"Hello, ping!\n");
    assert!(ask("192.0.2.1:19", "192.0.2.2:8").is_err());
}

#[test]
fn on_a_loop_too_one_too_many_is_turned_away_and_the_next_one_served() {
    let served = serve_on_loop(echo::Echo, Limits { connections: 2, ..Limits::default() });
    let ping = |stream: &mut crate::net::TcpStream| {
        stream.write_all(b"x").unwrap();
        stream.read(&mut [0; 1]).unwrap()
    };
    let mut held: Vec<_> = (0..2).map(|_| served.connect()).collect();
    assert!(held.iter_mut().all(|stream| ping(stream) == 1));
    assert_eq!(served.connect().read(&mut [0; 1]).unwrap(), 0);
    held[0].shutdown(Shutdown::Write).unwrap();
    assert_eq!(held[0].read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(ping(&mut served.connect()), 1);
    assert_eq!(ping(&mut held[1]), 1);
}

#[test]
fn a_client_that_takes_nothing_does_not_keep_others_waiting() {
    let served = serve_on_loop(echo::Echo, Limits::default());
    let mut greedy = served.connect();
    greedy.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    while greedy.write(&[b'x'; 65_536]).is_ok() {}
    let mut other = served.connect();
    for _ in 0..100 {
        other.write_all(b"y").unwrap();
        other.read_exact(&mut [0; 1]).unwrap();
    }
    let mut byte = [0; 1];
    greedy.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"x");
}
