//! An HTTP/1.1 server (RFC 9110, RFC 9112): a thread for each connection, GET and HEAD with one range, PUT into a
//! directory if the owner said so, keep-alive, and bounds on everything that a client can make longer.

mod files;
mod input;
mod mime;
mod path;
mod range;
mod reply;
mod request;

pub use files::Root;

use super::service::Service;
use crate::net::TcpStream;
use files::Found;
use input::{HEAD_TIME, Head, Input, timed_out};
use path::Path;
use range::Part;
use reply::{Body, Reply, Source};
use request::{Framing, Method, Reject, Request};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Its well-known port.
pub const PORT: u16 = 80;

/// How long a client may be silent between two requests.
pub const IDLE: Duration = Duration::from_secs(60);

/// How much of what a refused client still sends is read and thrown away, so that it gets to read the refusal: a close
/// with unread data would reset the connection.
const DRAIN_BYTES: usize = 256 * 1024;

/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The body of a page that is not in a file.
pub enum Page {
    /// Always the same.
    Fixed(Arc<[u8]>),
    /// Made anew for each request.
    Live(Box<dyn Fn() -> Vec<u8> + Send + Sync>),
}

/// What a server serves.
pub struct Site {
    /// Pages by their path, with their media types. They go before files.
    pub pages: BTreeMap<String, (&'static str, Page)>,
    /// Where files are served from.
    pub dir: Option<Root>,
    /// Where PUT stores files; without it there is no PUT.
    pub spool: Option<Root>,
    /// The longest upload in bytes.
    pub max_upload: u64,
}

impl Default for Site {
    fn default() -> Self {
        Site { pages: BTreeMap::new(), dir: None, spool: None, max_upload: 16 << 30 }
    }
}

impl Site {
    /// A site that is one page about this stack. It shows the connections that `connections` gives as JSON: an array of
    /// objects with `state`, `local`, `remote` and numbers.
    pub fn about(connections: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Site {
        let mut site = Site::default();
        let about: Arc<[u8]> = include_bytes!("about.html").as_slice().into();
        site.pages.insert("/".into(), ("text/html; charset=utf-8", Page::Fixed(about)));
        site.pages.insert("/connections.json".into(), ("application/json", Page::Live(Box::new(connections))));
        site
    }
}

/// The service.
pub struct Http {
    site: Site,
    idle: Duration,
    head_time: Duration,
}

impl Http {
    /// Serves `site`.
    pub fn new(site: Site) -> Http {
        Http { site, idle: IDLE, head_time: HEAD_TIME }
    }
}

impl Service for Http {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut input = Input::new(stream, self.idle, self.head_time);
        loop {
            let request = match input.head()? {
                Head::Done => return Ok(()),
                Head::Reject(reject) => return refuse(stream, reject),
                Head::Request(request) => request,
            };
            let goes_on = self.answer(stream, &request, &mut input)?;
            if !goes_on {
                return linger(stream);
            }
        }
    }

    fn refuse(&self, stream: &TcpStream) {
        // A small answer goes into an empty send buffer, so this does not wait for the client.
        let _ = Reply::line(503, "all seats are taken").with("Retry-After", "1").send(stream, false, "close");
    }
}

impl Http {
    /// Answers one request and says whether the connection goes on.
    fn answer(&self, stream: &TcpStream, request: &Request, input: &mut Input<'_>) -> io::Result<bool> {
        let outcome = match request.method {
            Method::Get | Method::Head => self.get(request),
            Method::Put => self.put(stream, request, input)?,
            Method::Other => Err(Reject::new(405, "this is for reading")),
        };
        // After a failed PUT, or a body that nobody asked for, where the next request begins is not known.
        let clean = match request.method {
            Method::Put => outcome.is_ok(),
            _ => request.framing == Framing::None,
        };
        let goes_on = request.keep_alive && clean;
        let reply = outcome.unwrap_or_else(|reject| self.rejection(reject));
        log::debug!("http: {} {} -> {}", request.method, request.target, reply.status());
        reply.send(stream, request.method == Method::Head, if goes_on { "keep-alive" } else { "close" })?;
        Ok(goes_on)
    }

    fn rejection(&self, reject: Reject) -> Reply {
        let reply = Reply::line(reject.status, reject.why);
        match reject.status {
            405 if self.site.spool.is_some() => reply.with("Allow", "GET, HEAD, PUT"),
            405 => reply.with("Allow", "GET, HEAD"),
            _ => reply,
        }
    }

    fn get(&self, request: &Request) -> Result<Reply, Reject> {
        let path = Path::parse(&request.target).map_err(|refused| Reject::new(400, refused.0))?;
        if let Some((kind, page)) = self.site.pages.get(&path.absolute()) {
            let bytes = match page {
                Page::Fixed(bytes) => bytes.clone(),
                Page::Live(make) => make().into(),
            };
            let len = bytes.len() as u64;
            return Ok(part_of(request, kind, Source::Bytes(bytes), len, None));
        }
        let nothing = Reject::new(404, "there is nothing of that name");
        match self.site.dir.as_ref().ok_or(nothing)?.find(&path)? {
            Found::File { file, len, modified } => {
                let name = path.names().last().map_or("", String::as_str);
                Ok(part_of(request, mime::of(name), Source::File(Arc::new(file)), len, Some(modified)))
            }
            Found::Directory(_) if !path.slash() && !path.names().is_empty() => {
                Ok(Reply::line(301, "it is a directory").with("Location", &path.as_directory()))
            }
            Found::Directory(dir) => self.directory(request, &path, dir),
        }
    }

    /// The directory's `index.html`, or else a listing.
    fn directory(&self, request: &Request, path: &Path, dir: std::os::fd::OwnedFd) -> Result<Reply, Reject> {
        if let Some(root) = &self.site.dir
            && let Ok(Found::File { file, len, modified }) = root.find(&path.child("index.html"))
        {
            return Ok(part_of(request, mime::of("index.html"), Source::File(Arc::new(file)), len, Some(modified)));
        }
        Ok(Reply::new(200, "text/html; charset=utf-8", Body::text(files::listing(dir, path)?)))
    }

    /// Stores a body. The outer error ends the connection without an answer.
    fn put(
        &self,
        mut stream: &TcpStream,
        request: &Request,
        input: &mut Input<'_>,
    ) -> io::Result<Result<Reply, Reject>> {
        let mut upload = match self.begin_upload(request) {
            Ok(upload) => upload,
            Err(reject) => return Ok(Err(reject)),
        };
        if request.expects_continue {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = input.body(request.framing);
        let mut total = 0;
        loop {
            let piece = match body.next() {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(e) if e.kind() == ErrorKind::InvalidData => {
                    return Ok(Err(Reject::new(400, "the body's chunks are broken")));
                }
                Err(e) if timed_out(&e) => return Ok(Err(Reject::new(408, "the body came too slowly"))),
                Err(e) => return Err(e),
            };
            total += piece.len() as u64;
            if total > self.site.max_upload {
                return Ok(Err(Reject::new(413, "longer than is stored here")));
            }
            if let Err(e) = upload.file.write_all(piece) {
                return Ok(Err(files::write_refusal(&e)));
            }
        }
        Ok(upload
            .store()
            .map(|replaced| Reply::line(if replaced { 200 } else { 201 }, &format!("{total} bytes stored"))))
    }

    fn begin_upload(&self, request: &Request) -> Result<files::Upload, Reject> {
        let path = Path::parse(&request.target).map_err(|refused| Reject::new(400, refused.0))?;
        let spool = self.site.spool.as_ref().ok_or(Reject::new(405, "nothing is stored here"))?;
        if request.content_range {
            return Err(Reject::new(400, "a file is stored whole or not at all"));
        }
        if let Framing::Length(n) = request.framing
            && n > self.site.max_upload
        {
            return Err(Reject::new(413, "longer than is stored here"));
        }
        spool.create(&path)
    }
}

/// An answer with the part of `source` that the request asks for.
fn part_of(request: &Request, kind: &str, source: Source, total: u64, modified: Option<SystemTime>) -> Reply {
    let modified = modified.map(httpdate::fmt_http_date);
    // A part is of use only if it is a part of what the client has already (RFC 9110 13.1.5).
    let same = request.if_range.is_none() || request.if_range == modified;
    let asked = request.range.as_deref().filter(|_| same && request.method == Method::Get);
    let (status, start, len) = match range::part(asked, total) {
        Part::Whole => (200, 0, total),
        Part::Range { start, len } => (206, start, len),
        Part::Unsatisfiable => {
            let reply = Reply::line(416, "there is no such byte");
            return reply.with("Content-Range", &format!("bytes */{total}"));
        }
    };
    let mut reply = Reply::new(status, kind, Body { source, start, len }).with("Accept-Ranges", "bytes");
    if status == 206 {
        reply = reply.with("Content-Range", &format!("bytes {start}-{}/{total}", start + len - 1));
    }
    match modified {
        Some(date) => reply.with("Last-Modified", &date),
        None => reply,
    }
}

/// Refuses a request whose end is not known, and ends the connection so that the client can read why.
fn refuse(stream: &TcpStream, reject: Reject) -> io::Result<()> {
    log::debug!("http: refused: {} {}", reject.status, reject.why);
    Reply::line(reject.status, reject.why).send(stream, false, "close")?;
    linger(stream)
}

/// Closes our side and waits a little for the client to close its own.
fn linger(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let begun = std::time::Instant::now();
    let mut buf = [0; 4096];
    let mut bytes = 0;
    while bytes < DRAIN_BYTES {
        let left = DRAIN_TIME.saturating_sub(begun.elapsed());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut buf) {
            Ok(0) | Err(_) => break,
            Ok(n) => bytes += n,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
