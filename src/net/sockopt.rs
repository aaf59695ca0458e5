//! Options by the names that Linux gives them: `stream.setsockopt(TCP_NODELAY, true)`.
//!
//! Each name has the type of its value, so that no number has to be packed or unpacked. The methods of the sockets, such as
//! [`TcpStream::set_nodelay`](super::TcpStream::set_nodelay), do the same and say more. An option that a kind of socket
//! does not have, or that can only be read, or only be set, fails with ENOPROTOOPT, as on Linux; so does one that it could
//! only keep and never heed, such as broadcast of a connection, which Linux takes all the same.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! use tunstack::net::TcpSocket;
//! use tunstack::net::sockopt::{SO_REUSEPORT, TCP_MAXSEG, TCP_NODELAY};
//!
//! let mut socket = TcpSocket::new_v4()?;
//! socket.setsockopt(SO_REUSEPORT, true)?;
//! socket.setsockopt(TCP_MAXSEG, 1200)?;
//! let stream = socket.connect("192.0.2.1:80")?;
//! stream.setsockopt(TCP_NODELAY, true)?;
//! assert_eq!(stream.getsockopt(TCP_MAXSEG)?, 1200);
//! # Ok(()) }
//! ```

use super::error::invalid;
use crate::error::Error;
use crate::stack::{Congestion, MtuDiscovery, TcpConfig, TcpInfo, TcpOptions};
use core::marker::PhantomData;
use rustix::io::Errno;
use std::io;
use std::time::Duration;

/// An option whose values are of type `T`.
#[derive(Debug)]
pub struct SockOpt<T> {
    pub(super) name: Name,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for SockOpt<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SockOpt<T> {}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)*) => {
        /// The name of an option.
        #[expect(non_camel_case_types, reason = "they are Linux's names")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Name {
            $($name,)*
        }

        $(
            $(#[$doc])*
            pub const $name: SockOpt<$kind> = SockOpt { name: Name::$name, value: PhantomData };
        )*
    };
}

options! {
    /// A listener may have a port that connections have still; a UDP socket shares its address with others that want it
    /// too. It counts before the socket is bound.
    SO_REUSEADDR: bool;
    /// Sockets that all have this share an address and its peers. It counts before the socket is bound.
    SO_REUSEPORT: bool;
    /// A silent peer is probed.
    SO_KEEPALIVE: bool;
    /// What closing does with data that is not acknowledged yet.
    SO_LINGER: Option<Duration>;
    /// The size of the receive buffer in bytes, as it was set: the kernel gives twice as much. What is out of range, 1 KiB to
    /// 512 MiB, counts as the nearest size.
    SO_RCVBUF: u32;
    /// The size of the send buffer in bytes, as it was set: the kernel gives twice as much. Its range is the same.
    SO_SNDBUF: u32;
    /// Received bytes without which a stream is not readable.
    SO_RCVLOWAT: u32;
    /// How long receiving waits.
    SO_RCVTIMEO: Option<Duration>;
    /// How long sending waits.
    SO_SNDTIMEO: Option<Duration>;
    /// Broadcast may be sent.
    SO_BROADCAST: bool;
    /// Urgent data stays in the stream.
    SO_OOBINLINE: bool;
    /// The pending error, which is taken. Read only.
    SO_ERROR: Option<io::Error>;
    /// 1 for streams, 2 for datagrams. Read only.
    SO_TYPE: u32;
    /// Whether it listens. Read only.
    SO_ACCEPTCONN: bool;
    /// The name of the interface that its packets go by alone.
    SO_BINDTODEVICE: Option<String>;
    /// The mark of its packets, by which rules choose their interface.
    SO_MARK: u32;
    /// Small segments are sent at once.
    TCP_NODELAY: bool;
    /// Only full segments are sent.
    TCP_CORK: bool;
    /// The maximum segment size in bytes: what was set before there is a connection, then what is in use.
    TCP_MAXSEG: u32;
    /// Idle time before the first probe of a silent peer.
    TCP_KEEPIDLE: Duration;
    /// Time between probes of a silent peer.
    TCP_KEEPINTVL: Duration;
    /// Unanswered probes before a peer is given up.
    TCP_KEEPCNT: u32;
    /// How long data may stay unacknowledged.
    TCP_USER_TIMEOUT: Option<Duration>;
    /// Retransmissions of a SYN, and of a listener's SYN,ACK, before a peer is given up, 1 to 127.
    TCP_SYNCNT: u32;
    /// How long a listener waits for a connection's first data.
    TCP_DEFER_ACCEPT: Option<Duration>;
    /// All that is received is acknowledged at once.
    TCP_QUICKACK: bool;
    /// The congestion control.
    TCP_CONGESTION: Congestion;
    /// The most that the window offers, in bytes, 1152 at least: less counts as that.
    TCP_WINDOW_CLAMP: Option<u32>;
    /// Bytes that may be written and not sent yet; zero is as none.
    TCP_NOTSENT_LOWAT: Option<u32>;
    /// How long a closed connection waits for the peer's FIN.
    TCP_LINGER2: Option<Duration>;
    /// The connection's numbers. Read only.
    TCP_INFO: TcpInfo;
    /// TTL of its packets, 1 to 255.
    IP_TTL: u32;
    /// The byte with the DSCP of its packets.
    IP_TOS: u32;
    /// What is done about the path's MTU.
    IP_MTU_DISCOVER: MtuDiscovery;
    /// The largest packet that the path carries, in bytes, as far as is known. Read only.
    IP_MTU: u32;
    /// [`IP_TTL`] under IPv6's name: the hop limit.
    IPV6_UNICAST_HOPS: u32;
    /// [`IP_TOS`] under IPv6's name: the traffic class.
    IPV6_TCLASS: u32;
    /// [`IP_MTU_DISCOVER`] under IPv6's name.
    IPV6_MTU_DISCOVER: MtuDiscovery;
    /// [`IP_MTU`] under IPv6's name.
    IPV6_MTU: u32;
    /// No IPv4. It counts before the socket is bound.
    IPV6_V6ONLY: bool;
}

/// The value of some option.
#[derive(Debug)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A number, mostly of bytes.
    Number(u32),
    /// A number, or no limit.
    Limit(Option<u32>),
    /// A time.
    Time(Duration),
    /// A time, or none.
    Timeout(Option<Duration>),
    /// A name, or none.
    Text(Option<String>),
    /// A pending error.
    Error(Option<io::Error>),
    /// TCP_CONGESTION's.
    Congestion(Congestion),
    /// IP_MTU_DISCOVER's.
    MtuDiscovery(MtuDiscovery),
    /// TCP_INFO's.
    Info(Box<TcpInfo>),
}

/// What can be the value of an option.
pub trait OptValue: Sized {
    /// As the value of some option.
    fn into_value(self) -> Value;

    /// Back, if it is of this type.
    fn from_value(value: Value) -> Option<Self>;
}

macro_rules! values {
    ($($kind:ty: $variant:ident;)*) => {$(
        impl OptValue for $kind {
            fn into_value(self) -> Value {
                Value::$variant(self.into())
            }

            fn from_value(value: Value) -> Option<Self> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }
        }
    )*};
}

values! {
    bool: Flag;
    u32: Number;
    Option<u32>: Limit;
    Duration: Time;
    Option<Duration>: Timeout;
    Option<String>: Text;
    Option<io::Error>: Error;
    Congestion: Congestion;
    MtuDiscovery: MtuDiscovery;
}

impl OptValue for TcpInfo {
    fn into_value(self) -> Value {
        Value::Info(Box::new(self))
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Info(info) = value { Some(*info) } else { None }
    }
}

/// Bytes, as a number of an option.
pub(super) fn number(bytes: usize) -> Value {
    Value::Number(u32::try_from(bytes).unwrap_or(u32::MAX))
}

/// The value of `got` in the type that its option has.
pub(super) fn typed<T: OptValue>(got: io::Result<Value>) -> io::Result<T> {
    T::from_value(got?).ok_or_else(no_such_option)
}

/// The socket has no such option, or not for this.
pub(super) fn no_such_option() -> io::Error {
    Errno::NOPROTOOPT.into()
}

fn small<T: TryFrom<u32>>(number: u32) -> io::Result<T> {
    T::try_from(number).map_err(|_| invalid(format!("{number} is too large for this option")))
}

/// Sets one of the options that connections, listeners and sockets that are neither yet have in common.
pub(super) fn set(options: &mut TcpOptions, name: Name, value: &Value) -> io::Result<()> {
    match (name, value) {
        (Name::SO_REUSEADDR, &Value::Flag(on)) => options.reuse_address = on,
        (Name::SO_REUSEPORT, &Value::Flag(on)) => options.reuse_port = on,
        (Name::SO_KEEPALIVE, &Value::Flag(on)) => options.keepalive = on.then_some(options.keepalive_times),
        (Name::SO_LINGER, &Value::Timeout(time)) => options.linger = time,
        (Name::SO_RCVBUF, &Value::Number(bytes)) => options.recv_buffer = Some(TcpOptions::buffer_size(bytes as usize)),
        (Name::SO_SNDBUF, &Value::Number(bytes)) => options.send_buffer = Some(TcpOptions::buffer_size(bytes as usize)),
        (Name::SO_RCVLOWAT, &Value::Number(bytes)) => options.recv_low_water = bytes.max(1),
        (Name::SO_OOBINLINE, &Value::Flag(on)) => options.urgent_inline = on,
        (Name::SO_MARK, &Value::Number(mark)) => options.mark = mark,
        (Name::TCP_NODELAY, &Value::Flag(on)) => options.nodelay = on,
        (Name::TCP_CORK, &Value::Flag(on)) => options.cork = on,
        (Name::TCP_MAXSEG, &Value::Number(mss)) => options.max_segment = (mss > 0).then_some(small(mss)?),
        (Name::TCP_KEEPIDLE, &Value::Time(time)) => options.keepalive_times.idle = time,
        (Name::TCP_KEEPINTVL, &Value::Time(time)) => options.keepalive_times.interval = time,
        (Name::TCP_KEEPCNT, &Value::Number(count)) => options.keepalive_times.count = count,
        (Name::TCP_USER_TIMEOUT, &Value::Timeout(time)) => options.user_timeout = time,
        (Name::TCP_SYNCNT, &Value::Number(count)) => options.syn_retries = Some(small(count)?),
        (Name::TCP_DEFER_ACCEPT, &Value::Timeout(time)) => options.defer_accept = time,
        (Name::TCP_QUICKACK, &Value::Flag(on)) => options.quick_ack = on,
        (Name::TCP_CONGESTION, &Value::Congestion(control)) => options.congestion = control,
        (Name::TCP_WINDOW_CLAMP, &Value::Limit(bytes)) => options.window_clamp = bytes.map(TcpOptions::clamp),
        (Name::TCP_NOTSENT_LOWAT, &Value::Limit(bytes)) => options.unsent_low_water = bytes.filter(|&bytes| bytes > 0),
        (Name::TCP_LINGER2, &Value::Timeout(time)) => options.fin_wait2 = time,
        (Name::IP_TTL | Name::IPV6_UNICAST_HOPS, &Value::Number(ttl)) => options.ttl = super::check_ttl(ttl)?,
        (Name::IP_TOS | Name::IPV6_TCLASS, &Value::Number(tos)) => options.tos = super::check_tos(tos)?,
        (Name::IP_MTU_DISCOVER | Name::IPV6_MTU_DISCOVER, &Value::MtuDiscovery(how)) => options.mtu_discovery = how,
        _ => return Err(no_such_option()),
    }
    // What is on goes on with the new times.
    if matches!(name, Name::TCP_KEEPIDLE | Name::TCP_KEEPINTVL | Name::TCP_KEEPCNT) {
        options.keepalive = options.keepalive.map(|_| options.keepalive_times);
    }
    Ok(())
}

/// Reads one of them, of a socket without a connection: what is not set is as in `config`.
pub(super) fn get_with(options: &TcpOptions, config: &TcpConfig, name: Name) -> io::Result<Value> {
    Ok(match name {
        Name::SO_RCVBUF => number(options.recv_buffer.unwrap_or(config.recv_buffer)),
        Name::SO_SNDBUF => number(options.send_buffer.unwrap_or(config.send_buffer)),
        Name::TCP_SYNCNT => Value::Number(options.syn_retries.map_or(config.syn_retries, u32::from)),
        Name::TCP_LINGER2 => Value::Timeout(options.fin_wait2.or(Some(config.fin_wait2))),
        name => return get(options, name),
    })
}

/// Reads one of them.
pub(super) fn get(options: &TcpOptions, name: Name) -> io::Result<Value> {
    Ok(match name {
        Name::SO_REUSEADDR => Value::Flag(options.reuse_address),
        Name::SO_REUSEPORT => Value::Flag(options.reuse_port),
        Name::SO_KEEPALIVE => Value::Flag(options.keepalive.is_some()),
        Name::SO_LINGER => Value::Timeout(options.linger),
        Name::SO_RCVLOWAT => Value::Number(options.recv_low_water),
        Name::SO_OOBINLINE => Value::Flag(options.urgent_inline),
        Name::SO_TYPE => Value::Number(1),
        Name::SO_ACCEPTCONN => Value::Flag(false),
        Name::SO_BROADCAST => Value::Flag(false),
        Name::SO_ERROR => Value::Error(None),
        Name::SO_MARK => Value::Number(options.mark),
        Name::TCP_NODELAY => Value::Flag(options.nodelay),
        Name::TCP_CORK => Value::Flag(options.cork),
        // What TCP takes a peer to have that names none (RFC 9293 3.7.1).
        Name::TCP_MAXSEG => Value::Number(options.max_segment.unwrap_or(536).into()),
        Name::TCP_KEEPIDLE => Value::Time(options.keepalive.unwrap_or(options.keepalive_times).idle),
        Name::TCP_KEEPINTVL => Value::Time(options.keepalive.unwrap_or(options.keepalive_times).interval),
        Name::TCP_KEEPCNT => Value::Number(options.keepalive.unwrap_or(options.keepalive_times).count),
        Name::TCP_USER_TIMEOUT => Value::Timeout(options.user_timeout),
        Name::TCP_DEFER_ACCEPT => Value::Timeout(options.defer_accept),
        Name::TCP_QUICKACK => Value::Flag(options.quick_ack),
        Name::TCP_CONGESTION => Value::Congestion(options.congestion),
        Name::TCP_WINDOW_CLAMP => Value::Limit(options.window_clamp),
        Name::TCP_NOTSENT_LOWAT => Value::Limit(options.unsent_low_water),
        Name::IP_TTL | Name::IPV6_UNICAST_HOPS => Value::Number(options.ttl.into()),
        Name::IP_TOS | Name::IPV6_TCLASS => Value::Number(options.tos.into()),
        Name::IP_MTU_DISCOVER | Name::IPV6_MTU_DISCOVER => Value::MtuDiscovery(options.mtu_discovery),
        Name::IPV6_V6ONLY => Value::Flag(options.only_v6),
        Name::IP_MTU | Name::IPV6_MTU => return Err(Error::NotConnected.into()),
        _ => return Err(no_such_option()),
    })
}
