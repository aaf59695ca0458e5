//! Answers: a head, and a body that is sent in pieces and never held whole.

use super::input::Pace;
use crate::net::TcpStream;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

/// A body is read and sent in pieces of this size.
pub(crate) const PIECE: usize = 64 * 1024;

/// Where the bytes of a body are.
#[derive(Clone)]
pub(crate) enum Source {
    /// In memory.
    Bytes(Arc<[u8]>),
    /// In a file.
    File(Arc<File>),
}

impl Source {
    /// Reads at `offset`; 0 only at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Source::Bytes(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                Ok(n)
            }
            Source::File(file) => file.read_at(buf, offset),
        }
    }
}

/// A body, or a part of one.
pub(crate) struct Body {
    /// Where the bytes are,
    pub(crate) source: Source,
    /// from where on,
    pub(crate) start: u64,
    /// and how many.
    pub(crate) len: u64,
}

impl Body {
    /// All of `text`.
    pub(crate) fn text(text: impl Into<Vec<u8>>) -> Body {
        let bytes: Arc<[u8]> = text.into().into();
        Body { len: bytes.len() as u64, start: 0, source: Source::Bytes(bytes) }
    }
}

/// One answer.
pub(crate) struct Reply {
    status: u16,
    fields: String,
    body: Body,
}

impl Reply {
    /// An answer with a body of media type `kind`.
    pub(crate) fn new(status: u16, kind: &str, body: Body) -> Reply {
        Reply { status, fields: String::new(), body }.with("Content-Type", kind)
    }

    /// An answer that is one line of text.
    pub(crate) fn line(status: u16, text: &str) -> Reply {
        Reply::new(status, "text/plain; charset=utf-8", Body::text(format!("{status} {}: {text}\n", reason(status))))
    }

    /// The answer with one more header field.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Reply {
        debug_assert!(!value.contains(['\r', '\n']), "a header field is one line");
        let _ = write!(self.fields, "{name}: {value}\r\n");
        self
    }

    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Sends the answer, without the body if `head_only`. `connection` is the value of that header field.
    ///
    /// # Errors
    /// Those of the stream; `TimedOut` if the client takes it too slowly; `UnexpectedEof` if the file became shorter
    /// than it was when its length was sent.
    pub(crate) fn send(&self, mut stream: &TcpStream, head_only: bool, connection: &str) -> io::Result<()> {
        let mut buf = Vec::with_capacity(PIECE);
        let length = self.body.len;
        write!(
            buf,
            "HTTP/1.1 {} {}\r\nDate: {}\r\nServer: tunstack/{}\r\nConnection: {connection}\r\nContent-Length: {length}\r\n\
             X-Content-Type-Options: nosniff\r\n{}\r\n",
            self.status,
            reason(self.status),
            httpdate::fmt_http_date(SystemTime::now()),
            env!("CARGO_PKG_VERSION"),
            self.fields,
        )?;
        let mut pace = Pace::start();
        let (mut at, end) = (self.body.start, self.body.start + if head_only { 0 } else { self.body.len });
        // The head travels with the first piece of the body.
        loop {
            let filled = buf.len();
            let want = (end - at).min((PIECE - filled.min(PIECE)) as u64) as usize;
            buf.resize(filled + want, 0);
            if want > 0 {
                let n = self.body.source.read_at(&mut buf[filled..], at)?;
                if n == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                buf.truncate(filled + n);
                at += n as u64;
            }
            let mut rest = &buf[..];
            while !rest.is_empty() {
                let n = stream.write(rest)?;
                if n == 0 {
                    return Err(ErrorKind::WriteZero.into());
                }
                pace.count(n)?;
                rest = &rest[n..];
            }
            if at == end {
                return Ok(());
            }
            buf.clear();
        }
    }
}

/// The words that go with a status code (RFC 9110 15).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        206 => "Partial Content",
        301 => "Moved Permanently",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Error",
    }
}
