//! What the client sends: heads with a time limit, and bodies by length or in chunks.

use super::request::{self, Framing, MAX_HEAD, Reject, Request};
use crate::net::TcpStream;
use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

/// The time a client has for a whole head, from its first byte on.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(10);

/// The longest line that gives a chunk's length, and the most bytes of trailers.
const MAX_CHUNK_LINE: usize = 1024;

/// The slowest transfer that is put up with, in bytes each second, once [`GRACE`] has passed.
const MIN_RATE: u64 = 1024;

/// How long a transfer may be as slow as it likes.
const GRACE: Duration = Duration::from_secs(30);

/// Ends transfers that are kept alive by a byte now and then.
pub(crate) struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    /// A transfer that begins now.
    pub(crate) fn start() -> Pace {
        Pace { since: Instant::now(), bytes: 0 }
    }

    /// Counts `bytes` more.
    ///
    /// # Errors
    /// `TimedOut` if it is too slow.
    pub(crate) fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.bytes += bytes as u64;
        self.check(self.since.elapsed())
    }

    fn check(&self, elapsed: Duration) -> io::Result<()> {
        let due = elapsed.saturating_sub(GRACE).as_secs().saturating_mul(MIN_RATE);
        if self.bytes < due { Err(io::Error::new(ErrorKind::TimedOut, "too slow")) } else { Ok(()) }
    }
}

/// What became of waiting for a request.
#[derive(Debug)]
pub(crate) enum Head {
    /// Here it is.
    Request(Request),
    /// It cannot be served, and where it ends is not known.
    Reject(Reject),
    /// The client has closed, or asked nothing for too long.
    Done,
}

/// The receiving side of a connection.
pub(crate) struct Input<'s> {
    stream: &'s TcpStream,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    idle: Duration,
    head_time: Duration,
}

impl<'s> Input<'s> {
    /// The receiving side of `stream`, which may be silent for `idle` and take `head_time` for a head.
    pub(crate) fn new(stream: &'s TcpStream, idle: Duration, head_time: Duration) -> Self {
        Input { stream, buf: vec![0; 2 * MAX_HEAD], start: 0, end: 0, idle, head_time }
    }

    fn pending(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// Receives more, within `limit`. 0 is the end of the stream.
    fn fill(&mut self, limit: Duration) -> io::Result<usize> {
        if self.end == self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        // Zero would mean "for ever" to the socket.
        self.stream.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
        let mut stream = self.stream;
        let n = stream.read(&mut self.buf[self.end..])?;
        self.end += n;
        Ok(n)
    }

    /// Waits for the next request.
    pub(crate) fn head(&mut self) -> io::Result<Head> {
        let mut begun: Option<Instant> = None;
        loop {
            if !self.pending().is_empty() {
                match request::parse(&self.pending()[..self.pending().len().min(MAX_HEAD)]) {
                    Ok(Some((request, len))) => {
                        self.start += len;
                        return Ok(Head::Request(request));
                    }
                    Ok(None) if self.pending().len() >= MAX_HEAD => {
                        return Ok(Head::Reject(Reject::new(431, "the head is longer than 8 KiB")));
                    }
                    Ok(None) => {}
                    Err(reject) => return Ok(Head::Reject(reject)),
                }
                begun.get_or_insert_with(Instant::now);
            }
            let limit = begun.map_or(self.idle, |begun| self.head_time.saturating_sub(begun.elapsed()));
            if limit.is_zero() {
                return Ok(Head::Reject(Reject::new(408, "the head took too long")));
            }
            match self.fill(limit) {
                Ok(0) => return Ok(Head::Done),
                Ok(_) => {}
                Err(e) if timed_out(&e) && begun.is_none() => return Ok(Head::Done),
                Err(e) if timed_out(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// The body that follows.
    pub(crate) fn body(&mut self, framing: Framing) -> Body<'_, 's> {
        let left = match framing {
            Framing::None => Left::Nothing,
            Framing::Length(n) => Left::Bytes(n),
            Framing::Chunked => Left::ChunkHead,
        };
        Body { input: self, left, pace: Pace::start() }
    }
}

/// Whether a read or write ended by its time-out (std gives either kind).
pub(crate) fn timed_out(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

enum Left {
    Nothing,
    Bytes(u64),
    ChunkHead,
    ChunkBytes(u64),
    ChunkEnd,
    Trailers,
}

/// A request's body, read to its end and not a byte further.
pub(crate) struct Body<'i, 's> {
    input: &'i mut Input<'s>,
    left: Left,
    pace: Pace,
}

impl Body<'_, '_> {
    /// The next piece of the body, `None` at its end.
    ///
    /// # Errors
    /// `InvalidData` if the framing is broken, `UnexpectedEof` if the client closed too early, `TimedOut` if it is too
    /// slow, and the stream's.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            match self.left {
                Left::Nothing => return Ok(None),
                Left::Bytes(0) => self.left = Left::Nothing,
                Left::ChunkBytes(0) => self.left = Left::ChunkEnd,
                Left::Bytes(n) | Left::ChunkBytes(n) => {
                    let range = self.take(n)?;
                    let rest = n - range.len() as u64;
                    self.left = match self.left {
                        Left::Bytes(_) => Left::Bytes(rest),
                        _ => Left::ChunkBytes(rest),
                    };
                    return Ok(Some(&self.input.buf[range]));
                }
                Left::ChunkHead => {
                    let size = self.chunk_size()?;
                    self.left = if size == 0 { Left::Trailers } else { Left::ChunkBytes(size) };
                }
                Left::ChunkEnd => {
                    if !self.line()?.is_empty() {
                        return Err(broken());
                    }
                    self.left = Left::ChunkHead;
                }
                Left::Trailers => {
                    self.trailers()?;
                    self.left = Left::Nothing;
                }
            }
        }
    }

    /// At most `n` received bytes, as their place in the buffer; at least one.
    fn take(&mut self, n: u64) -> io::Result<std::ops::Range<usize>> {
        if self.input.pending().is_empty() {
            self.more()?;
        }
        let start = self.input.start;
        let len = (self.input.pending().len() as u64).min(n) as usize;
        self.input.start += len;
        Ok(start..start + len)
    }

    fn more(&mut self) -> io::Result<()> {
        if self.input.pending().is_empty() {
            (self.input.start, self.input.end) = (0, 0);
        }
        match self.input.fill(self.input.idle.min(GRACE))? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            n => self.pace.count(n),
        }
    }

    fn chunk_size(&mut self) -> io::Result<u64> {
        loop {
            let pending = self.input.pending();
            match httparse::parse_chunk_size(&pending[..pending.len().min(MAX_CHUNK_LINE)]) {
                Ok(httparse::Status::Complete((len, size))) => {
                    self.input.start += len;
                    return Ok(size);
                }
                Ok(httparse::Status::Partial) if pending.len() < MAX_CHUNK_LINE => self.more()?,
                _ => return Err(broken()),
            }
        }
    }

    /// One line without its CRLF. Only CRLF ends it: what else ends a line is a matter on which servers differ.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let pending = self.input.pending();
            if let Some(end) = pending.windows(2).position(|w| w == b"\r\n") {
                let line = pending[..end].to_vec();
                self.input.start += end + 2;
                return Ok(line);
            }
            if pending.len() >= MAX_CHUNK_LINE {
                return Err(broken());
            }
            self.more()?;
        }
    }

    fn trailers(&mut self) -> io::Result<()> {
        let mut bytes = 0;
        loop {
            match self.line()?.len() {
                0 => return Ok(()),
                n => bytes += n,
            }
            if bytes > MAX_CHUNK_LINE {
                return Err(broken());
            }
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "the body's chunks are broken")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_transfers_end() {
        let pace = |bytes, seconds| Pace { since: Instant::now(), bytes }.check(Duration::from_secs(seconds)).is_ok();
        assert!(pace(0, 30));
        assert!(!pace(10, 32));
        assert!(pace(2048, 32));
        assert!(!pace(2048, 33));
    }
}
