//! What to send now. Output is pulled: [`Tcb::next_segment`] gives one segment after the other until there is no more,
//! and input and timers only leave reasons behind.

use super::connection::{Cx, Tcb};
use super::mtu::NextProbe;
use super::outflow::{Governor, Spent};
use super::recovery::Phase;
use super::recv::AckDue;
use super::segment::SegmentOut;
use super::seq::{Seq, SeqRange};
use super::tlp::Probe;
use crate::trace::What;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::TcpOptions as WireOptions;

/// A stretch of the send sequence space that is about to become a segment.
struct Stretch {
    start: Seq,
    text: u32,
    fin: bool,
}

impl Stretch {
    fn end(&self) -> Seq {
        self.start + self.text + u32::from(self.fin)
    }
}

/// What a segment that goes out now has beside its text, and how much text that leaves room for.
struct Room {
    options: WireOptions,
    /// Bytes of text in a full segment (MUST-16).
    segment: u32,
    /// Bytes of text that the device takes at once: a multiple of `segment`.
    most: u32,
}

impl Tcb {
    /// The next segment: loss first, then new data, then probes, then a bare ACK. `limit` is how many bytes of text the
    /// device takes at once.
    pub(super) fn next_segment(&mut self, limit: usize, cx: &mut Cx<'_>) -> Option<SegmentOut> {
        if self.path.is_some() {
            self.review_path(cx);
        }
        let room = self.room(limit, cx);
        if core::mem::take(&mut self.owed.loss_probe)
            && let Some(segment) = self.loss_probe(&room, cx)
        {
            return Some(segment);
        }
        if let Some(segment) = self.retransmission(&room, cx) {
            return Some(segment);
        }
        if let Some(segment) = self.new_data(&room, cx) {
            return Some(segment);
        }
        if self.cc.pacing_deadline().is_none()
            && self.recovery.gives_frto_up(self.snd.nxt)
            && let Some(segment) = self.retransmission(&room, cx)
        {
            return Some(segment);
        }
        if !self.cc.is_fresh() {
            self.note_spent(&room, cx);
        }
        if core::mem::take(&mut self.owed.window_probe)
            && let Some(segment) = self.window_probe(&room, cx)
        {
            return Some(segment);
        }
        if core::mem::take(&mut self.owed.keepalive_probe) {
            cx.stats.keepalive_probes += 1;
            cx.note(What::Keepalive);
            // SHLD-12: no data, and a number that the peer has acknowledged, so that it must answer.
            return Some(self.bare(self.snd.nxt - 1, &room, cx));
        }
        self.owes_ack(cx).then(|| self.bare(self.acceptable_seq(), &room, cx))
    }

    /// Whether it is worth asking the rules below: after most events there is nothing to send.
    pub(super) fn may_have_output(&self, cx: &Cx<'_>) -> bool {
        self.snd.has_unsent()
            || self.recovery.board.lost() > 0
            || self.owed.loss_probe
            || self.owed.window_probe
            || self.owed.keepalive_probe
            || self.owes_ack(cx)
    }

    /// The windows are filled by two super-segments at least, so that the ACK of one is on its way while the other is
    /// sent.
    fn room(&self, limit: usize, cx: &Cx<'_>) -> Room {
        let options = self.options(cx);
        let segment = u32::from(self.negotiated.mss) - options.encoded_len() as u32;
        let half = self.snd.wnd.min(self.cc.window()) / 2;
        // The urgent pointer counts from its segment's own number, and whoever cuts does not know that.
        let limit = if self.snd.up.is_some() { 0 } else { u32::try_from(limit).unwrap_or(u32::MAX) };
        let segments = half.min(limit).min(self.cc.quantum(segment)) / segment;
        Room { options, segment, most: segments.max(1) * segment }
    }

    /// The front of what is believed lost, within the peer's window (SHLD-15, SHLD-16) and the congestion window, or what
    /// fast recovery makes of that; but the segment that begins a recovery goes out anyhow. It may run on into data that was
    /// never sent, so that full segments result.
    fn retransmission(&mut self, room: &Room, cx: &mut Cx<'_>) -> Option<SegmentOut> {
        let lost = self.recovery.to_resend()?;
        let window = self.snd.right_edge().since(lost.start);
        if window == 0 {
            return None;
        }
        let pipe = self.pipe(room);
        let reach = if lost.end == self.snd.nxt { window } else { window.min(lost.len()) };
        let stretch = self.stretch(lost.start, reach, room.segment);
        // Without SACK, the pipe in fast recovery is but a guess.
        let paced = self.negotiated.sack || self.recovery.phase() != Phase::FastRecovery;
        if paced && !self.recovery.must_send() && pipe > 0 && pipe + stretch.text > self.send_window() {
            return None;
        }
        if !self.recovery.must_send() && !self.may_leave(cx) {
            return None;
        }
        Some(self.send_again(&stretch, room, cx))
    }

    fn send_again(&mut self, stretch: &Stretch, room: &Room, cx: &mut Cx<'_>) -> SegmentOut {
        cx.stats.retransmits += 1;
        self.totals.retransmits += 1;
        cx.note(What::Retransmit);
        self.on_probe_resent(stretch.start);
        self.rtt.on_retransmit(cx.now);
        // What holds all else up has its time from now on. RACK sends it again once a round trip at most, and only if the
        // peer goes on answering.
        if self.negotiated.sack && stretch.start == self.snd.una {
            self.rto.restart(cx.now);
        }
        self.emit(stretch, room, cx)
    }

    /// A tail loss probe (RFC 8985 7.3): whatever the congestion window, new data, or else the last segment again.
    fn loss_probe(&mut self, room: &Room, cx: &mut Cx<'_>) -> Option<SegmentOut> {
        let numbers = self.probe_numbers().filter(|_| self.snd.flight() > 0)?;
        let is_retrans = numbers.start != self.snd.nxt;
        let stretch = self.stretch(numbers.start, numbers.len(), room.segment);
        cx.stats.tail_probes += 1;
        cx.note(What::TailProbe);
        let segment = if is_retrans { self.send_again(&stretch, room, cx) } else { self.emit(&stretch, room, cx) };
        let probe = Probe { end: self.snd.nxt, is_retrans };
        let repair = self.recovery.repair();
        (repair.probe, repair.unmeasured) = (Some(probe), true);
        Some(segment)
    }

    /// Whether pacing lets something leave now. In fast recovery, proportional rate reduction spreads what is sent already,
    /// ACK by ACK.
    fn may_leave(&mut self, cx: &Cx<'_>) -> bool {
        self.recovery.phase() == Phase::FastRecovery && self.cc.uses_prr() || self.cc.may_send(cx.now)
    }

    /// What may be in the network, in bytes.
    fn send_window(&self) -> u32 {
        self.recovery.window(self.cc.window())
    }

    /// Data that was never sent, and the FIN behind it, as far as the windows, Nagle's algorithm and silly window
    /// avoidance let it go.
    fn new_data(&mut self, room: &Room, cx: &mut Cx<'_>) -> Option<SegmentOut> {
        // What is lost goes first, even if it must wait for room that something shorter would find.
        if !self.snd.has_unsent() || self.recovery.has_lost() {
            return None;
        }
        if self.path.is_some() {
            match self.next_probe(room.options.encoded_len() as u32, cx) {
                NextProbe::No => {}
                NextProbe::Wait => return None,
                NextProbe::Send { mss, text } => return Some(self.mtu_probe(mss, text, room, cx)),
            }
        }
        if self.cc.is_fresh() && self.snd.end().since(self.snd.una) > room.segment {
            self.govern(cx);
        }
        let window = self.snd.right_edge().since(self.snd.nxt);
        // The segment that says CWR is one segment: whoever cuts might say it with each.
        let most = if self.owed.cwr { room.segment } else { room.most };
        let mut stretch = self.stretch(self.snd.nxt, window, most);
        if stretch.end() == self.snd.nxt {
            return None;
        }
        self.restart_after_idle(cx);
        // One segment may always enter an empty pipe.
        let pipe = self.pipe(room);
        let allowed = self.send_window().saturating_sub(pipe);
        if pipe > 0 && stretch.text.min(room.segment) > allowed {
            return None;
        }
        self.cut_to_segments(&mut stretch, allowed, room, cx);
        if !self.owed.override_sws && !self.worth_sending(&stretch, self.snd.flight() > 0, room, cx) {
            return None;
        }
        if !self.may_leave(cx) {
            return None;
        }
        self.owed.override_sws = false;
        self.start_timer_with(&stretch, cx);
        let mut segment = self.emit(&stretch, room, cx);
        if self.negotiated.ecn {
            self.mark_capable(&mut segment);
        }
        Some(segment)
    }

    /// New data in one segment that is larger than others, to find out whether the path carries it (RFC 4821 7).
    fn mtu_probe(&mut self, mss: u16, text: u32, room: &Room, cx: &mut Cx<'_>) -> SegmentOut {
        let room = Room { options: room.options, segment: text, most: text };
        let stretch = self.stretch(self.snd.nxt, text, text);
        self.start_timer_with(&stretch, cx);
        let segment = self.emit(&stretch, &room, cx);
        let numbers = SeqRange { start: segment.seq, end: segment.seq + segment.len() };
        // Text in too many pieces for one segment has made a smaller one.
        if numbers.len() == text {
            self.on_probe_sent(numbers, mss, cx);
        }
        segment
    }

    /// Where a stretch makes more than one segment, takes off its end what the congestion window does not allow, and what
    /// would not be worth a segment if it came alone.
    fn cut_to_segments(&self, stretch: &mut Stretch, allowed: u32, room: &Room, cx: &Cx<'_>) {
        let text = if stretch.text <= allowed { stretch.text } else { allowed / room.segment * room.segment };
        let text = text.max(stretch.text.min(room.segment));
        let last = text % room.segment;
        stretch.fin &= text == stretch.text;
        stretch.text = text;
        let end = Stretch { start: stretch.start + (text - last), text: last, fin: stretch.fin };
        if text > room.segment && last > 0 && !self.worth_sending(&end, true, room, cx) {
            stretch.text -= last;
            stretch.fin = false;
        }
    }

    /// How the connection's time is spent while nothing more can be sent.
    fn note_spent(&mut self, room: &Room, cx: &Cx<'_>) {
        let flight = self.snd.flight();
        let spent = if self.snd.has_unsent() {
            let left = self.snd.end().since(self.snd.nxt).min(room.segment);
            let window = self.snd.right_edge().since(self.snd.una);
            if flight + left > window { Spent::PeerWindow } else { Spent::Busy }
        } else if flight == 0 {
            Spent::Idle
        } else if self.cc.governor().is_some_and(Governor::writer_waits) {
            Spent::SendBuffer
        } else {
            Spent::Busy
        };
        self.cc.spend(cx.now, spent);
    }

    /// RFC 5681 4.1: after an idle RTO the window is no measure of the path any more.
    fn restart_after_idle(&mut self, cx: &Cx<'_>) {
        let idle = cx.now.since(self.last_data_sent);
        if self.snd.flight() == 0 && idle > self.rto.interval(&self.rtt, cx.config) {
            self.cc.on_idle();
        }
    }

    /// The timer runs from the first segment that becomes outstanding (RFC 6298 5.1).
    fn start_timer_with(&mut self, stretch: &Stretch, cx: &Cx<'_>) {
        if self.snd.flight() == 0 && stretch.end().after(self.snd.nxt) {
            self.rto.start(cx.now);
        }
    }

    /// Nagle's algorithm (RFC 9293 3.7.4) and sender silly window avoidance (3.8.6.2.1). Where the user says that more will
    /// follow, what does not fill a segment waits for that.
    fn worth_sending(&self, stretch: &Stretch, in_flight: bool, room: &Room, cx: &Cx<'_>) -> bool {
        let is_last = stretch.start + stretch.text == self.snd.buffer.end();
        // A full segment is one that has no room for more, be it that SACK blocks take some.
        stretch.text >= room.segment
            || stretch.fin
            || (is_last && (cx.options.nodelay || !in_flight) && !(cx.options.cork || self.snd.more))
            || (is_last && self.snd.up.is_some())
            || stretch.text >= (self.snd.max_wnd / 2).max(1)
    }

    /// One octet of new data, or the FIN, against a shut window (RFC 9293 3.8.6.1); the same octet each time. SND.NXT stays:
    /// a peer that refuses the octet would not look at ACKs with a number behind it, and hear nothing of what it sends.
    fn window_probe(&mut self, room: &Room, cx: &mut Cx<'_>) -> Option<SegmentOut> {
        let stretch = self.stretch(self.snd.una, 1, 1);
        if self.snd.wnd > 0 || stretch.end() == self.snd.una {
            return None;
        }
        cx.stats.window_probes += 1;
        cx.note(What::WindowProbe);
        self.rtt.on_retransmit(cx.now);
        let mut segment = self.bare(stretch.start, room, cx);
        let (_, end) = self.load(&mut segment, &stretch, room);
        self.snd.max = self.snd.max.max(end);
        Some(segment)
    }

    /// From `start` on, at most `max_text` bytes of text, and with the FIN at most `room` numbers.
    fn stretch(&self, start: Seq, room: u32, max_text: u32) -> Stretch {
        let left = self.snd.buffer.end().since(start);
        let text = left.min(room).min(max_text);
        let fin = self.snd.fin && text == left && room > text;
        Stretch { start, text, fin: fin && start.at_or_before(self.snd.buffer.end()) }
    }

    /// Bytes believed to be in the network. A duplicate ACK takes away what a segment now brings in, no more: else, where
    /// segments are short, each would let several others go and they would multiply.
    fn pipe(&self, room: &Room) -> u32 {
        self.recovery.pipe(self.snd.una, self.snd.nxt, room.segment)
    }

    /// Sends `stretch`, or what of it fits.
    fn emit(&mut self, stretch: &Stretch, room: &Room, cx: &mut Cx<'_>) -> SegmentOut {
        let mut segment = self.bare(stretch.start, room, cx);
        let (sent, end) = self.load(&mut segment, stretch, room);
        if end != stretch.start {
            let numbers = SeqRange { start: stretch.start, end };
            let state = self.cc.on_sent(cx.now, self.in_flight(), sent);
            let pinned = self.snd.buffer.pinned();
            self.recovery.on_sent(numbers, self.snd.nxt, room.segment, cx.now, state, pinned);
        }
        self.snd.nxt = self.snd.nxt.max(end);
        self.snd.max = self.snd.max.max(end);
        if sent > 0 {
            self.last_data_sent = cx.now;
            self.rcv.on_data_sent();
        }
        segment
    }

    /// Puts `stretch`, or what of it fits, into `segment`. Gives the bytes of its text and the number behind it.
    fn load(&self, segment: &mut SegmentOut, stretch: &Stretch, room: &Room) -> (u32, Seq) {
        segment.text = self.snd.buffer.slices(stretch.start, stretch.text);
        // Where the text is cut up too finely for one segment, what fits goes first.
        let sent: u32 = segment.text.iter().map(|s| s.len() as u32).sum();
        let fin = stretch.fin && sent == stretch.text;
        if fin {
            segment.flags |= Flags::FIN;
        }
        // MUST-61: PSH on the last of what is buffered.
        if sent > 0 && stretch.start + sent == self.snd.buffer.end() {
            segment.flags |= Flags::PSH;
        }
        segment.cut = u16::try_from(room.segment).ok().filter(|_| sent > room.segment);
        (sent, stretch.start + sent + u32::from(fin))
    }

    /// A segment without text: ACK, window, options and, where there is urgent data ahead, the pointer to it. Whatever
    /// goes out carries the ACK, so none is owed any more.
    fn bare(&mut self, seq: Seq, room: &Room, cx: &Cx<'_>) -> SegmentOut {
        let mut segment = SegmentOut::bare(seq, self.rcv.nxt, Flags::ACK);
        if self.owed.echo {
            segment.flags |= Flags::ECE;
        }
        segment.wnd = self.rcv.select_window(u32::from(cx.link_mss), cx.is_short_of_memory());
        segment.options = room.options;
        if let Some(up) = self.snd.up
            && up.after(seq)
        {
            segment.flags |= Flags::URG;
            segment.up = u16::try_from(up.since(seq)).unwrap_or(u16::MAX);
        }
        if let Some(timestamps) = &mut self.negotiated.timestamps {
            timestamps.last_ack_sent = self.rcv.nxt;
        }
        self.rcv.on_ack_sent();
        segment
    }

    fn options(&self, cx: &Cx<'_>) -> WireOptions {
        let timestamps = self.negotiated.timestamps.map(|ts| ts.option(cx.now));
        let mut options = WireOptions { timestamps, ..WireOptions::default() };
        if self.negotiated.sack {
            // As many blocks as leave room for text: on the smallest links not even a bare ACK carries them all. What came
            // twice is told first (RFC 2883 4).
            let twice = self.rcv.assembler.duplicate().filter(|_| cx.options.loss_recovery.dsack);
            let twice = twice.map(|block| (block.start.0, block.end.0));
            for &block in twice.iter().chain(self.rcv.assembler.sack_blocks().as_slice()) {
                let mut longer = options;
                longer.sack.push(block);
                if longer.encoded_len() >= usize::from(self.negotiated.mss) {
                    break;
                }
                options = longer;
            }
        }
        options
    }

    fn owes_ack(&self, cx: &Cx<'_>) -> bool {
        let due = match self.rcv.ack {
            AckDue::No => false,
            AckDue::At(time) => time <= cx.now,
            AckDue::Now => true,
        };
        due || (self.state.may_receive()
            && self.rcv.owes_window_update(u32::from(cx.link_mss), cx.is_short_of_memory()))
    }

    /// SND.NXT, or the edge of a window that the peer has shrunk to before it: the peer would not look at more. But a scaled
    /// window is rounded down: an edge that lies less than its unit before SND.NXT may be SND.NXT itself, all of which the
    /// peer has received; it would not look at less. Both ends would then drop each other's ACKs for ever.
    fn acceptable_seq(&self) -> Seq {
        let edge = self.snd.right_edge().max(self.snd.una);
        let unit = 1 << self.negotiated.snd_shift;
        if self.snd.nxt.after(edge) && self.snd.nxt.since(edge) >= unit { edge } else { self.snd.nxt }
    }

    /// The RST that ends the connection.
    pub(super) fn reset(&self, cx: &Cx<'_>) -> SegmentOut {
        let mut segment = SegmentOut::bare(self.acceptable_seq(), self.rcv.nxt, Flags::RST | Flags::ACK);
        segment.options.timestamps = self.negotiated.timestamps.map(|ts| ts.option(cx.now));
        segment
    }
}
