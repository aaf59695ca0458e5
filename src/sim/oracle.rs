//! The oracle: it watches the wire, knows what each application wrote, and says when a packet of ours is one that no
//! correct stack sends. It judges by the RFCs and by what crossed the link, never by asking the stack.

use super::application::Ledger;
use super::coverage::{Cover, Coverage};
use super::host::Flow;
use super::packet::{Packet, Tcp, parse};
use std::net::IpAddr;

/// Limits of retransmission, to tell a connection given up by rule from one given up at whim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Fewest transmissions of a SYN or SYN,ACK before it may be given up.
    pub(super) handshake: u32,
    /// Fewest transmissions of anything else.
    pub(super) established: u32,
    /// The same once the application has closed.
    pub(super) orphan: u32,
}

/// Unanswered keepalive probes after which a connection may be given up; every scenario has the same.
pub(super) const KEEPALIVE_PROBES: u32 = 9;

/// What the oracle must know about a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostFacts {
    pub(super) addrs: [IpAddr; 2],
    pub(super) mtu: usize,
    pub(super) judged: bool,
    /// Whether its listener answers every SYN with a cookie.
    pub(super) cookies: bool,
    pub(super) patience: Patience,
}

/// One end of one connection: what it sent, and what of its peer's it was given. Sequence numbers are relative: 0 is
/// the SYN, 1 the first byte.
#[derive(Clone, Debug, Default)]
struct End {
    /// Sequence numbers of the SYNs sent; more than one where SYN cookies were sent.
    isns: Vec<u32>,
    /// The one that the connection goes by.
    isn: Option<u32>,
    scale: Option<u8>,
    mss: Option<u16>,
    timestamps: bool,
    /// The end of what was sent.
    nxt: u64,
    fin: Option<u64>,
    /// The end of what the peer acknowledged, as far as the acknowledgments arrived.
    una: u64,
    /// The highest acknowledgment sent.
    ack_out: u64,
    /// The furthest right edge of the own window that was offered.
    edge_out: u64,
    /// The furthest right edge of the peer's window that arrived.
    edge_in: u64,
    /// The peer's initial sequence number, once its SYN arrived. The peer may begin anew with another, woken by an old
    /// duplicate; this end goes by the first.
    peer_isn: Option<u32>,
    /// The end of the peer's sequence numbers that arrived.
    seen: u64,
    /// What this end expects next: what it acknowledged last, or beyond that what came in order since.
    expected: u64,
    tsval: Option<u32>,
    segments_in: u64,
    pure_acks: u64,
    window_updates: u64,
    /// Transmissions of the SYN. A listener that has no room for the connection sends it again although its ACK arrived.
    syns: u32,
    /// Transmissions of what is at `una` since `una` moved; and the most that it ever was, the SYN aside.
    attempts: u32,
    most_attempts: u32,
    /// As `attempts`, but a peer that answers and keeps its window shut does not set it back; and the most it ever was.
    futile: u32,
    most_futile: u32,
    /// Keepalive probes sent since anything arrived, and the most that they ever were.
    keepalives: u32,
    most_keepalives: u32,
    /// RST segments that arrived.
    resets_in: u64,
    /// Those of them that were exactly where the next byte was expected; the others are only challenged (RFC 5961 3),
    /// and the challenge may be lost or withheld.
    exact_resets_in: u64,
    resets_out: u64,
}

impl End {
    fn isn(&self) -> u32 {
        self.isn.unwrap_or(0)
    }
}

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    /// Ports of the two hosts; the active end's is not known before its SYN if it was left to the stack.
    ports: [Option<u16>; 2],
    ends: [End; 2],
    /// Which end connects; `None` if both do.
    active: Option<usize>,
    /// Which end's FIN was seen first.
    pub(super) first_fin: Option<usize>,
}

/// The watcher of one run.
pub(super) struct Oracle {
    hosts: [HostFacts; 2],
    flows: Vec<Watch>,
}

type Check = Result<(), String>;

macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err(format!($($text)+));
        }
    };
}

impl Oracle {
    pub(super) fn new(hosts: [HostFacts; 2]) -> Self {
        Oracle { hosts, flows: Vec::new() }
    }

    /// Adds a flow.
    pub(super) fn add_flow(&mut self, ports: [Option<u16>; 2], active: Option<usize>) {
        self.flows.push(Watch { ports, ends: Default::default(), active, first_fin: None });
    }

    /// A packet leaves host `from`. `ledger` gives what its application has done with a flow.
    pub(super) fn sent<'l>(
        &mut self,
        from: usize,
        bytes: &[u8],
        ledger: impl Fn(Flow) -> &'l Ledger,
        coverage: &mut Coverage,
    ) -> Check {
        let judged = self.hosts[from].judged;
        let packet = match parse(bytes) {
            Ok(packet) => packet,
            Err(_) if !judged => return Ok(()),
            Err(what) => return Err(format!("INV-8: host {from} sent a packet that is wrong: {what}")),
        };
        if judged {
            self.check_packet(from, bytes, &packet)?;
        }
        let Some(tcp) = packet.tcp else { return Ok(()) };
        let Some(flow) = self.flow_of(from, &tcp, true) else {
            ensure!(
                !judged || tcp.rst(),
                "a segment of no known connection, ports {} to {}",
                tcp.src_port,
                tcp.dst_port
            );
            return Ok(());
        };
        let verdict = self.flows[flow].sent(from, &tcp, ledger(flow), coverage);
        // Another stack may answer one SYN from two sockets; nobody can say then which numbers count.
        let ambiguous = !self.hosts[1 - from].judged && self.flows[flow].ends[1 - from].isns.len() > 1;
        if judged && !ambiguous { verdict.map_err(|what| format!("flow {flow}, host {from}: {what}")) } else { Ok(()) }
    }

    fn check_packet(&self, from: usize, bytes: &[u8], packet: &Packet<'_>) -> Check {
        let (me, peer) = (self.hosts[from], self.hosts[1 - from]);
        ensure!(bytes.len() <= me.mtu, "INV-8: a packet of {} bytes on a link of MTU {}", bytes.len(), me.mtu);
        ensure!(packet.ttl > 0, "INV-8: a packet with a TTL of zero");
        ensure!(me.addrs.contains(&packet.src), "a packet from {}, which is not ours", packet.src);
        // No checksum is over IPv6's header, so that an ICMP error may answer an address that was damaged on its way.
        let nobody = packet.tcp.is_some() && !peer.addrs.contains(&packet.dst);
        ensure!(!nobody, "a segment to {}, where nobody is", packet.dst);
        Ok(())
    }

    /// A packet arrives at host `at`, damaged or not. Says whether it told anything new: text or an acknowledgment.
    pub(super) fn delivered(&mut self, at: usize, bytes: &[u8], coverage: &mut Coverage) -> bool {
        let Ok(Packet { tcp: Some(tcp), .. }) = parse(bytes) else {
            return false;
        };
        let Some(flow) = self.flow_of(1 - at, &tcp, false) else {
            return false;
        };
        let known = |flow: &Watch| (flow.ends[at].seen, flow.ends[at].una);
        let before = known(&self.flows[flow]);
        self.flows[flow].delivered(at, &tcp, coverage);
        before != known(&self.flows[flow])
    }

    fn flow_of(&mut self, from: usize, tcp: &Tcp<'_>, learn: bool) -> Option<Flow> {
        let mut ports = [tcp.src_port, tcp.dst_port];
        if from == 1 {
            ports.swap(0, 1);
        }
        let fits = |known: Option<u16>, port: u16| known.is_none_or(|k| k == port);
        let found = |f: &Watch| f.ports == [Some(ports[0]), Some(ports[1])];
        if let Some(flow) = self.flows.iter().position(found) {
            return Some(flow);
        }
        if !learn || !tcp.syn() || tcp.has_ack() {
            return None;
        }
        let flow = self.flows.iter().position(|f| fits(f.ports[0], ports[0]) && fits(f.ports[1], ports[1]))?;
        self.flows[flow].ports = ports.map(Some);
        Some(flow)
    }

    /// The flow whose active end has this port.
    pub(super) fn flow_of_port(&self, active_host: usize, port: u16) -> Option<Flow> {
        self.flows.iter().position(|f| f.active == Some(active_host) && f.ports[active_host] == Some(port))
    }

    /// A flow's watch, for the judgment at the end.
    pub(super) fn watch(&self, flow: Flow) -> &Watch {
        &self.flows[flow]
    }

    /// Whether an application on host `at` may wait for ever: the RST that would have told it was lost or was not exact
    /// (a RST is never sent again), or the other host gave up and said nothing. A listener that sends cookies resets who
    /// comes with the second segment first, and may then open the connection with the first.
    pub(super) fn may_be_left_alone(&self, flow: Flow, at: usize) -> bool {
        let [me, peer] = [at, 1 - at].map(|i| &self.flows[flow].ends[i]);
        let ghost = self.hosts[at].cookies && peer.resets_in > 0;
        ghost || self.may_have_given_up(flow, 1 - at) || peer.resets_out > me.exact_resets_in
    }

    /// Whether host `at`, whose application may have closed, may have given the flow up. Without an application it need
    /// not wait for ever for a window to open.
    pub(super) fn may_have_given_up(&self, flow: Flow, at: usize) -> bool {
        let (end, patience) = (&self.flows[flow].ends[at], self.hosts[at].patience);
        self.may_time_out(flow, at) || end.most_futile >= patience.orphan
    }

    /// Whether host `at` may have given the flow up because its peer did not answer.
    pub(super) fn may_time_out(&self, flow: Flow, at: usize) -> bool {
        let (end, patience) = (&self.flows[flow].ends[at], self.hosts[at].patience);
        end.syns >= patience.handshake
            || end.most_attempts >= patience.established
            || end.most_keepalives >= KEEPALIVE_PROBES
    }
}

impl Watch {
    /// Whether a RST for this flow arrived at host `at`.
    pub(super) fn reset_arrived(&self, at: usize) -> bool {
        self.ends[at].resets_in > 0
    }

    /// Whether the sequence numbers of host `at`'s stream passed 2^32.
    fn wrapped(&self, at: usize) -> bool {
        let end = &self.ends[at];
        end.nxt > 1 && u64::from(end.isn()) + end.nxt > u64::from(u32::MAX)
    }

    /// Counts what the connection had to show.
    pub(super) fn cover(&self, coverage: &mut Coverage) {
        for at in 0..2 {
            coverage.hit_if(self.wrapped(at), Cover::SequenceWrap);
        }
        let [a, b] = &self.ends;
        if a.nxt > 1 || b.nxt > 1 {
            let (timestamps, scale) = (a.timestamps && b.timestamps, a.scale.and(b.scale).is_some());
            coverage.hit(if timestamps { Cover::Timestamps } else { Cover::NoTimestamps });
            coverage.hit(if scale { Cover::WindowScale } else { Cover::NoWindowScale });
        }
        if let (Some(active), Some(first)) = (self.active, self.first_fin) {
            coverage.hit(if active == first { Cover::ActiveFirst } else { Cover::PassiveFirst });
        }
    }

    fn sent(&mut self, from: usize, tcp: &Tcp<'_>, ledger: &Ledger, coverage: &mut Coverage) -> Check {
        if tcp.rst() {
            self.ends[from].resets_out += 1;
            return Ok(());
        }
        self.forget_a_reset_connection(from, tcp);
        let written = ledger.written;
        let (peer_scale, peer_timestamps, peer_mss) = {
            let peer = &self.ends[1 - from];
            (peer.scale, peer.timestamps, peer.mss)
        };
        let me = &mut self.ends[from];
        me.settle_isn(tcp)?;
        let seq = u64::from(tcp.seq.wrapping_sub(me.isn()));
        let text_end = seq + u64::from(tcp.syn()) + tcp.text.len() as u64;

        // Options.
        if tcp.syn() {
            (me.scale, me.mss, me.timestamps) = (tcp.scale, tcp.mss, tcp.timestamps.is_some());
            ensure!(tcp.mss.is_some_and(|mss| mss > 0), "a SYN without an MSS option");
        } else {
            ensure!(tcp.mss.is_none() && tcp.scale.is_none(), "an option of SYN in another segment");
            ensure!(
                !(me.timestamps && peer_timestamps) || tcp.timestamps.is_some(),
                "RFC 7323 3.2: a segment without time stamps, which were negotiated"
            );
            let room = usize::from(peer_mss.unwrap_or(536)).max(48);
            ensure!(
                tcp.text.len() + tcp.options_len <= room,
                "{} bytes of text and {} of options for a peer whose MSS is {room}",
                tcp.text.len(),
                tcp.options_len
            );
        }
        if let Some((tsval, _)) = tcp.timestamps {
            let back = me.tsval.is_some_and(|last| (tsval.wrapping_sub(last) as i32) < 0);
            ensure!(!back, "the time stamps went back to {tsval}");
            me.tsval = Some(tsval);
        }

        // Text: what the application wrote, where it wrote it, and within the peer's window.
        if !tcp.text.is_empty() && seq > 0 {
            ensure!(text_end - 1 <= written, "text up to byte {}, only {written} were written", text_end - 1);
            let different = ledger.said.first_difference(seq - 1, tcp.text);
            ensure!(different.is_none(), "wrong text at byte {different:?} in a segment from {}", seq - 1);
            ensure!(
                text_end <= me.edge_in || (tcp.text.len() == 1 && seq == me.edge_in),
                "INV-4: text from {seq} to {text_end}, the window ends at {}",
                me.edge_in
            );
        }
        if tcp.fin() {
            let fin = *me.fin.get_or_insert(text_end);
            ensure!(fin == text_end, "FIN at {text_end}, and at {fin} before");
            ensure!(text_end == written + 1, "FIN at {text_end} after {written} bytes written");
        }
        if let Some(fin) = me.fin {
            ensure!(text_end <= fin + 1, "text up to {text_end} after FIN at {fin}");
        }
        me.syns += u32::from(tcp.syn());
        if seq == me.una && !tcp.is_empty() {
            me.attempts += 1;
            if !tcp.syn() {
                me.most_attempts = me.most_attempts.max(me.attempts);
            }
            me.futile += 1;
            me.most_futile = me.most_futile.max(me.futile);
        }
        let end = text_end + u64::from(tcp.fin());
        let keepalive = seq < me.nxt && tcp.is_empty() && seq + 1 == me.nxt;
        me.nxt = me.nxt.max(end);
        if keepalive {
            me.keepalives += 1;
            me.most_keepalives = me.most_keepalives.max(me.keepalives);
        }

        // The acknowledgment and the window.
        if tcp.has_ack() {
            let Some(peer_isn) = me.peer_isn else {
                return Err("an acknowledgment to a peer that sent no SYN".into());
            };
            let ack = u64::from(tcp.ack.wrapping_sub(peer_isn));
            ensure!(ack <= me.seen, "an acknowledgment of {ack}, only {} has arrived", me.seen);
            ensure!(ack >= me.ack_out, "the acknowledgment went back from {} to {ack}", me.ack_out);
            let scale = if tcp.syn() { 0 } else { effective_scale(me.scale, peer_scale) };
            let edge = ack + (u64::from(tcp.wnd) << scale);
            // RFC 7323 2.4: the field's granularity may take back less than one unit.
            ensure!(
                edge + (1 << scale) > me.edge_out,
                "INV-4: the right edge of the window went back from {} to {edge}",
                me.edge_out
            );
            let blocks: Vec<(u32, u32)> = tcp
                .sack
                .iter()
                .flatten()
                .map(|(left, right)| (left.wrapping_sub(peer_isn), right.wrapping_sub(peer_isn)))
                .collect();
            for (i, &(left, right)) in blocks.iter().enumerate() {
                // RFC 2883 4: the first may tell what came twice, below the acknowledgment or within the second.
                let within_second = blocks.get(1).is_some_and(|second| second.0 <= left && right <= second.1);
                let twice = i == 0 && (u64::from(right) <= ack || within_second);
                ensure!(
                    left < right && (twice || u64::from(left) > ack) && u64::from(right) <= me.seen,
                    "a SACK block {left} to {right} with acknowledgment {ack} and {} arrived",
                    me.seen
                );
                coverage.hit(Cover::Sack);
            }
            if tcp.is_empty() && !keepalive {
                me.pure_acks += 1;
                me.window_updates += u64::from(ack == me.ack_out && edge > me.edge_out);
                ensure!(
                    me.pure_acks <= me.segments_in + me.window_updates,
                    "INV-5: {} bare acknowledgments for {} segments and {} window updates",
                    me.pure_acks,
                    me.segments_in,
                    me.window_updates
                );
            }
            (me.ack_out, me.expected) = (ack, ack);
            me.edge_out = me.edge_out.max(edge);
            coverage.hit_if(tcp.wnd == 0, Cover::ZeroWindow);
        }
        if tcp.fin() && self.first_fin.is_none() {
            self.first_fin = Some(from);
        }
        Ok(())
    }

    /// A SYN cookie may come back again after its connection was reset, and opens another one without a SYN; and a SYN that
    /// comes again within the cookie's minute is answered by the same one.
    fn forget_a_reset_connection(&mut self, from: usize, tcp: &Tcp<'_>) {
        let me = &mut self.ends[from];
        let peer_isn = me.peer_isn.unwrap_or(0);
        let first = me.isns.iter().any(|isn| isn.wrapping_add(1) == tcp.seq) && !tcp.syn();
        let goes_back = tcp.has_ack() && u64::from(tcp.ack.wrapping_sub(peer_isn)) < me.ack_out;
        let same_cookie = tcp.syn() && me.isns.contains(&tcp.seq);
        if (first && goes_back || same_cookie) && me.resets_out > 0 {
            (me.nxt, me.fin, me.una, me.ack_out, me.edge_out, me.tsval) = (0, None, 0, 0, 0, None);
            me.expected = 0;
        }
    }

    fn delivered(&mut self, at: usize, tcp: &Tcp<'_>, coverage: &mut Coverage) {
        let peer_scale = self.ends[1 - at].scale;
        let me = &mut self.ends[at];
        me.segments_in += 1;
        me.keepalives = 0;
        if tcp.rst() {
            me.resets_in += 1;
            let expected = me.peer_isn.map(|isn| isn.wrapping_add(me.expected as u32));
            // What came since the last ACK may not have been taken.
            me.exact_resets_in += u64::from(expected == Some(tcp.seq) && me.expected == me.ack_out);
            return;
        }
        if tcp.syn() {
            me.peer_isn.get_or_insert(tcp.seq);
        }
        let Some(peer_isn) = me.peer_isn else { return };
        let end = u64::from(tcp.seq.wrapping_add(tcp.len()).wrapping_sub(peer_isn));
        if end > u64::from(u32::MAX / 2) {
            return; // of another incarnation
        }
        coverage.hit_if(me.fin.is_some() && !tcp.text.is_empty() && end > me.seen, Cover::HalfClose);
        me.seen = me.seen.max(end);
        let expected = me.expected;
        if end.saturating_sub(u64::from(tcp.len())) <= expected {
            me.expected = expected.max(end);
        }
        if !tcp.has_ack() {
            return;
        }
        let ack = u64::from(tcp.ack.wrapping_sub(me.isn()));
        if ack > me.nxt {
            return;
        }
        let scale = if tcp.syn() { 0 } else { effective_scale(peer_scale, me.scale) };
        me.edge_in = me.edge_in.max(ack + (u64::from(tcp.wnd) << scale));
        // What was received before is not acceptable, and its acknowledgment does not count (RFC 9293 3.10.7.4). A peer
        // that answers probes of its closed window is alive: nothing may be given up (3.8.6.1).
        let acceptable = end > expected || (tcp.is_empty() && end == expected) || (tcp.syn() && me.una == 0);
        if acceptable && (ack > me.una || (ack == me.una && ack == me.edge_in)) {
            me.futile = if ack > me.una { 0 } else { me.futile };
            me.una = ack;
            me.attempts = 0;
        }
    }
}

impl End {
    /// Finds out which SYN the connection goes by: the last one sent, or the one that its first other segment follows.
    fn settle_isn(&mut self, tcp: &Tcp<'_>) -> Check {
        if tcp.syn() {
            // A SYN again from an end that was past its SYN is one of a new incarnation, which an old duplicate woke.
            if !self.isns.contains(&tcp.seq) || self.nxt > 1 || self.ack_out > 1 {
                // A new incarnation, or a further SYN cookie; what was sent before does not bind it.
                let isns = core::mem::take(&mut self.isns);
                let (segments_in, seen, peer_isn) = (self.segments_in, self.seen, self.peer_isn);
                let (resets_in, resets_out) = (self.resets_in, self.resets_out);
                *self = End { isns, segments_in, seen, peer_isn, resets_in, resets_out, ..End::default() };
                self.isns.push(tcp.seq);
            }
            self.isn = Some(tcp.seq);
            return Ok(());
        }
        if self.nxt <= 1 {
            // A keepalive probe repeats the number before: that of the SYN, if nothing else was sent.
            let follows = |isn: &&u32| **isn == tcp.seq || isn.wrapping_add(1) == tcp.seq;
            let Some(&isn) = self.isns.iter().find(follows) else {
                return Err(format!("a segment {} that follows no SYN", tcp.seq));
            };
            self.isn = Some(isn);
        }
        Ok(())
    }
}

/// The shift of a window field whose sender offered `senders` and whose receiver offered `receivers`: both or none.
fn effective_scale(senders: Option<u8>, receivers: Option<u8>) -> u32 {
    match (senders, receivers) {
        (Some(shift), Some(_)) => u32::from(shift.min(14)),
        _ => 0,
    }
}
