//! The layers of `docs/design.md`, kept true: which room may name which, what the core may not name at all, where
//! `unsafe` may stand, and how long a file may grow.
//!
//! The checker reads the sources, with comments, strings and `#[cfg(test)]` items taken out, and looks at every path in
//! them, `use` or not. It is itself tested on planted violations.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms that make up the sans-IO core.
const CORE: [&str; 13] =
    ["wire", "tcp", "udp", "raw", "icmp", "ip", "stack", "buf", "time", "rng", "error", "stats", "trace"];

/// Every room and what it may name besides itself. `a::b` allows only that part of `a`.
const ROOMS: &[(&str, &[&str])] = &[
    // These know nothing.
    ("time", &[]),
    ("rng", &[]),
    ("error", &[]),
    // But the names of the eleven states, to count and to show them.
    ("stats", &["tcp::state"]),
    ("trace", &["time", "tcp::state"]),
    // Memory and formats: nothing here knows a connection.
    ("buf", &["time", "rng", "error", "stats"]),
    ("wire", &["buf", "time", "rng", "error", "stats", "sys::simd"]),
    // The protocols. They may name the plain data that `stack` is made with and gives out, nothing that does anything. TCP
    // knows none of the others; UDP sits on IP, and ICMP is a part of IP (RFC 792).
    ("tcp", &["buf", "wire", "time", "rng", "error", "stats", "trace"]),
    ("icmp", &["buf", "wire", "time", "rng", "error", "stats", "trace"]),
    (
        "ip",
        &[
            "icmp",
            "stack::Cidr",
            "stack::Config",
            "stack::HostModel",
            "stack::IfName",
            "stack::InterfaceInfo",
            "stack::MAX_INTERFACES",
            "stack::Readiness",
            "stack::RecvMsg",
            "stack::ReassemblyConfig",
            "stack::Route",
            "stack::RouteKind",
            "stack::SocketError",
            "buf",
            "wire",
            "time",
            "rng",
            "error",
            "stats",
            "trace",
        ],
    ),
    (
        "udp",
        &[
            "ip",
            "icmp",
            "stack::Config",
            "stack::FlowConfig",
            "stack::MtuDiscovery",
            "stack::Readiness",
            "stack::RecvMsg",
            "stack::SendMsg",
            "stack::SocketError",
            "stack::UdpBind",
            "stack::UdpId",
            "stack::UdpOptions",
            "buf",
            "wire",
            "time",
            "rng",
            "error",
            "stats",
            "trace",
        ],
    ),
    (
        "raw",
        &[
            "ip",
            "icmp",
            "stack::Config",
            "stack::RawId",
            "stack::RawOptions",
            "stack::Readiness",
            "stack::RecvMsg",
            "stack::SocketError",
            "buf",
            "wire",
            "time",
            "rng",
            "error",
            "stats",
            "trace",
        ],
    ),
    ("stack", &["tcp", "udp", "raw", "icmp", "ip", "buf", "wire", "time", "rng", "error", "stats", "trace"]),
    // Outside the core.
    ("sys", &[]),
    ("device", &["sys", "buf", "wire", "time", "rng", "error", "stats", "trace", "tcp::state"]),
    ("runtime", &["stack", "device", "sys", "buf", "wire", "time", "rng", "error", "stats", "trace", "tcp::state"]),
    ("net", &["runtime", "stack", "device", "buf", "wire", "time", "rng", "error", "stats", "trace", "tcp::state"]),
    ("aio", &["net", "runtime", "device", "sys::tasks", "sys::wait", "time"]),
    ("dns", &["aio", "net"]),
    ("apps", &["aio", "dns", "net", "sys::pktinfo"]),
    ("sim", &["stack", "device", "buf", "wire", "time", "rng", "error", "stats", "trace", "tcp::state"]),
    (
        "daemon",
        &[
            "aio",
            "dns",
            "net",
            "runtime",
            "apps",
            "device",
            "sys",
            "sim",
            "stack",
            "buf",
            "wire",
            "time",
            "rng",
            "error",
            "stats",
            "trace",
            "tcp::state",
            "tcp::seq",
        ],
    ),
];

/// What no room of the core may name, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    ("std::thread", "the core has no threads"),
    ("std::sync", "the core is `&mut self`; the runtime holds the lock"),
    ("std::time", "time is an argument"),
    ("std::fs", "the core does no input or output"),
    ("std::env", "settings come in by `Config`"),
    ("std::process", "the core does no input or output"),
    ("std::os", "the core knows no system"),
    ("std::net::TcpStream", "the core is the TCP"),
    ("std::net::TcpListener", "the core is the TCP"),
    ("std::net::UdpSocket", "the core is the UDP"),
    ("libc", "the core makes no system call"),
    ("rustix", "the core makes no system call"),
    ("tun_tap", "the core knows no device"),
];

/// Where a forbidden name may stand after all: (start of the file's path, name, why).
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/buf/", "std::sync::Arc", "slices share a chunk across threads"),
    ("src/buf/", "std::sync::Weak", "a chunk finds its way back to its pool"),
    ("src/buf/pool.rs", "std::sync", "application threads take and return chunks outside the stack's lock"),
    ("src/tcp/options.rs", "std::sync::Arc", "connections share their listener's options"),
];

/// Files that may be longer than [`MAX_LINES`], with the reason.
const LONG_FILES: &[(&str, usize, &str)] = &[];

/// Lines that a source file may have, its unit tests included.
const MAX_LINES: usize = 800;

/// The lints that each module of the core denies at its head; `clippy.toml` has the lists.
const LINT_HEAD: &str = "#![deny(clippy::disallowed_methods, clippy::disallowed_types)]";

// ---- reading Rust, as far as needed ----

/// The source with comments and the insides of string and character literals blanked; lines stay where they are.
fn without_comments_and_strings(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = String::with_capacity(source.len());
    let mut i = 0;
    while i < chars.len() {
        // Where the literal or comment that starts here ends, if one does.
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => Some((i..chars.len()).find(|&k| at(k) == '\n').unwrap_or(chars.len())),
            ('/', '*') => Some(end_of_block_comment(&chars, i)),
            ('r', '"' | '#') if !is_ident(if i > 0 { at(i - 1) } else { ' ' }) || at(i.wrapping_sub(1)) == 'b' => {
                end_of_raw_string(&chars, i)
            }
            ('"', _) => Some(end_of_string(&chars, i)),
            ('\'', '\\') => Some((i + 3..chars.len()).find(|&k| at(k) == '\'').map_or(chars.len(), |k| k + 1)),
            ('\'', _) if at(i + 2) == '\'' => Some(i + 3),
            _ => None,
        };
        match end {
            Some(end) => {
                out.push(' ');
                out.extend(chars[i..end].iter().filter(|&&c| c == '\n'));
                i = end;
            }
            None => {
                out.push(at(i));
                i += 1;
            }
        }
    }
    out
}

fn is_ident(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i < chars.len() {
        match chars[i..] {
            ['/', '*', ..] => (depth, i) = (depth + 1, i + 2),
            ['*', '/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// `None` for a raw identifier.
fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    if chars.get(start + 1 + hashes) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let from = start + 2 + hashes;
    let found = chars[from..].windows(close.len()).position(|w| w == close);
    Some(found.map_or(chars.len(), |k| from + k + close.len()))
}

/// A token with the line it stands on, counted from 1.
type Token = (usize, String);

/// Identifiers, `::`, and single other characters.
fn tokens(code: &str) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::new();
    let mut line = 1;
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        } else if is_ident(c) {
            let mut word = String::from(c);
            while let Some(c) = chars.next_if(|&c| is_ident(c)) {
                word.push(c);
            }
            out.push((line, word));
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            out.push((line, "::".into()));
        } else if !c.is_whitespace() {
            out.push((line, c.into()));
        }
    }
    out
}

/// Takes out every item under `#[cfg(test)]` or `#[cfg(all(test, ...))]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let word = |i: usize| tokens.get(i).map_or("", |t| t.1.as_str());
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let attribute = word(i) == "#" && word(i + 1) == "[" && word(i + 2) == "cfg";
        let test = word(i + 4) == "test" || (word(i + 4) == "all" && word(i + 6) == "test");
        if attribute && test {
            i = end_of_item(tokens, i);
        } else {
            out.push(tokens[i].clone());
            i += 1;
        }
    }
    out
}

/// The end of the item whose attributes start at `start`: behind its `;` or its closing brace.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0usize;
    for (i, (_, token)) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token == "}" {
                    return i + 1;
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Every path of at least two segments, with its line; trees in braces are multiplied out.
fn paths(tokens: &[Token]) -> Vec<(usize, Vec<String>)> {
    let word = |i: usize| tokens.get(i).map_or("", |t| t.1.as_str());
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if word(i).starts_with(is_ident) {
            i = path_tree(tokens, i, &mut Vec::new(), &mut out);
        }
        i += 1;
    }
    out.retain(|(_, path)| path.len() > 1);
    out
}

/// Reads the path, or the inside of a tree, that starts at `i`; gives the index of its last token.
fn path_tree(tokens: &[Token], mut i: usize, prefix: &mut Vec<String>, out: &mut Vec<(usize, Vec<String>)>) -> usize {
    let word = |i: usize| tokens.get(i).map_or("", |t| t.1.as_str());
    let depth = prefix.len();
    loop {
        if word(i) == "{" {
            i += 1;
            while i < tokens.len() && word(i) != "}" {
                if word(i).starts_with(is_ident) || word(i) == "*" || word(i) == "{" {
                    i = path_tree(tokens, i, prefix, out);
                }
                i += 1;
            }
            break;
        }
        // `a::{self}` is `a`.
        if word(i) != "self" || prefix.is_empty() {
            prefix.push(word(i).to_string());
        }
        let more = word(i + 1) == "::" && (word(i + 2).starts_with(is_ident) || matches!(word(i + 2), "{" | "*"));
        if !more {
            out.push((tokens[i].0, prefix.clone()));
            break;
        }
        i += 2;
    }
    prefix.truncate(depth);
    i
}

// ---- the rules ----

/// The module path of a file: `src/tcp/seq.rs` is `[tcp, seq]`, `src/tcp/mod.rs` is `[tcp]`, `src/lib.rs` is `[]`.
fn module_of(file: &str) -> Vec<String> {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Vec<String> = inner.split('/').map(String::from).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        path.pop();
    }
    path
}

/// A path as seen from the crate's root, if it points into this crate.
fn in_crate(module: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut base = module.to_vec();
    let mut rest = path;
    match path[0].as_str() {
        "crate" | "tunstack" => base.clear(),
        "super" | "self" => {}
        _ => return None,
    }
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "crate" | "tunstack" | "self" => {}
            "super" => drop(base.pop()),
            _ => break,
        }
        rest = tail;
    }
    base.extend_from_slice(rest);
    Some(base)
}

fn starts_with(path: &[String], prefix: &str) -> bool {
    let mut own = path.iter();
    prefix.split("::").all(|part| own.next().is_some_and(|p| p == part))
}

/// Everything wrong in one file, as `file:line: what`.
fn violations(file: &str, source: &str) -> Vec<String> {
    let module = module_of(file);
    let code = without_comments_and_strings(source);
    let all = tokens(&code);
    let mut out = Vec::new();
    if !file.starts_with("src/sys") {
        for (line, _) in all.iter().filter(|(_, word)| word == "unsafe") {
            out.push(format!("{file}:{line}: `unsafe` outside src/sys"));
        }
    }
    // The crate's page and the command's main name every room; what they may not do is in nobody's way.
    let Some(room) = module.first() else { return out };
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| name == room) else {
        out.push(format!("{file}: `{room}` is no room of the house; give it a row in ROOMS"));
        return out;
    };
    for (line, path) in paths(&without_tests(&all)) {
        let shown = path.join("::");
        if let Some(target) = in_crate(&module, &path) {
            let is_room = target.first().is_some_and(|t| ROOMS.iter().any(|(name, _)| name == t));
            let fine = target.first() == Some(room)
                || allowed.iter().any(|a| starts_with(&target, a))
                || (!is_room && path[0] != "crate");
            if !fine {
                out.push(format!("{file}:{line}: `{room}` may not name `{shown}`"));
            }
        } else if CORE.contains(&room.as_str()) {
            for (name, why) in FORBIDDEN.iter().filter(|(name, _)| starts_with(&path, name)) {
                let excused = EXCEPTIONS.iter().any(|(at, what, _)| file.starts_with(at) && starts_with(&path, what));
                if !excused {
                    out.push(format!("{file}:{line}: the core may not name `{name}` ({why}): `{shown}`"));
                }
            }
        }
    }
    out
}

// ---- the house ----

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file of the crate: its path from the root, and its text.
fn sources() -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut dirs = vec![root().join("src")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory of sources") {
            let path: PathBuf = entry.expect("its entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).expect("a path below the root").to_string_lossy().into_owned();
                out.push((name, fs::read_to_string(&path).expect("a source file")));
            }
        }
    }
    assert!(out.len() > 20, "the sources were not found");
    out.sort();
    out
}

/// Files that are test code as a whole: `#[cfg(test)] mod tests;` in their parent.
fn test_files(sources: &[(String, String)]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (file, source) in sources {
        let all = tokens(&without_comments_and_strings(source));
        let kept: BTreeSet<String> = declared_modules(&without_tests(&all));
        for name in declared_modules(&all).difference(&kept) {
            let parent = module_of(file).join("/");
            let base = if parent.is_empty() { "src".to_string() } else { format!("src/{parent}") };
            out.insert(format!("{base}/{name}.rs"));
            out.insert(format!("{base}/{name}/mod.rs"));
        }
    }
    out
}

/// The names in `mod name;`.
fn declared_modules(tokens: &[Token]) -> BTreeSet<String> {
    tokens.windows(3).filter(|w| w[0].1 == "mod" && w[2].1 == ";").map(|w| w[1].1.clone()).collect()
}

#[test]
fn every_arrow_points_down() {
    let sources = sources();
    let tests = test_files(&sources);
    let wrong: Vec<String> =
        sources.iter().filter(|(file, _)| !tests.contains(file)).flat_map(|(f, s)| violations(f, s)).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn each_core_module_denies_what_clippy_toml_lists() {
    for room in CORE {
        let candidates = [format!("src/{room}/mod.rs"), format!("src/{room}.rs")];
        let text = candidates.iter().find_map(|f| fs::read_to_string(root().join(f)).ok());
        let text = text.unwrap_or_else(|| panic!("no such room in src: {room}"));
        let head = text.lines().take_while(|l| l.is_empty() || l.starts_with("//!") || l.starts_with("#!["));
        assert!(head.into_iter().any(|l| l == LINT_HEAD), "src/{room} does not start with {LINT_HEAD}");
    }
}

#[test]
fn files_stay_small() {
    for (file, source) in sources() {
        let lines = source.lines().count();
        let (limit, why) =
            LONG_FILES.iter().find(|(f, ..)| *f == file).map_or((MAX_LINES, ""), |(_, n, why)| (*n, *why));
        assert!(lines <= limit, "{file} has {lines} lines, more than {limit} {why}");
    }
}

// ---- the checker itself ----

#[track_caller]
fn assert_violations(file: &str, source: &str, wanted: &[&str]) {
    let found = violations(file, source);
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(found.contains(wanted), "{found} does not say {wanted}");
    }
}

#[test]
fn planted_violations_are_found() {
    assert_violations("src/tcp/input.rs", "use crate::ip::output;", &["src/tcp/input.rs:1: `tcp` may not name"]);
    assert_violations(
        "src/tcp/input.rs",
        "\nuse crate::{buf::Slice, stack::{demux, table}};",
        &["input.rs:2: `tcp` may not name `crate::stack::demux`", "`crate::stack::table`"],
    );
    assert_violations("src/wire/ipv4.rs", "fn f() -> super::super::tcp::Seq {}", &["`wire` may not name"]);
    assert_violations("src/apps/echo.rs", "fn f(s: &crate::stack::Stack) {}", &["`apps` may not name"]);
    assert_violations("src/time.rs", "fn f() { std::thread::sleep(x) }", &["may not name `std::thread`"]);
    assert_violations(
        "src/stack/mod.rs",
        "use std::{net::{IpAddr, UdpSocket}, sync::Arc};",
        &["may not name `std::net::UdpSocket`", "may not name `std::sync`"],
    );
    assert_violations("src/udp/mod.rs", "let x = ::libc::getpid();", &["may not name `libc`"]);
    assert_violations("src/net/mod.rs", "fn f() { unsafe { g() } }", &["`unsafe` outside src/sys"]);
    assert_violations("src/attic/mod.rs", "", &["`attic` is no room"]);
    assert_violations("src/wire/tcp.rs", "use crate::sys::tun;", &["`wire` may not name"]);
    assert_violations("src/trace.rs", "use crate::tcp::connection::Connection;", &["`trace` may not name"]);
}

#[test]
fn what_is_allowed_is_not_found() {
    assert_violations("src/tcp/input.rs", "use crate::buf::Slice; use super::seq::Seq; use std::net::IpAddr;", &[]);
    assert_violations(
        "src/tcp/mod.rs",
        "// use crate::ip;\n/* unsafe /* crate::ip::x */ */ const S: &str = \"crate::ip::x\";",
        &[],
    );
    assert_violations("src/tcp/mod.rs", "const R: &str = r#\"unsafe \" std::thread::x\"#; const C: char = '\"';", &[]);
    assert_violations(
        "src/tcp/mod.rs",
        "#[cfg(test)]\nmod tests { use crate::ip::x; fn f() { std::thread::sleep(d) } }",
        &[],
    );
    assert_violations("src/tcp/mod.rs", "#[cfg(all(test, feature = \"sim\"))]\nuse crate::sim::World;", &[]);
    assert_violations("src/buf/pool.rs", "use std::sync::{Arc, Mutex};", &[]);
    assert_violations("src/wire/checksum.rs", "let s = crate::sys::simd::sum(b);", &[]);
    assert_violations("src/trace.rs", "use crate::tcp::state::State;", &[]);
    assert_violations("src/sys/device.rs", "fn f<'a>(x: &'a u8) { unsafe { libc::close(3) } }", &[]);
}
