//! A synchronized connection's timers: when the next one runs out, and what then.
//!
//! No timer is ever switched on. Each deadline is computed from what is outstanding, so that nothing can be outstanding
//! and wait for nothing (RFC 6298 5.1 to 5.3, by construction).

use super::config::TcpConfig;
use super::connection::{CloseReason, Cx, Tcb};
use super::keepalive::KeepaliveAction;
use super::options::TcpOptions;
use super::recovery::Phase;
use super::recv::AckDue;
use super::state::{Event, State};
use crate::time::{Instant, nanos};
use core::time::Duration;

/// What a tail loss probe waits beyond two round trips, so that on a path of microseconds a late wake-up causes none.
const PROBE_SLACK: Duration = Duration::from_millis(2);

impl Tcb {
    /// When the next timer runs out.
    pub(super) fn deadline(&self, config: &TcpConfig, options: &TcpOptions, orphan: bool) -> Option<Instant> {
        let delayed_ack = if let AckDue::At(time) = self.rcv.ack { Some(time) } else { None };
        let next = Instant::earlier(delayed_ack, self.cc.pacing_deadline());
        let next = Instant::earlier(next, self.fin_wait2_deadline(config, options, orphan));
        if !self.is_waiting() {
            return Instant::earlier(next, self.keepalive_deadline(options));
        }
        let rto = self.rto.deadline(&self.rtt, config);
        let next = Instant::earlier(next, Some(self.retransmission_deadline(rto, options)));
        let next = Instant::earlier(next, self.tail_probe_deadline(rto, config, options));
        Instant::earlier(next, self.reordering_deadline())
    }

    /// Whether the peer owes us an answer, or we have something that could not be sent.
    fn is_waiting(&self) -> bool {
        self.snd.flight() > 0 || self.snd.has_unsent()
    }

    /// Retransmission, zero-window probe or silly window override: one timer, for whatever is outstanding.
    fn retransmission_deadline(&self, rto: Instant, options: &TcpOptions) -> Instant {
        options.user_timeout.map_or(rto, |limit| rto.min(self.rto.user_deadline(limit)))
    }

    /// The end of a reordering window (RFC 8985 6.2, step 5).
    fn reordering_deadline(&self) -> Option<Instant> {
        self.recovery.repair.as_ref().and_then(|repair| repair.rack.due()).filter(|_| self.snd.flight() > 0)
    }

    /// TLP_calc_PTO (RFC 8985 7.2): two round trips after the last progress, but not after the retransmission timer.
    fn tail_probe_deadline(&self, rto: Instant, config: &TcpConfig, options: &TcpOptions) -> Option<Instant> {
        let flight = self.snd.flight();
        let waits = flight > 0
            && options.loss_recovery.tail_probes
            && self.negotiated.sack
            && self.snd.wnd > 0
            && self.recovery.phase() == Phase::Open
            && self.recovery.board.sacked() == 0
            && self.recovery.board.lost() == 0
            && self.recovery.repair.as_ref().is_none_or(|repair| repair.probe.is_none() && !repair.unmeasured)
            && self.rto.tries() == 0;
        if !waits {
            return None;
        }
        let delay = if flight <= self.snd.mss { config.peer_ack_delay } else { PROBE_SLACK };
        let pto = nanos(self.rtt.srtt()?).saturating_mul(2).saturating_add(nanos(delay));
        Some(self.rto.since().max(self.last_data_sent).after_nanos(pto).min(rto))
    }

    /// MUST-26: only when nothing is outstanding.
    fn keepalive_deadline(&self, options: &TcpOptions) -> Option<Instant> {
        options.keepalive.as_ref().filter(|_| !self.is_waiting()).map(|k| self.keepalive.deadline(k))
    }

    fn fin_wait2_deadline(&self, config: &TcpConfig, options: &TcpOptions, orphan: bool) -> Option<Instant> {
        let since = self.fin_wait2_since.filter(|_| orphan && self.state == State::FinWait2)?;
        Some(since + options.fin_wait2.unwrap_or(config.fin_wait2))
    }

    /// Does what is due. Gives the reason if it ends the connection.
    pub(super) fn on_deadline(&mut self, cx: &mut Cx<'_>) -> Option<CloseReason> {
        if let AckDue::At(time) = self.rcv.ack
            && time <= cx.now
        {
            self.rcv.ack = AckDue::Now;
        }
        if let Some(governor) = self.cc.governor_mut() {
            governor.on_deadline(cx.now);
        }
        let now = cx.now;
        let due = |deadline: Option<Instant>| deadline.is_some_and(|d| d <= now);
        if due(self.reordering_deadline()) {
            self.on_reordering_timeout(cx);
        }
        let mut rto = self.rto.deadline(&self.rtt, cx.config);
        if due(self.tail_probe_deadline(rto, cx.config, cx.options)) {
            self.owed.loss_probe = true;
            // The retransmission timer runs from the probe on (RFC 8985 7.3).
            self.rto.restart(cx.now);
            rto = self.rto.deadline(&self.rtt, cx.config);
        }
        let gone = if due(self.fin_wait2_deadline(cx.config, cx.options, cx.orphan)) {
            Some(CloseReason::Normal)
        } else if self.is_waiting() && due(Some(self.retransmission_deadline(rto, cx.options))) {
            self.on_retransmission_timeout(cx)
        } else if due(self.keepalive_deadline(cx.options)) {
            self.on_keepalive_timeout(cx)
        } else {
            None
        };
        if gone.is_some() {
            self.state = cx.transition(self.state, Event::Abort);
        }
        gone
    }

    /// RFC 6298 5.4 to 5.7; RFC 9293 3.8.3 for the limits, 3.8.6.1 for a shut window.
    fn on_retransmission_timeout(&mut self, cx: &mut Cx<'_>) -> Option<CloseReason> {
        let out_of_time = cx.options.user_timeout.is_some_and(|limit| self.rto.user_deadline(limit) <= cx.now);
        // A peer that answers every probe and never opens its window may hold a user's connection for ever (MUST-37),
        // but not one that no user holds any more.
        let exhausted = if cx.orphan {
            self.rto.tries() >= cx.config.orphan_retries
        } else {
            // The user's own limit takes the place of R2, also where it is longer (MUST-21).
            cx.options.user_timeout.is_none() && self.rto.unanswered() >= cx.config.retries2
        };
        if out_of_time || exhausted {
            return Some(CloseReason::TimedOut);
        }
        let first = self.rto.tries() == 0;
        self.rto.on_timeout(cx.now);
        if self.snd.wnd == 0 {
            self.owed.window_probe = true;
        } else if self.snd.flight() == 0 {
            self.owed.override_sws = true;
        } else {
            self.on_loss_timeout(first, cx);
        }
        None
    }

    fn on_keepalive_timeout(&mut self, cx: &Cx<'_>) -> Option<CloseReason> {
        match self.keepalive.on_deadline(cx.options.keepalive.as_ref()?, cx.now)? {
            KeepaliveAction::Probe => {
                self.owed.keepalive_probe = true;
                None
            }
            KeepaliveAction::GiveUp => Some(CloseReason::TimedOut),
        }
    }
}
