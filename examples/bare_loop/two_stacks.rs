//! Two stacks joined by hand in one loop: no device, no threads, no clock. One opens a connection to the other, sends a
//! line, gets it back, and both close. Every packet is printed.
//!
//! The wire is a `Vec`, and time is a number that jumps to the next thing that will happen, so that TIME-WAIT takes no time
//! at all.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tunstack::buf::Slice;
use tunstack::error::{Error, Result};
use tunstack::rng::Rng;
use tunstack::stack::{Cidr, Config, SocketId, Stack, TcpId};
use tunstack::time::Instant;
use tunstack::wire::{RxFrame, TxFrame, ipv4, tcp};

/// The delay of our wire in one direction.
const DELAY: Duration = Duration::from_millis(5);

/// Runs the whole story, writes the packets to `log`, and gives what the client got back.
pub(crate) fn run(log: &mut String) -> Result<String> {
    let mut now = Instant::ZERO;
    let mut client = stack("192.0.2.1", 1, now)?;
    let mut server = stack("192.0.2.2", 2, now)?;

    let port: SocketAddr = ([192, 0, 2, 2], 7).into();
    let options = server.default_tcp_options();
    server.tcp_listen(port, 1, options.clone())?;
    let mut caller = Caller { id: client.tcp_connect(now, None, port, options)?, said: false, heard: String::new() };

    // A bound, so that a mistake cannot make this run for ever.
    for _ in 0..1000 {
        while let Some(socket) = client.poll_ready() {
            caller.serve(&mut client, socket, now)?;
        }
        while let Some(socket) = server.poll_ready() {
            serve(&mut server, socket, now)?;
        }

        let to_server: Vec<TxFrame> = std::iter::from_fn(|| client.poll_transmit(now)).collect();
        let to_client: Vec<TxFrame> = std::iter::from_fn(|| server.poll_transmit(now)).collect();
        if !to_server.is_empty() || !to_client.is_empty() {
            for frame in to_server.iter().chain(&to_client) {
                describe(log, now, frame);
            }
            now += DELAY;
            deliver(&to_server, &mut server, now);
            deliver(&to_client, &mut client, now);
            continue;
        }

        // Nothing is on the wire. Time goes on to the next deadline; if there is none, nothing will ever happen again.
        let Some(next) = client.deadline().into_iter().chain(server.deadline()).min() else { return Ok(caller.heard) };
        now = now.max(next);
        client.on_deadline(now);
        server.on_deadline(now);
    }
    Err(Error::TimedOut)
}

fn stack(address: &str, seed: u64, now: Instant) -> Result<Stack> {
    let address: IpAddr = address.parse().map_err(|_| Error::InvalidInput("not an address"))?;
    let config = Config { addresses: vec![Cidr::new(address, 24)], ..Config::default() };
    // A real program takes its seed from the system; a fixed one gives the same packets each time.
    Stack::new(config, Rng::seed_from(seed), now)
}

fn deliver(frames: &[TxFrame], to: &mut Stack, now: Instant) {
    for frame in frames {
        to.on_frame(now, RxFrame::plain(Slice::copy_of(&frame.to_vec())));
    }
}

/// The client's side of the story.
struct Caller {
    id: TcpId,
    said: bool,
    heard: String,
}

impl Caller {
    fn serve(&mut self, stack: &mut Stack, socket: SocketId, now: Instant) -> Result<()> {
        if socket != SocketId::Tcp(self.id) {
            return Ok(());
        }
        if !self.said {
            match stack.tcp_send(now, self.id, b"hello, stack\n") {
                // Not connected yet: there will be another call.
                Err(Error::WouldBlock | Error::NotConnected) => return Ok(()),
                sent => sent?,
            };
            self.said = true;
        }
        let mut buf = [0; 1024];
        while !self.heard.ends_with('\n') {
            match stack.tcp_recv(now, self.id, &mut buf) {
                Ok(n) if n > 0 => self.heard.push_str(&String::from_utf8_lossy(&buf[..n])),
                Ok(_) => return Err(Error::ConnectionAborted),
                Err(Error::WouldBlock) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        // From here on the handle is gone, and the stack brings the connection to its end by itself.
        stack.tcp_close(now, self.id)
    }
}

/// The server's side: what comes in goes out, and the end of one is the end of the other.
fn serve(stack: &mut Stack, socket: SocketId, now: Instant) -> Result<()> {
    match socket {
        SocketId::Listener(listener) => loop {
            match stack.tcp_accept(now, listener) {
                // It may have something to read already: readiness is told when it changes, and only then.
                Ok((id, _)) => echo(stack, id, now)?,
                Err(Error::WouldBlock) => return Ok(()),
                Err(error) => return Err(error),
            }
        },
        SocketId::Tcp(id) => echo(stack, id, now),
        SocketId::Udp(_) | SocketId::Raw(_) | SocketId::SynGate(_) | SocketId::UdpGate(_) => Ok(()),
    }
}

fn echo(stack: &mut Stack, id: TcpId, now: Instant) -> Result<()> {
    let mut buf = [0; 1024];
    loop {
        match stack.tcp_recv(now, id, &mut buf) {
            Ok(0) => return stack.tcp_close(now, id),
            // One line always fits into an empty send buffer; a real server would keep what does not.
            Ok(n) => stack.tcp_send(now, id, &buf[..n])?,
            Err(Error::WouldBlock) => return Ok(()),
            Err(error) => return Err(error),
        };
    }
}

/// One line about one packet.
fn describe(log: &mut String, now: Instant, frame: &TxFrame) {
    let bytes = frame.to_vec();
    let line = ipv4::parse(&bytes).and_then(|(ip, payload)| {
        let (tcp, header) = tcp::parse(&bytes[payload.clone()])?;
        let text = payload.len() - header;
        Ok(format!("{} > {}  {:<7} seq {} ack {} text {text}", ip.src, ip.dst, tcp.flags, tcp.seq, tcp.ack))
    });
    let line = line.unwrap_or_else(|reason| format!("not TCP over IPv4: {}", reason.name()));
    writeln!(log, "{now} s  {line}").expect("a string takes all that is written to it");
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_line_there_and_back() {
        let mut log = String::new();
        assert_eq!(super::run(&mut log).unwrap(), "hello, stack\n");
        let flags: Vec<&str> = log.lines().filter_map(|l| l.split_whitespace().nth(5)).collect();
        assert_eq!(
            flags[..3],
            ["SYN", "SYN,ACK", "PSH,ACK"],
            "the first data rides on the handshake's last ACK\n{log}"
        );
        assert_eq!(flags.iter().filter(|f| f.starts_with("FIN")).count(), 2, "{log}");
        assert!(!flags.iter().any(|f| f.contains("RST")), "{log}");
    }
}
