//! The command as it is called: exit codes, and what goes before what.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs the command away from the user's own configuration.
fn tunstack(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tunstack"));
    command.env_clear().env("HOME", home).env("XDG_RUNTIME_DIR", home).env("TMPDIR", home).current_dir(home);
    command
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_command_line_goes_before_the_environment_before_the_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("t.toml");
    std::fs::write(&file, "queues = 3000\n").unwrap();
    // So many queues are refused with their number, so the message tells which of the three was heard.
    let heard = |args: &[&str], environment: Option<&str>| {
        let mut command = tunstack(home.path());
        command.arg("serve").arg("--config").arg(&file).args(args);
        if let Some(value) = environment {
            command.env("TUNSTACK_QUEUES", value);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        error(&output)
    };
    assert!(heard(&["--queues", "5000"], Some("4000")).contains("--queues 5000:"));
    assert!(heard(&[], Some("4000")).contains("--queues 4000:"));
    assert!(heard(&[], None).contains("--queues 3000:"));
}

#[test]
fn a_personal_file_is_found() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".config")).unwrap();
    std::fs::write(home.path().join(".config/tunstack.toml"), "htpp = 80\n").unwrap();
    let output = tunstack(home.path()).arg("serve").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(error(&output).contains("did you mean \"http\"?"), "{}", error(&output));
}

#[test]
fn exit_codes() {
    let home = tempfile::tempdir().unwrap();
    let code = |args: &[&str]| {
        let output = tunstack(home.path()).args(args).output().unwrap();
        (output.status.code(), error(&output))
    };
    assert_eq!(code(&["--version"]).0, Some(0));
    assert_eq!(code(&["--help"]).0, Some(0));
    assert_eq!(code(&["serve", "--help"]).0, Some(0));
    assert_eq!(code(&[]).0, Some(2));
    assert_eq!(code(&["serve", "--no-such-flag"]).0, Some(2));
    assert_eq!(code(&["demo", "--loss", "much"]).0, Some(2));
    assert_eq!(code(&["ss", "no-such-state"]).0, Some(2));
    assert_eq!(code(&["serve", "--config", "/nonexistent"]).0, Some(3));
    assert_eq!(code(&["serve", "--tun", "a/b"]).0, Some(2));
    let (exit, text) = code(&["ss"]);
    assert!(exit == Some(4) && text.contains("no daemon of yours"), "{text}");
    let (exit, text) = code(&["serve", "--dir", "/nonexistent"]);
    assert!(exit == Some(4) && text.contains("--dir /nonexistent"), "{text}");
    let (exit, text) = code(&["serve", "--netns", "/nonexistent"]);
    assert!(exit == Some(4) && text.contains("network namespace"), "{text}");
}

#[test]
fn a_virtual_demo_needs_nothing_and_its_bytes_match() {
    let home = tempfile::tempdir().unwrap();
    for args in
        [&["--virtual"][..], &["--virtual", "--loss", "3%", "--delay", "2ms", "--fault", "duplicate=3%,reorder=3%"]]
    {
        let output = tunstack(home.path()).arg("demo").args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{text}{}", error(&output));
        assert!(text.contains("two of our own stacks") && text.contains("every one as it was sent"), "{text}");
        assert!(text.contains("SYN,ACK seq=0 ack=1") && text.contains("TIME-WAIT"), "{text}");
        let capture = std::fs::metadata(home.path().join("demo.pcapng")).unwrap();
        assert!(capture.len() > 200_000, "a capture of {} bytes", capture.len());
    }
}

#[test]
fn a_demo_that_cannot_be_ends_in_time_with_its_code() {
    let home = tempfile::tempdir().unwrap();
    let begun = std::time::Instant::now();
    let args = ["demo", "--virtual", "--loss", "100%", "--time-limit", "1s"];
    let output = tunstack(home.path()).args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "it would try for minutes");
    assert!(String::from_utf8_lossy(&output.stdout).contains("NOT FETCHED"));
}

#[test]
fn a_reader_that_leaves_early_disturbs_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut child =
        tunstack(home.path()).args(["demo", "--virtual"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_simulation_repeats_tells_and_draws() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("s.toml");
    std::fs::write(&file, "[link]\ndelay = \"10ms\"\nloss = \"2%\"\n[[flow]]\nsend = \"100kB\"\n").unwrap();
    let sim = |args: &[&str]| {
        let output = tunstack(home.path()).args(["sim", "--scenario", "s.toml"]).args(args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &error(&output))
    };
    let (code, told) = sim(&["--seed", "5"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("100000 of 100000 bytes") && told.contains("trace hash"), "{told}");
    assert_eq!(sim(&["--seed", "5"]).1, told, "the same seed, the same hash");
    assert_ne!(sim(&["--seed", "6"]).1, told);
    let (code, told) = sim(&["--runs", "20", "--plot", "plots"]);
    assert!(code == Some(0) && told.contains("20 runs") && told.contains("0 failed"), "{told}");
    for plot in ["window", "sequence"] {
        let svg = std::fs::read_to_string(home.path().join(format!("plots/flow0-client-{plot}.svg"))).unwrap();
        assert!(svg.contains("seed 1") && svg.contains("</svg>"));
    }
    // What cannot be over in time breaks an invariant, and is told as one.
    let impossible = "limit = \"1ms\"\n[link]\ndelay = \"10ms\"\n[[flow]]\nsend = \"100kB\"\n";
    std::fs::write(&file, impossible).unwrap();
    let (code, told) = sim(&["--seed", "9"]);
    assert!(code == Some(5) && told.contains("seed 9") && told.contains("a hang"), "{told}");
    let (code, told) = sim(&["--runs", "3"]);
    assert!(code == Some(5) && told.contains("tunstack sim --seed 1 --scenario s.toml --packets"), "{told}");
    std::fs::write(&file, "[[flow]]\nsend = \"much\"\n").unwrap();
    let (code, told) = sim(&[]);
    assert!(code == Some(3) && told.contains("line 2"), "{told}");
}

/// Names are looked up over the stack. A program that could ask the system's resolver would import this function of libc.
#[test]
fn the_systems_resolver_is_not_even_linked() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_tunstack")).unwrap();
    let has = |name: &[u8]| program.split(|b| *b == 0).any(|text| text == name);
    assert!(has(b"epoll_wait"), "the names of imports were not found");
    assert!(!has(b"getaddrinfo"));
}
