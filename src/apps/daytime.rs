//! The daytime service (RFC 867): the date and time as one line of text, then the end.

use super::service::Service;
use crate::net::TcpStream;
use std::io::{self, Write};
use std::time::SystemTime;

/// Its well-known port, TCP and UDP.
pub const PORT: u16 = 13;

/// The service on TCP.
pub struct Daytime;

impl Service for Daytime {
    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.write_all(line(SystemTime::now()).as_bytes())
    }
}

/// The service on UDP.
pub fn answer(_datagram: &[u8]) -> Option<Vec<u8>> {
    Some(line(SystemTime::now()).into_bytes())
}

fn line(now: SystemTime) -> String {
    format!("{}\r\n", httpdate::fmt_http_date(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn one_line_of_text() {
        assert_eq!(line(UNIX_EPOCH + Duration::from_secs(784_111_777)), "Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    }
}
