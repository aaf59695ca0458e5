//! The MTU of the path, as the MSS that fits into it: what routers say of it (RFC 1191, 8201), and what is found out
//! without them, by segments of real data (RFC 4821, packetization layer path MTU discovery).
//!
//! All sizes are an MSS: bytes of text and options. A connection whose path carries what its link carries, as nearly all
//! do, keeps nothing here but a `None`.

use super::connection::{Cx, Tcb};
use super::seq::{Seq, SeqRange};
use crate::time::Instant;
use crate::trace::What;
use core::time::Duration;

/// How far connections go to find out what their path carries where no router says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MtuProbing {
    /// Routers are believed, and nothing else is done.
    Off,
    /// A path that lets full segments vanish is noticed by its time-outs; from then on it is searched.
    #[default]
    BlackHole,
    /// Every path is searched from the start.
    Always,
}

/// What a path carries, by what the network layer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLimit {
    /// The largest MSS.
    pub mss: u16,
    /// Even that may be too big, and routers may fragment it (IPv4).
    pub fragments: bool,
    /// When it is to be doubted.
    pub until: Instant,
}

/// The MSS of a path that every IPv6 path carries, and below which none is tried: 1,280 less the headers (RFC 8899 5.1.2).
const FLOOR_V6: u16 = 1220;
/// The same for IPv4, by what its network layer believes of routers.
const FLOOR_V4: u16 = 512;
/// The search ends where a larger segment would gain less than this.
const STEP: u16 = 16;
/// How long the search rests after it has ended (RFC 4821 7.3: ten minutes).
const REST: Duration = Duration::from_secs(600);
/// A probe that only a time-out shows to be lost waits so many times longer for the next (RFC 4821 7.6.3).
const AFTER_TIMEOUT: u32 = 5;
/// No loss that does not count needs to be rarer: CUBIC's losses are not (RFC 9438 5.2).
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Full segments that follow a probe, so that its loss shows by their duplicate ACKs.
const FOLLOWERS: u32 = 4;

/// The state of the search. [`low`](PathMss::low) is what full segments have.
#[derive(Debug)]
pub(super) struct PathMss {
    /// The largest size that passes, as far as is known (RFC 4821 7.2's `search_low`).
    low: u16,
    /// The largest that may pass (`search_high`).
    high: u16,
    /// Whether a probe has failed below what is `high` at rest: the search halves from then on, and tries `high` before.
    halving: bool,
    /// Routers may fragment what is sent.
    fragments: bool,
    /// When `high` is the link's again.
    until: Option<Instant>,
    /// There is no probe before: the loss of the last was not taken for congestion.
    pause: Option<Instant>,
    probe: Option<Probe>,
}

/// A segment in flight that is larger than `low`.
#[derive(Clone, Copy, Debug)]
struct Probe {
    numbers: SeqRange,
    mss: u16,
    /// A router has said what does pass: one less than `mss`.
    told: bool,
}

/// What the search wants of new data.
pub(super) enum NextProbe {
    /// Nothing.
    No,
    /// That it waits for acknowledgments, which are on their way, to make room for a probe.
    Wait,
    /// A segment with so many bytes of text.
    Send { mss: u16, text: u32 },
}

impl PathMss {
    /// What is to be tried next.
    fn candidate(&self, limit: u16) -> Option<u16> {
        let high = self.high.min(limit);
        let gap = high.saturating_sub(self.low);
        match (self.halving, self.probe) {
            (_, Some(_)) => None,
            (false, None) => (gap > 0).then_some(high),
            (true, None) => (gap >= STEP).then(|| self.low + gap.div_ceil(2)),
        }
    }

    /// The probe did not arrive. If no router said why, the next waits for `pause`.
    fn failed(&mut self, now: Instant, pause: Duration) {
        if let Some(probe) = self.probe.take() {
            self.high = probe.mss - 1;
            self.halving = !probe.told;
            self.until = Some(now + REST);
            self.pause = self.halving.then_some(now + pause);
        }
    }
}

impl Tcb {
    /// What the two ends allow, whatever is between them.
    fn ends_mss(&self, link_mss: u16) -> u16 {
        self.negotiated.peer_mss.min(link_mss)
    }

    /// Segments fit the link and what is known of the path from the next one on, those that are sent again too.
    pub(super) fn on_link_mss(&mut self, link_mss: u16) {
        let ends = self.ends_mss(link_mss);
        let negotiated = &mut self.negotiated;
        let options = u32::from(negotiated.mss) - self.snd.mss;
        negotiated.mss = self.path.as_ref().map_or(ends, |path| path.low.min(ends));
        self.snd.mss = u32::from(negotiated.mss) - options;
        self.cc.on_mss(self.snd.mss);
    }

    /// The connection begins, and this is known of its path.
    pub(crate) fn begin_on_path(&mut self, known: Option<PathLimit>, cx: &Cx<'_>) {
        let ends = self.ends_mss(cx.link_mss);
        let path = match known.filter(|known| known.mss < cx.link_mss) {
            Some(known) => PathMss::told(known),
            None if cx.config.mtu_probing == MtuProbing::Always => {
                let low = base(cx).min(ends);
                PathMss { low, high: ends, halving: false, fragments: false, until: None, pause: None, probe: None }
            }
            None => return,
        };
        self.path = Some(Box::new(path));
        self.on_link_mss(cx.link_mss);
    }

    /// What is known of the path counts no more: the user has said so.
    pub(crate) fn forget_path(&mut self, link_mss: u16) {
        if self.path.take().is_some() {
            self.on_link_mss(link_mss);
        }
    }

    /// The MSS that the path carries, if that is known to be less than the link's.
    pub(crate) fn path_mss(&self) -> Option<u16> {
        self.path.as_ref().map(|path| path.low)
    }

    /// Whether routers may fragment its packets.
    pub(crate) fn may_be_fragmented(&self) -> bool {
        self.path.as_ref().is_some_and(|path| path.fragments)
    }

    /// A router says what the path carries, and quotes `seq`, which is in flight. Where segments were larger, all that is
    /// in flight goes out again at once: it was not lost by congestion, so the congestion window stays (RFC 1191 6.5).
    pub(super) fn on_packet_too_big(&mut self, told: PathLimit, seq: Seq, cx: &mut Cx<'_>) {
        if let Some(path) = &mut self.path
            && let Some(probe) = path.probe.as_mut().filter(|probe| probe.numbers.start == seq && told.mss < probe.mss)
        {
            // The probe did not pass, as duplicate ACKs will tell; what does pass is tried next.
            probe.mss = told.mss.max(path.low) + 1;
            probe.told = true;
        }
        let known = self.negotiated.mss;
        if told.mss > known || (told.mss == known && (!told.fragments || self.may_be_fragmented())) {
            return;
        }
        self.path = Some(Box::new(PathMss::told(told)));
        self.on_link_mss(cx.link_mss);
        cx.note(What::PathMtu { mss: self.negotiated.mss });
        self.recovery.on_too_big(self.snd.una, self.snd.nxt);
        self.rto.restart(cx.now);
    }

    /// What is known of the path may have become too old: the search begins anew, or without one, the link's MSS counts.
    pub(super) fn review_path(&mut self, cx: &Cx<'_>) {
        let ends = self.ends_mss(cx.link_mss);
        let Some(path) = &mut self.path else { return };
        if path.until.is_none_or(|until| cx.now < until) {
            return;
        }
        if cx.config.mtu_probing == MtuProbing::Off {
            return self.forget_path(cx.link_mss);
        }
        (path.high, path.halving, path.until) = (ends, false, None);
    }

    /// The retransmission timer ran out. After as many times as make RFC 9293 3.8.3's R1, what stands first and was a
    /// large segment may have been too large for a link on which somebody forbids the ICMP message that would say so.
    /// (Sooner would take each outage for that; later, the user would have gone.)
    pub(super) fn look_for_black_hole(&mut self, cx: &mut Cx<'_>) {
        let pause = AFTER_TIMEOUT * self.pause_of_probes();
        if let Some(path) = &mut self.path {
            if path.probe.is_some_and(|probe| probe.numbers.start == self.snd.una) {
                path.failed(cx.now, pause);
            }
            path.probe = None;
        }
        let probes = cx.config.mtu_probing != MtuProbing::Off && cx.options.mtu_discovery.searches();
        if !probes || self.rto.tries() < cx.config.retries1 {
            return;
        }
        let (now, base, floor) = (self.negotiated.mss, base(cx), floor(cx));
        let next = if now > base { base } else { (now / 2).max(floor) }.min(now);
        let options = u32::from(now) - self.snd.mss;
        if next == now || self.snd.flight() + options <= u32::from(next) {
            return; // no less is tried, or it fits anyway
        }
        let ends = self.ends_mss(cx.link_mss);
        let path = self.path.get_or_insert_with(|| {
            Box::new(PathMss {
                low: now,
                high: ends,
                halving: false,
                fragments: false,
                until: None,
                pause: None,
                probe: None,
            })
        });
        path.low = next;
        self.on_link_mss(cx.link_mss);
        cx.stats.black_holes += 1;
        cx.note(What::PathMtu { mss: next });
    }

    /// Whether new data goes out as a probe now, beside `options` bytes of options: if so much is there and more behind it,
    /// and nothing is being repaired. The windows are always full, so they are let drain until there is room for it.
    pub(super) fn next_probe(&self, options: u32, cx: &Cx<'_>) -> NextProbe {
        let path = self.path.as_ref().filter(|path| path.pause.is_none_or(|pause| cx.now >= pause));
        let candidate = path.and_then(|path| path.candidate(self.ends_mss(cx.link_mss)));
        let Some(mss) = candidate.filter(|_| cx.config.mtu_probing != MtuProbing::Off) else { return NextProbe::No };
        let text = u32::from(mss) - options;
        let needed = text + FOLLOWERS * self.snd.mss;
        let window = self.snd.wnd.min(self.cc.window());
        let unsent = self.snd.buffer.end().since(self.snd.nxt);
        let would_show = self.recovery.is_settled() && self.recovery.notices_loss_of(self.snd.nxt);
        if window.min(unsent) < needed || !would_show || self.snd.up.is_some() {
            return NextProbe::No;
        }
        match window.saturating_sub(self.snd.flight()) {
            room if room >= text => NextProbe::Send { mss, text },
            _ => NextProbe::Wait,
        }
    }

    /// The probe is on its way.
    pub(super) fn on_probe_sent(&mut self, numbers: SeqRange, mss: u16, cx: &mut Cx<'_>) {
        if let Some(path) = &mut self.path {
            path.probe = Some(Probe { numbers, mss, told: false });
            cx.stats.mtu_probes += 1;
            cx.note(What::MtuProbe { mss });
        }
    }

    /// All before `una` is acknowledged. A probe that was never sent again has passed.
    pub(super) fn on_ack_of_probe(&mut self, cx: &mut Cx<'_>) {
        let (una, ends) = (self.snd.una, self.ends_mss(cx.link_mss));
        let Some(path) = &mut self.path else { return };
        let Some(probe) = path.probe.filter(|probe| una.at_or_after(probe.numbers.end)) else { return };
        path.probe = None;
        path.fragments = false;
        path.low = probe.mss;
        if probe.mss >= ends {
            self.path = None;
        } else if path.candidate(ends).is_none() {
            path.until = Some(cx.now + REST);
        }
        self.on_link_mss(cx.link_mss);
        cx.note(What::PathMtu { mss: self.negotiated.mss });
    }

    /// Duplicate ACKs say that the segment at SND.UNA is lost. If that is the probe, and nothing else is lost, it was too
    /// big: it says so, and where it ends.
    pub(super) fn on_loss_of_probe(&mut self, cx: &Cx<'_>) -> Option<Seq> {
        let (una, pause, lost) = (self.snd.una, self.pause_of_probes(), self.recovery.board.lost());
        let path = self.path.as_mut()?;
        let probe = path.probe.filter(|probe| probe.numbers.start == una && lost <= probe.numbers.len())?;
        path.failed(cx.now, pause);
        Some(probe.numbers.end)
    }

    /// What begins at `start` goes again, in segments that pass. If it is the probe, other losses hide what became of it:
    /// that is inconclusive, and the same size will be tried again (RFC 4821 7.6.4).
    pub(super) fn on_probe_resent(&mut self, start: Seq) {
        if let Some(path) = &mut self.path {
            path.probe = path.probe.filter(|probe| start.before(probe.numbers.start));
        }
    }

    /// A loss that does not count as congestion must be rarer than those that do, of which a window of segments, one in a
    /// round trip, is the simplest estimate (RFC 4821 7.6.2).
    fn pause_of_probes(&self) -> Duration {
        let segments = self.cc.window() / self.snd.mss.max(1);
        self.rtt.srtt().unwrap_or_default().saturating_mul(segments).min(LONGEST_PAUSE)
    }
}

impl PathMss {
    /// By what a router has said.
    fn told(told: PathLimit) -> Self {
        let PathLimit { mss, fragments, until } = told;
        PathMss { low: mss, high: mss, halving: false, fragments, until: Some(until), pause: None, probe: None }
    }
}

/// What a path is taken for that lets more vanish.
fn base(cx: &Cx<'_>) -> u16 {
    if cx.tuple.remote_addr.is_ipv6() { FLOOR_V6 } else { cx.config.base_mss }
}

fn floor(cx: &Cx<'_>) -> u16 {
    if cx.tuple.remote_addr.is_ipv6() { FLOOR_V6 } else { FLOOR_V4 }
}
