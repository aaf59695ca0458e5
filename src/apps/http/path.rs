//! From the request's target to the names of files, with everything refused that could mean another place.
//!
//! This is the first of two walls; the second is `openat2(2)` in [`files`](super::files), which holds even if this one
//! is wrong.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Names deeper than this are refused.
const MAX_DEPTH: usize = 64;

/// The longest file name on Linux, in bytes (NAME_MAX).
const MAX_NAME: usize = 255;

/// What must be escaped in a path that is written into a page or a header.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'\'')
    .add(b'&')
    .add(b'/')
    .add(b'\\');

/// A target, decoded and found harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    names: Vec<String>,
    slash: bool,
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

impl Path {
    /// Decodes a request target in origin form (`/a/b?query`) or absolute form (`http://host/a/b`).
    pub(crate) fn parse(target: &str) -> Result<Path, Refused> {
        let rest = match target.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                rest.find('/').map_or("/", |slash| &rest[slash..])
            }
            _ => target,
        };
        if !rest.starts_with('/') {
            return Err(Refused("the target is not a path"));
        }
        let path = rest.split(['?', '#']).next().unwrap_or("/");
        let mut names = Vec::new();
        for piece in path.split('/').filter(|piece| !piece.is_empty()) {
            let name = decode(piece)?;
            if names.len() == MAX_DEPTH {
                return Err(Refused("the path is too deep"));
            }
            names.push(name);
        }
        Ok(Path { slash: path.ends_with('/'), names })
    }

    /// The names from the root down, each of them one plain file name.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The path of `name`, which is one plain file name, in this directory.
    pub(crate) fn child(&self, name: &str) -> Path {
        let mut names = self.names.clone();
        names.push(name.to_owned());
        Path { names, slash: false }
    }

    /// Whether the target ended in a slash.
    pub(crate) fn slash(&self) -> bool {
        self.slash
    }

    /// The path relative to the root, `.` for the root itself.
    pub(crate) fn relative(&self) -> String {
        if self.names.is_empty() { ".".into() } else { self.names.join("/") }
    }

    /// The path from the root, decoded: to show, or to look up.
    pub(crate) fn absolute(&self) -> String {
        format!("/{}", self.names.join("/"))
    }

    /// The path as a target again, with a slash at the end: where a directory really is. It starts with one slash and
    /// no more, so that no browser takes it for the name of another host.
    pub(crate) fn as_directory(&self) -> String {
        self.names.iter().fold(String::from("/"), |path, name| path + &encode(name) + "/")
    }
}

/// One name, escaped for a link.
pub(crate) fn encode(name: &str) -> String {
    utf8_percent_encode(name, ESCAPED).to_string()
}

fn decode(piece: &str) -> Result<String, Refused> {
    if !escapes_are_whole(piece.as_bytes()) {
        return Err(Refused("a percent sign without two hexadecimal digits"));
    }
    // Overlong forms are no UTF-8, so they end here too.
    let name = percent_decode_str(piece).decode_utf8().map_err(|_| Refused("the path is not UTF-8"))?;
    if name == "." || name == ".." {
        return Err(Refused("dots that climb"));
    }
    if name.len() > MAX_NAME {
        return Err(Refused("a name is too long"));
    }
    if name.chars().any(|c| c.is_control() || c == '/' || c == '\\') {
        return Err(Refused("a control character or an escaped slash"));
    }
    Ok(name.into_owned())
}

fn escapes_are_whole(piece: &[u8]) -> bool {
    piece.iter().enumerate().filter(|&(_, &b)| b == b'%').all(|(i, _)| {
        piece.get(i + 1).is_some_and(u8::is_ascii_hexdigit) && piece.get(i + 2).is_some_and(u8::is_ascii_hexdigit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_decoded() {
        let path = Path::parse("/a%20b/c%C3%A9.txt?q=/../#x").unwrap();
        assert_eq!(path.names(), ["a b", "cé.txt"]);
        assert_eq!((path.relative().as_str(), path.slash()), ("a b/cé.txt", false));
        assert_eq!(path.as_directory(), "/a%20b/c%C3%A9.txt/");
        assert_eq!(Path::parse("http://192.0.2.2").unwrap().relative(), ".");
        assert_eq!(Path::parse("HTTP://h:80/x/").unwrap().absolute(), "/x");
        assert!(Path::parse("/x//").unwrap().slash());
        // Decoding happens once: this is a file whose name has a percent sign.
        assert_eq!(Path::parse("/%252e%252e").unwrap().names(), ["%2e%2e"]);
    }

    #[test]
    fn a_redirect_stays_on_this_host() {
        assert_eq!(Path::parse("//evil.example/%2561").unwrap().as_directory(), "/evil.example/%2561/");
    }

    #[test]
    fn what_could_mean_another_place_is_refused() {
        for target in [
            "",
            "*",
            "a",
            "..",
            "../a",
            "/..",
            "/../etc/passwd",
            "/a/../b",
            "/./a",
            "/%2e%2e/",
            "/%2E./",
            "/.%2e",
            "/%2e",
            "/a%2fb",
            "/..%2f..%2fetc",
            "/a%5cb",
            "/..\\..\\etc",
            "/a%00b",
            "/a%00/../b",
            "/%",
            "/%4",
            "/%zz",
            "/%c0%ae%c0%ae/",
            "/%c0%af",
            "/%e0%80%ae",
            "/%f0%80%80%af",
            "/%ff",
            "/a%0ab",
            "/a%7f",
            "/%c2%85",
            "ftp://h/x",
            "http:/etc",
        ] {
            assert!(Path::parse(target).is_err(), "{target:?} was taken as {:?}", Path::parse(target));
        }
        assert!(Path::parse(&format!("/{}", "x".repeat(256))).is_err());
        assert!(Path::parse(&"/x".repeat(65)).is_err());
        assert!(Path::parse(&"/x".repeat(64)).is_ok());
    }
}
