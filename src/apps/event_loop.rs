//! Many connections on one thread: what the services do that have little to do for each.
//!
//! A thread for each connection is the simpler program ([`service`](super::service)). But ten thousand idle connections
//! are then ten thousand stacks, and each byte costs a switch between threads. Here one thread waits with a
//! [`Poller`], drives the host while it waits, and serves whoever is ready, a bounded piece at a time so that all have
//! their turn.

use super::service::{Limits, PATIENCE, may_answer, over, reply};
use crate::net::{Event, Events, Host, Interest, Poller, TcpListener, TcpStream, Trigger, UdpSocket};
use std::io::{self, ErrorKind};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Bytes that are read or written at once.
const BUFFER: usize = 64 * 1024;

/// Events that are taken at once.
const EVENTS: usize = 1024;

/// Connections that are accepted, or datagrams that are answered, before others have their turn.
const TURN: usize = 64;

/// Connections that may wait to be accepted.
const BACKLOG: usize = 1024;

/// An idle connection is found by its being silent for this many looks; there is no timer for each.
const LOOKS: u32 = 4;

/// The slot of a listener or UDP socket in the keys of the poller.
const ITSELF: u32 = u32::MAX;

/// What a connection's service wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// To be called again when the stream is ready for any of this.
    Wait(Interest),
    /// The stream to be closed.
    Close,
}

/// What a TCP service does on an [`EventLoop`].
pub trait EventService: Send + 'static {
    /// What it must remember of a connection.
    type State: Default + Send;

    /// Sets the options that all its connections shall have, which share them then.
    ///
    /// # Errors
    /// Those of the listener.
    fn listen(&self, listener: &TcpListener) -> io::Result<()> {
        let _ = listener;
        Ok(())
    }

    /// A connection has come.
    ///
    /// # Errors
    /// Those of the stream; they end it.
    fn open(&self, stream: &TcpStream) -> io::Result<Next> {
        let _ = stream;
        Ok(Next::Wait(Interest::READABLE))
    }

    /// Serves `stream`, which is non-blocking and may be ready, but not for long. `buf` is there for its use.
    ///
    /// # Errors
    /// Those of the stream; they end it. `WouldBlock` does not: what was waited for is waited for again.
    fn ready(&self, stream: &TcpStream, state: &mut Self::State, buf: &mut [u8]) -> io::Result<Next>;
}

/// A loop for any number of services of one host.
pub struct EventLoop {
    host: Host,
    /// The host's queue that it is for, if not for all.
    queue: Option<usize>,
    poller: Poller,
    limits: Limits,
    members: Vec<Box<dyn Member>>,
}

impl EventLoop {
    /// A loop without services. Each will be bounded by `limits`.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn new(host: &Host, limits: Limits) -> io::Result<EventLoop> {
        Ok(EventLoop { host: host.clone(), queue: None, poller: Poller::new(host)?, limits, members: Vec::new() })
    }

    /// As [`new`](EventLoop::new), for the sockets of one queue of the host: with a loop for each queue
    /// ([`Host::listen_on_each`], [`Host::bind_udp_on_each`]) nothing is handed from thread to thread.
    ///
    /// # Errors
    /// As [`Poller::on_queue`].
    pub fn on_queue(host: &Host, queue: usize, limits: Limits) -> io::Result<EventLoop> {
        let poller = Poller::on_queue(host, queue)?;
        Ok(EventLoop { host: host.clone(), queue: Some(queue), poller, limits, members: Vec::new() })
    }

    /// Whether it has no service.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Connections that may wait to be accepted by a listener of a loop: while it serves thousands of others, many come.
    pub const fn backlog() -> usize {
        BACKLOG
    }

    /// Serves the connections of `listener`.
    ///
    /// # Errors
    /// Those of [`EventService::listen`] and [`Poller::add`].
    pub fn tcp(&mut self, name: &'static str, listener: TcpListener, service: impl EventService) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        service.listen(&listener)?;
        let number = self.members.len() as u32;
        self.poller.add(&listener, key(number, ITSELF), Interest::READABLE, Trigger::Level)?;
        let seats = Seats { number, name, limit: self.limits.connections, slots: Vec::new(), free: Vec::new(), now: 0 };
        self.members.push(Box::new(Streams { seats, listener, service, errors: 0 }));
        Ok(())
    }

    /// Answers the datagrams of `socket` with what `answer` makes of them.
    ///
    /// # Errors
    /// Those of [`Poller::add`].
    pub fn udp(
        &mut self,
        name: &'static str,
        socket: UdpSocket,
        answer: impl FnMut(&[u8]) -> Option<&[u8]> + Send + 'static,
    ) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        let number = self.members.len() as u32;
        self.poller.add(&socket, key(number, ITSELF), Interest::READABLE, Trigger::Level)?;
        self.members.push(Box::new(Datagrams { name, socket, answer }));
        Ok(())
    }

    /// Starts the thread. It ends with the host.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn spawn(self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("services".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut buf = vec![0; BUFFER];
        let every = self.limits.idle / LOOKS;
        let mut next_look = Instant::now() + every;
        loop {
            let serves = self.members.iter().any(|member| member.serves_any());
            let timeout = serves.then(|| next_look.saturating_duration_since(Instant::now()));
            if let Err(error) = self.poller.wait(&mut events, timeout) {
                log::debug!("services: {error}");
                return;
            }
            let batch = self.queue.map_or_else(|| self.host.batch(), |queue| self.host.batch_on(queue));
            for Event { key, .. } in &events {
                if let Some(member) = self.members.get_mut((key >> 32) as usize)
                    && !member.serve(&self.poller, *key as u32, &mut buf)
                {
                    return;
                }
            }
            drop(batch);
            let now = Instant::now();
            if next_look <= now {
                next_look = now + every;
                self.members.iter_mut().for_each(|member| member.end_silent());
            }
        }
    }
}

fn key(member: u32, slot: u32) -> u64 {
    u64::from(member) << 32 | u64::from(slot)
}

/// A service on the loop.
trait Member: Send {
    /// Does a turn's work for one of its sockets. False if the loop is at its end.
    fn serve(&mut self, poller: &Poller, slot: u32, buf: &mut [u8]) -> bool;

    /// Looks for connections that have been silent for too long. It is called [`LOOKS`] times in that time.
    fn end_silent(&mut self) {}

    /// Whether there are connections that may become silent.
    fn serves_any(&self) -> bool {
        false
    }
}

/// The connections of a service, by number.
struct Seats<S> {
    number: u32,
    name: &'static str,
    limit: usize,
    slots: Vec<Option<Connection<S>>>,
    /// Numbers that can be given again.
    free: Vec<u32>,
    /// Counts the looks for silent connections.
    now: u32,
}

struct Connection<S> {
    stream: TcpStream,
    state: S,
    interest: Interest,
    /// The look before which it was served last.
    served: u32,
}

impl<S> Seats<S> {
    fn taken(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn end(&mut self, slot: u32, why: &dyn std::fmt::Display) {
        if self.slots[slot as usize].take().is_some() {
            log::debug!("{}: connection {slot} done: {why}", self.name);
            self.free.push(slot);
        }
    }
}

struct Streams<V: EventService> {
    seats: Seats<V::State>,
    listener: TcpListener,
    service: V,
    errors: u32,
}

impl<V: EventService> Streams<V> {
    /// Accepts those that wait. False if there will be no more.
    fn accept(&mut self, poller: &Poller) -> bool {
        for _ in 0..TURN {
            match self.listener.accept() {
                Ok((stream, peer)) => {
                    self.errors = 0;
                    if self.seats.taken() >= self.seats.limit {
                        log::info!("{}: {peer} turned away: too many are being served", self.seats.name);
                    } else if let Err(error) = self.admit(poller, stream) {
                        log::debug!("{}: {peer}: {error}", self.seats.name);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) => {
                    log::debug!("{}: accept: {error}", self.seats.name);
                    self.errors += 1;
                    return !over(&error) && self.errors < PATIENCE;
                }
            }
        }
        true
    }

    fn admit(&mut self, poller: &Poller, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let Next::Wait(interest) = self.service.open(&stream)? else { return Ok(()) };
        let seats = &mut self.seats;
        let slot = seats.free.last().copied().unwrap_or(seats.slots.len() as u32);
        poller.add(&stream, key(seats.number, slot), interest, Trigger::Level)?;
        let connection = Some(Connection { stream, state: V::State::default(), interest, served: seats.now });
        if seats.free.pop().is_some() {
            seats.slots[slot as usize] = connection;
        } else {
            seats.slots.push(connection);
        }
        Ok(())
    }

    fn serve_one(&mut self, poller: &Poller, slot: u32, buf: &mut [u8]) {
        let seats = &mut self.seats;
        let Some(Some(connection)) = seats.slots.get_mut(slot as usize) else { return };
        connection.served = seats.now;
        let wanted = match self.service.ready(&connection.stream, &mut connection.state, buf) {
            Ok(Next::Wait(interest)) => interest,
            Ok(Next::Close) => return seats.end(slot, &"it has had enough"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => return seats.end(slot, &error),
        };
        if wanted != connection.interest {
            connection.interest = wanted;
            let changed = poller.modify(&connection.stream, key(seats.number, slot), wanted, Trigger::Level);
            if let Err(error) = changed {
                seats.end(slot, &error);
            }
        }
    }
}

impl<V: EventService> Member for Streams<V> {
    fn serve(&mut self, poller: &Poller, slot: u32, buf: &mut [u8]) -> bool {
        if slot == ITSELF {
            return self.accept(poller);
        }
        self.serve_one(poller, slot, buf);
        true
    }

    fn end_silent(&mut self) {
        let seats = &mut self.seats;
        seats.now = seats.now.wrapping_add(1);
        for slot in 0..seats.slots.len() {
            // More than the looks: it was served at some time before the first of them.
            if seats.slots[slot].as_ref().is_some_and(|c| seats.now.wrapping_sub(c.served) > LOOKS) {
                seats.end(slot as u32, &"it was silent for too long");
            }
        }
    }

    fn serves_any(&self) -> bool {
        self.seats.taken() > 0
    }
}

struct Datagrams<F> {
    name: &'static str,
    socket: UdpSocket,
    answer: F,
}

impl<F: FnMut(&[u8]) -> Option<&[u8]> + Send> Member for Datagrams<F> {
    fn serve(&mut self, _: &Poller, _: u32, buf: &mut [u8]) -> bool {
        for _ in 0..TURN {
            let got = match self.socket.recv_msg(buf) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // An ICMP error about an earlier answer: it says nothing about the next datagram.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => {
                    log::debug!("{}: receive: {error}", self.name);
                    return !over(&error);
                }
            };
            // If there is no room for the answer, it is lost, as datagrams are.
            if may_answer(got.source)
                && let Some(data) = (self.answer)(&buf[..got.len])
                && let Err(error) = reply(&self.socket, &got, data)
            {
                log::debug!("{}: to {}: {error}", self.name, got.source);
            }
        }
        true
    }
}
