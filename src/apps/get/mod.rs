//! An HTTP client for one file: HTTP/1.1 and, over TLS, HTTPS; redirects; resumed downloads.
//!
//! One request goes out on a connection of its own, so that there is nothing to share, and the thread that reads the body
//! drives the stack meanwhile. The exit codes of its [errors](Error) are those of curl.

mod body;
mod error;
mod head;
mod tls;
mod wire;

pub use error::Error;
pub use head::Head;
pub use tls::Trust;
pub use url::Url;

use crate::net::TcpStream;
use body::Body;
use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, Instant};
use wire::Wire;

/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;

/// What is to be fetched, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// From where.
    pub url: Url,
    /// Bytes that are there already: only the rest is asked for.
    pub offset: u64,
    /// How many redirects are followed; `None` is none, and the redirect itself is what is fetched.
    pub redirects: Option<u32>,
    /// Whether a status of 400 or more is an error.
    pub fail: bool,
    /// How long it may take to connect to a server and to agree on TLS with it.
    pub connecting: Duration,
    /// When everything must be done.
    pub until: Option<Instant>,
    /// Whose certificates are believed.
    pub trust: Trust,
}

/// What takes the file.
pub trait Sink {
    /// The answer has begun; `head` is about what follows. It is not called if there is nothing left to be fetched.
    ///
    /// # Errors
    /// Those of writing.
    fn begin(&mut self, head: &Head) -> std::io::Result<()>;

    /// The next bytes.
    ///
    /// # Errors
    /// Those of writing.
    fn data(&mut self, bytes: &[u8]) -> std::io::Result<()>;
}

/// Reads a URL as people write it: without a scheme it is `http`.
///
/// # Errors
/// [`Error::Url`] and [`Error::Scheme`].
pub fn parse_url(text: &str) -> Result<Url, Error> {
    // The path and the query may have such a thing, too.
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let has_scheme =
        scheme.is_some_and(|s| s.starts_with(|c: char| c.is_ascii_alphabetic()) && s.chars().all(of_scheme));
    let with_scheme = if has_scheme { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).map_err(|e| Error::Url(format!("{text}: {e}")))?;
    check(&url)?;
    Ok(url)
}

fn check(url: &Url) -> Result<(), Error> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Scheme(url.scheme().to_owned()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::Url(format!(
            "{}: user names and passwords are not sent",
            url.host_str().unwrap_or_default()
        )));
    }
    Ok(())
}

/// The host's name or address, without brackets, and the port.
fn server(url: &Url) -> Result<(String, u16), Error> {
    let host = url.host().ok_or_else(|| Error::Url(format!("{url}: there is no host")))?;
    let name = match host {
        url::Host::Domain(name) => name.to_owned(),
        url::Host::Ipv4(addr) => addr.to_string(),
        url::Host::Ipv6(addr) => addr.to_string(),
    };
    Ok((name, url.port_or_known_default().unwrap_or(80)))
}

/// Fetches what `request` says into `sink`, over what `connect` makes of a name and a port until a time, and gives the status
/// of the last answer.
///
/// # Errors
/// [`Error`].
pub fn fetch(
    request: &Request,
    mut connect: impl FnMut(&str, u16, Instant) -> Result<TcpStream, Error>,
    sink: &mut dyn Sink,
) -> Result<u16, Error> {
    let mut url = request.url.clone();
    let mut left = request.redirects;
    loop {
        let (name, port) = server(&url)?;
        let connected = Instant::now() + request.connecting;
        let connected = request.until.map_or(connected, |until| until.min(connected));
        let stream = connect(&name, port, connected)?;
        let wire = Wire::open(stream, &url, &name, request, connected)?;
        let mut reader = BufReader::with_capacity(BUFFER, wire);
        let ask = ask(&url, request.offset);
        reader.get_mut().write_all(ask.as_bytes()).and_then(|()| reader.get_mut().flush()).map_err(Error::sending)?;
        let head = head::read(&mut reader)?;
        if let (Some(to), Some(n)) = (head.redirect(), &mut left) {
            *n = n.checked_sub(1).ok_or(Error::Redirects)?;
            url = url.join(to).map_err(|e| Error::Url(format!("{to}: {e}")))?;
            check(&url)?;
            continue;
        }
        return receive(&mut reader, &head, request, sink);
    }
}

/// The request's head.
fn ask(url: &Url, offset: u64) -> String {
    let mut host = url.host_str().unwrap_or_default().to_owned();
    if let Some(port) = url.port() {
        host = format!("{host}:{port}");
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let range = if offset > 0 { format!("Range: bytes={offset}-\r\n") } else { String::new() };
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "GET {}{query} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tunstack/{version}\r\nAccept: */*\r\n\
         Accept-Encoding: identity\r\n{range}Connection: close\r\n\r\n",
        url.path()
    )
}

/// Takes the body, if it is what was asked for.
fn receive(reader: &mut impl BufRead, head: &Head, request: &Request, sink: &mut dyn Sink) -> Result<u16, Error> {
    if request.fail && head.status >= 400 && !(head.status == 416 && request.offset > 0) {
        return Err(Error::Status(head.status));
    }
    if request.offset > 0 && !head.continues(request.offset)? {
        return Ok(head.status);
    }
    let mut body = Body::of(head)?;
    sink.begin(head).map_err(Error::Write)?;
    let mut buf = vec![0; BUFFER];
    loop {
        match body.read(reader, &mut buf)? {
            0 => return Ok(head.status),
            n => sink.data(&buf[..n]).map_err(Error::Write)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Memory(Vec<u8>, bool);

    impl Sink for Memory {
        fn begin(&mut self, _: &Head) -> std::io::Result<()> {
            self.1 = true;
            Ok(())
        }

        fn data(&mut self, bytes: &[u8]) -> std::io::Result<()> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }

    fn request(offset: u64, fail: bool) -> Request {
        let url = parse_url("example.org/x").unwrap();
        let connecting = Duration::from_secs(1);
        Request { url, offset, redirects: None, fail, connecting, until: None, trust: Trust::System }
    }

    /// The body, whether it was begun at all, or curl's code.
    fn answer(text: &str, request: &Request) -> Result<(String, bool), u8> {
        let mut reader = BufReader::with_capacity(7, text.as_bytes());
        let mut sink = Memory(Vec::new(), false);
        let head = head::read(&mut reader).map_err(|e| e.code())?;
        receive(&mut reader, &head, request, &mut sink).map_err(|e| e.code())?;
        Ok((String::from_utf8(sink.0).unwrap(), sink.1))
    }

    #[test]
    fn urls() {
        for (text, name, port, path) in [
            ("example.org", "example.org", 80, "GET / HTTP/1.1\r\nHost: example.org\r\n"),
            ("https://example.org/a?b#c", "example.org", 443, "GET /a?b HTTP/1.1\r\nHost: example.org\r\n"),
            ("http://192.0.2.1:8080/x y", "192.0.2.1", 8080, "GET /x%20y HTTP/1.1\r\nHost: 192.0.2.1:8080\r\n"),
            ("http://[2001:db8::1]:81/", "2001:db8::1", 81, "GET / HTTP/1.1\r\nHost: [2001:db8::1]:81\r\n"),
            ("a.example/?u=http://b/", "a.example", 80, "GET /?u=http://b/ HTTP/1.1\r\nHost: a.example\r\n"),
            ("a:81/web/http://b", "a", 81, "GET /web/http://b HTTP/1.1\r\nHost: a:81\r\n"),
        ] {
            let url = parse_url(text).unwrap();
            assert_eq!(server(&url).unwrap(), (name.into(), port));
            assert!(ask(&url, 0).starts_with(path), "{}", ask(&url, 0));
        }
        assert!(ask(&parse_url("a").unwrap(), 7).contains("\r\nRange: bytes=7-\r\n"));
        for (wrong, code) in [
            ("http://", 3),
            ("ftp://a/", 1),
            ("svn+ssh://a/", 1),
            ("http://a:99999/", 3),
            ("http://u:p@a/", 3),
            ("", 3),
        ] {
            assert_eq!(parse_url(wrong).unwrap_err().code(), code, "{wrong}");
        }
    }

    #[test]
    fn bodies() {
        let whole = request(0, false);
        let get = |text: &str| answer(&text.replace('\n', "\r\n"), &whole).map(|(body, _)| body);
        assert_eq!(get("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello and more"), Ok("hello".into()));
        assert_eq!(get("HTTP/1.0 200\n\nuntil the end"), Ok("until the end".into()));
        assert_eq!(get("HTTP/1.1 204 No\nContent-Length: 5\n\nhello"), Ok(String::new()));
        assert_eq!(get("HTTP/1.1 100 Go on\n\nHTTP/1.1 200 OK\nContent-Length: 1\n\nx"), Ok("x".into()));
        let chunked = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5;why=not\nhello\n1\n!\n";
        assert_eq!(get(&format!("{chunked}0\nTrailer: x\n\n")), Ok("hello!".into()));
        // What is missing, and what is none.
        assert_eq!(get("HTTP/1.1 200 OK\nContent-Length: 6\n\nhello"), Err(18));
        assert_eq!(get(chunked), Err(18));
        assert_eq!(get("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nxyz\nhello"), Err(56));
        // A line without a number is no last chunk.
        for line in ["", ";x=0", " 0"] {
            let text = format!("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n{line}\n\n");
            assert_eq!(get(&text), Err(56), "{line:?}");
        }
        assert_eq!(get("HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\n"), Err(61));
        assert_eq!(get("HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\nhello!"), Err(8));
        assert_eq!(get("HTTP/1.1 200 OK\nContent-Length: +5\n\nhello"), Err(8));
        assert_eq!(get("SSH-2.0-x\n\n"), Err(8));
        assert_eq!(get(""), Err(52));
        assert_eq!(get("HTTP/1.1 200 OK\nContent-"), Err(56));
        let long = format!("HTTP/1.1 200 OK\nX: {}\n\n", "y".repeat(1 << 17));
        assert_eq!(get(&long), Err(8));
    }

    #[test]
    fn what_is_resumed_must_fit() {
        let rest = request(5, true);
        let get = |text: &str| answer(&text.replace('\n', "\r\n"), &rest);
        let part = |range: &str| format!("HTTP/1.1 206 Part\nContent-Range: {range}\nContent-Length: 2\n\nab");
        assert_eq!(get(&part("bytes 5-6/7")), Ok(("ab".into(), true)));
        assert_eq!(get(&part("bytes 4-5/7")), Err(36));
        assert_eq!(get(&part("lines 5-6/7")), Err(36));
        assert_eq!(get("HTTP/1.1 200 OK\nContent-Length: 7\n\n1234567"), Err(33));
        // All of it is there already, or more than all.
        assert_eq!(
            get("HTTP/1.1 416 No\nContent-Range: bytes */5\nContent-Length: 1\n\nx"),
            Ok((String::new(), false))
        );
        assert_eq!(get("HTTP/1.1 416 No\nContent-Range: bytes */3\nContent-Length: 0\n\n"), Err(36));
        assert_eq!(get("HTTP/1.1 404 No\nContent-Length: 0\n\n"), Err(22));
        let whole = request(0, true);
        assert_eq!(answer("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", &whole), Err(22));
    }
}
