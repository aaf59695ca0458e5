//! The server as a client meets it: over a connection, with files on disk.

use super::super::service::Limits;
use super::super::testing::{Served, serve};
use super::*;
use crate::net::Readiness;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path as FsPath;

const SECRET: &str = "the secret that must not leave";

/// A directory to serve, `root`, beside things that must not be reached.
fn tree() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("root");
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::create_dir_all(root.join("spool")).unwrap();
    fs::create_dir_all(top.path().join("outside")).unwrap();
    for secret in ["secret.txt", "outside/secret.txt", "root-secret.txt"] {
        fs::write(top.path().join(secret), SECRET).unwrap();
    }
    fs::write(root.join("hello.txt"), "hello, world\n").unwrap();
    fs::write(root.join("sub/page.html"), "<p>page").unwrap();
    fs::write(root.join("<img src=x onerror=alert(1)>&'\".txt"), "odd").unwrap();
    symlink("../secret.txt", root.join("link-file")).unwrap();
    symlink("../outside", root.join("link-dir")).unwrap();
    symlink("/etc/passwd", root.join("link-absolute")).unwrap();
    symlink("/", root.join("link-root")).unwrap();
    symlink("hello.txt", root.join("link-inside")).unwrap();
    symlink("/proc/self/cwd", root.join("link-magic")).unwrap();
    symlink(top.path().join("secret.txt"), root.join("sub/deep/link")).unwrap();
    top
}

fn site(top: &FsPath) -> Site {
    let root = top.join("root");
    Site {
        dir: Some(Root::open(&root).unwrap()),
        spool: Some(Root::open(&root.join("spool")).unwrap()),
        ..Site::default()
    }
}

fn server(top: &FsPath) -> Served {
    serve(Http::new(site(top)), Limits::default())
}

fn request(served: &Served, request: &str) -> String {
    String::from_utf8_lossy(&served.exchange(request.as_bytes())).into_owned()
}

fn get(served: &Served, target: &str, fields: &str) -> String {
    request(served, &format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n"))
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status in {answer:?}"))
}

#[test]
fn get_head_and_range() {
    let top = tree();
    let served = server(top.path());
    let whole = get(&served, "/hello.txt", "");
    assert!(whole.starts_with("HTTP/1.1 200 OK\r\nDate: ") && whole.ends_with("\r\n\r\nhello, world\n"), "{whole}");
    assert!(whole.contains("Content-Type: text/plain; charset=utf-8\r\n"));

    let head = request(&served, "HEAD /hello.txt HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(head.contains("Content-Length: 13\r\n") && head.ends_with("\r\n\r\n"), "{head}");

    let part = get(&served, "/hello.txt", "Range: bytes=7-11\r\n");
    assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\nworld"), "{part}");
    assert!(part.contains("Content-Range: bytes 7-11/13\r\n") && part.contains("Content-Length: 5\r\n"));

    let none = get(&served, "/hello.txt", "Range: bytes=13-\r\n");
    assert!(status(&none) == 416 && none.contains("Content-Range: bytes */13\r\n"), "{none}");

    let changed = get(&served, "/hello.txt", "Range: bytes=0-1\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    assert_eq!(status(&changed), 200);
}

#[test]
fn directories_are_listed_and_escaped() {
    let top = tree();
    let served = server(top.path());
    let listing = get(&served, "/", "");
    assert!(listing.contains("<a href=\"./sub/\">sub/</a>") && listing.contains("hello.txt"), "{listing}");
    assert!(!listing.contains("<img") && listing.contains("&lt;img src=x"), "{listing}");
    let moved = get(&served, "/sub", "");
    assert!(status(&moved) == 301 && moved.contains("Location: /sub/\r\n"), "{moved}");
    fs::write(top.path().join("root/sub/index.html"), "the index").unwrap();
    assert!(get(&served, "/sub/", "").ends_with("\r\n\r\nthe index"));
}

#[test]
fn one_connection_carries_many_requests() {
    let top = tree();
    let served = server(top.path());
    let one = "GET /hello.txt HTTP/1.1\r\nHost: test\r\n\r\n";
    let last = "GET /nothing HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let answers = request(&served, &format!("{}{last}", one.repeat(20)));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 20);
    assert_eq!(answers.matches("hello, world\n").count(), 20);
    assert_eq!(answers.matches("HTTP/1.1 404 Not Found").count(), 1);
}

#[test]
fn uploads_by_length_and_in_chunks() {
    let top = tree();
    let served = server(top.path());
    let spool = top.path().join("root/spool");

    let put = |name: &str, rest: &str| {
        request(&served, &format!("PUT /{name} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{rest}"))
    };
    assert_eq!(status(&put("a", "Content-Length: 5\r\n\r\nhello")), 201);
    assert_eq!(fs::read(spool.join("a")).unwrap(), b"hello");
    assert_eq!(status(&put("a", "Content-Length: 0\r\n\r\n")), 200);
    assert_eq!(fs::read(spool.join("a")).unwrap(), b"");

    let chunks = "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n00A\r\n, world !!\r\n0\r\nTrailer: x\r\n\r\n";
    assert_eq!(status(&put("b", chunks)), 201);
    assert_eq!(fs::read(spool.join("b")).unwrap(), b"hello, world !!");

    let waits = put("c", "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok");
    assert!(waits.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"), "{waits}");

    for (rest, expected) in [
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", 400),
        ("Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nhello\r\n0\r\n\r\n", 400),
        ("Content-Length: 99999999999999\r\n\r\n", 413),
        ("Content-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\nok", 400),
    ] {
        assert_eq!(status(&put("d", rest)), expected, "{rest:?}");
    }
    let mut names: Vec<_> =
        fs::read_dir(&spool).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["a", "b", "c"], "a failed upload leaves nothing behind");
}

#[test]
fn a_broken_upload_leaves_nothing() {
    let top = tree();
    let served = server(top.path());
    let mut stream = served.connect();
    stream.write_all(b"PUT /half HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty());
    assert_eq!(fs::read_dir(top.path().join("root/spool")).unwrap().count(), 0);
}

#[test]
fn without_a_spool_nothing_is_stored() {
    let top = tree();
    let served = serve(Http::new(Site { spool: None, ..site(top.path()) }), Limits::default());
    let put = "PUT /x HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nok";
    let answer = request(&served, put);
    assert!(status(&answer) == 405 && answer.contains("Allow: GET, HEAD\r\n"), "{answer}");
    assert!(!top.path().join("root/x").exists());
}

#[test]
fn bounds_of_the_head() {
    let top = tree();
    let served = server(top.path());
    let long = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(9000));
    assert_eq!(status(&request(&served, &long)), 431);
    let endless = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}", "y".repeat(20_000));
    assert_eq!(status(&request(&served, &endless)), 431);
    assert_eq!(status(&request(&served, "POST / HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\n\r\n")), 405);
    assert_eq!(status(&request(&served, "HELO example.com\r\n\r\n")), 400);
}

#[test]
fn a_head_that_drips_is_cut_off_and_silence_just_ends() {
    let top = tree();
    let patience = Duration::from_millis(150);
    let impatient = |idle| serve(Http { idle, head_time: patience, ..Http::new(site(top.path())) }, Limits::default());
    let served = impatient(Duration::from_secs(60));
    let mut stream = served.connect();
    let begun = std::time::Instant::now();
    let mut answer = String::new();
    // A byte comes long before each read would time out, and yet the head as a whole is late.
    for byte in b"GET / HTTP/1.1\r\nHost: test\r\n".iter().cycle() {
        if stream.readiness().contains(Readiness::READABLE) || begun.elapsed() > Duration::from_secs(20) {
            break;
        }
        stream.write_all(&[*byte]).unwrap();
        std::thread::sleep(patience / 10);
    }
    let _ = stream.read_to_string(&mut answer);
    assert_eq!(status(&answer), 408);
    let served = impatient(patience);
    assert_eq!(served.connect().read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn beyond_its_seats_a_client_hears_503() {
    let top = tree();
    let served = serve(Http::new(site(top.path())), Limits { connections: 1, ..Limits::default() });
    let mut first = served.connect();
    first.write_all(b"GET /hello.txt HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert!(first.read(&mut [0; 1024]).unwrap() > 0);
    let mut second = served.connect();
    let mut answer = String::new();
    second.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 503);
}

#[test]
fn the_page_about_itself() {
    let served = serve(Http::new(Site::about(|| b"[{\"state\":\"ESTABLISHED\"}]".to_vec())), Limits::default());
    assert!(get(&served, "/", "").contains("This page came over our own TCP"));
    assert!(get(&served, "/connections.json", "").ends_with("\r\n\r\n[{\"state\":\"ESTABLISHED\"}]"));
    assert_eq!(status(&get(&served, "/etc/passwd", "")), 404);
}

/// Ways that other servers were led out of their directories by. Every one is tried against the file beside the root,
/// with every ending.
fn climbs() -> Vec<String> {
    let ups = [
        "../",
        "..\\",
        "..//",
        "..;/",
        "./../",
        ".../",
        "....//",
        "..../",
        "%2e%2e/",
        "%2e%2e%2f",
        "..%2f",
        "%2e./",
        ".%2e/",
        "%252e%252e/",
        "%252e%252e%252f",
        "..%252f",
        "..%5c",
        "%2e%2e%5c",
        "%2e%2e\\",
        "..%255c",
        "%c0%ae%c0%ae/",
        "%c0%ae%c0%ae%c0%af",
        "..%c0%af",
        "..%c1%9c",
        "%e0%80%ae%e0%80%ae/",
        "%e0%80%af",
        "%f0%80%80%ae%f0%80%80%ae/",
        "..%e0%80%af",
        "..%f8%80%80%80%af",
        "%uff0e%uff0e/",
        "%u002e%u002e%u2215",
        "..%u2215",
        "..%00/",
        "%00../",
        "../%00",
        "..%0d/",
        "..%0a/",
        "..%09/",
        "%20../",
        "..%20/",
        ".%20./",
        "..%ef%bc%8f",
        "%ef%bc%8e%ef%bc%8e/",
        "..%ff/",
        "..?/",
    ];
    let ends = ["secret.txt", "outside/secret.txt", "root-secret.txt", "secret.txt%00.html"];
    ups.iter()
        .flat_map(|up| ends.map(|end| format!("/{}{end}", up)))
        .chain(ups.iter().map(|up| format!("/sub/deep/{}{}{}secret.txt", up, up, up)))
        .collect()
}

const OTHER_WAYS: &[&str] = &[
    "/link-file",
    "/link-dir/secret.txt",
    "/link-dir",
    "/link-dir/",
    "/link-absolute",
    "/link-root/etc/passwd",
    "/link-root/",
    "/link-magic/Cargo.toml",
    "/sub/deep/link",
    "/sub/../link-file",
    "//etc/passwd",
    "///etc/passwd",
    "/./etc/passwd",
    "/proc/self/root/etc/passwd",
    "/sub/deep/../../../secret.txt",
    "/root-secret.txt",
    "/-secret.txt",
    "http://test/../secret.txt",
    "http://test/%2e%2e/secret.txt",
    "http://../secret.txt",
    "file:///etc/passwd",
    "/hello.txt/../../secret.txt",
    "/hello.txt/..",
    "/hello.txt/",
    "..",
    "/..",
    "/../",
    "/%2e%2e",
    "/%2e%2e/",
    "/..%2f",
    "../../../../../../../../etc/passwd",
    "\\..\\secret.txt",
    "/\\..\\secret.txt",
    "/C:/secret.txt",
    "/~/secret.txt",
    "/~root/",
    "/%7eroot/",
    "/..%01/secret.txt",
    "/dev/fd/0",
    "/link-inside/../../secret.txt",
];

#[test]
fn no_path_leads_outside() {
    let top = tree();
    let served = server(top.path());
    let targets: Vec<String> = climbs().into_iter().chain(OTHER_WAYS.iter().map(|&s| s.to_owned())).collect();
    assert!(targets.len() >= 200, "only {} targets", targets.len());
    let before = fs::read_dir(top.path()).unwrap().count();
    for target in &targets {
        let answer = get(&served, target, "");
        assert!(!answer.contains(SECRET) && !answer.contains("root:x:0:0"), "{target} leads outside: {answer}");
        assert!([400, 403, 404].contains(&status(&answer)) || answer.contains("<h1>/</h1>"), "{target}: {answer}");
        let put = format!("PUT {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\n\r\nwrote");
        let answer = request(&served, &put);
        assert!(status(&answer) >= 200, "{target}: {answer}");
    }
    for secret in ["secret.txt", "outside/secret.txt", "root-secret.txt"] {
        assert_eq!(fs::read_to_string(top.path().join(secret)).unwrap(), SECRET);
    }
    assert_eq!(fs::read_dir(top.path()).unwrap().count(), before, "a PUT left the spool");
    assert_eq!(fs::read_dir(top.path().join("outside")).unwrap().count(), 1);
    // The planted control: the very same requests do find what is inside.
    assert_eq!(status(&get(&served, "/sub/page.html", "")), 200);
}
