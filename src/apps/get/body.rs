//! Where a body ends (RFC 9112 6.3).

use super::error::Error;
use super::head::{Head, line};
use std::io::{self, BufRead, ErrorKind};

/// The most bytes of a line between chunks, and of such lines behind the last one.
const MAX_LINE: usize = 8 * 1024;

/// The rest of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks; of the present one so many bytes are left.
    Chunked(u64),
    /// The last chunk was seen.
    Over,
    /// Whatever comes until the connection ends.
    UntilClose,
}

impl Body {
    /// The body that follows `head`.
    pub(super) fn of(head: &Head) -> Result<Body, Error> {
        match (head.status, &head.coding, head.length) {
            (204 | 304, ..) => Ok(Body::Length(0)),
            (_, Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Ok(Body::Chunked(0)),
            (_, Some(coding), _) if !coding.eq_ignore_ascii_case("identity") => Err(Error::Coding),
            (_, _, Some(length)) => Ok(Body::Length(length)),
            _ => Ok(Body::UntilClose),
        }
    }

    /// Reads its next bytes; none are its end.
    pub(super) fn read(&mut self, reader: &mut impl BufRead, buf: &mut [u8]) -> Result<usize, Error> {
        if *self == Body::Chunked(0) {
            *self = match chunk(reader)? {
                0 => Body::Over,
                len => Body::Chunked(len),
            };
        }
        let left = match self {
            Body::Length(left) | Body::Chunked(left) => *left,
            Body::Over => 0,
            Body::UntilClose => return reader.read(buf).map_err(Error::receiving),
        };
        let want = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let n = match reader.read(&mut buf[..want]) {
            Ok(0) => return Err(Error::Partial),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Err(Error::Partial),
            Err(e) => return Err(Error::receiving(e)),
        };
        match self {
            Body::Length(left) => *left -= n as u64,
            Body::Chunked(left) => {
                *left -= n as u64;
                if *left == 0 && !line(reader, 3).map_err(cut)?.trim_ascii().is_empty() {
                    return Err(malformed());
                }
            }
            Body::Over | Body::UntilClose => {}
        }
        Ok(n)
    }
}

/// The length of the next chunk; after the last, whose length is 0, what follows it is taken, too.
fn chunk(reader: &mut impl BufRead) -> Result<u64, Error> {
    let head = line(reader, MAX_LINE).map_err(cut)?;
    // httparse takes no digits for a zero.
    if !head.first().is_some_and(u8::is_ascii_hexdigit) {
        return Err(malformed());
    }
    let Ok(httparse::Status::Complete((_, len))) = httparse::parse_chunk_size(&head) else { return Err(malformed()) };
    if len == 0 {
        skip_trailers(reader)?;
    }
    Ok(len)
}

/// Takes the lines behind the last chunk, the empty one included.
fn skip_trailers(reader: &mut impl BufRead) -> Result<(), Error> {
    let mut taken = 0;
    while taken <= MAX_LINE {
        let trailer = line(reader, MAX_LINE).map_err(cut)?;
        if trailer.trim_ascii().is_empty() {
            return Ok(());
        }
        taken += trailer.len();
    }
    Err(malformed())
}

fn cut(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => Error::Partial,
        ErrorKind::InvalidData => malformed(),
        _ => Error::receiving(error),
    }
}

fn malformed() -> Error {
    Error::Receive(io::Error::new(ErrorKind::InvalidData, "the chunks make no sense"))
}
