//! What all services share: a thread for each connection, a bound on their number, and time-outs.

use crate::net::{RecvMsg, SendMsg, TcpListener, TcpStream, UdpSocket};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A connection's thread needs little: large buffers are on the heap.
const STACK_SIZE: usize = 256 * 1024;

/// How long the accept loop rests after an error that may pass (no memory, no thread).
const BREATH: Duration = Duration::from_millis(20);

/// Errors in a row after which an accept loop believes that the listener is gone.
pub(super) const PATIENCE: u32 = 100;

/// Ports of services that answer whatever they get. A datagram from one of them is not answered, else two such
/// servers, told about each other by one forged packet, would talk for ever.
const CHATTERBOXES: [u16; 5] = [7, 13, 17, 19, 37];

/// Connections that a service serves at once.
const MAX_SERVED: usize = 1024;

/// Connections that a service on an event loop serves at once.
const MAX_ON_LOOP: usize = 100_000;

/// How long a connection may be silent, or refuse to take what it asked for.
const IDLE: Duration = Duration::from_secs(300);

/// The bounds of a service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at once; further ones are turned away.
    pub connections: usize,
    /// How long a connection may be silent, or refuse to take what it asked for.
    pub idle: Duration,
}

impl Default for Limits {
    /// The bounds of a service with a thread for each connection: 1024 of them, and five minutes.
    fn default() -> Self {
        Limits { connections: MAX_SERVED, idle: IDLE }
    }
}

impl Limits {
    /// The bounds of a service on an event loop, where an idle connection costs little: 100,000 of them, and five minutes.
    pub fn on_loop() -> Limits {
        Limits { connections: MAX_ON_LOOP, ..Limits::default() }
    }
}

/// What a TCP service does with one connection.
pub trait Service: Send + Sync + 'static {
    /// Is told of each connection in the order in which they came, before it is served. It must not block.
    fn accepted(&self, peer: SocketAddr) {
        let _ = peer;
    }

    /// Serves `stream` until one side has had enough. An error ends only this connection.
    ///
    /// # Errors
    /// Those of the stream.
    fn serve(&self, stream: &TcpStream) -> io::Result<()>;

    /// Turns `stream` away because too many others are being served. It must not block for long.
    fn refuse(&self, stream: &TcpStream) {
        let _ = stream;
    }
}

/// Starts the accept loop of `service`. It ends when the listener is shut down with its host.
///
/// # Errors
/// If no thread can be started.
pub fn spawn_tcp(
    name: &'static str,
    listener: TcpListener,
    limits: Limits,
    service: impl Service,
) -> io::Result<JoinHandle<()>> {
    let service = Arc::new(service);
    thread::Builder::new().name(name.into()).spawn(move || accept_loop(name, &listener, limits, &service))
}

fn accept_loop<S: Service>(name: &'static str, listener: &TcpListener, limits: Limits, service: &Arc<S>) {
    let serving = Arc::new(AtomicUsize::new(0));
    let mut errors = 0;
    while errors < PATIENCE {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(e) if over(&e) => break,
            Err(e) => {
                log::debug!("{name}: accept: {e}");
                errors += 1;
                thread::sleep(BREATH);
                continue;
            }
        };
        errors = 0;
        service.accepted(peer);
        let Some(seat) = Seat::take(&serving, limits.connections) else {
            log::info!("{name}: {peer} turned away: {} connections are being served", limits.connections);
            service.refuse(&stream);
            continue;
        };
        let service = Arc::clone(service);
        let started = thread::Builder::new().name(name.into()).stack_size(STACK_SIZE).spawn(move || {
            let _seat = seat;
            log::debug!("{name}: {peer} connected");
            let end = with_time_outs(&stream, limits.idle).and_then(|()| service.serve(&stream));
            match end {
                Ok(()) => log::debug!("{name}: {peer} done"),
                Err(e) => log::debug!("{name}: {peer} ended: {e}"),
            }
        });
        if let Err(e) = started {
            log::warn!("{name}: {peer} dropped, no thread for it: {e}");
            thread::sleep(BREATH);
        }
    }
    log::debug!("{name}: no longer listening");
}

fn with_time_outs(stream: &TcpStream, idle: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(idle))?;
    stream.set_write_timeout(Some(idle))
}

/// Whether `accept` or `recv_from` failed because the host is shut down, and not because of something that passes.
pub(super) fn over(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::NetworkDown)
}

/// A place among those being served, given back when dropped.
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(serving: &Arc<AtomicUsize>, limit: usize) -> Option<Seat> {
        serving
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1))
            .ok()
            .map(|_| Seat(Arc::clone(serving)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts a UDP service: each datagram goes to `answer`, and what that gives goes back to the sender.
///
/// # Errors
/// If no thread can be started.
pub fn spawn_udp(
    name: &'static str,
    socket: UdpSocket,
    answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).stack_size(STACK_SIZE).spawn(move || answer_loop(name, &socket, answer))
}

fn answer_loop(name: &str, socket: &UdpSocket, mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>>) {
    let mut buf = vec![0; 65_535];
    let mut errors = 0;
    while errors < PATIENCE {
        let got = match socket.recv_msg(&mut buf) {
            Ok(received) => received,
            Err(e) if over(&e) => break,
            // An ICMP error about an earlier answer is reported here; it says nothing about the next datagram.
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => continue,
            Err(e) => {
                log::debug!("{name}: receive: {e}");
                errors += 1;
                thread::sleep(BREATH);
                continue;
            }
        };
        errors = 0;
        if !may_answer(got.source) {
            continue;
        }
        if let Some(data) = answer(&buf[..got.len])
            && let Err(e) = reply(socket, &got, &data)
        {
            log::debug!("{name}: to {}: {e}", got.source);
        }
    }
}

/// Sends `data` to the sender of `got`, from the address that was asked, if that is one host's.
pub(super) fn reply(socket: &UdpSocket, got: &RecvMsg, data: &[u8]) -> io::Result<usize> {
    match socket.send_msg(&SendMsg { source: Some(got.destination), ..SendMsg::to(got.source, data) }) {
        Err(e) if e.kind() == ErrorKind::AddrNotAvailable => socket.send_to(data, got.source),
        sent => sent,
    }
}

pub(super) fn may_answer(from: SocketAddr) -> bool {
    !CHATTERBOXES.contains(&from.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_and_given_back() {
        let serving = Arc::new(AtomicUsize::new(0));
        let first = Seat::take(&serving, 2).unwrap();
        let second = Seat::take(&serving, 2).unwrap();
        assert!(Seat::take(&serving, 2).is_none());
        drop(first);
        let third = Seat::take(&serving, 2).unwrap();
        assert!(Seat::take(&serving, 2).is_none());
        drop((second, third));
        assert_eq!(serving.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_chatterbox_is_not_answered() {
        assert!(!may_answer("192.0.2.1:7".parse().unwrap()));
        assert!(!may_answer("192.0.2.1:19".parse().unwrap()));
        assert!(may_answer("192.0.2.1:40007".parse().unwrap()));
    }
}
