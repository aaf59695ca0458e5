//! What goes wrong in real life: daemons that die, interfaces that vanish, names that are taken.

use crate::harness::{Daemon, Test, at, connect, http_get, succeed};
use rustix::process::Signal;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub const TESTS: &[Test] = &[
    Test { name: "faults::killed_and_restarted", tools: &[], limit: 60, body: killed },
    Test { name: "faults::the_interface_is_deleted_under_load", tools: &["ip"], limit: 40, body: deleted },
    Test { name: "faults::two_daemons_one_name", tools: &[], limit: 30, body: two_daemons },
    Test { name: "faults::a_stopped_daemon_says_goodbye", tools: &[], limit: 30, body: goodbye },
    Test { name: "faults::the_second_signal_ends_at_once", tools: &[], limit: 30, body: impatience },
    Test { name: "faults::bad_options_are_refused", tools: &[], limit: 20, body: bad_options },
];

/// An exchange with the echo service, with whatever error it ends by.
fn exchange(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"are you there?")?;
    stream.read_exact(&mut [0; 14])
}

fn killed() {
    let mut daemon = Daemon::serve(&["--echo"]);
    let mut old: Vec<TcpStream> = (0..20).map(|_| connect(7)).collect();
    for stream in &mut old {
        exchange(stream).expect("an echo");
    }
    daemon.signal(Signal::KILL);
    daemon.ends_within(Duration::from_secs(20));

    let daemon = Daemon::serve(&["--echo"]);
    // Whatever the old connections send, the new daemon knows nothing of it and says so by RST.
    for stream in &mut old {
        let error = exchange(stream).expect_err("this connection cannot be alive");
        assert!(
            matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{error} instead of a reset"
        );
    }
    exchange(&mut connect(7)).expect("a new connection");
    daemon.stop();
}

fn deleted() {
    let mut daemon = Daemon::serve(&["--chargen", "--tun", "tun0"]);
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let mut stream = connect(19);
            stream.read_exact(&mut [0; 1000]).expect("there is load");
            stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a time-out");
            std::thread::spawn(move || while let Ok(1..) = stream.read(&mut [0; 65536]) {})
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    succeed(5, "ip", &["link", "del", "tun0"]);
    let status = daemon.ends_within(Duration::from_secs(20));
    let said = daemon.said();
    assert!(matches!(status, 1 | 4), "exit status {status}:\n{said}");
    assert!(said.contains("tun0"), "it does not say what is gone:\n{said}");
    for client in clients {
        client.join().expect("a client");
    }
}

fn two_daemons() {
    let first = Daemon::serve(&["--tun", "tun7", "--echo"]);
    let (status, said) =
        Daemon::fails(&["--tun", "tun7", "--host", "198.51.100.1/24", "--addr", "198.51.100.2", "--echo"]);
    assert_eq!(status, 4, "{said}");
    assert!(
        said.contains("tun7") && said.to_lowercase().contains("use"),
        "it does not say that the name is taken:\n{said}"
    );
    exchange(&mut connect(7)).expect("the first one goes on");
    first.stop();
}

fn goodbye() {
    let daemon = Daemon::serve(&["--echo"]);
    let mut stream = connect(7);
    exchange(&mut stream).expect("an echo");
    let began = Instant::now();
    daemon.stop();
    assert!(began.elapsed() < Duration::from_secs(8));
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(n) => assert_eq!(n, 0),
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
    }
    // The interface went with it, so nobody answers any more, at once.
    assert!(TcpStream::connect_timeout(&at(7), Duration::from_secs(1)).is_err());
}

fn impatience() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pid");
    let mut daemon = Daemon::serve(&["--echo", "--grace", "25s", "--pid", file.to_str().expect("a path in UTF-8")]);
    let mut stream = connect(7);
    exchange(&mut stream).expect("an echo");
    assert!(file.exists());
    daemon.signal(Signal::INT);
    assert_eq!(stream.read(&mut [0; 1]).expect("the end of the stream"), 0);
    daemon.signal(Signal::INT);
    assert_eq!(daemon.ends_within(Duration::from_secs(15)), 130);
    assert!(!file.exists(), "the file with the process id is left behind");
}

fn bad_options() {
    for (args, status, word) in [
        (&["--nonsense"][..], 2, "--nonsense"),
        (&["--http", "70000"], 2, "70000"),
        (&["--addr", "192.0.2.300"], 2, "192.0.2.300"),
        (&["--echo", "7", "--discard", "7"], 2, "port 7"),
        (&["--dir", "/nonexistent"], 4, "/nonexistent"),
        (&["--host", "127.0.0.1/8"], 4, "127.0.0.0/8"),
    ] {
        let (got, said) = Daemon::fails(args);
        assert_eq!(got, status, "{args:?}:\n{said}");
        assert!(said.contains(word) && !said.contains("panicked"), "{args:?}:\n{said}");
    }
    // And one that works, as the control.
    let daemon = Daemon::serve(&[]);
    assert_eq!(http_get("/").expect("a page").0, 200);
    daemon.stop();
}
