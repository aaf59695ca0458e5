//! A client that is as small as can be: what it fetches is known beforehand, and only has to be the same.

use std::io::{self, ErrorKind, Read, Write};

/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// Gets the bodies of `paths` one after the other on one connection.
///
/// # Errors
/// The stream's; `InvalidData` if an answer is none, or is not 200.
pub(crate) fn get<S: Read + Write>(stream: &mut S, paths: &[&str]) -> io::Result<Vec<Vec<u8>>> {
    let mut received = Vec::new();
    let mut bodies = Vec::new();
    for (i, path) in paths.iter().enumerate() {
        let connection = if i + 1 == paths.len() { "close" } else { "keep-alive" };
        // In one piece: `write!` on the stream itself would make a segment of each of its parts.
        let request = format!("GET {path} HTTP/1.1\r\nHost: tunstack\r\nConnection: {connection}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let (head, length) = loop {
            if let Some(head) = head(&received)? {
                break head;
            }
            if received.len() > MAX_HEAD {
                return Err(invalid("the answer's head does not end"));
            }
            more(stream, &mut received)?;
        };
        received.drain(..head);
        while received.len() < length {
            more(stream, &mut received)?;
        }
        bodies.push(received.drain(..length).collect());
    }
    Ok(bodies)
}

fn more(stream: &mut impl Read, received: &mut Vec<u8>) -> io::Result<()> {
    let mut buf = [0; 16 * 1024];
    match stream.read(&mut buf)? {
        0 => Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection ended within an answer")),
        n => {
            received.extend_from_slice(&buf[..n]);
            Ok(())
        }
    }
}

/// The length of the head, once it is complete, and of the body that follows.
fn head(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes).map_err(|_| invalid("the answer is not HTTP"))? else {
        return Ok(None);
    };
    if response.code != Some(200) {
        return Err(invalid("the answer is not 200 OK"));
    }
    let length = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|h| core::str::from_utf8(h.value).ok()?.parse().ok());
    length.map(|length| Some((head, length))).ok_or_else(|| invalid("the answer has no length"))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `answers` three bytes at a time.
    struct Server {
        answers: Vec<u8>,
        asked: Vec<u8>,
    }

    impl Read for Server {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.answers.len().min(3);
            buf[..n].copy_from_slice(&self.answers[..n]);
            self.answers.drain(..n);
            Ok(n)
        }
    }

    impl Write for Server {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.asked.write(buf)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn fetch(answers: &str) -> io::Result<Vec<Vec<u8>>> {
        get(&mut Server { answers: answers.into(), asked: Vec::new() }, &["/", "/b"])
    }

    #[test]
    fn two_answers_on_one_connection() {
        let bodies =
            fetch("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(bodies.unwrap(), [b"hello".to_vec(), Vec::new()]);
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let kind = |answers| fetch(answers).unwrap_err().kind();
        assert_eq!(kind("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"), ErrorKind::UnexpectedEof);
        assert_eq!(kind("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), ErrorKind::InvalidData);
        assert_eq!(kind("HTTP/1.1 200 OK\r\n\r\n"), ErrorKind::InvalidData);
        assert_eq!(kind("SSH-2.0-x\r\n"), ErrorKind::InvalidData);
        assert_eq!(kind(&"x".repeat(20_000)), ErrorKind::InvalidData);
    }
}
