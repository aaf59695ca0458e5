//! LISTEN (RFC 9293 3.10.7.2): a listener is no connection. It has a SYN queue, whose members are counted here and
//! stored with all other connections, and an accept queue.

use super::connection::Cx;
use super::options::{SharedOptions, TcpOptions};
use super::segment::Segment;
use super::syncookie::PERIOD_SECONDS;
use crate::stats::DropReason;
use crate::time::Instant;
use core::time::Duration;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Cookies are looked for only this long after one was sent, so that nobody can forge one into a quiet listener.
const COOKIES_OUT: Duration = Duration::from_secs(2 * PERIOD_SECONDS);

/// What a listener does about a segment that belongs to no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnListen {
    /// Discard it.
    Drop(DropReason),
    /// Answer with RST.
    Reset,
    /// Open a connection.
    Open,
    /// Answer with a SYN cookie and remember nothing.
    SendCookie,
    /// It may be a SYN cookie coming back.
    CheckCookie,
}

/// A listener.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens; an unspecified address means every address of ours.
    pub local: SocketAddr,
    /// Whether one on `::` takes no IPv4.
    pub only_v6: bool,
    /// The options of the connections that it accepts, which they share.
    pub options: SharedOptions,
    /// Established connections that it may hold for `accept`.
    pub backlog: usize,
    /// Connections in SYN-RECEIVED.
    pub syn_queue: usize,
    /// Established connections to be accepted, by their numbers in the stack's table.
    pub accept_queue: VecDeque<u32>,
    cookies_until: Option<Instant>,
}

impl Listener {
    /// A listener with empty queues.
    pub fn new(local: SocketAddr, backlog: usize, options: TcpOptions) -> Self {
        let only_v6 = options.only_v6;
        Listener {
            local,
            only_v6,
            options: options.into(),
            backlog,
            syn_queue: 0,
            accept_queue: VecDeque::new(),
            cookies_until: None,
        }
    }

    /// Whether no more established connections fit. Linux's custom: the final ACK and new SYNs are dropped in silence,
    /// the peer will try again.
    pub fn is_full(&self) -> bool {
        self.accept_queue.len() >= self.backlog
    }

    /// A SYN was answered with a cookie: look out for its ACK, until the time that is given.
    pub fn sent_cookie(&mut self, now: Instant) -> Instant {
        let until = now + COOKIES_OUT;
        self.cookies_until = Some(until);
        until
    }

    /// The ACK of a cookie that was sent elsewhere may come here until then.
    pub fn look_for_cookies(&mut self, until: Instant) {
        self.cookies_until = self.cookies_until.max(Some(until));
    }

    /// RFC 9293 3.10.7.2: first RST, second ACK, third SYN.
    pub fn on_segment(&self, segment: &Segment, max_syn_queue: usize, now: Instant) -> OnListen {
        let flags = segment.flags;
        if flags.rst() {
            return OnListen::Drop(DropReason::TcpListenIgnored);
        }
        if flags.ack() {
            let cookies_out = !flags.syn() && self.cookies_until.is_some_and(|until| now < until);
            return if cookies_out { OnListen::CheckCookie } else { OnListen::Reset };
        }
        if !flags.syn() {
            return OnListen::Drop(DropReason::TcpListenIgnored);
        }
        if self.is_full() {
            return OnListen::Drop(DropReason::TcpAcceptQueueFull);
        }
        if self.syn_queue >= max_syn_queue {
            return OnListen::SendCookie;
        }
        OnListen::Open
    }
}

/// The SYN,ACK with a cookie, and what a returned cookie brings to life.
pub mod cookie {
    use super::{Cx, Segment};
    use crate::tcp::autotune::Range;
    use crate::tcp::connection::Connection;
    use crate::tcp::handshake::Handshake;
    use crate::tcp::options::{PeerSyn, Timestamps, window_shift};
    use crate::tcp::segment::SegmentOut;
    use crate::tcp::state::{Event, State};
    use crate::tcp::syncookie::{Cookie, CookieJar, mark_timestamp, read_timestamp};
    use crate::trace::What;
    use crate::wire::tcp::Flags;
    use crate::wire::tcp_options::TcpOptions as WireOptions;

    /// The SYN,ACK that answers `syn`.
    pub fn send(jar: &CookieJar, syn: &Segment, timestamp_offset: u32, cx: &mut Cx<'_>) -> SegmentOut {
        let config = cx.config;
        let peer = PeerSyn::read(&syn.options, cx.tuple.remote_addr, config.min_mss);
        let iss = jar.bake(&cx.tuple, syn.seq, peer.mss, cx.now);
        let clock = Timestamps { offset: timestamp_offset, ..Timestamps::default() }.value(cx.now);
        // Without time stamps there is no place to keep scale and SACK in, so neither is agreed on.
        let timestamps =
            peer.timestamp.filter(|_| config.timestamps).map(|recent| (mark_timestamp(clock, &peer), recent));
        let keeps = timestamps.is_some();
        let buffer = Range::recv(config, cx.options);
        cx.stats.cookies_sent += 1;
        cx.note(What::CookieSent);
        SegmentOut {
            wnd: u16::try_from(buffer.initial).unwrap_or(u16::MAX),
            options: WireOptions {
                mss: Some(cx.link_mss),
                window_scale: peer
                    .window_scale
                    .filter(|_| keeps && config.window_scaling)
                    .map(|_| window_shift(buffer.most)),
                sack_permitted: keeps && peer.sack && config.sack,
                timestamps,
                ..WireOptions::default()
            },
            ..SegmentOut::bare(iss, syn.seq + 1, Flags::SYN | Flags::ACK)
        }
    }

    /// The connection that the ACK of a good cookie stands for.
    ///
    /// # Errors
    /// The cookie, if it is not good.
    pub fn accept(
        jar: &CookieJar,
        ack: &Segment,
        timestamp_offset: u32,
        cx: &mut Cx<'_>,
    ) -> Result<Connection, Cookie> {
        let (iss, irs) = (ack.ack - 1, ack.seq - 1);
        let mss = match jar.check(&cx.tuple, irs, iss, cx.now) {
            Cookie::Good { mss } => mss,
            other => return Err(other),
        };
        let timestamp = ack.options.timestamps.filter(|_| cx.config.timestamps);
        let (window_scale, sack) = timestamp.map_or((None, false), |(_, echo)| read_timestamp(echo));
        let peer = PeerSyn { mss, window_scale, sack, timestamp: timestamp.map(|(value, _)| value) };
        let handshake = Handshake::from_cookie(iss, irs, peer, ack.wnd, timestamp_offset, cx);
        cx.transition(State::Listen, Event::RcvAckOfSyn);
        cx.stats.cookies_accepted += 1;
        cx.stats.passive_opens += 1;
        Ok(Connection::Synchronized(Box::new(handshake.establish(cx))))
    }
}
