//! `docs/conformance.md` is made from `tests/conformance/requirements.tsv` and from the ids that tests name in their
//! doc comments, and checked against both. `UPDATE_DOCS=1 cargo test --test conformance` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// One requirement: a line of the table.
struct Requirement {
    id: String,
    section: String,
    words: String,
    status: String,
    reason: String,
    /// Tests that show it without naming it.
    tests: Vec<String>,
}

/// A test function, with the ids that its doc comment names.
struct Test {
    name: String,
    file: PathBuf,
    ids: BTreeSet<String>,
}

fn requirements() -> Vec<Requirement> {
    let text = read(Path::new("tests/conformance/requirements.tsv"));
    let row = |line: &str| {
        let fields: Vec<String> = line.split('\t').map(str::to_owned).collect();
        let [id, section, words, status, reason, tests] = fields.try_into().expect("six fields");
        let tests = tests.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect();
        Requirement { id, section, words, status, reason, tests }
    };
    text.lines().skip(1).map(row).collect()
}

fn read(path: &Path) -> String {
    let path = Path::new(ROOT).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All Rust files under these directories, with paths relative to the package.
fn sources(directories: &[&str]) -> Vec<PathBuf> {
    let mut todo: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
    let mut found = Vec::new();
    while let Some(directory) = todo.pop() {
        for entry in std::fs::read_dir(Path::new(ROOT).join(&directory)).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = directory.join(entry.file_name());
            if entry.file_type().expect("a type").is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The requirement ids in a text: `MUST-12`, `SHLD-3`, `MAY-1`, `REC-1`, `7323-5`, `attack-9`.
fn ids(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|token| {
        let Some((kind, number)) = token.split_once('-') else { return false };
        let rfc = (3..=4).contains(&kind.len()) && kind.bytes().all(|b| b.is_ascii_digit());
        let known = matches!(kind, "MUST" | "SHLD" | "MAY" | "REC" | "attack");
        (rfc || known) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Every function marked `#[test]`, with its doc comment.
fn tests() -> Vec<Test> {
    let mut found = Vec::new();
    for file in sources(&["src", "tests"]) {
        let (mut doc, mut marked) = (String::new(), false);
        for line in read(&file).lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                doc.push_str(text);
                doc.push('\n');
            } else if line == "#[test]" {
                marked = true;
            } else if let Some(name) = line.strip_prefix("fn ").and_then(|l| l.split('(').next()) {
                if marked {
                    let ids = ids(&doc).map(str::to_owned).collect();
                    found.push(Test { name: name.to_owned(), file: file.clone(), ids });
                }
                (doc, marked) = (String::new(), false);
            } else if !line.starts_with("#[") && !line.starts_with("//") {
                (doc, marked) = (String::new(), false);
            }
        }
    }
    found
}

/// The tests that show each requirement.
fn shown_by<'a>(requirement: &Requirement, tests: &'a [Test]) -> Vec<&'a Test> {
    let shows = |t: &&Test| t.ids.contains(&requirement.id) || requirement.tests.contains(&t.name);
    tests.iter().filter(shows).collect()
}

#[test]
fn every_id_stands_once_and_rfc_9293_is_complete() {
    let all = requirements();
    let mut seen = BTreeSet::new();
    for r in &all {
        assert!(seen.insert(r.id.as_str()), "{} stands twice", r.id);
        assert_eq!(ids(&r.id).next(), Some(r.id.as_str()), "{} is no id", r.id);
    }
    for (kind, last) in [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)] {
        for n in 1..=last {
            assert!(seen.remove(format!("{kind}-{n}").as_str()), "{kind}-{n} is missing");
        }
        assert!(!seen.iter().any(|id| id.starts_with(kind)), "there are only {last} {kind}");
    }
}

#[test]
fn every_row_is_shown_or_explained() {
    let (all, tests) = (requirements(), tests());
    let mut wrong = Vec::new();
    for r in &all {
        match r.status.as_str() {
            "yes" if shown_by(r, &tests).is_empty() => wrong.push(format!("{}: no test names it", r.id)),
            "yes" => {}
            "planned" | "exception" | "n/a" if r.reason.is_empty() => wrong.push(format!("{}: no reason", r.id)),
            "planned" | "exception" | "n/a" => {}
            other => wrong.push(format!("{}: no such status: {other}", r.id)),
        }
        for name in r.tests.iter().filter(|name| !tests.iter().any(|t| t.name == **name)) {
            wrong.push(format!("{}: no such test: {name}", r.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_id_that_is_cited_exists() {
    let known: BTreeSet<String> = requirements().into_iter().map(|r| r.id).collect();
    let mut wrong = Vec::new();
    for t in tests() {
        wrong.extend(t.ids.difference(&known).map(|id| format!("{}: {} cites {id}", t.file.display(), t.name)));
    }
    for file in sources(&["src"]) {
        let text = read(&file);
        let rfc9293 = |id: &&str| ["MUST-", "SHLD-", "MAY-", "REC-"].iter().any(|kind| id.starts_with(kind));
        let unknown = ids(&text).filter(rfc9293).filter(|id| !known.contains(*id));
        wrong.extend(unknown.map(|id| format!("{} cites {id}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_document_is_up_to_date() {
    let path = Path::new("docs/conformance.md");
    let rendered = render(&requirements(), &tests());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(Path::new(ROOT).join(path), &rendered).expect("docs/conformance.md can be written");
    }
    assert!(read(path) == rendered, "out of date; UPDATE_DOCS=1 cargo test --test conformance writes it anew");
}

fn render(all: &[Requirement], tests: &[Test]) -> String {
    let mut groups: BTreeMap<(u8, String), Vec<&Requirement>> = BTreeMap::new();
    for r in all {
        groups.entry(group(&r.id)).or_default().push(r);
    }
    let mut out = String::from(
        "# Conformance\n\n\
         Every requirement of RFC 9293, those of its neighbours that concern what is built, and the attacks that we defend\n\
         against: what we do, and the tests that show it. Made by `UPDATE_DOCS=1 cargo test --test conformance` from\n\
         `tests/conformance/requirements.tsv` and the ids that tests name in their doc comments; do not edit by hand.\n\n\
         *yes*: done and shown. *planned*: not yet. *exception*: we do otherwise, on purpose. *n/a*: nothing to be done.\n\n\
         | | yes | planned | exception | n/a |\n|---|---|---|---|---|\n",
    );
    for ((_, title), rows) in &groups {
        let count = |status: &str| rows.iter().filter(|r| r.status == status).count();
        let counts = ["yes", "planned", "exception", "n/a"].map(count);
        let [yes, planned, exception, none] = counts;
        writeln!(out, "| {title} | {yes} | {planned} | {exception} | {none} |").expect("a string takes all");
    }
    for ((_, title), rows) in &groups {
        write!(out, "\n## {title}\n\n| id | § | requirement | status | tests |\n|---|---|---|---|---|\n")
            .expect("a string takes all");
        for r in rows {
            let status = if r.reason.is_empty() { r.status.clone() } else { format!("{}: {}", r.status, r.reason) };
            let links: Vec<String> =
                shown_by(r, tests).iter().map(|t| format!("[{}](../{})", t.name, t.file.display())).collect();
            let words = r.words.replace('|', "\\|");
            writeln!(out, "| {} | {} | {words} | {status} | {} |", r.id, r.section, links.join(", "))
                .expect("a string takes all");
        }
    }
    out
}

/// The table that an id belongs to, in the order of the document.
fn group(id: &str) -> (u8, String) {
    match id.split_once('-') {
        Some(("attack", _)) => (2, "Attacks".to_owned()),
        Some((rfc, _)) if rfc.bytes().all(|b| b.is_ascii_digit()) => {
            (1, format!("RFC {rfc:0>4}").replace("RFC 0", "RFC "))
        }
        _ => (0, "RFC 9293".to_owned()),
    }
}
