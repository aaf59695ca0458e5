//! `tunstack demo`, as a newcomer runs it.

use crate::harness::{Test, tool};
use std::fs;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

pub const TESTS: &[Test] = &[
    Test { name: "demo::plain", tools: &[], limit: 60, body: plain },
    Test { name: "demo::with_loss_and_delay", tools: &[], limit: 120, body: lossy },
    Test { name: "demo::virtual", tools: &[], limit: 60, body: without_a_tun },
    Test { name: "demo::with_a_command", tools: &["curl"], limit: 60, body: with_a_command },
];

/// Runs the demo in a directory of its own and gives what it said, and the capture that it wrote.
pub fn demo(limit: u64, args: &[&str]) -> (String, Vec<u8>) {
    let dir = TempDir::new().expect("a directory");
    let output: Output = Command::new("timeout")
        .args(["-k", "1", &limit.to_string(), env!("CARGO_BIN_EXE_tunstack"), "demo"])
        .args(args)
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output()
        .expect("running the demo");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "demo {}: {}\n{said}", args.join(" "), output.status);
    (said, fs::read(dir.path().join("demo.pcapng")).expect("demo.pcapng"))
}

fn plain() {
    let (said, capture) = demo(30, &[]);
    for word in ["ESTABLISHED", "TIME-WAIT", "SYN", "FIN", "demo.pcapng"] {
        assert!(said.contains(word), "the ladder does not show {word}:\n{said}");
    }
    assert!(capture.len() > 1000);
    let (said, capture) = demo(30, &["--ipv6"]);
    assert!(said.contains("ESTABLISHED") && said.contains("tunstack (2001:db8::2)"), "{said}");
    assert!(capture.len() > 1000);
}

fn lossy() {
    let (said, _) = demo(100, &["--loss", "5%", "--delay", "20ms"]);
    assert!(said.contains("ESTABLISHED"), "{said}");
}

fn without_a_tun() {
    let (said, _) = demo(30, &["--virtual"]);
    assert!(said.contains("ESTABLISHED") && said.contains("virtual"), "{said}");
    let (said, _) = demo(30, &["--virtual", "-6"]);
    assert!(said.contains("ESTABLISHED") && said.contains("http://[2001:db8::2]/"), "{said}");
    let (said, _) = demo(50, &["--virtual", "--loss", "10%", "--delay", "20ms"]);
    assert!(said.contains("ESTABLISHED"), "{said}");
}

fn with_a_command() {
    let (said, _) =
        demo(30, &["--", "curl", "-sS", "--fail", "-o", "/dev/null", "-w", "code=%{http_code}", "http://192.0.2.2/"]);
    assert!(said.contains("code=200"), "{said}");
    // What the command says of itself is what the demo says.
    let failed = tool(30, env!("CARGO_BIN_EXE_tunstack"), &["demo", "--", "false"]);
    assert!(!failed.status.success());
}
