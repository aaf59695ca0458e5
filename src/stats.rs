//! Counters. Every frame that enters the stack ends in exactly one [`Disposition`], and [`Stats::count`] is the one
//! place that counts it, so that frames in == delivered + answered + held + dropped always holds. Only what is passed on to
//! another shard of the host is counted there.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// What became of one received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// A socket or connection took it.
    Delivered,
    /// The stack itself answered it (an echo request).
    Answered,
    /// It waits: a fragment for the others (what becomes of the whole packet is what becomes of its last one), a SYN for a
    /// verdict.
    Held,
    /// It is for another shard, which will say what became of it.
    Misdirected,
    /// It was discarded, for this reason, with or without a reply.
    Dropped(DropReason),
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a received frame was discarded. Each discarded frame moves exactly one of these counters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum DropReason { $($(#[$doc])* $name,)* }

        impl DropReason {
            /// All reasons, in the order of the enum.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$name,)*];

            /// The counter's name, as `ss`, metrics and capture comments print it.
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$name => $text,)* }
            }
        }
    };
}

drop_reasons! {
    /// What the device says of the frame's checksum or segmentation contradicts the frame.
    DeviceMetadata = "device-metadata",
    /// The frame is empty or shorter than its headers say.
    Truncated = "truncated",
    /// IP version other than 4 and 6.
    IpVersion = "ip-version",
    /// A header length or total length that contradicts itself.
    IpLength = "ip-length",
    /// The IPv4 header checksum is wrong.
    IpChecksum = "ip-checksum",
    /// An IP option that runs past the header, or over IPv6 one that nobody knows (answered with Parameter Problem).
    IpOptions = "ip-options",
    /// IPv6 extension headers that end before they should, or that are more or longer than RFC 8504 5.3 lets them be.
    IpExtension = "ip-extension",
    /// IPv6 with nothing behind its headers (No Next Header).
    IpNothing = "ip-nothing",
    /// Loose or strict source routing (RFC 7126).
    IpSourceRoute = "ip-source-route",
    /// A source address that no host may use: broadcast, multicast, loopback, 0/8, class E, unspecified, IPv4-mapped, our
    /// own (land).
    MartianSource = "martian-source",
    /// A destination that cannot arrive from a wire: loopback, 0/8, class E, unspecified, IPv4-mapped.
    MartianDestination = "martian-destination",
    /// From a source that no route of ours leads to.
    NoRoute = "no-route",
    /// To an address of another interface than the one that it came in by, where addresses belong to interfaces (the strong
    /// model of RFC 1122 3.3.4.2), or to a connection that is bound to another one.
    WrongInterface = "wrong-interface",
    /// Not addressed to us, nor to a group that one of our sockets has joined.
    NotForUs = "not-for-us",
    /// A fragment whose length cannot be: none at all, no multiple of eight although others follow, or beyond what a
    /// packet may have (over IPv6 answered with Parameter Problem).
    FragmentLength = "fragment-length",
    /// A first fragment that does not hold the headers (RFC 1858, 7112; over IPv6 answered with Parameter Problem).
    FragmentTiny = "fragment-tiny",
    /// A fragment of a packet whose fragments contradict each other (RFC 5722): it overlaps one, or comes after that.
    FragmentOverlap = "fragment-overlap",
    /// A fragment that came before, byte for byte.
    FragmentDuplicate = "fragment-duplicate",
    /// A packet in more fragments than any link would make of it.
    FragmentLimit = "fragment-limit",
    /// The last of a packet's fragments, of which some tell of congestion and others know no ECN (RFC 3168 5.3).
    FragmentEcn = "fragment-ecn",
    /// No memory for the fragment beside what others hold.
    FragmentMemory = "fragment-memory",
    /// No such transport protocol here (answered with protocol unreachable).
    ProtocolUnknown = "protocol-unknown",
    /// An ICMP message that is too short or contradicts itself.
    IcmpMalformed = "icmp-malformed",
    /// The ICMP checksum is wrong.
    IcmpChecksum = "icmp-checksum",
    /// An ICMP type that we do not act on.
    IcmpIgnored = "icmp-ignored",
    /// A Source Quench (RFC 6633).
    IcmpSourceQuench = "icmp-source-quench",
    /// A redirect: our routes are not a stranger's to change.
    IcmpRedirect = "icmp-redirect",
    /// An ICMP error whose quoted packet fits no socket of ours.
    IcmpUnmatched = "icmp-unmatched",
    /// An echo request to a broadcast or multicast address, or beyond the rate limit.
    IcmpEchoRefused = "icmp-echo-refused",
    /// An IGMP or MLD message that is too short or contradicts itself, or whose checksum is wrong.
    IgmpMalformed = "igmp-malformed",
    /// An IGMP or MLD message that is not for hosts, or from another link.
    IgmpIgnored = "igmp-ignored",
    /// A UDP datagram whose length is wrong.
    UdpLength = "udp-length",
    /// The UDP checksum is wrong.
    UdpChecksum = "udp-checksum",
    /// No UDP socket there (answered with port unreachable).
    UdpNoSocket = "udp-no-socket",
    /// From a new source, where a UDP gate has as many flows as it may have.
    UdpFlowLimit = "udp-flow-limit",
    /// The UDP socket's receive queue is full.
    UdpQueueFull = "udp-queue-full",
    /// The receive queues of all raw and ping sockets that want it are full, and nobody else does.
    RawQueueFull = "raw-queue-full",
    /// A TCP header that is too short or whose data offset is wrong.
    TcpMalformed = "tcp-malformed",
    /// The TCP checksum is wrong.
    TcpChecksum = "tcp-checksum",
    /// TCP to or from a broadcast or multicast address, or port 0.
    TcpAddress = "tcp-address",
    /// No connection and no listener (answered with RST unless it is one).
    TcpNoSocket = "tcp-no-socket",
    /// A segment that a listener ignores: neither SYN nor a valid cookie's ACK.
    TcpListenIgnored = "tcp-listen-ignored",
    /// The accept queue is full: the SYN or the final ACK is dropped, the peer will retry.
    TcpAcceptQueueFull = "tcp-accept-queue-full",
    /// A first SYN while the gate is more than half full: it is let in when it comes again.
    TcpGateFirst = "tcp-gate-first",
    /// A SYN from a source of which as many wait for a verdict as may.
    TcpGateSource = "tcp-gate-source",
    /// A SYN while the application has as many in its hands, without a verdict, as there may be.
    TcpGateFull = "tcp-gate-full",
    /// A SYN that wanted no verdict any more: its peer has reset it.
    TcpGateReset = "tcp-gate-reset",
    /// The stack's connection table or memory budget is full.
    TcpTableFull = "tcp-table-full",
    /// An ACK to a listener whose SYN cookie is wrong or too old.
    TcpBadCookie = "tcp-bad-cookie",
    /// Outside the receive window.
    TcpOutOfWindow = "tcp-out-of-window",
    /// An old duplicate: all of it was received before.
    TcpDuplicate = "tcp-duplicate",
    /// An old time stamp (PAWS, RFC 7323 5.3).
    TcpPaws = "tcp-paws",
    /// Time stamps were negotiated and this segment has none (RFC 7323 3.2).
    TcpNoTimestamp = "tcp-no-timestamp",
    /// RST outside the window.
    TcpBadReset = "tcp-bad-reset",
    /// RST in the window but not at RCV.NXT (answered with a challenge ACK, RFC 5961 3).
    TcpResetChallenged = "tcp-reset-challenged",
    /// SYN in a synchronized state (answered with a challenge ACK, RFC 5961 4).
    TcpSynChallenged = "tcp-syn-challenged",
    /// ACK of what was never sent, or far too old (RFC 5961 5).
    TcpBadAck = "tcp-bad-ack",
    /// No ACK bit where one is needed.
    TcpNoAck = "tcp-no-ack",
    /// Data after our full close (answered with RST).
    TcpDataAfterClose = "tcp-data-after-close",
    /// Out-of-order data beyond the bounds of reassembly, or any beyond those of memory.
    TcpReassemblyFull = "tcp-reassembly-full",
    /// A segment in TIME-WAIT that may not disturb it (RFC 1337).
    TcpTimeWait = "tcp-time-wait",
    /// For another shard, which had no room for it, or had given the connection up meanwhile.
    Misdirected = "misdirected",
}

/// The stack's counters. All only grow.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Frames given to `on_frame`.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Frames pulled by `poll_transmit`.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Received frames that a socket or connection took.
    pub delivered: u64,
    /// Received frames that the stack itself answered.
    pub answered: u64,
    /// Received fragments that had to wait for others, and SYNs that had to wait for a verdict.
    pub held: u64,
    drops: [u64; DropReason::ALL.len()],
    /// Of the frames received, those that had come to another shard of the host, which passed them on.
    pub misdirected: u64,
    /// Frames that we could not send: no route, a full reply queue, a rate limit.
    pub unsent: u64,
    /// ICMP errors sent.
    pub icmp_errors_sent: u64,
    /// ICMP errors withheld by the rate limit.
    pub icmp_errors_limited: u64,
    /// IP's counters of fragments.
    pub ip: IpStats,
    /// TCP's counters.
    pub tcp: TcpStats,
    /// The gates' counters.
    pub gate: GateStats,
}

/// IP's counters of fragments, in the manner of RFC 4293.
#[derive(Clone, Debug, Default)]
pub struct IpStats {
    /// Packets that were made of fragments.
    pub reassembled: u64,
    /// Packets that were given up because some of their fragments did not come in time, or contradicted each other.
    pub reassembly_timeouts: u64,
    /// Packets that were given up before their time, so that others had room.
    pub reassembly_evicted: u64,
    /// Packets of ours that were cut into fragments.
    pub fragmented: u64,
    /// Fragments that were made of them.
    pub fragments_out: u64,
}

impl IpStats {
    fn add(&mut self, other: &IpStats) {
        let IpStats { reassembled, reassembly_timeouts, reassembly_evicted, fragmented, fragments_out } = other;
        self.reassembled += reassembled;
        self.reassembly_timeouts += reassembly_timeouts;
        self.reassembly_evicted += reassembly_evicted;
        self.fragmented += fragmented;
        self.fragments_out += fragments_out;
    }
}

/// Counters of what waits for a verdict, and of the flows of datagrams.
#[derive(Clone, Debug, Default)]
pub struct GateStats {
    /// SYNs that began to wait.
    pub requests: u64,
    /// SYNs that came again while the first one waited.
    pub folded: u64,
    /// Requests that were accepted.
    pub accepted: u64,
    /// Requests that were answered with RST.
    pub reset: u64,
    /// Requests that were not answered, as the verdict was.
    pub ignored: u64,
    /// Requests that were answered with an ICMP error, be it withheld by the rate limit.
    pub unreachable: u64,
    /// Requests that nobody has looked at, and that gave way to others.
    pub evicted: u64,
    /// Requests that had no verdict in time.
    pub expired: u64,
    /// Requests whose connection came about otherwise: a listener took the SYN that came again, or somebody connected.
    pub superseded: u64,
    /// Accepted connections that were given up before their handshake ended, because there were too many such.
    pub half_open_evicted: u64,
    /// Flows of datagrams that began.
    pub flows: u64,
    /// Flows that were idle for too long.
    pub flows_expired: u64,
    /// Flows without an answer that gave way to others.
    pub flows_evicted: u64,
}

impl GateStats {
    fn add(&mut self, other: &GateStats) {
        let GateStats {
            requests,
            folded,
            accepted,
            reset,
            ignored,
            unreachable,
            evicted,
            expired,
            superseded,
            half_open_evicted,
            flows,
            flows_expired,
            flows_evicted,
        } = other;
        self.requests += requests;
        self.folded += folded;
        self.accepted += accepted;
        self.reset += reset;
        self.ignored += ignored;
        self.unreachable += unreachable;
        self.evicted += evicted;
        self.expired += expired;
        self.superseded += superseded;
        self.half_open_evicted += half_open_evicted;
        self.flows += flows;
        self.flows_expired += flows_expired;
        self.flows_evicted += flows_evicted;
    }
}

/// TCP's counters, in the manner of RFC 4022.
#[derive(Clone, Debug, Default)]
pub struct TcpStats {
    /// Connections opened by us.
    pub active_opens: u64,
    /// Connections opened by peers.
    pub passive_opens: u64,
    /// Opens that failed.
    pub attempt_fails: u64,
    /// Established connections that were reset.
    pub established_resets: u64,
    /// Segments received with a good checksum.
    pub segments_in: u64,
    /// Segments sent.
    pub segments_out: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Retransmission time-outs.
    pub rto: u64,
    /// Fast retransmits.
    pub fast_retransmits: u64,
    /// Zero-window probes sent.
    pub window_probes: u64,
    /// Keepalive probes sent.
    pub keepalive_probes: u64,
    /// RST segments sent.
    pub resets_out: u64,
    /// Challenge ACKs sent (RFC 5961).
    pub challenge_acks: u64,
    /// Challenge ACKs and answers to invalid segments withheld by the throttle.
    pub challenge_acks_limited: u64,
    /// SYN cookies sent.
    pub cookies_sent: u64,
    /// SYN cookies that came back valid.
    pub cookies_accepted: u64,
    /// Segments that header prediction took.
    pub predicted: u64,
    /// Out-of-order segments held.
    pub out_of_order: u64,
    /// Probes of the path's MTU sent (RFC 4821).
    pub mtu_probes: u64,
    /// Paths that were taken to let large segments vanish.
    pub black_holes: u64,
    /// Reductions because the peer echoed a mark (RFC 3168).
    pub ecn_reductions: u64,
    /// Tail loss probes sent (RFC 8985).
    pub tail_probes: u64,
    /// Recoveries that turned out to have been for nothing, and were undone.
    pub undone: u64,
}

impl TcpStats {
    fn add(&mut self, other: &TcpStats) {
        let TcpStats {
            active_opens,
            passive_opens,
            attempt_fails,
            established_resets,
            segments_in,
            segments_out,
            retransmits,
            rto,
            fast_retransmits,
            window_probes,
            keepalive_probes,
            resets_out,
            challenge_acks,
            challenge_acks_limited,
            cookies_sent,
            cookies_accepted,
            predicted,
            out_of_order,
            mtu_probes,
            black_holes,
            ecn_reductions,
            tail_probes,
            undone,
        } = other;
        self.active_opens += active_opens;
        self.passive_opens += passive_opens;
        self.attempt_fails += attempt_fails;
        self.established_resets += established_resets;
        self.segments_in += segments_in;
        self.segments_out += segments_out;
        self.retransmits += retransmits;
        self.rto += rto;
        self.fast_retransmits += fast_retransmits;
        self.window_probes += window_probes;
        self.keepalive_probes += keepalive_probes;
        self.resets_out += resets_out;
        self.challenge_acks += challenge_acks;
        self.challenge_acks_limited += challenge_acks_limited;
        self.cookies_sent += cookies_sent;
        self.cookies_accepted += cookies_accepted;
        self.predicted += predicted;
        self.out_of_order += out_of_order;
        self.mtu_probes += mtu_probes;
        self.black_holes += black_holes;
        self.ecn_reductions += ecn_reductions;
        self.tail_probes += tail_probes;
        self.undone += undone;
    }
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            frames_in: 0,
            bytes_in: 0,
            frames_out: 0,
            bytes_out: 0,
            delivered: 0,
            answered: 0,
            held: 0,
            drops: [0; DropReason::ALL.len()],
            misdirected: 0,
            unsent: 0,
            icmp_errors_sent: 0,
            icmp_errors_limited: 0,
            ip: IpStats::default(),
            tcp: TcpStats::default(),
            gate: GateStats::default(),
        }
    }
}

impl Stats {
    /// Counts one received frame of `bytes` bytes and what became of it.
    pub fn count(&mut self, bytes: usize, disposition: Disposition) {
        if disposition == Disposition::Misdirected {
            return;
        }
        self.frames_in += 1;
        self.bytes_in += bytes as u64;
        match disposition {
            Disposition::Misdirected => {}
            Disposition::Delivered => self.delivered += 1,
            Disposition::Answered => self.answered += 1,
            Disposition::Held => self.held += 1,
            Disposition::Dropped(reason) => self.drops[reason as usize] += 1,
        }
    }

    /// How many frames were dropped for `reason`.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// All reasons that ever moved, with their counts.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().map(|&r| (r, self.dropped(r))).filter(|&(_, n)| n > 0)
    }

    /// Adds what another shard of the same host has counted.
    pub fn add(&mut self, other: &Stats) {
        let Stats {
            frames_in,
            bytes_in,
            frames_out,
            bytes_out,
            delivered,
            answered,
            held,
            drops,
            misdirected,
            unsent,
            icmp_errors_sent,
            icmp_errors_limited,
            ip,
            tcp,
            gate,
        } = other;
        self.frames_in += frames_in;
        self.bytes_in += bytes_in;
        self.frames_out += frames_out;
        self.bytes_out += bytes_out;
        self.delivered += delivered;
        self.answered += answered;
        self.held += held;
        self.drops.iter_mut().zip(drops).for_each(|(sum, n)| *sum += n);
        self.misdirected += misdirected;
        self.unsent += unsent;
        self.icmp_errors_sent += icmp_errors_sent;
        self.icmp_errors_limited += icmp_errors_limited;
        self.ip.add(ip);
        self.tcp.add(tcp);
        self.gate.add(gate);
    }

    /// The sum over all drop reasons.
    pub fn dropped_total(&self) -> u64 {
        self.drops.iter().sum()
    }
}
