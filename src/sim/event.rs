//! What happens in a run, as whoever watches sees it.

use super::host::Flow;
use super::packet::parse;
use crate::device::impair::Fate;
use crate::stack::TcpInfo;
use crate::wire::tcp::Flags;
use core::fmt;
use core::time::Duration;

/// Something that happened in a run. Written out it is a line of text.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A host sent a packet.
    Sent {
        /// Which host.
        from: usize,
        /// The packet.
        packet: &'a [u8],
        /// What its link does with it.
        fate: Fate,
    },
    /// A packet came to a host, damaged or not.
    Arrived {
        /// Which host.
        at: usize,
        /// The packet.
        packet: &'a [u8],
    },
    /// The numbers of a connection have changed.
    Info {
        /// On which host.
        host: usize,
        /// Of which flow.
        flow: Flow,
        /// What they are now.
        info: &'a TcpInfo,
    },
}

/// Who is told what happens, and when since the run's start.
pub type Watch<'a> = &'a mut dyn FnMut(Duration, &Event<'_>);

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Sent { from, packet, fate } => {
                write!(f, "  {from} ")?;
                packet_line(f, packet)?;
                if *fate == Fate::Carried { Ok(()) } else { write!(f, " ({fate:?})") }
            }
            Event::Arrived { at, packet } => {
                write!(f, "->{at} ")?;
                packet_line(f, packet)
            }
            Event::Info { host, flow, info } => {
                let TcpInfo { state, cwnd, in_flight, srtt, rto, congestion_phase: phase, .. } = info;
                let ssthresh = if info.ssthresh == u32::MAX { "inf".to_owned() } else { info.ssthresh.to_string() };
                write!(f, "  {host} flow {flow}: {state} cwnd={cwnd} ssthresh={ssthresh} flight={in_flight}")?;
                write!(f, " srtt={srtt:?} rto={rto:?} {phase}")
            }
        }
    }
}

fn packet_line(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let packet = match parse(bytes) {
        Ok(packet) => packet,
        Err(what) => return write!(f, "damaged: {what}"),
    };
    let Some(t) = packet.tcp else { return write!(f, "protocol {}", packet.protocol) };
    let (flags, sack) = (Flags(t.flags), t.sack.iter().flatten().collect::<Vec<_>>());
    write!(f, "{}>{} {flags} seq={} ack={} wnd={}", t.src_port, t.dst_port, t.seq, t.ack, t.wnd)?;
    write!(f, " len={} sack={sack:?}", t.text.len())
}

/// Tells only of numbers that have changed.
pub(super) struct Watcher<'a> {
    tell: Watch<'a>,
    last: Vec<[Option<TcpInfo>; 2]>,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(tell: Watch<'a>, flows: usize) -> Self {
        Watcher { tell, last: vec![[None, None]; flows] }
    }

    pub(super) fn tell(&mut self, at: Duration, event: &Event<'_>) {
        (self.tell)(at, event);
    }

    /// The numbers of a connection as they are.
    pub(super) fn sample(&mut self, at: Duration, host: usize, flow: Flow, info: TcpInfo) {
        let shown = |i: &TcpInfo| (i.state, i.cwnd, i.ssthresh, i.in_flight, i.srtt, i.rto, i.congestion_phase);
        let last = &mut self.last[flow][host];
        if last.as_ref().map(shown) != Some(shown(&info)) {
            let info = last.insert(info);
            (self.tell)(at, &Event::Info { host, flow, info });
        }
    }
}
