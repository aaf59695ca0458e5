//! `TcpStream`, with std's names and behaviour.

use super::Host;
use super::addr::ToSocketAddrs;
use super::parts::{self, Place, Places};
use super::patience::Blocking;
use crate::buf::{CHUNK_CAPACITY, Chunk, Slice};
use crate::error::{self, Error};
use crate::runtime::{Patience, Shard, clock, press};
use crate::stack::{Readiness, SendFlags, SocketId, Stack, TcpId, TcpInfo, TcpOptions, destination};
use crate::tcp::state::State;
use crate::time::Instant;
use core::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Up to this many bytes are copied under the stack's lock, which is cheaper than to move a chunk.
pub(super) const SMALL: usize = 4096;

/// Bytes that are copied into one chunk.
pub(super) const LARGE: usize = 64 * 1024;

/// A TCP connection, as `std::net::TcpStream`.
///
/// Reading and writing take `&self`, and any number of threads may do both. The connection is closed when it and its
/// clones are dropped: with unread data or a linger of zero by RST, else by FIN behind what was written, in the
/// background.
///
/// Calls on a connection that has failed give the error once and then what std gives: end of stream, or `BrokenPipe`.
/// If the host is shut down meanwhile they fail with `ConnectionAborted`, if its device is gone with `NetworkDown`;
/// what was received can still be read.
pub struct TcpStream(Arc<Inner>);

struct Inner {
    shard: Arc<Shard>,
    id: TcpId,
    blocking: Blocking,
    host: Host,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let shard = &self.shard;
        if !std::thread::panicking()
            && !self.blocking.is_nonblocking()
            && let Ok(Some(linger)) = shard.look(|stack| Ok(stack.tcp_options(self.id)?.linger))
            && !linger.is_zero()
        {
            self.linger(linger);
        }
        shard.close(|core, now| {
            core.disown(SocketId::Tcp(self.id));
            // An error means that the host's shutdown has closed it.
            let _ = core.stack.tcp_close(now, self.id);
        });
    }
}

impl Inner {
    /// Sends FIN and waits until the peer has acknowledged it and everything before it, at most for `linger`.
    fn linger(&self, linger: Duration) {
        let until = clock::now() + linger;
        let shard = &self.shard;
        let closing = shard.act(|core, now| {
            if core.stack.tcp_info(self.id)?.recv_queue > 0 {
                return Err(Error::ConnectionReset); // closing with unread data resets: there is nothing to wait for
            }
            core.stack.tcp_shutdown(now, self.id, crate::stack::Shutdown::Write)
        });
        if closing.is_ok() {
            shard.wait_for(until, |stack| match stack.tcp_state(self.id) {
                Ok(State::FinWait1 | State::Closing | State::LastAck) => false,
                Ok(_) => stack.tcp_send_queue(self.id).is_ok_and(|n| n == 0),
                Err(_) => true,
            });
        }
    }

    fn socket(&self) -> SocketId {
        SocketId::Tcp(self.id)
    }
}

impl TcpStream {
    /// Connects from the default host: see [`Host::set_default`] and [`Host::connect`].
    ///
    /// # Errors
    /// `NetworkDown` if there is no default host, and as [`Host::connect`].
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        Host::get_default()?.connect(addr)
    }

    /// Connects from the default host, within `timeout`.
    ///
    /// # Errors
    /// As [`connect`](TcpStream::connect); `TimedOut`; `InvalidInput` if `timeout` is zero.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        Host::get_default()?.connect_timeout(addr, timeout)
    }

    pub(super) fn new(host: &Host, shard: &Arc<Shard>, id: TcpId, low_water: u32) -> TcpStream {
        let (shard, host, blocking) = (shard.clone(), host.clone(), Blocking::default());
        blocking.set_low_water(low_water);
        TcpStream(Arc::new(Inner { shard, id, blocking, host }))
    }

    /// Sends a SYN; to an unspecified address is to this host, as on Linux.
    pub(super) fn begin(
        host: &Host,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: Option<&TcpOptions>,
    ) -> error::Result<TcpStream> {
        let own = local.map(|local| local.ip()).filter(|own| !own.is_unspecified());
        let remote = SocketAddr::new(destination(remote.ip(), own), remote.port());
        let shard = host.shard_of(local.map_or(0, |local| local.port()));
        let id = shard.act(|core, now| {
            core.check_open()?;
            let options = options.cloned().unwrap_or_else(|| core.stack.default_tcp_options());
            let low_water = options.recv_low_water;
            let id = core.stack.tcp_connect(now, local, remote, options)?;
            core.adopt(SocketId::Tcp(id));
            Ok((id, low_water))
        })?;
        let (id, low_water) = id;
        Ok(TcpStream::new(host, shard, id, low_water))
    }

    /// Sends a SYN and waits for the answer. `WouldBlock` is the end of the time.
    pub(super) fn open(
        host: &Host,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: Option<&TcpOptions>,
        timeout: Option<Duration>,
    ) -> error::Result<TcpStream> {
        let patience = timeout.map_or(Patience::Forever, |timeout| Patience::Until(clock::now() + timeout));
        let stream = TcpStream::begin(host, local, remote, options)?;
        let id = stream.0.id;
        let connected = stream.0.shard.wait(SocketId::Tcp(id), Readiness::WRITABLE, patience, |core, _| {
            TcpStream::check_connected(&mut core.stack, id)
        });
        match connected {
            Ok(()) => Ok(stream),
            // But it may be the reason why there was no answer.
            Err(Error::WouldBlock) => {
                let reason = stream.0.shard.look(|stack| stack.tcp_take_error(id)).unwrap_or_default();
                Err(reason.unwrap_or(Error::WouldBlock))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the handshake is over.
    ///
    /// # Errors
    /// `WouldBlock` if it is not; what it failed by.
    pub(super) fn check_connected(stack: &mut Stack, id: TcpId) -> error::Result<()> {
        match stack.tcp_state(id)? {
            // What a router says meanwhile ends nothing (RFC 9293 3.9.2.2, MUST-56): the next SYN may get through.
            State::SynSent | State::SynReceived => Err(Error::WouldBlock),
            State::Closed => Err(stack.tcp_take_error(id)?.unwrap_or(Error::ConnectionAborted)),
            _ => Ok(()),
        }
    }

    /// Waits for `interest` and does `act`.
    pub(super) fn wait<T>(
        &self,
        interest: Readiness,
        patience: Patience,
        mut act: impl FnMut(&mut crate::stack::Stack, crate::time::Instant, TcpId) -> error::Result<T>,
    ) -> error::Result<T> {
        let id = self.0.id;
        self.0.shard.wait(self.0.socket(), interest, patience, |core, now| act(&mut core.stack, now, id))
    }

    pub(super) fn reading(&self) -> Patience {
        self.0.blocking.patience(&self.0.blocking.read)
    }

    pub(super) fn writing(&self) -> Patience {
        self.0.blocking.patience(&self.0.blocking.write)
    }

    /// Reads without taking: the same bytes will be read again.
    ///
    /// # Errors
    /// As reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.peek_patiently(buf, self.0.blocking.low_water(), self.reading())
    }

    /// As [`peek`](TcpStream::peek), once there are `least` bytes, or as many as fit, or no more come.
    pub(super) fn peek_patiently(&self, buf: &mut [u8], least: usize, patience: Patience) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let patience = self.gather(least.min(buf.len()), patience);
        Ok(self.wait(Readiness::READABLE, patience, |stack, _, id| stack.tcp_peek(id, buf))?)
    }

    /// Waits until `least` bytes can be read, if that is more than one, or no more come; gives what patience is left. Which
    /// of a few bytes makes a socket readable is not told to those who wait, so that this one looks at all that happens.
    fn gather(&self, least: usize, patience: Patience) -> Patience {
        let until = match patience {
            Patience::Forever => Instant::from_nanos(u64::MAX),
            Patience::Until(until) => until,
            Patience::None => return patience,
        };
        if least > 1 && !self.0.shard.wait_for(until, |stack| stack.tcp_has(self.0.id, least)) {
            // What has come by now is given.
            return Patience::None;
        }
        patience
    }

    fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.recv_patiently(buf, self.reading())?)
    }

    pub(super) fn recv_patiently(&self, buf: &mut [u8], patience: Patience) -> error::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if buf.len() <= SMALL {
            let patience = self.gather(self.0.blocking.low_water().min(buf.len()), patience);
            let act = |stack: &mut crate::stack::Stack, now, id| stack.tcp_recv(now, id, buf);
            return self.wait(Readiness::READABLE, patience, act);
        }
        self.recv_large(buf.len(), &mut [IoSliceMut::new(buf)], patience)
    }

    /// Takes the received chunks under the lock and copies them outside it.
    fn recv_large(&self, max: usize, bufs: &mut [IoSliceMut<'_>], patience: Patience) -> error::Result<usize> {
        let patience = self.gather(self.0.blocking.low_water().min(max), patience);
        let slices = self.wait(Readiness::READABLE, patience, |stack, now, id| stack.tcp_pop(now, id, max))?;
        Ok(scatter(&slices, bufs))
    }

    /// Sends all of `buf`, or, if it cannot wait so long, what could be taken.
    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.send_patiently(buf, self.writing(), SendFlags::default())?)
    }

    pub(super) fn send_patiently(&self, buf: &[u8], patience: Patience, flags: SendFlags) -> error::Result<usize> {
        if buf.is_empty() {
            return self.send_nothing();
        }
        let mut done = 0;
        for part in buf.chunks(LARGE) {
            let (taken, result) = self.send_part(part, patience, flags);
            done += taken;
            match result {
                Ok(()) => {}
                Err(error) if done == 0 => return Err(error),
                Err(error) => {
                    self.keep(error);
                    break;
                }
            }
        }
        Ok(done)
    }

    /// A call that has done a part of its work says how much; the next one meets the error that ended it.
    pub(super) fn keep(&self, error: Error) {
        // If the host is gone meanwhile, the next call meets that.
        let _ = self.0.shard.look(|stack| stack.tcp_keep_error(self.0.id, error));
    }

    /// Nothing can be sent, but for the errors.
    fn send_nothing(&self) -> error::Result<usize> {
        match self.wait(Readiness::WRITABLE, Patience::None, |stack, now, id| stack.tcp_send(now, id, &[])) {
            Ok(_) | Err(Error::WouldBlock) => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn send_part(&self, part: &[u8], patience: Patience, flags: SendFlags) -> (usize, error::Result<()>) {
        let mut done = 0;
        while done < part.len() {
            let rest = &part[done..];
            if rest.len() > SMALL
                && let Some(chunk) = self.chunk_of(rest)
            {
                // Sent while the copy is still in the processor's cache.
                press();
                let (taken, result) = self.push(&chunk, patience, flags);
                return (done + taken, result);
            }
            let rest = &rest[..rest.len().min(SMALL)];
            let act = |stack: &mut Stack, now, id| stack.tcp_send_with(now, id, rest, flags);
            match self.wait(Readiness::WRITABLE, patience, act) {
                Ok(n) => done += n,
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// Reads the next piece of what was received, as it lies in memory, without a copy: at most 64 KiB, and an empty one
    /// at the end of the stream. Received data occupies memory, and with that the peer's window, until it is dropped.
    ///
    /// # Errors
    /// As reading.
    pub fn recv_chunk(&self) -> io::Result<Slice> {
        Ok(self.wait(Readiness::READABLE, self.reading(), |stack, now, id| stack.tcp_pop_chunk(now, id))?)
    }

    /// Sends all of `chunk` without a copy, or, if it cannot wait so long, as many of its first bytes as could be taken,
    /// and says how many. Pieces of less than half of the memory they lie in are copied, so that little data never keeps
    /// much memory. [`Host::chunk`] gives memory to write into; the same chunk can be sent any number of times.
    ///
    /// # Errors
    /// As writing.
    pub fn send_chunk(&self, chunk: &Slice) -> io::Result<usize> {
        match self.push(chunk, self.writing(), SendFlags::default()) {
            (0, Err(error)) => Err(error.into()),
            (taken, result) => {
                result.unwrap_or_else(|error| self.keep(error));
                Ok(taken)
            }
        }
    }

    fn push(&self, chunk: &Slice, patience: Patience, flags: SendFlags) -> (usize, error::Result<()>) {
        let mut rest = chunk.clone();
        while !rest.is_empty() {
            let act = |stack: &mut Stack, now, id| stack.tcp_push_with(now, id, rest.clone(), flags);
            match self.wait(Readiness::WRITABLE, patience, act) {
                Ok(n) => rest.advance(n),
                Err(error) => return (chunk.len() - rest.len(), Err(error)),
            }
        }
        (chunk.len(), Ok(()))
    }

    /// A copy of `data`, made without any lock, if there is a chunk for it.
    fn chunk_of(&self, data: &[u8]) -> Option<Slice> {
        if data.len() * 2 < CHUNK_CAPACITY {
            return Some(Chunk::copy_of(data).freeze());
        }
        let mut chunk = self.0.shard.pool().try_take()?;
        chunk.append(data);
        Some(chunk.freeze())
    }

    /// Sends `data` with the last byte marked urgent (RFC 6093: new applications should not use it), and says how many
    /// bytes were taken.
    ///
    /// # Errors
    /// As writing.
    pub fn send_urgent(&self, data: &[u8]) -> io::Result<usize> {
        self.send_urgent_patiently(data, self.writing(), false)
    }

    pub(super) fn send_urgent_patiently(&self, data: &[u8], patience: Patience, more: bool) -> io::Result<usize> {
        let flags = SendFlags { urgent: true, more };
        let act = |stack: &mut Stack, now, id| stack.tcp_send_with(now, id, data, flags);
        Ok(self.wait(Readiness::WRITABLE, patience, act)?)
    }

    /// Whether the next byte to be read is the first after urgent data, as sockatmark(3). Reading stops there once, so that
    /// it can be seen.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn at_mark(&self) -> io::Result<bool> {
        Ok(self.0.shard.look(|stack| stack.tcp_at_mark(self.0.id))?)
    }

    /// Shuts down reading, writing or both, for all clones; calls that wait in other threads return.
    ///
    /// # Errors
    /// `NotConnected` if there is no connection any more.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => crate::stack::Shutdown::Read,
            Shutdown::Write => crate::stack::Shutdown::Write,
            Shutdown::Both => crate::stack::Shutdown::Both,
        };
        Ok(self.0.shard.act(|core, now| {
            core.wake_all_on(self.0.socket());
            core.stack.tcp_shutdown(now, self.0.id, how)
        })?)
    }

    /// Another handle on the same connection. All share the settings.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream(self.0.clone()))
    }

    /// The peer's address.
    ///
    /// # Errors
    /// `NotConnected` if the connection is not established yet or has ended by an error.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.shard.look(|stack| stack.tcp_peer_addr(self.0.id))?)
    }

    /// Our address.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.shard.look(|stack| stack.tcp_local_addr(self.0.id))?)
    }

    /// Whether calls fail with `WouldBlock` instead of waiting. Clones share it.
    ///
    /// # Errors
    /// None; the signature is std's.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.blocking.set_nonblocking(nonblocking);
        Ok(())
    }

    /// Takes the pending error (SO_ERROR).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(self.0.shard.look(|stack| stack.tcp_take_error(self.0.id))?.map(io::Error::from))
    }

    // ---- options ----

    pub(super) fn option<T>(&self, get: impl FnOnce(&TcpOptions) -> T) -> io::Result<T> {
        Ok(self.0.shard.look(|stack| Ok(get(stack.tcp_options(self.0.id)?)))?)
    }

    pub(super) fn try_set_option(&self, set: impl Fn(&mut TcpOptions) -> io::Result<()>) -> io::Result<()> {
        self.0.shard.act(|core, now| {
            let mut options = core.stack.tcp_options(self.0.id)?.clone();
            Ok(match set(&mut options) {
                Ok(()) => core.stack.set_tcp_options(now, self.0.id, options).map_err(io::Error::from),
                refused => refused,
            })
        })?
    }

    pub(super) fn id(&self) -> TcpId {
        self.0.id
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.0.shard
    }

    pub(super) fn blocking(&self) -> &Blocking {
        &self.0.blocking
    }

    // ---- sight ----

    /// The connection's numbers (TCP_INFO).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn info(&self) -> io::Result<TcpInfo> {
        Ok(self.0.shard.look(|stack| stack.tcp_info(self.0.id))?)
    }

    /// What it is ready for, as poll(2) would tell.
    pub fn readiness(&self) -> Readiness {
        parts::readiness(&self.places())
    }

    pub(super) fn places(&self) -> Places<'_> {
        Places::from_buf([Place { shard: &self.0.shard, id: self.0.socket(), home: true }])
    }

    /// The number of the queue that its packets go through: 0 unless the host has several.
    pub fn queue(&self) -> usize {
        self.0.shard.number()
    }

    /// The host it belongs to.
    pub fn host(&self) -> &Host {
        &self.0.host
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        super::show(f, "TcpStream", &[("addr", self.local_addr()), ("peer", self.peer_addr())])
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.recv(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match bufs.iter().map(|buf| buf.len()).sum() {
            0 => Ok(0),
            max => Ok(self.recv_large(max, bufs, self.reading())?),
        }
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let total: usize = bufs.iter().map(|buf| buf.len()).sum();
        if total <= LARGE {
            // One call on the stack, so that small pieces travel in one segment.
            let mut all = Vec::with_capacity(total);
            bufs.iter().for_each(|buf| all.extend_from_slice(buf));
            return self.send(&all);
        }
        let (patience, mut done) = (self.writing(), 0);
        for buf in bufs {
            match self.send_patiently(buf, patience, SendFlags::default()) {
                Ok(n) if n == buf.len() => done += n,
                Ok(n) => return Ok(done + n),
                Err(error) if done == 0 => return Err(error.into()),
                Err(error) => {
                    self.keep(error);
                    return Ok(done);
                }
            }
        }
        Ok(done)
    }

    /// Nothing is held back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

/// An error of a call that had a time to connect in: at its end as std's, which is not the kernel's either.
pub(super) fn out_of_time(error: Error) -> io::Error {
    match error {
        Error::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "connection timed out"),
        error => error.into(),
    }
}

/// Copies `slices`, one after the other, into `bufs`, which have room for them.
fn scatter(slices: &[Slice], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let mut done = 0;
    let mut rest = slices.iter().map(|slice| &**slice);
    let mut from: &[u8] = &[];
    for buf in bufs {
        let mut at = 0;
        while at < buf.len() {
            if from.is_empty() {
                match rest.next() {
                    Some(next) => from = next,
                    None => return done,
                }
            }
            let n = from.len().min(buf.len() - at);
            buf[at..at + n].copy_from_slice(&from[..n]);
            from = &from[n..];
            at += n;
            done += n;
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scatter_cuts_at_every_border() {
        let data: Vec<u8> = (0..60).collect();
        for cut in 0..60 {
            for first in 0..60 {
                let slices = [Slice::copy_of(&data[..cut]), Slice::copy_of(&data[cut..])];
                let (mut a, mut b) = (vec![0; first], vec![0; 70 - first]);
                let n = scatter(&slices, &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]);
                a.extend(b);
                assert_eq!((n, &a[..60]), (60, &data[..]));
            }
        }
    }
}
