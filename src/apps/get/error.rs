//! Why nothing was fetched, with curl's exit codes.

use std::fmt;
use std::io::{self, ErrorKind};

/// Why a file was not fetched, or not wholly.
#[derive(Debug)]
pub enum Error {
    /// No scheme that is spoken here (1).
    Scheme(String),
    /// Not a URL (3).
    Url(String),
    /// The host's name has no address (6).
    Name(io::Error),
    /// The host does not let us connect (7, or 28 if it did not answer).
    Connect(io::Error),
    /// The answer is not HTTP (8).
    Reply(&'static str),
    /// The connection ended before the file did (18).
    Partial,
    /// The server refuses, and that was to be an error (22).
    Status(u16),
    /// What was fetched cannot be written (23).
    Write(io::Error),
    /// It took too long (28).
    TimedOut,
    /// The server cannot resume a download (33).
    Ranges,
    /// TLS could not be agreed on (35).
    Tls(String),
    /// What is there already does not fit what the server has (36).
    Resume,
    /// Too many redirects (47).
    Redirects,
    /// The server said nothing (52).
    Empty,
    /// Sending failed (55).
    Send(io::Error),
    /// Receiving failed (56).
    Receive(io::Error),
    /// The server's certificate is not to be believed (60).
    Certificate(String),
    /// The body is coded in a way that was not asked for (61).
    Coding,
    /// The file of certificates cannot be read (77).
    CaFile(String),
}

impl Error {
    /// The code with which curl ends for the same reason.
    pub fn code(&self) -> u8 {
        match self {
            Error::Scheme(_) => 1,
            Error::Url(_) => 3,
            Error::Name(_) => 6,
            Error::Connect(e) if e.kind() == ErrorKind::TimedOut => 28,
            Error::Connect(_) => 7,
            Error::Reply(_) => 8,
            Error::Partial => 18,
            Error::Status(_) => 22,
            Error::Write(_) => 23,
            Error::TimedOut => 28,
            Error::Ranges => 33,
            Error::Tls(_) => 35,
            Error::Resume => 36,
            Error::Redirects => 47,
            Error::Empty => 52,
            Error::Send(_) => 55,
            Error::Receive(_) => 56,
            Error::Certificate(_) => 60,
            Error::Coding => 61,
            Error::CaFile(_) => 77,
        }
    }

    /// The error of sending.
    pub(super) fn sending(error: io::Error) -> Error {
        if error.kind() == ErrorKind::TimedOut { Error::TimedOut } else { Error::Send(error) }
    }

    /// The error of receiving.
    pub(super) fn receiving(error: io::Error) -> Error {
        if error.kind() == ErrorKind::TimedOut { Error::TimedOut } else { Error::Receive(error) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Scheme(scheme) => write!(f, "{scheme}: only http and https are spoken here"),
            Error::Url(what) => f.write_str(what),
            Error::Name(e) => write!(f, "cannot resolve {e}"),
            Error::Connect(e) => write!(f, "cannot connect: {e}"),
            Error::Reply(what) => write!(f, "the answer is no HTTP: {what}"),
            Error::Partial => f.write_str("the connection ended before the file did"),
            Error::Status(status) => write!(f, "the server says {status}"),
            Error::Write(e) => write!(f, "cannot write: {e}"),
            Error::TimedOut => f.write_str("it took too long"),
            Error::Ranges => f.write_str("the server cannot resume a download"),
            Error::Tls(what) => write!(f, "TLS: {what}"),
            Error::Resume => f.write_str("what is there already does not fit what the server has"),
            Error::Redirects => f.write_str("too many redirects"),
            Error::Empty => f.write_str("the server said nothing"),
            Error::Send(e) => write!(f, "sending failed: {e}"),
            Error::Receive(e) => write!(f, "receiving failed: {e}"),
            Error::Certificate(what) => write!(f, "the certificate is not to be believed: {what}"),
            Error::Coding => f.write_str("the body has a coding that was not asked for"),
            Error::CaFile(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}
