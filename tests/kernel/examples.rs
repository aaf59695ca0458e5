//! The tutorials' programs in `examples/`, as built, against the kernel's Python and nc.

use crate::harness::{Test, example, succeed, succeed_with_input, wait};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub const TESTS: &[Test] = &[
    Test {
        name: "examples::hello_server",
        tools: &["example hello_server", "bash", "ip", "python3", "nc"],
        limit: 60,
        body: hello_server,
    },
    Test {
        name: "examples::hello_client",
        tools: &["example hello_client", "bash", "ip", "python3"],
        limit: 60,
        body: hello_client,
    },
    Test {
        name: "examples::udp_server",
        tools: &["example udp_server", "bash", "ip", "python3"],
        limit: 60,
        body: udp_server,
    },
    Test {
        name: "examples::udp_client",
        tools: &["example udp_client", "bash", "ip", "python3"],
        limit: 60,
        body: udp_client,
    },
    Test {
        name: "examples::http_get",
        tools: &["example http_get", "bash", "ip", "python3"],
        limit: 60,
        body: http_get,
    },
];

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/examples.py");

/// A server that runs until it is dropped.
struct Server(Child);

impl Server {
    /// Starts `program`, which says a line when it serves.
    #[track_caller]
    fn start(mut program: Command) -> Server {
        let mut child = program.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("starting it");
        let mut lines = BufReader::new(child.stdout.take().expect("its output"));
        let mut first = String::new();
        lines.read_line(&mut first).expect("its first line");
        assert!(first.starts_with("listening on "), "{first:?}");
        // What else it says must have somewhere to go.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::stderr()));
        Server(child)
    }

    fn example(name: &str) -> Server {
        Server::start(Command::new(example(name)))
    }

    fn python(case: &str, args: &[&str]) -> Server {
        let mut program = Command::new("python3");
        program.args(["-u", PYTHON, case]).args(args);
        Server::start(program)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = wait(&mut self.0, Duration::from_secs(5));
    }
}

/// The interface, made as the examples say.
fn tun() {
    succeed(10, concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tun-up"), &[]);
}

fn run(name: &str, args: &[&str]) -> String {
    succeed(20, example(name).to_str().expect("a path in UTF-8"), args)
}

fn hello_server() {
    tun();
    let _server = Server::example("hello_server");
    // Three at once, whose turns to speak are mixed: a thread for each.
    assert_eq!(succeed(20, "python3", &[PYTHON, "hello_client", "192.0.2.2"]), "fine\n");
    let said = succeed_with_input(10, "nc", &["-w", "5", "192.0.2.2", "8000"], b"Ada\nexit\n");
    assert_eq!(said.lines().skip(1).collect::<Vec<_>>(), ["Hello, Ada!", "Goodbye!"], "{said}");
    assert!(said.starts_with("Welcome!"), "{said}");
}

fn hello_client() {
    tun();
    let _server = Server::python("hello_server", &[]);
    let said = run("hello_client", &["192.0.2.1:8000", "Ada", "Grace"]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("192.0.2.2:") && lines[0].ends_with(" is connected to 192.0.2.1:8000"), "{said}");
    assert_eq!(lines[1..], ["Welcome!", "Hello, Ada!", "Hello, Grace!", "Goodbye!"], "{said}");
}

fn udp_server() {
    tun();
    let _server = Server::example("udp_server");
    assert_eq!(succeed(20, "python3", &[PYTHON, "udp_client", "192.0.2.2"]), "fine\n");
}

fn udp_client() {
    tun();
    // It lets the first question go by, as if it had been lost.
    let _server = Server::python("udp_server", &[]);
    assert_eq!(run("udp_client", &["192.0.2.1:8000", "Ada"]), "no answer yet\n192.0.2.1:8000: Hello, Ada!\n");
}

fn http_get() {
    tun();
    let dir = tempfile::TempDir::new().expect("a directory");
    let page = dir.path().join("page.html");
    let page = page.to_str().expect("a path in UTF-8");
    // A name server and a web server, which has the page only for who asks for it by that name.
    let _server = Server::python("web", &[]);
    let said = run("http_get", &["www.example", page, "192.0.2.1"]);
    assert!(said.starts_with("www.example is 192.0.2.1:80\nHTTP/1.0 200 OK\n"), "{said}");
    assert!(said.contains("\nX-Lesson: 8\n"), "{said}");
    let text = std::fs::read_to_string(page).expect("the page");
    assert_eq!(text, format!("<h1>www.example</h1>{}", "a line of the page\n".repeat(5000)));
    assert!(said.ends_with(&format!("\n{} bytes are in {page}\n", text.len())), "{said}");
}
