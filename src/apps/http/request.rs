//! A request's head: parsed by httparse, then held against everything that makes two servers disagree about where a
//! request ends (request smuggling, RFC 9112 11.2).

use super::range::number;

/// The most bytes that a head may have.
pub(crate) const MAX_HEAD: usize = 8 * 1024;

/// The most header fields that a head may have.
pub(crate) const MAX_HEADERS: usize = 100;

/// A refusal: the status and what to tell the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reject {
    /// The status code, 400 or above.
    pub(crate) status: u16,
    /// Why, in a few words.
    pub(crate) why: &'static str,
}

impl Reject {
    /// A refusal.
    pub(crate) const fn new(status: u16, why: &'static str) -> Reject {
        Reject { status, why }
    }
}

/// The methods that we tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Send it.
    Get,
    /// Send only the head of it.
    Head,
    /// Store it.
    Put,
    /// A known method that nothing here allows.
    Other,
}

impl core::fmt::Display for Method {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Other => "(another method)",
        })
    }
}

/// How long the request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, each with its length.
    Chunked,
}

/// A request without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// What to do,
    pub(crate) method: Method,
    /// with what.
    pub(crate) target: String,
    /// How the body is delimited.
    pub(crate) framing: Framing,
    /// The Range header.
    pub(crate) range: Option<String>,
    /// The If-Range header.
    pub(crate) if_range: Option<String>,
    /// Whether there is a Content-Range header, which a PUT may not have.
    pub(crate) content_range: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// Whether the connection goes on after the answer, as far as the client is concerned.
    pub(crate) keep_alive: bool,
}

/// Parses the head at the start of `bytes`; gives it with its length, or `None` if it is not complete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, Reject> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut raw = httparse::Request::new(&mut headers);
    match raw.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => interpret(&raw).map(|request| Some((request, len))),
        Ok(httparse::Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err(Reject::new(431, "too many header fields")),
        Err(httparse::Error::Version) => Err(Reject::new(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")),
        Err(_) => Err(Reject::new(400, "this is not HTTP")),
    }
}

fn interpret(raw: &httparse::Request<'_, '_>) -> Result<Request, Reject> {
    let old = raw.version == Some(0);
    let field = |name| single(raw.headers, name);
    if field("host")?.is_none() && !old {
        return Err(Reject::new(400, "the Host header is missing"));
    }
    let framing = framing(raw.headers, old)?;
    let expects_continue = match field("expect")? {
        None => false,
        Some(value) if value.eq_ignore_ascii_case("100-continue") => !old && framing != Framing::None,
        Some(_) => return Err(Reject::new(417, "only 100-continue can be expected")),
    };
    Ok(Request {
        method: method(raw.method.unwrap_or_default())?,
        target: raw.path.unwrap_or_default().to_owned(),
        framing,
        range: field("range")?.map(str::to_owned),
        if_range: field("if-range")?.map(str::to_owned),
        content_range: field("content-range")?.is_some(),
        expects_continue,
        keep_alive: keep_alive(raw.headers, old),
    })
}

fn method(token: &str) -> Result<Method, Reject> {
    match token {
        "GET" => Ok(Method::Get),
        "HEAD" => Ok(Method::Head),
        "PUT" => Ok(Method::Put),
        "POST" | "DELETE" | "OPTIONS" | "PATCH" | "TRACE" | "CONNECT" => Ok(Method::Other),
        _ => Err(Reject::new(501, "no such method")),
    }
}

/// The values of all header fields called `name`.
fn values<'h>(headers: &'h [httparse::Header<'_>], name: &'static str) -> impl Iterator<Item = &'h [u8]> {
    headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

/// The value of a header field that may stand only once.
fn single<'h>(headers: &'h [httparse::Header<'_>], name: &'static str) -> Result<Option<&'h str>, Reject> {
    let mut found = values(headers, name);
    let Some(value) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(Reject::new(400, "a header field that may stand once stands twice"));
    }
    let text = core::str::from_utf8(value).map_err(|_| Reject::new(400, "a header field is not text"))?;
    Ok(Some(text.trim()))
}

fn framing(headers: &[httparse::Header<'_>], old: bool) -> Result<Framing, Reject> {
    let length = single(headers, "content-length")?;
    let coding = single(headers, "transfer-encoding")?;
    match (length, coding) {
        (Some(_), Some(_)) => Err(Reject::new(400, "both Content-Length and Transfer-Encoding")),
        (None, None) => Ok(Framing::None),
        (Some(digits), None) => match number(digits) {
            Some(0) => Ok(Framing::None),
            Some(n) => Ok(Framing::Length(n)),
            None => Err(Reject::new(400, "Content-Length is not a number")),
        },
        (None, Some(_)) if old => Err(Reject::new(400, "Transfer-Encoding in HTTP/1.0")),
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (None, Some(_)) => Err(Reject::new(501, "the only transfer coding here is chunked")),
    }
}

fn keep_alive(headers: &[httparse::Header<'_>], old: bool) -> bool {
    let says = |option: &str| {
        values(headers, "connection")
            .flat_map(|value| value.split(|&b| b == b','))
            .any(|token| token.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    };
    !says("close") && (!old || says("keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> Result<Request, Reject> {
        parse(head.replace('\n', "\r\n").as_bytes()).map(|parsed| parsed.expect("a whole head").0)
    }

    #[test]
    fn a_plain_request() {
        let get = request("GET /x?y HTTP/1.1\nHost: a\nRange: bytes=0-1\n\n").unwrap();
        assert_eq!((get.method, get.target.as_str(), get.framing), (Method::Get, "/x?y", Framing::None));
        assert_eq!(get.range.as_deref(), Some("bytes=0-1"));
        assert!(get.keep_alive && !get.expects_continue);
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
    }

    #[test]
    fn keep_alive_by_version_and_option() {
        let keeps = |version: &str, line: &str| {
            request(&format!("GET / HTTP/{version}\nHost: a\n{line}\n")).unwrap().keep_alive
        };
        assert!(keeps("1.1", ""));
        assert!(!keeps("1.1", "Connection: Close\n"));
        assert!(!keeps("1.1", "Connection: foo\nConnection: bar, close\n"));
        assert!(!keeps("1.0", ""));
        assert!(keeps("1.0", "Connection: Keep-Alive\n"));
    }

    #[test]
    fn a_put() {
        let put = request("PUT /x HTTP/1.1\nHost: a\nContent-Length: 5\nExpect: 100-continue\n\n").unwrap();
        assert_eq!((put.method, put.framing, put.expects_continue), (Method::Put, Framing::Length(5), true));
        let put = request("PUT /x HTTP/1.1\nHost: a\nTransfer-Encoding: Chunked\n\n").unwrap();
        assert_eq!(put.framing, Framing::Chunked);
    }

    #[test]
    fn smuggling_and_nonsense_are_refused() {
        for (head, status) in [
            ("PUT / HTTP/1.1\nHost: a\nContent-Length: 1\nTransfer-Encoding: chunked\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 1\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nContent-Length: 1, 1\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nContent-Length: +1\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nContent-Length: 0x1\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nContent-Length: 99999999999999999999\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nContent-Length:\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nTransfer-Encoding: gzip, chunked\n\n", 501),
            ("PUT / HTTP/1.1\nHost: a\nTransfer-Encoding: xchunked\n\n", 501),
            ("PUT / HTTP/1.0\nTransfer-Encoding: chunked\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nContent-Length : 1\n\n", 400),
            ("PUT / HTTP/1.1\nHost: a\nX: y\n Content-Length: 1\n\n", 400),
            ("GET / HTTP/1.1\n\n", 400),
            ("GET / HTTP/1.1\nHost: a\nHost: b\n\n", 400),
            ("GET / HTTP/2.0\nHost: a\n\n", 505),
            ("BREW / HTTP/1.1\nHost: a\n\n", 501),
            ("PUT / HTTP/1.1\nHost: a\nExpect: the-inquisition\nContent-Length: 1\n\n", 417),
            ("\x16\x03\x01\n\n", 400),
        ] {
            assert_eq!(request(head).map_err(|r| r.status), Err(status), "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\nHost: a\n{}\n", "X: y\n".repeat(MAX_HEADERS));
        assert_eq!(request(&many).map_err(|r| r.status), Err(431));
    }
}
