//! Settings that every TCP socket has, connected, listening or neither yet: one text for the three kinds.
//!
//! On Linux they are options of any TCP socket, and a connection that is accepted begins with those of its listener. Where
//! socket2 has a method for one, it has its name.

use super::sockopt::{self, Name, OptValue, SockOpt, Value};
use super::{TcpListener, TcpSocket, TcpStream};
use crate::stack::{Congestion, Keepalive, MtuDiscovery, TcpOptions};
use std::io;
use std::time::Duration;

macro_rules! settings {
    ($(#[$whose:meta])* $socket:ident $($mutable:tt)?) => {
        $(#[$whose])*
        impl $socket {
            /// Sets an option by its name, as setsockopt(2).
            ///
            /// # Errors
            /// ENOPROTOOPT for one that such sockets have not, or that can only be read; `InvalidInput` for a value out of
            /// range, and for what is to be decided before; ENODEV for an interface that there is not; or if the host has
            /// ended.
            pub fn setsockopt<T: OptValue>(&$($mutable)? self, option: SockOpt<T>, value: T) -> io::Result<()> {
                match (option.name, value.into_value()) {
                    (Name::SO_RCVTIMEO, Value::Timeout(time)) => self.set_read_timeout(time),
                    (Name::SO_SNDTIMEO, Value::Timeout(time)) => self.set_write_timeout(time),
                    (Name::SO_BINDTODEVICE, Value::Text(name)) => self.bind_device(name.as_deref()),
                    (Name::SO_RCVLOWAT, Value::Number(bytes)) => self.set_recv_lowat(bytes as usize),
                    (Name::IPV6_V6ONLY, Value::Flag(only)) => self.decide_v6only(only),
                    (name, value) => self.try_set_option(|options| sockopt::set(options, name, &value)),
                }
            }

            /// Reads an option by its name, as getsockopt(2).
            ///
            /// # Errors
            /// ENOPROTOOPT for one that such sockets have not; `NotConnected` for IP_MTU without a connection; or if the
            /// host has been shut down.
            pub fn getsockopt<T: OptValue>(&self, option: SockOpt<T>) -> io::Result<T> {
                sockopt::typed(Ok(match option.name {
                    Name::SO_RCVTIMEO => Value::Timeout(self.read_timeout()?),
                    Name::SO_SNDTIMEO => Value::Timeout(self.write_timeout()?),
                    Name::SO_BINDTODEVICE => Value::Text(self.device()?),
                    Name::SO_ERROR => Value::Error(self.take_error()?),
                    name => match self.own_option(name)? {
                        Some(value) => value,
                        None => self.option(|options| sockopt::get_with(options, &self.host().config().tcp, name))??,
                    },
                }))
            }

            fn set_option(&$($mutable)? self, set: impl Fn(&mut TcpOptions)) -> io::Result<()> {
                self.try_set_option(|options| {
                    set(options);
                    Ok(())
                })
            }

            /// How long receiving waits (SO_RCVTIMEO): reading, or accepting; `None` is for ever. Beyond it the call fails
            /// with `WouldBlock`, as on Linux. Calls that are waiting already are not changed.
            ///
            /// # Errors
            /// `InvalidInput` if it is zero.
            pub fn set_read_timeout(&$($mutable)? self, timeout: Option<Duration>) -> io::Result<()> {
                self.blocking().read.set(timeout)
            }

            /// How long receiving waits.
            ///
            /// # Errors
            /// None; the signature is std's.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.blocking().read.get())
            }

            /// How long sending waits (SO_SNDTIMEO), `None` being for ever; beyond it writing fails with `WouldBlock`, or
            /// gives the number of bytes taken until then, and [`TcpSocket::connect`] fails with EINPROGRESS, as connect(2).
            ///
            /// # Errors
            /// `InvalidInput` if it is zero.
            pub fn set_write_timeout(&$($mutable)? self, timeout: Option<Duration>) -> io::Result<()> {
                self.blocking().write.set(timeout)
            }

            /// How long sending waits.
            ///
            /// # Errors
            /// None; the signature is std's.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.blocking().write.get())
            }

            /// Sends small segments at once (TCP_NODELAY) instead of waiting for an ACK first (Nagle's algorithm).
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_nodelay(&$($mutable)? self, nodelay: bool) -> io::Result<()> {
                self.set_option(|options| options.nodelay = nodelay)
            }

            /// Whether small segments are sent at once.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn nodelay(&self) -> io::Result<bool> {
                self.option(|options| options.nodelay)
            }

            /// Sends full segments only (TCP_CORK), until it is switched off again, or until the time of a retransmission
            /// (200 ms at least) has passed.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_cork(&$($mutable)? self, cork: bool) -> io::Result<()> {
                self.set_option(|options| options.cork = cork)
            }

            /// Whether full segments only are sent.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn cork(&self) -> io::Result<bool> {
                self.option(|options| options.cork)
            }

            /// Acknowledges all that is received at once (TCP_QUICKACK), until it is switched off again.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_quick_ack(&$($mutable)? self, quick_ack: bool) -> io::Result<()> {
                self.set_option(|options| options.quick_ack = quick_ack)
            }

            /// Whether all that is received is acknowledged at once.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn quick_ack(&self) -> io::Result<bool> {
                self.option(|options| options.quick_ack)
            }

            /// Chooses the congestion control that governs what is sent (TCP_CONGESTION). Another one goes on from the
            /// window that the one before it has left.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_congestion(&$($mutable)? self, congestion: Congestion) -> io::Result<()> {
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
            pub fn set_max_pacing_rate(&$($mutable)? self, limit: Option<u64>) -> io::Result<()> {
                self.set_option(|options| options.max_pacing_rate = limit)
            }

            /// The most that is sent, in bytes a second.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn max_pacing_rate(&self) -> io::Result<Option<u64>> {
                self.option(|options| options.max_pacing_rate)
            }

            /// Sets the TTL of the packets, over IPv6 their hop limit, 1 to 255 (IP_TTL, IPV6_UNICAST_HOPS).
            ///
            /// # Errors
            /// `InvalidInput`, or if the host has ended.
            pub fn set_ttl(&$($mutable)? self, ttl: u32) -> io::Result<()> {
                let ttl = super::check_ttl(ttl)?;
                self.set_option(|options| options.ttl = ttl)
            }

            /// The TTL of the packets.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn ttl(&self) -> io::Result<u32> {
                self.option(|options| options.ttl.into())
            }

            /// Sets the byte with DSCP and ECN of the packets, 0 to 255 (IP_TOS, IPV6_TCLASS); a listener's SYN,ACKs have it,
            /// too. The two bits of ECN are not the application's to set, and are kept as zero, as on Linux.
            ///
            /// # Errors
            /// `InvalidInput`, or if the host has ended.
            pub fn set_tos(&$($mutable)? self, tos: u32) -> io::Result<()> {
                let tos = super::check_tos(tos)?;
                self.set_option(|options| options.tos = tos)
            }

            /// The byte with the DSCP of the packets.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn tos(&self) -> io::Result<u32> {
                self.option(|options| options.tos.into())
            }

            /// Sets what is done about the path's MTU (IP_MTU_DISCOVER, IPV6_MTU_DISCOVER). TCP never fragments: `Want` and
            /// `Do` are the same to it.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_mtu_discovery(&$($mutable)? self, mtu_discovery: MtuDiscovery) -> io::Result<()> {
                self.set_option(|options| options.mtu_discovery = mtu_discovery)
            }

            /// What is done about the path's MTU.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn mtu_discovery(&self) -> io::Result<MtuDiscovery> {
                self.option(|options| options.mtu_discovery)
            }

            /// Has its packets leave by the interface `name`, and takes what comes in by that one alone (SO_BINDTODEVICE),
            /// be it a SYN; none is whichever. See [`TcpSocket`] and [`Host::connect_by`](super::Host::connect_by) for a
            /// connection that begins so.
            ///
            /// # Errors
            /// ENODEV if there is no such interface; or if the host has ended.
            pub fn bind_device(&$($mutable)? self, name: Option<&str>) -> io::Result<()> {
                let number = self.host().interface(name)?;
                self.set_option(|options| options.interface = number)
            }

            /// The name of the interface that was set by `bind_device`.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn device(&self) -> io::Result<Option<String>> {
                Ok(self.host().interface_name(self.option(|options| options.interface)?))
            }

            /// Marks its packets (SO_MARK): where the host's [rules](crate::stack::Config::marks) give the mark an interface,
            /// they leave by that. See [`TcpSocket`] for a connection that begins so.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_mark(&$($mutable)? self, mark: u32) -> io::Result<()> {
                self.set_option(|options| options.mark = mark)
            }

            /// The mark of its packets.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn mark(&self) -> io::Result<u32> {
                self.option(|options| options.mark)
            }

            /// What dropping the stream does with data that the peer has not acknowledged (SO_LINGER): `None` delivers it in
            /// the background, zero resets the connection, and a longer time waits as long for it, in the drop, before it
            /// goes on in the background; a stream that is non-blocking does not wait.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_linger(&$($mutable)? self, linger: Option<Duration>) -> io::Result<()> {
                self.set_option(|options| options.linger = linger)
            }

            /// What was set by `set_linger`.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn linger(&self) -> io::Result<Option<Duration>> {
                self.option(|options| options.linger)
            }

            /// How long it waits, once it is dropped, for the peer's FIN after its own (TCP_LINGER2); `None` is as the host's
            /// configuration has it.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_linger2(&$($mutable)? self, time: Option<Duration>) -> io::Result<()> {
                self.set_option(|options| options.fin_wait2 = time)
            }

            /// How long it waits for the peer's FIN, if that was set.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn linger2(&self) -> io::Result<Option<Duration>> {
                self.option(|options| options.fin_wait2)
            }

            /// Probes a silent peer (SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT), or does not.
            ///
            /// # Errors
            /// `InvalidInput` if a time is zero or more than 32,767 s, or the count zero or more than 127; or if the host has
            /// ended.
            pub fn set_keepalive(&$($mutable)? self, keepalive: Option<Keepalive>) -> io::Result<()> {
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

            /// How long data may stay unacknowledged before the connection is given up (TCP_USER_TIMEOUT); `None` leaves it
            /// to the number of retransmissions.
            ///
            /// # Errors
            /// `InvalidInput` if it is zero, or if the host has ended.
            pub fn set_user_timeout(&$($mutable)? self, timeout: Option<Duration>) -> io::Result<()> {
                self.set_option(|options| options.user_timeout = timeout)
            }

            /// How long data may stay unacknowledged.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn user_timeout(&self) -> io::Result<Option<Duration>> {
                self.option(|options| options.user_timeout)
            }

            /// How often a SYN is sent again before the peer is given up, 1 to 127 times (TCP_SYNCNT); a listener's SYN,ACK,
            /// too. It is too late for a connection that is established.
            ///
            /// # Errors
            /// `InvalidInput`, or if the host has ended.
            pub fn set_syn_retries(&$($mutable)? self, retries: u32) -> io::Result<()> {
                self.setsockopt(sockopt::TCP_SYNCNT, retries)
            }

            /// How often a SYN is sent again, as set or as the host's configuration has it.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn syn_retries(&self) -> io::Result<u32> {
                self.getsockopt(sockopt::TCP_SYNCNT)
            }

            /// Has new connections wait for their first data, for `time` at most, before they can be accepted
            /// (TCP_DEFER_ACCEPT); `None` does not. It matters to listeners alone, and while SYN cookies are in use it has no
            /// effect.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_defer_accept(&$($mutable)? self, time: Option<Duration>) -> io::Result<()> {
                self.set_option(|options| options.defer_accept = time)
            }

            /// How long new connections wait for their first data.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn defer_accept(&self) -> io::Result<Option<Duration>> {
                self.option(|options| options.defer_accept)
            }

            /// Sets the size of the receive buffer in bytes (SO_RCVBUF): the most that the window offers. One that is not set
            /// grows with how fast the application reads. What is out of range, 1 KiB to 512 MiB, counts as the nearest size.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_recv_buffer_size(&$($mutable)? self, bytes: usize) -> io::Result<()> {
                self.set_option(|options| options.recv_buffer = Some(TcpOptions::buffer_size(bytes)))
            }

            /// The size of the receive buffer in bytes, as set or as tuned.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn recv_buffer_size(&self) -> io::Result<usize> {
                Ok(self.getsockopt(sockopt::SO_RCVBUF)? as usize)
            }

            /// Sets the size of the send buffer in bytes (SO_SNDBUF). One that is not set grows with the congestion window.
            /// Its range is that of the receive buffer.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_send_buffer_size(&$($mutable)? self, bytes: usize) -> io::Result<()> {
                self.set_option(|options| options.send_buffer = Some(TcpOptions::buffer_size(bytes)))
            }

            /// The size of the send buffer in bytes, as set or as tuned.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn send_buffer_size(&self) -> io::Result<usize> {
                Ok(self.getsockopt(sockopt::SO_SNDBUF)? as usize)
            }

            /// Is not readable, and has reading wait, until `bytes` have been received, or as many as are to be read, or no
            /// more come (SO_RCVLOWAT). 1 at first, which is also what 0 means.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_recv_lowat(&$($mutable)? self, bytes: usize) -> io::Result<()> {
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

            /// Takes no more data, and is not writable, while `bytes` or more are written and not sent yet
            /// (TCP_NOTSENT_LOWAT), so that what is written last is not late; `None` or zero lets the send buffer fill.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_notsent_lowat(&$($mutable)? self, bytes: Option<u32>) -> io::Result<()> {
                self.set_option(|options| options.unsent_low_water = bytes.filter(|&bytes| bytes > 0))
            }

            /// Bytes that may be written and not sent yet, if that was set.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn notsent_lowat(&self) -> io::Result<Option<u32>> {
                self.option(|options| options.unsent_low_water)
            }

            /// Sends and wants no segments of more than `mss` bytes (TCP_MAXSEG); `None` is what the link carries. A peer is
            /// told its part with the SYN: see [`TcpSocket`] for a smaller one.
            ///
            /// # Errors
            /// `InvalidInput` outside 88 to 32,767; or if the host has ended.
            pub fn set_mss(&$($mutable)? self, mss: Option<u16>) -> io::Result<()> {
                self.set_option(|options| options.max_segment = mss)
            }

            /// Bytes of a full segment that is sent now, the options of its header counted. Before there is a connection it is
            /// what was set, or the 536 of a peer that names none (RFC 9293 3.7.1).
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn mss(&self) -> io::Result<usize> {
                Ok(self.getsockopt(sockopt::TCP_MAXSEG)? as usize)
            }

            /// Offers a window of no more than `bytes`, whatever the receive buffer holds (TCP_WINDOW_CLAMP); `None` offers
            /// all of that. What was offered stays offered. Less than 1152 counts as that.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_window_clamp(&$($mutable)? self, bytes: Option<u32>) -> io::Result<()> {
                self.set_option(|options| options.window_clamp = bytes.map(TcpOptions::clamp))
            }

            /// The most that the window offers, in bytes, if it was set.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn window_clamp(&self) -> io::Result<Option<u32>> {
                self.option(|options| options.window_clamp)
            }

            /// Keeps the last urgent byte in the stream (SO_OOBINLINE), as it does unless told otherwise (RFC 6093 4). Else it
            /// is left out, and [`TcpStream::recv_urgent`] gives it.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_oob_inline(&$($mutable)? self, inline: bool) -> io::Result<()> {
                self.set_option(|options| options.urgent_inline = inline)
            }

            /// Whether the last urgent byte stays in the stream.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn oob_inline(&self) -> io::Result<bool> {
                self.option(|options| options.urgent_inline)
            }

            /// Whether it may listen on a port that connections have still (SO_REUSEADDR). It may unless told otherwise, as
            /// std's listeners may; it counts when it begins to listen.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_reuse_address(&$($mutable)? self, reuse: bool) -> io::Result<()> {
                self.set_option(|options| options.reuse_address = reuse)
            }

            /// Whether it may listen on a port that connections have still.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn reuse_address(&self) -> io::Result<bool> {
                self.option(|options| options.reuse_address)
            }

            /// Whether it shares its address with other listeners, each having a part of the peers (SO_REUSEPORT). All of them
            /// must want it, those that listen already, and the one that is to.
            ///
            /// # Errors
            /// If the host has ended.
            pub fn set_reuse_port(&$($mutable)? self, reuse: bool) -> io::Result<()> {
                self.set_option(|options| options.reuse_port = reuse)
            }

            /// Whether it shares its address.
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn reuse_port(&self) -> io::Result<bool> {
                self.option(|options| options.reuse_port)
            }

            /// 1, which is SOCK_STREAM (SO_TYPE).
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn r#type(&self) -> io::Result<u32> {
                self.getsockopt(sockopt::SO_TYPE)
            }

            /// Whether it listens (SO_ACCEPTCONN).
            ///
            /// # Errors
            /// If the host has been shut down.
            pub fn is_listener(&self) -> io::Result<bool> {
                self.getsockopt(sockopt::SO_ACCEPTCONN)
            }
        }
    };
}

settings! {
    /// Settings of the connection.
    TcpStream
}

settings! {
    /// Settings, which also the connections have that come from now on; the time-outs those that are accepted from now on.
    TcpListener
}

settings! {
    /// Settings, which go over to what becomes of it.
    TcpSocket mut
}
