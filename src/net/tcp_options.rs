//! What a connected `TcpStream` alone has of options, and the flags of recv(2) and send(2).

use super::sockopt::{self, Name, Value};
use super::{MsgFlags, TcpStream};
use crate::error;
use crate::runtime::Patience;
use crate::stack::{Readiness, SendFlags};
use std::io;

impl TcpStream {
    /// What a connection answers of its own.
    pub(super) fn own_option(&self, name: Name) -> io::Result<Option<Value>> {
        Ok(Some(match name {
            Name::SO_RCVBUF => sockopt::number(self.info()?.recv_buffer),
            Name::SO_SNDBUF => sockopt::number(self.info()?.send_buffer),
            Name::TCP_MAXSEG => sockopt::number(self.info()?.mss),
            Name::TCP_INFO => Value::Info(Box::new(self.info()?)),
            Name::IP_MTU | Name::IPV6_MTU => sockopt::number(self.mtu()?),
            _ => return Ok(None),
        }))
    }

    /// IPV6_V6ONLY by its name: a connection has its one address.
    pub(super) fn decide_v6only(&self, _only: bool) -> io::Result<()> {
        Err(sockopt::no_such_option())
    }

    /// The largest packet that the path carries, in bytes, as far as is known (IP_MTU, IPV6_MTU).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn mtu(&self) -> io::Result<usize> {
        Ok(self.info()?.pmtu)
    }

    /// Takes the last urgent byte, however much comes before it in the stream. It never waits; that there is one is told by
    /// [`Readiness::PRIORITY`].
    ///
    /// # Errors
    /// `InvalidInput` if there is none, or it was taken, or its place in the stream has been read over, or urgent data
    /// stays [in the stream](TcpStream::set_oob_inline); `WouldBlock` if it was announced and has not come; `NotConnected`.
    pub fn recv_urgent(&self) -> io::Result<u8> {
        Ok(self.shard().look(|stack| stack.tcp_recv_urgent(self.id(), false))?)
    }

    /// Receives as `flags` say, as recv(2).
    ///
    /// # Errors
    /// As reading; with [`MsgFlags::OOB`] as [`recv_urgent`](TcpStream::recv_urgent).
    pub fn recv_with_flags(&self, buf: &mut [u8], flags: MsgFlags) -> io::Result<usize> {
        if flags.contains(MsgFlags::OOB) {
            let byte = self.shard().look(|stack| stack.tcp_recv_urgent(self.id(), flags.contains(MsgFlags::PEEK)))?;
            return Ok(buf.first_mut().map_or(0, |first| {
                *first = byte;
                1
            }));
        }
        let patience = if flags.contains(MsgFlags::DONTWAIT) { Patience::None } else { self.reading() };
        if flags.contains(MsgFlags::PEEK) {
            let least = if flags.contains(MsgFlags::WAITALL) { buf.len() } else { 1 };
            return self.peek_patiently(buf, least, patience);
        }
        let mut done = 0;
        loop {
            let rest = &mut buf[done..];
            let received = if flags.contains(MsgFlags::TRUNC) {
                self.discard(rest.len(), patience)
            } else {
                self.recv_patiently(rest, patience)
            };
            match received {
                Ok(n) => done += n,
                Err(error) if done == 0 => return Err(error.into()),
                Err(error) => {
                    self.keep(error);
                    return Ok(done);
                }
            }
            let ended = matches!(received, Ok(0));
            if ended || done == buf.len() || !flags.contains(MsgFlags::WAITALL) || self.at_mark()? {
                return Ok(done);
            }
        }
    }

    /// Takes up to `max` bytes and throws them away.
    fn discard(&self, max: usize, patience: Patience) -> error::Result<usize> {
        let taken = self.wait(Readiness::READABLE, patience, |stack, now, id| stack.tcp_pop(now, id, max))?;
        Ok(taken.iter().map(|slice| slice.len()).sum())
    }

    /// Sends as `flags` say, as send(2), and says how many bytes were taken.
    ///
    /// # Errors
    /// As writing.
    pub fn send_with_flags(&self, buf: &[u8], flags: MsgFlags) -> io::Result<usize> {
        let patience = if flags.contains(MsgFlags::DONTWAIT) { Patience::None } else { self.writing() };
        let more = flags.contains(MsgFlags::MORE);
        if flags.contains(MsgFlags::OOB) {
            return self.send_urgent_patiently(buf, patience, more);
        }
        Ok(self.send_patiently(buf, patience, SendFlags { more, urgent: false })?)
    }
}
