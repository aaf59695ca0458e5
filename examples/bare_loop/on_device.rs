//! A host of one's own on a device: a stack, poll(2), and a table of what its sockets are in the middle of.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use tunstack::device::Device;
use tunstack::error::{Error, Result};
use tunstack::runtime::clock;
use tunstack::stack::{Cidr, Config, ListenerId, Refusal, SocketId, Stack, SynGateId, TcpId, UdpId, Unreachable};
use tunstack::sys::wait::{PollFd, PollFlags, poll};
use tunstack::time::Instant;
use tunstack::wire::{RxFrame, TxFrame};

/// Frames that are read before the sockets have their turn.
const BATCH: usize = 64;

/// The host's address; the kernel's would be 192.0.2.1/24.
const ADDRESS: [u8; 4] = [192, 0, 2, 2];

/// A host that echoes on port 7 and says of all other ports that they are not allowed.
pub(crate) struct Host<D> {
    stack: Stack,
    device: D,
    listener: ListenerId,
    udp: UdpId,
    gate: SynGateId,
    /// What connections are in the middle of: bytes that were read and could not be written yet.
    clients: HashMap<TcpId, Vec<u8>>,
    /// What the device had no room for.
    unsent: Option<TxFrame>,
}

/// Serves until the device is gone.
pub(crate) fn run(device: impl Device) -> io::Result<()> {
    let mut host = Host::new(device, clock::now())?;
    loop {
        let deadline = host.turn(clock::now())?;
        let timeout = deadline.map(|at| at.since(clock::now()));
        let wanted = if host.unsent.is_some() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let fd = host.device.as_fd();
        poll(&mut [PollFd::from_borrowed_fd(fd, wanted)], timeout)?;
    }
}

impl<D: Device> Host<D> {
    pub(crate) fn new(device: D, now: Instant) -> Result<Host<D>> {
        let addresses = vec![Cidr::new(ADDRESS.into(), 24)];
        // What the device does to frames, the stack leaves to it.
        let config = Config { addresses, mtu: device.mtu(), offloads: device.offloads(), ..Config::default() };
        let mut stack = Stack::new(config, rand::random(), now)?;
        let mut options = stack.default_tcp_options();
        options.nodelay = true;
        let listener = stack.tcp_listen((ADDRESS, 7).into(), 16, options.clone())?;
        let udp = stack.udp_bind((ADDRESS, 7).into())?;
        let gate = stack.syn_gate_open(options)?;
        Ok(Host { stack, device, listener, udp, gate, clients: HashMap::new(), unsent: None })
    }

    /// One round: what has come, what is due, whom it concerns, what goes. Says when the next one is wanted at the latest.
    pub(crate) fn turn(&mut self, now: Instant) -> io::Result<Option<Instant>> {
        let more = self.receive(now)?;
        self.stack.on_deadline(now);
        let mut served = true;
        // Sending makes room, and so sockets ready.
        while served {
            served = false;
            while let Some(socket) = self.stack.poll_ready() {
                self.serve(socket, now);
                served = true;
            }
            self.transmit(now);
        }
        Ok(if more { Some(now) } else { self.stack.deadline() })
    }

    /// Takes what the device has; true if it may have more.
    fn receive(&mut self, now: Instant) -> io::Result<bool> {
        for _ in 0..BATCH {
            // From the stack's own pool, so that what is kept of them is kept in the budget.
            let mut chunk = self.stack.pool().take();
            match self.device.recv(now, &mut chunk) {
                Ok(meta) => _ = self.stack.on_frame(now, RxFrame { data: chunk.freeze(), meta }),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Sends what there is, as far as the device takes it.
    fn transmit(&mut self, now: Instant) {
        while let Some(frame) = self.unsent.take().or_else(|| self.stack.poll_transmit(now)) {
            // A frame that is refused for another reason is lost, as on a wire.
            if self.device.send(now, &frame).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                self.unsent = Some(frame);
                return;
            }
        }
    }

    fn serve(&mut self, socket: SocketId, now: Instant) {
        match socket {
            SocketId::Listener(id) if id == self.listener => {
                while let Ok((client, peer)) = self.stack.tcp_accept(now, id) {
                    println!("{peer} is here");
                    self.clients.insert(client, Vec::new());
                    self.echo(client, now);
                }
            }
            SocketId::Tcp(id) => self.echo(id, now),
            SocketId::Udp(id) if id == self.udp => self.echo_datagrams(now),
            SocketId::SynGate(id) if id == self.gate => {
                while let Ok(request) = self.stack.syn_next(id) {
                    println!("{} wants to connect to {}", request.source, request.destination);
                    let verdict = Refusal::Unreachable(Unreachable::Prohibited);
                    // An error would mean that the peer has given up already.
                    let _ = self.stack.syn_refuse(now, id, request.id, verdict);
                }
            }
            _ => {}
        }
    }

    /// Carries on with a connection until it would block, and ends it at its end.
    fn echo(&mut self, id: TcpId, now: Instant) {
        match self.carry(id, now) {
            Err(Error::WouldBlock) => return,
            Ok(()) => {
                if let Ok(info) = self.stack.tcp_info(id) {
                    println!("{} is done: srtt {:?}, cwnd {}", info.remote, info.srtt, info.cwnd);
                }
            }
            Err(error) => println!("a client is gone: {error}"),
        }
        self.clients.remove(&id);
        // What was written still goes, and the stack brings the connection to its end by itself.
        let _ = self.stack.tcp_close(now, id);
    }

    fn carry(&mut self, id: TcpId, now: Instant) -> Result<()> {
        let Some(left) = self.clients.get_mut(&id) else { return Err(Error::WouldBlock) };
        let mut buf = [0; 4096];
        loop {
            // First what is left, so that a peer that does not read is not read from.
            while !left.is_empty() {
                let n = self.stack.tcp_send(now, id, left)?;
                left.drain(..n);
            }
            match self.stack.tcp_recv(now, id, &mut buf)? {
                0 => return Ok(()),
                n => left.extend_from_slice(&buf[..n]),
            }
        }
    }

    fn echo_datagrams(&mut self, now: Instant) {
        let mut buf = [0; 65_535];
        loop {
            match self.stack.udp_recv(self.udp, &mut buf, false) {
                // If there is no room, it is lost.
                Ok((n, from)) => _ = self.stack.udp_send(now, self.udp, &buf[..n], Some(from)),
                Err(Error::WouldBlock) => return,
                // What an earlier peer's host said of an answer.
                Err(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;
    use std::time::Duration;
    use tunstack::device::mem;
    use tunstack::net;

    /// How long anything is waited for, so that a mistake shows as a failure.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// The loop against a host of the library's, on a link in memory.
    #[test]
    fn it_echoes_and_refuses() {
        let (ours, theirs) = mem::pair(1500, 256).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        let serving = thread::spawn(move || {
            let mut host = Host::new(ours, clock::now()).unwrap();
            while !until.load(Ordering::Relaxed) {
                host.turn(clock::now()).unwrap();
                thread::yield_now();
            }
            host.clients.len()
        });
        let client = net::Host::builder().address("192.0.2.1/24").start(theirs).unwrap();
        let port = |port| SocketAddr::from((Ipv4Addr::from(ADDRESS), port));
        let mut stream = client.connect(port(7)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // More than all buffers hold, so that both ends meet WouldBlock.
        let data: Vec<u8> = (0..2_000_000u32).map(|n| (n.wrapping_mul(n) >> 8) as u8).collect();
        let (mut sender, sent) = (stream.try_clone().unwrap(), data.clone());
        let sending = thread::spawn(move || {
            sender.write_all(&sent).unwrap();
            sender.shutdown(net::Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        stream.read_to_end(&mut back).unwrap();
        assert!(back == data, "{} bytes, or other ones", back.len());
        sending.join().unwrap();

        let udp = client.bind_udp("192.0.2.1:0").unwrap();
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        udp.send_to(b"hello", port(7)).unwrap();
        assert_eq!(udp.recv(&mut [0; 9]).unwrap(), 5);

        // Another port is refused by ICMP, which a connect reports when it gives up; or at once to who asks.
        let refused = client.connect_nonblocking(&port(80)).unwrap();
        let begun = std::time::Instant::now();
        let error = loop {
            match refused.take_error().unwrap() {
                Some(error) => break error,
                None if begun.elapsed() > PATIENCE => panic!("it is not refused"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        assert_eq!(error.kind(), ErrorKind::HostUnreachable);
        over.store(true, Ordering::Relaxed);
        assert_eq!(serving.join().unwrap(), 0, "nobody is left");
    }
}
