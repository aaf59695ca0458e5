//! Settings of connections and listeners, most of which std has not, and all of them by Linux's names.

use super::sockopt::{self, Name, OptValue, SockOpt, Value};
use super::{MsgFlags, TcpListener, TcpStream};
use crate::error;
use crate::runtime::Patience;
use crate::stack::{Congestion, Keepalive, MtuDiscovery, Readiness, SendFlags, TcpOptions};
use std::io;
use std::time::Duration;

impl TcpStream {
    /// Sets an option by its name, as setsockopt(2).
    ///
    /// # Errors
    /// ENOPROTOOPT for one that connections have not, or that can only be read or was to be set before; `InvalidInput` for
    /// a value out of range; ENODEV for an interface that there is not; or if the host has ended.
    pub fn setsockopt<T: OptValue>(&self, option: SockOpt<T>, value: T) -> io::Result<()> {
        match (option.name, value.into_value()) {
            (Name::SO_RCVTIMEO, Value::Timeout(time)) => self.set_read_timeout(time),
            (Name::SO_SNDTIMEO, Value::Timeout(time)) => self.set_write_timeout(time),
            (Name::SO_BINDTODEVICE, Value::Text(name)) => self.bind_device(name.as_deref()),
            (Name::SO_RCVLOWAT, Value::Number(bytes)) => self.set_recv_lowat(bytes as usize),
            (name, value) => self.try_set_option(|options| sockopt::set(options, name, value)),
        }
    }

    /// Reads an option by its name, as getsockopt(2).
    ///
    /// # Errors
    /// ENOPROTOOPT for one that connections have not; or if the host has been shut down.
    pub fn getsockopt<T: OptValue>(&self, option: SockOpt<T>) -> io::Result<T> {
        sockopt::typed(Ok(match option.name {
            Name::SO_RCVTIMEO => Value::Timeout(self.read_timeout()?),
            Name::SO_SNDTIMEO => Value::Timeout(self.write_timeout()?),
            Name::SO_BINDTODEVICE => Value::Text(self.host().interface_name(self.option(|options| options.interface)?)),
            Name::SO_ERROR => Value::Error(self.take_error()?),
            Name::SO_RCVBUF => sockopt::number(self.recv_buffer_size()?),
            Name::SO_SNDBUF => sockopt::number(self.send_buffer_size()?),
            Name::TCP_MAXSEG => sockopt::number(self.mss()?),
            Name::TCP_INFO => Value::Info(Box::new(self.info()?)),
            Name::IP_MTU | Name::IPV6_MTU => sockopt::number(self.mtu()?),
            name => self.option(|options| sockopt::get_with(options, &self.host().config().tcp, name))??,
        }))
    }

    /// Chooses the congestion control that governs what is sent (TCP_CONGESTION). Another one goes on from the window that
    /// the one before it has left.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_congestion(&self, congestion: Congestion) -> io::Result<()> {
        self.set_option(|options| options.congestion = congestion)
    }

    /// The congestion control.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn congestion(&self) -> io::Result<Congestion> {
        self.option(|options| options.congestion)
    }

    /// Sends no more than so many bytes a second (SO_MAX_PACING_RATE); `None` is no limit.
    ///
    /// # Errors
    /// `InvalidInput` for a limit of zero, or if the host has ended.
    pub fn set_max_pacing_rate(&self, limit: Option<u64>) -> io::Result<()> {
        self.set_option(|options| options.max_pacing_rate = limit)
    }

    /// The most that is sent, in bytes a second.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn max_pacing_rate(&self) -> io::Result<Option<u64>> {
        self.option(|options| options.max_pacing_rate)
    }

    /// Acknowledges all that is received at once (TCP_QUICKACK), until it is switched off again.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_quick_ack(&self, quick_ack: bool) -> io::Result<()> {
        self.set_option(|options| options.quick_ack = quick_ack)
    }

    /// Whether all that is received is acknowledged at once.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn quick_ack(&self) -> io::Result<bool> {
        self.option(|options| options.quick_ack)
    }

    /// Sets the TTL of the connection's packets, 1 to 255.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has ended.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        let ttl = super::check_ttl(ttl)?;
        self.set_option(|options| options.ttl = ttl)
    }

    /// Has its packets leave by the interface `name`, and takes what comes in by that one alone (SO_BINDTODEVICE); none is
    /// whichever. See [`Host::connect_by`](super::Host::connect_by) for one that begins so.
    ///
    /// # Errors
    /// ENODEV if there is no such interface; or if the host has ended.
    pub fn bind_device(&self, name: Option<&str>) -> io::Result<()> {
        let number = self.shard().look(|stack| name.map_or(Ok(0), |name| stack.interface_named(name)))?;
        self.set_option(|options| options.interface = number as u8)
    }

    /// The TTL of the connection's packets.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn ttl(&self) -> io::Result<u32> {
        self.option(|options| options.ttl.into())
    }

    /// Sets what is done about the path's MTU (IP_MTU_DISCOVER, IPV6_MTU_DISCOVER). TCP never fragments: `Want` and `Do` are
    /// the same to it.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_mtu_discovery(&self, mtu_discovery: MtuDiscovery) -> io::Result<()> {
        self.set_option(|options| options.mtu_discovery = mtu_discovery)
    }

    /// What is done about the path's MTU.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn mtu_discovery(&self) -> io::Result<MtuDiscovery> {
        self.option(|options| options.mtu_discovery)
    }

    /// The largest packet that the path carries, in bytes, as far as is known (IP_MTU, IPV6_MTU).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn mtu(&self) -> io::Result<usize> {
        Ok(self.info()?.pmtu)
    }

    /// Sets the byte with DSCP and ECN of the connection's packets, 0 to 255 (IP_TOS, IPV6_TCLASS). The two bits of ECN are
    /// not the application's to set, and are kept as zero, as on Linux.
    ///
    /// # Errors
    /// `InvalidInput`, or if the host has ended.
    pub fn set_tos(&self, tos: u32) -> io::Result<()> {
        let tos = super::check_tos(tos)?;
        self.set_option(|options| options.tos = tos)
    }

    /// The byte with the DSCP of the connection's packets.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn tos(&self) -> io::Result<u32> {
        self.option(|options| options.tos.into())
    }

    /// What dropping the stream does with data that the peer has not acknowledged: `None` delivers it in the
    /// background, zero resets the connection, and a longer time waits as long for it, in the drop, before it goes on
    /// in the background; a stream that is non-blocking does not wait.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        self.set_option(|options| options.linger = linger)
    }

    /// What was set by [`set_linger`](TcpStream::set_linger).
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.option(|options| options.linger)
    }

    /// Probes a silent peer (SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT), or does not.
    ///
    /// # Errors
    /// `InvalidInput` if a time is zero or more than 32,767 s, or the count zero or more than 127; or if the host has ended.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.set_option(|options| {
            options.keepalive = keepalive;
            options.keepalive_times = keepalive.unwrap_or(options.keepalive_times);
        })
    }

    /// How a silent peer is probed, if it is.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        self.option(|options| options.keepalive)
    }

    /// How long data may stay unacknowledged before the connection is given up (TCP_USER_TIMEOUT); `None` leaves it to
    /// the number of retransmissions.
    ///
    /// # Errors
    /// `InvalidInput` if it is zero, or if the host has ended.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_option(|options| options.user_timeout = timeout)
    }

    /// How long data may stay unacknowledged.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
        self.option(|options| options.user_timeout)
    }

    /// Sets the size of the receive buffer in bytes (SO_RCVBUF): the most that the window offers. One that is not set
    /// grows with how fast the application reads. What is out of range, 1 KiB to 512 MiB, counts as the nearest size.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set_option(|options| options.recv_buffer = Some(TcpOptions::buffer_size(bytes)))
    }

    /// The size of the receive buffer in bytes, as set or as tuned.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        Ok(self.info()?.recv_buffer)
    }

    /// Sets the size of the send buffer in bytes (SO_SNDBUF). One that is not set grows with the congestion window. Its
    /// range is that of the receive buffer.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.set_option(|options| options.send_buffer = Some(TcpOptions::buffer_size(bytes)))
    }

    /// The size of the send buffer in bytes, as set or as tuned.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        Ok(self.info()?.send_buffer)
    }

    /// Sends full segments only (TCP_CORK), until it is switched off again, or until the time of a retransmission (200 ms
    /// at least) has passed.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_cork(&self, cork: bool) -> io::Result<()> {
        self.set_option(|options| options.cork = cork)
    }

    /// Whether full segments only are sent.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn cork(&self) -> io::Result<bool> {
        self.option(|options| options.cork)
    }

    /// Sends and wants no segments of more than `mss` bytes (TCP_MAXSEG); `None` is what the link carries. The peer was
    /// told its part with the SYN: see [`TcpSocket`](super::TcpSocket) for a smaller one.
    ///
    /// # Errors
    /// `InvalidInput` outside 88 to 32,767; or if the host has ended.
    pub fn set_mss(&self, mss: Option<u16>) -> io::Result<()> {
        self.set_option(|options| options.max_segment = mss)
    }

    /// Bytes of a full segment that is sent now, the options of its header counted.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn mss(&self) -> io::Result<usize> {
        Ok(self.info()?.mss)
    }

    /// Offers a window of no more than `bytes`, whatever the receive buffer holds (TCP_WINDOW_CLAMP); `None` offers all of
    /// that. What was offered stays offered. Less than 1152 counts as that.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_window_clamp(&self, bytes: Option<u32>) -> io::Result<()> {
        self.set_option(|options| options.window_clamp = bytes.map(TcpOptions::clamp))
    }

    /// The most that the window offers, in bytes, if it was set.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn window_clamp(&self) -> io::Result<Option<u32>> {
        self.option(|options| options.window_clamp)
    }

    /// Takes no more data, and is not writable, while `bytes` or more are written and not sent yet (TCP_NOTSENT_LOWAT), so
    /// that what is written last is not late; `None` or zero lets the send buffer fill.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_notsent_lowat(&self, bytes: Option<u32>) -> io::Result<()> {
        self.set_option(|options| options.unsent_low_water = bytes.filter(|&bytes| bytes > 0))
    }

    /// Bytes that may be written and not sent yet, if that was set.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn notsent_lowat(&self) -> io::Result<Option<u32>> {
        self.option(|options| options.unsent_low_water)
    }

    /// Is not readable, and has reading wait, until `bytes` have been received, or as many as are to be read, or no more
    /// come (SO_RCVLOWAT). 1 at first, which is also what 0 means.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_recv_lowat(&self, bytes: usize) -> io::Result<()> {
        let low = u32::try_from(bytes.max(1)).unwrap_or(u32::MAX);
        self.set_option(|options| options.recv_low_water = low)?;
        self.blocking().set_low_water(low);
        Ok(())
    }

    /// Received bytes without which it is not readable.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn recv_lowat(&self) -> io::Result<usize> {
        self.option(|options| options.recv_low_water as usize)
    }

    /// Keeps the last urgent byte in the stream (SO_OOBINLINE), as it does unless told otherwise (RFC 6093 4). Else it is
    /// left out, and [`recv_urgent`](TcpStream::recv_urgent) gives it.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_oob_inline(&self, inline: bool) -> io::Result<()> {
        self.set_option(|options| options.urgent_inline = inline)
    }

    /// Whether the last urgent byte stays in the stream.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn oob_inline(&self) -> io::Result<bool> {
        self.option(|options| options.urgent_inline)
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

    /// Marks its packets (SO_MARK): where the host's [rules](crate::stack::Config::marks) give the mark an interface, they
    /// leave by that. See [`TcpSocket`](super::TcpSocket) for one that begins so.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_mark(&self, mark: u32) -> io::Result<()> {
        self.set_option(|options| options.mark = mark)
    }

    /// The mark of its packets.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn mark(&self) -> io::Result<u32> {
        self.option(|options| options.mark)
    }

    /// How long it waits, once it is dropped, for the peer's FIN after its own (TCP_LINGER2); `None` is as the host's
    /// configuration has it.
    ///
    /// # Errors
    /// If the host has ended.
    pub fn set_linger2(&self, time: Option<Duration>) -> io::Result<()> {
        self.set_option(|options| options.fin_wait2 = time)
    }

    /// How long it waits for the peer's FIN, if that was set.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn linger2(&self) -> io::Result<Option<Duration>> {
        self.option(|options| options.fin_wait2)
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

impl TcpListener {
    /// Sets an option by its name, as setsockopt(2), for the connections that come from now on.
    ///
    /// # Errors
    /// ENOPROTOOPT for one that listeners have not, or that can only be read; `InvalidInput` for a value out of range, and
    /// for IPV6_V6ONLY, which is decided before; ENODEV for an interface that there is not; or if the host has ended.
    pub fn setsockopt<T: OptValue>(&self, option: SockOpt<T>, value: T) -> io::Result<()> {
        match (option.name, value.into_value()) {
            (Name::SO_RCVTIMEO, Value::Timeout(time)) => self.blocking().read.set(time),
            (Name::SO_BINDTODEVICE, Value::Text(name)) => self.bind_device(name.as_deref()),
            (Name::IPV6_V6ONLY, Value::Flag(_)) => Err(super::tcp_listener::bound_already()),
            (name, value) => {
                let mut options = self.option(Clone::clone)?;
                sockopt::set(&mut options, name, value)?;
                options.validate()?;
                self.set(|known| *known = options.clone())
            }
        }
    }

    /// Reads an option by its name, as getsockopt(2).
    ///
    /// # Errors
    /// ENOPROTOOPT for one that listeners have not; or if the host has been shut down.
    pub fn getsockopt<T: OptValue>(&self, option: SockOpt<T>) -> io::Result<T> {
        sockopt::typed(Ok(match option.name {
            Name::SO_RCVTIMEO => Value::Timeout(self.blocking().read.get()),
            Name::TCP_INFO => Value::Info(Box::new(self.info()?)),
            Name::SO_ACCEPTCONN => Value::Flag(true),
            Name::SO_ERROR => Value::Error(self.take_error()?),
            Name::IPV6_V6ONLY => Value::Flag(self.only_v6()?),
            Name::SO_BINDTODEVICE => Value::Text(self.host().interface_name(self.option(|options| options.interface)?)),
            name => self.option(|options| sockopt::get_with(options, &self.host().config().tcp, name))??,
        }))
    }

    /// Has new connections wait for their first data, for `time` at most, before they can be accepted (TCP_DEFER_ACCEPT);
    /// `None` does not. While SYN cookies are in use it has no effect.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn set_defer_accept(&self, time: Option<Duration>) -> io::Result<()> {
        self.set(|options| options.defer_accept = time)
    }

    /// How long new connections wait for their first data.
    ///
    /// # Errors
    /// If the host has been shut down.
    pub fn defer_accept(&self) -> io::Result<Option<Duration>> {
        self.option(|options| options.defer_accept)
    }
}
