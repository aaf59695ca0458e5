//! The small services, with the clients of the socket tutorials, nc and ping.

use crate::harness::{Daemon, Test, at, connect, noise, succeed, succeed_with_input};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

pub const TESTS: &[Test] = &[
    Test { name: "sockets::python_tutorials", tools: &["python3"], limit: 60, body: tutorials },
    Test { name: "sockets::nc_echo", tools: &["nc"], limit: 30, body: nc },
    Test { name: "sockets::ping", tools: &["ping"], limit: 30, body: ping },
    Test { name: "sockets::echo_and_half_close", tools: &[], limit: 30, body: half_close },
    Test { name: "sockets::a_megabyte_through_echo", tools: &[], limit: 30, body: megabyte },
    Test { name: "sockets::udp_echo", tools: &[], limit: 20, body: udp },
    Test { name: "sockets::nobody_there", tools: &[], limit: 20, body: nobody },
    Test { name: "sockets::daytime_and_discard_and_chargen", tools: &[], limit: 30, body: others },
];

fn tutorials() {
    let daemon = Daemon::serve(&["--hello", "--echo"]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/tutorials.py");
    let said = succeed(50, "python3", &[script, "192.0.2.2"]);
    assert!(said.ends_with("all passed\n"), "{said}");
    daemon.stop();
}

fn nc() {
    let daemon = Daemon::serve(&["--echo"]);
    // -N: shut down after the end of the input; the echo's end comes back and ends nc.
    assert_eq!(succeed_with_input(10, "nc", &["-N", "192.0.2.2", "7"], b"one\ntwo\n"), "one\ntwo\n");
    let text = noise(1, 500_000).iter().map(|b| char::from(b'a' + b % 26)).collect::<String>();
    assert!(succeed_with_input(20, "nc", &["-N", "192.0.2.2", "7"], text.as_bytes()) == text, "other bytes");
    assert_eq!(succeed_with_input(10, "nc", &["-u", "-w", "1", "192.0.2.2", "7"], b"datagram"), "datagram");
    daemon.stop();
}

fn ping() {
    let daemon = Daemon::serve(&["--echo"]);
    // With a deadline it waits for its replies, however slow the machine is.
    let said = succeed(20, "ping", &["-c", "5", "-w", "15", "-i", "0.2", "192.0.2.2"]);
    assert!(said.contains(" 5 received"), "{said}");
    let said = succeed(20, "ping", &["-c", "2", "-w", "15", "-i", "0.2", "-s", "1472", "-M", "do", "192.0.2.2"]);
    assert!(said.contains("2 received"), "{said}");
    daemon.stop();
}

fn half_close() {
    let daemon = Daemon::serve(&["--echo"]);
    let mut stream = connect(7);
    assert_eq!(stream.peer_addr().expect("a peer"), at(7));
    stream.write_all(b"the last words").expect("writing");
    stream.shutdown(Shutdown::Write).expect("shutting down");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("reading to the end");
    assert_eq!(all, b"the last words");
    daemon.stop();
}

fn megabyte() {
    let daemon = Daemon::serve(&["--echo"]);
    let content = noise(2, 1 << 20);
    let mut stream = connect(7);
    let mut back = Vec::new();
    std::thread::scope(|scope| {
        let mut writer = stream.try_clone().expect("a second handle");
        let content = &content;
        scope.spawn(move || {
            writer.write_all(content).expect("writing");
            writer.shutdown(Shutdown::Write).expect("shutting down");
        });
        stream.read_to_end(&mut back).expect("reading");
    });
    assert!(back == content, "{} bytes came back, or other ones", back.len());
    daemon.stop();
}

fn udp() {
    let daemon = Daemon::serve(&["--echo"]);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let mut buf = [0; 2000];
    for len in [0, 1, 2, 100, 1471, 1472] {
        let sent = noise(len as u64, len);
        socket.send_to(&sent, at(7)).expect("sending");
        let (n, from) = socket.recv_from(&mut buf).expect("the echo");
        assert_eq!((&buf[..n], from), (&sent[..], at(7)));
    }
    daemon.stop();
}

fn nobody() {
    let daemon = Daemon::serve(&["--echo"]);
    let refused = TcpStream::connect_timeout(&at(9999), Duration::from_secs(20)).expect_err("nobody listens there");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    socket.connect(at(9999)).expect("a peer");
    socket.send(b"anyone?").expect("sending");
    let refused = socket.recv(&mut [0; 10]).expect_err("nobody listens there");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "no ICMP port unreachable came");
    daemon.stop();
}

fn others() {
    let daemon = Daemon::serve(&["--daytime", "--discard", "--chargen"]);
    let mut line = String::new();
    connect(13).read_to_string(&mut line).expect("the time");
    assert!(line.ends_with("\r\n") && line.contains("20"), "{line:?}");

    let mut sink = connect(9);
    sink.write_all(&noise(3, 1 << 20)).expect("writing to nowhere");
    sink.shutdown(Shutdown::Write).expect("shutting down");
    assert_eq!(sink.read(&mut [0; 10]).expect("the end"), 0);

    let mut letters = vec![0; 100_000];
    connect(19).read_exact(&mut letters).expect("letters");
    let lines: Vec<&[u8]> = letters.split(|b| *b == b'\n').collect();
    assert!(lines.iter().skip(1).rev().skip(1).all(|l| l.len() == 73), "RFC 864's lines have 72 characters");
    daemon.stop();
}
