//! The UDP gate: a socket for each source of datagrams that nobody else takes.

use super::{SocketId, Stack, UdpGateId, UdpId};
use crate::error::{Error, Result};
use crate::ip::Packet;
use crate::stats::{Disposition, DropReason};
use crate::tcp::tuple::FourTuple;
use crate::time::Instant;
use crate::udp::{self, Ended};
use crate::wire::RxFrame;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

impl Stack {
    /// Opens the UDP gate: from now on, datagrams that no socket takes, to whichever port, begin a flow for each source
    /// address and port; where [`Config::any_address`](super::Config::any_address) is set, to whichever address.
    /// [`Config::flows`](super::Config::flows) has the bounds.
    ///
    /// # Errors
    /// `AddrInUse` if it is open.
    pub fn udp_gate_open(&mut self) -> Result<UdpGateId> {
        self.udp.open_gate()?;
        self.gates += 1;
        let id = UdpGateId { index: 0, generation: self.gates };
        self.udp_gate = Some(id);
        Ok(id)
    }

    /// Closes the UDP gate. Flows that were accepted go on; the others are over.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_gate_close(&mut self, id: UdpGateId) -> Result<()> {
        self.check_udp_gate(id)?;
        self.udp_gate = None;
        for source in self.udp.close_gate() {
            self.unclaim(&name_of_flow(source));
        }
        Ok(())
    }

    /// Takes the next flow: a UDP socket that hears all that its source sends, wherever to
    /// ([`RecvMsg::destination`](super::RecvMsg::destination)), and sends to it from wherever
    /// [`SendMsg::source`](super::SendMsg::source) says. When the flow was idle for too long it is hung up, and its calls
    /// fail with `TimedOut` once all is read.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, `BadHandle`.
    pub fn udp_gate_accept(&mut self, id: UdpGateId) -> Result<(UdpId, SocketAddr)> {
        self.check_udp_gate(id)?;
        self.udp.accept_flow()
    }

    /// How many flows nobody has accepted, and the bytes that their datagrams are charged.
    ///
    /// # Errors
    /// `BadHandle`.
    pub fn udp_gate_load(&self, id: UdpGateId) -> Result<(usize, usize)> {
        self.check_udp_gate(id)?;
        Ok(self.udp.gate_load())
    }

    pub(super) fn check_udp_gate(&self, id: UdpGateId) -> Result<()> {
        if self.udp_gate == Some(id) { Ok(()) } else { Err(Error::BadHandle) }
    }

    /// A datagram that no socket takes begins a flow.
    pub(super) fn begin_flow(&mut self, now: Instant, frame: &RxFrame, packet: &Packet) -> Disposition {
        let limit = Disposition::Dropped(DropReason::UdpFlowLimit);
        let (Some(gate), Some((source, bytes))) = (self.udp_gate, udp::opening(frame, packet)) else { return limit };
        let name = name_of_flow(source);
        if let Some(owner) = self.elsewhere(&name) {
            return self.pass_on(owner);
        }
        loop {
            match self.udp.make_room(source, bytes, &mut self.stats.gate) {
                Err(_) => return limit,
                Ok(None) => break,
                Ok(Some(ended)) => self.flow_ended(ended),
            }
        }
        if let Err(owner) = self.claim(&name) {
            return self.pass_on(owner); // it has begun there meanwhile
        }
        self.udp.begin_flow(source, now);
        self.stats.gate.flows += 1;
        self.mark_ready(SocketId::UdpGate(gate));
        let outcome = self.udp.input(&mut self.ip, now, frame, packet, &mut self.stats);
        outcome.disposition
    }

    /// Ends a flow that was idle for too long, if there is one.
    pub(super) fn expire_flow(&mut self, now: Instant) -> bool {
        let ended = self.udp.expire_flow(now, &mut self.stats.gate);
        ended.map(|ended| self.flow_ended(ended)).is_some()
    }

    fn flow_ended(&mut self, ended: Ended) {
        self.unclaim(&name_of_flow(ended.source));
        if let Some(id) = ended.socket {
            self.mark_ready(SocketId::Udp(id));
        }
    }
}

/// What shards know a flow by: a name that no connection has.
pub(super) fn name_of_flow(source: SocketAddr) -> FourTuple {
    FourTuple::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0), source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buf::Slice;
    use crate::rng::Rng;
    use crate::stack::{Cidr, Config, Readiness, SendMsg};
    use core::time::Duration;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn stack(addresses: &[&str], change: impl FnOnce(&mut Config)) -> Stack {
        let cidr = |addr: &&str| Cidr::new(addr.parse().unwrap(), if addr.contains(':') { 64 } else { 24 });
        let mut config = Config { addresses: addresses.iter().map(cidr).collect(), ..Config::default() };
        change(&mut config);
        Stack::new(config, Rng::seed_from(3), Instant::ZERO).unwrap()
    }

    /// A client and a stack of any address with its gate open, on one link.
    struct Pair {
        client: Stack,
        server: Stack,
        gate: UdpGateId,
        now: Instant,
    }

    impl Pair {
        fn new(change: impl FnOnce(&mut Config)) -> Pair {
            let client = stack(&["192.0.2.1", "2001:db8::1"], |_| {});
            let mut server = stack(&["192.0.2.2", "2001:db8::2"], |config| {
                config.any_address = true;
                change(config);
            });
            let gate = server.udp_gate_open().unwrap();
            Pair { client, server, gate, now: Instant::from_millis(1) }
        }

        /// A datagram of the client; what the server makes of it.
        fn sends(&mut self, from: UdpId, data: &[u8], to: &str) -> Disposition {
            self.client.udp_send(self.now, from, data, Some(at(to))).unwrap();
            let frame = self.client.poll_transmit(self.now).expect("a frame");
            self.server.on_frame(self.now, RxFrame::plain(Slice::copy_of(&frame.to_vec())))
        }

        /// A packet of the client's.
        fn datagram(&mut self, data: &[u8]) -> Vec<u8> {
            let client = self.client.udp_bind(at("192.0.2.1:6000")).unwrap();
            self.client.udp_send(self.now, client, data, Some(at("203.0.113.1:53"))).unwrap();
            self.client.poll_transmit(self.now).unwrap().to_vec()
        }

        /// What the server makes of the packet, from the `n`th forged address.
        fn forged(&mut self, packet: &[u8], n: u32) -> Disposition {
            let mut packet = packet.to_vec();
            packet[12..16].copy_from_slice(&(0x0a00_0000 + n).to_be_bytes());
            packet[10..12].fill(0);
            let sum = crate::wire::checksum::checksum(&packet[..20]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            packet[26..28].fill(0); // no checksum of UDP
            self.server.on_frame(self.now, RxFrame::plain(Slice::copy_of(&packet)))
        }

        fn recv(&mut self, id: UdpId) -> Result<(Vec<u8>, SocketAddr)> {
            let mut buf = [0; 100];
            let got = self.server.udp_recv_msg(id, &mut buf, false)?;
            Ok((buf[..got.len].to_vec(), got.destination))
        }

        /// The server answers as if `from` did, and the client gets it.
        fn answers(&mut self, id: UdpId, data: &[u8], from: &str) -> Result<usize> {
            let message = SendMsg { data, source: Some(at(from)), ..SendMsg::default() };
            let sent = self.server.udp_send_msg(self.now, id, &message);
            while let Some(frame) = self.server.poll_transmit(self.now) {
                self.client.on_frame(self.now, RxFrame::plain(Slice::copy_of(&frame.to_vec())));
            }
            while let Some(frame) = self.client.poll_transmit(self.now) {
                self.server.on_frame(self.now, RxFrame::plain(Slice::copy_of(&frame.to_vec())));
            }
            sent
        }

        fn heard(&mut self, id: UdpId) -> Option<(Vec<u8>, SocketAddr)> {
            let mut buf = [0; 100];
            let (n, from) = self.client.udp_recv(id, &mut buf, false).ok()?;
            Some((buf[..n].to_vec(), from))
        }

        fn pass(&mut self, time: Duration) {
            let end = self.now + time;
            while let Some(due) = self.server.deadline().filter(|due| *due <= end) {
                self.now = self.now.max(due);
                self.server.on_deadline(self.now);
            }
            self.now = end;
        }
    }

    #[test]
    fn what_one_port_sends_is_one_flow_wherever_to() {
        for (own, first, second, third) in [
            ("192.0.2.1:5000", "203.0.113.1:53", "198.51.100.7:123", "203.0.113.99:9999"),
            ("[2001:db8::1]:5000", "[2001:db8:9::1]:53", "[2001:db8:8::7]:123", "[2001:db8:9::99]:9999"),
        ] {
            let mut p = Pair::new(|_| {});
            let client = p.client.udp_bind(at(own)).unwrap();
            assert_eq!(p.sends(client, b"one", first), Disposition::Delivered);
            assert_eq!(p.server.poll_ready(), Some(SocketId::UdpGate(p.gate)));
            assert_eq!(p.server.readiness(SocketId::UdpGate(p.gate)), Readiness::READABLE);
            let (flow, source) = p.server.udp_gate_accept(p.gate).unwrap();
            assert_eq!((source, p.server.udp_peer_addr(flow)), (at(own), Ok(at(own))));
            assert_eq!(p.server.readiness(SocketId::UdpGate(p.gate)), Readiness::NONE);
            assert_eq!(p.sends(client, b"two", second), Disposition::Delivered);
            assert_eq!(p.server.udp_gate_accept(p.gate), Err(Error::WouldBlock), "it is the same flow");
            assert_eq!(p.recv(flow), Ok((b"one".to_vec(), at(first))));
            assert_eq!(p.recv(flow), Ok((b"two".to_vec(), at(second))));
            assert_eq!(p.recv(flow), Err(Error::WouldBlock));
            // Answers come from where it was asked, and from elsewhere too.
            for from in [first, second, third] {
                assert_eq!(p.answers(flow, b"yes", from), Ok(3));
                assert_eq!(p.heard(client), Some((b"yes".to_vec(), at(from))));
            }
            // Another port is another flow.
            let other = p.client.udp_bind(SocketAddr::new(at(own).ip(), 5001)).unwrap();
            p.sends(other, b"three", first);
            let (second_flow, source) = p.server.udp_gate_accept(p.gate).unwrap();
            assert_eq!((source.port(), p.recv(second_flow)), (5001, Ok((b"three".to_vec(), at(first)))));
            // A client that has gone says so.
            p.client.udp_close(client).unwrap();
            p.answers(flow, b"there?", first).unwrap();
            assert_eq!(p.answers(flow, b"hello?", first), Err(Error::ConnectionRefused));
        }
    }

    #[test]
    fn sockets_go_first_and_a_closed_gate_lets_accepted_flows_go_on() {
        let mut p = Pair::new(|_| {});
        let bound = p.server.udp_bind(at("0.0.0.0:53")).unwrap();
        let client = p.client.udp_bind(at("192.0.2.1:5000")).unwrap();
        p.sends(client, b"to all", "203.0.113.1:53");
        assert_eq!(p.recv(bound), Ok((b"to all".to_vec(), at("203.0.113.1:53"))));
        p.sends(client, b"x", "203.0.113.1:54");
        let (flow, _) = p.server.udp_gate_accept(p.gate).unwrap();
        let other = p.client.udp_bind(at("192.0.2.1:5001")).unwrap();
        p.sends(other, b"y", "203.0.113.1:54");
        assert_eq!(p.server.udp_gate_open(), Err(Error::AddrInUse));
        p.server.udp_gate_close(p.gate).unwrap();
        assert_eq!(p.server.udp_gate_close(p.gate), Err(Error::BadHandle));
        assert!(p.server.readiness(SocketId::UdpGate(p.gate)).contains(Readiness::HANGUP));
        assert_eq!(p.sends(client, b"z", "203.0.113.1:55"), Disposition::Delivered);
        assert_eq!((p.recv(flow).unwrap().0, p.recv(flow).unwrap().0), (b"x".to_vec(), b"z".to_vec()));
        let refused = Disposition::Dropped(DropReason::UdpNoSocket);
        assert_eq!(p.sends(other, b"y", "203.0.113.1:54"), refused, "it was not accepted");
        // A flow keeps its peer, and is over with its socket.
        assert_eq!(p.server.udp_connect(flow, at("192.0.2.1:9")), Err(Error::AlreadyConnected));
        assert_eq!(p.server.udp_disconnect(flow), Err(Error::AlreadyConnected));
        p.server.udp_close(flow).unwrap();
        assert_eq!(p.sends(client, b"z", "203.0.113.1:55"), refused);
        assert_eq!(p.server.memory(), 0);
        assert_eq!(p.server.deadline(), None);
    }

    #[test]
    fn a_flow_ends_when_it_was_idle_and_begins_anew() {
        let mut p = Pair::new(|_| {});
        let config = p.server.config().flows.clone();
        let client = p.client.udp_bind(at("192.0.2.1:5000")).unwrap();
        p.sends(client, b"one", "203.0.113.1:53");
        let (flow, _) = p.server.udp_gate_accept(p.gate).unwrap();
        // While nothing went back, for a short time only.
        p.pass(config.unanswered - Duration::from_millis(1));
        p.sends(client, b"two", "203.0.113.1:53");
        p.pass(config.unanswered - Duration::from_millis(1));
        assert_eq!(p.answers(flow, b"yes", "203.0.113.1:53"), Ok(3));
        p.pass(config.idle - Duration::from_millis(1));
        assert_eq!(p.server.stats().gate.flows_expired, 0);
        while p.server.poll_ready().is_some() {}
        p.pass(Duration::from_millis(1));
        assert_eq!(p.server.stats().gate.flows_expired, 1);
        assert_eq!(p.server.poll_ready(), Some(SocketId::Udp(flow)));
        assert!(p.server.readiness(SocketId::Udp(flow)).contains(Readiness::HANGUP));
        // What it has is read first.
        assert!(p.recv(flow).is_ok() && p.recv(flow).is_ok());
        assert_eq!(p.recv(flow), Err(Error::TimedOut));
        assert_eq!(p.answers(flow, b"late", "203.0.113.1:53"), Err(Error::TimedOut));
        p.sends(client, b"three", "203.0.113.1:53");
        let (next, _) = p.server.udp_gate_accept(p.gate).unwrap();
        assert_ne!(next, flow);
        p.server.udp_close(flow).unwrap();
        assert_eq!(p.recv(next), Ok((b"three".to_vec(), at("203.0.113.1:53"))), "the old one takes nothing with it");
        // One that nobody accepts is gone with all that it had.
        let other = p.client.udp_bind(at("192.0.2.1:5001")).unwrap();
        p.sends(other, b"four", "203.0.113.1:53");
        assert!(p.server.memory() > 0);
        p.pass(config.idle * 2);
        assert_eq!((p.server.udp_gate_accept(p.gate), p.server.memory()), (Err(Error::WouldBlock), 0));
        assert_eq!(p.server.deadline(), None);
    }

    #[test]
    fn flows_are_bounded_and_those_with_an_answer_stay() {
        let mut p = Pair::new(|config| (config.flows.max_flows, config.flows.max_per_source) = (4, 4));
        let mut clients = Vec::new();
        for n in 0..4 {
            clients.push(p.client.udp_bind(at(&format!("192.0.2.1:{}", 5000 + n))).unwrap());
            p.sends(clients[n], b"x", "203.0.113.1:53");
        }
        let flows: Vec<UdpId> = (0..4).map(|_| p.server.udp_gate_accept(p.gate).unwrap().0).collect();
        let more = p.client.udp_bind(at("192.0.2.1:6000")).unwrap();
        let limit = Disposition::Dropped(DropReason::UdpFlowLimit);
        assert_eq!(p.sends(more, b"x", "203.0.113.1:53"), limit, "a source has no more");
        // Another source's: the oldest without an answer gives way.
        p.answers(flows[0], b"yes", "203.0.113.1:53").unwrap();
        let v6 = p.client.udp_bind(at("[2001:db8::1]:5000")).unwrap();
        assert_eq!(p.sends(v6, b"x", "[2001:db8:9::1]:53"), Disposition::Delivered);
        assert_eq!(p.server.stats().gate.flows_evicted, 1);
        assert!(p.server.readiness(SocketId::Udp(flows[1])).contains(Readiness::HANGUP));
        assert!(!p.server.readiness(SocketId::Udp(flows[0])).contains(Readiness::HANGUP));
        // Where all have one, nobody does.
        for flow in &flows[2..] {
            p.answers(*flow, b"yes", "203.0.113.1:53").unwrap();
        }
        let (last, _) = p.server.udp_gate_accept(p.gate).unwrap();
        p.answers(last, b"yes", "[2001:db8:9::1]:53").unwrap();
        let other = p.client.udp_bind(at("[2001:db8::1]:5001")).unwrap();
        assert_eq!(p.sends(other, b"x", "[2001:db8:9::1]:53"), limit);
    }

    /// 50,000 datagrams from forged addresses: no more flows than there may be, and one that is answered lives.
    #[test]
    fn a_flood_leaves_what_is_answered_alone() {
        let mut p = Pair::new(|config| config.flows.max_flows = 1000);
        let honest = p.client.udp_bind(at("192.0.2.1:5000")).unwrap();
        p.sends(honest, b"x", "203.0.113.1:53");
        let (flow, _) = p.server.udp_gate_accept(p.gate).unwrap();
        p.answers(flow, b"yes", "203.0.113.1:53").unwrap();
        let flood = p.datagram(b"flood");
        for n in 0..50_000u32 {
            assert_eq!(p.forged(&flood, n), Disposition::Delivered, "the flood's own gives way");
        }
        assert_eq!(p.server.stats().gate.flows_evicted, 50_000 - 999);
        assert_eq!(p.sends(honest, b"still", "203.0.113.1:53"), Disposition::Delivered);
        p.recv(flow).unwrap();
        assert_eq!(p.recv(flow).unwrap().0, b"still");
        let accepted = core::iter::from_fn(|| p.server.udp_gate_accept(p.gate).ok()).count();
        assert_eq!(accepted, 999);
    }

    /// However soon a flow with an answer would end: of those without one, one gives way.
    #[test]
    fn an_answered_flow_near_its_end_keeps_nobody_out() {
        let mut p = Pair::new(|config| config.flows.max_flows = 4);
        let honest = p.client.udp_bind(at("192.0.2.1:5000")).unwrap();
        p.sends(honest, b"x", "203.0.113.1:53");
        let (flow, _) = p.server.udp_gate_accept(p.gate).unwrap();
        p.answers(flow, b"yes", "203.0.113.1:53").unwrap();
        let idle = p.server.config().flows.idle;
        p.pass(idle - Duration::from_secs(1));
        let packet = p.datagram(b"flood");
        for n in 0..20 {
            assert_eq!(p.forged(&packet, n), Disposition::Delivered);
        }
        assert_eq!(p.server.stats().gate.flows_evicted, 17);
        assert!(!p.server.readiness(SocketId::Udp(flow)).contains(Readiness::HANGUP));
        // Not even where each of those was heard of again since.
        p.pass(Duration::from_millis(10));
        for n in 17..20 {
            p.forged(&packet, n);
        }
        assert_eq!(p.forged(&packet, 99), Disposition::Delivered);
    }

    /// Datagrams that nobody has accepted have a part of the memory; others are heard, and new flows begin.
    #[test]
    fn what_nobody_accepts_starves_no_socket() {
        let mut p = Pair::new(|config| (config.memory, config.flows.memory) = (4 << 20, 20_000));
        let bound = p.server.udp_bind(at("0.0.0.0:99")).unwrap();
        let packet = p.datagram(&[7; 1000]);
        for n in 0..1000 {
            assert_eq!(p.forged(&packet, n), Disposition::Delivered, "the oldest gives way");
            let (flows, bytes) = p.server.udp_gate_load(p.gate).unwrap();
            assert!(flows > 0 && bytes <= 20_000 && p.server.memory() == bytes);
        }
        let (flows, _) = p.server.udp_gate_load(p.gate).unwrap();
        // What more comes on one of these flows has no room; on one that is accepted it has.
        let full = Disposition::Dropped(DropReason::UdpQueueFull);
        assert_eq!(p.forged(&packet, 999), full);
        let oldest = 1000 - flows as u32;
        let (flow, source) = p.server.udp_gate_accept(p.gate).unwrap();
        assert_eq!(source.ip(), IpAddr::from((0x0a00_0000 + oldest).to_be_bytes()));
        for _ in 0..30 {
            assert_eq!(p.forged(&packet, oldest), Disposition::Delivered);
        }
        assert_eq!(p.server.udp_gate_load(p.gate).unwrap().0, flows - 1);
        let honest = p.client.udp_bind(at("192.0.2.1:5000")).unwrap();
        assert_eq!(p.sends(honest, b"x", "192.0.2.2:99"), Disposition::Delivered);
        assert_eq!(p.recv(bound).unwrap().0, b"x");
        // One is always taken, however large; and where others have all of UDP's memory, none is, and none gives way.
        let mut small = Pair::new(|config| (config.memory, config.flows.memory) = (4 << 20, 100));
        assert_eq!(small.forged(&packet, 1), Disposition::Delivered);
        p.server.udp_options(flow).unwrap().recv_buffer = usize::MAX;
        while p.forged(&packet, oldest) == Disposition::Delivered {}
        let evicted = p.server.stats().gate.flows_evicted;
        let limit = Disposition::Dropped(DropReason::UdpFlowLimit);
        let before = p.server.udp_gate_load(p.gate).unwrap();
        p.server.udp_gate_accept(p.gate).unwrap();
        while p.server.udp_gate_accept(p.gate).is_ok() {}
        assert_eq!(p.forged(&packet, 5000), limit);
        assert!(before.0 > 0 && p.server.stats().gate.flows_evicted == evicted);
        p.server.udp_gate_close(p.gate).unwrap();
        assert_eq!(p.server.udp_gate_load(p.gate), Err(Error::BadHandle));
    }

    /// A flow that somebody holds would not give its socket back, so it is not ended for one.
    #[test]
    fn where_no_socket_is_left_no_accepted_flow_gives_way() {
        let mut p = Pair::new(|config| config.max_udp_sockets = 3);
        let packet = p.datagram(b"x");
        for n in 0..3 {
            assert_eq!(p.forged(&packet, n), Disposition::Delivered);
        }
        let (first, _) = p.server.udp_gate_accept(p.gate).unwrap();
        assert_eq!(p.forged(&packet, 3), Disposition::Delivered, "the second, which waits, gives way");
        assert!(!p.server.readiness(SocketId::Udp(first)).contains(Readiness::HANGUP));
        while p.server.udp_gate_accept(p.gate).is_ok() {}
        assert_eq!(p.forged(&packet, 4), Disposition::Dropped(DropReason::UdpFlowLimit));
        assert!(!p.server.readiness(SocketId::Udp(first)).contains(Readiness::HANGUP));
        assert_eq!(p.server.stats().gate.flows_evicted, 1);
        assert_eq!(p.server.udp_bind(at("0.0.0.0:99")), Err(Error::NoBufferSpace));
    }
}
