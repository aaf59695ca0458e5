//! The scripts, as a user runs them.

use crate::harness::{Daemon, Test, http_get, succeed, tool};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = &[
    Test { name: "scripts::netns", tools: &["bash", "curl"], limit: 60, body: netns },
    Test { name: "scripts::tun_up_and_down", tools: &["bash", "ip"], limit: 30, body: tun_up_and_down },
    Test { name: "scripts::web_bench_must_measure", tools: &["bash"], limit: 30, body: web_bench },
    Test { name: "scripts::capture", tools: &["bash", "ip", "tshark", "ping"], limit: 30, body: capture },
];

macro_rules! script {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/", $name)
    };
}

/// Exit status, standard output, standard error.
fn netns_with(args: &[&str]) -> (i32, String, String) {
    let dir = tempfile::TempDir::new().expect("a directory");
    let output = Command::new("timeout")
        .args(["-k", "1", "30", script!("netns")])
        .args(args)
        .env("TUNSTACK", env!("CARGO_BIN_EXE_tunstack"))
        .env("XDG_RUNTIME_DIR", dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("running it");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn netns() {
    let (status, out, err) =
        netns_with(&["curl", "-sS", "-o", "/dev/null", "-w", "code=%{http_code}", "http://192.0.2.2/"]);
    assert_eq!(status, 0, "{out}{err}");
    assert!(out.contains("code=200") && err.contains("the daemon has ended"), "{out}{err}");
    // The command's status is the script's, and a daemon that does not come up is said to.
    let (status, out, err) = netns_with(&["--serve", "--echo", "--", "sh", "-c", "exit 7"]);
    assert_eq!(status, 7, "{out}{err}");
    let (status, out, err) = netns_with(&["--serve", "--nonsense", "true"]);
    assert_eq!(status, 1, "{out}{err}");
    assert!(err.contains("did not come up"), "{out}{err}");
}

fn tun_up_and_down() {
    succeed(10, script!("tun-up"), &["tun5"]);
    assert!(succeed(5, "ip", &["address", "show", "dev", "tun5"]).contains("192.0.2.1/24"));
    // What is there is not made again, a prefix that is reached is not shadowed, and neither leaves anything behind.
    for args in [&["tun5"][..], &["tun6"], &["--host", "198.51.100.1/24", "--mtu", "1000000", "tun6"]] {
        assert!(!tool(10, script!("tun-up"), args).status.success(), "{args:?}");
    }
    assert!(!tool(5, "ip", &["link", "show", "dev", "tun6"]).status.success());
    // A daemon attaches to it, and when it ends the interface stays.
    let daemon = Daemon::serve(&["--tun", "tun5"]);
    assert_eq!(http_get("/").expect("a page").0, 200);
    daemon.stop();
    succeed(10, script!("tun-down"), &["tun5"]);
    assert!(!tool(5, "ip", &["link", "show", "dev", "tun5"]).status.success());
    // What it did not make it leaves alone.
    assert!(!tool(10, script!("tun-down"), &["lo"]).status.success());
    assert!(!tool(10, script!("tun-down"), &["tun5"]).status.success());
}

/// What the loads and the server of `web-bench` say, without any of them: the script must not take silence for success.
fn web_bench() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let program = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("to be run");
        path
    };
    program("ip", "[ \"$1 $2\" = 'netns exec' ] || exit 0; shift 3; exec \"$@\"");
    program("curl", "echo large");
    let web = program("web", "[ \"$1\" = hash ] && { echo large | sha256sum | cut -d' ' -f1; exit; }; exec sleep 20");
    let (wrk, finished) =
        ("echo '  90 requests in 1.00s, 9KB read'; echo 'Requests/sec: 90.00'", "finished in 1s, 80 req/s");
    let requests = |succeeded: u32, failed: u32| {
        let counts = format!("{succeeded} succeeded, {failed} failed, 0 errored, 0 timeout");
        format!("echo '{finished}'; echo 'requests: 80 total, 80 started, 80 done, {counts}'")
    };
    for (wrk, h2load, good) in [
        (wrk, requests(80, 0), true),
        (wrk, requests(79, 1), false),
        (wrk, requests(0, 0), false),
        (wrk, format!("echo '{finished}'"), false),
        ("true", requests(80, 0), false),
    ] {
        program("wrk", wrk);
        program("h2load", &h2load);
        let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new("timeout")
            .args(["-k", "1", "10", script!("web-bench"), "--rounds", "1", "--only", "kernel"])
            .env("PATH", path)
            .env("WEB", &web)
            .stdin(Stdio::null())
            .output()
            .expect("running it");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(output.status.code(), Some(i32::from(!good)), "{wrk}; {h2load}: {said:?}");
    }
}

fn capture() {
    let daemon = Daemon::serve(&["--echo"]);
    let mut tshark = Command::new("timeout")
        .args(["-k", "1", "60", script!("capture"), "--with", "tshark", "tun0", "--", "-c", "2", "-f", "icmp"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("running it");
    // It takes its time to begin, so there is something to see until it has seen it.
    let end = loop {
        succeed(20, "ping", &["-c", "3", "-w", "15", "-i", "0.3", "192.0.2.2"]);
        if let Some(end) = tshark.try_wait().expect("a child of ours") {
            break end;
        }
    };
    assert!(end.success());
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut tshark.stdout.take().expect("its output"), &mut seen).expect("text");
    assert!(seen.contains("Echo (ping) request"), "{seen}");
    assert!(!tool(5, script!("capture"), &["nosuch0"]).status.success());
    daemon.stop();
}
