//! The ladder of a connection: each segment as a line between the two ends, with their states on the sides.
//!
//! Lines stand in the order in which segments leave. The states are those in which the one end sent the segment and the
//! other received it, so where segments cross on the way a state may seem to go back: it is that of an older segment.

use super::peer::Peer;
use super::recorder::{Place, Segment, Sighting};
use crate::stats::DropReason;
use crate::tcp::seq::Seq;
use crate::tcp::state::State;
use crate::time::Instant;
use crate::trace::What;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// Lines that are shown at the beginning and at the end, come what may.
const ENDS: usize = 9;

/// Remarkable lines (sent again, lost) that are shown between them.
const REMARKABLE: usize = 20;

/// Columns of a line's middle.
const MIDDLE: usize = 52;

/// One segment on its way.
#[derive(Debug)]
pub(crate) struct Rung {
    /// When it left its end.
    at: Instant,
    /// Whether our stack sent it.
    ours: bool,
    segment: Segment,
    /// Whether all of it had been sent before.
    again: bool,
    /// How often it arrived.
    arrivals: u32,
    /// Why our stack dropped it, if it did.
    dropped: Option<DropReason>,
    /// Our state and the peer's, once it has arrived (or left, if it never arrived).
    states: (State, State),
    events: Vec<What>,
}

impl Rung {
    fn lost(&self) -> bool {
        self.arrivals == 0
    }

    fn remarkable(&self) -> bool {
        self.lost() || self.again || self.dropped.is_some() || self.arrivals > 1
    }
}

/// The ladder of one connection.
pub(crate) struct Ladder {
    ours: SocketAddr,
    peer: SocketAddr,
    rungs: Vec<Rung>,
}

/// A connection's numbers, for whoever sums them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Segments sent by our stack, and by the peer.
    pub(crate) segments: (usize, usize),
    /// Bytes of text in them, those sent again included.
    pub(crate) text: (u64, u64),
    /// Segments sent again.
    pub(crate) again: (usize, usize),
    /// Segments lost on the way.
    pub(crate) lost: (usize, usize),
}

/// The peers' ends of all connections in `sightings`, in the order of their first segments.
pub(crate) fn connections(sightings: &[Sighting]) -> Vec<SocketAddr> {
    let mut ends = Vec::new();
    for sighting in sightings {
        let end = ends_of(sighting).1;
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    ends
}

/// Our end and the peer's.
fn ends_of(sighting: &Sighting) -> (SocketAddr, SocketAddr) {
    let Segment { src, dst, .. } = sighting.segment;
    match sighting.place {
        Place::OursSent | Place::PeerReceived => (src, dst),
        Place::OursReceived | Place::PeerSent => (dst, src),
    }
}

impl Ladder {
    /// The ladder of the connection with `peer`; `None` if no segment of it was seen.
    pub(crate) fn build(sightings: &[Sighting], peer: SocketAddr) -> Option<Ladder> {
        let mut of_it = sightings.iter().filter(|s| ends_of(s).1 == peer).peekable();
        let first = *of_it.peek()?;
        let mut builder = Builder::new(first);
        of_it.for_each(|sighting| builder.add(sighting));
        Some(Ladder { ours: ends_of(first).0, peer, rungs: builder.rungs })
    }

    /// Its numbers.
    pub(crate) fn count(&self) -> Count {
        let mut count = Count::default();
        let add = |pair: (usize, usize), ours: bool| if ours { (pair.0 + 1, pair.1) } else { (pair.0, pair.1 + 1) };
        for rung in &self.rungs {
            count.segments = add(count.segments, rung.ours);
            let text = if rung.ours { &mut count.text.0 } else { &mut count.text.1 };
            *text += u64::from(rung.segment.text);
            if rung.again {
                count.again = add(count.again, rung.ours);
            }
            if rung.lost() {
                count.lost = add(count.lost, rung.ours);
            }
        }
        count
    }

    /// The ladder as text. The middle of a long transfer is left out but for what is remarkable.
    pub(crate) fn render(&self, peer_name: &str, colour: bool) -> String {
        let mut out = String::new();
        let ours = format!("tunstack {}", self.ours);
        let theirs = format!("{peer_name} {}", self.peer);
        // As wide as a line: two states, two spaces, and the middle.
        let width = (27 + MIDDLE).saturating_sub(ours.len());
        let _ = writeln!(out, "{:>10}  {ours}{theirs:>width$}", "seconds");
        let begin = self.rungs.first().map_or(Instant::ZERO, |rung| rung.at);
        let bases = (self.base(true), self.base(false));
        let mut hidden: Vec<&Rung> = Vec::new();
        for (rung, shown) in self.rungs.iter().zip(self.shown()) {
            if !shown {
                hidden.push(rung);
                continue;
            }
            elide(&mut out, &mut hidden);
            let line = draw(rung, begin, bases);
            match (colour, rung.remarkable()) {
                (true, true) => drop(writeln!(out, "\x1b[31m{line}\x1b[0m")),
                _ => drop(writeln!(out, "{line}")),
            }
        }
        elide(&mut out, &mut hidden);
        out
    }

    /// Which rungs to show.
    fn shown(&self) -> Vec<bool> {
        let len = self.rungs.len();
        let mut remarkable = REMARKABLE;
        let mut seen: (Vec<State>, Vec<State>) = Default::default();
        let mut shown = Vec::with_capacity(len);
        for (i, rung) in self.rungs.iter().enumerate() {
            let moved = is_new(&mut seen.0, rung.states.0) | is_new(&mut seen.1, rung.states.1);
            let at_an_end = i < ENDS || i + ENDS >= len;
            let chosen = rung.remarkable() && remarkable > 0;
            if chosen && !at_an_end {
                remarkable -= 1;
            }
            shown.push(at_an_end || moved || chosen);
        }
        // To say that one line is left out takes a line.
        for i in 1..len.saturating_sub(1) {
            if shown[i - 1] && shown[i + 1] {
                shown[i] = true;
            }
        }
        shown
    }

    /// The number from which one side counts, so that its SYN is 0.
    fn base(&self, ours: bool) -> Option<Seq> {
        let syn = self.rungs.iter().find(|rung| rung.ours == ours && rung.segment.header.flags.syn());
        syn.map(|rung| Seq(rung.segment.header.seq))
    }
}

/// Whether `state` is not among `seen` yet, to which it is added.
fn is_new(seen: &mut Vec<State>, state: State) -> bool {
    let new = !seen.contains(&state);
    if new {
        seen.push(state);
    }
    new
}

fn elide(out: &mut String, hidden: &mut Vec<&Rung>) {
    if hidden.is_empty() {
        return;
    }
    let bytes: u64 = hidden.iter().map(|rung| u64::from(rung.segment.text)).sum();
    let again = hidden.iter().filter(|rung| rung.again).count();
    let lost = hidden.iter().filter(|rung| rung.lost()).count();
    let _ = write!(out, "{:>10}  ... {} segments, {bytes} bytes", "", hidden.len());
    if again + lost > 0 {
        let _ = write!(out, ", {again} sent again, {lost} lost");
    }
    out.push_str(" ...\n");
    hidden.clear();
}

fn draw(rung: &Rung, begin: Instant, (our_base, peer_base): (Option<Seq>, Option<Seq>)) -> String {
    let header = &rung.segment.header;
    let (seq_base, ack_base) = if rung.ours { (our_base, peer_base) } else { (peer_base, our_base) };
    let relative = |number: u32, base: Option<Seq>| base.map_or(number, |base| number.wrapping_sub(base.0));
    let mut text = format!("{} seq={}", header.flags, relative(header.seq, seq_base));
    if header.flags.ack() {
        let _ = write!(text, " ack={}", relative(header.ack, ack_base));
    }
    if rung.segment.text > 0 {
        let _ = write!(text, " len={}", rung.segment.text);
    }
    if header.flags.syn() {
        let _ = write!(text, " win={}", header.wnd);
        if let Some(mss) = header.options.mss {
            let _ = write!(text, " mss={mss}");
        }
    }
    let shaft = "-".repeat(MIDDLE.saturating_sub(text.len() + 2).max(2));
    let middle = match (rung.ours, rung.lost()) {
        (true, false) => format!("{text} {shaft}>"),
        (true, true) => format!("{text} {shaft}X"),
        (false, false) => format!("<{shaft} {text}"),
        (false, true) => format!("X{shaft} {text}"),
    };
    // As strings, because the states' `Display` minds no width.
    let (ours, theirs) = (rung.states.0.to_string(), rung.states.1.to_string());
    let mut line = format!("{:>10}  {ours:<13} {middle:<MIDDLE$} {theirs:>12}", seconds(rung.at, begin));
    for note in notes(rung) {
        line.push_str("  ");
        line.push_str(&note);
    }
    line.trim_end().to_owned()
}

/// What stands to the right of a line.
fn notes(rung: &Rung) -> Vec<String> {
    let mut notes = Vec::new();
    if rung.lost() {
        notes.push("LOST".into());
    }
    if rung.again {
        notes.push("SENT AGAIN".into());
    }
    if rung.arrivals > 1 {
        notes.push(format!("arrived {} times", rung.arrivals));
    }
    if let Some(reason) = rung.dropped {
        notes.push(format!("dropped: {}", reason.name()));
    }
    for event in &rung.events {
        // The states stand at the sides already, the window moves with every ACK, and SENT AGAIN says the rest.
        if !matches!(event, What::Transition { .. } | What::Congestion { .. } | What::Retransmit) {
            notes.push(event.to_string());
        }
    }
    notes
}

fn seconds(at: Instant, begin: Instant) -> String {
    let since = at.since(begin);
    format!("{}.{:06}", since.as_secs(), since.subsec_micros())
}

struct Builder {
    rungs: Vec<Rung>,
    /// Rungs by the identity of their packet, for those that arrive.
    by_identity: HashMap<u64, Vec<usize>>,
    ours: State,
    peer: Peer,
    /// The highest number that each side has sent: ours, the peer's.
    highest: (Option<Seq>, Option<Seq>),
}

impl Builder {
    fn new(first: &Sighting) -> Builder {
        // Whoever is opened to was listening.
        let by_peer = matches!(first.place, Place::PeerSent | Place::OursReceived);
        let (ours, peer) = if by_peer { (State::Listen, State::Closed) } else { (State::Closed, State::Listen) };
        Builder { rungs: Vec::new(), by_identity: HashMap::new(), ours, peer: Peer::new(peer), highest: (None, None) }
    }

    fn add(&mut self, sighting: &Sighting) {
        for event in &sighting.events {
            if let What::Transition { to, .. } = event {
                self.ours = *to;
            }
        }
        match sighting.place {
            Place::OursSent => self.departs(sighting, true),
            Place::PeerSent => {
                self.peer.sent(&sighting.segment);
                self.departs(sighting, false);
            }
            Place::PeerReceived => {
                self.peer.received(&sighting.segment);
                self.arrives(sighting, true);
            }
            Place::OursReceived => self.arrives(sighting, false),
        }
    }

    fn departs(&mut self, sighting: &Sighting, ours: bool) {
        let segment = sighting.segment;
        let end = Seq(segment.header.seq) + segment.len();
        let highest = if ours { &mut self.highest.0 } else { &mut self.highest.1 };
        let again = segment.len() > 0 && highest.is_some_and(|highest| end.at_or_before(highest));
        *highest = Some(highest.map_or(end, |highest| highest.max(end)));
        self.by_identity.entry(sighting.identity).or_default().push(self.rungs.len());
        self.rungs.push(Rung {
            at: sighting.at,
            ours,
            segment,
            again,
            arrivals: 0,
            dropped: None,
            states: (self.ours, self.peer.state()),
            events: sighting.events.clone(),
        });
    }

    fn arrives(&mut self, sighting: &Sighting, ours: bool) {
        // Packets that are the same to the last bit cannot be told apart: the first that has not arrived is taken, and
        // if all have, one of them was doubled on the way.
        let same = self.by_identity.get(&sighting.identity).map_or(&[][..], Vec::as_slice);
        let found = same.iter().find(|&&i| self.rungs[i].arrivals == 0).or(same.last()).copied();
        let Some(index) = found else {
            // It was changed on the way: show it where it arrives.
            self.departs(sighting, ours);
            return self.arrives(sighting, ours);
        };
        let rung = &mut self.rungs[index];
        rung.arrivals += 1;
        rung.states = (self.ours, self.peer.state());
        rung.dropped = rung.dropped.or(sighting.dropped);
        if !ours {
            rung.events.extend(&sighting.events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::segment;
    use super::*;
    use crate::tcp::state::Event;

    /// Milliseconds, place, segment, and our transition.
    type Step<'a> = (u64, Place, &'a str, Option<(State, State)>);

    fn script(lines: &[Step<'_>]) -> Vec<Sighting> {
        lines
            .iter()
            .map(|&(ms, place, text, moved)| {
                let mut segment = segment(text);
                if matches!(place, Place::OursReceived | Place::PeerSent) {
                    (segment.src, segment.dst) = (segment.dst, segment.src);
                }
                let identity = text
                    .bytes()
                    .fold(u64::from(segment.src.port()), |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
                let events =
                    moved.map(|(from, to)| What::Transition { from, event: Event::Close, to }).into_iter().collect();
                Sighting { at: Instant::from_millis(ms), place, segment, identity, events, dropped: None }
            })
            .collect()
    }

    use Place::{OursReceived, OursSent, PeerReceived, PeerSent};

    #[test]
    fn a_whole_connection() {
        use State::{CloseWait, Established, LastAck, Listen, SynReceived};
        let sightings = script(&[
            (0, PeerSent, "SYN seq=1000 win=64240 mss=1460", None),
            (0, OursReceived, "SYN seq=1000 win=64240 mss=1460", Some((Listen, SynReceived))),
            (1, OursSent, "SYN,ACK seq=4294967290 ack=1001 win=65535 mss=1460", None),
            (1, PeerReceived, "SYN,ACK seq=4294967290 ack=1001 win=65535 mss=1460", None),
            (2, PeerSent, "ACK seq=1001 ack=4294967291", None),
            (2, OursReceived, "ACK seq=1001 ack=4294967291", Some((SynReceived, Established))),
            (3, OursSent, "PSH,ACK seq=4294967291 ack=1001 len=10", None),
            (203, OursSent, "PSH,ACK seq=4294967291 ack=1001 len=10 win=9", None),
            (203, PeerReceived, "PSH,ACK seq=4294967291 ack=1001 len=10 win=9", None),
            (204, PeerSent, "FIN,ACK seq=1001 ack=5", None),
            (204, OursReceived, "FIN,ACK seq=1001 ack=5", Some((Established, CloseWait))),
            (205, OursSent, "FIN,ACK seq=5 ack=1002", Some((CloseWait, LastAck))),
            (205, PeerReceived, "FIN,ACK seq=5 ack=1002", None),
        ]);
        let peer = "192.0.2.1:40000".parse().unwrap();
        assert_eq!(connections(&sightings), [peer]);
        let ladder = Ladder::build(&sightings, peer).unwrap();
        let expected = [
            "   seconds  tunstack 192.0.2.2:80                                    kernel 192.0.2.1:40000",
            "  0.000000  SYN-RECEIVED  <---------------------- SYN seq=0 win=64240 mss=1460     SYN-SENT",
            "  0.001000  SYN-RECEIVED  SYN,ACK seq=0 ack=1 win=65535 mss=1460 ------------>  ESTABLISHED",
            "  0.002000  ESTABLISHED   <----------------------------------- ACK seq=1 ack=1  ESTABLISHED",
            "  0.003000  ESTABLISHED   PSH,ACK seq=1 ack=1 len=10 ------------------------X  ESTABLISHED  LOST",
            "  0.203000  ESTABLISHED   PSH,ACK seq=1 ack=1 len=10 ------------------------>  ESTABLISHED  SENT AGAIN",
            "  0.204000  CLOSE-WAIT    <------------------------------ FIN,ACK seq=1 ack=11   FIN-WAIT-1",
            "  0.205000  LAST-ACK      FIN,ACK seq=11 ack=2 ------------------------------>    TIME-WAIT",
        ]
        .map(|line| format!("{line}\n"))
        .concat();
        let rendered = ladder.render("kernel", false);
        assert_eq!(rendered, expected, "\n{rendered}");
        assert_eq!(ladder.count(), Count { segments: (4, 3), text: (20, 0), again: (1, 0), lost: (1, 0) });
        assert!(ladder.render("kernel", true).contains("\x1b[31m  0.003000"));
    }

    #[test]
    fn the_middle_of_a_long_transfer_is_left_out() {
        let texts: Vec<String> = (0..200).map(|i| format!("ACK seq={} ack=1 len=10", 1 + i * 10)).collect();
        let mut lines = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            lines.push((i as u64, OursSent, text.as_str(), None));
            if i != 100 {
                lines.push((i as u64, PeerReceived, text.as_str(), None));
            }
        }
        let sightings = script(&lines);
        let ladder = Ladder::build(&sightings, "192.0.2.1:40000".parse().unwrap()).unwrap();
        let rendered = ladder.render("kernel", false);
        assert_eq!(rendered.lines().count(), 1 + 2 * ENDS + 1 + 2, "{rendered}");
        assert!(rendered.contains("... 91 segments, 910 bytes ..."), "{rendered}");
        assert!(rendered.contains("... 90 segments, 900 bytes ..."), "{rendered}");
    }

    #[test]
    fn doubled_and_changed_segments_are_marked() {
        let sightings = script(&[
            (0, OursSent, "ACK seq=1 ack=1 len=10", None),
            (0, PeerReceived, "ACK seq=1 ack=1 len=10", None),
            (0, PeerReceived, "ACK seq=1 ack=1 len=10", None),
            (1, OursSent, "ACK seq=11 ack=1 len=10", None),
            (1, PeerReceived, "ACK seq=75 ack=1 len=10", None),
        ]);
        let rendered = Ladder::build(&sightings, "192.0.2.1:40000".parse().unwrap()).unwrap().render("kernel", false);
        assert!(rendered.contains("arrived 2 times") && rendered.contains("LOST"), "{rendered}");
        assert_eq!(rendered.lines().count(), 4);
    }
}
