//! What `ss` and TCP_INFO show: a copy of a connection's numbers at one moment.

use super::autotune::Range;
use super::config::TcpConfig;
use super::connection::Tcb;
use super::options::TcpOptions;
use super::outflow::TimeSpent;
use super::state::State;
use core::time::Duration;
use std::net::SocketAddr;

/// One connection, listener or TIME-WAIT record, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpInfo {
    /// Its state; LISTEN for a listener.
    pub state: State,
    /// Our end.
    pub local: SocketAddr,
    /// The peer's end; unspecified for a listener.
    pub remote: SocketAddr,
    /// Received bytes that the application has not read; for a listener, connections to be accepted.
    pub recv_queue: usize,
    /// Bytes written and not acknowledged; for a listener, its backlog.
    pub send_queue: usize,
    /// What the receive buffer may hold now, in bytes.
    pub recv_buffer: usize,
    /// What the send buffer may hold now, in bytes.
    pub send_buffer: usize,
    /// Effective send MSS in bytes.
    pub mss: usize,
    /// The largest packet that its path carries, in bytes, as far as is known.
    pub pmtu: usize,
    /// Congestion window in bytes.
    pub cwnd: u32,
    /// The congestion control's name.
    pub congestion: &'static str,
    /// What it is doing, in a word.
    pub congestion_phase: &'static str,
    /// Bytes a second that output is paced to, if it is.
    pub pacing_rate: Option<u64>,
    /// The user's limit of that.
    pub max_pacing_rate: Option<u64>,
    /// Bytes a second that the path delivered lately; zero before a measurement.
    pub delivery_rate: u64,
    /// Whether that was all that there was to send.
    pub delivery_rate_app_limited: bool,
    /// Bytes delivered, SACKed ones included, since there was first more than a segment to send.
    pub delivered: u64,
    /// Bytes found lost since then, modulo 2^32.
    pub lost: u32,
    /// The shortest round trip since then.
    pub min_rtt: Option<Duration>,
    /// How its time was spent since then.
    pub time_spent: TimeSpent,
    /// Bytes written and never sent.
    pub unsent: u32,
    /// Whether packets may be marked instead of dropped.
    pub ecn: bool,
    /// Slow-start threshold in bytes; `u32::MAX` before the first loss.
    pub ssthresh: u32,
    /// Bytes sent and not acknowledged.
    pub in_flight: u32,
    /// Of these, bytes that the peer says it holds behind a hole.
    pub sacked: u32,
    /// The peer's window in bytes.
    pub snd_wnd: u32,
    /// Our window in bytes.
    pub rcv_wnd: u32,
    /// Smoothed round-trip time, once measured.
    pub srtt: Option<Duration>,
    /// Its variation.
    pub rttvar: Duration,
    /// Retransmission time-out.
    pub rto: Duration,
    /// Segments sent again over the connection's life.
    pub retransmits: u64,
    /// Retransmission time-outs in a row, now.
    pub backoff: u32,
    /// Bytes acknowledged by the peer.
    pub bytes_acked: u64,
    /// Bytes received in order.
    pub bytes_received: u64,
    /// Memory that its buffers pin, in bytes.
    pub memory: usize,
    /// Negotiated: window scale (ours for sending, ours for receiving), time stamps, SACK.
    pub window_scale: Option<(u8, u8)>,
    /// Whether time stamps are in use.
    pub timestamps: bool,
    /// Whether SACK is in use.
    pub sack: bool,
    /// Whether no application holds it any more.
    pub orphan: bool,
}

impl TcpInfo {
    /// The numbers of a socket without a synchronized connection.
    pub(crate) fn new(state: State, local: SocketAddr, remote: SocketAddr) -> Self {
        TcpInfo {
            state,
            local,
            remote,
            recv_queue: 0,
            send_queue: 0,
            recv_buffer: 0,
            send_buffer: 0,
            mss: 0,
            pmtu: 0,
            cwnd: 0,
            congestion: "",
            congestion_phase: "",
            pacing_rate: None,
            max_pacing_rate: None,
            delivery_rate: 0,
            delivery_rate_app_limited: false,
            delivered: 0,
            lost: 0,
            min_rtt: None,
            time_spent: TimeSpent::default(),
            unsent: 0,
            ecn: false,
            ssthresh: 0,
            in_flight: 0,
            sacked: 0,
            snd_wnd: 0,
            rcv_wnd: 0,
            srtt: None,
            rttvar: Duration::ZERO,
            rto: Duration::ZERO,
            retransmits: 0,
            backoff: 0,
            bytes_acked: 0,
            bytes_received: 0,
            memory: 0,
            window_scale: None,
            timestamps: false,
            sack: false,
            orphan: false,
        }
    }
}

impl Tcb {
    /// Writes the connection's numbers into `info`.
    pub(crate) fn fill_info(&self, info: &mut TcpInfo, config: &TcpConfig, options: &TcpOptions) {
        info.recv_queue = self.rcv.buffer.len();
        info.send_queue = self.snd.buffer.len();
        info.recv_buffer = self.rcv.buffer.capacity();
        info.send_buffer = self.send_limit(Range::send(config, options));
        info.mss = self.snd.mss as usize;
        info.cwnd = self.cc.window();
        info.ssthresh = self.cc.ssthresh();
        self.fill_outflow(info, options);
        info.in_flight = self.snd.flight();
        info.sacked = self.recovery.board.sacked();
        info.snd_wnd = self.snd.wnd;
        info.rcv_wnd = self.rcv.wnd();
        info.srtt = self.rtt.srtt();
        info.rttvar = self.rtt.rttvar();
        info.rto = self.rto.interval(&self.rtt, config);
        info.retransmits = self.totals.retransmits;
        info.backoff = self.rto.tries();
        info.bytes_acked = self.totals.bytes_acked;
        info.bytes_received = self.totals.bytes_received;
        let negotiated = &self.negotiated;
        info.window_scale = negotiated.window_scaling.then_some((negotiated.snd_shift, negotiated.rcv_shift));
        info.timestamps = negotiated.timestamps.is_some();
        info.sack = negotiated.sack;
        info.ecn = negotiated.ecn;
    }

    /// What governs output.
    fn fill_outflow(&self, info: &mut TcpInfo, options: &TcpOptions) {
        (info.congestion, info.congestion_phase) = (options.congestion.name(), self.cc.phase());
        info.max_pacing_rate = options.max_pacing_rate;
        info.unsent = self.snd.end().since(self.snd.nxt);
        if let Some(governor) = self.cc.governor() {
            let rate = governor.rate();
            info.pacing_rate = governor.pacing_rate();
            (info.delivery_rate, info.delivery_rate_app_limited) = rate.last();
            (info.delivered, info.lost, info.min_rtt) = (rate.delivered(), rate.lost(), rate.min_rtt());
            info.time_spent = governor.times();
        }
    }
}
