//! A client connected to a service, for tests.

use super::service::{Limits, Service, spawn_tcp};
use crate::net::{TcpListener, TcpStream};
use std::io::{Read, Write};
use std::time::Duration;

/// A running service.
pub(super) struct Served {
    addr: std::net::SocketAddr,
}

/// Starts `service`.
pub(super) fn serve(service: impl Service, limits: Limits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    spawn_tcp("test", listener, limits, service).unwrap();
    Served { addr }
}

impl Served {
    /// A new connection to it.
    pub(super) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends `bytes`, and gives all that comes back until the service closes.
    pub(super) fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}
