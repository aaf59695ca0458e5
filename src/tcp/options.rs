//! A connection's settings (what the user chose) and what the two SYNs agreed on.

use super::cc::Congestion;
use super::config::BUFFER_RANGE;
use super::seq::Seq;
use crate::error::{Error, Result};
use crate::wire::tcp_options::TcpOptions as WireOptions;
use core::time::Duration;
use std::net::IpAddr;
use std::sync::Arc;

/// Settings of one connection, or of a listener for the connections it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Send small segments at once (TCP_NODELAY): Nagle's algorithm is off.
    pub nodelay: bool,
    /// TTL of its packets, 1 to 255.
    pub ttl: u8,
    /// DSCP and ECN byte of its packets.
    pub tos: u8,
    /// A listener on `::` takes no IPv4 (IPV6_V6ONLY). It matters when it begins to listen, and to nothing else.
    pub only_v6: bool,
    /// What `close` does with unsent data: `None` goes on in the background, zero resets the connection. (A longer
    /// time is the caller's to wait.)
    pub linger: Option<Duration>,
    /// Keepalive, off by default.
    pub keepalive: Option<Keepalive>,
    /// How long sent data may stay unacknowledged before the connection is given up (TCP_USER_TIMEOUT); `None` means by
    /// the retry limit.
    pub user_timeout: Option<Duration>,
    /// Send buffer in bytes; `None` lets it fit the path.
    pub send_buffer: Option<usize>,
    /// Receive buffer in bytes: the most that the window offers; `None` lets it fit the path.
    pub recv_buffer: Option<usize>,
    /// What is done about the path's MTU (IP_MTU_DISCOVER).
    pub mtu_discovery: MtuDiscovery,
    /// The number of the interface that its packets leave by, and alone come in by (SO_BINDTODEVICE); zero is whichever.
    pub interface: u8,
    /// Which congestion control governs what is sent (TCP_CONGESTION).
    pub congestion: Congestion,
    /// The most that is sent, in bytes a second (SO_MAX_PACING_RATE); `None` is no limit.
    pub max_pacing_rate: Option<u64>,
    /// Acknowledge all text at once (TCP_QUICKACK, but it stays).
    pub quick_ack: bool,
    /// How losses are found and repaired.
    pub loss_recovery: LossRecovery,
    /// Keepalive's times while it is off (TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT).
    pub keepalive_times: Keepalive,
    /// Send full segments only, until this is switched off, or 200 ms have passed (TCP_CORK).
    pub cork: bool,
    /// The largest MSS, in bytes, that is announced and used (TCP_MAXSEG); `None` is what the link carries.
    pub max_segment: Option<u16>,
    /// The most that the window offers, in bytes, whatever the receive buffer holds (TCP_WINDOW_CLAMP).
    pub window_clamp: Option<u32>,
    /// The socket takes no more data while so many bytes are written and not sent yet (TCP_NOTSENT_LOWAT).
    pub unsent_low_water: Option<u32>,
    /// Received bytes without which it is not readable, unless no more come (SO_RCVLOWAT).
    pub recv_low_water: u32,
    /// Retransmissions of a SYN, or of a listener's SYN,ACK (TCP_SYNCNT); `None` is the stack's setting.
    pub syn_retries: Option<u8>,
    /// How long a listener waits for a new connection's first data before it gives it to be accepted (TCP_DEFER_ACCEPT);
    /// `None` does not wait.
    pub defer_accept: Option<Duration>,
    /// How long a closed connection waits in FIN-WAIT-2 for the peer's FIN (TCP_LINGER2); `None` is the stack's setting.
    pub fin_wait2: Option<Duration>,
    /// The last urgent byte stays in the stream (SO_OOBINLINE). RFC 6093 4 wants it so, and it is the default.
    pub urgent_inline: bool,
    /// The mark of its packets (SO_MARK).
    pub mark: u32,
    /// The number of the interface that the stack's rules give the mark, or zero: its packets leave by that, if `interface`
    /// names none. The stack sets it.
    pub marked_interface: u8,
    /// A listener may have a port that connections have still (SO_REUSEADDR), as std's may, and as is the default.
    pub reuse_address: bool,
    /// Listeners that all have this share an address, each having a part of the peers (SO_REUSEPORT).
    pub reuse_port: bool,
}

/// Options that connections share with their listener until either changes them.
pub(crate) type SharedOptions = Arc<TcpOptions>;

/// How losses are found and repaired. Each part can be switched off, to see what it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossRecovery {
    /// How a loss is found where SACK is in use; without SACK it is by duplicate ACKs (RFC 6582).
    pub detection: LossDetection,
    /// Tail loss probes (RFC 8985 7), where SACK is in use.
    pub tail_probes: bool,
    /// Proportional rate reduction (RFC 6937), where SACK is in use.
    pub prr: bool,
    /// F-RTO (RFC 5682).
    pub frto: bool,
    /// Undoing a recovery that was for nothing, as DSACKs and time stamps say (RFC 3708, 3522, 4015).
    pub undo: bool,
    /// Telling the peer what came twice (RFC 2883).
    pub dsack: bool,
}

/// How a loss is found where SACK is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LossDetection {
    /// By time: something sent sufficiently later has arrived (RFC 8985).
    #[default]
    Rack,
    /// By count: three segments beyond it have arrived (RFC 6675).
    Rfc6675,
}

impl Default for LossRecovery {
    fn default() -> Self {
        let detection = LossDetection::Rack;
        LossRecovery { detection, tail_probes: true, prr: true, frto: true, undo: true, dsack: true }
    }
}

/// What a socket does about the MTU of its path (IP_MTU_DISCOVER of ip(7), IPV6_MTU_DISCOVER).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MtuDiscovery {
    /// Packets carry DF and fit what routers say; a datagram that is larger is fragmented here (IP_PMTUDISC_WANT).
    #[default]
    Want,
    /// The same, but a datagram that is larger is refused with `MessageTooLong` (IP_PMTUDISC_DO).
    Do,
    /// Packets carry no DF, and what routers say is ignored: they may fragment (IP_PMTUDISC_DONT). Over IPv6, where they
    /// never do, a datagram that is larger than its path is fragmented here.
    Dont,
    /// Packets carry DF, and what routers say is ignored, for programs that measure paths (IP_PMTUDISC_PROBE).
    Probe,
}

impl MtuDiscovery {
    /// Whether packets carry DF.
    pub fn dont_fragment(self) -> bool {
        self != MtuDiscovery::Dont
    }

    /// Whether what routers say counts.
    pub fn believes_routers(self) -> bool {
        matches!(self, MtuDiscovery::Want | MtuDiscovery::Do)
    }

    /// Whether TCP may find out by itself. Where routers fragment there is nothing to be found.
    pub(crate) fn searches(self) -> bool {
        self.dont_fragment()
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions {
            nodelay: false,
            ttl: 64,
            tos: 0,
            only_v6: false,
            linger: None,
            keepalive: None,
            user_timeout: None,
            send_buffer: None,
            recv_buffer: None,
            mtu_discovery: MtuDiscovery::Want,
            interface: 0,
            congestion: Congestion::default(),
            max_pacing_rate: None,
            quick_ack: false,
            loss_recovery: LossRecovery::default(),
            keepalive_times: Keepalive::default(),
            cork: false,
            max_segment: None,
            window_clamp: None,
            unsent_low_water: None,
            recv_low_water: 1,
            syn_retries: None,
            defer_accept: None,
            fin_wait2: None,
            urgent_inline: true,
            mark: 0,
            marked_interface: 0,
            reuse_address: true,
            reuse_port: false,
        }
    }
}

/// What TCP_MAXSEG takes on Linux, in bytes.
const MAX_SEGMENT_RANGE: core::ops::RangeInclusive<u16> = 88..=32_767;

/// The least that TCP_WINDOW_CLAMP leaves on Linux (SOCK_MIN_RCVBUF / 2), in bytes.
const MIN_WINDOW_CLAMP: u32 = 1152;

/// The most that TCP_SYNCNT takes on Linux.
const MAX_SYN_RETRIES: u8 = 127;

/// The most that TCP_KEEPIDLE and TCP_KEEPINTVL take on Linux.
const MAX_KEEPALIVE_TIME: Duration = Duration::from_secs(32_767);

/// The most that TCP_KEEPCNT takes on Linux.
const MAX_KEEPALIVE_COUNT: u32 = 127;

/// Keepalive's times (RFC 9293 3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Idle time before the first probe; 2 hours by default.
    pub idle: Duration,
    /// Time between probes; 75 s by default.
    pub interval: Duration,
    /// Unanswered probes before the connection is given up; 9 by default.
    pub count: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive { idle: Duration::from_secs(7200), interval: Duration::from_secs(75), count: 9 }
    }
}

impl Keepalive {
    fn is_in_range(&self) -> bool {
        let fits = |time: Duration| !time.is_zero() && time <= MAX_KEEPALIVE_TIME;
        fits(self.idle) && fits(self.interval) && (1..=MAX_KEEPALIVE_COUNT).contains(&self.count)
    }
}

impl TcpOptions {
    /// The size that a buffer gets when it is set to `bytes`, as SO_RCVBUF and SO_SNDBUF: the nearest of 1 KiB to 512 MiB.
    pub fn buffer_size(bytes: usize) -> usize {
        bytes.clamp(*BUFFER_RANGE.start(), *BUFFER_RANGE.end())
    }

    /// The window clamp that results when it is set to `bytes`, as TCP_WINDOW_CLAMP: 1152 at least.
    pub fn clamp(bytes: u32) -> u32 {
        bytes.max(MIN_WINDOW_CLAMP)
    }

    /// The number of the interface that its packets must leave by, if it is not zero.
    pub fn leaves_by(&self) -> u8 {
        if self.interface == 0 { self.marked_interface } else { self.interface }
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// `InvalidInput`, saying which is wrong.
    pub fn validate(&self) -> Result<()> {
        if self.ttl == 0 {
            return Err(Error::InvalidInput("a TTL of 0 cannot be sent"));
        }
        let mut keepalive = self.keepalive.iter().chain([&self.keepalive_times]);
        if !keepalive.all(Keepalive::is_in_range) {
            return Err(Error::InvalidInput(
                "keepalive is 1 to 127 probes, and its times are up to 32,767 s, and not zero",
            ));
        }
        if self.max_segment.is_some_and(|mss| !MAX_SEGMENT_RANGE.contains(&mss)) {
            return Err(Error::InvalidInput("a maximum segment size is 88 to 32,767 bytes"));
        }
        if self.window_clamp.is_some_and(|clamp| clamp < MIN_WINDOW_CLAMP) {
            return Err(Error::InvalidInput("a window is not clamped to less than 1152 bytes"));
        }
        if self.unsent_low_water == Some(0) || self.recv_low_water == 0 {
            return Err(Error::InvalidInput("a low-water mark must not be zero"));
        }
        if self.syn_retries.is_some_and(|retries| retries == 0 || retries > MAX_SYN_RETRIES) {
            return Err(Error::InvalidInput("a SYN is sent again 1 to 127 times"));
        }
        if self.user_timeout.is_some_and(|t| t.is_zero()) {
            return Err(Error::InvalidInput("a user time-out must not be zero"));
        }
        if self.max_pacing_rate == Some(0) {
            return Err(Error::InvalidInput("a pacing rate of zero sends nothing"));
        }
        if [self.send_buffer, self.recv_buffer].iter().flatten().any(|size| !BUFFER_RANGE.contains(size)) {
            return Err(Error::InvalidInput("buffers are 1 KiB to 512 MiB"));
        }
        Ok(())
    }
}

/// What the SYNs agreed on, from our side.
#[derive(Clone, Copy, Debug, Default)]
pub struct Negotiated {
    /// The MSS that bounds what we send: the smaller of the peer's and our link's, options not yet taken off.
    pub mss: u16,
    /// The peer's alone: our link's may change.
    pub peer_mss: u16,
    /// Shift of the window that the peer announces.
    pub snd_shift: u8,
    /// Shift of the window that we announce.
    pub rcv_shift: u8,
    /// Whether both sides offered window scaling.
    pub window_scaling: bool,
    /// Whether SACK blocks may be sent and are understood (RFC 2018).
    pub sack: bool,
    /// Whether both ends understand marks instead of losses (RFC 3168).
    pub ecn: bool,
    /// Set if time stamps are in use (RFC 7323).
    pub timestamps: Option<Timestamps>,
}

/// Time stamps' state (RFC 7323 4).
#[derive(Clone, Copy, Debug, Default)]
pub struct Timestamps {
    /// Added to our clock of milliseconds, so that it tells nobody our uptime (7.1).
    pub offset: u32,
    /// TS.Recent: the peer's latest valid time stamp.
    pub recent: u32,
    /// When TS.Recent was set.
    pub recent_at: crate::time::Instant,
    /// Last.ACK.sent.
    pub last_ack_sent: Seq,
}

/// TS.Recent counts no more after 24 days, when its sign could be wrong (RFC 7323 5.5).
const TS_RECENT_LIFE: Duration = Duration::from_secs(24 * 24 * 3600);

impl Timestamps {
    /// Our clock at `now`: 1 ms a tick.
    pub fn value(&self, now: crate::time::Instant) -> u32 {
        (now.as_millis() as u32).wrapping_add(self.offset)
    }

    /// The time-stamps option of a segment sent at `now`.
    pub fn option(&self, now: crate::time::Instant) -> (u32, u32) {
        (self.value(now), self.recent)
    }

    /// How long ago the time stamp that the peer echoes was sent, or `None` if it was never ours to send.
    pub fn elapsed(&self, now: crate::time::Instant, echo: u32) -> Option<Duration> {
        let ticks = self.value(now).wrapping_sub(echo);
        (ticks < 1 << 31 && u64::from(ticks) <= now.as_millis()).then(|| Duration::from_millis(u64::from(ticks)))
    }

    /// PAWS (RFC 7323 5.3, R1): whether a segment with `value` is an old duplicate.
    pub fn is_old(&self, now: crate::time::Instant, value: u32) -> bool {
        (value.wrapping_sub(self.recent) as i32) < 0 && now.since(self.recent_at) < TS_RECENT_LIFE
    }

    /// Takes the time stamp of a valid segment, if the segment reaches back to the last ACK that we sent
    /// (RFC 7323 4.3), so that a delayed ACK echoes the earliest.
    pub fn update(&mut self, now: crate::time::Instant, seq: Seq, value: u32) {
        if !self.is_old(now, value) && seq.at_or_before(self.last_ack_sent) {
            self.recent = value;
            self.recent_at = now;
        }
    }
}

/// What a SYN or SYN,ACK of the peer told us.
#[derive(Clone, Copy, Debug)]
pub struct PeerSyn {
    /// Its MSS, floored; if it named none, 536 over IPv4 and 1220 over IPv6 (RFC 9293 3.7.1, MUST-15).
    pub mss: u16,
    /// Its window scale, at most 14.
    pub window_scale: Option<u8>,
    /// Whether it understands SACK.
    pub sack: bool,
    /// Its time stamp.
    pub timestamp: Option<u32>,
}

/// The MSS of a peer that names none: the smallest packet that every host takes, less 40 or 60 bytes of headers.
const DEFAULT_MSS_V4: u16 = 536;
const DEFAULT_MSS_V6: u16 = 1220;
/// The largest shift (RFC 7323 2.3); a larger one counts as this.
const MAX_SHIFT: u8 = 14;

impl PeerSyn {
    /// Reads the options of a SYN from `addr`. An MSS of zero counts as none; one below `min_mss` as `min_mss`.
    pub fn read(options: &WireOptions, addr: IpAddr, min_mss: u16) -> Self {
        let default = if addr.is_ipv4() { DEFAULT_MSS_V4 } else { DEFAULT_MSS_V6 };
        let mss = options.mss.filter(|&m| m != 0).unwrap_or(default);
        PeerSyn {
            mss: mss.max(min_mss),
            window_scale: options.window_scale.map(|s| s.min(MAX_SHIFT)),
            sack: options.sack_permitted,
            timestamp: options.timestamps.map(|(value, _)| value),
        }
    }
}

/// The smallest shift that lets a window of `buffer` bytes be announced in 16 bits.
pub fn window_shift(buffer: usize) -> u8 {
    (0..MAX_SHIFT).find(|&s| (65_535usize << s) >= buffer).unwrap_or(MAX_SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn shifts_cover_the_buffer() {
        assert_eq!(
            (window_shift(65_535), window_shift(65_536), window_shift(1 << 18), window_shift(1 << 30)),
            (0, 1, 3, 14)
        );
    }

    /// MUST-15.
    #[test]
    fn a_syns_options_are_floored_and_clamped() {
        let (v4, v6) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
        let read = |mss, window_scale| {
            let peer = PeerSyn::read(&WireOptions { mss, window_scale, ..Default::default() }, v4, 48);
            (peer.mss, peer.window_scale)
        };
        assert_eq!(PeerSyn::read(&WireOptions::default(), v6, 48).mss, 1220);
        assert_eq!(read(None, None), (536, None));
        assert_eq!(read(Some(0), Some(15)), (536, Some(14)));
        assert_eq!(read(Some(1), Some(255)), (48, Some(14)));
        assert_eq!(read(Some(9000), Some(7)), (9000, Some(7)));
    }

    #[test]
    fn old_time_stamps_count_no_more_after_24_days() {
        let mut ts = Timestamps { recent: 1000, ..Default::default() };
        let soon = Instant::from_millis(5);
        assert!(ts.is_old(soon, 999) && !ts.is_old(soon, 1000) && !ts.is_old(soon, 1000 + (1 << 30)));
        assert!(!ts.is_old(Instant::ZERO + TS_RECENT_LIFE, 999));
        ts.last_ack_sent = Seq(50);
        ts.update(soon, Seq(51), 2000);
        assert_eq!(ts.recent, 1000, "a later segment does not move it: a delayed ACK echoes the earliest");
        ts.update(soon, Seq(50), 2000);
        assert_eq!((ts.recent, ts.recent_at), (2000, soon));
    }

    #[test]
    fn echoes_of_what_we_never_sent_are_no_measurement() {
        let ts = Timestamps { offset: 0xffff_fff0, ..Default::default() };
        let now = Instant::from_millis(100);
        let sent = ts.value(Instant::from_millis(70));
        assert_eq!(ts.elapsed(now, sent), Some(Duration::from_millis(30)));
        assert_eq!(ts.elapsed(now, ts.value(now).wrapping_add(1)), None);
        assert_eq!(ts.elapsed(now, ts.offset.wrapping_sub(1)), None);
    }
}
