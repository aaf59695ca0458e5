//! Does the oracle see? Our host with one thing wrong in it; a few seeds must be enough to find each.

use std::net::SocketAddr;
use tunstack::buf::Slice;
use tunstack::error::Result;
use tunstack::sim::{Coverage, Flow, Host, OurHost, Ready, Scenario, World};
use tunstack::stack::{Shutdown, TcpOptions};
use tunstack::tcp::state::State;
use tunstack::time::Instant;

/// What is wrong with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// Now and then nobody is told that a socket became ready.
    ForgottenWakeup,
    /// A byte is changed on its way to the application.
    WrongByte,
    /// The stream ends too early.
    EarlyEnd,
    /// The checksum of a packet is wrong.
    BadChecksum,
    /// A segment is sent with a wrong byte and a right checksum.
    WrongText,
    /// The window is taken back.
    ShrunkWindow,
    /// Something is acknowledged that never came.
    OptimisticAck,
    /// Everything is answered twice.
    Chatter,
    /// A segment goes out that no window allows.
    BeyondTheWindow,
}

struct Mutant {
    inner: OurHost,
    mutation: Mutation,
    count: u64,
    again: Option<Slice>,
}

impl Mutant {
    /// Says yes once in `n` times.
    fn now_and_then(&mut self, n: u64) -> bool {
        self.count += 1;
        self.count.is_multiple_of(n)
    }

    fn spoil(&mut self, packet: Slice) -> Slice {
        let mut bytes = packet.to_vec();
        if bytes[9] != 6 || bytes.len() < 40 {
            return packet;
        }
        let text = 20 + usize::from(bytes[32] >> 4) * 4;
        let plain = bytes[33] & 0b111 == 0;
        let add = |bytes: &mut [u8], at: usize, n: u32| {
            let old = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
            bytes[at..at + 4].copy_from_slice(&old.wrapping_add(n).to_be_bytes());
        };
        let mutation = self.mutation;
        match mutation {
            Mutation::BadChecksum if self.now_and_then(40) => {
                bytes[36] ^= 1;
                return Slice::copy_of(&bytes);
            }
            Mutation::WrongText if bytes.len() > text && self.now_and_then(20) => bytes[text] ^= 1,
            Mutation::ShrunkWindow if plain && self.now_and_then(20) => bytes[34] /= 2,
            Mutation::OptimisticAck if plain && self.now_and_then(20) => add(&mut bytes, 28, 1),
            Mutation::BeyondTheWindow if plain && bytes.len() > text && self.now_and_then(20) => {
                add(&mut bytes, 24, 1 << 24);
            }
            Mutation::Chatter if plain && bytes.len() == text => {
                self.again = Some(packet.clone());
                return packet;
            }
            _ => return packet,
        }
        bytes[36..38].fill(0);
        let mut sum = 6 + (bytes.len() as u32 - 20);
        for pair in bytes[12..].chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        bytes[36..38].copy_from_slice(&(!(sum as u16)).to_be_bytes());
        Slice::copy_of(&bytes)
    }
}

impl Host for Mutant {
    fn receive(&mut self, now: Instant, packet: Slice) {
        self.inner.receive(now, packet);
    }
    fn on_deadline(&mut self, now: Instant) {
        self.inner.on_deadline(now);
    }
    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        self.inner.deadline(now)
    }
    fn transmit(&mut self, now: Instant) -> Option<Slice> {
        if let Some(packet) = self.again.take() {
            return Some(packet);
        }
        let packet = self.inner.transmit(now)?;
        Some(self.spoil(packet))
    }
    fn poll_ready(&mut self, now: Instant) -> Option<Ready> {
        let ready = self.inner.poll_ready(now)?;
        if self.mutation == Mutation::ForgottenWakeup && self.now_and_then(10) {
            return self.inner.poll_ready(now);
        }
        Some(ready)
    }
    fn listen(&mut self, now: Instant, local: SocketAddr, backlog: usize, options: &TcpOptions) -> Result<()> {
        self.inner.listen(now, local, backlog, options)
    }
    fn close_listener(&mut self, now: Instant) {
        self.inner.close_listener(now);
    }
    fn accept(&mut self, now: Instant, flow_of: &dyn Fn(SocketAddr) -> Option<Flow>) -> Result<Flow> {
        self.inner.accept(now, flow_of)
    }
    fn connect(
        &mut self,
        now: Instant,
        flow: Flow,
        local: SocketAddr,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<()> {
        self.inner.connect(now, flow, local, remote, options)
    }
    fn send(&mut self, now: Instant, flow: Flow, data: &[u8]) -> Result<usize> {
        self.inner.send(now, flow, data)
    }
    fn recv(&mut self, now: Instant, flow: Flow, buf: &mut [u8]) -> Result<usize> {
        let got = self.inner.recv(now, flow, buf)?;
        let mutation = self.mutation;
        match mutation {
            Mutation::WrongByte if got > 0 && self.now_and_then(10) => buf[got / 2] ^= 0x10,
            Mutation::EarlyEnd if self.now_and_then(10) => return Ok(0),
            _ => {}
        }
        Ok(got)
    }
    fn shutdown(&mut self, now: Instant, flow: Flow, how: Shutdown) -> Result<()> {
        self.inner.shutdown(now, flow, how)
    }
    fn close(&mut self, now: Instant, flow: Flow) {
        self.inner.close(now, flow);
    }
    fn abort(&mut self, now: Instant, flow: Flow) {
        self.inner.abort(now, flow);
    }
    fn state(&self, flow: Flow) -> State {
        self.inner.state(flow)
    }
    fn unread(&mut self, flow: Flow) -> bool {
        self.inner.unread(flow)
    }
    fn judged(&self) -> bool {
        true
    }
    fn check(&mut self, now: Instant, coverage: &mut Coverage) -> core::result::Result<(), String> {
        self.inner.check(now, coverage)
    }
    fn connections(&self) -> usize {
        self.inner.connections()
    }
    fn check_empty(&mut self, coverage: &mut Coverage) -> core::result::Result<(), String> {
        self.inner.check_empty(coverage)
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// The first seed that finds the mutation, and what it said.
fn found(mutation: Mutation) -> Option<(u64, String)> {
    (0..100).find_map(|seed| {
        let scenario = Scenario::from_seed(seed);
        let plan = &scenario.hosts[0];
        let start = Instant::from_nanos(scenario.start);
        let inner = OurHost::new(plan.config.clone(), plan.seed, start, scenario.flows.len());
        let mutant = Mutant { inner, mutation, count: 0, again: None };
        let violation = World::new(scenario).host(0, Box::new(mutant)).run().violation?;
        Some((seed, violation.what))
    })
}

#[test]
fn planted_faults_are_found_and_named() {
    for (mutation, name) in [
        (Mutation::ForgottenWakeup, "a hang"),
        (Mutation::WrongByte, "INV-3: a wrong byte"),
        (Mutation::EarlyEnd, "INV-3"),
        (Mutation::BadChecksum, "INV-8"),
        (Mutation::WrongText, "wrong text"),
        (Mutation::ShrunkWindow, "INV-4: the right edge"),
        (Mutation::OptimisticAck, "an acknowledgment of"),
        (Mutation::Chatter, "INV-5"),
        (Mutation::BeyondTheWindow, "text up to"),
    ] {
        let (seed, what) = found(mutation).unwrap_or_else(|| panic!("nobody noticed {mutation:?}"));
        assert!(what.contains(name), "{mutation:?}, seed {seed}: {what}");
    }
}
