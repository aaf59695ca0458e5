//! The server: a service like the others, but for this, that the connections of one test belong together.

use super::CpuClock;
use super::datagram::{self, ANSWER, GREETING};
use super::flow::{Carrier, Flow, GLANCE};
use super::protocol::{COOKIE_SIZE, Cookie, MAX_STREAMS, MAX_TIME, Params, Step, id, receive_json, send_json};
use super::test::{Event, Summary, Test};
use crate::apps::service::Service;
use crate::net::{TcpStream, UdpSocket};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a client may take for a step of the preparation or of the end.
const PATIENCE: Duration = Duration::from_secs(10);

/// iperf3's number for parameters that cannot be read (IERECVPARAMS): the nearest that it has for those not taken.
const REFUSED: i32 = 114;

/// Connections whose order is remembered: more than can be of one test.
const MAX_ARRIVALS: usize = 4 * MAX_STREAMS as usize;

/// A server of one test at a time. Further clients are told that it is busy.
pub struct Server {
    /// Its port's UDP socket.
    socket: UdpSocket,
    cpu: CpuClock,
    /// The test that is running, and the way to hand it its streams.
    session: Mutex<Option<(Cookie, SyncSender<TcpStream>)>>,
    /// Who came, in order. The threads that serve them may run in another, and by the order streams have their numbers.
    arrivals: Mutex<VecDeque<SocketAddr>>,
    observe: Box<dyn Fn(Event) + Send + Sync>,
}

impl Server {
    /// A server whose datagrams arrive on `socket`; `observe` is shown what happens.
    pub fn new(socket: UdpSocket, cpu: CpuClock, observe: impl Fn(Event) + Send + Sync + 'static) -> Server {
        Server { socket, cpu, session: Mutex::default(), arrivals: Mutex::default(), observe: Box::new(observe) }
    }

    /// Takes the server for the test `cookie`; gives where its streams will come in. `None` if `stream` was one of them
    /// or had to be refused.
    fn begin(&self, cookie: Cookie, stream: &TcpStream) -> io::Result<Option<Receiver<TcpStream>>> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        match &*session {
            None => {
                let (sender, receiver) = mpsc::sync_channel(MAX_STREAMS as usize);
                *session = Some((cookie, sender));
                Ok(Some(receiver))
            }
            Some((running, streams)) if *running == cookie => {
                // One more than are wanted is dropped.
                let _ = streams.try_send(stream.try_clone()?);
                Ok(None)
            }
            Some(_) => {
                drop(session);
                Step::AccessDenied.send(stream)?;
                Ok(None)
            }
        }
    }

    fn test(&self, control: &TcpStream, streams: &Receiver<TcpStream>) -> io::Result<Summary> {
        Step::ParamExchange.send(control)?;
        let params: Params = receive_json(control)?;
        if let Err(what) = params.check() {
            Step::ServerError.send(control)?;
            // iperf3's number and the system's, which has nothing to say here.
            (&mut &*control).write_all(&[REFUSED.to_be_bytes(), [0; 4]].concat())?;
            return Err(io::Error::new(ErrorKind::InvalidInput, what));
        }
        Step::CreateStreams.send(control)?;
        let carriers =
            if params.udp { self.greeted(&params, control.peer_addr()?)? } else { self.joined(&params, streams)? };
        let flow = |(index, carrier)| Flow::new(id(index), !params.client_sends(index), carrier);
        let flows: Vec<Flow> = (0..).zip(carriers).map(flow).collect();
        Step::TestStart.send(control)?;
        Step::TestRunning.send(control)?;
        // The client ends it; this is for one that forgets to.
        let time = if params.time == 0 { MAX_TIME } else { params.time };
        let limit = Duration::from_secs(time.into()) + PATIENCE;
        let shared = params.udp.then_some(&self.socket);
        let outcome = Test { params: &params, control, flows: &flows, shared, limit, ends: false, cpu: self.cpu }
            .run(&mut |e| (self.observe)(e))?;
        match outcome.step {
            Some(Step::TestEnd) => {}
            Some(Step::ClientTerminate) => {
                return Err(io::Error::new(ErrorKind::ConnectionAborted, "the client was ended"));
            }
            _ => return Err(io::Error::new(ErrorKind::TimedOut, "the client does not end its test")),
        }
        control.set_read_timeout(Some(PATIENCE))?;
        Step::ExchangeResults.send(control)?;
        let theirs = receive_json(control)?;
        send_json(control, &outcome.results())?;
        Step::DisplayResults.send(control)?;
        let summary = Summary { params, whole: outcome.whole, cpu: outcome.cpu, theirs };
        // A client that only closes has its results, too.
        match Step::IperfDone.expect(control) {
            Err(e) if e.kind() == ErrorKind::InvalidData => Err(e),
            _ => Ok(summary),
        }
    }

    /// Waits for the greetings of a client's streams by UDP, and answers them. Those of other hosts are passed over.
    fn greeted(&self, params: &Params, client: SocketAddr) -> io::Result<Vec<Carrier>> {
        let end = Instant::now() + PATIENCE;
        self.socket.set_read_timeout(Some(GLANCE))?;
        let mut peers: Vec<SocketAddr> = Vec::new();
        while peers.len() < params.streams() as usize {
            let mut greeting = [0; 5];
            let from = match self.socket.recv_from(&mut greeting) {
                Ok((4, from)) if from.ip() == client.ip() && datagram::is(&greeting[..4], GREETING) => from,
                // The rest of an earlier test, a stranger, or an ICMP error.
                _ if Instant::now() < end => continue,
                _ => return Err(io::Error::new(ErrorKind::TimedOut, "the client does not greet by UDP")),
            };
            // Said twice, it had not heard the answer.
            if !peers.contains(&from) {
                peers.push(from);
            }
            self.socket.send_to(&ANSWER.to_ne_bytes(), from)?;
        }
        peers.into_iter().map(|peer| Ok(Carrier::Udp(self.socket.try_clone()?, peer))).collect()
    }

    /// Waits for the connections of a client's streams.
    fn joined(&self, params: &Params, streams: &Receiver<TcpStream>) -> io::Result<Vec<Carrier>> {
        let end = Instant::now() + PATIENCE;
        let mut joined = Vec::with_capacity(params.streams() as usize);
        while joined.len() < params.streams() as usize {
            let stream = streams.recv_timeout(end.saturating_duration_since(Instant::now()));
            let stream =
                stream.map_err(|_| io::Error::new(ErrorKind::TimedOut, "the client does not open its streams"))?;
            joined.push((stream.peer_addr()?, stream));
        }
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        joined.sort_by_key(|(peer, _)| arrivals.iter().position(|arrived| arrived == peer));
        arrivals.clear();
        Ok(joined.into_iter().map(|(_, stream)| Carrier::Tcp(stream)).collect())
    }
}

impl Service for Server {
    fn accepted(&self, peer: SocketAddr) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() == MAX_ARRIVALS {
            arrivals.pop_front();
        }
        arrivals.push_back(peer);
    }

    fn serve(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut cookie = [0; COOKIE_SIZE];
        stream.read_exact(&mut cookie)?;
        let Some(streams) = self.begin(cookie, stream)? else { return Ok(()) };
        let end = self.test(stream, &streams);
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        (self.observe)(match &end {
            Ok(summary) => Event::Ended(summary),
            Err(e) => Event::Failed(e),
        });
        end.map(drop)
    }

    fn refuse(&self, stream: &TcpStream) {
        let _ = Step::AccessDenied.send(stream);
    }
}
