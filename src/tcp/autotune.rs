//! Buffers that fit the path. A sender can have no more in flight than a buffer takes, at either end; more than twice what
//! is in flight is only a queue. So both buffers start small and grow with the connection, unless the user has said how
//! large they are.
//!
//! The send buffer follows the congestion window, which knows the path, but not downwards. The receive buffer follows what
//! the user reads in a round trip (dynamic right-sizing: Fisk and Feng, 2001): if that is more than half of what fits, the
//! sender may have been held back, and the buffer doubles.

use super::config::TcpConfig;
use super::connection::Tcb;
use super::options::TcpOptions;
use super::segment::Segment;
use crate::buf::Slices;
use crate::time::Instant;
use core::time::Duration;

/// What a buffer may hold, in bytes: at first, and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// At first, and again after a pause.
    pub initial: usize,
    /// When tuned.
    pub most: usize,
}

impl Range {
    /// Nothing is tuned.
    pub const NONE: Range = Range { initial: 0, most: 0 };

    /// The receive buffer's, which holds no more than its window may offer.
    pub fn recv(config: &TcpConfig, options: &TcpOptions) -> Self {
        let range = Range::new(options.recv_buffer, config.recv_buffer, config.recv_buffer_max);
        match options.window_clamp {
            Some(clamp) => Range { initial: range.initial.min(clamp as usize), most: range.most.min(clamp as usize) },
            None => range,
        }
    }

    /// The send buffer's.
    pub fn send(config: &TcpConfig, options: &TcpOptions) -> Self {
        Range::new(options.send_buffer, config.send_buffer, config.send_buffer_max)
    }

    /// What the user has fixed is not tuned.
    fn new(fixed: Option<usize>, initial: usize, most: usize) -> Self {
        match fixed {
            Some(size) => Range { initial: size, most: size },
            None => Range { initial, most: most.max(initial) },
        }
    }
}

/// Shorter round trips count as this long: what the sender, the kernel and our driver do in batches takes as much, however
/// short the path is.
const SHORTEST: Duration = Duration::from_millis(1);

/// Who has read nothing for so long starts with the initial size again.
const PAUSE: Duration = Duration::from_secs(10);

/// What the receive buffer's size follows from.
#[derive(Clone, Debug)]
pub struct RecvTuning {
    /// When the round trip that is being measured began.
    since: Instant,
    /// Bytes that the user has read since then.
    read: u32,
    /// The least age of a time stamp of ours that text has echoed since the last pause, in milliseconds: what the path
    /// takes, not what a queue adds. A window measured by the queue that it makes would have no end.
    echo: u32,
}

impl RecvTuning {
    /// Nothing has been read yet.
    pub fn new(now: Instant) -> Self {
        RecvTuning { since: now, read: 0, echo: u32::MAX }
    }

    /// Text echoes a time stamp that we sent so long ago: a round trip takes no longer, but for the time that the peer had
    /// nothing to send.
    fn on_echo(&mut self, age: Duration) {
        self.echo = self.echo.min(u32::try_from(age.as_millis()).unwrap_or(u32::MAX));
    }

    /// The user has read `n` bytes of a buffer for `capacity`. Gives what it is to hold from now on. `srtt` is the round
    /// trip as the sending side knows it; if neither knows it, it takes no longer than until a whole window has come.
    fn on_read(&mut self, n: usize, now: Instant, srtt: Option<Duration>, capacity: usize, range: Range) -> usize {
        let elapsed = now.since(self.since);
        if elapsed >= PAUSE {
            *self = RecvTuning::new(now);
            return range.initial;
        }
        self.read = self.read.saturating_add(n as u32);
        let echo = (self.echo != u32::MAX).then(|| Duration::from_millis(self.echo.into()));
        let over = match echo.or(srtt) {
            Some(round_trip) => elapsed >= round_trip.max(SHORTEST),
            None => self.read as usize >= capacity,
        };
        if !over {
            return capacity;
        }
        let read = self.read as usize;
        (self.since, self.read) = (now, 0);
        if read > capacity / 2 { (2 * read.max(capacity)).min(range.most).max(capacity) } else { capacity }
    }
}

impl Tcb {
    /// Text has come with a time stamp that says how long ago the peer heard of us.
    pub(super) fn note_echo(&mut self, segment: &Segment, now: Instant) {
        if let (Some(ours), Some((_, echo))) = (&self.negotiated.timestamps, segment.options.timestamps)
            && let Some(age) = ours.elapsed(now, echo)
        {
            self.rcv.tuning.on_echo(age);
        }
    }

    /// Takes up to `max` bytes for the user, and lets the buffer grow within `range` if that is what holds the peer back.
    /// The last urgent byte is in line with the others, or is left out.
    pub fn read(&mut self, max: usize, now: Instant, range: Range, urgent_inline: bool) -> Slices {
        let slices = self.rcv.read(max, urgent_inline);
        let (capacity, srtt) = (self.rcv.buffer.capacity(), self.rtt.srtt());
        if range.most > range.initial {
            let n = slices.iter().map(|slice| slice.len()).sum();
            self.rcv.buffer.set_capacity(self.rcv.tuning.on_read(n, now, srtt, capacity, range));
        }
        slices
    }

    /// What the send buffer may hold: twice what may fly, so that there is always more to send when an ACK comes.
    pub fn send_limit(&self, range: Range) -> usize {
        let flies = self.cc.widest().min(self.snd.max_wnd) as usize;
        (2 * flies).clamp(range.initial, range.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;
    const RANGE: Range = Range { initial: 128 * KIB, most: 1024 * KIB };
    const RTT: Option<Duration> = Some(Duration::from_millis(20));

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn it_grows_when_more_than_half_is_read_in_a_round_trip() {
        let mut t = RecvTuning::new(at(0));
        assert_eq!(t.on_read(100 * KIB, at(19), RTT, 128 * KIB, RANGE), 128 * KIB, "not a round trip yet");
        assert_eq!(t.on_read(KIB, at(20), RTT, 128 * KIB, RANGE), 256 * KIB);
        assert_eq!(t.on_read(128 * KIB, at(40), RTT, 256 * KIB, RANGE), 256 * KIB, "half is enough for the path");
        assert_eq!(t.on_read(400 * KIB, at(60), RTT, 256 * KIB, RANGE), 800 * KIB, "twice what is read");
        assert_eq!(t.on_read(800 * KIB, at(80), RTT, 800 * KIB, RANGE), RANGE.most);
        assert_eq!(t.on_read(900 * KIB, at(100), RTT, 2048 * KIB, RANGE), 2048 * KIB, "it never shrinks by reading");
    }

    #[test]
    fn a_pause_ends_with_the_initial_size() {
        let mut t = RecvTuning::new(at(0));
        assert_eq!(t.on_read(900 * KIB, at(10_000), RTT, 1024 * KIB, RANGE), RANGE.initial);
        assert_eq!(t.on_read(900 * KIB, at(10_020), RTT, 1024 * KIB, RANGE), 1024 * KIB);
    }

    #[test]
    fn echoes_tell_the_round_trip_and_where_nothing_does_a_window_is_one() {
        let mut t = RecvTuning::new(at(0));
        t.on_echo(Duration::from_millis(900)); // the peer had nothing to send
        t.on_echo(Duration::from_millis(50));
        assert_eq!(t.on_read(100 * KIB, at(49), RTT, 128 * KIB, RANGE), 128 * KIB);
        assert_eq!(t.on_read(0, at(50), RTT, 128 * KIB, RANGE), 256 * KIB);
        t.on_echo(Duration::from_millis(200)); // a queue
        assert_eq!(t.on_read(250 * KIB, at(100), RTT, 256 * KIB, RANGE), 512 * KIB);
        t.on_echo(Duration::ZERO);
        assert_eq!(t.on_read(200 * KIB, at(100), RTT, 256 * KIB, RANGE), 256 * KIB, "nothing is measured in no time");
        assert_eq!(t.on_read(0, at(101), RTT, 256 * KIB, RANGE), 512 * KIB);
        let mut t = RecvTuning::new(at(101));
        assert_eq!(t.on_read(500 * KIB, at(5_000), None, 512 * KIB, RANGE), 512 * KIB);
        assert_eq!(t.on_read(12 * KIB, at(6_000), None, 512 * KIB, RANGE), 1024 * KIB);
    }

    #[test]
    fn what_the_user_has_fixed_is_not_tuned() {
        let config = TcpConfig { recv_buffer: 100, recv_buffer_max: 1000, send_buffer_max: 0, ..TcpConfig::default() };
        let mut options = TcpOptions::default();
        assert_eq!(Range::recv(&config, &options), Range { initial: 100, most: 1000 });
        assert_eq!(Range::send(&config, &options), Range { initial: config.send_buffer, most: config.send_buffer });
        options.recv_buffer = Some(5000);
        assert_eq!(Range::recv(&config, &options), Range { initial: 5000, most: 5000 });
    }
}
