//! smoltcp as the other end: an independent TCP, in the same virtual time. It is an opponent and not on trial.

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::wire::{HardwareAddress, IpCidr, IpEndpoint, IpListenEndpoint};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tunstack::buf::{Chunk, Slice};
use tunstack::error::{Error, Result};
use tunstack::sim::{ADDRESSES, ADDRESSES_V6, Coverage, Flow, Host, Ready, Scenario};
use tunstack::stack::{Shutdown, TcpOptions};
use tunstack::tcp::state::State;
use tunstack::time::Instant;

/// A host with smoltcp's stack.
pub struct SmoltcpHost {
    iface: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    /// Sockets that listen, or whose connection was not accepted yet.
    listening: Vec<SocketHandle>,
    flows: Vec<Option<SocketHandle>>,
    closed: Vec<SocketHandle>,
    ready: VecDeque<Ready>,
    /// Something happened that the interface has not been polled for.
    dirty: bool,
    polled: Instant,
}

/// The two queues between the interface and the link.
struct Wire {
    received: VecDeque<Slice>,
    sent: VecDeque<Slice>,
    mtu: usize,
}

struct Received(Slice);
struct Sending<'a>(&'a mut VecDeque<Slice>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut chunk = Chunk::with_capacity(len);
        let result = f(chunk.space());
        chunk.set_len(len);
        self.0.push_back(chunk.freeze());
        result
    }
}

impl Device for Wire {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _now: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        let packet = self.received.pop_front()?;
        Some((Received(packet), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _now: smoltcp::time::Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

impl SmoltcpHost {
    /// The host on side `side` of `scenario`.
    pub fn new(scenario: &Scenario, side: usize) -> Self {
        let plan = &scenario.hosts[side];
        let mut wire = Wire { received: VecDeque::new(), sent: VecDeque::new(), mtu: plan.config.mtu };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = plan.seed;
        let now = Instant::from_nanos(scenario.start);
        let mut iface = Interface::new(config, &mut wire, time(now));
        iface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(ADDRESSES[side].into(), 24)).expect("room for two addresses");
            if scenario.has_v6() {
                addresses.push(IpCidr::new(ADDRESSES_V6[side].into(), 64)).expect("room for two addresses");
            }
        });
        SmoltcpHost {
            iface,
            wire,
            sockets: SocketSet::new(Vec::new()),
            listening: Vec::new(),
            flows: vec![None; scenario.flows.len()],
            closed: Vec::new(),
            ready: VecDeque::new(),
            dirty: false,
            polled: now,
        }
    }

    fn poll(&mut self, now: Instant) {
        if !core::mem::take(&mut self.dirty) {
            return;
        }
        self.polled = now;
        self.iface.poll(time(now), &mut self.wire, &mut self.sockets);
        for &handle in &self.closed {
            // What nobody will read must not close the window for ever.
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
            while socket.can_recv() && socket.recv(|data| (data.len(), ())).is_ok() {
                self.dirty = true;
            }
        }
        self.ready.clear();
        self.ready.extend((0..self.flows.len()).filter(|&f| self.flows[f].is_some()).map(Ready::Flow));
        if !self.listening.is_empty() {
            self.ready.push_back(Ready::Listener);
        }
    }

    fn socket(&mut self, flow: Flow) -> Result<&mut tcp::Socket<'static>> {
        let handle = self.flows[flow].ok_or(Error::BadHandle)?;
        Ok(self.sockets.get_mut(handle))
    }

    fn new_socket(options: &TcpOptions) -> tcp::Socket<'static> {
        let buffer = |size: Option<usize>| tcp::SocketBuffer::new(vec![0; size.unwrap_or(256 * 1024)]);
        let mut socket = tcp::Socket::new(buffer(options.recv_buffer), buffer(options.send_buffer));
        socket.set_nagle_enabled(!options.nodelay);
        // Longer than anything the simulation waits for; without it smoltcp would try for ever.
        socket.set_timeout(Some(smoltcp::time::Duration::from_secs(300)));
        socket
    }
}

fn time(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros(now.as_micros() as i64)
}

fn endpoint(addr: SocketAddr) -> IpEndpoint {
    IpEndpoint::new(addr.ip().into(), addr.port())
}

impl Host for SmoltcpHost {
    fn receive(&mut self, _now: Instant, packet: Slice) {
        self.wire.received.push_back(packet);
        self.dirty = true;
    }

    fn on_deadline(&mut self, _now: Instant) {
        self.dirty = true;
    }

    fn deadline(&mut self, now: Instant) -> Option<Instant> {
        let at = self.iface.poll_at(time(now), &self.sockets)?;
        let at = Instant::from_micros(at.total_micros().max(0) as u64);
        // It may ask to be polled at once although polling changes nothing; time must go on.
        Some(at.max(self.polled + Duration::from_millis(1)))
    }

    fn transmit(&mut self, now: Instant) -> Option<Slice> {
        self.poll(now);
        self.wire.sent.pop_front()
    }

    fn poll_ready(&mut self, now: Instant) -> Option<Ready> {
        self.poll(now);
        self.ready.pop_front()
    }

    fn listen(&mut self, _now: Instant, local: SocketAddr, _backlog: usize, options: &TcpOptions) -> Result<()> {
        // Each smoltcp socket accepts one connection; one for each flow there may be.
        for _ in 0..self.flows.len() {
            let mut socket = Self::new_socket(options);
            let to: IpListenEndpoint =
                if local.ip().is_unspecified() { local.port().into() } else { endpoint(local).into() };
            socket.listen(to).map_err(|_| Error::AddrNotAvailable)?;
            self.listening.push(self.sockets.add(socket));
        }
        Ok(())
    }

    fn close_listener(&mut self, _now: Instant) {
        for handle in core::mem::take(&mut self.listening) {
            self.sockets.get_mut::<tcp::Socket<'_>>(handle).abort();
            self.closed.push(handle);
        }
        self.dirty = true;
    }

    fn accept(&mut self, _now: Instant, flow_of: &dyn Fn(SocketAddr) -> Option<Flow>) -> Result<Flow> {
        for i in 0..self.listening.len() {
            let socket = self.sockets.get::<tcp::Socket<'_>>(self.listening[i]);
            let open = !matches!(socket.state(), tcp::State::Listen | tcp::State::SynReceived | tcp::State::Closed);
            let Some(peer) = socket.remote_endpoint().filter(|_| open) else { continue };
            let flow = flow_of(SocketAddr::new(peer.addr.into(), peer.port)).ok_or(Error::WouldBlock)?;
            if self.flows[flow].is_none() {
                self.flows[flow] = Some(self.listening.remove(i));
                return Ok(flow);
            }
        }
        Err(Error::WouldBlock)
    }

    fn connect(
        &mut self,
        _now: Instant,
        flow: Flow,
        local: SocketAddr,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<()> {
        let mut socket = Self::new_socket(options);
        let port = if local.port() == 0 { 50_000 + flow as u16 } else { local.port() };
        socket.connect(self.iface.context(), endpoint(remote), port).map_err(|_| Error::AddrNotAvailable)?;
        self.flows[flow] = Some(self.sockets.add(socket));
        self.dirty = true;
        Ok(())
    }

    fn send(&mut self, _now: Instant, flow: Flow, data: &[u8]) -> Result<usize> {
        let socket = self.socket(flow)?;
        let connecting = matches!(socket.state(), tcp::State::SynSent | tcp::State::SynReceived);
        if connecting || (socket.may_send() && !socket.can_send()) {
            return Err(Error::WouldBlock);
        }
        let taken = socket.send_slice(data).map_err(|_| Error::ConnectionReset)?;
        self.dirty = true;
        Ok(taken)
    }

    fn recv(&mut self, _now: Instant, flow: Flow, buf: &mut [u8]) -> Result<usize> {
        let socket = self.socket(flow)?;
        if matches!(socket.state(), tcp::State::SynSent | tcp::State::SynReceived) {
            return Err(Error::WouldBlock);
        }
        match socket.recv_slice(buf) {
            Ok(0) => Err(Error::WouldBlock),
            Ok(got) => {
                self.dirty = true;
                Ok(got)
            }
            Err(tcp::RecvError::Finished) => Ok(0),
            Err(tcp::RecvError::InvalidState) => Err(Error::ConnectionReset),
        }
    }

    fn shutdown(&mut self, _now: Instant, flow: Flow, _how: Shutdown) -> Result<()> {
        self.socket(flow)?.close();
        self.dirty = true;
        Ok(())
    }

    fn close(&mut self, _now: Instant, flow: Flow) {
        if let Some(handle) = self.flows[flow].take() {
            self.sockets.get_mut::<tcp::Socket<'_>>(handle).close();
            self.closed.push(handle);
            self.dirty = true;
        }
    }

    fn abort(&mut self, _now: Instant, flow: Flow) {
        if let Some(handle) = self.flows[flow].take() {
            self.sockets.get_mut::<tcp::Socket<'_>>(handle).abort();
            self.closed.push(handle);
            self.dirty = true;
        }
    }

    fn state(&self, flow: Flow) -> State {
        let Some(handle) = self.flows[flow] else { return State::Closed };
        match self.sockets.get::<tcp::Socket<'_>>(handle).state() {
            tcp::State::Closed => State::Closed,
            tcp::State::Listen => State::Listen,
            tcp::State::SynSent => State::SynSent,
            tcp::State::SynReceived => State::SynReceived,
            tcp::State::Established => State::Established,
            tcp::State::FinWait1 => State::FinWait1,
            tcp::State::FinWait2 => State::FinWait2,
            tcp::State::CloseWait => State::CloseWait,
            tcp::State::Closing => State::Closing,
            tcp::State::LastAck => State::LastAck,
            tcp::State::TimeWait => State::TimeWait,
        }
    }

    fn unread(&mut self, flow: Flow) -> bool {
        self.socket(flow).is_ok_and(|socket| socket.can_recv())
    }

    fn judged(&self) -> bool {
        false
    }

    fn check(&mut self, _now: Instant, _coverage: &mut Coverage) -> core::result::Result<(), String> {
        Ok(())
    }

    fn connections(&self) -> usize {
        let idle = |state| matches!(state, tcp::State::Closed | tcp::State::Listen);
        self.sockets
            .iter()
            .filter(|(_, socket)| match socket {
                smoltcp::socket::Socket::Tcp(socket) => !idle(socket.state()),
                _ => false,
            })
            .count()
    }

    fn check_empty(&mut self, _coverage: &mut Coverage) -> core::result::Result<(), String> {
        Ok(())
    }

    fn describe(&self) -> String {
        let states = self.sockets.iter().map(|(handle, socket)| match socket {
            smoltcp::socket::Socket::Tcp(socket) => format!("smoltcp {handle}: {}", socket.state()),
            _ => String::new(),
        });
        states.collect::<Vec<_>>().join("\n")
    }
}
