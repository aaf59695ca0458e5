//! Clients and services on two hosts, joined by a link in memory, for tests.

use super::event_loop::{EventLoop, EventService};
use super::service::{Limits, Service, spawn_tcp};
use crate::device::mem;
use crate::net::{Host, TcpStream};
use std::io::{Read, Write};
use std::time::Duration;

/// A running service, and a client's host.
pub(super) struct Served {
    client: Host,
    _server: Host,
}

/// A server's host, 192.0.2.2, and a client's, 192.0.2.1.
pub(super) fn hosts() -> (Host, Host) {
    // More packets than any window lets fly: nothing is lost.
    let (near, far) = mem::pair(1500, 16 * 1024).unwrap();
    let server = Host::builder().address("192.0.2.2/24").start(near).unwrap();
    let client = Host::builder().address("192.0.2.1/24").start(far).unwrap();
    (server, client)
}

/// Starts `service`.
pub(super) fn serve(service: impl Service, limits: Limits) -> Served {
    let (server, client) = hosts();
    spawn_tcp("test", server.listen("192.0.2.2:80").unwrap(), limits, service).unwrap();
    Served { client, _server: server }
}

/// Starts `service` on an event loop.
pub(super) fn serve_on_loop(service: impl EventService, limits: Limits) -> Served {
    let (server, client) = hosts();
    let mut event_loop = EventLoop::new(&server, limits).unwrap();
    event_loop.tcp("test", server.listen("192.0.2.2:80").unwrap(), service).unwrap();
    event_loop.spawn().unwrap();
    Served { client, _server: server }
}

impl Served {
    /// A new connection to it.
    pub(super) fn connect(&self) -> TcpStream {
        let stream = self.client.connect("192.0.2.2:80").unwrap();
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
