//! The documentation against the code: that links lead somewhere, that the tour names what exists, and that the limits
//! are the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tunstack::stack::{Config, FlowConfig, GateConfig, ReassemblyConfig, TcpConfig, UdpConfig};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn files_below(dir: &str, extension: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("its entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

/// Every Markdown file of the project, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let mut files = files_below("docs", "md");
    files.extend(["README.md", "CHANGELOG.md"].map(|f| root().join(f)));
    files.into_iter().map(|f| (f.clone(), fs::read_to_string(f).expect("a page"))).collect()
}

/// What stands between `open` and the next `close`, each time.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    text.split(open).skip(1).filter_map(|rest| rest.split_once(close)).map(|(inside, _)| inside).collect()
}

/// Code spans, outside fenced blocks.
fn code_spans(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    for (page, text) in pages() {
        for target in between(&text, "](", ")") {
            let file = target.split('#').next().expect("a first part");
            if file.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().expect("a directory").join(file);
            assert!(path.exists(), "{} links to {target}, which is not there", page.display());
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} links were found");
}

#[test]
fn files_that_are_named_exist() {
    let mut seen = 0;
    for (page, text) in pages() {
        for span in code_spans(&text) {
            let first = span.split_whitespace().next().unwrap_or("");
            let is_file = ["src/", "tests/", "docs/", "scripts/", "examples/", "benches/"];
            if is_file.iter().any(|dir| first.starts_with(dir)) && !first.contains('*') {
                assert!(root().join(first).exists(), "{} names {first}, which is not there", page.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} files were found");
}

#[test]
fn pages_that_the_sources_name_exist() {
    let mut seen = 0;
    let sources = ["src", "tests", "examples", "benches"].into_iter().flat_map(|dir| files_below(dir, "rs"));
    for file in sources.filter(|f| !f.ends_with("tests/docs.rs")) {
        let text = fs::read_to_string(&file).expect("a source file");
        for rest in text.split("docs/").skip(1) {
            let name = rest.split(|c: char| !c.is_alphanumeric() && !"-_./".contains(c)).next().unwrap_or("");
            let page = root().join("docs").join(name.trim_end_matches('.'));
            assert!(page.exists(), "{} names docs/{name}, which is not there", file.display());
            seen += 1;
        }
    }
    assert!(seen > 2, "only {seen} pages were found");
}

/// Each identifier in a code span of the tour must occur in the sources, so that renaming something shows here.
#[test]
fn the_tour_names_what_exists() {
    let is_ident = |c: char| c.is_alphanumeric() || c == '_';
    let mut known = BTreeSet::new();
    for file in files_below("src", "rs") {
        let text = fs::read_to_string(file).expect("a source file");
        known.extend(text.split(|c| !is_ident(c)).map(String::from));
    }
    let tour = read("docs/tour.md");
    let mut seen = 0;
    for span in code_spans(&tour).into_iter().filter(|s| !s.contains([' ', '/'])) {
        for word in span.split(|c| !is_ident(c)).filter(|w| w.starts_with(char::is_alphabetic)) {
            assert!(known.contains(word), "docs/tour.md says `{span}`, but nothing in src is called {word}");
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} names were found");
}

/// A default as a number: bytes, seconds, or a plain count. Understands `256 KiB`, `30 s`, `200ms`, `1,024`, `true`,
/// and `none` or `[]`; any other word is a number of its own, whether written `BlackHole` or `black-hole`.
fn value(text: &str) -> Option<f64> {
    let text = text.trim().trim_matches(['`', '"']);
    let word = text.replace('-', "").to_ascii_lowercase();
    let text = text.replace([',', '_', ' '], "");
    match text.as_str() {
        "true" => return Some(1.0),
        "false" | "none" | "None" | "[]" => return Some(0.0),
        _ => {}
    }
    if word.starts_with(|c: char| c.is_ascii_lowercase()) && word.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Some(word.bytes().fold(1.0, |sum, letter| sum * 128.0 + f64::from(letter)));
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let unit = match &text[digits..] {
        "" | "bytes" | "s" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "min" => 60.0,
        _ => return None,
    };
    Some(text[..digits].parse::<f64>().ok()? * unit)
}

/// The fields of a struct and their values, from its `{:#?}`: one level, nested structs left out.
fn fields(debug: &str) -> BTreeMap<String, String> {
    let own = debug.lines().filter(|l| l.starts_with("    ") && !l.starts_with("     "));
    own.filter_map(|l| l.trim().trim_end_matches(',').split_once(": "))
        .filter(|(_, value)| !value.ends_with('{'))
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

/// The first two columns of the table under the heading `` ## `name` ``.
fn table(page: &str, name: &str) -> BTreeMap<String, String> {
    let heading = format!("## `{name}`\n");
    let section = page.split_once(&heading).unwrap_or_else(|| panic!("no section {name}")).1;
    let section = section.split("\n## ").next().expect("a section");
    let rows = section.lines().filter(|l| l.starts_with("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let name = cells.next().expect("a name").trim_matches('`');
        (name.to_string(), cells.next().expect("a default").to_string())
    })
    .collect()
}

#[test]
fn every_limit_stands_with_its_real_default() {
    let page = read("docs/limits.md");
    let structs = [
        ("Config", format!("{:#?}", Config::default())),
        ("TcpConfig", format!("{:#?}", TcpConfig::default())),
        ("ReassemblyConfig", format!("{:#?}", ReassemblyConfig::default())),
        ("UdpConfig", format!("{:#?}", UdpConfig::default())),
        ("GateConfig", format!("{:#?}", GateConfig::default())),
        ("FlowConfig", format!("{:#?}", FlowConfig::default())),
    ];
    for (name, debug) in structs {
        let (real, said) = (fields(&debug), table(&page, name));
        assert!(!real.is_empty(), "no fields in {debug}");
        assert_eq!(
            real.keys().collect::<Vec<_>>(),
            said.keys().collect::<Vec<_>>(),
            "docs/limits.md does not list exactly the fields of {name}"
        );
        for (field, default) in real {
            let (a, b) = (value(&default), value(&said[&field]));
            assert!(a.is_some() && b.is_some(), "{name}.{field}: cannot read {default:?} or {:?}", said[&field]);
            assert_eq!(a, b, "{name}.{field} is {default}, docs/limits.md says {}", said[&field]);
        }
    }
}

/// The value of a constant's expression, as far as bounds need: products, shifts and durations.
fn evaluate(expression: &str) -> Option<f64> {
    if let Some((a, b)) = expression.split_once('+') {
        return Some(evaluate(a)? + evaluate(b)?);
    }
    if let Some((a, b)) = expression.split_once('*') {
        return Some(evaluate(a)? * evaluate(b)?);
    }
    if let Some((a, b)) = expression.split_once("<<") {
        return Some(evaluate(a)? * evaluate(b)?.exp2());
    }
    let expression = expression.trim();
    let inside = |name: &str| expression.strip_prefix(name)?.strip_suffix(')');
    if let Some(seconds) = inside("Duration::from_secs(") {
        return evaluate(seconds);
    }
    if let Some(millis) = inside("Duration::from_millis(") {
        return Some(evaluate(millis)? / 1000.0);
    }
    if let Some(micros) = inside("Duration::from_micros(") {
        return Some(evaluate(micros)? * 1e-6);
    }
    value(expression)
}

/// What `const NAME: ... = value;` says in a source text.
fn constant(source: &str, name: &str) -> Option<f64> {
    let (_, rest) = source.split_once(&format!("const {name}: "))?;
    let (_, rest) = rest.split_once(" = ")?;
    evaluate(rest.split_once(';')?.0)
}

#[test]
fn every_constant_bound_has_its_real_value() {
    let page = read("docs/limits.md");
    let section = page.split_once("## Elsewhere\n").expect("the section").1;
    let mut seen = 0;
    for row in section.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (name, said, file) = (cells[1], value(cells[2]), cells[3]);
        let real = constant(&read(file), name).unwrap_or_else(|| panic!("{file} has no constant {name}"));
        assert_eq!(Some(real), said, "{name} in {file}");
        seen += 1;
    }
    assert!(seen > 15, "only {seen} were found");
}

#[test]
fn values_are_read_and_told_apart() {
    assert_eq!(value("256 KiB"), value("262144"));
    assert_eq!(value("`1,024`"), Some(1024.0));
    assert_eq!(value(&format!("{:?}", Duration::from_millis(200))), value("200 ms"));
    assert_eq!(value("120 s"), value("2 min"));
    assert_ne!(value("30 s"), value("30 ms"));
    assert_eq!(value("[]"), value("none"));
    assert_eq!(value("a lot"), None);
    assert_eq!(constant("pub(crate) const A: usize = 64 * 1024 + 256;", "A"), Some(65_792.0));
    assert_eq!(constant("const B: Duration = Duration::from_millis(20);", "B"), Some(0.02));
    assert_eq!(constant("const C: u32 = 1 << 30;", "C"), Some(1_073_741_824.0));
    assert_eq!(constant("const D: u32 = 1;", "C"), None);
    assert_eq!(fields("C {\n    a: 1,\n    b: D {\n        c: 2,\n    },\n}").into_keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn the_readme_gives_the_commands_that_are_checked() {
    let readme = read("README.md");
    for command in ["cargo run --release -- demo\n", "cargo test\n"] {
        assert!(readme.contains(command), "README.md does not say {command}");
    }
    assert!(read("scripts/check").contains("cargo test"));
    assert!(readme.contains(&format!("Rust {} or newer", env!("CARGO_PKG_RUST_VERSION"))));
}
