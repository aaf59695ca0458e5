//! Keepalive (RFC 9293 3.8.4): off unless asked for, and only while nothing is outstanding.

use super::options::Keepalive;
use crate::time::Instant;

/// When the peer was heard or asked last and how often it was asked since it was heard.
#[derive(Clone, Debug)]
pub struct KeepaliveTimer {
    since: Instant,
    probes: u32,
}

/// What the timer wants when it runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepaliveAction {
    /// Ask the peer for a sign of life.
    Probe,
    /// Too many questions had no answer.
    GiveUp,
}

impl KeepaliveTimer {
    /// A timer for a peer that was heard at `now`.
    pub fn new(now: Instant) -> Self {
        KeepaliveTimer { since: now, probes: 0 }
    }

    /// The peer was heard.
    pub fn on_heard(&mut self, now: Instant) {
        self.since = now;
        self.probes = 0;
    }

    /// When it runs out.
    pub fn deadline(&self, settings: &Keepalive) -> Instant {
        self.since + if self.probes == 0 { settings.idle } else { settings.interval }
    }

    /// What to do at `now`, if it has run out.
    pub fn on_deadline(&mut self, settings: &Keepalive, now: Instant) -> Option<KeepaliveAction> {
        if self.deadline(settings) > now {
            return None;
        }
        if self.probes >= settings.count {
            return Some(KeepaliveAction::GiveUp);
        }
        self.probes += 1;
        self.since = now;
        Some(KeepaliveAction::Probe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn idle_then_probes_then_the_end() {
        let settings = Keepalive { idle: Duration::from_secs(10), interval: Duration::from_secs(2), count: 2 };
        let at = |s: u64| Instant::from_millis(s * 1000);
        let mut timer = KeepaliveTimer::new(at(0));
        assert_eq!(timer.on_deadline(&settings, at(9)), None);
        assert_eq!(timer.on_deadline(&settings, at(10)), Some(KeepaliveAction::Probe));
        assert_eq!(timer.deadline(&settings), at(12));
        timer.on_heard(at(11));
        assert_eq!(timer.deadline(&settings), at(21));
        assert_eq!(timer.on_deadline(&settings, at(21)), Some(KeepaliveAction::Probe));
        assert_eq!(timer.on_deadline(&settings, at(23)), Some(KeepaliveAction::Probe));
        assert_eq!(timer.on_deadline(&settings, at(25)), Some(KeepaliveAction::GiveUp));
    }
}
