//! The server of every socket tutorial: a welcome, a greeting for each line, and a goodbye on `exit`.

use super::service::Service;
use crate::net::TcpStream;
use std::io::{self, BufRead, BufReader, Read, Write};

/// Its port by default, TCP and UDP.
pub const PORT: u16 = 8000;

/// The longest name, in bytes, that is greeted.
const LONGEST: usize = 1024;

const WELCOME: &str = "Welcome! Tell me your name, or say exit.\n";
const GOODBYE: &str = "Goodbye!\n";
const TOO_LONG: &str = "That is too long for a name. Goodbye!\n";

/// The service on TCP.
pub struct Hello;

impl Service for Hello {
    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.write_all(WELCOME.as_bytes())?;
        let mut lines = BufReader::with_capacity(LONGEST, stream);
        loop {
            let mut line = Vec::new();
            (&mut lines).take(LONGEST as u64).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(());
            }
            if line.len() == LONGEST && !line.ends_with(b"\n") {
                return stream.write_all(TOO_LONG.as_bytes());
            }
            match greet(&line) {
                Some(greeting) => stream.write_all(&greeting)?,
                None => return stream.write_all(GOODBYE.as_bytes()),
            }
        }
    }
}

/// The service on UDP: one name in each datagram.
pub fn answer(datagram: &[u8]) -> Option<Vec<u8>> {
    if datagram.len() > LONGEST {
        return None;
    }
    Some(greet(datagram).unwrap_or_else(|| GOODBYE.into()))
}

/// `Hello, X!` for the name X, nothing for `exit`. The name goes back byte for byte, whatever its encoding.
fn greet(line: &[u8]) -> Option<Vec<u8>> {
    let name = line.trim_ascii();
    if name.eq_ignore_ascii_case(b"exit") {
        return None;
    }
    Some([b"Hello, ", name, b"!\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greets_and_says_goodbye() {
        assert_eq!(greet(b"Ada\r\n").unwrap(), b"Hello, Ada!\n");
        assert_eq!(greet("Грейс\n".as_bytes()).unwrap(), "Hello, Грейс!\n".as_bytes());
        assert_eq!(greet(b" Exit \n"), None);
        assert_eq!(answer(b"exit").unwrap(), GOODBYE.as_bytes());
        assert_eq!(answer(&[b'x'; LONGEST + 1]), None);
    }
}
