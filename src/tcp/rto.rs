//! The retransmission timer (RFC 6298 5) and how long to go on trying (RFC 9293 3.8.3: R1 and R2).
//!
//! The timer has no on and off: [`Connection`](super::connection::Connection) computes its deadline from what is
//! outstanding. Here stands only since when it runs and how far it is backed off. The same timer paces zero-window
//! probes (RFC 9293 3.8.6.1), for which backing off without end is right and giving up is not.

use super::config::TcpConfig;
use super::rtt::Rtt;
use crate::time::{Instant, nanos};
use core::time::Duration;

/// The timer's state.
#[derive(Clone, Debug)]
pub struct RtoTimer {
    /// Since when the timer runs, while anything is outstanding.
    base: Instant,
    /// How often the RTO is doubled: once for each time-out since the last ACK that was clear (Karn; RFC 6298 5.7).
    backoff: u8,
    /// How often it ran out since anything was acknowledged.
    tries: u16,
    /// Time-outs in a row that the peer answered with nothing at all.
    unanswered: u16,
    /// Since when the peer owes an answer.
    owed_since: Instant,
    /// Whether the SYN had to be sent again.
    lost_syn: bool,
}

/// Doublings that outlive an ACK which may answer either transmission. Karn's rule would keep them all until there is a
/// measurement, which a link that loses much may not allow for minutes; three are enough for a round trip that has become
/// eight times as long.
const MAX_UNCLEAR_BACKOFF: u8 = 3;

/// RFC 6298 5.7: the RTO when data start after a SYN was lost.
const RTO_AFTER_LOST_SYN: Duration = Duration::from_secs(3);

impl RtoTimer {
    /// A timer that starts at `now`.
    pub fn new(now: Instant) -> Self {
        RtoTimer { base: now, backoff: 0, tries: 0, unanswered: 0, owed_since: now, lost_syn: false }
    }

    /// The SYN had to be sent again.
    pub fn on_lost_syn(&mut self) {
        self.lost_syn = true;
    }

    /// Something became outstanding where nothing was.
    pub fn start(&mut self, now: Instant) {
        self.restart(now);
        self.owed_since = now;
    }

    /// Runs it anew with the same back-off (RFC 6298 5.3).
    pub fn restart(&mut self, now: Instant) {
        self.base = now;
    }

    /// New data was acknowledged: the path works. Only if the ACK was `clear`, so that it measured the path, does the RTO
    /// fall back all the way to what the measurements say (RFC 6298 5).
    pub fn on_progress(&mut self, now: Instant, clear: bool) {
        self.backoff = if clear { 0 } else { self.backoff.min(MAX_UNCLEAR_BACKOFF) };
        self.tries = 0;
        self.unanswered = 0;
        self.start(now);
    }

    /// The path was measured although something had been sent again: no doubling stays.
    pub fn on_measured(&mut self) {
        self.backoff = 0;
    }

    /// Since when it runs.
    pub fn since(&self) -> Instant {
        self.base
    }

    /// The peer answered, to a zero-window probe (RFC 9293 MUST-37) or with a partial ACK: it lives, and the connection
    /// stays. The timer runs on.
    pub fn on_answer(&mut self, now: Instant) {
        self.unanswered = 0;
        self.owed_since = now;
    }

    /// The timer ran out at `now` (RFC 6298 5.5, 5.6).
    pub fn on_timeout(&mut self, now: Instant) {
        self.backoff = self.backoff.saturating_add(1);
        self.tries = self.tries.saturating_add(1);
        self.unanswered = self.unanswered.saturating_add(1);
        self.restart(now);
    }

    /// The RTO with its back-off.
    pub fn interval(&self, rtt: &Rtt, config: &TcpConfig) -> Duration {
        Duration::from_nanos(self.nanos(rtt, config))
    }

    fn nanos(&self, rtt: &Rtt, config: &TcpConfig) -> u64 {
        let most = nanos(config.max_rto);
        let rto = match rtt.rto() {
            Some(rto) => rto.max(nanos(config.min_rto)),
            None if self.lost_syn => nanos(config.initial_rto.max(RTO_AFTER_LOST_SYN)),
            None => nanos(config.initial_rto),
        };
        rto.saturating_mul(1 << self.backoff.min(31)).min(most)
    }

    /// When it runs out.
    pub fn deadline(&self, rtt: &Rtt, config: &TcpConfig) -> Instant {
        self.base.after_nanos(self.nanos(rtt, config))
    }

    /// Time-outs since anything was acknowledged.
    pub fn tries(&self) -> u32 {
        self.tries.into()
    }

    /// Time-outs in a row without any answer.
    pub fn unanswered(&self) -> u32 {
        self.unanswered.into()
    }

    /// When a user time-out of `limit` passes.
    pub fn user_deadline(&self, limit: Duration) -> Instant {
        self.owed_since + limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_ceiling_and_falls_back_on_progress() {
        let config = TcpConfig::default();
        let (mut timer, rtt, now) = (RtoTimer::new(Instant::ZERO), Rtt::default(), Instant::ZERO);
        let mut seconds = Vec::new();
        for _ in 0..9 {
            seconds.push(timer.interval(&rtt, &config).as_secs());
            timer.on_timeout(now);
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 120, 120]);
        for _ in 0..100 {
            timer.on_timeout(now);
        }
        assert_eq!(timer.interval(&rtt, &config), config.max_rto);
        timer.on_progress(now, false);
        assert_eq!((timer.interval(&rtt, &config).as_secs(), timer.tries()), (8, 0), "Karn, within reason");
        timer.on_progress(now, true);
        assert_eq!((timer.interval(&rtt, &config).as_secs(), timer.tries(), timer.unanswered()), (1, 0, 0));
    }

    #[test]
    fn a_lost_syn_makes_the_first_rto_three_seconds() {
        let config = TcpConfig::default();
        let mut timer = RtoTimer::new(Instant::ZERO);
        timer.on_lost_syn();
        assert_eq!(timer.deadline(&Rtt::default(), &config), Instant::from_millis(3000));
    }

    #[test]
    fn an_answered_probe_is_no_reason_to_give_up() {
        let mut timer = RtoTimer::new(Instant::ZERO);
        timer.on_timeout(Instant::from_millis(1000));
        timer.on_answer(Instant::from_millis(1001));
        assert_eq!((timer.tries(), timer.unanswered()), (1, 0));
        assert_eq!(timer.user_deadline(Duration::from_secs(2)), Instant::from_millis(3001));
    }
}
