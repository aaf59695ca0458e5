//! Throughput, with a stock iperf3 on the kernel's sockets at the other end.

use crate::harness::{Daemon, Test, succeed, tool, wait};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const TESTS: &[Test] = &[
    Test { name: "perf::iperf3_against_our_server", tools: &["iperf3"], limit: 60, body: stock_client },
    Test { name: "perf::our_client_against_iperf3", tools: &["iperf3"], limit: 60, body: our_client },
    Test { name: "perf::a_server_of_one_test", tools: &["iperf3"], limit: 30, body: one_off },
    Test { name: "perf::what_goes_wrong_is_said", tools: &["iperf3"], limit: 30, body: failures },
];

fn perf(args: &[&str]) -> (i32, String, String) {
    let output = tool(25, env!("CARGO_BIN_EXE_tunstack"), &[&["perf"], args].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[track_caller]
fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path} in {value:#}"))
}

fn stock_client() {
    let daemon = Daemon::serve(&["--perf"]);
    let run = |args: &[&str]| {
        let said = succeed(20, "iperf3", &[&["-c", "192.0.2.2", "-J", "-t", "1"], args].concat());
        let result = json(&said);
        assert!(result.get("error").is_none(), "{args:?}: {said}");
        result
    };
    for (args, streams) in [(&[][..], 1), (&["-R"], 1), (&["-P", "4"], 4), (&["-P", "4", "-R"], 4)] {
        let result = run(args);
        let each = result["end"]["streams"].as_array().expect("streams");
        assert_eq!(each.len(), streams, "{args:?}");
        for stream in each {
            let (sent, received) = (number(stream, "/sender/bytes"), number(stream, "/receiver/bytes"));
            assert!(received > 1e5 && received <= sent, "{args:?}: {stream:#}");
        }
    }
    let both = run(&["--bidir"]);
    assert!(number(&both, "/end/sum_received/bytes") > 1e5, "{both:#}");
    assert!(number(&both, "/end/sum_received_bidir_reverse/bytes") > 1e5, "{both:#}");
    // Who has to wait for a processor loses what has no room in the buffers: only of few datagrams none may be lost.
    let few = ["-u", "-b", "400K", "-l", "1000"];
    let many = ["-u", "-b", "20M", "-l", "1000"];
    for (rate, more) in [(few, &[][..]), (few, &["-R"]), (few, &["--udp-counters-64bit"]), (many, &[]), (many, &["-R"])]
    {
        let result = run(&[&rate, more].concat());
        let [packets, lost] = ["/end/sum/packets", "/end/sum/lost_packets"].map(|path| number(&result, path));
        assert!(packets > if rate == few { 10.0 } else { 100.0 }, "{rate:?} {more:?}: {result:#}");
        assert!(rate == many || lost == 0.0, "{rate:?} {more:?}: {result:#}");
        // The last ones may come when all was counted.
        let received = number(&result, "/end/sum_received/bytes");
        assert!(received > 0.0 && received <= (packets - lost) * 1000.0, "{rate:?} {more:?}: {result:#}");
    }
    daemon.stop();
}

/// An `iperf3 -s` for one test, that listens already.
struct Iperf3(Child);

impl Iperf3 {
    fn serve() -> Iperf3 {
        let mut command = Command::new("iperf3");
        command.args(["-s", "-1", "--forceflush"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Iperf3(command.spawn().expect("starting iperf3"));
        let mut lines = BufReader::new(server.0.stdout.as_mut().expect("its output")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("listening"))), "iperf3 does not listen");
        server
    }
}

impl Drop for Iperf3 {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn our_client() {
    let run = |args: &[&str]| {
        let _server = Iperf3::serve();
        let (status, out, err) = perf(&[&["-c", "192.0.2.1", "-t", "1"], args].concat());
        assert_eq!(status, 0, "{args:?}: {out}{err}");
        out
    };
    for (args, streams) in
        [(&["-J"][..], 1), (&["-J", "-R"], 1), (&["-J", "-P", "4", "-R"], 4), (&["-J", "--bidir"], 2)]
    {
        let result = json(&run(args));
        let each = result["end"]["streams"].as_array().expect("streams");
        assert_eq!(each.len(), streams, "{args:?}");
        for stream in each {
            let (sent, received) = (number(stream, "/sender/bytes"), number(stream, "/receiver/bytes"));
            assert!(received > 1e5 && received <= sent, "{args:?}: {stream:#}");
            assert!(number(stream, "/sender/retransmits") >= 0.0);
        }
        assert!(number(&result, "/end/cpu/seconds_per_gib") > 0.0, "{result:#}");
        assert_eq!(number(&result, "/setup/link/mtu"), 1500.0);
    }
    let result = json(&run(&["-J", "-u", "-b", "20M", "-l", "1000", "-R"]));
    assert!(number(&result, "/end/streams/0/receiver/packets") > 100.0, "{result:#}");
    assert_eq!(number(&result, "/start/test/len"), 1000.0);
    // What a user sees: a line for the second, both ends' sums, and what it was measured with.
    let text = run(&["-P", "2", "--mtu", "1400", "--txqueuelen", "2000"]);
    for expected in ["[  1] out   0.00-", "[  3] out", "[SUM] out", "sender\n", "receiver\n", "s/GiB\n", "mtu 1400, "] {
        assert!(text.contains(expected), "{expected:?} is missing in {text}");
    }
    assert!(text.contains("queues 1, txqueuelen 2000; tcp timestamps sack window-scaling\n"), "{text}");
}

fn one_off() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_tunstack"))
        .args(["perf", "-s", "-1", "-p", "5555"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting tunstack");
    let mut lines = BufReader::new(server.stdout.take().expect("its output")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("try: iperf3 -c 192.0.2.2 -p 5555")), "no greeting");
    assert!(lines.any(|line| line.contains("capture: ")), "no greeting");
    let said = succeed(20, "iperf3", &["-c", "192.0.2.2", "-p", "5555", "-t", "1", "-P", "2"]);
    assert!(said.contains("iperf Done"), "{said}");
    let ended = wait(&mut server, Duration::from_secs(10));
    if ended.is_none() {
        let _ = server.kill();
        let _ = server.wait();
    }
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");
    let text: Vec<String> = lines.collect();
    assert!(text.iter().any(|line| line.starts_with("[  3] in") && line.ends_with("receiver")), "{text:#?}");
}

fn failures() {
    let (status, out, err) = perf(&["-c", "192.0.2.1", "-t", "1"]);
    assert_eq!((status, err.contains("refused") && err.contains("is `iperf3 -s` running")), (1, true), "{out}{err}");
    for (args, text) in [
        (&["-s", "-c", "192.0.2.1"][..], "cannot be used with"),
        (&["-s", "-t", "3"], "cannot be used with"),
        (&["-c", "192.0.2.1", "-t", "0"], "not in 1..=86400"),
        (&["-c", "192.0.2.1", "-P", "129"], "not in 1..=128"),
        (&["-c", "192.0.2.1", "-b", "fast"], "not a rate"),
        (&["-c", "192.0.2.1", "-u", "-l", "64K"], "16 to 65507"),
        (&["-c", "192.0.2.1", "--http"], "offered by `tunstack serve`"),
        (&["-c", "192.0.2.1", "-R", "--bidir"], "cannot be used with"),
    ] {
        let (status, _, err) = perf(args);
        assert!(status == 2 && err.contains(text), "{args:?}: {status} {err}");
    }
    // A server that has a test already.
    let daemon = Daemon::serve(&["--perf"]);
    let mut first = Command::new("iperf3")
        .args(["-c", "192.0.2.2", "-t", "10", "--forceflush"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting iperf3");
    let mut lines = BufReader::new(first.stdout.take().expect("its output")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("connected to")), "the first does not connect");
    let second = tool(20, "iperf3", &["-c", "192.0.2.2", "-t", "1"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("server is busy"), "{said}");
    let _ = first.kill();
    let _ = first.wait();
    daemon.stop();
}
