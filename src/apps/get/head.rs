//! The head of an answer.

use super::error::Error;
use std::io::{self, BufRead, ErrorKind};

/// The most bytes that a head may have, as with curl.
const MAX_HEAD: usize = 100 * 1024;

/// The most header fields that a head may have.
const MAX_HEADERS: usize = 256;

/// Interim answers (1xx) before the answer.
const MAX_INTERIM: usize = 16;

/// What an answer begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The status, 200 to 999.
    pub status: u16,
    /// The length of the body in bytes, if it is said.
    pub length: Option<u64>,
    /// The coding that the body is transferred in, if there is one.
    pub(super) coding: Option<String>,
    location: Option<String>,
    content_range: Option<String>,
}

impl Head {
    /// Where the answer leads, if it is a redirect.
    pub(super) fn redirect(&self) -> Option<&str> {
        if matches!(self.status, 301 | 302 | 303 | 307 | 308) { self.location.as_deref() } else { None }
    }

    /// Whether a body follows that continues a file of which `offset` bytes are there; else nothing is missing.
    pub(super) fn continues(&self, offset: u64) -> Result<bool, Error> {
        let range = self.content_range.as_deref().and_then(|text| text.strip_prefix("bytes "));
        match self.status {
            206 => {
                let start = range.and_then(|text| text.split_once('-')).and_then(|(start, _)| number(start));
                if start == Some(offset) { Ok(true) } else { Err(Error::Resume) }
            }
            416 => {
                let total = range.and_then(|text| text.strip_prefix("*/")).and_then(number);
                if total == Some(offset) { Ok(false) } else { Err(Error::Resume) }
            }
            200..300 => Err(Error::Ranges),
            // What the server says instead is no part of the file.
            status => Err(Error::Status(status)),
        }
    }
}

fn number(text: &str) -> Option<u64> {
    // `parse` alone would take a sign.
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Reads a head, past those of interim answers.
pub(super) fn read(reader: &mut impl BufRead) -> Result<Head, Error> {
    for _ in 0..MAX_INTERIM {
        let head = read_one(reader)?;
        if head.status >= 200 {
            return Ok(head);
        }
    }
    Err(Error::Reply("it does not come to the point"))
}

fn read_one(reader: &mut impl BufRead) -> Result<Head, Error> {
    let mut bytes = Vec::new();
    loop {
        let more = reader.fill_buf().map_err(Error::receiving)?;
        if more.is_empty() {
            return Err(if bytes.is_empty() { Error::Empty } else { Error::Receive(ErrorKind::UnexpectedEof.into()) });
        }
        let (before, taken) = (bytes.len(), more.len());
        bytes.extend_from_slice(more);
        if let Some((head, len)) = parse(&bytes)? {
            reader.consume(len - before);
            return Ok(head);
        }
        reader.consume(taken);
        if bytes.len() > MAX_HEAD {
            return Err(Error::Reply("its head does not end"));
        }
    }
}

/// Parses the head at the start of `bytes`; gives it with its length, or `None` if it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Error> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut raw = httparse::Response::new(&mut headers);
    let len = match raw.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Error::Reply("too many header fields")),
        Err(_) => return Err(Error::Reply("its head makes no sense")),
    };
    let mut head = Head { status: raw.code.unwrap_or_default(), ..Head::default() };
    for field in raw.headers.iter() {
        let value = String::from_utf8_lossy(field.value).trim().to_owned();
        match field.name.to_ascii_lowercase().as_str() {
            "content-length" => {
                let length = number(&value).ok_or(Error::Reply("its length is no number"))?;
                if head.length.is_some_and(|other| other != length) {
                    return Err(Error::Reply("it has two lengths"));
                }
                head.length = Some(length);
            }
            "transfer-encoding" => head.coding = Some(value),
            "location" => head.location = Some(value),
            "content-range" => head.content_range = Some(value),
            _ => {}
        }
    }
    Ok(Some((head, len)))
}

/// A line without its end, of at most `max` bytes.
pub(super) fn line(reader: &mut impl BufRead, max: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    io::Read::take(&mut *reader, max as u64).read_until(b'\n', &mut line)?;
    if !line.ends_with(b"\n") {
        let kind = if line.len() < max { ErrorKind::UnexpectedEof } else { ErrorKind::InvalidData };
        return Err(kind.into());
    }
    Ok(line)
}
