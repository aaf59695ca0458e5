//! How much may fly and how fast: congestion control (RFC 5681).
//!
//! What was lost is decided in [`recovery`](super::recovery); a controller only hears of it, and answers with a window and,
//! if it wants to, with a rate. Which one a connection has is the user's choice, [`Congestion`]; a controller of the user's
//! own is anything that implements [`CongestionControl`]. `docs/congestion-control.md` tells how to write one.

mod bbr;
mod bbr3;
mod cubic;
mod hystart;
mod model;
mod newreno;
#[cfg(test)]
mod path;

pub use bbr::Bbr;
pub use bbr3::Bbr3;
pub use cubic::Cubic;
pub use hystart::HyStart;
pub use newreno::NewReno;

use super::rate::PathSample;
use super::sample::AckSample;
use crate::error::Error;
use crate::time::Instant;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// No window needs to be larger: it is what the largest scaled receive window allows.
pub const MAX_CWND: u32 = 1 << 30;

/// What a controller hears, and what it answers. All sizes are in bytes, all rates in bytes a second.
pub trait CongestionControl: fmt::Debug + core::marker::Send {
    /// Its name, as TCP_CONGESTION and `--cc` have it.
    fn name(&self) -> &'static str;
    /// New data is sent at `now`, where `in_flight` bytes flew before. `app_limited` says whether there was less to send
    /// than might have flown.
    fn on_sent(&mut self, now: Instant, in_flight: u32, app_limited: bool) {
        let _ = (now, in_flight, app_limited);
    }
    /// An ACK delivered something, or showed that something was lost; in any phase of recovery. If not `limited`, the
    /// window was not what held the sender back: it proves nothing and must not grow (RFC 7661's reason, RFC 9438 4.6's
    /// words).
    fn on_ack(&mut self, ack: &AckSample, path: &PathSample);
    /// A loss was found and fast recovery begins, with `flight` bytes outstanding; once a window.
    fn on_congestion(&mut self, flight: u32);
    /// The peer echoes that a router marked a packet instead of dropping it (RFC 3168 6.1.2); once a window.
    fn on_ecn(&mut self, flight: u32) {
        self.on_congestion(flight);
    }
    /// Loss recovery is over with `flight` bytes outstanding. If output is `paced`, a window that is larger makes no burst
    /// (RFC 6582 3.2, step 3).
    fn on_recovered(&mut self, flight: u32, paced: bool);
    /// The retransmission timer ran out, with `flight` bytes outstanding, of which `in_flight` were sent too lately to be
    /// taken for lost; `first` for the same data.
    fn on_rto(&mut self, flight: u32, in_flight: u32, first: bool);
    /// The last [`on_congestion`](Self::on_congestion) or [`on_rto`](Self::on_rto) was for nothing: what was taken for lost
    /// has arrived. The window and the threshold from before it count again, if they are larger (RFC 4015, 5682).
    fn on_spurious(&mut self);
    /// Nothing was sent for longer than an RTO (RFC 5681 4.1).
    fn on_idle(&mut self);
    /// For an RTO the window was not what held the sender back: no more than `used` bytes flew (RFC 2861 3.2).
    fn on_unused(&mut self, used: u32) {
        let _ = used;
    }
    /// The segment size changed.
    fn on_mss(&mut self, mss: u32);
    /// The congestion window.
    fn window(&self) -> u32;
    /// Whether fast recovery sends by proportional rate reduction towards `ssthresh` (RFC 6937) instead of by the window.
    fn uses_prr(&self) -> bool {
        true
    }
    /// The slow-start threshold, `u32::MAX` before the first loss.
    fn ssthresh(&self) -> u32;
    /// How fast to send; `None` lets it follow from the window and the round-trip time.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }
    /// Whether the controller itself sends less than it could just now, so that what is measured proves nothing.
    fn holds_back(&self) -> bool {
        false
    }
    /// What it is doing, in a word, for `ss`.
    fn phase(&self) -> &'static str;
}

/// What a controller starts with.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// When.
    pub now: Instant,
    /// Bytes of text in a full segment.
    pub mss: u32,
    /// The window, in bytes: the initial one (RFC 6928), or what the controller before it has left.
    pub window: u32,
    /// The slow-start threshold in bytes; `u32::MAX` at the connection's start.
    pub ssthresh: u32,
    /// Round-trip time, once measured.
    pub srtt: Option<Duration>,
    /// A number that differs from connection to connection, for what is to be done at random.
    pub seed: u32,
}

/// A controller of the user's own: its name, and how one is made for a connection.
pub struct UserControl {
    /// What [`Congestion`]'s name is then.
    pub name: &'static str,
    /// Makes one.
    pub make: fn(&Start) -> Box<dyn CongestionControl>,
}

/// Which congestion control a connection has (TCP_CONGESTION).
#[derive(Clone, Copy, Default)]
pub enum Congestion {
    /// RFC 5681 and 6582: `newreno`.
    NewReno,
    /// RFC 9438 with HyStart++ (RFC 9406): `cubic`.
    #[default]
    Cubic,
    /// BBR, version 1: `bbr`.
    Bbr,
    /// BBR, version 3, which hears of loss and of ECN: `bbr3`.
    Bbr3,
    /// The user's own.
    User(&'static UserControl),
}

impl Congestion {
    /// Those that are built in.
    pub const ALL: [Congestion; 4] = [Congestion::NewReno, Congestion::Cubic, Congestion::Bbr, Congestion::Bbr3];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Congestion::NewReno => "newreno",
            Congestion::Cubic => "cubic",
            Congestion::Bbr => "bbr",
            Congestion::Bbr3 => "bbr3",
            Congestion::User(own) => own.name,
        }
    }
}

impl PartialEq for Congestion {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Congestion::User(a), Congestion::User(b)) => core::ptr::eq(*a, *b),
            (Congestion::User(_), _) | (_, Congestion::User(_)) => false,
            (a, b) => core::mem::discriminant(a) == core::mem::discriminant(b),
        }
    }
}

impl Eq for Congestion {}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Congestion {
    type Err = Error;

    /// One of those that are built in, by its name; `reno` is `newreno`, as Linux calls it.
    fn from_str(name: &str) -> Result<Self, Error> {
        let name = if name == "reno" { "newreno" } else { name };
        Congestion::ALL
            .into_iter()
            .find(|c| c.name() == name)
            .ok_or(Error::InvalidInput("congestion control is newreno, cubic, bbr or bbr3"))
    }
}

/// The controller of a connection.
#[derive(Debug)]
pub enum Cc {
    /// RFC 5681 and 6582.
    NewReno(NewReno),
    /// RFC 9438.
    Cubic(Cubic),
    /// BBR v1.
    Bbr(Box<Bbr>),
    /// BBR v3.
    Bbr3(Box<Bbr3>),
    /// The user's own.
    User(Box<dyn CongestionControl>),
}

impl Cc {
    /// The controller that was chosen.
    pub fn new(choice: Congestion, start: &Start) -> Self {
        match choice {
            Congestion::NewReno => Cc::NewReno(NewReno::new(start)),
            Congestion::Cubic => Cc::Cubic(Cubic::new(start)),
            Congestion::Bbr => Cc::Bbr(Box::new(Bbr::new(start))),
            Congestion::Bbr3 => Cc::Bbr3(Box::new(Bbr3::new(start))),
            Congestion::User(own) => Cc::User((own.make)(start)),
        }
    }

    /// Whichever it is.
    pub fn control(&self) -> &dyn CongestionControl {
        match self {
            Cc::NewReno(c) => c,
            Cc::Cubic(c) => c,
            Cc::Bbr(c) => &**c,
            Cc::Bbr3(c) => &**c,
            Cc::User(c) => &**c,
        }
    }

    /// Whichever it is.
    pub fn control_mut(&mut self) -> &mut dyn CongestionControl {
        match self {
            Cc::NewReno(c) => c,
            Cc::Cubic(c) => c,
            Cc::Bbr(c) => &mut **c,
            Cc::Bbr3(c) => &mut **c,
            Cc::User(c) => &mut **c,
        }
    }
}

/// IW = min(10 * MSS, max(2 * MSS, 14600)) (RFC 6928 2); after a lost SYN one segment (RFC 5681 3.1).
pub fn initial_window(mss: u32, lost_syn: bool) -> u32 {
    if lost_syn { mss } else { (10 * mss).min(14_600.max(2 * mss)) }
}

/// A window of `cwnd` bytes after segments of `old` bytes have become segments of `new`: no more segments than before (RFC
/// 5681 3.1, RFC 4821 4), and no more bytes.
fn rescaled(cwnd: u32, old: u32, new: u32) -> u32 {
    let share = u64::from(cwnd) * u64::from(new.min(old)) / u64::from(old.max(1));
    u32::try_from(share).unwrap_or(MAX_CWND).max(new)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::tcp::recovery::Phase;

    pub(in crate::tcp) const MSS: u32 = 1000;

    pub(in crate::tcp) fn start() -> Start {
        Start {
            now: Instant::ZERO,
            mss: MSS,
            window: initial_window(MSS, false),
            ssthresh: u32::MAX,
            srtt: None,
            seed: 7,
        }
    }

    /// An ACK of `acked` bytes in sequence at `now`.
    pub(in crate::tcp) fn ack(now: Instant, acked: u32, limited: bool) -> AckSample {
        AckSample {
            now,
            acked,
            delivered: acked,
            sacked: 0,
            lost: 0,
            rtt: None,
            prior_in_flight: acked,
            in_flight: 0,
            limited,
            phase: Phase::Open,
            mending: false,
            newest: None,
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for choice in Congestion::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            assert_eq!(Cc::new(choice, &start()).control().name(), choice.name());
            assert_eq!(Cc::new(choice, &start()).control().window(), 10 * MSS);
        }
        assert_eq!("reno".parse(), Ok(Congestion::NewReno));
        assert!("vegas".parse::<Congestion>().is_err());
    }

    /// 5681-13 4821-6 4821-7: smaller segments: as many as before; larger ones: as many bytes.
    #[test]
    fn windows_follow_the_segment_size() {
        for choice in Congestion::ALL {
            let mut cc = Cc::new(choice, &Start { window: 40 * MSS, ..start() });
            for (mss, window) in [(MSS / 2, 20 * MSS), (2 * MSS, 20 * MSS), (MSS, 10 * MSS), (100 * MSS, 100 * MSS)] {
                cc.control_mut().on_mss(mss);
                assert_eq!(cc.control().window(), window, "{choice} {mss}");
            }
        }
    }

    /// 6928-1.
    #[test]
    fn initial_windows() {
        let iw = |mss| initial_window(mss, false);
        assert_eq!((iw(1460), iw(536), iw(9000)), (14_600, 5360, 18_000));
        assert_eq!(initial_window(1460, true), 1460);
    }
}
