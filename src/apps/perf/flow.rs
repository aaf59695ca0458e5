//! One stream of a test: sending or receiving, and counting.

use super::datagram::{self, Datagrams};
use super::protocol::Params;
use crate::net::{Shutdown, TcpStream, UdpSocket};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that a stream waits without looking whether the test goes on.
pub(super) const GLANCE: Duration = Duration::from_millis(100);

/// What carries a stream.
pub(super) enum Carrier {
    Tcp(TcpStream),
    /// A socket, which may be shared with other streams, and the address at its other end.
    Udp(UdpSocket, SocketAddr),
}

/// One stream.
pub(super) struct Flow {
    pub(super) id: u32,
    pub(super) sends: bool,
    pub(super) carrier: Carrier,
    bytes: AtomicU64,
    datagrams: Mutex<Datagrams>,
}

/// What a stream has done so far, or within an interval.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The stream's number.
    pub id: u32,
    /// Whether this end sends.
    pub sends: bool,
    /// Bytes of the application, sent or received.
    pub bytes: u64,
    /// Segments sent again, if this end sends by TCP.
    pub retransmits: Option<u64>,
    /// The congestion window in bytes at the end, if this end sends by TCP.
    pub cwnd: Option<u32>,
    /// The smoothed round-trip time at the end, once it is known.
    pub srtt: Option<Duration>,
    /// What UDP counts.
    pub datagrams: Option<Count>,
}

/// What is counted of datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Count {
    /// Datagrams sent, or those that should have been received.
    pub packets: u64,
    /// Those that are missing.
    pub lost: u64,
    /// Variation of the transit time in seconds, at the end.
    pub jitter: f64,
}

impl Sample {
    /// What has happened since `earlier`.
    pub(super) fn since(&self, earlier: &Sample) -> Sample {
        let datagrams = self.datagrams.map(|now| {
            let before = earlier.datagrams.unwrap_or_default();
            Count {
                packets: now.packets.saturating_sub(before.packets),
                lost: now.lost.saturating_sub(before.lost),
                jitter: now.jitter,
            }
        });
        Sample {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            retransmits: self.retransmits.map(|now| now.saturating_sub(earlier.retransmits.unwrap_or(0))),
            datagrams,
            ..self.clone()
        }
    }

    /// With what a connection that has ended does not tell any more as it was `before`.
    pub(super) fn or(self, before: Sample) -> Sample {
        Sample {
            retransmits: self.retransmits.or(before.retransmits),
            cwnd: self.cwnd.or(before.cwnd),
            srtt: self.srtt.or(before.srtt),
            ..self
        }
    }
}

impl Flow {
    pub(super) fn new(id: u32, sends: bool, carrier: Carrier) -> Flow {
        Flow { id, sends, carrier, bytes: AtomicU64::new(0), datagrams: Mutex::default() }
    }

    /// Moves data until the test is over (`running` is false) or the other end has enough.
    ///
    /// # Errors
    /// Those of the socket, while the test is running.
    pub(super) fn run(&self, params: &Params, running: &AtomicBool) -> io::Result<()> {
        let moved = match (&self.carrier, self.sends) {
            (Carrier::Tcp(stream), true) => self.send_stream(stream, params, running),
            (Carrier::Tcp(stream), false) => self.receive_stream(stream, params, running),
            (Carrier::Udp(socket, peer), true) => self.send_datagrams(socket, *peer, params, running),
            (Carrier::Udp(socket, _), false) => self.receive_datagrams(socket, params, running),
        };
        // When it is over, sockets are shut under those who still use them.
        if running.load(Ordering::Relaxed) { moved } else { Ok(()) }
    }

    fn send_stream(&self, mut stream: &TcpStream, params: &Params, running: &AtomicBool) -> io::Result<()> {
        stream.set_write_timeout(Some(GLANCE))?;
        stream.set_nodelay(params.nodelay)?;
        let block = pattern(params.block());
        let mut pace = Pace::new(params.bandwidth);
        while running.load(Ordering::Relaxed) {
            if pace.may_send()
                && let Some(n) = unless_waiting(stream.write(&block))?
            {
                self.bytes.fetch_add(n as u64, Ordering::Relaxed);
                pace.sent(n);
            }
        }
        Ok(())
    }

    fn receive_stream(&self, mut stream: &TcpStream, params: &Params, running: &AtomicBool) -> io::Result<()> {
        stream.set_read_timeout(Some(GLANCE))?;
        let mut block = vec![0; params.block()];
        while running.load(Ordering::Relaxed) {
            match unless_waiting(stream.read(&mut block))? {
                Some(0) => break,
                Some(n) => _ = self.bytes.fetch_add(n as u64, Ordering::Relaxed),
                None => {}
            }
        }
        Ok(())
    }

    fn send_datagrams(
        &self,
        socket: &UdpSocket,
        to: SocketAddr,
        params: &Params,
        running: &AtomicBool,
    ) -> io::Result<()> {
        socket.set_write_timeout(Some(GLANCE))?;
        let mut datagram = pattern(params.block());
        let wide = params.udp_counters_64bit != 0;
        let mut pace = Pace::new(params.bandwidth);
        let mut number = 0;
        while running.load(Ordering::Relaxed) {
            if !pace.may_send() {
                continue;
            }
            datagram::stamp(&mut datagram, number + 1, datagram::now(), wide);
            if let Some(n) = unless_waiting(socket.send_to(&datagram, to))? {
                number += 1;
                self.bytes.fetch_add(n as u64, Ordering::Relaxed);
                self.counted().packets = number;
                pace.sent(n);
            }
        }
        Ok(())
    }

    fn receive_datagrams(&self, socket: &UdpSocket, params: &Params, running: &AtomicBool) -> io::Result<()> {
        socket.set_read_timeout(Some(GLANCE))?;
        let mut datagram = vec![0; super::protocol::MAX_DATAGRAM];
        while running.load(Ordering::Relaxed) {
            if let Some(n) = unless_waiting(socket.recv(&mut datagram))? {
                self.arrived(&datagram[..n], params);
            }
        }
        Ok(())
    }

    /// Counts a datagram that was received for this stream.
    pub(super) fn arrived(&self, datagram: &[u8], params: &Params) {
        self.bytes.fetch_add(datagram.len() as u64, Ordering::Relaxed);
        self.counted().arrived(datagram, datagram::now(), params.udp_counters_64bit != 0);
    }

    fn counted(&self) -> std::sync::MutexGuard<'_, Datagrams> {
        self.datagrams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has done so far.
    pub(super) fn sample(&self) -> Sample {
        let sample =
            Sample { id: self.id, sends: self.sends, bytes: self.bytes.load(Ordering::Relaxed), ..Sample::default() };
        match &self.carrier {
            Carrier::Tcp(stream) if self.sends => {
                // A connection that has ended has no numbers any more.
                let info = stream.info().ok().filter(|info| info.mss > 0);
                Sample {
                    retransmits: info.as_ref().map(|info| info.retransmits),
                    cwnd: info.as_ref().map(|info| info.cwnd),
                    srtt: info.and_then(|info| info.srtt),
                    ..sample
                }
            }
            Carrier::Tcp(_) => sample,
            Carrier::Udp(..) => {
                let Datagrams { packets, lost, jitter, .. } = *self.counted();
                Sample { datagrams: Some(Count { packets, lost, jitter }), ..sample }
            }
        }
    }

    /// Wakes whoever waits on the stream's socket.
    pub(super) fn stop(&self) {
        if let Carrier::Tcp(stream) = &self.carrier {
            // It may be gone already, which is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Bytes to be sent. What they are matters to nobody; that they are not all the same helps whoever looks at a capture.
fn pattern(len: usize) -> Vec<u8> {
    (b'0'..=b'9').cycle().take(len).collect()
}

/// `None` if nothing could be done in time.
fn unless_waiting(moved: io::Result<usize>) -> io::Result<Option<usize>> {
    match moved {
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => Ok(None),
        // An ICMP error about an earlier datagram.
        Err(e) if e.kind() == ErrorKind::ConnectionRefused => Ok(None),
        Err(e) => Err(e),
    }
}

/// Keeps a sender to its rate.
struct Pace {
    /// Bytes per second.
    rate: Option<f64>,
    start: Instant,
    sent: u64,
}

impl Pace {
    /// `bits` is in bit/s; 0 is no bound.
    fn new(bits: u64) -> Pace {
        Pace { rate: (bits > 0).then_some(bits as f64 / 8.0), start: Instant::now(), sent: 0 }
    }

    /// Whether the next block is due; else it waits a while first, but no longer than until somebody must look whether
    /// the test goes on.
    fn may_send(&self) -> bool {
        let Some(rate) = self.rate else { return true };
        let early = self.sent as f64 / rate - self.start.elapsed().as_secs_f64();
        if early <= 0.0 {
            return true;
        }
        thread::sleep(GLANCE.min(Duration::from_secs_f64(early.min(1.0))));
        false
    }

    fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }
}
