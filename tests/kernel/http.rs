//! HTTP: bytes down and up, many requests, and the benchmarks that everybody has.

use crate::harness::{Daemon, Test, connect, http_get, noise, sha256, succeed, tool};
use std::fs;
use std::io::{Read, Write};
use std::time::Duration;
use tempfile::TempDir;

pub const TESTS: &[Test] = &[
    Test { name: "http::curl_downloads_16_mib", tools: &["curl"], limit: 60, body: curl_downloads },
    Test { name: "http::curl_uploads_16_mib", tools: &["curl"], limit: 60, body: curl_uploads },
    Test { name: "http::curl_ranges_head_and_refusals", tools: &["curl"], limit: 30, body: curl_ranges },
    Test { name: "http::a_page_about_itself", tools: &[], limit: 20, body: about },
    Test { name: "http::requests_300_in_a_row", tools: &[], limit: 60, body: in_a_row },
    Test { name: "http::requests_50_at_once", tools: &[], limit: 60, body: at_once },
    Test { name: "http::keep_alive", tools: &[], limit: 20, body: keep_alive },
    Test { name: "http::ab_for_3_seconds", tools: &["ab"], limit: 40, body: ab },
    Test { name: "http::wrk_for_3_seconds", tools: &["wrk"], limit: 40, body: wrk },
];

const URL: &str = "http://192.0.2.2";

/// A daemon that serves a directory with `file.bin` in it.
fn serve_file(content: &[u8]) -> (Daemon, TempDir) {
    let dir = TempDir::new().expect("a directory");
    fs::write(dir.path().join("file.bin"), content).expect("a file in it");
    let daemon = Daemon::serve(&["--http", "80", "--dir", dir.path().to_str().expect("a plain path")]);
    (daemon, dir)
}

fn curl_downloads() {
    let content = noise(1, 16 << 20);
    let (daemon, dir) = serve_file(&content);
    let copy = dir.path().join("copy");
    succeed(40, "curl", &["-sS", "--fail", "-o", copy.to_str().expect("a path"), &format!("{URL}/file.bin")]);
    let copy = fs::read(copy).expect("the copy");
    assert_eq!(copy.len(), content.len());
    assert_eq!(sha256(&copy), sha256(&content));
    daemon.stop();
}

fn curl_uploads() {
    let dir = TempDir::new().expect("a directory");
    let (source, spool) = (dir.path().join("source"), dir.path().join("spool"));
    let content = noise(2, 16 << 20);
    fs::write(&source, &content).expect("the file to send");
    fs::create_dir(&spool).expect("the spool directory");
    let daemon = Daemon::serve(&["--http", "80", "--spool", spool.to_str().expect("a path")]);
    succeed(40, "curl", &["-sS", "--fail", "-T", source.to_str().expect("a path"), &format!("{URL}/up.bin")]);
    let copy = fs::read(spool.join("up.bin")).expect("the upload");
    assert_eq!(copy.len(), content.len());
    assert_eq!(sha256(&copy), sha256(&content));
    daemon.stop();
}

fn curl_ranges() {
    let content = noise(3, 100_000);
    let (daemon, dir) = serve_file(&content);
    let part = |range: &str| tool(10, "curl", &["-sS", "--fail", "-r", range, &format!("{URL}/file.bin")]).stdout;
    assert_eq!(part("100-199"), content[100..200]);
    assert_eq!(part("99990-"), content[99_990..]);
    assert_eq!(part("-50"), content[99_950..]);
    let head = succeed(10, "curl", &["-sS", "--fail", "-I", &format!("{URL}/file.bin")]);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.to_lowercase().contains("content-length: 100000\r\n"), "{head}");

    let status = |args: &[&str]| {
        let out =
            succeed(10, "curl", &[&["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is"], args].concat());
        out.parse::<u16>().expect("a status")
    };
    assert_eq!(status(&["-r", "200000-", &format!("{URL}/file.bin")]), 416);
    assert_eq!(status(&[&format!("{URL}/nothing")]), 404);
    // No path leads out of the directory.
    let outside = dir.path().with_extension("outside");
    let name = outside.file_name().and_then(|name| name.to_str()).expect("a plain name");
    fs::write(&outside, "secret").expect("a file outside");
    std::os::unix::fs::symlink(&outside, dir.path().join("link")).expect("a link to it");
    for path in [&*format!("/../{name}"), &format!("/%2e%2e/{name}"), "/link", "//etc/passwd"] {
        let got = status(&[&format!("{URL}{path}")]);
        assert!((400..500).contains(&got), "{path} gave {got}");
    }
    fs::remove_file(outside).expect("removing it");
    daemon.stop();
}

fn about() {
    let daemon = Daemon::serve(&[]);
    let (status, page) = http_get("/").expect("the page");
    let page = String::from_utf8(page).expect("text");
    assert_eq!(status, 200);
    assert!(page.contains("tunstack"), "{page}");
    // It says where it is, in its own time.
    for wait in 0.. {
        let said = daemon.said();
        if said.contains("try: curl http://192.0.2.2/") {
            break;
        }
        assert!(wait < 400, "it does not say where it is:\n{said}");
        std::thread::sleep(Duration::from_millis(50));
    }
    daemon.stop();
}

fn in_a_row() {
    let content = noise(4, 10_000);
    let (daemon, _dir) = serve_file(&content);
    for i in 0..300 {
        let (status, body) = http_get("/file.bin").unwrap_or_else(|e| panic!("request {i}: {e}"));
        assert_eq!((status, body.len()), (200, content.len()), "request {i}");
        assert!(body == content, "request {i}: other bytes");
    }
    daemon.stop();
}

fn at_once() {
    let content = noise(5, 200_000);
    let (daemon, _dir) = serve_file(&content);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..50).map(|_| scope.spawn(|| http_get("/file.bin"))).collect();
        for (i, client) in clients.into_iter().enumerate() {
            let (status, body) = client.join().expect("a client").unwrap_or_else(|e| panic!("client {i}: {e}"));
            assert_eq!(status, 200, "client {i}");
            assert!(body == content, "client {i}: {} bytes, or other ones", body.len());
        }
    });
    daemon.stop();
}

fn keep_alive() {
    let (daemon, _dir) = serve_file(b"again");
    let mut stream = connect(80);
    for _ in 0..20 {
        stream.write_all(b"GET /file.bin HTTP/1.1\r\nHost: stack\r\n\r\n").expect("asking");
        let mut answer = Vec::new();
        let mut byte = [0; 1];
        while !answer.ends_with(b"\r\n\r\nagain") {
            stream.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
    daemon.stop();
}

fn ab() {
    let (daemon, _dir) = serve_file(&noise(6, 5_000));
    let said = succeed(30, "ab", &["-q", "-t", "3", "-c", "10", &format!("{URL}/file.bin")]);
    let number = |name: &str| {
        let line = said.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {said}"));
        line.trim().parse::<u64>().expect("a number")
    };
    assert_eq!(number("Failed requests:"), 0, "{said}");
    assert!(number("Complete requests:") > 100, "{said}");
    assert!(!said.contains("Non-2xx"), "{said}");
    daemon.stop();
}

fn wrk() {
    let (daemon, _dir) = serve_file(&noise(7, 5_000));
    let said = succeed(30, "wrk", &["-d", "3", "-c", "20", "-t", "2", "--timeout", "20s", &format!("{URL}/file.bin")]);
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let requests = said.lines().find_map(|l| l.split_once(" requests in ")).expect("a count").0;
    assert!(requests.trim().parse::<u64>().expect("a number") > 100, "{said}");
    daemon.stop();
}
