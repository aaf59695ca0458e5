//! [`Flow`]: what the scripted peer knows of one conversation.

use super::packet::Packet;
use super::segment::{ACK, Num, RST, SYN, Seg, Text, flags_name};
use std::fmt::Write as _;
use std::net::SocketAddrV4;

/// The peer's ISN: nearly every test crosses the wrap of the sequence space.
const PEER_ISS: u32 = u32::MAX - 99;

/// One TCP conversation, as the scripted peer sees it.
pub struct Flow {
    pub peer: SocketAddrV4,
    /// Port 0 until the stack has chosen one.
    pub local: SocketAddrV4,
    pub iss: u32,
    pub nxt: u32,
    pub stack_iss: Option<u32>,
    /// The end of what the stack has sent.
    pub stack_end: u32,
    pub peer_ts: bool,
    pub stack_ts: bool,
    pub last_tsval: u32,
    pub peer_ws: Option<u8>,
    pub stack_ws: Option<u8>,
    /// The right edge of the stack's window, until the peer has sent a FIN.
    pub edge: Option<u32>,
    pub fin_sent: bool,
}

impl Flow {
    pub fn new(peer: SocketAddrV4, local: SocketAddrV4) -> Self {
        Flow {
            peer,
            local,
            iss: PEER_ISS,
            nxt: PEER_ISS,
            stack_iss: None,
            stack_end: 0,
            peer_ts: false,
            stack_ts: false,
            last_tsval: 0,
            peer_ws: None,
            stack_ws: None,
            edge: None,
            fin_sent: false,
        }
    }

    pub fn peer_num(&self, n: Num) -> u32 {
        match n {
            Num::Relative(n) => self.iss.wrapping_add(n as u32),
            Num::Absolute(n) => n,
        }
    }

    pub fn stack_num(&self, n: Num) -> u32 {
        match n {
            Num::Relative(n) => self.stack_iss.unwrap_or(0).wrapping_add(n as u32),
            Num::Absolute(n) => n,
        }
    }

    /// Learns from a packet of the stack, and checks the window's right edge.
    pub fn learn(&mut self, p: &Packet) -> core::result::Result<(), String> {
        if p.has(SYN) {
            if self.stack_iss != Some(p.seq) {
                self.stack_iss = Some(p.seq);
                self.stack_end = p.seq.wrapping_add(1);
                self.edge = None;
                self.fin_sent = false;
            }
            self.stack_ts = p.ts.is_some();
            self.stack_ws = p.ws;
        }
        if let Some((val, _)) = p.ts {
            self.last_tsval = val;
        }
        if p.has(RST) || self.stack_iss.is_none() {
            return Ok(());
        }
        let end = p.seq.wrapping_add(p.seq_len());
        if (end.wrapping_sub(self.stack_end) as i32) > 0 {
            self.stack_end = end;
        }
        if p.has(ACK) && !self.fin_sent {
            let shift = if p.has(SYN) { 0 } else { self.scale() };
            let edge = p.ack.wrapping_add(u32::from(p.wnd) << shift);
            // Scaling rounds the field down, by less than one unit (RFC 7323 2.4).
            if let Some(old) = self.edge
                && (edge.wrapping_sub(old) as i32) <= -(1 << shift)
            {
                return Err(format!("the window's right edge moved left by {} bytes", old.wrapping_sub(edge)));
            }
            self.edge = Some(edge);
        }
        Ok(())
    }

    /// The shift of the stack's windows.
    pub fn scale(&self) -> u8 {
        match (self.peer_ws, self.stack_ws) {
            (Some(_), Some(shift)) => shift,
            _ => 0,
        }
    }

    pub fn describe(&self, p: &Packet) -> String {
        let mut out = format!(
            "{} seq={} ack={} wnd={} len={}",
            flags_name(p.flags),
            p.seq.wrapping_sub(self.stack_iss.unwrap_or(0)) as i32,
            p.ack.wrapping_sub(self.iss) as i32,
            p.wnd,
            p.text.len()
        );
        if p.up != 0 {
            let _ = write!(out, " up={}", p.up);
        }
        let _ = write!(out, "{}", named("mss", &p.mss) + &named("ws", &p.ws) + &named("sackOK", &p.sack_ok));
        let _ = write!(out, "{}", named("ts", &p.ts) + &named("sack", &self.relative_sack(p)));
        out
    }

    pub fn relative_sack(&self, p: &Packet) -> Option<Vec<(u32, u32)>> {
        let relative = |&(l, r): &(u32, u32)| (l.wrapping_sub(self.iss), r.wrapping_sub(self.iss));
        p.sack.as_ref().map(|blocks| blocks.iter().map(relative).collect())
    }

    /// Every named field in which `p` is not as `want` says.
    pub fn differences(&self, want: &Seg, p: &Packet) -> Vec<String> {
        let mut out = Vec::new();
        let mut field = |name: &str, same: bool, want: String, got: String| {
            if !same {
                out.push(format!("{name}: expected {want}, got {got}"));
            }
        };
        let flags = (want.flags & want.mask, p.flags & want.mask);
        field("flags", flags.0 == flags.1, flags_name(flags.0), flags_name(flags.1));
        if let Some(n) = want.seq {
            let same = p.seq == self.stack_num(n);
            let relative = p.seq.wrapping_sub(self.stack_iss.unwrap_or(0)) as i32;
            field("seq", same, n.to_string(), format!("{relative} ({} absolute)", p.seq));
        }
        if let Some(n) = want.ack {
            let relative = p.ack.wrapping_sub(self.iss) as i32;
            field("ack", p.ack == self.peer_num(n), n.to_string(), format!("{relative} ({} absolute)", p.ack));
        }
        if let Some(n) = want.wnd {
            field("wnd", p.wnd == n, n.to_string(), p.wnd.to_string());
        }
        if let Some(n) = want.up {
            field("up", p.up == n, n.to_string(), p.up.to_string());
        }
        match &want.text {
            Some(Text::Bytes(bytes)) if *bytes != p.text => {
                field("text", false, preview(bytes), preview(&p.text));
            }
            Some(Text::Pattern(n)) => field("len", p.text.len() == *n, n.to_string(), p.text.len().to_string()),
            _ => {}
        }
        if let Some(n) = want.ttl {
            field("ttl", p.ttl == n, n.to_string(), p.ttl.to_string());
        }
        if let Some(n) = want.tos {
            field("tos", p.tos == n, n.to_string(), p.tos.to_string());
        }
        field("mss", want.mss.admits(&p.mss), format!("{:?}", want.mss), format!("{:?}", p.mss));
        field("ws", want.ws.admits(&p.ws), format!("{:?}", want.ws), format!("{:?}", p.ws));
        field("sackOK", want.sack_ok.admits(&p.sack_ok), format!("{:?}", want.sack_ok), format!("{:?}", p.sack_ok));
        field("ts", want.ts.admits(&p.ts), format!("{:?}", want.ts), format!("{:?}", p.ts));
        if let Some(ecr) = want.ts_ecr {
            let got = p.ts.map(|(_, ecr)| ecr);
            field("TSecr", got == Some(ecr), ecr.to_string(), format!("{got:?}"));
        }
        let sack = self.relative_sack(p);
        field("sack", want.sack.admits(&sack), format!("{:?}", want.sack), format!("{sack:?}"));
        out
    }
}

fn named<T: core::fmt::Debug>(name: &str, value: &Option<T>) -> String {
    value.as_ref().map_or(String::new(), |value| format!(" {name}={value:?}"))
}

pub fn preview(bytes: &[u8]) -> String {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(24)]).into_owned();
    format!("{} bytes {head:?}", bytes.len())
}

/// The options of a segment of the peer, in the usual order.
pub fn options(s: &Seg, timestamps: Option<(u32, u32)>, stack_iss: u32) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(mss) = s.mss.value() {
        out.extend([2, 4]);
        out.extend(mss.to_be_bytes());
    }
    if let Some(&shift) = s.ws.value() {
        out.extend([1, 3, 3, shift]);
    }
    if s.sack_ok.value().is_some() {
        out.extend([1, 1, 4, 2]);
    }
    if let Some((val, ecr)) = timestamps {
        out.extend([1, 1, 8, 10]);
        out.extend(val.to_be_bytes());
        out.extend(ecr.to_be_bytes());
    }
    if let Some(blocks) = s.sack.value() {
        out.extend([1, 1, 5, 2 + 8 * blocks.len() as u8]);
        for (left, right) in blocks {
            out.extend(stack_iss.wrapping_add(*left).to_be_bytes());
            out.extend(stack_iss.wrapping_add(*right).to_be_bytes());
        }
    }
    out
}
